"""What the log tells an operator: when it is ready, who changed what, what was refused; and that it can be rotated."""

import contextlib
import ctypes
import datetime
import http.client
import json
import os
import re
import resource
import signal
import socket

import pytest

from tests.support import resp, servers
from tests.support.servers import eventually, is_redis
from tests.support.tls import DAY

from .conftest import info

pytestmark = pytest.mark.skipif(is_redis(), reason="how Pinfold says it")


def lines(server, *words):
    return [line for line in server.log().splitlines() if all(word in line for word in words)]


def test_the_ready_line_says_what_runs_where(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text('threads: 2\nmaxmemory: 100mb\npolicies:\n  - name: all\n    match: "*"\n    ttl: 1h\n')
    with servers.pinfold(file=file) as server:
        (ready,) = eventually(lambda: lines(server, "Ready to accept connections"))
        for word in ("Pinfold 0.1.0", f"process {server.process.pid}", f"127.0.0.1:{server.port}", "2 threads", "maxmemory 100.00M", "allkeys-lfu", "1 cache policies"):
            assert word in ready, (word, ready)


@pytest.mark.parametrize(
    "command, told",
    [
        (["CONFIG", "SET", "timeout", "100"], "CONFIG SET timeout 100"),
        (["CONFIG", "RESETSTAT"], "CONFIG RESETSTAT"),
        (["FLUSHALL"], "FLUSHALL"),
        (["FLUSHDB", "ASYNC"], "FLUSHDB ASYNC"),
        (["SWAPDB", "0", "1"], "SWAPDB 0 1"),
        (["CACHE.POLICY", "SET", "p", "match", "p:*", "ttl", "5m"], "CACHE.POLICY SET p match p:* ttl 5m"),
        (["CACHE.POLICY", "DEL", "p"], "CACHE.POLICY DEL p"),
        (["CLIENT", "PAUSE", "1"], "CLIENT PAUSE 1"),
        (["MEMORY", "PURGE"], "MEMORY PURGE"),
        (["config", "set", "requirepass", "secret"], "config set requirepass (hidden)"),
    ],
)
def test_what_an_administrator_does_is_logged_with_who_did_it(start, command, told):
    server = start()
    with server.connect() as connection:
        number = connection.call("CLIENT", "ID")
        connection.call("CACHE.POLICY", "SET", "p", "match", "p:*")
        connection.call(*command)
        eventually(lambda: lines(server, f"client {number} (127.0.0.1:", told))
    assert not lines(server, "secret")


KEY = "user:jane.doe@example.org:orders"


@pytest.mark.parametrize(
    "choice, key, tag",
    [("yes", f'"{KEY}"', '"jane.doe@example.org-without-a-colon"'), ("prefix", '"user:"...', '"jane.doe@example"...'), ("no", "(hidden)", "(hidden)")],
)
def test_names_of_keys_are_told_as_far_as_the_setting_says(start, choice, key, tag):
    server = start("--log-key-names", choice)
    with server.connect() as connection:
        assert connection.call("CACHE.PURGE", "PREFIX", KEY) == "OK"
        assert connection.call("CACHE.PURGE", "TAGS", "1", "jane.doe@example.org-without-a-colon") == "OK"
        eventually(lambda: lines(server, f"purged PREFIX {key}:") and lines(server, f"purged TAGS {tag}:"))
    assert ("jane.doe@example.org" in server.log()) == (choice == "yes")


def test_a_shutdown_by_a_client_names_it_and_no_signal(start):
    server = start()
    with server.connect() as connection:
        number = connection.call("CLIENT", "ID")
        assert connection.call("SHUTDOWN", "ABORT").startswith("ERR ")
        connection.send_command("SHUTDOWN", "NOSAVE")
        assert connection.read_until_closed() == b""
    server.process.wait(60)
    server.check_exit()
    (line,) = lines(server, "SHUTDOWN")
    assert f"client {number} (127.0.0.1:" in line and line.endswith(": SHUTDOWN NOSAVE")
    assert lines(server, "Bye") and not lines(server, "Signal")


def test_what_was_refused_is_not_told_as_done(start):
    server = start()
    with server.connect() as connection:
        connection.call("CONFIG", "SET", "timeout", "nonsense")
        connection.call("CONFIG", "SET", "timeout", "7")
        eventually(lambda: lines(server, "CONFIG SET timeout 7"))
    assert not lines(server, "nonsense")


@pytest.mark.parametrize("command", [["FLUSHALL"], ["FLUSHDB"], ["SWAPDB", "0", "1"], ["CLIENT", "PAUSE", "1"]], ids=lambda command: command[0].lower())
def test_many_requests_of_one_kind_hide_no_other(start, command):
    server = start()
    with server.connect() as connection:
        for _ in range(500):
            connection.call("CONFIG", "SET", "hz", "10")
        assert connection.call(*command) == "OK"
        eventually(lambda: lines(server, ": " + " ".join(command)))
    assert len(lines(server, "CONFIG SET hz 10")) < 400


def told(server, shown):
    """How many requests the log tells of, with those that it only counts."""
    counted = re.findall(r"\((\d+) such lines before this one were left out\)|(\d+) lines? about CONFIG SET (?:was|were) left out", server.log())
    return len(lines(server, shown)) + sum(int(a or b) for a, b in counted)


def test_what_was_left_out_is_told_without_a_next_line(start):
    server = start()
    with server.connect() as connection:
        for _ in range(100):
            connection.call("CONFIG", "SET", "hz", "10")
        eventually(lambda: told(server, "CONFIG SET hz 10") == 100)


def test_what_was_left_out_is_told_at_the_end(start):
    server = start("--hz", "1")
    with server.connect() as connection:
        connection.send(b"".join(resp.encode(["CONFIG", "SET", "timeout", "0"]) for _ in range(100)) + resp.encode(["PING"]))
        for _ in range(100):
            assert connection.read() == "OK"
        assert connection.read() == "PONG"
    server.stop()
    assert told(server, "CONFIG SET timeout 0") == 100


def test_what_changed_nothing_is_not_told(start):
    server = start()
    with server.connect() as connection, server.connect() as other:
        number = other.call("CLIENT", "ID")
        assert connection.call("CACHE.POLICY", "DEL", "none") == 0
        assert connection.call("CLIENT", "KILL", "ID", "1000000") == 0
        assert connection.call("CLIENT", "KILL", "1.2.3.4:5").startswith("ERR ")
        assert connection.call("CLIENT", "KILL", "ID", str(number)) == 1
        eventually(lambda: lines(server, f": CLIENT KILL ID {number}"))
    assert len(lines(server, "CLIENT KILL")) == 1
    assert not lines(server, "CACHE.POLICY DEL")


def test_long_requests_are_shortened_and_cannot_break_a_line(start):
    server = start()
    with server.connect() as connection:
        connection.call("CACHE.POLICY", "SET", "p", "match", "x" * 1000)
        connection.call("CONFIG", "SET", *["timeout", "1"] * 1)
        connection.call("CLIENT", "KILL", "ADDR", "evil\r\n2026-01-01 forged line")
        connection.call("CONFIG", "SET", "logfile", "x" * 100_000)
        connection.call("CONFIG", "SET", "timeout", "2")
        eventually(lambda: lines(server, "CONFIG SET timeout 2"))
    assert max(map(len, server.log().splitlines())) < 1500
    assert not [line for line in server.log().splitlines() if line.startswith("2026-01-01 forged")]


def test_a_policy_that_leaves_no_keys_to_others_is_warned_of_for_each_of_them(start):
    server = start()
    with server.connect() as connection:
        for name, match in [("all", "z:*"), ("one", "a:1:*"), ("two", "b:*")]:
            assert connection.call("CACHE.POLICY", "SET", name, "match", match) == "OK"
        assert connection.call("CACHE.POLICY", "SET", "all", "match", "a:*") == "OK"
        eventually(lambda: lines(server, "warning", "policy 'one': no key falls under it"))
        assert not lines(server, "policy 'two'")
        # What is known is not told again.
        assert connection.call("CACHE.POLICY", "SET", "all", "ttl", "1s") == "OK"
        assert connection.call("CACHE.POLICY", "SET", "two", "match", "a:2:*") == "OK"
        eventually(lambda: lines(server, "warning", "policy 'two': no key falls under it"))
    assert len(lines(server, "policy 'one': no key")) == 1


def test_transactions_are_logged_by_what_they_do(start):
    server = start()
    with server.connect() as connection:
        connection.call("MULTI")
        connection.call("FLUSHDB")
        connection.call("FLUSHALL")
        assert connection.call("EXEC") == ["OK", "OK"]
        eventually(lambda: lines(server, "FLUSHDB") and lines(server, "FLUSHALL"))


def test_refusals_are_told_once_in_a_while_with_their_number(start):
    server = start("--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
    with server.connect() as connection:
        refused = 0
        for i in range(3000):
            reply = connection.call("SET", f"key:{i}", "x" * 2000)
            refused += str(reply).startswith("OOM")
        assert refused > 1000
        (first, *others) = eventually(lambda: lines(server, "refused 'set' of client", "for want of memory"))
        assert "maxmemory 2097152" in first and "noeviction" in first
    assert 1 + len(others) < refused / 10


@pytest.mark.parametrize(
    "requests, refused",
    [
        ([("SETRANGE", "k", 6_000_000, "x")], "setrange"),
        ([("SET", "k", "x" * 2_500_000), ("COPY", "k", "copy"), ("APPEND", "k", "y")], "append"),
        ([("SET", "k", "x" * 2_500_000), ("BITOP", "NOT", "to", "k")], "bitop"),
        ([("CACHE.SET", "k", "x" * 5_000_000)], "cache.set"),
        ([("MULTI",), ("SETBIT", "k", 40_000_000, 1), ("EXEC",)], "setbit"),
    ],
)
def test_a_refusal_is_told_once_whoever_finds_that_memory_is_short(start, requests, refused):
    """Dispatch before the command, the command itself, a step of a long one, or EXEC."""
    server = start("--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    with server.connect() as connection:
        *_, reply = [connection.call(*request) for request in requests]
        assert "OOM command not allowed" in str(reply)
        connection.call("CONFIG", "SET", "timeout", "7")
        eventually(lambda: lines(server, "CONFIG SET timeout 7"))
    assert len(lines(server, f"refused '{refused}' of client", "for want of memory")) == len(lines(server, "refused")) == 1


def test_connections_beyond_maxclients_are_told(start):
    server = start("--maxclients", "2")
    with server.connect() as one:
        # Whoever asked whether the server is up may be counted for a moment, and the second client then be the one that is refused.
        eventually(lambda: b"connected_clients:1\r\n" in one.call("INFO", "clients"))
        with server.connect() as two:
            assert two.call("PING") == "PONG"
            with socket.create_connection(("127.0.0.1", server.port)) as third:
                assert b"max number of clients reached" in third.recv(100)
        eventually(lambda: lines(server, "refused a connection: maxclients (2) are connected"))


def test_http_is_told(start):
    server = start()
    with socket.create_connection(("127.0.0.1", server.port)) as browser:
        browser.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nFLUSHALL\r\n")
        assert browser.recv(100) == b""
    eventually(lambda: lines(server, "sends HTTP"))
    assert not lines(server, "FLUSHALL")


def test_sighup_opens_the_log_anew(start, tmp_path):
    log = tmp_path / "pinfold.log"
    server = start("--logfile", log)
    with server.connect() as connection:
        eventually(lambda: "Ready" in log.read_text())
        log.rename(tmp_path / "old")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: log.exists() and "opened anew" in log.read_text())
        connection.call("CONFIG", "SET", "timeout", "3")
        eventually(lambda: "CONFIG SET timeout 3" in log.read_text())
    assert "timeout 3" not in (tmp_path / "old").read_text()


def test_a_log_that_cannot_be_opened_is_an_error_that_names_the_setting(start, tmp_path):
    server = start("--logfile", tmp_path / "none" / "pinfold.log", wait=False)
    server.expected_exits = (1,)
    server.process.wait(60)
    assert f"cannot write the log (logfile): {tmp_path}/none/pinfold.log: No such file or directory" in server.log()


def test_a_log_that_cannot_be_opened_anew_goes_on_in_the_old_file(start, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    server = start("--logfile", folder / "pinfold.log")
    with server.connect() as connection:
        eventually(lambda: "Ready" in (folder / "pinfold.log").read_text())
        folder.rename(tmp_path / "moved")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "goes on in the old file" in (tmp_path / "moved/pinfold.log").read_text())
        assert connection.call("PING") == "PONG"


def test_sighup_without_a_file_changes_nothing(start):
    server = start()
    with server.connect() as connection:
        server.process.send_signal(signal.SIGHUP)
        assert connection.call("PING") == "PONG"


def test_a_maxmemory_beyond_what_there_is_is_warned_of(start):
    server = start("--maxmemory", "100000gb")
    eventually(lambda: lines(server, "warning", "maxmemory", "may kill the server"))
    server = start("--maxmemory", "100mb")
    with server.connect() as connection:
        assert not lines(server, "may kill the server")
        assert connection.call("CONFIG", "SET", "maxmemory", "100000gb") == "OK"
        eventually(lambda: lines(server, "may kill the server"))


def test_more_clients_than_the_system_has_descriptors_for_are_refused(tmp_path):
    """Where the limit cannot be raised (not as root), a change that could not be kept is refused with the number that can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most_of_kernel = int(open("/proc/sys/fs/nr_open").read())
    with servers.pinfold() as server, server.connect() as connection:
        reply = connection.call("CONFIG", "SET", "maxclients", str(most_of_kernel + 1))
        found = re.search(r"The operating system is not able to handle the specified number of clients, try with (\d+)", reply)
        assert found, reply
        assert connection.call("CONFIG", "GET", "maxclients") == [b"maxclients", b"10000"]
        assert connection.call("CONFIG", "SET", "maxclients", found[1]) == "OK"


def without_descriptors(limit):
    """To be called in the process of the server: it has a limit that it cannot raise, not even as root."""
    drop_from_bounding_set, raise_limits = 24, 24  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE
    ctypes.CDLL(None).prctl(drop_from_bounding_set, raise_limits, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def test_a_server_without_descriptors_for_any_clients_does_not_start():
    failed = servers.pinfold("--threads", "2", "--maxclients", "100", before_exec=lambda: without_descriptors(20), wait=False)
    failed.process.wait(20)
    needed = re.search(r"the system allows too few open files \(ulimit -n\): (\d+) are needed for maxclients 100, and (\d+) at least", failed.log())
    assert failed.process.returncode == 1 and needed, failed.log()
    failed.directory.cleanup()
    with servers.pinfold("--threads", "2", "--maxclients", "100", before_exec=lambda: without_descriptors(int(needed[2]))) as server:
        with server.connect() as client:
            assert client.call("CONFIG", "GET", "maxclients") == [b"maxclients", b"4"]
            eventually(lambda: b"\r\nconnected_clients:1\r\n" in client.call("INFO", "clients"))  # that of the start has gone
            others = [server.connect() for _ in range(3)]
            assert [other.call("PING") for other in others] == ["PONG"] * 3
            for other in others:
                other.close()


def test_a_log_that_nobody_reads_keeps_no_client_waiting(start, tmp_path):
    """The log is a pipe, and full. Clients that are closed give reason for a line; those of the same thread are answered all the same."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        server = start("--logfile", path, "--threads", 1, "--client-output-buffer-limit", "normal 1mb 0 0")
        with server.connect() as admin:
            admin.call("SET", "k", "x" * 7000)
            for size in (4096, 1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(pipe, b"." * size)
            for _ in range(3):
                with server.connect() as large:
                    large.send(resp.encode(["MGET"] + ["k"] * 300))
                    assert large.read_until_closed() == b""
                assert admin.call("PING") == "PONG"
            # Who reads finds the line.
            found = b""

            def told():
                nonlocal found
                with contextlib.suppress(BlockingIOError):
                    found += os.read(pipe, 1 << 20)
                return b"closing client" in found

            eventually(told)
        server.stop()
    finally:
        os.close(pipe)


class FullPipe:
    """A pipe that takes no byte more, and that nobody reads."""

    def __init__(self, path):
        os.mkfifo(path)
        self.path = path
        self.end = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def fill(self):
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(self.end, b"." * size)

    def as_standard_output(self):
        """Called in the server's process before it is one."""
        end = os.open(self.path, os.O_WRONLY)
        os.dup2(end, 1)
        os.close(end)


@pytest.fixture
def pipe(tmp_path):
    made = FullPipe(tmp_path / "pipe")
    yield made
    os.close(made.end)


@pytest.mark.parametrize("log", ["file", "standard output"])
def test_while_nobody_reads_the_log_all_work_goes_on_and_the_server_stops(start, pipe, log):
    """Nobody ever reads: what ends the server is that it waits for its log no longer than a second."""
    if log == "file":
        server = start("--threads", 1, "--hz", 100, "--logfile", pipe.path)
    else:
        server = start("--threads", 1, "--hz", 100, before_exec=pipe.as_standard_output)
    with server.connect() as client, server.connect() as waiting:
        pipe.fill()
        written = info(client, "stats")["log_lines_written"]
        for hz in range(10, 20):
            assert client.call("CONFIG", "SET", "hz", str(hz)) == "OK"
        # Twice, so that a worker that has met the pipe would be in its way.
        for _ in range(2):
            for i in range(100):
                client.call("SET", f"brief:{i}", "v", "PX", "1")
            eventually(lambda: client.call("DBSIZE") == 0)
        assert client.call("CACHE.GET", "k", "LEASE", "200")[0] == b"miss"
        waiting.send_command("CACHE.GET", "k", "WAIT", "600000", "LEASE", "100")
        status, _, token, _ = waiting.read()
        assert status == b"miss" and token, "the lease that ran out was given on"
        assert client.call("CONFIG", "SET", "maxmemory", "100000gb") == "OK"
        assert client.call("CACHE.PURGE", "PREFIX", "brief:", "SYNC") >= 0
        server.process.send_signal(signal.SIGHUP)
        with server.connect() as late:
            assert late.call("PING") == "PONG"
        assert info(client, "stats")["log_lines_written"] == written
    server.stop()


def test_a_log_that_cannot_be_written_is_told_of_on_standard_error_and_in_info_and_goes_on(start, tmp_path):
    log, port = tmp_path / "pinfold.log", servers.free_port()
    log.symlink_to("/dev/full")
    server = start("--logfile", log, "--admin-port", port)
    said = "pinfold-server: the log cannot be written: No space left on device; lines wait, and those that find no room are counted"

    def metric(name):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/metrics")
        return re.search(rf"^pinfold_{re.escape(name)} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)[1]

    with server.connect() as client:
        eventually(lambda: lines(server, said))
        eventually(lambda: info(client, "stats")["log_failing"] == "1")
        assert info(client, "stats")["log_lines_written"] == "0"
        assert metric("log_failing") == "1" and metric('log_lines_total{result="written"}') == "0"
        client.call("CONFIG", "SET", "timeout", "3")
        log.unlink()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: log.exists() and "the log can be written again" in log.read_text())
        for text in ("Ready to accept connections", "SIGHUP: the log was opened anew"):
            assert text in log.read_text()
        eventually(lambda: "CONFIG SET timeout 3" in log.read_text())
        assert info(client, "stats")["log_failing"] == metric("log_failing") == "0"
        assert int(info(client, "stats")["log_lines_written"]) >= 4
        assert client.call("CONFIG", "RESETSTAT") == "OK"
        assert int(info(client, "stats")["log_lines_written"]) < 4
    assert len(lines(server, "the log cannot be written")) == 1


def test_what_was_lost_at_the_start_is_told_when_the_log_can_be_written(start, tmp_path):
    log = tmp_path / "pinfold.log"
    log.symlink_to("/dev/full")
    server = start("--logfile", log, "--maxmemory", "100000gb")  # which is warned of, before there is a queue
    with server.connect() as client:
        eventually(lambda: lines(server, "the log cannot be written"))
        assert int(info(client, "stats")["log_lines_lost"]) == 1
        log.unlink()
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: log.exists() and " warning 1 line of the log was lost here" in log.read_text())


def test_a_log_that_is_a_fifo_without_a_reader_is_an_error_at_once(start, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    server = start("--logfile", tmp_path / "fifo", wait=False)
    server.expected_exits = (1,)
    server.process.wait(60)
    assert f"cannot write the log (logfile): {tmp_path}/fifo: no process reads it, and a FIFO needs one" in server.log()


@pytest.mark.parametrize("days, told", [(1, True), (5, True), (40, False)])
def test_a_certificate_that_ends_within_30_days_is_warned_of(start_tls, authority, days, told):
    server = start_tls(certificate=authority.server(ends=days * DAY))
    eventually(lambda: lines(server, "TLS: certificates loaded"))
    assert len(lines(server, " warning TLS: tls-cert-file", "the certificate ends soon, on ")) == told, server.log()


NAME = "jos\u00e9\u202e".encode() + b"\x9b"


@pytest.mark.parametrize("form", ["text", "json"])
def test_names_of_users_are_shown_as_they_are_but_for_what_cannot_be_seen(start, form):
    server = start("--log-format", form)
    with server.connect() as admin, server.connect() as client:
        assert admin.call("ACL", "SETUSER", NAME, "on", "nopass", "+@all", "~*", "rate=1") == "OK"
        assert client.call("AUTH", NAME, "x") == "OK"
        eventually(lambda: str(client.call("PING")).startswith("THROTTLED"))
        raw = eventually(lambda: [line for line in (server.path / "out").read_bytes().splitlines() if b"its user" in line])[0].decode()
    text = json.loads(raw)["message"] if form == "json" else raw
    assert "its user 'jos\u00e9\\u{202e}\\x9b' may make" in text, text


def test_levels_say_more_and_less_at_run_time(start):
    server = start("--loglevel", "notice")
    with server.connect() as connection:
        with server.connect() as other:
            other.call("PING")
        connection.call("CONFIG", "SET", "loglevel", "verbose")
        with server.connect() as other:
            number = other.call("CLIENT", "ID")
        eventually(lambda: lines(server, " verbose ", f"client {number} (127.0.0.1:", "is gone: the client closed it"))
        (came,) = lines(server, " verbose ", "has connected to")
        assert f"client {number} " in came
        connection.call("SET", "brief", "v", "PX", "1")
        eventually(lambda: connection.call("EXISTS", "brief") == 0)
        assert not lines(server, " debug ")
        connection.call("CONFIG", "SET", "loglevel", "debug")
        connection.call("SET", "brief", "v", "PX", "1")
        eventually(lambda: lines(server, " debug ", "keys have expired and 0 were evicted"))
        connection.call("CONFIG", "SET", "loglevel", "warning")
        before = len(server.log().splitlines())
        connection.call("CONFIG", "SET", "timeout", "1000")
        connection.call("CONFIG", "SET", "loglevel", "notice")
        eventually(lambda: lines(server, " notice ", "CONFIG SET loglevel notice"))
        assert not lines(server, "CONFIG SET timeout 1000")
        assert len(server.log().splitlines()) <= before + 2
        connection.call("CONFIG", "SET", "loglevel", "nothing")
        connection.call("CONFIG", "SET", "timeout", "1001")
    assert not lines(server, "1001")


def test_a_line_of_json_is_an_object_whatever_is_in_it(start):
    server = start("--log-format", "json")
    with server.connect() as connection:
        connection.call("CACHE.PURGE", "PREFIX", b'a"b\\c\n\xff\xe2\x80\xae{}', "SYNC")
        eventually(lambda: lines(server, "purged PREFIX"))
        objects = [json.loads(line) for line in server.log().splitlines()]
        assert all(set(one) == {"time", "level", "message"} for one in objects)
        assert {one["level"] for one in objects} <= {"notice", "warning"}
        assert all(datetime.datetime.fromisoformat(one["time"]).tzinfo for one in objects)
        connection.call("CONFIG", "SET", "log-format", "text")
        connection.call("CONFIG", "SET", "timeout", "1001")
        eventually(lambda: lines(server, " notice client "))
