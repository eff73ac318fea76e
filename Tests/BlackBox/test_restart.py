"""Restarts that nobody notices: sockets of a service manager, and servers that share a port."""
import contextlib
import signal
import socket
import subprocess

import pytest
from bodies import PRUNE, TINY, TINY_KEPT
from load import Load
from server import Server, command, crop, environment
from wire import Connection, request

POST = request("POST", PRUNE, body=TINY)


def is_right(answer):
    return answer.json["kept_indices"] == TINY_KEPT


def check_nobody_noticed(*loads):
    for load in loads:
        failed = {name: load.counts[name] for name in ("lost", "wrong", "refused")}
        assert failed == {"lost": 0, "wrong": 0, "refused": 0}, load.faults[:5]


def listening_socket(kind, path):
    held = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET6 if kind == "tcp6" else socket.AF_INET)
    held.bind({"unix": str(path), "tcp6": ("::1", 0), "tcp": ("127.0.0.1", 0)}[kind])
    held.listen(512)
    return held


def address(held):
    name = held.getsockname()
    return name if isinstance(name, str) else name[:2]


@pytest.mark.parametrize("kind", ["tcp", "tcp6", "unix"])
def test_restarts_with_an_inherited_socket_fail_no_request_at_all(kind, socket_path):
    """Not one connection is refused: those that come between two servers wait in the socket's queue."""
    with listening_socket(kind, socket_path) as held:
        server = Server(inherited=[held])
        assert server.target == (held.getsockname()[1] if kind == "tcp" else address(held))
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(Load(server.target, POST, 8, is_right, keep_alive)) for keep_alive in (True, False)]
            for _ in range(2):
                for load in loads:
                    load.wait_for_answers(load.answered + 200)
                assert server.stop() == 0
                server = Server(inherited=[held])
            for load in loads:
                load.wait_for_answers(load.answered + 200)
        check_nobody_noticed(*loads)
        assert server.stop() == 0
        if kind == "unix":
            assert socket_path.is_socket(), "the file belongs to whoever made it"


def test_a_connection_made_while_no_server_runs_is_served_by_the_next(socket_path):
    with listening_socket("unix", socket_path) as held:
        assert Server(inherited=[held]).stop() == 0
        with Connection(socket_path) as early:
            early.send(POST)
            with Server(inherited=[held]):
                assert early.read_answer().json["kept_indices"] == TINY_KEPT


def test_inherited_sockets_take_the_place_of_the_configured_port(socket_path):
    with listening_socket("tcp", None) as held, listening_socket("unix", socket_path) as second:
        with Server("--http-port", "1", inherited=[held, second]) as server:
            server.wait_for_line("socket activation: .*instead-of=http://127.0.0.1:1")
            assert server.listeners(2) == [held.getsockname()[1], str(socket_path)]
            for place in server.listeners(2):
                with Connection(place) as connection:
                    assert connection.is_alive()


def test_what_is_announced_to_another_process_is_not_taken():
    with Server(env={"LISTEN_PID": "1", "LISTEN_FDS": "1"}) as server:
        with Connection(server.target) as connection:
            assert connection.is_alive()


@pytest.mark.parametrize("make, words", [
    (lambda: socket.socket(), "is not a listening stream socket"),
    (lambda: socket.socket(type=socket.SOCK_DGRAM), "is not a listening stream socket"),
])
def test_an_inherited_descriptor_that_is_no_listening_socket_is_refused(make, words):
    with make() as held:
        done = subprocess.run(
            command(inherited=[held]), pass_fds=[held.fileno()], env=environment(), capture_output=True, text=True,
            timeout=30)
    assert done.returncode == 69 and f"inherited descriptor 3: {words}" in done.stderr


def test_servers_that_share_a_port_hand_over_without_a_failed_request():
    """SO_REUSEPORT: the next server starts, then the first one ends."""
    first = Server("--reuse-port", "on")
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(first.target, POST, 8, is_right, keep_alive)) for keep_alive in (True, False)]
        for _ in range(2):
            for load in loads:
                load.wait_for_answers(load.answered + 200)
            second = Server("--reuse-port", "on", "--http-port", first.port)
            first.send_signal(signal.SIGTERM)
            assert first.process.wait(timeout=30) == 0
            first = second
        for load in loads:
            load.wait_for_answers(load.answered + 200)
    check_nobody_noticed(*loads)
    assert first.stop() == 0


def test_a_port_is_not_shared_unless_both_ask_for_it():
    with Server() as server:
        for mine in ("on", "off"):
            done = crop("serve", "--http-port", server.port, "--reuse-port", mine)
            assert done.returncode == 69 and "already in use" in done.stderr
