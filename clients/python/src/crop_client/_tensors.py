"""Arrays of numpy or torch as the bytes that are sent, copied only where they do not lie in C order on the host."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from .errors import ArgumentError

Buffer = Union[bytes, bytearray, memoryview]
# Unsigned and signed 16-bit integers are rejected where a float is expected: they are nearly always bfloat16's bits.
_NUMPY_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_TORCH_NAMES = {"torch." + name: code for name, code in _NUMPY_NAMES.items()}
# By dtype, as looking up the name takes microseconds; one that is not here is looked up.
_NUMPY_DTYPES = {np.dtype(name): code for name, code in _NUMPY_NAMES.items() if name != "bfloat16"}
DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in _NUMPY_NAMES.items() if name != "bfloat16"}


class Tensor(NamedTuple):
    """Element type as safetensors names it, shape, and the bytes in C order, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def is_torch(value: Any) -> bool:
    """Whether `value` is a torch tensor; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value: Any) -> bool:
    """Whether `value` is one array: of numpy, of torch, or anything that numpy takes as one (`__array__`, DLPack)."""
    if isinstance(value, type):  # such as numpy.float32, a class of arrays
        return False
    return isinstance(value, (np.ndarray, np.generic)) or is_torch(value) or hasattr(value, "__array__")


def as_array(name: str, value: Any) -> Any:
    """-> `value` if it is an array of numpy or torch; lists of numbers become float32 (whole ones of ids, int64)."""
    if isinstance(value, np.ma.MaskedArray):
        raise ArgumentError(f"{name}: a masked array's mask cannot be sent; .filled(value) says what stands in the masked places")
    if isinstance(value, np.ndarray):
        # Subclasses have rules of their own: a matrix never becomes flat, so its bytes would be counted wrong.
        return value if type(value) is np.ndarray else np.asarray(value)
    if is_torch(value):
        return value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"{name}: not an array: {error}") from None
    if array.dtype.kind in "OSU" and not is_array(value):
        raise ArgumentError(f"{name}: {type(value).__name__} with {array.dtype}: no array, and no lists of numbers")
    if array.dtype.kind == "f" and not is_array(value):
        array = array.astype(np.float32)
    return array


def as_tensor(name: str, array: Any) -> Tensor:
    """-> the bytes of an array of numpy or torch. A CUDA tensor is copied to pinned memory of the host once."""
    return _from_torch(name, array) if is_torch(array) else _from_numpy(name, array)


def _from_numpy(name: str, array: "np.ndarray[Any, Any]") -> Tensor:
    dtype = _NUMPY_DTYPES.get(array.dtype) or _NUMPY_NAMES.get(array.dtype.name)
    if dtype is None:
        raise ArgumentError(
            f"{name}: arrays of {array.dtype} cannot be sent; send one of {', '.join(sorted(_NUMPY_NAMES))}")
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    if not array.dtype.isnative and array.dtype.itemsize > 1 or sys.byteorder == "big":
        array = array.astype(array.dtype.newbyteorder("<"))
    return Tensor(dtype, array.shape, array.reshape(-1).view(np.uint8).data)


def _from_torch(name: str, tensor: Any) -> Tensor:
    torch = sys.modules["torch"]
    dtype = _TORCH_NAMES.get(str(tensor.dtype))
    if dtype is None:
        raise ArgumentError(f"{name}: tensors of {tensor.dtype} cannot be sent; .float() or .half() them first")
    tensor = tensor.detach()
    if tensor.layout is not torch.strided:
        raise ArgumentError(f"{name}: a tensor of layout {tensor.layout} cannot be sent; .to_dense() it first")
    if tensor.device.type == "meta":
        raise ArgumentError(f"{name}: a tensor on the device `meta` has no elements")
    # Before the copy: `copy_` negates such a view on the host, where the elements have not arrived.
    tensor = tensor.resolve_neg()
    if tensor.device.type == "cuda":
        host = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(tensor.device).synchronize()
        tensor = host
    tensor = tensor.cpu().contiguous()
    bits = tensor.reshape(-1).view(torch.uint8).numpy()
    return Tensor(dtype, tuple(tensor.shape), memoryview(bits))


def bfloat16_to_float32(bits: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """-> the same numbers as float32; exact, as a bfloat16 is the upper half of one."""
    return (bits.astype(np.uint32) << 16).view(np.float32)



def ready_bytes(array: Any) -> Optional[tuple[Any, memoryview]]:
    """-> library, element type and shape of an array that can be sent from where it lies, and its bytes there.

    It is of numpy or torch, on the host, in C order, little-endian and not empty. None for any other, also for subclasses,
    which may mean something else.
    """
    kind = type(array)
    if kind is np.ndarray:
        try:
            view = memoryview(array)
        except ValueError:  # which numpy raises for types that Python has no letter for, such as ml_dtypes' bfloat16
            if array.dtype.name != "bfloat16" or array.ndim == 0:
                return None
            view = memoryview(array.view(np.uint16))
            form: Any = ("bfloat16", array.shape)
        else:
            form = (view.format, view.shape)
            if form[0] not in _FORMATS:
                return None
    else:
        torch = sys.modules.get("torch")
        if torch is None or kind is not torch.Tensor or not array.is_cpu or array.layout is not torch.strided:
            return None
        if not array.is_contiguous() or array.is_conj() or array.is_neg():
            return None
        view = memoryview(array.detach().reshape(-1).view(torch.uint8).numpy())
        form = (array.dtype, array.shape)
    if not view.c_contiguous or view.nbytes == 0 or _IS_BIG_ENDIAN:
        return None
    return form, view.cast("B")


_IS_BIG_ENDIAN = sys.byteorder == "big"
# As `memoryview` names the element types that are sent, in the machine's own order of bytes.
_FORMATS = frozenset("dfelqihbLQIHB?")
