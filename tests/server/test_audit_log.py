"""The audit log: what is in it, that nobody can forge or break a line, and what happens when the disk is full."""

import concurrent.futures
import contextlib
import os
import resource
import signal
from collections import Counter

import pytest

from tests.server.conftest import info
from tests.support import outside, resp
from tests.support.audit import Audited
from tests.support.connection import Connection
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Redis has none")
REFUSED = "ERR the audit log cannot be written, and audit-log-on-error is 'refuse'"


@pytest.fixture
def audited(start, tmp_path):
    return lambda *args, **options: Audited(start, tmp_path / "audit.log", *args, **options)


def test_without_the_setting_there_is_none(start, tmp_path):
    server = start()
    with server.connect() as client:
        assert client.call("CONFIG", "GET", "audit-log-*") == [b"audit-log-file", b"", b"audit-log-on-error", b"continue"]
        assert info(client, "stats")["audit_lines_written"] == "0"


def test_a_connection_is_told_of_from_its_beginning_to_its_end(audited):
    log = audited()
    with log.server.connect() as client:
        number = client.call("CLIENT", "ID")
        accepted = log.wait("connection-accepted", client=number)
        assert accepted["address"] == "%s:%d" % client.socket.getsockname() and accepted["to"] == f"127.0.0.1:{log.server.port}"
    assert log.wait("connection-closed", client=number)["reason"] == "the client closed it, or the network did"


@pytest.mark.parametrize(
    "end, reason",
    [
        (lambda client, admin: client.call("QUIT"), "it said QUIT"),
        (lambda client, admin: client.send(b"*x\r\n"), "what it sent is not the Redis protocol"),
        (lambda client, admin: admin.call("CLIENT", "KILL", "ID", client.call("CLIENT", "ID")), "it was killed"),
        (lambda client, admin: client.send(b"POST / HTTP/1.1\r\n"), "its last request ends the connection"),
        (lambda client, admin: admin.call("CONFIG", "SET", "timeout", "1"), "it was idle for longer than the setting timeout"),
        (
            lambda client, admin: [admin.call("CONFIG", "SET", "client-output-buffer-limit", "normal 100000 0 0"), client.send(resp.encode(["GET", "big"]))],
            "the replies it waits for are too large (client-output-buffer-limit)",
        ),
    ],
    ids=["quit", "protocol error", "kill", "http", "timeout", "output limit"],
)
def test_the_end_of_a_connection_has_its_reason(audited, end, reason):
    log = audited()
    with log.server.connect() as admin, log.server.connect() as client:
        admin.call("SET", "big", "x" * 10_000_000)
        number = client.call("CLIENT", "ID")
        end(client, admin)
        eventually(lambda: admin.call("PING") and log.events("connection-closed", client=number))
        assert [line["reason"] for line in log.events("connection-closed", client=number)] == [reason]


def test_refused_connections_are_told_of(audited):
    log = audited("--bind", "* -::*")
    with log.server.connect() as only:
        only.call("CONFIG", "SET", "maxclients", "1")
        with Connection(log.server.port) as other:
            other.read_until_closed()
            assert log.wait("connection-refused", reason="maxclients")["address"].startswith("127.0.0.1:")
        only.call("CONFIG", "SET", "maxclients", "10")
        with outside.connect(log.server) as stranger:
            stranger.read_until_closed()
        assert log.wait("connection-refused", reason="protected-mode")["address"].startswith(outside.address() + ":")


def test_attempts_to_authenticate_are_told_of_without_what_was_tried(audited):
    log = audited("--requirepass", "s3cret", "--auth-failures-per-minute", "2")
    with log.server.connect() as client:
        client.call("AUTH", "s3cret")
        client.call("AUTH", "wr0ng")
        client.call("AUTH", "wr0ng-as-a-name", "wr0ng")
        client.call("HELLO", "3", "AUTH", "default", "s3cret")
        number = client.call("CLIENT", "ID")
        log.wait("auth-limited", client=number, user="default")
    assert [line["user"] for line in log.events("auth-failed", client=number)] == ["default", "(unknown)"]
    assert len(log.events("auth-ok", client=number)) == 1
    assert "wr0ng" not in log.path.read_text() and "s3cret" not in log.path.read_text()


def test_what_a_client_may_not_do_is_told_of(audited):
    log = audited("--requirepass", "s3cret")
    with log.server.connect() as client:
        client.call("GET", "sensitive")
        log.wait("denied", command="get", user="(unauthenticated)", reason="NOAUTH Authentication required.")
        client.call("AUTH", "s3cret")
        client.call("DEBUG", "OBJECT", "sensitive")
        log.wait("denied", command="debug", user="default")
    assert "sensitive" not in log.path.read_text()


def test_a_client_that_is_served_as_the_default_user_is_denied_as_such(audited):
    """It has connected while the default user had a password, and has not authenticated."""
    log = audited("--requirepass", "s3cret")
    with log.server.connect() as admin, log.server.connect() as client:
        assert client.call("PING").startswith("NOAUTH")
        assert admin.call("AUTH", "s3cret") == "OK"
        assert admin.call("ACL", "SETUSER", "default", "nopass", "-get") == "OK"
        assert client.call("GET", "k").startswith("NOPERM")
        assert client.call("DEBUG", "OBJECT", "k").startswith("ERR")
        address = "%s:%d" % client.socket.getsockname()
        for command, user in (("ping", "(unauthenticated)"), ("get", "default"), ("debug", "default")):
            assert log.wait("denied", command=command, address=address)["user"] == user


@pytest.mark.parametrize(
    "command, event, request_",
    [
        (["CONFIG", "SET", "timeout", "100"], "configuration", "CONFIG SET timeout 100"),
        (["CONFIG", "GET", "maxmemory*"], "configuration", "CONFIG GET maxmemory*"),
        (["CONFIG", "SET", "requirepass", "s3cret"], "configuration", "CONFIG SET requirepass (hidden)"),
        (["CACHE.POLICY", "SET", "p", "match", "p:*", "ttl", "5m"], "configuration", "CACHE.POLICY SET p match p:* ttl 5m"),
        (["CLIENT", "LIST"], "administration", "CLIENT LIST"),
        (["CLIENT", "KILL", "ID", "100000"], "administration", "CLIENT KILL ID 100000"),
        (["MEMORY", "PURGE"], "administration", "MEMORY PURGE"),
        (["FLUSHALL"], "purge", "FLUSHALL"),
        (["CACHE.PURGE", "PREFIX", "user:"], "purge", "CACHE.PURGE PREFIX user:"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_administration_changes_and_purges_are_told_of_with_who_did_it(audited, command, event, request_):
    log = audited()
    with log.server.connect() as client:
        number = client.call("CLIENT", "ID")
        client.call("CLIENT", "SETNAME", "deployer")
        client.call(*command)
        line = log.wait(event, request=request_, result="begun" if command[0] == "CACHE.PURGE" else "ok")
        assert (line["client"], line["user"], line["name"]) == (number, "default", "deployer")
        assert line["address"] == "%s:%d" % client.socket.getsockname()
    assert "s3cret" not in log.path.read_text()


@pytest.mark.parametrize(
    "command, request_",
    [
        (["ACL", "DRYRUN", "default", "AUTH", "bob", "s3cret"], "ACL DRYRUN default AUTH (hidden) (hidden)"),
        (["ACL", "DRYRUN", "default", "AUHT", "bob", "s3cret"], "ACL DRYRUN default (hidden) (hidden) (hidden)"),
        (["ACL", "DRYRUN", "default", "CONFIG", "ST", "requirepass", "s3cret"], "ACL DRYRUN default (hidden) (hidden) (hidden) (hidden)"),
        (["ACL", "DRYRUN", "default", "ACL", "SETUSR", "bob", ">s3cret"], "ACL DRYRUN default (hidden) (hidden) (hidden) (hidden)"),
        (["ACL", "DRYRUN", "CONFIG", "SET", "requirepass", "s3cret"], "ACL DRYRUN CONFIG (hidden) (hidden) (hidden)"),
        (["CONFIG", "GET", "requirepass", "s3cret"], "CONFIG GET requirepass (hidden)"),
        (["CONFIG", "GET", "requirepas", "s3cret"], "CONFIG GET (hidden) (hidden)"),
        (["ACL", "DELUSER", "bob", ">s3cret"], "ACL DELUSER bob (hidden)"),
        (["ACL", "DELUSER", "bob on >s3cret"], "ACL DELUSER (hidden)"),
        (["ACL", "GETUSER", ">s3cret"], "ACL GETUSER (hidden)"),
        (["ACL", "SETUSER", "bob", "+get >s3cret"], "ACL SETUSER bob (hidden)"),
        (["ACL", "SETUSER", "bob", "on >s3cret"], "ACL SETUSER bob (hidden)"),
        (["ACL", "SETUSER", "bob", "(~x)>s3cret"], "ACL SETUSER bob (hidden)"),
        (["ACL", "SETUSER", "bob", "(~x", "+get >s3cret)"], "ACL SETUSER bob (~x (hidden)"),
        (["ACL", "SETUSER", "bob on >s3cret"], "ACL SETUSER (hidden)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_password_in_a_mistyped_request_is_not_told(audited, command, request_):
    log = audited()
    with log.server.connect() as client:
        assert "s3cret" not in str(client.call(*command))
        log.wait("configuration" if command[0] == "CONFIG" else "acl", request=request_)
        for unknown in (["CONFIG", "ST", "requirepass", "s3cret"], ["ACL", "SETUSR", "bob", ">s3cret"], ["AUHT", "bob", "s3cret"]):
            assert client.call(*unknown).startswith("ERR unknown ")
        client.call("CONFIG", "SET", "hz", "11")
        log.wait("configuration", request="CONFIG SET hz 11")
    log.server.stop()
    assert "s3cret" not in log.path.read_text()
    assert "s3cret" not in log.server.log()


def test_telling_of_a_request_looks_at_what_is_told_and_not_into_what_is_in_it(audited):
    """A request that tries a request that tries another: each level looked at would double the work."""
    log = audited()
    with log.server.connect() as client:
        assert client.call(*["ACL", "DRYRUN", "default"] * 40_000, "GET", "k") == "OK"
        log.wait("acl", request="ACL DRYRUN default" + " (hidden)" * 9 + " and 119990 more arguments")
        assert client.call("ACL", "DRYRUN", "default", "MGET", *["k"] * 100_000) == "OK"
        log.wait("acl", request="ACL DRYRUN default MGET" + " (hidden)" * 8 + " and 99992 more arguments")


def test_what_failed_and_what_ends_later_is_told_as_such(audited, tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text("")
    log = audited(file=file)
    with log.server.connect() as client:
        client.call("CONFIG", "SET", "timeout", "nonsense")
        log.wait("configuration", request="CONFIG SET timeout nonsense", result="failed")
        assert client.call("CONFIG", "REWRITE") == "OK"
        log.wait("configuration", request="CONFIG REWRITE", result="begun")
        log.wait("configuration", request="CONFIG REWRITE", result="done")
        client.call("CACHE.SET", "k", "v", "TAGS", "1", "t")
        assert client.call("CACHE.PURGE", "TAGS", "1", "t", "SYNC") >= 0
        assert log.wait("purge", request="CACHE.PURGE TAGS 1 t SYNC", result="done")["entries"] >= 0


def test_ordinary_requests_are_not_told_of(audited):
    log = audited()
    with log.server.connect() as client:
        for words in (("SET", "k", "v"), ("GET", "k"), ("MGET", "k", "k"), ("CACHE.GET", "k"), ("INFO",)):
            client.call(*words)
    log.wait("connection-closed")
    assert {line["event"] for line in log.lines()} <= {"server", "connection-accepted", "connection-closed"}


def test_the_start_and_the_stop_of_the_server_are_told_of(audited):
    log = audited()
    log.server.stop()
    first, *_, last = log.lines()
    assert (first["event"], first["action"]) == ("server", "started") and f"127.0.0.1:{log.server.port}" in first["addresses"]
    assert (last["event"], last["action"]) == ("server", "stopped")
    assert log.has_numbers_in_a_row()


def test_no_client_can_forge_a_line(audited):
    log = audited("--requirepass", "s3cret")
    forged = '\n{"time":"2026-01-01T00:00:00.000000Z","event":"auth-ok","user":"forged"}\n'
    with log.server.connect() as client:
        for words in (("AUTH", forged, forged), ("AUTH", "s3cret"), ("CONFIG", "SET", "timeout", forged), ("CACHE.POLICY", "SET", "p", "match", forged), ("CLIENT", "KILL", forged)):
            client.call(*words)
        client.call("CONFIG", "SET", "hz", "11")
        log.wait("configuration", request="CONFIG SET hz 11")
    assert not [line for line in log.lines() if line.get("user") == "forged"]


def test_names_of_keys_are_told_as_far_as_the_setting_says(audited):
    log = audited("--log-key-names", "prefix")
    with log.server.connect() as client:
        client.call("CACHE.PURGE", "PREFIX", "user:jane.doe@example.org:")
        log.wait("purge", request='CACHE.PURGE PREFIX "user:"...', result="done")
    assert "jane" not in log.path.read_text()


def test_of_a_request_that_is_tried_no_key_and_no_value_is_told(audited):
    log = audited("--log-key-names", "no")
    with log.server.connect() as client:
        for words in (["SET", "jane", "doe"], ["KEYS", "jane*"], ["SCAN", "0", "MATCH", "jane*"], ["CLIENT", "SETNAME", "jane"], ["CACHE.PURGE", "PREFIX", "jane"]):
            assert client.call("ACL", "DRYRUN", "default", *words) == "OK"
        log.wait("acl", request="ACL DRYRUN default SET (hidden) (hidden)")
        log.wait("acl", request="ACL DRYRUN default CLIENT SETNAME (hidden)")
        log.wait("acl", request="ACL DRYRUN default CACHE.PURGE PREFIX (hidden)")
    assert "jane" not in log.path.read_text() and "doe" not in log.path.read_text()


def test_the_file_can_be_rotated_without_a_line_lost(audited):
    log = audited()
    old = log.path.with_suffix(".1")
    with log.server.connect() as client:
        client.call("CONFIG", "SET", "hz", "11")
        log.wait("configuration", request="CONFIG SET hz 11")
        os.rename(log.path, old)
        client.call("CONFIG", "SET", "hz", "12")  # still the old file's
        log.server.process.send_signal(signal.SIGHUP)
        eventually(lambda: log.path.exists() and log.events("server", action="opened anew"))
        client.call("CONFIG", "SET", "hz", "13")
        log.wait("configuration", request="CONFIG SET hz 13")
    log.server.stop()
    numbers = [line["seq"] for line in log.lines(old) + log.lines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_file_is_for_its_owner_and_group(audited):
    log = audited()
    assert os.stat(log.path).st_mode & 0o137 == 0


def test_it_can_go_to_standard_output(start):
    server = start("--audit-log-file", "stdout")
    with server.connect() as client:
        client.call("CONFIG", "SET", "hz", "11")
    eventually(lambda: '"request":"CONFIG SET hz 11"' in server.log())


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(start, tmp_path):
    server = start("--audit-log-file", tmp_path / "none" / "audit.log", wait=False)
    server.expected_exits = (1,)
    server.process.wait(60)
    assert f"cannot write the log (audit-log-file): {tmp_path}/none/audit.log: No such file or directory" in server.log()


# --- a full disk ---


def on_full_disk(start, tmp_path, *args):
    """The file is a link to a device that is always full; making room is to put a file in its place and to say so (SIGHUP)."""
    link = tmp_path / "audit.log"
    link.symlink_to("/dev/full")
    log = Audited(start, link, *args)

    def make_room():
        link.unlink()
        log.server.process.send_signal(signal.SIGHUP)

    return log, make_room


def failing(client):
    return info(client, "stats")["audit_log_failing"] == "1"


def test_a_full_disk_does_not_stop_the_cache_and_lines_wait_for_room(start, tmp_path):
    log, make_room = on_full_disk(start, tmp_path)
    with log.server.connect() as client:
        eventually(lambda: failing(client))
        for i in range(100):
            assert client.call("CONFIG", "SET", "hz", str(10 + i)) == "OK"
        assert client.call("SET", "k", "v") == "OK"
        eventually(lambda: "the audit log cannot be written: No space left on device" in log.server.log())
        make_room()
        log.wait("configuration", request="CONFIG SET hz 109")
        eventually(lambda: not failing(client))
        assert info(client, "stats")["audit_lines_lost"] == "0"
    assert log.has_numbers_in_a_row()
    eventually(lambda: "the audit log can be written again" in log.server.log())


def test_what_finds_no_room_is_counted_and_told_of(start, tmp_path):
    log, make_room = on_full_disk(start, tmp_path)
    request = resp.encode(["CONFIG", "GET", "hz", *["x" * 60 + "*"] * 11])
    with log.server.connect() as client:
        eventually(lambda: failing(client))
        sent = 0
        while info(client, "stats")["audit_lines_lost"] == "0":
            assert len(client.exchange(request * 2000, 2000)) == 2000
            sent += 2000
        make_room()
        log.wait("lost")
        eventually(lambda: not failing(client))
        figures = info(client, "stats")
    lost = int(figures["audit_lines_lost"])
    assert figures["audit_lines_left_out"] == "0"
    told = log.lines()
    assert sum(line["lines"] for line in told if line["event"] == "lost") == lost
    # That the file was opened anew is a line too, and may be among the lost.
    expected = Counter(configuration=sent, opened=1)
    found = Counter("opened" if line.get("action") == "opened anew" else line["event"] for line in told)
    assert sum((expected - found).values()) == lost


def test_refuse_stops_administration_and_logins_while_nothing_can_be_written(start, tmp_path):
    log, make_room = on_full_disk(start, tmp_path, "--requirepass", "s3cret", "--audit-log-on-error", "continue")
    with log.server.connect() as admin, log.server.connect() as stranger:
        assert admin.call("AUTH", "s3cret") == "OK"
        eventually(lambda: failing(admin))
        assert admin.call("CONFIG", "SET", "audit-log-on-error", "refuse") == "OK"
        for words in (("CONFIG", "SET", "hz", "11"), ("CONFIG", "GET", "*"), ("FLUSHALL",), ("CACHE.PURGE", "PREFIX", "x"), ("SWAPDB", "0", "1"), ("CLIENT", "LIST"), ("CACHE.POLICY", "LIST"), ("AUTH", "s3cret")):
            assert admin.call(*words).startswith(REFUSED), words
        assert admin.call("SET", "k", "v") == "OK" and admin.call("GET", "k") == b"v"
        for words in (("AUTH", "s3cret"), ("AUTH", "wrong"), ("HELLO", "3", "AUTH", "default", "s3cret")):
            assert stranger.call(*words).startswith(REFUSED), words
        assert stranger.call("CONFIG", "GET", "*") == "NOAUTH Authentication required.", "strangers do not learn of it this way"
        make_room()
        eventually(lambda: not failing(admin))
        assert admin.call("CONFIG", "SET", "hz", "11") == "OK"
        assert stranger.call("AUTH", "s3cret") == "OK"


def test_a_line_that_a_full_disk_has_cut_is_completed(audited):
    """A limit on the size of files lets the first part of a write through, as a full disk does."""
    log = audited()
    with log.server.connect() as client:
        client.call("CONFIG", "SET", "hz", "11")
        log.wait("configuration", request="CONFIG SET hz 11")
        size = log.path.stat().st_size
        pid = log.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 50, resource.RLIM_INFINITY))
        client.call("CONFIG", "SET", "hz", "12")
        eventually(lambda: log.path.stat().st_size == size + 50 and failing(client))
        assert not log.path.read_text().endswith("\n")
        client.call("CONFIG", "SET", "hz", "13")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        log.wait("configuration", request="CONFIG SET hz 13")
    log.server.stop()
    assert log.has_numbers_in_a_row()


def test_a_line_that_was_cut_is_whole_in_the_next_file(audited):
    log = audited()
    old = log.path.with_suffix(".1")
    with log.server.connect() as client:
        client.call("CONFIG", "SET", "hz", "11")
        log.wait("configuration", request="CONFIG SET hz 11")
        limit = log.path.stat().st_size + 50
        resource.prlimit(log.server.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        client.call("CONFIG", "SET", "hz", "12")
        eventually(lambda: log.path.stat().st_size == limit)
        os.rename(log.path, old)
        log.server.process.send_signal(signal.SIGHUP)
        log.wait("configuration", request="CONFIG SET hz 12")


def test_a_disk_that_hangs_holds_up_no_client(start, tmp_path):
    """A pipe that nobody reads: when it is full, a write to it does not return."""
    pipe = tmp_path / "audit.log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = Audited(start, pipe)
    try:
        with log.server.connect() as client:
            request = resp.encode(["CONFIG", "SET", "hz", "10"])
            while info(client, "stats")["audit_lines_lost"] == "0":
                assert client.exchange(request * 2000, 2000) == [b"+OK\r\n"] * 2000
            assert client.call("SET", "k", "v") == "OK"
            with log.server.connect() as other:
                assert other.call("GET", "k") == b"v"
            assert info(client, "stats")["audit_log_failing"] == "1"
        log.server.stop()
        assert "a write to it does not return" in log.server.log()
    finally:
        os.close(reader)


# --- strangers ---


def test_strangers_who_are_denied_again_and_again_do_not_push_out_other_lines(audited):
    log = audited("--requirepass", "s3cret")
    with log.server.connect() as stranger, log.server.connect() as admin:
        assert admin.call("AUTH", "s3cret") == "OK"
        assert len(stranger.exchange(resp.encode(["GET", "k"]) * 50_000, 50_000)) == 50_000
        assert admin.call("CONFIG", "SET", "hz", "11") == "OK"
        log.wait("configuration", request="CONFIG SET hz 11")
        # The one more is the question whether the server has started.
        eventually(lambda: len(log.events("denied")) + sum(line["lines"] for line in log.events("left-out", of="denied")) == 50_001)
        figures = info(admin, "stats")
    assert len(log.events("denied")) < 10_000
    assert not log.events("lost")
    assert int(figures["audit_lines_left_out"]) == 50_001 - len(log.events("denied"))
    assert figures["audit_lines_lost"] == "0", "what strangers cause looks like no failing disk"


# The flood of one client: the kind of its lines, how it logs in, and what it sends again and again.
FLOODS = {
    "NOAUTH": ("denied", [], ["PING"]),
    "THROTTLED": ("denied", [("AUTH", "busy", "x")], ["PING"]),
    "NOPERM": ("denied", [("AUTH", "low", "x")], ["GET", "k"]),
    "WRONGPASS": ("auth-failed", [], ["AUTH", "eve", "wrong"]),
    "too many attempts": ("auth-limited", [], ["AUTH", "eve", "wrong"]),
}
VICTIMS = 3


@pytest.mark.parametrize("flood", FLOODS)
def test_the_flood_of_one_client_hides_no_line_of_another(audited, flood):
    """Each refusal of another client comes behind thousands of the flood, in the same second as most of them."""
    kind, login, request = FLOODS[flood]
    limited = kind == "auth-limited"
    log = audited("--requirepass", "s3cret", "--auth-failures-per-minute", "1" if limited else "0")
    batch = resp.encode(request) * 2000
    with contextlib.ExitStack() as open_:
        admin = open_.enter_context(log.server.connect())
        for words in [("AUTH", "s3cret")] + [("ACL", "SETUSER", name, "on", "nopass", "+ping") for name in ("low", "victim0", "victim1", "victim2")]:
            assert admin.call(*words) == "OK"
        assert admin.call("ACL", "SETUSER", "busy", "on", "nopass", "+ping", "rate=1") == "OK"
        by_address = kind != "denied"
        flooding = open_.enter_context(outside.connect(log.server, source="127.0.0.2") if by_address else log.server.connect())
        victims = []
        for i in range(VICTIMS):
            victim = open_.enter_context(outside.connect(log.server, source=f"127.0.1.{i + 1}") if by_address else log.server.connect())
            if limited:
                assert victim.call("AUTH", "victim", "wrong").startswith("WRONGPASS")
            elif not by_address:
                assert victim.call("AUTH", f"victim{i}", "x") == "OK"
            victims.append((victim, victim.socket.getsockname()))
        for words in login:
            assert flooding.call(*words) == "OK"
        rounds = 5 if limited else 20
        for _ in range(rounds):
            assert len(flooding.exchange(batch, 2000)) == 2000
            for victim, _address in victims:
                error = victim.call("AUTH", "nobody", "wrong") if by_address else victim.call("GET", "k")
                assert error.startswith(("WRONGPASS", "ERR too many", "NOPERM"))
        assert admin.call("CONFIG", "SET", "hz", "11") == "OK"
        log.wait("configuration", request="CONFIG SET hz 11")
    found = [len(log.events(kind, address="%s:%d" % address)) for _, address in victims]
    # Two of 4096 places may be the same by chance; that two victims share the place of the flood happens never.
    assert sorted(found)[1:] == [rounds] * (VICTIMS - 1), found


def test_who_authenticates_on_each_of_many_connections_has_a_line_for_each(audited):
    """As clients do that are started for each page. Only further attempts on one connection are limited."""
    log = audited("--requirepass", "s3cret")
    count = 150
    for _ in range(count):
        with log.server.connect() as client:
            assert client.call("AUTH", "s3cret") == "OK"
    eventually(lambda: len(log.events("connection-closed")) >= count)
    assert len(log.events("auth-ok", user="default")) >= count
    assert not log.events("left-out")


# What one client does again and again: the kind of its lines, and the right for it.
DEEDS = {
    "AUTH": ("auth-ok", "+ping", ["AUTH", "low", "x"]),
    "HELLO": ("auth-ok", "+ping", ["HELLO", "2", "AUTH", "low", "x"]),
    "WRONGPASS": ("auth-failed", "+ping", ["AUTH", "nobody", "wrong"]),
    "SWAPDB": ("administration", "+swapdb", ["SWAPDB", "x", "y"]),
    "FLUSHDB": ("purge", "+flushdb", ["FLUSHDB", "nonsense"]),
    "CACHE.PURGE": ("purge", "+cache.purge", ["CACHE.PURGE", "TAGS", "nonsense"]),
}


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("way", ["transaction", "pipeline"])
def test_what_one_client_does_again_and_again_hides_no_line_of_another(audited, deed, way):
    """With `refuse`, a queue that one client had filled would have the logins of all others refused, too."""
    event, right, request = DEEDS[deed]
    log = audited("--auth-failures-per-minute", "0", "--audit-log-on-error", "refuse")
    count, rounds = 20_000, 20
    flood, replies = resp.encode(request) * count, count
    if way == "transaction":
        flood, replies = resp.encode(["MULTI"]) + flood + resp.encode(["EXEC"]), count + 2
    with contextlib.ExitStack() as open_:
        admin, flooding = open_.enter_context(log.server.connect()), open_.enter_context(log.server.connect())
        assert admin.call("ACL", "SETUSER", "low", "on", "nopass", "~*", "+multi", "+exec", right) == "OK"
        assert flooding.call("AUTH", "low", "x") == "OK"
        address = "%s:%d" % flooding.socket.getsockname()
        victims = [open_.enter_context(outside.connect(log.server, source=f"127.0.1.{i + 1}")) for i in range(VICTIMS)]
        addresses = ["%s:%d" % victim.socket.getsockname() for victim in victims]
        flooded = open_.enter_context(concurrent.futures.ThreadPoolExecutor(1)).submit(flooding.exchange, flood, replies)
        for i in range(rounds):
            for victim in victims:
                assert victim.call("AUTH", "nobody", "wrong").startswith("WRONGPASS")
            assert admin.call("CONFIG", "SET", "hz", str(10 + i)) == "OK"
        assert len(flooded.result()) == replies
        before = 1 if event == "auth-ok" else 0

        def told():
            return len(log.events(event, address=address)) - before

        eventually(lambda: told() + sum(line["lines"] for line in log.events("left-out", of=event)) == count)
        figures = info(admin, "stats")
    assert told() == 16 if way == "transaction" else told() < count / 4
    assert (figures["audit_lines_lost"], figures["audit_log_failing"]) == ("0", "0")
    assert len([line for line in log.events("configuration", result="ok") if line["request"].startswith("CONFIG SET hz")]) == rounds
    found = [len(log.events("auth-failed", address=victim)) for victim in addresses]
    assert sorted(found)[1:] == [rounds] * (VICTIMS - 1), found  # two of 4096 places may be the same by chance
