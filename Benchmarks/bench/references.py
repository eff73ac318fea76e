"""What a Python program would compute instead: numpy and torch, one thread, single precision, written for speed.

Each function takes a dict of arrays and a count, and returns the kept indices, ascending. DivPrune and CDPruner of numpy
are those of the Python servers (peers/work.py).
"""
import sys

import numpy as np

from .places import PEERS

sys.path.insert(0, str(PEERS))
import work  # noqa: E402


def contextual_count(count):
    """VisionZip's share of contextual tokens, 10 of 64, rounded half to even."""
    return round(count * 10 / 64)


def divprune(arrays, count):
    return work.divprune(arrays["image_features"], count)


def cdpruner(arrays, count):
    return work.cdpruner(arrays["image_features"], arrays["text_features"], count)


def tome(arrays, count):
    """Bipartite soft matching, halving at most per step; features are merged by size-weighted means."""
    features = arrays["image_features"].astype(np.float32)
    sizes, anchors = np.ones(len(features), np.float32), np.arange(len(features))
    while len(features) > count:
        removed = min(len(features) - count, len(features) // 2)
        rows = work.unit_rows(features)
        similarity = rows[::2] @ rows[1::2].T
        partner = similarity.argmax(axis=1)
        best = similarity[np.arange(len(partner)), partner]
        order = np.argsort(-best, kind="stable")
        merged, rest = order[:removed], order[removed:]
        sums, weights = features[1::2] * sizes[1::2, None], sizes[1::2].copy()
        np.add.at(sums, partner[merged], features[::2][merged] * sizes[::2][merged, None])
        np.add.at(weights, partner[merged], sizes[::2][merged])
        features = np.concatenate([features[::2][rest], sums / weights[:, None]])
        sizes = np.concatenate([sizes[::2][rest], weights])
        anchors = np.concatenate([anchors[::2][rest], anchors[1::2]])
    return np.sort(anchors)


def visionzip(arrays, count):
    """The highest by attention, and evenly spaced others that collect the rest."""
    features, scores = arrays["image_features"].astype(np.float32), arrays["attention"].mean(axis=0, dtype=np.float32)
    contextual = contextual_count(count)
    dominant = np.sort(np.argsort(-scores, kind="stable")[: count - contextual])
    rest = np.setdiff1d(np.arange(len(scores)), dominant, assume_unique=True)
    places = rest[:: max(1, len(rest) // contextual)][:contextual]
    others = np.setdiff1d(rest, places, assume_unique=True)
    rows = work.unit_rows(features)
    target = (rows[others] @ rows[places].T).argmax(axis=1)
    onehot = np.zeros((contextual, len(others)), np.float32)
    onehot[target, np.arange(len(others))] = 1
    members = onehot.sum(axis=1, keepdims=True)
    merged = features[places] + onehot @ features[others] / np.maximum(members, 1)
    assert merged.shape[0] == contextual
    return np.sort(np.concatenate([dominant, places]))


def dart(arrays, count):
    """Four tokens and four text rows of the largest L1 norm are pivots; each keeps the tokens least similar to it in turn."""
    rows, text = (arrays[name].astype(np.float32, copy=False) for name in ("image_features", "text_features"))
    image = np.argsort(-np.linalg.norm(rows, 1, axis=1), kind="stable")[: min(4, count)]
    pivots = np.concatenate([rows[image], text[np.argsort(-np.linalg.norm(text, 1, axis=1), kind="stable")[:4]]])
    # Lengths of pivots change no order.
    similarity = (rows @ pivots.T) / np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    pool, kept = np.delete(np.arange(len(rows)), image), [image]
    whole, rest = divmod(count - len(image), len(pivots))
    for turn in range(len(pivots)):
        quota = whole + (turn < rest)
        if quota == 0:
            break
        chosen = np.argpartition(similarity[pool, turn], quota - 1)[:quota]
        kept.append(pool[chosen])
        pool = np.delete(pool, chosen)
    return np.sort(np.concatenate(kept))


def coverage(weights, factors, count):
    """Facility location: the column that adds most to the largest weight of each row, one at a time."""
    covered, kept = np.zeros(len(weights), np.float32), []
    for _ in range(count):
        gains = np.maximum(weights - covered[:, None], 0).sum(axis=0) * factors
        gains[kept] = -np.inf
        best = int(gains.argmax())
        kept.append(best)
        np.maximum(covered, weights[:, best], out=covered)
    return np.sort(kept)


def scope(arrays, count):
    rows = work.unit_rows(arrays["image_features"].astype(np.float32))
    return coverage(rows @ rows.T, arrays["attention"].sum(axis=0, dtype=np.float32), count)


def mmtok(arrays, count):
    rows, words = (work.unit_rows(arrays[name].astype(np.float32)) for name in ("image_features", "text_features"))

    def shares(similarity, temperature):
        powers = np.exp((similarity - similarity.max(axis=1, keepdims=True)) / temperature)
        return powers / powers.sum(axis=1, keepdims=True) / len(similarity)

    weights = np.concatenate([shares(words @ rows.T, 0.02), 0.5 * shares(rows @ rows.T, 0.2)])
    return coverage(weights, np.float32(1), count)


def rest_by(scores, kept, count):
    """`kept` and the highest of the others, `count` in all."""
    left = np.setdiff1d(np.arange(len(scores)), kept)
    return np.sort(np.concatenate([kept, left[np.argsort(-scores[left], kind="stable")[: count - len(kept)]]]).astype(int))


def holov(arrays, count, crops=16):
    """Runs of tokens share the budget by their attention and the variance of their cosines; each keeps its highest."""
    rows, attention = arrays["image_features"].astype(np.float32), arrays["attention"].mean(axis=0, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6
    runs = np.array_split(np.arange(len(rows)), crops)
    scores = np.empty(crops)
    for index, run in enumerate(runs):
        similarity = rows[run] @ rows[run].T
        np.fill_diagonal(similarity, 0)
        mean = similarity.sum(axis=1, keepdims=True) / (len(run) - 1)
        variance = ((similarity - mean) ** 2).sum(axis=1) / (len(run) - 1)
        own = 1000 * attention[run]
        scores[index] = (own + 0.09 * np.abs(own).mean() / (np.abs(variance).mean() + 1e-6) * variance).mean()
    weights = scores / (scores.sum() + 1e-6)
    quotas = np.floor(weights * count).astype(int)
    quotas[np.argsort(-weights, kind="stable")[: count - quotas.sum()]] += 1
    kept = [run[np.argsort(-attention[run], kind="stable")[:quota]] for run, quota in zip(runs, quotas)]
    return rest_by(attention, np.concatenate(kept), count)


def vidcom2(arrays, count):
    """vLLM's: frames unlike the video get more, and keep what is least like the video's mean and their own."""
    rows, frames = arrays["image_features"].astype(np.float32), {576: 4, 2880: 5}[len(arrays["image_features"])]
    channels = np.sort(np.argsort(rows.var(axis=0), kind="stable")[: rows.shape[1] // 2])
    rows = work.unit_rows(rows[:, channels]).reshape(frames, -1, len(channels))

    def similarity(centre):
        distance = ((rows - centre) ** 2).sum(axis=2)
        return sum(np.exp(-distance / (2 * alpha)) for alpha in (0.125, 0.25, 0.5, 1, 2))

    video = similarity(rows.mean(axis=(0, 1)))
    both = video + similarity(rows.mean(axis=1, keepdims=True))
    powers = np.exp((-video.mean(axis=1) + video.mean(axis=1).min()) / 0.01)
    size = rows.shape[1]
    ratios = np.minimum(1, count / both.size * (1 + powers / powers.sum() - 1 / frames))
    quotas = np.clip(np.round(ratios * size).astype(int), 1, size)
    kept = [np.argsort(scores, kind="stable")[:quota] + size * frame for frame, (scores, quota) in enumerate(zip(both, quotas))]
    kept, scores = np.concatenate(kept), -both.ravel()
    return rest_by(scores, kept[np.argsort(-scores[kept], kind="stable")[:count]], count)


def prunesid(arrays, count):
    """Groups by principal components, near copies of a group's best last, shares of the budget by what is left of groups."""
    rows, attention = arrays["image_features"].astype(np.float32), arrays["attention"].mean(axis=0, dtype=np.float32)
    total, (tokens, width) = count + 1, rows.shape
    centred = 1 / (1 + np.exp(-rows))
    centred -= centred.mean(axis=1, keepdims=True)
    # The smaller of the two products has the same components.
    if tokens <= width:
        vectors = np.linalg.eigh(centred @ centred.T)[1][:, ::-1]
    else:
        vectors = centred @ np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
        vectors /= np.linalg.norm(vectors, axis=0) + 1e-30
    groups = np.abs(vectors[:, : total // 4]).argmax(axis=1)
    unit = work.unit_rows(rows)
    similarity = unit @ unit.T
    threshold = total / 32 * (similarity.sum() - np.trace(similarity)) / (tokens * (tokens - 1))
    rankings, survivors = [], []
    for group in range(total // 4):
        order = np.flatnonzero(groups == group)
        order = order[np.argsort(-attention[order], kind="stable")]
        is_left, taken = np.ones(len(order), bool), []
        for place in range(len(order)):
            if is_left[place]:
                taken.append(place)
                is_left &= similarity[order[place], order] <= threshold
                is_left[place] = False
        others = np.setdiff1d(np.arange(len(order)), taken)
        rankings.append(order[np.concatenate([taken, others]).astype(int)])
        survivors.append(len(taken))
    survivors, sizes = np.array(survivors), np.array([len(ranking) for ranking in rankings])
    lower, upper = np.minimum(1, sizes), np.minimum(np.minimum(5 * -(-total // 64), sizes), survivors)
    while upper.sum() < min(total, tokens):
        upper = np.minimum(upper + 1, sizes)
    free = max(0, total - 1 - lower.sum())
    shares = np.cumsum((survivors / np.float32(survivors.sum())).astype(np.float32), dtype=np.float64).astype(np.float32)
    quotas = np.minimum(np.diff(np.round(np.float32(free) * shares), prepend=0).astype(int) + lower, upper)
    for group in np.argsort(-survivors, kind="stable"):
        quotas[group] += min(max(free + lower.sum() - quotas.sum(), 0), upper[group] - quotas[group])
    kept = np.concatenate([ranking[: max(quota, 0)] for ranking, quota in zip(rankings, quotas)])
    return rest_by(attention, kept[:count], count)


def apet(arrays, count, basis=10):
    """Ten tokens far from each other, and those that these reconstruct worst."""
    rows = arrays["image_features"].astype(np.float32)
    chosen, nearest = [0], np.full(len(rows), np.inf, np.float32)
    while len(chosen) < basis:
        nearest = np.minimum(nearest, ((rows - rows[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    base = rows[chosen].astype(np.float64)
    weights = np.linalg.solve(base @ base.T + 1e-5 * np.eye(basis), base @ rows.T.astype(np.float64))
    errors = np.linalg.norm(rows - (weights.T @ base).astype(np.float32), axis=1)
    return rest_by(errors, np.array(chosen), count)


def vscan(arrays, count):
    """Half of the tokens by attention within windows of a 24 x 24 grid (of 24 rows), the other half by attention anywhere."""
    attention = arrays["attention"].mean(axis=0, dtype=np.float32)
    columns = len(attention) // 24
    places = np.arange(len(attention)).reshape(4, 6, 4, columns // 4).transpose(0, 2, 1, 3).reshape(16, -1)
    best = np.argsort(-attention[places], axis=1, kind="stable")[:, : count // 2 // 16]
    return rest_by(attention, np.take_along_axis(places, best, axis=1).ravel(), count)


def pixelprune(arrays, count):
    """Patches furthest from what their neighbours to the left and above predict, the first before all."""
    pixels = arrays["pixel_values"].astype(np.float32)
    tokens = len(arrays["attention"][0])
    pixels = pixels.reshape(24, tokens // 24, -1)
    own, left, upper, corner = pixels[1:, 1:], pixels[1:, :-1], pixels[:-1, 1:], pixels[:-1, :-1]
    is_upper = (np.abs(corner - left).max(axis=2) <= 0) & (np.abs(corner - upper).max(axis=2) > 0)
    scores = np.full(pixels.shape[:2], np.inf, np.float32)
    scores[0, 1:] = np.abs(pixels[0, 1:] - pixels[0, :-1]).max(axis=1)
    scores[1:, 0] = np.abs(pixels[1:, 0] - pixels[:-1, 0]).max(axis=1)
    scores[1:, 1:] = np.abs(own - np.where(is_upper[:, :, None], upper, left)).max(axis=2)
    return np.sort(np.argsort(-scores.ravel(), kind="stable")[:count])

NUMPY = {
    "divprune": divprune, "cdpruner": cdpruner, "tome": tome, "visionzip": visionzip, "dart": dart, "scope": scope,
    "mmtok": mmtok, "holov": holov, "vidcom2": vidcom2, "prunesid": prunesid, "apet": apet, "vscan": vscan,
    "pixelprune": pixelprune}


# What there is in torch as well.
TORCH = ("divprune", "cdpruner", "tome", "visionzip")


def torch_version():
    import torch

    return torch.__version__


def torch_functions():
    """The same with torch on the CPU; raises ImportError where it is not installed."""
    import torch

    torch.set_num_threads(1)
    functional = torch.nn.functional

    def rows_of(arrays, name="image_features"):
        return functional.normalize(torch.from_numpy(arrays[name]).float(), dim=1)

    def divprune_torch(arrays, count):
        rows = rows_of(arrays)
        similarity = rows @ rows.T
        similarity.fill_diagonal_(-torch.inf)
        best = int(similarity.max(dim=1).values.argmin())
        kept, nearest = [best], similarity[best].clone()
        nearest[best] = torch.inf
        for _ in range(count - 1):
            best = int(nearest.argmin())
            kept.append(best)
            torch.maximum(nearest, similarity[best], out=nearest)
            nearest[best] = torch.inf
        return np.sort(kept)

    def cdpruner_torch(arrays, count):
        rows = rows_of(arrays)
        relevance = -(rows @ rows_of(arrays, "text_features").mean(dim=0))
        quality = (relevance - relevance.min() + 1e-6) / (relevance.max() - relevance.min())
        rows = rows * quality[:, None]
        kernel = rows @ rows.T
        gain, factors, kept = kernel.diagonal().clone(), torch.empty(count, len(rows)), []
        for step in range(count):
            best = int(gain.argmax())
            kept.append(best)
            row = (kernel[best] - factors[:step, best] @ factors[:step]) / gain[best].sqrt()
            factors[step] = row
            gain -= row * row
            gain[kept] = -torch.inf
        return np.sort(kept)

    def tome_torch(arrays, count):
        features = torch.from_numpy(arrays["image_features"]).float()
        sizes, anchors = torch.ones(len(features)), torch.arange(len(features))
        while len(features) > count:
            removed = min(len(features) - count, len(features) // 2)
            rows = functional.normalize(features, dim=1)
            best, partner = (rows[::2] @ rows[1::2].T).max(dim=1)
            order = best.argsort(descending=True, stable=True)
            merged, rest = order[:removed], order[removed:]
            sums = (features[1::2] * sizes[1::2, None]).index_add(
                0, partner[merged], features[::2][merged] * sizes[::2][merged, None])
            weights = sizes[1::2].index_add(0, partner[merged], sizes[::2][merged])
            features = torch.cat([features[::2][rest], sums / weights[:, None]])
            sizes = torch.cat([sizes[::2][rest], weights])
            anchors = torch.cat([anchors[::2][rest], anchors[1::2]])
        return np.sort(anchors.numpy())

    def visionzip_torch(arrays, count):
        features, rows = torch.from_numpy(arrays["image_features"]).float(), rows_of(arrays)
        scores = torch.from_numpy(arrays["attention"]).float().mean(dim=0)
        contextual = contextual_count(count)
        dominant = scores.topk(count - contextual).indices
        mask = torch.ones(len(scores), dtype=torch.bool)
        mask[dominant] = False
        rest = mask.nonzero()[:, 0]
        places = rest[:: max(1, len(rest) // contextual)][:contextual]
        mask[places] = False
        others = mask.nonzero()[:, 0]
        onehot = functional.one_hot((rows[others] @ rows[places].T).argmax(dim=1), contextual).float().T
        merged = features[places] + onehot @ features[others] / onehot.sum(dim=1, keepdim=True).clamp(min=1)
        assert merged.shape[0] == contextual
        return np.sort(torch.cat([dominant, places]).numpy())

    return {"divprune": divprune_torch, "cdpruner": cdpruner_torch, "tome": tome_torch, "visionzip": visionzip_torch}
