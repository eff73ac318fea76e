"""Every example of openapi.yaml is sent to a server, and what it is said to answer is what comes back."""
import json

import requests

# What only the transport or its load can cause; Tests/PruningServiceTests/ContractExampleTests.swift compares these with what the
# service says then, and the tests of Tests/BlackBox cause them.
UNASKED = {
    "timedOut", "bodyTooLarge", "malformedCoding", "tooManyRequests", "overloaded", "sharedMemory", "badFraming", "targetTooLong",
    "headTooLarge", "unauthorized",
}


def without_times(value):
    """How long something took differs each time."""
    if isinstance(value, dict):
        return {name: without_times(member) for name, member in value.items() if name != "milliseconds"}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def ask(server, method, target, body=None, media_type=None):
    headers = {"X-Request-Id": "example", **({"Content-Type": media_type} if media_type else {})}
    return requests.request(method, server.url + target, data=body, headers=headers, timeout=20)


def test_request_examples_give_their_responses(server, document):
    tried = 0
    for method, path, operation in document.operations():
        body = document.resolved(operation.get("requestBody"))
        if body is None:
            continue
        asked = body["content"]["application/json"]["examples"]
        success = document.resolved(operation["responses"]["200"])
        told = success.get("content", {}).get("application/json", {}).get("examples", {})
        assert list(asked) == list(told) or not success.get("content"), f"{path}: a request and a response have one name"
        for name, example in asked.items():
            response = ask(server, method, document.target(path, operation), json.dumps(example["value"]), "application/json")
            assert response.status_code == 200, f"{path} {name}: {response.text}"
            if name in told:
                assert without_times(response.json()) == without_times(told[name]["value"]), f"{path} {name}"
            tried += 1
    assert tried >= 20


def test_examples_that_name_their_request_give_their_values(server, document):
    tried, unasked = 0, set()
    for where, media_type, content in document.contents():
        if " body" in where:
            continue
        for name, example in content.get("examples", {}).items():
            example = document.resolved(example)
            asked = example.get("x-request")
            if asked is None:
                unasked.add((where, name))
                continue
            response = ask(server, asked["method"], asked["target"], asked.get("body"), asked.get("content_type"))
            assert response.headers["Content-Type"].startswith(media_type.split(";")[0]), f"{where} {name}"
            assert response.json() == example["value"], f"{where} {name}"
            assert response.status_code == (example["value"]["status"] if "problem" in media_type else response.status_code)
            tried += 1
    assert tried >= 14
    # Those of request bodies, in the test above; of what the transport causes; and of states.
    left = {
        (where, name) for where, name in unasked
        if not where.startswith("POST") or not where.endswith(" 200")}
    assert {name for _, name in left} <= UNASKED | {"ready", "overloaded", "draining"}, left


def test_examples_of_path_variables_lead_somewhere(server, document):
    register = document.root["components"]["parameters"]["InferenceRegion"]["example"]
    ask(server, "POST", f"/v2/systemsharedmemory/region/{register}/register", json.dumps({"key": "/crop_inputs", "byte_size": 8}))
    tried = 0
    for method, path, operation in document.operations():
        if method == "GET" and "{" in path:
            assert ask(server, method, document.target(path, operation)).status_code == 200, path
            tried += 1
    assert tried >= 10
