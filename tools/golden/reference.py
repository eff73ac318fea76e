#!/usr/bin/env python3
"""Writes the committed golden cases Tests/Golden/<method>/<case>.safetensors from the float64 reference.

    tools/golden/reference.py            write them
    tools/golden/reference.py --check    write nothing; fail when a file says something else, is missing or is not ours
    tools/golden/reference.py --self-test    damage cases, and see that the check notices
    tools/golden/reference.py --against DIR    compare the reference to cases that export.py wrote

Inputs come from `Generator.random`, whole numbers and elementwise arithmetic only, so they are the same bytes on every
machine; expected numbers, rounded to 15 significant digits, agree within casefile.TOLERANCE.
"""
import argparse
import pathlib
import sys

import numpy as np

import algorithms as reference
import casefile
import coverage_cases
import published
import published_cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "Tests" / "Golden"
SOURCE = {"repository": "this one", "function": "tools/golden/reference.py"}
# A float32 implementation errs by about 1e-6 relative; cases that are not about ties keep clear of that.
CLEAR_MARGIN = 2e-5


def significant(value):
    """Numbers of a JSON value rounded to 15 significant digits."""
    if isinstance(value, dict):
        return {key: significant(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [significant(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.15g}")
    return int(value) if isinstance(value, np.integer) else value


class Suite:
    """Collects case files as {relative path: bytes}."""

    def __init__(self):
        self.files = {}

    def add(self, method, name, tensors, parameters, expected, flags=None):
        if method not in ("localization", "merge"):
            options = parameters.pop("method_parameters", {})
            parameters = {"method": method, **parameters, "method_parameters": options}
        data = casefile.encode_case(
            method, tensors, parameters, significant(expected), significant(flags or {}), SOURCE)
        path = f"{method}/{name}.safetensors"
        if len(data) >= 40_000 or path in self.files:
            raise SystemExit(f"{path}: {len(data)} bytes, or twice the same name")
        self.files[path] = data


def uniform(seed, *shape, low=0.0, high=1.0, dtype=np.float32):
    return (np.random.default_rng(seed).random(shape) * (high - low) + low).astype(dtype)


def smooth(seed, rows, columns, width, noise=0.6):
    """[rows * columns, width]: features that vary slowly over the grid, as neighbouring image tokens do."""
    coarse = uniform(seed, 4, 4, width, low=-1, high=1, dtype=np.float64)
    y = np.minimum((np.arange(rows) * 4) // max(rows, 1), 3)
    x = np.minimum((np.arange(columns) * 4) // max(columns, 1), 3)
    field = coarse[y][:, x].reshape(rows * columns, width)
    return (field + noise * uniform(seed + 1, rows * columns, width, low=-1, high=1)).astype(np.float32)


def signs(seed, count, distinct, width=16):
    """[count, width] of +-1, only `distinct` different rows: norms and cosines are exact, so ties are exact."""
    generator = np.random.default_rng(seed)
    rows = (generator.integers(0, 2, (distinct, width)) * 2 - 1).astype(np.float32)
    return rows[generator.integers(0, distinct, count)]


def grid(rows, columns):
    return {"layout": {"type": "grid", "rows": rows, "columns": columns}}


def chosen(order, token_count):
    """Where every token is kept there is no choice, and no order is expected."""
    expected = {"kept_indices": sorted(order)}
    return expected if len(order) == token_count else {**expected, "order": list(order)}


def add_score_cases(suite):
    """topk, fastv and fastervlm: the same rule on what each of them calls attention."""
    for offset, method in enumerate(("topk", "fastv", "fastervlm")):
        base = 100 * offset + 3
        rows = [
            ("heads_64", uniform(base + 1, 8, 64), 16, {}, {}),
            ("one_of_144", uniform(base + 2, 4, 144), 1, {}, {}),
            ("ties_64", np.floor(uniform(base + 3, 64) * 4).astype(np.float32), 21, {}, {"has_exact_ties": True}),
            ("none_of_36", uniform(base + 4, 2, 36), 0, {}, {}),
            ("all_of_36", uniform(base + 5, 2, 36), 36, {}, {}),
            ("one_row_grid", uniform(base + 6, 4, 20), 5, grid(1, 20), {}),
        ]
        if method == "topk":
            rows += [
                ("half_precision", uniform(base + 7, 100, dtype=np.float16), 25, {}, {"has_exact_ties": True}),
                ("negative_scores", uniform(base + 8, 64, low=-2, high=-1), 9, {}, {}),
                ("all_equal", np.full(64, 0.25, np.float32), 10, {}, {"has_exact_ties": True}),
            ]
        if method == "fastv":
            rows.append(("last_query_row", uniform(base + 7, 4, 3, 64), 16, {}, {}))
        for name, attention, keep, extra, flags in rows:
            order = reference.top_k(reference.head_mean(attention), keep)
            suite.add(
                method, name, {"attention": attention}, {"keep_tokens": keep, **extra},
                chosen(order, attention.shape[-1]), flags)


def with_clear_margin(build, run):
    """Tries seeds in order until every greedy decision is clear. -> (inputs, order, margin)."""
    for seed in range(1, 200):
        inputs, margin = build(1000 * seed), reference.Margin()
        order = run(inputs, margin)
        if margin.smallest > CLEAR_MARGIN:
            return inputs, order, margin.smallest
    raise SystemExit("no seed gives clear decisions")


def add_divprune_cases(suite):
    for name, rows, columns, width, keep in (
        ("grid_64", 8, 8, 32, 16), ("grid_144", 12, 12, 32, 36), ("one_of_64", 8, 8, 16, 1),
        ("none_of_16", 4, 4, 8, 0), ("all_of_16", 4, 4, 8, 16), ("one_row_grid", 1, 20, 16, 7),
    ):
        inputs, order, margin = with_clear_margin(
            lambda seed: smooth(seed, rows, columns, width),
            lambda features, margin: reference.divprune(features, keep, margin))
        extra = grid(rows, columns) if rows != columns else {}
        flags = {"minimum_margin": margin} if np.isfinite(margin) else {}
        suite.add(
            "divprune", name, {"image_features": inputs}, {"keep_tokens": keep, **extra},
            chosen(order, rows * columns), flags)
    for name, features, keep in (
        ("ties_of_signs", signs(11, 64, 64), 20), ("duplicates", signs(12, 64, 12), 20),
        ("zero_row", signs(13, 64, 40), 12), ("zero_rows_needed", signs(15, 16, 16), 14),
        ("one_token", signs(14, 1, 1), 1),
    ):
        flags = {"has_exact_ties": True}
        if name.startswith("zero_row"):
            flags["zero_rows"] = [10] if name == "zero_row" else [2, 7, 11]
            features[flags["zero_rows"]] = 0
        order = reference.divprune(features, keep)
        suite.add(
            "divprune", name, {"image_features": features}, {"keep_tokens": keep}, chosen(order, len(features)), flags)


def add_cdpruner_cases(suite):
    for name, rows, columns, width, embedding, segments, keep in (
        ("one_text", 8, 8, 32, 16, 1, 16), ("three_texts", 8, 8, 32, 16, 3, 16),
        ("same_features", 8, 8, 32, None, 1, 12), ("one_of_64", 8, 8, 16, 8, 1, 1),
        ("none_of_16", 4, 4, 16, 8, 1, 0), ("all_of_16", 4, 4, 32, 8, 1, 16),
        ("one_row_grid", 1, 20, 32, 8, 1, 7), ("rank_exhausted", 6, 6, 5, 8, 1, 12),
    ):
        def build(seed):
            tensors = {"image_features": smooth(seed, rows, columns, width, noise=1.0)}
            if embedding:
                tensors["relevance_features"] = smooth(seed + 10, rows, columns, embedding)
            tensors["text_features"] = uniform(seed + 20, segments, embedding or width, low=-1, high=1)
            return tensors

        def run(tensors, margin):
            embeddings = tensors.get("relevance_features", tensors["image_features"])
            return reference.cdpruner(
                tensors["image_features"], embeddings, tensors["text_features"], keep, margin)

        tensors, order, margin = with_clear_margin(build, run)
        embeddings = tensors.get("relevance_features", tensors["image_features"])
        quality = reference.relevance(embeddings, tensors["text_features"])
        expected = {**chosen(order, rows * columns), "relevance": quality}
        extra = grid(rows, columns) if rows != columns else {}
        flags = {"minimum_margin": margin} if np.isfinite(margin) else {}
        if name == "rank_exhausted":
            flags[name] = True
        suite.add("cdpruner", name, tensors, {"keep_tokens": keep, **extra}, expected, flags)
    add_equal_relevance_case(suite)


def add_equal_relevance_case(suite):
    """All tokens equally relevant: the first pick is a tie of all, the second an exact one of several."""
    tensors = {
        "image_features": signs(16, 36, 36),
        "relevance_features": np.ones((36, 8), np.float32),
        "text_features": uniform(17, 1, 8),
    }
    order = reference.cdpruner(*tensors.values(), 2)
    expected = {**chosen(order, 36), "relevance": np.ones(36)}
    flags = {"has_exact_ties": True, "equal_relevance": True}
    suite.add("cdpruner", "equal_relevance", tensors, {"keep_tokens": 2}, expected, flags)


def blob(rows, columns, box, inside, outside, seed, heads=None, spread=0.2):
    """Attention that is higher in a box of cells (x0, y0, x1, y1, half-open)."""
    lead = () if heads is None else (heads,)
    noise = uniform(seed, *lead, rows * columns, low=1 - spread, high=1 + spread, dtype=np.float64)
    level = np.full((rows, columns), outside)
    x0, y0, x1, y1 = box
    level[y0:y1, x0:x1] = inside
    return (noise * level.ravel()).astype(np.float32)


def localization_inputs():
    """-> (name, tensors, source, rows, columns, flags)."""
    yield ("attention_heads_24x24", {"attention": blob(24, 24, (6, 3, 15, 12), 4, 1, 21, heads=4)},
           "attention", 24, 24, {})
    yield "attention_16x16", {"attention": blob(16, 16, (10, 8, 16, 14), 3, 1, 22)}, "attention", 16, 16, {}
    yield ("attention_12x12_straddles_blocks", {"attention": blob(12, 12, (2, 5, 7, 9), 5, 1, 23)},
           "attention", 12, 12, {})
    yield "attention_6x10", {"attention": blob(6, 10, (0, 1, 4, 4), 4, 1, 24)}, "attention", 6, 10, {}
    yield "attention_one_row", {"attention": blob(1, 24, (9, 0, 15, 1), 4, 1, 25)}, "attention", 1, 24, {}
    reference_row = blob(24, 24, (18, 18, 24, 24), 20, 1, 26, heads=2)
    yield ("relative_attention_24x24",
           {"attention": (reference_row * blob(24, 24, (3, 12, 12, 21), 3, 1, 27)).astype(np.float32),
            "reference_attention": reference_row}, "relative_attention", 24, 24, {"saliency_up_to_scale": True})
    features = smooth(28, 16, 16, 24)
    text = uniform(29, 2, 24, low=-1, high=1)
    cells = features.reshape(16, 16, 24)
    cells[4:10, 2:8] += 0.8 * (text[0] + text[1])
    yield "similarity_16x16", {"image_features": features, "text_features": text}, "similarity", 16, 16, {}
    two = np.full((8, 8), 0.125, np.float32)
    two[1:3, 5:7] = two[5:7, 1:3] = 1
    yield "tie_of_two_blobs", {"attention": two.ravel()}, "attention", 8, 8, {"has_exact_ties": True}
    yield ("flat", {"attention": np.full(64, 0.25, np.float32)}, "attention", 8, 8,
           {"has_exact_ties": True, "flat": True})


def token_saliency(tensors, source):
    if source == "similarity":
        return reference.similarity(tensors["image_features"], tensors["text_features"])
    scores = reference.head_mean(tensors["attention"])
    if source == "relative_attention":
        scores = scores / reference.head_mean(tensors["reference_attention"])
    return scores


def add_localization_cases(suite):
    for name, tensors, source, rows, columns, flags in localization_inputs():
        blocks = reference.to_blocks(token_saliency(tensors, source), rows, columns)
        expected = {"saliency": blocks.ravel()}
        if not flags.get("flat"):
            expected |= {
                "best_separation": reference.best_separation(blocks),
                "best_contrast": {**reference.best_contrast(blocks), "area_power": 0.5},
                "best_coverage": {**reference.best_coverage(blocks, 0.6, "mean"), "coverage": 0.6, "baseline": "mean"},
            }
        parameters = {**grid(rows, columns), "localize": {"source": source}}
        suite.add("localization", name, tensors, parameters, expected, flags)


def add_merge_cases(suite):
    for name, features, keep, region in (
        ("anchors_64", smooth(31, 8, 8, 24), 12, None), ("anchors_in_parts_64", smooth(32, 8, 8, 24), 12, [2, 1, 5, 4]),
        ("duplicates", signs(33, 64, 10), 8, None), ("all_anchors", smooth(34, 4, 4, 16), 16, None),
        ("one_anchor", smooth(35, 4, 4, 16), 1, None),
    ):
        anchors = sorted(reference.divprune(features, keep))
        parameters, parts = {"mode": "merge", "keep_tokens": keep, "anchors": anchors}, None
        if region:
            x0, y0, x1, y1 = region
            inside = np.zeros((8, 8), int)
            inside[y0 : y1 + 1, x0 : x1 + 1] = 1
            parts = inside.ravel()
            parameters["region"] = {"blocks": region}
        merged, assignments, sizes = reference.merge(features, anchors, parts)
        expected = {"kept_indices": anchors, "assignments": assignments, "sizes": sizes, "features": merged}
        flags = {"has_exact_ties": True} if name == "duplicates" else {}
        suite.add("merge", name, {"image_features": features}, parameters, expected, flags)


def build():
    suite = Suite()
    for add in (add_score_cases, add_divprune_cases, add_cdpruner_cases, add_localization_cases, add_merge_cases):
        add(suite)
    published_cases.add(suite, uniform, smooth)
    coverage_cases.add(suite, uniform, smooth)
    return suite.files


def check(files):
    present = {str(path.relative_to(GOLDEN)): path.read_bytes() for path in GOLDEN.rglob("*.safetensors")}
    # Those of learned models are tools/models/reference.py's.
    present = {path: data for path, data in present.items() if not path.startswith("models/")}
    wrong = [f"missing   {path}" for path in sorted(files.keys() - present.keys())]
    wrong += [f"unknown   {path}" for path in sorted(present.keys() - files.keys())]
    for path in sorted(files.keys() & present.keys()):
        if difference := casefile.difference(files[path], present[path]):
            wrong.append(f"different {path}: {difference}")
    print("\n".join(wrong) or f"{len(files)} cases unchanged")
    return 1 if wrong else 0


def self_test():
    """Each kind of damage is noticed; last digits, which differ between processors, are not."""
    features = np.linspace(0.5, 1.5, 6, dtype=np.float32).reshape(3, 2)

    def case(scale=1.0, index=4, source=features, rows=features, name="score"):
        tensors = {"image_features": source, "expected.features": rows}
        return casefile.encode_case("m", tensors, {}, {name: [0.25 * scale, -3e-7], "kept_indices": [1, index]}, {}, {})

    one_ulp = np.nextafter(features, np.float32(9))
    outcomes = {
        "last digits of a number": (case(1 + 1e-13), False), "one ulp of an answer": (case(rows=one_ulp), False),
        "a number": (case(1 + 1e-8), True), "an index": (case(index=5), True), "a name": (case(name="scores"), True),
        "one ulp of an input": (case(source=one_ulp), True), "an answer": (case(rows=features * 1.00001), True),
        "a shape": (case(source=features.reshape(2, 3)), True), "not a number": (case(rows=features * np.nan), True),
    }
    wrong = [what for what, (data, differs) in outcomes.items() if bool(casefile.difference(data, case())) != differs]
    print("\n".join(f"wrong about {what}" for what in wrong) or f"{len(outcomes)} kinds of change told apart")
    return 1 if wrong else 0


def select(method, tensors, count, options, token_count=None):
    """The reference's order for the tensors of one case; None where it has no counterpart (an authors' variant)."""
    features, attention = tensors.get("image_features"), tensors.get("attention")
    if options.get("faithful") or "rank_scale" in options:
        return None
    if method == "divprune":
        return reference.divprune(features, count)
    if method == "cdpruner":
        return reference.cdpruner(features, tensors["relevance_features"], tensors["text_features"], count)
    if method == "vispruner":
        return published.vispruner(reference.head_mean(attention), features, count, options["important_ratio"])
    if method == "visionzip":
        scores = reference.head_mean(attention)
        return published.visionzip(scores, features, tensors["key"], count, options["contextual_tokens"])[0]
    if method == "trim":
        text = tensors["text_features"].reshape(1, -1)
        return reference.top_k(-reference.dot(tensors["relevance_features"], text)[:, 0], count)
    if method == "evs":
        return reference.top_k(published.evs_scores(features, options["frames"]), count)
    if method in ("sparsevlm", "sparsevlm_plus"):
        text = tensors.get("text_features")
        rows = np.flatnonzero(tensors["text_raters"]) if text is None else published.raters(features, text)
        if method == "sparsevlm":
            return reference.top_k(published.rater_scores(attention, rows), count)
        freed = published.corrected(attention, tensors["position_ids"], options["text_start"])
        return reference.top_k(published.plus_scores(freed, rows, 14), count)
    if method == "pyramiddrop":
        states, start = tensors["hidden_states"], options["image_start"]
        return reference.top_k(
            published.last_token_scores(
                states, tensors["norm_weight"], tensors["query_weight"], tensors["key_weight"], options["heads"],
                slice(start, start + token_count)), count)
    if method in ("topk", "fastv", "fastervlm", "prumerge"):
        return reference.top_k(reference.head_mean(attention), count)
    return None


def compare(folder):
    """Runs the reference on exported upstream cases; returns 1 when one that may be trusted differs."""
    import json

    failures = 0
    for path in sorted(folder.rglob("*.safetensors")):
        tensors, metadata = casefile.decode(path.read_bytes())
        flags, expected = json.loads(metadata["flags"]), json.loads(metadata["expected"])
        parameters = json.loads(metadata["parameters"])
        trusted = not (flags.get("documents_bug") or flags.get("batch_normalised"))
        order = None
        if trusted and ("kept_indices" in expected or "kept_pairs" in expected):
            order = select(
                metadata["method"], tensors, parameters["keep_tokens"], parameters["method_parameters"],
                expected.get("token_count"))
        if order is None:
            print(f"skipped    {path.parent.name}/{path.stem}")
            continue
        accepted = (expected.get("kept_indices"), expected.get("alternative_kept_indices"))
        same_set = sorted(order) in accepted or sorted(i // 2 for i in order) == expected.get("kept_pairs")
        if not same_set and "tied_indices" in expected:
            certain = set(expected["tie_free_kept_indices"])
            same_set = certain <= set(order) and set(order) - certain <= set(expected["tied_indices"])
        same_order = "order" not in expected or order in (expected["order"], expected.get("alternative_order"))
        failures += not same_set
        remark = "equal" if same_set else "DIFFERENT"
        print(f"{remark:10} {path.parent.name}/{path.stem}{'' if same_order else ' (other order)'}")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--against", type=pathlib.Path)
    options = parser.parse_args()
    if options.against:
        return compare(options.against)
    if options.self_test:
        return self_test()
    files = build()
    if options.check:
        return check(files)
    for path, data in files.items():
        target = GOLDEN / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    print(f"{len(files)} cases, {sum(map(len, files.values())):,} bytes, in Tests/Golden")
    return 0


if __name__ == "__main__":
    sys.exit(main())
