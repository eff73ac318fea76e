"""The command line: hints, pipes, messages that name flags, and what `make install` puts where."""
import json
import os
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from server import BINARY, ROOT, Server, crop, environment

EXAMPLES = ROOT / "Examples"
COMMANDS = ["serve", "localize", "compress", "prune", "reselect", "compare", "plan", "methods", "models", "healthcheck"]


# Hints.


@pytest.mark.parametrize("arguments, words", [
    (["serve", "--threads", "1"], "'--compute-threads'"), (["serve", "--http-prot", "1"], "'--http-port'"),
    (["serve", "--cert", "a"], "'--tls-cert'"), (["prun"], "'prune'"), (["serv", "--http-port", "1"], "'serve'"),
    (["help", "prun"], "'prune'"), (["xyzzy"], "healthcheck"), (["prune", "x.npy", "--keep-token", "1"], "'--keep-tokens'")])
def test_a_wrong_word_of_the_command_line_names_the_right_one(arguments, words):
    done = crop(*arguments)
    assert done.returncode == 64 and words in done.stderr and not done.stdout, done.stderr


@pytest.mark.parametrize("text, words", [
    ("port: 1\n", "'http.port'"), ("http:\n  prot: 1\n", "'http.port'"), ("tls:\n  certificate: a\n", ""),
    ("cert: a\n", "'tls.cert'"), ("max-inflight: 3\n", "'max-in-flight'")])
def test_a_wrong_key_of_a_file_names_the_right_one(tmp_path, text, words):
    path = tmp_path / "crop.yaml"
    path.write_text(text)
    done = crop("serve", "--config", path)
    assert done.returncode == 78 and words in done.stderr, done.stderr


# Files that are none.


def test_a_directory_is_called_one(tmp_path):
    for flags, status in [(("serve", "--config"), 78), (("serve", "--api-key-file"), 78), (("prune",), 65),
                          (("serve", "--tls-key", tmp_path, "--tls-cert"), 78)]:
        done = crop(*flags, tmp_path)
        assert done.returncode == status and "is a directory" in done.stderr and str(tmp_path) in done.stderr, done.stderr
    file = tmp_path / "file"
    file.write_text("x")
    done = crop("serve", "--models", file)
    assert done.returncode == 78 and "is a file; give the folder" in done.stderr


def test_a_taken_port_says_what_to_do():
    with Server() as server:
        done = crop("serve", "--http-port", server.port)
    assert done.returncode == 69 and "another program listens there" in done.stderr and "--http-port" in done.stderr


def test_an_address_of_another_machine_is_called_so():
    done = crop("serve", "--http-host", "192.0.2.1", "--http-port", "0")
    assert done.returncode == 69 and "no interface of this machine has that address" in done.stderr


# Messages.


@pytest.mark.parametrize("arguments, words", [
    (["prune", EXAMPLES / "cat_eye.safetensors", "--keep-tokens", "9999"], "crop: --keep-tokens asks for 9999"),
    (["prune", EXAMPLES / "cat_eye.safetensors", "--parameters", '{"keep_tokens": 9999}'], "crop: keep_tokens asks for"),
    (["prune", EXAMPLES / "cat_eye.safetensors", "--keep-tokens", "6", "--method", "fooo"], "crop: --method: there is no"),
    (["prune", EXAMPLES / "cat_eye.safetensors", "--keep-tokens", "6", "--method-parameters", '{"x": 1}'],
     "crop: --method-parameters: x: "),
    (["plan", "--layout", "24x24", "--keep-ratio", "7"], "crop: --keep-ratio must be")])
def test_a_problem_names_the_flag_that_caused_it(arguments, words):
    done = crop(*arguments)
    assert done.returncode == 65 and done.stderr.startswith(words), done.stderr


def test_every_method_that_needs_tensors_says_which():
    rows = {line.split()[0]: line.split("  ") for line in crop("methods").stdout.splitlines()[1:]}
    needs = {name: [part.strip() for part in parts if part.strip()][1] for name, parts in rows.items()}
    assert needs["pyramiddrop"] == "attention or hidden_states"
    assert needs["random"] == needs["uniform"] == "-"
    assert all(re.fullmatch(r"-|[a-z_, ]+", text) for text in needs.values()), needs
    assert "needs: attention or hidden_states\n" in crop("methods", "pyramiddrop").stdout


# Help.


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_examples_in_the_help_fit_80_columns(command):
    text = crop(*([command] if command else []), "--help", env={"COLUMNS": "80"}).stdout
    examples = text.split("EXAMPLES\n")[1].split("\n\n")[0].splitlines()
    assert examples
    for line in examples:
        # A wrapped line would begin at the margin.
        assert line.startswith("  ") and len(line) <= 80, line


@pytest.mark.parametrize("command", ["localize", "compress", "prune", "reselect", "plan", "methods"])
def test_examples_in_the_help_can_be_pasted(command, tmp_path):
    for name in "attention", "image_features", "text_features":
        shape = {"attention": (8, 576), "image_features": (576, 32), "text_features": (32,)}[name]
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(1).random(shape, np.float32))
        if name == "attention":
            np.save(tmp_path / "x.npy", np.random.default_rng(1).random(shape, np.float32))
    np.save(tmp_path / "prefill_scores.npy", np.random.default_rng(2).random(576, np.float32))
    features = np.load(tmp_path / "image_features.npy").tolist()
    attention = np.load(tmp_path / "attention.npy").tolist()
    (tmp_path / "request.json").write_text(json.dumps({"image_features": features, "keep_tokens": 64}))
    shutil.copy(EXAMPLES / "cat_eye.safetensors", tmp_path / "request.safetensors")
    examples = crop(command, "--help", env={"COLUMNS": "80"}).stdout.split("EXAMPLES\n")[1].split("\n\n")[0]
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "crop").symlink_to(BINARY)
    env = environment(PATH=f"{folder}:{os.environ['PATH']}")
    # Examples begin at two spaces, their further lines are deeper.
    for example in re.split(r"\n(?=  \S)", examples):
        if "weights" in example:
            continue
        done = subprocess.run(["sh", "-c", example], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, example + done.stderr


def test_the_readme_line_for_files_works_after_the_install(tmp_path):
    program = install(tmp_path)
    line, = re.findall(r"`(crop prune Examples/[^`]+)`", (ROOT / "README.md").read_text())
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          env=environment(PATH=f"{program.parent}:{os.environ['PATH']}"))
    assert done.returncode == 0 and "kept_indices" in done.stdout, done.stderr


# Standard input and output, and pipes.


ATTENTION = EXAMPLES / "cat_eye_attention.npy"


def kept(arguments, **options):
    done = subprocess.run([BINARY, "prune", *map(str, arguments)], capture_output=True, timeout=60,
                          env=environment(), **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_dash_is_standard_input():
    expected = kept([ATTENTION, "--tensor", "attention", "--keep-tokens", "64", "--format", "json"])
    with open(ATTENTION, "rb") as file:
        assert kept(["-", "--tensor", "attention", "--keep-tokens", "64", "--format", "json"], stdin=file) == expected
    done = subprocess.run([BINARY, "prune", "-", "--keep-tokens", "64"], input=ATTENTION.read_bytes(), capture_output=True,
                          timeout=60, env=environment())
    assert done.returncode == 65 and b"--tensor" in done.stderr


def test_a_dash_with_an_ending_is_standard_output():
    import io
    arguments = [ATTENTION, "--tensor", "attention", "--keep-tokens", "64"]
    indices = json.loads(kept([*arguments, "--format", "json"]))["kept_indices"]
    assert np.load(io.BytesIO(kept([*arguments, "--out", "-.npy"]))).tolist() == indices
    assert json.loads(kept([*arguments, "--out", "-.json"]))["kept_indices"] == indices


def test_pipes_are_read_and_written(tmp_path):
    source, sink = tmp_path / "attention.npy", tmp_path / "kept.npy"
    os.mkfifo(source)
    os.mkfifo(sink)
    received = []
    threads = [threading.Thread(target=lambda: source.write_bytes(ATTENTION.read_bytes())),
               threading.Thread(target=lambda: received.append(sink.read_bytes()))]
    for thread in threads:
        thread.start()
    kept([source, "--keep-tokens", "64", "--out", sink])
    for thread in threads:
        thread.join(timeout=30)
    assert received[0].startswith(b"\x93NUMPY") and not sink.is_file()


def test_one_name_for_the_format_everywhere():
    for command in "localize", "compress", "prune", "methods", "models", "serve":
        text = crop(command, "--help").stdout
        assert "--format <format>" in text and "--output" not in text


# Installing.


def install(folder):
    done = subprocess.run(["make", "install", f"PREFIX={folder}", f"INSTALL_FROM={BINARY}"], cwd=ROOT, capture_output=True,
                          text=True, timeout=120, env=environment())
    assert done.returncode == 0, done.stderr
    return folder / "bin" / "crop"


def test_install_honours_the_prefix_and_completes_names_of_methods(tmp_path):
    program = install(tmp_path)
    assert subprocess.run([program, "--version"], capture_output=True, timeout=60).returncode == 0
    methods = [line.split()[0] for line in crop("methods").stdout.splitlines()[1:]]
    for file in ("bash-completion/completions/crop", "zsh/site-functions/_crop", "fish/vendor_completions.d/crop.fish"):
        text = (tmp_path / "share" / file).read_text()
        for name in ["prune", "--keep-tokens", *methods] if "fish" not in file else methods:
            assert name in text, (file, name)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 4, files
