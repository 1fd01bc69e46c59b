"""A client that does not read a long reply keeps the version of the collection that it reads. What such clients keep is bounded."""

import contextlib
import pathlib
import re
import socket
import time

import pytest

from tests.support.connection import is_closed
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

MB = 1 << 20
MEMORY = 128 * MB
pytestmark = pytest.mark.skipif(is_redis(), reason="what Pinfold promises")

ELEMENTS = 60_000  # a version of the collection takes more than 20 MB


def elements(first, tag):
    return [f"{n}:{tag}:".ljust(350, "x") for n in range(first, first + 500)]


def pairs(key, first, tag):
    return [word for n, text in enumerate(elements(first, tag)) for word in (f"f{first + n}", text)]


def scored(key, first, tag):
    return [word for n, text in enumerate(elements(first, tag)) for word in (first + n, text)]


# How a version is written, and how it is read; the first word of each is the command.
KINDS = [
    pytest.param("HSET", pairs, ["HGETALL", "k"], id="hgetall"),
    pytest.param("HSET", pairs, ["HRANDFIELD", "k", 2_000_000_000, "WITHVALUES"], id="hrandfield"),
    pytest.param("SADD", lambda key, first, tag: elements(first, tag), ["SMEMBERS", "k"], id="smembers"),
    pytest.param("SADD", lambda key, first, tag: elements(first, tag), ["SUNION", "k", "small"], id="sunion"),
    pytest.param("SADD", lambda key, first, tag: elements(first, tag), ["SRANDMEMBER", "k", -1_000_000], id="srandmember"),
    pytest.param("SADD", lambda key, first, tag: elements(first, tag), ["SPOP", "k", ELEMENTS // 2], id="spop"),
    pytest.param("RPUSH", lambda key, first, tag: elements(first, tag), ["LRANGE", "k", 0, -1], id="lrange"),
    pytest.param("RPUSH", lambda key, first, tag: elements(first, tag), ["SORT", "k", "BY", "nosort"], id="sort"),
    pytest.param("ZADD", scored, ["ZRANGE", "k", 0, -1, "WITHSCORES"], id="zrange"),
    pytest.param("ZADD", scored, ["ZUNION", 2, "k", "small"], id="zunion"),
    pytest.param("ZADD", scored, ["ZPOPMIN", "k", ELEMENTS // 2], id="zpopmin"),
]

# How all of it is read at once.
WHOLE = {"HSET": ["HGETALL", "k"], "SADD": ["SMEMBERS", "k"], "RPUSH": ["LRANGE", "k", 0, -1], "ZADD": ["ZRANGE", "k", 0, -1]}


def highest_rss(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


def figure(connection, name):
    return int(info(connection)[name])


def write_version(connection, command, words, tag, key="k"):
    connection.call("DEL", key)
    return connection.pipeline([(command, key, *words(key, first, tag)) for first in range(0, ELEMENTS, 500)])


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
    server = start("--maxmemory", "128mb", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        quick = stack.enter_context(server.connect(timeout=60))
        admin.call(command, "small", *words("small", 0, "s")[:2])
        readers = []
        for round_ in range(8):
            write_version(admin, command, words, round_)
            # Two of the same version keep it once.
            new = [lazy_reader(stack, server, request_of) for _ in range(2)]
            if command not in ("SPOP", "ZPOPMIN"):
                wait_for_reply(admin, new)
            readers += new
            assert len(quick.call(*WHOLE[command])) > 0
        write_version(admin, command, words, "last")
        eventually(lambda: figure(admin, "used_memory_pinned") <= MEMORY // 2)
        assert figure(admin, "pinned_memory_disconnections") >= 1
        eventually(lambda: "whose values are no longer stored but take too much memory" in server.log())
        assert quick.call("PING") == "PONG" and admin.call("PING") == "PONG"
        assert highest_rss(server) <= bound(MEMORY + MEMORY // 20 + 12 * MB)
        # There is room again, for one more version as well.
        eventually(lambda: all(not isinstance(reply, Exception) for reply in write_version(admin, command, words, "more")), step=0.1)


def test_readers_of_a_stored_collection_stay(start):
    server = start("--maxmemory", "128mb", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        write_version(admin, "HSET", pairs, "stays", key="stays")
        staying = [lazy_reader(stack, server, ["HGETALL", "stays"]) for _ in range(10)]
        wait_for_reply(admin, staying)
        assert figure(admin, "used_memory_pinned") < MB
        going = []
        for round_ in range(4):
            write_version(admin, "HSET", pairs, round_)
            going.append(lazy_reader(stack, server, ["HGETALL", "k"]))
            wait_for_reply(admin, going[-1:])
            admin.call("HINCRBY", "k", "n", 1)  # they keep little of their own as long as the rest is still stored
            assert admin.call("HGET", "stays", "f0") is not None
        admin.call("DEL", "k")
        eventually(lambda: figure(admin, "pinned_memory_disconnections") >= 1)
        eventually(lambda: figure(admin, "used_memory_pinned") <= MEMORY // 2)
        assert {reader.number for reader in staying} <= connected(admin)


def test_a_changed_element_is_not_the_whole_collection(start):
    """Readers of versions that differ in little are let alone: together they keep one version, and that is stored."""
    server = start("--maxmemory", "128mb", "--threads", "2")
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(server.connect(timeout=60))
        write_version(admin, "HSET", pairs, "v")
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
