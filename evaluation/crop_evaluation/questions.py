"""Questions about a scene, each with its one-word answer and its evidence as blocks of the 8 x 8 grid."""
from dataclasses import dataclass

import numpy as np

from . import scenes, vocabulary

PER_SCENE = 24
WHOLE = (0, 0, 7, 7)


@dataclass
class Question:
    kind: str
    words: str
    answer: str
    evidence: tuple
    is_global: bool = False

    def encoded(self):
        """[answer, kind, length, x_min, y_min, x_max, y_max, global]"""
        return [vocabulary.ID[self.answer], vocabulary.KINDS.index(self.kind), len(self.words.split()), *self.evidence,
                int(self.is_global)]


def ask(random, scene):
    """PER_SCENE different questions in random order (a few repeat where a scene does not offer as many)."""
    questions = _page_questions(random, scene) if scene.scene == "page" else _collage_questions(random, scene)
    questions.append(Question("scene", "what is the background ?", scene.scene, WHOLE, True))
    questions = list({question.words: question for question in questions}.values())
    order = list(random.permutation(len(questions)))
    while len(order) < PER_SCENE:
        order.append(int(random.integers(len(questions))))
    return [questions[index] for index in order[:PER_SCENE]]


def _evidence(*items):
    return tuple(int(side) for side in scenes.blocks(scenes.union(*(item.whole_box for item in items))))


def _pick(random, sequence, count):
    return [sequence[index] for index in random.permutation(len(sequence))[:count]]


def _collage_questions(random, scene):
    counts = scene.counts()
    objects = [item for item in scene.items if item.is_object]
    unique = [item for item in objects if counts[item.word] == 1]
    by_word = {}
    for item in objects:
        by_word.setdefault(item.word, []).append(item)
    result = _relations(random, unique, by_word) + _attributes(scene, unique)
    for word in _pick(random, list(by_word), 2) + [max(counts, key=counts.get)]:
        result.append(Question("counting", f"how many {word} ?", vocabulary.COUNTS[min(counts[word], 4) - 1],
                               _evidence(*by_word[word])))
    result += _comparisons(random, unique)
    absent = [word for word in vocabulary.OBJECTS if word not in counts]
    likely = [word for word in absent if any(other in counts for other in vocabulary.GROUP_OF[word])]
    words = _pick(random, list(by_word), 6)
    for kind, present, missing in (("existence", words[:3], _pick(random, absent, 3)),
                                   ("adversarial", words[3:], _pick(random, likely, 3))):
        # As many yes as no, so that the answer is not in the wording.
        pairs = min(len(present), len(missing))
        for word in present[:pairs]:
            result.append(Question(kind, f"is there {word} ?", "yes", _evidence(*by_word[word])))
        for word in missing[:pairs]:
            result.append(Question(kind, f"is there {word} ?", "no", WHOLE, True))
    return result


def _relations(random, unique, by_word):
    result = []
    for item in unique:
        for side, word in item.neighbours.items():
            # "What is right of A?" is answered by what stands on A's right.
            other = min(by_word.get(word, []), key=lambda o: _distance(item, o), default=None)
            if other is not None:
                of = "of " if side in ("left", "right") else ""
                result.append(Question("relation", f"what is {side} {of}{item.word} ?", word, _evidence(item, other)))
    return _pick(random, result, 5)


def _distance(first, second):
    return sum(abs(a - b) for a, b in zip(first.box, second.box))


def _attributes(scene, unique):
    result = [Question("colour", f"what color is under {item.word} ?", item.colour, _evidence(item))
              for item in unique if item.colour]
    result += [Question("reading", f"what says the {item.colour} sign ?", item.word, _evidence(item))
               for item in scene.items if not item.is_object]
    return result


def _comparisons(random, unique):
    result = []
    for _ in range(12):
        if len(result) == 2 or len(unique) < 2:
            break
        first, second = _pick(random, unique, 2)
        if max(first.size, second.size) >= 1.35 * min(first.size, second.size):
            larger = first if first.size > second.size else second
            result.append(Question("comparison", f"which is larger {first.word} or {second.word} ?", larger.word,
                                   _evidence(first, second)))
    return result


def _page_questions(random, scene):
    lines = [(item, price) for item, price in zip(scene.items[::2], scene.items[1::2])]
    result = []
    for item, price in lines:
        words = "what is the total ?" if item.word == "total" else f"what is the price of {item.word} ?"
        result.append(Question("document", words, price.word, _evidence(item, price)))
    present = [item for item, _ in lines if item.word != "total"]
    absent = [word for word in vocabulary.ITEMS if word not in {item.word for item in present}]
    count = min(len(present), len(absent), 5)
    for item in _pick(random, present, count):
        result.append(Question("existence", f"is there {item.word} ?", "yes", _evidence(item)))
    for word in _pick(random, absent, count):
        result.append(Question("existence", f"is there {word} ?", "no", WHOLE, True))
    return result
