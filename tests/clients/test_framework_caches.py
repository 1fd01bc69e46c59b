"""The caches of frameworks, as far as they keep plain values: docs/frameworks.md has the table.

A framework that is missing is a failure, not a skip: scripts/setup installs them.
"""

import pathlib
import subprocess

import pytest

from tests.support import servers

PROGRAM = pathlib.Path(__file__).parent / "frameworks/caches.py"


@pytest.fixture(scope="module")
def server():
    with servers.pinfold() as running, running.connect() as connection:
        # Whoever asks for a missing value waits until the first one has stored it: docs/frameworks.md recommends it.
        assert connection.call("CACHE.POLICY", "SET", "rare", "match", "*rare", "coalesce", "30s", "lease", "60s") == "OK"
        yield running


@pytest.mark.parametrize("library", ["cachelib", "Flask-Caching", "django-redis", "dogpile.cache"])
def test_caches(server, library):
    result = subprocess.run(["/usr/bin/python3", "-B", PROGRAM, library, str(server.port)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stdout == "caches ok\n", f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
