"""The table of compression: rows that `/compress` makes of the visual tokens, learned or merged, answered by the model."""
import concurrent.futures
import json
import multiprocessing
import os
import time

import numpy as np
import torch

from . import evaluate, prefill, resampler, selections, service, table, vocabulary

RESULT = os.path.join(evaluate.RESULTS, "compression.json")
SMOKE = os.path.join(evaluate.RESULTS, "compression-smoke.json")
LEARNED = dict(mode="resampler", anchors="diversity")
# Name: (what /compress is told, whether it is told the localizer's region).
ROWS = dict(
    resampler=(dict(LEARNED, anchor_share=resampler.ANCHOR_SHARE), True),
    resampler_no_anchors=(dict(LEARNED, anchor_share=0.0), True),
    resampler_no_region=(dict(LEARNED, anchor_share=resampler.ANCHOR_SHARE), False),
    merge=(dict(mode="merge"), True),
    merge_no_region=(dict(mode="merge"), False),
)


def compressed(client, tensors, keep, told, with_region):
    """-> (rows [questions, keep, D], positions [questions, keep]) of a scene, in the order of positions."""
    found = tensors.found if with_region else (None,) * len(tensors.texts)
    regions = [None if blocks is None else {"blocks": [int(side) for side in blocks]} for blocks in found]
    count = len(found)
    answer = client.compress(image_features=[tensors.visual] * count, layout=[service.GRID] * count, keep_tokens=keep,
                             region=regions, **told)
    rows, positions = [], []
    for one, blocks in zip(answer.per_image, found):
        parts = resampler.parts_of(blocks)
        places = [one.kept_indices]
        if told["mode"] == "resampler":
            learned = [rows for _, rows in resampler.row_counts(parts, keep, told["anchor_share"])]
            # Otherwise rows would be told to be where they are not, without an error.
            if learned != [one["learned_rows"][part] for part in ("region", "background")[:len(learned)]]:
                raise ValueError(f"{one['learned_rows']} learned rows where {learned} were expected")
            places += [resampler.learned_positions(part, rows) for part, rows in zip(parts, learned)]
        places = np.concatenate(places)
        if len(places) != keep or len(one.features) != keep:
            raise ValueError(f"{len(one.features)} rows with {len(places)} places for a budget of {keep}")
        order = np.argsort(places, kind="stable")
        rows.append(one.features[order])
        positions.append(places[order])
    return torch.from_numpy(np.stack(rows)), torch.from_numpy(np.stack(positions).astype(np.int64))


@torch.no_grad()
def _part(first, count, names, keeps):
    study = table._study
    right, kinds, groups, seconds = {}, [], [], {}
    for index in range(first, first + count):
        tensors, _, words, answers = study.scene(index)
        asked = study.whole.language.embedding(words)
        kinds.append(answers[:, 1].numpy())
        groups.append(np.full(len(answers), index))
        for name in names:
            for keep in keeps:
                began = time.perf_counter()
                rows, positions = compressed(study.client, tensors, keep, *ROWS[name])
                seconds.setdefault((name, keep), []).append((time.perf_counter() - began) / len(answers))
                said = prefill.finish(study.whole, rows, positions, asked, answers[:, 2])
                right.setdefault((name, keep), []).append((said == answers[:, 0]).numpy())
    return {key: np.concatenate(flags).astype(float) for key, flags in right.items()}, np.concatenate(kinds), np.concatenate(groups), seconds


def measure(cache, split="test", first=0, scenes=evaluate.SCENES, names=tuple(ROWS), keeps=tuple(selections.BUDGETS.values())):
    """-> lines of results/compression.json"""
    with service.running(evaluate.BINARY, evaluate.MODELS) as (url, _):
        starts = range(first, first + scenes, table.PART)
        with concurrent.futures.ProcessPoolExecutor(
                evaluate.PROCESSES, multiprocessing.get_context("spawn"), table._begin, (cache, split, url)) as pool:
            parts = list(pool.map(_part, starts, [min(table.PART, first + scenes - start) for start in starts],
                                  [names] * len(starts), [keeps] * len(starts)))
    kinds, groups = (np.concatenate([part[side] for part in parts]) for side in (1, 2))
    lines = []
    for name in names:
        for keep in keeps:
            flags = np.concatenate([part[0][name, keep] for part in parts])
            low, high = table.interval(flags, groups)
            line = dict(method=name, keep_ratio=table.ratio(keep), keep_tokens=keep, accuracy=float(flags.mean()), ci_low=low, ci_high=high)
            line["kinds"] = {kind: float(flags[kinds == number].mean()) for number, kind in enumerate(vocabulary.KINDS)
                             if (kinds == number).any()}
            if name != "resampler" and "resampler" in names:
                ours = np.concatenate([part[0]["resampler", keep] for part in parts])
                line["minus_resampler"] = table.difference(flags, ours, groups)
            line["service_ms"] = round(1000 * float(np.median(np.concatenate([part[3][name, keep] for part in parts]))), 3)
            lines.append(line)
    return lines


def make_table(cache, check=False):
    """Write results/compression.json, or compare with the committed one. -> sentences about what moved"""
    return _table(RESULT, check, measure(cache), split="test", scenes=evaluate.SCENES)


def smoke(cache, update):
    """The scenes and the budget of evaluate.smoke, whose split it has drawn, against their own committed figures."""
    lines = measure(cache, "smoke", 0, evaluate.SMOKE_SCENES, keeps=evaluate.SMOKE_KEEPS)
    return _table(SMOKE, not update, lines, split="smoke", scenes=evaluate.SMOKE_SCENES)


def _table(path, check, lines, split, scenes):
    if check:
        with open(path) as file:
            return table.moved(json.load(file)["rows"], lines)
    table.write(path, lines, dict(split=split, scenes=scenes, questions=scenes * table.QUESTIONS, date=time.strftime("%Y-%m-%d")))
    for line in lines:
        print(f"{line['method']:22} {line['keep_tokens']:3} {line['accuracy']:.3f} ({line['ci_low']:.3f} - {line['ci_high']:.3f})")
    return []
