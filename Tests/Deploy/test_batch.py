"""The job of Examples/batch.py against replicas that have little room, are restarted and killed: every image once, and right."""
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from balancers import wait_until
from server import ROOT, Server

COUNT = 120


def written(folder, rows, width):
    """-> files of features of so many tokens."""
    draw = np.random.default_rng(7)
    (folder / "images").mkdir()
    paths = []
    for number in range(COUNT):
        path = folder / "images" / f"{number:03}.npy"
        np.save(path, draw.standard_normal((rows, width), dtype=np.float32))
        paths.append(str(path))
    return paths


@pytest.fixture
def images(folder):
    return written(folder, 144, 64)


@pytest.fixture
def large_images(folder):
    """Which take a replica long enough that others come meanwhile."""
    return written(folder, 576, 512)


def replica(path, *flags):
    return Server("--listen", f"unix:{path}", "--event-loops", "1", "--compute-threads", "1", "--access-log", "off", *flags)


def job(folder, replicas, images, *flags):
    words = [word for path in replicas for word in ("--replica", f"unix:{path}")]
    return subprocess.Popen(
        [sys.executable, ROOT / "Examples" / "batch.py", *words, "--tensor", "image_features", "--method", "divprune", "--keep-tokens",
         "36", "--grid", "12x12", "--out", folder / "kept.jsonl", *flags, *images],
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}, stderr=subprocess.PIPE, text=True)


def lines(folder):
    path = folder / "kept.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def check(folder, images, *flags):
    """Every image once, with the indices that one replica gives alone."""
    found = {line["file"]: line["kept_indices"] for line in lines(folder)}
    assert len(lines(folder)) == len(images) and sorted(found) == images
    (folder / "alone").mkdir()
    with replica(folder / "alone.sock"):
        alone = job(folder / "alone", [folder / "alone.sock"], images[:10], "--processes", "1", *flags)
        assert alone.wait(timeout=120) == 0
    for line in lines(folder / "alone"):
        assert found[line["file"]] == line["kept_indices"] and len(line["kept_indices"]) == 36


def test_a_job_waits_where_replicas_have_no_room_and_loses_nothing(folder, large_images):
    paths = [folder / "1.sock", folder / "2.sock"]
    with replica(paths[0], "--max-in-flight", "1"), replica(paths[1], "--max-in-flight", "1"):
        running = job(folder, paths, large_images, "--processes", "8", "--grid", "24x24")
        said = running.communicate(timeout=170)[1]
        assert running.returncode == 0, said
    print(said.splitlines()[-1], flush=True)
    assert f"{COUNT} of {COUNT} images" in said and "no room" in said
    check(folder, large_images, "--grid", "24x24")


def test_a_job_outlives_a_restart_and_a_kill_of_its_replicas(folder, images):
    paths = [folder / "1.sock", folder / "2.sock"]
    first, second = replica(paths[0]), replica(paths[1])
    try:
        running = job(folder, paths, images * 1, "--processes", "4")
        wait_until(lambda: len(lines(folder)) >= 10, "images are done", seconds=60)
        assert first.stop() == 0
        first = replica(paths[0])
        second.process.kill()
        second.process.wait()
        second = replica(paths[1])
        said = running.communicate(timeout=170)[1]
        assert running.returncode == 0, said
    finally:
        for server in (first, second):
            server.process.kill()
            server.process.wait()
    print(said.splitlines()[-1], flush=True)
    check(folder, images)


def test_a_job_that_was_stopped_goes_on_where_it_was(folder, images):
    path = folder / "1.sock"
    with replica(path):
        running = job(folder, [path], images, "--processes", "2")
        wait_until(lambda: len(lines(folder)) >= 5, "images are done", seconds=60)
        running.send_signal(signal.SIGKILL)
        running.wait()
        before = len(lines(folder))
        # As a write that was cut off leaves it.
        with (folder / "kept.jsonl").open("a") as out:
            out.write('{"file": "')
        again = job(folder, [path], images, "--processes", "2")
        said = again.communicate(timeout=170)[1]
        assert again.returncode == 0 and f"{before} images are done already" in said, said
    check(folder, images)


def test_an_image_that_is_refused_is_told_and_the_others_are_done(folder, images):
    np.save(images[3], np.zeros((100, 64), dtype=np.float32))
    (folder / "images" / "004.npy").write_bytes(b"nothing")
    path = folder / "1.sock"
    with replica(path):
        running = job(folder, [path], images[:10], "--processes", "2")
        said = running.communicate(timeout=100)[1]
    assert running.returncode == 1 and "2 rejected" in said
    wrong = {line["file"]: line["error"] for line in lines(folder) if "error" in line}
    assert set(wrong) == {images[3], images[4]} and "100" in wrong[images[3]] and len(lines(folder)) == 10


def test_a_job_without_any_replica_ends_and_says_so(folder, images):
    running = job(folder, [folder / "nobody.sock"], images[:3], "--processes", "1", "--patience", "1")
    begin = time.monotonic()
    said = running.communicate(timeout=60)[1]
    assert running.returncode != 0 and "no answer in 1.0 s" in said and time.monotonic() - begin < 50


@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")
def test_ray_data_does_the_same_job_and_goes_on_where_it_was_stopped(folder, images):
    """On a cluster that Ray starts for it on this machine, against replicas with little room."""
    paths = [folder / "1.sock", folder / "2.sock"]
    with replica(paths[0], "--max-in-flight", "1"), replica(paths[1], "--max-in-flight", "1"):
        for files, before in ((images[:30], "30 of 30 images"), (images, "30 images are done already")):
            running = job(folder, paths, files, "--processes", "2", "--ray")
            said = running.communicate(timeout=300)[1]
            assert running.returncode == 0 and before in said, said
    check(folder, images)
