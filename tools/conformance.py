#!/usr/bin/env python3
"""Runs the conformance cases against our server and others, prints a table, and writes it down with every failed case.

    tools/conformance.py --crop .build/release/crop [--peer nginx] [--peer uvicorn-h11] [--markdown RESULTS.md]
    tools/conformance.py --connect 127.0.0.1:8080 [--live /livez] [--prune /prune]      # any server that echoes bodies
    tools/conformance.py --crop .build/release/crop --case chunks --verbose

Peers: nginx (the program must be installed), uvicorn-h11, uvicorn-httptools, hypercorn (Python packages). `--peer all` takes
those that can be started. Exit status 1 when ours fails a case.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "Tests" / "Conformance"
sys.path[:0] = [str(FOLDER), str(ROOT / "Tests" / "BlackBox")]
from cases import CASES, LIVE, PRUNE  # noqa: E402
from client import Target, echoes, judge, keeps_two_and_three, tcp  # noqa: E402


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, port, **options):
    """A peer's process, from when its port answers."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        end = time.monotonic() + 30
        while True:
            try:
                tcp("127.0.0.1", port)().close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command[0]} does not listen") from None
                time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def crop(binary):
    os.environ["CROP_BINARY"] = str(pathlib.Path(binary).resolve())
    from server import Server
    version = subprocess.run([os.environ["CROP_BINARY"], "--version"], capture_output=True, text=True, check=True).stdout.strip()
    with Server("--access-log", "off") as server:
        yield Target(f"crop {version}", tcp("127.0.0.1", server.port), keeps_two_and_three)


@contextlib.contextmanager
def nginx():
    done = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        # Its workers run as somebody else.
        os.chmod(folder, 0o777)
        port = free_port()
        text = (FOLDER / "peers" / "nginx.conf").read_text().replace("FOLDER", folder).replace("PORT", str(port))
        path = pathlib.Path(folder, "nginx.conf")
        path.write_text(text)
        with running(["nginx", "-p", folder, "-c", str(path)], port):
            yield Target(done.stderr.strip().rpartition(": ")[2].replace("/", " "), tcp("127.0.0.1", port), echoes)


@contextlib.contextmanager
def asgi(name, packages, *arguments):
    port = free_port()
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    command = [sys.executable, "-m", name, *(argument.replace("PORT", str(port)) for argument in arguments), "echo:app"]
    with running(command, port, cwd=FOLDER / "peers"):
        yield Target(versions, tcp("127.0.0.1", port), echoes)


def uvicorn(parser):
    return asgi("uvicorn", ("uvicorn", parser), "--host", "127.0.0.1", "--port", "PORT", "--http", parser, "--log-level", "critical")


PEERS = {
    "nginx": nginx,
    "uvicorn-h11": lambda: uvicorn("h11"),
    "uvicorn-httptools": lambda: uvicorn("httptools"),
    "hypercorn": lambda: asgi("hypercorn", ("hypercorn", "h11"), "--bind", "127.0.0.1:PORT", "--log-level", "CRITICAL"),
}


def available(name):
    if name == "nginx":
        return shutil.which("nginx") is not None
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for package in name.split("-"):
            importlib.metadata.version(package)
        return True
    return False


def run(target, cases, quiet, workers=16):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda case: judge(case, target, quiet), cases))


def score(verdicts):
    return f"{sum(verdict.passed for verdict in verdicts)}/{len(verdicts)}"


def table(results):
    """-> the lines of a table: a row for each group and level, a column for each server."""
    lines = ["| group | level | " + " | ".join(name for name, _ in results) + " |", "|---|---|" + "---|" * len(results)]
    columns = []
    for _, verdicts in results:
        column = collections.defaultdict(list)
        for verdict in verdicts:
            column[verdict.case.group, verdict.case.level].append(verdict)
            column["**all**", verdict.case.level].append(verdict)
            column["**all**", "both"].append(verdict)
        columns.append(column)
    keys = list(columns[0])
    for key in sorted(keys, key=lambda key: (key[0] == "**all**", list(dict.fromkeys(k[0] for k in keys)).index(key[0]), key[1])):
        lines.append(f"| {key[0]} | {key[1]} | " + " | ".join(score(column[key]) for column in columns) + " |")
    return lines


def failures(results):
    lines = []
    for name, verdicts in results:
        failed = [verdict for verdict in verdicts if not verdict.passed]
        lines += ["", f"## {name}: {len(failed)} of {len(verdicts)} failed", ""]
        if failed:
            lines += ["| case | section | level | why | permitted | seen |", "|---|---|---|---|---|---|"]
        for verdict in failed:
            case = verdict.case
            permitted = "; ".join(outcome if len(outcome) < 60 else outcome[:20] + " ... " + outcome[-10:] for outcome in case.accept)
            if case.checks:
                permitted += "; with " + ", ".join(case.checks)
            row = [case.id, case.section, case.level, case.reason, permitted, verdict.seen]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return lines


def machine():
    model = ""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = " of " + line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} cores{model}, {platform.system()} {platform.release()}"


def document(results):
    return "\n".join([
        "# Conformance", "",
        "`make conformance` sends every case of [cases.py](cases.py) to each server and writes this file. A case passes when the "
        "outcome is one that the RFC permits; `must` are requirements, `should` are recommendations and strictness against "
        "request smuggling that the RFCs leave open. Servers run with their defaults; how each offers the two resources of the "
        "cases is in [peers](peers).", "",
        f"{datetime.date.today()}, {machine()}, Python {platform.python_version()}.", "",
        *table(results), *failures(results), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--crop", help="our program")
    parser.add_argument("--peer", action="append", default=[], choices=[*PEERS, "all"])
    parser.add_argument("--connect", metavar="HOST:PORT", help="a server that runs already")
    parser.add_argument("--live", default=LIVE, help="its path that answers GET with 200")
    parser.add_argument("--prune", default=PRUNE, help="its path that answers POST with the body")
    parser.add_argument("--case", default="", help="only cases whose id contains this")
    parser.add_argument("--quiet", type=float, default=2, help="seconds of silence after which a server is said to wait")
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--verbose", action="store_true", help="print every case")
    options = parser.parse_args()
    cases = [case for case in CASES if options.case in case.id]
    servers = []
    if options.crop:
        servers.append(lambda: crop(options.crop))
    names = [name for name in PEERS if available(name)] if "all" in options.peer else options.peer
    servers += [PEERS[name] for name in names]
    if options.connect:
        host, _, port = options.connect.rpartition(":")
        servers.append(lambda: contextlib.nullcontext(
            Target(options.connect, tcp(host, int(port)), lambda body: echoes(body) or keeps_two_and_three(body), options.live, options.prune)))
    if not servers or not cases:
        parser.error("no server, or no case")
    results = []
    for start in servers:
        with start() as target:
            began = time.monotonic()
            results.append((target.name, run(target, cases, options.quiet)))
            print(f"{target.name}: {score(results[-1][1])} in {time.monotonic() - began:.1f} s", file=sys.stderr)
    if options.verbose:
        for name, verdicts in results:
            for verdict in verdicts:
                print(f"{name}: {'pass' if verdict.passed else 'FAIL'} {verdict.case.id}: {verdict.seen}")
    print("\n".join(table(results) + failures(results)))
    if options.markdown:
        options.markdown.write_text(document(results))
    return 1 if options.crop and not all(verdict.passed for verdict in results[0][1]) else 0


if __name__ == "__main__":
    sys.exit(main())
