"""ACL LOG: what is remembered of refusals, which of them are one entry, and its bounds."""

import time

import pytest

from tests.support import audit, resp
from tests.support.servers import bound, is_redis

from .conftest import info, only_pinfold


@pytest.fixture
def admin(client):
    client.call("ACL", "SETUSER", "ada", "reset", "on", ">secret", "~a*", "+get", "+multi", "+exec", "+mget", "+auth", "+ping", "+select")
    client.call("ACL", "LOG", "RESET")
    yield client
    client.call("ACL", "DELUSER", "ada")
    client.call("CONFIG", "SET", "acllog-max-len", "128")


@pytest.fixture
def ada(admin, connect):
    connection = connect()
    assert connection.call("AUTH", "ada", "secret") == "OK"
    return connection


def entries(connection, *count):
    return [entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2])) for entry in connection.call("ACL", "LOG", *count)]


def short(connection):
    return [(e[b"count"], e[b"reason"], e[b"context"], e[b"object"], e[b"username"]) for e in entries(connection, "1000")]


def test_each_kind_of_refusal(admin, ada, connect):
    assert ada.call("SET", "a", "v").startswith("NOPERM ")
    assert ada.call("GET", "b").startswith("NOPERM ")
    assert ada.call("MGET", "a1", "c1", "c2").startswith("NOPERM ")
    assert ada.call("CONFIG", "GET", "port").startswith("NOPERM ")
    assert connect().call("AUTH", "ada", "wrong").startswith("WRONGPASS ")
    assert short(admin) == [
        (1, b"auth", b"toplevel", b"AUTH", b"ada"),
        (1, b"command", b"toplevel", b"config|get", b"ada"),
        (1, b"key", b"toplevel", b"c1", b"ada"),
        (1, b"key", b"toplevel", b"b", b"ada"),
        (1, b"command", b"toplevel", b"set", b"ada"),
    ]


def test_refusals_inside_multi_say_so(admin, ada):
    replies = ada.pipeline([("MULTI",), ("SET", "a", "v"), ("GET", "b"), ("EXEC",)])
    assert replies[3].startswith("EXECABORT ")
    assert short(admin) == [(1, b"key", b"multi", b"b", b"ada"), (1, b"command", b"multi", b"set", b"ada")]


def test_rights_that_are_lost_before_exec_are_noted(admin, ada):
    ada.pipeline([("MULTI",), ("GET", "a")])
    admin.call("ACL", "SETUSER", "ada", "-get")
    assert str(ada.call("EXEC")[0]).startswith("NOPERM ")
    assert short(admin) == [(1, b"command", b"multi", b"get", b"ada")]


def test_like_refusals_are_counted_together(admin, ada):
    for _ in range(5):
        ada.call("GET", "b")
    ada.call("SET", "a", "v")
    ada.call("GET", "b")
    assert short(admin) == [(6, b"key", b"toplevel", b"b", b"ada"), (1, b"command", b"toplevel", b"set", b"ada")]


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_fields_of_an_entry(admin, ada, connect, protocol):
    before = int(time.time() * 1000)
    ada.call("GET", "b")
    entry = entries(connect(protocol=protocol))[0]
    # No more than the test has taken until now.
    assert 0 <= float(entry[b"age-seconds"]) * 1000 <= time.time() * 1000 - before + 1000
    client = entry[b"client-info"].decode()
    assert client.startswith("id=") and " user=ada " in client and " cmd=get " in client and not client.endswith("\n")
    if not is_redis():  # since 7.2
        assert list(entry)[7:] == [b"entry-id", b"timestamp-created", b"timestamp-last-updated"]
        assert before - 1000 <= entry[b"timestamp-created"] == entry[b"timestamp-last-updated"] <= int(time.time() * 1000) + 1000


def test_count_and_reset(admin, ada):
    for i in range(15):
        ada.call("GET", f"b{i}")
    assert len(entries(admin)) == 10
    assert [e[b"object"] for e in entries(admin, "2")] == [b"b14", b"b13"]
    assert entries(admin, "0") == [] and entries(admin, "-1") == []
    assert len(entries(admin, "99999")) == 15
    assert admin.call("ACL", "LOG", "x") == "ERR value is not an integer or out of range"
    assert admin.call("ACL", "LOG", "1", "2") == "ERR unknown subcommand or wrong number of arguments for 'LOG'. Try ACL HELP."
    assert admin.call("ACL", "LOG", "reset") == "OK"
    assert entries(admin) == []


def test_the_length_is_a_setting(admin, ada):
    assert admin.call("CONFIG", "GET", "acllog-max-len") == [b"acllog-max-len", b"128"]
    assert admin.call("CONFIG", "SET", "acllog-max-len", "3") == "OK"
    for i in range(6):
        ada.call("GET", f"b{i}")
    assert [e[b"object"] for e in entries(admin)] == [b"b5", b"b4", b"b3"]


@only_pinfold
def test_a_shorter_length_holds_at_once(admin, ada):
    for i in range(6):
        ada.call("GET", f"b{i}")
    assert admin.call("CONFIG", "SET", "acllog-max-len", "2") == "OK"
    assert [e[b"object"] for e in entries(admin)] == [b"b5", b"b4"]
    assert admin.call("CONFIG", "SET", "acllog-max-len", "0") == "OK"
    ada.call("GET", "b")
    assert entries(admin) == []
    assert admin.call("CONFIG", "SET", "acllog-max-len", "1025").startswith("ERR CONFIG SET failed")


@only_pinfold
def test_long_and_binary_names_are_cut_and_shown(admin, ada):
    assert ada.call("GET", b"\x00\r\n\xff" + b"x" * 100_000).startswith("NOPERM ")
    entry = entries(admin)[0]
    assert entry[b"object"] == b"\x00\r\n\xff" + b"x" * 124
    reply = admin.raw("ACL", "LOG")
    assert resp.reply_end(reply) == len(reply)


@only_pinfold
def test_the_log_is_bounded_however_many_are_refused(admin, ada, server):
    """The memory that strangers can make it take: 1024 entries of about a kilobyte."""
    assert admin.call("CONFIG", "SET", "acllog-max-len", "1024") == "OK"
    before = server.rss()
    for round_ in range(40):
        ada.pipeline([("GET", b"%d:" % i + b"x" * 20_000) for i in range(round_ * 100, round_ * 100 + 100)])
    assert len(entries(admin, "100000")) == 1024
    assert len(admin.raw("ACL", "LOG", "100000")) < 1024 * 1500
    assert server.rss() - before < bound(32 << 20)


@only_pinfold
def test_no_password_is_in_the_log(admin, connect):
    other = connect()
    other.call("AUTH", "ada", "hunter2")
    other.call("AUTH", "hunter2")
    other.call("HELLO", "3", "AUTH", "ada", "hunter2")
    other.call("AUTH", "default", "hunter2")
    other.call("AUTH", "hunter2", "ada")  # the wrong way round
    other.call("HELLO", "3", "AUTH", "hunter2", "ada")
    text = repr(entries(admin))
    assert "(unknown)" in text
    assert "'auth'" in text and "hunter2" not in text


@only_pinfold
def test_refusals_are_counted_in_info(admin, ada, connect):
    before = info(admin, "stats")
    ada.call("SET", "a", "v")
    ada.call("GET", "b")
    ada.call("GET", "b")
    connect().call("AUTH", "ada", "wrong")
    after = info(admin, "stats")
    grown = {name: int(after[name]) - int(before[name]) for name in after if name.startswith("acl_access_denied_")}
    assert grown == {"acl_access_denied_auth": 1, "acl_access_denied_cmd": 1, "acl_access_denied_key": 2, "acl_access_denied_channel": 0, "acl_access_denied_db": 0}


@only_pinfold
def test_the_audit_log_has_changes_of_users_without_passwords(start, tmp_path):
    path = tmp_path / "audit.log"
    server = start("--audit-log-file", path)
    with server.connect() as connection:
        connection.call("ACL", "SETUSER", "ada", "on", ">hunter2", "~a*", "+get")
        connection.call("ACL", "SETUSER", "ada", "hunter2")
        connection.call("ACL", "SETUSER", "ada", "(~a hunter2)")
        connection.call("ACL", "SETUSER", "ada", "(~a", "hunter2)")
        connection.call("ACL", "SETUSER", "ada", "(~a +get)", "(~b", "+set)")
        connection.call("ACL", "DELUSER", "ada")
    server.stop()
    requests = [(line["request"], line["result"]) for line in audit.events(path, "acl")]
    assert requests == [
        ("ACL SETUSER ada on (hidden) ~a* +get", "ok"), ("ACL SETUSER ada (hidden)", "failed"),
        ("ACL SETUSER ada (hidden)", "failed"), ("ACL SETUSER ada (~a (hidden)", "failed"),
        ('ACL SETUSER ada "(~a +get)" (~b +set)', "ok"), ("ACL DELUSER ada", "ok"),
    ]  # fmt: skip
    assert "hunter2" not in path.read_text() + server.log()
