"""What differs from model to model: where modules are, which inputs are visual, and how tokens lie."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, NamedTuple, Optional

from .. import layouts
from ..errors import ArgumentError

# (config, inputs, kind, index of the piece, its tokens) -> layout
LayoutOf = Callable[[Any, Mapping[str, Any], str, int, int], layouts.Layout]
# Inputs of the vision tower by kind; what has gone through it is not given to the model again.
VISUAL_INPUTS = {
    "image": ("pixel_values", "image_sizes", "image_grid_thw", "pixel_attention_mask", "batch_num_images"),
    "video": ("pixel_values_videos", "image_sizes_videos", "video_grid_thw", "second_per_grid_ts"),
}


class Family(NamedTuple):
    """`has_rope_index`: positions have three components and follow from the grid of the image (mRoPE).

    `pools_tensor`: features come as one tensor [pieces, tokens, D], not as a list. `side`: merged tokens per side of a
    piece, where a list's entries hold several pieces. `vision` and `language`: paths to the layers, below the base model.
    """

    layout: LayoutOf
    vision: str
    vision_attention: str
    language: str = "language_model.layers"
    has_cls: bool = False
    has_rope_index: bool = False
    pools_tensor: bool = False
    side: "Callable[[Any], int] | None" = None
    newline: bool = False


def _square(config: Any, inputs: Mapping[str, Any], kind: str, index: int, tokens: int) -> layouts.Layout:
    side = math.isqrt(tokens)
    return layouts.grid(side, side) if side * side == tokens else layouts.raw(tokens)


def _tiles(config: Any, inputs: Mapping[str, Any], kind: str, index: int, tokens: int) -> layouts.Layout:
    """LLaVA-NeXT's; transformers' `image_sizes` are (height, width)."""
    if kind != "image" or "image_sizes" not in inputs:
        return layouts.raw(tokens)
    height, width = (int(size) for size in inputs["image_sizes"][index])
    layout = layouts.llava_next(
        width=width, height=height, grid_pinpoints=[list(point) for point in config.image_grid_pinpoints],
        tile_size=config.vision_config.image_size, patch_size=config.vision_config.patch_size)  # fmt: skip
    return layout


def _onevision(config: Any, inputs: Mapping[str, Any], kind: str, index: int, tokens: int) -> layouts.Layout:
    """Of several images each has one tile, and a video's frames are scaled down: tokens without places."""
    side = config.vision_config.image_size // config.vision_config.patch_size
    sizes = inputs.get("image_sizes")
    if kind != "image" or sizes is None or tokens <= side * side + 1:
        return layouts.raw(tokens)
    height, width = (int(size) for size in sizes[index])
    # As transformers reads the name; without a number its `pack_image_features` raises, too.
    most = str(config.vision_aspect_ratio).strip("anyres_max_")
    if not most.isdecimal():
        raise ArgumentError(f"vision_aspect_ratio '{config.vision_aspect_ratio}' has no number of tiles, as 'anyres_max_9' has")
    return layouts.of_image(
        "llava_onevision", width=width, height=height, grid_pinpoints=[list(point) for point in config.image_grid_pinpoints],
        tile_size=config.vision_config.image_size, patch_size=config.vision_config.patch_size,
        max_tiles=int(most))  # fmt: skip


def _qwen(name: str) -> LayoutOf:
    def layout(config: Any, inputs: Mapping[str, Any], kind: str, index: int, tokens: int) -> layouts.Layout:
        grid = inputs["image_grid_thw" if kind == "image" else "video_grid_thw"][index]
        return layouts.qwen(name, grid, merge_size=config.vision_config.spatial_merge_size)

    return layout


def _internvl_side(config: Any) -> int:
    patches: int = _first(config.vision_config.image_size) // _first(config.vision_config.patch_size)
    return int(patches * config.downsample_ratio)


def _idefics_side(config: Any) -> int:
    return int(config.vision_config.image_size // config.vision_config.patch_size // config.scale_factor)


def _first(size: Any) -> int:
    return int(size[0] if isinstance(size, (list, tuple)) else size)


_CLIP = {"vision": "vision_tower.encoder.layers", "vision_attention": "self_attn"}
_QWEN = {"vision": "visual.blocks", "vision_attention": "attn", "has_rope_index": True}
_IDEFICS = {
    "layout": _square, "vision": "vision_model.encoder.layers", "vision_attention": "self_attn", "language": "text_model.layers",
    "side": _idefics_side,
}  # fmt: skip
FAMILIES: dict[str, Family] = {
    "llava": Family(_square, **_CLIP, has_cls=True),  # type: ignore[arg-type]
    "llava_next": Family(_tiles, **_CLIP, has_cls=True, newline=True),  # type: ignore[arg-type]
    "llava_onevision": Family(_onevision, **_CLIP, newline=True),  # type: ignore[arg-type]
    "qwen2_vl": Family(_qwen("qwen2_vl"), **_QWEN),  # type: ignore[arg-type]
    "qwen2_5_vl": Family(_qwen("qwen2_5_vl"), **_QWEN),  # type: ignore[arg-type]
    "qwen3_vl": Family(_qwen("qwen3_vl"), **_QWEN),  # type: ignore[arg-type]
    "internvl": Family(_square, "vision_tower.encoder.layer", "attention", has_cls=True, pools_tensor=True, side=_internvl_side),
    "idefics3": Family(**_IDEFICS),  # type: ignore[arg-type]
    "smolvlm": Family(**_IDEFICS),  # type: ignore[arg-type]
    "gemma3": Family(_square, **_CLIP, pools_tensor=True),  # type: ignore[arg-type]
}


def family_of(model: Any) -> Family:
    """-> what is known of a model's family. Raises `ArgumentError` for one that is not known."""
    name = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if name not in FAMILIES:
        raise ArgumentError(f"models of type '{name}' are not known here; known are {', '.join(FAMILIES)}")
    if not hasattr(model, "model"):
        raise ArgumentError(f"{type(model).__name__} has no head: a model that generates is wanted, such as LlavaForConditionalGeneration")
    return FAMILIES[name]


def _resolve(module: Any, path: str) -> Any:
    for name in path.split("."):
        # Towers that are models of their own wrap their layers once more in some versions.
        if not hasattr(module, name) and hasattr(module, "vision_model"):
            module = module.vision_model
        module = getattr(module, name)
    return module


def language_layers(model: Any) -> Any:
    """-> the layers of the language model, in order."""
    return _resolve(model.model, family_of(model).language)


def vision_attention(model: Any, layer: Optional[int] = None) -> Any:
    """-> the attention module of a layer of the vision tower.

    By default the last but one, whose states become LLaVA's features; of a tower most of whose layers attend within windows
    (Qwen2.5-VL), the last that attends to the whole image: a token's share of its window says nothing about other windows,
    so `ArgumentError` is raised for a layer with windows.
    """
    family = family_of(model)
    layers = _resolve(model.model, family.vision)
    unwindowed = getattr(model.config.vision_config, "fullatt_block_indexes", None)
    if layer is None:
        layer = max(unwindowed) if unwindowed else -2
    if not -len(layers) <= layer < len(layers) or unwindowed and layer % len(layers) not in unwindowed:
        known = f"{', '.join(map(str, unwindowed))}, which attend to the whole image" if unwindowed else f"0...{len(layers) - 1}"
        raise ArgumentError(f"layer={layer}: the vision tower's layers to read attention from are {known}")
    return getattr(layers[layer], family.vision_attention)
