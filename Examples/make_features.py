#!/usr/bin/env python3
"""Makes the example inputs from real photographs: pictures, dense descriptors, queries, saliency rows.

    python3 Examples/make_features.py            # needs numpy, scikit-image and Pillow

No vision-language model is involved, so that anybody can re-make and inspect these files. Instead of a vision tower's
features each of the 24 x 24 cells (14 x 14 pixels of a 336 x 336 picture, LLaVA-1.5's geometry) carries 64 numbers made
of classic descriptors; instead of text features a query carries the mean descriptors of the wanted thing in an *altered
copy* of the picture. The service compares them by plain cosine, so centring and whitening are baked in here.

1. The picture is cut to a square and scaled to 336 x 336.
2. Per cell: a DAISY descriptor (gradient orientations, 56 values), a soft histogram of L (8) and a joint one of a and b
   (36), both over a Gaussian window; square roots. 100 values in three groups.
3. Per picture: minus the mean over its cells, groups scaled to fixed weights, projected on the 64 strongest principal
   components and divided by sqrt(variance + 1 % of the largest); L2-normalised. Whitened features against a whitened
   mean are an exemplar linear discriminant: what is common in the picture counts little.
4. The query: steps 2 and 3, with the *original* picture's mean and components, on a copy that is mirrored, scaled to
   three quarters and back, brighter and flatter; mean over the cells of the thing.
5. `attention` [6, 576]: six softmax rows over cos(query, cell), from three ranges of components at two temperatures.
   `reference_attention` [6, 576]: the same with a generic query, the mean of the cells before centring.
   They have the shape and positivity of attention, and are made of descriptors: no transformer computed them.
"""
import json
import pathlib
import sys

import numpy as np
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from skimage.feature import daisy
import skimage.data

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools" / "golden"))
sys.dont_write_bytecode = True
import algorithms  # noqa: E402  (the float64 reference: rectangle search)
import casefile  # noqa: E402  (the safetensors writer)

SIDE, CELLS, CELL, BLOCK = 336, 24, 14, 42
WIDTH = 64
# How much each group of descriptors weighs, as the root mean square length of its centred values.
WEIGHTS = {"texture": 0.15, "lightness": 0.5, "colour": 1.0}
# Ranges of the whitened components that stand for attention heads.
RANGES = (slice(0, 64), slice(0, 8), slice(4, 32))

# The square cut (left, top, right, bottom) of each photograph, and per thing the box of its pixels in the 336 x 336
# picture: "there" is what must be found; "query" where the query is taken from (default: the same thing).
PICTURES = {
    "astronaut": {
        "file": "astronaut.png", "cut": (0, 0, 512, 512),
        "things": {
            "face": {"there": [(96, 10, 200, 126)], "query": (108, 14, 190, 118)},
            "flag": {"there": [(0, 0, 64, 336)], "query": (2, 4, 52, 250)},
            "helmet": {"there": [(184, 226, 336, 336)], "query": (190, 232, 330, 330)},
        },
    },
    "cat": {
        "file": "chelsea.png", "cut": (60, 0, 360, 300),
        "things": {
            # Either eye is an answer.
            "eye": {"there": [(84, 92, 168, 168), (260, 120, 322, 186)], "query": (92, 98, 160, 162)},
            "nose": {"there": [(210, 254, 264, 292)], "query": (212, 256, 262, 290)},
        },
    },
    "coffee": {
        "file": "coffee.png", "cut": (100, 0, 500, 400),
        "things": {
            "cup": {"there": [(60, 14, 258, 210)], "query": (70, 20, 250, 200)},
            "espresso": {"there": [(84, 84, 232, 172)], "query": (100, 100, 220, 164)},
            "spoon": {"there": [(186, 200, 260, 276)], "query": (192, 206, 256, 272)},
        },
    },
}


def memberships(values, low, high, bins):
    """[H, W] -> `bins` maps [H, W]: how much each value belongs to each of evenly spaced levels; they sum to 1."""
    position = np.clip((values - low) / (high - low), 0, 1) * (bins - 1)
    return [np.maximum(0.0, 1.0 - np.abs(position - level)) for level in range(bins)]


def pooled(maps, sigma=12.0):
    """Maps [H, W] -> [24, 24, maps]: the Gaussian mean around each cell's centre, square-rooted."""
    centres = np.arange(CELLS) * CELL + CELL // 2
    means = [gaussian_filter(layer, sigma)[centres][:, centres] for layer in maps]
    return np.sqrt(np.maximum(np.stack(means, axis=-1), 0))


def descriptors(picture):
    """RGB picture -> {"texture": [24, 24, 56], "lightness": [24, 24, 8], "colour": [24, 24, 36]}."""
    lab = rgb2lab(np.asarray(picture, np.float64) / 255)
    # DAISY starts one radius from the border: pad so that its first point is the first cell's centre.
    padded = np.pad(lab[..., 0] / 100, (CELL // 2, CELL), mode="reflect")
    texture = daisy(
        padded, step=CELL, radius=CELL, rings=1, histograms=6, orientations=8, normalization="off")
    green_red, blue_yellow = memberships(lab[..., 1], -20, 60, 6), memberships(lab[..., 2], -40, 70, 6)
    return {
        "texture": np.sqrt(np.abs(texture[:CELLS, :CELLS])),
        "lightness": pooled(memberships(lab[..., 0], 0, 100, 8)),
        "colour": pooled([a * b for a in green_red for b in blue_yellow]),
    }


class Whitening:
    """Mean, group scales and principal components of one picture's cells; applied to them and to the query."""

    def __init__(self, groups):
        rows = {name: values.reshape(CELLS * CELLS, -1) for name, values in groups.items()}
        self.mean = {name: values.mean(axis=0) for name, values in rows.items()}
        self.scale = {
            name: WEIGHTS[name] / np.sqrt(((values - self.mean[name]) ** 2).sum(axis=1).mean())
            for name, values in rows.items()}
        centred = self._joined(rows, centre=True)
        _, singular, components = np.linalg.svd(centred, full_matrices=False)
        variance = singular**2 / len(centred)
        # A component's sign is arbitrary: make its largest entry positive, so that re-runs agree.
        largest = np.abs(components).argmax(axis=1)
        components = components * np.sign(components[np.arange(len(components)), largest])[:, None]
        self.projection = components[:WIDTH].T / np.sqrt(variance[:WIDTH] + 0.01 * variance[0])

    def _joined(self, rows, centre):
        parts = [(values - self.mean[name] * centre) * self.scale[name] for name, values in rows.items()]
        return np.concatenate(parts, axis=-1)

    def __call__(self, rows, centre=True):
        return self._joined(rows, centre) @ self.projection


def normalised(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def cells_of(box):
    """Pixel box -> slices of the cells whose centre lies in it."""
    x0, y0, x1, y1 = ((edge + CELL // 2 - 1) // CELL for edge in box)
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def altered(picture):
    """The copy that queries come from: mirrored, 0.75 of the size and back, 10 % brighter, flatter."""
    small = picture.transpose(Image.FLIP_LEFT_RIGHT).resize((SIDE * 3 // 4,) * 2, Image.BICUBIC)
    copy = ImageEnhance.Brightness(small.resize((SIDE, SIDE), Image.BICUBIC)).enhance(1.1)
    return ImageEnhance.Contrast(copy).enhance(0.95)


def query_of(groups, box, whitening):
    """[64]: mean over the cells of a box of the original, looked up in the mirrored copy."""
    x0, y0, x1, y1 = box
    rows, columns = cells_of((SIDE - x1, y0, SIDE - x0, y1))
    inside = {name: values[rows, columns].reshape(-1, values.shape[-1]) for name, values in groups.items()}
    return normalised(whitening(inside).mean(axis=0))


def softmax_rows(cells, query):
    """[6, 576]: softmax over cos(query, cell) by range of components, at two temperatures."""
    rows = []
    for part in RANGES:
        cosine = normalised(cells[:, part]) @ normalised(query[part])
        for temperature in (0.5, 1.0):
            weights = np.exp((cosine - cosine.max()) / temperature)
            rows.append(weights / weights.sum())
    return np.array(rows)


def blocks_of(box):
    """Pixel box -> inclusive blocks [x_min, y_min, x_max, y_max] that it covers by at least a third of a side."""
    spans = []
    for low, high in ((box[0], box[2]), (box[1], box[3])):
        inside = [b for b in range(8) if min(high, (b + 1) * BLOCK) - max(low, b * BLOCK) >= BLOCK / 3]
        spans.append((inside[0], inside[-1]))
    return [spans[0][0], spans[1][0], spans[0][1], spans[1][1]]


def overlap(a, b):
    """Intersection over union of two inclusive block rectangles."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)
    area = sum((r[2] - r[0] + 1) * (r[3] - r[1] + 1) for r in (a, b))
    return shared / (area - shared)


def half(rows):
    return np.ascontiguousarray(rows, np.float16)


def found(scores):
    """Token scores -> what the service must find, and how far the map is from flat."""
    blocks = algorithms.to_blocks(scores, CELLS, CELLS)
    return {
        "blocks": algorithms.best_separation(blocks)["blocks"],
        "blocks_by_contrast": algorithms.best_contrast(blocks)["blocks"],
        "standardised_contrast": round(algorithms.standardised_contrast(blocks), 2),
    }


def write_thing(name, thing, features, rows, generic, query):
    """Files of one question: localize by similarity, localize by attention, and the same as .npy."""
    layout = {"type": "grid", "rows": CELLS, "columns": CELLS}

    def parameters(source, **more):
        return {"parameters": json.dumps({"layout": layout, "localize": {"source": source}, **more})}

    stem = f"{name}_{thing}"
    data = casefile.encode(
        {"image_features": features, "text_features": query}, parameters("similarity"))
    (HERE / f"{stem}.safetensors").write_bytes(data)
    data = casefile.encode(
        {"attention": rows, "reference_attention": generic}, parameters("relative_attention"))
    (HERE / f"{stem}_attention.safetensors").write_bytes(data)


def make(name, entry, expected):
    path = pathlib.Path(skimage.data.__file__).parent / entry["file"]
    picture = Image.open(path).convert("RGB").crop(entry["cut"]).resize((SIDE, SIDE), Image.LANCZOS)
    picture.save(HERE / f"{name}.jpg", quality=88, optimize=True)
    groups, copy = descriptors(picture), descriptors(altered(picture))
    whitening = Whitening(groups)
    rows_of_groups = {key: values.reshape(CELLS * CELLS, -1) for key, values in groups.items()}
    cells = whitening(rows_of_groups)
    uncentred = whitening(rows_of_groups, centre=False)
    features = half(normalised(cells))
    generic = half(softmax_rows(uncentred, uncentred.mean(axis=0)))
    for thing, boxes in entry["things"].items():
        query = half(query_of(copy, boxes["query"], whitening))
        rows = half(softmax_rows(cells, query.astype(np.float64)))
        write_thing(name, thing, features, rows, generic, query)
        truth = [blocks_of(box) for box in boxes["there"]]
        relative = rows.astype(np.float64).mean(axis=0) / generic.astype(np.float64).mean(axis=0)
        answers = {
            "similarity": found(algorithms.similarity(features, query)),
            "attention": found(rows.astype(np.float64).mean(axis=0)),
            "relative_attention": found(relative),
        }
        for answer in answers.values():
            answer["iou"] = round(max(overlap(answer["blocks"], box) for box in truth), 3)
        expected[f"{name}_{thing}"] = {
            "picture": f"{name}.jpg", "thing_pixels": [list(box) for box in boxes["there"]], "thing_blocks": truth,
            "found": answers}


def write_every_input(attention):
    """One file with image features, text features and attention of the same picture, on which every method runs."""
    features, parameters = casefile.decode((HERE / "cat_eye.safetensors").read_bytes())
    (HERE / "cat_eye_all.safetensors").write_bytes(
        casefile.encode({**features, "attention": attention["attention"]}, parameters))


def write_plain_forms(expected):
    """The same row as .npy and JSON, for calls without a client library."""
    tensors, _ = casefile.decode((HERE / "cat_eye_attention.safetensors").read_bytes())
    np.save(HERE / "cat_eye_attention.npy", tensors["attention"])
    write_every_input(tensors)
    row = tensors["attention"].astype(np.float64).mean(axis=0)
    body = {"method": "topk", "keep_tokens": 64, "layout": {"type": "grid", "rows": CELLS, "columns": CELLS},
            "region": {"blocks": expected["cat_eye"]["thing_blocks"][0]}, "region_policy": "first",
            "attention": [float(f"{value:.4g}") for value in row]}
    (HERE / "cat_eye_prune.json").write_text(json.dumps(body) + "\n")


def main():
    expected = {}
    for name, entry in PICTURES.items():
        make(name, entry, expected)
    write_plain_forms(expected)
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for name, entry in expected.items():
        print(f"{name:18} thing {entry['thing_blocks']}")
        for source, answer in entry["found"].items():
            print(f"{'':18} {source:19} {answer}")


if __name__ == "__main__":
    main()
