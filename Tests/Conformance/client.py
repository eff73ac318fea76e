"""Sends one case to a server and says what came back, in the words of cases.py."""
import contextlib
import dataclasses
import json
import re
import select
import socket
import time

from cases import BODY, LIVE, PRUNE

MARKER = f"GET {LIVE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT\Z")


@dataclasses.dataclass
class Target:
    """Where a server is, and how it proves that it has understood a body."""
    name: str
    connect: object
    proof: object
    live: str = LIVE
    prune: str = PRUNE

    def localized(self, data):
        """The bytes of a case for a server whose two resources have other names."""
        if (self.live, self.prune) == (LIVE, PRUNE):
            return data
        return data.replace(PRUNE.encode(), self.prune.encode()).replace(LIVE.encode(), self.live.encode())


def tcp(host, port):
    def connect():
        connection = socket.create_connection((host, port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    return connect


def keeps_two_and_three(body):
    """The proof of ours: the largest two of the four scores."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return json.loads(body)["kept_indices"] == [2, 3]
    return False


def echoes(body):
    """The proof of a peer."""
    return body.strip() == BODY


class Broken(Exception):
    """What came is no HTTP/1.1 answer."""


@dataclasses.dataclass
class Answer:
    version: str
    status: int
    fields: list
    body: bytes = b""

    def values(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def has_option(self, option):
        return any(option == word.strip().lower() for value in self.values("connection") for word in value.split(","))


def split_chunks(data):
    """-> (body, rest), or None while the last chunk is missing."""
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        size = int(line.split(b";")[0], 16)
        if size == 0:
            trailer, end, rest = (b"\r\n" + data).partition(b"\r\n\r\n")
            return (body, rest) if end else None
        if len(data) < size + 2:
            return None
        body, data = body + data[:size], data[size + 2:]


def parse_head(text):
    lines = text.decode("latin-1").split("\r\n")
    match = re.match(r"HTTP/(1\.[01]) (\d{3})( |\Z)", lines[0])
    if not match:
        raise Broken(f"not a status line: {lines[0][:60]!r}")
    return Answer(match.group(1), int(match.group(2)), [tuple(part.strip(" \t") for part in line.partition(":")[::2]) for line in lines[1:]])


def take_answer(data, method, has_ended):
    """-> (answer, rest), or None while it is incomplete."""
    if (len(data) >= 5 or has_ended) and not data.startswith(b"HTTP/"):
        raise Broken(f"not an answer: {data[:60]!r}")
    text, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    answer = parse_head(text)
    if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
        return answer, rest
    if any("chunked" in value.lower() for value in answer.values("transfer-encoding")):
        done = split_chunks(rest)
        if done is None:
            return None
        answer.body, rest = done
        return answer, rest
    lengths = answer.values("content-length")
    if lengths:
        length = int(lengths[0])
        if len(rest) < length:
            return None
        answer.body, rest = rest[:length], rest[length:]
        return answer, rest
    if not has_ended:
        return None
    answer.body = rest
    return answer, b""


class Exchange:
    """One connection of one case."""

    def __init__(self, case, target, quiet):
        self.case, self.target, self.quiet = case, target, quiet
        self.received, self.answers, self.methods = b"", [], list(case.methods)
        self.end = None

    def run(self):
        self.socket = self.target.connect()
        try:
            self.socket.setblocking(False)
            last = len(self.case.steps) - 1
            for place, (kind, *argument) in enumerate(self.case.steps):
                value = argument[0] if argument else None
                if kind in ("send", "bytewise"):
                    data = self.target.localized(value)
                    if place == last and self.case.marker:
                        data += self.target.localized(MARKER)
                    step = 1 if kind == "bytewise" else len(data)
                    for start in range(0, len(data), step):
                        self._send(data[start:start + step])
                elif kind == "await":
                    self._receive_until(lambda: len(self.answers) >= value)
                elif self.end is None:
                    try:
                        self.socket.shutdown(socket.SHUT_WR)
                    except OSError:
                        pass  # It closed first.
            if self.case.marker and self.case.steps[last][0] == "await":
                self._send(self.target.localized(MARKER))
            self._receive_until(lambda: False)
        finally:
            self.socket.close()
        return self

    def _send(self, data):
        """All of it, reading meanwhile; a server that has seen enough may have closed."""
        position = 0
        while position < len(data) and self.end is None:
            try:
                position += self.socket.send(data[position:position + 65536])
            except BlockingIOError:
                readable, writable, _ = select.select([self.socket], [self.socket], [], self.quiet)
                if readable:
                    self._read()
                elif not writable:
                    return
            except OSError:
                # What the server had sent before it closed can still be read.
                return

    def _read(self):
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end = "closed"
        self.received += data
        self._parse()

    def _parse(self):
        while self.received:
            # A frame of settings opens HTTP/2 (RFC 9113 section 3.4): the server accepted an upgrade or its preface.
            if self.received[0] == 0 and self.received[3:4] == b"\x04":
                self.end = "switched"
                return
            final = sum(answer.status >= 200 for answer in self.answers)
            method = self.methods[final] if final < len(self.methods) else "GET"
            done = take_answer(self.received, method, self.end is not None)
            if done is None:
                if self.end is not None:
                    raise Broken(f"cut short: {self.received[:80]!r}")
                return
            answer, self.received = done
            self.answers.append(answer)

    def _receive_until(self, is_enough):
        """Reads until enough came, the server closed, or nothing came for the quiet time."""
        silent_from = time.monotonic()
        while self.end is None and not is_enough():
            left = silent_from + self.quiet - time.monotonic()
            readable = left > 0 and select.select([self.socket], [], [], left)[0]
            if not readable:
                self.end = "waits"
                return
            self._read()
            silent_from = time.monotonic()


# Checks by name: each returns a complaint or None.


def check_date(answers, _):
    for answer in answers:
        if answer.status >= 200 and not (len(answer.values("date")) == 1 and DATE.match(answer.values("date")[0])):
            return f"Date is {answer.values('date')}"


def check_allow(answers, _):
    if answers and answers[0].status != 404 and not answers[0].values("allow"):
        return f"{answers[0].status} without Allow"


def check_close(answers, _):
    finals = [answer for answer in answers if answer.status >= 200]
    if finals and not finals[-1].has_option("close"):
        return "the last answer does not say Connection: close"


def check_keep_alive_told(answers, _):
    if len(answers) > 1 and not answers[0].has_option("keep-alive"):
        return "kept alive without Connection: keep-alive"


def check_not_chunked(answers, _):
    if answers and answers[0].values("transfer-encoding"):
        return "Transfer-Encoding in an answer to HTTP/1.0"


def check_one_length(answers, _):
    for answer in answers:
        lengths, codings = answer.values("content-length"), answer.values("transfer-encoding")
        if len(lengths) > 1 or (lengths and codings):
            return f"lengths {lengths} and codings {codings}"
        if (answer.status < 200 or answer.status == 204) and (lengths or codings):
            return f"{answer.status} with a length"


def check_has_length(answers, _):
    if answers and not (answers[0].values("content-length") or answers[0].values("transfer-encoding")):
        return "only the end of the connection tells where the answer ends"


def check_lengths_equal(answers, _):
    lengths = [answer.values("content-length") for answer in answers[:2]]
    if len(lengths) == 2 and lengths[0] != lengths[1]:
        return f"Content-Length of HEAD {lengths[0]}, of GET {lengths[1]}"


def check_well_formed(answers, _):
    for answer in answers:
        for name, value in answer.fields:
            if not TOKEN.match(name) or any(ord(c) < 0x20 and c != "\t" or ord(c) == 0x7f for c in value):
                return f"field {name!r}: {value!r}"


def check_no_secret(answers, _):
    if any(b"secret" in answer.body for answer in answers):
        return "the Cookie comes back"


def check_not_injected(answers, _):
    if any(answer.values("x-injected") for answer in answers):
        return "X-Injected is a field of the answer"


CHECKS = {
    "date": check_date, "allow": check_allow, "close": check_close, "keep-alive-told": check_keep_alive_told,
    "not-chunked": check_not_chunked, "one-length": check_one_length, "has-length": check_has_length,
    "lengths-equal": check_lengths_equal, "well-formed": check_well_formed, "no-secret": check_no_secret,
    "not-injected": check_not_injected,
}


def matches_word(word, answer, proof):
    for choice in word.split("|"):
        if choice == "ok":
            if answer.status == 200 and proof(answer.body):
                return True
        elif choice.endswith("xx"):
            if answer.status // 100 == int(choice[0]):
                return True
        elif answer.status == int(choice):
            return True
    return False


def matches(outcome, answers, end, proof):
    *words, last = outcome.split()
    return last == end and len(words) == len(answers) and all(map(matches_word, words, answers, [proof] * len(words)))


def summarized(words):
    """`200 200 200 closed` -> `3x200 closed`"""
    text, place = [], 0
    while place < len(words):
        count = 1
        while place + count < len(words) and words[place + count] == words[place]:
            count += 1
        text.append(words[place] if count == 1 else f"{count}x{words[place]}")
        place += count
    return " ".join(text)


@dataclasses.dataclass
class Verdict:
    case: object
    passed: bool
    seen: str


def judge(case, target, quiet=2.0):
    """Runs a case -> the verdict. `quiet`: seconds of silence after which a server is said to wait."""
    exchange = Exchange(case, target, quiet)
    try:
        exchange.run()
    except (Broken, ValueError) as error:
        return Verdict(case, False, str(error))
    answers, end = exchange.answers, exchange.end
    seen = summarized([
        "ok" if answer.status == 200 and target.proof(answer.body) else str(answer.status) for answer in answers] + [end])
    if not any(matches(outcome, answers, end, target.proof) for outcome in case.accept):
        return Verdict(case, False, seen)
    for name in case.checks:
        complaint = CHECKS[name](answers, exchange)
        if complaint:
            return Verdict(case, False, f"{seen}; {complaint}")
    return Verdict(case, True, seen)
