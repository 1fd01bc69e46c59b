"""Clients of a soak: each asks for anything that a client may, and knows a wrong answer when it sees one.

Nobody knows which value a key has, because all write and the server evicts. So values describe themselves: whose they
are, which version, how long, and a checksum.
"""

import collections
import random
import re
import time
import traceback
import zlib

from tests.support.cache import answer, mapping
from tests.support.connection import Closed, Connection
from tests.support.resp import ErrorReply, encode

KEYS = 3000
FILLER = random.Random(0).randbytes(1 << 21)
RECORD = 24
# What may be refused, and why.
REFUSALS = re.compile(
    r"OOM |ERR value is not an integer or out of range|ERR increment or decrement would overflow|ERR no such key|EXECABORT |ERR No such user|ERR string exceeds"
    r"|ERR too many purges are waiting|ERR .*max-value"
)


def value_of(key, writer, version, size):
    head = b"%s|%d|%d|%d|" % (key, writer, version, size)
    body = head + FILLER[version % 4096 : version % 4096 + size]
    return body + b"%08x" % zlib.crc32(body)


def check_value(key, value):
    """A whole value that somebody wrote to this key (None: to any)."""
    if value is None:
        return None
    try:
        name, writer, version, size, _ = value.split(b"|", 4)
        head = b"%s|%s|%s|%s|" % (name, writer, version, size)
        good = len(value) == len(head) + int(size) + 8 and int(value[-8:], 16) == zlib.crc32(value[:-8])
    except ValueError:
        good = False
    assert good and key in (None, name), f"{key!r} has a value that nobody wrote: {len(value)} bytes {value[:60]!r} .. {value[-20:]!r}"
    return writer, version


def record(number):
    body = b"%015d:" % number
    return body + b"%08x" % zlib.crc32(body)


def check_records(value):
    """Whole records, one after the other."""
    assert len(value) % RECORD == 0, f"{len(value)} bytes of records"
    for at in range(0, len(value), RECORD):
        assert record(int(value[at : at + 15])) == value[at : at + RECORD], f"no record at {at}"


class Worker:
    def __init__(self, port, number, seed):
        self.port, self.number = port, number
        self.rng = random.Random(f"{seed}:{number}")
        self.connection = None
        self.version = 0
        self.protocol = 2 + number % 2
        self.leases = collections.deque(maxlen=100)  # (key, token): granted, and not yet filled by this worker
        self.done = self.closed = 0

    # --- commands, each with a check of its reply ---

    def size(self):
        rng = self.rng
        return rng.choice((0, 10, 10, 50, 50, 100, 200, 500, 2000, 9000, 16_300, 17_000, 60_000)) if rng.random() < 0.98 else rng.randrange(2 << 20)

    def value(self, key):
        self.version += 1
        return value_of(key, self.number, self.version, min(self.size(), len(FILLER) - 4096))

    def key(self, family=b"v"):
        # Some are hot.
        number = int(KEYS * self.rng.random() ** 3)
        return b"%s:%d" % (family, number) + (b"k" * 2500 if number % 211 == 0 else b"")

    def ttl(self):
        return self.rng.choice(("1", "2", "20", "100000"))

    def a_write(self):
        key = self.key()
        value = self.value(key)
        whole = lambda reply: check_value(key, reply) if isinstance(reply, bytes) else None  # noqa: E731
        yield self.rng.choice(
            (("SET", key, value), ("SET", key, value, "EX", self.ttl()), ("SET", key, value, "KEEPTTL"), ("SET", key, value, "XX", "GET"), ("SET", key, value, "NX", "PX", "1500"),
             ("SETEX", key, self.ttl(), value), ("PSETEX", key, "700", value), ("SETNX", key, value), ("GETSET", key, value), ("MSETNX", key, value))
        ), whole  # fmt: skip

    def a_read(self):
        key = self.key()
        command = self.rng.choice((("GET", key), ("GET", key), ("GET", key), ("GETEX", key, "EX", self.ttl()), ("GETDEL", key), ("GETEX", key, "PERSIST")))
        yield command, lambda reply: check_value(key, reply)

    def several(self):
        keys = [self.key() for _ in range(self.rng.randrange(1, 12))]
        if self.rng.random() < 0.3:
            yield ["MSET", *(part for key in keys for part in (key, self.value(key)))], None
        else:
            yield ("MGET", *keys), lambda reply: [check_value(key, value) for key, value in zip(keys, reply)]

    def a_look(self):
        key = self.key()
        yield self.rng.choice(
            (("TTL", key), ("PTTL", key), ("EXISTS", key, self.key()), ("TYPE", key), ("STRLEN", key), ("OBJECT", "ENCODING", key), ("TOUCH", key), ("EXPIRETIME", key),
             ("MEMORY", "USAGE", key), ("RANDOMKEY",), ("DBSIZE",), ("PING",))
        ), None  # fmt: skip

    def a_change_of_time(self):
        key = self.key(self.rng.choice((b"v", b"a", b"n")))
        yield self.rng.choice((("EXPIRE", key, self.ttl()), ("PEXPIRE", key, "900"), ("PERSIST", key), ("EXPIRE", key, "50", "GT"), ("PEXPIREAT", key, "1"))), None

    def a_removal(self):
        yield (self.rng.choice(("DEL", "UNLINK")), *(self.key(self.rng.choice((b"v", b"a", b"b", b"n", b"c"))) for _ in range(self.rng.randrange(1, 6)))), None

    def records(self):
        key = self.key(b"a")
        self.version += 1
        if self.rng.random() < 0.7:
            yield ("APPEND", key, b"".join(record(self.version + i) for i in range(self.rng.choice((1, 1, 10, 1000))))), None
        elif self.rng.random() < 0.1:
            yield ("DEL", key), None
        else:
            yield ("GET", key), lambda reply: check_records(reply or b"")

    def bits(self):
        key, at = self.key(b"b"), self.rng.choice((7, 1000, 100_000, 2_000_000, 8_000_000))
        yield self.rng.choice(
            (("SETBIT", key, at, "1"), ("GETBIT", key, at), ("BITCOUNT", key), ("BITPOS", key, "1"), ("SETRANGE", key, at // 8, b"\xff"), ("GETRANGE", key, "0", "100"),
             ("BITFIELD", key, "SET", "u8", at, "255", "GET", "u16", "0"), ("BITOP", "OR", key, self.key(b"b"), self.key(b"b")), ("BITOP", "NOT", key, self.key(b"b")))
        ), None  # fmt: skip

    def counters(self):
        yield self.rng.choice((("INCR", self.key(b"n")), ("DECRBY", self.key(b"n"), "3"), ("INCRBY", self.key(b"n"), "5"))), lambda reply: int(reply)

    def copies(self):
        here = self.key(b"c")
        yield self.rng.choice((("COPY", self.key(), here, "REPLACE"), ("COPY", self.key(), here, "DB", "1"), ("RENAME", self.key(), here), ("MOVE", here, "1"))), None
        yield ("GET", here), lambda reply: check_value(None, reply)

    def comparison(self):
        yield ("LCS", self.key(b"n"), self.key(b"n")), None

    def transaction(self):
        """Two keys that are only ever written together have the same version, whenever both are there."""
        number = self.rng.randrange(200)
        x, y = b"x:%d" % number, b"y:%d" % number
        if self.rng.random() < 0.5:
            self.version += 1
            size = self.size() % 100_000
            if self.rng.random() < 0.3:
                yield ("WATCH", x), None
            yield ("MULTI",), None
            yield ("SET", x, value_of(x, self.number, self.version, size)), None
            yield ("SET", y, value_of(y, self.number, self.version, size)), None
            yield self.rng.choice((("EXEC",), ("EXEC",), ("EXEC",), ("DISCARD",))), self.check_exec
        else:
            yield ("MGET", x, y), lambda reply: self.check_pair(x, y, reply)

    @staticmethod
    def check_exec(reply):
        assert reply is None or reply == "OK" or reply == ["OK", "OK"] or (isinstance(reply, list) and any(str(part).startswith("OOM") for part in reply)), reply

    @staticmethod
    def check_pair(x, y, reply):
        versions = [check_value(key, value) for key, value in zip((x, y), reply)]
        assert None in versions or versions[0] == versions[1], f"{x!r} and {y!r} are of different transactions: {versions}"

    def database(self):
        yield ("SELECT", self.rng.choice(("0", "0", "0", "1"))), None

    def a_scan(self):
        yield ("SCAN", self.rng.choice(("0", str(self.rng.getrandbits(53)))), "COUNT", "200", "MATCH", "*1*"), None

    # --- CACHE.* on the same keys ---

    def check_answer(self, key, reply):
        """A whole value or none; what was granted is filled, given back or forgotten later."""
        found = answer(reply)
        check_value(key, found.value)
        if found.token:
            self.leases.append((key, found.token))

    def tags(self):
        names = {b"tag:%d" % int(200 * self.rng.random() ** 2) for _ in range(self.rng.randrange(4))}
        return ["TAGS", len(names), *names] if names else []

    def a_cached_read(self):
        # Hot keys, so that several workers come for the same one and wait.
        key, rng = self.key(), self.rng
        options = rng.choice(([], [], ["LEASE", rng.choice((0, 5, 100, 1500))], ["WAIT", rng.randrange(1, 30)], ["LEASE", 200, "WAIT", 10], ["BETA", "1000"], ["BETA", "0"]))
        if rng.random() < 0.8:
            yield ("CACHE.GET", key, *options), lambda reply: self.check_answer(key, reply)
            return
        keys = [self.key() for _ in range(rng.randrange(1, 12))]

        def check(reply):
            assert len(reply) == len(keys), reply
            for name, element in zip(keys, reply):
                self.check_answer(name, element)

        yield ("CACHE.MGET", len(keys), *keys, *(options if "WAIT" not in options else [])), check

    def a_fill(self):
        """With a token, if there is one that this worker was given: mostly in time, and sometimes when others have written."""
        rng = self.rng
        key, token = self.leases.popleft() if self.leases and rng.random() < 0.9 else (self.key(), None)
        held = ["TOKEN", token] if token else []
        time_to_live = rng.choice(([], ["PX", rng.choice((1, 30, 700))], ["EX", self.ttl()]))
        kind = rng.random()
        if token and kind < 0.1:
            yield ("CACHE.RELEASE", key, token, *rng.choice(([], ["RETRY", rng.choice((0, 20, 300))]))), is_flag
        elif token and kind < 0.2:
            self.leases.append((key, token))
            yield ("CACHE.RENEW", key, token, rng.choice((1, 50, 1000))), is_flag
        elif kind < 0.35:
            yield ("CACHE.ABSENT", key, *held, *time_to_live, *self.tags()), is_stored
        else:
            stale = rng.choice(([], ["STALE", rng.choice((0, 20, 5000))]))
            version = ["VERSION", rng.randrange(1, 1000)] if rng.random() < 0.2 else []
            yield ("CACHE.SET", key, self.value(key), *held, *(time_to_live or rng.choice(([], ["KEEPTTL"]))), *stale, *version, *self.tags()), is_stored

    def an_invalidation(self):
        keys, rng = [self.key() for _ in range(self.rng.randrange(1, 8))], self.rng

        def check(reply):
            assert type(reply) is int and 0 <= reply <= len(keys), reply

        options = rng.choice(([], ["SOFT"], ["VERSION", rng.randrange(1, 1000)], ["SOFT", "VERSION", rng.randrange(1, 1000)]))
        yield ("CACHE.INVALIDATE", len(keys), *keys, *options), check

    def a_purge(self):
        rng = self.rng
        options = rng.choice(([], [], ["SOFT"], ["SYNC"], ["SOFT", "SYNC"]))
        what = ["PREFIX", self.key() if rng.random() < 0.9 else b"v:%d" % rng.randrange(10)] if rng.random() < 0.5 else (self.tags() or ["TAGS", 1, b"tag:0"])

        def check(reply):
            assert reply == "OK" if "SYNC" not in options else type(reply) is int and reply >= 0, reply

        yield ("CACHE.PURGE", *what, *options), check

    def a_cached_look(self):
        key = self.key()

        def check(reply):
            fields = mapping(reply, self.protocol)
            assert fields["status"] in (b"hit", b"stale", b"absent", b"miss") and fields["waiters"] >= 0, fields

        yield ("CACHE.INSPECT", key), check
        yield self.rng.choice((("CACHE.POLICY", "MATCH", key), ("CACHE.POLICY", "LIST"), ("CACHE.POLICY", "SHOW", "hot"))), None

    FAMILIES = (a_write,) * 8 + (a_read,) * 8 + (several,) * 2 + (a_look,) * 2 + (a_change_of_time,) * 2 + (a_removal, records, records, bits, counters, copies, comparison, transaction, transaction, database, a_scan)
    FAMILIES += (a_cached_read,) * 8 + (a_fill,) * 8 + (an_invalidation, a_purge, a_cached_look)

    # --- talking ---

    def connect(self):
        if self.connection is None:
            self.connection = Connection(self.port, timeout=120.0)
            if self.protocol == 3:
                self.connection.raw("HELLO", 3)

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def batch(self):
        wanted = []
        for _ in range(self.rng.choice((1, 1, 5, 20))):
            wanted += self.rng.choice(self.FAMILIES)(self)
        self.connect()
        replies = self.connection.pipeline([command for command, _ in wanted])
        for (command, check), reply in zip(wanted, replies):
            self.done += 1
            if isinstance(reply, ErrorReply):
                assert REFUSALS.match(reply) or is_state(reply), f"{command[0]}: {reply}"
            elif reply not in ("QUEUED",) and check is not None:
                check(reply)
        if len(replies) < len(wanted):
            raise Closed

    def slow_reader(self):
        """Asks for more than it takes, and takes it late or never."""
        with Connection(self.port, timeout=120.0) as slow:
            keys = [self.key() for _ in range(40)]
            slow.send(b"".join(encode(("GET", key)) for key in keys))
            self.batch()
            if self.rng.random() < 0.5:
                for key in keys:
                    check_value(key, slow.read())

    def half_a_request(self):
        with Connection(self.port, timeout=120.0) as broken:
            request = encode(("SET", b"never", b"x" * self.rng.randrange(1 << 20)))
            broken.send(request[: self.rng.randrange(len(request))])

    def step(self):
        try:
            what = self.rng.random()
            if what < 0.01:
                self.slow_reader()
            elif what < 0.02:
                self.half_a_request()
            else:
                self.batch()
        except (Closed, ConnectionError):
            self.closed += 1
            self.drop()


def is_flag(reply):
    assert reply in (0, 1), reply


def is_stored(reply):
    assert reply in ("OK", None), reply


def is_state(reply):
    """Errors that follow from a transaction that was refused or not begun because of an earlier reply."""
    return reply in ("ERR EXEC without MULTI", "ERR DISCARD without MULTI", "ERR MULTI calls can not be nested", "ERR WATCH inside MULTI is not allowed") or "source and destination" in reply


def work(port, number, seed, until, results):
    """A process of a soak."""
    worker = Worker(port, number, seed)
    try:
        while time.monotonic() < until:
            worker.step()
        results.put((number, worker.done, worker.closed, None))
    except BaseException:
        results.put((number, worker.done, worker.closed, traceback.format_exc()))


