"""The contract as tools read it: a linter, schemathesis, a generator of clients, and a reader who tries its examples."""
import json
import pathlib
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Tests/BlackBox"), str(ROOT / "tools")]
from server import BINARY, Server  # noqa: E402

KEY = "a-key-for-the-contract-0123456789"
# What openapi.yaml's examples register.
REGION, REGION_BYTES = pathlib.Path("/dev/shm/crop_inputs"), 1 << 20


def pytest_sessionstart(session):
    if not pathlib.Path(BINARY).exists():
        pytest.exit(f"{BINARY} does not exist: `make release` or `swift build` makes it, CROP_BINARY names it", 2)


@pytest.fixture(scope="session")
def contract():
    return yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def region():
    """The shared memory of the examples."""
    with open(REGION, "wb") as file:
        file.truncate(REGION_BYTES)
    yield REGION
    REGION.unlink(missing_ok=True)


@pytest.fixture
def server(region):
    with Server("--shared-memory", "named") as server:
        yield server


@pytest.fixture
def guarded_server(region, tmp_path):
    """One that wants a key."""
    keys = tmp_path / "keys"
    keys.write_text(KEY + "\n")
    keys.chmod(0o600)
    with Server("--shared-memory", "named", "--api-key-file", keys) as server:
        yield server


def references(node):
    """-> every `$ref` in a part of the contract."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            elif name not in ("value", "example"):
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


class Contract:
    """The document with its references followed."""

    def __init__(self, root):
        self.root = root

    def resolved(self, node):
        while isinstance(node, dict) and "$ref" in node:
            reference = node["$ref"]
            assert reference.startswith("#/"), reference
            target = self.root
            for name in reference[2:].split("/"):
                target = target[name.replace("~1", "/").replace("~0", "~")]
            node = {**target, **{name: value for name, value in node.items() if name != "$ref"}}
        return node

    def operations(self):
        for path, item in self.root["paths"].items():
            for method, operation in item.items():
                yield method.upper(), path, operation

    def parameters(self, operation):
        return [self.resolved(parameter) for parameter in operation.get("parameters", [])]

    def target(self, path, operation):
        """-> the path with the examples of its variables."""
        for parameter in self.parameters(operation):
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", str(parameter["example"]))
        return path

    def contents(self):
        """-> (where, media type, its object) of all bodies and responses, each component once."""
        seen = set()
        for method, path, operation in self.operations():
            parts = [("body", operation.get("requestBody"))] + list(operation["responses"].items())
            for name, part in parts:
                if part is None or part.get("$ref") in seen:
                    continue
                seen.add(part.get("$ref", object()))
                for media_type, content in self.resolved(part).get("content", {}).items():
                    yield f"{method} {path} {name}", media_type, content


@pytest.fixture(scope="session")
def document(contract):
    return Contract(contract)
