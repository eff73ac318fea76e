import pathlib
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The server in a process, the HTTP client and the load of the black-box tests.
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "Tests" / "BlackBox")]
from server import BINARY  # noqa: E402


def pytest_sessionstart(session):
    if not pathlib.Path(BINARY).exists():
        pytest.exit(f"{BINARY} does not exist: `make release` or `swift build` makes it, CROP_BINARY names it", 2)


@pytest.fixture
def folder():
    """Where Unix-domain sockets may be: their paths have room for about 100 bytes."""
    with tempfile.TemporaryDirectory(prefix="crop") as path:
        yield pathlib.Path(path)
