"""Seeded random command sequences over every command that Pinfold and Redis 7.0 share.

A sequence is a list of steps (connection, arguments). Connections 0 and 1 take commands, may sit in a MULTI and watch
keys. The other steps name what the runner does on a connection of its own that never does:
  ("own", args)           a command
  ("sleep", (ms,))        lets a short time to live run out
  ("scan", (db, opts))    a full SCAN iteration, compared as a set
  ("randomkey", (db,))    RANDOMKEY answers an existing key, or nil on both
  ("spop", (db, key, n))  SPOP removes members that there were, as many on both; the key is then deleted
  ("scan_elements", (db, command, key))  the same as "scan" over the elements of a key

Two kinds of sequences: absolute ones set no relative time to live, so every expiry is compared exactly; relative ones do.
"""

import random
import re

from . import lua

INTEGERS = [
    0, 1, -1, 2, 7, 8, 9, 15, 16, 63, 64, 65, 99, 100, 255, 256, 1000, 4095, 65535, 65536,
    2**31 - 1, 2**31, 2**31 + 1, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, 2**32 + 1, 2**53 - 1, 2**53, 2**53 + 1,
    2**62, 2**63 - 2, 2**63 - 1, 2**63, 2**63 + 1, -(2**63) + 1, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30,
    9223372036854775, 9223372036854776, 9223372036854775807 // 1000, -9223372036854776,
]  # fmt: skip
ODD_NUMBERS = [
    b"", b" ", b" 1", b"1 ", b"+1", b"+0", b"-0", b"00", b"01", b"-01", b"0x10", b"1e3", b"1.0", b"1.5", b"-", b"+", b"--1", b"1_0",
    b"nan", b"NaN", b"-nan", b"inf", b"-inf", b"+inf", b"Infinity", b"1e400", b"-1e400", b"1e-400", b"5e-324", b"1e308", b"1e17",
    b"123456789012345678901234567890", b"0.1", b"-0.0", b".5", b"5.", b"1e", b"0x1p3", b"3.0e3", b"1\x00", b"\x00", b"one", b"#1", b"#-1",
    b"1,5", b"\xd9\xa1", b"1\n", b"\t1", b"0.1000000000000000000000001", b"1e5000", b"4611686018427387904.5", b"00000000000000000001",
]  # fmt: skip
ODD_KEYS = [
    b"", b" ", b"\x00", b"\xff\xfe", b"a\r\nb", b"*", b"[", b"\\", b"k*", b"{k0}", b"k" * 255, b"k" * 256, b"x" * 1000, b"L" * 16383, b"L" * 16384,
    b"L" * 70000, "schlüssel".encode(), b"0", b"-1", b"KEY",
]  # fmt: skip
KEYS = [b"k%d" % i for i in range(10)] + [b"user:1", b"user:2", b"user:10", b"a", b"b"]
# The keys that the commands of a type use most of the time.
POOLS = {"hash": [b"h0", b"h1", b"h2"], "list": [b"l0", b"l1", b"l2"], "set": [b"s0", b"s1", b"s2"], "zset": [b"z0", b"z1", b"z2"], "geo": [b"g0", b"g1"]}
TYPED_KEYS = [key for pool in POOLS.values() for key in pool]
# How the sparse form of a HyperLogLog is cut into runs may differ (differences.py), so no command on strings uses these.
POOLS["pf"] = [b"pf0", b"pf1", b"pf2"]
# Sorted sets whose scores are all 0.
POOLS["lex"] = [b"x0", b"x1"]
PATTERNS = [
    b"*", b"k*", b"k?", b"k[0-4]", b"k[^0-4]", b"k[4-0]", b"user:*", b"*:1", b"?", b"", b"nosuch", b"\\*", b"\\", b"[", b"k[", b"k[]", b"k[^]",
    b"k[a", b"k\\0", b"**0", b"*k*0*", b"[k]*", b"[^k]*", b"k[\\0]", b"k[0-]", b"[--k]*", b"*[*]*", b"\xff*", b"*\x00*", b"*?*", b"user:[0-9][0-9]",
    b"*L*L*L*", b"k[0-9]*[^a]", b"\\k*",
]  # fmt: skip

# A relative time to live in this range could run out, or be compared with another, within one sequence.
SHORTEST_SECONDS, SHORTEST_MS = 10_000, 10_000_000
_RELATIVE = {
    b"EXPIRE": (2, True), b"PEXPIRE": (2, False), b"SETEX": (2, True), b"PSETEX": (2, False),
}  # fmt: skip
_TTL = re.compile(rb"^[1-9][0-9]{0,18}$")

COMMANDS = {}


def command(name, weight=2, mutate=True):
    """Registers a function that returns the arguments after the name."""

    def register(function):
        COMMANDS[name] = (function, weight, mutate)
        return function

    return register


REFUSED_INSIDE_MULTI = {b"CLIENT LIST", b"CLIENT KILL", b"MEMORY PURGE"}
# Users that sequences make. tests/differential/test_acl.py has sequences in which users have rights of all kinds.
NEW_USERS = (b"new0", b"new1")


def is_newer(args):
    """What Redis has since 7.2: an error in 7.0, or the other way round, which would end a transaction or a script."""
    name = args[0].upper()
    if name in (b"ZRANK", b"ZREVRANK"):
        return len(args) > 3
    return name == b"LREM" and len(args) > 2 and args[2] == b"-9223372036854775808"


class Generator:
    def __init__(self, seed, length):
        self.rng = random.Random(seed)
        self.relative = self.rng.random() < 0.5
        self.length = length
        self.names = list(COMMANDS)
        weights = [COMMANDS[name][1] for name in self.names]
        # Each sequence favours some commands, so that states that need several of a kind do come up.
        weights = [w * self.rng.choice((0.3, 1, 1, 4)) for w in weights]
        self.cumulative = []
        total = 0.0
        for weight in weights:
            total += weight
            self.cumulative.append(total)

    # --- arguments ---

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def key(self):
        roll = self.rng.random()
        return self.pick(KEYS if roll < 0.75 else TYPED_KEYS if roll < 0.93 else ODD_KEYS)

    def of(self, pool):
        """A key of these, or any."""
        return self.pick(POOLS[pool]) if self.rng.random() < 0.93 else self.key()

    def keys(self, most=4):
        keys = [self.key() for _ in range(self.rng.randint(1, most))]
        if self.chance(0.15):
            keys.append(self.pick(keys))
        return keys

    def small(self):
        return b"%d" % self.rng.randint(-12, 40)

    def integer(self):
        roll = self.rng.random()
        if roll < 0.6:
            return self.small()
        if roll < 0.9:
            return b"%d" % self.pick(INTEGERS)
        return self.pick(ODD_NUMBERS)

    def number(self):
        roll = self.rng.random()
        if roll < 0.25:
            return b"%d" % self.rng.randint(-1000, 1000)
        if roll < 0.5:
            return b"%.*f" % (self.rng.randint(0, 18), self.rng.uniform(-1000, 1000))
        if roll < 0.6:
            return b"%.17g" % (self.rng.uniform(-1, 1) * 10.0 ** self.rng.randint(-20, 20))
        return self.integer()

    def value(self):
        roll = self.rng.random()
        if roll < 0.35:
            return self.number()
        if roll < 0.7:
            return b"v%d" % self.rng.randint(0, 99)
        if roll < 0.78:
            return self.rng.randbytes(self.rng.randint(1, 20))
        if roll < 0.88:
            return b"x" * self.rng.choice((0, 1, 19, 20, 21, 43, 44, 45, 63, 64, 65, 127, 128, 255, 256))
        if roll < 0.95:
            return bytes(self.rng.choice(b"abc") for _ in range(self.rng.randint(0, 24)))
        if roll < 0.995:
            return self.rng.randbytes(self.rng.choice((500, 1000, 4096, 16383, 16384, 16385)))
        return b"big" * self.rng.choice((20_000, 90_000))

    def bit_offset(self):
        roll = self.rng.random()
        if roll < 0.8:
            return b"%d" % self.rng.randint(0, 200)
        if roll < 0.82:
            return b"%d" % self.rng.choice((8 * 65536, 8 * (1 << 20) - 1, 8 * (1 << 20), 8 * (1 << 20) + 1))
        return self.integer()

    def seconds(self, ms=False, absolute=False):
        """A time that is far away, long past or not a time."""
        roll = self.rng.random()
        unit = 1000 if ms else 1
        if roll < 0.55:
            far = self.rng.randint(4_000_000_000, 9_000_000_000) if absolute else self.rng.randint(2 * SHORTEST_SECONDS, 10**8)
            return b"%d" % (far * unit + (self.rng.randint(0, 999) if ms else 0))
        if roll < 0.7:
            return b"%d" % self.rng.choice((-1, 0, -100, 1 if absolute else -5, 1000 if absolute else -(10**9)))
        return self.integer()

    def case(self, word):
        roll = self.rng.random()
        return word if roll < 0.7 else word.lower() if roll < 0.9 else bytes(self.rng.choice((c, c ^ 32)) if 65 <= c <= 90 else c for c in word)

    def ttl_option(self, keep=b"KEEPTTL"):
        """EX/PX/EXAT/PXAT and a value, KEEPTTL or PERSIST."""
        word = self.pick((b"EX", b"PX", b"EXAT", b"PXAT", b"EXAT", b"PXAT", keep))
        if word == keep:
            return [self.case(word)]
        return [self.case(word), self.seconds(word[0:1] == b"P", word.endswith(b"AT"))]

    # --- sequences ---

    def next_command(self, of=None):
        """The arguments of any command, or of one of these names."""
        name = self.pick(of) if of else self.rng.choices(self.names, cum_weights=self.cumulative)[0]
        function, _, mutate = COMMANDS[name]
        args = name.split() + function(self)
        if mutate and self.rng.random() < 0.06:
            self.mutate(args, len(name.split()))
        if self.rng.random() < 0.3:
            args[0] = self.case(args[0].lower())
        return args

    def mutate(self, args, fixed):
        """One plausible mistake."""
        kind = self.rng.randrange(5)
        at = self.rng.randint(fixed, len(args))
        if kind == 0 and at < len(args):
            del args[at]
        elif kind == 1:
            args.insert(at, self.pick((b"", b"NX", b"XX", b"GT", b"LT", b"GET", b"1", b"-1", b"abc", self.key())))
        elif kind == 2 and at < len(args):
            args[at] = self.pick(ODD_NUMBERS) if self.chance(0.5) else b"%d" % self.pick(INTEGERS)
        elif kind == 3 and at < len(args):
            args.insert(at, args[at])
        elif kind == 4 and at + 1 < len(args):
            args[at], args[at + 1] = args[at + 1], args[at]

    def admissible(self, args):
        """Keeps out what the clock would decide, and what would fill the memory."""
        name = args[0].upper()
        if name == b"COMMAND":
            return len(args) < 3 or not args[1].upper().startswith(b"GETKEYS") or not is_newer(args[2:])
        if name == b"CLIENT":
            return True
        if name == b"ACL":
            return len(args) < 3 or args[1].upper() not in (b"SETUSER", b"DELUSER") or args[2] in NEW_USERS
        # Documented differences that would leave other data behind.
        if name in (b"BITFIELD", b"BITFIELD_RO"):
            if any(re.fullmatch(rb"#-?[0-9]{12,}", arg) for arg in args):
                return False
            if any(arg.upper() == b"SAT" for arg in args) and any(re.fullmatch(rb"-?[0-9]{19}", arg) for arg in args):
                return False
        if name == b"HELLO" and len(args) > 4 and args[2].upper() == b"SETNAME":
            return False
        if name == b"HELLO" and len(args) > 5 and args[2].upper() == b"AUTH":
            return False
        if not has_its_order(args):
            return False
        if is_newer(args):
            return False
        # What BY finds equal is in any order, which a list would keep.
        if name == b"SORT" and {b"BY", b"STORE"} <= {arg.upper() for arg in args}:
            return False
        # The count of these is how many elements they reply if it is negative.
        if name in (b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER") and any(re.fullmatch(rb"-[0-9]{4,}", arg) for arg in args[2:]):
            return False
        ttls = []
        if name in _RELATIVE:
            at, seconds = _RELATIVE[name]
            if len(args) > at:
                ttls.append((args[at], seconds))
        if name in (b"SET", b"GETEX"):
            for i in range(2, len(args) - 1):
                word = args[i].upper()
                if word in (b"EX", b"PX"):
                    ttls.append((args[i + 1], word == b"EX"))
        if name in (b"EXPIREAT", b"PEXPIREAT") or (name in (b"SET", b"GETEX")):
            # An absolute time of this century's first half as milliseconds or seconds is near now only in this band.
            for arg in args[2:]:
                if _TTL.match(arg) and (1_600_000_000 <= int(arg) <= 2_000_000_000 or 1_600_000_000_000 <= int(arg) <= 2_000_000_000_000):
                    return False
        for arg, seconds in ttls:
            if not _TTL.match(arg) or int(arg) >= 2**63:
                continue
            if not self.relative:
                return False
            if int(arg) < (SHORTEST_SECONDS if seconds else SHORTEST_MS):
                return False
            # GT and LT between two equal relative times depend on the millisecond; only drawn ones are never equal.
            if name in (b"EXPIRE", b"PEXPIRE") and int(arg) in INTEGERS:
                return False
        return True

    def sequence(self):
        steps = []
        for connection in (0, 1):
            if self.chance(0.5):
                steps.append((connection, (b"HELLO", b"3")))
        if self.chance(0.4):
            steps += [("own", (b"CONFIG", b"SET", *pair)) for pair in collection_commands.SMALL_THRESHOLDS]
        connection, left = 0, 0
        while len(steps) < self.length:
            if left <= 0:
                connection, left = (1 - connection if self.chance(0.4) else connection), self.rng.randint(1, 60)
                if self.chance(0.1):
                    self.special(steps)
            left -= 1
            if self.chance(0.008):
                self.transaction(steps, connection)
                continue
            self.one(steps, connection)
        return list(without_lost_histories(steps))

    def special(self, steps):
        db = self.pick((b"0", b"0", b"0", b"1", b"9", b"15"))
        kind = self.rng.randrange(6)
        if kind == 0:
            options = []
            if self.chance(0.6):
                options += [b"MATCH", self.pick(PATTERNS)]
            if self.chance(0.6):
                options += [b"COUNT", self.pick((b"1", b"2", b"10", b"1000", b"100000"))]
            if self.chance(0.2):
                options += [b"TYPE", self.pick((b"string", b"STRING", b"list", b"hash", b"set", b"zset", b"stream"))]
            steps.append(("scan", (db, *options)))
        elif kind == 1:
            steps.append(("randomkey", (db,)))
        elif kind == 4:
            steps.append(("spop", (db, self.of("set"), self.pick((b"", b"1", b"2", b"5", b"50")))))
        elif kind == 5:
            steps.append(("scan_elements", (db, *self.pick(((b"HSCAN", self.of("hash")), (b"SSCAN", self.of("set")), (b"ZSCAN", self.of("zset")))))))
        elif kind == 2:
            self.watch_databases(steps, self.pick((0, 1)))
        else:
            key = self.key()
            steps.append(("own", (b"SELECT", db)))
            steps.append(("own", (b"SET", key, self.value(), b"PX", b"%d" % self.rng.randint(1, 3))))
            steps.append(("sleep", (12,)))
            # The touch removes it on both sides, so that DBSIZE does not depend on the sweeper.
            steps.append(("own", (self.pick((b"EXISTS", b"GET", b"TYPE", b"TTL", b"DEL", b"STRLEN")), key)))

    def watch_databases(self, steps, connection):
        """Watches keys of which some exist, some do not and some have expired, while databases are emptied and exchanged."""
        databases, keys = (b"0", b"1"), self.rng.sample(KEYS, 3)
        # Some run out while they are watched: far enough away that both servers see them before.
        soon, pause = ([b"PX", b"1000"], 1050) if self.chance(0.1) else ([], 0)

        def own(*args):
            steps.append(("own", args))

        def store(key, *times):
            own(b"SET", key, self.value(), *self.pick((soon, *times)))

        own(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0")
        for database in databases:
            own(b"SELECT", database)
            for key in keys:
                own(b"DEL", key)
                if self.chance(0.7):
                    store(key, [b"PX", b"1"])
        steps.append(("sleep", (15,)))
        steps += [(connection, (b"RESET",)), (connection, (b"SELECT", self.pick(databases))), (connection, (b"WATCH", *keys[: self.rng.randint(1, 3)]))]
        for _ in range(self.rng.randint(0, 4)):
            key = self.pick(keys)
            kind = self.rng.randrange(7)
            if kind == 0:
                own(b"SELECT", self.pick(databases))
            elif kind == 1:
                own(self.pick((b"FLUSHDB", b"FLUSHALL")))
            elif kind in (2, 3):
                own(b"SWAPDB", *self.pick((databases, databases[::-1], (b"1", b"1"), (b"1", b"9"))))
            elif kind == 4:
                own(self.pick((b"EXISTS", b"GET", b"DEL", b"TTL", b"PERSIST")), key)
            elif kind == 5:
                store(key)
            elif pause:
                steps.append(("sleep", (pause,)))
        steps += [(connection, (b"MULTI",)), (connection, (b"GET", keys[0])), (connection, (b"EXEC",))]
        # The touch removes what has expired on both sides; what has not yet soon will.
        if pause:
            steps.append(("sleep", (pause,)))
        for database in (*databases, b"9"):
            own(b"SELECT", database)
            own(b"EXISTS", *keys)
        own(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"1")

    def transaction(self, steps, connection):
        """MULTI to EXEC, sometimes watched, with the other connection in between."""
        other = 1 - connection
        if self.chance(0.6):
            steps.append((connection, (b"WATCH", *self.keys(3))))
        for who, most in ((other, 2), (connection, 2)):
            for _ in range(self.rng.randint(0, most)):
                self.one(steps, who)
        steps.append((connection, (b"MULTI",)))
        for _ in range(self.rng.randint(0, 6)):
            self.one(steps, connection if self.chance(0.8) else other)
        steps.append((connection, (self.pick((b"EXEC", b"EXEC", b"EXEC", b"exec", b"DISCARD")),)))

    def one(self, steps, connection):
        args = self.next_command()
        if not self.admissible(args):
            return
        # Connections 0 and 1 may be in a MULTI, where Pinfold refuses these.
        refused = b" ".join(args[:2]).upper() in REFUSED_INSIDE_MULTI or (args[:1] and args[0].upper() in (b"ACL", b"CONFIG", b"COMMAND"))
        steps.append(("own" if refused else connection, tuple(args)))


def has_its_order(args):
    """Whether commands by the order of members are for sorted sets whose scores are all equal, and these are for no others."""
    name, lexical = args[0].upper(), {arg.upper() for arg in args}
    named = [i for i, arg in enumerate(args) if arg in POOLS["lex"]]
    if name == b"ZADD" and named:
        return len(args) > 3 and set(args[2::2]) == {b"0"} and named == [1]
    if b"LEX" in name or (name in (b"ZRANGE", b"ZRANGESTORE") and b"BYLEX" in lexical):
        return named == [2 if name == b"ZRANGESTORE" else 1]
    return not named


def without_lost_histories(steps):
    """Leaves out the second of two commands that exchange, or exchange and empty, databases while keys are watched: see differences.py."""
    watching, queues, exchanged = set(), {}, False
    whole = (b"SWAPDB", b"FLUSHALL", b"FLUSHDB")
    for who, args in steps:
        name = args[0].upper() if args and isinstance(args[0], bytes) else None
        if name in whole and (exchanged if who not in queues else queues[who]):
            continue
        yield who, args
        if name == b"WATCH":
            watching.add(who)
        elif name == b"MULTI":
            queues.setdefault(who, False)
        elif name in whole:
            if who in queues:
                queues[who] = True
            exchanged |= name == b"SWAPDB"
        elif name in (b"RESET", b"QUIT") or (name in (b"EXEC", b"DISCARD") and who in queues) or (name == b"UNWATCH" and who not in queues):
            watching.discard(who)
            exchanged |= queues.pop(who, False)
        if not watching:
            exchanged = False


def sequence(seed, length):
    return Generator(seed, length).sequence()


# --- connection ---


@command(b"PING")
def _(g):
    return [] if g.chance(0.5) else [g.value()]


@command(b"ECHO")
def _(g):
    return [g.value()]


@command(b"QUIT", 0.05)
def _(g):
    return []


@command(b"RESET", 0.2)
def _(g):
    return []


@command(b"SELECT", 1.5)
def _(g):
    return [b"0" if g.chance(0.55) else g.pick((b"1", b"9", b"15", b"16", b"-1")) if g.chance(0.8) else g.integer()]


@command(b"SWAPDB", 0.7)
def _(g):
    return [g.pick((b"0", b"1", b"9", b"15", b"16", g.integer())), g.pick((b"0", b"1", b"9", b"15", g.integer()))]


@command(b"HELLO", 0.7)
def _(g):
    args = [g.pick((b"2", b"3", b"3", b"1", b"4", b"0", g.integer()))] if g.chance(0.9) else []
    if args and g.chance(0.3):
        args += [b"SETNAME", g.pick((b"me", b"a b", b"", b"x\n"))]
    if args and g.chance(0.15):
        args += [b"AUTH", b"default", b"pw"] if g.chance(0.5) else [g.pick((b"AUTH", b"SETNAME", b"BOGUS")), b"x"][: g.rng.randint(1, 2)]
    return args


@command(b"AUTH", 0.7)
def _(g):
    return [g.pick((b"pw", b"default", b"nobody", b"")) for _ in range(g.rng.choice((1, 1, 2, 2, 3)))]


@command(b"CLIENT ID", 0.3)
def _(g):
    return []


@command(b"CLIENT INFO", 0.3)
def _(g):
    return []


@command(b"PUBLISH", 0.7)
def _(g):
    return [g.key(), g.value()]


@command(b"SPUBLISH", 0.3)
def _(g):
    return [g.key(), g.value()]


@command(b"UNSUBSCRIBE", 0.3, mutate=False)
def _(g):
    return g.pick(([], [g.key()]))


@command(b"PUNSUBSCRIBE", 0.3, mutate=False)
def _(g):
    return g.pick(([], [g.key()]))


@command(b"SUNSUBSCRIBE", 0.3, mutate=False)
def _(g):
    return g.pick(([], [g.key()]))


@command(b"PUBSUB CHANNELS", 0.3)
def _(g):
    return g.pick(([], [b"*"], [g.key()[:1000]]))


@command(b"PUBSUB SHARDCHANNELS", 0.3)
def _(g):
    return g.pick(([], [b"*"], [g.key()[:1000]]))


@command(b"PUBSUB NUMSUB", 0.3)
def _(g):
    return [g.key() for _ in range(g.rng.randrange(3))]


@command(b"PUBSUB SHARDNUMSUB", 0.3)
def _(g):
    return [g.key() for _ in range(g.rng.randrange(3))]


@command(b"PUBSUB NUMPAT", 0.3)
def _(g):
    return []


@command(b"CLIENT LIST", 0.5, mutate=False)
def _(g):
    return g.pick((
        [], [b"TYPE", b"normal"], [b"TYPE", b"bogus"], [b"ID", b"999999999"], [b"ID"], [b"ID", b"abc"], [b"ID", b"-1"], [b"BOGUS"], [b"TYPE"],
        [b"type", b"PUBSUB"], [b"TYPE", b"replica"], [b"TYPE", b"slave"], [b"ID", b"0"], [b"TYPE", b"normal", b"x"],
    ))  # fmt: skip


@command(b"CLIENT KILL", 0.5, mutate=False)
def _(g):
    return g.pick((
        [], [b"1.2.3.4:5"], [b"ID", b"999999999"], [b"ID", b"abc"], [b"ID", b"-1"], [b"ID", b"0"], [b"ADDR", b"1.2.3.4:5"], [b"LADDR", b"1.2.3.4:5"],
        [b"TYPE", b"bogus"], [b"TYPE", b"pubsub"], [b"USER", b"nobody"], [b"SKIPME", b"maybe", b"ID", b"999999999"], [b"BOGUS", b"1"],
        [b"ID", b"999999999", b"SKIPME", b"no"], [b"ID", b"1", b"ADDR"], [b"ADDR", b"x", b"LADDR", b"y"], [b"id", b"999999999", b"type", b"normal"],
    ))  # fmt: skip


@command(b"CLIENT GETNAME", 0.7)
def _(g):
    return []


@command(b"CLIENT SETNAME", 0.7)
def _(g):
    return [g.pick((b"me", b"other", b"", b"a b", b"a\nb", b"\x00", b"~", b"\x7f", b"!", g.value()[:1000]))]  # longer ones: differences.py


@command(b"CLIENT REPLY", 0.2, mutate=False)
def _(g):
    return g.pick(([b"ON"], [b"on"], [b"BOGUS"], [], [b"ON", b"x"]))


@command(b"CLIENT PAUSE", 0.2, mutate=False)
def _(g):
    return g.pick(([b"0"], [b"-1"], [b"abc"], [b"1", b"BOGUS"], [], [b"99999999999999999999"], [b"0", b"WRITE"], [b"0", b"ALL"], [b"0", b"write", b"x"]))


@command(b"CLIENT UNPAUSE", 0.2)
def _(g):
    return []


@command(b"CLIENT NO-EVICT", 0.3)
def _(g):
    return [g.pick((b"on", b"off", b"ON", b"maybe"))]


@command(b"CLIENT GETREDIR", 0.3)
def _(g):
    return []


# None of these makes the client track: what it would be told comes at other times. tests/differential/test_tracking.py compares that.
@command(b"CLIENT TRACKING", 0.4, mutate=False)
def _(g):
    on = (b"on", b"ON", b"maybe")
    return g.pick((
        [b"off"], [b"OFF", b"BCAST"], [b"off", b"nosuch"], [b"maybe"], [g.pick(on), b"REDIRECT"], [g.pick(on), b"REDIRECT", g.pick((b"x", b"0", b"-1", b"99999999"))],
        [g.pick(on[:2]), b"PREFIX", b"k"], [g.pick(on[:2]), b"BCAST", g.pick((b"OPTIN", b"OPTOUT"))], [g.pick(on[:2]), b"OPTIN", b"OPTOUT"],
        [g.pick(on[:2]), b"BCAST", b"PREFIX", b"ab", b"PREFIX", g.pick((b"", b"a", b"ab", b"abc"))], [b"off", b"NOLOOP", b"noloop"], [],
    ))  # fmt: skip


@command(b"CLIENT CACHING", 0.2)
def _(g):
    return [g.pick((b"yes", b"NO", b"maybe"))]


@command(b"CLIENT TRACKINGINFO", 0.2)
def _(g):
    return []


@command(b"CLIENT HELP", 0.1)
def _(g):
    return []


@command(b"CLIENT BOGUS", 0.2)
def _(g):
    return [g.value()] if g.chance(0.5) else []


@command(b"CLIENT", 0.1)
def _(g):
    return []


# --- strings ---


@command(b"APPEND", 3)
def _(g):
    return [g.key(), g.value()]


@command(b"DECR")
def _(g):
    return [g.key()]


@command(b"DECRBY")
def _(g):
    return [g.key(), g.integer()]


@command(b"GET", 5)
def _(g):
    return [g.key()]


@command(b"GETDEL")
def _(g):
    return [g.key()]


@command(b"GETEX", 3)
def _(g):
    args = [g.key()]
    if g.chance(0.7):
        args += g.ttl_option(b"PERSIST")
    if g.chance(0.1):
        args += g.ttl_option(b"PERSIST")
    return args


@command(b"GETRANGE", 3)
def _(g):
    return [g.key(), g.integer(), g.integer()]


@command(b"GETSET")
def _(g):
    return [g.key(), g.value()]


@command(b"INCR", 3)
def _(g):
    return [g.key()]


@command(b"INCRBY", 3)
def _(g):
    return [g.key(), g.integer()]


@command(b"INCRBYFLOAT", 3)
def _(g):
    return [g.key(), g.number()]


@command(b"LCS")
def _(g):
    args = [g.key(), g.key()]
    while g.chance(0.6):
        args += g.pick(([b"LEN"], [b"IDX"], [b"IDX"], [b"WITHMATCHLEN"], [b"MINMATCHLEN", g.integer()], [b"BOGUS"], [b"minmatchlen"]))
    return args


@command(b"MGET", 3)
def _(g):
    return g.keys(6)


def pairs(g):
    args = []
    for key in g.keys(4):
        args += [key, g.value()]
    return args


@command(b"MSET", 3)
def _(g):
    return pairs(g)


@command(b"MSETNX")
def _(g):
    return pairs(g)


@command(b"PSETEX")
def _(g):
    return [g.key(), g.seconds(ms=True), g.value()]


@command(b"SET", 9)
def _(g):
    args = [g.key(), g.value()]
    if g.chance(0.35):
        options = [g.ttl_option()] if g.chance(0.6) else []
        if g.chance(0.5):
            options.append([g.case(g.pick((b"NX", b"XX")))])
        if g.chance(0.4):
            options.append([g.case(b"GET")])
        if g.chance(0.07):
            options.append(g.pick(([b"NX"], [b"XX"], [b"GET"], [b"EX"], [b"PXAT"], [b"KEEPTTL"], [b"PERSIST"], [b"BOGUS"], g.ttl_option())))
        g.rng.shuffle(options)
        for option in options:
            args += option
    return args


@command(b"SETEX")
def _(g):
    return [g.key(), g.seconds(), g.value()]


@command(b"SETNX")
def _(g):
    return [g.key(), g.value()]


@command(b"SETRANGE", 3)
def _(g):
    offset = g.integer()
    if g.chance(0.02):
        offset = b"%d" % g.pick((1 << 20, (1 << 20) - 1, (1 << 20) - 5, 70000, 536870911, 536870912))
    return [g.key(), offset, g.value()]


@command(b"STRLEN", 3)
def _(g):
    return [g.key()]


@command(b"SUBSTR")
def _(g):
    return [g.key(), g.integer(), g.integer()]


@command(b"GETBIT", 3)
def _(g):
    return [g.key(), g.bit_offset()]


@command(b"SETBIT", 3)
def _(g):
    return [g.key(), g.bit_offset(), g.pick((b"0", b"1", b"1", b"2", b"-1", b"x")) if g.chance(0.2) else g.pick((b"0", b"1"))]


@command(b"BITCOUNT", 3)
def _(g):
    args = [g.key()]
    if g.chance(0.7):
        args += [g.integer(), g.integer()]
        if g.chance(0.5):
            args.append(g.case(g.pick((b"BIT", b"BYTE", b"BIT", b"BYTE", b"NIBBLE"))))
    return args


@command(b"BITPOS", 3)
def _(g):
    args = [g.key(), g.pick((b"0", b"1", b"0", b"1", b"2", b"x", b"-1"))]
    for _ in range(g.rng.choice((0, 1, 2, 2))):
        args.append(g.integer())
    if len(args) == 4 and g.chance(0.6):
        args.append(g.case(g.pick((b"BIT", b"BYTE", b"BIT", b"BYTE", b"NIBBLE"))))
    return args


@command(b"BITOP", 3)
def _(g):
    operation = g.case(g.pick((b"AND", b"OR", b"XOR", b"NOT", b"AND", b"OR", b"XOR", b"NAND")))
    return [operation, g.key()] + (g.keys(4) if operation.upper() != b"NOT" or g.chance(0.2) else [g.key()])


def bitfield(g, read_only):
    args = [g.key()]
    for _ in range(g.rng.choice((0, 1, 1, 2, 3))):
        kind = g.pick((b"i", b"u")) + b"%d" % g.pick((1, 2, 3, 5, 7, 8, 9, 16, 31, 32, 33, 63, 64, 63, 8))
        if g.chance(0.06):
            kind = g.pick((b"u64", b"i65", b"u0", b"i0", b"x8", b"u", b"", b"u-1", b"i08", b"i 8", b"I8", b"u99999999999", b"i64x"))
        offset = g.pick((b"", b"#")) + (b"%d" % g.rng.randint(0, 70) if g.chance(0.9) else g.bit_offset())
        verb = g.pick((b"GET", b"SET", b"INCRBY")) if not read_only or g.chance(0.1) else b"GET"
        if g.chance(0.3) and (not read_only or g.chance(0.1)):
            args += [g.case(b"OVERFLOW"), g.case(g.pick((b"WRAP", b"SAT", b"FAIL", b"FAIL", b"SAT", b"BOGUS" if g.chance(0.2) else b"WRAP")))]
        args += [g.case(verb), kind, offset]
        if verb != b"GET":
            args.append(g.integer() if g.chance(0.7) else b"%d" % g.rng.getrandbits(g.rng.randint(1, 63)))
    return args


@command(b"BITFIELD", 5)
def _(g):
    return bitfield(g, False)


@command(b"BITFIELD_RO")
def _(g):
    return bitfield(g, True)


# --- keys ---


@command(b"COPY", 3)
def _(g):
    args = [g.key(), g.key()]
    for _ in range(g.rng.choice((0, 0, 1, 2, 3))):
        args += g.pick(([b"REPLACE"], [b"replace"], [b"DB", g.pick((b"0", b"1", b"9", b"15", b"16", b"-1", b"x"))], [b"DB", g.integer()], [b"DB"], [b"BOGUS"]))
    return args


@command(b"DEL", 3)
def _(g):
    return g.keys(4)


@command(b"EXISTS", 3)
def _(g):
    return g.keys(4)


def expire(ms, absolute):
    def arguments(g):
        args = [g.key(), g.seconds(ms, absolute)]
        for _ in range(g.rng.choice((0, 0, 0, 1, 1, 2))):
            args.append(g.case(g.pick((b"NX", b"XX", b"GT", b"LT", b"GT", b"LT", b"BOGUS" if g.chance(0.2) else b"NX"))))
        return args

    return arguments


command(b"EXPIRE", 3)(expire(False, False))
command(b"EXPIREAT", 4)(expire(False, True))
command(b"PEXPIRE", 3)(expire(True, False))
command(b"PEXPIREAT", 4)(expire(True, True))


@command(b"EXPIRETIME")
def _(g):
    return [g.key()]


@command(b"PEXPIRETIME")
def _(g):
    return [g.key()]


@command(b"PERSIST")
def _(g):
    return [g.key()]


@command(b"PTTL")
def _(g):
    return [g.key()]


@command(b"TTL")
def _(g):
    return [g.key()]


@command(b"KEYS", 0.7)
def _(g):
    return [g.pick(PATTERNS)]


@command(b"MOVE")
def _(g):
    return [g.key(), g.pick((b"0", b"1", b"9", b"15", b"1", b"16", b"-1")) if g.chance(0.9) else g.integer()]


@command(b"RANDOMKEY", 0.5)
def _(g):
    return []


@command(b"RENAME", 3)
def _(g):
    return [g.key(), g.key()]


@command(b"RENAMENX")
def _(g):
    return [g.key(), g.key()]


@command(b"SCAN", 0.7)
def _(g):
    args = [b"0" if g.chance(0.8) else g.integer()]
    for _ in range(g.rng.choice((0, 1, 2, 3))):
        args += g.pick(([b"MATCH", g.pick(PATTERNS)], [b"COUNT", g.integer()], [b"TYPE", b"string"], [b"COUNT", b"10"], [b"BOGUS"], [b"MATCH"], [b"count", b"5"]))
    return args


@command(b"TOUCH")
def _(g):
    return g.keys(4)


@command(b"TYPE", 3)
def _(g):
    return [g.key()]


@command(b"UNLINK", 1)
def _(g):
    return g.keys(3)


@command(b"DBSIZE", 2)
def _(g):
    return []


@command(b"FLUSHDB", 0.15)
def _(g):
    return g.pick(([], [b"ASYNC"], [b"SYNC"], [b"sync"], [b"BOGUS"], [b"ASYNC", b"SYNC"]))


@command(b"FLUSHALL", 0.1)
def _(g):
    return g.pick(([], [b"ASYNC"], [b"SYNC"], [b"async"], [b"BOGUS"], [b"ASYNC", b"SYNC"]))


@command(b"OBJECT ENCODING", 3)
def _(g):
    return [g.key()]


@command(b"OBJECT FREQ", 0.7)
def _(g):
    return [g.key()]


@command(b"OBJECT IDLETIME", 0.7)
def _(g):
    return [g.key()]


@command(b"OBJECT REFCOUNT", 0.7)
def _(g):
    return [g.key()]


@command(b"OBJECT BOGUS", 0.2)
def _(g):
    return [g.key()]


@command(b"OBJECT HELP", 0.1)
def _(g):
    return []


# --- server ---


@command(b"COMMAND COUNT", 0.1)
def _(g):
    return []


@command(b"COMMAND LIST", 0.2, mutate=False)
def _(g):
    return g.pick((
        [], [b"FILTERBY", b"MODULE", b"nosuch"], [b"FILTERBY", b"ACLCAT", b"nosuch"], [b"FILTERBY", b"PATTERN", b"getr*"], [b"FILTERBY", b"pattern", b"no*such"],
        [b"FILTERBY"], [b"BOGUS"], [b"FILTERBY", b"BOGUS", b"x"], [b"FILTERBY", b"ACLCAT"], [b"FILTERBY", b"ACLCAT", b"bitmap"], [b"filterby", b"aclcat", b"BITMAP"],
        [b"FILTERBY", b"PATTERN", b"*pire*"], [b"FILTERBY", b"PATTERN", b"GETR*"],
    ))  # fmt: skip


def known_names(g):
    return [name.split()[0] for name in COMMANDS if name and not name.endswith(b"BOGUS")]


@command(b"COMMAND INFO", 0.3, mutate=False)
def _(g):
    return [g.case(g.pick(known_names(g))) if g.chance(0.9) else g.pick((b"nosuch", b"", b"client|id", b"client|nosuch")) for _ in range(g.rng.randint(1, 3))]


@command(b"COMMAND DOCS", 0.2, mutate=False)
def _(g):
    return [g.pick((b"get", b"SET", b"expire", b"nosuch", b"mset")) for _ in range(g.rng.randint(1, 2))]


def command_line(g):
    """A whole command as arguments, right or wrong."""
    roll = g.rng.random()
    if roll < 0.04:
        return []
    if roll < 0.1:
        return g.pick(([b"nosuch"], [b"nosuch", b"a"], [b""], [b"get"], [b"mset", b"a"], [b"mset"], [b"client"], [b"ping"], [b"multi"], [b"bitop", b"and"]))
    while True:
        name = g.pick(list(COMMANDS))
        function, _, mutate = COMMANDS[name]
        if name and mutate and not name.startswith(b"COMMAND") and not name.endswith(b"BOGUS"):
            break
    args = name.split() + function(g)
    if g.chance(0.2):
        g.mutate(args, 1)
    return args


def command_line_of_two(g):
    """A name and nothing more is an error of another kind, which fails a transaction or does not: see differences.py."""
    args = command_line(g)
    return args if len(args) > 1 else [*args, g.key(), g.key()]


@command(b"COMMAND GETKEYS", 2, mutate=False)
def _(g):
    return command_line_of_two(g)


@command(b"COMMAND GETKEYSANDFLAGS", 1, mutate=False)
def _(g):
    return command_line_of_two(g)


@command(b"COMMAND BOGUS", 0.1)
def _(g):
    return []


@command(b"CONFIG GET", 0.6, mutate=False)
def _(g):
    return g.pick((
        [b"maxmemory-policy"], [b"timeout"], [b"TIMEOUT"], [b"nosuch"], [b"timeout", b"maxmemory-policy"], [b"timeout", b"timeout"], [b"proto-max-bulk-len"], [],
        [b"maxmemory*"], [b"[t]imeout"], [b"*"], [b"maxmemory"],
    ))  # fmt: skip


@command(b"CONFIG SET", 0.5, mutate=False)
def _(g):
    return g.pick((
        [b"timeout", b"0"], [b"timeout", b"1000"], [b"timeout", b"-1"], [b"timeout", b"abc"], [b"nosuch", b"1"], [b"timeout"], [], [b"timeout", b"0", b"nosuch"],
        [b"timeout", b"0", b"nosuch", b"1"], [b"timeout", b"0", b"timeout", b"1"], [b"port"], [b"TIMEOUT", b"0"], [b"maxmemory", b"2gb"], [b"maxmemory", b"3000mb"],
        [b"maxmemory", b"nonsense"], [b"maxmemory", b"-1"], [b"timeout", b""], [b"timeout", b"99999999999999"], [b"timeout", b"1000", b"maxmemory", b"nonsense"],
        [b"databases", b"3"], [b"maxmemory-policy", b"bogus"], [b"timeout", b" 1"],
    ))  # fmt: skip


@command(b"CONFIG RESETSTAT", 0.2)
def _(g):
    return []


@command(b"CONFIG BOGUS", 0.1)
def _(g):
    return []


@command(b"INFO", 0.2)
def _(g):
    return g.pick(([], [b"server"], [b"nosuch"], [b"keyspace", b"memory"], [b"EVERYTHING"]))


@command(b"MEMORY USAGE", 1)
def _(g):
    return [g.key()] + g.pick(([], [b"SAMPLES", b"0"], [b"SAMPLES", b"-1"], [b"SAMPLES", b"5"], [b"SAMPLES"], [b"BOGUS", b"1"], [b"SAMPLES", b"x"]))


@command(b"MEMORY STATS", 0.1)
def _(g):
    return []


@command(b"MEMORY DOCTOR", 0.1)
def _(g):
    return []


@command(b"MEMORY PURGE", 0.05)
def _(g):
    return []


@command(b"SLOWLOG GET", 0.3)
def _(g):
    return g.pick(([], [b"0"], [b"-1"], [b"-2"], [b"x"], [b"1", b"2"], [g.integer()]))


@command(b"SLOWLOG LEN", 0.1)
def _(g):
    return []


@command(b"SLOWLOG RESET", 0.1)
def _(g):
    return []


@command(b"SLOWLOG BOGUS", 0.1)
def _(g):
    return []


@command(b"LATENCY LATEST", 0.1)
def _(g):
    return []


@command(b"LATENCY HISTORY", 0.1)
def _(g):
    return [g.pick((b"command", b"nosuch", b""))]


@command(b"LATENCY GRAPH", 0.1)
def _(g):
    return [g.pick((b"nosuch", b"a\0b", b"x" * 20))]


@command(b"LATENCY RESET", 0.1)
def _(g):
    return g.pick(([], [b"command"], [b"nosuch", b"command"]))


@command(b"LATENCY BOGUS", 0.1)
def _(g):
    return []


@command(b"MEMORY BOGUS", 0.1)
def _(g):
    return []


@command(b"TIME", 0.2)
def _(g):
    return []


@command(b"LASTSAVE", 0.2)
def _(g):
    return []


@command(b"ROLE", 0.2)
def _(g):
    return []


@command(b"WAIT", 0.3, mutate=False)
def _(g):
    return g.pick(([b"0", b"0"], [b"0", b"10"], [b"-1", b"1"], [b"x", b"1"], [b"0", b"x"], [b"0", b"-1"], [b"0"], [], [b"0", b"1", b"2"]))


@command(b"LOLWUT", 0.1)
def _(g):
    return g.pick(([], [b"VERSION", b"5"], [b"VERSION", b"x"]))


@command(b"SHUTDOWN", 0.1, mutate=False)
def _(g):
    return g.pick(([b"BOGUS"], [b"ABORT"], [b"SAVE", b"NOSAVE"], [b"ABORT", b"NOSAVE"], [b"NOW", b"ABORT"]))


@command(b"DEBUG", 0.3, mutate=False)
def _(g):
    # Without attrib and push, which in RESP3 are more than a reply: tests/server/test_debug.py has them.
    types = (b"string", b"integer", b"double", b"bignum", b"null", b"array", b"set", b"map", b"verbatim", b"true", b"FALSE", b"nosuch")
    return g.pick((
        [b"SLEEP", b"0"], [b"SLEEP", b"0.001"], [b"SET-ACTIVE-EXPIRE", b"1"], [b"set-active-expire", b"1"], [b"OBJECT", b"nosuch-key"], [],
        *([b"PROTOCOL", type_] for type_ in types), [b"PROTOCOL"], [b"ERROR", b"CODE and text"], [b"ERROR", b"ERR\r\ntwo lines"], [b"ERROR"],
        [b"POPULATE", g.pick((b"0", b"1", b"5", b"-1", b"x", b"1.5"))], [b"POPULATE", b"3", g.pick((b"key", b"p", b"a", b""))],
        [b"POPULATE", b"12", b"p", g.pick((b"0", b"3", b"30", b"-1", b"x", b"20000"))], [b"POPULATE"], [b"POPULATE", b"1", b"p", b"5", b"6"],
    ))  # fmt: skip


# --- transactions ---


@command(b"MULTI", 0.5)
def _(g):
    return []


@command(b"EXEC", 1)
def _(g):
    return []


@command(b"DISCARD", 0.4)
def _(g):
    return []


@command(b"WATCH", 0.8)
def _(g):
    return g.keys(3)


@command(b"UNWATCH", 0.4)
def _(g):
    return []


# --- scripts ---


def evaluated(g):
    text, keys, arguments = lua.script(g)
    return [text, b"%d" % len(keys), *keys, *arguments]


@command(b"EVAL", 8, mutate=False)
def _(g):
    return evaluated(g)


@command(b"EVAL_RO", 2, mutate=False)
def _(g):
    return evaluated(g)


@command(b"EVALSHA", 0.5)
def _(g):
    return [b"0" * 40, b"0"]


@command(b"EVALSHA_RO", 0.3)
def _(g):
    return [g.pick((b"", b"x", b"F" * 40)), g.integer()]


@command(b"SCRIPT LOAD", 0.3, mutate=False)
def _(g):
    return [lua.script(g)[0]]


@command(b"SCRIPT EXISTS", 0.3)
def _(g):
    return [b"0" * 40, b"x"]


@command(b"SCRIPT FLUSH", 0.2)
def _(g):
    return g.pick(([], [b"ASYNC"], [b"SYNC"], [b"NOW"]))


@command(b"SCRIPT KILL", 0.2)
def _(g):
    return []


@command(b"SCRIPT BOGUS", 0.1)
def _(g):
    return []


LIBRARIES = (
    b"#!lua name=one\nredis.register_function('f', function(keys, args) return redis.call('SET', keys[1], args[1] or '') end)",
    b"#!lua name=one\nredis.register_function('f', function(keys, args) return {#keys, #args, args} end)\nredis.register_function('g', function() return redis.call('DBSIZE') end)",
    b"#!lua name=two\nredis.register_function{function_name='g', callback=function(keys) return redis.call('MGET', unpack(keys)) end, flags={'no-writes'}, description='reads'}",
    b"#!lua name=bad-name\n", b"#!lua\n", b"#!lua name=none\nreturn 1", b"no library", b"#!lua name=three\nredis.register_function('h', 1)",
)  # fmt: skip


@command(b"FUNCTION LOAD", 0.6, mutate=False)
def _(g):
    return g.pick(([], [b"REPLACE"], [b"replace"], [b"NOSUCH"])) + [g.pick(LIBRARIES)]


@command(b"FUNCTION DELETE", 0.2)
def _(g):
    return [g.pick((b"one", b"two", b"nosuch"))]


@command(b"FUNCTION FLUSH", 0.1)
def _(g):
    return g.pick(([], [b"ASYNC"], [b"SYNC"], [b"NOW"]))


@command(b"FUNCTION STATS", 0.2)
def _(g):
    return []


@command(b"FUNCTION RESTORE", 0.1)
def _(g):
    return g.pick(([b"abc"], [b"abc", b"NOSUCH"], [b"abc", b"APPEND", b"x"], [b""]))


@command(b"FUNCTION BOGUS", 0.1)
def _(g):
    return []


@command(b"FCALL", 1)
def _(g):
    keys = [g.key() for _ in range(g.rng.randint(0, 2))]
    return [g.pick((b"f", b"g", b"f", b"nosuch")), b"%d" % len(keys), *keys, *[g.value() for _ in range(g.rng.randint(0, 2))]]


@command(b"FCALL_RO", 0.6)
def _(g):
    keys = [g.key() for _ in range(g.rng.randint(0, 2))]
    return [g.pick((b"f", b"g", b"g", b"nosuch")), b"%d" % len(keys), *keys]


# --- users ---


@command(b"ACL WHOAMI", 0.3)
def _(g):
    return []


@command(b"ACL GENPASS", 0.3)
def _(g):
    return [] if g.chance(0.3) else [g.integer()]


@command(b"ACL CAT", 0.3)
def _(g):
    return [g.pick((b"nosuch", b"", b"all", b"@read"))]


@command(b"ACL USERS", 0.2)
def _(g):
    return []


@command(b"ACL LIST", 0.2)
def _(g):
    return []


@command(b"ACL GETUSER", 0.3)
def _(g):
    return [g.pick((b"default", *NEW_USERS, b"nobody"))]


@command(b"ACL SETUSER", 0.4)
def _(g):
    rules = (b"on", b"off", b">pw", b"<pw", b"nopass", b"~k*", b"%R~user:*", b"allkeys", b"+get", b"-get", b"+@read", b"-@all", b"(+set ~k1)", b"&news", b"reset", b"nosuch")
    return [g.pick(NEW_USERS), *[g.pick(rules) for _ in range(g.rng.randint(0, 4))]]


@command(b"ACL DELUSER", 0.2)
def _(g):
    return [g.pick(NEW_USERS) for _ in range(g.rng.randint(1, 3))]


@command(b"ACL DRYRUN", 0.3)
def _(g):
    return [g.pick((b"default", *NEW_USERS, b"nobody")), *g.pick(([b"GET", g.key()], [b"MSET", g.key(), b"1"], [b"CONFIG", b"GET", b"x"], [b"nosuch"], [b"GET"], [b"CONFIG"]))]


@command(b"ACL LOG", 0.3)
def _(g):
    return g.pick(([], [b"RESET"], [b"0"], [b"x"], [g.integer()]))


@command(b"ACL", 0.2)
def _(g):
    return g.pick(([], [b"BOGUS"], [b"HELP"], [b"LOAD"], [b"SAVE"], [b"WHOAMI", b"x"], [b"CAT", b"a", b"b"]))


# --- commands nobody knows ---

# None that is a command up to a NUL byte: if the two names share a slot of its hash table, Redis takes one for the other.
UNKNOWN = [b"foo", b"GETT", b"nosuch cmd", b"", b" ", b"a\r\nb", b"\x00", b"\xff", b"x" * 127, b"x" * 128, b"x" * 129, b"x" * 300, b"gett\x00", b"%s%d", b"'q'"]


@command(b"", 0.6, mutate=False)
def _(g):
    return [g.pick(UNKNOWN)] + [g.value() for _ in range(g.rng.choice((0, 1, 2, 3, 10, 40)))]


from . import collection_commands  # noqa: E402  (it registers commands, and needs what is above)
