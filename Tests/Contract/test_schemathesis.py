"""schemathesis makes requests of openapi.yaml, right ones and wrong ones, and compares what comes back with it."""
import json
import os
import pathlib
import subprocess
import sys

from conftest import KEY, ROOT

HERE = pathlib.Path(__file__).resolve().parent
# The phase that tries each value of each parameter by itself makes 80,000 requests, which take minutes: `make test-contract`.
IS_WHOLE = os.environ.get("CROP_CONTRACT") == "whole"
PHASES, EXAMPLES, LEAST = ("examples,coverage,fuzzing,stateful", 100, 50_000) if IS_WHOLE else ("examples,fuzzing,stateful", 10, 500)


def test_the_server_does_what_the_contract_says(guarded_server, document, tmp_path):
    report = tmp_path / "report.json"
    command = [
        pathlib.Path(sys.executable).with_name("st"), "--config-file", HERE / "schemathesis.toml", "run", ROOT / "web/openapi.json",
        "--url", guarded_server.url, "--phases", PHASES, "--max-examples", EXAMPLES, "--no-color",
        "--report", "json", "--report-json-path", report]
    # Hooks are a module beside this one; sets of strings have one order, so that the cases are the same each time.
    environment = {
        **os.environ, "CROP_CONTRACT_KEY": KEY, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*map(str, command)], cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-30_000:]
    found = json.loads(report.read_text())
    operations = {f"{method} {path}" for method, path, _ in document.operations()}
    assert found["complete"] and found["operations"]["tested"] == len(operations)
    assert found["test_cases"]["generated"] >= LEAST
    # Not everything was rejected: responses of success were compared as well.
    accepted = {name for name, phases in found["valid_rates"].items() if any(phase["accepted"] for phase in phases.values())}
    # A region is there between two other requests; test_examples.py makes them.
    assert operations - accepted <= {"GET /v2/systemsharedmemory/region/{region}/status"}
    print(f"{found['test_cases']['generated']} requests in {found['running_time']:.0f} s")
