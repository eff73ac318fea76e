"""The requests that are sent and the tensors that are computed with; all from fixed seeds."""
import dataclasses
import json
import pathlib
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from safetensors.numpy import load_file, save, save_file

from .places import ROOT

ANY = frozenset({
    "crop", "C echo", "nginx", "hyper", "Hummingbird 2", "FlyingFox", "FastAPI, 1 worker", "FastAPI, 2 workers", "granian"})
# The echo computes nothing: what it reaches with the same body is the limit of whoever does.
TOP_K = ANY - {"nginx"} | {"crop, busy polling", "C echo, busy polling"}
PYTHON = frozenset({"crop", "C echo", "FastAPI, 1 worker", "FastAPI, 2 workers", "granian"})
CONSTANT = frozenset({"crop", "crop, busy polling", "C echo", "C echo, busy polling", "C echo, busy polling, 2 us", "nginx"})
LONE = frozenset({"crop", "C echo", "nginx"})


@dataclasses.dataclass(frozen=True)
class Case:
    """A request, and which servers can answer it."""

    key: str
    name: str
    path: str
    file: pathlib.Path
    servers: frozenset
    # Each is measured by itself; none where that is done elsewhere.
    connections: tuple = (1, 16)
    # Whether client and server have only one.
    on_one_processor: bool = False

    def body(self):
        return self.file.read_bytes()

    def as_inference(self):
        """The same request in the Open Inference Protocol, tensor as bytes. -> the case, and the header line it needs"""
        array = np.load(self.file)
        query = dict(parse_qsl(urlsplit(self.path).query))
        tensor = {"name": query.pop("tensor"), "shape": list(array.shape), "datatype": "FP16",
                  "parameters": {"binary_data_size": array.nbytes}}
        query["keep_tokens"] = int(query["keep_tokens"])
        head = json.dumps({"inputs": [tensor], "parameters": query, "outputs": [{"name": "kept_indices"}]}).encode()
        file = self.file.with_suffix(".inference")
        file.write_bytes(head + array.tobytes())
        return (dataclasses.replace(self, path="/v2/models/crop-prune/infer", file=file),
                f"Inference-Header-Content-Length: {len(head)}")


def structured(tokens, width, generator, patch=16):
    """Features alike within patches and noisy on top, as an image's are: [tokens, width], single precision."""
    centres = generator.standard_normal((-(-tokens // patch), width))
    features = np.repeat(centres, patch, axis=0)[:tokens] + 0.5 * generator.standard_normal((tokens, width))
    return features.astype(np.float32)


def noise(tokens, width, generator):
    """No structure at all: the worst case of searches that rely on bounds."""
    return generator.standard_normal((tokens, width)).astype(np.float32)


def grid(tokens):
    """-> rows and columns of the tokens of the smallest square grid that holds them, in raster order."""
    side = int(np.ceil(np.sqrt(tokens)))
    return (*np.divmod(np.arange(tokens), side), side)


def smooth(tokens, width, generator):
    """A few low frequencies over the image, a strong common mean and noise: as encoders give them."""
    y, x, side = grid(tokens)
    waves = np.stack(
        [np.cos((a * y + b * x) * 2 * np.pi / side + phase) for a in range(4) for b in range(4) for phase in (0, 1.5)], axis=1)
    features = 0.6 * waves @ generator.standard_normal((waves.shape[1], width)) + 1.5 * generator.standard_normal(width)
    return (features + 0.6 * generator.standard_normal((tokens, width))).astype(np.float32)


def patches(tokens, width, generator):
    """Three by three tokens each that are alike, independent of the others, and noise."""
    y, x, side = grid(tokens)
    across = side // 3 + 1
    centres = generator.standard_normal((across * across, width))
    return (centres[y // 3 * across + x // 3] + 0.5 * generator.standard_normal((tokens, width))).astype(np.float32)


def descriptors(*_):
    """Those of a photograph, see Examples: [576, 64]."""
    return load_file(ROOT / "Examples" / "cat_eye.safetensors")["image_features"].astype(np.float32)


FEATURES = {"descriptors": descriptors, "smooth": smooth, "patches": patches, "structured": structured, "noise": noise}


def half(array):
    return np.ascontiguousarray(array.astype(np.float16))


# What a server of models sends, and the share of the echo's requests per second that it should get over 16 connections.
# `diversity-1.2MB`, crop's default where features are sent, computes for as long as `divprune` does and has no such goal.
MIX = {
    "fastv-1KB": 0.5, "box-1KB": 0.5, "crop-1KB": 0.5, "fastv-36KB": 0.5, "box-36KB": 0.5, "crop-36KB": 0.5, "crop-json": 0.35,
    "similarity-1.2MB": 0.8}
MIX_SERVERS = frozenset({"crop", "C echo"})


def write_mix(folder, features, text, generator):
    """Safetensors with the parameters in their metadata, among them the layout; attention that looks at one corner."""
    y, x = np.divmod(np.arange(576), 24)
    corner = 2.0 * ((y >= 3) & (y < 10) & (x >= 6) & (x < 15))
    rows = half(np.abs(generator.standard_normal((32, 576))) + corner)
    layout = {"keep_tokens": 64, "layout": {"type": "llava"}}
    parameters = {
        "fastv": {**layout, "method": "fastv"}, "crop": layout,
        "box": {**layout, "method": "fastv", "region": {"box": [0.2, 0.2, 0.6, 0.7]}}}
    cases = []

    def case(key, name, body):
        (folder / key).write_bytes(body)
        cases.append(Case(key, name, "/prune", folder / key, MIX_SERVERS))

    for size, attention in (("1KB", rows[0]), ("36KB", rows)):
        for method, own in parameters.items():
            body = save({"attention": attention}, {"parameters": json.dumps(own)})
            case(f"{method}-{size}", f"{method}, {size[:-2]} KB of attention", body)
    document = {**layout, "attention": [round(float(value), 9) for value in rows[0]]}
    case("crop-json", "crop as JSON", json.dumps(document).encode())
    tensors = {"image_features": features, "text_features": text}
    by_similarity = {**layout, "method_parameters": {"scorer": "similarity"}}
    case("similarity-1.2MB", "crop by similarity, 1.2 MB", save(tensors, {"parameters": json.dumps(by_similarity)}))
    case("diversity-1.2MB", "crop, 1.2 MB of features", save(tensors, {"parameters": json.dumps(layout)}))
    return cases


def write_cases(folder):
    """-> {key: Case}"""
    generator = np.random.default_rng(7)
    # Scores that are all different, so that every server ranks them alike: half precision has 1,024 steps in 0.5..<1.
    scores = half(generator.permutation(np.linspace(0.25, 1, 576)))
    rows = half(generator.random((1024, 576)))
    features = half(structured(576, 1024, generator))
    text = half(structured(16, 1024, generator))

    def npy(name, array):
        np.save(folder / f"{name}.npy", array)
        return folder / f"{name}.npy"

    both = folder / "both.safetensors"
    save_file({"image_features": features, "text_features": text}, both)
    image = npy("features", features)
    large = npy("large", half(generator.random((20480, 576))))
    cases = [
        *write_mix(folder, features, text, generator),
        Case("constant", "1.2 MB, nothing computed", "/prune?keep_tokens=64&method=uniform&tensor=image_features", image, CONSTANT),
        Case("lone", "1.2 MB, nothing computed, one core for client and server", "/prune?keep_tokens=64&method=uniform&tensor=image_features", image, LONE, (1,), True),
        Case("topk", "1.2 MB, top-k of 1024 rows", "/prune?keep_tokens=64&method=topk&tensor=attention", npy("rows", rows), TOP_K),
        Case("small", "1 KB, top-k", "/prune?keep_tokens=64&method=topk&tensor=attention", npy("scores", scores), ANY),
        Case("divprune", "DivPrune 576x1024", "/prune?keep_tokens=64&method=divprune", image, PYTHON),
        Case("cdpruner", "CDPruner 576x1024", "/prune?keep_tokens=64&method=cdpruner", both, PYTHON),
        Case("large", "24 MB, top-k of 20,480 rows", "/prune?keep_tokens=64&method=topk&tensor=attention", large, frozenset({"crop", "C echo"}), ()),
    ]
    return {case.key: case for case in cases}
