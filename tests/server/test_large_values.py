"""Values that are received straight into the block in which they are kept: framing, memory, refusal."""

import random

import pytest

from tests.support import resp
from tests.support.servers import bound, eventually, is_redis

from .conftest import info

OOM = "OOM command not allowed when used memory > 'maxmemory'."
MB = 1 << 20
LEAST = 16 * 1024  # arguments from here on do not pass through the input buffer


def value_of(seed, size):
    return random.Random(seed).randbytes(size)


def number(connection, field, section="memory"):
    return int(info(connection, section)[field])


def until_no_blobs(connection):
    """Flushed values are freed in the background, those of the test before too."""
    eventually(lambda: number(connection, "used_memory_blobs") == 0)


@pytest.mark.parametrize("size", [LEAST - 1, LEAST, LEAST + 1, 50_000, 65_535, 65_536, 65_537, 131_071, 131_073, 300_000, 5 * MB + 7])
def test_values_around_every_step_come_back_whole(client, size):
    value = value_of(size, size)
    for command in (["SET", "k", value], ["SETEX", "k", "100", value], ["PSETEX", "k", "100000", value], ["GETSET", "k", value], ["MSET", "k", value], ["MSETEX", "1", "k", value], ["SET", "k", value, "XX", "KEEPTTL"]):
        if command[0] == "MSETEX" and is_redis():
            continue
        assert not str(client.call(*command)).startswith("ERR"), command[0]
        assert client.pipeline([("GET", "k"), ("STRLEN", "k"), ("PING",)]) == [value, size, "PONG"], command[0]
    assert client.call("OBJECT", "ENCODING", "k") == b"raw"
    for command, reply in ((["SETNX", "new", value], 1), (["MSETNX", "new", value], 1), (["APPEND", "new", value], size), (["SET", "new", value, "NX"], "OK")):
        client.call("DEL", "new")
        assert client.call(*command) == reply
        assert client.call("GET", "new") == value, command[0]
    assert client.call("APPEND", "new", value) == 2 * size
    assert client.call("SETRANGE", "new", str(2 * size), value) == 3 * size
    assert client.call("GET", "new") == value * 3
    assert client.call("ECHO", value) == value


def test_a_large_key_works_like_any(client):
    key = value_of(1, 40_000)
    assert client.call("SET", key, "v") == "OK"
    assert client.call("SET", key, value_of(2, 30_000)) == "OK"
    assert client.call("GET", key) == value_of(2, 30_000)
    assert client.call("MSET", key, key, "b", key) == "OK"
    assert client.call("MGET", key, "b") == [key, key]
    assert client.call("EXISTS", key, key + b"x") == 1
    assert client.call("DEL", key) == 1


LARGE = value_of(3, 70_000)
PIPELINE = (
    resp.encode(["SET", "before", "1"])
    + resp.encode(["SET", "large", LARGE])
    + resp.encode(["GET", "before"])
    + resp.encode(["MSET", "a", LARGE[:20_000], "b", "small", "c", LARGE[:16_384], "d", LARGE[:16_383]])
    + resp.encode(["STRLEN", "large"])
    + b"PING\r\n"
    + resp.encode(["ECHO", LARGE[:16_500]])
    + resp.encode(["STRLEN", "c"])
)
REPLIES = b"+OK\r\n+OK\r\n$1\r\n1\r\n+OK\r\n:70000\r\n+PONG\r\n" + resp.encode([LARGE[:16_500]])[4:] + b":16384\r\n"


def exchange_pieces(connection, pieces, between):
    for piece in pieces:
        connection.send(piece)
        between()
    while len(connection.buffer) < len(REPLIES):
        connection._receive()
    assert bytes(connection.buffer) == REPLIES
    connection.buffer.clear()


def edges():
    """Every place around which something begins or ends, and some in the middle of values."""
    places = set()
    for mark in (b"*3\r\n", b"*9\r\n", b"*2\r\n", b"PING", LARGE[:16], LARGE[-16:], LARGE[16_000:16_384], LARGE[19_990:20_000]):
        at = PIPELINE.find(mark)
        while at >= 0:
            places.update(range(at - 12, at + len(mark) + 12))
            at = PIPELINE.find(mark, at + 1)
    places.update(range(0, len(PIPELINE), 9973))
    return sorted(place for place in places if 0 < place < len(PIPELINE))


def test_a_pipeline_with_large_values_is_answered_whatever_the_split(client, connect):
    other = connect()
    for at in edges():
        exchange_pieces(client, [PIPELINE[:at], PIPELINE[at:]], lambda: other.raw("PING"))
    assert client.call("MGET", "large", "a", "b", "c", "d") == [LARGE, LARGE[:20_000], b"small", LARGE[:16_384], LARGE[:16_383]]


def test_a_pipeline_with_large_values_is_answered_in_random_pieces(client, connect):
    other = connect()
    rng = random.Random(4)
    for _ in range(30):
        pieces, rest = [], PIPELINE
        while rest:
            size = rng.choice((1, 5, 100, 3000, 16_000, 40_000))
            pieces.append(rest[:size])
            rest = rest[size:]
        exchange_pieces(client, pieces, lambda: other.raw("PING"))


def test_a_deep_pipeline_of_large_values_is_executed_in_order(client):
    commands, expected = [], []
    for n in range(200):
        value = value_of(n, 10_000 + n * 150)
        commands += [("SET", f"k{n % 7}", value), ("GET", f"k{n % 7}"), ("APPEND", f"k{n % 7}", "x")]
        expected += ["OK", value, len(value) + 1]
    assert client.pipeline(commands) == expected


def test_large_values_are_queued_in_a_transaction(client, connect):
    if not is_redis():
        until_no_blobs(client)
    values = [value_of(n, 100_000 + n) for n in range(4)]
    replies = client.pipeline([
        ("MULTI",), ("SET", "a", values[0]), ("MSET", "b", values[1], "c", "small", "d", values[2]), ("APPEND", "a", values[3]), ("GET", "b"), ("STRLEN", "a"), ("EXEC",)
    ])  # fmt: skip
    assert replies[:6] == ["OK"] + ["QUEUED"] * 5
    assert replies[6] == ["OK", "OK", 200_003, values[1], 200_003]
    assert client.call("MGET", "a", "b", "c", "d") == [values[0] + values[3], values[1], b"small", values[2]]
    before = number(client, "used_memory_blobs") if not is_redis() else 0
    assert client.pipeline([("MULTI",), ("SET", "e", values[0]), ("DISCARD",)]) == ["OK", "QUEUED", "OK"]
    queueing = connect()
    assert queueing.pipeline([("MULTI",), ("SET", "e", values[0])]) == ["OK", "QUEUED"]
    queueing.close()
    if not is_redis():
        eventually(lambda: number(client, "used_memory_blobs") == before)
    assert client.call("EXISTS", "e") == 0


def test_a_large_value_in_a_condition_is_compared(client):
    if is_redis():
        pytest.skip("Redis 8.4")
    value = value_of(5, 20_000)
    client.call("SET", "k", value)
    assert client.call("SET", "k", "new", "IFEQ", value[:-1] + b"?") is None
    assert client.call("SET", "k", value + value, "IFEQ", value, "GET") == value
    assert client.call("DELEX", "k", "IFEQ", value + value) == 1


def test_a_pause_holds_large_values_up_and_then_lets_them_pass(client, connect):
    writer, reader = connect(), connect()
    values = [value_of(n, 90_000 + n) for n in range(3)]
    client.call("CLIENT", "PAUSE", "60000", "WRITE")
    try:
        writer.send(b"".join(resp.encode(["SET", f"p{n}", value]) for n, value in enumerate(values)) + resp.encode(["MSET", "p3", values[0], "p4", values[1]]))
        reader.send(resp.encode(["SET", "small", "1"]) + resp.encode(["SET", "p5", values[2]])[:-60_000])
        for _ in range(20):
            assert client.call("EXISTS", "p0", "p1", "p2", "p3", "p5", "small") == 0
    finally:
        client.call("CLIENT", "UNPAUSE")
    assert [writer.read() for _ in range(4)] == ["OK"] * 4
    assert reader.read() == "OK"
    reader.send(resp.encode(["SET", "p5", values[2]])[-60_000:])
    assert reader.read() == "OK"
    assert client.call("MGET", "p0", "p1", "p2", "p3", "p4", "p5") == values + values


def test_a_client_that_goes_in_the_middle_of_a_value_leaves_nothing(client, server):
    if not is_redis():
        until_no_blobs(client)
    for size in (20_000, 100_000, 3 * MB):
        for part in (0, 1, size // 3, size * 2 // 3, size - 1):
            with server.connect() as broken:
                broken.send(b"*3\r\n$3\r\nSET\r\n$4\r\ngone\r\n$%d\r\n" % size + b"x" * part)
    eventually(lambda: len(client.call("CLIENT", "LIST").splitlines()) == 1)
    assert client.call("EXISTS", "gone") == 0
    if not is_redis():
        until_no_blobs(client)


@pytest.mark.skipif(is_redis(), reason="Redis takes what is announced")
def test_an_announced_value_costs_what_has_come_of_it(start):
    server = start("--maxmemory", "1gb")
    with server.connect() as admin:
        before, data = server.rss(), number(admin, "used_memory_blobs")
        announcing = [server.connect() for _ in range(50)]
        for connection in announcing:
            connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000000\r\n" + b"x" * 1000)
        sender = server.connect()
        sender.send(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$500000000\r\n" + b"x" * (10 * MB))
        eventually(lambda: number(admin, "used_memory_blobs") - data >= 10 * MB)
        assert number(admin, "used_memory_blobs") - data < 15 * MB
        assert server.rss() - before < bound(25 * MB)
        for connection in [*announcing, sender]:
            connection.close()
        eventually(lambda: number(admin, "used_memory_blobs") == data)


@pytest.mark.skipif(is_redis(), reason="Redis counts otherwise")
@pytest.mark.parametrize("size", [5 * MB, 64 * MB])
def test_a_value_is_counted_once_while_it_comes_and_when_it_is_there(start, size):
    server = start("--maxmemory", "100mb")
    value = value_of(6, size)
    with server.connect() as connection:
        before = number(connection, "used_memory")
        assert connection.call("SET", "k", value) == "OK"
        peak = number(connection, "used_memory_peak")
        assert peak - before < size + MB, f"{(peak - before) / size:.2f} times the value"
        assert size <= number(connection, "used_memory_blobs") < size + 100_000
        assert connection.call("MEMORY", "USAGE", "k") < size + 10_000
        assert server.rss() < bound(size + 40 * MB)
        assert connection.call("GET", "k") == value
        assert connection.call("DEL", "k") == 1
        eventually(lambda: number(connection, "used_memory_blobs") < 10_000)


@pytest.mark.skipif(is_redis(), reason="Redis stores it and stays over the limit")
def test_a_value_that_can_never_fit_is_skipped_and_evicts_nothing(start):
    server = start("--maxmemory", "16mb")
    with server.connect() as connection, server.connect() as sender:
        connection.pipeline([("SET", f"small:{i}", "x" * 100) for i in range(1000)])
        request = resp.encode(["SET", "huge", b"x" * (40 * MB)])
        sender.send(request[: 10 * MB])
        assert connection.call("EXISTS", "huge") == 0
        assert number(connection, "used_memory_peak") < 8 * MB
        sender.send(request[10 * MB :] + resp.encode(["SET", "next", LARGE]) + resp.encode(["GET", "next"]))
        assert [sender.read(), sender.read(), sender.read()] == [OOM, "OK", LARGE]
        huge = b"x" * (20 * MB)
        assert connection.pipeline([("MSET", "a", "1", "b", huge, "c", LARGE), ("MGET", "a", "b", "c"), ("ECHO", huge), ("PING",)]) == [OOM, [None] * 3, OOM, "PONG"]
        replies = connection.pipeline([("MULTI",), ("SET", "a", "1"), ("SET", "b", huge), ("EXEC",), ("GET", "a")])
        assert replies[:3] == ["OK", "QUEUED", OOM] and replies[3].startswith("EXECABORT") and replies[4] is None
        assert connection.call("DBSIZE") == 1001
        assert int(info(connection, "stats")["evicted_keys"]) == 0
        assert number(connection, "used_memory_peak") < 8 * MB
        assert server.rss() < bound(40 * MB)


@pytest.mark.skipif(is_redis(), reason="Redis stores it and stays over the limit")
def test_without_eviction_a_value_is_refused_while_it_comes(start):
    server = start("--maxmemory", "32mb", "--maxmemory-policy", "noeviction")
    with server.connect() as connection:
        value = b"x" * (12 * MB)
        assert connection.pipeline([("SET", "a", value), ("SET", "b", value), ("SET", "c", value), ("GET", "c"), ("SET", "d", "1")]) == ["OK", "OK", OOM, None, "OK"]
        assert connection.call("SET", "a", value) == OOM  # the old value is there until the new one is
        assert connection.call("GET", "a") == value


@pytest.mark.skipif(is_redis(), reason="Redis counts otherwise")
def test_large_values_arriving_at_once_stay_within_the_memory(start):
    server = start("--maxmemory", "64mb", "--threads", "1")
    with server.connect() as admin:
        senders = [server.connect() for _ in range(12)]
        requests = [resp.encode(["SET", f"k{n}", value_of(n, 10 * MB)]) for n in range(12)]
        step = 600_000
        for at in range(0, len(requests[0]), step):
            for sender, request in zip(senders, requests):
                sender.send(request[at : at + step])
        replies = [sender.read() for sender in senders]
        assert set(replies) <= {"OK", OOM} and "OK" in replies
        for n, reply in enumerate(replies):
            found = admin.call("GET", f"k{n}")
            assert found is None or (reply == "OK" and found == value_of(n, 10 * MB))
        assert number(admin, "used_memory_blobs") + number(admin, "used_memory_segments") <= 64 * MB
        assert number(admin, "used_memory_peak") <= 64 * MB + 4 * MB
        for sender in senders:
            assert sender.call("PING") == "PONG"
            sender.close()


def test_a_request_beyond_the_query_buffer_limit_is_closed(start):
    server = start("--client-query-buffer-limit", "1mb")
    with server.connect() as connection, server.connect() as admin:
        with pytest.raises((ConnectionError, OSError)):
            for _ in range(20):
                connection.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000000\r\n" + b"x" * MB)
                connection.send(b"x" * MB)
        assert connection_is_closed(connection)
        assert admin.call("EXISTS", "a") == 0
        if not is_redis():
            assert number(admin, "client_query_buffer_limit_disconnections", "stats") == 1


def connection_is_closed(connection):
    try:
        return connection.read_until_closed() == b""
    except OSError:
        return True


def test_one_who_has_not_said_the_password_cannot_announce_a_large_value(start):
    server = start("--requirepass", "secret")
    with server.connect() as unauthenticated, server.connect() as authenticated:
        unauthenticated.send(b"*2\r\n$4\r\nECHO\r\n$16385\r\n")
        assert unauthenticated.read_until_closed() == b"-ERR Protocol error: unauthenticated bulk length\r\n"
        value = value_of(7, 50_000)
        assert authenticated.pipeline([("AUTH", "secret"), ("SET", "k", value), ("GET", "k")]) == ["OK", "OK", value]
