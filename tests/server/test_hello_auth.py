"""HELLO negotiation, passwords, and what a client may do before it has given one."""

import pytest

from tests.support import resp
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

NOAUTH = "NOAUTH Authentication required."


@pytest.fixture(scope="module")
def locked():
    from tests.support import servers

    with servers.pinfold("--requirepass", "s3cret") as running:
        yield running


@pytest.fixture
def unauthenticated(locked):
    with locked.connect() as connection:
        yield connection


@pytest.fixture
def admin(locked):
    with locked.connect() as connection:
        assert connection.call("AUTH", "s3cret") == "OK"
        yield connection


def test_hello_describes_the_server(client):
    reply = client.call("HELLO")
    fields = dict(zip(reply[::2], reply[1::2]))
    assert list(fields) == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert fields[b"server"] == b"redis" and fields[b"proto"] == 2 and fields[b"mode"] == b"standalone" and fields[b"role"] == b"master"
    assert fields[b"modules"] == []
    if not is_redis():
        assert fields[b"version"] == b"7.2.4"
    assert fields[b"id"] == client.call("CLIENT", "ID")


def test_hello_3_switches_the_types_of_replies_and_back(client):
    assert client.raw("GET", "none") == b"$-1\r\n"
    assert client.raw("HELLO", "3")[:1] == b"%"
    assert client.raw("GET", "none") == b"_\r\n"
    assert client.raw("CONFIG", "GET", "maxclients")[:1] == b"%"
    assert client.raw("INFO", "server").startswith(b"=")
    assert client.raw("HELLO", "2")[:1] == b"*"
    assert client.raw("GET", "none") == b"$-1\r\n"


@pytest.mark.parametrize(
    "args, error",
    [
        (["1"], "NOPROTO unsupported protocol version"),
        (["4"], "NOPROTO unsupported protocol version"),
        (["-3"], "NOPROTO unsupported protocol version"),
        (["9223372036854775807"], "NOPROTO unsupported protocol version"),
        (["abc"], "ERR Protocol version is not an integer or out of range"),
        ([""], "ERR Protocol version is not an integer or out of range"),
        (["3", "BOGUS"], "ERR Syntax error in HELLO option 'BOGUS'"),
        (["3", "SETNAME"], "ERR Syntax error in HELLO option 'SETNAME'"),
        (["3", "AUTH", "default"], "ERR Syntax error in HELLO option 'AUTH'"),
        (["3", "SETNAME", "a b"], "ERR Client names cannot contain spaces, newlines or special characters."),
    ],
)
def test_a_wrong_hello_changes_nothing(client, args, error):
    assert client.call("HELLO", *args) == resp.ErrorReply(error)
    assert client.raw("GET", "none") == b"$-1\r\n"
    assert client.call("CLIENT", "GETNAME") is None


def test_hello_sets_the_name(client):
    client.call("HELLO", "2", "SETNAME", "worker-1")
    assert client.call("CLIENT", "GETNAME") == b"worker-1"


def test_reset_returns_to_the_state_of_a_new_connection(client, connect):
    other = connect()
    client.raw("HELLO", "3", "SETNAME", "me")
    client.call("SELECT", 5)
    client.call("WATCH", "k")
    client.call("MULTI")
    client.call("SET", "k", "1")
    assert client.raw("RESET") == b"+RESET\r\n"
    assert client.raw("CLIENT", "GETNAME") == b"$-1\r\n"
    assert client.call("EXEC") == resp.ErrorReply("ERR EXEC without MULTI")
    client.call("SET", "after", "1")
    assert other.call("GET", "after") == b"1", "RESET selects database 0"


def test_without_a_password_nothing_runs(unauthenticated, admin):
    admin.call("SET", "k", "1")
    for command in (["GET", "k"], ["PING"], ["FLUSHALL"], ["CONFIG", "GET", "requirepass"], ["MULTI"], ["CLIENT", "LIST"], ["INFO"], ["COMMAND"]):
        assert unauthenticated.call(*command) == NOAUTH, command
    assert admin.call("GET", "k") == b"1"


def test_unknown_commands_and_arity_are_told_before_authentication_as_in_redis(unauthenticated):
    assert unauthenticated.call("nosuch").startswith("ERR unknown command")
    assert unauthenticated.call("GET") == "ERR wrong number of arguments for 'get' command"


def test_hello_needs_the_password_or_brings_it(locked, unauthenticated):
    # Redis 7.2 has added "<proto>" to the text of 7.0.
    assert unauthenticated.call("HELLO", "3").replace("HELLO <proto> AUTH", "HELLO AUTH") == (
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to "
        "authenticate the client and select the RESP protocol version at the same time"
    )
    assert unauthenticated.call("HELLO", "3", "AUTH", "default", "wrong").startswith("WRONGPASS")
    assert unauthenticated.call("PING") == NOAUTH
    assert unauthenticated.raw("HELLO", "3", "AUTH", "default", "s3cret", "SETNAME", "n")[:1] == b"%"
    assert unauthenticated.call("CLIENT", "GETNAME") == b"n"
    assert unauthenticated.call("PING") == "PONG"


@pytest.mark.parametrize(
    "args, reply",
    [
        (["s3cret"], "OK"),
        (["default", "s3cret"], "OK"),
        (["wrong"], "WRONGPASS invalid username-password pair or user is disabled."),
        ([""], "WRONGPASS invalid username-password pair or user is disabled."),
        (["s3cre"], "WRONGPASS invalid username-password pair or user is disabled."),
        (["s3crett"], "WRONGPASS invalid username-password pair or user is disabled."),
        (["S3cret"], "WRONGPASS invalid username-password pair or user is disabled."),
        (["s3cret\x00"], "WRONGPASS invalid username-password pair or user is disabled."),
        (["default", "wrong"], "WRONGPASS invalid username-password pair or user is disabled."),
        (["nobody", "s3cret"], "WRONGPASS invalid username-password pair or user is disabled."),
        (["a", "b", "c"], "ERR syntax error"),
        ([], "ERR wrong number of arguments for 'auth' command"),
    ],
)
def test_auth(unauthenticated, args, reply):
    assert unauthenticated.call("AUTH", *args) == reply
    assert unauthenticated.call("PING") == ("PONG" if reply == "OK" else NOAUTH)


def test_a_wrong_password_does_not_log_out(admin):
    assert admin.call("AUTH", "wrong").startswith("WRONGPASS")
    assert admin.call("PING") == "PONG"


def test_reset_logs_out(admin):
    assert admin.call("RESET") == "RESET"
    assert admin.call("PING") == NOAUTH


def test_auth_without_a_configured_password_is_explained(client):
    assert client.call("AUTH", "x") == (
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
    )
    assert client.call("AUTH", "default", "x") == "OK"


def test_a_password_set_at_run_time_holds_for_new_connections(start):
    server = start()
    with server.connect() as old:
        assert old.call("CONFIG", "SET", "requirepass", "later") == "OK"
        with server.connect() as new:
            assert new.call("PING") == NOAUTH
            assert new.call("AUTH", "later") == "OK"
            assert new.call("CONFIG", "SET", "requirepass", "") == "OK"
        with server.connect() as newest:
            assert newest.call("PING") == "PONG"


@pytest.mark.parametrize(
    "data, error",
    [
        (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*1048576\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*1\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*2\r\n$4\r\nAUTH\r\n$536870912\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
    ],
)
def test_before_authentication_little_may_be_announced(unauthenticated, data, error):
    unauthenticated.send(data)
    assert unauthenticated.read_until_closed() == error


def test_after_authentication_large_requests_are_taken(admin):
    assert admin.call("SET", "big", "x" * 100_000) == "OK"
    assert len(admin.call("MGET", *["big"] * 20)) == 20


def test_thousands_of_unauthenticated_clients_that_announce_much_do_not_grow_the_server(locked, admin):
    """CVE-2021-32675: 512 MB each, of which nothing may be set aside."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 200)), hard))
    before = locked.rss()
    unauthenticated = []
    try:
        for _ in range(count):
            connection = locked.connect()
            unauthenticated.append(connection)
            connection.send(b"*2\r\n$4\r\nAUTH\r\n$16384\r\nx" if len(unauthenticated) % 2 else b"*1\r\n$536870912\r\n")
        assert admin.call("PING") == "PONG"
        # Half of them may hold what was sent of an allowed argument, which is next to nothing.
        assert locked.rss() - before < bound(200 << 20), f"{(locked.rss() - before) >> 20} MB for {count} connections"
    finally:
        for connection in unauthenticated:
            connection.close()
    eventually(lambda: len(admin.call("CLIENT", "LIST").splitlines()) == 1)


@pytest.mark.skipif(is_redis(), reason="Redis counts otherwise")
def test_an_unauthenticated_client_that_never_reads_is_bounded(locked, admin):
    """CVE-2025-21605: NOAUTH errors pile up in the output buffer."""

    def number(name):
        return int(info(admin)[name])

    counter = "client_output_buffer_limit_disconnections"
    before, memory, closed = locked.rss(), number("used_memory_clients"), number(counter)
    request = resp.encode(["GET", "k"]) * 5000
    with locked.connect() as deaf:
        most = sent = 0
        try:
            while sent < 100 << 20:
                deaf.send(request)
                sent += len(request)
                most = max(most, number("used_memory_clients") - memory)
        except ConnectionError:
            pass
        eventually(lambda: number(counter) == closed + 1)
        # What it may leave unread, and a buffer for what it sends.
        assert most < (64 << 10) + (256 << 10)
        assert locked.rss() - before < bound(8 << 20)
        assert admin.call("PING") == "PONG"


def requests_of_every_command(admin):
    """One request with a right number of words for each command and subcommand, and the flags that COMMAND tells of it."""
    for row in admin.call("COMMAND"):
        for each in row[9] or [row]:
            words = each[0].decode().split("|")
            yield words + ["1"] * (abs(each[1]) - len(words)), {str(flag) for flag in each[2]}


@pytest.mark.skipif(is_redis(), reason="Redis says which commands are forbidden first")
@pytest.mark.parametrize("debugging", ["no", "yes", "local"])
def test_whatever_a_stranger_asks_for_it_learns_nothing(start, debugging):
    server = start("--requirepass", "s3cret", "--enable-debug-command", debugging)
    with server.connect() as admin:
        assert admin.call("AUTH", "s3cret") == "OK"
        asked = 0
        for words, flags in requests_of_every_command(admin):
            if "no_auth" in flags:
                assert words[0] in ("auth", "hello", "quit", "reset")
                continue
            asked += 1
            with server.connect() as stranger:
                # EXEC says in its own way that it does not execute, as in Redis.
                refusal = "EXECABORT Transaction discarded because of: " + NOAUTH if words == ["exec"] else NOAUTH
                assert stranger.call(*words) == refusal, words
                # Nor is a transaction begun, or anything else that a later request would show.
                assert stranger.call(words[0], "x", *["x"] * 8).partition(" ")[0] in ("NOAUTH", "ERR", "EXECABORT"), words
        assert asked > 100
        assert admin.call("DBSIZE") == 0
