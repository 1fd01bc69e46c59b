"""Keyspace events beyond those of Redis' commands, which tests/differential/test_keyspace_events.py compares."""

import pytest

from tests.support import servers
from tests.support.servers import eventually

from .conftest import info, only_pinfold

KB, MB = 1 << 10, 1 << 20


class Listener:
    def __init__(self, client, connection, classes):
        self.client, self.connection = client, connection
        assert client.call("CONFIG", "SET", "notify-keyspace-events", classes) == "OK"
        connection.raw("PSUBSCRIBE", "__keyevent@*")
        self.count = 0

    def events(self):
        """(event, key) of all that has come."""
        found = []
        self.count += 1
        for token in (f"{self.count}-a", f"{self.count}-b"):
            self.connection.send_command("PING", token)
            while (message := self.connection.read()) != [b"pong", token.encode()]:
                found.append((message[2].decode().split(":", 1)[1], message[3].decode()))
        return found

    def next(self):
        return self.connection.read()[2].decode().split(":", 1)[1]


@pytest.fixture
def listen(client, connect):
    yield lambda classes: Listener(client, connect(), classes)
    client.call("CONFIG", "SET", "notify-keyspace-events", "")


def test_expired_keys_are_told_when_they_are_found_and_by_the_background(client, listen):
    listener = listen("Ex")
    client.call("SET", "a", "1", "PX", 20)
    client.call("SET", "b", "1", "PX", 20)
    eventually(lambda: client.call("GET", "a") is None)
    told = []
    eventually(lambda: told.extend(listener.events()) or len(told) == 2)
    assert sorted(told) == [("expired", "a"), ("expired", "b")]


@only_pinfold
def test_a_value_whose_deadline_has_passed_is_told_as_expired_at_once(client, listen):
    listener = listen("EA")
    for _ in range(2):
        client.call("SET", "a", "1", "PXAT", 1)
        assert listener.events() == [("set", "a"), ("expire", "a"), ("expired", "a")]
        client.call("SET", "a", "1")
        assert listener.events() == [("set", "a")]


def test_evicted_keys_are_told():
    with servers.pinfold("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lru", "--notify-keyspace-events", "Ee") as server:
        with server.connect() as client, server.connect() as subscriber:
            subscriber.raw("SUBSCRIBE", "__keyevent@0__:evicted")
            for number in range(0, 40_000, 100):
                client.pipeline([["SET", f"key-{i}", "x" * 1000] for i in range(number, number + 100)])
            evicted = int(info(client, "stats")["evicted_keys"])
            assert evicted > 0
            keys = {subscriber.read()[2] for _ in range(evicted)}
            assert len(keys) == evicted and all(key.startswith(b"key-") for key in keys)


@only_pinfold
def test_what_only_a_cache_does_is_a_class_of_its_own(client, listen):
    listener = listen("EAp")
    client.call("CACHE.SET", "a", "1", "PX", 100_000, "STALE", 100_000, "TAGS", 1, "t")
    client.call("CACHE.SET", "b", "1", "TAGS", 1, "t")
    assert listener.events() == [("set", "a"), ("expire", "a"), ("set", "b")]
    client.call("CACHE.INVALIDATE", 1, "a", "SOFT")
    client.call("CACHE.INVALIDATE", 1, "b")
    client.call("CACHE.INVALIDATE", 1, "nosuch")
    assert listener.events() == [("stale", "a"), ("del", "b"), ("invalidated", "nosuch")]
    client.call("CACHE.ABSENT", "c", "PX", 100_000)
    assert listener.events() == [("absent", "c")]


@only_pinfold
def test_purged_keys_are_told_one_by_one(client, listen):
    listener = listen("Ep")
    for i in range(2000):
        client.call("CACHE.SET", f"k{i}", "1", "TAGS", 1, "t")
    client.call("CACHE.PURGE", "TAGS", 1, "t", "SYNC")
    told = []
    eventually(lambda: told.extend(listener.events()) or len(told) >= 2000)
    assert sorted(told) == sorted(("purged", f"k{i}") for i in range(2000))


@only_pinfold
def test_without_the_class_nothing_of_it_is_told(client, listen):
    listener = listen("KEA")
    client.call("SET", "a", "1")
    client.call("CACHE.INVALIDATE", 1, "a", "SOFT")
    client.call("CACHE.ABSENT", "b")
    assert listener.events() == [("set", "a")]


def test_nothing_is_told_while_the_setting_is_empty(client, listen):
    listener = listen("")
    client.call("SET", "a", "1")
    client.call("GET", "nosuch")
    client.call("DEL", "a")
    assert listener.events() == []


def test_a_wrong_letter_is_refused(client):
    reply = client.call("CONFIG", "SET", "notify-keyspace-events", "KQ")
    assert "Invalid event class character. Use 'Ag$lshzxeKEtmdn" in reply
    assert client.call("CONFIG", "GET", "notify-keyspace-events") == [b"notify-keyspace-events", b""]


def test_leases_and_watches_work_beside_it(client, connect, listen):
    listener = listen("EAmn")
    other = connect()
    client.call("WATCH", "a")
    other.call("SET", "a", "1")
    assert client.pipeline([["MULTI"], ["SET", "a", "2"], ["EXEC"]])[-1] is None
    assert listener.events() == [("new", "a"), ("set", "a")]


@only_pinfold
def test_events_of_one_key_come_in_the_order_of_its_changes():
    with servers.pinfold("--threads", "2", "--notify-keyspace-events", "K$") as server:
        writers = [server.connect() for _ in range(4)]
        with server.connect() as subscriber, server.connect() as client:
            subscriber.raw("SUBSCRIBE", "__keyspace@0__:n")
            count = 200
            for number in range(count):
                for writer in writers:
                    writer.send_command(*(["APPEND", "n", "x"] if number % 2 else ["SETRANGE", "n", 0, "y"]))
                for writer in writers:
                    writer.read()
            told = [subscriber.read()[2] for _ in range(4 * count)]
            for number in range(count):
                assert set(told[4 * number : 4 * number + 4]) == {b"append" if number % 2 else b"setrange"}
            assert info(client, "stats")["keyspace_events"] == str(4 * count)


@only_pinfold
def test_events_for_which_there_is_no_memory_are_counted():
    with servers.pinfold("--threads", "1", "--maxmemory", "200mb", "--notify-keyspace-events", "K$") as server:
        with server.connect() as client, server.connect() as subscriber:
            subscriber.raw("PSUBSCRIBE", "__keyspace*")
            keys = [f"{i:05}" + "x" * 2000 for i in range(2000)]
            client.call("MSET", *[part for key in keys for part in (key, "1")])
            stats = info(client, "stats")
            told, dropped = int(stats["keyspace_events"]), int(stats["keyspace_events_dropped"])
            assert told + dropped == 2000 and dropped > 0 and told > 0
            assert [subscriber.read()[3] for _ in range(told)] == [b"set"] * told
            eventually(lambda: info(client, "memory")["used_memory_messages"] == "0")


@only_pinfold
def test_rights_for_channels_hold_for_events(client, connect, listen):
    listen("KEA")
    client.call("ACL", "SETUSER", "ada", "reset", "on", "nopass", "+@all", "~*", "resetchannels", "&__keyevent@0__:del")
    other = connect()
    other.call("AUTH", "ada", "x")
    assert other.call("SUBSCRIBE", "__keyevent@0__:set").startswith("NOPERM")
    other.raw("SUBSCRIBE", "__keyevent@0__:del")
    client.call("SET", "a", "1")
    client.call("DEL", "a")
    assert other.read() == [b"message", b"__keyevent@0__:del", b"a"]
    client.call("ACL", "DELUSER", "ada")
