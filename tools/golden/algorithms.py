"""An independent float64 reference of the selection algorithms, in the obvious loops.

Nothing here is fast or shares code with the service: it is the other side of the comparison. Small products are
summed with `math.fsum`, which rounds once, so results do not depend on a machine's vector width or on BLAS.

Rules shared by all: a tie goes to the lower index; a chosen token is never chosen again; the cosine with a zero
vector is 0; a zero row (padding) is chosen only when nothing else is left.
"""
import math

import numpy as np

BLOCKS = 8
_EXACT_LIMIT = 2_000_000


def dot(rows, others):
    """[n, D] x [m, D] -> [n, m] of dot products, in float64."""
    rows, others = np.asarray(rows, np.float64), np.asarray(others, np.float64)
    if rows.size * len(others) > _EXACT_LIMIT:
        return rows @ others.T
    return np.array([[math.fsum(row * other) for other in others] for row in rows]).reshape(len(rows), len(others))


def norms(rows):
    return np.sqrt([math.fsum(row * row) for row in np.asarray(rows, np.float64)])


# Cosines this near to 1 or -1 are 1 or -1, and relevance that spans less than this is equal: the rest is rounding.
SAME_DIRECTION = 2.0**-48
SMALLEST_SPAN = 1e-12


def cosine(rows, others):
    """[n, D] x [m, D] -> [n, m]; 0 where either vector is zero."""
    scale = np.outer(norms(rows), norms(others))
    cosines = np.divide(dot(rows, others), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.where(np.abs(cosines) < 1 - SAME_DIRECTION, cosines, np.sign(cosines))


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def head_mean(attention):
    """[N] | [heads, N] | [heads, queries, N] (last query) -> [N]."""
    attention = np.asarray(attention, np.float64)
    if attention.ndim == 1:
        return attention
    if attention.ndim == 3:
        attention = attention[:, -1]
    return np.array([mean(column) for column in attention.T])


# Scores nearer than this share of the largest count as equal. Where scores are equal by algebra alone, whoever sums in
# another order finds another one larger; `random_cases.py` asks for both answers.
score_grain = 0.0
prefers_last = False


def grained(scores):
    """Scores rounded to `score_grain`, or as they are."""
    scores = np.asarray(scores, np.float64)
    finite = np.abs(scores[np.isfinite(scores)])
    grain = score_grain * finite.max(initial=0)
    if not grain:
        return scores
    # The last of equals instead of the first: each leads those before it by half a grain in all.
    return (np.round(scores / grain) + prefers_last * np.linspace(0, 0.5, len(scores))) * grain


def top_k(scores, count):
    """The `count` highest, best first."""
    scores = grained(scores)
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:count]


class Margin:
    """The smallest lead a winner had over the runner-up, relative to the winner: how much rounding a case bears."""

    def __init__(self):
        self.smallest = math.inf

    def pick(self, values, allowed):
        """-> index of the largest value among `allowed` (ascending); ties to the lower index."""
        best = max(allowed, key=lambda i: (values[i], -i))
        others = [values[i] for i in allowed if i != best]
        if others:
            lead = values[best] - max(others)
            self.smallest = min(self.smallest, lead / max(abs(values[best]), 1e-300) if lead else 0.0)
        return best


def divprune(features, count, margin=None):
    """Greedy max-min of the cosine distance (DivPrune, CVPR 2025); zero rows last, in ascending order."""
    margin = margin or Margin()
    lengths = norms(features)
    tokens = [i for i in range(len(features)) if lengths[i] > 0]
    zeros = [i for i in range(len(features)) if lengths[i] == 0]
    if count == 0 or not tokens:
        return zeros[:count]
    distance = 1.0 - cosine(features, features)
    nearest = {i: min((distance[i, j] for j in tokens if j != i), default=math.inf) for i in tokens}
    order = [margin.pick(nearest, tokens)]
    to_chosen = distance[:, order[0]].copy()
    while len(order) < min(count, len(tokens)):
        best = margin.pick(to_chosen, [i for i in tokens if i not in order])
        order.append(best)
        to_chosen = np.minimum(to_chosen, distance[:, best])
    return order + zeros[: count - len(order)]


def relevance(features, text):
    """Minus the mean cosine to the text rows, scaled to (0, 1] (CDPruner); 1 where all are equal."""
    raw = np.array([-mean(row) for row in cosine(features, text)])
    if raw.max() - raw.min() < SMALLEST_SPAN:
        return np.ones(len(raw))
    return (raw - raw.min() + 1e-6) / (raw.max() - raw.min())


def cdpruner(features, relevance_features, text, count, margin=None):
    """Greedy MAP of the determinantal point process with kernel q_i cos(i, j) q_j (CDPruner).

    When the kernel's rank is exhausted the rest is taken by relevance.
    """
    margin = margin or Margin()
    quality = relevance(relevance_features, text)
    kernel = quality[:, None] * cosine(features, features) * quality[None, :]
    gain = kernel.diagonal().copy()
    order, projections = [], []
    while len(order) < count:
        rest = [i for i in range(len(features)) if i not in order]
        useful = [i for i in rest if gain[i] > 1e-10 * kernel[i, i]]
        if not useful:
            return order + sorted(rest, key=lambda i: (-quality[i], i))[: count - len(order)]
        best = margin.pick(gain, useful)
        row = kernel[best].copy()
        for earlier in projections:
            row -= earlier[best] * earlier
        row /= math.sqrt(gain[best])
        projections.append(row)
        gain = gain - row * row
        order.append(best)
    return order


def similarity(features, text):
    """[N, D] x [M, D] -> [N]: mean cosine to the text rows."""
    return np.array([mean(row) for row in cosine(features, np.atleast_2d(text))])


def overlap(cells, blocks=BLOCKS):
    """[blocks, cells]: which share of each block of a side each of its cells covers; rows sum to 1."""
    shares = np.zeros((blocks, cells))
    for block in range(blocks):
        for cell in range(cells):
            # In units of 1 / (blocks * cells) both edges are whole numbers.
            low = max(block * cells, cell * blocks)
            high = min((block + 1) * cells, (cell + 1) * blocks)
            shares[block, cell] = max(0, high - low) / cells
    return shares


def to_blocks(scores, rows, columns):
    """[rows * columns] -> [8, 8]: the mean over each block, weighted by covered area."""
    grid = np.asarray(scores, np.float64).reshape(rows, columns)
    vertical, horizontal = overlap(rows), overlap(columns)
    return np.array(
        [[math.fsum((np.outer(vertical[y], horizontal[x]) * grid).ravel()) for x in range(BLOCKS)]
         for y in range(BLOCKS)])


def rectangles():
    """All 1,296 as (x_min, y_min, x_max, y_max), smaller first, then top-left, then flat before tall."""
    span = range(BLOCKS)
    every = [(x0, y0, x1, y1) for y0 in span for x0 in span for y1 in span[y0:] for x1 in span[x0:]]
    return sorted(every, key=lambda r: (area(r), r[1], r[0], r[3]))


def area(rectangle):
    """In blocks."""
    x0, y0, x1, y1 = rectangle
    return (x1 - x0 + 1) * (y1 - y0 + 1)


def mass(blocks, rectangle):
    x0, y0, x1, y1 = rectangle
    return math.fsum(blocks[y0 : y1 + 1, x0 : x1 + 1].ravel())


def best_by_contrast(blocks, weight):
    """The rectangle with the largest (mean inside - mean outside) * weight(area); the first of equals."""
    total = math.fsum(blocks.ravel())
    best = None
    for rectangle in rectangles()[:-1]:
        size, inside = area(rectangle), mass(blocks, rectangle)
        outside = (total - inside) / (BLOCKS * BLOCKS - size)
        score = (inside / size - outside) * weight(size)
        if best is None or score > best["score"]:
            best = {"blocks": list(rectangle), "score": score, "mean_inside": inside / size, "mean_outside": outside}
    return best


def best_contrast(blocks, power=0.5):
    return best_by_contrast(blocks, lambda size: size**power)


def best_separation(blocks):
    """The rectangle that explains most of the map's variance (Otsu's criterion)."""
    return best_by_contrast(blocks, lambda size: math.sqrt(size * (BLOCKS * BLOCKS - size) / (BLOCKS * BLOCKS)))


def standardised_contrast(blocks):
    """The best separation over the standard deviation that remains within the two parts."""
    mean_of_all = mean(blocks.ravel())
    variation = math.fsum(((blocks - mean_of_all) ** 2).ravel())
    explained = best_separation(blocks)["score"]
    return explained / math.sqrt(max(variation - explained**2, 1e-300) / (BLOCKS * BLOCKS - 2))


def best_coverage(blocks, share, baseline):
    """The smallest rectangle with `share` of the mass above the baseline; of equal areas the one with most."""
    level = {"mean": mean(blocks.ravel()), "minimum": blocks.min()}[baseline]
    above = np.maximum(blocks - level, 0.0)
    total = math.fsum(above.ravel())
    best = None
    for rectangle in rectangles():
        if best and area(rectangle) > area(best["blocks"]):
            break
        inside = mass(above, rectangle)
        if inside >= share * total and (best is None or inside > best["share"] * total):
            best = {"blocks": list(rectangle), "share": inside / total if total else 0.0}
    return best


def merge(features, anchors, parts=None):
    """Every token joins the anchor of its own part with the largest cosine; a row is the mean of its tokens.

    `parts` [N] says on which side of the region's border a token lies. -> (features [K, D], assignments [N],
    sizes [K]); rows in ascending order of anchor, ties to the first.
    """
    features = np.asarray(features, np.float64)
    parts = np.zeros(len(features), int) if parts is None else np.asarray(parts)
    anchors = sorted(anchors)
    closeness = cosine(features, features[anchors])
    assignments = []
    for token in range(len(features)):
        if token in anchors:
            assignments.append(anchors.index(token))
            continue
        own = [row for row, anchor in enumerate(anchors) if parts[anchor] == parts[token]]
        assignments.append(max(own, key=lambda row: (closeness[token, row], -row)))
    rows, sizes = [], []
    for row in range(len(anchors)):
        members = features[[token for token, target in enumerate(assignments) if target == row]]
        sizes.append(len(members))
        rows.append([mean(column) for column in members.T])
    return np.array(rows), assignments, sizes
