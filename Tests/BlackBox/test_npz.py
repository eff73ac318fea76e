"""Archives as numpy, zipfile and mistakes write them, over real sockets."""
import io
import json
import zipfile

import numpy as np
import pytest
from bodies import features, json_bytes, npy, numbers
from wire import Connection, request

ROW = numbers(144)


def npz(compressed=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def post(connection, body, target="/prune", *fields):
    return connection.exchange(request("POST", target, list(fields), body))


@pytest.fixture
def kept(connection):
    body = json_bytes({"attention": ROW}, {"method": "topk", "keep_tokens": 36})
    return post(connection, body).json["kept_indices"]


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_and_parameters_of_numpy(connection, kept, compressed):
    for arrays in (
            {"keep_tokens": 36, "method": "topk"}, {"keep_ratio": 0.25, "method": np.bytes_(b"topk")},
            {"parameters": json.dumps({"method": "topk", "keep_tokens": 36})},
            {"keep_tokens": np.float32(36), "method": "topk", "layout": json.dumps({"type": "grid", "rows": 12, "columns": 12})}):
        answer = post(connection, npz(compressed, attention=ROW, **arrays))
        assert answer.status == 200 and answer.json["kept_indices"] == kept, answer.body
    for fields in ([("Content-Type", "application/x-npz")], [("Content-Type", "application/zip")], []):
        answer = post(connection, npz(compressed, attention=ROW), "/prune?method=topk&keep_tokens=36", *fields)
        assert answer.json["kept_indices"] == kept


@pytest.mark.parametrize("change", [
    np.asfortranarray, lambda array: array.astype(">f4"), lambda array: array.astype(np.float64)])
def test_every_memory_order(connection, change):
    array = features(64, 24)
    query = "/prune?method=divprune&keep_tokens=16"
    expected = post(connection, npz(image_features=array), query).json["kept_indices"]
    for compressed in (False, True):
        assert post(connection, npz(compressed, image_features=change(array)), query).json["kept_indices"] == expected


def test_bfloat16_and_ragged_batches(connection):
    raw = (np.asarray(ROW, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    query = "/prune?method=topk&keep_tokens=36"
    expected = post(connection, npz(attention=(raw.astype(np.uint32) << 16).view(np.float32)), query).json
    opaque = npz(attention=raw.view("V2"))
    assert post(connection, opaque, query).status == 415
    assert post(connection, opaque, query + "&tensor_dtype=BF16").json["kept_indices"] == expected["kept_indices"]
    named = npz(attention=raw.view("V2"), tensor_dtype="BF16")
    assert post(connection, named, query).json["kept_indices"] == expected["kept_indices"]
    batch = post(connection, npz(**{"attention.0": ROW, "attention.1": ROW[:50]}), "/prune?method=topk&keep_tokens=9")
    assert [len(kept) for kept in batch.json["kept_indices"]] == [9, 9]


def test_an_archive_written_to_a_pipe_and_one_with_a_comment(connection, kept):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.bytes = b""

        def writable(self):
            return True

        def write(self, data):
            self.bytes += bytes(data)
            return len(data)

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", method) as archive:
            archive.writestr("attention.npy", npy(np.asarray(ROW)))
            archive.comment = b"PK\5\6 and more"
        assert post(connection, pipe.bytes, "/prune?method=topk&keep_tokens=36").json["kept_indices"] == kept


def test_a_part_of_a_form(connection, kept):
    import requests
    prepared = requests.Request(
        "POST", "http://x/", files={"tensors": npz(attention=ROW)}, data={"method": "topk", "keep_tokens": 36}).prepare()
    answer = post(connection, prepared.body, "/prune", ("Content-Type", prepared.headers["Content-Type"]))
    assert answer.status == 200 and answer.json["kept_indices"] == kept, answer.body


def test_what_is_wrong_is_said(connection):
    good = npz(attention=ROW)
    stored = good.index(b"PK\1\2")
    encrypted = bytearray(good)
    encrypted[stored + 8] |= 1
    damaged = bytearray(good)
    damaged[good.index(b"\x93NUMPY") + 200] ^= 1
    objects = io.BytesIO()
    np.savez(objects, attention=np.array([{}], dtype=object))
    bzip2 = io.BytesIO()
    with zipfile.ZipFile(bzip2, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("attention.npy", npy(np.asarray(ROW)))
    torch = io.BytesIO()
    with zipfile.ZipFile(torch, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\2.")
    positional = io.BytesIO()
    np.savez(positional, ROW)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("attention.npy", npy(np.asarray(ROW)))
        archive.writestr("attention.npy", npy(np.asarray(ROW)))
    for body, status, word in (
            (bytes(encrypted), 415, "encrypted"), (bytes(damaged), 400, "checksum"), (objects.getvalue(), 415, "pickle"),
            (bzip2.getvalue(), 415, "method 12"), (torch.getvalue(), 415, "pickle"), (positional.getvalue(), 422, "names"),
            (twice.getvalue(), 422, "twice"), (good[:-1], 400, "zip"), (good + b"\0", 400, "zip"), (b"#!" + good[2:], 415, "json"),
            (good[:40], 400, "zip")):
        answer = post(connection, body, "/prune?method=topk&keep_tokens=36")
        assert answer.status == status and word in answer.json["detail"], (status, word, answer.body)


def test_a_bomb_costs_nothing(connection):
    zeros = np.zeros((60 << 20) // 4, np.float32)
    bomb = npz(True, attention=zeros)
    assert len(bomb) < 1 << 17
    answer = post(connection, bomb, "/prune?method=topk&keep_tokens=1")
    assert answer.status == 413 and "200 times" in answer.json["detail"], answer.body
    many = npz(True, **{f"a{index}": zeros[:1 << 20] for index in range(40)})
    assert post(connection, many, "/prune?method=topk&keep_tokens=1").status == 413


@pytest.mark.parametrize("magic, name", [
    (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF89a\1\0", "GIF"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP"), (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF"), (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
    (b"BM\x36\0\0\0\0\0\0\0", "BMP"), (b"II*\0\x08\0\0\0", "TIFF")])
def test_a_picture_is_told_what_tensors_are(server, magic, name):
    for fields in ([], [("Content-Type", "application/octet-stream")], [("Content-Type", "image/" + name.lower())],
                   [("Content-Type", "application/json")]):
        # Refused on the head alone, the body is not read and the connection ends.
        with Connection(server.port) as connection:
            answer = post(connection, magic + b"\1" * 64, "/prune?keep_tokens=4", *fields)
        assert answer.status == 415 and "docs/tensors.md" in answer.json["detail"], answer.body
        assert "image_features" in answer.json["detail"]
