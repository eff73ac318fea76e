"""The running service, and what it is asked: which tokens to keep, and where the region is."""
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import warnings

from . import scenes
from .weights import REPOSITORY

sys.path.insert(0, os.path.join(REPOSITORY, "clients", "python", "src"))

import crop_client  # noqa: E402
from crop_client import layouts  # noqa: E402

GRID = layouts.grid(scenes.GRID, scenes.GRID)


def connect(url):
    return crop_client.Client(url, timeout=120)


@contextlib.contextmanager
def running(binary, models=None):
    """The address and a client of a server started for the occasion, on a socket file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "crop.sock")
        command = [binary, "serve", "--listen", f"unix:{path}", "--access-log", "off", "--compute-timeout", "60s"]
        if models:
            command += ["--models", models]
        log = open(os.path.join(folder, "log"), "w+")
        # Every variable CROP_... is a setting to the server, or unknown to it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CROP_")}
        server = subprocess.Popen(command, stderr=log, env=environment)
        client = connect(f"unix:{path}")
        try:
            deadline = time.monotonic() + 30
            while not (os.path.exists(path) and client.is_ready()):
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"crop serve did not start:\n{log.read()}")
                time.sleep(0.02)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", crop_client.CropWarning)
                yield f"unix:{path}", client
        finally:
            client.close()
            server.terminate()
            server.wait(30)
            log.close()


def kept(client, count, keep, method, **arguments):
    """[count][keep] indices: one call for `count` images or questions, each with a budget of `keep` tokens."""
    answer = client.prune(layout=[GRID] * count, keep_tokens=keep, method=method, **arguments)
    return [one.kept_indices for one in answer.per_image]


def regions(client, features, texts, **localize):
    """Inclusive blocks per row, None for the whole image, from the loaded localizer."""
    answer = client.localize(layout=[GRID] * len(texts), image_features=features, text_features=texts,
                             localize=dict(source="model", **localize))
    return [None if one.whole_image else one.regions[0]["blocks"] for one in answer.per_image]
