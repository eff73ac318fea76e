"""Clients of KServe (`make test-clients` installs it, some 500 MB) and of the protocol's own OpenAPI document."""
import asyncio

import numpy as np
import pytest

ROW = (np.random.default_rng(1).permutation(144) / 144).astype(np.float32)
TOP = sorted(np.argsort(-ROW, kind="stable")[:36].tolist())
TOPK = {"method": "topk", "keep_tokens": 36}


@pytest.fixture
def address(server):
    return f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("binary", [True, False])
def test_kserve(address, binary):
    kserve = pytest.importorskip("kserve")
    from kserve.inference_client import RESTConfig
    from kserve.protocol.infer_type import RequestedOutput

    async def talk():
        client = kserve.InferenceRESTClient(RESTConfig(protocol="v2"))
        url = f"http://{address}"
        assert await client.is_server_ready(url) and await client.is_server_live(url)
        assert await client.is_model_ready(url, "crop-prune")
        port = kserve.InferInput("attention", list(ROW.shape), "FP32")
        port.set_data_from_numpy(ROW, binary_data=binary)
        outputs = [RequestedOutput("kept_indices", parameters={"binary_data": binary})]
        request = kserve.InferRequest("crop-prune", [port], request_id="9", parameters=TOPK, request_outputs=outputs)
        response = await client.infer(url, request, model_name="crop-prune")
        assert response.id == "9" and response.model_name == "crop-prune"
        assert response.outputs[0].as_numpy().tolist() == TOP
        with pytest.raises(Exception, match="unknown model"):
            await client.infer(url, request, model_name="crop")
        await client.close()

    asyncio.run(talk())


def test_open_inference(address):
    openapi = pytest.importorskip("open_inference.openapi")
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.core.api_error import ApiError
    client = OpenInferenceClient(base_url=f"http://{address}")
    client.check_server_readiness()
    client.check_server_liveness()
    client.check_model_readiness("crop-prune")
    client.check_model_version_readiness("crop-prune", "1")
    assert client.read_server_metadata().name == "crop"
    assert client.read_model_metadata("crop-prune").name == client.read_model_version_metadata("crop-prune", "1").name
    port = openapi.RequestInput(
        name="attention", shape=[144], datatype="FP32", data=openapi.TensorData.parse_obj(ROW.tolist()))
    for infer, more in ((client.model_infer, ()), (client.model_version_infer, ("1",))):
        request = openapi.InferenceRequest(id="3", inputs=[port], parameters=TOPK)
        response = infer("crop-prune", *more, request=request)
        assert response.id == "3"
        kept = next(output for output in response.outputs if output.name == "kept_indices")
        assert [int(index) for index in getattr(kept.data, "__root__", kept.data)] == TOP
    with pytest.raises(ApiError) as error:
        client.read_model_metadata("crop")
    assert error.value.status_code == 404 and "unknown model" in str(error.value.body)
    with pytest.raises(openapi.BadRequestError) as error:
        client.model_infer("crop-prune", request=openapi.InferenceRequest(inputs=[port], parameters=None))
    assert "keep_tokens" in str(error.value.body)
