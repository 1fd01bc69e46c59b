"""DEBUG as suites of client libraries use it: replies of each type, errors, and keys by the number. It runs against redis-server too."""

import pytest

from tests.support import resp
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

TYPES = {
    "string": (b"$11\r\nHello World\r\n",) * 2,
    "integer": (b":12345\r\n",) * 2,
    "double": (b"$5\r\n3.141\r\n", b",3.141\r\n"),
    "bignum": (b"$37\r\n1234567999999999999999999999999999999\r\n", b"(1234567999999999999999999999999999999\r\n"),
    "null": (b"$-1\r\n", b"_\r\n"),
    "array": (b"*3\r\n:0\r\n:1\r\n:2\r\n",) * 2,
    "set": (b"*3\r\n:0\r\n:1\r\n:2\r\n", b"~3\r\n:0\r\n:1\r\n:2\r\n"),
    "map": (b"*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n", b"%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
    "attrib": (
        b"$39\r\nSome real reply following the attribute\r\n",
        b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
    ),
    "push": (b"-ERR RESP2 is not supported by this command\r\n", b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n"),
    "verbatim": (b"$25\r\nThis is a verbatim\nstring\r\n", b"=29\r\ntxt:This is a verbatim\nstring\r\n"),
    "true": (b":1\r\n", b"#t\r\n"),
    "false": (b":0\r\n", b"#f\r\n"),
}


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", TYPES)
def test_a_reply_of_each_type(connect, protocol, name):
    client = connect(protocol=protocol)
    expected = TYPES[name][protocol - 2]
    for spelled in (name, name.upper()):
        client.send_command("DEBUG", "PROTOCOL", spelled)
        client.send_command("ECHO", "behind it")
        wanted = expected + b"$9\r\nbehind it\r\n"
        while len(client.buffer) < len(wanted):
            client._receive()
        assert bytes(client.buffer) == wanted
        client.buffer.clear()


def test_another_type(client):
    error = client.call("DEBUG", "PROTOCOL", "nosuch")
    assert error == "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
    assert "Try DEBUG HELP" in client.call("DEBUG", "PROTOCOL")


def test_an_error(client):
    for text, error in (("FOO bar baz", "FOO bar baz"), ("nocode", "nocode"), ("", ""), ("ERR two\r\nlines", "ERR two  lines"), ("ERR end\n", "ERR end ")):
        reply = client.call("DEBUG", "ERROR", text)
        assert isinstance(reply, resp.ErrorReply) and reply == error
    replies = client.pipeline([("MULTI",), ("DEBUG", "ERROR", "FOO bar"), ("DEBUG", "PROTOCOL", "map"), ("EXEC",)])[-1]
    assert replies == ["FOO bar", [0, 0, 1, 1, 2, 0]] and isinstance(replies[0], resp.ErrorReply)


@pytest.mark.skipif(is_redis(), reason="Redis 7.0 counts all of them")
def test_codes_of_errors_are_bounded_and_the_servers_own_are_always_counted(start):
    server = start("--enable-debug-command", "yes", "--threads", "2")
    with server.connect() as client, server.connect() as other:
        for connection in (client, other):
            connection.pipeline([("DEBUG", "ERROR", f"{connection is client}{i} x") for i in range(1000)])
        assert client.call("INCR", "k") == 1 and client.call("HELLO", "9").startswith("NOPROTO")
        lines = [line for line in client.call("INFO", "errorstats").decode().splitlines() if line.startswith("errorstat_")]
        assert len(lines) <= 128 + 3  # OTHER, NOPROTO, and perhaps ERR
        assert "errorstat_NOPROTO:count=1" in lines and f"errorstat_OTHER:count={2000 - 128}" in lines


def test_populate(client):
    client.call("SET", "key:1", "there")
    assert client.call("DEBUG", "POPULATE", 1000) == "OK"
    assert client.call("DBSIZE") == 1000
    assert client.call("MGET", "key:0", "key:1", "key:999") == [b"value:0", b"there", b"value:999"]
    assert client.call("DEBUG", "POPULATE", 3, "p", 30) == client.call("DEBUG", "POPULATE", 2, "short", 2) == client.call("DEBUG", "POPULATE", 2, "", 0) == "OK"
    assert client.call("MGET", "p:2", "short:1", ":1") == [b"value:2" + bytes(23), b"va", b"value:1"]
    assert client.call("DEBUG", "POPULATE", 0) == "OK"
    for size in (9000, 20_000, 700_000):
        assert client.call("DEBUG", "POPULATE", 3, f"large{size}", size) == "OK"
        assert client.call("GET", f"large{size}:2") == b"value:2" + bytes(size - 7)
    assert client.call("DBSIZE") == 1000 + 3 + 2 + 2 + 9


def test_populate_of_wrong_numbers(client):
    for words in ((-1,), ("x",), ("1.5",), (2, "p", -1), (2, "p", "x"), (2**64,)):
        assert client.call("DEBUG", "POPULATE", *words) == "ERR value is out of range, must be positive"
    for words in ((), (1, "p", 2, 3)):
        assert "Try DEBUG HELP" in client.call("DEBUG", "POPULATE", *words)
    assert client.call("DBSIZE") == 0


def test_populate_in_a_transaction(client):
    assert client.pipeline([("MULTI",), ("DEBUG", "POPULATE", 5), ("GET", "key:4"), ("EXEC",)])[-1] == ["OK", b"value:4"]


@pytest.mark.skipif(is_redis(), reason="Redis has no bound")
def test_populate_is_bounded_by_memory(start):
    with start("--enable-debug-command", "yes", "--maxmemory", "16mb").connect() as client:
        assert client.call("DEBUG", "POPULATE", 10**12).startswith("OOM")
        assert client.call("DEBUG", "POPULATE", 100, "k", 10**6).startswith("OOM")
        assert client.call("DEBUG", "POPULATE", 1, "k", 2**40).startswith("ERR string exceeds maximum allowed size")
        replies = client.pipeline([("MULTI",), ("DEBUG", "POPULATE", 65), ("EXEC",)])[-1]
        assert "was not executed" in replies[0]  # it would take long with everything locked
        assert client.call("DBSIZE") == 0
        assert client.call("DEBUG", "POPULATE", 10_000, "k", 1000) == "OK"
        assert client.call("CONFIG", "SET", "maxmemory-policy", "noeviction") == "OK"
        assert client.call("DEBUG", "POPULATE", 10_000, "more", 1000).startswith("OOM")


@pytest.mark.skipif(is_redis(), reason="Redis serves nobody meanwhile")
def test_others_are_served_while_a_client_populates_and_it_can_be_killed(start):
    server = start("--enable-debug-command", "yes", "--threads", "1", "--maxmemory", "500mb")
    with server.connect() as busy, server.connect() as other:
        identity = busy.call("CLIENT", "ID")
        busy.send_command("DEBUG", "POPULATE", 5_000_000)
        eventually(lambda: other.call("DBSIZE") > 0)
        assert other.call("CLIENT", "KILL", "ID", identity) == 1
        with pytest.raises((Closed, ConnectionResetError)):
            busy.read()
        size = other.call("DBSIZE")
        assert size < 5_000_000
        other.pipeline([("PING",)] * 100)
        assert other.call("DBSIZE") == size


def test_not_without_the_setting(start):
    with start("--enable-debug-command", "no").connect() as client:
        for words in (("ERROR", "x"), ("PROTOCOL", "map"), ("POPULATE", 1)):
            assert client.call("DEBUG", *words).startswith("ERR DEBUG command not allowed")
        assert client.call("DBSIZE") == 0
