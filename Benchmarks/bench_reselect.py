#!/usr/bin/env python3
"""Times `POST /reselect` over a Unix socket at 576 and 2,880 tokens, beside the server's own time (`Server-Timing`).

A call has to fit between two tokens that a model decodes: the goal is at most 1 ms at 576 tokens. Each row of the table is the
median and the 99th percentile of calls one after the other on one connection, each with a new row of attention.

    python Benchmarks/bench_reselect.py --crop .build/release/crop [--calls 500]
"""
import argparse
import json
import os
import pathlib
import re
import sys
import tempfile
import time

import numpy as np
from safetensors.numpy import save

from bench_costs import UnixConnection, processor_time
from bench.places import ROOT

sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))

# tokens, kept ones, heads of the attention, whether as JSON
CASES = ((576, 64, 1, True), (576, 64, 1, False), (576, 64, 32, False), (576, 192, 32, False), (2880, 320, 32, False))


def body(tokens, kept, heads, is_json, scores, generator):
    row = generator.random((heads, tokens), dtype=np.float32)
    previous = {"kept_indices": np.sort(np.argsort(-scores)[:kept]).tolist(), "tokens": tokens}
    if is_json:
        numbers = {"attention": [round(float(value), 6) for value in row[0]], "prefill_scores": [round(float(v), 6) for v in scores]}
        return json.dumps({"previous": previous, **numbers}).encode()
    return save({"attention": row, "prefill_scores": scores}, {"parameters": json.dumps({"previous": previous})})


def measure(connection, process, case, calls):
    """-> milliseconds of each call as the client sees it, as the server says, and the server's processor time of one."""
    generator = np.random.default_rng(5)
    scores = generator.random(case[0], dtype=np.float32)
    kind = "application/json" if case[3] else "application/x-safetensors"
    seen, told, spent = [], [], []
    for call in range(calls + 20):
        sent = body(*case, scores, generator)
        before, start = processor_time(process), time.perf_counter()
        connection.request("POST", "/reselect", sent, {"Content-Type": kind})
        response = connection.getresponse()
        answer = response.read()
        elapsed = 1e3 * (time.perf_counter() - start)
        if response.status != 200:
            raise SystemExit(f"{response.status}: {answer.decode()[:300]}")
        if call >= 20:
            seen.append(elapsed)
            told.append(sum(map(float, re.findall(r"dur=([0-9.]+)", response.headers.get("Server-Timing", "")))))
            spent.append(processor_time(process) - before)
    return seen, told, spent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", type=pathlib.Path, default=ROOT / ".build/release/crop")
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args()
    os.environ["CROP_BINARY"] = str(options.crop)
    from server import Server  # reads CROP_BINARY

    print("| tokens | kept | attention | over the socket, ms: median | p99 | server's own, ms: median | p99 | processor, ms |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="crop") as folder:
        path = f"{folder}/crop.sock"
        with Server("--listen", f"unix:{path}") as server:
            connection = UnixConnection(path)
            for case in CASES:
                figures = measure(connection, server.process.pid, case, options.calls)
                tokens, kept, heads, is_json = case
                cells = [f"{number:.3f}" for times in figures[:2] for number in np.percentile(times, (50, 99))]
                what = "1 row as JSON" if is_json else f"{heads} row{'s' if heads > 1 else ''}, safetensors"
                print(f"| {tokens:,} | {kept} | {what} | {' | '.join(cells)} | {np.median(figures[2]):.3f} |", flush=True)


if __name__ == "__main__":
    main()
