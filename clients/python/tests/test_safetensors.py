"""Bodies and answers, against the package whose format it is."""

import json

import numpy as np
import pytest
import safetensors.numpy

from crop_client import _safetensors, layouts
from crop_client._arguments import COMPRESS, PRUNE, RequestWriter, write_body
from crop_client._tensors import as_tensor


def joined(body):
    data = b"".join(bytes(piece) for piece in body.pieces)
    assert len(data) == body.byte_count
    return data


def head(call, content_type, byte_count, request_id):
    return f"{call.path} {content_type} {byte_count} {request_id}".encode()


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<f2", "<i8", "<i4", "|i1", "<u8", "<u4", "|u1", "|b1", ">f4", ">f8"])
def test_the_package_reads_what_is_written(dtype):
    array = (np.arange(24).reshape(4, 6) % 2).astype(dtype)
    body = write_body(COMPRESS, {"image_features": array, "layout": layouts.raw(4), "keep_tokens": 2})
    data = joined(body)
    assert np.array_equal(safetensors.numpy.load(data)["image_features"], array)


def test_parameters_are_in_the_metadata():
    body = write_body(PRUNE, {"attention": np.ones(4, np.float32), "layout": layouts.raw(4), "keep_tokens": np.int64(2)})
    data = joined(body)
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert json.loads(metadata["parameters"]) == {
        "layout": {"type": "raw", "tokens": 4}, "keep_tokens": 2, "axes": {"attention": "n"}}


def test_wider_elements_come_first_so_that_all_are_aligned():
    tensors = {"attention": np.ones(7, np.float16), "position_ids": np.arange(7)}
    data = joined(write_body(PRUNE, {**tensors, "layout": layouts.raw(7), "keep_tokens": 2}))
    for name, array in safetensors.numpy.load(data).items():
        assert np.array_equal(array, tensors[name])
    length = int.from_bytes(data[:8], "little")
    assert json.loads(data[8 : 8 + length])["position_ids"]["data_offsets"] == [0, 56]


@pytest.mark.parametrize("view", [
    lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::2], lambda a: a[1:3], lambda a: np.broadcast_to(a[0], (4, 6))])
def test_other_orders_in_memory_are_sent_in_the_order_of_the_shape(view):
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6))
    data = joined(write_body(
        PRUNE, {"image_features": array, "layout": layouts.raw(len(array)), "keep_tokens": 1, "method": "uniform"}))
    assert np.array_equal(safetensors.numpy.load(data)["image_features"], array)


def test_an_array_in_order_is_not_copied():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    writer = RequestWriter(head)
    for _ in range(2):
        request = writer.write(COMPRESS, {"image_features": array, "layout": layouts.raw(4), "keep_tokens": 2})
        assert np.shares_memory(np.frombuffer(request.pieces[2], np.uint8), array)


def test_answers_are_read_as_the_package_writes_them():
    tensors = {"features": np.arange(6, dtype=np.float16).reshape(2, 3), "kept_indices": np.array([1, 4])}
    read, metadata = _safetensors.read(safetensors.numpy.save(tensors, {"response": '{"a": 1}'}))
    assert json.loads(metadata["response"]) == {"a": 1}
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype and np.array_equal(read[name], array)


def test_bfloat16_comes_back_as_the_same_numbers():
    bits = np.array([0x3F80, 0xC000, 0x0001], "<u2")
    header = json.dumps({"features": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    read, _ = _safetensors.read(len(header).to_bytes(8, "little") + header + bits.tobytes())
    assert np.asarray(_safetensors.plain(read["features"]), np.float32)[:2].tolist() == [1.0, -2.0]


def test_nothing_that_is_no_number_is_sent():
    with pytest.raises(ValueError, match="cannot be sent"):
        as_tensor("attention", np.array(["a"]))
