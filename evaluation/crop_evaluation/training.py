"""Training in stages of fixed step counts: the encoder, then the language model on its frozen features.

Each stage saves its whole state every few minutes and goes on from there when it is started again.
"""
import os
import time

import numpy as np
import torch
from torch.nn import functional

from . import dataset, model, optimizer, scenes, vocabulary

SEED = 17
SAVE_SECONDS = 120
REPORT_STEPS = 100
CONTENT = torch.tensor([0] + [vocabulary.ID[word] for word in vocabulary.TEXTS + vocabulary.OBJECTS])
COLOURS = torch.tensor([0] + [vocabulary.ID[word] for word in vocabulary.COLOURS])
SCENES = torch.tensor([vocabulary.ID[word] for word in vocabulary.SCENES])
OBJECTS = torch.tensor([vocabulary.ID[word] for word in vocabulary.OBJECTS])
TEXTS = torch.tensor([vocabulary.ID[word] for word in vocabulary.TEXTS])
ROW = {name: index for index, name in enumerate(scenes.LABELS)}


def class_of(words):
    """[vocabulary] -> index in `words`, 0 for others."""
    table = torch.zeros(len(vocabulary.WORDS), dtype=torch.long)
    table[words] = torch.arange(len(words))
    return table


CONTENT_CLASS, COLOUR_CLASS, SCENE_CLASS = class_of(CONTENT), class_of(COLOURS), class_of(SCENES)


def schedule(step, steps, warm=100, flat=0.5):
    """Share of the peak learning rate: up, flat, then down in a straight line to 2 %."""
    if step < warm:
        return (step + 1) / warm
    return min(1.0, max(0.02, (steps - step) / (steps * (1 - flat))))


class Run:
    """A stage's state on disk: modules, optimizers, step, and a log of its figures."""

    def __init__(self, cache, name, modules, pair):
        self.path = os.path.join(cache, "checkpoints", f"{name}.pt")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.name, self.modules, self.pair = name, modules, pair
        self.step, self.history = 0, []
        self.saved = self.shown = time.time()
        if os.path.exists(self.path):
            state = torch.load(self.path, weights_only=False)
            for key, module in modules.items():
                module.load_state_dict(state["modules"][key])
            for one, saved in zip(pair, state["optimizers"]):
                one.load_state_dict(saved)
            self.step, self.history = state["step"], state["history"]
            print(f"{name}: goes on at step {self.step}", flush=True)

    def save(self):
        state = dict(modules={key: module.state_dict() for key, module in self.modules.items()},
                     optimizers=[one.state_dict() for one in self.pair], step=self.step, history=self.history)
        torch.save(state, self.path + ".new")
        os.replace(self.path + ".new", self.path)
        self.saved = time.time()

    def advance(self, loss, parameters, share, limit=2.0):
        optimizer.set_rate(self.pair, share)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, limit)
        for one in self.pair:
            one.step()
        self.step += 1

    def report(self, figures):
        """Print and keep figures; save when it is time."""
        rate = REPORT_STEPS / max(1e-9, time.time() - self.shown)
        self.shown = time.time()
        self.history.append(dict(step=self.step, **figures))
        text = " ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"{time.strftime('%H:%M:%S')} {self.name} step {self.step} ({rate:.2f}/s): {text}", flush=True)
        if time.time() - self.saved > SAVE_SECONDS:
            self.save()


# The encoder

IMAGES = 12000
PATCHES_PER_IMAGE = 80
ENCODER_BATCH = 16


def choose_patches(labels, count, generator):
    """Indices [batch, count]: patches that show something before random others, in ascending order."""
    shown = (labels[:, ROW["content"]] > 0) | (labels[:, ROW["colour"]] > 0)
    rank = torch.rand(shown.shape, generator=generator) + 0.8 * shown
    return rank.topk(count, 1).indices.sort(1).values


def weighted(logits, target, background=0.2):
    """Cross-entropy in which class 0 (nothing) counts less, and the accuracy where there is something."""
    weight = torch.where(target > 0, 1.0, background)
    loss = (functional.cross_entropy(logits, target, reduction="none") * weight).sum() / weight.sum()
    something = target > 0
    hits = (logits.argmax(-1) == target)[something].float()
    return loss, hits.mean() if len(hits) else torch.tensor(float("nan"))


def encoder_losses(features, heads, embedding, labels, scene, generator):
    """-> ({name: loss}, {name: accuracy})"""
    chosen = choose_patches(labels, PATCHES_PER_IMAGE, generator)
    patches = features[:, 1:].gather(1, chosen[..., None].expand(-1, -1, model.WIDTH)).flatten(0, 1)
    picked = {name: labels[:, row].gather(1, chosen).flatten() for name, row in ROW.items()}
    losses, accuracy = {}, {}
    for name, head in heads.words.items():
        words, classes = (COLOURS, COLOUR_CLASS) if name == "colour" else (CONTENT, CONTENT_CLASS)
        target, rows = classes[picked[name]], patches
        if name in scenes.SIDES:
            # Most things have no neighbour: learn from those that show anything at all.
            rows, target = patches[picked["content"] > 0], target[picked["content"] > 0]
        losses[name], accuracy[name] = weighted(head(rows) @ embedding[words].T, target)
    something = picked["content"] > 0
    objects = picked["size"] > 0
    losses["character"], accuracy["character"] = weighted(
        heads.character_head(patches[something]), picked["character"][something], 0.5)
    losses["size"], accuracy["size"] = weighted(heads.size_head(patches[objects]), picked["size"][objects])
    losses["count"], accuracy["count"] = weighted(heads.count_head(patches[objects]), picked["count"][objects])
    cls = features[:, 0]
    losses["scene"] = functional.cross_entropy(heads.scene_head(cls), SCENE_CLASS[scene])
    accuracy["scene"] = (heads.scene_head(cls).argmax(-1) == SCENE_CLASS[scene]).float().mean()
    present = (labels[:, ROW["content"], :, None] == OBJECTS).any(1).float()
    said = heads.present_head(cls)
    losses["present"] = functional.binary_cross_entropy_with_logits(said, present) * 10
    found = torch.zeros_like(present).scatter_(1, said.topk(8).indices, 1.0)
    accuracy["present"] = (found * present).sum() / found.sum()
    return losses, accuracy


WEIGHTS = dict(content=1.0, colour=0.5, left=0.6, right=0.6, above=0.6, below=0.6, character=0.5, size=0.2, count=0.2,
               scene=0.2, present=1.5)


def batches(count, size, seed, start):
    """Endless shuffled index batches; the same from any starting step."""
    per_epoch = count // size
    epoch, offset = divmod(start, per_epoch)
    while True:
        order = np.random.default_rng([seed, epoch]).permutation(count)
        for index in range(offset, per_epoch):
            yield np.sort(order[index * size:(index + 1) * size])
        epoch, offset = epoch + 1, 0


def augmented(images, random):
    """Pixels of a batch, brighter or darker and with another tint each time."""
    x = model.pixels(images)
    shape = (len(x), 1, 1, 1)
    gain = torch.from_numpy(random.uniform(0.8, 1.2, shape)).float()
    shift = torch.from_numpy(random.uniform(-0.3, 0.3, shape)).float()
    return (x * gain + shift).contiguous(memory_format=torch.channels_last)


def train_encoder(cache, steps, initial=None):
    """`initial` is a model to begin with where there is no checkpoint."""
    torch.manual_seed(SEED)
    data, held = dataset.load(cache, "train"), dataset.load(cache, "validation")
    whole = initial or model.VisionLanguageModel()
    encoder, heads, embedding = whole.encoder.to(memory_format=torch.channels_last), whole.heads, whole.language.embedding
    modules = dict(encoder=encoder, heads=heads, embedding=embedding)
    group = torch.nn.ModuleDict(modules)
    run = Run(cache, "encoder", modules, optimizer.optimizers(group, 0.02, 2e-3))
    parameters = list(group.parameters())
    for index in batches(IMAGES, ENCODER_BATCH, SEED, run.step):
        if run.step >= steps:
            break
        random = np.random.default_rng([SEED, run.step])
        generator = torch.Generator().manual_seed(run.step)
        labels = torch.from_numpy(data["labels"][index]).long()
        scene = torch.from_numpy(data["scenes"][index]).long()
        features, _, _ = encoder(augmented(data["images"][index], random))
        losses, accuracy = encoder_losses(features, heads, embedding.weight, labels, scene, generator)
        loss = sum(WEIGHTS[name] * losses[name] for name in losses if torch.isfinite(losses[name]))
        run.advance(loss, parameters, schedule(run.step, steps))
        if run.step % REPORT_STEPS == 0:
            run.report({"loss": loss.item(), **{name: value.item() for name, value in accuracy.items()}})
        if run.step % (REPORT_STEPS * 10) == 0 or run.step == steps:
            print("validation:", validate_encoder(encoder, heads, embedding, held), flush=True)
    run.save()


@torch.no_grad()
def validate_encoder(encoder, heads, embedding, held, count=120):
    encoder.eval()
    generator = torch.Generator().manual_seed(0)
    features = torch.cat([encoder(model.pixels(held["images"][start:start + 30]))[0] for start in range(0, count, 30)])
    _, accuracy = encoder_losses(features, heads, embedding.weight, torch.from_numpy(held["labels"][:count]).long(),
                                 torch.from_numpy(held["scenes"][:count]).long(), generator)
    encoder.train()
    return " ".join(f"{name} {value:.3f}" for name, value in accuracy.items())
