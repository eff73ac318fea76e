"""Inputs that reports of strangers led to: each is answered as its sender meant it, or refused with what to send."""
import os
import pathlib

import pytest
from wire import Connection, request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SIBLING = ROOT.parent / "shared" / "cases"
FOLDERS = [ROOT / "Tests" / "Cases"]
if os.environ.get("CROP_CASES"):
    FOLDERS.append(pathlib.Path(os.environ["CROP_CASES"]))
elif SIBLING.is_dir():
    FOLDERS.append(SIBLING)

TOPK = "/prune?method=topk&keep_tokens="
POINT = 1 / 24


def kept(*indices):
    return lambda answer: answer["kept_indices"] == list(indices)


def boxes(*expected):
    """The regions are these boxes, in shares of the image, clipped to it."""

    def check(answer):
        found = [region["box"] for region in answer["regions"]]
        return len(found) == len(expected) and all(
            abs(a - b) < 1e-9 for box, numbers in zip(found, expected) for a, b in zip(box, numbers)
        )

    return check


def point(x, y):
    return boxes([x - POINT / 2, y - POINT / 2, x + POINT / 2, y + POINT / 2])


def says(*words):
    return lambda answer: all(word in answer["detail"] for word in words)


def positions(rows):
    return lambda answer: len(answer["position_ids"]) == rows and all(
        len(row) == len(answer["kept_indices"]) for row in answer["position_ids"]
    )


def stages(*counts):
    return lambda answer: [stage["keep_tokens"] for stage in answer["stages"]] == list(counts)


def without_newlines(answer):
    return all(
        answer["assignments"][token] == -1 and token not in answer["kept_indices"] for token in (600, 625, 650, 675)
    )


def within_images(answer):
    return answer["image_rows"] == [2, 2] and answer["assignments"] == [0, 1, 2, 3]


def cogvlm(answer):
    return boxes([0.097, 0.514, 0.283, 0.996], [0.3, 0.1, 0.5, 0.4])(answer)


# File, target, status, what the answer must be.
CASES = [
    ("a1-compress-two-images.json", "/compress", 200, within_images),
    ("a2-plan-schedule-two-images.json", "/plan", 200, stages(26, 13, 6)),
    ("a2b-plan-schedule-four-images.json", "/plan", 200, stages(32, 16, 8)),
    ("a3-compress-newlines.safetensors", "/compress", 200, without_newlines),
    ("a4-evs-image-and-video.json", "/prune", 422, lambda answer: answer["pointer"] == "/layout"),
    ("b1-base64-plain-accepted.json", "/prune", 200, kept(2)),
    ("b1-base64-escaped-slash.json", "/prune", 200, kept(2)),
    ("b1-base64-escaped-plus.json", "/prune", 200, kept(2)),
    ("b1-base64-mime-lines.json", "/prune", 200, kept(2)),
    ("b2-bom.json", "/prune", 200, kept(2)),
    ("b2-utf16.json", "/prune", 400, says("UTF-16")),
    ("b3-b4-plain.json", TOPK + "1&explain=True", 200, lambda answer: "explanation" in answer),
    ("b4-seed.json", "/prune", 200, lambda answer: len(answer["kept_indices"]) == 1),
    ("c1-decimals-as-thousandths.json", "/localize", 422, says("qwen3_vl", "normalized")),
    ("c2-think-drafts.json", "/localize", 200, boxes([0.299, 0.346, 0.427, 0.901])),
    ("c3-two-boxes-one-tag.json", "/localize", 200, boxes([0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8])),
    ("c4-box_2d-small.json", "/localize", 200, boxes([0.002, 0, 0.004, 0.005])),
    ("c4-prose.json", "/localize", 422, says("no box")),
    ("c5-cogvlm-shikra.json", "/localize", 200, cogvlm),
    ("c5-deepseek-vl2.json", "/localize", 200, boxes([220 / 999, 416 / 999, 417 / 999, 720 / 999])),
    ("c5-gemini.json", "/localize", 200, boxes([0.323, 0.118, 0.444, 0.825])),
    ("c5-glm.json", "/localize", 200, boxes([0.11, 0.147, 0.193, 0.823])),
    ("c5-kosmos2.json", "/localize", 200, boxes([12.5 / 32, 1.5 / 32, 31.5 / 32, 26.5 / 32])),
    ("c5-minicpm.json", "/localize", 200, boxes([0.1, 0.2, 0.3, 0.4])),
    ("c5-molmo.json", "/localize", 200, point(0.635, 0.445)),
    ("c5-moondream.json", "/localize", 200, boxes([0.1, 0.2, 0.3, 0.4])),
    ("c5-qwen-vl-1.json", "/localize", 200, boxes([0.1, 0.2, 0.3, 0.4])),
    ("c5-tuple.json", "/localize", 200, boxes([0.1, 0.2, 0.3, 0.4])),
    ("c5-videollama3.json", "/localize", 200, boxes([0.476, 0.496, 0.698, 0.728])),
    ("d1-evs-without-frames.json", "/prune", 422, says("frames", "video")),
    ("d2-position-ids-3-1-N.safetensors", "/prune", 200, positions(3)),
    ("d2-position-ids-4-N.safetensors", "/prune", 200, positions(4)),
    ("d3-metadata-parameters-ignored.safetensors", "/prune", 200, lambda answer: answer["method"] == "divprune"),
    ("d3-metadata-parameters-ignored.safetensors", "/prune?keep_tokens=4", 422, says("keep_tokens", "query string")),
    ("e1-method-parameter-at-top.json", "/prune", 422, says("frames", "belongs in method_parameters")),
    ("e2-gqa-query-28-1-d.safetensors", "/localize", 200, lambda answer: answer["read"]["heads"] == 28),
    (
        "e3-cls-row-577.npy",
        '/prune?method=fastervlm&keep_tokens=64&layout={"type":"llava","image_size":[640,480]}',
        422,
        says("577 = 24 x 24 + 1", "[CLS]"),
    ),
    ("e3-cls-row-577.npy", TOPK + "64", 200, lambda answer: "577 = 24 x 24 + 1" in str(answer["warnings"])),
    ("e3-gzip-without-header.npy.gz", TOPK + "2", 415, says("Content-Encoding: gzip")),
    ("e5-metadata-null.safetensors", TOPK + "2", 200, lambda answer: len(answer["kept_indices"]) == 2),
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("name, target, status, check", CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_case(server, folder, name, target, status, check):
    path = folder / name
    if not path.exists():
        pytest.skip(f"{folder} has no {name}")
    target = target.replace('"', "%22").replace("{", "%7B").replace("}", "%7D").replace("[", "%5B").replace("]", "%5D")
    with Connection(server.port) as connection:
        answer = connection.exchange(request("POST", target, [("Accept", "application/json")], path.read_bytes()))
    assert answer.status == status, answer.body
    assert check(answer.json), answer.json


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_file_has_a_case(folder):
    named = {case[0] for case in CASES}
    files = {path.name for path in folder.iterdir() if path.name != "README.md"}
    assert files <= named and (files == named or folder != FOLDERS[0])
