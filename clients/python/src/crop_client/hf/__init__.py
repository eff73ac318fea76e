"""Pruning the visual tokens of transformers' models as they are, without a change to them.

    from crop_client import Client, hf
    pruned = hf.PrunedGeneration(model, Client(), method="divprune", keep_ratio=0.25)
    new_tokens = pruned.generate(processor(images=image, text=prompt, return_tensors="pt"), max_new_tokens=64)

`PrunedGeneration` runs the vision tower, asks the service which of its tokens stay, and takes the others out of features,
ids, masks, positions and deepstack features together. `InLLM` prunes between layers of the language model. `capture` reads
attention rows out of models that run on SDPA. LLaVA, LLaVA-NeXT, LLaVA-OneVision, Qwen2-VL, Qwen2.5-VL, Qwen3-VL, InternVL,
Idefics3, SmolVLM and Gemma 3 are known; images, several images, batches, and the video of Qwen and LLaVA-OneVision.
"""

from .capture import Captured, capture
from .families import FAMILIES, Family, family_of, language_layers, vision_attention
from .in_llm import InLLM
from .pruning import PrunedGeneration, Visual, encode, prune_inputs
from .tokens import to_tokens

__all__ = [
    "FAMILIES", "Captured", "Family", "InLLM", "PrunedGeneration", "Visual", "capture", "encode", "family_of",
    "language_layers", "prune_inputs", "to_tokens", "vision_attention",
]  # fmt: skip
