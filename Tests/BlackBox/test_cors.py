"""Cross-origin requests, as browsers ask."""
import pytest
import requests
from bodies import PRUNE, TINY
from server import Server

PAGE, OTHER = "https://app.example.org", "https://evil.example"
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}


@pytest.fixture(scope="module")
def shared():
    with Server("--cors-allowed-origins", f"{PAGE},http://localhost:3000") as server:
        yield server


def names(answer):
    return {name.lower() for name in answer.headers}


def words(value):
    return {word.strip().lower() for word in value.split(",")}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_preflight(shared, origin):
    answer = requests.options(shared.url + PRUNE, headers={"Origin": origin, **ASK}, timeout=10)
    assert answer.status_code == 204 and not answer.content
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert {"content-type", "authorization", "x-api-key"} <= words(answer.headers["Access-Control-Allow-Headers"])
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert words(answer.headers["Vary"]) == {"origin"}


def test_another_page_is_told_nothing(shared):
    for answer in (requests.options(shared.url + PRUNE, headers={"Origin": OTHER, **ASK}, timeout=10),
                   requests.get(f"{shared.url}/methods", headers={"Origin": OTHER}, timeout=10)):
        assert answer.ok and not any(name.startswith("access-control") for name in names(answer))
        assert words(answer.headers["Vary"]) == {"origin"}


@pytest.mark.parametrize("method, path, body, status", [
    ("POST", PRUNE, TINY, 200), ("GET", "/methods", None, 200), ("GET", "/nowhere", None, 404),
    ("DELETE", "/prune", None, 405), ("POST", "/prune", b"{", 400), ("POST", PRUNE + "&keep_tokens=3", TINY, 400)])
def test_answers_and_errors_can_be_read(shared, method, path, body, status):
    answer = requests.request(method, shared.url + path, data=body, headers={"Origin": PAGE}, timeout=10)
    assert answer.status_code == status and answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert {"x-request-id", "server-timing", "traceparent"} <= words(answer.headers["Access-Control-Expose-Headers"])


def test_without_the_setting_nothing_is_said(server):
    answer = requests.get(f"{server.url}/methods", headers={"Origin": PAGE}, timeout=10)
    assert not any(name.startswith("access-control") for name in names(answer)) and "vary" not in names(answer)


def test_every_page():
    with Server("--cors-allowed-origins", "*") as server:
        answer = requests.get(f"{server.url}/methods", headers={"Origin": OTHER}, timeout=10)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_preflight_needs_no_key_and_a_refusal_can_be_read(tmp_path):
    (tmp_path / "keys").write_text("0123456789abcdef")
    with Server("--cors-allowed-origins", PAGE, "--api-key-file", tmp_path / "keys") as server:
        asked = requests.options(server.url + PRUNE, headers={"Origin": PAGE, **ASK}, timeout=10)
        assert asked.status_code == 204 and asked.headers["Access-Control-Allow-Origin"] == PAGE
        refused = requests.post(server.url + PRUNE, TINY, headers={"Origin": PAGE}, timeout=10)
        assert refused.status_code == 401 and refused.headers["Access-Control-Allow-Origin"] == PAGE
