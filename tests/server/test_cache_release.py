"""CACHE.RELEASE and CACHE.RENEW, row by row of docs/cache-commands.md."""

import pytest

from tests.support.cache import EAGER, LONG
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")



# | `CACHE.RELEASE key token [RETRY ms]` | 1 released, 0 not the holder. The load failed: the longest waiter gets a new lease. With RETRY nobody gets one for so
# long: stale values are served, misses are answered at once, and whatever voids a lease ends it |


def test_the_holder_releases_once(cache):
    token = cache.lease("k")
    released = cache.counts()["lease_released"]
    assert cache.release("k", token) == 1
    assert cache.counts()["lease_released"] == released + 1
    assert cache.release("k", token) == 0
    assert not cache.fill("k", "late", token)


def test_after_a_release_the_next_reader_gets_a_new_lease(cache):
    token = cache.lease("k")
    assert cache.release("k", token) == 1
    assert cache.lease("k") > token
    token = cache.stale_lease("old")
    assert cache.release("old", token) == 1
    found = cache.get("old")
    assert found.status == "stale" and found.token > token


def test_a_release_of_an_early_refresh_leaves_the_value(cache):
    token = cache.early_lease("k", "v")
    assert cache.release("k", token) == 1
    assert cache.get("k", "BETA", 0)[:3] == ("hit", b"v", 0)
    assert cache.early("k") > token


@pytest.mark.parametrize("token", ["0", "1", "-1", "9007199254740991"])
def test_an_unknown_token_is_0(cache, token):
    """A token that is unknown, ... is never an error: nil or 0"""
    mine = cache.lease("k")
    for key in ("k", "other"):
        assert cache.release(key, token) == 0
        assert cache.renew(key, token, 100) == 0
    assert cache.fill("k", "v", mine)


def test_the_token_of_another_key_is_0(cache):
    token = cache.lease("a")
    cache.lease("b")
    assert cache.release("b", token) == cache.renew("b", token) == cache.release("c", token) == 0
    assert cache.fill("a", "v", token)


def test_a_token_that_was_used_or_voided_is_0(cache):
    used = cache.lease("used")
    cache.fill("used", "v", used)
    void = cache.lease("void")
    cache.call("DEL", "void")
    for key, token in (("used", used), ("void", void)):
        assert cache.release(key, token) == 0 and cache.renew(key, token) == 0
    assert cache.get("used").value == b"v"


# "With RETRY nobody gets one for so long: stale values are served, misses are answered at once, and whatever voids a lease ends it"


def test_retry_grants_nobody_a_lease_for_that_long(cache):
    token = cache.lease("k")
    assert cache.release("k", token, "RETRY", LONG) == 1
    for _ in range(5):
        found = cache.get("k")
        assert found[:3] == ("miss", None, 0) and 0 < found.ms <= LONG


def test_retry_ends(cache):
    token = cache.lease("k")
    assert cache.release("k", token, "RETRY", 20) == 1
    again = eventually(lambda: cache.get("k").token)
    assert again > token and cache.fill("k", "v", again)


def test_during_retry_stale_is_served(cache):
    token = cache.stale_lease("k", "old")
    assert cache.release("k", token, "RETRY", LONG) == 1
    for _ in range(5):
        found = cache.get("k", "WAIT", LONG)
        assert found[:3] == ("stale", b"old", 0) and found.ms > 0


def test_during_retry_misses_answer_at_once_although_they_would_wait(cache):
    token = cache.lease("k")
    assert cache.release("k", token, "RETRY", LONG) == 1
    assert cache.get("k", "WAIT", LONG)[:3] == ("miss", None, 0)
    assert cache.mget(["k"])[0][:3] == ("miss", None, 0)


def test_retry_answers_those_who_wait(cache, park):
    """With RETRY nobody gets one for so long: ... misses are answered at once"""
    token = cache.lease("k")
    readers = [park("k") for _ in range(3)]
    assert cache.release("k", token, "RETRY", LONG) == 1
    assert [reader.answer()[:3] for reader in readers] == [("miss", None, 0)] * 3


def test_a_write_ends_retry(cache):
    token = cache.lease("k")
    assert cache.release("k", token, "RETRY", LONG) == 1
    assert cache.set("k", "v")
    assert cache.get("k").value == b"v"


def test_during_retry_an_early_refresh_is_not_tried_again(cache):
    token = cache.early_lease("k", "v")
    assert cache.release("k", token, "RETRY", LONG) == 1
    assert all(cache.get("k", "BETA", EAGER)[:3] == ("hit", b"v", 0) for _ in range(50))


# | `CACHE.RENEW key token ms` | 1, and the lease lasts so long from now; 0 not the holder |


def test_renew_sets_how_long_the_lease_still_lasts(cache):
    token = cache.lease("k", "LEASE", 2_000)
    assert cache.renew("k", token, LONG) == 1
    assert 2_000 < cache.inspect("k")["lease-ms"] <= LONG
    assert cache.renew("k", token, 20) == 1
    eventually(lambda: cache.inspect("k")["lease-ms"] == 0)
    assert cache.renew("k", token) == 0 and not cache.fill("k", "late", token)


def test_renew_keeps_a_lease_alive_beyond_its_first_deadline(cache):
    token = cache.lease("k", "LEASE", 500)
    assert cache.renew("k", token, LONG) == 1
    # The clock of another key's lease of that length has run out by then.
    other = cache.lease("other", "LEASE", 500)
    eventually(lambda: cache.get("other").token > other)
    assert cache.fill("k", "v", token)


def test_a_lease_that_ran_out_cannot_be_renewed(cache):
    token = cache.lease("k", "LEASE", 10)
    expired = cache.counts()["lease_expired"]
    eventually(lambda: cache.inspect("k")["lease-ms"] == 0)
    assert cache.renew("k", token, LONG) == 0
    assert not cache.fill("k", "late", token)
    eventually(lambda: cache.counts()["lease_expired"] > expired)


# Bad input


@pytest.mark.parametrize("text", ["x", "", "1.5", " 1", "9223372036854775808"])
def test_a_number_that_is_no_integer_is_refused(cache, text):
    token = cache.lease("k")
    no_token = f"ERR a token is a number, as CACHE.GET answers it, not '{text}'"
    assert cache.call("CACHE.RELEASE", "k", text) == cache.call("CACHE.RENEW", "k", text, 100) == no_token
    assert cache.call("CACHE.RELEASE", "k", token, "RETRY", text) == f"ERR RETRY takes milliseconds, 0 to 3600000, not '{text}'"
    assert cache.call("CACHE.RENEW", "k", token, text) == f"ERR CACHE.RENEW takes milliseconds, 1 to 3600000, not '{text}'"
    assert cache.fill("k", "v", token)


@pytest.mark.parametrize("text", ["-1", "-9223372036854775808", "9223372036854775807"])
def test_a_duration_that_is_negative_or_overflows_is_refused(cache, text):
    token = cache.lease("k")
    assert cache.call("CACHE.RELEASE", "k", token, "RETRY", text).startswith("ERR ")
    assert cache.call("CACHE.RENEW", "k", token, text).startswith("ERR ")
    assert cache.fill("k", "v", token)


def test_a_duration_out_of_its_bounds_is_answered_with_them(cache):
    """a number that is none, or out of its bounds, with its unit and its bounds"""
    token = cache.lease("k")
    for wrong in (0, -1, 3_600_001):
        assert cache.call("CACHE.RENEW", "k", token, wrong) == f"ERR CACHE.RENEW takes milliseconds, 1 to 3600000, not '{wrong}'"
    for wrong in (-1, 3_600_001):
        assert cache.call("CACHE.RELEASE", "k", token, "RETRY", wrong) == f"ERR RETRY takes milliseconds, 0 to 3600000, not '{wrong}'"
    assert cache.renew("k", token, 3_600_000) == 1
    assert cache.release("k", token, "RETRY", 0) == 1
    token = cache.lease("k")
    assert cache.release("k", token, "RETRY", 3_600_000) == 1


@pytest.mark.parametrize(
    "options, wrong",
    [(["RETRY"], "RETRY needs a value"), (["BOGUS"], "unknown option 'BOGUS'"), (["RETRY", "1", "BOGUS"], "unknown option 'BOGUS'"), (["1"], "unknown option '1'")],
)
def test_a_wrong_option_is_named(cache, options, wrong):
    token = cache.lease("k")
    assert cache.call("CACHE.RELEASE", "k", token, *options) == f"ERR {wrong}; usage: CACHE.RELEASE key token [RETRY milliseconds]"
    assert cache.fill("k", "v", token)


@pytest.mark.parametrize("args", [[], ["k"], ["k", "1"], ["k", "1", "1", "1"]])
def test_renew_takes_three_arguments(cache, args):
    assert cache.call("CACHE.RENEW", *args) == "ERR wrong number of arguments for 'cache.renew' command"
