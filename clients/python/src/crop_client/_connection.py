"""A connection on blocking sockets: the whole request in one `sendmsg`, a small response in one `recv`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from typing import Any, Optional, Protocol, Sequence

from ._shared import MINIMUM, Slot, _Array
from ._wire import MAXIMUM_HEAD, Address, ChunkDecoder, Head, Response, read_head, usual_head
from .errors import ProtocolError

# Linux takes 1,024 pieces in one call; a batch may have more.
_PIECES = 512
_TIMEVAL = struct.Struct("ll")


class ConnectionLost(OSError):
    """The peer is gone; `is_stale` if it may have closed before it saw anything of this request."""

    def __init__(self, reason: str, is_stale: bool) -> None:
        super().__init__(reason)
        self.is_stale = is_stale


class Transport(Protocol):
    """What carries requests to a server and responses back.

    `Connection` is the one for TCP, TLS, Unix sockets and shared memory.
    """

    def exchange(self, pieces: Sequence[Any], deadline: float, timeout: float) -> Response:
        """Sends the pieces and returns the response, or raises `ConnectionLost` or `TimeoutError`.

        `timeout` is what is left until `deadline` (of `time.monotonic`) when the call begins.
        """

    def close(self) -> None:
        """Ends it."""

    @property
    def is_open(self) -> bool:
        """Whether it can carry another request."""


class Connection:
    """A kept-alive connection, used by one thread at a time."""

    def __init__(self, target: Address, timeout: float, context: Optional[ssl.SSLContext]) -> None:
        self._slot = Slot() if target.scheme == "shm" else None
        self._array: Optional[_Array] = None
        if target.path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(timeout)
            with self._closing_on_error():
                self._socket.connect(target.path)
        else:
            self._socket = socket.create_connection((target.host, target.port), timeout)
            with self._closing_on_error():
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if context is not None:
                    self._socket = context.wrap_socket(self._socket, server_hostname=target.host)
        self._is_encrypted = context is not None
        self._timeout = timeout
        if not self._is_encrypted:
            # Timeouts of the kernel spare the two polls per call that Python's own cost.
            self._socket.settimeout(None)
            self._limit(timeout)
        self.is_open = True
        self._has_served = False

    @contextlib.contextmanager
    def _closing_on_error(self) -> Any:
        try:
            yield
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self.is_open = False
        self._socket.close()
        if self._slot is not None:
            self._slot.close()

    def _limit(self, seconds: float) -> None:
        self._timeout = seconds
        if self._is_encrypted:
            self._socket.settimeout(seconds)
            return
        # Zero would mean forever.
        microseconds = max(1000, int(seconds * 1e6))
        value = _TIMEVAL.pack(microseconds // 1_000_000, microseconds % 1_000_000)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def _keep_to(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._limit(left)

    def exchange(self, pieces: Sequence[Any], deadline: float, timeout: float) -> Response:
        """Sends the pieces as one request and returns its response. The connection is closed on any failure."""
        received = b""
        try:
            if timeout != self._timeout:
                self._limit(timeout)
            unsent = self._send(pieces, deadline)
            received = self._socket.recv(MAXIMUM_HEAD)
            size = usual_head(received)
            if size > 0:
                # Past the named tuple's own constructor, which is slow, most of all behind a wait.
                response = tuple.__new__(Response, (200, received[:size], received[size:]))
                keeps_alive = True
            else:
                response, keeps_alive = self._receive(received, deadline)
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError) as error:
            self.close()
            raise TimeoutError("timed out") from error
        except OSError as error:
            self.close()
            is_stale = self._has_served and not received
            raise error if isinstance(error, ConnectionLost) else ConnectionLost(str(error), is_stale) from error
        except BaseException:
            self.close()
            raise
        finally:
            if self._array is not None:
                self._array.release()
                self._array = None
        self._has_served = True
        if unsent is not None or not keeps_alive:
            self.close()
        return response

    def _send(self, pieces: Sequence[Any], deadline: float) -> Optional[OSError]:
        """-> the error if the peer stopped listening: it may have answered on the head, and said why."""
        try:
            if self._is_encrypted:
                for piece in pieces:
                    self._socket.sendall(piece)
                return None
            total = 0
            for piece in pieces:
                total += len(piece)
            if self._slot is not None and total - len(pieces[0]) >= MINIMUM:
                self._array = self._slot.send(self._socket, pieces, total - len(pieces[0]))
                return None
            sent = self._socket.sendmsg(pieces if len(pieces) <= _PIECES else pieces[:_PIECES])
            if sent != total:
                self._send_rest(pieces, sent, deadline)
            return None
        except (BrokenPipeError, ConnectionResetError) as error:
            return error

    def _send_rest(self, pieces: Sequence[Any], sent: int, deadline: float) -> None:
        left = [memoryview(piece) for piece in pieces]
        first = 0
        while True:
            while first < len(left) and sent >= len(left[first]):
                sent -= len(left[first])
                first += 1
            if first == len(left):
                return
            left[first] = left[first][sent:]
            self._keep_to(deadline)
            sent = self._socket.sendmsg(left[first : first + _PIECES])

    def _receive(self, received: bytes, deadline: float) -> tuple[Response, bool]:
        """-> the response that begins with what was received, and whether the connection stays."""
        if not received:
            raise ConnectionLost("the server closed the connection without a whole response", self._has_served)
        while True:
            head = read_head(received)
            if head is None:
                received += self._more(MAXIMUM_HEAD, deadline)
            elif head.status < 200:
                # An interim response, such as 100 Continue.
                received = received[head.size :] or self._more(MAXIMUM_HEAD, deadline)
            else:
                break
        body = self._receive_body(head, received[head.size :], deadline)
        return Response(head.status, received[: head.size], body), head.keeps_alive

    def _receive_body(self, head: Head, rest: bytes, deadline: float) -> bytes:
        """-> the whole body, of which `rest` came with the head."""
        if head.length is None:
            return self._undelimited(head, rest, deadline)
        have = len(rest)
        if have == head.length:
            return rest
        if have > head.length:
            raise ProtocolError(f"{have - head.length} bytes follow the response")
        body = bytearray(head.length)
        body[:have] = rest
        view = memoryview(body)
        while have < head.length:
            have += self._more_into(view[have:], deadline)
        return bytes(body)

    def _more(self, count: int, deadline: float) -> bytes:
        self._keep_to(deadline)
        received = self._socket.recv(count)
        if not received:
            raise ConnectionLost("the connection ended within the response", False)
        return received

    def _more_into(self, into: memoryview, deadline: float) -> int:
        self._keep_to(deadline)
        count = self._socket.recv_into(into)
        if count == 0:
            raise ConnectionLost("the connection ended within the response", False)
        return count

    def _undelimited(self, head: Head, rest: bytes, deadline: float) -> bytes:
        if head.is_chunked:
            chunks = ChunkDecoder()
            chunks.feed(rest)
            while not chunks.is_complete:
                chunks.feed(self._more(MAXIMUM_HEAD, deadline))
            return chunks.body
        parts = [rest]
        while True:
            self._keep_to(deadline)
            received = self._socket.recv(MAXIMUM_HEAD)
            if not received:
                return b"".join(parts)
            parts.append(received)
