"""Bodies in memory that the server reads (`docs/shared-memory.md`): the head alone goes over the Unix socket.

Each connection has memory of its own, a `Slot`, into which bodies are copied; as it carries one request at a time, nobody
else writes to it until the response is there. Arrays of `shared_empty` lie in such memory already, with room for the rest of a
body around them, and are not copied.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
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


class _Place:
    """Memory that a socket passes on, and the head that said so last, for requests that repeat."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", descriptor))]
        self._head = self._shared_head = b""
        self._offset = -1

    def pass_on(self, opened: socket.socket, head: bytes, length: int, offset: int) -> None:
        """Sends a request whose body of `length` bytes lies at `offset`, and which has this head without shared memory."""
        if head is not self._head or offset != self._offset:
            # A head says how long its body is, so one object stands for one length.
            self._shared_head = _shared_head(head, length, offset)
            self._head, self._offset = head, offset
        if opened.sendmsg([self._shared_head], self._ancillary) != len(self._shared_head):
            raise BlockingIOError("the head of a request did not fit into the socket")


class Slot:
    """Memory for the bodies of one connection; as large as the largest so far."""

    def __init__(self) -> None:
        self._place: Optional[_Place] = None
        self._view = memoryview(b"")

    def send(self, opened: socket.socket, pieces: Sequence[Any], total: int) -> "Optional[_Array]":
        """Sends a request of `total` bytes after its head, which is the first piece.

        -> the array in whose memory the body lies, to be released once the response is there; None if that is the slot's.
        """
        array = _arrays.find(pieces) if _arrays.are_there else None
        if array is None:
            self._write(pieces, total).pass_on(opened, pieces[0], total, 0)
            return None
        try:
            array.pass_on(opened, pieces[0], total, array.surround(pieces))
        except BaseException:
            array.release()
            raise
        return array

    def _write(self, pieces: Sequence[Any], total: int) -> _Place:
        if self._place is None or len(self._view) < total:
            self.close()
            size = max(_SMALLEST_SLOT, 1 << (total - 1).bit_length())
            descriptor, mapping = _create(size)
            self._place, self._view = _Place(descriptor), memoryview(mapping)
        position = 0
        for piece in pieces[1:]:
            end = position + len(piece)
            self._view[position:end] = piece
            position = end
        return self._place

    def close(self) -> None:
        """Lets go of the memory; a server that still reads it keeps it until it is done."""
        if self._place is not None:
            # The mapping goes with its last view.
            self._view.release()
            os.close(self._place.descriptor)
            self._place = None


def _shared_head(head: bytes, length: int, offset: int) -> bytes:
    """-> the head of a request that says where its body lies, in place of how long it is."""
    start = head[: head.rindex(b"Content-Length: ")]
    if offset == 0:
        return b"%sContent-Length: 0\r\nCrop-Shared-Memory: length=%d\r\n\r\n" % (start, length)
    return b"%sContent-Length: 0\r\nCrop-Shared-Memory: length=%d, offset=%d\r\n\r\n" % (start, length, offset)


class _Array(_Place):
    """The memory of one array, and what surrounds it while a request is under way."""

    def __init__(self, descriptor: int, mapping: mmap.mmap, array: "np.ndarray[Any, Any]") -> None:
        super().__init__(descriptor)
        self._mapping = weakref.ref(mapping)
        self.array = weakref.ref(array)
        self.address = _address_of(array)
        self.size = array.nbytes
        self._is_in_use = threading.Lock()
        self._index = 0
        # What lies before the array since the last request, if that is one piece and nothing lies behind.
        self._header: Any = None

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
        header = pieces[1] if self._index == 2 and len(pieces) == 3 else None
        if header is not None and header is self._header:
            return _ROOM - len(header)
        mapping = self._mapping()
        if mapping is None:
            raise ArgumentError("the array is gone")
        offset = position = _ROOM - sum(map(len, pieces[1 : self._index]))
        for index in range(1, len(pieces)):
            end = position + len(pieces[index])
            if index != self._index:
                mapping[position:end] = pieces[index]
            position = end
        # Bytes, unlike a caller's array, do not change.
        self._header = header if type(header) is bytes else None
        return offset

    def release(self) -> None:
        self._is_in_use.release()


def _address_of(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class _Arrays:
    """The arrays of `shared_empty` that are alive: by object, and by address for those that were wrapped since."""

    def __init__(self) -> None:
        self._by_object: dict[int, _Array] = {}
        self._by_address: dict[int, _Array] = {}

    @property
    def are_there(self) -> bool:
        return bool(self._by_address)

    def make(self, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        descriptor, mapping = _create(_ROOM + max(size, 1) + _ROOM)
        array: "np.ndarray[Any, Any]" = np.ndarray(shape, dtype, mapping, _ROOM)
        made = _Array(descriptor, mapping, array)
        self._by_object[id(array)] = self._by_address[made.address] = made
        weakref.finalize(mapping, self._forget, id(array), made)
        return array

    def _forget(self, name: int, gone: _Array) -> None:
        # The array may have gone before its memory, and another have come in its place. Without a lock, as this runs at any
        # time: at worst, that other one is then found by its address.
        if self._by_object.get(name) is gone:
            self._by_object.pop(name, None)
        self._by_address.pop(gone.address, None)
        os.close(gone.descriptor)

    def forget_all(self) -> None:
        """In a forked child: what it shares with its parent, either may be sending."""
        self._by_object, self._by_address = {}, {}

    def find(self, pieces: Sequence[Any]) -> Optional[_Array]:
        """-> an array that is one of the pieces, taken for this request, if there is one to use."""
        for index in range(1, len(pieces)):
            piece = pieces[index]
            if len(piece) < MINIMUM:
                continue
            known = self._by_object.get(id(piece.obj)) if type(piece) is memoryview else None
            if known is None or known.array() is not piece.obj or len(piece) != known.size:
                known = self._by_address.get(_address_of(np.frombuffer(piece, np.uint8)))
            if known is not None and len(piece) <= known.size and known.take(pieces, index):
                if len(piece) == known.size or index == len(pieces) - 1:
                    return known
                # A part of the array: what follows it must stay as it is.
                known.release()
        return None


_arrays = _Arrays()
os.register_at_fork(after_in_child=_arrays.forget_all)


def shared_empty(shape: Union[int, Sequence[int]], dtype: Any = np.float32) -> "np.ndarray[Any, Any]":
    """-> an array of numpy, of zeros, in memory that a client of `shm:/PATH` hands over without a copy.

    It is an array like any other; whole, or from its beginning on, it is sent from where it lies. Until the response is there,
    nobody may write to it. One request at a time uses it; others meanwhile get a copy. A forked child may use it, too, but
    sends copies of it.
    """
    made = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if any(extent < 0 for extent in made):
        raise ArgumentError(f"shape {list(made)}: an extent is negative")
    return _arrays.make(tuple(int(extent) for extent in made), np.dtype(dtype))
