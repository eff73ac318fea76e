"""More published methods in float64 and in the obvious loops: coverage, frames, groups, reconstruction, pixels, grids.

Like algorithms.py it shares no code with the service. Ties go to the lower index; every count is exact, as the service's
default is, and the authors' own counts come with `faithful`.
"""
import math

import numpy as np

from algorithms import cosine, dot, grained, top_k


def facility_location(weights, count, factors=None, addends=None, excluded=()):
    """Greedy coverage of rows by columns of weights [rows, N] -> columns in the order of choice."""
    covered = np.zeros(weights.shape[0])
    factors = np.ones(weights.shape[1]) if factors is None else factors
    addends = np.zeros(weights.shape[1]) if addends is None else addends
    order = []
    while len(order) < count:
        score = np.maximum(weights - covered[:, None], 0).sum(axis=0) * factors + addends
        score[order] = -np.inf
        score[list(excluded)] = -np.inf
        order.append(int(np.argmax(grained(score))))
        covered = np.maximum(covered, weights[:, order[-1]])
    return order


def scope(features, attention, count, alpha=1.0, combined="multi"):
    """`attention` [heads, N] is summed over heads; None is saliency 1."""
    saliency = np.ones(len(features)) if attention is None else np.atleast_2d(attention).astype(np.float64).sum(axis=0)
    weights = cosine(features, features)
    if combined == "add":
        return facility_location(weights, count, addends=saliency**alpha)
    return facility_location(weights, count, factors=saliency**alpha)


def softmax(values, temperature=1.0):
    """Over the last axis."""
    powers = np.exp((values - values.max(axis=-1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def mmtok(features, patches, text, count, alpha=0.5, text_temperature=0.02, vision_temperature=0.2, padding=()):
    words = softmax(cosine(text, features), text_temperature) / len(text)
    tokens = softmax(cosine(patches, patches), vision_temperature) / len(features)
    weights = np.concatenate([words, alpha * tokens])
    open_count = len(features) - len(padding)
    order = facility_location(weights, min(count, open_count), excluded=padding)
    return order + sorted(padding)[: count - len(order)]


def holov(features, attention, count, crops=16, faithful=False):
    """-> tokens in the order of the authors' rows."""
    features, attention = features.astype(np.float64), np.asarray(attention, np.float64)
    runs = [run for run in np.array_split(np.arange(len(features)), crops) if len(run)]
    scores = []
    for run in runs:
        if len(run) == 1:
            scores.append(attention[run[0]])
            continue
        rows = features[run] / (np.linalg.norm(features[run], axis=1, keepdims=True) + 1e-6)
        similar = rows @ rows.T
        np.fill_diagonal(similar, 0)
        means = similar.sum(axis=1, keepdims=True) / (len(run) - 1)
        variances = ((similar - means) ** 2).sum(axis=1) / (len(run) - 1)
        scaled = 1000 * attention[run]
        scale = np.abs(scaled).mean() / (np.abs(variances).mean() + 1e-6)
        scores.append((scaled + 0.09 * scale * variances).mean())
    weights = np.array(scores) / (sum(scores) + 1e-6)
    quotas = [math.floor(weight * count) for weight in weights]
    for crop in top_k(weights, min(count - sum(quotas), len(runs))):
        quotas[crop] += 1
    kept = []
    for run, quota in zip(runs, quotas):
        best = [int(run[i]) for i in top_k(attention[run], min(max(quota, 0), len(run)))]
        kept += [int(i) for i in run] if quota >= len(run) else best
    kept = kept[:count]
    if not faithful:
        rest = [i for i in range(len(features)) if i not in kept]
        kept += [rest[i] for i in top_k(attention[rest], count - len(kept))]
    return kept


def vidcom2(features, frames, count, base_ratio=None, published=False):
    """-> kept tokens, ascending."""
    features = features.astype(np.float64)
    size = len(features) // frames
    ratio = count / len(features) if base_ratio is None else base_ratio
    variances = features.var(axis=0)
    quiet = sorted(top_k(-variances, max(features.shape[1] // 2, 1)))
    rows = features[:, quiet]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    def likeness(points, centre):
        distance = ((points - centre) ** 2).sum(axis=-1)
        return sum(np.exp(-distance / (2 * alpha)) for alpha in (0.125, 0.25, 0.5, 1, 2))

    video = likeness(rows, rows.mean(axis=0))
    frame = np.concatenate([likeness(part, part.mean(axis=0)) for part in rows.reshape(frames, size, -1)])
    score = video + frame
    shares = softmax(-video.reshape(frames, size).mean(axis=1), 0.01)
    kept = []
    for index in range(frames):
        share = min(1, ratio * (1 + shares[index] - shares.mean()))
        own = min(max(1, round(share * size)), size)
        kept += [index * size + i for i in top_k(-score[index * size : (index + 1) * size], own)]
    if len(kept) > count:
        kept = sorted(kept)
        kept = [kept[i] for i in top_k(-score[kept], count)]
    elif not published:
        rest = [i for i in range(len(features)) if i not in kept]
        kept += [rest[i] for i in top_k(-score[rest], count - len(kept))]
    return sorted(kept)


def prunesid(features, attention, count, qwen=False):
    """-> tokens group by group."""
    features = features.astype(np.float64)
    total = count if qwen else count + 1
    if count >= len(features):
        return list(range(len(features)))
    centred = 1 / (1 + np.exp(-features))
    centred -= centred.mean(axis=1, keepdims=True)
    _, values, vectors = np.linalg.svd(centred.T, full_matrices=False)
    groups = max(total // 4, 4 if qwen else 1)
    strength = np.abs(vectors[:groups])[values[:groups] ** 2 > 1e-13 * values[0] ** 2]
    owner = strength.argmax(axis=0)
    scores = strength.max(axis=0) if qwen else np.atleast_2d(attention).astype(np.float64).sum(axis=0)
    similar = cosine(features, features)
    upper = np.triu(similar, 0 if qwen else 1)
    pairs = len(features) ** 2 if qwen else len(features) * (len(features) - 1) / 2
    threshold = upper.sum() / pairs * (max(18 * total / len(features), 1) if qwen else total / 32)
    rankings, survivors = [], []
    for group in range(len(strength)):
        members = [int(i) for i in np.flatnonzero(owner == group)]
        order = [members[i] for i in top_k(scores[members], len(members))]
        taken, left = [], list(order)
        while left and scores[left[0]] > 0:
            best = left.pop(0)
            taken.append(best)
            left = [i for i in left if similar[best, i] <= threshold]
        rankings.append(taken + [i for i in order if i not in taken])
        survivors.append(len(taken))
    quotas = group_quotas([len(r) for r in rankings], survivors, total, qwen)
    return [token for ranking, quota in zip(rankings, quotas) for token in ranking[:quota]][:count]


def group_quotas(sizes, survivors, total, qwen):
    lower = [min(1, size) for size in sizes]
    most = 5 * math.ceil(total / 64)
    upper = [min(most, size, s) for size, s in zip(sizes, survivors)]
    while sum(upper) < total:
        upper = [min(u + 1, size) for u, size in zip(upper, sizes)]
    free = max(0, total - (0 if qwen else 1) - sum(lower))
    shares = np.array(survivors, np.float32) / np.float32(sum(survivors))
    partial = np.cumsum(shares.astype(np.float64)).astype(np.float32)
    rounded = np.round(np.float32(free) * partial).astype(int)
    quotas = [min(int(d) + low, up) for d, low, up in zip(np.diff(rounded, prepend=0), lower, upper)]
    for group in top_k(survivors, len(survivors)):
        quotas[group] += min(max(free + sum(lower) - sum(quotas), 0), upper[group] - quotas[group])
    return quotas


def apet(features, count, basis_count, start, faithful=False):
    """-> (kept ascending, rows)."""
    features = features.astype(np.float64)
    basis, nearest = [start], np.full(len(features), np.inf)
    while len(basis) < min(basis_count, count):
        nearest = np.minimum(nearest, ((features - features[basis[-1]]) ** 2).sum(axis=1))
        nearest[basis] = -1
        basis.append(int(np.argmax(nearest)))
    rows = features[basis]
    weights = np.linalg.solve(rows @ rows.T + 1e-5 * np.eye(len(basis)), rows @ features.T)
    errors = np.linalg.norm(features - weights.T @ rows, axis=1)
    if faithful:
        order = top_k(errors, count)
        targets, slots = order[: count - len(basis)], sorted(order[count - len(basis) :])
        kept = sorted(order)
    else:
        others = [i for i in range(len(features)) if i not in basis]
        targets, slots = [others[i] for i in top_k(errors[others], count - len(basis))], []
        kept = sorted(basis + targets)
    merged = {token: [features[token]] for token in kept}
    dropped = [i for i in range(len(features)) if i not in kept]
    if targets and dropped:
        closest = cosine(features[dropped], features[targets]).argmax(axis=1)
        for token, place in zip(dropped, closest):
            merged[targets[place]].append(features[token])
    result = {token: np.mean(parts, axis=0) for token, parts in merged.items()}
    for slot, token in zip(slots, basis):
        result[slot] = features[token]
    return kept, np.array([result[token] for token in kept])


def vscan(features, late, early, count, rows, columns, windows=4, share=0.5, faithful=False):
    """-> (kept ascending, assignments, rows)."""
    late, early = np.atleast_2d(late).mean(axis=0, dtype=np.float64), np.atleast_2d(early).mean(axis=0, dtype=np.float64)
    local = math.floor(count * share)
    quota = local // windows**2
    parts = {}
    for token in range(rows * columns):
        place = (token // columns * windows // rows, token % columns * windows // columns)
        parts.setdefault(place, []).append(token)
    kept = [part[i] for part in parts.values() for i in top_k(early[part], min(quota, len(part)))]
    rest = [i for i in range(len(late)) if i not in kept]
    kept = sorted(kept + [rest[i] for i in top_k(late[rest], count - (local if faithful else len(kept)))])
    return (kept, *merge_means(features, kept))


def merge_means(features, kept):
    """Every dropped token joins the kept one of largest cosine; a row is the mean -> (assignments, rows)."""
    features = features.astype(np.float64)
    assignments = cosine(features, features[kept]).argmax(axis=1)
    assignments[kept] = np.arange(len(kept))
    return assignments, np.array([features[assignments == row].mean(axis=0) for row in range(len(kept))])


def ivcprune(values, start, rows, columns, count, base, qwen=False, faithful=False):
    """`values` [heads, S, d] -> kept tokens, ascending."""
    values = values.astype(np.float64)
    size, width = rows * columns, values.shape[2]
    scope = slice(start, start + size) if qwen else slice(None)

    def attended(queries):
        weights = softmax(values[:, queries] @ values[:, scope].transpose(0, 2, 1) / math.sqrt(width)).mean(axis=0)
        return weights if qwen else weights[:, start : start + size]

    text = attended(np.arange(start + size + 2, values.shape[1]))
    seeds = top_k(text.mean(axis=0), max(1, round(0.01 * size)))
    score = np.concatenate([text, attended(start + np.array(seeds))]).mean(axis=0)
    frequencies = base ** (-2 * np.arange(width // 2) / width)
    token = np.arange(size)
    axes = [start + token] if not qwen else [start + 0 * token, start + token // columns, start + token % columns]
    cosines, sines = (np.mean([f(np.outer(p, frequencies)).mean(axis=1) for p in axes], axis=0) for f in (np.cos, np.sin))
    wanted = round((0.1 if qwen else 0.05) * size)
    prior = sorted({*seeds, *top_k(cosines, wanted), *top_k(sines, wanted)})
    if faithful and not qwen:
        return sorted({*prior, *top_k(score, round(0.2 * size))})
    count = round(0.5 * size) if faithful else count
    if len(prior) >= count:
        return sorted(prior[i] for i in top_k(score[prior], len(prior) if faithful else count))
    rest = [i for i in range(size) if i not in prior]
    return sorted(prior + [rest[i] for i in top_k(score[rest], count - len(prior))])


def pixelprune(pixels, rows, columns, metric="max", threshold=0.0, anchored=True, count=None):
    """-> kept tokens, ascending; those that are not predicted where no count is given."""
    pixels = np.asarray(pixels, np.float64).reshape(rows, columns, -1)
    measure = {
        "max": lambda d: np.abs(d).max(), "mae": lambda d: np.abs(d).mean(), "rmse": lambda d: math.sqrt((d * d).mean()),
        "exact": lambda d: np.abs(d).max()}[metric]
    shown = pixels.copy()
    distances = np.full(rows * columns, np.inf)
    for y in range(rows):
        for x in range(columns):
            if x == y == 0:
                continue
            if y == 0:
                prediction = shown[y, x - 1]
            elif x == 0:
                prediction = shown[y - 1, x]
            else:
                left, upper, corner = shown[y, x - 1], shown[y - 1, x], shown[y - 1, x - 1]
                is_upper = measure(corner - left) <= threshold < measure(corner - upper)
                prediction = upper if is_upper else left
            distances[y * columns + x] = measure(pixels[y, x] - prediction)
            if anchored and threshold > 0 and distances[y * columns + x] <= threshold:
                shown[y, x] = prediction
    return sorted(top_k(distances, int((distances > threshold).sum()) if count is None else count))


def pool(features, rows, columns, side, mode="avg"):
    """-> rows [side * side, D] of windows that may overlap."""
    grid = features.astype(np.float64).reshape(rows, columns, -1)
    reduce = np.mean if mode == "avg" else np.max
    return np.array([
        reduce(grid[y * rows // side : -(-(y + 1) * rows // side), x * columns // side : -(-(x + 1) * columns // side)],
               axis=(0, 1))
        for y in range(side) for x in range(side)])


def resize(features, rows, columns, bands, across, mode):
    """-> rows [bands * across, D]: bilinear between half-pixel centres, or area."""
    grid = features.astype(np.float64).reshape(rows, columns, -1)

    def weights(places, cells):
        table = np.zeros((cells, places))
        for cell in range(cells):
            low, high = cell * places / cells, (cell + 1) * places / cells
            if mode == "area":
                for place in range(places):
                    table[cell, place] = max(min(high, place + 1) - max(low, place), 0) / (high - low)
            else:
                middle = min(max((low + high) / 2 - 0.5, 0), places - 1)
                first = int(middle)
                table[cell, first] += 1 - (middle - first)
                if middle > first:
                    table[cell, first + 1] += middle - first
        return table

    result = np.einsum("ay,bx,yxd->abd", weights(rows, bands), weights(columns, across), grid)
    return result.reshape(bands * across, -1)
