"""A server that asks for no password serves its own machine only (protected-mode)."""

import pytest

from tests.server.conftest import info
from tests.support import outside
from tests.support.connection import Closed, Connection
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="about Pinfold's texts and figures")
EVERYWHERE = ("--bind", "* -::*")


def from_outside(server):
    assert outside.address() is not None, "the test needs an address of this machine that is not loopback"
    return outside.connect(server)


def test_protected_mode_is_on_and_the_server_listens_on_loopback_unless_it_is_told_otherwise(client):
    assert client.call("CONFIG", "GET", "protected-mode") == [b"protected-mode", b"yes"]
    assert client.call("CONFIG", "GET", "bind") == [b"bind", b"127.0.0.1 -::1"]


def test_a_connection_from_outside_is_told_why_and_closed(start):
    server = start(*EVERYWHERE)
    with from_outside(server) as stranger:
        said = stranger.read_until_closed()
    assert said.startswith(b"-DENIED Pinfold is running in protected mode") and said.endswith(b"\r\n") and said.count(b"\n") == 1
    for remedy in (b"requirepass", b"PINFOLD_REQUIREPASS", b"protected-mode no", b"bind"):
        assert remedy in said
    with server.connect() as admin:
        assert info(admin, "stats")["protected_mode_rejections"] == "1"
        eventually(lambda: info(admin, "clients")["connected_clients"] == "1")
    eventually(lambda: f"({outside.address()}:" in server.log() and "(protected-mode)" in server.log())
    assert "clients of other machines are refused (protected-mode)" in server.log()


def test_nothing_that_an_outsider_sends_is_executed(start):
    server = start(*EVERYWHERE)
    with server.connect() as admin:
        for _ in range(20):
            with from_outside(server) as stranger:
                try:
                    stranger.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")
                    stranger.read_until_closed()
                except ConnectionError:
                    pass
        eventually(lambda: info(admin, "stats")["protected_mode_rejections"] == "20")
        assert admin.call("DBSIZE") == 0


def test_this_machine_is_let_in_over_loopback_and_the_unix_socket(start, tmp_path):
    path = str(tmp_path / "pinfold.sock")
    server = start(*EVERYWHERE, "--unixsocket", path)
    for connection in (Connection(server.port), Connection(server.port, host="127.0.0.5"), Connection(path=path)):
        with connection:
            assert connection.call("SET", "k", "v") == "OK"


@pytest.mark.parametrize("settings", [("--requirepass", "s3cret"), ("--protected-mode", "no")], ids=["a password", "protected-mode no"])
def test_outsiders_are_let_in_with_a_password_or_without_the_protection(start, settings):
    server = start(*EVERYWHERE, *settings)
    with from_outside(server) as stranger:
        assert stranger.call("PING") in ("PONG", "NOAUTH Authentication required.")


def test_a_password_or_the_setting_opens_and_closes_the_server_at_run_time(start):
    server = start(*EVERYWHERE)

    def is_let_in():
        with from_outside(server) as stranger:
            try:
                return stranger.call("PING") in ("PONG", "NOAUTH Authentication required.")
            except (Closed, OSError):  # the server has closed it before it has read the request
                return False

    with server.connect() as admin:
        assert not is_let_in()
        assert admin.call("CONFIG", "SET", "protected-mode", "no") == "OK"
        assert is_let_in()
        assert admin.call("CONFIG", "SET", "protected-mode", "yes") == "OK"
        assert not is_let_in()
        assert admin.call("CONFIG", "SET", "requirepass", "s3cret") == "OK"
        assert is_let_in()


def test_clients_that_are_connected_stay(start):
    server = start(*EVERYWHERE, "--protected-mode", "no")
    with from_outside(server) as guest, server.connect() as admin:
        assert guest.call("PING") == "PONG"
        assert admin.call("CONFIG", "SET", "protected-mode", "yes") == "OK"
        assert guest.call("PING") == "PONG"
