"""From a picture to kept tokens: python -m crop_client.demo PHOTO "where is the red cup?"

Draws, over the photograph, the contextual region and the tokens that are kept, and prints both. It needs Pillow, a
running service (`make run`), and nothing else:

* without a model, cells are compared by gradients and colours. Such descriptors do not understand words, but for colours
  ("the red one"); `--example 0.2,0.1,0.5,0.6` names a thing by a box around it; without either, what stands out is found.
* `--model FOLDER_OR_NAME` takes the CLIP or SigLIP that you have, which does understand words, or a DINOv2, for which
  `--example` says what is wanted (needs torch and transformers; nothing is downloaded).
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Any, NamedTuple, Optional

import numpy as np

from . import _descriptors, layouts
from ._client import Client
from .errors import CropError

TOKENS = 576


class Sample(NamedTuple):
    """Features of a picture's tokens, what says which of them matter, and what that is worth."""

    features: "np.ndarray[Any, Any]"
    tensors: dict[str, Any]
    rows: int
    columns: int
    how: str


def main(arguments: Optional[list[str]] = None) -> int:
    """The program. -> its exit status."""
    options = _options().parse_intermixed_args(arguments)
    try:
        from PIL import Image, ImageOps
    except ImportError:
        print("the demo needs Pillow: pip install pillow", file=sys.stderr)
        return 2
    try:
        _check_output(options.output)
        with Image.open(options.photo) as opened:
            # As viewers show it, which is how --example is meant.
            photo = ImageOps.exif_transpose(opened).convert("RGB")
        example = _box(options.example) if options.example else None
        sample = _of_model(photo, options, example) if options.model else _of_descriptors(photo, options.question, example)
    except (OSError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    layout = layouts.grid(sample.rows, sample.columns, width=photo.width, height=photo.height)
    budget: dict[str, Any] = {"keep_ratio": options.keep_ratio}
    if options.keep_tokens is not None:
        budget = {"keep_tokens": options.keep_tokens}
    try:
        with Client(options.url, api_key=options.api_key, retries=0) as client:
            localized = client.localize(layout=layout, localize={"minimum_contrast": options.minimum_contrast}, **sample.tensors)
            place: dict[str, Any] = {"region": [{"box": found["box"]} for found in localized.regions]}
            if localized.whole_image:
                place = {"localize": False}
            tensors = sample.tensors
            if options.method != "crop":  # which behind a region would rather choose by features than by what was asked for
                tensors = {"image_features": sample.features, **tensors}
            answer = client.prune(layout=layout, method=options.method, **place, **budget, **tensors)
    except CropError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    kept = np.asarray(answer.kept_indices)
    print(f"{sample.how}")
    if localized.whole_image:
        print(f"region: none, the whole image counts: {localized.get('reason', 'the map is too flat')}")
    for found in localized.regions if not localized.whole_image else []:
        x0, y0, x1, y1 = found["box"]
        print(f"region: {x0:.2f}, {y0:.2f} to {x1:.2f}, {y1:.2f} of the picture ({100 * found['area']:.0f} % of it)")
    inside = np.isin(kept, localized.region_indices).sum()
    where = "" if localized.whole_image else f", {inside} of them in the region"
    print(f"kept:   {len(kept)} of {sample.rows * sample.columns} tokens by {answer.method}{where}")
    boxes = [] if localized.whole_image else [found["box"] for found in localized.regions]
    try:
        draw(photo, boxes, kept, sample.rows, sample.columns).save(options.output)
    except (OSError, ValueError) as error:
        print(f"-o {options.output}: {error}", file=sys.stderr)
        return 2
    print(options.output)
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m crop_client.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", help="a picture that Pillow reads")
    parser.add_argument("question", nargs="?", default="", help="what is wanted, such as \"where is the red cup?\"")
    parser.add_argument("-o", "--output", default="kept.png", help="the picture to write (%(default)s)")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="where the service listens (%(default)s)")
    parser.add_argument(
        "--api-key", default=os.environ.get("CROPCLIENT_API_KEY") or None, metavar="KEY",
        help="where the service wants one; better in CROPCLIENT_API_KEY, as others see the arguments of programs")
    parser.add_argument("--method", default="crop", help="which method chooses the tokens (%(default)s)")
    parser.add_argument("--keep-ratio", type=float, default=1 / 6, help="the share of tokens to keep (1/6)")
    parser.add_argument("--keep-tokens", type=int, help="how many tokens to keep, in place of a share")
    parser.add_argument("--example", help="x0,y0,x1,y1 in 0...1: a box around a thing like the one that is wanted")
    parser.add_argument("--model", help="a CLIP, SigLIP or DINOv2 of transformers that is on this machine")
    parser.add_argument("--minimum-contrast", type=float, default=5, help="below it the whole image counts (%(default)s)")
    return parser


def _check_output(path: str) -> None:
    """Raises before anything is computed what would end in a picture that cannot be written."""
    from PIL import Image

    place = pathlib.Path(path)
    if not place.parent.is_dir():
        raise ValueError(f"-o {path}: there is no folder {place.parent}")
    if Image.registered_extensions().get(place.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"-o {path}: Pillow writes no pictures that end in '{place.suffix}'; .png or .jpg, for instance")


def _box(text: str) -> list[float]:
    try:
        x0, y0, x1, y1 = (float(number) for number in text.split(","))
        if 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1:
            return [x0, y0, x1, y1]
    except ValueError:
        pass
    raise ValueError(f"--example {text}: four numbers in 0...1, left,top,right,bottom")


def _inside(box: list[float], rows: int, columns: int) -> "np.ndarray[Any, Any]":
    """-> the cells whose centre lies in the box; at least the one under the box's centre."""
    x0, y0, x1, y1 = box
    y, x = np.divmod(np.arange(rows * columns), columns)
    x, y = (x + 0.5) / columns, (y + 0.5) / rows
    found = np.flatnonzero((x0 <= x) & (x < x1) & (y0 <= y) & (y < y1))
    if found.size:
        return found
    return np.array([int((y0 + y1) / 2 * rows) * columns + int((x0 + x1) / 2 * columns)])


def _of_descriptors(photo: Any, question: str, example: Optional[list[float]]) -> Sample:
    # About 576 square cells, whatever the picture's shape.
    rows = min(TOKENS, max(1, round((TOKENS * photo.height / photo.width) ** 0.5)))
    columns = max(1, round(TOKENS / rows))
    cell = _descriptors.CELL
    pixels = np.asarray(photo.resize((columns * cell, rows * cell)))
    features = _descriptors.whiten(_descriptors.describe(pixels)).astype(np.float32)
    if example is not None:
        query = features[_inside(example, rows, columns)].mean(axis=0)
        tensors = {"image_features": features, "text_features": query}
        return Sample(features, tensors, rows, columns, "by likeness to the example")
    colour = _descriptors.colour_row(pixels, question)
    if colour is not None:
        tensors = {"attention": colour.astype(np.float32)}
        return Sample(features, tensors, rows, columns, "by the colour that the question names")
    how = (
        "by what stands out: without a model no word but a colour is understood; give --example x0,y0,x1,y1 or "
        "--model FOLDER_OF_A_CLIP")
    return Sample(features, {"attention": _descriptors.prominence(features).astype(np.float32)}, rows, columns, how)


def _of_model(photo: Any, options: argparse.Namespace, example: Optional[list[float]]) -> Sample:
    try:
        from ._towers import features_of
    except ImportError as error:
        raise ValueError(f"--model needs torch and transformers: {error}") from None
    try:
        features, text, rows, columns = features_of(options.model, photo, options.question)
    except (OSError, ValueError) as error:
        raise ValueError(f"--model {options.model}: no model on this machine that can be used: {error}") from None
    if example is not None:
        text, how = features[_inside(example, rows, columns)].mean(axis=0), "by likeness to the example"
    elif text is not None:
        how = f"by what {options.model} makes of the question"
    else:
        why = "reads no words" if options.question else "was asked nothing: give a question, if it reads words"
        raise ValueError(f"{options.model} {why}, or --example x0,y0,x1,y1, a box around what is wanted")
    return Sample(features, {"image_features": features, "text_features": text}, rows, columns, how)


def draw(photo: Any, boxes: list[list[float]], kept: "np.ndarray[Any, Any]", rows: int, columns: int) -> Any:
    """-> the picture with its regions framed, beside itself with the pruned tokens darkened."""
    from PIL import Image, ImageDraw

    scale = 640 / max(photo.size)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    left = photo.resize(size)
    mask = np.zeros(rows * columns, np.uint8)
    mask[kept] = 255
    stencil = Image.fromarray(mask.reshape(rows, columns)).resize(size, Image.Resampling.NEAREST)
    right = Image.composite(left, left.point(lambda value: value // 5), stencil)
    for picture in (left, right):
        pen = ImageDraw.Draw(picture)
        for x0, y0, x1, y1 in boxes:
            pen.rectangle((x0 * size[0], y0 * size[1], x1 * size[0] - 1, y1 * size[1] - 1), outline="yellow", width=3)
    both = Image.new("RGB", (2 * size[0] + 8, size[1]), "white")
    both.paste(left, (0, 0))
    both.paste(right, (size[0] + 8, 0))
    return both


if __name__ == "__main__":
    sys.exit(main())
