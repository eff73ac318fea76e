"""Random models of every family, a few layers of a few numbers each, and inputs as their processors make them."""

import torch
import transformers as tf

TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 200, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None, "max_position_embeddings": 4096}
IMAGE, VIDEO = 190, 191
CLIP = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}


def _clip(size=56, patch=14):
    return tf.CLIPVisionConfig(**CLIP, image_size=size, patch_size=patch, projection_dim=32)


def _siglip(size=56, patch=14):
    return tf.SiglipVisionConfig(**CLIP, image_size=size, patch_size=patch, vision_use_head=False)


def _llava():
    config = tf.LlavaConfig(vision_config=_clip(), text_config=tf.LlamaConfig(**TEXT), image_token_id=IMAGE,
                            vision_feature_layer=-2, vision_feature_select_strategy="default")
    return tf.LlavaForConditionalGeneration(config)


def _llava_next():
    config = tf.LlavaNextConfig(vision_config=_clip(), text_config=tf.LlamaConfig(**TEXT), image_token_id=IMAGE,
                                image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]], vision_feature_layer=-2)
    return tf.LlavaNextForConditionalGeneration(config)


def _llava_onevision():
    config = tf.LlavaOnevisionConfig(
        vision_config=_siglip(), text_config=tf.Qwen2Config(**TEXT), image_token_id=IMAGE, video_token_id=VIDEO,
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]], vision_feature_layer=-1, vision_feature_select_strategy="full")
    return tf.LlavaOnevisionForConditionalGeneration(config)


_ROPE = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}


def _qwen2_vl():
    vision = {"depth": 3, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
    config = tf.Qwen2VLConfig(vision_config=vision, text_config={**TEXT, "rope_parameters": _ROPE},
                              image_token_id=IMAGE, video_token_id=VIDEO)
    return tf.Qwen2VLForConditionalGeneration(config)


def _qwen2_5_vl(vision=None):
    vision = vision or {"depth": 3, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32, "num_heads": 4,
                        "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1, 2]}
    config = tf.Qwen2_5_VLConfig(vision_config=vision, text_config={**TEXT, "rope_parameters": _ROPE},
                                 image_token_id=IMAGE, video_token_id=VIDEO)
    return tf.Qwen2_5_VLForConditionalGeneration(config)


def _qwen3_vl():
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32, "num_heads": 4, "patch_size": 16,
              "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
    config = tf.Qwen3VLConfig(vision_config=vision, text_config={**TEXT, "head_dim": 8, "rope_parameters": _ROPE},
                              image_token_id=IMAGE, video_token_id=VIDEO)
    return tf.Qwen3VLForConditionalGeneration(config)


def _internvl():
    vision = tf.InternVLVisionConfig(**CLIP, image_size=[112, 112], patch_size=[14, 14])
    config = tf.InternVLConfig(vision_config=vision, text_config=tf.Qwen2Config(**TEXT), image_token_id=IMAGE)
    return tf.InternVLForConditionalGeneration(config)


def _idefics3():
    vision = {**CLIP, "image_size": 112, "patch_size": 14}
    config = tf.Idefics3Config(vision_config=vision, text_config=tf.LlamaConfig(**TEXT), image_token_id=IMAGE, scale_factor=2)
    return tf.Idefics3ForConditionalGeneration(config)


def _smolvlm():
    vision = {**CLIP, "image_size": 112, "patch_size": 14}
    config = tf.SmolVLMConfig(vision_config=vision, text_config=tf.LlamaConfig(**TEXT), image_token_id=IMAGE, scale_factor=2)
    return tf.SmolVLMForConditionalGeneration(config)


def _gemma3():
    text = tf.Gemma3TextConfig(**{**TEXT, "head_dim": 8, "sliding_window": 512})
    config = tf.Gemma3Config(vision_config=_siglip(112, 14), text_config=text, mm_tokens_per_image=16, image_token_id=IMAGE,
                             boi_token_index=188, eoi_token_index=189)
    return tf.Gemma3ForConditionalGeneration(config)


BUILDERS = {name[1:]: builder for name, builder in list(globals().items())
            if name.startswith("_") and callable(builder) and name not in ("_clip", "_siglip")}


def model(name):
    torch.manual_seed(11)
    made = BUILDERS[name]()
    made.set_attn_implementation("sdpa")
    # Random weights of the usual size make all tokens alike; larger ones tell pruned from unpruned.
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1 and not parameter.any():  # as Gemma's projection, which training fills
                parameter.normal_(std=0.1)
            elif parameter.dim() > 1:
                parameter.mul_(4)
    return made.eval()


def _pixels(*shape, seed=3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def visual_inputs(name, images, video=False):
    """-> the inputs of the vision tower for `images` images, and the tokens of each piece of the prompt."""
    if name.startswith("qwen"):
        patch = 16 if name == "qwen3_vl" else 14
        grids = [[2, 4, 4]] if video else [[1, 8, 12], [1, 4, 8]][:images]
        count = sum(t * h * w for t, h, w in grids)
        kind = "video" if video else "image"
        pixels = "pixel_values_videos" if video else "pixel_values"
        tokens = [t * h * w // 4 for t, h, w in grids]
        if video and name == "qwen3_vl":  # a time stamp stands before each frame
            tokens = [h * w // 4 for t, h, w in grids for _ in range(t)]
        return {pixels: _pixels(count, 3 * 2 * patch * patch), f"{kind}_grid_thw": torch.tensor(grids)}, tokens
    if name == "llava_onevision" and video:
        return {"pixel_values_videos": _pixels(1, 3, 3, 56, 56)}, [3 * 4 + 1]
    if name in ("llava_next", "llava_onevision"):
        sizes = torch.tensor([[60, 110], [100, 100]][:images])  # (height, width)
        pixels = _pixels(images, 5, 3, 56, 56)
        if name == "llava_onevision" and images > 1:  # several images have one tile each
            return {"pixel_values": pixels[:, 0], "image_sizes": sizes, "batch_num_images": torch.tensor([images])}, [17] * images
        return {"pixel_values": pixels, "image_sizes": sizes}, None
    if name in ("idefics3", "smolvlm"):
        return {"pixel_values": _pixels(1, images, 3, 112, 112)}, [16] * images
    side = {"llava": 56, "internvl": 112, "gemma3": 112}[name]
    return {"pixel_values": _pixels(images, 3, side, side)}, [16] * images


def inputs(name, made, images=1, video=False):
    """-> what a processor makes of a prompt with images (or a video), for one sequence."""
    given, counts = visual_inputs(name, images, video)
    token = VIDEO if video else IMAGE
    if counts is None:
        with torch.inference_mode():
            counts = [len(piece) for piece in made.get_image_features(**given, return_dict=True).pooler_output]
    ids = [1, 5, 6]
    for index, count in enumerate(counts):
        ids += [10 + index] + [token] * count + [20 + index]
    ids += [30, 31, 32, 33, 34]
    ids = torch.tensor([ids])
    types = (ids == IMAGE).int() + 2 * (ids == VIDEO).int()
    given |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if name.startswith("qwen"):
        given["mm_token_type_ids"] = types
    if name == "gemma3":
        given["token_type_ids"] = (ids == IMAGE).int()
    return given
