#!/usr/bin/env python3
"""Measures what requests cost a server, for docs/capacity.md:

    tools/capacity.py --write          # a minute or two, on an idle machine of two processors or more

* Requests per core: processor time of the server (user and system, all its threads) for each request of several kinds, over one
  keep-alive connection. That is independent of how busy the machine is, but for caches; --rounds repeats it, and the least counts.
* Network: bytes of bodies that such a rate brings in. Cost: processor time at the price of --price.
* Memory: resident bytes that the server grows by, for each byte of bodies that it holds unfinished.
* Two replicas: requests per second of one replica and of two at a time, each pinned to a processor of its own together with its
  one client, which takes its part of it in both cases. This needs an idle machine; the processor time of a request is given beside it.

Needs numpy. The figures are for the processor, its level and the build that the table names.
"""
import argparse
import contextlib
import datetime
import json
import multiprocessing
import os
import pathlib
import platform
import re
import socket
import subprocess
import sys
import time
import urllib.parse

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))
FLAGS = ("--event-loops", "1", "--compute-threads", "1", "--access-log", "off", "--compute-timeout", "60s")
# Much computed and little sent, and the reverse.
PAIRED = ("/prune divprune, 576 x 1024, float16", "/prune topk, 32 heads x 576, float32")


def kinds():
    """-> (name, path with query, content type, body) of the kinds of requests that are measured."""
    from bodies import npy
    draw = np.random.default_rng(3)

    def features(tokens, width, kind):
        return npy(draw.standard_normal((tokens, width)).astype(kind))
    attention = draw.random((32, 576), dtype=np.float32)
    row = draw.random(576, dtype=np.float32)
    text = ("{" + f'"method":"topk","keep_tokens":64,"attention":[{",".join(f"{value:.6f}" for value in row)}]' + "}").encode()
    grid = "layout=" + urllib.parse.quote(json.dumps({"type": "grid", "rows": 24, "columns": 24}))
    numpy_type = "application/x-npy"
    yield "/prune topk, one row of 576 as JSON", "/prune", "application/json", text
    yield "/prune topk, one row of 576, float32", "/prune?method=topk&keep_tokens=64&tensor=attention", numpy_type, npy(row)
    yield "/prune topk, 32 heads x 576, float32", "/prune?method=topk&keep_tokens=64&tensor=attention", numpy_type, npy(attention)
    yield "/prune crop, 32 heads x 576, float32", f"/prune?method=crop&keep_ratio=0.25&{grid}&tensor=attention", numpy_type, npy(attention)
    yield "/localize, 32 heads x 576, float32", f"/localize?{grid}&tensor=attention", numpy_type, npy(attention)
    divprune = "/prune?method=divprune&keep_ratio=0.25&tensor=image_features"
    yield "/prune divprune, 576 x 1024, float16", divprune, numpy_type, features(576, 1024, np.float16)
    yield "/prune divprune, 576 x 1024, float32", divprune, numpy_type, features(576, 1024, np.float32)
    yield "/prune divprune, 2880 x 1024, float16", divprune, numpy_type, features(2880, 1024, np.float16)


def post(kind):
    from wire import request
    _, path, content_type, body = kind
    return request("POST", path, [("Content-Type", content_type)], body)


def cost(server, data, seconds):
    """-> (processor seconds for a request, bytes of the response), over so many seconds of the server's processor time."""
    from wire import Connection
    with Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(data)
        if answer.status != 200:
            raise SystemExit(f"capacity: {answer.status} {answer.body[:300]}")
        for _ in range(20):
            connection.exchange(data)
        count, before = 0, server.cpu_seconds()
        while (spent := server.cpu_seconds() - before) < seconds or count < 20:
            connection.exchange(data)
            count += 1
    return spent / count, len(answer.body)


def held_memory(server, megabytes, count):
    """-> resident bytes that each byte of unfinished bodies adds."""
    from wire import request
    head = request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention",
                   [("Content-Type", "application/x-npy"), ("Content-Length", str(megabytes * 2**20))])
    body = bytes(megabytes * 2**20 - 1)
    with contextlib.ExitStack() as stack:
        before = server.resident_bytes()
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            one.sendall(head + body)
        server.wait_for_metric(rf"crop_request_body_bytes_in_flight {count * len(body)}", seconds=60)
        return (server.resident_bytes() - before) / (count * len(body))


def ask(target, core, data, seconds, barrier, counts):
    """In a process of its own: asks for so long, all beginning together."""
    from wire import Connection
    os.sched_setaffinity(0, {core})
    with Connection(target, timeout=60) as connection:
        for _ in range(5):
            connection.exchange(data)
        barrier.wait()
        begin, count = time.monotonic(), 0
        while time.monotonic() - begin < seconds:
            connection.exchange(data)
            count += 1
        counts.put(count / (time.monotonic() - begin))


def together(servers, cores, data, seconds):
    """-> requests per second of all servers, and processor seconds for each of them."""
    context = multiprocessing.get_context("spawn")
    barrier, counts = context.Barrier(len(servers) + 1), context.Queue()
    clients = [context.Process(target=ask, args=(server.target, core, data, seconds, barrier, counts), daemon=True)
               for server, core in zip(servers, cores)]
    for client in clients:
        client.start()
    barrier.wait(timeout=60)
    before = sum(server.cpu_seconds() for server in servers)
    rates = [counts.get(timeout=60 + seconds) for _ in clients]
    spent = sum(server.cpu_seconds() for server in servers) - before
    for client in clients:
        client.join()
    return sum(rates), spent / (sum(rates) * seconds)


def replicas(data, given):
    """-> for one and for two replicas, pinned to a processor each: the best rate, and the least processor time of a request."""
    from server import Server
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise SystemExit("capacity: two replicas need two processors")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(*FLAGS, preexec_fn=lambda core=core: os.sched_setaffinity(0, {core}))) for core in cores]
        rounds = [[together(servers[:count], cores, data, given.seconds) for count in (1, 2)] for _ in range(given.rounds)]
    return [(max(found[index][0] for found in rounds), min(found[index][1] for found in rounds)) for index in (0, 1)]


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} processors"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def tables(given):
    from server import BINARY, Server
    load = f"{os.getloadavg()[0]:.1f}"
    rows = ["| request | body | response | processor time | requests per core and second | bodies per core | cost of a million |",
            "| --- | --- | --- | --- | --- | --- | --- |"]
    for kind in kinds():
        with Server(*FLAGS) as server:
            runs = [cost(server, post(kind), given.seconds) for _ in range(given.rounds)]
        seconds, answer = min(runs)
        rows.append(f"| {kind[0]} | {number(len(kind[3]))} B | {number(answer)} B | {1000 * seconds:.3g} ms | {number(1 / seconds)} "
                    f"| {number(len(kind[3]) / seconds / 1e6)} MB/s | {number(1e6 * seconds / 3600 * given.price)} |")
        print(rows[-1], flush=True)
    with Server(*FLAGS) as server:
        memory = held_memory(server, 4, 24)
    pairs = ["| request | one replica | two replicas | efficiency | processor time with one | with two |", "| --- | --- | --- | --- | --- | --- |"]
    for kind in kinds():
        if kind[0] in PAIRED:
            (one, one_cost), (two, two_cost) = replicas(post(kind), given)
            pairs.append(f"| {kind[0]} | {number(one)}/s | {number(two)}/s | {two / one / 2:.0%} | {1000 * one_cost:.3g} ms "
                         f"| {1000 * two_cost:.3g} ms |")
            print(pairs[-1], flush=True)
    level = subprocess.run([BINARY, "--version", "--verbose"], capture_output=True, text=True).stdout
    level = re.search(r"cpu level: (\w+)", level).group(1)
    return (f"Measured on {datetime.date.today():%d %B %Y} with {machine()}, level {level}, by `tools/capacity.py --rounds {given.rounds} "
            f"--seconds {given.seconds:g} --price {given.price:g}`; load average {load} at the beginning. The cost counts {given.price:g} for "
            "an hour of a processor at full use; divide it by the utilization that you plan with.\n\n" + "\n".join(rows) + "\n\n"
            f"Memory: {memory:.2f} bytes resident for each byte of a body that is held.\n\n"
            "One and two replicas, each pinned to a processor together with its client:\n\n" + "\n".join(pairs) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", type=pathlib.Path, default=ROOT / ".build" / "release" / "crop")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round: of the server's processor time, or of the clock for replicas")
    parser.add_argument("--price", type=float, default=0.04, help="of a processor hour")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/capacity.md")
    given = parser.parse_args()
    os.environ["CROP_BINARY"] = str(given.crop.resolve())
    text = tables(given)
    print(text)
    if given.write:
        begin, end = "<!-- costs: begin -->\n", "<!-- costs: end -->\n"
        path = ROOT / "docs" / "capacity.md"
        page = path.read_text()
        if not page.count(begin) == page.count(end) == 1:
            raise SystemExit(f"capacity: {path} has no marks")
        path.write_text(page.split(begin)[0] + begin + text + "\n" + end + page.split(end)[1])


if __name__ == "__main__":
    main()
