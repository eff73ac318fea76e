#!/usr/bin/env python3
"""Converts upstream golden vectors into case files: OUT/<method>/<case>.safetensors (layout: casefile.py).

    tools/golden/export.py --vectors DIR --out DIR [--method NAME]...

The vectors are a folder of `<method>.npz` and `inputs.py`, made by running the authors' code. Inputs that an npz
does not store are rebuilt by its `inputs.py`; either way every input is compared to the sha256 in the npz.

Two facts an index list alone would hide are written beside it:
  * where several tokens share the score at the cut, upstream's choice among them means nothing: `tied_indices`
    lists them, `tie_free_kept_indices` what every correct implementation keeps;
  * cases that pin an upstream bug (NaN, exhausted kernel rank) carry the flag `documents_bug`.
"""
import argparse
import importlib.util
import json
import pathlib
import sys

import numpy as np

import casefile
import upstream
import upstream_coverage

SOURCES = {
    "fastv": ("pkunlp-icler/FastV", "d165972", "modeling_llama.py: LlamaModel.forward (in-place branch)"),
    "fastervlm": ("Theia-4869/FasterVLM", "f5d5f12", "llava_arch.py: encode_images"),
    "divprune": ("vbdi/divprune", "799e2d9", "llava_arch.py: DivPrune"),
    "cdpruner": ("Theia-4869/CDPruner", "9541616", "llava_arch.py: encode_images"),
    "vispruner": ("Theia-4869/VisPruner", "aefa01a", "llava_arch.py: encode_images"),
    "visionzip": ("dvlab-research/VisionZip", "3151f6d", "clip_encoder.py: CLIPVisionTower_VisionZip.forward"),
    "prumerge": ("42Shawn/LLaVA-PruMerge", "097c041", "clip_encoder.py: token_prune_merge_advanced[_plus]"),
    "tome": ("facebookresearch/ToMe", "af95e4b", "merge.py: bipartite_soft_matching, merge_wavg, merge_source"),
    "dart": ("ZichenWen1/DART", "5a19452", "modeling_llama_self.py: get_retained_image_token"),
    "hired": ("hasanar1f/HiRED", "502d6dd", "modeling_llava_next.py: HiRED_token_selection"),
    "trim": ("FreedomIntelligence/TRIM", "f5a232d", "clip_encoder.py: token_reduction"),
    "evs": ("vllm-project/vllm", "926c71f", "evs.py: compute_retention_mask"),
    "sparsevlm": ("Gumpest/SparseVLMs", "26a5f48", "modelling_sparse_llama.py: LlamaDynamicvitModel.forward"),
    "sparsevlm_rank": ("Gumpest/SparseVLMs", "91fb6d9", "score.py: attn_postprocess_rank"),
    "pdrop": ("Cooperx521/PyramidDrop", "6444f30", "modeling_llama_pdrop.py: pdrop_rank_drop"),
    "fastdpp_openvino": ("openvinotoolkit/openvino.genai", "da1db86", "fast_dpp.cpp: FastGreedyDPP::select"),
    "scope": ("kinredon/SCOPE", "6bf7306", "scope/clip_encoder.py: SCOPE, CLIPVisionTower_SCOPE.forward"),
    "holov": ("obananas/HoloV", "1d2e65e", "llava/model/utils.py: HoloV"),
    "vidcom2": ("xuyang-liu16/VidCom2, vllm-project/vllm", "944a17d, 0f17ee0", "vidcom2.py; compute_retention_mask"),
    "prunesid": ("ZhengyaoFang/PruneSID", "4ef17d9", "clip_encoder.py: batch_similarity_nms; modeling_qwen2_vl.py: nms"),
    "mmtok": ("Ironieser/MMTok", "d1522cd", "semantic_selector.py: mm_coverage_selection"),
    "apet": ("MaQianKun0/ApET", "70cc01b", "llava_arch.py: encode_images, token_merging; utils.py: fps"),
    "vscan": ("Tencent/SelfEvolvingAgent", "a82450e", "llava_arch.py: window_cls_selection, token_merging, encode_images"),
    "ivcprune": ("FireRedTeam/IVC-Prune", "03afd9c", "modeling_llama.py, modeling_qwen2_5_vl.py: IVCP_forward_flashattention"),
    "pixelprune": ("OPPO-Mente-Lab/PixelPrune", "a870e31", "pred_2d.py: Pred2DSelector.select"),
    "pool": ("TianfanPeng/VLMUniPruneBench", "f93768f", "Pool_PreLLM.py: pool_prune_pre_llm"),
    "vicrop": ("saccharomycetes/mllms_know", "a64c5d5", "utils.py: bbox_from_att_image_adaptive"),
}
BUGS = {
    ("cdpruner", "small_rank_deficient"): "the kernel's rank is exhausted; NaN gains pick the same tokens again",
    ("fastdpp_openvino", "small_rank_deficient"): "the kernel's rank is exhausted; what is left is rounding",
}


class Case:
    """One upstream case: inputs, parameters, flags, outputs and the outputs of the float64 run."""

    def __init__(self, method, name, archive, recipes):
        self.method, self.name = method, name
        self.parameters = json.loads(str(archive[f"{name}/params"]))
        self.flags = json.loads(str(archive[f"{name}/flags"]))
        self.out = self._group(archive, "out")
        self.out_f64 = self._group(archive, "out_f64")
        self.inputs = self._group(archive, "in")
        for key, digest in self._group(archive, "sha256").items():
            if key not in self.inputs:
                self.inputs[key] = recipes.build(method, name)[0][key]
            if recipes.sha(self.inputs[key]) != str(digest):
                raise SystemExit(f"{method}/{name}: input '{key}' does not match its sha256")

    def _group(self, archive, side):
        prefix = f"{self.name}/{side}/"
        return {k[len(prefix) :]: archive[k] for k in archive.files if k.startswith(prefix)}


def rows_of(flat, counts):
    """Splits a flat index list into rows of the given lengths."""
    return [row.tolist() for row in np.split(np.asarray(flat), np.cumsum(counts)[:-1])]


def top_k_expectation(kept, order, scores, count):
    """Expected answer of a top-k method, with the tie at the cut spelled out."""
    scores = np.asarray(scores)
    expected = {"kept_indices": kept, "order": order}
    cut = np.sort(scores)[-count]
    tied = np.flatnonzero(scores == cut)
    by_lower_index = sorted(np.argsort(-scores, kind="stable")[:count].tolist())
    if by_lower_index != kept:
        expected["alternative_kept_indices"] = by_lower_index
    if np.count_nonzero(scores >= cut) > count:
        expected["tied_indices"] = tied.tolist()
        expected["tie_free_kept_indices"] = sorted(np.flatnonzero(scores > cut).tolist())
    return expected


def export_fastv(case):
    start, length = case.parameters["image_start"], case.parameters["image_length"]
    attention = case.inputs["last_token_attention"][:, start : start + length]
    expected = top_k_expectation(
        case.out["kept_sorted"].tolist(), case.out["topk_score_order"].tolist(),
        case.out["head_mean_scores"], case.parameters["keep"])
    yield "", case.method, {"attention": attention}, {"keep_tokens": case.parameters["keep"]}, expected, {}


def export_fastervlm(case):
    keep = case.parameters["keep"]
    kept = rows_of(case.out["kept_sorted_flat"], case.out["kept_count"])
    for tile, attention in enumerate(case.inputs["cls_attention"]):
        expected = top_k_expectation(
            kept[tile], case.out["topk_indices_score_order"][tile].tolist(), case.out["scores"][tile], keep)
        suffix = f"_tile{tile}" if len(kept) > 1 else ""
        yield suffix, case.method, {"attention": attention}, {"keep_tokens": keep}, expected, {}


def export_divprune(case):
    order = case.out["selection_order"].tolist()
    expected = {"kept_indices": sorted(set(case.out["kept_sorted"].tolist())), "order": order}
    kept_f64 = sorted(set(case.out_f64.get("kept_sorted", case.out["kept_sorted"]).tolist()))
    if kept_f64 != expected["kept_indices"]:
        expected["alternative_kept_indices"] = kept_f64
    if "selection_order" in case.out_f64:
        expected["alternative_order"] = case.out_f64["selection_order"].tolist()
    tensors = {"image_features": case.inputs["features"]}
    parameters = {"keep_tokens": len(order)}
    if not tensors["image_features"].any(axis=1).all():
        # Upstream picks the first token again and again; what is kept is the set.
        parameters["method_parameters"] = {"faithful": True}
        expected["order"] = list(dict.fromkeys(order))
    yield "", case.method, tensors, parameters, expected, {}


def export_cdpruner(case):
    """One file per case: upstream takes the relevance's minimum and maximum over the whole batch of tiles."""
    tensors = {
        "image_features": case.inputs["image_features"],
        "relevance_features": case.inputs["image_embeds"],
        "text_features": case.inputs["text_embeds"],
    }
    single = len(tensors["image_features"]) == 1
    if single:
        for name in ("image_features", "relevance_features"):
            tensors[name] = tensors[name][0]

    def rows(values):
        return values[0] if single else values

    expected = {
        "kept_indices": rows(rows_of(case.out["kept_sorted_flat"], case.out["kept_count"])),
        "order": rows(case.out["greedy_order"].tolist()),
        "relevance": rows(case.out["relevance"].astype(float).tolist()),
    }
    if "kept_sorted_flat" in case.out_f64:
        counts = case.out_f64.get("kept_count", case.out["kept_count"])
        expected["alternative_kept_indices"] = rows(rows_of(case.out_f64["kept_sorted_flat"], counts))
        expected["alternative_order"] = rows(case.out_f64["greedy_order"].tolist())
    flags = {} if single else {"batch_normalised": True}
    yield "", case.method, tensors, {"keep_tokens": case.parameters["keep"]}, expected, flags


EXPORTERS = {
    "fastv": export_fastv,
    "fastervlm": export_fastervlm,
    "divprune": export_divprune,
    "cdpruner": export_cdpruner,
    **upstream.EXPORTERS,
    **upstream_coverage.EXPORTERS,
}


def load_recipes(vectors):
    spec = importlib.util.spec_from_file_location("golden_inputs", vectors / "inputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def export_method(method, vectors, recipes, out):
    archive = np.load(vectors / f"{method}.npz")
    repository, commit, function = SOURCES[method]
    for name in sorted({key.split("/")[0] for key in archive.files}):
        case = Case(method, name, archive, recipes)
        source = {"repository": repository, "commit": commit, "function": function, "case": name,
                  "parameters": case.parameters}
        for suffix, wire, tensors, parameters, expected, flags in EXPORTERS[method](case):
            flags = {**case.flags, **flags}
            if (method, name) in BUGS:
                flags["documents_bug"] = True
                flags["bug"] = BUGS[method, name]
            if "tied_indices" in expected:
                flags["tie_at_the_cut"] = True
            parameters = {"method": wire, "method_parameters": {}, **parameters}
            data = casefile.encode_case(wire, tensors, parameters, expected, flags, source)
            path = out / wire / f"{name}{suffix}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            yield path, tensors, parameters, expected, flags, len(data), f"{method}/{name}"


def summary_row(path, tensors, parameters, expected, flags, size):
    shapes = " ".join(f"{k}{list(v.shape)}" for k, v in tensors.items())
    marks = [k for k in ("documents_bug", "tie_at_the_cut", "has_exact_ties", "batch_normalised") if flags.get(k)]
    if "alternative_kept_indices" in expected:
        marks.append("alternative")
    name = f"{path.parent.name}/{path.stem}"
    return f"{name:38} {parameters.get('keep_tokens', ''):>4} {size:>9,} {shapes}  {' '.join(marks)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--method", action="append", choices=sorted(EXPORTERS))
    options = parser.parse_args()
    if not (options.vectors / "inputs.py").exists():
        parser.error(f"no upstream vectors in {options.vectors}")
    recipes = load_recipes(options.vectors)
    print(f"{'case':38} keep     bytes tensors  remarks")
    total = 0
    stored = {}
    for method in options.method or EXPORTERS:
        archive = np.load(options.vectors / f"{method}.npz")
        for name in sorted({key.split("/")[0] for key in archive.files}):
            stored[f"{method}/{name}"] = []
        for written in export_method(method, options.vectors, recipes, options.out):
            print(summary_row(*written[:-1]))
            stored[written[-1]].append(f"{written[0].parent.name}/{written[0].stem}")
            total += 1
    for case, files in stored.items():
        if not files:
            raise SystemExit(f"{case}: stored, but not exported")
    (options.out / "stored.json").write_text(json.dumps(stored, indent=1) + "\n")
    print(f"{total} cases of {len(stored)} stored in {options.out}")
    return 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main())
