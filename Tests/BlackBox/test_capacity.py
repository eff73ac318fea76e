"""What happens at the limits: requests and bytes in flight, connections, descriptors."""
import contextlib
import io
import os
import pathlib
import resource
import socket
import time

import numpy as np
import pytest
from bodies import PRUNE, features, npy, numbers
from server import Server, crop
from test_connections import EXPECT, heavy, post
from wire import Connection, request

IDLE = 10_000


def pooled():
    """A short request that is never computed on an event loop: what its search costs depends on the image's size."""
    options = "%7B%22objective%22:%22vicrop%22,%22image_size%22:[400,300]%7D"
    return request("POST", f"/localize?localize={options}", [("Content-Type", "application/x-npy")], npy(numbers(576)))


def endless(tokens=30_000):
    """A request that computes for as long as it may: some seconds."""
    return request("POST", f"/prune?method=divprune&keep_tokens={tokens // 2}",
                   [("Content-Type", "application/x-npy")], npy(numbers(tokens, 8)))


@pytest.mark.parametrize("ready, status", [("on", 200), ("off", 503)])
def test_requests_beyond_max_in_flight_get_429_and_probes_are_answered(ready, status):
    with Server("--max-in-flight", "1", "--compute-threads", "1", "--ready-when-overloaded", ready) as server:
        with Connection(server.target) as first, Connection(server.target) as second:
            first.send(endless())
            server.wait_for_metric("crop_requests_in_flight 1")
            # Load makes no server unhealthy, whichever way readiness is set.
            assert crop("healthcheck", "--url", f"{server.url}/livez").returncode == 0
            overloaded = second.exchange(request(target="/readyz"))
            assert (overloaded.status, overloaded.json["status"]) == (status, "overloaded")
            assert second.exchange(request(target="/livez")).status == 200
            assert second.exchange(request(target="/metrics")).status == 200
            # At the head: the client that waits for 100 Continue is spared the body.
            refused = second.exchange(request("POST", "/prune", [EXPECT, ("Content-Length", 1000)]))
            assert refused.status == 429 and int(refused.field("Retry-After")) >= 1
            assert refused.json["type"] == "/problems/overloaded"
            first.reset()
        server.wait_for_metric("crop_requests_in_flight 0")
        with Connection(server.target) as connection:
            assert connection.exchange(request(target="/readyz")).status == 200
            assert connection.exchange(post()).status == 200


def test_requests_that_arrive_while_the_queue_fills_get_429_after_their_body():
    with Server("--max-in-flight", "1", "--compute-threads", "1") as server:
        with Connection(server.target) as first, Connection(server.target) as second:
            head, _, body = pooled().partition(b"\r\n\r\n")
            second.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
            assert second.read_head().status == 100
            first.send(endless())
            server.wait_for_metric("crop_requests_in_flight 1")
            second.send(body)
            assert second.read_answer().status == 429
            # All of the refused request was read, so the connection is as good as before.
            assert second.is_alive()
            first.reset()


def test_slow_bodies_keep_nobody_out():
    """As slowhttptest -B does: more clients than max-in-flight, together announcing more than the byte budget."""
    with Server("--max-in-flight", "4", "--max-in-flight-bytes", "4MiB", "--max-body-bytes", "2MiB") as server:
        with contextlib.ExitStack() as stack:
            for _ in range(16):
                slow = stack.enter_context(Connection(server.target))
                slow.send(request("POST", "/prune", [EXPECT, ("Content-Length", 2 << 20)]))
                assert slow.read_head().status == 100
                slow.send(b"x")
            with Connection(server.target) as connection:
                assert connection.exchange(request(target="/readyz")).status == 200
                assert connection.exchange(heavy(64, 16)).status == 200


def test_bodies_beyond_the_byte_budget_get_503():
    with Server("--max-in-flight-bytes", "2MiB", "--max-body-bytes", "2MiB") as server:
        with Connection(server.port) as first, Connection(server.port) as second:
            first.send(request("POST", PRUNE, [("Content-Length", (2 << 20) - 10)]) + bytes((2 << 20) - 20))
            server.wait_for_metric(f"crop_request_body_bytes_in_flight {(2 << 20) - 20}")
            answer = second.exchange(request("POST", "/prune", [EXPECT, ("Content-Length", 1 << 20)]))
            assert answer.status == 503 and answer.field("Retry-After")
            assert "--max-in-flight-bytes" in answer.json["detail"]


def test_connections_beyond_the_cap_get_503_but_probes_are_answered():
    with Server("--max-connections", "4") as server:
        held = [Connection(server.port) for _ in range(4)]
        try:
            for connection in held:
                assert connection.is_alive()
            with Connection(server.port) as extra:
                assert extra.exchange(request(target="/livez")).status == 200
            with Connection(server.port) as extra:
                answer = extra.exchange(post())
                assert answer.status == 503 and "--max-connections" in answer.json["detail"]
        finally:
            for connection in held:
                connection.close()


def test_descriptors_running_out_pauses_accepting_and_recovers():
    """EMFILE: held connections keep working, waiting ones are served as soon as descriptors are free again."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Server("--header-timeout", "1s") as server, contextlib.ExitStack() as stack:
        with Connection(server.target) as connection:
            assert connection.is_alive()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (server.descriptor_count() + 8, limits[1]))
        held = [stack.enter_context(Connection(server.target)) for _ in range(30)]
        assert held[0].is_alive()
        assert busy_share(server, held[0]) < 0.3, "waiting for a descriptor must not spin"
        for connection in held[:29]:
            connection.close()
        assert held[29].is_alive()


def busy_share(server, connection):
    """-> the CPU time that passes per second; half a head and the answer to its timeout measure the time."""
    start, cpu = time.monotonic(), server.cpu_seconds()
    connection.send(b"GET /livez HT")
    assert connection.read_answer().status == 408
    return (server.cpu_seconds() - cpu) / (time.monotonic() - start)


def test_a_server_started_with_few_descriptors_serves_everybody_in_turn(transport):
    """Four times as many clients as there are descriptors: those beyond wait in the queue, and nobody is refused."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with Server("--header-timeout", "1s", *transport, preexec_fn=few) as server, contextlib.ExitStack() as stack:
        server.wait_for_line("max-connections is above what the system allows")
        clients = [stack.enter_context(Connection(server.target)) for _ in range(256)]
        for client in clients:
            client.send(post())
        assert clients[0].read_answer().status == 200
        assert busy_share(server, clients[0]) < 0.3, "waiting for a descriptor must not spin"
        # Each that leaves makes room for one that waits.
        for client in clients[1:]:
            assert client.read_answer().status == 200
            client.close()


def test_a_stop_without_descriptors_still_serves_those_who_wait():
    """The listening socket closes when its queue is empty, not before."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    server = Server(preexec_fn=few)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Connection(server.target)) for _ in range(64)]
        for client in clients:
            client.send(post())
        assert clients[0].read_answer().status == 200
        assert server.stop() == 0
        for client in clients[1:]:
            assert client.read_answer().status == 200


def fastest_exchange(target):
    """-> seconds; the least of 50, which other load on the machine does not change."""
    def seconds(connection):
        start = time.monotonic()
        assert connection.exchange(post()).status == 200
        return time.monotonic() - start
    with Connection(target) as connection:
        return min(seconds(connection) for _ in range(50))


@pytest.fixture
def many_descriptors():
    """Room for both ends of IDLE connections, each in its own process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, and the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_10000_idle_connections_disturb_nobody_and_leave_nothing(transport, many_descriptors):
    with Server("--idle-timeout", "1h", *transport) as server:
        alone = fastest_exchange(server.target)
        descriptors = server.settled_descriptor_count(0, seconds=0.5)
        before, most, resident = server.resident_bytes() / 1e6, 0, []
        for hasty in (False, True, False):
            idle = []
            try:
                for number in range(IDLE):
                    connection = Connection(server.target)
                    idle.append(connection)
                    # Half of them have had an answer; the others never say a word.
                    if number % 2:
                        assert connection.is_alive()
                server.wait_for_metric(f"crop_connections {IDLE + 1}")
                beside_others = fastest_exchange(server.target)
                assert beside_others < 10 * alone + 0.005
                for path in ("/livez", "/readyz", "/metrics"):
                    with Connection(server.target) as probe:
                        assert probe.exchange(request(target=path)).status == 200
                assert idle[0].is_alive() and idle[-1].is_alive()
                most = max(most, server.resident_bytes() / 1e6)
            finally:
                for connection in idle:
                    connection.reset() if hasty else connection.close()
            assert server.settled_descriptor_count(descriptors, seconds=30) <= descriptors
            resident.append(server.resident_bytes() / 1e6)
        print(f"{server.target}: fastest of 50 exchanges {alone * 1e3:.2f} ms alone, {beside_others * 1e3:.2f} ms beside "
              f"{IDLE} idle; resident MB {before:.1f} before, {most:.1f} with them, "
              f"{', '.join(f'{size:.1f}' for size in resident)} after each round")
        # The allocator keeps some of what a round freed, and the next round uses it again.
        assert resident[-1] < resident[0] * 1.1 + 2
        assert resident[-1] < before + 24


def test_readers_that_do_not_read_hold_up_nobody_and_get_everything(transport):
    """Eight clients ask for 8 MiB each, more than the system buffers, and read it only after others were served."""
    array = npy(features(4096, 512))
    ask = request("POST", "/compress?keep_tokens=4096", [("Accept", "application/x-npy")], array)
    with Server(*transport) as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Connection(server.target, timeout=60)) for _ in range(8)]
        for reader in slow:
            reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            reader.send(ask)
        # All computed, all waiting for their readers.
        server.wait_for_metric("crop_requests_in_flight 0", seconds=60)
        server.wait_for_metric("crop_request_body_bytes_in_flight [1-9][0-9]{7,}")
        with Connection(server.target) as connection:
            for _ in range(50):
                assert connection.exchange(post()).status == 200
        first = None
        for reader in slow:
            answer = reader.read_answer()
            assert answer.status == 200 and np.load(io.BytesIO(answer.body)).shape == (4096, 512)
            first = first or answer.body
            assert answer.body == first
        server.wait_for_metric("crop_request_body_bytes_in_flight 0")


TCP_REPAIR = 19


def test_peers_that_vanished_are_forgotten_after_the_idle_timeout():
    """Half-open connections: the client's machine lost power. Neither FIN nor RST ever comes."""
    with Server("--idle-timeout", "500ms", "--header-timeout", "500ms", "--body-timeout", "500ms") as server:
        with Connection(server.target) as connection:
            assert connection.is_alive()
        before = server.settled_descriptor_count(0, seconds=0.5)
        for words in (b"", b"GET /livez HT", post()[:-3], request()):
            for _ in range(20):
                connection = Connection(server.target)
                if words == request():
                    assert connection.is_alive()
                else:
                    connection.send(words)
                try:
                    connection.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
                except PermissionError:
                    pytest.skip("only a privileged process can make its end of a connection vanish")
                # In repair mode nothing is sent on close.
                connection.close()
        assert server.settled_descriptor_count(before, seconds=60) <= before
        with Connection(server.target) as connection:
            assert connection.is_alive()


def test_a_client_that_goes_away_frees_the_thread_that_computes_for_it():
    # Without this, the search would go on until its step limit, for several seconds.
    with Server("--compute-threads", "1") as server:
        with Connection(server.target) as gone, Connection(server.target) as other:
            gone.send(endless())
            server.wait_for_metric("crop_requests_in_flight 1")
            # The queue is first come, first served: once this is queued behind it, the search is being computed.
            other.send(pooled())
            server.wait_for_metric("crop_requests_in_flight 2")
            start = time.monotonic()
            gone.reset()
            assert other.read_answer().status == 200
            assert time.monotonic() - start < 2
        server.wait_for_metric("crop_requests_in_flight 0")


def scores(mebibytes):
    """Top-k over so many mebibytes of scores."""
    return request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention", [("Content-Type", "application/x-npy")],
                   npy(numbers(mebibytes << 9, 1024)))


def policies(server):
    """-> {thread name: (scheduling policy, nice value)}"""
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task")
    return {(task / "comm").read_text().strip():
            (os.sched_getscheduler(int(task.name)), os.getpriority(os.PRIO_PROCESS, int(task.name)))
            for task in tasks.iterdir()}


NORMAL, NICE, IDLE_CLASS = (os.SCHED_OTHER, 0), (os.SCHED_OTHER, 10), (os.SCHED_IDLE, 0)


@pytest.mark.parametrize("readiness", ["epoll", "dispatch"])
@pytest.mark.parametrize("flags, compute", [([], NICE), (["--bulk-priority", "idle"], IDLE_CLASS)], ids=["default", "idle"])
def test_large_bodies_have_threads_of_their_own_with_less_priority(readiness, flags, compute):
    small, large = scores(1), scores(16)
    with Server("--readiness", readiness, *flags) as server, Connection(server.target) as connection:
        assert "crop-bulk" not in policies(server)
        kept = [connection.exchange(message).json["kept_indices"] for message in (small, large, large, small, large)]
        assert kept[0] == kept[3] and kept[1] == kept[2] == kept[4]
        found = policies(server)
        assert found["crop-bulk"] == compute
        assert found["crop-bulk-loop"] == NICE
        assert found["crop-compute"] == found["crop-loop"] == NORMAL


def test_large_bodies_have_threads_like_all_others_when_told_so():
    with Server("--bulk-priority", "normal") as server, Connection(server.target) as connection:
        assert connection.exchange(scores(16)).status == 200
        # Threads of libdispatch may have a priority of their own.
        own = {name: policy for name, policy in policies(server).items() if name.startswith("crop-")}
        assert "crop-bulk" in own and set(own.values()) == {NORMAL}
