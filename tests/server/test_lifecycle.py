"""Start, wrong starts, signals and SHUTDOWN."""

import os
import pathlib
import signal
import subprocess

import pytest

from tests.support import servers
from tests.support.connection import Closed
from tests.support.servers import eventually, pinfold_binary

from .conftest import only_pinfold


def run(*args, env=None, cwd=None):
    return subprocess.run(
        [pinfold_binary(), *map(str, args)], capture_output=True, text=True, timeout=60, env=servers.environment(env), cwd=cwd
    )


def assert_one_line_and_exit_1(result, *words):
    assert result.returncode == 1, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], lines[0]


@only_pinfold
@pytest.mark.parametrize(
    "args, words",
    [
        (["--nosuch-setting", "1"], ["nosuch-setting"]),
        (["--port", "abc"], ["port", "abc"]),
        (["--port", "70000"], ["port", "70000"]),
        (["--port", "-1"], ["port", "-1"]),
        (["--port"], ["port"]),
        (["--maxmemory", "lots"], ["maxmemory", "lots"]),
        (["--maxmemory", "-1"], ["maxmemory"]),
        (["--maxmemory", "99999999999999999999gb"], ["maxmemory"]),
        (["--maxmemory-policy", "bogus"], ["maxmemory-policy", "bogus"]),
        (["--threads", "0"], ["threads", "0"]),
        (["--threads", "1000000"], ["threads"]),
        (["--bind", "not-an-address"], ["not-an-address"]),
        (["--timeout", "1e3"], ["timeout", "1e3"]),
        (["--enable-debug-command", "perhaps"], ["enable-debug-command", "perhaps"]),
        (["/nonexistent/file.yaml"], ["/nonexistent/file.yaml"]),
        (["-x"], ["-x"]),
        (["--unixsocket", "/nonexistent/dir/socket"], ["/nonexistent/dir/socket"]),
        (["--logfile", "two\nlines"], ["logfile"]),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_exit_1(args, words):
    port = [] if "--port" in args else ["--port", servers.free_port()]
    assert_one_line_and_exit_1(run(*args, *port), *words)


@only_pinfold
@pytest.mark.parametrize(
    "yaml, words",
    [
        ("port: abc\n", ["port", "abc"]),
        ("nosuch-setting: 1\n", ["nosuch-setting"]),
        ("port: [1, 2]\n", ["port"]),
        ("port: {a: 1}\n", ["port"]),
        ("port: 1\n  bad indentation: x\n: :\n", ["bad.yaml"]),
        ("- a\n- b\n", ["bad.yaml"]),
        ("policies:\n  - name: a\n    ttl: soon\n", ["bad.yaml:3:", "'ttl'", "duration"]),
        ("policies:\n  - name: a\n    colour: blue\n", ["bad.yaml:3:", "colour"]),
        ("policies:\n  - name: a\n    match: 'a*'\n  - match: 'b*'\n    name: a\n", ["bad.yaml:5:", "another policy 'a'"]),
        ("policies:\n  - match: 'b*'\n", ["bad.yaml:2:", "needs a name"]),
        ("policies:\n  - name: 'a b'\n", ["bad.yaml:2:", "name"]),
        ("policies: 5\n", ["bad.yaml:1:", "list"]),
        ("policies:\n  - name: [a]\n", ["bad.yaml:2:", "single value"]),
        ("just text\n", ["bad.yaml"]),
        ("maxmemory: -5\n", ["maxmemory"]),
    ],
)
def test_a_wrong_file_is_one_clear_line_and_exit_1(tmp_path, yaml, words):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml)
    assert_one_line_and_exit_1(run(file), *words)


@only_pinfold
def test_a_wrong_environment_is_one_clear_line_and_exit_1():
    assert_one_line_and_exit_1(run(env={"PINFOLD_PORT": "abc"}), "abc")


@only_pinfold
def test_a_port_in_use_is_one_clear_line_and_exit_1(server):
    result = run("--port", server.port)
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and str(server.port) in lines[0], result.stderr


@only_pinfold
def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text("maxclients: 100\ntimeout: 10\nmaxmemory: 64mb\n")
    with servers.pinfold("--maxclients", "300", file=file, env={"PINFOLD_TIMEOUT": "20", "PINFOLD_MAXCLIENTS": "200"}) as server:
        with server.connect() as connection:
            assert connection.call("CONFIG", "GET", "maxclients") == [b"maxclients", b"300"]
            assert connection.call("CONFIG", "GET", "timeout") == [b"timeout", b"20"]
            assert connection.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"67108864"]


@only_pinfold
def test_it_says_when_it_is_ready(server):
    eventually(lambda: "Ready to accept connections" in server.log())


@only_pinfold
def test_it_listens_on_loopback_only_by_default(server):
    table = pathlib.Path(f"/proc/{server.process.pid}/net/tcp").read_text()
    listening = [line.split()[1] for line in table.splitlines()[1:] if line.split()[3] == "0A"]
    wildcard = f"00000000:{server.port:04X}"
    assert f"0100007F:{server.port:04X}" in listening and wildcard not in listening


def test_sigterm_stops_it_with_clients_connected(start):
    server = start()
    with server.connect() as idle, server.connect() as busy:
        idle.call("PING")
        busy.call("SET", "a", "1")
        server.stop()
        assert idle.read_until_closed() == b""


def test_sigint_stops_it_cleanly(start):
    server = start()
    server.process.send_signal(signal.SIGINT)
    server.process.wait(60)
    server.check_exit()


def test_sigterm_in_the_middle_of_a_flood_of_commands(start):
    server = start()
    with server.connect() as connection:
        connection.call("PING")
        from tests.support import resp

        connection.send(resp.encode(["SET", "k", "x" * 1000]) * 2000)
        server.process.send_signal(signal.SIGTERM)
        try:
            connection.read_until_closed()
        except OSError:
            pass
    server.process.wait(60)
    server.check_exit()


@only_pinfold
def test_a_second_signal_stops_it_at_once(start):
    """A command that sleeps keeps the orderly shutdown waiting; the second signal does not wait."""
    server = start("--enable-debug-command", "yes")
    with server.connect() as sleeper, server.connect() as other:
        other.call("PING")
        sleeper.send_command("DEBUG", "SLEEP", "600")
        server.expected_exits = (0, 1)

        def ended():
            # Two signals at once may arrive as one, so the second is repeated until it counts.
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
            return server.process.poll() is not None

        eventually(ended, deadline=60, step=0.2)
    server.check_exit()


@pytest.mark.parametrize("args", [[], ["NOSAVE"], ["nosave", "NOW", "FORCE"]])
def test_shutdown_stops_it_and_closes_the_connection(start, args):
    server = start()
    with server.connect() as connection:
        connection.send_command("SHUTDOWN", *args)
        assert connection.read_until_closed() == b""
    server.process.wait(60)
    server.check_exit()


@pytest.mark.parametrize("args", [["BOGUS"], ["SAVE", "NOSAVE"], ["ABORT", "NOW"]])
def test_a_wrong_shutdown_is_refused(client, args):
    assert client.call("SHUTDOWN", *args) == "ERR syntax error"


def test_shutdown_abort_without_a_shutdown_is_refused(client):
    assert client.call("SHUTDOWN", "ABORT") == "ERR No shutdown in progress."


def test_shutdown_is_refused_in_a_transaction(client):
    client.call("MULTI")
    assert client.call("SHUTDOWN").startswith("ERR Command not allowed inside a transaction")
    assert client.call("EXEC").startswith("EXECABORT")


def test_debug_is_refused_by_default(start):
    with start().connect() as connection:
        reply = connection.call("DEBUG", "SLEEP", "0")
        assert reply.startswith("ERR DEBUG command not allowed. If the enable-debug-command option is set to"), reply
        assert connection.call("DEBUG", "OBJECT", "k").startswith("ERR DEBUG command not allowed.")


def test_debug_for_local_connections(start):
    with start("--enable-debug-command", "local").connect() as connection:
        assert connection.call("DEBUG", "SLEEP", "0") == "OK"


def test_it_starts_again_at_once_on_the_same_port(start):
    first = start()
    with first.connect() as connection:
        connection.call("SET", "a", "1")
        first.stop()
    with servers.pinfold(port=first.port) as second, second.connect() as connection:
        assert connection.call("GET", "a") is None


@only_pinfold
def test_a_reader_that_stopped_reading_cannot_delay_the_shutdown(start):
    server = start()
    with server.connect() as deaf:
        deaf.call("SET", "big", "x" * (8 << 20))
        for _ in range(4):
            deaf.send_command("GET", "big")
        with server.connect() as other:
            other.call("PING")
        server.stop()


def test_a_hundred_short_lives_leave_no_descriptors(client, server):
    def count():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    client.call("PING")
    before = count()
    for _ in range(100):
        with server.connect() as passing:
            try:
                passing.call("PING")
            except Closed:
                pass
    eventually(lambda: count() <= before)


# --- --check ---

SOUND = "maxmemory: 100mb\npolicies:\n  - name: all\n    match: '*'\n    ttl: 1h\n"


@only_pinfold
@pytest.mark.parametrize("order", [lambda file: [file, "--check"], lambda file: ["--check", file]], ids=["behind", "in front"])
def test_check_finds_nothing_in_a_sound_file_and_opens_no_port(tmp_path, server, order):
    """The port is taken, which would end a start."""
    file = tmp_path / "sound.yaml"
    file.write_text(SOUND)
    result = run(*order(file), "--port", server.port)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{file}: 1 policies, 0 users, 0 warnings\n"


@only_pinfold
@pytest.mark.parametrize(
    "text, args, words",
    [
        ("nosuch: 1\n", [], ["sound.yaml:1", "nosuch"]),
        ("policies:\n  - name: p\n    match: 'p*'\n    tll: 1h\n", [], ["sound.yaml:4", "tll"]),
        ("policies:\n  - name: p\n", [], ["needs a match"]),
        (SOUND, ["--bind", "localhost"], ["localhost", "not an IP address"]),
        (SOUND, ["--port", "0"], ["nothing to listen on"]),
        (SOUND, ["--maxmemory", "lots"], ["maxmemory", "lots"]),
    ],
)
def test_check_says_why_a_server_would_not_start(tmp_path, text, args, words):
    file = tmp_path / "sound.yaml"
    file.write_text(text)
    result = run(file, "--check", *args)
    assert_one_line_and_exit_1(result, *words)
    assert result.stdout == ""


@only_pinfold
@pytest.mark.parametrize(
    "policy, args, words",
    [
        ("ttl: 2h\n    max-ttl: 1h\n", [], ["policy 'all'", "'ttl'", "'max-ttl'"]),
        ("coalesce: 30s\n    lease: 10s\n", [], ["policy 'all'", "'coalesce'", "'lease'"]),
        ("ttl: 1h\n  - name: later\n    match: 'a*'\n", [], ["policy 'later'", "no key falls under it"]),
        ("ttl: 1h\n", ["--bind", "0.0.0.0"], ["without a password"]),
        ("ttl: 1h\n", ["--maxmemory", "900gb"], ["maxmemory", "leaves too little"]),
        ("ttl: 1h\n", ["--tls-cert-file", "/nope"], ["tls-cert-file has no effect while tls-port is 0"]),
    ],
)
def test_check_warns_of_what_hardly_anybody_means(tmp_path, policy, args, words):
    file = tmp_path / "odd.yaml"
    file.write_text(f"maxmemory: 100mb\npolicies:\n  - name: all\n    match: '*'\n    {policy}")
    result = run(file, "--check", *args)
    assert result.returncode == 2 and result.stderr == ""
    warning, summary = result.stdout.splitlines()
    assert warning.startswith("warning: ") and all(word in warning for word in words)
    assert summary.endswith(" 1 warnings")


@only_pinfold
def test_what_check_warns_of_is_in_the_log_of_a_server_that_starts(tmp_path):
    file = tmp_path / "odd.yaml"
    file.write_text("maxmemory: 100mb\npolicies:\n  - name: all\n    match: '*'\n    ttl: 2h\n    max-ttl: 1h\n")
    warning = run(file, "--check").stdout.splitlines()[0].removeprefix("warning: ")
    with servers.pinfold(file=file) as server:
        assert warning in server.log()
