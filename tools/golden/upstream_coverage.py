"""The same as upstream.py, for the methods whose vectors are named by tile: coverage, frames, groups, pixels, grids."""
import math

import numpy as np

from upstream import kept_expectation, suffix_of, ties


def scope(case):
    features = case.inputs["image_features"]
    options = {"alpha": case.parameters["alpha"], "combined": case.parameters["combined"]}
    for tile in range(len(features)):
        tensors = {"image_features": features[tile]}
        if "cls_attention" in case.inputs:
            tensors["attention"] = case.inputs["cls_attention"][tile][:, 1:]
        order = case.out["selection_order"][tile]
        is_spoilt = not features[tile].any(axis=1).all()
        parameters = {
            "keep_tokens": len(order), "method_parameters": {**options, "faithful": True} if is_spoilt else options}
        expected = kept_expectation(case, order, order)
        # Ties go to the lower index on both sides, so copies are no excuse.
        yield suffix_of(tile, len(features)), "scope", tensors, parameters, expected, {"has_exact_ties": False}


def holov(case):
    features = case.inputs["image_features"]
    for tile in range(len(features)):
        positions = case.out["positions_output_order"][tile]
        order = [int(i) for i in positions if i >= 0]
        tensors = {"image_features": features[tile], "attention": case.inputs["attention"][tile]}
        expected = kept_expectation(case, order, order)
        expected["kept_in_row_order"] = order
        if "output_features" in case.out:
            tensors["expected.features"] = case.out["output_features"][tile]
        parameters = {
            "keep_tokens": len(positions),
            "method_parameters": {"crops": case.parameters["num_patches"], "faithful": True}}
        yield suffix_of(tile, len(features)), "holov", tensors, parameters, expected, {}


def vidcom2(case):
    features, kept = case.inputs["video_features"], case.out["kept_sorted"]
    options = {"frames": case.parameters["frames"]}
    if case.parameters["model"] == "vllm":
        options["base_ratio"] = 1 - case.parameters["pruning_rate"]
        parameters = {"keep_tokens": int(case.out["target"][0])}
    else:
        options |= {"base_ratio": case.parameters["base_scale"], "variant": "published"}
        parameters = {"keep_tokens": len(features)}
    expected = kept_expectation(case, kept)
    flags = {}
    if ties(case):
        # Two identical frames: their tokens have one score, and which of the two goes is open.
        expected.pop("kept_pairs")
        scores = case.out["token_score"].ravel()
        cut = np.sort(scores[kept])[-1]
        tied = np.flatnonzero(np.isclose(scores, cut, rtol=1e-5))
        expected |= {
            "tied_indices": tied.tolist(), "tie_free_kept_indices": [int(i) for i in kept if i not in set(tied)]}
        flags["tie_at_the_cut"] = True
    yield "", "vidcom2", {"image_features": features}, {**parameters, "method_parameters": options}, expected, flags


def prunesid(case):
    if case.parameters.get("variant") == "qwen2vl":
        order = case.out["indices_output_order"]
        parameters = {"keep_tokens": len(order), "method_parameters": {"variant": "qwen2_vl"}}
        expected = kept_expectation(case, order)
        expected["kept_in_row_order"] = [int(i) for i in order]
        tensors = {
            "image_features": case.inputs["merged_features"],
            "expected.features": case.inputs["merged_features"][order]}
        yield "", "prunesid", tensors, parameters, expected, {}
        return
    hidden, attention = case.inputs["hidden_states"], case.inputs["cls_attention"]
    for tile in range(len(hidden)):
        order = [int(i) - 1 for i in case.out["indices_output_order_with_cls"][tile] if i > 0]
        expected = kept_expectation(case, order, order)
        expected["kept_in_row_order"] = order
        tensors = {
            "image_features": hidden[tile, 1:], "attention": attention[tile][:, 1:],
            "expected.features": hidden[tile, 1:][order]}
        yield (suffix_of(tile, len(hidden)), "prunesid", tensors, {"keep_tokens": len(order)}, expected,
               {"has_exact_ties": False})


def mmtok(case):
    features = case.inputs["vision_tokens"]
    tensors = {
        "image_features": features, "encoder_features": case.inputs["vision_tokens_clip"],
        "text_features": case.inputs["text_token_embedding"]}
    options = {
        "alpha": case.parameters["alpha"], "text_temperature": case.parameters["tv_temp"],
        "vision_temperature": case.parameters["vv_temp"]}
    order = list(dict.fromkeys(case.out["selection_order"].tolist()))
    keep = min(case.parameters["keep"], len(features))
    if "padding_patch_indices" in case.inputs:
        mask = np.zeros(len(features), np.float32)
        mask[case.inputs["padding_patch_indices"]] = 1
        tensors["padding_mask"] = mask
        if len(order) < keep:
            options["faithful"] = True
    parameters = {"keep_tokens": keep, "method_parameters": options}
    yield "", "mmtok", tensors, parameters, kept_expectation(case, order, order), {"has_exact_ties": False}


def apet(case):
    features = case.inputs["image_features"]

    def output(name, tile):
        return case.out_f64.get(name, case.out.get(name))[tile]

    for tile in range(len(features)):
        kept, order = output("kept_sorted", tile), output("error_order", tile)
        tensors = {"image_features": features[tile], "expected.features": output("output_features", tile)}
        expected = kept_expectation(case, kept)
        expected["kept_in_row_order"] = [int(i) for i in kept]
        if "assignment_among_dropped" in case.out and not ties(case):
            rows = {int(token): row for row, token in enumerate(kept)}
            assignments = np.full(len(features[tile]), -1)
            assignments[kept] = np.arange(len(kept))
            dropped = [i for i in range(len(features[tile])) if i not in rows]
            assignments[dropped] = [rows[int(order[i])] for i in output("assignment_among_dropped", tile)]
            expected["assignments"] = assignments.tolist()
        parameters = {
            "keep_tokens": case.parameters["visual_token_num"],
            "method_parameters": {
                "basis_tokens": case.parameters["basis_token_num"], "start_token": case.parameters["fps_start"][tile],
                "faithful": True}}
        yield suffix_of(tile, len(features)), "apet", tensors, parameters, expected, {}


def vscan(case):
    features = case.inputs["image_features"]
    for tile in range(len(features)):
        tensors = {
            "image_features": features[tile], "attention": case.inputs["cls_attention_layer22"][tile],
            "early_attention": case.inputs["cls_attention_layer5"][tile]}
        parameters = {
            "keep_tokens": case.parameters["visual_token_num"], "method_parameters": {"faithful": True}}
        if "exception" in case.out:
            expected = {
                "refused_at": "/method_parameters/faithful", "raises": [str(case.out["exception"])],
                "token_count": 576}
            yield suffix_of(tile, len(features)), "vscan", tensors, parameters, expected, {}
            continue
        kept = case.out["kept_sorted"][tile]
        assignments = np.full(len(features[tile]), -1)
        assignments[kept] = np.arange(len(kept))
        assignments[assignments < 0] = case.out["assignment_among_dropped"][tile]
        expected = kept_expectation(case, kept)
        expected |= {"kept_in_row_order": kept.tolist(), "assignments": assignments.tolist()}
        tensors["expected.features"] = case.out["output_features"][tile]
        yield suffix_of(tile, len(features)), "vscan", tensors, parameters, expected, {}


def ivcprune(case):
    given = case.parameters
    is_qwen = given["variant"] == "qwen"
    options = {
        "variant": "qwen2_5_vl" if is_qwen else "llava", "image_start": given["image_start"],
        "rope_base": given["rope_theta"], "head_width": given["head_dim"], "faithful": True}
    layout = {"type": "grid", "rows": given["grid_h"], "columns": given["grid_w"]}
    kept = case.out["kept_sorted"].tolist()
    expected, flags = {"kept_indices": kept, "token_count": given["image_length"]}, {}
    if case.name.endswith("tied_boundary"):
        # Tokens (r, c) and (c, r) have one mean, and the cut lies between two such.
        sines = case.out["sin_mean"]
        top = case.out["sin_top_sorted"]
        tied = np.flatnonzero(np.abs(sines - sines[top].min()) < 1e-5)
        open_ones = set(tied.tolist()) | {min(kept, key=lambda i: case.out["score"][i] if i not in top else math.inf)}
        expected |= {
            "tied_indices": list(range(given["image_length"])),
            "tie_free_kept_indices": [i for i in kept if i not in open_ones]}
        flags["tie_at_the_cut"] = True
    parameters = {
        "keep_tokens": len(kept) if flags else given["image_length"], "layout": layout, "method_parameters": options}
    yield "", "ivcprune", {"value_states": case.inputs["value_states"]}, parameters, expected, flags


def pixelprune(case):
    given = case.parameters
    merge = given["spatial_merge_size"]
    rows, columns = given["grid_h"] // merge, given["grid_w"] // merge
    options = {name: given[name] for name in ("metric", "threshold", "anchored")} | {"adaptive": True}
    parameters = {
        "keep_tokens": rows * columns, "layout": {"type": "grid", "rows": rows, "columns": columns},
        "method_parameters": options}
    expected = {**kept_expectation(case, case.out["kept_sorted"]), "token_count": rows * columns}
    yield "", "pixelprune", {"pixel_values": case.inputs["pixel_values"]}, parameters, expected, {}


def pool(case):
    features, given = case.inputs["vit_embeds"], case.parameters
    count = features.shape[1]
    rows = given["input_height"] or (count // given["input_width"] if given["input_width"] else None)
    output = case.out["output_features"].reshape(len(features), given["target_tokens"], -1)
    for tile in range(len(features)):
        parameters = {"keep_tokens": given["target_tokens"], "method_parameters": {"mode": given["mode"]}}
        if rows:
            parameters["layout"] = {"type": "grid", "rows": rows, "columns": count // rows}
        tensors = {"image_features": features[tile], "expected.features": output[tile]}
        yield suffix_of(tile, len(features)), "pool", tensors, parameters, {}, {}


EXPORTERS = {
    function.__name__: function
    for function in (scope, holov, vidcom2, prunesid, mmtok, apet, vscan, ivcprune, pixelprune, pool)
}
