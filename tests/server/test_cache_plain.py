"""Plain commands on keys under a policy: herd protection for clients that know nothing of CACHE.*."""

import threading

import pytest

from tests.support.cache import LONG
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


def make_stale(cache, client, key, value="old"):
    """A plain SET whose time has passed, its stale window not."""
    client.call("SET", key, value, "PX", 1)
    eventually(lambda: cache.look(key).status == "stale")


# "`stale`: in the stale window exactly one plain reader per lease is answered nil, and will write the value anew; all others get the stale value."

READS = [["GET"], ["GETEX"], ["GETEX", "EX", 100], ["MGET"]]


def plain_read(connection, read, key):
    reply = connection.call(read[0], key, *read[1:])
    return reply[0] if read[0] == "MGET" else reply


@pytest.mark.parametrize("read", READS, ids=lambda read: " ".join(map(str, read)))
def test_one_plain_reader_rebuilds_and_the_others_get_the_stale_value(cache, client, connect, policy, read):
    policy("p", "match", "p:*", "stale", "10m", "lease", "10m")
    make_stale(cache, client, "p:k")
    before = cache.counts()["stale_hits"]
    others = [connect() for _ in range(3)]
    assert plain_read(client, read, "p:k") is None
    assert [plain_read(other, read, "p:k") for other in others * 3] == [b"old"] * 9
    assert cache.counts()["stale_hits"] == before + 9
    assert client.call("SET", "p:k", "new", "PX", LONG) == "OK"
    assert [plain_read(other, read, "p:k") for other in others] == [b"new"] * 3


def test_another_reader_is_chosen_when_the_first_does_not_rebuild(cache, client, policy):
    """exactly one plain reader per lease"""
    policy("p", "match", "p:*", "stale", "10m", "lease", "30ms")
    make_stale(cache, client, "p:k")
    answers = []

    def two_rebuilders():
        answers.append(client.call("GET", "p:k"))
        return answers.count(None) >= 2

    eventually(two_rebuilders)
    assert answers[0] is None and set(answers) == {None, b"old"}


def test_many_readers_over_many_expiries_rebuild_once_each(cache, client, server, policy):
    """a key with `stale` read at full speed over 20 expiries: 20 rebuilds"""
    policy("p", "match", "p:*", "stale", "10m", "lease", "10m")
    rebuilds, stop, lock = [], threading.Event(), threading.Lock()

    def read():
        with server.connect() as connection:
            while not stop.is_set():
                if connection.call("GET", "p:k") is None:
                    with lock:
                        rebuilds.append(len(rebuilds))
                        n = len(rebuilds)
                    connection.call("SET", "p:k", f"value {n}", "PX", 10)
                    if n > 20:
                        stop.set()

    client.call("SET", "p:k", "value 0", "PX", 10)
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60)
    assert not any(reader.is_alive() for reader in readers)
    granted = cache.mapping(cache.policy("SHOW", "p"))["keys"]
    assert granted == 1 and len(rebuilds) == 21


def test_to_every_other_command_the_stale_entry_has_expired(cache, client, policy):
    """To plain commands an entry expires when it stops being fresh: ... in the stale window `EXISTS` is 0 and `SET NX` succeeds."""
    policy("p", "match", "p:*", "stale", "10m")
    for command, reply in [
        (["EXISTS", "p:k"], 0), (["TTL", "p:k"], -2), (["PTTL", "p:k"], -2), (["TYPE", "p:k"], "none"), (["STRLEN", "p:k"], 0), (["SET", "p:k", "v", "NX"], "OK"),
        (["SETNX", "p:k", "v"], 1), (["SET", "p:k", "v", "XX"], None), (["INCR", "p:k"], 1), (["APPEND", "p:k", "x"], 1), (["GETDEL", "p:k"], None),
        (["GETSET", "p:k", "v"], None), (["KEYS", "p:*"], []), (["EXPIRE", "p:k", 100], 0), (["PERSIST", "p:k"], 0), (["RENAME", "p:k", "x"], "ERR no such key"),
        (["COPY", "p:k", "x"], 0), (["DEL", "p:k"], 0), (["TOUCH", "p:k"], 0), (["GETRANGE", "p:k", 0, -1], b""), (["OBJECT", "ENCODING", "p:k"], None),
        (["SET", "p:k", "v", "GET"], None),
    ]:  # fmt: skip
        client.call("DEL", "p:k", "x")
        make_stale(cache, client, "p:k")
        assert client.call(*command) == reply, command


def test_a_stale_window_starts_when_the_entry_is_written(cache, client, policy):
    """stale: 60s  # stale window of entries that do not name one"""
    policy("p", "match", "p:*", "stale", "10m")
    for write in (["SET", "p:k", "v", "PX", 1], ["PSETEX", "p:k", 1, "v"], ["CACHE.SET", "p:k", "v", "PX", 1]):
        client.call(*write)
        eventually(lambda: cache.look("p:k").status == "stale")
        client.call("DEL", "p:k")
    client.call("SET", "p:k", "v")
    client.call("PEXPIRE", "p:k", 1)
    eventually(lambda: cache.look("p:k").status in ("stale", "miss"))


def test_an_explicit_stale_window_wins(cache, policy):
    """stale window of entries that do not name one"""
    policy("p", "match", "p:*", "stale", "10m")
    assert cache.set("p:k", "v", "PX", LONG, "STALE", 1000)
    seen = cache.inspect("p:k")
    assert seen["stale-ms"] - seen["fresh-ms"] == 1000


def test_plain_readers_and_leases_share_one_rebuild(cache, client, policy):
    policy("p", "match", "p:*", "stale", "10m", "lease", "10m")
    make_stale(cache, client, "p:k")
    token = cache.get("p:k", "LEASE", LONG).token
    assert token > 0 and client.call("GET", "p:k") == b"old"
    cache.release("p:k", token)
    assert client.call("GET", "p:k") is None
    assert cache.get("p:k")[:3] == ("stale", b"old", 0)


def test_plain_readers_are_bounded_by_max_leases(cache, client, policy):
    """max-leases: 200  # so many loads in flight: protects the origin"""
    policy("p", "match", "p:*", "stale", "10m", "lease", "10m", "max-leases", "1")
    make_stale(cache, client, "p:a")
    make_stale(cache, client, "p:b")
    assert [client.call("GET", key) for key in ("p:a", "p:b", "p:b", "p:a")] == [None, b"old", b"old", b"old"]
    client.call("SET", "p:a", "new")
    assert [client.call("GET", key) for key in ("p:b", "p:b", "p:a")] == [None, b"old", b"new"]


# "`coalesce`: the first GET of a missing key is answered nil at once, and takes the key's lease; further GETs of it wait for the SET, then are answered nil as well."


def sent(cache, connections, key, *command):
    """Sends the command on each, one after the other, and returns when all wait."""
    for n, connection in enumerate(connections, 1):
        connection.send_command(*(command or ("GET", key)))
        eventually(lambda n=n: cache.waiters(key) == n)


def test_readers_of_a_missing_key_wait_for_the_first(cache, client, connect, policy):
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    others = [connect() for _ in range(5)]
    sent(cache, others, "p:k")
    assert client.call("SET", "p:k", "v") == "OK"
    assert [other.read() for other in others] == [b"v"] * 5


def test_a_get_does_not_wait_for_what_is_behind_it(cache, client, policy):
    """what is there already lets no wait begin"""
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    assert client.pipeline([("GET", "p:k"), ("GET", "p:k"), ("SET", "p:k", "v"), ("GET", "p:k")]) == [None, None, "OK", b"v"]


def test_mget_and_getex_never_wait(cache, client, policy):
    """MGET and GETEX never wait"""
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    assert client.call("GETEX", "p:k", "EX", 100) is None
    client.call("SET", "p:there", "1")
    assert client.call("MGET", "p:there", "p:k", "p:other") == [b"1", None, None]


def test_they_wait_no_longer_than_that(cache, client, connect, policy):
    """further GETs of it wait for the SET, then are answered nil as well"""
    policy("p", "match", "p:*", "coalesce", "30ms", "lease", "10m")
    assert client.call("GET", "p:k") is None
    others = [connect() for _ in range(3)]
    for other in others:
        other.send_command("GET", "p:k")
    assert [other.read() for other in others] == [None] * 3
    assert cache.waiters("p:k") == 0


def test_a_delete_sends_one_of_those_who_wait_to_rebuild(cache, client, connect, policy):
    """the key is written, deleted, ... by anybody else | it is **void**"""
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    first, second = connect(), connect()
    sent(cache, [first, second], "p:k")
    client.call("DEL", "p:k")
    assert first.read() is None
    eventually(lambda: cache.waiters("p:k") == 1)
    first.call("SET", "p:k", "new")
    assert second.read() == b"new"


def test_an_absent_answer_ends_the_wait(cache, client, connect, policy):
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    other = connect()
    sent(cache, [other], "p:k")
    assert cache.absent("p:k", "PX", LONG)
    assert other.read() is None
    assert client.call("GET", "p:k") is None and cache.waiters("p:k") == 0


@pytest.mark.parametrize("how, reply", [([], None), (["ERROR"], "UNBLOCKED client unblocked via CLIENT UNBLOCK")])
def test_client_unblock_ends_the_wait(cache, client, connect, policy, how, reply):
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    other = connect()
    identity = other.call("CLIENT", "ID")
    sent(cache, [other], "p:k")
    assert client.call("CLIENT", "UNBLOCK", identity, *how) == 1
    assert other.read() == reply and cache.waiters("p:k") == 0


def test_plain_readers_wait_for_a_lease_too(cache, client, connect, policy):
    policy("p", "match", "p:*", "coalesce", "10m")
    token = cache.lease("p:k")
    other = connect()
    sent(cache, [other], "p:k")
    assert cache.fill("p:k", "v", token)
    assert other.read() == b"v"


def test_a_transaction_does_not_wait(cache, client, policy):
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m", "stale", "10m")
    assert client.call("GET", "p:k") is None
    client.pipeline([["MULTI"], ["GET", "p:k"], ["MGET", "p:k"]])
    assert client.call("EXEC") == [None, [None]]


def test_a_policy_is_in_force_when_set_returns_and_gone_when_del_returns(cache, client, policy):
    """changed with CACHE.POLICY, which ... is in force when it returns"""
    for _ in range(20):
        policy("p", "match", "p:*", "ttl", "1m")
        client.call("SET", "p:k", "v")
        assert client.call("TTL", "p:k") > 0
        assert cache.policy("DEL", "p") == 1
        client.call("SET", "p:k", "v")
        assert client.call("TTL", "p:k") == -1


def test_readers_who_wait_are_answered_when_the_policy_goes(cache, client, connect, policy):
    policy("p", "match", "p:*", "coalesce", "10m", "lease", "10m")
    assert client.call("GET", "p:k") is None
    other = connect()
    sent(cache, [other], "p:k")
    cache.policy("DEL", "p")
    client.call("SET", "p:k", "v")
    assert other.read() == b"v"


def test_keys_under_no_policy_are_as_ever(cache, client, policy):
    """Without any policy plain commands behave exactly as in Redis."""
    policy("p", "match", "p:*", "stale", "10m", "coalesce", "10m")
    assert client.call("GET", "k") is None and client.call("GET", "k") is None
    client.call("SET", "k", "v", "PX", 1)
    eventually(lambda: client.call("GET", "k") is None)
    assert client.call("GET", "k") is None and cache.look("k").status == "miss"


# "Any write that leaves a value counts as a fill."

WRITES = [
    ["SET", "k", "v"], ["SET", "k", "v", "NX"], ["SETNX", "k", "v"], ["SETEX", "k", 100, "v"], ["PSETEX", "k", LONG, "v"], ["GETSET", "k", "v"], ["SET", "k", "v", "GET"],
    ["MSET", "other", "x", "k", "v"], ["MSETNX", "k", "v"], ["MSETEX", 1, "k", "v"], ["APPEND", "k", "v"], ["SETRANGE", "k", 0, "v"], ["CACHE.SET", "k", "v"],
]  # fmt: skip


@pytest.mark.parametrize("write", WRITES, ids=lambda write: " ".join(map(str, write)))
def test_a_plain_write_answers_those_who_wait(cache, client, park, write):
    cache.lease("k")
    readers = [park("k") for _ in range(3)]
    assert client.call(*write) in ("OK", 1, None)
    assert [reader.answer()[:2] for reader in readers] == [("hit", b"v")] * 3
