"""Values that are built from each other, by many clients at once, while the rows behind them change.

The origin has rows with versions. A value of level 1 is built from rows, and a value of a higher level from some of the level below, which
the client reads from the cache or builds itself. A value says which version of which row it has, however deep the row is. A writer commits
a new version of a row and then invalidates the row's key with CASCADE.

The rules, which speak only where the order is certain (all clients live in one thread):
 1. A request that begins after an invalidation has ended is not answered with a value that has an older version of the row. It may be
    marked stale, if the invalidation was SOFT.
 2. A value is one that somebody built for this key.
 3. Nothing is refused for ever: fills are accepted, on each level.
 4. After quiet, invalidating all rows leaves nothing, because each value has a row below it.
"""

import asyncio
import collections
import math
import random
import time

from tests.support.resp import ErrorReply

from .client import Lost, Session
from .model import Violation

SETTINGS = ("--maxmemory", "12mb", "--maxmemory-clients", "64mb", "--lease-duration", "2000")
ROWS = 12
LEVELS = 4
KEYS = 10  # of each level above the rows
PATIENCE = 60.0
PAD = 400  # bytes of a value beside what it says, so that some have to be evicted


class Row:
    def __init__(self, number):
        self.name = b"row:%d" % number
        self.version = 1
        self.floor = 1  # the oldest version that a request may be answered with, and
        self.fresh_floor = 1  # the oldest one without a mark
        self.writer = asyncio.Lock()
        self.story = collections.deque(maxlen=40)


class Arena:
    def __init__(self, port, seed):
        self.port, self.seed = port, seed
        self.running = True
        self.rows = [Row(number) for number in range(ROWS)]
        self.keys = [[row.name for row in self.rows]] + [[b"level%d:%d" % (level, number) for number in range(KEYS)] for level in range(1, LEVELS)]
        self.counts = collections.Counter()
        self.control = Session(port)
        self.stories = collections.defaultdict(lambda: collections.deque(maxlen=30))
        self.info = {}

    def tell(self, key, *words):
        self.stories[key].append((round(time.monotonic(), 4), *words))

    def fail(self, key, problem, rows=()):
        lines = [problem, *(f"  {key.decode()} {words}" for words in self.stories[key])]
        lines += [f"  {row.name.decode()} {words}" for row in rows for words in row.story]
        raise Violation("\n".join(lines))

    # --- values: {number of the row: version} ---

    def encode(self, key, built):
        text = b",".join(b"%d:%d" % item for item in sorted(built.items()))
        return b"%s|%s|" % (key, text) + b"x" * PAD

    def decode(self, key, value):
        name, text, _ = value.split(b"|", 2)
        if not name.startswith(b"level" if key.startswith(b"level") else b"row"):
            self.fail(key, f"rule 2: {value[:80]!r} was not built for {key!r}")
        return {int(row): int(version) for row, version in (item.split(b":") for item in text.split(b","))}

    def begin(self):
        return [(row.floor, row.fresh_floor) for row in self.rows]

    def saw(self, key, value, floors, stale):
        built = self.decode(key, value)
        self.counts["stale values" if stale else f"values of {key.split(b':')[0].decode()}"] += 1
        for number, version in built.items():
            floor, fresh_floor = floors[number]
            if version < (floor if stale else fresh_floor):
                self.fail(key, f"rule 1: row {number} in version {version}, when none below {fresh_floor} (stale: {floor}) could be", [self.rows[number]])
        return built

    async def race(self, seconds, until, clients):
        await self.control.connect()
        cast = [Builder(self, number) for number in range(clients)] + [Writer(self, 1000 + number) for number in range(4)] + [Fidget(self, 2000 + number) for number in range(3)]
        tasks = [asyncio.create_task(actor.run()) for actor in cast]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            deadline = time.monotonic() + 5 * seconds
            while not any(task.done() for task in tasks) and time.monotonic() < deadline:
                self.info = await self.read_info()
                if until(self):
                    break
                await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_EXCEPTION)
            self.running = False
            _, late = await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done() and task.exception():
                    raise task.exception()
            if late:
                raise Violation(f"{len(late)} actors do not come to an end")
            await self.settle()
            self.info = await self.read_info()
        except Lost:
            raise Violation("the server closed the connection of the one who only looks on") from None
        finally:
            self.running = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for session in [self.control, *(actor.session for actor in cast)]:
                session.close()

    async def settle(self):
        """Rule 4."""
        for row in self.rows:
            await self.control.call("CACHE.INVALIDATE", 1, row.name, "CASCADE")
        for key in [key for level in self.keys for key in level]:
            status, value, _, _ = await self.control.call("CACHE.GET", key, "LEASE", 0)
            if status not in (b"miss", "miss"):
                self.fail(key, f"rule 4: after quiet there is {value!r:.80}")

    async def read_info(self):
        text = (await self.control.call("INFO", "everything")).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class Actor:
    def __init__(self, arena, number):
        self.arena = arena
        self.random = random.Random(f"{arena.seed} {number}")
        self.session = Session(arena.port)

    async def run(self):
        while self.arena.running:
            try:
                await self.act()
            except Lost:
                self.arena.counts["connections lost"] += 1

    async def call(self, *command):
        reply = await self.session.call(*command)
        if isinstance(reply, ErrorReply):
            # Purges may be refused for a moment, and what there is no memory for.
            if not str(reply).startswith(("OOM", "ERR too many purges")):
                raise Violation(f"{command!r:.200}: {reply}")
            self.arena.counts[str(reply)[:30]] += 1
            return None
        return reply

    async def pause(self):
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.random() * 0.004)


class Builder(Actor):
    async def act(self):
        level = self.random.randrange(1, LEVELS)
        await self.get(level, self.random.choice(self.arena.keys[level]))
        await asyncio.sleep(0)

    async def get(self, level, key):
        """A value of this key, from the cache or built, and what whoever builds from it has to name."""
        arena = self.arena
        floors = arena.begin()
        reply = await self.call("CACHE.GET", key, "LEASE", 2000, *(("WAIT", 20) if self.random.random() < 0.2 else ()))
        status, value, token, _ = reply
        status = status.decode() if isinstance(status, bytes) else status
        if value is not None:
            built = arena.saw(key, value, floors, status == "stale")
            if not token or self.random.random() < 0.3:  # whoever is chosen to refresh may take the old value all the same
                if token:
                    await self.call("CACHE.RELEASE", key, token)
                return built, [key]
        return await self.build(level, key, token)

    async def build(self, level, key, token):
        arena = self.arena
        if level == 0:
            number = int(key.split(b":")[1])
            built, named = {number: arena.rows[number].version}, []
        else:
            built, named = {}, []
            for parent in self.random.sample(arena.keys[level - 1], self.random.randint(1, 3)):
                # Some read rows from the origin, whose keys need not hold anything.
                if level == 1 and self.random.random() < 0.5:
                    number = int(parent.split(b":")[1])
                    part, of_part = {number: arena.rows[number].version}, [parent]
                else:
                    part, of_part = await self.get(level - 1, parent)
                for number, version in part.items():
                    built[number] = min(version, built.get(number, math.inf))
                named += of_part
                await self.pause()
        if level == 0:
            named = [key]  # an entry of a row's key is invalidated by its name
        if token and await self.fill(level, key, built, named, token):
            return built, [key]
        # It is in no entry, so what it was built from is named.
        return built, named

    async def fill(self, level, key, built, named, token):
        arena = self.arena
        await self.pause()
        names = sorted(set(named)) if level else []
        depends = ("DEPENDS", len(names), *names) if names else ()
        lasting = ("PX", self.random.choice((30, 300, 3000))) if self.random.random() < 0.3 else ()
        stale = ("STALE", 200) if lasting and self.random.random() < 0.5 else ()
        arena.tell(key, "fill", token, dict(sorted(built.items())), names)
        stored = await self.call("CACHE.SET", key, arena.encode(key, built), "TOKEN", token, *lasting, *stale, *depends)
        arena.tell(key, "stored" if stored else "refused", token)
        arena.counts[f"fills of level {level} {'accepted' if stored else 'refused'}"] += 1
        return bool(stored)


class Writer(Actor):
    async def act(self):
        arena = self.arena
        row = self.random.choice(arena.rows)
        async with row.writer:
            row.version += 1
            version = row.version
            await self.pause()
            soft = self.random.random() < 0.3
            row.story.append((round(time.monotonic(), 4), "invalidate", version, "SOFT" if soft else ""))
            words = ["CASCADE", "SOFT"] if soft else ["CASCADE"]
            self.random.shuffle(words)
            while await self.call("CACHE.INVALIDATE", 1, row.name, *words) is None:
                await asyncio.sleep(0.01)
            arena.counts["soft invalidations" if soft else "invalidations"] += 1
            row.fresh_floor = version
            if not soft:
                row.floor = version
            row.story.append((round(time.monotonic(), 4), "invalidated", version))
        await asyncio.sleep(self.random.random() * 0.03)


class Fidget(Actor):
    """Removes, copies and renames entries, and takes the memory that they need."""

    async def act(self):
        level = self.random.randrange(1, LEVELS)
        key, other = self.random.sample(self.arena.keys[level], 2)
        what = self.random.randrange(8)
        if what < 2:
            await self.call("DEL", key)
        elif what == 2:
            await self.call("COPY", key, other, "REPLACE")
        elif what == 3:
            await self.session.call("RENAME", key, other)
        elif what == 4:
            await self.call("CACHE.INVALIDATE", 1, key, *(["CASCADE"] if self.random.random() < 0.3 else []))
        elif what == 5:
            await self.call("PEXPIRE", key, self.random.choice((1, 20)))
        else:
            for _ in range(40):
                await self.call("SET", b"ballast:%d" % self.random.randrange(4000), b"x" * 8000)
        self.arena.tell(key, "fidget", what, other)
        await asyncio.sleep(self.random.random() * 0.01)


def race(server, seed, seconds, until=lambda arena: True, clients=30):
    """Runs a race against a server; the arena, to be asked what happened. Raises Violation."""
    arena = Arena(server.port, seed)
    try:
        asyncio.run(arena.race(seconds, until, clients))
    except Exception as failure:
        time.sleep(0.5)  # for a server that is about to die of what it did
        if server.alive():
            raise
        raise Violation(f"the server died: {server.log()[-8000:]}") from failure
    return arena
