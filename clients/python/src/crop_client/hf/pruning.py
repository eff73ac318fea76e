"""Pruning between the vision tower and the language model."""

from __future__ import annotations

import inspect
from typing import Any, Mapping, NamedTuple, Optional, Sequence

import torch

from .._client import Client
from ..answers import PruneAnswer
from ..errors import ArgumentError
from ..layouts import Layout
from .capture import capture
from .families import VISUAL_INPUTS, Family, family_of, vision_attention
from .tokens import to_tokens

_TYPE_IDS = ("mm_token_type_ids", "token_type_ids")


class Visual(NamedTuple):
    """The tokens of one kind (`image` or `video`): pieces, which are images, or tiles where a model's inputs do not say
    which image a tile is of; their features [N, D] as they enter the language model, layouts, and scores where asked for.
    """

    kind: str
    features: list[torch.Tensor]
    layouts: list[Layout]
    outputs: Any
    attention: Optional[list[torch.Tensor]] = None


def encode(
    model: Any, inputs: Mapping[str, Any], *, attention: Optional[str] = None, layer: Optional[int] = None
) -> list[Visual]:
    """-> the visual tokens of a processor's `inputs`, images before videos.

    `attention`: `cls` for the [CLS] row of the vision tower's `layer` (LLaVA, InternVL), `received` for the mean over all
    queries, which towers without [CLS] have; [heads, N] per piece, merged as the tokens are. `layer` is by default that of
    `vision_attention`.
    """
    family = family_of(model)
    found = []
    for kind, names in VISUAL_INPUTS.items():
        if inputs.get(names[0]) is None:
            continue
        run = getattr(model, f"get_{kind}_features")
        accepted = inspect.signature(getattr(model.model, f"get_{kind}_features")).parameters
        given = {name: inputs[name] for name in names if name in accepted and inputs.get(name) is not None}
        scores = None
        with torch.inference_mode():
            if attention is None:
                outputs = run(**given, return_dict=True)
            else:
                module = vision_attention(model, layer)
                with capture(model, [module]) as captured:
                    outputs = run(**given, return_dict=True)
                scores = to_tokens(model, _patch_row(captured, module, family, attention), inputs, kind)
        pieces = _pieces(outputs.pooler_output, family, model.config)
        layouts = [family.layout(model.config, inputs, kind, index, len(piece)) for index, piece in enumerate(pieces)]
        found.append(Visual(kind, pieces, layouts, outputs, scores))
    return found


def _patch_row(captured: Any, module: Any, family: Family, attention: str) -> torch.Tensor:
    """-> [pieces, H, patches] without [CLS]."""
    if attention == "cls":
        if not family.has_cls:
            raise ArgumentError("this family's vision tower has no [CLS]; use attention='received'")
        row: torch.Tensor = captured.row(module, 0)
    elif attention == "received":
        row = captured.received(module)
    else:
        raise ArgumentError(f"attention={attention!r:.80} is neither 'cls' nor 'received'")
    return row[..., 1:] if family.has_cls else row


def _pieces(pooled: Any, family: Family, config: Any) -> list[torch.Tensor]:
    pieces = list(pooled.unbind(0)) if isinstance(pooled, torch.Tensor) else list(pooled)
    if family.side is not None and not family.pools_tensor:
        size = family.side(config) ** 2
        pieces = [part for piece in pieces for part in piece.split(size)]
    return pieces


def prune_inputs(
    model: Any, inputs: Mapping[str, Any], visuals: Sequence[Visual], kept: Sequence[Sequence[Any]], *,
    keep_positions: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """-> what `model(...)` and `model.generate(...)` take instead of `inputs`, with the kept tokens alone.

    `kept` has, for each of `visuals`, the ascending indices to keep of each piece. Features, deepstack features, ids, masks,
    token types and positions are shortened together. Models with mRoPE get the positions that the tokens had, without which
    their logits would be wrong and nothing would say so; others number what is left anew, unless `keep_positions`.
    Rows of a batch that keep different numbers are padded on the left.
    """
    family = family_of(model)
    ids = inputs["input_ids"]
    stays = torch.ones_like(ids, dtype=torch.bool)
    outputs = {}
    for visual, indices in zip(visuals, kept):
        flat = _flat(visual, indices, ids.device)
        token = getattr(model.config, f"{visual.kind}_token_id")
        rows, columns = (ids == token).nonzero(as_tuple=True)
        count = sum(len(piece) for piece in visual.features)
        if len(rows) != count:
            raise ArgumentError(f"the prompt has {len(rows)} places for {visual.kind} tokens, but there are {count}")
        goes = torch.ones(count, dtype=torch.bool, device=ids.device)
        goes[flat] = False
        stays[rows[goes], columns[goes]] = False
        outputs[visual.kind] = _shortened(visual, flat, family)
    pruned: dict[str, Any] = {
        name: value for name, value in inputs.items() if not any(name in names for names in VISUAL_INPUTS.values())}
    for name in ("input_ids", "attention_mask", *_TYPE_IDS):
        if inputs.get(name) is not None:
            pruned[name] = _gathered(inputs[name], stays, _padding(model, name))
    if "attention_mask" not in pruned:
        pruned["attention_mask"] = _gathered(torch.ones_like(ids), stays, 0)
    positions = _positions(model, inputs, stays, family, keep_positions)
    if positions is not None:
        pruned["position_ids"] = positions
    pruned["mm_encoder_outputs"] = outputs
    return pruned


def _flat(visual: Visual, indices: Sequence[Any], device: Any) -> torch.Tensor:
    """-> the kept tokens of all pieces, counted through."""
    if len(indices) != len(visual.features):
        raise ArgumentError(f"kept indices of {len(indices)} pieces for {len(visual.features)} of kind {visual.kind}")
    parts, start = [], 0
    for piece, kept in zip(visual.features, indices):
        kept = torch.as_tensor(kept, device=device, dtype=torch.long)
        if len(kept) and (int(kept.min()) < 0 or int(kept.max()) >= len(piece) or bool((kept.diff() <= 0).any())):
            raise ArgumentError(f"kept indices must ascend and lie in 0...{len(piece) - 1}")
        parts.append(kept + start)
        start += len(piece)
    return torch.cat(parts)


def _shortened(visual: Visual, flat: torch.Tensor, family: Family) -> Any:
    rows = torch.cat(visual.features)[flat.to(visual.features[0].device)]
    is_tensor = isinstance(visual.outputs.pooler_output, torch.Tensor)
    members = {"pooler_output": rows[None] if is_tensor else (rows,)}
    deep = getattr(visual.outputs, "deepstack_features", None)
    if deep is not None:
        members["deepstack_features"] = [(torch.cat(list(layer))[flat.to(layer[0].device)],) for layer in deep]
    return type(visual.outputs)(**members)


def _padding(model: Any, name: str) -> int:
    if name != "input_ids":
        return 0
    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    return 0 if padding is None else int(padding)


def _gathered(values: torch.Tensor, stays: torch.Tensor, padding: int) -> torch.Tensor:
    """[..., B, S] -> [..., B, S'], rows of different length filled up on the left."""
    counts = stays.sum(dim=-1)
    width = int(counts.max())
    made = values.new_full((*values.shape[:-1], width), padding)
    for row, count in enumerate(counts.tolist()):
        made[..., row, width - count :] = values[..., row, stays[row]]
    return made


def _positions(
    model: Any, inputs: Mapping[str, Any], stays: torch.Tensor, family: Family, keep_positions: bool
) -> Optional[torch.Tensor]:
    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask")
    mask = torch.ones_like(ids) if mask is None else mask
    if not family.has_rope_index:
        if not keep_positions:
            return None
        return _gathered((mask.long().cumsum(-1) - 1).clamp(min=0), stays, 0)
    accepted = inspect.signature(model.model.get_rope_index).parameters
    given = {name: inputs[name] for name in accepted if name != "attention_mask" and inputs.get(name) is not None}
    if "mm_token_type_ids" in accepted and "mm_token_type_ids" not in given:
        types = (ids == model.config.image_token_id).int() + 2 * (ids == model.config.video_token_id).int()
        given["mm_token_type_ids"] = types
    positions, delta = model.model.get_rope_index(**given, attention_mask=mask)
    # For who decodes by hand, without positions: text goes on where it would have.
    model.model.rope_deltas = delta + (~stays).sum(dim=-1, keepdim=True)
    text = (_gathered(mask, stays, 0).long().cumsum(-1) - 1).clamp(min=0)
    return torch.cat([text[None], _gathered(positions, stays, 0)])


def check_client(client: Any) -> None:
    """Raises `ArgumentError` for what cannot be asked to prune, and for `AsyncClient`: a model runs without an event loop."""
    if not callable(getattr(client, "prune", None)) or inspect.iscoroutinefunction(client.prune):
        raise ArgumentError(f"client is a crop_client.Client, not {type(client).__name__}")


class PrunedGeneration:
    """Generation with pruned visual tokens: `arguments` are those of `Client.prune`, such as method and budget.

    `attention` (`cls` or `received`, see `encode`) takes scores from `layer` of the vision tower, for the methods that need
    them. Each piece of the inputs keeps its own budget unless `budget_scope` says otherwise. `answers` holds the service's
    answers to the last call, one for images and one for videos, each with `per_image`.
    """

    def __init__(
        self, model: Any, client: Client, *, attention: Optional[str] = None, layer: Optional[int] = None,
        keep_positions: bool = False, **arguments: Any,
    ) -> None:  # fmt: skip
        check_client(client)
        if arguments.get("layout") is not None:
            raise ArgumentError("`layout` follows from the inputs of each call")
        if arguments.get("stages") is not None:
            raise ArgumentError("`stages` are of the language model's layers, and this prunes before them; InLLM has stages")
        self.model = model
        self.client = client
        self.answers: list[PruneAnswer] = []
        self._attention = attention
        self._layer = layer
        self._keep_positions = keep_positions
        self._arguments = arguments
        if family_of(model).newline:
            # What the model sees should not lose the ends of its rows with keep_ratio 1.
            self._arguments.setdefault("newline_policy", "keep")

    def prepare(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """-> the inputs of `model(...)` or `model.generate(...)` with pruned tokens; `inputs` without pictures as they are."""
        visuals = encode(self.model, inputs, attention=self._attention, layer=self._layer)
        if not visuals:
            return dict(inputs)
        self.answers = []
        kept = []
        for visual in visuals:
            arguments: dict[str, Any] = {"image_features": visual.features, **self._arguments}
            if visual.attention is not None:
                # As many heads as tokens would pass for queries as well.
                arguments["axes"] = {**(arguments.get("axes") or {}), "attention": "hn"}
                arguments["attention"] = visual.attention
            answer = self.client.prune(**arguments, layout=visual.layouts)
            self.answers.append(answer)
            kept.append([one.kept_indices for one in answer.per_image])
        return prune_inputs(self.model, inputs, visuals, kept, keep_positions=self._keep_positions)

    def generate(self, inputs: Mapping[str, Any], **options: Any) -> torch.Tensor:
        """-> [B, new], the tokens that `model.generate(**options)` adds to the pruned prompt."""
        prepared = self.prepare(inputs)
        sequences = self.model.generate(**prepared, **options)
        sequences = getattr(sequences, "sequences", sequences)
        added: torch.Tensor = sequences[:, prepared["input_ids"].shape[1] :]
        return added
