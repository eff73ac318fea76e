"""Where things are."""
import pathlib

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
PEERS = BENCHMARKS / "peers"
RESULTS = BENCHMARKS / "results"
# Everything built or downloaded; ignored by git.
BUILD = ROOT / ".build-peers"


class Unavailable(Exception):
    """A peer or tool that this machine cannot have; says why."""
