"""Job queues work: what a site has put in is done once, tried again, done later, and not lost with a worker (docs/frameworks.md)."""

import os
import subprocess

import pytest

from tests.clients.test_framework_locks import FRAMEWORKS, PYTHON
from tests.support import servers


@pytest.fixture
def server():
    """Queues are no cache: nothing may be evicted."""
    with servers.pinfold("--maxmemory-policy", "noeviction") as running:
        yield running


def run(command):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, env=os.environ)
    assert result.returncode == 0 and result.stdout == "queue ok\n", f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"


def test_celery(server, tmp_path):
    run([*PYTHON, FRAMEWORKS / "queue_celery.py", server.port, tmp_path])


def test_rq(server):
    run([*PYTHON, FRAMEWORKS / "queue_rq.py", server.port])


def test_sidekiq(server):
    run(["ruby", FRAMEWORKS / "queue_sidekiq.rb", server.port])
