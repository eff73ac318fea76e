"""Every conformance case against our server; tools/conformance.py sends the same ones to others."""
import json
import pathlib
import socket
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Conformance"))
from cases import CASES  # noqa: E402
from client import Target, judge  # noqa: E402


def keeps_two_and_three(body):
    return json.loads(body)["kept_indices"] == [2, 3]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_conformance(server, case):
    def connect():
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    # No case of ours ends by silence, so waiting long for it costs nothing.
    verdict = judge(case, Target("crop", connect, keeps_two_and_three), quiet=15)
    assert verdict.passed, f"RFC {case.section}, {case.reason}: permitted are {case.accept} with {case.checks}, seen was {verdict.seen}"
