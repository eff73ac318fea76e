"""Screenshots compared loosely: fonts and anti-aliasing differ between machines, layouts and colours must not."""

import io
import os
import pathlib

import numpy as np
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent / "screenshots"
# Of the longer side: letters become grey bars, boxes and pictures stay what they are.
SIZE = 320
# Mean difference of all channels, of 255, and the share of pixels that may differ by more than 48.
MEAN, SHARE = 7.0, 0.06


def compare(name, shot):
    """Compares a screenshot (bytes of a PNG) with the committed one; CROP_SCREENSHOTS=write takes it as the new one."""
    small = reduced(Image.open(io.BytesIO(shot)))
    path = FOLDER / f"{name}.png"
    if os.environ.get("CROP_SCREENSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        small.quantize(64).save(path, optimize=True)
    wanted = Image.open(path).convert("RGB")
    if small.size == wanted.size:
        difference = np.abs(np.asarray(small, np.int16) - np.asarray(wanted, np.int16))
        if difference.mean() <= MEAN and (difference.max(axis=2) > 48).mean() <= SHARE:
            return
        found = f"mean difference {difference.mean():.1f}, {100 * (difference.max(axis=2) > 48).mean():.1f} % of pixels"
    else:
        found = f"{small.size} instead of {wanted.size}"
    actual = pathlib.Path(os.environ.get("CROP_SCREENSHOT_FAILURES", ".build-screenshots"))
    actual.mkdir(exist_ok=True)
    small.save(actual / f"{name}.png")
    raise AssertionError(f"{name} does not look as it did: {found}; see {actual / name}.png")


def reduced(picture):
    scale = SIZE / max(picture.size)
    return picture.convert("RGB").resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BOX)
