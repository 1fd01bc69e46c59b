"""redis-cli and redis-benchmark in each of their modes."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.support import resp, servers


@pytest.fixture(scope="module")
def server():
    with servers.pinfold() as running:
        with running.connect() as connection:
            connection.pipeline([("SET", f"user:{i}", "x" * i) for i in range(300)] + [("SET", "greeting", "hello world")])
        yield running


def cli(server, *args, stdin="", timeout=60):
    result = subprocess.run(["redis-cli", "-p", str(server.port), *map(str, args)], input=stdin, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result
    return result.stdout


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_plain_commands(server, protocol):
    assert cli(server, protocol, "GET", "greeting") == "hello world\n"
    assert cli(server, protocol, "--no-raw", "GET", "none") == "(nil)\n"
    assert cli(server, protocol, "--no-raw", "INCRBY", f"cli{protocol}", "5") == "(integer) 5\n"
    assert "redis_version:" in cli(server, protocol, "INFO")
    assert cli(server, protocol, "--no-raw", "SET", "a", "b", "BOGUS") == "(error) ERR syntax error\n"
    assert "greeting" in cli(server, protocol, "KEYS", "g*")


def test_commands_from_standard_input(server):
    assert cli(server, stdin="SET in 1\nINCR in\nGET in\n") == "OK\n2\n2\n"


def test_csv_json_and_database(server):
    assert cli(server, "--csv", "MGET", "greeting", "none") == '"hello world",NULL\n'
    assert cli(server, "--json", "MGET", "greeting", "none") == '["hello world",null]\n'
    assert cli(server, "-n", "5", "DBSIZE") == "0\n"


class Terminal:
    """redis-cli on a pseudo-terminal."""

    def __init__(self, *args):
        self.output = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Without a size the line editor asks the terminal for it and waits.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
            os.environ["TERM"] = "xterm"
            os.environ["REDISCLI_HISTFILE"] = "/dev/null"
            os.execvp("redis-cli", ["redis-cli", *map(str, args)])

    def read_until(self, pattern, deadline=30.0):
        end = time.monotonic() + deadline
        while not re.search(pattern, self.output):
            assert time.monotonic() < end, f"no {pattern!r} in {self.output[-2000:]!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.output += os.read(self.fd, 65536)
                except OSError:
                    raise AssertionError(f"ended without {pattern!r}: {self.output[-2000:]!r}") from None
        found, self.output = self.output, b""
        return found

    def read_until_ended(self, deadline=30.0):
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:  # the other side of the terminal is closed
                    return
        raise AssertionError("redis-cli did not end")

    def type(self, text):
        os.write(self.fd, text)

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def terminal(server):
    opened = []

    def open_terminal(*args):
        opened.append(Terminal("-p", server.port, *args))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_interactive(server, terminal, protocol):
    """Starting up, it asks for COMMAND DOCS, for its hints."""
    shell = terminal(protocol)
    shell.read_until(rb"> ")
    for typed, answer in (
        (b"get greeting", rb'"hello world"'),
        (b"mget greeting none", rb"2\) \(nil\)"),
        (b"multi", rb"OK"),
        (b"set shell 1", rb"QUEUED"),
        (b"exec", rb"1\) OK"),
        (b"help set", rb"summary:"),
        (b"nosuch", rb"ERR unknown command"),
        (b"select 3", rb"OK"),
        (b"get greeting", rb"\(nil\)"),
    ):
        shell.type(typed + b"\r")
        # The line editor drops what is typed before it prompts again.
        shell.read_until(rb"(?s)" + answer + rb".*> ")
    shell.type(b"quit\r")
    shell.read_until_ended()


def test_stat(terminal):
    stat = terminal("--stat", "-i", "0.05")
    stat.read_until(rb"keys +mem +clients +blocked +requests +connections")
    # A line of numbers: keys, memory, clients, blocked, requests, connections.
    stat.read_until(rb"\n30\d +[\d.]+[BKMG] +\d+ +0 +\d+ \(\+\d+\) +\d+")


def test_bigkeys(server):
    text = cli(server, "--bigkeys")
    assert re.search(r"Sampled 3\d\d keys in the keyspace!", text)
    assert re.search(r"Biggest string found \S+user:299\S+ has 299 bytes", text)


def test_memkeys(server):
    assert re.search(r"Sampled 3\d\d keys in the keyspace!", cli(server, "--memkeys"))


@pytest.fixture(scope="module")
def typed_server():
    """With small and large collections of each type."""
    with servers.pinfold() as running:
        with running.connect() as connection:
            for name, size in (("small", 10), ("large", 2000)):
                connection.pipeline([
                    ["HSET", f"{name}:hash", *(part for i in range(size) for part in (f"f{i}", "v"))], ["RPUSH", f"{name}:list", *range(size)],
                    ["SADD", f"{name}:set", *(f"e{i}" for i in range(size))], ["SADD", f"{name}:numbers", *range(size // 10)],
                    ["ZADD", f"{name}:zset", *(part for i in range(size) for part in (i, f"e{i}"))], ["PFADD", f"{name}:visitors", *range(size)],
                ])  # fmt: skip
        yield running


def test_bigkeys_of_all_types(typed_server):
    text = cli(typed_server, "--bigkeys")
    assert "Sampled 12 keys in the keyspace!" in text
    for kind, unit in (("hash", "fields"), ("list", "items"), ("set", "members"), ("zset", "members")):
        assert re.search(rf"Biggest +{kind} found \S+large:{kind}\S+ has 2000 {unit}", text), text
    assert re.search(r"2 hashs with 2010 fields", text) and re.search(r"4 sets with 2211 members", text)


def test_memkeys_of_all_types(typed_server):
    text = cli(typed_server, "--memkeys")
    for kind in ("hash", "list", "set", "zset"):
        assert re.search(rf"Biggest +{kind} found \S+large:{kind}\S+ has \d{{4,}} bytes", text), text


def test_scan(server):
    assert set(cli(server, "--scan", "--pattern", "user:*").split()) == {f"user:{i}" for i in range(300)}


def test_latency(server):
    result = subprocess.run(["timeout", "-s", "INT", "20", "redis-cli", "-p", str(server.port), "--raw", "--latency", "-i", "0"], capture_output=True, text=True)
    low, high, average, samples = result.stdout.split()[:4]
    assert float(low) <= float(average) <= float(high) and int(samples) >= 1


def test_latency_history(terminal):
    latency = terminal("--latency-history", "-i", "1")
    latency.read_until(rb"min: \d+, max: \d+, avg: [\d.]+ \(\d+ samples\)")


def test_pipe(server):
    payload = b"".join(resp.encode(["SET", f"pipe:{i}", f"value {i}"]) for i in range(20_000))
    result = subprocess.run(["redis-cli", "-p", str(server.port), "--pipe"], input=payload, capture_output=True, timeout=120)
    assert b"errors: 0, replies: 20000" in result.stdout, result
    with server.connect() as connection:
        assert connection.call("GET", "pipe:19999") == b"value 19999"
        connection.pipeline([("DEL", f"pipe:{i}") for i in range(20_000)])


def test_pipe_reports_errors(server):
    payload = resp.encode(["SET", "e", "x"]) + resp.encode(["INCR", "e"]) + resp.encode(["DEL", "e"])
    result = subprocess.run(["redis-cli", "-p", str(server.port), "--pipe"], input=payload, capture_output=True, timeout=60)
    assert b"errors: 1, replies: 3" in result.stdout, result


def test_benchmark():
    with servers.pinfold() as server:
        command = ["redis-benchmark", "-p", str(server.port), "-t", "ping,set,get,incr,mset", "-n", "2000", "-P", "4", "-q"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result
        for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"):
            assert re.search(rf"{name}.*: [\d.]+ requests per second", result.stdout), result.stdout
        assert "rror" not in result.stdout + result.stderr
