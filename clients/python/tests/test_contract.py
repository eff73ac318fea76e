"""The arguments are those of openapi.yaml, and the layouts its families."""

import inspect

import pytest
import yaml
from conftest import ROOT

from crop_client import _arguments, _axes, layouts

CONTRACT = yaml.safe_load((ROOT / "openapi.yaml").read_text())["components"]["schemas"]
# The client's own: what it adds, and what it says by itself.
OWN = {"request_id", "timeout", "parameters", "tensors", "axes", "previous"}
BY_ITSELF = {"batched", "axes", "tensor_dtype", "previous"}


@pytest.mark.parametrize("schema, call", [
    ("LocalizeRequest", _arguments.LOCALIZE), ("PruneRequest", _arguments.PRUNE), ("ReselectRequest", _arguments.RESELECT),
    ("CompressRequest", _arguments.COMPRESS),
    ("PlanRequest", _arguments.PLAN), ("CompareRequest", _arguments.COMPARE)])
def test_arguments(schema, call):
    """A parameter that is new in the contract is a new member of `crop_client._arguments`."""
    wanted = set(CONTRACT[schema]["properties"]) - BY_ITSELF
    assert set(call.arguments) - OWN == wanted


def test_tensors():
    def is_tensor(name):
        return CONTRACT[name].get("$ref", "").endswith("/Tensor")

    in_contract = {name for name in CONTRACT if name[0].islower() and is_tensor(name)}
    assert in_contract == set(_axes.TENSORS) | _axes.SHARED


def test_layouts(client):
    families = {"grid": layouts.grid(4, 4), "raw": layouts.raw(16), "video": layouts.video(3, 4, 4, temporal_patch_size=2),
                "llava": layouts.llava(width=640, height=480), "llava_next": layouts.llava_next(width=640, height=480),
                "qwen2_vl": layouts.qwen("qwen2_vl", [1, 8, 8]), "qwen2_5_vl": layouts.qwen("qwen2_5_vl", width=640, height=480),
                "qwen3_vl": layouts.qwen("qwen3_vl", [[1, 8, 8], [1, 8, 4]]), "internvl": layouts.internvl(width=640, height=480),
                "gemma3": layouts.gemma3(width=640, height=480), "idefics3": layouts.idefics3(width=640, height=480),
                "smolvlm": layouts.smolvlm(width=640, height=480)}
    for name in ("llava_onevision", "pixtral", "minicpm_v", "glm4v", "deepseek_vl2", "kimi_vl", "molmo", "molmo2"):
        families[name] = layouts.of_image(name, width=640, height=480)
    for name, layout in families.items():
        assert layout["type"] == name
        counted = layouts.token_count(layout)
        assert client.plan(layout=layout, keep_ratio=0.5).tokens == counted or counted is None
    mentioned = set()
    for entry in CONTRACT["Layout"]["oneOf" if "oneOf" in CONTRACT["Layout"] else "anyOf"]:
        schema = CONTRACT[entry["$ref"].split("/")[-1]]["properties"]["type"]
        mentioned |= set(schema.get("enum", [schema.get("const")]))
    assert mentioned == set(families)


def test_everything_public_is_documented():
    import crop_client

    for name in crop_client.__all__:
        found = getattr(crop_client, name)
        assert inspect.getdoc(found), name
        if inspect.isclass(found):
            for member, value in vars(found).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert inspect.getdoc(value), f"{name}.{member}"
