"""How the vectors of each published method become cases: what their authors call things, in this service's names.

Every function takes a `Case` of export.py and yields (suffix, method, tensors, parameters, expected, flags), one per
image and stage. Of `expected`, next to those of Tests/Golden/README.md:

    kept_in_row_order   the kept tokens as rows of /compress
    refused_at          where the request is refused, as the authors' code raises
    kept_pairs          sorted index // 2 of the kept tokens, where tokens 2 i and 2 i + 1 are copies of each other
    token_count         N, where no tensor of one row per token tells it

Tensors `expected.*` are part of the answer, not of the request.
"""
import math

import numpy as np


def ties(case):
    return bool(case.flags.get("has_exact_ties"))


def kept_expectation(case, kept, order=None, alternative=None, alternative_order=None):
    kept = [int(i) for i in kept]
    expected = {"kept_indices": sorted(kept)}
    if order is not None:
        expected["order"] = [int(i) for i in order]
    if alternative is not None:
        expected["alternative_kept_indices"] = sorted(int(i) for i in alternative)
    if alternative_order is not None:
        expected["alternative_order"] = [int(i) for i in alternative_order]
    if ties(case):
        expected["kept_pairs"] = sorted(i // 2 for i in kept)
    return expected


def split_rows(flat, counts):
    return [row.tolist() for row in np.split(np.asarray(flat), np.cumsum(counts)[:-1])]


def suffix_of(tile, count):
    return f"_tile{tile}" if count > 1 else ""


def visionzip(case):
    hidden, keys, attention = (case.inputs[k] for k in ("hidden_states", "key_metric", "cls_attention"))
    contextual = case.parameters["contextual"]
    for tile in range(len(hidden)):
        dominant = [i - 1 for i in case.out["dominant_sorted"][tile].tolist() if i > 0]
        rest = [i for i in range(hidden.shape[1] - 1) if i not in set(dominant)]
        places = case.out["contextual_target_indices_in_filtered"].tolist()
        targets = [rest[place] for place in places]
        assignments = np.full(hidden.shape[1] - 1, -1)
        assignments[dominant + targets] = np.arange(len(dominant) + contextual)
        others = [i for place, i in enumerate(rest) if place not in set(places)]
        assignments[others] = len(dominant) + case.out["assignment"][tile]
        output = case.out["output_features"][tile]
        if not np.array_equal(output[0], hidden[tile, 0]):
            raise SystemExit(f"visionzip/{case.name}: the first row is not [CLS]")
        expected = kept_expectation(case, dominant + targets)
        expected |= {"kept_in_row_order": dominant + targets, "assignments": assignments.tolist()}
        tensors = {
            "attention": attention[tile][:, 1:], "key": keys[tile, 1:], "image_features": hidden[tile, 1:],
            "expected.features": output[1:]}
        parameters = {
            "keep_tokens": len(dominant) + contextual, "method_parameters": {"contextual_tokens": contextual}}
        yield suffix_of(tile, len(hidden)), "visionzip", tensors, parameters, expected, {}


def vispruner(case):
    options = {"important_ratio": case.parameters["important_ratio"]}
    if "raises" in case.out:
        tensors = {
            "image_features": case.inputs["image_features"][0], "attention": case.inputs["cls_attention"][0]}
        parameters = {"keep_tokens": case.parameters["keep"], "method_parameters": {**options, "faithful": True}}
        expected = {"refused_at": "/method_parameters/faithful", "raises": [str(text) for text in np.ravel(case.out["raises"])]}
        yield "", "vispruner", tensors, parameters, expected, {}
        return
    kept = split_rows(case.out["kept_sorted_flat"], case.out["kept_count"])
    kept_f64 = split_rows(case.out_f64.get("kept_sorted_flat", case.out["kept_sorted_flat"]), case.out["kept_count"])
    orders = case.out["selected_in_upstream_order"]
    orders_f64 = case.out_f64.get("selected_in_upstream_order", orders)
    for tile in range(len(kept)):
        tensors = {
            "image_features": case.inputs["image_features"][tile], "attention": case.inputs["cls_attention"][tile]}
        parameters = {
            "keep_tokens": case.parameters["keep"], "method_parameters": options}
        # Of tied similarities the order decides the next round, so only the important part is certain.
        expected = kept_expectation(case, kept_f64[tile], orders_f64[tile])
        flags = {}
        if ties(case):
            important = case.out["important_indices"][tile].tolist()
            expected = {"kept_indices": kept[tile], "tie_free_kept_indices": sorted(important)}
            expected["tied_indices"] = [i for i in range(len(tensors["image_features"])) if i not in important]
            flags["tie_at_the_cut"] = True
        yield suffix_of(tile, len(kept)), "vispruner", tensors, parameters, expected, flags


def prumerge(case):
    keys, queries, features = (case.inputs[k][0] for k in ("keys", "queries", "image_features"))
    logits = keys.astype(np.float64) @ queries[0].astype(np.float64) / math.sqrt(keys.shape[1])
    weights = np.exp(logits - logits.max())
    attention = (weights / weights.sum())[1:]
    if not np.allclose(attention, case.out["cls_attention"][0], rtol=1e-4, atol=1e-7):
        raise SystemExit(f"prumerge/{case.name}: the attention is not upstream's")
    anchors = case.out["anchor_indices"][0].tolist()
    is_plus = case.parameters["variant"] == "plus"
    expected = {"kept_in_row_order": anchors}
    if ties(case):
        expected["kept_pairs"] = sorted(i // 2 for i in anchors)
    elif not is_plus:
        expected |= kept_expectation(case, anchors, anchors)
    tensors = {
        "attention": attention, "key": keys[1:], "image_features": features,
        "expected.features": case.out["output_features"][0]}
    keep = math.floor(len(features) * float(case.out["reduction_ratio_used"]))
    parameters = {"keep_tokens": keep, "method_parameters": {"faithful": True} if is_plus else {}}
    yield "", "prumerge_plus" if is_plus else "prumerge", tensors, parameters, expected, {}


def tome(case):
    metric, features = case.inputs["metric"][0], case.inputs["x"][0]
    tensors = {"key": metric, "image_features": features, "expected.features": case.out["output_features"][0]}
    if "size" in case.inputs:
        tensors["sizes"] = case.inputs["size"][0, :, 0]
    parameters = {
        "keep_tokens": case.out["output_features"].shape[1],
        "method_parameters": {"steps": case.parameters["steps"], "class_token": case.parameters["class_token"]}}
    expected = {
        "assignments": case.out["output_row_of_token"].tolist(),
        "sizes": [int(size) for size in case.out["output_sizes"][0]]}
    yield "", "tome", tensors, parameters, expected, {}


def dart(case):
    start, length = case.parameters["image_token_start_index"], case.parameters["image_token_length"]
    hidden, keys = case.inputs["normed_hidden"][0], case.inputs["key_states"][0]
    image, text = slice(start, start + length), slice(start + length, None)
    tensors = {
        "image_features": hidden[image], "text_features": hidden[text], "key": keys[:, image],
        "text_key": keys[:, text]}
    kept = case.out["kept_sorted"].tolist()
    parameters = {
        "keep_tokens": len(kept),
        "method_parameters": {
            "faithful": True, "image_start": start, "image_pivots": case.parameters["pivot_image_token"],
            "text_pivots": case.parameters["pivot_text_token"]}}
    yield "", "dart", tensors, parameters, kept_expectation(case, kept), {}


def trim(case):
    features = case.inputs["image_features"].astype(np.float64)
    centred = features - features.mean(axis=-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    normed = normed * case.inputs["ln_weight"].astype(np.float64) + case.inputs["ln_bias"].astype(np.float64)
    embeddings = normed @ case.inputs["proj_weight"].astype(np.float64).T
    kept = split_rows(case.out["kept_sorted_flat"], case.out["kept_count"])
    for tile, rows in enumerate(kept):
        tensors = {
            "image_features": case.inputs["image_features"][tile], "relevance_features": embeddings[tile],
            "text_features": case.inputs["text_embeds"][tile],
            "expected.features": case.out["output_features_f16"][tile].astype(np.float32)}
        flags = {"feature_tolerance": 4e-3}
        yield (suffix_of(tile, len(kept)), "trim", tensors, {"keep_tokens": len(rows)},
               kept_expectation(case, rows), flags)


def hired(case):
    bottom = case.inputs["bottom_cls_attention"][:, :, 1:]
    tiles, heads, size = bottom.shape
    tensors = {"attention": np.ascontiguousarray(bottom.transpose(1, 0, 2)).reshape(heads, tiles * size)}
    options = {"alpha": case.parameters["alpha"], "faithful": True}
    if tiles > 1:
        tensors["early_attention"] = case.inputs["top_cls_attention"][0, :, 1:]
        side = math.isqrt(tiles - 1)
        rows, columns = (side, side) if side * side == tiles - 1 else (1, tiles - 1)
        options |= {"tile_rows": rows, "tile_columns": columns}
    kept = split_rows(case.out["kept_sorted_flat"], case.out["kept_count"])
    kept = [tile * size + i for tile, row in enumerate(kept) for i in row]
    parameters = {
        "keep_tokens": math.floor(tiles * size * case.parameters["token_budget_rate"]), "method_parameters": options}
    yield "", "hired", tensors, parameters, kept_expectation(case, kept), {}


def evs(case):
    frames = case.parameters["t"]
    features = case.inputs["video_embeds"].astype(np.float64)
    kept = case.out["kept_sorted"].tolist()
    expected, flags = {"kept_indices": kept}, {}
    if ties(case):
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        size = len(features) // frames
        change = np.r_[np.full(size, 255.0), 1 - (unit[size:] * unit[:-size]).sum(axis=1)]
        same = set(np.flatnonzero(change < 1e-6).tolist())
        expected |= {"tied_indices": sorted(same), "tie_free_kept_indices": [i for i in kept if i not in same]}
        flags["tie_at_the_cut"] = True
    parameters = {"keep_tokens": len(kept), "method_parameters": {"frames": frames}}
    yield "", "evs", {"image_features": case.inputs["video_embeds"]}, parameters, expected, flags
    yield "_positions", "evs_positions", {}, *positions_of(case), {}


def positions_of(case):
    """Position ids of upstream's own kept tokens, [time, height, width] and the grid's width."""
    shape = {name: case.parameters[name] for name in ("t", "h", "w", "merge")}
    kept = case.out["kept_sorted"]
    media = case.out["mrope_media_thw_maxw"]
    expected = {
        "kept_indices": kept.tolist(), "position_ids": media[kept, :3].T.tolist(),
        "grid_width": sorted(set(media[:, 3].tolist())),
        # 3 text tokens and the vision start in front, 4 text tokens behind.
        "prompt_position_ids": case.out["recomputed_positions_prompt"].tolist(),
        "prompt_position_delta": int(case.out["recomputed_delta"]),
        "placeholders_per_frame": case.out["sglang_placeholder_tokens_per_frame"].tolist()}
    return {"keep_tokens": len(kept), "shape": shape, "tokens_per_second": 2.0}, expected


def sparsevlm(case):
    start, length = case.parameters["image_start"], case.parameters["image_length"]
    embeds = case.inputs["embeds"]
    raters = np.zeros(case.parameters["text_length"], np.float32)
    raters[case.out["text_rater_indices"]] = 1
    is_plus = case.parameters["version"] == "2_0"
    visual, original = embeds[start : start + length], np.arange(length)
    stable = case.flags.get("merged_features_stable_under_upstream_random_noise", {})
    for stage in range(3):
        attention = case.inputs[f"text_to_visual_attention_{stage}"]
        kept = case.out[f"stage{stage}_kept_of_current"]
        tensors = {"attention": attention, "image_features": visual}
        flags = {}
        # The raters are found once, before the first layer; later stages are told.
        if stage == 0:
            tensors["text_features"] = embeds[start + length :]
        else:
            tensors["text_raters"] = raters
        expected = kept_expectation(case, kept)
        parameters = {"keep_tokens": len(kept)}
        if is_plus:
            tensors["position_ids"] = start + original
            parameters["method_parameters"] = {"text_start": start + length}
            visual, original = visual[kept], original[kept]
        else:
            merged = case.out[f"stage{stage}_merged"]
            if stable.get(f"stage{stage}", False):
                tensors["expected.features"] = np.r_[visual[kept], merged]
            else:
                flags["clusters_decided_by_noise"] = True
            visual = np.r_[visual[kept], merged]
        method = "sparsevlm_plus" if is_plus else "sparsevlm"
        yield f"_stage{stage}", method, tensors, parameters, expected, flags


def sparsevlm_rank(case):
    rows = case.inputs["relation"][case.inputs["rater_index"]]
    options = {"rank_scale": case.parameters["scale"], "rank_bias": case.parameters["bias"]}
    parameters = {"keep_tokens": rows.shape[1], "method_parameters": options}
    yield ("_rank", "sparsevlm", {"attention": rows[None]}, parameters,
           kept_expectation(case, case.out["kept_sorted"]), {"adaptive_count": True})


def pdrop(case):
    start, length = case.parameters["image_start"], case.parameters["image_length"]
    hidden, count = case.inputs["hidden"], case.parameters["image_length"]
    for stage in range(len(case.parameters["layer_list"])):
        kept = case.out[f"stage{stage}_kept_of_current"]
        tensors = {
            "hidden_states": hidden, "norm_weight": case.inputs[f"norm_weight_{stage}"],
            "query_weight": case.inputs[f"wq_{stage}"], "key_weight": case.inputs[f"wk_{stage}"]}
        keep = math.floor(length * case.parameters["ratio_list"][stage])
        parameters = {
            "keep_tokens": keep,
            "method_parameters": {"heads": case.parameters["heads"], "image_start": start}}
        expected = {**kept_expectation(case, kept), "token_count": count}
        yield f"_stage{stage}", "pyramiddrop", tensors, parameters, expected, {}
        hidden = np.r_[hidden[:start], hidden[start : start + count][kept], hidden[start + count :]]
        count = len(kept)


def fastdpp_openvino(case):
    if case.parameters["split"]:
        raise SystemExit(f"fastdpp_openvino/{case.name}: there is no counterpart of the two halves")
    order = case.out["returned_indices"].tolist()
    yield ("", "fastdpp_openvino", {"kernel": case.inputs["kernel"]}, {"keep_tokens": case.parameters["keep"]},
           {"kept_indices": sorted(order), "returned_indices": order}, {})


def vicrop(case):
    parameters = {
        "image_size": case.parameters["image_size_wh"], "base": case.parameters["bbox_size"], "faithful": True}
    expected = {
        "box": case.out["bbox_x1y1x2y2"].tolist(), "sharpness": np.nan_to_num(case.out["sharpness_per_ratio"]).tolist()}
    yield "", "vicrop", {"map": case.inputs["attention_map"]}, parameters, expected, {}


EXPORTERS = {
    function.__name__: function
    for function in (
        visionzip, vispruner, prumerge, tome, dart, trim, hired, evs, sparsevlm, sparsevlm_rank, pdrop,
        fastdpp_openvino, vicrop)
}
