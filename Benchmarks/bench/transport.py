"""Targets 1 to 4 and 7: servers against each other, on the same requests."""
import statistics

from . import inputs, load, servers
from .places import Unavailable
from .rounds import Series
from .targets import absolute, aside, compare, from_series, limit_by, missing

CONNECTIONS = (1, 16)
# What a server that computes nothing reaches; two ways of receiving, of which the better is the limit.
ECHOES = ("C echo", "C echo, busy polling")


class Fleet:
    """Every server that could be started, all running during the whole comparison, idle when it is not their turn."""

    def __init__(self, crop, folder, stack, say, wanted=None):
        self.running, self.absent = {}, {}
        for name, start in servers.STARTERS.items():
            if wanted and name not in wanted:
                continue
            say(f"starting {name}")
            try:
                self.running[name] = start(crop, folder)
                stack.callback(self.running[name].stop)
            except (Unavailable, OSError) as error:
                self.absent[name] = str(error)
                say(f"  not available: {error}")

    def able(self, case):
        return {name: server for name, server in self.running.items() if name in case.servers}


def check_answers(fleet, cases, folder, say):
    """Nothing is measured that is not the same work. -> {(case key, server): file with the expected bytes}

    A server that keeps other tokens than ours loses its place in that case.
    """
    expected, refused = {}, {}
    for case in cases.values():
        ours = None
        for name, server in fleet.able(case).items():
            try:
                kept = servers.kept_indices(server, case)
            except Unavailable as error:
                refused[case.key, name] = str(error)
                say(f"  {error}")
                continue
            if name == "crop":
                ours = kept
            elif kept is not None and ours is not None and kept != ours:
                refused[case.key, name] = f"{name} keeps other tokens in {case.name}"
                say(f"  {refused[case.key, name]}")
                continue
            expected[case.key, name] = load.expectation(folder, kept)
    return expected, refused


def calibrate(generator, cases, folder, rounds, seconds):
    """What the load generator itself can do: its ceiling, and whether a known delay is measured as that.

    -> {"ceiling": {...}, "delay": {...}}
    """
    case, result = cases["small"], {"ceiling": {}, "delay": {}}
    plain = servers.any_echo("C echo")
    slow = servers.any_echo("C echo, 500 us", "--delay-us", 500)
    try:
        for name, key in (("1 KB", "small"), ("1.2 MB", "constant")):
            for threads in (1, 2):
                series = Series().run(rounds, {"echo": lambda: generator.run(plain, cases[key], 16, threads=threads, seconds=seconds)})
                result["ceiling"][f"{name}, 16 connections, {threads} client thread{'s' * (threads > 1)}"] = {
                    "req_per_s": series.median("echo", "req_per_s"), "client_share": series.median("echo", "client_share")}
        series = Series().run(rounds, {
            "plain": lambda: generator.run(plain, case, 1, seconds=seconds),
            "slow": lambda: generator.run(slow, case, 1, seconds=seconds)})
        added = [b - a for a, b in zip(series.values("plain", "p50_us"), series.values("slow", "p50_us"))]
        result["delay"] = {"known_us": 500, "measured_us": sorted(added)[len(added) // 2]}
    finally:
        plain.stop()
        slow.stop()
    return result


def measure(fleet, cases, generator, rounds, folder, say, results, others=True):
    """Fills `results`, {(case key, connections): Series}, as it goes; `others`: over sockets other than TCP as well."""
    say("checking that all give the same answers")
    expected, refused = check_answers(fleet, cases, folder, say)
    for case in cases.values():
        for connections in case.connections:
            series = Series()
            series.failures.update({name: why for (key, name), why in refused.items() if key == case.key})
            series.failures.update({name: why for name, why in fleet.absent.items()})
            sides = {}
            for name, server in fleet.able(case).items():
                expect = expected.get((case.key, name))

                def side(server=server, expect=expect):
                    if not server.is_running():
                        raise Unavailable(f"{server.name} has ended")
                    return generator.run(server, case, connections, expect=expect)

                sides[name] = side
            if others and "crop" in fleet.running and case.key in ("constant", "topk", "small"):
                sides["crop, Unix socket"] = lambda expect=expected.get((case.key, "crop")): generator.run(
                    fleet.running["crop"], case, connections, unix=True, expect=expect)
                sides["crop, shared memory"] = lambda expect=expected.get((case.key, "crop")): generator.run(
                    fleet.running["crop"], case, connections, unix=True, share=True, expect=expect)
                infer, header = case.as_inference()
                sides["crop, inference protocol"] = lambda infer=infer, header=header, expect=expected.get((case.key, "crop")): generator.run(
                    fleet.running["crop"], infer, connections, expect=expect, more=("--header", header))
            say(f"{case.name}, {connections} connection{'s' * (connections > 1)}: {', '.join(sides)}")
            results[case.key, connections] = series.run(rounds, sides, say)
            for name in sides:
                if series.has(name):
                    say(f"    {name:22} {series.median(name, 'req_per_s'):>10,.0f} req/s  p50 {series.median(name, 'p50_us'):>9,.0f} us")


def targets(results, in_process):
    """Of the summary; `in_process`: seconds that numpy takes for DivPrune and CDPruner without a server."""
    def at(key, connections):
        return results.get((key, connections)) or Series()

    found = []

    def ratio(number, name, goal, bound, key, connections, peer, **options):
        first = options.pop("first", "crop")
        series = at(key, connections)
        # An echo on TCP is no limit for other sockets.
        limit = limit_by(series, ECHOES, peer) if first == "crop" else None
        found.append(from_series(number, name, goal, bound, series, first, peer, limit=limit, **options))

    def explain(name, key, peer, connections=1):
        found.append(aside(from_series("1", name, "", 0, at(key, connections), "crop", peer)))

    found += mix_targets(at)
    for connections in CONNECTIONS:
        ratio("1", f"1.2 MB, {connections} conn.: C echo", ">= 0.90", 0.90, "constant", connections, "C echo")
        for late in ("", ", 2 us"):
            explain(
                f"1.2 MB, {connections} conn.: C echo that polls{late and ', and answers after 2 us'}", "constant",
                f"C echo, busy polling{late}", connections)
    explain("1.2 MB, 1 conn., client and server on one core: C echo", "lone", "C echo")
    ratio("1", "1.2 MB, 1 conn.: nginx reading the body", ">= 1.4", 1.4, "constant", 1, "nginx")
    ratio("1", "1.2 MB, 16 conn.: nginx reading the body", ">= 0.95", 0.95, "constant", 16, "nginx")
    ratio("2", "1.2 MB top-k, 16 conn.: Hummingbird 2", ">= 2.5", 2.5, "topk", 16, "Hummingbird 2")
    found.append(
        from_series(
            "2", "1.2 MB top-k, 16 conn.: CPU of Hummingbird 2 over ours", ">= 3.5", 3.5, at("topk", 16), "crop",
            "Hummingbird 2", key="cpu_us", unit="CPU us/request", inverse=True,
            limit=limit_by(at("topk", 16), ECHOES, "Hummingbird 2", "cpu_us", inverse=True)))
    ratio("2", "1.2 MB top-k, 16 conn.: hyper", ">= 2", 2, "topk", 16, "hyper")
    ratio("2", "1.2 MB top-k, 1 conn.: FastAPI + numpy", ">= 10", 10, "topk", 1, "FastAPI, 1 worker")
    ratio("2", "1.2 MB top-k, 16 conn.: FastAPI + numpy, 2 workers", ">= 6", 6, "topk", 16, "FastAPI, 2 workers")
    ratio("3", "1 KB top-k, 16 conn.: C echo", ">= 0.95", 0.95, "small", 16, "C echo")
    small = at("small", 16)
    if small.has("crop"):
        limit = statistics.median(spans(small, "C echo")) if small.has("C echo") else None
        found.append(
            compare("3", "1 KB top-k, 16 conn.: p99 over p50", "<= 3", 3, spans(small, "crop"), small.median("crop", "p99_us"),
                    small.median("crop", "p50_us"), "us", at_most=True, limit=limit))
        if small.has("C echo"):
            # What the machine and the load generator give to who computes nothing; above 1 ours is the less even one.
            found.append(aside(
                compare("3", "1 KB top-k, 16 conn.: p99 over p50, ours over that of the C echo", "", 1,
                        [ours / echo for ours, echo in zip(spans(small, "crop"), spans(small, "C echo"))],
                        statistics.median(spans(small, "crop")), statistics.median(spans(small, "C echo")), "")))
    else:
        found.append(missing("3", "1 KB top-k, 16 conn.: p99 over p50", "<= 3", small.why_not("crop")))
    found += method_targets(at, in_process)
    ratio("7", "1.2 MB, shared memory over TCP, 16 conn.", ">= 6", 6, "constant", 16, "crop", first="crop, shared memory")
    ratio("7", "1.2 MB, shared memory over TCP, 1 conn.", ">= 3", 3, "constant", 1, "crop", first="crop, shared memory")
    for connections in CONNECTIONS:
        found.append(aside(from_series(
            "7", f"1.2 MB, shared memory over TCP, {connections} conn.: values read (top-k)", "", 0, at("topk", connections),
            "crop, shared memory", "crop")))
    for connections in CONNECTIONS:
        for key, title in (("constant", "1.2 MB"), ("topk", "1.2 MB top-k"), ("small", "1 KB top-k")):
            found.append(aside(from_series(
                "7", f"{title}, Open Inference Protocol over npy, {connections} conn.", "", 0, at(key, connections),
                "crop, inference protocol", "crop")))
    ratio("7", "1.2 MB, Unix socket over TCP, 1 conn.", ">= 1.25", 1.25, "constant", 1, "crop", first="crop, Unix socket")
    ratio("7", "1.2 MB, Unix socket over TCP, 16 conn.", ">= 1.5", 1.5, "constant", 16, "crop", first="crop, Unix socket")
    return found


def mix_targets(at):
    """What a server of models sends, against the echo of the same bytes: requests per second, and with one connection the
    time that is added to the echo's."""
    found = []
    for key, share in inputs.MIX.items():
        found.append(from_series("0", f"{key}, 16 conn.: C echo", f">= {share}", share, at(key, 16), "crop", "C echo"))
    for connections in CONNECTIONS:
        found.append(aside(from_series(
            "0", f"diversity-1.2MB, {connections} conn.: C echo", "", 0, at("diversity-1.2MB", connections), "crop", "C echo")))
    for key in inputs.MIX:
        series, name = at(key, 1), f"{key}, 1 conn.: p50 less the C echo's"
        if key.endswith("MB"):
            found.append(from_series("0", f"{key}, 1 conn.: C echo", ">= 0.7", 0.7, series, "crop", "C echo"))
        elif not series.has("crop", "C echo"):
            found.append(missing("0", name, "<= 25 us", series.why_not("crop", "C echo")))
        else:
            added = [ours - echo for ours, echo in zip(series.values("crop", "p50_us"), series.values("C echo", "p50_us"))]
            found.append(absolute("0", name, "<= 25 us", 25, added, "us"))
    return found


def spans(series, name):
    return [figures["p99_us"] / max(figures["p50_us"], 1e-9) for figures in series.rounds[name]]


def method_targets(at, in_process):
    found = []
    for key, title in (("divprune", "DivPrune"), ("cdpruner", "CDPruner")):
        for connections in CONNECTIONS:
            series = at(key, connections)
            name = f"{title} 576x1024 over HTTP, {connections} conn.: best FastAPI"
            peers = [peer for peer in ("FastAPI, 1 worker", "FastAPI, 2 workers") if series.has(peer)]
            if not series.has("crop") or not peers:
                found.append(missing("4", name, ">= 10", series.why_not("crop", "FastAPI, 1 worker")))
                continue
            best = max(peers, key=lambda peer: series.median(peer, "req_per_s"))
            found.append(from_series("4", name, ">= 10", 10, series, "crop", best, limit=limit_by(series, ECHOES, best)))
        series, name = at(key, 1), f"{title} 576x1024: numpy in process over our p50 on HTTP"
        seconds = in_process.get(key)
        if seconds and series.has("crop"):
            ratios = [1e6 * seconds / max(figures["p50_us"], 1e-9) for figures in series.rounds["crop"]]
            limit = 1e6 * seconds / series.median("C echo", "p50_us") if series.has("C echo") else None
            found.append(compare("4", name, ">= 6", 6, ratios, series.median("crop", "p50_us"), 1e6 * seconds, "us", limit=limit))
        else:
            found.append(missing("4", name, ">= 6", series.why_not("crop") or "numpy was not measured in process"))
    return found
