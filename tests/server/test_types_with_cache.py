"""Hashes, lists, sets and sorted sets under what is the same for all types: commands on keys, invalidation, purges, policies, memory."""

import os
import time
import typing

import pytest

from tests.support import servers
from tests.support.cache import LONG, is_error, mapping
from tests.support.servers import eventually

from .conftest import info, only_pinfold
from .test_cache_purge import in_memory


class Kind(typing.NamedTuple):
    """How collections of a type are made and read."""

    name: str  # what TYPE replies
    add: typing.Callable  # (key, element ...) -> the request that adds these
    remove: typing.Callable  # (key, element) -> the request that removes one
    read: typing.Callable  # (connection, key) -> the sorted elements
    count: str  # the command
    encodings: tuple  # of small and of large ones


def pairs(value):
    return lambda elements: [part for element in elements for part in value(element)]


KINDS = [
    Kind("hash", lambda key, *elements: ["HSET", key, *pairs(lambda e: (e, b"v"))(elements)], lambda key, element: ["HDEL", key, element],
         lambda connection, key: sorted(connection.call("HKEYS", key)), "HLEN", (b"listpack", b"hashtable")),
    Kind("list", lambda key, *elements: ["RPUSH", key, *elements], lambda key, element: ["LREM", key, 0, element],
         lambda connection, key: sorted(connection.call("LRANGE", key, 0, -1)), "LLEN", (b"listpack", b"quicklist")),
    Kind("set", lambda key, *elements: ["SADD", key, *elements], lambda key, element: ["SREM", key, element],
         lambda connection, key: sorted(connection.call("SMEMBERS", key)), "SCARD", (b"listpack", b"hashtable")),
    Kind("zset", lambda key, *elements: ["ZADD", key, *pairs(lambda e: (1, e))(elements)], lambda key, element: ["ZREM", key, element],
         lambda connection, key: sorted(connection.call("ZRANGE", key, 0, -1)), "ZCARD", (b"listpack", b"skiplist")),
]  # fmt: skip
SIZES = {"small": 5, "packed": 100, "large": 3000}


def names(count, form=b"e%d"):
    return [form % i for i in range(count)]


def fill(connection, kind, key, elements, at_once=500):
    requests = [kind.add(key, *elements[start : start + at_once]) for start in range(0, len(elements), at_once)]
    for reply in connection.pipeline(requests):
        assert isinstance(reply, int), reply


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request):
    return request.param


@pytest.fixture(params=SIZES)
def size(request):
    return SIZES[request.param]


@pytest.fixture
def filled(client, kind, size):
    """A collection at `k`."""
    fill(client, kind, "k", names(size))
    return client


# --- commands on keys ---


def test_it_is_shown_by_its_type(filled, kind, size):
    assert filled.call("TYPE", "k") == kind.name
    assert filled.call("OBJECT", "ENCODING", "k") == kind.encodings[size > 128]
    assert filled.call("OBJECT", "REFCOUNT", "k") == 1
    assert isinstance(filled.call("OBJECT", "FREQ", "k"), int) or is_error(filled.call("OBJECT", "FREQ", "k"))
    assert filled.call(kind.count, "k") == size
    assert filled.call("EXISTS", "k", "k") == 2
    assert filled.call("TOUCH", "k") == 1
    assert filled.call("DBSIZE") == 1
    assert filled.call("RANDOMKEY") == b"k"
    assert filled.call("KEYS", "*") == [b"k"]


@only_pinfold
def test_debug_object_tells_its_encoding_and_length(filled, kind, size):
    shown = filled.call("DEBUG", "OBJECT", "k")
    assert f"encoding:{kind.encodings[size > 128].decode()} " in shown
    if size > 1000:
        assert f"length:{size} " in shown


def test_scan_finds_it_by_its_type(filled, kind):
    filled.call("SET", "s", "v")
    assert filled.call("SCAN", 0, "COUNT", 1000, "TYPE", kind.name)[1] == [b"k"]
    assert filled.call("SCAN", 0, "COUNT", 1000, "TYPE", "string")[1] == [b"s"]
    for other in {"hash", "list", "set", "zset"} - {kind.name}:
        assert filled.call("SCAN", 0, "COUNT", 1000, "TYPE", other)[1] == []


def test_memory_usage_grows_with_it(filled, kind, size):
    used = filled.call("MEMORY", "USAGE", "k")
    assert 3 * size <= used <= 400 * size + 1000
    assert filled.call("MEMORY", "USAGE", "k", "SAMPLES", 0) >= used // 2
    fill(filled, kind, "k", names(2 * size, b"longer-element-%d"))
    assert filled.call("MEMORY", "USAGE", "k") > used


def test_a_copy_is_a_value_of_its_own(filled, kind, size):
    assert filled.call("COPY", "k", "c") == 1
    assert filled.call("COPY", "k", "c") == 0
    assert filled.call("COPY", "k", "c", "REPLACE") == 1
    assert filled.call("COPY", "k", "c", "DB", 3) == 1
    filled.call(*kind.remove("k", b"e0"))
    filled.call(*kind.add("c", b"new"))
    assert kind.read(filled, "k") == sorted(names(size)[1:])
    assert kind.read(filled, "c") == sorted([*names(size), b"new"])
    assert filled.call("OBJECT", "ENCODING", "c") == kind.encodings[size > 128]
    filled.call("DEL", "k")
    assert kind.read(filled, "c") == sorted([*names(size), b"new"])
    filled.call("SELECT", 3)
    assert kind.read(filled, "c") == sorted(names(size))
    filled.call("SELECT", 0)


def test_it_is_renamed_and_moved(filled, kind, size):
    filled.call("PEXPIRE", "k", LONG)
    filled.call("SET", "s", "v")
    assert filled.call("RENAME", "k", "s") == "OK"
    assert filled.call("TYPE", "s") == kind.name
    assert filled.call("RENAMENX", "s", "n") == 1
    assert filled.call("RENAME", "n", "n") == "OK"
    assert filled.call("MOVE", "n", 2) == 1
    assert filled.call("DBSIZE") == 0
    filled.call("SELECT", 2)
    assert kind.read(filled, "n") == sorted(names(size))
    assert 0 < filled.call("PTTL", "n") <= LONG
    filled.call("SELECT", 0)
    assert filled.call("SWAPDB", 0, 2) == "OK"
    assert kind.read(filled, "n") == sorted(names(size))
    filled.call("SWAPDB", 0, 2)


def test_deadlines(filled, kind, size):
    assert filled.call("TTL", "k") == -1
    assert filled.call("EXPIRE", "k", 100) == 1
    assert 90 <= filled.call("TTL", "k") <= 100
    filled.call(*kind.add("k", b"more"))
    assert 90 <= filled.call("TTL", "k") <= 100
    assert filled.call("EXPIREAT", "k", 9_999_999_999, "GT") == 1
    assert filled.call("EXPIRETIME", "k") == 9_999_999_999
    assert filled.call("PERSIST", "k") == 1
    assert filled.call("TTL", "k") == -1
    assert filled.call(kind.count, "k") == size + 1
    filled.call("PEXPIRE", "k", 20)
    time.sleep(0.03)
    assert filled.call(kind.count, "k") == 0
    assert filled.call("TYPE", "k") == "none"
    filled.call(*kind.add("k", b"anew"))
    assert kind.read(filled, "k") == [b"anew"]
    assert filled.call("TTL", "k") == -1


@pytest.mark.parametrize("how", [["DEL", "k"], ["UNLINK", "k"], ["FLUSHDB"], ["FLUSHALL"], ["SET", "k", "v"], ["EXPIRE", "k", "-1"], ["RENAME", "s", "k"]], ids=" ".join)
def test_it_goes_as_a_whole(filled, kind, how):
    filled.call("SET", "s", "v")
    assert not is_error(filled.call(*how))
    assert is_error(filled.call(kind.count, "k")) == (how[0] in ("SET", "RENAME"))
    filled.call("DEL", "k")
    filled.call(*kind.add("k", b"anew"))
    assert kind.read(filled, "k") == [b"anew"]


def test_the_last_element_takes_the_key_along(filled, kind, size):
    for start in range(0, size, 500):
        filled.pipeline([kind.remove("k", name) for name in names(size)[start : start + 500]])
    assert filled.call("EXISTS", "k") == 0


def test_a_watch_fails_when_an_element_changes(filled, kind, connect):
    other = connect()
    for request, changes in ((kind.add("k", b"new"), True), (kind.remove("k", b"nosuch"), False), (["OBJECT", "ENCODING", "k"], False), (["EXPIRE", "k", 100], True)):
        filled.call("WATCH", "k")
        other.call(*request)
        filled.call("MULTI")
        filled.call("PING")
        assert filled.call("EXEC") == (None if changes else ["PONG"]), request


# --- as values of a cache ---


@only_pinfold
def test_commands_on_strings_refuse_it_and_set_overwrites_it(filled, kind, size):
    for request in (["GET", "k"], ["CACHE.GET", "k"], ["CACHE.GET", "k", "LEASE", 1000], ["GETDEL", "k"], ["APPEND", "k", "x"], ["SET", "k", "x", "GET"]):
        assert filled.call(*request).startswith("WRONGTYPE"), request
    assert filled.call("MGET", "k") == [None]
    shown = mapping(filled.call("CACHE.INSPECT", "k"))
    assert (shown["status"], shown["type"]) == (b"hit", kind.name.encode())
    assert filled.call(kind.count, "k") == size
    assert filled.call("CACHE.SET", "k", "v") == "OK"
    assert filled.call("GET", "k") == b"v"


@only_pinfold
def test_a_lease_is_void_when_it_is_written(client, kind):
    _, _, token, _ = client.call("CACHE.GET", "k", "LEASE", LONG)
    client.call(*kind.add("k", b"e"))
    assert client.call("CACHE.SET", "k", "late", "TOKEN", token) is None
    assert kind.read(client, "k") == [b"e"]
    client.call("DEL", "k")
    client.call(*kind.add("k", b"e"))
    client.call("DEL", "k")
    _, _, token, _ = client.call("CACHE.GET", "k", "LEASE", LONG)
    client.call(*kind.add("k", b"e"))
    client.call(*kind.remove("k", b"e"))
    assert client.call("CACHE.SET", "k", "late", "TOKEN", token) is None


@only_pinfold
def test_invalidate(filled, kind):
    assert filled.call("CACHE.INVALIDATE", 1, "k") == 1
    assert filled.call("EXISTS", "k") == 0
    assert filled.call(kind.count, "k") == 0


@only_pinfold
def test_soft_invalidation_makes_it_stale_so_that_a_write_begins_anew(filled, kind):
    assert filled.call("CACHE.INVALIDATE", 1, "k", "SOFT") == 1
    assert mapping(filled.call("CACHE.INSPECT", "k"))["status"] == b"stale"
    assert filled.call(kind.count, "k") == 0
    assert filled.call("EXISTS", "k") == 0
    filled.call(*kind.add("k", b"anew"))
    assert kind.read(filled, "k") == [b"anew"]
    assert mapping(filled.call("CACHE.INSPECT", "k"))["status"] == b"hit"


@only_pinfold
@pytest.mark.parametrize("options", [[], ["SOFT"], ["SYNC"]], ids=["hard", "soft", "sync"])
def test_purge_of_a_prefix(client, kind, size, options):
    for i in range(5):
        fill(client, kind, f"user:{i}", names(size))
    fill(client, kind, "other", names(size))
    reply = client.call("CACHE.PURGE", "PREFIX", "user:", *options)
    assert reply == "OK" if "SYNC" not in options else reply >= 5 * 2 * size
    assert client.call("EXISTS", *(f"user:{i}" for i in range(5))) == 0
    assert kind.read(client, "other") == sorted(names(size))
    client.call(*kind.add("user:1", b"anew"))
    assert kind.read(client, "user:1") == [b"anew"]


SECRET = b"card number 4929"


def alive(client, kind, size):
    for i in range(3):
        fill(client, kind, f"user:{i}", names(size, SECRET + b"-%d"))


def deleted(client, kind, size):
    alive(client, kind, size)
    client.call("DEL", "user:0", "user:1")
    client.call("UNLINK", "user:2")


def without_some(client, kind, size):
    alive(client, kind, size)
    for i in range(3):
        for start in range(0, size, 400):
            client.pipeline([kind.remove(f"user:{i}", name) for name in names(size, SECRET + b"-%d")[start : start + 400 : 2]])


def copied(client, kind, size):
    alive(client, kind, size)
    client.call("COPY", "user:0", "user:copy")
    client.call(*kind.add("user:0", b"more"))
    client.call(*kind.remove("user:copy", SECRET + b"-1"))


def with_large_elements(client, kind, size):
    for i in range(3):
        fill(client, kind, f"user:{i}", [SECRET * 200 + b"%d" % n for n in range(size // 20)], 5)
    client.call(*kind.remove("user:0", SECRET * 200 + b"0"))


def overwritten(client, kind, size):
    alive(client, kind, size)
    client.call("SET", "user:0", "v")
    client.call("RENAME", "user:1", "user:2")


def removed_until_empty(client, kind, size):
    alive(client, kind, size)
    requests = [kind.remove("user:0", name) for name in names(size, SECRET + b"-%d")]
    for start in range(0, size, 200):
        client.pipeline(requests[start : start + 200])


WAYS = [alive, deleted, without_some, copied, with_large_elements, overwritten, removed_until_empty]


@only_pinfold
@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers map terabytes of their own, and keep what was freed")
@pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("count", [100, 3000], ids=["packed", "large"])
def test_sync_leaves_no_bytes(start, kind, count, write):
    """No byte of the elements, of those that were removed, or of memory waiting to be used again is then in the store."""
    # Buffers of connections, and what commands keep while they are executed, are not the store's. They come from malloc(), from which the
    # store takes no memory for elements. Those that were freed are overwritten here, those in use are filled with other requests.
    server = start("--maxmemory", "256mb", env={"GLIBC_TUNABLES": "glibc.malloc.perturb=165"})
    with server.connect() as connection:

        def fill_buffers():
            for i in range(20):
                connection.call("ECHO", "x" * 30_000)
                fill(connection, kind, f"other:{i}", names(1000, b"nothing to see 0-%d"))
                connection.pipeline([kind.remove(f"other:{i}", b"nothing to see 0-%d" % n) for n in range(10)])

        fill_buffers()
        write(connection, kind, count)
        fill_buffers()
        assert in_memory(server, SECRET)
        assert connection.call("CACHE.PURGE", "PREFIX", "user:", "SYNC") >= 0
        assert not in_memory(server, SECRET)


# --- policies ---


@only_pinfold
def test_ttl_and_jitter_of_a_policy(cache, policy, kind, size):
    policy("p", "match", "k*", "ttl", "1h", "jitter", "10%")
    client = cache.connection
    deadlines = set()
    for i in range(20):
        fill(client, kind, f"k{i}", names(5))
        ttl = client.call("PTTL", f"k{i}")
        assert 3_240_000 - 5000 <= ttl <= 3_600_000
        deadlines.add(ttl // 1000)
    assert len(deadlines) > 3
    fill(client, kind, "k0", names(size))
    assert 0 < client.call("PTTL", "k0") <= 3_600_000
    fill(client, kind, "other", names(5))
    assert client.call("TTL", "other") == -1


@only_pinfold
def test_max_ttl_of_a_policy(cache, policy, kind):
    policy("p", "match", "k*", "max-ttl", "1h")
    client = cache.connection
    fill(client, kind, "k", names(5))
    assert 0 < client.call("TTL", "k") <= 3600
    client.call("EXPIRE", "k", 7200)
    assert 0 < client.call("TTL", "k") <= 3600


@only_pinfold
def test_max_value_of_a_policy(cache, policy, kind):
    policy("p", "match", "k*", "max-value", "1kb")
    client = cache.connection
    fill(client, kind, "k", names(10))
    refused = client.call(*kind.add("k", *names(2000, b"another-%d")))
    assert is_error(refused) and "max-value" in refused
    assert kind.read(client, "k") == sorted(names(10))
    fill(client, kind, "other", names(2000))


@only_pinfold
def test_stale_window_of_a_policy(cache, policy, kind, size):
    policy("p", "match", "k*", "stale", "1h")
    client = cache.connection
    fill(client, kind, "k", names(size))
    client.call("PEXPIRE", "k", 20)
    eventually(lambda: mapping(client.call("CACHE.INSPECT", "k"), cache.protocol)["status"] == b"stale")
    assert client.call(kind.count, "k") == 0
    fill(client, kind, "k", names(3))
    assert kind.read(client, "k") == sorted(names(3))


@only_pinfold
def test_switches_of_a_policy(cache, policy, kind, size):
    policy("p", "match", "k*", "admit", "0%")
    client = cache.connection
    fill(client, kind, "k", names(size))
    assert client.call("EXISTS", "k") == 0
    policy("p", "admit", "100%")
    fill(client, kind, "k", names(size))
    assert client.call(kind.count, "k") == size
    policy("p", "bypass", "yes")
    assert client.call(kind.count, "k") == 0
    client.call(*kind.add("k", b"lost"))
    policy("p", "bypass", "no")
    assert client.call("EXISTS", "k") == 0


@only_pinfold
def test_a_quota_is_what_its_own_entries_pay_for(start, kind):
    with start("--maxmemory", "16mb", "--threads", "1").connect() as client:
        assert client.call("CACHE.POLICY", "SET", "p", "match", "q:*", "max-memory", "4mb") == "OK"
        for i in range(50):
            fill(client, kind, f"other:{i}", names(1000, b"element-%d"))
            assert client.call(kind.count, f"other:{i}") == 1000  # used entries of other policies stay (docs/eviction.md)
        written = (24 << 20) // client.call("MEMORY", "USAGE", "other:0")
        for i in range(written):
            fill(client, kind, f"q:{i}", names(1000, b"element-%d"))
        assert 5 < client.call("EXISTS", *(f"q:{i}" for i in range(written))) < written - 50
        assert client.call("EXISTS", *(f"other:{i}" for i in range(50))) == 50


@only_pinfold
def test_priorities(start, kind):
    with start("--maxmemory", "16mb", "--threads", "1").connect() as client:
        client.call("CACHE.POLICY", "SET", "first", "match", "f:*", "priority", "first-out")
        client.call("CACHE.POLICY", "SET", "last", "match", "p:*", "priority", "protected")
        for i in range(20):
            fill(client, kind, f"p:{i}", names(1000, b"element-%d"))
            fill(client, kind, f"f:{i}", names(1000, b"element-%d"))
        for i in range(2000):
            fill(client, kind, f"n:{i}", names(1000, b"element-%d"))
        assert client.call("EXISTS", *(f"p:{i}" for i in range(20))) == 20
        assert client.call("EXISTS", *(f"f:{i}" for i in range(20))) < 5


# --- memory ---


@only_pinfold
def test_a_collection_has_a_share_of_memory(start, kind):
    server = start("--maxmemory", "64mb", "--max-collection-memory", "2mb")
    with server.connect() as client:
        added = 0
        while not is_error(reply := client.call(*kind.add("k", *(b"element-%d" % n for n in range(added, added + 1000))))):
            added += 1000
            assert added < 200_000
        assert reply == "ERR the collection would take more memory than one may (max-collection-memory)"
        assert client.call(kind.count, "k") == added
        assert client.call("MEMORY", "USAGE", "k") <= 2 << 20
        client.call(*kind.remove("k", b"element-0"))
        assert client.call("CONFIG", "SET", "max-collection-memory", "50%") == "OK"
        assert not is_error(client.call(*kind.add("k", *(b"element-%d" % n for n in range(added, added + 1000)))))
        assert client.call("CONFIG", "SET", "max-collection-memory", "0") == "OK"
        assert client.call("CONFIG", "SET", "max-collection-memory", "101%").startswith("ERR CONFIG SET failed")


@only_pinfold
@pytest.mark.parametrize("kind, request_", [
    (KINDS[2], ["SUNIONSTORE", "result", "a", "b"]), (KINDS[3], ["ZUNIONSTORE", "result", 2, "a", "b"]), (KINDS[1], ["SORT", "a", "ALPHA", "STORE", "result"]),
], ids=["set", "zset", "list"])  # fmt: skip
def test_a_stored_result_has_no_larger_one(start, kind, request_):
    with start("--maxmemory", "256mb", "--max-collection-memory", "0").connect() as client:
        for name in ("a", "b"):
            fill(client, kind, name, names(90_000, name.encode() + b"-element-%d"))
        client.call("SET", "result", "v")
        assert client.call("CONFIG", "SET", "max-collection-memory", "1mb") == "OK"
        reply = client.call(*request_)
        assert is_error(reply) and "max-collection-memory" in reply, reply
        assert client.call("GET", "result") == b"v"
        assert client.call("CONFIG", "SET", "max-collection-memory", "0") == "OK"
        assert client.call(*request_) in (90_000, 180_000)


@only_pinfold
def test_collections_are_evicted_and_memory_keeps_its_limit(start, kind):
    limit = 32 << 20
    server = start("--maxmemory", limit, "--threads", "1")
    with server.connect() as client:
        for i in range(1600):
            fill(client, kind, f"large:{i}", names(2000, b"element-%d"))
            for j in range(20):
                fill(client, kind, f"small:{i}:{j}", names(10, b"element-%d"))
        figures = info(client)
        assert int(figures["evicted_keys"]) > 100
        assert int(figures["used_memory"]) <= limit
        assert server.rss() <= servers.bound(limit * 1.05 + (12 << 20))
        assert client.call("EXISTS", *(f"large:{i}" for i in range(1600))) > 5


@only_pinfold
def test_nothing_but_oom_where_nothing_may_go(start, kind):
    with start("--maxmemory", "24mb", "--maxmemory-policy", "noeviction", "--max-collection-memory", "0").connect() as client:
        added = 0
        while not is_error(reply := client.call(*kind.add("k", *(b"element-%d" % n for n in range(added, added + 500))))):
            added += 500
            assert added < 2_000_000
        assert reply.startswith("OOM ")
        assert client.call(kind.count, "k") == added
        assert isinstance(client.call(*kind.remove("k", b"element-1")), int)
        assert client.call("DEL", "k") == 1
        eventually(lambda: not is_error(client.call(*kind.add("k", b"e"))))


@only_pinfold
def test_settings_have_their_former_names_too(client):
    for name, now in (("hash-max-ziplist-entries", "hash-max-listpack-entries"), ("hash-max-ziplist-value", "hash-max-listpack-value"),
                      ("list-max-ziplist-size", "list-max-listpack-size"), ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
                      ("zset-max-ziplist-value", "zset-max-listpack-value")):  # fmt: skip
        before = client.call("CONFIG", "GET", now)[1]
        assert client.call("CONFIG", "GET", name) == [name.encode(), before]
        assert client.call("CONFIG", "SET", name, 7) == "OK"
        assert client.call("CONFIG", "GET", now) == [now.encode(), b"7"]
        assert client.call("CONFIG", "SET", now, before) == "OK"
    assert client.call("CONFIG", "SET", "list-compress-depth", 1) == "OK"
    assert client.call("CONFIG", "SET", "list-compress-depth", 0) == "OK"


def test_the_thresholds_name_the_encodings(client, kind):
    """A collection that has passed a threshold keeps its large name."""
    small, large = kind.encodings
    settings = {"hash": "hash-max-listpack-entries", "list": "list-max-listpack-size", "set": "set-max-listpack-entries", "zset": "zset-max-listpack-entries"}
    before = client.call("CONFIG", "GET", settings[kind.name])[1]
    client.call("CONFIG", "SET", settings[kind.name], 4)
    try:
        fill(client, kind, "k", names(4))
        assert client.call("OBJECT", "ENCODING", "k") == small
        client.call(*kind.add("k", b"fifth"))
        assert client.call("OBJECT", "ENCODING", "k") == large
        for name in names(2):
            client.call(*kind.remove("k", name))
        if kind.name != "list":  # which becomes small again when it is half as large
            assert client.call("OBJECT", "ENCODING", "k") == large
    finally:
        client.call("CONFIG", "SET", settings[kind.name], before)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "list"], ids=lambda kind: kind.name)
def test_a_long_element_passes_the_threshold(client, kind):
    fill(client, kind, "k", [b"x" * 64])
    assert client.call("OBJECT", "ENCODING", "k") == kind.encodings[0]
    client.call(*kind.add("k", b"x" * 65))
    assert client.call("OBJECT", "ENCODING", "k") == kind.encodings[1]


def test_sets_of_integers_are_intsets(client):
    client.call("SADD", "k", 1, -5, 2**62)
    assert client.call("OBJECT", "ENCODING", "k") == b"intset"
    client.call("SADD", "k", *range(600))
    assert client.call("OBJECT", "ENCODING", "k") == b"hashtable"
    client.call("SADD", "m", 1, 2)
    client.call("SADD", "m", "x")
    assert client.call("OBJECT", "ENCODING", "m") in (b"listpack", b"hashtable")
    client.call("SREM", "m", "x")
    assert client.call("OBJECT", "ENCODING", "m") in (b"listpack", b"hashtable")
