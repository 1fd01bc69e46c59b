"""Caches within programs stay coherent by CLIENT TRACKING: that of node-redis, and one on redis-py over a second connection."""

from tests.clients.test_framework_locks import FRAMEWORKS, PYTHON, empty, run_together, server  # noqa: F401 (fixtures)
from tests.clients.test_libraries import node_modules  # noqa: F401 (a fixture)


def test_the_cache_of_node_redis(empty, node_modules):  # noqa: F811
    assert run_together([["node", FRAMEWORKS / "node_redis_tracking.mjs", empty.port]]) == ["tracking ok\n"]


def test_a_cache_on_redis_py(empty):  # noqa: F811
    assert run_together([[*PYTHON, FRAMEWORKS / "redis_py_tracking.py", empty.port]]) == ["tracking ok\n"]
