"""The checker itself: it finds what differs, shrinks it, sends every command, and repeats from a seed."""

import re
import socket
import threading

import pytest

from tests.differential import document, generator
from tests.differential.checker import COMMON_SETTINGS, Checker
from tests.support import servers

# Issue 2's list, less what Redis 7.0 does not know: that is tested by tables in tests/server.
COMMANDS = """
PING ECHO QUIT RESET SELECT SWAPDB HELLO AUTH
CLIENT_ID CLIENT_INFO CLIENT_LIST CLIENT_KILL CLIENT_GETNAME CLIENT_SETNAME CLIENT_REPLY CLIENT_PAUSE CLIENT_UNPAUSE CLIENT_NO-EVICT
CLIENT_GETREDIR CLIENT_HELP
APPEND DECR DECRBY GET GETDEL GETEX GETRANGE GETSET INCR INCRBY INCRBYFLOAT LCS MGET MSET MSETNX PSETEX SET SETEX SETNX SETRANGE STRLEN
SUBSTR GETBIT SETBIT BITCOUNT BITPOS BITOP BITFIELD BITFIELD_RO
COPY DEL EXISTS EXPIRE EXPIREAT EXPIRETIME PEXPIRE PEXPIREAT PEXPIRETIME PERSIST PTTL TTL KEYS MOVE RANDOMKEY RENAME RENAMENX SCAN TOUCH
TYPE UNLINK DBSIZE FLUSHDB FLUSHALL OBJECT_ENCODING OBJECT_FREQ OBJECT_IDLETIME OBJECT_REFCOUNT
COMMAND_COUNT COMMAND_LIST COMMAND_INFO COMMAND_DOCS COMMAND_GETKEYS COMMAND_GETKEYSANDFLAGS CONFIG_GET CONFIG_SET CONFIG_RESETSTAT
INFO MEMORY_USAGE MEMORY_STATS MEMORY_DOCTOR MEMORY_PURGE TIME LASTSAVE ROLE WAIT LOLWUT SHUTDOWN DEBUG
MULTI EXEC DISCARD WATCH UNWATCH
""".split()


class Proxy:
    """Passes bytes on to a server, with some of them changed on the way: a server with a bug."""

    def __init__(self, port, request=(b"", b""), reply=(b"", b"")):
        self.upstream, self.request, self.reply = port, request, reply
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            for source, target, change in ((client, server, self.request), (server, client, self.reply)):
                threading.Thread(target=self._pump, args=(source, target, change), daemon=True).start()

    @staticmethod
    def _pump(source, target, change):
        try:
            while data := source.recv(1 << 20):
                target.sendall(data.replace(*change) if change[0] else data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture(scope="module")
def pair():
    with servers.redis(*COMMON_SETTINGS) as a, servers.redis(*COMMON_SETTINGS) as b:
        yield a, b


def test_redis_equals_redis(pair):
    checker = Checker(pair)
    for seed in range(70_000, 70_040):
        report = checker.check(seed, 300)
        assert not report, report


@pytest.mark.parametrize(
    "bug, most_steps",
    [
        ({"reply": (b"no such key", b"no such kex")}, 1),
        ({"request": (b"\r\nSETNX\r\n", b"\r\nsetnx\r\n")}, 0),
        ({"request": (b"\r\nINCRBY\r\n", b"\r\nDECRBY\r\n")}, 2),
        ({"request": (b"\r\nDEL\r\n", b"\r\nGET\r\n")}, 2),
        ({"request": (b"\r\nv1", b"\r\nv2")}, 2),
        ({"reply": (b"embstr", b"emmstr")}, 2),
    ],
    ids=["an error text", "no bug", "a wrong result", "another command", "a value stored wrong", "an encoding"],
)
def test_a_server_with_a_bug_is_caught_and_the_sequence_shrunk(pair, bug, most_steps):
    proxy = Proxy(pair[1].port, **bug)
    try:
        checker = Checker([pair[0], proxy])
        report = next(filter(None, (checker.check(seed, 100) for seed in range(1, 30))), None)
    finally:
        proxy.listener.close()
    if most_steps == 0:
        assert report is None
        return
    assert report is not None, "the bug was not noticed"
    left = int(re.search(r"(\d+) are left", report)[1])
    assert 1 <= left <= most_steps, report
    assert "seed " in report and "steps = [" in report and "redis:" in report and "pinfold:" in report


def test_a_report_is_a_sequence_that_can_be_pasted(pair):
    proxy = Proxy(pair[1].port, reply=(b"+PONG", b"+PUNG"))
    try:
        checker = Checker([pair[0], proxy])
        report = next(filter(None, (checker.check(seed, 100) for seed in range(1, 30))), None)
        scope = {}
        exec(re.search(r"^steps = .*$", report, re.M)[0], scope)
        assert checker.run(scope["steps"], relative=True) is not None
    finally:
        proxy.listener.close()


def test_the_same_seed_makes_the_same_sequence():
    assert generator.sequence(5, 500) == generator.sequence(5, 500) != generator.sequence(6, 500)


def test_every_command_of_the_issue_is_sent():
    missing = [name for name in COMMANDS if name.replace("_", " ", 1).encode() not in generator.COMMANDS and name.encode() not in generator.COMMANDS]
    assert not missing
    sent = set()
    for seed in range(200):
        for who, args in generator.sequence(seed, 300):
            if who in (0, 1, "own"):
                sent.add(args[0].upper())
    assert {name.split("_")[0].encode() for name in COMMANDS if name != "BITFIELD_RO"} <= sent


def test_the_page_of_differences_is_up_to_date():
    assert document.TARGET.read_text() == document.render(), "run tests/differential/document.py"
