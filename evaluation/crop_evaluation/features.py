"""Features of the frozen encoder, computed once per split and kept on disk in float16."""
import json
import os

import numpy as np
import torch

from . import dataset, model, scenes


def folder(cache, split):
    return os.path.join(cache, "features", split)


@torch.no_grad()
def compute(cache, split, count, encoder, version, batch=32):
    """[count, 257, WIDTH] float16; goes on where it was stopped, begins anew for another encoder."""
    target = folder(cache, split)
    os.makedirs(target, exist_ok=True)
    state_path, array_path = os.path.join(target, "state.json"), os.path.join(target, "features.npy")
    state = dict(version=version, count=count, done=0)
    if os.path.exists(state_path):
        with open(state_path) as file:
            before = json.load(file)
        if before["version"] == version and before["count"] >= count:
            state = before
    mode = "r+" if state["done"] else "w+"
    shape = (state["count"], scenes.GRID ** 2 + 1, model.WIDTH)
    array = np.lib.format.open_memmap(array_path, mode, np.float16, None if mode == "r+" else shape)
    images = dataset.load(cache, split)["images"]
    encoder.eval()
    while state["done"] < count:
        start, end = state["done"], min(count, state["done"] + batch)
        array[start:end] = encoder(model.pixels(images[start:end]))[0].numpy()
        state["done"] = end
        if end % (batch * 20) == 0 or end == count:
            array.flush()
            with open(state_path, "w") as file:
                json.dump(state, file)
            print(f"features of {split}: {end} of {count}", flush=True)
    return array
