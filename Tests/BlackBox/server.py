"""Runs the built program as a user would: `crop serve` in a process of its own."""
import atexit
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

from wire import Connection, Encrypted, request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CROP_BINARY") or str(ROOT / ".build" / "debug" / "crop")
LISTENING = re.compile(r' listening .*\burl=(\S+)|"message":"listening".*"url":"([^"]+)"')
# What a service manager does (sd_listen_fds(3)): sockets from descriptor 3 on, announced to this very process.
ACTIVATE = """
import fcntl, os, sys
count = int(sys.argv[1])
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[3:3 + count]]
for place, descriptor in enumerate(high):
    os.dup2(descriptor, 3 + place)
    os.close(descriptor)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3 + count], sys.argv[3 + count:])
"""


def environment(**extra):
    """The caller's environment without settings of a server that happens to be configured there.

    The processor level stays, so that all of this can be run at each: CROP_CPU_LEVEL=baseline make blackbox.
    """
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith("CROP_") or name == "CROP_CPU_LEVEL"}
    return {**clean, **extra}


def crop(*arguments, env=None, timeout=60, **options):
    """Runs the program to its end."""
    return subprocess.run(
        [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
        env=environment(**(env or {})), stdin=subprocess.DEVNULL, **options)


def command(*flags, inherited=()):
    """-> what starts a server with these flags, and with these listening sockets as a service manager passes them."""
    arguments = [BINARY, "serve", *map(str, flags)]
    if not inherited:
        return arguments
    numbers = [str(held.fileno()) for held in inherited]
    names = ":".join(["crop"] * len(numbers))
    return [sys.executable, "-c", ACTIVATE, str(len(numbers)), names, *numbers, *arguments]


def target(url):
    """-> what a `Connection` needs to reach a listener that the log names so."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    if parts.scheme == "https":
        return Encrypted(parts.port)
    return parts.port if parts.hostname == "127.0.0.1" else (parts.hostname, parts.port)


def held_port():
    """-> a bound socket that does not listen: its port is given to no other process, and a server can still listen there.

    Without it, clients that connect again after a stop may reach a server of another test.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


class Server:
    """A running server; `with Server("--max-in-flight", "1") as server:` stops it at the end.

    `target` is where a `Connection` reaches it: its first listener.
    """

    def __init__(self, *flags, env=None, inherited=(), **options):
        if "--http-port" not in flags and "--listen" not in flags:
            flags += ("--http-port", "0")
        if "--drain-delay" not in flags:
            flags += ("--drain-delay", "0")
        flags = list(map(str, flags))
        if ("--http-port", "0") in zip(flags, flags[1:]):
            self._held = held_port()
            flags[flags.index("--http-port") + 1] = self._held.getsockname()[1]
        self.lines = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command(*flags, inherited=inherited), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=environment(**(env or {})),
            pass_fds=[held.fileno() for held in inherited], **options)
        # A test that fails before it stops its server must not leave it running beside the next ones.
        atexit.register(self.process.kill)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            found = self.wait_for_line(LISTENING, seconds=30)
        except BaseException:
            self.process.kill()
            raise
        self.url = found.group(1) or found.group(2)
        self.target = target(self.url)
        self.port = urllib.parse.urlsplit(self.url).port

    def _read(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append(None)
            self._changed.notify_all()

    def wait_for_line(self, pattern, seconds=10):
        """-> the match of the first log line that matches, now or later."""
        pattern = re.compile(pattern)
        end, position = time.monotonic() + seconds, 0
        with self._changed:
            while True:
                for line in self.lines[position:]:
                    match = line is not None and pattern.search(line)
                    if match:
                        return match
                position = len(self.lines)
                if None in self.lines:
                    raise AssertionError(f"the server ended without a line like {pattern.pattern}: {self.lines[-6:]}")
                if not self._changed.wait(timeout=max(0, end - time.monotonic())):
                    raise AssertionError(f"no line like {pattern.pattern} in {seconds} s: {self.lines[-6:]}")

    def wait_for_metric(self, pattern, seconds=10):
        """Returns once a line of /metrics matches, and fails when none does in time."""
        pattern, end = re.compile(pattern.encode() + rb"$", re.MULTILINE), time.monotonic() + seconds
        while not pattern.search(self.metrics()):
            assert time.monotonic() < end, f"no metric like {pattern.pattern} in {seconds} s"
            time.sleep(0.01)

    def metrics(self):
        with Connection(self.target, timeout=10) as connection:
            return connection.exchange(request(target="/metrics")).body

    def listeners(self, count):
        """-> the targets of the first `count` listeners, in the order of the log."""
        found = []
        while len(found) < count:
            urls = [match.group(1) or match.group(2) for match in map(LISTENING.search, filter(None, self.lines)) if match]
            found = [target(url) for url in urls]
            if len(found) < count:
                with self._changed:
                    assert self._changed.wait(timeout=10), f"{count} listeners expected: {self.lines[-6:]}"
        return found

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=20):
        """-> the exit status after SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not stop in {seconds} s") from None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            assert self.stop() == 0, self.lines[-6:]
        else:
            self.process.kill()
            self.process.wait()

    # What the system says of it.

    def descriptor_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def settled_descriptor_count(self, wanted, seconds=10):
        """-> the number of open descriptors, once it is at most `wanted` or the time is over."""
        end = time.monotonic() + seconds
        # One count decides: between two of them the server may receive descriptors that it closes at once.
        while (count := self.descriptor_count()) > wanted and time.monotonic() < end:
            time.sleep(0.05)
        return count

    def resident_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
