"""TCP over IPv4 and IPv6, several addresses, and the unix socket."""

import os
import pathlib
import socket
import stat

import pytest

from tests.support.connection import Connection
from tests.support.servers import is_redis

from .conftest import needs_ipv6


@needs_ipv6
def test_ipv6_loopback(start):
    server = start("--bind", "::1", host="::1")
    with server.connect() as connection:
        assert connection.call("PING") == "PONG"
        assert b"addr=[::1]:" in connection.call("CLIENT", "INFO")


def test_several_addresses(start):
    server = start("--bind", "127.0.0.1 127.0.0.2")
    for host in ("127.0.0.1", "127.0.0.2"):
        with Connection(server.port, host=host) as connection:
            assert connection.call("PING") == "PONG"
    with pytest.raises(ConnectionRefusedError):
        Connection(server.port, host="127.0.0.3")


def test_an_optional_address_may_be_missing(start):
    server = start("--bind", "127.0.0.1 -192.0.2.1")
    with server.connect() as connection:
        assert connection.call("PING") == "PONG"


def test_unix_socket(start, tmp_path):
    path = str(tmp_path / "pinfold.sock")
    server = start("--unixsocket", path)
    with server.connect() as tcp, Connection(path=path) as unix:
        assert unix.call("SET", "k", "v") == "OK"
        assert tcp.call("GET", "k") == b"v"
        assert f"addr={path}:0".encode() in unix.call("CLIENT", "INFO")
        assert len(unix.pipeline([("PING",)] * 10_000)) == 10_000
    mode = os.stat(path).st_mode
    assert stat.S_ISSOCK(mode)
    if not is_redis():
        assert mode & 0o007 == 0, "others may not connect unless it is asked for"
    server.stop()
    assert not os.path.exists(path), "the socket is removed on exit"


def test_unix_socket_permissions(start, tmp_path):
    path = str(tmp_path / "pinfold.sock")
    start("--unixsocket", path, "--unixsocketperm", "777")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777


def test_a_stale_unix_socket_is_replaced(start, tmp_path):
    path = str(tmp_path / "pinfold.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    start("--unixsocket", path)
    with Connection(path=path) as unix:
        assert unix.call("PING") == "PONG"


def test_keepalive_is_on_for_accepted_connections(start):
    server = start("--tcp-keepalive", "60")
    with server.connect() as connection:
        connection.call("PING")
        # The kernel shows the keepalive timer of the server's side as "02" in /proc/net/tcp.
        peer = f"{connection.socket.getsockname()[1]:04X}"
        lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        timers = [line[5] for line in lines if line[1].endswith(f":{server.port:04X}") and line[2].endswith(f":{peer}")]
        assert timers and timers[0].startswith("02:")
