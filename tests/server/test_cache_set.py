"""CACHE.SET and CACHE.ABSENT, row by row of docs/cache-commands.md."""

import itertools
import time

import pytest

from tests.support.cache import LARGEST, LONG, Cache, setting
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")

INTEGER = "ERR value is not an integer or out of range"
FAR = 4_000_000_000  # a Unix time in seconds, in the year 2096


def test_a_deadline_far_away_is_told_as_far_as_integers_are_exact(cache, park):
    """All integers stay below 2^53"""
    cache.lease("k")
    reader = park("k")
    cache.set("k", "v", "PXAT", 2**63 - 2, "STALE", 1000)
    assert cache.get("k").ms == reader.answer().ms == LARGEST
    found = cache.inspect("k")
    assert found["fresh-ms"] == found["stale-ms"] == LARGEST


# | `CACHE.SET key value [TOKEN token] [EX s / PX ms / EXAT t / PXAT t / KEEPTTL] [STALE ms] [VERSION n] [TAGS n tag ...] [DEPENDS n key ...]` | `OK`; nil if nothing was stored:
# the token is not alive, a tag was purged or a [dependency](#dependencies) invalidated since its lease was granted, or the version is not newer |


def test_set_without_options_stores(cache, client):
    assert cache.call("CACHE.SET", "k", "v") == "OK"
    assert client.call("GET", "k") == b"v" and client.call("TTL", "k") == -1
    assert cache.call("CACHE.SET", "k", "w") == "OK"
    assert cache.get("k") == ("hit", b"w", 0, -1)


def test_set_with_the_token_fills_once(cache):
    token = cache.lease("k")
    filled = cache.counts()["lease_filled"]
    assert cache.call("CACHE.SET", "k", "v", "TOKEN", token) == "OK"
    assert cache.counts()["lease_filled"] == filled + 1
    assert cache.call("CACHE.SET", "k", "again", "TOKEN", token) is None
    assert cache.get("k") == ("hit", b"v", 0, -1)


def test_a_void_token_stores_nothing(cache, client):
    """a reader misses and gets token 7; it reads the old row; a writer commits and deletes the key, which voids token 7; the reader's `CACHE.SET ... TOKEN 7` is answered nil."""
    token = cache.lease("k")
    refused = cache.counts()["fill_refused"]
    assert client.call("DEL", "k") == 0
    assert cache.call("CACHE.SET", "k", "old row", "TOKEN", token) is None
    assert cache.counts()["fill_refused"] == refused + 1
    assert client.call("EXISTS", "k") == 0


STEPS = ("miss", "read", "fill", "commit", "delete")


@pytest.mark.parametrize(
    "order",
    [order for order in itertools.permutations(STEPS)
     if order.index("miss") < order.index("read") < order.index("fill") and order.index("commit") < order.index("delete")],
    ids=" ".join,
)  # fmt: skip
def test_no_order_of_a_fill_and_an_invalidation_leaves_the_old_value(cache, client, order):
    """Every order of these steps ends with no entry or with the new value."""
    origin, reader = {"k": "old"}, {}
    for step in order:
        if step == "miss":
            reader["token"] = cache.lease("k")
        elif step == "read":
            reader["value"] = origin["k"]
        elif step == "fill":
            cache.fill("k", reader["value"], reader["token"])
        elif step == "commit":
            origin["k"] = "new"
        else:
            client.call("DEL", "k")
    assert client.call("GET", "k") in (None, b"new")


@pytest.mark.parametrize("token", ["0", "1", "-1", "9007199254740991", "9223372036854775807"])
def test_an_unknown_token_is_nil_and_counted(cache, token):
    """A token that is unknown, void or another key's is never an error: nil or 0, and counted as `fill_refused`."""
    refused = cache.counts()["fill_refused"]
    mine = cache.lease("k")
    for key in ("k", "other"):
        assert cache.call("CACHE.SET", key, "v", "TOKEN", token) is None
        assert cache.call("CACHE.ABSENT", key, "TOKEN", token) is None
    assert cache.counts()["fill_refused"] == refused + 4
    assert cache.get("k")[:3] == ("miss", None, 0) and cache.fill("k", "v", mine)


def test_the_token_of_another_key_is_refused(cache):
    """A token that is ... another key's is never an error: nil or 0"""
    token = cache.lease("a")
    cache.lease("b")
    for key in ("b", "c"):
        assert cache.call("CACHE.SET", key, "v", "TOKEN", token) is None
        assert cache.call("CACHE.ABSENT", key, "TOKEN", token) is None
        assert cache.look(key)[:3] == ("miss", None, 0)
    assert cache.fill("a", "v", token)


def test_anyone_who_has_the_token_may_fill(cache, client, connect):
    """It does not belong to a connection."""
    taker = connect()
    token = taker.call("CACHE.GET", "k", "LEASE", LONG)[2]
    taker.close()
    assert client.call("CACHE.SET", "k", "v", "TOKEN", token) == "OK"


def test_a_write_without_a_token_voids_the_lease(cache):
    """the key is written, ... by anybody else | it is **void**"""
    for write in (lambda: cache.set("k", "new"), lambda: cache.absent("k", "PX", LONG)):
        token = cache.lease("k")
        voided = cache.counts()["lease_voided"]
        assert write()
        assert cache.counts()["lease_voided"] == voided + 1
        assert not cache.fill("k", "old", token) and not cache.absent("k", "TOKEN", token)
        assert cache.look("k").value != b"old"
        cache.call("DEL", "k")


def test_a_large_value_with_a_void_token_is_not_stored(cache):
    """Those come in blocks of their own, of which nothing must be left."""
    for size in (10_000, 20_000, 3 << 20):
        token = cache.lease("k")
        cache.call("DEL", "k")
        assert not cache.fill("k", "x" * size, token)
        assert cache.call("EXISTS", "k") == 0 and cache.call("PING") == "PONG"


def test_a_fill_for_which_there_is_no_memory_leaves_the_lease_alone(start):
    with start("--maxmemory", "8mb", "--maxmemory-policy", "noeviction").connect() as connection:
        cache = Cache(connection)
        token = cache.lease("k")
        while connection.call("SET", f"full:{time.monotonic_ns()}", "x" * 100_000) == "OK":
            pass
        for _ in range(3):
            assert cache.call("CACHE.SET", "k", "x" * 200_000, "TOKEN", token) == "OOM command not allowed when used memory > 'maxmemory'."
        assert cache.holds("k", token)
        connection.call("FLUSHALL")
        assert not cache.holds("k", token)


# [EX s / PX ms / EXAT t / PXAT t / KEEPTTL]


@pytest.mark.parametrize(
    "options, pttl",
    [(["EX", 600], 600_000), (["PX", 600_000], 600_000), (["ex", "600"], 600_000), (["STALE", 1, "PX", 600_000], 600_000)],
)
def test_ex_and_px_say_how_long_the_entry_is_fresh(cache, client, options, pttl):
    """`EX`, `PX`, `EXAT` or `PXAT` set until when an entry is **fresh**."""
    assert cache.set("k", "v", *options)
    assert 0 < cache.get("k").ms <= pttl
    assert 0 < client.call("PTTL", "k") <= pttl


def test_exat_and_pxat_say_until_when(cache, client):
    assert cache.set("k", "v", "EXAT", FAR)
    assert client.call("EXPIRETIME", "k") == FAR
    assert cache.set("k", "v", "PXAT", FAR * 1000 + 1)
    assert client.call("PEXPIRETIME", "k") == FAR * 1000 + 1
    assert cache.fill("other", "v", cache.lease("other"), "PXAT", FAR * 1000 + 2)
    assert client.call("PEXPIRETIME", "other") == FAR * 1000 + 2


def test_keepttl_keeps_it(cache, client):
    assert cache.set("k", "v", "EXAT", FAR)
    assert cache.set("k", "w", "KEEPTTL")
    assert (client.call("GET", "k"), client.call("EXPIRETIME", "k")) == (b"w", FAR)
    assert cache.set("new", "v", "KEEPTTL")
    assert client.call("TTL", "new") == -1
    assert cache.set("k", "w")
    assert client.call("TTL", "k") == -1


def test_a_time_that_has_passed_leaves_no_entry(cache, client):
    for option, at in (("EXAT", 1), ("PXAT", 1)):
        assert cache.set("k", "v")
        assert cache.set("k", "w", option, at)
        assert client.call("EXISTS", "k") == 0 and cache.look("k").status == "miss"


def test_a_change_of_the_time_keeps_the_stale_window(cache, client):
    for command, fresh in ((["EXPIRE", "k", 60], 60_000), (["GETEX", "k", "PX", 50_000], 50_000), (["SET", "k", "w", "KEEPTTL"], LONG)):
        assert cache.set("k", "v", "PX", LONG, "STALE", LONG)
        client.call(*command)
        inspected = cache.inspect("k")
        assert 0 < inspected["fresh-ms"] <= fresh < inspected["stale-ms"] <= fresh + LONG, command
    assert client.call("PERSIST", "k") == 1
    assert cache.get("k") == ("hit", b"w", 0, -1)


# [STALE ms]


def test_a_stale_window_follows_the_fresh_time(cache, client):
    """`STALE ms`, or a policy, adds a **stale** window after that."""
    assert cache.set("k", "v", "PX", LONG, "STALE", LONG)
    assert 0 < cache.get("k").ms <= LONG
    # "To plain commands an entry expires when it stops being fresh"
    assert 0 < client.call("PTTL", "k") <= LONG
    cache.stale("old", "v")
    assert cache.get("old", "LEASE", 0)[:2] == ("stale", b"v")
    assert (client.call("GET", "old"), client.call("EXISTS", "old"), client.call("PTTL", "old")) == (None, 0, -2)


def test_after_the_stale_window_the_entry_is_gone(cache):
    """│──────── fresh ─────────│──────── stale ────────│"""
    assert cache.set("k", "v", "PX", 1, "STALE", 20)
    eventually(lambda: cache.look("k").status == "miss")
    assert cache.lease("k")


def test_without_a_stale_window_the_entry_goes_at_once(cache):
    for options in (["PX", 10], ["PX", 10, "STALE", 0]):
        assert cache.set("k", "v", *options)
        seen = set()
        eventually(lambda: seen.add(cache.look("k").status) or "miss" in seen)
        assert seen <= {"hit", "miss"}


def test_a_fill_starts_another_life(cache):
    token = cache.stale_lease("k", "old")
    assert cache.fill("k", "new", token, "PX", LONG, "STALE", LONG)
    found = cache.get("k")
    assert found[:3] == ("hit", b"new", 0) and 0 < found.ms <= LONG


# [VERSION n]


def test_a_version_must_be_newer(cache):
    """nil if nothing was stored: ... the version is not newer"""
    assert cache.set("k", "ten", "VERSION", 10)
    for older in (10, 9, 1):
        assert cache.call("CACHE.SET", "k", "older", "VERSION", older) is None
    assert cache.get("k")[:2] == ("hit", b"ten") and cache.inspect("k")["version"] == 10
    assert cache.set("k", "eleven", "VERSION", 11)
    assert cache.get("k").value == b"eleven" and cache.inspect("k")["version"] == 11


def test_a_fill_may_name_its_version_too(cache):
    token = cache.lease("k")
    assert cache.fill("k", "v", token, "VERSION", 5)
    assert cache.inspect("k")["version"] == 5
    token = cache.stale_lease("other", "new", "VERSION", 7)
    assert not cache.fill("other", "old", token, "VERSION", 6)
    assert cache.look("other").value == b"new"


def test_two_writers_cannot_leave_the_older_value(cache, connect):
    """stored only if n is higher than the version of the entry that is there"""
    writers = [connect() for _ in range(4)]
    versions = [n * 7919 % 500 + 1 for n in range(500)]
    for i, version in enumerate(versions):
        writers[i % 4].send_command("CACHE.SET", "k", f"row {version}", "VERSION", version)
    for i in range(500):
        writers[i % 4].read()
    assert cache.get("k").value == b"row 500"


def test_an_entry_whose_writer_names_no_version_has_none(cache, client):
    """What a writer does not name it does not have: `CACHE.INSPECT` shows version 0."""
    assert cache.set("k", "v") and client.call("SET", "plain", "v") == "OK"
    assert cache.inspect("k")["version"] == cache.inspect("plain")["version"] == 0
    assert cache.set("k", "w", "VERSION", 1) and cache.set("plain", "w", "VERSION", 1)
    client.call("SET", "k", "v")
    assert cache.inspect("k")["version"] == 0


def test_commands_that_change_a_value_keep_its_version_and_tags(cache, client):
    """INCR, APPEND and other commands that change a value keep what is beside it; ... COPY and RENAME take it along."""
    assert cache.set("k", "1", "VERSION", 5, "TAGS", 1, "t", "PX", LONG)
    for command in (["INCR", "k"], ["APPEND", "k", "0"], ["SETRANGE", "k", 0, "3"], ["SETBIT", "k", 1, 0], ["EXPIRE", "k", 60], ["GETEX", "k", "PERSIST"], ["TOUCH", "k"]):
        client.call(*command)
        inspected = cache.inspect("k")
        assert (inspected["version"], inspected["tags"]) == (5, [b"t"]), command
    client.call("COPY", "k", "copy")
    client.call("RENAME", "k", "other")
    for key in ("copy", "other"):
        assert (cache.inspect(key)["version"], cache.inspect(key)["tags"]) == (5, [b"t"])
    cache.purge_tags(["t"])
    assert client.call("EXISTS", "copy", "other") == 0


def test_a_plain_set_drops_the_version(cache, client):
    """a plain SET without KEEPTTL drops it"""
    assert cache.set("k", "ten", "VERSION", 10, "TAGS", 1, "t")
    assert client.call("SET", "k", "plain") == "OK"
    assert cache.inspect("k")["version"] == 0 and cache.inspect("k")["tags"] == []
    assert cache.call("CACHE.SET", "k", "five", "VERSION", 5) == "OK"
    assert cache.get("k").value == b"five"
    assert client.call("SET", "k", "kept", "KEEPTTL") == "OK"
    assert cache.inspect("k")["version"] == 5
    assert cache.call("CACHE.SET", "k", "old", "VERSION", 5) is None


def test_the_largest_version_that_javascript_knows(cache):
    assert cache.set("k", "v", "VERSION", 2**53 - 1)
    assert cache.inspect("k")["version"] == 2**53 - 1
    assert cache.call("CACHE.SET", "k", "v", "VERSION", 2**53 - 1) is None


# [TAGS n tag ...]


def test_tags_are_kept_with_the_entry(cache):
    assert cache.set("k", "v", "TAGS", 2, "user:1", b"\x00binary")
    assert sorted(cache.inspect("k")["tags"]) == [b"\x00binary", b"user:1"]
    assert cache.set("k", "v", "TAGS", 1, "user:2")
    assert cache.inspect("k")["tags"] == [b"user:2"]
    assert cache.set("k", "v")
    assert cache.inspect("k")["tags"] == []


def test_tags_may_be_called_like_options(cache):
    assert cache.set("k", "v", "TAGS", 3, "PX", "TOKEN", "1", "PX", LONG)
    assert sorted(cache.inspect("k")["tags"]) == [b"1", b"PX", b"TOKEN"] and cache.get("k").ms > 0


@pytest.mark.parametrize("tags", [[1, ""], [1, "x" * 256], [2, "ok", "x" * 300], [17, *["x" * 255] * 17]])
def test_tags_have_a_size(cache, tags):
    """Tags have 1 to 255 bytes, those of an entry at most 4096 with a length byte each."""
    assert cache.call("CACHE.SET", "k", "v", "TAGS", *tags).startswith("ERR ")
    assert cache.look("k").status == "miss"
    most = ["x" * 255] * 16
    assert cache.set("k", "v", "TAGS", len(most), *most) and len(cache.inspect("k")["tags"]) == 16


def test_all_options_together_in_any_order(cache):
    token = cache.lease("k")
    assert cache.set("k", "v", "tags", 1, "t", "version", 3, "stale", LONG, "token", token, "ex", 600)
    assert cache.inspect("k")["version"] == 3
    token = cache.lease("other")
    assert cache.set("other", "v", "PX", LONG, "TOKEN", token, "STALE", 5, "VERSION", 4, "TAGS", 1, "t")
    assert cache.inspect("other")["tags"] == [b"t"]


# | `CACHE.ABSENT key [TOKEN token] [EX s / PX ms / EXAT t / PXAT t] [TAGS n tag ...] [DEPENDS n key ...]` | as CACHE.SET; stores a negative entry, for at most `negative-ttl-max` |


def test_absent_with_the_token(cache):
    token = cache.lease("k")
    assert cache.call("CACHE.ABSENT", "k", "TOKEN", token, "PX", LONG) == "OK"
    assert cache.call("CACHE.ABSENT", "k", "TOKEN", token) is None
    assert cache.call("CACHE.SET", "k", "v", "TOKEN", token) is None
    assert cache.get("k")[:3] == ("absent", None, 0)


def test_absent_with_a_void_token_stores_nothing(cache):
    token = cache.lease("k")
    cache.call("SET", "k", "born")
    assert cache.call("CACHE.ABSENT", "k", "TOKEN", token) is None
    assert cache.get("k").value == b"born"


def test_absent_replaces_a_value(cache, client):
    cache.set("k", "v")
    assert cache.absent("k", "PX", LONG)
    assert cache.get("k").status == "absent" and client.call("GET", "k") is None


def test_absent_expires(cache):
    assert cache.absent("k", "PX", 10)
    eventually(lambda: cache.look("k").status == "miss")
    assert cache.absent("k", "EX", 1)
    assert 0 < cache.get("k").ms <= 1000


def milliseconds(client):
    """The server's time of day."""
    seconds, micros = client.call("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def test_absent_takes_the_time_at_which_it_ends(cache, client):
    """| `CACHE.ABSENT key [TOKEN token] [EX s / PX ms / EXAT t / PXAT t] ..."""
    with setting(client, "negative-ttl-max", 2**31 - 1):
        begun = milliseconds(client)
        for option, unit in (("PXAT", 1), ("EXAT", 1000)):
            at = (begun + LONG) // unit
            token = cache.lease("k")
            assert cache.absent("k", "TOKEN", token, option, at)
            found = cache.get("k")
            assert found[:3] == ("absent", None, 0)
            assert at * unit - milliseconds(client) - 1 <= found.ms <= at * unit - begun, option
            client.call("DEL", "k")
    for option, at in (("EXAT", FAR), ("PXAT", FAR * 1000)):
        assert cache.absent("k", option, at)
        assert 0 < cache.get("k").ms <= 60_000, "negative-ttl-max"
        assert cache.absent("k", option, 1)
        assert cache.look("k").status == "miss", "that time has passed"


def test_the_time_of_a_negative_entry_is_capped(cache, client):
    """stores a negative entry, for at most `negative-ttl-max`"""
    with setting(client, "negative-ttl-max", 5000):
        for options in ([], ["PX", LONG], ["EX", 600], ["TAGS", 1, "t"]):
            assert cache.absent("k", *options)
            assert 0 < cache.get("k").ms <= 5000
        assert cache.absent("k", "PX", 3000)
        assert 0 < cache.get("k").ms <= 3000


def test_a_negative_entry_does_not_exist_for_plain_commands(cache, client):
    """To every plain command there is nothing"""

    def absent():
        client.call("FLUSHALL")
        assert cache.absent("k", "PX", LONG)

    for command, reply in [
        (["GET", "k"], None), (["EXISTS", "k"], 0), (["MGET", "k"], [None]), (["GETDEL", "k"], None), (["GETEX", "k", "EX", 10], None), (["TTL", "k"], -2),
        (["PTTL", "k"], -2), (["EXPIRETIME", "k"], -2), (["TYPE", "k"], "none"), (["STRLEN", "k"], 0), (["GETRANGE", "k", 0, -1], b""), (["KEYS", "*"], []),
        (["SCAN", 0, "COUNT", 1000], [b"0", []]), (["RANDOMKEY"], None), (["DEL", "k"], 0), (["UNLINK", "k"], 0), (["TOUCH", "k"], 0), (["EXPIRE", "k", 10], 0),
        (["PERSIST", "k"], 0), (["RENAME", "k", "other"], "ERR no such key"), (["COPY", "k", "other"], 0), (["MOVE", "k", 1], 0), (["OBJECT", "ENCODING", "k"], None),
        (["MEMORY", "USAGE", "k"], None), (["SET", "k", "v", "XX"], None), (["SET", "k", "v", "NX"], "OK"), (["SETNX", "k", "v"], 1), (["MSETNX", "k", "v"], 1),
        (["INCR", "k"], 1), (["APPEND", "k", "ab"], 2), (["SETRANGE", "k", 1, "b"], 2), (["GETBIT", "k", 0], 0), (["SETBIT", "k", 7, 1], 0), (["GETSET", "k", "v"], None),
        (["DELEX", "k"], 0), (["DIGEST", "k"], None), (["COPY", "k", "other", "REPLACE"], 0), (["RENAMENX", "k", "other"], "ERR no such key"),
    ]:  # fmt: skip
        absent()
        assert client.call(*command) == reply, command
    absent()
    client.call("SET", "source", "v")
    assert client.call("RENAMENX", "source", "k") == 1
    absent()
    client.call("SET", "source", "v")
    assert client.call("COPY", "source", "k") == 1


def test_dbsize_does_not_count_negative_entries(cache, client):
    assert cache.absent("k", "PX", LONG)
    assert client.call("DBSIZE") == 0


def test_negative_hits_are_counted(cache):
    cache.absent("k", "PX", LONG)
    before = cache.counts()["negative_hits"]
    cache.get("k")
    cache.mget(["k", "other"])
    assert cache.counts()["negative_hits"] == before + 2


def test_a_plain_read_of_a_negative_entry_is_a_negative_hit(cache, client):
    """a plain read of it counts as a negative hit."""
    cache.absent("k", "PX", LONG)
    before = cache.counts()["negative_hits"]
    client.call("GET", "k")
    client.call("MGET", "k", "k")
    assert cache.counts()["negative_hits"] == before + 3


def test_negative_entries_are_counted(cache):
    before = cache.counts()["negative_entries"]
    for i in range(10):
        assert cache.absent(f"k{i}", "PX", LONG)
    assert cache.counts()["negative_entries"] == before + 10
    cache.set("k0", "v")
    cache.call("DEL", "k1")
    cache.absent("k2", "PX", 1)
    eventually(lambda: cache.look("k2").status == "miss")
    eventually(lambda: cache.counts()["negative_entries"] == before + 7)
    cache.call("FLUSHALL")
    eventually(lambda: cache.counts()["negative_entries"] == 0)


# Bad input


DURATIONS = ["EX", "PX", "EXAT", "PXAT", "STALE"]
NOT_INTEGERS = ["x", "", "1.5", " 1", "9223372036854775808", "1e3"]


@pytest.mark.parametrize("option", [*DURATIONS, "VERSION", "TOKEN"])
@pytest.mark.parametrize("text", NOT_INTEGERS)
def test_a_number_that_is_no_integer_is_refused(cache, option, text):
    cache.set("k", "v")
    error = {
        "STALE": f"ERR STALE takes milliseconds, 0 to {2**32 - 1}, not '{text}'",
        "VERSION": f"ERR VERSION takes a number, 1 to {2**53 - 1}, not '{text}'",
        "TOKEN": f"ERR a token is a number, as CACHE.GET answers it, not '{text}'",
    }.get(option, INTEGER)
    assert cache.call("CACHE.SET", "k", "w", option, text) == error
    if option in ("EX", "PX", "TOKEN"):
        assert cache.call("CACHE.ABSENT", "k", option, text) == error
    assert cache.get("k") == ("hit", b"v", 0, -1)


@pytest.mark.parametrize("option", DURATIONS)
@pytest.mark.parametrize("text", ["-1", "-9223372036854775808", "9223372036854775807"])
def test_a_duration_that_is_negative_or_overflows_is_refused(cache, option, text):
    cache.set("k", "v")
    if (option, text) == ("PXAT", "9223372036854775807"):
        return  # the end of time, which is a time
    assert cache.call("CACHE.SET", "k", "w", option, text).startswith("ERR ")
    if option in ("EX", "PX"):
        assert cache.call("CACHE.ABSENT", "k", option, text).startswith("ERR ")
    assert cache.get("k") == ("hit", b"v", 0, -1)


@pytest.mark.parametrize("option", ["EX", "PX", "EXAT", "PXAT"])
def test_no_time_at_all_is_refused_as_by_set(cache, option):
    assert cache.call("CACHE.SET", "k", "w", option, 0) == "ERR invalid expire time in 'cache.set' command"
    assert cache.call("EXISTS", "k") == 0


@pytest.mark.parametrize(
    "option, unit, least, most",
    [("VERSION", "a number", 1, 2**53 - 1), ("STALE", "milliseconds", 0, 2**32 - 1)],
)
def test_a_number_out_of_its_bounds_is_answered_with_them(cache, option, unit, least, most):
    for wrong in (least - 1, most + 1):
        assert cache.call("CACHE.SET", "k", "v", "PX", LONG, option, wrong) == f"ERR {option} takes {unit}, {least} to {most}, not '{wrong}'"
        assert cache.look("k").status == "miss"
    for right in (least, most):
        assert cache.set(f"k{right}", "v", "PX", LONG, option, right)


def test_deadlines_that_overflow_together_are_refused(cache):
    now = int(time.time() * 1000)
    assert cache.call("CACHE.SET", "k", "v", "PX", 2**63 - 1 - now - 3_600_000, "STALE", 2**62).startswith("ERR ")
    assert cache.call("EXISTS", "k") == 0


@pytest.mark.parametrize(
    "options, wrong",
    [*(([option], f"{option} needs a value") for option in ("EX", "PX", "TOKEN", "STALE", "VERSION", "TAGS")), (["BOGUS"], "unknown option 'BOGUS'"),
     (["EX", "1", "PX", "1"], "PX does not go with what comes before it"), (["KEEPTTL", "PXAT", "1"], "PXAT does not go with what comes before it"),
     (["TGAS", "1", "a"], "unknown option 'TGAS' (did you mean 'TAGS'?)"), (["VERSOIN", "1"], "unknown option 'VERSOIN' (did you mean 'VERSION'?)")],
)  # fmt: skip
def test_a_wrong_option_is_named(cache, options, wrong):
    cache.set("k", "v")
    assert cache.call("CACHE.SET", "k", "w", *options).startswith(f"ERR {wrong}; usage: CACHE.SET key value [TOKEN token] [EX seconds | ")
    assert cache.get("k") == ("hit", b"v", 0, -1)


@pytest.mark.parametrize(
    "options, wrong",
    [(["STALE", "1"], "unknown option 'STALE'"), (["VERSION", "1"], "unknown option 'VERSION'"), (["KEEPTTL"], "KEEPTTL is not possible"), (["value"], "unknown option 'value'")],
)
def test_absent_knows_fewer_options(cache, options, wrong):
    assert cache.call("CACHE.ABSENT", "k", *options).startswith(f"ERR {wrong}")
    assert cache.look("k").status == "miss"


@pytest.mark.parametrize("tags", [["x", "a"], ["-1", "a"], ["2", "a"], ["1"], ["9223372036854775807", "a"], ["9223372036854775808", "a"], ["1", "a", "b"]])
def test_a_wrong_number_of_tags_is_refused(cache, tags):
    cache.set("k", "v")
    assert cache.call("CACHE.SET", "k", "w", "TAGS", *tags).startswith("ERR ")
    assert cache.call("CACHE.ABSENT", "k", "TAGS", *tags).startswith("ERR ")
    assert cache.get("k").value == b"v"


def test_a_fill_that_is_refused_ends_the_lease(cache, park):
    """A refused fill of a lease's holder ends the lease, so that whoever waits need not wait for its deadline."""
    assert cache.invalidate(["refused"], "VERSION", 5) == 0
    token = cache.lease("refused")
    reader = park("refused")
    assert not cache.fill("refused", "old", token, "VERSION", 5)
    found = reader.answer()
    assert found.status == "miss" and found.token > token
    assert cache.fill("refused", "new", found.token, "VERSION", 6)


def test_wrong_arguments_leave_the_lease_alone(cache):
    token = cache.lease("k")
    assert cache.call("CACHE.SET", "k", "v", "TOKEN", token, "PX", "x") == INTEGER
    assert cache.call("CACHE.SET", "k", "v", "TOKEN", token, "BOGUS").startswith("ERR unknown option 'BOGUS'; usage: ")
    assert cache.fill("k", "v", token)
