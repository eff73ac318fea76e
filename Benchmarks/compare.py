#!/usr/bin/env python3
"""Compares `crop serve` with a raw C echo server and FastAPI + numpy, all in one run.

    python3 Benchmarks/compare.py --crop .build/release/crop [--rounds 5] [--seconds 2] [--markdown OUT.md]
    python3 Benchmarks/compare.py                     # the peers among themselves

Needs `cc`, and for the FastAPI peer (in the interpreter that runs this, or `--python`): fastapi, uvicorn[standard], numpy.

Every server runs during the whole comparison, idle when it is not its turn. A round measures each case on each server
in turn, so that whatever else the machine does falls on all of them; figures are medians over rounds, ratios are
taken within a round and then the median of those. The load generator is one C thread (peers/load.c); on a machine of
two cores it takes its share, which `client %` tells: near 100 the client is the limit, not the server.
CPU per request is user and system time of the server's processes, from /proc.
"""
import argparse
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE / "peers"
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """One running server: its port, and the CPU time of it and its children."""

    def __init__(self, name, command, **environment):
        self.name = name
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=PEERS,
            env={**os.environ, **environment})
        self.port = self._port()
        threading.Thread(target=self._drain, daemon=True).start()

    def _port(self):
        for line in self.process.stderr:
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            if match and "listening" in line.lower():
                return int(match.group(1))
        raise SystemExit(f"{self.name} ended ({self.process.wait()}) before it said where it listens")

    def _drain(self):
        for _ in self.process.stderr:
            pass

    def _processes(self):
        """This process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            process = waiting.pop()
            found.append(process)
            with contextlib.suppress(OSError):
                for task in pathlib.Path(f"/proc/{process}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
        return found

    def cpu_seconds(self):
        total = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Case:
    """A request, the connections that send it, and which servers can answer it."""

    def __init__(self, name, array, path, connections, computes):
        self.name, self.array, self.path = name, array, path
        self.connections, self.computes = connections, computes
        self.file = None


def make_cases():
    generator = np.random.default_rng(7)
    rows = generator.random((1024, 576)).astype(np.float16)
    scores = generator.random(576).astype(np.float16)
    # Smooth over the 24 x 24 grid and noisy on top, as image features are.
    coarse = generator.standard_normal((6, 6, 1024))
    features = np.kron(coarse, np.ones((4, 4, 1))).reshape(576, 1024)
    features = (features + 0.5 * generator.standard_normal(features.shape)).astype(np.float16)
    cases = []
    for connections in (1, 16):
        cases += [
            Case("1.2 MB, top-k of 1024 rows", rows, "/prune?keep_tokens=64&method=topk", connections, False),
            Case("1 KB, top-k", scores, "/prune?keep_tokens=64&method=topk", connections, False),
            Case("DivPrune 576x1024", features, "/prune?keep_tokens=64&method=divprune", connections, True),
        ]
    return cases


def build_tools(folder):
    for name in ("echo", "load"):
        subprocess.run(["cc", "-O2", "-pthread", "-o", folder / name, PEERS / f"{name}.c"], check=True)
    return folder / "echo", folder / "load"


def start_servers(options, echo, stack):
    """-> servers in order; ratios refer to the first."""
    cores = str(os.cpu_count())
    wanted = []
    if options.crop:
        command = [str(options.crop.resolve()), "serve", "--http-port", "0", *shlex.split(options.crop_options)]
        wanted.append(("crop", command, {}))
    wanted.append(("C echo", [str(echo), "--threads", cores], {}))
    peer = [options.python, str(PEERS / "fastapi_peer.py"), "--workers"]
    # One BLAS thread: more of them only wait for the cores that the load generator and other workers hold.
    for workers in sorted({1, os.cpu_count()}):
        name = f"FastAPI, {workers} worker{'s' if workers > 1 else ''}"
        wanted.append((name, [*peer, str(workers)], {"OPENBLAS_NUM_THREADS": "1"}))
    servers = []
    for name, command, environment in wanted:
        server = Server(name, command, **environment)
        stack.callback(server.stop)
        servers.append(server)
    return servers


def answer(server, case):
    """One request by http.client -> the answer's indices."""
    last = None
    for _ in range(50):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request(
                "POST", case.path, case.file.read_bytes(), {"Content-Type": "application/octet-stream"})
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise SystemExit(f"{server.name} answered {response.status} to {case.name}: {body[:500]!r}")
            return json.loads(body).get("kept_indices")
        except (ConnectionError, http.client.HTTPException) as error:
            last = error
            time.sleep(0.1)
    raise SystemExit(f"{server.name} does not answer: {last}")


def check_answers(cases, servers):
    """Nothing is measured that is not the same work: all computing servers must keep the same tokens."""
    for case in cases:
        answers = {server.name: answer(server, case) for server in servers if competes(server, case)}
        given = {name: kept for name, kept in answers.items() if kept is not None}
        if len({tuple(kept) for kept in given.values()}) > 1:
            raise SystemExit(f"{case.name}: the servers keep different tokens: {given}")


def competes(server, case):
    return server.name != "C echo" or not case.computes


def measure(load, server, case, options):
    before, began = server.cpu_seconds(), time.monotonic()
    command = [
        load, "--port", str(server.port), "--path", case.path, "--body", case.file, "--connections",
        str(case.connections), "--seconds", str(options.seconds), "--warm-up", str(options.warm_up)]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"{server.name}, {case.name}: {result.stderr}{result.stdout}")
    figures = json.loads(result.stdout)
    spent, elapsed = server.cpu_seconds() - before, time.monotonic() - began
    # The warm-up costs CPU too: scale the requests counted to the whole run.
    requests = figures["requests"] * elapsed / max(figures["seconds"], 1e-9)
    figures["cpu_us"] = 1e6 * spent / max(requests, 1)
    figures["client_share"] = 100 * figures["client_cpu_s"] / elapsed
    return figures


def run_rounds(load, cases, servers, options):
    """-> {(case index, server name): [figures per round]}"""
    results = {}
    for number in range(options.rounds):
        for index, case in enumerate(cases):
            # Alternate the order, so that no server always follows the same one.
            for server in servers if number % 2 == 0 else reversed(servers):
                if competes(server, case):
                    results.setdefault((index, server.name), []).append(measure(load, server, case, options))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    return results


def median(rounds, key):
    return statistics.median(figures[key] for figures in rounds)


def ratio(first, second):
    """Median over rounds of first's requests per second over second's."""
    return statistics.median(a["req_per_s"] / max(b["req_per_s"], 1e-9) for a, b in zip(first, second))


def table(cases, servers, results):
    lines = [
        f"| case | connections | server | req/s (min-max) | p50 us | p99 us | CPU us/request | client % | errors | "
        f"{servers[0].name} / this |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for index, case in enumerate(cases):
        first = results.get((index, servers[0].name))
        for server in servers:
            rounds = results.get((index, server.name))
            if not rounds:
                continue
            rates = [figures["req_per_s"] for figures in rounds]
            compared = f"{ratio(first, rounds):.2f}" if first and rounds is not first else ""
            lines.append(
                f"| {case.name} | {case.connections} | {server.name} | {statistics.median(rates):,.0f} "
                f"({min(rates):,.0f}-{max(rates):,.0f}) | {median(rounds, 'p50_us'):,.0f} | "
                f"{median(rounds, 'p99_us'):,.0f} | {median(rounds, 'cpu_us'):,.0f} | "
                f"{median(rounds, 'client_share'):.0f} | {sum(f['errors'] for f in rounds)} | {compared} |")
    return "\n".join(lines)


def machine():
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                return f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {platform.platform()}"


def document(cases, servers, results, options):
    words = ["--rounds", str(options.rounds), "--seconds", f"{options.seconds:g}"]
    if options.crop:
        words += ["--crop", str(options.crop)]
    for flag, value in (("--crop-options", options.crop_options), ("--case", options.case)):
        words += [flag, value] if value else []
    command = "python3 Benchmarks/compare.py " + shlex.join(words)
    return "\n".join([
        f"Machine: {machine()}; load generator and servers on the same cores, loopback.",
        f"Date: {datetime.date.today()}. Command: `{command}`.",
        f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s; Python "
        f"{platform.python_version()}, numpy {np.__version__}.",
        "", table(cases, servers, results), ""])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crop", type=pathlib.Path, help="the release build of our server")
    parser.add_argument("--crop-options", default="", help="further flags of `crop serve`, as one string")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the FastAPI peer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="every figure of every round")
    return parser.parse_args()


def main():
    options = parse()
    cases = [case for case in make_cases() if not options.case or options.case in case.name]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        for index, case in enumerate(cases):
            case.file = folder / f"{index}.npy"
            np.save(case.file, case.array)
        echo, load = build_tools(folder)
        servers = start_servers(options, echo, stack)
        check_answers(cases, servers)
        results = run_rounds(load, cases, servers, options)
        text = document(cases, servers, results, options)
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        named = [{"case": cases[i].name, "connections": cases[i].connections, "server": name, "rounds": rounds}
                 for (i, name), rounds in results.items()]
        options.json.write_text(json.dumps(named, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
