"""What happens to requests and replies when a client closes, does not keep up, or is blocked."""

import socket
import struct

import pytest

from tests.server.conftest import info
from tests.support import resp
from tests.support.cache import LONG
from tests.support.servers import bound, eventually, is_redis


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 65, 300, 5000])
def test_requests_sent_before_a_client_closes_are_all_executed(client, server, count):
    client.call("FLUSHALL")
    with server.connect() as sender:
        sender.send(b"".join(resp.encode(["SET", f"sent:{i}", "v"]) for i in range(count)))
        sender.socket.shutdown(socket.SHUT_WR)
        assert sender.read_until_closed() == b"+OK\r\n" * count
    assert client.call("DBSIZE") == count


@pytest.mark.parametrize("size", [511, 512, 513, 16383, 16384, 16385, 32768])
def test_a_request_of_the_size_of_a_buffer_is_executed_before_the_close(client, server, size):
    client.call("DEL", "exact")
    head = len(resp.encode(["SET", "exact", ""])) + len(str(size)) - 1
    request = resp.encode(["SET", "exact", "x" * (size - head)])
    with server.connect() as sender:
        sender.send(request)
        sender.socket.shutdown(socket.SHUT_WR)
        assert sender.read_until_closed() == b"+OK\r\n"
    assert client.call("EXISTS", "exact") == 1



@pytest.mark.skipif(is_redis(), reason="Redis has no leases")
@pytest.mark.parametrize("request_, reply", [
    (("PING",), b"+PONG\r\n"),
    (("CACHE.GET", "held", "WAIT", LONG), b"*4\r\n$4\r\nmiss\r\n$-1\r\n:0\r\n:"),
    (("CACHE.PURGE", "PREFIX", "nothing", "SYNC"), b":0\r\n"),
], ids=lambda value: value[0] if isinstance(value, tuple) else "")  # fmt: skip
def test_a_client_that_sends_its_pipeline_and_closes_its_side_gets_all_replies(client, connect, request_, reply):
    """Behind more replies than a client may leave unread before it is served further."""
    client.call("FLUSHALL")
    value = b"v" * 1_000_000
    client.call("SET", "big", value)
    assert client.call("CACHE.GET", "held", "LEASE", LONG)[2] > 0
    sender = connect(timeout=60)
    sender.send(b"".join(resp.encode(request) for request in [("GET", "big")] * 60 + [request_, ("ECHO", "between"), request_, ("ECHO", "end")]))
    sender.socket.shutdown(socket.SHUT_WR)
    blocked = lambda line: b" cmd=get " in line and b" omem=0 " not in line  # noqa: E731
    eventually(lambda: any(map(blocked, client.call("CLIENT", "LIST").splitlines())))
    for _ in range(60):
        assert sender.read() == value
    left = sender.read_until_closed()
    assert left.startswith(reply) and left.endswith(b"$3\r\nend\r\n")
    assert left.count(reply) == 2 and b"$7\r\nbetween\r\n" in left


def test_a_paused_client_that_resets_its_connection_is_let_go(client, server, connect):
    gone = connect()
    assert client.call("CLIENT", "PAUSE", "60000", "WRITE") == "OK"
    try:
        gone.send(resp.encode(["SET", "paused", "1"]))
        eventually(lambda: info(client)["connected_clients"] == "2")
        gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.socket.close()
        eventually(lambda: info(client)["connected_clients"] == "1")
    finally:
        client.call("CLIENT", "UNPAUSE")
    assert client.call("EXISTS", "paused") == 0


def test_a_backlog_that_never_drains_does_not_grow(client, server, connect):
    client.call("SET", "big", "x" * 100_000)
    slow = connect()
    request = resp.encode(["GET", "big"])
    reply = len(b"$100000\r\n") + 100_000 + 2
    ahead = 200
    slow.send(request * ahead)
    before = server.rss()
    for _ in range(60):
        slow.send(request * 50)
        left = reply * 50
        while left > 0:
            left -= len(slow.socket.recv(min(left, 1 << 20)))
    # 300 MB have gone through with 20 MB waiting all the time.
    assert server.rss() - before < bound(120 << 20)


def test_a_transaction_cannot_take_more_than_the_memory(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        connection.call("MULTI")
        connection.pipeline([("SETRANGE", f"key:{i}", "65000", "x") for i in range(3000)])
        replies = connection.call("EXEC")
        assert any("OOM" in str(reply) for reply in replies)
        fields = info(connection)
        assert int(fields["used_memory"]) - int(fields["mem_not_counted_for_evict"]) <= (64 << 20) * 65 // 64 + 4096  # what was queued cannot be refused one by one


def test_a_reply_larger_than_the_memory_is_refused(start):
    server = start("--maxmemory", "300mb")
    with server.connect() as connection:
        connection.call("SET", "k", "v" * 8000)
        assert "maxmemory-clients" in connection.call("MGET", *["k"] * 40_000)
        assert connection.call("GET", "k") == b"v" * 8000
        assert server.rss() < bound(300 << 20)


def test_the_newest_of_large_values_survive_eviction(start):
    server = start("--maxmemory", "64mb", "--threads", "1")
    with server.connect() as connection:
        for i in range(1500):
            assert connection.call("SET", f"large:{i}", "x" * 100_000) == "OK"
        newest = [connection.call("EXISTS", f"large:{i}") for i in range(1500 - 200, 1500)]
        assert sum(newest) == len(newest)


def test_a_lowered_limit_takes_effect_without_a_write(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        connection.pipeline([("SET", f"key:{i}", "x" * 1000) for i in range(40_000)])
        assert connection.call("CONFIG", "SET", "maxmemory", "24mb") == "OK"
        eventually(lambda: int(info(connection)["used_memory"]) <= 24 << 20)
        assert connection.call("DBSIZE") > 5000


def test_a_client_without_a_password_is_served_fully_once_none_is_asked_for(start):
    server = start("--requirepass", "secret")
    with server.connect() as unauthenticated, server.connect() as authenticated:
        authenticated.call("AUTH", "secret")
        authenticated.call("CONFIG", "SET", "requirepass", "")
        pairs = [part for i in range(20) for part in (f"k{i}", "v")]
        assert unauthenticated.call("MSET", *pairs) == "OK"
