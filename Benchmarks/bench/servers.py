"""Servers under comparison: how each is started, found, watched and stopped."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from . import builds
from .places import PEERS, Unavailable

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_LIMIT = 30
# About as long as a wake-up takes.
POLLING_US = 50


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One running server; `port` where it listens, `unix` its socket file if it has one."""

    def __init__(self, name, command, port=None, unix=None, **environment):
        self.name, self.unix, self.lines = name, unix, []
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CROP_")}
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, cwd=PEERS, env={**clean, **environment}, start_new_session=True)
        self._found = threading.Event()
        self.port = port
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._wait()
        except Unavailable:
            self.stop()
            raise

    def _read(self):
        for line in self.process.stderr:
            if len(self.lines) < 40:
                self.lines.append(line.rstrip())
            match = re.search(r"127\.0\.0\.1:(\d+)", line)
            if match and self.port is None and "listening" in line.lower():
                self.port = int(match.group(1))
                self._found.set()
        self._found.set()

    def _wait(self):
        if self.port is None:
            self._found.wait(START_LIMIT)
        if self.port is None:
            raise Unavailable(f"{self.name} did not say where it listens: {' '.join(self.lines[-3:])[:300]}")
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Unavailable(f"{self.name} ended ({self.process.returncode}): {' '.join(self.lines[-3:])[:300]}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.05)
        raise Unavailable(f"{self.name} does not accept on port {self.port}")

    def is_running(self):
        return self.process.poll() is None

    def processes(self):
        """This process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            process = waiting.pop()
            found.append(process)
            with contextlib.suppress(OSError):
                for task in pathlib.Path(f"/proc/{process}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
        return found

    def _fields(self):
        for process in self.processes():
            with contextlib.suppress(OSError):
                yield pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()

    @contextlib.contextmanager
    def sharing_a_processor(self):
        """Has this server, and whomever this thread starts meanwhile, run on one and the same processor."""
        def tasks():
            for process in self.processes():
                with contextlib.suppress(OSError):
                    yield from (int(task.name) for task in pathlib.Path(f"/proc/{process}/task").iterdir())

        before = os.sched_getaffinity(0)
        for task in [0, *tasks()]:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(task, {min(before)})
        try:
            yield
        finally:
            for task in [0, *tasks()]:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(task, before)

    def usage(self):
        """-> seconds of CPU and minor faults, of all its processes so far."""
        rows = list(self._fields())
        return sum(int(row[11]) + int(row[12]) for row in rows) / TICKS, sum(int(row[7]) for row in rows)

    def resident(self):
        """Bytes in memory, of all its processes."""
        return sum(int(row[21]) for row in self._fields()) * PAGE

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        # Its workers as well, and itself if it did not go.
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)


def post(server, path, body, content_type="application/octet-stream", limit=60):
    """One request by http.client -> status, body."""
    last = None
    for _ in range(50):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=limit)
        try:
            connection.request("POST", path, body, {"Content-Type": content_type})
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            last = error
            time.sleep(0.1)
        finally:
            connection.close()
    raise Unavailable(f"{server.name} does not answer: {last}")


def kept_indices(server, case):
    """What this server keeps; None when its answer names no tokens."""
    status, body = post(server, case.path, case.body())
    if status != 200:
        raise Unavailable(f"{server.name} answered {status} to {case.name}: {body[:200]!r}")
    try:
        return json.loads(body).get("kept_indices")
    except (ValueError, AttributeError):
        return None


# How each is started. What they share: no access log, every core.

def ours(crop, folder, *flags):
    unix = folder / "crop.sock"
    command = [crop, "serve", "--http-port", "0", "--unix-socket", unix, "--access-log", "off", "--drain-delay", "0", *flags]
    return Server("crop", command, unix=unix)


def polling_ours(crop, folder):
    """Ours with busy polling over TCP, which is not its default: what the setting costs and gains."""
    command = [
        crop, "serve", "--http-port", "0", "--access-log", "off", "--drain-delay", "0", "--receive-spin", POLLING_US]
    return Server("crop, busy polling", command)


def receive_spin(crop):
    """How many microseconds ours polls for the rest of a body, by its own account; 0 where it has no such setting."""
    with contextlib.suppress(Unavailable, ValueError, KeyError, TypeError):
        settings = json.loads(builds.run([crop, "serve", "--print-config", "--format", "json"], 30))
        value = settings.get("receive-spin", 0)
        return int(value["value"] if isinstance(value, dict) else value)
    return 0


def echo(crop, folder):
    """The same receive policy as ours."""
    return any_echo("C echo", "--spin-us", receive_spin(crop))


def polling_echo(crop, folder):
    """One that goes on asking an empty socket inside a body instead of going to sleep, as ours does when told to."""
    return any_echo("C echo, busy polling", "--spin-us", POLLING_US)


def computing_echo(crop, folder):
    """The same, two microseconds late with its answer, which parsing, choosing and writing JSON take together at best.

    That alone costs it a third: its client has fallen asleep, and waking it takes longer.
    """
    return any_echo("C echo, busy polling, 2 us", "--spin-us", POLLING_US, "--delay-us", 2)


def any_echo(name, *flags):
    return Server(name, [builds.echo_server(), "--threads", os.cpu_count() or 1, *flags])


def nginx(crop, folder):
    program, module = builds.nginx()
    own = folder / "nginx"
    own.mkdir(exist_ok=True)
    port = free_port()
    text = (PEERS / "nginx.conf").read_text()
    for word, value in (("MODULE", module), ("FOLDER", own), ("PORT", port)):
        text = text.replace(word, str(value))
    (own / "nginx.conf").write_text(text)
    server = Server("nginx", [program, "-p", own, "-c", own / "nginx.conf", "-e", own / "error.log"], port=port)
    sent = os.urandom(1 << 20)
    status, received = post(server, "/verify", sent)
    if status != 200 or received != sent:
        server.stop()
        raise Unavailable(f"nginx did not read the whole body: {status}, {len(received)} of {len(sent)} bytes")
    return server


def hummingbird(crop, folder):
    return Server("Hummingbird 2", [builds.swift_peer("hummingbird-peer")])


def flyingfox(crop, folder):
    return Server("FlyingFox", [builds.swift_peer("flyingfox-peer")])


# One BLAS thread: more of them only wait for the cores that the load generator and other workers hold.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def fastapi(workers):
    def start(crop, folder):
        command = [sys.executable, PEERS / "fastapi_peer.py", "--workers", workers]
        return Server(f"FastAPI, {workers} worker{'s' if workers > 1 else ''}", command, **ONE_THREAD)

    return start


def granian(crop, folder):
    port = free_port()
    command = [
        sys.executable, "-m", "granian", "--interface", "rsgi", "--host", "127.0.0.1", "--port", port, "--workers",
        os.cpu_count() or 1, "--no-access-log", "--log-level", "error", "granian_peer:app"]
    return Server("granian", command, port=port, **ONE_THREAD)


def hyper(crop, folder):
    return Server("hyper", [builds.hyper_peer()])


STARTERS = {
    "crop": ours, "crop, busy polling": polling_ours, "C echo": echo, "C echo, busy polling": polling_echo, "C echo, busy polling, 2 us": computing_echo,
    "nginx": nginx,
    "Hummingbird 2": hummingbird, "FlyingFox": flyingfox,
    "FastAPI, 1 worker": fastapi(1), "FastAPI, 2 workers": fastapi(2), "granian": granian, "hyper": hyper,
}
