"""Running the server: processors, threads, stopping early, crashes, the listener for administration, the log."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest
from bodies import PRUNE, TINY
from server import BINARY, ROOT, Server, command, crop, environment, target
from wire import Connection, Encrypted, request


def post(*fields):
    return request("POST", PRUNE, fields, TINY)


# Processors and threads.


def one_processor():
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])


def test_affinity_decides_the_number_of_threads_and_the_log_says_so():
    with Server("--log-format", "json", preexec_fn=one_processor) as server:
        server.wait_for_line('"message":"threads"')
        line, = [line for line in map(json.loads, filter(None, server.lines)) if line["message"] == "threads"]
        assert (line["event-loops"], line["compute-threads"]) == (1, 1)
        assert re.match(r"1: \d+ online, 1 by affinity, ", line["processors"])
        assert b"\ncrop_compute_threads 1\n" in server.metrics()


def test_a_number_that_is_set_is_kept_whatever_the_processors():
    with Server("--compute-threads", "3", "--event-loops", "2", preexec_fn=one_processor) as server:
        assert " compute-threads=3 event-loops=2 " in server.wait_for_line(r".* threads .*").group(0)


def test_print_config_and_the_long_version_say_what_is_decided():
    printed = crop("serve", "--print-config", "--format", "json", preexec_fn=one_processor)
    settings = json.loads(printed.stdout)
    for name in "event-loops", "compute-threads":
        assert settings[name]["value"] == "0" and settings[name]["effective"] == 1
        assert "1 by affinity" in settings[name]["because"]
    table = crop("serve", "--print-config", "--compute-threads", "5", preexec_fn=one_processor).stdout
    assert "threads: event-loops 1, compute-threads 5 (processors: 1: " in table
    assert re.search(r"^processors: 1: .*affinity", crop("--version", "--verbose", preexec_fn=one_processor).stdout, re.M)


def test_too_few_threads_end_the_start_with_a_reason():
    # Each thread needs address space for its stack, which runs out long before so many.
    done = crop("serve", "--http-port", "0", "--compute-threads", "1000", timeout=60,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)))
    assert done.returncode == 71 and done.stderr.count("\n") == 1, done.stderr
    assert re.search(r"cannot start \d+ threads, only \d+ .*ulimit", done.stderr)


# Signals.


def test_a_signal_before_the_server_listens_is_not_lost(tmp_path):
    fifo = tmp_path / "crop.yaml"
    os.mkfifo(fifo)
    process = subprocess.Popen(command("--config", fifo, "--http-port", "0", "--drain-delay", "0"),
                               stderr=subprocess.PIPE, text=True, env=environment())
    # Opening ends as soon as the program reads its configuration, long before it listens.
    with open(fifo, "w") as writer:
        process.send_signal(signal.SIGTERM)
        writer.write("log-format: text\n")
    lines = process.communicate(timeout=60)[1]
    assert process.returncode == 0, lines
    assert "draining" in lines and "stopped" in lines


def test_a_command_ends_with_the_first_signal(tmp_path):
    fifo = tmp_path / "attention.json"
    os.mkfifo(fifo)
    process = subprocess.Popen([BINARY, "prune", fifo], env=environment(), stderr=subprocess.PIPE)
    with open(fifo, "w"):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == -signal.SIGINT


# Crashes.


def backtracer():
    swift = shutil.which("swift")
    folder = swift and pathlib.Path(os.path.realpath(swift)).parents[1] / "libexec" / "swift" / "linux"
    return folder and folder.is_dir() and str(folder / "swift-backtrace")


def settings_of_the_image():
    """-> SWIFT_BACKTRACE as the Dockerfile sets it."""
    return re.search(r'^ENV SWIFT_BACKTRACE="?([^"\n]+)', (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]


@pytest.mark.skipif(not backtracer(), reason="the backtracer of the Swift toolchain is not installed")
def test_a_crash_prints_where_and_nothing_of_what_it_held():
    settings = re.sub(r"swift-backtrace=[^,]+", f"swift-backtrace={backtracer()}", settings_of_the_image())
    with Server(env={"SWIFT_BACKTRACE": settings}) as server:
        secret = b"in-no-register-dump"
        with Connection(server.target) as connection:
            connection.exchange(request("POST", "/prune", [("X-Note", secret.decode())], secret))
        # As if an instruction were illegal; unlike after one that is, the program goes on.
        server.send_signal(signal.SIGILL)
        server.wait_for_line("Backtrace took", seconds=100)
        text = "\n".join(filter(None, server.lines))
    assert "crashed" in text and re.search(r"^ +\d+ .* in \S+$", text, re.MULTILINE), text
    assert "Registers" not in text and "rax" not in text and secret.decode() not in text


# Administration.


def admin_of(server):
    return target(server.wait_for_line(r"listening for administration .*\burl=(\S+)").group(1))


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_probes_and_metrics_have_a_listener_of_their_own(kind, socket_path, certificate):
    address = {"tcp": "http://127.0.0.1:0", "unix": f"unix:{socket_path}", "tls": "https://127.0.0.1:0"}[kind]
    flags = certificate.flags if kind == "tls" else ()
    with Server("--admin-listen", address, *flags) as server:
        with Connection(server.target) as public, Connection(admin_of(server)) as private:
            for path, seen_in_public, seen_in_private in [
                    ("/livez", 200, 200), ("/readyz", 200, 200), ("/metrics", 404, 200), ("/methods", 200, 404),
                    ("/docs", 200, 404), ("/%6Detrics", 404, 404)]:
                assert public.exchange(request(target=path)).status == seen_in_public, path
                assert private.exchange(request(target=path)).status == seen_in_private, path
            assert public.exchange(post()).status == 200
            refused = private.exchange(post())
            assert refused.status == 404
            # One count for both: what the public side answered stands in what the private side tells.
            # An answer is counted a moment after its last byte has left.
            end = time.monotonic() + 10
            with Connection(admin_of(server)) as third:
                text = ""
                while 'crop_http_requests_total{route="/prune",method="POST",code="200"} 1' not in text:
                    assert time.monotonic() < end, text
                    text = third.exchange(request(target="/metrics")).body.decode()
            assert 'crop_http_requests_total{route="none",method="GET",code="404"}' in text


def test_the_administration_tells_of_a_drain_until_its_end():
    with Server("--admin-listen", "http://127.0.0.1:0", "--drain-delay", "30s") as server:
        private = admin_of(server)
        with Connection(server.target) as busy:
            busy.exchange(request())
            server.send_signal(signal.SIGTERM)
            server.wait_for_line("draining")
            with Connection(private) as connection:
                assert connection.exchange(request(target="/readyz")).status == 503
            with Connection(private) as connection:
                assert connection.exchange(request(target="/livez")).status == 200
            server.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0


@pytest.mark.parametrize("flags, words", [
    (["--admin-listen", "https://127.0.0.1:0"], "tls.cert"),
    (["--http-port", "7", "--admin-listen", "http://127.0.0.1:7"], "give another one"),
    (["--admin-listen", "metrics"], "http://127.0.0.1:8080")])
def test_a_wrong_administration_address_is_refused(flags, words):
    done = crop("serve", *flags)
    assert done.returncode == 78 and words in done.stderr, done.stderr


def test_the_health_check_asks_the_administration_and_ignores_a_drain():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    with Server("--admin-listen", f"http://127.0.0.1:{port}", "--drain-delay", "30s") as server:
        admin_of(server)
        env = {"CROP_ADMIN_LISTEN": f"http://127.0.0.1:{port}"}
        assert crop("healthcheck", env=env).returncode == 0
        with Connection(server.target) as busy:
            busy.exchange(request())
            server.send_signal(signal.SIGTERM)
            server.wait_for_line("draining")
            assert crop("healthcheck", env=env).returncode == 0
            server.send_signal(signal.SIGTERM)


# What every answer says.


@pytest.mark.parametrize("target_and_method", [
    ("/", "GET"), ("/livez", "GET"), ("/docs", "GET"), ("/nowhere", "GET"), ("/prune", "DELETE"), ("/prune", "OPTIONS")])
def test_every_answer_forbids_sniffing(connection, target_and_method):
    path, method = target_and_method
    assert connection.exchange(request(method, path)).field("X-Content-Type-Options") == "nosniff"


def test_also_the_answers_that_reuse_earlier_ones_and_the_refused_bytes(server):
    with Connection(server.target) as connection:
        for _ in range(4):
            assert connection.exchange(post()).field("X-Content-Type-Options") == "nosniff"
        connection.send(b"\x00\r\n\r\n")
        assert connection.read_answer().field("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize("head", [
    b"OPTIONS / HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.0\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_the_default_check_of_a_balancer_succeeds(tmp_path, head):
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    keys.chmod(0o600)
    with Server("--api-key-file", keys) as server, Connection(server.target) as connection:
        connection.send(head)
        assert connection.read_answer().status in (200, 204)


def test_every_status_line_has_its_phrase(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    keys.chmod(0o600)
    with Server("--api-key-file", keys) as server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET /methods HTTP/1.1\r\nHost: a\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


# The log.


def test_the_log_warns_of_a_key_that_others_can_read(certificate, tmp_path):
    with Server(*certificate.flags) as server:
        pathlib.Path(certificate.flags[certificate.flags.index("--tls-key") + 1]).chmod(0o600)
    loose = tmp_path / "loose.pem"
    flags = list(certificate.flags)
    loose.write_bytes(pathlib.Path(flags[flags.index("--tls-key") + 1]).read_bytes())
    flags[flags.index("--tls-key") + 1] = loose
    for mode, words in [(0o644, "every user"), (0o640, "its group")]:
        loose.chmod(mode)
        with Server(*flags) as server:
            assert words in server.wait_for_line(r".* warning tls.key .*").group(0)
    loose.chmod(0o600)
    with Server(*flags) as server:
        server.wait_for_line("threads")
        assert not any("tls.key" in line for line in server.lines if line)


def test_every_member_of_a_log_line_is_documented(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("blue 0123456789abcdef\n")
    keys.chmod(0o600)
    documented = set(re.findall(
        r"^\| `([a-z_]+)` \|", (ROOT / "docs" / "operations.md").read_text().split("## Log")[1].split("\n## ")[0], re.M))
    key = ("X-API-Key", "0123456789abcdef")
    trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    with Server("--api-key-file", keys, "--log-format", "json") as server:
        with Connection(server.target) as connection:
            assert connection.exchange(post(key, trace)).status == 200
            assert connection.exchange(request(target="/nowhere", fields=[key])).status == 404
            assert connection.exchange(request("POST", "/prune", [key], b"{}")).status == 422
            assert connection.exchange(request(target="/methods", fields=[key, ("X-Request-Id", "last")])).status == 200
        with Connection(server.target) as connection:
            connection.send(request("POST", "/prune", [key, ("Content-Length", "10")]))
            connection.reset()
        server.wait_for_line('"id":"last"')
        server.wait_for_line('"broken":true|"status":400')
        lines = [line for line in map(json.loads, filter(None, server.lines)) if line["message"] == "request"]
    seen = {name for line in lines for name in line}
    assert seen <= documented, seen - documented
    assert {"trace", "reason", "path", "key", "problem", "id"} <= seen
    missing, = [line for line in lines if line["status"] == 404]
    assert missing["path"] == "/nowhere" and "no endpoint at /nowhere" in missing["reason"]
    for name in "status", "bytes_in", "bytes_out", "receive_ms", "respond_ms", "write_ms", "connection":
        assert isinstance(missing[name], (int, float)), name
    answered = next(line for line in lines if line["status"] == 200)
    for name in "images", "tokens", "kept":
        assert isinstance(answered[name], int), name


# Standard output.


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [
    ["--help"], ["--version"], ["--version", "--verbose"], ["help", "prune"], ["methods"], ["methods", "topk"],
    ["serve", "--print-config"], ["plan", "--layout", "4x4", "--keep-ratio", "0.5"]])
def test_output_that_cannot_be_written_is_a_failure(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
                              env=environment())
    assert done.returncode == 74 and done.stderr == "crop: standard output: no space left on device\n"
