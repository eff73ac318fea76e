"""Interleaved rounds: every side is measured once per round, so that whatever else the machine does falls on all."""
import statistics

from .places import Unavailable


class Series:
    """What was measured, per side, round by round; a side that fails is left out from then on, with the reason."""

    def __init__(self):
        self.rounds, self.failures = {}, {}

    def run(self, count, sides, say=lambda text: None):
        """`sides`: {name: function -> figures}."""
        for number in range(count):
            # Alternate the order, so that no side always follows the same one.
            names = list(sides) if number % 2 == 0 else list(reversed(sides))
            figures = {}
            for name in names:
                if name in self.failures:
                    continue
                try:
                    figures[name] = sides[name]()
                except (Unavailable, OSError, ValueError, KeyError) as error:
                    self.failures[name] = str(error)
                    say(f"{name}: {error}")
            for name, value in figures.items():
                self.rounds.setdefault(name, []).append(value)
        return self

    def has(self, *names):
        return all(self.rounds.get(name) and name not in self.failures for name in names)

    def why_not(self, *names):
        return "; ".join(self.failures.get(name, f"{name} was not measured") for name in names if not self.has(name))

    def median(self, name, key):
        return statistics.median(figures[key] for figures in self.rounds[name])

    def values(self, name, key):
        return [figures[key] for figures in self.rounds[name]]

    def ratios(self, first, second, key, inverse=False):
        """first / second within each round; second / first where less is better."""
        pairs = zip(self.values(first, key), self.values(second, key))
        return [b / max(a, 1e-12) if inverse else a / max(b, 1e-12) for a, b in pairs]
