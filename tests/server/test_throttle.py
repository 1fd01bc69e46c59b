"""CL.THROTTLE over the wire: redis-cell's five integers, one count for all clients, an ordinary entry.

The arithmetic is in tests/unit/command/throttle_test.cpp, with a clock that can be moved.
"""

import threading

import pytest

from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="a module of Redis")


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_reply_is_five_integers(client, connect, protocol):
    connection = connect(protocol=protocol)
    assert connection.raw("CL.THROTTLE", "user123", "15", "30", "60") == b"*5\r\n:0\r\n:16\r\n:15\r\n:-1\r\n:2\r\n"
    assert connection.raw("cl.throttle", "user123", "15", "30", "60", "20") == b"*5\r\n:1\r\n:16\r\n:15\r\n:-1\r\n:2\r\n"


def test_all_clients_share_one_limit(server, client):
    passed = []

    def knock():
        with server.connect() as connection:
            replies = connection.pipeline([["CL.THROTTLE", "k", 49, 50, 36_000]] * 100)
            passed.append(sum(1 - reply[0] for reply in replies))

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 8 and sum(passed) == 50


def test_the_limit_comes_back_with_time(client):
    assert client.call("CL.THROTTLE", "k", 0, 50, 1)[0] == 0
    eventually(lambda: client.call("CL.THROTTLE", "k", 0, 50, 1)[0] == 0)


def test_the_state_goes_when_it_says_nothing_any_more(client):
    client.call("CL.THROTTLE", "k", 5, 100, 1)
    assert client.call("DBSIZE") == 1
    eventually(lambda: client.call("DBSIZE") == 0)


def test_a_limit_can_be_copied_renamed_and_forgiven(client):
    for _ in range(2):
        client.call("CL.THROTTLE", "k", 1, 1, 3600)
    assert client.call("COPY", "k", "copy") == 1
    client.call("RENAME", "k", "other")
    for key in ("copy", "other"):
        assert client.call("CL.THROTTLE", key, 1, 1, 3600)[0] == 1
    assert client.call("CL.THROTTLE", "k", 1, 1, 3600)[0] == 0
    client.call("DEL", "other")
    assert client.call("CL.THROTTLE", "other", 1, 1, 3600)[:3] == [0, 2, 1]


def test_a_policy_does_not_let_a_limit_be_forgotten_early(client):
    assert client.call("CACHE.POLICY", "SET", "p", "match", "limit:*", "max-ttl", "1s", "ttl", "1s", "jitter", "90%", "stale", "1m") == "OK"
    try:
        assert client.call("CL.THROTTLE", "limit:1", 9, 1, 60)[0] == 0
        assert 50_000 < client.call("PTTL", "limit:1") <= 60_000
        assert client.call("CL.THROTTLE", "limit:1", 9, 1, 60)[:3] == [0, 10, 8]
        assert client.call("CACHE.INSPECT", "limit:1")[23] == b"p"
    finally:
        assert client.call("CACHE.POLICY", "DEL", "p") == 1


def test_limits_are_bounded_as_all_entries_are(start):
    with start("--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lfu").connect() as connection:
        for first in range(0, 200_000, 1000):
            replies = connection.pipeline([["CL.THROTTLE", f"client:{i}", 9, 10, 3600] for i in range(first, first + 1000)])
            assert all(reply[0] == 0 for reply in replies)
        fields = dict(line.split(":", 1) for line in connection.call("INFO", "everything").decode().splitlines() if ":" in line)
        assert int(fields["evicted_keys"]) > 0 and int(fields["used_memory"]) <= 8 << 20
    with start("--maxmemory", "8mb", "--maxmemory-policy", "noeviction").connect() as connection:
        replies = []
        for first in range(0, 250_000, 1000):
            replies += connection.pipeline([["CL.THROTTLE", f"client:{i}", 9, 10, 3600] for i in range(first, first + 1000)])
        assert replies[0] == [0, 10, 9, -1, 360] and replies[-1] == "OOM command not allowed when used memory > 'maxmemory'."


@pytest.mark.parametrize(
    "args, error",
    [
        ([], "ERR wrong number of arguments for 'cl.throttle' command"),
        (["k", "1", "1"], "ERR wrong number of arguments for 'cl.throttle' command"),
        (["k", "x", "1", "1"], "ERR value is not an integer or out of range"),
        (["k", "1", "1.5", "1"], "ERR value is not an integer or out of range"),
        (["k", "1", "1", "99999999999999999999"], "ERR value is not an integer or out of range"),
        (["k", "-1", "1", "1"], "ERR max-burst must be at least 0"),
        (["k", "1", "0", "1"], "ERR count must be at least 1"),
        (["k", "1", "1", "0"], "ERR period must be at least 1"),
        (["k", "1", "1", "1", "-1"], "ERR quantity must be at least 0"),
        (["k", "1", "1", "1", "1", "1"], "ERR syntax error"),
        (["k", "9223372036854775807", "1", "1"], "ERR rate is out of range"),
    ],
)
def test_bad_input(client, args, error):
    assert client.call("CL.THROTTLE", *args) == error
    assert client.call("DBSIZE") == 0


def test_where_its_key_is(client):
    assert client.call("COMMAND", "GETKEYS", "CL.THROTTLE", "k", 1, 2, 3) == [b"k"]
