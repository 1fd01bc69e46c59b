"""CACHE.INVALIDATE, row by row of docs/cache-commands.md."""

import itertools

import pytest

from tests.support.cache import LONG, Cache, is_error, setting
from tests.support.servers import eventually, is_redis

from .conftest import info

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


_numbers = itertools.count()


@pytest.fixture
def key():
    """One that no other test has invalidated: versions are remembered for a while."""
    return f"key:{next(_numbers)}"


# | `CACHE.INVALIDATE numkeys key [key ...] [SOFT] [CASCADE] [VERSION n]` | how many of the keys had an entry that was removed or made stale. Voids the keys' leases in any case. CASCADE: also
# invalidates what was built from the keys, which is not counted; see [Dependencies](#dependencies) |


def test_it_answers_how_many_entries_it_hit(cache, client):
    cache.set("a", "1")
    client.call("SET", "b", "2")
    assert cache.call("CACHE.INVALIDATE", 3, "a", "b", "missing") == 2
    assert client.call("EXISTS", "a", "b") == 0
    assert cache.invalidate(["a"]) == 0


def test_it_voids_leases(cache):
    """Voids the keys' leases in any case"""
    tokens = {key: cache.lease(key) for key in ("a", "b", "c")}
    voided = cache.counts()["lease_voided"]
    assert cache.invalidate(["a", "b"]) == 0
    assert cache.counts()["lease_voided"] == voided + 2
    assert not cache.fill("a", "old", tokens["a"]) and not cache.fill("b", "old", tokens["b"])
    assert cache.fill("c", "v", tokens["c"])


def test_it_voids_the_lease_of_a_refresh_too(cache):
    for key, token in (("stale", cache.stale_lease("stale")), ("fresh", cache.early_lease("fresh"))):
        assert cache.invalidate([key]) == 1
        assert not cache.fill(key, "old", token) and cache.look(key).status == "miss"


def test_it_removes_a_negative_entry(cache):
    cache.absent("k", "PX", LONG)
    assert cache.invalidate(["k"]) == 1
    assert cache.look("k").status == "miss"


def test_a_key_that_is_named_twice_is_hit_once(cache):
    cache.set("k", "v")
    assert cache.invalidate(["k", "k"]) == 1


def test_the_longest_waiter_loads_anew(cache, park):
    token = cache.lease("k")
    first, second = park("k"), park("k")
    cache.invalidate(["k"])
    found = first.answer()
    assert found[:2] == ("miss", None) and found.token > token
    assert cache.waiters("k") == 1
    assert cache.fill("k", "new", found.token)
    assert second.answer()[:2] == ("hit", b"new")


# "`INVALIDATE ... SOFT`: a live entry becomes stale now and is usable until its expiry, but for 49 days at most, or, if it has none, for the policy's
# `stale` (60 s where no policy says). One that is stale already stays as it is; a negative one goes."


def test_soft_makes_the_entry_stale(cache, client):
    cache.set("k", "v", "PX", LONG)
    assert cache.call("CACHE.INVALIDATE", 1, "k", "SOFT") == 1
    assert client.call("EXISTS", "k") == 0
    found = cache.get("k", "LEASE", LONG)
    assert found[:2] == ("stale", b"v") and found.token > 0 and 0 < found.ms <= LONG
    assert cache.get("k")[:3] == ("stale", b"v", 0)
    assert cache.fill("k", "new", found.token)
    assert cache.get("k") == ("hit", b"new", 0, -1)


def test_soft_is_usable_until_the_stale_window_ends(cache):
    cache.set("k", "v", "PX", LONG, "STALE", LONG)
    cache.invalidate(["k"], "SOFT")
    assert LONG < cache.look("k").ms <= 2 * LONG


def test_soft_of_an_entry_without_expiry(cache):
    cache.set("k", "v")
    cache.invalidate(["k"], "SOFT")
    found = cache.look("k")
    assert found[:3] == ("stale", b"v", 0) and 0 < found.ms <= 60_000


def test_soft_of_an_entry_under_a_policy(cache):
    """usable ... for the policy's `stale`"""
    assert cache.policy("SET", "soft", "match", "soft:*", "stale", "20s") == "OK"
    try:
        cache.set("soft:k", "v")
        cache.invalidate(["soft:k"], "SOFT")
        found = cache.look("soft:k")
        assert found.status == "stale" and 0 < found.ms <= 20_000
    finally:
        cache.policy("DEL", "soft")


def test_soft_removes_a_negative_entry(cache):
    """One that is stale already stays as it is; a negative one goes."""
    cache.absent("absent", "PX", LONG)
    cache.stale("stale", "old")
    before = cache.inspect("stale")["stale-ms"]
    assert cache.invalidate(["absent", "stale"], "SOFT") == 2
    assert cache.look("absent").status == "miss" and cache.counts()["negative_entries"] == 0
    assert cache.look("stale")[:2] == ("stale", b"old") and cache.inspect("stale")["stale-ms"] <= before


def test_soft_voids_leases(cache):
    token = cache.lease("missing")
    assert cache.invalidate(["missing"], "SOFT") == 0
    assert not cache.fill("missing", "old", token)
    token = cache.early_lease("k", "v")
    assert cache.invalidate(["k"], "SOFT") == 1
    assert not cache.fill("k", "old", token)
    token = cache.get("k").token
    assert token > 0
    cache.invalidate(["k"], "SOFT")
    assert not cache.fill("k", "old", token) and cache.look("k")[:2] == ("stale", b"v")


def test_soft_entries_end_when_they_would_have(cache):
    cache.set("k", "v", "PX", 200)
    cache.invalidate(["k"], "SOFT")
    eventually(lambda: cache.look("k").status == "miss")


# "`INVALIDATE ... VERSION n`: entries with a higher version stay; fills with a version up to n are refused for `invalidation-memory` (10 minutes by default)."


def test_version_refuses_fills_that_are_not_newer(cache, key):
    assert cache.invalidate([key], "VERSION", 10) == 0
    refused = cache.counts()["fill_refused"]
    for version in (1, 9, 10):
        assert cache.call("CACHE.SET", key, "old", "VERSION", version) is None
    token = cache.lease(key)
    assert cache.call("CACHE.SET", key, "old", "TOKEN", token, "VERSION", 10) is None
    assert cache.counts()["fill_refused"] == refused + 4
    assert cache.look(key).status == "miss"
    assert cache.set(key, "new", "VERSION", 11)


def test_version_removes_an_entry_that_is_not_newer(cache, key):
    for version in (9, 10):
        cache.set(key, "old", "VERSION", version)
        assert cache.invalidate([key], "VERSION", version) == 1
        assert cache.look(key).status == "miss"


def test_an_entry_that_is_newer_than_the_invalidation_stays(cache, key):
    """An invalidation that comes late says nothing about what was written after it."""
    cache.set(key, "new", "VERSION", 11)
    assert cache.invalidate([key], "VERSION", 10) == 0
    assert cache.get(key).value == b"new"


def test_the_newest_invalidation_counts(cache, key):
    cache.invalidate([key], "VERSION", 10)
    cache.invalidate([key], "VERSION", 5)
    assert cache.call("CACHE.SET", key, "old", "VERSION", 8) is None
    cache.invalidate([key], "VERSION", 20)
    assert cache.call("CACHE.SET", key, "old", "VERSION", 15) is None
    assert cache.set(key, "new", "VERSION", 21)


def test_versions_are_remembered_per_key(cache, key):
    cache.invalidate([key, key + ":b"], "VERSION", 10)
    assert cache.call("CACHE.SET", key, "old", "VERSION", 10) is None
    assert cache.call("CACHE.SET", key + ":b", "old", "VERSION", 10) is None
    assert cache.set(key + ":c", "v", "VERSION", 1)


def test_a_version_is_remembered_while_the_entry_comes_and_goes(cache, client, key):
    cache.invalidate([key], "VERSION", 10)
    assert cache.set(key, "new", "VERSION", 11)
    client.call("DEL", key)
    assert cache.call("CACHE.SET", key, "old", "VERSION", 10) is None


CARRIED = [(["COPY", "tmp", "KEY"], 0), (["COPY", "tmp", "KEY", "REPLACE"], 0), (["RENAME", "tmp", "KEY"], "error"), (["RENAMENX", "tmp", "KEY"], 0)]


@pytest.mark.parametrize("command, refused", CARRIED, ids=lambda part: str(part))
@pytest.mark.parametrize("version", [5, 10, 11])
def test_a_version_that_is_refused_cannot_be_carried_to_the_key(client, key, command, refused, version):
    """To a key for which that version is refused they do not carry it, and change nothing: RENAME answers an error, the others 0."""
    client.call("CACHE.SET", "tmp", "old", "VERSION", version)
    client.call("CACHE.INVALIDATE", 1, key, "VERSION", 10)
    reply = client.call(*(key if word == "KEY" else word for word in command))
    if version > 10:
        assert reply in (1, "OK") and client.call("GET", key) == b"old"
        return
    assert is_error(reply) and "version" in str(reply) if refused == "error" else reply == refused
    assert client.call("GET", key) is None and client.call("GET", "tmp") == b"old"


def test_a_version_that_is_refused_cannot_be_moved_to_another_database(client, connect, key):
    there = connect()
    there.call("SELECT", 1)
    there.call("CACHE.INVALIDATE", 1, key, "VERSION", 10)
    client.call("CACHE.SET", key, "old", "VERSION", 10)
    assert client.call("MOVE", key, 1) == 0 and client.call("COPY", key, key, "DB", 1) == 0
    assert there.call("GET", key) is None and client.call("GET", key) == b"old"
    client.call("CACHE.SET", key, "new", "VERSION", 11)
    assert client.call("MOVE", key, 1) == 1 and there.call("GET", key) == b"new"


def test_a_value_without_a_version_is_carried_to_any_key(client, key):
    client.call("SET", "tmp", "value")
    client.call("CACHE.INVALIDATE", 1, key, "VERSION", 10)
    assert client.call("RENAME", "tmp", key) == "OK" and client.call("GET", key) == b"value"


def test_a_version_is_remembered_for_ten_minutes_by_default(client):
    value = client.call("CONFIG", "GET", "invalidation-memory")[1]
    assert int(value) in (600, 600_000), value


def test_soft_and_version_together(cache, key):
    cache.set(key, "old", "VERSION", 10, "PX", LONG)
    assert cache.invalidate([key], "SOFT", "VERSION", 10) == 1
    found = cache.get(key, "LEASE", LONG)
    assert found[:2] == ("stale", b"old") and found.token > 0
    assert not cache.fill(key, "old", found.token, "VERSION", 10)
    cache.set(key, "old", "VERSION", 11)
    assert cache.invalidate([key], "VERSION", 11, "SOFT") == 1


def test_many_keys_at_once(cache):
    keys = [f"many:{i}" for i in range(1000)]
    for key in keys[::2]:
        cache.set(key, "v")
    assert cache.invalidate(keys) == 500
    assert all(found.status == "miss" for found in cache.mget(keys, "LEASE", 0))


def test_what_cannot_be_remembered_is_refused_as_a_whole(start):
    """If that cannot be remembered for want of memory, the command is refused as a whole. ... and may take an eighth of `maxmemory`"""
    limit = 8 << 20
    oom = "OOM command not allowed when used memory > 'maxmemory'."

    def herd():
        return int(info(connection, "memory")["used_memory_herd"])

    with start("--maxmemory", limit).connect() as connection:
        cache = Cache(connection)
        cache.set("victim", "v", "VERSION", 1)
        token = cache.lease("missing")
        step, remembered = 200, 0
        while True:
            reply = cache.invalidate([f"{'k' * 200}:{remembered + i}" for i in range(step)], "VERSION", 7)
            if reply != 0:
                break
            remembered += step
            assert herd() <= limit / 8
        assert reply == oom and remembered > 0
        assert limit / 16 < herd() <= limit / 8
        before = herd()
        more = ["victim", "missing", *(f"{'m' * 200}:{i}" for i in range(step * 10))]
        assert cache.invalidate(more, "VERSION", 7) == oom
        assert herd() == before
        assert cache.get("victim")[:2] == ("hit", b"v") and cache.holds("missing", token)
        assert cache.set(more[-1], "v", "VERSION", 1)
        # What was accepted is kept, and an invalidation that has nothing to remember goes on.
        assert cache.call("CACHE.SET", f"{'k' * 200}:{remembered - 1}", "old", "VERSION", 7) is None
        assert cache.invalidate(more) == 2 and not cache.fill("missing", "old", token)


# Bad input


@pytest.mark.parametrize("command", ["CACHE.INVALIDATE", "CACHE.MGET"])
def test_a_forgotten_number_of_keys_is_said_so(cache, command):
    cache.call("SET", "product:1", "v")
    assert cache.call(command, "product:1", "product:2") == f"ERR {command} takes the number of keys, 1 or more, and then the keys, not 'product:1'"
    assert cache.call(command, "product:1") == f"ERR wrong number of arguments for '{command.lower()}' command"
    assert cache.call("GET", "product:1") == b"v"


@pytest.mark.parametrize("numkeys", ["0", "-1", "x", "", "3", "9223372036854775807", "9223372036854775808"])
def test_a_wrong_number_of_keys_is_refused(cache, numkeys):
    cache.set("a", "v")
    assert cache.call("CACHE.INVALIDATE", numkeys, "a", "b").startswith("ERR ")
    assert cache.get("a").status == "hit"


@pytest.mark.parametrize("text", ["x", "", "1.5", "9223372036854775808"])
def test_a_version_that_is_no_integer_is_refused(cache, text):
    cache.set("a", "v")
    assert cache.call("CACHE.INVALIDATE", 1, "a", "VERSION", text) == f"ERR VERSION takes a number, 1 to {2**53 - 1}, not '{text}'"
    assert cache.get("a").status == "hit"


def test_a_version_out_of_its_bounds_is_answered_with_them(cache, key):
    cache.set(key, "v")
    for wrong in ("0", "-1", str(2**53)):
        assert cache.call("CACHE.INVALIDATE", 1, key, "VERSION", wrong) == f"ERR VERSION takes a number, 1 to {2**53 - 1}, not '{wrong}'"
        assert cache.get(key).status == "hit"
    assert cache.invalidate([key], "VERSION", 1) == 1
    assert cache.invalidate([key], "VERSION", 2**53 - 1) == 0
    assert cache.call("CACHE.SET", key, "v", "VERSION", 2**53 - 1) is None


@pytest.mark.parametrize(
    "options, wrong",
    [(["BOGUS"], "unknown option 'BOGUS'"), (["VERSION"], "VERSION needs a value"), (["SOFT", "BOGUS"], "unknown option 'BOGUS'"),
     (["HARD"], "unknown option 'HARD'"), (["SOFTT"], "unknown option 'SOFTT' (did you mean 'SOFT'?)")],
)  # fmt: skip
def test_a_wrong_option_is_named(cache, options, wrong):
    cache.set("a", "v")
    error = cache.call("CACHE.INVALIDATE", 1, "a", *options)
    assert error == f"ERR {wrong}; usage: CACHE.INVALIDATE numkeys key [key ...] [SOFT] [CASCADE] [VERSION version]"
    assert cache.get("a").status == "hit"


def test_invalidations_are_forgotten_in_time(cache, client, key):
    """refused for `invalidation-memory` ...

    What is kept of them does not grow without end."""
    with setting(client, "invalidation-memory", 1):
        cache.invalidate([key], "VERSION", 10)
        eventually(lambda: cache.set(key, "v", "VERSION", 9))
