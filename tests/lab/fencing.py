"""Late writes: a rebuild slower than its lock, and a row read before a DELETE. Whether the old row ends up in the cache.

The origin holds the first reader's query until everything else has happened, so the order of events is fixed.
"""

import asyncio
import json
from dataclasses import dataclass

from load import InvalidRun
from report import Report, Table

from .fleet import Fleet
from .origin import KEY, STARTED

POLL_SECONDS = 0.01
DEADLINE_SECONDS = 30


@dataclass(frozen=True)
class Plan:
    keys: int = 10
    lock_ms: int = 300
    query_ms: int = 20
    slots: int = 100


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    cache: str
    reader: str
    policy: tuple = ()


VARIANTS = [
    Variant("lock", "lock in the cache", "redis", "Locked"),
    Variant("policy", "policy, unchanged client", "pinfold", "CacheAside", ("stale", "2s", "coalesce", "50ms")),
    Variant("leases", "leases", "pinfold", "Leases"),
]


async def _started(fleet, key, count=1):
    """Waits until so many queries of the key have begun."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while sum(query[KEY] == key and query[STARTED] is not None for query in await fleet.log()) < count:
            await asyncio.sleep(POLL_SECONDS)


def _version(reply):
    if reply.status != 200:
        raise InvalidRun(f"a read was answered {reply.status}")
    return json.loads(reply.body)["version"]


async def _late_writer(fleet, name, meanwhile):
    """A reads version 1 and is held; version 2 is committed; `meanwhile` happens; then A stores. What the cache has then."""
    key = "product:" + name
    await fleet.origin("hold", key)
    slow = asyncio.ensure_future(fleet.read(name, instance=0))
    await _started(fleet, key)
    await fleet.origin("write", key)
    await fleet.origin("pass", key)
    await meanwhile(name)
    await fleet.origin("release", key)
    if _version(await slow) != 1:
        raise InvalidRun(f"{name}: the held reader was answered a version that it cannot have read")
    return _version(await fleet.read(name, instance=1))


async def measure(context, variant, plan):
    settings = {"reader": variant.reader, "ttl_ms": 60_000, "lock_ms": plan.lock_ms}
    with Fleet(context, variant.cache, settings, plan.query_ms, plan.slots, variant.policy) as fleet:

        async def second_reader(name):
            """Its lock or lease can only be given once the first has run out."""
            if _version(await fleet.read(name, instance=1)) != 2:
                raise InvalidRun(f"{name}: the second reader was answered the old version")

        async def writer_deletes(name):
            fleet.cache.delete("product:" + name)

        slower, deleted = [
            await asyncio.gather(*(_late_writer(fleet, f"{kind}{n}", meanwhile) for n in range(plan.keys)))
            for kind, meanwhile in (("slow", second_reader), ("deleted", writer_deletes))]
    return {"variant": variant.name, "cache": variant.cache, "keys": plan.keys,
            "slower_old": slower.count(1), "deleted_old": deleted.count(1)}


def report(plan, data, failures):
    titles = {variant.name: variant.title for variant in VARIANTS}
    table = Table(["protection", "cache", "rebuild slower than its lock: old row in the cache",
                   "row read before a DEL: old row in the cache"], left=("protection", "cache"))
    for found in data:
        table.add(titles[found["variant"]], found["cache"], f"{found['slower_old']} of {found['keys']}",
                  f"{found['deleted_old']} of {found['keys']}")
    notes = [f"Locks and leases of {plan.lock_ms} ms; {plan.keys} keys each. The origin holds the first reader's query until the second "
             "reader has stored version 2, or until the writer has committed version 2 and deleted the key."]
    return Report("lab-fencing", "Late writes", table, data, notes, failures)
