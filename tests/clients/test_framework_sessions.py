"""Sessions of web frameworks: they are prolonged by requests, end by themselves and at log-out, and can be listed (docs/frameworks.md)."""

from tests.clients.test_framework_locks import FRAMEWORKS, PYTHON, empty, run_together, server  # noqa: F401 (fixtures)
from tests.clients.test_libraries import node_modules  # noqa: F401 (a fixture)


def test_express_session_in_connect_redis(empty, node_modules):  # noqa: F811
    assert run_together([["node", FRAMEWORKS / "express_session.mjs", empty.port]]) == ["sessions ok\n"]


def test_sessions_of_django(empty):  # noqa: F811
    assert run_together([[*PYTHON, FRAMEWORKS / "django_sessions.py", empty.port]]) == ["sessions ok\n"]
