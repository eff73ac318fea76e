"""Prefill in parts: layers over all tokens, then the rest over those that stay."""
from dataclasses import dataclass

import torch

from . import model, vocabulary


@dataclass
class Prefix:
    """State after some layers over all visual tokens, for batch x questions."""
    visual: torch.Tensor       # [batch, 256, WIDTH]
    words: torch.Tensor        # [batch, questions, 7, WIDTH]
    rows: torch.Tensor         # [batch, questions, heads, 7, 256]: attention of the last layer run, words to patches
    next_rows: torch.Tensor    # the same of the layer that follows
    keys: torch.Tensor         # [batch, heads, 256, width of a head], after rotation
    word_keys: torch.Tensor    # [batch, questions, heads, 7, width of a head]
    values: torch.Tensor       # [batch, heads, 256, width of a head]
    word_values: torch.Tensor  # [batch, questions, heads, 7, width of a head]


def run_prefix(whole, visual, words, depth):
    """The first `depth` layers over all tokens."""
    language = whole.language
    batch, questions, length = words.shape
    count = visual.shape[1]
    x = torch.cat([visual, language.embedding(words).view(batch, questions * length, model.WIDTH)], 1)
    mask = model.packed_mask(count, questions, length)
    text = (model.PATCHES + torch.arange(length).repeat(questions)).expand(batch, -1)
    rotation = language.rotation(torch.cat([torch.arange(count).expand(batch, -1), text], 1))

    def question_rows(q, k):
        rows = model.question_attention(q, k, count, questions, length)
        return rows[..., :count].transpose(1, 2)

    for layer in language.layers[:depth]:
        before = x
        x, q, k = layer(x, mask, rotation)
    _, _, v = language.layers[depth - 1].project(before, rotation)
    following = language.layers[depth].project(x, rotation)
    by_question = lambda t: t[:, :, count:].unflatten(2, (questions, length)).transpose(1, 2)
    return Prefix(x[:, :count], x[:, count:].unflatten(1, (questions, length)), question_rows(q, k),
                  question_rows(*following[:2]), k[:, :, :count], by_question(k), v[:, :, :count], by_question(v))


def finish(whole, visual, positions, words, lengths, depth=0):
    """Answers [rows] from layer `depth` on, each row with its own visual tokens.

    visual [rows, n, WIDTH] at positions [rows, n]; words [rows, 7, WIDTH]; lengths [rows].
    """
    language = whole.language
    rows, length = words.shape[:2]
    x = torch.cat([visual, words], 1)
    text = (model.PATCHES + torch.arange(length)).expand(rows, -1)
    rotation = language.rotation(torch.cat([positions, text], 1))
    for layer in language.layers[depth:-1]:
        x, _, _ = layer(x, model.CAUSAL, rotation)
    # Nobody reads what the last layer makes of visual tokens.
    mask = torch.triu(torch.full((length, x.shape[1]), model.MASKED), x.shape[1] - length + 1)
    x, _, _ = language.layers[-1](x, mask, rotation, length)
    last = x[:, -length:].gather(1, (lengths - 1)[:, None, None].expand(-1, 1, model.WIDTH))[:, 0]
    return language.logits(last).argmax(-1)


def gather(tokens, indices):
    """tokens [rows, n, D], indices [rows, k] -> [rows, k, D]"""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))


def prefill_flops(tokens, layers=model.LANGUAGE_LAYERS, text=vocabulary.QUESTION_LENGTH):
    """Multiplications and additions of the language model's prefill, 4 n d^2 + 2 n^2 d + 2 n d m a layer, doubled."""
    count = tokens + text
    width, hidden = model.WIDTH, 2 * model.WIDTH
    return 2 * layers * (4 * count * width**2 + 2 * count**2 * width + 2 * count * width * hidden)


def cache_bytes(tokens, layers=model.LANGUAGE_LAYERS, text=vocabulary.QUESTION_LENGTH):
    """Keys and values in 16 bits."""
    return layers * 2 * (tokens + text) * model.WIDTH * 2
