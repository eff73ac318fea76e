"""Golden case files: tensors, parameters and the expected answer in one safetensors file.

A case is written byte for byte the same on every run of one machine. Between machines, sums and transcendental
functions differ in their last bits (BLAS and numpy choose loops by processor), so `difference`, behind `--check`,
compares inputs byte for byte and expected numbers within TOLERANCE. Only numpy is needed. The layout of `__metadata__` (every value is a string, as the format demands):

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
# Of max(1, |x|). The references compute in float64 on numbers of about 1 and round them to 13 or 15 digits: orders of
# summation move them by about 1e-13, while the float32 implementation under test errs by 1e-7.
TOLERANCE = 1e-10
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


def difference(made, present):
    """-> where two files (bytes) differ, in words; None where they agree.

    Inputs, names and whole numbers agree exactly: inputs come from elementwise arithmetic, which IEEE 754 fixes, and
    indices are decisions that the cases keep clear of ties. Other numbers agree within TOLERANCE, and tensors named
    `expected.` within one unit in the last place of float32.
    """
    if made == present:
        return None
    (ours, our_body), (theirs, their_body) = (_parts(data) for data in (made, present))
    if {**ours, "__metadata__": None} != {**theirs, "__metadata__": None}:
        return "tensors have other names, shapes or element types"
    for name, entry in ours.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        a, b = our_body[begin:end], their_body[begin:end]
        if a == b:
            continue
        if not (name.startswith("expected.") and entry["dtype"] == "F32"):
            return f"elements of {name} differ"
        a, b = (np.frombuffer(elements, "<f4").astype(np.float64) for elements in (a, b))
        if not (np.abs(a - b) <= 2.0**-23 * np.maximum(1.0, np.abs(b))).all():
            return f"elements of {name} differ by up to {np.abs(a - b).max():.3g}"
    return _difference(*(_parsed(header.get("__metadata__", {})) for header in (ours, theirs)), "metadata")


def _parts(data):
    """-> (header, bytes of all elements)"""
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def _parsed(texts):
    """The strings of `__metadata__`, those read that are JSON."""
    result = {}
    for name, text in texts.items():
        try:
            result[name] = json.loads(text)
        except ValueError:
            result[name] = text
    return result


def _difference(made, present, where):
    """-> the first place at which two JSON values differ, or None."""
    if isinstance(made, dict) and isinstance(present, dict) and made.keys() == present.keys():
        pairs = ((made[key], present[key], f"{where}.{key}") for key in made)
    elif isinstance(made, list) and isinstance(present, list) and len(made) == len(present):
        pairs = ((a, b, f"{where}[{index}]") for index, (a, b) in enumerate(zip(made, present)))
    elif isinstance(made, float) and isinstance(present, float):
        close = abs(made - present) <= TOLERANCE * max(1.0, abs(made), abs(present))
        return None if close else f"{where} is {made!r}, was {present!r}"
    else:
        same = type(made) is type(present) and made == present
        return None if same else f"{where} is {made!r:.60}, was {present!r:.60}"
    return next(filter(None, (_difference(*pair) for pair in pairs)), None)


def metadata(method, parameters, expected, flags, source):
    """-> the `__metadata__` object of a case."""
    values = (parameters, expected, flags, source)
    return {"method": method, **{k: json.dumps(v) for k, v in zip(METADATA_KEYS[1:], values)}}


def encode_case(method, tensors, parameters, expected, flags, source):
    """-> bytes of one case file."""
    return encode(tensors, metadata(method, parameters, expected, flags, source))
