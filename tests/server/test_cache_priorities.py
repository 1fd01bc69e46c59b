"""Which entries go first when memory is needed: policies' priority and max-memory, and negative entries."""

import pytest

from tests.support import servers
from tests.support.servers import is_redis

from .conftest import info

pytestmark = pytest.mark.skipif(is_redis(), reason="policies are Pinfold's")

LIMIT = 16 << 20
VALUE = b"v" * 1000


@pytest.fixture
def full():
    """A server whose memory takes about 14 000 of these values."""
    with servers.pinfold("--maxmemory", LIMIT, "--threads", "1", "--negative-memory", "2") as server, server.connect() as client:
        yield client


def policy(client, name, **fields):
    pairs = [part for field, value in fields.items() for part in (field.replace("_", "-"), value)]
    assert client.call("CACHE.POLICY", "SET", name, *pairs) == "OK"


def use(client, name):
    shown = client.call("CACHE.POLICY", "SHOW", name)
    shown = dict(zip(shown[::2], shown[1::2]))
    return shown[b"keys"], shown[b"bytes"]


def write(client, prefix, count, first=0):
    for at in range(first, first + count, 500):
        replies = client.pipeline([("SET", f"{prefix}:{n}", VALUE) for n in range(at, min(at + 500, first + count))])
        assert set(replies) == {"OK"}


def read_often(client, prefix, count):
    for _ in range(3):
        for at in range(0, count, 500):
            client.pipeline([("GET", f"{prefix}:{n}") for n in range(at, min(at + 500, count))])


def present(client, prefix, count):
    found = 0
    for at in range(0, count, 500):
        found += client.call("EXISTS", *(f"{prefix}:{n}" for n in range(at, min(at + 500, count))))
    return found


def negative_bytes(client):
    return int(info(client, "cache")["negative_bytes"])


def test_keys_and_bytes_of_a_policy_are_counted_through_overwrites_deletes_and_flushes(full):
    policy(full, "a", match="a:*", ttl="1h")
    policy(full, "b", match="b:*", ttl="1h")
    write(full, "a", 100)
    write(full, "b", 10)
    assert use(full, "a")[0] == 100 and use(full, "b")[0] == 10
    assert 100 * 1000 < use(full, "a")[1] < 100 * 1100
    full.call("SET", "a:1", b"w" * 100_000)
    assert use(full, "a")[0] == 100 and use(full, "a")[1] > 199_000
    full.call("APPEND", "a:1", b"w" * 400_000)
    assert use(full, "a")[1] > 599_000
    full.call("DEL", "a:1", "a:2")
    assert use(full, "a")[0] == 98 and use(full, "a")[1] < 98 * 1100
    full.call("RENAME", "a:3", "b:3000")
    assert use(full, "a")[0] == 97 and use(full, "b")[0] == 11
    full.call("FLUSHALL")
    assert use(full, "a") == (0, 0) and use(full, "b") == (0, 0)


def test_first_out_goes_before_others_and_protected_after_them(full):
    policy(full, "keep", match="keep:*", priority="protected")
    policy(full, "cheap", match="cheap:*", priority="first-out")
    write(full, "keep", 3000)
    write(full, "cheap", 3000)
    read_often(full, "cheap", 3000)
    write(full, "other", 40_000)
    assert int(info(full, "stats")["evicted_keys"]) > 30_000
    assert present(full, "keep", 3000) == 3000
    assert present(full, "cheap", 3000) == 0


def test_over_its_quota_a_policys_own_entries_go_first(full):
    policy(full, "big", match="big:*", max_memory="4mb")
    write(full, "other", 4000)
    read_often(full, "other", 4000)
    write(full, "big", 12_000)
    assert use(full, "big")[1] > 4 << 20  # there is room: nothing has to go yet
    write(full, "big", 30_000, first=12_000)
    assert present(full, "other", 4000) == 4000


def test_negative_entries_beyond_their_share_are_the_first_to_go(full):
    write(full, "live", 8000)
    for at in range(0, 100_000, 1000):
        full.pipeline([("CACHE.ABSENT", f"absent:{n}:{'x' * 40}") for n in range(at, at + 1000)])
    assert int(info(full, "stats")["evicted_keys"]) > 0
    assert negative_bytes(full) > LIMIT // 100 * 20
    # Nobody reads the values, old or new, and yet they stay for as long as negative entries have too much.
    written = 0
    while negative_bytes(full) > LIMIT // 100 * 4:
        assert written < 10_000
        if negative_bytes(full) > LIMIT // 100 * 12:  # with less a shard may have run out of them
            assert present(full, "live", 8000) == 8000 and present(full, "more", written) == written
        write(full, "more", 500, first=written)
        written += 500
    assert written > 4000
    assert present(full, "live", 8000) > 7000
    assert int(info(full, "cache")["negative_entries"]) > 0
