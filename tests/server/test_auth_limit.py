"""Wrong passwords are limited for each address (auth-failures-per-minute)."""

import pytest

from tests.server.conftest import info
from tests.support import clock, outside
from tests.support.connection import Connection
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Redis has no such limit")
WRONG = "WRONGPASS invalid username-password pair or user is disabled."
LIMITED = "ERR too many attempts to authenticate from this address have failed: nothing was checked, try again in "
LIMIT = 5


@pytest.fixture
def guarded(start, tmp_path):
    return start("--requirepass", "s3cret", "--auth-failures-per-minute", LIMIT, "--unixsocket", str(tmp_path / "sock"))


def attempts(connection, words, count):
    return [connection.call(*words) for _ in range(count)]


@pytest.mark.parametrize("words", [("AUTH", "wrong"), ("AUTH", "nobody", "s3cret"), ("HELLO", "3", "AUTH", "default", "wrong")], ids=" ".join)
def test_so_many_wrong_passwords_are_compared_and_then_none(guarded, words):
    with guarded.connect() as stranger:
        assert attempts(stranger, words, LIMIT) == [WRONG] * LIMIT
        for reply in attempts(stranger, words, 3):
            assert reply.startswith(LIMITED)


def test_the_right_password_is_refused_as_a_wrong_one_is(guarded):
    with guarded.connect() as stranger, guarded.connect() as owner:
        attempts(stranger, ("AUTH", "wrong"), LIMIT)
        refusals = {owner.call("AUTH", password) for password in ("s3cret", "wrong", "", "s3cre")}
        refusals.add(owner.call("HELLO", "2", "AUTH", "default", "s3cret"))
        assert len(refusals) <= 2 and all(refusal.startswith(LIMITED) for refusal in refusals), "but for the seconds, which count down"
        assert owner.call("PING").startswith("NOAUTH")


def test_only_failures_count(guarded):
    with guarded.connect() as owner:
        assert attempts(owner, ("AUTH", "s3cret"), 20 * LIMIT) == ["OK"] * (20 * LIMIT)
        assert owner.call("AUTH", "a", "b", "c") == "ERR syntax error"


def test_a_success_does_not_forgive_failures(guarded):
    with guarded.connect() as guest:
        for _ in range(LIMIT):
            assert guest.call("AUTH", "wrong") == WRONG
            if _ < LIMIT - 1:
                assert guest.call("AUTH", "s3cret") == "OK"
        assert guest.call("AUTH", "wrong").startswith(LIMITED)


def test_clients_that_have_authenticated_go_on(guarded):
    with guarded.connect() as owner, guarded.connect() as stranger:
        assert owner.call("AUTH", "s3cret") == "OK"
        attempts(stranger, ("AUTH", "wrong"), LIMIT + 1)
        assert owner.call("SET", "k", "v") == "OK"
        assert owner.call("CONFIG", "SET", "auth-failures-per-minute", "0") == "OK"
        assert owner.call("AUTH", "s3cret") == "OK"


def test_other_addresses_and_the_unix_socket_are_not_concerned(guarded, tmp_path):
    with guarded.connect() as stranger, outside.connect(guarded, source="127.0.0.77") as other, Connection(path=str(tmp_path / "sock")) as local:
        attempts(stranger, ("AUTH", "wrong"), LIMIT + 1)
        assert attempts(other, ("AUTH", "wrong"), LIMIT) == [WRONG] * LIMIT
        assert other.call("AUTH", "wrong").startswith(LIMITED)
        assert attempts(local, ("AUTH", "wrong"), 3 * LIMIT) == [WRONG] * (3 * LIMIT)
        assert local.call("AUTH", "s3cret") == "OK"


def test_what_is_refused_is_counted(guarded, tmp_path):
    with guarded.connect() as stranger, Connection(path=str(tmp_path / "sock")) as admin:
        attempts(stranger, ("AUTH", "wrong"), LIMIT + 7)
        assert admin.call("AUTH", "s3cret") == "OK"
        stats = info(admin, "stats")
        assert (stats["auth_failures"], stats["auth_attempts_limited"]) == (str(LIMIT), "7")
        assert admin.call("CONFIG", "RESETSTAT") == "OK"
        stats = info(admin, "stats")
        assert (stats["auth_failures"], stats["auth_attempts_limited"]) == ("0", "0")


def test_the_log_names_an_address_at_its_limit(guarded):
    with guarded.connect() as stranger:
        attempts(stranger, ("AUTH", "wr0ng"), LIMIT + 1)
    eventually(lambda: "refused AUTH of client" in guarded.log() and "(127.0.0.1:" in guarded.log())
    assert "wr0ng" not in guarded.log()


def test_0_is_no_limit(start):
    server = start("--requirepass", "s3cret", "--auth-failures-per-minute", "0")
    with server.connect() as stranger:
        assert attempts(stranger, ("AUTH", "wrong"), 500) == [WRONG] * 500
        assert stranger.call("AUTH", "s3cret") == "OK"


@pytest.mark.parametrize("seconds, again", [(13, 1), (25, 2), (3600, LIMIT)])
def test_the_allowance_comes_back_with_time(start, tmp_path, seconds, again):
    wall = clock.Clock(tmp_path)
    server = start("--requirepass", "s3cret", "--auth-failures-per-minute", LIMIT, env=wall.environment())
    with server.connect() as stranger:
        assert attempts(stranger, ("AUTH", "wrong"), LIMIT) == [WRONG] * LIMIT
        assert stranger.call("AUTH", "s3cret") in [f"{LIMITED}{left} seconds" for left in (11, 12)]
        wall.let_pass(seconds)
        compared = [reply for reply in attempts(stranger, ("AUTH", "wrong"), LIMIT) if reply == WRONG]
        assert again <= len(compared) <= min(again + 1, LIMIT)


def test_a_step_of_the_wall_clock_does_not_bring_it_back(start, tmp_path):
    wall = clock.Clock(tmp_path)
    server = start("--requirepass", "s3cret", "--auth-failures-per-minute", "1", env=wall.environment())
    with server.connect() as stranger:
        assert stranger.call("AUTH", "wrong") == WRONG
        for seconds in (3600, -7200):
            wall.step(seconds)
            assert stranger.call("AUTH", "s3cret").startswith(LIMITED)
