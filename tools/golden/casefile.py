"""Golden case files: tensors, parameters and the expected answer in one safetensors file.

A case is written byte for byte the same on every run, so `git diff` and `reference.py --check` tell what
changed. Only numpy is needed. The layout of `__metadata__` (every value is a string, as the format demands):

    method      the wire name of the method, or `localization` / `merge`
    parameters  JSON: the request parameters, as a client would send them beside the tensors
    expected    JSON: what the answer must be
    flags       JSON: how far the expectation may be trusted (ties, documented upstream bugs, ...)
    source      JSON: where the expectation comes from
"""
import json
import struct

import numpy as np

_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}
_TYPES = {name: np.dtype(dtype).newbyteorder("<") for dtype, name in _NAMES.items()}
METADATA_KEYS = ("method", "parameters", "expected", "flags", "source")


def encode(tensors, metadata):
    """-> bytes of a safetensors file; tensors in order of name, widest element type first (alignment)."""
    order = sorted(tensors, key=lambda name: (-np.asarray(tensors[name]).dtype.itemsize, name))
    header, bodies, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = metadata
    for name in order:
        array = np.ascontiguousarray(tensors[name])
        body = array.astype(array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(body)],
        }
        bodies.append(body)
        offset += len(body)
    text = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(bodies)


def decode(data):
    """-> (tensors, metadata) of the bytes of a safetensors file."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        body = data[8 + length + begin : 8 + length + end]
        tensors[name] = np.frombuffer(body, _TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def metadata(method, parameters, expected, flags, source):
    """-> the `__metadata__` object of a case."""
    values = (parameters, expected, flags, source)
    return {"method": method, **{k: json.dumps(v) for k, v in zip(METADATA_KEYS[1:], values)}}


def encode_case(method, tensors, parameters, expected, flags, source):
    """-> bytes of one case file."""
    return encode(tensors, metadata(method, parameters, expected, flags, source))
