"""A client that openapi-python-client generates of openapi.yaml, as somebody who has the contract alone would use it."""
import importlib
import io
import json
import pathlib
import subprocess
import sys

import numpy
import pytest
from conftest import KEY, ROOT

# The media types of tensors are bytes; nothing is formatted.
SETTINGS = {
    "post_hooks": [],
    "content_type_overrides": {f"application/x-{name}": "application/octet-stream" for name in ("safetensors", "npy", "npz")},
}
ATTENTION = [0.1, 0.2, 0.4, 0.3]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """-> imports a module of the generated package."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("openapi-python-client"), "generate", "--path", ROOT / "openapi.yaml", "--meta", "none",
         "--output-path", folder / "generated_crop", "--config", folder / "settings.json"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    # It reads no YAML, and no `*/*`.
    warnings = [line for line in done.stdout.splitlines() if line.startswith(("WARNING", "ERROR", "Unable"))]
    assert len(warnings) == 2 and "/openapi.yaml" in warnings[0] and "/assets/{name}" in warnings[1], done.stdout
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module("generated_crop" + name)
    sys.path.remove(str(folder))


@pytest.fixture
def client(package, server):
    with package("").Client(base_url=server.url) as client:
        yield client


def test_every_operation_is_a_function(package, document):
    tags = importlib.import_module(package(".api").__name__)
    found = {path.stem for path in pathlib.Path(tags.__path__[0]).glob("*/*.py")} - {"__init__"}
    said = {operation["operationId"] for _, _, operation in document.operations()}
    assert {name.replace("_", "").lower() for name in found} == {name.replace("_", "").lower() for name in said}


def test_prune_with_typed_bodies_and_answers(package, client):
    models, prune = package(".models"), package(".api.operations.prune")
    body = models.PruneRequest(attention=ATTENTION, keep_tokens=2, method=models.Method.TOPK, explain=True)
    answer = prune.sync(client=client, body=body)
    assert isinstance(answer, models.PruneAnswer)
    assert answer.kept_indices == [2, 3] and answer.pruned_count == 2
    assert answer.scores == pytest.approx(ATTENTION)
    batch = prune.sync(client=client, body=models.PruneRequest(attention=[ATTENTION, ATTENTION[::-1]], keep_tokens=1, batched=True))
    assert isinstance(batch, models.BatchAnswer) and batch.additional_properties["kept_indices"] == [[2], [1]]


def test_errors_are_problems(package, client):
    models, prune = package(".models"), package(".api.operations.prune")
    response = prune.sync_detailed(client=client, body=models.PruneRequest(attention=ATTENTION, keep_tokens=5))
    assert response.status_code == 422 and isinstance(response.parsed, models.Problem)
    assert response.parsed.pointer == "/keep_tokens" and response.parsed.type_.value == "/problems/invalid-input"


def test_tensors_as_bytes_with_parameters_in_the_query_string(package, client):
    types, compress, models = package(".types"), package(".api.operations.compress"), package(".models")
    buffer = io.BytesIO()
    numpy.savez(buffer, image_features=numpy.eye(4, dtype=numpy.float32))
    grid = json.dumps({"type": "grid", "rows": 2, "columns": 2})
    # Of the media types whose bodies are bytes the generated function says the last.
    response = compress.sync_detailed(
        client=client.with_headers({"Accept": "application/json"}), body=types.File(payload=io.BytesIO(buffer.getvalue())),
        layout=grid, keep_tokens=2)
    assert response.status_code == 200, response.content
    assert isinstance(response.parsed, models.CompressAnswer) and len(response.parsed.assignments) == 4


def test_plan_compare_and_the_list_of_methods(package, client):
    models = package(".models")
    layout = models.LlavaNextLayout.from_dict({"type": "llava_next", "image_size": [640, 480]})
    plan = package(".api.operations.plan").sync(client=client, body=models.PlanRequest(layout=layout, keep_ratio=0.25))
    assert isinstance(plan, models.PlanAnswer) and plan.keep_tokens == (plan.tokens - 36) / 4
    compared = package(".api.operations.compare").sync(
        client=client, body=models.CompareRequest(attention=ATTENTION, methods=[models.MethodName.TOPK, models.MethodName.UNIFORM], keep_tokens=2))
    assert isinstance(compared, models.CompareAnswer) and compared.overlap[0][0] == 1
    methods = package(".api.methods.list_methods").sync(client=client).methods
    assert len(methods) > 25 and methods[0].name == models.MethodName.CROP


def test_the_open_inference_protocol(package, client):
    models = package(".models")
    tensor = models.InferenceTensor(name="attention", shape=[4], datatype=models.InferenceDatatype.FP32, data=ATTENTION)
    parameters = models.InferenceRequestParameters.from_dict({"method": "topk", "keep_tokens": 2})
    answer = package(".api.inference.v2_infer").sync(
        models.InferenceModelName.CROP_PRUNE, client=client,
        body=models.InferenceRequest(inputs=[tensor], parameters=parameters, id="1"))
    assert answer.id == "1" and answer.outputs[0].data == [2, 3]
    unknown = package(".api.inference.v2_infer").sync_detailed(
        models.InferenceModelName.CROP_PRUNE, client=client, body=models.InferenceRequest(inputs=[]))
    assert unknown.status_code == 400


def test_keys(package, guarded_server):
    probe, listing = package(".api.probes.ready"), package(".api.methods.list_methods")
    with package("").Client(base_url=guarded_server.url) as client:
        assert probe.sync_detailed(client=client).status_code == 200
        assert listing.sync_detailed(client=client).status_code == 401
    with package("").AuthenticatedClient(base_url=guarded_server.url, token=KEY) as client:
        assert listing.sync_detailed(client=client).status_code == 200
