"""The second stage: projector and language model on frozen features, with two heads that are told where to look."""
import os

import numpy as np
import torch
from torch.nn import functional

from . import dataset, features, model, optimizer, training, vocabulary

BATCH = 4
IMAGES = 5000
# How many of the 256 visual tokens a step shows: all that show something come first. The last steps show all.
SHOWN = (72, 96, 120)
FULL_SHARE = 0.04
GROUNDING = 0.3
# What a question of each kind counts: kinds that are answered from one patch are learned first and would crowd out the rest.
KIND_WEIGHTS = torch.tensor([dict(relation=3.0, document=3.0, counting=2.0, comparison=2.0, reading=1.5).get(kind, 1.0)
                             for kind in vocabulary.KINDS])
READING = vocabulary.KINDS.index("reading")
COMPARISON = vocabulary.KINDS.index("comparison")

_is_content = torch.zeros(len(vocabulary.WORDS), dtype=torch.bool)
_is_content[training.CONTENT[1:]] = True
_is_text = torch.zeros(len(vocabulary.WORDS), dtype=torch.bool)
_is_text[training.TEXTS] = True
_is_colour = torch.zeros(len(vocabulary.WORDS), dtype=torch.bool)
_is_colour[training.COLOURS[1:]] = True


def matches(labels, words, kinds):
    """[batch, questions, 7, n]: the patches that each word of a question names.

    A noun names the patches that show it; the colour in a question about a sign, those of the sign.
    """
    content, colour = labels[:, training.ROW["content"]], labels[:, training.ROW["colour"]]
    named = (words[..., None] == content[:, None, None]) & _is_content[words][..., None]
    signs = (words[..., None] == colour[:, None, None]) & _is_text[content][:, None, None]
    return named | (signs & (_is_colour[words] & (kinds == READING)[..., None])[..., None])


def named_words(words, kinds):
    """[batch, questions, 7]: words that name something that can be looked for."""
    return _is_content[words] | (_is_colour[words] & (kinds == READING)[..., None])


def grounding_losses(watched, labels, words, answers):
    """Nouns look at what they name, at themselves where it is absent; the last word at what answers the question."""
    kinds, lengths = answers[..., 1], answers[..., 2]
    count = labels.shape[-1]
    named, found = named_words(words, kinds), matches(labels, words, kinds)
    rows = watched[model.NOUN_LAYER]
    own = rows[..., count:].diagonal(dim1=-2, dim2=-1)
    mass = torch.where(found.any(-1), (rows[..., :count] * found).sum(-1), own)
    nouns = -(mass + 1e-6).log()[named].mean()
    answer = (labels[:, None, training.ROW["content"]] == answers[..., :1]) & (kinds == COMPARISON)[..., None]
    evidence = torch.where((kinds == COMPARISON)[..., None], answer, found.any(2))
    last = watched[model.ANSWER_LAYER].gather(2, (lengths - 1)[..., None, None].expand(-1, -1, 1, rows.shape[-1]))[:, :, 0]
    seen = evidence.any(-1)
    final = -((last[..., :count] * evidence).sum(-1) + 1e-6).log()[seen].mean()
    return nouns, final


def load_stage_one(cache, whole):
    """Put the trained encoder, heads and word embeddings into a model. -> its step"""
    state = torch.load(os.path.join(cache, "checkpoints", "encoder.pt"), weights_only=False)
    whole.encoder.load_state_dict(state["modules"]["encoder"])
    whole.heads.load_state_dict(state["modules"]["heads"])
    whole.language.embedding.load_state_dict(state["modules"]["embedding"])
    return state["step"]


def train(cache, steps, initial=None):
    """`initial` is a model to begin with where there is no checkpoint; the encoder is always that of stage one."""
    torch.manual_seed(training.SEED + 1)
    whole = initial or model.VisionLanguageModel()
    version = load_stage_one(cache, whole)
    for parameter in [*whole.encoder.parameters(), *whole.heads.parameters()]:
        parameter.requires_grad_(False)
    whole.encoder.to(memory_format=torch.channels_last).eval()
    held_features = features.compute(cache, "validation", 120, whole.encoder, version)
    data, held = dataset.load(cache, "train"), dataset.load(cache, "validation")
    cached = features.compute(cache, "train", IMAGES, whole.encoder, version)
    trained = torch.nn.ModuleDict(dict(projector=whole.projector, language=whole.language))
    run = training.Run(cache, "language", dict(projector=whole.projector, language=whole.language),
                       optimizer.optimizers(trained, 0.02, 1.5e-3))
    parameters = [parameter for parameter in trained.parameters()]
    tally = np.zeros((len(vocabulary.KINDS), 2))
    for index in training.batches(IMAGES, BATCH, training.SEED, run.step):
        if run.step >= steps:
            break
        loss, figures = _loss(whole, data, cached, index, run.step, steps, tally)
        run.advance(loss, parameters, training.schedule(run.step, steps, flat=0.6))
        if run.step % training.REPORT_STEPS == 0:
            right = dict(zip(vocabulary.KINDS, tally[:, 0] / np.maximum(1, tally[:, 1])))
            run.report({**figures, **right})
            tally[:] = 0
        if run.step % (10 * training.REPORT_STEPS) == 0 or run.step == steps:
            print("validation:", accuracies(whole, held, held_features, 120), flush=True)
    run.save()


def _loss(whole, data, cached, index, step, steps, tally):
    generator = torch.Generator().manual_seed(step)
    labels = torch.from_numpy(data["labels"][index]).long()
    words = torch.from_numpy(data["words"][index]).long()
    answers = torch.from_numpy(data["answers"][index]).long()
    count = model.PATCHES if step >= steps * (1 - FULL_SHARE) else SHOWN[step % len(SHOWN)]
    shown = training.choose_patches(labels, count, generator)
    visual = whole.visual(torch.from_numpy(cached[index]).float())
    visual = visual.gather(1, shown[..., None].expand(-1, -1, model.WIDTH))
    logits, watched = whole.answer(visual, shown, words, answers[..., 2], (model.NOUN_LAYER, model.ANSWER_LAYER))
    weight = KIND_WEIGHTS[answers[..., 1]].flatten()
    each = functional.cross_entropy(logits.flatten(0, 1), answers[..., 0].flatten(), reduction="none")
    answer = (each * weight).sum() / weight.sum()
    seen = labels.gather(2, shown[:, None].expand(-1, labels.shape[1], -1))
    nouns, final = grounding_losses(watched, seen, words, answers)
    right = (logits.argmax(-1) == answers[..., 0]).flatten().numpy()
    np.add.at(tally, answers[..., 1].flatten().numpy(), np.stack([right, np.ones_like(right)], 1).astype(float))
    return answer + GROUNDING * (nouns + final), dict(answer=answer.item(), nouns=nouns.item(), final=final.item())


@torch.no_grad()
def accuracies(whole, held, held_features, count):
    """Accuracy by kind with all tokens, on the first images of a split."""
    tally = np.zeros((len(vocabulary.KINDS), 2))
    for start in range(0, count, 20):
        part = slice(start, start + 20)
        answers = torch.from_numpy(held["answers"][part]).long()
        visual = whole.visual(torch.from_numpy(held_features[part]).float())
        positions = torch.arange(model.PATCHES).expand(len(visual), -1)
        logits = whole.answer(visual, positions, torch.from_numpy(held["words"][part]).long(), answers[..., 2])
        right = (logits.argmax(-1) == answers[..., 0]).flatten().numpy()
        np.add.at(tally, answers[..., 1].flatten().numpy(), np.stack([right, np.ones_like(right)], 1).astype(float))
    return " ".join(f"{kind} {right / max(1, total):.3f}" for kind, (right, total) in zip(vocabulary.KINDS, tally))
