"""Commands with a hundred thousand arguments do what those with few do, also while others write the same key."""

import random
import threading

import pytest

from .conftest import only_pinfold

MANY = 30_000


def names(*bounds):
    return [b"name:%d" % i for i in range(*bounds)]


def fill(client, command, key, words, at_once):
    for at in range(0, len(words), at_once):
        client.call(command, key, *words[at : at + at_once])


@pytest.fixture
def some(client):
    """Elements that are there, others, and some twice, in disorder."""
    chosen = names(MANY // 2, MANY + MANY // 2) + names(0, 1000) + names(0, 100) + [b"x" * 600, b"12", b"-7", b""]
    random.Random(3).shuffle(chosen)
    return chosen


def test_sets(client, some):
    fill(client, "SADD", "s", names(MANY), 500)
    there = set(names(MANY))
    assert client.call("SADD", "s", *some) == len(set(some) - there)
    there |= set(some)
    assert client.call("SADD", "s", *some) == 0
    assert client.call("SMISMEMBER", "s", *some, b"none") == [1] * len(some) + [0]
    assert set(client.call("SMEMBERS", "s")) == there
    assert client.call("SREM", "s", *some) == len(set(some))
    assert set(client.call("SMEMBERS", "s")) == there - set(some)
    assert client.call("SREM", "s", *some) == 0
    assert client.call("SREM", "s", *there) == len(there - set(some))
    assert client.call("EXISTS", "s") == 0
    assert client.call("SADD", "new", *some) == len(set(some)) and client.call("SCARD", "new") == len(set(some))


def test_hashes(client, some):
    fill(client, "HSET", "h", [word for name in names(MANY) for word in (name, b"v" + name)], 500)
    there = {name: b"v" + name for name in names(MANY)}
    pairs = [(name, b"%d" % i) for i, name in enumerate(some)]
    assert client.call("HSET", "h", *(word for pair in pairs for word in pair)) == len(set(some) - set(there))
    there.update(pairs)
    assert client.call("HMGET", "h", *some, b"none") == [there[name] for name in some] + [None]
    found = client.call("HGETALL", "h")
    assert dict(zip(found[::2], found[1::2])) == there
    assert client.call("HDEL", "h", *some) == len(set(some)) and client.call("HLEN", "h") == len(set(there) - set(some))
    assert client.call("HMSET", "new", *(word for pair in pairs for word in pair)) == "OK"
    assert client.call("HLEN", "new") == len(set(some))


@only_pinfold
def test_hgetdel(client, some):
    fill(client, "HSET", "h", [word for name in names(MANY) for word in (name, b"v" * 300 + name)], 500)
    there = {name: b"v" * 300 + name for name in names(MANY)}
    assert client.call("HGETDEL", "h", "FIELDS", len(some), *some) == [there.get(name) for name in some]
    assert client.call("HLEN", "h") == len(set(there) - set(some))
    assert client.call("HGETDEL", "h", "FIELDS", MANY, *names(MANY)) == [None if name in some else there[name] for name in names(MANY)]
    assert client.call("EXISTS", "h") == 0


@pytest.mark.parametrize("options", [[], ["CH"], ["NX"], ["XX", "CH"], ["GT", "CH"], ["LT", "CH"]])
def test_sorted_sets(client, some, options):
    fill(client, "ZADD", "z", [word for i, name in enumerate(names(MANY)) for word in (i % 100, name)], 500)
    there = {name: i % 100 for i, name in enumerate(names(MANY))}
    added = changed = 0
    pairs = [(i % 97, name) for i, name in enumerate(some)]
    for score, name in pairs:
        before = there.get(name)
        if before is None:
            if "XX" in options:
                continue
            added += 1
        else:
            if before == score or "NX" in options or ("GT" in options and score < before) or ("LT" in options and score > before):
                continue
            changed += 1
        there[name] = score
    assert client.call("ZADD", "z", *options, *(word for pair in pairs for word in pair)) == added + (changed if "CH" in options else 0)
    found = client.call("ZRANGE", "z", 0, -1, "WITHSCORES")
    assert list(zip(found[::2], found[1::2])) == [(name, b"%d" % score) for name, score in sorted(there.items(), key=lambda item: (item[1], item[0]))]
    assert client.call("ZMSCORE", "z", *some, b"none") == [b"%d" % there[name] if name in there else None for name in some] + [None]
    assert client.call("ZREM", "z", *some) == len(set(some) & set(there))
    assert client.call("ZCARD", "z") == len(set(there) - set(some))


def test_lists(client, some):
    fill(client, "RPUSH", "l", names(MANY), 500)
    assert client.call("RPUSH", "l", *some) == MANY + len(some)
    assert client.call("LPUSH", "l", *some) == MANY + 2 * len(some)
    assert client.call("LRANGE", "l", 0, -1) == some[::-1] + names(MANY) + some
    assert client.call("LPUSHX", "none", *some) == 0 and client.call("EXISTS", "none") == 0
    assert client.call("RPUSH", "new", *some) == len(some)


def test_places(client):
    words = [word for i, name in enumerate(names(MANY)) for word in (b"%d" % (i % 180), b"%d" % (i % 85), name)]
    assert client.call("GEOADD", "g", *words) == MANY and client.call("GEOADD", "g", "CH", *words) == 0
    assert len(client.call("GEOPOS", "g", *names(MANY))) == MANY
    assert client.call("GEOHASH", "g", *names(MANY), b"none")[MANY] is None
    assert str(client.call("GEOADD", "g", *words, "181", "0", "x")).startswith("ERR invalid longitude,latitude pair")


def test_errors(client):
    client.call("SET", "text", "x")
    for command in ("SADD", "SREM", "RPUSH", "ZREM", "HDEL"):
        assert str(client.call(command, "text", *names(MANY))).startswith("WRONGTYPE")
    assert str(client.call("ZADD", "text", *([b"1", b"m"] * MANY), b"no number", b"m")) == "ERR value is not a valid float"
    assert str(client.call("HSET", "h", *names(MANY + 1))).startswith("ERR wrong number of arguments")


def test_somebody_who_waits_gets_an_element(client, connect):
    waiting = connect()
    waiting.send_command("BZPOPMIN", "z", 0)
    assert client.call("ZADD", "z", *(word for i, name in enumerate(names(MANY)) for word in (i + 1, name))) == MANY
    assert waiting.read() == [b"z", b"name:0", b"1"]
    assert client.call("ZCARD", "z") == MANY - 1


def test_others_write_meanwhile(client, connect):
    """Each writes elements of its own, and counts what it has done; all of that must be there in the end."""
    fill(client, "SADD", "s", names(MANY), 500)
    done = threading.Event()
    written = []

    def write():
        other = connect()
        for i in range(1_000_000):
            if done.is_set():
                break
            assert other.call("SADD", "s", b"other:%d" % i) == 1
            written.append(b"other:%d" % i)
            if i % 3 == 0:
                assert other.call("SREM", "s", b"other:%d" % i) == 1
                written.pop()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(6):
            assert client.call("SADD", "s", *names(MANY, 3 * MANY)) == 2 * MANY
            assert client.call("SREM", "s", *names(MANY, 3 * MANY)) == 2 * MANY
    finally:
        done.set()
        thread.join()
    assert set(client.call("SMEMBERS", "s")) == set(names(MANY)) | set(written)
