"""Attention rows without leaving SDPA, and patches to tokens."""

import pytest
import tiny
import torch

from crop_client import ArgumentError, hf


def eager(made, inputs, modules):
    """-> the probabilities that eager attention makes in these modules."""
    kept = {}
    made.set_attn_implementation("eager")
    hooks = [module.register_forward_hook(lambda m, a, out: kept.setdefault(id(m), []).append(out[1])) for module in modules]
    with torch.inference_mode():
        made(**inputs)
    for hook in hooks:
        hook.remove()
    made.set_attn_implementation("sdpa")
    return [kept[id(module)][0] for module in modules]


def test_rows_of_the_language_model_are_those_of_eager_attention(family):
    name, made = family
    inputs = tiny.inputs(name, made)
    modules = [layer.self_attn for layer in hf.language_layers(made)][1:3]
    wanted = eager(made, inputs, modules)
    with torch.inference_mode():
        plain = made(**inputs).logits
        with hf.capture(made, modules) as found:
            captured = made(**inputs).logits
    assert torch.equal(plain, captured)
    for module, matrix in zip(modules, wanted):
        assert torch.allclose(found.row(module), matrix[:, :, -1], atol=2e-5)
        assert torch.allclose(found.rows(module, [3, 8, -2]), matrix[:, :, [3, 8, -2]], atol=2e-5)
        assert torch.allclose(found.received(module), matrix.mean(dim=2), atol=2e-5)
    assert made.config._attn_implementation == "sdpa"
    assert made.config.get_text_config()._attn_implementation == "sdpa"


def test_padded_rows(family):
    name, made = family
    if name.startswith("qwen") or name == "gemma3":
        pytest.skip("padding is tested where positions are plain")
    inputs = tiny.inputs(name, made)
    for key in ("input_ids", "attention_mask"):
        inputs[key] = torch.nn.functional.pad(inputs[key], (7, 0))
    module = hf.language_layers(made)[1].self_attn
    (wanted,) = eager(made, inputs, [module])
    with torch.inference_mode(), hf.capture(made, [module]) as found:
        made(**inputs)
    assert torch.allclose(found.row(module), wanted[:, :, -1], atol=2e-5)
    assert found.row(module)[..., :7].abs().max() == 0


@pytest.mark.parametrize("name", ["llava", "llava_next", "internvl"])
def test_cls_rows_of_vision_towers(name):
    made = tiny.model(name)
    given, _ = tiny.visual_inputs(name, 1)
    module = hf.vision_attention(made)
    made.set_attn_implementation("eager")
    seen = []
    hook = module.register_forward_hook(lambda m, a, out: seen.append(out[1]))
    with torch.inference_mode():
        made.get_image_features(**given)
    hook.remove()
    made.set_attn_implementation("sdpa")
    with torch.inference_mode(), hf.capture(made, [module]) as found:
        made.get_image_features(**given)
    assert torch.allclose(found.row(module, 0), seen[0][:, :, 0], atol=2e-5)


def test_captures_are_forgotten_and_do_not_nest():
    made = tiny.model("llava")
    inputs = tiny.inputs("llava", made)
    module = hf.language_layers(made)[0].self_attn
    with torch.inference_mode(), hf.capture(made, [module]) as found:
        with pytest.raises(ArgumentError, match="nothing was captured"):
            found.row(module)
        with pytest.raises(ArgumentError, match="do not nest"), hf.capture(made, [module]):
            pass
        made(**inputs)
        made(**inputs)
        with pytest.raises(ArgumentError, match="2 calls"):
            found.row(module)
        found.clear()
        made(**inputs)
        found.row(module)
    with pytest.raises(ArgumentError, match="not named"):
        found.row(hf.language_layers(made)[1].self_attn)


def flat(made, given):
    pooled = made.get_image_features(**given, return_dict=True).pooler_output
    pieces = list(pooled.unbind(0)) if isinstance(pooled, torch.Tensor) else list(pooled)
    return torch.cat(pieces)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "idefics3", "smolvlm", "gemma3"])
def test_patches_go_to_the_token_that_they_are_in(name):
    """A tower without attention keeps patches apart, so changed pixels change one token: the one their score must go to."""
    made = tiny.model(name)
    given, _ = tiny.visual_inputs(name, 1)
    with torch.no_grad():
        for path, parameter in made.model.named_parameters():
            # What attention adds to the residual stream.
            if ("visual" in path or "vision" in path) and any(
                    end in path for end in ("attn.proj.", "out_proj.", "projection_layer.")):
                parameter.zero_()
    with torch.inference_mode():
        base = flat(made, given)
        for patch in (0, 1, 5, 11, 18, 30):
            changed = {key: value.clone() for key, value in given.items()}
            if name.startswith("qwen"):
                patches = changed["pixel_values"].shape[0]
                changed["pixel_values"][patch] += 3
                scores = torch.zeros(1, 1, patches)
                scores[..., patch] = 1
                if name == "qwen2_5_vl":  # attention sees the patches in the order of the windows
                    scores = windows(made, given, scores)
            else:
                side, size = 8, 14
                row, column = divmod(patch, side)
                pixels = changed["pixel_values"].view(-1, 3, 112, 112)
                pixels[0, :, row * size : (row + 1) * size, column * size : (column + 1) * size] += 3
                scores = torch.zeros(1, 1, side * side)
                scores[..., patch] = 1
            moved = (flat(made, changed) - base).abs().sum(dim=-1)
            (tokens,) = hf.to_tokens(made, scores, given)
            assert tokens.shape[-1] == len(base) and (tokens > 0).sum() == 1
            assert moved.argmax() == tokens[0].argmax(), patch
            assert (moved > 1e-4).sum() == 1


def windows(made, given, scores):
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import get_vision_window_index

    visual = made.model.visual
    index, _ = get_vision_window_index(given["image_grid_thw"], spatial_merge_size=2, window_size=visual.window_size,
                                       patch_size=visual.patch_size)
    return scores.reshape(1, 1, -1, 4)[:, :, index].reshape(1, 1, -1)


def test_scores_of_tiles_are_packed_as_features_are():
    """A tower's [tiles, patches] goes to the packed tokens, newlines included, as pack_image_features orders them."""
    made = tiny.model("llava_next")
    given, _ = tiny.visual_inputs("llava_next", 1)
    numbers = torch.arange(5 * 16, dtype=torch.float32).reshape(5, 1, 16) + 1
    (tokens,) = hf.to_tokens(made, numbers, given)
    with torch.inference_mode():
        features = flat(made, given)
    assert tokens.shape == (1, len(features))
    newlines = (features == made.model.image_newline).all(dim=-1)
    assert ((tokens[0] == 0) == newlines).all() and newlines.any()
    assert tokens[0, :16].tolist() == numbers[0, 0].tolist()


@pytest.mark.parametrize("attention", ["cls", "received"])
def test_scores_of_the_tower_prune(family, client, attention):
    name, made = family
    inputs = tiny.inputs(name, made)
    pruned = hf.PrunedGeneration(made, client, method="fastervlm", keep_ratio=0.5, attention=attention)
    if attention == "cls" and not hf.family_of(made).has_cls:
        with pytest.raises(ArgumentError, match="received"):
            pruned.prepare(inputs)
        return
    prepared = pruned.prepare(inputs)
    visual = hf.encode(made, inputs, attention=attention)[0]
    wanted = visual.attention[0].double().mean(dim=0)
    kept = pruned.answers[0].per_image[0].kept_indices
    dropped = torch.ones(len(wanted), dtype=torch.bool)
    dropped[kept] = False
    if not hf.family_of(made).newline:
        assert wanted[kept].min() >= wanted[dropped].max()
    assert torch.isfinite(made(**prepared).logits).all()


def test_attention_within_windows_is_not_read():
    """Most layers of Qwen2.5-VL's tower attend within windows, where the tokens of a small one receive more than all others."""
    vision = {"depth": 4, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32, "num_heads": 4, "patch_size": 14,
              "window_size": 56, "fullatt_block_indexes": [0, 1]}
    made = tiny.BUILDERS["qwen2_5_vl"](vision).eval()
    blocks = made.model.visual.blocks
    assert hf.vision_attention(made) is hf.vision_attention(made, 1) is hf.vision_attention(made, -3) is blocks[1].attn
    inputs = tiny.inputs("qwen2_5_vl", made)
    for piece in hf.encode(made, inputs, attention="received")[0].attention:
        assert torch.allclose(piece.sum(dim=-1), torch.tensor(1 / 4), atol=1e-4)  # four patches to a token
    for layer in (2, -2, 3, 4, -5):
        with pytest.raises(ArgumentError, match=f"layer={layer}: .* 0, 1, which attend to the whole image"):
            hf.encode(made, inputs, attention="received", layer=layer)
    with pytest.raises(ArgumentError, match=r"layer=9: .*0\.\.\.2"):
        hf.vision_attention(tiny.model("llava"), 9)


def test_a_query_behind_the_last_is_named():
    """It was taken as one from the beginning: the remainder of a division."""
    made = tiny.model("llava")
    inputs = tiny.inputs("llava", made)
    count = inputs["input_ids"].shape[1]
    module = hf.language_layers(made)[0].self_attn
    with torch.inference_mode(), hf.capture(made, [module]) as found:
        made(**inputs)
    assert torch.equal(found.row(module, -count), found.row(module, 0))
    for query in (count, -count - 1):
        with pytest.raises(ArgumentError, match=rf"there were {count} in this pass, 0\.\.\.{count - 1}"):
            found.row(module, query)
