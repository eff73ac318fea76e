"""What can go wrong, as exceptions.

Everything derives from `CropError`. `ArgumentError` is raised before anything is sent; `ProblemError` carries what the
server answered (RFC 9457); `ConnectionFailed` and `RequestTimeout` mean that no answer came.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Optional


class CropError(Exception):
    """Base class of every error of this package."""


class ArgumentError(CropError, ValueError):
    """The arguments cannot be sent as they are: the message says which, what was found and what to do."""


class ConnectionFailed(CropError, ConnectionError):
    """No connection could be made, or it was lost before the whole response had come, on every attempt."""


class RequestTimeout(CropError, TimeoutError):
    """The time given to a call was over before its response had come."""


class ProtocolError(CropError):
    """What came back is not an HTTP/1.1 response, or not of the service: another server's, or a redirection."""


class ProblemError(CropError):
    """The server rejected the request and said why (`application/problem+json`).

    Attributes: `status`, `type` (such as `/problems/invalid-input`, stable), `title`, `detail`, `pointer` (the tensor's
    name or a JSON pointer, or None), `request_id`, `retry_after` (seconds, or None) and `problem`, the whole object.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: Optional[float] = None) -> None:
        self.status = status
        self.problem = dict(problem)
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", ""))
        self.pointer: Optional[str] = problem.get("pointer")
        self.request_id: Optional[str] = problem.get("instance")
        self.retry_after = retry_after
        super().__init__(f"{status} {problem.get('error') or self.detail or self.title}".strip())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.problem, self.retry_after)


class InvalidRequest(ProblemError):
    """4xx: the same request would be rejected again."""


class Unauthorized(InvalidRequest):
    """401: no key, or none that the server knows."""


class NotFound(InvalidRequest):
    """404: no such path; `url` may name another service, or lack a prefix."""


class Overloaded(ProblemError):
    """408, 429 or 503, still after the retries: the server is at capacity or draining, or got the request too slowly."""


class ServerError(ProblemError):
    """5xx other than an overload; also a computation that took longer than the server allows, which repeating would not mend."""


def problem_error(status: int, body: bytes, retry_after: Optional[float]) -> ProblemError:
    """-> the exception for a response that is no success; a body that is no problem object is quoted in `detail`."""
    try:
        problem = json.loads(body)
        if not isinstance(problem, dict):
            raise ValueError
    except ValueError:
        problem = {"detail": body[:500].decode("utf-8", "replace").strip()}
    kind: type[ProblemError]
    if status in (408, 429, 503) and problem.get("type") != "/problems/compute-timeout":
        kind = Overloaded
    elif status >= 500:
        kind = ServerError
    else:
        kind = {401: Unauthorized, 404: NotFound}.get(status, InvalidRequest)
    return kind(status, problem, retry_after)
