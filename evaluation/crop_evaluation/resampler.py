"""The resampler of docs/models.md in PyTorch: learned queries that compress visual tokens before the language model.

Trained through the study's language model, which stays frozen, on the tokens that it reads; regions are the evidence.
"""
import json
import os

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from . import dataset, features, localizer, model, optimizer, scenes, selections, training, training_language, vocabulary, weights

BATCH, QUESTIONS = 6, 8
IMAGES = 6000
CONFIGURATION = dict(kind="resampler", version=1, image_width=model.WIDTH, width=128, heads=4, queries=96, position="sine")
# The service's defaults.
REGION_SHARE, ANCHOR_SHARE = 0.75, 0.25
# Learned rows have to serve with anchors and without, in a region and without one.
ANCHOR_SHARES = (ANCHOR_SHARE, ANCHOR_SHARE, 0.0)
WHOLE_SHARE = 0.2


class Resampler(nn.Module):
    """Submodules have the names of the file's tensors."""

    def __init__(self, configuration=CONFIGURATION):
        super().__init__()
        width, heads, inputs = configuration["width"], configuration["heads"], configuration["image_width"]
        self.image = localizer.Side(inputs, width)
        self.region, self.background = (Queries(configuration["queries"], width) for _ in range(2))
        self.attention = localizer.CrossAttention(width, heads, inputs)
        self.register_buffer("position", localizer.sine_positions(width), persistent=False)
        # Begins as soft pooling: each query near a place of its own, the learned part of a row nearly nothing.
        with torch.no_grad():
            turn = torch.linalg.qr(torch.randn(width, width))[0]
            for part in (self.attention.query, self.attention.key):
                part.weight.copy_(turn)
                part.bias.zero_()
            self.attention.output.weight.mul_(0.1)
            self.attention.output.bias.zero_()

    def forward(self, image, inside, regions, backgrounds):
        """Rows of the first `regions` and `backgrounds` queries, [rows, regions + backgrounds, D].

        image [images, tokens, D], each for as many rows; inside [rows, tokens]: whether a token is in the row's region. A part
        without tokens gives rows of no meaning.
        """
        attention = self.attention
        source = attention.key_norm(self.image(image))
        keys, values = attention.by_head(attention.key(source + self.position)), attention.by_head(attention.value(source))
        queries = torch.cat([self.region.queries[:regions], self.background.queries[:backgrounds]])
        queries = attention.by_head(attention.query(attention.query_norm(queries)))
        scores = queries @ keys.transpose(-1, -2) * attention.shape[1] ** -0.5
        copies = len(inside) // len(image)
        allowed = torch.cat([inside[:, None].expand(-1, regions, -1), ~inside[:, None].expand(-1, backgrounds, -1)], 1)
        scores = scores.repeat_interleave(copies, 0) + torch.zeros(allowed.shape).masked_fill(~allowed, model.MASKED)[:, None]
        shares = scores.softmax(-1)
        read = shares @ values.repeat_interleave(copies, 0)
        rows = attention.output(read.transpose(1, 2).flatten(2))
        return rows + shares.mean(1) @ image.repeat_interleave(copies, 0)


class Queries(nn.Module):
    """Begins with places that cover the image evenly, however few of the first are used (R2 sequence)."""

    def __init__(self, count, width):
        super().__init__()
        golden = 1.32471795724474602596
        places = (0.5 + np.outer(np.arange(1, count + 1), [1 / golden, 1 / golden ** 2])) % 1
        index = (places * scenes.GRID).astype(int)
        grid = localizer.sine_positions(width)[index[:, 1] * scenes.GRID + index[:, 0]]
        self.queries = nn.Parameter(grid + 0.02 * torch.randn(count, width))


def row_counts(parts, keep, anchor_share):
    """[(anchors, learned rows)] of parts that are lists of tokens, as the service divides a budget."""
    counts = [keep]
    if len(parts) == 2:
        inside = max(min(round(REGION_SHARE * keep), len(parts[0])), keep - len(parts[1]))
        inside = min(max(inside, 1), keep - 1)
        counts = [inside, keep - inside]
    anchors = [count if count >= len(part) else min(round(anchor_share * count), max(count - 1, 0))
               for part, count in zip(parts, counts)]
    return [(anchor, count - anchor) for anchor, count in zip(anchors, counts)]


def parts_of(blocks):
    """Ascending tokens of a region of inclusive blocks and of the rest; all of them in one where blocks are None."""
    if blocks is None or tuple(blocks) == (0, 0, 7, 7):
        return [np.arange(model.PATCHES)]
    inside = localizer.token_targets(torch.tensor([[0, 0, 0, *blocks, 0]]))[0].numpy() > 0
    return [np.flatnonzero(inside), np.flatnonzero(~inside)]


def learned_positions(part, count):
    """Where the language model is told that the learned rows of a part are: spread evenly over its tokens."""
    return part[(2 * np.arange(count) + 1) * len(part) // (2 * max(count, 1))]


def composition(parts, keep, anchor_share, choose):
    """(sources [keep], positions [keep]) in the order of positions: sources below 256 are tokens, then the region's queries, then
    the background's; `choose(part, count)` gives a part's anchors."""
    sources, positions = [], []
    for index, (part, (anchors, learned)) in enumerate(zip(parts, row_counts(parts, keep, anchor_share))):
        chosen = choose(part, anchors)
        sources += [chosen, model.PATCHES + index * CONFIGURATION["queries"] + np.arange(learned)]
        positions += [chosen, learned_positions(part, learned)]
    sources, positions = np.concatenate(sources), np.concatenate(positions)
    order = np.argsort(positions, kind="stable")
    return sources[order], positions[order]


def training_region(random, answer):
    """Blocks about the evidence of an answer [8], at times wider, or None."""
    if answer[7] == 1 or random.random() < WHOLE_SHARE:
        return None
    wider = random.random(4) < 0.3
    x0, y0, x1, y1 = (int(side) for side in answer[3:7])
    return max(x0 - wider[0], 0), max(y0 - wider[1], 0), min(x1 + wider[2], 7), min(y1 + wider[3], 7)


def train(cache, steps, initial=None):
    torch.manual_seed(training.SEED + 3)
    trained = os.path.exists(os.path.join(cache, "checkpoints", "language.pt"))
    whole = weights.from_checkpoints(cache)[0] if trained else weights.load()[0]
    whole.requires_grad_(False)
    version = f"{'trained' if trained else 'committed'} model"
    data, held = dataset.load(cache, "train"), dataset.load(cache, "validation")
    cached = features.compute(cache, "train", IMAGES, whole.encoder, version)
    held_features = features.compute(cache, "validation", 60, whole.encoder, version)
    network = Resampler()
    run = training.Run(cache, "resampler", dict(resampler=network), optimizer.optimizers(network, 0.01, 2e-3))
    parameters = list(network.parameters())
    right = []
    for index in training.batches(IMAGES, BATCH, training.SEED + 3, run.step):
        if run.step >= steps:
            break
        random = np.random.default_rng([training.SEED + 3, run.step])
        asked = np.sort(random.permutation(dataset.ARRAYS["words"][0][0])[:QUESTIONS])
        keep = list(selections.BUDGETS.values())[run.step % len(selections.BUDGETS)]
        share = ANCHOR_SHARES[run.step // len(selections.BUDGETS) % len(ANCHOR_SHARES)]
        answers = torch.from_numpy(data["answers"][index][:, asked]).long().flatten(0, 1)
        regions = [training_region(random, answer) for answer in answers.tolist()]
        words = torch.from_numpy(data["words"][index][:, asked]).long().flatten(0, 1)
        logits = _logits(whole, network, cached[index], words, answers, regions, keep, share, random)
        each = functional.cross_entropy(logits, answers[:, 0], reduction="none")
        weight = training_language.KIND_WEIGHTS[answers[:, 1]]
        loss = (each * weight).sum() / weight.sum()
        right.append((logits.argmax(-1) == answers[:, 0]).float().mean().item())
        run.advance(loss, parameters, training.schedule(run.step, steps, min(50, steps // 10), 0.4), limit=1.0)
        if run.step % training.REPORT_STEPS == 0:
            run.report(dict(loss=loss.item(), right=float(np.mean(right))))
            right.clear()
        if run.step % (5 * training.REPORT_STEPS) == 0 or run.step == steps:
            print("validation:", validate(whole, network, held, held_features), flush=True)
    run.save()


def _logits(whole, network, image, words, answers, regions, keep, anchor_share, random):
    """Logits [rows, vocabulary]; the anchors of a training are random ones, which learned rows do not depend on."""
    visual = whole.visual(torch.from_numpy(image).float())
    choose = lambda part, count: np.sort(random.choice(part, count, replace=False))
    divided = [parts_of(blocks) for blocks in regions]
    composed = [composition(parts, keep, anchor_share, choose) for parts in divided]
    sources, positions = (torch.from_numpy(np.stack(side)) for side in zip(*composed))
    inside = torch.zeros(len(regions), model.PATCHES, dtype=torch.bool)
    for row, parts in enumerate(divided):
        inside[row, parts[0]] = True
    queries = CONFIGURATION["queries"]
    rows = network(visual, inside, queries, queries)
    everything = torch.cat([visual.repeat_interleave(len(regions) // len(visual), 0), rows], 1)
    kept = everything.gather(1, sources[..., None].expand(-1, -1, model.WIDTH))
    return whole.answer(kept, positions, words[:, None], answers[:, None, 2])[:, 0]


@torch.no_grad()
def validate(whole, network, held, held_features, count=60):
    """Accuracy with the evidence as region and without one, at the two smallest budgets."""
    text = []
    for keep in (28, 14):
        for region in (True, False):
            right = []
            for start in range(0, count, BATCH):
                part = slice(start, start + BATCH)
                random = np.random.default_rng([training.SEED, start])
                answers = torch.from_numpy(held["answers"][part, :QUESTIONS]).long().flatten(0, 1)
                words = torch.from_numpy(held["words"][part, :QUESTIONS]).long().flatten(0, 1)
                regions = [None if answer[7] == 1 or not region else answer[3:7] for answer in answers.tolist()]
                logits = _logits(whole, network, held_features[part], words, answers, regions, keep, ANCHOR_SHARE, random)
                right.append((logits.argmax(-1) == answers[:, 0]).float())
            text.append(f"{keep} rows {'with' if region else 'without'} region {torch.cat(right).mean():.3f}")
    return ", ".join(text)


def export(cache, path):
    """Write the trained network as the service reads it. -> its number of parameters"""
    network = Resampler()
    state = torch.load(os.path.join(cache, "checkpoints", "resampler.pt"), weights_only=False)
    network.load_state_dict(state["modules"]["resampler"])
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    configuration = dict(CONFIGURATION, description="Compresses the visual tokens of the model of evaluation/README.md",
                         training=dict(steps=state["step"], seed=training.SEED + 3, images=IMAGES))
    save_file(tensors, path, metadata={"crop.config": json.dumps(configuration)})
    os.chmod(path, 0o644)
    return sum(tensor.numel() for tensor in tensors.values())
