#!/usr/bin/env python3
"""Prunes the tokens of many images with several replicas of crop, and can be stopped and started again:

    crop serve --listen unix:/run/crop/1.sock &  crop serve --listen unix:/run/crop/2.sock &
    python Examples/batch.py --replica unix:/run/crop/1.sock --replica unix:/run/crop/2.sock \\
        --tensor image_features --method divprune --keep-ratio 0.25 --grid 24x24 --out kept.jsonl features/*.npy

Each .npy file is the tensor of one image, [tokens, ...] or as the method needs it. Each line of the output is an image:
{"file": ..., "kept_indices": [...]}, or {"file": ..., "error": ...} for one that the server rejects, which no attempt would
change. Files that are in the output already are left out, so the same command goes on where it was stopped.

Worker processes ask, each one replica as long as that answers. 429 and 503 mean that a replica has no room: the worker waits
as long as `Retry-After` says and asks the next one. A replica that is gone is left for the next one, too, for as long
as --patience says. Nothing is queued in this program but one file for each worker, so a job of a million images takes no more
memory than one of ten. With --ray the workers are actors of Ray Data (pip install 'ray[data]') on whatever nodes the cluster has: the
files and the replicas must be reachable under the same names there.

Needs the client (pip install ./clients/python) and numpy.
"""
import argparse
import collections
import ctypes
import json
import multiprocessing
import pathlib
import random
import signal
import sys
import time

import numpy as np
from crop_client import Client, layouts
from crop_client.errors import ArgumentError, ConnectionFailed, CropError, InvalidRequest, Overloaded, RequestTimeout

WORKER = None
PR_SET_PDEATHSIG = 1


class NoAnswer(Exception):
    """No replica answered for as long as that may be."""


class Worker:
    """Asks replicas, beginning with one of its own; counts how often it had to wait."""

    def __init__(self, number, given):
        # No repetition in the client: waiting is counted here, and the next attempt asks another replica.
        self.clients = [Client(url, retries=0, timeout=given.timeout) for url in given.replica]
        self.turn = number % len(self.clients)
        self.given = given
        rows, _, columns = given.grid.partition("x")
        self.layout = layouts.grid(int(rows), int(columns))

    def process(self, path):
        """-> the line of a file, and how often each thing was waited for."""
        waits = collections.Counter()
        given, end = self.given, time.monotonic() + self.given.patience
        try:
            tensor = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            return {"file": path, "error": f"cannot be read: {error}"}, waits
        while True:
            try:
                answer = self.clients[self.turn].prune(
                    layout=self.layout, method=given.method, keep_ratio=given.keep_ratio, keep_tokens=given.keep_tokens,
                    **{given.tensor: tensor})
                return {"file": path, "kept_indices": np.asarray(answer.kept_indices).tolist()}, waits
            except (ArgumentError, InvalidRequest) as error:
                return {"file": path, "error": str(error)}, waits
            except Overloaded as error:
                waits["no room"] += 1
                pause = error.retry_after if error.retry_after is not None else 1.0
            except (ConnectionFailed, RequestTimeout):
                waits["no replica"] += 1
                pause = 0.2
            except CropError as error:
                return {"file": path, "error": str(error)}, waits
            if time.monotonic() + pause > end:
                raise NoAnswer(f"{path}: no answer in {given.patience} s; the same command goes on from here")
            # Spread, so that workers that were rejected together do not return together.
            time.sleep(pause * random.uniform(1.0, 1.2))
            self.turn = (self.turn + 1) % len(self.clients)


def start(numbers, given):
    global WORKER
    if sys.platform == "linux":
        # A job that is killed takes its workers along.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    WORKER = Worker(numbers.get(), given)


def process(path):
    return WORKER.process(path)


def with_processes(files, given):
    """-> the line and the waits of each file, as they come."""
    numbers = multiprocessing.SimpleQueue()
    for number in range(given.processes):
        numbers.put(number)
    with multiprocessing.Pool(given.processes, start, (numbers, given)) as pool:
        yield from pool.imap_unordered(process, files)


class Actor:
    """A worker in a process of Ray's. What it returns is text, which Ray Data's blocks hold as it is."""

    def __init__(self, given):
        self.worker = Worker(random.randrange(len(given.replica)), given)

    def __call__(self, row):
        try:
            line, waits = self.worker.process(row["file"])
        except NoAnswer as error:
            return {"line": "", "waits": "", "stopped": str(error)}
        return {"line": json.dumps(line), "waits": json.dumps(waits), "stopped": ""}


def with_ray(files, given):
    """The same by Ray Data: blocks of a few files, so that results come early and a lost node repeats little."""
    import ray
    blocks = min(len(files), max(len(files) // 64, 4 * given.processes))
    rows = ray.data.from_items([{"file": path} for path in files], override_num_blocks=blocks)
    for row in rows.map(Actor, fn_constructor_args=(given,), concurrency=given.processes).iter_rows():
        if row["stopped"]:
            raise NoAnswer(row["stopped"])
        yield json.loads(row["line"]), collections.Counter(json.loads(row["waits"]))


def finished(out):
    """-> the files of whole lines; a line that was cut off when the job was stopped is cut out."""
    done, whole = set(), 0
    if out.exists():
        with out.open("rb+") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                done.add(json.loads(line)["file"])
                whole += len(line)
            lines.truncate(whole)
    return done


class Progress:
    """A line on standard error each second: how many are done, how fast, and what was waited for."""

    def __init__(self, total):
        self.total, self.done, self.errors, self.waits = total, 0, 0, collections.Counter()
        self.begin = self.shown = time.monotonic()

    def add(self, line, waits):
        self.done += 1
        self.errors += "error" in line
        self.waits += waits
        if time.monotonic() - self.shown >= 1 or self.done == self.total:
            self.shown = time.monotonic()
            rate = self.done / max(self.shown - self.begin, 1e-9)
            left = (self.total - self.done) / rate
            waited = ", ".join(f"{name} {count} times" for name, count in sorted(self.waits.items())) or "never waited"
            print(f"{self.done} of {self.total} images, {rate:.1f} a second, {left:.0f} s left, {self.errors} rejected, {waited}",
                  file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replica", action="append", required=True, metavar="URL", help="unix:/run/crop.sock, http://host:port; again for more")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count(), help="workers (one for each processor)")
    parser.add_argument("--ray", action="store_true", help="workers as actors of Ray Data, in the cluster that RAY_ADDRESS names or one of this machine")
    parser.add_argument("--tensor", default="attention", help="what the files hold: attention, image_features ...")
    parser.add_argument("--method", default="topk")
    parser.add_argument("--grid", required=True, metavar="ROWSxCOLUMNS", help="of the visual tokens of each image")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--keep-ratio", type=float)
    budget.add_argument("--keep-tokens", type=int)
    parser.add_argument("--timeout", type=float, default=30, help="seconds for one attempt")
    parser.add_argument("--patience", type=float, default=600, help="seconds without an answer after which the job ends")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("files", nargs="+")
    given = parser.parse_args()
    done = finished(given.out)
    left = [path for path in given.files if path not in done]
    if done:
        print(f"{len(done)} images are done already", file=sys.stderr)
    progress = Progress(len(left))
    with given.out.open("a") as out:
        try:
            for line, waits in (with_ray if given.ray else with_processes)(left, given) if left else ():
                out.write(json.dumps(line) + "\n")
                out.flush()
                progress.add(line, waits)
        except NoAnswer as error:
            print(f"batch: {error}", file=sys.stderr)
            return 3
    return 1 if progress.errors else 0


if __name__ == "__main__":
    sys.exit(main())
