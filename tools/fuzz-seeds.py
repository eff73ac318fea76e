#!/usr/bin/env python3
"""Writes the first inputs of every fuzz target: tools/fuzz-seeds.py FOLDER

They come from the conformance tables, the golden cases and the examples, and from a few hand-written lines. FOLDER gets
one folder per target; `make fuzz` merges them with Fuzz/Corpus, and `make minimise` keeps of both what covers more.
Needs nothing but Python 3.
"""
import base64
import gzip
import hashlib
import io
import json
import pathlib
import re
import struct
import sys
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFORMANCE = ROOT / "Tests" / "HTTP1Tests" / "Conformance"
LARGEST = 4096


# Headers of the PROXY protocol, lists of networks, and fields of proxies.
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PEERS = [
    b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nGET / HTTP/1.1\r\n", b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n",
    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ::1 ::1 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n", b"PROXY UNKNOWN " + b"x" * 120,
    SIGNATURE + b"\x21\x11\0\x0c" + bytes(12), SIGNATURE + b"\x21\x21\0\x27" + bytes(39), SIGNATURE + b"\x21\x31\0\xd8" + bytes(216),
    SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), SIGNATURE + b"\x21\x11\xff\xff",
    b"10.0.0.0/8,fd00::/8,192.0.2.7,unix\n192.0.2.7, 10.0.0.1", b"none\n2001:db8::7, [::1]:80, unknown", b"::/0,0.0.0.0/0\n",
    b"64:ff9b::192.0.2.1\nfor=192.0.2.7;proto=https, for=\"[2001:db8::7]:4711\"", b"::ffff:10.0.0.1\nFor=_hidden, for=unknown",
    b"1:2:3:4:5:6:7::\nfor=\"192.0.2.7", b"10.0.0.1/8\n192.0.2.7:4711,,", b"",
]


def unescaped(text):
    """The bytes of a conformance case: \\r, \\n, \\t, \\0, \\\\ and \\xHH are bytes, line breaks nothing."""
    out, rest = bytearray(), text.replace("\n", "")
    for plain, escape in re.findall(r"([^\\]+)|\\(x[0-9a-fA-F]{2}|.)", rest):
        if plain:
            out += plain.encode()
        elif escape[0] == "x":
            out.append(int(escape[1:], 16))
        else:
            out += {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0"}.get(escape, escape.encode())
    return bytes(out)


def cases(name):
    text = (CONFORMANCE / name).read_text()
    sections = [section.split("\n")[1:] for section in text.split("\n## ")[1:]]
    return [unescaped("".join(line for line in lines if not line.startswith("> "))) for lines in sections]


def golden(limit):
    files = sorted((ROOT / "Tests" / "Golden").rglob("*.safetensors")) + sorted((ROOT / "Examples").glob("*.npy"))
    return [path.read_bytes() for path in files if path.stat().st_size <= limit]


def choices():
    """Bytes that OperationTarget.swift takes apart: nothing, and 48 that chance chose."""
    return [b""] + [hashlib.shake_128(str(index).encode()).digest(16 + 5 * index) for index in range(48)]


def models():
    """Weights as they are, cut short, and with one name, one number and one type that are wrong."""
    few = (ROOT / "Tests" / "Golden" / "models" / "weights" / "few.safetensors").read_bytes()
    return [few, few[:-2], few.replace(b"attention.key.bias", b"attention.key.bass"), few[:-2] + b"\xc0\x7f",
            few.replace(b'\\"heads\\": 1', b'\\"heads\\": 3'), few.replace(b"BF16", b"I16 ", 1)]


def npy(descriptor, shape, data, fortran=False, version=1):
    text = f"{{'descr': '{descriptor}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    width = 2 if version == 1 else 4
    text += b" " * (63 - (8 + width + len(text)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text + data


def safetensors(tensors, parameters=None):
    header, offset, data = {}, 0, b""
    if parameters is not None:
        header["__metadata__"] = {"parameters": json.dumps(parameters)}
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def floats(count, step=0.37):
    return [round((i * step) % 1 + i / 64, 3) for i in range(count)]


def packed(values, code="f"):
    return struct.pack(f"<{len(values)}{code}", *values)


def json_bodies():
    grid = {"type": "grid", "rows": 4, "columns": 4}
    rows = [floats(16), floats(16, 0.11)]
    features = [floats(4, 0.1 + i / 50) for i in range(16)]
    bodies = [
        {"attention": floats(16), "keep_tokens": 4, "layout": grid},
        {"attention": rows, "keep_ratio": 0.25, "method": "topk", "region": [{"box": [0.1, 0.2, 0.5, 0.6]}]},
        {"attention": {"dtype": "F16", "shape": [16], "base64": base64.b64encode(packed(floats(16), "e")).decode()}},
        {"position_ids": {"dtype": "I64", "shape": [4, 4], "data": list(range(16))}},
        {"attention": [{"dtype": "F32", "shape": [2], "data": [1, 2]}, {"dtype": "F32", "shape": [3], "data": [1, 2, 3]}]},
        {"attention": [[1, 2], [1, 2, 3]], "batched": True},
        {"image_features": features, "text_features": features[0], "layout": grid, "keep_tokens": 4},
        {"attention": floats(16), "stages": [{"layer": 2, "keep_tokens": 8}, {"layer": 16, "keep_ratio": 0.1}]},
        {"attention": floats(16), "localize": {"objective": "coverage", "coverage": 0.6, "max_regions": 2}},
        {"image_features": features, "region": {"blocks": [2, 2, 5, 5]}, "prune_ratio": 0.75, "layout": grid},
        {"attention": floats(16), "region": {"text": "[1,1,4,4]"}, "region_policy": "share", "region_share": 0.5,
         "explain": True, "model_dimensions": {"layers": 32, "hidden": 64, "heads": 32, "intermediate": 110}},
    ]
    for dtype, code in [("F64", "d"), ("I32", "i"), ("I16", "h"), ("I8", "b"), ("U64", "Q"), ("U32", "I"), ("U16", "H"),
                        ("U8", "B"), ("BOOL", "B"), ("F32", "f")]:
        raw = packed([1, 0, 1], code)
        bodies.append({"x": {"dtype": dtype, "shape": [3], "base64": base64.b64encode(raw).decode()}})
        bodies.append({"x": {"dtype": dtype, "shape": [3, 1], "data": [[1], [0], [1]]}})
    bodies.append({"x": {"dtype": "BF16", "shape": [1, 2], "data": [1.5, -3e38]}, "y.0": [1], "y.1": [2]})
    return bodies


def binary_bodies():
    grid = {"layout": {"type": "grid", "rows": 4, "columns": 4}, "keep_tokens": 4}
    features = [value for i in range(16) for value in floats(4, 0.1 + i / 50)]
    bodies = [
        safetensors({"attention": ("F32", [16], packed(floats(16)))}, grid),
        safetensors({"image_features": ("F32", [16, 4], packed(features))}, grid),
        safetensors({"image_features": ("F16", [16, 4], packed(features, "e")),
                     "text_features": ("F16", [2, 4], packed(features[:8], "e"))}, grid),
        safetensors({"attention.0": ("F32", [2], packed([1, 2])), "attention.1": ("F32", [3], packed([1, 2, 3]))}),
        safetensors({"a": ("BF16", [2, 0], b""), "b": ("BOOL", [2], b"\1\0"), "c": ("F64", [], packed([1.5], "d"))}),
        safetensors({}),
    ]
    for dtype, code in [("I64", "q"), ("I32", "i"), ("I16", "h"), ("I8", "b"), ("U64", "Q"), ("U32", "I"), ("U16", "H"),
                        ("U8", "B")]:
        bodies.append(safetensors({"x": (dtype, [3], packed([1, 2, 3], code))}))
    return bodies


def npy_bodies():
    bodies = [npy("<f4", "(2, 3)", packed(floats(6)), version=version) for version in (1, 2, 3)]
    bodies += [npy("<f4", "(2, 3, 2)", packed(floats(12)), fortran=True), npy("<V2", "(3,)", packed([1, 2, 3], "H")),
               npy("<f4", "()", packed([1])), npy("<f4", "(0, 5)", b""), npy("|O", "(1,)", b"."),
               npy("|b1", "(2, 2)", b"\1\0\1\1", fortran=True), npy(">f8", "(2, 2)", packed([1, 2, 3, 4], "d"), fortran=True)]
    for code, letter in [("f2", "e"), ("f8", "d"), ("i8", "q"), ("i4", "i"), ("i2", "h"), ("u8", "Q"), ("u4", "I"),
                         ("u2", "H")]:
        bodies += [npy(order + code, "(3,)", packed([1, 2, 3], letter)) for order in "<>"]
    return bodies + [npy("|i1", "(3,)", b"\1\2\3"), npy("|u1", "(3,)", b"\1\2\3")]


def npz_bodies():
    """Archives as numpy and zipfile write them, and with a checksum of 0 everywhere, which the target also accepts."""
    row = npy("<f4", "(4,)", packed(floats(4)))
    count = npy("<i8", "()", packed([2], "q"))
    text = npy("<U4", "()", "topk".encode("utf-32-le"))
    opaque = npy("<V2", "(3,)", packed([1, 2, 3], "H"))
    contents = [{"attention.npy": row}, {"attention.npy": row, "keep_tokens.npy": count, "method.npy": text},
                {"image_features.0.npy": row, "image_features.1.npy": row}, {"x.npy": opaque, "tensor_dtype.npy": npy("<U4", "()", "BF16".encode("utf-32-le"))},
                {"parameters.npy": npy("|S18", "()", b'{"keep_tokens": 2}'), "x.npy": npy(">f8", "(2, 2)", packed(floats(4), "d"), fortran=True)},
                {"archive/data.pkl": b"."}, {"arr_0.npy": row}, {}]
    bodies = []
    for arrays in contents:
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            for large, streamed in ((False, False), (True, False), (True, True)):
                file = io.BytesIO()
                with zipfile.ZipFile(Unseekable(file) if streamed else file, "w", method) as archive:
                    for name, data in arrays.items():
                        info = zipfile.ZipInfo(name)
                        info.compress_type = method
                        with archive.open(info, "w", force_zip64=large) as entry:
                            entry.write(data)
                bodies.append(file.getvalue())
    for body in list(bodies):
        for content in (row, count, text, opaque):
            body = body.replace(struct.pack("<I", zlib.crc32(content)), b"\0\0\0\0")
        bodies.append(body)
    return list(dict.fromkeys(bodies))


class Unseekable(io.RawIOBase):
    """A file as a pipe is: zipfile writes sizes behind the content then."""

    def __init__(self, file):
        self.file = file

    def writable(self):
        return True

    def write(self, data):
        return self.file.write(data)


def form(*parts, end=b"\r\n--b--\r\n"):
    """Parts as (parameters of Content-Disposition, further header lines, content), between boundaries `b`."""
    heads = [f"Content-Disposition: form-data; {name}\r\n{header}\r\n".encode() + content for name, header, content in parts]
    return b"--b\r\n" + b"\r\n--b\r\n".join(heads) + end


def forms():
    row = npy("<f4", "(4,)", packed(floats(4)))
    binary = "Content-Type: application/octet-stream\r\n"
    two = safetensors({"x": ("F32", [2], packed([1, 2])), "y": ("BF16", [1], b"\0\0")}, {"keep_tokens": 1})
    one = safetensors({"x": ("F16", [2], packed([1, 2], "e"))})
    file = 'name="attention"; filename="a.npy"'
    tokens = ('name="keep_tokens"', "", b"2")
    bodies = [
        form((file, binary, row), ('name="parameters"', "", b'{"keep_tokens": 2, "layout": {"type": "grid"}}')),
        form(('name="image_features.0"', "", row), ('name="image_features.1"', "", row), tokens),
        form(("name=tensors; filename=t", binary, two)), form(('name="image_features"; filename="t"', binary, one)),
        form(('name="attention"', "Content-Type: application/json\r\n", b"[[1,2],[3,4]]"), tokens),
        form(('name="attention"', "", b'{"dtype":"F16","shape":[2],"base64":"AAABAA=="}'), tokens),
        form(('name="attention"', "Content-Type: text/plain; charset=utf-8\r\n", b"[1,2]"), ('name="method"', "", b"topk")),
        form((file, binary, npy("<V2", "(3,)", packed([1, 2, 3], "H"))), ('name="tensor_dtype"', "", b"BF16")),
        form((file, binary, row), (file, binary, row)), form(tokens, tokens), form(('name="keep_tokens"', "", b"")),
        form(('name="a\\"b"; filename="C:\\d\\e.npy"', "content-transfer-encoding: base64\r\n", b"QQ==")),
        form(('name="_charset_"', "", b"utf-8"), ('name="region"', "", b'[{"text": "[1,2,3,4]"}]')),
        form((file, "Content-Type: image/png\r\n", b"\x89PNG\r\n\x1a\n")), form((file, binary, b"PK\3\4")),
        b"preamble\r\n" + form(tokens, end=b"\r\n--b-- \r\nepilogue"), form(tokens, end=b""), form(tokens, end=b"\r\n--b"),
        form(tokens, end=b"\r\n--bc\r\n"), form(tokens).replace(b"\r", b""), form(tokens).replace(b"--b\r", b"--b \t\r"),
        b"--b--", b"--b\r\n\r\n--b--", form(('name="x"', "", b'[1],"y":[2]'))]
    return bodies + [body[:len(body) // 2] for body in bodies[:4]]


def inference_bodies():
    """Requests of the Open Inference Protocol, behind two bytes of the length of their JSON."""
    def body(document, binary=None):
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        return struct.pack(">H", 0 if binary is None else len(text)) + text + (binary or b"")

    row = {"name": "attention", "shape": [4], "datatype": "FP32"}
    data = {**row, "data": [0.1, 0.2, 0.4, 0.3]}
    options = {"method": "topk", "keep_tokens": 2, "layout": '{"type": "grid"}', "binary_data_output": True}
    sized = {**row, "parameters": {"binary_data_size": 16}}
    text = {"name": "method", "shape": [1], "datatype": "BYTES"}
    bodies = [
        body({"inputs": [data], "parameters": options, "id": "1"}), body({"inputs": [sized], "parameters": options}, packed(floats(4))),
        body({"inputs": [data, {**text, "data": ["topk"]}]}), body({"inputs": []}),
        body({"inputs": [{**text, "parameters": {"binary_data_size": 8}}, sized]}, b"\4\0\0\0topk" + packed(floats(4))),
        body({"inputs": [{"data": [[1, 2], [3, 4]], "datatype": "BF16", "shape": [2, 2], "name": "x"}]}),
        body({"inputs": [{"name": "x.0", "shape": [1], "datatype": "FP16", "data": [1]}, {"name": "x.1", "shape": [], "datatype": "INT8", "data": [1]}]}),
        body({"inputs": [data], "outputs": [{"name": "kept_indices", "parameters": {"binary_data": True}}], "parameters": {"timeout": 9}}),
        body({"inputs": [{**row, "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 16}}]}),
        body({"inputs": [sized]}, b"short"), body({"inputs": [data], "keep_tokens": 1}), body(b'{"inputs":[{"data":["a",["b"]]}]}')]
    for name, code in [("FP64", "d"), ("INT64", "q"), ("INT32", "i"), ("INT16", "h"), ("INT8", "b"), ("UINT64", "Q"),
                       ("UINT32", "I"), ("UINT16", "H"), ("UINT8", "B"), ("BOOL", "?"), ("FP16", "e")]:
        raw = struct.pack(f"<3{code}", 1, 0, 1)
        port = {"name": "x", "shape": [3], "datatype": name}
        bodies.append(body({"inputs": [{**port, "parameters": {"binary_data_size": len(raw)}}]}, raw))
        bodies.append(body({"inputs": [{**port, "data": [True, False, True] if name == "BOOL" else [1, 0, 1]}]}))
    return bodies


def request(line, fields=(), body=None):
    head = [f"{line} HTTP/1.1", "Host: a", *fields]
    if body is not None:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + (body or b"")


def chunked(line, fields, body):
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", *fields]).encode()
    return head + b"\r\n\r\n%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(body), body)


METHOD_PARAMETERS = {
    "dart": {"image_pivots": 2, "text_pivots": 1}, "hired": {"alpha": 0.5},
    "tome": {"steps": 3, "class_token": True}, "cdpruner": {"relevance_sign": "positive"}, "prumerge": {"neighbours": 4},
    "prumerge_plus": {"neighbours": 4, "important_ratio": 0.5}, "visionzip": {"contextual_tokens": 1}, "evs": {"frames": 3},
    "vispruner": {"important_ratio": 0.5}, "sparsevlm": {"rank_scale": 0.5, "rank_bias": 1},
    "pyramiddrop": {"heads": 2, "rope_base": 10000, "image_start": 2},
    "crop": {"scorer": "diversity"},
}


def every_method():
    """One body per method that holds every tensor any method reads, and one with less."""
    contract = (ROOT / "openapi.yaml").read_text()
    names = re.findall(r"\w+", contract.split("    MethodName:")[1].split("[")[1].split("]")[0])
    numbers = {name: floats(count, 0.1 + len(name) / 50) for name, count in {
        "image_features": 36, "attention": 54, "reference_attention": 9, "query": 4, "key": 36, "text_features": 12, "text_key": 12,
        "text_raters": 3, "early_attention": 54, "sizes": 9, "hidden_states": 60, "norm_weight": 4, "query_weight": 16,
        "key_weight": 16, "encoder_features": 36, "padding_mask": 9, "pixel_values": 72, "value_states": 60}.items()}
    numbers["sizes"] = [1.0] * 9
    shapes = {"image_features": [9, 4], "attention": [2, 3, 9], "reference_attention": [9], "query": [4], "key": [9, 4],
              "text_features": [3, 4], "text_key": [3, 4], "text_raters": [3], "early_attention": [2, 3, 9], "sizes": [9],
              "hidden_states": [15, 4], "norm_weight": [4], "query_weight": [4, 4], "key_weight": [4, 4], "encoder_features": [9, 4],
              "padding_mask": [9], "pixel_values": [18, 4], "value_states": [15, 4]}
    tensors = {name: ("F16", shapes[name], packed(values, "e")) for name, values in numbers.items()}
    for name in names:
        parameters = {"method": name, "keep_tokens": 3, "method_parameters": METHOD_PARAMETERS.get(name, {})}
        yield safetensors(tensors, parameters)
        few = ["image_features", "attention", "key", "text_features"]
        yield safetensors({key: tensors[key] for key in few}, {"method": name, "keep_ratio": 0.5})
        yield safetensors({"attention": ("F16", [9], packed(floats(9), "e"))}, {"method": name, "keep_tokens": 4})


def requests(json_texts, binary, arrays):
    out = cases("accepted-heads.txt")
    for path in ["/livez", "/readyz", "/metrics", "/methods", "/methods/divprune", "/nothing", "/%70rune", "*"]:
        out += [request(f"{method} {path}") for method in ("GET", "OPTIONS", "POST")]
    out += [request("POST /prune", (), body) for body in every_method()]
    for body in json_texts:
        out += [request(f"POST /{name}", ("Content-Type: application/json",), body) for name in ("prune", "compress", "localize")]
    for body in binary[:6]:
        out += [request(f"POST /{name}", ("Accept: application/x-safetensors",), body)
                for name in ("prune", "compress", "localize")]
    for body in arrays[:14]:
        out += [request("POST /prune?method=topk&keep_ratio=0.5&tensor=attention&seed=1", (), body),
                request("POST /compress?keep_tokens=2", ("Accept: application/x-npy, application/json;q=0.5",), body)]
    out += [chunked("POST /prune?keep_tokens=2", ("Expect: 100-continue",), json_texts[0]),
            chunked("POST /compress", ("X-Request-ID: abc",), binary[1])]
    packed_body = gzip.compress(json_texts[0], mtime=0)
    out += [request("POST /prune?keep_tokens=2", ("Content-Encoding: gzip", "Accept-Encoding: gzip"), packed_body),
            request("GET /methods", ("Accept-Encoding: deflate, gzip;q=0.5, *;q=0", "Authorization: Bearer sixteen-letters!")),
            request("OPTIONS /prune", ("Origin: https://a.example", "Access-Control-Request-Method: POST")),
            request("POST /prune", ("X-API-Key: sixteen-letters!", "Origin: null"), json_texts[0])]
    out += [request("POST /prune?method=topk", ("Content-Type: multipart/form-data; boundary=b",), body) for body in forms()[:8]]
    example = (ROOT / "Examples" / "cat_eye_prune.json").read_bytes()
    return out + [request("POST /prune", (), example)]


NUMBERS = """0 -0 1 -1 10 0.1 1e5 1E+5 1e-5 0.30000000000000004 1.7976931348623157e308 1.7976931348623159e308 5e-324 2e-324
4.9406564584124654e-324 2.2250738585072011e-308 3.4028235e38 3.4028236e38 1.1754943e-38 1e-45 7e-46 16777217 33554435
9007199254740993 9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 1e400 1e-400
170141183460469231731687303715884105727 123456789012345678901234567890 0.000000000000000000000000000000000000000000001
1.00000005960464477539062500000000000000001 8.5070591730234615866e37 3.0 12345678.12345678 100000000000000000000000e-23 01
1. .5 1e 1e+ - + 1.e5 00 0x10 1e5.5 1_0 NaN Infinity -Infinity""".split()

BASE64 = ["", "QQ==", "QQ", "QUI=", "QUI", "QUJD", "QUJDRA==", "QR==", "Q", "Q===", "QUJD QUJD", "QUJ-", "++//" * 20, "A" * 33,
          "/" * 64 + "QQ==", "QUJD=", "QQ=Q", "=", "=="]

REGIONS = ["[2,4,5,7]", "[ 2 , 4,\n5,7 ]", "The region is [2, 4, 5, 7].", "(2,4),(5,7)", "[0.25, 0.5, 0.75, 1.0]",
           "see [1] and [[0.25,0.5,0.75,1.]]", "<|box_start|>(250,500),(750,1000)<|box_end|>", "(0.25, 0.5) (0.75, 1.00)",
           "<|object_ref_start|>the cat<|object_ref_end|><|box_start|>(250,500),(750,1000)<|box_end|><|im_end|>",
           "<box>[[250, 500, 750, 1000], [1, 2, 3, 4]]</box>", "<ref>cat</ref><box>[[250,500,750,1000]]</box> and [3] too",
           "<loc0512><loc0256><loc1023><loc0768> cat ; <loc0000><loc0000><loc0512><loc0512> dog",
           "cat<loc_249><loc_499><loc_749><loc_999>dog<loc_0><loc_1><loc_2><loc_3>",
           '```json\n[\n\t{"bbox_2d": [70, 70, 210, 140], "label": "cat (7,7),(7,7)"}\n]\n```',
           '{"bbox_2d": [[0,0,500,500], [250,500,750,1000]]}', "-[2,4,5,7]", "\U0001f408 [-2,4,5,7", "[1.05,-0.05,1,1]", "[" * 50]

MEDIA = ["application/json", "application/json; charset=utf-8", 'a/b;c="d\\"e;f"', "application/json\n*/*",
         "x\napplication/x-npy;q=0.5, application/json;q=0.4", "x\n*/*;q=0.1, application/*;q=0.2", "a/b;\napplication/json;q=0",
         "x\napplication/x-npy;version=1;q=1.000;ext=2", "x\ntext/*\n*/*;q=0.001", "gzip, identity, br\n", "A/B ; X=y\n,,"]

QUERIES = ["a=b&c=d", "a", "=", "a=&=b&&c", "a=%20+%2B&%41=%C3%A9", "%", "%4", "%zz", "%ff", "keep_tokens=64&method=divprune",
           "&".join("abcdefghij" * 10), "&".join("abcdefghij" * 11), "layout=%7B%22type%22%3A%22grid%22%7D", "/a%2Fb/%70rune"]

JSON_TEXTS = ["null", "true", " false ", "[]", "{}", '{"a":1,"a":2}', '"\\u0041\\ud83d\\ude00\\n"', '"\\ud800"', '"\xe9"', "[1,]", "{,}",
              '{"a":[1,2.5,{"b":null}],"c":"\\\\\\""}', "[" * 70, '["a" "b"]', "1 2", '{"a"}', "tru", '"\t"', "[-]", "1e999"]


def main():
    folder = pathlib.Path(sys.argv[1])
    json_texts = [json.dumps(body).encode() for body in json_bodies()]
    binary, arrays = binary_bodies(), npy_bodies()
    heads = cases("accepted-heads.txt") + cases("refused-heads.txt")
    chunks = cases("accepted-chunks.txt") + cases("refused-chunks.txt")
    post = b"POST /a HTTP/1.1\r\nHost: a\r\n"
    streams = [post + b"Transfer-Encoding: chunked\r\n\r\n" + body + post + b"Content-Length: 3\r\n\r\nabc" for body in chunks]
    streams += [a + b for a, b in zip(heads[:60], heads[1:61])]
    streams += [post.replace(b"/a", b"/reject") + b"Content-Length: 3\r\n\r\nabc" + heads[0],
                post + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + heads[0],
                b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, post + b"Content-Length: 301\r\n\r\n"]
    plain = [b"", b"a" * 3000, json_texts[0], binary[1]]
    coded = [gzip.compress(data, mtime=0) for data in plain] + [zlib.compress(data) for data in plain]
    coded += [coded[2] + coded[0], coded[2][:-4], coded[2] + b"x", zlib.compress(json_texts[0], 0)]
    seeds = {
        "content-coding": coded,
        "request-head": heads, "chunked-body": chunks, "message-stream": streams,
        "media-type": MEDIA, "query": QUERIES, "peers": PEERS, "json": JSON_TEXTS + json_texts, "numbers": NUMBERS, "base64": BASE64,
        "json-tensors": json_texts, "safetensors": binary + [b for b in golden(1024) if b[8:9] == b"{"],
        "npy": arrays, "npz": npz_bodies(), "multipart": forms(), "inference": inference_bodies(), "model": models(), "region-text": REGIONS, "request": requests(json_texts, binary, arrays),
        "operation": choices(),
    }
    for target, inputs in seeds.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for data in inputs:
            data = data if isinstance(data, bytes) else data.encode()
            if len(data) <= LARGEST:
                (folder / target / hashlib.sha1(data).hexdigest()).write_bytes(data)


if __name__ == "__main__":
    main()
