#!/usr/bin/python3
"""Pushers, clients that wait for elements, and kills race on the threads of a fresh server; every element is accounted for.

    python3 tests/races/pops.py --seconds 600 --seed 7

Poppers take from queues with BLPOP, BLMPOP and LPOP, with timeouts and CLIENT UNBLOCK; nobody closes them. Movers carry elements from one
list of a ring to the next with BLMOVE and BRPOPLPUSH, and are killed, or close their connections, while they wait. Elements come by RPUSH,
by RENAME of a list, in transactions and from scripts. The rules:

1. Each element that was pushed to a queue is taken once, or is still there at the end.
2. Each element of the ring is in one of its lists at the end, once, whoever was killed.
3. What one popper takes from one queue with BLPOP or LPOP is in the order in which one pusher has pushed it.
4. A client that waits while there is an element for it gets it: in the end nobody waits beside a list that is not empty.

Prints the seed, and what happened; exits 1 with the story if a rule was broken.
"""

import argparse
import collections
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.support import servers
from tests.support.connection import Closed

QUEUES = [f"q{n}" for n in range(4)]
RING = [f"r{n}" for n in range(3)]
IN_RING = 20


class Broken(Exception):
    """A rule was broken."""


class Arena:
    def __init__(self, server, seed):
        self.server, self.seed = server, seed
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.pushed, self.taken = collections.Counter(), collections.Counter()
        self.stop_pushing, self.stop = threading.Event(), threading.Event()
        self.broken = []
        self.movers = {}  # the ids of clients that may be killed

    def count(self, what, n=1):
        with self.lock:
            self.counts[what] += n

    def run(self, act, *args):
        """A thread with an actor, whose exceptions are told."""

        def body():
            try:
                act(self, *args)
            except Exception as error:  # noqa: BLE001
                self.broken.append(f"{act.__name__}{args}: {error!r}")

        thread = threading.Thread(target=body)
        thread.start()
        return thread


def push(arena, number):
    """Pushes elements "pusher:number" in every way that there is."""
    choose = random.Random(f"{arena.seed} pusher {number}")
    next_number = 0
    with arena.server.connect() as connection:
        while not arena.stop_pushing.is_set():
            queue = choose.choice(QUEUES)
            elements = [f"{number}:{next_number + n}" for n in range(choose.choice((1, 1, 1, 2, 3, 20)))]
            next_number += len(elements)
            with arena.lock:
                arena.pushed.update(elements)
            way = choose.random()
            if way < 0.6:
                connection.call("RPUSH", queue, *elements)
            elif way < 0.75:
                connection.pipeline([("MULTI",), ("RPUSH", queue, *elements), ("EXEC",)])
            elif way < 0.9:
                connection.call("EVAL", "return redis.call('RPUSH', KEYS[1], unpack(ARGV))", 1, queue, *elements)
            else:  # only if nothing is lost by it
                connection.call("RPUSH", f"side{number}", *elements)
                if connection.call("RENAMENX", f"side{number}", queue) != 1:
                    connection.pipeline([("RPUSH", queue, *elements), ("DEL", f"side{number}")])
            arena.count("pushed", len(elements))
            if choose.random() < 0.3:
                time.sleep(choose.random() * 0.005)


def pop(arena, number):
    choose = random.Random(f"{arena.seed} popper {number}")
    last = {}
    with arena.server.connect() as connection:
        with arena.lock:
            arena.movers.setdefault("poppers", []).append(connection.call("CLIENT", "ID"))
        while not arena.stop.is_set():
            way = choose.random()
            if way < 0.7:
                keys = choose.sample(QUEUES, choose.randint(1, len(QUEUES)))
                reply = connection.call("BLPOP", *keys, choose.choice(("0.01", "0.001", "0.2")))
                queue, elements, ordered = (reply[0], [reply[1]], True) if reply else (None, [], True)
            elif way < 0.85:
                keys = choose.sample(QUEUES, 2)
                reply = connection.call("BLMPOP", choose.choice(("0.01", "0.1")), 2, *keys, choose.choice(("LEFT", "RIGHT")), "COUNT", choose.randint(1, 5))
                queue, elements, ordered = (*reply, False) if reply else (None, [], False)
            else:
                queue = choose.choice(QUEUES).encode()
                element = connection.call("LPOP", queue)
                elements, ordered = ([element] if element is not None else []), True
            if not elements:
                arena.count("found nothing")
            for element in elements:
                pusher, at = map(int, element.split(b":"))
                if ordered and last.get((queue, pusher), -1) >= at:
                    raise Broken(f"popper {number} got {element} of {queue} after {last[queue, pusher]}")
                if ordered:
                    last[queue, pusher] = at
            with arena.lock:
                arena.taken.update(element.decode() for element in elements)
            arena.count("taken", len(elements))


def move(arena, number):
    """Carries elements around the ring until it is killed, or closes, and then comes again."""
    choose = random.Random(f"{arena.seed} mover {number}")
    while not arena.stop.is_set():
        try:
            with arena.server.connect() as connection:
                identity = connection.call("CLIENT", "ID")
                with arena.lock:
                    arena.movers[number] = identity
                for _ in range(choose.randint(1, 200)):
                    at = choose.randrange(len(RING))
                    source, destination = RING[at], RING[(at + 1) % len(RING)]
                    timeout = choose.choice(("0.01", "0.1", "0.001"))
                    if choose.random() < 0.5:
                        moved = connection.call("BLMOVE", source, destination, choose.choice(("LEFT", "RIGHT")), choose.choice(("LEFT", "RIGHT")), timeout)
                    else:
                        moved = connection.call("BRPOPLPUSH", source, destination, timeout)
                    arena.count("moved" if moved else "moved nothing")
                connection.send_command("BLMOVE", RING[0], RING[1], "LEFT", "RIGHT", "5")  # and closes
                arena.count("closed")
        except (Closed, OSError):
            arena.count("movers lost")


def disturb(arena):
    choose = random.Random(f"{arena.seed} killer")
    with arena.server.connect() as connection:
        while not arena.stop.is_set():
            with arena.lock:
                poppers = list(arena.movers.get("poppers", []))
                movers = [identity for number, identity in arena.movers.items() if number != "poppers"]
            if movers and choose.random() < 0.3:
                arena.count("killed", connection.call("CLIENT", "KILL", "ID", choose.choice(movers)))
            if poppers:
                arena.count("unblocked", connection.call("CLIENT", "UNBLOCK", choose.choice(poppers)))
            time.sleep(choose.random() * 0.01)


def check(arena, connection):
    for queue in QUEUES:
        arena.taken.update(element.decode() for element in connection.call("LRANGE", queue, 0, -1))
    lost, twice = arena.pushed - arena.taken, arena.taken - arena.pushed
    if lost or twice:
        raise Broken(f"lost: {dict(list(lost.items())[:10])}, more than once: {dict(list(twice.items())[:10])}")
    ring = collections.Counter(element.decode() for name in RING for element in connection.call("LRANGE", name, 0, -1))
    if ring != collections.Counter(f"e{n}" for n in range(IN_RING)):
        raise Broken(f"the ring has {dict(ring)}")
    info = dict(line.split(":", 1) for line in connection.call("INFO", "clients").decode().splitlines() if ":" in line)
    if info["blocked_clients"] != "0" or info["total_blocking_keys"] != "0":
        raise Broken(f"blocked at the end: {info}")


def race(server, seed, seconds):
    """Returns the arena when all rules have held."""
    arena = Arena(server, seed)
    with server.connect() as connection:
        connection.call("RPUSH", RING[0], *(f"e{n}" for n in range(IN_RING)))
        pushers = [arena.run(push, n) for n in range(3)]
        others = [arena.run(pop, n) for n in range(8)] + [arena.run(move, n) for n in range(6)] + [arena.run(disturb)]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not arena.broken:
            time.sleep(0.1)
        arena.stop_pushing.set()
        for thread in pushers:
            thread.join()

        def drained():
            return arena.broken or not any(connection.call("LLEN", queue) for queue in QUEUES)

        servers.eventually(drained)  # rule 4: poppers that wait find what is left
        arena.stop.set()
        for thread in others:
            thread.join()
        if arena.broken:
            raise Broken("; ".join(arena.broken))
        servers.eventually(lambda: b"blocked_clients:0\r" in connection.call("INFO", "clients"))
        check(arena, connection)
    return arena


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    with servers.pinfold("--threads", "2") as server:
        try:
            arena = race(server, seed, options.seconds)
        except Broken as broken:
            print(broken)
            sys.exit(1)
    print(dict(arena.counts))


if __name__ == "__main__":
    main()
