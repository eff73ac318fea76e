import pathlib
import sys

import pytest
import tiny

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Tests" / "BlackBox"))
from server import Server  # noqa: E402

from crop_client import Client  # noqa: E402


@pytest.fixture(scope="session")
def client():
    with Server() as server, Client(server.url) as made:
        yield made


_models = {}


@pytest.fixture(params=sorted(tiny.BUILDERS))
def family(request):
    """-> the family's name and its model, made once."""
    if request.param not in _models:
        _models[request.param] = tiny.model(request.param)
    return request.param, _models[request.param]
