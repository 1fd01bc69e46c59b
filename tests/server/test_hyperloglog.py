"""HyperLogLog: estimates, the format that is Redis', and what is no HyperLogLog."""

import random
import shutil

import pytest

from tests.support import servers
from tests.support.resp import ErrorReply

from .conftest import only_pinfold

CORRUPT = "INVALIDOBJ Corrupted HLL object detected"
NONE = "WRONGTYPE Key is not a valid HyperLogLog string value."
HEADER = b"HYLL\x01" + bytes(11)
DENSE_BYTES = 16 + 12288


@pytest.fixture(scope="module")
def redis():
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server")
    with servers.redis() as running, running.connect() as connection:
        yield connection


def add(connection, key, names, batch=500):
    names = list(names)
    for at in range(0, len(names), batch):
        connection.call("PFADD", key, *names[at : at + batch])


def test_adds_and_counts(client):
    assert client.call("PFADD", "h", "a", "b", "c") == 1
    assert client.call("PFADD", "h", "a") == 0
    assert client.call("PFCOUNT", "h") == 3
    assert client.call("PFCOUNT", "h") == 3  # the estimate that is kept
    assert client.call("PFADD", "h", "d") == 1
    assert client.call("PFCOUNT", "h") == 4
    assert client.call("PFCOUNT", "nosuch") == 0
    assert client.call("PFADD", "empty") == 1
    assert client.call("PFADD", "empty") == 0
    assert client.call("PFCOUNT", "empty") == 0
    assert client.call("PFCOUNT", "h", "nosuch", "empty") == 4
    assert client.call("TYPE", "h") == "string"
    assert client.call("OBJECT", "ENCODING", "h") == b"raw"


def test_merges(client):
    client.call("PFADD", "a", "1", "2", "3")
    client.call("PFADD", "b", "3", "4")
    assert client.call("PFCOUNT", "a", "b") == 4
    assert client.call("PFMERGE", "c", "a", "b", "nosuch") == "OK"
    assert client.call("PFCOUNT", "c") == 4
    assert client.call("PFMERGE", "a", "b") == "OK"
    assert client.call("PFCOUNT", "a") == 4
    assert client.call("PFMERGE", "new") == "OK"
    assert client.call("PFCOUNT", "new") == 0
    client.call("EXPIRE", "c", 1000)
    client.call("PFMERGE", "c", "a")
    client.call("PFADD", "c", "5")
    assert 0 < client.call("TTL", "c") <= 1000


def test_becomes_dense_and_stays_so(client):
    client.call("PFADD", "h", "x")
    assert client.call("PFDEBUG", "ENCODING", "h") == "sparse"
    add(client, "h", (f"e{i}" for i in range(3000)), batch=1)
    assert client.call("PFDEBUG", "ENCODING", "h") == "dense"
    assert client.call("STRLEN", "h") == DENSE_BYTES
    client.call("PFADD", "small", "x")
    assert client.call("PFMERGE", "small", "h") == "OK"
    assert client.call("PFDEBUG", "ENCODING", "small") == "dense"
    assert client.call("PFCOUNT", "small") == client.call("PFCOUNT", "h")
    client.call("PFADD", "t", "x")
    assert client.call("PFDEBUG", "TODENSE", "t") == 1
    assert client.call("PFDEBUG", "TODENSE", "t") == 0
    assert client.call("PFCOUNT", "t") == 1
    registers = client.call("PFDEBUG", "GETREG", "t")
    assert len(registers) == 16384
    assert sum(1 for rank in registers if rank) == 1


def test_the_setting_says_when_it_becomes_dense(client):
    client.call("CONFIG", "SET", "hll-sparse-max-bytes", 0)
    try:
        client.call("PFADD", "h", "x")
        assert client.call("PFDEBUG", "ENCODING", "h") == "dense"
    finally:
        client.call("CONFIG", "SET", "hll-sparse-max-bytes", 3000)
    client.call("PFADD", "g", "x")
    assert client.call("PFDEBUG", "ENCODING", "g") == "sparse"


@only_pinfold
def test_estimates_and_bytes_are_those_of_redis(client, redis):
    redis.call("FLUSHALL")
    rng = random.Random(7)
    added = 0
    for size in (1, 3, 40, 500, 900, 1500, 4000, 30000):
        names = [f"visitor:{rng.getrandbits(40)}" for _ in range(size - added)]
        added = size
        for connection in (client, redis):
            # One by one while it is sparse: there the bytes depend on the order of the changes.
            add(connection, "h", names, batch=1 if size <= 1500 else 400)
        ours, theirs = (connection.call("GET", "h") for connection in (client, redis))
        assert ours[:8] == theirs[:8] and ours[15:] == theirs[15:], size  # between them is an estimate that is out of date
        assert client.call("PFCOUNT", "h") == redis.call("PFCOUNT", "h")
        assert client.call("GET", "h") == redis.call("GET", "h"), "with the estimate"


@only_pinfold
@pytest.mark.parametrize("size", [0, 10, 800, 20000])
def test_values_go_to_redis_and_back(client, redis, size):
    redis.call("FLUSHALL")
    for source, target in ((client, redis), (redis, client)):
        source.call("PFADD", "from")
        add(source, "from", (f"n{i}" for i in range(size)))
        estimate = source.call("PFCOUNT", "from")
        target.call("SET", "to", source.call("GET", "from"))
        assert target.call("PFCOUNT", "to") == estimate
        assert target.call("PFADD", "to", *(f"n{i}" for i in range(min(size, 50)))) == 0 if size else True
        assert target.call("PFADD", "to", *(f"other{i}" for i in range(300))) == 1
        source.call("PFADD", "from", *(f"other{i}" for i in range(300)))
        assert target.call("PFCOUNT", "to") == source.call("PFCOUNT", "from")
        assert target.call("PFMERGE", "both", "to") == "OK"
        source.call("SET", "back", target.call("GET", "both"))
        assert source.call("PFCOUNT", "back", "from") == source.call("PFCOUNT", "from")


@only_pinfold
def test_merges_are_those_of_redis(client, redis):
    redis.call("FLUSHALL")
    rng = random.Random(11)
    for connection in (client, redis):
        rng.seed(11)
        for i, size in enumerate((0, 5, 300, 700, 5000, 20)):
            connection.call("PFADD", f"m{i}")
            add(connection, f"m{i}", [f"{rng.getrandbits(16)}" for _ in range(size)])
    for keys in (["m0", "m1"], ["m1", "m2", "m5"], ["m2", "m3"], ["m1", "m4"], ["m0"], ["m0", "m1", "m2", "m3", "m4", "m5"]):
        assert client.call("PFCOUNT", *keys) == redis.call("PFCOUNT", *keys)
        for connection in (client, redis):
            assert connection.call("PFMERGE", "merged", *keys) == "OK"
        assert client.call("PFCOUNT", "merged") == redis.call("PFCOUNT", "merged")


def test_other_strings_are_refused(client):
    for value in (b"", b"text", b"HYLL", HEADER[:-1], b"HYLL\x02" + bytes(11), b"HYLL\x00" + bytes(11), b"HYLL" + bytes(DENSE_BYTES - 3), b"HYLL" + bytes(DENSE_BYTES - 5)):
        client.call("SET", "s", value)
        for request in (["PFADD", "s", "x"], ["PFADD", "s"], ["PFCOUNT", "s"], ["PFCOUNT", "nosuch", "s"], ["PFMERGE", "s"], ["PFMERGE", "new", "s"]):
            reply = client.raw(*request)
            assert reply == b"-" + NONE.encode() + b"\r\n", (value[:20], request)
        assert client.call("GET", "s") == value
        assert client.call("EXISTS", "new") == 0


# Runs that are cut off, too few, too many, and very long ones.
BROKEN = [b"", b"\x7f", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f\xff\x7f\xff", b"\x7f\xff\x80", b"\x80\x7f\xff", b"\x7f\xff" * 20000, b"\x84" * 100_000, b"\x7f\xff" * 300_000]


@only_pinfold
@pytest.mark.parametrize("runs", BROKEN, ids=range(len(BROKEN)))
def test_corrupt_values_are_refused(client, runs):
    client.call("SET", "s", HEADER[:15] + b"\x80" + runs)
    for request in (["PFCOUNT", "s"], ["PFCOUNT", "s", "s"], ["PFMERGE", "new", "s"], ["PFADD", "s", *map(str, range(1000))], ["PFDEBUG", "TODENSE", "s"], ["PFDEBUG", "GETREG", "s"]):
        assert client.raw(*request) == b"-" + CORRUPT.encode() + b"\r\n", request
    assert client.call("EXISTS", "new") == 0
    client.raw("PFADD", "s", "x")  # looks at the runs up to the one that it changes
    assert client.call("PING") == "PONG"


def test_random_values_harm_nobody(client):
    rng = random.Random()
    for _ in range(300):
        runs = bytes(rng.choice((0x7F, 0xFF, 0x40, 0x80, rng.randrange(256))) for _ in range(rng.randint(0, 60)))
        client.call("SET", "s", HEADER[:15] + b"\x80" + runs)
        replies = client.pipeline([("PFADD", "s", str(rng.random())), ("PFCOUNT", "s"), ("PFMERGE", "t", "s"), ("PFADD", "s", *map(str, range(40)))])
        assert all(isinstance(reply, (int, str, ErrorReply)) for reply in replies)
        client.call("DEL", "t")


def test_other_types_are_refused(client):
    if isinstance(client.call("RPUSH", "l", "x"), ErrorReply):
        pytest.skip("there are no lists")
    for request in (["PFADD", "l", "x"], ["PFCOUNT", "l"], ["PFMERGE", "l"], ["PFMERGE", "new", "l"], ["PFDEBUG", "ENCODING", "l"]):
        assert client.raw(*request).startswith(b"-WRONGTYPE Operation against a key"), request


def test_counting_is_no_change(client, connect):
    client.call("PFADD", "h", "x")
    client.call("WATCH", "h")
    other = connect()
    other.call("PFADD", "h", "x")
    assert other.call("PFCOUNT", "h", "nosuch") == 1
    client.call("MULTI")
    client.call("PFADD", "h", "y")
    client.call("PFCOUNT", "h")
    assert client.call("EXEC") == [1, 2]
    client.call("WATCH", "h")
    other.call("PFADD", "h", "z")
    client.call("MULTI")
    client.call("PING")
    assert client.call("EXEC") is None


def test_wrong_requests(client):
    assert isinstance(client.call("PFADD"), ErrorReply)
    assert isinstance(client.call("PFCOUNT"), ErrorReply)
    assert isinstance(client.call("PFMERGE"), ErrorReply)
    assert client.raw("PFDEBUG", "ENCODING", "nosuch") == b"-ERR The specified key does not exist\r\n"
    client.call("PFADD", "h", "x")
    assert client.raw("PFDEBUG", "nosuch", "h").startswith(b"-ERR Unknown PFDEBUG subcommand 'nosuch'")


def test_a_copy_is_a_value_of_its_own(client):
    client.call("PFADD", "h", *map(str, range(5000)))
    client.call("COPY", "h", "c")
    before = client.call("PFCOUNT", "c")
    client.call("PFADD", "h", *map(str, range(5000, 9000)))
    assert client.call("PFCOUNT", "c") == before
    assert client.call("PFCOUNT", "h") > before


MANY = 300  # dense values of 12 KB: more than are merged at once, within what a transaction may merge


@pytest.fixture
def many(client, redis):
    """Dense values in both servers, each with elements of its own."""
    redis.call("FLUSHALL")
    for i in range(MANY):
        add(redis, f"v{i}", [f"{i}:{n}" for n in range(20)])
        redis.call("PFDEBUG", "TODENSE", f"v{i}")
    client.pipeline([("SET", f"v{i}", redis.call("GET", f"v{i}")) for i in range(MANY)])
    return [f"v{i}" for i in range(MANY)]


def test_many_are_counted_and_merged_in_pieces(client, redis, many):
    assert client.call("STRLEN", many[0]) == DENSE_BYTES
    count = redis.call("PFCOUNT", *many)
    assert client.call("PFCOUNT", *many) == count
    assert client.call("PFCOUNT", *many, *many, "nosuch") == count
    client.call("PFADD", "all", "one more")
    redis.call("PFADD", "all", "one more")
    for connection in (client, redis):
        assert connection.call("PFMERGE", "all", *many) == "OK"
    assert client.call("PFCOUNT", "all") == redis.call("PFCOUNT", "all") != count
    client.call("SET", many[-1], "text")
    client.call("RPUSH", "list", "x")
    assert client.call("PFCOUNT", *many) == NONE
    assert client.call("PFMERGE", "all", *many) == NONE
    assert client.call("PFCOUNT", *many[:-1], "list").startswith("WRONGTYPE")


def test_a_transaction_merges_many_but_not_too_many(client, many):
    count = client.call("PFCOUNT", *many)
    client.call("MULTI")
    client.call("PFCOUNT", *many)
    client.call("PFCOUNT", *many, *many)
    client.call("PFMERGE", "all", *many)
    client.call("PFCOUNT", "all")
    counted, refused, merged, again = client.call("EXEC")
    assert counted == again == count and merged == "OK"
    assert refused == "ERR PFCOUNT inside MULTI looks at HyperLogLogs of 4 MB at most"


def test_what_is_added_while_many_are_merged_stays(client, connect, many):
    adding = connect()
    for i in range(5):
        client.send_command("PFMERGE", "all", *many)
        adding.pipeline([("PFADD", "all", f"added {i}:{n}") for n in range(200)])
        assert client.read() == "OK"
    before = adding.call("PFCOUNT", "all")
    adding.pipeline([("PFADD", "all", f"added {i}:{n}") for i in range(5) for n in range(200)])
    assert adding.call("PFCOUNT", "all") == before


def test_what_the_target_had_does_not_come_back_after_it_was_removed(client, connect, many):
    removing = connect()
    alone = client.call("PFCOUNT", *many)
    for _ in range(10):
        client.pipeline([("PFADD", "all", *[f"old {n}" for n in range(at, at + 500)]) for at in range(0, 20_000, 500)])
        client.send_command("PFMERGE", "all", *many, *many, *many)
        removing.call("DEL", "all")
        assert client.read() == "OK"
        assert client.call("PFCOUNT", "all") in (0, alone)
