#!/usr/bin/env python3
"""Writes small random models and what they must answer, into Tests/Golden/models.

    tools/models/reference.py            write them
    tools/models/reference.py --check    write nothing; fail when a file says something else, is missing or is not ours

`weights/NAME.safetensors` are models as `crop serve --models` reads them; their weights are random, so they localize
nothing. `cases/NAME.safetensors` hold an input and what the independent float64 reference (networks.py) makes of it.
Needs only numpy. Weights and inputs are the same bytes on every machine; expected numbers pass through matrix products,
exp and sin, are rounded to 13 significant digits, and agree within casefile.TOLERANCE.
"""
import argparse
import json
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "Tests" / "Golden" / "models"
sys.path.insert(0, str(ROOT / "tools" / "golden"))
import casefile  # noqa: E402
import networks  # noqa: E402

SHAPES = {"localizer": networks.localizer_shapes, "resampler": networks.resampler_shapes}
TYPES = {"F32": np.float32, "F16": np.float16}


class Suite:
    def __init__(self):
        self.files, self.models = {}, {}

    def model(self, name, seed, kind, dtype="F32", gain=1.5, **config):
        config = {"kind": kind, "version": 1, **config, "position": "sine",
                  "description": "random weights for tests; localizes nothing",
                  "training": {"seed": seed, "steps": 0}}
        if kind == "localizer":
            config["grid"] = [8, 8]
        generator = np.random.default_rng(seed)
        tensors = {}
        for tensor, shape in SHAPES[kind](config).items():
            values = generator.random(shape) * 2 - 1
            # Norms near their start of 1 and 0, matrices of about unit gain, so that no layer vanishes or saturates.
            if tensor.endswith("norm.weight"):
                values = 1 + 0.2 * values
            elif tensor.endswith("bias"):
                values = 0.2 * values
            else:
                values = values * gain * np.sqrt(3 / shape[-1])
            tensors[tensor] = values.astype(TYPES.get(dtype, np.float32))
        if dtype == "BF16":
            # The upper halves of float32, cut and not rounded: the reference reads back what it wrote.
            tensors = {n: (t.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) for n, t in tensors.items()}
        self.models[name] = config, {n: t.astype(np.float64) for n, t in tensors.items()}
        self.files[f"weights/{name}.safetensors"] = encode(tensors, {"crop.config": json.dumps(config)}, dtype)

    def case(self, name, model, tensors, parameters, expected):
        metadata = {"network": model, "parameters": json.dumps(parameters), "expected": json.dumps(significant(expected))}
        self.files[f"cases/{name}.safetensors"] = casefile.encode(tensors, metadata)


def encode(tensors, metadata, dtype):
    """casefile.encode knows no BF16."""
    if dtype != "BF16":
        return casefile.encode(tensors, metadata)
    header, data = {"__metadata__": metadata}, b""
    for name in sorted(tensors):
        body = (tensors[name].view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensors[name].shape), "data_offsets": [len(data), len(data) + len(body)]}
        data += body
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def significant(value):
    if isinstance(value, dict):
        return {key: significant(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [significant(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.13g}")
    return int(value) if isinstance(value, np.integer) else value


def uniform(seed, *shape):
    return (np.random.default_rng(seed).random(shape) * 2 - 1).astype(np.float32)


def centres(rows, columns, box=(0.0, 0.0, 1.0, 1.0)):
    """-> the centre of what each cell shows of the image, None where that is nothing."""
    x0, y0, x1, y1 = box
    result = []
    for row in range(rows):
        for column in range(columns):
            left, right = (max(0.0, min(1.0, x0 + (x1 - x0) * (column + i) / columns)) for i in (0, 1))
            top, bottom = (max(0.0, min(1.0, y0 + (y1 - y0) * (row + i) / rows)) for i in (0, 1))
            shown = right - left > 1e-9 and bottom - top > 1e-9
            result.append(((left + right) / 2, (top + bottom) / 2) if shown else None)
    return result


def localize(suite, name, model, places, image, text, layout):
    config, weights = suite.models[model]
    scores = networks.localizer_scores(weights, config, image.astype(np.float64), text.astype(np.float64), places)
    suite.case(name, model, {"image_features": image, "text_features": text}, {"layout": layout}, {"scores": scores})


def compress(suite, name, model, places, image, layout, parts, parameters):
    """`parts`: (tokens, anchors, learned rows) of the region, or of all tokens, and of the background."""
    config, weights = suite.models[model]
    wide = image.astype(np.float64)
    anchors = sorted(anchor for _, chosen, _ in parts for anchor in chosen)
    rows, first = [wide[anchors]], len(anchors)
    assignments = np.zeros(len(image), int)
    for part, (tokens, _, count) in zip(("region", "background"), parts):
        if count:
            made, strongest = networks.resampler_rows(weights, config, count, part, tokens, wide, places)
            rows.append(made)
            assignments[tokens] = strongest + first
            first += count
    assignments[anchors] = range(len(anchors))
    expected = {
        "kept_indices": anchors, "features": np.vstack(rows), "assignments": assignments,
        "sizes": np.bincount(assignments, minlength=first),
        "learned_rows": {"region": parts[0][2], "background": parts[1][2] if len(parts) == 2 else 0},
    }
    parameters = {"layout": layout, "mode": "resampler", "model": model, **parameters}
    suite.case(name, model, {"image_features": image}, parameters, expected)


def build():
    suite = Suite()
    suite.model("question", 11, "localizer", image_width=24, text_width=20, width=16, heads=2, layers=2, mlp_width=32)
    suite.model("wide", 12, "localizer", "F16", image_width=12, text_width=12, width=32, heads=8, layers=1, mlp_width=8)
    suite.model("queries", 13, "resampler", image_width=20, width=16, heads=4, queries=12)
    suite.model("few", 14, "resampler", "BF16", image_width=9, width=8, heads=1, queries=3)

    grid = {"type": "grid", "rows": 12, "columns": 12}
    localize(suite, "localize_12x12", "question", centres(12, 12), uniform(21, 144, 24), uniform(22, 5, 20), grid)
    localize(suite, "localize_one_text_row", "question", centres(6, 10), 40 * uniform(23, 60, 24), uniform(24, 20),
             {"type": "grid", "rows": 6, "columns": 10})
    # 640 x 320 in a square: the first and last quarter of the rows are padding, and rows 2 and 7 are half so.
    localize(suite, "localize_padded", "wide", centres(10, 10, (0.0, -0.5, 1.0, 1.5)), uniform(25, 100, 12),
             uniform(26, 3, 12), {"type": "llava", "rows": 10, "columns": 10, "image_size": [640, 320]})

    eight = {"type": "grid", "rows": 8, "columns": 8}
    tokens = list(range(64))
    # 64 / 4: strided anchors are every 16th token.
    compress(suite, "resample_whole", "queries", centres(8, 8), uniform(31, 64, 20), eight,
             [(tokens, tokens[::16][:4], 12)], {"keep_tokens": 16, "anchors": "strided"})
    inside = [t for t in tokens if 2 <= t % 8 <= 5 and 1 <= t // 8 <= 4]
    outside = [t for t in tokens if t not in inside]
    # 12 rows at a share of 0.75: nine for the 16 tokens of the region, three for the 48 others. Half of nine is
    # 4.5 and rounds to 4 anchors, half of three is 1.5 and rounds to 2.
    compress(suite, "resample_region", "queries", centres(8, 8), uniform(32, 64, 20), eight,
             [(inside, inside[::4], 5), (outside, outside[::24], 1)],
             {"keep_tokens": 12, "region": {"blocks": [2, 1, 5, 4]}, "anchors": "strided", "anchor_share": 0.5})
    # A region of as many tokens as it gets rows passes unchanged.
    small = [9, 10]
    rest = [t for t in tokens if t not in small]
    compress(suite, "resample_small_region", "few", centres(8, 8), uniform(33, 64, 9), eight,
             [(small, small, 0), (rest, [], 2)],
             {"keep_tokens": 4, "region": {"blocks": [1, 1, 2, 1]}, "anchor_share": 0})
    return suite.files


def check(files):
    broken = 0
    there = {str(path.relative_to(GOLDEN)): path for path in GOLDEN.rglob("*.safetensors")}
    for name in sorted(files.keys() | there.keys()):
        if name not in there:
            fault = "is missing"
        elif name not in files:
            fault = "is not made by this program"
        elif difference := casefile.difference(files[name], there[name].read_bytes()):
            fault = f"would change: {difference}"
        else:
            continue
        print(f"Tests/Golden/models/{name} {fault}")
        broken += 1
    print(f"{len(files)} files, {broken} differ")
    return 1 if broken else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    files = build()
    if options.check:
        return check(files)
    for name, data in files.items():
        target = GOLDEN / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    print(f"{len(files)} files, {sum(map(len, files.values())):,} bytes, in Tests/Golden/models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
