"""A client that does not read a long reply keeps the version of the collection that it reads. What such clients keep is bounded."""

import contextlib
import functools
import pathlib
import re
import socket
import time

import pytest

from tests.support import resp
from tests.support.connection import is_closed
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

MB = 1 << 20
MEMORY = 128 * MB
pytestmark = pytest.mark.skipif(is_redis(), reason="what Pinfold promises")

ELEMENTS = 50_000  # a version of the collection takes more than 20 MB
AT_ONCE = 500
TAG = b"VERSION"  # stands in each element for what tells the versions apart


def elements(first):
    return [f"{n}:VERSION:".ljust(400, "x") for n in range(first, first + AT_ONCE)]


def pairs(first):
    return [word for n, text in enumerate(elements(first), first) for word in (f"f{n}", text)]


def scored(first):
    return [word for n, text in enumerate(elements(first), first) for word in (n, text)]


# How a version is written, and how it is read; the first word of each is the command.
KINDS = [
    pytest.param("HSET", pairs, ["HGETALL", "k"], id="hgetall"),
    pytest.param("HSET", pairs, ["HRANDFIELD", "k", 2_000_000_000, "WITHVALUES"], id="hrandfield"),
    pytest.param("SADD", elements, ["SMEMBERS", "k"], id="smembers"),
    pytest.param("SADD", elements, ["SUNION", "k", "small"], id="sunion"),
    pytest.param("SADD", elements, ["SRANDMEMBER", "k", -1_000_000], id="srandmember"),
    pytest.param("SADD", elements, ["SPOP", "k", ELEMENTS * 9 // 10], id="spop"),
    pytest.param("RPUSH", elements, ["LRANGE", "k", 0, -1], id="lrange"),
    pytest.param("RPUSH", elements, ["SORT", "k", "BY", "nosort", "LIMIT", 0, ELEMENTS // 2], id="sort"),
    pytest.param("ZADD", scored, ["ZRANGE", "k", 0, -1, "WITHSCORES"], id="zrange"),
    pytest.param("ZADD", scored, ["ZUNION", 2, "k", "small"], id="zunion"),
    pytest.param("ZADD", scored, ["ZPOPMIN", "k", ELEMENTS * 9 // 10], id="zpopmin"),
]

# How all of it is read at once.
WHOLE = {"HSET": ["HGETALL", "k"], "SADD": ["SMEMBERS", "k"], "RPUSH": ["LRANGE", "k", 0, -1], "ZADD": ["ZRANGE", "k", 0, -1]}


def highest_rss(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


def figure(connection, name):
    return int(info(connection)[name])


@functools.cache
def requests(command, words, key):
    return b"".join(resp.encode([command, key, *words(first)]) for first in range(0, ELEMENTS, AT_ONCE))


def write_version(connection, command, words, tag, key="k"):
    connection.call("DEL", key)
    return connection.exchange(requests(command, words, key).replace(TAG, f"{tag:07}".encode()), ELEMENTS // AT_ONCE)


def lazy_reader(stack, server, request, window=4096):
    """A client that asks and does not read."""
    reader = stack.enter_context(server.connect())
    reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    reader.number = reader.call("CLIENT", "ID")
    reader.send_command(*request)
    return reader


def connected(connection):
    return {int(line.split(b" ")[0][3:]) for line in connection.call("CLIENT", "LIST").splitlines()}


def wait_for_reply(connection, readers):
    """Until they have begun to be sent their replies, so that they keep what they read; or are closed."""
    def begun():
        lines = {int(line.split(b" ")[0][3:]): line for line in connection.call("CLIENT", "LIST").splitlines()}
        return all(reader.number not in lines or int(lines[reader.number].split(b" omem=")[1].split()[0]) > 0 for reader in readers)
    eventually(begun)


@pytest.mark.parametrize("command, words, request_of", KINDS)
def test_what_slow_readers_keep_is_bounded_and_they_go(start, command, words, request_of):
    clients = 24 * MB if request_of[0] == "ZUNION" else MEMORY // 20  # its results are memory of clients
    server = start("--maxmemory", "128mb", "--maxmemory-clients", str(clients), "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        quick = stack.enter_context(server.connect(timeout=60))
        admin.call(command, "small", *words(0)[:2])
        readers = []
        for round_ in range(5):
            write_version(admin, command, words, round_)
            new = [lazy_reader(stack, server, request_of) for _ in range(2 if round_ == 0 and "POP" not in request_of[0] else 1)]
            wait_for_reply(admin, new)
            readers += new
            assert quick.call(*WHOLE[command])
        write_version(admin, command, words, 98)
        eventually(lambda: figure(admin, "used_memory_pinned") <= MEMORY // 2)
        assert figure(admin, "pinned_memory_disconnections") >= 1
        eventually(lambda: "whose values are no longer stored but take too much memory" in server.log())
        assert quick.call("PING") == "PONG" and admin.call("PING") == "PONG"
        assert highest_rss(server) <= bound(MEMORY + clients + 12 * MB)
        # There is room again, for one more version as well.
        eventually(lambda: not any(reply.startswith(b"-") for reply in write_version(admin, command, words, 99)), step=0.1)


def test_readers_of_a_stored_collection_stay(start):
    server = start("--maxmemory", "128mb", "--maxmemory-policy", "noeviction", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        write_version(admin, "HSET", pairs, 0, key="stays")
        staying = [lazy_reader(stack, server, ["HGETALL", "stays"]) for _ in range(10)]
        wait_for_reply(admin, staying)
        assert figure(admin, "used_memory_pinned") < MB
        going = []
        for round_ in range(3):
            write_version(admin, "HSET", pairs, round_)
            going.append(lazy_reader(stack, server, ["HGETALL", "k"]))
            wait_for_reply(admin, going[-1:])
        admin.call("DEL", "k")
        eventually(lambda: figure(admin, "pinned_memory_disconnections") >= 1)
        eventually(lambda: figure(admin, "used_memory_pinned") <= MEMORY // 2)
        assert {reader.number for reader in staying} <= connected(admin)


def test_a_changed_element_is_not_the_whole_collection(start):
    """Readers of versions that differ in little are let alone: together they keep one version, and that is stored."""
    server = start("--maxmemory", "128mb", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        write_version(admin, "HSET", pairs, 0)
        readers = []
        for round_ in range(10):
            readers.append(lazy_reader(stack, server, ["HGETALL", "k"]))
            wait_for_reply(admin, readers[-1:])
            assert admin.call("HSET", "k", "f0", f"changed {round_}") == 0
        assert 0 < figure(admin, "used_memory_pinned") < MB
        time.sleep(2.5)
        assert {reader.number for reader in readers} <= connected(admin)
        assert figure(admin, "pinned_memory_disconnections") == 0


def test_a_reader_that_trickles_goes_and_one_that_reads_stays(start):
    server = start("--maxmemory", "128mb", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        trickling = []
        for round_ in range(4):
            write_version(admin, "HSET", pairs, round_)
            trickling.append(lazy_reader(stack, server, ["HGETALL", "k"], window=MB // 8))
            wait_for_reply(admin, trickling[-1:])
        reading = lazy_reader(stack, server, ["HGETALL", "k"], window=MB)
        wait_for_reply(admin, [reading])
        admin.call("DEL", "k")
        for reader in [*trickling, reading]:
            reader.socket.settimeout(0.2)

        def all_read_some():
            # Some 100 KB a second, and 2 MB or more.
            for reader in trickling:
                with contextlib.suppress(OSError):
                    reader.socket.recv(16 * 1024)
            with contextlib.suppress(TimeoutError):
                for _ in range(8):
                    reading.socket.recv(64 * 1024)
            return figure(admin, "used_memory_pinned") <= MEMORY // 2 and figure(admin, "pinned_memory_disconnections") >= 1
        eventually(all_read_some, step=0.1)
        assert not is_closed(reading.socket)
