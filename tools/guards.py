#!/usr/bin/env python3
"""Fails when a hot path does more than it did: counts instructions and allocations, never times.

    tools/guards.py               compare with Benchmarks/guards.json
    tools/guards.py --update      write what is counted now there; say in the commit why it changed
    tools/guards.py --self-test   spoil a path and a request: both must be found

Instructions are valgrind's (callgrind), of `hot-paths NAME REPEATS`: two runs, their difference divided by that of the
repetitions, so that start-up and the making of inputs cancel out. They hold for one compiler and one processor level, which is
the level that valgrind emulates, whatever this machine has. Allocations are those of `crop serve`, counted by
Benchmarks/malloc/count.c under requests on one connection.
"""
import argparse
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIMITS = ROOT / "Benchmarks" / "guards.json"
# How much more than recorded is still accepted; another compiler may do things differently.
MARGIN, OTHER_COMPILER = 1.15, 1.5
# Else tables are laid out anew in every process, and each byte that glibc sets or copies by one `rep` counts as an instruction.
COUNTABLE = {
    "SWIFT_DETERMINISTIC_HASHING": "1",
    "GLIBC_TUNABLES": "glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000"}
# An allocation more or less per ten requests is the system's business.
SLACK = 2.0
# Repetitions of the two runs: enough that the difference is some millions of instructions.
REPEATS = {
    "json-matrix-64x1024": (1, 3), "topk-1024x576-f16": (1, 5), "service-topk-1.2MB": (1, 5), "service-crop-similarity-1.2MB": (1, 5),
    "divprune-576x1024": (1, 2),
    "cdpruner-576x1024": (1, 2), "tome-576x1024": (1, 2), "visionzip-576x1024": (1, 3)}
USUAL_REPEATS = (20, 220)
SPOILED_PATH, SPOILED_REQUEST = "http-head", "1.2 MB, 9,216 tokens"
UPDATE = "if that is meant, run tools/guards.py --update and say why in the commit"


def output_of(command, limit, **options):
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=limit, cwd=ROOT, stdin=subprocess.DEVNULL, check=False,
        **options)
    if result.returncode:
        raise SystemExit(f"guards: {' '.join(map(str, command))}: {(result.stdout + result.stderr).strip()[-2000:]}")
    return result.stdout + result.stderr


def compiler():
    found = re.search(r"Swift version (\d+\.\d+)", output_of(["swift", "--version"], 60))
    return found.group(1) if found else "unknown"


def release_folder():
    return pathlib.Path(output_of(["swift", "build", "-c", "release", "--show-bin-path"], 300).strip().splitlines()[-1])


class Instructions:
    """Counts the hot paths under callgrind."""

    def __init__(self, folder):
        output_of(["swift", "build", "-c", "release", "--product", "hot-paths"], 1200)
        # Without debug information: older valgrinds stumble over that of newer compilers.
        self.program = folder / "hot-paths"
        output_of(["strip", "--strip-debug", "-o", self.program, release_folder() / "hot-paths"], 60)
        self.level = output_of(["valgrind", "--tool=none", "-q", self.program, "level"], 120).strip().splitlines()[-1]

    def names(self):
        return output_of([self.program, "list"], 60).split()

    def _run(self, name, repeats):
        text = output_of(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", self.program, name, repeats], 300,
            env={**os.environ, **COUNTABLE})
        return int(re.search(r"Collected : (\d+)", text).group(1))

    def count(self, name, spoiled=False):
        """Instructions per repetition; `spoiled` does everything twice."""
        few, many = REPEATS.get(name, USUAL_REPEATS)
        more = (many - few) * (2 if spoiled else 1)
        return round((self._run(name, few + more) - self._run(name, few)) / (many - few))

    def all(self):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            names = self.names()
            return dict(zip(names, pool.map(self.count, names)))


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def requests():
    """-> {name: (method, more field lines, body, how many to warm up with, how many to count)}

    `{n}` in a field line is another number each time, as in the headers that real clients send.
    """
    generator = np.random.default_rng(1)
    scores = generator.permutation(np.linspace(0.25, 1, 576)).astype(np.float16)
    rows = generator.random((1024, 576)).astype(np.float16)
    # Alike within patches of sixteen and noisy on top, as the features of an image are.
    patches = np.repeat(generator.standard_normal((36, 1024)), 16, axis=0)
    features = (patches + 0.5 * generator.standard_normal((576, 1024))).astype(np.float16)
    text = json.dumps({"attention": scores.astype(float).tolist()}).encode()
    return {
        "1.2 MB, 9,216 tokens": ("topk", "", npy(rows.reshape(64, 9216)), 20, 60),
        "JSON, 576 numbers": ("topk", "Content-Type: application/json\r\n", text, 50, 200),
        "DivPrune 576x1024": ("divprune", "", npy(features), 20, 60),
    }


class Allocations:
    """Counts the allocations of a server, per request."""

    def __init__(self, folder, crop):
        library, self.counts, self.sent = folder / "count.so", folder / "counts", 0
        output_of(["cc", "-O2", "-shared", "-fPIC", "-o", library, ROOT / "Benchmarks/malloc/count.c"], 60)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROP_")}
        environment.update(LD_PRELOAD=str(library), MALLOC_COUNTS=str(self.counts))
        self.process = subprocess.Popen(
            [crop, "serve", "--http-port", "0", "--access-log", "off", "--drain-delay", "0"], env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for line in self.process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port, self.connection = int(found.group(1)), None
                return
        raise SystemExit("guards: the server did not start")

    def _read(self):
        return struct.unpack("<3Q", self.counts.read_bytes()[:24])

    def _send(self, method, fields, body, times):
        # Not before it is needed: the server ends a connection that waits while instructions are counted.
        self.connection = self.connection or socket.create_connection(("127.0.0.1", self.port), 30)
        # What these two read of an array of many rows would else be a guess.
        tensor = "&tensor=attention" if method in ("topk", "uniform") and "json" not in fields else ""
        for _ in range(times):
            self.sent += 1
            head = (
                f"POST /prune?keep_tokens=64&method={method}{tensor} HTTP/1.1\r\nHost: a\r\n{fields.format(n=self.sent)}"
                f"Content-Length: {len(body)}\r\n\r\n")
            self.connection.sendall(head.encode() + body)
            answer = b""
            while b"\r\n\r\n" not in answer:
                received = self.connection.recv(1 << 16)
                if not received:
                    raise SystemExit("guards: the server ended a connection")
                answer += received
            head_bytes, _, rest = answer.partition(b"\r\n\r\n")
            if not head_bytes.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"guards: {answer[:300]!r}")
            missing = int(re.search(rb"content-length: *(\d+)", head_bytes, re.I).group(1)) - len(rest)
            while missing > 0:
                missing -= len(self.connection.recv(missing))

    def count(self, method, fields, body, warm_up, times, spoiled=False):
        """-> allocations and bytes asked for, per request; `spoiled` sends each twice."""
        self._send(method, fields, body, warm_up)
        before = self._read()
        self._send(method, fields, body, times * (2 if spoiled else 1))
        after = self._read()
        return round((after[0] - before[0]) / times, 1), round((after[2] - before[2]) / times)

    def stop(self):
        with contextlib.suppress(OSError, AttributeError):
            self.connection.close()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()


def count_requests(allocations):
    found = {}
    for name, request in requests().items():
        count, size = allocations.count(*request)
        found[f"{name}: allocations"] = count
        found[f"{name}: bytes allocated"] = size
    return found


def judge(counted, recorded, margin, slack=0.0):
    """-> what is wrong, a line each; prints every comparison."""
    wrong = []
    for name, count in counted.items():
        if name not in recorded:
            wrong.append(f"{name}: nothing is recorded; {UPDATE}")
            continue
        limit = recorded[name] * margin + slack
        state = "ok" if count <= limit else "TOO MANY"
        print(f"  {name:34} {count:>14,} recorded {recorded[name]:>14,} {state}")
        if count > limit:
            wrong.append(f"{name}: {count:,} where at most {limit:,.0f} are accepted; {UPDATE}")
        elif count < recorded[name] / margin - slack:
            print(f"    fewer than recorded: tools/guards.py --update holds the gain")
    for name in recorded.keys() - counted.keys():
        wrong.append(f"{name} is recorded and was not counted")
    return wrong


def self_test(instructions, allocations, limits, margin):
    """Both kinds of guard must find what is spoiled."""
    recorded = {SPOILED_PATH: limits["instructions"][SPOILED_PATH]}
    found = judge({SPOILED_PATH: instructions.count(SPOILED_PATH, spoiled=True)}, recorded, margin)
    names = [f"{SPOILED_REQUEST}: allocations"]
    count, _ = allocations.count(*requests()[SPOILED_REQUEST], spoiled=True)
    found += judge({names[0]: count}, {names[0]: limits["allocations"][names[0]]}, MARGIN, SLACK)
    if len(found) != 2:
        print("guards: a spoiled path was not found")
        return 1
    print("both spoiled paths were found")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--update", action="store_true", help="record what is counted now")
    parser.add_argument("--self-test", action="store_true", help="check that a spoiled path is found")
    parser.add_argument("--crop", type=pathlib.Path, help="the release build; .build/release/crop")
    options = parser.parse_args()
    crop = (options.crop or release_folder() / "crop").resolve()
    limits = json.loads(LIMITS.read_text()) if LIMITS.exists() else {}
    version = compiler()
    margin = MARGIN if version == limits.get("compiler") else OTHER_COMPILER
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        instructions = Instructions(folder)
        allocations = Allocations(folder, crop)
        try:
            if options.self_test:
                return self_test(instructions, allocations, limits, margin)
            counted = {"instructions": instructions.all(), "allocations": count_requests(allocations)}
        finally:
            allocations.stop()
    if options.update:
        LIMITS.write_text(json.dumps({"compiler": version, "level": instructions.level, **counted}, indent=2) + "\n")
        print(LIMITS.read_text())
        return 0
    wrong = []
    if instructions.level == limits.get("level"):
        print(f"instructions, kernels of level {instructions.level}:")
        wrong += judge(counted["instructions"], limits["instructions"], margin)
    else:
        print(f"instructions: skipped, recorded for level {limits.get('level')}, and this is {instructions.level}")
    print("allocations per request:")
    wrong += judge(counted["allocations"], limits["allocations"], MARGIN, SLACK)
    for line in wrong:
        print(f"guards: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
