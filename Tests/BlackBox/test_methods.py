"""Every method that GET /methods names: the same answer over HTTP, in every format, and over the command line."""
import json
import urllib.parse

import numpy as np
import pytest
import safetensors.numpy
from bodies import json_bytes, npy, safetensors_bytes
from server import Server, crop
from wire import Connection, request

TOKENS, SIDE, WIDTH, WORDS, HEADS = 36, 6, 8, 5, 2


def listed():
    """-> the descriptors, in the order of the registry."""
    with Server() as server, Connection(server.port) as connection:
        return connection.exchange(request(target="/methods")).json["methods"]


def tensor(name):
    """A tensor of that name that fits all others, distinct numbers throughout."""
    shapes = {
        "attention": (HEADS, WORDS, TOKENS), "reference_attention": (HEADS, TOKENS), "early_attention": (HEADS, TOKENS),
        "image_features": (TOKENS, WIDTH), "relevance_features": (TOKENS, WIDTH), "text_features": (WORDS, WIDTH),
        "key": (HEADS, TOKENS, WIDTH), "text_key": (HEADS, WORDS, WIDTH), "hidden_states": (TOKENS + WORDS, WIDTH),
        "encoder_features": (TOKENS, WIDTH), "pixel_values": (4 * TOKENS, WIDTH),
        "value_states": (HEADS, TOKENS + WORDS, WIDTH), "query": (HEADS, WIDTH), "norm_weight": (WIDTH,),
        "query_weight": (64, WIDTH), "key_weight": (64, WIDTH), "query_bias": (64,), "key_bias": (64,)}
    if name == "sizes":
        return np.arange(1, TOKENS + 1, dtype=np.float32) % 3 + 1
    if name == "position_ids":
        return np.arange(TOKENS, dtype=np.float32)
    if name == "padding_mask":
        return (np.arange(TOKENS) % 5 == 0).astype(np.float32)
    if name == "text_raters":
        return np.arange(WORDS, dtype=np.float32) % 2
    values = np.random.default_rng(sum(name.encode())).standard_normal(shapes[name]).astype(np.float32)
    return np.abs(values) if "attention" in name else values


METHODS = {method["name"]: method for method in listed()}


def bodies(name):
    """-> tensors of a request: those the method cannot do without, and all it may use."""
    method = METHODS[name]
    required, optional = method["required_inputs"], method["optional_inputs"]
    if required or not optional:
        yield "required", required
    yield "all", required + optional
    # What only counts where another tensor is absent.
    yield "late", [each for each in required + optional if each != "attention" or each in required]


CASES = [(name, kind, tensors) for name in METHODS for kind, tensors in bodies(name)]
OPTIONS = {"keep_tokens": 9, "seed": 5}


def layout(name):
    """A grid, or the frames without which evs has nothing to compare."""
    if name == "evs":
        return {"type": "video", "frames": 4, "rows": 3, "columns": 3}
    return {"type": "grid", "rows": SIDE, "columns": SIDE}


def answer(connection, path, body, accept="application/json"):
    got = connection.exchange(request("POST", path, [("Accept", accept)], body))
    assert got.status == 200, got.body
    return got


def close(first, second):
    """Whether two answers are one, numbers that went through text included."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(close(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(close, first, second))
    return first == second


@pytest.mark.parametrize("name, kind, names", CASES, ids=[f"{name}-{kind}" for name, kind, _ in CASES])
@pytest.mark.parametrize("operation", ["prune", "compress"])
def test_a_method_answers_the_same_everywhere(connection, tmp_path, operation, name, kind, names):
    names = [*dict.fromkeys([*names, "image_features"] if operation == "compress" else names)]
    tensors = {each: tensor(each) for each in names}
    parameters = {**OPTIONS, "method": name, "layout": layout(name), "batched": False}
    path = f"/{operation}"
    first = answer(connection, path, safetensors_bytes(tensors, parameters)).json
    assert len(first["kept_indices"]) == 9 == len(set(first["kept_indices"]))
    # /compress answers by `crop` name the way of its anchors instead.
    assert first.get("method", "crop") == name
    assert close(answer(connection, path, json_bytes(tensors, parameters)).json, first)
    query = f"{path}?method={name}&keep_tokens=9&seed=5&batched=false&layout={urllib.parse.quote(json.dumps(layout(name)))}"
    assert close(answer(connection, query, safetensors_bytes(tensors)).json, first)
    binary = safetensors.numpy.load(
        answer(connection, path, safetensors_bytes(tensors, parameters), "application/x-safetensors").body)
    assert binary["kept_indices"].tolist() == first["kept_indices"]
    if operation == "compress":
        assert np.array_equal(
            binary["features"].ravel(), np.asarray(first["features"]["data"], np.float32).ravel())

    whole = tmp_path / "request.safetensors"
    whole.write_bytes(safetensors_bytes(tensors, parameters))
    done = crop(operation, whole, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert close(without_features(json.loads(done.stdout)), without_features(first))
    if tensors:
        files = []
        for each, array in tensors.items():
            files.append(tmp_path / f"{each}.npy")
            files[-1].write_bytes(npy(array))
        done = crop(operation, *files, "--method", name, "--keep-tokens", 9, "--seed", 5, "--layout", json.dumps(layout(name)),
                    "--parameters", json.dumps({"batched": False}), "--format", "json")
        assert done.returncode == 0, done.stderr
        assert close(without_features(json.loads(done.stdout)), without_features(first))


def without_features(members):
    return {name: value for name, value in members.items() if name != "features"}


@pytest.mark.parametrize("name", METHODS)
def test_an_image_alone_is_the_image_in_a_batch(connection, name):
    """Regular and ragged; every image has its own tensors."""
    method = METHODS[name]
    names = method["required_inputs"] or method["optional_inputs"][:1] or ["attention"]
    sides = (SIDE, SIDE + 1, SIDE)
    images = []
    for side in sides:
        count, image = side * side, {}
        extents = {TOKENS: count, TOKENS + WORDS: count + WORDS, 4 * TOKENS: 4 * count}
        for each in names:
            shape = tuple(extents.get(extent, extent) for extent in tensor(each).shape)
            values = np.random.default_rng(len(images) * 100 + sum(each.encode())).standard_normal(shape)
            image[each] = (np.abs(values) if "attention" in each else values).astype(np.float32)
        images.append(image)
    options = {"method": name, "keep_tokens": 9, "seed": 5}
    if name == "evs":
        options["method_parameters"] = {"frames": 1}
    # Tensors of a whole sequence, or of patches, do not tell how many tokens there are.
    layouts = [{"type": "grid", "rows": side, "columns": side} for side in sides]
    alone = [
        answer(connection, "/prune", safetensors_bytes(image, {**options, "batched": False, "layout": layout})).json
        for image, layout in zip(images, layouts)]
    ragged = {f"{each}.{index}": array for index, image in enumerate(images) for each, array in image.items()}
    regular = {each: np.stack([images[0][each], images[2][each]]) for each in names}
    together = answer(connection, "/prune", safetensors_bytes(ragged, {**options, "layout": layouts})).json
    assert together["kept_indices"] == [each["kept_indices"] for each in alone]
    assert together["batched"] is True
    pair = answer(connection, "/prune", safetensors_bytes(regular, {**options, "batched": True, "layout": layouts[0]})).json
    assert pair["kept_indices"] == [alone[0]["kept_indices"], alone[2]["kept_indices"]]


@pytest.mark.parametrize("name", METHODS)
def test_a_page_names_everything(connection, name):
    """Of the command line; the server's is the JSON the test reads it from."""
    method = METHODS[name]
    assert connection.exchange(request(target=f"/methods/{name}")).json == method
    done = crop("methods", name)
    assert done.returncode == 0
    wanted = [method["summary"], method["keep_tokens"], method["paper"] or "", *method["deviations"]]
    wanted += method["required_inputs"] + method["optional_inputs"]
    for parameter in method["parameters"]:
        wanted += [parameter["name"], parameter["summary"], json.dumps(parameter["default"]).strip('"')]
        wanted += [str(parameter[bound]) for bound in ("minimum", "maximum") if parameter["type"] == "integer"]
        wanted += parameter.get("enum", [])
    wanted += [schedule["name"] for schedule in method["schedules"]]
    for text in wanted:
        assert text in done.stdout, text
    assert json.loads(crop("methods", name, "--format", "json").stdout) == method


def test_the_list_has_a_line_for_every_method():
    lines = crop("methods").stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(METHODS)


@pytest.mark.parametrize("name, schedule", [
    (name, schedule["name"]) for name, method in METHODS.items() for schedule in method["schedules"]])
def test_a_published_schedule_gives_its_counts(connection, name, schedule):
    published = next(each for each in METHODS[name]["schedules"] if each["name"] == schedule)
    count = published["token_count"] or 576
    body = safetensors_bytes({"attention": np.random.default_rng(1).random((2, count), np.float32)})
    stages = answer(connection, f"/prune?method={name}&stages={schedule}", body).json["stages"]
    wanted = [
        (stage["layer"], stage.get("keep_tokens", int(stage.get("keep_ratio", 0) * count)))
        for stage in published["stages"]]
    assert [(stage["layer"], stage["keep_tokens"]) for stage in stages] == wanted
    side = int(count**0.5)
    plan = json.dumps(
        {"method": name, "stages": schedule, "layout": {"type": "grid", "rows": side, "columns": side}}).encode()
    planned = answer(connection, "/plan", plan).json["stages"]
    assert [(stage["layer"], stage["keep_tokens"]) for stage in planned] == wanted
