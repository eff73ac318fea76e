"""Attention rows of models that run on SDPA, which computes no attention matrix."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, NamedTuple, Optional, Sequence

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..errors import ArgumentError

_NAME = "crop_sdpa"
# What is captured at present, by module.
_wanted: "dict[int, list[_Call]]" = {}
# Rows of attention that are computed at a time, so that received attention never needs [H, N, N].
_ROWS = 256


class _Call(NamedTuple):
    """Queries [B, H, Q, d] and keys [B, G, K, d] of one call of the attention function."""

    query: torch.Tensor
    key: torch.Tensor
    mask: Optional[torch.Tensor]
    scaling: float
    is_causal: bool


def _attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: Optional[float] = None, **more: Any
) -> Any:
    calls = _wanted.get(id(module))
    if calls is not None:
        is_causal = more.get("is_causal")
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        calls.append(_Call(query.detach(), key.detach(), attention_mask, float(factor), bool(causal)))
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, sdpa_mask)


class Captured:
    """Queries and keys of the modules named to `capture`, and any attention row made of them.

    Rows equal those of eager attention within 2e-5 in float32. A tower that splits its input (Qwen's, by image or window)
    calls attention once for each part: `row` wants one call, `received` joins them.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self._modules = list(modules)
        self._calls: list[list[_Call]] = [[] for _ in modules]

    def calls(self, module: Any) -> list[_Call]:
        """-> what was seen of a module since it was last cleared."""
        for known, calls in zip(self._modules, self._calls):
            if known is module:
                if not calls:
                    raise ArgumentError("nothing was captured of this module: no forward pass went through it")
                return calls
        raise ArgumentError("this module was not named to capture()")

    def clear(self) -> None:
        """Forgets all calls, to hold those of the next pass alone."""
        for calls in self._calls:
            calls.clear()

    def row(self, module: Any, query: int = -1) -> torch.Tensor:
        """-> [B, H, K], the attention of one query: 0 for [CLS], -1 for the last token of the prompt."""
        return self.rows(module, [query])[:, :, 0]

    def rows(self, module: Any, queries: Sequence[int]) -> torch.Tensor:
        """-> [B, H, len(queries), K], the attention of these queries, such as those of the prompt's words; -1 is the last."""
        calls = self.calls(module)
        if len(calls) != 1:
            raise ArgumentError(f"{len(calls)} calls were captured of this module; clear() before the pass, or use received()")
        count = calls[0].query.shape[2]
        if not all(-count <= query < count for query in queries):
            raise ArgumentError(f"queries {list(queries)}: there were {count} in this pass, 0...{count - 1}")
        return _probabilities(calls[0], torch.as_tensor(list(queries)) % count)

    def received(self, module: Any) -> torch.Tensor:
        """-> [B, H, K], the mean over all queries: what each token receives, where there is no [CLS].

        Of several calls the tokens are joined, in order. O(H Q K) time, O(H K) memory beside 256 rows at a time.
        """
        parts = []
        for call in self.calls(module):
            count = call.query.shape[2]
            total: Any = 0
            for start in range(0, count, _ROWS):
                total = total + _probabilities(call, torch.arange(start, min(count, start + _ROWS))).sum(dim=2)
            parts.append(total / count)
        return torch.cat(parts, dim=-1)


def _probabilities(call: _Call, queries: torch.Tensor) -> torch.Tensor:
    """-> softmax(q k^T scaling) [B, H, len(queries), K] in float32, grouped keys repeated."""
    queries = queries.to(call.query.device)
    key = call.key
    if key.shape[1] != call.query.shape[1]:
        key = key.repeat_interleave(call.query.shape[1] // key.shape[1], dim=1)
    scores = (call.query[:, :, queries] @ key.transpose(-1, -2)).float() * call.scaling
    if call.mask is not None:
        mask = call.mask[:, :, queries, : key.shape[2]]
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask.float()
    elif call.is_causal and call.query.shape[2] > 1:
        offset = key.shape[2] - call.query.shape[2]
        later = torch.arange(key.shape[2], device=key.device) > (queries + offset)[:, None]
        scores = scores.masked_fill(later, -torch.inf)
    return torch.softmax(scores, dim=-1)


@contextlib.contextmanager
def capture(model: Any, modules: Sequence[Any]) -> Iterator[Captured]:
    """Keeps queries and keys of these attention modules during the block; the model's own attention is put back after it.

    Holds references to the queries and keys of the named modules alone: for a row of H heads of d numbers over N tokens
    2 H N d elements, where eager attention makes H N N.
    """
    found = Captured(modules)
    if any(id(module) in _wanted for module in modules):
        raise ArgumentError("a module is being captured already; captures of one module do not nest")
    parts = [model.config, *(getattr(model.config, name) for name in getattr(model.config, "sub_configs", {}))]
    before = [(config, config._attn_implementation) for config in parts if config is not None]
    model.set_attn_implementation(_NAME)
    for module, calls in zip(found._modules, found._calls):
        _wanted[id(module)] = calls
    try:
        yield found
    finally:
        for module in found._modules:
            _wanted.pop(id(module), None)
        for config, name in before:
            config._attn_implementation = name
