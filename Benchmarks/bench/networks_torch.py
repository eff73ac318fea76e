"""The networks of docs/models.md in PyTorch, as one would write them there, and timed on demand on one thread.

`bench_networks.py` starts this in an interpreter that has torch. It reads one command a line, `WEIGHTS FILE ROWS REPEATS`, and
answers with one JSON object a line.
"""
import json
import math
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn import functional

from .stopwatch import timed


class Network:
    def __init__(self, path):
        self.weights = load_file(path)
        with safe_open(path, "pt") as file:
            self.config = json.loads(file.metadata()["crop.config"])

    def linear(self, name, x):
        return functional.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def norm(self, name, x):
        return functional.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], 1e-5)

    def heads(self, x):
        return x.view(len(x), self.config["heads"], -1).transpose(0, 1)

    def projections(self, name, x, y, position=None):
        source = self.norm(f"{name}.key_norm", y)
        placed = source if position is None else source + position
        query = self.linear(f"{name}.query", self.norm(f"{name}.query_norm", x))
        return [self.heads(rows) for rows in (
            query, self.linear(f"{name}.key", placed), self.linear(f"{name}.value", source))]

    def attention(self, name, x, y):
        context = functional.scaled_dot_product_attention(*self.projections(name, x, y))
        return self.linear(f"{name}.output", context.transpose(0, 1).reshape(len(x), -1))

    def positions(self, count):
        """Of a square grid."""
        side, width = math.isqrt(count), self.config["width"] // 4
        frequencies = math.pi * 64 ** (torch.arange(width) / max(width - 1, 1))
        centres = (torch.arange(side) + 0.5) / side
        waves = torch.cat([torch.sin(centres[:, None] * frequencies), torch.cos(centres[:, None] * frequencies)], dim=1)
        return torch.cat([waves.repeat(side, 1), waves.repeat_interleave(side, dim=0)], dim=1)

    def localize(self, image, text):
        """-> a score per block of the 8 x 8 grid."""
        patches = self.linear("image.projection", self.norm("image.norm", image)) + self.positions(len(image))
        words = self.linear("text.projection", self.norm("text.norm", text))
        rows = torch.cat([self.weights["text.null"][None], words])
        for layer in range(self.config["layers"]):
            block = f"blocks.{layer}"
            rows = rows + self.attention(f"{block}.gather", rows, patches)
            patches = patches + self.attention(f"{block}.attend", patches, rows)
            hidden = functional.gelu(
                self.linear(f"{block}.mlp.hidden", self.norm(f"{block}.mlp.norm", patches)), approximate="tanh")
            patches = patches + self.linear(f"{block}.mlp.output", hidden)
        question = self.linear("head.text", self.norm("head.text_norm", rows[1:].mean(dim=0)))
        normalized = self.norm("head.image_norm", patches)
        match = self.linear("head.image", normalized) @ question / math.sqrt(self.config["width"])
        scores = torch.sigmoid(match + self.linear("head.score", normalized)[:, 0])
        side = math.isqrt(len(image))
        return functional.avg_pool2d(scores.view(1, side, side), side // 8).flatten()

    def resample(self, image, count):
        projected = self.linear("image.projection", self.norm("image.norm", image))
        query, key, value = self.projections(
            "attention", self.weights["region.queries"][:count], projected, self.positions(len(image)))
        shares = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(query.shape[-1]), dim=-1)
        context = (shares @ value).transpose(0, 1).reshape(count, -1)
        return self.linear("attention.output", context) + shares.mean(dim=0) @ image


def main():
    torch.set_num_threads(1)
    networks, files = {}, {}
    print(json.dumps({"torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        weights, path, rows, repeats = line.split()
        if weights not in networks:
            networks[weights], files[path] = Network(weights), load_file(path)
        network, tensors = networks[weights], files[path]
        with torch.inference_mode():
            if network.config["kind"] == "localizer":
                figures = timed(lambda: network.localize(tensors["image_features"], tensors["text_features"]), int(repeats))
            else:
                figures = timed(lambda: network.resample(tensors["image_features"], int(rows)), int(repeats))
        print(json.dumps({"seconds": figures["seconds"], "values": figures["result"].flatten().tolist()}), flush=True)


if __name__ == "__main__":
    main()
