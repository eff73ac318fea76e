"""Every row of the table: what each method is given, and the tokens that the service keeps.

A selection returns kept indices [questions][keep] of one scene. `shared` ones do not look at the question.
"""
from dataclasses import dataclass

import numpy as np
import torch

from . import model, scenes, service

BUDGETS = {0.333: 85, 0.222: 57, 0.111: 28, 0.056: 14}
RANDOM_SEEDS = 5
# In-LLM methods drop after this many of the layers (FastV's K = 2).
DEPTH = 2
# The text side of this encoder is trained so that a high cosine means relevant; published signs are for CLIP's.
POSITIVE = dict(relevance_sign="positive")


@dataclass
class Tensors:
    """What the model offers the service for one scene and its questions, float32 arrays."""
    features: np.ndarray          # [256, D], the encoder's
    visual: np.ndarray            # [256, D], as the language model reads them
    relevance: np.ndarray         # [256, D], in the space of the words
    cls_rows: np.ndarray          # [heads, 256], last layer
    early_rows: np.ndarray        # [heads, 256], first layer
    merged_row: np.ndarray        # [256], last layer with heads not split
    keys: np.ndarray              # [heads, 256, d], last layer
    pixels: np.ndarray            # [256, 768]
    texts: list                   # per question [words, D], embeddings
    prefix: object = None         # prefill.Prefix of this scene
    lengths: tuple = ()
    evidence: tuple = ()          # per question inclusive blocks, None for the whole image
    decoys: tuple = ()            # the same, with a region of no meaning where the object is absent
    found: tuple = ()             # per question the localizer's blocks, None for the whole image

    def rows(self, which):
        """Per question the attention of its words [heads, words, 256]."""
        tensor = getattr(self.prefix, which)[0]
        return [tensor[question, :, :length].numpy() for question, length in enumerate(self.lengths)]


@dataclass
class Row:
    """One line of the table."""
    name: str
    select: object                # (client, tensors, keep) -> indices, one list for shared rows
    shared: bool = False
    depth: int = 0                # layers that all tokens pass before the selection
    control: bool = False


def _shared(name, method=None, control=False, needs=(), **parameters):
    method = method or name
    offered = dict(image_features="features", attention="cls_rows", early_attention="early_rows", key="keys",
                   pixel_values="pixels")
    axes = dict(image_features="nd", attention="hn", early_attention="hn", key="hnd")

    def select(client, tensors, keep):
        given = {tensor: getattr(tensors, offered[tensor]) for tensor in needs}
        if method in ("prumerge", "prumerge_plus"):
            given["attention"] = tensors.merged_row
        declared = {tensor: axes[tensor] for tensor, value in given.items() if tensor in axes and value.ndim == len(axes[tensor])}
        if given:
            answer = client.prune(layout=service.GRID, keep_tokens=keep, method=method, axes=declared,
                                  method_parameters=parameters or None, **given)
        else:
            answer = client.prune(layout=service.GRID, keep_tokens=keep, method=method, **parameters)
        return answer.kept_indices

    return Row(name, select, shared=True, control=control)


def _asked(name, method, given, depth=0, region=None, control=False, **arguments):
    """A row that looks at the question: `given` makes the tensors of each question, `region` names its blocks."""

    def select(client, tensors, keep):
        count = len(tensors.texts)
        extra = dict(arguments)
        if region:
            extra["region"] = [None if blocks is None else {"blocks": [int(side) for side in blocks]}
                               for blocks in getattr(tensors, region)]
        return service.kept(client, count, keep, method, **given(tensors), **extra)

    return Row(name, select, depth=depth, control=control)


def _similarity(tensors):
    count = len(tensors.texts)
    return dict(image_features=[tensors.features] * count, relevance_features=[tensors.relevance] * count,
                text_features=tensors.texts)


def _features(tensors):
    return dict(image_features=[tensors.features] * len(tensors.texts))


def _cls(tensors):
    return dict(attention=[tensors.cls_rows] * len(tensors.texts), axes=dict(attention="hn"))


def _coverage(tensors):
    count = len(tensors.texts)
    return dict(image_features=[tensors.visual] * count, text_features=tensors.texts,
                encoder_features=[tensors.features] * count)


def _last_row(which):
    def given(tensors):
        rows = tensors.rows(which)
        return dict(attention=[np.ascontiguousarray(row[:, -1]) for row in rows], axes=dict(attention="hn"))
    return given


def _hidden_and_row(tensors):
    return dict(image_features=[tensors.prefix.visual[0].numpy()] * len(tensors.texts), **_last_row("rows")(tensors))


def _all_words(tensors):
    count = len(tensors.texts)
    return dict(attention=tensors.rows("rows"), image_features=[tensors.visual] * count, text_features=tensors.texts)


def _hidden(tensors):
    prefix = tensors.prefix
    count = len(tensors.texts)
    words = [prefix.words[0, question, :length].numpy() for question, length in enumerate(tensors.lengths)]
    keys = [np.ascontiguousarray(prefix.word_keys[0, question, :, :length].numpy())
            for question, length in enumerate(tensors.lengths)]
    return dict(image_features=[prefix.visual[0].numpy()] * count, text_features=words, key=[prefix.keys[0].numpy()] * count,
                text_key=keys, axes=dict(key="hnd"))


def _values(tensors):
    visual = tensors.prefix.values[0]
    sequences = [torch.cat([visual, tensors.prefix.word_values[0, question, :, :length]], 1).numpy()
                 for question, length in enumerate(tensors.lengths)]
    return dict(value_states=sequences)


def rows(variants=False):
    """Every row of the table: published methods, controls and CROP; with `variants`, what its default is chosen from."""
    cls = ("attention",)
    both = ("image_features", "attention")
    result = [
        _shared("uniform", control=True),
        *[_shared(f"random_{seed}", "random", control=True, seed=seed) for seed in range(RANDOM_SEEDS)],
        _shared("divprune", needs=("image_features",)), _shared("fastervlm", needs=cls),
        _shared("vispruner", needs=both), _shared("visionzip", needs=cls), _shared("prumerge"), _shared("prumerge_plus"),
        _shared("tome", needs=("image_features", "key")), _shared("hired", needs=("attention", "early_attention")),
        _shared("vscan", needs=("attention", "early_attention")), _shared("scope", needs=both),
        _shared("holov", needs=both), _shared("prunesid", needs=both), _shared("apet", needs=("image_features",)),
        _shared("vidcom2", needs=("image_features",), frames=1), _shared("pixelprune", needs=("pixel_values",)),
        _asked("cdpruner", "cdpruner", _similarity, method_parameters=POSITIVE),
        _asked("trim", "trim", _similarity, method_parameters=POSITIVE),
        _asked("mmtok", "mmtok", _coverage),
        _asked("fastv", "fastv", _last_row("rows"), DEPTH),
        _asked("pyramiddrop", "pyramiddrop", _last_row("next_rows"), DEPTH),
        _asked("sparsevlm", "sparsevlm", _all_words, DEPTH),
        _asked("dart", "dart", _hidden, DEPTH),
        _asked("ivcprune", "ivcprune", _values, DEPTH),
    ]
    return result + crop_rows() + (crop_variants() if variants else [])


def crop_rows():
    """CROP with the region of the localizer, and with regions that are known or mean nothing.

    Without a region `crop` looks for one itself (`crop_own_region`); its default without any is `divprune`.
    """
    similarity = dict(method_parameters=dict(scorer="similarity"))
    return [
        _asked("crop", "crop", _similarity, region="found"),
        _asked("crop_oracle", "crop", _similarity, region="evidence", control=True),
        _asked("crop_decoy", "crop", _similarity, region="decoys", control=True),
        _asked("crop_own_region", "crop", _similarity),
        _asked("crop_similarity", "crop", _similarity, region="found", **similarity),
        _asked("crop_mmtok", "mmtok", _coverage, region="found"),
        # Inside the model, by what its layers hold of the tokens, or by the attention alone.
        _asked("crop_in_llm", "crop", _hidden_and_row, DEPTH, region="found"),
        _asked("crop_in_llm_oracle", "crop", _hidden_and_row, DEPTH, region="evidence", control=True),
        _asked("crop_in_llm_attention", "crop", _last_row("rows"), DEPTH, region="found"),
    ]


def crop_variants():
    """What else could decide inside and outside the region; compared on the validation split alone."""
    similarity = dict(method_parameters=dict(scorer="similarity"))
    return [
        _asked("crop_share", "crop", _similarity, region="found", region_policy="share", region_share=0.75),
        _asked("crop_bias", "crop", _similarity, region="found", region_policy="bias", region_bias=4),
        _asked("crop_cls", "crop", _cls, region="found"),
        _asked("crop_similarity_oracle", "crop", _similarity, region="evidence", control=True, **similarity),
        _asked("crop_similarity_own_region", "crop", _similarity, **similarity),
        _asked("similarity", "crop", _similarity, region_policy="none", **similarity),
        _asked("crop_in_llm_attention_oracle", "crop", _last_row("rows"), DEPTH, region="evidence", control=True),
        _asked("divprune_in_llm", "crop", _hidden_and_row, DEPTH, region_policy="none"),
        _asked("crop_uniform", "uniform", _features, region="found"),
        _asked("crop_cdpruner", "cdpruner", _similarity, region="found", method_parameters=POSITIVE),
    ]


def decoy(random, evidence):
    """Blocks of a region of everyday size somewhere in the image."""
    width, height = random.integers(1, 4, 2)
    x, y = random.integers(0, 9 - width), random.integers(0, 9 - height)
    return (int(x), int(y), int(x + width - 1), int(y + height - 1))


def patches(images):
    """uint8 [256, 256, 3] -> [256, 768] numbers of each 16 x 16 patch."""
    side = scenes.PATCH
    grid = images.reshape(scenes.GRID, side, scenes.GRID, side, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(model.PATCHES, -1), np.float32) / 255
