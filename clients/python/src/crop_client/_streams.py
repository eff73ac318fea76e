"""What carries bytes of `AsyncClient`: TCP, Unix sockets, shared memory and TLS, on an event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
import time
import weakref
from typing import Any, Awaitable, Optional, Sequence, TypeVar, Union

from ._shared import MINIMUM, Slot, _Array
from ._wire import Address

_RECEIVED = 1 << 18
_Result = TypeVar("_Result")


async def by(deadline: float, waiting: Awaitable[_Result]) -> _Result:
    """What is waited for; raises TimeoutError at the deadline (of `time.monotonic`)."""
    left = deadline - time.monotonic()
    if sys.version_info < (3, 11):
        return await asyncio.wait_for(waiting, left)
    async with asyncio.timeout(left):  # which, unlike wait_for, makes no task
        return await waiting


def _running_loop() -> Optional[asyncio.AbstractEventLoop]:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _Watch:
    """What the event loop says of one socket: registered once, not for each response, which would cost two system calls.

    The loop holds it until `end`, and so must not hold the stream, whose owner may forget to close it.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._ready: "Optional[asyncio.Future[None]]" = None
        self._deadline = 0.0
        self._timer: Optional[asyncio.TimerHandle] = None
        self._timer_deadline = 0.0
        self._is_registered = False

    async def wait(self, deadline: float) -> None:
        """Returns when there is something to receive. Raises TimeoutError at the deadline."""
        self._ready = self._loop.create_future()
        self._deadline = deadline
        if not self._is_registered:
            self._loop.add_reader(self._socket, self._readable)
            self._is_registered = True
        # One timer serves many calls: as it fires, it looks whether the deadline has moved.
        if self._timer is None or deadline < self._timer_deadline:
            self._set_timer()
        try:
            await self._ready
        finally:
            self._ready = None

    def _readable(self) -> None:
        if self._ready is None or self._ready.done():
            # Closed by the server, or the rest of a response, for which somebody will come.
            self._loop.remove_reader(self._socket)
            self._is_registered = False
        else:
            self._ready.set_result(None)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_deadline = self._deadline
        self._timer = self._loop.call_later(self._deadline - time.monotonic(), self._late)

    def _late(self) -> None:
        self._timer = None
        if self._ready is None or self._ready.done():
            return
        if self._deadline > time.monotonic():
            self._set_timer()
        else:
            self._ready.set_exception(TimeoutError())

    def end(self) -> None:
        """Closes the socket; from any thread or loop, and in a forked process, whose registrations are also the parent's."""
        if self._process != os.getpid():
            self._socket.close()
        elif _running_loop() is self._loop:
            self._close()
        else:
            try:
                self._loop.call_soon_threadsafe(self._close)
            except RuntimeError:  # The loop is closed.
                self._socket.close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._is_registered:
            self._loop.remove_reader(self._socket)
        self._socket.close()


class Plain:
    """Bytes over a socket of its own; what is sent is not copied.

    Timers start when there is something to wait for, while the server computes.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._watch = _Watch(opened)
        self._end = weakref.finalize(self, self._watch.end)
        self._end.atexit = False

    async def send(self, pieces: Sequence[Any], deadline: float) -> None:
        try:
            sent = self._socket.sendmsg(pieces[:512])
        except (BlockingIOError, InterruptedError):
            sent = 0
        for piece in pieces:
            size = len(piece)
            if sent >= size:
                sent -= size
                continue
            await by(deadline, asyncio.get_running_loop().sock_sendall(self._socket, memoryview(piece)[sent:]))
            sent = 0

    async def receive(self, deadline: float) -> bytes:
        while True:
            try:
                return self._socket.recv(_RECEIVED)
            except (BlockingIOError, InterruptedError):
                await self._watch.wait(deadline)

    def finished(self) -> None:
        """The response is there, or nobody waits for it."""

    def close(self) -> None:
        self._end()

    def let_go(self) -> None:
        """Closes what this process and loop hold, without a word to the server."""
        self.close()


class Shared(Plain):
    """The same, but for bodies, which stay in memory that the server reads."""

    def __init__(self, opened: socket.socket) -> None:
        super().__init__(opened)
        self._slot = Slot()
        self._array: Optional[_Array] = None

    async def send(self, pieces: Sequence[Any], deadline: float) -> None:
        total = sum(map(len, pieces[1:]))
        if total < MINIMUM:
            return await super().send(pieces, deadline)
        self._array = self._slot.send(self._socket, pieces, total)

    def finished(self) -> None:
        if self._array is not None:
            self._array.release()
            self._array = None

    def close(self) -> None:
        super().close()
        self._slot.close()


class Encrypted:
    """Bytes over TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, pieces: Sequence[Any], deadline: float) -> None:
        for piece in pieces:
            self._writer.write(piece)
        await by(deadline, self._writer.drain())

    async def receive(self, deadline: float) -> bytes:
        return await by(deadline, self._reader.read(_RECEIVED))

    def finished(self) -> None:
        pass

    def close(self) -> None:
        self._writer.close()

    def let_go(self) -> None:
        # Closing would speak: on a connection of the parent's, or by a loop that is closed.
        pass


Stream = Union[Plain, Encrypted]


async def connect(target: Address, context: Optional[ssl.SSLContext]) -> Stream:
    if context is not None:
        return Encrypted(*await asyncio.open_connection(target.host, target.port, ssl=context))
    loop = asyncio.get_running_loop()
    if target.path:
        places: list[Any] = [(socket.AF_UNIX, target.path)]
    else:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        places = [(entry[0], entry[4]) for entry in found]
    failure: OSError = OSError("no address")
    for family, place in places:
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setblocking(False)
        try:
            await loop.sock_connect(opened, place)
            if family != socket.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Shared(opened) if target.scheme == "shm" else Plain(opened)
        except OSError as error:
            opened.close()
            failure = error
        except BaseException:
            opened.close()
            raise
    raise failure
