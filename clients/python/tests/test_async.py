"""The client for asyncio: the same answers, many at a time."""

import asyncio
import gc
import time

import numpy as np
import pytest
from conftest import Scripted, response
from server import Server
from test_client import BUSY

from crop_client import (
    ArgumentError, AsyncClient, Client, ConnectionFailed, InvalidRequest, Overloaded, RequestTimeout, layouts,
)  # fmt: skip


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def many(url, count=200, **options):
    attention = np.random.default_rng(1).random((count, 576), np.float32)
    async with AsyncClient(url, **options) as client:
        answers = await asyncio.gather(*(
            client.prune(attention=row, layout=layouts.grid(24, 24), keep_tokens=64, method="topk") for row in attention))
        large = await client.compress(
            image_features=np.tile(attention[:, :, None], (1, 1, 64))[0], layout=layouts.grid(24, 24), keep_tokens=99)
    for row, answer in zip(attention, answers):
        assert answer.kept_indices.tolist() == np.sort(np.argsort(-row, kind="stable")[:64]).tolist()
    assert large.features.shape == (99, 64)


def test_many_at_once(server):
    run(many(server.url))


def test_unix_socket(socket_path):
    with Server("--listen", f"unix:{socket_path}"):
        run(many(f"unix:{socket_path}"))


def test_tls(certificate):
    with Server(*certificate.flags) as server:
        run(many(server.url, ca_file=certificate.authority))


def test_a_body_larger_than_the_socket_holds(server):
    features = np.random.default_rng(1).standard_normal((2304, 1024)).astype(np.float32)

    async def both():
        async with AsyncClient(server.url) as client:
            return await asyncio.gather(*(
                client.prune(image_features=features, layout=layouts.grid(48, 48), keep_tokens=64, method="uniform")
                for _ in range(4)))

    answers = run(both())
    with Client(server.url) as client:
        wanted = client.prune(image_features=features, layout=layouts.grid(48, 48), keep_tokens=64, method="uniform")
    assert all(np.array_equal(answer.kept_indices, wanted.kept_indices) for answer in answers)


def test_the_same_answers_and_errors(server, row, grid):
    async def ask():
        async with AsyncClient(server.url) as client:
            assert await client.is_ready()
            plan = await client.plan(layout=grid, keep_ratio=0.25)
            found = await client.localize(attention=row, layout=grid)
            names = [method["name"] for method in await client.methods()]
            assert await client.models() == []
            with pytest.raises(InvalidRequest, match="did you mean"):
                await client.prune(attention=row, layout=grid, keep_tokens=3, method="topc")
            with pytest.raises(ArgumentError):
                await client.prune(attention=row[None], layout=grid, keep_tokens=3)
            return plan.raw, found.raw, names

    with Client(server.url) as client:
        assert run(ask()) == (client.plan(layout=grid, keep_ratio=0.25).raw, client.localize(attention=row, layout=grid).raw,
                              [method["name"] for method in client.methods()])


def test_retries():
    async def ask(url, **options):
        async with AsyncClient(url, **options) as client:
            return await client.methods()

    with Scripted(BUSY, None, response()) as server:
        assert run(ask(server.url)) == [] and len(server.requests) == 3
    with Scripted(*[BUSY] * 5) as server, pytest.raises(Overloaded):
        run(ask(server.url, retries=1))
    with Scripted(BUSY.replace(b"Retry-After: 0", b"Retry-After: 1"), response()) as server:
        start = time.monotonic()
        run(ask(server.url))
        assert time.monotonic() - start >= 1
    with pytest.raises(ConnectionFailed):
        run(ask("unix:/nowhere.sock", retries=0))


def test_timeouts():
    async def ask():
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with AsyncClient(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}", timeout=0.2) as client:
            with pytest.raises(RequestTimeout, match="0.2 s"):
                await client.methods()
            assert not await client.is_ready()
        silent.close()

    run(ask())


def test_a_cancelled_call_does_not_leave_its_answer_to_the_next(server, grid):
    features = np.random.default_rng(1).standard_normal((576, 1024)).astype(np.float32)

    async def ask():
        async with AsyncClient(server.url, concurrency=1) as client:
            for delay in (0, 0.0005, 0.002, 0.01):
                call = asyncio.create_task(
                    client.prune(image_features=features, layout=grid, keep_tokens=5, method="divprune"))
                await asyncio.sleep(delay)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                assert (await client.methods())[0]["name"] == "crop"

    run(ask())


def test_a_client_outlives_its_event_loop(certificate, grid):
    """Nothing of the first loop is used in the second: neither connections of TLS, nor who waits for whom."""
    row = np.random.default_rng(3).random(576, np.float32)
    with Server(*certificate.flags) as server:
        client = AsyncClient(server.url, ca_file=certificate.authority, concurrency=2)

        async def ask():
            return await asyncio.gather(*(client.prune(attention=row, layout=grid, keep_tokens=3, method="topk") for _ in range(6)))

        first = run(ask())
        assert [one.raw for one in run(ask())] == [one.raw for one in first]


def test_connections_of_an_earlier_loop_are_closed(server):
    client = AsyncClient(server.url)
    run(client.methods())
    (first,) = client._idle
    run(client.methods())
    assert not first.is_open and first._stream._socket.fileno() < 0


def test_a_timeout_may_be_shorter_than_that_of_the_call_before():
    """One timer serves all calls of a connection."""
    silent = []

    async def ask():
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response())
            await reader.read(1 << 16)
            silent.append(writer)

        peer = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with AsyncClient(f"http://127.0.0.1:{peer.sockets[0].getsockname()[1]}", timeout=60, retries=0) as client:
            assert await client.methods() == []
            start = time.monotonic()
            with pytest.raises(RequestTimeout, match="0.05 s"):
                await client.plan(layout=layouts.grid(2, 2), keep_tokens=1, timeout=0.05)
            assert time.monotonic() - start < 30 and len(silent) == 1
        peer.close()

    run(ask())


def test_a_client_that_is_dropped_closes_its_connections(server):
    """The event loop watches their sockets, but does not keep them."""

    async def ask():
        client = AsyncClient(server.url)
        await client.methods()
        opened = client._idle[0]._stream._socket
        assert opened.fileno() >= 0
        del client
        gc.collect()
        assert opened.fileno() < 0

    run(ask())


def test_a_client_that_is_dropped_in_another_thread_closes_its_connections(server):
    async def ask():
        clients = [AsyncClient(server.url)]
        await clients[0].methods()
        opened = clients[0]._idle[0]._stream._socket

        def drop():
            clients.clear()
            gc.collect()

        await asyncio.to_thread(drop)
        while opened.fileno() >= 0:
            await asyncio.sleep(0)

    run(ask())


def test_a_connection_that_the_server_closed_while_idle_is_not_watched_and_not_used():
    async def ask():
        ends = asyncio.Queue()

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response())
            await ends.put(writer)

        peer = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with AsyncClient(f"http://127.0.0.1:{peer.sockets[0].getsockname()[1]}", retries=0) as client:
            # Answered after a wait, so that the loop watches the socket.
            assert await client.methods() == []
            watch = client._idle[0]._stream._watch
            assert watch._is_registered
            (await ends.get()).close()
            while watch._is_registered:
                await asyncio.sleep(0)
            assert await client.methods() == []
        peer.close()

    run(ask())


def test_reselect(server, grid):
    first, now = np.random.default_rng(3).random((2, 576), np.float32)

    async def both():
        async with AsyncClient(server.url) as client:
            kept = await client.prune(attention=first, layout=grid, keep_tokens=64, method="topk")
            return kept, await client.reselect(attention=now, layout=grid, previous=kept)

    kept, moved = run(both())
    with Client(server.url) as client:
        wanted = client.reselect(attention=now, layout=grid, previous=kept)
    assert moved.raw == wanted.raw and moved.swap_count > 0


def test_compare(server, grid):
    row = np.random.default_rng(5).random(576, np.float32)

    async def ask():
        async with AsyncClient(server.url) as client:
            return await client.compare(attention=row, layout=grid, methods=["crop", "topk"], keep_tokens=64)

    answer = run(ask())
    assert [len(kept) for kept in answer.kept_indices] == [64, 64] and answer.overlap.shape == (2, 2)
