"""Requests in every format the service reads, made with the packages its users have: numpy and safetensors."""
import io
import json
import struct

import numpy as np
import safetensors.numpy

PRUNE = "/prune?method=topk&keep_tokens=2"
TINY = b'{"attention":[0.1,0.2,0.4,0.3]}'
TINY_KEPT = [2, 3]


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version=version, allow_pickle=False)
    return stream.getvalue()


def safetensors_bytes(tensors, parameters=None):
    metadata = {"parameters": json.dumps(parameters)} if parameters is not None else None
    # The package writes the memory as it lies; only C order means what the shape says.
    return safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in tensors.items()}, metadata=metadata)


def json_bytes(tensors, parameters=None):
    return json.dumps({**{name: array.tolist() for name, array in tensors.items()}, **(parameters or {})}).encode()


def bfloat16_safetensors(name, array, parameters=None):
    """numpy has no bfloat16; the upper half of a float32 is one."""
    upper = (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2")
    header = {name: {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [0, upper.nbytes]}}
    if parameters is not None:
        header["__metadata__"] = {"parameters": json.dumps(parameters)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + upper.tobytes()


def numbers(*shape, seed=1, dtype=np.float32):
    """Distinct positive numbers that every float type tells apart."""
    count = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(count)
    return (order / 128).reshape(shape).astype(dtype)


def features(tokens=64, width=16, seed=2, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((tokens, width)).astype(dtype)
