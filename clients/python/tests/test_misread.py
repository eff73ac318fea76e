"""Arguments that were sent as something else than they mean, found by using the client."""
import uuid

import numpy as np
import pytest
from conftest import Scripted, response

from crop_client import ArgumentError, AsyncClient, Client, InvalidRequest, layouts, shared_empty

G = layouts.grid(24, 24)
TWO = {"attention": [0.5, 1.0], "layout": layouts.raw(2), "keep_tokens": 1, "method": "topk"}


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


@pytest.mark.parametrize("wrong", [
    {"keep_ratio": float("nan")}, {"keep_ratio": float("inf")}, {"keep_ratio": np.float32("nan")}, {"keep_ratio": {1, 2}},
    {"method_parameters": {"x": [float("nan")]}}, {"method_parameters": {(1, 2): 3}}, {"seed": 1j},
    {"timeout": float("inf")}, {"timeout": float("nan")}, {"timeout": "5"}, {"timeout": -1}, {"timeout": 0}, {"timeout": 1e30},
    {"tensors": ["x"]}, {"tensors": {1: [0.5]}}, {"parameters": ["x"]}, {"parameters": {"keep_tokens": 3}}, {"parameters": {"axes": {}}},
    {"axes": "hn"}, {"axes": ["hn"]}, {"axes": {"attention": 3}}, {"axes": {"attention": ["n"]}},
    {"request_id": "a\nX: y"}, {"request_id": "a b"}, {"request_id": ""}, {"request_id": "\u00e9"}, {"request_id": b"a"},
    {"request_id": 7}, {"request_id": "a" * 129}])
def test_arguments_that_cannot_be_sent(client, wrong):
    given = {**TWO, "method_parameters": {}}
    (name,) = wrong
    for _ in range(2):  # the second time the form may be known
        with pytest.raises(ArgumentError, match=name):
            client.prune(**{**given, **wrong})
        client.prune(**given)


@pytest.mark.parametrize("kind", ["longdouble", "complex64", "object", "U1", "M8[s]", "float8_e4m3fn"])
def test_types_that_would_lose_something(client, kind):
    if kind.startswith("float8"):
        kind = getattr(pytest.importorskip("ml_dtypes"), kind)
    with pytest.raises(ArgumentError, match="cannot be sent; send one of bfloat16"):
        client.prune(attention=np.zeros(2, np.int64).astype(kind), layout=layouts.raw(2), keep_tokens=1)


@pytest.mark.parametrize("kind", ["bytes", "str", "dict", "generator", "list"])
def test_what_is_no_array_is_named(client, kind):
    given = {"bytes": b"12345678", "str": "12", "dict": {0: 1.0}, "generator": (one for one in (1.0, 2.0)), "list": ["a", None]}[kind]
    with pytest.raises(ArgumentError, match=f"attention: {kind} with .*no lists of numbers"):
        client.prune(attention=given, layout=layouts.raw(2), keep_tokens=1)


def test_ids_may_be_those_of_uuid(client):
    mine = uuid.uuid4()
    for given in (mine, str(mine)):
        answer = client.prune(**TWO, request_id=given)
        assert answer.request_id == str(mine)


def test_none_is_not_given(client):
    names = ["axes", "parameters", "keep_ratio", "region", "localize", "seed", "request_id", "timeout", "previous", "image_features"]
    answer = client.prune(**TWO, tensors={"key": None}, **dict.fromkeys(names))
    assert answer.kept_indices.tolist() == [1]


@pytest.mark.parametrize("wrong", [
    {"timeout": float("inf")}, {"timeout": float("nan")}, {"timeout": None}, {"timeout": "5"}, {"timeout": -1}, {"timeout": 1e30},
    {"retries": None}, {"retries": -1}, {"retries": "2"}, {"retries": 1.5}, {"headers": ["a"]}, {"headers": {"a": 1}},
    {"headers": {"a": None}}, {"headers": {1: "a"}}, {"headers": {"a b": "c"}}, {"headers": {"a": "\r\nX: y"}}, {"headers": {"a:": "c"}},
    {"headers": {"A": "1", "a": "2"}}, {"api_key": b"key"}, {"api_key": "k\u00e9y"}, {"api_key": ""}, {"api_key": "Bearer key"},
    {"url": None}, {"url": b"http://h"},
    {"url": "http://" + "a" * 64 + ".org"}, {"url": "http://a..b"}, {"url": "http://[::1"}, {"url": "http://a b"},
    {"url": "http://h/a b"}, {"url": "http://h/\u00e9"}, {"url": "http://:key@h"}, {"url": "unix:/a\0b"},
    {"url": "https://h", "ca_file": "/nowhere.pem"}, {"url": "https://h", "ca_file": __file__}, {"url": "https://h", "ca_file": "/"},
    {"url": "https://h", "ssl_context": True}])
def test_settings_that_cannot_be(wrong):
    for kind in (Client, AsyncClient):
        with pytest.raises(ArgumentError) as error:
            kind(**wrong)
        assert "k\u00e9y" not in str(error.value)


@pytest.mark.parametrize("name", [
    "Host", "CONTENT-LENGTH", "transfer-encoding", "Content-Type", "accept", "Connection", "X-Request-ID", "Accept-Encoding", "Expect"])
def test_what_the_client_says_is_said_once(name):
    with pytest.raises(ArgumentError, match=name):
        Client(headers={name: "x"})


def test_headers_of_every_request():
    with Scripted(response()) as server:
        Client(server.url, headers={"user-agent": "mine", "authorization": "Basic YTpi", "traceparent": "00-0-0-00"}).methods()
    lines = server.requests[0].decode().lower().split("\r\n")
    assert sorted(line for line in lines if line.startswith(("user-agent", "authorization", "trace"))) == [
        "authorization: basic ytpi", "traceparent: 00-0-0-00", "user-agent: mine"]
    assert len({line.partition(":")[0] for line in lines if line}) == len([line for line in lines if line])
    with pytest.raises(ArgumentError, match="api_key"):
        Client(headers={"authorization": "x"}, api_key="y")


def test_a_part_of_a_number_is_not_dropped():
    assert layouts.grid(576 / 24, np.int64(24), width=640.0, height=480) == layouts.grid(24, 24, width=640, height=480)
    for wrong in (24.7, "24", None, float("nan"), float("inf"), [24]):
        for make in (lambda: layouts.grid(wrong, 24), lambda: layouts.raw(wrong), lambda: layouts.llava(width=wrong, height=24)):
            with pytest.raises(ArgumentError):
                make()


def test_a_name_beyond_ascii_is_asked_for_as_its_domain_is():
    assert Client("http://b\u00fccher.example:81/a")._settings.head("GET", "/methods").startswith(
        b"GET /a/methods HTTP/1.1\r\nHost: xn--bcher-kva.example:81\r\n")


def test_no_calls_at_a_time_would_wait_for_ever():
    for concurrency in (0, -1, None, "4"):
        with pytest.raises(ArgumentError, match="concurrency"):
            AsyncClient(concurrency=concurrency)


def test_settings():
    for url in ("http://h:99999", "http://h:abc"):
        with pytest.raises(ArgumentError):
            Client(url)
    with pytest.raises(ArgumentError) as error:
        Client(api_key="secret\n").methods()
    assert "secret" not in str(error.value)
    with pytest.raises(ArgumentError):
        shared_empty(-1)


def test_what_a_call_does_not_take_is_not_passed_over(client, grid):
    """`previous` shapes /prune and /reselect alone, and /plan reads no tensor: both were taken and had another effect, or none."""
    features = np.random.default_rng(0).random((3, 8))
    for call in (client.compress, client.compare, client.localize):
        with pytest.raises(TypeError, match="no argument 'previous'"):
            call(image_features=features, previous=[4, 5, 6])
    for name, value in (("tensors", {"image_features": features}), ("axes", {"attention": "hn"}), ("attention", features)):
        with pytest.raises(TypeError, match=f"takes no tensors, so '{name}' would not be used"):
            client.plan(layout=grid, keep_tokens=2, **{name: value})
    with pytest.raises(TypeError, match="'previous'"):
        client.plan(layout=grid, keep_tokens=2, previous=[1, 2, 3])
    with pytest.raises(TypeError, match="no argument 'important_ratio'.*parameters of one method go into `method_parameters`"):
        client.prune(attention=features[:, 0], layout=layouts.raw(3), keep_tokens=2, important_ratio=0.5)


@pytest.mark.parametrize("previous", [[5, 5, 5], [-5, 5, 7], [7, 5, 1], [[1, 2, 3], [3, 2, 1]]])
def test_what_was_kept_ascends(client, previous):
    """Or the answer's indices would neither ascend nor be tokens of the image."""
    attention = [[0.25, 0.5, 0.125]] * 2 if isinstance(previous[0], list) else [0.25, 0.5, 0.125]
    with pytest.raises(ArgumentError, match="previous: .*ascend"):
        client.prune(previous=previous, attention=np.array(attention), keep_tokens=2, method="topk")


@pytest.mark.parametrize("tensors, layout, hint", [
    ({"attention": (576, 12)}, G, r'if axis 0 is that of the tokens, axes=\{"attention": "nh"\} says so'),
    ({"attention": (576, 3, 12)}, G, r'axes=\{"attention": "nqh"\}'),
    ({"image_features": (64, 576)}, G, r'axes=\{"image_features": "dn"\}'),
    ({"image_features": (577, 64)}, G, r"\[CLS\]: leave it out, as in image_features\[1:\]"),
    ({"image_features": (640, 64)}, G, r"as in image_features\[start:start \+ count\]"),
    ({"key": (12, 577, 64)}, G, r"as in key\[\.\.\., 1:, :\]"), ({"key": (577, 64)}, G, r"as in key\[1:\]"),
    ({"attention": (12, 577)}, G, r"as in attention\[\.\.\., 1:\]"),
    ({"image_features": (97, 64)}, layouts.video(3, 8, 4), r"image_features: 97 tokens, but `layout` has 96"),
    ({"image_features": (24, 24, 64)}, G, r"of a map \[rows, columns, d\] image_features\.reshape\(-1, d\)"),
    ({"attention": (12, 576)}, (24, 24), r"layouts\.grid\(24, 24\)"), ({"attention": (12, 576)}, [], r"layouts\.grid\(24, 24\)")])
def test_hints_name_the_tensor_and_its_axis(client, tensors, layout, hint):
    with pytest.raises(ArgumentError, match=hint):
        client.prune(**{name: np.ones(shape) for name, shape in tensors.items()}, layout=layout, keep_tokens=3)


def test_hints_where_something_was_declared_or_kept(client):
    ones = np.ones((12, 576))
    with pytest.raises(ArgumentError, match='is axes\\["attention"\\] = "nh" in the tensor\'s order'):
        client.prune(attention=ones, axes={"attention": "nh"}, layout=G, keep_tokens=3)
    with pytest.raises(ArgumentError, match=r"576 tokens, but `previous` keeps 3; .* attention\[\.\.\., previous\.kept_indices\]"):
        client.prune(attention=ones, previous=[1, 2, 3], keep_tokens=2)


def test_element_types_are_named_or_given(client):
    features = np.random.default_rng(0).random((16, 8)).astype(np.float32)
    for dtype in ("float16", np.float16, np.dtype(np.float16)):
        answer = client.compress(image_features=features, layout=layouts.grid(4, 4), keep_tokens=4, dtype=dtype)
        assert answer.features.dtype == np.float16
    with pytest.raises(ArgumentError, match="`dtype` cannot be sent as JSON: type has no form there"):
        client.compress(image_features=features, layout=layouts.grid(4, 4), keep_tokens=4, dtype=dict)


def test_a_video_has_whole_frames():
    with pytest.raises(ArgumentError, match="frames=1.5: a whole number is wanted"):
        layouts.video(1.5, 4, 4)


def test_tensors_may_cover_what_is_left(client):
    """As the service takes them: docs/requests.md, later stages."""
    row = np.random.default_rng(0).random(576)
    dropped = np.arange(576) < 100
    answers = [client.prune(attention=given, already_dropped=dropped, layout=G, keep_tokens=9, method="topk") for given in (row, row[100:])]
    assert answers[0].kept_indices.tolist() == answers[1].kept_indices.tolist() == np.sort(100 + np.argsort(-row[100:])[:9]).tolist()
    both = client.prune(attention=[row[100:], row[100:]], already_dropped=[dropped] * 2, layout=[G, G], keep_tokens=9, method="topk")
    assert [one.kept_indices.tolist() for one in both.per_image] == [answers[0].kept_indices.tolist()] * 2
    with pytest.raises(InvalidRequest, match="the tensors have 475"):
        client.prune(attention=row[101:], already_dropped=dropped, layout=G, keep_tokens=9, method="topk")
    with pytest.raises(ArgumentError, match="already_dropped: 575 tokens"):
        client.prune(attention=row, already_dropped=dropped[1:], layout=G, keep_tokens=9, method="topk")


def test_a_size_in_text_is_named(client):
    with pytest.raises(InvalidRequest, match="layout.rows must be a whole number, not a string"):
        client.prune(attention=np.ones(576), layout={"type": "grid", "rows": "24", "columns": 24}, keep_tokens=9)
