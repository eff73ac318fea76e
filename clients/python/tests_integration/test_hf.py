"""Pruning transformers' models of every family: nothing else changes, and everything changes together."""

import pytest
import tiny
import torch

from crop_client import ArgumentError, AsyncClient, hf, layouts


def sample(name, made, what):
    if what == "video" and not (name.startswith("qwen") or name == "llava_onevision"):
        pytest.skip("no video")
    return tiny.inputs(name, made, images=2 if what == "images" else 1, video=what == "video")


def logits(made, inputs):
    with torch.inference_mode():
        return made(**inputs).logits


@pytest.mark.parametrize("what", ["image", "images", "video"])
def test_keeping_everything_changes_no_logit(family, client, what):
    name, made = family
    inputs = sample(name, made, what)
    pruned = hf.PrunedGeneration(made, client, method="uniform", keep_ratio=1.0)
    prepared = pruned.prepare(inputs)
    assert prepared["input_ids"].tolist() == inputs["input_ids"].tolist()
    assert torch.equal(logits(made, prepared), logits(made, inputs))


@pytest.mark.parametrize("what", ["image", "images", "video"])
@pytest.mark.parametrize("method, keep", [("divprune", 0.5), ("uniform", 0.25)])
def test_the_prompt_has_as_many_tokens_as_the_plan_says(family, client, what, method, keep):
    name, made = family
    inputs = sample(name, made, what)
    pruned = hf.PrunedGeneration(made, client, method=method, keep_ratio=keep)
    prepared = pruned.prepare(inputs)
    visuals = hf.encode(made, inputs)
    planned = sum(
        one.keep_tokens for visual in visuals
        for one in client.plan(layout=visual.layouts, keep_ratio=keep, method=method, newline_policy="keep").per_image)
    before, after = ((given["input_ids"] >= tiny.IMAGE).sum().item() for given in (inputs, prepared))
    assert after == planned < before
    assert inputs["input_ids"].shape[1] - prepared["input_ids"].shape[1] == before - after
    assert logits(made, prepared).shape[1] == prepared["input_ids"].shape[1]


def by_hand(made, prepared, steps):
    """Greedy decoding without a cache: every step computes the whole sequence from its embeddings' inputs again."""
    given = {name: value for name, value in prepared.items()}
    tokens = []
    for _ in range(steps):
        token = logits(made, given)[:, -1].argmax(-1, keepdim=True)
        tokens.append(token)
        given["input_ids"] = torch.cat([given["input_ids"], token], dim=1)
        for key, fill in (("attention_mask", 1), ("mm_token_type_ids", 0), ("token_type_ids", 0)):
            if key in given:
                given[key] = torch.cat([given[key], torch.full_like(token, fill, dtype=given[key].dtype)], dim=1)
        if "position_ids" in given:
            given["position_ids"] = torch.cat([given["position_ids"], given["position_ids"][..., -1:] + 1], dim=-1)
    return torch.cat(tokens, dim=1)


@pytest.mark.parametrize("what", ["image", "images", "video"])
def test_generation_is_that_of_the_pruned_prompt(family, client, what):
    name, made = family
    inputs = sample(name, made, what)
    pruned = hf.PrunedGeneration(made, client, method="divprune", keep_ratio=0.5)
    added = pruned.generate(inputs, max_new_tokens=6, do_sample=False)
    assert added.tolist() == by_hand(made, pruned.prepare(inputs), 6).tolist()


def test_pruned_logits_are_those_of_the_kept_embeddings(family, client):
    """The text model alone, fed what is left of the unpruned prompt's embeddings and positions, says the same."""
    name, made = family
    if name in ("qwen3_vl", "gemma3"):
        pytest.skip("deepstack, or a mask of token types: the text model alone is not the model")
    inputs = sample(name, made, "image")
    prepared = hf.PrunedGeneration(made, client, method="divprune", keep_ratio=0.5, keep_positions=True).prepare(inputs)
    seen = {}
    text = getattr(made.model, "language_model", None) or made.model.text_model
    hook = text.register_forward_pre_hook(lambda module, args, named: seen.update(named), with_kwargs=True)
    with torch.inference_mode():
        made(**inputs)
    hook.remove()
    places = (inputs["input_ids"][0] == tiny.IMAGE).nonzero()[:, 0]
    stays = torch.ones(inputs["input_ids"].shape[1], dtype=torch.bool)
    visuals = hf.encode(made, inputs)
    answer = client.prune(image_features=visuals[0].features, layout=visuals[0].layouts, method="divprune", keep_ratio=0.5,
                          newline_policy="keep")
    stays[places] = False
    start = 0
    for piece, one in zip(visuals[0].features, answer.per_image):
        stays[places[start + torch.as_tensor(one.kept_indices)]] = True
        start += len(piece)
    positions = seen.get("position_ids")
    if positions is None:
        positions = torch.arange(len(stays))[None]
    with torch.inference_mode():
        states = text(inputs_embeds=seen["inputs_embeds"][:, stays], position_ids=positions[..., stays]).last_hidden_state
        wanted = made.lm_head(states)
    assert torch.allclose(logits(made, prepared), wanted, atol=2e-5)


def test_batches_of_different_lengths(client):
    """Two sequences with different images keep different numbers; the shorter is padded on the left."""
    for name in ("llava_next", "qwen2_5_vl"):
        made = tiny.model(name)
        both = [tiny.inputs(name, made), tiny.inputs(name, made, images=2)]
        if name == "llava_next":
            both[1] = {**both[0], "image_sizes": torch.tensor([[100, 100]])}
            given, _ = tiny.visual_inputs(name, 1)
            count = len(made.get_image_features(given["pixel_values"], torch.tensor([[100, 100]])).pooler_output[0])
            ids = torch.tensor([[1, 5] + [tiny.IMAGE] * count + [30, 31, 32]])
            both[1] |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        width = max(one["input_ids"].shape[1] for one in both)
        batch = {}
        for key in both[0]:
            parts = [one[key] for one in both]
            if key in ("input_ids", "attention_mask", "mm_token_type_ids"):
                parts = [torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in parts]
            batch[key] = torch.cat(parts)
        pruned = hf.PrunedGeneration(made, client, method="divprune", keep_ratio=0.3)
        together = pruned.generate(batch, max_new_tokens=5, do_sample=False)
        for row, one in enumerate(both):
            assert together[row].tolist() == pruned.generate(one, max_new_tokens=5, do_sample=False)[0].tolist(), name


# Traps.


def test_logits_without_position_ids_would_be_wrong(client):
    made = tiny.model("qwen2_5_vl")
    prepared = hf.PrunedGeneration(made, client, method="divprune", keep_ratio=0.5).prepare(tiny.inputs("qwen2_5_vl", made))
    without = {name: value for name, value in prepared.items() if name != "position_ids"}
    made.model.rope_deltas = None
    assert (logits(made, prepared) - logits(made, without)).abs().max() > 1e-2
    assert prepared["position_ids"].shape[0] == 4  # with the text's, of which the mask is made


def test_deepstack_features_are_pruned_with_the_others(client):
    made = tiny.model("qwen3_vl")
    inputs = tiny.inputs("qwen3_vl", made)
    prepared = hf.PrunedGeneration(made, client, method="divprune", keep_ratio=0.5).prepare(inputs)
    outputs = prepared["mm_encoder_outputs"]["image"]
    assert [len(layer[0]) for layer in outputs.deepstack_features] == [len(outputs.pooler_output[0])] * 2
    zeros = type(outputs)(pooler_output=outputs.pooler_output, deepstack_features=[
        (torch.zeros_like(layer[0]),) for layer in outputs.deepstack_features])
    lost = {**prepared, "mm_encoder_outputs": {"image": zeros}}
    assert (logits(made, prepared) - logits(made, lost)).abs().max() > 1e-2


def test_image_sizes_are_height_and_width(client):
    made = tiny.model("llava_next")
    visual = hf.encode(made, tiny.inputs("llava_next", made))[0]
    assert visual.layouts[0]["image_size"] == [110, 60]
    assert client.plan(layout=visual.layouts[0], keep_ratio=1.0, newline_policy="keep").tokens == len(visual.features[0])


def test_the_tiles_of_onevision_are_counted_as_transformers_does(client):
    made = tiny.model("llava_onevision")
    inputs = tiny.inputs("llava_onevision", made)
    config = made.config
    for ratio in ("anyres_max_9", "anyres_max_2", "anyres9", "anyres_max_12"):
        config.vision_aspect_ratio = ratio
        (visual,) = hf.encode(made, inputs)
        assert client.plan(layout=visual.layouts[0], keep_ratio=1.0, newline_policy="keep").tokens == len(visual.features[0])
    with pytest.raises(ArgumentError, match="'anyres' has no number"):
        config.vision_aspect_ratio = "anyres"
        hf.family_of(made).layout(config, inputs, "image", 0, 99)


def test_as_many_heads_as_tokens_are_heads(client):
    """Four heads of one image's four tokens: a square that the client alone could not read."""
    made = tiny.model("llava")
    inputs = tiny.inputs("llava", made)
    seen = []

    class Watched(type(client)):
        def prune(self, **arguments):
            seen.append(arguments)
            return client.prune(**arguments)

    stages = [{"layer": 1, "keep_tokens": 4}, {"layer": 2, "keep_tokens": 2}]
    with torch.inference_mode(), hf.InLLM(made, Watched(), inputs, stages=stages, method="fastv", axes=None) as pruning:
        made(**inputs)
    assert [one["attention"].shape[0] for one in seen] == [4, 4] and seen[1]["attention"].shape[1] == 4
    wanted = seen[1]["attention"].double().mean(dim=0).topk(2).indices.sort().values
    assert pruning.answers[1].kept_within_previous.tolist() == wanted.tolist()

    def square(*_, **more):
        (visual,) = encode(*_, **more)
        return [visual._replace(features=[visual.features[0][:4]], layouts=[layouts.grid(2, 2)],
                                attention=[visual.attention[0][:, :4]])]

    encode = hf.pruning.encode
    try:
        hf.pruning.encode = square
        pruned = hf.PrunedGeneration(made, client, method="fastervlm", attention="cls", keep_tokens=2)
        with pytest.raises(ArgumentError, match="16 places"):  # which comes after the service's answer
            pruned.prepare(inputs)
    finally:
        hf.pruning.encode = encode
    (visual,) = square(made, inputs, attention="cls")
    wanted = visual.attention[0].double().mean(dim=0).topk(2).indices.sort().values
    assert pruned.answers[0].per_image[0].kept_indices.tolist() == wanted.tolist()


def test_features_that_do_not_fit_the_prompt_are_refused(client):
    made = tiny.model("llava")
    inputs = tiny.inputs("llava", made)
    visuals = hf.encode(made, inputs)
    with pytest.raises(ArgumentError, match="15 places"):
        hf.prune_inputs(made, {**inputs, "input_ids": torch.cat([inputs["input_ids"][:, :4], inputs["input_ids"][:, 5:]], 1)},
                        visuals, [[[1, 2]]])
    for kept in ([[2, 1]], [[0, 16]], [[-1]], [[0], [1]]):
        with pytest.raises(ArgumentError):
            hf.prune_inputs(made, inputs, visuals, [kept])


def test_prompts_without_pictures_pass(client):
    made = tiny.model("llava")
    inputs = {"input_ids": torch.tensor([[1, 5, 6]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    assert hf.PrunedGeneration(made, client, keep_ratio=0.5).prepare(inputs) == inputs


def test_the_service_sees_torch_as_it_is(client):
    """bfloat16, other strides, a gradient: the answer comes back as torch."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(64, 24, generator=generator).bfloat16()
    wanted = client.prune(image_features=features.float().numpy(), layout=layouts.grid(8, 8), method="divprune", keep_tokens=9)
    turned = features.T.contiguous().T.requires_grad_()
    answer = client.prune(image_features=turned, layout=layouts.grid(8, 8), method="divprune", keep_tokens=9)
    assert isinstance(answer.kept_indices, torch.Tensor) and answer.kept_indices.tolist() == wanted.kept_indices.tolist()
    merged = client.compress(image_features=features, layout=layouts.grid(8, 8), keep_tokens=9)
    assert merged.features.dtype is torch.bfloat16 and merged.features.shape == (9, 24)
    half = client.compress(image_features=features.half(), layout=layouts.grid(8, 8), keep_tokens=9)
    assert half.features.dtype is torch.float16
    with pytest.raises(ArgumentError, match="bfloat16"):
        client.prune(attention=features.view(torch.int16), layout=layouts.raw(24), keep_tokens=3)


def test_what_would_have_another_effect_is_refused(client):
    """Stages kept what the last of them keeps, before the language model's first layer."""
    made = tiny.model("llava")
    for more, match in (({"stages": [{"layer": 2, "keep_ratio": 0.5}]}, "InLLM"), ({"layout": layouts.grid(4, 4)}, "follows from")):
        with pytest.raises(ArgumentError, match=match):
            hf.PrunedGeneration(made, client, method="divprune", **more)
    for wrong in (AsyncClient("http://127.0.0.1:1"), "http://127.0.0.1:1"):
        with pytest.raises(ArgumentError, match=f"not {type(wrong).__name__}"):
            hf.PrunedGeneration(made, wrong, method="divprune", keep_ratio=0.5)
        with pytest.raises(ArgumentError, match=f"not {type(wrong).__name__}"):
            hf.InLLM(made, wrong, {}, stages=[{"layer": 2, "keep_ratio": 0.5}])
    with pytest.raises(ArgumentError, match="LlavaModel has no head"):
        hf.PrunedGeneration(made.model, client, method="divprune", keep_ratio=0.5)
    with pytest.raises(ArgumentError, match="models of type 'str' are not known"):
        hf.PrunedGeneration("llava-hf/llava-1.5-7b-hf", client, method="divprune", keep_ratio=0.5)
