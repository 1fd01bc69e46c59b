"""Plain reads under `coalesce`: who waits, from when, and what ends it.

Windows and leases last minutes, far longer than a connection of these tests waits for a reply: what must not wait would fail, not be slow.
"""

import socket

import pytest

from tests.support import resp
from tests.support.cache import LONG
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


@pytest.fixture
def held(client, policy):
    """The lease of p:k is another client's, which does not load."""
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    return "p:k"


def parked(cache, connection, key):
    connection.send_command("GET", key)
    eventually(lambda: cache.waiters(key) == 1)


# "A GET waits only while its connection is silent: whatever its client sends behind it may be the very SET, so it ends the wait with nil"


@pytest.mark.parametrize("gets", [1, 30, 31, 32, 33, 40, 63, 64, 65, 200])
def test_a_pipeline_of_gets_and_the_set_is_answered_at_once(connect, held, gets):
    replies = connect().pipeline([("GET", held)] * gets + [("SET", held, "v"), ("GET", held)])
    assert replies == [None] * gets + ["OK", b"v"]


def test_a_part_of_a_request_behind_it_is_enough(cache, connect, held):
    other = connect()
    rest = resp.encode(["SET", held, "v"])
    other.send(resp.encode(["GET", held]) + rest[:9])
    assert other.read() is None
    other.send(rest[9:])
    assert other.read() == "OK" and cache.waiters(held) == 0


BEHIND = [(["SET", "p:k", "v"], "OK"), (["PING"], "PONG"), (["GET", "q"], None), (["SET", "p:k", "v" * 1_000_000], "OK"), (["CACHE.SET", "p:k", "v"], "OK")]


@pytest.mark.parametrize("command, reply", BEHIND, ids=lambda part: part[0] if isinstance(part, list) else "")
def test_whatever_comes_behind_it_ends_the_wait(cache, connect, held, command, reply):
    """A client that shares one connection sends the SET while its GET waits."""
    shared = connect()
    parked(cache, shared, held)
    shared.send_command(*command)
    assert shared.read() is None
    assert shared.read() == reply and cache.waiters(held) == 0


def test_a_pipeline_behind_it_is_executed_in_order(cache, connect, held):
    shared = connect()
    parked(cache, shared, held)
    replies = shared.pipeline([("GET", held)] * 70 + [("SET", held, "v"), ("GET", held)])
    assert [*replies, shared.read()] == [None] * 71 + ["OK", b"v"]


def test_who_sends_and_closes_is_executed(cache, client, connect, held):
    shared = connect()
    parked(cache, shared, held)
    shared.send_command("SET", held, "v")
    shared.socket.shutdown(socket.SHUT_WR)
    assert shared.read() is None and shared.read() == "OK"
    assert client.call("GET", held) == b"v"


def test_who_only_closes_waits_no_longer(cache, connect, held):
    shared = connect()
    parked(cache, shared, held)
    shared.socket.shutdown(socket.SHUT_WR)
    assert shared.read() is None
    assert shared.read_until_closed() == b""
    eventually(lambda: cache.waiters(held) == 0)


def test_others_go_on_waiting(cache, client, connect, held):
    shared, other = connect(), connect()
    parked(cache, shared, held)
    other.send_command("GET", held)
    eventually(lambda: cache.waiters(held) == 2)
    assert shared.pipeline([("PING",)]) == [None] and shared.read() == "PONG"
    assert cache.waiters(held) == 1
    client.call("SET", held, "v")
    assert other.read() == b"v"


def test_cache_get_waits_with_more_behind_it(cache, connect, held):
    """what it sends meanwhile is executed afterwards"""
    waiting, other = connect(), connect()
    waiting.send_command("CACHE.GET", held, "WAIT", LONG)
    eventually(lambda: cache.waiters(held) == 1)
    waiting.send_command("PING")
    assert other.call("PING") == "PONG" and cache.waiters(held) == 1
    other.call("SET", held, "v")
    assert waiting.read()[:2] == [b"hit", b"v"] and waiting.read() == "PONG"


# "A client that was told nil and asks again does not wait, as long as that lease lasts."


def test_the_first_reader_does_not_wait_for_itself(client, held):
    assert [client.call("GET", held) for _ in range(3)] == [None] * 3


def test_the_first_reader_of_many_keys_waits_for_none(client, policy):
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    for _ in range(2):
        assert [client.call("GET", f"p:{n}") for n in range(100)] == [None] * 100


def test_who_was_told_nil_does_not_wait_again(cache, connect, held):
    shared = connect()
    parked(cache, shared, held)
    assert shared.pipeline([("PING",)]) == [None] and shared.read() == "PONG"
    assert [shared.call("GET", held) for _ in range(3)] == [None] * 3


def test_who_was_unblocked_does_not_wait_again(cache, client, connect, held):
    other = connect()
    identity = other.call("CLIENT", "ID")
    parked(cache, other, held)
    assert client.call("CLIENT", "UNBLOCK", identity) == 1
    assert other.read() is None and other.call("GET", held) is None


def test_who_did_not_wait_does_not_wait_later(connect, held):
    other = connect()
    assert other.pipeline([("GET", held), ("PING",)]) == [None, "PONG"]
    assert other.call("GET", held) is None


def test_who_is_sent_to_load_does_not_wait_for_itself(cache, client, connect, held):
    first = connect()
    parked(cache, first, held)
    client.call("DEL", held)
    assert first.read() is None and first.call("GET", held) is None


def test_another_lease_is_waited_for(cache, client, connect, held):
    other = connect()
    assert other.pipeline([("GET", held), ("PING",)]) == [None, "PONG"]
    client.call("DEL", held)
    assert client.call("GET", held) is None
    parked(cache, other, held)
    client.call("SET", held, "v")
    assert other.read() == b"v"


# "The time counts from the grant of the lease, not from each reader"


def test_readers_who_come_late_do_not_wait(cache, client, connect, policy):
    """Of a row that does not exist, readers one after the other wait once."""
    policy("p", "match", "p:*", "coalesce", "2s", "lease", "10m")
    assert client.call("GET", "p:k") is None
    eventually(lambda: cache.inspect("p:k")["lease-ms"] <= 598_000)
    for n in range(3):
        late = connect()
        late.send_command("GET", "p:k")
        eventually(lambda n=n: cache.mapping(cache.policy("SHOW", "p"))["misses"] == n + 2)
        assert cache.waiters("p:k") == 0
        assert late.read() is None
