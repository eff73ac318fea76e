#!/usr/bin/env python3
"""Draws an answer of the service over its picture.

    python3 Examples/view.py PICTURE ANSWER.json [-o OUT.png] [--thing NAME] [--scale 2]

PICTURE is one of the square example pictures (24 x 24 tokens). Of a /prune answer the pruned tokens are darkened, of a
/localize answer the 8 x 8 saliency map is laid over the picture; the region's border is yellow. `--thing cat_eye` adds
in white where the thing truly is (expected.json). ANSWER may be `-` for standard input. Needs Pillow.
"""
import argparse
import json
import math
import pathlib
import sys

from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).resolve().parent
BLOCKS = 8


def regions_of(answer):
    """-> normalised boxes [x0, y0, x1, y1] of the answer's regions."""
    given = answer.get("regions", answer.get("region", []))
    given = given if isinstance(given, list) else [given]
    boxes = []
    for region in given:
        if isinstance(region, dict) and "blocks" in region:
            x0, y0, x1, y1 = region["blocks"]
            boxes.append([x0 / BLOCKS, y0 / BLOCKS, (x1 + 1) / BLOCKS, (y1 + 1) / BLOCKS])
        elif isinstance(region, dict) and "box" in region:
            boxes.append(region["box"])
    return boxes


def darken_pruned(picture, kept, token_count):
    side = math.isqrt(token_count)
    if side * side != token_count:
        raise SystemExit(f"{token_count} tokens are not a square grid; view.py draws only those")
    dark = picture.point(lambda value: value // 5)
    mask = Image.new("L", (side, side))
    mask.putdata([0] * token_count)
    for token in kept:
        mask.putpixel((token % side, token // side), 255)
    return Image.composite(picture, dark, mask.resize(picture.size, Image.NEAREST))


def overlay_saliency(picture, values):
    """Green where a block is salient; the weakest block stays as it is."""
    low, high = min(values), max(values)
    strength = [int(170 * (value - low) / ((high - low) or 1)) for value in values]
    mask = Image.new("L", (BLOCKS, BLOCKS))
    mask.putdata(strength)
    green = Image.new("RGB", picture.size, (0, 230, 110))
    return Image.composite(green, picture, mask.resize(picture.size, Image.NEAREST))


def outline(picture, boxes, colour, width, inset=0):
    draw = ImageDraw.Draw(picture)
    for x0, y0, x1, y1 in boxes:
        draw.rectangle(
            [x0 * picture.width + inset, y0 * picture.height + inset,
             x1 * picture.width - 1 - inset, y1 * picture.height - 1 - inset], outline=colour, width=width)


def token_count_of(answer):
    return len(answer["kept_indices"]) + answer.get("pruned_count", 576 - len(answer["kept_indices"]))


def render(picture, answer, thing=None, scale=2):
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.LANCZOS)
    if "kept_indices" in answer:
        picture = darken_pruned(picture, answer["kept_indices"], token_count_of(answer))
    elif "saliency" in answer:
        picture = overlay_saliency(picture, answer["saliency"]["data"])
    if thing:
        truth = json.loads((HERE / "expected.json").read_text())[thing]["thing_blocks"]
        outline(picture, regions_of({"regions": [{"blocks": blocks} for blocks in truth]}), "white", 2, inset=5)
    outline(picture, regions_of(answer), "yellow", 4)
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("answer")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("answer.png"))
    parser.add_argument("--thing")
    parser.add_argument("--scale", type=int, default=2)
    options = parser.parse_args()
    text = sys.stdin.read() if options.answer == "-" else pathlib.Path(options.answer).read_text()
    with Image.open(options.picture) as picture:
        drawn = render(picture.convert("RGB"), json.loads(text), options.thing, options.scale)
    drawn.save(options.output)
    print(options.output)


if __name__ == "__main__":
    main()
