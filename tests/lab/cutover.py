"""The first seconds of traffic on a cache: empty, or warmed before."""

from dataclasses import dataclass, field

from report import Report, Table

from . import levels
from .fleet import Fleet
from .levels import HOT, herd_of
from .load import most_at_once, percentile, run
from .origin import ARRIVED, ENDED, KEY


@dataclass(frozen=True)
class Plan(levels.Plan):
    """The same load; it ends before anything that was warmed expires."""

    seconds: float = 3.0
    ttl_ms: int = 60_000
    absent_rate: int = 1


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    cache: str
    reader: str
    warm: bool
    settings: dict = field(default_factory=dict)


VARIANTS = [
    Variant("cold", "empty", "redis", "CacheAside", False),
    Variant("cold-leases", "empty, leases", "pinfold", "Leases", False),
    Variant("warmed", "warmed", "redis", "CacheAside", True),
]


async def measure(context, variant, plan):
    with Fleet(context, variant.cache, {"reader": variant.reader, "ttl_ms": plan.ttl_ms}, plan.query_ms, plan.slots) as fleet:
        if variant.warm:
            await fleet.warm([HOT, *(f"group{n}" for n in range(plan.group_size))])
        warmed = len(await fleet.log())
        start, samples = await run(fleet.instances, plan.requests())
        queries = [query for query in (await fleet.log())[warmed:] if herd_of(query[KEY]) != "none"]
    return {"variant": variant.name, "cache": variant.cache, "queries": len(queries),
            "at_once": most_at_once([(query[ARRIVED], query[ENDED]) for query in queries]),
            "p99_ms": percentile([sample.seconds * 1000 for sample in samples
                                  if sample.due < 1.0 and herd_of(sample.name) != "none"], 0.99)}


def report(plan, data, failures):
    titles = {variant.name: variant.title for variant in VARIANTS}
    table = Table(["cache at the start", "server", "queries for the hot key and the group", "most at once",
                   "p99 ms in the first second"], left=("cache at the start", "server"))
    for found in data:
        table.add(titles[found["variant"]], found["cache"], found["queries"], found["at_once"], f"{found['p99_ms']:.0f}")
    notes = [f"{plan.hot_rate + plan.group_rate} requests a second for the hot key and {plan.group_size} others, from the first moment on."]
    return Report("lab-cutover", "Traffic on an empty and on a warmed cache", table, data, notes, failures)
