#!/usr/bin/env python3
"""Writes Tests/Golden/layouts.json: where each visual token lies, as the model families' own processors have it.

Every case is a layout as a request names it, and what the family's processor in `transformers` makes of a picture
of that size. The picture is a ramp: red grows with x, green with y. After the processor has resized, padded and cut
it, the mean colour under a token's patches says where in the original image the token looks. The tower itself only
reorders and merges patches, which is done here with arrays of positions in the place of features, by the code of the
package where that runs without PyTorch (`unpad_image`, `smart_resize`), else by the rule the model card documents.

DeepSeek-VL2 and the first Molmo are not in the package. Their rules are restated here from the processors that their authors
publish with the models: github.com/deepseek-ai/DeepSeek-VL2, `deepseek_vl2/models/processing_deepseek_vl_v2.py`
(`select_best_resolution`, `tokenize_with_images`) and `modeling_deepseek_vl_v2.py` (`prepare_inputs_embeds`); and
`image_preprocessing_molmo.py` of Molmo-7B-D-0924 (`select_tiling`, `resize_and_pad`, `image_to_patches_and_tokens`).

Per case: `tokens`, `separators` (how many tokens are newlines), `centres` ([token, x, y] for a sample of tokens, x and
y in 0...1 of the image, null for a newline).

Run with Python 3.11, transformers 5.24.0, NumPy and Pillow; PyTorch is not needed:

    python3 tools/layouts/reference.py
"""

import ast
import importlib.util
import itertools
import json
import math
import pathlib
import types

import numpy
import transformers
from PIL import Image, ImageOps
from transformers.image_processing_utils import select_best_resolution
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = ROOT / "Tests/Golden/layouts.json"
SIZES = [(640, 480), (480, 640), (500, 500), (1024, 300), (333, 1000), (672, 672), (1500, 1499), (97, 61)]


class Array(numpy.ndarray):
    """A NumPy array with the methods of PyTorch's that the functions below call."""

    def to(self, dtype):
        return self.astype(dtype)

    def amin(self, dim, keepdim):
        return self.min(axis=dim, keepdims=keepdim)


TORCH = types.SimpleNamespace(
    tensor=lambda values, dtype: numpy.array(values, dtype).view(Array),
    int32=numpy.int32,
    float32=numpy.float32,
    all=numpy.all,
    where=numpy.where,
)


def function_of(module: str, name: str, **more):
    """A function of a module that cannot be imported without PyTorch, from its source."""
    path = pathlib.Path(importlib.util.find_spec(module).origin)
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            scope = {"np": numpy, "torch": numpy, "math": math, "itertools": itertools} | more
            exec(compile(ast.Module([node], []), str(path), "exec"), scope)  # noqa: S102
            return scope[name]
    raise SystemExit(f"{module} has no function {name}")


unpad_image = function_of("transformers.models.llava_next.modeling_llava_next", "unpad_image")
navit_resize = function_of("transformers.models.kimi_k25.image_processing_kimi_k25", "navit_resize")
MOLMO2 = "transformers.models.molmo2.image_processing_molmo2"
select_tiling = function_of(MOLMO2, "select_tiling", torch=TORCH)
compute_crop_geometry = function_of(MOLMO2, "compute_crop_geometry", select_tiling=select_tiling)


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


def llava_onevision(size) -> dict:
    processor = LlavaOnevisionImageProcessorPil()
    width, height = size
    pixels = processor(ramp(*size), **PLAIN)["pixel_values"][0]
    best = select_best_resolution((height, width), processor.image_grid_pinpoints)
    rows, columns = (extent // 384 for extent in best)
    cells = numpy.stack([centres(p, 27, 14) for p in pixels[: 1 + rows * columns]])
    raster = cells[1:].reshape(rows, columns, 27, 27, 3).transpose(4, 0, 2, 1, 3).reshape(3, rows * 27, columns * 27)
    raster = unpad_image(raster, (height, width))
    ratio = math.sqrt(raster.shape[1] * raster.shape[2] / (9 * 27**2))
    if ratio > 1.1:
        # Bilinear interpolation of positions is linear between the centres of old cells.
        new = int(raster.shape[1] // ratio), int(raster.shape[2] // ratio)
        at = [(numpy.arange(n) + 0.5) * old / n - 0.5 for n, old in zip(new, raster.shape[1:])]
        for axis, places in enumerate(at):
            low = numpy.clip(numpy.floor(places).astype(int), 0, raster.shape[axis + 1] - 1)
            high = numpy.minimum(low + 1, raster.shape[axis + 1] - 1)
            share = numpy.clip(places - low, 0, 1).reshape((-1, 1) if axis == 0 else (1, -1))
            raster = raster.take(low, axis + 1) * (1 - share) + raster.take(high, axis + 1) * share
    newline = numpy.full((3, raster.shape[1], 1), numpy.nan)
    raster = numpy.concatenate([raster, newline], axis=2).reshape(3, -1).T
    return case(
        {"type": "llava_onevision", "image_size": list(size)}, numpy.concatenate([cells[0].reshape(-1, 3), raster])
    )


def pixtral(size, edge: int, patch: int, merge: int, breaks: bool = False) -> dict:
    cell = patch * merge
    processor = PixtralImageProcessorPil(
        size={"longest_edge": edge}, patch_size={"height": cell, "width": cell}, do_pad=False
    )
    pixels = processor(ramp(*size), **PLAIN)["pixel_values"][0]
    rows, columns = pixels.shape[1] // cell, pixels.shape[2] // cell
    positions = numpy.moveaxis(pixels.reshape(3, rows, cell, columns, cell).mean(axis=(2, 4)), 0, -1)
    layout = {"type": "pixtral", "image_size": list(size)}
    if merge > 1:
        layout |= {"longest_edge": edge, "patch_size": patch, "merge_size": merge}
    if breaks:
        layout["breaks"] = True
        positions = numpy.concatenate([positions, numpy.full((rows, 1, 3), numpy.nan)], axis=1)
    return case(layout, positions.reshape(-1, 3))


def glm4v(size, **limits) -> dict:
    more = {"size": {"shortest_edge": limits["min_pixels"], "longest_edge": limits["max_pixels"]}} if limits else {}
    result = Glm4vImageProcessorPil(**more)(ramp(*size), **PLAIN)
    _, rows, columns = (int(v) for v in result["image_grid_thw"][0])
    patches = result["pixel_values"].reshape(-1, 4, 3, 2, 14, 14).mean(axis=(1, 3, 4, 5))
    made = case({"type": "glm4v", "image_size": list(size)} | limits, patches)
    made["grid_thw"] = [1, rows, columns]
    return made


def minicpm_v(size, slices: int = 9, merge: int = 4) -> dict:
    processor = MiniCPMV4_6ImageProcessorPil(max_slice_nums=slices, downsample_mode="16x" if merge == 4 else "4x")
    result = processor(ramp(*size), **PLAIN)
    strip = result["pixel_values"][0]
    parts = []
    start = 0
    for rows, columns in result["target_sizes"]:
        width = int(rows * columns) * 14
        patches = strip[:, :, start : start + width].reshape(3, 14, rows, columns, 14).mean(axis=(1, 4))
        cells = patches.reshape(3, rows // merge, merge, columns // merge, merge).mean(axis=(2, 4))
        parts.append(cells.reshape(3, -1).T)
        start += width
    layout = {"type": "minicpm_v", "image_size": list(size)}
    layout |= ({} if slices == 9 else {"max_slices": slices}) | ({} if merge == 4 else {"merge_size": merge})
    return case(layout, numpy.concatenate(parts))


def grid_of(rows: int, columns: int, cell_height: float, cell_width: float) -> numpy.ndarray:
    """Centres of cells whose sides are shares of the image: [rows x columns, 3]."""
    x, y = numpy.meshgrid((numpy.arange(columns) + 0.5) * cell_width, (numpy.arange(rows) + 0.5) * cell_height)
    return numpy.stack([x, y, numpy.ones_like(x)], axis=-1).reshape(-1, 3)


def kimi(size, patches: int) -> dict:
    """The sizes by the package's code; the picture is padded at the right and at the bottom."""
    width, height = size
    (new_height, new_width), padded = navit_resize(height, width, 14, 2, patches, 512)
    rows, columns = (extent // 28 for extent in padded)
    layout = {"type": "kimi_vl", "image_size": list(size)} | ({} if patches == 4096 else {"max_patches": patches})
    return case(layout, grid_of(rows, columns, 28 / new_height, 28 / new_width))


def molmo2(size) -> dict:
    """The canvas by the package's code; it is a plain resize of the picture, and 2 x 2 patches make a token."""
    width, height = size
    _, _, canvas_height, canvas_width = compute_crop_geometry(height, width, 8, [4, 4], 378, 14)
    parts = []
    for high, wide in ((378, 378), (canvas_height, canvas_width)):
        parts.append(grid_of((high // 14 + 1) // 2, (wide // 14 + 1) // 2, 28 / high, 28 / wide))
    return case({"type": "molmo2", "image_size": list(size)}, numpy.concatenate(parts))


DEEPSEEK_TILES = [(rows, columns) for rows in range(1, 10) for columns in range(1, 10) if rows * columns <= 9]


def deepseek_tiles(size) -> tuple[int, int]:
    """Of the 23 published resolutions the one that keeps most of the image's pixels, then the smallest: [rows, columns]."""
    width, height = size

    def rank(tiles):
        rows, columns = tiles
        scale = min(columns * 384 / width, rows * 384 / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - rows * columns * 384 * 384

    return max(DEEPSEEK_TILES, key=rank)


def deepseek_vl2(size, crop: bool = True) -> dict:
    """Both pictures by Pillow's `ImageOps.pad`, which the processor calls; 2 x 2 of 27 x 27 patches make a token."""
    rows, columns = deepseek_tiles(size) if crop else (1, 1)

    def cells(picture) -> numpy.ndarray:
        pixels = numpy.moveaxis(numpy.asarray(picture, numpy.float64) / 255, -1, 0)
        made = numpy.zeros((14, 14, 3))
        # The last token of a row or column shows one patch and zeros: as padding does, it says nothing.
        made[:13, :13] = centres(pixels, 13, 28)
        return made

    def lines(raster) -> numpy.ndarray:
        newlines = numpy.full((len(raster), 1, 3), numpy.nan)
        return numpy.concatenate([raster, newlines], axis=1).reshape(-1, 3)

    image = Image.fromarray(ramp(*size))
    canvas = ImageOps.pad(image, (columns * 384, rows * 384), color=(127, 127, 127))
    tiles = [
        [cells(canvas.crop((x, y, x + 384, y + 384))) for x in range(0, columns * 384, 384)]
        for y in range(0, rows * 384, 384)
    ]
    raster = numpy.concatenate([numpy.concatenate(line, axis=1) for line in tiles])
    whole = cells(ImageOps.pad(image, (384, 384), color=(127, 127, 127)))
    layout = {"type": "deepseek_vl2", "image_size": list(size)} | ({} if crop else {"crop": False})
    return case(layout, numpy.concatenate([lines(whole), numpy.full((1, 3), numpy.nan), lines(raster)]))


def molmo_tiles(size) -> tuple[int, int]:
    """The grid of at most 12 windows of 224 that enlarges the image least, else shrinks it least: [rows, columns]."""
    inner = [numpy.float32(extent - 112) for extent in reversed(size)]
    grids = sorted(
        ((i, j) for i in range(1, 13) for j in range(1, 13) if i * j <= 12), key=lambda grid: (grid[0] * grid[1], grid[0])
    )
    with numpy.errstate(divide="ignore"):
        scales = [min(numpy.float32(224 * n) / extent for n, extent in zip(grid, inner)) for grid in grids]
    if all(scale < 1 for scale in scales):
        return grids[scales.index(max(scales))]
    return grids[scales.index(min(scale for scale in scales if scale >= 1))]


def molmo(size) -> dict:
    """Padded around the centre; each crop gives the tokens that are not nearer to the middle of its neighbour."""
    width, height = size

    def canvas(wide: int, high: int) -> numpy.ndarray:
        scale = min(numpy.float32(wide) / numpy.float32(width), numpy.float32(high) / numpy.float32(height))
        inner = int(numpy.float32(width) * scale), int(numpy.float32(height) * scale)
        picture = Image.fromarray(ramp(*size)).resize(inner, Image.Resampling.BILINEAR)
        pixels = numpy.zeros((high, wide, 3))
        left, top = (wide - inner[0]) // 2, (high - inner[1]) // 2
        pixels[top : top + inner[1], left : left + inner[0]] = numpy.asarray(picture) / 255
        return numpy.moveaxis(pixels, -1, 0)

    def kept(index: int, count: int) -> slice:
        """Tokens of a crop along one axis: 2 of 12 go at each side where there is a neighbour."""
        return slice(0 if index == 0 else 2, 12 if index == count - 1 else 10)

    rows, columns = molmo_tiles(size)
    pixels = canvas(columns * 224 + 112, rows * 224 + 112)
    lines = []
    for row in range(rows):
        crops = [
            centres(pixels[:, row * 224 : row * 224 + 336, column * 224 : column * 224 + 336], 12, 28)
            for column in range(columns)
        ]
        parts = [crop[kept(row, rows), kept(column, columns)] for column, crop in enumerate(crops)]
        lines.append(numpy.concatenate(parts, axis=1).reshape(-1, 3))
    whole = centres(canvas(336, 336), 12, 28).reshape(-1, 3)
    return case({"type": "molmo", "image_size": list(size)}, numpy.concatenate([whole, *lines]))


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
        cases.append(llava_onevision(size))
        cases.append(pixtral(size, 1024, 16, 1))
        cases.append(glm4v(size))
        cases.append(minicpm_v(size))
        cases.append(kimi(size, 4096))
        cases.append(molmo2(size))
        cases.append(deepseek_vl2(size))
        cases.append(molmo(size))
    for size in SIZES[3:7]:
        cases.append(pixtral(size, 1540, 14, 2))
        cases.append(pixtral(size, 1024, 16, 1, breaks=True))
        cases.append(minicpm_v(size, slices=1))
        cases.append(minicpm_v(size, merge=2))
        cases.append(glm4v(size, min_pixels=12544, max_pixels=401408))
        cases.append(kimi(size, 1024))
    cases.append(llava_onevision((3000, 2500)))
    cases.append(molmo2((3000, 1800)))
    # Beyond every resolution, exactly one tile, narrower than the margins of a crop, and very long.
    for size in [(3000, 1800), (384, 384), (112, 112), (90, 150), (448, 336), (2400, 250), (769, 768)]:
        cases.append(deepseek_vl2(size))
        cases.append(molmo(size))
    cases.append(deepseek_vl2((640, 480), crop=False))
    cases.append(minicpm_v((3000, 1800)))
    cases.append(kimi((9000, 600), 16384))
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
