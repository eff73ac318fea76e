"""Tensors of torch as requests: the same bytes whether their form is known or not, and from a GPU by way of pinned memory."""

import numpy as np
import pytest

from crop_client import ArgumentError, layouts
from crop_client._arguments import PRUNE, RequestWriter, write_body

torch = pytest.importorskip("torch")


def head(call, content_type, byte_count, request_id):
    return f"{call.path} {content_type} {byte_count} {request_id}".encode()


def body(tensor, **more):
    """-> what is written of a tensor twice, the second time by what is known of its form, and its device."""
    writer = RequestWriter(head)
    layout = layouts.raw(6) if tensor.ndim < 3 else [layouts.raw(6)] * len(tensor)
    given = {"image_features": tensor, "layout": layout, "keep_tokens": 2, "method": "uniform", **more}
    wanted = write_body(PRUNE, given)
    for _ in range(2):
        request = writer.write(PRUNE, given)
        assert b"".join(map(bytes, request.pieces[1:])) == b"".join(map(bytes, wanted.pieces))
        assert request.device == wanted.device == tensor.device
    return request, len(writer._prepared)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(6, 4), (1, 6, 4), (3, 6, 4)])
def test_a_tensor_that_lies_ready_is_sent_from_where_it_lies(dtype, shape):
    tensor = torch.randint(0, 2, shape).to(getattr(torch, dtype))
    request, prepared = body(tensor)
    assert prepared == 1 and sum(map(len, request.pieces[2:])) == tensor.nbytes
    assert np.frombuffer(request.pieces[2], np.uint8).__array_interface__["data"][0] == tensor.data_ptr()


def test_types_of_one_size_are_told_apart():
    writer = RequestWriter(head)
    given = {"layout": layouts.raw(6), "keep_tokens": 2, "method": "uniform"}
    texts = set()
    for tensor in (torch.ones(6, 4).half(), torch.ones(6, 4).bfloat16(), torch.ones(6, 4).half().numpy()):
        for _ in range(2):
            texts.add(bytes(writer.write(PRUNE, {"image_features": tensor, **given}).pieces[1]))
    assert len(texts) == 2 and len(writer._prepared) == 3


@pytest.mark.parametrize("change", [
    lambda t: t.T.contiguous().T, lambda t: t.repeat(1, 2)[:, ::2], lambda t: t[:1].expand(6, 4), lambda t: torch.nn.Parameter(t)])
def test_what_does_not_lie_ready_is_copied(change):
    _, prepared = body(change(torch.randn(6, 4)))
    assert prepared == 0


def test_a_tensor_of_a_graph_is_sent_without_it():
    _, prepared = body(torch.randn(6, 4, requires_grad=True) * 2)
    assert prepared == 1


class OnGPU(torch.Tensor):
    """A tensor that says that it lies on a GPU; there need not be one."""

    @property
    def device(self):
        return torch.device("cuda", 1)


def test_a_tensor_on_a_gpu_is_copied_once_into_pinned_memory(monkeypatch):
    """Its bytes are read when the stream of its device has done the copy."""
    events = []
    empty, copy = torch.empty, torch.Tensor.copy_

    def pinned(*shape, pin_memory=False, **more):
        events.append(("empty", pin_memory, more.get("device")))
        return empty(*shape, **more)

    def copied(self, source, non_blocking=False):
        events.append(("copy", non_blocking))
        return copy(self, source.as_subclass(torch.Tensor))

    class Stream:
        def __init__(self, device):
            self.device = device

        def synchronize(self):
            events.append(("synchronize", self.device))

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.Tensor, "copy_", copied)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    data = torch.randn(6, 4).bfloat16()
    written = write_body(PRUNE, {"image_features": data.as_subclass(OnGPU), "layout": layouts.raw(6), "keep_tokens": 2})
    # On the host although torch makes tensors elsewhere by default.
    assert events == [("empty", True, "cpu"), ("copy", True), ("synchronize", torch.device("cuda", 1))]
    assert bytes(written.pieces[1]) == bytes(data.view(torch.uint8).numpy()) and written.device == torch.device("cuda", 1)


def test_a_view_that_is_to_be_negated_is_negated_before_it_is_copied(monkeypatch):
    """Afterwards `copy_` would do it on the host, where nothing has arrived yet."""
    copied = []

    class Stream:
        def __init__(self, device):
            pass

        def synchronize(self):
            pass

    empty, copy = torch.empty, torch.Tensor.copy_
    monkeypatch.setattr(torch, "empty", lambda *shape, pin_memory=False, **more: empty(*shape, **more))
    monkeypatch.setattr(torch.Tensor, "copy_", lambda self, source, non_blocking=False: (
        copied.append(source.is_neg()), copy(self, source.as_subclass(torch.Tensor))))
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    negated = torch.randn(6, 4, dtype=torch.complex64).conj().imag
    assert negated.is_neg()
    for tensor in (negated, negated.as_subclass(OnGPU)):
        written = write_body(PRUNE, {"image_features": tensor, "layout": layouts.raw(6), "keep_tokens": 2})
        assert bytes(written.pieces[1]) == negated.numpy(force=True).tobytes()
    assert copied == [False]


def test_a_tensor_without_elements_is_named():
    with pytest.raises(ArgumentError, match="meta"):
        write_body(PRUNE, {"image_features": torch.empty(6, 4, device="meta"), "layout": layouts.raw(6), "keep_tokens": 2})


def test_where_torch_makes_tensors_by_default_does_not_matter(client):
    """`meta` stands for any device: what is made there by mistake has no elements."""
    features = torch.randn(6, 4)
    wanted = client.prune(image_features=features, layout=layouts.raw(6), keep_tokens=2, method="divprune").kept_indices
    with torch.device("meta"):
        answer = client.prune(image_features=features, layout=layouts.raw(6), keep_tokens=2, method="divprune")
        assert answer.kept_indices.device.type == "cpu" and answer.kept_indices.tolist() == wanted.tolist()
        merged = client.compress(image_features=features.bfloat16(), layout=layouts.raw(6), keep_tokens=2)
        assert merged.features.device.type == "cpu"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_compress_takes_the_element_type_of_other_features(client, dtype):
    features = torch.rand(16, 8, generator=torch.Generator().manual_seed(1))
    answer = client.compress(image_features=features, layout=layouts.grid(4, 4), keep_tokens=4, dtype=dtype)
    assert answer.features.dtype == dtype
