"""maxmemory-clients: clients have memory of their own, and those that take most of it have to go."""

import contextlib
import socket

import pytest

from tests.support import resp
from tests.support.connection import PATIENCE, Closed, is_closed
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

MB = 1 << 20
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis counts otherwise")


def number(connection, field, section="everything"):
    return int(info(connection, section)[field])


def clients(connection):
    """CLIENT LIST by name."""
    lines = connection.call("CLIENT", "LIST").decode().splitlines()
    listed = [dict(field.split("=", 1) for field in line.split(" ")) for line in lines]
    return {fields["name"]: fields for fields in listed}


def named(server, name):
    connection = server.connect()
    assert connection.call("CLIENT", "SETNAME", name) == "OK"
    return connection


def half_send(connection, size):
    """The beginning of a request of arguments that are all small, and so are gathered in the input buffer."""
    parts = size // 10_000
    connection.send(b"*%d\r\n$4\r\nMGET\r\n" % (parts + 10) + (b"$9990\r\n" + b"x" * 9990 + b"\r\n") * parts)


def test_the_largest_client_goes_first_and_data_stays(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "4mb")
    with named(server, "admin") as admin, named(server, "modest") as modest, named(server, "largest") as largest:
        admin.pipeline([("SET", f"k{i}", "x" * 1000) for i in range(50_000)])
        keys, evicted = admin.call("DBSIZE"), number(admin, "evicted_keys")
        # A buffer may be larger by a quarter than what is in it, and all three are in any case over the limit, and two never.
        half_send(modest, 400_000)
        half_send(largest, 2_400_000)
        eventually(lambda: int(clients(admin)["largest"]["tot-mem"]) > 2_400_000)
        with named(server, "third") as third:
            half_send(third, 1_700_000)
            eventually(lambda: "largest" not in clients(admin))
            assert is_closed(largest.socket, PATIENCE)
            assert {"admin", "modest", "third"} <= clients(admin).keys()
            assert number(admin, "evicted_clients") == 1
            assert number(admin, "mem_clients_normal") < 4 * MB
        assert admin.call("DBSIZE") == keys
        assert number(admin, "evicted_keys") == evicted
        eventually(lambda: "maxmemory-clients" in server.log())
        assert admin.call("CONFIG", "RESETSTAT") == "OK"
        assert number(admin, "evicted_clients") == 0


BEYOND_CLIENTS = "ERR the command would take more memory than clients may have (maxmemory-clients, maxmemory-user)"


def test_queued_commands_and_watched_keys_count(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "1mb")
    with named(server, "admin") as admin, named(server, "queueing") as queueing, named(server, "watching") as watching:
        queueing.call("MULTI")
        with pytest.raises((Closed, OSError)):
            for i in range(200):
                queueing.call("SET", f"k{i}", "x" * 10_000)
        replies = [watching.call("WATCH", f"{i}" + "x" * 10_000) for i in range(200)]
        assert "OK" in replies and replies[-1] == BEYOND_CLIENTS
        assert number(admin, "mem_clients_normal") <= MB + MB // 4
        assert watching.call("UNWATCH") == "OK"
        assert admin.call("DBSIZE") == 0
        assert number(admin, "evicted_clients") == 1
        eventually(lambda: number(admin, "mem_clients_normal") < MB // 4)


def test_names_to_watch_that_clients_have_no_memory_for_are_refused_before_they_are_copied(start):
    server = start("--maxmemory", "64mb")
    with named(server, "admin") as admin, named(server, "watching") as watching:
        assert watching.call("WATCH", "kept", "k" * 500_000) == "OK"
        assert watching.call("WATCH", "small", "x" * (5 * MB)) == BEYOND_CLIENTS
        assert watching.call("WATCH", "w") == "OK"
        assert number(admin, "evicted_clients") == 0
        assert admin.call("SET", "small", "v") == "OK"  # not watched
        assert watching.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"]
        assert watching.call("WATCH", "kept") == "OK"
        assert admin.call("SET", "kept", "v") == "OK"
        assert watching.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None


def test_a_client_that_asked_not_to_be_evicted_stays(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "1mb")
    with named(server, "admin") as admin, named(server, "exempt") as exempt, named(server, "other") as other:
        assert exempt.call("CLIENT", "NO-EVICT", "ON") == "OK"
        half_send(exempt, 3_000_000)
        eventually(lambda: int(clients(admin)["exempt"]["tot-mem"]) > 3_000_000)
        half_send(other, 600_000)
        eventually(lambda: number(admin, "mem_clients_normal") > 3 * MB and "exempt" in clients(admin))
        for connection in (named(server, "late"), named(server, "later")):
            connection.close()
        assert "exempt" in clients(admin)


def test_without_a_limit_nobody_goes(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "0")
    with named(server, "admin") as admin, named(server, "largest") as largest:
        half_send(largest, 30_000_000)
        eventually(lambda: int(clients(admin)["largest"]["tot-mem"]) > 30_000_000)
        assert number(admin, "evicted_clients") == 0
        assert admin.call("CONFIG", "SET", "maxmemory-clients", "2mb") == "OK"
        eventually(lambda: admin.call("PING") and "largest" not in clients(admin))
        assert number(admin, "evicted_clients") == 1


def test_a_percentage_follows_maxmemory_and_is_four_megabytes_at_least(start):
    server = start("--maxmemory", "1gb")
    with server.connect() as admin:
        def share(*settings):
            if settings:
                assert admin.call("CONFIG", "SET", *settings) == "OK"
            return number(admin, "maxmemory_clients")

        assert admin.call("CONFIG", "GET", "maxmemory-clients") == [b"maxmemory-clients", b"5%"]
        assert share() == pytest.approx(1024 * MB / 20, abs=100)
        assert share("maxmemory", "400mb") == pytest.approx(20 * MB, abs=100)
        assert share("maxmemory", "10mb") == 4 * MB
        assert share("maxmemory-clients", "100%") == pytest.approx(10 * MB, abs=100)
        assert admin.call("CONFIG", "GET", "maxmemory-clients") == [b"maxmemory-clients", b"100%"]
        assert share("maxmemory", "0") == 0
        assert share("maxmemory-clients", "1mb") == MB
        assert share("maxmemory-clients", "1") == 128 * 1024
        assert share("maxmemory-clients", "0") == 0
        for bad, reason in (("101%", "percentage argument must be less or equal to 100"), ("x", "argument must be a memory or percent value"), ("-5%", "argument must be a memory or percent value")):
            assert admin.call("CONFIG", "SET", "maxmemory-clients", bad).startswith("ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - " + reason)


TOO_LARGE = "ERR the reply would take more memory than clients may have (maxmemory-clients, maxmemory-user)"


def test_a_reply_beyond_the_share_is_an_error_in_its_place(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "4mb")
    with named(server, "admin") as admin, named(server, "other") as other:
        admin.pipeline([("SET", f"k{i}", "x" * 1000) for i in range(3000)])
        every_key = ["MGET"] + [f"k{i}" for i in range(3000)]
        assert admin.call(*every_key) == [b"x" * 1000] * 3000
        before = server.rss()
        largest = named(server, "largest")
        too_much = ["MGET"] + [f"k{i}" for i in range(3000)] * 3
        for _ in range(5):
            assert largest.pipeline([("ECHO", "before"), too_much, ("ECHO", "behind")]) == [b"before", TOO_LARGE, b"behind"]
        largest.pipeline([("MULTI",), ("SET", "done", "1"), too_much])
        assert largest.call("EXEC").startswith("ERR the transaction was executed, but its replies would take more memory")
        assert largest.call("GET", "done") == b"1"
        assert largest.call(*every_key) == [b"x" * 1000] * 3000
        assert server.rss() - before < bound(12 * MB)
        assert number(admin, "evicted_clients") == 0
        assert other.call("PING") == "PONG"
        exempt = named(server, "exempt")
        exempt.call("CLIENT", "NO-EVICT", "ON")
        assert len(exempt.call("MGET", *[f"k{i}" for i in range(3000)] * 3)) == 9000
        assert "exempt" in clients(admin)


def test_large_values_in_replies_are_data_and_are_not_copied(start):
    server = start("--maxmemory", "100mb", "--maxmemory-clients", "1mb", "--threads", "1")
    with named(server, "admin") as admin:
        value = b"x" * (10 * MB)
        admin.call("SET", "large", value)
        slow = [named(server, f"slow{n}") for n in range(4)]
        for connection in slow:
            connection.send(resp.encode(["GET", "large"]))
        eventually(lambda: all(int(clients(admin)[f"slow{n}"]["omem"]) > 0 for n in range(4)))
        assert number(admin, "mem_clients_normal") < MB // 2
        assert number(admin, "used_memory") < 12 * MB
        for connection in slow:
            assert connection.read() == value
        assert number(admin, "evicted_clients") == 0
        assert number(admin, "used_memory_peak") < 12 * MB


def test_values_that_only_wait_to_be_read_hold_half_of_the_memory_at_most(start):
    server = start("--maxmemory", "64mb", "--threads", "1")
    with named(server, "admin") as admin:
        deaf = []
        for n in range(40):
            # What waits to be read is memory in use: there is room again once the first have been closed.
            eventually(lambda: admin.call("SET", "large", bytes([n]) * (4 * MB)) == "OK")
            deaf.append(named(server, f"deaf{n}"))
            deaf[-1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf[-1].send(resp.encode(["GET", "large"]))
            deaf[-1].send(resp.encode(["PING"]))
        admin.call("DEL", "large")
        eventually(lambda: len(clients(admin)) < 16)
        eventually(lambda: admin.call("SET", "large", b"x" * (20 * MB)) == "OK")


def test_buffers_show_what_is_unread_and_what_is_free(start):
    server = start()
    with named(server, "admin") as admin, named(server, "half") as half, named(server, "large") as large:
        half.send(b"*2\r\n$4\r\nECHO\r\n$100\r\n" + b"x" * 50)
        eventually(lambda: clients(admin)["half"]["qbuf"] == "70")
        fields = clients(admin)
        assert int(fields["half"]["qbuf"]) + int(fields["half"]["qbuf-free"]) == 512
        assert int(fields["admin"]["qbuf"]) == len(resp.encode(["CLIENT", "LIST"]))
        assert fields["half"]["argv-mem"] == "0"
        large.send(b"*2\r\n$4\r\nECHO\r\n$1000000\r\n" + b"x" * 300_000)
        eventually(lambda: clients(admin)["large"]["argv-mem"] == "300000")
        fields = clients(admin)["large"]
        assert int(fields["qbuf"]) < 100 and int(fields["tot-mem"]) < 20_000
        large.send(b"x" * 700_000 + b"\r\n")
        assert large.read() == b"x" * 1_000_000
        eventually(lambda: clients(admin)["large"]["argv-mem"] == "0" and clients(admin)["large"]["qbuf"] == "0")


def test_lines_about_closed_clients_are_few(start):
    server = start("--client-output-buffer-limit", "normal 1mb 0 0", "--threads", "1")
    with server.connect() as admin:
        admin.call("SET", "k", "x" * 7000)
        for _ in range(60):
            with server.connect() as largest:
                largest.send(resp.encode(["MGET"] + ["k"] * 300))
                assert is_closed(largest.socket, PATIENCE)
        assert number(admin, "client_output_buffer_limit_disconnections") == 60
        lines = eventually(lambda: [line for line in server.log().splitlines() if "closing client" in line])
        assert len(lines) < 40


def test_unauthenticated_clients_do_not_push_out_authenticated_ones(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "4mb", "--requirepass", "secret", "--threads", "1")

    def authenticated():
        connection = server.connect()
        assert connection.call("AUTH", "secret") == "OK"
        return connection

    with authenticated() as admin:
        users = [authenticated() for _ in range(5)]
        for user in users:
            half_send(user, 300_000)
        eventually(lambda: number(admin, "mem_clients_normal") > 1_500_000)
        unauthenticated = [server.connect() for _ in range(60)]
        for client in unauthenticated:
            with contextlib.suppress(OSError):
                client.send(b"*10\r\n" + (b"$16000\r\n" + b"x" * 16000 + b"\r\n") * 9)
        eventually(lambda: number(admin, "connected_clients") < 6 + 60)
        assert number(admin, "mem_clients_normal") < 3 * MB
        for user in users:
            assert not is_closed(user.socket, within=0.1)
        eventually(lambda: "unauthenticated clients" in server.log())
        # There is room for a newcomer who knows the password.
        with authenticated() as late:
            assert late.call("PING") == "PONG"
        for client in unauthenticated:
            client.close()
        eventually(lambda: number(admin, "connected_clients") == 6)
