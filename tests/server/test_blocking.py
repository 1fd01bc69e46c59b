"""Commands of lists that wait for an element: who gets it, in which order, what wakes a client, and what ends its wait."""

import select
import socket
import time

import pytest

from tests.support.servers import eventually

from .conftest import info, only_pinfold


class Waiting:
    """A connection with a command that waits. Made one after the other, they wait in that order."""

    def __init__(self, connection, observer, *command):
        self.connection = connection
        self.id = connection.call("CLIENT", "ID")
        connection.send_command(*command)
        eventually(lambda: b" flags=b " in observer.call("CLIENT", "LIST", "ID", self.id))

    def answer(self):
        return self.connection.read()

    def has_answer(self):
        return bool(self.connection.buffer) or bool(select.select([self.connection.socket], [], [], 0)[0])


@pytest.fixture
def wait(connect, client):
    """wait(command ...) is one more client that waits with this command."""
    return lambda *command, **how: Waiting(connect(**how), client, *command)


def blocked(client):
    return int(info(client, "clients")["blocked_clients"])


# --- taking at once ---


@pytest.mark.parametrize("protocol", [2, 3])
def test_an_element_that_is_there_is_taken_at_once(connect, client, protocol):
    other = connect(protocol)
    client.call("RPUSH", "k", "a", "b", "c", "d", "e")
    assert other.call("BLPOP", "none", "k", "0") == [b"k", b"a"]
    assert other.call("BRPOP", "k", "0") == [b"k", b"e"]
    assert other.call("BLMPOP", "0", "2", "none", "k", "RIGHT", "COUNT", "2") == [b"k", [b"d", b"c"]]
    assert other.call("BLMOVE", "k", "to", "LEFT", "RIGHT", "0") == b"b"
    assert other.call("BRPOPLPUSH", "to", "k", "0") == b"b"
    assert client.call("EXISTS", "to") == 0 and client.call("LRANGE", "k", "0", "-1") == [b"b"]


def test_the_first_key_with_an_element_is_taken_from(client):
    client.call("RPUSH", "b", "1")
    client.call("RPUSH", "a", "2")
    assert client.call("BLPOP", "none", "a", "b", "0") == [b"a", b"2"]
    assert client.call("BLPOP", "none", "a", "b", "0") == [b"b", b"1"]


@pytest.mark.parametrize(
    "command",
    [("BLPOP", "k", "0.05"), ("BRPOP", "k", "0.05"), ("BLMPOP", "0.05", "1", "k", "LEFT"), ("BLMOVE", "k", "to", "LEFT", "LEFT", "0.05"), ("BRPOPLPUSH", "k", "to", "0.05")],
)
def test_when_the_time_is_up_the_reply_is_null(client, connect, command):
    began = time.monotonic()
    assert client.raw(*command) == b"*-1\r\n"
    assert time.monotonic() - began >= 0.05
    assert connect(3).raw(*command) == b"_\r\n"
    assert blocked(client) == 0


def test_timeouts_are_checked(client):
    for text, error in (("x", "timeout is not a float or out of range"), ("", "timeout is not a float or out of range"), ("-1", "timeout is negative")):
        for command in (("BLPOP", "k"), ("BRPOP", "k"), ("BLMOVE", "k", "to", "LEFT", "LEFT"), ("BRPOPLPUSH", "k", "to")):
            assert str(client.call(*command, text)) == f"ERR {error}"
        assert str(client.call("BLMPOP", text, "1", "k", "LEFT")) == f"ERR {error}"


def test_a_value_of_another_type_is_an_error(client):
    client.call("SET", "s", "x")
    for command in (("BLPOP", "none", "s", "0"), ("BLMPOP", "0", "1", "s", "LEFT"), ("BLMOVE", "s", "to", "LEFT", "LEFT", "0")):
        assert str(client.call(*command)).startswith("WRONGTYPE")
    client.call("RPUSH", "k", "a")
    assert str(client.call("BLMOVE", "k", "s", "LEFT", "LEFT", "0")).startswith("WRONGTYPE")
    assert client.call("LLEN", "k") == 1


# --- waking ---


def test_a_push_serves_the_client_that_waits(client, wait):
    waiting = wait("BLPOP", "k", "0")
    assert blocked(client) == 1 and info(client, "clients")["total_blocking_keys"] == "1"
    assert client.call("RPUSH", "k", "a") == 1
    assert waiting.answer() == [b"k", b"a"]
    eventually(lambda: blocked(client) == 0)
    assert client.call("EXISTS", "k") == 0 and info(client, "clients")["total_blocking_keys"] == "0"


@pytest.mark.parametrize("command,reply", [(("BRPOP", "k", "0"), [b"k", b"c"]), (("BLMPOP", "0", "1", "k", "LEFT", "COUNT", "2"), [b"k", [b"a", b"b"]])])
def test_the_command_is_executed_as_it_was_sent(client, wait, command, reply):
    waiting = wait(*command)
    client.call("RPUSH", "k", "a", "b", "c")
    assert waiting.answer() == reply


def test_first_come_first_served(client, wait):
    waiting = [wait("BLPOP", "k", "0") for _ in range(4)]
    client.call("RPUSH", "k", "a", "b", "c")
    assert [each.answer() for each in waiting[:3]] == [[b"k", text] for text in (b"a", b"b", b"c")]
    assert not waiting[3].has_answer()
    client.call("RPUSH", "k", "d")
    assert waiting[3].answer() == [b"k", b"d"]


def test_a_client_that_waits_for_several_keys_is_served_by_the_first_that_is_pushed_to(client, wait):
    waiting = wait("BLPOP", "a", "b", "c", "0")
    client.call("RPUSH", "b", "1")
    assert waiting.answer() == [b"b", b"1"]
    client.call("RPUSH", "a", "2")
    client.call("RPUSH", "c", "3")
    assert [client.call("LLEN", key) for key in ("a", "b", "c")] == [1, 0, 1]


def test_a_transaction_is_seen_when_all_of_it_is_done(client, wait):
    waiting = wait("BLPOP", "b", "a", "0")
    client.call("MULTI")
    client.call("RPUSH", "a", "1")
    client.call("RPUSH", "b", "2")
    client.call("EXEC")
    assert waiting.answer() == [b"b", b"2"]
    other = wait("BLPOP", "k", "0")
    client.call("MULTI")
    client.call("RPUSH", "k", "1")
    client.call("DEL", "k")
    client.call("EXEC")
    assert not other.has_answer()
    client.call("RPUSH", "k", "3")
    assert other.answer() == [b"k", b"3"]


def test_inside_a_transaction_nothing_waits(client):
    client.call("MULTI")
    for command in (("BLPOP", "k", "0"), ("BLMPOP", "0", "1", "k", "LEFT"), ("BLMOVE", "k", "to", "LEFT", "LEFT", "0"), ("BRPOPLPUSH", "k", "to", "0")):
        client.call(*command)
    client.call("RPUSH", "k", "a")
    client.call("BLPOP", "k", "0")
    assert client.raw("EXEC") == b"*6\r\n*-1\r\n*-1\r\n$-1\r\n$-1\r\n:1\r\n*2\r\n$1\r\nk\r\n$1\r\na\r\n"


@pytest.mark.parametrize("how", ["rename", "copy", "move", "swapdb", "script", "sort"])
def test_whatever_writes_the_key_wakes(client, connect, wait, how):
    waiting = wait("BLPOP", "k", "0")
    other = connect()
    if how in ("move", "swapdb"):
        other.call("SELECT", "9")
        other.call("FLUSHDB")
        other.call("RPUSH", "k", "1")
        assert other.call("MOVE", "k", "0") == 1 if how == "move" else other.call("SWAPDB", "0", "9") == "OK"
    elif how == "script":
        other.call("EVAL", "redis.call('RPUSH', KEYS[1], '1')", "1", "k")
    else:
        other.call("RPUSH", "source", "1")
        assert other.call(*{"rename": ("RENAME", "source", "k"), "copy": ("COPY", "source", "k"), "sort": ("SORT", "source", "STORE", "k")}[how])
    assert waiting.answer() == [b"k", b"1"]
    client.call("FLUSHALL")


def test_an_exchange_of_databases_wakes_many(client, connect, many_files):
    """More than one hold of a lock looks at: the rest look by themselves."""
    clients = [connect() for _ in range(300)]
    for n, each in enumerate(clients):
        each.send_command("BLPOP", f"k{n}", "0")
    eventually(lambda: blocked(client) == len(clients))
    other = connect()
    other.call("SELECT", "9")
    other.pipeline([("RPUSH", f"k{n}", n) for n in range(len(clients))])
    other.call("SWAPDB", "0", "9")
    for n, each in enumerate(clients):
        assert each.read() == [b"k%d" % n, b"%d" % n]
    client.call("FLUSHALL")


def test_a_value_of_another_type_wakes_nobody(client, wait):
    waiting = wait("BLPOP", "k", "0")
    client.call("SET", "k", "x")
    assert not waiting.has_answer()
    client.call("DEL", "k")
    client.call("RPUSH", "k", "a")
    assert waiting.answer() == [b"k", b"a"]


# --- moves ---


def test_a_move_wakes_the_next_client(client, wait):
    first, second, third = wait("BLMOVE", "a", "b", "LEFT", "RIGHT", "0"), wait("BRPOPLPUSH", "b", "c", "0"), wait("BLPOP", "c", "0")
    client.call("RPUSH", "a", "x")
    assert first.answer() == b"x" and second.answer() == b"x" and third.answer() == [b"c", b"x"]
    assert client.call("DBSIZE") == 0


def test_a_list_is_rotated(client, wait):
    waiting = wait("BRPOPLPUSH", "k", "k", "0")
    client.call("RPUSH", "k", "a", "b")
    assert waiting.answer() == b"b"
    assert client.call("LRANGE", "k", "0", "-1") == [b"b", b"a"]


def test_a_destination_of_another_type_ends_the_wait_with_an_error(client, wait):
    waiting, behind = wait("BLMOVE", "k", "s", "LEFT", "LEFT", "0"), wait("BLPOP", "k", "0")
    client.call("SET", "s", "x")
    client.call("RPUSH", "k", "a")
    assert str(waiting.answer()).startswith("WRONGTYPE")
    assert behind.answer() == [b"k", b"a"]


# --- the end of a wait ---


def test_client_unblock(client, wait):
    waiting, other = wait("BLPOP", "k", "0"), wait("BLMOVE", "k", "to", "LEFT", "LEFT", "0")
    assert client.call("CLIENT", "UNBLOCK", waiting.id) == 1
    assert waiting.answer() is None
    assert client.call("CLIENT", "UNBLOCK", other.id, "ERROR") == 1
    assert str(other.answer()) == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
    assert client.call("CLIENT", "UNBLOCK", other.id) == 0
    assert blocked(client) == 0


@pytest.mark.parametrize("end", ["close", "kill", "half"])
def test_a_client_that_is_gone_gets_nothing(client, wait, end):
    gone, behind = wait("BLPOP", "k", "0"), wait("BLPOP", "k", "0")
    if end == "close":
        gone.connection.close()
    elif end == "kill":
        client.call("CLIENT", "KILL", "ID", gone.id)
    else:
        gone.connection.socket.shutdown(socket.SHUT_WR)
    eventually(lambda: blocked(client) == 1)
    client.call("RPUSH", "k", "a")
    assert behind.answer() == [b"k", b"a"]
    assert client.call("EXISTS", "k") == 0


def test_what_is_sent_behind_is_executed_afterwards(client, wait):
    waiting = wait("BLPOP", "k", "0")
    waiting.connection.send_command("PING")
    waiting.connection.send_command("BLPOP", "k", "0")
    waiting.connection.send_command("ECHO", "x")
    client.call("RPUSH", "k", "a", "b")
    assert [waiting.answer() for _ in range(4)] == [[b"k", b"a"], "PONG", [b"k", b"b"], b"x"]


def test_a_pause_holds_clients_that_are_woken(client, connect, wait):
    waiting = wait("BLPOP", "k", "0")
    client.call("CLIENT", "PAUSE", "300", "WRITE")
    pusher = connect()
    pusher.send_command("RPUSH", "k", "a")
    time.sleep(0.1)
    assert not waiting.has_answer()
    assert waiting.answer() == [b"k", b"a"] and pusher.read() == 1


@only_pinfold
def test_rights_are_checked_when_the_command_is_executed(client, connect, wait):
    assert client.call("ACL", "SETUSER", "worker", "on", "nopass", "~*", "+@all") == "OK"
    connection = connect()
    connection.call("AUTH", "worker", "x")
    waiting, behind = Waiting(connection, client, "BLPOP", "k", "0"), wait("BLPOP", "k", "0")
    client.call("ACL", "SETUSER", "worker", "resetkeys", "~other")
    client.call("RPUSH", "k", "a")
    assert str(waiting.answer()).startswith("NOPERM")
    assert behind.answer() == [b"k", b"a"]
    client.call("ACL", "DELUSER", "worker")


@only_pinfold
def test_waiting_takes_memory_of_clients(start):
    with start("--maxmemory", "64mb", "--maxmemory-clients", "4mb").connect() as connection:
        keys = [f"{n:01000}" for n in range(3000)]
        assert str(connection.call("BLPOP", *keys, "0")).startswith("ERR the command would take more memory than clients may have")
        assert connection.call("BLPOP", "k", "0.01") is None
        assert info(connection, "clients")["total_blocking_keys"] == "0"


def test_events(client, connect, wait):
    client.call("CONFIG", "SET", "notify-keyspace-events", "KA")
    listener = connect()
    listener.call("PSUBSCRIBE", "__keyspace@0__:*")
    waiting = wait("BLMOVE", "a", "b", "LEFT", "RIGHT", "0")
    client.call("RPUSH", "a", "x")
    waiting.answer()
    heard = [listener.read()[2:] for _ in range(4)]
    client.call("CONFIG", "SET", "notify-keyspace-events", "")
    assert heard == [[b"__keyspace@0__:a", b"rpush"], [b"__keyspace@0__:b", b"rpush"], [b"__keyspace@0__:a", b"lpop"], [b"__keyspace@0__:a", b"del"]]


def test_many_clients_and_many_keys(client, connect, many_files):
    clients = [connect() for _ in range(50)]
    for each in clients:
        each.send_command("BLPOP", *(f"k{n}" for n in range(20)), "0")
    eventually(lambda: blocked(client) == len(clients))
    client.pipeline([("RPUSH", f"k{n % 20}", n) for n in range(len(clients))])
    taken = sorted(int(each.read()[1]) for each in clients)
    assert taken == list(range(len(clients)))
    assert client.call("DBSIZE") == 0
    assert info(client, "clients")["total_blocking_keys"] == "0"


@only_pinfold
@pytest.mark.parametrize("command", [("BLMPOP", "LEFT"), ("BZMPOP", "MIN")], ids=["list", "sorted_set"])
def test_long_replies_of_clients_that_are_woken_together_are_not_mixed(start, command):
    name, end = command
    server = start("--threads", "2", "--maxmemory-clients", "64mb")
    names = [f"m{n:060}" for n in range(30_000)]
    push = ("RPUSH", "k", *names) if name == "BLMPOP" else ("ZADD", "k", *(word for n in names for word in ("1", n)))
    pushers = [server.connect() for _ in range(3)]  # some on the thread of those who wait
    for pusher in pushers:
        waiting = [server.connect() for _ in range(5)]
        for each in waiting:
            each.send_command(name, "0", "1", "k", end, "COUNT", "6000")
        eventually(lambda waiting=waiting, pusher=pusher: blocked(pusher) == len(waiting))
        pusher.call(*push)
        replies = [each.read() for each in waiting]
        assert [reply[0] for reply in replies] == [b"k"] * len(waiting)
        taken = [element if name == "BLMPOP" else element[0] for reply in replies for element in reply[1]]
        assert sorted(taken) == [n.encode() for n in names]
        for each in waiting:
            each.close()
    for pusher in pushers:
        pusher.close()


# --- switches ---


@only_pinfold
@pytest.mark.parametrize("by_policy", [False, True], ids=["setting", "policy"])
def test_the_end_of_a_bypass_shows_those_who_wait_what_was_hidden(client, wait, by_policy):
    client.call("RPUSH", "p:l", "a", "b", "c")
    client.call("ZADD", "p:z", "1", "m")
    client.call(*(("CACHE.POLICY", "SET", "p", "match", "p:*", "bypass", "yes") if by_policy else ("CONFIG", "SET", "bypass", "yes")))
    commands = {
        ("BLPOP", "none", "p:l", "0"): [b"p:l", b"a"], ("BLMOVE", "p:l", "to", "LEFT", "RIGHT", "0"): b"b",
        ("BLMPOP", "0", "1", "p:l", "LEFT"): [b"p:l", [b"c"]], ("BZPOPMIN", "p:z", "0"): [b"p:z", b"m", b"1"],
    }  # fmt: skip
    waiting = [wait(*command) for command in commands]
    time.sleep(1.2)
    assert not any(waiter.has_answer() for waiter in waiting)
    client.call(*(("CACHE.POLICY", "DEL", "p") if by_policy else ("CONFIG", "SET", "bypass", "no")))
    assert [waiter.answer() for waiter in waiting] == list(commands.values())
