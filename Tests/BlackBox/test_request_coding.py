"""Compressed request bodies: read piece by piece, within the limit on what is inside."""
import gzip
import json
import zlib

import numpy as np
import pytest
import requests
from bodies import PRUNE, TINY, TINY_KEPT, json_bytes, npy, numbers, safetensors_bytes
from server import Server
from test_clients import curl
from wire import Connection, chunked, request

ATTENTION = numbers(24 * 24)
KEPT = np.sort(np.argsort(-ATTENTION, kind="stable")[:64]).tolist()
MANY = "/prune?method=topk&keep_tokens=64&tensor=attention"


def raw_deflate(data):
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


CODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "GZip": gzip.compress}


def post(server, body, coding, target=PRUNE, **headers):
    return requests.post(server.url + target, body, headers={"Content-Encoding": coding, **headers}, timeout=20)


def problem(answer):
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("body, target", [
    (json_bytes({"attention": ATTENTION}), "/prune?method=topk&keep_tokens=64"), (npy(ATTENTION), MANY),
    (safetensors_bytes({"attention": ATTENTION}), "/prune?method=topk&keep_tokens=64")])
def test_every_format_in_every_coding(server, coding, body, target):
    assert post(server, CODERS[coding](body), coding, target).json()["kept_indices"] == KEPT


def test_curl_sends_a_gzip_file(server, tmp_path):
    path = tmp_path / "request.npy.gz"
    path.write_bytes(gzip.compress(npy(ATTENTION)))
    answer = curl("-H", "Content-Encoding: gzip", "-H", "Content-Type: application/x-npy", "--data-binary", f"@{path}",
                  server.url + MANY)
    assert json.loads(answer)["kept_indices"] == KEPT
    answer = curl("-H", "Content-Encoding: gzip", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{path}",
                  server.url + MANY)
    assert json.loads(answer)["kept_indices"] == KEPT


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_any_delivery(server, is_chunked, step):
    body = gzip.compress(TINY)
    fields = [("Content-Encoding", "gzip")]
    if is_chunked:
        data = request("POST", PRUNE, fields + [("Transfer-Encoding", "chunked")]) + chunked(body)
    else:
        data = request("POST", PRUNE, fields, body)
    with Connection(server.port) as connection:
        for _ in range(2):
            connection.send_bytewise(data, step)
            assert connection.read_answer("POST").json["kept_indices"] == TINY_KEPT
        assert connection.is_alive()


def test_pipelined(server):
    data = request("POST", PRUNE, [("Content-Encoding", "deflate")], zlib.compress(TINY))
    data += request("POST", PRUNE, [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")])
    data += chunked(gzip.compress(TINY)) + request("POST", PRUNE, (), TINY)
    with Connection(server.port) as connection:
        connection.send(data)
        assert [connection.read_answer("POST").json["kept_indices"] for _ in range(3)] == [TINY_KEPT] * 3


def test_several_members(server):
    assert post(server, gzip.compress(TINY[:9]) + gzip.compress(TINY[9:]), "gzip").json()["kept_indices"] == TINY_KEPT


def test_5_mb_and_more(server):
    scores = np.random.default_rng(3).random(1 << 20, np.float32)
    answer = post(server, gzip.compress(npy(scores), 1), "gzip", "/prune?method=topk&keep_tokens=3&tensor=attention")
    assert answer.json()["kept_indices"] == np.sort(np.argsort(-scores, kind="stable")[:3]).tolist()


def test_zeros_shrink_a_thousandfold_and_are_welcome(server):
    scores = np.zeros(1 << 20, np.float32)
    scores[5] = 1
    answer = post(server, gzip.compress(npy(scores), 9), "gzip", "/prune?method=topk&keep_tokens=1&tensor=attention")
    assert answer.json()["kept_indices"] == [5]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_truncated_at_every_byte(server, coding):
    body = CODERS[coding](TINY)
    with Connection(server.port) as connection:
        for length in range(1, len(body)):
            answer = connection.exchange(request("POST", PRUNE, [("Content-Encoding", coding)], body[:length]), "POST")
            assert (answer.status, answer.json["type"]) == (400, "/problems/malformed-coding"), length
            if answer.closes:
                connection.close()
                connection.__init__(server.port)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_damaged_byte_is_never_a_wrong_answer(server, coding):
    body = bytearray(CODERS[coding](TINY))
    for index in range(len(body)):
        body[index] ^= 0x55
        answer = post(server, bytes(body), coding)
        assert answer.status_code == 400 or answer.json()["kept_indices"] == TINY_KEPT, index
        body[index] ^= 0x55


@pytest.mark.parametrize("body, coding", [
    (gzip.compress(TINY) + b"x", "gzip"), (zlib.compress(TINY) + b"x", "deflate"), (TINY, "gzip"), (TINY, "deflate"),
    (gzip.compress(TINY), "deflate"), (zlib.compress(TINY), "gzip"), (raw_deflate(TINY), "deflate"),
    (gzip.compress(TINY) + b"\0" * 8, "gzip"), (np.random.default_rng(6).bytes(500), "gzip")],
    ids=["gzip-and-more", "zlib-and-more", "plain-as-gzip", "plain-as-deflate", "gzip-as-deflate", "zlib-as-gzip", "raw-deflate",
         "gzip-and-zeros", "noise"])
def test_what_is_not_the_coding(server, body, coding):
    answer = post(server, body, coding)
    assert problem(answer) == (400, "malformed-coding") and answer.json()["detail"]


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "aes128gcm"])
def test_unknown_codings(server, coding):
    answer = post(server, TINY, coding)
    assert problem(answer) == (415, "unsupported-format") and answer.headers["Accept-Encoding"] == "gzip, deflate"


def test_identity_is_no_coding(server):
    assert post(server, TINY, "identity").json()["kept_indices"] == TINY_KEPT


def test_nothing_inside(server):
    answer = post(server, gzip.compress(b""), "gzip")
    assert answer.status_code == 400


LIMIT = 64 << 10


@pytest.fixture(scope="module")
def small():
    with Server("--max-body-bytes", str(LIMIT), "--max-in-flight-bytes", str(4 * LIMIT)) as server:
        yield server


def padded(size):
    return TINY[:-1] + b" " * (size - len(TINY)) + b"}"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_limit_is_on_what_is_inside_and_exact(small, coding):
    assert post(small, CODERS[coding](padded(LIMIT)), coding).json()["kept_indices"] == TINY_KEPT
    answer = post(small, CODERS[coding](padded(LIMIT + 1)), coding)
    assert problem(answer) == (413, "body-too-large")


def test_bombs_stop_at_the_limit(small):
    bomb = gzip.compress(b"\0" * (50 << 20), 9)
    before = small.resident_bytes()
    for _ in range(20):
        try:
            assert problem(post(small, bomb, "gzip")) == (413, "body-too-large")
        except requests.ConnectionError:
            pass  # the server may close before it has read all of the bomb
    assert small.resident_bytes() - before < 16 << 20
    assert problem(post(small, gzip.compress(gzip.compress(TINY)), "gzip"))[0] == 415
    small.wait_for_metric("crop_request_body_bytes_in_flight 0")


def test_a_probe_ignores_its_body(server):
    with Connection(server.port) as connection:
        answer = connection.exchange(request("GET", "/livez", [("Content-Encoding", "gzip")], b"not gzip"))
        assert answer.status == 200 and connection.is_alive()
