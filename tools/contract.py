#!/usr/bin/env python3
"""Writes web/openapi.json from openapi.yaml, so that the server answers both from its own binary.

Run it after every change of openapi.yaml; a test compares. Needs PyYAML. `--check` writes nothing and fails when the
file is not up to date.
"""

import json
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "web/openapi.json"


class Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        if repeated:
            raise yaml.constructor.ConstructorError(None, None, f"given twice: {repeated}", node.start_mark)
        return super().construct_mapping(node, deep)


def generated() -> str:
    document = yaml.load((ROOT / "openapi.yaml").read_text(encoding="utf-8"), Loader)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def main() -> None:
    text = generated()
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{TARGET.relative_to(ROOT)} is not up to date; run tools/contract.py")
    else:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
