"""Damaged requests: flipped, cut, repeated and swapped bytes of good ones, in heads and bodies.

Whatever arrives, the answer is a 2xx or a 4xx problem (501 and 505 for framing), never silence and never a 500, and the
server lives on. CROP_MUTATIONS sets how many (20,000), CROP_MUTATION_SEED which.
"""
import collections
import concurrent.futures
import json
import os
import random
import time

import numpy as np
import pytest
from bodies import bfloat16_safetensors, features, json_bytes, npy, numbers, safetensors_bytes
from server import ROOT, Server
from wire import Closed, Connection, chunked, request

COUNT = int(os.environ.get("CROP_MUTATIONS", "20000"))
SEED = int(os.environ.get("CROP_MUTATION_SEED", "1"))
WORKERS = 4
PER_CONNECTION = 8


def seeds():
    """-> (target, fields, body) of good requests."""
    attention = numbers(2, 36)
    array = features(36, 8)
    grid = {"layout": {"type": "grid", "rows": 6, "columns": 6}}
    return [
        ("/prune?method=topk&keep_tokens=9", [], json_bytes({"attention": attention})),
        ("/prune", [("Content-Type", "application/json")], json_bytes({"attention": attention}, {
            **grid, "keep_ratio": 0.25, "method": "topk", "region": [{"box": [0.1, 0.2, 0.5, 0.6]}, {"blocks": [0, 0, 1, 1]}],
            "region_policy": "share", "region_share": 0.5, "explain": True,
            "model_dimensions": {"layers": 32, "hidden": 4096, "heads": 32, "intermediate": 11008}})),
        ("/prune?keep_tokens=9&method=fastv", [], json_bytes({}, {
            "attention": {"dtype": "F16", "shape": [36], "base64": "AAA" * 32}, "position_ids": {"dtype": "I64", "shape": [36], "data": list(range(36))}})),
        ("/prune?method=topk", [], json_bytes({"attention": numbers(36)}, {
            "stages": [{"layer": 2, "keep_tokens": 18}, {"layer": 16, "keep_ratio": 0.1}]})),
        ("/prune?keep_tokens=9&method=divprune", [], safetensors_bytes({"image_features": array}, grid)),
        ("/prune?keep_tokens=9&method=cdpruner", [], safetensors_bytes(
            {"image_features": array, "text_features": features(2, 8)}, {"seed": 3})),
        ("/prune?keep_tokens=9&tensor=attention", [("Accept", "application/x-safetensors")], npy(attention.astype(">f8"))),
        ("/prune?keep_tokens=9&tensor=attention&method=topk", [], npy(np.asfortranarray(attention))),
        ("/compress?keep_tokens=9", [], npy(array)),
        ("/compress", [], bfloat16_safetensors("image_features", array, {"keep_tokens": 6, "dtype": "F16"})),
        ("/compress", [("Accept", "application/json")], json_bytes({"image_features": array}, {
            "prune_ratio": 0.75, "region": {"blocks": [2, 2, 5, 5]}, **grid})),
        ("/localize", [], json_bytes({"attention": numbers(64)}, {
            "localize": {"objective": "coverage", "coverage": 0.6, "max_regions": 2}})),
        ("/localize", [], safetensors_bytes({"attention": attention, "reference_attention": attention[::-1] + 1}, grid)),
        ("/localize", [], json_bytes({"image_features": array, "text_features": features(1, 8)})),
        ("/prune", [], (ROOT / "Examples" / "cat_eye_prune.json").read_bytes()),
    ]


INTERESTING = [b"-1", b"0", b"1e999", b"9223372036854775807", b"18446744073709551616", b"null", b"[]", b"{}", b'""', b"NaN",
               b"true", b"\x00", b"\xff" * 8, b"\xff\xff\xff\x7f", b"\r\n", b"[[[[", b"1e-320", b'"\\ud800"']


def mutate(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not data:
            break
        # The front of a body is its header: most of what can go wrong stands there.
        limit = len(data) if rng.random() < 0.5 else min(len(data), 200)
        at = rng.randrange(limit)
        end = min(len(data), at + rng.choice((1, 2, 4, 8, 40)))
        kind = rng.randrange(7)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end] * rng.choice((1, 1, 3))
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:end] = rng.choice(INTERESTING)
        else:
            other = rng.randrange(len(data))
            data[at], data[other] = data[other], data[at]
    return bytes(data)


def check(answer, sent, statuses):
    """One answer, whatever it is to."""
    statuses.append(answer.status)
    allowed = 200 <= answer.status < 300 or 400 <= answer.status < 500 or answer.status in (501, 503, 505)
    assert allowed, f"{answer.status} {answer.body[:300]!r} to {sent[:3000]!r}"
    if answer.status >= 400:
        assert answer.field("Content-Type") == "application/problem+json"
        assert json.loads(answer.body)["status"] == answer.status


def send_damaged_bodies(port, rng, good, statuses):
    """Intact heads: every request is answered, and the connection lives."""
    with Connection(port, timeout=20) as connection:
        for _ in range(PER_CONNECTION):
            target, fields, body = rng.choice(good)
            body = mutate(body, rng)
            if rng.random() < 0.2:
                data = request("POST", target, [*fields, ("Transfer-Encoding", "chunked")])
                data += chunked(body, rng.choice((1, 7, 4096)) if len(body) < 2000 else 4096)
            else:
                data = request("POST", target, fields, body)
            try:
                answer = connection.exchange(data)
            except (Closed, OSError) as error:
                raise AssertionError(f"no answer ({error!r}) to {data[:3000]!r}") from error
            check(answer, data, statuses)
            assert not answer.closes, f"{answer.status} closes after {data[:3000]!r}"


def send_damaged_requests(port, rng, good, statuses):
    """Damage anywhere, several in one write: answers in order until one ends the connection, never a torn one."""
    stream = b""
    for _ in range(PER_CONNECTION):
        target, fields, body = rng.choice(good)
        data = request("POST", target, fields, body)
        head, rest = data.split(b"\r\n\r\n", 1)
        stream += mutate(head + b"\r\n\r\n", rng) + rest if rng.random() < 0.7 else mutate(data, rng)
    with Connection(port, timeout=20) as connection:
        connection.send_bytewise(stream, step=rng.choice((1 << 20, 1000)))
        try:
            connection.finish_sending()
        except OSError:
            pass  # Closed already.
        answers = 0
        while True:
            try:
                answer = connection.read_answer()
            except Closed as closed:
                assert not closed.received, f"a torn answer {closed.received!r} to {stream[:3000]!r}"
                break
            except ConnectionResetError:
                break
            except TimeoutError:
                raise AssertionError(f"silence after {answers} answers to {stream[:3000]!r}") from None
            if answer.status == 100:
                continue
            answers += 1
            check(answer, stream, statuses)
        assert answers > 0, f"no answer to {stream[:3000]!r}"


@pytest.mark.timeout(3000)
def test_mutated_requests():
    good = seeds()
    with Server("--access-log", "off") as server:
        with Connection(server.port) as connection:
            for target, fields, body in good:
                answer = connection.exchange(request("POST", target, fields, body))
                assert answer.status == 200, (target, answer.body)
            before = server.settled_descriptor_count(0, seconds=0.5)

        def work(worker):
            rng = random.Random(f"{SEED}/{worker}")
            for _ in range(COUNT // WORKERS // PER_CONNECTION):
                (send_damaged_bodies if rng.random() < 0.6 else send_damaged_requests)(server.port, rng, good, statuses)
                assert server.process.poll() is None, f"the server ended: {server.lines[-6:]}"

        start, statuses = time.monotonic(), []
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for future in [pool.submit(work, worker) for worker in range(WORKERS)]:
                future.result()
        counts = collections.Counter(statuses)
        print(f"{COUNT} damaged requests in {time.monotonic() - start:.1f} s, {dict(sorted(counts.items()))}")
        # Damage that is always harmless, or always fatal in the same way, would prove little.
        assert {200, 400, 415, 422} <= set(counts) and all(counts[status] > COUNT / 100 for status in (200, 400, 422))
        with Connection(server.port) as connection:
            for target, fields, body in good:
                assert connection.exchange(request("POST", target, fields, body)).status == 200
        assert server.settled_descriptor_count(before) <= before
