"""Keep-alive clients that tell a lost request from a refused connection; used by the drain tests and tools/soak.py."""
import collections
import threading
import time

from wire import Closed, Connection


class Load:
    """Clients in threads, each posting `data` on a kept-alive connection until told to stop or the server is gone.

    A request is lost when its connection was there (accepted or kept alive) and no complete answer came. An answer
    with `Connection: close` is followed by a new connection; a refused connection ends the client.

    Between the server's last accept() and the close of its listening socket the kernel may complete a handshake and
    then reset it; no server can answer there, and only a drain delay avoids it. Such a reset, on a connection that
    never had an answer, is counted apart as `unaccepted`.
    """

    def __init__(self, port, data, clients=16, check=None):
        self.port, self.data, self.check = port, data, check
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
                connection = Connection(self.port, timeout=30)
            except (ConnectionRefusedError, ConnectionResetError):
                # Reset while connecting: the listening socket closed before the connection was accepted.
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
                if served == 0 and isinstance(error, (ConnectionResetError, BrokenPipeError)):
                    self._note("unaccepted")
                    return True
                self._note("lost", f"after {served} answers on this connection: {error!r}")
                return True
            served += 1
            self.latencies.append(time.monotonic() - start)
            if answer.status == 200 and (self.check is None or self.check(answer)):
                self._note("answered")
            else:
                self._note("wrong", f"{answer.status} {answer.body[:200]!r}")
            if answer.closes:
                self._note("closed")
                return True
        return False
