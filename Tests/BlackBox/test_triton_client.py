"""tritonclient[http], both its forms: every call that has a meaning here."""
import asyncio
import json
import os

import numpy as np
import pytest
from server import Server

sync = pytest.importorskip("tritonclient.http")
import tritonclient.http.aio as aio  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

MODELS = ["crop-localize", "crop-compress", "crop-prune", "crop-reselect"]
ROW = (np.random.default_rng(1).permutation(144) / 144).astype(np.float32)
TOP = sorted(np.argsort(-ROW, kind="stable")[:36].tolist())
TOPK = {"method": "topk", "keep_tokens": 36}


def features(dtype=np.float32):
    return np.random.default_rng(2).standard_normal((64, 16)).astype(dtype)


def tensor(name, array, datatype="FP32", binary=True, module=sync):
    port = module.InferInput(name, array.shape, datatype)
    port.set_data_from_numpy(array, binary_data=binary)
    return port


@pytest.fixture(scope="module")
def address():
    with Server("--response-compression", "true", "--shared-memory", "named") as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
def client(address):
    with sync.InferenceServerClient(address, concurrency=2) as client:
        yield client


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata()["name"] == "crop"
    for model in MODELS:
        assert client.is_model_ready(model) and client.is_model_ready(model, "1")
        assert client.get_model_metadata(model)["name"] == model
        assert client.get_model_metadata(model, "1")["versions"] == ["1"]
        assert client.get_model_config(model)["max_batch_size"] == 0
        assert client.get_inference_statistics(model, "1")["model_stats"][0]["name"] == model
    assert len(client.get_inference_statistics()["model_stats"]) == 4
    assert [model["name"] for model in client.get_model_repository_index()] == MODELS


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("dtype, datatype", [
    (np.float16, "FP16"), (np.float32, "FP32"), (np.float64, "FP64"), (np.int8, "INT8"), (np.uint8, "UINT8"),
    (np.int16, "INT16"), (np.uint16, "UINT16"), (np.int32, "INT32"), (np.uint32, "UINT32"), (np.int64, "INT64"),
    (np.uint64, "UINT64")])
def test_every_datatype_both_ways(client, dtype, datatype, binary):
    row = (np.random.default_rng(3).permutation(100) + 1).astype(dtype)
    expected = sorted(np.argsort(-row.astype(float), kind="stable")[:10].tolist())
    options = {"method": "topk", "keep_tokens": 10}
    result = client.infer("crop-prune", [tensor("attention", row, datatype, binary)], parameters=options, request_id="7")
    assert result.as_numpy("kept_indices").tolist() == expected
    assert result.get_response()["id"] == "7" and result.get_output("kept_indices")["datatype"] == "INT64"
    outputs = [sync.InferRequestedOutput("kept_indices", binary_data=binary), sync.InferRequestedOutput("response", binary_data=binary)]
    result = client.infer("crop-prune", [tensor("attention", row, datatype, binary)], model_version="1", outputs=outputs, parameters=options)
    assert result.as_numpy("kept_indices").tolist() == expected
    text = result.as_numpy("response")[0]
    assert json.loads(text)["keep_tokens"] == 10


def test_bfloat16(client):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = features().astype(ml_dtypes.bfloat16)
    options = {"method": "divprune", "keep_tokens": 9}
    result = client.infer("crop-compress", [tensor("image_features", array, "BF16")], parameters=options)
    kept = result.as_numpy("features")
    assert kept.shape == (9, 16) and kept.dtype == ml_dtypes.bfloat16
    as_float = client.infer("crop-prune", [tensor("image_features", array.astype(np.float32))], parameters=options)
    as_half = client.infer("crop-prune", [tensor("image_features", array, "BF16")], parameters=options)
    assert as_float.as_numpy("kept_indices").tolist() == as_half.as_numpy("kept_indices").tolist()


@pytest.mark.parametrize("binary", [True, False])
def test_texts_and_truths_are_parameters(client, binary):
    inputs = [tensor("attention", ROW, binary=binary), tensor("method", np.array(["topk"], dtype=object), "BYTES", binary),
              tensor("keep_tokens", np.array([36], np.int32), "INT32", binary), tensor("batched", np.array([False]), "BOOL", binary)]
    assert client.infer("crop-prune", inputs).as_numpy("kept_indices").tolist() == TOP


@pytest.mark.parametrize("request_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("response_coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression(client, request_coding, response_coding, binary):
    outputs = [sync.InferRequestedOutput("features", binary_data=binary), sync.InferRequestedOutput("kept_indices", binary_data=binary)]
    result = client.infer(
        "crop-compress", [tensor("image_features", features(), binary=binary)], outputs=outputs,
        parameters={"method": "divprune", "keep_tokens": 9}, request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding)
    assert result.as_numpy("features").shape == (9, 16) and len(result.as_numpy("kept_indices")) == 9


def test_objects_as_json_text_and_batches(client):
    parameters = {**TOPK, "layout": json.dumps({"type": "grid", "rows": 12, "columns": 12}), "batched": True}
    rows = np.stack([ROW, ROW[::-1]])
    result = client.infer("crop-prune", [tensor("attention", rows)], parameters=parameters, priority=1, timeout=2_000_000)
    assert result.as_numpy("kept_indices").shape == (2, 36) and result.as_numpy("kept_indices")[0].tolist() == TOP
    found = client.infer("crop-localize", [tensor("attention", ROW)], query_params={})
    assert json.loads(found.as_numpy("response")[0])["regions"]


def test_asynchronous_and_prepared_requests(client):
    waiting = [client.async_infer("crop-prune", [tensor("attention", ROW)], parameters=TOPK) for _ in range(8)]
    assert all(one.get_result().as_numpy("kept_indices").tolist() == TOP for one in waiting)
    body, length = sync.InferenceServerClient.generate_request_body([tensor("attention", ROW)], parameters=TOPK)
    assert length and len(body) == length + ROW.nbytes


def test_errors_have_words_and_a_status(client):
    for call, status, word in (
            (lambda: client.infer("crop", [tensor("attention", ROW)]), "404", "unknown model"),
            (lambda: client.get_model_metadata("crop"), "404", "unknown model"),
            (lambda: client.get_model_metadata("crop-prune", "2"), "404", "version 2"),
            (lambda: client.infer("crop-prune", [tensor("atention", ROW)], parameters=TOPK), "400", "attention"),
            (lambda: client.infer("crop-prune", [tensor("attention", ROW)], parameters={"keep_token": 3}), "400", "keep_tokens"),
            (lambda: client.infer("crop-prune", [tensor("attention", ROW)], parameters=TOPK,
                                  outputs=[sync.InferRequestedOutput("logits")]), "400", "unexpected inference output"),
            (lambda: client.infer("crop-prune", [tensor("attention", ROW)], parameters=TOPK,
                                  outputs=[sync.InferRequestedOutput("kept_indices", class_count=3)]), "400", "classification"),
            (lambda: client.infer("crop-prune", [tensor("attention", ROW)], parameters=TOPK, sequence_id=5), "400", "sequence_id")):
        with pytest.raises(InferenceServerException) as error:
            call()
        assert status in str(error.value.status()) and word in error.value.message()
    assert not client.is_model_ready("crop")


def test_shared_memory(client):
    import tritonclient.utils.shared_memory as memory
    array = features(np.float16)
    given = memory.create_shared_memory_region("given", f"/crop_given_{os.getpid()}", array.nbytes)
    taken = memory.create_shared_memory_region("taken", f"/crop_taken_{os.getpid()}", 4096)
    try:
        memory.set_shared_memory_region(given, [array])
        client.register_system_shared_memory("given", f"/crop_given_{os.getpid()}", array.nbytes)
        client.register_system_shared_memory("taken", f"/crop_taken_{os.getpid()}", 4096)
        assert [region["name"] for region in client.get_system_shared_memory_status()] == ["given", "taken"]
        assert client.get_system_shared_memory_status("given")[0]["byte_size"] == array.nbytes
        port = sync.InferInput("image_features", array.shape, "FP16")
        port.set_shared_memory("given", array.nbytes)
        rows, kept = sync.InferRequestedOutput("features"), sync.InferRequestedOutput("kept_indices", binary_data=True)
        rows.set_shared_memory("taken", 4096)
        options = {"method": "divprune", "keep_tokens": 9}
        result = client.infer("crop-compress", [port], outputs=[rows, kept], parameters=options)
        assert result.get_output("features")["shape"] == [9, 16]
        found = memory.get_contents_as_numpy(taken, np.float16, [9, 16])
        plain = client.infer("crop-compress", [tensor("image_features", array, "FP16")], parameters=options)
        assert np.array_equal(found, plain.as_numpy("features"))
        assert result.as_numpy("kept_indices").tolist() == plain.as_numpy("kept_indices").tolist()
        with pytest.raises(InferenceServerException, match="already exists"):
            client.register_system_shared_memory("taken", f"/crop_taken_{os.getpid()}", 4096)
        client.unregister_system_shared_memory("given")
        client.unregister_system_shared_memory()
        assert client.get_system_shared_memory_status() == []
    finally:
        memory.destroy_shared_memory_region(given)
        memory.destroy_shared_memory_region(taken)


def test_the_client_for_asyncio(address):
    async def talk():
        async with aio.InferenceServerClient(address) as client:
            assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("crop-prune")
            assert (await client.get_server_metadata())["name"] == "crop"
            assert (await client.get_model_metadata("crop-prune"))["name"] == "crop-prune"
            assert (await client.get_model_config("crop-prune"))["name"] == "crop-prune"
            assert len((await client.get_inference_statistics())["model_stats"]) == 4
            assert len(await client.get_model_repository_index()) == 4
            for binary in (True, False):
                port = aio.InferInput("attention", ROW.shape, "FP32")
                port.set_data_from_numpy(ROW, binary_data=binary)
                for coding in (None, "gzip", "deflate"):
                    results = await asyncio.gather(*[
                        client.infer("crop-prune", [port], parameters=TOPK, request_compression_algorithm=coding,
                                     response_compression_algorithm=coding) for _ in range(4)])
                    assert all(result.as_numpy("kept_indices").tolist() == TOP for result in results)
            with pytest.raises(InferenceServerException, match="unknown model"):
                await client.infer("crop", [port])

    asyncio.run(talk())
