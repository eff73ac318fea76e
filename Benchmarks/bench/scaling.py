"""How cost grows: against tokens, width, budget, batch, connections and body size, with fitted exponents."""
import numpy as np
from safetensors.numpy import save_file

from . import inputs, memory, servers
from .inputs import Case
from .places import Unavailable
from .targets import absolute, missing


def exponent(xs, ys):
    """The slope of a straight line through the logarithms."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


class Curve:
    """One cost against one size."""

    def __init__(self, name, x_label, y_label, xs, ys, fit_from=0):
        self.name, self.x_label, self.y_label, self.xs, self.ys = name, x_label, y_label, list(xs), list(ys)
        tail = [(x, y) for x, y in zip(xs, ys) if x >= fit_from]
        self.exponent = exponent(*zip(*tail)) if len(tail) > 2 else None


def features_file(folder, kind, tokens, width, batch=None):
    generator = np.random.default_rng(17)
    arrays = {"image_features": inputs.FEATURES[kind](tokens, width, generator),
              "text_features": inputs.structured(16, width, generator),
              "attention": generator.random((16, tokens), dtype=np.float32)}
    if batch:
        arrays = {"image_features": np.stack([inputs.half(arrays["image_features"])] * batch)}
    path = folder / f"scale-{kind}-{tokens}x{width}-{batch}.safetensors"
    if not path.exists():
        save_file(arrays, path)
    return path


def in_process(measure, folder, quick, say):
    """-> [Curve] of seconds without a server."""
    curves, repeats = [], 3 if quick else 7
    tokens = (144, 288, 576, 1152) if quick else (144, 288, 576, 1152, 2304, 4608)

    def best(method, path, keep, verb="method"):
        return measure.ask(verb, method, path, keep, repeats)["best_s"]

    sizes = (576, 2304, 9216, 36864) if quick else (576, 1152, 2304, 4608, 9216, 18432, 36864)
    curves.append(Curve(
        "top-k against N", "tokens", "seconds", sizes,
        [measure.ask("topk-method", n, n // 9, repeats)["best_s"] for n in sizes], fit_from=2304))
    for method, kind in (("divprune", "structured"), ("divprune", "noise"), ("cdpruner", "structured"), ("cdpruner", "noise")):
        curves.append(Curve(
            f"{method} against N, {kind}", "tokens", "seconds", tokens,
            [best(method, features_file(folder, kind, n, 1024), 64) for n in tokens], fit_from=288))
    # A budget that grows with N is a second size that grows; D is that of large models, so that K stays far below it.
    for method in ("divprune", "cdpruner"):
        curves.append(Curve(
            f"{method} against N, K = N / 9", "tokens", "seconds", tokens,
            [best(method, features_file(folder, "structured", n, 4096), n // 9) for n in tokens], fit_from=288))
    for method in ("tome", "visionzip"):
        curves.append(Curve(
            f"{method}, merging, against N", "tokens", "seconds", tokens,
            [best(method, features_file(folder, "structured", n, 512), n // 9, "merge") for n in tokens], fit_from=288))
    widths = (256, 1024, 4096) if quick else (256, 512, 1024, 2048, 4096)
    budgets = (16, 64, 256) if quick else (16, 32, 64, 128, 256)
    for method in ("divprune", "cdpruner"):
        curves.append(Curve(
            f"{method} against D", "numbers per token", "seconds", widths,
            [best(method, features_file(folder, "structured", 576, d), 64) for d in widths]))
        curves.append(Curve(
            f"{method} against K", "kept tokens", "seconds", budgets,
            [best(method, features_file(folder, "structured", 576, 1024), k) for k in budgets]))
    for curve in curves:
        if curve.exponent is not None:
            say(f"    {curve.name:32} exponent {curve.exponent:.2f}")
    return curves


def over_http(crop, folder, generator, quick, say):
    """-> [Curve] of one server."""
    curves, seconds = [], 0.5 if quick else 1.5
    everything = frozenset({"crop"})
    rng = np.random.default_rng(19)

    def npy_case(name, array, method):
        path = folder / f"{name}.npy"
        np.save(path, array)
        tensor = "attention" if method == "topk" else "image_features"
        return Case(name, name, f"/prune?keep_tokens=64&method={method}&tensor={tensor}", path, everything)

    with memory.fresh(crop, folder, "scaling") as server:
        small = npy_case("scale-small", inputs.half(rng.random(576)), "topk")
        counts = (1, 4, 16, 64) if quick else (1, 2, 4, 8, 16, 32, 64, 128, 256)
        rates = [generator.run(server, small, n, seconds=seconds)["req_per_s"] for n in counts]
        curves.append(Curve("1 KB requests against connections", "connections", "requests per second", counts, rates))
        rows = (1, 16, 256, 4096) if quick else (1, 4, 16, 64, 256, 1024, 4096, 16384)
        cases = [npy_case(f"scale-rows-{n}", inputs.half(rng.random((n, 576))), "topk") for n in rows]
        times = [1e-6 * generator.run(server, case, 1, seconds=seconds)["p50_us"] for case in cases]
        curves.append(Curve("top-k against body size", "bytes", "seconds (p50)", [1152 * n for n in rows], times, fit_from=1 << 17))
        batches = (1, 2, 4) if quick else (1, 2, 4, 8, 16)
        times = []
        for n in batches:
            case = Case("batch", f"batch of {n}", "/prune?keep_tokens=64&method=divprune",
                        features_file(folder, "structured", 576, 1024, n), everything)
            status, body = servers.post(server, case.path, case.body())
            if status != 200:
                raise Unavailable(f"a batch of {n} was answered with {status}: {body[:200]!r}")
            times.append(1e-6 * generator.run(server, case, 1, seconds=seconds)["p50_us"])
        curves.append(Curve("DivPrune 576x1024 against batch", "images", "seconds (p50)", batches, times))
    for curve in curves:
        if curve.exponent is not None:
            say(f"    {curve.name:32} exponent {curve.exponent:.2f}")
    return curves


def targets(curves):
    """Linear means an exponent of at most 1.15 and quadratic of at most 2.15: caches make large sizes somewhat dearer."""
    found = []
    by_name = {curve.name: curve for curve in curves}
    for name, bound in (("top-k against N", 1.15), ("divprune against N, structured", 2.15), ("divprune against N, noise", 2.15),
                        ("cdpruner against N, structured", 2.15), ("cdpruner against N, noise", 2.15),
                        ("divprune against N, K = N / 9", 2.15), ("cdpruner against N, K = N / 9", 2.15)):
        title, goal = f"exponent of {name}", f"<= {bound}"
        curve = by_name.get(name)
        if curve is None or curve.exponent is None:
            found.append(missing("8", title, goal, "not measured"))
        else:
            found.append(absolute("8", title, goal, bound, [curve.exponent], "exponent"))
    return found
