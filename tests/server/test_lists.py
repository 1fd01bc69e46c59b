"""Lists: small ones in their entries and long ones as trees, with what clients see of both."""

import random

import pytest

from tests.support.servers import eventually

from .conftest import info, only_pinfold

LONG = 5000


@pytest.fixture(params=[3, 200, LONG], ids=["packed", "tree", "long"])
def numbers(request, client):
    """A list "k" of the numbers from 0 on, and its length."""
    client.pipeline([("RPUSH", "k", *range(at, min(at + 500, request.param))) for at in range(0, request.param, 500)])
    return request.param


def texts(*numbers):
    return [str(number).encode() for number in numbers]


def everything(client, key="k"):
    return client.call("LRANGE", key, "0", "-1")


def test_pushing(client):
    assert client.call("RPUSH", "k", "a", "b") == 2
    assert client.call("LPUSH", "k", "c", "d") == 4
    assert everything(client) == [b"d", b"c", b"a", b"b"]
    assert client.call("LPUSHX", "none", "x") == 0 and client.call("RPUSHX", "none", "x") == 0
    assert client.call("LPUSHX", "k", "x") == 5 and client.call("RPUSHX", "k", "y", "z") == 7
    assert client.call("EXISTS", "none") == 0


def test_ranges(client, numbers):
    assert client.call("LLEN", "k") == numbers
    assert everything(client) == texts(*range(numbers))
    for first, last in ((0, 0), (1, 1), (-2, -1), (-1, 0), (5, 3), (-100000, 100000), (numbers // 2, -2)):
        stop = last + numbers if last < 0 else last
        start = max(first + numbers if first < 0 else first, 0)
        assert client.call("LRANGE", "k", first, last) == texts(*range(start, min(stop + 1, numbers)))
    for index in (0, 1, -1, -numbers, numbers, -numbers - 1, numbers // 2):
        at = index + numbers if index < 0 else index
        assert client.call("LINDEX", "k", index) == (str(at).encode() if 0 <= at < numbers else None)


def test_popping(client, numbers):
    assert client.call("LPOP", "k") == b"0" and client.call("RPOP", "k") == str(numbers - 1).encode()
    client.call("DEL", "k")
    client.call("RPUSH", "k", *range(numbers))
    taken = numbers // 2
    assert client.call("RPOP", "k", taken) == texts(*reversed(range(numbers - taken, numbers)))
    assert client.call("LPOP", "k", 10 * numbers) == texts(*range(numbers - taken))
    assert client.call("EXISTS", "k") == 0
    assert client.raw("LPOP", "k", "1") == b"*-1\r\n" and client.raw("LPOP", "k") == b"$-1\r\n"


def test_popping_from_one_of_several(client, numbers):
    assert client.call("LMPOP", "2", "none", "k", "RIGHT", "COUNT", "2") == [b"k", texts(numbers - 1, numbers - 2)]
    assert client.call("LMPOP", "1", "k", "LEFT") == [b"k", [b"0"]]
    assert client.raw("LMPOP", "1", "none", "LEFT") == b"*-1\r\n"


COUNT_ERROR = b"-ERR count should be greater than 0\r\n"
SYNTAX_ERROR = b"-ERR syntax error\r\n"


@pytest.mark.parametrize(
    "options, error",
    [
        ("COUNT", SYNTAX_ERROR), ("COUNT 0", COUNT_ERROR), ("COUNT x", COUNT_ERROR), ("COUNT COUNT 1", COUNT_ERROR), ("COUNT -1 COUNT", COUNT_ERROR),
        ("COUNT 2 COUNT 3", SYNTAX_ERROR), ("COUNT 2 x", SYNTAX_ERROR), ("x 2", SYNTAX_ERROR),
    ],
)  # fmt: skip
def test_the_first_wrong_option_of_a_pop_is_told(client, options, error):
    for command in ("LMPOP 1 k LEFT", "BLMPOP 1 1 k LEFT", "ZMPOP 1 k MIN", "BZMPOP 1 1 k MIN"):
        assert client.raw(*command.split(), *options.split()) == error, command


def test_setting_inserting_and_removing(client, numbers):
    model = list(range(numbers))
    assert client.call("LSET", "k", -1, "last") == "OK"
    model[-1] = "last"
    assert client.call("LINSERT", "k", "BEFORE", "1", "x") == numbers + 1
    assert client.call("LINSERT", "k", "AFTER", "last", "x") == numbers + 2
    model.insert(1, "x")
    model.append("x")
    assert client.call("LINSERT", "k", "AFTER", "none", "x") == -1
    assert everything(client) == texts(*model)
    assert client.call("LREM", "k", "-1", "x") == 1
    assert client.call("LREM", "k", "0", "x") == 1
    assert client.call("LREM", "k", "0", "x") == 0
    assert everything(client) == texts(*range(numbers - 1), "last")


def test_many_equal_elements_are_removed(client, numbers):
    client.pipeline([("LINSERT", "k", "BEFORE", "0", "x") for _ in range(10)])
    client.pipeline([("RPUSH", "k", *["x"] * 500, n) for n in range(10)])
    assert client.call("LREM", "k", "-2", "x") == 2
    assert client.call("LREM", "k", "0", "x") == 5008
    assert everything(client) == texts(*range(numbers), *range(10))
    client.call("DEL", "k")
    client.pipeline([("RPUSH", "k", *["x"] * 500) for _ in range(4)])
    assert client.call("LREM", "k", "0", "x") == 2000
    assert client.call("EXISTS", "k") == 0


def test_positions(client, numbers):
    client.call("RPUSH", "k", "x", "y", "x")
    assert client.call("LPOS", "k", "x") == numbers
    assert client.call("LPOS", "k", "x", "RANK", "-1") == numbers + 2
    assert client.call("LPOS", "k", "x", "COUNT", "0") == [numbers, numbers + 2]
    assert client.call("LPOS", "k", "x", "RANK", "-1", "COUNT", "0") == [numbers + 2, numbers]
    assert client.call("LPOS", "k", "x", "MAXLEN", numbers) is None
    assert client.call("LPOS", "k", "none", "COUNT", "0") == []


def test_trimming(client, numbers):
    assert client.call("LTRIM", "k", "1", "-2") == "OK"
    assert everything(client) == texts(*range(1, numbers - 1))
    assert client.call("LTRIM", "k", "0", "0") == "OK" and everything(client) == [b"1"]
    assert client.call("LTRIM", "k", "5", "0") == "OK" and client.call("EXISTS", "k") == 0


@pytest.mark.parametrize("source", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("destination", ["LEFT", "RIGHT"])
def test_moving(client, numbers, source, destination):
    taken = 0 if source == "LEFT" else numbers - 1
    assert client.call("LMOVE", "k", "to", source, destination) == str(taken).encode()
    assert client.call("RPUSH", "to", "end") == 2
    assert client.call("LMOVE", "to", "to", source, destination) == (str(taken).encode() if source == "LEFT" else b"end")
    rest = [number for number in range(numbers) if number != taken]
    assert everything(client) == texts(*rest)
    assert client.call("RPOPLPUSH", "k", "k") == str(rest[-1]).encode()
    assert everything(client) == texts(rest[-1], *rest[:-1])
    assert client.call("LMOVE", "none", "k", "LEFT", "LEFT") is None


def test_large_elements(client):
    """They lie in blocks of their own."""
    large = [bytes([65 + n]) * size for n, size in enumerate((512, 513, 20_000, 1_000_000))]
    assert client.call("RPUSH", "k", *large) == 4
    assert everything(client) == large
    assert client.call("LPOS", "k", large[2]) == 2
    assert client.call("LMOVE", "k", "to", "RIGHT", "LEFT") == large[3] and client.call("LPOP", "to") == large[3]
    assert client.call("LINSERT", "k", "BEFORE", large[1], large[3]) == 4
    assert client.call("LREM", "k", "0", large[0]) == 1
    assert client.call("LSET", "k", "-1", "small") == "OK"
    assert everything(client) == [large[3], large[1], b"small"]


def test_a_copy_is_a_list_of_its_own(client, numbers):
    assert client.call("COPY", "k", "copy") == 1
    client.call("LTRIM", "k", "0", "0")
    client.call("RPUSH", "copy", "x")
    assert everything(client, "copy") == texts(*range(numbers), "x") and everything(client) == [b"0"]


def test_a_deadline_stays(client, numbers):
    client.call("EXPIRE", "k", "1000")
    client.call("RPUSH", "k", "x")
    client.call("LPOP", "k")
    client.call("LSET", "k", "0", "y")
    assert 0 < client.call("TTL", "k") <= 1000


@only_pinfold
def test_encodings(client):
    def encoding():
        return client.call("OBJECT", "ENCODING", "k")

    client.call("RPUSH", "k", "a")
    assert encoding() == b"listpack" and client.call("TYPE", "k") == "list"
    client.call("CONFIG", "SET", "list-max-listpack-size", "4")
    client.call("RPUSH", "k", "b", "c", "d")
    assert encoding() == b"listpack"
    client.call("RPUSH", "k", "e")
    assert encoding() == b"quicklist"
    client.call("LPOP", "k", "2")
    assert encoding() == b"quicklist"
    client.call("LPOP", "k")
    assert encoding() == b"listpack"
    client.call("CONFIG", "SET", "list-max-listpack-size", "-2")
    client.call("RPUSH", "k", "x" * 9000)
    assert encoding() == b"quicklist"


@only_pinfold
@pytest.mark.parametrize("length", [8, 400])
def test_a_list_gets_the_name_quicklist_when_it_grows_and_loses_it_when_it_shrinks(client, length):
    """Whatever list-max-listpack-size has become meanwhile."""
    numbers = range(length)
    shrinking = [("LREM", "k", 1, 5), ("LPOP", "k"), ("RPOP", "k", 2), ("LTRIM", "k", 1, -2), ("LMOVE", "k", "other", "LEFT", "RIGHT"),
                 ("LMOVE", "k", "k", "LEFT", "RIGHT"), ("LMPOP", 1, "k", "LEFT")]  # fmt: skip
    growing = [("RPUSH", "k", 1), ("LPUSHX", "k", 1), ("LINSERT", "k", "BEFORE", 5, "x"), ("RPOPLPUSH", "other", "k")]

    def encoding_after(size_before, size_after, command):
        client.call("DEL", "k")
        client.call("RPUSH", "other", "x")
        client.call("CONFIG", "SET", "list-max-listpack-size", size_before)
        client.call("RPUSH", "k", *numbers)
        client.call("CONFIG", "SET", "list-max-listpack-size", size_after)
        client.call(*command)
        return client.call("OBJECT", "ENCODING", "k")

    for command in shrinking:
        assert encoding_after(length, 2, command) == b"listpack", command
        assert encoding_after(2, length, command) == b"quicklist", command
        assert encoding_after(2, 2 * length, command) == b"listpack", command
    for command in growing:
        assert encoding_after(length, 2, command) == b"quicklist", command
        assert encoding_after(2, 4 * length, command) == b"quicklist", command
    assert encoding_after(length, length, ("LSET", "k", 0, "x")) == b"quicklist"  # counts as one more while it is replaced
    assert encoding_after(length, length + 1, ("LSET", "k", 0, "x")) == b"listpack"
    client.call("CONFIG", "SET", "list-max-listpack-size", -2)


@only_pinfold
def test_inside_a_transaction_long_searches_are_refused(client):
    client.pipeline([("RPUSH", "k", *range(at, at + 500)) for at in range(0, LONG, 500)])
    client.call("MULTI")
    client.call("LREM", "k", "0", "x")
    client.call("LPOS", "k", "x")
    client.call("LINSERT", "k", "BEFORE", "x", "y")
    client.call("LTRIM", "k", "0", "99")
    client.call("LREM", "k", "0", "7")
    refused = client.call("EXEC")
    assert all(str(reply).startswith("ERR") for reply in refused[:3]) and refused[3:] == ["OK", 1]
    assert client.call("EVAL", "return redis.call('LREM', KEYS[1], 0, '8')", "1", "k") == 1


def test_a_list_that_changes_while_it_is_searched(client, connect):
    """LREM of a long list finds its element however the list changes meanwhile, or says that it could not."""
    size = 200_000
    client.pipeline([("RPUSH", "k", *range(at, at + 1000)) for at in range(0, size, 1000)])
    searching = [connect() for _ in range(4)]
    wanted = random.sample(range(size // 2, size), len(searching))
    for connection, number in zip(searching, wanted):
        connection.send_command("LREM", "k", "0", number)
    for n in range(200):
        client.call("RPUSH", "k", f"new{n}")
        client.call("LPOP", "k")
    removed = [connection.read() for connection in searching]
    left = set(everything(client))
    for reply, number in zip(removed, wanted):
        assert (reply == 1) != (str(number).encode() in left), (reply, number)
        assert reply == 1 or str(reply).startswith("ERR the value of LREM kept changing")
    assert len(left) == size - removed.count(1)


def test_what_is_removed_is_freed(client):
    before = int(info(client, "memory")["used_memory"])
    for _ in range(20):
        client.pipeline([("RPUSH", "k", *["x" * 100] * 1000) for _ in range(20)])
        client.call("LTRIM", "k", "-10", "-1")
        client.call("LPOP", "k", "100")
    client.call("DEL", "k")
    # In the background, so that DEL takes no longer than for few elements.
    assert eventually(lambda: int(info(client, "memory")["used_memory"]) < before + 1_000_000)


@pytest.mark.parametrize("count", [0, 700, -700, 100, -100])
def test_many_are_removed_from_either_end(client, count):
    """More than are removed with the list locked, and fewer."""
    model = [str(n % 3) for n in range(4500)]
    client.pipeline([("RPUSH", "k", *model[at : at + 500]) for at in range(0, len(model), 500)])
    places = [n for n, element in enumerate(model) if element == "1"]
    gone = set(places[:count] if count > 0 else places[count:])  # 0 takes all
    assert client.call("LREM", "k", count, "1") == len(gone)
    assert everything(client) == texts(*(element for n, element in enumerate(model) if n not in gone))
