"""The client against a running server, and against servers that misbehave."""

import gc
import os
import pickle
import signal
import socket
import ssl
import threading
import time
import warnings

import numpy as np
import pytest
from conftest import Scripted, response
from server import Server

from crop_client import (
    ArgumentError, Client, ConnectionFailed, CropWarning, InvalidRequest, NotFound, Overloaded, ProtocolError, RequestTimeout,
    ServerError, Unauthorized, layouts,
)  # fmt: skip

BUSY = response(
    b'{"type": "/problems/overloaded", "status": 503, "detail": "no room", "error": "no room"}', 503, "Retry-After: 0")


def check(client):
    attention = np.random.default_rng(1).random((24 * 24), np.float32)
    wanted = np.sort(np.argsort(-attention, kind="stable")[:64]).tolist()
    for _ in range(3):
        answer = client.prune(attention=attention, layout=layouts.grid(24, 24), keep_tokens=64, method="topk")
        assert answer.kept_indices.tolist() == wanted and answer.kept_indices.dtype == np.int64


def test_tcp(server):
    with Client(server.url) as client:
        assert client.is_ready()
        check(client)


def test_unix_socket(socket_path):
    with Server("--listen", f"unix:{socket_path}"), Client(f"unix:{socket_path}") as client:
        assert client.is_ready()
        check(client)


def test_tls(certificate):
    with Server(*certificate.flags) as server:
        with Client(server.url, ca_file=certificate.authority) as client:
            check(client)
            large = np.random.default_rng(2).standard_normal((576, 1024)).astype(np.float32)
            answer = client.compress(image_features=large, layout=layouts.grid(24, 24), keep_tokens=300, anchors="strided")
            assert answer.features.shape == (300, 1024)
        with pytest.raises((ConnectionFailed, ssl.SSLError)):
            Client(server.url, retries=0).methods()


def test_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("correct-horse-battery-staple\n")
    keys.chmod(0o600)
    with Server("--api-key-file", keys) as server:
        check(Client(server.url, api_key="correct-horse-battery-staple"))
        with pytest.raises(Unauthorized) as caught:
            Client(server.url, api_key="wrong").methods()
        assert caught.value.status == 401 and caught.value.type == "/problems/unauthorized"
    with pytest.raises(ArgumentError):
        Client(server.url, api_key="a\r\nX: y").methods()


def test_one_connection_serves_many_calls(server):
    with Client(server.url) as client:
        before = server.metrics()
        for _ in range(5):
            client.methods()
        accepted = [int(float(line.split()[-1])) for text in (before, server.metrics())
                    for line in text.decode().splitlines() if line.startswith("crop_connections_accepted_total")]
        assert accepted and sum(accepted[len(accepted) // 2:]) - sum(accepted[: len(accepted) // 2]) == 2


def test_threads_share_a_client(server):
    failures = []
    with Client(server.url) as client:
        def work():
            try:
                check(client)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
        threads = [threading.Thread(target=work) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_forked_child_makes_connections_of_its_own(server):
    with Client(server.url) as client:
        check(client)
        child = os.fork()
        if child == 0:
            try:
                check(client)
                os._exit(0)
            except BaseException:  # noqa: BLE001
                os._exit(1)
        check(client)
        assert os.waitpid(child, 0)[1] == 0


# The operations.


def test_localize(client, grid):
    attention = np.full((24, 24), 0.01, np.float32)
    attention[6:12, 12:18] = 1
    answer = client.localize(attention=attention.reshape(-1), layout=grid)
    assert answer.regions[0]["blocks"] == [4, 2, 5, 3] and not answer.whole_image and answer.source == "attention"
    assert answer.saliency.shape == (8, 8) and answer.saliency.argmax() in (20, 21, 28, 29)
    rows, columns = np.divmod(answer.region_indices, 24)
    assert rows.min() == 6 and rows.max() == 11 and columns.min() == 12 and columns.max() == 17


def test_localize_needs_no_tensor_for_boxes(client, grid):
    answer = client.localize(region={"blocks": [0, 0, 0, 0]}, layout=grid)
    assert answer.region_indices.tolist() == [0, 1, 2, 24, 25, 26, 48, 49, 50] and answer.saliency is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_compress(client, grid, dtype):
    features = np.random.default_rng(2).standard_normal((576, 64)).astype(dtype)
    answer = client.compress(image_features=features, layout=grid, keep_tokens=32)
    assert answer.features.shape == (32, 64) and answer.features.dtype == dtype
    assert answer.sizes.sum() == 576 == len(answer.assignments) and answer["keep_tokens"] == 32
    first = answer.assignments == 0
    assert np.allclose(answer.features[0].astype(float), features[first].astype(float).mean(axis=0), atol=2e-3)


def test_compress_a_ragged_batch(client):
    generator = np.random.default_rng(2)
    images = [generator.standard_normal((rows * 8, 16)).astype(np.float32) for rows in (8, 6)]
    answer = client.compress(image_features=images, layout=[layouts.grid(8, 8), layouts.grid(6, 8)], keep_tokens=12)
    for image, one in zip(images, answer.per_image):
        alone = client.compress(image_features=image, layout=layouts.grid(len(image) // 8, 8), keep_tokens=12)
        assert np.array_equal(one.features, alone.features) and np.array_equal(one.kept_indices, alone.kept_indices)
        assert one["mode"] == "merge" and one.sizes.sum() == len(image)


def test_plan_tells_what_prune_keeps(client):
    layout = layouts.llava_next(width=640, height=480)
    plan = client.plan(layout=layout, keep_ratio=0.25, newline_policy="keep")
    attention = np.random.default_rng(1).random(plan.tokens, np.float32)
    answer = client.prune(attention=attention, layout=layout, keep_ratio=0.25, newline_policy="keep", method="topk")
    assert len(answer.kept_indices) == plan.keep_tokens == plan.per_image[0].keep_tokens
    plans = client.plan(layout=[layouts.grid(8, 8), layouts.grid(4, 4)], keep_ratio=0.5)
    assert [one.keep_tokens for one in plans.per_image] == [32, 8]


def test_methods_and_models(client):
    methods = client.methods()
    assert methods[0]["name"] == "crop" and {"topk", "fastv"} <= {method["name"] for method in methods}
    assert client.models() == []


def test_every_method_says_what_it_lacks_or_answers(client, grid):
    """No method's inputs are unknown to the client."""
    for method in client.methods():
        try:
            client.prune(method=method["name"], layout=grid, keep_tokens=8, attention=np.ones(576, np.float32))
        except InvalidRequest as error:
            assert error.status == 422


def test_the_whole_answer_is_there(client, row, grid):
    answer = client.prune(attention=row, layout=grid, keep_tokens=9, explain=True, request_id="mine")
    assert answer.request_id == "mine" and {"compute", "decode"} <= set(answer.server_timing)
    assert answer["explanation"]["rules"] and len(answer.scores) == 576 and answer.warnings == []
    assert answer.region["regions"] and answer.pruned_count == 567 and answer.decided_by in ("topk", "attention")


# Errors.


def test_problems_carry_their_details(client, row):
    with pytest.raises(InvalidRequest) as caught:
        client.prune(attention=row, layout=layouts.qwen("qwen2_vl", [1, 4, 4]), keep_tokens=9)
    error = caught.value
    assert (error.status, error.type, error.pointer) == (422, "/problems/invalid-input", "/layout")
    assert error.request_id and error.detail in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InvalidRequest and again.problem == error.problem and str(again) == str(error)


def test_too_large_a_body_is_named_although_the_server_stops_reading():
    with Server("--max-body-bytes", "1000000") as server, Client(server.url) as client:
        features = np.zeros((2304, 4096), np.float32)
        for _ in range(3):
            with pytest.raises((InvalidRequest, ConnectionFailed)) as caught:
                client.compress(image_features=features, layout=layouts.grid(48, 48), keep_tokens=9)
            if isinstance(caught.value, InvalidRequest):
                assert caught.value.status == 413
        check(client)


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailed, match="2 attempts; is `crop serve` running"):
        Client(f"http://127.0.0.1:{port}", retries=1).methods()
    assert not Client(f"http://127.0.0.1:{port}").is_ready()
    with pytest.raises(ConnectionFailed, match="nowhere.sock"):
        Client("unix:/nowhere.sock", retries=0).methods()


def test_refusals_are_repeated():
    with Scripted(BUSY, BUSY, response()) as server:
        assert Client(server.url).methods() == []
        assert len(server.requests) == 3 and len(set(server.requests)) == 1


def test_retry_after_is_honoured():
    later = BUSY.replace(b"Retry-After: 0", b"Retry-After: 1")
    with Scripted(later, response()) as server:
        start = time.monotonic()
        assert Client(server.url).methods() == []
        assert time.monotonic() - start >= 1


def test_a_wait_that_the_timeout_forbids_is_not_begun():
    later = BUSY.replace(b"Retry-After: 0", b"Retry-After: 3600")
    with Scripted(later, response()) as server, pytest.raises(Overloaded) as caught:
        Client(server.url, timeout=5).methods()
    assert caught.value.retry_after == 3600 and len(server.requests) == 1


def test_retries_end():
    with Scripted(*[BUSY] * 9) as server, pytest.raises(Overloaded) as caught:
        Client(server.url, retries=3).methods()
    assert caught.value.status == 503 and len(server.requests) == 4


@pytest.mark.parametrize("status, kind", [(404, NotFound), (422, InvalidRequest), (500, ServerError), (502, ServerError)])
def test_what_would_fail_again_is_not_repeated(status, kind):
    with Scripted(response(b"<html>no problem object", status)) as server, pytest.raises(kind, match="no problem object"):
        Client(server.url).methods()
    assert len(server.requests) == 1


def test_a_computation_that_takes_too_long_is_not_begun_again():
    slow = response(b'{"type": "/problems/compute-timeout", "status": 503, "error": "took longer"}', 503, "Retry-After: 0")
    with Scripted(slow, response()) as server, pytest.raises(ServerError, match="took longer"):
        Client(server.url).methods()
    assert len(server.requests) == 1


def test_lost_connections_are_made_again():
    """Closed while idle, and in the middle of a response."""
    cut = response(b'{"methods": []}', 200, "Connection: close")[:-4]
    with Scripted(response(), None, cut, response()) as server:
        client = Client(server.url)
        for _ in range(2):
            assert client.methods() == []
        assert server.connections == 3 and len(server.requests) == 4


def test_half_a_response_is_no_response():
    half = response(b'{"methods": []}' + b" " * 100, 200, "Connection: close")[:-50]
    with Scripted(half, response()) as server, pytest.raises(ConnectionFailed, match="within the response"):
        Client(server.url, retries=0).methods()


def test_timeouts():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)
        start = time.monotonic()
        with pytest.raises(RequestTimeout, match="0.2 s"):
            client.methods()
        with pytest.raises(RequestTimeout, match="0.1 s"):
            client.plan(layout=layouts.grid(2, 2), keep_tokens=1, timeout=0.1)
        assert 0.3 <= time.monotonic() - start < 10


def test_the_time_of_a_call_is_one_for_its_whole_response():
    """A server that sends a byte now and then does not begin it anew."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def drip():
            connection, _ = listener.accept()
            with connection:
                while not stop.wait(0.02):
                    try:
                        connection.sendall(next(letters))
                    except (OSError, StopIteration):
                        return
        letters = (bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 1000)
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(RequestTimeout):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3).methods()
        stop.set()
        thread.join()


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", response(b"{}"), response(b"[1"),
                                  response() + b"trailing"])
def test_what_is_no_answer_is_named(data):
    with Scripted(data + b"") as server, pytest.raises(ProtocolError):
        Client(server.url).methods()


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 100 Continue\r\n\r\n" + response(),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"m\r\nC\r\nethods\": []}\r\n0\r\nX: y\r\n\r\n".replace(b"C\r\n", b"c\r\n"),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"methods\": []}",
    b"HTTP/1.0 200 OK\r\nCONTENT-LENGTH:15\r\nConnection: close\r\n\r\n{\"methods\": []}"])
def test_responses_of_proxies(data):
    with Scripted(data, response()) as server:
        client = Client(server.url)
        assert client.methods() == [] and client.methods() == []


def test_a_path_before_the_service(server):
    with Scripted(response()) as scripted:
        Client(scripted.url + "/vision/crop/").methods()
        assert scripted.requests[0].startswith(b"GET /vision/crop/methods HTTP/1.1\r\n")


def test_warnings_of_the_service_are_issued():
    body = b'{"method": "topk", "kept_indices": [1], "warnings": ["577 = 24 x 24 + 1"]}'
    with Scripted(response(body)) as server, pytest.warns(CropWarning, match="577") as caught:
        answer = Client(server.url).prune(attention=[0.5, 1.0], layout=layouts.raw(2), keep_tokens=1)
    assert answer.warnings == ["577 = 24 x 24 + 1"]
    assert [one.filename for one in caught if one.category is CropWarning] == [__file__]


def test_a_restart_loses_nothing(socket_path):
    """One server stops while the next listens at the same place."""
    first = Server("--listen", f"unix:{socket_path}")
    client = Client(f"unix:{socket_path}", retries=5)
    check(client)
    first.send_signal(signal.SIGTERM)
    assert first.process.wait(20) == 0
    with Server("--listen", f"unix:{socket_path}"):
        check(client)


def test_a_batch_of_more_pieces_than_one_call_takes(client):
    images = [np.full(4, index % 3, np.float16) for index in range(1500)]
    answer = client.prune(attention=images, layout=[layouts.raw(4)] * 1500, keep_tokens=1, method="topk")
    assert len(answer.per_image) == 1500 and answer.per_image[-1].kept_indices.tolist() == [0]


def test_auto_and_break_even(client, grid):
    row = np.random.default_rng(4).random(576, np.float32)
    answer = client.prune(attention=row, layout=grid, keep_tokens=64, method="auto")
    assert answer.decided_by == "topk" and ": topk " in answer.reason
    assert client.prune(attention=row, layout=grid, keep_tokens=64, method="topk").reason is None
    model = {"hidden": 4096, "layers": 32, "heads": 32, "intermediate": 11008, "gated": True}
    plan = client.plan(layout=grid, keep_tokens=64, method="fastv", model_dimensions=model, break_even={"tflops": 400})
    assert plan.pays is True and plan["break_even"]["call"]["source"].startswith("measured on")
    slow = client.plan(layout=grid, keep_tokens=64, method="fastv", model_dimensions=model,
                       break_even={"tflops": 400, "call_ms": 500})
    assert slow.pays is False and client.plan(layout=grid, keep_tokens=64).pays is None


def test_reselect(client, grid):
    """A selection follows the model; the answer of one call is what the next one keeps."""
    generator = np.random.default_rng(3)
    first, now = generator.random((2, 576), np.float32)
    kept = client.prune(attention=first, layout=grid, keep_tokens=64, method="topk", explain=True)
    moved = client.reselect(attention=now, prefill_scores=kept.scores, layout=grid, previous=kept, max_swaps=8)
    assert moved.swap_count == len(moved.swapped_in) == 8 and len(moved.kept_indices) == 64
    assert set(moved.kept_indices) == set(kept.kept_indices) - set(moved.swapped_out) | set(moved.swapped_in)
    assert moved.kept_share[1] > moved.kept_share[0] and "max_swaps" in moved.reason
    # Attention over the kept tokens alone, in their order.
    rank = np.array(kept["explanation"]["rank"])
    short = client.reselect(attention=now[moved.kept_indices], prefill_rank=rank, layout=grid, previous=moved.kept_indices)
    assert len(short.kept_indices) == 64
    batch = client.reselect(attention=np.stack([now, first])[:, None], axes={"attention": "bqn"}, layout=[grid, grid],
                            previous=[kept, moved])
    assert [len(one.kept_indices) for one in batch.per_image] == [64, 64]
    with pytest.raises(ArgumentError, match="previous"):
        client.reselect(attention=now[:10], layout=grid, previous=kept)


def test_compare(client, grid):
    features = np.random.default_rng(2).standard_normal((576, 16)).astype(np.float32)
    methods = ["divprune", {"method": "dart", "method_parameters": {"image_pivots": 8}}, "uniform", "fastv"]
    answer = client.compare(image_features=features, layout=grid, methods=methods, keep_tokens=64, region={"blocks": [0, 0, 3, 3]})
    assert [one["method"] for one in answer.methods] == ["divprune", "dart", "uniform", "fastv"]
    for one, kept in zip(answer.methods[:3], answer.kept_indices):
        alone = client.prune(
            image_features=features, layout=grid, method=one["method"], method_parameters=one.get("method_parameters", {}),
            keep_tokens=64)
        assert np.array_equal(kept, alone.kept_indices) and one["in_region"] == sum(i // 24 < 12 and i % 24 < 12 for i in kept)
    assert answer.kept_indices[3] is None and answer.methods[3]["problem"]["pointer"] == "attention"
    first, third = set(answer.kept_indices[0].tolist()), set(answer.kept_indices[2].tolist())
    assert answer.overlap[0, 2] == pytest.approx(len(first & third) / len(first | third), abs=1e-4)
    assert np.isnan(answer.overlap[3]).all() and (np.diag(answer.overlap)[:3] == 1).all()
    assert answer.region is not None and answer.region["region_tokens"] == 144


def test_a_client_that_nobody_closes_leaves_no_socket_open(server, row, grid):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        Client(server.url).prune(attention=row, layout=grid, keep_tokens=3, method="topk")
        gc.collect()
    assert [str(one.message) for one in found] == []
