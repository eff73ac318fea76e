"""Requests whose form was seen before: byte for byte what is written without that knowledge."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crop_client import ArgumentError, layouts
from crop_client._arguments import COMPARE, COMPRESS, LOCALIZE, PLAN, PRUNE, RESELECT, RequestWriter, write_body

ml_dtypes = pytest.importorskip("ml_dtypes")


def head(call, content_type, byte_count, request_id):
    return f"{call.path} {content_type} {byte_count} {request_id}\r\n\r\n".encode()


def outcome(make):
    """What is sent, or why nothing is."""
    try:
        return b"".join(map(bytes, make()))
    except (ArgumentError, TypeError, ValueError) as error:
        return type(error), str(error)


def check(writer, call, arguments):
    def anew():
        body = write_body(call, arguments)
        return [head(call, body.content_type, body.byte_count, arguments.get("request_id")), *body.pieces]

    wanted = outcome(anew)
    # The second time the form may be known.
    for _ in range(2):
        assert outcome(lambda: writer.write(call, arguments).pieces) == wanted


DTYPES = [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, np.int64, np.uint8, np.bool_, ">f4"]
# Few values, so that equal and nearly equal ones meet: 1, 1.0 and True; 0.0 and -0.0; one number of several types.
NUMBERS = st.sampled_from([0, 1, 2, 1.0, 0.0, -0.0, 0.5, True, False, None, np.float32(0.1), np.float64(0.1), 0.1, np.int64(1)])
PARAMETERS = st.recursive(
    NUMBERS | st.sampled_from(["", "1", "true", "topk"]) | st.sampled_from([np.array([1, 2]), np.array([[1, 2]]), b"1"]),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner, inner) | st.dictionaries(st.sampled_from(["a", "b", 1, True]), inner, max_size=2),
    max_leaves=4)


@st.composite
def tensors(draw, shape):
    """One array of a shape, or of one with an axis of 1 before it, in one of the ways in which it may lie in memory."""
    dtype = draw(st.sampled_from(DTYPES))
    bits = np.frombuffer(draw(st.binary(min_size=8, max_size=8)), np.uint8)
    array = np.resize(bits % 2, shape).astype(dtype)
    way = draw(st.sampled_from(["plain", "leading", "reversed", "transposed", "every other", "read-only"]))
    if way == "leading":
        return array[None]
    if way == "reversed":
        return array[::-1]
    if way == "transposed":
        return np.asfortranarray(array)
    if way == "every other":
        return np.repeat(array, 2, axis=0)[::2]
    array.flags.writeable = way != "read-only"
    return array


@st.composite
def arguments(draw):
    call = draw(st.sampled_from([PRUNE, PRUNE, PRUNE, LOCALIZE, COMPRESS, RESELECT, COMPARE, PLAN]))
    tokens = draw(st.sampled_from([4, 6]))
    images = draw(st.sampled_from([None, None, 1, 2]))
    one = st.sampled_from([layouts.raw(tokens), layouts.grid(2, tokens // 2), {"type": "raw", "tokens": float(tokens)}])
    given_ = {"layout": draw(one) if images is None else draw(st.lists(one, min_size=images, max_size=images))}
    shapes = {"attention": (tokens,), "image_features": (tokens, 3), "position_ids": (tokens,), "key": (2, tokens, 3), "query": (2, 3)}
    for name in draw(st.lists(st.sampled_from(list(shapes)), max_size=3, unique=True)):
        if images is None:
            given_[name] = draw(tensors(shapes[name]))
        elif draw(st.booleans()):
            given_[name] = draw(tensors((images, *shapes[name])))
        else:
            given_[name] = [draw(tensors(shapes[name])) for _ in range(images)]
    if draw(st.booleans()):
        given_["axes"] = {"attention": draw(st.sampled_from(["n", "1n", "bn", "hn"]))}
    for name in draw(st.lists(st.sampled_from(["keep_tokens", "keep_ratio", "method_parameters", "explain", "parameters", "seed"]), max_size=3, unique=True)):
        given_[name] = draw(st.dictionaries(st.sampled_from(["x", "seed"]), PARAMETERS, max_size=2) if name == "parameters" else PARAMETERS)
    for name in draw(st.lists(st.sampled_from(["request_id", "timeout", "previous"]), max_size=1)):
        given_[name] = {"request_id": "mine", "timeout": 3, "previous": [0, 2]}[name]
    order = draw(st.permutations(list(given_)))
    return call, {name: given_[name] for name in order}


@settings(max_examples=100, deadline=None, database=None)
@given(st.lists(st.tuples(arguments(), st.lists(PARAMETERS, max_size=4)), min_size=1, max_size=4))
def test_a_prepared_request_is_the_one_that_would_be_written(families):
    """Requests of many forms, and some that differ in one parameter alone."""
    writer = RequestWriter(head)
    for _ in range(2):
        for (call, given_), parameters in families:
            check(writer, call, given_)
            for value in parameters:
                check(writer, call, {**given_, "method_parameters": value})


ROW = np.arange(24, dtype=np.float32)
FIRST = {"attention": ROW, "layout": layouts.grid(4, 6), "keep_tokens": 2, "method": "topk"}


def test_a_form_is_prepared_once():
    writer = RequestWriter(head)
    first = writer.write(PRUNE, FIRST).pieces
    second = writer.write(PRUNE, {**FIRST, "attention": ROW + 1}).pieces
    assert second[0] is first[0] and second[1] is first[1] and np.array_equal(np.frombuffer(second[2], np.float32), ROW + 1)
    mine = writer.write(PRUNE, {**FIRST, "request_id": "mine"}).pieces
    assert mine[0] == first[0].replace(b"None", b"mine") and mine[1] is first[1]
    assert writer.write(PRUNE, {**FIRST, "timeout": 2.5, "query": None}).pieces[1] is first[1]


@pytest.mark.parametrize("other", [
    {"attention": ROW[None]}, {"attention": ROW.astype(ml_dtypes.bfloat16)}, {"layout": [layouts.grid(4, 6)], "attention": [ROW]},
    {"layout": [layouts.grid(4, 6)] * 2, "attention": np.stack([ROW, ROW])}, {"axes": {"attention": "n"}},
    {"attention": np.arange(24, dtype=np.float16), "image_features": np.ones((24, 2))}, {"parameters": {"x": 1}}])
def test_whatever_lies_ready_is_prepared(other):
    """Axes of one, batches in one array or in several, wider elements that go first, and bfloat16."""
    writer = RequestWriter(head)
    given_ = {**FIRST, **other}
    assert writer.write(PRUNE, given_).pieces[1] is writer.write(PRUNE, given_).pieces[1]


@pytest.mark.parametrize("other", [
    {"attention": ROW[::-1]}, {"attention": ROW.astype(">f4")}, {"attention": ROW.tolist()}, {"keep_tokens": np.int64(2)},
    {"attention": ROW, "image_features": ROW.reshape(24, 1)}, {"method_parameters": {"x": np.array([1, 2])}}])
def test_what_is_copied_or_no_plain_json_is_written_each_time(other):
    writer = RequestWriter(head)
    given_ = {**FIRST, **other}
    assert writer.write(PRUNE, given_).pieces[1] is not writer.write(PRUNE, given_).pieces[1]


def test_json_tells_numbers_apart():
    writer = RequestWriter(head)
    texts = {bytes(writer.write(PRUNE, {**FIRST, "method_parameters": {"x": value}}).pieces[1])
             for value in (1, 1.0, True, "1", [1], 0.0, -0.0, 0, False, None)}
    assert len(texts) == 10


def test_a_layout_that_was_changed_in_place_is_seen():
    writer = RequestWriter(head)
    given_ = {**FIRST, "layout": dict(layouts.raw(24))}
    writer.write(PRUNE, given_)
    given_["layout"]["tokens"] = 23
    with pytest.raises(ArgumentError, match="24 tokens, but `layout` has 23"):
        writer.write(PRUNE, given_)
    given_["layout"]["tokens"] = 24.0
    length = int.from_bytes(writer.write(PRUNE, given_).pieces[1][:8], "little")
    assert '"tokens\\":24.0' in json.dumps(json.loads(writer.write(PRUNE, given_).pieces[1][8 : 8 + length]))


def test_forms_are_bounded():
    writer = RequestWriter(head)
    for count in range(1000):
        writer.write(PRUNE, {**FIRST, "keep_tokens": count % 25, "seed": count})
    assert len(writer._prepared) <= writer._capacity
