"""The client on blocking sockets, for any number of threads."""

from __future__ import annotations

import json
import os
import ssl
import time
import warnings
from typing import TYPE_CHECKING, Any, Mapping, Optional, TypeVar

from . import _arguments
from ._connection import Connection, ConnectionLost
from ._retry import pause, retry_after
from ._wire import Address, Response, address, request_head
from .answers import Answer, CompareAnswer, CompressAnswer, CropWarning, LocalizeAnswer, PlanAnswer, PruneAnswer, ReselectAnswer
from .errors import ArgumentError, ConnectionFailed, Overloaded, ProtocolError, RequestTimeout, problem_error

if TYPE_CHECKING:
    from typing_extensions import Unpack

_AnyAnswer = TypeVar("_AnyAnswer", bound=Answer)
_IDLE_CONNECTIONS = 16


class Settings:
    """What both clients are told, checked once."""

    def __init__(
        self, url: str, api_key: Optional[str], timeout: float, retries: int, ca_file: Optional[str],
        ssl_context: Optional[ssl.SSLContext], headers: Optional[Mapping[str, str]],
    ) -> None:  # fmt: skip
        self.address: Address = address(url)
        if not timeout > 0:
            raise ArgumentError(f"timeout={timeout}: seconds, more than 0")
        if retries < 0:
            raise ArgumentError(f"retries={retries}: how often a request is repeated, 0 for never")
        self.timeout = float(timeout)
        self.retries = retries
        if self.address.scheme != "https" and (ca_file or ssl_context):
            raise ArgumentError(f"'{url}' is not encrypted, so ca_file and ssl_context would not be used")
        if self.address.scheme == "shm" and not hasattr(os, "memfd_create"):
            raise ArgumentError(f"'{url}': this system has no memfd_create; use unix:{self.address.path}")
        self.context = None
        if self.address.scheme == "https":
            self.context = ssl_context or ssl.create_default_context(cafile=ca_file)
        self.fields = {"User-Agent": "crop-client", **(headers or {})}
        if api_key is not None:
            self.fields["Authorization"] = f"Bearer {api_key}"
        self._heads: dict[tuple[str, str, str, str], bytes] = {}

    def head(
        self, method: str, path: str, accept: str = "application/json", content_type: str = "", byte_count: int = 0,
        request_id: Optional[str] = None,
    ) -> bytes:  # fmt: skip
        """-> the head of a request, with a body where there is a `content_type`. Its constant part is made once."""
        key = (method, path, accept, content_type)
        known = self._heads.get(key)
        if known is None:
            fields = {**self.fields, "Accept": accept}
            if content_type:
                fields["Content-Type"] = content_type
            known = self._heads[key] = request_head(method, self.address, path, fields)
        if request_id is not None:
            if not request_id.isascii() or not request_id.isprintable():
                raise ArgumentError(f"request_id={request_id!r} cannot stand in a header")
            known = b"%sX-Request-Id: %s\r\n" % (known, request_id.encode())
        if not content_type:
            return known + b"\r\n"
        return b"%sContent-Length: %d\r\n\r\n" % (known, byte_count)

    def call_head(self, call: _arguments.Call, content_type: str, byte_count: int, request_id: Optional[str]) -> bytes:
        """-> the head of one of the operations."""
        return self.head("POST", call.path, call.accept, content_type, byte_count, request_id)


def answer(kind: type[_AnyAnswer], response: Response, request: _arguments.Request, stacklevel: int = 4) -> _AnyAnswer:
    """-> the answer of a successful response; the service's warnings are issued."""
    _, head, body = response
    made = kind(body, head, request.device, request.previous)
    if b"warnings" in body:
        for text in made.warnings:
            warnings.warn(text, CropWarning, stacklevel)
    return made


def listed(response: Response, name: str) -> list[dict[str, Any]]:
    """-> the list under `name` of a JSON response."""
    try:
        found: list[dict[str, Any]] = json.loads(response.body)[name]
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"the answer has no list of {name}: {error}") from error
    return found


class Client:
    """A client of one service: `http://HOST:PORT`, `https://HOST:PORT`, `unix:/PATH`, or `shm:/PATH` for shared memory.

    It may be shared by threads; each call takes a kept-alive connection, or makes one. A call that is answered 429 or
    503, or that loses its connection, is repeated up to `retries` times, after what `Retry-After` asks for and within
    `timeout` seconds in all.

    `api_key` is sent as `Authorization: Bearer`; `ca_file` names the authority of the server's certificate, where the
    system does not know it; `ssl_context` replaces the whole of TLS's settings, client certificates included;
    `headers` are sent with every request.

    The operations take the parameters of the service's contract by name (`docs/requests.md`, `GET /docs`), and tensors
    of numpy or torch as they are: any strides, bfloat16, CUDA. They raise `ArgumentError` for what could be misread,
    `ProblemError` for what the server rejects, `ConnectionFailed` or `RequestTimeout` where no answer came.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, api_key: Optional[str] = None, timeout: float = 30.0, retries: int = 2,
        ca_file: Optional[str] = None, ssl_context: Optional[ssl.SSLContext] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> None:  # fmt: skip
        self._settings = Settings(url, api_key, timeout, retries, ca_file, ssl_context, headers)
        self._requests = _arguments.RequestWriter(self._settings.call_head)
        self._idle: list[Connection] = []
        self._process = os.getpid()

    def prune(self, **arguments: Unpack[_arguments.PruneArguments]) -> PruneAnswer:
        """Chooses the visual tokens to keep.

        Tensors, per image: `attention` [N], [H, N] or [H, Q, N]; `image_features` [N, D]; `text_features` [D] or
        [M, D]; `query` [d] or [H, d] and `key` [N, d] or [H, N, d]; `position_ids` [N] or [3, N]; what else the method
        needs (`GET /methods`), further ones by name in `tensors`. For a batch `layout` is a list, and a tensor is a list
        or has a leading axis. `axes={"attention": "bhqn"}` says which axis is which, in any order.

        Budget: one of `keep_tokens`, `keep_ratio` and `prune_ratio`, or `stages`. With `previous`, the answer of an
        earlier call, the tensors are of the tokens it kept, and the new answer's indices are of the original ones.
        """
        return self._post(_arguments.PRUNE, arguments, PruneAnswer)

    def reselect(self, **arguments: Unpack[_arguments.ReselectArguments]) -> ReselectAnswer:
        """Swaps kept tokens for pruned ones that the model looks at now, while it decodes.

        `previous` is what is kept: the answer of `prune` or of the last `reselect`, or indices; for a batch a list.
        `attention` is over all tokens or over the kept ones alone; `prefill_scores` [N] (an answer's `scores`) or
        `prefill_rank` [N] say what the prefill thought. `max_swaps` and `swap_margin` limit how readily tokens move.
        """
        return self._post(_arguments.RESELECT, arguments, ReselectAnswer)

    def localize(self, **arguments: Unpack[_arguments.LocalizeArguments]) -> LocalizeAnswer:
        """Finds the contextual region from attention, features, or queries and keys; or reads a given `region`."""
        return self._post(_arguments.LOCALIZE, arguments, LocalizeAnswer)

    def compress(self, **arguments: Unpack[_arguments.CompressArguments]) -> CompressAnswer:
        """Turns `image_features` [N, D] into fewer rows, dense in the region and sparse outside."""
        return self._post(_arguments.COMPRESS, arguments, CompressAnswer)

    def compare(self, **arguments: Unpack[_arguments.CompareArguments]) -> CompareAnswer:
        """Prunes one image by each of `methods`: names, or `{"method": ..., "method_parameters": {...}}`.

        Each runs as published: a region shapes the choice of `crop` alone, unless `region_policy` says otherwise; all are
        measured against it. A method that cannot run on these tensors says why in its place.
        """
        return self._post(_arguments.COMPARE, arguments, CompareAnswer)

    def plan(self, **arguments: Unpack[_arguments.PlanArguments]) -> PlanAnswer:
        """Counts the tokens that `prune` with these parameters will keep, without any tensor."""
        return self._post(_arguments.PLAN, arguments, PlanAnswer)

    def methods(self) -> list[dict[str, Any]]:
        """-> every method with its inputs, parameters, paper and deviations; the default first."""
        return listed(self._get("/methods"), "methods")

    def models(self) -> list[dict[str, Any]]:
        """-> the learned localizers and resamplers that are loaded."""
        return listed(self._get("/models"), "models")

    def is_ready(self) -> bool:
        """Whether the service takes requests; False too where nothing listens."""
        settings = self._settings
        head = settings.head("GET", "/readyz")
        try:
            return self._attempt([head], time.monotonic() + settings.timeout, settings.timeout).status == 200
        except (OSError, ProtocolError):
            return False

    def close(self) -> None:
        """Closes the idle connections. The client can be used again."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, call: _arguments.Call, arguments: Any, kind: type[_AnyAnswer]) -> _AnyAnswer:
        request = self._requests.write(call, arguments)
        return answer(kind, self._exchange(request.pieces, arguments.get("timeout")), request)

    def _get(self, path: str) -> Response:
        return self._exchange([self._settings.head("GET", path)], None)

    def _exchange(self, pieces: list[Any], timeout: Optional[float]) -> Response:
        """-> the successful response, after as many attempts as it takes."""
        if timeout is None:
            timeout = self._settings.timeout
        start = time.monotonic()
        deadline = start + timeout
        attempt = 0
        while True:
            wanted, failure = None, None
            try:
                response = self._attempt(pieces, deadline, timeout if attempt == 0 else deadline - time.monotonic())
                if response.status < 300:
                    return response
                wanted = retry_after(response.fields)
                problem = problem_error(response.status, response.body, wanted)
                if not isinstance(problem, Overloaded):
                    raise problem
            except TimeoutError:
                where = self._settings.address
                raise RequestTimeout(f"no answer of {where.path or where.authority} within {timeout} s") from None
            except OSError as error:
                failure = error
                problem = None
            seconds = pause(attempt, wanted, deadline - time.monotonic())
            if attempt >= self._settings.retries or seconds is None:
                if problem is not None:
                    raise problem
                raise _failed(self._settings.address, failure, attempt + 1) from failure
            time.sleep(seconds)
            attempt += 1

    def _attempt(self, pieces: list[Any], deadline: float, timeout: float) -> Response:
        """One request on a kept-alive connection, or on a new one where that has gone stale."""
        if self._process != os.getpid():
            # A forked child must not speak on its parent's connections.
            self._idle, self._process = [], os.getpid()
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            try:
                return self._on(connection, pieces, deadline, timeout)
            except ConnectionLost as lost:
                if not lost.is_stale:
                    raise
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection = Connection(self._settings.address, left, self._settings.context)
        return self._on(connection, pieces, deadline, timeout)

    def _on(self, connection: Connection, pieces: list[Any], deadline: float, timeout: float) -> Response:
        response = connection.exchange(pieces, deadline, timeout)
        if connection.is_open:
            if len(self._idle) < _IDLE_CONNECTIONS:
                self._idle.append(connection)
            else:
                connection.close()
        return response


def _failed(where: Address, failure: Optional[OSError], attempts: int) -> ConnectionFailed:
    name = where.path or where.authority
    times = "" if attempts == 1 else f" in {attempts} attempts"
    return ConnectionFailed(f"{name}: {failure or 'no connection'}{times}; is `crop serve` running there?")
