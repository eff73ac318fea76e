"""Patch and text features of a CLIP, SigLIP or DINOv2 that is on this machine."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer


def features_of(
    name: str, photo: Any, question: str
) -> "tuple[np.ndarray[Any, Any], Optional[np.ndarray[Any, Any]], int, int]":
    """-> features [N, D], the question's [D] or None, and the grid's rows and columns. Nothing is downloaded."""
    config = AutoConfig.from_pretrained(name, local_files_only=True)
    model = AutoModel.from_pretrained(name, local_files_only=True).eval()
    processor = AutoImageProcessor.from_pretrained(name, local_files_only=True)
    # The whole picture, as `grid` means it; cutting out its centre would move every token.
    size = getattr(config, "vision_config", config).image_size
    side = size if isinstance(size, int) else size[0]
    pixels = processor(photo, return_tensors="pt", do_center_crop=False, size={"height": side, "width": side}).pixel_values
    with torch.inference_mode():
        if config.model_type == "clip":
            features = _clip(model, pixels)
        elif config.model_type == "siglip":
            features = model.vision_model(pixels).last_hidden_state[0]
        elif config.model_type.startswith("dinov2"):
            skipped = 1 + getattr(config, "num_register_tokens", 0)
            features = model(pixels).last_hidden_state[0, skipped:]
        else:
            raise ValueError(f"{name} is a {config.model_type}; clip, siglip and dinov2 are known here")
        text = None
        if question and hasattr(model, "get_text_features"):
            tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=True)
            padding: Any = "max_length" if config.model_type == "siglip" else True
            found = model.get_text_features(**tokenizer([question], padding=padding, truncation=True, return_tensors="pt"))
            text = getattr(found, "pooler_output", found)[0].float().numpy()
    side = round(len(features) ** 0.5)
    return features.float().numpy(), text, side, side


def _clip(model: Any, pixels: Any) -> Any:
    """The value path of the last layer, without its attention, residual and feed-forward parts.

    Those mix the patches for the sake of [CLS], so that raw patch features hardly resemble the text of what they show
    (MaskCLIP, arXiv 2112.01071; ClearCLIP, arXiv 2407.12442).
    """
    tower = model.vision_model
    states = tower(pixels, output_hidden_states=True).hidden_states[-2]
    last = tower.encoder.layers[-1]
    values = last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(states)))
    return model.visual_projection(tower.post_layernorm(values))[0, 1:]
