"""How many loads reach the origin, layer by layer: the origin holds its answers until the whole herd has come, so the
counts are exact on any machine."""

import asyncio
import time

import pytest

from .conftest import eventually
from .fleet import INSTANCES
from .origin import KEY

HERD = 40
LONG_MS = 60_000  # outlasts every test


async def queries(fleet, key):
    return sum(query[KEY] == key for query in await fleet.log())


def statistic(fleet, section, name):
    return int(fleet.cache.info(section)[name])


async def expire(fleet, key):
    fleet.cache.pexpire(key, 1)

    async def gone():
        return not fleet.cache.exists(key)

    await eventually(gone)


async def stampede(fleet, name, leases):
    """A herd meets an expired key; how many queries that makes."""
    key = "product:" + name
    await expire(fleet, key)
    before, misses = await queries(fleet, key), statistic(fleet, "stats", "keyspace_misses")
    await fleet.origin("hold", key)
    readers = [asyncio.ensure_future(fleet.read(name, number)) for number in range(HERD)]

    async def whole_herd_has_looked():
        if leases:
            return statistic(fleet, "cache", "lease_waiters") == HERD - 1
        return statistic(fleet, "stats", "keyspace_misses") >= misses + HERD

    async def loading():
        return await queries(fleet, key) > before

    await eventually(whole_herd_has_looked)
    await eventually(loading)
    await fleet.origin("release", key)
    replies = await asyncio.gather(*readers)
    assert {reply.status for reply in replies} == {200}
    return await queries(fleet, key) - before


@pytest.mark.parametrize("cache, reader, loads", [
    ("redis", "CacheAside", HERD),
    ("pinfold", "CacheAside", HERD),
    ("redis", "SingleFlight", INSTANCES),
    ("redis", "Locked", 1),
    ("pinfold", "Leases", 1),
])
def test_loads_per_expiry(lab, cache, reader, loads):
    async def story(fleet):
        await fleet.warm(["hot"])
        return [await stampede(fleet, "hot", reader == "Leases") for _ in range(3)]

    assert lab(story, cache, reader=reader, ttl_ms=LONG_MS, lock_ms=LONG_MS, wait_ms=LONG_MS) == [loads] * 3


async def stale_herd(fleet, name, is_stale):
    """A herd meets a stale key while the origin holds: (answered meanwhile, how, queries in the end)."""
    key = "product:" + name
    assert (await fleet.read(name)).headers["X-Source"] == "miss"
    await eventually(is_stale)
    before = await queries(fleet, key)
    await fleet.origin("hold", key)
    readers = [asyncio.ensure_future(fleet.read(name, number)) for number in range(HERD)]

    async def all_but_one_answered():
        return sum(reader.done() for reader in readers) >= HERD - 1

    async def loading():
        return await queries(fleet, key) > before

    await eventually(all_but_one_answered)
    await eventually(loading)
    meanwhile = [reader.result().headers["X-Source"] for reader in readers if reader.done()]
    await fleet.origin("release", key)
    replies = await asyncio.gather(*readers)
    await fleet.settle()
    assert {reply.status for reply in replies} == {200}
    return len(meanwhile), set(meanwhile), await queries(fleet, key) - before


def test_stale_while_revalidate_by_the_client_lets_nobody_wait(lab):
    async def story(fleet):
        async def is_stale():
            return int(fleet.cache.get("product:hot").split(b":")[0]) < time.time() * 1000

        answered, how, loads = await stale_herd(fleet, "hot", is_stale)
        assert how == {"stale"} and loads == 1 and answered >= HERD - 1

    lab(story, "redis", reader="StaleWhileRevalidate", ttl_ms=200, stale_ms=LONG_MS, lock_ms=LONG_MS)


def test_stale_entries_of_the_server_let_nobody_wait(lab):
    async def story(fleet):
        async def is_stale():
            return not fleet.cache.exists("product:hot")

        answered, how, loads = await stale_herd(fleet, "hot", is_stale)
        assert how == {"stale"} and loads == 1 and answered >= HERD - 1

    lab(story, "pinfold", reader="Leases", ttl_ms=200, stale_ms=LONG_MS, lock_ms=LONG_MS)


def test_a_policy_sends_one_unchanged_client_to_the_origin(lab):
    async def story(fleet):
        async def is_stale():
            return not fleet.cache.exists("product:hot")

        assert await stale_herd(fleet, "hot", is_stale) == (HERD - 1, {"hit"}, 1)

    lab(story, "pinfold", policy=("stale", "60s"), reader="CacheAside", ttl_ms=200)


@pytest.mark.parametrize("cache, reader, loads", [
    ("redis", "CacheAside", HERD), ("redis", "Negative", 1), ("pinfold", "Leases", 1)])
def test_loads_of_a_row_that_does_not_exist(lab, cache, reader, loads):
    async def story(fleet):
        replies = [await fleet.read("none1", number) for number in range(HERD)]
        assert {reply.status for reply in replies} == {404}
        return await queries(fleet, "product:none1")

    assert lab(story, cache, reader=reader, negative_ms=LONG_MS) == loads


def test_jitter_only_shortens_lifetimes_and_spreads_them(lab):
    names = [f"group{n}" for n in range(50)]

    async def story(fleet):
        await fleet.warm(names)
        now = time.time() * 1000
        return [int(fleet.cache.get("product:" + name).split(b":")[0]) - now for name in names]

    left = lab(story, "redis", reader="Jittered", ttl_ms=LONG_MS, jitter=0.2)
    assert max(left) <= LONG_MS and max(left) - min(left) > 0.05 * LONG_MS


@pytest.mark.parametrize("cache, reader", [("redis", "XFetch"), ("pinfold", "Leases")])
def test_a_fresh_value_is_refreshed_early(lab, cache, reader):
    async def story(fleet):
        async def refreshed():
            assert (await fleet.read("hot")).headers["X-Source"] == "hit"
            return "early" in [load[3] for load in await fleet.loads()]

        assert (await fleet.read("hot")).headers["X-Source"] == "miss"
        await eventually(refreshed)

    # A load of 20 ms and this beta: every twentieth reader, however fresh the value is.
    lab(story, cache, reader=reader, ttl_ms=LONG_MS, query_ms=20, beta=1000)


@pytest.mark.parametrize("cache, reader", [("redis", "XFetch"), ("pinfold", "Leases")])
def test_without_beta_nothing_is_refreshed_early(lab, cache, reader):
    async def story(fleet):
        sources = [(await fleet.read("hot", number)).headers["X-Source"] for number in range(HERD)]
        assert sources == ["miss"] + ["hit"] * (HERD - 1)
        assert [load[3] for load in await fleet.loads()] == ["miss"]

    lab(story, cache, reader=reader, ttl_ms=LONG_MS, query_ms=20, beta=0)


@pytest.mark.parametrize("cache, service, policy", [
    ("redis", {"reader": "SingleFlight", "gate": 2}, ()),
    ("pinfold", {"reader": "Leases", "wait_ms": 0}, ("max-leases", "2")),
])
def test_a_gate_lets_two_loads_pass_and_refuses_the_third_at_once(lab, cache, service, policy):
    async def story(fleet):
        async def two_loading():
            return len(await fleet.log()) == 2

        for name in ("cold1", "cold2"):
            await fleet.origin("hold", "product:" + name)
        let_in = [asyncio.ensure_future(fleet.read(name)) for name in ("cold1", "cold2")]
        await eventually(two_loading)
        assert (await fleet.read("cold3")).status == 503
        for name in ("cold1", "cold2"):
            await fleet.origin("release", "product:" + name)
        assert [(await reader).status for reader in let_in] == [200, 200]
        assert (await fleet.read("cold3")).status == 200

    lab(story, cache, policy=policy, **service)


@pytest.mark.parametrize("cache, service, policy", [
    ("redis", {"reader": "SingleFlight"}, ()), ("pinfold", {"reader": "Leases"}, ())])
def test_a_load_that_takes_too_long_is_an_error_and_later_ones_are_not(lab, cache, service, policy):
    async def story(fleet):
        await fleet.origin("hold", "product:slow")
        assert (await fleet.read("slow")).status == 504
        await fleet.origin("release", "product:slow")

        async def loaded():
            return (await fleet.read("slow", 1)).status == 200

        await eventually(loaded)

    lab(story, cache, policy=policy, origin_timeout_ms=1000, lock_ms=LONG_MS, **service)
