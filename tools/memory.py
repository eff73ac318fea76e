#!/usr/bin/env python3
"""Looks for requests that take more memory than the server counts for them, over endpoints, methods, parameters, formats,
element types and shapes; with --hold, posts the worst of each endpoint and method from many connections at once to a server
that the system gives no more memory than that.

    tools/memory.py [--crop BINARY] [--runs N] [--seed N]    ends with 1 when a request took more than counted
    tools/memory.py --hold 512MiB [--megabytes 8] [--search 120] [--seconds 120] [--connections 16]
                                                             ends with 1 when the server took more than it promised

--hold searches for `--search` seconds, keeps of each endpoint and method the request that took most, and posts those for
`--seconds` seconds. The limit is that of a control group where this process may make one (memory, version 1 or 2), which
the server finds by itself; else RLIMIT_DATA, which counts what the process may write to, touched or not.

What a request took is the process's peak of resident memory while it was answered (VmHWM, reset by clear_refs) less what
was resident before; what was counted is the growth of crop_work_bytes_total. Needs numpy and Linux.
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import random
import re
import resource
import struct
import sys
import threading
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))

import server as blackbox  # noqa: E402
from bodies import npy  # noqa: E402
from wire import Closed, Connection, request  # noqa: E402

TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}
NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I8": "i1", "U8": "u1", "BOOL": "?"}
# What the server and the allocator take for any request; the bound has room for it.
SLACK = 6 << 20
# Tensors of 0 and 1.
FLAGS = ("already_dropped", "padding_mask", "text_raters")


def methods(port):
    with Connection(port) as connection:
        answer = connection.exchange(request(target="/methods")).json
    return {method["name"]: method for method in answer["methods"]}


def elements(rng, dtype, count, below=120):
    """-> `count` finite numbers as bytes: all equal, small whole numbers, or whatever a few bits allow."""
    kind = rng.choice(["equal", "whole", "mixed"])
    source = np.random.default_rng(rng.randrange(1 << 30))
    values = np.ones(count) if kind == "equal" else source.integers(0, min(below, 3 if kind == "whole" else 120), count)
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype(NUMPY[dtype]).tobytes()


class Body:
    """Tensors and parameters, in a wire format."""

    def __init__(self, rng, tensors, parameters, marks=None):
        """`marks` has the numbers of tensors that may not have just any."""
        self.rng, self.tensors, self.parameters, self.marks = rng, tensors, parameters, marks or {}

    def data(self, name, dtype, shape):
        if name in self.marks:
            return self.marks[name].astype(NUMPY[dtype]).tobytes()
        return elements(self.rng, dtype, int(np.prod(shape)), below=2 if name in FLAGS else 120)

    def digits(self, name, dtype, shape):
        """The same as a list, of numbers of one digit."""
        if name in self.marks:
            return self.marks[name].tolist()
        return [dtype == "BOOL" or 1] * int(np.prod(shape))

    def safetensors(self):
        header, data, offset = {}, [], 0
        for name, (dtype, shape) in self.tensors.items():
            data.append(self.data(name, dtype, shape))
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data[-1])]}
            offset += len(data[-1])
        header["__metadata__"] = {"parameters": json.dumps(self.parameters)}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return "application/x-safetensors", struct.pack("<Q", len(text)) + text + b"".join(data)

    def base64(self):
        import base64
        members = {}
        for name, (dtype, shape) in self.tensors.items():
            data = self.data(name, dtype, shape)
            members[name] = {"dtype": dtype, "shape": shape, "base64": base64.b64encode(data).decode()}
        return "application/json", json.dumps({**members, **self.parameters}).encode()

    def numbers(self):
        """Flat data of one digit each: the most numbers that a text can hold."""
        parts = []
        for name, (dtype, shape) in self.tensors.items():
            text = json.dumps(self.digits(name, dtype, shape), separators=(",", ":"))
            parts.append(f'"{name}":{{"dtype":"{dtype}","shape":{json.dumps(shape)},"data":{text}}}')
        parts += [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in self.parameters.items()]
        return "application/json", ("{" + ",".join(parts) + "}").encode()

    def arrays(self):
        """-> the tensors as numpy has them; bfloat16, which it lacks, becomes float16."""
        for name, (dtype, shape) in self.tensors.items():
            dtype = "F16" if dtype == "BF16" else dtype
            data = self.data(name, dtype, shape)
            yield name, np.frombuffer(data, NUMPY[dtype]).reshape(shape)

    def npz(self):
        stream = io.BytesIO()
        save = np.savez_compressed if self.rng.random() < 0.7 else np.savez
        save(stream, **dict(self.arrays()), parameters=json.dumps(self.parameters))
        return "application/x-npz", stream.getvalue()

    def form(self):
        parts = [(name, npy(array)) for name, array in self.arrays()] + [("parameters", json.dumps(self.parameters).encode())]
        body = b"".join(
            b'--parts\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), data) for name, data in parts)
        return "multipart/form-data; boundary=parts", body + b"--parts--\r\n"

    def inference(self):
        """Of the Open Inference Protocol, with the operation's own parameters."""
        names = {"F64": "FP64", "F32": "FP32", "F16": "FP16", "BF16": "BF16", "I64": "INT64", "I32": "INT32", "I8": "INT8",
                 "U8": "UINT8", "BOOL": "BOOL"}
        inputs = [
            {"name": name, "datatype": names[dtype], "shape": shape, "data": self.digits(name, dtype, shape)}
            for name, (dtype, shape) in self.tensors.items()]
        texts = {name: value if isinstance(value, (str, int, float)) else json.dumps(value)
                 for name, value in self.parameters.items()}
        return "application/json", json.dumps({"inputs": inputs, "parameters": texts}, separators=(",", ":")).encode()


def shape_of_features(rng, budget):
    """-> [tokens, width] of about `budget` elements, from one token to one column."""
    # More tokens take the same memory and far more time.
    tokens = rng.choice([16, 576, 2048, 2880, 4096, 8192])
    tokens = min(tokens, budget)
    return [tokens, max(1, min(budget // tokens, 1 << 16))]


def at_limits(rng, method, use):
    """-> some of a method's parameters, mostly the least and the most that they may be."""
    given = {}
    for parameter in method["parameters"]:
        if parameter.get("only", use) != use or rng.random() < 0.6:
            continue
        if parameter["type"] == "boolean":
            given[parameter["name"]] = rng.random() < 0.5
        elif "enum" in parameter:
            given[parameter["name"]] = rng.choice(parameter["enum"])
        else:
            low, high = parameter.get("minimum", 0), parameter.get("maximum", 1)
            value = rng.choice([low, high, high, min(high, max(low, 64)), min(high, max(low, 1024))])
            given[parameter["name"]] = int(value) if parameter["type"] == "integer" else value
    return given


def case(rng, known, megabytes, method=None):
    """-> (endpoint, body, description): one random request of at most about so many megabytes of elements."""
    endpoint = rng.choice(["localize", "compress", "compare", "reselect", "plan", "prune", "prune", "prune"])
    if endpoint == "plan":
        return plan(rng)
    dtype = rng.choice(list(TYPES))
    method = method or rng.choice(list(known))
    if endpoint == "compress" and rng.random() < 0.5:
        method = None
    budget = int(megabytes * (1 << 20) / TYPES[dtype])
    tokens, width = shape_of_features(rng, budget)
    tensors, parameters = {}, {}
    names = known[method]["required_inputs"] + known[method]["optional_inputs"] if method else ["image_features"]
    if endpoint == "reselect":
        names = ["attention", "prefill_scores"]
    elif endpoint == "localize" or method == "crop":
        names = rng.choice([["attention"], ["image_features", "text_features"], ["query", "key"],
                            ["attention", "reference_attention"]])
    if endpoint == "compress":
        names = ["image_features"] + [name for name in names if name != "image_features"]
    images = rng.choice([None, None, 2, 8])
    share = max(1, width // (images or 1))
    # Rows of text, of the sequence around the image, and queries: any number, however many tokens there are.
    texts = rng.choice([8, 8, 64, 1024, tokens, 4 * tokens, max(8, budget // 4)])
    if texts > 64:
        share = max(1, min(share, budget // texts // (images or 1)))
    for name in names:
        if rng.random() < 0.3 and method and name in known[method]["optional_inputs"]:
            continue
        shape = {
            "image_features": [tokens, share], "relevance_features": [tokens, share], "text_features": [texts, share],
            "key": [tokens, share], "text_key": [texts, share], "query": rng.choice([[share], [texts, share]]), "sizes": [tokens],
            "text_raters": [texts], "hidden_states": [tokens + texts, share], "norm_weight": [share],
            "query_weight": [share, share], "key_weight": [share, share],
            "encoder_features": [tokens, share], "pixel_values": [tokens, share], "value_states": [tokens + texts, share],
            "padding_mask": [tokens], "prefill_scores": [tokens],
        }.get(name, [min(share, 32), max(1, share // 32), tokens])
        if name in ("query_weight", "key_weight") and share > 1024:
            continue
        tensors[name] = (dtype, [images] + shape if images else shape)
    parameters["batched"] = bool(images)
    if endpoint == "prune":
        parameters["method"] = method
    elif endpoint == "compress" and method:
        parameters["method"] = method
    elif endpoint == "compress":
        parameters["anchors"] = rng.choice(["diversity", "density_peaks", "uniform"])
    if parameters.get("method") and rng.random() < 0.5:
        parameters["method_parameters"] = at_limits(rng, known[method], endpoint)
    if endpoint not in ("localize", "reselect"):
        parameters["keep_ratio"] = rng.choice([0.01, 0.5, 1])
    if endpoint == "prune" and rng.random() < 0.2:
        tensors["image_features"] = tensors.get("image_features", (dtype, ([images] if images else []) + [tokens, share]))
        tensors["text_features"] = (dtype, ([images] if images else []) + [8, share])
        parameters["localize"] = {"source": "similarity"}
    if endpoint == "compare":
        images = None
        tensors = {name: (dtype, shape[1:] if parameters["batched"] else shape) for name, (dtype, shape) in tensors.items()}
        parameters["batched"] = False
        parameters["methods"] = [method] + rng.sample(list(known), 3)
    if endpoint == "prune" and rng.random() < 0.3:
        parameters["explain"] = True
    if endpoint == "prune" and rng.random() < 0.1 and not images:
        ratio = parameters.pop("keep_ratio")
        parameters["stages"] = [{"layer": layer, "keep_ratio": ratio} for layer in range(16)]
    if names and "attention" in tensors or endpoint == "localize" or method == "crop":
        side = int(tokens ** 0.5)
        if side * side == tokens:
            parameters["layout"] = {"type": "grid", "rows": side, "columns": side}
    ask_more(rng, endpoint, tokens, images, tensors, parameters)
    marks = leave_out(rng, endpoint, tokens, tensors, parameters) if not images and rng.random() < 0.2 else {}
    body = Body(rng, tensors, parameters, marks)
    form = rng.choice(["safetensors", "safetensors", "base64", "numbers", "npz", "form", "inference"])
    if form == "inference":
        if endpoint == "compare":
            form = "numbers"
        else:
            endpoint = f"v2/models/crop-{endpoint}/infer"
    media_type, data = getattr(body, form)()
    return endpoint, media_type, data, f"{endpoint} {form} {json.dumps(parameters)} {tensors}"


def layout(rng, tokens):
    """-> of so many tokens."""
    rows = next(rows for rows in (32, 16, 8, 4, 2, 1) if tokens % rows == 0)
    columns = tokens // rows
    return rng.choice([
        {"type": "grid", "rows": rows, "columns": columns},
        {"type": "video", "frames": columns, "rows": rows, "columns": 1} if columns <= 4096 else {"type": "raw", "tokens": tokens},
        {"type": "qwen2_vl", "grid_thw": [1, 2 * rows, 2 * columns]},
        {"type": "qwen2_5_vl", "grid_thw": [rows, 2, 2 * columns]},
    ])


def ask_more(rng, endpoint, tokens, images, tensors, parameters):
    """Adds parameters and tensors that cost memory beside the method's."""
    batch = [images] if images else []
    if endpoint == "reselect":
        parameters["explain"] = rng.random() < 0.5
    if endpoint == "reselect" or rng.random() < 0.1:
        tensors["already_dropped"] = ("U8", [*batch, tokens])
    if endpoint in ("prune", "compress", "reselect") and rng.random() < 0.2:
        tensors["position_ids"] = (rng.choice(["I64", "I32"]), [*batch, *rng.choice([[], [3]]), tokens])
        parameters["renumber"] = rng.random() < 0.5
    if rng.random() < 0.5:
        parameters["layout"] = layout(rng, tokens)
        if rng.random() < 0.3 and endpoint != "localize":
            parameters["budget_scope"] = rng.choice(["tile", "request"])
        if rng.random() < 0.3 and endpoint != "reselect":
            parameters.pop("localize", None)
            parameters["region"] = [{"box": [0, 0, 1, 1]}] * rng.choice([1, 64])
        if endpoint in ("prune", "reselect") and rng.random() < 0.5:
            parameters["bookkeeping"] = rng.choice([True, {"text_tokens": [rng.choice([1, 10_000, 340_000]), 7]}])
    transposed = [name for name in ("image_features", "attention") if name in tensors]
    if transposed and rng.random() < 0.2:
        name = rng.choice(transposed)
        dtype, shape = tensors[name]
        letters = "nd" if name == "image_features" else "hqn"
        tensors[name] = (dtype, shape[::-1])
        parameters["axes"] = {name: (("b" if images else "") + letters)[::-1]}


def leave_out(rng, endpoint, tokens, tensors, parameters):
    """Has the tensors be about what is left of far more tokens, as a later stage's are. -> the marks of those, if a tensor has
    them."""
    if endpoint not in ("prune", "reselect"):
        return {}
    for name in ("layout", "budget_scope", "bookkeeping", "region", "localize"):
        parameters.pop(name, None)
    parameters["region_policy"] = "none"
    if endpoint == "reselect":
        del parameters["region_policy"]
    before = rng.choice([tokens, 4 * tokens, 1 << 20])
    tensors.pop("already_dropped", None)
    if rng.random() < 0.5:
        step = rng.choice([1, before // tokens])
        parameters["previous"] = {"kept_indices": [step * index for index in range(tokens)], "tokens": before}
        return {}
    tensors["already_dropped"] = ("U8", [before])
    dropped = np.ones(before, int)
    dropped[:tokens] = 0
    return {"already_dropped": dropped}


def plan(rng):
    """-> the same for a plan, whose memory is all its parameters'."""
    images = rng.choice([1, 1, 16, 1_024])
    tokens = rng.choice([16, 1_024]) if images > 1 else rng.choice([576, 65_536, 1 << 20])
    parameters = {"keep_ratio": 0.5, "budget_scope": rng.choice(["image", "tile"])}
    if tokens * images <= 1 << 16 and rng.random() < 0.5:
        parameters["stages"] = [{"layer": layer, "keep_ratio": 0.5} for layer in range(16)]
        del parameters["keep_ratio"]
    layouts = [layout(rng, tokens)] * images
    parameters["layout"] = layouts if images > 1 else layouts[0]
    if rng.random() < 0.3:
        parameters["region"] = {"box": [0, 0, 1, 1]}
    if rng.random() < 0.3:
        parameters["bookkeeping"] = {"text_tokens": [340_000, 7]}
    return "plan", "application/json", json.dumps(parameters).encode(), f"plan of {images}: {json.dumps(parameters)[:300]}"


class Watched:
    """A server whose peaks of memory are read from /proc."""

    def __init__(self, arguments, crop, within=None):
        """`within` is called in the new process, before it becomes the server."""
        if crop:
            blackbox.BINARY = crop
        self.server = blackbox.Server("--log-level", "notice", *arguments, preexec_fn=within)

    def status(self, name):
        text = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(next(line for line in text.splitlines() if line.startswith(name + ":")).split()[1]) << 10

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.server.process.pid}/clear_refs").write_text("5")

    def counted(self):
        for line in self.server.metrics().decode().splitlines():
            if line.startswith("crop_work_bytes_total "):
                return int(float(line.split()[1]))
        raise AssertionError("no crop_work_bytes_total")


def post_in_time(target, *arguments, timeout=10):
    """-> the answer, or None where computing takes too long to wait for."""
    try:
        return post(target, *arguments, timeout=timeout)
    except TimeoutError:
        return None


def measure(watched, endpoint, media_type, data, accept=None, timeout=10):
    """-> (the answer, bytes that the request took beside its body and answer, bytes that were counted for it)."""
    watched.forget_peak()
    before, counted = watched.status("VmRSS"), watched.counted()
    answer = post_in_time(watched.server.target, endpoint, media_type, data, accept, timeout=timeout)
    if answer is None:
        return None, 0, 0
    return (answer, watched.status("VmHWM") - before - len(data) - len(answer.body), watched.counted() - counted)


def post(target, endpoint, media_type, data, accept=None, timeout=120):
    fields = [("Content-Type", media_type)] + ([("Accept", accept)] if accept else [])
    with Connection(target, timeout=timeout) as connection:
        return connection.exchange(request("POST", "/" + endpoint, fields, data))


def search(options):
    rng = random.Random(options.seed)
    watched = Watched(["--compute-threads", "1", "--event-loops", "1", "--max-in-flight-bytes", "8GiB"], options.crop)
    known = methods(watched.server.target)
    found, tally = [], {}
    for run in range(options.runs):
        endpoint, media_type, data, text = case(rng, known, options.megabytes)
        accept = rng.choice([None, "application/json"])
        answer, took, asked = measure(watched, endpoint, media_type, data, accept)
        if answer is None:
            tally["slow"] = tally.get("slow", 0) + 1
            print(f"no answer in time: {text}", flush=True)
            watched.server.wait_for_metric("crop_requests_in_flight 0", seconds=120)
            continue
        tally[answer.status] = tally.get(answer.status, 0) + 1
        found.append((took - asked, took, asked, answer.status, accept, text))
        if took > asked + SLACK:
            print(f"{took >> 20} MiB taken, {asked >> 20} counted, {answer.status}, body {len(data) >> 20} MiB: {text} "
                  f"{answer.body[:150] if answer.status != 200 else ''}", flush=True)
        elif options.verbose:
            print(f"  {took >> 20} of {asked >> 20}, {answer.status}: {text[:200]} {answer.body[:80] if answer.status != 200 else ''}",
                  flush=True)
    watched.server.stop()
    beyond = [entry for entry in found if entry[0] > SLACK]
    print(f"{len(found)} requests, answers {tally}, {len(beyond)} took more than was counted")
    return 1 if beyond else 0


class ControlGroup:
    """A memory control group of its own, of version 1 or 2; `path` is None where none can be made."""

    FILES = {"v2": ("memory.max", "memory.peak"), "v1": ("memory.limit_in_bytes", "memory.max_usage_in_bytes")}

    def __init__(self, limit):
        self.path, self.version = None, None
        for version, root in (("v2", "/sys/fs/cgroup"), ("v1", "/sys/fs/cgroup/memory")):
            path = pathlib.Path(root) / f"crop-hold-{os.getpid()}"
            with contextlib.suppress(OSError):
                path.mkdir()
                # The system makes these files where it counts memory; elsewhere this is a plain folder.
                if all((path / name).exists() for name in ("cgroup.procs", *self.FILES[version])):
                    (path / self.FILES[version][0]).write_text(str(limit))
                    self.path, self.version = path, version
                    return
                path.rmdir()

    def join(self):
        """In the process that is to be limited."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self):
        return int((self.path / self.FILES[self.version][1]).read_text())

    def remove(self):
        # The system takes a moment to see that the last process is gone.
        for _ in range(50):
            with contextlib.suppress(OSError):
                return self.path.rmdir()
            time.sleep(0.1)


def worst(options):
    """-> the requests that took most memory, one for each endpoint and method, found one after the other."""
    rng = random.Random(options.seed)
    watched = Watched(["--compute-threads", "1", "--event-loops", "1", "--max-in-flight-bytes", "8GiB"], options.crop)
    known = methods(watched.server.target)
    found, tried, end = {}, 0, time.monotonic() + options.search
    while time.monotonic() < end or tried < len(known):
        method = list(known)[tried % len(known)]
        tried += 1
        endpoint, media_type, data, text = case(rng, known, options.megabytes * rng.choice([0.5, 1, 1]), method)
        answer, took, _ = measure(watched, endpoint, media_type, data)
        if answer is None:
            watched.server.wait_for_metric("crop_requests_in_flight 0", seconds=120)
            # It takes what it takes, and for long: the worst there is.
            took = 1 << 40
        key = (endpoint, method)
        if key not in found or took + len(data) > found[key][0]:
            found[key] = (took + len(data), endpoint, media_type, data, text)
    watched.server.stop()
    print(f"{tried} requests tried, {len(found)} kept, {sum(len(kept[3]) for kept in found.values()) >> 20} MiB of bodies",
          flush=True)
    return list(found.values())


def hold(options):
    """Many connections post the worst requests at the same time, and the system gives the process no more memory than that."""
    units = {"MiB": 20, "GiB": 30}
    limit = int(options.hold[:-3]) << units[options.hold[-3:]]
    requests = worst(options)
    group = ControlGroup(limit)
    if group.path:
        # Nothing is set: the server finds the limit, as it does in a container.
        watched = Watched([], options.crop, group.join)
    else:
        # The limit of the process is what the setting leaves room for: a third more, and what the program takes.
        clients = limit - limit // 4 - (80 << 20)
        within = lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))  # noqa: E731
        watched = Watched(["--max-in-flight-bytes", str(clients)], options.crop, within)
    said = watched.server.wait_for_line(r"(?m)[ \"]memory\b.*").group(0)
    promised = int(re.search(r'resident"?[=:]"?(\d+)', said).group(1))
    tally, lock, end = {}, threading.Lock(), time.monotonic() + options.seconds

    def client(number):
        rng = random.Random(options.seed * 1000 + number)
        first = True
        while first or time.monotonic() < end:
            first = False
            _, endpoint, media_type, data, _ = rng.choice(requests)
            try:
                status = post(watched.server.target, endpoint, media_type, data, timeout=300).status
            except (Closed, OSError):
                status = "closed"
            with lock:
                tally[status] = tally.get(status, 0) + 1

    threads = [threading.Thread(target=client, args=[number]) for number in range(options.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alive = watched.server.process.poll() is None
    peak = watched.status("VmHWM") if alive else 0
    charged = f", {group.peak() >> 20} charged to the control group ({group.version})" if group.path else ""
    if alive:
        watched.server.stop()
    if group.path:
        group.remove()
    print(f"{'held' if alive else 'THE SERVER ENDED'}: resident at most {peak >> 20} MiB of {promised >> 20} promised, limit "
          f"{limit >> 20}{charged}; answers {dict(sorted(tally.items(), key=str))}")
    return 0 if alive and peak <= promised <= limit and tally.get(200) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", help="the program; else CROP_BINARY or the debug build")
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=float, default=8, help="of a request's tensors")
    parser.add_argument("--hold", metavar="SIZE", help="post from many connections under this limit")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--search", type=float, default=120, help="seconds to look for the worst requests, with --hold")
    parser.add_argument("--seconds", type=float, default=120, help="to post them")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    sys.exit(hold(options) if options.hold else search(options))


if __name__ == "__main__":
    main()
