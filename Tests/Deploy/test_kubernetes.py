"""Every manifest against the published schemas, and every container's command, environment and probes on the real program."""
import contextlib
import copy
import os
import pathlib
import re
import shutil
import socket
import subprocess
import urllib.parse
import uuid

import kubernetes_validate
import pytest
import yaml
from balancers import DEPLOY
from bodies import PRUNE, TINY, TINY_KEPT
from server import ROOT, Server, crop, target
from wire import Connection, request

KUBERNETES = DEPLOY / "kubernetes"
FILES = sorted(KUBERNETES.rglob("*.yaml"))
VERSIONS = ("1.30", "1.34", "1.37")
# What has no schema among those of Kubernetes itself.
OTHERS = {"Kustomization", "ServiceMonitor", "ServingRuntime", "InferenceService"}
# What an InferenceService says of its pods as a pod would.
POD_FIELDS = ("terminationGracePeriodSeconds", "enableServiceLinks", "automountServiceAccountToken")
# What Kubernetes sets for a Service called crop, unless enableServiceLinks is false.
SERVICE_LINKS = {
    "CROP_SERVICE_HOST": "10.0.0.1", "CROP_SERVICE_PORT": "80", "CROP_SERVICE_PORT_HTTP": "80", "CROP_SERVICE_PORT_ADMIN": "9090",
    "CROP_PORT": "tcp://10.0.0.1:80", "CROP_PORT_80_TCP": "tcp://10.0.0.1:80", "CROP_PORT_80_TCP_PROTO": "tcp",
    "CROP_PORT_80_TCP_PORT": "80", "CROP_PORT_80_TCP_ADDR": "10.0.0.1"}


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def objects():
    return [found for path in FILES for found in documents(path) if isinstance(found, dict)]


def of_kind(kind):
    return [found for found in objects() if found.get("kind") == kind]


def served_pod():
    """-> the pod that KServe makes of the runtime and what the service says of pods."""
    runtime, predictor = of_kind("ServingRuntime")[0]["spec"], of_kind("InferenceService")[0]["spec"]["predictor"]
    return {"containers": runtime["containers"], **{name: predictor[name] for name in POD_FIELDS}}


def patched(found, path):
    """-> the object with the patches of a file, whose one operation, `add` at the end of a list, is applied as RFC 6902 says."""
    changed = copy.deepcopy(found)
    for operation in documents(path)[0]:
        assert operation.keys() == {"op", "path", "value"} and operation["op"] == "add", operation
        *names, end = operation["path"].removeprefix("/").split("/")
        place = changed
        for name in names:
            place = place[int(name) if isinstance(place, list) else name]
        assert end == "-" and isinstance(place, list), operation
        place.append(operation["value"])
    return changed


def overlaid(folder):
    """-> the objects that an overlay's patches give, each made of the one that its target names."""
    kustomization = documents(KUBERNETES / "overlays" / folder / "kustomization.yaml")[0]
    for patch in kustomization["patches"]:
        aim = patch["target"]
        found, = (one for one in of_kind(aim["kind"]) if one["metadata"]["name"] == aim["name"])
        yield patched(found, KUBERNETES / "overlays" / folder / patch["path"])


OVERLAYS = sorted(path.parent.name for path in (KUBERNETES / "overlays").glob("*/kustomization.yaml") if "patches:" in path.read_text())


def pods():
    deployed = [(found["metadata"]["name"], found) for found in of_kind("Deployment")]
    deployed += [(folder, found) for folder in OVERLAYS for found in overlaid(folder) if found["kind"] == "Deployment"]
    return [*((name, found["spec"]["template"]["spec"]) for name, found in deployed), ("kserve", served_pod())]


def containers(pod):
    """-> those that run crop."""
    return [one for one in pod.get("initContainers", []) + pod["containers"] if one["image"] == "crop"]


EVERY_POD = pytest.mark.parametrize("pod", [pod for _, pod in pods()], ids=[name for name, _ in pods()])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_the_schemas(version):
    checked = 0
    for found in objects():
        if found["kind"] not in OTHERS:
            kubernetes_validate.validate(found, version, strict=True)
            checked += 1
    print(f"Kubernetes {version}: {checked} objects valid", flush=True)
    assert checked >= 6


def test_every_file_is_named_by_a_kustomization_and_every_name_is_a_file():
    named = set()
    for path in KUBERNETES.rglob("kustomization.yaml"):
        named.add(path)
        for found in documents(path):
            for name in found["resources"] + [patch["path"] for patch in found.get("patches", [])]:
                target = (path.parent / name).resolve()
                assert target.exists(), f"{path}: {name}"
                named.add(target / "kustomization.yaml" if target.is_dir() else target)
    assert named == set(FILES)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_what_an_overlay_patches_fits_the_schemas(folder):
    for found in overlaid(folder):
        for version in VERSIONS:
            kubernetes_validate.validate(found, version, strict=True)


def test_the_patched_autoscaler_names_a_metric_that_the_program_has():
    scaler, = (found for found in overlaid("monitoring") if found["kind"] == "HorizontalPodAutoscaler")
    with Server() as server:
        name = scaler["spec"]["metrics"][-1]["pods"]["metric"]["name"]
        assert re.search(rf"^{name} \d".encode(), server.metrics(), re.MULTILINE)


class Running:
    """A container's command and environment on this machine: ports the system picks, files of the repository, a socket
    in a folder of its own instead of the volume."""

    def __init__(self, container, folder, extra):
        self.container, self.folder = container, folder
        arguments = [self.local(word) for word in container["args"]]
        assert arguments.pop(0) == "serve"
        if "--listen" not in arguments:
            arguments += ["--http-port", "0"]
        values = {one["name"]: self.local(one["value"]) for one in container.get("env", [])}
        self.server = Server(*arguments, env={**extra, **values})
        found = self.server.wait_for_line(r'"message":"listening for administration".*"url":"([^"]+)"')
        self.admin = target(found.group(1))
        # 0.0.0.0 is where it listens, not where it is reached.
        self.main = self.server.port or self.server.target

    def local(self, word):
        word = word.replace("/etc/crop/production.yaml", str(ROOT / "config" / "production.yaml"))
        for mount in self.container.get("volumeMounts", []):
            word = word.replace(mount["mountPath"] + "/", str(self.folder) + "/")
        return re.sub(r"^http://0\.0\.0\.0:\d+$", "http://127.0.0.1:0", word)

    def probe(self, asked):
        """-> the status that an httpGet finds."""
        assert asked["port"] in {one["name"] for one in self.container["ports"]}, asked
        with Connection(self.admin if asked["port"] == "admin" else self.main) as connection:
            return connection.exchange(request(target=asked["path"])).status


@EVERY_POD
@pytest.mark.parametrize("links", [{}, SERVICE_LINKS], ids=["no links", "service links"])
def test_the_program_starts_with_the_command_and_environment_and_passes_the_probes(pod, links, folder):
    assert pod["enableServiceLinks"] is False
    for container in containers(pod):
        running = Running(container, folder, links)
        with running.server as server:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert running.probe(container[kind]["httpGet"]) == 200, kind
            with Connection(running.main) as connection:
                assert connection.exchange(request("POST", PRUNE, body=TINY)).json["kept_indices"] == TINY_KEPT
            warned = [line for line in server.lines if line and "service link" in line]
            assert len(warned) == len(links), warned


@contextlib.contextmanager
def shared_with(pod):
    """-> a region's name in /dev/shm, with a body in it; /dev/shm is a volume of memory that all containers of the pod mount."""
    volume, = (one for one in pod["volumes"] if one["name"] == "shm")
    assert volume["emptyDir"]["medium"] == "Memory"
    for container in [*containers(pod), *pod["containers"]]:
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    path = pathlib.Path("/dev/shm") / f"crop-test-{uuid.uuid4()}"
    path.write_bytes(TINY)
    try:
        yield path.name
    finally:
        path.unlink()


def shared(**extra):
    parameters = ", ".join([f"length={len(TINY)}", *(f'{name}="{value}"' for name, value in extra.items())])
    return request("POST", PRUNE, [("Crop-Shared-Memory", parameters)], body=b"")


@pytest.mark.parametrize("name", [name for name, _ in pods() if name in ("vlm", "sidecar-shm")])
def test_a_sidecar_reads_memory_that_is_passed_over_its_socket(name, folder):
    container, = containers(dict(pods())[name])
    running = Running(container, folder, {})
    with running.server, Connection(running.main) as connection:
        memory = os.memfd_create("crop")
        try:
            os.write(memory, TINY)
            socket.send_fds(connection.socket, [shared()], [memory])
            assert connection.read_answer().json["kept_indices"] == TINY_KEPT
        finally:
            os.close(memory)


def test_a_sidecar_with_a_shared_dev_shm_reads_regions_there_and_the_other_one_refuses(folder):
    pod = dict(pods())["sidecar-shm"]
    container, = containers(pod)
    running = Running(container, folder, {})
    with running.server, shared_with(pod) as key, Connection(running.main) as connection:
        body = b'{"key": "/%b", "offset": 0, "byte_size": %d}' % (key.encode(), len(TINY))
        assert connection.exchange(request("POST", "/v2/systemsharedmemory/region/in0/register", body=body)).status == 200
        assert connection.exchange(shared(name="in0")).json["kept_indices"] == TINY_KEPT
    container, = containers(dict(pods())["vlm"])
    running = Running(container, folder, {})
    with running.server, Connection(running.main) as connection:
        assert connection.exchange(shared(name="in0")).status == 400


@EVERY_POD
def test_ports_and_times_agree_with_the_settings(pod, folder):
    for container in containers(pod):
        values = {one["name"]: one["value"] for one in container.get("env", [])}
        arguments = [word.replace("/etc/crop/production.yaml", str(ROOT / "config" / "production.yaml"))
                     for word in container["args"]]
        lines = crop(*arguments, "--print-config", env=values).stdout.splitlines()
        settings = {line.split()[0]: line.split()[1] for line in lines if len(line.split()) > 1}
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert urllib.parse.urlsplit(settings["admin-listen"]).port == ports["admin"]
        if "http" in ports:
            assert int(settings["http.port"]) == ports["http"]
        delays = [int(settings[name].removesuffix("s")) for name in ("drain-delay", "shutdown-timeout")]
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] > sum(delays) + before
        ready = container["readinessProbe"]
        assert delays[0] + before > ready["periodSeconds"] * ready["failureThreshold"] or "unix:" in str(arguments)


@EVERY_POD
def test_containers_are_confined(pod):
    for container in containers(pod):
        context = {**pod.get("securityContext", {}), **container["securityContext"]}
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 65532)
        assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]} and context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert f"USER {context['runAsUser']}:" in (ROOT / "Dockerfile").read_text()


def test_the_runtime_and_the_service_of_kserve_have_the_fields_that_its_definitions_have():
    """Against the names of fields in KServe's custom resources, whose pods are Kubernetes' own and checked as such: there is
    no schema of KServe in a package."""
    runtime, service = of_kind("ServingRuntime")[0], of_kind("InferenceService")[0]
    assert (runtime["apiVersion"], service["apiVersion"]) == ("serving.kserve.io/v1alpha1", "serving.kserve.io/v1beta1")
    assert runtime["spec"].keys() <= {"supportedModelFormats", "multiModel", "protocolVersions", "containers"}
    assert runtime["spec"]["protocolVersions"] == ["v2"] and runtime["spec"]["containers"][0]["name"] == "kserve-container"
    formats = {one["name"] for one in runtime["spec"]["supportedModelFormats"]}
    predictor = service["spec"]["predictor"]
    extension = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "timeout", "model"}
    assert predictor.keys() == extension | set(POD_FIELDS) and predictor["scaleMetric"] in ("cpu", "memory", "rps", "concurrency")
    assert predictor["model"]["modelFormat"]["name"] in formats and predictor["model"]["runtime"] == runtime["metadata"]["name"]
    assert predictor["model"]["protocolVersion"] in runtime["spec"]["protocolVersions"]
    for version in VERSIONS:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "crop"}, "spec": served_pod()}
        kubernetes_validate.validate(pod, version, strict=True)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
@pytest.mark.parametrize("folder", [str(path.parent.relative_to(KUBERNETES)) for path in sorted(KUBERNETES.rglob("kustomization.yaml"))])
def test_kustomize_builds_and_puts_the_image_everywhere(folder):
    built = subprocess.run(["kubectl", "kustomize", KUBERNETES / folder], capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    images = re.findall(r"image: (crop\S*)", built.stdout)
    assert images and set(images) == {"crop:latest"}


def test_selectors_name_the_pods_and_ports_of_the_deployment():
    base = {found["kind"]: found for path in (KUBERNETES / "base").glob("*.yaml") for found in documents(path)}
    template = base["Deployment"]["spec"]["template"]
    labels, ports = template["metadata"]["labels"], {}
    for container in template["spec"]["containers"]:
        ports |= {one["name"]: one["containerPort"] for one in container["ports"]}
    for selector in (base["Service"]["spec"]["selector"], base["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                     base["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
                     base["Deployment"]["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert {one["targetPort"] for one in base["Service"]["spec"]["ports"]} == set(ports)
    allowed = {port["port"] for rule in base["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == set(ports.values())
    assert base["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == base["Deployment"]["metadata"]["name"]
    monitor = documents(KUBERNETES / "overlays/monitoring/servicemonitor.yaml")[0]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= base["Service"]["metadata"]["labels"].items()
    assert {one["port"] for one in monitor["endpoints"]} <= {one["name"] for one in base["Service"]["spec"]["ports"]}
