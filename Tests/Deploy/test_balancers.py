"""No request fails while replicas behind HAProxy, nginx or Envoy are restarted, killed or stopped. `pytest -s` shows the counts."""
import collections
import contextlib
import signal
import socket
import threading
from concurrent import futures

import pytest
from balancers import (
    Envoy, HAProxy, Nginx, Replica, balanced, check_nothing_failed, posting, prune_request, reserved_port, slow_request, wait_for_more,
    wait_until)
from wire import Connection, request

BALANCERS = pytest.mark.parametrize("kind", [HAProxy, Nginx, Envoy], ids=lambda kind: kind.name)


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
            while not enough.is_set():
                with Connection(balancer.target, timeout=30) as connection:
                    answer = None
                    while not enough.is_set() and not (answer and answer.closes):
                        # A balancer that has the replica's 429 before all of the body passes it on and closes.
                        with contextlib.suppress(BrokenPipeError):
                            connection.send(data)
                        answer = connection.read_answer()
                        retry = "" if answer.status == 200 else f", Retry-After {answer.field('Retry-After')}"
                        counts[f"{answer.status}{retry}"] += 1

        def are_both_kinds_answered():
            for client in clients:
                if client.done():
                    client.result()
            return counts["200"] >= 20 and counts["429, Retry-After 1"] >= 20

        with futures.ThreadPoolExecutor(8) as pool:
            clients = [pool.submit(client) for _ in range(8)]
            try:
                wait_until(are_both_kinds_answered, "answers of both kinds", seconds=300)
            finally:
                enough.set()
        for done in clients:
            done.result()
        print(f"{balancer.name}, overload: {dict(counts)}", flush=True)
        assert set(counts) == {"200", "429, Retry-After 1"}, counts
        if kind is not Nginx:
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


def connect_from(address, port):
    """-> a connection of another client of this machine."""
    return Connection(port, dial=lambda timeout: socket.create_connection(("127.0.0.1", port), timeout, (address, 0)))


@BALANCERS
def test_the_access_log_names_the_client_and_not_who_a_client_says_it_is(kind, folder):
    fields = [("X-Forwarded-For", "198.51.100.66"), ("Content-Type", "application/x-npy")]
    post = request("POST", "/prune?method=topk&keep_tokens=4&tensor=attention", fields, prune_request(8).split(b"\r\n\r\n", 1)[1])
    with reserved_port() as held:
        port = held.getsockname()[1]
        with balanced(kind, folder, "--access-log", "on", "--trusted-proxies", "127.0.0.1", port=port) as balancer:
            with connect_from("127.0.0.5", port) as client:
                assert client.exchange(post).status == 200
            lines = logged(balancer)
            assert " client=127.0.0.5" in lines and " remote=127.0.0.1:" in lines and "198.51.100.66" not in lines


def logged(balancer):
    """-> the lines of /prune in the logs of both replicas, once there is one."""
    def lines():
        return "\n".join(line for replica in balancer.replicas for line in replica.server.lines if line and "route=/prune" in line)
    wait_until(lines, "a line of the access log")
    return lines()


def test_the_proxy_protocol_of_haproxy_names_the_client(folder, monkeypatch):
    """Version 1 and 2, with health checks that say they are HAProxy's own."""
    import balancers
    text = (balancers.DEPLOY / "haproxy.cfg").read_text()
    for word in ("send-proxy", "send-proxy-v2"):
        changed = text.replace("default-server check ", f"default-server check {word} ")
        assert changed.count(f"check {word} ") == 1
        (folder / "haproxy.cfg").write_text(changed)
        monkeypatch.setattr(balancers, "DEPLOY", folder)
        with reserved_port() as held, contextlib.ExitStack() as stack:
            replicas = []
            for _ in range(2):
                replicas.append(Replica("--access-log", "on", proxied=True))
                stack.callback(replicas[-1].close)
            balancer = HAProxy(folder, replicas, held.getsockname()[1])
            stack.callback(balancer.close)
            wait_until(lambda: balancer.states() == ["UP", "UP"], "both replicas are up")
            with connect_from("127.0.0.5", balancer.target) as client:
                assert client.exchange(prune_request(8).replace(b"keep_tokens=64", b"keep_tokens=4")).status == 200
            assert " remote=127.0.0.5:" in logged(balancer)


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
