"""Backgrounds: photographs and abstract pictures of Debian's wallpaper packages, in classes, split by whole pictures."""
import glob
import os

import numpy as np
from PIL import Image

from . import drawing, vocabulary

Image.MAX_IMAGE_PIXELS = None
HEIGHT = 320
PACKAGES = ["gnome-backgrounds", "mate-backgrounds", "plasma-workspace-wallpapers", "lomiri-wallpapers-16.04",
            "lomiri-wallpapers-20.04", "ukui-wallpapers"]
FONT_PACKAGES = ["fonts-noto-color-emoji", "fonts-dejavu-core", "fonts-liberation", "fonts-freefont-ttf"]
# Class: pictures for training, for validation, for the table. No picture is in two splits.
PICTURES = {
    "water": ("BytheWater DarkestHour summer_1am Aqua Volna", "ColdRipple", "EveningGlow"),
    "sky": ("Kite Storm sunset_by_Aitzol_Berasategi MilkyWay", "Infinite-Sea_by_Aury88", "Bridge_by_Sander_Klootwijk"),
    "flowers": ("FreshFlower Garden TwoWings", "YellowFlower", "seeding_by_Clements_Engelhardt"),
    "leaves": ("Blinds GreenMeadow RainDrops Dune", "LadyBird", "OneStandsOut"),
    "woods": ("Path Dragonfly_by_Bolly FallenLeaf Autumn", "Kleiber_by_Lukas_Baubkus", "life_by_Aitzol_Berasategi"),
    "mountains": ("picosdeeuropa_by_Aitzol_Berasategi Altai", "SafeLanding", "aitzgorri_by_Aitzol_Berasategi"),
    "indoors": ("Picture_0B_by_freespace Picture_1A_by_freespace Wine_by_Jakkub_Mede friends_by_Aitzol_Berasategi",
                "greentock_by_Peter_Nerlich", "free_by_Peter_Nerlich"),
    "pattern": ("Wood wood-d licorice-d truchet-d grid-d Grey Stripes ColorfulCups truchet-l", "wood-l grid-l",
                "Elephants licorice-l"),
    "shapes": ("Canopee Cascade Elarun Flow Kay Patak adwaita-l Honeywave IceCold Cluster 2004default city rhythm",
               "Kokkini Opal desert", "PastelHills Shell string adwaita-d"),
}
SPLITS = ["train", "validation", "test"]


def _candidates(name):
    patterns = [f"/usr/share/backgrounds/{name}.*", f"/usr/share/backgrounds/gnome/{name}.webp",
                f"/usr/share/backgrounds/mate/*/{name}.*"]
    found = [path for pattern in patterns for path in glob.glob(pattern)]
    wide = [path for path in glob.glob(f"/usr/share/wallpapers/{name}/contents/images/*.[jp][pn]g")
            if not os.path.basename(path).startswith(("720x", "1080x", "1622x"))]
    return sorted(found, key=os.path.getsize) + sorted(wide, key=os.path.getsize)


def prepare(folder):
    """Write every background, HEIGHT pixels high, to `folder`; those already there are left."""
    os.makedirs(folder, exist_ok=True)
    missing = []
    for name in sorted({name for splits in PICTURES.values() for names in splits for name in names.split()}):
        target = os.path.join(folder, f"{name}.png")
        if os.path.exists(target):
            continue
        paths = _candidates(name)
        if not paths:
            missing.append(name)
            continue
        image = Image.open(paths[0])
        if paths[0].endswith(".jpg"):
            image.draft("RGB", (HEIGHT * 2, HEIGHT * 2))
        image = image.convert("RGB")
        image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.BOX).save(target)
    missing += [path for path in drawing.font_paths() if not os.path.exists(path)]
    if missing:
        raise SystemExit(f"no {', '.join(missing)}: apt-get install {' '.join([*PACKAGES, *FONT_PACKAGES])}")


def load(folder, split):
    """{class: [picture [height, width, 3]]} of one split."""
    column = SPLITS.index(split)
    return {name: [np.asarray(Image.open(os.path.join(folder, f"{picture}.png"))) for picture in splits[column].split()]
            for name, splits in PICTURES.items()}


def window(random, pictures, size):
    """A random square of one class's pictures as [size, size, 3] float32, and the class."""
    scene = vocabulary.SCENES[random.integers(len(pictures))]
    picture = pictures[scene][random.integers(len(pictures[scene]))]
    side = min(int(random.integers(190, 300)), *picture.shape[:2])
    top = random.integers(picture.shape[0] - side + 1)
    left = random.integers(picture.shape[1] - side + 1)
    cut = Image.fromarray(picture[top:top + side, left:left + side]).resize((size, size), Image.BILINEAR)
    pixels = np.asarray(cut, np.float32)
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    return np.clip(pixels * random.uniform(0.7, 1.15), 0, 255), scene
