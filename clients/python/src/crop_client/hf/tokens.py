"""Attention of a vision tower's patches as scores of the tokens the language model sees."""

from __future__ import annotations

import math
from typing import Any, Mapping

import torch

from ..errors import ArgumentError
from .families import family_of


def to_tokens(model: Any, attention: torch.Tensor, inputs: Mapping[str, Any], kind: str = "image") -> list[torch.Tensor]:
    """-> [..., N] per piece, in the order of `encode`'s features: each token the mean of its patches.

    `attention` is [pieces, ..., patches] without [CLS]; of Qwen's towers [1, ..., patches] of all images together.
    Patches are merged in blocks (InternVL, Idefics3, SmolVLM, Gemma 3), four by four in sequence (Qwen), and brought back
    from the order of Qwen2.5-VL's windows. LLaVA-NeXT's and -OneVision's tiles are put together as their features are.
    """
    name = model.config.model_type
    family = family_of(model)
    if name.startswith("qwen"):
        return _qwen(model, attention, inputs, kind)
    if name in ("llava_next", "llava_onevision") and kind == "image":
        return _packed(model, attention, inputs)
    if name == "llava_onevision":
        raise ArgumentError("llava_onevision scales the patches of its frames; no attention of patches fits its tokens")
    patches = math.isqrt(attention.shape[-1])
    if patches * patches != attention.shape[-1]:
        raise ArgumentError(f"{attention.shape[-1]} patches are no square; leave [CLS] out, as in attention[..., 1:]")
    side = patches
    if family.side is not None:
        side = family.side(model.config)
    elif name == "gemma3":
        side = math.isqrt(model.config.mm_tokens_per_image)
    return list(_blocks(attention, patches, side).unbind(0))


def _blocks(attention: torch.Tensor, patches: int, side: int) -> torch.Tensor:
    """[..., patches^2] -> [..., side^2], means of blocks."""
    if patches == side:
        return attention
    block = patches // side
    cells = attention.reshape(*attention.shape[:-1], side, block, side, block)
    return cells.mean(dim=(-3, -1)).flatten(-2)


def _qwen(model: Any, attention: torch.Tensor, inputs: Mapping[str, Any], kind: str) -> list[torch.Tensor]:
    grid = inputs[f"{kind}_grid_thw"]
    visual = model.model.visual
    unit = visual.spatial_merge_size**2
    merged = attention.reshape(*attention.shape[:-1], -1, unit).mean(dim=-1)[0]
    if model.config.model_type == "qwen2_5_vl":
        from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import get_vision_window_index

        window_index, _ = get_vision_window_index(
            grid, spatial_merge_size=visual.spatial_merge_size, window_size=visual.window_size, patch_size=visual.patch_size)
        merged = merged[..., torch.argsort(window_index).to(merged.device)]
    counts = (grid.prod(dim=-1) // unit).tolist()
    return list(torch.split(merged, counts, dim=-1))


def _packed(model: Any, attention: torch.Tensor, inputs: Mapping[str, Any]) -> list[torch.Tensor]:
    """Scores travel the way of the features, as features [patches, channels]; a newline scores 0."""
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    config = model.config
    middle = attention.shape[1:-1]
    channels = attention.reshape(attention.shape[0], -1, attention.shape[-1]).transpose(1, 2)
    sizes = inputs["image_sizes"]
    counts = [
        image_size_to_num_patches(size, config.image_grid_pinpoints, config.vision_config.image_size) for size in sizes]
    if "batch_num_images" in inputs:
        alone = [count == 1 for count in inputs["batch_num_images"].tolist() for _ in range(count)]
        counts = [count if is_alone else 1 for count, is_alone in zip(counts, alone)]
    newline = torch.zeros(channels.shape[-1], dtype=channels.dtype, device=channels.device)
    more: dict[str, Any] = {}
    if config.model_type == "llava_next":
        more["vision_feature_select_strategy"] = config.vision_feature_select_strategy
    else:
        more["vision_aspect_ratio"] = config.vision_aspect_ratio
    packed, _ = model.model.pack_image_features(torch.split(channels, counts), sizes, image_newline=newline, **more)
    return [piece.transpose(0, 1).reshape(*middle, -1) for piece in packed]
