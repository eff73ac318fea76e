"""Clients that misbehave, each in a way of its own and at a pace that leaves the processor to the server."""
import collections
import contextlib
import random
import socket
import struct
import threading
import time

import endpoint  # noqa: F401  (makes wire importable)
from bodies import PRUNE, TINY, features, npy
from clients import CHAOS, OVER, STOPPING
from wire import request

RANDOM_BYTES = random.Random(7).randbytes(1 << 16)


def reset(connection):
    """Closes with RST instead of FIN."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Attackers:
    def __init__(self, where, phase, large):
        self.where, self.phase, self.large = where, phase, large
        self.small = request("POST", PRUNE, body=TINY)
        self.heavy = request("POST", "/prune?method=divprune&tensor=image_features&keep_tokens=64", body=npy(features(256, 64)))
        # An answer larger than the buffers between the two.
        self.bulky = request("POST", "/compress?keep_tokens=2048", [("Accept", "application/x-npy")], npy(features(2048, 256)))
        self.dice = random.Random(3)
        self.counts = collections.Counter()

    def run(self):
        """Attacks while the phase asks for it -> how often each was made."""
        attacks = [
            (self.reset_at_a_random_byte, 0.02), (self.leave_before_the_answer, 0.1), (self.send_garbage, 0.03),
            (self.send_a_damaged_request, 0.03), (self.send_a_large_head, 0.1), (self.announce_too_much, 0.05),
            (self.send_tiny_chunks, 0.3), (self.flood, 3), (self.hold_a_half_sent_head, 0.1), (self.hold_in_silence, 0.1),
            (self.write_slowly, 0.15), (self.read_slowly, 0.5)]
        threads = [threading.Thread(target=self._repeat, args=attack, daemon=True) for attack in attacks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return dict(self.counts)

    @property
    def _is_on(self):
        return self.phase.value in (CHAOS, STOPPING)

    def _repeat(self, attack, interval):
        held = []
        while self.phase.value != OVER:
            if not self._is_on:
                while held:
                    held.pop().close()
                time.sleep(0.1)
                continue
            try:
                attack(held)
            except OSError:
                # Refused, reset or closed by the server: what an attacker has to expect.
                self.counts["interrupted"] += 1
            self.counts[attack.__name__.replace("_", " ")] += 1
            time.sleep(interval * self.dice.uniform(0.5, 1.5))
        while held:
            held.pop().close()

    def _dial(self, **options):
        # Behind TLS half of them do not even shake hands.
        dial = self.where.dial if self.dice.random() < 0.5 else self.where.dial_plain
        return dial(5, **options)

    def _keep(self, held, connection, count):
        held.append(connection)
        if len(held) > count:
            gone = held.pop(self.dice.randrange(count))
            self.dice.choice([reset, socket.socket.close])(gone)

    # At once.

    def reset_at_a_random_byte(self, _):
        data = self.dice.choice([self.small, self.small, self.heavy, self.large])
        connection = self._dial()
        with contextlib.suppress(OSError):
            connection.sendall(data[:self.dice.randrange(len(data) + 1)])
        reset(connection)

    def leave_before_the_answer(self, _):
        connection = self._dial()
        connection.sendall(self.heavy)
        self.dice.choice([reset, socket.socket.close])(connection)

    def _send_and_read(self, data):
        with self._dial() as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
            connection.settimeout(0.2)
            connection.recv(65536)

    def send_garbage(self, _):
        start = self.dice.randrange(60_000)
        self._send_and_read(RANDOM_BYTES[start:start + self.dice.randrange(1, 4000)])

    def send_a_damaged_request(self, _):
        data = bytearray(self.dice.choice([self.small, self.heavy]))
        for _ in range(self.dice.randrange(1, 6)):
            data[self.dice.randrange(min(len(data), 300))] = self.dice.randrange(256)
        self._send_and_read(bytes(data))

    def send_a_large_head(self, _):
        fields = [("X", "a" * 200_000)] if self.dice.random() < 0.5 else [("X", "a")] * 5000
        self._send_and_read(request("POST", PRUNE, fields, TINY))

    def announce_too_much(self, _):
        length = self.dice.choice([1 << 40, (1 << 63) - 1, 1 << 64, -1, 60 << 20])
        self._send_and_read(request("POST", PRUNE, [("Content-Length", length)]) + b"[" * 100)

    def send_tiny_chunks(self, _):
        self._send_and_read(request("POST", PRUNE, [("Transfer-Encoding", "chunked")]) + b"1\r\n \r\n" * 30_000)

    def flood(self, _):
        """More connections than the server allows, all at once, for a moment."""
        flood = []
        with contextlib.suppress(OSError):
            for _ in range(400):
                flood.append(self.where.dial_plain(1))
        time.sleep(0.2)
        for connection in flood:
            reset(connection)

    # Held.

    def hold_a_half_sent_head(self, held):
        connection = self._dial()
        self._keep(held, connection, 20)
        connection.sendall(self.small[:self.dice.randrange(1, 40)])

    def hold_in_silence(self, held):
        self._keep(held, self._dial(), 20)

    def write_slowly(self, held):
        """Each call sends one more byte on every held connection, within the head or the body."""
        connection = self._dial()
        self._keep(held, connection, 15)
        connection.sendall(self.large[:self.dice.choice([10, 5000, 100_000])])
        for connection in held[:]:
            try:
                connection.sendall(b"a")
            except OSError:
                held.remove(connection)
                connection.close()

    def read_slowly(self, held):
        connection = self._dial(receive_buffer=4096)
        self._keep(held, connection, 5)
        connection.settimeout(1)
        connection.sendall(self.bulky)
        for connection in held:
            connection.settimeout(0.01)
            with contextlib.suppress(OSError):
                connection.recv(1)


def run_attackers(results, *arguments):
    """The body of a process."""
    results.put(("attackers", Attackers(*arguments).run()))
