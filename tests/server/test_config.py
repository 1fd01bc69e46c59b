"""CONFIG: patterns, errors, all-or-nothing changes, RESETSTAT, and REWRITE."""

import contextlib
import os
import re
import select

import pytest

from tests.support import resp, servers

from .conftest import info, only_pinfold


def settings(connection, *patterns):
    reply = connection.call("CONFIG", "GET", *patterns)
    return dict(zip(reply[::2], reply[1::2]))


def test_get_takes_patterns_and_any_case(client):
    assert settings(client, "maxmemory").keys() == {b"maxmemory"}
    assert {b"maxmemory", b"maxmemory-policy"} <= settings(client, "maxmem*").keys()
    assert {name.lower() for name in settings(client, "TIMEOUT")} == {b"timeout"}
    assert settings(client, "t[ia]meout", "port").keys() == {b"timeout", b"port"}
    assert settings(client, "nosuch") == {}
    everything = settings(client, "*")
    assert {b"port", b"bind", b"maxclients", b"timeout", b"maxmemory", b"maxmemory-policy", b"tcp-keepalive", b"databases"} <= everything.keys()


def test_a_setting_named_by_two_patterns_comes_once(client):
    assert client.call("CONFIG", "GET", "timeout", "time*") == [b"timeout", b"0"]


@pytest.mark.parametrize(
    "text, value",
    [("100mb", 104857600), ("100 mb", 104857600), ("100MB", 104857600), ("1gb", 1 << 30), ("100m", 100_000_000), ("50000k", 50_000_000), ("65536kb", 64 << 20), ("200000000", 200_000_000), ("200000000b", 200_000_000)],
)
def test_memory_takes_units(client, text, value):
    before = settings(client, "maxmemory")[b"maxmemory"]
    assert client.call("CONFIG", "SET", "maxmemory", text) == "OK"
    assert settings(client, "maxmemory") == {b"maxmemory": str(value).encode()}
    assert client.call("CONFIG", "SET", "maxmemory", before) == "OK"


@pytest.mark.parametrize(
    "args, error",
    [
        (["nosuch", "1"], "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        (["timeout"], "ERR wrong number of arguments for 'config|set' command"),
        (["timeout", "1", "nosuch"], "ERR syntax error"),
        (["timeout", "1", "nosuch", "1"], "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        (["timeout", "abc"], "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"),
        (["timeout", "-1"], "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and 2147483647 inclusive"),
        (["maxmemory", "x"], "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"),
        (["databases", "3"], "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config"),
        (["timeout", "1", "timeout", "2"], "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter"),
    ],
)
def test_a_wrong_set_is_explained(client, args, error):
    # Pinfold adds which units a value may have.
    assert client.call("CONFIG", "SET", *args).startswith(error)
    assert settings(client, "timeout") == {b"timeout": b"0"}


@pytest.mark.parametrize(
    "name, value, shown",
    [
        ("list-max-listpack-size", "-6", b"-6"), ("list-max-listpack-size", "-2147483648", b"-2147483648"), ("list-max-listpack-size", "2147483648", None),
        ("hash-max-listpack-entries", "9223372036854775807", b"9223372036854775807"), ("hash-max-listpack-entries", "-1", None), ("hash-max-listpack-entries", "1k", None),
        ("hash-max-listpack-value", "1k", b"1000"), ("hash-max-listpack-value", "2mb", b"2097152"), ("zset-max-listpack-value", "4gb", b"4294967296"),
        ("zset-max-listpack-entries", "4294967296", b"4294967296"), ("set-max-intset-entries", "4294967296", b"4294967296"), ("hll-sparse-max-bytes", "2kb", b"2048"),
    ],
)  # fmt: skip
def test_thresholds_of_encodings_take_what_they_take_in_redis(client, name, value, shown):
    [(_, before)] = settings(client, name).items()
    reply = client.call("CONFIG", "SET", name, value)
    assert reply == "OK" if shown else str(reply).startswith(f"ERR CONFIG SET failed (possibly related to argument '{name}')")
    assert settings(client, name) == {name.encode(): shown or before}
    client.call("RPUSH", "l", *range(300))
    client.call("HSET", "h", *range(300))
    assert client.call("CONFIG", "SET", name, before) == "OK"


@only_pinfold
@pytest.mark.parametrize("name", ["stream-node-max-bytes", "repl-backlog-size"])
def test_settings_of_what_there_is_not_are_unknown(client, name):
    """So that nobody believes to have set them; clients that set them get the error that Redis has for a name it does not know."""
    assert client.call("CONFIG", "SET", name, "no") == f"ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
    assert client.call("CONFIG", "GET", name) == []


def test_set_changes_all_or_nothing(client):
    assert client.call("CONFIG", "SET", "timeout", "100", "maxclients", "nonsense").startswith("ERR CONFIG SET failed")
    assert settings(client, "timeout") == {b"timeout": b"0"}
    assert client.call("CONFIG", "SET", "timeout", "100", "tcp-keepalive", "30") == "OK"
    assert settings(client, "timeout", "tcp-keepalive") == {b"timeout": b"100", b"tcp-keepalive": b"30"}
    assert client.call("CONFIG", "SET", "timeout", "0", "tcp-keepalive", "300") == "OK"


def test_a_policy_that_does_not_exist_is_refused_with_the_ones_that_do(client):
    reply = client.call("CONFIG", "SET", "maxmemory-policy", "bogus")
    assert reply.startswith("ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - argument(s) must be one of the following: ")
    assert "noeviction" in reply and "allkeys-lfu" in reply


def test_every_setting_can_be_set_to_what_it_is_or_says_why_not(client):
    for name, value in settings(client, "*").items():
        reply = client.call("CONFIG", "SET", name, value)
        assert reply == "OK" or reply.startswith("ERR CONFIG SET failed"), (name, value, reply)
    assert client.call("PING") == "PONG"


def test_odd_values_never_stop_the_server(connect, start):
    server = start()
    with server.connect() as connection:
        names = settings(connection, "*")
        for name, value in names.items():
            if name in (b"requirepass", b"maxclients", b"enable-debug-command", b"timeout", b"dir", b"masterauth", b"proto-max-bulk-len"):
                continue
            for odd in (b"", b"-1", b"abc", b"99999999999999999999", b"\x00", b"a\r\nb", b"x" * 5000):
                reply = connection.call("CONFIG", "SET", name, odd)
                assert isinstance(reply, str), (name, odd)
                if reply == "OK":
                    assert connection.call("CONFIG", "SET", name, value) == "OK", (name, odd, value)
        assert connection.call("PING") == "PONG"


def test_resetstat_zeroes_the_counters(client):
    client.call("SET", "k", "v")
    client.call("GET", "k")
    client.call("GET", "none")
    before = info(client, "stats")
    assert int(before["keyspace_hits"]) >= 1 and int(before["keyspace_misses"]) >= 1
    assert client.call("CONFIG", "RESETSTAT") == "OK"
    after = info(client, "stats")
    assert after["keyspace_hits"] == after["keyspace_misses"] == "0"
    assert int(after["total_commands_processed"]) <= 2


@only_pinfold
def test_rewrite_without_a_file_is_refused(client):
    assert client.call("CONFIG", "REWRITE") == "ERR The server is running without a config file"


@only_pinfold
def test_rewrite_keeps_a_change_over_a_restart(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text("# kept by hand\ntimeout: 10\nthreads: 2\n")
    with servers.pinfold(file=file) as server, server.connect() as connection:
        assert connection.call("CONFIG", "SET", "timeout", "77", "maxmemory", "123mb", "maxclients", "500") == "OK"
        assert connection.call("CONFIG", "REWRITE") == "OK"
    with servers.pinfold(file=file) as server, server.connect() as connection:
        assert settings(connection, "timeout", "maxmemory", "maxclients") == {b"timeout": b"77", b"maxmemory": str(123 << 20).encode(), b"maxclients": b"500"}


@contextlib.contextmanager
def slow_file(tmp_path):
    """A server of one thread whose file takes as long to read as the test likes, because somebody must write into it first."""
    file = tmp_path / "pinfold.yaml"
    file.write_text("timeout: 10\n")
    with servers.pinfold("--threads", "1", file=file) as server:
        file.unlink()
        os.mkfifo(file)
        yield server, file


@only_pinfold
def test_nobody_waits_for_the_disk_of_a_rewrite_but_who_asked(tmp_path):
    with slow_file(tmp_path) as (server, file), server.connect() as first, server.connect() as second, server.connect() as other:
        other.call("CONFIG", "SET", "maxclients", "500")
        first.send(resp.encode(["CONFIG", "REWRITE"]) + resp.encode(["PING"]))
        with open(file, "w") as disk:  # opens when the server does
            second.send_command("CONFIG", "REWRITE")
            for n in range(200):
                assert other.call("CONFIG", "SET", "hz", 10 + n % 3) == "OK"
            assert other.call("INCR", "n") == 1
            assert select.select([first.socket, second.socket], [], [], 0)[0] == []
            disk.write("timeout: 10\n")
        assert first.read() == "OK" and first.read() == "PONG"
        assert second.read() == "OK"
        assert {"timeout: 10", "maxclients: 500", "hz: 11"} <= set(file.read_text().splitlines())


@only_pinfold
def test_a_rewrite_is_logged_when_it_is_done(tmp_path):
    with slow_file(tmp_path) as (server, file), server.connect() as connection, server.connect() as other:
        assert other.call("PING") == "PONG"  # has been accepted: the main thread, which accepts, will wait for the file
        number = connection.call("CLIENT", "ID")
        connection.send_command("CONFIG", "REWRITE")
        with open(file, "w") as disk:
            assert other.call("CONFIG", "SET", "hz", "11") == "OK"
            servers.eventually(lambda: "CONFIG SET hz 11" in server.log())
            assert "CONFIG REWRITE" not in server.log()
            disk.write("timeout: 10\n")
        assert connection.read() == "OK"
        servers.eventually(lambda: re.search(rf"client {number} \(127.0.0.1:\d+\): CONFIG REWRITE\n", server.log()))


@only_pinfold
def test_a_rewrite_that_fails_late_says_so(tmp_path):
    with slow_file(tmp_path) as (server, file), server.connect() as connection:
        connection.send_command("CONFIG", "REWRITE")
        with open(file, "w") as disk:
            disk.write("timeout: [1, 2\n")
        assert connection.read().startswith("ERR Rewriting config file: ")
        assert connection.call("PING") == "PONG"
        servers.eventually(lambda: "CONFIG REWRITE" in server.log())
        (line,) = (line for line in server.log().splitlines() if "CONFIG REWRITE" in line)
        assert "warning" in line and ": CONFIG REWRITE failed: " in line


@only_pinfold
def test_a_client_that_goes_away_during_a_rewrite_takes_nothing_with_it(tmp_path):
    with slow_file(tmp_path) as (server, file), server.connect() as connection, server.connect() as other:
        assert other.call("PING") == "PONG"  # has been accepted: the main thread, which accepts, will wait for the file
        connection.send_command("CONFIG", "REWRITE")
        with open(file, "w") as disk:
            assert other.call("CLIENT", "KILL", "TYPE", "normal") == 1
            disk.write("timeout: 10 # kept\nport: 1\n")
        servers.eventually(lambda: file.is_file())
        assert file.read_text().startswith(f"timeout: 10 # kept\nport: {server.port}\n")
        servers.eventually(lambda: ": CONFIG REWRITE\n" in server.log())
        assert other.call("PING") == "PONG"


@only_pinfold
def test_rewrite_is_refused_inside_a_transaction(client):
    assert client.call("MULTI") == "OK"
    assert client.call("CONFIG", "REWRITE") == "ERR Command not allowed inside a transaction"
    assert client.call("EXEC").startswith("EXECABORT")


@only_pinfold
def test_no_setting_can_smuggle_a_line_into_the_file(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text("timeout: 10\n")
    with servers.pinfold(file=file) as server, server.connect() as connection:
        for name in settings(connection, "*"):
            connection.call("CONFIG", "SET", name, b"x\nmaxclients: 7\n")
        reply = connection.call("CONFIG", "REWRITE")
        assert reply == "OK" or isinstance(reply, resp.ErrorReply)
    assert "maxclients: 7" not in file.read_text().splitlines()


def test_the_password_is_not_shown_to_a_glob_reader_without_authentication(start):
    server = start("--requirepass", "pw")
    with server.connect() as connection:
        assert connection.call("CONFIG", "GET", "*") == "NOAUTH Authentication required."


@only_pinfold
def test_policies_come_from_the_file_in_its_order_and_outlast_a_rewrite(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text(
        'timeout: 5\npolicies:\n  - name: products\n    match: "product:*"\n    ttl: 5m\n    stale: 60s\n    jitter: 0%\n'
        '  - name: rest\n    match: "*"\n    max-leases: 7\n')
    with servers.pinfold(file=file) as server, server.connect() as connection:
        listed = [dict(zip(policy[::2], policy[1::2])) for policy in connection.call("CACHE.POLICY", "LIST")]
        assert [policy[b"name"] for policy in listed] == [b"products", b"rest"]
        assert (listed[0][b"match"], listed[0][b"ttl"], listed[1][b"max-leases"]) == (b"product:*", b"5m", b"7")
        connection.call("SET", "product:1", "v")
        assert 0 < connection.call("PTTL", "product:1") <= 300_000
        assert connection.call("CACHE.POLICY", "MATCH", "product:1") == b"products"
        assert connection.call("CACHE.POLICY", "MATCH", "other") == b"rest"
        connection.call("CONFIG", "SET", "timeout", "6")
        assert connection.call("CONFIG", "REWRITE") == "OK"
    assert "timeout: 6\n" in file.read_text() and "max-leases: 7\n" in file.read_text()
    with servers.pinfold(file=file) as server, server.connect() as connection:
        assert len(connection.call("CACHE.POLICY", "LIST")) == 2


@only_pinfold
def test_a_setting_of_more_than_4096_bytes_is_refused_and_nothing_is_changed(client):
    before = settings(client, "timeout", "save")
    reply = client.call("CONFIG", "SET", "timeout", "7", "save", "x" * 4097)
    assert reply == "ERR CONFIG SET failed (possibly related to argument 'save') - argument is longer than 4096 bytes"
    assert client.call("CONFIG", "SET", "timeout", "7" * 100_000).endswith("argument is longer than 4096 bytes")
    assert settings(client, "timeout", "save") == before


@only_pinfold
def test_a_long_password_is_taken_up_to_4096_bytes(start):
    with start().connect() as connection:
        assert connection.call("CONFIG", "SET", "requirepass", "p" * 4096) == "OK"
        assert connection.call("AUTH", "p" * 4096) == "OK"


@only_pinfold
@pytest.mark.parametrize("endless", ["/dev/zero", "pipe"])
def test_a_settings_file_without_end_is_refused(tmp_path, endless):
    file = endless
    if endless == "pipe":
        file = tmp_path / "pipe"
        os.mkfifo(file)
    with servers.Server(servers.pinfold_binary(), file=file, wait=False) as server:
        server.expected_exits = (1,)
        if endless == "pipe":
            with contextlib.suppress(BrokenPipeError), open(file, "wb") as writer:
                for _ in range(80):
                    writer.write(b"#" * (1 << 20))
        server.process.wait(60)
        assert "the file is larger than 67108864 bytes" in server.log()
