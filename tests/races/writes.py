"""The ways to write to a key or remove it, and what their replies say about what they did.

A Write is a row: commands to send, all at once if there are several (as a transaction), and how to read the reply. Every
command of the server that writes has one, so that every path by which an entry changes is raced against leases.
"""

import dataclasses
from typing import Callable

from tests.support.resp import ErrorReply

from .model import Outcome

INSTALLED, REMOVED, SOFTENED, WRITTEN, NOTHING = Outcome.INSTALLED, Outcome.REMOVED, Outcome.SOFTENED, Outcome.WRITTEN, Outcome.NOTHING


@dataclasses.dataclass
class Target:
    """What a write is about: the key, its new value, what it was seen to have, and a name of the writer's own."""

    name: bytes
    value: bytes
    record: bytes  # one record of the new version
    old: bytes
    spare: bytes
    tag: bytes
    ttl: int  # ms


@dataclasses.dataclass
class Write:
    what: str
    commands: Callable  # of a Target: a list of commands
    outcome: Callable  # of the reply: an Outcome
    returns_value: bool = False  # the reply is what the key had
    needs_old: bool = False


def always(outcome):
    return lambda reply: NOTHING if isinstance(reply, ErrorReply) else outcome


def when(expected, outcome):
    return lambda reply: outcome if reply == expected else NOTHING


def if_there(outcome):
    return lambda reply: outcome if isinstance(reply, (bytes, int)) else NOTHING


def within(index, expected, outcome):
    """Of a transaction: by the reply of the command that counts. None: any positive number; any: whatever is no error."""

    def judge(reply):
        if not isinstance(reply, list):
            return NOTHING
        counts = reply[index]
        if expected is any:
            good = not isinstance(counts, ErrorReply)
        else:
            good = isinstance(counts, int) and counts > 0 if expected is None else counts == expected
        return outcome if good else NOTHING

    return judge


def one(what, *command, outcome, **more):
    """A command whose arguments are taken from the target where they are names of its fields in braces."""
    fields = {"{" + field.name + "}": field.name for field in dataclasses.fields(Target)}
    return Write(what, lambda target: [[getattr(target, fields[part]) if part in fields else part for part in command]], outcome, **more)


def several(what, *commands, outcome):
    parts = [one(what, *command, outcome=None) for command in commands]
    return Write(what, lambda target: [command for part in parts for command in part.commands(target)], outcome)


K, V = "{name}", "{value}"
SELECT_1, SELECT_0 = ("SELECT", "1"), ("SELECT", "0")

# Leave a value of the version committed.
INSTALLS = [
    one("SET", "SET", K, V, outcome=always(INSTALLED)),
    one("SET PX", "SET", K, V, "PX", "{ttl}", outcome=always(INSTALLED)),
    one("SET KEEPTTL", "SET", K, V, "KEEPTTL", outcome=always(INSTALLED)),
    one("SET GET", "SET", K, V, "GET", outcome=always(INSTALLED), returns_value=True),
    one("SET NX", "SET", K, V, "NX", outcome=when("OK", INSTALLED)),
    one("SET XX", "SET", K, V, "XX", "PX", "{ttl}", outcome=when("OK", INSTALLED)),
    one("SET IFEQ", "SET", K, V, "IFEQ", "{old}", outcome=when("OK", INSTALLED), needs_old=True),
    one("SETEX", "SETEX", K, "1", V, outcome=always(INSTALLED)),
    one("PSETEX", "PSETEX", K, "{ttl}", V, outcome=always(INSTALLED)),
    one("SETNX", "SETNX", K, V, outcome=when(1, INSTALLED)),
    one("GETSET", "GETSET", K, V, outcome=always(INSTALLED), returns_value=True),
    one("MSET", "MSET", K, V, outcome=always(INSTALLED)),
    one("MSETNX", "MSETNX", K, V, outcome=when(1, INSTALLED)),
    one("MSETEX", "MSETEX", "1", K, V, "PX", "{ttl}", outcome=when(1, INSTALLED)),
    one("APPEND", "APPEND", K, "{record}", outcome=always(INSTALLED)),
    one("SETRANGE", "SETRANGE", K, "0", "{record}", outcome=always(INSTALLED)),
    several("COPY", ("SET", "{spare}", V), ("COPY", "{spare}", K, "REPLACE"), ("DEL", "{spare}"), outcome=within(1, 1, INSTALLED)),
    several("RENAME onto", ("SET", "{spare}", V), ("RENAME", "{spare}", K), outcome=within(1, "OK", INSTALLED)),
    several("RENAMENX onto", ("SET", "{spare}", V), ("RENAMENX", "{spare}", K), ("DEL", "{spare}"), outcome=within(1, 1, INSTALLED)),
    several("MOVE into", SELECT_1, ("SET", K, V), ("MOVE", K, "0"), ("DEL", K), SELECT_0, outcome=within(2, 1, INSTALLED)),
    several("BITOP", ("SET", "{spare}", V), ("BITOP", "OR", K, "{spare}"), ("DEL", "{spare}"), outcome=within(1, None, INSTALLED)),
    several("SET in EXEC", ("SET", K, "never seen"), ("DEL", K), ("SET", K, V), outcome=within(2, "OK", INSTALLED)),
]  # fmt: skip

# Leave nothing.
REMOVALS = [
    one("DEL", "DEL", K, outcome=always(REMOVED)),
    one("UNLINK", "UNLINK", K, outcome=always(REMOVED)),
    one("GETDEL", "GETDEL", K, outcome=if_there(REMOVED), returns_value=True),
    one("DELIFEQ", "DELIFEQ", K, "{old}", outcome=when(1, REMOVED), needs_old=True),
    one("DELEX", "DELEX", K, "IFEQ", "{old}", outcome=when(1, REMOVED), needs_old=True),
    one("EXPIRE 0", "EXPIRE", K, "0", outcome=when(1, REMOVED)),
    one("PEXPIRE -5", "PEXPIRE", K, "-5", outcome=when(1, REMOVED)),
    one("EXPIREAT 1", "EXPIREAT", K, "1", outcome=when(1, REMOVED)),
    one("PEXPIREAT 1", "PEXPIREAT", K, "1", outcome=when(1, REMOVED)),
    one("GETEX PXAT 1", "GETEX", K, "PXAT", "1", outcome=if_there(REMOVED), returns_value=True),
    several("RENAME away", ("RENAME", K, "{spare}"), ("DEL", "{spare}"), outcome=within(0, "OK", REMOVED)),
    several("RENAMENX away", ("DEL", "{spare}"), ("RENAMENX", K, "{spare}"), ("DEL", "{spare}"), outcome=within(1, 1, REMOVED)),
    several("MOVE away", ("MOVE", K, "1"), SELECT_1, ("DEL", K), SELECT_0, outcome=within(0, 1, REMOVED)),
]

# Leave something that is no value of the row. A removal follows.
GARBLES = [
    one("SETBIT", "SETBIT", K, "0", "1", outcome=always(WRITTEN)),
    one("BITFIELD", "BITFIELD", K, "SET", "u8", "0", "255", outcome=always(WRITTEN)),
    one("INCR", "INCR", K, outcome=always(WRITTEN)),
    one("INCRBY", "INCRBY", K, "7", outcome=always(WRITTEN)),
    one("DECR", "DECR", K, outcome=always(WRITTEN)),
    one("DECRBY", "DECRBY", K, "7", outcome=always(WRITTEN)),
    one("INCRBYFLOAT", "INCRBYFLOAT", K, "1.5", outcome=always(WRITTEN)),
]


def collection(*add, then=(), outcome=WRITTEN):
    """What becomes of a collection of the key's name that replaces the value: `then` are commands, all but the last for preparation."""
    return several(then[-1][0] + " of a collection", ("DEL", K), add, *then, outcome=within(1 + len(then), any, outcome))


def stored(add, *command, empty=True):
    """Two rows: what a command makes of the collection of the spare name under the key's, and what of a missing one."""
    made = several(command[0], add, command, ("DEL", "{spare}"), outcome=within(1, any, WRITTEN))
    return [made, one(command[0] + " of nothing", *command, outcome=when(0, REMOVED))] if empty else [made]


SPARE = "{spare}"
HASH, LIST, SET, ZSET = ("HSET", K, "f", "7"), ("RPUSH", K, "7"), ("SADD", K, "7"), ("ZADD", K, "7", "m")
SPARE_LIST, SPARE_SET, SPARE_ZSET = ("RPUSH", SPARE, "7"), ("SADD", SPARE, "7"), ("ZADD", SPARE, "7", "7")
SPARE_PLACE, NEAR = ("GEOADD", SPARE, "13", "38", "7"), ("13", "38", "5", "km")

# Leave a collection, or another value that is none of the row. What takes no other type writes only where there was nothing.
COLLECTIONS = [
    *(one(add[0], *add, outcome=always(WRITTEN)) for add in (HASH, LIST, SET, ZSET)),
    one("HMSET", "HMSET", K, "f", "7", outcome=always(WRITTEN)),
    one("HSETNX", "HSETNX", K, "f", "7", outcome=always(WRITTEN)),
    one("HINCRBY", "HINCRBY", K, "f", "7", outcome=always(WRITTEN)),
    one("HINCRBYFLOAT", "HINCRBYFLOAT", K, "f", "7", outcome=always(WRITTEN)),
    one("LPUSH", "LPUSH", K, "7", outcome=always(WRITTEN)),
    one("ZINCRBY", "ZINCRBY", K, "7", "m", outcome=always(WRITTEN)),
    one("GEOADD", "GEOADD", K, "13", "38", "m", outcome=always(WRITTEN)),
    one("PFADD", "PFADD", K, "7", outcome=always(WRITTEN)),
    several("PFMERGE", ("PFADD", SPARE, "7"), ("PFMERGE", K, SPARE), ("DEL", SPARE), outcome=within(1, "OK", WRITTEN)),
    *(several(move[0], SPARE_LIST, move, ("DEL", SPARE), outcome=within(1, any, WRITTEN)) for move in (
        ("LMOVE", SPARE, K, "LEFT", "LEFT"), ("RPOPLPUSH", SPARE, K), ("BLMOVE", SPARE, K, "LEFT", "LEFT", "1"), ("BRPOPLPUSH", SPARE, K, "1"),
    )),
    several("SMOVE", SPARE_SET, ("SMOVE", SPARE, K, "7"), ("DEL", SPARE), outcome=within(1, 1, WRITTEN)),
    *(collection(*LIST, then=[command]) for command in (
        ("RPUSHX", K, "8"), ("LPUSHX", K, "8"), ("LINSERT", K, "BEFORE", "7", "8"), ("LSET", K, "0", "8"),
    )),
    *(made for rows in (
        stored(SPARE_SET, "SINTERSTORE", K, SPARE), stored(SPARE_SET, "SUNIONSTORE", K, SPARE), stored(SPARE_SET, "SDIFFSTORE", K, SPARE),
        stored(SPARE_ZSET, "ZINTERSTORE", K, "1", SPARE), stored(SPARE_ZSET, "ZUNIONSTORE", K, "1", SPARE),
        stored(SPARE_ZSET, "ZDIFFSTORE", K, "1", SPARE), stored(SPARE_ZSET, "ZRANGESTORE", K, SPARE, "0", "-1"),
        stored(SPARE_LIST, "SORT", SPARE, "STORE", K),
        stored(SPARE_PLACE, "GEOSEARCHSTORE", K, SPARE, "FROMLONLAT", "13", "38", "BYRADIUS", "5", "km"),
        stored(SPARE_PLACE, "GEORADIUS", SPARE, *NEAR, "STORE", K),
        stored(SPARE_PLACE, "GEORADIUSBYMEMBER", SPARE, "7", "5", "km", "STORE", K, empty=False),
    ) for made in rows),
    # The last element takes the key with it.
    *(collection(*HASH, then=[command], outcome=REMOVED) for command in (("HDEL", K, "f"), ("HGETDEL", K, "FIELDS", "1", "f"))),
    *(collection(*LIST, then=[command], outcome=REMOVED) for command in (
        ("LPOP", K), ("RPOP", K), ("LMPOP", "1", K, "LEFT"), ("BLPOP", K, "1"), ("BRPOP", K, "1"), ("BLMPOP", "1", "1", K, "LEFT"),
        ("LREM", K, "0", "7"), ("LTRIM", K, "1", "0"),
    )),
    *(collection(*SET, then=[command], outcome=REMOVED) for command in (("SREM", K, "7"), ("SPOP", K))),
    *(collection(*ZSET, then=[command], outcome=REMOVED) for command in (
        ("ZREM", K, "m"), ("ZPOPMIN", K), ("ZPOPMAX", K), ("ZMPOP", "1", K, "MIN"), ("BZPOPMIN", K, "1"), ("BZPOPMAX", K, "1"),
        ("BZMPOP", "1", "1", K, "MIN"), ("ZREMRANGEBYRANK", K, "0", "-1"), ("ZREMRANGEBYSCORE", K, "-inf", "inf"),
        ("ZREMRANGEBYLEX", K, "-", "+"),
    )),
]  # fmt: skip

CACHE_INSTALLS = [
    one("CACHE.SET", "CACHE.SET", K, V, outcome=when("OK", INSTALLED)),
    one("CACHE.SET PX STALE", "CACHE.SET", K, V, "PX", "{ttl}", "STALE", "300", outcome=when("OK", INSTALLED)),
]
INVALIDATE = one("CACHE.INVALIDATE", "CACHE.INVALIDATE", "1", K, outcome=always(REMOVED))
CACHE_REMOVALS = [
    INVALIDATE,
    one("CACHE.INVALIDATE SOFT", "CACHE.INVALIDATE", "1", K, "SOFT", outcome=always(SOFTENED)),
    one("CACHE.PURGE PREFIX key", "CACHE.PURGE", "PREFIX", K, outcome=always(REMOVED)),
    one("CACHE.PURGE PREFIX key SOFT", "CACHE.PURGE", "PREFIX", K, "SOFT", outcome=always(SOFTENED)),
]
ABSENT = one("CACHE.ABSENT", "CACHE.ABSENT", K, "PX", "{ttl}", outcome=when("OK", REMOVED))

# For a row that is there, and for one that was deleted. One in four is about collections.
PLAIN = ((INSTALLS + REMOVALS + GARBLES + CACHE_INSTALLS + CACHE_REMOVALS) * 4 + COLLECTIONS, REMOVALS + CACHE_REMOVALS + [ABSENT])
# Keys with tags are only written with their tags, for only so does a purge reach them.
TAGGED = (
    [
        one("CACHE.SET TAGS", "CACHE.SET", K, V, "PX", "{ttl}", "STALE", "300", "TAGS", "1", "{tag}", outcome=when("OK", INSTALLED)),
        *REMOVALS,
        *CACHE_REMOVALS,
    ],
    [*REMOVALS, *CACHE_REMOVALS, one("CACHE.ABSENT TAGS", "CACHE.ABSENT", K, "PX", "{ttl}", "TAGS", "1", "{tag}", outcome=when("OK", REMOVED))],
)
# WATCH does not notice the removal of nothing: so every write of keys that are filled under it leaves a value.
WATCHED = (INSTALLS, INSTALLS)
