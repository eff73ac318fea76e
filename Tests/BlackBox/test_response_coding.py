"""Answers as gzip or deflate: only text, only from a size on, only to who prefers it."""
import gzip
import json
import zlib

import pytest
import requests
from bodies import numbers, json_bytes, safetensors_bytes, features
from server import Server
from test_clients import curl
from wire import Connection, request

MANY = "/prune?method=topk&keep_tokens=500"
BODY = json_bytes({"attention": numbers(576)})


@pytest.fixture(scope="module")
def coding():
    with Server("--response-compression", "on") as server:
        yield server


def raw(server, method, target, *fields, body=None):
    with Connection(server.port) as connection:
        return connection.exchange(request(method, target, fields, body), to=method)


def test_requests_decodes_what_it_asked_for(coding, server):
    answer = requests.post(coding.url + MANY, BODY, timeout=10)  # says Accept-Encoding: gzip, deflate
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json() == requests.post(server.url + MANY, BODY, timeout=10).json()


@pytest.mark.parametrize("path", ["/methods", "/assets/docs.js", "/openapi.yaml", "/openapi.json", "/metrics"])
def test_curl_compressed(coding, path):
    plain = curl(f"{coding.url}{path}")
    coded = curl("-H", "Accept-Encoding: gzip", f"{coding.url}{path}")
    text = curl("--compressed", f"{coding.url}{path}")
    assert coded[:2] == b"\x1f\x8b" and len(coded) < len(plain)
    if path != "/metrics":
        assert gzip.decompress(coded) == plain == text


@pytest.mark.parametrize("value, is_coded", [
    (None, False), ("", False), ("gzip", True), ("GZIP", True), ("x-gzip", True), ("*", True), ("gzip;q=0", False),
    ("*;q=0", False), ("*;q=0, gzip;q=0.1", True), ("gzip;q=0, *", False), ("identity", False), ("br, zstd", False),
    ("br;q=1, gzip;q=0.5", True), ("identity;q=1, gzip;q=0.5", False), ("identity;q=0, gzip", True)])
def test_accept_encoding(coding, value, is_coded):
    fields = [] if value is None else [("Accept-Encoding", value)]
    answer = raw(coding, "GET", "/methods", *fields)
    assert answer.status == 200 and answer.field("Vary") == "Accept-Encoding"
    assert answer.field("Content-Encoding") == ("gzip" if is_coded else None)
    assert json.loads(gzip.decompress(answer.body) if is_coded else answer.body)["methods"]


@pytest.mark.parametrize("value", ["deflate", "deflate, br", "gzip;q=0, deflate", "gzip;q=0.5, deflate"])
def test_deflate_is_the_format_of_zlib(coding, server, value):
    answer = raw(coding, "GET", "/methods", ("Accept-Encoding", value))
    assert answer.field("Content-Encoding") == "deflate"
    assert zlib.decompress(answer.body) == raw(server, "GET", "/methods").body
    decoded = requests.post(coding.url + MANY, BODY, headers={"Accept-Encoding": value}, timeout=10)
    assert decoded.headers["Content-Encoding"] == "deflate"
    assert decoded.json() == requests.post(server.url + MANY, BODY, timeout=10).json()


def test_head_says_what_get_says(coding):
    fields = [("Accept-Encoding", "gzip")]
    get, head = (raw(coding, method, "/openapi.json", *fields) for method in ("GET", "HEAD"))
    for name in "Content-Encoding", "Content-Length", "Content-Type", "Vary":
        assert get.field(name) == head.field(name) is not None


def test_short_answers_tensors_and_answers_without_a_body_are_plain(coding):
    gzip_please = ("Accept-Encoding", "gzip")
    tensors = safetensors_bytes({"image_features": features(64, 64)})
    for method, target, fields, body in [
        ("GET", "/livez", (), None), ("GET", "/nowhere", (), None), ("OPTIONS", "/prune", (), None),
        ("POST", "/compress?keep_tokens=32&layout=%7B%22type%22%3A%22grid%22%2C%22rows%22%3A8%2C%22columns%22%3A8%7D",
         [("Content-Type", "application/x-safetensors"), ("Accept", "application/x-safetensors")], tensors),
    ]:
        answer = raw(coding, method, target, gzip_please, *fields, body=body)
        assert answer.field("Content-Encoding") is None and answer.field("Vary") is None, (target, answer.status)


def test_nothing_is_compressed_by_default(server):
    answer = raw(server, "GET", "/openapi.json", ("Accept-Encoding", "gzip"))
    assert answer.field("Content-Encoding") is None and answer.field("Vary") is None
