"""From a photograph to a picture of the kept tokens."""

import re
import sys
import types

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from server import Server

from crop_client import demo

EXAMPLES = ROOT / "Examples"


def run(server, capsys, *arguments):
    status = demo.main([*map(str, arguments), "--url", server.url])
    return status, capsys.readouterr()


def bright(path):
    """-> which pixels of the right half are not darkened."""
    pixels = np.asarray(Image.open(path).convert("L"), float)
    half = (pixels.shape[1] - 8) // 2
    return pixels[:, half + 8 :] > 0.5 * pixels[:, :half]


@pytest.mark.parametrize("photo, more, wanted", [
    ("coffee.jpg", ["the white cup?"], (0.12, 0.0, 0.80, 0.55)),
    ("astronaut.jpg", ["Where is the ORANGE suit?"], (0.0, 0.45, 0.75, 1.0)),
    ("cat.jpg", ["--example", "0.25,0.28,0.5,0.5"], (0.2, 0.2, 0.55, 0.55))])
def test_the_region_is_where_the_thing_is(server, capsys, tmp_path, photo, more, wanted):
    out = tmp_path / "kept.png"
    status, printed = run(server, capsys, EXAMPLES / photo, *more, "-o", out)
    assert status == 0 and "96 of 576 tokens" in printed.out
    numbers = printed.out.split("region: ")[1].split(" of the picture")[0].replace(" to ", ", ").split(", ")
    x0, y0, x1, y1 = map(float, numbers)
    assert wanted[0] <= x0 < x1 <= wanted[2] and wanted[1] <= y0 < y1 <= wanted[3]
    assert abs(bright(out).mean() - 96 / 576) < 0.05


def test_it_says_that_it_does_not_understand_words(server, capsys, tmp_path):
    status, printed = run(server, capsys, EXAMPLES / "coffee.jpg", "where is the cup?", "-o", tmp_path / "kept.png")
    assert status == 0 and "no word but a colour is understood" in printed.out


@pytest.mark.parametrize("size", [(640, 240), (100, 700), (30, 30)])
def test_pictures_of_any_shape(server, capsys, tmp_path, size):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(photo)
    status, printed = run(server, capsys, photo, "red", "--keep-tokens", 40, "-o", tmp_path / "kept.png")
    assert status == 0 and "40 of " in printed.out
    width, height = Image.open(tmp_path / "kept.png").size
    assert abs((width - 8) / 2 / height - size[0] / size[1]) < 0.05 * size[0] / size[1]


def test_what_is_wrong_is_said(server, capsys, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for arguments, text in (
        (["nothing.jpg"], "nothing.jpg"), ([tmp_path / "a.png", "--keep-ratio", "nan"], "keep_ratio"), ([EXAMPLES / "cat.jpg", "--example", "0.5,0.5,0.2,0.9"], "left,top,right,bottom"),
        ([EXAMPLES / "cat.jpg", "--method", "topc"], "topk")):
        status, printed = run(server, capsys, *arguments, "-o", tmp_path / "kept.png")
        assert status and text in printed.err
    assert demo.main([str(EXAMPLES / "cat.jpg"), "--url", "http://127.0.0.1:9"]) == 1
    assert "is `crop serve` running" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["divprune", "topk", "uniform"])
@pytest.mark.parametrize("question", ["the white cup?", "where is the cup?"])
def test_other_methods_get_what_they_need(server, capsys, tmp_path, method, question):
    status, printed = run(server, capsys, EXAMPLES / "coffee.jpg", question, "--method", method, "--keep-tokens", 40, "-o", tmp_path / "kept.png")
    assert status == 0 and f"40 of 576 tokens by {method}" in printed.out


@pytest.mark.parametrize("output, text", [
    ("nowhere/kept.png", "no folder"), ("kept.xyz", "'.xyz'"), ("kept", ".png or .jpg"), ("folder.png", "folder.png")])
def test_where_the_picture_cannot_be_written_is_said(server, capsys, tmp_path, output, text):
    (tmp_path / "folder.png").mkdir()
    status, printed = run(server, capsys, EXAMPLES / "cat.jpg", "-o", tmp_path / output)
    assert status == 2 and text in printed.err


@pytest.mark.parametrize("size", [(1, 1), (50, 20)])
@pytest.mark.parametrize("more", [[], ["--example", "0,0,0.5,0.5"], ["--method", "divprune"]])
@pytest.mark.parametrize("colour", ["white", (12, 200, 34)])
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_picture_of_one_colour_has_no_region(server, capsys, tmp_path, size, more, colour):
    Image.new("RGB", size, colour).save(tmp_path / "plain.png")
    status, printed = run(server, capsys, tmp_path / "plain.png", *more, "--keep-tokens", 40, "-o", tmp_path / "kept.jpg")
    assert status == 0 and "region: none" in printed.out and "40 of 5" in printed.out and "in the region" not in printed.out


def test_a_key_is_taken_from_the_arguments_or_the_environment(capsys, tmp_path, monkeypatch):
    (keys := tmp_path / "keys").write_text("correct-horse-battery-staple\n")
    keys.chmod(0o600)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with Server("--api-key-file", keys) as server:
        given = (tmp_path / "a.png", "-o", tmp_path / "kept.png")
        status, printed = run(server, capsys, *given)
        assert status == 1 and "401" in printed.err
        assert run(server, capsys, *given, "--api-key", "correct-horse-battery-staple")[0] == 0
        monkeypatch.setenv("CROPCLIENT_API_KEY", "correct-horse-battery-staple")
        assert run(server, capsys, *given)[0] == 0
    # A variable that a template leaves empty is none.
    monkeypatch.setenv("CROPCLIENT_API_KEY", "")
    with Server() as server:
        assert run(server, capsys, *given)[0] == 0


@pytest.mark.parametrize("question, found, text", [
    ("where?", OSError("no such repo"), "--model folder: no model on this machine that can be used: no such repo"),
    ("where?", None, "folder reads no words, or --example"),
    ("", None, "folder was asked nothing: give a question")])
def test_what_a_model_lacks_is_said(capsys, tmp_path, monkeypatch, question, found, text):
    """A stand-in for the module that needs torch."""
    def features_of(name, photo, question):
        if found is not None:
            raise found
        return np.zeros((4, 3), np.float32), None, 2, 2

    towers = types.ModuleType("crop_client._towers")
    towers.features_of = features_of
    monkeypatch.setitem(sys.modules, "crop_client._towers", towers)
    assert demo.main([str(EXAMPLES / "cat.jpg"), question, "--model", "folder", "-o", str(tmp_path / "kept.png")]) == 2
    assert re.search(text, capsys.readouterr().err)
