"""Hashes: replies, errors, and what is told in RESP3. Facts are those of Redis 7.2 (HGETDEL: of 8.0)."""

import random

import pytest

from tests.server.conftest import only_pinfold
from tests.support import resp

WRONG = resp.ErrorReply("WRONGTYPE Operation against a key holding the wrong kind of value")
SYNTAX = resp.ErrorReply("ERR syntax error")
NOT_INTEGER = resp.ErrorReply("ERR value is not an integer or out of range")


def play(client, steps):
    for args, expected in steps:
        assert client.call(*args) == expected, args


def fill(client, key, count, value=b"v%d"):
    pairs = []
    for i in range(count):
        pairs += [b"f%d" % i, value % i]
        if len(pairs) >= 400 or i == count - 1:
            client.call("HSET", key, *pairs)
            pairs = []


def pairs_of(flat):
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_fields_are_set_read_and_removed(client):
    play(client, [
        (["HSET", "h", "a", "1", "b", "text"], 2),
        (["HSET", "h", "a", "2", "c", ""], 1),
        (["HGET", "h", "a"], b"2"),
        (["HGET", "h", "none"], None),
        (["HGET", "none", "a"], None),
        (["HMGET", "h", "a", "none", "c", "a"], [b"2", None, b"", b"2"]),
        (["HMGET", "none", "a", "b"], [None, None]),
        (["HLEN", "h"], 3),
        (["HLEN", "none"], 0),
        (["HSTRLEN", "h", "b"], 4),
        (["HSTRLEN", "h", "a"], 1),
        (["HSTRLEN", "h", "none"], 0),
        (["HSTRLEN", "none", "none"], 0),
        (["HEXISTS", "h", "a"], 1),
        (["HEXISTS", "h", "none"], 0),
        (["HEXISTS", "none", "a"], 0),
        (["HGETALL", "h"], [b"a", b"2", b"b", b"text", b"c", b""]),
        (["HKEYS", "h"], [b"a", b"b", b"c"]),
        (["HVALS", "h"], [b"2", b"text", b""]),
        (["HGETALL", "none"], []),
        (["HKEYS", "none"], []),
        (["HSETNX", "h", "a", "3"], 0),
        (["HSETNX", "h", "d", "3"], 1),
        (["HSETNX", "new", "d", "3"], 1),
        (["HMSET", "h", "a", "9", "e", "5"], "OK"),
        (["HDEL", "h", "a", "none", "a", "e"], 2),
        (["HDEL", "none", "a"], 0),
        (["HDEL", "h", "b", "c", "d"], 3),
        (["EXISTS", "h"], 0),
        (["TYPE", "new"], "hash"),
    ])  # fmt: skip


def test_arity_and_types(client):
    client.call("SET", "s", "text")
    play(client, [
        (["HSET", "h", "a"], resp.ErrorReply("ERR wrong number of arguments for 'hset' command")),
        (["HSET", "h", "a", "1", "b"], resp.ErrorReply("ERR wrong number of arguments for 'hset' command")),
        (["HMSET", "h", "a", "1", "b"], resp.ErrorReply("ERR wrong number of arguments for 'hmset' command")),
        (["HSET", "s", "a", "1"], WRONG),
        (["HGET", "s", "a"], WRONG),
        (["HDEL", "s", "a"], WRONG),
        (["HINCRBY", "s", "a", "1"], WRONG),
        (["HINCRBY", "s", "a", "x"], NOT_INTEGER),
        (["HSCAN", "s", "0"], WRONG),
        (["HSCAN", "s", "x"], resp.ErrorReply("ERR invalid cursor")),
        (["HRANDFIELD", "s"], WRONG),
        (["HRANDFIELD", "s", "1"], WRONG),
        (["HGETALL", "s"], WRONG),
    ])  # fmt: skip


def test_numbers_are_added(client):
    play(client, [
        (["HINCRBY", "h", "n", "5"], 5),
        (["HINCRBY", "h", "n", "-7"], -2),
        (["HGET", "h", "n"], b"-2"),
        (["HSET", "h", "n", "9223372036854775807"], 0),
        (["HINCRBY", "h", "n", "1"], resp.ErrorReply("ERR increment or decrement would overflow")),
        (["HINCRBY", "h", "n", "-1"], 9223372036854775806),
        (["HSET", "h", "t", "text", "z", "01"], 2),
        (["HINCRBY", "h", "t", "1"], resp.ErrorReply("ERR hash value is not an integer")),
        (["HINCRBY", "h", "z", "1"], resp.ErrorReply("ERR hash value is not an integer")),
        (["HINCRBYFLOAT", "h", "f", "10.50"], b"10.5"),
        (["HINCRBYFLOAT", "h", "f", "0.1"], b"10.6"),
        (["HINCRBYFLOAT", "h", "f", "-5"], b"5.6"),
        (["HINCRBYFLOAT", "h", "f", "5.0e3"], b"5005.60000000000000009"),
        (["HINCRBYFLOAT", "h", "t", "1"], resp.ErrorReply("ERR hash value is not a float")),
        (["HINCRBYFLOAT", "h", "f", "x"], resp.ErrorReply("ERR value is not a valid float")),
        (["HINCRBYFLOAT", "h", "f", "inf"], resp.ErrorReply("ERR value is NaN or Infinity")),
        (["HINCRBYFLOAT", "h", "z", "1"], b"2"),
    ])  # fmt: skip


@only_pinfold
def test_hgetdel_reads_and_removes(client):
    play(client, [
        (["HSET", "h", "a", "1", "b", "2", "c", "3"], 3),
        (["HGETDEL", "h", "FIELDS", "2", "a", "none"], [b"1", None]),
        (["HGETALL", "h"], [b"b", b"2", b"c", b"3"]),
        (["HGETDEL", "none", "fields", "1", "a"], [None]),
        (["HGETDEL", "h", "FIELD", "1", "a"], resp.ErrorReply("ERR Mandatory argument FIELDS is missing or not at the right position")),
        (["HGETDEL", "h", "FIELDS", "0", "a"], resp.ErrorReply("ERR Number of fields must be a positive integer")),
        (["HGETDEL", "h", "FIELDS", "x", "a"], resp.ErrorReply("ERR Number of fields must be a positive integer")),
        (["HGETDEL", "h", "FIELDS", "2", "a"], resp.ErrorReply("ERR The `numfields` parameter must match the number of arguments")),
        (["HGETDEL", "h", "FIELDS", "2", "b", "c"], [b"2", b"3"]),
        (["EXISTS", "h"], 0),
    ])  # fmt: skip


def test_encodings_follow_the_thresholds(client):
    fill(client, "h", 512)
    assert client.call("OBJECT", "ENCODING", "h") == b"listpack"
    client.call("HSET", "h", "one more", "v")
    assert client.call("OBJECT", "ENCODING", "h") == b"hashtable"
    client.call("HDEL", "h", *[b"f%d" % i for i in range(504)])
    assert client.call("OBJECT", "ENCODING", "h") == b"hashtable"
    assert client.call("HLEN", "h") == 9
    client.call("HSET", "long", "f", "x" * 64)
    assert client.call("OBJECT", "ENCODING", "long") == b"listpack"
    client.call("HSET", "long", "f", "x" * 65)
    assert client.call("OBJECT", "ENCODING", "long") == b"hashtable"


@pytest.mark.parametrize("count", [5, 128, 129, 20_000])
def test_all_of_a_hash_of_any_size(client, count):
    fill(client, "h", count)
    expected = {b"f%d" % i: b"v%d" % i for i in range(count)}
    assert pairs_of(client.call("HGETALL", "h")) == expected
    assert sorted(client.call("HKEYS", "h")) == sorted(expected)
    assert sorted(client.call("HVALS", "h")) == sorted(expected.values())
    assert client.call("HLEN", "h") == count
    fields = [b"f%d" % i for i in range(0, count, 3)] + [b"none"]
    assert client.call("HMGET", "h", *fields) == [expected.get(field) for field in fields]


def test_many_fields_of_large_values(client):
    values = {b"f%d" % i: b"%d" % i * 100 for i in range(2000)}
    for field, value in values.items():
        client.call("HSET", "h", field, value)
    assert client.call("HMGET", "h", *values) == list(values.values())
    client.call("HSET", "small", "f", "x" * 500)
    assert client.call("HMGET", "small", *["f"] * 2000) == [b"x" * 500] * 2000


@pytest.mark.parametrize("size", [511, 513, 5000, 16_384, 20_000, 1_000_000])
def test_long_values(client, size):
    value = random.Random(size).randbytes(size)
    assert client.call("HSET", "h", "f", value, value[:900], "v") == 2
    assert client.call("HGET", "h", "f") == value
    assert client.call("HSTRLEN", "h", "f") == size
    assert client.call("HGET", "h", value[:900]) == b"v"
    assert pairs_of(client.call("HGETALL", "h")) == {b"f": value, value[:900]: b"v"}
    assert client.call("HSET", "h", "f", "short") == 0
    assert client.call("HGET", "h", "f") == b"short"
    assert client.call("HDEL", "h", "f", value[:900]) == 2
    assert client.call("EXISTS", "h") == 0


def test_replies_of_resp3(client, connect):
    three = connect(protocol=3)
    client.call("HSET", "h", "a", "1")
    assert three.raw("HGETALL", "h") == b"%1\r\n$1\r\na\r\n$1\r\n1\r\n"
    assert three.raw("HGETALL", "none") == b"%0\r\n"
    assert three.raw("HGET", "h", "none") == b"_\r\n"
    assert three.raw("HKEYS", "h") == b"*1\r\n$1\r\na\r\n"
    assert three.raw("HRANDFIELD", "h") == b"$1\r\na\r\n"
    assert three.raw("HRANDFIELD", "none") == b"_\r\n"
    assert three.raw("HRANDFIELD", "h", "1", "WITHVALUES") == b"*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"
    assert three.raw("HRANDFIELD", "h", "-2") == b"*2\r\n$1\r\na\r\n$1\r\na\r\n"
    assert three.raw("HSCAN", "h", "0") == b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"
    assert client.raw("HRANDFIELD", "h", "1", "WITHVALUES") == b"*2\r\n$1\r\na\r\n$1\r\n1\r\n"


@pytest.mark.parametrize("count", [1, 7, 128, 300, 3000])
def test_random_fields(client, count):
    fill(client, "h", count)
    every = {b"f%d" % i: b"v%d" % i for i in range(count)}
    assert client.call("HRANDFIELD", "h") in every
    for wanted in (1, 2, count // 2, count - 1, count, count + 1, 1000):
        fields = client.call("HRANDFIELD", "h", wanted)
        assert len(fields) == min(wanted, count)
        assert len(set(fields)) == len(fields)
        assert every.keys() >= set(fields)
        pairs = client.call("HRANDFIELD", "h", wanted, "WITHVALUES")
        assert len(pairs) == 2 * min(wanted, count)
        assert pairs_of(pairs).items() <= every.items()
    for wanted in (1, 10, 5000):
        fields = client.call("HRANDFIELD", "h", -wanted)
        assert len(fields) == wanted
        assert every.keys() >= set(fields)
        assert len(client.call("HRANDFIELD", "h", -wanted, "WITHVALUES")) == 2 * wanted
    assert client.call("HRANDFIELD", "h", 0) == []
    assert client.call("HRANDFIELD", "none", 5) == []


@pytest.mark.parametrize("count", [20, 1000])
def test_random_fields_are_uniform(client, count):
    fill(client, "h", count)
    for wanted in (-2 * count, count // 2):
        seen = dict.fromkeys([b"f%d" % i for i in range(count)], 0)
        picked = 0
        while picked < 40 * count:
            for field in client.call("HRANDFIELD", "h", wanted):
                seen[field] += 1
                picked += 1
        assert min(seen.values()) > 5
        assert max(seen.values()) < 120


def test_random_fields_with_wrong_arguments(client):
    out_of_range = resp.ErrorReply("ERR value is out of range")
    client.call("HSET", "h", "a", "1")
    play(client, [
        (["HRANDFIELD", "h", "x"], NOT_INTEGER),
        (["HRANDFIELD", "h", "1", "x"], SYNTAX),
        (["HRANDFIELD", "h", "1", "WITHVALUES", "x"], SYNTAX),
        (["HRANDFIELD", "h", "-9223372036854770000", "WITHVALUES"], out_of_range),
        (["HRANDFIELD", "h", "9223372036854770000", "WITHVALUES"], out_of_range),
        (["HRANDFIELD", "h", "9223372036854770000"], [b"a"]),
    ])  # fmt: skip


def scan(client, command, key, *options):
    found = []
    cursor = b"0"
    calls = 0
    while True:
        cursor, some = client.call(command, key, cursor, *options)
        found += some
        calls += 1
        if cursor == b"0":
            return found, calls


@pytest.mark.parametrize("count", [5, 128, 5000])
def test_a_scan_meets_every_field(client, count):
    fill(client, "h", count)
    found, calls = scan(client, "HSCAN", "h")
    assert pairs_of(found) == {b"f%d" % i: b"v%d" % i for i in range(count)}
    assert len(found) == 2 * count
    assert (calls > 1) == (count > 128)
    assert scan(client, "HSCAN", "h", "MATCH", "f7*")[0] == [text for i, text in enumerate(found) if found[i - i % 2].startswith(b"f7")]
    assert len(scan(client, "HSCAN", "h", "COUNT", "10000000")[0]) == 2 * count
    assert scan(client, "HSCAN", "h", "MATCH", "none*", "COUNT", 100)[0] == []
    assert client.call("HSCAN", "none", "0") == [b"0", []]
    assert client.call("HSCAN", "h", "0", "COUNT", "0") == SYNTAX
    assert client.call("HSCAN", "h", "0", "COUNT", "x") == NOT_INTEGER
    assert client.call("HSCAN", "h", "0", "TYPE", "hash") == SYNTAX
    assert client.call("HSCAN", "h", "0", "MATCH") == SYNTAX


@only_pinfold
def test_a_scan_without_values(client):
    fill(client, "h", 1000)
    found, _ = scan(client, "HSCAN", "h", "NOVALUES")
    assert sorted(found) == sorted(b"f%d" % i for i in range(1000))
    client.call("HSET", "small", "a", "1")
    assert client.call("HSCAN", "small", "0", "NOVALUES") == [b"0", [b"a"]]


def test_a_scan_meets_what_stays_whatever_else_changes(client):
    fill(client, "h", 3000)
    stays = {b"f%d" % i for i in range(0, 3000, 100)}
    seen = set()
    cursor = b"0"
    for step in range(10_000):
        cursor, some = client.call("HSCAN", "h", cursor, "COUNT", "20")
        seen |= set(some[::2])
        if cursor == b"0":
            break
        if step < 28:
            gone = [b"f%d" % i for i in range(step * 100, step * 100 + 100) if b"f%d" % i not in stays]
            client.call("HDEL", "h", *gone)
        else:
            fill(client, "h", 300, b"new%d")
    assert seen >= stays


@only_pinfold
def test_inside_exec_long_replies_are_refused_and_short_ones_are_not(client):
    fill(client, "h", 5000)
    client.call("HSET", "small", "a", "1")
    client.call("MULTI")
    client.call("HGETALL", "h")
    client.call("HGETALL", "small")
    client.call("HRANDFIELD", "h", "-4000")
    long, short, picks = client.call("EXEC")
    assert short == [b"a", b"1"]
    for reply in (long, picks):
        assert isinstance(reply, resp.ErrorReply)
        assert "inside MULTI" in str(reply)


@only_pinfold
def test_fields_in_random_order_against_a_dictionary(client):
    rnd = random.Random(7)
    model = {}
    for _ in range(3000):
        field = b"f%d" % rnd.randrange(400)
        choice = rnd.randrange(6)
        if choice < 3:
            value = rnd.choice([b"%d" % rnd.randrange(10**rnd.randrange(1, 19)), rnd.randbytes(rnd.randrange(100)), b"x" * rnd.randrange(2000)])
            assert client.call("HSET", "h", field, value) == (field not in model)
            model[field] = value
        elif choice == 3:
            assert client.call("HDEL", "h", field) == (model.pop(field, None) is not None)
        elif choice == 4:
            assert client.call("HGET", "h", field) == model.get(field)
        else:
            assert client.call("HLEN", "h") == len(model)
    assert pairs_of(client.call("HGETALL", "h")) == model
