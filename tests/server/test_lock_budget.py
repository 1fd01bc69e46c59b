"""What is done while shards are locked, counted: no job of the store does more in one hold than its budget."""

import select

import pytest

from tests.support.servers import eventually, is_redis

from .conftest import info

MB = 1 << 20
pytestmark = pytest.mark.skipif(is_redis(), reason="a figure of ours")


def work(connection):
    """What was done at most in one hold, by cause."""
    lines = info(connection, "locks")
    return {
        name.removeprefix("lock_work_"): {part: int(count) for part, count in (pair.split("=") for pair in text.split(","))}
        for name, text in lines.items()
        if name.startswith("lock_work_")
    }


def expect_bounded(connection, *causes):
    done = work(connection)
    for cause in causes:
        for part, most in {"entries": 512, "bytes": 256 * 1024, "nodes": 512, "system_calls": 0}.items():
            assert done[cause][part] <= most, (cause, done[cause])


@pytest.fixture
def counted(start):
    with start("--maxmemory", "64mb", "--lock-accounting", "yes").connect() as connection:
        yield connection


def test_what_frees_large_values_makes_no_system_call_under_a_lock(counted):
    counted.call("SET", "first", "x")  # for which the index maps its first region
    counted.call("CONFIG", "RESETSTAT")
    for name in range(6):
        counted.call("SET", f"k{name}", b"x" * (5 * MB))
    for name in range(200):
        counted.call("SET", f"small{name}", b"x" * 40_000)
    for name in range(6):
        counted.call("SET", f"k{name}", b"short")
    counted.call("SET", "k0", b"x" * (5 * MB))
    counted.call("COPY", "k0", "k1", "REPLACE")
    counted.call("DEL", "k0", "k1")
    counted.pipeline([("UNLINK", f"small{name}") for name in range(200)])
    counted.call("FLUSHALL")
    done = work(counted)
    for command in ("del", "unlink", "set", "copy"):  # FLUSHALL wakes the background
        assert done[command]["system_calls"] == 0, (command, done[command])
    eventually(lambda: int(info(counted)["used_memory_blobs"]) == 0)


def test_eviction_and_a_lowered_limit_keep_to_the_budget(counted):
    counted.pipeline([("SET", f"tiny{n}", b"x" * (n % 30)) for n in range(150_000)])
    for first in range(0, 4000, 100):
        counted.pipeline([("SET", f"{n}:" + "k" * (n % 3000), b"x" * (n * 37 % 60_000)) for n in range(first, first + 100)])
    assert int(info(counted)["evicted_keys"]) > 1000
    counted.call("CONFIG", "SET", "maxmemory", "16mb")
    eventually(lambda: int(info(counted)["used_memory"]) < 18 * MB)
    expect_bounded(counted, "evict", "lower-memory")


def test_purges_with_sync_come_to_their_end_while_large_values_come_and_go(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as writer, server.connect() as purger:
        assert writer.call("CACHE.SET", "k", "v", "TAGS", 1, "t") == "OK"
        purger.send_command("CACHE.PURGE", "TAGS", 1, "t", "SYNC")
        for n in range(400):
            writer.call("SET", "large", bytes([n % 256]) * (4 * MB))
            if select.select([purger.socket], [], [], 0)[0]:
                break
        else:
            pytest.fail("the purge still waits after 400 writes")
        assert int(purger.read_raw()[1:]) > 0
