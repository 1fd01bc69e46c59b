"""Clients that have not authenticated take nothing away from those that have: no memory, no connection, no time."""

import contextlib

import pytest

from tests.server.conftest import info
from tests.support import resp
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Redis makes no difference between clients")


@pytest.fixture
def crowd():
    """Connections that are closed when the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda server, count: [stack.enter_context(server.connect()) for _ in range(count)]


def logged_in(server):
    connection = server.connect()
    assert connection.call("AUTH", "s3cret") == "OK"
    return connection


def test_strangers_that_fill_maxclients_close_nobody(start, crowd):
    server = start("--requirepass", "s3cret", "--maxclients", "20")
    with logged_in(server) as admin, logged_in(server) as client:
        for stranger in crowd(server, 40):
            with contextlib.suppress(OSError, Closed):
                stranger.send(resp.encode(["PING"]))
        assert admin.call("PING") == client.call("PING") == "PONG"
        eventually(lambda: int(info(admin, "stats")["rejected_connections"]) >= 20)
        assert info(admin, "stats")["evicted_clients"] == "0"


def test_strangers_that_take_all_the_memory_they_can_are_closed_before_anybody_else(start, crowd, many_files):
    server = start("--requirepass", "s3cret", "--maxmemory", "64mb", "--maxmemory-clients", "2mb", "--threads", "1")
    with logged_in(server) as admin, logged_in(server) as holder:
        # Half of the share is one client's, which may have it.
        holder.send(b"*101\r\n$4\r\nMGET\r\n" + (b"$9990\r\n" + b"x" * 9990 + b"\r\n") * 99)
        eventually(lambda: int(info(admin, "memory")["used_memory_clients"]) > 1_000_000)
        for stranger in crowd(server, 400):
            with contextlib.suppress(OSError, Closed):
                stranger.send(b"*10\r\n" + (b"$16384\r\n" + b"x" * 16384 + b"\r\n") * 9 + b"$16384\r\n")
        eventually(lambda: int(info(admin, "stats")["evicted_clients"]) > 0)
        holder.send(b"$9990\r\n" + b"x" * 9990 + b"\r\n")
        assert holder.read() == [None] * 100, "it has not been closed"
        assert admin.call("PING") == "PONG"


def test_strangers_that_never_read_are_closed_and_nobody_else(start, crowd):
    server = start("--requirepass", "s3cret", "--maxmemory", "64mb", "--maxmemory-clients", "2mb")
    with logged_in(server) as admin, logged_in(server) as client:
        base = int(info(admin, "memory")["used_memory_clients"])
        requests = resp.encode(["GET", "k"]) * 5000
        closed = most = 0
        for deaf in crowd(server, 20):
            # The kernel takes some megabytes of replies before the server has to keep any.
            try:
                for _ in range(400):
                    deaf.send(requests)
            except OSError:
                closed += 1
            most = max(most, int(info(admin, "memory")["used_memory_clients"]) - base)
        assert closed == 20
        eventually(lambda: int(info(admin, "clients")["connected_clients"]) == 2)
        found = info(admin, "stats")
        assert int(found["client_output_buffer_limit_disconnections"]) + int(found["evicted_clients"]) == 20
        # An eighth of what all clients may take, and what the connections cost.
        assert most < (2 << 20) / 8 + 20 * 8192
        assert admin.call("PING") == client.call("PING") == "PONG"
