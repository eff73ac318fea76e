"""One small request must not kill, stall or outgrow the server: each kind of attack against a fresh one.

Every case states how much processor time and how much memory at its peak (VmHWM) it may take, within an address space
of 3 GB; afterwards the server must still answer. Work that is refused beforehand takes milliseconds; the limit in
seconds is that of compute-timeout (5 s, which two threads may use at once) and what its checks are late by.
"""
import base64
import contextlib
import gzip
import io
import json
import math
import pathlib
import resource
import struct
import time
import zlib

import numpy as np
import pytest

from bodies import safetensors_bytes
from server import Server
from wire import Connection, request

MEBI = 1 << 20
ADDRESS_SPACE = 3 << 30
# Combining marks of two classes, which Unicode's canonical order has sorted: the worst for a comparison of strings.
MARKS = "\u0301\u0323"


def fresh(*flags):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))  # noqa: E731
    return Server("--event-loops", "1", "--compute-threads", "2", *flags, preexec_fn=limit)


def peak_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def tensor(shape, data=b"", dtype="U8"):
    return {"dtype": dtype, "shape": shape, "base64": base64.b64encode(data).decode()}


def check(requests, statuses, seconds, mebibytes, flags=()):
    """Sends each of `requests`, (method, target, fields, body), and measures the server over all of them."""
    with fresh(*flags) as server:
        for method, target, fields, body in requests:
            with Connection(server.target, timeout=60) as connection:
                answer = connection.exchange(request(method, target, fields, body))
            assert answer.status in statuses, (answer.status, answer.body[:300])
            if answer.status >= 400:
                # Errors of the Open Inference Protocol have no member of that name.
                assert answer.json.get("status", answer.status) == answer.status
        with Connection(server.target, timeout=10) as connection:
            assert connection.exchange(request(target="/livez")).status == 200
        used, peak = server.cpu_seconds(), peak_bytes(server) / MEBI
        assert used <= seconds, f"{used:.2f} s of processor time"
        assert peak <= mebibytes, f"{peak:.0f} MiB at the peak"


def post(target, document, coding=None):
    body = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
    fields = [("Content-Type", "application/json")]
    if coding == "gzip":
        body, fields = gzip.compress(body, 9), [*fields, ("Content-Encoding", "gzip")]
    return "POST", target, fields, body


@pytest.fixture(scope="module")
def registered():
    """What the server itself says of its methods, so that a new one is attacked, too."""
    with fresh() as server, Connection(server.target) as connection:
        return connection.exchange(request(target="/methods")).json["methods"]


# Extents

HUGE = [2**62, 2**61, 2**60, 2**47, 2**32, 2**31, 2**24 + 1, 2**24]


def test_rows_without_elements_are_not_believed(registered):
    for method in registered:
        requests = []
        inputs = {"image_features", "attention", "key", "text_features", *method["required_inputs"],
                  *method["optional_inputs"]} - {"image_features"}
        for extent in (2**62, 2**24):
            for shape in ([0, extent], [extent, 0], [extent, 0, extent]):
                document = {"method": method["name"], "keep_ratio": 1, "image_features": tensor(shape)}
                requests += [post("/prune", {**document, name: tensor(shape)}) for name in sorted(inputs)]
                requests += [post("/prune", document), post("/compress", document)]
        check(requests, {400, 422}, seconds=4, mebibytes=200)


@pytest.mark.parametrize("mode", ["diversity", "strided", "attention", "density_peaks"])
def test_compress_without_elements(mode):
    check(
        [post("/compress", {"anchors": mode, "keep_ratio": 1, "image_features": tensor(shape)})
         for extent in HUGE for shape in ([0, extent], [extent, 0])], {400, 422}, seconds=2, mebibytes=200)


def test_extents_in_every_format():
    requests = []
    for extent in HUGE[:6]:
        header = json.dumps({"image_features": {"dtype": "F32", "shape": [0, extent], "data_offsets": [0, 0]}}).encode()
        safetensors = struct.pack("<Q", len(header)) + header
        npy = f"{{'descr':'<f4','fortran_order':False,'shape':(0,{extent}),}}".encode()
        npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(npy)) + npy
        for query in ("method=divprune&keep_ratio=1", "method=tome&keep_tokens=0"):
            requests.append(("POST", f"/prune?{query}", [("Content-Type", "application/x-safetensors")], safetensors))
            requests.append(("POST", f"/prune?{query}", [("Content-Type", "application/x-npy")], npy))
            requests.append(post(f"/prune?{query}", {"image_features": {"shape": [0, extent], "data": []}}))
    check(requests, {400, 422}, seconds=2, mebibytes=200)


INTEGERS = [2**63 - 1, -2**63, 2**62, 2**53, 2**31, -1, 1e308, 1e19]


@pytest.mark.parametrize("member", [
    "keep_tokens", "seed", "stages.layer", "stages.keep_tokens", "model_dimensions.layers", "model_dimensions.hidden_size",
    "method_parameters.frames", "layout.rows", "layout.frames", "region.blocks"])
def test_whole_numbers_do_not_overflow(member):
    base = {"image_features": [[1, 2], [3, 1], [1, 1], [2, 2]], "attention": [1, 2, 3, 4], "method": "evs"}
    requests = []
    for number in INTEGERS:
        document = {**base, "keep_tokens": 2}
        outer, _, inner = member.partition(".")
        if outer == "stages":
            document.pop("keep_tokens")
            document["stages"] = [{"layer": 1, "keep_tokens": 2, inner: number}]
        elif outer == "layout":
            document["layout"] = {"type": "video" if inner == "frames" else "grid", "rows": 2, "columns": 2, inner: number}
        elif outer == "region":
            document["region"] = {"blocks": [0, 0, number, number]}
        elif inner:
            document[outer] = {inner: number}
        else:
            document[outer] = number
        requests += [post("/prune", document), post("/plan", {**document, "layout": document.get("layout", {"type": "grid", "rows": 2, "columns": 2})})]
    check(requests, {200, 400, 422}, seconds=2, mebibytes=200)


# Text

def percent(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())


def test_member_names_of_combining_marks():
    long, other = MARKS * 10_000, MARKS * 9_999 + "\u0323\u0301"
    documents = [
        {long: 1}, {long: 1, other: 2}, {"attention": [1, 2], "keep_tokens": 1, "layout": {long: 1, other: 1}},
        {"attention": [1, 2], "keep_tokens": 1, "method": long}, {"attention": [1, 2], "keep_tokens": 1, "region": {"text": long}},
        {f"{MARKS * 14}{index:06}": 1 for index in range(5_000)},
        {"attention": [1, 2], "stages": [{"layer": 1, "keep_tokens": 1, "attention": long}]},
    ]
    requests = [post(target, document, coding) for document in documents for target in ("/prune", "/plan")
                for coding in (None, "gzip")]
    check(requests, {400, 422}, seconds=4, mebibytes=300)


def test_safetensors_names_of_combining_marks():
    requests = []
    for name in (MARKS * 10_000, MARKS * 64, MARKS * 15):
        names = [name, name[:-2] + "\u0323\u0301"]
        header = {n: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, n in enumerate(names)}
        for text in (json.dumps(header), json.dumps(header, ensure_ascii=False), json.dumps({"__metadata__": {name: name}})):
            raw = text.encode()
            data = b"\0\0" if "dtype" in text else b""
            requests.append(
                ("POST", "/prune?keep_tokens=1", [("Content-Type", "application/x-safetensors")],
                 struct.pack("<Q", len(raw)) + raw + data))
    check(requests, {400, 422}, seconds=2, mebibytes=200)


def test_heads_of_combining_marks():
    text = MARKS * 600  # 7,200 characters of escapes, of the 8 KiB that a request line has
    raw = MARKS * 7_000
    requests = [("POST", target, [("Content-Type", "application/json")], b'{"attention":[1,2],"keep_tokens":1}') for target in (
        f"/prune?{percent(text)}=1", f"/prune?method={percent(text)}", f"/prune?{percent(text[:600])}=1&{percent(text[599::-1])}=2",
        f"/prune?tensor={percent(text)}", f"/prune?tensor_dtype={percent(text)}", f"/{percent(text)}",
        f"/methods/{percent(text)}")]
    for name in ("Origin", "Content-Encoding", "Accept-Encoding", "Accept", "Content-Type", "Expect", "Authorization",
                 "X-Api-Key", "X-Request-Id", "traceparent", "TE", "Connection"):
        fields = [("Content-Type", "application/json")] if name != "Content-Type" else []
        requests.append(
            ("POST", "/prune", [*fields, (name, raw)], b'{"attention":[1,2],"keep_tokens":1}'))
    check(
        requests, {200, 400, 401, 404, 405, 415, 417, 422}, seconds=2, mebibytes=200,
        flags=("--cors-allowed-origins", "https://a.example"))


def distinct(pattern, separator):
    """-> 60 KB of members that differ."""
    return separator.join(pattern % index for index in range(60_000 // len(separator + pattern % 10_000)))


LONG_FIELDS = {
    "Content-Type": ["a/b;" + distinct("a%05d=1", ";")], "Connection": ["a," * 30_000, distinct("a%05d", ",")],
    "Accept": ["a/b;" + distinct("a%05d=1", ";"), distinct("a/b%05d", ","), distinct("application/json;a=%05d", ","), "a/b," * 15_000],
    "Accept-Encoding": ["gzip;q=0.5," * 5_000], "Content-Encoding": ["a," * 30_000, "identity," * 6_000], "Expect": ["100-continue," * 4_000],
    "Cookie": [distinct("a%05d=1", ";")], "Forwarded": [distinct("for=10.0.0.1;a%05d=1", ","), "for=[::1]" + ";for=1" * 9_000],
    "X-Forwarded-For": ["10.0.0.1," * 6_000, ":" * 60_000, "1" * 60_000], "If-None-Match": ['"a",' * 15_000], "Range": ["bytes=" + "0-1," * 15_000],
    "traceparent": ["00-" + "a" * 60_000], "tracestate": [distinct("a%05d=1", ",")], "Origin": ["a" * 60_000], "TE": ["a," * 30_000],
    "X-Request-Id": ["a" * 60_000], "Authorization": ["Bearer " + " " * 60_000, "Bearer " + "a" * 60_000], "X-Api-Key": ["a" * 60_000],
}


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for"])
def test_long_fields_take_no_longer_than_their_bytes(tmp_path, header):
    """Before the key is known, on probes and pages, too."""
    keys = tmp_path / "keys"
    keys.write_text("k" * 32 + "\n")
    keys.chmod(0o600)
    requests = [
        (method, target, [*([("Content-Type", "application/json")] if name != "Content-Type" and method == "POST" else []), (name, value)],
         b'{"attention":[1,2],"keep_tokens":1}' if method == "POST" else None)
        for name, values in LONG_FIELDS.items() for value in values
        for method, target in (("GET", "/livez"), ("GET", "/"), ("GET", "/metrics"), ("POST", "/prune"))]
    check(requests, {200, 206, 400, 401, 415, 417}, seconds=0.3, mebibytes=40, flags=(
        "--api-key-file", keys, "--cors-allowed-origins", "https://a.example", "--trusted-proxies", "127.0.0.0/8,10.0.0.0/8",
        "--forwarded-header", header, "--response-compression", "on"))


def test_nearest_names_are_short():
    stages = [{"layer": index, "keep_tokens": 1, "attention": "a" * 16 + f"{index:03}" + "b" * 230} for index in range(64)]
    check(
        [post("/prune", {"c" * 250: [1, 2], "stages": stages}), post("/prune", {"keep_tokns" * 25: 1})],
        {400, 422}, seconds=1, mebibytes=200)


# A joiner is no combining mark, so a text may have any number of them in a row, and they are one character.
JOINER = "\u200d"


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return "POST", "/prune?keep_tokens=1", [("Content-Type", "application/x-npz")], buffer.getvalue()


def test_quotes_are_short():
    """However many scalars make up a character."""
    long, short = "a" + JOINER * 100_000, "a" + JOINER * 80
    row = {"attention": [1, 2], "keep_tokens": 1}
    numbers = {"shape": [2], "data": [1, 2]}
    header = json.dumps({"attention": {"dtype": long, "shape": [2], "data_offsets": [0, 2]}}, ensure_ascii=False).encode()
    part = f'--b\r\nContent-Disposition: form-data; name="{short}"\r\n\r\n1\r\n'.encode()
    entry = {"name": "attention", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    inputs = lambda **members: post("/v2/models/crop-prune/infer", {  # noqa: E731
        "inputs": [entry], "parameters": {"keep_tokens": 1}, **members})
    requests = [
        post("/prune", {**row, short: 1}), post("/prune", {**row, short: [1, 2]}), post("/prune", {**row, "method": long}),
        post("/prune", {**row, "region_policy": long}), post("/prune", {"attention": {**numbers, "dtype": long}}),
        post("/prune", {"attention": [1, 2], "stages": [{"layer": 1, "keep_tokens": 1, "attention": long}]}),
        post(f"/prune?tensor_dtype={percent(short)}", row),
        post("/compare", {**row, "methods": ["topk"], short: 1}), post("/compare", {**row, "methods": [{"method": "topk", short: 1}]}),
        ("POST", "/prune?keep_tokens=1", [("Content-Type", "application/x-safetensors")],
         struct.pack("<Q", len(header)) + header + b"\0\0"),
        npz(**{short + "/x": np.float32([1, 2])}),
        ("POST", "/prune", [("Content-Type", "multipart/form-data; boundary=b")], part * 2 + b"--b--\r\n"),
        inputs(inputs=[{**entry, "datatype": long}]), inputs(inputs=[{**entry, "name": long}]),
        inputs(inputs=[{**entry, "name": short}] * 2), inputs(inputs=[{**entry, "parameters": {short: 1}}]),
        inputs(outputs=[{"name": long}]), inputs(outputs=[{"name": "kept_indices", short: 1}]),
        inputs(outputs=[{"name": "kept_indices", "parameters": {short: 1}}]),
    ]
    with fresh() as server:
        for method, target, fields, body in requests:
            with Connection(server.target, timeout=60) as connection:
                answer = connection.exchange(request(method, target, fields, body))
            assert answer.status in (400, 415, 422), (target, answer.status, answer.body[:300])
            quoted = answer.json.get("detail", answer.json.get("error"))
            # 60, and those of names in front of the sentence, which have at most 256 bytes.
            assert quoted.count(JOINER) <= (60 if answer.json.get("pointer", "").count(JOINER) == 0 else 140), quoted


def test_lists_of_names_are_not_made_longer_than_they_may_be():
    check([post("/compare", {"attention": [1, 2], "keep_tokens": 1, "methods": "a," * 8_000_000})], {422}, seconds=2, mebibytes=200)


def test_metadata_is_not_searched_for_misspelled_parameters_without_end():
    header = json.dumps({
        "attention": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
        "__metadata__": {f"region_polarisation_{index:06}": "" for index in range(4_000)}}).encode()
    check(
        [("POST", "/prune?keep_tokens=1", [("Content-Type", "application/x-safetensors")],
          struct.pack("<Q", len(header)) + header + b"\1\2\3\4")], {200}, seconds=1, mebibytes=300)


def test_a_text_with_boxes_is_read_once_for_all_images():
    """Images of other sizes need other tokens of the region, and nothing else of it."""
    images = [[1] * (4 if index % 2 else 9) for index in range(4_000)]
    text = "<think>" + "[1, 2, 3 " * 7_000 + "</think> [0.1,0.1,0.5,0.5]"
    check(
        [post("/prune", {"attention": images, "batched": True, "method": "topk", "keep_tokens": 1, "region": {"text": text}})],
        {200}, seconds=1, mebibytes=300)


# Answers

def test_answers_are_summed_over_the_request():
    stages = [{"layer": index, "keep_ratio": 1} for index in range(64)]
    batch = {"shape": [40, 1, 16384], "dtype": "I8", "base64": base64.b64encode(bytes(40 * 16384)).decode()}
    requests = [
        post("/prune", {"attention": batch, "batched": True, "method": "topk", "stages": stages, "explain": True}),
        post("/prune", {"attention": batch, "batched": True, "method": "topk", "stages": stages[:40]}),
    ]
    check(requests, {413, 422, 503}, seconds=22, mebibytes=1000)


def test_explanations_are_charged():
    batch = tensor([4096, 1, 4096], bytes(4096 * 4096), "U8")
    check(
        [post("/prune", {"attention": batch, "batched": True, "method": "topk", "keep_ratio": 1, "explain": True}),
         post("/localize", {"attention": batch, "batched": True, "localize": {"source": "attention"}})],
        {413, 422, 503}, seconds=22, mebibytes=1200)


def prompt(images, previous=False):
    """About 700,000 tokens of text before and after each image, which a request tells in two numbers."""
    document = {"batched": True, "attention": tensor([images, 1, 2], bytes([1, 2]) * images),
                "bookkeeping": {"text_tokens": [349_000, 349_000]}}
    if previous:
        return {**document, "layout": {"type": "grid", "rows": 1, "columns": 2}, "previous": [{"kept_indices": [0]}] * images}
    return {**document, "layout": {"type": "qwen2_vl", "grid_thw": [1, 2, 4]}, "method": "topk", "keep_tokens": 1}


def test_position_ids_of_a_prompt_are_charged():
    """A few hundred bytes ask for 14 MB of ids in JSON, and for each image of a batch as much again."""
    check([post("/prune", prompt(1))], {200}, seconds=4, mebibytes=300)
    check([post("/prune", prompt(64)), post("/prune", prompt(4_096))], {422}, seconds=1, mebibytes=60)
    check([post("/prune", prompt(1))], {413}, seconds=1, mebibytes=60, flags=("--max-in-flight-bytes", "64MiB"))
    plan = {"layout": [{"type": "qwen2_vl", "grid_thw": [1, 2, 2]}] * 512, "keep_tokens": 1,
            "bookkeeping": {"text_tokens": [349_000, 349_000]}}
    check([post("/plan", plan)], {200, 503}, seconds=3, mebibytes=100)


def test_answers_are_not_kept_whole():
    """What no element decides is answered again from memory: 250 bytes a head and form must not hold 150 MB each."""
    requests = []
    for head in range(4):
        for text in range(4):
            document = {**prompt(3), "method": "uniform", "bookkeeping": {"text_tokens": [349_000, 348_000 + text]}}
            method, target, fields, body = post("/prune", document)
            requests.append((method, target, [*fields, ("User-Agent", str(head)), ("Accept", "image/svg+xml")], body))
    check(requests, {200}, seconds=12, mebibytes=500)


def images_under_one_budget(batch, images):
    """A batch of layouts with many images, under one budget: each image has a state of its own at the same time."""
    return {"batched": True, "layout": {"type": "qwen2_vl", "grid_thw": [[1, 2, 2]] * images},
            "attention": tensor([batch, 1, images], bytes([1]) * (batch * images)), "method": "topk", "keep_tokens": 1,
            "budget_scope": "request"}


def test_images_under_one_budget_are_counted():
    """Three kilobytes made two million images, a kilobyte each."""
    check([post("/prune", images_under_one_budget(4_096, 512), "gzip")], {413, 503}, seconds=12, mebibytes=700,
          flags=("--max-in-flight-bytes", "512MiB"))
    check([post("/prune", images_under_one_budget(256, 256), "gzip")], {200}, seconds=4, mebibytes=300)


def test_views_of_each_image_are_counted():
    """Frames of one token: a layout of a hundred bytes, and for each image of the batch 4,096 views, groups and lists."""
    images, frames = 260, 4_096
    document = {"batched": True, "layout": {"type": "video", "frames": frames, "rows": 1, "columns": 1},
                "region": {"box": [0, 0, 0.9, 1]}, "seed": list(range(images)), "budget_scope": "tile", "explain": True,
                "method": "topk", "keep_ratio": 1, "attention": tensor([images, 1, frames], bytes([1]) * (images * frames))}
    check([post("/prune", document)], {413}, seconds=3, mebibytes=250, flags=("--max-in-flight-bytes", "256MiB"))


def test_maps_of_each_image_of_a_layout_are_counted():
    """/localize answers 64 numbers and regions about each: 135 KB asked for 58 MB of text."""
    def batch(count, images):
        data = np.random.default_rng(5).integers(1, 255, count * images, np.uint8).tobytes()
        return {"batched": True, "layout": {"type": "qwen2_vl", "grid_thw": [[1, 2, 2]] * images},
                "attention": tensor([count, 1, images], data)}
    check([post("/localize", batch(512, 256))], {413, 422}, seconds=3, mebibytes=150,
          flags=("--max-in-flight-bytes", "512MiB"))
    check([post("/localize", batch(16, 64))], {200}, seconds=2, mebibytes=100)


@pytest.mark.parametrize("target", ["/prune", "/plan"])
def test_layouts_of_many_images_are_taken_apart_in_linear_time(target):
    """The region has a million tokens, and each of 4,096 images looks for its own."""
    document = {"layout": {"type": "qwen2_vl", "grid_thw": [[1, 2, 2]] * 4_095 + [[1, 2_000, 2_000]]}, "method": "uniform",
                "keep_tokens": 1, "region": {"box": [0, 0, 1, 1], "image": 4_095}, "region_policy": "first"}
    check([post(target, document)], {200}, seconds=3, mebibytes=500)


def ragged(images, longest):
    """One image of many tokens among images of one: the protocol's response has rows of one length, filled up."""
    sizes = [longest] + [1] * (images - 1)
    header = json.dumps({
        "inputs": [{"name": f"attention.{index}", "datatype": "UINT8", "shape": [1, size],
                    "parameters": {"binary_data_size": size}} for index, size in enumerate(sizes)],
        "outputs": [{"name": "kept_indices", "parameters": {"binary_data": True}}],
        "parameters": {"method": "topk", "keep_ratio": 1}}).encode()
    fields = [("Inference-Header-Content-Length", str(len(header))), ("Content-Encoding", "gzip")]
    return "POST", "/v2/models/crop-prune/infer", fields, gzip.compress(header + bytes([1]) * sum(sizes))


def test_filled_up_images_are_counted():
    """Twelve kilobytes asked for 6.5 GB."""
    check([ragged(1_024, 50_000), ragged(4_096, 200_000)], {400}, seconds=4, mebibytes=200)
    check([ragged(256, 20_000)], {400, 413}, seconds=1, mebibytes=70, flags=("--max-in-flight-bytes", "64MiB"))
    check([ragged(64, 20_000)], {200}, seconds=2, mebibytes=100)


def test_parameters_of_many_images_do_not_hold_an_event_loop():
    """What fits beside a head is prepared on the loop, which others wait for: 14 KB took it five seconds."""
    check([post("/reselect", prompt(512, previous=True))], {422}, seconds=1, mebibytes=60)


def test_memory_is_there_before_a_request_is_prepared():
    """A layout of a million tokens is a hundred bytes, and 32 methods hold what each of them prepares."""
    image = {"layout": {"type": "grid", "rows": 1_024, "columns": 1_024}, "keep_tokens": 1}
    region = {"region": {"box": [0, 0, 1, 1]}, "region_policy": "first"}
    dropped = {"already_dropped": tensor([1 << 20], bytes(1 << 20))}
    methods = {"methods": ["uniform"] * 32}
    check(
        [post("/compare", {**image, **methods}), post("/compare", {**image, **methods, **region}),
         post("/prune", {**image, **dropped, "method": "uniform"})],
        {413}, seconds=2, mebibytes=70, flags=("--max-in-flight-bytes", "64MiB"))


# Work

def ones(rows, columns):
    return tensor([rows, columns], b"\1" * (rows * columns))


WORK = {
    "divprune, equal rows": ("/prune", {"method": "divprune", "keep_tokens": 4096, "image_features": ones(8192, 1)}),
    "divprune, many rows": ("/prune", {"method": "divprune", "keep_ratio": 0.5, "image_features": ones(65536, 1)}),
    "tome": ("/prune", {"method": "tome", "keep_ratio": 0.5, "image_features": ones(65536, 1)}),
    "vispruner": ("/prune", {"method": "vispruner", "keep_ratio": 0.2, "image_features": ones(4096, 1),
                             "attention": tensor([4096], bytes(4096))}),
    "sparsevlm ranks": ("/prune", {
        "method": "sparsevlm", "keep_ratio": 0.5, "method_parameters": {"rank_scale": 1.0},
        "attention": tensor([1, 512, 576], np.random.default_rng(1).integers(0, 255, 512 * 576, np.uint8).tobytes())}),
    "uniform by tile": ("/prune", {
        "method": "uniform", "budget_scope": "tile",
        "layout": {"type": "video", "frames": 4096, "rows": 2, "columns": 2},
        "stages": [{"layer": index, "keep_ratio": 0.5} for index in range(64)]}),
    "density peaks": ("/compress", {"anchors": "density_peaks", "keep_ratio": 0.5, "image_features": ones(4096, 1)}),
    "diverse anchors": ("/compress", {"anchors": "diversity", "keep_ratio": 0.5, "image_features": ones(16384, 1)}),
    "holov, one crop": ("/prune", {
        "method": "holov", "method_parameters": {"crops": 1}, "keep_tokens": 64, "image_features": ones(40_000, 1),
        "attention": ones(1, 40_000)}),
    "prunesid, one group": ("/prune", {
        "method": "prunesid", "keep_tokens": 64, "image_features": ones(40_000, 1),
        "attention": tensor([40_000], np.random.default_rng(4).integers(1, 255, 40_000, np.uint8).tobytes())}),
    "topk, rows of one number": ("/prune", {"method": "topk", "keep_tokens": 1, "attention": ones(1, 4 << 20) | {"shape": [1, 4 << 20, 1]}}),
    "last of two queries, rows of one number": (
        "/prune", {"method": "fastv", "keep_tokens": 1, "attention": ones(1, 4 << 20) | {"shape": [2 << 20, 2, 1]}}),
    "sparsevlm, rows of one number": (
        "/prune", {"method": "sparsevlm", "keep_tokens": 1, "attention": ones(1, 4 << 20) | {"shape": [1, 4 << 20, 1]}}),
    "openvino": ("/prune", {
        "method": "cdpruner", "keep_ratio": 0.5, "text_features": [1], "method_parameters": {"implementation": "openvino"},
        "image_features": tensor([4_096, 1], np.random.default_rng(6).integers(1, 255, 4_096, np.uint8).tobytes())}),
    "mmtok": ("/prune", {
        "method": "mmtok", "keep_ratio": 0.5, "text_features": [[1], [2]],
        "image_features": tensor([2_000, 1], np.random.default_rng(6).integers(1, 255, 2_000, np.uint8).tobytes())}),
    "cdpruner": ("/prune", {"method": "cdpruner", "keep_ratio": 0.4, "image_features": ones(8192, 1),
                            "text_features": [1]}),
}


@pytest.mark.parametrize("name", WORK)
def test_work_ends(name):
    target, document = WORK[name]
    check([post(target, document)], {200, 422, 503}, seconds=16, mebibytes=700)


MANY = 65536
MANY_LAYOUTS = {
    "one grid": {"type": "grid", "rows": 256, "columns": 256},
    "many frames": {"type": "video", "frames": 16384, "rows": 2, "columns": 2},
}


def many(name):
    """A tensor of one-byte numbers about 65,536 tokens, or nothing where the method knows of a smaller limit first."""
    shapes = {
        "attention": [1, MANY], "text_features": [4, 1], "hidden_states": [MANY + 4, 1], "pixel_values": [MANY, 4],
        "value_states": [1, MANY + 4, 1], "key": [1, MANY, 1], "query": [1, 1]}
    shape = shapes.get(name, [MANY, 1])
    data = np.random.default_rng(sum(name.encode())).integers(1, 120, int(np.prod(shape)), np.uint8)
    return tensor(shape, data.tobytes())


@pytest.mark.parametrize("kind", MANY_LAYOUTS)
def test_every_method_ends_on_65536_tokens(registered, kind):
    """64 KB make a request of quadratic methods that no deadline could wait for: done, too much work or memory, or out of time."""
    requests = []
    for method in registered:
        document = {"method": method["name"], "layout": MANY_LAYOUTS[kind], "keep_ratio": 0.1}
        document |= {name: many(name) for name in method["required_inputs"] or ["attention"]}
        requests.append(post("/prune", document))
        if kind == "many frames":
            requests.append(post("/prune", document | {"budget_scope": "tile", "region_policy": "none"}))
    # One of them at most may take the whole five seconds of compute-timeout.
    check(requests, {200, 413, 422, 503}, seconds=30, mebibytes=700)


def test_the_clock_ends_what_is_left():
    features = np.random.default_rng(2).standard_normal((4096, 64)).astype(np.float32)
    document = {"method": "divprune", "keep_tokens": 2000, "image_features": tensor([4096, 64], features.tobytes(), "F32")}
    with fresh("--compute-timeout", "1ms") as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request(*post("/prune", document)))
        assert (answer.status, answer.json["type"]) == (503, "/problems/compute-timeout")
        assert "--compute-timeout" in answer.json["detail"]
        assert answer.field("Retry-After") is None


# Numbers that are read one by one, 4 MiB of them.
SLOW_NUMBERS = b"[" + b"[1]," * (1 << 20) + b"[1]]"


@pytest.mark.parametrize("kind", ["json", "form", "inference", "compare"])
def test_the_clock_ends_the_reading_of_bodies(kind):
    numbers = b'{"dtype":"BOOL","shape":[1048577,1],"data":' + SLOW_NUMBERS + b"}"
    target, media_type, body = "/prune", "application/json", b'{"method":"uniform","keep_tokens":1,"image_features":' + numbers + b"}"
    if kind == "form":
        media_type = "multipart/form-data; boundary=B"
        body = (b'--B\r\nContent-Disposition: form-data; name="image_features"\r\nContent-Type: application/json\r\n\r\n'
                + numbers + b"\r\n--B--\r\n")
    elif kind == "inference":
        target = "/v2/models/crop-prune/infer"
        body = (b'{"inputs":[{"name":"image_features","datatype":"BOOL","shape":[1048577,1],"data":' + SLOW_NUMBERS
                + b'}],"parameters":{"method":"uniform","keep_tokens":1}}')
    elif kind == "compare":
        target, body = "/compare", body.replace(b'"method":"uniform"', b'"methods":["uniform"]')
    with fresh("--compute-timeout", "20ms") as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request("POST", target, [("Content-Type", media_type)], body))
        assert answer.status == 503, answer.body[:300]
        assert b"reading the body took longer than --compute-timeout" in answer.body


def test_rows_that_are_all_alike_tie_no_longer_than_the_time_there_is():
    """4 MiB: each of half a million rows is as near to each of the others, which only float64 tells; a turn of 512 was 20 s."""
    body = safetensors_bytes({"image_features": np.ones((1 << 20, 1), np.float32)}, {
        "method": "tome", "keep_tokens": 1, "layout": {"type": "raw", "tokens": 1 << 20}})
    with fresh("--compute-timeout", "500ms") as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request("POST", "/prune", [("Content-Type", "application/x-safetensors")], body=body))
        assert (answer.status, answer.json["type"]) == (503, "/problems/compute-timeout")
        assert server.cpu_seconds() < 5



def deflated(blocks):
    """-> an npz of one entry: deflate blocks without content, then four numbers."""
    stream = io.BytesIO()
    np.save(stream, np.arange(100_000, dtype=np.float32))
    array = stream.getvalue()
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    # A block of fixed codes that ends at once, ten bits each: four in five bytes.
    content = bytes.fromhex("0208208000") * blocks + coder.compress(array) + coder.flush()
    name, sizes = b"attention.npy", struct.pack("<III", zlib.crc32(array), len(content), len(array))
    local = struct.pack("<IHHHI", 0x04034B50, 20, 0, 8, 0x210000) + sizes + struct.pack("<HH", len(name), 0) + name
    central = struct.pack("<IHHHHI", 0x02014B50, 20, 20, 0, 8, 0x210000) + sizes + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central), len(local + content), 0)
    return local + content + central + end


def test_archives_are_not_larger_than_their_content():
    check([("POST", "/prune?method=topk&keep_tokens=2", [("Content-Type", "application/x-npz")], deflated(5 << 20))], {400},
          seconds=1, mebibytes=120)


def test_headers_of_many_names_are_not_read():
    def body(members):
        header = b"{" + members + b"}"
        return struct.pack("<Q", len(header)) + header
    names = b",".join(b'"x%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % index for index in range(300_000))
    strings = b",".join(b'"x%d":""' % index for index in range(300_000))
    check([("POST", "/prune?method=uniform&keep_tokens=1", [("Content-Type", "application/x-safetensors")], body(members))
           for members in (names, b'"__metadata__":{' + strings + b"}")], {422}, seconds=0.5, mebibytes=120)


VALUES = b"{" + b",".join(b'"x%d":{}' % index for index in range(900_000)) + b"}"


@pytest.mark.parametrize("kind", ["json", "form", "safetensors", "inference", "plan"])
def test_the_clock_ends_the_reading_of_one_value(kind):
    target, media_type, body = "/prune", "application/json", b'{"attention":[1,2],"keep_tokens":1,"layout":' + VALUES + b"}"
    if kind == "plan":
        target, body = "/plan", b'{"layout":' + VALUES + b',"keep_tokens":1}'
    elif kind == "inference":
        target = "/v2/models/crop-prune/infer"
        body = b'{"inputs":[],"parameters":{"layout":' + VALUES + b"}}"
    elif kind == "form":
        media_type = "multipart/form-data; boundary=B"
        body = b'--B\r\nContent-Disposition: form-data; name="layout"\r\n\r\n' + VALUES + b"\r\n--B--\r\n"
    elif kind == "safetensors":
        media_type = "application/x-safetensors"
        header = b'{"__metadata__":{"layout":' + json.dumps(VALUES.decode()).encode() + b"}}"
        body = struct.pack("<Q", len(header)) + header
    with fresh("--compute-timeout", "100ms") as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request("POST", target, [("Content-Type", media_type)], body))
        assert answer.status == 503, answer.body[:300]
        assert b"reading the body took longer than --compute-timeout" in answer.body
        # All of it takes more than a second.
        assert server.cpu_seconds() < 0.8


@pytest.mark.parametrize("kind", ["batch", "inference"])
def test_the_clock_ends_the_writing_of_responses(kind):
    """Eight million numbers, merged in a moment and written as text for seconds, though nobody may wait so long."""
    data = np.random.default_rng(3).standard_normal((1024, 16, 512)).astype("<f4").tobytes()
    parameters = {"batched": True, "keep_ratio": 1, "anchors": "strided"}
    if kind == "batch":
        header = json.dumps({
            "image_features": {"dtype": "F32", "shape": [1024, 16, 512], "data_offsets": [0, len(data)]},
            "__metadata__": {"parameters": json.dumps(parameters)}}).encode()
        target, body = "/compress", struct.pack("<Q", len(header)) + header + data
        fields = [("Content-Type", "application/x-safetensors"), ("Accept", "application/json")]
    else:
        header = json.dumps({
            "inputs": [{"name": "image_features", "datatype": "FP32", "shape": [1024, 16, 512],
                        "parameters": {"binary_data_size": len(data)}}],
            "parameters": {**parameters, "binary_data_output": False}}).encode()
        target, body = "/v2/models/crop-compress/infer", header + data
        fields = [("Inference-Header-Content-Length", str(len(header)))]
    # Long enough to read and compute it in, and far from enough to write it.
    with fresh("--compute-timeout", "150ms") as server, Connection(server.target, timeout=60) as connection:
        answer = connection.exchange(request("POST", target, fields, body))
        assert answer.status == 503, (answer.status, answer.body[:300])
        # A machine that is busy may need that long to read and compute it.
        assert b"--compute-timeout" in answer.body
        assert server.cpu_seconds() < 3


def test_texts_of_an_archive_share_their_values():
    """1 KiB of an archive may be 1 MiB of text, and that forty times as much of values."""
    texts = {f"x{i}": np.array(b"[" + b'{"a":[1]},' * 100_000 + b"0]") for i in range(60)}
    stream = io.BytesIO()
    np.savez_compressed(stream, image_features=np.ones((4, 1), np.float32), **texts)
    fields = [("Content-Type", "application/x-npz")]
    check([("POST", "/prune", fields, stream.getvalue())], {413, 422}, seconds=4, mebibytes=400)
    lone = io.BytesIO()
    np.savez_compressed(lone, image_features=np.ones((4, 1), np.float32), parameters=texts["x0"])
    check([("POST", "/prune", fields, lone.getvalue())], {422}, seconds=2, mebibytes=60)


def test_texts_of_many_archives_are_counted():
    """Each part of a form may be an archive, with texts within its own limits."""
    stream = io.BytesIO()
    np.savez_compressed(stream, image_features=np.ones((4, 1), np.float32))
    parts = [b'--B\r\nContent-Disposition: form-data; name="image_features"; filename="a.npz"\r\n\r\n' + stream.getvalue() + b"\r\n"]
    for index in range(1_000):
        stream = io.BytesIO()
        np.savez_compressed(stream, **{f"x{index}": np.array("[" + '{"a":[1]},' * 1_600 + "0]")})
        parts.append(b'--B\r\nContent-Disposition: form-data; name="%d"; filename="a.npz"\r\n\r\n' % index + stream.getvalue() + b"\r\n")
    fields = [("Content-Type", "multipart/form-data; boundary=B")]
    check([("POST", "/prune", fields, b"".join(parts) + b"--B--\r\n")], {413}, seconds=1, mebibytes=60,
          flags=("--max-in-flight-bytes", "512MiB"))


def test_responses_about_many_images_are_written_in_linear_time():
    images = 4_096
    document = {"batched": True, "keep_tokens": 1, "image_features": tensor([images, 4, 1], bytes(range(1, 5)) * images)}
    method, target, fields, body = post("/compress", document)
    accept = [*fields, ("Accept", "application/x-safetensors")]
    check([(method, target, accept, body)], {200}, seconds=8, mebibytes=600)


def packed(target, shapes, parameters, coding="gzip"):
    """A request with tensors of one-byte ones in the format of safetensors."""
    entries, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + int(np.prod(shape))
        entries[name] = {"dtype": "U8", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    header = json.dumps(entries | {"__metadata__": {"parameters": json.dumps(parameters)}}).encode()
    body = struct.pack("<Q", len(header)) + header + b"\1" * offset
    fields = [("Content-Type", "application/x-safetensors")]
    if coding:
        body, fields = gzip.compress(body, 9), [*fields, ("Content-Encoding", coding)]
    return "POST", target, fields, body


def test_pivots_are_compared_some_at_a_time():
    """A matrix of all tokens and all pivots of dart took a gigabyte."""
    method = {"method": "dart", "method_parameters": {"image_pivots": 1024, "text_pivots": 1024}}
    check([packed("/prune", {"image_features": (30000, 1), "text_features": (1024, 1)}, method | {"keep_tokens": 4000})],
          {200, 422, 503}, seconds=8, mebibytes=150)


def test_heads_of_hidden_states_are_bounded():
    shapes = {"hidden_states": (60000, 1), "norm_weight": (1,), "query_weight": (2048, 1), "key_weight": (2, 1)}
    parameters = {"method": "pyramiddrop", "layout": {"type": "raw", "tokens": 1}, "keep_tokens": 1, "region_policy": "none",
                  "method_parameters": {"heads": 1024, "kv_heads": 1}}
    check([packed("/prune", shapes, parameters)], {422}, seconds=2, mebibytes=100)


def test_sums_of_heads_are_counted():
    """Numbers of eight bytes for each byte of attention that has one rater."""
    check([packed("/prune", {"attention": (5000, 1, 5000)}, {"method": "sparsevlm_plus", "keep_tokens": 1}, coding=None)],
          {413}, seconds=2, mebibytes=100, flags=("--max-in-flight-bytes", "64MiB"))


LONG_ON_A_LOOP = {
    "query and key": packed("/localize", {"query": (30000, 1), "key": (8100, 1)},
                            {"layout": {"type": "grid", "rows": 90, "columns": 90}, "localize": {"source": "query_key"}}),
    "ivcprune": packed("/prune", {"value_states": (12000, 1)}, {
        "method": "ivcprune", "layout": {"type": "raw", "tokens": 1}, "keep_tokens": 1}),
    "pyramiddrop": packed("/prune", {"hidden_states": (50000, 1), "norm_weight": (1,), "query_weight": (2048, 1), "key_weight": (2, 1)}, {
        "method": "pyramiddrop", "layout": {"type": "raw", "tokens": 1}, "keep_tokens": 1, "region_policy": "none",
        "method_parameters": {"heads": 1024, "kv_heads": 1}}),
}


@pytest.mark.parametrize("kind", LONG_ON_A_LOOP)
def test_a_wrong_estimate_does_not_hold_an_event_loop(kind):
    """Another connection of the only loop is answered meanwhile."""
    attack = LONG_ON_A_LOOP[kind]
    with fresh() as server, Connection(server.target, timeout=60) as busy, Connection(server.target, timeout=60) as other:
        assert other.exchange(request(target="/livez")).status == 200
        busy.send(request(*attack))
        waited = []
        for _ in range(20):
            start = time.monotonic()
            assert other.exchange(request(target="/livez")).status == 200
            waited.append(time.monotonic() - start)
        assert max(waited) < 0.5, f"{max(waited):.2f} s"
        assert busy.read_answer().status in {200, 422, 503}


def test_requests_sent_ahead_do_not_hold_an_event_loop():
    """16 KB of heads, for each of which a document is compressed, take turns with the requests of others."""
    ahead = request("HEAD", "/openapi.json", [("Accept-Encoding", "gzip")])
    count = (16 << 10) // len(ahead)
    with fresh("--response-compression", "on") as server, Connection(server.target, timeout=60) as busy, \
            Connection(server.target, timeout=60) as other:
        assert other.exchange(request(target="/livez")).status == 200
        busy.send(ahead * count)
        answers = [busy.read_answer("HEAD")]
        other.send(request(target="/livez"))
        answers += [busy.read_answer("HEAD") for _ in range(count - 1)]
        assert {(answer.status, answer.field("Content-Encoding")) for answer in answers} == {(200, "gzip")}
        number = lambda answer: int(answer.field("X-Request-Id")[16:], 16)  # noqa: E731
        assert number(other.read_answer()) < number(answers[-1])


def test_query_and_key_end_by_the_clock():
    attack = packed("/localize", {"query": (1000000, 1), "key": (4096, 1)}, {
        "layout": {"type": "grid", "rows": 64, "columns": 64}, "localize": {"source": "query_key"}})
    check([attack], {422, 503}, seconds=12, mebibytes=150)


def test_texts_of_an_inference_request_share_their_values():
    text = b"[" + b"1," * (4 << 20) + b"1]"
    inputs, binary = [], b""
    for name in ["layout", "region", "localize", "stages", "previous"]:
        data = struct.pack("<I", len(text)) + text
        inputs.append({"name": name, "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}})
        binary += data
    header = json.dumps({"inputs": inputs}).encode()
    fields = [("Inference-Header-Content-Length", str(len(header)))]
    check([("POST", "/v2/models/crop-prune/infer", fields, header + binary)], {400, 413, 422}, seconds=3, mebibytes=200)


def test_the_id_of_an_inference_request_is_short():
    document = {"id": "x" * 2000, "inputs": [{"name": "attention", "datatype": "FP32", "shape": [4], "data": [1, 2, 3, 4]}],
                "parameters": {"method": "topk", "keep_tokens": 1}}
    check([post("/v2/models/crop-prune/infer", document)], {400, 422}, seconds=1, mebibytes=60)


def test_a_layout_of_other_tokens_than_there_were(registered):
    """What is left of the tokens may be all that the tensors are about: a layout of more or fewer ended the process."""
    shapes = {"image_features": (4, 3), "relevance_features": (4, 3), "text_features": (2, 3), "key": (4, 3), "query": (3,),
              "hidden_states": (7, 3), "pixel_values": (4, 3), "value_states": (8, 3), "encoder_features": (4, 3)}
    requests = []
    for method in registered:
        tensors = {name: tensor(shapes.get(name, (4,)), bytes(range(1, 1 + math.prod(shapes.get(name, (4,))))))
                   for name in method["required_inputs"] or ["attention"]}
        for left in ({"previous": {"kept_indices": [0, 1, 2, 3], "tokens": 16}},
                     {"already_dropped": tensor([16], b"\0" * 4 + b"\1" * 12)}):
            for rows, columns in ((5, 5), (2, 1)):
                document = {"method": method["name"], "keep_tokens": 2, **tensors, **left,
                            "layout": {"type": "grid", "rows": rows, "columns": columns}}
                requests += [post("/prune", document | more) for more in ({}, {"explain": True, "bookkeeping": True})]
    check(requests, {422}, seconds=4, mebibytes=100)


def test_tokens_that_no_tensor_has_are_counted():
    """Of a layout or of `previous`, beside tensors that are short."""
    previous = {"attention": [1, 2], "previous": {"kept_indices": [0, 5], "tokens": 1_000_000}, "method": "topk", "keep_tokens": 1}
    text = {"text_features": [1, 2, 3], "layout": {"type": "grid", "rows": 1024, "columns": 1024}, "keep_tokens": 1}
    check([post("/prune", previous | {"explain": True}), post("/prune", text | {"method": "uniform"}),
           post("/compare", text | {"methods": ["uniform"] * 32})], {413}, seconds=2, mebibytes=100,
          flags=("--max-in-flight-bytes", "64MiB"))


def test_parameters_that_are_echoed_are_short():
    method = {"method": "uniform", "method_parameters": {"x": "&" * (4 << 20)}}
    document = {"layout": {"type": "grid", "rows": 2, "columns": 2}, "keep_tokens": 1, "methods": [method]}
    attack, target, fields, body = post("/compare", document)
    check([(attack, target, [*fields, ("Accept", accept)], body) for accept in ("image/svg+xml", "application/json")], {422}, seconds=1,
          mebibytes=90)


def test_operations_that_are_kept_are_small():
    """Each request has 64 images with as many views of their own, and is prepared for others like it, which never come."""
    layout = {"type": "video", "frames": 128, "rows": 1, "columns": 1}
    document = {"batched": True, "layout": layout, "attention": tensor([64, 1, 128], bytes(8192)), "method": "topk", "keep_ratio": 0.5,
                "budget_scope": "tile", "region": {"box": [0, 0, 0.9, 0.9]}, "region_policy": "first"}
    requests = []
    for head in range(8):
        for body in range(4):
            method, target, fields, content = post("/prune", document | {"seed": list(range(body, body + 64))})
            requests.append((method, target, [*fields, ("User-Agent", f"u{head}")], content))
    check(requests, {200}, seconds=2, mebibytes=35, flags=("--max-in-flight-bytes", "64MiB"))


def test_objects_in_objects_are_counted():
    nested = '{"a":' * 60 + "1" + "}" * 60
    body = b'{"attention":[1,2],"keep_tokens":1,"layout":[' + ",".join([nested] * 16_000).encode() + b"]}"
    check([post("/prune", body, "gzip")], {413}, seconds=1, mebibytes=100, flags=("--max-in-flight-bytes", "64MiB"))


@pytest.mark.parametrize("target", ["/compress", "/localize"])
def test_dropped_tokens_are_not_ignored(target):
    document = {"image_features": [[1, 2], [3, 4], [5, 6], [7, 8]], "attention": [1, 2, 3, 4], "already_dropped": [0, 0, 1, 1]}
    check([post(target, document | ({"keep_tokens": 2} if target == "/compress" else {}))], {422}, seconds=1, mebibytes=60)


def test_dropped_tokens_are_no_more_than_tokens():
    shapes = {"attention": (2_999_999,), "already_dropped": (3_000_000,)}
    check([packed("/prune", shapes, {"method": "topk", "keep_tokens": 10})], {422}, seconds=1, mebibytes=100)


def test_announced_bodies_take_no_address_space():
    """A hundred clients announce 6.4 GB, twice what may be mapped, and send a hundred bytes each."""
    body = io.BytesIO()
    np.save(body, np.random.default_rng(5).random((64, 16_384), dtype=np.float32))
    prune = request("POST", "/prune?method=topk&keep_tokens=64&tensor=attention&batched=false",
                    [("Content-Type", "application/x-npy")], body.getvalue())
    with fresh() as server, contextlib.ExitStack() as stack:
        with Connection(server.target, timeout=60) as connection:
            kept = connection.exchange(prune).json["kept_indices"]
        for _ in range(100):
            announcing = stack.enter_context(Connection(server.target))
            announcing.send(request("POST", "/prune", [("Content-Type", "application/json"), ("Content-Length", 64 * MEBI)]))
            announcing.send(b"[" * 100)
        server.wait_for_metric("crop_request_body_bytes_in_flight [1-9][0-9]{5,}")
        # Among them, an honest body whose buffer grows as it comes.
        with Connection(server.target, timeout=60) as connection:
            assert connection.exchange(prune).json["kept_indices"] == kept
        assert peak_bytes(server) < 200 * MEBI


# A block of deflate with tables of codes as large as they get, and nothing in it, in front of an empty stored one.
EMPTY_BLOCK = bytes.fromhex(
    "ecfd0700c0300cc33882727a7befbdf7de7befbdf7de7befbdf7de7befbdf7de7befbdf7f8bdf7de7b4f3b7bef3dfe47000000ffff")


def test_coded_bodies_without_content_end():
    body = b"\x78\x9c" + EMPTY_BLOCK * (8 * MEBI // len(EMPTY_BLOCK))
    fields = [("Content-Type", "application/json"), ("Content-Encoding", "deflate")]
    check([("POST", "/prune", fields, body)], {413}, seconds=2, mebibytes=60)
