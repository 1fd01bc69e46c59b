"""Plots: right places, and files that a browser can read."""

import pathlib
import re
from xml.etree import ElementTree

import plot
import pytest
import servers

PLOTS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "plots"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("low, high, ticks", [
    (0, 10, [0, 2, 4, 6, 8, 10]),
    (0, 146.4, [0, 50, 100, 150]),
    (0.61, 0.83, [0.6, 0.65, 0.7, 0.75, 0.8, 0.85]),
    (-3, 3, [-4, -2, 0, 2, 4]),
    (0, 0.0007, [0, 0.0002, 0.0004, 0.0006, 0.0008]),
    (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
])
def test_ticks_are_round_and_enclose_what_is_shown(low, high, ticks):
    assert plot.nice_ticks(low, high) == ticks


def points(element):
    return [tuple(map(float, pair.split(","))) for pair in element.get("points").split()]


def parsed(panels, **options):
    return ElementTree.fromstring(plot.svg(panels, **options))


def texts(root):
    return [element.text for element in root.iter(SVG + "text")]


def test_points_lie_where_the_axes_say():
    panel = plot.Panel("t", "x", "y", [plot.Line("a", [(0, 0), (10, 100)], marks=True)], limit=50, limit_name="most")
    root = parsed([panel])
    (start, end), = [points(line) for line in root.iter(SVG + "polyline")]
    assert start[0] == plot.LEFT and end[0] == plot.PANEL_WIDTH - plot.RIGHT
    assert start[1] - end[1] == plot.PANEL_HEIGHT - plot.TOP - plot.BOTTOM
    (legend, limit) = [path.get("d") for path in root.iter(SVG + "path") if path.get("class") == "limit"]
    assert float(re.match(r"M\d+ ([\d.]+)H", limit).group(1)) == pytest.approx((start[1] + end[1]) / 2)
    assert len(list(root.iter(SVG + "circle"))) == 2
    assert {"most", "a", "x", "y", "t", "0", "10", "100"} <= set(texts(root))


def test_a_limit_above_all_lines_is_inside():
    root = parsed([plot.Panel("t", "x", "y", [plot.Line("a", [(0, 1), (1, 2)])], limit=90, limit_name="most")])
    assert "100" in texts(root)


def test_panels_that_reach_equally_far_have_the_same_axis():
    low, high = (plot.Panel("t", "x", "y", [plot.Line("a", [(0, 0), (1, most)])], reach=90) for most in (3, 90))
    ticks = [[text for text in texts(parsed([panel])) if text not in "atxy"] for panel in (low, high)]
    assert ticks[0] == ticks[1] and "100" in ticks[0]


def test_a_logarithmic_axis_puts_doublings_at_equal_distances():
    line = plot.Line("a", [(8, .5), (16, .6), (32, .7)])
    root = parsed([plot.Panel("t", "x", "y", [line], logarithmic=True, from_zero=False)])
    first, second, third = next(points(found) for found in root.iter(SVG + "polyline"))
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=.11)
    assert {"8", "16", "32"} <= set(texts(root))


def test_stretches_of_the_axis_are_named_instead_of_numbered():
    panel = plot.Panel("t", "x", "y", [plot.Line("a", [(0, 1), (2, 1)])], spans=[(0, 1, "first"), (1, 2, "second")])
    found = texts(parsed([panel], panel_width=900))
    assert "first" in found and "second" in found and "0.5" not in found


def test_a_name_has_one_colour_in_all_panels_and_one_place_in_the_legend():
    panels = [plot.Panel(str(n), "x", "y", [plot.Line(name, [(0, 1), (1, n)]) for name in names])
              for n, names in enumerate((["a", "b"], ["b", "c"], ["a"]))]
    root = parsed(panels, columns=2)
    colours = [line.get("stroke") for line in root.iter(SVG + "polyline")]
    assert len(set(colours)) == 3 and colours[1] == colours[2] and colours[0] == colours[4]
    assert sum(text in "abc" for text in texts(root)) == 3
    width, height = float(root.get("width")), float(root.get("height"))
    assert width == 2 * plot.PANEL_WIDTH and height > 2 * plot.PANEL_HEIGHT
    for line in root.iter(SVG + "polyline"):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points(line))


def test_a_server_has_its_colour_in_every_plot_and_its_policies_differ_in_their_dashes():
    names = ["redis-server allkeys-lru", "pinfold allkeys-lfu", "something else", "redis-server allkeys-lfu"]
    roots = [parsed([plot.Panel("t", "x", "y", [plot.Line(name, [(0, 1), (1, 2)]) for name in order])]) for order in (names, names[::-1])]
    for root, order in zip(roots, (names, names[::-1])):
        lines = dict(zip(order, root.iter(SVG + "polyline")))
        assert lines["pinfold allkeys-lfu"].get("stroke") == plot.SERVER_COLOURS["pinfold"]
        redis = [lines["redis-server allkeys-lru"], lines["redis-server allkeys-lfu"]]
        assert {line.get("stroke") for line in redis} == {plot.SERVER_COLOURS["redis-server"]}
        assert len({line.get("stroke-dasharray") for line in redis}) == 2
        assert lines["something else"].get("stroke") not in plot.SERVER_COLOURS.values()


def test_the_servers_that_have_colours_are_those_that_are_measured():
    assert set(plot.SERVER_COLOURS) == {server.name for server in servers.KINDS.values()}


@pytest.mark.parametrize("name", sorted(path.name for path in PLOTS.glob("*.svg")))
def test_the_plots_of_the_documents_are_in_these_colours(name):
    root = ElementTree.parse(PLOTS / name).getroot()
    children = list(root)
    legend = {text.text: line.get("stroke") for line, text in zip(children, children[1:])
              if line.get("class") == "line" and line.tag == SVG + "path" and text.tag == SVG + "text"}
    assert legend == {name: colour for name, (colour, _) in plot._styles(list(legend)).items()}
    assert {line.get("stroke") for line in root.iter(SVG + "polyline")} == set(legend.values())


def test_an_axis_that_does_not_begin_at_zero_says_so():
    points_far_up = [plot.Line("a", [(0, 50), (1, 60)])]
    cut, whole = (parsed([plot.Panel("t", "x", "hit ratio", points_far_up, from_zero=from_zero)]) for from_zero in (False, True))
    assert any(text.startswith("hit ratio, from ") for text in texts(cut))
    assert "hit ratio" in texts(whole)


def test_names_are_escaped_and_single_points_and_nothing_can_be_drawn():
    root = parsed([plot.Panel("<&>", "x", "y", [plot.Line('a"<b', [(3, 3)])]), plot.Panel("none", "x", "y")])
    assert "<&>" in texts(root) and 'a"<b' in texts(root)
