"""The program around the server: settings, logs, metrics, health check."""
import json
import platform
import re
import shutil
import socket
import subprocess

import pytest
from bodies import PRUNE, TINY
from certificates import Issued
from server import ROOT, Server, crop
from wire import Connection, request


def post(*fields):
    return request("POST", PRUNE, fields, TINY)


# Health check.


def test_healthcheck_of_a_ready_server(server):
    done = crop("healthcheck", "--url", f"{server.url}/readyz")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "healthy")


def test_healthcheck_finds_the_server_by_its_environment(server):
    assert crop("healthcheck", env={"CROP_HTTP_PORT": str(server.port)}).returncode == 0


def test_healthcheck_of_nothing():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = crop("healthcheck", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}/readyz")
    assert done.returncode == 1 and done.stdout.startswith("unhealthy")


def test_healthcheck_of_a_silent_peer_ends_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        done = crop(
            "healthcheck", "--timeout", "300ms", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout=10)
    assert done.returncode == 1


def test_healthcheck_of_another_path(server):
    assert crop("healthcheck", "--url", f"{server.url}/nowhere").returncode == 1


# Settings.


def test_print_config_names_every_source(tmp_path):
    path = tmp_path / "crop.yaml"
    path.write_text("http:\n  port: 1\nmax-in-flight: 7\nidle-timeout: 3s\n")
    done = crop("serve", "--config", path, "--http-port", "3", "--print-config", "--format", "json",
                env={"CROP_HTTP_PORT": "2", "CROP_MAX_IN_FLIGHT": "8"})
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)
    assert settings["http.port"]["value"] == "3" and "--http-port" in settings["http.port"]["from"]
    assert settings["max-in-flight"]["value"] == "8" and "CROP_MAX_IN_FLIGHT" in settings["max-in-flight"]["from"]
    assert settings["idle-timeout"]["value"] == "3s" and "crop.yaml" in settings["idle-timeout"]["from"]
    assert settings["http.host"] == {"value": "127.0.0.1", "from": "default"}
    table = crop("serve", "--print-config")
    assert table.returncode == 0 and "http.port" in table.stdout


@pytest.mark.parametrize("arguments, env, status, words", [
    (["--http-prot", "1"], {}, 64, "--http-port"),
    (["--http-port", "x"], {}, 78, "0 to 65535"),
    (["--http-port", "65536"], {}, 78, "0 to 65535"),
    ([], {"CROP_HTTP_PROT": "1"}, 78, "CROP_HTTP_PORT"),
    ([], {"CROP_LOG_FORMAT": "xml"}, 78, "text"),
    (["--max-in-flight-bytes", "1KiB"], {}, 78, "max-body-bytes"),
    (["--cpu-level", "v5"], {}, 78, "baseline, v3, v4"),
    ([], {"CROP_CPU_LEVEL": "sse"}, 78, "baseline, v3, v4"),
    (["--cpu-level", "neon" if platform.machine() == "x86_64" else "v3"], {}, 78, "it has"),
    (["--config", "/nonexistent.yaml"], {}, 78, "/nonexistent.yaml"),
])
def test_wrong_settings_end_the_program_with_a_hint(arguments, env, status, words):
    done = crop("serve", *arguments, env=env)
    assert done.returncode == status, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("text, words", [
    ("http:\n  prot: 1\n", "http.port"), ("max-inflight: 3\n", "max-in-flight"), ("http: [1\n", ""),
    ("idle-timeout: soon\n", "500ms")])
def test_wrong_files_end_the_program_with_a_hint(tmp_path, text, words):
    path = tmp_path / "crop.yaml"
    path.write_text(text)
    done = crop("serve", "--config", path)
    assert done.returncode == 78 and words in done.stderr and "crop.yaml" in done.stderr


def test_a_taken_port_is_said_clearly(server):
    done = crop("serve", "--http-port", server.port)
    assert done.returncode == 69 and f"127.0.0.1:{server.port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_sample_configurations_are_valid():
    for name in ("crop.yaml", "production.yaml"):
        from server import ROOT
        assert crop("serve", "--config", ROOT / "config" / name, "--print-config").returncode == 0


@pytest.mark.parametrize("arguments, status", [
    (["--version"], 0), (["--help"], 0), (["serve", "--help"], 0), (["methods"], 0), (["methods", "topk"], 0),
    (["methods", "topq"], 64), (["prun"], 64), (["prune", "/nonexistent.npy"], 65)])
def test_exit_statuses(arguments, status):
    assert crop(*arguments).returncode == status


# Processor level.


def level(**env):
    done = crop("--version", "--verbose", env=env)
    assert done.returncode == 0, done.stderr
    fields = dict(line.split(": ", 1) for line in done.stdout.splitlines()[1:])
    assert fields.keys() >= {"swift", "cpu level", "readiness", "openssl", "zlib"}
    return re.fullmatch(r"(\w+) \(available: (.*)\)", fields["cpu level"]).groups()


def test_the_long_version_names_the_level_in_use_and_the_best_is_the_default():
    assert crop("--version").stdout == crop("--version", "--verbose").stdout.split()[1] + "\n"
    active, available = level(CROP_CPU_LEVEL="auto")
    assert active == available.split(", ")[-1]
    for name in available.split(", "):
        assert level(CROP_CPU_LEVEL=name) == (name, available)


@pytest.mark.parametrize("arguments", [
    ["--version", "--verbose"], ["methods"], ["plan", "--layout", "4x4", "--keep-ratio", "0.5"]])
@pytest.mark.parametrize("name", ["v9", "", "neon" if platform.machine() == "x86_64" else "v3"])
def test_a_level_that_is_not_there_ends_every_command(arguments, name):
    done = crop(*arguments, env={"CROP_CPU_LEVEL": name})
    assert done.returncode == 78 and done.stderr.count("\n") == 1, done.stderr


def test_answers_do_not_depend_on_the_level():
    answers = set()
    for name in level()[1].split(", "):
        with Server("--cpu-level", name) as server, Connection(server.port) as connection:
            answers.add(connection.exchange(post()).body)
    assert len(answers) == 1


# Log.


def test_access_log_as_text():
    with Server() as server:
        with Connection(server.port) as connection:
            connection.exchange(post(("X-Request-Id", "seen-1"), ("Authorization", "Bearer secret")))
            connection.exchange(request(target="/nowhere?token=secret", fields=[("X-Request-Id", "seen-2")]))
            for probe in ("/livez", "/readyz", "/healthz", "/metrics"):
                connection.exchange(request(target=probe, fields=[("X-Request-Id", "unseen")]))
            connection.exchange(post(("X-Request-Id", "seen-3")))
        server.wait_for_line("id=seen-3")
        line = server.wait_for_line(".*id=seen-1 .*").group(0)
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info request ", line)
        for part in ("method=POST", "route=/prune", "status=200", f"bytes_in={len(TINY)}", "format=json", "kept=2"):
            assert f" {part}" in line
        assert "route=- path=/nowhere status=404" in server.wait_for_line(".*id=seen-2 .*").group(0)
        text = "\n".join(filter(None, server.lines))
        assert "unseen" not in text and "secret" not in text


def test_access_log_as_json():
    with Server("--log-format", "json") as server:
        with Connection(server.port) as connection:
            connection.exchange(post(("X-Request-Id", 'quo"te\\')))
        server.wait_for_line("POST")
        lines = [json.loads(line) for line in server.lines if line]
        assert lines[0]["message"] == "listening" and lines[0]["url"] == server.url
        entry = next(line for line in lines if line["message"] == "request")
        assert entry["id"] == 'quo"te\\' and entry["status"] == 200 and entry["bytes_in"] == len(TINY)
        assert isinstance(entry["respond_ms"], (int, float))


def test_access_log_can_be_off():
    with Server("--access-log", "off") as server:
        with Connection(server.port) as connection:
            connection.exchange(post())
        server.stop()
        assert not any("request" in line.split(" ")[2:3] for line in server.lines if line)


# Metrics.


def metrics_of(server):
    with Connection(server.port) as connection:
        answer = connection.exchange(request(target="/metrics"))
    assert answer.field("Content-Type").startswith("text/plain; version=0.0.4")
    return answer.body.decode()


def parse(text):
    """-> {sample with labels: value}; every family has HELP and TYPE before its samples, and no sample comes twice."""
    assert text.endswith("\n")
    samples, types, helps = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helps.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helps and name not in types
            types[name] = kind
        else:
            match = re.fullmatch(
                r'([a-z_][a-z0-9_]*)((?:\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})?) (\+Inf|-?[0-9.e+-]+)', line)
            assert match, line
            family = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in types or types.get(family) == "histogram", line
            assert match[1] + match[2] not in samples
            samples[match[1] + match[2]] = float(match[3])
    return samples, types


def test_metrics_parse_and_count():
    with Server() as server:
        with Connection(server.port) as connection:
            for _ in range(3):
                connection.exchange(post())
            connection.exchange(request(target="/nowhere"))
            connection.exchange(request("POST", PRUNE, body=b"{}"))
            connection.send(request(fields=[("Connection", "close")]))
            assert connection.read_answer().status == 200 and connection.is_closed_by_server()
        samples, types = parse(metrics_of(server))
        assert samples['crop_http_requests_total{route="/prune",method="POST",code="200"}'] == 3
        assert samples['crop_http_requests_total{route="/prune",method="POST",code="422"}'] == 1
        assert samples['crop_http_requests_total{route="none",method="GET",code="404"}'] == 1
        buckets = [value for name, value in samples.items()
                   if name.startswith("crop_http_request_duration_seconds_bucket") and '"/prune"' in name]
        assert buckets == sorted(buckets) and buckets[-1] == 4
        for name, kind in types.items():
            assert name.startswith(("crop_", "process_"))
            assert kind != "counter" or name.endswith("_total")


def test_client_text_never_becomes_a_label(server):
    with Connection(server.port) as connection:
        for n in range(50):
            connection.exchange(request(f"BREW{n}", f"/coffee{n}"))
    text = metrics_of(server)
    assert "BREW" not in text and "coffee" not in text


def test_every_metric_is_documented_and_no_other(tmp_path):
    # With TLS and a collector of spans, since some metrics are there with them only.
    with Server(*Issued(tmp_path, "localhost").flags, "--otlp-endpoint", "http://127.0.0.1:9") as server:
        _, types = parse(server.metrics().decode())
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (\w+) \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    documented = {name: kind for names, kind in rows for name in re.findall(r"[a-z_]+", names)}
    assert documented == types


# As installed, or as tools/setup.sh fetches it.
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=ROOT / ".build-tools")


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
def test_promtool_accepts_the_metrics(server):
    with Connection(server.port) as connection:
        connection.exchange(post())
        connection.exchange(request(target="/nowhere"))
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=metrics_of(server), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
def test_promtool_accepts_the_documented_alerts(tmp_path):
    rules, = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "metrics.md").read_text(), re.DOTALL)
    (tmp_path / "rules.yml").write_text(rules)
    done = subprocess.run(
        [PROMTOOL, "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
