"""XFetch on a key that is read all the time, and on keys that are read about once per TTL."""

import math
import random
from dataclasses import dataclass

from plot import Line, Panel, svg
from report import Report, Table

from .fleet import Fleet
from .levels import expiries, herd_of
from .load import Request, merged, percentile, poisson, run
from .origin import ARRIVED, ENDED, KEY


@dataclass(frozen=True)
class Plan:
    seconds: float = 10.0
    ttl_ms: int = 2000
    query_ms: int = 200
    slots: int = 60
    hot_size: int = 3
    hot_rate: int = 110  # for each hot key
    cold_size: int = 60
    seed: int = 2

    def requests(self):
        rng = random.Random(self.seed)
        hot = poisson(rng, lambda: f"hot{rng.randrange(self.hot_size)}", self.hot_rate * self.hot_size, 0, self.seconds)
        cold = [request for n in range(self.cold_size) for request in self._cold(rng, f"cold{n}")]
        return merged(hot, sorted(cold))

    def _cold(self, rng, name):
        """Intervals between half a TTL and one and a half."""
        due = rng.uniform(0, self.ttl_ms / 1000)
        while due < self.seconds:
            yield Request(due, name)
            due += rng.uniform(0.5, 1.5) * self.ttl_ms / 1000


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    cache: str
    reader: str


VARIANTS = [
    Variant("none", "no early refresh (single-flight)", "redis", "SingleFlight"),
    Variant("client", "XFetch by the client", "redis", "XFetch"),
    Variant("server", "early refresh by the server", "pinfold", "Leases"),
]


async def measure(context, variant, plan):
    settings = {"reader": variant.reader, "ttl_ms": plan.ttl_ms, "beta": 0.0 if variant.name == "none" else 1.0}
    with Fleet(context, variant.cache, settings, plan.query_ms, plan.slots) as fleet:
        await fleet.warm([f"hot{n}" for n in range(plan.hot_size)] + [f"cold{n}" for n in range(plan.cold_size)])
        warmed = len(await fleet.log())
        start, samples = await run(fleet.instances, plan.requests())
        await fleet.settle()
        log = (await fleet.log())[warmed:]
        loads = [load for load in await fleet.loads() if load[0] >= start]
    return {"variant": variant.name, "cache": variant.cache,
            "hot": _hot(plan, samples, log, loads), "cold": _cold(samples, loads)}


def _hot(plan, samples, log, loads):
    early = [load for load in loads if herd_of(load[2]) == "hot" and load[3] == "early"]
    expired, first_left = 0, []
    for key in sorted({query[KEY] for query in log if herd_of(query[KEY]) == "hot"}):
        expired += len(expiries([(query[ARRIVED], query[ENDED]) for query in log if query[KEY] == key], plan.ttl_ms))
        left = {began: left_ms for began, _, of_key, _, left_ms in early if of_key == key}
        mine = [(began, began + seconds) for began, seconds, of_key, *_ in early if of_key == key]
        first_left += [left[group[0][0]] for group in expiries(mine, plan.ttl_ms)]
    reads = [sample for sample in samples if herd_of(sample.name) == "hot"]
    return {"reads": len(reads), "expiries": expired, "early": len(early), "first_left_ms": first_left,
            "misses": sum(sample.source in ("miss", "wait") for sample in reads),
            "p99_ms": percentile([sample.seconds * 1000 for sample in reads], 0.99)}


def _cold(samples, loads):
    reads = [sample for sample in samples if herd_of(sample.name) == "cold"]
    mine = [load for load in loads if herd_of(load[2]) == "cold"]
    return {"reads": len(reads), "early": sum(load[3] == "early" for load in mine), "loads": len(mine),
            "misses": sum(sample.source in ("miss", "wait") for sample in reads)}


def expected_first_ms(plan):
    """How long before its expiry the refresh of a hot key should have begun with even odds."""
    return plan.query_ms * math.log(plan.hot_rate * plan.query_ms / 1000 / math.log(2))


def report(plan, data, failures):
    titles = {variant.name: variant.title for variant in VARIANTS}
    table = Table(["rebuilding", "cache", "hot: expiries", "early loads per expiry", "first begun before expiry, median ms",
                   "misses", "p99 ms", "cold: reads", "misses %", "early loads"], left=("rebuilding", "cache"))
    for found in data:
        hot, cold = found["hot"], found["cold"]
        first = percentile(hot["first_left_ms"], 0.5)
        table.add(titles[found["variant"]], found["cache"], hot["expiries"],
                  f"{hot['early'] / hot['expiries']:.2f}" if hot["expiries"] else "", "" if first is None else f"{first:.0f}",
                  hot["misses"], f"{hot['p99_ms']:.0f}", cold["reads"], f"{cold['misses'] / cold['reads'] * 100:.0f}",
                  cold["early"])
    notes = [f"{plan.hot_size} hot keys with {plan.hot_rate} reads a second each; {plan.cold_size} cold keys, each read again after half "
             f"to one and a half times the TTL of {plan.ttl_ms / 1000:g} s; a load takes {plan.query_ms} ms, beta is 1. By the formula "
             f"the median of the first early load of a hot key is {expected_first_ms(plan):.0f} ms before the expiry."]
    return Report("lab-xfetch", "Early refresh of hot and cold keys", table, data, notes, failures,
                  {"lab-xfetch.svg": _plot(plan, data, titles)} if data else {})


def _plot(plan, data, titles):
    """How sure it is that a hot key's refresh has begun, so long before its expiry."""
    at = [plan.ttl_ms / 2 * n / 100 for n in range(101)]
    each = plan.hot_rate * plan.query_ms / 1000
    lines = [Line("by the formula", [(-left, 100 * (1 - math.exp(-each * math.exp(-left / plan.query_ms)))) for left in reversed(at)])]
    for found in data:
        firsts = found["hot"]["first_left_ms"]
        if firsts:
            lines.append(Line(titles[found["variant"]], [(-left, 100 * sum(first >= left for first in firsts) / len(firsts))
                                                         for left in reversed(at)]))
    return svg([Panel("First early load of a hot key", "ms from expiry", "% begun", lines)], panel_width=640)
