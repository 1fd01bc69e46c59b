"""Memory goes back to the system by itself: after a flush, when the deadline of many keys passes, and when large clients have gone.

Whoever shares the machine with a cache wants that, and nobody should have to know of MEMORY PURGE.
"""

import os

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info

MB = 1 << 20
# What an allocator may keep for itself, segments that wait to be used again, and what the program has touched meanwhile.
KEPT = 24 * MB
# Sanitizers keep what is freed, and shadows of it: of resident memory nothing is said, of the account all the same.
SANITIZED = "PINFOLD_SANITIZED" in os.environ
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis leaves it to the allocator")


def has_grown(server, before, least):
    return SANITIZED or server.rss() > before + least


def is_back(server, before):
    return SANITIZED or server.rss() < before + KEPT


def fill(connection, count, size, *options):
    for first in range(0, count, 2000):
        replies = connection.pipeline([("SET", f"key:{n}", b"x" * size, *options) for n in range(first, min(first + 2000, count))])
        assert set(replies) == {"OK"}


@pytest.mark.parametrize("command", [["FLUSHALL"], ["FLUSHALL", "SYNC"], ["FLUSHDB"]], ids=" ".join)
@pytest.mark.parametrize("size, count", [(400, 150_000), (50_000, 1200), (4 * MB, 15)])
def test_a_flush_gives_memory_back(start, command, size, count):
    server = start("--maxmemory", "256mb")
    with server.connect() as connection:
        before = server.rss()
        fill(connection, count, size)
        assert has_grown(server, before, 50 * MB)
        assert connection.call(*command) == "OK"
        eventually(lambda: is_back(server, before))
        eventually(lambda: int(info(connection, "memory")["used_memory_dataset"]) == 0)


def test_keys_that_expire_together_give_memory_back_without_traffic(start):
    count, size = 200_000, 250
    server = start("--maxmemory", "256mb")
    with server.connect() as connection:
        before = server.rss()
        # A deadline that is far enough away for all to be written before it, and not farther.
        for seconds in (3, 10, 30, 100):
            assert connection.call("FLUSHALL") == "OK"
            now = connection.call("TIME")
            fill(connection, count, size, "PXAT", (int(now[0]) + seconds) * 1000)
            resident, data = server.rss(), int(info(connection, "memory")["used_memory_dataset"])
            if connection.call("DBSIZE") == count:  # so these were measured before it
                break
        assert data > count * size and (SANITIZED or resident > before + 40 * MB)
        eventually(lambda: is_back(server, before), deadline=seconds + 30, step=0.1)
        # INFO looks at no key.
        eventually(lambda: int(info(connection, "memory")["used_memory_dataset"]) < MB, deadline=seconds + 30, step=0.1)
        eventually(lambda: int(info(connection, "stats")["expired_keys"]) >= count, deadline=30, step=0.1)
        fields = info(connection)
        assert connection.call("DBSIZE") == 0
        assert int(fields["used_memory_index"]) < 2 * MB  # two pages of each shard


def clients_memory(connection):
    return int(info(connection, "memory")["used_memory_clients"])


def test_clients_that_have_gone_leave_nothing_behind(start):
    """Half requests of many arguments, and replies that nobody reads, are in buffers that belong to connections."""
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "0", "--client-output-buffer-limit", "normal 0 0 0")
    with server.connect() as admin:
        for n in range(100):
            assert admin.call("SET", f"k{n}", b"x" * 8000) == "OK"
        before, small = server.rss(), clients_memory(admin)
        large = [server.connect() for _ in range(60)]
        every_key = resp.encode(["MGET"] + [f"k{n}" for n in range(100)] * 2)
        for connection in large[::2]:
            connection.send(b"*200\r\n$4\r\nMGET\r\n" + (b"$9990\r\n" + b"x" * 9990 + b"\r\n") * 150)
        for connection in large[1::2]:
            connection.send(every_key * 3)
        eventually(lambda: clients_memory(admin) > 60 * MB)
        assert has_grown(server, before, KEPT + 10 * MB)  # a part of the buffers has not been touched
        for connection in large:
            connection.close()
        eventually(lambda: clients_memory(admin) < small + MB)
        eventually(lambda: is_back(server, before))


def test_a_client_that_stays_gives_its_buffers_back(start):
    """A drop in load, not of connections: pools keep those open for days."""
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "0")
    with server.connect() as admin:
        before, small = server.rss(), clients_memory(admin)
        pool = [server.connect() for _ in range(60)]
        parts = b"$9990\r\n" + b"x" * 9990 + b"\r\n"
        for connection in pool:
            connection.send(b"*151\r\n$4\r\nMGET\r\n" + parts * 149)
        eventually(lambda: clients_memory(admin) > 60 * MB)
        for connection in pool:
            connection.send(parts)
        assert all(connection.read() == [None] * 150 for connection in pool)
        eventually(lambda: clients_memory(admin) < small + 2 * MB)
        eventually(lambda: is_back(server, before))
        assert all(connection.call("PING") == "PONG" for connection in pool)
