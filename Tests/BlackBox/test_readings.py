"""Answers to requests that once were read in another way than their sender meant, over the whole way from bytes to indices."""
import json

import numpy as np
import pytest
from bodies import features, numbers, safetensors_bytes
from wire import request

ROWS = [("Accept", "application/json")]


def send(connection, path, tensors, parameters):
    return connection.exchange(request("POST", path, ROWS, safetensors_bytes(tensors, parameters)))


def test_the_delta_of_a_qwen2_5_video(connection):
    """Text goes on behind the larger of rows and columns, 2, whatever the time of the frames (get_rope_index)."""
    layout = {"type": "qwen2_5_vl", "grid_thw": [4, 4, 4], "second_per_grid": 1.0, "tokens_per_second": 2}

    def delta(keep):
        parameters = {"method": "topk", "keep_tokens": keep, "layout": layout}
        return send(connection, "/prune", {"attention": numbers(16)}, parameters).json["mrope_position_delta"]

    assert delta(16) == 2 - 16
    # Tokens keep their ids, so each that goes makes the prompt one shorter.
    assert delta(4) == delta(16) + 12


def test_crop_ranks_by_query_and_key(connection):
    tensors = {"query": features(4, 8), "key": np.stack([features(16, 8, seed=n) for n in range(4)])}
    answer = send(connection, "/prune", tensors, {"keep_tokens": 4, "batched": False})
    assert answer.json["decided_by"] == "query_key", answer.body


def test_relevance_features_localize(connection):
    inside = np.zeros((8, 8), np.float32)
    inside[1:4, 2:5] = 1
    tensors = {
        "image_features": features(64, 8),
        "relevance_features": np.stack([inside.ravel(), 1 - inside.ravel()], 1),
        "text_features": np.array([1, 0], np.float32),
    }
    answer = send(connection, "/localize", tensors, {"localize": {"source": "similarity"}})
    assert answer.status == 200 and answer.json["regions"][0]["blocks"] == [2, 1, 4, 3], answer.body


def test_compress_gathers_position_ids(connection):
    tensors = {"image_features": features(16, 8), "position_ids": np.arange(100, 116)}
    answer = send(connection, "/compress", tensors, {"keep_tokens": 4}).json
    assert answer["position_ids"] == [100 + index for index in answer["kept_indices"]]


@pytest.mark.parametrize("seed, status", [(2**64 - 1, 200), (2**64, 422)])
def test_seeds_end_at_64_bits(connection, seed, status):
    body = json.dumps({"attention": [1, 2, 3], "keep_tokens": 1, "method": "random", "seed": seed}).encode()
    assert connection.exchange(request("POST", "/prune", body=body)).status == status


def test_swapped_corners_are_told_with_the_box_to_send(connection):
    swapped = {"layout": {"type": "grid", "rows": 16, "columns": 16}, "region": {"box": [0.7, 0.6, 0.2, 0.3]}}
    answer = connection.exchange(request("POST", "/localize", body=json.dumps(swapped).encode()))
    assert answer.status == 422 and "send [0.2, 0.3, 0.7, 0.6]" in answer.json["detail"], answer.body


def test_a_body_that_is_no_object(connection):
    answer = connection.exchange(request("POST", "/prune", [("Content-Type", "application/json")], b"[1,2]"))
    assert "an object" in answer.json["detail"] and "a object" not in answer.json["detail"], answer.body


def test_pyramiddrop_from_hidden_states_of_a_batch(connection):
    weights = {
        "norm_weight": features(1, 8)[0],
        "query_weight": features(8, 8, seed=4),
        "key_weight": features(8, 8, seed=5),
    }
    states = [features(18, 8, seed=n) for n in (6, 7)]
    options = {
        "method": "pyramiddrop",
        "keep_tokens": 4,
        "layout": {"type": "grid", "rows": 4, "columns": 4},
        "method_parameters": {"heads": 4, "image_start": 1},
    }
    alone = []
    for each in states:
        answer = send(connection, "/prune", {"hidden_states": each, **weights}, {**options, "batched": False})
        alone.append(answer.json["kept_indices"])
    ragged = {f"hidden_states.{n}": each for n, each in enumerate(states)}
    together = send(connection, "/prune", {**ragged, **weights}, {**options, "layout": [options["layout"]] * 2})
    assert together.status == 200 and together.json["kept_indices"] == alone, together.body
    assert alone[0] != alone[1]
