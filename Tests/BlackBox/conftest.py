import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from certificates import Issued  # noqa: E402
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


@pytest.fixture(params=["tcp", "unix", "dispatch"])
def transport(request, socket_path):
    """Flags that make a server listen on each kind of socket in turn, and learn by each way what is ready."""
    return listening(request.param, socket_path)


@pytest.fixture(params=["tcp", "unix", "tls", "dispatch"])
def every_transport(request, socket_path, certificate):
    """The same, and encrypted."""
    return listening(request.param, socket_path) + (certificate.flags if request.param == "tls" else ())


def listening(kind, socket_path):
    if kind == "dispatch":
        return ("--http-port", "0", "--readiness", "dispatch")
    return ("--listen", f"unix:{socket_path}") if kind == "unix" else ("--http-port", "0")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    return Issued(folder, "localhost", Issued(folder, "authority"))
