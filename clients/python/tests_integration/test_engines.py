"""The engines' function and ours: the same parameters, the same count, other tokens.

CROP_VLLM and CROP_SGLANG may name folders with the engines' sources, unpacked from their wheels; without them stand-ins with
the same signature are used. No engine runs here.
"""

import importlib.util
import os
import pathlib
import sys
import types

import pytest
import torch

from crop_client import ArgumentError, Client, ConnectionFailed, engines, layouts

SOURCES = {"vllm": ("CROP_VLLM", "vllm/multimodal/video_prune/evs.py"),
           "sglang": ("CROP_SGLANG", "sglang/srt/multimodal/evs/evs_core.py")}


def stand_in(video_embeds, video_size_thw, spatial_merge_size, q):
    t, h, w = map(int, video_size_thw)
    frame = h * w // spatial_merge_size**2
    mask = torch.zeros(t * frame, dtype=torch.bool)
    mask[: max(frame, int(t * frame * (1 - q)))] = True
    return mask


@pytest.fixture(params=["vllm", "sglang"])
def engine(request):
    """-> the engine's name, its module, and one that has imported the function under another name."""
    variable, path = SOURCES[request.param]
    folder = os.environ.get(variable)
    name = f"{request.param}_pruning"
    if folder:
        specification = importlib.util.spec_from_file_location(name, pathlib.Path(folder) / path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    else:
        module = types.ModuleType(name)
        module.compute_retention_mask = stand_in
    user = types.ModuleType("engine_under_test.models.qwen")
    user.prune = module.compute_retention_mask
    sys.modules[user.__name__] = user
    yield request.param, module, user
    del sys.modules[user.__name__]


def video(frames=6, rows=8, columns=12, width=16):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(frames * rows * columns // 4, width, generator=generator), (frames, rows, columns)


def replaced(engine, client, falls_back=False, **settings):
    name, module, user = engine
    return engines.replace(name, module, "engine_under_test.", client, settings, falls_back)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("method", ["evs", "divprune", "uniform"])
def test_the_count_is_the_engine_s_for_every_rate(engine, client, rate, method):
    embeds, size = video()
    original = engine[1].compute_retention_mask
    wanted = original(embeds, torch.tensor(size), 2, rate)
    replaced(engine, client, CROPCLIENT_METHOD=method)
    mask = engine[2].prune(embeds, video_size_thw=torch.tensor(size), spatial_merge_size=2, q=rate)
    assert mask.dtype is torch.bool and mask.shape == wanted.shape and mask.sum() == wanted.sum()
    answer = client.prune(image_features=embeds, layout=layouts.video(6, 4, 6), method=method, keep_tokens=int(mask.sum()))
    assert mask.nonzero()[:, 0].tolist() == answer.kept_indices.tolist()


@pytest.mark.skipif(not os.environ.get("CROP_VLLM"), reason="needs the engine's source")
def test_evs_keeps_what_the_engine_keeps(engine, client):
    embeds, size = video()
    wanted = engine[1].compute_retention_mask(embeds, size, 2, 0.6)
    replaced(engine, client)
    assert torch.equal(engine[1].compute_retention_mask(embeds, size, 2, 0.6), wanted)


def test_a_method_that_needs_the_question_fails_without_it(engine, client):
    embeds, size = video()
    replaced(engine, client, falls_back=True, CROPCLIENT_METHOD="cdpruner")
    with pytest.raises(ArgumentError, match="needs the question"):
        engine[2].prune(embeds, size, 2, 0.5)
    with engines.question(torch.ones(16)):
        one = engine[2].prune(embeds, size, 2, 0.5)
    with engines.question(-torch.ones(16)):
        other = engine[2].prune(embeds, size, 2, 0.5)
    assert one.sum() == other.sum() and not torch.equal(one, other)
    with pytest.raises(ArgumentError, match="needs the question"):
        engine[2].prune(embeds, size, 2, 0.5)


@pytest.mark.parametrize("method, text", [("fastv", "needs attention"), ("evss", "no method 'evss'")])
def test_methods_that_cannot_be_used_are_named(engine, client, method, text):
    embeds, size = video()
    replaced(engine, client, CROPCLIENT_METHOD=method)
    with pytest.raises(ArgumentError, match=text):
        engine[2].prune(embeds, size, 2, 0.5)


def test_a_service_that_is_gone(engine, caplog):
    embeds, size = video()
    wanted = engine[1].compute_retention_mask(embeds, size, 2, 0.5)
    gone = Client("unix:/nowhere.sock", retries=0)
    mask = replaced(engine, gone, falls_back=True)
    assert torch.equal(mask(embeds, size, 2, 0.5), wanted) and "nowhere.sock" in caplog.text
    mask._original = None
    with pytest.raises(ConnectionFailed):
        mask(embeds, size, 2, 0.5)


def test_other_versions_are_refused(client):
    module = types.ModuleType("later")
    for function in (None, lambda video_embeds, grid, q: None):
        module.compute_retention_mask = function
        with pytest.raises(RuntimeError, match="knows vLLM 0.33"):
            engines.replace("vllm", module, "later.", client, {}, False)


def test_without_a_url_nothing_is_touched(monkeypatch):
    monkeypatch.delenv("CROPCLIENT_URL", raising=False)
    engines.register_vllm()
    engines.register_sglang()
    monkeypatch.setenv("CROPCLIENT_URL", "unix:/nowhere.sock")
    monkeypatch.setenv("CROPCLIENT_ON_FAILURE", "shrug")
    with pytest.raises(ArgumentError, match="neither raise nor original"):
        engines.register_vllm()
    with pytest.raises(SystemExit, match="neither raise nor original"):
        engines.register_sglang()


def test_pruned_images_for_vllm(client):
    features = torch.randn(576, 32, generator=torch.Generator().manual_seed(1)).half()
    rows = engines.prune_embeds(client, features, layout=layouts.grid(24, 24), method="divprune", keep_tokens=64)
    kept = client.prune(image_features=features, layout=layouts.grid(24, 24), method="divprune", keep_tokens=64).kept_indices
    assert torch.equal(rows, features[kept])


@pytest.mark.parametrize("shape", [(1, 576, 32), (2, 576, 32)])
def test_pruned_images_are_of_one_image(client, shape):
    """Of [1, N, D] the indices of tokens would index the images."""
    with pytest.raises(ArgumentError, match=r"is not \[N, D\]"):
        engines.prune_embeds(client, torch.zeros(shape), layout=layouts.grid(24, 24), method="divprune", keep_tokens=64)
