"""The wall clock is stepped, forward and back: what lasts so long lasts so long, only deadlines of entries follow."""

import pytest

from tests.support import clock, resp
from tests.support.cache import LONG, Cache, Reader
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

HOUR = 3600
# Long enough for a test to reach the step before it ends, and what would hang for an hour must end before a read gives up.
SHORT = 2000
pytestmark = pytest.mark.skipif(is_redis(), reason="about CACHE.* and timers of this server")


@pytest.fixture(params=[HOUR, -HOUR], ids=["forward", "back"])
def stepped(request, start, tmp_path):
    """A server and the step of its clock."""
    wall = clock.Clock(tmp_path)

    def begin(*args):
        return start(*args, env=wall.environment()), lambda: wall.step(request.param)

    return begin


def test_waits_and_leases_last_as_long_as_they_were_to(stepped):
    server, step = stepped("--threads", "1")
    with server.connect() as admin, server.connect() as short, server.connect() as long, server.connect() as heir, server.connect() as plain:
        cache = Cache(admin)
        assert cache.policy("SET", "rows", "match", "row:*", "coalesce", f"{SHORT}ms", "lease", "600s") == "OK"
        cache.lease("short")
        token = cache.lease("long")
        cache.lease("dead", "LEASE", SHORT)
        failed = cache.lease("failed")
        assert admin.call("GET", "row:1") is None  # has the lease now
        long_wait = Reader(long, admin, "long", wait=LONG)
        heir_wait = Reader(heir, admin, "dead", wait=LONG)
        assert cache.release("failed", failed, "RETRY", SHORT) == 1
        short_wait = Reader(short, admin, "short", wait=SHORT)
        plain.send_command("GET", "row:1")
        step()
        assert short_wait.answer().status == "miss"
        assert plain.read() is None
        inherited = heir_wait.answer()
        assert (inherited.status, inherited.token > failed) == ("miss", True), "the lease of a loader that died goes to who waits"
        assert eventually(lambda: cache.get("failed", "LEASE", LONG).token) > inherited.token
        assert not long_wait.has_answer()
        assert cache.fill("long", "value", token), "the lease is alive"
        assert long_wait.answer()[:2] == ("hit", b"value")


def test_a_pause_lasts_as_long_as_it_was_to(stepped):
    server, step = stepped("--threads", "1")
    with server.connect() as admin, server.connect() as writer, server.connect() as reader:
        cache = Cache(admin)
        cache.lease("short")
        admin.call("CLIENT", "PAUSE", LONG, "WRITE")
        writer.send_command("SET", "k", "v")
        waiting = Reader(reader, admin, "short", wait=SHORT)
        step()
        assert waiting.answer().status == "miss", "timers of the same thread have run meanwhile"
        assert admin.call("GET", "k") is None
        admin.call("CLIENT", "UNPAUSE")
        assert writer.read() == "OK"
        admin.call("CLIENT", "PAUSE", SHORT, "WRITE")
        writer.send_command("SET", "k", "w")
        step()
        assert writer.read() == "OK", "the end of a pause comes"


def test_idle_clients_are_closed_for_being_idle_and_not_for_a_step(stepped):
    server, step = stepped("--threads", "1", "--timeout", HOUR // 2)
    with server.connect() as admin, server.connect() as idle, server.connect() as reader:
        cache = Cache(admin)
        cache.lease("short")
        waiting = Reader(reader, admin, "short", wait=SHORT)
        step()
        assert waiting.answer().status == "miss"
        assert idle.call("PING") == "PONG"
        assert admin.call("CONFIG", "SET", "timeout", 1) == "OK"
        with pytest.raises((Closed, ConnectionError)):
            idle.read()


def test_a_rate_limit_neither_forgets_nor_refuses_for_a_step_back(start, tmp_path):
    wall = clock.Clock(tmp_path)
    server = start(env=wall.environment())
    with server.connect() as client:
        assert client.call("CL.THROTTLE", "user", 4, 5, 600)[:3] == [0, 5, 4]
        wall.step(-HOUR)
        assert client.call("CL.THROTTLE", "user", 4, 5, 600)[:3] == [0, 5, 3]


def test_deadlines_of_entries_follow_the_wall_clock(start, tmp_path):
    wall = clock.Clock(tmp_path)
    server = start(env=wall.environment())
    with server.connect() as client:
        now = int(client.call("TIME")[0])
        client.call("SET", "relative", "v", "EX", HOUR // 2)
        client.call("SET", "absolute", "v", "EXAT", now + HOUR // 2)
        client.call("CACHE.SET", "tagged", "v")
        client.call("CACHE.SET", "stale", "v", "EX", HOUR // 2, "STALE", 2 * HOUR * 1000)
        client.call("CACHE.ABSENT", "absent", "EX", 60)
        wall.step(-HOUR)
        eventually(lambda: client.call("TTL", "absolute") > HOUR)
        assert client.call("MGET", "relative", "absolute") == [b"v", b"v"]
        assert client.call("CACHE.INSPECT", "tagged")[9] == 0, "its age"
        wall.step(2 * HOUR)
        eventually(lambda: client.call("MGET", "relative", "absolute") == [None, None])
        assert client.call("CACHE.GET", "stale")[0] == b"stale"
        assert client.call("CACHE.GET", "absent")[0] == b"miss"
        wall.step(2 * HOUR)
        eventually(lambda: client.call("CACHE.GET", "stale")[0] == b"miss")


def test_tokens_grow_although_the_clock_went_back(start, tmp_path):
    wall = clock.Clock(tmp_path)
    server = start(env=wall.environment())
    with server.connect() as client:
        cache = Cache(client)
        before = cache.lease("a")
        wall.step(-HOUR)
        assert cache.lease("b") > before


@pytest.mark.parametrize("slow", [["DEBUG", "SLEEP", "2"]], ids=["sleep"])
def test_a_deadline_behind_a_long_command_counts_from_when_it_is_set(start, slow):
    """All in one write, so the thread knows of all of it before the long command."""
    server = start("--threads", "2", "--enable-debug-command", "yes")
    with server.connect() as one, server.connect() as other:
        ms = 1900
        one.send(b"".join(resp.encode(command) for command in (slow, ("SET", "lock", "one", "NX", "PX", ms), ("CACHE.GET", "m", "LEASE", ms))))
        assert one.read() == "OK"
        assert one.read() == "OK"
        token = one.read()[2]
        assert token > 0
        assert other.call("SET", "lock", "other", "NX", "PX", ms) is None
        assert other.call("CACHE.GET", "m", "LEASE", ms)[2] == 0
        assert other.call("CACHE.SET", "m", "v", "TOKEN", token) == "OK", "the lease is alive"
