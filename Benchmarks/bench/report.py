"""What a run leaves behind: results/peers.json, results/*.svg and BENCHMARKS.md."""
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess

import numpy as np

from .places import BENCHMARKS, RESULTS, ROOT


def machine():
    model = "an unknown processor"
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.release()}"


def commit():
    """-> the revision measured, with a mark when the tree differs from it."""
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=False).stdout.strip()

    changed = [line for line in git("status", "--porcelain", "--untracked-files=no").splitlines()
               if not line.endswith(("BENCHMARKS.md", ".svg", "peers.json", "micro.md"))]
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" with changes" if changed else "")


def surroundings(load_before):
    """Where and when."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(), "commit": commit(), "load_average_before": load_before}


def context(options, load_before):
    return {
        **surroundings(load_before), "command": options.command, "rounds": options.rounds, "seconds": options.seconds,
        "quick": options.quick, "python": platform.python_version(), "numpy": np.__version__,
    }


def rounded(value):
    """Five significant digits: more than two runs ever share."""
    if isinstance(value, dict):
        return {str(name): rounded(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(member) for member in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return float(f"{float(value):.5g}")


def compact(document):
    """JSON with one line for each member of each of the document's members, so that git shows what changed."""
    def members(value):
        if isinstance(value, dict):
            return [f"{json.dumps(name)}: {json.dumps(member)}" for name, member in value.items()], "{}"
        return [json.dumps(member) for member in value], "[]"

    parts = []
    for name, value in rounded(document).items():
        if isinstance(value, (dict, list)) and value:
            lines, (start, end) = members(value)
            parts.append(f"{json.dumps(name)}: {start}\n" + ",\n".join(lines) + f"\n{end}")
        else:
            parts.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return "{" + ",\n".join(parts) + "}"


def write_json(run, path):
    """One entry per target, and what they come from."""
    document = {
        "context": run.context,
        "targets": [
            {**dataclasses.asdict(target), "out_of_reach": target.out_of_reach, "why": target.why} for target in run.targets],
        "absent": run.absent,
        "servers": [
            {"case": key, "connections": connections, "server": name, "rounds": rounds}
            for (key, connections), series in run.transport.items() for name, rounds in series.rounds.items()],
        "methods": [
            {"method": method, "features": kind, "tokens": tokens, "width": width, "keep": keep, "side": side,
             "median_ms": round(1e3 * series.median(side, "median_s"), 4),
             "same_tokens": series.rounds[side][0].get("same")}
            for (method, kind, tokens, width, keep), series in run.methods.items() for side in series.rounds],
        "memory": {key: value for key, value in run.memory.items() if isinstance(value, (dict, list))},
        "generator": run.calibration,
        "curves": [vars(curve) for curve in run.curves],
    }
    path.write_text(compact(document) + "\n")


def target_table(targets):
    lines = [
        "| # | target | ours | peer or bound | unit | ratio | lowest - highest | goal | limit | met |",
        "|---|---|---|---|---|---|---|---|---|---|"]
    for t in targets:
        state = {True: "yes", False: "**no**", None: f"not measured: {t.reason}"}[t.met]
        if t.is_aside and t.ratio is not None:
            state = "explains"
        spread = "" if t.spread is None else f"{number(t.spread[0])} - {number(t.spread[1])}"
        lines.append(
            f"| {t.number} | {t.name} | {number(t.ours)} | {number(t.peer)} | {t.unit} | {number(t.ratio)} | {spread} | "
            f"{t.goal} | {number(t.limit)} | {state} |")
    return "\n".join(lines)


def missed_list(targets):
    """Which goals are missed, those first that nobody could meet."""
    missed = sorted((t for t in targets if t.met is False), key=lambda t: (not t.out_of_reach, t.number))
    lines = [
        f"* {t.number} {t.name}: {number(t.ours if t.absolute else t.ratio)}, goal {t.goal}; {t.why}." for t in missed]
    return "\n".join(lines) or "None."


def number(value):
    if value is None:
        return ""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def server_table(results, cases):
    lines = [
        "| case | connections | server | req/s (min - max) | p50 us | p99 us | CPU us/request | faults/request | client % | crop / this |",
        "|---|---|---|---|---|---|---|---|---|---|"]
    for (key, connections), series in results.items():
        for name, rounds in series.rounds.items():
            if not series.has(name):
                continue
            rates = series.values(name, "req_per_s")
            compared = ""
            if name != "crop" and series.has("crop"):
                ratios = sorted(series.ratios("crop", name, "req_per_s"))
                compared = f"{ratios[len(ratios) // 2]:.2f}"
            lines.append(
                f"| {cases[key].name} | {connections} | {name} | {series.median(name, 'req_per_s'):,.0f} ({min(rates):,.0f} - "
                f"{max(rates):,.0f}) | {series.median(name, 'p50_us'):,.0f} | {series.median(name, 'p99_us'):,.0f} | "
                f"{series.median(name, 'cpu_us'):,.0f} | {series.median(name, 'faults'):.2f} | "
                f"{series.median(name, 'client_share'):.0f} | {compared} |")
    return "\n".join(lines)


def method_table(results):
    lines = [
        "| method | features | size | K | crop ms | numpy ms | torch ms | numpy / crop | torch / crop | same as numpy: crop | torch |",
        "|---|---|---|---|---|---|---|---|---|---|---|"]
    for (method, kind, tokens, width, keep), series in results.items():
        if not series.has("crop", "numpy"):
            continue
        ratios = statistics.median(series.ratios("crop", "numpy", "median_s", inverse=True))
        torch, beside_torch, same = "", "", ""
        if series.has("torch"):
            torch = f"{1e3 * series.median('torch', 'median_s'):.2f}"
            beside_torch = f"{statistics.median(series.ratios('crop', 'torch', 'median_s', inverse=True)):.1f}"
            same = series.rounds["torch"][0].get("same", "")
        lines.append(
            f"| {method} | {kind} | {tokens}x{width} | {keep} | {1e3 * series.median('crop', 'median_s'):.2f} | "
            f"{1e3 * series.median('numpy', 'median_s'):.2f} | {torch} | {ratios:.1f} | {beside_torch} | "
            f"{series.rounds['crop'][0].get('same', '')} | {same} |")
    return "\n".join(lines)


def kernel_table(series):
    if series is None:
        return "Not measured."
    lines = ["| what | median over rounds |", "|---|---|"]
    rows = (("gram", "gflops", "Gram 576x576x1024, ours, GFLOP/s"), ("ssyrk", "gflops", "the same by numpy's OpenBLAS, A A^T, GFLOP/s"),
            ("sgemm", "gflops", "a general product of that size by numpy's OpenBLAS, GFLOP/s"),
            ("peak", "gflops", "fused multiply-adds, the most one core does, GFLOP/s"),
            ("widen", "gb_per_s", "half to single precision, GB/s of source"),
            ("topk 576", "best_s", "top-k of 576, us"), ("topk 2880", "best_s", "top-k of 2,880, us"))
    for side, key, title in rows:
        if series.has(side):
            factor = 1e6 if key == "best_s" else 1
            lines.append(f"| {title} | {number(factor * series.median(side, key))} |")
        else:
            lines.append(f"| {title} | not measured: {series.why_not(side)} |")
    return "\n".join(lines)


def json_table(results):
    lines = ["| text | reader | ms | MB/s |", "|---|---|---|---|"]
    for text, series in results.items():
        for side in series.rounds:
            if series.has(side):
                seconds = series.median(side, "median_s")
                size = series.rounds[side][0]["bytes"]
                lines.append(f"| {text} | {side} | {1e3 * seconds:.1f} | {size / seconds / 1e6:,.0f} |")
    return "\n".join(lines)


def memory_list(found):
    lines = []
    r = found.get("resident")
    if r:
        lines += [
            f"* Resident: {r['idle_mb']:.1f} MB idle; at most {r['constant_peak_mb']:.0f} MB with {r['constant_in_flight_mb']:.0f} MB in "
            f"flight, {r['large_peak_mb']:.0f} MB with {r['large_in_flight_mb']:.0f} MB in flight; {r['after_mb']:.1f} MB afterwards.",
            f"* After {r['requests'] // 10:,} requests of 1 KB {r['early_mb']:.1f} MB, after {r['requests']:,} {r['late_mb']:.1f} MB."]
    if "start_up" in found:
        times = sorted(found["start_up"])
        lines.append(f"* From start to ready: {times[len(times) // 2]:.0f} ms ({times[0]:.0f} - {times[-1]:.0f}).")
    return "\n".join(lines)


def curve_table(curves):
    lines = ["| cost | exponent | smallest | largest |", "|---|---|---|---|"]
    for c in curves:
        unit = "/s" if "per second" in c.y_label else " s"
        lines.append(f"| {c.name} | {number(c.exponent)} | {c.xs[0]:,}: {number(c.ys[0])}{unit} | {c.xs[-1]:,}: {number(c.ys[-1])}{unit} |")
    return "\n".join(lines)


def generator_list(found):
    lines = []
    for name, figures in found.get("ceiling", {}).items():
        lines.append(f"* {name}: {figures['req_per_s']:,.0f} requests/s against the C echo, the client's threads busy {figures['client_share']:.0f} %.")
    delay = found.get("delay")
    if delay:
        lines.append(f"* A delay of {delay['known_us']} us in the server is measured as {delay['measured_us']:.1f} us.")
    return "\n".join(lines)


def document(run):
    c = run.context
    absent = "\n".join(f"* {name}: {why}" for name, why in run.absent.items()) or "None."
    goals = [t for t in run.targets if not t.is_aside]
    met = sum(t.met is True for t in goals)
    missed = sum(t.met is False for t in goals)
    pictures = "\n\n".join(f"![{name}](Benchmarks/results/{name})" for name in run.pictures if name)
    torch = f", torch {c['torch']}" if c.get("torch") else ""
    quick = " This was a quick run: its figures only show that everything works.\n" if c["quick"] else ""
    return f"""{(BENCHMARKS / "introduction.md").read_text().rstrip()}

## This run

{c['date']}, commit {c['commit']}, `{c['command']}`: {c['rounds']} interleaved rounds of {c['seconds']:g} s each.
{c['machine']}; load average before: {c['load_average_before']:.2f}. Python {c['python']}, numpy {c['numpy']}{torch}.{quick}

{met} targets met, {missed} not met, {len(goals) - met - missed} not measured.

{target_table(run.targets)}

"Limit" is the ratio that the C echo, which computes nothing, would reach in place of crop in the same rounds, or the ratio that the
multiply-adds of one core allow; where it is empty, none was measured. If even the limit misses a goal, the goal is out of reach on this
machine. Lines marked "explains" have no goal: they add detail to the goal above them.

### Missed

{missed_list(run.targets)}

[docs/performance.md](docs/performance.md#what-falls-short) says what was tried.

Not available here:

{absent}

{pictures}

## Servers

{server_table(run.transport, run.cases)}

## Methods in process, one core

{method_table(run.methods)}

## Kernels

{kernel_table(run.kernels)}

## JSON

{json_table(run.json)}

## Memory

{memory_list(run.memory)}

## Growth

{curve_table(run.curves)}

## The load generator

{generator_list(run.calibration)}
{client()}"""


def client():
    """What `make bench-client` measured last; it has a run of its own."""
    path = RESULTS / "client.md"
    if not path.exists():
        return ""
    about = (
        "A call of `crop_client`, from an array to indices, compared with a bare socket that sends prepared bytes and with other clients, "
        "which get the body that the package safetensors makes.")
    return f"\n## The Python client\n\n{about} {path.read_text()}"


def write(run, say):
    """Writes everything; pictures are left out when matplotlib is missing."""
    RESULTS.mkdir(exist_ok=True)
    run.pictures = []
    try:
        from . import plots
        run.pictures = [plots.ratios(run.targets, RESULTS), plots.throughput(run.transport, run.cases, RESULTS),
                        plots.curves(run.curves, RESULTS)]
    except ImportError as error:
        say(f"no pictures: {error}")
    write_json(run, RESULTS / "peers.json")
    (ROOT / "BENCHMARKS.md").write_text(document(run))
