"""The generator: splits that share nothing, answers that are true of the scene, evidence that holds what was asked for.

Needs numpy and Pillow alone. What draws is skipped where the fonts and pictures of Debian's packages are missing.
"""
import os

import numpy as np
import pytest

from crop_evaluation import drawing, pictures, questions, scenes, vocabulary

PIXELS = 32


class PlainPictures:
    """Backgrounds of one colour, so that drawing needs no wallpaper."""

    @staticmethod
    def load(folder, split):
        return {scene: [np.full((320, 480, 3), 90, np.uint8)] for scene in pictures.PICTURES}


@pytest.fixture
def composer(monkeypatch):
    missing = [path for path in [drawing.EMOJI_FONT, *(f"{drawing.FONT_FOLDER}/{name}" for name in drawing.FONTS["train"])]
               if not os.path.exists(path)]
    if missing:
        pytest.skip(f"no {missing[0]}")
    monkeypatch.setattr(scenes.pictures, "load", PlainPictures.load)
    return scenes.Composer("train", "")


def examples(composer, count=40):
    for index in range(count):
        random = np.random.default_rng([5, index])
        scene = composer.compose(random)
        yield scene, questions.ask(random, scene)


def test_words_are_distinct_and_every_object_has_a_character():
    assert len(set(vocabulary.WORDS)) == len(vocabulary.WORDS)
    assert 150 <= len(vocabulary.OBJECTS) <= 300
    assert len({vocabulary.character(name) for name in vocabulary.OBJECTS}) == len(vocabulary.OBJECTS)


def test_no_picture_is_in_two_splits():
    names = [name for splits in pictures.PICTURES.values() for names in splits for name in names.split()]
    assert len(set(names)) == len(names)
    assert all(splits[1].split() and splits[2].split() for splits in pictures.PICTURES.values())


def test_the_tables_signs_are_drawn_in_a_font_that_training_never_saw():
    assert set(drawing.FONTS["test"]) - set(drawing.FONTS["train"])


def test_adversarial_groups_cover_all_objects_once():
    members = [name for group in vocabulary.GROUPS for name in group]
    assert sorted(members) == sorted(vocabulary.OBJECTS)
    assert min(len(group) for group in vocabulary.GROUPS) >= 5


def test_a_question_that_is_too_long_is_rejected():
    with pytest.raises(ValueError):
        vocabulary.encode("what what what what what what what ?")


@pytest.mark.parametrize("box, expected", [((0, 0, 32, 32), (0, 0, 0, 0)), ((31, 0, 33, 1), (0, 0, 1, 0)),
                                           ((0, 0, 256, 256), (0, 0, 7, 7)), ((200, 100, 225, 128), (6, 3, 7, 3))])
def test_blocks_are_those_a_box_touches(box, expected):
    assert scenes.blocks(box) == expected


def test_the_same_seed_gives_the_same_scene(composer):
    first, second = (composer.compose(np.random.default_rng([1, 7])) for _ in range(2))
    assert (first.pixels == second.pixels).all() and (first.labels == second.labels).all()


def test_answers_are_true_of_the_scene(composer):
    kinds = set()
    for scene, asked in examples(composer):
        counts = scene.counts()
        shown = {item.word for item in scene.items}
        for question in asked:
            kinds.add(question.kind)
            words = question.words.split()
            if question.kind in ("existence", "adversarial"):
                assert (question.answer == "yes") == (words[2] in shown)
            elif question.kind == "counting":
                assert vocabulary.COUNTS.index(question.answer) + 1 == min(4, counts[words[2]])
            elif question.kind == "colour":
                assert any(item.word == words[4] and item.colour == question.answer for item in scene.items)
            elif question.kind == "reading":
                assert any(item.word == question.answer and item.colour == words[3] for item in scene.items)
            elif question.kind == "comparison":
                sizes = {item.word: item.size for item in scene.items}
                other = words[3] if question.answer == words[5] else words[5]
                assert sizes[question.answer] >= 1.35 * sizes[other]
            elif question.kind == "relation":
                assert _stands(scene, words, question.answer)
            elif question.kind == "document":
                assert _costs(scene, words[-2], question.answer)
    assert kinds == set(vocabulary.KINDS)


def _stands(scene, words, answer):
    """Whether some `answer` lies on the named side of the object."""
    side, name = words[2], words[-2]
    subject = next(item for item in scene.items if item.word == name)
    edges = {"left": lambda o: o.box[2] <= subject.box[0], "right": lambda o: o.box[0] >= subject.box[2],
             "above": lambda o: o.box[3] <= subject.box[1], "below": lambda o: o.box[1] >= subject.box[3]}
    return any(item.word == answer and edges[side](item) for item in scene.items)


def _costs(scene, name, price):
    line = next(item for item in scene.items if item.word == name)
    return any(item.word == price and item.box[1] == line.box[1] for item in scene.items)


def test_yes_and_no_are_asked_equally_often_of_each_kind(composer):
    tally = {}
    for scene, asked in examples(composer):
        if scene.scene == "page":
            continue
        for question in asked:
            if question.kind in ("existence", "adversarial"):
                tally.setdefault(question.kind, []).append(question.answer == "yes")
    assert set(tally) == {"existence", "adversarial"}
    assert all(abs(np.mean(answers) - 0.5) < 0.08 for answers in tally.values())


def test_evidence_holds_what_is_asked_about(composer):
    for scene, asked in examples(composer):
        for question in asked:
            x0, y0, x1, y1 = question.evidence
            assert 0 <= x0 <= x1 <= 7 and 0 <= y0 <= y1 <= 7
            assert question.is_global == (question.kind == "scene" or question.answer == "no")
            if question.kind == "counting":
                name = question.words.split()[2]
                for item in scene.items:
                    if item.word == name:
                        assert x0 * PIXELS <= item.box[0] and item.box[2] <= (x1 + 1) * PIXELS


def test_training_has_no_pair_that_is_held_out(composer):
    held = [name for scene, _ in examples(composer) for item in scene.items if item.is_object
            for name in item.neighbours.values() if scenes.is_held_out(item.word, name)]
    assert not held
    share = np.mean([scenes.is_held_out(a, b) for a in vocabulary.OBJECTS for b in vocabulary.OBJECTS])
    assert 0.1 < share < 0.25


def test_labels_name_what_the_patch_shows(composer):
    content = scenes.LABELS.index("content")
    for scene, _ in examples(composer, 10):
        grid = scene.labels[content].reshape(scenes.GRID, scenes.GRID)
        assert set(np.unique(grid)) - {0} <= {vocabulary.ID[item.word] for item in scene.items}
        for item in scene.items:
            x, y = (item.box[0] + item.box[2]) // 2, (item.box[1] + item.box[3]) // 2
            others = [other for other in scene.items if other is not item and other.box[0] - 16 < x < other.box[2] + 16
                      and other.box[1] - 16 < y < other.box[3] + 16]
            if not others and item.size >= 40:
                assert grid[y // scenes.PATCH, x // scenes.PATCH] == vocabulary.ID[item.word]
