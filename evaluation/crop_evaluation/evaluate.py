"""The commands that make the table, choose CROP's default on another split, and check the committed figures."""
import json
import os
import platform
import time

import numpy as np

from . import dataset, model, selections, service, table, training_language, vocabulary, weights

RESULTS = os.path.join(weights.REPOSITORY, "evaluation", "results")
TABLE = os.path.join(RESULTS, "table.json")
SMOKE = os.path.join(RESULTS, "smoke.json")
MODELS = os.path.join(weights.REPOSITORY, "config", "models")
BINARY = os.environ.get("CROP_BINARY", os.path.join(weights.REPOSITORY, ".build", "release", "crop"))
SCENES = 168
SMOKE_SCENES, SMOKE_KEEPS = 8, (28,)
VALIDATION_SCENES = 42
PROCESSES = int(os.environ.get("CROP_EVALUATION_PROCESSES", os.cpu_count() or 1))
# Published methods that the variants of CROP have to beat.
STRONG = ("divprune", "fastv", "mmtok", "cdpruner", "trim")


def make_table(cache, check, scenes=SCENES):
    """Write results/table.json; with `check`, compare with the committed one instead. -> sentences about what moved"""
    names = [row.name for row in selections.rows()]
    return _run(cache, "test", 0, scenes, names, tuple(selections.BUDGETS.values()), TABLE, check)


def print_rows(cache, names, keeps, scenes=SCENES):
    """Some rows of the table at some budgets, for a look at what a change does; nothing is written."""
    with service.running(BINARY, MODELS) as (url, _):
        measured = table.run(cache, "test", url, 0, scenes, names, keeps, processes=PROCESSES)
    for line in table.summary(*measured):
        if line["method"] in names:
            print(json.dumps(table.rounded(line)))


def smoke(cache, update):
    """A few scenes at one budget, drawn here and now, against their own committed figures."""
    dataset.generate(cache, "smoke", SMOKE_SCENES, drawn_as="test")
    return _run(cache, "smoke", 0, SMOKE_SCENES, [row.name for row in selections.rows()], SMOKE_KEEPS, SMOKE, not update)


def variants(cache, scenes=VALIDATION_SCENES):
    """What CROP's default could be, on scenes of the validation split: results/variants.json."""
    table_rows = {row.name for row in selections.rows()}
    names = [row.name for row in selections.rows(variants=True)
             if row.name.startswith("crop") or row.name not in table_rows or row.name in STRONG]
    return _run(cache, "validation", 120, scenes, names, (57, 28, 14), os.path.join(RESULTS, "variants.json"), False, True)


def _run(cache, split, first, count, names, keeps, path, check, variants=False):
    began = time.time()
    with service.running(BINARY, MODELS) as (url, _):
        right, kinds, groups, seconds = table.run(cache, split, url, first, count, names, keeps, variants, PROCESSES)
    lines = table.summary(right, kinds, groups, seconds)
    if check:
        with open(path) as file:
            return table.moved(json.load(file)["rows"], lines)
    data = dataset.load(cache, split)
    about = dict(split=split, scenes=count, questions=len(kinds), kinds={
        kind: int((kinds == number).sum()) for number, kind in enumerate(vocabulary.KINDS)},
        date=time.strftime("%Y-%m-%d"), machine=platform.machine(), seconds=round(time.time() - began),
        depth=selections.DEPTH, question_only=question_only(cache, data, first, count))
    table.write(path, lines, about)
    return []


def question_only(cache, data, first, count):
    """Accuracy by kind of the answer that training gives most often to the same words, else to the same kind."""
    known = dataset.load(cache, "train")
    words = np.asarray(known["words"][:training_language.IMAGES]).reshape(-1, vocabulary.QUESTION_LENGTH)
    answers = np.asarray(known["answers"][:training_language.IMAGES]).reshape(-1, 8)
    tallies = {}
    for question, answer in zip(words.tolist(), answers[:, :2].tolist()):
        for key in (tuple(question), answer[1]):
            tally = tallies.setdefault(key, {})
            tally[answer[0]] = tally.get(answer[0], 0) + 1
    best = {key: max(sorted(tally), key=tally.get) for key, tally in tallies.items()}
    right = {}
    for index in range(first, first + count):
        for place in table.chosen_questions(data["answers"][index], index):
            answer, kind = data["answers"][index][place][:2].tolist()
            said = best.get(tuple(data["words"][index][place].tolist()), best.get(kind))
            right.setdefault(vocabulary.KINDS[kind], []).append(said == answer)
    result = {kind: round(float(np.mean(flags)), 4) for kind, flags in right.items()}
    result["all"] = round(float(np.mean([flag for flags in right.values() for flag in flags])), 4)
    return result


def localizer_figures(cache, scenes=100):
    """IoU and coverage of the shipped localizer on the table's scenes, over HTTP: results/localizer.json."""
    import torch

    from . import localizer

    whole, alignment = weights.load()
    data = dataset.load(cache, "test")
    found, evidence, kinds, is_global, flat = [], [], [], [], []
    with service.running(BINARY, MODELS) as (_, client), torch.no_grad():
        for index in range(scenes):
            places = table.chosen_questions(data["answers"][index], index)
            answers = data["answers"][index][places]
            features = whole.encoder(model.pixels(data["images"][index][None]))[0][0, 1:].numpy()
            texts = [alignment[torch.tensor(data["words"][index][place][:row[2]].tolist())].numpy()
                     for place, row in zip(places, answers)]
            blocks = service.regions(client, [features] * len(texts), texts)
            found += [(0, 0, 7, 7) if one is None else tuple(one) for one in blocks]
            flat += [one is None for one in blocks]
            evidence.append(answers[:, 3:7])
            kinds.append(answers[:, 1])
            is_global.append(answers[:, 7] == 1)
    found, evidence, kinds = np.array(found), np.concatenate(evidence).astype(int), np.concatenate(kinds)
    is_global, flat = np.concatenate(is_global), np.array(flat)
    iou, covered = localizer.overlap(found, evidence)
    local = ~is_global
    figures = dict(scenes=scenes, questions=len(kinds), iou=float(iou[local].mean()), covered=float(covered[local].mean()),
                   whole_image_of_global=float(flat[is_global].mean()), whole_image_of_local=float(flat[local].mean()),
                   kinds={kind: [round(float(iou[local & (kinds == number)].mean()), 3),
                                 round(float(covered[local & (kinds == number)].mean()), 3)]
                          for number, kind in enumerate(vocabulary.KINDS) if (local & (kinds == number)).any()})
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, "localizer.json"), "w") as file:
        json.dump({key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}, file, indent=1)
        file.write("\n")
    return figures
