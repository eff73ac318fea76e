"""A sheet of scenes with their questions, answers and evidence, for eyes."""
import os

from PIL import Image, ImageDraw, ImageFont

from . import dataset, drawing, scenes

COLUMNS, ROWS, SHOWN = 3, 2, 12
CELL = (scenes.SIZE + 264, scenes.SIZE + 8)


def draw(cache, path):
    """COLUMNS x ROWS scenes of the table's split."""
    composer = scenes.Composer("test", os.path.join(cache, "pictures"))
    font = ImageFont.truetype(f"{drawing.FONT_FOLDER}/dejavu/DejaVuSans.ttf", 11)
    page = Image.new("RGB", (COLUMNS * CELL[0], ROWS * CELL[1]), "white")
    pen = ImageDraw.Draw(page)
    for place in range(COLUMNS * ROWS):
        scene, asked = dataset.example(composer, dataset.SEEDS["test"], place)
        x, y = place % COLUMNS * CELL[0], place // COLUMNS * CELL[1]
        page.paste(Image.fromarray(scene.pixels), (x, y))
        for line, question in enumerate(asked[:SHOWN]):
            where = "" if question.is_global else " " + str(list(question.evidence))
            pen.text((x + scenes.SIZE + 6, y + line * 21), f"{question.words}\n    {question.answer}{where}", font=font, fill="black",
                     spacing=0)
    page.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
