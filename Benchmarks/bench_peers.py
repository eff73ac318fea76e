#!/usr/bin/env python3
"""Compares `crop serve` with other servers and its computing with other libraries, all in one run: `make bench-peers`.

    python3 Benchmarks/bench_peers.py --crop .build/release/crop [--quick] [--rounds 5] [--seconds 1.5] [--only PART,...]

Parts: servers, memory, methods, kernels, json, scaling; and, only where it is named, mix: the requests that servers of models send,
from ours and the C echo alone, in two minutes and with nothing to fetch (`make bench-mix`). What is missing is fetched or built into .build-peers and
.build-bench. Every server runs during the whole comparison, idle when it is not its turn; a round measures each once, in
alternating order; ratios are taken within a round, and the median of those is the result. A peer that cannot be had, or
fails, is reported and left out. Writes BENCHMARKS.md, Benchmarks/results/peers.json and pictures beside it; with
`--only`, prints alone.
"""
import os

# Before numpy loads it: one core against one core.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
# Its best kernel for the processor level that ours is measured at, whatever the environment says of others.
os.environ.pop("OPENBLAS_L2_SIZE", None)
os.environ.pop("OPENBLAS_CORETYPE", None)
if os.environ.get("CROP_CPU_LEVEL") == "v3":
    os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import argparse  # noqa: E402
import contextlib  # noqa: E402
import pathlib  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402

from bench import builds, inprocess, inputs, load, memory, report, scaling, transport  # noqa: E402
from bench.places import Unavailable  # noqa: E402

PARTS = ("servers", "memory", "methods", "kernels", "json", "scaling")
# Of parts above, for who changes the path of a request and wants to know soon.
EXCERPTS = ("mix",)
started = time.monotonic()


def say(text):
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    print(f"[{minutes:2}:{seconds:02}] {text}", file=sys.stderr, flush=True)


class Run:
    """What has been measured so far."""

    def __init__(self):
        self.context, self.cases, self.targets, self.absent, self.pictures = {}, {}, [], {}, []
        self.transport, self.calibration = {}, {}
        self.memory, self.memory_failures = {}, {}
        self.methods, self.kernels, self.json, self.curves = {}, None, {}, []
        self.torch = None

    def collect(self):
        self.targets = (
            transport.targets(self.transport, inprocess.numpy_seconds(self.methods))
            + inprocess.targets(self.methods, self.kernels, self.json)
            + memory.targets(self.memory, self.memory_failures) + scaling.targets(self.curves))
        self.targets.sort(key=lambda target: target.number)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crop", type=pathlib.Path, required=True, help="the release build of the service")
    parser.add_argument("--quick", action="store_true", help="three minutes: shows that everything works")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--servers", help="only these servers, with semicolons between")
    parser.add_argument(
        "--torch", action="store_true",
        help="torch as well, in an environment of its own that is made when there is none (several GB), or see --torch-python")
    parser.add_argument(
        "--torch-python", metavar="PROGRAM", default=os.environ.get("TORCH_PYTHON"),
        help="an interpreter that has torch, numpy and safetensors, for --torch; also TORCH_PYTHON in the environment")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (0.3 if options.quick else 1.5)
    options.only = options.only.split(",")
    if unknown := set(options.only) - {*PARTS, *EXCERPTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join((*PARTS, *EXCERPTS))}")
    # What tells nothing of the measurement but where things lie on this machine is left out.
    places = ("--crop", str(options.crop), "--torch-python", str(options.torch_python))
    given = [word for word in sys.argv[1:] if word not in places]
    options.command = "make bench-peers" + (f" ARGS='{' '.join(given)}'" if given else "")
    return options


@contextlib.contextmanager
def part(name, options):
    """Runs a part if it is wanted; its failure is told and ends only that part."""
    if name not in options.only:
        yield False
        return
    say(f"== {name}")
    try:
        yield True
    except Unavailable as error:
        say(f"{name} ended early: {error}")
    except Exception:  # noqa: BLE001: the other parts are measured all the same
        say(f"{name} ended early: {traceback.format_exc()}")


def measure_everything(run, options, folder, stack):
    generator = load.Generator(builds.load_generator(), options.seconds, 0.1 if options.quick else 0.3)
    run.cases = inputs.write_cases(folder)
    measure = None
    if {"methods", "kernels", "json", "scaling"} & set(options.only):
        try:
            say("building measure")
            measure = inprocess.Worker(builds.measure())
            stack.callback(measure.stop)
        except Unavailable as error:
            say(f"measure: {error}")
            run.absent["measure"] = str(error)
    # Nothing else runs while functions are timed, so these come before the servers start.
    with part("methods", options) as wanted:
        if wanted and measure:
            torch = torch_worker(run, options, stack)
            run.methods = inprocess.methods(measure, torch, folder, options.rounds, options.quick, say)
    with part("kernels", options) as wanted:
        if wanted and measure:
            run.kernels = inprocess.kernels(measure, options.rounds, say)
    with part("json", options) as wanted:
        if wanted and measure:
            run.json = inprocess.json_readers(measure, folder, options.rounds, say)
    with part("scaling", options) as wanted:
        if wanted and measure:
            run.curves = scaling.in_process(measure, folder, options.quick, say)
        if wanted:
            run.curves += scaling.over_http(options.crop, folder, generator, options.quick, say)
    with part("memory", options) as wanted:
        if wanted:
            run.memory, run.memory_failures = memory.measure(
                options.crop, folder, run.cases, generator, options.rounds, options.quick, say)
    with part("servers", options) as wanted:
        if wanted:
            run.calibration = transport.calibrate(generator, run.cases, folder, options.rounds, options.seconds)
            wanted_servers = options.servers.split(";") if options.servers else None
            fleet = transport.Fleet(options.crop, folder, stack, say, wanted_servers)
            run.absent.update(fleet.absent)
            transport.measure(fleet, run.cases, generator, options.rounds, folder, say, run.transport)
    with part("mix", options) as wanted:
        if wanted:
            fleet = transport.Fleet(options.crop, folder, stack, say, ("crop", "C echo"))
            cases = {key: run.cases[key] for key in (*inputs.MIX, "diversity-1.2MB", "small")}
            transport.measure(fleet, cases, generator, options.rounds, folder, say, run.transport, others=False)


def torch_worker(run, options, stack):
    """The torch references, where they are wanted and can be had."""
    if not options.torch:
        return None
    try:
        say("starting torch")
        worker = inprocess.TorchWorker(builds.torch_python(options.torch_python))
    except Unavailable as error:
        say(f"  not available: {error}")
        run.absent["torch"] = str(error)
        return None
    stack.callback(worker.stop)
    run.torch = worker.version
    return worker


def install():
    say("installing what the Python peers need")
    try:
        builds.python_peers(sys.executable)
    except Unavailable as error:
        say(f"  {error}")


def main():
    options = parse()
    options.crop = options.crop.resolve()
    # A thousand idle connections, on both sides.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load_before = os.getloadavg()[0]
    if set(options.only) & set(PARTS):
        install()
    run = Run()
    with tempfile.TemporaryDirectory(prefix="crop-bench-") as folder, contextlib.ExitStack() as stack:
        try:
            measure_everything(run, options, pathlib.Path(folder), stack)
        finally:
            # Of a run that was interrupted, what is finished is kept.
            run.context = {**report.context(options, load_before), "torch": run.torch}
            run.collect()
            if set(options.only) == set(PARTS):
                report.write(run, say)
            for target in run.targets:
                # Of a part of the comparison only what was measured is worth a line.
                if target.met is not None or target.is_aside or set(options.only) == set(PARTS):
                    print(target.line())
    met = [target.met for target in run.targets if not target.is_aside]
    print(f"{met.count(True)} met, {met.count(False)} not met, {met.count(None)} not measured")
    return 0


if __name__ == "__main__":
    sys.exit(main())
