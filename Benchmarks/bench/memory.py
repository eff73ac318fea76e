"""Target 8: memory, start-up, idle connections, and small requests beside large ones."""
import contextlib
import http.client
import statistics
import subprocess
import threading
import time

from . import servers
from .places import Unavailable
from .rounds import Series
from .targets import absolute, compare, missing

MEGABYTE = 1e6


class Peak:
    """The most bytes resident while the block runs."""

    def __init__(self, server):
        self.server, self.bytes, self._done = server, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._done.wait(0.01):
            self.bytes = max(self.bytes, self.server.resident())

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


@contextlib.contextmanager
def fresh(crop, folder, name):
    """A server of ours that has served nobody yet."""
    own = folder / name
    own.mkdir(exist_ok=True)
    server = servers.ours(crop, own)
    try:
        yield server
    finally:
        server.stop()


def start_up(crop, folder, count):
    """-> milliseconds from starting the process to the first 200 of /readyz."""
    times = []
    for number in range(count):
        port = servers.free_port()
        command = [str(crop), "serve", "--http-port", str(port), "--log-level", "error", "--drain-delay", "0"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while time.perf_counter() - start < 10:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                try:
                    connection.request("GET", "/readyz")
                    if connection.getresponse().status == 200:
                        times.append(1e3 * (time.perf_counter() - start))
                        break
                except OSError:
                    time.sleep(0.001)
                finally:
                    connection.close()
        finally:
            process.terminate()
            process.wait(10)
    if not times:
        raise Unavailable("the server did not become ready")
    return times


def resident(crop, folder, cases, generator, quick):
    """-> idle, in-flight and after-many figures, in MB."""
    result = {}
    with fresh(crop, folder, "idle") as server:
        time.sleep(1)
        result["idle_mb"] = server.resident() / MEGABYTE
        for key, connections in (("constant", 16), ("large", 4)):
            body = cases[key].file.stat().st_size
            with Peak(server) as peak:
                generator.run(server, cases[key], connections, seconds=1 if quick else 3)
            result[f"{key}_peak_mb"] = peak.bytes / MEGABYTE
            result[f"{key}_in_flight_mb"] = connections * body / MEGABYTE
            result[f"{key}_allowed_mb"] = 25 + 1.3 * connections * body / MEGABYTE
        result["after_mb"] = server.resident() / MEGABYTE
    with fresh(crop, folder, "many") as server:
        count = 100_000 if quick else 1_000_000

        def run(requests):
            generator.run(server, cases["small"], 16, seconds=600, more=("--requests", requests, "--warm-up", 0))

        run(count // 10)
        result["early_mb"] = server.resident() / MEGABYTE
        run(count - count // 10)
        result["late_mb"] = server.resident() / MEGABYTE
        result["requests"] = count
    return result


def faults(crop, folder, cases, generator, rounds):
    """-> {case key: minor faults per request, round by round, after one run that warms up}"""
    found = {}
    with fresh(crop, folder, "faults") as server:
        for key in ("small", "topk", "divprune"):
            generator.run(server, cases[key], 16)
            found[key] = [generator.run(server, cases[key], 16)["faults"] for _ in range(rounds)]
    return found


def idle_connections(crop, folder, cases, generator, rounds, say):
    """-> Series of the same load with and without a thousand connections that say nothing."""
    with fresh(crop, folder, "connections") as server:
        return Series().run(rounds, {
            "alone": lambda: generator.run(server, cases["small"], 16),
            "beside 1,000": lambda: generator.run(server, cases["small"], 16, more=("--idle", 1000)),
        }, say)


def beside_large(crop, folder, cases, generator, rounds, say):
    """-> Series of 1 KB requests on four connections, alone and while two connections post 24 MB each time, to ours and to
    the C echo, which computes nothing."""
    def alone(server):
        return generator.run(server, cases["small"], 4)

    def crowded(server):
        command = generator.command(server, cases["large"], 2, seconds=generator.seconds + 1.5)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
            try:
                time.sleep(0.5)
                return alone(server)
            finally:
                other.kill()

    echo = servers.echo(crop, folder)
    try:
        with fresh(crop, folder, "large") as ours:
            return Series().run(rounds, {
                "alone": lambda: alone(ours), "crowded": lambda: crowded(ours),
                "echo, alone": lambda: alone(echo), "echo, crowded": lambda: crowded(echo)}, say)
    finally:
        echo.stop()


def measure(crop, folder, cases, generator, rounds, quick, say):
    """-> results by name; a part that fails leaves its reason."""
    parts = {
        "start_up": lambda: start_up(crop, folder, 5 if quick else 15),
        "resident": lambda: resident(crop, folder, cases, generator, quick),
        "faults": lambda: faults(crop, folder, cases, generator, rounds),
        "idle": lambda: idle_connections(crop, folder, cases, generator, rounds, say),
        "beside": lambda: beside_large(crop, folder, cases, generator, rounds, say),
    }
    found, failed = {}, {}
    for name, part in parts.items():
        say(f"memory: {name}")
        try:
            found[name] = part()
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            failed[name] = str(error)
            say(f"  {error}")
    return found, failed


def targets(found, failed):
    lines = []

    def add(part, number, name, goal, make):
        if part not in found:
            lines.append(missing(number, name, goal, failed.get(part, "not measured")))
        else:
            lines.append(make(found[part]))

    for key, size in (("small", "1 KB"), ("topk", "1.2 MB top-k"), ("divprune", "DivPrune 1.2 MB")):
        name = f"minor faults per request, {size}"
        add("faults", "8", name, "<= 1", lambda faults, key=key, name=name: absolute("8", name, "<= 1", 1, faults[key], "faults"))
    add("resident", "8", "resident, idle, MB", "<= 25", lambda r: absolute("8", "resident, idle, MB", "<= 25", 25, [r["idle_mb"]], "MB"))
    for key, size in (("constant", "16 x 1.2 MB"), ("large", "4 x 24 MB")):
        name, goal = f"resident with {size} in flight, MB", "<= 25 + 1.3 x"
        add("resident", "8", name, goal, lambda r, key=key, name=name, goal=goal: absolute(
            "8", name, goal, r[f"{key}_allowed_mb"], [r[f"{key}_peak_mb"]], "MB"))
    name = "growth over 10^6 requests, MB"
    add("resident", "8", name, "<= 1", lambda r: absolute("8", name, "<= 1", 1, [max(r["late_mb"] - r["early_mb"], 0)], "MB"))
    ready = "start to ready, ms"
    add("start_up", "8", ready, "<= 100", lambda times: absolute("8", ready, "<= 100", 100, times, "ms"))
    idle = "1 KB throughput beside 1,000 idle connections"
    add("idle", "8", idle, ">= 0.95", lambda series: series_target(idle, ">= 0.95", 0.95, series, "beside 1,000", "alone", "req_per_s", "req/s"))
    beside = "1 KB p99 beside 24 MB requests"
    add("beside", "8", beside, "<= 5", lambda series: series_target(
        beside, "<= 5", 5, series, "crowded", "alone", "p99_us", "us", True, echo_limit(series)))
    return lines


def series_target(name, goal, bound, series, first, second, key, unit, at_most=False, limit=None):
    if not series.has(first, second):
        return missing("8", name, goal, series.why_not(first, second))
    return compare(
        "8", name, goal, bound, series.ratios(first, second, key), series.median(first, key), series.median(second, key), unit, at_most,
        limit)


def echo_limit(series):
    if not series.has("echo, crowded", "echo, alone"):
        return None
    return statistics.median(series.ratios("echo, crowded", "echo, alone", "p99_us"))
