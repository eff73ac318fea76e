"""The pictures of evaluation/README.md, and its table as Markdown."""
import json
import os

import numpy as np
import torch

from . import dataset, evaluate, plots, selections, service, table, vocabulary, weights

PANELS = ["crop", "crop_oracle", "fastv", "sparsevlm", "divprune", "visionzip", "cdpruner", "uniform", "random_0"]
PANEL_KEEP = 28
# Kinds that the model answers this well with all tokens are learned; the others say little about pruning yet.
LEARNED_FROM = 0.8
NAMED = ["crop_oracle", "crop_decoy", "crop", "crop_mmtok", "crop_similarity", "cdpruner", "mmtok", "divprune", "apet", "trim",
         "crop_own_region", "crop_in_llm", "crop_in_llm_attention", "ivcprune", "vispruner", "visionzip", "fastv", "random",
         "downsampled_image"]


def draw(cache):
    plots.accuracy(os.path.join(evaluate.RESULTS, "accuracy.png"))
    plots.curves(os.path.join(evaluate.RESULTS, "curves.png"))
    draw_kept(cache, os.path.join(evaluate.RESULTS, "kept.png"))
    print(markdown(), kinds_markdown(["all", "no_image", *NAMED], 0.111), learned_markdown(NAMED), sep="\n\n")


@torch.no_grad()
def draw_kept(cache, path, index=None):
    """What some methods keep for one question about a small thing."""
    whole, alignment = weights.load()
    data = dataset.load(cache, "test")
    index = _scene_with(data, "colour") if index is None else index
    with service.running(evaluate.BINARY, evaluate.MODELS) as (_, client):
        study = table.Study(whole, alignment, data, client)
        tensors, _, words, answers = study.scene(index)
        place = int(np.argmax(answers[:, 1].numpy() == vocabulary.KINDS.index("colour")))
        panels = {}
        for row in selections.rows():
            if row.name in PANELS:
                indices = row.select(client, tensors, PANEL_KEEP)
                panels[row.name.replace("random_0", "random")] = indices if row.shared else indices[place]
    question = " ".join(vocabulary.WORDS[word] for word in words[place].tolist() if word)
    answer = vocabulary.WORDS[int(answers[place, 0])]
    ordered = {name: panels[name] for name in (one.replace("random_0", "random") for one in PANELS)}
    plots.kept(data["images"][index], f"{question}  {answer}   ({PANEL_KEEP} of 256 tokens; the frame is the evidence)",
               ordered, tensors.evidence[place], path)


def _scene_with(data, kind):
    """The first scene of the split whose chosen questions hold one of this kind."""
    for index in range(len(data["answers"])):
        chosen = table.chosen_questions(data["answers"][index], index)
        if (data["answers"][index][chosen, 1] == vocabulary.KINDS.index(kind)).any():
            return index
    raise ValueError(f"no question of the kind {kind}")


def markdown():
    """One line per method: accuracy with its interval at each budget, in the order of 11.1 %."""
    with open(evaluate.TABLE) as file:
        rows = json.load(file)["rows"]
    shares = sorted(selections.BUDGETS, reverse=True)
    by_name = {}
    for row in rows:
        by_name.setdefault(row["method"], {})[row["keep_ratio"]] = row
    lines = ["| method | " + " | ".join(f"{share:.1%}" for share in shares) + " | hard at 11.1 % | service, ms |",
             "|---|" + "---|" * (len(shares) + 2)]
    names = sorted((name for name in by_name if 0.111 in by_name[name]), key=lambda name: -by_name[name][0.111]["accuracy"])
    for name in names:
        cells = [f"{r['accuracy']:.3f} ({r['ci_low']:.3f}-{r['ci_high']:.3f})" if (r := by_name[name].get(share)) else ""
                 for share in shares]
        middle = by_name[name][0.111]
        hard = middle.get("hard_accuracy")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {'' if hard is None else format(hard, '.3f')} | {middle.get('service_ms', '')} |")
    for name in ("all", "no_image"):
        row = next(iter(by_name[name].values()))
        lines.append(f"| {name} | {row['accuracy']:.3f} ({row['ci_low']:.3f}-{row['ci_high']:.3f}) |" + " |" * (len(shares) + 1))
    return "\n".join(lines)


def learned_markdown(names):
    """One line per method: accuracy over the questions of learned kinds alone."""
    with open(evaluate.TABLE) as file:
        content = json.load(file)
    everything = next(row for row in content["rows"] if row["method"] == "all")
    counts = {kind: content["about"]["kinds"][kind] for kind, value in everything["kinds"].items() if value >= LEARNED_FROM}
    total = sum(counts.values())
    rows = {(row["method"], row["keep_ratio"]): sum(row["kinds"][kind] * count for kind, count in counts.items()) / total
            for row in content["rows"]}
    shares = sorted(selections.BUDGETS, reverse=True)
    lines = ["| method | " + " | ".join(f"{share:.1%}" for share in shares) + " |", "|---|" + "---|" * len(shares)]
    lines += [f"| {name} | " + " | ".join(f"{rows[name, share]:.3f}" for share in shares) + " |" for name in names]
    lines[0:0] = [f"{', '.join(counts)}: {total} questions", ""]
    return "\n".join([*lines, f"| all | {rows['all', 1.0]:.3f} |" + " |" * (len(shares) - 1)])


def kinds_markdown(names, share):
    """One line per method: accuracy by kind of question at one budget."""
    with open(evaluate.TABLE) as file:
        content = json.load(file)
    rows = {row["method"]: row for row in content["rows"] if row["keep_ratio"] in (share, 1.0, 0.0)}
    kinds = [kind for kind in vocabulary.KINDS if content["about"]["kinds"].get(kind)]
    lines = ["| method | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(f"{rows[name]['kinds'][kind]:.2f}" for kind in kinds) + " |")
    only = content["about"]["question_only"]
    lines.append("| question only | " + " | ".join(f"{only.get(kind, 0):.2f}" for kind in kinds) + " |")
    return "\n".join(lines)
