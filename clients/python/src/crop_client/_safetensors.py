"""safetensors, written around the tensors' own memory and read without copying it."""

from __future__ import annotations

import json
import struct
from typing import Any, Mapping, Sequence

import numpy as np

from ._tensors import DTYPES, Tensor, bfloat16_to_float32
from .errors import ProtocolError

_LENGTH = struct.Struct("<Q")
_SIZES = {"BF16": 2, **{name: dtype.itemsize for name, dtype in DTYPES.items()}}


def order(tensors: Sequence[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    """-> the tensors with the widest elements first, so that each begins at a multiple of its element's size."""
    if len(tensors) < 2:
        return list(tensors)
    return sorted(tensors, key=lambda entry: -_SIZES[entry[1].dtype])


def header(tensors: Sequence[tuple[str, Tensor]], parameters: Mapping[str, Any]) -> bytes:
    """-> what precedes the tensors' bytes, which follow in this order: 8 bytes of length and the JSON header."""
    members: dict[str, Any] = {}
    if parameters:
        members["__metadata__"] = {"parameters": json.dumps(parameters, separators=(",", ":"), allow_nan=False)}
    position = 0
    for name, tensor in tensors:
        end = position + tensor.data.nbytes
        members[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (position, end)}
        position = end
    text = json.dumps(members, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return _LENGTH.pack(len(text)) + text


class Raw(np.ndarray[Any, np.dtype[np.uint16]]):
    """bfloat16 bits of an answer, until the caller's kind of array is known."""


def read(body: bytes) -> tuple[dict[str, "np.ndarray[Any, Any]"], dict[str, str]]:
    """-> the tensors by name, as views of `body`, and the metadata. bfloat16 comes as `Raw`."""
    try:
        (length,) = _LENGTH.unpack_from(body)
        members = json.loads(body[8 : 8 + length])
        metadata = members.pop("__metadata__", {})
        tensors = {}
        for name, entry in members.items():
            begin, end = entry["data_offsets"]
            is_bfloat16 = entry["dtype"] == "BF16"
            dtype = np.dtype("<u2") if is_bfloat16 else DTYPES[entry["dtype"]]
            count = (end - begin) // dtype.itemsize
            array = np.frombuffer(body, dtype, count, 8 + length + begin).reshape(entry["shape"])
            tensors[name] = array.view(Raw) if is_bfloat16 else array
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"the answer is not safetensors: {error}") from error
    return tensors, metadata


def plain(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """-> an array numpy can compute with: bfloat16 as ml_dtypes' where that is installed, else as float32 (exact)."""
    if not isinstance(array, Raw):
        return array
    bits = array.view(np.ndarray)
    try:
        import ml_dtypes
    except ImportError:
        return bfloat16_to_float32(bits)
    return bits.view(ml_dtypes.bfloat16)
