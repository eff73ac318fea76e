#!/usr/bin/env python3
"""Writes Tests/Golden/layouts.json: where each visual token lies, as the model families' own processors have it.

Every case is a layout as a request names it, and what the family's processor in `transformers` makes of a picture
of that size. The picture is a ramp: red grows with x, green with y. After the processor has resized, padded and cut
it, the mean colour under a token's patches says where in the original image the token looks. The tower itself only
reorders and merges patches, which is done here with arrays of positions in the place of features, by the code of the
package where that runs without PyTorch (`unpad_image`, `smart_resize`), else by the rule the model card documents.

Per case: `tokens`, `separators` (how many tokens are newlines), `centres` ([token, x, y] for a sample of tokens, x and
y in 0...1 of the image, null for a newline).

Run with Python 3.11, transformers 5.23.0, NumPy and Pillow; PyTorch is not needed:

    python3 tools/layouts/reference.py
"""

import ast
import importlib.util
import json
import math
import pathlib

import numpy
import transformers
from transformers.image_processing_utils import select_best_resolution
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / "Tests/Golden/layouts.json"
SIZES = [(640, 480), (480, 640), (500, 500), (1024, 300), (333, 1000), (672, 672), (1500, 1499), (97, 61)]


def function_of(module: str, name: str):
    """A function of a module that cannot be imported without PyTorch, from its source."""
    path = pathlib.Path(importlib.util.find_spec(module).origin)
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            scope = {"np": numpy, "torch": numpy, "math": math}
            exec(compile(ast.Module([node], []), str(path), "exec"), scope)  # noqa: S102
            return scope[name]
    raise SystemExit(f"{module} has no function {name}")


unpad_image = function_of("transformers.models.llava_next.modeling_llava_next", "unpad_image")


def ramp(width: int, height: int) -> numpy.ndarray:
    """[height, width, 3] bytes: red is x, green is y, blue is 255 (0 in padding)."""
    x = numpy.round((numpy.arange(width) + 0.5) / width * 255)
    y = numpy.round((numpy.arange(height) + 0.5) / height * 255)
    picture = numpy.full((height, width, 3), 255, numpy.uint8)
    picture[..., 0] = x[None, :]
    picture[..., 1] = y[:, None]
    return picture


def centres(pixels: numpy.ndarray, side: int, patch: int) -> numpy.ndarray:
    """Mean position under each of side x side cells of `patch` pixels: [side, side, 3], blue last."""
    pixels = numpy.asarray(pixels, numpy.float64)[:, : side * patch, : side * patch]
    cells = pixels.reshape(3, side, patch, -1, patch).mean(axis=(2, 4))
    return numpy.moveaxis(cells, 0, -1)


PLAIN = {"do_normalize": False, "do_rescale": True, "rescale_factor": 1 / 255, "return_tensors": "np"}


def case(layout: dict, positions: numpy.ndarray) -> dict:
    """`positions` [N, 3]; NaN in a newline."""
    count = len(positions)
    newline = numpy.isnan(positions[:, 0])
    # Cells that show padding have a mixed colour, which says nothing.
    plain = positions[:, 2] > 0.999
    wanted = set(numpy.linspace(0, count - 1, 24).round().astype(int).tolist())
    wanted |= set(numpy.flatnonzero(newline)[:2].tolist()) | set(numpy.flatnonzero(newline)[-1:].tolist())
    sample = []
    for token in sorted(wanted):
        if newline[token]:
            sample.append([token, None, None])
        elif plain[token]:
            sample.append([token, *(round(float(v), 4) for v in positions[token, :2])])
    return {"layout": layout, "tokens": count, "separators": int(newline.sum()), "centres": sample}


def llava_next(size, merge: str, tile: int = 336, side: int = 24, pinpoints=None) -> dict:
    more = {} if pinpoints is None else {"image_grid_pinpoints": pinpoints}
    processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": tile}, crop_size={"height": tile, "width": tile}, **more
    )
    width, height = size
    pixels = processor(ramp(*size), **PLAIN)["pixel_values"][0]
    rows, columns = (s // tile for s in select_best_resolution((height, width), processor.image_grid_pinpoints))
    cells = numpy.stack([centres(p, side, tile // side) for p in pixels])
    base, tiles = cells[0], cells[1:]
    layout = {"type": "llava_next", "image_size": list(size)}
    if tile != 336:
        layout |= {"tile_size": tile, "grid_pinpoints": pinpoints}
    if merge != "spatial_unpad":
        layout["merge_type"] = merge
    if merge == "flat":
        parts = [tiles.reshape(-1, 3)]
    else:
        raster = tiles.reshape(rows, columns, side, side, 3).transpose(4, 0, 2, 1, 3)
        raster = raster.reshape(3, rows * side, columns * side)
        if merge == "spatial_unpad":
            raster = unpad_image(raster, (height, width))
            newline = numpy.full((3, raster.shape[1], 1), numpy.nan)
            raster = numpy.concatenate([raster, newline], axis=2)
        parts = [raster.reshape(3, -1).T]
    return case(layout, numpy.concatenate([base.reshape(-1, 3), *parts]))


def qwen(size, kind: str, patch: int, **limits) -> dict:
    processor = Qwen2VLImageProcessorPil(patch_size=patch, **limits)
    result = processor(ramp(*size), **PLAIN)
    _, rows, columns = (int(v) for v in result["image_grid_thw"][0])
    # Patches come in 2 x 2 blocks; the merger makes one token of each block.
    patches = result["pixel_values"].reshape(-1, 4, 3, 2, patch, patch).mean(axis=(1, 3, 4, 5))
    layout = {"type": kind, "image_size": list(size)} | limits
    assert len(patches) == rows // 2 * (columns // 2)
    made = case(layout, patches)
    made["grid_thw"] = [1, rows, columns]
    return made


def internvl(size, maximum: int, **more) -> dict:
    processor = GotOcr2ImageProcessorPil(size={"height": 448, "width": 448}, crop_to_patches=True, max_patches=maximum)
    pixels = processor(ramp(*size), **PLAIN)["pixel_values"]
    positions = numpy.concatenate([centres(p, 16, 28).reshape(-1, 3) for p in pixels])
    layout = {"type": "internvl", "image_size": list(size)}
    return case(layout | ({} if maximum == 12 else {"max_tiles": maximum}) | more, positions)


def gemma3(size, scan: bool) -> dict:
    processor = Gemma3ImageProcessorPil(
        size={"height": 896, "width": 896},
        do_pan_and_scan=scan,
        pan_and_scan_min_crop_size=256,
        pan_and_scan_max_num_crops=4,
        pan_and_scan_min_ratio_to_activate=1.2,
    )
    pixels = processor(ramp(*size), **PLAIN)["pixel_values"]
    positions = numpy.concatenate([centres(p, 16, 56).reshape(-1, 3) for p in pixels])
    layout = {"type": "gemma3", "image_size": list(size)}
    return case(layout | ({"pan_and_scan": True} if scan else {}), positions)


def idefics(size, kind: str, tile: int, edge: int, side: int, split: bool = True) -> dict:
    maker = SmolVLMImageProcessorPil if kind == "smolvlm" else Idefics3ImageProcessorPil
    processor = maker(size={"longest_edge": edge}, max_image_size={"longest_edge": tile}, do_image_splitting=split)
    result = processor([[ramp(*size)]], **PLAIN)
    positions = numpy.concatenate([centres(p, side, tile // side).reshape(-1, 3) for p in result["pixel_values"][0]])
    layout = {"type": kind, "image_size": list(size)}
    if tile == 384:
        layout |= {"tile_size": 384, "longest_edge": 1536, "patch_size": 14, "scale_factor": 3}
    return case(layout | ({} if split else {"split": False}), positions)


def main() -> None:
    cases = []
    for size in SIZES:
        cases.append(llava_next(size, "spatial_unpad"))
        cases.append(qwen(size, "qwen2_vl", 14))
        cases.append(qwen(size, "qwen3_vl", 16, min_pixels=65536, max_pixels=16777216))
        cases.append(internvl(size, 12))
        cases.append(gemma3(size, True))
        cases.append(idefics(size, "smolvlm", 512, 2048, 8))
        cases.append(idefics(size, "idefics3", 364, 1456, 13))
    for size in SIZES[:3]:
        cases.append(llava_next(size, "spatial"))
        cases.append(llava_next(size, "flat"))
        cases.append(internvl(size, 6))
        cases.append(internvl(size, 1))
        cases.append(gemma3(size, False))
        cases.append(idefics(size, "smolvlm", 384, 1536, 9))
        cases.append(idefics(size, "smolvlm", 512, 2048, 8, split=False))
        cases.append(qwen(size, "qwen2_5_vl", 14, min_pixels=3136, max_pixels=200704))
    pinpoints = [[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]]
    cases.append(llava_next((900, 500), "spatial_unpad", 384, 27, pinpoints))
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    versions = f"transformers {transformers.__version__}, numpy {numpy.__version__}"
    TARGET.write_text(f'{{"made_with":"{versions}","cases":[\n{lines}\n]}}\n')
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
