"""The identical load on every level of protection: which herd each of them bounds.

The load is three herds at once: readers of one hot key, readers of a group of keys that were written together, and
readers of rows that do not exist.
"""

import random
from dataclasses import dataclass, field

from load import InvalidRun
from plot import Line, Panel, svg
from report import Report, Table

from . import alerts
from .fleet import INSTANCES, Fleet
from .load import ANSWERED, merged, most_at_once, percentile, poisson, run
from .origin import ARRIVED, ENDED, KEY

HOT = "hot"
BIN_SECONDS = 0.1  # of the plots
HERDS = ("hot", "group", "none")


@dataclass(frozen=True)
class Plan:
    """The load, and the origin that it meets. Capacity of the origin: slots / query time = 120 queries a second."""

    seconds: float = 10.0
    ttl_ms: int = 2000
    query_ms: int = 200
    slots: int = 24
    hot_rate: int = 250
    group_size: int = 20
    group_rate: int = 160
    absent_size: int = 10
    absent_rate: int = 30
    seed: int = 1

    @property
    def capacity(self):
        return self.slots * 1000 / self.query_ms

    def requests(self):
        rng = random.Random(self.seed)
        return merged(
            poisson(rng, lambda: HOT, self.hot_rate, 0, self.seconds),
            poisson(rng, lambda: f"group{rng.randrange(self.group_size)}", self.group_rate, 0, self.seconds),
            poisson(rng, lambda: f"none{rng.randrange(self.absent_size)}", self.absent_rate, 0, self.seconds))


@dataclass(frozen=True)
class Level:
    name: str
    title: str
    cache: str
    reader: str
    settings: dict = field(default_factory=dict)
    policy: tuple = ()


LEVELS = [
    Level("none", "nothing", "redis", "CacheAside"),
    Level("control", "nothing", "pinfold", "CacheAside"),
    Level("single-flight", "single-flight in each instance", "redis", "SingleFlight"),
    Level("lock", "+ lock in the cache", "redis", "Locked"),
    Level("stale", "+ stale while revalidate", "redis", "StaleWhileRevalidate", {"stale_ms": 2000}),
    Level("jitter", "+ TTL jitter", "redis", "Jittered", {"stale_ms": 2000}),
    Level("negative", "+ negative caching", "redis", "Negative", {"stale_ms": 2000}),
    Level("xfetch", "single-flight and XFetch", "redis", "XFetch", {"beta": 1.0}),
    Level("policy", "policy, unchanged client", "pinfold", "CacheAside", {},
          ("stale", "2s", "coalesce", "50ms", "jitter", "20%")),
    Level("leases", "leases", "pinfold", "Leases"),
    Level("all", "leases, stale, early refresh, jitter", "pinfold", "Leases", {"stale_ms": 2000, "beta": 1.0},
          ("jitter", "20%")),
]
BY_NAME = {level.name: level for level in LEVELS}


def herd_of(name):
    return name.removeprefix("product:").rstrip("0123456789")


def expiries(loads, ttl_ms):
    """Loads of one key as (began, ended), grouped by the expiry that they belong to.

    Whatever began before the first of a group could be stored replaces the same value. Storing takes a moment; a twentieth
    of a TTL is long for it, and much shorter than anything is fresh.
    """
    groups = []
    for load in loads:
        first_ended = groups[-1][0][1] if groups else 0.0
        if groups and (first_ended is None or load[0] < first_ended + ttl_ms / 20_000):
            groups[-1].append(load)
        else:
            groups.append([load])
    return groups


async def measure(context, level, plan):
    settings = {"reader": level.reader, "ttl_ms": plan.ttl_ms, "negative_ms": plan.ttl_ms, **level.settings}
    with Fleet(context, level.cache, settings, plan.query_ms, plan.slots, level.policy) as fleet:
        await fleet.warm([HOT, *(f"group{n}" for n in range(plan.group_size))])
        warmed = len(await fleet.log())
        start, samples = await run(fleet.instances, plan.requests())
        log = [(herd_of(query[KEY]), query[ARRIVED] - start, query[ENDED] and query[ENDED] - start)
               for query in (await fleet.log())[warmed:]]
        await fleet.settle()
        loads = [seconds * 1000 for began, seconds, *_ in await fleet.loads() if began >= start]
    if any(sample.source == "wrong" for sample in samples):
        raise InvalidRun(f"{level.name}: a request was answered with the row of another")
    return _summary(level, plan, samples, log, loads)


def _summary(level, plan, samples, log, loads):
    queries = {herd: [(arrived, ended) for name, arrived, ended in log if name == herd] for herd in HERDS}
    hot = [len(group) for group in expiries(queries["hot"], plan.ttl_ms)]
    latencies = [sample.seconds * 1000 for sample in samples]
    misses = [sample for sample in samples if sample.source in ("miss", "wait")]
    return {
        "level": level.name,
        "cache": level.cache,
        "requests": len(samples),
        "failed": sum(sample.status not in ANSWERED for sample in samples),
        "hot_loads": hot,
        "group_at_once": most_at_once(queries["group"]),
        "absent_per_second": len(queries["none"]) / plan.seconds,
        "queries": len(log),
        "at_once": most_at_once([span[1:] for span in log]),
        "miss_share": len(misses) / len(samples),
        "p50_ms": percentile(latencies, 0.5),
        "p99_ms": percentile(latencies, 0.99),
        "hot_p99_ms": percentile([sample.seconds * 1000 for sample in samples if sample.name == HOT], 0.99),
        "late_p99_ms": percentile([sample.late * 1000 for sample in samples], 0.99),
        "arrivals": {herd: [arrived for arrived, _ in queries[herd]] for herd in HERDS},
        "load_p99_ms": percentile(loads, 0.99),
        "windows": alerts.windows(plan, samples, [arrived for _, arrived, _ in log]),
    }


def report(plan, data, failures):
    table = Table(["protection", "cache", "loads per expiry of the hot key", "most", "group: most loads at once",
                   "absent rows: queries/s", "origin: queries", "most at once", "misses %", "p50 ms", "p99 ms",
                   "p99 ms, hot key", "failed"], left=("protection", "cache"))
    for found in data:
        hot = found["hot_loads"]
        table.add(BY_NAME[found["level"]].title, found["cache"],
                  f"{sum(hot) / len(hot):.1f}" if hot else "0", max(hot, default=0), found["group_at_once"],
                  f"{found['absent_per_second']:.1f}", found["queries"], found["at_once"],
                  f"{found['miss_share'] * 100:.1f}", f"{found['p50_ms']:.1f}", f"{found['p99_ms']:.0f}",
                  f"{found['hot_p99_ms']:.0f}", found["failed"])
    notes = [f"Each row: {data[0]['requests'] if data else 0:,} requests in {plan.seconds:g} s to {INSTANCES} instances, "
             f"the same ones at the same moments; {plan.hot_rate}/s for the hot key, {plan.group_rate}/s for {plan.group_size} "
             f"keys that were written together, {plan.absent_rate}/s for {plan.absent_size} rows that do not exist. TTL "
             f"{plan.ttl_ms / 1000:g} s. A query takes the origin {plan.query_ms} ms, and it executes {plan.slots} at once. "
             "A miss is a request that waited for the origin, whoever had asked. Failed: answered 503, 504 or not at all.",
             f"The lab sent requests up to {max((found['late_p99_ms'] for found in data), default=0):.0f} ms late (p99, in the worst row); "
             "that is how much the machine itself disturbed."]
    return Report("lab-levels", "The identical load on every level of protection", table, data, notes, failures,
                  {"lab-origin.svg": origin_plot(plan, data)} if data else {})


def _histogram(moments, seconds):
    counts = [0] * max(1, round(seconds / BIN_SECONDS))
    for moment in moments:
        if 0 <= moment < seconds:
            counts[min(len(counts) - 1, int(moment / BIN_SECONDS))] += 1
    return [((n + 0.5) * BIN_SECONDS, count) for n, count in enumerate(counts)]


def origin_plot(plan, data):
    """The rate of queries by herd, one panel for each level, all with the same axes."""
    names = {"hot": "hot key", "group": "group", "none": "absent rows"}
    panels = []
    for found in data:
        lines = [Line(names[herd], _histogram(found["arrivals"][herd], plan.seconds)) for herd in HERDS]
        panels.append(Panel(f"{BY_NAME[found['level']].title} ({found['cache']})", "seconds", "queries in 100 ms", lines))
    top = max(count for panel in panels for line in panel.lines for _, count in line.points)
    for panel in panels:
        panel.reach = top
    return svg(panels, columns=3, panel_width=360)
