"""The table: every row of selections.py at every budget, selected over HTTP, answered by the model."""
import concurrent.futures
import json
import multiprocessing
import os
import time
import warnings

import numpy as np
import torch
from torch.nn import functional

from . import dataset, model, prefill, scenes, selections, service, vocabulary, weights

QUESTIONS = 12
DOWNSAMPLED = {85: (9, 9), 57: (8, 7), 28: (5, 5), 14: (4, 4)}
POOLED = DOWNSAMPLED
SEED = 23
RESAMPLES = 2000
# Rows with a region, and the same method without one.
WITHOUT_REGION = dict(crop="divprune", crop_own_region="divprune", crop_similarity="similarity", crop_mmtok="mmtok",
                      crop_in_llm="divprune_in_llm", crop_in_llm_attention="fastv")
# Sequences that are answered together: more do not fit the processor's caches and take a third longer.
BATCH = 32
# Scenes that a process takes at a time.
PART = 6


def chosen_questions(answers, index):
    """QUESTIONS of a scene's questions, the rarer kinds first, so that every kind has enough of them."""
    kinds = answers[:, 1]
    order = np.random.default_rng([SEED, index]).permutation(len(kinds))
    seen, rank = {}, []
    for place in order:
        rank.append(seen.setdefault(kinds[place], 0))
        seen[kinds[place]] += 1
    return np.sort(order[np.argsort(rank, kind="stable")[:QUESTIONS]])


class Study:
    """A model, a split and the running service."""

    def __init__(self, whole, alignment, data, client):
        self.whole, self.alignment, self.data, self.client = whole, alignment, data, client
        self.service_seconds = {}

    def scene(self, index):
        """Everything the rows need about one scene."""
        places = chosen_questions(self.data["answers"][index], index)
        words = torch.from_numpy(self.data["words"][index][places]).long()
        answers = torch.from_numpy(self.data["answers"][index][places]).long()
        image = self.data["images"][index]
        features, q, k = self.whole.encoder(model.pixels(image[None]))
        visual = self.whole.visual(features)
        last = model.attention(q, k)[0, :, 0, 1:]
        joined = lambda t: t.transpose(1, 2).flatten(2)[:, None]
        lengths = tuple(int(length) for length in answers[:, 2])
        tensors = selections.Tensors(
            features=features[0, 1:].numpy(), visual=visual[0].numpy(),
            relevance=self.whole.heads.words["content"](features[0, 1:]).numpy(),
            cls_rows=np.ascontiguousarray(last.numpy()), early_rows=self._early(image),
            merged_row=model.attention(joined(q), joined(k))[0, 0, 0, 1:].numpy(),
            keys=np.ascontiguousarray(k[0, :, 1:].numpy()), pixels=selections.patches(image),
            texts=[self.alignment[words[row, :length]].numpy() for row, length in enumerate(lengths)],
            prefix=prefill.run_prefix(self.whole, visual, words[None], selections.DEPTH), lengths=lengths)
        random = np.random.default_rng([SEED, index, 1])
        whole_image = answers[:, 7] == 1
        tensors.evidence = tuple(None if flag else tuple(row[3:7].tolist()) for flag, row in zip(whole_image, answers))
        absent = whole_image & (answers[:, 1] != vocabulary.KINDS.index("scene"))
        tensors.decoys = tuple(selections.decoy(random, blocks) if missing else blocks
                               for missing, blocks in zip(absent, tensors.evidence))
        tensors.found = tuple(service.regions(self.client, [tensors.features] * len(lengths), tensors.texts))
        return tensors, visual, words, answers

    def _early(self, image):
        """[heads, 256]: the [CLS] row of the first encoder layer."""
        encoder = self.whole.encoder
        q, k, _ = encoder.layers[0].project(encoder.patches(model.pixels(image[None]))[0])
        return np.ascontiguousarray(model.attention(q, k)[0, :, 0, 1:].numpy())

    def answer_rows(self, rows, keep, tensors, visual, words, answers):
        """{row's name: right [questions]} with the tokens that the service keeps for each row."""
        chosen = {row.name: self._select(row, keep, tensors, len(answers)) for row in rows}
        right = {}
        # Rows that enter the model alike are answered together.
        for shared, depth in sorted({(row.shared, row.depth) for row in rows}):
            group = [row for row in rows if (row.shared, row.depth) == (shared, depth)]
            places = torch.as_tensor(np.stack([chosen[row.name] for row in group]))
            said = (self._packed if shared else self._apart)(places, depth, tensors, visual, words, answers)
            for row, flags in zip(group, (said == answers[:, 0]).numpy()):
                right[row.name] = flags
        return right

    def _select(self, row, keep, tensors, questions):
        """Kept indices [keep], or [questions, keep] of a row that looks at the question."""
        start = time.perf_counter()
        indices = row.select(self.client, tensors, keep)
        spent = time.perf_counter() - start
        # Of a row that looks at the question, one call holds all questions of the scene.
        self.service_seconds.setdefault((row.name, keep), []).append(spent / (1 if row.shared else questions))
        return np.asarray(indices) if row.shared else np.stack([np.asarray(one) for one in indices])

    def _packed(self, places, depth, tensors, visual, words, answers):
        """places [rows, keep]: all questions of a scene read the same tokens. -> answers [rows, questions]"""
        # Methods often keep the same tokens: each choice is answered once.
        places, answer_of = places.unique(dim=0, return_inverse=True)
        rows = len(places)
        kept = prefill.gather(visual.expand(rows, -1, -1), places)
        lengths = answers[None, :, 2].expand(rows, -1)
        return self.whole.answer(kept, places, words[None].expand(rows, -1, -1), lengths).argmax(-1)[answer_of]

    def _apart(self, places, depth, tensors, visual, words, answers):
        """places [rows, questions, keep]: each question has its own tokens. -> answers [rows, questions]"""
        rows, questions = places.shape[:2]
        source, asked = visual, self.whole.language.embedding(words)
        if depth:
            source, asked = tensors.prefix.visual, tensors.prefix.words[0]
        number = torch.arange(questions).repeat(rows)[:, None]
        chosen, answer_of = torch.cat([number, places.flatten(0, 1)], 1).unique(dim=0, return_inverse=True)
        number, flat = chosen[:, 0], chosen[:, 1:]
        said = [prefill.finish(self.whole, prefill.gather(source.expand(len(part), -1, -1), part), part, asked[which],
                               answers[which, 2], depth) for which, part in zip(number.split(BATCH), flat.split(BATCH))]
        return torch.cat(said)[answer_of].view(rows, questions)

    def baselines(self, index, visual, words, answers):
        """{(name, keep): right} of what needs no selection: all tokens, none, pooled, a smaller image."""
        right = lambda tokens, places: (self.whole.answer(tokens, places, words[None], answers[None, :, 2])[0].argmax(-1)
                                        == answers[:, 0]).numpy()
        everything = torch.arange(model.PATCHES)[None]
        result = {("all", model.PATCHES): right(visual, everything)}
        nothing = visual.mean(1, keepdim=True) * 0
        result["no_image", 0] = right(nothing, torch.zeros(1, 1, dtype=torch.long))
        for keep, (rows, columns) in DOWNSAMPLED.items():
            places = centres(rows, columns)
            grid = visual.transpose(1, 2).unflatten(2, (scenes.GRID, scenes.GRID))
            pooled = functional.adaptive_avg_pool2d(grid, (rows, columns)).flatten(2).transpose(1, 2)
            result["average_pooling", keep] = right(pooled, places)
            result["downsampled_image", keep] = right(self._smaller(index, rows, columns), places)
        return result

    def _smaller(self, index, rows, columns):
        """Visual tokens of the image at rows x columns patches, the encoder's positions interpolated."""
        image = model.pixels(self.data["images"][index][None])
        small = functional.interpolate(image, (rows * scenes.PATCH, columns * scenes.PATCH), mode="area")
        encoder, projector = self.whole.encoder, self.whole.projector
        kept = encoder.positions, projector.row_position, projector.column_position
        resize = lambda t, *size: functional.interpolate(t[None], size, mode="bilinear", align_corners=False)[0]
        grid = encoder.positions.T.unflatten(1, (scenes.GRID, scenes.GRID))
        parameter = torch.nn.Parameter
        try:
            encoder.positions = parameter(resize(grid, rows, columns).flatten(1).T)
            projector.row_position = parameter(resize(projector.row_position.T[..., None], rows, 1)[..., 0].T)
            projector.column_position = parameter(resize(projector.column_position.T[..., None], columns, 1)[..., 0].T)
            return self.whole.visual(encoder(small)[0])
        finally:
            encoder.positions, projector.row_position, projector.column_position = kept


def centres(rows, columns):
    """Token indices [1, rows * columns] at the middles of the cells of a coarser grid."""
    y = ((torch.arange(rows) + 0.5) * scenes.GRID / rows).long()
    x = ((torch.arange(columns) + 0.5) * scenes.GRID / columns).long()
    return (y[:, None] * scenes.GRID + x).flatten()[None]


@torch.no_grad()
def run_part(study, first, count, rows, keeps):
    """-> ({(name, keep): right [questions]}, kinds [questions], scene of each question)"""
    right, kinds, groups = {}, [], []
    for index in range(first, first + count):
        tensors, visual, words, answers = study.scene(index)
        kinds.append(answers[:, 1].numpy())
        groups.append(np.full(len(answers), index))
        found = study.baselines(index, visual, words, answers)
        for keep in keeps:
            for name, flags in study.answer_rows(rows, keep, tensors, visual, words, answers).items():
                found[name, keep] = flags
        for key, flags in found.items():
            right.setdefault(key, []).append(flags)
    return {key: np.concatenate(flags).astype(float) for key, flags in right.items()}, np.concatenate(kinds), np.concatenate(groups)


_study = None


def _begin(cache, split, url):
    """Each process has its own model and connection."""
    global _study
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    whole, alignment = weights.load()
    _study = Study(whole, alignment, dataset.load(cache, split), service.connect(url))


def _part(first, count, variants, names, keeps):
    rows = [row for row in selections.rows(variants) if row.name in names]
    _study.service_seconds = {}
    return run_part(_study, first, count, rows, keeps), _study.service_seconds


def run(cache, split, url, first, count, names, keeps, variants=False, processes=1):
    """The rows called `names` on scenes of a split, some at a time. -> (right, kinds, groups, service seconds)"""
    parts, seconds = [], {}
    began = time.time()
    starts = range(first, first + count, PART)
    with concurrent.futures.ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (cache, split, url)) as pool:
        waiting = [pool.submit(_part, start, min(PART, first + count - start), variants, names, keeps) for start in starts]
        for number, future in enumerate(waiting, 1):
            part, spent = future.result()
            parts.append(part)
            for key, values in spent.items():
                seconds.setdefault(key, []).extend(values)
            print(f"{min(number * PART, count)} of {count} scenes, {time.time() - began:.0f} s", flush=True)
    right = {key: np.concatenate([part[0][key] for part in parts]) for key in parts[0][0]}
    return right, np.concatenate([part[1] for part in parts]), np.concatenate([part[2] for part in parts]), seconds


def interval(flags, groups, weight=None):
    """95 % bootstrap interval of a mean; whole scenes are drawn, since questions of one are not independent."""
    weight = np.ones(len(flags)) if weight is None else weight
    _, place = np.unique(groups, return_inverse=True)
    total = np.bincount(place, flags * weight)
    size = np.bincount(place, weight)
    draws = np.random.default_rng(SEED).integers(len(total), size=(RESAMPLES, len(total)))
    means = total[draws].sum(1) / np.maximum(1, size[draws].sum(1))
    return tuple(float(x) for x in np.quantile(means, [0.025, 0.975]))


def difference(flags, others, groups):
    """[difference of the means, and its 95 % interval], question by question, so that what both find hard cancels."""
    apart = flags - others
    return [float(apart.mean()), *interval(apart, groups)]


def summary(right, kinds, groups, seconds):
    """Rows of results/table.json."""
    right = dict(right)
    seeds = range(selections.RANDOM_SEEDS)
    for keep in sorted({keep for name, keep in right if name == "random_0"}):
        right["random", keep] = np.mean([right.pop((f"random_{seed}", keep)) for seed in seeds], 0)
    full = right["all", model.PATCHES]
    lines = []
    known = {row.name: row for row in selections.rows(variants=True)}
    for (name, keep), flags in right.items():
        low, high = interval(flags, groups)
        line = dict(method=name, keep_ratio=ratio(keep), keep_tokens=keep, accuracy=float(flags.mean()), ci_low=low,
                    ci_high=high, relative=float(flags.mean() / full.mean()))
        if name in ("downsampled_image", "average_pooling"):
            line["keep_tokens"] = int(np.prod(DOWNSAMPLED[keep]))
        line["kinds"] = {kind: float(flags[kinds == number].mean()) for number, kind in enumerate(vocabulary.KINDS)
                         if (kinds == number).any()}
        small = right.get(("downsampled_image", keep))
        if small is not None and name not in ("downsampled_image", "all"):
            hard = (full > 0) & (small == 0)
            line["hard_questions"] = int(hard.sum())
            line["hard_accuracy"] = float(flags[hard].mean()) if hard.any() else None
        for other, label in (("crop", "minus_crop"), (WITHOUT_REGION.get(name), "region_gain")):
            if (other, keep) in right and other != name:
                line[label] = difference(flags, right[other, keep], groups)
        depth = known[name].depth if name in known else 0
        rest = model.LANGUAGE_LAYERS - depth
        line["layers_with_all_tokens"] = depth
        line["prefill_flops"] = (prefill.prefill_flops(model.PATCHES, depth) if depth else 0) + prefill.prefill_flops(
            line["keep_tokens"], rest)
        line["cache_bytes"] = (prefill.cache_bytes(model.PATCHES, depth) if depth else 0) + prefill.cache_bytes(
            line["keep_tokens"], rest)
        spent = seconds.get((name, keep))
        if spent:
            line["service_ms"] = round(1000 * float(np.median(spent)), 3)
        lines.append(line)
    return sorted(lines, key=lambda line: (-line["keep_ratio"], -line["accuracy"], line["method"]))


def ratio(keep):
    return next((share for share, count in selections.BUDGETS.items() if count == keep), 1.0 if keep == model.PATCHES else 0.0)


def rounded(value):
    """Floats of a row to four places."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def write(path, lines, about):
    """One line per row, so that a difference in git says which figure moved."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write('{"about": ' + json.dumps(about) + ',\n"rows": [\n')
        file.write(",\n".join(json.dumps(rounded(line)) for line in lines) + "\n]}\n")


def moved(before, after):
    """What lies outside the interval that the committed table gives for it, as sentences."""
    known = {(line["method"], line["keep_ratio"]): line for line in before}
    found = {(line["method"], line["keep_ratio"]): line for line in after}
    sentences = [f"{name} at {share}: not in the new table" for name, share in known.keys() - found.keys()]
    for key in sorted(known.keys() & found.keys()):
        line, value = known[key], found[key]["accuracy"]
        if not line["ci_low"] <= value <= line["ci_high"]:
            sentences.append(f"{key[0]} at {key[1]}: {value:.3f} is outside {line['ci_low']:.3f}...{line['ci_high']:.3f}")
    return sentences
