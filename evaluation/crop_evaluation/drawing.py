"""Objects and words as pictures: emoji turned and scaled afresh each time, words in several fonts."""
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from . import vocabulary

EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
FONT_FOLDER = "/usr/share/fonts/truetype"
FONTS = {
    "train": ["dejavu/DejaVuSans-Bold.ttf", "dejavu/DejaVuSerif-Bold.ttf", "liberation/LiberationSans-Bold.ttf",
              "liberation/LiberationMono-Bold.ttf"],
    # The table's signs are drawn in one font of training and one that it never saw.
    "test": ["dejavu/DejaVuSans-Bold.ttf", "freefont/FreeSansBold.ttf"],
}
FONTS["validation"] = FONTS["test"]
FONT_SIZES = [18, 19, 20, 22, 24]


def master_sprites():
    """{object: RGBA image of about 110 pixels}"""
    font = ImageFont.truetype(EMOJI_FONT, 109)
    sprites = {}
    for name in vocabulary.OBJECTS:
        canvas = Image.new("RGBA", (150, 150))
        ImageDraw.Draw(canvas).text((4, 4), vocabulary.character(name), font=font, embedded_color=True)
        box = canvas.getbbox()
        if box is None:
            raise SystemExit(f"the font draws nothing for {name!r}: {EMOJI_FONT}")
        sprites[name] = canvas.crop(box).resize(
            tuple(max(1, round(side * 64 / max(box[2] - box[0], box[3] - box[1]))) for side in
                  (box[2] - box[0], box[3] - box[1])), Image.LANCZOS)
    return sprites


def sprite(random, master, size):
    """[h, w, 4] uint8 whose longer side is `size`, turned by up to 25 degrees."""
    turned = master.rotate(float(random.uniform(-25, 25)), Image.BILINEAR, expand=True)
    turned = turned.crop(turned.getbbox())
    scale = size / max(turned.size)
    return np.asarray(turned.resize((max(6, round(turned.width * scale)), max(6, round(turned.height * scale))),
                                    Image.BILINEAR))


def fonts(split):
    return [ImageFont.truetype(f"{FONT_FOLDER}/{name}", size) for name in FONTS[split] for size in FONT_SIZES]


def font_paths():
    """Every file that scenes are drawn with."""
    return sorted({EMOJI_FONT, *(f"{FONT_FOLDER}/{name}" for names in FONTS.values() for name in names)})


def letters_of(colour):
    """White or black, whichever stands out on `colour`."""
    return (20, 20, 20) if np.dot(colour, (0.3, 0.59, 0.11)) > 120 else (250, 250, 250)
