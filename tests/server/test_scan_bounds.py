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
    with many.connect() as lister, many.connect() as neighbour:
        lister.send_command("KEYS", "*")
        answered = 0
        while not has_replied(lister):
            assert neighbour.call("PING") == "PONG"
            answered += 1
        names = lister.read()
        assert answered >= 10
        assert len(names) == len(set(names)) == KEYS


def test_many_long_commands_hold_up_others_no_more_than_one(many):
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
