"""Sorted sets: replies of Pinfold and of redis-server to the same requests, byte for byte, and what Redis 7.0 has not."""

import itertools
import random
import threading
import time

import pytest

from tests.server.conftest import only_pinfold
from tests.support import resp, servers

WRONG = resp.ErrorReply("WRONGTYPE Operation against a key holding the wrong kind of value")
SYNTAX = resp.ErrorReply("ERR syntax error")


@pytest.fixture(scope="module")
def peer():
    with servers.redis() as running:
        yield running


class Both:
    """Sends each request to both servers."""

    def __init__(self, mine, peer):
        self.mine, self.peer = mine, peer

    def __call__(self, *args):
        mine, peer = self.mine.raw(*args), self.peer.raw(*args)
        assert mine == peer, args
        return mine


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def both(request, server, peer, connect):
    with peer.connect() as other:
        pair = Both(connect(), other)
        for connection in (pair.mine, pair.peer):
            connection.call("FLUSHALL")
            connection.raw("HELLO", request.param)
        yield pair


def fill(call, key, count, score=lambda i: i // 3, name="member:%d"):
    """Adds members in random order."""
    order = list(range(count))
    random.Random(count).shuffle(order)
    for at in range(0, count, 500):
        call("ZADD", key, *[word for i in order[at : at + 500] for word in (score(i), name % i)])


SIZES = pytest.mark.parametrize("size", [5, 100, 1000])

ZADDS = [
    ["z", "1", "a"], ["z", "1", "a", "2", "b", "3", "c"], ["z", "NX", "5", "a", "6", "d"], ["z", "XX", "7", "a", "8", "e"],
    ["z", "GT", "CH", "1", "a", "9", "b"], ["z", "LT", "CH", "1", "a", "10", "b"], ["z", "CH", "1", "a", "4", "c", "5", "f"],
    ["z", "INCR", "2.5", "a"], ["z", "XX", "INCR", "2", "nobody"], ["z", "NX", "INCR", "2", "a"], ["z", "GT", "INCR", "-2", "a"],
    ["z", "LT", "INCR", "-2", "a"], ["z", "inf", "top"], ["z", "-inf", "bottom"], ["z", "+inf", "top2"], ["z", "INCR", "-inf", "top"],
    ["z", "NX", "XX", "1", "a"], ["z", "GT", "LT", "1", "a"], ["z", "NX", "GT", "1", "a"], ["z", "INCR", "1", "a", "2", "b"],
    ["z", "1"], ["z", "CH", "1"], ["z", "1", "a", "2"], ["z", "x", "a"], ["z", "nan", "a"], ["z", "1", "a", "nan", "b"], ["z", "", "a"],
    ["z", " 1", "a"], ["z", "1 ", "a"], ["z", "0x10", "hex"], ["z", "1e3", "exp"], ["z", "1e400", "a"], ["z", "1e-400", "a"], ["z", "+5", "plus"],
    ["z", "-0", "zero"], ["z", "0", "zero"], ["z", "1e20", "far"], ["z", "0.5", "half"], ["z", "-123456789012", "minus"], ["z", "1", ""],
    ["z", "infinity", "long"], ["s", "1", "a"], ["s", "x", "a"], ["new", "XX", "1", "a"], ["z", "1", "10", "1", "9", "1", "100"],
]  # fmt: skip


def test_adding(both):
    both("SET", "s", "text")
    for args in ZADDS:
        both("ZADD", *args)
        both("ZRANGE", "z", "0", "-1", "WITHSCORES")
    both("EXISTS", "new")
    for args in (["z", "1", "a"], ["z", "0.25", "a"], ["z", "x", "a"], ["z", "-inf", "top"], ["y", "inf", "a"], ["y", "-inf", "a"], ["s", "1", "a"]):
        both("ZINCRBY", *args)
    both("ZCARD", "z")
    both("ZCARD", "s")
    both("ZCARD", "none")
    both("OBJECT", "ENCODING", "z")


@SIZES
def test_one_member(both, size):
    fill(both, "z", size)
    for member in ["member:0", "member:1", "member:4", "member:%d" % (size - 1), "none", ""]:
        for command in ("ZSCORE", "ZRANK", "ZREVRANK"):
            both(command, "z", member)
            both(command, "none", member)
    both("ZMSCORE", "z", "member:1", "none", "member:2", "member:1")
    both("ZMSCORE", "none", "a", "b")
    both("ZREM", "z", "member:1", "none", "member:3", "member:1")
    both("ZREM", "none", "a")
    both("ZRANGE", "z", "0", "-1", "WITHSCORES")
    both("OBJECT", "ENCODING", "z")
    both("TYPE", "z")


RANKS = [("0", "-1"), ("0", "0"), ("1", "3"), ("-3", "-1"), ("-1000000", "2"), ("2", "1"), ("4", "100000"), ("100000", "200000"), ("-1", "0")]
SCORES = [
    ("-inf", "+inf"), ("1", "3"), ("(1", "3"), ("1", "(3"), ("(1", "(3"), ("(1", "(1"), ("3", "1"), ("0.5", "1.5"), ("inf", "-inf"), ("", "1"),
    ("(", "2"), ("(inf", "inf"), ("+1", "0x3"), (" 1", "5"),
]  # fmt: skip
LEXES = [
    ("-", "+"), ("[m010", "[m020"), ("(m010", "(m020"), ("[m0105", "+"), ("-", "(m005"), ("+", "-"), ("[m020", "[m010"), ("[", "[m003"), ("(m", "[n"),
    ("[x", "+"),
]  # fmt: skip
LIMITS = [[], ["LIMIT", "0", "5"], ["LIMIT", "2", "3"], ["LIMIT", "1", "-1"], ["LIMIT", "100000", "1"], ["LIMIT", "-1", "5"], ["LIMIT", "0", "0"]]


@SIZES
def test_ranges_by_rank(both, size):
    fill(both, "z", size)
    for start, stop in RANKS:
        for options in ([], ["WITHSCORES"]):
            both("ZRANGE", "z", start, stop, *options)
            both("ZRANGE", "z", start, stop, "REV", *options)
            both("ZREVRANGE", "z", start, stop, *options)
        both("ZRANGESTORE", "to", "z", start, stop)
        both("ZRANGE", "to", "0", "-1", "WITHSCORES")


@SIZES
def test_ranges_by_score(both, size):
    fill(both, "z", size)
    for least, most in SCORES:
        both("ZCOUNT", "z", least, most)
        for limit in LIMITS:
            for options in ([], ["WITHSCORES"]):
                both("ZRANGEBYSCORE", "z", least, most, *options, *limit)
                both("ZREVRANGEBYSCORE", "z", most, least, *options, *limit)
                both("ZRANGE", "z", least, most, "BYSCORE", *options, *limit)
                both("ZRANGE", "z", most, least, "BYSCORE", "REV", *options, *limit)
            both("ZRANGESTORE", "to", "z", least, most, "BYSCORE", *limit)
            both("ZRANGE", "to", "0", "-1", "WITHSCORES")


@SIZES
def test_ranges_by_member(both, size):
    fill(both, "z", size, lambda _: 0, "m%03d")
    for least, most in LEXES:
        both("ZLEXCOUNT", "z", least, most)
        for limit in LIMITS:
            both("ZRANGEBYLEX", "z", least, most, *limit)
            both("ZREVRANGEBYLEX", "z", most, least, *limit)
            both("ZRANGE", "z", least, most, "BYLEX", *limit)
            both("ZRANGE", "z", most, least, "BYLEX", "REV", *limit)
            both("ZRANGESTORE", "to", "z", least, most, "BYLEX", *limit)
            both("ZRANGE", "to", "0", "-1", "WITHSCORES")


def test_wrong_ranges(both):
    fill(both, "z", 10)
    both("SET", "s", "text")
    for args in [
        ["ZRANGE", "z", "x", "1"], ["ZRANGE", "z", "0", "1", "LIMIT", "0", "5"], ["ZRANGE", "z", "0", "1", "LIMIT", "0", "-1"],
        ["ZRANGE", "z", "-", "+", "BYLEX", "WITHSCORES"], ["ZRANGE", "z", "0", "1", "BYSCORE", "BYLEX"], ["ZRANGE", "z", "0", "1", "REV", "REV"],
        ["ZRANGE", "z", "0", "x", "BYSCORE"], ["ZRANGE", "z", "a", "[b", "BYLEX"], ["ZRANGE", "z", "0", "1", "LIMIT"], ["ZRANGE", "s", "0", "1"],
        ["ZRANGE", "z", "0", "1", "BYSCORE", "LIMIT", "x", "1"], ["ZRANGE", "none", "0", "-1"], ["ZREVRANGE", "z", "0", "1", "BYSCORE"],
        ["ZRANGEBYSCORE", "z", "nan", "1"], ["ZRANGEBYSCORE", "z", "0", "1", "REV"], ["ZRANGEBYLEX", "z", "-", "+", "WITHSCORES"],
        ["ZRANGEBYLEX", "z", "-x", "+"], ["ZRANGEBYLEX", "z", "", "+"], ["ZCOUNT", "z", "x", "1"], ["ZCOUNT", "s", "0", "1"],
        ["ZLEXCOUNT", "z", "0", "1"], ["ZRANGESTORE", "to", "z", "0", "1", "WITHSCORES"], ["ZRANGESTORE", "to", "s", "0", "1"],
        ["ZRANGESTORE", "z", "none", "0", "1"], ["EXISTS", "z"], ["ZREMRANGEBYRANK", "z", "x", "1"], ["ZREMRANGEBYSCORE", "z", "(x", "1"],
        ["ZREMRANGEBYLEX", "z", "x", "1"], ["ZREMRANGEBYRANK", "s", "0", "1"], ["ZREMRANGEBYRANK", "none", "0", "1"],
    ]:  # fmt: skip
        both(*args)


@pytest.mark.parametrize("size", [5, 100, 1000, 3000])
def test_removing_ranges(both, size):
    for command, least, most in [
        ("ZREMRANGEBYRANK", "1", "2"), ("ZREMRANGEBYRANK", "-2", "-1"), ("ZREMRANGEBYRANK", "3", "1"), ("ZREMRANGEBYRANK", "10", "-10"),
        ("ZREMRANGEBYRANK", "0", "-1"), ("ZREMRANGEBYSCORE", "1", "2"), ("ZREMRANGEBYSCORE", "(1", "300"), ("ZREMRANGEBYSCORE", "-inf", "inf"),
    ]:  # fmt: skip
        fill(both, "z", size)
        both(command, "z", least, most)
        both("ZRANGE", "z", "0", "-1", "WITHSCORES")
        both("ZSCORE", "z", "member:50")
        both("ZRANK", "z", "member:700")
        both("EXISTS", "z")
    for least, most in [("[m003", "(m005"), ("(m010", "+"), ("-", "+")]:
        fill(both, "l", size, lambda _: 1, "m%03d")
        both("ZREMRANGEBYLEX", "l", least, most)
        both("ZRANGE", "l", "0", "-1", "WITHSCORES")


@SIZES
def test_taking_from_the_ends(both, size):
    fill(both, "z", size)
    both("SET", "s", "text")
    for args in [
        [], ["2"], ["0"], ["1"], ["-1"], ["x"], ["1", "2"], ["150"], ["200"],
    ]:  # fmt: skip
        both("ZPOPMIN", "z", *args)
        both("ZPOPMAX", "z", *args)
        both("ZPOPMIN", "none", *args)
        both("ZPOPMAX", "s", *args)
        both("ZRANGE", "z", "0", "-1", "WITHSCORES")
    fill(both, "y", size)
    for args in [
        ["1", "y", "MIN"], ["2", "none", "y", "MAX"], ["2", "none", "y", "min", "COUNT", "3"], ["1", "none", "MIN"], ["0", "y", "MIN"],
        ["x", "y", "MIN"], ["-1", "y", "MIN"], ["1", "y", "MIDDLE"], ["1", "y", "MIN", "COUNT", "0"], ["1", "y", "MIN", "COUNT"],
        ["1", "y", "MIN", "COUNT", "2", "COUNT", "3"], ["1", "y", "MIN", "COUNT", "COUNT", "3"],
        ["1", "y", "MIN", "COUNT", "0", "x"], ["1", "y", "MIN", "COUNT", "2", "x"], ["1", "y", "MIN", "x", "2"], ["2", "s", "y", "MIN"], ["9", "y", "MIN"], ["1", "y", "MAX", "COUNT", "100000"], ["1", "y", "MAX"],
    ]:  # fmt: skip
        both("ZMPOP", *args)
        both("ZCARD", "y")


def test_combinations(both):
    both("SET", "s", "text")
    for key, size in (("a", 10), ("b", 100), ("c", 1000), ("d", 1500)):
        fill(both, key, size, lambda i, size=size: (i * 7) % size / 4)
    both("SADD", "numbers", *range(20))
    both("SADD", "words", *["member:%d" % i for i in range(0, 60, 2)])
    both("SADD", "many", *["member:%d" % i for i in range(0, 900, 3)])
    both("ZADD", "numbered", *[word for i in range(10, 30) for word in (i, i)])
    both("ZADD", "ends", "inf", "member:1", "-inf", "member:2")
    both("ZADD", "ends2", "-inf", "member:1", "inf", "member:2")
    groups = [
        ["a"], ["a", "b"], ["b", "a"], ["a", "a"], ["b", "c", "d"], ["a", "none"], ["none"], ["none", "a"], ["words", "b"], ["numbers", "numbered"],
        ["many", "c", "words"], ["c", "many"], ["ends", "ends2"], ["d", "c"], ["many", "words"], ["a", "s"],
    ]  # fmt: skip
    for keys in groups:
        for options in ([], ["WEIGHTS", *["2.5", "-1", "0"][: len(keys)]], ["AGGREGATE", "MIN"], ["AGGREGATE", "max"], ["AGGREGATE", "SUM"]):
            for name in ("ZUNION", "ZINTER"):
                both(name, len(keys), *keys, *options)
                both(name, len(keys), *keys, *options, "WITHSCORES")
                both(name + "STORE", "to", len(keys), *keys, *options)
                both("ZRANGE", "to", "0", "-1", "WITHSCORES")
                both("OBJECT", "ENCODING", "to")
        both("ZDIFF", len(keys), *keys)
        both("ZDIFF", len(keys), *keys, "WITHSCORES")
        both("ZDIFFSTORE", "to", len(keys), *keys)
        both("ZRANGE", "to", "0", "-1", "WITHSCORES")
        both("EXISTS", "to")
        both("ZINTERCARD", len(keys), *keys)
        both("ZINTERCARD", len(keys), *keys, "LIMIT", "3")
        both("ZINTERCARD", len(keys), *keys, "LIMIT", "0")
    both("ZUNIONSTORE", "a", "2", "a", "b")
    both("ZRANGE", "a", "0", "-1", "WITHSCORES")


def test_infinite_scores_and_weights(both):
    both("ZADD", "a", "inf", "up", "-inf", "down", "0", "zero", "1", "one")
    both("ZADD", "b", "-inf", "up", "-inf", "down", "inf", "zero", "2", "one")
    weights = ("0", "-0", "1", "-2", "inf", "-inf")
    for keys in (["a"], ["a", "b"], ["a", "a", "b"], ["a", "a", "a"]):
        for some in itertools.product(weights, repeat=len(keys)):
            for how in ("SUM", "MIN", "MAX"):
                for name in ("ZUNION", "ZINTER"):
                    both(name, len(keys), *keys, "WEIGHTS", *some, "AGGREGATE", how, "WITHSCORES")


def test_wrong_combinations(both):
    fill(both, "a", 3)
    for command in (["ZUNION"], ["ZINTER"], ["ZDIFF"], ["ZUNIONSTORE", "to"], ["ZINTERSTORE", "to"], ["ZDIFFSTORE", "to"], ["ZINTERCARD"]):
        for args in [
            ["0", "a"], ["x", "a"], ["-1", "a"], ["2", "a"], ["1", "a", "b"], ["1", "a", "WEIGHTS", "1"], ["1", "a", "WEIGHTS", "x"],
            ["1", "a", "WEIGHTS"], ["1", "a", "AGGREGATE", "AVG"], ["1", "a", "AGGREGATE"], ["1", "a", "WITHSCORES"], ["1", "a", "LIMIT", "-1"],
            ["1", "a", "LIMIT", "x"], ["1", "a", "LIMIT"], ["1", "a", "WEIGHTS", "1", "AGGREGATE", "MIN"],
        ]:  # fmt: skip
            both(*command, *args)


def test_random_members_are_members(client, connect):
    for size in (5, 100, 1000):
        client.call("DEL", "z")
        fill(client.call, "z", size)
        members = {b"member:%d" % i for i in range(size)}
        assert client.call("ZRANDMEMBER", "z") in members
        for count in (1, 3, 90, 600, 5000):
            found = client.call("ZRANDMEMBER", "z", count)
            assert len(found) == len(set(found)) == min(count, size) and set(found) <= members
            found = client.call("ZRANDMEMBER", "z", -count)
            assert len(found) == count and set(found) <= members
        with_scores = client.call("ZRANDMEMBER", "z", "2", "WITHSCORES")
        assert [client.call("ZSCORE", "z", member) for member in with_scores[::2]] == with_scores[1::2]
        pairs = connect(protocol=3).call("ZRANDMEMBER", "z", "2", "WITHSCORES")
        assert len(pairs) == 2 and all(len(pair) == 2 for pair in pairs)
    assert client.call("ZRANDMEMBER", "none") is None
    assert client.call("ZRANDMEMBER", "none", "3") == []
    assert client.call("ZRANDMEMBER", "z", "0") == []
    assert client.call("ZRANDMEMBER", "z", "3", "SCORES") == SYNTAX


def scan(client, key, *options):
    found, cursor, calls = {}, b"0", 0
    while True:
        cursor, items = client.call("ZSCAN", key, cursor, *options)
        found.update(zip(items[::2], items[1::2], strict=True))
        calls += 1
        if cursor == b"0":
            return found, calls


@pytest.mark.parametrize("groups", [1, 3, 50, 10**9], ids=lambda n: f"{n} scores")
@pytest.mark.parametrize("size", [5, 100, 1000, 20_000])
def test_a_scan_returns_all(client, size, groups):
    fill(client.call, "z", size, lambda i: i % groups)
    wanted = {b"member:%d" % i: b"%d" % (i % groups) for i in range(size)}
    found, calls = scan(client, "z")
    assert found == wanted
    assert calls <= max(1, size // 10)
    assert scan(client, "z", "COUNT", "1000")[0] == wanted
    assert scan(client, "z", "MATCH", "member:1*")[0] == {k: v for k, v in wanted.items() if k.startswith(b"member:1")}


@pytest.mark.parametrize("groups", [1, 20, 10**9], ids=lambda n: f"{n} scores")
def test_a_scan_returns_what_stays_while_scores_change(client, groups):
    size = 5000
    fill(client.call, "z", size, lambda i: i % groups)
    chance = random.Random(groups)
    cursor, found = b"0", set()
    while True:
        cursor, items = client.call("ZSCAN", "z", cursor, "COUNT", "50")
        found.update(items[::2])
        if cursor == b"0":
            break
        changes = [word for _ in range(100) for word in (chance.randrange(-10, 10), "member:%d" % chance.randrange(size))]
        client.call("ZADD", "z", "XX", *changes)
        client.call("ZADD", "z", *[word for _ in range(50) for word in (chance.random(), "passing:%d" % chance.randrange(10**9))])
        client.call("ZREMRANGEBYRANK", "z", "0", "0")
        # What was removed may have been a member that was to stay.
        for i in range(0, size, 997):
            client.call("ZADD", "z", "NX", "1", "member:%d" % i)
    there = set(client.call("ZRANGE", "z", "0", "-1"))
    gone = {b"member:%d" % i for i in range(size)} - there
    missing = {b"member:%d" % i for i in range(size)} - found - gone
    assert not missing


def test_wrong_scans(both):
    fill(both, "z", 3)
    for args in (["z", "x"], ["z", "0", "COUNT", "0"], ["z", "0", "COUNT", "x"], ["z", "0", "MATCH"], ["none", "0"], ["z", "0", "TYPE", "zset"]):
        both("ZSCAN", *args)
    both("ZSCAN", "z", "0")
    both("ZSCAN", "z", "0", "MATCH", "*1", "COUNT", "5")


@only_pinfold
def test_ranks_with_scores(client, connect):
    client.call("ZADD", "z", "1", "a", "2.5", "b")
    assert client.call("ZRANK", "z", "b", "WITHSCORE") == [1, b"2.5"]
    assert client.call("ZREVRANK", "z", "b", "withscore") == [0, b"2.5"]
    assert client.call("ZRANK", "z", "c", "WITHSCORE") is None
    assert client.raw("ZRANK", "none", "c", "WITHSCORE") == b"*-1\r\n"
    assert client.raw("ZRANK", "none", "c") == b"$-1\r\n"
    assert client.call("ZRANK", "z", "b", "SCORE") == SYNTAX
    assert client.call("ZRANK", "z", "b", "WITHSCORE", "x") == resp.ErrorReply("ERR wrong number of arguments for 'zrank' command")
    assert connect(protocol=3).raw("ZRANK", "z", "b", "WITHSCORE") == b"*2\r\n:1\r\n,2.5\r\n"


@only_pinfold
def test_long_members_and_scores(client):
    long = b"x" * 100_000
    client.call("ZADD", "z", "1", "a", "2", long, "3", b"y" * 600)
    assert client.call("ZRANGE", "z", "0", "-1", "WITHSCORES") == [b"a", b"1", long, b"2", b"y" * 600, b"3"]
    assert client.call("ZADD", "z", "0.1", long) == 0
    assert client.call("ZSCORE", "z", long) == b"0.1"
    assert client.call("ZPOPMIN", "z") == [long, b"0.1"]
    assert client.call("ZREM", "z", b"y" * 600) == 1


@only_pinfold
def test_long_work(client, connect, server):
    """What takes long is done in pieces, and others are served meanwhile."""
    size = 100_000
    fill(client.call, "z", size, lambda i: i)
    fill(client.call, "y", size, lambda i: -i)
    everything = client.call("ZRANGE", "z", "0", "-1")
    assert everything == [b"member:%d" % i for i in range(size)]
    assert client.call("ZRANGE", "z", "0", "-1", "REV") == everything[::-1]
    assert client.call("ZUNIONSTORE", "to", "2", "z", "y") == size
    assert client.call("ZCOUNT", "to", "0", "0") == size
    assert client.call("ZINTERCARD", "2", "z", "y") == size
    assert client.call("ZDIFF", "2", "z", "y") == []
    assert client.call("ZRANGESTORE", "to", "z", "10", "-11") == size - 20
    assert client.call("ZRANGE", "to", "0", "-1") == everything[10:-10]
    assert client.call("ZREMRANGEBYRANK", "to", "100", "-101") == size - 220
    assert client.call("ZRANGE", "to", "0", "-1") == everything[10:110] + everything[-110:-10]
    assert client.call("ZPOPMAX", "y", "50000")[::2] == everything[:50000]
    assert client.call("ZCARD", "y") == 50000
    assert client.call("ZADD", "y", "0", "member:0") == 1
    assert client.call("ZSCORE", "y", "member:0") == b"0"
    assert client.call("ZMPOP", "1", "y", "MIN", "COUNT", "1000000")[1][0] == [b"member:99999", b"-99999"]
    assert client.call("EXISTS", "y") == 0


@only_pinfold
def test_inside_exec_long_work_is_refused_or_left(client):
    fill(client.call, "z", 20_000, lambda i: i)
    client.call("MULTI")
    for args in (["ZRANGE", "z", "0", "-1"], ["ZRANGE", "z", "0", "9"], ["ZUNIONSTORE", "to", "1", "z"], ["ZREMRANGEBYRANK", "z", "0", "9999"],
                 ["ZCARD", "z"], ["ZPOPMIN", "z", "9000"]):  # fmt: skip
        client.call(*args)
    everything, few, stored, removed, left, popped = client.call("EXEC")
    assert isinstance(everything, resp.ErrorReply) and isinstance(stored, resp.ErrorReply) and isinstance(popped, resp.ErrorReply)
    assert (len(few), removed, left) == (10, 10_000, 10_000)
    assert client.call("ZADD", "z", "NX", "3", "member:3") == 1
    assert client.call("ZSCORE", "z", "member:3") == b"3"
    assert client.call("ZSCORE", "z", "member:4") is None


@only_pinfold
def test_events(client, connect):
    client.call("CONFIG", "SET", "notify-keyspace-events", "KA")
    listener = connect()
    listener.call("PSUBSCRIBE", "__keyspace@0__:*")
    steps = [
        (["ZADD", "z", "1", "a", "2", "b", "3", "c"], ["zadd"]), (["ZADD", "z", "1", "a"], []), (["ZADD", "z", "INCR", "1", "a"], ["zincr"]),
        (["ZINCRBY", "z", "1", "a"], ["zincr"]), (["ZREM", "z", "a"], ["zrem"]), (["ZREM", "z", "x"], []), (["ZPOPMIN", "z"], ["zpopmin"]),
        (["ZPOPMAX", "z"], ["zpopmax", "del"]), (["ZADD", "z", "1", "a", "2", "b", "3", "c"], ["zadd"]), (["ZREMRANGEBYRANK", "z", "0", "0"], ["zremrangebyrank"]),
        (["ZREMRANGEBYSCORE", "z", "2", "2"], ["zremrangebyscore"]), (["ZREMRANGEBYSCORE", "z", "9", "9"], []),
        (["ZRANGESTORE", "t", "z", "0", "-1"], ["zrangestore"]), (["ZRANGESTORE", "t", "z", "5", "9"], ["del"]), (["ZRANGESTORE", "t", "z", "5", "9"], []),
        (["ZUNIONSTORE", "t", "1", "z"], ["zunionstore"]), (["ZINTERSTORE", "t", "1", "z"], ["zinterstore"]), (["ZDIFFSTORE", "t", "1", "z"], ["zdiffstore"]),
        (["ZDIFFSTORE", "t", "2", "z", "z"], ["del"]), (["ZMPOP", "1", "z", "MAX"], ["zpopmax", "del"]),
        (["GEOADD", "g", "1", "1", "a"], ["zadd"]), (["GEOSEARCHSTORE", "t", "g", "FROMMEMBER", "a", "BYRADIUS", "1", "m"], ["geosearchstore"]),
        (["GEORADIUS", "g", "1", "1", "1", "m", "STORE", "t"], ["georadiusstore"]), (["GEORADIUS", "g", "5", "1", "1", "m", "STORE", "t"], ["del"]),
        (["ZADD", "z", "1", "a"], ["zadd"]), (["ZREMRANGEBYLEX", "z", "-", "+"], ["zremrangebylex", "del"]),
    ]  # fmt: skip
    try:
        for args, events in steps:
            client.call(*args)
            client.call("PUBLISH", "__keyspace@0__:end", "end")
            told = []
            while (event := listener.read()[3]) != b"end":
                told.append(event.decode())
            assert told == events, args
    finally:
        client.call("CONFIG", "SET", "notify-keyspace-events", "")


def test_waiting_for_members(client, connect):
    def later(*args):
        waiting = connect()
        answer = []
        thread = threading.Thread(target=lambda: answer.append(waiting.call(*args)))
        thread.start()
        time.sleep(0.1)
        return thread, answer

    client.call("ZADD", "z", "1", "a", "2", "b", "3", "c")
    assert client.call("BZPOPMIN", "none", "z", "0") == [b"z", b"a", b"1"]
    assert client.call("BZPOPMAX", "z", "0") == [b"z", b"c", b"3"]
    assert client.call("BZMPOP", "0", "2", "none", "z", "MIN", "COUNT", "5") == [b"z", [[b"b", b"2"]]]
    assert client.call("BZPOPMIN", "z", "0.05") is None
    for args, reply in [
        (["BZPOPMIN", "z", "5"], [b"z", b"a", b"1"]), (["BZPOPMAX", "z", "y", "5"], [b"z", b"b", b"2"]),
        (["BZMPOP", "5", "2", "y", "z", "MAX", "COUNT", "10"], [b"z", [[b"b", b"2"], [b"a", b"1"]]]),
    ]:  # fmt: skip
        thread, answer = later(*args)
        client.call("ZADD", "z", "1", "a", "2", "b")
        thread.join()
        assert answer == [reply]
        client.call("DEL", "z")
    client.call("SET", "s", "text")
    assert client.call("BZPOPMIN", "s", "1") == WRONG
    assert client.call("BZPOPMIN", "z", "x") == resp.ErrorReply("ERR timeout is not a float or out of range")
    assert client.call("BZMPOP", "1", "0", "z", "MIN") == resp.ErrorReply("ERR numkeys should be greater than 0")
    assert client.call("BZMPOP", "1", "1", "z", "MIDDLE") == SYNTAX


@only_pinfold
def test_a_scan_of_members_with_one_score_returns_about_as_many_as_it_was_asked_for(client):
    size = 6000
    for at in range(0, size, 1000):
        client.call("ZADD", "z", *(word for number in range(at, at + 1000) for word in (1, f"m{number}")))
    for count in (1000, 3000, 100_000):
        cursor, found, calls = b"0", set(), 0
        while calls == 0 or cursor != b"0":
            cursor, items = client.call("ZSCAN", "z", cursor, "COUNT", count)
            found.update(items[::2])
            calls += 1
            assert cursor == b"0" or len(items) / 2 > count / 2
        assert len(found) == size and calls <= size / count + 3


@pytest.mark.parametrize("more", [(), ("WITHSCORES",), ("NONSENSE",)])
def test_a_random_pick_of_more_than_there_can_be_says_what_there_can_be(client, more):
    for command in ("ZRANDMEMBER", "HRANDFIELD"):
        reply = client.call(command, "k", -(1 << 63), *more)
        assert reply == "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"


def test_a_set_that_is_called_small_has_no_negative_zero(client):
    """Whether it lies in its entry or, with long members, in a tree."""
    for count, member in ((3, "m%d"), (100, "m%d" + "x" * 60)):
        client.call("DEL", "z")
        for n in range(count):
            client.call("ZADD", "z", "1", member % n)
        for name in ("zero", member % 1):
            client.call("ZADD", "z", "-0", name)
            assert client.call("ZSCORE", "z", name) == b"0", (count, name)
        assert client.call("OBJECT", "ENCODING", "z") == b"listpack"


@only_pinfold
def test_a_debt_is_paid_also_if_the_rest_may_not_be_packed(client):
    client.pipeline([("ZADD", "z", *[part for n in range(at, at + 500) for part in (n, f"member {n}")]) for at in range(0, 100_000, 500)])
    client.call("CACHE.POLICY", "SET", "p", "match", "z*", "max-value", "100b")
    try:
        assert client.call("ZREMRANGEBYRANK", "z", "10", "-1") == 99_990
        assert client.call("ZCARD", "z") == 10
        assert client.call("MEMORY", "USAGE", "z") < 10_000
    finally:
        client.call("CACHE.POLICY", "DEL", "p")
