"""Draws the dashboards as SVG from what a real Prometheus answers, because Grafana is not here to do it.

    /usr/bin/python3 -m tests.prometheus.draw --out docs/images [--seconds 60]

Panels lie as in Grafana, with their titles, units and limits; of each at most four lines are drawn and named. Windows are of seconds (scene.py).
"""

import argparse
import json
import pathlib
import re
import tempfile
from xml.sax.saxutils import escape

from . import rules, scene

COLUMN, ROW = 50, 26  # pixels of a unit of Grafana's grid
COLOURS = ["#3aa655", "#c79100", "#2f7ed8", "#e0592a"]
LIMITS = {"yellow": "#c79100", "red": "#d33"}
LINES = 4
STEPS = 120  # points of a line
STYLE = """
text { font: 11px sans-serif; fill: #555 }
.title { font-weight: bold; fill: #333 }
.row { font: bold 14px sans-serif; fill: #333 }
.big { font-size: 26px }
.panel { fill: #fff; stroke: #ccc }
.line { fill: none; stroke-width: 1.4; stroke-linejoin: round }
.grid { stroke: #888; stroke-opacity: .25 }
.limit { stroke-dasharray: 4 3 }
"""
SCALES = {"s": [(86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")], "bytes": [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]}


def shown(value, unit):
    """A value with its unit, as short as Grafana writes it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    base = "bytes" if unit == "Bps" else unit
    after = {"Bps": "/s", "ops": "/s"}.get(unit, "")
    for size, name in SCALES.get(base, [(1e6, "M"), (1e3, "k"), (1, "")]):
        if abs(value) >= size:
            return f"{value / size:.3g}{' ' * (base in SCALES)}{name}{after}"
    return f"{value:.3g}{' ' * (base in SCALES)}{SCALES[base][-1][1] if base in SCALES and value else ''}{after}"


def legend(form, labels):
    """The name of a line without that of the instance, of which there is one."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: "" if match[1] == "instance" else labels.get(match[1], ""), form).strip()


def limits_of(panel):
    return [(step["value"], step["color"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"] if step["value"] is not None and step["color"] in LIMITS]


def drawn_stat(panel, prometheus, box):
    x, y, width, _ = box
    unit = panel["fieldConfig"]["defaults"]["unit"]
    found = prometheus.query(panel["targets"][0]["expr"])
    text = shown(found[0][1], unit) if found else "no data"
    return [f'<text class="big" x="{x + width / 2:.0f}" y="{y + 68}" text-anchor="middle">{escape(text)}</text>']


def drawn_graph(panel, prometheus, box):
    x, y, width, height = box
    unit = panel["fieldConfig"]["defaults"]["unit"]
    start, end = prometheus.start, prometheus.end
    lines = []
    for target in panel["targets"]:
        for labels, points in prometheus.between(target["expr"], start, end, max((end - start) / STEPS, 0.5)):
            points = [point for point in points if point[1] == point[1] and abs(point[1]) != float("inf")]
            if points:
                lines.append((legend(target["legendFormat"], labels), points))
    lines = sorted(lines, key=lambda line: -max(value for _, value in line[1]))
    left_out, lines = len(lines) - LINES, lines[:LINES]
    if not lines:
        return [f'<text x="{x + width / 2:.0f}" y="{y + height / 2:.0f}" text-anchor="middle">no data</text>']
    low, high = 0, max(value for _, points in lines for _, value in points) * 1.1 or 1
    left, top, right, bottom = x + 62, y + 34, x + width - 12, y + height - 40
    place = lambda at, value: (left + (at - start) / (end - start) * (right - left), bottom - (value - low) / (high - low) * (bottom - top))
    parts = []
    for share in (0, 0.5, 1):
        value = low + share * (high - low) / 1.1
        level = place(start, value)[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text x="{left - 5}" y="{level + 4:.1f}" text-anchor="end">{escape(shown(value, unit))}</text>')
    for value, colour in limits_of(panel):
        if low < value < high:
            level = place(start, value)[1]
            parts.append(f'<line class="limit" stroke="{LIMITS[colour]}" x1="{left}" x2="{right}" y1="{level:.1f}" y2="{level:.1f}"/>')
    across = left
    for (name, points), colour in zip(lines, COLOURS):
        path = " ".join(f"{px:.0f},{py:.0f}" for px, py in (place(*point) for point in points))
        parts.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        if name and across + 7 * len(name) < right:
            parts.append(f'<text x="{across:.0f}" y="{bottom + 28}" style="fill:{colour}">{escape(name)}</text>')
        across += 7 * len(name) + 12
    if left_out > 0:
        parts.append(f'<text x="{right}" y="{y + 18}" text-anchor="end">and {left_out} more</text>')
    parts.append(f'<text x="{left}" y="{bottom + 14}">0 s</text><text x="{right}" y="{bottom + 14}" text-anchor="end">{end - start:.0f} s</text>')
    return parts


def drawn(dashboard, prometheus):
    """A dashboard as SVG."""
    parts, below = [], 0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y, width, height = place["x"] * COLUMN, 30 + place["y"] * ROW, place["w"] * COLUMN, place["h"] * ROW
        below = max(below, y + height)
        if panel["type"] == "row":
            parts.append(f'<text class="row" x="4" y="{y + 18}">{escape(panel["title"])}</text>')
            continue
        parts.append(f'<rect class="panel" x="{x + 2}" y="{y + 2}" width="{width - 4}" height="{height - 4}" rx="3"/>')
        parts.append(f'<text class="title" x="{x + 10}" y="{y + 18}">{escape(panel["title"])}</text>')
        parts += (drawn_graph if panel["type"] == "timeseries" else drawn_stat)(panel, prometheus, (x, y, width, height))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {below + 6}" width="{24 * COLUMN}"><style>{STYLE}</style>'
    back = f'<rect width="{24 * COLUMN}" height="{below + 6}" fill="#f4f5f5"/><text class="row" x="4" y="20">{escape(dashboard["title"])}</text>'
    return "\n".join([head, back, *parts, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, scene.watched(folder, arguments.seconds) as prometheus:
        for file in sorted(rules.DASHBOARDS.glob("*.json")):
            (arguments.out / f"dashboard-{file.stem}.svg").write_text(drawn(json.loads(file.read_text()), prometheus))


if __name__ == "__main__":
    main()
