"""Publish/subscribe: who is told what, in which form and order, and what it may cost."""

import contextlib
import itertools
import threading

import pytest

from tests.support import servers
from tests.support.connection import Closed, is_closed
from tests.support.resp import ErrorReply, Push
from tests.support.servers import eventually

from .conftest import info, only_pinfold

KB, MB = 1 << 10, 1 << 20
ALL = [("SUBSCRIBE", "UNSUBSCRIBE"), ("PSUBSCRIBE", "PUNSUBSCRIBE"), ("SSUBSCRIBE", "SUNSUBSCRIBE")]
CONTEXT = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"


def confirmations(connection, count):
    return [list(connection.read()) for _ in range(count)]


def subscribed(connection, *request):
    connection.send_command(*request)
    return confirmations(connection, max(len(request) - 1, 1))


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def subscriber(request, connect):
    return connect(protocol=request.param)


@pytest.fixture
def threads():
    """A server of two I/O threads, on which clients are spread."""
    with servers.pinfold("--threads", "2") as server:
        yield server


def test_subscriptions_are_confirmed_one_by_one_with_their_number(subscriber):
    assert subscribed(subscriber, "SUBSCRIBE", "a", "b", "a") == [[b"subscribe", b"a", 1], [b"subscribe", b"b", 2], [b"subscribe", b"a", 2]]
    assert subscribed(subscriber, "PSUBSCRIBE", "n*") == [[b"psubscribe", b"n*", 3]]
    assert subscribed(subscriber, "SSUBSCRIBE", "a") == [[b"ssubscribe", b"a", 1]]
    assert subscribed(subscriber, "UNSUBSCRIBE", "b", "c") == [[b"unsubscribe", b"b", 2], [b"unsubscribe", b"c", 2]]
    assert subscribed(subscriber, "UNSUBSCRIBE") == [[b"unsubscribe", b"a", 1]]
    assert subscribed(subscriber, "PUNSUBSCRIBE") == [[b"punsubscribe", b"n*", 0]]
    assert subscribed(subscriber, "SUNSUBSCRIBE") == [[b"sunsubscribe", b"a", 0]]
    for _, unsubscribe in ALL:
        assert subscribed(subscriber, unsubscribe) == [[unsubscribe.lower().encode(), None, 0]]


def test_messages_reach_channels_patterns_and_shard_channels(client, subscriber):
    subscribed(subscriber, "SUBSCRIBE", "news")
    subscribed(subscriber, "PSUBSCRIBE", "n*", "[mn]ew?")
    subscribed(subscriber, "SSUBSCRIBE", "news")
    assert client.call("PUBLISH", "news", "1") == 3
    assert client.call("PUBLISH", "nil", "2") == 1
    assert client.call("SPUBLISH", "news", "3") == 1
    assert client.call("PUBLISH", "other", "4") == 0
    messages = confirmations(subscriber, 5)
    assert messages[0] == [b"message", b"news", b"1"]
    assert sorted(messages[1:3]) == [[b"pmessage", b"[mn]ew?", b"news", b"1"], [b"pmessage", b"n*", b"news", b"1"]]
    assert messages[3:] == [[b"pmessage", b"n*", b"nil", b"2"], [b"smessage", b"news", b"3"]]


def test_a_message_is_a_push_in_resp3_and_an_array_in_resp2(client, connect):
    new, old = connect(protocol=3), connect()
    for connection in (new, old):
        connection.raw("SUBSCRIBE", "a")
    assert client.call("PUBLISH", "a", "x") == 2
    assert isinstance(new.read(), Push)
    assert old.read_raw() == b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"


def test_a_client_with_resp2_that_has_subscribed_may_say_little(client, connect):
    subscriber = connect()
    subscriber.raw("SUBSCRIBE", "a")
    for request in (["GET", "x"], ["CLIENT", "ID"], ["HELLO", "3"], ["MULTI"], ["PUBLISH", "a", "x"]):
        name = "|".join(request[:2]).lower() if request[0] == "CLIENT" else request[0].lower()
        assert subscriber.call(*request) == ErrorReply(f"ERR Can't execute '{name}': {CONTEXT}")
    assert subscriber.call("NOSUCH").startswith("ERR unknown command")
    assert subscriber.call("GET").startswith("ERR wrong number")
    assert subscriber.call("PING") == [b"pong", b""]
    assert subscriber.call("PING", "hi") == [b"pong", b"hi"]
    subscriber.raw("UNSUBSCRIBE", "a")
    assert subscriber.call("PING") == "PONG" and subscriber.call("GET", "x") is None
    subscriber.raw("SSUBSCRIBE", "a")
    assert subscriber.call("QUIT") == "OK" and is_closed(subscriber.socket, 5)


def test_with_resp3_it_may_say_everything(connect):
    subscriber = connect(protocol=3)
    subscriber.raw("SUBSCRIBE", "a")
    assert subscriber.call("SET", "x", "1") == "OK" and subscriber.call("PING") == "PONG"
    subscriber.raw("HELLO", "2")
    assert CONTEXT in subscriber.call("GET", "x")


def test_reset_ends_subscriptions(client, connect):
    subscriber = connect(protocol=3)
    for subscribe, _ in ALL:
        subscriber.raw(subscribe, "a")
    assert subscriber.call("RESET") == "RESET"
    assert client.call("PUBLISH", "a", "x") == 0 and client.call("SPUBLISH", "a", "x") == 0
    assert subscriber.call("GET", "a") is None


@only_pinfold  # Redis 7.0 pushes before the reply, and inside that of EXEC
def test_a_publisher_gets_its_own_message_behind_the_reply(connect):
    both = connect(protocol=3)
    both.raw("SUBSCRIBE", "a")
    assert both.call("PUBLISH", "a", "1") == 1 and both.read() == Push([b"message", b"a", b"1"])
    both.send_command("MULTI")
    both.send_command("PUBLISH", "a", "2")
    both.send_command("SUBSCRIBE", "b")
    both.send_command("EXEC")
    assert [both.read(), both.read(), both.read(), both.read()] == ["OK", "QUEUED", "QUEUED", [1, Push([b"subscribe", b"b", 2])]]
    assert both.read() == Push([b"message", b"a", b"2"])


def test_inside_multi_a_client_subscribes_and_is_a_subscriber_behind_it(client, connect):
    subscriber = connect()
    replies = subscriber.pipeline([["MULTI"], ["SUBSCRIBE", "a"], ["SET", "x", "1"], ["SSUBSCRIBE", "s"], ["EXEC"]])
    refused = ErrorReply("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    assert replies[-1] == [[b"subscribe", b"a", 1], "OK", refused]
    assert CONTEXT in subscriber.call("GET", "x")
    assert client.call("PUBLISH", "a", "x") == 1


@pytest.mark.parametrize("mode", ["OFF", "SKIP"])
def test_client_reply_silences_no_push(client, connect, mode):
    subscriber = connect()
    subscriber.send_command("CLIENT", "REPLY", mode)
    assert subscribed(subscriber, "SUBSCRIBE", "a") == [[b"subscribe", b"a", 1]]
    assert client.call("PUBLISH", "a", "x") == 1
    assert subscriber.read() == [b"message", b"a", b"x"]


def test_pubsub_tells_of_channels(client, connect):
    one, two = connect(), connect()
    subscribed(one, "SUBSCRIBE", "a", "b")
    subscribed(two, "SUBSCRIBE", "b", "c1")
    subscribed(one, "PSUBSCRIBE", "p*")
    subscribed(two, "PSUBSCRIBE", "p*", "q*")
    subscribed(two, "SSUBSCRIBE", "s1", "s2")
    assert sorted(client.call("PUBSUB", "CHANNELS")) == [b"a", b"b", b"c1"]
    assert client.call("PUBSUB", "CHANNELS", "c?") == [b"c1"]
    assert client.call("PUBSUB", "NUMSUB", "b", "p*", "a") == [b"b", 2, b"p*", 0, b"a", 1]
    assert client.call("PUBSUB", "NUMSUB") == []
    assert client.call("PUBSUB", "NUMPAT") == 2
    assert sorted(client.call("PUBSUB", "SHARDCHANNELS")) == [b"s1", b"s2"]
    assert client.call("PUBSUB", "SHARDNUMSUB", "s1", "a") == [b"s1", 1, b"a", 0]
    assert client.call("PUBSUB", "CHANNELS", "a", "b").startswith("ERR unknown subcommand or wrong number of arguments for 'CHANNELS'")
    assert client.call("PUBSUB", "NOSUCH") == ErrorReply("ERR unknown subcommand 'NOSUCH'. Try PUBSUB HELP.")
    stats = info(client, "stats")
    assert [stats[field] for field in ("pubsub_channels", "pubsub_patterns", "pubsubshard_channels")] == ["3", "2", "2"]
    for connection in (one, two):
        connection.close()
    eventually(lambda: client.call("PUBSUB", "CHANNELS") == [] and client.call("PUBSUB", "NUMPAT") == 0)


def test_client_list_tells_who_has_subscribed(client, connect):
    subscriber = connect()
    subscribed(subscriber, "SUBSCRIBE", "a", "b")
    subscribed(subscriber, "PSUBSCRIBE", "a")
    subscribed(subscriber, "SSUBSCRIBE", "a")
    listed = client.call("CLIENT", "LIST", "TYPE", "pubsub").decode().splitlines()
    assert len(listed) == 1 and " flags=P " in listed[0] and " sub=2 psub=1 ssub=1 " in listed[0]
    assert " flags=P " not in client.call("CLIENT", "LIST", "TYPE", "normal").decode()
    assert client.call("CLIENT", "KILL", "TYPE", "pubsub") == 1
    assert is_closed(subscriber.socket, 5)


@only_pinfold
def test_info_counts_messages(client, connect):
    client.call("CONFIG", "RESETSTAT")
    subscribers = [connect() for _ in range(3)]
    for connection in subscribers:
        connection.raw("SUBSCRIBE", "a")
    assert info(client, "clients")["pubsub_clients"] == "3"
    client.call("PUBLISH", "a", "x")
    client.call("PUBLISH", "nobody", "x")
    for connection in subscribers:
        connection.read()
    stats = info(client, "stats")
    assert (stats["pubsub_messages_published"], stats["pubsub_messages_delivered"]) == ("2", "3")
    assert info(client, "memory")["used_memory_messages"] == "0"


# --- order and delivery on two threads ---


def test_one_publisher_is_heard_in_its_order_by_all(threads):
    subscribers = [threads.connect() for _ in range(40)]
    for number, connection in enumerate(subscribers):
        subscribed(connection, "PSUBSCRIBE" if number % 3 == 0 else "SUBSCRIBE", "a*" if number % 3 == 0 else "a1")
        if number % 3 != 0:
            subscribed(connection, "SUBSCRIBE", "a2")
    publisher = threads.connect()
    count = 2000
    replies = publisher.pipeline([["PUBLISH", f"a{1 + i % 2}", str(i)] for i in range(count)])
    assert replies == [40] * count
    for connection in subscribers:
        assert [int(connection.read()[-1]) for _ in range(count)] == list(range(count))
        connection.close()


def test_a_message_reaches_ten_thousand_subscriptions(threads):
    channels = [f"c{i}" for i in range(100)]
    subscribers = [threads.connect() for _ in range(100)]
    for connection in subscribers:
        subscribed(connection, "SUBSCRIBE", *channels)
    publisher = threads.connect()
    assert publisher.pipeline([["PUBLISH", channel, channel] for channel in channels]) == [100] * 100
    for connection in subscribers:
        assert [connection.read()[1].decode() for _ in channels] == channels


def test_large_messages_are_shared_and_arrive_whole(threads):
    value = b"0123456789abcdef" * (MB // 16)
    subscribers = [threads.connect() for _ in range(8)]
    for connection in subscribers:
        connection.raw("SUBSCRIBE", "a")
    publisher = threads.connect()
    memory = int(info(publisher, "memory")["used_memory"])
    assert publisher.call("PUBLISH", "a", value) == 8
    assert int(info(publisher, "memory")["used_memory"]) - memory < 3 * MB
    for connection in subscribers:
        assert connection.read() == [b"message", b"a", value]
    eventually(lambda: int(info(publisher, "memory")["used_memory"]) - memory < MB)


# --- many subscriptions ---


def many(count):
    return [f"channel-{i:06}" for i in range(count)]


def test_very_many_subscriptions_in_one_command(client, subscriber):
    names = many(20_000)
    assert [reply[2] for reply in subscribed(subscriber, "SUBSCRIBE", *names)] == list(range(1, 20_001))
    assert client.call("PUBLISH", names[12_345], "x") == 1
    assert subscriber.read() == [b"message", names[12_345].encode(), b"x"]
    assert len(client.call("PUBSUB", "CHANNELS")) == 20_000
    assert len(client.call("PUBSUB", "CHANNELS", "channel-01????")) == 10_000
    assert sum(client.call("PUBSUB", "NUMSUB", *names)[1::2]) == 20_000
    assert sorted(reply[2] for reply in subscribed(subscriber, "UNSUBSCRIBE", *names[:1000])) == list(range(19_000, 20_000))
    subscriber.send_command("UNSUBSCRIBE")
    assert [reply[2] for reply in confirmations(subscriber, 19_000)] == list(range(18_999, -1, -1))


def test_very_many_subscriptions_end_with_reset_and_with_the_connection(client, connect):
    names = many(20_000)
    for end in (lambda one: one.call("RESET"), lambda one: one.close()):
        connection = connect()
        subscribed(connection, "SUBSCRIBE", *names)
        end(connection)
        eventually(lambda: client.call("PUBSUB", "CHANNELS") == [])
    eventually(lambda: info(client, "clients").get("pubsub_clients", "0") == "0")


@only_pinfold
def test_inside_multi_their_number_is_bounded(connect):
    connection = connect(protocol=3)
    for request in (["SUBSCRIBE", *many(300)], ["PUBSUB", "NUMSUB", *many(300)]):
        replies = connection.pipeline([["MULTI"], request, ["EXEC"]])
        assert "inside MULTI takes 256 names at most" in replies[-1][0]


@only_pinfold
def test_subscriptions_are_memory_of_their_client():
    with servers.pinfold("--maxmemory-clients", "2mb", "--maxmemory", "100mb") as server, server.connect() as client:
        subscriber = server.connect()
        subscribed(subscriber, "SUBSCRIBE", *many(1000))
        line = client.call("CLIENT", "LIST", "TYPE", "pubsub").decode()
        assert int(line.split("tot-mem=")[1].split()[0]) > 200 * KB
        assert int(info(client, "memory")["used_memory_clients"]) > 200 * KB
        assert "maxmemory-clients" in subscriber.call("SUBSCRIBE", *many(6_000))
        assert client.call("PUBLISH", many(1)[0], "x") == 1 and subscriber.read()[0] == b"message"
        subscriber.send_command("UNSUBSCRIBE")
        confirmations(subscriber, 1000)
        eventually(lambda: int(info(client, "memory")["used_memory_clients"]) < 200 * KB)


# --- limits ---


def fill(client, until, channel="a", size=8 * KB):
    """Publishes until something is true."""
    message = b"x" * size
    for _ in range(20_000):
        client.call("PUBLISH", channel, message)
        if until():
            return
    raise AssertionError("it never happened")


def test_a_subscriber_that_does_not_read_is_closed_by_the_hard_limit(client, connect):
    limits = client.call("CONFIG", "GET", "client-output-buffer-limit")[1]
    try:
        client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
        subscriber = connect()
        subscriber.raw("SUBSCRIBE", "a")
        fill(client, lambda: client.call("PUBSUB", "NUMSUB", "a") == [b"a", 0])
    finally:
        client.call("CONFIG", "SET", "client-output-buffer-limit", limits)


def test_and_by_the_soft_limit_when_its_time_is_up(client, connect):
    limits = client.call("CONFIG", "GET", "client-output-buffer-limit")[1]
    try:
        client.call("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 256kb 1")
        subscriber = connect()
        subscriber.raw("SUBSCRIBE", "a")
        fill(client, lambda: int(client.call("CLIENT", "LIST", "TYPE", "pubsub").decode().split(" omem=")[1].split()[0]) > 512 * KB)
        eventually(lambda: client.call("PUBSUB", "NUMSUB", "a") == [b"a", 0])
    finally:
        client.call("CONFIG", "SET", "client-output-buffer-limit", limits)


def test_the_limit_of_normal_clients_is_another_one(client, connect):
    limits = client.call("CONFIG", "GET", "client-output-buffer-limit")[1]
    try:
        client.call("CONFIG", "SET", "client-output-buffer-limit", "normal 4kb 0 0 pubsub 0 0 0")
        subscriber = connect()
        subscriber.raw("SUBSCRIBE", "a")
        fill(client, lambda: int(client.call("CLIENT", "LIST", "TYPE", "pubsub").decode().split(" omem=")[1].split()[0]) > 64 * KB)
        assert subscriber.read() == [b"message", b"a", b"x" * 8 * KB]
    finally:
        client.call("CONFIG", "SET", "client-output-buffer-limit", limits)


def test_timeout_closes_no_subscriber():
    with servers.pinfold("--timeout", "1") as server:
        subscriber, idle = server.connect(), server.connect()
        subscriber.raw("SUBSCRIBE", "a")
        idle.call("PING")
        assert is_closed(idle.socket, 20)
        with server.connect() as publisher:
            assert publisher.call("PUBLISH", "a", "x") == 1 and subscriber.read()[2] == b"x"


@only_pinfold
def test_who_publishes_waits_while_too_many_messages_are_on_their_way():
    with servers.pinfold("--threads", "2", "--maxmemory", "64mb", "--maxmemory-clients", "16mb") as server:
        subscribers = [server.connect() for _ in range(12)]
        for connection in subscribers:
            connection.raw("SUBSCRIBE", "a")
        count = 3000
        publisher = server.connect()
        sender = threading.Thread(target=lambda: publisher.pipeline([["PUBLISH", "a", b"y" * 4000]] * count))

        def read_all(connection):
            with contextlib.suppress(Closed):  # one that falls too far behind is closed
                for _ in range(count):
                    connection.read()

        readers = [threading.Thread(target=read_all, args=(one,)) for one in subscribers]
        for thread in [sender, *readers]:
            thread.start()
        with server.connect() as client:
            most = 0
            while sender.is_alive():
                most = max(most, int(info(client, "memory")["used_memory_messages"]))
            sender.join()
            assert most <= 3 * MB  # an eighth of 16 MB, and a message for each thread
        for thread in readers:
            thread.join()


# --- rights ---


@pytest.fixture
def limited(client, connect):
    """A client whose user may use some channels."""
    client.call("ACL", "SETUSER", "ada", "reset", "on", "nopass", "+@all", "~*", "resetchannels", "&chan:*", "&lit")
    connection = connect()
    assert connection.call("AUTH", "ada", "x") == "OK"
    yield connection
    client.call("ACL", "DELUSER", "ada")


NOPERM = ErrorReply("NOPERM this user has no permissions to access one of the channels used as arguments")


def test_channels_are_a_right(client, limited):
    client.call("ACL", "LOG", "RESET")
    refused = [
        ["PUBLISH", "x", "y"], ["SPUBLISH", "x", "y"], ["SUBSCRIBE", "chan:1", "x"], ["SSUBSCRIBE", "x"], ["PSUBSCRIBE", "chan:1"],
        ["PSUBSCRIBE", "*"],
    ]  # fmt: skip
    for request in refused:
        assert limited.call(*request) == NOPERM
        said = client.call("ACL", "DRYRUN", "ada", *request).decode()
        assert said.startswith("This user has no permissions to access the '") and said.endswith("' channel")
    entries = [dict(itertools.batched(entry, 2)) if hasattr(itertools, "batched") else dict(zip(entry[::2], entry[1::2])) for entry in client.call("ACL", "LOG")]
    assert {entry[b"reason"] for entry in entries} == {b"channel"}
    assert {entry[b"object"] for entry in entries} == {b"x", b"chan:1", b"*"}
    assert limited.call("PUBLISH", "chan:1", "y") == 0
    assert subscribed(limited, "PSUBSCRIBE", "chan:*", "lit") == [[b"psubscribe", b"chan:*", 1], [b"psubscribe", b"lit", 2]]
    assert subscribed(limited, "SUBSCRIBE", "chan:1") == [[b"subscribe", b"chan:1", 3]]
    assert subscribed(limited, "UNSUBSCRIBE", "anything") == [[b"unsubscribe", b"anything", 3]]


def test_a_selector_gives_channels_with_its_commands(client, limited):
    client.call("ACL", "SETUSER", "ada", "(+publish &other)")
    assert limited.call("PUBLISH", "other", "x") == 0
    assert limited.call("SUBSCRIBE", "other") == NOPERM


def test_rights_are_asked_again_in_exec(client, limited):
    limited.pipeline([["MULTI"], ["PUBLISH", "chan:1", "x"]])
    client.call("ACL", "SETUSER", "ada", "resetchannels")
    assert limited.call("EXEC")[0].startswith("NOPERM ")


@pytest.mark.parametrize("request_of", [["SUBSCRIBE", "chan:1"], ["PSUBSCRIBE", "chan:*"], ["SSUBSCRIBE", "chan:1"]], ids=lambda one: one[0])
def test_a_subscriber_whose_channels_are_taken_away_is_closed(client, limited, request_of):
    subscribed(limited, *request_of)
    client.call("ACL", "SETUSER", "ada", "&more")
    assert limited.call("PING") == [b"pong", b""]
    client.call("ACL", "SETUSER", "ada", "resetchannels", "&more")
    client.call("PUBLISH", "chan:1", "secret")
    client.call("SPUBLISH", "chan:1", "secret")
    assert b"secret" not in limited.read_until_closed()


def test_one_that_keeps_its_channels_stays(client, limited):
    subscribed(limited, "SUBSCRIBE", "chan:1")
    subscribed(limited, "PSUBSCRIBE", "lit")
    client.call("ACL", "SETUSER", "ada", "resetchannels", "&chan:1", "&lit")
    assert client.call("PUBLISH", "chan:1", "x") == 1 and limited.read() == [b"message", b"chan:1", b"x"]


def test_a_subscriber_whose_user_is_removed_is_closed(client, limited):
    subscribed(limited, "SUBSCRIBE", "chan:1")
    client.call("ACL", "DELUSER", "ada")
    client.call("PUBLISH", "chan:1", "secret")
    assert b"secret" not in limited.read_until_closed()


def test_a_pattern_that_cannot_be_matched_quickly_is_refused(connect):
    connection = connect()
    if servers.is_redis():
        pytest.skip("Redis takes any pattern")
    assert connection.call("PSUBSCRIBE", "*" + "?a" * 2000 + "*").startswith("ERR the pattern has more than 1024")
    with pytest.raises((Closed, TimeoutError)):
        connection.socket.settimeout(0.2)
        connection.read()
