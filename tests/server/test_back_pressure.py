"""A client that has not read its replies is not served further until it has: it is blocked, not closed, and memory is bounded."""

import contextlib
import socket
import threading

import pytest

from tests.support import resp
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

MB = 1 << 20
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis lets replies grow")


def number(connection, field, section="everything"):
    return int(info(connection, section)[field])


def send_then_read(connection, payload, count):
    """As redis-py does with a pipeline: nothing is read before everything has been sent."""
    connection.send(payload)
    return [connection.read() for _ in range(count)]


@pytest.fixture
def quarter(start):
    """The server of the well-behaved, and a connection to it."""
    server = start("--maxmemory", "256mb", "--threads", "2")
    with server.connect() as connection:
        yield server, connection


def test_a_pipeline_that_is_sent_before_anything_is_read_succeeds(quarter):
    server, admin = quarter
    admin.pipeline([("SET", f"key:{i}", b"%06d" % i * 170) for i in range(20_000)])
    before = server.rss()
    with server.connect(timeout=60) as client:
        client.send(b"".join(resp.encode(["GET", f"key:{i % 20_000}"]) for i in range(100_000)))
        eventually(lambda: number(admin, "mem_clients_normal") > 0 and admin.call("PING") == "PONG")
        for i in range(100_000):
            assert client.read() == b"%06d" % (i % 20_000) * 170
        assert client.call("PING") == "PONG"
    assert server.rss() - before < bound(16 * MB)
    assert number(admin, "client_output_buffer_limit_disconnections") == 0
    assert number(admin, "evicted_clients") == 0


def test_large_replies_succeed_where_a_copy_would_not_fit(quarter):
    server, admin = quarter
    big = bytes(range(256)) * (20 * MB // 256)
    assert admin.call("SET", "big", big) == "OK"
    for i in range(64):
        admin.call("SET", f"value:{i}", bytes([i]) * 20_000)
    before = server.rss()
    with server.connect(timeout=60) as client:
        assert client.call("GETRANGE", "big", 1, -1) == big[1:]
        assert client.call("SUBSTR", "big", 3, -5) == big[3:-4]
        assert client.call("ECHO", big[: 10 * MB]) == big[: 10 * MB]
        assert client.call("PING", big[: 10 * MB]) == big[: 10 * MB]
        assert client.call("MGET", *["big"] * 5) == [big] * 5
        names = [f"value:{i % 64}" for i in range(5000)]
        assert client.call("MGET", *names) == [bytes([i % 64]) * 20_000 for i in range(5000)]
    assert server.rss() - before < bound(16 * MB)
    assert number(admin, "evicted_keys") == 0


def test_a_transaction_of_a_hundred_thousand_small_reads_succeeds(quarter):
    server, admin = quarter
    admin.pipeline([("SET", f"key:{i}", f"value:{i}") for i in range(1000)])
    before = server.rss()
    with server.connect(timeout=60) as client:
        requests = [resp.encode(["MULTI"])] + [resp.encode(["GET", f"key:{i % 1000}"]) for i in range(100_000)] + [resp.encode(["EXEC"])]
        replies = send_then_read(client, b"".join(requests), 100_002)
        assert replies[0] == "OK" and set(replies[1:-1]) == {"QUEUED"}
        assert replies[-1] == [b"value:%d" % (i % 1000) for i in range(100_000)]
    assert server.rss() - before < bound(24 * MB)
    assert number(admin, "evicted_clients") == 0


def test_requests_of_every_kind_keep_their_order_while_they_are_blocked(quarter):
    server, admin = quarter
    large = b"y" * 300_000
    requests = []
    expected = []
    for i in range(400):
        requests += [("SET", f"k:{i % 7}", large if i % 5 == 0 else b"small"), ("GET", f"k:{i % 7}"), ("ECHO", f"{i}"), ("APPEND", "log", "x")]
        expected += ["OK", large if i % 5 == 0 else b"small", b"%d" % i, i + 1]
    with server.connect(timeout=60) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sender = threading.Thread(target=client.send, args=(b"".join(map(resp.encode, requests)),))
        sender.start()
        eventually(lambda: admin.call("STRLEN", "log") > 0)
        for reply in expected:
            assert client.read() == reply
        sender.join()
    assert admin.call("STRLEN", "log") == 400


def test_what_was_sent_before_the_client_shut_its_side_is_answered(quarter):
    server, admin = quarter
    admin.call("SET", "value", b"v" * 100_000)
    with server.connect(timeout=60) as client:
        client.send(resp.encode(["GET", "value"]) * 300 + resp.encode(["SET", "last", "1"]))
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(300):
            assert client.read() == b"v" * 100_000
        assert client.read_until_closed() == b"+OK\r\n"
    assert admin.call("GET", "last") == b"1"
    eventually(lambda: number(admin, "connected_clients") == 1)


def test_a_client_that_goes_on_sending_is_received_no_further_than_its_share(start):
    server = start("--maxmemory", "100mb", "--threads", "1")
    with server.connect() as admin, server.connect(timeout=3) as deaf:
        admin.call("SET", "value", b"v" * 8000)
        request = resp.encode(["GET", "value"]) * 1000
        with pytest.raises((TimeoutError, OSError)):
            for _ in range(4000):
                deaf.send(request)
        assert number(admin, "mem_clients_normal") < 6 * MB
        assert server.rss() < bound(40 * MB)
        # It can never be served: it is told apart from one that reads slowly because it goes on sending.
        eventually(lambda: number(admin, "connected_clients") == 1)
        eventually(lambda: "sends requests without reading the replies" in server.log())


def test_a_slow_reader_is_not_closed(start):
    server = start("--maxmemory", "100mb", "--threads", "1", "--client-output-buffer-limit", "normal 4mb 2mb 1")
    with server.connect() as admin, server.connect(timeout=60) as slow:
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        admin.call("SET", "value", b"v" * 8000)
        slow.send(resp.encode(["GET", "value"]) * 2000)
        for i in range(2000):
            assert slow.read() == b"v" * 8000
            if i % 100 == 0:
                assert admin.call("PING") == "PONG"
        assert number(admin, "client_output_buffer_limit_disconnections") == 0


@pytest.mark.parametrize("request_of", [
    pytest.param(lambda: ["ECHO", b"e" * (60 * MB)], id="echo"),
    pytest.param(lambda: ["PING", b"p" * (60 * MB)], id="ping"),
    pytest.param(lambda: ["GETRANGE", "stored", 1, -2], id="getrange"),
    pytest.param(lambda: ["CLIENT", "SETINFO", b"o" * (30 * MB), "x"], id="error"),
    pytest.param(lambda: ["NOSUCH" + "c" * (30 * MB)], id="unknown"),
    pytest.param(lambda: ["MGET"] + ["small"] * 100_000, id="mget"),
])
def test_hostile_replies_stay_within_the_memory(start, request_of):
    server = start("--maxmemory", "100mb", "--threads", "2")
    with server.connect(timeout=60) as admin:
        admin.call("SET", "small", b"s" * 8000)
        if request_of()[0] == "GETRANGE":
            admin.call("SET", "stored", b"v" * (70 * MB))
        peak = 0
        clients = [server.connect(timeout=60) for _ in range(3)]
        payload = resp.encode(request_of())
        for client in clients:
            client.socket.settimeout(2)
            try:
                client.send(payload)
            except (TimeoutError, OSError):
                pass
            peak = max(peak, server.rss())
        for _ in range(20):
            assert admin.call("PING") == "PONG"
            peak = max(peak, server.rss())
        assert peak < bound(100 * MB * 105 // 100 + 12 * MB), f"{peak >> 20} MB"
        for client in clients:
            client.close()


def test_readers_that_keep_deleted_values_are_let_go_and_those_of_stored_ones_stay(start):
    server = start("--maxmemory", "128mb", "--maxmemory-policy", "noeviction", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect())

        def lazy_reader(key):
            reader = stack.enter_context(server.connect())
            number = reader.call("CLIENT", "ID")
            reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.send_command("GET", key)
            return number

        def connected():
            return {int(line.split(b" ")[0][3:]) for line in admin.call("CLIENT", "LIST").splitlines()}

        assert admin.call("SET", "stays", b"v" * (8 * MB)) == "OK"
        staying = {lazy_reader("stays") for _ in range(20)}
        for n in range(10):
            assert admin.call("SET", f"goes:{n}", b"v" * (8 * MB)) == "OK"
            lazy_reader(f"goes:{n}")
        eventually(lambda: all(int(line.split(b" omem=")[1].split()[0]) > 0 for line in admin.call("CLIENT", "LIST").splitlines() if b"cmd=get" in line))
        assert len(connected()) == 31
        admin.call("DEL", *(f"goes:{n}" for n in range(10)))
        eventually(lambda: len(connected()) < 31)
        assert staying <= connected()
