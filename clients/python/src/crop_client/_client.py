"""The client on blocking sockets, for any number of threads."""

from __future__ import annotations

import json
import os
import ssl
import time
import warnings
from typing import TYPE_CHECKING, Any, Mapping, Optional, TypeVar, Union

from . import _arguments
from ._connection import Connection, ConnectionLost
from ._retry import pause, retry_after
from ._settings import Settings, seconds
from ._wire import Address, Response
from .answers import Answer, CompareAnswer, CompressAnswer, CropWarning, LocalizeAnswer, PlanAnswer, PruneAnswer, ReselectAnswer
from .errors import ConnectionFailed, CropError, Overloaded, ProtocolError, RequestTimeout, problem_error

if TYPE_CHECKING:
    from typing_extensions import Unpack

_AnyAnswer = TypeVar("_AnyAnswer", bound=Answer)
_IDLE_CONNECTIONS = 16
# OpenSSL's X509_V_ERR_* of a certificate whose issuer is not known: it has signed itself, or another did that is not here.
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})


def answer(kind: type[_AnyAnswer], response: Response, request: _arguments.Request, stacklevel: int = 4) -> _AnyAnswer:
    """-> the answer of a successful response; the service's warnings are issued."""
    _, head, body = response
    made = kind(body, head, request.device, request.previous)
    if kind._mark not in body:
        raise made.foreign()
    if b"warnings" in body:
        for text in made.warnings:
            warnings.warn(text, CropWarning, stacklevel)
    return made


def listed(response: Response, name: str) -> list[dict[str, Any]]:
    """-> the list under `name` of a JSON response."""
    try:
        found: list[dict[str, Any]] = json.loads(response.body)[name]
        if isinstance(found, list):
            return found
    except (ValueError, KeyError, TypeError):
        pass
    raise Answer(response.body, response.head).foreign()


def says_ready(response: Response) -> bool:
    """Whether this is what the service answers when it is ready; others answer 200 to anything."""
    return response.status == 200 and response.body[:1] == b"{" and b'"ready"' in response.body


def failure_of(response: Response, where: Address) -> CropError:
    """-> the exception for a response that is no success."""
    if response.status < 400:
        place = response.fields.get("location")
        return ProtocolError(
            f"{where.path or where.authority} answers {response.status} and "
            + (f"refers to {place!r:.400}: if crop is there, url should say so" if place else "nothing that crop would answer"))
    return problem_error(response.status, response.body, retry_after(response.fields))


class Client:
    """A client of one service: `http://HOST:PORT`, `https://HOST:PORT`, `unix:/PATH`, or `shm:/PATH` for shared memory.

    It may be shared by threads; each call takes a kept-alive connection, or makes one. A call that is answered 408, 429
    or 503, or that loses its connection, is repeated up to `retries` times, after what `Retry-After` asks for and within
    `timeout` seconds in all. Redirections are not followed.

    `api_key` is sent as `Authorization: Bearer`; `ca_file` names the authority of the server's certificate, where the
    system does not know it; `ssl_context` replaces the whole of TLS's settings, client certificates included;
    `headers` are sent with every request: any but those that the client sets itself, `User-Agent` excepted.

    The operations take the parameters of the service's contract by name (`docs/requests.md`, `GET /docs`), and tensors
    of numpy or torch as they are: any strides, bfloat16, CUDA. They raise `ArgumentError` for what could be misread,
    `ProblemError` for what the server rejects, `ConnectionFailed` or `RequestTimeout` where no answer came.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8080", *, api_key: Optional[str] = None, timeout: float = 30.0, retries: int = 2,
        ca_file: Union[str, os.PathLike[str], None] = None, ssl_context: Optional[ssl.SSLContext] = None,
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
        `attention` is over all tokens or over the kept ones alone; `prefill_scores` [N] (an answer's `scores`, which are
        None unless `explain=True` asked for them) or `prefill_rank` [N] (from 1, the best; 0 without one) say what the
        prefill thought, and `prefill_weight` how much that counts. `max_swaps` and `swap_margin` limit how readily tokens
        move.
        """
        return self._post(_arguments.RESELECT, arguments, ReselectAnswer)

    def localize(self, **arguments: Unpack[_arguments.LocalizeArguments]) -> LocalizeAnswer:
        """Finds the contextual region from attention, features, or queries and keys; or reads a given `region`.

        Tensors, per image and in batches as for `prune`: `attention` (with `reference_attention`, that of a generic prompt,
        relative to it), `image_features` [N, D] with `text_features` [D] or [M, D], or `query` [d] or [H, d] with `key`
        [N, d] or [H, N, d]. `localize={"source": ..., "objective": ...}` says how (`docs/localization.md`). A map too flat to
        decide is no error: the answer's `whole_image` is true.
        """
        return self._post(_arguments.LOCALIZE, arguments, LocalizeAnswer)

    def compress(self, **arguments: Unpack[_arguments.CompressArguments]) -> CompressAnswer:
        """Turns `image_features` [N, D] into K rows [K, D], dense in the region and sparse outside.

        Budget: one of `keep_tokens`, `keep_ratio` and `prune_ratio`, or `region_ratio` and `background_ratio`. With `method`
        the tokens are merged as that method does, which may need further tensors and may add rows; `mode="resampler"` asks
        a loaded model. The region is found as by `localize`, or given. `dtype` is the answer's element type, by default that
        of `image_features`.
        """
        return self._post(_arguments.COMPRESS, arguments, CompressAnswer)

    def compare(self, **arguments: Unpack[_arguments.CompareArguments]) -> CompareAnswer:
        """Prunes one image by each of `methods`: names, or `{"method": ..., "method_parameters": {...}}`.

        Each runs as published: a region shapes the choice of `crop` alone, unless `region_policy` says otherwise; all are
        measured against it. A method that cannot run on these tensors says why in its place.
        """
        return self._post(_arguments.COMPARE, arguments, CompareAnswer)

    def plan(self, **arguments: Unpack[_arguments.PlanArguments]) -> PlanAnswer:
        """Counts the tokens that `prune` with these parameters will keep, without any tensor.

        With `model_dimensions` the answer has `savings`; with `break_even` too, such as `{"tflops": 400}`, whether they exceed
        the cost of the call, in milliseconds (`docs/when-to-prune.md`).
        """
        return self._post(_arguments.PLAN, arguments, PlanAnswer)

    def methods(self) -> list[dict[str, Any]]:
        """-> every method with its inputs, parameters, paper and deviations; the default first."""
        return listed(self._get("/methods"), "methods")

    def models(self) -> list[dict[str, Any]]:
        """-> the learned localizers and resamplers that are loaded."""
        return listed(self._get("/models"), "models")

    def is_ready(self) -> bool:
        """Whether the service takes requests; False too where nothing listens, or something else.

        Raises `ConnectionFailed` where a certificate is not accepted, which waiting would not mend.
        """
        settings = self._settings
        head = settings.head("GET", "/readyz")
        try:
            return says_ready(self._attempt([head], time.monotonic() + settings.timeout, settings.timeout))
        except (OSError, ProtocolError) as error:
            if tls_problem(error) is not None:
                raise failed(settings.address, error, 1) from error
            return False

    def close(self) -> None:
        """Closes the idle connections. The client can be used again."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Of a client that nobody closes, as in `Client().prune(...)`; the settings of one that was never made may be wrong.
        if hasattr(self, "_idle"):
            self.close()

    def _post(self, call: _arguments.Call, arguments: Any, kind: type[_AnyAnswer]) -> _AnyAnswer:
        request = self._requests.write(call, arguments)
        return answer(kind, self._exchange(request.pieces, arguments.get("timeout")), request)

    def _get(self, path: str) -> Response:
        return self._exchange([self._settings.head("GET", path)], None)

    def _exchange(self, pieces: list[Any], timeout: Optional[float]) -> Response:
        """-> the successful response, after as many attempts as it takes."""
        timeout = self._settings.timeout if timeout is None else seconds(timeout)
        deadline = time.monotonic() + timeout
        attempt = 0
        while True:
            failure: Optional[OSError] = None
            problem: Optional[Overloaded] = None
            try:
                response = self._attempt(pieces, deadline, timeout if attempt == 0 else deadline - time.monotonic())
                if response.status < 300:
                    return response
                rejection = failure_of(response, self._settings.address)
                if not isinstance(rejection, Overloaded):
                    raise rejection
                problem = rejection
            except TimeoutError:
                where = self._settings.address
                raise RequestTimeout(f"no answer of {where.path or where.authority} within {timeout} s") from None
            except OSError as error:
                failure = error
            attempt += 1
            wanted = None if problem is None else problem.retry_after
            wait = pause(attempt - 1, wanted, deadline - time.monotonic())
            if attempt > self._settings.retries or wait is None or tls_problem(failure) is not None:
                raise problem or failed(self._settings.address, failure, attempt) from failure
            time.sleep(wait)

    def _attempt(self, pieces: list[Any], deadline: float, timeout: float) -> Response:
        """One request on a kept-alive connection, or on a new one where that has gone stale."""
        if self._process != os.getpid():
            # A forked child must not speak on its parent's connections; closing them says nothing.
            self._process = os.getpid()
            self.close()
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


def tls_problem(failure: Optional[BaseException]) -> Optional[str]:
    """-> what is wrong with certificates or TLS, which another attempt would not mend; None for any other failure."""
    lost = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    error = failure.__cause__ if isinstance(failure, ConnectionLost) else failure
    if not isinstance(error, ssl.SSLError) or isinstance(error, lost):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; ca_file names an authority to trust" if error.verify_code in _UNKNOWN_ISSUER else ""
        return f"the server's certificate is not accepted: {error.verify_message}{hint}"
    reason = error.reason or str(error)
    if "ALERT" in reason:
        return f"the server ended TLS: {reason}; if it wants the client's certificate, ssl_context can give one"
    return f"no TLS with this server: {reason}; does it speak TLS at all, or is http:// meant?"


def failed(where: Address, failure: Optional[BaseException], attempts: int) -> ConnectionFailed:
    """-> the exception for a call that got no answer."""
    name = where.path or where.authority
    if (problem := tls_problem(failure)) is not None:
        return ConnectionFailed(f"{name}: {problem}")
    times = "" if attempts == 1 else f" in {attempts} attempts"
    return ConnectionFailed(f"{name}: {failure or 'no connection'}{times}; is `crop serve` running there?")
