#!/usr/bin/env python3
"""Writes the table of docs/methods.md and draws its pictures, all from what `crop` answers.

    python3 tools/methods.py [--crop .build/release/crop] [--no-pictures]

The pictures show which tokens the methods of a family keep of one photograph, Examples/cat.jpg, for the question about
its eye (Examples/cat_eye_all.safetensors, made by Examples/make_features.py): pruned tokens are dark. Needs Pillow and numpy.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageDraw, ImageOps

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Examples"))
from view import darken_pruned  # noqa: E402

EXAMPLE = ROOT / "Examples" / "cat_eye_all.safetensors"
PAGE = ROOT / "docs" / "methods.md"
SIDE, CELL, KEPT = 24, 14, 64
PANEL, LABEL = 168, 16
# The second frame is the picture, mirrored: what a video method sees as new.
FRAMES = (False, True)


def read_safetensors(path):
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    types = {"F16": np.float16, "F32": np.float32}
    return {
        name: np.frombuffer(data[8 + length:][slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items() if name != "__metadata__"}


def answer(crop, folder, tensors, **parameters):
    """-> the answer of `crop prune`; None where the method needs what a photograph does not give."""
    files = []
    for name, tensor in tensors.items():
        files.append(folder / f"{name}.npy")
        np.save(files[-1], np.ascontiguousarray(tensor))
    done = subprocess.run(
        [crop, "prune", *files, "--format", "json", "--parameters", json.dumps(parameters)], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def panel(picture, kept, name):
    drawn = Image.new("RGB", (PANEL, PANEL + LABEL), "white")
    drawn.paste(darken_pruned(picture, kept, SIDE, SIDE).resize((PANEL, PANEL), Image.LANCZOS), (0, LABEL))
    ImageDraw.Draw(drawn).text((2, 2), name, "black")
    return drawn


def pixels(picture):
    """-> [576, 588], the pixels of each token's square."""
    values = np.asarray(picture.resize((SIDE * CELL, SIDE * CELL)), np.float32) / 255
    squares = values.reshape(SIDE, CELL, SIDE, CELL, 3).transpose(0, 2, 1, 3, 4)
    return squares.reshape(SIDE * SIDE, -1)


def panels(crop, folder, method, tensors, picture):
    """-> the panels of one method: one, or one for each frame of a video."""
    name, needed = method["name"], method["required_inputs"]
    grid = {"type": "grid", "rows": SIDE, "columns": SIDE}
    if method["family"] == "video":
        mirrored = tensors["image_features"].reshape(SIDE, SIDE, -1)[:, ::-1].reshape(SIDE * SIDE, -1)
        features = np.concatenate([mirrored if flip else tensors["image_features"] for flip in FRAMES])
        layout = {"type": "video", "frames": len(FRAMES), "rows": SIDE, "columns": SIDE}
        found = answer(crop, folder, {"image_features": features}, method=name, layout=layout, keep_tokens=SIDE ** 2 + 2 * KEPT)
        if found is None:
            return []
        drawn = []
        for frame, flip in enumerate(FRAMES):
            own = [token - frame * SIDE ** 2 for token in found["kept_indices"] if token // SIDE ** 2 == frame]
            drawn.append(panel(ImageOps.mirror(picture) if flip else picture, own, f"{name}, frame {frame + 1}"))
        return drawn
    given = {**tensors, "pixel_values": pixels(picture)}
    if needed or method["family"] == "control":
        given = {one: given[one] for one in {*needed, *method["optional_inputs"]} if one in given}
    else:
        del given["pixel_values"]
    # The program wants a file even where a method reads none.
    given = given or {"attention": tensors["attention"]}
    found = answer(crop, folder, given, method=name, layout=grid, keep_tokens=KEPT)
    return [panel(picture, found["kept_indices"], name)] if found else []


def draw(crop, methods):
    picture = Image.open(ROOT / "Examples" / "cat.jpg").convert("RGB")
    tensors = read_safetensors(EXAMPLE)
    target = ROOT / "docs" / "methods"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="crop") as folder:
        for family in dict.fromkeys(method["family"] for method in methods):
            drawn = []
            for method in methods:
                if method["family"] == family:
                    drawn += panels(crop, pathlib.Path(folder), method, tensors, picture)
            across = min(len(drawn), 5)
            down = -(-len(drawn) // across)
            sheet = Image.new("RGB", (across * (PANEL + 4), down * (PANEL + LABEL + 4)), "white")
            for place, one in enumerate(drawn):
                sheet.paste(one, (place % across * (PANEL + 4), place // across * (PANEL + LABEL + 4)))
            sheet.save(target / f"{family}.jpg", quality=72, optimize=True)
            print(target / f"{family}.jpg", len(drawn))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", default=ROOT / ".build" / "release" / "crop", type=pathlib.Path)
    parser.add_argument("--no-pictures", action="store_true")
    options = parser.parse_args()

    def methods(form):
        return subprocess.run([options.crop, "methods", "--format", form], capture_output=True, text=True, check=True).stdout

    text = PAGE.read_text()
    table = methods("markdown")
    replaced, count = re.subn(r"^\| method \| needs \|.*\n(?:\|.*\n)+", lambda _: table, text, count=1, flags=re.M)
    if count != 1:
        raise SystemExit(f"{PAGE} has no table that begins with '| method | needs |'")
    PAGE.write_text(replaced)
    if not options.no_pictures:
        draw(options.crop, json.loads(methods("json"))["methods"])


if __name__ == "__main__":
    main()
