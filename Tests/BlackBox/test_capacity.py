"""What happens at the limits: requests and bytes in flight, connections, descriptors."""
import time

from bodies import PRUNE, npy, numbers
from server import Server
from test_connections import EXPECT, heavy, post
from wire import Connection, request



def test_requests_beyond_max_in_flight_get_429_and_probes_are_answered():
    with Server("--max-in-flight", "1", "--compute-threads", "1") as server:
        with Connection(server.port) as first, Connection(server.port) as second:
            # A head without its body holds the one permit for as long as this test wants.
            data = heavy()
            first.send(data[:-1])
            end = time.monotonic() + 10
            while second.exchange(request(target="/readyz")).status == 200 and time.monotonic() < end:
                time.sleep(0.01)
            overloaded = second.exchange(request(target="/readyz"))
            assert (overloaded.status, overloaded.json["status"]) == (503, "overloaded")
            answer = second.exchange(post(target="/prune?keep_tokens=2"))
            assert answer.status == 429 and int(answer.field("Retry-After")) >= 1
            assert answer.json["type"] == "/problems/overloaded"
        with Connection(server.port) as probe, Connection(server.port) as first:
            while probe.exchange(request(target="/readyz")).status != 200 and time.monotonic() < end:
                time.sleep(0.01)
            first.send(data[:-1])
            assert probe.exchange(request(target="/livez")).status == 200
            assert probe.exchange(request(target="/metrics")).status == 200
            first.send(data[-1:])
            assert first.read_answer().status == 200
            assert probe.exchange(request(target="/readyz")).status == 200


def test_bodies_beyond_the_byte_budget_get_503():
    with Server("--max-in-flight-bytes", "2MiB", "--max-body-bytes", "2MiB") as server:
        with Connection(server.port) as first, Connection(server.port) as second:
            first.send(request("POST", PRUNE, [("Content-Length", (2 << 20) - 10)]))
            server.wait_for_metric(f"crop_request_body_bytes_in_flight {(2 << 20) - 10}")
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
    import resource
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Server() as server:
        with Connection(server.port) as connection:
            assert connection.is_alive()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (server.descriptor_count() + 8, limits[1]))
        held = [Connection(server.port) for _ in range(30)]
        try:
            assert held[0].is_alive()
            idle = server.cpu_seconds()
            time.sleep(0.5)
            assert server.cpu_seconds() - idle < 0.3, "waiting for a descriptor must not spin"
            for connection in held[:29]:
                connection.close()
            assert held[29].is_alive()
        finally:
            for connection in held:
                connection.close()


def test_a_client_that_goes_away_frees_the_thread_that_computes_for_it():
    # Without this, the search would go on until its step limit, for several seconds.
    body = npy(numbers(30_000, 8))
    with Server("--compute-threads", "1") as server:
        with Connection(server.port) as gone, Connection(server.port) as other:
            gone.send(request("POST", "/prune?method=divprune&keep_tokens=15000",
                              [("Content-Type", "application/x-npy")], body))
            server.wait_for_metric("crop_requests_in_flight 1")
            # The queue is first come, first served: once this is queued behind it, the search is being computed.
            other.send(post())
            server.wait_for_metric("crop_requests_in_flight 2")
            start = time.monotonic()
            gone.reset()
            assert other.read_answer().status == 200
            assert time.monotonic() - start < 2
        server.wait_for_metric("crop_requests_in_flight 0")
