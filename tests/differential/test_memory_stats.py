"""MEMORY STATS has every field of Redis, of the same type and in the same order, so that a client which reads one finds it."""

import pytest

from tests.support import servers


def fields(server, protocol):
    with server.connect() as connection:
        connection.call("HELLO", protocol)
        for database in (0, 9):
            connection.call("SELECT", database)
            connection.call("SET", "k", "v", "EX", "100")
        reply = connection.call("MEMORY", "STATS")
    return reply if protocol == 3 else dict(zip(reply[::2], reply[1::2]))


@pytest.fixture(scope="module")
def both():
    with servers.redis() as reference, servers.pinfold() as subject:
        yield reference, subject


@pytest.mark.parametrize("protocol", [2, 3])
def test_each_field_of_redis_is_there(both, protocol):
    theirs, ours = (fields(server, protocol) for server in both)
    assert [name for name in ours if name in theirs] == list(theirs)
    assert {name: type(value) for name, value in ours.items() if name in theirs} == {name: type(value) for name, value in theirs.items()}
    for name in (b"db.0", b"db.9"):
        names = list(theirs[name]) if protocol == 3 else theirs[name][::2]
        assert (list(ours[name]) if protocol == 3 else ours[name][::2]) == names
    assert all(isinstance(ours[name], (int, dict, list, float, bytes)) for name in ours)


def test_the_ratios_follow_from_the_numbers(both):
    found = fields(both[1], 3)
    allocated, active, resident = (found[b"allocator." + name] for name in (b"allocated", b"active", b"resident"))
    assert allocated == found[b"total.allocated"] and active >= allocated and resident > 0
    assert found[b"allocator-fragmentation.bytes"] == active - allocated and found[b"allocator-rss.bytes"] == resident - active
    assert found[b"allocator-fragmentation.ratio"] == pytest.approx(active / allocated) and found[b"allocator-rss.ratio"] == pytest.approx(resident / active)
    indexes = sum(found[name][b"overhead.hashtable.main"] for name in (b"db.0", b"db.9"))
    assert 0 < indexes <= found[b"index.bytes"]
