"""What the frozen encoder's features tell about questions that the language model answers badly."""
import json
import os

import numpy as np
import torch
from torch.nn import functional

from . import dataset, evaluate, features, model, scenes, training, vocabulary, weights

# Scenes of each split whose questions are answered; scenes that classifiers are fitted to, and those that they are tried on.
ASKED_SCENES, FITTED_SCENES, HELD_SCENES = 150, 3000, 300
RELATION, COUNTING = vocabulary.KINDS.index("relation"), vocabulary.KINDS.index("counting")


class Split:
    """A split's arrays and features, and the committed model that reads them."""

    def __init__(self, cache, name, whole, alignment, count):
        self.whole, self.alignment = whole, alignment
        self.data = dataset.load(cache, name)
        self.features = features.compute(cache, name, count, whole.encoder, "committed model")

    def read(self, index):
        """-> (features [257, WIDTH], labels, words, answers) of a scene"""
        rows = (self.data[name][index] for name in ("labels", "words", "answers"))
        return torch.from_numpy(np.array(self.features[index])).float(), *(torch.from_numpy(np.array(row)).long() for row in rows)

    def said(self, patches, words, answers):
        """The language model's answers to a scene's questions, with all tokens."""
        places = torch.arange(model.PATCHES)[None]
        return self.whole.answer(self.whole.visual(patches[None]), places, words[None], answers[None, :, 2])[0].argmax(-1)

    def named(self, head, patches):
        """Probabilities [patches, contents] of what a head says of each patch."""
        return (self.whole.heads.words[head](patches) @ self.alignment[training.CONTENT].T).softmax(-1)


@torch.no_grad()
def by_question(split, count):
    """{name: right answers} of the language model, and of a vote of the patches that show what the question names."""
    right = {}
    add = lambda name, flag: right.setdefault(name, []).append(float(flag))
    for index in range(count):
        patches, labels, words, answers = split.read(index)
        for question, answer, said in zip(words, answers, split.said(patches, words, answers)):
            kind = vocabulary.KINDS[answer[1]]
            add(f"language model, {kind}", said == answer[0])
            asked = [vocabulary.WORDS[word] for word in question[:answer[2]]]
            if answer[1] == RELATION:
                shown = labels[training.ROW["content"]] == vocabulary.ID[asked[-2]]
                votes = split.named(asked[2], patches[1:][shown])[:, 1:].sum(0)
                voted = shown.any() and training.CONTENT[1 + votes.argmax()] == answer[0]
                pair = (asked[-2], vocabulary.WORDS[answer[0]])
                held_out = scenes.is_held_out(*pair) or scenes.is_held_out(*pair[::-1])
                for name, flag in (("language model", said == answer[0]), ("vote of the patches", voted)):
                    add(f"{name}, relation, pair {'held out' if held_out else 'of training'}", flag)
                add("vote of the patches, relation", voted)
            elif answer[1] == COUNTING:
                shown = labels[training.ROW["content"]] == question[2]
                votes = split.whole.heads.count_head(patches[1:][shown]).softmax(-1)[:, 1:].sum(0)
                add("vote of the patches, counting", vocabulary.COUNTS[votes.argmax()] == vocabulary.WORDS[answer[0]])
    return {name: round(float(np.mean(flags)), 3) for name, flags in right.items()}


@torch.no_grad()
def counting_inputs(split, count):
    """How much the patches name what is counted, how many do, and in how many groups. -> ([questions, 3], counts)"""
    rows, counts = [], []
    for index in range(count):
        patches, _, words, answers = split.read(index)
        named = split.named("content", patches[1:])
        for question, answer in zip(words, answers):
            if answer[1] == COUNTING:
                mass = named[:, training.CONTENT_CLASS[question[2]]]
                rows.append([mass.sum(), (mass > 0.5).sum(), groups(mass.view(scenes.GRID, scenes.GRID).numpy() > 0.5)])
                counts.append(vocabulary.COUNTS.index(vocabulary.WORDS[answer[0]]))
    return torch.tensor(rows, dtype=torch.float), torch.tensor(counts)


def groups(mask):
    """How many groups of touching patches a mask [rows, columns] has."""
    left, found = {tuple(place) for place in np.argwhere(mask)}, 0
    while left:
        found, edge = found + 1, [left.pop()]
        while edge:
            row, column = edge.pop()
            near = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} & left
            left -= near
            edge += near
    return found


def scene_inputs(split, count):
    """Mean and deviation of the patches that show nothing but background, and [CLS]. -> ([scenes, 3 * WIDTH], classes)"""
    rows = []
    for index in range(count):
        patches, labels, _, _ = split.read(index)
        empty = patches[1:][(labels[training.ROW["content"]] == 0) & (labels[training.ROW["colour"]] == 0)]
        rows.append(torch.cat([empty.mean(0), empty.std(0), patches[0]]))
    return torch.stack(rows), training.SCENE_CLASS[torch.from_numpy(np.array(split.data["scenes"][:count])).long()]


def probe(known, unknown, classes, hidden=0):
    """Accuracies of a classifier on what it was fitted to and on another split, and the latter class by class.

    It is linear, or has one layer of `hidden` units.
    """
    mean, deviation = known[0].mean(0), known[0].std(0) + 1e-5
    (x, y), (held, truth) = (((rows - mean) / deviation, labels) for rows, labels in (known, unknown))
    torch.manual_seed(training.SEED)
    linear = torch.nn.Linear
    network = linear(x.shape[1], classes)
    if hidden:
        network = torch.nn.Sequential(linear(x.shape[1], hidden), torch.nn.GELU(), linear(hidden, classes))
    fit = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
    for _ in range(300):
        fit.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        fit.step()
    right = (network(held).argmax(1) == truth).float()
    share = lambda flags: round(float(flags.mean()), 3)
    return dict(train=share((network(x).argmax(1) == y).float()), validation=share(right),
                classes=[share(right[truth == number]) for number in range(classes)])


def run(cache):
    """Write results/probes.json."""
    whole, alignment = weights.load()
    whole.encoder.to(memory_format=torch.channels_last)
    train, validation = (Split(cache, name, whole, alignment, count) for name, count in
                         (("train", FITTED_SCENES), ("validation", HELD_SCENES)))
    result = dict(train=by_question(train, ASKED_SCENES), validation=by_question(validation, ASKED_SCENES))
    result["counting by the amounts of patches"] = probe(
        counting_inputs(train, HELD_SCENES), counting_inputs(validation, HELD_SCENES), len(vocabulary.COUNTS), hidden=32)
    known, unknown = scene_inputs(train, FITTED_SCENES), scene_inputs(validation, HELD_SCENES)
    for name, columns in (("background patches", slice(0, 2 * model.WIDTH)), ("[CLS]", slice(2 * model.WIDTH, None))):
        result[f"scene by {name}"] = probe(*((rows[:, columns], classes) for rows, classes in (known, unknown)),
                                           len(vocabulary.SCENES))
    with open(os.path.join(evaluate.RESULTS, "probes.json"), "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    return result
