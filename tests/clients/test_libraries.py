"""Each client library connects with its defaults and runs the same cache-aside program.

A missing client is a failure, not a skip: scripts/setup installs them.
"""

import os
import pathlib
import subprocess

import pytest
import redis

from tests.support import servers

HERE = pathlib.Path(__file__).parent
NODE_MODULES = servers.ROOT / "build/clients/node"


@pytest.fixture(scope="module")
def server():
    with servers.pinfold() as running:
        yield running


@pytest.fixture(scope="session")
def hiredis_program(tmp_path_factory):
    binary = tmp_path_factory.mktemp("hiredis") / "cache_aside"
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", binary, HERE / "cache_aside.c", "-lhiredis"], check=True)
    return binary


@pytest.fixture(scope="session")
def node_modules():
    subprocess.run([HERE / "node/install"], check=True, stdin=subprocess.DEVNULL)
    return NODE_MODULES


def run(server, command, protocol):
    result = subprocess.run(
        [*map(str, command), str(server.port), str(protocol)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES)},
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout.endswith("cache-aside ok\n"), f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def test_redis_py(server):
    run(server, ["/usr/bin/python3", HERE / "cache_aside.py"], 2)


def test_hiredis(server, hiredis_program):
    run(server, [hiredis_program], 2)


def test_phpredis(server):
    run(server, ["php", HERE / "cache_aside.php"], 2)


def test_ruby_redis(server):
    run(server, ["ruby", HERE / "cache_aside.rb"], 2)


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(server, node_modules, protocol):
    run(server, ["node", HERE / "node/node_redis.mjs"], protocol)


def test_ioredis(server, node_modules):
    run(server, ["node", HERE / "node/ioredis.mjs"], 2)


@pytest.mark.parametrize("program, protocol", [("coalesce_ioredis.mjs", 2), ("coalesce_node_redis.mjs", 2), ("coalesce_node_redis.mjs", 3)])
def test_a_node_client_that_is_shared_does_not_wait_for_its_own_set(server, node_modules, program, protocol):
    run(server, ["node", HERE / "node" / program], protocol)


def test_a_redis_py_pipeline_does_not_wait_for_its_own_set(server):
    with redis.Redis(port=server.port, socket_timeout=30) as client, redis.Redis(port=server.port) as other:
        client.execute_command("CACHE.POLICY", "SET", "pipelined", "match", "pipelined:*", "coalesce", "10m", "lease", "10m")
        assert other.get("pipelined:k") is None
        pipeline = client.pipeline(transaction=False)
        for _ in range(40):
            pipeline.get("pipelined:k")
        pipeline.set("pipelined:k", "v")
        assert pipeline.execute() == [None] * 40 + [True]
        client.execute_command("CACHE.POLICY", "DEL", "pipelined")


def test_all_of_them_at_once(server, node_modules, hiredis_program):
    """Each flushes what the others do, so only that all of them end is looked at."""
    commands = [
        ["/usr/bin/python3", HERE / "cache_aside.py"], [hiredis_program], ["php", HERE / "cache_aside.php"], ["ruby", HERE / "cache_aside.rb"],
        ["node", HERE / "node/ioredis.mjs"],
    ]  # fmt: skip
    environment = {**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES)}
    running = [
        subprocess.Popen([*map(str, c), str(server.port), "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) for c in commands
    ]
    for process in running:
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    with server.connect() as connection:
        assert connection.call("PING") == "PONG"
