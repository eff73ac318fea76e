#!/usr/bin/env python3
"""Writes the table and the plot of docs/when-to-prune.md from what `crop plan` answers.

    python3 tools/when_to_prune.py [--crop .build/release/crop]

Needs nothing beside Python.
"""

import argparse
import json
import math
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "when-to-prune.md"
PLOT = ROOT / "docs" / "when-to-prune.svg"
LLAVA = {"hidden": 4096, "layers": 32, "heads": 32, "intermediate": 11008, "gated": True, "text_tokens": 64}
QWEN = {"hidden": 3584, "layers": 28, "heads": 28, "kv_heads": 4, "intermediate": 18944, "gated": True, "text_tokens": 64}
# Effective TFLOP/s in prefill, assumed, and GB/s of memory by the data sheets.
ACCELERATORS = {"H100": (400, 3350), "A100": (150, 2039), "L4": (60, 300)}
# name, model, tokens, kept, parameters, what differs in break_even
CASES = [
    ("LLaVA-1.5-7B, a row of attention", LLAVA, 576, 64, {"method": "fastv"}, {}),
    ("LLaVA-1.5-7B, features before the projector", LLAVA, 576, 64, {"method": "divprune"}, {"feature_width": 1024}),
    ("LLaVA-1.5-7B, features and text", LLAVA, 576, 64, {"method": "mmtok"}, {"feature_width": 4096}),
    ("LLaVA-NeXT-7B, a row of attention", LLAVA, 2880, 320, {"method": "fastv"}, {}),
    ("LLaVA-NeXT-7B, features as the LLM sees them", LLAVA, 2880, 320, {"method": "divprune"}, {}),
    ("LLaVA-NeXT-7B, the same by Unix socket", LLAVA, 2880, 320, {"method": "divprune"}, {"transport": "unix"}),
    ("LLaVA-NeXT-7B, the same, 30 ms to compute as on smooth features", LLAVA, 2880, 320, {"method": "divprune"}, {"compute_ms": 30}),
    ("LLaVA-NeXT-7B, the same, 390 ms as measured with httpx", LLAVA, 2880, 320, {"method": "divprune"}, {"call_ms": 390}),
    ("Qwen2.5-VL-7B, video of 20,736 tokens", QWEN, 20736, 10368, {"method": "evs"}, {"processors": 2}),
    ("the same, 32 requests at a time", QWEN, 20736, 10368, {"method": "evs"}, {"processors": 2, "concurrency": 32}),
]
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f3b08", "#999999", "#000000", "#8c6bb1"]


def plan(crop, case, teraflops, bandwidth=None):
    _, model, tokens, kept, parameters, own = case
    machine = {"tflops": teraflops, **({"bandwidth": bandwidth} if bandwidth else {}), **own}
    body = {"layout": {"type": "raw", "tokens": tokens}, "keep_tokens": kept, "model_dimensions": model, "break_even": machine, **parameters}
    done = subprocess.run([crop, "plan", "--parameters", json.dumps(body)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)["break_even"]


def prefill_saved(found):
    return found["saved"]["prefill_ms"]["before"] - found["saved"]["prefill_ms"]["after"]


def call(found):
    return sum(found["call"][name] for name in ("transport_ms", "compute_ms", "waiting_ms"))


def table(crop):
    names = [f"{name}, {numbers[0]} TFLOP/s" for name, numbers in ACCELERATORS.items()]
    lines = ["| request | method | call, ms | pays below, TFLOP/s | " + " | ".join(names) + " |", "|---|---|---|---|" + "---|" * len(names)]
    for case in CASES:
        answers = [plan(crop, case, *numbers) for numbers in ACCELERATORS.values()]
        limit = answers[0]["break_even_tflops"]
        cells = []
        for found in answers:
            verdict = "pays" if found["verdict"] == "pays" else "**does not pay**"
            cells.append(f"{verdict}{', close' if found['close'] else ''}: {prefill_saved(found):.0f} ms saved, net {found['net_ms']:+.0f}")
        lines.append(f"| {case[0]} | `{case[4]['method']}` | {call(answers[0]):.1f} | {limit:,.0f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n", answers[0]["call"]["source"]


def plot(crop):
    """-> an SVG: saved over call by the accelerator's TFLOP/s, both axes logarithmic."""
    width, height, left, right, top, bottom = 800, 420, 60, 370, 20, 50
    xs, ys = (20, 1000), (0.1, 1000)

    def x(value):
        return left + (width - left - right) * math.log(value / xs[0]) / math.log(xs[1] / xs[0])

    def y(value):
        value = min(max(value, ys[0]), ys[1])
        return height - bottom - (height - top - bottom) * math.log(value / ys[0]) / math.log(ys[1] / ys[0])

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>']
    for tick in (20, 50, 100, 200, 400, 1000):
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{height - bottom}" stroke="#ddd"/>'
                   f'<text x="{x(tick):.1f}" y="{height - bottom + 16}" text-anchor="middle">{tick}</text>')
    for tick in (0.1, 1, 10, 100, 1000):
        colour, heavy = ("#000", 1.5) if tick == 1 else ("#ddd", 1)
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{colour}" stroke-width="{heavy}"/>'
                   f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for name, (teraflops, _) in ACCELERATORS.items():
        out.append(f'<text x="{x(teraflops):.1f}" y="{top + 10}" text-anchor="middle" fill="#666">{name}</text>')
    for place, case in enumerate(CASES):
        points = []
        for step in range(25):
            teraflops = xs[0] * (xs[1] / xs[0]) ** (step / 24)
            found = plan(crop, case, teraflops)
            points.append(f"{x(teraflops):.1f},{y(prefill_saved(found) / call(found)):.1f}")
        out.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLOURS[place]}" stroke-width="2"/>')
        row = top + 12 + 18 * place
        out.append(f'<line x1="{width - right + 12}" x2="{width - right + 30}" y1="{row - 4}" y2="{row - 4}" stroke="{COLOURS[place]}" stroke-width="2"/>'
                   f'<text x="{width - right + 35}" y="{row}">{case[0]}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 14}" text-anchor="middle">effective TFLOP/s of the accelerator</text>')
    out.append(f'<text transform="translate(16 {height / 2}) rotate(-90)" text-anchor="middle">prefill saved / cost of the call</text></svg>')
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crop", default=ROOT / ".build" / "release" / "crop", type=pathlib.Path)
    options = parser.parse_args()
    rows, source = table(options.crop)
    text, count = re.subn(r"^\| request \|.*\n(?:\|.*\n)*", lambda _: rows, PAGE.read_text(), count=1, flags=re.M)
    if count != 1:
        raise SystemExit(f"{PAGE} has no table that begins with '| request |'")
    PAGE.write_text(re.sub(r"^Figures of calls: .*$", f"Figures of calls: {source}.", text, flags=re.M))
    PLOT.write_text(plot(options.crop))


if __name__ == "__main__":
    main()
