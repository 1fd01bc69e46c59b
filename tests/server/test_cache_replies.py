"""What CACHE.* answer, byte for byte, in RESP2 and RESP3: "Everything here works over RESP2 and RESP3".

Clients decode these without knowing the commands, so that a type that changes breaks programs. CL.THROTTLE's are in test_throttle.py.
"""

import re

import pytest

from tests.support import resp
from tests.support.cache import LONG
from tests.support.servers import is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")

OK, ONE, ZERO, NO_EXPIRY = b"+OK\r\n", b":1\r\n", b":0\r\n", b":-1\r\n"
POSITIVE = re.compile(rb":[1-9][0-9]*\r\n")


def bulk(value):
    return b"$%d\r\n%b\r\n" % (len(value), value)


class Raw:
    """Replies as they come, and what they should be in the protocol that is spoken."""

    def __init__(self, cache):
        self.call = cache.connection.raw
        self.read = cache.connection.read_raw
        self.is_resp3 = cache.protocol == 3
        self.null = b"_\r\n" if self.is_resp3 else b"$-1\r\n"

    def mapping(self, *parts):
        head = b"%%%d\r\n" % (len(parts) // 2) if self.is_resp3 else b"*%d\r\n" % len(parts)
        return [head, *parts]

    def answer(self, status, value, token, ms):
        return [b"*4\r\n", bulk(status), self.null if value is None else bulk(value), token, ms]


@pytest.fixture
def raw(cache):
    return Raw(cache)


def check(reply, parts):
    """The reply is these parts, one after the other, of which some may be patterns."""
    pattern = b"".join(part.pattern if isinstance(part, re.Pattern) else re.escape(part) for part in parts)
    assert re.fullmatch(pattern, reply), f"{reply!r} is not {parts}"


def test_hit(raw, cache):
    cache.set("k", "v")
    assert raw.call("CACHE.GET", "k") == b"*4\r\n$3\r\nhit\r\n$1\r\nv\r\n:0\r\n:-1\r\n"
    cache.set("k", "", "PX", LONG)
    check(raw.call("CACHE.GET", "k"), raw.answer(b"hit", b"", ZERO, POSITIVE))
    large = b"x" * 100_000  # sent from where it lies
    cache.set("large", large)
    check(raw.call("CACHE.GET", "large"), raw.answer(b"hit", large, ZERO, NO_EXPIRY))


def test_stale(raw, cache):
    cache.stale("k", "old")
    check(raw.call("CACHE.GET", "k", "LEASE", "0"), raw.answer(b"stale", b"old", ZERO, POSITIVE))
    check(raw.call("CACHE.GET", "k", "LEASE", LONG), raw.answer(b"stale", b"old", POSITIVE, POSITIVE))
    check(raw.call("CACHE.GET", "k", "LEASE", LONG), raw.answer(b"stale", b"old", ZERO, POSITIVE))


def test_absent(raw):
    assert raw.call("CACHE.ABSENT", "k") == OK
    check(raw.call("CACHE.GET", "k"), raw.answer(b"absent", None, ZERO, POSITIVE))


def test_miss(raw):
    check(raw.call("CACHE.GET", "k", "LEASE", LONG), raw.answer(b"miss", None, POSITIVE, POSITIVE))
    check(raw.call("CACHE.GET", "k", "LEASE", LONG), raw.answer(b"miss", None, ZERO, POSITIVE))


@pytest.mark.parametrize("value", [b"v", b"x" * 100_000], ids=len)
def test_answers_that_come_later(raw, cache, park, value):
    token = cache.lease("k")
    readers = [park("k", "LEASE", LONG) for _ in range(2)]
    assert cache.release("k", token) == 1
    first = readers[0].connection.read_raw()
    check(first, raw.answer(b"miss", None, POSITIVE, POSITIVE))
    assert cache.fill("k", value, resp.decode(first)[2])
    check(readers[1].connection.read_raw(), raw.answer(b"hit", value, ZERO, NO_EXPIRY))
    cache.lease("gone")
    reader = park("gone", wait=100)
    check(reader.connection.read_raw(), raw.answer(b"miss", None, ZERO, POSITIVE))
    reader = park("gone")
    assert cache.absent("gone", "PX", LONG)
    check(reader.connection.read_raw(), raw.answer(b"absent", None, ZERO, POSITIVE))


def test_mget(raw, cache):
    cache.set("hit", "v")
    cache.stale("stale", "old")
    cache.absent("absent")
    reply = raw.call("CACHE.MGET", 4, "hit", "stale", "absent", "miss")
    answers = (
        raw.answer(b"hit", b"v", ZERO, NO_EXPIRY) + raw.answer(b"stale", b"old", POSITIVE, POSITIVE)
        + raw.answer(b"absent", None, ZERO, POSITIVE) + raw.answer(b"miss", None, POSITIVE, POSITIVE)
    )  # fmt: skip
    check(reply, [b"*4\r\n", *answers])


def test_fills(raw, cache):
    assert raw.call("CACHE.SET", "k", "v", "TOKEN", "1") == raw.call("CACHE.ABSENT", "k", "TOKEN", "1") == raw.null
    assert raw.call("CACHE.SET", "k", "v", "VERSION", "5") == raw.call("CACHE.ABSENT", "gone") == OK
    assert raw.call("CACHE.SET", "k", "v", "VERSION", "5") == raw.null
    token = cache.lease("miss")
    assert raw.call("CACHE.RENEW", "miss", token, LONG) == raw.call("CACHE.RELEASE", "miss", token) == ONE
    assert raw.call("CACHE.RENEW", "miss", token, LONG) == raw.call("CACHE.RELEASE", "miss", token) == ZERO


def test_invalidate_and_purge(raw, cache):
    cache.set("k", "v")
    assert raw.call("CACHE.INVALIDATE", 2, "k", "miss") == ONE
    assert raw.call("CACHE.INVALIDATE", 1, "k", "SOFT") == ZERO
    assert raw.call("CACHE.PURGE", "TAGS", "1", "t") == raw.call("CACHE.PURGE", "PREFIX", "p", "SOFT") == OK
    assert raw.call("CACHE.PURGE", "PREFIX", "none:", "SYNC") == ZERO
    cache.set("k", "v", "TAGS", 1, "t")
    check(raw.call("CACHE.PURGE", "TAGS", "1", "t", "SYNC"), [POSITIVE])


def test_inspect(raw, cache, policy):
    def fields(**changed):
        values = {
            "status": bulk(b"miss"), "type": bulk(b"none"), "bytes": ZERO, "version": ZERO, "age-ms": NO_EXPIRY, "fresh-ms": ZERO, "stale-ms": ZERO, "frequency": ZERO,
            "load-ms": ZERO, "tags": b"*0\r\n", "depends": b"*0\r\n", "policy": raw.null, "lease-ms": ZERO, "waiters": ZERO,
        } | {name.replace("_", "-"): value for name, value in changed.items()}  # fmt: skip
        return raw.mapping(*(part for name, value in values.items() for part in (bulk(name.encode()), value)))

    check(raw.call("CACHE.INSPECT", "k"), fields())
    cache.lease("k")
    check(raw.call("CACHE.INSPECT", "k"), fields(lease_ms=POSITIVE))
    cache.call("SET", "plain", "value")
    plain = fields(status=bulk(b"hit"), type=bulk(b"string"), bytes=b":5\r\n", fresh_ms=NO_EXPIRY, stale_ms=NO_EXPIRY)
    check(raw.call("CACHE.INSPECT", "plain"), plain)
    policy("p", "match", "p:*", "stale", "10m")
    assert cache.set("p:k", "value", "PX", LONG, "VERSION", 7, "TAGS", 2, "a", "b")
    ours = fields(
        status=bulk(b"hit"), type=bulk(b"string"), bytes=b":5\r\n", version=b":7\r\n", age_ms=re.compile(rb":[0-9]+\r\n"), fresh_ms=POSITIVE, stale_ms=POSITIVE,
        tags=b"*2\r\n" + bulk(b"a") + bulk(b"b"), policy=bulk(b"p"),
    )  # fmt: skip
    check(raw.call("CACHE.INSPECT", "p:k"), ours)


def test_policy(raw, cache, policy):
    assert raw.call("CACHE.POLICY", "LIST") == b"*0\r\n"
    assert raw.call("CACHE.POLICY", "SHOW", "p") == raw.call("CACHE.POLICY", "MATCH", "p:k") == raw.null
    policy("p", "match", "p:*", "ttl", "5m")
    assert raw.call("CACHE.POLICY", "SET", "p", "jitter", "10%") == OK
    assert raw.call("CACHE.POLICY", "MATCH", "p:k") == bulk(b"p")
    cache.set("p:k", "v")
    cache.look("p:k")
    cache.look("p:none")
    texts = [
        (b"name", b"p"), (b"match", b"p:*"), (b"ttl", b"5m"), (b"max-ttl", b"0"), (b"jitter", b"10%"), (b"stale", b"0"), (b"coalesce", b"0"), (b"lease", b"0"),
        (b"early-refresh", b"1"), (b"negative-ttl", b"0"), (b"max-leases", b"unlimited"), (b"max-value", b"0"), (b"max-memory", b"0"), (b"priority", b"normal"),
        (b"admit", b"100%"), (b"bypass", b"no"), (b"serve-stale", b"no"),
    ]  # fmt: skip
    numbers = [(b"keys", ONE), (b"bytes", POSITIVE), (b"hits", ONE), (b"stale-hits", ZERO), (b"negative-hits", ZERO), (b"misses", ONE), (b"leases-granted", ZERO), (b"leases", ZERO)]
    numbers += [(b"loads", ZERO), (b"load-ms", ZERO)]
    numbers += [(name, ZERO) for name in (b"reads-bypassed", b"writes-bypassed", b"writes-not-admitted")]
    shown = raw.mapping(
        *(bulk(part) for pair in texts for part in pair), *(part for name, number in numbers for part in (bulk(name), number)), bulk(b"warnings"), b"*0\r\n"
    )
    check(raw.call("CACHE.POLICY", "SHOW", "p"), shown)
    check(raw.call("CACHE.POLICY", "LIST"), [b"*1\r\n", *shown])
    assert raw.call("CACHE.POLICY", "DEL", "p") == ONE
    assert raw.call("CACHE.POLICY", "DEL", "p") == ZERO
    assert re.match(rb"\*[0-9]+\r\n\+CACHE\.POLICY <subcommand> ", raw.call("CACHE.POLICY", "HELP"))
