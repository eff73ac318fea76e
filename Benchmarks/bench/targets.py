"""The targets, and what a run says of each."""
import dataclasses
import statistics


@dataclasses.dataclass
class Target:
    """One line of the summary. `ratio` is the median over rounds, `spread` its lowest and highest."""

    number: str
    name: str
    goal: str
    ours: float | None = None
    peer: float | None = None
    unit: str = ""
    ratio: float | None = None
    spread: list | None = None
    met: bool | None = None
    reason: str | None = None

    def line(self):
        state = {True: "met", False: "NOT MET", None: "not measured"}[self.met]
        figures = "" if self.ratio is None else (
            f"{short(self.ours)} to {short(self.peer)} {self.unit}: {short(self.ratio)} ({short(self.spread[0])}-{short(self.spread[1])})")
        why = f": {self.reason}" if self.reason else ""
        return f"{self.number} {self.name:58} {figures:50} goal {self.goal:14} {state}{why}"


def short(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def compare(number, name, goal, bound, ratios, ours, peer, unit, at_most=False):
    """A ratio per round against a bound."""
    ratio = statistics.median(ratios)
    return Target(
        number, name, goal, ours, peer, unit, ratio, [min(ratios), max(ratios)],
        bool(ratio <= bound if at_most else ratio >= bound))


def missing(number, name, goal, reason):
    return Target(number, name, goal, reason=reason)


def from_series(number, name, goal, bound, series, first, second, key="req_per_s", unit="req/s", inverse=False, at_most=False):
    """A target that is a ratio of two sides of one series; not measured when one of them is missing."""
    if not series.has(first, second):
        return missing(number, name, goal, series.why_not(first, second))
    return compare(
        number, name, goal, bound, series.ratios(first, second, key, inverse), series.median(first, key),
        series.median(second, key), unit, at_most)


def absolute(number, name, goal, bound, values, unit, at_most=True):
    """Values of ours alone against a bound; the ratio is to the bound."""
    value = statistics.median(values)
    return Target(
        number, name, goal, value, bound, unit, value / bound, [min(values) / bound, max(values) / bound],
        bool(value <= bound if at_most else value >= bound))
