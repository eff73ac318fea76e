"""RFC 9110 and RFC 9112 over a real socket: every case whole and byte by byte, with a request behind it.

What follows a framing error must never be read as a request, and what follows a good message always must.
"""
import dataclasses

import pytest
from bodies import PRUNE, TINY, TINY_KEPT
from wire import Connection, chunked, request

CHUNKED = ("Transfer-Encoding", "chunked")


def post(*fields, body=b"", version="HTTP/1.1", target=PRUNE):
    return request("POST", target, fields, version=version) + body


def get(*lines, start="GET /livez HTTP/1.1", host="Host: a"):
    return "\r\n".join(filter(None, (start, host, *lines))).encode("latin-1") + b"\r\n\r\n"


@dataclasses.dataclass
class Case:
    name: str
    section: str
    data: bytes
    status: int
    #: Whether the connection lives on; where it does, the next request on it is answered.
    lives: bool
    to: str = "GET"


def refused(name, section, data, status=400):
    return Case(name, section, data, status, lives=False)


def served(name, section, data, status=200, lives=True, to="GET"):
    return Case(name, section, data, status, lives, to)


CASES = [
    # What is served.
    served("keep-alive by default", "9112 9.3", get()),
    served("Connection: close is honoured", "9112 9.6", get("Connection: close"), lives=False),
    served("close among other options", "9110 7.6.1", get("Connection: keep-alive, Close"), lives=False),
    served("HTTP/1.0 closes", "9112 9.3", get(start="GET /livez HTTP/1.0"), lives=False),
    served("HTTP/1.0 with keep-alive lives", "9112 9.3", get("Connection: keep-alive", start="GET /livez HTTP/1.0")),
    served("HTTP/1.0 without Host", "9112 3.2", get(start="GET /livez HTTP/1.0", host=""), lives=False),
    served("HTTP/1.7 is served as 1.1", "9110 6.2", get(start="GET /livez HTTP/1.7")),
    served("one empty line before the request", "9112 2.2", b"\r\n" + get()),
    served("HEAD has no body", "9110 9.3.2", get(start="HEAD /livez HTTP/1.1"), to="HEAD"),
    served("OPTIONS of a path", "9110 9.3.7", get(start="OPTIONS /prune HTTP/1.1"), 204),
    served("OPTIONS of the server", "9112 3.2.4", get(start="OPTIONS * HTTP/1.1"), 204),
    served("absolute form", "9112 3.2.2", get(start="GET http://b:80/livez HTTP/1.1")),
    served("names in any case", "9110 5.1", get("CoNNecTioN: keep-alive", host="hOST: a")),
    served("no space behind the colon", "9112 5.1", get(host="Host:a")),
    served("spaces and tabs around a value", "9112 5.1", get("Accept: \t */* \t ")),
    served("an empty value", "9112 5", get("X-Empty:")),
    served("bytes above 127 in a value", "9110 5.5", get("X-Name: J\xfcrgen")),
    served("Content-Length", "9112 6.2", post(("Content-Length", len(TINY)), body=TINY)),
    served("chunked", "9112 7.1", post(CHUNKED, body=chunked(TINY))),
    served("chunked in upper case", "9112 7", post(("transfer-encoding", "CHUNKED"), body=chunked(TINY))),
    served("one-byte chunks", "9112 7.1", post(CHUNKED, body=chunked(TINY, 1))),
    served("chunk sizes in upper case with zeros", "9112 7.1",
           post(CHUNKED, body=b"000%X\r\n%b\r\n000\r\n\r\n" % (len(TINY), TINY))),
    served("chunk extensions are skipped", "9112 7.1.1",
           post(CHUNKED, body=b'%x;a=1;b="c"\r\n%b\r\n0;z\r\n\r\n' % (len(TINY), TINY))),
    served("trailers are dropped", "9112 7.1.2",
           post(CHUNKED, body=chunked(TINY)[:-2] + b"Content-Length: 3\r\nX-Trailer: y\r\n\r\n")),
    served("a GET with a small body", "9110 9.3.1", get("Content-Length: 3") + b"abc"),
    # Answers that are errors but leave the framing intact.
    served("404 lives on", "9110 15.5.5", get(start="GET /nowhere HTTP/1.1"), 404),
    served("405 lives on", "9110 15.5.6", get(start="GET /prune HTTP/1.1"), 405),
    served("an unknown method", "9110 9.1", get(start="BREW /prune HTTP/1.1"), 405),
    served("lower-case methods are other methods", "9110 9.1", get(start="get /livez HTTP/1.1"), 405),
    served("POST without a body", "9110 8.6", post(), 400),
    served("an empty body", "9110 8.6", post(("Content-Length", 0)), 400),
    served("422 lives on", "9110 15.5.21", post(("Content-Length", 2), body=b"{}"), 422),
    # Request line.
    refused("two spaces", "9112 3", get(start="GET  /livez HTTP/1.1")),
    refused("a space at the end", "9112 3", get(start="GET /livez HTTP/1.1 ")),
    refused("no version", "9112 3", get(start="GET /livez")),
    refused("a tab for a space", "9112 3", get(start="GET\t/livez HTTP/1.1")),
    refused("http in lower case", "9112 2.3", get(start="GET /livez http/1.1")),
    refused("HTTP/2.0", "9110 15.6.6", get(start="GET /livez HTTP/2.0"), 505),
    refused("a version of three parts", "9112 2.3", get(start="GET /livez HTTP/1.1.1")),
    refused("a relative target", "9112 3.2", get(start="GET livez HTTP/1.1")),
    refused("a control byte in the target", "9112 3.2", get(start="GET /li\x01vez HTTP/1.1")),
    refused("NUL in the target", "9112 3.2", get(start="GET /li\0vez HTTP/1.1")),
    refused("a method that is no token", "9112 3.1", get(start="G@T /livez HTTP/1.1")),
    # Lines and fields.
    refused("LF alone", "9112 2.2", b"GET /livez HTTP/1.1\nHost: a\n\n"),
    refused("CR inside a value", "9112 2.2", get("X: a\rb")),
    refused("NUL in a value", "9110 5.5", get("X: a\0b")),
    refused("a control byte in a value", "9110 5.5", get("X: a\x07b")),
    refused("a space before the colon", "9112 5.1", get("Content-Length : 0")),
    refused("a folded line", "9112 5.2", get("X: a\r\n b")),
    refused("a space before the first field", "9112 2.2", get(host=" Host: a")),
    refused("an empty name", "9112 5", get(": a")),
    refused("a name that is no token", "9112 5", get("X(y): a")),
    refused("a line without a colon", "9112 5", get("nonsense")),
    refused("no Host", "9112 3.2", get(host="")),
    refused("two Hosts", "9112 3.2", get("Host: a")),
    refused("a Host with a path", "9112 3.2", get(host="Host: a/b")),
    refused("a Host with user information", "9112 3.2", get(host="Host: u@a")),
    # Body framing.
    refused("both lengths", "9112 6.3", post(CHUNKED, ("Content-Length", 4), body=b"0\r\n\r\n")),
    refused("both lengths, the other way round", "9112 6.3",
            post(("Content-Length", 4), CHUNKED, body=b"0\r\n\r\n")),
    refused("differing lengths", "9112 6.3", post(("Content-Length", 1), ("Content-Length", 2), body=b"{}")),
    refused("a list of lengths", "9112 6.3", post(("Content-Length", "1, 2"), body=b"{}")),
    refused("a signed length", "9110 8.6", post(("Content-Length", "+2"), body=b"{}")),
    refused("a negative length", "9110 8.6", post(("Content-Length", "-2"), body=b"{}")),
    refused("a hexadecimal length", "9110 8.6", post(("Content-Length", "0x2"), body=b"{}")),
    refused("an empty length", "9110 8.6", post(("Content-Length", ""), body=b"{}")),
    refused("a length of 2^64", "9110 8.6", post(("Content-Length", 1 << 64), body=b"{}")),
    refused("chunked twice", "9112 6.1", post(CHUNKED, CHUNKED, body=chunked(TINY))),
    refused("chunked twice in a list", "9112 6.1", post(("Transfer-Encoding", "chunked, chunked"), body=chunked(TINY))),
    refused("chunked is not last", "9112 6.3", post(("Transfer-Encoding", "chunked, identity"), body=chunked(TINY))),
    refused("identity", "9112 6.1", post(("Transfer-Encoding", "identity"), body=TINY)),
    refused("a look-alike of chunked", "9112 6.1", post(("Transfer-Encoding", "xchunked"), body=chunked(TINY))),
    refused("vertical tab before chunked", "9110 5.5", post(("Transfer-Encoding", "\x0bchunked"), body=chunked(TINY))),
    refused("gzip as transfer coding", "9112 6.1", post(("Transfer-Encoding", "gzip, chunked"), body=chunked(TINY)), 501),
    refused("chunked in HTTP/1.0", "9112 6.1", post(CHUNKED, body=chunked(TINY), version="HTTP/1.0")),
    refused("an unknown expectation", "9110 10.1.1",
            post(("Expect", "tea"), ("Content-Length", len(TINY)), body=TINY), 417),
    # Chunks.
    refused("a chunk size that is no number", "9112 7.1", post(CHUNKED, body=b"x\r\n")),
    refused("a signed chunk size", "9112 7.1", post(CHUNKED, body=b"+2\r\n{}\r\n0\r\n\r\n")),
    refused("a chunk size with 0x", "9112 7.1", post(CHUNKED, body=b"0x2\r\n{}\r\n0\r\n\r\n")),
    refused("a chunk size above 2^64", "9112 7.1", post(CHUNKED, body=b"10000000000000002\r\n{}\r\n0\r\n\r\n"), 413),
    refused("a space before the chunk size", "9112 7.1", post(CHUNKED, body=b" 2\r\n{}\r\n0\r\n\r\n")),
    refused("LF alone behind a chunk size", "9112 7.1", post(CHUNKED, body=b"2\n{}\r\n0\r\n\r\n")),
    refused("LF alone in an extension", "9112 7.1.1", post(CHUNKED, body=b"2;a\nxx\r\n{}\r\n0\r\n\r\n")),
    refused("a chunk longer than its size", "9112 7.1", post(CHUNKED, body=b"1\r\n{}\r\n0\r\n\r\n")),
    refused("a chunk without its line end", "9112 7.1", post(CHUNKED, body=b"2\r\n{}0\r\n\r\n")),
    refused("a trailer that is no field", "9112 7.1.2", post(CHUNKED, body=chunked(TINY)[:-2] + b"nonsense\r\n\r\n")),
    refused("an endless extension", "9112 7.1.1", post(CHUNKED, body=b"2;" + b"a" * 2000 + b"\r\n{}\r\n0\r\n\r\n")),
]

BEHIND = request(target="/methods/topk", fields=[("X-Request-Id", "behind")])


@pytest.mark.parametrize("delivery", ["whole", "byte by byte", "two writes"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} ({case.section})")
def test_framing(server, case, delivery):
    with Connection(server.port) as connection:
        data = case.data + BEHIND
        if delivery == "byte by byte":
            connection.send_bytewise(data)
        elif delivery == "two writes":
            connection.send_bytewise(data, step=max(1, len(data) * 3 // 5))
        else:
            connection.send(data)
        answer = connection.read_answer(case.to)
        assert answer.status == case.status, answer.body
        if case.data.startswith(b"POST") and case.status == 200:
            assert answer.json["kept_indices"] == TINY_KEPT
        if case.status >= 400:
            assert answer.field("Content-Type") == "application/problem+json"
            assert answer.json["status"] == case.status
        if case.lives:
            assert not answer.closes
            behind = connection.read_answer()
            assert (behind.status, behind.field("X-Request-Id")) == (200, "behind")
        else:
            assert answer.closes
            assert connection.is_closed_by_server()


LARGE = [
    ("request line of 8,193 bytes", request(target="/" + "a" * (8193 - len("GET / HTTP/1.1"))), 414),
    ("request line of 8,192 bytes", request(target="/" + "a" * (8192 - len("GET / HTTP/1.1"))), 404),
    ("request line without end", b"GET /" + b"a" * 100_000, 414),
    ("head of 70 kB", request(fields=[("X-Long", "a" * 70_000)]), 431),
    ("head without end", b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, 431),
    ("200 fields", request(fields=[("X", "a")] * 199), 200),
    ("201 fields", request(fields=[("X", "a")] * 200), 431),
]


@pytest.mark.parametrize("step", [1 << 20, 1000], ids=["whole", "in pieces"])
@pytest.mark.parametrize("name, data, status", LARGE, ids=[case[0] for case in LARGE])
def test_head_limits(server, name, data, status, step):
    """RFC 9110 section 15.5.15, RFC 6585 section 5: enforced at the byte that crosses the limit."""
    with Connection(server.port) as connection:
        connection.send_bytewise(data, step)
        answer = connection.read_answer()
        assert answer.status == status
        if status in (414, 431):
            assert answer.closes and connection.is_closed_by_server()
        else:
            assert connection.is_alive()


def test_split_at_every_byte_gives_the_same_answer(server):
    """A POST in two writes, split at each place in turn, on one connection."""
    data = request("POST", PRUNE, [CHUNKED]) + chunked(TINY)
    with Connection(server.port) as connection:
        bodies = set()
        for split in range(1, len(data)):
            connection.send(data[:split])
            connection.send(data[split:])
            bodies.add(connection.read_answer().body)
        assert len(bodies) == 1 and b'"kept_indices":[2,3]' in bodies.pop()


@pytest.mark.parametrize("prefix", [
    b"PROXY TCP4 192.0.2.1 192.0.2.2 51000 80\r\n", b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xc7\x38\x00\x50"])
def test_a_header_of_the_proxy_protocol_is_named(connection, prefix):
    connection.send(prefix + request())
    answer = connection.read_answer()
    assert answer.status == 400 and "PROXY protocol" in answer.json["detail"]
