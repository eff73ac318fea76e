"""What an engine needs from the answer to stay consistent, for two public reports of engines that had to guess it.

vllm 25756: hidden states were pruned at layer 20 of a prefill, and the text came out garbled; which rows of the cache, slots and
positions to change along was what the report asked. sglang 26507: the embeddings of a pruned video came as an object with counts
per frame, and a prefill in chunks, which cuts rows from a tensor, failed on it.
"""
import itertools

import numpy as np
from bodies import features, numbers, safetensors_bytes
from wire import request

TEXT = [4, 6]


def prune(connection, tensors, parameters):
    answer = connection.exchange(request("POST", "/prune", [], safetensors_bytes(tensors, parameters)))
    assert answer.status == 200, answer.body
    return answer.json


def test_stages_inside_the_model_say_rows_positions_and_the_next_position(connection):
    """vllm 25756: of each stage, the rows to gather, the ids they keep, and where decoding goes on."""
    layout = {"layout": {"type": "qwen2_5_vl", "grid_thw": [1, 12, 16]}, "method": "topk", "bookkeeping": {"text_tokens": TEXT}}
    tokens = 48
    whole = prune(connection, {"attention": numbers(tokens)}, {**layout, "keep_tokens": tokens})["bookkeeping"]
    held, ids = list(range(tokens)), np.array(whole["position_ids"])
    # Where the first generated token stands: the same for an engine that prunes nothing.
    following = ids.max() + 1
    assert whole["rope_delta"] == following - ids.shape[1]
    # After layers 2 and 20; attention of the second covers what the first left, as the hidden states do.
    for seed, keep in ((1, 30), (2, 11)):
        previous = {} if len(held) == tokens else {"previous": {"kept_indices": held, "tokens": tokens}}
        answer = prune(
            connection, {"attention": numbers(len(held), seed=seed)}, {**layout, "keep_tokens": keep, **previous})
        # The rows of the engine's own hidden states, keys, values and slots, which hold what is left, not the layout's tokens.
        rows = answer.get("kept_within_previous", answer["kept_indices"])
        assert [held[row] for row in rows] == answer["kept_indices"] and len(rows) == keep
        report = answer["bookkeeping"]
        sequence = [*range(TEXT[0]), *(TEXT[0] + row for row in rows), *range(TEXT[0] + len(held), ids.shape[1])]
        # Gathered by these rows, the ids that the engine has are those of the answer: no token is given a new position.
        ids = ids[:, sequence]
        assert ids.tolist() == report["position_ids"]
        assert ids.shape[1] == TEXT[0] + keep + TEXT[1] and ids.max() + 1 == following
        assert report["rope_delta"] == following - ids.shape[1]
        assert report["placeholder_spans"] == [[TEXT[0], keep]] and report["image_tokens"] == [keep]
        held = answer["kept_indices"]


def test_spans_cut_a_pruned_video_into_chunks(connection):
    """sglang 26507: counts per frame are lists beside the indices, and chunks of any size take the rows between two of them."""
    frames, side = 4, 6
    video = features(frames * side * side, 16, seed=3)
    # A still, and something new in the last frame: frames keep different numbers of tokens.
    video = np.concatenate([video[: side * side]] * (frames - 1) + [video[-side * side :]])
    for family, text in (("qwen2_5_vl", [21, 5]), ("qwen3_vl", [21, 3, 3, 3, 5])):
        layout = {"type": family, "grid_thw": [frames, 2 * side, 2 * side]}
        answer = prune(
            connection, {"image_features": video},
            {"layout": layout, "method": "evs", "keep_ratio": 0.4, "bookkeeping": {"text_tokens": text}})
        kept, report = answer["kept_indices"], answer["bookkeeping"]
        counts = [sum(index // (side * side) == frame for index in kept) for frame in range(frames)]
        assert report["view_tokens"] == counts and report["image_tokens"] == [len(kept)] and len(set(counts)) > 1
        assert report["cu_seqlens"] == [0, *itertools.accumulate(counts)]
        spans = report["placeholder_spans"]
        assert [length for _, length in spans] == (counts if family == "qwen3_vl" else [len(kept)])
        length = sum(text) + len(kept)
        assert all(len(row) == length for row in report["position_ids"])
        for chunk in (1, 7, 16, length):
            taken = []
            for start in range(0, length, chunk):
                rows = 0
                for first, count in spans:
                    low, high = max(start, first), min(start + chunk, first + count)
                    if low < high:
                        taken += kept[rows + low - first : rows + high - first]
                    rows += count
            assert taken == kept
