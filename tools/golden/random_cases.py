"""Random requests for every method, and what the float64 reference makes of them.

Rows are of five kinds, mixed: random, zero (padding), copies, multiples of others by a power of two, and one-hot rows.
`CASES` has for each method a function (generator) -> (tensors, method parameters, reference), where the reference maps
tensors and a count to the kept tokens, ascending. Counts are 1, N - 1, N or anything between.

Decisions that hang on the last bits of a product are nobody's mistake: `is_decided` asks whether the reference keeps
the same tokens when every distinct row is changed by a few units of 2^-50, equal rows alike.
"""
import math

import numpy as np

import algorithms as reference
import published
import published_coverage as coverage

ZERO_SHARES = (0, 0.1, 0.5, 0.9, 0.97)


class Case:
    """`layout` and `request` are what else the request says; `rows` maps tensors and a count to the rows of /compress."""

    # Whether equal rows make equal tokens. In different frames they do not, and any mixture of their scores may tie.
    has_equal_tokens = True

    def __init__(self, tensors, parameters, keep, count, layout=None, request=None, rows=None):
        self.tensors, self.parameters, self.keep, self.count = tensors, parameters, keep, count
        self.layout, self.request, self.rows = layout, request or {}, rows

    def expected(self, tensors=None):
        return sorted(int(token) for token in self.keep(tensors or self.tensors, self.count))

    def accepts(self, kept):
        """Whether the reference keeps the same tokens, whatever rounding makes of scores that are equal by algebra.

        Of copies the first is kept all the same.
        """
        if kept == self.expected():
            return True
        reference.score_grain = 2.0**-44
        try:
            first = self.expected()
            reference.prefers_last = True
            last = self.expected()
        finally:
            reference.score_grain, reference.prefers_last = 0.0, False
        if not self.has_equal_tokens:
            return first != last
        return kept == first or (kept == last and not self.has_copies(set(first) ^ set(last)))

    def has_copies(self, tokens):
        """Whether two of the tokens have the same rows in all tensors of so many rows."""
        count = max(tokens, default=0) + 1
        rows = [array for array in self.tensors.values() if array.ndim == 2 and len(array) >= count]
        texts = [b"".join(array[token].tobytes() for array in rows) for token in tokens]
        return len(set(texts)) < len(texts)


def rows(generator, count, width):
    """[count, width] with a share of zero rows, copies, multiples and one-hot rows."""
    values = generator.standard_normal((count, width)).astype(np.float32)
    kind = generator.integers(0, 4)
    for row in range(1, count):
        if kind and generator.random() < 0.4:
            other = values[generator.integers(0, row)]
            if kind == 1:
                values[row] = other
            elif kind == 2:
                values[row] = other * np.float32(2.0 ** generator.integers(-3, 4))
            else:
                values[row] = np.eye(width, dtype=np.float32)[generator.integers(0, width)]
    values[generator.random(count) < generator.choice(ZERO_SHARES)] = 0
    return values


def shares(generator, *shape):
    """Attention: positive, with ties and, at times, outliers or nothing at all."""
    values = generator.random(shape).astype(np.float32)
    if generator.random() < 0.3:
        values = np.floor(values * 4) / 4
    if generator.random() < 0.3:
        values = values**8
    if generator.random() < 0.1:
        values[...] = 0
    return values.astype(np.float32)


def size(generator):
    return int(generator.integers(2, 25)), int(generator.integers(1, 10))


def budget(generator, count):
    return int(generator.choice([1, count - 1, count, generator.integers(0, count + 1)]))


def scores(tensors):
    return reference.head_mean(tensors["attention"])


def mean_scores(tensors):
    """[H, Q, N] over heads and queries."""
    attention = np.asarray(tensors["attention"], np.float64)
    return attention.reshape(-1, attention.shape[-1]).mean(axis=0)


def quartile_outliers(values):
    first, third = np.percentile(values, [25, 75])
    return int((values > third + 1.5 * (third - first)).sum())


def by_attention(generator):
    count, _ = size(generator)
    tensors = {"attention": shares(generator, int(generator.integers(1, 4)), count)}
    return Case(tensors, {}, lambda t, k: reference.top_k(scores(t), k), budget(generator, count))


def fastv(generator):
    count, _ = size(generator)
    tensors = {"attention": shares(generator, 3, int(generator.integers(1, 4)), count)}
    return Case(tensors, {}, lambda t, k: reference.top_k(scores(t), k), budget(generator, count))


def divprune(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width)}
    return Case(tensors, {}, lambda t, k: reference.divprune(t["image_features"], k), budget(generator, count))


def cdpruner(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width), "text_features": rows(generator, 2, width)}
    own = generator.random() < 0.5
    if own:
        tensors["relevance_features"] = rows(generator, count, width)
    name = "relevance_features" if own else "image_features"
    return Case(
        tensors, {}, lambda t, k: reference.cdpruner(t["image_features"], t[name], t["text_features"], k),
        budget(generator, count))


def vispruner(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width), "attention": shares(generator, 2, count)}
    ratio = float(generator.choice([0, 0.25, 0.5, 1]))
    return Case(
        tensors, {"important_ratio": ratio},
        lambda t, k: published.vispruner(scores(t), t["image_features"], k, ratio), budget(generator, count))


def visionzip(generator):
    count, width = size(generator)
    tensors = {
        "image_features": rows(generator, count, width), "attention": shares(generator, 2, count),
        "key": rows(generator, count, 4)}
    kept = budget(generator, count)
    contextual = int(generator.integers(0, kept + 1))

    def keep(t, k):
        return published.visionzip(scores(t), t["image_features"], t["key"], k, contextual)[0]
    return Case(tensors, {"contextual_tokens": contextual}, keep, kept)


def prumerge(generator):
    count, _ = size(generator)
    adaptive = bool(generator.integers(0, 2))
    tensors = {"attention": shares(generator, 2, count)}

    def keep(t, k):
        values = scores(t)
        return reference.top_k(values, min(k, quartile_outliers(values)) if adaptive else k)
    return Case(tensors, {"adaptive": adaptive}, keep, budget(generator, count))


def prumerge_plus(generator):
    count, _ = size(generator)
    tensors = {"attention": shares(generator, 2, count)}
    if generator.integers(0, 2):
        return Case(
            tensors, {"adaptive": True}, lambda t, k: published.prumerge_plus_adaptive(scores(t))[:k],
            budget(generator, count))
    ratio = float(generator.choice([0, 0.25, 0.5, 1]))
    return Case(
        tensors, {"important_ratio": ratio}, lambda t, k: published.prumerge_plus(scores(t), k, ratio),
        budget(generator, count))


def tome(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width)}
    if generator.integers(0, 2):
        tensors["key"] = rows(generator, count, 4)
    steps = int(generator.integers(1, 4))

    def keep(t, k):
        if k == 0:
            return []
        features = t["image_features"]
        return published.tome(features, t.get("key", features), [1] * count, k, steps=steps, anchors=True)
    return Case(tensors, {"steps": steps}, keep, budget(generator, count))


def dart(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width), "key": rows(generator, count, 4)[None]}
    text = bool(generator.integers(0, 2))
    if text:
        tensors["text_features"], tensors["text_key"] = rows(generator, 6, width), rows(generator, 6, 4)[None]

    def keep(t, k):
        return published.dart(t["image_features"], t["key"], t.get("text_features"), t.get("text_key"), k)
    return Case(tensors, {}, keep, budget(generator, count))


def hired(generator):
    side, grid = int(generator.integers(1, 4)), int(generator.integers(1, 3))
    count = side * side * (grid * 2 + 1)
    alpha = float(generator.choice([0, 0.25, 0.5, 1]))
    tensors = {"attention": shares(generator, 2, count), "early_attention": shares(generator, side * side)}

    def keep(t, k):
        return published.hired(scores(t), np.asarray(t["early_attention"], np.float64), k, grid, 2, alpha)
    return Case(tensors, {"tile_rows": grid, "tile_columns": 2, "alpha": alpha}, keep, budget(generator, count))


def trim(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width), "text_features": rows(generator, 1, width)[0]}

    def keep(t, k):
        products = reference.dot(t["image_features"], np.asarray(t["text_features"])[None])
        return reference.top_k(-products[:, 0], k)
    return Case(tensors, {}, keep, budget(generator, count))


def evs(generator):
    frames, places = int(generator.integers(1, 6)), int(generator.integers(1, 6))
    tensors = {"image_features": rows(generator, frames * places, int(generator.integers(1, 10)))}
    return Case(
        tensors, {"frames": frames}, lambda t, k: reference.top_k(published.evs_scores(t["image_features"], frames), k),
        budget(generator, frames * places))


def sparsevlm_tensors(generator, count, width, heads):
    words = int(generator.integers(2, 5))
    return {
        "image_features": rows(generator, count, width), "text_features": rows(generator, words, width),
        "attention": shares(generator, heads, words, count)}


def raters(tensors):
    found = published.raters(tensors["image_features"], tensors["text_features"])
    return found or list(range(len(tensors["text_features"])))


def sparsevlm(generator):
    count, width = size(generator)
    return Case(
        sparsevlm_tensors(generator, count, width, 3), {},
        lambda t, k: reference.top_k(published.rater_scores(t["attention"], raters(t)), k), budget(generator, count))


def sparsevlm_plus(generator):
    count, width = size(generator)

    def keep(t, k):
        freed = published.corrected(t["attention"], np.arange(count), count)
        return reference.top_k(published.plus_scores(freed, raters(t), 2), k)
    return Case(sparsevlm_tensors(generator, count, width, 3), {"heads": 2}, keep, budget(generator, count))


def pyramiddrop(generator):
    count = int(generator.integers(2, 12))
    start, width, heads = int(generator.integers(0, 3)), int(generator.integers(2, 6)), 4
    groups = int(generator.choice([1, 2, 4]))
    tensors = {
        "hidden_states": rows(generator, start + count + 2, width), "norm_weight": rows(generator, 1, width)[0],
        "query_weight": rows(generator, heads * 4, width), "key_weight": rows(generator, groups * 4, width)}
    if generator.integers(0, 2):
        tensors["query_bias"], tensors["key_bias"] = rows(generator, 1, heads * 4)[0], rows(generator, 1, groups * 4)[0]

    def keep(t, k):
        values = published.last_token_scores(
            t["hidden_states"], t["norm_weight"], t["query_weight"], t["key_weight"], heads, slice(start, start + count),
            key_heads=groups, query_bias=t.get("query_bias", 0), key_bias=t.get("key_bias", 0))
        return reference.top_k(values, k)
    return Case(
        tensors, {"heads": heads, "image_start": start}, keep, budget(generator, count),
        layout={"type": "raw", "tokens": count})


def crop(generator):
    """What ranks where no region is asked for."""
    scorer = generator.choice(["attention", "similarity", "diversity", "query_key"])
    if scorer == "attention":
        case = by_attention(generator)
    elif scorer == "diversity":
        case = divprune(generator)
    elif scorer == "similarity":
        count, width = size(generator)
        tensors = {"image_features": rows(generator, count, width), "text_features": rows(generator, 2, width)}

        def keep(t, k):
            values = [reference.mean(row) for row in reference.cosine(t["image_features"], t["text_features"])]
            return reference.top_k(np.array(values), k)
        # By itself it would take diversity.
        case = Case(tensors, {"scorer": "similarity"}, keep, budget(generator, count))
    else:
        count, _ = size(generator)
        tensors = {"query": rows(generator, 4, 3), "key": np.stack([rows(generator, count, 3) for _ in range(2)])}

        def keep(t, k):
            queries, keys = np.asarray(t["query"], np.float64), np.asarray(t["key"], np.float64)
            logits = np.stack([keys[head // 2] @ queries[head] for head in range(4)]) / math.sqrt(3)
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            return reference.top_k((weights / weights.sum(axis=1, keepdims=True)).mean(axis=0), k)
        case = Case(tensors, {}, keep, budget(generator, count))
    case.request = {"region_policy": "none"}
    return case


def uniform(generator):
    count = int(generator.integers(2, 25))
    tensors = {"attention": np.zeros(count, np.float32)}
    return Case(
        tensors, {}, lambda t, k: [(2 * step + 1) * count // (2 * k) for step in range(k)], budget(generator, count),
        layout={"type": "raw", "tokens": count})


def random_choice(generator):
    count, seed = int(generator.integers(2, 25)), int(generator.integers(0, 2**53))
    tensors = {"attention": np.zeros(count, np.float32)}
    return Case(
        tensors, {}, lambda t, k: published.shuffled(count, seed)[:k], budget(generator, count), request={"seed": seed})


def scope(generator):
    count, width = size(generator)
    tensors = {"image_features": rows(generator, count, width)}
    if generator.integers(0, 2):
        tensors["attention"] = shares(generator, 2, count)
    return Case(
        tensors, {}, lambda t, k: coverage.scope(t["image_features"], t.get("attention"), k), budget(generator, count))


def holov(generator):
    count, width = size(generator)
    crops = int(generator.integers(1, 6))
    tensors = {"image_features": rows(generator, count, width), "attention": shares(generator, count)}
    return Case(
        tensors, {"crops": crops}, lambda t, k: coverage.holov(np.asarray(t["image_features"]), t["attention"], k, crops),
        budget(generator, count))


def vidcom2(generator):
    frames, places = int(generator.integers(1, 5)), int(generator.integers(1, 6))
    tensors = {"image_features": rows(generator, frames * places, int(generator.integers(2, 10)))}
    case = Case(
        tensors, {"frames": frames}, lambda t, k: coverage.vidcom2(np.asarray(t["image_features"]), frames, k),
        int(generator.integers(1, frames * places + 1)))
    case.has_equal_tokens = False
    return case


def prunesid(generator):
    """Principal components of copies are not unique: rows are random here."""
    count, width = int(generator.integers(4, 25)), int(generator.integers(4, 10))
    tensors = {
        "image_features": generator.standard_normal((count, width)).astype(np.float32),
        "attention": generator.random((2, count)).astype(np.float32)}
    return Case(
        tensors, {}, lambda t, k: coverage.prunesid(np.asarray(t["image_features"]), t["attention"], k) if k else [],
        int(generator.integers(1, count)))


def mmtok(generator):
    count, width = size(generator)
    tensors = {
        "image_features": rows(generator, count, width), "encoder_features": rows(generator, count, 4),
        "text_features": rows(generator, 3, width)}
    padding = []
    if generator.integers(0, 2):
        padding = sorted(generator.choice(count, int(generator.integers(0, count)), replace=False).tolist())
        tensors["padding_mask"] = np.isin(np.arange(count), padding).astype(np.float32)

    def keep(t, k):
        return coverage.mmtok(t["image_features"], t["encoder_features"], t["text_features"], k, padding=padding)
    return Case(tensors, {}, keep, budget(generator, count))


def apet(generator):
    count, width = size(generator)
    start = int(generator.integers(0, count))
    basis = int(generator.integers(1, 5))
    tensors = {"image_features": rows(generator, count, width)}

    def keep(t, k):
        return coverage.apet(np.asarray(t["image_features"]), k, basis, start)[0] if k else []
    return Case(tensors, {"basis_tokens": basis, "start_token": start}, keep, budget(generator, count))


def grid(generator):
    high, wide = int(generator.integers(1, 6)), int(generator.integers(2, 6))
    return high, wide, {"type": "grid", "rows": high, "columns": wide}


def ivcprune(generator):
    high, wide, layout = grid(generator)
    start = int(generator.integers(0, 4))
    tensors = {"value_states": np.stack([rows(generator, start + high * wide + 5, 4) for _ in range(2)])}

    def keep(t, k):
        return coverage.ivcprune(np.asarray(t["value_states"]), start, high, wide, k, 10_000.0) if k else []
    return Case(tensors, {"image_start": start}, keep, budget(generator, high * wide), layout=layout)


def vscan(generator):
    high, wide, layout = grid(generator)
    count = high * wide
    tensors = {
        "image_features": rows(generator, count, 4), "attention": shares(generator, 2, count),
        "early_attention": shares(generator, 2, count)}

    def keep(t, k):
        features = np.asarray(t["image_features"])
        return coverage.vscan(features, t["attention"], t["early_attention"], k, high, wide, 2)[0] if k else []
    return Case(tensors, {"windows": 2}, keep, budget(generator, count), layout=layout)


def pixelprune(generator):
    high, wide, layout = grid(generator)
    tensors = {"pixel_values": rows(generator, high * wide * 2, 3)}

    def keep(t, k):
        return coverage.pixelprune(t["pixel_values"], high, wide, count=k)
    return Case(tensors, {}, keep, budget(generator, high * wide), layout=layout)


def pool(generator):
    high, wide, layout = grid(generator)
    side = int(generator.integers(1, min(high, wide) + 1))
    mode = str(generator.choice(["avg", "max"]))
    tensors = {"image_features": rows(generator, high * wide, 3)}
    return Case(
        tensors, {"mode": mode}, None, side * side, layout=layout,
        rows=lambda t, k: coverage.pool(t["image_features"], high, wide, side, mode))


def downsample(generator):
    """A square number of cells of a square grid: that many bands, and as many across."""
    high = int(generator.integers(1, 6))
    side = int(generator.integers(1, high + 1))
    mode = str(generator.choice(["area", "bilinear"]))
    tensors = {"image_features": rows(generator, high * high, 3)}
    return Case(
        tensors, {"mode": mode}, None, side * side, layout={"type": "grid", "rows": high, "columns": high},
        rows=lambda t, k: coverage.resize(t["image_features"], high, high, side, side, mode))


CASES = {
    "crop": crop, "fastv": fastv, "fastervlm": by_attention, "divprune": divprune, "cdpruner": cdpruner,
    "vispruner": vispruner, "visionzip": visionzip, "prumerge": prumerge, "prumerge_plus": prumerge_plus, "tome": tome,
    "dart": dart, "hired": hired, "trim": trim, "evs": evs, "sparsevlm": sparsevlm, "sparsevlm_plus": sparsevlm_plus,
    "pyramiddrop": pyramiddrop, "scope": scope, "holov": holov, "vidcom2": vidcom2, "prunesid": prunesid, "mmtok": mmtok,
    "apet": apet, "ivcprune": ivcprune, "vscan": vscan, "pixelprune": pixelprune, "pool": pool, "downsample": downsample,
    "topk": by_attention, "uniform": uniform, "random": random_choice,
}


def case_of(method, number):
    generator = np.random.default_rng([number, *method.encode()])
    return CASES[method](generator)


def moved(tensors, number):
    """The tensors with every distinct row changed by a few units of 2^-50, equal rows (up to a power of two) alike."""
    result = {}
    for name, array in tensors.items():
        table = np.asarray(array, np.float64).reshape(-1, array.shape[-1] if array.ndim else 1).copy()
        if name in ("attention", "early_attention"):
            # Tokens are columns here.
            table = table.T.copy()
        for index, row in enumerate(table):
            largest = np.abs(row).max(initial=0)
            if largest == 0:
                continue
            key = (row / 2.0 ** math.floor(math.log2(largest))).tobytes()
            noise = np.random.default_rng([number, *key[:64]]).integers(-4, 5, len(row))
            table[index] = row * (1 + noise * 2.0**-50)
        if name in ("attention", "early_attention"):
            table = table.T
        result[name] = table.reshape(array.shape)
    return result


def is_decided(case, tries=6):
    """Whether rounding cannot change what the reference keeps."""
    expected = case.expected()
    return all(case.expected(moved(case.tensors, number)) == expected for number in range(tries))
