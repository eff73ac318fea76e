"""What a client is told of a server and of its calls, checked where it is told."""

from __future__ import annotations

import numbers
import os
import ssl
import uuid
from typing import Any, Mapping, Optional, Union

from . import _arguments
from ._wire import Address, address, constant_fields, request_head
from .errors import ArgumentError

# Seconds that the timeouts of every system can be set to.
_LONGEST_TIMEOUT = 1e6


def seconds(timeout: Any) -> float:
    """-> a timeout, checked."""
    if not isinstance(timeout, numbers.Real) or not 0 < float(timeout) <= _LONGEST_TIMEOUT:
        raise ArgumentError(f"timeout={timeout!r:.80}: seconds, more than 0 and at most {_LONGEST_TIMEOUT:,.0f}")
    return float(timeout)


def count(name: str, value: Any, least: int, meaning: str) -> int:
    """-> a whole number, checked."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ArgumentError(f"{name}={value!r:.80}: {meaning}")
    return int(value)


class Settings:
    """What both clients are told, checked once."""

    def __init__(
        self, url: str, api_key: Optional[str], timeout: float, retries: int, ca_file: Union[str, os.PathLike[str], None],
        ssl_context: Optional[ssl.SSLContext], headers: Optional[Mapping[str, str]],
    ) -> None:  # fmt: skip
        self.address: Address = address(url)
        self.timeout = seconds(timeout)
        self.retries = count("retries", retries, 0, "how often a request is repeated, 0 for never")
        if self.address.scheme != "https" and (ca_file or ssl_context):
            raise ArgumentError(f"'{url}' is not encrypted, so ca_file and ssl_context would not be used")
        if self.address.scheme == "shm" and not hasattr(os, "memfd_create"):
            raise ArgumentError(f"'{url}': this system has no memfd_create; use unix:{self.address.path}")
        self.context = _context(ca_file, ssl_context) if self.address.scheme == "https" else None
        self.fields = constant_fields(headers, api_key)
        self._heads: dict[tuple[str, str, str, str], bytes] = {}

    def head(
        self, method: str, path: str, accept: str = "application/json", content_type: str = "", byte_count: int = 0,
        request_id: Union[str, uuid.UUID, None] = None,
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
            known = b"%sX-Request-Id: %s\r\n" % (known, _request_id(request_id))
        if not content_type:
            return known + b"\r\n"
        return b"%sContent-Length: %d\r\n\r\n" % (known, byte_count)

    def call_head(
        self, call: _arguments.Call, content_type: str, byte_count: int, request_id: Union[str, uuid.UUID, None]
    ) -> bytes:
        """-> the head of one of the operations."""
        return self.head("POST", call.path, call.accept, content_type, byte_count, request_id)


def _context(ca_file: Union[str, os.PathLike[str], None], ssl_context: Optional[ssl.SSLContext]) -> ssl.SSLContext:
    if ssl_context is None:
        try:
            return ssl.create_default_context(cafile=ca_file)
        except (OSError, TypeError, ValueError) as error:
            raise ArgumentError(f"ca_file={str(ca_file)!r}: no PEM file of certificates to trust: {error}") from error
    if ca_file:
        raise ArgumentError("ssl_context has authorities of its own, so ca_file would not be used; give one of them")
    if not isinstance(ssl_context, ssl.SSLContext):
        raise ArgumentError(f"ssl_context={ssl_context!r:.80}: an ssl.SSLContext is wanted")
    return ssl_context


def _request_id(given: Union[str, uuid.UUID]) -> bytes:
    text = str(given) if isinstance(given, uuid.UUID) else given
    # The server puts an id of its own in the place of any other.
    if not isinstance(text, str) or not 0 < len(text) <= 128 or not all("!" <= letter <= "~" for letter in text):
        raise ArgumentError(f"request_id={given!r:.160}: 1 to 128 visible ASCII characters, or a uuid.UUID")
    return text.encode()
