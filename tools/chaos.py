#!/usr/bin/env python3
"""Measures what well-behaved clients notice of misbehaving ones.

    tools/chaos.py --crop .build/release/crop [--minutes 10] [--unix | --tls] [--markdown FILE]

First only clients that behave: eight with requests of 1 KB, two with 1.2 MB, on kept-alive connections that they renew
now and then. Then the same amidst resets at random bytes, slow writers and readers, half-sent heads, silence, garbage,
damaged and oversized requests, floods of connections beyond the server's limit, and SIGHUP every few seconds. Then
the attackers pause until descriptors are given back; at last SIGTERM comes while all of them are at work again.

Exit status 1 when a well-behaved client lost a request or read a wrong answer, when the server crashed or did not end,
when descriptors stay open or memory keeps growing, or when the 99th percentile of latency rises more than threefold.
429 and 503 with Retry-After are retried and counted apart.
"""
import argparse
import contextlib
import datetime
import multiprocessing
import os
import pathlib
import platform
import re
import shlex
import signal
import statistics
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "Tests" / "Chaos"), str(ROOT / "Tests" / "BlackBox")]
from attacks import run_attackers  # noqa: E402
from bodies import npy  # noqa: E402
from certificates import Issued  # noqa: E402
from clients import CALM, CHAOS, OVER, SETTLING, STOPPING, WARM_UP, run_clients  # noqa: E402
from endpoint import Endpoint  # noqa: E402
from wire import Connection, request  # noqa: E402

MEGABYTE = 1_000_000
#: Above what behaves, below what floods; slow peers are cut off within the run.
FLAGS = ["--max-connections", "300", "--header-timeout", "2s", "--body-timeout", "2s", "--idle-timeout", "20s",
         "--drain-delay", "1s", "--access-log", "off"]


def post(rows):
    attention = np.random.default_rng(rows).random((rows, 576 if rows > 1 else 256), dtype=np.float32)
    return request("POST", "/prune?method=topk&keep_tokens=64&tensor=attention", body=npy(attention))


@contextlib.contextmanager
def serving(options):
    """-> (server, where it is), reached as the options say."""
    from server import Server
    with tempfile.TemporaryDirectory() as name:
        folder, flags, where = pathlib.Path(name), list(FLAGS), {}
        if options.tls:
            certificate = Issued(folder, "localhost", Issued(folder, "authority"))
            where["certificate"] = str(folder / "authority.pem")
            flags += certificate.flags
        if options.unix:
            where["unix_path"] = str(folder / "crop.sock")
            flags += ["--unix-socket", where["unix_path"]]
        server = Server(*flags)
        try:
            yield server, Endpoint(port=server.port, **where)
        finally:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()


def first_answer(where, data):
    connection = Connection(0, timeout=30, dial=where.dial)
    with connection:
        answer = connection.exchange(data)
        assert answer.status == 200, answer.body
        return answer.body


class Run:
    """The course of things, and what was seen from outside."""

    def __init__(self, server, options):
        self.server, self.options = server, options
        self.phase = multiprocessing.Value("i", WARM_UP, lock=False)
        self.resident = {CALM: [], CHAOS: []}
        self.descriptors = {}
        self.hangups = 0
        self.crashed = False

    def stay(self, phase, seconds):
        self.phase.value = phase
        end, next_hangup = time.monotonic() + seconds, time.monotonic() + 3
        while time.monotonic() < end:
            if self.server.process.poll() is not None:
                self.crashed = True
                return
            if phase in self.resident:
                self.resident[phase].append(self.server.resident_bytes() / MEGABYTE)
            if phase == CHAOS and time.monotonic() > next_hangup:
                self.server.send_signal(signal.SIGHUP)
                self.hangups += 1
                next_hangup += 3
            time.sleep(min(0.5, seconds / 20))

    def course(self):
        calm = max(10, self.options.minutes * 60 / 5)
        self.stay(WARM_UP, 3)
        self.stay(CALM, calm)
        if self.crashed:
            return
        # Clients renew connections: the largest of some counts is what they need.
        counts = []
        for _ in range(20):
            counts.append(self.server.descriptor_count())
            time.sleep(0.05)
        self.descriptors["before"] = max(counts)
        self.stay(CHAOS, self.options.minutes * 60 - calm)
        if self.crashed:
            return
        self.descriptors["amidst"] = self.server.descriptor_count()
        self.phase.value = SETTLING
        self.descriptors["after"] = self.server.settled_descriptor_count(self.descriptors["before"], seconds=30)
        self.metrics = self.server.metrics().decode()
        self.stay(CHAOS, 3)
        self.stop()

    def stop(self):
        if self.crashed:
            return
        self.phase.value = STOPPING
        start = time.monotonic()
        self.server.send_signal(signal.SIGTERM)
        self.status = self.server.process.wait(timeout=60)
        self.stop_seconds = time.monotonic() - start


def percentile(latencies, share):
    ordered = sorted(latencies)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def judge(run, outcomes):
    """-> (lines of the report, faults)"""
    lines, faults = [], []
    if run.crashed:
        return [f"the server ended with status {run.server.process.returncode}"], ["the server crashed", *run.server.lines[-10:]]
    lines += ["| clients | answered | p50 ms calm | p99 ms calm | p50 ms chaos | p99 ms chaos | p99 ratio | retried | lost | wrong |",
              "|---|---|---|---|---|---|---|---|---|---|"]
    for name, (counts, complaints, latencies) in outcomes.items():
        calm, chaos = latencies[CALM], latencies[CHAOS]
        ratio = percentile(chaos, 0.99) / percentile(calm, 0.99)
        retried = sum(count for what, count in counts.items() if what.startswith("deferred"))
        lost, wrong = counts.get("lost", 0), counts.get("wrong", 0)
        lines.append(
            f"| {name} | {counts.get('answered', 0):,} | {percentile(calm, 0.5):.2f} | {percentile(calm, 0.99):.2f} | "
            f"{percentile(chaos, 0.5):.2f} | {percentile(chaos, 0.99):.2f} | {ratio:.2f} | {retried} | {lost} | {wrong} |")
        if lost or wrong:
            faults += [f"{name}: {lost} lost, {wrong} wrong", *complaints[:10]]
        if not ratio <= 3:
            faults.append(f"{name}: the 99th percentile rose {ratio:.2f}-fold")
    series = run.resident[CHAOS]
    quarters = [statistics.median(series[len(series) * n // 4:len(series) * (n + 1) // 4] or [0]) for n in range(4)]
    if quarters[3] > quarters[1] * 1.1 + 8:
        faults.append(f"resident memory grew from {quarters[1]:.1f} to {quarters[3]:.1f} MB")
    if run.descriptors["after"] > run.descriptors["before"]:
        faults.append(f"{run.descriptors['after'] - run.descriptors['before']} descriptors stayed open")
    if run.status != 0:
        faults.append(f"exit status {run.status}")
    lines += ["", f"Resident MB, medians: {statistics.median(run.resident[CALM]):.1f} calm; quarters of the chaos "
              + ", ".join(f"{quarter:.1f}" for quarter in quarters) + f"; largest {max(series):.1f}.",
              "Descriptors: {before} before, {amidst} amidst, {after} after.".format(**run.descriptors),
              f"SIGHUP {run.hangups} times; SIGTERM under load: {run.stop_seconds:.2f} s, exit status {run.status}."]
    return lines, faults


def noticed(metrics):
    """What the server says of the attackers."""
    refusals = re.findall(r'crop_http_refusals_total\{reason="([^"]+)"\} (\d+)', metrics)
    others = re.findall(r"crop_(connections_accepted_total|accept_pauses_total|http_responses_broken_total) (\d+)", metrics)
    return "; ".join(f"{name.removesuffix('_total').replace('_', ' ')} {int(count):,}" for name, count in others) + (
        "; rejected for " + ", ".join(f"{reason} {int(count):,}" for reason, count in refusals) + ".")


def machine():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{os.cpu_count()} cores of {line.partition(':')[2].strip()}, {platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crop", default=str(ROOT / ".build" / "release" / "crop"))
    parser.add_argument("--minutes", type=float, default=10)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--unix", action="store_true", help="over a Unix socket, which speaks no TLS")
    way.add_argument("--tls", action="store_true", help="over TLS, with a certificate made for the run")
    parser.add_argument("--markdown", type=pathlib.Path)
    options = parser.parse_args()
    os.environ["CROP_BINARY"] = str(pathlib.Path(options.crop).resolve())
    small, large = post(1), post(521)
    with serving(options) as (server, where):
        run = Run(server, options)
        results = multiprocessing.Queue()
        kinds = {"1 KB": (small, 8, 0.02), "1.2 MB": (large, 2, 0.1)}
        processes = [
            multiprocessing.Process(
                target=run_clients, args=(results, name, where, run.phase, data, first_answer(where, data), count, interval))
            for name, (data, count, interval) in kinds.items()]
        processes.append(multiprocessing.Process(target=run_attackers, args=(results, where, run.phase, large)))
        for process in processes:
            process.start()
        try:
            run.course()
        finally:
            run.phase.value = OVER
            outcomes = dict((name, outcome) for name, *outcome in (results.get(timeout=60) for _ in processes))
            for process in processes:
                process.join(30)
    attacks, = outcomes.pop("attackers")
    lines, faults = judge(run, {name: outcomes[name] for name in kinds})
    text = "\n".join([
        f"Date: {datetime.date.today()}. Machine: {machine()}; clients, attackers and server on the same cores.",
        f"Command: `tools/chaos.py {shlex.join(sys.argv[1:])}`. Server flags: `{' '.join(FLAGS)}`.", "", *lines,
        "Attacks: " + ", ".join(f"{name} {count:,}" for name, count in sorted(attacks.items())) + ".",
        "" if run.crashed else "The server counted: " + noticed(run.metrics), ""])
    print(text)
    for fault in faults:
        print(f"FAULT: {fault}")
    if options.markdown:
        options.markdown.write_text(text)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
