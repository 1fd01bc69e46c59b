"""KEYS and SCAN over many keys: others are served meanwhile, and memory is asked for before it is taken."""

import select

import pytest

from tests.support import resp
from tests.support.connection import Closed
from tests.support.servers import bound, eventually, is_redis, pinfold

from .conftest import info

MB = 1 << 20
KEYS = 200_000
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis runs each command in one go")


def fill(connection, keys, name="key:{:010}"):
    for start in range(0, keys, 10_000):
        pairs = [word for i in range(start, min(start + 10_000, keys)) for word in (name.format(i), "v")]
        assert connection.call("MSET", *pairs) == "OK"


@pytest.fixture(scope="module")
def many():
    """A server of one thread with many keys."""
    with pinfold("--threads", "1") as server:
        with server.connect() as connection:
            fill(connection, KEYS)
        yield server


def has_replied(connection):
    return bool(select.select([connection.socket], [], [], 0)[0])


def used_by_clients(connection):
    return int(info(connection, "memory")["mem_clients_normal"])


def test_others_on_the_thread_are_served_while_keys_is_at_work(many):
    """Ten times at least, unless the machine keeps the neighbour from asking as often: then another try shows it."""

    def answered_meanwhile():
        answered = 0
        lister.send_command("KEYS", "*")
        while not has_replied(lister):
            assert neighbour.call("PING") == "PONG"
            answered += 1
        names = lister.read()
        assert len(names) == len(set(names)) == KEYS
        return answered

    with many.connect() as lister, many.connect() as neighbour:
        assert any(answered_meanwhile() >= 10 for _ in range(5))


def test_many_long_commands_delay_others_no_more_than_one(many):
    listers = [many.connect() for _ in range(20)]
    with many.connect() as neighbour:
        for lister in listers:
            lister.send_command("KEYS", "no such key")
        answered = 0
        while not all(map(has_replied, listers)):
            assert neighbour.call("PING") == "PONG"
            answered += 1
        assert answered >= 40  # more often than once for each of them
        for lister in listers:
            assert lister.read() == []
            lister.close()


def test_what_is_sent_behind_keys_is_executed_after_it(many):
    with many.connect() as connection:
        replies = connection.pipeline([("ECHO", "a"), ("KEYS", "key:000000000?"), ("ECHO", "b"), ("KEYS", "key:0000000010"), ("ECHO", "c")])
        assert [replies[0], *replies[2:]] == [b"a", b"b", [b"key:0000000010"], b"c"]
        assert sorted(replies[1]) == [b"key:%010d" % i for i in range(10)]


def test_a_silenced_keys_says_nothing(many):
    with many.connect() as connection:
        connection.send(b"".join(map(resp.encode, [("CLIENT", "REPLY", "SKIP"), ("KEYS", "*"), ("ECHO", "after")])))
        assert connection.read() == b"after"
        connection.send(b"".join(map(resp.encode, [("CLIENT", "REPLY", "OFF"), ("KEYS", "*"), ("CLIENT", "REPLY", "ON"), ("ECHO", "on")])))
        assert connection.read() == "OK"
        assert connection.read() == b"on"


def test_a_killed_client_gets_no_keys_and_its_memory_is_back(many):
    with many.connect() as admin:
        before = used_by_clients(admin)
        for _ in range(20):
            with many.connect() as lister:
                number = lister.call("CLIENT", "ID")
                lister.send_command("KEYS", "*")
                assert admin.call("CLIENT", "KILL", "ID", str(number)) == 1
                with pytest.raises((Closed, ConnectionError)):
                    while True:
                        lister.read()
        for _ in range(20):  # and one that goes away by itself
            lister = many.connect()
            lister.send_command("KEYS", "*")
            lister.close()
        eventually(lambda: used_by_clients(admin) <= before + MB)
        assert admin.call("PING") == "PONG"


def test_a_pause_holds_keys_and_unblock_does_not_end_it(many):
    with many.connect() as admin, many.connect() as lister:
        number = lister.call("CLIENT", "ID")
        lister.send_command("KEYS", "*")
        assert admin.call("CLIENT", "UNBLOCK", str(number)) == 0
        assert len(lister.read()) == KEYS
        assert admin.call("CLIENT", "PAUSE", "100000", "ALL") == "OK"
        lister.send_command("KEYS", "key:0000000001")
        assert admin.call("CLIENT", "UNPAUSE") == "OK"
        assert lister.read() == [b"key:0000000001"]


def test_keys_in_a_transaction_is_for_few_keys(many):
    with many.connect() as connection:
        connection.call("MULTI")
        connection.call("KEYS", "*")
        connection.call("SELECT", "1")
        connection.call("KEYS", "*")
        replies = connection.call("EXEC")
        assert isinstance(replies[0], resp.ErrorReply) and "use SCAN" in replies[0]
        assert replies[1:] == ["OK", []]
        assert connection.call("SELECT", "0") == "OK"


def test_a_long_reply_waits_for_its_reader(many):
    with many.connect() as admin:
        before = used_by_clients(admin)
        with many.connect() as lister:
            lister.send_command("KEYS", "*")
            eventually(lambda: used_by_clients(admin) > before + MB)
            assert admin.pipeline([("PING",)] * 100) == ["PONG"] * 100
            assert len(lister.read()) == KEYS
        eventually(lambda: used_by_clients(admin) <= before + MB)


def test_keys_on_a_full_cache_takes_no_more_memory_than_clients_may_have():
    with pinfold("--maxmemory", "24mb") as server, server.connect() as connection:
        for start in range(0, 1_000_000, 100_000):
            fill(connection, 100_000, "key:{}:{{}}".format(start))
        assert int(info(connection, "stats")["evicted_keys"]) > 0
        for _ in range(3):
            refused = connection.call("KEYS", "*")
            assert isinstance(refused, resp.ErrorReply) and "maxmemory-clients" in refused and "SCAN" in refused
        assert server.rss() <= bound(24 * MB + 24 * MB // 20 + 12 * MB)
        assert connection.call("KEYS", "key:0:11111") in ([], [b"key:0:11111"])


@pytest.fixture
def hostile():
    """A key on which patterns nearly fit at each place."""
    with pinfold("--threads", "2") as server, server.connect() as connection:
        fill(connection, 2000)
        assert connection.call("SET", "a" * 60_000, "x") == "OK"
        assert connection.call("SET", "a" * 80_000, "x") == "OK"
        yield connection


@pytest.mark.parametrize(
    "pattern",
    ["*" + "a" * 40_000 + "b", "*" + "a" * 40_000 + "b*", "*" + "a*" * 30_000 + "b", "[" + "a" * 60_000 + "]", "*" + "a" * 1000 + "[bc]*"],
    ids=["end", "middle", "stars", "class", "bits"],
)
def test_a_hostile_pattern_matches_nothing_in_linear_time(hostile, pattern):
    for _ in range(20):  # each took seconds when the time was the product of the lengths
        assert hostile.call("KEYS", pattern) == []
        assert hostile.call("SCAN", "0", "MATCH", pattern, "COUNT", "100000")[1] == []
    assert hostile.call("CONFIG", "GET", pattern) == []
    assert hostile.call("COMMAND", "LIST", "FILTERBY", "PATTERN", pattern) == []


def test_a_pattern_that_would_be_costly_is_refused_with_the_reason(hostile):
    for pattern, reason in (("a" * 65_537, "65536"), ("*" + "?" * 1024 + "a*", "1024")):
        requests = [("KEYS", pattern), ("SCAN", "0", "MATCH", pattern), ("COMMAND", "LIST", "FILTERBY", "PATTERN", pattern)]
        for reply in hostile.pipeline(requests):
            assert isinstance(reply, resp.ErrorReply) and reason in reply
    refused = hostile.call("CONFIG", "GET", *["*a*"] * 2000)
    assert isinstance(refused, resp.ErrorReply) and "1024" in refused
    assert hostile.call("PING") == "PONG"


def test_count_is_a_hint_and_one_scan_is_bounded(many):
    with many.connect() as connection:
        found, cursor, calls = set(), b"0", 0
        while calls == 0 or cursor != b"0":
            cursor, names = connection.call("SCAN", cursor, "COUNT", "1000000000")
            assert len(names) <= 10_000 + 512
            found.update(names)
            calls += 1
        assert len(found) == KEYS


def test_a_scan_of_long_names_is_bounded_by_their_bytes():
    with pinfold("--maxmemory", "100mb") as server, server.connect() as connection:
        for i in range(4000):
            assert connection.call("SET", f"{i:06}" + "n" * 2000, "v") == "OK"
        cursor, names = connection.call("SCAN", "0", "COUNT", "1000000")
        assert cursor != b"0"
        assert sum(map(len, names)) <= 2 * MB


def test_scan_and_randomkey_remove_what_has_expired():
    with pinfold("--enable-debug-command", "yes") as server, server.connect() as connection:
        connection.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        connection.pipeline([("SET", f"k{i}", "v", "PX", "1") for i in range(1000)])
        connection.call("SET", "live", "v")
        eventually(lambda: connection.call("GET", "k999") is None)
        before = connection.call("DBSIZE")
        assert before > 500
        assert connection.call("RANDOMKEY") == b"live"
        cursor = b"0"
        for _ in range(1000):
            cursor, _names = connection.call("SCAN", cursor, "COUNT", "1000")
            if cursor == b"0":
                break
        assert connection.call("DBSIZE") < before
        assert connection.call("RANDOMKEY") == b"live"
