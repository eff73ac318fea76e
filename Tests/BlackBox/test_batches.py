"""A batch is the list of its images: the same answers as one layout with these images gives."""
import json

import numpy as np
import pytest
from wire import request

SIDES = [4, 6]


def post(connection, path, parameters):
    return connection.exchange(request("POST", path, [("Content-Type", "application/json")], json.dumps(parameters).encode()))


def grid(side):
    return {"type": "grid", "rows": side, "columns": side}


@pytest.fixture
def rows():
    generator = np.random.default_rng(3)
    return [generator.random(side * side).tolist() for side in SIDES]


@pytest.mark.parametrize("budget", [{"keep_tokens": 26}, {"stages": [{"layer": 2, "keep_tokens": 26}, {"layer": 4, "keep_tokens": 9}]}])
def test_an_image_with_fewer_tokens_than_another_may_keep_keeps_all(connection, rows, budget):
    answer = post(connection, "/prune", {"method": "topk", "attention": rows, **budget})
    assert answer.status == 200, answer.body
    alone = [post(connection, "/prune", {"method": "topk", "attention": rows[1], **budget}).json["kept_indices"]]
    if "keep_tokens" in budget:
        assert answer.json["kept_indices"] == [list(range(16)), *alone]
    else:
        assert [stage["keep_tokens"] for stage in answer.json["stages"][0]] == [16, 9]
        assert answer.json["kept_indices"][1:] == alone
    assert "fewer than 26 tokens" in answer.json["notes"][0][0]
    plan = post(connection, "/plan", {"method": "topk", "layout": [grid(side) for side in SIDES], **budget})
    assert plan.status == 200, plan.body
    assert [part["keep_tokens"] for part in plan.json["layouts"]] == [len(kept) for kept in answer.json["kept_indices"]]


def test_a_list_of_images_and_a_layout_of_them_keep_the_same(connection, rows):
    """Qwen's images lie one behind the other in one layout."""
    sizes = [[28 * side, 28 * side] for side in SIDES]
    together = post(connection, "/prune", {
        "method": "topk", "keep_tokens": 26, "attention": rows[0] + rows[1], "layout": {"type": "qwen2_vl", "image_size": sizes}})
    apart = post(connection, "/prune", {
        "method": "topk", "keep_tokens": 26, "attention": rows, "layout": [{"type": "qwen2_vl", "image_size": size} for size in sizes]})
    assert together.status == apart.status == 200, (together.body, apart.body)
    first, second = apart.json["kept_indices"]
    assert together.json["kept_indices"] == first + [16 + index for index in second]


def test_compress_takes_the_same_budget_for_each_image(connection, rows):
    features = [np.random.default_rng(side).random((side * side, 8)).tolist() for side in SIDES]
    answer = post(connection, "/compress", {"method": "tome", "keep_tokens": 26, "image_features": features})
    assert answer.status == 200, answer.body
    assert [len(kept) for kept in answer.json["kept_indices"]] == [16, 26]


@pytest.mark.parametrize("count", [1, 2])
def test_more_than_every_tile_has_is_an_error(connection, count):
    """Three views of 256 tokens: no budget of 300 can be met, in whatever form the images come."""
    layout = {"type": "internvl", "image_size": [1000, 500]}
    parameters = {"method": "topk", "keep_tokens": 300, "budget_scope": "tile"}
    row = np.random.default_rng(5).random(768).tolist()
    for own in ({"attention": row, "layout": layout},
                {"attention": [row] * count, "layout": [layout] * count, "batched": True}):
        answer = post(connection, "/prune", {**parameters, **own})
        assert answer.status == 422 and "only 256" in answer.json["detail"], answer.body
        plan = post(connection, "/plan", {**parameters, "layout": own["layout"]})
        assert plan.status == 422 and "only 256" in plan.json["detail"], plan.body


@pytest.mark.parametrize("path", ["/prune", "/compress"])
def test_more_than_every_image_has_is_an_error(connection, rows, path):
    tensors = {"attention": rows} if path == "/prune" else {"image_features": [[[value] for value in row] for row in rows]}
    answer = post(connection, path, {"keep_tokens": 40, **({"method": "topk"} if path == "/prune" else {}), **tensors})
    assert answer.status == 422, answer.body
