"""The Open Inference Protocol over raw sockets: routes, both encodings both ways, and errors as its clients read them."""
import gzip
import json
import os
import pathlib
import struct
import uuid
import zlib

import numpy as np
import pytest
from bodies import features, json_bytes, numbers
from server import Server
from wire import Connection, request

ROW = numbers(144)
MODELS = ["crop-localize", "crop-compress", "crop-prune", "crop-reselect"]
LENGTH = "Inference-Header-Content-Length"
TOPK = {"method": "topk", "keep_tokens": 36}
TYPES = {"FP64": "<f8", "FP32": "<f4", "FP16": "<f2", "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "i1",
         "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "u1"}


def get(connection, path):
    answer = connection.exchange(request("GET", path))
    assert answer.status == 200 and answer.field("content-type") == "application/json", answer.body
    return answer.json


def entry(name, array, datatype="FP32", **more):
    return {"name": name, "shape": list(array.shape), "datatype": datatype, **more}


def json_request(arrays, parameters=None, **more):
    inputs = [entry(name, np.asarray(array), data=np.asarray(array).ravel().tolist()) for name, array in arrays.items()]
    return {"inputs": inputs, "parameters": parameters or {}, **more}


def infer(connection, body, model="crop-prune", *fields, target=None):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    return connection.exchange(request("POST", target or f"/v2/models/{model}/infer", list(fields), body))


def binary(connection, document, blobs, model="crop-prune", *fields):
    text = json.dumps(document).encode()
    return infer(connection, text + b"".join(blobs), model, (LENGTH, len(text)), *fields)


def outputs(answer):
    """-> the outputs by name, as numpy arrays or lists of texts, from JSON or binary data."""
    assert answer.status == 200, answer.body
    length = answer.field(LENGTH.lower())
    text, rest = (answer.body[:int(length)], answer.body[int(length):]) if length else (answer.body, b"")
    document, found = json.loads(text), {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            data = output["data"]
        elif output["datatype"] == "BYTES":
            data, blob, rest = [], rest[:size], rest[size:]
            while blob:
                (count,) = struct.unpack("<I", blob[:4])
                data.append(blob[4:4 + count].decode())
                blob = blob[4 + count:]
        else:
            data, rest = np.frombuffer(rest[:size], TYPES[output["datatype"]]), rest[size:]
        found[output["name"]] = data if output["datatype"] == "BYTES" else np.reshape(data, output["shape"])
    assert rest == b""
    return found


@pytest.fixture
def kept(connection):
    answer = connection.exchange(request("POST", "/prune", [], json_bytes({"attention": ROW}, TOPK)))
    return answer.json["kept_indices"]


def test_the_server_and_its_models_describe_themselves(connection):
    for path in ("/v2", "/v2/"):
        server = get(connection, path)
        assert server["name"] == "crop" and {"binary_tensor_data", "statistics"} <= set(server["extensions"])
    assert get(connection, "/v2/health/live") == {"live": True}
    assert get(connection, "/v2/health/ready") == {"ready": True}
    index = connection.exchange(request("POST", "/v2/repository/index", [("Content-Length", 0)]))
    assert [model["name"] for model in index.json] == MODELS and {model["state"] for model in index.json} == {"READY"}
    for body, status in ((b'{"ready": true}', 200), (b'{"ready": null}', 400), (b'{"ready": 1}', 400), (b"[]", 400), (b"{", 400)):
        answer = connection.exchange(request("POST", "/v2/repository/index", body=body))
        assert answer.status == status and ("error" in answer.json) == (status == 400), body
    for model in MODELS:
        for path in (f"/v2/models/{model}", f"/v2/models/{model}/versions/1"):
            metadata = get(connection, path)
            assert metadata["name"] == model and metadata["versions"] == ["1"]
            inputs = {port["name"]: port for port in metadata["inputs"]}
            assert inputs["image_features"] == {"name": "image_features", "datatype": "FP32", "shape": [-1, -1]}
            assert get(connection, path + "/ready") == {"name": model, "ready": True}
            config = get(connection, path + "/config")
            assert config["name"] == model and config["max_batch_size"] == 0
            assert [port["name"] for port in config["input"]] == list(inputs)
            assert [port["name"] for port in config["output"]] == [port["name"] for port in metadata["outputs"]]


def test_json_and_binary_data_give_the_same_as_prune(connection, kept):
    parameters = {**TOPK, "layout": json.dumps({"type": "grid", "rows": 12, "columns": 12})}
    plain = infer(connection, json_request({"attention": ROW}, parameters, id="17"))
    assert plain.field("content-type") == "application/json" and plain.field(LENGTH.lower()) is None
    assert plain.json["model_name"] == "crop-prune" and plain.json["model_version"] == "1" and plain.json["id"] == "17"
    found = outputs(plain)
    assert found["kept_indices"].tolist() == kept
    assert json.loads(found["response"][0])["keep_tokens"] == 36
    blob = np.asarray(ROW, "<f4").tobytes()
    document = {"inputs": [entry("attention", ROW, parameters={"binary_data_size": len(blob)})],
                "parameters": {**parameters, "binary_data_output": True}}
    answer = binary(connection, document, [blob])
    assert answer.field("content-type") == "application/octet-stream"
    assert outputs(answer)["kept_indices"].tolist() == kept
    document["parameters"] = parameters
    assert outputs(binary(connection, document, [blob]))["kept_indices"].tolist() == kept


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_in_json_and_as_binary_data(connection, datatype):
    row = (np.random.default_rng(1).permutation(100) + 1).astype(TYPES[datatype])
    expected = sorted(np.argsort(-row.astype(float), kind="stable")[:10].tolist())
    for wants in (False, True):
        more = {"parameters": {"method": "topk", "keep_tokens": 10, "binary_data_output": wants}}
        plain = infer(connection, {"inputs": [entry("attention", row, datatype, data=row.tolist())], **more})
        assert outputs(plain)["kept_indices"].tolist() == expected
        blob = row.tobytes()
        document = {"inputs": [entry("attention", row, datatype, parameters={"binary_data_size": len(blob)})], **more}
        assert outputs(binary(connection, document, [blob]))["kept_indices"].tolist() == expected


def test_bfloat16_and_half_precision_in_json_are_rounded_to_nearest_even(connection):
    array = features(32, 8)
    upper = (np.ascontiguousarray(array).view(np.uint32) >> 16).astype("<u2")
    widened = (upper.astype(np.uint32) << 16).view(np.float32)
    query = {"method": "divprune", "keep_tokens": 8}
    blob = upper.tobytes()
    document = {"inputs": [entry("image_features", array, "BF16", parameters={"binary_data_size": len(blob)})],
                "parameters": query}
    expected = outputs(infer(connection, json_request({"image_features": widened}, query)))["kept_indices"].tolist()
    assert outputs(binary(connection, document, [blob]))["kept_indices"].tolist() == expected
    # 1 + 2^-11 lies in the middle of two FP16 numbers; the even one is 1.
    document = {"inputs": [{"name": "attention", "shape": [3], "datatype": "FP16", "data": [1 + 2**-11, 1.0, 1 + 3 * 2**-11]}],
                "parameters": {"method": "topk", "keep_tokens": 2}}
    assert outputs(infer(connection, document))["kept_indices"].tolist() == [0, 2]


def test_features_come_back_in_the_type_that_was_sent(connection):
    array = features(64, 16, dtype=np.float16)
    blob = array.tobytes()
    document = {"inputs": [entry("image_features", array, "FP16", parameters={"binary_data_size": len(blob)})],
                "parameters": {"keep_tokens": 9, "method": "divprune", "binary_data_output": True}}
    found = outputs(binary(connection, document, [blob], "crop-compress"))
    assert found["features"].shape == (9, 16) and found["kept_indices"].shape == (9,) and found["assignments"].shape == (64,)
    document["outputs"] = [{"name": "features"}, {"name": "kept_indices", "parameters": {"binary_data": False}}]
    answer = binary(connection, document, [blob], "crop-compress")
    again = outputs(answer)
    assert list(again) == ["features", "kept_indices"] and np.array_equal(again["features"], found["features"])
    assert again["kept_indices"].tolist() == found["kept_indices"].tolist()
    document["parameters"]["binary_data_output"] = False
    as_json = outputs(binary(connection, document, [blob], "crop-compress"))
    assert np.array_equal(np.asarray(as_json["features"], np.float16), found["features"])


def test_batches_are_stacked_and_filled_up(connection):
    rows = np.stack([ROW, ROW[::-1]])
    found = outputs(infer(connection, json_request({"attention": rows}, {**TOPK, "batched": True})))
    assert found["kept_indices"].shape == (2, 36) and json.loads(found["response"][0])["batched"] is True
    ragged = json_request({"attention.0": ROW, "attention.1": ROW[:40]}, {"method": "topk", "keep_ratio": 0.25})
    found = outputs(infer(connection, ragged))
    assert found["kept_indices"].shape == (2, 36) and (found["kept_indices"][1] >= 0).sum() == 10
    assert (found["kept_indices"][1][10:] == -1).all()
    assert json.loads(found["response"][0])["keep_tokens"] == [36, 10]


def test_parameters_as_inputs_and_as_text(connection, kept):
    text = b"topk"
    blobs = [np.asarray(ROW, "<f4").tobytes(), struct.pack("<I", len(text)) + text, struct.pack("<i", 36)]
    sizes = [{"binary_data_size": len(blob)} for blob in blobs]
    document = {"inputs": [
        entry("attention", ROW, parameters=sizes[0]),
        {"name": "method", "shape": [1], "datatype": "BYTES", "parameters": sizes[1]},
        {"name": "keep_tokens", "shape": [1], "datatype": "INT32", "parameters": sizes[2]}]}
    assert outputs(binary(connection, document, blobs))["kept_indices"].tolist() == kept
    plain = {"inputs": [
        {"data": np.reshape(ROW, (1, 144)).tolist(), "shape": [1, 144], "datatype": "FP32", "name": "attention"},
        {"name": "method", "data": ["topk"], "shape": [1], "datatype": "BYTES"},
        {"name": "keep_tokens", "shape": [1], "data": [36], "datatype": "INT64"},
        {"name": "batched", "shape": [1], "datatype": "BOOL", "data": [False]}]}
    assert outputs(infer(connection, plain))["kept_indices"].tolist() == kept


@pytest.mark.parametrize("coding, encode", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_split_after_it_was_decoded(connection, kept, coding, encode):
    blob = np.asarray(ROW, "<f4").tobytes()
    text = json.dumps({"inputs": [entry("attention", ROW, parameters={"binary_data_size": len(blob)})],
                       "parameters": TOPK}).encode()
    answer = infer(connection, encode(text + blob), "crop-prune", (LENGTH, len(text)), ("Content-Encoding", coding))
    assert outputs(answer)["kept_indices"].tolist() == kept


@pytest.mark.parametrize("fields", [
    [], [("Content-Type", "application/json")], [("Content-Type", "application/octet-stream")],
    [("Content-Type", "application/x-www-form-urlencoded")], [("Content-Type", "application/json; charset=utf-8")]])
def test_no_content_type_is_needed(connection, kept, fields):
    body = json.dumps(json_request({"attention": ROW}, TOPK)).encode()
    assert outputs(infer(connection, body, "crop-prune", *fields))["kept_indices"].tolist() == kept
    target = "/v2/models/crop-prune/versions/1/infer"
    assert outputs(infer(connection, body, "", *fields, target=target))["kept_indices"].tolist() == kept


GOOD = entry("attention", np.zeros(4), data=[0.1, 0.2, 0.4, 0.3])
TWO = {"method": "topk", "keep_tokens": 2}


def changed(**more):
    return {"inputs": [{**GOOD, **more}], "parameters": TWO}


ERRORS = [
    ("no JSON", b"{", "byte"), ("no object", b"[]", "object"), ("no inputs", {"parameters": TWO}, "inputs"),
    ("no name", {"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]}, "name"),
    ("a datatype", changed(datatype="FLOAT"), "FLOAT"), ("safetensors' datatype", changed(datatype="F32"), "F32"),
    ("a shape", changed(shape=[5]), "5 elements"), ("a negative extent", changed(shape=[-1]), "inputs[0].shape[0]"),
    ("nesting", changed(shape=[2, 2], data=[[1, 2, 3], [4]]), "elements"), ("no data", {"inputs": [
        {"name": "attention", "shape": [4], "datatype": "FP32"}]}, "data"),
    ("text in numbers", changed(data=["a"] * 4), "numbers"), ("numbers in text", changed(datatype="BYTES"), "BYTES"),
    ("an unknown input", changed(name="atention"), "did you mean 'attention'?"),
    ("a text input", changed(name="note", datatype="BYTES", data=["a"], shape=[1]), "no parameter 'note'"),
    ("two of one name", {"inputs": [GOOD, GOOD], "parameters": TWO}, "two inputs"),
    ("an unknown parameter", {"inputs": [GOOD], "parameters": {**TWO, "keep_token": 2}}, "did you mean 'keep_tokens'?"),
    ("an option beside the parameters", {"inputs": [GOOD], **TWO}, "members of parameters"),
    ("a sequence", {"inputs": [GOOD], "parameters": {**TWO, "sequence_id": 3}}, "sequence_id"),
    ("an unknown output", {"inputs": [GOOD], "parameters": TWO, "outputs": [{"name": "logits"}]},
     "unexpected inference output 'logits' for model 'crop-prune'"),
    ("classification", {"inputs": [GOOD], "parameters": TWO, "outputs": [
        {"name": "kept_indices", "parameters": {"classification": 3}}]}, "classification"),
    ("shared memory where none is allowed", {"inputs": [
        {"name": "attention", "shape": [4], "datatype": "FP32", "parameters": {
            "shared_memory_region": "none", "shared_memory_byte_size": 16}}], "parameters": TWO}, "shared memory"),
    ("NaN", changed(datatype="BF16", data=[1e39, 1, 1, 1]), "range"),
    ("binary data that is not there", {"inputs": [
        {"name": "attention", "shape": [4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}]}, "binary"),
    ("a picture", b"\xff\xd8\xff\xe0 JFIF", "docs/tensors.md"), ("pickle", b"\x80\x04\x95.", "pickle"),
]


@pytest.mark.parametrize("body, word", [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_an_error_is_one_member_that_says_what_is_wrong(connection, body, word):
    answer = infer(connection, body)
    assert answer.status == 400 and answer.field("content-type") == "application/json", answer.body
    assert list(answer.json) == ["error"] and word in answer.json["error"], answer.body
    assert outputs(infer(connection, {"inputs": [GOOD], "parameters": TWO}))["kept_indices"].tolist() == [2, 3]


def test_lengths_that_contradict_the_body(connection):
    blob = np.zeros(4, "<f4").tobytes()
    text = json.dumps({"inputs": [entry("attention", np.zeros(4), parameters={"binary_data_size": 16})],
                       "parameters": TWO}).encode()
    for body, length, word in (
            (text + blob + b"x", len(text), "belong to no input"), (text + blob[:-1], len(text), "15 bytes"),
            (text + blob, len(text) + len(blob) + 1, LENGTH), (text + blob, 0, LENGTH), (text + blob, -1, LENGTH),
            (text + blob, "1e2", LENGTH), (text + blob, len(text) - 1, "byte"), (text + blob, 10**30, LENGTH)):
        answer = infer(connection, body, "crop-prune", (LENGTH, length))
        assert answer.status == 400 and word in answer.json["error"], (length, answer.body)
    answer = infer(connection, text + blob, "crop-prune", (LENGTH, len(text)), (LENGTH, len(text)))
    assert answer.status == 400


@pytest.mark.parametrize("method, path, status, word", [
    ("GET", "/v2/models/crop", 404, "unknown model: 'crop' is not found"), ("GET", "/v2/models/crop/ready", 404, "unknown model"),
    ("POST", "/v2/models/crop/infer", 404, "unknown model"), ("GET", "/v2/models/crop/config", 404, "unknown model"),
    ("GET", "/v2/models/crop/stats", 404, "unknown model"), ("GET", "/v2/models/crop-prune/versions/2", 404, "version 2 is not found"),
    ("POST", "/v2/models/crop-prune/versions/9/infer", 404, "version 9"), ("GET", "/v2/models/crop-prune/infer", 405, "POST"),
    ("POST", "/v2/health/live", 405, "GET"), ("GET", "/v2/nothing", 404, "/v2/nothing"), ("GET", "/v2/repository/index", 405, "POST"),
    ("GET", "/v2/models//ready", 404, ""), ("GET", "/v2/models/a%2Fb", 404, "")])
def test_paths_that_lead_nowhere(connection, method, path, status, word):
    body = json.dumps({"inputs": [GOOD], "parameters": TWO}).encode() if method == "POST" else b""
    answer = connection.exchange(request(method, path, [], body))
    assert answer.status == status and answer.field("content-type") == "application/json", answer.body
    assert list(answer.json) == ["error"] and word in answer.json["error"]


def test_statistics_count_what_was_answered_and_what_failed(connection):
    def stats(path="/v2/models/crop-localize/stats"):
        (model,) = get(connection, path)["model_stats"]
        return model

    before = stats()
    good = json_request({"attention": np.stack([ROW, ROW])}, {"batched": True})
    assert infer(connection, good, "crop-localize").status == 200
    assert infer(connection, b"{", "crop-localize").status == 400
    after = stats("/v2/models/crop-localize/versions/1/stats")
    assert after["inference_count"] - before["inference_count"] == 2
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    assert after["last_inference"] > 1_700_000_000_000
    for name in ("success", "compute_input", "compute_infer", "compute_output"):
        assert after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"] == 1
        assert after["inference_stats"][name]["ns"] > before["inference_stats"][name]["ns"]
    assert 2 in [batch["batch_size"] for batch in after["batch_stats"]]
    assert [model["name"] for model in get(connection, "/v2/models/stats")["model_stats"]] == MODELS


@pytest.fixture(scope="module")
def sharing():
    with Server("--shared-memory", "named") as server:
        yield server


@pytest.fixture
def memory():
    """Two megabytes under a name of shm_open."""
    name = f"crop-test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    path = pathlib.Path("/dev/shm") / name
    path.write_bytes(bytes(2 << 20))
    yield "/" + name, path
    path.unlink()


def register(connection, name, key, byte_size, offset=0):
    body = json.dumps({"key": key, "offset": offset, "byte_size": byte_size}).encode()
    return connection.exchange(request("POST", f"/v2/systemsharedmemory/region/{name}/register", [], body))


def shared(name, byte_size, offset=0):
    return {"shared_memory_region": name, "shared_memory_byte_size": byte_size, "shared_memory_offset": offset}


def test_inputs_and_outputs_in_shared_memory(sharing, memory):
    key, path = memory
    array = features(256, 64, dtype=np.float16)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(array.tobytes())
    with Connection(sharing.port) as connection:
        extensions = get(connection, "/v2")["extensions"]
        assert "system_shared_memory" in extensions
        assert register(connection, "in", key, 1 << 20).status == 200
        assert register(connection, "out", key, 1 << 20, 1 << 20).status == 200
        assert register(connection, "in", key, 1 << 20).status == 400
        listed = get(connection, "/v2/systemsharedmemory/status")
        assert listed == [{"name": "in", "key": key, "offset": 0, "byte_size": 1 << 20},
                          {"name": "out", "key": key, "offset": 1 << 20, "byte_size": 1 << 20}]
        assert get(connection, "/v2/systemsharedmemory/region/out/status") == listed[1:]
        document = {"inputs": [entry("image_features", array, "FP16", parameters=shared("in", array.nbytes, 4096))],
                    "parameters": {"method": "divprune", "keep_tokens": 16, "binary_data_output": True},
                    "outputs": [{"name": "features", "parameters": shared("out", 4096, 64)}, {"name": "kept_indices"}]}
        answer = infer(connection, document, "crop-compress")
        length = int(answer.field(LENGTH.lower()))
        first, second = json.loads(answer.body[:length])["outputs"]
        assert first == {"name": "features", "datatype": "FP16", "shape": [16, 64],
                         "parameters": {"shared_memory_region": "out", "shared_memory_byte_size": 2048, "shared_memory_offset": 64}}
        kept = np.frombuffer(answer.body[length:], "<i8")
        assert second["name"] == "kept_indices" and len(kept) == 16
        written = np.frombuffer(path.read_bytes()[(1 << 20) + 64:][:2048], np.float16).reshape(16, 64)
        del document["outputs"], document["inputs"][0]["parameters"]
        document["inputs"][0]["data"] = array.ravel().tolist()
        plain = outputs(infer(connection, document, "crop-compress"))
        assert np.array_equal(plain["features"], written) and plain["kept_indices"].tolist() == kept.tolist()
        for name in ("in", "never"):
            assert connection.exchange(request("POST", f"/v2/systemsharedmemory/region/{name}/unregister", [], b"")).status == 200
        assert [region["name"] for region in get(connection, "/v2/systemsharedmemory/status")] == ["out"]
        assert connection.exchange(request("POST", "/v2/systemsharedmemory/unregister", [("Content-Length", 0)])).status == 200
        assert get(connection, "/v2/systemsharedmemory/status") == []


def test_what_is_wrong_with_shared_memory(sharing, memory):
    key, path = memory
    with Connection(sharing.port) as connection:
        assert register(connection, "r", key, 1 << 20, 1 << 20).status == 200
        row = np.arange(100, dtype=np.float32)

        def ask(parameters, **more):
            port = {"name": "attention", "shape": [100], "datatype": "FP32", "parameters": parameters}
            return infer(connection, {"inputs": [port], "parameters": {"method": "topk", "keep_tokens": 9}, **more})

        assert ask(shared("r", 400)).status == 200
        small = [{"name": "kept_indices", "parameters": shared("r", 8)}]
        for answer, word in (
                (ask(shared("none", 400)), "'none'"), (ask(shared("r", 404)), "takes 400 bytes"), (ask(shared("r", 400, -4)), "shared_memory"),
                (ask(shared("r", 400, 1 << 20)), "exceed the"), (ask(shared("r", 400, (1 << 20) - 399)), "exceed the"),
                (ask({"shared_memory_region": "r"}), "shared_memory_byte_size"), (ask(shared("r", 400), outputs=small), "takes 72 bytes"),
                (ask(shared("r", 400), outputs=[{"name": "kept_indices", "parameters": shared("gone", 800)}]), "'gone'"),
                (ask({**shared("r", 400), "binary_data_size": 400}), "either"),
                (register(connection, "big", key, 3 << 20), "exceed the"), (register(connection, "x", "/../etc/passwd", 8), "key"),
                (register(connection, "x", "/crop-nothing-here", 8), "unable to open the shared memory"),
                (connection.exchange(request("POST", "/v2/systemsharedmemory/region/x/register", [], b"{}")), "byte_size")):
            assert answer.status == 400 and word in answer.json["error"], (word, answer.body)
        os.truncate(path, 1 << 10)
        gone = ask(shared("r", 400))
        assert gone.status == 400 and "exceed the" in gone.json["error"]
        assert connection.exchange(request("GET", "/v2/systemsharedmemory/region/none/status")).status == 404
        assert connection.exchange(request("GET", "/livez")).status == 200
        assert row.nbytes == 400
        connection.exchange(request("POST", "/v2/systemsharedmemory/unregister", [("Content-Length", 0)]))
