"""Mistakes that used to give a plausible answer: each is either made impossible here, or refused with what to do."""

import numpy as np
import pytest

from crop_client import ArgumentError, Client, InvalidRequest, PruneAnswer, layouts

K = 32


def topk(scores):
    return np.sort(np.argsort(-scores, kind="stable")[:K]).tolist()


def prune(client, attention, layout, **more):
    return client.prune(attention=attention, layout=layout, keep_tokens=K, **{"method": "topk", **more})


# attentions [1, H, N]


def test_a_leading_1_of_attention_must_be_declared(client, row, grid):
    with pytest.raises(ArgumentError, match='"bhn"}, "bqn" or "hqn"'):
        prune(client, row[None], grid)


def test_declared_axes_decide_what_fastv_reads(client, row, grid):
    """[1, 12, 576] as one head's queries is its last row; as heads, their mean."""
    heads = prune(client, row[None], grid, method="fastv", axes={"attention": "bhn"})
    queries = prune(client, row[None], grid, method="fastv", axes={"attention": "hqn"})
    mean_over_heads_kept = prune(client, row[None], grid, method="fastv", axes={"attention": "bqn"})
    assert heads.kept_indices.tolist() == topk(row.mean(axis=0))
    assert queries.kept_indices.tolist() == mean_over_heads_kept.kept_indices.tolist() == topk(row[-1])


def test_the_service_is_told_the_axes_and_says_how_it_read_them(client, row, grid):
    answer = prune(client, row, grid)
    assert answer.read == {"images": 1, "tokens": 576, "heads": 12, "queries": 1}
    answer = prune(client, row[:2], [grid, grid])
    assert (answer.read["images"], answer.read["heads"], answer.per_image[1].read["images"]) == (2, 1, 2)


def test_axes_may_come_in_any_order(client, row, grid):
    answer = prune(client, row.T[:, None], grid, method="fastv", axes={"attention": "n1h"})
    assert answer.kept_indices.tolist() == topk(row.mean(axis=0))


@pytest.mark.parametrize("letters", ["hn", "hhn", "xhn", "bhqn", "nd1"])
def test_axes_that_do_not_fit_are_refused(client, row, grid, letters):
    with pytest.raises(ArgumentError, match="axes"):
        prune(client, row[None], grid, axes={"attention": letters})


def test_axes_of_a_tensor_that_is_not_there(client, row, grid):
    with pytest.raises(ArgumentError, match="not among the tensors"):
        prune(client, row, grid, axes={"atention": "hn"})


# B = 2 without a list of layouts


def test_two_images_in_one_tensor_need_two_layouts(client, row, grid):
    two = np.stack([row, row[::-1, ::-1]])
    with pytest.raises(ArgumentError, match="list with one per image"):
        prune(client, two, grid, axes={"attention": "bhn"})
    with pytest.raises(ArgumentError, match="list with one per image"):
        prune(client, np.stack([two, two]), grid)
    answer = prune(client, two, [grid, grid])
    assert [one.kept_indices.tolist() for one in answer.per_image] == [topk(image.mean(axis=0)) for image in two]


def test_rows_of_two_images_are_not_two_heads(client, row, grid):
    two = row[:2]
    heads = prune(client, two, grid)
    images = prune(client, two, [grid, grid])
    assert heads.kept_indices.tolist() == topk(two.mean(axis=0))
    assert [one.kept_indices.tolist() for one in images.per_image] == [topk(two[0]), topk(two[1])]


def test_the_members_of_a_batch_cannot_be_taken_for_one_image(client, row, grid):
    answer = prune(client, row[:2], [grid, grid])
    assert answer.is_batch
    with pytest.raises(ArgumentError, match="per_image"):
        answer.kept_indices  # noqa: B018


def test_a_ragged_batch_is_a_list(client, row):
    grids = [layouts.grid(24, 24), layouts.grid(12, 20)]
    answer = prune(client, [row, row[:, :240]], grids)
    assert [one.kept_indices.tolist() for one in answer.per_image] == [
        topk(row.mean(axis=0)), topk(row[:, :240].mean(axis=0))]
    with pytest.raises(ArgumentError, match="3 tensors for 2"):
        prune(client, [row, row, row], grids)
    with pytest.raises(ArgumentError, match="a batch"):
        prune(client, [row, row], grids[0])


def test_texts_of_a_batch_are_declared(client, grid):
    generator = np.random.default_rng(3)
    features = generator.standard_normal((2, 576, 8)).astype(np.float32)
    texts = generator.standard_normal((2, 8)).astype(np.float32)
    arguments = {"image_features": features, "layout": [grid, grid], "keep_tokens": K, "method": "cdpruner"}
    with pytest.raises(ArgumentError, match='"bd"} or "md"'):
        client.prune(text_features=texts, **arguments)
    own = client.prune(text_features=texts, axes={"text_features": "bd"}, **arguments)
    shared = client.prune(text_features=texts, axes={"text_features": "md"}, **arguments)
    for index in range(2):
        one = {**arguments, "image_features": features[index], "layout": grid}
        assert own.per_image[index].kept_indices.tolist() == client.prune(text_features=texts[index], **one).kept_indices.tolist()
        assert shared.per_image[index].kept_indices.tolist() == client.prune(text_features=texts, **one).kept_indices.tolist()
    assert own.raw["kept_indices"] != shared.raw["kept_indices"]


# position ids [3, B, N]


def test_position_ids_of_transformers(client, row, grid):
    ids = np.stack([np.arange(576) + 100 * axis for axis in range(3)])
    for shaped in (ids, ids[:, None], np.concatenate([ids[:1] + 7, ids])[:, None]):
        answer = prune(client, row, grid, position_ids=shaped)
        assert answer.position_ids.tolist() == ids[:, answer.kept_indices].tolist()
    answer = prune(client, row, grid, position_ids=ids[:1])
    assert answer.position_ids.tolist() == ids[0, answer.kept_indices].tolist()


def test_position_ids_of_a_batch(client, row, grid):
    ids = np.stack([np.arange(576) + 100 * axis for axis in range(3)])
    both = np.stack([ids, ids + 5000], axis=1)
    answer = prune(client, row[:2], [grid, grid], position_ids=both)
    for index, one in enumerate(answer.per_image):
        assert one.position_ids.tolist() == both[:, index][:, one.kept_indices].tolist()
    with pytest.raises(ArgumentError, match='"cbn"'):
        prune(client, row[:3], [grid] * 3, position_ids=np.stack([ids] * 3))
    answer = prune(client, row[:3], [grid] * 3, position_ids=np.stack([ids] * 3, axis=1), axes={"position_ids": "cbn"})
    assert answer.per_image[2].position_ids.tolist() == ids[:, answer.per_image[2].kept_indices].tolist()


def test_four_rows_of_ids_are_not_guessed_at(client, row, grid):
    with pytest.raises(ArgumentError, match=r"\[3, N\]"):
        prune(client, row, grid, position_ids=np.zeros((4, 576), np.int64))


# whole-sequence rows, and 577 columns


def test_a_row_over_the_whole_sequence_is_refused(client, row, grid):
    with pytest.raises(ArgumentError, match="start:start"):
        prune(client, np.pad(row, ((0, 0), (5, 44))), grid)  # 625 is a square, too


def test_a_cls_column_is_named(client, row, grid):
    with pytest.raises(ArgumentError, match=r"\[CLS\]"):
        prune(client, np.pad(row, ((0, 0), (1, 0))), grid)


@pytest.mark.parametrize("layout", ["llava", ["llava"], 576, [24, 24]])
def test_a_layout_is_never_taken_for_a_list_of_images(client, row, layout):
    with pytest.raises(ArgumentError, match="`layout` is a mapping"):
        prune(client, row, layout)
    with pytest.raises(ArgumentError, match="`layout` is a mapping"):
        client.plan(layout=layout, keep_tokens=K)


def test_a_layout_is_always_sent(client, row):
    with pytest.raises(ArgumentError, match="`layout` is needed"):
        client.prune(attention=row, keep_tokens=K)


@pytest.mark.parametrize("layout", [layouts.qwen("qwen2_vl", [[1, 34, 46]]), layouts.internvl(width=448, height=448)])
def test_the_server_knows_the_families_counts(client, row, layout):
    with pytest.raises(InvalidRequest, match="describes"):
        prune(client, row, layout)


# bfloat16


def test_bits_of_bfloat16_are_not_integers(client, row, grid):
    bits = (row.view(np.uint32) >> 16).astype(np.uint16)
    for array in (bits, bits.view(np.int16), bits.view("V2"), bits.astype(">u2")):
        with pytest.raises(ArgumentError, match="bfloat16"):
            prune(client, array, grid)


# image_sizes (H, W) against [W, H]


def test_sizes_are_given_by_name():
    assert layouts.llava_next(width=640, height=480)["image_size"] == [640, 480]
    with pytest.raises(TypeError):
        layouts.llava_next((480, 640))
    with pytest.raises(ArgumentError, match="both"):
        layouts.llava_next(width=640)


# query [H, 1, d]


@pytest.mark.parametrize("shape", [(4, 8), (4, 1, 8), (1, 4, 8), (1, 4, 1, 8)])
def test_a_query_row_with_axes_of_1(client, grid, shape):
    generator = np.random.default_rng(5)
    query = generator.standard_normal((4, 8)).astype(np.float32)
    key = generator.standard_normal((4, 576, 8)).astype(np.float32)
    plain = client.localize(query=query, key=key, layout=grid, localize={"minimum_contrast": 0})
    answer = client.localize(query=query.reshape(shape), key=key[None], layout=grid, localize={"minimum_contrast": 0})
    assert answer.source == "query_key" and answer.raw == plain.raw


def test_several_query_rows_are_refused(client, grid):
    with pytest.raises(ArgumentError, match="one query row"):
        client.localize(query=np.ones((4, 7, 8), np.float32), key=np.ones((4, 576, 8), np.float32), layout=grid)


# stage two without the dropped tokens


def test_a_later_stage_counts_from_the_original_tokens(client, row, grid):
    first = client.prune(attention=row, layout=grid, keep_tokens=288, method="topk")
    later = np.random.default_rng(9).permutation(288).astype(np.float32)
    second = client.prune(attention=later, previous=first, keep_tokens=K, method="topk")
    assert second.kept_within_previous.tolist() == topk(later)
    assert second.kept_indices.tolist() == first.kept_indices[topk(later)].tolist()
    third = client.prune(attention=later[:K], previous=second, keep_tokens=4, method="topk")
    assert set(third.kept_indices.tolist()) < set(second.kept_indices.tolist())
    with pytest.raises(ArgumentError, match="288"):
        client.prune(attention=row, previous=first, keep_tokens=K)
    for ambiguous in ({"keep_ratio": 0.5}, {"layout": grid, "keep_tokens": K}, {"region": {"blocks": [0, 0, 1, 1]}}):
        with pytest.raises(ArgumentError, match="previous"):
            client.prune(attention=later, previous=first, **ambiguous)


def test_a_later_stage_of_a_batch(client, row, grid):
    first = client.prune(attention=row[:2], layout=[grid, grid], keep_tokens=64, method="topk")
    later = np.arange(128, dtype=np.float32).reshape(2, 64)
    second = client.prune(attention=later, previous=first, keep_tokens=K, method="topk")
    for one, before in zip(second.per_image, first.per_image):
        assert one.kept_indices.tolist() == before.kept_indices[-K:].tolist()


def test_indices_of_a_caller_may_be_previous(client):
    answer = client.prune(attention=np.array([1.0, 3.0, 2.0]), previous=[4, 8, 15], keep_tokens=2, method="topk")
    assert isinstance(answer, PruneAnswer) and answer.kept_indices.tolist() == [8, 15]


# Typing errors


def test_unknown_names_are_refused_with_the_nearest(client, row, grid):
    with pytest.raises(TypeError, match="did you mean 'keep_tokens'"):
        client.prune(attention=row, layout=grid, keep_toknes=3)
    with pytest.raises(InvalidRequest, match="keep_tokens") as caught:
        client.prune(attention=row, layout=grid, parameters={"keep_toknes": 3})
    assert caught.value.pointer == "/keep_toknes" and caught.value.type == "/problems/unknown-parameter"


def test_no_argument_is_dropped(client, row, grid):
    """What `parameters` adds reaches the service, also on the second call, whose header is known."""
    for _ in range(2):
        assert prune(client, row[0], grid).get("scores") is None
        assert len(prune(client, row[0], grid, parameters={"explain": True}).scores) == 576
        assert prune(client, row[0], grid, previous=None, seed=None).keep_tokens == K


def test_a_client_of_nothing_says_so():
    for url in ("127.0.0.1:8080", "ftp://localhost", "unix:relative.sock", "shm:region", "http://u@h:1/", ""):
        with pytest.raises(ArgumentError):
            Client(url)
