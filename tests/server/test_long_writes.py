"""Writes that copy a large value, map memory for it or digest it first: nothing of that happens while others wait for the key's shard."""

import os
import threading

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info
from .test_lock_budget import work

MB = 1 << 20
TSAN = "/tsan/" in os.environ.get("PINFOLD_SERVER", "")
SHARED = "ERR {} inside MULTI copies values of 1024 KB at most: this one is shared by a copy or an unread reply"
pytestmark = pytest.mark.skipif(is_redis(), reason="a figure of ours")


@pytest.fixture
def counted(start):
    with start("--maxmemory", "512mb", "--lock-accounting", "yes").connect(timeout=60) as connection:
        yield connection


def expect_little(connection, *commands):
    done = work(connection)
    for command in commands:
        assert done[command]["bytes"] <= 256 * 1024, (command, done[command])
        # tsan has a block that grows moved, with calls of its own.
        assert done[command]["system_calls"] == 0 or TSAN, (command, done[command])


def test_a_value_that_is_shared_is_copied_with_nothing_locked(counted):
    value = bytes(range(256)) * (20 * MB // 256)
    counted.call("SET", "big", value)
    for name in ("append", "setrange", "setbit", "bitfield"):
        assert counted.call("COPY", "big", name) == 1
    counted.call("CONFIG", "RESETSTAT")
    assert counted.call("APPEND", "append", "tail") == len(value) + 4
    assert counted.call("SETRANGE", "setrange", 5 * MB, "middle") == len(value)
    assert counted.call("SETBIT", "setbit", 8 * 5 * MB, 1) == 0
    assert counted.call("BITFIELD", "bitfield", "GET", "u8", 8, "SET", "u8", 8 * 5 * MB, 77, "INCRBY", "u8", 16, 1) == [1, 0, 3]
    expect_little(counted, "append", "setrange", "setbit", "bitfield")
    changed = [value + b"tail"]
    for part, at in ((b"middle", 5 * MB), (b"\x80", 5 * MB)):
        changed.append(value[:at] + part + value[at + len(part) :])
    changed.append(value[:2] + b"\x03" + value[3 : 5 * MB] + b"\x4d" + value[5 * MB + 1 :])
    for name, expected in zip(("append", "setrange", "setbit", "bitfield"), changed, strict=True):
        assert counted.call("GET", name) == expected, name
    assert counted.call("GET", "big") == value


@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="mappings do not grow under the thread sanitizer: they are copied")
def test_memory_for_a_value_that_grows_is_mapped_with_nothing_locked(counted):
    counted.call("MSET", "small", "abc", "blob", b"b" * 900_000, "middle", b"m" * 300_000)
    counted.call("CONFIG", "RESETSTAT")
    assert counted.call("SETRANGE", "new", 3 * MB, "x") == 3 * MB + 1
    assert counted.call("SETRANGE", "small", 900_000, "x") == 900_001
    assert counted.call("SETBIT", "bit", 8 * 5 * MB, 1) == 0
    assert counted.call("BITFIELD", "field", "SET", "u8", 8 * 2 * MB, 5) == [0]
    assert counted.call("APPEND", "blob", b"c" * 300_000) == 1_200_000
    assert counted.call("APPEND", "middle", b"n" * 500_000) == 800_000
    for size in range(2, 60, 7):
        assert counted.call("SETRANGE", "blob", size * MB, "y") == size * MB + 1
    expect_little(counted, "setrange", "setbit", "bitfield", "append")
    assert counted.call("GET", "new") == bytes(3 * MB) + b"x"
    assert counted.call("GET", "small") == b"abc" + bytes(899_997) + b"x"
    assert counted.call("GET", "bit") == bytes(5 * MB) + b"\x80"
    assert counted.call("GET", "field") == bytes(2 * MB) + b"\x05"
    assert counted.call("GETRANGE", "blob", 899_999, 1_200_000) == b"b" + b"c" * 300_000 + b"\0"
    assert counted.call("GET", "middle") == b"m" * 300_000 + b"n" * 500_000


def test_the_digest_of_a_large_value_is_computed_with_nothing_locked(counted):
    value = b"0123456789abcdef" * (10 * MB // 16)
    counted.call("SET", "k", value)
    digest = counted.call("DIGEST", "k")
    counted.call("CONFIG", "RESETSTAT")
    assert counted.call("SET", "k", "v", "IFDNE", digest) is None
    assert counted.call("DELEX", "k", "IFDNE", digest) == 0
    assert counted.call("SET", "k", b"y" * (2 * MB), "IFDEQ", digest, "GET", "EX", 100) == value
    assert counted.call("STRLEN", "k") == 2 * MB and counted.call("TTL", "k") > 90
    assert counted.call("DELEX", "k", "IFDEQ", digest) == 0
    assert counted.call("DELEX", "k", "IFDEQ", counted.call("DIGEST", "k")) == 1
    expect_little(counted, "set", "delex")
    assert counted.call("MULTI") == "OK"
    counted.call("SET", "k", value)
    counted.call("DELEX", "k", "IFDEQ", digest)
    assert counted.call("EXEC")[1] == "ERR DELEX inside MULTI looks at values of 256 KB at most"


def test_a_large_value_is_compared_with_nothing_locked(counted):
    value = b"0123456789abcdef" * (10 * MB // 16)
    other = value[:-1] + b"!"
    counted.call("SET", "k", value)
    counted.call("CONFIG", "RESETSTAT")
    assert counted.call("SET", "k", "v", "IFEQ", other) is None
    assert counted.call("SET", "k", "v", "IFNE", value, "GET") == value
    assert counted.call("DELEX", "k", "IFNE", value) == 0
    assert counted.call("DELEX", "k", "IFEQ", other) == 0
    assert counted.call("DELIFEQ", "k", other) == 0
    assert counted.call("GET", "k") == value
    assert counted.call("SET", "k", other, "EX", 100, "IFEQ", value) == "OK"
    assert counted.call("TTL", "k") > 90
    assert counted.call("DELEX", "k", "IFNE", value) == 1
    counted.call("MSET", "k", value, "l", value)
    assert counted.call("DELEX", "k", "IFEQ", value) == 1 and counted.call("DELIFEQ", "l", value) == 1
    assert counted.call("EXISTS", "k", "l") == 0
    expect_little(counted, "set", "delex", "delifeq")


def test_inside_a_transaction_a_value_is_compared_with_one_as_long(counted):
    value = b"0123456789abcdef" * (2 * MB // 16)
    counted.call("MSET", "k", value, "l", value)
    assert counted.call("MULTI") == "OK"
    for command in (("SET", "k", "v", "IFNE", value), ("DELIFEQ", "k", value), ("DELEX", "l", "IFEQ", value)):
        assert counted.call(*command) == "QUEUED"
    assert counted.call("EXEC") == [None, 1, 1]


def test_inside_a_transaction_what_is_small_or_nobody_elses_is_changed_and_a_long_copy_refused(counted):
    counted.call("MSET", "small", "a", "own", b"o" * (5 * MB), "big", b"b" * (5 * MB), "little", b"l" * 600_000)
    counted.call("COPY", "big", "shared")
    counted.call("COPY", "little", "half")
    requests = [
        ("APPEND", "small", "b"), ("APPEND", "own", "p"), ("APPEND", "shared", "c"), ("SETRANGE", "shared", 0, "c"), ("SETBIT", "shared", 0, 1),
        ("BITFIELD", "shared", "SET", "u8", 0, 1), ("APPEND", "half", "m"), ("SETRANGE", "far", 2 * MB, "f"),
    ]  # fmt: skip
    counted.call("MULTI")
    counted.pipeline(requests)
    replies = counted.call("EXEC")
    refused = [SHARED.format(name) for name in ("APPEND", "SETRANGE", "SETBIT", "BITFIELD")]
    assert replies == [2, 5 * MB + 1, *refused, 600_001, 2 * MB + 1]
    assert counted.call("GET", "shared") == b"b" * (5 * MB)
    assert counted.call("GET", "half") == b"l" * 600_000 + b"m"


def test_what_comes_behind_a_long_write_finds_it_done(counted):
    counted.call("SET", "big", b"b" * (30 * MB))
    counted.call("COPY", "big", "copy")
    replies = counted.pipeline([("APPEND", "copy", "1"), ("STRLEN", "copy"), ("APPEND", "copy", "2"), ("GETRANGE", "copy", 30 * MB - 1, -1), ("STRLEN", "big")])
    assert replies == [30 * MB + 1, 30 * MB + 1, 30 * MB + 2, b"b12", 30 * MB]


def test_no_write_is_lost_while_many_write_to_a_value_that_is_read_all_the_time(start):
    server = start("--maxmemory", "256mb", "--threads", "2")
    times = 40
    with server.connect(timeout=60) as admin:
        admin.call("SET", "k", b"-" * (3 * MB))
        done = threading.Event()
        failed = []

        def read():
            with server.connect(timeout=60) as reader:
                while not done.is_set():
                    reader.pipeline([("GET", "k"), ("BITCOUNT", "k")])

        def write(mark):
            with server.connect(timeout=60) as writer:
                for n in range(times):
                    replies = [writer.call("APPEND", "k", mark * 3), writer.call("SETRANGE", "k", ord(mark) * 1000 + n, mark)]
                    failed.extend(reply for reply in replies if isinstance(reply, resp.ErrorReply))

        readers = [threading.Thread(target=read) for _ in range(2)]
        writers = [threading.Thread(target=write, args=(mark,)) for mark in "abcd"]
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        for thread in readers:
            thread.join()
        assert not failed
        value = admin.call("GET", "k")
        assert len(value) == 3 * MB + 3 * times * 4
        for mark in b"abcd":
            assert value[3 * MB :].count(mark) == 3 * times
            assert value[mark * 1000 : mark * 1000 + times] == bytes([mark]) * times
        eventually(lambda: int(info(admin, "memory")["used_memory_blobs"]) < 8 * MB)


def test_a_copy_for_which_there_is_no_room_is_refused_and_changes_nothing(start):
    server = start("--maxmemory", "64mb")
    with server.connect(timeout=60) as connection:
        connection.call("SET", "big", b"b" * (40 * MB))
        connection.call("COPY", "big", "copy")
        reply = connection.call("APPEND", "copy", "x")
        assert isinstance(reply, resp.ErrorReply) and reply.startswith("OOM"), reply
        assert connection.call("GET", "copy") == b"b" * (40 * MB)
        assert connection.call("EXISTS", "big", "copy") == 2
