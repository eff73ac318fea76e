"""Arguments that were sent as something else than they mean, found by using the client."""
import numpy as np
import pytest
from crop_client import ArgumentError, Client, layouts, shared_empty

G = layouts.grid(24, 24)


def test_a_matrix_is_sent_whole(client, grid):
    row = np.random.default_rng(0).random(576)
    kept = client.prune(attention=np.asmatrix(row), layout=G, keep_tokens=9, method="topk").kept_indices
    assert set(kept) == set(np.argsort(-row)[:9])


@pytest.mark.parametrize("mask", [True, False])
def test_masked(client, mask):
    for kind in ("f4", "u1", ">f4"):
        with pytest.raises(ArgumentError, match="filled"):
            client.prune(attention=np.ma.array(np.ones(576, kind), mask=mask), layout=G, keep_tokens=9)


def test_previous(client):
    row = np.random.default_rng(0).random(576)
    first = client.prune(attention=row, layout=G, keep_tokens=100, method="topk")
    rows = row[first.kept_indices]
    want = set(np.argsort(-row)[:9])
    for previous in (first, first.raw, first.kept_indices, first.kept_indices.tolist(), {"kept_indices": first.kept_indices}, client.reselect(previous=first, attention=row, layout=G)):
        assert set(client.prune(attention=rows, previous=previous, keep_tokens=9, method="topk").kept_indices) == want
        client.reselect(attention=row, layout=G, previous=previous)
    for previous in ([first, first], [first.kept_indices, first.raw]):
        both = client.prune(attention=[rows, rows], previous=previous, keep_tokens=9, method="topk")
        assert [set(one.kept_indices) for one in both.per_image] == [want, want]
        client.reselect(attention=[row, row], layout=[G, G], previous=previous)
    mask = np.zeros(576, bool)
    for previous in (mask, row, "x", {}, [mask, mask]):
        with pytest.raises(ArgumentError, match="previous"):
            client.prune(attention=row, previous=previous, keep_tokens=9, method="topk")
        with pytest.raises(ArgumentError, match="previous"):
            client.reselect(attention=row, layout=G, previous=previous)
    with pytest.raises(ArgumentError, match="2 images"):
        client.reselect(attention=[row, row], layout=[G, G], previous=[first])
    with pytest.raises(ArgumentError, match="2 images"):
        client.reselect(attention=[row, row], layout=[G, G], previous=first)
    with pytest.raises(ArgumentError, match="twice"):
        client.prune(attention=row, tensors={"attention": row}, layout=G, keep_tokens=9)


@pytest.mark.filterwarnings("ignore:attention has as many queries as tokens")
def test_a_square_is_declared(client):
    """[N, N] may be N heads, or the queries of self-attention: fastv reads the mean of those, and the last of these."""
    square = np.random.default_rng(0).permutation(64).reshape(8, 8).astype(np.float32)
    layout = layouts.grid(2, 4)

    def kept(attention, letters, of=layout):
        return client.prune(attention=attention, axes={"attention": letters}, layout=of, keep_tokens=3, method="fastv")

    def highest(row):
        return np.sort(np.argsort(-row)[:3]).tolist()

    for given in (square, square.astype(np.int64), square.tolist()):
        with pytest.raises(ArgumentError, match='8 heads, or as the 8 queries .*"hn"} or "qn"'):
            client.prune(attention=given, layout=layout, keep_tokens=3)
    heads, queries = highest(square.mean(axis=0)), highest(square[-1])
    assert kept(square, "hn").kept_indices.tolist() == heads != queries == kept(square, "qn").kept_indices.tolist()
    for name in ("reference_attention", "early_attention"):
        with pytest.raises(ArgumentError, match=name + r": \[8, 8\]"):
            client.prune(**{"attention": square[0], name: square}, layout=layout, keep_tokens=3)
    for images in (np.stack([square, square]), [square, square]):
        with pytest.raises(ArgumentError, match='"bhn", "bqn"'):
            client.prune(attention=images, layout=[layout, layout], keep_tokens=3)
    assert [one.kept_indices.tolist() for one in kept(np.stack([square] * 2), "bhn", [layout] * 2).per_image] == [heads] * 2
    assert [one.kept_indices.tolist() for one in kept([square] * 2, "hn", [layout] * 2).per_image] == [heads] * 2
    # Neither one token, nor images, nor features are squares of attention.
    client.prune(attention=[[1.0]], layout=layouts.raw(1), keep_tokens=1, method="topk")
    client.prune(attention=square[:2, :2], layout=[layouts.raw(2)] * 2, keep_tokens=1, method="topk")
    client.prune(image_features=square, layout=layout, keep_tokens=3, method="divprune")


def test_position_ids_with_those_of_the_text(client):
    ids = np.stack([np.arange(576) + 1000 * component for component in range(4)])
    row = np.random.default_rng(0).random(576)
    with pytest.raises(ArgumentError, match=r"send position_ids\[1:\]"):
        client.prune(attention=row, position_ids=ids, layout=G, keep_tokens=9)
    with pytest.raises(ArgumentError, match="list with one per image"):
        client.prune(attention=row, position_ids=ids[:2], layout=G, keep_tokens=9)
    for shaped, letters in ((ids, "cn"), (ids[:, None], "cbn"), (ids[None], "bcn")):
        answer = client.prune(attention=row, position_ids=shaped, axes={"position_ids": letters}, layout=G, keep_tokens=9)
        assert answer.position_ids.tolist() == ids[1:, answer.kept_indices].tolist()


def test_settings():
    for url in ("http://h:99999", "http://h:abc"):
        with pytest.raises(ArgumentError):
            Client(url)
    with pytest.raises(ArgumentError) as error:
        Client(api_key="secret\n").methods()
    assert "secret" not in str(error.value)
    with pytest.raises(ArgumentError):
        shared_empty(-1)
