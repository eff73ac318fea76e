"""The arguments of the calls, and from arguments to the bytes of a request."""

from __future__ import annotations

import difflib
import json
from typing import Any, Mapping, NamedTuple, Optional, Sequence, TypedDict, Union

import numpy as np

from . import _axes, _safetensors, layouts
from ._tensors import as_tensor, is_array, is_torch, lies_ready
from .answers import PruneAnswer, ReselectAnswer
from .errors import ArgumentError

# Any array of numpy or torch, numbers in lists, or a list with one of those per image.
TensorLike = Any
LayoutLike = Union[Mapping[str, Any], Sequence[Mapping[str, Any]]]
RegionLike = Union[Mapping[str, Any], Sequence[Any]]


class _Common(TypedDict, total=False):
    """What every call takes."""

    layout: LayoutLike
    seed: int
    request_id: str
    timeout: float
    parameters: Mapping[str, Any]


class _Tensors(_Common, total=False):
    axes: Mapping[str, str]
    tensors: Mapping[str, TensorLike]
    image_features: TensorLike
    relevance_features: TensorLike
    text_features: TensorLike
    attention: TensorLike
    reference_attention: TensorLike
    query: TensorLike
    key: TensorLike
    text_key: TensorLike
    text_raters: TensorLike
    early_attention: TensorLike
    sizes: TensorLike
    encoder_features: TensorLike
    pixel_values: TensorLike
    value_states: TensorLike
    padding_mask: TensorLike
    already_dropped: TensorLike
    prefill_scores: TensorLike
    prefill_rank: TensorLike
    hidden_states: TensorLike
    norm_weight: TensorLike
    query_weight: TensorLike
    key_weight: TensorLike
    query_bias: TensorLike
    key_bias: TensorLike
    position_ids: TensorLike


class LocalizeArguments(_Tensors, total=False):
    """Arguments of `localize`."""

    region: RegionLike
    localize: Union[bool, Mapping[str, Any]]


class _Budget(TypedDict, total=False):
    keep_tokens: int
    keep_ratio: float
    prune_ratio: float
    method: str
    method_parameters: Mapping[str, Any]
    region: RegionLike
    localize: Union[bool, Mapping[str, Any]]
    region_share: float
    model_dimensions: Mapping[str, Any]


class _Pruning(_Budget, total=False):
    region_policy: str
    region_bias: float
    stages: Union[Sequence[Mapping[str, Any]], str, int]
    renumber: bool
    explain: bool
    bookkeeping: Union[bool, Mapping[str, Any]]
    budget_scope: str
    newline_policy: str


class PlanArguments(_Common, _Pruning, total=False):
    """Arguments of `plan`: those of `prune` without tensors, and the machine that pruning is to pay on."""

    break_even: Mapping[str, Any]


class PruneArguments(_Tensors, _Pruning, total=False):
    """Arguments of `prune`."""

    previous: Any


class ReselectArguments(_Tensors, total=False):
    """Arguments of `reselect`."""

    previous: Any
    max_swaps: int
    swap_margin: float
    prefill_weight: float
    budget_scope: str
    explain: bool
    renumber: bool
    bookkeeping: Union[bool, Mapping[str, Any]]


class CompareArguments(_Tensors, total=False):
    """Arguments of `compare`."""

    methods: Sequence[Union[str, Mapping[str, Any]]]
    keep_tokens: int
    keep_ratio: float
    prune_ratio: float
    region: RegionLike
    localize: Union[bool, Mapping[str, Any]]
    region_policy: str
    region_share: float
    region_bias: float
    newline_policy: str


class CompressArguments(_Tensors, _Budget, total=False):
    """Arguments of `compress`."""

    mode: str
    model: str
    newline_policy: str
    renumber: bool
    anchor_share: float
    anchors: str
    region_ratio: float
    background_ratio: float
    dtype: str


# Read by the client itself, never sent.
_OWN = frozenset({"request_id", "timeout", "parameters", "tensors", "axes", "previous"})
# Neither do these bear on the body.
_NO_PART = frozenset({"request_id", "timeout"})
_SAFETENSORS = "application/x-safetensors"
_TENSOR_NAMES = frozenset(_axes.TENSORS) | _axes.SHARED


class Call(NamedTuple):
    """An operation: its path, what it takes, and the format its answer is asked for in."""

    path: str
    arguments: frozenset[str]
    accept: str
    takes_tensors: bool


def _call(path: str, arguments: Any, accept: str = "application/json", takes_tensors: bool = True) -> Call:
    return Call(path, frozenset(arguments.__annotations__), accept, takes_tensors)


LOCALIZE = _call("/localize", LocalizeArguments)
PRUNE = _call("/prune", PruneArguments)
RESELECT = _call("/reselect", ReselectArguments)
COMPARE = _call("/compare", CompareArguments)
COMPRESS = _call("/compress", CompressArguments, accept="application/x-safetensors")
PLAN = _call("/plan", PlanArguments, takes_tensors=False)


class Body(NamedTuple):
    """A request's body in pieces, and how its answer is to be given back."""

    content_type: str
    pieces: list[Any]
    byte_count: int
    device: Any
    previous: Optional[list["np.ndarray[Any, Any]"]]


class BodyWriter:
    """Turns arguments into bodies. What depends on names, shapes and parameters alone is made once and kept."""

    _capacity = 64

    def __init__(self) -> None:
        self._headers: dict[Any, bytes] = {}

    def write(self, call: Call, arguments: Mapping[str, Any]) -> Body:
        """-> the body. Raises `ArgumentError` for what the service would misread."""
        key, arrays = _form(call, arguments)
        if key is not None and (header := self._headers.get(key)) is not None:
            views = [array.data.cast("B") for array in arrays]
            return Body(_SAFETENSORS, [header, *views], len(header) + sum(map(len, views)), None, None)
        body, is_as_given = self._write(call, arguments)
        if key is not None and is_as_given:
            if len(self._headers) >= self._capacity:
                self._headers.clear()
            self._headers[key] = body.pieces[0]
        return body

    def _write(self, call: Call, arguments: Mapping[str, Any]) -> tuple[Body, bool]:
        """-> the body, and whether its pieces are a header and the very arrays of the arguments, in their order."""
        parameters: dict[str, Any] = {}
        named: list[tuple[str, Any]] = []
        for name, value in arguments.items():
            if value is None or name in _OWN:
                continue
            if name not in call.arguments:
                raise TypeError(_unknown(name, call))
            if name in _TENSOR_NAMES:
                named.append((name, value))
            else:
                parameters[name] = value
        if extra := arguments.get("parameters"):
            parameters.update(extra)
        if extra := arguments.get("tensors"):
            named.extend(extra.items())
        if "layout" in parameters:
            _check_layout(parameters["layout"])
        if not call.takes_tensors:
            if "layout" not in parameters:
                raise ArgumentError("plan: `layout` is needed; see crop_client.layouts")
            text = json.dumps(parameters, allow_nan=False, default=_plain).encode()
            return Body("application/json", [text], len(text), None, None), False
        if call is RESELECT:
            previous = None
            _kept_now(arguments.get("previous"), parameters)
        else:
            previous = _previous(arguments.get("previous"), parameters)
        return self._with_tensors(call, named, parameters, arguments.get("axes") or {}, previous)

    def _with_tensors(
        self, call: Call, named: list[tuple[str, Any]], parameters: dict[str, Any], axes: Mapping[str, str],
        previous: "Optional[list[np.ndarray[Any, Any]]]",
    ) -> tuple[Body, bool]:  # fmt: skip
        if "layout" not in parameters:
            raise ArgumentError(
                "`layout` is needed, so that a shape cannot be misread: layouts.grid(24, 24), the model's own such as "
                "layouts.llava_next(width=640, height=480), layouts.raw(N) where places do not matter, or a list with "
                "one per image")
        layout = parameters["layout"]
        images = None if isinstance(layout, Mapping) else len(layout)
        for name in axes:
            if not any(name == given for given, _ in named):
                raise ArgumentError(f'axes names "{name}", which is not among the tensors')
        sent: list[tuple[str, Any]] = []
        declared: dict[str, str] = {}
        kept = parameters.get("previous")
        for name, value in named:
            arrays = _axes.per_image(name, value, axes.get(name), images)
            if isinstance(arrays, list):
                for index, array in enumerate(arrays):
                    _check_token_count(name, array.shape, layout[index], kept[index] if isinstance(kept, list) else kept)
                    sent.append((f"{name}.{index}", array))
            else:
                if images is None:
                    _check_token_count(name, arrays.shape, layout, kept)
                sent.append((name, arrays))
            ranks = {len(one.shape) for one in (arrays if isinstance(arrays, list) else [arrays])}
            if (letters := _axes.letters(name, ranks)) is not None:
                declared[name] = letters
        if declared:
            parameters["axes"] = declared
        device = next((array.device for _, array in sent if is_torch(array)), None)
        tensors = [(name, as_tensor(name, array)) for name, array in sent]
        ordered = _safetensors.order(tensors)
        is_as_given = [name for name, _ in ordered] == [name for name, _ in tensors] and len(sent) == len(named) and all(
            array is value for (_, array), (_, value) in zip(sent, named))  # fmt: skip
        header = _safetensors.header(ordered, json.loads(json.dumps(parameters, default=_plain, allow_nan=False)))
        pieces = [header, *(tensor.data for _, tensor in ordered)]
        return Body(_SAFETENSORS, pieces, sum(map(len, pieces)), device, previous), is_as_given


def _form(call: Call, arguments: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """-> a key of all that a body depends on but the arrays' contents, and the arrays; None where that is not plain.

    Whatever is rejected or rearranged is so because of names, types, shapes and parameters, so a body that was once
    written around the arguments' own arrays can be written so again for the same key.
    """
    key: list[Any] = [call.path]
    arrays = []
    try:
        for name, value in arguments.items():
            if type(value) is np.ndarray:
                if name not in _TENSOR_NAMES or not lies_ready(value):
                    return None, []
                key.append((name, value.dtype, value.shape))
                arrays.append(value)
            elif name not in _NO_PART:
                if name in _OWN:
                    return None, []
                key.append((name, _frozen(value)))
    except TypeError:  # what is no plain JSON
        return None, []
    return tuple(key), arrays


def _frozen(value: Any) -> Any:
    """A key that tells 1, 1.0 and True apart, as JSON does. TypeError for what is no plain JSON value."""
    kind = type(value)
    if kind is dict:
        return tuple([(name, _frozen(one)) for name, one in value.items()])
    if kind is list or kind is tuple:
        return (kind, *map(_frozen, value))
    if kind in (str, int, float, bool, type(None)):
        return kind, value
    raise TypeError


def _plain(value: Any) -> Any:
    """Numbers, arrays and mappings of other libraries as JSON has them."""
    if is_array(value):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise ArgumentError(f"a parameter of type {type(value).__name__} cannot be sent as JSON")


def _unknown(name: str, call: Call) -> str:
    near = difflib.get_close_matches(name, call.arguments, 1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return (
        f"{call.path[1:]}() has no argument '{name}'{hint} (further tensors go into `tensors`, further parameters into "
        "`parameters`)")


def _check_layout(layout: Any) -> None:
    """A name is a sequence too: "llava" would be five images."""
    if isinstance(layout, Mapping):
        return
    if not isinstance(layout, (list, tuple)) or not all(isinstance(one, Mapping) for one in layout):
        raise ArgumentError(
            "`layout` is a mapping such as layouts.llava() or {'type': 'llava'}, or a list of them with one per image, "
            f"not {layout!r:.80}")


def _check_token_count(name: str, shape: tuple[int, ...], layout: Mapping[str, Any], kept: Any) -> None:
    """The service rejects the wrong number, too; here the message can say what it looks like."""
    letters = _axes.TENSORS.get(name, _axes.TENSORS["attention"])
    place = {"image_features": 0, "relevance_features": 0, "encoder_features": 0, "key": len(shape) - 2}.get(name, len(shape) - 1)
    tokens = layouts.token_count(layout)
    if tokens is None or "n" not in letters.order or name in _axes.SHARED or not shape:
        return
    found = shape[place]
    if found == tokens or (isinstance(kept, Mapping) and found == len(kept.get("kept_indices", ()))):
        return
    if found == tokens + 1:
        hint = "the first looks like [CLS]: leave it out, as in attention[..., 1:]"
    elif found > tokens:
        hint = "send the image's part of the sequence, as in attention[..., start:start + count]"
    else:
        hint = "what an earlier stage kept is a request with `previous`, or a layout of its own"
    raise ArgumentError(f"{name}: {found} tokens, but `layout` has {tokens}; {hint}")


def _previous(previous: Any, parameters: dict[str, Any]) -> "Optional[list[np.ndarray[Any, Any]]]":
    """-> what earlier stages kept of each image; sets the layout of what is left of it."""
    if previous is None:
        return None
    for name in ("layout", "region", "keep_ratio", "prune_ratio", "stages", "budget_scope"):
        if parameters.get(name) is not None:
            raise ArgumentError(
                f"`{name}` together with `previous`: what is left of an image has no geometry, and a ratio could be meant of "
                "either number; give keep_tokens")
    is_batch = isinstance(previous, PruneAnswer) and previous.is_batch
    answers = previous.per_image if isinstance(previous, PruneAnswer) else [previous]
    kept = [_host(one.kept_indices if isinstance(one, PruneAnswer) else one) for one in answers]
    parameters["layout"] = [layouts.raw(len(one)) for one in kept] if is_batch else layouts.raw(len(kept[0]))
    if parameters.get("method", "crop") == "crop":
        parameters.setdefault("region_policy", "none")
    return kept


def _kept_now(previous: Any, parameters: dict[str, Any]) -> None:
    """Sets what is kept now, of each image: from an answer, indices, or a list with one of those per image."""
    if previous is None:
        return
    layout = parameters.get("layout")
    is_batch = layout is not None and not isinstance(layout, Mapping)
    if isinstance(previous, (PruneAnswer, ReselectAnswer)):
        answers: Sequence[Any] = previous.per_image
        is_batch = is_batch or previous.is_batch
    else:
        answers = previous if is_batch else [previous]
    kept = [
        {"kept_indices": _host(one.kept_indices if isinstance(one, (PruneAnswer, ReselectAnswer)) else one).tolist()}
        for one in answers
    ]
    parameters["previous"] = kept if is_batch else kept[0]


def _host(indices: Any) -> "np.ndarray[Any, Any]":
    return np.asarray(indices.cpu() if is_torch(indices) else indices, np.int64)
