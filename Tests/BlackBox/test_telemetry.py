"""Spans for a collector, and metrics as OpenMetrics."""
import http.server
import json
import queue
import re
import socket
import threading
import time

import numpy as np
import pytest
from bodies import npy
from prometheus_client.openmetrics import parser as openmetrics
from server import Server, crop
from wire import Connection, request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
SAMPLED = ("traceparent", f"00-{TRACE}-{PARENT}-01")


class Collector:
    """Takes exports, and answers with the statuses it is told, then with 200."""

    def __init__(self, statuses=()):
        self.requests, self.statuses = queue.Queue(), list(statuses)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")
                outer.requests.put((self.path, self.headers, json.loads(body), status))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def spans(self, count, seconds=20):
        """-> the next `count` spans of accepted exports, in the order of export."""
        spans, end = [], time.monotonic() + seconds
        while len(spans) < count:
            *_, document, status = self.requests.get(timeout=max(0.01, end - time.monotonic()))
            if status == 200:
                spans += spans_of(document)
        return spans


def spans_of(document):
    return [span for resource in document["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]


def attributes(item):
    return {entry["key"]: next(iter(entry["value"].values())) for entry in item["attributes"]}


def prune(*fields, tokens=36, method="divprune"):
    features = np.random.default_rng(1).standard_normal((tokens, 16)).astype(np.float32)
    return request("POST", f"/prune?keep_tokens=9&method={method}", [("Content-Type", "application/x-npy"), *fields], npy(features))


def test_a_request_becomes_a_span_that_continues_the_trace():
    with Collector() as collector, Server(
            "--otlp-endpoint", collector.url, "--otlp-resource-attributes", "deployment.environment=test,a=b%2Cc") as server:
        before = time.time_ns()
        with Connection(server.target) as connection:
            answer = connection.exchange(prune(SAMPLED, ("tracestate", "vendor=1"), ("X-Request-Id", "seen-1")))
            assert answer.status == 200 and answer.field("traceparent") == SAMPLED[1]
        path, headers, document, _ = collector.requests.get(timeout=20)
        after = time.time_ns()
    assert path == "/v1/traces" and headers["Content-Type"] == "application/json"
    resource = attributes(document["resourceSpans"][0]["resource"])
    assert resource["service.name"] == "crop" and resource["deployment.environment"] == "test" and resource["a"] == "b,c"
    assert resource["service.version"]
    span, = spans_of(document)
    assert span["traceId"] == TRACE and span["parentSpanId"] == PARENT and span["traceState"] == "vendor=1"
    assert re.fullmatch("[0-9a-f]{16}", span["spanId"]) and span["spanId"] not in (PARENT, "0" * 16)
    assert span["name"] == "POST /prune" and span["kind"] == 2 and span["status"] == {}
    start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    # The clock's steps, and the first byte, which is older than this process's look at the clock at most.
    assert before - 10**9 < start < end < after + 10**9
    found = attributes(span)
    assert found["http.request.method"] == "POST" and found["http.route"] == "/prune"
    assert found["http.response.status_code"] == "200" and found["crop.request_id"] == "seen-1"
    assert found["crop.tokens"] == "36" and found["crop.kept"] == "9"
    assert int(found["http.request.body.size"]) > 36 * 16 * 4
    names = [event["name"] for event in span["events"]]
    assert names[0] == "receive" and names[-1] == "write" and {"decode", "compute", "encode"} <= set(names)
    for event in span["events"]:
        assert start <= int(event["timeUnixNano"]) <= end and 0 <= int(attributes(event)["crop.duration_ns"]) <= end - start


@pytest.mark.parametrize("method", ["topk", "divprune"])
def test_every_way_to_an_answer_makes_a_span(method):
    scores = np.linspace(0, 1, 36, dtype=np.float32)
    body = npy(scores if method == "topk" else np.eye(36, 16, dtype=np.float32))
    message = request(
        "POST", f"/prune?keep_tokens=9&method={method}" + ("&tensor=attention" if method == "topk" else ""),
        [("Content-Type", "application/x-npy"), SAMPLED], body)
    with Collector() as collector, Server("--otlp-endpoint", collector.url, "--access-log", "off") as server:
        with Connection(server.target) as connection:
            for _ in range(4):
                assert connection.exchange(message).status == 200
        spans = collector.spans(4)
    assert len({span["spanId"] for span in spans}) == 4
    assert all("compute" in [event["name"] for event in span["events"]] for span in spans)
    assert all(attributes(span)["crop.kept"] == "9" for span in spans)


def test_what_is_sampled_follows_the_caller_and_the_ratio():
    with Collector() as collector, Server("--otlp-endpoint", collector.url, "--otlp-ratio", "0") as server:
        with Connection(server.target) as connection:
            for flags in ("00", "02"):
                connection.exchange(prune(("traceparent", f"00-{TRACE}-{PARENT}-{flags}")))
            connection.exchange(prune())
            connection.exchange(request(target="/readyz", fields=[SAMPLED]))
            connection.exchange(request(target="/nowhere", fields=[SAMPLED]))
            connection.exchange(prune(("traceparent", f"00-{TRACE}-{PARENT}-03")))
        first, second = collector.spans(2)
    assert first["name"] == "GET" and attributes(first)["http.response.status_code"] == "404"
    assert "http.route" not in attributes(first) and attributes(first)["crop.problem"] == "not-found"
    assert second["name"] == "POST /prune"


def test_requests_without_a_trace_begin_one_each():
    with Collector() as collector, Server("--otlp-endpoint", collector.url) as server:
        with Connection(server.target) as connection:
            for _ in range(3):
                connection.exchange(prune())
        spans = collector.spans(3)
    assert len({span["traceId"] for span in spans}) == 3 and not any("parentSpanId" in span for span in spans)
    assert all(re.fullmatch("[0-9a-f]{32}", span["traceId"]) for span in spans)


def test_variables_of_opentelemetry_are_understood():
    with Collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/base/", "OTEL_SERVICE_NAME": "eyes",
            "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=vision", "OTEL_TRACES_SAMPLER": "no_such"}
        with Server(env=variables) as server:
            server.wait_for_line("OTEL_TRACES_SAMPLER ignored")
            with Connection(server.target) as connection:
                connection.exchange(prune())
            path, _, document, _ = collector.requests.get(timeout=20)
    assert path == "/base/v1/traces"
    resource = attributes(document["resourceSpans"][0]["resource"])
    assert resource["service.name"] == "eyes" and resource["team"] == "vision"


def test_variables_that_are_of_no_use_do_not_keep_the_server_from_starting():
    endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
    for variables in (
            {endpoint: "https://collector:4318"}, {endpoint: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            {endpoint: "http://c:4318", "OTEL_SDK_DISABLED": "true"},
            {endpoint: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, {endpoint: ""}):
        done = crop("serve", "--print-config", env=variables)
        assert done.returncode == 0 and re.search(r"^otlp\.endpoint +none +", done.stdout, re.M), (variables, done.stdout)
    done = crop("serve", "--print-config", env={endpoint: "http://c:4318", "CROP_OTLP_RATIO": "0.25"})
    assert re.search(r"^otlp\.endpoint +http://c:4318 +.*OTEL_EXPORTER_OTLP_ENDPOINT", done.stdout, re.M)
    assert re.search(r"^otlp\.ratio +0\.25 +", done.stdout, re.M)
    done = crop("serve", "--otlp-endpoint", "https://c:4318")
    assert done.returncode == 78 and "otlp-endpoint" in done.stderr


def test_a_batch_that_is_not_taken_is_sent_again():
    with Collector(statuses=[503, 429]) as collector, Server("--otlp-endpoint", collector.url) as server:
        with Connection(server.target) as connection:
            connection.exchange(prune(SAMPLED))
        span, = collector.spans(1)
        assert span["traceId"] == TRACE
        server.wait_for_metric("crop_spans_exported_total 1")
        server.wait_for_metric("crop_spans_dropped_total 0")
        server.wait_for_line("spans do not reach the collector.*status 503")
        server.wait_for_line("spans reach the collector again")


def test_a_batch_that_the_collector_rejects_is_dropped_and_counted():
    with Collector(statuses=[400]) as collector, Server("--otlp-endpoint", collector.url) as server:
        with Connection(server.target) as connection:
            connection.exchange(prune(SAMPLED))
            server.wait_for_metric("crop_spans_dropped_total 1")
            connection.exchange(prune(SAMPLED))
        server.wait_for_metric("crop_spans_exported_total 1")
        assert len(collector.spans(1)) == 1


def test_an_absent_or_silent_collector_makes_nobody_wait():
    with socket.socket() as absent, socket.socket() as silent:
        absent.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for held in absent, silent:
            # A connection to the first is refused, and on the second nobody says anything.
            with Server("--otlp-endpoint", f"http://127.0.0.1:{held.getsockname()[1]}", "--access-log", "off") as server:
                with Connection(server.target) as connection:
                    message = request(target="/methods/topk", fields=[SAMPLED])
                    for _ in range(50):
                        assert connection.exchange(message).status == 200
                server.wait_for_metric("crop_spans_exported_total 0")
                start = time.monotonic()
                assert server.stop() == 0
                assert time.monotonic() - start < 15


def test_a_drain_sends_what_waits():
    with Collector() as collector:
        with Server("--otlp-endpoint", collector.url) as server:
            with Connection(server.target) as connection:
                for _ in range(7):
                    connection.exchange(prune())
            assert server.stop() == 0
        assert len(collector.spans(7, seconds=1)) == 7


# OpenMetrics.


def metrics(target, accept):
    fields = [("Accept", accept)] if accept else []
    with Connection(target) as connection:
        answer = connection.exchange(request(target="/metrics", fields=fields))
    assert answer.status == 200
    return answer.field("Content-Type"), answer.body.decode()


PROMETHEUS = ("application/openmetrics-text;version=1.0.0;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
              "text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2")


def test_openmetrics_has_exemplars_of_sampled_traces():
    with Server() as server:
        with Connection(server.target) as connection:
            connection.exchange(prune(SAMPLED))
            connection.exchange(request(target="/methods", fields=[("traceparent", f"00-{TRACE}-{PARENT}-00")]))
        kind, text = metrics(server.target, PROMETHEUS)
        assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
        assert "# TYPE crop_http_requests counter\n" in text and "\ncrop_http_requests_total{" in text
        exemplars = [line for line in text.splitlines() if " # {" in line]
        assert len(exemplars) == 1 and f'trace_id="{TRACE}"' in exemplars[0]
        bucket = re.fullmatch(
            r'crop_http_request_duration_seconds_bucket\{route="/prune",le="(\S+)"\} 1 # \{trace_id="\w{32}"\} (\S+)', exemplars[0])
        assert bucket and float(bucket[2]) <= float(bucket[1])
        families = {family.name: family for family in openmetrics.text_string_to_metric_families(text)}
        assert families["crop_http_requests"].type == "counter" and "crop_build_info" in families


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "text/html", "application/json", "text/plain;version=0.0.4, " + PROMETHEUS])
def test_others_get_text(server, accept):
    kind, text = metrics(server.target, accept)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE crop_http_requests_total counter\n" in text and "# EOF" not in text and " # {" not in text


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "application/openmetrics-text; version=1.0.0"])
def test_openmetrics_may_be_asked_for_alone(server, accept):
    assert metrics(server.target, accept)[0].startswith("application/openmetrics-text")
