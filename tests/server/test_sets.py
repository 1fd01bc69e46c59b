"""Sets: replies, errors, and what is told in RESP3. Facts are those of Redis 7.2."""

import random

import pytest

from tests.server.conftest import only_pinfold
from tests.server.test_hashes import NOT_INTEGER, SYNTAX, WRONG, play, scan
from tests.support import resp


def fill(client, key, members):
    members = list(members)
    for at in range(0, len(members), 400):
        client.call("SADD", key, *members[at : at + 400])


def words(*bounds):
    return {b"member%d" % i for i in range(*bounds)}


def numbers(*bounds):
    return {b"%d" % i for i in range(*bounds)}


def test_members_are_added_and_removed(client):
    play(client, [
        (["SADD", "s", "a", "b", "a"], 2),
        (["SADD", "s", "a"], 0),
        (["SADD", "s", "1", ""], 2),
        (["SCARD", "s"], 4),
        (["SCARD", "none"], 0),
        (["SISMEMBER", "s", "a"], 1),
        (["SISMEMBER", "s", "c"], 0),
        (["SISMEMBER", "none", "a"], 0),
        (["SMISMEMBER", "s", "a", "c", "1", ""], [1, 0, 1, 1]),
        (["SMISMEMBER", "none", "a", "c"], [0, 0]),
        (["SMEMBERS", "none"], []),
        (["SREM", "s", "a", "none", "a", "1"], 2),
        (["SREM", "none", "a"], 0),
        (["SREM", "s", "b", ""], 2),
        (["EXISTS", "s"], 0),
        (["SADD", "n", "3", "-1", "2"], 3),
        (["SMEMBERS", "n"], [b"-1", b"2", b"3"]),
        (["TYPE", "n"], "set"),
    ])  # fmt: skip


def test_types(client):
    client.call("SET", "str", "text")
    client.call("SADD", "s", "a")
    play(client, [
        (["SADD", "str", "a"], WRONG),
        (["SREM", "str", "a"], WRONG),
        (["SPOP", "str"], WRONG),
        (["SPOP", "str", "2"], WRONG),
        (["SRANDMEMBER", "str"], WRONG),
        (["SSCAN", "str", "0"], WRONG),
        (["SMOVE", "str", "s", "a"], WRONG),
        (["SMOVE", "s", "str", "a"], WRONG),
        (["SMOVE", "none", "str", "a"], 0),
        (["SINTER", "s", "str"], WRONG),
        (["SINTER", "none", "str"], WRONG),
        (["SINTERSTORE", "d", "none", "str"], WRONG),
        (["SUNION", "s", "str"], WRONG),
        (["SDIFF", "none", "str"], WRONG),
        (["SINTERCARD", "2", "s", "str"], WRONG),
        (["SUNIONSTORE", "str", "s"], 1),
        (["TYPE", "str"], "set"),
    ])  # fmt: skip


def test_smove(client):
    play(client, [
        (["SADD", "a", "1", "x"], 2),
        (["SADD", "b", "2"], 1),
        (["SMOVE", "a", "b", "none"], 0),
        (["SMOVE", "a", "a", "x"], 1),
        (["SMOVE", "a", "a", "none"], 0),
        (["SMOVE", "a", "b", "x"], 1),
        (["SISMEMBER", "b", "x"], 1),
        (["SMOVE", "none", "b", "x"], 0),
        (["SADD", "b", "1"], 1),
        (["SMOVE", "a", "b", "1"], 1),
        (["EXISTS", "a"], 0),
        (["SCARD", "b"], 3),
        (["SMOVE", "b", "new", "1"], 1),
        (["SMEMBERS", "new"], [b"1"]),
    ])  # fmt: skip


@only_pinfold
def test_encodings_follow_the_thresholds(client):
    def encoding(key):
        return client.call("OBJECT", "ENCODING", key)

    fill(client, "n", numbers(512))
    assert encoding("n") == b"intset"
    client.call("SADD", "n", "512")
    assert encoding("n") == b"hashtable"
    fill(client, "w", words(128))
    assert encoding("w") == b"listpack"
    client.call("SADD", "w", "one more")
    assert encoding("w") == b"hashtable"
    client.call("SREM", "w", *words(120))
    assert encoding("w") == b"hashtable"
    client.call("SADD", "mixed", 1, 2)
    client.call("SADD", "mixed", "x")
    assert encoding("mixed") == b"listpack"
    client.call("SADD", "mixed", "x" * 65)
    assert encoding("mixed") == b"hashtable"
    client.call("SADD", "at-once", *["x"] * 129)
    assert encoding("at-once") == b"hashtable"
    client.call("SUNIONSTORE", "stored", "n")
    assert encoding("stored") == b"hashtable"
    client.call("SINTERSTORE", "stored", "n", "n")
    client.call("SREM", "n", "512")
    client.call("SUNIONSTORE", "stored", "n")
    assert encoding("stored") == b"intset"


KINDS = {
    "numbers": numbers(40),
    "many-numbers": numbers(-250, 250),
    "words": words(100),
    "more-words": words(50, 3000),
    "mixed": words(80, 200) | numbers(30, 60),
    "large": words(2000) | numbers(100, 2000),
    "blocks": {b"x" * 1000, b"y" * 20_000, b"member3", b"7"},
}


def test_algebra_of_sets_of_every_kind(client):
    for key, members in KINDS.items():
        fill(client, key, members)
    for a, one in KINDS.items():
        for b, other in KINDS.items():
            for command, expected in (("SINTER", one & other), ("SUNION", one | other), ("SDIFF", one - other)):
                reply = client.call(command, a, b)
                assert len(reply) == len(expected), (command, a, b)
                assert set(reply) == expected
                assert client.call(command + "STORE", "stored", a, b) == len(expected)
                assert set(client.call("SMEMBERS", "stored")) == expected
                assert client.call("EXISTS", "stored") == (1 if expected else 0)
            common = len(one & other)
            assert client.call("SINTERCARD", 2, a, b) == common
            assert client.call("SINTERCARD", 2, a, b, "LIMIT", 5) == min(5, common)
            assert client.call("SINTERCARD", 2, a, b, "LIMIT", 0) == common


def test_algebra_of_three_with_the_target_among_them(client):
    for key, members in KINDS.items():
        fill(client, key, members)
    large, mixed, more = KINDS["large"], KINDS["mixed"], KINDS["more-words"]
    assert set(client.call("SDIFF", "large", "mixed", "more-words", "none")) == large - mixed - more
    assert client.call("SUNIONSTORE", "mixed", "mixed", "large", "more-words") == len(mixed | large | more)
    assert set(client.call("SMEMBERS", "mixed")) == mixed | large | more
    assert client.call("SINTERSTORE", "large", "large", "mixed", "large") == len(large)
    assert client.call("SDIFFSTORE", "words", "words", "numbers") == 100
    assert client.call("SINTERSTORE", "words", "words", "none") == 0
    assert client.call("EXISTS", "words") == 0
    assert client.call("SINTER", "large", "none") == []
    assert client.call("SUNION", "none", "none") == []
    assert set(client.call("SINTER", "large")) == large


def test_many_sets(client):
    everything = set()
    for i in range(50):
        some = words(i * 20, i * 20 + 40)
        everything |= some
        fill(client, b"s%d" % i, some)
    keys = [b"s%d" % i for i in range(50)]
    assert set(client.call("SUNION", *keys)) == everything
    assert client.call("SUNIONSTORE", "stored", *keys) == len(everything)
    fill(client, "all", words(1200))
    assert set(client.call("SDIFF", "all", *keys)) == words(1200) - everything
    assert client.call("SDIFFSTORE", "stored", "all", *keys) == len(words(1200) - everything)
    assert client.call("SINTERCARD", 51, "all", *keys) == 0


def test_sintercard_with_wrong_arguments(client):
    client.call("SADD", "s", "a")
    play(client, [
        (["SINTERCARD", "0", "s"], resp.ErrorReply("ERR numkeys should be greater than 0")),
        (["SINTERCARD", "-1", "s"], resp.ErrorReply("ERR numkeys should be greater than 0")),
        (["SINTERCARD", "x", "s"], resp.ErrorReply("ERR numkeys should be greater than 0")),
        (["SINTERCARD", "2", "s"], resp.ErrorReply("ERR Number of keys can't be greater than number of args")),
        (["SINTERCARD", "1", "s", "LIMIT"], SYNTAX),
        (["SINTERCARD", "1", "s", "LIMIT", "-1"], resp.ErrorReply("ERR LIMIT can't be negative")),
        (["SINTERCARD", "1", "s", "LIMIT", "x"], resp.ErrorReply("ERR LIMIT can't be negative")),
        (["SINTERCARD", "1", "s", "x"], SYNTAX),
        (["SINTERCARD", "1", "s", "LIMIT", "1", "LIMIT", "9"], 1),
        (["SINTERCARD", "1", "none"], 0),
    ])  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_members_at_random(client, kind):
    members = KINDS[kind]
    fill(client, "s", members)
    count = len(members)
    assert client.call("SRANDMEMBER", "s") in members
    for wanted in (1, 3, count // 2, count - 1, count, count + 5):
        reply = client.call("SRANDMEMBER", "s", wanted)
        assert len(set(reply)) == len(reply) == min(count, wanted)
        assert set(reply) <= members
    reply = client.call("SRANDMEMBER", "s", -5000)
    assert len(reply) == 5000
    assert set(reply) <= members
    assert client.call("SRANDMEMBER", "s", 0) == []
    assert client.call("SRANDMEMBER", "none") is None
    assert client.call("SRANDMEMBER", "none", 5) == []
    assert client.call("SRANDMEMBER", "s", "x") == NOT_INTEGER
    assert client.call("SRANDMEMBER", "s", "1", "x") == SYNTAX
    assert set(client.call("SMEMBERS", "s")) == members


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_popped_members_are_gone(client, kind):
    left = set(KINDS[kind])
    fill(client, "s", left)

    def popped(*count):
        reply = client.call("SPOP", "s", *count)
        some = set(reply) if count else {reply}
        assert some <= left
        left.difference_update(some)
        assert client.call("SCARD", "s") == len(left)
        assert client.call("SMISMEMBER", "s", "none", *left, *some) == [0] + [1] * len(left) + [0] * len(some)
        return len(some)

    assert popped() == 1
    for count in (1, 2, len(left) // 3, 70, len(left) // 2):
        expected = min(count, len(left))
        assert popped(count) == expected
    assert set(client.call("SMEMBERS", "s")) == left
    popped(10_000)
    assert client.call("EXISTS", "s") == 0
    assert client.call("SPOP", "s") is None
    assert client.call("SPOP", "s", 3) == []


def test_spop_with_wrong_arguments(client):
    client.call("SADD", "s", "a")
    play(client, [
        (["SPOP", "s", "-1"], resp.ErrorReply("ERR value is out of range, must be positive")),
        (["SPOP", "s", "x"], resp.ErrorReply("ERR value is out of range, must be positive")),
        (["SPOP", "s", "1", "x"], SYNTAX),
        (["SPOP", "s", "0"], []),
        (["SPOP", "none", "0"], []),
        (["SPOP", "s"], b"a"),
        (["EXISTS", "s"], 0),
    ])  # fmt: skip


@pytest.mark.parametrize("kind", ["many-numbers", "words", "large"])
def test_popping_is_uniform(client, kind):
    members = KINDS[kind]
    fill(client, "s", members)
    seen = dict.fromkeys(members, 0)
    count = len(members)
    for wanted in (1, count // 3):
        popped = 0
        while popped < (20 * count if wanted > 1 else 500):
            client.call("COPY", "s", "copy", "REPLACE")
            for member in client.call("SPOP", "copy", wanted):
                seen[member] += 1
                popped += 1
    assert min(seen.values()) > 0
    assert max(seen.values()) < 100


def test_replies_of_resp3(client, connect):
    three = connect(protocol=3)
    client.call("SADD", "s", "a")
    client.call("SADD", "n", "1")
    for key, member in (("s", b"a"), ("n", b"1")):
        bulk = b"$1\r\n" + member + b"\r\n"
        for command in (["SMEMBERS", key], ["SINTER", key, key], ["SUNION", key, key], ["SDIFF", key, "none"]):
            assert three.raw(*command) == b"~1\r\n" + bulk
        assert three.raw("SRANDMEMBER", key, "1") == b"*1\r\n" + bulk
        assert three.raw("SRANDMEMBER", key) == bulk
        assert three.raw("SMISMEMBER", key, member) == b"*1\r\n:1\r\n"
        assert three.raw("SISMEMBER", key, member) == b":1\r\n"
        assert three.raw("SSCAN", key, "0") == b"*2\r\n$1\r\n0\r\n*1\r\n" + bulk
        assert three.raw("SPOP", key, "1") == b"~1\r\n" + bulk
    assert three.raw("SMEMBERS", "none") == b"~0\r\n"
    assert three.raw("SPOP", "none") == b"_\r\n"
    assert three.raw("SPOP", "none", "1") == b"~0\r\n"
    assert three.raw("SINTER", "none") == b"~0\r\n"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_scan_meets_every_member(client, kind):
    fill(client, "s", KINDS[kind])
    found, _ = scan(client, "SSCAN", "s")
    assert len(found) == len(KINDS[kind])
    assert set(found) == KINDS[kind]
    assert set(scan(client, "SSCAN", "s", "MATCH", "*7*", "COUNT", 100)[0]) == {member for member in KINDS[kind] if b"7" in member}
    assert set(scan(client, "SSCAN", "s", "COUNT", 1_000_000)[0]) == KINDS[kind]


def test_a_scan_meets_what_stays_whatever_else_changes(client):
    rnd = random.Random(5)
    stays = words(0, 4000, 50)
    fill(client, "s", words(4000))
    for _ in range(5):
        seen = set()
        cursor = b"0"
        while True:
            cursor, some = client.call("SSCAN", "s", cursor, "COUNT", "15")
            seen |= set(some)
            if cursor == b"0":
                break
            at = rnd.randrange(4000)
            if rnd.random() < 0.5:
                client.call("SREM", "s", *(words(at, at + 200) - stays))
            else:
                client.call("SADD", "s", *words(at, at + 200))
        assert seen >= stays


@only_pinfold
def test_inside_exec_long_algebra_is_refused_and_short_is_not(client):
    fill(client, "a", words(5000))
    fill(client, "b", words(100))
    client.call("MULTI")
    client.call("SUNION", "a", "b")
    client.call("SINTERSTORE", "c", "b", "a")
    client.call("SPOP", "a", 4000)
    client.call("SPOP", "a", 200)
    long, short, pop_many, pop_some = client.call("EXEC")
    assert short == 100
    assert len(set(pop_some)) == 200
    for reply in (long, pop_many):
        assert isinstance(reply, resp.ErrorReply)
        assert "inside MULTI" in str(reply)
    assert client.call("SCARD", "a") == 4800


@only_pinfold
def test_a_long_store_is_of_one_moment(client, connect):
    fill(client, "a", words(20_000))
    fill(client, "b", words(10_000, 30_000))
    other = connect()
    client.send_command("SUNIONSTORE", "c", "a", "b")
    other.call("DEL", "a")
    other.call("SADD", "b", "late")
    assert client.read() in (30_000, 20_000, 20_001)  # before both, between them, or after them
