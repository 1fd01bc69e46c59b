"""Client libraries, redis-cli and redis-benchmark over TLS, without and with a certificate of their own.

hiredis has no TLS in Debian, so it talks to stunnel, as programs without TLS do.
"""

import os
import re
import socket
import subprocess

import pytest

from tests.server.conftest import info
from tests.support import servers, tls
from tests.support.servers import eventually

from .test_libraries import HERE, NODE_MODULES, hiredis_program, node_modules  # noqa: F401

PROGRAMS = {
    "redis-py": ["/usr/bin/python3", HERE / "cache_aside.py"],
    "phpredis": ["php", HERE / "cache_aside.php"],
    "ruby-redis": ["ruby", HERE / "cache_aside.rb"],
    "node-redis": ["node", HERE / "node/node_redis.mjs"],
    "ioredis": ["node", HERE / "node/ioredis.mjs"],
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return tls.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=["no", "yes"], ids=["TLS", "mTLS"])
def server(request, authority):
    with tls.pinfold(authority=authority, ask=request.param) as running:
        running.client = authority.client("app") if request.param == "yes" else None
        yield running


def environment(server):
    files = {"PINFOLD_TLS_CA": server.authority.cert}
    if server.client:
        files |= {"PINFOLD_TLS_CERT": server.client.cert, "PINFOLD_TLS_KEY": server.client.key}
    return {**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES), **files}


def run(server, command, port, protocol=2):
    result = subprocess.run([*map(str, command), str(port), str(protocol)], capture_output=True, text=True, timeout=120, env=environment(server))
    assert result.returncode == 0 and result.stdout.endswith("cache-aside ok\n"), f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("library", PROGRAMS)
def test_a_library_over_tls(server, node_modules, library):  # noqa: F811
    run(server, PROGRAMS[library], server.tls_port)


@pytest.mark.parametrize("library", PROGRAMS)
def test_a_library_without_a_certificate_is_not_let_in_where_one_is_asked_for(server, node_modules, library):  # noqa: F811
    if server.client is None:
        pytest.skip("none is asked for")
    nobody = {name: value for name, value in environment(server).items() if name not in ("PINFOLD_TLS_CERT", "PINFOLD_TLS_KEY")}
    command = [*map(str, PROGRAMS[library]), str(server.tls_port), "2"]
    with server.connect_plain() as admin:

        def refused():
            return int(info(admin, "tls")["tls_handshakes_failed"])

        before = refused()
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=nobody) as program:
            try:
                eventually(lambda: program.poll() is not None or refused() >= before + 3, deadline=120)  # some try for ever
            finally:
                program.kill()
            said = program.stdout.read()
        assert "cache-aside ok" not in said
        eventually(lambda: refused() > before)


def test_node_redis_over_tls_with_resp3(server, node_modules):  # noqa: F811
    run(server, PROGRAMS["node-redis"], server.tls_port, 3)


def test_hiredis_through_stunnel(server, hiredis_program, tmp_path):  # noqa: F811
    port = servers.free_port()
    own = f"cert = {server.client.cert}\nkey = {server.client.key}\n" if server.client else ""
    config = tmp_path / "stunnel.conf"
    config.write_text(
        f"foreground = yes\npid =\nsyslog = no\n[cache]\nclient = yes\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{server.tls_port}\n"
        f"CAfile = {server.authority.cert}\nverifyChain = yes\ncheckIP = 127.0.0.1\n{own}"
    )
    with subprocess.Popen(["stunnel4", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as tunnel:
        try:
            eventually(lambda: is_open(port))
            run(server, [hiredis_program], port)
        finally:
            tunnel.terminate()


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def arguments(server):
    found = ["-p", server.tls_port, "--tls", "--cacert", server.authority.cert]
    if server.client:
        found += ["--cert", server.client.cert, "--key", server.client.key]
    return list(map(str, found))


@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_redis_cli_over_tls(server, protocol):
    def cli(*words, stdin=""):
        return subprocess.run(["redis-cli", *arguments(server), protocol, *words], input=stdin, capture_output=True, text=True, check=True, timeout=60).stdout

    large = "x" * 100_000
    assert cli("SET", "greeting", "hello") == "OK\n" and cli("GET", "greeting") == "hello\n"
    assert cli("-x", "SET", "large", stdin=large) == "OK\n" and cli("GET", "large") == large + "\n"
    assert cli(stdin="SET in 1\nINCR in\nGET in\n") == "OK\n2\n2\n"
    assert "redis_version:" in cli("INFO")
    assert set(cli("--scan").split()) >= {"greeting", "large", "in"}


def test_redis_benchmark_over_tls(server):
    command = ["redis-benchmark", *arguments(server), "-t", "ping,set,get,incr,mset", "-n", "2000", "-P", "4", "-q"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result
    for name in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"):
        assert re.search(rf"{name}.*: [\d.]+ requests per second", result.stdout), result.stdout
    assert "rror" not in result.stdout + result.stderr
