"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Union

from . import _arguments
from ._client import _IDLE_CONNECTIONS, _AnyAnswer, answer, failed, failure_of, listed, says_ready, tls_problem
from ._connection import ConnectionLost
from ._retry import pause
from ._settings import Settings, count, seconds
from ._streams import Stream, by, connect
from ._wire import ChunkDecoder, Response, read_head, usual_head
from .answers import CompareAnswer, CompressAnswer, LocalizeAnswer, PlanAnswer, PruneAnswer, ReselectAnswer
from .errors import Overloaded, ProtocolError, RequestTimeout

if TYPE_CHECKING:
    from typing_extensions import Unpack


class _Connection:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.has_served = False
        self.is_open = True

    def close(self) -> None:
        self.is_open = False
        self._stream.close()

    def let_go(self) -> None:
        self.is_open = False
        self._stream.let_go()

    async def exchange(self, pieces: Sequence[Any], deadline: float) -> Response:
        received = b""
        try:
            try:
                await self._stream.send(pieces, deadline)
                was_cut = False
            except (BrokenPipeError, ConnectionResetError):
                # The server may have answered on the head alone, and said why.
                was_cut = True
            received = await self._more(deadline, self.has_served)
            size = usual_head(received)
            if size > 0:
                response, keeps_alive = tuple.__new__(Response, (200, received[:size], received[size:])), True
            else:
                response, keeps_alive = await self._receive(received, deadline)
        except (ConnectionLost, TimeoutError):
            self.close()
            raise
        except OSError as error:
            self.close()
            raise ConnectionLost(str(error), self.has_served and not received) from error
        except BaseException:
            self.close()
            raise
        finally:
            self._stream.finished()
        self.has_served = True
        if was_cut or not keeps_alive:
            self.close()
        return response

    async def _receive(self, received: bytes, deadline: float) -> tuple[Response, bool]:
        """-> the response that begins with what was received, and whether the connection stays."""
        while True:
            head = read_head(received)
            if head is None:
                received += await self._more(deadline)
            elif head.status < 200:
                # An interim response, such as 100 Continue.
                received = received[head.size :] or await self._more(deadline)
            else:
                break
        first, body = received[: head.size], received[head.size :]
        if head.length is None:
            body = await self._undelimited(body, head.is_chunked, deadline)
        else:
            parts, have = [body], len(body)
            while have < head.length:
                parts.append(await self._more(deadline))
                have += len(parts[-1])
            if have > head.length:
                raise ProtocolError(f"{have - head.length} bytes follow the response")
            body = parts[0] if len(parts) == 1 else b"".join(parts)
        return Response(head.status, first, body), head.keeps_alive

    async def _more(self, deadline: float, is_stale: bool = False) -> bytes:
        data = await self._stream.receive(deadline)
        if not data:
            raise ConnectionLost("the server closed the connection without a whole response", is_stale)
        return data

    async def _undelimited(self, body: bytes, is_chunked: bool, deadline: float) -> bytes:
        if is_chunked:
            chunks = ChunkDecoder()
            chunks.feed(body)
            while not chunks.is_complete:
                chunks.feed(await self._more(deadline))
            return chunks.body
        parts = [body]
        while data := await self._stream.receive(deadline):
            parts.append(data)
        return b"".join(parts)


class AsyncClient:
    """The same as `Client`, with coroutines; `concurrency` calls are sent at a time, the others wait.

    It serves one event loop at a time; in another one, as of a second `asyncio.run`, it makes new connections. Tensors are
    checked and, from a GPU, fetched before a call first waits.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, api_key: Optional[str] = None, timeout: float = 30.0, retries: int = 2,
        ca_file: Union[str, os.PathLike[str], None] = None, ssl_context: Optional[ssl.SSLContext] = None,
        headers: Optional[Mapping[str, str]] = None, concurrency: int = 64,
    ) -> None:  # fmt: skip
        self._settings = Settings(url, api_key, timeout, retries, ca_file, ssl_context, headers)
        self._requests = _arguments.RequestWriter(self._settings.call_head)
        self._concurrency = count("concurrency", concurrency, 1, "how many calls are sent at a time")
        self._idle: list[_Connection] = []
        self._home: Any = None
        self._room = asyncio.Semaphore(self._concurrency)

    async def prune(self, **arguments: Unpack[_arguments.PruneArguments]) -> PruneAnswer:
        """Chooses the visual tokens to keep; see `Client.prune`."""
        return await self._post(_arguments.PRUNE, arguments, PruneAnswer)

    async def localize(self, **arguments: Unpack[_arguments.LocalizeArguments]) -> LocalizeAnswer:
        """Finds the contextual region; see `Client.localize`."""
        return await self._post(_arguments.LOCALIZE, arguments, LocalizeAnswer)

    async def reselect(self, **arguments: Unpack[_arguments.ReselectArguments]) -> ReselectAnswer:
        """Swaps kept tokens for pruned ones while the model decodes; see `Client.reselect`."""
        return await self._post(_arguments.RESELECT, arguments, ReselectAnswer)

    async def compress(self, **arguments: Unpack[_arguments.CompressArguments]) -> CompressAnswer:
        """Turns features into fewer rows; see `Client.compress`."""
        return await self._post(_arguments.COMPRESS, arguments, CompressAnswer)

    async def compare(self, **arguments: Unpack[_arguments.CompareArguments]) -> CompareAnswer:
        """Prunes one image by each of several methods; see `Client.compare`."""
        return await self._post(_arguments.COMPARE, arguments, CompareAnswer)

    async def plan(self, **arguments: Unpack[_arguments.PlanArguments]) -> PlanAnswer:
        """Counts the tokens that `prune` will keep; see `Client.plan`."""
        return await self._post(_arguments.PLAN, arguments, PlanAnswer)

    async def methods(self) -> list[dict[str, Any]]:
        """-> every method with its inputs, parameters, paper and deviations; the default first."""
        return listed(await self._get("/methods"), "methods")

    async def models(self) -> list[dict[str, Any]]:
        """-> the learned localizers and resamplers that are loaded."""
        return listed(await self._get("/models"), "models")

    async def is_ready(self) -> bool:
        """Whether the service takes requests; see `Client.is_ready`."""
        head = self._settings.head("GET", "/readyz")
        self._come_home()
        try:
            return says_ready(await self._attempt([head], time.monotonic() + self._settings.timeout))
        except (OSError, ProtocolError, asyncio.TimeoutError) as error:
            if tls_problem(error) is not None:
                raise failed(self._settings.address, error, 1) from error
            return False

    async def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _post(self, call: _arguments.Call, arguments: Any, kind: type[_AnyAnswer]) -> _AnyAnswer:
        request = self._requests.write(call, arguments)
        return answer(kind, await self._exchange(request.pieces, arguments.get("timeout")), request)

    async def _get(self, path: str) -> Response:
        return await self._exchange([self._settings.head("GET", path)], None)

    async def _exchange(self, pieces: list[Any], timeout: Optional[float]) -> Response:
        timeout = self._settings.timeout if timeout is None else seconds(timeout)
        deadline = time.monotonic() + timeout
        self._come_home()
        try:
            return await self._with_retries(pieces, deadline)
        except (TimeoutError, asyncio.TimeoutError):
            where = self._settings.address
            raise RequestTimeout(f"no answer of {where.path or where.authority} within {timeout} s") from None

    async def _with_retries(self, pieces: list[Any], deadline: float) -> Response:
        attempt = 0
        while True:
            failure: Optional[OSError] = None
            problem: Optional[Overloaded] = None
            try:
                response = await self._in_turn(pieces, deadline)
                if response.status < 300:
                    return response
                rejection = failure_of(response, self._settings.address)
                if not isinstance(rejection, Overloaded):
                    raise rejection
                problem = rejection
            except TimeoutError:
                raise
            except OSError as error:
                failure = error
            attempt += 1
            wanted = None if problem is None else problem.retry_after
            wait = pause(attempt - 1, wanted, deadline - time.monotonic())
            if attempt > self._settings.retries or wait is None or tls_problem(failure) is not None:
                raise problem or failed(self._settings.address, failure, attempt) from failure
            await asyncio.sleep(wait)

    def _come_home(self) -> None:
        """Forgets what belongs to another event loop, or to the process that this one was forked from."""
        home = asyncio.get_running_loop(), os.getpid()
        if self._home != home:
            for connection in self._idle:
                connection.let_go()
            self._home, self._idle, self._room = home, [], asyncio.Semaphore(self._concurrency)

    async def _in_turn(self, pieces: list[Any], deadline: float) -> Response:
        room = self._room
        if room.locked():
            await by(deadline, room.acquire())
        else:
            await room.acquire()
        try:
            return await self._attempt(pieces, deadline)
        finally:
            room.release()

    async def _attempt(self, pieces: list[Any], deadline: float) -> Response:
        while self._idle:
            try:
                return await self._on(self._idle.pop(), pieces, deadline)
            except ConnectionLost as lost:
                if not lost.is_stale:
                    raise
        stream = await by(deadline, connect(self._settings.address, self._settings.context))
        return await self._on(_Connection(stream), pieces, deadline)

    async def _on(self, connection: _Connection, pieces: list[Any], deadline: float) -> Response:
        response = await connection.exchange(pieces, deadline)
        if connection.is_open:
            if len(self._idle) < _IDLE_CONNECTIONS * 4:
                self._idle.append(connection)
            else:
                connection.close()
        return response
