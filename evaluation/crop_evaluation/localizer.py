"""The localizer of docs/models.md in PyTorch: trained on evidence blocks from frozen features, exported for the service."""
import json
import os

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from . import dataset, features, model, optimizer, scenes, training, training_language, vocabulary

# Eight questions a pass share the features of an image, which are loaded once.
BATCH, QUESTIONS = 6, 8
IMAGES = training.IMAGES
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
    """Submodules have the names of the file's tensors. Words are few and patches many, so weights that would multiply patches
    multiply the words first: the equations of docs/models.md, and a fifth less time for a step of training."""

    def __init__(self, width, heads, outputs):
        super().__init__()
        self.shape = (heads, width // heads)
        self.query_norm, self.key_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, outputs)

    def by_head(self, x):
        return x.unflatten(-1, self.shape).transpose(-2, -3)


class Gather(CrossAttention):
    """Words read patches. A key's bias adds the same to all scores of a word, and so nothing to the softmax."""

    def forward(self, words, patches):
        source = self.key_norm(patches)
        queries = self.by_head(self.query(self.query_norm(words))) @ self.key.weight.unflatten(0, self.shape)
        scores = queries.flatten(1, 2) @ source.transpose(-1, -2) * self.shape[1] ** -0.5
        read = (scores.softmax(-1) @ source).unflatten(1, (self.shape[0], -1))
        values = read @ self.value.weight.unflatten(0, self.shape).transpose(-1, -2)
        return self.output(values.transpose(1, 2).flatten(2) + self.value.bias)


class Attend(CrossAttention):
    """Patches read words, except those that `mask` excludes."""

    def forward(self, patches, words, mask):
        source = self.key_norm(words)
        keys, values = self.by_head(self.key(source)), self.by_head(self.value(source))
        bias = keys @ self.query.bias.view(*self.shape, 1)
        keys = (keys @ self.query.weight.unflatten(0, self.shape)).flatten(1, 2)
        scores = self.query_norm(patches) @ keys.transpose(-1, -2) + bias.flatten(1)[:, None]
        weights = (scores.unflatten(-1, (self.shape[0], -1)) * self.shape[1] ** -0.5 + mask).softmax(-1)
        outputs = values @ self.output.weight.T.unflatten(0, self.shape)
        return weights.flatten(2) @ outputs.flatten(1, 2) + self.output.bias


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
            gather=Gather(width, heads, width), attend=Attend(width, heads, width),
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
        """Logits [rows, tokens] of image [images, tokens, D], each of which as many rows ask about, and text
        [rows, words, E], of which `lengths` [rows] count."""
        patches = (self.image(image) + self.position).repeat_interleave(len(text) // len(image), 0)
        words = self.text(text)
        rows = torch.cat([self.text.null.expand(len(words), 1, -1).to(words.dtype), words], 1)
        counts = torch.arange(words.shape[1]) < lengths[:, None]
        mask = functional.pad(torch.zeros(counts.shape).masked_fill(~counts, model.MASKED), (1, 0))[:, None, None]
        for block in self.blocks:
            rows = rows + block["gather"](rows, patches)
            patches = patches + block["attend"](patches, rows, mask)
            patches = patches + block["mlp"](patches)
        mean = (rows[:, 1:] * counts[..., None]).sum(1) / lengths[:, None]
        direction = self.head["text"](self.head["text_norm"](mean)) * self.position.shape[1] ** -0.5
        weights = direction @ self.head["image"].weight + self.head["score"].weight
        bias = (direction * self.head["image"].bias).sum(-1, keepdim=True) + self.head["score"].bias
        return (self.head["image_norm"](patches) @ weights[..., None])[..., 0] + bias


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


def separation_weights():
    """[rectangles, 64]: a rectangle's separation is the sum of its weights times the blocks of the map."""
    area = MASKS.sum(1, keepdims=True)
    inside, outside = MASKS / area, (1 - MASKS) / np.maximum(1, 64 - area)
    return (inside - outside) * np.sqrt(area * (64 - area) / 64)


MASKS = rectangle_masks()
AREA = MASKS.sum(1)
SEPARATION = separation_weights()
# The service's `minimum_contrast`: the whole image where the best rectangle does not stand out as much.
MINIMUM_CONTRAST = 5.0
# Share of the variance that the best rectangle may explain of a flat map: somewhat less than the service accepts, 0.29.
FLAT = 0.2
# Rectangles are drawn with a probability proportional to exp(SHARPNESS * separation) in training.
SHARPNESS = 10.0


def block_means(scores):
    """[rows, 64] of token scores [rows, 256]."""
    return scores.reshape(-1, 8, 2, 8, 2).mean((2, 4)).reshape(-1, 64)


def best_rectangles(scores):
    """Inclusive blocks [rows, 4] that the service finds for token scores [rows, 256]: the rectangle with the best separation,
    or all blocks of a map that is too flat."""
    blocks = block_means(scores)
    values = blocks @ SEPARATION.T
    explained = values.max(1) ** 2
    remaining = np.maximum(0, ((blocks - blocks.mean(1, keepdims=True)) ** 2).sum(1) - explained)
    flat = explained <= MINIMUM_CONTRAST ** 2 * remaining / 62
    return np.where(flat[:, None], (0, 0, 7, 7), RECTANGLES[values.argmax(1)])


def overlap(found, evidence):
    """(IoU, covered share of the evidence) of inclusive blocks, [rows] each."""
    corner = np.maximum(found[:, :2], evidence[:, :2])
    end = np.minimum(found[:, 2:], evidence[:, 2:])
    common = np.maximum(0, end - corner + 1).prod(1)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    return common / (area(found) + area(evidence) - common), common / area(evidence)


def search_loss(scores, answers):
    """What the service's search over rectangles loses on token scores [rows, 256] of questions with answers [rows, 8].

    For a question about a place: -log of the mean worth of rectangles that are drawn by their separation. The worth is the IoU
    with the evidence times its covered share, since a missed block loses the answer and a needless one only a few tokens.
    For a question about the whole image: the share of the map's variance that the best rectangle explains, above FLAT.
    """
    blocks = block_means(scores)
    values = blocks @ torch.from_numpy(SEPARATION.T).float()
    evidence = block_means(token_targets(answers))
    common = evidence @ torch.from_numpy(MASKS.T).float()
    covered = common / evidence.sum(1, keepdim=True)
    iou = common / (evidence.sum(1, keepdim=True) + torch.from_numpy(AREA).float() - common)
    worth = ((SHARPNESS * values).log_softmax(1) + (iou * covered).clamp(min=1e-6).log()).logsumexp(1)
    variance = (blocks - blocks.mean(1, keepdim=True)).square().sum(1) + 1e-5
    explained = values.square().max(1)[0] / variance
    return torch.where(answers[:, 7] == 0, -worth, (explained - FLAT).clamp(min=0)).mean()


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
    run = training.Run(cache, "localizer", dict(localizer=network), optimizer.optimizers(network, 0.01, 1e-3))
    parameters = list(network.parameters())
    for index in training.batches(IMAGES, BATCH, training.SEED + 2, run.step):
        if run.step >= steps:
            break
        random = np.random.default_rng([training.SEED, run.step])
        asked = np.sort(random.permutation(dataset.ARRAYS["words"][0][0])[:QUESTIONS])
        logits, answers = _logits(network, embedding, cached[index], data["words"][index][:, asked],
                                  data["answers"][index][:, asked])
        tokens = functional.binary_cross_entropy_with_logits(logits, token_targets(answers))
        search = search_loss(logits.sigmoid(), answers)
        loss = tokens + search
        run.advance(loss, parameters, training.schedule(run.step, steps, min(100, steps // 10), 0.4), limit=1.0)
        if run.step % training.REPORT_STEPS == 0:
            run.report({"tokens": tokens.item(), "search": search.item()})
        if run.step % (5 * training.REPORT_STEPS) == 0 or run.step == steps:
            print("validation:", figures(network, embedding, held_features, held, 60), flush=True)
    run.save()


def _logits(network, embedding, image, words, answers):
    """All questions of a batch as rows -> (logits [rows, 256], answers [rows, 8])"""
    words, answers = torch.from_numpy(words).long(), torch.from_numpy(answers).long()
    image = torch.from_numpy(image).float()[:, 1:]
    rows = answers.flatten(0, 1)
    return network(image, embedding[words.flatten(0, 1)], rows[:, 2]), rows


@torch.no_grad()
def figures(network, embedding, held_features, held, count):
    """IoU and coverage of the evidence, in all and by kind; how often the whole image is the answer."""
    scores, answers = [], []
    for start in range(0, count, 10):
        part = slice(start, start + 10)
        logits, rows = _logits(network, embedding, held_features[part], held["words"][part], held["answers"][part])
        scores.append(logits.sigmoid().numpy())
        answers.append(rows.numpy())
    scores, answers = np.concatenate(scores).astype(np.float64), np.concatenate(answers)
    local = answers[:, 7] == 0
    found = best_rectangles(scores)
    whole = (found == (0, 0, 7, 7)).all(1)
    iou, covered = overlap(found[local], answers[local, 3:7])
    text = f"IoU {iou.mean():.3f} covered {covered.mean():.3f}"
    text += f" whole image of global {whole[~local].mean():.3f} of local {whole[local].mean():.3f}"
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
