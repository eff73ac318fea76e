"""Times the torch references on demand: `inprocess.py` starts this in an interpreter that has torch, numpy and safetensors.

Reads one command a line, `METHOD FILE KEEP REPEATS`, and answers with one JSON object a line, as the program `measure` does.
"""
import json
import sys

from safetensors.numpy import load_file

from . import references
from .stopwatch import timed


def main():
    functions, files = references.torch_functions(), {}
    print(json.dumps({"torch": references.torch_version()}), flush=True)
    for line in sys.stdin:
        try:
            method, path, keep, repeats = line.split()
            if path not in files:
                files = {path: load_file(path)}
            figures = timed(lambda: functions[method](files[path], int(keep)), int(repeats))
            answer = {"seconds": figures["seconds"], "kept": [int(token) for token in figures["result"]]}
        except Exception as error:  # noqa: BLE001: whoever asked is told, and may ask for the next
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
