"""What clients make the server hold, as the system sees it: the bound of SECURITY.md, and who keeps whom out."""
import contextlib
import gzip
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

import numpy
import pytest

from bodies import npy, numbers, safetensors_bytes
from server import BINARY, ROOT, Server
from wire import Connection, request

sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "models")]
import memory  # noqa: E402
import reference  # noqa: E402

JSON = [("Content-Type", "application/json")]
NPY = [("Content-Type", "application/x-npy")]


def megabytes(server, name="VmRSS"):
    """VmRSS now, or VmHWM, the most there ever was."""
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", text).group(1)) / 1024


def bound(server):
    """What SECURITY.md says the process stays under, as the server computes it."""
    return int(server.wait_for_line(r"memory .*\bresident=(\d+)").group(1)) / (1 << 20)


def metric(server, name):
    return float(re.search(rf"^{name} (\S+)$", server.metrics().decode(), re.MULTILINE).group(1))


def scores(rows, columns):
    return npy(numbers(rows, columns))


def test_pooled_buffers_are_counted_however_little_their_next_bodies_fill():
    """14 times a body of 32 MiB, then an announcement of as much that sends nothing, each on a connection of its own."""
    target = "/prune?method=topk&keep_tokens=4&tensor=attention&batched=false"
    body = npy(numbers(32, 8, 32_768))
    assert len(body) > 32 << 20
    with Server("--max-in-flight-bytes", "64MiB", "--max-body-bytes", "64MiB") as server, contextlib.ExitStack() as stack:
        for _ in range(14):
            connection = stack.enter_context(Connection(server.target, timeout=60))
            assert connection.exchange(request("POST", target, NPY, body)).status == 200
            connection.send(request("POST", target, NPY + [("Content-Length", str(len(body)))]))
            connection.send(b"\x93NUMPY")
        assert megabytes(server, "VmHWM") < bound(server)


def test_answers_that_nobody_reads_share_the_contract():
    """Pipelined GETs of a large document on many connections that read nothing."""
    ask = request(target="/openapi.yaml") * 60
    with Server() as server, contextlib.ExitStack() as stack:
        with Connection(server.target) as connection:
            size = len(connection.exchange(request(target="/openapi.yaml")).body)
        before, count = megabytes(server), 200
        for _ in range(count):
            silent = stack.enter_context(Connection(server.target))
            silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.send(ask)
        server.wait_for_metric("crop_connection_buffer_bytes [1-9][0-9]*")
        with Connection(server.target) as connection:
            assert connection.is_alive()
        # An answer of its own for each would take all of this.
        assert megabytes(server) - before < count * size / (1 << 20) / 4
        # The requests that came behind an unread answer, and its head.
        assert metric(server, "crop_connection_buffer_bytes") < count * 24 * 1024


def test_half_heads_take_the_memory_of_what_came_of_them():
    count = 400
    with Server("--header-timeout", "600s") as server, contextlib.ExitStack() as stack:
        with Connection(server.target) as connection:
            assert connection.is_alive()
        before = megabytes(server)
        for _ in range(count):
            stack.enter_context(Connection(server.target)).send(b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Sl")
        server.wait_for_metric("crop_connection_buffer_bytes [1-9][0-9]{3,}")
        assert metric(server, "crop_connection_buffer_bytes") < count * 512
        # With a connection's own objects and its share of the event loop's tables.
        assert megabytes(server) - before < count * 12 / 1024 + 4


def test_the_memory_of_half_heads_is_given_back_as_their_connections_move():
    """A body of 8 MiB is another loop's business than the request before it, and the one behind it."""
    requests = [request("POST", "/localize", NPY, bytes(8 << 20)), request()]
    with Server("--header-timeout", "600s") as server, Connection(server.target, timeout=60) as moving:
        for data in requests * 2:
            moving.send(data[:20])
            server.wait_for_metric("crop_connection_buffer_bytes [1-9][0-9]*")
            moving.exchange(data[20:])
            server.wait_for_metric("crop_connection_buffer_bytes 0")


def test_half_heads_are_refused_when_they_take_all_memory():
    head = b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: %b\r\n" % (i, b"y" * 7000) for i in range(8))
    with Server("--max-in-flight-bytes", "1MiB", "--max-body-bytes", "1MiB") as server, contextlib.ExitStack() as stack:
        statuses = []
        for _ in range(40):
            connection = stack.enter_context(Connection(server.target))
            connection.send(head)
            connection.socket.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                statuses.append(connection.read_answer().status)
        assert 503 in statuses
        assert metric(server, "crop_connection_buffer_bytes") <= 1 << 20


@pytest.mark.parametrize("text", [b"[" + b"[],[0]," * (1 << 20) + b"[]]", b"[" + b"[]," * (1 << 21) + b"[0]]"],
                         ids=["alternating", "the last one differs"])
def test_lists_of_empty_rows_are_refused_before_they_are_made(text):
    body = gzip.compress(b'{"attention":' + text + b"}", 9)
    assert len(body) < 32 << 10
    with Server() as server:
        before = megabytes(server)
        with Connection(server.target, timeout=120) as connection:
            answer = connection.exchange(request("POST", "/localize", JSON + [("Content-Encoding", "gzip")], body))
        assert answer.status == 422 and "4096" in answer.json["detail"]
        # The text itself, its buffer as that grows, and nothing for each row.
        assert megabytes(server, "VmHWM") - before < 40


def costly():
    """8.4 KB that keep a thread busy for seconds: 8,192 equal rows of one byte."""
    import numpy as np
    return request("POST", "/prune?method=divprune&keep_ratio=0.9&tensor=image_features", NPY,
                   npy(np.ones((8192, 1), np.int8)))


def test_requests_of_clients_that_closed_keep_nobody_out():
    """As many costly requests as may be in flight, their connections closed with FIN."""
    with Server("--max-in-flight", "32", "--compute-threads", "1") as server:
        for _ in range(64):
            with contextlib.suppress(OSError):
                with Connection(server.target) as gone:
                    gone.send(costly())
        small = request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention", NPY, scores(16, 4096))
        # Until the server has seen that the others closed; their work would take it minutes. A 429 to a head ends the
        # connection, because the body behind it is not read.
        end, status = time.monotonic() + 20, 429
        while status == 429:
            assert time.monotonic() < end, "those who left keep the queue full"
            with Connection(server.target, timeout=60) as honest:
                status = honest.exchange(small).status
        assert status == 200
        with Connection(server.target, timeout=60) as honest:
            for _ in range(5):
                assert honest.exchange(small).status == 200
            assert honest.exchange(request(target="/readyz")).status == 200
        # Nobody waits for any of them.
        server.wait_for_metric("crop_requests_in_flight 0", seconds=30)


def test_clients_that_only_finished_sending_get_their_answers():
    with Server("--compute-threads", "1") as server, contextlib.ExitStack() as stack:
        body = scores(16, 4096)
        clients = [stack.enter_context(Connection(server.target, timeout=60)) for _ in range(20)]
        for client in clients:
            client.send(request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention", NPY, body))
            client.finish_sending()
        for client in clients:
            assert client.read_answer().status == 200
            assert client.is_closed_by_server()


def test_a_client_at_another_address_gets_its_turn_beside_one_that_fills_the_queue():
    def dial(address):
        def connect(timeout):
            return socket.create_connection(("127.0.0.1", server.port), timeout, source_address=(address, 0))
        return connect

    with Server("--max-in-flight", "16", "--compute-threads", "1") as server, contextlib.ExitStack() as stack:
        for _ in range(16):
            greedy = stack.enter_context(Connection(None, timeout=120, dial=dial("127.0.0.2")))
            greedy.send(costly())
        server.wait_for_metric("crop_requests_in_flight 16")
        with Connection(None, timeout=60, dial=dial("127.0.0.3")) as honest:
            answer = honest.exchange(request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention", NPY, scores(16, 4096)))
            assert answer.status == 200
            server.wait_for_metric("crop_requests_in_flight (1[0-6]|[1-9])")


def test_the_worst_requests_found_stay_under_the_bound():
    """Sixteen connections post the worst of random requests over all methods, formats, types and shapes at once, in a
    control group of 512 MiB where one can be made.

    A short form of `make memory`, which searches and posts for longer.
    """
    outcome = subprocess.run(
        [sys.executable, ROOT / "tools" / "memory.py", "--crop", BINARY, "--hold", "512MiB", "--megabytes", "0.5",
         "--search", "15", "--seconds", "20"], capture_output=True, text=True, timeout=500)
    assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr[-2000:]


@pytest.mark.parametrize(("endpoint", "parameters"), [
    ("prune", {"method": "uniform", "localize": {"source": "similarity"}}),
    ("compare", {"methods": ["uniform", "random"]}),
])
def test_the_search_for_a_region_is_counted_whatever_methods_read(endpoint, parameters):
    tensors = {
        "image_features": numpy.ones((4096, 4096), numpy.int8), "text_features": numpy.ones((1, 4096), numpy.int8),
    }
    body = safetensors_bytes(tensors, {"keep_ratio": 0.5, "batched": False, **parameters})
    watched = memory.Watched(["--compute-threads", "1", "--event-loops", "1", "--max-in-flight-bytes", "8GiB",
                              "--compute-timeout", "60s"], BINARY)
    try:
        answer, took, counted = memory.measure(watched, endpoint, "application/x-safetensors", body)
        assert answer.status == 200, answer.body
        assert took <= counted + memory.SLACK, f"{took >> 20} MiB of {counted >> 20}"
        assert counted >= 4 * 4096 * 4096, "numbers of one byte are widened"
    finally:
        watched.server.stop()


LOCALIZER = {"kind": "localizer", "image_width": 16, "text_width": 24, "layers": 1}
RESAMPLER = {"kind": "resampler", "heads": 4}


@pytest.mark.parametrize("gain", [1.5, 1e30], ids=["float32", "float64"])
@pytest.mark.parametrize(("config", "texts"), [
    ({**LOCALIZER, "width": 256, "heads": 8, "mlp_width": 64}, 2),
    ({**LOCALIZER, "width": 64, "heads": 2, "mlp_width": 2048}, 1500),
    ({**LOCALIZER, "width": 32, "heads": 16, "mlp_width": 32}, 400),
    ({**RESAMPLER, "image_width": 16, "width": 256, "queries": 16}, 0),
    ({**RESAMPLER, "image_width": 64, "width": 32, "queries": 1500}, 0),
    ({**RESAMPLER, "image_width": 1024, "width": 16, "queries": 800}, 0),
], ids=["wide", "many-words", "many-heads", "wide-rows", "many-queries", "wide-features"])
def test_networks_take_no_more_memory_than_is_counted(tmp_path, config, texts, gain):
    """Both ways of computing: weights of `gain` go beyond float32."""
    suite = reference.Suite()
    suite.model("network", 1, gain=gain, **config)
    for name, data in suite.files.items():
        (tmp_path / pathlib.Path(name).name).write_bytes(data)
    source = numpy.random.default_rng(2)
    tensors = {"image_features": source.random((4096, config["image_width"]), dtype=numpy.float32)}
    parameters = {"batched": False}
    if texts:
        tensors["text_features"] = source.random((texts, config["text_width"]), dtype=numpy.float32)
        parameters["localize"] = {"source": "model"}
    else:
        parameters |= {"mode": "resampler", "keep_tokens": config["queries"], "anchor_share": 0, "anchors": "strided"}
    body = safetensors_bytes(tensors, parameters)
    watched = memory.Watched(
        ["--models", tmp_path, "--compute-threads", "1", "--event-loops", "1", "--max-in-flight-bytes", "8GiB",
         "--compute-timeout", "120s"], BINARY)
    try:
        endpoint = "localize" if texts else "compress"
        answer, took, counted = memory.measure(watched, endpoint, "application/x-safetensors", body, timeout=120)
        # What goes beyond float64 too is rejected once it was computed.
        assert answer.status in ((200,) if gain < 2 else (200, 422)), answer.body
        assert took <= counted + memory.SLACK, f"{took >> 20} MiB of {counted >> 20}"
        assert took > memory.SLACK, "takes enough that it would be noticed"
    finally:
        watched.server.stop()


def test_copies_in_another_order_of_axes_are_counted():
    """Requests that are refused before they are computed hold them all the same."""
    body = safetensors_bytes(
        {"image_features": numpy.ones((512, 2048), numpy.int8)},
        {"axes": {"image_features": "dn"}, "method": "uniform", "keep_ratio": 0.5, "batched": False})
    with Server("--compute-timeout", "60s") as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request("POST", "/prune", [("Content-Type", "application/x-safetensors")], body))
        assert answer.status == 200, answer.body
        assert metric(server, "crop_work_bytes_total") >= 512 * 2048


@pytest.mark.parametrize("layouts", [1, 1024], ids=["a large request", "a large answer"])
def test_plans_are_counted(layouts):
    layout = {"type": "video", "frames": 16, "rows": 1, "columns": 1}
    stages = [{"layer": layer, "keep_ratio": 1} for layer in range(16)]
    body = {"method": "random", "layout": layout if layouts == 1 else [layout] * layouts, "stages": stages}
    if layouts == 1:
        body["previous"] = {"kept_indices": [0] * (1 << 19)}
    watched = memory.Watched(["--compute-threads", "1", "--event-loops", "1", "--max-in-flight-bytes", "8GiB",
                              "--compute-timeout", "60s"], BINARY)
    try:
        answer, took, counted = memory.measure(watched, "plan", "application/json", json.dumps(body).encode())
        assert answer.status == (422 if layouts == 1 else 200), answer.body[:300]
        assert took <= counted + memory.SLACK, f"{took >> 20} MiB of {counted >> 20}"
        assert counted >= 16 << 20
    finally:
        watched.server.stop()


def test_a_plan_has_no_more_values_than_parameters_of_a_request():
    with Server() as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request("POST", "/plan", JSON, b'{"layout":[' + b"0," * (1 << 20) + b"0]}"))
        assert answer.status == 400 and b"too many values" in answer.body


LISTS = "/prune?layout=[" + "[1]," * 1_900 + "[1]]"


@pytest.mark.parametrize("target, fields", [("/prune", [("X-Long", "y" * 60_000)]), (LISTS, [])],
                         ids=["long fields", "many values in the query"])
def test_heads_are_counted_while_their_bodies_arrive(target, fields):
    with Server("--max-in-flight-bytes", "1MiB", "--max-body-bytes", "1MiB") as server, contextlib.ExitStack() as stack:
        with Connection(server.target) as connection:
            assert connection.is_alive()
        for _ in range(40):
            connection = stack.enter_context(Connection(server.target))
            head = request("POST", target, [*JSON, *fields, ("Expect", "100-continue"), ("Content-Length", 10)])
            assert connection.exchange(head).status in (100, 503)
        server.wait_for_metric(r'crop_http_refusals_total\{reason="memory"\} [1-9][0-9]*')
        server.wait_for_metric("crop_connection_buffer_bytes ([7-9][0-9]{5}|10[0-4][0-9]{4})")
        stack.close()
        # All of it is given back.
        server.wait_for_metric("crop_connection_buffer_bytes 0")
        with Connection(server.target) as connection:
            assert connection.exchange(request("POST", LISTS, JSON, b"{}")).status == 422


def test_heads_are_counted_while_their_answers_are_not_read():
    with Server() as server, contextlib.ExitStack() as stack:
        for _ in range(4):
            silent = stack.enter_context(Connection(server.target))
            silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.send(request(target="/openapi.yaml", fields=[("X-Long", "y" * 60_000)]) * 20)
        server.wait_for_metric("crop_connection_buffer_bytes [2-9][0-9]{5}")


def test_clients_whose_bodies_are_not_read_take_no_buffers():
    """Each is told so, and has its connection drained for two seconds lest the answer is lost."""
    count = 600
    with Server() as server, contextlib.ExitStack() as stack:
        warm = [stack.enter_context(Connection(server.target)) for _ in range(count)]
        for connection in warm:
            assert connection.is_alive()
        before = megabytes(server, "VmHWM")
        for connection in warm:
            answer = connection.exchange(request("POST", "/nowhere", [("Content-Length", 50_000)]))
            assert answer.status == 404
            connection.send(bytes(16 << 10))
        # Sent behind all of these: by now they were read.
        server.metrics()
        assert megabytes(server, "VmHWM") - before < count * 8 / 1024
