"""Keep-alive clients that tell a lost request from a refused connection; used by the drain tests and tools/soak.py."""
import collections
import threading
import time

from wire import Closed, Connection


class Load:
    """Clients in threads, each posting `data` until told to stop or the server is gone.

    A request is lost when its connection was there (connected or kept alive) and no complete answer came. An answer
    with `Connection: close` is followed by a new connection, as is every answer when `keep_alive` is off; a refused
    connection ends the client.
    """

    def __init__(self, target, data, clients=16, check=None, keep_alive=True):
        self.target, self.data, self.check, self.keep_alive = target, data, check, keep_alive
        self.counts = collections.Counter()
        self.faults = []
        self.latencies = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def answered(self):
        return self.counts["answered"]

    def wait_for_answers(self, count, seconds=30):
        end = time.monotonic() + seconds
        while self.answered < count:
            assert time.monotonic() < end, f"only {self.answered} answers in {seconds} s; {self.faults[:3]}"
            time.sleep(0.01)

    def stop(self):
        self._stop.set()
        self.join()

    def join(self, seconds=60):
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in self._threads), "a client still waits for its answer"

    def _note(self, what, fault=None):
        with self._lock:
            self.counts[what] += 1
            if fault is not None and len(self.faults) < 100:
                self.faults.append(fault)

    def _run(self):
        while not self._stop.is_set():
            try:
                connection = Connection(self.target, timeout=30)
            except (ConnectionRefusedError, FileNotFoundError):
                # The port is closed, or the socket file is gone.
                return self._note("refused")
            except OSError as error:
                return self._note("lost", f"connecting: {error!r}")
            with connection:
                if not self._use(connection):
                    return

    def _use(self, connection):
        """-> whether to connect again."""
        served = 0
        while not self._stop.is_set():
            start = time.monotonic()
            try:
                answer = connection.exchange(self.data)
            except (Closed, OSError) as error:
                self._note("lost", f"after {served} answers on this connection: {error!r}")
                return True
            served += 1
            self.latencies.append(time.monotonic() - start)
            if answer.status == 200 and (self.check is None or self.check(answer)):
                self._note("answered")
            else:
                self._note("wrong", f"{answer.status} {answer.body[:200]!r}")
            if answer.closes or not self.keep_alive:
                self._note("closed")
                return True
        return False
