"""Every conformance case against our server; tools/conformance.py sends the same ones to others."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Conformance"))
from cases import CASES  # noqa: E402
from client import Target, judge, keeps_two_and_three, tcp  # noqa: E402


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_conformance(server, case):
    # No case of ours ends by silence, so waiting long for it costs nothing.
    verdict = judge(case, Target("crop", tcp("127.0.0.1", server.port), keeps_two_and_three), quiet=15)
    assert verdict.passed, (
        f"RFC {case.section}, {case.reason}: permitted are {case.accept} with {case.checks}, seen was {verdict.seen}")
