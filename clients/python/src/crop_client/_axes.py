"""Which axis of a tensor is which, so that nothing that can be read in two ways is sent.

Every tensor is brought to the one order the service documents for one image, and a batch is always sent as a list of
images. What the shape leaves open is rejected until the caller declares it, as in `axes={"attention": "bhqn"}`:

    b images   h heads   q queries   n visual tokens   d features   m text tokens
    c components of position ids (frame, row, column)   s tokens of the whole sequence
    p patches   1 an axis of length 1
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence

from ._tensors import as_array, is_array
from .errors import ArgumentError


class Axes(NamedTuple):
    """`order`: letters of the longest form of one image; `forms`: the forms the service reads."""

    order: str
    forms: tuple[str, ...]
    is_float: bool = True


# Components of position ids where transformers has those of the text before those of frame, row and column.
_WITH_TEXT = 4
# 16-bit integers where floats are expected are nearly always bfloat16's bits.
_NO_FLOATS = ("int16", "uint16", "V2", "torch.int16", "torch.uint16")
_ATTENTION = Axes("hqn", ("n", "hn", "hqn"))
TENSORS: dict[str, Axes] = {
    "image_features": Axes("nd", ("nd",)),
    "relevance_features": Axes("nd", ("nd",)),
    "text_features": Axes("md", ("d", "md")),
    "attention": _ATTENTION,
    "reference_attention": _ATTENTION,
    "early_attention": _ATTENTION,
    "query": Axes("hd", ("d", "hd")),
    "key": Axes("hnd", ("nd", "hnd")),
    "text_key": Axes("hmd", ("md", "hmd")),
    "text_raters": Axes("m", ("m",), is_float=False),
    "sizes": Axes("n", ("n",), is_float=False),
    "hidden_states": Axes("sd", ("sd",)),
    "encoder_features": Axes("nd", ("nd",)),
    "pixel_values": Axes("pd", ("pd",)),
    "value_states": Axes("hsd", ("sd", "hsd")),
    "padding_mask": Axes("n", ("n",), is_float=False),
    "already_dropped": Axes("n", ("n",), is_float=False),
    "prefill_scores": Axes("n", ("n",)),
    "prefill_rank": Axes("n", ("n",), is_float=False),
    "position_ids": Axes("cn", ("n", "cn"), is_float=False),
}
# Weights belong to the model, not to an image.
SHARED = frozenset({"norm_weight", "query_weight", "key_weight", "query_bias", "key_bias"})


def per_image(name: str, value: Any, declared: Optional[str], images: Optional[int]) -> "list[Any] | Any":
    """-> one array per image where `images` says how many there are, else the one array of the one image.

    A tensor that all images share (a weight, one text) comes back as one array. Raises `ArgumentError` for what can be
    read in two ways, or in none.
    """
    if name in SHARED:
        return _checked(name, as_array(name, value), is_float=True)
    axes = TENSORS.get(name, _ATTENTION)
    if isinstance(value, (list, tuple)) and value and all(is_array(one) and _rank(one) for one in value):
        return _from_list(name, value, axes, declared, images)
    array = _checked(name, as_array(name, value), axes.is_float)
    if declared is not None:
        return _declared(name, array, axes, declared, images)
    if images is None:
        return _one_image(name, array, axes)
    return _batch(name, array, axes, images)


def _rank(array: Any) -> int:
    return len(array.shape)


def _shape(array: Any) -> str:
    return "[" + ", ".join(map(str, array.shape)) + "]"


def _checked(name: str, array: Any, is_float: bool) -> Any:
    if is_float and array.itemsize == 2 and _bare_name(array.dtype) in _NO_FLOATS:
        raise ArgumentError(
            f"{name}: {array.dtype} is no floating-point type; if these are bfloat16's bits, pass the torch tensor, "
            "or view the array as ml_dtypes.bfloat16")
    return array


def _bare_name(dtype: Any) -> str:
    """`uint16` of numpy's, big-endian and torch's; `V2` of numpy's opaque pairs of bytes, but not of ml_dtypes' types."""
    text = getattr(dtype, "name", None) or str(dtype)
    return {"void16": "V2"}.get(text, text)


def _from_list(name: str, values: Sequence[Any], axes: Axes, declared: Optional[str], images: Optional[int]) -> list[Any]:
    if images is None:
        raise ArgumentError(f"{name}: a list of {len(values)} tensors is a batch; give `layout` as a list with one per image")
    if len(values) != images:
        raise ArgumentError(f"{name}: {len(values)} tensors for {images} layouts; there must be one per image")
    inner = []
    for one in values:
        array = _checked(name, as_array(name, one), axes.is_float)
        inner.append(_one_image(name, array, axes) if declared is None else _declared(name, array, axes, declared, None))
    return inner


def _one_image(name: str, array: Any, axes: Axes) -> Any:
    shape = array.shape
    if name == "position_ids":
        return _positions(array)
    if name == "query":
        return _query(array)
    if axes is _ATTENTION and len(shape) == 3 and shape[0] == 1:
        raise ArgumentError(
            f"{name}: {_shape(array)} can be read as one image's heads, one image's queries or one head's queries; declare "
            f'axes={{"{name}": "bhn"}}, "bqn" or "hqn", or index the leading axis away')
    longest = len(axes.order)
    if len(shape) == longest + 1 and shape[0] == 1:
        return array[0]
    if len(shape) > longest:
        of_map = f", of a map [rows, columns, d] {name}.reshape(-1, d)" if axes.order == "nd" else ""
        raise ArgumentError(
            f"{name}: {_shape(array)} has more axes than one image ({_forms(axes)}); for several images give `layout` as a "
            f"list with one per image{of_map}")
    if len(shape) not in map(len, axes.forms):
        raise ArgumentError(f"{name}: {_shape(array)} is none of {_forms(axes)}")
    if axes is _ATTENTION and len(shape) == 2 and shape[0] == shape[1] > 1:
        raise ArgumentError(
            f"{name}: {_shape(array)} can be read as {shape[0]} heads, or as the {shape[0]} queries of self-attention; declare "
            f'axes={{"{name}": "hn"}} or "qn" ("bhn", "bqn" with images first), or send one row: that of a query, or '
            f"{name}.mean(-2), which is what each token receives")
    return array


def _forms(axes: Axes) -> str:
    return " or ".join("[" + ", ".join(form) + "]" for form in axes.forms)


def _query(array: Any) -> Any:
    """[d], [H, d], or either with axes of length 1 around the heads, as [1, H, 1, d]: one query row."""
    kept = tuple(slice(None) if size != 1 or place == len(array.shape) - 1 else 0 for place, size in enumerate(array.shape))
    squeezed = array[kept]
    if not 1 <= len(squeezed.shape) <= 2:
        raise ArgumentError(
            f"query: {_shape(array)} is more than one query row; take one, such as query[..., -1, :] of the last token")
    return squeezed


def _positions(array: Any) -> Any:
    """[N], [3, N], or as transformers has them: [3, 1, N], [1, N], and [4, 1, N] with the text's ids in front."""
    shape = array.shape
    if len(shape) == 3 and shape[1] == 1 and shape[0] in (3, 4):
        return array[shape[0] - 3 :, 0]
    if len(shape) == 3 and shape[0] == 1 and shape[1] == 3:
        return array[0]
    if len(shape) == 2 and shape[0] == 1:
        return array[0]
    if len(shape) == 1 or len(shape) == 2 and shape[0] == 3:
        return array
    hint = ""
    if len(shape) == 2 and shape[0] == _WITH_TEXT:
        hint = "; if the text's ids come before those of frame, row and column, send position_ids[1:]"
    elif len(shape) == 2:
        hint = "; for several images give `layout` as a list with one per image"
    raise ArgumentError(
        f"position_ids: {_shape(array)} is none of [N], [3, N] and, as transformers has them, [3, 1, N] and [4, 1, N]{hint}")


def _batch(name: str, array: Any, axes: Axes, images: int) -> "list[Any] | Any":
    shape = array.shape
    if name == "text_features" and len(shape) < 3:
        if len(shape) == 2 and images > 1:
            raise ArgumentError(
                f"text_features: {_shape(array)} for {images} images is one row for each, or {shape[0]} rows for all; declare "
                'axes={"text_features": "bd"} or "md"')
        return array
    if name == "position_ids":
        return _batched_positions(array, images)
    if not shape or shape[0] != images:
        raise ArgumentError(f"{name}: {_shape(array)} has no leading axis of {images} images, as `layout` has")
    return [_one_image(name, array[index], axes) for index in range(images)]


def _batched_positions(array: Any, images: int) -> list[Any]:
    shape = array.shape
    components_first = len(shape) == 3 and shape[0] in (3, 4) and shape[1] == images
    images_first = len(shape) in (2, 3) and shape[0] == images and (len(shape) == 2 or shape[1] == 3)
    if components_first == images_first or (len(shape) == 2 and images == 3):
        raise ArgumentError(
            f'position_ids: {_shape(array)} for {images} images; declare axes={{"position_ids": "cbn"}} (as transformers '
            'has them), "bcn" or "bn"')
    if components_first:
        return [array[shape[0] - 3 :, index] for index in range(images)]
    return [array[index] for index in range(images)]


def _declared(name: str, array: Any, axes: Axes, letters: str, images: Optional[int]) -> "list[Any] | Any":
    """`array` with the axes the caller names, in the order the service reads."""
    if not isinstance(letters, str):
        raise ArgumentError(f'axes["{name}"] = {letters!r:.80}: one letter for each axis is wanted, such as "hn"')
    array, letters = _without_ones(name, array, letters)
    known = axes.order + "b"
    if len(letters) != _rank(array) or len(set(letters)) != len(letters) or not set(letters) <= set(known):
        raise ArgumentError(
            f'axes["{name}"] = "{letters}" does not describe {_shape(array)}; use each of {", ".join(known)} at most once, '
            "one letter for each axis, and 1 for an axis of length 1")
    wanted = [letter for letter in "b" + axes.order if letter in letters]
    places = [letters.index(letter) for letter in wanted]
    if places != sorted(places):
        array = array.permute(places) if hasattr(array, "permute") else array.transpose(places)
    inner = "".join(wanted).removeprefix("b")
    if "b" not in letters:
        if images is not None and name != "text_features":
            raise ArgumentError(f'axes["{name}"] = "{letters}" has no b, but `layout` lists {images} images')
        return _completed(name, array, inner, axes)
    if array.shape[0] != (images or 1):
        raise ArgumentError(
            f"{name}: {array.shape[0]} images, but `layout` describes {images or 'one'}; give it as a list with one per image")
    slices = [_completed(name, array[index], inner, axes) for index in range(array.shape[0])]
    return slices if images is not None else slices[0]


def _without_ones(name: str, array: Any, letters: str) -> tuple[Any, str]:
    for place in reversed([place for place, letter in enumerate(letters) if letter == "1"]):
        if place >= _rank(array) or array.shape[place] != 1:
            raise ArgumentError(f'axes["{name}"] = "{letters}": axis {place} of {_shape(array)} has not length 1')
        array = array[(slice(None),) * place + (0,)]
        letters = letters[:place] + letters[place + 1 :]
    return array, letters


def _completed(name: str, array: Any, letters: str, axes: Axes) -> Any:
    """Queries without heads are the queries of one head: [q, n] is [1, q, n]."""
    if letters in axes.forms:
        return array[1:] if name == "position_ids" and letters == "cn" and array.shape[0] == _WITH_TEXT else array
    if letters == "qn":
        return array[None]
    raise ArgumentError(f'axes["{name}"] leaves "{letters}" for one image; it must be one of {", ".join(axes.forms)}')



def letters(name: str, ranks: set[int]) -> Optional[str]:
    """-> the axes of a tensor as it is sent, one letter each; None where the service has no letters for it."""
    axes = TENSORS.get(name)
    if axes is None or len(ranks) != 1 or not set(axes.order) <= set("hqnmdcs"):
        return None
    return next((form for form in axes.forms if len(form) in ranks), None)
