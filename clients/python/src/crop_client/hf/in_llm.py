"""Pruning between layers of the language model: FastV, PyramidDrop and the schedules of CROP."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

import torch

from .._client import Client
from ..answers import PruneAnswer
from ..errors import ArgumentError
from .capture import Captured, capture
from .families import family_of, language_layers
from .pruning import check_client, encode

_BUDGETS = frozenset({"keep_tokens", "keep_ratio", "prune_ratio"})


class InLLM:
    """Drops visual tokens before given layers of an unmodified model, for the prompt of one sequence.

        with InLLM(model, client, inputs, stages=[{"layer": 2, "keep_ratio": 0.5}], method="fastv") as stages:
            model.generate(**inputs, max_new_tokens=64)
        stages.kept                      # the tokens that stay after each stage, counted from the image's first

    At stage l the service sees the attention of the last prompt token in layer l - 1, [heads, tokens left], as the papers
    have it, and answers what goes on. From layer l on hidden states, rotary embeddings, masks and the cache hold the tokens
    that stay; earlier layers' caches hold all, so the cache is ragged. Each of `stages` has a `layer` and a budget, one of
    `keep_tokens`, `keep_ratio` and `prune_ratio`; a ratio is of the image's tokens. `arguments` are those of `Client.prune`.
    Positions stay what they were. `answers` holds the service's answer to each stage.
    """

    def __init__(
        self, model: Any, client: Client, inputs: Mapping[str, Any], *, stages: Sequence[Mapping[str, Any]], **arguments: Any
    ) -> None:
        check_client(client)
        if inputs["input_ids"].shape[0] != 1:
            raise ArgumentError("InLLM prunes one sequence at a time: the rows of a batch would keep different tokens")
        for stage in stages:
            if set(stage) - _BUDGETS != {"layer"} or len(stage) != 2:
                raise ArgumentError(f"stages: {dict(stage)} is no `layer` with one of {', '.join(sorted(_BUDGETS))}")
        if given := sorted(name for name in _BUDGETS if arguments.get(name) is not None):
            raise ArgumentError(f"`{given[0]}`: each of `stages` has a budget of its own")
        layers = [int(stage["layer"]) for stage in stages]
        deepest = len(getattr(getattr(model.config, "vision_config", None), "deepstack_visual_indexes", None) or [])
        if not layers or layers != sorted(set(layers)) or layers[0] < max(1, deepest) or layers[-1] >= len(language_layers(model)):
            raise ArgumentError(
                f"stages at layers {layers}: they must ascend within {max(1, deepest)}...{len(language_layers(model)) - 1}"
                + (", as deepstack adds features to all tokens before" if deepest else ""))
        self._model, self._client, self._inputs = model, client, inputs
        self._stages, self._arguments = list(stages), arguments
        if family_of(model).newline:
            # Newlines are tokens of the sequence as any other, as they are for the papers that prune here.
            self._arguments.setdefault("newline_policy", "count")
        self._layers = language_layers(model)
        self._capture: Any = None
        self._captured: Optional[Captured] = None
        self._hooks: list[Any] = []
        self._reset()

    def _reset(self) -> None:
        self.answers: list[PruneAnswer] = []
        self.kept: list[torch.Tensor] = []
        # By layer: of a prompt's tokens, those that are left, as indices into the whole prompt.
        self._left: dict[int, torch.Tensor] = {}

    def __enter__(self) -> "InLLM":
        ids = self._inputs["input_ids"][0]
        places = torch.zeros_like(ids, dtype=torch.bool)
        for name in ("image_token_id", "video_token_id"):
            places |= ids == getattr(self._model.config, name, None)
        self._visual = places.nonzero()[:, 0]
        if not len(self._visual):
            raise ArgumentError("there are no visual tokens in input_ids")
        text = self._model.config.get_text_config()
        if "sliding_attention" in (getattr(text, "layer_types", None) or []) and len(ids) >= text.sliding_window:
            raise ArgumentError(
                f"a prompt of {len(ids)} tokens and layers with a window of {text.sliding_window}: what the window holds would "
                "depend on what is dropped")
        self._layout = self._arguments.pop("layout", None) or self._own_layout()
        self._capture = capture(self._model, [self._layers[stage["layer"] - 1].self_attn for stage in self._stages])
        self._captured = self._capture.__enter__()
        first = self._stages[0]["layer"]
        self._hooks.append(self._layers[0].register_forward_pre_hook(self._before_first, with_kwargs=True))
        for index in range(first, len(self._layers)):
            hook = self._hook(index)
            self._hooks.append(self._layers[index].register_forward_pre_hook(hook, with_kwargs=True))
        return self

    def __exit__(self, *error: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._capture.__exit__(*error)

    def _own_layout(self) -> Any:
        """The layout of the one image or video; several are tokens without places."""
        pieces = [(visual, index) for visual in encode(self._model, self._inputs) for index in range(len(visual.features))]
        if len(pieces) == 1:
            return pieces[0][0].layouts[0]
        return {"type": "raw", "tokens": len(self._visual)}

    def _before_first(self, module: Any, positional: Any, named: Any) -> None:
        hidden = positional[0] if positional else named["hidden_states"]
        if hidden.shape[1] > 1:
            self._reset()
            self._length = hidden.shape[1]
            if self._length != self._inputs["input_ids"].shape[1]:
                raise ArgumentError(f"a prompt of {self._length} tokens, but the inputs given to InLLM have another number")
        if self._captured is not None:
            self._captured.clear()

    def _hook(self, index: int) -> Any:
        def before(module: Any, positional: Any, named: Any) -> Any:
            hidden = positional[0] if positional else named["hidden_states"]
            stage = next((one for one in self._stages if one["layer"] == index), None)
            if hidden.shape[1] > 1:
                previous = self._left.get(index - 1)
                left = previous
                if stage is not None:
                    left = self._decide(stage, previous)
                assert left is not None
                self._left[index] = left
                if stage is not None:
                    within = left if previous is None else torch.searchsorted(previous.to(left.device), left)
                    hidden = hidden[:, within.to(hidden.device)]
            left = self._left[index]
            named = self._sliced(dict(named), left, hidden.shape[1] == 1)
            if positional:
                return (hidden, *positional[1:]), named
            return positional, {**named, "hidden_states": hidden}

        return before

    def _decide(self, stage: Mapping[str, Any], previous: Optional[torch.Tensor]) -> torch.Tensor:
        """-> the prompt's tokens that are left from this stage on."""
        assert self._captured is not None
        row = self._captured.row(self._layers[stage["layer"] - 1].self_attn, -1)[0]
        # The layers may lie on several devices.
        left = torch.arange(self._length, device=row.device) if previous is None else previous.to(row.device)
        visual = self._visual.to(row.device)
        columns = torch.isin(left, visual).nonzero()[:, 0]
        budget = dict(stage)
        del budget["layer"]
        if self.answers:
            if "keep_tokens" not in budget:
                ratio = budget.pop("keep_ratio", None)
                ratio = 1 - budget.pop("prune_ratio") if ratio is None else ratio
                budget["keep_tokens"] = max(1, round(len(visual) * ratio))
            place: dict[str, Any] = {"previous": self.answers[-1]}
            skipped = {"region", "localize", "region_policy", "region_share", "region_bias", "newline_policy"}
            more = {name: value for name, value in self._arguments.items() if name not in skipped}
        else:
            place, more = {"layout": self._layout}, self._arguments
        # As many heads as tokens would pass for queries as well.
        more = {**more, "axes": {**(more.get("axes") or {}), "attention": "hn"}}
        answer = self._client.prune(attention=row[:, columns], **place, **budget, **more)
        self.answers.append(answer)
        kept = torch.as_tensor(answer.kept_indices).to(row.device)
        self.kept.append(kept)
        is_text = ~torch.isin(left, visual)
        return torch.cat([left[is_text], visual[kept]]).sort().values

    def _sliced(self, named: dict[str, Any], left: torch.Tensor, is_decoding: bool) -> dict[str, Any]:
        """The arguments of a layer, for the tokens that are left of the prompt; later tokens all stay."""
        mask = named.get("attention_mask")
        if mask is not None:
            added = torch.arange(self._length, mask.shape[-1], device=mask.device)
            columns = torch.cat([left.to(mask.device), added])
            mask = mask[..., columns]
            named["attention_mask"] = mask if is_decoding else mask[..., left.to(mask.device), :]
        if not is_decoding:
            if named.get("position_ids") is not None:
                named["position_ids"] = named["position_ids"][..., left.to(named["position_ids"].device)]
            cosine, sine = named["position_embeddings"]
            named["position_embeddings"] = (cosine[..., left.to(cosine.device), :], sine[..., left.to(sine.device), :])
        return named


