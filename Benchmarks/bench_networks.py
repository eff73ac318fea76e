#!/usr/bin/env python3
"""Times the learned networks beside PyTorch on one thread, and compares what they say: `make bench-networks`.

    python3 Benchmarks/bench_networks.py [--python PYTHON] [--rounds N] [--level LEVEL] [--only REGEX] [--write]

The sides alternate, round by round. Weights are random, since a network's time does not depend on them. --python: an
interpreter with torch, numpy and safetensors; without it one is made in .build-peers. --write: Benchmarks/results/networks.md.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile

import numpy as np
from bench import builds, report
from bench.inprocess import Worker
from bench.places import BENCHMARKS, RESULTS, ROOT
from bench.rounds import Series
from safetensors.numpy import save_file

sys.path.insert(0, str(ROOT / "tools" / "models"))
import networks  # noqa: E402

SHAPES = {"localizer": networks.localizer_shapes, "resampler": networks.resampler_shapes}
LOCALIZER = {"kind": "localizer", "image_width": 1024, "text_width": 512, "width": 256, "heads": 8, "layers": 2, "grid": [8, 8]}
RESAMPLER = {"kind": "resampler", "image_width": 1024, "width": 256, "heads": 8, "queries": 64}
# name, configuration, tokens, rows of text or rows that are made
CASES = [
    ("localizer, perceptron 512, 16 words", {**LOCALIZER, "mlp_width": 512}, 576, 16),
    ("localizer, perceptron 512, one text row", {**LOCALIZER, "mlp_width": 512}, 576, 1),
    ("localizer, perceptron 1,024, 16 words", {**LOCALIZER, "mlp_width": 1024}, 576, 16),
    ("localizer, perceptron 512, 256 words", {**LOCALIZER, "mlp_width": 512}, 576, 256),
    ("resampler, 64 rows", RESAMPLER, 576, 64),
    ("resampler, 16 rows", RESAMPLER, 576, 16),
]


def weights(config, path):
    generator = np.random.default_rng(1)
    tensors = {}
    for name, shape in SHAPES[config["kind"]](config).items():
        values = generator.standard_normal(shape) / np.sqrt(shape[-1])
        tensors[name] = (1 + 0.1 * values if name.endswith("norm.weight") else values).astype(np.float32)
    save_file(tensors, path, {"crop.config": json.dumps({**config, "version": 1, "position": "sine"})})


def request(config, tokens, rows, path):
    generator = np.random.default_rng(2)
    tensors = {"image_features": generator.standard_normal((tokens, config["image_width"])).astype(np.float32)}
    if config["kind"] == "localizer":
        tensors["text_features"] = generator.standard_normal((rows, config["text_width"])).astype(np.float32)
    save_file(tensors, path)


def difference(series):
    """The largest difference between what the two say, over the largest of torch's numbers."""
    ours, theirs = (np.array(series.rounds[side][0]["values"]) for side in ("crop", "torch"))
    return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))


def compare(case, measure, torch, folder, options):
    name, config, tokens, rows = case
    stem = re.sub(r"\W+", "-", name)
    files = [folder / f"{stem}-{part}.safetensors" for part in ("weights", "request")]
    weights(config, files[0])
    request(config, tokens, rows, files[1])
    ours = ("localize", *files) if config["kind"] == "localizer" else ("resample", *files, rows)
    series = Series().run(options.rounds, {
        "crop": lambda: measure.ask(*ours, options.repeats), "torch": lambda: torch.ask(*files, rows, options.repeats)}, print)
    if not series.has("crop", "torch"):
        raise SystemExit(f"bench: {series.why_not('crop', 'torch')}")
    best = {side: 1e3 * min(series.values(side, "best_s")) for side in ("crop", "torch")}
    middle = {side: 1e3 * series.median(side, "median_s") for side in ("crop", "torch")}
    ratio = statistics.median(series.ratios("crop", "torch", "best_s"))
    return (f"| {name} | {best['crop']:.2f} | {middle['crop']:.2f} | {best['torch']:.2f} | {middle['torch']:.2f} | {ratio:.2f} | "
            f"{difference(series):.1g} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python")
    parser.add_argument("--measure", help="the program, built already")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=15, help="calls in a round; %(default)s")
    parser.add_argument("--level", help="the processor level of ours: baseline, v3 or v4; the highest where not given")
    parser.add_argument("--only", default="", metavar="REGEX")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    context = report.surroundings(os.getloadavg()[0])
    environment = {**os.environ, **({"CROP_CPU_LEVEL": options.level} if options.level else {})}
    measure = Worker(options.measure or builds.measure(), env=environment)
    torch = Worker(builds.torch_python(options.python), "-m", "bench.networks_torch", cwd=BENCHMARKS)
    version = torch.answer(["start"])["torch"]
    level = measure.ask("levels")["active"]
    lines = [
        "| 576 tokens of 1,024 numbers, width 256, 8 heads | ours, fastest, ms | median | torch, fastest, ms | median | "
        "ours / torch, fastest | largest difference |", "|---|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if re.search(options.only, case[0]):
                lines.append(compare(case, measure, torch, pathlib.Path(folder), options))
                print(lines[-1], flush=True)
    measure.stop()
    torch.stop()
    if options.write:
        (RESULTS / "networks.md").write_text(f"""# Learned networks

Written by `make bench-networks`: {context['date']}, commit {context['commit']}.
{context['machine']}; load average before: {context['load_average_before']:.2f}.

Ours at level {level}, torch {version}, both on one thread, in {options.rounds} alternating rounds of {options.repeats} calls. Ours
contain reading the tensors, the search for the region and the choice of rows; torch's the network alone. A localizer has two
blocks. The ratio is the median over rounds of the fastest calls; a difference is relative to the largest number.

""" + "\n".join(lines) + "\n")
        print("written: Benchmarks/results/networks.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
