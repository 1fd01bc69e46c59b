"""Limits that keep one client from harming the others: connections, idle time, output buffers, descriptors."""

import resource
import socket

import pytest

from tests.support import resp
from tests.support.connection import Closed, Connection
from tests.support.servers import bound, eventually

from .conftest import info


def alone(server):
    """The only connection there is: the server has noticed that the one which found it ready is gone."""
    connection = server.connect()
    eventually(lambda: len(connection.call("CLIENT", "LIST").splitlines()) == 1)
    return connection


def test_a_connection_too_many_is_refused_with_an_error(start):
    server = start("--maxclients", "10")
    admitted = [alone(server)]
    admitted += [server.connect() for _ in range(9)]
    for connection in admitted:
        assert connection.call("PING") == "PONG"
    with server.connect() as refused:
        assert refused.read_until_closed() == b"-ERR max number of clients reached\r\n"
    admitted.pop().close()

    def admitted_again():
        try:
            with server.connect() as connection:
                return connection.call("PING") == "PONG"
        except (Closed, ConnectionError):
            return False

    eventually(admitted_again)
    assert int(info(admitted[0], "stats")["rejected_connections"]) >= 1
    for connection in admitted:
        connection.close()


def test_maxclients_can_be_changed_at_run_time(start):
    server = start("--maxclients", "50")
    with alone(server) as admin:
        assert admin.call("CONFIG", "SET", "maxclients", "2") == "OK"
        with server.connect() as second, server.connect() as third:
            assert second.call("PING") == "PONG"
            assert third.read_until_closed() == b"-ERR max number of clients reached\r\n"
            assert admin.call("CONFIG", "SET", "maxclients", "50") == "OK"
            with server.connect() as fourth:
                assert fourth.call("PING") == "PONG"


def test_an_idle_client_is_closed_after_the_timeout_and_a_busy_one_is_not(start):
    server = start("--timeout", "1")
    with server.connect() as idle, server.connect() as busy:
        idle.call("PING")
        idle.socket.setblocking(False)

        def gone():
            assert busy.call("PING") == "PONG"
            try:
                return idle.socket.recv(1) == b""
            except BlockingIOError:
                return False

        eventually(gone, step=0.05)
        assert busy.call("PING") == "PONG"


def flood_until_stopped(connection, request, most):
    """Sends without reading until the server stops taking it or closes; returns the bytes sent."""
    sent = 0
    connection.socket.settimeout(3)
    try:
        while sent < most:
            connection.send(request)
            sent += len(request)
    except (TimeoutError, ConnectionError):
        pass
    return sent


def test_a_client_that_never_reads_is_bounded_and_others_are_served(start):
    server = start("--client-output-buffer-limit", "normal 8mb 4mb 5")
    with server.connect() as admin, server.connect() as deaf:
        admin.call("SET", "big", "x" * (1 << 20))
        before = server.rss()
        flood_until_stopped(deaf, resp.encode(["GET", "big"]) * 100, 50 << 20)
        assert server.rss() - before < bound(128 << 20), f"{(server.rss() - before) >> 20} MB more"
        for _ in range(100):
            assert admin.call("PING") == "PONG"


def test_a_hard_limit_on_output_disconnects_and_is_counted(start):
    server = start("--client-output-buffer-limit", "normal 1mb 0 0")
    with server.connect() as admin, server.connect() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        admin.call("SET", "big", "x" * 3_000_000)
        deaf.call("PING")
        deaf.send(resp.encode(["GET", "big"]))

        def disconnected():
            return len(admin.call("CLIENT", "LIST").splitlines()) == 1

        eventually(disconnected)
        assert admin.call("PING") == "PONG"
        assert info(admin, "stats")["client_output_buffer_limit_disconnections"] == "1"


@pytest.mark.parametrize("request_", [("GET", "big"), ("SCAN", "0", "COUNT", "500"), ("SCAN", "0", "COUNT", "5000"), ("KEYS", "*")], ids=" ".join)
def test_a_single_reply_beyond_a_hard_limit_closes_its_client(start, request_):
    """Whatever it consists of: values or names that are sent from where they lie."""
    server = start("--client-output-buffer-limit", "normal 100000 0 0")
    with server.connect() as admin, server.connect() as client:
        admin.call("SET", "big", "x" * 1_000_000)
        for i in range(60):
            admin.call("SET", f"{i}".encode() + b"n" * 40_000, "v")
        client.send(resp.encode(request_))
        assert len(client.read_until_closed()) < 100_000
        assert info(admin, "stats")["client_output_buffer_limit_disconnections"] == "1"


def test_replies_that_together_exceed_a_hard_limit_wait_for_their_reader(start):
    server = start("--client-output-buffer-limit", "normal 1mb 0 0")
    with server.connect() as admin, server.connect() as late:
        admin.call("SET", "big", "x" * 400_000)
        late.send(resp.encode(["GET", "big"]) * 100)
        assert admin.call("PING") == "PONG"
        for _ in range(100):
            assert late.read() == b"x" * 400_000
        assert info(admin, "stats")["client_output_buffer_limit_disconnections"] == "0"


def test_a_limit_on_output_spares_a_client_that_reads(start):
    server = start("--client-output-buffer-limit", "normal 4mb 0 0")
    with server.connect() as connection:
        connection.call("SET", "big", "x" * 500_000)
        replies = connection.exchange(resp.encode(["GET", "big"]) * 5, 5)
        assert len(replies) == 5
        for _ in range(50):
            assert len(connection.call("GET", "big")) == 500_000


def test_many_clients_that_never_read_leave_the_memory_bounded(start):
    server = start("--client-output-buffer-limit", "normal 4mb 2mb 1", "--maxmemory", "64mb")
    with server.connect() as admin:
        admin.call("SET", "big", "x" * 100_000)
        before = server.rss()
        deaf = []
        for _ in range(30):
            connection = server.connect()
            deaf.append(connection)
            connection.socket.settimeout(0.2)
            try:
                connection.send(resp.encode(["GET", "big"]) * 1000)
            except (TimeoutError, ConnectionError):
                pass
        assert admin.call("PING") == "PONG"
        assert server.rss() - before < bound(300 << 20), f"{(server.rss() - before) >> 20} MB more"
        for connection in deaf:
            connection.close()
        eventually(lambda: len(admin.call("CLIENT", "LIST").splitlines()) == 1)


def test_a_flood_of_aborted_connections_does_not_stop_the_accepting(client, server):
    for _ in range(500):
        aborted = socket.create_connection(("127.0.0.1", server.port))
        # A zero linger makes close() send a reset.
        aborted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        aborted.close()
    with server.connect() as connection:
        assert connection.call("PING") == "PONG"


def test_running_out_of_descriptors_does_not_stop_the_accepting(start):
    """CVE-2025-48367: an error of accept() must not end the listening."""
    server = start()
    with server.connect() as admin:
        admin.call("PING")
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        import os

        used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 5, limits[1]))
        crowd = [Connection(server.port) for _ in range(20)]
        assert admin.call("PING") == "PONG"
        for connection in crowd:
            connection.close()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)

        def admitted():
            try:
                with server.connect(timeout=5) as connection:
                    return connection.call("PING") == "PONG"
            except (Closed, OSError):
                return False

        eventually(admitted)


def test_ten_thousand_idle_connections_are_served(start):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, hard - 200)
    if count < 1000:
        pytest.fail(f"the hard limit of {hard} descriptors is too low for this test")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
    server = start("--maxclients", "10100")
    crowd = [server.connect() for _ in range(count)]
    for connection in crowd[:: max(1, count // 100)]:
        assert connection.call("PING") == "PONG"
    with server.connect() as admin:
        assert int(info(admin, "clients")["connected_clients"]) == count + 1
        for connection in crowd:
            connection.close()
        eventually(lambda: int(info(admin, "clients")["connected_clients"]) == 1)


def test_every_one_of_many_idle_connections_is_met(start, many_files):
    """They are gone through in slices: more than two of them, on each thread."""
    server = start("--timeout", "1", "--threads", "1", "--maxclients", "3000")
    crowd = [server.connect() for _ in range(1500)]
    with server.connect() as busy:
        eventually(lambda: info(busy, "clients")["connected_clients"] == "1", step=0.2)
        for connection in crowd:
            connection.close()


def test_every_one_of_many_paused_connections_goes_on(start, many_files):
    server = start("--threads", "1", "--maxclients", "3000")
    crowd = [server.connect() for _ in range(1500)]
    with server.connect() as admin:
        assert admin.call("CLIENT", "PAUSE", "600000", "WRITE") == "OK"
        for connection in crowd:
            connection.send(resp.encode(["INCR", "counter"]) * 3)
        assert admin.call("GET", "counter") is None
        assert admin.call("CLIENT", "UNPAUSE") == "OK"
        seen = [connection.read() for connection in crowd for _ in range(3)]
        assert sorted(seen) == list(range(1, len(seen) + 1))
        for connection in crowd:
            connection.close()
