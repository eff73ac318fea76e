"""Splits as arrays on disk: images, patch labels, questions. Scene i of a split depends on its seed and i alone."""
import json
import multiprocessing
import os

import numpy as np

from . import pictures, questions, scenes, vocabulary

SEEDS = dict(train=1, validation=2, test=3)
ARRAYS = {
    "images": ((scenes.SIZE, scenes.SIZE, 3), np.uint8),
    "labels": ((len(scenes.LABELS), scenes.GRID ** 2), np.int16),
    "scenes": ((), np.int16),
    "words": ((questions.PER_SCENE, vocabulary.QUESTION_LENGTH), np.int16),
    "answers": ((questions.PER_SCENE, 8), np.int16),
}


def folder(cache, split):
    return os.path.join(cache, "data", split)


def example(composer, seed, index):
    """One scene and its questions."""
    random = np.random.default_rng([seed, index])
    scene = composer.compose(random)
    return scene, questions.ask(random, scene)


def generate(cache, split, count, processes=1, drawn_as=None):
    """Write `count` scenes of a split, with the pictures and fonts of `drawn_as`; what an earlier call finished is kept."""
    target = folder(cache, split)
    os.makedirs(target, exist_ok=True)
    backgrounds = os.path.join(cache, "pictures")
    pictures.prepare(backgrounds)
    state = os.path.join(target, "state.json")
    if os.path.exists(state):
        with open(state) as file:
            if json.load(file)["count"] >= count:
                return
    for name, (shape, kind) in ARRAYS.items():
        np.lib.format.open_memmap(os.path.join(target, f"{name}.npy"), "w+", kind, (count, *shape))
    bounds = np.linspace(0, count, max(1, count // 250) + 1).astype(int)
    tasks = [(cache, split, drawn_as or split, int(start), int(end)) for start, end in zip(bounds, bounds[1:])]
    with multiprocessing.Pool(processes) as pool:
        for done, _ in enumerate(pool.imap_unordered(_generate_part, tasks), 1):
            if done % 8 == 0 or done == len(tasks):
                print(f"{split}: {done * count // len(tasks)} of {count} scenes", flush=True)
    with open(state, "w") as file:
        json.dump({"count": count, "seed": SEEDS[drawn_as or split]}, file)


def _generate_part(task):
    cache, split, drawn_as, start, end = task
    composer = scenes.Composer(drawn_as, os.path.join(cache, "pictures"))
    arrays = {name: np.load(os.path.join(folder(cache, split), f"{name}.npy"), mmap_mode="r+") for name in ARRAYS}
    for index in range(start, end):
        scene, asked = example(composer, SEEDS[drawn_as], index)
        arrays["images"][index] = scene.pixels
        arrays["labels"][index] = scene.labels
        arrays["scenes"][index] = vocabulary.ID[scene.scene]
        arrays["words"][index] = [vocabulary.encode(question.words) for question in asked]
        arrays["answers"][index] = [question.encoded() for question in asked]


def load(cache, split):
    """{name: read-only memory map}"""
    return {name: np.load(os.path.join(folder(cache, split), f"{name}.npy"), mmap_mode="r") for name in ARRAYS}
