"""Classic descriptors of a picture's cells, where there is no vision tower: gradients and colours, whitened.

As those of Examples/, they find a thing by how it looks, not by what it is called. Only numpy is needed.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

CELL = 14
_ORIENTATIONS = 8
_LIGHTNESS, _COLOUR = 8, 6
# How much each group of descriptors weighs, as the root mean square length of its centred values.
_WEIGHTS = {"texture": 0.15, "lightness": 0.5, "colour": 1.0}
_COMPONENTS = 48
# Distance in L*a*b* at which a colour counts 0.6.
_TOLERANCE = 20
# sRGB of the colours that a question may name.
COLOURS = {
    "red": (200, 30, 30), "orange": (235, 130, 20), "yellow": (235, 215, 40), "green": (50, 150, 50), "blue": (40, 80, 200),
    "purple": (120, 50, 150), "pink": (240, 140, 180), "brown": (110, 70, 40), "black": (20, 20, 20), "white": (240, 240, 240),
    "grey": (128, 128, 128), "gray": (128, 128, 128),
}  # fmt: skip


def lab(pixels: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """-> CIE L*a*b* (D65) of sRGB in 0...255, [..., 3]."""
    rgb = pixels.astype(np.float64) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * root[..., 1] - 16, 500 * (root[..., 0] - root[..., 1]), 200 * (root[..., 1] - root[..., 2])], -1)


def _soft(values: "np.ndarray[Any, Any]", low: float, high: float, bins: int) -> "np.ndarray[Any, Any]":
    """[...] -> [..., bins]: how much each value belongs to each of evenly spaced levels; they sum to 1."""
    position = np.clip((values - low) / (high - low), 0, 1) * (bins - 1)
    shares: "np.ndarray[Any, Any]" = np.maximum(0.0, 1.0 - np.abs(position[..., None] - np.arange(bins)))
    return shares


def _blurred(maps: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Cells with a third of their neighbours, so that a cell knows what it lies in."""
    for axis in (0, 1):
        padded = np.concatenate([maps.take([0], axis), maps, maps.take([-1], axis)], axis)
        count = maps.shape[axis]
        sides = [padded.take(range(start, start + count), axis) for start in range(3)]
        maps = 0.25 * sides[0] + 0.5 * sides[1] + 0.25 * sides[2]
    return maps


def describe(pixels: "np.ndarray[Any, Any]") -> "dict[str, np.ndarray[Any, Any]]":
    """-> groups of descriptors [N, R] of the cells of a picture [rows * 14, columns * 14, 3]."""
    values = lab(pixels)
    rows, columns = values.shape[0] // CELL, values.shape[1] // CELL

    def per_cell(maps: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        cells = maps.reshape(rows, CELL, columns, CELL, -1).mean(axis=(1, 3))
        rooted: "np.ndarray[Any, Any]" = np.sqrt(_blurred(cells)).reshape(rows * columns, -1)
        return rooted

    vertical, horizontal = np.gradient(values[..., 0])
    strength = np.hypot(vertical, horizontal)
    angle = np.mod(np.arctan2(vertical, horizontal), np.pi) / np.pi * _ORIENTATIONS
    lower = np.floor(angle).astype(int) % _ORIENTATIONS
    share = angle - np.floor(angle)
    bins = np.arange(_ORIENTATIONS)
    texture = strength[..., None] * (
        (lower[..., None] == bins) * (1 - share[..., None]) + ((lower[..., None] + 1) % _ORIENTATIONS == bins) * share[..., None])
    lightness = _soft(values[..., 0], 0, 100, _LIGHTNESS)
    colour = _soft(values[..., 1], -60, 60, _COLOUR)[..., :, None] * _soft(values[..., 2], -60, 60, _COLOUR)[..., None, :]
    return {"texture": per_cell(texture), "lightness": per_cell(lightness), "colour": per_cell(colour)}


def whiten(groups: "dict[str, np.ndarray[Any, Any]]") -> "np.ndarray[Any, Any]":
    """-> [N, D], rows of length 1, in which what is common in this picture counts little; zeros where all cells are alike."""
    centred = []
    for name, values in groups.items():
        values = values - values.mean(axis=0)
        length = np.sqrt(np.mean(np.sum(values**2, axis=1)))
        # Below that it is the rounding of equal values, which would become large.
        centred.append(values * (_WEIGHTS[name] / length if length > 1e-9 else 0))
    together = np.concatenate(centred, axis=1)
    rows, singular, _ = np.linalg.svd(together, full_matrices=False)
    variance = singular**2 / len(together)
    if variance[0] == 0:
        return np.zeros((len(together), 1))
    count = min(_COMPONENTS, int(np.sum(variance > 1e-9 * variance[0])) or 1)
    features = rows[:, :count] * singular[:count] / np.sqrt(variance[:count] + 0.01 * variance[0])
    unit: "np.ndarray[Any, Any]" = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return unit


def colour_row(pixels: "np.ndarray[Any, Any]", question: str) -> "Optional[np.ndarray[Any, Any]]":
    """-> [N], how much of each cell has the first colour that the question names; None where it names none."""
    words = [word.strip("?!.,;:'\"").lower() for word in question.split()]
    named = next((COLOURS[word] for word in words if word in COLOURS), None)
    if named is None:
        return None
    # Lightness changes with the light more than hue does.
    weights = np.array([0.5, 1.0, 1.0])
    difference = (lab(pixels) - lab(np.array(named))) * weights
    near = np.exp(-0.5 * np.sum(difference**2, axis=-1) / _TOLERANCE**2)
    rows, columns = near.shape[0] // CELL, near.shape[1] // CELL
    row: "np.ndarray[Any, Any]" = near.reshape(rows, CELL, columns, CELL).mean(axis=(1, 3)).reshape(-1)
    return row


def prominence(features: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """-> [N] positive numbers that sum to 1: how unlike the rest of the picture each cell is."""
    likeness = features @ features.T
    unlike = 1 - np.sort(likeness, axis=1)[:, len(likeness) // 2 :].mean(axis=1)
    weights: "np.ndarray[Any, Any]" = np.exp((unlike - unlike.max()) / max(float(unlike.std()), 1e-9))
    row: "np.ndarray[Any, Any]" = weights / weights.sum()
    return row
