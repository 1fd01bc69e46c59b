"""CACHE.PURGE, row by row of docs/cache-commands.md."""

import os
import pathlib
import threading
import time

import pytest

from tests.support.cache import LONG, Cache, is_error
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


def statuses(cache, *keys):
    return [found.status for found in cache.mget(keys, "LEASE", 0)]


# | `CACHE.PURGE TAGS n tag [tag ...] [SOFT] [SYNC]`, `CACHE.PURGE PREFIX prefix [SOFT] [SYNC]` | `OK`; with SYNC the number of bytes that entries gave back, once they
# are gone |


def test_a_tag_takes_its_entries_along(cache):
    cache.set("product:42", "v", "TAGS", 2, "product:42", "category:electronics")
    cache.set("category:electronics:page:1", "v", "TAGS", 1, "category:electronics")
    cache.set("product:42:reviews", "v", "TAGS", 1, "product:42")
    cache.set("untagged", "v")
    assert cache.call("CACHE.PURGE", "TAGS", 1, "product:42") == "OK"
    assert statuses(cache, "product:42", "category:electronics:page:1", "product:42:reviews", "untagged") == ["miss", "hit", "miss", "hit"]
    assert cache.purge_tags(["category:electronics"]) == "OK"
    assert statuses(cache, "category:electronics:page:1", "untagged") == ["miss", "hit"]


def test_several_tags_at_once(cache):
    for tag in "abc":
        cache.set(tag, "v", "TAGS", 1, tag)
    assert cache.call("CACHE.PURGE", "TAGS", 2, "a", "b") == "OK"
    assert statuses(cache, "a", "b", "c") == ["miss", "miss", "hit"]


def test_a_prefix_takes_its_entries_along(cache, client):
    client.call("MSET", "user:1", "v", "user:12", "v", "user", "v", "other", "v")
    cache.absent("user:none", "PX", LONG)
    assert cache.call("CACHE.PURGE", "PREFIX", "user:1") == "OK"
    assert client.call("MGET", "user:1", "user:12", "user", "other") == [None, None, b"v", b"v"]
    assert cache.purge_prefix("user:") == "OK"
    assert statuses(cache, "user:none", "user") == ["miss", "hit"]


def test_a_prefix_is_bytes_and_no_pattern(cache, client):
    client.call("MSET", "a*b", "v", "axb", "v", b"\x00\xffk", "v", b"\x00\xfek", "v")
    assert cache.purge_prefix("a*") == "OK"
    assert client.call("MGET", "a*b", "axb") == [None, b"v"]
    assert cache.purge_prefix(b"\x00\xff") == "OK"
    assert client.call("MGET", b"\x00\xffk", b"\x00\xfek") == [None, b"v"]


def test_what_is_purged_is_gone_for_every_command(cache, client):
    """A purge is in force for every reader when it returns"""

    def purged():
        client.call("FLUSHALL")
        cache.set("k", "v", "TAGS", 1, "t", "PX", LONG)
        assert cache.purge_tags(["t"]) == "OK"

    for command, reply in [
        (["GET", "k"], None), (["MGET", "k"], [None]), (["EXISTS", "k"], 0), (["TYPE", "k"], "none"), (["TTL", "k"], -2), (["STRLEN", "k"], 0),
        (["DEL", "k"], 0), (["KEYS", "*"], []), (["RANDOMKEY"], None), (["SET", "k", "w", "NX"], "OK"), (["SET", "k", "w", "XX"], None), (["INCR", "k"], 1),
        (["APPEND", "k", "x"], 1), (["RENAME", "k", "x"], "ERR no such key"), (["COPY", "k", "x"], 0), (["GETDEL", "k"], None), (["EXPIRE", "k", 10], 0),
        (["OBJECT", "ENCODING", "k"], None), (["GETRANGE", "k", 0, -1], b""), (["GETBIT", "k", 1], 0), (["MEMORY", "USAGE", "k"], None),
    ]:  # fmt: skip
        purged()
        assert client.call(*command) == reply, command
    purged()
    cursor, keys = client.call("SCAN", 0, "COUNT", 1000)
    assert keys == []
    purged()
    assert cache.get("k").status == "miss"
    eventually(lambda: client.call("DBSIZE") == 0)  # counts until the sweep has passed


def test_what_is_written_afterwards_stays(cache):
    for i in range(20):
        cache.set("k", "old", "TAGS", 1, "t")
        cache.purge_tags(["t"])
        assert cache.set("k", "new", "TAGS", 1, "t")
        assert cache.get("k").value == b"new"
        cache.purge_prefix("k")
        assert cache.look("k").status == "miss"
        assert cache.set("k", "newer")
        assert cache.get("k").value == b"newer"


def test_tags_are_those_of_the_last_write(cache, client):
    cache.set("k", "v", "TAGS", 1, "old")
    cache.set("k", "v", "TAGS", 1, "new")
    cache.purge_tags(["old"])
    assert cache.get("k").status == "hit"
    client.call("SET", "k", "v")
    cache.purge_tags(["new"])
    assert cache.get("k").status == "hit"


def test_negative_entries_have_tags_too(cache):
    """`CACHE.ABSENT key ... [TAGS n tag ...]`"""
    cache.absent("k", "PX", LONG, "TAGS", 1, "t")
    assert cache.purge_tags(["t"]) == "OK"
    assert cache.get("k").status == "miss"


def test_an_unknown_tag_is_ok(cache):
    assert cache.purge_tags(["nobody has it"]) == "OK" and cache.purge_prefix("nothing:") == "OK"


def test_every_reader_sees_it_when_it_returns(cache, server):
    """No reader sees one after: many read while tags are purged again and again."""
    keys = [f"k{i}" for i in range(200)]
    generation = [0]
    stop, wrong = threading.Event(), []

    def read():
        with server.connect() as connection:
            while not stop.is_set():
                oldest = generation[0]
                values = connection.call("MGET", *keys)
                wrong.extend(value for value in values if value is not None and int(value) < oldest)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for n in range(1, 40):
            for key in keys:
                cache.set(key, n, "TAGS", 1, "t")
            assert cache.purge_tags(["t"]) == "OK"
            generation[0] = n + 1
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong, wrong[:5]


# "**A fill is refused as well if one of its tags was purged after its lease was granted** ... (A purge of a prefix voids the leases of all keys that begin with it.)"


def test_a_fill_whose_tag_was_purged_since_its_lease_is_refused(cache):
    token = cache.lease("k")
    refused = cache.counts()["fill_refused"]
    assert cache.purge_tags(["t"]) == "OK"
    assert not cache.fill("k", "old", token, "TAGS", 2, "other", "t")
    assert cache.counts()["fill_refused"] == refused + 1
    assert cache.look("k").status == "miss"


def test_a_fill_is_not_refused_for_a_purge_of_another_database(cache):
    token = cache.lease("k")
    cache.call("SELECT", 1)
    assert cache.purge_tags(["t"]) == "OK"
    cache.call("SELECT", 0)
    assert cache.fill("k", "v", token, "TAGS", 1, "t")


def test_a_fill_with_other_tags_is_not(cache):
    token = cache.lease("k")
    cache.purge_tags(["t"])
    assert cache.fill("k", "v", token, "TAGS", 1, "other")
    later = cache.lease("later")
    assert cache.fill("later", "v", later, "TAGS", 1, "t")


def test_a_fill_whose_prefix_was_purged_since_its_lease_is_refused(cache):
    token = cache.lease("user:1")
    other = cache.lease("order:1")
    cache.purge_prefix("user:")
    assert not cache.fill("user:1", "old", token)
    assert cache.fill("order:1", "v", other)


def test_a_purge_voids_the_lease_of_an_entry_that_it_takes(cache):
    """the key is written, ... invalidated or purged by anybody else | it is **void**"""
    token = cache.early_lease("fresh")
    assert cache.purge_prefix("fre") == "OK"
    assert not cache.fill("fresh", "old", token)
    token = cache.stale_lease("stale", "old", "TAGS", 1, "t")
    assert cache.purge_tags(["t"]) == "OK"
    assert not cache.fill("stale", "old", token) and cache.look("stale").status == "miss"


def test_a_purge_of_a_prefix_hands_the_load_to_the_longest_waiter(cache, park):
    token = cache.lease("user:1")
    reader = park("user:1")
    cache.purge_prefix("user:")
    found = reader.answer()
    assert found[:2] == ("miss", None) and found.token > token
    assert cache.fill("user:1", "new", found.token)


def test_writes_without_a_lease_are_not_refused(cache, client):
    cache.purge_prefix("k")
    cache.purge_tags(["t"])
    assert cache.set("k", "v", "TAGS", 1, "t") and client.call("SET", "k2", "v") == "OK"
    assert statuses(cache, "k", "k2") == ["hit", "hit"]


# SOFT


@pytest.mark.parametrize("how", [["TAGS", 1, "t"], ["PREFIX", "k"]])
def test_soft_makes_the_entries_stale(cache, client, how):
    cache.set("k1", "v", "PX", LONG, "TAGS", 1, "t")
    cache.set("k2", "v", "TAGS", 1, "t")
    assert cache.call("CACHE.PURGE", *how, "SOFT") == "OK"
    assert client.call("EXISTS", "k1", "k2") == 0
    for key in ("k1", "k2"):
        found = cache.get(key, "LEASE", LONG)
        assert found[:2] == ("stale", b"v") and found.token > 0 and 0 < found.ms <= LONG
        assert cache.get(key)[:3] == ("stale", b"v", 0)
        assert cache.fill(key, "new", found.token, "TAGS", 1, "t")
        assert cache.get(key)[:3] == ("hit", b"new", 0)


@pytest.mark.parametrize("how", [["TAGS", 1, "t"], ["PREFIX", "k"]])
def test_soft_removes_negative_entries(cache, how):
    """SOFT makes live entries stale as INVALIDATE does."""
    cache.absent("k1", "PX", LONG, "TAGS", 1, "t")
    cache.set("k2", "v", "PX", LONG, "TAGS", 1, "t")
    assert cache.call("CACHE.PURGE", *how, "SOFT") == "OK"
    assert statuses(cache, "k1", "k2") == ["miss", "stale"]
    eventually(lambda: cache.counts()["negative_entries"] == 0)


def test_soft_voids_leases(cache):
    token = cache.lease("k")
    assert cache.purge_prefix("k", "SOFT") == "OK"
    assert not cache.fill("k", "old", token)
    token = cache.early_lease("tagged")
    assert cache.fill("tagged", "v", token, "TAGS", 1, "t", "PX", LONG)
    missing = cache.lease("missing")
    assert cache.purge_tags(["t"], "SOFT") == "OK"
    assert not cache.fill("missing", "old", missing, "TAGS", 1, "t")


# SYNC


def test_sync_answers_how_many_bytes_it_erased(cache):
    """with SYNC the number of bytes that entries gave back, once they are gone"""
    for i in range(500):
        cache.set(f"user:{i:03}", "x" * 100, "TAGS", 1, f"user:{i % 5}")
    assert 100 * 108 < cache.purge_tags(["user:1"], "SYNC") < 100 * 200
    assert cache.call("DBSIZE") == 400
    assert cache.purge_tags(["user:1"], "SYNC") == 0
    assert 200 * 108 < cache.purge_tags(["user:2", "user:3"], "SYNC") < 200 * 200
    assert 200 * 108 < cache.purge_prefix("user:", "SYNC") < 200 * 200
    assert cache.call("DBSIZE") == 0
    cache.set("large", "x" * 1_000_000, "TAGS", 1, "t")
    assert cache.purge_tags(["t"], "SYNC") >= 1_000_000


SECRET = b"card number 4929"
OTHERS = b"nothing to see here"


def in_memory(server, wanted):
    """Whether the bytes are in any writable mapping of the server's process but the stacks, where registers were saved."""
    stacks = []
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        blocked = eventually(lambda: [field for field in (task / "syscall").read_text().split() if field.startswith("0x")])
        stacks.append(int(blocked[-2], 16))
    with open(f"/proc/{server.process.pid}/maps") as maps, open(f"/proc/{server.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, permissions = line.split()[:2]
            if not permissions.startswith("rw") or "[v" in line:
                continue
            first, last = (int(part, 16) for part in span.split("-"))
            if any(first <= stack < last for stack in stacks):
                continue
            try:
                memory.seek(first)
                if wanted in memory.read(last - first):
                    return True
            except OSError:
                continue
    return False


def tagged(call, key, size):
    call("CACHE.SET", key, SECRET * (size // len(SECRET)), "TAGS", 1, "user")


def others(call, key, size):
    call("SET", key, OTHERS * (size // len(OTHERS)))


def alive(call):
    for i in range(50):
        tagged(call, f"user:{i}", 320)


def deleted(call):
    for i in range(100):  # in all shards: what has nothing left gives its memory back
        others(call, f"other:{i}", 40)
    for i in range(50):
        tagged(call, f"user:{i}", 320)
    for i in range(50):
        call("DEL", f"user:{i}")


def deleted_and_begun_anew(call):
    for i in range(50):
        tagged(call, f"user:{i}", 320)
    for i in range(50):
        call("DEL", f"user:{i}")
    for i in range(8):
        others(call, f"other:{i}", 40)


def deleted_and_taken_by_another_database(call):
    for i in range(2000):
        tagged(call, f"user:{i}", 1600)
    tagged(call, "user", 320)
    for i in range(2000):
        call("DEL", f"user:{i}")
    call("SELECT", 1)
    for i in range(8):
        others(call, f"other:{i}", 40)
    call("SELECT", 0)


def overwritten_with_more(call):
    for i in range(50):
        tagged(call, f"user:{i}", 320)
        others(call, f"user:{i}", 640)


def overwritten_with_less(call):
    for i in range(50):
        tagged(call, f"user:{i}", 320)
        others(call, f"user:{i}", 200)


def compacted(call):
    for i in range(6000):
        (tagged if i % 3 else others)(call, f"key:{i}", 700)
        if i % 3 == 0:  # shorter, in the same place
            tagged(call, f"key:{i}", 700)
            others(call, f"key:{i}", 500)
    for i in range(6000):
        if i % 3 == 1:
            call("DEL", f"key:{i}")


def evicted(call):
    call("CONFIG", "SET", "maxmemory", "8mb")
    for i in range(30_000):
        tagged(call, f"user:{i}", 640)
    for i in range(3000):
        others(call, f"other:{i}", 640)


def large(size):
    def write(call):
        for i in range(6):
            tagged(call, f"alive:{i}", size)
            tagged(call, f"deleted:{i}", size)
            tagged(call, f"shorter:{i}", size)
            tagged(call, f"longer:{i}", size)
        for i in range(6):
            call("DEL", f"deleted:{i}")
            others(call, f"shorter:{i}", size - 4000)
            others(call, f"longer:{i}", size + 4000)

    write.__name__ = f"large_{size}"
    return write


WAYS = [
    alive, deleted, deleted_and_begun_anew, deleted_and_taken_by_another_database, overwritten_with_more, overwritten_with_less, compacted, evicted,
    large(20_000), large(300_000), large(1_500_000), large(5_000_000),
]  # fmt: skip


@pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers map terabytes of their own, and keep what was freed")
@pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__)
def test_sync_leaves_no_bytes(start, write):
    """No byte of the entries, of older values that were overwritten or deleted, or of memory waiting to be used again is then in the store."""
    server = start("--maxmemory", "256mb")
    with server.connect() as connection:
        # Buffers of connections hold the last requests, but are not the store's: they grow first, and then are filled with these.
        for _ in range(50):
            connection.call("ECHO", "x" * 15_000)
        write(connection.call)
        for _ in range(50):
            connection.call("ECHO", "x" * 15_000)
        assert in_memory(server, SECRET)
        assert connection.call("CACHE.PURGE", "TAGS", 1, "user", "SYNC") >= 0
        assert not in_memory(server, SECRET)
        assert connection.call("DBSIZE") == 0 or in_memory(server, OTHERS)


def test_sync_cannot_be_had_in_a_transaction(cache):
    cache.set("k", "v", "TAGS", 1, "t")
    cache.call("MULTI")
    cache.call("CACHE.PURGE", "TAGS", 1, "t")
    cache.call("CACHE.PURGE", "TAGS", 1, "t", "SYNC")
    done, refused = cache.call("EXEC")
    assert done == "OK" and is_error(refused)
    assert cache.look("k").status == "miss"


def test_a_purge_is_for_the_selected_database(cache):
    cache.set("k", "v", "TAGS", 1, "t")
    cache.call("SELECT", 1)
    assert cache.purge_tags(["t"]) == cache.purge_prefix("k") == "OK"
    cache.call("SELECT", 0)
    assert cache.get("k").status == "hit"


def test_options_go_together(cache):
    cache.set("k", "v", "TAGS", 1, "t", "PX", LONG)
    assert not is_error(cache.call("CACHE.PURGE", "TAGS", 1, "t", "sync", "soft"))
    assert cache.look("k").status == "stale"
    assert cache.call("CACHE.PURGE", "tags", 1, "SOFT") == "OK"
    assert cache.look("k").status == "stale"


def test_purges_are_counted_and_end(cache):
    before = cache.counts()
    for i in range(100):
        cache.set(f"k{i}", "v", "TAGS", 1, "t")
    cache.purge_tags(["t"])
    cache.purge_prefix("k")
    cache.purge_prefix("j", "SYNC")
    after = cache.counts()
    assert after["purges_tags"] == before["purges_tags"] + 1 and after["purges_prefix"] == before["purges_prefix"] + 2
    eventually(lambda: cache.counts()["purges_pending"] == 0)
    assert cache.call("DBSIZE") == 0


def test_memory_comes_back_in_the_background(cache, client):
    def used():
        return int(client.call("INFO", "memory").split(b"used_memory_dataset:")[1].split()[0])

    before = used()
    for i in range(2000):
        cache.set(f"k{i}", "x" * 2000, "TAGS", 1, "t")
    assert used() > before + 4_000_000
    cache.purge_tags(["t"])
    eventually(lambda: used() < before + 400_000)


def refused_beyond(cache, commands):
    """The replies to all of them, none of which is swept before the last: a transaction keeps the sweep out."""
    cache.set("k", "v", "TAGS", 1, "kept")  # where there is nothing, nothing is remembered
    eventually(lambda: cache.counts()["purges_pending"] == 0)
    assert set(cache.connection.pipeline([["MULTI"], *commands])) == {"OK", "QUEUED"}
    return cache.call("EXEC")


TOO_MANY = "ERR too many purges are waiting to be swept, try again in a moment"


def test_64_prefixes_can_wait(cache):
    """64 prefixes ... can wait to be swept at once; one more is refused with an error."""
    purges = [["CACHE.PURGE", "PREFIX", f"none:{i}:"] for i in range(64)]
    replies = refused_beyond(cache, [*purges, ["CACHE.PURGE", "PREFIX", "k"]])
    assert replies == ["OK"] * 64 + [TOO_MANY]
    assert cache.look("k").status == "hit", "what is refused does nothing"
    eventually(lambda: cache.counts()["purges_pending"] == 0)
    assert cache.purge_prefix("k") == "OK" and cache.look("k").status == "miss"


def test_16384_tags_can_wait(cache):
    """16 384 tags can wait to be swept at once; one more is refused with an error."""
    purges = [["CACHE.PURGE", "TAGS", 512, *(f"{i * 512 + n:05}" for n in range(512))] for i in range(32)]
    replies = refused_beyond(cache, [*purges, ["CACHE.PURGE", "TAGS", 1, "kept"]])
    assert replies == ["OK"] * 32 + [TOO_MANY]
    assert cache.look("k").status == "hit"
    eventually(lambda: cache.counts()["purges_pending"] == 0)
    assert cache.purge_tags(["kept"]) == "OK" and cache.look("k").status == "miss"


@pytest.mark.parametrize("how", ["TAGS", "PREFIX"])
@pytest.mark.parametrize("options", [[], ["SOFT"]], ids=" ".join)
@pytest.mark.parametrize("name", ["", "eraser"])
def test_each_purge_leaves_a_line_in_the_log(start, how, options, name):
    """Each purge writes a line to the log when its sweep ends: who, what, how many entries and bytes."""
    mark = "audited"
    server = start()
    client, bystander = server.connect(), server.connect()
    cache = Cache(server.connect(), 2)
    bystander.call("CLIENT", "SETNAME", "bystander")
    if name:
        client.call("CLIENT", "SETNAME", name)
    who = dict(field.split("=", 1) for field in client.call("CLIENT", "INFO").decode().split())
    for i in range(3):
        cache.set(f"{mark}:{i}", "x" * 100, "TAGS", 2, mark, f"and {i}")
    cache.set("other", "v", "TAGS", 1, "other")
    erased = client.call("CACHE.PURGE", *(["TAGS", 2, mark, "b\r\n"] if how == "TAGS" else ["PREFIX", mark + ":"]), *options, "SYNC")
    assert type(erased) is int
    lines = eventually(lambda: [line for line in server.log().splitlines() if mark in line])
    what = f'TAGS "{mark}" "b\\r\\n"' if how == "TAGS" else f'PREFIX "{mark}:"'
    said = ", name " + f'"{name}"' if name else ""
    expected = f"client {who['id']} ({who['addr']}, user default{said}) purged {' '.join([what, *options])}: 3 entries, {erased} bytes"
    assert len(lines) == 1 and lines[0].endswith(expected), (lines, expected)
    assert erased == 0 if options else 300 < erased < 3 * 250


def test_a_prefix_is_no_pattern_and_the_log_says_so(start):
    """A prefix is no pattern: `PREFIX user:*` is for keys that begin with `user:*`, star and all, and all keys of users are `PREFIX user:`."""
    server = start()
    with server.connect() as client:
        client.call("MSET", "user:1", "v", "user:*", "v", "user:*:2", "v")
        assert client.call("CACHE.PURGE", "PREFIX", "user:*") == "OK"
        assert client.call("KEYS", "*") == [b"user:1"]
        eventually(lambda: "purged PREFIX \"user:*\" (a prefix, not a pattern: the '*' is part of it): 2 entries" in server.log())
        assert client.call("CACHE.PURGE", "PREFIX", "user:") == "OK"
        assert client.call("KEYS", "*") == []


def test_the_log_grows_by_little_however_many_tags_are_purged_how_often(start):
    """It names up to five of the tags, and of more than 20 purges in a second it tells only how many there were."""
    server = start()
    with server.connect() as client:
        client.call("CLIENT", "SETNAME", "n" * 10_000)
        before = len(server.log())
        seconds = time.monotonic()
        purges = 400
        tags = [f"{n:03}" + "\x01" * 252 for n in range(100)]
        for _ in range(purges):
            assert client.call("CACHE.PURGE", "TAGS", len(tags), *tags) == "OK"
        eventually(lambda: client.call("INFO", "cache").decode().count("purges_pending:0"))
        eventually(lambda: client.call("CACHE.PURGE", "TAGS", 1, "last") == "OK" and "left out" in server.log())
        lines = [line for line in server.log()[before:].splitlines() if "purged TAGS" in line]
        seconds = time.monotonic() - seconds
    assert all(len(line) < 4000 for line in lines)
    assert any(" and 95 more" in line for line in lines)
    assert len(lines) <= 20 * (seconds + 2) < purges


def test_a_purge_may_name_more_tags_than_an_entry_has(cache):
    tags = [f"{i:04}" + "x" * 200 for i in range(3000)]
    for i in (0, 1500, 2999):
        cache.set(f"k{i}", "v", "TAGS", 1, tags[i])
    cache.set("other", "v", "TAGS", 1, "other")
    assert cache.purge_tags(tags) == "OK"
    assert statuses(cache, "k0", "k1500", "k2999", "other") == ["miss", "miss", "miss", "hit"]
    assert cache.purge_tags(["other", "x" * 256]) == "ERR a tag must have 1 to 255 bytes"
    assert cache.purge_tags(["other", ""]) == "ERR a tag must have 1 to 255 bytes"
    assert cache.get("other").status == "hit"


# Bad input


@pytest.mark.parametrize(
    "args, wrong",
    [(["BOGUS", "x"], "unknown option 'BOGUS'"), (["TAGS", "1", "a", "BOGUS"], "unknown option 'BOGUS'"), (["PREFIX", "a", "SFOT"], "unknown option 'SFOT' (did you mean 'SOFT'?)"),
     (["PREFIX", "a", "b"], "unknown option 'b'"), (["TAGS", "1", "a", "b"], "unknown option 'b'"), (["TAG", "1"], "unknown option 'TAG' (did you mean 'TAGS'?)")],
)  # fmt: skip
def test_a_wrong_option_is_named(cache, args, wrong):
    cache.set("a", "v", "TAGS", 1, "a")
    assert cache.call("CACHE.PURGE", *args) == f"ERR {wrong}; usage: CACHE.PURGE <TAGS numtags tag [tag ...] | PREFIX prefix> [SOFT] [SYNC]"
    assert cache.get("a").status == "hit"


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "2", "9223372036854775807", "9223372036854775808"])
def test_a_wrong_number_of_tags_is_refused(cache, number):
    cache.set("a", "v", "TAGS", 1, "a")
    assert cache.call("CACHE.PURGE", "TAGS", number, "a").startswith("ERR ")
    assert cache.get("a").status == "hit"


@pytest.mark.parametrize("args", [[], ["TAGS"], ["PREFIX"]])
def test_arguments_that_are_missing_are_said_to_be(cache, args):
    assert is_error(cache.call("CACHE.PURGE", *args))
