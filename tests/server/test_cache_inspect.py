"""CACHE.INSPECT, and COMMAND GETKEYS of all CACHE.* commands, as docs/cache-commands.md has them."""

import pytest

from tests.support.cache import LOAD_MS, LONG, text
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")

# | `CACHE.INSPECT key` | a map, see below |
#
# "`CACHE.INSPECT` tells `status` (`hit`, `stale`, `absent`, `miss`), `type`, `bytes` (of the value), `version`, `age-ms` (to 100 ms; -1 where it is not kept, as
# for plain writes), `fresh-ms` (-1: no expiry), `stale-ms` (until it is gone; -1: never), `frequency` (0-3), `load-ms` (measured; 0: not), `tags`, `depends` (the
# keys that it depends on, directly or not; without those that the client's user may not read), `policy`, `lease-ms` (left of the lease, 0: none) and `waiters`."
FIELDS = [
    "status", "type", "bytes", "version", "age-ms", "fresh-ms", "stale-ms", "frequency", "load-ms", "tags", "depends", "policy", "lease-ms", "waiters",
]  # fmt: skip


def status(inspected):
    return text(inspected["status"])


def test_the_fields_are_always_the_same(cache):
    cache.set("hit", "v")
    cache.stale("stale")
    cache.absent("absent", "PX", LONG)
    for key in ("hit", "stale", "absent", "miss"):
        inspected = cache.inspect(key)
        assert list(inspected) == FIELDS
        assert status(inspected) == key


def test_of_a_fresh_entry(cache, client):
    cache.set("k", "x" * 100, "PX", LONG, "STALE", LONG, "TAGS", 1, "t", "VERSION", 5)
    inspected = cache.inspect("k")
    assert text(inspected["type"]) == "string"
    assert inspected["bytes"] == client.call("STRLEN", "k") == 100
    assert inspected["version"] == 5 and inspected["tags"] == [b"t"] and inspected["waiters"] == 0
    assert 0 < inspected["fresh-ms"] <= LONG and inspected["stale-ms"] > 0
    assert inspected["age-ms"] >= 0 and inspected["frequency"] >= 0


def test_what_is_not_kept_and_what_never_ends_is_minus_one(cache, client):
    """`age-ms` (to 100 ms; -1 where it is not kept, as for plain writes), `fresh-ms` (-1: no expiry), `stale-ms` (until it is gone; -1: never)"""
    client.call("SET", "plain", "v")
    client.call("SET", "brief", "v", "PX", LONG)
    cache.set("ours", "v")
    cache.set("stale", "v", "STALE", LONG)  # without a deadline there is no window

    def found(key):
        inspected = cache.inspect(key)
        return inspected["age-ms"], inspected["fresh-ms"], inspected["stale-ms"]

    assert found("plain") == (-1, -1, -1)
    age, fresh, gone = found("brief")
    assert age == -1 and 0 < gone <= fresh <= LONG
    for key in ("ours", "stale"):
        age, fresh, gone = found(key)
        assert age >= 0 and (fresh, gone) == (-1, -1), key
    assert found("missing") == (-1, 0, 0)


def test_the_age_grows_and_what_is_left_shrinks(cache):
    cache.set("k", "v", "PX", LONG)
    first = cache.inspect("k")
    later = eventually(lambda: (now := cache.inspect("k"))["age-ms"] > first["age-ms"] and now)
    assert later["fresh-ms"] < LONG
    cache.set("k", "v", "PX", LONG)
    assert cache.inspect("k")["age-ms"] < later["age-ms"] + LONG


def test_the_time_of_the_load_was_measured(cache):
    """`load-ms` (measured; 0: not)"""
    cache.loaded("k")
    assert LOAD_MS <= cache.inspect("k")["load-ms"] < LONG


def test_the_lease_and_who_waits_for_it(cache, park):
    token = cache.lease("k")
    assert 0 < cache.inspect("k")["lease-ms"] <= LONG
    readers = [park("k") for _ in range(3)]
    assert cache.inspect("k")["waiters"] == 3
    cache.fill("k", "v", token)
    assert [reader.answer().value for reader in readers] == [b"v"] * 3
    assert cache.inspect("k")["waiters"] == 0
    cache.stale("old")
    assert cache.get("old", "LEASE", LONG).token
    assert 0 < cache.inspect("old")["lease-ms"] <= LONG


def test_the_policy_that_the_key_falls_under(cache):
    assert cache.policy("SET", "inspected", "match", "inspected:*", "ttl", "5m") == "OK"
    try:
        cache.call("SET", "inspected:1", "v")
        assert text(cache.inspect("inspected:1")["policy"]) == "inspected"
        assert text(cache.inspect("inspected:missing")["policy"]) == "inspected"
        assert text(cache.inspect("other")["policy"]) in (None, "")
    finally:
        cache.policy("DEL", "inspected")


def test_looking_changes_nothing(cache):
    """It takes no lease and counts as no use."""
    before = cache.counts()
    cache.set("k", "v")
    frequency = cache.inspect("k")["frequency"]
    for _ in range(20):
        cache.inspect("k")
        cache.inspect("missing")
    assert cache.inspect("k")["frequency"] == frequency
    assert cache.counts()["lease_granted"] == before["lease_granted"]
    assert cache.lease("missing")


def test_it_is_a_map_in_resp3_and_pairs_in_resp2(cache):
    reply = cache.call("CACHE.INSPECT", "k")
    assert isinstance(reply, dict) == (cache.protocol == 3)
    assert list(cache.mapping(reply)) == FIELDS


@pytest.mark.parametrize("args", [[], ["a", "b"]])
def test_it_takes_one_key(cache, args):
    assert cache.call("CACHE.INSPECT", *args) == "ERR wrong number of arguments for 'cache.inspect' command"


# "`COMMAND GETKEYS` tells where the keys are."

KEYS = {
    "cache.get": [(["k"], ["k"]), (["LEASE", "LEASE", "1"], ["LEASE"]), (["k", "WAIT", "1", "LEASE", "2", "BETA", "1"], ["k"])],
    "cache.mget": [(["1", "k"], ["k"]), (["2", "a", "b", "LEASE", "1"], ["a", "b"])],
    "cache.set": [(["k", "v"], ["k"]), (["k", "v", "TOKEN", "1", "EX", "1", "TAGS", "2", "a", "b"], ["k"])],
    "cache.absent": [(["k"], ["k"]), (["k", "TOKEN", "1"], ["k"])],
    "cache.release": [(["k", "1"], ["k"]), (["k", "1", "RETRY", "5"], ["k"])],
    "cache.renew": [(["k", "1", "100"], ["k"])],
    "cache.invalidate": [(["1", "k"], ["k"]), (["2", "a", "b", "SOFT", "VERSION", "1"], ["a", "b"])],
    "cache.purge": [(["TAGS", "1", "t"], None), (["PREFIX", "p"], None)],
    "cache.inspect": [(["k"], ["k"])],
    "cache.policy": [(["LIST"], None), (["SHOW", "p"], None), (["SET", "p", "match", "*"], None), (["DEL", "p"], None), (["MATCH", "k"], ["k"])],
}


def test_getkeys_finds_the_keys_of_all_of_them(cache):
    names = {name.decode() for name in cache.call("COMMAND", "LIST") if name.startswith(b"cache.")}
    assert {name.split("|")[0] for name in names} == set(KEYS)
    for name, cases in KEYS.items():
        for args, keys in cases:
            reply = cache.call("COMMAND", "GETKEYS", name, *args)
            expected = [key.encode() for key in keys] if keys else "ERR The command has no key arguments"
            assert reply == expected, (name, args)


def test_documentation_of_all_of_them(cache):
    """COMMAND DOCS describes each."""
    for name in KEYS:
        docs = cache.mapping(cache.call("COMMAND", "DOCS", name))
        assert list(docs) == [name]
        fields = cache.mapping(docs[name])
        assert fields["summary"] and text(fields["group"]) == "cache"
        assert ("subcommands" in fields) or fields["arguments"]
