"""The targets, and what a run says of each.

Beside a ratio stands its limit where the same run measured one: the ratio that the C echo reaches in our place, which
computes nothing, or the one that the processor's multiply-adds allow. A goal beyond its limit is out of reach on this
machine, as far as these rounds say; it stays a goal, and it stays missed.
"""
import dataclasses
import statistics


@dataclasses.dataclass
class Target:
    """One line of the summary.

    `ratio` is the median over rounds, `spread` its lowest and highest; `limit` is the ratio that is possible here at all,
    and `bound` the ratio that meets the goal.
    """

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
    limit: float | None = None
    bound: float | None = None
    at_most: bool = False
    # Whether the goal is about our own figure, and the ratio that to the bound.
    absolute: bool = False
    # Measured to explain the goal above it, and no goal itself.
    is_aside: bool = False

    @property
    def out_of_reach(self):
        """Whether the goal lies beyond what is possible here; None where no limit was measured."""
        if self.limit is None or self.bound is None:
            return None
        return self.limit > self.bound if self.at_most else self.limit < self.bound

    @property
    def why(self):
        """Why a goal is missed, as far as this run measured it."""
        if self.met is not False:
            return None
        if self.out_of_reach is None:
            return "no limit was measured"
        return f"the limit, {short(self.limit)}, {'misses it as well' if self.out_of_reach else 'leaves room'}"

    def line(self):
        if self.is_aside:
            return f"{self.number} {self.name:58} {short(self.ours)} to {short(self.peer)} {self.unit}: {short(self.ratio)}"
        state = {True: "met", False: "NOT MET", None: "not measured"}[self.met]
        figures = "" if self.ratio is None else (
            f"{short(self.ours)} to {short(self.peer)} {self.unit}: {short(self.ratio)} ({short(self.spread[0])}-{short(self.spread[1])})")
        why = f": {self.reason}" if self.reason else f": {self.why}" if self.why else ""
        return f"{self.number} {self.name:58} {figures:50} goal {self.goal:14} {state}{why}"


def short(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def compare(number, name, goal, bound, ratios, ours, peer, unit, at_most=False, limit=None):
    """A ratio per round against a bound."""
    ratio = statistics.median(ratios)
    return Target(
        number, name, goal, ours, peer, unit, ratio, [min(ratios), max(ratios)],
        bool(ratio <= bound if at_most else ratio >= bound), limit=limit, bound=bound, at_most=at_most)


def aside(target):
    """The same without a goal."""
    return dataclasses.replace(target, goal="", met=None, bound=None, is_aside=True)


def missing(number, name, goal, reason):
    return Target(number, name, goal, reason=reason)


def from_series(
        number, name, goal, bound, series, first, second, key="req_per_s", unit="req/s", inverse=False, at_most=False, limit=None):
    """A target that is a ratio of two sides of one series; not measured when one of them is missing."""
    if not series.has(first, second):
        return missing(number, name, goal, series.why_not(first, second))
    return compare(
        number, name, goal, bound, series.ratios(first, second, key, inverse), series.median(first, key),
        series.median(second, key), unit, at_most, limit)


def limit_by(series, sides, second, key="req_per_s", inverse=False):
    """The best ratio that one of `sides` reaches to `second` in the same rounds; None when none of them was measured."""
    reached = [
        statistics.median(series.ratios(side, second, key, inverse)) for side in sides if series.has(side, second)]
    return max(reached, default=None)


def absolute(number, name, goal, bound, values, unit, at_most=True):
    """Values of ours alone against a bound; the ratio is to the bound."""
    value = statistics.median(values)
    return Target(
        number, name, goal, value, bound, unit, value / bound, [min(values) / bound, max(values) / bound],
        bool(value <= bound if at_most else value >= bound), bound=1, at_most=at_most, absolute=True)
