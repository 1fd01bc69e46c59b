"""Line plots as SVG, written by hand: a few panels of lines with axes, nice ticks and one legend.

Nothing is painted behind the plot, and text and lines have colours that can be read on white and on black; where the
viewer says which of the two it is, text and grid follow.
"""

import math
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

# A server has the same colour in every plot; its policies or variants differ in their dashes.
SERVER_COLOURS = {"pinfold": "#2f7ed8", "redis-server": "#e0592a", "memcached": "#3aa655"}
COLOURS = ["#9b59b6", "#c79100", "#7f8c8d", "#17a2a2", "#b0487a", "#6b8e23"]  # of everything else
DASHES = ["", "7 3", "2 3", "9 3 2 3"]
PANEL_WIDTH, PANEL_HEIGHT = 420, 260  # of one panel, unless it is told to be wider
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 44  # around the plotting area of a panel
LEGEND_LINE = 20

STYLE = """
text { font: 12px sans-serif; fill: #777 }
.title { font-weight: bold }
.grid { stroke: #888; stroke-opacity: .25 }
.axis { stroke: #888; fill: none }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.limit { stroke: #d33; stroke-width: 1.4; stroke-dasharray: 6 4 }
@media (prefers-color-scheme: dark) { text { fill: #aaa } }
"""


@dataclass
class Line:
    name: str
    points: list  # (x, y), in order of x
    marks: bool = False  # a dot at every point: for few measured points


@dataclass
class Panel:
    title: str
    x_label: str
    y_label: str
    lines: list = field(default_factory=list)
    limit: float | None = None  # a horizontal line
    limit_name: str = ""
    spans: list = field(default_factory=list)  # (from x, to x, name): stretches of the x axis, instead of ticks
    from_zero: bool = True
    reach: float | None = None  # the y axis goes at least so far, so that panels can have the same
    logarithmic: bool = False  # the x axis doubles at equal distances; ticks stand at the points


def nice_ticks(low, high, about=5):
    """Round numbers from at most `low` to at least `high`, apart by 1, 2 or 5 times a power of ten."""
    if not high > low:
        high = low + (abs(low) or 1)
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    decimals = max(0, -math.floor(math.log10(step)))
    return [round(n * step, decimals) for n in range(first, last + 1)]


def _number(value):
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


class _Scale:
    """Maps data to pixels."""

    def __init__(self, low, high, start, end, logarithmic=False):
        self._convert = math.log2 if logarithmic else float
        self._low, high = self._convert(low), self._convert(high)
        self._factor = (end - start) / ((high - self._low) or 1)
        self._start = start

    def __call__(self, value):
        return self._start + (self._convert(value) - self._low) * self._factor


def _styles(names):
    """name -> (colour, dashes) for all lines of a plot."""
    styles, variants, others = {}, {}, iter(range(len(names)))
    for name in names:
        server = name.split()[0].lower() if name else ""
        if server in SERVER_COLOURS:
            variant = variants[server] = variants.get(server, -1) + 1
            styles[name] = (SERVER_COLOURS[server], DASHES[variant % len(DASHES)])
        else:
            styles[name] = (COLOURS[next(others) % len(COLOURS)], "")
    return styles


def _stroke(style):
    colour, dashes = style
    return f'stroke="{colour}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _axes(panel):
    """(x ticks, y ticks); the first and the last are the ends of the axis."""
    xs = [x for line in panel.lines for x, _ in line.points] or [0, 1]
    ys = [y for line in panel.lines for _, y in line.points] or [0, 1]
    if panel.limit is not None:
        ys = ys + [panel.limit]
    if panel.reach is not None:
        ys = ys + [panel.reach]
    if panel.spans:
        xticks = [panel.spans[0][0], panel.spans[-1][1]]
    else:
        xticks = sorted(set(xs)) if panel.logarithmic else nice_ticks(min(xs), max(xs), 6)
    return xticks, nice_ticks(0 if panel.from_zero else min(ys), max(ys))


def _text(x, y, text, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _panel(panel, left, top, width, styles):
    xticks, yticks = _axes(panel)
    area_left, area_right = left + LEFT, left + width - RIGHT
    area_top, area_bottom = top + TOP, top + PANEL_HEIGHT - BOTTOM
    x_of = _Scale(xticks[0], xticks[-1], area_left, area_right, panel.logarithmic)
    y_of = _Scale(yticks[0], yticks[-1], area_bottom, area_top)
    middle = (area_left + area_right) / 2
    out = [_text(middle, top + 16, panel.title, more=' class="title"')]
    for tick in yticks:
        y = y_of(tick)
        out.append(f'<path class="grid" d="M{area_left} {y:.1f}H{area_right}"/>')
        out.append(_text(area_left - 6, y + 4, _number(tick), "end"))
    for tick in () if panel.spans else xticks:
        x = x_of(tick)
        out.append(f'<path class="axis" d="M{x:.1f} {area_bottom}v4"/>')
        out.append(_text(x, area_bottom + 17, _number(tick)))
    out.append(f'<path class="axis" d="M{area_left} {area_top}V{area_bottom}H{area_right}"/>')
    for start, end, name in panel.spans:
        out.append(f'<path class="grid" d="M{x_of(end):.1f} {area_top}V{area_bottom}"/>')
        out.append(_text((x_of(start) + x_of(end)) / 2, area_bottom + 17, name))
    out.append(_text(middle, area_bottom + 36, panel.x_label))
    y = (area_top + area_bottom) / 2
    # An axis that does not begin at zero says so, and is broken at its foot.
    cut_off = yticks[0] > 0
    if cut_off:
        out.append(f'<path class="axis" d="M{area_left - 4} {area_bottom - 6}l8 -4M{area_left - 4} {area_bottom - 10}l8 -4"/>')
    label = panel.y_label + (f", from {_number(yticks[0])} on" if cut_off else "")
    out.append(_text(left + 14, y, label, more=f' transform="rotate(-90 {left + 14} {y:.1f})"'))
    if panel.limit is not None:
        out.append(f'<path class="limit" d="M{area_left} {y_of(panel.limit):.1f}H{area_right}"/>')
    for line in panel.lines:
        places = [(x_of(x), y_of(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline class="line" {_stroke(styles[line.name])} points="{path}"/>')
        if line.marks:
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{styles[line.name][0]}"/>' for x, y in places]
    return out


def _legend(entries, top, width):
    """One line of names where they fit, more where not; returns (elements, height)."""
    out, x, y = [], LEFT, top + LEGEND_LINE / 2
    for name, style in entries:
        needed = 34 + 7 * len(name)
        if x > LEFT and x + needed > width:
            x, y = LEFT, y + LEGEND_LINE
        out.append(f'<path {style} d="M{x} {y:.1f}h20"/>')
        out.append(_text(x + 26, y + 4, name, "start"))
        x += needed + 14
    return out, y + LEGEND_LINE - top


def svg(panels, columns=1, panel_width=PANEL_WIDTH):
    """The panels in rows of so many columns, under one legend: a name looks the same in all of them."""
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    styles = _styles(names)
    columns = min(columns, len(panels))
    width = columns * panel_width
    entries = [(name, f'class="line" {_stroke(styles[name])}') for name in names]
    limits = dict.fromkeys(panel.limit_name for panel in panels if panel.limit is not None)
    body, top = _legend(entries + [(name, 'class="limit"') for name in limits], 0, width)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        body += _panel(panel, column * panel_width, top + row * PANEL_HEIGHT, panel_width, styles)
    height = top + math.ceil(len(panels) / columns) * PANEL_HEIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" ' \
           f'height="{height:.0f}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *body, "</svg>"]) + "\n"
