"""The committed cases of the methods in published_coverage.py: inputs by recipe, answers by that reference."""
import numpy as np

import published_coverage as published
from published_cases import attention, significant_rows


def kept(order):
    return {"kept_indices": sorted(int(i) for i in order)}


def add_coverage_cases(suite, uniform, smooth):
    for name, keep, options, with_attention in (
        ("multi", 16, {}, True), ("add", 16, {"combined": "add"}, True), ("alpha_two", 12, {"alpha": 2}, True),
        ("no_attention", 16, {}, False), ("all_but_one", 63, {}, True),
    ):
        features, row = smooth(801, 8, 8, 16), attention(uniform, 811, 4, 64)
        order = published.scope(features, row if with_attention else None, keep, **options)
        tensors = {"image_features": features} | ({"attention": row} if with_attention else {})
        suite.add("scope", name, tensors, {"keep_tokens": keep, "method_parameters": options},
                  {**kept(order), "order": order})
    for name, keep, options, padding in (
        ("words_and_tokens", 16, {}, ()), ("words_alone", 8, {"alpha": 0}, ()), ("tokens_above_all", 20, {"alpha": 3}, ()),
        ("cold", 12, {"vision_temperature": 0.002}, ()), ("padding", 16, {}, tuple(range(40, 64))),
        ("padding_needed", 30, {}, tuple(range(24, 64))),
    ):
        features, patches, text = smooth(821, 8, 8, 16), smooth(831, 8, 8, 12), uniform(841, 5, 16, low=-1)
        order = published.mmtok(features, patches, text, keep, padding=padding, **options)
        tensors = {"image_features": features, "encoder_features": patches, "text_features": text}
        if padding:
            tensors["padding_mask"] = np.isin(np.arange(64), padding).astype(np.float32)
        suite.add("mmtok", name, tensors, {"keep_tokens": keep, "method_parameters": options},
                  {**kept(order), "order": order})


def add_dividing_cases(suite, uniform, smooth):
    for name, keep, options in (
        ("sixteen_crops", 16, {}), ("five_crops", 21, {"crops": 5}), ("crops_of_one", 20, {"crops": 40}),
        ("surplus", 60, {}), ("surplus_unspent", 60, {"faithful": True}),
    ):
        features, row = smooth(851, 8, 8, 16), attention(uniform, 861, 64)
        order = published.holov(features, row, keep, **options)
        suite.add("holov", name, {"image_features": features, "attention": row},
                  {"keep_tokens": keep, "method_parameters": options}, {**kept(order), "order": order})
    for name, keep, options in (
        ("exact", 24, {}), ("another_ratio", 24, {"base_ratio": 0.4}), ("fewer_than_frames", 3, {}),
        ("as_frames_ask", 96, {"base_ratio": 0.25, "variant": "published"}),
    ):
        video = np.concatenate([smooth(871 + (frame > 2), 4, 4, 15, noise=0.2 + 0.1 * frame) for frame in range(6)])
        chosen = published.vidcom2(
            video, 6, keep, options.get("base_ratio"), published=options.get("variant") == "published")
        suite.add("vidcom2", name, {"image_features": video},
                  {"keep_tokens": keep, "method_parameters": {"frames": 6, **options}}, kept(chosen))
    for name, keep, width, variant in (
        ("llava", 15, 16, "llava"), ("llava_wide", 23, 80, "llava"), ("qwen", 16, 16, "qwen2_vl"), ("two_tokens", 2, 16, "llava"),
    ):
        features = smooth(881, 8, 8, width) + uniform(891, 1, width, low=-1) * 0.8
        features, row = features.astype(np.float32), attention(uniform, 901, 4, 64)
        order = published.prunesid(features, row, keep, variant == "qwen2_vl")
        tensors = {"image_features": features} | ({"attention": row} if variant == "llava" else {})
        suite.add("prunesid", name, tensors, {"keep_tokens": keep, "method_parameters": {"variant": variant}},
                  {**kept(order), "order": order, "kept_in_row_order": order})


def add_reconstructing_cases(suite, uniform, smooth):
    for name, keep, options in (
        ("basis_in_place", 16, {"basis_tokens": 4, "start_token": 3}),
        ("basis_in_slots", 16, {"basis_tokens": 4, "start_token": 3, "faithful": True}),
        ("basis_alone", 5, {"basis_tokens": 9}),
    ):
        features = smooth(911, 8, 8, 16)
        chosen, rows = published.apet(
            features, keep, options["basis_tokens"], options.get("start_token", 0), options.get("faithful", False))
        suite.add("apet", name, {"image_features": features, "expected.features": significant_rows(rows)},
                  {"keep_tokens": keep, "method_parameters": options}, {**kept(chosen), "kept_in_row_order": chosen})
    for name, keep, rows, columns, options in (
        ("exact", 50, 8, 8, {}), ("authors_count", 50, 8, 8, {"faithful": True}), ("other_windows", 23, 6, 10, {"windows": 3}),
        ("fewer_than_windows", 12, 8, 8, {}),
    ):
        count = rows * columns
        features, late, early = smooth(921, rows, columns, 8), *(attention(uniform, seed, 2, count) for seed in (931, 941))
        chosen, assignments, merged = published.vscan(features, late, early, keep, rows, columns, **options)
        suite.add(
            "vscan", name,
            {"image_features": features, "attention": late, "early_attention": early,
             "expected.features": significant_rows(merged)},
            {"keep_tokens": keep, "layout": {"type": "grid", "rows": rows, "columns": columns}, "method_parameters": options},
            {**kept(chosen), "kept_in_row_order": chosen, "assignments": assignments.tolist()})


def add_position_cases(suite, uniform, smooth):
    for name, keep, variant, faithful in (
        ("llava", 20, "llava", False), ("llava_union", 64, "llava", True), ("qwen", 30, "qwen2_5_vl", False),
        ("qwen_half", 64, "qwen2_5_vl", True), ("fewer_than_coordinates", 4, "llava", False),
    ):
        values = uniform(951, 2, 5 + 64 + 9, 16, low=-1)
        chosen = published.ivcprune(
            values, 5, 8, 8, keep, 10_000, qwen=variant == "qwen2_5_vl", faithful=faithful)
        options = {"variant": variant, "image_start": 5, "faithful": faithful}
        suite.add(
            "ivcprune", name, {"value_states": values},
            {"keep_tokens": keep, "layout": {"type": "grid", "rows": 8, "columns": 8}, "method_parameters": options},
            {**kept(chosen), "token_count": 64}, {"has_exact_ties": variant != "llava"})
    screen = np.repeat(np.repeat(np.floor(uniform(961, 4, 4, 6) * 8) / 8, 3, axis=0), 3, axis=1)
    noise = np.floor(uniform(971, 12, 12, 6) * 4) / 256
    for name, keep, pixels, options in (
        ("exact", None, screen, {"metric": "exact"}), ("anchored", None, screen + noise, {"threshold": 0.01}),
        ("sliding", None, screen + noise, {"threshold": 0.01, "anchored": False}),
        ("mean", None, screen + noise, {"metric": "mae", "threshold": 0.004}),
        ("root_mean_square", None, screen + noise, {"metric": "rmse", "threshold": 0.007}),
        ("with_a_budget", 50, screen + noise, {}),
    ):
        chosen = published.pixelprune(
            pixels, 12, 12, options.get("metric", "max"), options.get("threshold", 0.0), options.get("anchored", True), keep)
        # The two patches of a token follow each other.
        tensors = {"pixel_values": pixels.reshape(288, 3).astype(np.float32)}
        suite.add(
            "pixelprune", name, tensors,
            {"keep_tokens": keep or 144, "layout": {"type": "grid", "rows": 12, "columns": 12},
             "method_parameters": {**options, "adaptive": keep is None}},
            {**kept(chosen), "token_count": 144}, {"has_exact_ties": keep is not None})


def add_grid_cases(suite, uniform, smooth):
    features = smooth(981, 6, 10, 8)
    layout = {"layout": {"type": "grid", "rows": 6, "columns": 10}}
    for name, side, mode in (("four_by_four", 4, "avg"), ("five_by_five_largest", 5, "max"), ("one", 1, "avg")):
        rows = published.pool(features, 6, 10, side, mode)
        suite.add("pool", name, {"image_features": features, "expected.features": significant_rows(rows)},
                  {"keep_tokens": side * side, **layout, "method_parameters": {"mode": mode}}, {})
    for name, bands, across, mode in (
        ("bilinear", 3, 5, "bilinear"), ("area", 3, 5, "area"), ("area_of_parts", 4, 4, "area"), ("all", 6, 10, "bilinear"),
        ("bilinear_square", 4, 4, "bilinear"),
    ):
        rows = published.resize(features, 6, 10, bands, across, mode)
        suite.add("downsample", name, {"image_features": features, "expected.features": significant_rows(rows)},
                  {"keep_tokens": bands * across, **layout, "method_parameters": {"mode": mode}}, {})


def add(suite, uniform, smooth):
    for build in (
        add_coverage_cases, add_dividing_cases, add_reconstructing_cases, add_position_cases, add_grid_cases):
        build(suite, uniform, smooth)
