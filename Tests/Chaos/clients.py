"""Clients that behave: they send whole requests at a steady pace, wait for the answers, and expect all of them."""
import collections
import random
import threading
import time

import endpoint  # noqa: F401  (makes wire importable)
from wire import Closed, Connection

#: What the run is doing, as it stands in the shared phase.
WARM_UP, CALM, CHAOS, SETTLING, STOPPING, OVER = range(6)


class Clients:
    """`count` threads, each posting `data` every `interval` seconds over a connection that it renews now and then."""

    def __init__(self, where, phase, data, expected, count, interval, renewed_after=100):
        self.where, self.phase, self.data, self.expected = where, phase, data, expected
        self.interval, self.renewed_after = interval, renewed_after
        self.counts = collections.Counter()
        self.faults = []
        self.latencies = {CALM: [], CHAOS: []}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(count)]

    def run(self):
        """Returns when the run is over -> what happened."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()
        return dict(self.counts), self.faults, self.latencies

    def _note(self, what, fault=None):
        with self._lock:
            self.counts[what] += 1
            if fault is not None and len(self.faults) < 50:
                self.faults.append(f"phase {self.phase.value}: {fault}")

    def _run(self, number):
        dice = random.Random(number)
        connection, served, due = None, 0, time.monotonic() + dice.random() * self.interval
        while self.phase.value != OVER:
            time.sleep(max(0, due - time.monotonic()))
            due = max(due + self.interval, time.monotonic())
            phase, start = self.phase.value, time.monotonic()
            try:
                if connection is None:
                    connection, served = Connection(0, timeout=60, dial=self.where.dial), 0
                answer = connection.exchange(self.data)
            except (ConnectionRefusedError, FileNotFoundError) as error:
                if self.phase.value >= STOPPING:
                    return self._note("refused")
                self._note("lost", f"connecting: {error!r}")
                continue
            except (Closed, OSError) as error:
                self._lost(connection, served, error)
                connection = None
                continue
            served += 1
            self._judge(answer, phase, time.monotonic() - start)
            if answer.closes or served >= self.renewed_after:
                connection.close()
                connection = None

    def _lost(self, connection, served, error):
        if connection is not None:
            connection.close()
        # Between the last accept() and the close of the listening socket the kernel may complete a handshake and
        # then reset it; no server can answer there.
        if self.phase.value >= STOPPING and served == 0 and not isinstance(error, (Closed, TimeoutError)):
            return self._note("unaccepted")
        self._note("lost", f"after {served} answers on this connection: {error!r}")

    def _judge(self, answer, phase, seconds):
        if answer.status == 200 and answer.body == self.expected:
            self._note("answered")
            if phase in self.latencies:
                self.latencies[phase].append(seconds)
        elif answer.status in (429, 503) and answer.field("Retry-After"):
            self._note(f"deferred with {answer.status}")
            time.sleep(0.1)
        else:
            self._note("wrong", f"{answer.status} {answer.body[:200]!r}")


def run_clients(results, name, *arguments):
    """The body of a process."""
    results.put((name, *Clients(*arguments).run()))
