"""Scripts as client libraries send them: by their text and their digest, in pipelines and transactions, again after the server has forgotten them, and functions."""

import pytest

from tests.clients.test_framework_locks import FRAMEWORKS, PYTHON, empty, run_together, server  # noqa: F401 (fixtures)
from tests.clients.test_libraries import node_modules  # noqa: F401 (a fixture)


def run(server, *command, protocol=2):  # noqa: F811
    assert run_together([[*command, server.port, protocol]]) == ["scripts ok\n"]


def test_redis_py(empty):  # noqa: F811
    run(empty, *PYTHON, FRAMEWORKS / "redis_py_scripts.py")


def test_ioredis(empty, node_modules):  # noqa: F811
    run(empty, "node", FRAMEWORKS / "ioredis_scripts.mjs")


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(empty, node_modules, protocol):  # noqa: F811
    run(empty, "node", FRAMEWORKS / "node_redis_scripts.mjs", protocol=protocol)


def test_phpredis(empty):  # noqa: F811
    run(empty, "php", FRAMEWORKS / "phpredis_scripts.php")


def test_redis_rb(empty):  # noqa: F811
    run(empty, "ruby", FRAMEWORKS / "ruby_scripts.rb")
