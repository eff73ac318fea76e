"""Where the server listens: several addresses, socket files, and what becomes of the files."""
import contextlib
import os
import signal
import socket
import stat

import pytest
from bodies import PRUNE, TINY, TINY_KEPT
from server import Server, crop, target
from wire import Connection, chunked, request

POST = request("POST", PRUNE, body=TINY)


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


def is_answered(place):
    with Connection(place) as connection:
        return connection.is_alive()


@needs_ipv6
def test_several_listeners_of_all_kinds_are_logged_and_served(socket_path):
    other = socket_path.with_name("other.sock")
    with Server("--listen", f"http://127.0.0.1:0,http://[::1]:0,unix:{socket_path}", "--unix-socket", other) as server:
        places = server.listeners(4)
        assert places[1][0] == "::1" and places[2:] == [str(socket_path), str(other)]
        assert all(is_answered(place) for place in places)


@needs_ipv6
def test_ipv4_and_ipv6_wildcards_share_a_port():
    with Server("--http-host", "::") as six:
        with Server("--http-host", "0.0.0.0", "--http-port", six.port):
            assert is_answered(("::1", six.port)) and is_answered(six.port)


@needs_ipv6
def test_healthcheck_over_ipv6():
    with Server("--http-host", "::1") as server:
        done = crop("healthcheck", env={"CROP_HTTP_HOST": "::1", "CROP_HTTP_PORT": str(server.port)})
        assert (done.returncode, done.stdout.split(":")[0]) == (0, "healthy"), done.stdout


def test_healthcheck_of_a_server_with_nothing_but_a_socket_file(socket_path):
    listen = f"unix:{socket_path}"
    assert crop("healthcheck", env={"CROP_LISTEN": listen}).returncode == 1
    with Server("--listen", listen):
        done = crop("healthcheck", env={"CROP_LISTEN": listen})
        assert (done.returncode, done.stdout.split(":")[0]) == (0, "healthy"), done.stdout
        assert crop("healthcheck", "--url", f"{listen}:/nowhere").returncode == 1


def test_a_socket_file_speaks_the_same_http(socket_path):
    """Pipelining, chunks, Expect, framing errors, half-closed clients: nothing depends on TCP."""
    with Server("--listen", f"unix:{socket_path}") as server:
        with Connection(server.target) as connection:
            connection.send(POST + request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + chunked(TINY) + POST)
            assert [connection.read_answer().json["kept_indices"] for _ in range(3)] == [TINY_KEPT] * 3
            connection.send(request("POST", PRUNE, [("Expect", "100-continue"), ("Content-Length", len(TINY))]))
            assert connection.read_head().status == 100
            connection.send(TINY)
            assert connection.read_answer().status == 200
        with Connection(server.target) as connection:
            answer = connection.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n")
            assert answer.status == 400 and answer.closes and connection.is_closed_by_server()
        with Connection(server.target) as connection:
            connection.send(POST)
            connection.finish_sending()
            assert connection.read_answer().status == 200 and connection.is_closed_by_server()
        server.wait_for_line(r"route=/prune .*remote=unix ")


# Socket files.


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("mode", ["0660", "0600", "0666", "0777"])
def test_the_mode_of_a_socket_file_is_as_configured_whatever_the_umask(socket_path, umask, mode):
    with Server("--listen", f"unix:{socket_path}", "--unix-socket-mode", mode, umask=umask):
        assert f"{stat.S_IMODE(os.lstat(socket_path).st_mode):04o}" == mode


def test_a_socket_file_goes_with_its_server(socket_path):
    with Server("--unix-socket", socket_path):
        assert socket_path.is_socket()
    assert not socket_path.exists()


def test_a_socket_file_goes_when_a_second_signal_ends_the_server(socket_path):
    with Server("--listen", f"unix:{socket_path}", "--drain-delay", "60s") as server:
        server.send_signal(signal.SIGTERM)
        server.wait_for_line("draining")
        server.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=20) == 0
    assert not socket_path.exists()


def test_a_socket_file_goes_when_another_address_cannot_be_had(socket_path):
    with Server() as other:
        done = crop("serve", "--unix-socket", socket_path, "--listen", f"unix:{socket_path}2,http://127.0.0.1:{other.port}")
    assert done.returncode == 69 and "already in use" in done.stderr
    assert os.listdir(socket_path.parent) == []


def test_the_socket_file_of_a_killed_server_is_replaced(socket_path):
    killed = Server("--listen", f"unix:{socket_path}")
    killed.process.kill()
    killed.process.wait()
    assert socket_path.is_socket()
    with Server("--listen", f"unix:{socket_path}") as server:
        assert is_answered(server.target)


def test_the_socket_file_of_a_running_server_is_not_taken(socket_path):
    with Server("--listen", f"unix:{socket_path}") as server:
        done = crop("serve", "--listen", f"unix:{socket_path}")
        assert done.returncode == 69 and "in use: a server accepts connections there" in done.stderr
        assert is_answered(server.target)


def test_a_full_queue_is_a_sign_of_life(socket_path):
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(socket_path))
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(socket_path))
        done = crop("serve", "--listen", f"unix:{socket_path}")
        assert done.returncode == 69 and "in use" in done.stderr


@pytest.mark.parametrize("make, words", [
    (lambda path: path.write_text("precious"), "a file that is not a socket"),
    (lambda path: path.mkdir(), "a file that is not a socket"),
    (lambda path: path.symlink_to(path.with_name("elsewhere")), "a file that is not a socket"),
], ids=["file", "folder", "link"])
def test_what_is_not_a_socket_is_never_removed(socket_path, make, words):
    make(socket_path)
    before = os.lstat(socket_path)
    done = crop("serve", "--listen", f"unix:{socket_path}")
    assert done.returncode == 69 and words in done.stderr
    assert os.lstat(socket_path).st_ino == before.st_ino


def test_a_datagram_socket_in_the_way_is_not_removed(socket_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(socket_path))
        done = crop("serve", "--listen", f"unix:{socket_path}")
    assert done.returncode == 69 and "cannot tell whether it is in use" in done.stderr and socket_path.is_socket()


def test_a_socket_file_that_belongs_to_another_server_by_now_stays(socket_path):
    with Server("--listen", f"unix:{socket_path}"):
        socket_path.rename(socket_path.with_name("away"))
        second = Server("--listen", f"unix:{socket_path}")
    assert is_answered(second.target)
    assert second.stop() == 0 and not socket_path.exists()


@pytest.mark.parametrize("path, words", [
    ("/" + "x" * 108, "1 to 107 bytes"), ("/nonexistent/crop.sock", "No such file or directory"),
])
def test_a_path_that_cannot_be_bound_is_named(path, words):
    done = crop("serve", "--listen", f"unix:{path}")
    assert done.returncode == 69 and words in done.stderr and path in done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--listen", "http://127.0.0.1:0", "--http-port", "0"], "http.port has no meaning beside listen"),
    (["--listen", "https://127.0.0.1:0"], "needs tls.cert and tls.key"),
    (["--listen", "127.0.0.1:80"], "a list such as"),
    (["--unix-socket", "crop.sock"], "an absolute path"),
    (["--unix-socket-mode", "rw"], "in octal"),
])
def test_wrong_listeners_end_the_program_with_a_hint(arguments, words):
    done = crop("serve", *arguments)
    assert done.returncode == 78 and words in done.stderr


def test_targets_of_logged_addresses():
    assert [target(url) for url in ("http://127.0.0.1:80", "http://[::1]:81", "unix:/a")] == [80, ("::1", 81), "/a"]


# Reset peers.


def test_a_unix_peer_that_leaves_at_any_byte_leaves_nothing_behind(socket_path):
    """A Unix-domain socket has no RST; closing with unread bytes is what comes closest (ECONNRESET at the server)."""
    with Server("--listen", f"unix:{socket_path}") as server:
        assert is_answered(server.target)
        before = server.settled_descriptor_count(0, seconds=0.5)
        for cut in range(len(POST) + 1):
            connection = Connection(server.target)
            # The probe's answer is left unread.
            connection.send(request() + POST[:cut])
            connection.close()
        assert server.settled_descriptor_count(before) <= before
        server.wait_for_metric("crop_requests_in_flight 0")
        assert is_answered(server.target)
