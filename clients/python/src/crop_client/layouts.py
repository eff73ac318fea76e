"""Where the visual tokens of an image lie, as the service's `layout`.

Sizes are given by name, `width` and `height`, so that (height, width) of one library cannot pass for [width, height] of
another. `**members` are the further members of the layout, which docs/layouts.md lists with their defaults.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Union

from .errors import ArgumentError

Layout = dict[str, Any]
GridTHW = Union[Sequence[int], Sequence[Sequence[int]]]


def _layout(kind: str, width: Optional[int], height: Optional[int], members: Mapping[str, Any]) -> Layout:
    layout: Layout = {"type": kind}
    if (width is None) != (height is None):
        raise ArgumentError(f"{kind}: give both width and height, or neither")
    if width is not None and height is not None:
        layout["image_size"] = [_whole("width", width), _whole("height", height)]
    layout.update({name: value for name, value in members.items() if value is not None})
    return layout


def _whole(name: str, value: Any) -> int:
    """-> a whole number, also one that some library has as a float; a part of one is not dropped."""
    try:
        whole = int(value)
        if whole == value:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    raise ArgumentError(f"{name}={value!r:.80}: a whole number is wanted")


def raw(tokens: int) -> Layout:
    """`tokens` tokens whose places do not matter: no regions."""
    return {"type": "raw", "tokens": _whole("tokens", tokens)}


def grid(rows: int, columns: int, *, width: Optional[int] = None, height: Optional[int] = None) -> Layout:
    """One row-major grid over the whole image."""
    return _layout("grid", width, height, {"rows": _whole("rows", rows), "columns": _whole("columns", columns)})


def llava(*, width: int, height: int, **members: Any) -> Layout:
    """LLaVA-1.5: 24 x 24 tokens of the padded image; width and height of the image before any processing."""
    return _layout("llava", width, height, members)


def llava_next(*, width: Optional[int] = None, height: Optional[int] = None, **members: Any) -> Layout:
    """LLaVA-NeXT: the whole image, then its tiles. transformers' `image_sizes` rows are (height, width)."""
    return _layout("llava_next", width, height, members)


def qwen(family: str, grid_thw: Any = None, *, width: Optional[int] = None, height: Optional[int] = None,
         **members: Any) -> Layout:
    """`family`: `qwen2_vl`, `qwen2_5_vl` or `qwen3_vl`; `grid_thw` as the processor returns it, in patches."""
    if family not in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl"):
        raise ArgumentError(f"family '{family}' is none of qwen2_vl, qwen2_5_vl and qwen3_vl")
    if grid_thw is not None:
        grid_thw = grid_thw.tolist() if hasattr(grid_thw, "tolist") else [*grid_thw]
        if len(grid_thw) == 1 and isinstance(grid_thw[0], (list, tuple)):
            grid_thw = list(grid_thw[0])
    return _layout(family, width, height, {"grid_thw": grid_thw, **members})


def internvl(*, width: Optional[int] = None, height: Optional[int] = None, **members: Any) -> Layout:
    """InternVL: 256 tokens for each tile, the thumbnail last."""
    return _layout("internvl", width, height, members)


def gemma3(*, width: int, height: int, **members: Any) -> Layout:
    """Gemma 3: 256 tokens for the image, and for each crop of a long one."""
    return _layout("gemma3", width, height, members)


def idefics3(*, width: Optional[int] = None, height: Optional[int] = None, **members: Any) -> Layout:
    """Idefics3: 169 tokens for each tile, the whole image last."""
    return _layout("idefics3", width, height, members)


def smolvlm(*, width: Optional[int] = None, height: Optional[int] = None, **members: Any) -> Layout:
    """SmolVLM: 64 tokens for each tile, the whole image last."""
    return _layout("smolvlm", width, height, members)


def of_image(family: str, *, width: Optional[int] = None, height: Optional[int] = None, **members: Any) -> Layout:
    """Any other family of docs/layouts.md, such as `pixtral`, `llava_onevision` or `molmo`."""
    return _layout(family, width, height, members)


def video(frames: int, rows: int, columns: int, **members: Any) -> Layout:
    """Frames one after another, each a row-major grid."""
    sides = {"frames": _whole("frames", frames), "rows": _whole("rows", rows), "columns": _whole("columns", columns)}
    return _layout("video", None, None, {**sides, **members})


def token_count(layout: Mapping[str, Any]) -> Optional[int]:
    """-> the number of tokens, where it follows without the rules of a model's processor."""
    kind = layout.get("type")
    if any(isinstance(value, str) for name, value in layout.items() if name != "type"):
        return None  # which the service rejects; a text times a number is a longer text
    try:
        if kind == "grid":
            return int(layout["rows"] * layout["columns"])
        if kind == "raw":
            return int(layout["tokens"])
        if kind == "llava":
            return int(layout.get("rows", 24) * layout.get("columns", 24))
        if kind == "video":
            return int(-(-layout["frames"] // layout.get("temporal_patch_size", 1)) * layout["rows"] * layout["columns"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        pass
    return None
