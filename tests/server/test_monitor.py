"""MONITOR: who sees which requests, in which form, and what it may cost."""

import re
import socket
import subprocess
import time

import pytest

from tests.support import resp
from tests.support.connection import Closed, Connection
from tests.support.servers import eventually

from .conftest import info, only_pinfold

KB, MB = 1 << 10, 1 << 20
LINE = re.compile(r"(\d+\.\d{6}) \[(\d+) (\S+)\](?: (.*))?")


class Monitor:
    def __init__(self, connection):
        self.connection = connection
        assert connection.call("MONITOR") == "OK"

    def line(self):
        return self.connection.read()

    def next(self):
        """The database, and the words of the next request."""
        _, db, _, words = LINE.fullmatch(self.line()).groups()
        return int(db), words

    def words(self, until='"ping" "end"'):
        """What is shown before a request that ends it."""
        seen = []
        while True:
            _, words = self.next()
            if words == until:
                return seen
            seen.append(words)


@pytest.fixture
def monitor(connect):
    return Monitor(connect())


def end(client):
    client.call("ping", "end")


def address_of(connection):
    return dict(field.split("=", 1) for field in connection.call("CLIENT", "INFO").decode().split())["addr"]


@pytest.mark.parametrize("protocol", [2, 3])
def test_requests_of_other_clients_are_shown_as_they_are_executed(client, connect, protocol):
    monitor = Monitor(connect(protocol=protocol))
    before = time.time()
    client.call("SELECT", 3)
    client.pipeline([["set", "a", 'say "hi"\n\x00'], ["GET", "a"]])
    own = address_of(client)
    client.call("SELECT", 0)
    raw = monitor.connection.read_raw()
    assert raw[:1] == b"+"
    at, db, address, words = LINE.fullmatch(resp.decode(raw)).groups()
    assert before - 1 <= float(at) <= time.time() + 1 and address == own and words == '"SELECT" "3"'
    assert monitor.next() == (3, r'"set" "a" "say \"hi\"\n\x00"')
    assert monitor.next() == (3, '"GET" "a"')


def test_its_own_requests_are_shown_too(monitor):
    monitor.connection.send_command("PING")
    seen = sorted(str(monitor.connection.read()) for _ in range(2))
    assert seen[1] == "PONG" and seen[0].endswith('"PING"')


def test_administrative_requests_and_passwords_are_not_shown(client, connect, monitor):
    client.call("ACL", "SETUSER", "ada", "on", ">secret-1", "~*", "+@all")
    client.call("CONFIG", "SET", "requirepass", "")
    client.call("AUTH", "ada", "secret-1")
    client.call("HELLO", 2, "AUTH", "ada", "secret-1")
    client.call("AUTH", "ada", "secret-2")
    end(client)
    seen = monitor.words()
    assert "secret" not in "".join(seen)
    assert not any("ACL" in words or "CONFIG" in words for words in seen)
    client.call("ACL", "DELUSER", "ada")


def test_a_transaction_is_shown_when_it_is_executed(client, monitor):
    client.call("MULTI")
    client.call("SET", "a", 1)
    client.call("SELECT", 2)
    client.call("GET", "a")
    client.call("EXEC")
    client.call("SELECT", 0)
    end(client)
    assert monitor.words() == ['"MULTI"', '"SET" "a" "1"', '"SELECT" "2"', '"GET" "a"', '"EXEC"', '"SELECT" "0"']


def test_a_transaction_that_is_not_executed_is_not_shown(client, connect, monitor):
    client.call("WATCH", "a")
    connect().call("SET", "a", "other")
    client.pipeline([["MULTI"], ["SET", "a", 1], ["EXEC"]])
    client.pipeline([["MULTI"], ["SET", "a", 1], ["DISCARD"]])
    end(client)
    assert monitor.words() == ['"WATCH" "a"', '"SET" "a" "other"', '"MULTI"', '"EXEC"', '"MULTI"', '"DISCARD"']


def test_refused_requests_are_not_shown(client, monitor):
    client.call("GET")
    client.call("NOSUCH", "x")
    end(client)
    assert monitor.words() == []


def test_reset_ends_it(client, monitor):
    assert b" flags=O " in client.call("CLIENT", "LIST")
    monitor.connection.send_command("RESET")
    while (reply := monitor.connection.read()) != "RESET":
        assert LINE.fullmatch(reply)
    for i in range(100):
        client.call("GET", f"k{i}")
    assert monitor.connection.call("PING") == "PONG"
    assert b" flags=O " not in client.call("CLIENT", "LIST")


def test_quit_ends_it(client, monitor):
    monitor.connection.send_command("QUIT")
    with pytest.raises(Closed):
        while True:
            monitor.connection.read()
    eventually(lambda: b" flags=O " not in client.call("CLIENT", "LIST"))


def test_it_is_refused_inside_a_transaction(client):
    replies = client.pipeline([["MULTI"], ["MONITOR"], ["EXEC"]])
    assert replies[-1] == ["ERR MONITOR isn't allowed for DENY BLOCKING client"]


def test_redis_cli_shows_it(client, server):
    process = subprocess.Popen(["redis-cli", "-p", str(server.port), "monitor"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "OK"
        client.call("SET", "k", "v w")
        assert re.fullmatch(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "k" "v w"\n', process.stdout.readline())
    finally:
        process.kill()
        process.wait()


@only_pinfold
def test_a_large_request_is_shortened(client, monitor):
    client.call("SET", "k", b"v" * (2 * MB))
    client.call("MGET", *[b"k" * 1000] * 40)
    client.call("MGET", *[b"k%d" % i for i in range(600)])
    client.pipeline([["MULTI"], ["SET", "k", b"w" * (2 * MB)], ["EXEC"]])
    end(client)
    large, many_bytes, many_words, _, queued, _ = monitor.words()
    assert large == '"SET" "k" "%s... (%d more bytes)"' % ("v" * KB, 2 * MB - KB)
    assert len(many_bytes) < 18 * KB and re.search(r'" "\.\.\. \(2\d more arguments\)"$', many_bytes)
    assert many_words.endswith('"k509" "... (90 more arguments)"')
    assert queued == '"SET" "k" "%s... (%d more bytes)"' % ("w" * KB, 2 * MB - KB)


@only_pinfold
def test_a_large_transaction_is_shortened(client, monitor):
    client.pipeline([["MULTI"], *[["SET", f"k{i}", b"v" * KB] for i in range(1000)], ["EXEC"]])
    end(client)
    seen = monitor.words()
    shown = sum(words.startswith('"SET"') for words in seen)
    assert 200 < shown < 300 and seen[-1] == f'"EXEC" "... ({1000 - shown} more commands)"'


@only_pinfold
def test_a_limited_user_sees_requests_for_keys_that_it_may_read(client, connect):
    client.call("ACL", "SETUSER", "viewer", "on", "nopass", "resetkeys", "%R~seen:*", "+monitor", "+ping")
    limited = connect()
    limited.call("AUTH", "viewer", "")
    viewer, everything = Monitor(limited), Monitor(connect())
    client.call("SET", "seen:1", "v")
    client.call("SET", "hidden:1", "v")
    client.call("MGET", "seen:1", "hidden:1")
    client.call("DEL", "seen:1")
    client.call("KEYS", "seen:*")
    client.call("FLUSHALL")
    client.pipeline([["MULTI"], ["GET", "seen:2"], ["GET", "hidden:2"], ["EXEC"]])
    end(client)
    assert viewer.words(until='"ping" "(redacted)"') == ['"SET" "seen:1" "v"', '"DEL" "seen:1"', '"MULTI"', '"GET" "seen:2"', '"EXEC"']
    assert len(everything.words()) == 10
    client.call("ACL", "SETUSER", "viewer", "~*")
    client.call("SET", "hidden:2", "v")
    end(client)
    assert viewer.words() == ['"SET" "hidden:2" "v"']
    client.call("ACL", "DELUSER", "viewer")


@only_pinfold
def test_who_may_not_use_it_is_refused(client, connect):
    client.call("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-@dangerous")
    other = connect()
    other.call("AUTH", "reader", "")
    assert other.call("MONITOR") == "NOPERM this user has no permissions to run the 'monitor' command"
    eventually(lambda: info(client, "clients")["monitor_clients"] == "0")  # those of other tests are gone
    client.call("ACL", "DELUSER", "reader")


@only_pinfold
def test_only_so_many_clients_may_use_it(client, connect):
    monitors = [Monitor(connect()) for _ in range(32)]
    assert info(client, "clients")["monitor_clients"] == "32"
    assert connect().call("MONITOR").startswith("ERR there are as many clients")
    assert monitors[0].connection.call("PING")
    for monitor in monitors:
        monitor.connection.close()
    eventually(lambda: info(client, "clients")["monitor_clients"] == "0")
    assert connect().call("MONITOR") == "OK"


@only_pinfold
def test_a_client_that_does_not_read_is_closed_and_the_memory_comes_back(start):
    server = start("--threads", "2")
    with server.connect() as client:
        sleeper = Connection(server.port)
        sleeper.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        Monitor(sleeper)
        reader = Monitor(server.connect())
        before = int(info(client, "memory")["used_memory_clients"])
        most = 0
        request = ["SET", "k", b"v" * KB]

        def is_closed():
            nonlocal most
            client.pipeline([request] * 500)
            most = max(most, int(info(client, "memory")["used_memory_clients"]) - before)
            reader.connection.exchange(b"", 300)
            return info(client, "clients")["monitor_clients"] == "1"

        eventually(is_closed)
        assert int(info(client, "stats")["client_output_buffer_limit_disconnections"]) >= 1
        assert most < 40 * MB
        sleeper.close()
        reader.connection.close()
        eventually(lambda: int(info(client, "memory")["used_memory_clients"]) < before + MB)


@only_pinfold
def test_all_requests_are_shown_or_told_to_be_left_out(start):
    """However fast they come, and on whichever threads."""
    server = start("--threads", "2")
    clients = [server.connect() for _ in range(4)]
    monitor = Monitor(server.connect())
    for _ in range(20):
        for client in clients:
            client.send(resp.encode(["GET", "k"]) * 500)
    for client in clients:
        client.exchange(b"", 10_000)
    for client in clients:  # the next line of a thread tells what it has left out
        client.call("ping", "end")
    shown = left_out = 0
    while shown + left_out < 40_000:
        line = monitor.line()
        if told := re.search(r"\((\d+) requests are not shown", line):
            left_out += int(told[1])
        shown += line.endswith('"GET" "k"')
    assert shown + left_out == 40_000


@only_pinfold
def test_it_is_not_closed_for_being_idle(start):
    server = start("--timeout", "1")
    monitor = Monitor(server.connect())
    time.sleep(3.2)
    server.connect().call("SET", "a", 1)
    assert monitor.next() == (0, '"SET" "a" "1"')


@only_pinfold
def test_a_unix_socket_is_shown_by_its_path(start, tmp_path):
    path = str(tmp_path / "socket")
    server = start("--unixsocket", path)
    monitor = Monitor(server.connect())
    server.connect(path=path).call("GET", "a")
    assert re.search(rf'\[0 unix:{path}\] "GET" "a"$', monitor.line())


@only_pinfold
def test_a_limited_user_sees_neither_texts_without_a_key_nor_tags(client, connect):
    client.call("ACL", "SETUSER", "viewer", "on", "nopass", "resetkeys", "%R~seen:*", "+monitor")
    limited = connect()
    limited.call("AUTH", "viewer", "")
    viewer = Monitor(limited)
    for request in (
        ["ECHO", "hidden"],
        ["PING", "hidden"],
        ["COMMAND", "GETKEYS", "GET", "hidden:1"],
        ["CLIENT", "SETNAME", "hidden"],
        ["SELECT", "0"],
        ["CACHE.SET", "seen:1", "v", "EX", "100", "TAGS", "2", "hidden:t", "hidden:u"],
        ["CACHE.PURGE", "TAGS", "1", "hidden:t"],
        ["PING"],
    ):
        client.call(*request)
    assert viewer.words(until='"PING"') == [
        '"ECHO" "(redacted)"',
        '"PING" "(redacted)"',
        '"COMMAND" "GETKEYS" "(redacted)"',
        '"CLIENT" "SETNAME" "(redacted)"',
        '"SELECT" "(redacted)"',
        '"CACHE.SET" "seen:1" "v" "EX" "100" "TAGS" "2" "(redacted)" "(redacted)"',
    ]
    client.call("CLIENT", "SETNAME", "")
    client.call("ACL", "DELUSER", "viewer")


@only_pinfold
@pytest.mark.parametrize("change, back", [("off", "on"), ("-monitor", "+monitor"), ("resetkeys", "~*")])
def test_a_user_whose_rights_are_taken_away_is_shown_no_more(client, connect, change, back):
    client.call("ACL", "SETUSER", "viewer", "on", "nopass", "~*", "+@all")
    limited = connect()
    limited.call("AUTH", "viewer", "")
    viewer = Monitor(limited)
    client.call("SET", "a", "seen")
    client.call("ACL", "SETUSER", "viewer", *(["-get"] if change == "resetkeys" else []), change)
    client.call("SET", "a", "hidden")
    client.call("ACL", "SETUSER", "viewer", back)
    end(client)
    assert viewer.words() == ['"SET" "a" "seen"']
    client.call("ACL", "DELUSER", "viewer")


@only_pinfold
@pytest.mark.parametrize("login", [("AUTH", "less", ""), ("HELLO", "3", "AUTH", "less", "")], ids=["AUTH", "HELLO"])
def test_a_monitor_that_becomes_another_user_has_the_rights_of_that(client, connect, login):
    client.call("ACL", "SETUSER", "less", "on", "nopass", "~*", "+ping", "+auth", "+hello")
    monitor = Monitor(connect())
    client.call("SET", "a", "seen")
    assert monitor.words(until='"SET" "a" "seen"') == []
    monitor.connection.send_command(*login)
    eventually(lambda: b"user=less" in client.call("CLIENT", "LIST"))
    for i in range(100):
        client.call("SET", "a", f"hidden-{i}")
    monitor.connection.send_command("PING", "last")
    seen = b""
    while b"last" not in seen:
        seen += monitor.connection.read_raw()
    assert b"hidden" not in seen
    client.call("ACL", "DELUSER", "less")
