"""The locks of libraries exclude and are released: some processes take one in turns, and a checker that does not ask the server counts overlaps."""

import os
import pathlib
import subprocess

import pytest

from tests.clients.test_libraries import NODE_MODULES, node_modules  # noqa: F401 (a fixture)
from tests.support import servers

FRAMEWORKS = pathlib.Path(__file__).parent / "frameworks"
PYTHON = ["/usr/bin/python3", "-B"]
WORKERS = 3
ROUNDS = 60


@pytest.fixture(scope="module")
def server():
    with servers.pinfold() as running:
        yield running


@pytest.fixture
def empty(server):
    with server.connect() as connection:
        assert connection.call("FLUSHALL") == "OK"
    return server


def environment():
    return {**os.environ, "PINFOLD_NODE_MODULES": str(NODE_MODULES)}


def run_together(commands):
    """Runs all of them at once; what they print."""
    running = [subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) for command in commands]
    printed = []
    try:
        for process in running:
            out, err = process.communicate(timeout=300)
            assert process.returncode == 0, f"exit {process.returncode}\n{out}\n{err}"
            printed.append(out)
    finally:
        for process in running:
            process.kill()
    return printed


def overlaps(command):
    """How often two workers were inside."""
    printed = run_together([command] * WORKERS)
    assert all(out.startswith("overlaps: ") for out in printed), printed
    return sum(int(out.split()[1]) for out in printed)


def counted(folder):
    """How often one has counted, less what was lost when two were inside."""
    return int((folder / "counter").read_text())


def keys_left(server):
    with server.connect() as connection:
        found = set()
        for database in (0, 1):
            connection.call("SELECT", database)
            found.update(connection.call("KEYS", "*"))
        return found


@pytest.mark.parametrize("library", ["redis-py", "django-redis", "dogpile.cache"])
def test_a_lock_in_python_excludes_and_is_released(empty, library, tmp_path):
    assert overlaps([*PYTHON, FRAMEWORKS / "locks.py", library, empty.port, tmp_path, ROUNDS]) == 0 and counted(tmp_path) == WORKERS * ROUNDS
    assert keys_left(empty) == set()


def test_redlock_excludes_and_is_released(empty, node_modules, tmp_path):  # noqa: F811
    assert overlaps(["node", FRAMEWORKS / "redlock.mjs", empty.port, tmp_path, ROUNDS]) == 0 and counted(tmp_path) == WORKERS * ROUNDS
    assert keys_left(empty) == set()


def test_sessions_of_phpredis_are_locked(empty, tmp_path):
    assert overlaps(["php", FRAMEWORKS / "session.php", empty.port, tmp_path, ROUNDS]) == 0 and counted(tmp_path) == WORKERS * ROUNDS
    assert {key for key in keys_left(empty) if b"LOCK" in key} == set()


def test_the_checker_notices_that_there_is_no_lock(empty, tmp_path):
    assert overlaps([*PYTHON, FRAMEWORKS / "locks.py", "none", empty.port, tmp_path, 5 * ROUNDS]) > 0 and counted(tmp_path) < WORKERS * 5 * ROUNDS


@pytest.mark.parametrize("library", ["redis-py", "django-redis", "dogpile.cache"])
def test_a_lock_belongs_to_whoever_took_it(empty, library):
    assert run_together([[*PYTHON, FRAMEWORKS / "checks.py", library, empty.port]]) == ["checks ok\n"]
