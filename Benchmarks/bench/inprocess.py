"""Targets 4 to 6 without a server: ours, asked through the program `measure`, against numpy, torch and simdjson."""
import contextlib
import json
import pathlib
import select
import statistics
import subprocess

import numpy as np
from safetensors.numpy import save_file

from . import builds, inputs, references
from .places import BENCHMARKS, Unavailable
from .rounds import Series
from .stopwatch import timed
from .targets import absolute, from_series, limit_by, missing

# Methods that merge are compared with the whole merging, not only with the choice.
VERBS = {"divprune": "method", "cdpruner": "method", "tome": "merge", "visionzip": "merge", "dart": "method"}
# Methods that came later, on smooth features; `bench_costs.py --numpy` compares those as well that need a layout or pixels.
NEWER = ("scope", "mmtok", "holov", "prunesid", "apet")
NEWER_CASES = (("descriptors", 576, 64, (64, 192)), ("smooth", 576, 1024, (64, 192)), ("smooth", 2880, 4096, (320,)))
SIZES = ((576, 1024, 64), (2880, 4096, 320))


class Worker:
    """A program that times things on demand, kept running; one command a line, one JSON object a line back."""

    def __init__(self, *command, **options):
        self.name = pathlib.Path(command[-1]).name
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, **options)

    def ask(self, *words, limit=120):
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Unavailable(f"{self.name} has ended") from error
        return self.answer(words, limit)

    def answer(self, words, limit=120):
        if not select.select([self.process.stdout], [], [], limit)[0]:
            self.stop()
            raise Unavailable(f"{self.name} {words[0]}: no answer after {limit} s")
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"{self.name} has ended"}
        if "error" in answer:
            raise Unavailable(f"{self.name} {' '.join(map(str, words))}: {answer['error']}")
        if "seconds" in answer:
            answer["median_s"] = statistics.median(answer["seconds"])
            answer["best_s"] = min(answer["seconds"])
        return answer

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait(5)


class TorchWorker(Worker):
    """The torch references, in the interpreter that has torch; `version` is torch's."""

    def __init__(self, python):
        super().__init__(python, "-m", "bench.torch_worker", cwd=BENCHMARKS)
        try:
            self.version = self.answer(["start"])["torch"]
        except Unavailable:
            self.stop()
            raise


# Features as models produce and servers receive them; in single precision once more, for who has them so.
KINDS = {"descriptors": ("descriptors", np.float16), "smooth": ("smooth", np.float16), "patches": ("patches", np.float16),
         "structured": ("structured", np.float16), "noise": ("noise", np.float16),
         "structured, single": ("structured", np.float32)}
# What searches are measured on first: features as photographs and encoders give them, with few, some and many tokens kept.
# Independent patches and noise, where bounds rule out most and nothing, stand beside them.
SEARCHES = ("divprune", "cdpruner")
SEARCH_CASES = (
    ("descriptors", 576, 64, (32, 64, 192)), ("smooth", 576, 1024, (32, 64, 192)), ("patches", 576, 1024, (32, 64, 192)),
    ("smooth", 2880, 4096, (160, 960)))


def cases(quick):
    """-> (method, kind, tokens, width, keep), those of one kind and size together."""
    for kind, tokens, width, keeps in SEARCH_CASES[:3] if quick else SEARCH_CASES:
        yield from ((method, kind, tokens, width, keep) for method in SEARCHES for keep in keeps)
    for kind, tokens, width, keeps in NEWER_CASES[:2] if quick else NEWER_CASES:
        # The components of thousands of tokens are more work than the service takes on.
        some = [method for method in NEWER if tokens < 1000 or method != "prunesid"]
        yield from ((method, kind, tokens, width, keep) for method in some for keep in keeps)
    for tokens, width, keep in SIZES[:1] if quick else SIZES:
        for kind in ("structured", "noise", "structured, single"):
            yield from ((method, kind, tokens, width, keep) for method in VERBS)


def tensors(kind, tokens, width, folder):
    generator = np.random.default_rng(11)
    structure, precision = KINDS[kind]
    arrays = {
        "image_features": inputs.FEATURES[structure](tokens, width, generator).astype(precision),
        "text_features": inputs.structured(16, width, generator).astype(precision),
        "attention": generator.random((16, tokens), dtype=np.float32),
    }
    # Whoever is asked about it reads words.
    path = folder / f"{kind.replace(', ', '-')}-{tokens}x{width}.safetensors"
    save_file(arrays, path)
    return arrays, path


def methods(measure, torch, folder, rounds, quick, say):
    """-> {(method, kind, tokens, width, keep): Series} with the sides crop, numpy and torch, and `same` in the figures of ours
    and of torch."""
    results, made = {}, None
    for method, kind, tokens, width, keep in cases(quick):
        if made != (kind, tokens, width):
            made = kind, tokens, width
            arrays, path = tensors(*made, folder)
        repeats = 3 if tokens > 1000 or quick else 9
        if method in NEWER and tokens > 1000:
            repeats = 1
        sides = {"crop": lambda: measure.ask(VERBS.get(method, "method"), method, path, keep, repeats)}
        sides["numpy"] = lambda: timed(lambda: references.NUMPY[method](arrays, keep), repeats)
        if torch and method in references.TORCH:
            sides["torch"] = lambda: torch.ask(method, path, keep, repeats)
        series = Series().run(rounds, sides, say)
        results[method, kind, tokens, width, keep] = series
        note_agreement(series)
        if series.has("crop", "numpy"):
            times = ", ".join(
                f"{side} {1e3 * series.median(side, 'median_s'):.2f} ms" for side in sorted(series.rounds) if series.has(side))
            same = series.rounds["crop"][0]["same"]
            ratio = statistics.median(series.ratios("crop", "numpy", "best_s", inverse=True))
            say(f"    {method:10} {kind:18} {tokens}x{width} K={keep}: {times}, fastest {ratio:.2f} x numpy, same tokens {same}")
    return results


def note_agreement(series):
    """How many of the tokens that numpy keeps the others keep too."""
    if series.has("numpy"):
        theirs = set(map(int, series.rounds["numpy"][0]["result"]))
        for side in ("crop", "torch"):
            if series.has(side):
                same = f"{len(theirs.intersection(series.rounds[side][0]['kept']))}/{len(theirs)}"
                for figures in series.rounds[side]:
                    figures["same"] = same
    for rounds in series.rounds.values():
        for figures in rounds:
            figures.pop("result", None)
            figures.pop("kept", None)


def kernels(measure, rounds, say):
    """-> Series with gram, numpy syrk and sgemm, the FMA peak, widening and top-k."""
    generator = np.random.default_rng(3)
    rows = generator.standard_normal((576, 1024)).astype(np.float32)
    copy = rows.copy()
    sides = {
        "gram": lambda: measure.ask("gram", 576, 1024, 15),
        "ssyrk": lambda: timed(lambda: rows @ rows.T, 15),
        "sgemm": lambda: timed(lambda: rows @ copy.T, 15),
        "widen": lambda: measure.ask("widen", 16384, 15),
        "topk 576": lambda: measure.ask("topk", 576, 64, 15),
        "topk 2880": lambda: measure.ask("topk", 2880, 320, 15),
    }
    series = Series()
    try:
        peak = builds.peak()
        sides["peak"] = lambda: json.loads(builds.run([peak, 5], 60))
    except Unavailable as error:
        series.failures["peak"] = str(error)
    series.run(rounds, sides, say)
    products = 576 * 576 * 1024
    # One triangle's work for a symmetric product, twice that for a general one.
    for side, work in (("gram", products), ("ssyrk", products), ("sgemm", 2 * products)):
        for figures in series.rounds.get(side, []):
            figures["gflops"] = work / figures["best_s"] / 1e9
    for figures in series.rounds.get("widen", []):
        figures["gb_per_s"] = 2 * 16384 / figures["best_s"] / 1e9
    for figures in series.rounds.get("peak", []):
        figures["gflops"] = max(figures["gflops"])
    return series


def json_files(folder):
    """A matrix [576, 1024] as two programs write it: shortest digits that give the number back, and `json.dumps(x.tolist())`."""
    features = inputs.structured(576, 1024, np.random.default_rng(5))
    rows = ",".join("[" + ",".join(str(value) for value in row) + "]" for row in features)
    short = folder / "short.json"
    short.write_text('{"image_features":[' + rows + "]}")
    long = folder / "long.json"
    long.write_text(json.dumps({"image_features": features.tolist()}))
    return {"shortest digits": short, "json.dumps(x.tolist())": long}


def json_readers(measure, folder, rounds, say):
    """-> {text: Series}, with `mismatches` against strtof in crop's figures."""
    program, why = None, None
    try:
        program = builds.json_readers()
    except Unavailable as error:
        why = str(error)
    results = {}
    for name, path in json_files(folder).items():
        sides = {
            "crop": lambda: measure.ask("json", path, 9),
            "JSONDecoder": lambda: measure.ask("foundation", path, 1),
        }
        series = Series()
        if program:
            def reader(how):
                answer = json.loads(builds.run([program, how, path, 9], 120))
                answer["median_s"] = statistics.median(answer["seconds"])
                return answer

            sides["simdjson"] = lambda: reader("ondemand")
            sides["strtof"] = lambda: reader("strtof")
        else:
            series.failures.update({"simdjson": why, "strtof": why})
        series.run(rounds, sides, say)
        if program and series.has("crop"):
            ours, theirs = folder / "ours.f32", folder / "strtof.f32"
            measure.ask("json", path, 1, ours)
            builds.run([program, "strtof", path, 1, theirs], 60)
            a, b = (np.fromfile(file, np.uint32) for file in (ours, theirs))
            mismatches = int((a != b).sum()) if len(a) == len(b) else max(len(a), len(b))
            for figures in series.rounds["crop"]:
                figures["mismatches"] = mismatches
        results[name] = series
        if series.has("crop"):
            say(f"    {name} ({path.stat().st_size / 1e6:.1f} MB): " + ", ".join(
                f"{side} {1e3 * series.median(side, 'median_s'):.1f} ms" for side in series.rounds if series.has(side)))
    return results


def targets(method_results, kernel_series, json_results):
    found = []
    for kind, tokens, width, keeps in SEARCH_CASES:
        for method, title in (("divprune", "DivPrune"), ("cdpruner", "CDPruner")):
            for keep in keeps:
                bound = 4 if kind == "descriptors" else 3
                name = f"{title} of {kind} {tokens}x{width} K={keep} in process: numpy"
                series = method_results.get((method, kind, tokens, width, keep)) or Series()
                found.append(from_series("4", name, f">= {bound}", bound, series, "crop", "numpy", "best_s", "s", inverse=True))
    for kind, tokens, width, keeps in NEWER_CASES:
        for method, title in (("scope", "SCOPE"), ("mmtok", "MMTok")):
            for keep in keeps:
                bound = 10 if tokens == 576 else 8
                name = f"{title} of {kind} {tokens}x{width} K={keep} in process: numpy"
                series = method_results.get((method, kind, tokens, width, keep)) or Series()
                found.append(from_series("4", name, f">= {bound}", bound, series, "crop", "numpy", "best_s", "s", inverse=True))
    for tokens, width, keep in SIZES:
        for method, title in (("divprune", "DivPrune"), ("cdpruner", "CDPruner")):
            bound = 15 if tokens == 576 else 9
            name, goal = f"{title} {tokens}x{width} K={keep} in process: numpy", f">= {bound}"
            series = method_results.get((method, "structured", tokens, width, keep)) or Series()
            found.append(from_series("4", name, goal, bound, series, "crop", "numpy", "median_s", "s", inverse=True))
    found += kernel_targets(kernel_series)
    for text, series in json_results.items() or {"576x1024": Series()}.items():
        found.append(from_series(
            "6", f"JSON matrix, {text}: simdjson on demand", ">= 1.2", 1.2, series, "crop", "simdjson", "median_s", "s", inverse=True))
        found.append(from_series(
            "6", f"JSON matrix, {text}: JSONDecoder", ">= 20", 20, series, "crop", "JSONDecoder", "median_s", "s", inverse=True))
        name = f"JSON matrix, {text}: numbers unlike strtof"
        if series.has("crop") and "mismatches" in series.rounds["crop"][0]:
            count = series.rounds["crop"][0]["mismatches"]
            target = absolute("6", name, "0", 1, [count], "numbers")
            target.met, target.peer = count == 0, 0
            found.append(target)
        else:
            found.append(missing("6", name, "0", series.why_not("crop", "strtof")))
    return found


def kernel_targets(series):
    series = series or Series()
    found = [
        from_series(
            "5", "Gram 576x576x1024: of the FMA peak", ">= 0.75", 0.75, series, "gram", "peak", "gflops", "GFLOP/s",
            limit=1 if series.has("peak") else None)]
    for side, factor in (("ssyrk", 1), ("sgemm", 2)):
        # What one core's multiply-adds allow: a general product does the same work twice.
        limit = limit_by(series, ["peak"], side, "gflops")
        found.append(from_series(
            "5", f"Gram 576x576x1024: numpy's OpenBLAS ({side})", ">= 1.8", 1.8, series, "gram", side, "best_s", "s", inverse=True,
            limit=limit and factor * limit))
    if series.has("widen"):
        found.append(absolute(
            "5", "half to single precision, GB/s of source", ">= 30", 30, series.values("widen", "gb_per_s"), "GB/s", at_most=False))
    else:
        found.append(missing("5", "half to single precision, GB/s of source", ">= 30", series.why_not("widen")))
    for side, bound in (("topk 576", 2.5), ("topk 2880", 10)):
        name, goal = f"{side.replace('topk', 'top-k of')}, us", f"<= {bound}"
        if series.has(side):
            found.append(absolute("5", name, goal, bound, [1e6 * s for s in series.values(side, "best_s")], "us"))
        else:
            found.append(missing("5", name, goal, series.why_not(side)))
    return found


def numpy_seconds(method_results):
    """What target 4 compares an exchange over HTTP with."""
    found = {}
    for method in ("divprune", "cdpruner"):
        series = method_results.get((method, "structured", 576, 1024, 64))
        if series and series.has("numpy"):
            found[method] = series.median("numpy", "median_s")
    return found
