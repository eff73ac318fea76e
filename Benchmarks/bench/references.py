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


NUMPY = {
    "divprune": divprune, "cdpruner": cdpruner, "tome": tome, "visionzip": visionzip, "dart": dart, "scope": scope,
    "mmtok": mmtok}


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
