"""Passwords appear nowhere: a secret is planted in every way in which a client can send one, and then looked for everywhere."""

import itertools
import os
import signal

import pytest

from tests.support import servers
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Redis shows some of them")

FIRST = "pl4nted-s3cret"
SECOND = "pl4nted-n3w"
# In each of them, the planted words are passwords or what somebody took for one.
SENDING = [
    ("AUTH", FIRST),
    ("AUTH", "default", FIRST),
    ("AUTH", "wrong-" + FIRST),
    ("AUTH", "nobody", "wrong-" + FIRST),
    ("AUTH", "default", FIRST, FIRST),
    ("HELLO", "3", "AUTH", "default", FIRST),
    ("HELLO", "2", "AUTH", "default", "wrong-" + FIRST, "SETNAME", "me"),
    ("CONFIG", "SET", "requirepass", FIRST),
    ("config", "set", "hz", "10", "REQUIREPASS", FIRST),
    ("CONFIG", "SET", "hz", "10", "requirepass", FIRST, "timeout", "nonsense"),
    ("CONFIG", "SET", "hz", "requirepass", FIRST),
    ("CONFIG", "SET", "requirepas", FIRST),
    ("CONFIG", "SET", "requirepass", FIRST + "x" * 5000),
    ("CONFIG", "SET", "requirepass", SECOND),
    ("CONFIG", "SET", "requirepass", FIRST),
]
SHOWING = [
    ("CLIENT", "LIST"),
    ("CLIENT", "INFO"),
    ("INFO", "everything"),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "GET", "requirepass"),
    ("CONFIG", "GET", "REQUIREPASS"),
    ("MEMORY", "STATS"),
    ("MEMORY", "DOCTOR"),
    ("CACHE.POLICY", "LIST"),
    ("COMMAND", "DOCS", "auth"),
]


def planted(shown):
    return b"pl4nted" in shown


@pytest.fixture
def guarded(tmp_path):
    # The environment of a process is its own and its user's; the command line is for everybody to see, so it has no secret here.
    file = tmp_path / "pinfold.yaml"
    file.write_text(f'requirepass: "{FIRST}"\nthreads: 2\nloglevel: debug\n')
    with servers.pinfold(file=file) as server:
        yield server


def plant(server):
    """Sends each request with a secret, inside a transaction too, and returns all that the server has said."""
    said = b""
    with server.connect() as admin:
        assert admin.call("AUTH", FIRST) == "OK"
        for words in SENDING:
            said += admin.raw(*words)
        assert admin.call("MULTI") == "OK"
        for words in SENDING:
            said += admin.raw(*words)
        said += admin.raw("EXEC") + admin.raw("RESET")
    with server.connect() as stranger:
        for words in SENDING:
            said += stranger.raw(*words)
    return said


def test_replies_to_requests_with_a_password_do_not_repeat_it(guarded):
    assert not planted(plant(guarded))


def test_nothing_that_the_server_shows_or_writes_has_a_password(guarded):
    plant(guarded)
    with guarded.connect() as admin:
        assert admin.call("AUTH", FIRST) == "OK"
        for protocol, words in itertools.product("23", SHOWING):
            admin.call("HELLO", protocol)
            assert not planted(admin.raw(*words)), words
        # Of many such lines in a second some are left out.
        eventually(lambda: admin.call("CONFIG", "SET", "timeout", "77") == "OK" and "CONFIG SET timeout 77" in guarded.log())
    assert "CONFIG SET requirepass (hidden)" in guarded.log()
    assert not planted(guarded.log().encode())


def test_config_get_says_whether_there_is_a_password_but_not_which(start):
    server = start()
    with server.connect() as client:
        assert client.call("CONFIG", "GET", "requirepass") == [b"requirepass", b""]
        assert client.call("CONFIG", "SET", "requirepass", FIRST) == "OK"
        assert client.call("CONFIG", "GET", "requirepass") == [b"requirepass", b"(hidden)"]


@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="a sanitizer has its own handler, whose report is a finding")
@pytest.mark.parametrize("fault", [signal.SIGSEGV, signal.SIGABRT], ids=lambda fault: fault.name)
def test_a_crash_prints_no_password(guarded, fault):
    plant(guarded)
    guarded.expected_exits = (-fault,)
    guarded.process.send_signal(fault)
    guarded.process.wait(60)
    assert not planted(guarded.log().encode())


def test_errors_in_the_settings_do_not_repeat_a_password(tmp_path):
    file = tmp_path / "pinfold.yaml"
    for text in (f"requirepass: [{FIRST}]\n", f"requirepass: {FIRST}\nrequirepass: {FIRST}\n", f'requirepass: "{FIRST}" {FIRST}\n'):
        file.write_text(text)
        with servers.Server(servers.pinfold_binary(), file=file, wait=False) as server:
            server.expected_exits = (1,)
            server.process.wait(60)
            assert server.log() and not planted(server.log().encode()), text


def test_an_unread_reply_that_is_cut_off_leaves_no_password_in_the_log(guarded):
    with guarded.connect() as stranger:
        stranger.send(b"*2\r\n$4\r\nAUTH\r\n$20000\r\n" + FIRST.encode())
        try:
            said = stranger.read_until_closed()
        except Closed as closed:
            said = closed.rest
        assert said.startswith(b"-ERR Protocol error") and not planted(said)
    assert not planted(guarded.log().encode())
