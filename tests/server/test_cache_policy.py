"""CACHE.POLICY and what its fields do to writes, row by row of docs/cache-commands.md.

What policies do for plain reads is in test_cache_plain.py.
"""

import subprocess
import threading
import time

import pytest

from tests.support import servers
from tests.support.cache import EAGER, LONG, Cache, Reader, is_error, mapping, text
from tests.support.servers import eventually, is_redis, pinfold_binary

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


def shown(cache, name):
    return cache.mapping(cache.policy("SHOW", name))


def listed(cache):
    return [text(cache.mapping(entry)["name"]) for entry in cache.policy("LIST")]


# | `CACHE.POLICY LIST`, `SHOW name`, `MATCH key`, `SET name field value [field value ...]`, `DEL name` | the policies with their statistics; one; the name of the one
# that a key falls under, or nil; `OK`; 1 or 0 |


def test_there_is_none_at_first(cache):
    assert cache.policy("LIST") == []
    assert cache.policy("MATCH", "k") is None


def test_set_show_list_and_del(cache, policy):
    policy("products", "match", "product:*", "ttl", "5m")
    policy("users", "match", "user:*")
    assert listed(cache) == ["products", "users"]
    assert text(shown(cache, "products")["match"]) == "product:*"
    assert cache.policy("DEL", "products") == 1
    assert listed(cache) == ["users"]
    assert cache.policy("DEL", "products") == 0
    assert cache.policy("MATCH", "product:1") is None


def test_match_tells_the_first_that_fits(cache, policy):
    """first match wins; a glob on the key ... the name of the one that a key falls under"""
    policy("special", "match", "product:[0-9]")
    policy("products", "match", "product:*")
    policy("all", "match", "*")
    for key, name in (("product:7", "special"), ("product:77", "products"), ("product:", "products"), ("order:7", "all"), ("", "all"), (b"\xff\x00", "all")):
        assert text(cache.policy("MATCH", key)) == name, key


def test_setting_a_field_keeps_the_others(cache, policy):
    policy("p", "match", "p:*", "ttl", "5m")
    policy("other", "match", "p:*")
    policy("p", "stale", "60s")
    assert listed(cache) == ["p", "other"]
    assert text(cache.policy("MATCH", "p:1")) == "p"
    cache.call("SET", "p:1", "v")
    assert 0 < cache.call("PTTL", "p:1") <= 300_000


@pytest.mark.parametrize(
    "field, value",
    [("ttl", "5m"), ("max-ttl", "1d"), ("jitter", "10%"), ("stale", "60s"), ("coalesce", "50ms"), ("lease", "10s"), ("early-refresh", "1.0"),
     ("negative-ttl", "30s"), ("max-leases", "200"), ("max-value", "1mb"), ("max-memory", "25%"), ("max-memory", "10mb"),
     ("priority", "protected"), ("priority", "normal"), ("priority", "first-out")],
)  # fmt: skip
def test_each_field_of_the_example_is_accepted_and_shown(cache, policy, field, value):
    policy("p", "match", "p:*", field, value)
    assert field in shown(cache, "p")


def test_every_statistic_is_shown(cache, policy, client):
    """the policies with their statistics"""
    policy("p", "match", "p:*", "stale", "10m")
    client.call("MSET", "p:1", "v", "p:2", "v", "other", "v")
    client.call("GET", "p:1")
    client.call("GET", "p:2")
    client.call("GET", "p:none")
    token = cache.lease("p:lease")
    cache.stale("p:stale")
    cache.look("p:stale")
    found = shown(cache, "p")
    assert found["keys"] == 3 and found["bytes"] > 0
    assert found["hits"] >= 2 and found["stale-hits"] >= 1 and found["misses"] >= 2 and found["leases"] == 1
    cache.release("p:lease", token)
    client.call("DEL", "p:1", "p:2")
    found = shown(cache, "p")
    assert found["keys"] == 1 and found["leases"] == 0


# ttl, max-ttl, jitter


def test_ttl_is_given_to_writes_that_set_none(cache, policy, client):
    """ttl: 5m  # given to writes that set none"""
    policy("p", "match", "p:*", "ttl", "5m")
    for write in (["SET", "p:k", "v"], ["CACHE.SET", "p:k", "v"], ["MSET", "p:k", "v"], ["INCR", "p:n"], ["APPEND", "p:a", "x"], ["SETRANGE", "p:r", 3, "x"], ["GETSET", "p:k", "w"]):
        client.call(*write)
        assert 0 < client.call("PTTL", write[1]) <= 300_000, write
    client.call("SET", "p:k", "v", "PX", LONG)
    assert 300_000 < client.call("PTTL", "p:k") <= LONG
    client.call("SET", "other", "v")
    assert client.call("TTL", "other") == -1


def test_ttl_holds_for_fills(cache, policy):
    policy("p", "match", "p:*", "ttl", "5m", "stale", "60s")
    assert cache.fill("p:k", "v", cache.lease("p:k"))
    assert 0 < cache.get("p:k").ms <= 300_000


def test_longer_times_are_shortened(cache, policy, client):
    """max-ttl: 1d  # longer ones, and PERSIST, are shortened"""
    policy("p", "match", "p:*", "max-ttl", "1m")
    for write in (["SET", "p:k", "v", "EX", 600], ["SETEX", "p:k", 600, "v"], ["CACHE.SET", "p:k", "v", "EX", 600], ["SET", "p:k", "v", "EXAT", 4_000_000_000]):
        client.call(*write)
        assert 0 < client.call("PTTL", "p:k") <= 60_000, write
    client.call("SET", "p:k", "v", "PX", 30_000)
    assert 0 < client.call("PTTL", "p:k") <= 30_000
    client.call("EXPIRE", "p:k", 6000)
    assert 0 < client.call("PTTL", "p:k") <= 60_000


def test_persist_is_shortened(cache, policy, client):
    """max-ttl: 1d  # longer ones, and PERSIST, are shortened"""
    policy("p", "match", "p:*", "max-ttl", "10m")
    for command in (["PERSIST", "p:k"], ["GETEX", "p:k", "PERSIST"]):
        client.call("SET", "p:k", "v", "PX", 60_000)
        assert client.call(*command) in (1, b"v")
        assert 60_000 < client.call("PTTL", "p:k") <= 600_000, command
    client.call("SET", "p:k", "v")
    assert 0 < client.call("PTTL", "p:k") <= 600_000
    client.call("SET", "other", "v", "PX", LONG)
    assert client.call("PERSIST", "other") == 1 and client.call("TTL", "other") == -1


def test_jitter_only_shortens_and_spreads(cache, policy, client):
    """jitter: 10%  # a time to live is shortened by a random 0-10 % (up to 90 %), never lengthened; EXPIRE's too"""
    policy("p", "match", "p:*", "jitter", "10%")
    for i in range(300):
        client.call("SET", f"p:{i}", "v", "EXAT", 4_000_000_000)
    now = client.call("TIME")
    span = 4_000_000_000_000 - int(now[0]) * 1000
    ends = [client.call("PEXPIRETIME", f"p:{i}") for i in range(300)]
    shortened = [(4_000_000_000_000 - end) / span for end in ends]
    assert all(0 <= part <= 0.1001 for part in shortened)
    assert len(set(ends)) > 250 and min(shortened) < 0.02 and max(shortened) > 0.08


def test_jitter_of_the_ttl_of_the_policy(cache, policy, client):
    policy("p", "match", "p:*", "ttl", "10m", "jitter", "50%")
    for i in range(100):
        client.call("SET", f"p:{i}", "v")
    left = [client.call("PTTL", f"p:{i}") for i in range(100)]
    assert all(0 < ms <= 600_000 for ms in left) and len(set(left)) > 50


@pytest.mark.parametrize("command", ["EXPIRE", "PEXPIREAT", "GETEX", "PERSIST", "CACHE.ABSENT"])
def test_jitter_of_deadlines_that_are_set_later(cache, policy, client, command):
    policy("p", "match", "p:*", "jitter", "50%", "max-ttl", "50s")
    deadline = (int(client.call("TIME")[0]) + 50) * 1000
    options = {"EXPIRE": [50], "PEXPIREAT": [deadline], "GETEX": ["EX", 50], "PERSIST": [], "CACHE.ABSENT": ["EX", 50]}[command]
    for i in range(50):
        client.call("SET", f"p:{i}", "v", "PX", LONG)
        client.call(command, f"p:{i}", *options)
    left = [cache.inspect(f"p:{i}")["fresh-ms"] for i in range(50)]
    assert all(0 < ms <= 50_000 for ms in left) and len({ms // 1000 for ms in left}) > 5


# lease, early-refresh, negative-ttl, max-leases


def test_the_lease_of_the_policy(cache, policy):
    """lease: 10s"""
    policy("p", "match", "p:*", "lease", "5m")
    assert 10_000 < cache.get("p:k").ms <= 300_000
    assert cache.get("other").ms <= 10_000
    assert cache.get("p:mine", "LEASE", 1000).ms <= 1000


def test_the_early_refresh_of_the_policy(cache, policy):
    """early-refresh: 1.0 ... x comes from the policy, 1.0 without one; 0 turns it off."""
    policy("eager", "match", "eager:*", "early-refresh", "1000")
    policy("never", "match", "never:*", "early-refresh", "0")
    for key in ("eager:k", "never:k"):
        cache.loaded(key)
    eventually(lambda: cache.get("eager:k", "LEASE", LONG).token)
    assert all(cache.get("never:k").token == 0 for _ in range(100))
    eventually(lambda: cache.get("never:k", "BETA", EAGER).token)


def test_the_negative_ttl_of_the_policy(cache, policy):
    """negative-ttl: 30s"""
    policy("p", "match", "p:*", "negative-ttl", "2s")
    assert cache.absent("p:k")
    assert 0 < cache.get("p:k").ms <= 2000
    assert cache.absent("p:k", "PX", 500)
    assert 0 < cache.get("p:k").ms <= 500


def test_max_leases_bounds_the_loads_in_flight(cache, policy):
    """max-leases: 200  # so many loads in flight: protects the origin"""
    policy("p", "match", "p:*", "max-leases", "3")
    tokens = [cache.lease(f"p:{i}") for i in range(3)]
    refused = cache.counts()["lease_refused"]
    found = cache.get("p:more")
    assert found[:3] == ("miss", None, 0) and found.ms > 0
    assert cache.counts()["lease_refused"] == refused + 1
    cache.stale("p:old")
    assert cache.get("p:old")[:3] == ("stale", b"old", 0)
    cache.lease("other")
    assert cache.fill("p:0", "v", tokens[0])
    tokens.append(cache.lease("p:more"))
    assert cache.get("p:again").token == 0
    cache.call("DEL", "p:1")
    cache.lease("p:again")


def test_a_lease_that_runs_out_makes_room_for_another(cache, policy):
    policy("p", "match", "p:*", "max-leases", "1")
    cache.lease("p:a", "LEASE", 20)
    eventually(lambda: cache.get("p:b", "LEASE", LONG).token)
    assert cache.get("p:c").token == 0


# max-value, max-memory, priority


def test_larger_values_are_refused(cache, policy, client):
    """max-value: 1mb  # a size with a unit; larger values are refused with an error"""
    policy("p", "match", "p:*", "max-value", "1kb")
    token = cache.lease("p:k")
    for write in (
        ["SET", "p:k", "x" * 1025], ["CACHE.SET", "p:k", "x" * 1025], ["CACHE.SET", "p:k", "x" * 1025, "TOKEN", token], ["SETEX", "p:k", 10, "x" * 5000],
        ["MSET", "p:k", "x" * 1025], ["SETRANGE", "p:k", 1024, "x"], ["SETBIT", "p:k", 8192, 1], ["SET", "p:k", "x" * 100_000],
    ):  # fmt: skip
        reply = client.call(*write)
        assert is_error(reply) and "max-value" in reply, (write[0], reply)
        assert client.call("EXISTS", "p:k") == 0
    assert client.call("SET", "p:k", "x" * 1024) == "OK"
    for write in (["APPEND", "p:k", "x"], ["SETRANGE", "p:k", 1024, "x"], ["GETSET", "p:k", "x" * 1025], ["SET", "p:k", "x" * 1025, "XX"]):
        assert is_error(client.call(*write)) and client.call("STRLEN", "p:k") == 1024, write[:2]
    assert client.call("SET", "other", "x" * 5000) == "OK"
    reply = client.call("RENAME", "other", "p:renamed")
    assert is_error(reply) and client.call("EXISTS", "p:renamed") == 0


def test_a_refusal_in_exec_is_of_one_command(cache, policy, connect):
    """What a write violates of a policy in EXEC is found when its turn comes; the other commands of the transaction are executed, as with any error."""
    policy("p", "match", "p:*", "max-value", "1kb")
    other = connect()
    queued = other.pipeline([["MULTI"], ["SET", "before", "1"], ["SET", "p:k", "x" * 1025], ["CACHE.SET", "p:c", "x" * 1025], ["SET", "p:small", "x"], ["SET", "after", "1"]])
    assert queued == ["OK"] + ["QUEUED"] * 5
    first, plain, ours, small, last = other.call("EXEC")
    assert first == small == last == "OK"
    assert is_error(plain) and is_error(ours) and "max-value" in plain and "max-value" in ours
    assert cache.call("EXISTS", "before", "p:k", "p:c", "p:small", "after") == 3


@pytest.mark.parametrize("command", ["SET", "CACHE.SET"])
def test_larger_values_are_refused_with_keepttl_too(cache, policy, command):
    policy("p", "match", "p:*", "max-value", "1kb")
    cache.call("SET", "p:k", "v", "EX", 100)
    assert is_error(cache.call(command, "p:k", "x" * 1025, "KEEPTTL"))


def fill_memory(connection, *families, each=2000, reads=0):
    """Entries of some 1 KB: `each` of every family, read so often."""
    for i in range(0, each, 100):
        for family in families:
            keys = [f"{family}:{n}" for n in range(i, i + 100)]
            connection.pipeline([["SET", key, "x" * 1000] for key in keys])
            for _ in range(reads):
                connection.call("MGET", *keys)


def left(connection, family, each=2000):
    return connection.call("EXISTS", *[f"{family}:{i}" for i in range(each)])


def test_a_quota_is_what_its_own_entries_pay_for(start):
    """max-memory: 25%  # of maxmemory, or a size with a unit; over it this policy's entries go first when memory is needed"""
    with start("--maxmemory", "24mb").connect() as connection:
        assert connection.call("CACHE.POLICY", "SET", "p", "match", "p:*", "max-memory", "25%") == "OK"
        # They are read more often than the others, and have to go all the same.
        fill_memory(connection, "p", each=12_000, reads=2)
        fill_memory(connection, "other", each=4000, reads=1)
        assert left(connection, "p", 12_000) == 12_000
        fill_memory(connection, "more", each=12_000, reads=1)
        assert left(connection, "other", 4000) + left(connection, "more", 12_000) > 15_500
        assert mapping(connection.call("CACHE.POLICY", "SHOW", "p"))["bytes"] < 9 << 20


def test_priorities(start):
    """priority: normal  # protected: kept up to half of maxmemory | normal | first-out"""
    with start("--maxmemory", "24mb").connect() as connection:
        for name in ("protected", "first-out"):
            assert connection.call("CACHE.POLICY", "SET", name, "match", f"{name}:*", "priority", name) == "OK"
        fill_memory(connection, "protected", "unread")
        fill_memory(connection, "first-out", "read", reads=3)
        fill_memory(connection, "flood", each=30_000)
        found = {name: left(connection, name) for name in ("protected", "unread", "first-out", "read")}
        assert found["protected"] > 1800 > 500 > found["unread"], found
        assert found["read"] > 1800 > 200 > found["first-out"], found


# The file


POLICIES = """
policies:
  - name: products
    match: "product:*"
    ttl: 5m
    max-ttl: 1d
    jitter: 10%
    stale: 60s
    coalesce: 50ms
    lease: 10s
    early-refresh: 1.0
    negative-ttl: 30s
    max-leases: 200
    max-value: 1mb
    max-memory: 25%
    priority: normal
  - name: rest
    match: "*"
    stale: 5s
"""


def test_policies_come_from_the_file(tmp_path, start):
    file = tmp_path / "pinfold.yaml"
    file.write_text("threads: 2\n" + POLICIES)
    with start(file=file).connect() as connection:
        assert [text(mapping(entry)["name"]) for entry in connection.call("CACHE.POLICY", "LIST")] == ["products", "rest"]
        assert text(connection.call("CACHE.POLICY", "MATCH", "product:1")) == "products"
        connection.call("SET", "product:1", "v")
        assert 0 < connection.call("PTTL", "product:1") <= 300_000


@pytest.mark.parametrize(
    "yaml, line",
    [
        ("policies:\n  - name: a\n    match: 'a*'\n    tttl: 5m\n", 4),
        ("policies:\n  - name: a\n    match: 'a*'\n    ttl: soon\n", 4),
        ("policies:\n  - name: a\n    match: 'a*'\n    jitter: 110%\n", 4),
        ("policies:\n  - name: a\n    match: 'a*'\n    priority: highest\n", 4),
        ("policies:\n  - name: a\n    match: 'a*'\n  - name: a\n    match: 'b*'\n", 4),
        ("policies:\n  - name: 'a b'\n    match: 'a*'\n", 2),
        ("policies:\n  - match: 'a*'\n", 2),
        ("policies:\n  a: 1\n", 1),
        ("policies:\n  - a\n", 2),
        ("policies:\n  - name: a\n    match: 'a[0-9'\n", 3),
        ("policies:\n  - name: a\n    match: 'a\\'\n", 3),
        ("policies:\n  - name: a\n    match: ''\n", 3),
        ("policies:\n  - name: a\n    ttl: 5m\n", 2),
        ("timeout: 5\npolicies:\n  - name: a\n    match: 'a*'\n  - name: b\n    colour: red\n", 6),
        ("policies:\n  - name: a\n    match: 'a*'\n    ttl: 5m\n   stale: 5s\n", 5),
        ("policies:\n  - name: a\n    match: [a\n    ttl: 5m\n", 4),
        ("policies:\n  - name: a\n    match: *a\n", 3),
        ("policies:\n  - name: a\n    ttl: [5m, 6m]\n", 3),
        ("policies:\n  - name: a\n    ttl: 5m\n    ttl: 6m\n", 4),
        ("".join(["policies:\n", *(f"  - name: p{i}\n    match: '{i}:*'\n" for i in range(251))]), 502),
    ],
)
def test_a_wrong_policy_in_the_file_is_refused_with_its_line(tmp_path, yaml, line):
    """A file with a policy that does not parse is refused with the number of the line."""
    file = tmp_path / "bad.yaml"
    file.write_text(yaml)
    result = subprocess.run(
        [pinfold_binary(), file, "--port", str(servers.free_port())], capture_output=True, text=True, timeout=60, env=servers.environment()
    )  # fmt: skip
    lines = result.stderr.splitlines()
    assert result.returncode == 1 and len(lines) == 1, result.stderr
    assert f"{file}:{line}: " in lines[0], lines[0]


def test_a_rewrite_of_the_file_keeps_its_policies(tmp_path, start):
    """Changes at run time are not written to the file."""
    file = tmp_path / "pinfold.yaml"
    file.write_text("threads: 2\n" + POLICIES)
    server = start(file=file)
    with server.connect() as connection:
        before = [mapping(entry) for entry in connection.call("CACHE.POLICY", "LIST")]
        assert connection.call("CACHE.POLICY", "SET", "rest", "stale", "7s") == "OK"
        assert connection.call("CACHE.POLICY", "SET", "new", "match", "new:*", "ttl", "1m") == "OK"
        assert connection.call("CONFIG", "SET", "lease-duration", 5000) == connection.call("CONFIG", "REWRITE") == "OK"
    server.stop()
    server.start()
    with server.connect() as connection:
        assert connection.call("CONFIG", "GET", "lease-duration")[1] == b"5000"
        assert [mapping(entry) for entry in connection.call("CACHE.POLICY", "LIST")] == before


@pytest.mark.parametrize("write", [["SETRANGE", "p:k", 40 << 20, "x"], ["SETBIT", "p:k", 40 << 23, 1], ["BITFIELD", "p:k", "SET", "u8", 40 << 23, 1]], ids=lambda write: write[0])
def test_a_missing_key_that_cannot_grow_stays_missing(start, write):
    """Nobody sees a value before there is one, and a lease lives on."""
    server = start("--maxmemory", "16mb")
    with server.connect() as connection, server.connect() as waiting:
        cache = Cache(connection)
        assert cache.policy("SET", "p", "match", "p:*", "ttl", "5m") == "OK"
        token = cache.lease("p:k")
        reader = Reader(waiting, cache, "p:k")
        assert connection.call(*write).startswith("OOM ")
        assert connection.call("EXISTS", "p:k") == 0
        assert cache.holds("p:k", token) and cache.waiters("p:k") == 1 and not reader.has_answer()


def test_keepttl_keeps_the_stale_window_too(cache, policy):
    policy("p", "match", "p:*", "stale", "60s")
    assert cache.set("p:k", "v", "EX", 10)
    assert cache.set("p:k", "w", "KEEPTTL")
    assert 60_000 < cache.inspect("p:k")["stale-ms"] <= 70_000


def test_a_fill_that_is_too_large_ends_the_lease(cache, policy, park):
    """A refused fill of a lease's holder ends the lease, so that whoever waits need not wait for its deadline."""
    policy("p", "match", "p:*", "max-value", "1kb")
    for size in (1025, 100_000):
        token = cache.lease("p:k")
        reader = park("p:k")
        assert is_error(cache.call("CACHE.SET", "p:k", b"v" * size, "TOKEN", token))
        assert not cache.holds("p:k", token)
        following = reader.answer()
        assert following.status == "miss" and following.token > token
        assert cache.fill("p:k", "small", following.token)
        cache.invalidate(["p:k"])


def test_settings_changed_beside_transactions_do_not_lock_each_other_out(start):
    """EXEC, with shards held, against CACHE.POLICY and CONFIG SET: each is answered, as is everybody else."""
    settings = [("serve-stale", "yes", "no"), ("negative-memory", "5", "6"), ("maxmemory", "64mb", "65mb"), ("maxmemory-policy", "allkeys-lru", "allkeys-lfu")]
    rounds = 400
    server = start("--threads", 4)

    def transactions(connection, name, values):
        for i in range(rounds):
            queued = [["SET", f"p:{i}:{j}", "v"] for j in range(8)]
            replies = connection.pipeline([["CONFIG", "SET", name, values[i % 2]], ["MULTI"], *queued, ["EXEC"]])
            assert replies[-1] == ["OK"] * 8

    def outside(connection):
        for i in range(rounds):
            connection.pipeline([["CONFIG", "SET", name, values[i % 2]] for name, *values in settings])

    def policies(connection):
        for i in range(rounds):
            replies = connection.pipeline([["CACHE.POLICY", "SET", "p", "match", "p:*"], ["CACHE.POLICY", "LIST"], ["CACHE.POLICY", "DEL", "p"]])
            assert replies[0] == "OK" and replies[2] in (0, 1)

    work = [(transactions, name, values) for name, *values in settings] + [(outside,), (policies,), (policies,)]
    done = []

    def run(action, *arguments):
        with server.connect() as connection:
            action(connection, *arguments)
            done.append(action)

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 40
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
    if any(thread.is_alive() for thread in threads):
        server.kill()  # it would not stop
    assert len(done) == len(work)


# Bad input


@pytest.mark.parametrize(
    "fields",
    [["ttl", "soon"], ["ttl", "-5m"], ["ttl", ""], ["ttl", "99999999999999999999d"], ["ttl", "5 parsecs"], ["jitter", "110%"], ["jitter", "-1%"],
     ["jitter", "x"], ["early-refresh", "-1"], ["early-refresh", "nan"], ["max-leases", "-1"], ["max-leases", "many"], ["max-value", "big"], ["max-memory", "200%"],
     ["priority", "highest"], ["match", ""], ["bogus", "1"], ["stale", "1e3"], ["coalesce", "-1ms"]],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_changes_nothing(cache, policy, fields):
    policy("p", "match", "p:*", "ttl", "5m")
    before = cache.policy("SHOW", "p")
    assert is_error(cache.policy("SET", "p", *fields))
    assert is_error(cache.policy("SET", "p", "ttl", "1m", *fields))
    assert cache.policy("SHOW", "p") == before
    assert is_error(cache.policy("SET", "q", "match", "q:*", *fields))
    assert listed(cache) == ["p"]


def test_a_field_that_is_wrong_is_named(cache, policy):
    policy("p", "match", "p:*")
    assert cache.policy("SET", "p", "coalsce", "1s") == "ERR policy 'p': unknown field 'coalsce' (did you mean 'coalesce'?)"
    assert cache.policy("SET", "p", "bogus", "1s") == "ERR policy 'p': unknown field 'bogus'"
    assert cache.policy("SET", "p", "x" * 1000, "1s") == f"ERR policy 'p': unknown field '{'x' * 128}'"
    assert cache.policy("SET", "p", "ttl", "1s", "stale") == "ERR field 'stale' needs a value"


def test_a_lease_is_bounded_as_lease_duration_is(cache, policy, tmp_path):
    policy("p", "match", "p:*", "lease", "1h")
    for wrong in ("2h", "3600001ms"):
        assert cache.policy("SET", "p", "lease", wrong) == "ERR policy 'p': 'lease' must be at most 1h (3600000ms)"
    assert shown(cache, "p")["lease"] == b"1h"
    file = tmp_path / "pinfold.yaml"
    file.write_text('policies:\n  - name: p\n    match: "p:*"\n    lease: 2h\n')
    answer = subprocess.run([pinfold_binary(), file, "--check"], env=servers.environment(), capture_output=True, text=True)
    assert answer.returncode == 1 and answer.stderr.endswith("pinfold.yaml:4: 'lease' must be at most 1h (3600000ms)\n")


@pytest.mark.parametrize("field, asked, meant", [
    ("max-memory", "a size with a unit, or a percentage of maxmemory", "{0}% or as {0}mb, or is {0}b"), ("max-value", "a size with a unit", "{0}mb, or is {0}b"),
])  # fmt: skip
def test_a_size_needs_a_unit(cache, policy, field, asked, meant):
    policy("p", "match", "p:*", field, "25b")
    assert shown(cache, "p")[field] == b"25b"
    for wrong in ("25", "1048576"):
        assert cache.policy("SET", "p", field, wrong) == f"ERR policy 'p': '{field}' must be {asked}: '{wrong}' may be meant as {meant.format(wrong)}"
    assert shown(cache, "p")[field] == b"25b"
    for right, seen in (("1mb", b"1048576b"), ("0", b"0")):
        assert cache.policy("SET", "p", field, right) == "OK"
        assert shown(cache, "p")[field] == seen
        assert cache.policy("SET", "p", field, seen) == "OK"


def test_a_share_of_maxmemory_is_shown_as_it_was_set(cache, policy):
    policy("p", "match", "p:*", "max-memory", "25%")
    assert shown(cache, "p")["max-memory"] == b"25%"
    for wrong in ("200%", "-1", "1.5gb", "1.5%"):
        error = "ERR policy 'p': 'max-memory' must be a size in a whole number such as 100mb, or a whole percentage of maxmemory, 0% to 100%"
        assert cache.policy("SET", "p", "max-memory", wrong) == error


# "What contradicts itself is allowed, but warned of"


@pytest.mark.parametrize(
    "fields, warning",
    [(["ttl", "2h", "max-ttl", "1h"], "'ttl' (2h) is above 'max-ttl' (1h)"), (["coalesce", "20s"], "'coalesce' (20s) is longer than 'lease' (10s)"),
     (["coalesce", "2s", "lease", "1s"], "'coalesce' (2s) is longer than 'lease' (1s)")],
)  # fmt: skip
def test_a_policy_that_contradicts_itself_is_warned_of(cache, policy, fields, warning):
    policy("p", "match", "p:*", *fields)
    (found,) = shown(cache, "p")["warnings"]
    assert text(found).startswith(warning)


@pytest.mark.parametrize("fields", [["ttl", "1h", "max-ttl", "1h"], ["coalesce", "10s"], ["coalesce", "1m", "lease", "1m"], ["max-ttl", "1h"], ["ttl", "1h"]])
def test_a_policy_that_makes_sense_is_not(cache, policy, fields):
    policy("p", "match", "p:*", *fields)
    assert shown(cache, "p")["warnings"] == []


@pytest.mark.parametrize("first, second, covered", [
    ("*", "p:*", True), ("p:*", "p:1:*", True), ("p:*", "p:?x*y", True), ("p:*", "p:*", True), ("p:1", "p:1", True), ("p:**", "p:1", True),
    ("p:*", "q:*", False), ("p:1:*", "p:*", False), ("p:*x", "p:*", False), ("?", "p", False), ("p:1", "p:1*", False), ("p:*", "*", False),
])  # fmt: skip
def test_a_policy_that_no_key_reaches_is_warned_of(cache, policy, first, second, covered):
    policy("first", "match", first)
    policy("second", "match", second)
    assert shown(cache, "first")["warnings"] == []
    found = [text(warning) for warning in shown(cache, "second")["warnings"]]
    assert found == ([f"no key falls under it: '{first}' of policy 'first' comes first and matches all that '{second}' does"] if covered else [])


def test_contradictions_in_the_file_are_in_the_log(start, tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text('policies:\n  - name: all\n    match: "*"\n    ttl: 2h\n    max-ttl: 1h\n  - name: p\n    match: "p:*"\n')
    server = start(file=file)
    eventually(lambda: "policy 'all': 'ttl' (2h) is above 'max-ttl' (1h)" in server.log())
    eventually(lambda: "policy 'p': no key falls under it: '*' of policy 'all' comes first" in server.log())


def test_a_glob_that_does_not_parse_is_refused(cache):
    """What is no glob in the file is none here."""
    reply = cache.policy("SET", "p", "match", "p:[0-9")
    cache.policy("DEL", "p")
    assert is_error(reply)


@pytest.mark.parametrize("args", [["SET"], ["SET", "p"], ["SET", "p", "ttl"], ["SET", "p", "match", "p:*", "ttl"], ["SHOW"], ["MATCH"], ["DEL"], ["LIST", "x"]])
def test_arguments_that_are_missing_or_too_many_are_refused(cache, args):
    assert is_error(cache.policy(*args))
    assert listed(cache) == []


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\x00", "x" * 1000])
def test_a_wrong_name_is_refused(cache, name):
    assert is_error(cache.policy("SET", name, "match", "p:*"))
    assert listed(cache) == []


def test_a_name_that_was_mistyped_is_no_new_policy(cache, policy):
    """every policy needs one"""
    policy("products", "match", "product:*")
    assert cache.policy("SET", "prodcts", "ttl", "1s") == "ERR there is no policy 'prodcts', and a new one needs a match"
    assert listed(cache) == ["products"]
    assert cache.policy("SET", "products", "ttl", "1s") == "OK"


def test_a_field_is_set_once(cache, policy):
    policy("p", "match", "p:*", "ttl", "5m")
    assert cache.policy("SET", "p", "ttl", "6m", "stale", "1s", "TTL", "7m") == "ERR policy 'p': TTL is set twice"
    assert text(shown(cache, "p")["ttl"]) == "5m"


def test_the_first_policy_that_matches_wins(cache, policy):
    policy("all", "match", "*", "ttl", "5m")
    policy("later", "match", "later:*")
    assert text(cache.policy("MATCH", "later:1")) == text(cache.policy("MATCH", "any")) == "all"


def test_there_are_at_most_250(cache, policy):
    """At most 250."""
    for i in range(250):
        policy(f"p{i}", "match", f"p{i}:*")
    assert cache.policy("SET", "more", "match", "more:*") == "ERR there are too many policies already"
    assert len(listed(cache)) == 250 and cache.policy("MATCH", "more:1") is None
    assert text(cache.policy("MATCH", "p249:k")) == "p249"
    policy("p7", "ttl", "5m")
    assert cache.policy("DEL", "p0") == 1
    policy("more", "match", "more:*")
    assert text(cache.policy("MATCH", "more:1")) == "more"


def test_a_pattern_that_takes_much_memory_is_refused(cache, policy):
    """A pattern that takes more than 16 KB when it is compiled is refused"""
    refused = cache.policy("SET", "p", "match", "*" + "?ab*" * 250)
    assert is_error(refused) and "'match' must not take more than 16 KB when it is compiled" in str(refused)
    assert listed(cache) == []
    policy("p", "match", "*" + "?ab*" * 4)
    assert text(cache.policy("MATCH", "xabxabxabxab")) == "p"


def test_an_unknown_policy_is_nil(cache):
    assert cache.policy("SHOW", "nobody") is None


def test_an_unknown_subcommand_is_refused_in_the_words_of_redis(cache):
    assert cache.policy("BOGUS") == "ERR unknown subcommand 'BOGUS'. Try CACHE.POLICY HELP."
