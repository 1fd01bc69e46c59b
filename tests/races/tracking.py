#!/usr/bin/python3
"""Clients that cache values themselves race with writers, kills, flushes, purges and a table that overflows; what they keep is checked.

    python3 tests/races/tracking.py --seconds 600 --seed 7

Each client keeps what it reads until it is told not to (CLIENT TRACKING): in the default mode, with OPTIN, by prefixes (BCAST), and
redirected to another connection. The rules:

1. What a connection reads of a key never gets older: behind an invalidation comes no value from before it.
2. When all is quiet, everything that a client keeps is what the server has. Then also what has expired, gone stale, was purged or evicted.

Prints the seed, and what happened; exits 1 with the story if a rule was broken. The decisions of each actor follow from the seed, the order
in which they meet does not.
"""

import argparse
import asyncio
import collections
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support import resp, servers

CHANNEL = b"__redis__:invalidate"
PREFIXES = [b"p:", b"t:", b"c:", b"x:"]  # plain, with tags, of which plain readers wait for each other, and more
KEYS = [prefix + b"%d" % i for prefix in PREFIXES for i in range(12)]
WRITERS = 5  # each key has one that stores values, so that their versions grow
PATIENCE = 30.0  # for what must come: far beyond what any machine needs
POLICY = ("CACHE.POLICY", "SET", "coalesced", "MATCH", "c:*", "COALESCE", "30ms", "LEASE", "60ms")
SETTINGS = ("--maxmemory", "16mb", "--maxmemory-clients", "64mb")


class Broken(Exception):
    """A rule was broken."""


class Lost(Exception):
    """The connection has ended."""


class Link:
    """A connection whose replies and messages are handled in their order, as they come."""

    def __init__(self, on_message, on_end):
        self.on_message, self.on_end = on_message, on_end
        self.waiting = collections.deque()
        self.open = False

    async def connect(self, port, protocol):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.open = True
        self.task = asyncio.ensure_future(self.read())
        _, self.id = await asyncio.gather(self.ask("HELLO", protocol), self.ask("CLIENT", "ID"))
        return self

    async def read(self):
        buffer = bytearray()
        try:
            while True:
                data = await self.reader.read(1 << 16)
                if not data:
                    break
                buffer += data
                at = 0
                while at < len(buffer) and (end := resp.reply_end(buffer, at)) >= 0:
                    self.handle(resp.decode(bytes(buffer[at:end])))
                    at = end
                del buffer[:at]
        except OSError:
            pass
        self.close()

    def handle(self, reply):
        if isinstance(reply, resp.Push) or (isinstance(reply, list) and reply[:2] == [b"message", CHANNEL]):
            return self.on_message(list(reply))
        future, handler = self.waiting.popleft()
        if handler is not None:
            handler(reply)
        if not future.done():
            future.set_result(reply)

    def ask(self, *words, handler=None):
        """A future of the reply. The handler gets it when it comes, before anything that comes behind it."""
        future = asyncio.get_running_loop().create_future()
        if not self.open:
            future.set_exception(Lost())
            return future
        self.waiting.append((future, handler))
        self.writer.write(resp.encode(words))
        return future

    def close(self):
        if not self.open:
            return
        self.open = False
        self.writer.transport.abort()
        for future, _ in self.waiting:
            if not future.done():
                future.set_exception(Lost())
        self.waiting.clear()
        self.on_end(self)


class Arena:
    def __init__(self, port, seed):
        self.port, self.seed, self.running = port, seed, True
        self.versions = collections.Counter()
        self.counts = collections.Counter()
        self.clients = []
        self.writing = 0
        self.going = asyncio.Event()
        self.going.set()
        self.problem = None

    def next_value(self, key):
        self.versions[key] += 1
        return key + b"=%d" % self.versions[key]

    def broken(self, rule, what):
        self.problem = self.problem or Broken(f"rule {rule}: {what}")
        self.running = False


class Cached:
    """A client with a cache of its own."""

    def __init__(self, arena, name, mode):
        self.arena, self.name, self.mode = arena, name, mode
        self.rng = random.Random(f"{arena.seed}:{name}")
        self.data = self.invalidations = None
        self.links = []
        self.start_anew()

    def start_anew(self):
        self.kept = {}
        self.reading = {}  # key: the last read that may be kept
        self.newest = collections.Counter()

    # --- what it is told ---

    def told(self, message):
        if message[0] == b"tracking-redir-broken":
            self.arena.counts["redirections broken"] += 1
            return self.forget()
        names = message[-1]
        self.arena.counts["invalidations of all" if names is None else "invalidations"] += 1
        if names is None:
            return self.forget()
        for name in names:
            self.kept.pop(name, None)
            self.reading.pop(name, None)

    def forget(self):
        self.kept.clear()
        self.reading.clear()

    def ended(self, link):
        self.arena.counts["connections lost"] += 1
        self.forget()
        self.lost = True

    # --- what it does ---

    async def connect(self):
        for link in self.links:
            link.close()
        self.start_anew()
        self.lost = False
        protocol = 3
        options = []
        self.links = []
        if self.mode.startswith("redirect"):
            protocol = self.rng.choice((2, 2, 3))
            target = await Link(self.told, self.ended).connect(self.arena.port, 2 if self.mode == "redirect2" else 3)
            self.links.append(target)
            if self.mode == "redirect2":
                await target.ask("SUBSCRIBE", CHANNEL)
            options = ["REDIRECT", target.id]
        elif self.mode == "optin":
            options = ["OPTIN"]
        elif self.mode == "prefixes":
            options = ["BCAST"] + [word for prefix in PREFIXES for word in ("PREFIX", prefix)]
        elif self.mode == "noloop":
            options = ["NOLOOP"]
        self.data = await Link(self.told, self.ended).connect(self.arena.port, protocol)
        self.links.append(self.data)
        if await self.data.ask("CLIENT", "TRACKING", "ON", *options) != "OK":
            raise Lost  # the target has gone

    async def run(self):
        while self.arena.running:
            try:
                await self.connect()
                while self.arena.running and not self.lost:
                    await self.arena.going.wait()
                    await self.step()
                    if self.rng.random() < 0.3:
                        await asyncio.sleep(self.rng.random() * 0.005)
            except (Lost, OSError):
                pass
        for link in self.links:
            link.close()

    async def step(self):
        keys = [self.rng.choice(KEYS) for _ in range(self.rng.choice((1, 1, 1, 4)))]
        missing = [key for key in dict.fromkeys(keys) if key not in self.kept]
        self.arena.counts["hits"] += len(keys) - len(missing)
        if missing:
            self.arena.counts["reads"] += len(missing)
            await self.read(missing)
        if self.mode == "noloop" and self.rng.random() < 0.05:
            key = self.rng.choice(KEYS)
            await self.data.ask("DEL", key, handler=lambda _: self.kept.pop(key, None))  # it is not told of what it does

    async def read(self, keys):
        token = object()
        for key in keys:
            self.reading[key] = token
        how = self.rng.choice(("plain", "plain", "transaction", "cache"))
        asked = []

        def several(reply):
            if isinstance(reply, list):
                for key, value in zip(keys, reply):
                    self.got(key, value, token)

        if self.mode == "optin":
            asked.append(self.data.ask("CLIENT", "CACHING", "YES"))
            how = "transaction" if len(keys) > 1 else how
        if how == "transaction":
            asked += [self.data.ask("MULTI"), *(self.data.ask("GET", key) for key in keys), self.data.ask("EXEC", handler=several)]
        elif len(keys) > 1:
            asked.append(self.data.ask("MGET", *keys, handler=several))
        elif how == "cache":
            asked.append(self.data.ask("CACHE.GET", keys[0], "LEASE", 0, handler=lambda reply: self.got_status(keys[0], reply, token)))
        else:
            asked.append(self.data.ask("GET", keys[0], handler=lambda reply: self.got(keys[0], reply, token)))
        await asyncio.gather(*asked)

    def got_status(self, key, reply, token):
        status, value = reply[0], reply[1]
        if status in (b"hit", "hit"):
            return self.got(key, value, token)
        if value is not None:
            self.look_at_age(key, value)
        if self.reading.get(key) is token:
            del self.reading[key]

    def got(self, key, value, token):
        if isinstance(value, resp.ErrorReply):
            return
        if value is not None:
            self.look_at_age(key, value)
        if self.reading.get(key) is token:
            del self.reading[key]
            self.kept[key] = value

    def look_at_age(self, key, value):
        version = int(value.rsplit(b"=", 1)[1])
        if version < self.newest[key]:
            self.arena.broken(1, f"{self.name} ({self.mode}) has read version {version} of {key} behind version {self.newest[key]}")
        self.newest[key] = version


class Writer:
    def __init__(self, arena, number):
        self.arena, self.rng = arena, random.Random(f"{arena.seed}:w{number}")
        self.keys = KEYS[number::WRITERS]

    async def run(self):
        while self.arena.running:
            link = Link(lambda message: None, lambda link: None)
            try:
                await link.connect(self.arena.port, 2)
                while self.arena.running:
                    await self.arena.going.wait()
                    self.arena.writing += 1
                    try:
                        await self.step(link)
                    finally:
                        self.arena.writing -= 1
                    await asyncio.sleep(self.rng.random() * 0.004)
            except (Lost, OSError):
                pass
            link.close()

    async def step(self, link):
        key = self.rng.choice(self.keys)
        value = lambda: self.arena.next_value(key)
        tags = ["TAGS", 1, b"tag%d" % self.rng.randrange(3)] if key.startswith(b"t:") else []
        milliseconds = self.rng.randrange(20, 300)
        several = self.rng.sample(self.keys, 5)
        commands = self.rng.choice(
            [lambda: [["SET", key, value()]]] * 8
            + [lambda: [["CACHE.SET", key, value(), *tags]]] * 4
            + [lambda: [["DEL", key]]] * 4
            + [
                lambda: [["SET", key, value(), "PX", milliseconds]],
                lambda: [["CACHE.SET", key, value(), "PX", milliseconds, "STALE", 2000, *tags]],
                lambda: [["CACHE.SET", key, value(), "PX", milliseconds, "STALE", 2000, *tags]],
                lambda: [["PEXPIRE", key, milliseconds]],
                lambda: [["PERSIST", key]],
                lambda: [["CACHE.INVALIDATE", 1, key]],
                lambda: [["CACHE.INVALIDATE", 1, key, "SOFT"]],
                lambda: [["CACHE.ABSENT", key, "PX", milliseconds]],
                lambda: [["MSET", *(word for one in several for word in (one, self.arena.next_value(one)))]],
                lambda: [["DEL", *several]],
                lambda: [["MULTI"], ["SET", key, value()], ["DEL", several[0]], ["SET", key, value()], ["EXEC"]],
                lambda: [["GETDEL", key]],
                lambda: [["GETEX", key, "PX", milliseconds]],
            ]
        )()
        if self.rng.random() < 0.004:
            commands = self.rng.choice([
                [["FLUSHDB"]], [["FLUSHALL", "ASYNC"]], [["CACHE.PURGE", "PREFIX", self.rng.choice(PREFIXES)]],
                [["CACHE.PURGE", "TAGS", 1, b"tag%d" % self.rng.randrange(3)]], [["CACHE.PURGE", "TAGS", 1, b"tag0", "SOFT"]],
                [["CONFIG", "SET", "tracking-table-max-keys", self.rng.choice((0, 5, 20, 1_000_000))]],
                [["CONFIG", "SET", "maxmemory", self.rng.choice(("2mb", "16mb"))]],
            ])  # fmt: skip
            self.arena.counts[" ".join(map(str, commands[0][:2]))] += 1
        await asyncio.gather(*(link.ask(*command) for command in commands))
        self.arena.counts["writes"] += 1


async def kill(arena):
    rng = random.Random(f"{arena.seed}:killer")
    link = await Link(lambda message: None, lambda link: None).connect(arena.port, 2)
    while arena.running:
        await asyncio.sleep(rng.random() * 0.4)
        await arena.going.wait()  # or whoever keeps something wrong would be gone before it is looked at for long enough
        links = [one for client in arena.clients for one in client.links if one.open and hasattr(one, "id")]
        if not links:
            continue
        victim = rng.choice(links)
        if rng.random() < 0.5:
            await link.ask("CLIENT", "KILL", "ID", victim.id)
        else:
            victim.close()
    link.close()


async def look(arena):
    """Lets everything come to rest now and then, and compares."""
    link = await Link(lambda message: None, lambda link: None).connect(arena.port, 2)
    while arena.running:
        await asyncio.sleep(0.7)
        arena.going.clear()
        while arena.writing:
            await asyncio.sleep(0.001)
        end = time.monotonic() + PATIENCE
        while arena.running:
            await asyncio.gather(*(one.ask("PING") for client in arena.clients for one in client.links if one.open and hasattr(one, "id")), return_exceptions=True)
            answers = await asyncio.gather(*(link.ask("CACHE.GET", key, "LEASE", 0) for key in KEYS))
            present = {key: answer[1] if answer[0] in (b"hit", "hit") else None for key, answer in zip(KEYS, answers)}
            wrong = [(client, key, value) for client in arena.clients for key, value in client.kept.items() if value != present[key] and not client.reading]
            busy = any(client.reading for client in arena.clients if not client.lost)
            if not wrong and not busy:
                arena.counts["values compared"] += sum(len(client.kept) for client in arena.clients)
                break
            if time.monotonic() > end:
                if wrong:
                    client, key, value = wrong[0]
                    arena.broken(2, f"{client.name} ({client.mode}) still keeps {value} of {key}, and the server has {present[key]}; {len(wrong)} such")
                break
            await asyncio.sleep(0.02)
        arena.counts["times of quiet"] += 1
        arena.going.set()
    link.close()


MODES = ["default"] * 4 + ["optin"] * 2 + ["prefixes"] * 2 + ["noloop"] * 2 + ["redirect2"] * 3 + ["redirect3"]


async def play(port, seed, seconds, until):
    arena = Arena(port, seed)
    control = await Link(lambda message: None, lambda link: None).connect(port, 2)
    await control.ask(*POLICY)
    arena.clients = [Cached(arena, f"c{i}", mode) for i, mode in enumerate(MODES)]
    for client in arena.clients:
        client.lost = True
    actors = [*arena.clients, *(Writer(arena, i) for i in range(WRITERS))]
    tasks = [asyncio.ensure_future(one.run()) for one in actors] + [asyncio.ensure_future(kill(arena)), asyncio.ensure_future(look(arena))]
    end = time.monotonic() + seconds
    while arena.running and (time.monotonic() < end or (until is not None and not until(arena) and time.monotonic() < end + 10 * seconds)):
        done, _ = await asyncio.wait(tasks, timeout=0.2, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    arena.running = False
    arena.going.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    text = (await control.ask("INFO", "everything")).decode()
    arena.info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    control.close()
    if arena.problem:
        raise arena.problem
    return arena


def race(server, seed, seconds, until=None):
    return asyncio.run(play(server.port, seed, seconds, until))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long (default: 20)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of every decision (default: another each time)")
    parser.add_argument("--threads", type=int, default=2, help="of the server (default: 2)")
    options = parser.parse_args()
    print(f"--seed {options.seed}", flush=True)
    began = time.monotonic()
    with servers.pinfold(*SETTINGS, "--threads", options.threads) as server:
        try:
            arena = race(server, options.seed, options.seconds)
        except Broken as broken:
            print(f"after {time.monotonic() - began:.1f} s: {broken}")
            return 1
    for name, count in sorted(arena.counts.items()):
        print(f"{count:9} {name}")
    print({name: value for name, value in arena.info.items() if name.startswith("tracking")})
    print(f"no rule was broken in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
