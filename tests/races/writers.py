"""Who changes rows: commit to the origin, then make the cache follow, and again until that has surely happened."""

import asyncio
import contextlib

from tests.support.resp import ErrorReply

from . import writes
from .actors import Actor, Refused
from .client import Lost
from .model import Outcome

GAPS = (0.0, 0.0, 0.0, 0.002, 0.02)  # seconds between two steps of a writer
DONE = (Outcome.INSTALLED, Outcome.REMOVED, Outcome.SOFTENED)
SURE = {b"p": writes.REMOVALS[0], b"c": writes.REMOVALS[1], b"s": writes.INVALIDATE, b"t": writes.INVALIDATE, b"w": writes.INSTALLS[0]}


def removal_of(model, keys, soft=False):
    """How the reply of a removal is read: it depends on no condition, so an error is a fault."""

    def outcome(reply):
        if isinstance(reply, ErrorReply):
            if "too many purges" in reply:
                return Outcome.NOTHING
            model.fail(keys[0], f"a removal was refused: {reply}")
        return Outcome.SOFTENED if soft else Outcome.REMOVED

    return outcome


class Changer(Actor):
    async def change(self, keys, what, request, outcome_of, versions=None):
        """One attempt: the outcome, NOTHING if the connection was lost."""
        change = self.model.begin_change(keys, what, versions)
        outcome = Outcome.NOTHING
        try:
            outcome = outcome_of(await request)
        except Lost as lost:
            await self.arena.gone(lost)
        finally:
            self.model.end_change(change, outcome)
        if outcome is not Outcome.NOTHING:
            self.arena.applied[what] += 1
        return outcome

    @contextlib.asynccontextmanager
    async def turns(self, keys):
        """The turns to write all of these, taken in the order of names so that nobody waits in a circle."""
        async with contextlib.AsyncExitStack() as stack:
            for key in sorted(keys, key=lambda key: key.name):
                await stack.enter_async_context(key.writer)
            yield


class Writer(Changer):
    """One key, by any command that writes."""

    families = "ppppccsttw"

    async def step(self):
        key = self.key(self.families)
        async with key.writer:
            deleted = key.family.letter != b"w" and self.rng.random() < 0.1
            self.model.commit(key, deleted)
            await asyncio.sleep(self.rng.choice(GAPS))
            table = {b"t": writes.TAGGED, b"w": writes.WATCHED}.get(key.family.letter, writes.PLAIN)[deleted]
            await self.write(key, self.rng.choice(table))

    async def write(self, key, write):
        garbling = write in writes.GARBLES + writes.COLLECTIONS
        if garbling:
            self.model.begin_garbling(key)
        outcome = await self.attempt(key, write)
        if outcome is Outcome.WRITTEN:
            await asyncio.sleep(self.rng.choice(GAPS))  # for late fills to be refused
        while outcome not in DONE:
            outcome = await self.attempt(key, SURE[key.family.letter])
        if garbling:
            self.model.end_garbling(key)

    async def attempt(self, key, write):
        target = writes.Target(
            name=key.name, value=self.value(key, key.version), record=key.record(key.version), old=b"",
            spare=b"spare:" + self.name.encode(), tag=key.tag, ttl=self.rng.choice((50, 200, 500)),
        )  # fmt: skip
        if write.needs_old:
            read = self.model.begin_read(key)
            try:
                target.old = await self.call("GET", key.name) or b""
                self.plainly_answered(read, target.old)
            except (Lost, Refused):
                return Outcome.NOTHING
        commands = write.commands(target)
        read = self.model.begin_read(key)

        def outcome(reply):
            if write.returns_value and isinstance(reply, bytes):
                self.model.saw_value(read, reply, stale=key.family.plain_stale, how=write.what)
            return write.outcome(reply)

        return await self.change([key], write.what, self.transaction(commands) if len(commands) > 1 else self.call(*commands[0]), outcome)


class SeveralWriter(Changer):
    """A few keys at once."""

    async def step(self):
        letter = self.rng.choice("ppcst")
        keys = list({self.key(letter) for _ in range(self.rng.randrange(2, 5))})
        async with self.turns(keys):
            for key in keys:
                self.model.commit(key)
            names = [key.name for key in keys]
            values = [part for key in keys for part in (key.name, self.value(key, key.version))]
            commands = [("DEL", *names), ("UNLINK", *names), ("CACHE.INVALIDATE", len(names), *names), ("CACHE.INVALIDATE", len(names), *names, "SOFT")]
            if letter != "t":
                commands += [("MSET", *values), ("MSETNX", *values), ("MSETEX", len(names), *values, "PX", 300)]
            command = self.rng.choice(commands)
            what = f"{command[0]} of several" + (" SOFT" if command[-1] == "SOFT" else "")

            def outcome(reply):
                if isinstance(reply, ErrorReply) or (command[0] in ("MSETNX", "MSETEX") and reply != 1):
                    return Outcome.NOTHING
                return Outcome.SOFTENED if command[-1] == "SOFT" else Outcome.REMOVED

            done = await self.change(keys, what, self.call(*command), outcome)
            while done not in DONE:
                done = await self.change(keys, "DEL of several", self.call("DEL", *names), removal_of(self.model, keys))


class GroupWriter(Changer):
    """All keys with a tag, or all that begin alike; sometimes without a change at the origin."""

    pause = 0.05

    async def step(self):
        family = self.arena.families[self.rng.choice("pcsttt")]
        number = self.rng.randrange(family.groups)
        keys = family.group(number)
        if self.rng.random() < 0.4:
            return await self.purge(keys)
        async with self.turns(keys):
            for key in keys:
                self.model.commit(key, self.rng.random() < 0.1)
            await asyncio.sleep(self.rng.choice(GAPS))
            while await self.purge(keys) is Outcome.NOTHING:
                pass

    async def purge(self, keys):
        what = ["CACHE.PURGE", "TAGS", 1, keys[0].tag] if keys[0].family.tagged else ["CACHE.PURGE", "PREFIX", keys[0].name.partition(b":")[0] + b":"]
        if what[1] == "TAGS" and self.rng.random() < 0.2:
            what[2:] = [2, b"no such tag", keys[0].tag]
        options = self.rng.choice(([], [], [], ["SOFT"], ["SYNC"]))
        outcome = removal_of(self.model, keys, soft="SOFT" in options)
        return await self.change(keys, " ".join(["CACHE.PURGE", what[1], *options]), self.call(*what, *options), outcome)


class VersionWriter(Changer):
    """Takes no turns: older versions are refused, however late they come."""

    async def step(self):
        key = self.key("v")
        version = self.model.commit(key)
        await asyncio.sleep(self.rng.choice(GAPS))
        soft = self.rng.random() < 0.2
        await self.invalidate(key, version, soft)
        await asyncio.sleep(self.rng.choice(GAPS))
        if self.rng.random() < 0.7:
            command = ("CACHE.SET", key.name, self.value(key, version), "PX", self.rng.choice((50, 200, 500)), "VERSION", version)
            await self.change([key], "CACHE.SET VERSION", self.call(*command), lambda reply: Outcome.WRITTEN if reply == "OK" else Outcome.NOTHING)
        elif self.rng.random() < 0.3:
            await self.change([key], "DEL", self.call("DEL", key.name), lambda reply: Outcome.WRITTEN)

    async def invalidate(self, key, version, soft):
        """Until it was answered. What it puts in force is this writer's version, not what others have committed since."""
        what = "CACHE.INVALIDATE VERSION" + (" SOFT" if soft else "")
        command = ["CACHE.INVALIDATE", 1, key.name, "VERSION", version - 1] + (["SOFT"] if soft else [])
        while await self.change([key], what, self.call(*command), removal_of(self.model, [key], soft), [version]) is Outcome.NOTHING:
            pass
