"""API keys: who may ask, what needs none, how keys change, and that none is ever shown."""
import json
import signal

import pytest
import requests
from bodies import PRUNE, TINY, TINY_KEPT
from server import Server, crop
from test_clients import curl
from wire import Connection, request

BLUE, PLAIN, LATER = "blue-key-0123456789abcdef", "plain!\"#$%&'()*+,/:;<=>?@key", "later-key-0123456789"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# two keys\nblue {BLUE}\n\n{PLAIN}\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def server(key_file):
    with Server("--api-key-file", key_file) as server:
        yield server


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("headers", [
    bearer(BLUE), bearer(PLAIN), {"X-API-Key": BLUE}, {"authorization": f"bearer  {BLUE}"},
    {"X-API-Key": PLAIN, **bearer(PLAIN)}])
def test_a_known_key_opens(server, headers):
    answer = requests.post(server.url + PRUNE, TINY, headers=headers, timeout=10)
    assert answer.status_code == 200 and answer.json()["kept_indices"] == TINY_KEPT


@pytest.mark.parametrize("headers", [
    {}, bearer("blue"), bearer(BLUE + "x"), bearer(BLUE[:-1]), {"Authorization": BLUE}, {"X-API-Key": LATER},
    {"X-API-Key": BLUE, **bearer(PLAIN)}, {"X-API-Key": BLUE, **bearer(LATER)}, {"X-API-Key": BLUE.upper()}])
def test_anything_else_is_401(server, headers):
    answer = requests.post(server.url + PRUNE, TINY, headers=headers, timeout=10)
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == 'Bearer realm="crop"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/unauthorized" and answer.json()["instance"] == answer.headers["X-Request-Id"]
    for key in BLUE, PLAIN, LATER:
        assert key not in answer.text


def test_curl_with_a_key(server):
    assert json.loads(curl("-H", f"X-API-Key: {BLUE}", "-d", TINY.decode(), server.url + PRUNE))["kept_indices"] == TINY_KEPT
    assert json.loads(curl("--oauth2-bearer", BLUE, f"{server.url}/methods"))["methods"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/health", "/ping", "/metrics"])
def test_probes_and_metrics_need_none(server, path):
    assert requests.get(server.url + path, timeout=10).status_code == 200
    assert requests.get(server.url + path, headers=bearer("wrong"), timeout=10).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/assets/page.css"])
def test_pages_need_none(server, path):
    assert requests.get(server.url + path, timeout=10).status_code == 200
    # With "/" this is the default check of HAProxy.
    assert requests.options(server.url + path, timeout=10).status_code == 204


@pytest.mark.parametrize("path", ["/methods", "/methods/topk", "/openapi.json", "/nowhere", "/prune"])
def test_everything_else_needs_one(server, path):
    assert requests.get(server.url + path, timeout=10).status_code == 401
    assert requests.options(server.url + path, timeout=10).status_code == 401


def test_the_health_check_needs_none(server):
    assert crop("healthcheck", "--url", f"{server.url}/readyz").returncode == 0


def test_a_refusal_comes_before_the_body(server):
    with Connection(server.port) as connection:
        fields = [("Content-Length", str(60 << 20)), ("Expect", "100-continue")]
        answer = connection.exchange(request("POST", PRUNE, fields))
        assert answer.status == 401 and answer.closes and connection.is_closed_by_server()


def test_a_refusal_keeps_a_connection_without_a_body(server):
    with Connection(server.port) as connection:
        assert connection.exchange(request(target="/methods")).status == 401
        assert connection.exchange(request(target="/methods", fields=[("X-API-Key", BLUE)])).status == 200


def test_keys_are_read_again_on_sighup(server, key_file):
    def status(key):
        return requests.get(f"{server.url}/methods", headers=bearer(key), timeout=10).status_code

    assert (status(BLUE), status(LATER)) == (200, 401)
    key_file.write_text(LATER)
    server.send_signal(signal.SIGHUP)
    server.wait_for_line(r"reloaded.*1 key")
    assert (status(BLUE), status(LATER)) == (401, 200)
    key_file.write_text("short")
    server.send_signal(signal.SIGHUP)
    line = server.wait_for_line(r"not reloaded.*").group()
    assert "line 1" in line and "short" not in line.replace("shorter", "")
    assert (status(BLUE), status(LATER)) == (401, 200)
    key_file.unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_for_line(r"not reloaded.*no such file")
    assert status(LATER) == 200


def test_the_log_has_the_name_and_never_the_key(key_file):
    with Server("--api-key-file", key_file, "--log-level", "trace") as server:
        for headers in bearer(BLUE), {"X-API-Key": PLAIN}, bearer(LATER):
            requests.post(server.url + PRUNE, TINY, headers=headers, timeout=10)
        server.wait_for_line(r"route=/prune status=401")
        server.wait_for_line(r"key=blue .*route=/prune status=200")
        text = "\n".join(server.lines) + requests.get(f"{server.url}/metrics", timeout=10).text
        for key in BLUE, PLAIN, LATER:
            assert key not in text and key[:12] not in text


def test_printed_settings_have_the_path_alone(key_file):
    done = crop("serve", "--api-key-file", key_file, "--print-config")
    assert done.returncode == 0 and str(key_file) in done.stdout and BLUE not in done.stdout + done.stderr


@pytest.mark.parametrize("text, words", [
    ("", "no key"), ("# only\n", "no key"), ("too-short", "line 1"), (f"{BLUE}\n{BLUE}", "line 2"),
    (f"{BLUE}\na b c", "line 2"), (f"{BLUE}\u00e9", "line 1")])
def test_a_bad_file_is_said_at_the_start(key_file, text, words):
    key_file.write_text(text)
    done = crop("serve", "--http-port", "0", "--api-key-file", key_file, timeout=20)
    assert done.returncode == 78 and str(key_file) in done.stderr and words in done.stderr
    assert BLUE not in done.stderr


def test_a_missing_file_is_said_at_the_start(tmp_path):
    done = crop("serve", "--http-port", "0", "--api-key-file", tmp_path / "none", timeout=20)
    assert done.returncode == 78 and "no such file" in done.stderr


def test_a_file_that_all_can_read_is_a_warning(key_file):
    key_file.chmod(0o644)
    with Server("--api-key-file", key_file) as server:
        server.wait_for_line(r"warning.*chmod")
