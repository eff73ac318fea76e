"""The peer most people would write: FastAPI, uvicorn and numpy, tuned as far as it goes.

    python3 fastapi_peer.py [--port 0] [--workers 1]        # pip install fastapi uvicorn[standard] numpy

POST /prune?keep_tokens=K&method=topk|divprune with one .npy array as the body: `topk` takes [N] or [heads, N] and keeps the
highest head means, `divprune` takes [N, D]. The answer is {"kept_indices": [...]}, ascending.

Tuned: uvloop and httptools, no access log, no validation layer or dependency injection on the route, the body collected
into one buffer of its announced size, .npy headers parsed once per distinct header, arrays as views of the body, top-k
by argpartition, DivPrune by one BLAS product and a running minimum, answers serialised by hand. Prints
"listening 127.0.0.1:PORT" on standard error.
"""
import argparse
import ast
import contextlib
import os
import signal
import socket
import struct
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI(openapi_url=None)
headers = {}


def array_of(body):
    """A .npy file -> view of its array."""
    length = struct.unpack_from("<H", body, 8)[0]
    offset = 10 + length
    header = bytes(body[:offset])
    if header not in headers:
        if header[:8] != b"\x93NUMPY\x01\x00":
            raise ValueError("the body is not a .npy file of version 1.0")
        fields = ast.literal_eval(header[10:].decode("latin1"))
        headers[header] = np.dtype(fields["descr"]), fields["shape"]
    dtype, shape = headers[header]
    return np.frombuffer(body, dtype, offset=offset).reshape(shape)


def top_k(attention, count):
    scores = attention if attention.ndim == 1 else attention.mean(axis=0, dtype=np.float32)
    kept = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
    kept.sort()
    return kept


def divprune(features, count):
    """Greedy max-min cosine distance, on similarities: the farthest is the one least similar to its nearest."""
    rows = features.astype(np.float32)
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, -np.inf)
    best = int(similarity.max(axis=1).argmin())
    kept = [best]
    nearest = similarity[best].copy()
    nearest[best] = np.inf
    for _ in range(count - 1):
        best = int(nearest.argmin())
        kept.append(best)
        np.maximum(nearest, similarity[best], out=nearest)
        nearest[best] = np.inf
    kept.sort()
    return np.array(kept)


METHODS = {"topk": top_k, "divprune": divprune}


async def body_of(request):
    announced = int(request.headers.get("content-length", 0))
    body, filled = bytearray(announced), 0
    async for chunk in request.stream():
        body[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return body


@app.post("/prune")
async def prune(request: Request):
    query = request.query_params
    count, method = int(query["keep_tokens"]), METHODS[query.get("method", "topk")]
    kept = method(array_of(await body_of(request)), count)
    answer = f'{{"kept_indices":[{",".join(map(str, kept.tolist()))}]}}'
    return Response(answer, media_type="application/json")


def listen(port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it; without it Nagle and delayed ACKs cost 40 ms an answer.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    listener = listen(options.port)
    print(f"listening 127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    # Workers accept from one listener. Forked here: uvicorn's own supervisor would only add a process.
    children = []
    for _ in range(options.workers - 1):
        child = os.fork()
        if child == 0:
            children = []
            break
        children.append(child)
    # uvicorn raises the signal again when it has shut down: turn it into an exception, so that `finally` runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="warning", lifespan="off")
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)


if __name__ == "__main__":
    main()
