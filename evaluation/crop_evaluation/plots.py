"""Pictures for the report: accuracy against tokens, learning curves, and what each method keeps of one scene."""
import json
import os

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from . import evaluate, weights  # noqa: E402

STRONG = {"crop": ("#c1121f", "o", 2.2), "crop_oracle": ("#c1121f", "^", 1.2), "crop_in_llm": ("#780000", "o", 1.6),
          "fastv": ("#003049", "s", 1.3), "divprune": ("#2a9d8f", "D", 1.3), "sparsevlm": ("#457b9d", "v", 1.3),
          "pyramiddrop": ("#8338ec", "P", 1.3), "visionzip": ("#e76f51", "X", 1.3), "cdpruner": ("#6a994e", "d", 1.3),
          "mmtok": ("#b08900", "h", 1.3), "crop_mmtok": ("#ff7096", "o", 1.8),
          "random": ("#888888", ".", 1.2), "downsampled_image": ("#000000", "*", 1.6), "average_pooling": ("#bbbbbb", "*", 1.2)}


def accuracy(path):
    """Accuracy against kept tokens with 95 % intervals; methods that are not named are thin and grey."""
    with open(evaluate.TABLE) as file:
        rows = json.load(file)["rows"]
    figure, axes = pyplot.subplots(figsize=(8.6, 4.4), dpi=100)
    for name in sorted({row["method"] for row in rows} - {"all", "no_image"}, key=lambda name: name in STRONG):
        line = sorted((row["keep_tokens"], row["accuracy"], row["ci_low"], row["ci_high"]) for row in rows if row["method"] == name)
        tokens, value, low, high = np.array(line).T
        if name not in STRONG:
            axes.plot(tokens, value, color="#d9d9d9", linewidth=0.8, zorder=1)
            continue
        colour, marker, width = STRONG[name]
        style = "--" if name in ("crop_oracle", "downsampled_image", "average_pooling", "random") else "-"
        axes.plot(tokens, value, style, color=colour, marker=marker, markersize=5, linewidth=width, label=name, zorder=3)
        if name == "crop":
            axes.fill_between(tokens, low, high, color=colour, alpha=0.12, zorder=2)
    for name, text in (("all", "all 256 tokens"), ("no_image", "no image")):
        value = next(row["accuracy"] for row in rows if row["method"] == name)
        axes.axhline(value, color="#444444", linewidth=0.8, linestyle=":")
        axes.text(13, value, text, fontsize=7, va="bottom", ha="left")
    axes.set_xscale("log")
    axes.set_xticks([14, 28, 57, 85], ["14", "28", "57", "85"])
    axes.minorticks_off()
    axes.set_xlabel("visual tokens kept of 256")
    axes.set_ylabel("accuracy")
    axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def curves(path):
    """Accuracy while training, of the encoder's patches and of the language model's answers."""
    with open(os.path.join(weights.FOLDER, "curves.json")) as file:
        stages = json.load(file)
    figure, axes = pyplot.subplots(1, len(stages), figsize=(9, 3.2), dpi=100)
    for one, (stage, rows) in zip(np.atleast_1d(axes), stages.items()):
        for name in rows[0]:
            if name not in ("step", "loss", "answer", "nouns", "final"):
                one.plot([row["step"] for row in rows], [row[name] for row in rows], linewidth=1, label=name)
        one.set_title(stage, fontsize=9)
        one.set_xlabel("step", fontsize=8)
        one.set_ylim(0, 1)
        one.legend(fontsize=6, frameon=False, ncol=2)
        one.tick_params(labelsize=7)
        one.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def kept(image, question, panels, evidence, path):
    """One scene and a question; each panel shows the tokens that a method keeps, the others faded."""
    columns = (len(panels) + 2) // 2
    figure, axes = pyplot.subplots(2, columns, figsize=(2.0 * columns, 4.3), dpi=100)
    for one in axes.flat:
        one.axis("off")
    for one, (name, indices) in zip(axes.flat, [("scene", range(256)), *panels.items()]):
        mask = np.full(256, 0.18)
        mask[list(indices)] = 1
        alpha = np.kron(mask.reshape(16, 16), np.ones((16, 16)))[..., None]
        one.imshow((image * alpha + 255 * (1 - alpha)).astype(np.uint8))
        if evidence:
            x0, y0, x1, y1 = evidence
            one.add_patch(pyplot.Rectangle((x0 * 32 - 0.5, y0 * 32 - 0.5), (x1 - x0 + 1) * 32, (y1 - y0 + 1) * 32, fill=False,
                                           edgecolor="#c1121f", linewidth=1))
        one.set_title(name, fontsize=8)
    figure.suptitle(question, fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
