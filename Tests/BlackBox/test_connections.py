"""What happens to connections: limits, time, half-closed and reset peers, and the load of others."""
import concurrent.futures
import contextlib
import io
import signal
import socket
import ssl
import threading
import time

import numpy as np
import pytest
from bodies import PRUNE, TINY, TINY_KEPT, features, npy
from server import Server
from wire import Closed, Connection, chunked, request

EXPECT = ("Expect", "100-continue")


def post(body=TINY, *fields, target=PRUNE):
    return request("POST", target, fields, body)


def heavy(tokens=1024, width=256):
    """A request that computes for a while: farthest-point search over many tokens."""
    body = npy(features(tokens, width))
    return request("POST", f"/prune?method=divprune&tensor=image_features&keep_tokens={tokens // 2}", body=body)


# Order and ends.


def test_pipelined_requests_are_answered_in_order(connection):
    """RFC 9112 section 9.3.2; computed and immediate answers alternate."""
    batch = b"".join(
        post(TINY, ("X-Request-Id", f"p{n}"), target=PRUNE.replace("topk", "topk" if n % 2 else "%74opk"))
        + request(fields=[("X-Request-Id", f"g{n}")]) for n in range(100))
    connection.send(batch)
    for n in range(100):
        for letter in "pg":
            answer = connection.read_answer()
            assert (answer.status, answer.field("X-Request-Id")) == (200, f"{letter}{n}")


def test_pipelined_bodies_of_all_framings(connection):
    connection.send(post() + request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + chunked(TINY) + post())
    assert [connection.read_answer().json["kept_indices"] for _ in range(3)] == [TINY_KEPT] * 3


def test_half_closed_client_gets_its_answer(connection):
    """RFC 9112 section 9.6: the end of the client's stream is not the end of its interest."""
    connection.send(post())
    connection.finish_sending()
    answer = connection.read_answer()
    assert answer.json["kept_indices"] == TINY_KEPT
    assert connection.is_closed_by_server()


def test_half_closed_client_gets_the_answer_to_a_long_computation(connection):
    connection.send(heavy())
    connection.finish_sending()
    assert connection.read_answer().status == 200


@pytest.mark.parametrize("data", [b"GET /li", request("POST", PRUNE, body=TINY)[:-5]], ids=["head", "body"])
def test_an_end_inside_a_request_is_answered_400(connection, data):
    connection.send(data)
    connection.finish_sending()
    answer = connection.read_answer()
    assert answer.status == 400 and "ended inside" in answer.json["detail"]
    assert connection.is_closed_by_server()


def test_connect_and_leave_is_silent(connection):
    connection.finish_sending()
    assert connection.is_closed_by_server()


def test_slow_drip_gives_the_same_answer(connection):
    """One byte every 2 ms, head and body."""
    for byte in post():
        connection.send(bytes([byte]))
        time.sleep(0.002)
    assert connection.read_answer().json["kept_indices"] == TINY_KEPT


def test_a_slow_reader_gets_everything(server):
    array = npy(features(2048, 256))
    with Connection(server.port) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(request(
            "POST", "/compress?keep_tokens=2048", [("Accept", "application/x-npy")], array))
        time.sleep(0.5)
        answer = connection.read_answer()
        assert answer.status == 200
        assert np.load(io.BytesIO(answer.body)).shape == (2048, 256)


# Expect.


def test_expect_is_answered_before_the_body(connection):
    """RFC 9110 section 10.1.1; curl waits a second for it."""
    head = post(TINY, EXPECT)[:-len(TINY)]
    connection.send(head)
    assert connection.read_head().status == 100
    connection.send(TINY)
    assert connection.read_answer().json["kept_indices"] == TINY_KEPT


def test_expect_without_waiting_needs_no_interim_answer(connection):
    connection.send(post(TINY, EXPECT))
    answer = connection.read_answer()
    assert answer.status in (100, 200)
    if answer.status == 100:
        assert connection.read_answer().status == 200


@pytest.mark.parametrize("target, fields, length, status", [
    ("/nowhere", [], 10, 404),
    (PRUNE, [("Content-Type", "application/x-tar")], 10, 415),
    (PRUNE, [], 1 << 40, 413),
    ("/livez", [], 10, 405),
])
def test_expect_is_refused_with_the_final_status(connection, target, fields, length, status):
    connection.send(request("POST", target, [EXPECT, *fields, ("Content-Length", length)]))
    assert connection.read_answer().status == status


def test_expect_in_http_1_0_is_ignored(connection):
    """RFC 9110 section 10.1.1: a 1.0 client does not understand 100."""
    head = request("POST", PRUNE, [EXPECT, ("Content-Length", len(TINY))], version="HTTP/1.0")
    connection.send(head)
    time.sleep(0.1)
    connection.send(TINY)
    assert connection.read_answer().status == 200


# Sizes.


def test_body_limits():
    with Server("--max-body-bytes", "1KiB") as server:
        large = b'{"attention":[' + b"0," * 600 + b"0]}"
        for data in (
            request("POST", PRUNE, [("Content-Length", 1025)]),
            request("POST", PRUNE, [("Content-Length", 1025)]) + large,
            request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + chunked(large, 100),
            request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + b"401\r\n",
        ):
            with Connection(server.port) as connection:
                connection.send(data)
                answer = connection.read_answer()
                assert answer.status == 413 and answer.closes
                assert "1024 bytes" in answer.json["detail"] and "--max-body-bytes" in answer.json["detail"]
                assert connection.is_closed_by_server()
        with Connection(server.port) as connection:
            exact = TINY + b" " * (1024 - len(TINY))
            assert connection.exchange(post(exact)).status == 200
            assert connection.exchange(
                request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + chunked(exact, 64)).status == 200


def test_a_client_that_sends_on_after_413_still_reads_it(server):
    """Closing with unread bytes would reset the connection and destroy the answer."""
    with Connection(server.port) as connection:
        connection.send(request("POST", PRUNE, [("Content-Length", 100 << 20)]))
        sender = threading.Thread(target=connection.send_bytewise, args=(b"x" * (2 << 20), 65536))
        sender.start()
        assert connection.read_answer().status == 413
        sender.join(20)


# Time.


@pytest.fixture(scope="module")
def hasty():
    with Server("--header-timeout", "300ms", "--body-timeout", "300ms", "--idle-timeout", "700ms") as server:
        yield server


@pytest.mark.parametrize("data, word", [
    (b"GET /livez HT", "head"), (post()[:-3], "body"),
    (request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + b"5\r\nab", "body")])
def test_slow_requests_are_answered_408(hasty, data, word):
    """RFC 9110 section 15.5.9."""
    with Connection(hasty.port) as connection:
        connection.send(data)
        start = time.monotonic()
        answer = connection.read_answer()
        assert time.monotonic() - start > 0.2
        assert answer.status == 408 and answer.closes and word in answer.json["detail"]
        assert connection.is_closed_by_server()


def test_dripping_does_not_extend_the_head_timeout(hasty):
    with Connection(hasty.port) as connection:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in request(fields=[("X-Long", "a" * 2000)]):
                connection.send(bytes([byte]))
                time.sleep(0.02)
                if time.monotonic() - start > 3:
                    raise AssertionError("the head may take for ever")
        answer = connection.read_answer()
        assert answer.status == 408


def test_an_idle_connection_is_closed_silently(hasty):
    with Connection(hasty.port) as connection:
        assert connection.is_alive()
        assert connection.is_closed_by_server()


def test_a_large_body_in_time_outlives_the_body_timeout(hasty):
    """Bytes that arrive earn time: only slow clients are cut off."""
    body = npy(features(1024, 256))
    data = request("POST", "/prune?method=divprune&tensor=image_features&keep_tokens=4", body=body)
    with Connection(hasty.port) as connection:
        step = len(data) // 10
        for start in range(0, len(data), step):
            connection.send(data[start:start + step])
            time.sleep(0.06)
        assert connection.read_answer().status == 200


# Peers that misbehave.


def test_tls_on_the_plain_port_is_told_so(server, connection):
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    answer = connection.exchange(outgoing.read())
    assert answer.status == 400 and "TLS" in answer.json["detail"]
    assert connection.is_closed_by_server()


def test_garbage_is_answered_400(connection):
    connection.send(bytes(range(128, 256)) * 4 + b"\r\n")
    assert connection.read_answer().status == 400


def test_resets_at_every_stage_leave_nothing_behind():
    with Server() as server:
        with Connection(server.port) as connection:
            assert connection.is_alive()
        before = server.settled_descriptor_count(0, seconds=0.5)
        data = post()
        for cut in range(len(data) + 1):
            connection = Connection(server.port)
            connection.send(data[:cut])
            connection.reset()
        for _ in range(4):
            connection = Connection(server.port)
            connection.send(heavy())
            connection.reset()
        assert server.settled_descriptor_count(before) <= before
        with Connection(server.port) as connection:
            assert connection.is_alive()
        # What is computed for a client that left is computed to its end, then everything is given back.
        server.wait_for_metric("crop_requests_in_flight 0", seconds=20)
        server.wait_for_metric("crop_request_body_bytes_in_flight 0")


def test_descriptors_return_to_their_start_after_2000_connections():
    with Server() as server:
        with Connection(server.port) as connection:
            assert connection.is_alive()
        before = server.settled_descriptor_count(0, seconds=0.5)

        def churn(worker):
            for n in range(250):
                connection = Connection(server.port)
                kind = (n + worker) % 5
                if kind == 0:
                    assert connection.is_alive()
                elif kind == 1:
                    assert connection.exchange(post()).status == 200
                elif kind == 2:
                    connection.send(post()[:-9])
                elif kind == 3:
                    connection.send(b"nonsense\r\n\r\n")
                if kind in (2, 4):
                    connection.reset()
                else:
                    connection.close()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(churn, range(8)))
        assert server.settled_descriptor_count(before) <= before
        idle = server.cpu_seconds()
        time.sleep(0.5)
        assert server.cpu_seconds() - idle < 0.2, "an idle server must not spin"


def test_no_answer_is_cut_short_by_a_close(server):
    """Connection: close with a pipelined request behind it: the answer arrives whole, the rest is not answered."""
    for _ in range(50):
        with Connection(server.port) as connection:
            connection.send(post(TINY, ("Connection", "close")) + request() * 20)
            assert connection.read_answer().status == 200
            with pytest.raises((Closed, ConnectionResetError)):
                connection.read_answer()


def test_pipelined_requests_take_turns_with_those_of_others():
    """All of them came in one read, and take many times as long as a turn of the event loop."""
    wrong = [b'{"attention":[1,2],"keep_tokens":1,"method":"%d%s"}' % (number, b"x" * 30) for number in range(100)]
    batch = b"".join(request("POST", "/prune", body=body) for body in wrong)
    assert len(batch) < 16 << 10
    with Server("--event-loops", "1") as server, Connection(server.target) as many, Connection(server.target) as one:
        assert many.is_alive() and one.is_alive()
        # Both are there when the server looks.
        server.send_signal(signal.SIGSTOP)
        many.send(batch)
        many.finish_sending()
        one.send(request(target="/info"))
        server.send_signal(signal.SIGCONT)
        for _ in wrong:
            assert many.read_answer().status == 422
        assert many.is_closed_by_server()
        assert one.read_answer().status == 200
        server.wait_for_line("route=/info")
        routes = [line.partition("route=")[2].split()[0] for line in server.lines if "route=" in line]
        assert routes.index("/info") < len(wrong) / 2
