"""HTTP/1.1 by hand over a socket: what a client library would refuse to send, and answers as they came."""
import dataclasses
import json
import socket
import ssl
import struct


class Closed(Exception):
    """The server closed the connection before the answer was complete; `received` holds what came."""

    def __init__(self, received):
        super().__init__(f"closed after {received!r}")
        self.received = received


@dataclasses.dataclass
class Answer:
    version: str
    status: int
    fields: list
    body: bytes = b""

    def field(self, name):
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def closes(self):
        """Whether the answer announces the end of its connection."""
        connection = (self.field("Connection") or "").lower()
        return connection == "close" or (self.version == "HTTP/1.0" and connection != "keep-alive")


def request(method="GET", target="/livez", fields=(), body=None, version="HTTP/1.1", host="a"):
    """-> the bytes of a request; Content-Length comes with a body."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def chunked(body, size=7):
    """-> the body in chunks of `size` bytes."""
    pieces = [body[start:start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Encrypted:
    """A port of 127.0.0.1 where TLS is spoken; whose certificate it shows is not asked."""
    port: int

    def open(self, timeout):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = open_socket(self.port, timeout)
        try:
            return context.wrap_socket(plain, suppress_ragged_eofs=False)
        except BaseException:
            plain.close()
            raise


def open_socket(target, timeout):
    """`target` is a port of 127.0.0.1, a (host, port), the path of a Unix-domain socket, or `Encrypted`."""
    if isinstance(target, Encrypted):
        return target.open(timeout)
    if isinstance(target, (int, tuple)):
        address = ("127.0.0.1", target) if isinstance(target, int) else target
        opened = socket.create_connection(address, timeout=timeout)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    opened = socket.socket(socket.AF_UNIX)
    opened.settimeout(timeout)
    try:
        opened.connect(str(target))
    except BaseException:
        opened.close()
        raise
    return opened


class Connection:
    def __init__(self, target, timeout=15, dial=None):
        """`dial`: makes the connected socket, given the timeout; else it is one to `target`."""
        self.socket = dial(timeout) if dial else open_socket(target, timeout)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_bytewise(self, data, step=1):
        """In pieces of `step` bytes; a server that has seen enough may close meanwhile."""
        try:
            for start in range(0, len(data), step):
                self.socket.sendall(data[start:start + step])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish_sending(self):
        self.socket.shutdown(socket.SHUT_WR)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(self._buffer)
        self._buffer += data

    def _until(self, end):
        while end not in self._buffer:
            self._more()
        part, self._buffer = self._buffer.split(end, 1)
        return part

    def read_head(self):
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        return Answer(version, int(status), fields)

    def read_answer(self, to="GET"):
        """The next final or interim answer; `to` is the method it answers."""
        answer = self.read_head()
        if to != "HEAD" and answer.status >= 200 and answer.status != 204:
            length = answer.field("Content-Length")
            assert length is not None, f"an answer without Content-Length: {answer.fields}"
            while len(self._buffer) < int(length):
                self._more()
            answer.body, self._buffer = self._buffer[:int(length)], self._buffer[int(length):]
        return answer

    def exchange(self, data, to="GET"):
        self.send(data)
        return self.read_answer(to)

    def is_closed_by_server(self, seconds=5):
        """Whether the end of the stream comes, with nothing before it."""
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1)
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        assert not self._buffer and not data, f"more than the answer came: {self._buffer + data!r}"
        return True

    def is_alive(self):
        """Whether another request on this connection is answered."""
        return self.exchange(request()).status == 200
