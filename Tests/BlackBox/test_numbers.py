"""Every method against the float64 reference of tools/golden, on random requests with padding, copies and multiples.

CROP_NUMBERS says how many requests a method (200); `make verify-numbers` asks for 5,000.
"""
import os
import pathlib
import sys

import numpy as np
import pytest
from bodies import safetensors_bytes
from wire import request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "golden"))
import random_cases  # noqa: E402

COUNT = int(os.environ.get("CROP_NUMBERS", "200"))


@pytest.mark.timeout(max(300, COUNT))
@pytest.mark.parametrize("method", random_cases.CASES)
def test_a_method_keeps_what_the_reference_keeps(connection, method):
    undecided = 0
    for number in range(COUNT):
        case = random_cases.case_of(method, number)
        options = {
            "method": method, "keep_tokens": case.count, "method_parameters": case.parameters, "batched": False,
            **case.request}
        if case.layout:
            options["layout"] = case.layout
        body = safetensors_bytes(case.tensors, options)
        path = "/compress" if case.rows else "/prune"
        reply = connection.exchange(request("POST", path, [("Accept", "application/json")], body))
        assert reply.status == 200, (number, options, reply.body)
        if case.rows:
            features = np.reshape(reply.json["features"]["data"], reply.json["features"]["shape"])
            np.testing.assert_allclose(features, case.rows(case.tensors, case.count), rtol=1e-6, atol=1e-6)
            continue
        if case.accepts(reply.json["kept_indices"]):
            continue
        assert not random_cases.is_decided(case), (number, options, reply.json["kept_indices"], case.expected())
        undecided += 1
    # Where rounding decides, nobody is wrong; but that is rare, or this would test nothing.
    assert undecided <= COUNT / 20, f"{undecided} of {COUNT} requests hang on rounding"


def test_every_method_has_random_requests(connection):
    listed = connection.exchange(request(target="/methods")).json["methods"]
    # auto hands over to one of the others; AutoTests say to which.
    assert {each["name"] for each in listed} == set(random_cases.CASES) | {"auto"}


@pytest.mark.parametrize("seed", range(20))
def test_cdpruner_with_mostly_padding(connection, seed):
    """An image's worth of rows, seven of ten of them zero."""
    generator = np.random.default_rng(seed)
    image = generator.standard_normal((64, 32)).astype(np.float32)
    image[generator.random(64) < 0.7] = 0
    tensors = {
        "image_features": image,
        "relevance_features": generator.standard_normal((64, 8)).astype(np.float32),
        "text_features": generator.standard_normal((2, 8)).astype(np.float32),
    }
    case = random_cases.Case(
        tensors, {},
        lambda given, count: random_cases.reference.cdpruner(
            given["image_features"], given["relevance_features"], given["text_features"], count),
        16)
    body = safetensors_bytes(tensors, {"method": "cdpruner", "keep_tokens": 16, "batched": False})
    reply = connection.exchange(request("POST", "/prune", body=body))
    assert reply.status == 200, reply.body
    assert case.accepts(reply.json["kept_indices"]) or not random_cases.is_decided(case)
