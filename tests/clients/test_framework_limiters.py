"""Limiters of libraries count right between processes: of the calls of all of them as many are accepted as the limit says, and no increment is lost."""

import pytest

from tests.clients.test_framework_locks import FRAMEWORKS, PYTHON, WORKERS, empty, run_together, server  # noqa: F401 (fixtures)
from tests.clients.test_libraries import node_modules  # noqa: F401 (a fixture)

LIMIT = 100
CALLS = 80  # of each worker


def accepted(command):
    printed = run_together([[*command, LIMIT, CALLS]] * WORKERS)
    assert all(out.startswith("accepted: ") for out in printed), printed
    return sum(int(out.split()[1]) for out in printed)


@pytest.mark.parametrize("client", ["ioredis", "redis"])
def test_rate_limiter_flexible_accepts_as_many_as_the_limit_says(empty, node_modules, client):  # noqa: F811
    assert accepted(["node", FRAMEWORKS / "rate_limiter_flexible.mjs", empty.port, client]) == LIMIT


@pytest.mark.parametrize("client", ["ioredis", "redis"])
def test_express_rate_limit_accepts_as_many_as_the_limit_says(empty, node_modules, client):  # noqa: F811
    assert accepted(["node", FRAMEWORKS / "express_rate_limit.mjs", empty.port, client]) == LIMIT


def test_limits_of_flask_limiter_accept_as_many_as_the_limit_says(empty):  # noqa: F811
    assert accepted([*PYTHON, FRAMEWORKS / "limits_fixed.py", empty.port]) == LIMIT


def test_incr_of_django_redis_loses_nothing(empty):  # noqa: F811
    assert run_together([[*PYTHON, FRAMEWORKS / "django_incr.py", empty.port, CALLS]] * WORKERS) == ["counted\n"] * WORKERS
    with empty.connect() as connection:
        connection.call("SELECT", 1)
        assert connection.call("MGET", ":1:plain", ":1:lasting", ":1:fresh") == [b"%d" % (WORKERS * CALLS)] * 3
