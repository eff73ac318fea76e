"""The localizer of docs/models.md in PyTorch: trained on evidence blocks from frozen features, exported for the service."""
import json
import os

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from . import dataset, features, model, optimizer, scenes, training, training_language, vocabulary

# Four questions a pass share the features of an image, which are loaded once.
BATCH, QUESTIONS = 6, 8
IMAGES = training_language.IMAGES
CONFIGURATION = dict(kind="localizer", version=1, image_width=model.WIDTH, text_width=model.WIDTH, width=128, heads=4, layers=2,
                     mlp_width=256, grid=[8, 8], position="sine")


def sine_positions(width, grid=scenes.GRID):
    """[grid * grid, width]: sines and cosines of the centres of a square grid's cells."""
    count = width // 4
    frequencies = np.pi * 64.0 ** (np.arange(count) / max(count - 1, 1))
    waves = np.outer((np.arange(grid) + 0.5) / grid, frequencies)
    waves = np.concatenate([np.sin(waves), np.cos(waves)], 1)
    x = np.tile(waves, (grid, 1))
    y = np.repeat(waves, grid, 0)
    return torch.from_numpy(np.concatenate([x, y], 1)).float()


class CrossAttention(nn.Module):
    """Rows of x read rows of y. Submodules have the names of the file's tensors."""

    def __init__(self, width, heads, outputs):
        super().__init__()
        self.heads = heads
        self.query_norm, self.key_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, outputs)

    def forward(self, x, y, mask=None):
        q = self.query(self.query_norm(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        source = self.key_norm(y)
        k, v = (part(source).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.key, self.value))
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return self.output((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.norm, self.hidden, self.output = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.output(functional.gelu(self.hidden(self.norm(x)), approximate="tanh"))


class Side(nn.Module):
    """Norm and projection of one side's features."""

    def __init__(self, inputs, width):
        super().__init__()
        self.norm, self.projection = nn.LayerNorm(inputs), nn.Linear(inputs, width)

    def forward(self, x):
        return self.projection(self.norm(x))


class Localizer(nn.Module):
    def __init__(self, configuration=CONFIGURATION):
        super().__init__()
        width, heads = configuration["width"], configuration["heads"]
        self.image = Side(configuration["image_width"], width)
        self.text = Side(configuration["text_width"], width)
        self.text.null = nn.Parameter(torch.randn(width) * 0.1)
        self.blocks = nn.ModuleList([nn.ModuleDict(dict(
            gather=CrossAttention(width, heads, width), attend=CrossAttention(width, heads, width),
            mlp=Perceptron(width, configuration["mlp_width"]))) for _ in range(configuration["layers"])])
        self.head = nn.ModuleDict(dict(image_norm=nn.LayerNorm(width), text_norm=nn.LayerNorm(width),
                                       image=nn.Linear(width, width), text=nn.Linear(width, width), score=nn.Linear(width, 1)))
        self.register_buffer("position", sine_positions(width), persistent=False)

    def align(self, whole):
        """Begin where the encoder's own word directions lie, so that patches and words match at once."""
        with torch.no_grad():
            self.image.projection.weight.copy_(whole.heads.words["content"].weight)
            self.image.projection.bias.zero_()
            self.text.projection.weight.copy_(torch.eye(len(self.text.null)))
            self.text.projection.bias.zero_()
            for block in self.blocks:
                for part in (block["attend"].query, block["attend"].key, block["gather"].query, block["gather"].key):
                    part.weight.copy_(torch.eye(len(self.text.null)) + 0.02 * torch.randn_like(part.weight))
                block["attend"].output.weight.mul_(0.3)
                block["gather"].output.weight.mul_(0.3)
                block["mlp"].output.weight.mul_(0.3)

    def forward(self, image, text, lengths):
        """Logits [rows, tokens] of image [rows, tokens, D] and text [rows, words, E], of which `lengths` [rows] count."""
        patches = self.image(image) + self.position
        words = self.text(text)
        rows = torch.cat([self.text.null.expand(len(words), 1, -1).to(words.dtype), words], 1)
        counts = torch.arange(words.shape[1]) < lengths[:, None]
        mask = functional.pad(torch.zeros(counts.shape).masked_fill(~counts, model.MASKED), (1, 0))[:, None, None]
        for block in self.blocks:
            rows = rows + block["gather"](rows, patches)
            patches = patches + block["attend"](patches, rows, mask)
            patches = patches + block["mlp"](patches)
        mean = (rows[:, 1:] * counts[..., None]).sum(1) / lengths[:, None]
        direction = self.head["text"](self.head["text_norm"](mean))
        normalized = self.head["image_norm"](patches)
        match = (self.head["image"](normalized) * direction[:, None]).sum(-1) * self.position.shape[1] ** -0.5
        return (match + self.head["score"](normalized)[..., 0]).float()


def token_targets(answers):
    """[..., 256] of evidence blocks in answers [..., 8]: 1 for tokens in the region."""
    place = torch.arange(scenes.GRID) // 2
    x0, y0, x1, y1 = (answers[..., 3 + side, None] for side in range(4))
    columns, rows = (place >= x0) & (place <= x1), (place >= y0) & (place <= y1)
    return (rows[..., :, None] & columns[..., None, :]).flatten(-2).float()


RECTANGLES = np.array([(x0, y0, x1, y1) for x0 in range(8) for y0 in range(8) for x1 in range(x0, 8) for y1 in range(y0, 8)])


def rectangle_masks():
    place = np.arange(8)
    x0, y0, x1, y1 = RECTANGLES.T[..., None]
    columns, rows = (place >= x0) & (place <= x1), (place >= y0) & (place <= y1)
    return (rows[:, :, None] & columns[:, None, :]).reshape(len(RECTANGLES), 64).astype(np.float64)


MASKS = rectangle_masks()


def best_rectangles(scores):
    """Inclusive blocks [rows, 4] of the rectangle with the best separation, for token scores [rows, 256]."""
    blocks = scores.reshape(-1, 8, 2, 8, 2).mean((2, 4)).reshape(-1, 64)
    area = MASKS.sum(1)
    inside = blocks @ MASKS.T
    outside = blocks.sum(1, keepdims=True) - inside
    value = (inside / area - outside / np.maximum(1, 64 - area)) * np.sqrt(area * (64 - area) / 64)
    return RECTANGLES[value.argmax(1)]


def overlap(found, evidence):
    """(IoU, covered share of the evidence) of inclusive blocks, [rows] each."""
    corner = np.maximum(found[:, :2], evidence[:, :2])
    end = np.minimum(found[:, 2:], evidence[:, 2:])
    common = np.maximum(0, end - corner + 1).prod(1)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    return common / (area(found) + area(evidence) - common), common / area(evidence)


def train(cache, steps, initial=None):
    """`initial` is a path of exported weights to begin with where there is no checkpoint."""
    torch.manual_seed(training.SEED + 2)
    whole = model.VisionLanguageModel()
    version = training_language.load_stage_one(cache, whole)
    embedding = whole.language.embedding.weight.detach()
    data, held = dataset.load(cache, "train"), dataset.load(cache, "validation")
    cached = features.compute(cache, "train", IMAGES, whole.encoder, version)
    held_features = features.compute(cache, "validation", 120, whole.encoder, version)
    network = Localizer()
    if initial:
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(initial).items()})
    else:
        network.align(whole)
    run = training.Run(cache, "localizer", dict(localizer=network), [
        torch.optim.AdamW(network.parameters(), lr=1.5e-3, weight_decay=0.01, betas=(0.9, 0.98))])
    for group in run.pair[0].param_groups:
        group["peak"] = 1.5e-3
    parameters = list(network.parameters())
    for index in training.batches(IMAGES, BATCH, training.SEED + 2, run.step):
        if run.step >= steps:
            break
        random = np.random.default_rng([training.SEED, run.step])
        asked = np.sort(random.permutation(dataset.ARRAYS["words"][0][0])[:QUESTIONS])
        with training.mixed_precision():
            logits, answers = _logits(network, embedding, cached[index], data["words"][index][:, asked],
                                      data["answers"][index][:, asked])
        target = token_targets(answers)
        # Regions are small: weigh them twice, not more, or the rectangles grow.
        weight = 1.0 + target
        loss = functional.binary_cross_entropy_with_logits(logits, target, weight)
        run.advance(loss, parameters, training.schedule(run.step, steps, min(100, steps // 10), 0.4), limit=1.0)
        if run.step % training.REPORT_STEPS == 0:
            run.report({"loss": loss.item()})
        if run.step % (5 * training.REPORT_STEPS) == 0 or run.step == steps:
            print("validation:", figures(network, embedding, held_features, held, 60), flush=True)
    run.save()


def _logits(network, embedding, image, words, answers):
    """All questions of a batch as rows -> (logits [rows, 256], answers [rows, 8])"""
    words, answers = torch.from_numpy(words).long(), torch.from_numpy(answers).long()
    image = torch.from_numpy(image).float()[:, 1:].repeat_interleave(words.shape[1], 0)
    rows = answers.flatten(0, 1)
    return network(image, embedding[words.flatten(0, 1)], rows[:, 2]), rows


@torch.no_grad()
def figures(network, embedding, held_features, held, count):
    """IoU and coverage of the evidence, in all and by kind; how often a global question's map is flat."""
    scores, answers = [], []
    for start in range(0, count, 10):
        part = slice(start, start + 10)
        with training.mixed_precision():
            logits, rows = _logits(network, embedding, held_features[part], held["words"][part], held["answers"][part])
        scores.append(logits.sigmoid().numpy())
        answers.append(rows.numpy())
    scores, answers = np.concatenate(scores).astype(np.float64), np.concatenate(answers)
    local = answers[:, 7] == 0
    iou, covered = overlap(best_rectangles(scores[local]), answers[local, 3:7])
    text = f"IoU {iou.mean():.3f} covered {covered.mean():.3f} score of global {scores[~local].mean():.3f} of local {scores[local].mean():.3f}"
    for number, kind in enumerate(vocabulary.KINDS):
        chosen = answers[local, 1] == number
        if chosen.any():
            text += f" {kind} {iou[chosen].mean():.2f}/{covered[chosen].mean():.2f}"
    return text


def export(cache, path, half=True):
    """Write the trained network as the service reads it. -> its number of parameters"""
    network = Localizer()
    state = torch.load(os.path.join(cache, "checkpoints", "localizer.pt"), weights_only=False)
    network.load_state_dict(state["modules"]["localizer"])
    kind = torch.float16 if half else torch.float32
    tensors = {name: tensor.to(kind).contiguous() for name, tensor in network.state_dict().items()}
    configuration = dict(CONFIGURATION, description="Evidence of questions about the scenes of evaluation/README.md",
                         training=dict(steps=state["step"], seed=training.SEED + 2, images=IMAGES))
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    save_file(tensors, path, metadata={"crop.config": json.dumps(configuration)})
    os.chmod(path, 0o644)
    return sum(tensor.numel() for tensor in tensors.values())
