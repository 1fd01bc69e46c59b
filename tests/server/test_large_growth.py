"""Large values that are refused, that grow, and that are read while they change: nothing else is lost for them."""

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info

MB = 1 << 20
OOM = "OOM command not allowed when used memory > 'maxmemory'."
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis takes the memory for what it reads")


def fill(connection, count=20_000):
    connection.pipeline([("SET", f"cold:{n}", "x" * 1000) for n in range(count)])


@pytest.mark.parametrize("request_of", [
    lambda small, huge: ("SET", small, huge),                      # the key has come, the value is refused
    lambda small, huge: ("SET", huge, small),                      # the key is refused
    lambda small, huge: ("NOSUCH", small, huge),                   # the error shows the first arguments
    lambda small, huge: (small, huge),                             # there is not even a name
    lambda small, huge: ("MSET", "a", small, "b", huge, "c", small),
    lambda small, huge: ("MGET", small, huge, small),
    lambda small, huge: ("SET", small, small, small, huge),
])
@pytest.mark.parametrize("transaction", [False, True])
def test_whichever_large_argument_is_refused_the_server_goes_on(start, request_of, transaction):
    server = start("--maxmemory", "64mb")
    small, huge = b"k" * (2 * MB), b"v" * (70 * MB)
    with server.connect() as connection:
        fill(connection, 1000)
        if transaction:
            assert connection.call("MULTI") == "OK"
        reply = connection.call(*request_of(small, huge))
        assert isinstance(reply, resp.ErrorReply) and reply.startswith(("OOM", "ERR unknown command"))
        if transaction:
            assert connection.call("EXEC").startswith("EXECABORT")
        assert connection.call("PING") == "PONG"
        assert connection.call("DBSIZE") == 1000


def test_a_value_that_cannot_fit_evicts_nothing(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        fill(connection)
        for size in (60 * MB, 61 * MB, 62 * MB, 63 * MB, 64 * MB, 100 * MB):
            assert connection.call("SET", "large", b"x" * size) == OOM
            assert connection.call("SETRANGE", "far", size - 1, "x") == OOM
        assert connection.call("DBSIZE") == 20_000
        assert int(info(connection, "stats")["evicted_keys"]) == 0
        assert connection.call("SET", "large", b"x" * (58 * MB)) == "OK"


def test_a_value_that_grows_takes_what_it_grows_by(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        fill(connection)
        connection.call("SET", "large", b"x" * (35 * MB))
        for n in range(1, 6):
            assert connection.call("APPEND", "large", b"y" * 300_000) == 35 * MB + n * 300_000
        assert connection.call("GETRANGE", "large", 35 * MB - 2, 35 * MB + 1) == b"xxyy"


def test_a_value_grows_inside_a_transaction_while_the_cache_is_full(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        connection.call("SET", "v", b"x" * 300_000)
        for _ in range(8):
            fill(connection)
            connection.call("GET", "v")
        assert connection.call("SET", "v", b"x" * 300_000) == "OK"
        assert connection.call("MULTI") == "OK"
        assert connection.call("APPEND", "v", b"y" * 4000) == "QUEUED"
        assert connection.call("EXEC") == [304_000]


def test_deadlines_that_come_and_go_take_no_memory_beyond_the_limit(start):
    server = start("--maxmemory", "32mb")
    with server.connect() as connection:
        connection.pipeline([("SET", f"k:{n}", "x" * 8000) for n in range(5000)])
        for n in range(10):
            command = ("EXPIRE", "PERSIST")[n % 2]
            connection.pipeline([(command, f"k:{i}", "10000") if command == "EXPIRE" else (command, f"k:{i}") for i in range(5000)])
            fields = info(connection, "memory")
            assert int(fields["used_memory"]) - int(fields["used_memory_clients"]) <= 32 * MB


def test_two_replies_of_one_connection_do_not_keep_an_overwritten_value_in_memory(start):
    server = start("--maxmemory", "64mb", "--threads", "1")
    with server.connect() as admin:
        deaf = []
        for n in range(12):
            eventually(lambda: admin.call("SET", "large", bytes([n]) * (4 * MB)) == "OK")
            deaf.append(server.connect())
            deaf[-1].send(resp.encode(["GET", "large"]) * 2)
            eventually(lambda: int(info(admin, "commandstats").get("cmdstat_get", "calls=0,").split(",")[0].split("=")[1]) >= 2 * n + 2)
        eventually(lambda: int(info(admin, "clients")["connected_clients"]) < 12)
        eventually(lambda: admin.call("SET", "larger", b"x" * (20 * MB)) == "OK")


def test_values_that_have_stopped_coming_are_let_go_before_they_take_all_memory(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as admin:
        stalled = [server.connect() for _ in range(8)]
        for connection in stalled:
            connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n" + b"x" * 6_000_000)
        eventually(lambda: int(info(admin, "stats")["evicted_clients"]) > 0)
        eventually(lambda: admin.call("SET", "large", b"x" * (20 * MB)) == "OK")
