"""CACHE.GET and CACHE.MGET, row by row of docs/cache-commands.md."""

import math

import pytest

from tests.support.cache import EAGER, LARGEST, LOAD_MS, LONG, is_error, setting
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


# | `CACHE.GET key [LEASE ms] [WAIT ms] [BETA x]` | `[status, value, token, ms]`, see below |
#
# | status | value | token > 0 means | token 0 means | ms |
# | `hit` | the value | you were chosen to refresh early; the value is still fresh | nothing to do | fresh for; -1: no expiry |
# | `stale` | the stale value | you refresh | somebody else does, or is not to yet | usable for |
# | `absent` | nil | you were chosen to check again early | known not to exist | negative for |
# | `miss` | nil | you load and CACHE.SET, or ABSENT, or RELEASE | somebody else is loading, or leases are used up: ask again | the lease lasts; or ask again within |


def test_a_hit_that_leaves_nothing_to_do(cache):
    """| `hit` | the value | ... | nothing to do | fresh for; -1: no expiry |"""
    cache.set("k", "v", "PX", LONG)
    found = cache.get("k")
    assert (found.status, found.value, found.token) == ("hit", b"v", 0) and 0 < found.ms <= LONG
    cache.set("k", "v")
    assert cache.get("k") == ("hit", b"v", 0, -1)


def test_a_hit_that_asks_one_reader_to_refresh_early(cache):
    """| `hit` | the value | you were chosen to refresh early; the value is still fresh | ... |"""
    cache.loaded("k", "old")

    def chosen():
        found = cache.get("k", "LEASE", LONG, "BETA", EAGER)
        assert (found.status, found.value) == ("hit", b"old") and 0 < found.ms <= LONG
        return found.token

    token = eventually(chosen)
    # "Chosen readers get a lease like any other, so at most one refreshes."
    assert all(cache.get("k", "BETA", EAGER)[:3] == ("hit", b"old", 0) for _ in range(50))
    assert cache.fill("k", "new", token, "PX", LONG)
    assert cache.look("k").value == b"new"


def test_a_stale_value_is_refreshed_by_one_reader(cache):
    """| `stale` | the stale value | you refresh | somebody else does, or is not to yet | usable for |"""
    cache.stale("k", "old")
    found = cache.get("k", "LEASE", LONG)
    assert (found.status, found.value) == ("stale", b"old") and found.token > 0 and 0 < found.ms <= LONG
    for _ in range(10):
        other = cache.get("k")
        assert other[:3] == ("stale", b"old", 0) and 0 < other.ms <= LONG
    assert cache.fill("k", "new", found.token, "PX", LONG)
    assert cache.get("k")[:3] == ("hit", b"new", 0)


def test_an_absent_key_is_known_not_to_exist(cache):
    """| `absent` | nil | ... | known not to exist | negative for |"""
    assert cache.absent("k", "PX", LONG)
    found = cache.get("k")
    assert found[:3] == ("absent", None, 0) and 0 < found.ms <= LONG


def test_an_absent_key_is_rechecked_early_by_one_reader(cache):
    """| `absent` | nil | you were chosen to check again early | ... |"""
    token = cache.lease("k")
    # The time from lease to fill is what early refresh goes by.
    eventually(lambda: cache.inspect("k")["lease-ms"] <= LONG - LOAD_MS)
    assert cache.absent("k", "TOKEN", token, "PX", LONG)
    token = cache.early("k")
    assert cache.get("k", "BETA", EAGER)[:3] == ("absent", None, 0)
    assert cache.fill("k", "born", token)
    assert cache.get("k").value == b"born"


def test_a_miss_makes_one_reader_the_loader(cache):
    """| `miss` | nil | you load and CACHE.SET, or ABSENT, or RELEASE | somebody else is loading, ... | the lease lasts; or ask again within |"""
    found = cache.get("k", "LEASE", LONG)
    assert (found.status, found.value) == ("miss", None) and found.token > 0 and 0 < found.ms <= LONG
    for _ in range(10):
        other = cache.get("k")
        assert other[:3] == ("miss", None, 0) and 0 < other.ms <= LONG
    assert cache.fill("k", "v", found.token)
    assert cache.get("k") == ("hit", b"v", 0, -1)


def test_a_miss_while_leases_are_used_up(cache, client):
    """| `miss` | nil | ... or leases are used up: ask again | ... or ask again within |"""
    with setting(client, "max-leases", 1):
        token = cache.lease("a")
        refused = cache.counts()["lease_refused"]
        found = cache.get("b")
        assert found[:3] == ("miss", None, 0) and found.ms > 0
        assert cache.counts()["lease_refused"] == refused + 1
        cache.release("a", token)
        cache.lease("b")


# The options


def test_a_lease_lasts_as_long_as_asked(cache):
    """`LEASE ms`, 0 to 3 600 000: how long a lease lasts if one is granted"""
    found = cache.get("short", "LEASE", 25)
    assert found.token > 0 and found.ms <= 25
    after = eventually(lambda: (now := cache.get("short", "LEASE", LONG)).token and now)
    assert after.status == "miss" and after.token > found.token
    assert not cache.fill("short", "late", found.token)
    assert cache.holds("short", after.token)


def test_a_lease_lasts_ten_seconds_by_default(cache, client):
    """otherwise the policy's `lease`, otherwise `lease-duration`"""
    assert client.call("CONFIG", "GET", "lease-duration") == [b"lease-duration", b"10000"]
    assert 5_000 < cache.get("k").ms <= 10_000
    with setting(client, "lease-duration", LONG):
        assert 10_000 < cache.get("other").ms <= LONG


def test_lease_0_only_reads(cache):
    """`LEASE 0` reads only and never takes one."""
    assert cache.get("k", "LEASE", 0)[:3] == ("miss", None, 0)
    cache.stale("old")
    assert cache.get("old", "LEASE", 0)[:3] == ("stale", b"old", 0)
    assert cache.lease("k") and cache.get("old").token
    cache.loaded("fresh")
    assert all(cache.get("fresh", "LEASE", 0, "BETA", EAGER).token == 0 for _ in range(50))


def test_beta_0_never_refreshes_early(cache):
    """x comes from the policy, 1.0 without one; 0 turns it off."""
    cache.loaded("k")
    assert all(cache.get("k", "BETA", 0)[:3] == ("hit", b"v", 0) for _ in range(200))
    # With a load of some 30 ms and half a minute to go, nobody is chosen at the default of 1 either.
    assert all(cache.get("k").token == 0 for _ in range(200))


def test_entries_whose_load_time_is_unknown_are_not_refreshed_early(cache, client):
    """d the measured time from lease to fill of this entry"""
    client.call("SET", "plain", "v", "PX", LONG)
    cache.set("unasked", "v", "PX", LONG)
    for key in ("plain", "unasked"):
        assert all(cache.get(key, "BETA", EAGER).token == 0 for _ in range(50))


def test_an_entry_without_expiry_is_not_refreshed_early(cache):
    cache.loaded("k", "v", "KEEPTTL")
    assert cache.get("k", "BETA", EAGER) == ("hit", b"v", 0, -1)
    assert all(cache.get("k", "BETA", EAGER).token == 0 for _ in range(50))


def test_options_come_in_any_order_and_case(cache):
    assert cache.get("a", "wait", 1, "Lease", LONG, "beta", "0.5").token > 0
    assert cache.get("b", "BETA", "1", "LEASE", LONG, "WAIT", "1").token > 0


def test_a_key_may_be_called_like_an_option(cache):
    for key in ("LEASE", "WAIT", "TAGS", "0", "", b"\x00\xff\r\n"):
        assert cache.fill(key, f"of {key!r}", cache.lease(key))
        assert cache.get(key)[:2] == ("hit", f"of {key!r}".encode())


def test_values_are_any_bytes_of_any_size(cache):
    for value in (b"", b"0", bytes(range(256)), b"x" * 15_000, b"x" * 17_000, b"y" * (3 << 20)):
        assert cache.set("k", value)
        assert cache.get("k")[:2] == ("hit", value)


# CACHE.MGET


def test_mget_answers_each_key_in_order(cache):
    """| `CACHE.MGET numkeys key [key ...] [LEASE ms] [BETA x]` | an array of the same, in order; never waits |"""
    cache.set("fresh", "1", "PX", LONG)
    cache.stale("stale", "2")
    cache.absent("absent", "PX", LONG)
    taken = cache.lease("taken")
    fresh, stale, absent, busy, missing, again = cache.mget(["fresh", "stale", "absent", "taken", "missing", "missing"], "LEASE", LONG)
    assert fresh[:3] == ("hit", b"1", 0) and 0 < fresh.ms <= LONG
    assert stale[:2] == ("stale", b"2") and stale.token > taken
    assert absent[:3] == ("absent", None, 0)
    assert busy[:3] == ("miss", None, 0)
    assert missing[:2] == ("miss", None) and missing.token > stale.token
    assert again[:3] == ("miss", None, 0)
    assert cache.fill("missing", "now", missing.token) and cache.fill("stale", "now", stale.token)


def test_mget_takes_the_options_of_get(cache):
    assert [found.token for found in cache.mget(["a", "b"], "LEASE", 0)] == [0, 0]
    cache.loaded("k")
    eventually(lambda: cache.mget(["k"], "BETA", EAGER, "LEASE", LONG)[0].token)


def test_mget_never_waits(cache):
    cache.lease("k")
    assert is_error(cache.call("CACHE.MGET", 1, "k", "WAIT", 10))
    assert cache.mget(["k"])[0][:3] == ("miss", None, 0)


def test_mget_of_many_keys(cache):
    keys = [f"k{i}" for i in range(1000)]
    found = cache.mget(keys)
    tokens = [each.token for each in found]
    assert all(tokens) and len(set(tokens)) == len(tokens)
    assert all(cache.fill(key, key, token) for key, token in zip(keys, tokens))
    assert [each.value for each in cache.mget(keys)] == [key.encode() for key in keys]


@pytest.mark.parametrize("numkeys", ["0", "-1", "x", "", "1.5", "3", "9223372036854775807", "9223372036854775808"])
def test_a_wrong_number_of_keys_is_refused(cache, numkeys):
    assert cache.call("CACHE.MGET", numkeys, "a", "b").startswith("ERR ")
    assert cache.counts()["leases"] == 0


# "`BETA x`: early refresh is XFetch. A reader is chosen if `now - d * x * ln(u) >= fresh-until`, with u uniform in (0,1] and d the measured time from lease to
# fill of this entry."


def test_the_chance_to_be_chosen_is_that_of_xfetch(cache):
    cache.loaded("k")
    inspected = cache.inspect("k")
    chosen, expected, reads = 0, 0.0, 600
    for beta in (250, 500, 1000) * (reads // 3):
        expected += math.exp(-cache.inspect("k")["fresh-ms"] / (inspected["load-ms"] * beta))
        token = cache.get("k", "LEASE", LONG, "BETA", beta).token
        if token:
            chosen += 1
            assert cache.release("k", token) == 1
    # The variance of a sum of chances is below its mean: six deviations leave one failure in some hundred million runs.
    assert expected > 10 and abs(chosen - expected) < 6 * math.sqrt(expected), (chosen, expected)


# Bad input


NOT_INTEGERS = ["x", "", "1.5", " 1", "0x10", "9223372036854775808", "-9223372036854775809", "1e3"]


@pytest.mark.parametrize("option", ["LEASE", "WAIT"])
@pytest.mark.parametrize("text", NOT_INTEGERS)
def test_a_duration_that_is_no_integer_is_refused(cache, option, text):
    most = {"LEASE": 3_600_000, "WAIT": 86_400_000}[option]
    assert cache.call("CACHE.GET", "k", option, text) == f"ERR {option} takes milliseconds, 0 to {most}, not '{text}'"
    assert cache.lease("k")


@pytest.mark.parametrize("option", ["LEASE", "WAIT"])
@pytest.mark.parametrize("text", ["-1", "-9223372036854775808", "9223372036854775807"])
def test_a_duration_that_is_negative_or_overflows_is_refused(cache, option, text):
    assert cache.call("CACHE.GET", "k", option, text).startswith("ERR ")
    assert cache.lease("k")


@pytest.mark.parametrize("option, most", [("LEASE", 3_600_000), ("WAIT", 86_400_000)])
def test_a_duration_out_of_its_bounds_is_answered_with_them(cache, option, most):
    """a number that is none, or out of its bounds, with its unit and its bounds (`ERR WAIT takes milliseconds, 0 to 86400000, not '10s'`)"""
    for wrong in (-1, most + 1):
        assert cache.call("CACHE.GET", "k", option, wrong) == f"ERR {option} takes milliseconds, 0 to {most}, not '{wrong}'"
    if option == "LEASE":
        assert cache.call("CACHE.MGET", 1, "k", option, most + 1) == f"ERR {option} takes milliseconds, 0 to {most}, not '{most + 1}'"
    assert cache.get("none", option, 0).status == cache.get("most", option, most).status == "miss"
    if option == "LEASE":
        assert 3_400_000 < cache.inspect("most")["lease-ms"] <= most


def test_a_beta_out_of_its_bounds_is_answered_with_them(cache):
    for wrong in ("-0.001", "1000.001", "1e9", "inf"):
        assert cache.call("CACHE.GET", "k", "BETA", wrong) == f"ERR BETA takes a number, 0 to 1000, not '{wrong}'"
    for right in ("0", "0.0", "1000", "1e3"):
        assert cache.get(f"k{right}", "BETA", right).token > 0


@pytest.mark.parametrize("text", ["x", "", "-1", "nan", "1.5.5", "-inf"])
def test_a_wrong_beta_is_refused(cache, text):
    assert cache.call("CACHE.GET", "k", "BETA", text).startswith("ERR ")
    assert cache.call("CACHE.MGET", 1, "k", "BETA", text).startswith("ERR ")
    assert cache.lease("k")


GET = "; usage: CACHE.GET key [LEASE milliseconds] [WAIT milliseconds] [BETA beta]"
MGET = "; usage: CACHE.MGET numkeys key [key ...] [LEASE milliseconds] [BETA beta]"


@pytest.mark.parametrize(
    "options, wrong",
    [(["LEASE"], "LEASE needs a value"), (["lease"], "LEASE needs a value"), (["BETA"], "BETA needs a value"), (["BOGUS"], "unknown option 'BOGUS'"),
     (["LEASE", "1", "BOGUS"], "unknown option 'BOGUS'"), (["LEASE", "1", "1"], "unknown option '1'"), (["VALUE", "1"], "unknown option 'VALUE'"),
     (["LAESE", "1"], "unknown option 'LAESE' (did you mean 'LEASE'?)"), (["B" * 1000], f"unknown option '{'B' * 128}'"), ([""], "unknown option ''")],
)  # fmt: skip
def test_a_wrong_option_is_named(cache, options, wrong):
    assert cache.call("CACHE.GET", "k", *options) == f"ERR {wrong}{GET}"
    assert cache.call("CACHE.MGET", 1, "k", *options) == f"ERR {wrong}{MGET}"
    assert cache.lease("k")


def test_an_option_of_another_command_is_unknown(cache):
    """the word that is wrong is named (`ERR unknown option 'WIAT' (did you mean 'WAIT'?)`)"""
    assert cache.call("CACHE.GET", "k", "WAIT") == f"ERR WAIT needs a value{GET}"
    assert cache.call("CACHE.GET", "k", "WIAT", 1) == f"ERR unknown option 'WIAT' (did you mean 'WAIT'?){GET}"
    assert cache.call("CACHE.MGET", 1, "k", "WAIT", 1) == f"ERR unknown option 'WAIT'{MGET}"
    assert cache.lease("k")


@pytest.mark.parametrize("command", ["CACHE.GET", "CACHE.MGET", "CACHE.SET", "CACHE.ABSENT", "CACHE.RELEASE", "CACHE.RENEW", "CACHE.INVALIDATE", "CACHE.INSPECT"])
def test_arguments_that_are_missing_are_said_to_be(cache, command):
    assert cache.call(command) == f"ERR wrong number of arguments for '{command.lower()}' command"


# What reads see of each other


def test_a_read_counts_as_a_hit_or_a_miss(cache, client):
    def stats():
        text = client.call("INFO", "stats").decode()
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return int(fields["keyspace_hits"]), int(fields["keyspace_misses"])

    cache.set("k", "v")
    hits, misses = stats()
    cache.get("k")
    cache.get("missing")
    cache.mget(["k", "other", "k"])
    assert stats() == (hits + 3, misses + 2)


def test_databases_have_leases_of_their_own(cache):
    first = cache.lease("k")
    cache.call("SELECT", 1)
    second = cache.lease("k")
    assert second > first
    assert not cache.fill("k", "v", first)
    assert cache.fill("k", "one", second)
    cache.call("SELECT", 0)
    assert cache.fill("k", "zero", first) and cache.get("k").value == b"zero"


def test_tokens_grow_and_stay_exact_in_javascript(cache, connect):
    """Tokens are positive and strictly increase over the whole server ..."""
    others = [connect() for _ in range(4)]
    tokens = []
    for i in range(400):
        reply = others[i % 4].call("CACHE.GET", f"k{i}")
        tokens.append(reply[2])
    assert tokens == sorted(set(tokens)) and tokens[0] > 0 and tokens[-1] <= LARGEST


def test_tokens_grow_across_restarts(start):
    """... and across restarts, so they are fencing tokens too."""
    server = start()

    def token(key):
        with server.connect() as connection:
            return connection.call("CACHE.GET", key)[2]

    tokens = [token("a")]
    server.stop()
    server.start()
    tokens += [token("a"), token("b")]
    server.kill()
    server.start()
    tokens.append(token("a"))
    assert tokens == sorted(set(tokens))
