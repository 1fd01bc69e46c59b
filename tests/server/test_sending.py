"""Short replies of many clients are sent together, when all that was ready has been executed: nobody's are lost, mixed up or late."""

import itertools
import socket
import struct

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info

pytestmark = pytest.mark.skipif(is_redis(), reason="this is how Pinfold sends")
BIG = b"b" * 200_000


@pytest.fixture
def one_thread(start):
    """A server that has all its clients on one thread, and a connection to it."""
    server = start("--threads", "1", "--enable-debug-command", "yes")
    with server.connect() as admin:
        admin.call("SET", "big", BIG)
        yield server, admin


def at_once(admin, *sends, seconds="0.3"):
    """Has all that is sent arrive while the thread is busy, so that it is ready in one round."""
    admin.send(resp.encode(["DEBUG", "SLEEP", seconds]))
    for send in sends:
        send()
    assert admin.read() == "OK"


def bulk(value):
    return b"$%d\r\n%b\r\n" % (len(value), value)


def kinds_of_clients(i):
    """What a client sends, and what it must get: short replies that are sent together, and all that is sent on its own."""
    mine = b"value of %d" % i
    short, text, long_text = mine * 3, mine * 500, mine * 3000
    return [
        ([("PING",)], b"+PONG\r\n"),
        ([("ECHO", short)] * 16, bulk(short) * 16),
        ([("ECHO", text)] * 5, bulk(text) * 5),
        ([("ECHO", long_text), ("ECHO", short)], bulk(long_text) + bulk(short)),
        ([("ECHO", short), ("GET", "big"), ("ECHO", short)], bulk(short) + bulk(BIG) + bulk(short)),
        ([("ECHO", short)] * 100, bulk(short) * 100),  # more than one batch
        ([("NOSUCH",), ("ECHO", short)], None),
        ([("MULTI",), ("ECHO", short), ("EXEC",)], b"+OK\r\n+QUEUED\r\n*1\r\n" + bulk(short)),
        ([("CLIENT", "REPLY", "SKIP"), ("PING",), ("ECHO", short)], bulk(short)),
        ([("CLIENT", "REPLY", "OFF"), ("PING",)], b""),
    ]


@pytest.mark.parametrize("count", [2, 63, 65, 129, 300])
def test_clients_that_ask_at_once_get_each_their_own_replies(one_thread, count):
    """Each closes its side behind its requests, so that the server closes behind its replies."""
    server, admin = one_thread
    clients = [server.connect() for _ in range(count)]
    try:
        plans = [kinds_of_clients(i)[i % len(kinds_of_clients(i))] for i in range(count)]

        def send(client, plan):
            client.send(b"".join(resp.encode(request) for request in plan[0]))
            client.socket.shutdown(socket.SHUT_WR)

        at_once(admin, *(lambda client=client, plan=plan: send(client, plan) for client, plan in zip(clients, plans)))
        for i, (client, (_, expected)) in enumerate(zip(clients, plans)):
            got = client.read_until_closed()
            if expected is None:
                assert got.startswith(b"-ERR unknown command 'NOSUCH'") and got.endswith(bulk(b"value of %d" % i * 3))
            else:
                assert got == expected
    finally:
        for client in clients:
            client.close()
    eventually(lambda: info(admin)["connected_clients"] == "1")


@pytest.mark.parametrize("ending, last", [
    (resp.encode(["QUIT"]), b"+OK\r\n"),
    (b"*1\r\n$-5\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
], ids=["quit", "protocol-error"])  # fmt: skip
def test_what_was_asked_for_before_the_end_is_sent(one_thread, ending, last):
    server, admin = one_thread
    clients = [server.connect() for _ in range(100)]
    sends = [lambda i=i, client=client: client.send(resp.encode(["ECHO", f"e{i}"]) * 3 + ending) for i, client in enumerate(clients)]
    at_once(admin, *sends)
    for i, client in enumerate(clients):
        assert client.read_until_closed() == bulk(b"e%d" % i) * 3 + last
        client.close()


def test_a_reply_that_fails_takes_nothing_from_others(start):
    """One that is too large for the memory of clients, and one that is larger than a client may leave unread."""
    server = start("--threads", "1", "--enable-debug-command", "yes", "--maxmemory", "64mb", "--maxmemory-clients", "4mb",
                   "--client-output-buffer-limit", "normal 6mb 0 0")  # fmt: skip
    with server.connect() as admin:
        admin.call("SET", "value", "v" * 1000)
        admin.call("SET", "big", b"b" * 7_000_000)
        requests = [
            (("ECHO", "short"), b"$5\r\nshort\r\n"),
            (("MGET", *["value"] * 9000), b"-ERR the reply would take more memory than clients may have (maxmemory-clients, maxmemory-user)\r\n"),
            (("GET", "big"), b""),
            (("ECHO", "s" * 30_000), bulk(b"s" * 30_000)),
        ]
        for order in itertools.permutations(requests):
            clients = [server.connect() for _ in range(8)]
            plans = [order[i // 2] for i in range(8)]
            at_once(admin, *(lambda client=client, plan=plan: client.send(resp.encode(plan[0])) for client, plan in zip(clients, plans)), seconds="0.05")
            for client, (_, expected) in zip(clients, plans):
                client.socket.shutdown(socket.SHUT_WR)
                assert client.read_until_closed() == expected
                client.close()
        eventually(lambda: info(admin)["connected_clients"] == "1")


def test_a_reply_that_is_not_sent_leaves_no_memory(start):
    server = start("--threads", "2", "--maxmemory", "256mb")
    with server.connect() as admin, server.connect() as silent:
        admin.call("SET", "value", "v" * 1000)
        used = lambda: int(info(admin)["mem_clients_normal"])  # noqa: E731
        before = used()
        silent.send(resp.encode(["CLIENT", "REPLY", "OFF"]))
        for _ in range(5):
            silent.send(resp.encode(["MGET", *["value"] * 5000]))
        eventually(lambda: info(admin).get("cmdstat_mget", "").startswith("calls=5,"))

        def is_back():
            silent.send(resp.encode(["PING"]))  # its thread is not idle
            return used() < before + 1_000_000

        eventually(is_back)


def test_a_client_that_is_gone_does_not_keep_others_from_their_replies(one_thread):
    server, admin = one_thread
    clients = [server.connect() for _ in range(60)]

    def send(i, client):
        client.send(resp.encode(["ECHO", f"e{i}"]) * 10)
        if i % 3 == 0:  # with a reset
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    at_once(admin, *(lambda i=i, client=client: send(i, client) for i, client in enumerate(clients)))
    for i, client in enumerate(clients):
        if i % 3:
            assert [client.read() for _ in range(10)] == [b"e%d" % i] * 10
        client.close()
    eventually(lambda: info(admin)["connected_clients"] == "1")


def test_what_a_full_socket_does_not_take_is_sent_when_it_has_room(one_thread):
    """With one short reply at a time, until some of them wait in the server."""
    server, admin = one_thread
    clients = [server.connect(timeout=60) for _ in range(2)]
    value = lambda i, n: b"%d,%4d;" % (i, n) * 2000  # noqa: E731
    asked = 0
    waiting = lambda: sum(b" omem=0 " not in line for line in admin.call("CLIENT", "LIST").splitlines())  # noqa: E731
    while waiting() < len(clients):
        assert asked < 2000
        for i, client in enumerate(clients):
            client.send(resp.encode(["ECHO", value(i, asked)]))
        asked += 1
    for i, client in enumerate(clients):
        for n in range(asked):
            assert client.read() == value(i, n)
        assert client.call("PING") == "PONG"
        client.close()


def test_a_client_that_is_killed_by_another_gets_what_it_had_asked_for(one_thread):
    server, admin = one_thread
    with server.connect() as victim, server.connect() as killer:
        number = victim.call("CLIENT", "ID")
        sends = [lambda: victim.send(resp.encode(["ECHO", "before"])), lambda: killer.send(resp.encode(["CLIENT", "KILL", "ID", number]))]
        at_once(admin, *sends)
        assert killer.read() == 1
        assert victim.read_until_closed() == bulk(b"before")


@pytest.mark.parametrize("count", [1, 3, 200])
def test_a_client_that_was_blocked_gets_its_replies_though_it_has_closed_its_side(one_thread, count):
    server, admin = one_thread
    clients = [server.connect() for _ in range(count)]
    assert admin.call("CLIENT", "PAUSE", 60_000, "WRITE") == "OK"
    for i, client in enumerate(clients):
        client.send(resp.encode(["SET", f"key:{i}", "v"]) + resp.encode(["ECHO", f"e{i}"]))
        client.socket.shutdown(socket.SHUT_WR)
    eventually(lambda: info(admin)["blocked_clients"] == str(count))
    assert admin.call("CLIENT", "UNPAUSE") == "OK"
    for i, client in enumerate(clients):
        assert client.read_until_closed() == b"+OK\r\n" + bulk(b"e%d" % i)
        client.close()
