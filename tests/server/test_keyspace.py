"""Expiry, databases, iteration and flushes over the wire. No test asserts how long something takes: they poll."""

import random
import threading

import pytest

from tests.support import resp
from tests.support.servers import eventually

from .conftest import info


def test_an_expired_key_is_gone_for_every_reader(client):
    readers = {
        "GET": None, "EXISTS": 0, "STRLEN": 0, "TTL": -2, "PTTL": -2, "EXPIRETIME": -2, "TYPE": "none", "PERSIST": 0, "GETDEL": None, "TOUCH": 0, "DEL": 0,
        "MGET": [None],
    }  # fmt: skip
    for command, nothing in readers.items():
        client.call("SET", "e", "v", "PX", "5")
        client.call("SET", "later", "v", "PX", "15")
        eventually(lambda: client.call("EXISTS", "later") == 0)
        assert client.call(command, "e") == nothing, command


def test_an_expired_key_can_be_created_anew_without_its_past(client):
    client.call("SET", "e", "old", "PX", "5")
    client.call("SET", "later", "v", "PX", "15")
    eventually(lambda: client.call("EXISTS", "later") == 0)
    assert client.call("APPEND", "e", "new") == 3
    assert client.call("TTL", "e") == -1
    assert client.call("SETNX", "e", "x") == 0


def test_expired_keys_are_removed_without_being_touched(client):
    client.pipeline([("SET", f"e{i}", "v", "PX", "1") for i in range(2000)])
    client.call("SET", "stays", "v")
    eventually(lambda: client.call("DBSIZE") == 1)
    eventually(lambda: int(info(client, "stats")["expired_keys"]) >= 2000)


def test_the_sweep_can_be_switched_off_and_on(client):
    assert client.call("DEBUG", "SET-ACTIVE-EXPIRE", "0") == "OK"
    try:
        client.call("SET", "e", "v", "PX", "5")
        client.call("SET", "later", "v", "PX", "20")
        eventually(lambda: client.call("EXISTS", "later") == 0)
        assert client.call("EXISTS", "e") == 0, "still gone for a reader"
    finally:
        assert client.call("DEBUG", "SET-ACTIVE-EXPIRE", "1") == "OK"
    client.call("SET", "e2", "v", "PX", "5")
    eventually(lambda: client.call("DBSIZE") == 0)


def test_expired_memory_comes_back(client):
    before = int(info(client, "memory")["used_memory"])
    client.pipeline([("SET", f"e{i}", "x" * 10_000, "PX", "3000") for i in range(2000)])
    assert int(info(client, "memory")["used_memory"]) - before > 15 << 20
    eventually(lambda: client.call("DBSIZE") == 0)
    eventually(lambda: int(info(client, "memory")["used_memory"]) - before < 5 << 20)


def test_times_to_live_count_down(client):
    client.call("SET", "t", "v", "EX", "1000")
    assert 990 <= client.call("TTL", "t") <= 1000
    assert 990_000 < client.call("PTTL", "t") <= 1_000_000
    now = client.call("TIME")
    assert abs(client.call("EXPIRETIME", "t") - (int(now[0]) + 1000)) <= 10


def test_databases_are_separate(client):
    for db in range(16):
        client.pipeline([("SELECT", db), ("SET", "k", f"db{db}"), ("SET", f"only{db}", "1")])
    for db in range(16):
        assert client.pipeline([("SELECT", db), ("GET", "k"), ("DBSIZE",)])[1:] == [f"db{db}".encode(), 2]
    client.pipeline([("SELECT", 3), ("FLUSHDB",)])
    assert client.pipeline([("SELECT", 3), ("DBSIZE",), ("SELECT", 4), ("DBSIZE",)])[1::2] == [0, 2]
    assert set(info(client, "keyspace")) == {f"db{db}" for db in range(16) if db != 3}


def test_swapdb_is_seen_by_connected_clients_at_once(client, connect):
    other = connect()
    client.call("SET", "k", "zero")
    other.call("SELECT", 1)
    assert client.call("SWAPDB", 0, 1) == "OK"
    assert other.call("GET", "k") == b"zero"
    assert client.call("GET", "k") is None
    assert client.call("SWAPDB", 0, 99) == "ERR DB index is out of range"


def test_concurrent_swaps_and_writes_lose_no_key(client, server):
    client.pipeline([("SET", f"k{i}", "0") for i in range(500)] + [("SELECT", 1)] + [("SET", f"k{i}", "1") for i in range(500)])
    stop = threading.Event()

    def swap():
        with server.connect() as connection:
            while not stop.is_set():
                connection.call("SWAPDB", 0, 1)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        with server.connect() as reader:
            for _ in range(300):
                values = reader.pipeline([("MULTI",), *[("GET", f"k{i}") for i in range(0, 500, 50)], ("EXEC",)])[-1]
                assert len(set(values)) == 1 and values[0] in (b"0", b"1"), values
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("mode", [[], ["SYNC"], ["ASYNC"]])
def test_a_flush_empties_and_gives_the_memory_back(client, mode):
    before = int(info(client, "memory")["used_memory"])
    client.pipeline([("SET", f"f{i}", "x" * 1000) for i in range(20_000)])
    assert client.call("FLUSHALL", *mode) == "OK"
    assert client.call("DBSIZE") == 0 and client.call("GET", "f1") is None
    eventually(lambda: int(info(client, "memory")["used_memory"]) - before < 4 << 20)


def test_a_full_scan_returns_every_key_that_stays(client, server):
    """While others come and go, and the table grows and shrinks."""
    stay = {f"stay:{i}".encode() for i in range(3000)}
    client.pipeline([("SET", key, "1") for key in stay])
    stop = threading.Event()

    def churn():
        with server.connect() as connection:
            n = 0
            while not stop.is_set():
                connection.pipeline([("SET", f"churn:{n + i}", "1") for i in range(500)])
                connection.pipeline([("DEL", f"churn:{n + i}") for i in range(500)])
                n += 500

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for count in (1, 10, 1000):
            seen, cursor = set(), b"0"
            while True:
                cursor, keys = client.call("SCAN", cursor, "COUNT", count)
                seen.update(keys)
                if cursor == b"0":
                    break
            assert stay <= seen, len(stay - seen)
    finally:
        stop.set()
        thread.join()


def test_a_scan_of_a_quiet_database_repeats_no_key(client):
    client.pipeline([("SET", f"s{i}", "1") for i in range(5000)])
    found, cursor = [], b"0"
    while True:
        cursor, keys = client.call("SCAN", cursor, "COUNT", 100)
        found += keys
        if cursor == b"0":
            break
    assert len(found) == len(set(found)) == 5000


def test_cursors_of_any_value_are_answered(client):
    client.pipeline([("SET", f"s{i}", "1") for i in range(100)])
    for cursor in ("1", "17", "4294967295", "9223372036854775807", "18446744073709551615"):
        reply = client.call("SCAN", cursor)
        assert isinstance(reply, list) and len(reply) == 2, cursor
    for cursor in ("x", "1x", "1.5", " 1", "18446744073709551616"):
        assert client.call("SCAN", cursor) == "ERR invalid cursor", cursor


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "[" * 5000, "\\" * 5000, "*" * 5000 + "x", "[^" * 1000, "?*" * 500 + "b"])
def test_a_hostile_pattern_is_answered(client, pattern):
    """CVE-2022-36021, CVE-2024-31228: exponential time, unbounded recursion."""
    client.call("SET", "a" * 200, "1")
    client.call("SET", "[" * 5000, "1")
    assert isinstance(client.call("KEYS", pattern), list)
    assert client.call("SCAN", "0", "MATCH", pattern, "COUNT", "100")[0] == b"0"


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_a_few_keys_are_scanned_in_one_call(start, threads):
    with start("--threads", threads).connect() as client:
        client.pipeline([("SET", key, "v") for key in "abc"])
        cursor, keys = client.call("SCAN", "0")
        assert cursor == b"0" and sorted(keys) == [b"a", b"b", b"c"]


def test_randomkey_finds_every_key_sooner_or_later(client):
    keys = {f"r{i}".encode() for i in range(8)}
    client.pipeline([("SET", key, "1") for key in keys])
    seen = set()

    def all_seen():
        seen.add(client.call("RANDOMKEY"))
        return seen == keys

    eventually(all_seen, step=0)
    client.call("FLUSHALL")
    assert client.call("RANDOMKEY") is None


def test_keys_with_equal_beginnings_and_hash_neighbours_are_told_apart(client):
    keys = [b"x" * n for n in range(1, 400)] + [b"\x00" * n for n in range(1, 200)]
    client.pipeline([("SET", key, str(i)) for i, key in enumerate(keys)])
    assert client.call("DBSIZE") == len(keys)
    assert client.pipeline([("GET", key) for key in keys]) == [str(i).encode() for i in range(len(keys))]


def test_a_million_overwrites_do_not_grow_the_memory(client):
    before = int(info(client, "memory")["used_memory"])
    rng = random.Random(3)
    for _ in range(20):
        client.pipeline([("SET", f"o{rng.randint(0, 99)}", "x" * rng.randint(0, 2000)) for _ in range(5000)])
    assert client.call("DBSIZE") == 100
    eventually(lambda: int(info(client, "memory")["used_memory"]) - before < 16 << 20)


def test_the_same_key_several_times_in_one_command(client):
    """CVE-2023-28425 and its class."""
    assert client.call("MSETNX", "d", "1", "d", "2") == 1
    assert client.call("GET", "d") == b"2"
    assert client.call("MSET", "d", "1", "d", "2", "d", "3") == "OK"
    assert client.call("GET", "d") == b"3"
    assert client.call("EXISTS", "d", "d", "d") == 3
    assert client.call("TOUCH", "d", "d") == 2
    assert client.call("MGET", "d", "d") == [b"3", b"3"]
    assert client.call("BITOP", "AND", "d", "d", "d") == 1
    assert client.call("DEL", "d", "d") == 1
    assert client.call("RENAME", "none", "none") == "ERR no such key"
    client.call("SET", "d", "1")
    assert client.call("RENAME", "d", "d") == "OK"
    assert client.call("RENAMENX", "d", "d") == 0
    assert client.call("COPY", "d", "d") == "ERR source and destination objects are the same"


def test_concurrent_work_on_few_keys_from_many_connections(server):
    """No answer is checked here but that there is one: the sanitizers watch."""
    stop = []

    def work(seed):
        rng = random.Random(seed)
        with server.connect() as connection:
            for _ in range(40):
                commands = []
                for _ in range(50):
                    key, other = f"c{rng.randint(0, 5)}", f"c{rng.randint(0, 5)}"
                    commands.append(
                        rng.choice([
                            ("SET", key, "x" * rng.choice((1, 100, 20_000))), ("GET", key), ("DEL", key, other), ("APPEND", key, "y" * 100), ("RENAME", key, other),
                            ("COPY", key, other, "REPLACE"), ("EXPIRE", key, "100"), ("SETRANGE", key, rng.randint(0, 30_000), "z"), ("MGET", key, other),
                            ("PEXPIRE", key, "1"), ("GETDEL", key), ("BITOP", "XOR", key, key, other), ("SCAN", "0"), ("MOVE", key, "1"), ("KEYS", "*"), ("FLUSHDB",),
                            ("RANDOMKEY",), ("DBSIZE",), ("MSET", key, "1", other, "2"), ("GETRANGE", key, "0", "-1"), ("WATCH", key), ("UNWATCH",),
                            ("OBJECT", "ENCODING", key), ("MEMORY", "USAGE", key), ("SWAPDB", "0", "1"), ("INFO",), ("FLUSHALL", "ASYNC"),
                        ])
                    )  # fmt: skip
                replies = connection.pipeline(commands)
                if len(replies) != 50:
                    stop.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not stop
    with server.connect() as connection:
        assert connection.call("PING") == "PONG"
        assert not isinstance(connection.call("FLUSHALL"), resp.ErrorReply)
