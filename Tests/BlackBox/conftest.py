import pathlib
import sys

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
