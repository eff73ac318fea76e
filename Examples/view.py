#!/usr/bin/env python3
"""Draws a response of the service over its picture.

    python3 Examples/view.py PICTURE RESPONSE.json [-o OUT.png] [--thing NAME] [--scale 2] [--grid ROWSxCOLUMNS]

For a /prune response the pruned tokens are darkened; for a /localize response the 8 x 8 saliency map is laid over the
picture. The region has a yellow border. `--thing cat_eye` adds the true place of the thing in white (expected.json).
`--grid 12x48` gives the token grid; without it the grid is the one whose cells on this picture are closest to squares,
so that a wide picture gets a wide grid. RESPONSE may be `-` for standard input. An error response is printed and ends
the program with status 1. Needs Pillow.
"""
import argparse
import json
import math
import pathlib
import sys

from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).resolve().parent
BLOCKS = 8


def regions_of(response):
    """-> normalised boxes [x0, y0, x1, y1] of the response's regions."""
    given = response.get("regions", response.get("region", []))
    given = given if isinstance(given, list) else [given]
    boxes = []
    for region in given:
        if isinstance(region, dict) and "blocks" in region:
            x0, y0, x1, y1 = region["blocks"]
            boxes.append([x0 / BLOCKS, y0 / BLOCKS, (x1 + 1) / BLOCKS, (y1 + 1) / BLOCKS])
        elif isinstance(region, dict) and "box" in region:
            boxes.append(region["box"])
    return boxes


def grid_of(token_count, picture):
    """-> (rows, columns) with rows * columns = token_count whose cells on this picture are closest to squares."""
    def elongation(rows):
        return abs(math.log((picture.width * rows) / (picture.height * (token_count // rows))))
    rows = min((rows for rows in range(1, token_count + 1) if token_count % rows == 0), key=elongation)
    return rows, token_count // rows


def darken_pruned(picture, kept, rows, columns):
    dark = picture.point(lambda value: value // 5)
    mask = Image.new("L", (columns, rows))
    for token in kept:
        mask.putpixel((token % columns, token // columns), 255)
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


def response_of(text):
    """Reads a /prune or /localize response; ends the program with a message about anything else."""
    try:
        response = json.loads(text)
    except ValueError as error:
        raise SystemExit(f"view.py: the response is not JSON ({error}); is the server running?")
    if not isinstance(response, dict):
        raise SystemExit("view.py: the response is not a JSON object")
    if "kept_indices" in response or "saliency" in response or "regions" in response:
        return response
    if "status" in response and "title" in response:
        raise SystemExit(f"view.py: error response {response['status']} {response['title']}: "
                         f"{response.get('detail', 'no detail')}")
    raise SystemExit(f"view.py: expected a /prune or /localize response, found members {', '.join(response) or 'none'}")


def prune_grid(response, picture, grid):
    """-> (rows, columns) of a /prune response: the given grid if it fits, else the one that suits the picture."""
    kept = response["kept_indices"]
    if not all(isinstance(token, int) for token in kept):
        raise SystemExit("view.py: the response is of several images; give it one")
    if "pruned_count" not in response:
        raise SystemExit("view.py: the response has no pruned_count, which tells the number of tokens")
    token_count = len(kept) + response["pruned_count"]
    rows, columns = grid or grid_of(token_count, picture)
    if rows * columns != token_count or max(kept, default=0) >= token_count:
        raise SystemExit(f"view.py: a grid of {rows} x {columns} does not hold the {token_count} tokens of the response")
    return rows, columns


def render(picture, response, thing=None, scale=2, grid=None):
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.LANCZOS)
    if "kept_indices" in response:
        picture = darken_pruned(picture, response["kept_indices"], *prune_grid(response, picture, grid))
    elif "saliency" in response:
        picture = overlay_saliency(picture, response["saliency"]["data"])
    if thing:
        expected = json.loads((HERE / "expected.json").read_text())
        if thing not in expected:
            raise SystemExit(f"view.py: no thing {thing!r} in expected.json, which has {', '.join(expected)}")
        truth = expected[thing]["thing_blocks"]
        outline(picture, regions_of({"regions": [{"blocks": blocks} for blocks in truth]}), "white", 2, inset=5)
    outline(picture, regions_of(response), "yellow", 4)
    return picture


def rows_and_columns(text):
    rows, columns = (int(part) for part in text.split("x"))
    if rows < 1 or columns < 1:
        raise ValueError(text)
    return rows, columns


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("response")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=pathlib.Path("response.png"))
    parser.add_argument("--thing")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--grid", type=rows_and_columns, metavar="ROWSxCOLUMNS")
    options = parser.parse_args()
    text = sys.stdin.read() if options.response == "-" else pathlib.Path(options.response).read_text()
    response = response_of(text)
    with Image.open(options.picture) as picture:
        drawn = render(picture.convert("RGB"), response, options.thing, options.scale, options.grid)
    drawn.save(options.output)
    print(options.output)


if __name__ == "__main__":
    main()
