"""The dashboard and its three alerts, judged on what was measured on each level."""

from dataclasses import dataclass

from plot import Line, Panel, svg
from report import Report, Table

from .load import percentile

WINDOW_SECONDS = 0.25
MISS_SHARE = 0.2  # of the requests in one window
PEAKS = 2  # a single peak is an incident of another kind; a sawtooth repeats
SHOWN = ("none", "lock", "all")


@dataclass
class Alert:
    name: str
    fires: bool
    detail: str


def windows(plan, samples, arrivals):
    """What a dashboard shows, window by window: misses and waits by when a request was due."""
    found = [{"requests": 0, "misses": 0, "queries": 0, "waits_ms": []} for _ in range(round(plan.seconds / WINDOW_SECONDS))]

    def window(moment):
        number = int(moment / WINDOW_SECONDS)
        return found[number] if 0 <= number < len(found) else None

    for sample in samples:
        if (at := window(sample.due)) is not None:
            at["requests"] += 1
            at["misses"] += sample.source in ("miss", "wait")
            if sample.source == "wait":
                at["waits_ms"].append(sample.waited_ms)
    for moment in arrivals:
        if (at := window(moment)) is not None:
            at["queries"] += 1
    return found


def _share(window):
    return window["misses"] / window["requests"] if window["requests"] else 0.0


def peaks(values, limit):
    """How often the values rise above the limit."""
    above = [value > limit for value in values]
    return sum(now and not before for before, now in zip([False, *above], above))


def judge(plan, found):
    """The three alerts for one level."""
    shares = [_share(window) for window in found["windows"]]
    rates = [window["queries"] / WINDOW_SECONDS for window in found["windows"]]
    waits = [wait for window in found["windows"] for wait in window["waits_ms"]]
    wait, load = percentile(waits, 0.99), found["load_p99_ms"]
    over = peaks(rates, plan.capacity)
    return [
        Alert("miss-rate spike", max(shares) > MISS_SHARE, f"{max(shares) * 100:.0f} %"),
        Alert("sawtooth origin rate", over >= PEAKS, f"{over}"),
        Alert("lock wait above the load's p99", wait is not None and load is not None and wait > load,
              "none waited" if wait is None else f"{wait:.0f} / {load:.0f}"),
    ]


def report(plan, titles, data):
    table = Table(["protection", "cache", "misses, worst window", "peaks above the origin's capacity", "p99 of waits / of loads, ms",
                   "alerts that fire"], left=("protection", "cache", "alerts that fire"))
    judged = []
    for found in data:
        alerts = judge(plan, found)
        firing = [alert.name for alert in alerts if alert.fires]
        table.add(titles[found["level"]], found["cache"], *(alert.detail for alert in alerts), ", ".join(firing) or "none")
        judged.append({"level": found["level"], "alerts": [vars(alert) for alert in alerts]})
    notes = [f"Windows of {WINDOW_SECONDS * 1000:g} ms. Miss-rate spike: more than {MISS_SHARE * 100:g} % of a window's requests "
             f"waited for the origin. Sawtooth: the rate of queries rose above the {plan.capacity:g}/s that the origin can do "
             f"at least {PEAKS} times. Lock wait: p99 of the requests that waited for another's load above p99 of the loads."]
    shown = [found for found in data if found["level"] in SHOWN]
    plots = {"lab-dashboard.svg": _dashboard(plan, titles, shown)} if shown else {}
    return Report("lab-alerts", "The dashboard's alerts", table, judged, notes, [], plots)


def _dashboard(plan, titles, shown):
    """A row of panels for each of the three alerts, a column for each level."""

    def line(found, values):
        return [Line("measured", [((n + 0.5) * WINDOW_SECONDS, value) for n, value in enumerate(values)])]

    rows = [[], [], []]
    for found in shown:
        title, panes = titles[found["level"]], found["windows"]
        rows[0].append(Panel(title, "seconds", "misses %", line(found, [_share(window) * 100 for window in panes]),
                             limit=MISS_SHARE * 100))
        rows[1].append(Panel(title, "seconds", "origin queries/s", line(found, [w["queries"] / WINDOW_SECONDS for w in panes]),
                             limit=plan.capacity))
        rows[2].append(Panel(title, "seconds", "wait ms, p99", line(found, [percentile(w["waits_ms"], 0.99) or 0 for w in panes]),
                             limit=found["load_p99_ms"]))
    for row in rows:
        top = max(max(y for _, y in panel.lines[0].points) for panel in row)
        for panel in row:
            panel.limit_name = "alert above"
            panel.reach = top
    return svg([panel for row in rows for panel in row], columns=len(shown), panel_width=360)
