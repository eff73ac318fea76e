"""No request fails while replicas behind HAProxy or nginx are restarted, killed or stopped. `pytest -s` shows the counts."""
import collections
import signal
import threading
from concurrent import futures

import pytest
from balancers import (
    HAProxy, Nginx, balanced, check_nothing_failed, posting, slow_request, wait_for_more, wait_until)
from wire import Connection, request

BALANCERS = pytest.mark.parametrize("kind", [HAProxy, Nginx], ids=lambda kind: kind.name)


@BALANCERS
def test_rolling_restarts_fail_no_request(kind, folder):
    with balanced(kind, folder, "--drain-delay", "2s") as balancer:
        with posting(balancer) as loads:
            for _ in range(2):
                for replica in balancer.replicas:
                    wait_for_more(loads)
                    assert replica.server.stop(seconds=40) == 0
                    replica.start()
                    balancer.wait_for_up(replica)
            wait_for_more(loads)
        check_nothing_failed(balancer, "4 restarts one after another", loads)


@BALANCERS
def test_requests_of_a_killed_replica_are_sent_to_the_other(kind, folder):
    with balanced(kind, folder) as balancer:
        with posting(balancer) as loads:
            for replica in balancer.replicas * 2:
                wait_for_more(loads)
                replica.kill()
                wait_for_more(loads)
                replica.start()
                balancer.wait_for_up(replica)
        check_nothing_failed(balancer, "4 SIGKILL", loads)
        print(f"{balancer.name}: {balancer.peak_resident_bytes() / 2**20:.0f} MiB resident at most", flush=True)


@BALANCERS
def test_requests_of_a_stopped_replica_are_sent_to_the_other(kind, folder):
    """Those it holds are retried when the balancer's timeout is over; the replica goes on only after every client has
    its answer, so it cannot be the one that gave it."""
    with balanced(kind, folder) as balancer:
        stopped = balancer.replicas[0]
        with posting(balancer) as loads:
            wait_for_more(loads)
            stopped.signal(signal.SIGSTOP)
            balancer.wait_for_down(stopped)
            wait_for_more(loads, small=30, large=5)
        stopped.signal(signal.SIGCONT)
        check_nothing_failed(balancer, "SIGSTOP", loads)


@BALANCERS
def test_under_overload_every_request_is_answered_and_no_replica_is_taken_out(kind, folder):
    """What exceeds the replicas' room is answered with 429 by the replica, and no failure of a replica is counted."""
    with balanced(kind, folder, "--max-in-flight", "1") as balancer:
        data, counts, enough = slow_request(), collections.Counter(), threading.Event()

        def client():
            with Connection(balancer.target, timeout=30) as connection:
                while not enough.is_set():
                    answer = connection.exchange(data)
                    retry = "" if answer.status == 200 else f", Retry-After {answer.field('Retry-After')}"
                    counts[f"{answer.status}{retry}"] += 1

        with futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client) for _ in range(8)]
            try:
                wait_until(lambda: counts["200"] >= 20 and counts["429, Retry-After 1"] >= 20, "answers of both kinds", seconds=60)
            finally:
                enough.set()
        for done in clients:
            done.result()
        print(f"{balancer.name}, overload: {dict(counts)}", flush=True)
        assert set(counts) == {"200", "429, Retry-After 1"}, counts
        if kind is HAProxy:
            assert balancer.states() == ["UP", "UP"]
        for replica in balancer.replicas:
            with Connection(replica.port) as direct:
                assert direct.exchange(request(target="/readyz")).status == 200


@BALANCERS
def test_bodies_above_the_limit_and_metrics_are_refused_at_the_front(kind, folder):
    with balanced(kind, folder) as balancer:
        with Connection(balancer.target) as connection:
            connection.send(request("POST", "/prune", [("Content-Length", str(64 * 2**20 + 1))]))
            assert connection.read_answer().status == 413
        with Connection(balancer.target) as connection:
            assert connection.exchange(request(target="/metrics")).status == 404


def test_without_health_checks_and_retries_the_same_kill_fails_requests(folder, monkeypatch):
    """The tests above can fail: HAProxy without what deploy/haproxy.cfg sets loses requests."""
    import balancers
    text = (balancers.DEPLOY / "haproxy.cfg").read_text()
    plain = [line for line in text.splitlines() if not line.strip().startswith(("retry-on", "retries", "option redispatch"))]
    assert len(plain) == len(text.splitlines()) - 3
    (folder / "haproxy.cfg").write_text("\n".join(plain) + "\n")
    monkeypatch.setattr(balancers, "DEPLOY", folder)
    with balanced(HAProxy, folder) as balancer:
        with posting(balancer) as loads:
            for replica in balancer.replicas * 2:
                wait_for_more(loads)
                replica.kill()
                wait_for_more(loads)
                replica.start()
                balancer.wait_for_up(replica)
        failed = sum(load.counts["lost"] + load.counts["wrong"] for load in loads)
        print(f"HAProxy without retries, 4 SIGKILL: {failed} failed", flush=True)
        assert failed > 0
