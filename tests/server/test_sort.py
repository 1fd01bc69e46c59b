"""SORT and SORT_RO."""

import random

import pytest

from tests.support.servers import bound

from .conftest import info, only_pinfold


@pytest.fixture
def users(client):
    client.call("RPUSH", "k", "3", "1", "2")
    client.pipeline([("SET", f"w_{n}", 10 - n) for n in range(1, 4)])
    client.pipeline([("HSET", f"u_{n}", "name", f"name{n}", "age", n * 7 % 5) for n in range(1, 4)])


@pytest.fixture(params=["SORT", "SORT_RO"])
def sort(request, client):
    return lambda *args: client.call(request.param, *args)


def test_numbers(client, sort):
    client.call("RPUSH", "k", "10", "9", "-3", "2.5", "1e2", "9")
    assert sort("k") == [b"-3", b"2.5", b"9", b"9", b"10", b"1e2"]
    assert sort("k", "DESC") == [b"1e2", b"10", b"9", b"9", b"2.5", b"-3"]
    assert sort("k", "LIMIT", "1", "2") == [b"2.5", b"9"] and sort("k", "LIMIT", "-5", "1") == [b"-3"]
    assert sort("k", "LIMIT", "4", "100") == [b"10", b"1e2"] and sort("k", "LIMIT", "9", "1") == [] and sort("k", "LIMIT", "4", "-1") == [b"10", b"1e2"]
    client.call("RPUSH", "k", "x")
    assert str(sort("k")) == "ERR One or more scores can't be converted into double"


def test_texts(client, sort):
    client.call("RPUSH", "k", "b", "10", "a", "9", "")
    assert sort("k", "ALPHA") == [b"", b"10", b"9", b"a", b"b"]
    assert sort("k", "ALPHA", "DESC") == [b"b", b"a", b"9", b"10", b""]


def test_types(client, sort):
    client.call("SADD", "numbers", *range(20))
    client.call("SADD", "texts", "b", "a", "c")
    client.call("ZADD", "z", "3", "1", "2", "2", "1", "3")
    assert sort("numbers") == [b"%d" % n for n in range(20)]
    assert sort("texts", "ALPHA") == [b"a", b"b", b"c"]
    assert sort("z") == [b"1", b"2", b"3"]
    assert sort("z", "BY", "nosort") == [b"3", b"2", b"1"]
    assert sort("z", "BY", "nosort", "DESC", "LIMIT", "0", "2") == [b"1", b"2"]
    assert sort("none") == []
    client.call("SET", "s", "x")
    client.call("HSET", "h", "f", "1")
    assert str(sort("s")).startswith("WRONGTYPE") and str(sort("h")).startswith("WRONGTYPE")


def test_by_and_get(client, users, sort):
    assert sort("k", "BY", "w_*") == [b"3", b"2", b"1"]
    assert sort("k", "BY", "w_*", "DESC") == [b"1", b"2", b"3"]
    assert sort("k", "BY", "u_*->age") == [b"3", b"1", b"2"]
    assert sort("k", "BY", "u_*->name", "ALPHA", "DESC", "GET", "u_*->name") == [b"name3", b"name2", b"name1"]
    assert sort("k", "GET", "#", "GET", "w_*", "GET", "none_*", "GET", "nostar") == [b"1", b"9", None, None, b"2", b"8", None, None, b"3", b"7", None, None]
    assert sort("k", "BY", "nosort", "GET", "#") == [b"3", b"1", b"2"]
    assert sort("k", "BY", "none_*") == [b"1", b"2", b"3"]
    assert sort("k", "GET", "u_*") == [None] * 3


def test_store(client, users):
    client.call("SET", "to", "x")
    client.call("EXPIRE", "to", "100")
    assert client.call("SORT", "k", "STORE", "to") == 3
    assert client.call("LRANGE", "to", "0", "-1") == [b"1", b"2", b"3"] and client.call("TTL", "to") == -1
    assert client.call("SORT", "k", "GET", "none_*", "GET", "#", "STORE", "to", "LIMIT", "0", "2") == 4
    assert client.call("LRANGE", "to", "0", "-1") == [b"", b"1", b"", b"2"]
    assert client.call("SORT", "k", "DESC", "STORE", "k") == 3 and client.call("LRANGE", "k", "0", "-1") == [b"3", b"2", b"1"]
    assert client.call("SORT", "none", "STORE", "to") == 0 and client.call("EXISTS", "to") == 0
    assert str(client.call("SORT_RO", "k", "STORE", "to")) == "ERR syntax error"


def test_syntax(sort):
    for options in (("LIMIT", "0"), ("BY",), ("GET",), ("UP",)):
        assert str(sort("k", *options)) == "ERR syntax error"
    assert str(sort("k", "LIMIT", "a", "1")) == "ERR value is not an integer or out of range"


def test_in_transactions_and_scripts(client, users):
    client.call("MULTI")
    client.call("SORT", "k", "BY", "w_*", "GET", "u_*->name", "STORE", "to")
    client.call("LRANGE", "to", "0", "-1")
    assert client.call("EXEC") == [3, [b"name3", b"name2", b"name1"]]
    assert client.call("EVAL", "return redis.call('SORT', KEYS[1], 'BY', 'w_*')", "1", "k") == [b"3", b"2", b"1"]


def test_many_elements(client, sort):
    numbers = list(range(100_000))
    random.shuffle(numbers)
    client.pipeline([("RPUSH", "k", *numbers[at : at + 1000]) for at in range(0, len(numbers), 1000)])
    assert sort("k") == [b"%d" % n for n in range(len(numbers))]
    assert sort("k", "ALPHA", "LIMIT", "10", "3") == [text.encode() for text in sorted(map(str, numbers))[10:13]]
    client.pipeline([("SET", f"w_{n}", -n) for n in range(0, len(numbers), 10)])
    weights = {n: -n if n % 10 == 0 else 0 for n in numbers}
    assert sort("k", "BY", "w_*", "LIMIT", "0", "50") == [b"%d" % n for n in sorted(numbers, key=lambda n: (weights[n], str(n)))[:50]]
    assert client.call("SORT", "k", "DESC", "STORE", "to") == len(numbers)
    assert client.call("LRANGE", "to", "0", "1") == [b"99999", b"99998"]


@only_pinfold
def test_results_beyond_the_memory(start):
    server = start("--maxmemory", "32mb", "--threads", "1")
    with server.connect() as client:
        client.call("RPUSH", "k", *range(64))
        client.pipeline([("SET", f"v_{n}", "x" * 15_000) for n in range(64)])
        before = server.rss()
        client.call("SORT", "k", "BY", "nosort", *["GET", "v_*"] * 500, "STORE", "to")
        assert server.rss() - before < bound(64 << 20)


@only_pinfold
def test_elements_that_were_evicted_for_the_result_do_not_cost_the_destination(start):
    megabyte = 1 << 20
    server = start("--maxmemory", "12mb", "--maxmemory-clients", "64mb", "--maxmemory-policy", "volatile-ttl", "--threads", "1")
    with server.connect() as client:
        for at in range(0, 300_000, 1000):
            client.call("RPUSH", "list", *range(at, at + 1000))
        client.call("EXPIRE", "list", 1000)  # so it goes first
        client.call("RPUSH", "result", "a", "b")
        for at in range(0, 20_000, 50):
            client.pipeline([("SET", f"f{number}", "x" * 1000, "EX", 10_000) for number in range(at, at + 50)])
            if int(info(client, "memory")["used_memory"]) > 12 * megabyte - 1_200_000:
                break
        assert client.call("EXISTS", "list") == 1
        reply = client.call("SORT", "list", "STORE", "result")
        assert client.call("EXISTS", "list") == 0
        assert str(reply).startswith("ERR the elements were removed or evicted")
        assert client.call("LRANGE", "result", 0, -1) == [b"a", b"b"]


@only_pinfold
def test_keys_that_the_user_may_not_read(client, connect, users):
    client.call("ACL", "SETUSER", "some", "on", "nopass", "~k", "~w_*", "~to", "+@all")
    other = connect()
    other.call("AUTH", "some", "x")
    assert other.call("SORT", "k", "STORE", "to") == 3 and other.call("SORT", "k", "BY", "nosort") == [b"3", b"1", b"2"]
    assert str(other.call("SORT", "k", "BY", "w_*")) == "ERR BY option of SORT denied due to insufficient ACL permissions."
    assert str(other.call("SORT_RO", "k", "GET", "w_*")) == "ERR GET option of SORT denied due to insufficient ACL permissions."
    assert str(other.call("SORT", "k", "STORE", "elsewhere")).startswith("NOPERM")
    client.call("ACL", "SETUSER", "some", "allkeys")
    assert other.call("SORT", "k", "BY", "w_*") == [b"3", b"2", b"1"]
    client.call("ACL", "DELUSER", "some")


def test_large_collections_from_either_end(client, sort):
    """More than is collected at once."""
    size = 5000
    client.call("ZADD", "z", *(word for i in range(size) for word in (i, b"m%d" % i)))
    members = [b"m%d" % i for i in range(size)]
    for offset, count in ((0, size), (10, 3000), (0, 1024), (size - 1500, 1400), (4000, 5000)):
        chosen = members[offset : offset + count]
        assert sort("z", "BY", "nosort", "LIMIT", offset, count) == chosen
        assert sort("z", "BY", "nosort", "DESC", "LIMIT", offset, count) == members[::-1][offset : offset + count]
        assert sort("z", "ALPHA", "LIMIT", offset, count) == sorted(members)[offset : offset + count]


def test_long_texts_of_other_keys(client, sort):
    client.call("RPUSH", "k", *range(300))
    texts = {n: b"%04d" % (n * 7919 % 1000) + b"x" * (n * 331 % 70_000 if n % 50 == 0 else n) for n in range(300) if n % 10}
    texts[50] = b"0500" + b"y" * 150_000
    client.pipeline([("SET", f"w_{n}", text) for n, text in texts.items()])
    client.call("SET", "w_20", "")
    texts[20] = b""
    order = sorted(range(300), key=lambda n: (n in texts, texts.get(n, b"")))
    with_text = [b"%d" % n for n in order if n in texts]
    assert [n for n in sort("k", "BY", "w_*", "ALPHA") if int(n) in texts] == with_text
    assert [n for n in sort("k", "BY", "w_*", "ALPHA", "DESC") if int(n) in texts] == with_text[::-1]


@only_pinfold
@pytest.mark.parametrize("option", ["BY", "GET"])
def test_a_pattern_has_a_bound(client, option):
    client.call("RPUSH", "l", "2", "1")
    assert len(client.call("SORT", "l", option, "w_*" + "*" * 1021)) == 2
    assert client.call("SORT", "l", option, "w_*" + "*" * 1022) == f"ERR a pattern of {option} has at most 1024 bytes"
