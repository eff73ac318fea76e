"""What a service manager hears: sd_notify(3) messages by a socket file and by an abstract name."""
import contextlib
import os
import signal
import socket
import time

import pytest
from server import Server, crop
from wire import Connection


class Manager:
    """The socket of a service manager. What servers say is kept in order."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.settimeout(20)
        self.environment = {"NOTIFY_SOCKET": name}

    def message(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def next_but_signs_of_life(self):
        while (message := self.message()) == {"WATCHDOG": "1"}:
            pass
        return message


@pytest.fixture(params=["file", "abstract"])
def manager(request, socket_path):
    manager = Manager(str(socket_path) + "n" if request.param == "file" else f"@crop-test-{os.getpid()}-{time.monotonic_ns()}")
    with contextlib.closing(manager.socket):
        yield manager


def test_ready_when_it_listens_reloading_and_stopping(manager):
    with Server(env=manager.environment) as server:
        message = manager.message()
        assert message == {"READY": "1", "STATUS": f"listening on {server.url}"}
        with Connection(server.target) as connection:
            assert connection.is_alive()
        before = time.monotonic_ns() // 1000
        server.send_signal(signal.SIGHUP)
        message = manager.message()
        assert message["RELOADING"] == "1" and before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert manager.message() == {"READY": "1"}
        server.send_signal(signal.SIGTERM)
        assert manager.message() == {"STOPPING": "1", "STATUS": "draining"}


def test_nothing_is_said_before_a_start_that_fails(manager):
    with Server() as other:
        assert crop("serve", "--http-port", other.port, env=manager.environment).returncode == 69
    manager.socket.settimeout(0.0)
    with pytest.raises(BlockingIOError):
        manager.message()


def test_signs_of_life_come_more_than_twice_an_interval_and_during_a_drain(manager):
    interval = 2.0
    with Server("--drain-delay", "60s", env={**manager.environment, "WATCHDOG_USEC": str(int(interval * 1e6))}) as server:
        assert "READY" in manager.message()
        start = time.monotonic()
        for _ in range(4):
            assert manager.message() == {"WATCHDOG": "1"}
        # Four of them, a quarter of the interval apart: no upper limit, since this machine may be busy.
        assert time.monotonic() - start >= interval / 2
        server.send_signal(signal.SIGTERM)
        assert "STOPPING" in manager.next_but_signs_of_life()
        assert manager.message() == {"WATCHDOG": "1"}
        server.send_signal(signal.SIGTERM)
        server.process.wait(timeout=20)


def test_a_watchdog_for_another_process_gets_no_signs(manager):
    with Server(env={**manager.environment, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}) as server:
        assert "READY" in manager.message()
        with Connection(server.target) as connection:
            assert connection.is_alive()
    assert "STOPPING" in manager.message()


@pytest.mark.parametrize("environment, words", [
    ({"NOTIFY_SOCKET": "relative"}, "NOTIFY_SOCKET"),
    ({"NOTIFY_SOCKET": "/" + "x" * 108}, "NOTIFY_SOCKET"),
    ({"NOTIFY_SOCKET": "@"}, "NOTIFY_SOCKET"),
    ({"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC"),
    ({"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "0"}, "WATCHDOG_USEC"),
])
def test_a_manager_that_cannot_be_told_is_an_error(environment, words):
    done = crop("serve", "--http-port", "0", env=environment)
    assert done.returncode == 78 and words in done.stderr


def test_a_manager_that_is_gone_is_a_warning(socket_path):
    with Server(env={"NOTIFY_SOCKET": str(socket_path)}) as server:
        server.wait_for_line("warning the service manager cannot be told")
        with Connection(server.target) as connection:
            assert connection.is_alive()
