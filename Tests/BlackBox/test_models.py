"""Learned models: loaded from a folder, the same over HTTP and on files, reloaded whole or not at all."""
import json
import os
import shutil
import signal
import struct

import pytest
import requests
from server import ROOT, Server, crop

MODELS = ROOT / "Tests" / "Golden" / "models"
WEIGHTS = MODELS / "weights"
CASES = MODELS / "cases"


@pytest.fixture
def folder(tmp_path):
    """A folder of one's own, with files that are no models and no harm."""
    target = tmp_path / "models"
    shutil.copytree(WEIGHTS, target)
    (target / "README.md").write_text("not a model")
    (target / ".hidden.safetensors").write_text("not a model")
    (target / "folder").mkdir()
    return target


@pytest.fixture
def server(folder):
    with Server("--models", folder) as server:
        yield server


def metadata(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length])["__metadata__"]


def names(server):
    return [model["name"] for model in requests.get(f"{server.url}/models", timeout=10).json()["models"]]


def ask(server, case, route, **parameters):
    """The case's tensors and its own parameters, with others in the query string."""
    query = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in parameters.items()}
    return requests.post(
        f"{server.url}/{route}", (CASES / f"{case}.safetensors").read_bytes(), params=query, timeout=30,
        headers={"Content-Type": "application/x-safetensors", "Accept": "application/json"})


def test_the_log_and_the_listing_name_them(server):
    line = server.wait_for_line(r"models.*question").string
    assert "few (resampler), queries (resampler), question (localizer), wide (localizer)" in line
    assert names(server) == ["few", "queries", "question", "wide"]


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("localize*")))
def test_localize_gives_the_same_over_http_and_on_files(server, folder, case):
    options = {"model": metadata(CASES / f"{case}.safetensors")["network"], "minimum_contrast": 0}
    answer = ask(server, case, "localize", localize=options)
    assert answer.status_code == 200 and answer.json()["source"] == "model"
    run = crop("localize", CASES / f"{case}.safetensors", "--models", folder, "--format", "json",
               "--parameters", json.dumps({"localize": options}))
    assert run.returncode == 0 and json.loads(run.stdout) == answer.json()


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("resample*")))
def test_compress_gives_the_same_over_http_and_on_files(server, folder, case):
    answer = ask(server, case, "compress")
    expected = json.loads(metadata(CASES / f"{case}.safetensors")["expected"])
    assert answer.status_code == 200
    for name in "kept_indices", "assignments", "sizes", "learned_rows":
        assert answer.json()[name] == expected[name]
    rows = [value for row in expected["features"] for value in row]
    assert answer.json()["features"]["data"] == pytest.approx(rows, rel=1e-5, abs=1e-6)
    run = crop("compress", CASES / f"{case}.safetensors", "--models", folder, "--format", "json")
    assert run.returncode == 0 and json.loads(run.stdout) == answer.json()


def test_prune_localizes_with_a_model(server):
    answer = ask(server, "localize_12x12", "prune", keep_tokens=20, method="crop",
                 localize={"model": "question", "minimum_contrast": 0})
    assert answer.status_code == 200 and len(answer.json()["kept_indices"]) == 20
    assert answer.json()["region"]["source"] == "model" and answer.json()["region"]["model"] == "question"


@pytest.mark.parametrize("case, options, pointer, text", [
    ("localize_12x12", {"model": "nobody"}, "/localize/model", "available: question, wide"),
    ("localize_12x12", {"model": "queries"}, "/localize/model", "'queries' is a resampler"),
    ("localize_12x12", {"model": "wide"}, "image_features", "rows of 24 numbers; this model reads [N, D] with rows of 12"),
])
def test_a_model_that_does_not_fit_is_422(server, case, options, pointer, text):
    answer = ask(server, case, "localize", localize=options)
    assert answer.status_code == 422 and answer.json()["pointer"] == pointer and text in answer.json()["detail"]


def test_reload_takes_all_of_the_folder_or_nothing(server, folder):
    (folder / "later.safetensors").write_bytes((folder / "few.safetensors").read_bytes())
    (folder / "wide.safetensors").unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_for_line(r"reloaded.*later")
    assert names(server) == ["few", "later", "queries", "question"]

    before = ask(server, "resample_whole", "compress").json()
    (folder / "later.safetensors").unlink()
    damaged = bytearray((folder / "queries.safetensors").read_bytes())
    damaged[-4:] = struct.pack("<f", float("nan"))
    (folder / "queries.safetensors").write_bytes(damaged)
    server.send_signal(signal.SIGHUP)
    line = server.wait_for_line(r"not reloaded.*").string
    assert "queries.safetensors" in line and "NaN or infinite" in line
    assert names(server) == ["few", "later", "queries", "question"]
    assert ask(server, "resample_whole", "compress").json() == before


def run_with(folder):
    return crop("serve", "--http-port", "0", "--models", folder)


@pytest.mark.parametrize("name, content, text", [
    ("a.safetensors", b"nonsense", "a.safetensors: is not safetensors"),
    ("a b.safetensors", b"", "a model's name is"),
    ("a.safetensors", (CASES / "localize_12x12.safetensors").read_bytes(), "has no 'crop.config'"),
])
def test_a_bad_file_keeps_the_server_from_starting(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    run = run_with(tmp_path)
    assert run.returncode == 78 and text in run.stderr and str(tmp_path) in run.stderr
    run = crop("models", tmp_path)
    assert run.returncode == 65 and text in run.stderr


def test_a_folder_that_is_not_there_or_a_pipe_in_it_is_an_error(tmp_path):
    assert "no such file" in run_with(tmp_path / "nowhere").stderr
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "not a regular file" in run_with(tmp_path).stderr


def test_an_empty_folder_and_no_folder_have_no_models(tmp_path):
    with Server("--models", tmp_path) as server:
        server.wait_for_line(r"models.*none")
        assert names(server) == []
    with Server() as server:
        answer = ask(server, "localize_12x12", "localize", localize={"source": "model"})
        assert answer.status_code == 422 and "no localizer is loaded" in answer.json()["detail"]


def test_the_command_lists_them():
    table = crop("models", WEIGHTS).stdout
    assert "question" in table and "resampler" in table
    listed = json.loads(crop("models", WEIGHTS, "--format", "json").stdout)["models"]
    assert {model["name"]: model["parameters"] for model in listed}["question"] > 1000
