"""Each client library runs a program for each type: main commands, blocking pops of several clients, scans, pipelines and transactions."""

import os
import subprocess

import pytest

from tests.clients.test_libraries import HERE, NODE_MODULES, node_modules  # noqa: F401 (a fixture)
from tests.support import servers


@pytest.fixture(scope="module")
def server():
    with servers.pinfold() as running:
        yield running


def run(server, command, protocol=2):
    result = subprocess.run(
        [*map(str, command), str(server.port), str(protocol)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES)},
    )  # fmt: skip
    assert result.returncode == 0 and result.stdout == "types ok\n", f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def test_redis_py(server):
    run(server, ["/usr/bin/python3", "-B", HERE / "types_redis_py.py"])


def test_hiredis(server, tmp_path):
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-o", tmp_path / "types", HERE / "types.c", "-lhiredis"], check=True)
    run(server, [tmp_path / "types"])


def test_phpredis(server):
    run(server, ["php", HERE / "types.php"])


def test_ruby_redis(server):
    run(server, ["ruby", HERE / "types.rb"])


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(server, node_modules, protocol):  # noqa: F811
    run(server, ["node", HERE / "node/types_node_redis.mjs"], protocol)


def test_ioredis(server, node_modules):  # noqa: F811
    run(server, ["node", HERE / "node/types_ioredis.mjs"])
