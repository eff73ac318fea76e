"""Every error is RFC 9457 problem+json that says what, where and what would be right; every answer has its ids."""
import json
import re

import pytest
from bodies import PRUNE, TINY, npy, numbers, safetensors_bytes
from wire import Connection, request

JSON = ("Content-Type", "application/json")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def post(body=TINY, *fields, target=PRUNE):
    return request("POST", target, fields, body)


def with_nan():
    array = numbers(16)
    array[5] = float("nan")
    return array


PROBLEMS = [
    ("nothing at the path", request(target="/prun"), 404, "not-found", "did you mean /prune?"),
    ("unknown method name", request(target="/methods/topq"), 404, "unknown-method", "did you mean 'topk'?"),
    ("method not allowed", request("PUT", "/prune"), 405, "method-not-allowed", "POST"),
    ("no body", request("POST", PRUNE), 400, "body-required", "send tensors as"),
    ("JSON cut short", post(TINY[:-1]), 400, "malformed-body", "byte"),
    ("JSON with rest", post(TINY + b"x"), 400, "malformed-body", "byte"),
    ("JSON with a duplicate", post(b'{"attention":[1,2],"attention":[1,2]}'), 400, "malformed-body", "attention"),
    ("JSON too deep", post(b'{"layout":' + b"[" * 100_000), 400, "malformed-body", ""),
    ("not UTF-8", post(b'{"\xff":1}'), 400, "malformed-body", ""),
    ("no object", post(b"[1,2]", JSON), 422, "invalid-input", "object"),
    ("bad query", post(target="/prune?method=%zz"), 400, "malformed-query", ""),
    ("query twice", post(target=PRUNE + "&method=topk"), 400, "malformed-query", "twice"),
    ("query and body", post(b'{"attention":[1,2],"method":"topk"}'), 422, "invalid-input", "query"),
    ("pickle", post(b"\x80\x04\x95abc"), 415, "unsupported-format", "pickle"),
    ("zip cut short", post(b"PK\x03\x04abc"), 400, "malformed-body", "zip"),
    ("picture", post(b"\x89PNG\r\n\x1a\n"), 415, "unsupported-format", "picture"),
    ("a media type", post(TINY, ("Content-Type", "text/plain")), 415, "unsupported-format", "text/plain"),
    ("a content coding", post(TINY, ("Content-Encoding", "br")), 415, "unsupported-format", "br"),
    ("unknown parameter", post(target=PRUNE + "&keep_token=3"), 422, "unknown-parameter", "keep_tokens"),
    ("unknown pruning method", post(target="/prune?method=topq&keep_tokens=2"), 422, "unknown-method", "topk"),
    ("two budgets", post(target=PRUNE + "&keep_ratio=0.5"), 422, "invalid-input", "keep_"),
    ("no budget", post(target="/prune?method=topk"), 422, "invalid-input", "keep_tokens"),
    ("too many tokens", post(target="/prune?method=topk&keep_tokens=5"), 422, "invalid-input", "4"),
    ("NaN", post(npy(with_nan()), target=PRUNE + "&tensor=attention"), 422, "invalid-input", "5"),
    ("infinity", post(npy(numbers(16) + float("inf")), target=PRUNE + "&tensor=attention"), 422, "invalid-input", "0"),
    ("missing tensor", post(b'{"image_features":[[1,2],[3,4]]}'), 422, "invalid-input", "attention"),
    ("ragged rows", post(b'{"image_features":[[1,2],[3]],"method":"divprune"}', target="/prune?keep_tokens=1"), 422,
     "invalid-input", ""),
    ("safetensors cut short", post(safetensors_bytes({"attention": numbers(16)})[:-1]), 400, "malformed-body", ""),
    ("safetensors with rest", post(safetensors_bytes({"attention": numbers(16)}) + b"x"), 400, "malformed-body", ""),
    ("npy cut short", post(npy(numbers(16))[:-1], target=PRUNE + "&tensor=attention"), 400, "malformed-body", ""),
    ("too large", request("POST", PRUNE, [("Content-Length", 1 << 40)]), 413, "body-too-large", "--max-body-bytes"),
    ("long target", request(target="/" + "a" * 9000), 414, "target-too-long", "8192"),
    ("long head", request(fields=[("X", "a" * 70000)]), 431, "head-too-large", "65536"),
    ("expectation", request("POST", PRUNE, [("Expect", "tea")], TINY), 417, "bad-framing", ""),
    ("framing", b"GET  / HTTP/1.1\r\n\r\n", 400, "bad-framing", ""),
    ("version", request(version="HTTP/2.0"), 505, "bad-framing", ""),
]


@pytest.mark.parametrize("data, status, slug, words", [case[1:] for case in PROBLEMS], ids=[case[0] for case in PROBLEMS])
def test_problem(connection, data, status, slug, words):
    answer = connection.exchange(data)
    assert answer.status == status, answer.body
    assert answer.field("Content-Type") == "application/problem+json"
    problem = answer.json
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert isinstance(problem["title"], str) and problem["title"]
    assert words in problem["detail"] + problem.get("pointer", ""), problem
    assert problem["instance"] == answer.field("X-Request-Id")
    assert problem["detail"] in problem["error"] and "\n" not in problem["error"]
    for word in ("Swift", "fatal", "Sources/"):
        assert word not in problem["detail"]
    if status == 405:
        assert "POST" in answer.field("Allow")


def test_the_pointer_names_tensor_and_parameter(connection):
    answer = connection.exchange(post(target="/prune?method=topk&keep_tokens=5"))
    assert answer.json["pointer"] == "/keep_tokens"
    array = numbers(16)
    array[5] = float("nan")
    problem = connection.exchange(post(npy(array), target=PRUNE + "&tensor=attention")).json
    assert problem["pointer"].startswith("attention") and re.search(r"\b5\b", problem["error"])


@pytest.mark.parametrize("data", [
    request(), request(target="/methods"), request(target="/metrics"), request("OPTIONS", "/prune"), post(),
    request(target="/nowhere"), post(b"{}"), request("POST", PRUNE), b"GET /livez HTTP/1.1\r\nHost: a\r\nX :\r\n\r\n",
], ids=["probe", "methods", "metrics", "options", "prune", "404", "422", "400 at the head", "400 framing"])
def test_every_answer_has_a_request_id(connection, data):
    assert re.fullmatch(r"[0-9a-f]{32}", connection.exchange(data).field("X-Request-Id"))


@pytest.mark.parametrize("data", [request, lambda **more: request(target="/nowhere", **more)], ids=["200", "404"])
def test_request_id_and_traceparent_are_echoed(connection, data):
    answer = connection.exchange(data(fields=[("x-request-id", "abc-1.2_3~!"), ("Traceparent", TRACE)]))
    assert answer.field("X-Request-Id") == "abc-1.2_3~!"
    assert answer.field("traceparent") == TRACE


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "\xfc"])
def test_an_unusable_request_id_is_replaced(connection, value):
    data = b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + value.encode("latin-1") + b"\r\n\r\n"
    assert re.fullmatch(r"[0-9a-f]{32}", connection.exchange(data).field("X-Request-Id"))


@pytest.mark.parametrize("value", ["", "00-0-0-00", TRACE.replace("0af", "XYZ"), "ff" + TRACE[2:], TRACE + "-00",
                                   "00-" + "0" * 32 + TRACE[35:]])
def test_a_malformed_traceparent_is_dropped(connection, value):
    answer = connection.exchange(request(fields=[("traceparent", value)]))
    assert answer.status == 200 and answer.field("traceparent") is None


def test_server_timing_names_the_phases(connection):
    phases = connection.exchange(post()).field("Server-Timing")
    assert re.fullmatch(r"receive;dur=[\d.]+, decode;dur=[\d.]+, compute;dur=[\d.]+, encode;dur=[\d.]+", phases)


def test_server_timing_is_there_for_errors_found_in_the_body(connection):
    answer = connection.exchange(post(b'{"attention":[1]}'))
    assert answer.status == 422
    assert (answer.field("Server-Timing") or "").startswith("receive;dur=")


def test_the_same_request_gives_the_same_bytes(connection):
    bodies = {connection.exchange(post()).body for _ in range(20)}
    assert len(bodies) == 1


def test_no_client_bytes_reach_a_header(connection):
    """Response splitting: whatever is echoed is checked first."""
    for value in ("a%0d%0aSet-Cookie:%20b", "a\tb"):
        data = request(target="/nowhere/" + value.replace("\t", "%09"), fields=[("X-Request-Id", value)])
        answer = connection.exchange(data)
        assert answer.status == 404 and answer.field("Set-Cookie") is None


def test_json_answers_parse_and_end_with_their_length(server):
    with Connection(server.port) as connection:
        for target in ("/methods", "/methods/topk", "/livez", "/readyz", "/healthz", "/health", "/ping"):
            answer = connection.exchange(request(target=target))
            assert answer.status == 200 and json.loads(answer.body)
            assert answer.field("Content-Type") == "application/json"
            head = connection.exchange(request("HEAD", target), to="HEAD")
            assert head.status == 200 and head.field("Content-Length") == answer.field("Content-Length")
