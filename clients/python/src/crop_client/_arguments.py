"""The arguments of the calls, and from arguments to the bytes of a request."""

from __future__ import annotations

import difflib
import json
import marshal
import sys
import uuid
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence, TypedDict, Union

import numpy as np

from . import _axes, _safetensors, layouts
from ._tensors import as_tensor, is_array, is_torch, ready_bytes
from .answers import PruneAnswer, ReselectAnswer
from .errors import ArgumentError

# Any array of numpy or torch, numbers in lists, or a list with one of those per image.
TensorLike = Any
LayoutLike = Union[Mapping[str, Any], Sequence[Mapping[str, Any]]]
RegionLike = Union[Mapping[str, Any], Sequence[Any]]


class _Common(TypedDict, total=False):
    """What every call takes. `None` is as if it were not given, in all of these."""

    layout: Optional[LayoutLike]
    seed: Optional[int]
    request_id: Union[str, uuid.UUID, None]
    timeout: Optional[float]
    parameters: Optional[Mapping[str, Any]]


class _Tensors(_Common, total=False):
    axes: Optional[Mapping[str, str]]
    tensors: Optional[Mapping[str, TensorLike]]
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
    prefill_scores: TensorLike
    prefill_rank: TensorLike
    hidden_states: TensorLike
    norm_weight: TensorLike
    query_weight: TensorLike
    key_weight: TensorLike
    query_bias: TensorLike
    key_bias: TensorLike
    position_ids: TensorLike


class _LaterStage(_Tensors, total=False):
    already_dropped: TensorLike


class LocalizeArguments(_Tensors, total=False):
    """Arguments of `localize`."""

    region: Optional[RegionLike]
    localize: Union[bool, Mapping[str, Any], None]


class _Budget(TypedDict, total=False):
    keep_tokens: Optional[int]
    keep_ratio: Optional[float]
    prune_ratio: Optional[float]
    method: Optional[str]
    method_parameters: Optional[Mapping[str, Any]]
    region: Optional[RegionLike]
    localize: Union[bool, Mapping[str, Any], None]
    region_share: Optional[float]
    model_dimensions: Optional[Mapping[str, Any]]


class _Pruning(_Budget, total=False):
    region_policy: Optional[str]
    region_bias: Optional[float]
    stages: Union[Sequence[Mapping[str, Any]], str, int, None]
    renumber: Optional[bool]
    explain: Optional[bool]
    bookkeeping: Union[bool, Mapping[str, Any], None]
    budget_scope: Optional[str]
    newline_policy: Optional[str]


class PlanArguments(_Common, _Pruning, total=False):
    """Arguments of `plan`: those of `prune` without tensors, and the machine that pruning is to pay on."""

    break_even: Optional[Mapping[str, Any]]


class PruneArguments(_LaterStage, _Pruning, total=False):
    """Arguments of `prune`."""

    previous: Any


class ReselectArguments(_LaterStage, total=False):
    """Arguments of `reselect`."""

    previous: Any
    max_swaps: Optional[int]
    swap_margin: Optional[float]
    prefill_weight: Optional[float]
    budget_scope: Optional[str]
    explain: Optional[bool]
    renumber: Optional[bool]
    bookkeeping: Union[bool, Mapping[str, Any], None]


class CompareArguments(_LaterStage, total=False):
    """Arguments of `compare`."""

    methods: Optional[Sequence[Union[str, Mapping[str, Any]]]]
    keep_tokens: Optional[int]
    keep_ratio: Optional[float]
    prune_ratio: Optional[float]
    region: Optional[RegionLike]
    localize: Union[bool, Mapping[str, Any], None]
    region_policy: Optional[str]
    region_share: Optional[float]
    region_bias: Optional[float]
    newline_policy: Optional[str]


class CompressArguments(_Tensors, _Budget, total=False):
    """Arguments of `compress`."""

    mode: Optional[str]
    model: Optional[str]
    newline_policy: Optional[str]
    renumber: Optional[bool]
    anchor_share: Optional[float]
    anchors: Optional[str]
    region_ratio: Optional[float]
    background_ratio: Optional[float]
    # Its name, or numpy's or torch's own.
    dtype: Any


# Read by the client itself, never sent.
_OWN = frozenset({"request_id", "timeout", "parameters", "tensors", "axes", "previous"})
# Of these, what has no part in a body, and what is looked at anew for each.
_NO_PART = frozenset({"request_id", "timeout"})
_LOOKED_AT = frozenset({"previous", "tensors"})
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


class Request(NamedTuple):
    """A request in pieces, of which the first is its head, and how its answer is to be given back."""

    pieces: list[Any]
    device: Any
    previous: Optional[list["np.ndarray[Any, Any]"]]


class Body(NamedTuple):
    """A request's body in pieces, and how its answer is to be given back."""

    content_type: str
    pieces: list[Any]
    byte_count: int
    device: Any
    previous: Optional[list["np.ndarray[Any, Any]"]]


class _Prepared(NamedTuple):
    """What requests of one form have in common: all but the bytes of their arrays."""

    head: bytes
    header: bytes
    # Which of the arguments' arrays comes where; None where they come in their own order.
    order: Optional[list[int]]
    content_type: str
    byte_count: int


# What makes the head of a request: of its call, the type and size of its body, and an id.
MakeHead = Callable[[Call, str, int, Union[str, uuid.UUID, None]], bytes]


class RequestWriter:
    """Turns arguments into requests. What depends on names, shapes and parameters alone is made once and kept."""

    _capacity = 64

    def __init__(self, make_head: MakeHead) -> None:
        self._make_head = make_head
        self._prepared: dict[Any, _Prepared] = {}

    def write(self, call: Call, arguments: Mapping[str, Any]) -> Request:
        """-> the request. Raises `ArgumentError` for what the service would misread."""
        form, views, device = _form(call, arguments)
        known = self._prepared.get(form) if form is not None else None
        if known is None:
            return self._prepare(call, arguments, form, views)
        head, header, order, content_type, byte_count = known
        if "request_id" in arguments:
            head = self._make_head(call, content_type, byte_count, arguments["request_id"])
        if order is not None:
            views = [views[index] for index in order]
        # Past the named tuple's own constructor, which is slow.
        return tuple.__new__(Request, ([head, header, *views], device, None))

    def _prepare(self, call: Call, arguments: Mapping[str, Any], form: Any, views: list[memoryview]) -> Request:
        """-> the request; the next one of its form needs no more than its arrays."""
        content_type, pieces, byte_count, device, previous = write_body(call, arguments)
        request_id = arguments.get("request_id")
        head = self._make_head(call, content_type, byte_count, request_id)
        if form is None or request_id is not None or previous is not None or not _is_plain(arguments):
            return Request([head, *pieces], device, previous)
        order = _order(pieces[1:], views)
        if order is not None:
            if len(self._prepared) >= self._capacity:
                self._prepared.clear()
            is_own = order == list(range(len(views)))
            self._prepared[form] = _Prepared(head, pieces[0], None if is_own else order, content_type, byte_count)
        return Request([head, *pieces], device, previous)


def write_body(call: Call, arguments: Mapping[str, Any]) -> Body:
    """-> the body. Raises `ArgumentError` for what the service would misread."""
    parameters: dict[str, Any] = {}
    named: list[tuple[str, Any]] = []
    axes, tensors, more = (_by_name(name, arguments.get(name)) for name in ("axes", "tensors", "parameters"))
    for name, value in arguments.items():
        if value is None:
            continue
        if name not in call.arguments:
            raise TypeError(_unknown(name, call))
        if name in _OWN:
            continue
        if name in _TENSOR_NAMES:
            named.append((name, value))
        else:
            parameters[name] = value
    for name, value in more.items():
        if name == "axes":
            raise ArgumentError("`axes` is an argument of its own, not one of `parameters`")
        if name in parameters:
            raise ArgumentError(f"{name} is given twice, by itself and in `parameters`")
        parameters[name] = value
    for name, value in tensors.items():
        if any(name == given for given, _ in named):
            raise ArgumentError(f"{name} is given twice, by name and in `tensors`")
        if value is not None:
            named.append((name, value))
    if "layout" in parameters:
        _check_layout(parameters["layout"])
    if not call.takes_tensors:
        if "layout" not in parameters:
            raise ArgumentError("plan: `layout` is needed; see crop_client.layouts")
        text = _json(parameters).encode()
        return Body("application/json", [text], len(text), None, None)
    if call is RESELECT:
        previous = None
        _kept_now(arguments.get("previous"), parameters)
    else:
        previous = _previous(arguments.get("previous"), parameters)
    return _with_tensors(call, named, parameters, axes, previous)


def _with_tensors(
    call: Call, named: list[tuple[str, Any]], parameters: dict[str, Any], axes: Mapping[str, str],
    previous: "Optional[list[np.ndarray[Any, Any]]]",
) -> Body:  # fmt: skip
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
    # Beside it tensors may cover what is left, which the service counts.
    may_be_fewer = any(name == "already_dropped" for name, _ in named)
    kept = parameters.get("previous")
    for name, value in named:
        arrays = _axes.per_image(name, value, axes.get(name), images)
        if isinstance(arrays, list):
            for index, array in enumerate(arrays):
                left = kept[index] if isinstance(kept, list) else kept
                _check_token_count(name, array.shape, layout[index], left, axes.get(name), previous is not None, may_be_fewer)
                sent.append((f"{name}.{index}", array))
        else:
            if images is None:
                _check_token_count(name, arrays.shape, layout, kept, axes.get(name), previous is not None, may_be_fewer)
            sent.append((name, arrays))
        ranks = {len(one.shape) for one in (arrays if isinstance(arrays, list) else [arrays])}
        if (letters := _axes.letters(name, ranks)) is not None:
            declared[name] = letters
    if declared:
        parameters["axes"] = declared
    device = next((array.device for _, array in sent if is_torch(array)), None)
    tensors = [(name, as_tensor(name, array)) for name, array in sent]
    ordered = _safetensors.order(tensors)
    header = _safetensors.header(ordered, json.loads(_json(parameters)))
    pieces = [header, *(tensor.data for _, tensor in ordered)]
    return Body(_SAFETENSORS, pieces, sum(map(len, pieces)), device, previous)


def _form(call: Call, arguments: Mapping[str, Any]) -> tuple[Any, list[memoryview], Any]:
    """-> a key of all that a body depends on but the arrays' contents, their bytes, and the device of the first of torch.

    The key is None where an argument cannot be part of one, or an array's bytes do not lie ready to be sent. What is rejected,
    rearranged or declared follows from names, types, shapes and parameters, never from elements.
    """
    key: list[Any] = [call.path]
    views: list[memoryview] = []
    device = None
    rest: list[Any] = []
    for name, value in arguments.items():
        if value is None or name in _NO_PART:
            continue
        if name in _TENSOR_NAMES:
            kind = type(value)
            key += name, kind
            for one in value if kind is list or kind is tuple else (value,):
                found = ready_bytes(one)
                if found is None:
                    return None, [], None
                form, view = found
                key.append(form)
                views.append(view)
                if device is None and type(one) is not np.ndarray:
                    device = one.device
        elif name in _LOOKED_AT:
            return None, [], None
        else:
            rest += name, value
    try:
        # Its bytes differ for whatever differs in JSON, such as 1, 1.0 and true; see `_is_plain`.
        key.append(marshal.dumps(rest, 2))
    except ValueError:
        return None, [], None
    return tuple(key), views, device


def _is_plain(arguments: Mapping[str, Any]) -> bool:
    """Whether all but the tensors is made of JSON's own types, which alone may be part of a key.

    `marshal` writes each of these in a way of its own, and anything like an array as it writes `bytes`: such a request
    never has the key of a plain one, though arrays of different shapes may have one key among themselves.
    """
    return all(_is_json(value) for name, value in arguments.items() if name not in _TENSOR_NAMES and name not in _NO_PART)


def _is_json(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(name) is str and _is_json(one) for name, one in value.items())
    if kind is list or kind is tuple:
        return all(map(_is_json, value))
    return kind in (str, int, float, bool, type(None))


def _order(pieces: Sequence[Any], views: Sequence[memoryview]) -> Optional[list[int]]:
    """-> which of the arrays the pieces are, one behind the other; None where they are not those, whole and each once."""
    places: dict[int, int] = {}
    for index, view in enumerate(views):
        places[_address_of(view)] = index
    order = []
    left = end = 0
    for piece in pieces:
        if len(piece) == 0:
            return None
        begin = _address_of(piece)
        if left == 0:
            index = places.pop(begin, -1)
            if index < 0:
                return None
            order.append(index)
            left = len(views[index])
        elif begin != end:
            return None
        left -= len(piece)
        end = begin + len(piece)
        if left < 0:
            return None
    # Arrays that begin at the same place are not told apart.
    return order if left == 0 and len(order) == len(views) else None


def _address_of(piece: Any) -> int:
    address: int = np.frombuffer(piece, np.uint8).__array_interface__["data"][0]
    return address


def _by_name(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
        raise ArgumentError(f"`{name}` is a mapping by name, not {value!r:.80}")
    return value


def _json(parameters: Mapping[str, Any]) -> str:
    try:
        return json.dumps(parameters, default=_plain, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        for name, value in parameters.items():
            try:
                json.dumps(value, default=_plain, allow_nan=False)
            except (ValueError, TypeError, RecursionError) as error:
                raise ArgumentError(f"`{name}` cannot be sent as JSON: {error}: {value!r:.80}") from None
        raise


def _plain(value: Any) -> Any:
    """Numbers, arrays, element types and mappings of other libraries as JSON has them."""
    if is_array(value):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, np.dtype) or isinstance(value, type) and issubclass(value, np.generic):
        return np.dtype(value).name
    if (torch := sys.modules.get("torch")) is not None and isinstance(value, torch.dtype):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form there")


def _unknown(name: str, call: Call) -> str:
    operation = call.path[1:]
    if not call.takes_tensors and (name in _TENSOR_NAMES or name in ("tensors", "axes")):
        return f"{operation}() takes no tensors, so '{name}' would not be used"
    near = difflib.get_close_matches(name, call.arguments, 1)
    places = ["parameters of one method go into `method_parameters`"] if "method_parameters" in call.arguments else []
    places += ["further tensors into `tensors`"] if call.takes_tensors else []
    return (
        f"{operation}() has no argument '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
        + f" ({', '.join([*places, 'further parameters into `parameters`'])})")


def _check_layout(layout: Any) -> None:
    """A name is a sequence too: "llava" would be five images."""
    if isinstance(layout, Mapping):
        return
    if not isinstance(layout, (list, tuple)) or not layout or not all(isinstance(one, Mapping) for one in layout):
        raise ArgumentError(
            "`layout` is a mapping such as layouts.grid(24, 24) or {'type': 'llava'}, or a list of them with one per image, "
            f"not {layout!r:.80}")


def _check_token_count(
    name: str, shape: tuple[int, ...], layout: Mapping[str, Any], kept: Any, declared: Optional[str], is_later: bool,
    may_be_fewer: bool,
) -> None:  # fmt: skip
    """The service rejects the wrong number, too; here the message can say what it looks like."""
    letters = _axes.TENSORS.get(name, _axes.TENSORS["attention"])
    tokens = layouts.token_count(layout)
    if tokens is None or "n" not in letters.order or name in _axes.SHARED or not shape:
        return
    form = next((one for one in letters.forms if len(one) == len(shape)), "")
    place = max(0, form.find("n"))
    found = shape[place]
    if found == tokens or (isinstance(kept, Mapping) and found == len(kept.get("kept_indices", ()))):
        return
    if may_be_fewer and found < tokens and name != "already_dropped":
        return
    index = ("..., {}, :" if place < len(shape) - 1 else "..., {}") if place else "{}"
    if tokens in shape:
        if declared is None:
            order = list(form)
            other = shape.index(tokens)
            order[place], order[other] = order[other], order[place]
            hint = f'if axis {other} is that of the tokens, axes={{"{name}": "{"".join(order)}"}} says so'
        else:
            hint = f'another axis has {tokens}: is axes["{name}"] = "{declared}" in the tensor\'s order?'
    elif found == tokens + 1:
        hint = f"the first looks like [CLS]: leave it out, as in {name}[{index.format('1:')}]"
    elif found < tokens:
        hint = "what an earlier stage kept is a request with `previous`, or a layout of its own"
    elif is_later:
        hint = f"send those alone, as in {name}[{index.format('previous.kept_indices')}]"
    else:
        hint = f"send the image's part of the sequence, as in {name}[{index.format('start:start + count')}]"
    raise ArgumentError(f"{name}: {found} tokens, but {'`previous` keeps' if is_later else '`layout` has'} {tokens}; {hint}")


def _previous(previous: Any, parameters: dict[str, Any]) -> "Optional[list[np.ndarray[Any, Any]]]":
    """-> what earlier stages kept of each image; sets the layout of what is left of it."""
    if previous is None:
        return None
    for name in ("layout", "region", "keep_ratio", "prune_ratio", "stages", "budget_scope"):
        if parameters.get(name) is not None:
            raise ArgumentError(
                f"`{name}` together with `previous`: what is left of an image has no geometry, and a ratio could be meant of "
                "either number; give keep_tokens")
    is_batch = isinstance(previous, (PruneAnswer, ReselectAnswer)) and previous.is_batch
    answers: Sequence[Any] = previous.per_image if isinstance(previous, (PruneAnswer, ReselectAnswer)) else [previous]
    if isinstance(previous, (list, tuple)) and previous and not all(isinstance(one, (int, np.integer)) for one in previous):
        is_batch, answers = True, previous
    kept = [_kept_indices(one) for one in answers]
    for one in kept:
        if one.size and (one[0] < 0 or (np.diff(one) <= 0).any()):
            raise ArgumentError("previous: the kept indices must ascend from 0 or more, each once, and the tensors' tokens with them")
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
    kept = [{"kept_indices": _kept_indices(one).tolist()} for one in answers]
    if is_batch and layout is not None and (isinstance(layout, Mapping) or len(kept) != len(layout)):
        count = "one image" if isinstance(layout, Mapping) else f"{len(layout)} images"
        raise ArgumentError(f"previous: what {len(kept)} images keep, but `layout` describes {count}")
    parameters["previous"] = kept if is_batch else kept[0]


def _kept_indices(one: Any) -> "np.ndarray[Any, Any]":
    """-> the indices of an answer, of an object as the service has it, or of an array. A mask would pass for indices 0 and 1."""
    if isinstance(one, Mapping):
        one = one.kept_indices if isinstance(one, (PruneAnswer, ReselectAnswer)) else one.get("kept_indices")
    try:
        indices = np.asarray(one.cpu() if is_torch(one) else one)
    except (ValueError, TypeError):
        indices = np.asarray(None)
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise ArgumentError(
            f"previous: {indices.dtype} of shape {list(indices.shape)}; give an answer or the kept indices, whole numbers [K] "
            "(np.flatnonzero(mask) of a mask)")
    return indices.astype(np.int64)
