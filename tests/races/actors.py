"""Who takes part: each actor has a connection of its own, which it may lose at any time, and its own random numbers."""

import asyncio
import itertools
import random
import time

from tests.support.resp import ErrorReply

from .client import Lost, Session
from .model import Outcome

# Seconds that the origin takes: mostly little, sometimes longer than the shorter leases last.
LOADS = (0.0, 0.0, 0.001, 0.003, 0.01, 0.03, 0.15)
VERY_SLOW = 1.5  # beyond all doubt longer than the shorter leases
LEASES_MS = (60, 150, 5000, 5000)
# Records of a value; most are small, some are large enough to be kept apart from the log.
LENGTHS = (1, 1, 1, 2, 5, 20, 60) * 6 + (300, 700)


class Refused(Exception):
    """An error reply that may be given, such as OOM: nothing was done."""


class Actor:
    pause = 0.02  # seconds between steps, at most

    def __init__(self, arena, name):
        self.arena, self.model, self.name = arena, arena.model, name
        self.rng = random.Random(f"{arena.seed}:{name}")
        self.session = Session(arena.port, arena.living, self.rng.choice((2, 3)))

    async def run(self):
        while self.arena.running:
            try:
                await self.step()
            except Lost:
                self.model.counts["connections lost"] += 1
            except Refused as refused:
                self.model.counts[f"refused: {str(refused)[:40]}"] += 1
            await asyncio.sleep(self.rng.random() * self.pause)
        self.session.close()

    async def step(self):
        raise NotImplementedError

    async def ask(self, commands):
        self.model.counts["requests"] += len(commands)
        return await self.session.ask(commands)

    async def call(self, *command):
        return (await self.ask([command]))[0]

    async def transaction(self, commands, watching=None):
        self.model.counts["requests"] += len(commands) + 2
        return await self.session.transaction(commands, watching)

    def key(self, families):
        """A few keys of each family are hot."""
        family = self.arena.families[self.rng.choice(families)]
        return family.keys[int(len(family.keys) * self.rng.random() ** 3)]

    def plainly_answered(self, read, reply):
        """Judges the answer to a plain command that returns a value."""
        if isinstance(reply, ErrorReply):
            raise Refused(reply)
        if reply:  # GETRANGE says that there is nothing with an empty string
            self.model.saw_value(read, reply, stale=read.key.family.plain_stale, how="GET")

    def value(self, key, version):
        return key.record(version) * self.rng.choice(LENGTHS)

    async def load(self, key):
        """What a cache-aside client does after a miss; somewhere within that time the row is read."""
        await asyncio.sleep(self.rng.choice(LOADS))
        version, deleted = key.version, key.deleted
        await asyncio.sleep(self.rng.choice(LOADS))
        return version, deleted


class Reader(Actor):
    """CACHE.GET, and whoever gets a token loads and fills, or fails to in one of the ways in which clients do."""

    families = "ppccsttvv"

    def lease_options(self):
        milliseconds = self.rng.choice(LEASES_MS)
        return milliseconds / 1000, ["LEASE", milliseconds]

    async def step(self):
        key = self.key(self.families)
        seconds, options = self.lease_options()
        if self.rng.random() < 0.5:
            options += ["WAIT", self.rng.choice((5, 50, 1000))]
        if self.rng.random() < 0.5:
            options += ["BETA", self.rng.choice(("0", "1", "1000"))]
        read = self.model.begin_read(key)
        reply = await self.call("CACHE.GET", key.name, *options)
        lease = self.answered(read, reply, seconds)
        if lease:
            await self.use(lease)

    def answered(self, read, reply, seconds):
        """Judges the answer of a CACHE.GET; the lease, if there is one."""
        if isinstance(reply, ErrorReply):
            raise Refused(reply)
        status, value, token, _ = reply
        if status in (b"hit", "hit"):
            self.model.saw_value(read, value)
        elif status in (b"stale", "stale"):
            self.model.saw_value(read, value, stale=True)
        elif status in (b"absent", "absent"):
            self.model.saw_absent(read)
        elif status not in (b"miss", "miss"):
            self.model.fail(read.key, f"an answer of an unknown kind: {reply!r}")
        return self.model.saw_token(read, token, seconds) if token else None

    async def use(self, lease):
        what = self.rng.random()
        if what < 0.04:
            return  # the client died
        if what < 0.08:
            await self.load(lease.key)
            return await self.release(lease)
        if what < 0.12:
            await self.renew(lease)
        version, deleted = await self.load(lease.key)
        if what < 0.14 and lease.dead_after < time.monotonic() + VERY_SLOW:
            await asyncio.sleep(VERY_SLOW)
        if what > 0.96:
            self.session.drop(reset=self.rng.random() < 0.5)  # another connection fills
        await self.fill(lease, version, deleted)
        if what > 0.94:
            await self.fill(lease, version, deleted)  # once too often

    def fill_command(self, key, version, deleted, token):
        command = ["CACHE.ABSENT", key.name] if deleted else ["CACHE.SET", key.name, self.value(key, version)]
        command += ["TOKEN", token]
        if key.family.window < 60 or self.rng.random() < 0.7:
            command += ["PX", self.rng.choice((50, 200, 500))]
            if not deleted and not key.family.versioned and not key.family.plain_stale and self.rng.random() < 0.5:
                command += ["STALE", self.rng.choice((100, 400))]
        if key.family.versioned:
            command += ["VERSION", version]
        if key.family.tagged:
            command += ["TAGS", 1, key.tag]
        return command

    async def fill(self, lease, version, deleted):
        use = self.model.begin_use(lease, "fill", version)
        try:
            reply = await self.call(*self.fill_command(lease.key, version, deleted, lease.token))
        except Lost as lost:
            await self.arena.gone(lost)
            self.model.give_up(use)
            raise
        if isinstance(reply, ErrorReply):
            self.model.give_up(use)
            raise Refused(reply)
        # Whether a version is newer depends on what others stored.
        self.model.end_use(use, reply == "OK", may_refuse=lease.key.family.versioned)

    async def release(self, lease):
        options = ["RETRY", self.rng.choice((10, 100))] if self.rng.random() < 0.3 else []
        use = self.model.begin_use(lease, "release")
        try:
            reply = await self.call("CACHE.RELEASE", lease.key.name, lease.token, *options)
        except Lost as lost:
            await self.arena.gone(lost)
            self.model.give_up(use)
            raise
        self.model.end_use(use, reply == 1)

    async def renew(self, lease):
        milliseconds = self.rng.choice(LEASES_MS)
        use = self.model.begin_renewal(lease, milliseconds / 1000)
        reply = await self.call("CACHE.RENEW", lease.key.name, lease.token, milliseconds)
        self.model.end_renewal(use, reply == 1, milliseconds / 1000)


class ManyReader(Reader):
    """CACHE.MGET: several keys, several tokens."""

    async def step(self):
        keys = list({self.key(self.families) for _ in range(self.rng.randrange(2, 7))})
        seconds, options = self.lease_options()
        reads = [self.model.begin_read(key) for key in keys]
        replies = await self.call("CACHE.MGET", len(keys), *(key.name for key in keys), *options)
        if isinstance(replies, ErrorReply):
            raise Refused(replies)
        leases = [self.answered(read, reply, seconds) for read, reply in zip(reads, replies)]
        for lease in leases:
            if lease:
                await self.use(lease)


class Storm(Reader):
    """Many requests for the hottest keys in one write, so that the server's threads meet at the same entries."""

    families = "pptv"

    async def step(self):
        keys = [self.key(self.families) for _ in range(self.rng.choice((4, 16)))]
        reads, commands, leased = [], [], []
        for key in keys:
            kind = self.rng.random()
            seconds, options = self.lease_options()
            if kind < 0.3:
                commands.append(("GET", key.name))
            elif kind < 0.6:
                commands.append(("CACHE.GET", key.name, "LEASE", 0))
            else:
                commands.append(("CACHE.GET", key.name, *options))
            reads.append((self.model.begin_read(key), kind, seconds))
        for (read, kind, seconds), reply in zip(reads, await self.ask(commands)):
            if kind < 0.3:
                self.plainly_answered(read, reply)
            elif (lease := self.answered(read, reply, seconds)) is not None:
                if kind < 0.6:
                    self.model.fail(read.key, f"a token for LEASE 0: {reply!r}")
                leased.append(lease)
        for lease in leased:
            await self.fill(lease, lease.key.version, lease.key.deleted)


class PlainReader(Actor):
    """Commands of Redis that return values; they fill nothing in, because nothing would protect that."""

    families = "ppccsstvw"

    async def step(self):
        keys = [self.key(self.families) for _ in range(self.rng.choice((1, 1, 1, 5)))]
        reads = [self.model.begin_read(key) for key in keys]
        if len(keys) > 1:
            commands = [("MGET", *(key.name for key in keys))]
            replies = await self.call(*commands[0])
            if isinstance(replies, ErrorReply):
                raise Refused(replies)
        else:
            name = keys[0].name
            commands = [("GET", name), ("GET", name), ("GETRANGE", name, 0, -1), ("SUBSTR", name, 0, -1)]
            if keys[0].family.letter in b"pc":
                commands.append(("GETEX", name, "PX", self.rng.choice((100, 2000))))
            replies = [await self.call(*self.rng.choice(commands))]
        for read, reply in zip(reads, replies):
            self.plainly_answered(read, reply)


class WatchingReader(Actor):
    """Cache-aside as it is done without leases: the fill depends on WATCH."""

    async def step(self):
        key = self.key("w")
        read = self.model.begin_read(key)
        _, value = await self.ask([("WATCH", key.name), ("GET", key.name)])
        watching = self.session.client_id
        self.plainly_answered(read, value)
        if value is not None:
            return await self.ask([("UNWATCH",)])
        version, _ = await self.load(key)
        reply = await self.transaction([("SET", key.name, self.value(key, version), "PX", self.rng.choice((50, 200, 500)))], watching)
        if isinstance(reply, ErrorReply):
            raise Refused(reply)
        self.model.tell(key, "fill under WATCH", version, "refused" if reply is None else "accepted")
        self.model.counts["fills under WATCH " + ("refused" if reply is None else "accepted")] += 1


class Impostor(Reader):
    """Fills with tokens of other keys, of old leases and of nobody. None may be taken, and the true holder not be harmed."""

    async def step(self):
        key, other = self.key(self.families), self.key(self.families)
        if key is other or key.newest_token < 2 or not other.newest_token:
            return
        token = self.rng.choice((1, key.newest_token - 1, other.newest_token, 2**53 - 1))
        command = self.fill_command(key, 1, False, token)
        reply = await self.call(*command)
        if isinstance(reply, ErrorReply):
            raise Refused(reply)
        if reply is not None:
            self.model.fail(key, f"rule 5: a fill with token {token} was accepted, which was never given for this key")
        released, renewed = await self.ask([("CACHE.RELEASE", key.name, token), ("CACHE.RENEW", key.name, token, 1000)])
        if (released, renewed) != (0, 0):
            self.model.fail(key, f"rule 5: token {token} of nobody was released or renewed: {released} {renewed}")
        self.model.counts["fills of impostors refused"] += 1


class Fidget(Actor):
    """Changes deadlines, which voids nothing, and looks at everything."""

    async def step(self):
        name = self.key("pc").name
        anything = self.key("pcstv").name
        deadlines = [("EXPIRE", name, 1), ("PEXPIRE", name, 30), ("PEXPIRE", name, 400, "GT"), ("PERSIST", name)]
        deadlines += [("GETEX", name, "PERSIST"), ("GETEX", name, "EX", 1)]
        looks = [(command, anything) for command in ("CACHE.INSPECT", "PTTL", "EXISTS", "TOUCH", "STRLEN", "TTL")]
        looks += [("OBJECT", "FREQ", anything), ("MEMORY", "USAGE", anything), ("CACHE.POLICY", "MATCH", anything)]
        looks += [("SCAN", 0, "COUNT", 20), ("RANDOMKEY",), ("INFO", "cache"), ("CACHE.POLICY", "LIST")]
        await self.ask([self.rng.choice(deadlines), self.rng.choice(looks), self.rng.choice(looks)])


class Presser(Actor):
    """Fills the memory, so that entries are evicted all the time."""

    pause = 0.01

    async def step(self):
        await self.ask([("SET", b"junk:%d" % self.rng.randrange(1 << 20), bytes(size)) for size in (500, 1000, 2000, 30_000, 100_000)])


class Killer(Actor):
    """Ends connections, in one way or the other, and waits of clients."""

    pause = 0.02

    async def step(self):
        victims = sorted(self.arena.living - {self.session}, key=lambda session: session.client_id)
        if not victims:
            return
        victim = self.rng.choice(victims)
        way = self.rng.random()
        if way < 0.4:
            await self.call("CLIENT", "KILL", "ID", victim.client_id)
        elif way < 0.7:
            victim.drop(reset=way < 0.55)
        else:
            await self.call("CLIENT", "UNBLOCK", victim.client_id, *self.rng.choice(((), ("TIMEOUT",), ("ERROR",))))


class Operator(Actor):
    """What an operator may do to a server in use."""

    pause = 0.2

    def __init__(self, arena, name):
        super().__init__(arena, name)
        # Nothing stays in the database that the keys are swapped with.
        swap = [("SWAPDB", "0", "1"), ("SELECT", "1"), ("FLUSHDB",), ("SELECT", "0")]
        self.flushes = itertools.cycle(([("FLUSHALL",)], swap, [("FLUSHDB",)], [("CACHE.PURGE", "PREFIX", "p")], [("FLUSHALL", "ASYNC")], swap))

    async def step(self):
        what = self.rng.random()
        if what < 0.1:
            await self.flush(next(self.flushes))
        elif what < 0.5:
            await self.call("CONFIG", "SET", "maxmemory-policy", self.rng.choice(("allkeys-lfu", "allkeys-lru", "allkeys-random")))
        elif what < 0.7:
            await self.call("CLIENT", "PAUSE", 10, self.rng.choice(("ALL", "WRITE")))
        elif what < 0.75:
            await self.call("MEMORY", "PURGE")
        elif what < 0.85:
            await self.switch()
        else:
            await self.call("CACHE.POLICY", "SET", "races-other", "match", "other:*", "ttl", f"{self.rng.randrange(1, 9)}s")

    async def switch(self):
        """Turns a switch for an incident on for a while. Then writes may store nothing, and under bypass leases may be void, or tokens be none's."""
        by_setting = [(["CONFIG", "SET", "bypass"], "yes", "no"), (["CONFIG", "SET", "admit"], "30", "100")]
        by_policy = [(["CACHE.POLICY", "SET", "races-coalesce", field], on, off) for field, on, off in (("bypass", "yes", "no"), ("admit", "30%", "100%"))]
        command, on, off = self.rng.choice(by_setting + by_policy)
        # Nothing is said of leases meanwhile; of versions everything.
        change = self.model.begin_change([key for family in self.arena.families.values() for key in family.keys], " ".join(command[2:]))
        try:
            if await self.surely(*command, on) == "OK":
                self.model.counts[f"{command[-1]} turned on"] += 1
            await asyncio.sleep(self.rng.choice((0.005, 0.05, 0.2)))
        finally:
            await self.surely(*command, off)
            self.model.end_change(change, Outcome.NOTHING)

    async def surely(self, *command):
        while True:
            try:
                return await self.call(*command)
            except Lost as lost:
                await self.arena.gone(lost)

    async def flush(self, commands):
        """Whatever was committed until now is in force after it. Nothing was committed for its sake, so a lost one is not repeated."""
        what = " ".join(commands[0])
        families = "p" if what == "CACHE.PURGE PREFIX p" else "pcst"
        change = self.model.begin_change([key for letter in families for key in self.arena.families[letter].keys], what)
        # Nothing keeps a version from being stored that its writer is still about to write. (And WATCH does not notice that
        # nothing is flushed: of keys that are filled under it nothing is said here.)
        versioned = self.model.begin_change(self.arena.families["v"].keys if families != "p" else [], what)
        outcome = Outcome.NOTHING
        try:
            reply = await self.transaction(commands) if len(commands) > 1 else [await self.call(*commands[0])]
            if isinstance(reply, list) and reply[0] == "OK":
                outcome = Outcome.REMOVED
                self.model.counts[what] += 1
            else:
                self.model.counts[f"refused: {what}: {reply}"] += 1
        except Lost as lost:
            await self.arena.gone(lost)
            raise
        finally:
            self.model.end_change(change, outcome)
            self.model.end_change(versioned, Outcome.NOTHING if outcome is Outcome.NOTHING else Outcome.WRITTEN)
