"""The clients people use, with the habits they have."""
import asyncio
import io
import json
import subprocess
import time

import aiohttp
import httpx
import numpy as np
import pytest
import requests
import safetensors.numpy
from bodies import PRUNE, TINY, TINY_KEPT, features, json_bytes, npy, numbers, safetensors_bytes
from wire import Connection, request


def curl(*arguments, stdin=None):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *map(str, arguments)], capture_output=True, timeout=30, input=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


ATTENTION = numbers(24 * 24)


@pytest.fixture(scope="module")
def kept():
    return np.sort(np.argsort(-ATTENTION, kind="stable")[:64]).tolist()


def url(server, extra=""):
    return f"{server.url}/prune?method=topk&keep_tokens=64{extra}"


@pytest.mark.parametrize("form, extra", [("npy", "&tensor=attention"), ("safetensors", ""), ("json", "")])
def test_curl_data_binary_without_a_content_type(server, tmp_path, kept, form, extra):
    """curl claims application/x-www-form-urlencoded: the first bytes decide."""
    body = {"npy": npy(ATTENTION), "safetensors": safetensors_bytes({"attention": ATTENTION}),
            "json": json_bytes({"attention": ATTENTION})}[form]
    path = tmp_path / f"request.{form}"
    path.write_bytes(body)
    assert json.loads(curl("--data-binary", f"@{path}", url(server, extra)))["kept_indices"] == kept


def test_curl_json(server, tmp_path, kept):
    path = tmp_path / "request.json"
    path.write_bytes(json_bytes({"attention": ATTENTION}))
    types = ["-H", "Content-Type: application/json", "-H", "Accept: application/json"]  # what --json stands for
    assert json.loads(curl(*types, "--data", f"@{path}", url(server)))["kept_indices"] == kept


def test_curl_forms(server, tmp_path, kept):
    path = tmp_path / "x.npy"
    path.write_bytes(npy(ATTENTION))
    file = ["-F", f"attention=@{path}"]
    everything = tmp_path / "p.json"
    everything.write_text('{"method": "topk", "keep_tokens": 64}')
    for fields in (["-F", 'parameters={"method": "topk", "keep_tokens": 64}'],
                   ["-F", f"parameters=@{everything};type=application/json"],
                   ["-F", "method=topk", "-F", "keep_tokens=64"], ["--form-string", "method=topk", "-F", "keep_tokens=64"]):
        assert json.loads(curl(*file, *fields, f"{server.url}/prune"))["kept_indices"] == kept
        assert json.loads(curl(*fields, *file, f"{server.url}/prune"))["kept_indices"] == kept
    assert json.loads(curl("-F", f"attention=@{path};type=application/x-npy", url(server)))["kept_indices"] == kept
    path.write_bytes(safetensors_bytes({"attention": ATTENTION}))
    assert json.loads(curl(*file, url(server)))["kept_indices"] == kept
    array = features(576, 1024)
    path.write_bytes(npy(array))  # 2.4 MB: curl waits for 100 Continue
    answer = json.loads(curl("-F", f"image_features=@{path}", "-F", 'parameters={"keep_tokens":64,"method":"divprune"}',
                             f"{server.url}/prune"))
    assert answer["keep_tokens"] == 64 == len(answer["kept_indices"])


def test_forms_of_python_clients(server, kept):
    body, target = npy(ATTENTION), f"{server.url}/prune"
    values = {"method": "topk", "keep_tokens": 64}
    for post in (requests.post, httpx.post):
        for files, data in [
                ({"attention": body}, values), ({"attention": io.BytesIO(body)}, {"parameters": json.dumps(values)}),
                ({"attention": ("ein Bild \"1\" \u00e9.npy", body, "application/x-npy"),
                  "parameters": (None, json.dumps(values), "application/json")}, None)]:
            answer = post(target, files=files, data=data, timeout=10)
            assert answer.status_code == 200 and answer.json()["kept_indices"] == kept
        images = {f"attention.{n}": npy(ATTENTION[:100 + n]) for n in range(3)}
        answer = post(target, files=images, data={**values, "keep_tokens": 5}, timeout=10).json()
        assert [len(indices) for indices in answer["kept_indices"]] == [5, 5, 5]
        answer = post(target, files={"image_features": ("cat.jpg", b"\xff\xd8\xff\xe0rest", "image/jpeg")}, timeout=10)
        assert answer.status_code == 415 and "docs/tensors.md" in answer.json()["detail"]
        answer = post(target, files={"attention": body}, headers={"Content-Type": "multipart/form-data"}, timeout=10)
        assert answer.status_code == 400 and "boundary" in answer.json()["detail"]


def test_forms_of_aiohttp(server, kept):
    async def post():
        form = aiohttp.FormData()
        form.add_field("attention", npy(ATTENTION), filename="attention.npy")
        form.add_field("parameters", json.dumps({"method": "topk", "keep_tokens": 64}), content_type="application/json")
        form.add_field("explain", "false")
        async with aiohttp.ClientSession() as session, session.post(f"{server.url}/prune", data=form) as answer:
            return await answer.json()
    assert asyncio.run(post())["kept_indices"] == kept


def test_curl_chunked_upload_from_standard_input(server, kept):
    answer = curl("-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/x-npy", "--data-binary", "@-",
                  url(server, "&tensor=attention"), stdin=npy(ATTENTION))
    assert json.loads(answer)["kept_indices"] == kept


def test_curl_of_5_mb_does_not_stall_on_expect(server, tmp_path):
    """curl sends Expect: 100-continue with a large body and waits a second when nothing comes."""
    path = tmp_path / "attention.npy"
    path.write_bytes(npy(np.random.default_rng(1).random((2300, 576), dtype=np.float32)))
    assert path.stat().st_size > 5_000_000
    target = url(server, "&tensor=attention")
    seconds = min(
        float(curl("-o", "/dev/null", "-w", "%{time_total}", "-H", "Expect: 100-continue", "--data-binary", f"@{path}",
                   target)) for _ in range(3))
    assert seconds < 0.7
    assert curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect: 100-continue", "--data-binary", f"@{path}",
                target) == b"200"


def test_curl_head_and_options(server):
    assert b"200" in curl("-I", f"{server.url}/livez")
    assert b"Allow: OPTIONS, POST" in curl("-i", "-X", "OPTIONS", f"{server.url}/prune")


def test_requests_session(server, kept):
    """`data=bytes` comes without any Content-Type, on one kept-alive connection."""
    with requests.Session() as session:
        for _ in range(3):
            answer = session.post(url(server, "&tensor=attention"), data=npy(ATTENTION), timeout=10)
            assert answer.status_code == 200 and answer.json()["kept_indices"] == kept
        answer = session.post(url(server), json={"attention": ATTENTION.tolist()}, timeout=10)
        assert answer.json()["kept_indices"] == kept
        chunks = iter([npy(ATTENTION)[:100], npy(ATTENTION)[100:]])
        assert session.post(url(server, "&tensor=attention"), data=chunks, timeout=10).json()["kept_indices"] == kept
        answer = session.post(url(server), data=b"{}", timeout=10)
        assert answer.status_code == 422 and "send a tensor" in answer.json()["error"]
        assert session.head(f"{server.url}/livez", timeout=10).ok
        assert session.options(f"{server.url}/prune", timeout=10).headers["Allow"] == "OPTIONS, POST"


def test_httpx(server, kept):
    with httpx.Client(timeout=10) as client:
        for _ in range(3):
            answer = client.post(url(server), content=safetensors_bytes({"attention": ATTENTION}))
            assert answer.status_code == 200 and answer.json()["kept_indices"] == kept
        assert client.get(f"{server.url}/methods").json()["methods"]


def test_aiohttp_many_at_once(server, kept):
    async def run():
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session:
            async def one():
                async with session.post(url(server, "&tensor=attention"), data=npy(ATTENTION)) as answer:
                    assert answer.status == 200
                    return (await answer.json())["kept_indices"]
            return await asyncio.gather(*(one() for _ in range(64)))

    assert all(answer == kept for answer in asyncio.run(run()))


# Answers as tensors.


def test_compress_answers_safetensors_with_safetensors(server):
    array = features(64, 16)
    answer = requests.post(
        f"{server.url}/compress?keep_tokens=16", data=safetensors_bytes({"image_features": array}), timeout=10)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/x-safetensors"
    tensors = safetensors.numpy.load(answer.content)
    assert tensors["features"].shape == (16, 16) and tensors["features"].dtype == np.float32
    assert tensors["kept_indices"].dtype == np.int64 and len(tensors["kept_indices"]) == 16
    assert tensors["sizes"].sum() == 64 and len(tensors["assignments"]) == 64
    with safetensors.safe_open(io_file(answer.content), "numpy") as opened:
        assert json.loads(opened.metadata()["response"])["keep_tokens"] == 16


def io_file(data):
    import tempfile
    file = tempfile.NamedTemporaryFile(suffix=".safetensors", delete=False)
    file.write(data)
    file.close()
    return file.name


def test_compress_gives_the_same_features_in_every_format(server):
    array = features(64, 16)
    target = f"{server.url}/compress?keep_tokens=16"
    as_npy = requests.post(target, data=npy(array), timeout=10)
    assert as_npy.headers["Content-Type"] == "application/x-npy"
    rows = np.load(io.BytesIO(as_npy.content))
    as_json = requests.post(target, data=npy(array), headers={"Accept": "application/json"}, timeout=10).json()
    as_safetensors = safetensors.numpy.load(requests.post(
        target, data=npy(array), headers={"Accept": "application/x-safetensors"}, timeout=10).content)
    assert np.array_equal(rows, as_safetensors["features"])
    features_of_json = as_json["features"]
    if isinstance(features_of_json, dict):
        features_of_json = np.reshape(features_of_json["data"], features_of_json["shape"])
    assert np.array_equal(rows, np.asarray(features_of_json, np.float32))
    assert as_json["kept_indices"] == as_safetensors["kept_indices"].tolist()


@pytest.mark.parametrize("accept, media_type", [
    ("application/x-safetensors", "application/x-safetensors"), ("application/x-npy", "application/x-npy"),
    ("*/*", "application/json"), ("application/x-npy;q=0.5, application/json", "application/json"),
    ("text/html", "application/json")])
def test_prune_answers_by_accept(server, kept, accept, media_type):
    answer = requests.post(
        url(server, "&tensor=attention"), data=npy(ATTENTION), headers={"Accept": accept}, timeout=10)
    assert answer.headers["Content-Type"] == media_type
    if media_type.endswith("safetensors"):
        indices = safetensors.numpy.load(answer.content)["kept_indices"].tolist()
    elif media_type.endswith("npy"):
        indices = np.load(io.BytesIO(answer.content)).tolist()
    else:
        indices = answer.json()["kept_indices"]
    assert indices == kept


def test_a_kept_alive_client_is_not_slowed_by_delayed_acknowledgements(server):
    """Head and body of an answer leave together: 40 ms per request would betray Nagle's algorithm."""
    with Connection(server.port) as connection:
        data = request("POST", PRUNE, body=TINY)
        durations = []
        for _ in range(100):
            start = time.monotonic()
            assert connection.exchange(data).json["kept_indices"] == TINY_KEPT
            durations.append(time.monotonic() - start)
        # The lower quartile: a busy machine slows some exchanges, the algorithm would slow all.
        assert sorted(durations)[25] < 0.03, sorted(durations)
