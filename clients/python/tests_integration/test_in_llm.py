"""Pruning between layers: the cache is ragged, and decoding with it says what computing everything again says."""

import pytest
import tiny
import torch

from crop_client import ArgumentError, hf

STAGES = [{"layer": 2, "keep_ratio": 0.5}, {"layer": 3, "keep_ratio": 0.25}]


def lengths(cache):
    return [layer.keys.shape[2] for layer in cache.layers]


def test_keeping_everything_changes_no_logit(family, client):
    name, made = family
    inputs = tiny.inputs(name, made)
    with torch.inference_mode():
        wanted = made(**inputs).logits
        with hf.InLLM(made, client, inputs, stages=[{"layer": 2, "keep_ratio": 1.0}], method="topk", newline_policy="keep"):
            assert torch.equal(made(**inputs).logits, wanted)
        assert torch.equal(made(**inputs).logits, wanted)


def test_the_cache_is_ragged_and_decoding_agrees_with_recomputation(family, client):
    name, made = family
    inputs = tiny.inputs(name, made)
    visual = int((inputs["input_ids"] == tiny.IMAGE).sum())
    with torch.inference_mode(), hf.InLLM(made, client, inputs, stages=STAGES, method="fastv") as stages:
        made.model.rope_deltas = None
        out = made.generate(**inputs, max_new_tokens=5, do_sample=False, return_dict_in_generate=True)
        kept = list(stages.kept)
        whole = inputs["input_ids"].shape[1]
        first, second = (len(one) for one in kept)
        assert first == round(visual * 0.5) and second == round(visual * 0.25)
        assert set(kept[1].tolist()) <= set(kept[0].tolist())
        text = whole - visual
        wanted = [whole, whole, text + first, text + second]
        assert lengths(out.cache if hasattr(out, "cache") else out.past_key_values) == [one + 4 for one in wanted]
        assert [one["keep_tokens"] for one in stages.answers] == [first, second]
    added = out.sequences[0, whole:].tolist()
    assert added == recomputed(made, inputs, kept, 5)


def recomputed(made, inputs, kept, steps):
    """Greedy decoding without a cache, through layers that see what is left, by a mask instead of a shorter sequence."""
    places = (inputs["input_ids"][0] == tiny.IMAGE).nonzero()[:, 0]
    layers = hf.language_layers(made)
    blocked = {}
    for stage, indices in zip(STAGES, kept):
        gone = torch.ones(len(places), dtype=torch.bool)
        gone[indices] = False
        for index in range(stage["layer"], len(layers)):
            blocked[index] = places[gone]

    def before(index):
        def hook(module, positional, named):
            hidden = positional[0] if positional else named["hidden_states"]
            size = hidden.shape[1]
            mask = named.get("attention_mask")
            if mask is None:
                mask = torch.ones(size, size, dtype=torch.bool).tril()[None, None]
            mask = mask.clone()
            if mask.dtype is torch.bool:
                mask[..., blocked[index]] = False
                mask[..., torch.arange(size), torch.arange(size)] = True  # rows of dropped tokens are read by nobody
            else:
                mask[..., blocked[index]] = -torch.inf
                mask[..., torch.arange(size), torch.arange(size)] = 0
            return positional, {**named, "attention_mask": mask}
        return hook

    hooks = [layers[index].register_forward_pre_hook(before(index), with_kwargs=True) for index in blocked]
    given, tokens = dict(inputs), []
    with torch.inference_mode():
        for _ in range(steps):
            if hasattr(made.model, "rope_deltas"):
                made.model.rope_deltas = None
            token = made(**given, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            tokens.append(int(token))
            given["input_ids"] = torch.cat([given["input_ids"], token], dim=1)
            for key, fill in (("attention_mask", 1), ("mm_token_type_ids", 0), ("token_type_ids", 0)):
                if key in given:
                    given[key] = torch.cat([given[key], torch.full_like(token, fill, dtype=given[key].dtype)], dim=1)
    for hook in hooks:
        hook.remove()
    return tokens


def test_a_region_in_the_first_stage(client):
    made = tiny.model("llava")
    inputs = tiny.inputs("llava", made)
    stages = [{"layer": 2, "keep_tokens": 6}, {"layer": 3, "keep_tokens": 3}]
    with torch.inference_mode(), hf.InLLM(made, client, inputs, stages=stages, method="crop",
                                          region={"box": [0, 0, 0.5, 0.5]}) as pruning:
        made(**inputs)
    assert {0, 1, 4, 5} <= set(pruning.kept[0].tolist()) and len(pruning.kept[1]) == 3


def test_stages_that_cannot_be_are_refused(client):
    made, deep = tiny.model("llava"), tiny.model("qwen3_vl")
    inputs = tiny.inputs("llava", made)
    for layers in ([], [0], [4], [3, 2], [2, 2]):
        with pytest.raises(ArgumentError, match="ascend within 1...3"):
            hf.InLLM(made, client, inputs, stages=[{"layer": layer, "keep_tokens": 2} for layer in layers], method="topk")
    with pytest.raises(ArgumentError, match="deepstack"):
        hf.InLLM(deep, client, tiny.inputs("qwen3_vl", deep), stages=[{"layer": 1, "keep_tokens": 2}], method="topk")
    window = tiny.model("gemma3")
    window.config.text_config.sliding_window = 20
    with pytest.raises(ArgumentError, match="window of 20"), hf.InLLM(
            window, client, tiny.inputs("gemma3", window), stages=STAGES, method="topk"):
        pass
    two = {name: torch.cat([value, value]) for name, value in inputs.items()}
    with pytest.raises(ArgumentError, match="one sequence"):
        hf.InLLM(made, client, two, stages=STAGES, method="topk")


@pytest.mark.parametrize("stages, more, match", [
    ([{"keep_ratio": 0.5}], {}, "no `layer` with one of"), ([{"layer": 2}], {}, "no `layer` with one of"),
    ([{"layer": 2, "keep_ratio": 0.5}, {"layer": 3}], {}, r"\{'layer': 3\} is no `layer` with one of"),
    ([{"layer": 2, "keep_ratio": 0.5, "keep_tokens": 3}], {}, "one of keep_ratio, keep_tokens, prune_ratio"),
    (STAGES, {"keep_ratio": 0.5}, "each of `stages` has a budget of its own")])
def test_each_stage_has_a_layer_and_a_budget(client, stages, more, match):
    """Said when it is made: while the model runs it would end the generation, or not be used."""
    made = tiny.model("llava")
    with pytest.raises(ArgumentError, match=match):
        hf.InLLM(made, client, tiny.inputs("llava", made), stages=stages, method="topk", **more)
