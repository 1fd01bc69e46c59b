"""Clients that track keys are told the same by Pinfold as by redis-server.

Each sequence comes from a seed: clients with RESP3 in all modes, one with RESP2 whose invalidations are redirected, reads and writes of
theirs and of others, transactions, flushes. Replies are compared as bytes, and after each step what each client was told: which names,
how often, in messages of which form. Redis tells within the step, Pinfold soon after it.
"""

import os
import random

import pytest

from tests.support import resp, servers
from tests.support.connection import Connection
from tests.support.servers import eventually

SEEDS = int(os.environ.get("PINFOLD_DIFFERENTIAL_TRACKING_SEEDS", "40"))
STEPS = 150
KEYS = [b"a", b"b", b"p:1", b"p:2", b"q:1", b"pq"]
CHANNEL = b"__redis__:invalidate"
MODES = [
    (), ("NOLOOP",), ("OPTIN",), ("OPTOUT",), ("OPTIN", "NOLOOP"), ("BCAST",), ("BCAST", "NOLOOP"), ("BCAST", "PREFIX", "p:"),
    ("BCAST", "PREFIX", "p:", "PREFIX", "q"), ("BCAST", "PREFIX", "a", "NOLOOP"),
]  # fmt: skip


class Peer:
    """A client of one server that keeps messages apart from replies."""

    def __init__(self, port, protocol):
        self.connection = Connection(port)
        self.told = []
        if protocol == 3:
            self.connection.raw("HELLO", 3)

    def is_message(self, raw):
        return raw[:1] == b">" or raw.startswith(b"*3\r\n$7\r\nmessage\r\n")

    def call(self, *args):
        self.connection.send_command(*args)
        while True:
            raw = self.connection.read_raw()
            if not self.is_message(raw):
                return raw
            self.told.append(raw)

    def close(self):
        self.connection.close()


def in_order(raw):
    """A message whose names are in order: those of one command come in any."""
    return tuple(sorted(resp.elements(element) or [element]) for element in resp.elements(raw))


class World:
    """The same clients on both servers."""

    def __init__(self, ports):
        self.peers = [{} for _ in ports]
        self.ports = ports
        for name, protocol in [("writer", 2), ("one", 3), ("two", 3), ("three", 3), ("target", 2), ("redirected", 2)]:
            for peers, port in zip(self.peers, ports):
                peers[name] = Peer(port, protocol)
        for peers in self.peers:
            peers["writer"].call("FLUSHALL")
            number = int(peers["target"].call("CLIENT", "ID")[1:])
            peers["target"].call("SUBSCRIBE", CHANNEL)
            assert peers["redirected"].call("CLIENT", "TRACKING", "ON", "REDIRECT", number) == b"+OK\r\n"

    def close(self):
        for peers in self.peers:
            for peer in peers.values():
                peer.close()

    def step(self, who, *args):
        replies = [peers[who].call(*args) for peers in self.peers]
        assert replies[1] == replies[0], (who, args)
        expected, told = self.told(0), None

        def same():
            nonlocal told
            told = self.told(1)
            return {who: len(messages) for who, messages in told.items()} == {who: len(messages) for who, messages in expected.items()}

        try:
            eventually(same, 10)
        except AssertionError:
            pass
        assert told == expected, (who, args)
        for peers in self.peers:
            for peer in peers.values():
                peer.told.clear()

    def told(self, server):
        """What each client was told so far."""
        for name, peer in self.peers[server].items():
            # With RESP2, a client that has subscribed may say PING, which it is answered with an array.
            peer.call("PING")
        return {name: sorted(map(in_order, peer.told)) for name, peer in self.peers[server].items()}


def command(rng):
    key, other = rng.choice(KEYS), rng.choice(KEYS)
    return rng.choice([
        ("GET", key), ("GET", key), ("GET", key), ("MGET", key, other), ("STRLEN", key), ("EXISTS", key, other), ("TTL", key), ("TYPE", key),
        ("GETRANGE", key, 0, -1), ("SET", key, "v"), ("SET", key, "w"), ("MSET", key, "x", other, "y"), ("DEL", key), ("DEL", key, other),
        ("APPEND", key, "z"), ("EXPIRE", key, 1000), ("PERSIST", key), ("SETNX", key, "n"), ("GETEX", key), ("GETEX", key, "EX", 100), ("GETDEL", key),
        ("RENAME", key, other), ("COPY", key, other), ("SETRANGE", key, 2, "r"), ("TOUCH", key), ("OBJECT", "ENCODING", key), ("GETSET", key, "g"), ("LCS", key, other),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def both():
    with servers.redis() as reference, servers.pinfold("--threads", "2") as subject:
        yield [reference.port, subject.port]


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_clients_are_told_the_same(both, seed):
    rng = random.Random(f"tracking:{seed}")
    world = World(both)
    try:
        mode = {"redirected": ()}
        for _ in range(STEPS):
            who = rng.choice(["writer", "one", "two", "three", "redirected"])
            roll = rng.random()
            if roll < 0.08 and who not in ("writer", "redirected"):
                if who in mode:
                    # What was read before is kept by Redis over OFF and ON.
                    world.step("writer", "FLUSHALL")
                    world.step(who, "CLIENT", "TRACKING", "OFF")
                    del mode[who]
                else:
                    mode[who] = rng.choice(MODES)
                    world.step(who, "CLIENT", "TRACKING", "ON", *mode[who])
            elif roll < 0.16:
                world.step(who, "CLIENT", "CACHING", rng.choice(("YES", "NO")))
            elif roll < 0.2:
                world.step(who, "CLIENT", "TRACKINGINFO") if who != "redirected" else world.step(who, "PING")
            elif roll < 0.22:
                world.step(who, rng.choice(("FLUSHDB", "FLUSHALL")))
            elif roll < 0.28:
                world.step(who, "MULTI")
                for _ in range(rng.randint(1, 4)):
                    world.step(who, *command(rng))
                world.step(who, rng.choice(("EXEC", "EXEC", "DISCARD")))
            else:
                world.step(who, *command(rng))
    finally:
        world.close()
