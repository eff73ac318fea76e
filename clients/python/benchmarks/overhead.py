#!/usr/bin/env python3
"""What a call of the client costs beside a bare socket and other HTTP clients.

    .build-venv/bin/python clients/python/benchmarks/overhead.py --crop .build/release/crop [--rounds 40] [--write]

Two requests: one row of attention, [576] float16 (1 KB, `topk`), and features, [576, 1024] float16 (1.2 MB, `uniform`),
over TCP, a Unix socket and shared memory, there from an array anywhere and from one of `shared_empty`. The floor is a
blocking socket that sends the finished bytes with one `sendall`, takes the response with one `recv` and its indices with
`json.loads`: it checks nothing and serves this one request. For clients of asyncio it is the same with its streams, which
alone take about one and a half times as long. The client starts from the array, as does every other: they get the
safetensors that the package of that name makes of it (`save` is part of their time). Every client runs in turns of a few
calls, so that a busy moment falls on all; figures are the medians and the 10th percentiles of all calls, and the ratio of
the latter to the floor's on the same transport, for shared memory to that on the Unix socket. `--write` puts the table
into Benchmarks/results/client.md, which BENCHMARKS.md includes.
"""
import argparse
import asyncio
import json
import os
import pathlib
import platform
import socket
import sys
import tempfile
import time

import aiohttp
import httpx
import numpy as np
import requests
import safetensors.numpy

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / folder) for folder in ("clients/python/src", "Tests/BlackBox", "Benchmarks")]
import server as black_box  # noqa: E402

from bench.report import machine  # noqa: E402

from crop_client import AsyncClient, Client, _arguments, layouts, shared_empty  # noqa: E402

CALLS = 25
FLOORS = {"TCP": ("TCP", "bare socket"), "Unix": ("Unix", "bare socket"), "shared memory": ("Unix", "bare socket"),
          "asyncio": ("asyncio", "bare streams")}


def requests_of():
    generator = np.random.default_rng(1)
    grid = layouts.grid(24, 24)
    row = generator.random(576).astype(np.float16)
    features = generator.standard_normal((576, 1024)).astype(np.float16)
    return {"1 KB": {"attention": row, "layout": grid, "keep_tokens": 64, "method": "topk"},
            "1.2 MB": {"image_features": features, "layout": grid, "keep_tokens": 64, "method": "uniform"}}


def saved(arguments):
    """-> the body as the other clients' callers make it."""
    tensors = {name: value for name, value in arguments.items() if isinstance(value, np.ndarray)}
    parameters = {name: value for name, value in arguments.items() if name not in tensors}
    return safetensors.numpy.save(tensors, {"parameters": json.dumps(parameters)})


HEADERS = {"Content-Type": "application/x-safetensors"}


def finished(target, arguments):
    """-> the server's address, and the bytes of the request."""
    client = Client(target)
    return client._settings.address, b"".join(map(bytes, client._requests.write(_arguments.PRUNE, arguments).pieces))


def indices_of(answer):
    return json.loads(answer[answer.index(b"\r\n\r\n"):])["kept_indices"]


class Floor:
    """A bare socket with everything prepared."""

    def __init__(self, target):
        self.target = target
        self.open = {}

    def __call__(self, arguments):
        made = self.open.get(id(arguments))
        if made is None:
            where, data = finished(self.target, arguments)
            if where.scheme == "unix":
                opened = socket.socket(socket.AF_UNIX)
                opened.connect(where.path)
            else:
                opened = socket.create_connection((where.host, where.port))
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made = self.open[id(arguments)] = (opened, data)
        opened, data = made
        opened.sendall(data)
        return indices_of(opened.recv(65536))


def synchronous(tcp, unix):
    session, pool, plain = requests.Session(), httpx.Client(), Client(tcp)
    local, shared = Client(unix), Client(unix.replace("unix:", "shm:"))
    moved = {}

    def in_place(given):
        """The same arguments with the large arrays in shared memory, made once."""
        made = moved.get(id(given))
        if made is None:
            made = moved[id(given)] = {name: placed(value) for name, value in given.items()}
        return made

    url = f"{tcp}/prune"
    return {
        ("TCP", "bare socket"): Floor(tcp),
        ("TCP", "crop_client.Client"): lambda given: plain.prune(**given).kept_indices,
        ("TCP", "requests.Session"): lambda given: session.post(url, saved(given), headers=HEADERS).json()["kept_indices"],
        ("TCP", "httpx.Client"): lambda given: pool.post(url, content=saved(given), headers=HEADERS).json()["kept_indices"],
        ("Unix", "bare socket"): Floor(unix),
        ("Unix", "crop_client.Client"): lambda given: local.prune(**given).kept_indices,
        ("shared memory", "crop_client.Client"): lambda given: shared.prune(**given).kept_indices,
        ("shared memory", "crop_client.Client, shared_empty"): lambda given: shared.prune(**in_place(given)).kept_indices,
    }


def placed(value):
    if not isinstance(value, np.ndarray):
        return value
    array = shared_empty(value.shape, value.dtype)
    array[:] = value
    return array


async def asynchronous(tcp, given, seconds):
    url = f"{tcp}/prune"
    async with AsyncClient(tcp) as client, aiohttp.ClientSession() as session, httpx.AsyncClient() as pool:
        async def of_aiohttp():
            async with session.post(url, data=saved(given), headers=HEADERS) as response:
                return (await response.json())["kept_indices"]

        async def of_httpx():
            return (await pool.post(url, content=saved(given), headers=HEADERS)).json()["kept_indices"]

        where, data = finished(tcp, given)
        reader, writer = await asyncio.open_connection(where.host, where.port)

        async def of_streams():
            writer.write(data)
            await writer.drain()
            return indices_of(await reader.read(65536))

        async def of_client():
            return (await client.prune(**given)).kept_indices

        clients = {
            ("asyncio", "bare streams"): of_streams, ("asyncio", "crop_client.AsyncClient"): of_client,
            ("asyncio", "aiohttp"): of_aiohttp, ("asyncio", "httpx.AsyncClient"): of_httpx}
        for name, call in clients.items():
            await call()
            taken = seconds.setdefault(name, [])
            for _ in range(CALLS):
                start = time.perf_counter()
                await call()
                taken.append(time.perf_counter() - start)
        writer.close()


def measure(tcp, unix, given, rounds):
    clients, seconds = synchronous(tcp, unix), {}
    answers = {name: list(map(int, call(given))) for name, call in clients.items()}
    assert len(set(map(tuple, answers.values()))) == 1, answers
    for _ in range(rounds + 1):
        for name, call in clients.items():
            taken = seconds.setdefault(name, [])
            for _ in range(CALLS):
                start = time.perf_counter()
                call(given)
                taken.append(time.perf_counter() - start)
        asyncio.run(asynchronous(tcp, given, seconds))
    return {name: np.array(taken[CALLS:]) * 1e6 for name, taken in seconds.items()}


def table(found):
    sizes = list(found)
    lines = ["| transport | client | " + " | ".join(f"{size}: median (p10), us | x floor" for size in sizes) + " |",
             "|---" * (2 + 2 * len(sizes)) + "|"]
    for transport, name in found[sizes[0]]:
        cells = []
        for size in sizes:
            floor = np.quantile(found[size][FLOORS[transport]], 0.1)
            taken = np.quantile(found[size][transport, name], (0.5, 0.1))
            cells += [f"{taken[0]:.0f} ({taken[1]:.0f})", f"{taken[1] / floor:.2f}"]
        lines.append(f"| {transport} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", required=True)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    black_box.BINARY = str(pathlib.Path(options.crop).resolve())
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="crop") as folder:
        path = f"{folder}/crop.sock"
        with black_box.Server("--listen", f"http://127.0.0.1:0,unix:{path}") as server:
            tcp = server.wait_for_line(r" listening .*\burl=(http://\S+)").group(1)
            found = {size: measure(tcp, f"unix:{path}", given, options.rounds) for size, given in requests_of().items()}
    text = (
        f"`make bench-client`, {time.strftime('%Y-%m-%d')}, {machine()}, Python {platform.python_version()}, "
        f"{options.rounds} rounds of {CALLS} calls each; load average before: {load:.1f}.\n\n{table(found)}\n")
    print(text)
    if options.write:
        (ROOT / "Benchmarks" / "results" / "client.md").write_text(text)


if __name__ == "__main__":
    main()
