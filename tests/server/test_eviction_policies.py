"""Every maxmemory-policy that Redis has, over the wire and changed at run time."""

import time

import pytest

from tests.support.servers import SLOWNESS, eventually, is_redis

from .conftest import info

OOM = "OOM command not allowed when used memory > 'maxmemory'."
ALLKEYS = ["allkeys-lfu", "allkeys-lru", "allkeys-random"]
VOLATILE = ["volatile-lfu", "volatile-lru", "volatile-random", "volatile-ttl"]
VALUE = "x" * 500


def fill(connection, prefix, count, *options):
    """The replies that were not OK."""
    replies = []
    for first in range(0, count, 1000):
        replies += connection.pipeline([("SET", f"{prefix}:{n}", VALUE, *options) for n in range(first, first + 1000)])
    return [reply for reply in replies if reply != "OK"]


def present(connection, prefix, count):
    return connection.call("EXISTS", *(f"{prefix}:{n}" for n in range(count)))


@pytest.mark.parametrize("policy", ALLKEYS)
def test_allkeys_policies_take_every_write(start, policy):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", policy)
    with server.connect() as connection:
        assert fill(connection, "key", 60_000) == []
        assert int(info(connection, "stats")["evicted_keys"]) > 20_000
        assert connection.call("GET", "key:59999") is not None


@pytest.mark.parametrize("policy", VOLATILE)
def test_volatile_policies_spare_what_has_no_deadline(start, policy):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", policy)
    with server.connect() as connection:
        assert fill(connection, "keep", 10_000) == []
        assert fill(connection, "go", 50_000, "EX", "10000") == []
        assert present(connection, "keep", 10_000) == 10_000
        refused = fill(connection, "more", 40_000)
        assert set(refused) == {OOM}
        assert present(connection, "keep", 10_000) == 10_000
        assert connection.call("GET", "keep:1") == VALUE.encode()
        assert connection.call("DEL", *(f"keep:{n}" for n in range(5000))) == 5000
        eventually(lambda: connection.call("SET", "again", VALUE) == "OK")


def test_the_policy_is_changed_at_run_time_and_serves_at_once(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "noeviction")
    with server.connect() as connection:
        assert set(fill(connection, "old", 60_000)) == {OOM}
        for policy in ALLKEYS + VOLATILE + ALLKEYS:
            assert connection.call("CONFIG", "SET", "maxmemory-policy", policy) == "OK"
            assert connection.call("CONFIG", "GET", "maxmemory-policy") == [b"maxmemory-policy", policy.encode()]
            replies = set(fill(connection, policy, 5000, "EX", "10000"))
            assert replies == set() or (policy in VOLATILE and replies == {OOM}), policy
        assert connection.call("CONFIG", "SET", "maxmemory-policy", "volatile-lrm").startswith("ERR CONFIG SET failed")
        assert info(connection, "memory")["maxmemory_policy"] == ALLKEYS[-1]


def test_a_scan_does_not_push_out_the_hot_set(start):
    """A scan of one-hit keys, also when it comes before anything was ever evicted."""
    with start("--maxmemory", "16mb").connect() as connection:
        hot, scanned = 16_000, 64_000  # half of the memory, and twice all of it
        assert not fill(connection, "hot", hot)
        for _ in range(3):
            for first in range(0, hot, 1000):
                connection.call("MGET", *(f"hot:{n}" for n in range(first, first + 1000)))
        assert not fill(connection, "scan", scanned)
        assert int(info(connection, "stats")["evicted_keys"]) > 0
        assert present(connection, "hot", hot) > 0.95 * hot


def test_idle_time_is_told_under_policies_without_frequencies(start):
    server = start("--maxmemory", "16mb", "--maxmemory-policy", "allkeys-lru")
    with server.connect() as connection, server.connect() as quiet:
        assert quiet.call("CLIENT", "NO-TOUCH", "ON") == "OK" if not is_redis() else True
        connection.call("SET", "used", "v")
        connection.call("SET", "idle", "v")
        eventually(lambda: connection.call("OBJECT", "IDLETIME", "idle") >= 2, 20)
        connection.call("GET", "used")
        if not is_redis():
            quiet.call("GET", "idle")
        assert connection.call("OBJECT", "IDLETIME", "used") < connection.call("OBJECT", "IDLETIME", "idle")
        assert connection.call("OBJECT", "IDLETIME", "none") is None
        assert connection.call("OBJECT", "FREQ", "idle").startswith("ERR An LFU maxmemory policy is not selected")
        connection.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        assert connection.call("OBJECT", "IDLETIME", "idle").startswith("ERR An LFU maxmemory policy is selected")
        connection.call("EXPIRE", "idle", "1000")
        assert connection.call("GET", "idle") == b"v"


def test_memory_of_expired_keys_comes_back_without_traffic(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        at = str(int(time.time() * 1000) + 3000 * SLOWNESS)  # filled by then
        assert fill(connection, "key", 20_000, "PXAT", at) == []
        full = int(info(connection, "memory")["used_memory"])
        eventually(lambda: int(info(connection, "memory")["used_memory"]) < full / 10, deadline=30 * SLOWNESS)
        eventually(lambda: connection.call("DBSIZE") == 0)
        assert int(info(connection, "stats")["expired_keys"]) == 20_000


@pytest.mark.skipif(is_redis(), reason="Redis evicts all of it at once")
def test_a_lowered_limit_comes_down_while_writes_go_on(start):
    server = start("--maxmemory", "64mb")
    with server.connect() as connection:
        assert fill(connection, "key", 100_000) == []
        assert connection.call("CONFIG", "SET", "maxmemory", "20mb") == "OK"
        assert fill(connection, "new", 5000) == []

        def data():
            memory = info(connection, "memory")
            return int(memory["used_memory"]) - int(memory["used_memory_clients"])

        eventually(lambda: data() <= 20 << 20)
        assert fill(connection, "newer", 5000) == []
        assert data() <= 20 << 20
