"""The files in Examples: what must be found is found, and the command line answers as the server does."""
import json
import re
import subprocess
import sys
import urllib.parse

import pytest
from server import ROOT, crop
from wire import request

EXAMPLES = ROOT / "Examples"
EXPECTED = json.loads((EXAMPLES / "expected.json").read_text())


def post(connection, path, body):
    answer = connection.exchange(request("POST", path, body=body))
    assert answer.status == 200, answer.body
    return answer.json


def cases():
    for name in EXPECTED:
        yield name, name, "similarity"
        yield f"{name}_attention", name, "relative_attention"


@pytest.mark.parametrize("file, name, source", cases())
def test_the_expected_region_is_found(connection, file, name, source):
    answer = post(connection, "/localize", (EXAMPLES / f"{file}.safetensors").read_bytes())
    assert answer["source"] == source
    assert [region["blocks"] for region in answer["regions"]] == [EXPECTED[name]["found"][source]["blocks"]]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_file_may_choose_another_source(connection, name):
    """`attention` alone, by a parameter in the query string in place of the file's own."""
    import numpy as np
    import safetensors.numpy
    from bodies import safetensors_bytes
    tensors = safetensors.numpy.load((EXAMPLES / f"{name}_attention.safetensors").read_bytes())
    body = safetensors_bytes(
        {"attention": np.asarray(tensors["attention"])},
        {"layout": {"type": "grid", "rows": 24, "columns": 24}, "localize": {"source": "attention"}})
    answer = post(connection, "/localize", body)
    assert answer["regions"][0]["blocks"] == EXPECTED[name]["found"]["attention"]["blocks"]


@pytest.mark.parametrize("name", EXPECTED)
def test_prune_keeps_the_region_it_finds(connection, name):
    body = (EXAMPLES / f"{name}.safetensors").read_bytes()
    found = post(connection, "/localize", body)["region_indices"]
    kept = post(connection, "/prune?keep_tokens=400&method=divprune&region_policy=first", body)
    assert len(kept["kept_indices"]) == 400 and set(found) <= set(kept["kept_indices"])


COMMANDS = [
    ("localize", "cat_eye.safetensors", [], ""),
    ("localize", "astronaut_flag_attention.safetensors", [], ""),
    ("prune", "cat_eye_prune.json", [], ""),
    ("prune", "cat_eye.safetensors", ["--keep-tokens", "64"], "?keep_tokens=64"),
    ("prune", "astronaut_flag.safetensors", ["--keep-tokens", "64", "--method", "divprune"],
     "?keep_tokens=64&method=divprune"),
    ("prune", "coffee_cup.safetensors", ["--keep-ratio", "0.1", "--method", "cdpruner"],
     "?keep_ratio=0.1&method=cdpruner"),
    ("prune", "cat_eye_attention.safetensors", ["--keep-tokens", "64", "--method", "topk"],
     "?keep_tokens=64&method=topk"),
    ("compress", "coffee_spoon.safetensors", ["--keep-tokens", "32"], "?keep_tokens=32"),
]


@pytest.mark.parametrize("command, file, flags, query", COMMANDS, ids=lambda value: str(value))
def test_the_command_line_answers_as_the_server_does(connection, command, file, flags, query):
    done = crop(command, EXAMPLES / file, "--format", "json", *flags)
    assert done.returncode == 0, done.stderr
    answer = connection.exchange(request(
        "POST", f"/{command}{query}", [("Accept", "application/json")], (EXAMPLES / file).read_bytes()))
    assert answer.status == 200, answer.body
    assert json.loads(done.stdout) == answer.json


def test_the_command_line_writes_files_numpy_reads(tmp_path):
    import numpy as np
    done = crop("prune", EXAMPLES / "cat_eye_prune.json", "--out", tmp_path / "kept.npy", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "kept.npy").tolist() == json.loads(done.stdout)["kept_indices"]


def test_the_calls_in_the_readme_work(server):
    """Every curl call of Examples/README.md, as it stands there."""
    import shlex
    import subprocess
    calls = re.findall(r"^    (curl [^|>\n]*)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert len(calls) >= 6
    for call in calls:
        words = shlex.split(call.replace("http://127.0.0.1:8080", server.url))
        if "--json" in words:  # Not every curl has it yet.
            at = words.index("--json")
            words[at:at + 1] = ["-H", "Content-Type: application/json", "--data-binary"]
        done = subprocess.run(
            [*words, "--fail-with-body", "--silent", "--show-error", "--max-time", "20"], cwd=EXAMPLES, capture_output=True,
            timeout=30)
        assert done.returncode == 0, (call, done.stdout, done.stderr)
        assert json.loads(done.stdout)


IN_THE_FILE_OF_EVERY_INPUT = {"attention", "image_features", "text_features"}


def test_one_file_feeds_every_method_of_these_inputs(connection):
    body = (EXAMPLES / "cat_eye_all.safetensors").read_bytes()
    methods = connection.exchange(request("GET", "/methods")).json["methods"]
    fed = [method for method in methods if set(method["required_inputs"]) <= IN_THE_FILE_OF_EVERY_INPUT]
    assert {method["name"] for method in methods} - {method["name"] for method in fed} == {"ivcprune", "pixelprune"}
    frames = urllib.parse.quote(json.dumps({"frames": 4}))
    for method in fed:
        # Four strips of the picture stand for the frames of a video.
        more = f"&method_parameters={frames}" if method["name"] == "evs" else ""
        answer = post(connection, f"/prune?keep_tokens=64&method={method['name']}{more}", body)
        assert len(answer["kept_indices"]) == 64, method["name"]


def test_the_flag_example_keeps_the_region_it_finds(connection):
    call, = re.findall(r"^    curl --data-binary @astronaut_flag.safetensors '[^/]*//[^/]*(/prune[^']*)'",
                       (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    body = (EXAMPLES / "astronaut_flag.safetensors").read_bytes()
    found = post(connection, "/localize", body)["region_indices"]
    assert set(found) <= set(post(connection, call, body)["kept_indices"])


def view(response, tmp_path, *flags, size=(48, 48)):
    """-> the finished program and the picture that it drew on a white one of this size, None where it drew nothing."""
    from PIL import Image
    Image.new("RGB", size, "white").save(tmp_path / "white.png")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "view.py", tmp_path / "white.png", "-", "-o", tmp_path / "drawn.png", "--scale", "1",
         *flags], input=json.dumps(response), capture_output=True, text=True, timeout=60)
    if not (tmp_path / "drawn.png").exists():
        return done, None
    with Image.open(tmp_path / "drawn.png") as drawn:
        return done, drawn.convert("RGB")


def test_the_viewer_fails_on_an_error_response(connection, tmp_path):
    problem = connection.exchange(request("POST", "/prune", [("Content-Type", "application/json")], b"{}"))
    assert problem.status >= 400
    done, drawn = view(problem.json, tmp_path)
    assert done.returncode == 1 and drawn is None
    assert str(problem.status) in done.stderr and problem.json["detail"] in done.stderr


@pytest.mark.parametrize("response", [[], {}, {"kept_indices": [[0], [1]], "pruned_count": 3}, {"kept_indices": [0]}])
def test_the_viewer_fails_on_what_it_cannot_draw(response, tmp_path):
    done, drawn = view(response, tmp_path)
    assert done.returncode == 1 and drawn is None
    assert done.stderr.startswith("view.py: ")


@pytest.mark.parametrize("size, flags, kept, corner", [
    ((80, 40), [], 7, (70, 0)),  # 4 x 8 tokens of 10 x 10 pixels: token 7 is at the right of the first row
    ((40, 80), [], 7, (30, 10)),  # 8 x 4: token 7 ends the second row
    ((80, 40), ["--grid", "2x16"], 17, (5, 20)),
])
def test_the_viewer_lays_the_grid_over_the_picture(size, flags, kept, corner, tmp_path):
    done, drawn = view({"kept_indices": [kept], "pruned_count": 31}, tmp_path, *flags, size=size)
    assert done.returncode == 0, done.stderr
    white = [(x, y) for x in range(size[0]) for y in range(size[1]) if drawn.getpixel((x, y)) == (255, 255, 255)]
    assert white[0] == corner and len(white) == size[0] * size[1] // 32


def test_the_viewer_rejects_a_grid_that_does_not_fit(tmp_path):
    done, drawn = view({"kept_indices": [0], "pruned_count": 31}, tmp_path, "--grid", "3x3")
    assert done.returncode == 1 and drawn is None and "32 tokens" in done.stderr
