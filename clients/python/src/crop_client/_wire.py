"""HTTP/1.1 as far as this client needs it (RFC 9112), without sockets: heads written and read, bodies delimited."""

from __future__ import annotations

import re
from typing import Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from .errors import ArgumentError, ProtocolError

MAXIMUM_HEAD = 64 << 10


class Address(NamedTuple):
    """Where a server listens. `path` is the socket file of a Unix socket; `prefix` precedes every request's path.

    The scheme `shm` is a Unix socket over which bodies are not sent, but shared.
    """

    scheme: str
    host: str
    port: int
    path: str
    prefix: str

    @property
    def authority(self) -> str:
        """The value of `Host`."""
        if self.path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def address(url: str) -> Address:
    """-> what `http://host:port/prefix`, `https://...`, `unix:/path/of.sock` or `shm:/path/of.sock` names."""
    if not isinstance(url, str):
        raise ArgumentError(f"url={url!r:.80}: text is wanted, such as 'http://127.0.0.1:8080'")
    scheme, _, path = url.partition(":")
    if scheme in ("unix", "shm"):
        path = path[2:] if path.startswith("//") else path
        if not path.startswith("/") or "\0" in path:
            raise ArgumentError(f"'{url}': a Unix socket is named by its absolute path, as in {scheme}:/run/crop.sock")
        return Address(scheme, "", 0, path, "")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if ":" not in host:
            # As the name is asked for, and sent in `Host`.
            host = host.encode("idna").decode()
    except ValueError as error:
        raise ArgumentError(f"'{url}': {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ArgumentError(f"'{url}' is none of http://HOST:PORT, https://HOST:PORT, unix:/PATH and shm:/PATH")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ArgumentError(f"'{url}': user names, queries and fragments have no meaning here")
    if not re.fullmatch("[!-~]+", host + parts.path):
        raise ArgumentError(f"{url!r}: its host or path has characters that no request can have; percent-encode those of a path")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return Address(parts.scheme, host, port, "", parts.path.rstrip("/"))


class Head(NamedTuple):
    """A response's head. `length` is None where the end of the connection, or the last chunk, ends the body."""

    status: int
    size: int
    length: Optional[int]
    is_chunked: bool
    keeps_alive: bool


_FRAMING = re.compile(rb"\r\n(connection|transfer-encoding|content-length):[ \t]*([^\r]*)")


def usual_head(received: bytes) -> int:
    """-> the size of the head of what nearly every response is: a 200 that is there as a whole, on a connection that stays.

    0 for any other; then `read_head` says more.
    """
    size = received.find(b"\r\n\r\n") + 4
    if size < 4 or not received.startswith(b"HTTP/1.1 200 "):
        return 0
    # One search of the head in lower case is several times as fast as a pattern that ignores case.
    framing = _FRAMING.findall(received[:size].lower())
    if len(framing) != 1:
        return 0
    name, length = framing[0]
    return size if name == b"content-length" and length == b"%d" % (len(received) - size) else 0


def read_head(received: bytes) -> Optional[Head]:
    """-> the first head in `received`, interim ones (1xx) included, or None while its end has not come."""
    end = received.find(b"\r\n\r\n")
    if end < 0 and len(received) < 13:
        return None
    version, digits = received[:9], received[9:12]
    if version not in (b"HTTP/1.1 ", b"HTTP/1.0 ") or not digits.isdigit() or received[12:13] not in (b" ", b"\r"):
        # A record of TLS, with an alert or of a handshake.
        hint = "; that is TLS: is https:// meant?" if received[:2] in (b"\x15\x03", b"\x16\x03") else ""
        raise ProtocolError(f"not an HTTP/1.1 response: {received[:40]!r}{hint}")
    if end < 0:
        if len(received) > MAXIMUM_HEAD:
            raise ProtocolError(f"the response's head exceeds {MAXIMUM_HEAD} bytes")
        return None
    status = int(digits)
    # Of fields that are there twice the first counts.
    fields = dict(reversed(_FRAMING.findall(received[: end + 2].lower())))
    options = fields.get(b"connection", b"")
    # Whoever answers 408 closes, whether he says so or not (RFC 9110, 15.5.9).
    keeps_alive = status != 408 and b"close" not in options and (version == b"HTTP/1.1 " or b"keep-alive" in options)
    if fields.get(b"transfer-encoding", b"").rstrip().endswith(b"chunked"):
        return Head(status, end + 4, None, True, keeps_alive)
    if status < 200 or status in (204, 304):
        return Head(status, end + 4, 0, False, keeps_alive)
    if b"content-length" not in fields:
        return Head(status, end + 4, None, False, False)
    length = fields[b"content-length"].rstrip()
    if not length.isdigit() or len(length) > 18:
        raise ProtocolError(f"Content-Length is {length!r}")
    return Head(status, end + 4, int(length), False, keeps_alive)


class Fields(Mapping[str, str]):
    """A head's fields by lower-case name; parsed when first asked for."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._known: Optional[dict[str, str]] = None

    def _parsed(self) -> dict[str, str]:
        if self._known is None:
            self._known = {}
            for line in self._head.decode("latin-1").split("\r\n")[1:]:
                name, colon, value = line.partition(":")
                if colon:
                    self._known[name.lower()] = value.strip()
        return self._known

    def __getitem__(self, name: str) -> str:
        return self._parsed()[name.lower()]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())


class Response(NamedTuple):
    """A whole response; its head begins with the status line and holds nothing of an interim response."""

    status: int
    head: bytes
    body: bytes

    @property
    def fields(self) -> Fields:
        return Fields(self.head)


class ChunkDecoder:
    """The body in chunks (RFC 9112, 7.1), fed as it arrives; trailers are read and dropped."""

    def __init__(self) -> None:
        self._held = b""
        self._parts: list[bytes] = []
        self._in_trailers = False
        self.is_complete = False

    def feed(self, data: bytes) -> None:
        """Takes what arrived. Raises `ProtocolError` for what are no chunks."""
        self._held += data
        while not self.is_complete:
            end = self._held.find(b"\r\n")
            if end < 0:
                if len(self._held) > MAXIMUM_HEAD:
                    raise ProtocolError("a chunk's first line is too long")
                return
            line = self._held[:end]
            if self._in_trailers:
                self._held = self._held[end + 2 :]
                self.is_complete = not line
                continue
            try:
                size = int(line.partition(b";")[0].strip(), 16)
            except ValueError:
                raise ProtocolError(f"not the size of a chunk: {line[:20]!r}") from None
            if size == 0:
                self._held = self._held[end + 2 :]
                self._in_trailers = True
            elif len(self._held) < end + 2 + size + 2:
                return
            else:
                self._parts.append(self._held[end + 2 : end + 2 + size])
                self._held = self._held[end + 2 + size + 2 :]

    @property
    def body(self) -> bytes:
        """What the chunks hold so far."""
        return b"".join(self._parts)


# What the client says of a request itself, or could not do as the field promises; said twice it could be read in two ways.
_OWN_FIELDS = {
    "host": "it follows from url", "x-request-id": "request_id of a call sets it", "authorization": "api_key sets it",
    "accept-encoding": "answers are read as they are", "crop-shared-memory": "shm:/PATH uses it",
    **dict.fromkeys((
        "accept", "connection", "content-encoding", "content-length", "content-type", "expect", "keep-alive", "te", "trailer",
        "transfer-encoding", "upgrade"), "the client sets it"),
}  # fmt: skip


def constant_fields(headers: Optional[Mapping[str, str]], api_key: Optional[str]) -> dict[str, str]:
    """-> the fields that every request has. Raises `ArgumentError` for what cannot be sent, or not beside the client's own."""
    if headers is not None and not isinstance(headers, Mapping):
        raise ArgumentError(f"headers={headers!r:.80}: a mapping of names to values is wanted")
    fields: dict[str, str] = {}
    names = set()
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ArgumentError(f"headers: {name!r} is not the name of a field")
        known = name.lower()
        if known in _OWN_FIELDS and (known != "authorization" or api_key is not None):
            raise ArgumentError(f"headers: {name} cannot be among them: {_OWN_FIELDS[known]}")
        if known in names:
            raise ArgumentError(f"headers: {name} is there twice")
        names.add(known)
        fields[name] = _value(name, value)
    if "user-agent" not in names:
        fields["User-Agent"] = "crop-client"
    if api_key is not None:
        key = _value("api_key", api_key)
        if not key or " " in key or "\t" in key:
            raise ArgumentError("api_key: a key is wanted as the server's file has it, without spaces and without 'Bearer ' before it")
        fields["Authorization"] = "Bearer " + key
    return fields


def _value(name: str, value: str) -> str:
    # Which may be a key, so that no message shows it.
    if not isinstance(value, str):
        raise ArgumentError(f"{name}: its value is {type(value).__name__}, not text")
    if not re.fullmatch("[\t -~]*", value):
        raise ArgumentError(f"{name}: its value has line ends or other characters that cannot stand in a header")
    return value


def request_head(method: str, target: Address, path: str, fields: Mapping[str, str]) -> bytes:
    """-> the head of a request but for the fields that differ from request to request, and its end."""
    lines = [f"{method} {target.prefix}{path} HTTP/1.1", f"Host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
