"""Pictures of the results, as SVG."""
import statistics

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "crop"
matplotlib.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import NullFormatter  # noqa: E402


def save(figure, folder, name):
    figure.tight_layout()
    # Without the date the same numbers give the same file.
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)
    return f"{name}.svg"


def throughput(results, cases, folder):
    """One panel per case and number of connections: requests per second of every server, with the spread of the rounds."""
    panels = [(key, series) for key, series in results.items() if series.rounds]
    if not panels:
        return None
    columns = 2
    rows = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(11, 2.7 * rows), squeeze=False)
    for axis in axes.flat[len(panels):]:
        axis.axis("off")
    for axis, ((key, connections), series) in zip(axes.flat, panels):
        names = [name for name in series.rounds if series.has(name)]
        rates = [series.values(name, "req_per_s") for name in names]
        middles = [statistics.median(values) for values in rates]
        spread = [[m - min(v) for m, v in zip(middles, rates)], [max(v) - m for m, v in zip(middles, rates)]]
        colours = ["#c44e52" if name.startswith("crop") else "#8c8c8c" for name in names]
        axis.barh(names, middles, xerr=spread, color=colours, ecolor="#333333", capsize=2)
        axis.invert_yaxis()
        axis.set_title(f"{cases[key].name}, {connections} connection{'s' * (connections > 1)}", fontsize=10)
        axis.set_xlabel("requests per second")
    return save(figure, folder, "throughput")


def curves(found, folder):
    """Every curve on logarithmic axes, with its exponent."""
    if not found:
        return None
    columns = 3
    rows = -(-len(found) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(12, 3 * rows), squeeze=False)
    for axis in axes.flat[len(found):]:
        axis.axis("off")
    for axis, curve in zip(axes.flat, found):
        axis.loglog(curve.xs, curve.ys, "o-", color="#4c72b0")
        axis.xaxis.set_minor_formatter(NullFormatter())
        if max(curve.ys) > 10 * min(curve.ys):
            axis.yaxis.set_minor_formatter(NullFormatter())
        fitted = "" if curve.exponent is None else f" (exponent {curve.exponent:.2f})"
        axis.set_title(curve.name + fitted, fontsize=9)
        axis.set_xlabel(curve.x_label)
        axis.set_ylabel(curve.y_label)
        axis.grid(True, which="both", alpha=0.25)
    return save(figure, folder, "scaling")


def ratios(targets, folder):
    """Each target's ratio over its goal: right of 1 is met."""
    shown = [t for t in targets if t.ratio is not None and t.goal.startswith((">=", "<=")) and "x" not in t.goal]
    if not shown:
        return None
    figure, axis = pyplot.subplots(figsize=(10, 0.28 * len(shown) + 1))
    values = []
    for target in shown:
        values.append(relation(target))
    axis.barh([f"{t.number} {t.name}" for t in shown], values, color=["#55a868" if t.met else "#c44e52" for t in shown])
    for place, target in enumerate(shown):
        if target.limit and target.bound:
            reached = target.bound / target.limit if target.at_most else target.limit / target.bound
            axis.plot([reached], [place], "k|", markersize=9, markeredgewidth=2)
    axis.axvline(1, color="#333333", linewidth=1)
    axis.set_xscale("log")
    axis.set_xlim(0.05, 20)
    axis.set_ylim(-0.7, len(shown) - 0.3)
    axis.set_xlabel("result over goal (where less is better: goal over result); black marks: what is possible here")
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=8)
    return save(figure, folder, "targets")


def relation(target):
    """How far beyond its goal a target is; 1 is just met."""
    ratio = max(abs(target.ratio), 1e-6)
    return target.bound / ratio if target.at_most else ratio / target.bound
