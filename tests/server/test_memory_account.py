"""What INFO, MEMORY STATS, MEMORY USAGE and MEMORY DOCTOR say of memory: one account, whose parts add up to the byte."""

import os
import random

import pytest

from tests.support.servers import eventually, is_redis

from .conftest import info

MB = 1 << 20
SEGMENT = 64 * 1024
PARTS = ("segments", "blobs", "index", "ghosts", "herd", "clients", "sampling", "scripting")
DATA = ("segments", "blobs", "index", "ghosts", "herd")  # what keys and values take
OURS = {part: f"{part}.bytes" for part in PARTS} | {"clients": "clients.normal"}
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis counts otherwise")


def once(connection):
    replies = connection.pipeline([("MULTI",), ("MEMORY", "STATS"), ("INFO", "memory"), ("EXEC",)])[-1]
    stats = {name.decode(): value for name, value in zip(replies[0][::2], replies[0][1::2])}
    fields = dict(line.split(":", 1) for line in replies[1].decode().splitlines() if ":" in line)
    # Each adds up for itself, whatever goes on in the background.
    used = sum(value for name, value in stats.items() if name in OURS.values())
    assert stats["total.allocated"] == used
    assert int(fields["used_memory"]) == sum(int(fields[f"used_memory_{part}"]) for part in PARTS)
    return stats, fields, used == int(fields["used_memory"])


def both(connection):
    """MEMORY STATS and INFO memory of the same moment, between two steps of the background."""
    return next(reading for reading in iter(lambda: once(connection), None) if reading[2])[:2]


def check(connection):
    stats, fields = both(connection)
    used = stats["total.allocated"]
    for part in PARTS:
        assert int(fields[f"used_memory_{part}"]) == stats[OURS[part]], part
    assert int(fields["used_memory"]) == used
    assert stats["dataset.bytes"] == stats["segments.bytes"] + stats["blobs.bytes"] == int(fields["used_memory_dataset"])
    assert stats["overhead.total"] == used - stats["dataset.bytes"] == int(fields["used_memory_overhead"])
    assert stats["peak.allocated"] == int(fields["used_memory_peak"]) >= used
    assert stats["startup.allocated"] == int(fields["used_memory_startup"])
    assert stats["clients.normal"] == int(fields["mem_clients_normal"]) == int(fields["mem_not_counted_for_evict"])
    per_key = (used - stats["startup.allocated"]) // stats["keys.count"] if stats["keys.count"] else 0
    assert stats["keys.bytes-per-key"] == per_key
    return stats


def test_the_parts_add_up_and_info_says_the_same_at_every_turn(start):
    server = start("--maxmemory", "24mb")
    rng = random.Random(5)
    with server.connect() as connection:
        check(connection)
        for turn in range(60):
            commands = []
            for _ in range(200):
                key = f"k{rng.randrange(20_000)}"
                size = rng.choice((5, 50, 500, 5000, 17_000)) if rng.random() < 0.99 else rng.randrange(2 * MB)
                commands.append(rng.choice((("SET", key, b"x" * size), ("APPEND", key, b"x" * size), ("GET", key), ("DEL", key), ("EXPIRE", key, "1"), ("COPY", key, key + "c"))))
            connection.pipeline(commands)
            if turn % 20 == 19:
                connection.call("CONFIG", "SET", "maxmemory-policy", rng.choice(("allkeys-lru", "volatile-ttl", "allkeys-lfu")))
            if turn % 25 == 24:
                connection.call("FLUSHALL")
            check(connection)
        assert check(connection)["peak.allocated"] <= 26 * MB


@pytest.mark.parametrize("size, count", [(0, 30_000), (30, 30_000), (300, 20_000), (5000, 2000), (16_400, 1000), (70_000, 300), (1_500_000, 10)])
def test_memory_usage_of_all_keys_explains_what_they_added(start, size, count):
    server = start("--maxmemory", "0")
    with server.connect() as connection:
        before, _ = both(connection)
        for first in range(0, count, 100):
            connection.pipeline([("SET", f"key:{n:08}", b"x" * size) for n in range(first, min(first + 100, count))])
        stats = check(connection)
        usage = [sum(connection.pipeline([("MEMORY", "USAGE", f"key:{n:08}") for n in range(first, min(first + 1000, count))])) for first in range(0, count, 1000)]
        added = {part: stats[f"{part}.bytes"] - before[f"{part}.bytes"] for part in DATA}
        explained, total = sum(usage), sum(added.values())
        # Beyond it: a segment in use for each shard, and the end of each that is full; the index beyond 6 bytes a key.
        shards = 128  # of two threads
        segments = added["segments"] // SEGMENT
        entry = min(size + 64, 16_384)
        ends = shards * SEGMENT + segments * entry
        assert total >= explained - count, "less than a byte of the index a key"
        assert total - explained <= ends + max(0, added["index"] - 6 * count), (total, explained, added)
        assert 64 * count // 12 <= added["index"] <= 9 * count + shards * 2 * 4096  # pages of the index that are not full
        if size >= 16_400:
            # A block is its header and the value, rounded to half a kilobyte, from a megabyte on to pages; pages are counted once.
            block = -(-(size + 48) // 512) * 512 if size < MB else -(-(size + 48) // 4096) * 4096
            assert block * count <= added["blobs"] <= block * count + 4096 * (count if size < MB else 0)
        assert connection.call("FLUSHALL") == "OK"
        eventually(lambda: all(both(connection)[0][f"{part}.bytes"] == 0 for part in DATA))


def test_a_value_that_two_keys_share_is_counted_once(client):
    client.call("SET", "a", b"x" * 100_000)
    before = check(client)["blobs.bytes"]
    assert client.call("COPY", "a", "b") == 1
    assert check(client)["blobs.bytes"] == before
    assert client.call("MEMORY", "USAGE", "a") == client.call("MEMORY", "USAGE", "b") > 100_000
    client.call("SETRANGE", "b", "0", "y")
    assert check(client)["blobs.bytes"] > before + 100_000
    client.call("DEL", "a", "b")
    assert check(client)["blobs.bytes"] == 0


COPIES = {
    "COPY REPLACE again": [("COPY", "a", "b", "REPLACE")] * 3,
    "RENAME onto a copy": [("COPY", "a", "b"), ("RENAME", "a", "b")],
    "RENAME there and back": [("RENAME", "a", "b"), ("RENAME", "b", "a")],
    "COPY to another database": [("COPY", "a", "a", "DB", "1", "REPLACE")] * 2,
    "MOVE": [("MOVE", "a", "2")],
    "inside EXEC": [("MULTI",), ("COPY", "a", "b", "REPLACE"), ("COPY", "a", "b", "REPLACE"), ("RENAME", "b", "a"), ("EXEC",)],
    "a deadline set on a copy": [("COPY", "a", "b"), ("EXPIRE", "b", "100"), ("PERSIST", "b"), ("COPY", "b", "a", "REPLACE")],
}


@pytest.mark.parametrize("name", [b"", b"n" * 5000], ids=["short names", "long names"])
@pytest.mark.parametrize("commands", COPIES.values(), ids=COPIES)
def test_however_a_block_came_to_a_key_it_goes_with_its_last_key(client, commands, name):
    eventually(lambda: check(client)["blobs.bytes"] == 0)
    keys = {"a", "b"}
    for _ in range(20):
        client.call("SET", b"a" + name, b"x" * MB)
        for command in commands:
            client.raw(*(word.encode() + name if word in keys else word for word in command))
    assert check(client)["blobs.bytes"] <= 4 * (MB + 16 * 1024)
    for database in (2, 1, 0):
        client.call("SELECT", database)
        client.call("DEL", b"a" + name, b"b" + name)
    assert check(client)["blobs.bytes"] == 0


@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers keep memory beyond the account, which the doctor finds wrong")
def test_the_doctor_names_what_is_wrong_and_only_that(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "noeviction")
    with server.connect() as connection:
        healthy = connection.call("MEMORY", "DOCTOR")
        assert healthy == b"Nothing is wrong with the memory of this server.\n"
        while connection.pipeline([("SET", f"k{connection.call('DBSIZE')}:{n}", b"x" * 1000) for n in range(500)])[-1] == "OK":
            pass
        full = connection.call("MEMORY", "DOCTOR")
        assert full.startswith(b"* Memory is nearly full") and full.count(b"* ") == 1
        connection.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        assert connection.call("MEMORY", "DOCTOR") == healthy
        connection.call("CONFIG", "SET", "maxmemory", "0")
        unlimited = connection.call("MEMORY", "DOCTOR")
        assert unlimited.startswith(b"* There is no limit") and unlimited.count(b"* ") == 1
