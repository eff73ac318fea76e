"""Heads of responses: the quick way to read a usual one never disagrees with the whole way."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crop_client import ProtocolError
from crop_client._wire import Head, read_head, usual_head

STARTS = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content",
                          b"HTTP/1.1 100 Continue", b"HTTP/1.1 503 Busy", b"HTTP/1.1 2000 OK", b"HTTP/2 200", b""])
LINES = st.sampled_from([
    b"Content-Length: 4", b"content-length:4", b"CONTENT-LENGTH: \t4 ", b"Content-Length: 04", b"Content-Length: 5",
    b"Content-Length: +4", b"Content-Length:", b"Connection: close", b"connection: Keep-Alive", b"Transfer-Encoding: chunked",
    b"TRANSFER-ENCODING: gzip", b"X: Content-Length: 9", b"X-Connection: close", b"Date: now", b"Content-Length : 4"])


@settings(max_examples=300, deadline=None, database=None)
@given(STARTS, st.lists(LINES, max_size=4), st.sampled_from([b"", b"body", b"body\r\n\r\n", b"bo"]), st.integers(0, 60))
@example(b"HTTP/1.1 200 OK", [b"Date: now", b"Content-Length: 4"], b"body", 0)
def test_what_is_read_quickly_is_what_is_read_in_full(start, lines, body, cut):
    received = b"\r\n".join([start, *lines, b"", b""]) + body
    received = received[: len(received) - cut]
    size = usual_head(received)
    if size > 0:
        assert read_head(received) == Head(200, size, len(received) - size, False, True)
    if (start, lines, body, cut) == (b"HTTP/1.1 200 OK", [b"Date: now", b"Content-Length: 4"], b"body", 0):
        assert size == len(received) - 4


@pytest.mark.parametrize("fields, wanted", [
    (b"Content-Length: 4\r\n", (4, False, True)), (b"cOnTENT-leNGTH:4 \r\nConnection: Close\r\n", (4, False, False)),
    (b"Content-Length: 4\r\nContent-Length: 9\r\n", (4, False, True)), (b"", (None, False, False)),
    (b"Transfer-Encoding: gzip, Chunked\r\nContent-Length: 4\r\n", (None, True, True))])
def test_fields_that_delimit_a_body(fields, wanted):
    head = read_head(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
    assert (head.length, head.is_chunked, head.keeps_alive) == wanted
    old = read_head(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + fields + b"\r\n")
    assert old.keeps_alive == (wanted != (None, False, False))


@pytest.mark.parametrize("length", [b"-1", b"1_0", b"4, 4", b"9" * 19, b"x", b""])
def test_a_length_that_is_none_is_named(length):
    with pytest.raises(ProtocolError, match="Content-Length"):
        read_head(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n")
