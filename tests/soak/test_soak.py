"""The server at its limit for a while, with everything going on at once. PINFOLD_SOAK_SECONDS says how long; 30 by default."""

import multiprocessing
import os
import random
import time

import pytest

from tests.support import servers
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

from .worker import Worker, work

SECONDS = float(os.environ.get("PINFOLD_SOAK_SECONDS") or 30)
MB = 1 << 20
# Requests that run at the same time see the same room; what needs no room of its own may open a segment.
SLACK = 5 * MB
POLICIES = ["allkeys-lfu", "allkeys-lru", "allkeys-random", "volatile-lfu", "volatile-lru", "volatile-random", "volatile-ttl", "noeviction"]
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis counts otherwise")


def figures(connection, section="memory"):
    text = connection.call("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class Operator:
    """Changes settings, flushes, kills, and watches the memory."""

    def __init__(self, server, seed):
        self.server, self.rng = server, random.Random(f"{seed}:operator")
        self.connection = server.connect(timeout=120.0)
        self.limit = self.allowed = 32 * MB
        self.most_over = 0

    def call(self, *command):
        return self.connection.call(*command)

    def check_memory(self):
        fields = figures(self.connection)
        used = int(fields["used_memory"]) - int(fields["mem_not_counted_for_evict"])
        if used <= self.limit:
            self.allowed = self.limit
        self.most_over = max(self.most_over, used - self.allowed)
        assert used <= self.allowed + SLACK, f"{used / MB:.1f} MB are used, {self.allowed / MB:.1f} allowed"

    def step(self):
        kind = self.rng.randrange(50)
        if kind < 6:
            self.limit = self.rng.choice((12, 24, 32, 48)) * MB
            self.allowed = max(self.limit, self.allowed)  # until it has been reached
            assert self.call("CONFIG", "SET", "maxmemory", self.limit) == "OK"
        elif kind < 10:
            assert self.call("CONFIG", "SET", "maxmemory-policy", self.rng.choice(POLICIES)) == "OK"
        elif kind == 10:
            assert self.call(*self.rng.choice((("FLUSHALL",), ("FLUSHDB",), ("FLUSHALL", "ASYNC")))) == "OK"
        elif kind < 13:
            assert self.call("SWAPDB", "0", "1") == "OK"
        elif kind < 16:
            lines = [line for line in self.call("CLIENT", "LIST").decode().splitlines() if "name=operator" not in line]
            if lines:
                self.call("CLIENT", "KILL", "ID", self.rng.choice(lines).split(" ", 1)[0].removeprefix("id="))
        elif kind == 16:
            assert self.call("MEMORY", "PURGE") == "OK"
        elif kind == 17:
            self.scan()
        elif kind == 18:
            self.call(*self.rng.choice((("MEMORY", "STATS"), ("MEMORY", "DOCTOR"), ("INFO", "everything"), ("CLIENT", "LIST"), ("COMMAND", "COUNT"))))
        elif kind == 19:
            assert self.call("CLIENT", "PAUSE", "20", self.rng.choice(("ALL", "WRITE"))) == "OK"
        elif kind < 24:
            self.change_policies()
        elif kind < 26:
            assert self.call("CONFIG", "SET", "serve-stale", self.rng.choice(("yes", "no", "no"))) == "OK"
        elif kind < 28:
            name, values = self.rng.choice((("max-leases", (3, 100, 1_000_000)), ("max-lease-waiters", (0, 2, 100_000)), ("negative-memory", (1, 5, 50)), ("lease-duration", (50, 1000))))
            assert self.call("CONFIG", "SET", name, self.rng.choice(values)) == "OK"
        self.check_memory()

    def change_policies(self):
        """Of keys of which nobody expects more than whole values."""
        name, match = self.rng.choice((("hot", "v:[0-9]"), ("warm", "v:[0-9][0-9]*"), ("counters", "n:*"), ("copies", "c:*")))
        fields = {
            "ttl": ("0", "300ms", "1m"), "max-ttl": ("0", "2s", "1h"), "jitter": ("0%", "50%"), "stale": ("0", "100ms", "10s"), "coalesce": ("0", "5ms"), "lease": ("0", "20ms"),
            "early-refresh": ("0", "1", "1000"), "negative-ttl": ("0", "50ms"), "max-leases": ("0", "1", "50"), "max-value": ("0", "10kb", "1mb"), "max-memory": ("0", "5%", "4mb"),
            "priority": ("protected", "normal", "first-out"),
        }  # fmt: skip
        if self.rng.random() < 0.2:
            assert self.call("CACHE.POLICY", "DEL", name) in (0, 1)
            return
        chosen = self.rng.sample(sorted(fields), 4)
        assert self.call("CACHE.POLICY", "SET", name, "match", match, *(part for field in chosen for part in (field, self.rng.choice(fields[field])))) == "OK"

    def scan(self):
        cursor, calls = "0", 0
        while True:
            cursor, keys = self.call("SCAN", cursor, "COUNT", "500")
            calls += 1
            cursor = cursor.decode()
            if cursor == "0":
                return
            assert calls < 10_000, "a scan that does not end"


def test_everything_at_once_at_the_limit():
    seed = int(os.environ.get("PINFOLD_SEED") or int.from_bytes(os.urandom(4), "little"))
    print(f"repeat with PINFOLD_SEED={seed}")
    # Leases, and versions that are refused, last for a moment: so many come and go.
    with servers.pinfold("--maxmemory", 32 * MB, "--threads", "2", "--lease-duration", "1000", "--invalidation-memory", "2000") as server:
        until = time.monotonic() + SECONDS
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        workers = [context.Process(target=work, args=(server.port, number, seed, until, results)) for number in range(4)]
        for worker in workers:
            worker.start()
        operator = Operator(server, seed)
        operator.call("CLIENT", "SETNAME", "operator")
        # A change now and then, so that the memory is full most of the time.
        while time.monotonic() < until and server.alive():
            operator.step()
            time.sleep(0.05)
        reports = [results.get(timeout=300) for _ in workers]
        for worker in workers:
            worker.join()
        assert server.alive(), server.log()
        for number, _, _, error in reports:
            assert error is None, f"worker {number}:\n{error}"
        done = sum(count for _, count, _, _ in reports)
        print(f"{done} commands, {sum(closed for _, _, closed, _ in reports)} connections lost, at most {operator.most_over} bytes over the limit")
        assert done > 100
        herd = figures(operator.connection, "cache")
        print(" ".join(f"{name}={herd[name]}" for name in herd if herd[name] != "0"))
        # All of it happened, so that a sanitizer has seen it.
        assert all(int(herd[name]) > 0 for name in ("lease_granted", "lease_filled", "lease_voided", "fill_refused", "purges_tags", "purges_prefix")), herd
        check_the_end(operator)


def used_for_data(memory):
    """What hot keys and the working set take does not depend on what is stored, and stays."""
    return int(memory["used_memory"]) - int(memory["used_memory_sampling"])


def check_the_end(operator):
    """With a policy that evicts the limit is reached; what is there is whole; and all of it can be given back."""
    assert operator.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "serve-stale", "no") == "OK"
    for name in ("hot", "warm", "counters", "copies"):
        operator.call("CACHE.POLICY", "DEL", name)
    eventually(lambda: int(figures(operator.connection)["used_memory"]) - int(figures(operator.connection)["mem_not_counted_for_evict"]) <= operator.limit + SLACK)
    reader = Worker(operator.server.port, 99, 0)
    reader.connect()
    for _ in range(300):
        try:
            reader.batch()
        except Closed:
            reader.drop()
    reader.drop()
    # What a client sent before it went away may still be executed.
    eventually(lambda: len(operator.call("CLIENT", "LIST").splitlines()) == 1, deadline=60)
    # Nobody asks for anything any more: leases run out, refused versions are forgotten and purges swept, and what they took is back.
    quiet = ("leases", "lease_waiters", "purges_pending")
    def loud():
        now = figures(operator.connection, "cache")
        return {name: now[name] for name in quiet if now[name] != "0"}

    end = time.monotonic() + 60
    while left := loud():
        assert time.monotonic() < end, f"not quiet after a minute: {left}"
        time.sleep(0.05)
    eventually(lambda: int(figures(operator.connection)["used_memory_herd"]) < 100_000, deadline=60)
    assert operator.call("FLUSHALL") == "OK"
    parts = ("segments", "blobs", "index", "ghosts")
    eventually(lambda: all(figures(operator.connection)[f"used_memory_{part}"] == "0" for part in parts), deadline=60)
    eventually(lambda: used_for_data(figures(operator.connection)) < 100_000, deadline=60)
