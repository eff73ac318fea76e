"""Runs the built program as a user would: `crop serve` in a process of its own."""
import atexit
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CROP_BINARY") or str(ROOT / ".build" / "debug" / "crop")
LISTENING = re.compile(r'listening.*?(?:url=|"url":")https?://[^:\s"]+:(\d+)')


def environment(**extra):
    """The caller's environment without settings of a server that happens to be configured there."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CROP_")}
    return {**clean, **extra}


def crop(*arguments, env=None, timeout=60, **options):
    """Runs the program to its end."""
    return subprocess.run(
        [BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
        env=environment(**(env or {})), stdin=subprocess.DEVNULL, **options)


class Server:
    """A running server; `with Server("--max-in-flight", "1") as server:` stops it at the end."""

    def __init__(self, *flags, env=None):
        defaults = {"--http-port": "0", "--drain-delay": "0"}
        for name, value in defaults.items():
            if name not in flags and not (name == "--http-port" and "--listen" in flags):
                flags += (name, value)
        self.lines = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [BINARY, "serve", *map(str, flags)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=environment(**(env or {})))
        # A test that fails before it stops its server must not leave it running beside the next ones.
        atexit.register(self.process.kill)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.port = int(self.wait_for_line(LISTENING, seconds=30).group(1))
        except BaseException:
            self.process.kill()
            raise
        self.url = f"http://127.0.0.1:{self.port}"

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
        while not pattern.search(self._metrics()):
            assert time.monotonic() < end, f"no metric like {pattern.pattern} in {seconds} s"
            time.sleep(0.01)

    def _metrics(self):
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            return answer.read()

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
        while self.descriptor_count() > wanted and time.monotonic() < end:
            time.sleep(0.05)
        return self.descriptor_count()

    def resident_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
