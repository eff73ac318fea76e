"""Fixtures around a running server, which Tests/BlackBox starts for its own tests in the same way."""

import pathlib
import socket
import sys
import tempfile
import threading

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))
from certificates import Issued  # noqa: E402
from server import BINARY, Server  # noqa: E402

from crop_client import Client, layouts  # noqa: E402


def pytest_sessionstart(session):
    if not pathlib.Path(BINARY).exists():
        pytest.exit(f"{BINARY} does not exist: `make release` or `swift build` makes it, CROP_BINARY names it", 2)


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running


@pytest.fixture
def client(server):
    with Client(server.url) as made:
        yield made


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    issued = Issued(folder, "localhost", Issued(folder, "authority"))
    issued.authority = str(folder / "authority.pem")
    return issued


@pytest.fixture
def socket_path():
    """pytest's own folders exceed the 100 bytes that the path of a socket has room for."""
    with tempfile.TemporaryDirectory(prefix="crop") as folder:
        yield pathlib.Path(folder) / "crop.sock"


@pytest.fixture
def row():
    """[12, 576] of distinct numbers."""
    generator = np.random.default_rng(7)
    return (generator.permutation(12 * 576) / 128).reshape(12, 576).astype(np.float32)


@pytest.fixture
def grid():
    return layouts.grid(24, 24)


class Scripted:
    """A server that answers each request with the next of its responses: bytes, or None to close the connection."""

    def __init__(self, *responses):
        self.requests = []
        self.connections = 0
        self._responses = list(responses)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while self._answer(connection):
                    pass

    def _answer(self, connection):
        stream = connection.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return False
            head += line
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        self.requests.append(head + stream.read(length))
        response = self._responses.pop(0) if self._responses else None
        if response is None:
            return False
        try:
            connection.sendall(response)
        except OSError:
            return False
        return b"connection: close" not in response.lower()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()


def response(body=b'{"methods": []}', status=200, *fields):
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body
