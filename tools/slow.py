#!/usr/bin/env python3
"""Lets slowhttptest and wrk loose on a server of its own, and watches what others notice.

    tools/slow.py --crop .build/release/crop [--seconds 30] [--connections 1000] [--markdown FILE]

Needs slowhttptest and wrk (Debian: `apt-get install slowhttptest wrk`). Slow heads (-H), slow bodies (-B), of a megabyte
and of the largest size, and slow readers (-X) come one after the other, each from 1,000 connections, while a client of
ours opens a connection every 20 ms and posts a small body. wrk then posts and reads as fast as it can. Exit status 1
when slowhttptest's own probe or our client found the server unavailable, when wrk saw an error, or when descriptors
stay open.
"""
import argparse
import csv
import datetime
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Tests" / "BlackBox"), str(ROOT / "tools")]
from bodies import PRUNE, TINY, TINY_KEPT  # noqa: E402
from chaos import machine, percentile  # noqa: E402
from wire import Closed, Connection, request  # noqa: E402

LUA = """
wrk.method = "POST"
wrk.body = '{"attention":[0.1,0.2,0.4,0.3]}'
wrk.headers["Content-Type"] = "application/json"
"""


class Probe:
    """A client that opens a connection, posts a small body and reads the answer, again and again."""

    def __init__(self, port, interval=0.02):
        self.port, self.interval = port, interval
        self.latencies, self.faults = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(60)

    def _run(self):
        # The method stands in the body: a request that is queued like any larger one, not answered where it arrives.
        data = request("POST", "/prune", body=TINY[:-1] + b',"method":"topk","keep_tokens":2}')
        while not self._stop.wait(self.interval):
            start = time.monotonic()
            try:
                with Connection(self.port, timeout=20) as connection:
                    answer = connection.exchange(data)
                    if answer.status != 200 or answer.json["kept_indices"] != TINY_KEPT:
                        self.faults.append(f"{answer.status} {answer.body[:100]!r}")
            except (Closed, OSError) as error:
                self.faults.append(repr(error))
            self.latencies.append(time.monotonic() - start)

    def summary(self):
        return f"{len(self.latencies):,} | {len(self.faults)} | {percentile(self.latencies, 0.5):.1f} | {percentile(self.latencies, 0.99):.1f}"


def modes(options, port):
    """-> {name: command}"""
    url = f"http://127.0.0.1:{port}"
    common = ["slowhttptest", "-c", str(options.connections), "-r", "200", "-l", str(options.seconds), "-p", "5", "-g"]
    return {
        "slow heads": [*common, "-H", "-i", "5", "-u", f"{url}/livez"],
        "slow bodies": [*common, "-B", "-i", "5", "-s", "1000000", "-t", "POST", "-f", "application/json", "-u", url + PRUNE],
        # Each announces the largest body that is allowed.
        "slow large bodies": [
            *common, "-B", "-i", "5", "-s", str(64 << 20), "-t", "POST", "-f", "application/json", "-u", url + PRUNE],
        # Pipelined requests for the contract, of which each reads a few bytes now and then.
        "slow readers": [*common, "-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3", "-u", f"{url}/openapi.json"],
    }


def availability(path):
    """-> (seconds, seconds in which slowhttptest's probe was answered, most connections at once) of its table."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    available = sum(int(row["Service Available"]) > 0 for row in rows)
    return len(rows), available, max((int(row["Connected"]) for row in rows), default=0)


def slow_rows(options, server, folder, before):
    rows, faults = [], []
    for name, command in modes(options, server.port).items():
        prefix = str(folder / name.replace(" ", "-"))
        with Probe(server.port) as probe:
            done = subprocess.run([*command, "-o", prefix], capture_output=True, text=True, timeout=options.seconds + 120)
        if not pathlib.Path(prefix + ".csv").exists():
            raise SystemExit(f"{shlex.join(command)} left no table: {done.stdout[-500:]}{done.stderr[-500:]}")
        seconds, available, connected = availability(prefix + ".csv")
        after = server.settled_descriptor_count(before, seconds=30)
        rows.append(f"| {name} | {connected} | {available} of {seconds} | {probe.summary()} | {before} | {after} |")
        if available < seconds:
            faults.append(f"{name}: unavailable in {seconds - available} of {seconds} samples")
        if probe.faults:
            faults.append(f"{name}: {len(probe.faults)} requests failed, first {probe.faults[0]}")
        if after > before:
            faults.append(f"{name}: {after - before} descriptors stayed open")
        print(rows[-1], file=sys.stderr)
    return rows, faults


def wrk_rows(options, server, folder, before):
    script = folder / "post.lua"
    script.write_text(LUA)
    rows, faults = [], []
    for name, connections, extra, target in [
            ("POST of 31 bytes", 64, ["-s", str(script)], PRUNE), ("POST of 31 bytes", 200, ["-s", str(script)], PRUNE),
            ("GET", 64, [], "/livez"), ("GET", 1000, [], "/livez")]:
        command = ["wrk", "-t", "2", "-c", str(connections), "-d", f"{max(5, options.seconds // 3)}s", "--latency", *extra,
                   f"http://127.0.0.1:{server.port}{target}"]
        output = subprocess.run(command, capture_output=True, text=True, timeout=options.seconds + 60, check=True).stdout
        errors = re.search(r"Socket errors: (.*)", output)
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        after = server.settled_descriptor_count(before, seconds=30)
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
        latency = " | ".join(re.search(rf"{share}%\s+(\S+)", output)[1] for share in (50, 99))
        rows.append(f"| {name} | {connections} | {rate:,.0f} | {latency} | {errors[1] if errors else 'none'} | "
                    f"{others[1] if others else 0} | {before} | {after} |")
        if errors or others:
            faults.append(f"wrk, {name} from {connections}: {errors[1] if errors else ''} {others[0] if others else ''}")
        if after > before:
            faults.append(f"wrk: {after - before} descriptors stayed open")
        print(rows[-1], file=sys.stderr)
    return rows, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crop", default=str(ROOT / ".build" / "release" / "crop"))
    parser.add_argument("--seconds", type=int, default=30, help="of each slow mode")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--markdown", type=pathlib.Path)
    options = parser.parse_args()
    for program in ("slowhttptest", "wrk"):
        if not shutil.which(program):
            raise SystemExit(f"{program} is not installed; on Debian and Ubuntu: apt-get install slowhttptest wrk")
    os.environ["CROP_BINARY"] = str(pathlib.Path(options.crop).resolve())
    from server import Server
    with tempfile.TemporaryDirectory() as folder, Server("--access-log", "off") as server:
        with Connection(server.port) as connection:
            assert connection.is_alive()
        before = server.settled_descriptor_count(0, seconds=0.5)
        slow, slow_faults = slow_rows(options, server, pathlib.Path(folder), before)
        fast, fast_faults = wrk_rows(options, server, pathlib.Path(folder), before)
    text = "\n".join([
        f"Date: {datetime.date.today()}. Machine: {machine()}; clients and server on the same cores.",
        f"Command: `tools/slow.py {shlex.join(sys.argv[1:])}`; the server has its default settings.", "",
        "| slowhttptest | connected at most | service available, samples | our requests | failed | p50 ms | p99 ms | "
        "descriptors before | after |", "|---|---|---|---|---|---|---|---|---|", *slow, "",
        "| wrk | connections | requests/s | p50 | p99 | socket errors | not 2xx | descriptors before | after |",
        "|---|---|---|---|---|---|---|---|---|", *fast, ""])
    print(text)
    for fault in slow_faults + fast_faults:
        print(f"FAULT: {fault}")
    if options.markdown:
        options.markdown.write_text(text)
    return 1 if slow_faults or fast_faults else 0


if __name__ == "__main__":
    sys.exit(main())
