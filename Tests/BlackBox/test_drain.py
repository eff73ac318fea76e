"""The end of the program: nothing accepted is lost, probes tell the truth meanwhile, a second signal means now."""
import signal
import time

import pytest
from bodies import PRUNE, TINY, TINY_KEPT, features, npy
from load import Load
from server import Server
from wire import Closed, Connection, request

POST = request("POST", PRUNE, body=TINY)


def heavy(tokens):
    return request("POST", f"/prune?method=divprune&tensor=image_features&keep_tokens={tokens // 2}",
                   body=npy(features(tokens, 64)))


def check_nothing_is_lost(server, load):
    assert (load.counts["lost"], load.counts["wrong"]) == (0, 0), load.faults[:5]
    assert not [line for line in server.lines if line and "broken" in line]


@pytest.mark.parametrize("delay", ["0", "300ms"])
@pytest.mark.parametrize("data, check", [
    (POST, lambda answer: answer.json["kept_indices"] == TINY_KEPT),
    (heavy(256), lambda answer: len(answer.json["kept_indices"]) == 128),
], ids=["small", "computed"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_no_request_is_lost_when_the_server_stops_under_load(every_transport, delay, data, check, number):
    server = Server("--drain-delay", delay, *every_transport)
    with Load(server.target, data, 8, check) as kept, Load(server.target, data, 8, check, keep_alive=False) as fresh:
        kept.wait_for_answers(40)
        fresh.wait_for_answers(40)
        server.send_signal(number)
        assert server.process.wait(timeout=30) == 0
        for load in (kept, fresh):
            load.join(30)
    for load in (kept, fresh):
        check_nothing_is_lost(server, load)
        assert load.counts["refused"] == 8


def test_many_stops_under_load_lose_nothing(every_transport):
    """The moment between the last answer and the close is short: ten tries, with new connections all the time."""
    for _ in range(10):
        server = Server("--event-loops", "2", *every_transport)
        with Load(server.target, request(), clients=24, keep_alive=False) as load:
            load.wait_for_answers(150)
            server.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=30) == 0
            load.join(30)
        check_nothing_is_lost(server, load)


def test_probes_while_draining():
    with Server("--drain-delay", "2s") as server:
        with Connection(server.port) as kept, Connection(server.port) as other:
            assert kept.is_alive() and other.exchange(request(target="/readyz")).status == 200
            server.send_signal(signal.SIGTERM)
            server.wait_for_line("draining")
            answer = other.exchange(request(target="/readyz"))
            assert (answer.status, answer.json["status"]) == (503, "draining")
            assert answer.field("Retry-After")
            # Readiness turns first; each event loop announces the end as soon as it has heard of it.
            while not answer.closes:
                answer = other.exchange(request(target="/readyz"))
            assert other.is_closed_by_server()
            # A new connection may come to a loop that has not.
            for asked in request(target="/livez"), POST:
                answer = None
                while answer is None or not answer.closes:
                    with Connection(server.port) as fresh:
                        answer = fresh.exchange(asked)
                    assert answer.status == 200
            answer = kept.exchange(POST)
            assert answer.json["kept_indices"] == TINY_KEPT and answer.closes
        assert server.process.wait(timeout=20) == 0
        with pytest.raises(ConnectionRefusedError):
            Connection(server.port)


def test_requests_begun_before_the_signal_are_finished():
    """A half-sent head, a half-sent body and a running computation at the moment of the signal."""
    with Server() as server:
        with Connection(server.port) as head, Connection(server.port) as body, Connection(server.port) as busy:
            for connection in (head, body, busy):
                assert connection.is_alive()
            head.send(POST[:20])
            body.send(POST[:-4])
            busy.send(heavy(2048))
            # More than the small body: the large one has been announced, too.
            server.wait_for_metric("crop_request_body_bytes_in_flight [0-9]{5,}")
            server.send_signal(signal.SIGTERM)
            server.wait_for_line("draining")
            time.sleep(0.2)
            head.send(POST[20:])
            body.send(POST[-4:])
            for connection in (head, body):
                answer = connection.read_answer()
                assert answer.status == 200 and answer.closes
            # A fast machine may have answered before the signal.
            assert busy.read_answer().status == 200
        assert server.process.wait(timeout=20) == 0


def test_pipelined_requests_are_finished():
    with Server() as server:
        with Connection(server.port) as connection:
            connection.send(POST * 50)
            answer = connection.read_answer()
            server.send_signal(signal.SIGTERM)
            count = 1
            # Either an answer announces the end, or all were answered before the signal arrived.
            while count < 50 and not answer.closes:
                answer = connection.read_answer()
                assert answer.status == 200
                count += 1
            assert connection.is_closed_by_server()
        assert server.process.wait(timeout=20) == 0


def test_the_last_connection_to_close_ends_the_server_whichever_loop_has_it():
    """The end must not be missed when connections close while the loops are told to stop, one after the other."""
    for _ in range(40):
        server = Server("--event-loops", "4")
        connections = [Connection(server.port) for _ in range(4)]
        for connection in connections:
            assert connection.is_alive()
        server.send_signal(signal.SIGTERM)
        for connection in connections:
            connection.close()
        assert server.process.wait(timeout=10) == 0


def test_idle_connections_do_not_delay_the_end():
    server = Server()
    idle = [Connection(server.port) for _ in range(50)]
    for connection in idle:
        assert connection.is_alive()
    server.send_signal(signal.SIGTERM)
    # Waiting for them would take the shutdown timeout of 30 s.
    assert server.process.wait(timeout=20) == 0
    for connection in idle:
        assert connection.is_closed_by_server()
        connection.close()


def test_the_shutdown_timeout_ends_a_stuck_request():
    server = Server("--shutdown-timeout", "500ms")
    with Connection(server.port) as connection:
        connection.send(POST[:-4])
        server.wait_for_metric("crop_request_body_bytes_in_flight [1-9][0-9]*")
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        # The default would be 30 s.
        server.process.wait(timeout=20)
        assert time.monotonic() - start > 0.4


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_second_signal_stops_at_once(first):
    server = Server("--drain-delay", "30s", "--shutdown-timeout", "30s")
    with Connection(server.port) as connection:
        connection.send(POST[:-4])
        server.wait_for_metric("crop_request_body_bytes_in_flight [1-9][0-9]*")
        server.send_signal(first)
        server.wait_for_line("draining")
        server.send_signal(signal.SIGTERM)
        # A minute of delay and timeout is left.
        server.process.wait(timeout=20)
        with pytest.raises((Closed, ConnectionResetError)):
            connection.read_answer()


def test_sighup_without_anything_to_reload_says_so_and_changes_nothing():
    with Server() as server, Connection(server.port) as connection:
        assert connection.is_alive()
        server.send_signal(signal.SIGHUP)
        server.wait_for_line("SIGHUP: nothing to reload")
        assert connection.is_alive()


def test_a_signal_right_after_the_start_is_heard():
    """Whoever reads that the server listens may stop it: no signal may fall into a gap of its start."""
    for _ in range(60):
        server = Server()
        server.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0


def test_the_log_says_what_happened():
    server = Server()
    assert server.stop() == 0
    server.wait_for_line("draining .*delay=.*timeout=")
    server.wait_for_line("stopped")
