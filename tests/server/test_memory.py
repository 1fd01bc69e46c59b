"""maxmemory: data stays under it while the server goes on serving, and what cannot fit is refused."""

import random

import pytest

from tests.support.servers import bound, eventually, is_redis

from .conftest import info

OOM = "OOM command not allowed when used memory > 'maxmemory'."
POLICIES = ["allkeys-lfu"] + (["allkeys-lru"] if is_redis() else [])


def used(connection):
    """What maxmemory bounds, and maxmemory. Clients have memory of their own beside that."""
    fields = info(connection, "memory")
    return int(fields["used_memory"]) - int(fields["mem_not_counted_for_evict"]), int(fields["maxmemory"])


@pytest.mark.parametrize("size", [10, 100, 1000, 20_000, 300_000])
def test_eviction_keeps_the_memory_under_the_limit(start, size):
    limit = 16 << 20
    server = start("--maxmemory", limit, "--maxmemory-policy", "allkeys-lfu")
    rng = random.Random(size)
    with server.connect() as connection:
        total, n = 3 * limit, 0
        while total > 0:
            batch = max(1, min(4000, (1 << 20) // (size + 50)))
            sizes = [rng.randint(size // 2, size) for _ in range(batch)]
            replies = connection.pipeline([("SET", f"key:{n + i}", "x" * s) for i, s in enumerate(sizes)])
            assert set(replies) == {"OK"}
            n += batch
            total -= sum(s + 60 for s in sizes)
            memory, _ = used(connection)
            assert memory <= limit + (1 << 20 if is_redis() else 0), f"{memory} of {limit}"
        assert int(info(connection, "stats")["evicted_keys"]) > 0
        assert connection.call("DBSIZE") > 10
        assert connection.call("GET", f"key:{n - 1}") is not None, "the last one written is there"
        assert server.rss() < bound(limit * 105 // 100 + (12 << 20))


@pytest.mark.skipif(is_redis(), reason="Redis does not bound what is resident")
def test_idle_connections_are_within_the_bound_too(start, many_files):
    limit = 48 << 20
    server = start("--maxmemory", str(limit), "--maxclients", "10000")
    with server.connect() as connection:
        connections = [server.connect() for _ in range(6000)]
        for n in range(120):
            connection.pipeline([("SET", f"key:{n}:{i}", "x" * 500) for i in range(1000)])
        assert int(info(connection, "stats")["evicted_keys"]) > 0
        eventually(lambda: server.rss() < bound(limit * 105 // 100 + (12 << 20)))
        assert connection.call("GET", "key:119:999") is not None
        for other in connections:
            other.close()


def test_hot_keys_survive_a_scan_of_cold_ones(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lfu")
    hot = [f"hot:{i}" for i in range(200)]
    with server.connect() as connection:
        connection.pipeline([("SET", key, "x" * 500) for key in hot])
        for n in range(150):
            connection.pipeline([("GET", key) for key in hot])
            connection.pipeline([("SET", f"cold:{n}:{i}", "x" * 500) for i in range(300)])
        alive = sum(value is not None for value in connection.call("MGET", *hot))
        assert alive >= 180, f"{alive} of 200 hot keys are left"


def test_without_eviction_writes_are_refused_and_reads_and_deletes_are_not(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "noeviction")
    large = "x" * (1 << 20)
    with server.connect() as connection:
        assert connection.call("SET", "large", large) == "OK"
        n = 0
        while True:
            replies = connection.pipeline([("SET", f"key:{n + i}", "x" * 1000) for i in range(1000)])
            n += 1000
            if replies[-1] != "OK":
                break
            assert n < 100_000
        assert replies[-1] == OOM
        refused = [
            ["SET", "new", large], ["SET", "key:0", large], ["APPEND", "key:0", large], ["MSET", "a", "1", "b", large], ["SETRANGE", "key:0", "1", large],
            ["GETSET", "key:0", large], ["SETNX", "new", large], ["SETEX", "new", "10", large], ["PSETEX", "new", "10000", large], ["MSETNX", "new", large],
        ]  # fmt: skip
        if not is_redis():  # it looks at the memory before a command only, and so goes over the limit with these
            refused += [["COPY", "large", "new"], ["BITOP", "NOT", "new", "large"], ["SETBIT", "key:0", "8000000", "1"], ["BITFIELD", "key:0", "SET", "u8", "8000000", "1"]]
        for command in refused:
            assert connection.call(*command) == OOM, command[:2]
        assert connection.call("EXISTS", "new", "a", "b") == 0
        assert connection.call("GET", "key:0") == b"x" * 1000
        assert connection.call("EXPIRE", "key:1", 1000) == 1
        if is_redis():
            assert connection.pipeline([("MULTI",), ("SET", "t", large)])[1] == OOM
            assert connection.call("EXEC").startswith("EXECABORT")
        else:
            replies = connection.pipeline([("MULTI",), ("SET", "t", large), ("EXEC",)])
            assert OOM in replies or replies[-1] == [OOM]
        assert connection.call("EXISTS", "t") == 0
        connection.pipeline([("DEL", f"key:{i}") for i in range(n)])
        eventually(lambda: connection.call("SET", "new", large) == "OK")


@pytest.mark.skipif(is_redis(), reason="Redis stores it and stays over the limit")
def test_a_value_larger_than_the_memory_is_refused_and_evicts_not_everything(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lfu")
    with server.connect() as connection:
        connection.pipeline([("SET", f"small:{i}", "x" * 100) for i in range(1000)])
        assert connection.call("SET", "huge", "x" * (40 << 20)) == OOM
        assert connection.call("EXISTS", "huge") == 0
        assert connection.call("DBSIZE") >= 900
        memory, limit = used(connection)
        assert memory <= limit


@pytest.mark.skipif(is_redis(), reason="Redis stores it and stays over the limit")
@pytest.mark.parametrize("growth", [["SETRANGE", "g", "60000000", "x"], ["SETBIT", "g", "480000000", "1"], ["BITFIELD", "g", "SET", "u8", "480000000", "1"]], ids=lambda a: a[0])
def test_a_value_cannot_be_grown_beyond_the_memory(start, growth):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lfu")
    with server.connect() as connection:
        connection.call("SET", "g", "v")
        connection.pipeline([("SET", f"small:{i}", "x" * 100) for i in range(1000)])
        assert connection.call(*growth) == OOM
        assert connection.call("GET", "g") == b"v"
        assert connection.call("DBSIZE") >= 900
        assert server.rss() < bound(100 << 20)


def test_large_values_are_kept_whole_under_pressure(start):
    """Values that fit are returned as they were written, or not at all."""
    server = start("--maxmemory", "32mb", "--maxmemory-policy", "allkeys-lfu")
    rng = random.Random(11)
    with server.connect() as connection:
        written = {}
        for n in range(600):
            key = f"k{rng.randint(0, 150)}"
            value = bytes([rng.randint(0, 255)]) * rng.randint(1, 400_000)
            reply = connection.call("SET", key, value)
            assert reply == "OK"
            written[key] = value
            probe = f"k{rng.randint(0, 150)}"
            found = connection.call("GET", probe)
            assert found is None or found == written[probe]


def test_memory_commands_answer(client):
    client.call("SET", "k", "v" * 1000)
    assert client.call("MEMORY", "USAGE", "k") >= 1000
    assert client.call("MEMORY", "USAGE", "none") is None
    stats = client.call("MEMORY", "STATS")
    fields = dict(zip(stats[::2], stats[1::2]))
    assert {b"peak.allocated", b"total.allocated", b"keys.count", b"dataset.bytes"} <= fields.keys()
    assert fields[b"keys.count"] == 1
    assert client.call("MEMORY", "PURGE") == "OK"
    assert isinstance(client.call("MEMORY", "DOCTOR"), bytes)
