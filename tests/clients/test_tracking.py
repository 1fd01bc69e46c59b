"""Client-side caching with client libraries, as docs/client-side-caching.md shows it."""

import re
import threading

import pytest

from tests.support import servers
from tests.support.servers import ROOT, eventually

redis = pytest.importorskip("redis")


def recipe():
    """The class that the page has for redis-py of Debian, which has no cache of its own."""
    page = (ROOT / "docs" / "client-side-caching.md").read_text()
    names = {"redis": redis, "threading": threading}
    exec(re.search(r"```python\n(import threading.*?)```", page, re.DOTALL)[1], names)
    return names["CachedReads"]


@pytest.fixture
def server():
    with servers.pinfold("--threads", "2") as running:
        yield running


def test_the_recipe_reads_from_memory_until_the_key_changes(server):
    cached = recipe()(port=server.port)
    with server.connect() as writer:
        writer.call("SET", "user:7", "a")
        cached.get("another")  # has connected
        assert cached.get("user:7") == b"a"
        hits = writer.call("INFO", "stats")
        assert cached.get("user:7") == b"a"
        assert re.search(rb"keyspace_hits:(\d+)", writer.call("INFO", "stats"))[1] == re.search(rb"keyspace_hits:(\d+)", hits)[1]
        writer.call("SET", "user:7", "b")
        eventually(lambda: cached.get("user:7") == b"b")
        writer.call("FLUSHALL")
        eventually(lambda: cached.get("user:7") is None)
    cached.close()
