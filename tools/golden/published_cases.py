"""The committed cases of the published methods: inputs by recipe, answers by published.py."""
import numpy as np

import algorithms as reference
import published


def significant_rows(rows):
    """Rows of the answer as a tensor; float32 holds more digits than the comparison demands."""
    return np.asarray(rows, np.float32)


def attention(make, seed, *shape):
    """Positive, with a few tokens that stand out, as sinks do."""
    values = make(seed, *shape) + 0.05
    values[..., ::7] *= 1.9
    return values.astype(np.float32)


def add_merging_cases(suite, uniform, smooth):
    for name, keep, contextual in (("dominant_and_contextual", 20, 4), ("uneven_step", 17, 7), ("none_contextual", 9, 0)):
        features, keys, row = smooth(401, 8, 8, 12), smooth(411, 8, 8, 8), attention(uniform, 421, 4, 64)
        scores = reference.head_mean(row)
        kept, assignments, rows = published.visionzip(scores, features, keys, keep, contextual)
        suite.add(
            "visionzip", name, {"attention": row, "key": keys, "image_features": features,
                                "expected.features": significant_rows(rows)},
            {"keep_tokens": keep, "method_parameters": {"contextual_tokens": contextual}},
            {"kept_indices": sorted(kept), "kept_in_row_order": kept, "assignments": assignments})
    for name, keep, ratio in (("half_important", 16, 0.5), ("odd_residue", 18, 0.5), ("all_diverse", 12, 0.0)):
        features, row = smooth(431, 8, 8, 16), attention(uniform, 441, 4, 64)
        order = published.vispruner(reference.head_mean(row), features, keep, ratio)
        suite.add(
            "vispruner", name, {"image_features": features, "attention": row},
            {"keep_tokens": keep, "method_parameters": {"important_ratio": ratio}},
            {"kept_indices": sorted(order), "order": order})
    for method, name, keep in (
        ("prumerge", "eight_of_64", 8), ("prumerge", "more_than_neighbours", 40), ("prumerge_plus", "sixteen_of_64", 16),
        ("prumerge_plus", "nine_of_64", 9),
    ):
        features, keys, row = smooth(451, 8, 8, 12), smooth(461, 8, 8, 16), attention(uniform, 471, 64) / 64
        kept = reference.top_k(row, keep) if method == "prumerge" else published.prumerge_plus(row, keep, 0.25)
        rows = published.prumerge_rows(kept, row.astype(np.float64), features, keys)
        suite.add(
            method, name, {"attention": row, "key": keys, "image_features": features,
                           "expected.features": significant_rows(rows)},
            {"keep_tokens": keep}, {"kept_indices": sorted(kept), "order": kept, "kept_in_row_order": kept})
    for name, keep, options, weighted in (
        ("sixteen_merged", 48, {}, False), ("class_token", 40, {"class_token": True}, False),
        ("four_steps", 20, {"steps": 4}, False), ("more_than_half", 10, {}, True),
    ):
        features, keys = smooth(481, 8, 8, 12), smooth(491, 8, 8, 16)
        sizes = np.floor(uniform(501, 64, low=1, high=5)) if weighted else np.ones(64, np.float32)
        assignments, total, rows = published.tome(features, keys, sizes.astype(int).tolist(), keep, **options)
        tensors = {"image_features": features, "key": keys, "expected.features": significant_rows(rows)}
        if weighted:
            tensors["sizes"] = sizes
        suite.add("tome", name, tensors, {"keep_tokens": keep, "method_parameters": options},
                  {"assignments": assignments.tolist(), "sizes": total})


def add_choosing_cases(suite, uniform, smooth):
    for name, keep, with_text in (("with_text", 20, True), ("uneven_quota", 23, True), ("image_only", 14, False)):
        features, keys = smooth(511, 8, 8, 16), uniform(521, 2, 64, 8, low=-1)
        tensors = {"image_features": features, "key": keys}
        text, text_keys = uniform(531, 9, 16, low=-1), uniform(541, 2, 9, 8, low=-1)
        if with_text:
            tensors |= {"text_features": text, "text_key": text_keys}
        kept = published.dart(features, keys, text if with_text else None, text_keys, keep)
        suite.add("dart", name, tensors, {"keep_tokens": keep}, {"kept_indices": sorted(kept)})
    for name, keep, rows, columns, alpha in (("two_by_two", 64, 2, 2, 0.5), ("one_by_three", 51, 1, 3, 0.25)):
        count = (rows * columns + 1) * 64
        row, early = attention(uniform, 551, 2, count), attention(uniform, 561, 2, 64)
        kept = published.hired(reference.head_mean(row), reference.head_mean(early), keep, rows, columns, alpha)
        suite.add(
            "hired", name, {"attention": row, "early_attention": early},
            {"keep_tokens": keep,
             "method_parameters": {"tile_rows": rows, "tile_columns": columns, "alpha": alpha}},
            {"kept_indices": sorted(kept)})
    for name, keep, segments in (("one_text", 16, 1), ("two_texts", 9, 2)):
        features, embeddings, text = smooth(571, 8, 8, 12), smooth(581, 8, 8, 8), uniform(591, segments, 8, low=-1)
        scores = -reference.dot(embeddings, text).mean(axis=1)
        kept = sorted(reference.top_k(scores, keep))
        pruned = [i for i in range(64) if i not in kept]
        rows = np.r_[features[kept], features[pruned].astype(np.float64).mean(axis=0)[None]]
        suite.add(
            "trim", name, {"image_features": features, "relevance_features": embeddings, "text_features": text,
                           "expected.features": significant_rows(rows)},
            {"keep_tokens": keep}, {"kept_indices": kept, "kept_in_row_order": kept})
    for name, keep, frames in (("four_frames", 32, 4), ("less_than_a_frame", 10, 4), ("one_frame", 20, 1)):
        features = np.concatenate([smooth(601 + (frame > 1), 4, 4, 8, noise=0.2 + 0.1 * frame) for frame in range(4)])
        order = reference.top_k(published.evs_scores(features, frames), keep)
        suite.add("evs", name, {"image_features": features},
                  {"keep_tokens": keep, "method_parameters": {"frames": frames}},
                  {"kept_indices": sorted(order), "order": order})


def add_language_model_cases(suite, uniform, smooth):
    visual, text, rows = smooth(611, 8, 8, 8), uniform(621, 7, 8, low=-1), attention(uniform, 631, 3, 7, 64)
    chosen = published.raters(visual, text)
    scores = published.rater_scores(rows, chosen)
    kept = sorted(reference.top_k(scores, 16))
    assignments, merged = published.sparsevlm_rows(kept, scores, visual)
    tensors = {"attention": rows, "image_features": visual, "text_features": text}
    suite.add(
        "sparsevlm", "raters_and_clusters", {**tensors, "expected.features": significant_rows(merged)},
        {"keep_tokens": 16}, {"kept_indices": kept, "kept_in_row_order": kept, "assignments": assignments.tolist()})
    mask = np.array([float(j in chosen) for j in range(7)], np.float32)
    suite.add("sparsevlm", "given_raters", {"attention": rows, "text_raters": mask}, {"keep_tokens": 16},
              {"kept_indices": kept})
    mixed = np.floor(uniform(641, 6, 3) * 8) @ np.floor(uniform(651, 3, 64) * 8)
    rank = int(np.linalg.matrix_rank(mixed))
    order = reference.top_k(published.rater_scores(mixed[None], range(6)), 4 * rank + 1)
    suite.add(
        "sparsevlm", "rank_rule", {"attention": mixed[None].astype(np.float32)},
        {"keep_tokens": 64, "method_parameters": {"rank_scale": 4, "rank_bias": 1}},
        {"kept_indices": sorted(order)}, {"has_exact_ties": True})
    many = attention(uniform, 661, 6, 7, 64)
    freed = published.corrected(many, 5 + np.arange(64), 69)
    kept = sorted(reference.top_k(published.plus_scores(freed, chosen, 4), 12))
    suite.add(
        "sparsevlm_plus", "four_of_six_heads", {"attention": many, "text_raters": mask},
        {"keep_tokens": 12, "method_parameters": {"heads": 4, "image_start": 5}}, {"kept_indices": kept})
    hidden, weights = uniform(671, 80, 16, low=-1), [uniform(seed, 16, 16, low=-1) for seed in (681, 691)]
    norm = uniform(701, 16, low=0.8, high=1.2)
    scores = published.last_token_scores(hidden, norm, *weights, 2, slice(6, 70))
    order = reference.top_k(scores, 32)
    suite.add(
        "pyramiddrop", "hidden_states",
        {"hidden_states": hidden, "norm_weight": norm, "query_weight": weights[0], "key_weight": weights[1]},
        {"keep_tokens": 32, "method_parameters": {"heads": 2, "image_start": 6}},
        {"kept_indices": sorted(order), "order": order, "token_count": 64})
    last = uniform(711, 4, 3, 64)
    order = reference.top_k(reference.head_mean(last), 16)
    suite.add("pyramiddrop", "last_query_row", {"attention": last}, {"keep_tokens": 16},
              {"kept_indices": sorted(order), "order": order})


def add(suite, uniform, smooth):
    for build in (add_merging_cases, add_choosing_cases, add_language_model_cases):
        build(suite, uniform, smooth)
