"""Bodies in memory that the server reads (`docs/shared-memory.md`): the head alone goes over the Unix socket.

Each connection has memory of its own, a `Slot`, into which bodies are copied; as it carries one request at a time, nobody
else writes to it until the response is there. Arrays of `shared_empty` lie in such memory already, with room for the rest of a
body around them, and are not copied.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
import weakref
from typing import Any, Optional, Sequence, Union

import numpy as np

from .errors import ArgumentError

# What is smaller costs less on the socket than a descriptor does.
MINIMUM = 32 << 10
_SMALLEST_SLOT = 256 << 10
# Around an array of `shared_empty`, for the header and the request's other tensors.
_ROOM = 256 << 10


def _create(size: int) -> tuple[int, mmap.mmap]:
    """-> a descriptor of `size` bytes of memory, and a mapping of it."""
    descriptor = os.memfd_create("crop-client", os.MFD_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        return descriptor, mmap.mmap(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise


class Slot:
    """Memory for the bodies of one connection; as large as the largest so far."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._view: Optional[memoryview] = None

    def send(self, opened: socket.socket, pieces: Sequence[Any], total: int) -> "Optional[_Array]":
        """Sends a request of `total` bytes after its head, which is the first piece.

        -> the array in whose memory the body lies, to be released once the response is there; None if that is the slot's.
        """
        array = _arrays.find(pieces) if _arrays.are_there else None
        try:
            if array is not None:
                descriptor, offset = array.descriptor, array.surround(pieces)
            else:
                descriptor, offset = self._write(pieces, total), 0
            head = _shared_head(pieces[0], total, offset)
            if socket.send_fds(opened, [head], [descriptor]) != len(head):
                raise BlockingIOError("the head of a request did not fit into the socket")
        except BaseException:
            if array is not None:
                array.release()
            raise
        return array

    def _write(self, pieces: Sequence[Any], total: int) -> int:
        if self._view is None or len(self._view) < total:
            self.close()
            size = max(_SMALLEST_SLOT, 1 << (total - 1).bit_length())
            self._descriptor, mapping = _create(size)
            self._view = memoryview(mapping)
        position = 0
        for piece in pieces[1:]:
            end = position + len(piece)
            self._view[position:end] = piece
            position = end
        return self._descriptor

    def close(self) -> None:
        """Lets go of the memory; a server that still reads it keeps it until it is done."""
        if self._view is not None:
            # The mapping goes with its last view.
            self._view.release()
            self._view = None
            os.close(self._descriptor)


def _shared_head(head: bytes, length: int, offset: int) -> bytes:
    """-> the head of a request that says where its body lies, in place of how long it is."""
    start = head[: head.rindex(b"Content-Length: ")]
    if offset == 0:
        return b"%sContent-Length: 0\r\nCrop-Shared-Memory: length=%d\r\n\r\n" % (start, length)
    return b"%sContent-Length: 0\r\nCrop-Shared-Memory: length=%d, offset=%d\r\n\r\n" % (start, length, offset)


class _Array:
    """The memory of one array, and what surrounds it while a request is under way."""

    def __init__(self, descriptor: int, mapping: mmap.mmap, address: int, size: int) -> None:
        self.descriptor = descriptor
        self._mapping = weakref.ref(mapping)
        self.address = address
        self.size = size
        self._is_in_use = threading.Lock()
        self._index = 0

    def take(self, pieces: Sequence[Any], index: int) -> bool:
        """Whether the other pieces have room around the one at `index`, and no other request uses the memory."""
        before = sum(map(len, pieces[1:index]))
        after = sum(map(len, pieces[index + 1 :]))
        if before > _ROOM or after > _ROOM or not self._is_in_use.acquire(blocking=False):
            return False
        self._index = index
        return True

    def surround(self, pieces: Sequence[Any]) -> int:
        """Writes the other pieces around the array. -> where the body begins."""
        mapping = self._mapping()
        if mapping is None:
            raise ArgumentError("the array is gone")
        offset = position = _ROOM - sum(map(len, pieces[1 : self._index]))
        for index in range(1, len(pieces)):
            end = position + len(pieces[index])
            if index != self._index:
                mapping[position:end] = pieces[index]
            position = end
        return offset

    def release(self) -> None:
        self._is_in_use.release()


class _Arrays:
    """The arrays of `shared_empty` that are alive, by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, _Array] = {}
        self._process = os.getpid()

    @property
    def are_there(self) -> bool:
        return bool(self._known)

    def make(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        descriptor, mapping = _create(_ROOM + max(size, 1) + _ROOM)
        array: "np.ndarray[Any, Any]" = np.ndarray(shape, dtype, mapping, _ROOM)
        address = array.__array_interface__["data"][0]
        with self._lock:
            self._known[address] = _Array(descriptor, mapping, address, size)
        weakref.finalize(mapping, self._forget, address, descriptor)
        return array

    def _forget(self, address: int, descriptor: int) -> None:
        self._known.pop(address, None)
        os.close(descriptor)

    def find(self, pieces: Sequence[Any]) -> Optional[_Array]:
        """-> an array that is one of the pieces, taken for this request, if there is one to use."""
        if self._process != os.getpid():
            # What a forked child shares with its parent, either may be sending.
            self._known, self._process = {}, os.getpid()
        for index in range(1, len(pieces)):
            piece = pieces[index]
            if len(piece) < MINIMUM:
                continue
            address = np.frombuffer(piece, np.uint8).__array_interface__["data"][0]
            known = self._known.get(address)
            if known is not None and len(piece) <= known.size and known.take(pieces, index):
                if len(piece) == known.size or index == len(pieces) - 1:
                    return known
                # A part of the array: what follows it must stay as it is.
                known.release()
        return None


_arrays = _Arrays()


def shared_empty(shape: Union[int, Sequence[int]], dtype: Any = np.float32) -> "np.ndarray[Any, Any]":
    """-> an array of numpy, of zeros, in memory that a client of `shm:/PATH` hands over without a copy.

    It is an array like any other; whole, or from its beginning on, it is sent from where it lies. Until the response is there,
    nobody may write to it. One request at a time uses it; others meanwhile get a copy. A forked child may use it, too, but
    sends copies of it.
    """
    made = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    return _arrays.make(tuple(int(extent) for extent in made), np.dtype(dtype))
