"""Bodies in shared memory: the same answers as over a socket, and nobody's bytes overwritten."""

import asyncio
import gc
import os
import threading

import numpy as np
import pytest
from server import Server

from crop_client import ArgumentError, AsyncClient, Client, InvalidRequest, layouts, shared_empty
from crop_client import _shared

GRID = layouts.grid(24, 24)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with Server("--listen", f"unix:{_socket(tmp_path_factory)}", "--shared-memory", "descriptors") as server:
        yield server


def _socket(factory):
    import tempfile

    return os.path.join(tempfile.mkdtemp(prefix="crop"), "crop.sock")


def features(seed=1, count=576, width=64):
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float16)


def prune(client, array, **more):
    return client.prune(image_features=array, layout=GRID, keep_tokens=40, method="divprune", **more).kept_indices.tolist()


@pytest.fixture
def clients(shared):
    with Client(f"shm:{shared.target}") as one, Client(f"unix:{shared.target}") as two:
        yield one, two


def test_answers_are_those_of_the_socket(clients):
    shm, unix = clients
    for seed in range(4):
        array = features(seed)
        assert prune(shm, array) == prune(unix, array)
        assert prune(shm, array[:, ::-1]) == prune(unix, array[:, ::-1])
    rows = np.random.default_rng(2).random((16, 60, 577), np.float32)
    for width in (2, 3, 16):  # memory grows, and is used again for less
        wanted = unix.prune(attention=rows[:width, :, 1:], layout=GRID, keep_tokens=64, method="topk")
        found = shm.prune(attention=rows[:width, :, 1:], layout=GRID, keep_tokens=64, method="topk")
        assert found.kept_indices.tolist() == wanted.kept_indices.tolist()
    wanted = unix.compress(image_features=features(9), layout=GRID, keep_tokens=50)
    assert np.array_equal(shm.compress(image_features=features(9), layout=GRID, keep_tokens=50).features, wanted.features)
    assert shm.is_ready() and shm.methods() == unix.methods()


def test_arrays_in_shared_memory_are_sent_from_where_they_lie(clients, monkeypatch):
    shm, unix = clients
    array = shared_empty((576, 64), np.float16)
    assert array.shape == (576, 64) and not array.any()
    monkeypatch.setattr(_shared.Slot, "_write", lambda *_: pytest.fail("a copy was made"))
    for seed in range(3):
        array[:] = features(seed)
        before = array.copy()
        assert prune(shm, array) == prune(unix, before)
        # Smaller tensors stand before it and behind it.
        text = np.random.default_rng(seed).standard_normal((7, 64))
        for dtype in (np.float64, np.float16):
            given = {"layout": GRID, "keep_tokens": 40, "method": "cdpruner", "text_features": text.astype(dtype)}
            wanted = unix.prune(image_features=before, **given)
            assert shm.prune(image_features=array, **given).kept_indices.tolist() == wanted.kept_indices.tolist()
        assert np.array_equal(array, before)
    part = array[:400]
    wanted = unix.prune(image_features=part.copy(), layout=layouts.raw(400), keep_tokens=9, method="divprune")
    found = shm.prune(image_features=part, layout=layouts.raw(400), keep_tokens=9, method="divprune")
    assert found.kept_indices.tolist() == wanted.kept_indices.tolist()


def test_what_lies_before_an_array_is_that_of_the_last_request(clients):
    """The header is written once for requests of one form, and again after any other."""
    shm, unix = clients
    array = shared_empty((576, 64), np.float16)
    array[:] = features(4)
    before = array.copy()
    text = np.random.default_rng(1).standard_normal((7, 64))
    forms = [{"keep_tokens": 40, "method": "divprune"}, {"keep_tokens": 9, "method": "uniform"},
             {"keep_tokens": 40, "method": "cdpruner", "text_features": text},
             {"keep_tokens": 40, "method": "cdpruner", "text_features": text.astype(np.float16)}]
    for index in (0, 0, 1, 0, 2, 2, 3, 0, 0, 3, 1, 1):
        wanted = unix.prune(image_features=before, layout=GRID, **forms[index])
        found = shm.prune(image_features=array, layout=GRID, **forms[index])
        assert found.kept_indices.tolist() == wanted.kept_indices.tolist()
        wrapped = shm.prune(image_features=array[:], layout=GRID, **forms[index])
        assert wrapped.kept_indices.tolist() == wanted.kept_indices.tolist()


def test_parts_of_an_array_never_lose_what_surrounds_them(clients):
    shm, unix = clients
    array = shared_empty((600, 64), np.float16)
    array[:] = features(3, 600)
    before = array.copy()
    text = np.random.default_rng(1).standard_normal((7, 64)).astype(np.float16)
    for part in (array[:576], array[24:], array[::-1][:576], array.T[:, :576].T):
        wanted = unix.prune(image_features=part.copy(), text_features=text, layout=GRID, keep_tokens=40, method="cdpruner")
        found = shm.prune(image_features=part, text_features=text, layout=GRID, keep_tokens=40, method="cdpruner")
        assert found.kept_indices.tolist() == wanted.kept_indices.tolist()
        assert np.array_equal(array, before)


def test_threads_share_a_client_and_an_array(clients):
    shm, unix = clients
    array = shared_empty((576, 64), np.float16)
    array[:] = features(5)
    wanted, own = prune(unix, array), [prune(unix, features(seed)) for seed in range(8)]
    wrong = []

    def work(seed):
        for _ in range(10):
            if prune(shm, array) != wanted or prune(shm, features(seed)) != own[seed]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_asynchronous_calls(shared, clients):
    arrays = [features(seed) for seed in range(12)]
    wanted = [prune(clients[1], array) for array in arrays]
    mine = shared_empty((576, 64), np.float16)
    mine[:] = arrays[3]

    async def all_of_them():
        async with AsyncClient(f"shm:{shared.target}") as client:
            calls = [
                client.prune(image_features=array, layout=GRID, keep_tokens=40, method="divprune")
                for array in [*arrays, mine, mine]]
            return [answer.kept_indices.tolist() for answer in await asyncio.gather(*calls)]

    assert asyncio.run(asyncio.wait_for(all_of_them(), 60)) == [*wanted, wanted[3], wanted[3]]


def test_a_forked_child_sends_copies(clients):
    shm, _ = clients
    array = shared_empty((576, 64), np.float16)
    array[:] = features(6)
    wanted = prune(shm, array)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if prune(shm, array) == wanted and not _shared._arrays.are_there else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert prune(shm, array) == wanted


def test_memory_and_descriptors_are_given_back(shared):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for seed in range(5):
        with Client(f"shm:{shared.target}") as client:
            array = shared_empty((576, 64), np.float16)
            array[:] = features(seed)
            prune(client, array)
            prune(client, features(seed))
        del array, client
    assert count() == before and not _shared._arrays.are_there
    assert shared.settled_descriptor_count(40) < 40


def test_what_the_server_refuses_is_said(shared, clients, socket_path):
    shm, _ = clients
    with pytest.raises(InvalidRequest) as caught:
        shm.prune(image_features=np.full((576, 64), np.nan), layout=GRID, keep_tokens=4, method="divprune")
    assert caught.value.status == 422
    assert prune(shm, features(1))
    with Server("--listen", f"unix:{socket_path}", "--shared-memory", "off"), Client(f"shm:{socket_path}") as client:
        assert client.prune(attention=np.arange(576), layout=GRID, keep_tokens=4, method="topk").keep_tokens == 4
        with pytest.raises(InvalidRequest, match="--shared-memory descriptors"):
            prune(client, features(1))


def test_a_place_is_an_absolute_path():
    for url in ("shm", "shm:", "shm:region"):
        with pytest.raises(ArgumentError):
            Client(url)
