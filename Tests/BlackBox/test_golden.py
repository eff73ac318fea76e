"""Golden cases as a client sends them: the committed ones, and those made by the authors' own code where they are at hand.

The unit tests ask the methods themselves; here the tensors pass through a format, the reading of their axes and the
inferred layout before the same tokens must come back.
"""
import json
import os
import pathlib
import sys

import numpy as np
import pytest
from bodies import safetensors_bytes
from wire import request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "golden"))
from casefile import decode  # noqa: E402

FOLDERS = [ROOT / "Tests" / "Golden"]
if os.environ.get("CROP_GOLDEN_DIR"):
    FOLDERS.append(pathlib.Path(os.environ["CROP_GOLDEN_DIR"]))
# Folders of parts that are no method: the unit tests compare them.
PARTS = {"localization", "merge", "models", "vicrop", "fastdpp_openvino", "evs_positions"}
FILES = [
    file
    for folder in FOLDERS
    for file in sorted(folder.glob("*/*.safetensors"))
    if file.parent.name not in PARTS
]


class Case:
    def __init__(self, file):
        tensors, metadata = decode(file.read_bytes())
        self.method = metadata["method"]
        self.parameters, self.expected, self.flags = (
            json.loads(metadata[key]) for key in ("parameters", "expected", "flags")
        )
        self.tensors = {name: array for name, array in tensors.items() if not name.startswith("expected.")}
        self.features = tensors.get("expected.features")

    @property
    def merges(self):
        return self.features is not None or "sizes" in self.expected

    def post(self, connection):
        parameters = {"method": self.method, **self.parameters}
        if self.tensors.get("attention", np.empty(0)).ndim == 3:
            # Of one image: heads, queries, tokens.
            parameters["axes"] = {"attention": "hqn"}
        if "hidden_states" in self.tensors:
            # They have rows of the text too.
            parameters["layout"] = {"type": "raw", "tokens": self.expected["token_count"]}
        body = safetensors_bytes(self.tensors, parameters)
        target = "/compress" if self.merges else "/prune"
        fields = [("Content-Type", "application/vnd.safetensors"), ("Accept", "application/json")]
        return connection.exchange(request("POST", target, fields, body))

    def rows(self, answer):
        """The merged rows of a response in JSON."""
        features = answer["features"]
        return np.array(features["data"]).reshape(features["shape"])


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_the_golden_tokens_come_back(connection, file):
    case = Case(file)
    if case.flags.get("documents_bug") or case.flags.get("batch_normalised"):
        pytest.skip("pins a fault of the authors' code")
    answer = case.post(connection)
    if "refused_at" in case.expected:
        assert answer.status == 422 and answer.json["pointer"] == case.expected["refused_at"], answer.body
        return
    assert answer.status == 200, answer.body
    compare(case, answer.json)


def compare(case, answer):
    expected, ties = case.expected, case.flags.get("has_exact_ties")
    kept = answer["kept_indices"]
    if case.flags.get("tie_at_the_cut"):
        certain, tied = set(expected["tie_free_kept_indices"]), set(expected["tied_indices"])
        assert len(kept) == case.parameters["keep_tokens"] and certain <= set(kept) <= certain | tied
    elif "kept_pairs" in expected:
        assert sorted(index // 2 for index in kept) == expected["kept_pairs"]
    elif "kept_indices" in expected:
        accepted = [expected[key] for key in ("kept_indices", "alternative_kept_indices") if key in expected]
        assert sorted(kept) in accepted
    if not case.merges:
        return
    if ties:
        if "sizes" in expected:
            assert sorted(answer["sizes"]) == sorted(expected["sizes"])
        assert len(case.rows(answer)) == len(case.features)
        return
    for key, name in (("kept_in_row_order", "kept_indices"), ("sizes", "sizes")):
        if key in expected:
            assert answer[name] == expected[key], key
    if "assignments" in expected:
        assert answer["assignments"] == expected["assignments"]
    if case.features is not None:
        tolerance = case.flags.get("feature_tolerance", 2e-5) * max(1, np.abs(case.features).max())
        np.testing.assert_allclose(case.rows(answer), case.features, rtol=0, atol=tolerance)
