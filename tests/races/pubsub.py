#!/usr/bin/python3
"""Publishers, subscribers and kills race on the threads of a fresh server; every subscriber's stream is checked.

    python3 tests/races/pubsub.py --seconds 600 --seed 7

The rules, for each subscription (a channel, a pattern or a shard channel of one connection):

1. What one publisher has published is heard in its order, whatever the channels, and once for each subscription.
2. A message whose PUBLISH was sent after the reply to SUBSCRIBE came, and was answered before UNSUBSCRIBE was sent, is heard before the
   reply to UNSUBSCRIBE.
3. After that reply nothing is heard of the topic, and nothing that was published before SUBSCRIBE was sent.

Prints the seed, and what happened; exits 1 with the story if a rule was broken.
"""

import argparse
import asyncio
import collections
import fnmatch
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support import resp, servers

CHANNELS = [f"c{i}" for i in range(6)]
PATTERNS = ["c*", "c[0-2]", "?3", "c4*"]
WORDS = {"channel": ("SUBSCRIBE", "UNSUBSCRIBE"), "pattern": ("PSUBSCRIBE", "PUNSUBSCRIBE"), "shard": ("SSUBSCRIBE", "SUNSUBSCRIBE")}
CONFIRMED = {word.lower(): (kind, bool(ends)) for kind, words in WORDS.items() for ends, word in enumerate(words)}
KIND_OF = {"message": "channel", "pmessage": "pattern", "smessage": "shard"}


class Broken(Exception):
    """A rule was broken."""


class Lost(Exception):
    """The connection has ended."""


class Message:
    """One PUBLISH. Times are counts of what this process has seen."""

    def __init__(self, publisher, number, shard, channel, sent):
        self.publisher, self.number, self.shard, self.channel = publisher, number, shard, channel
        self.sent, self.answered = sent, None

    def matches(self, kind, topic):
        if (kind == "shard") != self.shard:
            return False
        return fnmatch.fnmatchcase(self.channel, topic) if kind == "pattern" else self.channel == topic

    def text(self):
        return f"{self.publisher}:{self.number}"


class Arena:
    def __init__(self, port, seed):
        self.port, self.seed, self.running = port, seed, True
        self.clock = 0
        self.messages = {}  # by text
        self.counts = collections.Counter()
        self.subscribers = []

    def tick(self):
        self.clock += 1
        return self.clock


class Stream:
    """A connection whose replies and pushes are read one after the other."""

    async def open(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.buffer, self.at = bytearray(), 0

    async def next(self):
        while True:
            end = resp.reply_end(self.buffer, self.at)
            if end >= 0:
                reply = resp.decode(bytes(self.buffer[self.at : end]))
                self.at = end
                return reply
            del self.buffer[: self.at]
            self.at = 0
            try:
                data = await self.reader.read(1 << 16)
            except OSError:
                data = b""
            if not data:
                raise Lost
            self.buffer += data

    def send(self, *requests):
        if self.writer.transport.is_closing():
            raise Lost
        self.writer.write(b"".join(map(resp.encode, requests)))

    def close(self):
        self.writer.transport.abort()


class Publisher:
    def __init__(self, arena, name):
        self.arena, self.name = arena, name
        self.rng = random.Random(f"{arena.seed}:{name}")
        self.number = 0

    async def run(self):
        while self.arena.running:
            stream = Stream()
            try:
                await stream.open(self.arena.port)
                for _ in range(self.rng.randrange(5, 200)):
                    if not self.arena.running:
                        break
                    await self.step(stream)
            except Lost:
                self.arena.counts["publishers lost"] += 1
            stream.close()

    async def step(self, stream):
        batch = []
        for _ in range(self.rng.choice((1, 1, 3, 20, 60))):
            self.number += 1
            shard = self.rng.random() < 0.1
            message = Message(self.name, self.number, shard, self.rng.choice(CHANNELS), self.arena.clock)
            self.arena.messages[message.text()] = message
            batch.append(message)
        self.arena.tick()
        requests = [["SPUBLISH" if one.shard else "PUBLISH", one.channel, one.text() + self.padding()] for one in batch]
        if self.rng.random() < 0.1:
            requests = [["MULTI"], *requests, ["EXEC"]]
        stream.send(*requests)
        if len(requests) > len(batch):
            for _ in range(len(batch) + 1):
                await stream.next()
            await stream.next()
            for one in batch:
                one.answered = self.arena.tick()
        else:
            for one in batch:
                await stream.next()
                one.answered = self.arena.tick()
        self.arena.counts["published"] += len(batch)
        if self.rng.random() < 0.3:
            await asyncio.sleep(self.rng.random() * 0.01)

    def padding(self):
        return " " * self.rng.choice((0, 0, 0, 10, 3000, 20_000))


class Subscription:
    def __init__(self, kind, topic, sent):
        self.kind, self.topic = kind, topic
        self.sent, self.confirmed, self.ended = sent, None, None
        self.heard = set()


class Subscriber:
    def __init__(self, arena, name):
        self.arena, self.name = arena, name
        self.rng = random.Random(f"{arena.seed}:{name}")
        self.id = None

    def broken(self, rule, what):
        raise Broken(f"rule {rule}: {self.name} (RESP{self.protocol}): {what}")

    async def run(self):
        while self.arena.running:
            try:
                await self.connect()
                while self.arena.running:
                    await self.step()
                for key in list(self.live):  # so that what is missing at the end is found
                    self.end(*key)
                while self.live:
                    await self.hear()
            except Lost:
                self.arena.counts["subscribers lost"] += 1
            self.id = None
            self.stream.close()

    async def connect(self):
        self.stream = Stream()
        self.live = {}  # (kind, topic): what is subscribed to, up to the reply to UNSUBSCRIBE
        self.last = collections.defaultdict(int)  # publisher: the number last heard
        self.last_of = collections.defaultdict(int)  # the same of a subscription
        self.protocol = self.rng.choice((2, 3))
        await self.stream.open(self.arena.port)
        self.stream.send(["CLIENT", "ID"], ["HELLO", self.protocol])
        self.id = await self.stream.next()
        await self.stream.next()

    async def step(self):
        kind = self.rng.choice(("channel", "channel", "pattern", "shard"))
        topic = self.rng.choice(PATTERNS if kind == "pattern" else CHANNELS)
        now = self.live.get((kind, topic))
        if now is None:
            self.live[kind, topic] = Subscription(kind, topic, self.arena.clock)
            self.arena.tick()
            self.stream.send([WORDS[kind][0], topic])
        elif now.ended is None and now.confirmed is not None and self.rng.random() < 0.4:
            self.end(kind, topic)
        for _ in range(self.rng.choice((1, 5, 20))):
            try:
                await asyncio.wait_for(self.hear(), 0.01)
            except asyncio.TimeoutError:
                break
        if self.rng.random() < 0.05:
            await asyncio.sleep(self.rng.random() * 0.1)  # falls behind

    def end(self, kind, topic):
        one = self.live[kind, topic]
        if one.ended is None:
            one.ended = self.arena.clock
            self.arena.tick()
            self.stream.send([WORDS[kind][1], topic])

    async def hear(self):
        said = [part.decode() if isinstance(part, bytes) else part for part in await self.stream.next()]
        what = said[0]
        if what in KIND_OF:
            return self.heard(KIND_OF[what], said[1], said[-1].split(" ")[0])
        kind, ends = CONFIRMED[what]
        one = self.live[kind, said[1]]
        if ends:
            self.check_nothing_missing(self.live.pop((kind, said[1])))
            self.arena.counts["unsubscribed"] += 1
        else:
            one.confirmed = self.arena.tick()
            self.arena.counts["subscribed"] += 1

    def heard(self, kind, topic, text):
        message = self.arena.messages[text]
        one = self.live.get((kind, topic))
        if one is None or one.confirmed is None:
            self.broken(3, f"heard {text} of {kind} {topic} without a subscription")
        if message.answered is not None and message.answered < one.sent:
            self.broken(3, f"heard {text}, published before it has subscribed to {kind} {topic}")
        if not message.matches(kind, topic):
            self.broken(3, f"heard {text} of {message.channel} as {kind} {topic}")
        if message.number < self.last[message.publisher]:
            self.broken(1, f"heard {text} behind {self.last[message.publisher]}")
        if message.number <= self.last_of[kind, topic, message.publisher]:
            self.broken(1, f"heard {text} twice, or behind {self.last_of[kind, topic, message.publisher]}, of {kind} {topic}")
        self.last[message.publisher] = message.number
        self.last_of[kind, topic, message.publisher] = message.number
        one.heard.add(text)
        self.arena.counts["heard"] += 1

    def check_nothing_missing(self, one):
        for message in reversed(self.arena.messages.values()):
            if message.sent < one.confirmed:
                break
            if message.answered is None or message.answered > one.ended:
                continue
            if message.matches(one.kind, one.topic) and message.text() not in one.heard:
                self.broken(2, f"missed {message.text()} to {message.channel} (sent {message.sent}, answered {message.answered}), subscribed to "
                               f"{one.kind} {one.topic} from {one.confirmed} to {one.ended}")  # fmt: skip
        self.arena.counts["checked"] += 1


async def kill(arena):
    rng = random.Random(f"{arena.seed}:killer")
    stream = Stream()
    await stream.open(arena.port)
    while arena.running:
        await asyncio.sleep(rng.random())
        victim = rng.choice(arena.subscribers)
        if victim.id is not None:
            stream.send(["CLIENT", "KILL", "ID", victim.id])
            await stream.next()
            arena.counts["killed"] += 1
    stream.close()


async def forget(arena):
    """Messages that no subscription can miss any more."""
    while arena.running:
        await asyncio.sleep(0.2)
        begins = [one.sent for subscriber in arena.subscribers if subscriber.id for one in subscriber.live.values()]
        oldest = min(begins, default=arena.clock)
        for text, message in list(arena.messages.items()):
            if message.answered is not None and message.answered < oldest - 100_000:
                del arena.messages[text]


async def play(port, seed, seconds, publishers=6, subscribers=12):
    arena = Arena(port, seed)
    arena.subscribers = [Subscriber(arena, f"s{i}") for i in range(subscribers)]
    actors = [*arena.subscribers, *(Publisher(arena, f"p{i}") for i in range(publishers))]
    tasks = [asyncio.ensure_future(one.run()) for one in actors] + [asyncio.ensure_future(kill(arena)), asyncio.ensure_future(forget(arena))]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    arena.running = False
    for task in done:
        task.result()
    await asyncio.wait_for(asyncio.gather(*tasks), 120)
    return arena


def race(server, seed, seconds):
    return asyncio.run(play(server.port, seed, seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long (default: 20)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of every decision (default: another each time)")
    parser.add_argument("--threads", type=int, default=2, help="of the server (default: 2)")
    options = parser.parse_args()
    print(f"--seed {options.seed}", flush=True)
    began = time.monotonic()
    with servers.pinfold("--threads", options.threads) as server:
        try:
            arena = race(server, options.seed, options.seconds)
        except Broken as broken:
            print(f"after {time.monotonic() - began:.1f} s: {broken}")
            return 1
    for name, count in sorted(arena.counts.items()):
        print(f"{count:9} {name}")
    print(f"no rule was broken in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
