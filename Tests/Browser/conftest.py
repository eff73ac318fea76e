import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The server in a process, as the black-box tests run it.
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "Tests" / "BlackBox")]
from browser import PROGRAM, Browser  # noqa: E402
from server import BINARY, Server  # noqa: E402


def pytest_sessionstart(session):
    if not pathlib.Path(BINARY).exists():
        pytest.exit(f"{BINARY} does not exist: `make release` or `swift build` makes it, CROP_BINARY names it", 2)
    if PROGRAM is None:
        pytest.exit("no Chromium: `tools/setup.sh browser` installs it, CHROMIUM names it", 2)


@pytest.fixture(scope="session")
def server():
    # A debug build on a busy machine takes its time for thirty methods.
    with Server("--compute-timeout", "60s") as server:
        yield server


@pytest.fixture(scope="session")
def browser():
    with Browser() as browser:
        yield browser
