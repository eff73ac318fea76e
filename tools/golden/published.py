"""The published methods once more, in float64 and in the obvious loops, for the committed cases.

Like algorithms.py it shares no code with the service. Ties go to the lower index (or place); tokens are rows.
"""
import math

import numpy as np

from algorithms import cosine, dot, mean, top_k


def visionzip(scores, features, keys, count, contextual):
    """-> (kept in row order, assignments, rows)."""
    dominant = sorted(top_k(scores, count - contextual))
    rest = [i for i in range(len(scores)) if i not in dominant]
    step = max(1, len(rest) // contextual) if contextual else 1
    targets = [rest[place * step] for place in range(contextual)]
    kept = dominant + targets
    assignments = [kept.index(i) if i in kept else -1 for i in range(len(scores))]
    rows = [features[i].astype(np.float64) for i in kept]
    closeness = cosine(keys, keys)
    members = {target: [] for target in targets}
    for token in range(len(scores)):
        if token not in kept and targets:
            target = max(targets, key=lambda t: (closeness[token, t], -targets.index(t)))
            members[target].append(token)
            assignments[token] = kept.index(target)
    for target, tokens in members.items():
        if tokens:
            rows[kept.index(target)] = rows[kept.index(target)] + np.mean([features[t] for t in tokens], axis=0)
    return kept, assignments, np.array(rows)


def vispruner(scores, features, count, important_ratio):
    """-> tokens in the order of choice."""
    important = top_k(scores, math.floor(count * important_ratio))
    rest = [i for i in top_k(scores, len(scores)) if i not in important]
    wanted = count - len(important)
    closeness = cosine(features, features)
    while wanted and len(rest) > wanted:
        even, odd = rest[0::2], rest[1::2]
        copies = [max(closeness[a, b] for b in odd) for a in even]
        order = sorted(range(len(even)), key=lambda place: (-copies[place], place))
        removed = min(8, len(rest) - wanted, len(even))
        rest = [even[place] for place in order[removed:]] + odd
    return important + rest[:wanted]


def prumerge_rows(kept, weights, features, keys, neighbours=32):
    """-> rows of the kept tokens in that order, and one for the pruned tokens if there are any."""
    features = features.astype(np.float64)
    pruned = [i for i in range(len(features)) if i not in kept]
    closeness = cosine(keys, keys)
    rows = []
    for anchor in kept:
        others = sorted((i for i in range(len(features)) if i != anchor), key=lambda i: (-closeness[anchor, i], i))
        rows.append(features[anchor] + sum((weights[i] * features[i] for i in others[:neighbours]), np.zeros(1)))
    if pruned:
        rows.append(sum(weights[i] * features[i] for i in pruned))
    return np.array(rows)


def prumerge_plus(scores, count, important_ratio):
    important = top_k(scores, round(count * important_ratio))
    rest = [i for i in range(len(scores)) if i not in important]
    spread = count - len(important)
    return important + [rest[(2 * t + 1) * len(rest) // (2 * spread)] for t in range(spread)]


def prumerge_plus_adaptive(scores):
    """The authors' shipped default: the outliers, then every floor(floor(1 / share) / 3)-th token that is none."""
    scores = np.asarray(scores, np.float64)
    first, third = np.percentile(scores, [25, 75])
    count = int((scores > third + 1.5 * (third - first)).sum())
    important = top_k(scores, count)
    step = max(1, math.floor(1 / (max(count, 1) / len(scores))) // 3)
    return important + [i for i in range(0, len(scores) - 1, step) if i not in important]


def tome(features, keys, sizes, count, class_token=False, steps=1, anchors=False):
    """-> (assignments, sizes, rows), or of each row the token that others were merged into."""
    rows = [np.asarray(row, np.float64) for row in features]
    groups, sizes = [[i] for i in range(len(rows))], list(sizes)
    metric = np.asarray(keys, np.float64)
    reduction, step = len(rows) - count, 0
    while len(rows) > count:
        wanted = reduction // steps + (step < reduction % steps) if step < steps else len(rows) - count
        removed = min(wanted, (len(rows) - class_token) // 2)
        step += 1
        even, odd = list(range(0, len(rows), 2)), list(range(1, len(rows), 2))
        closeness = cosine(metric[even], metric[odd])
        if class_token:
            closeness[0] = -math.inf
        best = closeness.argmax(axis=1)
        order = sorted(range(len(even)), key=lambda place: (-closeness[place, best[place]], place))
        kept = sorted(order[removed:]) if class_token else order[removed:]
        new_rows = [rows[even[p]] for p in kept]
        new_sizes, new_groups = [sizes[even[p]] for p in kept], [groups[even[p]] for p in kept]
        for column, token in enumerate(odd):
            members = [token] + [even[p] for p in order[:removed] if best[p] == column]
            total = sum(sizes[m] for m in members)
            new_rows.append(sum(sizes[m] * rows[m] for m in members) / total)
            new_sizes.append(total)
            new_groups.append([i for m in members for i in groups[m]])
        rows, sizes, groups = new_rows, new_sizes, new_groups
        # Merged rows are compared as they are answered.
        metric = np.array(rows).astype(np.float32)
    if anchors:
        return [group[0] for group in groups]
    assignments = np.full(len(features), -1)
    for row, group in enumerate(groups):
        assignments[group] = row
    return assignments, sizes, np.array(rows)


def dart(features, keys, text, text_keys, count, image_pivots=4, text_pivots=4):
    """keys [heads, N, d]. -> kept tokens."""
    norms = np.abs(np.asarray(keys, np.float64)).sum(axis=(0, 2))
    image = top_k(norms, min(image_pivots, count))
    pivots = [features[i] for i in image]
    if text is not None:
        text_norms = np.abs(np.asarray(text_keys, np.float64)).sum(axis=(0, 2))
        pivots += [text[i] for i in top_k(text_norms, text_pivots)]
    kept, wanted = list(image), count - len(image)
    for turn, pivot in enumerate(pivots):
        pool = [i for i in range(len(features)) if i not in kept]
        closeness = cosine(features, [pivot])[:, 0]
        quota = wanted // len(pivots) + (turn < wanted % len(pivots))
        kept += sorted(pool, key=lambda i: (closeness[i], i))[:quota]
    return kept


def hired(scores, early, count, rows, columns, alpha):
    tiles = rows * columns + 1
    size = len(scores) // tiles
    side = math.isqrt(size)
    whole = min(math.floor(count * alpha), size)
    marks = [0] * (tiles - 1)
    for token in top_k(early[:size], math.floor(size * (1 - alpha))):
        row, column = divmod(token, side)
        marks[row * rows // side * columns + column * columns // side] += 1
    rest = count - whole
    # In float32, as the authors do; where nothing is marked the rest goes by attention alone.
    part = min(rest, (tiles - 1) * size)
    portions = [np.float32(mark) / np.float32(max(sum(marks), 1)) for mark in marks]
    budgets = [whole] + [min(math.floor(np.float32(part) * portion), size) for portion in portions]
    kept = []
    for tile, budget in enumerate(budgets):
        kept += [tile * size + i for i in top_k(scores[tile * size : (tile + 1) * size], budget)]
    left = sorted((i for i in range(len(scores)) if i not in kept), key=lambda i: (-scores[i], i))
    return kept + left[: count - len(kept)]


def evs_scores(features, frames):
    size = len(features) // frames
    closeness = [cosine(features[i : i + 1], features[i - size : i - size + 1])[0, 0] for i in range(size, len(features))]
    return np.r_[np.full(size, 255.0), 1 - np.array(closeness)]


def raters(visual, text):
    logits = dot(visual, text)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    relevance = np.array([mean(column) for column in shares.T])
    return [j for j in range(len(text)) if relevance[j] > mean(relevance)]


def rater_scores(attention, rows):
    """[heads, M, N] -> [N]."""
    return np.asarray(attention, np.float64)[:, rows].mean(axis=(0, 1))


def clusters(rows, count):
    """Density peaks. -> [n] the cluster of each row, best centre first."""
    rows = np.asarray(rows, np.float64)
    distance = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2)) / math.sqrt(rows.shape[1])
    density = np.exp(-np.mean(np.sort(distance, axis=1)[:, :count] ** 2, axis=1))
    separation = [
        min((distance[i, j] for j in range(len(rows)) if density[j] > density[i]), default=distance.max())
        for i in range(len(rows))]
    centres = top_k(np.array(separation) * density, count)
    return [centres.index(i) if i in centres else int(np.argmin(distance[i, centres])) for i in range(len(rows))]


def sparsevlm_rows(kept, scores, features):
    """-> (assignments, rows): the kept tokens ascending, then the clusters of what is recycled."""
    pruned = [i for i in range(len(features)) if i not in kept]
    recycled = [pruned[i] for i in top_k(scores[pruned], math.floor(0.3 * len(pruned)) + 1)]
    count = len(recycled) // 10 + 1
    cluster = clusters(features[recycled], count)
    assignments = np.full(len(features), -1)
    assignments[kept] = np.arange(len(kept))
    rows = [features[i].astype(np.float64) for i in kept]
    for number in range(count):
        members = [token for token, own in zip(recycled, cluster) if own == number]
        assignments[members] = len(kept) + number
        rows.append(features[members].astype(np.float64).sum(axis=0) / (len(members) + 1e-6))
    return assignments, np.array(rows)


def corrected(attention, positions, text_start, width=128, base=10000.0):
    """Attention [heads, M, N] without the pull of rotary positions; those of the visual tokens are given."""
    frequencies = base ** (-2 * np.arange(width // 2) / width)
    queries = attention.shape[1]
    distance = (text_start + np.arange(queries))[:, None] - np.asarray(positions)[None]
    pull = 2 * np.cos(distance[:, :, None] * frequencies).sum(axis=2) / math.sqrt(width)
    return np.asarray(attention, np.float64) / pull


def plus_scores(attention, rows, heads):
    per_head = attention[:, rows].sum(axis=(1, 2))
    return attention[top_k(per_head, heads)][:, rows].mean(axis=(0, 1))


def shuffled(count, seed):
    """0..<count in the order of Fisher and Yates, by SplitMix64 and Lemire's way to numbers below a bound."""
    mask, state = 2**64 - 1, seed
    pool = list(range(count))
    for place in range(count):
        bound = count - place
        while True:
            state = (state + 0x9E3779B97F4A7C15) & mask
            mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
            product = (mixed ^ (mixed >> 31)) * bound
            if product & mask >= 2**64 % bound:
                break
        chosen = place + (product >> 64)
        pool[place], pool[chosen] = pool[chosen], pool[place]
    return pool


def last_token_scores(
        hidden, norm, query, key, heads, image, base=10000.0, epsilon=1e-6, key_heads=None, query_bias=0, key_bias=0):
    """[S, D] -> scores of the image's rows (a slice)."""
    hidden, query, key = (np.asarray(a, np.float64) for a in (hidden, query, key))
    normed = hidden / np.sqrt((hidden**2).mean(axis=1, keepdims=True) + epsilon) * norm
    width = len(query) // heads
    angles = np.arange(len(hidden))[:, None] * base ** (-2 * np.arange(width // 2) / width)

    def rotated(rows, heads):
        rows = rows.reshape(len(hidden), heads, width)
        first, second = rows[..., : width // 2], rows[..., width // 2 :]
        cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=2)

    key_heads = key_heads or heads
    queries = rotated(normed @ query.T + query_bias, heads)
    keys = np.repeat(rotated(normed @ key.T + key_bias, key_heads), heads // key_heads, axis=1)
    logits = np.einsum("hd,shd->hs", queries[-1], keys) / math.sqrt(width)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return shares.mean(axis=0)[image]
