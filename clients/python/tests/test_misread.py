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


def test_settings():
    for url in ("http://h:99999", "http://h:abc"):
        with pytest.raises(ArgumentError):
            Client(url)
    with pytest.raises(ArgumentError) as error:
        Client(api_key="secret\n").methods()
    assert "secret" not in str(error.value)
    with pytest.raises(ArgumentError):
        shared_empty(-1)
