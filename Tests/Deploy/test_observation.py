"""Compose, Prometheus and Grafana: their files against the real program, HAProxy and promtool."""
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from balancers import DEPLOY, program
from bodies import PRUNE, TINY
from server import ROOT, Server
from wire import Connection, request

PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=ROOT / ".build-tools")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
METRIC = re.compile(r"\b(?:crop|process)_[a-z_]+\b")
# Exposed with a certificate only, which test_tls.py of the black-box tests checks.
WITH_TLS = {"crop_tls_certificate_expiry_timestamp_seconds"}


@pytest.fixture(scope="module")
def exposed():
    """-> the names of all samples that a server with one answered and one rejected request exposes."""
    with Server() as server:
        with Connection(server.target) as connection:
            assert connection.exchange(request("POST", PRUNE, body=TINY)).status == 200
        with Connection(server.target) as connection:
            connection.send(b"nonsense\r\n\r\n")
            assert connection.read_answer().status == 400
        return set(re.findall(r"^([a-z_]+)[{ ]", server.metrics().decode(), re.MULTILINE))


def expressions(board):
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_the_dashboard_asks_for_metrics_that_are_exposed(exposed):
    board = json.loads((DEPLOY / "grafana" / "crop.json").read_text())
    asked = {name for text in expressions(board) for name in METRIC.findall(text)}
    print(f"dashboard: {len(board['panels'])} panels, {len(asked)} metrics", flush=True)
    assert len(asked) > 15 and asked <= exposed, asked - exposed
    places = [tuple(panel["gridPos"][key] for key in "xy") for panel in board["panels"]]
    assert len(set(places)) == len(places) and len({panel["id"] for panel in board["panels"]}) == len(places)


@needs_promtool
def test_promtool_parses_every_expression_of_the_dashboard(folder):
    board = json.loads((DEPLOY / "grafana" / "crop.json").read_text())
    rules = [{"record": f"panel:{index}", "expr": text.replace("$__rate_interval", "1m")}
             for index, text in enumerate(expressions(board))]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = subprocess.run([PROMTOOL, "check", "rules", folder / "rules.yaml"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and f"{len(rules)} rules found" in checked.stdout, checked.stdout + checked.stderr


def test_the_alerts_ask_for_metrics_that_are_exposed_and_say_what_to_do(exposed):
    rules = [rule for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
             for rule in group["rules"]]
    asked = {name for rule in rules for name in METRIC.findall(rule["expr"])}
    assert asked <= exposed | WITH_TLS, asked - exposed
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]


def test_the_documented_alerts_are_among_them():
    block = re.search(r"```yaml\n(groups:.*?)```", (ROOT / "docs" / "metrics.md").read_text(), re.DOTALL).group(1)
    files = [yaml.safe_load(text)["groups"][0]["rules"] for text in (block, (DEPLOY / "prometheus" / "alerts.yaml").read_text())]
    documented, delivered = ({rule["alert"]: (rule["expr"], rule.get("for")) for rule in rules} for rules in files)
    assert documented.items() <= delivered.items()


@needs_promtool
@pytest.mark.parametrize("arguments", [
    ("check", "config", DEPLOY / "prometheus" / "prometheus.yml"),
    ("check", "rules", DEPLOY / "prometheus" / "alerts.yaml"),
    ("test", "rules", ROOT / "Tests" / "Deploy" / "alerts_test.yaml"),
], ids=["configuration", "rules", "alerts fire"])
def test_promtool_accepts(arguments):
    checked = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and "SUCCESS" in checked.stdout, checked.stdout + checked.stderr


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_haproxy_starts_with_the_environment_of_compose():
    """With names of replicas that cannot be resolved yet."""
    service = compose()["services"]["haproxy"]
    checked = subprocess.run([program("haproxy"), "-c", "-f", DEPLOY / "haproxy.cfg"], capture_output=True, text=True,
                             timeout=60, env={**os.environ, **service["environment"]})
    assert checked.returncode == 0, checked.stderr
    services = compose()["services"]
    for name in ("CROP_REPLICA_1", "CROP_REPLICA_2"):
        host, port = service["environment"][name].split(":")
        assert host in services and f"EXPOSE {port}" in (ROOT / "Dockerfile").read_text()
    assert service["environment"]["CROP_BIND"].removeprefix(":") == service["ports"][0].rpartition(":")[2]


def test_prometheus_scrapes_the_replicas_of_compose():
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    replicas = {f"{name}:8080" for name, service in compose()["services"].items() if "crop" in service["image"]}
    assert set(scraped["static_configs"][0]["targets"]) == replicas and len(replicas) == 2


def test_volumes_of_compose_are_files_and_the_dashboard_lies_where_it_is_looked_for():
    services = compose()["services"]
    mounts = {}
    for service in services.values():
        for volume in service.get("volumes", []):
            source, place, mode = volume.split(":")
            assert (DEPLOY / source).exists() and mode == "ro", volume
            mounts[place] = source
    provisioning = DEPLOY / "grafana" / "provisioning"
    options = yaml.safe_load((provisioning / "dashboards" / "crop.yaml").read_text())["providers"][0]["options"]
    assert mounts[f"{options['path']}/crop.json"] == "./grafana/crop.json"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090" and "prometheus" in services


def test_the_time_that_compose_leaves_for_a_stop_covers_the_drain():
    settings = yaml.safe_load((ROOT / "config" / "production.yaml").read_text())
    drain = sum(int(settings[name].removesuffix("s")) for name in ("drain-delay", "shutdown-timeout"))
    for name in ("crop-1", "crop-2"):
        assert int(compose()["services"][name]["stop_grace_period"].removesuffix("s")) > drain


def test_every_file_of_deploy_is_named_by_a_test():
    texts = "".join(path.read_text() for path in (ROOT / "Tests" / "Deploy").glob("*.py"))
    # test_kubernetes.py takes every file of its folder.
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and "kubernetes" not in path.parts]
    missing = [str(path) for path in files if f'"{path.name}"' not in texts]
    assert files and not missing
