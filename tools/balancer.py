#!/usr/bin/env python3
"""Two overloaded replicas behind HAProxy: what clients lose when readiness fails under overload, and when it does not.

    tools/balancer.py --crop .build/release/crop [--seconds 15] [--clients 24] [--tokens 1200]

Needs haproxy. Prints one row per setting of ready-when-overloaded: answers by status, those that the balancer made because
no replica was left, and answered requests a second.
"""
import argparse
import collections
import http.client
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

CONFIGURATION = """
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 200ms fall 2 rise 2
"""


def free_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]


def body(tokens, width=64):
    """An npy file of random features: some tens of milliseconds of divprune."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({tokens}, {width})}}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    numbers = random.Random(1)
    data = struct.pack(f"<{tokens * width}f", *(numbers.gauss(0, 1) for _ in range(tokens * width)))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def wait_until_open(port, seconds=30):
    end = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < end, f"nothing listens on {port}"
            time.sleep(0.02)


def client(port, payload, kept, end, counts, lock):
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while time.monotonic() < end:
                connection.request("POST", f"/prune?method=divprune&keep_tokens={kept}", payload,
                                   {"Content-Type": "application/x-npy"})
                answer = connection.getresponse()
                text = answer.read()
                # HAProxy's own answer is a small HTML page; the replicas answer JSON.
                name = "no server" if answer.status == 503 and b"No server" in text else answer.status
                with lock:
                    counts[name] += 1
                if answer.status != 200:
                    time.sleep(0.02)
        except (OSError, http.client.HTTPException) as error:
            with lock:
                counts[type(error).__name__] += 1
        finally:
            connection.close()


def measure(crop, ready, clients, seconds, tokens, folder):
    ports = [free_port(), free_port(), free_port()]
    configuration = pathlib.Path(folder) / "haproxy.cfg"
    servers = "".join(f"  server r{index} 127.0.0.1:{port}\n" for index, port in enumerate(ports[1:]))
    configuration.write_text(CONFIGURATION.format(port=ports[0]) + servers)
    processes = [subprocess.Popen(
        [crop, "serve", "--http-port", str(port), "--compute-threads", "1", "--event-loops", "1", "--max-in-flight", "4",
         "--ready-when-overloaded", ready, "--drain-delay", "0", "--log-level", "error"]) for port in ports[1:]]
    for port in ports[1:]:
        wait_until_open(port)
    processes.append(subprocess.Popen(["haproxy", "-db", "-f", configuration], stderr=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL))
    try:
        wait_until_open(ports[0])
        counts, lock, payload = collections.Counter(), threading.Lock(), body(tokens)
        end = time.monotonic() + seconds
        arguments = (ports[0], payload, tokens // 2, end, counts, lock)
        threads = [threading.Thread(target=client, args=arguments) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return counts
    finally:
        # Twice: what is still computed need not be finished.
        for process in processes + processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--crop", required=True)
    arguments.add_argument("--seconds", type=float, default=15)
    arguments.add_argument("--clients", type=int, default=24)
    arguments.add_argument("--tokens", type=int, default=1200)
    given = arguments.parse_args()
    if not shutil.which("haproxy"):
        raise SystemExit("balancer.py needs haproxy")
    with tempfile.TemporaryDirectory() as folder:
        for ready in "off", "on", "off", "on":
            counts = measure(given.crop, ready, given.clients, given.seconds, given.tokens, folder)
            listed = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items(), key=str))
            print(f"ready-when-overloaded {ready:3}  {counts[200] / given.seconds:6.1f} answers/s  {listed}", flush=True)


if __name__ == "__main__":
    main()
