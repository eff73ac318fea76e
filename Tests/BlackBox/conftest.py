import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from server import BINARY, Server  # noqa: E402
from wire import Connection  # noqa: E402


def pytest_sessionstart(session):
    if not pathlib.Path(BINARY).exists():
        pytest.exit(f"{BINARY} does not exist: `make release` or `swift build` makes it, CROP_BINARY names it", 2)


@pytest.fixture(scope="session")
def server():
    """One server for all tests that leave it as it was."""
    with Server() as server:
        yield server


@pytest.fixture
def connection(server):
    with Connection(server.port) as connection:
        yield connection


@pytest.fixture
def socket_path():
    """Where a Unix-domain socket may be: its path has room for about 100 bytes, which pytest's folders exceed."""
    with tempfile.TemporaryDirectory(prefix="crop") as folder:
        yield pathlib.Path(folder) / "crop.sock"


@pytest.fixture(params=["tcp", "unix"])
def transport(request, socket_path):
    """Flags that make a server listen on each kind of transport in turn."""
    return {
        "tcp": ("--http-port", "0"),
        "unix": ("--listen", f"unix:{socket_path}"),
    }[request.param]
