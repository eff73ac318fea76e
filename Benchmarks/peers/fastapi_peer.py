"""The peer most people would write: FastAPI, uvicorn and numpy, tuned as far as it goes.

    python3 fastapi_peer.py [--port 0] [--workers 1]        # pip install -r requirements.txt

POST /prune?keep_tokens=K&method=topk|divprune|cdpruner with one .npy array or a safetensors file as the body; the answer
is {"kept_indices": [...]}, ascending; work.py computes it. Tuned: uvloop and httptools, no access log, no validation
layer or dependency injection on the route, the body collected into one buffer of its announced size. Prints
"listening 127.0.0.1:PORT" on standard error.
"""
import argparse
import contextlib
import os
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

import work

app = FastAPI(openapi_url=None)


async def body_of(request):
    announced = int(request.headers.get("content-length", 0))
    body, filled = bytearray(announced), 0
    async for chunk in request.stream():
        body[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    return body


@app.post("/prune")
async def prune(request: Request):
    return Response(work.answer(await body_of(request), request.url.query), media_type="application/json")


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
