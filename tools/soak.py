#!/usr/bin/env python3
"""Loads a server of its own for a minute and reports whether it stays as it was; then stops it amidst the load.

    tools/soak.py --crop .build/release/crop [--seconds 60] [--clients 16] [--megabytes 1.2]

Every client posts the same npy body on a kept-alive connection and compares the answer. Exit status 1 when an answer is
missing or wrong, when resident memory grows from the first half to the second, when descriptors stay open, or when the
stop loses a request.
"""
import argparse
import os
import pathlib
import signal
import statistics
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))

MEGABYTE = 1_000_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crop", default=str(ROOT / ".build" / "release" / "crop"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--megabytes", type=float, default=1.2)
    options = parser.parse_args()
    os.environ["CROP_BINARY"] = str(pathlib.Path(options.crop).resolve())
    from bodies import npy
    from load import Load
    from server import Server
    from wire import Connection, request

    heads = max(1, round(options.megabytes * MEGABYTE / 4 / 576))
    attention = np.random.default_rng(1).random((heads, 576), dtype=np.float32)
    data = request("POST", "/prune?method=topk&keep_tokens=64&tensor=attention", body=npy(attention))
    faults = []

    with Server("--access-log", "off") as server:
        with Connection(server.port) as connection:
            answer = connection.exchange(data)
            assert answer.status == 200, answer.body
            expected = answer.body
        descriptors = server.settled_descriptor_count(0, seconds=0.5)
        samples = []
        with Load(server.port, data, options.clients, check=lambda answer: answer.body == expected) as load:
            start, cpu = time.monotonic(), server.cpu_seconds()
            while (elapsed := time.monotonic() - start) < options.seconds:
                time.sleep(min(0.25, options.seconds / 100))
                # The first tenth fills the pools.
                if elapsed > options.seconds / 10:
                    samples.append(server.resident_bytes() / MEGABYTE)
            elapsed, cpu, answered = time.monotonic() - start, server.cpu_seconds() - cpu, load.answered
        after = server.settled_descriptor_count(descriptors)
    half = len(samples) // 2
    first, second = statistics.median(samples[:half]), statistics.median(samples[half:])
    latencies = sorted(load.latencies)
    print(f"{answered} answers in {elapsed:.1f} s: {answered / elapsed:.0f}/s, {answered * len(data) / elapsed / MEGABYTE:.0f} MB/s, "
          f"{cpu / max(answered, 1) * 1000:.2f} ms CPU each")
    print(f"latency ms: median {latencies[len(latencies) // 2] * 1000:.1f}, 99th {latencies[len(latencies) * 99 // 100] * 1000:.1f}, "
          f"largest {latencies[-1] * 1000:.1f}")
    print(f"resident MB: median {first:.1f} in the first half, {second:.1f} in the second, largest {max(samples):.1f}")
    print(f"descriptors: {descriptors} before, {after} after")
    print(f"lost {load.counts['lost']}, wrong {load.counts['wrong']}")
    if load.counts["lost"] or load.counts["wrong"] or load.counts["refused"]:
        faults += load.faults or ["a connection was refused"]
    if second > first * 1.05 + 2:
        faults.append(f"resident memory grew from {first:.1f} to {second:.1f} MB")
    if after > descriptors:
        faults.append(f"{after - descriptors} descriptors stayed open")

    server = Server("--access-log", "off")
    with Load(server.port, data, options.clients, check=lambda answer: answer.body == expected) as load:
        load.wait_for_answers(100)
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        status = server.process.wait(timeout=60)
        took = time.monotonic() - start
        load.join()
    print(f"stop under load: {took:.2f} s, exit status {status}, {load.answered} answered, "
          f"lost {load.counts['lost']}")
    if status != 0 or load.counts["lost"] or load.counts["wrong"]:
        faults += ["the stop lost requests", *load.faults]
    for fault in faults[:10]:
        print(f"FAULT: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
