"""CLIENT: names, lists, kills, pauses and silenced replies."""

import contextlib
import socket
import threading

import pytest

from tests.support import resp
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

from .conftest import info


def client_line(connection, identity):
    for line in connection.call("CLIENT", "LIST").decode().splitlines():
        fields = dict(field.split("=", 1) for field in line.split(" ") if "=" in field)
        if int(fields["id"]) == identity:
            return fields
    return None


def test_ids_grow_and_are_never_used_twice(connect):
    ids = [connect().call("CLIENT", "ID") for _ in range(20)]
    assert ids == sorted(set(ids))


def test_a_name_is_kept_and_shown(client):
    assert client.call("CLIENT", "GETNAME") is None
    assert client.call("CLIENT", "SETNAME", "worker:7") == "OK"
    assert client.call("CLIENT", "GETNAME") == b"worker:7"
    assert client_line(client, client.call("CLIENT", "ID"))["name"] == "worker:7"
    assert client.call("CLIENT", "SETNAME", "") == "OK"
    assert client.call("CLIENT", "GETNAME") is None


@pytest.mark.parametrize("name", ["a b", "a\n", "\x00", "tab\there", "\x7f", "ü"])
def test_a_name_with_spaces_or_control_characters_is_refused(client, name):
    assert client.call("CLIENT", "SETNAME", name) == "ERR Client names cannot contain spaces, newlines or special characters."
    assert client.call("CLIENT", "GETNAME") is None


def test_the_library_can_say_its_name_and_version(client):
    if is_redis():
        pytest.skip("Redis 7.2")
    assert client.call("CLIENT", "SETINFO", "LIB-NAME", "redis-py") == "OK"
    assert client.call("CLIENT", "SETINFO", "lib-ver", "5.0") == "OK"
    fields = client_line(client, client.call("CLIENT", "ID"))
    assert fields["lib-name"] == "redis-py" and fields["lib-ver"] == "5.0"
    assert client.call("CLIENT", "SETINFO", "BOGUS", "x") == "ERR Unrecognized option 'BOGUS'"
    assert client.call("CLIENT", "SETINFO", "Lib-Name", "a b") == "ERR Lib-Name cannot contain spaces, newlines or special characters."
    assert client.call("CLIENT", "SETINFO", "LIB-NAME") == "ERR wrong number of arguments for 'client|setinfo' command"


def test_list_describes_each_connection(client, connect):
    other = connect()
    other.call("SELECT", 3)
    other.call("MULTI")
    other.call("GET", "k")
    fields = client_line(client, client_id := client.call("CLIENT", "ID"))
    assert fields["id"] == str(client_id) and fields["cmd"] == "client|list" and fields["db"] == "0" and fields["multi"] == "-1"
    assert fields["addr"].startswith("127.0.0.1:") and fields["laddr"].endswith(f":{client.socket.getpeername()[1]}")
    assert {"fd", "name", "age", "idle", "flags", "sub", "psub", "qbuf", "qbuf-free", "argv-mem", "obl", "oll", "omem", "tot-mem", "events", "user", "resp"} <= set(fields)
    lines = [line for line in client.call("CLIENT", "LIST").decode().splitlines() if " db=3 " in line]
    assert len(lines) == 1 and " multi=1 " in lines[0] and " cmd=get " in lines[0] and " flags=x " in lines[0]


def test_list_filters(client, connect):
    other = connect()
    other_id = other.call("CLIENT", "ID")
    lines = client.call("CLIENT", "LIST", "ID", other_id, "999999999").decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"id={other_id} ")
    assert len(client.call("CLIENT", "LIST", "TYPE", "normal").splitlines()) >= 2
    assert client.call("CLIENT", "LIST", "TYPE", "pubsub") == b""
    assert client.call("CLIENT", "LIST", "TYPE", "bogus") == "ERR Unknown client type 'bogus'"
    assert client.call("CLIENT", "LIST", "ID", "x") == "ERR Invalid client ID"
    assert client.call("CLIENT", "LIST", "BOGUS") == "ERR syntax error"
    assert len(client.call("CLIENT", "LIST", "ID", other_id, other_id).splitlines()) == 2


def test_a_long_list_comes_in_pieces_and_what_was_sent_behind_it_after_it(start):
    """Some fifteen hundred lines with long names: several pieces, for a reader that waits."""
    count = 1500
    server = start("--threads", "1")
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(server.connect()) for _ in range(count)]
        for other in others:
            other.send_command("CLIENT", "SETNAME", "n" * 500)
        for other in others:
            assert other.read() == "OK"
        for protocol in (2, 3):
            with server.connect() as asker, server.connect() as neighbour:
                asker.call("HELLO", protocol)
                asker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                asker.send(resp.encode(["CLIENT", "LIST"]) * 3 + resp.encode(["ECHO", "behind"]))
                assert neighbour.call("PING") == "PONG"
                for _ in range(3):
                    lines = asker.read().splitlines()
                    assert sum(b" name=" + b"n" * 500 + b" " in line for line in lines) == count
                assert asker.read() == b"behind"


def test_info_is_the_line_of_the_connection_itself(client):
    line = client.call("CLIENT", "INFO").decode()
    assert line.startswith(f"id={client.call('CLIENT', 'ID')} ") and "cmd=client|info" in line


def closed(connection):
    try:
        connection.read_raw()
    except (Closed, ConnectionError):
        return True
    return False


def test_kill_by_id(client, connect):
    victim = connect()
    assert client.call("CLIENT", "KILL", "ID", victim.call("CLIENT", "ID")) == 1
    assert closed(victim)
    assert client.call("CLIENT", "KILL", "ID", "999999999") == 0


def test_kill_by_address(client, connect):
    victim = connect()
    victim.raw("PING")
    host, port = victim.socket.getsockname()
    assert client.call("CLIENT", "KILL", f"{host}:{port}") == "OK"
    assert closed(victim)
    assert client.call("CLIENT", "KILL", f"{host}:{port}") == "ERR No such client"
    victim = connect()
    victim.raw("PING")
    host, port = victim.socket.getsockname()
    assert client.call("CLIENT", "KILL", "ADDR", f"{host}:{port}") == 1
    assert closed(victim)


def test_kill_by_local_address_spares_the_caller_unless_told(client, connect, server):
    victims = [connect() for _ in range(5)]
    for victim in victims:
        victim.raw("PING")
    assert client.call("CLIENT", "KILL", "LADDR", f"127.0.0.1:{server.port}") == 5
    assert all(closed(victim) for victim in victims)
    assert client.call("PING") == "PONG"
    assert client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") == 0
    assert client.call("CLIENT", "KILL", "USER", "default", "SKIPME", "yes") == 0
    assert client.call("CLIENT", "KILL", "USER", "nobody").startswith("ERR No such user")


@pytest.mark.parametrize(
    "args, error",
    [
        (["ID", "abc"], "ERR client-id should be greater than 0"),
        (["ID", "0"], "ERR client-id should be greater than 0"),
        (["ID", "-5"], "ERR client-id should be greater than 0"),
        (["TYPE", "bogus"], "ERR Unknown client type 'bogus'"),
        (["SKIPME", "maybe"], "ERR syntax error"),
        (["BOGUS", "1"], "ERR syntax error"),
        (["ID", "1", "ADDR"], "ERR syntax error"),
        (["1.2.3.4:5"], "ERR No such client"),
    ],
)
def test_kill_errors(client, args, error):
    assert client.call("CLIENT", "KILL", *args) == error


def test_a_client_that_kills_itself_gets_its_reply_and_nothing_after(client, connect):
    suicidal = connect()
    identity = suicidal.call("CLIENT", "ID")
    suicidal.send(
        resp.encode(["SET", "a", "1"]) + resp.encode(["CLIENT", "KILL", "ID", identity, "SKIPME", "no"]) + resp.encode(["SET", "a", "2"])
    )
    assert suicidal.read_until_closed() == b"+OK\r\n:1\r\n"
    assert client.call("GET", "a") == b"1"


def test_clients_killed_in_the_middle_of_their_pipelines_do_no_harm(client, server):
    """Kills race the victims' reads and writes; the sanitizers watch."""
    stop = threading.Event()

    def victim():
        while not stop.is_set():
            try:
                with server.connect(timeout=5) as connection:
                    for _ in range(50):
                        connection.pipeline([("SET", "v", "x" * 1000), ("GET", "v"), ("MULTI",), ("GET", "v"), ("EXEC",)] * 20)
            except (Closed, OSError, resp.ProtocolError):
                pass

    threads = [threading.Thread(target=victim) for _ in range(4)]
    for thread in threads:
        thread.start()
    killed = 0
    try:
        for _ in range(2000):
            reply = client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            killed += reply
            if killed >= 100:
                break
        assert killed > 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert client.call("PING") == "PONG"


def test_pause_write_holds_writes_and_lets_reads_pass(client, connect):
    reader, writer = connect(), connect()
    client.call("SET", "p", "old")
    assert client.call("CLIENT", "PAUSE", "60000", "WRITE") == "OK"
    writer.send_command("SET", "p", "new")
    for _ in range(20):
        assert reader.call("GET", "p") == b"old"
    assert client.call("CLIENT", "UNPAUSE") == "OK"
    assert writer.read() == "OK"
    assert reader.call("GET", "p") == b"new"


def test_pause_all_holds_reads_too_until_it_runs_out(client, connect):
    reader = connect()
    client.call("SET", "p", "v")
    assert client.call("CLIENT", "PAUSE", "100") == "OK"
    assert reader.call("GET", "p") == b"v"


@pytest.mark.parametrize("args, error", [(["-1"], "ERR timeout is negative"), (["x"], "ERR timeout is not an integer or out of range"), (["1", "BOGUS"], "ERR CLIENT PAUSE mode must be WRITE or ALL")])
def test_pause_errors(client, args, error):
    assert client.call("CLIENT", "PAUSE", *args) == error


def test_replies_can_be_skipped_and_switched_off(client):
    client.send(b"".join(map(resp.encode, [["CLIENT", "REPLY", "SKIP"], ["SET", "a", "1"], ["ECHO", "one"]])))
    assert client.read() == b"one"
    client.send(b"".join(map(resp.encode, [["CLIENT", "REPLY", "OFF"], ["SET", "a", "2"], ["nosuch"], ["GET", "a"], ["CLIENT", "REPLY", "ON"], ["GET", "a"]])))
    assert client.read() == "OK"
    assert client.read() == b"2"
    assert client.call("CLIENT", "REPLY", "BOGUS") == "ERR syntax error"


def test_no_evict_and_no_touch_are_switches(client):
    assert client.call("CLIENT", "NO-EVICT", "on") == "OK"
    assert "e" in client_line(client, client.call("CLIENT", "ID"))["flags"]
    assert client.call("CLIENT", "NO-EVICT", "off") == "OK"
    assert client.call("CLIENT", "NO-EVICT", "maybe") == "ERR syntax error"
    if not is_redis():
        assert client.call("CLIENT", "NO-TOUCH", "on") == "OK"
        assert "T" in client_line(client, client.call("CLIENT", "ID"))["flags"]
        assert client.call("CLIENT", "NO-TOUCH", "off") == "OK"
        assert client.call("CLIENT", "NO-TOUCH", "maybe") == "ERR syntax error"


def test_getredir_says_that_nothing_is_tracked(client):
    assert client.call("CLIENT", "GETREDIR") == -1


def test_help_and_unknown_subcommands(client):
    text = client.call("CLIENT", "HELP")
    assert text[0].startswith("CLIENT <subcommand> [<arg> [value] [opt] ...]") and any(line.startswith("KILL") for line in text)
    assert client.call("CLIENT", "BOGUS") == "ERR unknown subcommand 'BOGUS'. Try CLIENT HELP."
    assert client.call("CLIENT") == "ERR wrong number of arguments for 'client' command"


def test_closed_connections_leave_the_list(client, server):
    for _ in range(20):
        with server.connect() as passing:
            passing.raw("PING")
    eventually(lambda: len(client.call("CLIENT", "LIST").splitlines()) == 1)


def test_requests_that_are_rejected_anyway_are_answered_during_a_pause(client, connect):
    other = connect()
    mode = "WRITE" if is_redis() else "ALL"  # which in Redis blocks UNPAUSE too
    assert client.call("CLIENT", "PAUSE", "60000", mode) == "OK"
    try:
        assert other.call("SET", "p") == "ERR wrong number of arguments for 'set' command"
        assert other.call("CLIENT", "NOSUCH").startswith("ERR unknown subcommand 'NOSUCH'")
        assert other.call("NOSUCH").startswith("ERR unknown command 'NOSUCH'")
    finally:
        assert client.call("CLIENT", "UNPAUSE") == "OK"


def test_clients_that_a_pause_holds_up_count_as_blocked(client, connect):
    blocked, other = connect(), connect()
    identity = blocked.call("CLIENT", "ID")
    assert client.call("CLIENT", "PAUSE", "60000", "WRITE") == "OK"
    try:
        blocked.send_command("SET", "p", "v")
        other.send_command("SET", "p", "w")
        eventually(lambda: client_line(client, identity)["flags"] == "b")
        eventually(lambda: info(client, "clients")["blocked_clients"] == "2")
        assert client.call("CLIENT", "UNBLOCK", identity) == 0
    finally:
        assert client.call("CLIENT", "UNPAUSE") == "OK"
    assert blocked.read() == "OK"
    assert client_line(client, identity)["flags"] == "N"
    assert info(client, "clients")["blocked_clients"] == "0"


def test_nothing_is_removed_for_its_age_during_a_pause(client):
    client.call("SET", "kept", "v")
    client.call("MSET", "a", "1", "b", "2")
    expired = info(client, "stats")["expired_keys"]
    client.call("PEXPIRE", "a", 1000)
    client.call("PEXPIRE", "b", 1000)
    assert client.call("CLIENT", "PAUSE", "60000", "WRITE") == "OK"
    try:
        eventually(lambda: client.call("EXISTS", "a", "b") == 0)
        assert client.call("GET", "a") is None
        assert client.call("DBSIZE") == 3
        assert info(client, "stats")["expired_keys"] == expired
    finally:
        assert client.call("CLIENT", "UNPAUSE") == "OK"
    eventually(lambda: client.call("DBSIZE") == 1)
    assert int(info(client, "stats")["expired_keys"]) == int(expired) + 2
