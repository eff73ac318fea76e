"""What a call costs on this machine: every method at several shapes, and both transports at several sizes.

Writes Sources/TokenPruning/Economics/CallCost+Measured.swift, from which /plan tells whether pruning pays. Methods read
features without structure in float16 (`noise` in bench/inputs.py), for which searches take longest: what features a caller has
is not known beforehand, and encoders' take a fraction (`--features smooth`). A method's cost is the processor time
that the server takes for a request, less that for the same body with `uniform`, which computes nothing; a transport's is the
processor time of server and client for such a body. Unlike elapsed time both hold on a busy machine; the least of several
requests counts. Exponents are those of least error over five shapes, bounded by what the methods' complexity allows.

    python Benchmarks/bench_costs.py --crop .build/release/crop [--write]

With `--numpy`, instead, the processor time of searches beside that of a plain numpy form of the same method on the same
features (bench/references.py), one thread, and how many of the same tokens both keep.
"""

import argparse
import datetime
import http.client
import itertools
import json
import math
import operator
import os
import pathlib
import platform
import re
import socket
import sys
import tempfile
import time

# Before numpy: its kernels then compute in one thread.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
import numpy as np  # noqa: E402
from safetensors.numpy import save

from bench.inputs import FEATURES, half, structured
from bench.places import ROOT
from bench.references import NUMPY

sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))

TARGET = ROOT / "Sources/TokenPruning/Economics/CallCost+Measured.swift"
# From LLaVA-1.5 to LLaVA-NeXT with features as the LLM sees them: tokens, width and kept tokens.
SHAPES = ((576, 1024, 64), (2880, 1024, 64), (2880, 4096, 64), (2880, 4096, 320), (576, 4096, 64))
BASE, LARGE = SHAPES[0], SHAPES[3]
# The most that time may grow with tokens, width and kept tokens; the last where the method's cost does not name K.
HIGHEST = (2.0, 1.0, 1.0)
HIGHEST_UNNAMED = 0.2
FRAMES = {576: 4, 2880: 5}
KIND = "noise"
# Milliseconds; less cannot be told from what differs between two requests.
RESOLUTION = 0.05
MEGABYTES = (0.001, 1.2, 23.6)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def tensors_of(method, tokens, width):
    generator = np.random.default_rng(7)
    needed = method["required_inputs"] or (["attention"] if "attention" in method["optional_inputs"] else [])
    made = {
        "image_features": lambda: half(FEATURES[KIND](tokens, width, generator)),
        "text_features": lambda: half(generator.standard_normal((16, width))),
        "attention": lambda: half(generator.random(tokens)),
        "value_states": lambda: half(FEATURES[KIND](tokens + 32, width, generator)),
        "pixel_values": lambda: half(generator.random((4 * tokens, 588))),
    }
    return {name: made[name]() for name in needed}


def body_of(method, tokens, width, kept):
    frames = FRAMES[tokens]
    side = int(math.isqrt(tokens // frames))
    layout = {"type": "video", "frames": frames, "rows": side, "columns": tokens // frames // side}
    if method["family"] != "video":
        layout = {"type": "grid", "rows": 24, "columns": tokens // 24}
    parameters = {"method": method["name"], "keep_tokens": kept, "layout": layout, "localize": False}
    if method["name"] == "ivcprune":
        parameters["method_parameters"] = {"head_width": 128}
    return save(tensors_of(method, tokens, width), {"parameters": json.dumps(parameters)})


def processor_time(process):
    """-> milliseconds that all threads of a process have computed."""
    spent = 0
    for thread in pathlib.Path(f"/proc/{process}/task").iterdir():
        spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e6


def post(connection, body, process):
    """-> status, milliseconds of the server's processors (what it says where it refuses), and of this one's."""
    start, own = processor_time(process), time.process_time()
    connection.request("POST", "/prune", body, {"Content-Type": "application/x-safetensors"})
    response = connection.getresponse()
    text = response.read()
    own = 1e3 * (time.process_time() - own)
    if response.status != 200:
        return response.status, text.decode()[:300], own
    return 200, processor_time(process) - start, own


def least(connection, body, process, budget=1.5):
    """-> the least of up to 20 requests within `budget` seconds, at least two; None where the server refuses."""
    best, end = math.inf, time.monotonic() + budget
    for attempt in range(20):
        status, spent, own = post(connection, body, process)
        if status != 200:
            return None, spent
        best = min(best, spent)
        if attempt and time.monotonic() > end:
            break
    return best, None


def measure_method(connection, method, process):
    found = {}
    for shape in SHAPES:
        spent, problem = least(connection, body_of(method, *shape), process)
        if spent is None:
            print(f"{method['name']} {shape}: {problem}", file=sys.stderr)
            found[shape] = None
            continue
        idle, _ = least(connection, body_of({**method, "name": "uniform"}, *shape), process, budget=0.3)
        found[shape] = max(spent - idle, RESOLUTION)
    points = {shape: spent for shape, spent in found.items() if spent is not None}
    return fitted(points, method.get("cost", "K")) if len(points) > 2 else None


def fitted(points, cost):
    """-> the power law of least squared error of logarithms, exponents in steps of 0.1."""
    logs = [[math.log(shape[axis] / BASE[axis]) for axis in range(3)] for shape in points]
    times = [math.log(spent) for spent in points.values()]
    bounds = HIGHEST if re.search(r"\bK\b", cost) else (*HIGHEST[:2], HIGHEST_UNNAMED)
    steps = [[step / 10 for step in range(round(10 * highest) + 1)] for highest in bounds]
    best = (math.inf,)
    for exponents in itertools.product(*steps):
        rests = [time - sum(map(operator.mul, exponents, row)) for time, row in zip(times, logs)]
        middle = sum(rests) / len(rests)
        best = min(best, (sum((rest - middle) ** 2 for rest in rests), exponents, math.exp(middle)))
    _, exponents, base = best

    def predicted(shape):
        return base * math.prod((shape[axis] / BASE[axis]) ** exponents[axis] for axis in range(3))

    worst = max(abs(math.log(predicted(shape) / spent)) for shape, spent in points.items())
    return {"base": base, "exponents": exponents, "points": points, "large": predicted(LARGE), "error": math.exp(worst)}


# kind of features, tokens, width, kept tokens
SEARCHES = (
    ("smooth", 576, 1024, 64), ("smooth", 576, 1024, 192), ("descriptors", 576, 64, 64), ("descriptors", 576, 64, 192),
    ("smooth", 2880, 4096, 320))


def beside_numpy(connection, process, methods):
    print("| method | features | K | ms | numpy, ms | numpy / ms | same tokens |")
    print("|---|---|---|---|---|---|---|")
    for kind, tokens, width, kept in SEARCHES:
        generator = np.random.default_rng(11)
        arrays = {
            "image_features": half(FEATURES[kind](tokens, width, generator)),
            "text_features": half(structured(16, width, generator)),
            "attention": generator.random((16, tokens), dtype=np.float32),
            # A page: patches of ink, and paper between them.
            "pixel_values": half(generator.random((tokens, 588)) * (generator.random((tokens, 1)) < 0.4)),
        }
        for method in methods:
            names = [*method["required_inputs"], *(["attention"] if method["name"] in ("scope", "prunesid") else [])]
            sent = {name: arrays[name] for name in names}

            def body(name):
                layout = {"type": "grid", "rows": 24, "columns": tokens // 24}
                if method["name"] == "vidcom2":
                    side = int(math.isqrt(tokens // FRAMES[tokens]))
                    layout = {"type": "video", "frames": FRAMES[tokens], "rows": side, "columns": tokens // FRAMES[tokens] // side}
                return save(sent, {"parameters": json.dumps({"method": name, "keep_tokens": kept, "layout": layout})})

            spent, problem = least(connection, body(method["name"]), process)
            if spent is None:
                print(f"{method['name']} {kind} {tokens}: {problem}", file=sys.stderr)
                continue
            ours = max(spent - least(connection, body("uniform"), process, budget=0.3)[0], RESOLUTION)
            connection.request("POST", "/prune", body(method["name"]), {"Content-Type": "application/x-safetensors"})
            answer = json.loads(connection.getresponse().read())["kept_indices"]
            theirs = math.inf
            for _ in range(1 if tokens > 1000 else 3):
                start = time.thread_time()
                indices = NUMPY[method["name"]](arrays, kept)
                theirs = min(theirs, 1e3 * (time.thread_time() - start))
            # Which the server may have closed meanwhile.
            connection.close()
            same = len(set(answer) & set(map(int, indices)))
            print(f"| `{method['name']}` | {kind}, {tokens:,} x {width:,} | {kept} | {ours:.2f} | {theirs:.1f} | {theirs / ours:.1f} | {same} of {kept} |", flush=True)


def measure_transport(connection, process):
    """-> milliseconds of a request that computes nothing, and for each megabyte of body."""
    uniform = {"name": "uniform", "required_inputs": ["image_features"], "optional_inputs": [], "family": "control"}
    points = []
    for size in MEGABYTES:
        width = max(int(size * 1e6 / 2 / 2880), 1)
        body = body_of(uniform, 2880, width, 64)
        answers = [post(connection, body, process) for _ in range(30 if size < 10 else 8)]
        spent = [server + own for status, server, own in answers if status == 200]
        points.append((len(body) / 1e6, min(spent)))
    slope = (points[2][1] - points[0][1]) / (points[2][0] - points[0][0])
    return points[0][1], max(slope, 1e-3), points


def written(methods, transports, machine):
    lines = [
        "// Written by Benchmarks/bench_costs.py; do not edit.", "",
        "extension CallCost {",
        "  /// The machine and the day of these figures, and the features.",
        f'  static let measuredOn = "{machine}"', "",
        "  /// Milliseconds of a request that computes nothing, and more for each megabyte of body.",
        "  static let transports: [(name: String, overhead: Double, perMegabyte: Double)] = ["]
    for name, (overhead, slope, _) in transports.items():
        lines.append(f'    ("{name}", {overhead:.3f}, {slope:.3f}),')
    lines += ["  ]", "",
              "  /// Milliseconds at 576 tokens of width 1,024 of which 64 are kept, and exponents of tokens, width and kept tokens.",
              "  static let methods: [String: MethodCost] = ["]
    lines += [row(name, found) for name, found in methods.items()] + ["  ]", "}", ""]
    return "\n".join(lines)


def row(name, found):
    tokens, width, kept = found["exponents"]
    return f'    "{name}": MethodCost(base: {found["base"]:.4f}, tokens: {tokens:.2f}, width: {width:.2f}, kept: {kept:.2f}),'


def replaced(text, methods):
    """The file with the rows of some methods measured again; transports, and what it says of its origin, stay."""
    for name, found in methods.items():
        text, count = re.subn(rf'^    "{name}": MethodCost\(.*$', row(name, found), text, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"{TARGET.name} has no row of {name}: measure all methods")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", type=pathlib.Path, default=ROOT / ".build/release/crop")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    parser.add_argument("--features", choices=("noise", "smooth", "patches"), default="noise")
    parser.add_argument("--numpy", action="store_true", help="searches beside numpy")
    parser.add_argument("--only", nargs="*", help="methods to measure; with --write, whose rows to replace")
    options = parser.parse_args()
    global KIND
    KIND = options.features
    os.environ["CROP_BINARY"] = str(options.crop)
    from server import Server  # reads CROP_BINARY

    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    with tempfile.TemporaryDirectory(prefix="crop") as folder:
        path = f"{folder}/crop.sock"
        with Server("--listen", f"http://127.0.0.1:0,unix:{path}", "--compute-timeout", "300", "--bulk-priority", "normal") as server:
            port = int(server.wait_for_line(re.compile(r"http://127\.0\.0\.1:(\d+)"), seconds=30).group(1))
            process = server.process.pid
            tcp, unix = http.client.HTTPConnection("127.0.0.1", port), UnixConnection(path)
            if options.numpy:
                tcp.request("GET", "/methods")
                listed = json.loads(tcp.getresponse().read())["methods"]
                names = options.only or tuple(NUMPY)
                return beside_numpy(unix, process, [method for method in listed if method["name"] in names])
            transports = {"tcp": measure_transport(tcp, process), "unix": measure_transport(unix, process)}
            for name, (overhead, slope, points) in transports.items():
                print(f"{name}: {overhead:.3f} ms + {slope:.3f} ms/MB", points, flush=True)
            tcp.request("GET", "/methods")
            listed = json.loads(tcp.getresponse().read())["methods"]
            methods = {}
            print("| method | ms measured at the shapes | formula: 576 x 1,024 K 64 | 2,880 x 4,096 K 320 | N^ | D^ | K^ | worst factor |")
            print("|---|---|---|---|---|---|---|---|")
            for method in listed:
                if method["name"] == "auto" or options.only and method["name"] not in options.only:
                    continue
                method.setdefault("family", "video" if method["name"] in ("evs", "vidcom2") else "image")
                found = measure_method(unix, method, process)
                if found is None:
                    continue
                methods[method["name"]] = found
                measured = ", ".join(f"{spent:.2f}" for spent in found["points"].values())
                exponents = " | ".join(f"{one:.1f}" for one in found["exponents"])
                print(
                    f"| `{method['name']}` | {measured} | {found['base']:.3f} | {found['large']:.2f} | {exponents} "
                    f"| {found['error']:.1f} |", flush=True)
    if options.write and options.only:
        TARGET.write_text(replaced(TARGET.read_text(), methods))
    elif options.write:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(written(methods, transports, f"{cpu}, {datetime.date.today()}, features without structure" if KIND == "noise" else f"{cpu}, {datetime.date.today()}, {KIND} features"))


if __name__ == "__main__":
    main()
