#!/usr/bin/env python3
"""Times kernels, methods, formats and the HTTP parser by themselves, one core: `make bench`.

    python3 Benchmarks/bench_micro.py [--only kernels,methods,formats] [--filter REGEX] [--list]

Everything takes about six minutes on an idle machine and writes Benchmarks/results/micro.md; with --only or --filter what
was measured is printed alone. The benchmarks are those of Benchmarks/Benchmarks, built for release by their package.
"""
import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys

from bench import report
from bench.places import BENCHMARKS, RESULTS, ROOT

SUITES = {"kernels": "KernelBenchmarks", "methods": "MethodBenchmarks", "formats": "FormatBenchmarks"}
TITLES = {"kernels": "Kernels, per processor level", "methods": "Methods", "formats": "Formats and the HTTP parser"}
COLUMNS = {"p0": "fastest", "p50": "median", "p99": "p99"}


@dataclasses.dataclass
class Time:
    """One benchmark: nanoseconds by percentile, and how often it ran."""

    name: str
    nanoseconds: dict
    samples: int


def command(*words):
    return [
        "swift", "package", "--package-path", str(BENCHMARKS), "--scratch-path", str(ROOT / ".build-bench"),
        # The cache does not notice new files of a package that is depended on by its path.
        "--disable-build-manifest-caching", "benchmark", *words]


def parse_tables(text):
    """The package's output in Markdown -> [Time]"""
    found, name, columns = [], None, []
    for line in text.splitlines():
        if line.startswith("### "):
            name = line[4:].strip()
        elif line.startswith("| Metric"):
            columns = [cell.strip() for cell in line.strip("| ").split("|")]
        elif line.startswith("| Time (wall clock)") and name:
            cells = dict(zip(columns, (cell.strip() for cell in line.strip("| ").split("|"))))
            if "(ns)" not in cells["Metric"]:
                raise SystemExit(f"bench: times are not in nanoseconds: {line}")
            found.append(Time(name, {column: round(float(cells[column])) for column in COLUMNS}, int(cells["Samples"])))
    return found


def measure(suite, pattern, limit):
    words = ["--target", suite, "--format", "markdown", "--time-units", "nanoseconds", "--no-progress"]
    if pattern:
        words += ["--filter", pattern]
    try:
        result = subprocess.run(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=limit,
            check=False)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"bench: {suite} took more than {limit} s") from error
    times = parse_tables(result.stdout)
    if result.returncode and not times:
        raise SystemExit(f"bench: {suite}: {(result.stdout + result.stderr).strip()[-2000:]}")
    return times


def readable(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds} ns"


def natural(name):
    """Numbers in names by their value."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def table(times):
    lines = [f"| what | {' | '.join(COLUMNS.values())} | runs |", "|---|---|---|---|---|"]
    for time in sorted(times, key=lambda time: natural(time.name)):
        figures = " | ".join(readable(time.nanoseconds[column]) for column in COLUMNS)
        lines.append(f"| {time.name} | {figures} | {time.samples:,} |")
    return "\n".join(lines)


def page(found, context):
    parts = "\n\n".join(f"## {TITLES[part]}\n\n{table(times)}" for part, times in found.items())
    return f"""# Micro-benchmarks

Written by `make bench`: {context['date']}, commit {context['commit']}.
{context['machine']}; load average before: {context['load_average_before']:.2f}.

One core, nothing shared, each for half a second to a second. A kernel's name begins with the processor level it is compiled
for; methods and formats use the highest. Methods read features in single precision, and their time contains the reading.
"Fastest" is what a quiet machine gives; a median far from it says that this one was not.

{parts}
"""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(SUITES), help="parts, with commas between: %(default)s")
    parser.add_argument("--filter", metavar="REGEX", help="only what matches from the beginning of its name")
    parser.add_argument("--list", action="store_true", help="print the names, measure nothing")
    parser.add_argument("--limit", type=float, default=1800, help="seconds for each part, building included; %(default)s")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(SUITES):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(SUITES)}")
    return options


def main():
    options = parse_arguments()
    if not shutil.which("swift"):
        raise SystemExit("bench: swift is not on the PATH")
    if options.list:
        return subprocess.run(command("list"), check=False).returncode
    context = report.surroundings(os.getloadavg()[0])
    found = {}
    for part in options.only:
        print(f"bench: {part}", file=sys.stderr, flush=True)
        if times := measure(SUITES[part], options.filter, options.limit):
            found[part] = times
            print(f"{TITLES[part]}\n{table(times)}\n", flush=True)
    if not found:
        raise SystemExit("bench: nothing has such a name; --list prints all")
    if set(found) == set(SUITES) and not options.filter:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "micro.md").write_text(page(found, context))
        print("written: Benchmarks/results/micro.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
