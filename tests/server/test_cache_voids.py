"""Every write that there is voids the lease of its key.

The list of writes is the server's own, so that one which is added without a case here fails the test.
"""

import dataclasses
import itertools

import pytest

from tests.support.cache import LONG, Cache, is_error, text
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


@dataclasses.dataclass
class Case:
    """A write and the state of `k`, whose lease it should void or, where `voids` is false, leave alone."""

    args: list
    state: str = "missing"  # or fresh: `k` holds "value" and is being refreshed early; or stale
    voids: bool = True

    def __str__(self):
        return f"{' '.join(map(str, self.args))} ({self.state})"


FRESH, STALE = "fresh", "stale"
FAIL = ["OVERFLOW", "FAIL"]
DIGEST = "ffffffffffffffff"
NOW = 4_102_444_800  # a day in the year 2100: the names of tests are the same in every process

CASES = {
    "append": [Case(["k", "x"]), Case(["k", "x"], FRESH), Case(["k", "x"], STALE)],
    "bitfield": [Case(["k", "SET", "u8", 0, 1]), Case(["k", "SET", "u8", 0, 1], FRESH), Case(["k", "GET", "u8", 0], FRESH, voids=False), Case(["k", *FAIL, "SET", "u1", 0, 2]), Case(["k", *FAIL, "SET", "u1", 99, 2], FRESH),
                 Case(["k", *FAIL, "SET", "u1", 0, 2], FRESH, voids=False)],
    "bitop": [Case(["AND", "k", "source"]), Case(["AND", "k", "source"], FRESH), Case(["OR", "k", "none"], FRESH), Case(["OR", "k", "none"])],
    "cache.absent": [Case(["k"]), Case(["k"], FRESH), Case(["k", "TOKEN", 1], FRESH, voids=False)],
    "cache.get": [Case(["k"], voids=False), Case(["k", "LEASE", 0], FRESH, voids=False), Case(["k"], STALE, voids=False)],
    "cache.invalidate": [Case([1, "k"]), Case([1, "k"], FRESH), Case([2, "other", "k", "SOFT"], FRESH), Case([1, "k"], STALE)],
    "cache.mget": [Case([1, "k"], voids=False), Case([1, "k"], STALE, voids=False)],
    "cache.purge": [Case(["PREFIX", "k"]), Case(["PREFIX", "k"], FRESH), Case(["PREFIX", "k", "SOFT", "SYNC"], FRESH), Case(["PREFIX", "z"], voids=False)],
    "cache.release": [Case(["k", 1], voids=False), Case(["source", 1], voids=False)],
    "cache.renew": [Case(["k", 1, 1], voids=False)],
    "cache.set": [Case(["k", "v"]), Case(["k", "v"], FRESH), Case(["k", "v"], STALE), Case(["k", "v", "TOKEN", 1], voids=False)],
    "cl.throttle": [Case(["k", 1, 1, 1]), Case(["k", 1, 1, 1], STALE), Case(["k", 1, 1, 1, 0], voids=False)],
    "copy": [Case(["source", "k"]), Case(["source", "k", "REPLACE"], FRESH), Case(["k", "target"], FRESH, voids=False), Case(["source", "k"], FRESH, voids=False)],
    "decr": [Case(["k"]), Case(["k"], STALE)],
    "decrby": [Case(["k", 5])],
    "del": [Case(["k"]), Case(["other", "k"], FRESH), Case(["k"], STALE)],
    "delex": [Case(["k"]), Case(["k"], FRESH), Case(["k", "IFEQ", "value"], FRESH), Case(["k", "IFEQ", "another"], FRESH, voids=False)],
    "delifeq": [Case(["k", "value"], FRESH), Case(["k", "another"], FRESH, voids=False)],
    "expire": [Case(["k", 0], FRESH), Case(["k", -1], FRESH), Case(["k", 1000], FRESH, voids=False)],
    "expireat": [Case(["k", 1], FRESH), Case(["k", NOW + 1000], FRESH, voids=False)],
    "flushall": [Case([]), Case(["ASYNC"], FRESH), Case(["SYNC"], STALE)],
    "flushdb": [Case([]), Case(["ASYNC"], FRESH), Case([], STALE)],
    "function": [Case(["FLUSH"], voids=False)],
    "getdel": [Case(["k"], FRESH)],
    "getex": [Case(["k", "PXAT", 1], FRESH), Case(["k", "EX", 1000], FRESH, voids=False), Case(["k", "PERSIST"], FRESH, voids=False), Case(["k"], FRESH, voids=False)],
    "getset": [Case(["k", "x"]), Case(["k", "x"], FRESH), Case(["k", "x"], STALE)],
    "incr": [Case(["k"]), Case(["k"], STALE)],
    "incrby": [Case(["k", 5])],
    "incrbyfloat": [Case(["k", "0.5"])],
    "move": [Case(["k", 1], FRESH)],
    "mset": [Case(["other", "x", "k", "x"]), Case(["k", "x"], FRESH), Case(["k", "x"], STALE)],
    "msetex": [Case([1, "k", "x"]), Case([1, "k", "x", "EX", 100], FRESH), Case([1, "k", "x", "PXAT", 1], FRESH), Case([1, "k", "x", "NX"], FRESH, voids=False)],
    "msetnx": [Case(["k", "x", "other", "x"]), Case(["k", "x"], STALE), Case(["k", "x"], FRESH, voids=False)],
    "persist": [Case(["k"], FRESH, voids=False)],
    "pexpire": [Case(["k", 0], FRESH), Case(["k", LONG], FRESH, voids=False)],
    "pexpireat": [Case(["k", 1], FRESH), Case(["k", (NOW + 1000) * 1000], FRESH, voids=False)],
    "psetex": [Case(["k", LONG, "x"]), Case(["k", LONG, "x"], FRESH)],
    "rename": [Case(["source", "k"]), Case(["source", "k"], FRESH), Case(["k", "target"], FRESH)],
    "renamenx": [Case(["source", "k"]), Case(["k", "target"], FRESH), Case(["source", "k"], STALE), Case(["source", "k"], FRESH, voids=False)],
    "set": [
        Case(["k", "x"]), Case(["k", "x"], FRESH), Case(["k", "x"], STALE), Case(["k", "x", "NX"]), Case(["k", "x", "NX"], STALE), Case(["k", "x", "PXAT", 1]),
        Case(["k", "x", "PXAT", 1], FRESH), Case(["k", "x", "XX"], FRESH), Case(["k", "x", "GET", "KEEPTTL"], FRESH), Case(["k", "x", "IFEQ", "value"], FRESH),
        Case(["k", "value"], FRESH), Case(["k", "x", "NX"], FRESH, voids=False), Case(["k", "x", "XX"], voids=False), Case(["k", "x", "IFEQ", "y"], FRESH, voids=False),
        Case(["k", "x", "IFDNE", DIGEST], FRESH),
    ],
    "setbit": [Case(["k", 7, 1]), Case(["k", 7, 1], FRESH)],
    "setex": [Case(["k", 1000, "x"]), Case(["k", 1000, "x"], FRESH)],
    "setnx": [Case(["k", "x"]), Case(["k", "x"], STALE), Case(["k", "x"], FRESH, voids=False)],
    "setrange": [Case(["k", 2, "x"]), Case(["k", 0, "x"], FRESH), Case(["k", 0, ""], FRESH, voids=False)],
    "swapdb": [Case([0, 1]), Case([1, 0], FRESH), Case([0, 1], STALE), Case([2, 3], FRESH, voids=False)],
    "unlink": [Case(["k"]), Case(["k"], FRESH), Case(["k"], STALE)],
}  # fmt: skip

# The writes of the other types: the keys that they read are SOURCES, and `k` holds a string, so those that overwrite it can be
# tried on a fresh one, too.
LATE = "0.01"  # seconds
CASES |= {
    "blmove": [Case(["list", "k", "LEFT", "RIGHT", LATE]), Case(["list", "k", "LEFT", "RIGHT", LATE], STALE), Case(["none", "k", "LEFT", "RIGHT", LATE], voids=False)],
    "blmpop": [Case([LATE, 1, "k", "LEFT"], voids=False)],
    "blpop": [Case(["k", LATE], voids=False)],
    "brpop": [Case(["k", LATE], voids=False)],
    "brpoplpush": [Case(["list", "k", LATE]), Case(["none", "k", LATE], voids=False)],
    "bzmpop": [Case([LATE, 1, "k", "MIN"], voids=False)],
    "bzpopmax": [Case(["k", LATE], voids=False)],
    "bzpopmin": [Case(["k", LATE], voids=False)],
    "geoadd": [Case(["k", 13, 38, "a"]), Case(["k", 13, 38, "a"], STALE)],
    "georadius": [Case(["geo", 13, 38, 9, "km", "STORE", "k"]), Case(["geo", 13, 38, 9, "km", "STORE", "k"], FRESH), Case(["none", 13, 38, 9, "km", "STORE", "k"])],
    "georadiusbymember": [Case(["geo", "a", 9, "km", "STORE", "k"]), Case(["geo", "a", 9, "km", "STORE", "k"], FRESH)],
    "geosearchstore": [Case(["k", "geo", "FROMLONLAT", 13, 38, "BYRADIUS", 9, "km"]), Case(["k", "geo", "FROMMEMBER", "a", "BYRADIUS", 9, "km"], FRESH)],
    "hdel": [Case(["k", "f"], voids=False)],
    "hgetdel": [Case(["k", "FIELDS", 1, "f"], voids=False)],
    "hincrby": [Case(["k", "f", 1]), Case(["k", "f", 1], STALE)],
    "hincrbyfloat": [Case(["k", "f", "0.5"]), Case(["k", "f", "0.5"], STALE)],
    "hmset": [Case(["k", "f", "v"]), Case(["k", "f", "v"], STALE)],
    "hset": [Case(["k", "f", "v"]), Case(["k", "f", "v"], STALE)],
    "hsetnx": [Case(["k", "f", "v"]), Case(["k", "f", "v"], STALE)],
    "linsert": [Case(["k", "BEFORE", "a", "x"], voids=False)],
    "lmove": [Case(["list", "k", "LEFT", "RIGHT"]), Case(["list", "k", "LEFT", "RIGHT"], STALE), Case(["none", "k", "LEFT", "RIGHT"], voids=False)],
    "lmpop": [Case([1, "k", "LEFT"], voids=False)],
    "lpop": [Case(["k"], voids=False)],
    "lpush": [Case(["k", "a"]), Case(["k", "a"], STALE)],
    "lpushx": [Case(["k", "a"], voids=False)],
    "lrem": [Case(["k", 0, "a"], voids=False)],
    "lset": [Case(["list", 0, "x"], voids=False)],
    "ltrim": [Case(["k", 0, 0], voids=False)],
    "pfadd": [Case(["k", "a"]), Case(["k", "a"], STALE)],
    "pfdebug": [Case(["ENCODING", "hll"], voids=False)],
    "pfmerge": [Case(["k", "hll"]), Case(["k", "hll"], STALE)],
    "rpop": [Case(["k"], voids=False)],
    "rpoplpush": [Case(["list", "k"]), Case(["list", "k"], STALE), Case(["none", "k"], voids=False)],
    "rpush": [Case(["k", "a"]), Case(["k", "a"], STALE)],
    "rpushx": [Case(["k", "a"], voids=False)],
    "sadd": [Case(["k", "a"]), Case(["k", "a"], STALE)],
    "sdiffstore": [Case(["k", "set"]), Case(["k", "set"], FRESH), Case(["k", "none"]), Case(["k", "none"], FRESH)],
    "sinterstore": [Case(["k", "set"]), Case(["k", "set"], FRESH), Case(["k", "none"]), Case(["k", "none"], FRESH)],
    "smove": [Case(["set", "k", "a"]), Case(["set", "k", "a"], STALE), Case(["set", "k", "none"], voids=False)],
    "sort": [Case(["list", "ALPHA", "STORE", "k"]), Case(["list", "ALPHA", "STORE", "k"], FRESH), Case(["none", "STORE", "k"])],
    "spop": [Case(["k"], voids=False)],
    "srem": [Case(["k", "a"], voids=False)],
    "sunionstore": [Case(["k", "set"]), Case(["k", "set"], FRESH), Case(["k", "none"]), Case(["k", "none"], FRESH)],
    "zadd": [Case(["k", 1, "a"]), Case(["k", 1, "a"], STALE), Case(["k", "XX", 1, "a"], voids=False)],
    "zdiffstore": [Case(["k", 1, "zset"]), Case(["k", 1, "zset"], FRESH), Case(["k", 1, "none"])],
    "zincrby": [Case(["k", 1, "a"]), Case(["k", 1, "a"], STALE)],
    "zinterstore": [Case(["k", 1, "zset"]), Case(["k", 1, "zset"], FRESH), Case(["k", 1, "none"])],
    "zmpop": [Case([1, "k", "MIN"], voids=False)],
    "zpopmax": [Case(["k"], voids=False)],
    "zpopmin": [Case(["k"], voids=False)],
    "zrangestore": [Case(["k", "zset", 0, -1]), Case(["k", "zset", 0, -1], FRESH), Case(["k", "none", 0, -1])],
    "zrem": [Case(["k", "a"], voids=False)],
    "zremrangebylex": [Case(["k", "-", "+"], voids=False)],
    "zremrangebyrank": [Case(["k", 0, -1], voids=False)],
    "zremrangebyscore": [Case(["k", "-inf", "inf"], voids=False)],
    "zunionstore": [Case(["k", 1, "zset"]), Case(["k", 1, "zset"], FRESH), Case(["k", 1, "none"])],
}  # fmt: skip

# Those that can't change what a lease is about. A lease is of a key that is missing, or holds a string, so what only changes or removes
# elements never meets one.
ELEMENTS_ONLY = {
    "blmpop", "blpop", "brpop", "bzmpop", "bzpopmax", "bzpopmin", "hdel", "hgetdel", "linsert", "lmpop", "lpop", "lpushx", "lrem", "lset", "ltrim", "pfdebug", "rpop", "rpushx", "spop", "srem",
    "zmpop", "zpopmax", "zpopmin", "zrem", "zremrangebylex", "zremrangebyrank", "zremrangebyscore",
}  # fmt: skip
NEVER_VOID = ELEMENTS_ONLY | {"persist", "function", "cache.get", "cache.mget", "cache.release", "cache.renew"}


def writes(connection):
    """The names of all commands that are flagged as writes."""
    for entry in connection.call("COMMAND"):
        flags = {flag.decode() if isinstance(flag, bytes) else flag for flag in entry[2]}
        if "write" in flags:
            yield entry[0].decode()
        for subcommand in entry[9] if len(entry) > 9 else []:
            if "write" in {flag.decode() if isinstance(flag, bytes) else flag for flag in subcommand[2]}:
                yield entry[0].decode()


def test_every_write_has_a_case_that_voids(client):
    missing = sorted(set(writes(client)) - set(CASES))
    assert not missing, f"writes without a case: {missing}"
    without = sorted(name for name, cases in CASES.items() if name not in NEVER_VOID and not any(case.voids for case in cases))
    assert not without


def test_no_case_is_of_a_command_that_is_gone(client):
    known = {name.decode().split("|")[0] for name in client.call("COMMAND", "LIST")}
    assert set(CASES) <= known


SOURCES = [
    ["SET", "source", "another"], ["RPUSH", "list", "a", "b"], ["SADD", "set", "a", "b"], ["ZADD", "zset", 1, "a"], ["GEOADD", "geo", 13, 38, "a"], ["PFADD", "hll", "a"],
]  # fmt: skip


def lease_in_state(cache, state):
    for source in SOURCES:
        cache.call(*source)
    if state == FRESH:
        return cache.early_lease("k", "value")
    return cache.stale_lease("k", "value") if state == STALE else cache.lease("k")


def what_is_in(cache, key):
    """CACHE.GET is of strings alone."""
    kind = cache.call("TYPE", key)
    if kind in ("string", "none"):
        return cache.look(key)[:2]
    return kind, cache.call("MEMORY", "USAGE", key), cache.call("OBJECT", "ENCODING", key)


def is_refused(reply):
    return reply is None or (is_error(reply) and reply.startswith("WRONGTYPE"))


@pytest.mark.parametrize("name, case", [(name, case) for name, cases in CASES.items() for case in cases], ids=str)
def test_a_write_voids_the_lease(cache, connect, name, case):
    """| the key is written, deleted, made to expire at once, renamed or copied onto, flushed, swapped away, invalidated or purged by anybody else
    | it is **void**: a fill with its token stores nothing. Also when an invalidation, DEL, EXPIRE or whatever else removes keys finds nothing to remove |
    """
    token = lease_in_state(cache, case.state)
    other = connect()
    assert not is_error(reply := other.call(name, *case.args)), reply
    before = what_is_in(cache, "k")
    if not case.voids:
        assert cache.fill("k", "filled", token) and cache.look("k").value == b"filled"
        return
    assert not cache.holds("k", token)
    assert is_refused(cache.call("CACHE.SET", "k", "old", "TOKEN", token))
    assert is_refused(cache.call("CACHE.ABSENT", "k", "TOKEN", token))
    assert cache.call("CACHE.RELEASE", "k", token) == 0
    assert what_is_in(cache, "k") == before and before[1] != b"old"


@pytest.mark.parametrize("name, case", [(name, cases[0]) for name, cases in CASES.items() if cases[0].voids and name not in ("swapdb", "flushall", "flushdb")], ids=str)
def test_a_write_in_a_transaction_voids_the_lease(cache, connect, name, case):
    token = lease_in_state(cache, case.state)
    other = connect()
    other.pipeline([["MULTI"], [name, *case.args]])
    assert cache.holds("k", token)
    assert not is_error(other.call("EXEC")[0])
    assert is_refused(cache.call("CACHE.SET", "k", "old", "TOKEN", token))


@pytest.mark.parametrize("name, case", [(name, cases[0]) for name, cases in CASES.items() if cases[0].voids and name not in ("flushall", "swapdb")], ids=str)
def test_a_write_in_another_database_voids_nothing(cache, connect, name, case):
    token = lease_in_state(cache, case.state)
    other = connect()
    other.call("SELECT", 5)
    for source in SOURCES:
        other.call(*source)
    other.call("SET", "k", "value")
    if case.state == "missing":
        other.call("DEL", "k")
    assert not is_error(reply := other.call(name, *case.args)), reply
    assert cache.fill("k", "filled", token)


@pytest.mark.parametrize(
    "command", [["INCR", "k"], ["INCRBY", "k", "x"], ["SET", "k", "v", "EX", "0"], ["SET", "k", "v", "BOGUS"], ["SETRANGE", "k", -1, "x"], ["EXPIRE", "k", "x"], ["DEL"]]
)
def test_a_write_that_fails_voids_nothing(cache, client, command):
    token = cache.early_lease("k", "value")
    assert is_error(client.call(*command))
    assert cache.fill("k", "filled", token)


# Every command that removes a key, and where its key stands.
REMOVALS = [
    ["BITOP", "OR", "k", "none"], ["CACHE.ABSENT", "k", "PXAT", 1], ["CACHE.INVALIDATE", 1, "k"], ["CACHE.INVALIDATE", 1, "k", "SOFT"], ["CACHE.INVALIDATE", 1, "k", "VERSION", 9],
    ["CACHE.SET", "k", "x", "PXAT", 1], ["DEL", "k"], ["DELEX", "k"], ["EXPIRE", "k", 0], ["EXPIREAT", "k", 1], ["GETDEL", "k"], ["GETEX", "k", "EXAT", 1], ["GETEX", "k", "PXAT", 1],
    ["MSETEX", 1, "k", "x", "EXAT", 1], ["PEXPIRE", "k", -1], ["PEXPIREAT", "k", 1], ["SET", "k", "x", "EXAT", 1], ["SET", "k", "x", "PXAT", 1], ["UNLINK", "k"],
]  # fmt: skip
CONDITIONAL = [["DELEX", "k", "IFEQ", "old"], ["DELEX", "k", "IFNE", "old"], ["DELEX", "k", "IFDEQ", DIGEST], ["DELEX", "k", "IFDNE", DIGEST], ["DELIFEQ", "k", "old"]]


@pytest.mark.parametrize("state", ["missing", STALE])
@pytest.mark.parametrize("command", [*REMOVALS, *CONDITIONAL], ids=lambda command: " ".join(map(str, command)))
def test_a_removal_that_finds_nothing_voids_too(cache, client, command, state):
    """Somebody says that the key has changed, whatever the words, and whether or not plain commands see a value."""
    token = lease_in_state(cache, state)
    client.call(*command)
    assert not cache.fill("k", "old", token)
    if command[-1] != "SOFT" and command not in CONDITIONAL:
        assert cache.look("k").value is None


@pytest.mark.parametrize("command", [["GETEX", "k", "EX", "0"], ["GETEX", "k", "PXAT", "x"], ["GETEX", "k", "EX", 2**62]])
def test_a_deadline_that_is_wrong_voids_nothing(cache, client, command):
    token = cache.lease("k")
    assert client.call(*command) is None
    assert cache.fill("k", "v", token)


def test_getdel_removes_a_stale_value(cache, client):
    """Whoever removes a key does not want to see what was there again."""
    token = cache.stale_lease("k", "old")
    assert client.call("GETDEL", "k") is None
    assert cache.look("k").status == "miss" and not cache.fill("k", "old", token)


def test_expiry_does_not_void(cache):
    """A lease outlasts ... its natural expiry

    That an entry ends by itself says nothing about what the holder reads.
    """
    assert cache.fill("k", "v", cache.lease("k"), "PX", 400, "STALE", 0)
    token = cache.early("k")
    eventually(lambda: cache.look("k").status == "miss")
    assert cache.fill("k", "filled", token)


def test_eviction_does_not_void(start):
    """A lease outlasts the eviction of its key"""
    with start("--maxmemory", "16mb").connect() as connection:
        cache = Cache(connection)
        token = cache.stale_lease("k", "old")
        batches = itertools.count()

        def evicted():
            # Read as well, as entries that nobody reads push out nobody else's.
            keys = [f"{next(batches)}:{i}" for i in range(500)]
            connection.pipeline([["SET", key, "x" * 500] for key in keys] + [["MGET", *keys]] * 3)
            return text(cache.inspect("k")["status"]) == "miss"

        eventually(evicted, step=0)
        assert cache.fill("k", "filled", token)


def test_watch_sees_a_fill(cache, connect):
    """A fill is a write like any other."""
    watcher = connect()
    token = cache.lease("k")
    watcher.call("WATCH", "k")
    cache.fill("k", "v", token)
    watcher.pipeline([["MULTI"], ["GET", "k"]])
    assert watcher.call("EXEC") is None


def test_a_transaction_of_reads_and_fills(cache, connect):
    """Nobody waits inside MULTI"""
    token = cache.lease("busy")
    other = connect()
    other.pipeline([
        ["MULTI"], ["CACHE.GET", "busy", "WAIT", LONG], ["CACHE.GET", "k", "LEASE", LONG], ["CACHE.GET", "k", "WAIT", LONG],
        ["CACHE.SET", "busy", "v", "TOKEN", token], ["CACHE.GET", "busy", "WAIT", LONG], ["CACHE.INSPECT", "busy"], ["CACHE.MGET", 1, "busy"],
    ])  # fmt: skip
    busy, mine, again, stored, filled, _, several = other.call("EXEC")
    assert busy[:3] == again[:3] == [b"miss", None, 0] and mine[2] > token
    assert stored == "OK" and filled == [b"hit", b"v", 0, -1] and several == [filled]
    assert cache.fill("k", "v", mine[2])


def test_a_fill_is_atomic_with_the_rest_of_its_transaction(cache, connect):
    token = cache.lease("k")
    other = connect()
    other.pipeline([["MULTI"], ["DEL", "k"], ["CACHE.SET", "k", "v", "TOKEN", token]])
    assert other.call("EXEC") == [0, None]
    assert cache.look("k").status == "miss"
