"""Sets up a race, runs it, and asks after it whether the cache has what the origin has."""

import asyncio
import collections
import contextlib
import time

from . import actors, writers
from .client import Lost, Session
from .model import Family, Model, Violation

# How long may go without what must come, before that counts as a fault: far beyond what any machine needs.
PATIENCE = 60.0

POLICIES = (
    ("races-coalesce", "match", "c*", "coalesce", "50ms", "lease", "100ms"),
    ("races-stale", "match", "s*", "ttl", "500ms", "max-ttl", "500ms", "stale", "300ms", "lease", "100ms", "jitter", "10%", "coalesce", "20ms"),
)
SETTINGS = ("--maxmemory", "12mb", "--maxmemory-clients", "64mb", "--lease-duration", "3000")

CAST = (
    (actors.Reader, 36),
    (actors.ManyReader, 6),
    (actors.Storm, 6),
    (actors.PlainReader, 12),
    (actors.WatchingReader, 5),
    (actors.Impostor, 2),
    (actors.Fidget, 2),
    (actors.Presser, 1),
    (actors.Killer, 1),
    (actors.Operator, 1),
    (writers.Writer, 14),
    (writers.SeveralWriter, 3),
    (writers.GroupWriter, 3),
    (writers.VersionWriter, 4),
)


class Arena:
    """What the actors of one race share."""

    def __init__(self, port, seed, ignored=()):
        self.port, self.seed = port, seed
        self.running = True
        # A stale window ends with the entry: after its TTL and stale window, or 60 s after it was softened if it has neither.
        self.families = {
            "p": Family(b"p", 6, 48, window=62),  # plain commands and CACHE.*
            "c": Family(b"c", 3, 12, window=62),  # the same, while plain readers wait for each other
            "s": Family(b"s", 3, 12, window=1.5, plain_stale=True),  # the same, while plain readers get stale values
            "t": Family(b"t", 6, 30, window=1.0, tagged=True),
            "v": Family(b"v", 1, 10, window=1.0, monotonic=False, versioned=True),
            "w": Family(b"w", 1, 10),  # filled under WATCH
        }
        self.model = Model(list(self.families.values()), ignored)
        self.applied = collections.Counter()  # changes by name
        self.living = set()
        self.control = Session(port)
        self.info = {}

    async def gone(self, lost):
        """Returns when the server has closed a lost connection, so that nothing sent on it will be executed any more."""
        deadline = time.monotonic() + PATIENCE
        while b"id=%d " % lost.client_id in await self.control.call("CLIENT", "LIST", "ID", lost.client_id):
            if time.monotonic() > deadline:
                raise Violation(f"client {lost.client_id} is listed {PATIENCE} s after its connection ended")
            await asyncio.sleep(0.001)

    async def watch(self):
        """Fails when a request is not answered."""
        while self.running:
            await asyncio.sleep(0.5)
            for session in self.living:
                waiting = session.connection.waiting if session.connection else ()
                if waiting and time.monotonic() - waiting[0][1] > PATIENCE:
                    raise Violation(f"no answer for {PATIENCE} s to {waiting[0][2]!r:.200}")

    async def race(self, seconds, until):
        await self.control.connect()
        for policy in POLICIES:
            reply = await self.control.call("CACHE.POLICY", "SET", *policy)
            assert reply == "OK", reply
        cast = [kind(self, f"{kind.__name__}{number}") for kind, count in CAST for number in range(count)]
        tasks = [asyncio.create_task(part) for part in [self.watch(), *(actor.run() for actor in cast)]]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            # A slow machine takes longer.
            deadline = time.monotonic() + 5 * seconds
            while not any(task.done() for task in tasks) and time.monotonic() < deadline:
                self.info = await self.read_info()
                if until(self):
                    break
                await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_EXCEPTION)
            self.running = False
            _, late = await asyncio.wait(tasks, timeout=2 * PATIENCE, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done() and task.exception():
                    raise task.exception()
            if late:
                raise Violation(f"{len(late)} actors do not come to an end")
            await self.settle()
        except Lost:
            raise Violation("the server closed the connection of the one who only looks on") from None
        finally:
            self.running = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.control.close()

    # --- after quiet ---

    async def settle(self):
        """Rule 8: with everybody gone, every key comes to have the origin's version."""
        reader = actors.Reader(self, "last")
        await reader.session.connect()
        deadline = time.monotonic() + PATIENCE
        await asyncio.gather(*(self.settle_key(reader, key, deadline) for key in self.model.keys))
        while True:
            self.info = await self.read_info()
            if self.info["lease_waiters"] == "0" and self.info["leases"] == "0":
                break
            if time.monotonic() > deadline:
                raise Violation(f"with nobody left, {self.info['lease_waiters']} wait and {self.info['leases']} leases are out")
            await asyncio.sleep(0.05)
        reader.session.close()

    async def settle_key(self, reader, key, deadline):
        if key.family.letter == b"w":
            value = await reader.call("GET", key.name)
            if value is not None:
                self.check_settled(key, value)
            return
        while True:
            read = self.model.begin_read(key)
            reply = await reader.call("CACHE.GET", key.name, "LEASE", 5000, "BETA", 0)
            lease = reader.answered(read, reply, 5)
            if lease:
                with contextlib.suppress(actors.Refused):  # for memory
                    await reader.fill(lease, key.version, key.deleted)
            elif reply[0] in (b"hit", "hit"):
                return self.check_settled(key, reply[1])
            elif reply[0] in (b"absent", "absent"):
                if not key.deleted:
                    self.model.fail(key, "rule 8: after quiet it is absent, and the row is there")
                return None
            if time.monotonic() > deadline:
                self.model.fail(key, f"rule 8: {PATIENCE} s after quiet it still has no value: {reply!r:.200}")
            await asyncio.sleep(0.02)

    def check_settled(self, key, value):
        version = self.model.version_of(self.model.begin_read(key), value)
        if version != key.version or key.deleted:
            self.model.fail(key, f"rule 8: after quiet it has version {version}, the origin {'none' if key.deleted else key.version}")

    async def read_info(self):
        text = (await self.control.call("INFO", "everything")).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def race(server, seed, seconds, ignored=(), until=lambda arena: True):
    """Runs a race against a server; the arena, to be asked what happened. Raises Violation, but not of rules that are ignored.

    It takes that many seconds, or up to six times as long where `until` says that something is still to happen.
    """
    arena = Arena(server.port, seed, ignored)
    try:
        asyncio.run(arena.race(seconds, until))
    except Exception as failure:
        time.sleep(0.5)  # for a server that is about to die of what it did
        if server.alive():
            raise
        raise Violation(f"the server died: {server.log()[-8000:]}") from failure
    return arena
