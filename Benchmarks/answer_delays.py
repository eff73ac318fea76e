#!/usr/bin/env python3
"""Prints how long servers take from the last bytes of a request to its answer: Benchmarks/answer_delays.py [CROP...]

CROP is a release build, .build/release/crop unless told; several are compared, in turn. What is measured lies between two system
calls of one thread (Benchmarks/malloc/delay.c), so that a busy machine and a slow client hardly change the median.
"""
import argparse
import io
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
WARM_UP, TIMES = 50, 400


def cases():
    """-> {name: (method, array)}"""
    generator = np.random.default_rng(1)
    rows = generator.random((1024, 576)).astype(np.float16)
    return {
        "uniform, 1.2 MB": ("uniform", rows),
        "top-k over the mean of 1024 rows, 1.2 MB": ("topk", rows),
        "top-k of 576, 1 KB": ("topk", rows[0]),
    }


def request(method, array):
    file = io.BytesIO()
    np.save(file, array)
    body = file.getvalue()
    return f"POST /prune?keep_tokens=64&method={method}&tensor=attention HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def exchange(connection, message):
    connection.sendall(message)
    answer = b""
    while not (found := re.search(rb"Content-Length: (\d+)\r\n(?:[^\r]+\r\n)*\r\n", answer)) or len(answer) < found.end() + int(found[1]):
        received = connection.recv(1 << 16)
        if not received:
            raise SystemExit("answer_delays: the server ended the connection")
        answer += received
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"answer_delays: {answer[:200]!r}")


def median_delay(library, crop, message, folder):
    """Microseconds."""
    file = folder / "delays"
    server = subprocess.Popen(
        [crop, "serve", "--http-port", "0", "--access-log", "off"], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, env={**os.environ, "LD_PRELOAD": str(library), "DELAYS": str(file)})
    try:
        port = next(int(found[1]) for line in server.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            for _ in range(WARM_UP + TIMES):
                exchange(connection, message)
        count, *delays = struct.unpack(f"<{1 + WARM_UP + TIMES}Q", file.read_bytes()[:8 * (1 + WARM_UP + TIMES)])
        # An answer that another thread sends is not counted.
        return statistics.median(delays[WARM_UP:count]) / 1000, count
    finally:
        server.kill()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("crop", nargs="*", type=pathlib.Path, default=[ROOT / ".build/release/crop"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        library = folder / "delay.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, ROOT / "Benchmarks/malloc/delay.c", "-ldl"], check=True)
        for title, case in cases().items():
            for crop in options.crop:
                delay, count = median_delay(library, crop.resolve(), request(*case), folder)
                print(f"{title:42} {crop}: {delay:7.1f} us, {count} of {WARM_UP + TIMES} answers")


if __name__ == "__main__":
    main()
