"""Scenes: objects, pairs, plates and signs on a photograph, or a page with prices; labels of every 16 x 16 patch."""
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from . import drawing, pictures, vocabulary

SIZE, PATCH = 256, 16
GRID = SIZE // PATCH
SIDES = ["left", "right", "above", "below"]
OPPOSITE = dict(left="right", right="left", above="below", below="above")
# Rows of the labels of a scene; each holds word numbers or small classes, 0 where there is nothing to say.
LABELS = ["content", "colour", "character", *SIDES, "size", "count"]
SIZE_BINS = [34, 41, 50]
HELD_OUT_SHARE = 6


@dataclass
class Item:
    """An object, sign or line of text; `box` is x0, y0, x1, y1 in pixels, ends exclusive."""
    word: str
    box: tuple
    colour: str = ""
    colour_box: tuple = ()
    neighbours: dict = field(default_factory=dict)
    letters: list = field(default_factory=list)
    is_object: bool = True

    @property
    def size(self):
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def whole_box(self):
        return union(self.box, self.colour_box) if self.colour_box else self.box


@dataclass
class Scene:
    pixels: np.ndarray
    scene: str
    items: list
    labels: np.ndarray

    def counts(self):
        counts = {}
        for item in self.items:
            if item.is_object:
                counts[item.word] = counts.get(item.word, 0) + 1
        return counts


def union(*boxes):
    return (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))


def blocks(box):
    """Inclusive blocks of the 8 x 8 grid that a box of pixels touches."""
    side = SIZE // 8
    return (box[0] // side, box[1] // side, (box[2] - 1) // side, (box[3] - 1) // side)


def is_held_out(first, second):
    """Whether this pair of neighbours is kept from training."""
    return (vocabulary.ID[first] * 7919 + vocabulary.ID[second] * 104729) % HELD_OUT_SHARE == 0


class Composer:
    """Makes scenes of one split. The same seed gives the same scene."""

    def __init__(self, split, picture_folder):
        self.split = split
        self.pictures = pictures.load(picture_folder, split)
        self.masters = drawing.master_sprites()
        self.fonts = drawing.fonts(split)

    def compose(self, random):
        if random.random() < 0.15:
            return self._page(random)
        return self._collage(random)

    # Scenes of objects

    def _collage(self, random):
        background, scene = pictures.window(random, self.pictures, SIZE)
        kinds = self._kinds(random)
        free = np.ones((SIZE, SIZE), bool)
        plan = ["pair"] * int(random.integers(2, 4)) + ["sign"] * 2 + ["plate"] * 2
        items, drawn = [], []
        sign_colours = list(random.permutation(vocabulary.SIGN_COLOURS)[:2])
        plate_colours = list(random.permutation(list(vocabulary.COLOURS)))
        for unit in plan:
            getattr(self, f"_add_{unit}")(random, kinds, free, items, drawn, sign_colours if unit == "sign" else plate_colours)
        repeated = kinds.pop()
        for _ in range(int(random.integers(1, 5))):
            self._add_single(random, repeated, free, items, drawn)
        for _ in range(int(random.integers(1, 4))):
            self._add_single(random, kinds.pop(), free, items, drawn)
        return self._render(random, background, scene, items, drawn)

    def _kinds(self, random):
        """Distinct objects, most of them of two groups so that each group also has absent members."""
        groups = random.permutation(len(vocabulary.GROUPS))[:3]
        names = [name for group in groups for name in random.permutation(vocabulary.GROUPS[group])[:3]]
        names += list(random.choice(vocabulary.OBJECTS, 8, replace=False))
        names = [str(name) for name in dict.fromkeys(names)]
        random.shuffle(names)
        return names

    def _size(self, random, attempt):
        return int(random.integers(28, 58 if attempt < 12 else 36))

    def _place(self, random, free, width, height, margin=2):
        """A free spot's corner, or None; the spot is taken."""
        if width >= SIZE or height >= SIZE:
            return None
        for _ in range(12):
            x, y = int(random.integers(SIZE - width)), int(random.integers(SIZE - height))
            inner = free[max(0, y - margin):y + height + margin, max(0, x - margin):x + width + margin]
            if inner.all():
                free[y:y + height, x:x + width] = False
                return x, y
        return None

    def _add_single(self, random, kind, free, items, drawn):
        for attempt in range(4):
            image = drawing.sprite(random, self.masters[kind], self._size(random, attempt * 5))
            height, width = image.shape[:2]
            # Singles may overlap their neighbours by some pixels.
            spot = self._place(random, free, width, height, margin=-4)
            if spot:
                items.append(Item(kind, (*spot, spot[0] + width, spot[1] + height)))
                drawn.append(("sprite", image, items[-1]))
                return

    def _add_pair(self, random, kinds, free, items, drawn, _):
        first, second = kinds.pop(), kinds.pop()
        if self.split == "train" and (is_held_out(first, second) or is_held_out(second, first)):
            return
        beside = random.random() < 0.5
        for attempt in range(3):
            images = [drawing.sprite(random, self.masters[kind], self._size(random, attempt * 6)) for kind in (first, second)]
            (h0, w0), (h1, w1) = (image.shape[:2] for image in images)
            gap = int(random.integers(0, 6))
            width, height = (w0 + gap + w1, max(h0, h1)) if beside else (max(w0, w1), h0 + gap + h1)
            spot = self._place(random, free, width, height)
            if spot is None:
                continue
            x, y = spot
            if beside:
                boxes = [(x, y + (height - h0) // 2), (x + w0 + gap, y + (height - h1) // 2)]
            else:
                boxes = [(x + (width - w0) // 2, y), (x + (width - w1) // 2, y + h0 + gap)]
            side = "right" if beside else "below"
            pair = []
            for kind, image, (left, top) in zip((first, second), images, boxes):
                pair.append(Item(kind, (left, top, left + image.shape[1], top + image.shape[0])))
                drawn.append(("sprite", image, pair[-1]))
            pair[0].neighbours[side] = second
            pair[1].neighbours[OPPOSITE[side]] = first
            items.extend(pair)
            return

    def _add_plate(self, random, kinds, free, items, drawn, colours):
        kind, colour = kinds.pop(), str(colours.pop())
        for attempt in range(3):
            image = drawing.sprite(random, self.masters[kind], self._size(random, attempt * 6))
            rim = int(random.integers(5, 9))
            height, width = image.shape[0] + 2 * rim, image.shape[1] + 2 * rim
            spot = self._place(random, free, width, height)
            if spot is None:
                continue
            x, y = spot
            item = Item(kind, (x + rim, y + rim, x + width - rim, y + height - rim), colour, (x, y, x + width, y + height))
            items.append(item)
            drawn.append(("plate", None, item))
            drawn.append(("sprite", image, item))
            return

    def _add_sign(self, random, kinds, free, items, drawn, colours):
        colour = str(colours.pop())
        word = str(random.choice(vocabulary.SIGN_WORDS + vocabulary.NUMBERS[::3]))
        font = self.fonts[random.integers(len(self.fonts))]
        box = font.getbbox(word)
        width, height = box[2] - box[0] + 12, box[3] - box[1] + 10
        spot = self._place(random, free, width, height)
        if spot is None:
            return
        x, y = spot
        item = Item(word, (x, y, x + width, y + height), colour, is_object=False)
        item.letters = _letter_boxes(font, word, x + 6 - box[0], y + 5 - box[1])
        items.append(item)
        drawn.append(("sign", (font, (x + 6 - box[0], y + 5 - box[1])), item))

    # Pages

    def _page(self, random):
        paper = random.uniform(225, 252, 3)
        background = np.ones((SIZE, SIZE, 3), np.float32) * paper
        background += np.linspace(-8, 8, SIZE)[:, None, None] * random.uniform(-1, 1)
        rows = int(random.integers(5, 8))
        words = [str(word) for word in random.permutation(vocabulary.ITEMS)[:rows]] + ["total"]
        font = self.fonts[random.integers(len(self.fonts))]
        step = 252 // (len(words) + 1)
        left, right = int(random.integers(8, 40)), int(random.integers(140, 190))
        top = int(random.integers(2, step))
        items, drawn = [], []
        for row, word in enumerate(words):
            price = str(random.choice(vocabulary.NUMBERS))
            pair = []
            for text, x in ((word, left), (price, right)):
                y = top + row * step
                box = font.getbbox(text, anchor="lt")
                item = Item(text, (x, y, min(SIZE, x + box[2]), min(SIZE, y + box[3])), is_object=False)
                item.letters = _letter_boxes(font, text, x, y, "lt")
                pair.append(item)
                drawn.append(("text", font, item))
            pair[0].neighbours["right"] = price
            pair[1].neighbours["left"] = word
            items.extend(pair)
        return self._render(random, background, "page", items, drawn)

    # Pixels and labels

    def _render(self, random, background, scene, items, drawn):
        picture = Image.fromarray(np.clip(background, 0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(picture)
        for shape, what, item in drawn:
            if shape == "plate":
                colour = _tinted(random, item.colour)
                x0, y0, x1, y1 = item.colour_box
                outline = [draw.rectangle, draw.ellipse, draw.rounded_rectangle][random.integers(3)]
                if outline == draw.rounded_rectangle:
                    outline((x0, y0, x1 - 1, y1 - 1), 9, fill=colour)
                else:
                    outline((x0, y0, x1 - 1, y1 - 1), fill=colour)
            elif shape == "sign":
                colour = _tinted(random, item.colour)
                draw.rectangle((item.box[0], item.box[1], item.box[2] - 1, item.box[3] - 1), fill=colour)
                draw.text(what[1], item.word, font=what[0], fill=drawing.letters_of(colour))
            elif shape == "text":
                draw.text(item.box[:2], item.word, font=what, fill=(25, 25, 35), anchor="lt")
            else:
                picture.paste(Image.fromarray(what), item.box[:2], Image.fromarray(what[..., 3]))
        pixels = np.asarray(picture, np.float32) + random.normal(0, random.uniform(0, 4), (SIZE, SIZE, 1))
        sprites = {id(item): what for shape, what, item in drawn if shape == "sprite"}
        return Scene(np.clip(pixels, 0, 255).astype(np.uint8), scene, items, _labels(items, sprites))


def _tinted(random, name):
    return tuple(int(np.clip(value + random.integers(-14, 15), 0, 255)) for value in vocabulary.COLOURS[name])


def _letter_boxes(font, text, x, y, anchor="la"):
    boxes = []
    for index, letter in enumerate(text):
        start = x + font.getlength(text[:index])
        box = font.getbbox(letter, anchor=anchor)
        boxes.append((letter, (start + box[0], y + box[1], start + box[2], y + box[3])))
    return boxes


def _labels(items, sprites):
    """[len(LABELS), 256]: a patch carries the labels of the item that covers most of it, if that is a fifth of it."""
    owner = np.full((SIZE, SIZE), -1, np.int16)
    for index, item in enumerate(items):
        x0, y0, x1, y1 = item.box
        if id(item) in sprites:
            owner[y0:y1, x0:x1][sprites[id(item)][..., 3] > 127] = index
        else:
            owner[y0:y1, x0:x1] = index
    patches = owner.reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    labels = np.zeros((len(LABELS), GRID * GRID), np.int16)
    best = np.full(GRID * GRID, PATCH * PATCH * 0.18)
    counts = {}
    for item in items:
        counts[item.word] = counts.get(item.word, 0) + 1
    for index, item in enumerate(items):
        covered = (patches == index).sum(1)
        won = covered > best
        best = np.maximum(best, covered)
        labels[0, won] = vocabulary.ID[item.word]
        labels[1, won] = vocabulary.ID[item.colour] if item.colour else 0
        for row, side in enumerate(SIDES, LABELS.index("left")):
            labels[row, won] = vocabulary.ID[item.neighbours[side]] if side in item.neighbours else 0
        labels[LABELS.index("size"), won] = 1 + int(np.searchsorted(SIZE_BINS, item.size)) if item.is_object else 0
        labels[LABELS.index("count"), won] = min(counts[item.word], 4) if item.is_object else 0
    for item in items:
        if item.colour_box:
            _mark_plate(labels, item)
        _mark_letters(labels, item)
    return labels


def _mark_plate(labels, item):
    """The rim of a plate has a colour, and no content of its own."""
    x0, y0, x1, y1 = (side / PATCH for side in item.colour_box)
    for row in range(int(y0), min(GRID, int(np.ceil(y1)))):
        for column in range(int(x0), min(GRID, int(np.ceil(x1)))):
            area = (min(x1, column + 1) - max(x0, column)) * (min(y1, row + 1) - max(y0, row))
            if area > 0.5 and labels[0, row * GRID + column] == 0:
                labels[1, row * GRID + column] = vocabulary.ID[item.colour]


def _mark_letters(labels, item):
    for letter, (x0, y0, x1, y1) in item.letters:
        column, row = int((x0 + x1) / 2 / PATCH), int((y0 + y1) / 2 / PATCH)
        if 0 <= column < GRID and 0 <= row < GRID:
            labels[LABELS.index("character"), row * GRID + column] = 1 + vocabulary.CHARACTERS.index(letter)
