"""What bounds leases, readers that wait and negative entries; what is counted of them; what an operator can switch."""

import random
import time

import pytest

from tests.support.cache import LONG, Cache, setting
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")

COUNTS = [
    "lease_granted", "lease_filled", "lease_voided", "lease_expired", "lease_released", "lease_refused", "fill_refused", "leases", "lease_waiters", "lease_waits_refused", "stale_hits",
    "negative_hits", "early_refreshes", "purges_tags", "purges_prefix", "purges_pending", "negative_entries",
]  # fmt: skip


def test_info_has_a_section_on_the_cache(cache):
    counts = cache.counts()
    assert set(COUNTS) <= set(counts)
    assert all(type(counts[name]) is int for name in COUNTS)
    text = cache.call("INFO", "everything").decode()
    assert "# Cache\r\n" in text and "lease_granted:" in text
    assert "lease_granted:" in cache.call("INFO").decode()


def test_each_event_is_counted_once(cache, client):
    before = cache.counts()
    token = cache.lease("a")
    cache.fill("a", "v", token)
    cache.fill("a", "v", token)
    cache.lease("b")
    client.call("DEL", "b")
    cache.release("c", cache.lease("c"))
    cache.lease("d", "LEASE", 5)
    eventually(lambda: cache.counts()["leases"] == 0)
    cache.stale("e")
    cache.look("e")
    cache.absent("f", "PX", LONG)
    cache.get("f")
    after = cache.counts()
    gone = {name: after[name] - before[name] for name in COUNTS}
    # cache.stale() reads until the entry is stale, which is a stale hit too.
    assert gone.pop("stale_hits") >= 2
    expected = {
        "lease_granted": 4, "lease_filled": 1, "lease_voided": 1, "lease_expired": 1, "lease_released": 1, "lease_refused": 0, "fill_refused": 1, "leases": 0,
        "lease_waiters": 0, "lease_waits_refused": 0, "negative_hits": 1, "early_refreshes": 0, "purges_tags": 0, "purges_prefix": 0, "purges_pending": 0, "negative_entries": 1,
    }  # fmt: skip
    assert gone == expected


def test_early_refreshes_are_counted(cache):
    before = cache.counts()["early_refreshes"]
    cache.early_lease("k")
    assert cache.counts()["early_refreshes"] == before + 1


def test_config_resetstat_sets_the_counts_back(cache):
    token = cache.lease("k")
    cache.call("CONFIG", "RESETSTAT")
    counts = cache.counts()
    assert counts["lease_granted"] == 0 and counts["leases"] == 1
    assert cache.fill("k", "v", token)


def test_outstanding_leases_are_bounded(cache, client):
    """leases are used up: ask again"""
    with setting(client, "max-leases", 100):
        tokens = [cache.get(f"k{i}", "LEASE", LONG).token for i in range(150)]
        assert all(tokens[:100]) and not any(tokens[100:])
        assert cache.counts()["leases"] == 100
        # Stale entries and early refreshes take no more either, and are served.
        cache.stale("stale")
        assert cache.get("stale")[:3] == ("stale", b"old", 0)
        assert cache.fill("k0", "v", tokens[0])
        assert cache.get("k120", "LEASE", LONG).token


def test_a_limit_may_be_lowered_below_what_is_out(cache, client):
    tokens = [cache.lease(f"k{i}") for i in range(10)]
    with setting(client, "max-leases", 5):
        assert cache.get("more").token == 0
        assert all(cache.fill(f"k{i}", "v", token) for i, token in enumerate(tokens[:6]))
        assert cache.get("more").token


def test_waiting_readers_are_bounded(cache, client, park):
    with setting(client, "max-lease-waiters", 2):
        cache.lease("k")
        cache.lease("other")
        readers = [park("k"), park("other")]
        refused = cache.counts()["lease_waits_refused"]
        for key in ("k", "other"):
            assert cache.get(key, "WAIT", LONG)[:3] == ("miss", None, 0)
        assert cache.counts()["lease_waits_refused"] == refused + 2
        client.call("MSET", "k", "v", "other", "v")
        assert [reader.answer().status for reader in readers] == ["hit", "hit"]
        cache.lease("again")
        assert park("again")


def test_leases_that_nobody_comes_back_for_leave_nothing_behind(cache, server):
    """A client that asks for ever more keys costs memory only for as long as its leases last."""
    before = server.rss()
    for start in range(0, 50_000, 1000):
        cache.connection.pipeline([["CACHE.GET", f"absent:{i}", "LEASE", 50] for i in range(start, start + 1000)])
    eventually(lambda: cache.counts()["leases"] == 0)
    assert cache.call("DBSIZE") == 0
    eventually(lambda: server.rss() < before + bound(16 << 20))


def test_leases_take_a_bounded_part_of_memory(start):
    """may take an eighth of `maxmemory`; beyond that no leases are granted"""
    limit = 16 << 20
    with start("--maxmemory", limit).connect() as connection:
        cache = Cache(connection)
        found = []
        for first in range(0, 40_000, 1000):
            found += connection.pipeline([["CACHE.GET", f"k{i}", "LEASE", LONG] for i in range(first, first + 1000)])
        granted = [reply for reply in found if reply[2]]
        assert 1000 < len(granted) < 40_000 and cache.counts()["leases"] == len(granted)
        herd = int(connection.call("INFO", "memory").split(b"used_memory_herd:")[1].split()[0])
        assert herd <= limit / 8
        connection.call("FLUSHALL")
        eventually(lambda: cache.counts()["leases"] == 0)
        assert cache.lease("again")


@pytest.mark.parametrize("read", ["GET", "MGET", "GETEX"])
def test_room_is_made_for_the_leases_of_plain_reads(start, read):
    limit = 32 << 20
    with start("--maxmemory", limit).connect() as connection:
        cache = Cache(connection)
        assert cache.call("CACHE.POLICY", "SET", "missing", "match", "missing:*", "coalesce", "1m") == "OK"
        connection.pipeline([["SET", f"real:{i}", "x" * 5000] for i in range(8000)])
        reads = [[read, f"missing:{i}:" + "k" * 1000] for i in range(2000)]
        *_, memory = connection.pipeline([*reads, ["INFO", "memory"]])
        herd, data = (int(memory.split(field + b":")[1].split()[0]) for field in (b"used_memory_herd", b"used_memory_dataset"))
        assert herd > 2 << 20
        assert herd + data <= limit + limit // 64


# "While negative entries take more than `negative-memory` percent of `maxmemory`, they and nothing else are evicted."


def test_negative_entries_have_a_share_of_memory(start):
    """As many keys are probed for as it takes, and more values are written meanwhile than there is room for."""
    limit, percent = 32 << 20, 5
    with start("--maxmemory", limit, "--negative-memory", percent).connect() as connection:
        for batch in range(400):
            connection.pipeline([["CACHE.ABSENT", f"probe:{batch}:{i}", "PX", LONG] for i in range(1000)])
            connection.pipeline([["SET", f"real:{batch}:{i}", "x" * 500] for i in range(250)])
        cache = Cache(connection)
        assert cache.get("probe:399:999").status == "absent"
        assert cache.counts()["negative_bytes"] < 2 * limit * percent / 100


def test_probing_for_what_does_not_exist_costs_no_value(start):
    with start("--maxmemory", 32 << 20).connect() as connection:
        for batch in range(100):
            connection.pipeline([["SET", f"real:{batch}:{i}", "x" * 500] for i in range(200)])
        hot = [["CACHE.GET", "hot:absent", "LEASE", "0"]] * 3
        connection.call("CACHE.ABSENT", "hot:absent", "PX", 60 * LONG)
        for batch in range(800):
            probes = [["CACHE.ABSENT", f"probe:{batch}:{i}", "PX", 60 * LONG] for i in range(1000)]
            assert set(connection.pipeline(probes)) == {"OK"}
            connection.pipeline(hot)
        assert info(connection, "stats")["evicted_keys"] != "0"
        for batch in range(100):
            assert connection.call("EXISTS", *(f"real:{batch}:{i}" for i in range(200))) == 200
        # What is asked for stays, among those that are not.
        cache = Cache(connection)
        assert cache.look("hot:absent").status == "absent"
        assert cache.look("probe:0:0").status == "miss"


def test_a_negative_entry_has_no_value(cache, client):
    cache.absent("key:of:some:length", "PX", LONG)
    client.call("SET", "key:of:some:lengtj", "", "PX", LONG)
    assert cache.inspect("key:of:some:length")["bytes"] <= cache.inspect("key:of:some:lengtj")["bytes"] + 8


# "entries outlast their deadlines, whether or not they have a stale window, and do not expire. GET, MGET and GETEX as well as CACHE.GET get them. CACHE.GET
# marks them `stale` (with ms 0 once their window is over) and still grants its one lease, so that the origin's return is noticed."


def test_serve_stale_asks_no_plain_reader_to_rebuild(cache, client, policy):
    policy("p", "match", "p:*", "stale", "10m")
    cache.stale("k", "old")
    client.call("SET", "p:k", "old", "PX", 1)
    eventually(lambda: cache.look("p:k").status == "stale")
    assert cache.counts()["serve_stale"] in (0, "no")
    with setting(client, "serve-stale", "yes"):
        assert cache.counts()["serve_stale"] in (1, "yes")
        assert [client.call("GET", "p:k") for _ in range(5)] == [b"old"] * 5
        # CACHE.GET still grants its one lease, so that the origin's return is noticed.
        assert cache.get("k", "LEASE", LONG).token
        assert [cache.get("k")[:3] for _ in range(5)] == [("stale", b"old", 0)] * 5
    assert client.call("GET", "p:k") is None


def test_serve_stale_outlives_the_stale_window(cache, client):
    """While it is on, entries that are past it are kept as long as memory allows."""
    with setting(client, "serve-stale", "yes"):
        cache.set("k", "old", "PX", 1, "STALE", 20)
        witness = cache.lease("witness", "LEASE", 100)
        eventually(lambda: cache.get("witness").token > witness)
        assert cache.get("k")[:2] == ("stale", b"old")


def test_serve_stale_needs_neither_a_stale_window_nor_a_policy(cache, client, connect):
    """entries outlast their deadlines, whether or not they have a stale window, nothing expires, and plain reads as well as CACHE.GET get them"""
    expired = int(info(client, "stats")["expired_keys"])
    other = connect()
    with setting(client, "serve-stale", "yes"):
        client.call("SET", "plain", "old", "PX", 1)
        cache.set("ours", "old", "PX", 1)
        eventually(lambda: cache.look("plain").status == cache.look("ours").status == "stale")
        for key in ("plain", "ours"):
            for reader in (client, other):
                assert reader.call("GET", key) == reader.call("GETEX", key) == b"old"
                assert reader.call("MGET", key, "missing") == [b"old", None]
            found = cache.get(key, "LEASE", LONG)
            assert found[:2] == ("stale", b"old") and found.token > 0
            assert cache.get(key)[:3] == ("stale", b"old", 0)
        assert cache.call("DBSIZE") == 2 and int(info(client, "stats")["expired_keys"]) == expired
        assert cache.fill("ours", "new", found.token, "PX", LONG)
        assert client.call("GET", "ours") == b"new"
    assert client.call("GET", "plain") is None and client.call("GET", "ours") == b"new"
    eventually(lambda: int(info(client, "stats")["expired_keys"]) == expired + 1)


def test_what_serve_stale_keeps_beyond_its_end_is_usable_for_no_time(cache, client, park):
    with setting(client, "serve-stale", "yes"):
        client.pipeline([["SELECT", 1], ["CACHE.SET", "k", "old", "PX", 1], ["SELECT", 0]])
        cache.lease("k")
        reader = park("k")
        time.sleep(0.05)
        assert client.call("SWAPDB", 0, 1) == "OK"
        assert reader.answer() == ("stale", b"old", 0, 0)


# What makes room, and what does not


def fill_up(connection, count, size):
    """Writes so many keys, of which the oldest may be gone afterwards."""
    for first in range(0, count, 200):
        connection.pipeline([["SET", f"k{i}", b"v" * size] for i in range(first, min(first + 200, count))])


def statuses(cache, keys):
    return [found.status for i in range(0, len(keys), 100) for found in cache.mget(keys[i : i + 100], "LEASE", 0)]


def test_soft_stays_within_maxmemory(start):
    """Entries are written anew, the old ones' bytes come back later: room for that is made, and little has to go for it."""
    limit = 64 << 20
    with start("--maxmemory", limit).connect() as connection:
        cache = Cache(connection)
        fill_up(connection, 7000, 10_000)
        before = connection.call("DBSIZE")
        assert before > 5000
        keys = [f"k{i}" for i in range(7000)]
        random.Random(1).shuffle(keys)
        assert cache.invalidate(keys, "SOFT") > before * 0.7
        assert int(info(connection, "memory")["used_memory_peak"]) <= limit + (1 << 20)
        assert statuses(cache, keys).count("stale") > before * 0.7


def test_soft_in_a_transaction_removes_what_there_is_no_room_for(start):
    limit = 64 << 20
    with start("--maxmemory", limit).connect() as connection:
        cache = Cache(connection)
        fill_up(connection, 7000, 10_000)
        keys = [f"k{i}" for i in range(7000)]
        random.Random(1).shuffle(keys)
        connection.pipeline([["MULTI"], ["CACHE.INVALIDATE", len(keys), *keys, "SOFT"], ["EXEC"]])
        assert int(info(connection, "memory")["used_memory_peak"]) <= limit + limit / 64 + (1 << 20)
        assert set(statuses(cache, keys)) == {"stale", "miss"}


def test_giving_a_lease_back_makes_no_room(start):
    with start("--maxmemory", "16mb").connect() as connection:
        fill_up(connection, 20_000, 1000)
        for turn in range(30):
            connection.call("SET", f"more{turn}", b"v" * 1000)
            before = info(connection, "stats")["evicted_keys"]
            assert connection.pipeline([["CACHE.RENEW", "k", 1, 1000], ["CACHE.RELEASE", "k", 1]]) == [0, 0]
            assert info(connection, "stats")["evicted_keys"] == before


def test_negative_entries_are_not_counted_as_keys_with_a_deadline(cache, client):
    for i in range(5):
        cache.absent(f"none{i}", "PX", LONG)
    client.call("SET", "k", "v", "EX", 100)
    client.call("SET", "l", "v")
    assert info(client, "keyspace")["db0"].startswith("keys=2,expires=1,")


# Settings


@pytest.mark.parametrize(
    "name, values",
    [("lease-duration", ["0", "-1", "x", ""]), ("max-leases", ["-1", "x", ""]), ("max-lease-waiters", ["-1", "x"]), ("negative-ttl-max", ["-1", "x"]),
     ("negative-memory", ["-1", "lots"]), ("invalidation-memory", ["-1", "x"]), ("serve-stale", ["maybe", "2"])],
)  # fmt: skip
def test_wrong_settings_are_refused(client, name, values):
    before = client.call("CONFIG", "GET", name)
    assert len(before) == 2
    for value in values:
        assert client.call("CONFIG", "SET", name, value).startswith("ERR CONFIG SET failed"), value
    assert client.call("CONFIG", "GET", name) == before
