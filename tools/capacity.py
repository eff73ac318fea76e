#!/usr/bin/env python3
"""Measures what requests cost a server, for docs/capacity.md:

    tools/capacity.py --crop .build/release/crop --markdown docs/capacity.md

* Requests per core: processor time of the server (user and system, all its threads) for each request of several kinds, over one
  keep-alive connection. That is independent of how busy the machine is, but for caches; --rounds repeats it, and the least counts.
* Memory: resident bytes that the server grows by, for each byte of bodies that it holds unfinished.
* Two replicas: the same cost with one server and with two at once, each with a client of its own; their ratio says what replicas
  on one machine cost each other.

Needs numpy. The figures are for the processor, its level and the build that the table names.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import re
import socket
import subprocess
import sys
import threading
import urllib.parse

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))
FLAGS = ("--event-loops", "1", "--compute-threads", "1", "--access-log", "off", "--compute-timeout", "60s")


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


def together(servers, data, seconds):
    """-> the mean cost of a request, all servers being asked at the same time."""
    found = [None] * len(servers)

    def ask(index):
        found[index] = cost(servers[index], data, seconds)[0]
    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(servers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found) / len(found)


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} processors"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def tables(given):
    from server import BINARY, Server
    rows = ["| request | body | response | processor time | requests per core and second | core hours per million |",
            "| --- | --- | --- | --- | --- | --- |"]
    for kind in kinds():
        with Server(*FLAGS) as server:
            runs = [cost(server, post(kind), given.seconds) for _ in range(given.rounds)]
        seconds, answer = min(runs)
        rows.append(f"| {kind[0]} | {number(len(kind[3]))} B | {number(answer)} B | {1000 * seconds:.3g} ms | {number(1 / seconds)} "
                    f"| {1e6 * seconds / 3600:.3g} |")
        print(rows[-1], flush=True)
    with Server(*FLAGS) as server:
        memory = held_memory(server, 4, 24)
    pair = [post(kind) for kind in kinds() if "576 x 1024, float16" in kind[0]][0]
    alone, both = [], []
    with Server(*FLAGS) as first, Server(*FLAGS) as second:
        for _ in range(given.rounds):
            alone.append(together([first], pair, given.seconds))
            both.append(together([first, second], pair, given.seconds))
    level = subprocess.run([BINARY, "--version", "--verbose"], capture_output=True, text=True).stdout
    level = re.search(r"cpu level: (\w+)", level).group(1)
    return (f"Measured on {datetime.date.today():%d %B %Y} with {machine()}, level {level}, by `tools/capacity.py --rounds {given.rounds} "
            f"--seconds {given.seconds:g}`:\n\n" + "\n".join(rows) + "\n\n"
            f"* Memory: {memory:.2f} bytes resident for each byte of a body that is held.\n"
            f"* Two replicas: a request (divprune, 576 x 1024, float16) costs {1000 * min(alone):.3g} ms with one replica at work and "
            f"{1000 * min(both):.3g} ms with two at a time: an efficiency of {min(alone) / min(both):.0%}.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of the server's processor time, for each round")
    parser.add_argument("--markdown", type=pathlib.Path)
    given = parser.parse_args()
    os.environ["CROP_BINARY"] = str(given.crop.resolve())
    text = tables(given)
    print(text)
    if given.markdown:
        begin, end = "<!-- costs: begin -->\n", "<!-- costs: end -->\n"
        page = given.markdown.read_text()
        assert page.count(begin) == page.count(end) == 1, f"{given.markdown} has no marks"
        given.markdown.write_text(page.split(begin)[0] + begin + text + end + page.split(end)[1])


if __name__ == "__main__":
    main()
