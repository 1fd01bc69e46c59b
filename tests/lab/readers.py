"""How an instance of the service reads through the cache: each class adds one layer of protection to the one it extends.

An instance answers many requests at once, so everything here is asyncio.
"""

import asyncio
import math
import random
import secrets
import time
from typing import NamedTuple

LOCK_POLL_SECONDS = 0.05


class Busy(Exception):
    """There is no value, and none may be loaded now."""


class OriginFailed(Exception):
    """The origin did not answer in time."""


class Answer(NamedTuple):
    """`source`: hit and stale come from the cache, absent is a cached "does not exist"; miss was loaded for this request,
    wait means that the request waited for a load that another had begun."""

    source: str
    row: bytes | None


class CacheAside:
    """No protection: look, load what is missing, store it."""

    def __init__(self, cache, origin, settings):
        self.cache = cache
        self.origin = origin
        self.settings = settings
        self.loads = []  # (began, seconds, key, reason, ms that the cached value still had)
        self.loading = 0
        self.background = set()

    async def read(self, key):
        return await self.lookup(key) or await self.rebuild(key)

    async def lookup(self, key):
        packed = await self.cache.get(key)
        return None if packed is None else self.unpack(packed)

    async def rebuild(self, key, reason="miss", left_ms=0):
        began = time.monotonic()
        row = await self.load(key, reason, left_ms)
        await self.store(key, row, time.monotonic() - began)
        return Answer("miss", row)

    async def load(self, key, reason, left_ms=0):
        """None if the origin has no such row."""
        if self.settings.gate and self.loading >= self.settings.gate:
            raise Busy
        began = time.monotonic()
        self.loading += 1
        try:
            reply = await self.origin.get("/row/" + key, self.settings.origin_timeout_ms / 1000)
        except TimeoutError:
            raise OriginFailed from None
        finally:
            self.loading -= 1
        self.loads.append((began, time.monotonic() - began, key, reason, left_ms))
        return reply.body if reply.status == 200 else None

    async def store(self, key, row, load_seconds):
        if row is not None:
            fresh_ms = self.fresh_ms()
            await self.cache.set(key, self.pack(row, fresh_ms, load_seconds), px=self.keep_ms(fresh_ms))

    def fresh_ms(self):
        return self.settings.ttl_ms

    def keep_ms(self, fresh_ms):
        return fresh_ms

    def pack(self, row, fresh_ms, load_seconds):
        return row

    def unpack(self, packed):
        return Answer("hit", packed)

    def later(self, work):
        """Does it in the background; if it fails, the next reader that finds the value old tries again."""

        async def quietly():
            try:
                await work
            except (Busy, OriginFailed):
                pass

        task = asyncio.ensure_future(quietly())
        self.background.add(task)
        task.add_done_callback(self.background.discard)


class SingleFlight(CacheAside):
    """One rebuild per key and instance: whoever comes while it runs waits for it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.flights = {}

    async def rebuild(self, key, reason="miss", left_ms=0):
        flight = self.flights.get(key)
        if flight is not None:
            answer = await flight
            return Answer("wait", answer.row)
        flight = self.flights[key] = asyncio.ensure_future(self.rebuild_alone(key, reason, left_ms))
        flight.add_done_callback(lambda _: self.flights.pop(key))
        return await flight

    async def rebuild_alone(self, key, reason, left_ms):
        return await super().rebuild(key, reason, left_ms)


# The lock is released only by its holder: its value may by now be that of another.
UNLOCK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class Locked(SingleFlight):
    """One rebuild per key and fleet, by a lock that the clients keep in the cache; the others poll."""

    async def rebuild_alone(self, key, reason, left_ms):
        lock, mine = "lock:" + key, secrets.token_hex(8)
        give_up = time.monotonic() + self.settings.wait_ms / 1000
        while not await self.cache.set(lock, mine, nx=True, px=self.settings.lock_ms):
            if found := await self.lookup(key):
                return found if found.source == "stale" else Answer("wait", found.row)
            if time.monotonic() > give_up:
                raise Busy
            await asyncio.sleep(LOCK_POLL_SECONDS)
        try:
            # Somebody may have filled it between this reader's miss and its lock.
            found = await self.lookup(key)
            if found and found.source != "stale":
                return Answer("wait", found.row)
            return await super().rebuild_alone(key, reason, left_ms)
        finally:
            await self.cache.eval(UNLOCK, 1, lock, mine)


class StaleWhileRevalidate(Locked):
    """A value is kept for longer than it is fresh; whoever finds it stale is answered at once and has it rebuilt."""

    async def read(self, key):
        answer = await super().read(key)
        if answer.source == "stale":
            self.later(self.rebuild(key, "stale"))
        return answer

    def keep_ms(self, fresh_ms):
        return fresh_ms + self.settings.stale_ms

    def pack(self, row, fresh_ms, load_seconds):
        return b"%d:%b" % (time.time() * 1000 + fresh_ms, row)

    def unpack(self, packed):
        fresh_until, _, row = packed.partition(b":")
        return Answer("hit" if time.time() * 1000 < int(fresh_until) else "stale", row)


class Jittered(StaleWhileRevalidate):
    """Lifetimes are shortened by chance, so that what was written together does not expire together."""

    def fresh_ms(self):
        return int(self.settings.ttl_ms * (1 - self.settings.jitter * random.random()))


class Negative(Jittered):
    """That a row does not exist is cached too, as a value that no row has."""

    ABSENT = b"-"

    async def store(self, key, row, load_seconds):
        if row is not None:
            await super().store(key, row, load_seconds)
        else:
            keep = self.settings.negative_ms
            await self.cache.set(key, self.pack(self.ABSENT, keep, load_seconds), px=keep)

    def unpack(self, packed):
        answer = super().unpack(packed)
        return Answer("absent", None) if answer.row == self.ABSENT else answer


class XFetch(SingleFlight):
    """A reader may rebuild a fresh value early, the likelier the closer its expiry and the longer a load takes.

    Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, PVLDB 8 (2015).
    """

    async def read(self, key):
        packed = await self.cache.get(key)
        if packed is None:
            return await self.rebuild(key)
        expires, load_ms, row = packed.split(b":", 2)
        left_ms = int(expires) - time.time() * 1000
        if -int(load_ms) * self.settings.beta * math.log(1 - random.random()) >= left_ms:
            self.later(self.rebuild(key, "early", left_ms))
        return Answer("hit", row)

    def pack(self, row, fresh_ms, load_seconds):
        return b"%d:%d:%b" % (time.time() * 1000 + fresh_ms, load_seconds * 1000, row)


class Leases(CacheAside):
    """The server hands one reader of the fleet the lease to load, and wakes the others when the value is there."""

    async def read(self, key):
        settings = self.settings
        status, row, token, ms = await self.cache.execute_command(
            "CACHE.GET", key, "LEASE", settings.lock_ms, "WAIT", settings.wait_ms, "BETA", settings.beta)
        if status == b"miss":
            if not token:
                raise Busy
            return await self.fill(key, token, "miss")
        if token:
            reason = "stale" if status == b"stale" else "early"
            self.later(self.fill(key, token, reason, ms if reason == "early" else 0))
        return Answer(status.decode(), row)

    async def fill(self, key, token, reason, left_ms=0):
        settings = self.settings
        try:
            row = await self.load(key, reason, left_ms)
        except (Busy, OriginFailed):
            await self.cache.execute_command("CACHE.RELEASE", key, token)
            raise
        if row is None:
            await self.cache.execute_command("CACHE.ABSENT", key, "TOKEN", token, "PX", settings.negative_ms)
        else:
            stale = ("STALE", settings.stale_ms) if settings.stale_ms else ()
            # nil: somebody wrote or deleted the key since, so this row may be old and is not stored.
            await self.cache.execute_command("CACHE.SET", key, row, "TOKEN", token, "PX", settings.ttl_ms, *stale)
        return Answer("miss", row)


READERS = {reader.__name__: reader for reader in (
    CacheAside, SingleFlight, Locked, StaleWhileRevalidate, Jittered, Negative, XFetch, Leases)}
