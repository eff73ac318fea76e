"""The models of config/models: loaded, named, and able to do what they are for."""
import json

import pytest
import requests
from server import ROOT, Server, crop

MODELS = ROOT / "config" / "models"
EXAMPLE = ROOT / "Examples" / "scene_question.safetensors"
EXPECTED = json.loads((ROOT / "Examples" / "scene_question.json").read_text())


@pytest.fixture(scope="module")
def server():
    # A debug build on a busy machine takes seconds.
    with Server("--models", MODELS, "--compute-timeout", "60s") as server:
        yield server


def overlap(found, true):
    """Blocks in both, as a share of the blocks in either."""
    cells = [{(x, y) for x in range(box[0], box[2] + 1) for y in range(box[1], box[3] + 1)} for box in (found, true)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def test_the_shipped_localizer_finds_the_evidence_of_its_example(server):
    answer = requests.post(f"{server.url}/localize", EXAMPLE.read_bytes(), timeout=60).json()
    assert answer["source"] == "model" and not answer["whole_image"]
    assert overlap(answer["regions"][0]["blocks"], EXPECTED["evidence"]) >= 0.5


def test_its_region_is_kept_first(server):
    parameters = {"keep_tokens": 64, "method": "divprune"}
    found = requests.post(f"{server.url}/localize", EXAMPLE.read_bytes(), timeout=60).json()["region_indices"]
    kept = requests.post(f"{server.url}/prune", EXAMPLE.read_bytes(), params=parameters, timeout=60).json()
    assert set(found[:64]) <= set(kept["kept_indices"])


def test_the_command_line_finds_the_same(server):
    answer = requests.post(f"{server.url}/localize", EXAMPLE.read_bytes(), timeout=60).json()
    done = crop("localize", EXAMPLE, "--models", MODELS, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["regions"] == answer["regions"]


def test_the_listing_says_what_it_is_and_how_it_was_made(server):
    models = requests.get(f"{server.url}/models", timeout=10).json()["models"]
    assert {model["name"]: model["kind"] for model in models} == {"scenes": "localizer", "scenes-resampler": "resampler"}
    for model in models:
        assert model["config"]["training"]["steps"] > 0 and "evaluation" in model["config"]["description"]


def test_the_shipped_resampler_compresses_in_the_region_that_the_localizer_finds(server):
    parameters = {"keep_tokens": 28, "mode": "resampler"}
    headers = {"Accept": "application/json"}
    answer = requests.post(f"{server.url}/compress", EXAMPLE.read_bytes(), params=parameters, headers=headers, timeout=60).json()
    assert answer["model"] == "scenes-resampler" and len(answer["sizes"]) == 28 and sum(answer["sizes"]) == 256
    learned = answer["learned_rows"]
    assert len(answer["kept_indices"]) + learned["region"] + learned["background"] == 28


