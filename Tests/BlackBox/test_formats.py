"""The same tensors in every format, element type and memory order give the same answer."""
import base64

import numpy as np
import pytest
from bodies import bfloat16_safetensors, features, json_bytes, npy, numbers, safetensors_bytes
from wire import request


def prune(connection, body, query, content_type=None):
    fields = [("Content-Type", content_type)] if content_type else []
    answer = connection.exchange(request("POST", f"/prune?{query}", fields, body))
    assert answer.status == 200, answer.body
    return answer.json["kept_indices"]


def expected(scores, count):
    return np.sort(np.argsort(-np.asarray(scores, np.float64), kind="stable")[:count]).tolist()


def encodings(array):
    """-> name and body of the array as the tensor `attention`, in every way a numpy user has."""
    yield "json", json_bytes({"attention": array})
    name = {"float16": "F16", "float32": "F32", "float64": "F64"}[str(array.dtype)]
    shape = list(array.shape)
    yield "json object", json_bytes({}, {"attention": {"dtype": name, "shape": shape, "data": array.ravel().tolist()}})
    text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    yield "json base64", json_bytes({}, {"attention": {"dtype": name, "shape": shape, "base64": text}})
    yield "safetensors", safetensors_bytes({"attention": array})
    for version in ((1, 0), (2, 0), (3, 0)):
        yield f"npy {version[0]}", npy(array, version)
    yield "npy big-endian", npy(array.astype(array.dtype.newbyteorder(">")))
    yield "npy Fortran order", npy(np.asfortranarray(array))
    yield "npy view", npy(np.repeat(array, 2, axis=-1)[..., ::2])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(144,), (4, 144), (2, 3, 144)], ids=str)
def test_every_encoding_gives_the_same_tokens(connection, dtype, shape):
    array = numbers(*shape, dtype=dtype)
    answers = {
        name: prune(connection, body, "method=topk&keep_tokens=36&batched=false" + ("&tensor=attention" if "npy" in name else ""))
        for name, body in encodings(array)}
    assert len(answers) == 10
    first = answers["json"]
    assert len(first) == 36 and first == sorted(set(first))
    assert all(answer == first for answer in answers.values()), answers
    if len(shape) == 1:
        assert first == expected(array, 36)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_features_of_every_encoding_give_the_same_tokens(connection, dtype):
    array = features(100, 24).astype(dtype)
    query = "method=divprune&keep_tokens=20"
    first = prune(connection, json_bytes({"image_features": array}), query)
    assert prune(connection, safetensors_bytes({"image_features": array}), query) == first
    npy_query = query + "&tensor=image_features"
    for body in (npy(array), npy(np.asfortranarray(array)), npy(array.astype(array.dtype.newbyteorder(">")))):
        assert prune(connection, body, npy_query) == first


def test_bfloat16(connection):
    # Fewer than 8 significant bits: exact in bfloat16.
    array = np.random.default_rng(4).permutation(128).astype(np.float32)
    query = "method=topk&keep_tokens=30"
    assert prune(connection, bfloat16_safetensors("attention", array), query) == expected(array, 30)
    upper = (array.view(np.uint32) >> 16).astype("<u2")
    body = npy(upper.view("V2"))
    assert prune(connection, body, query + "&tensor=attention&tensor_dtype=BF16") == expected(array, 30)
    answer = connection.exchange(request("POST", f"/prune?{query}&tensor=attention", body=body))
    assert answer.status == 415 and "tensor_dtype=BF16" in answer.json["detail"]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integer_scores(connection, dtype):
    array = np.random.default_rng(5).permutation(100).astype(dtype)
    query = "method=topk&keep_tokens=10"
    assert prune(connection, npy(array), query + "&tensor=attention") == expected(array, 10)
    assert prune(connection, safetensors_bytes({"attention": array}), query) == expected(array, 10)


def test_regular_batch_equals_its_images(connection):
    array = numbers(3, 2, 4, 36)  # images, heads, queries, tokens
    query = "method=topk&keep_tokens=9"
    single = [prune(connection, npy(image), query + "&tensor=attention&batched=false") for image in array]
    assert prune(connection, npy(array), query + "&tensor=attention") == single
    assert prune(connection, safetensors_bytes({"attention": array}), query) == single
    assert prune(connection, json_bytes({"attention": array}), query) == single
    rows = numbers(5, 36)
    single = [prune(connection, npy(row), query + "&tensor=attention") for row in rows]
    assert prune(connection, json_bytes({"attention": rows}, {"batched": True}), query) == single


def test_ragged_batch_equals_its_images(connection):
    arrays = [features(count, 8, seed=count) for count in (16, 25, 36)]
    query = "method=divprune&keep_ratio=0.25"
    single = [prune(connection, npy(array), query + "&tensor=image_features") for array in arrays]
    assert [len(kept) for kept in single] == [4, 6, 9]
    body = safetensors_bytes({f"image_features.{n}": array for n, array in enumerate(arrays)})
    assert prune(connection, body, query) == single
    objects = [{"dtype": "F32", "shape": list(array.shape), "data": array.ravel().tolist()} for array in arrays]
    assert prune(connection, json_bytes({}, {"image_features": objects}), query) == single
    lists = [array.tolist() for array in arrays]
    assert prune(connection, json_bytes({}, {"image_features": lists}), query) == single


def test_parameters_in_metadata_query_and_json_are_the_same(connection):
    array = numbers(144)
    parameters = {"method": "topk", "keep_tokens": 12, "region": {"blocks": [0, 0, 1, 1]}, "region_policy": "first"}
    first = prune(connection, safetensors_bytes({"attention": array}, parameters), "")
    assert first != expected(array, 12)
    assert prune(connection, json_bytes({"attention": array}, parameters), "") == first
    query = "method=topk&keep_tokens=12&region_policy=first&region=%7B%22blocks%22:[0,0,1,1]%7D&tensor=attention"
    assert prune(connection, npy(array), query) == first


def test_position_ids_may_be_plain_json_numbers(connection):
    body = json_bytes({"attention": numbers(9)}, {"position_ids": list(range(100, 109))})
    answer = connection.exchange(request("POST", "/prune?method=topk&keep_tokens=3", body=body))
    assert answer.status == 200, answer.body
    assert answer.json["position_ids"] == [100 + index for index in answer.json["kept_indices"]]


@pytest.mark.parametrize("content_type", [
    "application/x-safetensors", "application/vnd.safetensors", "application/octet-stream",
    "APPLICATION/X-SAFETENSORS; v=1", None])
def test_content_types_of_safetensors(connection, content_type):
    array = numbers(64)
    body = safetensors_bytes({"attention": array})
    assert prune(connection, body, "method=topk&keep_tokens=4", content_type) == expected(array, 4)


def test_a_false_content_type_is_refused(connection):
    answer = connection.exchange(
        request("POST", "/prune?keep_tokens=4", [("Content-Type", "application/x-npy")], b'{"attention":[1,2]}'))
    assert answer.status == 400


def test_object_arrays_are_pickle_and_refused(connection):
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"
    header += b" " * (117 - len(header)) + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\x80\x04."
    answer = connection.exchange(request("POST", "/prune?keep_tokens=1", body=body))
    assert answer.status == 415 and "pickle" in answer.json["detail"]
