"""Limits per user: of the memory that its clients take together (maxmemory-user), and of its requests (user-requests-per-second)."""

import contextlib
import re
import threading
import time

import pytest

from tests.support import audit, clock, resp
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

from .conftest import info

MB = 1 << 20
IDLE = 2304  # bytes that an idle connection may take beside the limit
THREADS = 2
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis has no such limits")


def users(connection):
    """INFO users, by name."""
    lines = info(connection, "users")
    assert all(re.fullmatch(r"user\d+", label) for label in lines)
    return users_in(lines)


def users_in(figures):
    """The users among the figures of INFO, by name."""
    found = {}
    for label, line in figures.items():
        if not re.fullmatch(r"user\d+", label):
            continue
        fields = dict(field.split("=", 1) for field in line.split(",", 9))
        user = fields.pop("name")
        found[user] = {name: int(number) for name, number in fields.items()}
    return found


def stat(connection, name):
    return int(info(connection, "stats")[name])


def make_user(admin, name, *rules):
    assert admin.call("ACL", "SETUSER", name, "reset", "on", "nopass", "~*", "&*", "+@all", *rules) == "OK"


@contextlib.contextmanager
def logged_in(server, name):
    with server.connect() as connection:
        assert connection.call("AUTH", name, "x") == "OK"
        yield connection


def is_open(connection):
    return connection.call("PING") == "PONG"


def names_connected(admin):
    """How many clients each user has."""
    found = {}
    for line in admin.call("CLIENT", "LIST").decode().splitlines():
        user = dict(field.split("=", 1) for field in line.split(" "))["user"]
        found[user] = found.get(user, 0) + 1
    return found


@pytest.fixture
def shared(start):
    """A server with two users, of which each may take 2 MB."""
    server = start("--maxmemory", "256mb", "--maxmemory-clients", "64mb", "--maxmemory-user", "2mb", "--threads", str(THREADS))
    with server.connect() as admin:
        for name in ("ada", "bob"):
            make_user(admin, name)
    return server


# --- memory ---


def half_send(connection, size):
    """The beginning of a request of arguments that are all small, and so are gathered in the input buffer."""
    parts = size // 10_000
    connection.send(b"*%d\r\n$4\r\nMGET\r\n" % (parts + 10) + (b"$9990\r\n" + b"x" * 9990 + b"\r\n") * parts)


def send_big_request(connection):
    half_send(connection, 700_000)


def queue_commands(connection):
    assert connection.call("MULTI") == "OK"
    with contextlib.suppress(Closed, OSError):
        for i in range(70):
            connection.call("SET", f"k{i}", "x" * 10_000)


def leave_replies_unread(connection):
    """A pipeline of 20 MB of replies."""
    connection.send(resp.encode(("GET", "value")) * 2000)


def is_refused_much(connection):
    with contextlib.suppress(Closed, OSError):
        for i in range(100):
            connection.call("WATCH", f"{i}" + "k" * 7000)


@pytest.mark.parametrize("exhaust", [send_big_request, queue_commands, leave_replies_unread, is_refused_much])
def test_a_user_that_exhausts_its_memory_makes_the_server_close_only_its_own_clients(shared, exhaust):
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(shared.connect())
        admin.call("SET", "value", "v" * 10_000)
        bobs = [stack.enter_context(logged_in(shared, "bob")) for _ in range(4)]
        half_send(bobs[0], 1_500_000)  # takes more than any client of ada will
        eventually(lambda: users(admin)["bob"]["memory"] > 1_500_000)
        limit = 2 * MB + 40 * IDLE + 64 * 1024
        for _ in range(40):
            exhaust(stack.enter_context(logged_in(shared, "ada")))
            # Each thread may be about to close what it has just made too large: a client is served until it leaves a quarter unread.
            assert users(admin)["ada"]["memory"] <= limit + THREADS * 2 * MB // 4
            eventually(lambda: users(admin)["ada"]["memory"] <= limit)
        taken = users(admin)
        assert taken["bob"]["closed"] == 0 and taken["bob"]["clients"] == 4
        assert stat(admin, "evicted_clients") == 0
        if exhaust is not is_refused_much:
            eventually(lambda: users(admin)["ada"]["closed"] > 0 or users(admin)["ada"]["memory"] < 2 * MB)
        if exhaust in (send_big_request, queue_commands):
            eventually(lambda: users(admin)["ada"]["closed"] >= 30)

            def counters_agree():
                found = info(admin, "everything")
                return int(found["clients_closed_user_memory"]) == users_in(found)["ada"]["closed"]

            eventually(counters_agree)
            eventually(lambda: "it takes the most of the memory for clients of the user 'ada' (maxmemory-user)" in shared.log())
        assert all(is_open(bob) for bob in bobs[1:])
        assert is_open(admin)


def test_what_is_taken_is_what_client_list_shows(shared):
    with shared.connect() as admin, logged_in(shared, "ada") as one, logged_in(shared, "ada") as two:
        one.call("MULTI")
        one.call("SET", "k", "v" * 5000)
        two.call("WATCH", "k" * 5000)
        half_send(two, 100_000)

        def listed():
            lines = [dict(field.split("=", 1) for field in line.split(" ")) for line in admin.call("CLIENT", "LIST").decode().splitlines()]
            return sum(int(line["tot-mem"]) for line in lines if line["user"] == "ada")

        eventually(lambda: listed() > 100_000 and users(admin)["ada"]["memory"] == listed())
        assert users(admin)["ada"]["clients"] == 2


def test_a_lower_limit_holds_for_what_is_there_already(shared):
    with contextlib.ExitStack() as stack:
        admin = stack.enter_context(shared.connect())
        for _ in range(4):
            half_send(stack.enter_context(logged_in(shared, "ada")), 300_000)
        eventually(lambda: users(admin)["ada"]["memory"] > 1_200_000)
        make_user(admin, "ada", "maxmemory=1mb")
        eventually(lambda: users(admin)["ada"]["memory"] <= MB + 4 * IDLE)
        assert 1 <= users(admin)["ada"]["closed"] <= 2
        assert admin.call("CONFIG", "SET", "maxmemory-user", "128kb") == "OK"
        make_user(admin, "ada")
        eventually(lambda: users(admin)["ada"]["clients"] == 0)


def test_a_reply_larger_than_what_is_left_is_refused(shared):
    with shared.connect() as admin, logged_in(shared, "ada") as ada, logged_in(shared, "bob") as bob:
        admin.call("SET", "value", "v" * 10_000)
        make_user(admin, "bob", "maxmemory=0")
        request = ("MGET", *["value"] * 400)
        assert ada.call(*request) == (
            "ERR the reply would take more memory than clients may have (maxmemory-clients, maxmemory-user)"
        )
        assert len(bob.call(*request)) == 400
        assert is_open(ada)


def test_a_request_larger_than_what_the_user_may_take_closes_its_client(shared):
    with shared.connect() as admin, logged_in(shared, "ada") as ada:
        with contextlib.suppress(OSError):
            half_send(ada, 3_000_000)
        eventually(lambda: "larger than the memory for clients of its user (maxmemory-user)" in shared.log() or "of the user 'ada'" in shared.log())
        assert stat(admin, "clients_closed_user_memory") == 1


def test_large_values_are_data_and_do_not_count(shared):
    with logged_in(shared, "ada") as ada:
        assert ada.call("SET", "large", "v" * (5 * MB)) == "OK"
        assert len(ada.call("GET", "large")) == 5 * MB
        assert is_open(ada)


def test_what_a_user_stores_is_bounded_by_the_policy_of_its_prefix(start):
    """The example of docs/security.md."""
    server = start("--maxmemory", "16mb", "--threads", "1")
    with server.connect() as admin:
        assert admin.call("ACL", "SETUSER", "shop", "on", ">secret", "~product:*", "+@read", "+@write", "maxmemory=8mb", "rate=100000") == "OK"
        assert admin.call("CACHE.POLICY", "SET", "products", "match", "product:*", "max-memory", "4mb") == "OK"
        others = [f"other:{i}" for i in range(4000)]
        admin.pipeline([("SET", key, "v" * 1000) for key in others])
        for _ in range(3):
            admin.pipeline([("GET", key) for key in others])
        with server.connect() as shop:
            assert shop.call("AUTH", "shop", "secret") == "OK"
            for batch in range(40):
                shop.pipeline([("SET", f"product:{batch}:{i}", "v" * 1000) for i in range(1000)])
            assert shop.call("SET", "elsewhere", "v").startswith("NOPERM ")
        assert stat(admin, "evicted_keys") > 0
        assert admin.call("EXISTS", *others) == len(others), "whatever it stores, only its own entries go"


@pytest.mark.parametrize("value", ["x", "-1", "101%", "1.5mb"])
def test_a_limit_of_memory_that_cannot_be_is_refused(shared, value):
    with shared.connect() as admin:
        error = admin.call("CONFIG", "SET", "maxmemory-user", value)
        assert error.startswith("ERR CONFIG SET failed (possibly related to argument 'maxmemory-user') - ")
        error = admin.call("ACL", "SETUSER", "ada", "maxmemory=" + value)
        assert error == (
            f"ERR Error in ACL SETUSER modifier 'maxmemory={value}': maxmemory must be bytes with a unit b, kb, mb, gb (64mb), "
            "or a whole percentage of maxmemory, 0% to 100%; 0 is no limit"
        )


# --- requests ---


def throttled(name, rate):
    return f"THROTTLED user '{name}' may make {rate} requests a second: try again in "


@pytest.fixture
def watch(tmp_path):
    return clock.Clock(tmp_path)


@pytest.fixture
def timed(start, watch):
    """A server whose clock the test moves, with two users. The clock goes on by itself, so the rates are low."""
    server = start("--threads", "2", env=watch.environment())
    with server.connect() as admin:
        for name in ("ada", "bob"):
            make_user(admin, name)
    return server


def counts(replies):
    """How many replies are no refusals, and how many are."""
    refused = sum(1 for reply in replies if isinstance(reply, resp.ErrorReply) and reply.startswith("THROTTLED "))
    return len(replies) - refused, refused


class Allowance:
    """How many requests of a user may have been executed by now. The server's clock goes on while the test runs, which may take a while."""

    def __init__(self, rate):
        self.rate = rate
        self.refill()

    def refill(self):
        self.began = time.monotonic()

    def covers(self, executed):
        return self.rate <= executed <= self.rate + self.rate * (time.monotonic() - self.began)


def test_so_many_requests_at_once_and_then_as_many_as_time_passes(timed, watch):
    with timed.connect() as admin, logged_in(timed, "ada") as one, logged_in(timed, "ada") as two, logged_in(timed, "bob") as bob:
        make_user(admin, "ada", "rate=2")
        allowance = Allowance(2)
        executed, refused = counts(one.pipeline([("INCR", "n")] * 50))
        also_executed, also_refused = counts(two.pipeline([("INCR", "n")] * 50))
        assert allowance.covers(executed + also_executed), "all clients of the user share the allowance"
        reply = one.pipeline([("INCR", "n")] * 50)[-1]
        assert reply.startswith(throttled("ada", 2)) and reply.endswith(" ms")
        assert counts(bob.pipeline([("INCR", "n")] * 500)) == (500, 0)
        for seconds in (1, 3600):
            watch.let_pass(seconds)
            allowance.refill()
            assert allowance.covers(counts(two.pipeline([("INCR", "n")] * 50))[0])
        total = 5 * 50
        executed = int(bob.call("GET", "n")) - 500
        eventually(lambda: users(admin)["ada"]["refused"] == total - executed)
        assert stat(admin, "requests_refused_rate") == total - executed
        assert users(admin)["bob"]["refused"] == 0
        assert info(admin, "errorstats")["errorstat_THROTTLED"] == f"count={total - executed}"
        eventually(lambda: users(admin)["bob"]["requests"] >= 501)
        eventually(lambda: "its user 'ada' may make 2 requests a second" in timed.log())


def test_the_setting_holds_for_all_users_and_a_rule_overrides_it(timed):
    with timed.connect() as admin, logged_in(timed, "ada") as ada, logged_in(timed, "bob") as bob:
        make_user(admin, "default", "rate=0")
        make_user(admin, "bob", "rate=1")
        assert admin.call("CONFIG", "SET", "user-requests-per-second", "2") == "OK"
        for connection, rate in ((ada, 2), (bob, 1)):
            allowance = Allowance(rate)
            assert allowance.covers(counts(connection.pipeline([("PING",)] * 20))[0])
        assert counts(admin.pipeline([("PING",)] * 500)) == (500, 0)
        assert admin.call("CONFIG", "SET", "user-requests-per-second", "0") == "OK"
        assert counts(ada.pipeline([("PING",)] * 500)) == (500, 0)
        make_user(admin, "default")


def test_a_refused_request_leaves_no_trace(timed):
    with timed.connect() as admin, logged_in(timed, "ada") as ada:
        make_user(admin, "ada", "rate=1")
        requests = (("SET", "k", "v"), ("DEL", "n"), ("CACHE.GET", "k"), ("WATCH", "k"), ("CLIENT", "SETNAME", "x"), ("SELECT", "1"))
        replies = ada.pipeline([("PING",), *requests, ("MULTI",), ("SET", "k", "v"), ("EXEC",)])
        assert replies[0] == "PONG"
        assert all(reply.startswith(throttled("ada", 1)) for reply in replies[1 : len(requests) + 1])
        assert replies[-3] == "OK" and replies[-2].startswith(throttled("ada", 1))
        assert replies[-1] == "EXECABORT Transaction discarded because of previous errors."
        assert admin.call("EXISTS", "k") == 0
        assert int(info(admin, "cache")["leases"]) == 0


def test_many_threads_share_one_allowance(timed):
    with timed.connect() as admin:
        make_user(admin, "ada", "rate=2")
        made = []
        allowance = Allowance(2)

        def run():
            with logged_in(timed, "ada") as ada:
                made.append(counts(ada.pipeline([("INCR", "n")] * 200))[0])

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert int(admin.call("GET", "n")) == sum(made)
        assert allowance.covers(sum(made))


def test_refusals_are_in_the_audit_log(start, tmp_path):
    log = tmp_path / "audit.log"
    server = start("--audit-log-file", str(log))
    with server.connect() as admin, logged_in_as_new(server, admin, "ada", "rate=1") as ada:
        ada.pipeline([("PING",)] * 5000)

        denials = eventually(lambda: audit.events(log, "denied"))
        assert denials[0]["user"] == "ada" and denials[0]["reason"].startswith("THROTTLED ")
        # The last of them has been written, or counted among those that were left out, when the line of a later event is there.
        assert admin.call("CONFIG", "SET", "hz", "11") == "OK"
        eventually(lambda: audit.events(log, "configuration", request="CONFIG SET hz 11"))
        assert len(audit.events(log, "denied")) < 1000


@contextlib.contextmanager
def logged_in_as_new(server, admin, name, *rules):
    make_user(admin, name, *rules)
    with logged_in(server, name) as connection:
        yield connection


@pytest.mark.parametrize("value", ["x", "-1", "1000001", "1.5"])
def test_a_rate_that_cannot_be_is_refused(timed, value):
    with timed.connect() as admin:
        error = admin.call("CONFIG", "SET", "user-requests-per-second", value)
        assert error.startswith("ERR CONFIG SET failed (possibly related to argument 'user-requests-per-second') - ")
        error = admin.call("ACL", "SETUSER", "ada", "rate=" + value)
        assert error == (
            f"ERR Error in ACL SETUSER modifier 'rate={value}': rate must be a number of requests a second, up to 1000000; 0 is no limit"
        )


# --- as rules ---


def test_limits_are_shown_as_they_were_set_and_only_then(timed):
    with timed.connect() as admin:
        make_user(admin, "ada", "MaxMemory=64mb", "rate=1000")
        make_user(admin, "bob")
        assert admin.call("ACL", "LIST")[:2] == [
            b"user ada on nopass sanitize-payload maxmemory=67108864 rate=1000 ~* &* +@all",
            b"user bob on nopass sanitize-payload ~* &* +@all",
        ]
        reply = admin.call("ACL", "GETUSER", "ada")
        assert reply[-4:] == [b"maxmemory", b"67108864", b"rate", b"1000"]
        assert b"rate" not in admin.call("ACL", "GETUSER", "bob")
        assert admin.call("ACL", "SETUSER", "ada", "resetlimits") == "OK"
        assert admin.call("ACL", "LIST")[0] == b"user ada on nopass sanitize-payload ~* &* +@all"


def test_limits_are_kept_in_the_acl_file(start, tmp_path):
    path = tmp_path / "users.acl"
    path.write_text("user ada on nopass ~* &* +@all maxmemory=5% rate=1\n")
    server = start("--aclfile", str(path))
    with server.connect() as admin, logged_in(server, "ada") as ada:
        assert counts(ada.pipeline([("PING",)] * 20))[1] > 0
        assert admin.call("ACL", "SAVE") == "OK"
        assert "maxmemory=5% rate=1" in path.read_text()
        assert admin.call("ACL", "LOAD") == "OK"
        assert counts(ada.pipeline([("PING",)] * 20))[1] > 0


def test_info_users_has_a_bounded_number_of_lines(timed):
    with timed.connect() as admin:
        admin.pipeline([("ACL", "SETUSER", f"u{i}") for i in range(300)])
        assert len(users(admin)) == 256
        assert "default" in users(admin)
