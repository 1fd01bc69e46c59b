"""Readers that wait (CACHE.GET ... WAIT): who is answered what, in which order, and what ends a wait."""

import select
import signal
import socket
import time

import pytest

from tests.support import resp
from tests.support.cache import LONG, Cache, Reader, answer
from tests.support.connection import Closed
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


# "`WAIT ms`, up to a day: on a miss that somebody else is loading, the client is parked until there is a value (`hit`), CACHE.ABSENT (`absent`), a release with
# RETRY (`miss`, token 0), or until ms have passed (`miss`, token 0). Any write that leaves a value counts as a fill. When the lease ends without one, the longest
# waiter gets `miss` with a token and the others go on waiting."
#
# "At most one lease of a key is alive. It ends ...
# | its holder fills the key, or releases it | the others who wait get the value, or the longest waiter the next lease | ...
# | its deadline passes | the longest waiter gets the next one |"


def test_the_fill_answers_all_with_hit(cache, park):
    token = cache.lease("k")
    readers = [park("k") for _ in range(5)]
    assert cache.counts()["lease_waiters"] == 5
    assert cache.fill("k", "v", token, "PX", LONG)
    for reader in readers:
        found = reader.answer()
        assert found[:3] == ("hit", b"v", 0) and 0 < found.ms <= LONG
    assert cache.counts()["lease_waiters"] == 0


def test_absent_answers_all_with_absent(cache, park):
    token = cache.lease("k")
    readers = [park("k") for _ in range(5)]
    assert cache.absent("k", "TOKEN", token, "PX", LONG)
    for reader in readers:
        found = reader.answer()
        assert found[:3] == ("absent", None, 0) and 0 < found.ms <= LONG


@pytest.mark.parametrize("end", ["release", "void", "expired lease"])
def test_the_longest_waiter_loads_and_the_others_go_on_waiting(cache, park, end):
    token = cache.lease("k")
    readers = [park("k", "LEASE", LONG) for _ in range(3)]
    for n, reader in enumerate(readers):
        if end == "release":
            assert cache.release("k", token) == 1
        elif end == "void":
            cache.call("DEL", "k")
        else:
            assert cache.renew("k", token, 10) == 1
        found = reader.answer()
        assert found[:2] == ("miss", None) and found.token > token and 0 < found.ms <= LONG
        token = found.token
        rest = readers[n + 1 :]
        assert cache.waiters("k") == len(rest) and not any(other.has_answer() for other in rest)
    assert cache.fill("k", "v", token)


def test_after_its_time_a_reader_is_answered_miss(cache, park):
    cache.lease("k")
    reader = park("k", wait=50)
    assert reader.answer()[:3] == ("miss", None, 0)
    assert cache.waiters("k") == 0 and cache.counts()["lease_waiters"] == 0


def test_after_its_time_a_reader_is_told_when_to_ask_again(cache, park):
    """somebody else is loading, ...: ask again | the lease lasts; or ask again within |"""
    cache.lease("k")
    assert 0 < park("k", wait=20).answer().ms <= LONG


def test_who_ran_out_of_time_is_skipped(cache, park):
    token = cache.lease("k")
    brief, patient = park("k", wait=50), park("k")
    assert brief.answer().token == 0
    cache.release("k", token)
    assert patient.answer().token > token


def test_nobody_waits_when_there_is_nothing_to_wait_for(cache):
    """Only a miss that somebody else is loading is worth waiting for."""
    cache.set("hit", "v")
    cache.absent("absent", "PX", LONG)
    cache.stale("stale")
    assert cache.get("hit", "WAIT", LONG).status == "hit"
    assert cache.get("absent", "WAIT", LONG).status == "absent"
    assert cache.get("stale", "WAIT", LONG).token > 0
    assert cache.get("stale", "WAIT", LONG)[:3] == ("stale", b"old", 0)
    assert cache.get("missing", "WAIT", LONG, "LEASE", LONG).token > 0
    assert cache.get("missing", "WAIT", 0)[:3] == ("miss", None, 0)
    assert cache.get("unled", "WAIT", LONG, "LEASE", 0)[:3] == ("miss", None, 0)


def test_who_only_reads_is_never_made_the_loader(cache, park):
    """`LEASE 0` reads only and never takes one."""
    token = cache.lease("k")
    only, loader = park("k", "LEASE", 0), park("k", "LEASE", LONG)
    cache.release("k", token)
    assert loader.answer().token > token
    cache.call("SET", "k", "v")
    assert only.answer().token == 0


def test_who_only_reads_goes_on_waiting_while_somebody_loads(cache, park):
    """the longest waiter gets `miss` with a token and the others go on waiting."""
    token = cache.lease("k")
    only, loader = park("k", "LEASE", 0), park("k", "LEASE", LONG)
    cache.release("k", token)
    cache.fill("k", "v", loader.answer().token)
    assert only.answer()[:3] == ("hit", b"v", 0)


def test_who_only_reads_is_answered_when_nobody_loads_any_more(cache, park):
    token = cache.lease("k")
    only = park("k", "LEASE", 0)
    cache.release("k", token)
    assert only.answer()[:3] == ("miss", None, 0)


def test_a_void_that_leaves_a_value_answers_with_hit(cache, client, park):
    cache.lease("k")
    readers = [park("k") for _ in range(3)]
    client.call("SET", "k", "committed", "PX", LONG)
    assert [reader.answer()[:3] for reader in readers] == [("hit", b"committed", 0)] * 3


def test_a_value_that_is_gone_at_once_is_a_void(cache, client, park):
    """SET with a time that has passed leaves nothing to answer with."""
    token = cache.lease("k")
    first, second = park("k"), park("k")
    client.call("SET", "k", "v", "PXAT", 1)
    assert first.answer().token > token and cache.waiters("k") == 1 and not second.has_answer()


def test_large_values_reach_all_who_wait(cache, park):
    token = cache.lease("k")
    readers = [park("k") for _ in range(5)]
    value = bytes(range(256)) * 8192
    cache.fill("k", value, token)
    assert all(reader.answer().value == value for reader in readers)


def test_waiters_of_different_keys_are_independent(cache, park):
    token = cache.lease("a")
    cache.lease("b")
    of_a, of_b = park("a"), park("b")
    cache.fill("a", "v", token)
    assert of_a.answer().value == b"v"
    assert cache.waiters("b") == 1 and not of_b.has_answer()
    cache.call("SET", "b", "w")
    assert of_b.answer().value == b"w"


def test_waiters_of_different_databases_are_independent(cache, connect, client):
    cache.lease("k")
    other = connect(protocol=cache.protocol)
    other.call("SELECT", 3)
    token = answer(other.call("CACHE.GET", "k", "LEASE", LONG)).token
    reader = connect(protocol=cache.protocol)
    reader.call("SELECT", 3)
    reader.send_command("CACHE.GET", "k", "WAIT", LONG)
    eventually(lambda: cache.counts()["lease_waiters"] == 1)
    client.call("SET", "k", "of another database")
    assert cache.counts()["lease_waiters"] == 1
    other.call("CACHE.SET", "k", "v", "TOKEN", token)
    assert answer(reader.read()).value == b"v"


def test_commands_behind_a_wait_follow_in_order(cache, connect):
    token = cache.lease("k")
    reader = connect(protocol=cache.protocol)
    for command in (["SET", "before", "1"], ["CACHE.GET", "k", "WAIT", LONG], ["GET", "k"], ["PING", "behind"], ["CACHE.GET", "k", "WAIT", LONG]):
        reader.send_command(*command)
    assert reader.read() == "OK"
    eventually(lambda: cache.waiters("k") == 1)
    cache.fill("k", "v", token)
    assert answer(reader.read()).value == b"v"
    assert reader.read() == b"v" and reader.read() == b"behind" and answer(reader.read()).status == "hit"


def test_a_reader_may_wait_again_and_again(cache, connect, park):
    token = cache.lease("k")
    reader = park("k")
    for i in range(20):
        cache.fill("k", i, token)
        assert reader.answer().value == b"%d" % i
        cache.call("DEL", "k")
        token = cache.lease("k")
        reader.connection.send_command("CACHE.GET", "k", "WAIT", LONG)
        eventually(lambda: cache.waiters("k") == 1)
    cache.fill("k", "end", token)
    assert reader.answer().value == b"end"


# "CLIENT UNBLOCK, a disconnect and a shutdown end the wait."


@pytest.mark.parametrize("how", [[], ["TIMEOUT"], ["timeout"]])
def test_client_unblock_ends_the_wait_as_its_time_would(cache, client, park, how):
    token = cache.lease("k")
    reader, other = park("k"), park("k")
    assert client.call("CLIENT", "UNBLOCK", reader.identity, *how) == 1
    assert reader.answer()[:3] == ("miss", None, 0)
    assert client.call("CLIENT", "UNBLOCK", reader.identity) == 0
    assert cache.waiters("k") == 1
    cache.fill("k", "v", token)
    assert other.answer().value == b"v"


def test_client_unblock_with_an_error(cache, client, park):
    cache.lease("k")
    reader = park("k")
    assert client.call("CLIENT", "UNBLOCK", reader.identity, "ERROR") == 1
    assert reader.connection.read() == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
    assert reader.connection.call("PING") == "PONG"


def test_client_unblock_of_who_does_not_wait(client, connect):
    other = connect()
    identity = other.call("CLIENT", "ID")
    assert client.call("CLIENT", "UNBLOCK", identity) == 0
    assert client.call("CLIENT", "UNBLOCK", 2**40) == 0
    assert client.call("CLIENT", "UNBLOCK", "x") == "ERR value is not an integer or out of range"
    assert client.call("CLIENT", "UNBLOCK", identity, "BOGUS") == "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
    assert other.call("PING") == "PONG"


def test_client_kill_of_who_waits(cache, client, park):
    token = cache.lease("k")
    killed, other = park("k"), park("k")
    assert client.call("CLIENT", "KILL", "ID", killed.identity) == 1
    with pytest.raises((Closed, ConnectionError)):
        killed.connection.read()
    eventually(lambda: cache.waiters("k") == 1)
    assert cache.release("k", token) == 1
    assert other.answer().token > token


def test_who_disconnects_waits_no_longer(cache, park):
    token = cache.lease("k")
    gone, other = park("k"), park("k")
    gone.connection.close()
    eventually(lambda: cache.waiters("k") == 1)
    assert cache.release("k", token) == 1
    assert other.answer().token > token


def test_the_end_of_the_holders_connection_is_not_the_end_of_its_lease(cache, client, connect, park):
    """Another worker may hold the token by now; the deadline is what ends the lease."""
    holder = connect(protocol=cache.protocol)
    token = answer(holder.call("CACHE.GET", "k", "LEASE", LONG)).token
    reader = park("k")
    client.call("CLIENT", "KILL", "ID", holder.call("CLIENT", "ID"))
    assert cache.waiters("k") == 1 and cache.holds("k", token)
    assert cache.fill("k", "v", token) and reader.answer().value == b"v"


@pytest.mark.parametrize("how", ["SHUTDOWN", "SIGTERM"])
def test_a_shutdown_ends_the_wait(start, how):
    server = start()
    with server.connect() as holder, server.connect() as reader, server.connect() as operator:
        holder.call("CACHE.GET", "k", "LEASE", LONG)
        reader.send_command("CACHE.GET", "k", "WAIT", LONG)
        eventually(lambda: b"\r\nlease_waiters:1\r\n" in operator.call("INFO", "cache"))
        if how == "SHUTDOWN":
            operator.send_command("SHUTDOWN", "NOSAVE")
        else:
            server.process.send_signal(signal.SIGTERM)
        assert reader.read_until_closed() == b""
        server.process.wait(60)
        server.check_exit()


def test_reset_and_quit_cannot_be_reached_by_who_waits(cache, connect):
    """what it sends meanwhile is executed afterwards."""
    token = cache.lease("k")
    reader = connect(protocol=cache.protocol)
    reader.send_command("CACHE.GET", "k", "WAIT", LONG)
    reader.send_command("QUIT")
    eventually(lambda: cache.waiters("k") == 1)
    cache.fill("k", "v", token)
    assert answer(reader.read()).value == b"v" and reader.read() == "OK"
    assert reader.read_until_closed() == b""


def test_who_waits_is_not_idle(start):
    """Those that wait for a reply do something, which `timeout` does not end."""
    server = start("--timeout", 1)
    with server.connect() as holder, server.connect() as waiting, server.connect() as idle:
        token = holder.call("CACHE.GET", "k", "LEASE", LONG)[2]
        waiting.send_command("CACHE.GET", "k", "WAIT", LONG)
        assert idle.call("PING") == "PONG"

        def idle_is_closed():
            assert holder.call("PING") == "PONG"
            return select.select([idle.socket], [], [], 0)[0]

        eventually(idle_is_closed)
        assert idle.read_until_closed() == b""
        assert holder.call("CACHE.SET", "k", "v", "TOKEN", token) == "OK"
        assert answer(waiting.read()).value == b"v"


def test_operators_see_who_waits(cache, client, park):
    cache.lease("k")
    reader = park("k")
    assert b"\r\nblocked_clients:1\r\n" in client.call("INFO", "clients")
    assert b" flags=b " in client.call("CLIENT", "LIST", "ID", reader.identity)
    client.call("SET", "k", "v")
    assert reader.answer().status == "hit"
    assert b"\r\nblocked_clients:0\r\n" in client.call("INFO", "clients")
    assert b" flags=N " in client.call("CLIENT", "LIST", "ID", reader.identity)


def test_a_key_that_is_too_long_to_wait_for_is_answered_at_once(cache):
    """Nobody waits ... for a key of more than 4096 bytes"""
    key = "k" * 4097
    cache.lease(key)
    assert cache.get(key, "WAIT", LONG)[:3] == ("miss", None, 0)


def test_nobody_waits_with_client_reply_off(cache, connect):
    """Nobody waits inside MULTI, with CLIENT REPLY OFF, ..."""
    cache.lease("k")
    silent = connect(protocol=cache.protocol)
    for command in (["CLIENT", "REPLY", "OFF"], ["CACHE.GET", "k", "WAIT", LONG], ["SET", "behind", "1"], ["CLIENT", "REPLY", "ON"]):
        silent.send_command(*command)
    # Whoever waited would not come to the command that turns replies on.
    assert silent.read() == "OK"
    assert silent.call("GET", "behind") == b"1" and cache.waiters("k") == 0
    for command in (["CLIENT", "REPLY", "SKIP"], ["CACHE.GET", "k", "WAIT", LONG], ["PING", "seen"]):
        silent.send_command(*command)
    assert silent.read() == b"seen"


def test_who_closes_its_sending_side_waits_no_longer(cache, park):
    """A client that closes its sending side may be gone: it is answered as if its time were up, and gets no lease."""
    token = cache.lease("k")
    gone, other = park("k"), park("k")
    gone.connection.socket.shutdown(socket.SHUT_WR)
    assert gone.answer()[:3] == ("miss", None, 0)
    assert gone.connection.read_until_closed() == b""
    assert cache.waiters("k") == 1
    assert cache.release("k", token) == 1
    assert other.answer().token > token


# CLIENT PAUSE


def test_a_pause_of_writes_holds_the_fill(cache, client, connect, park):
    token = cache.lease("k")
    reader, holder = park("k"), connect()
    client.call("CLIENT", "PAUSE", LONG, "WRITE")
    try:
        holder.send_command("CACHE.SET", "k", "v", "TOKEN", token)
        assert client.call("PING") == "PONG"
        assert cache.waiters("k") == 1 and not reader.has_answer()
    finally:
        client.call("CLIENT", "UNPAUSE")
    assert holder.read() == "OK" and reader.answer().value == b"v"


def test_a_pause_of_all_does_not_lose_who_waits(cache, client, park):
    token = cache.lease("k")
    brief, patient = park("k", wait=50), park("k")
    client.call("CLIENT", "PAUSE", 100, "ALL")
    assert brief.answer()[:3] == ("miss", None, 0)
    assert cache.fill("k", "v", token)
    assert patient.answer().value == b"v"


# Commands on the whole keyspace, and those that move keys


@pytest.mark.parametrize("command", [["FLUSHALL"], ["FLUSHALL", "ASYNC"], ["FLUSHDB"], ["FLUSHDB", "SYNC"]])
def test_a_flush_sends_the_longest_waiter_to_load(cache, client, park, command):
    token = cache.lease("k")
    first, second = park("k"), park("k")
    client.call(*command)
    found = first.answer()
    assert found[:2] == ("miss", None) and found.token > token and cache.waiters("k") == 1
    assert cache.fill("k", "v", found.token) and second.answer().value == b"v"


def test_flushdb_of_another_database_leaves_them_alone(cache, connect, park):
    token = cache.lease("k")
    reader = park("k")
    other = connect()
    other.call("SELECT", 4)
    other.call("FLUSHDB")
    assert cache.waiters("k") == 1 and cache.fill("k", "v", token) and reader.answer().value == b"v"


def test_swapdb_answers_with_what_the_database_holds_now(cache, client, connect, park):
    cache.lease("there")
    token = cache.lease("not there")
    of_there, of_not = park("there"), park("not there")
    other = connect()
    other.call("SELECT", 1)
    other.call("SET", "there", "swapped in")
    client.call("SWAPDB", 0, 1)
    try:
        assert of_there.answer()[:2] == ("hit", b"swapped in")
        found = of_not.answer()
        assert found[:2] == ("miss", None) and found.token > token
        assert not cache.fill("not there", "old", token)
        assert cache.fill("not there", "new", found.token)
    finally:
        client.call("SWAPDB", 0, 1)


@pytest.mark.parametrize(
    "command", [["RENAME", "source", "k"], ["RENAMENX", "source", "k"], ["COPY", "source", "k"], ["BITOP", "AND", "k", "source"], ["MSETEX", 1, "k", "value"]]
)
def test_a_key_that_comes_to_be_answers_with_hit(cache, client, park, command):
    client.call("SET", "source", "value")
    cache.lease("k")
    readers = [park("k") for _ in range(2)]
    assert client.call(*command) in ("OK", 1, 5)
    assert [reader.answer()[:2] for reader in readers] == [("hit", b"value")] * 2


def test_move_answers_who_waits_in_the_other_database(cache, client, connect):
    client.call("SET", "k", "moved")
    reader = connect(protocol=cache.protocol)
    reader.call("SELECT", 1)
    assert answer(reader.call("CACHE.GET", "k", "LEASE", LONG)).token
    reader.send_command("CACHE.GET", "k", "WAIT", LONG)
    eventually(lambda: cache.counts()["lease_waiters"] == 1)
    assert client.call("MOVE", "k", 1) == 1
    assert answer(reader.read())[:2] == ("hit", b"moved")


def test_a_transaction_answers_those_who_wait(cache, connect, park):
    cache.lease("a")
    token = cache.lease("b")
    of_a, of_b = park("a"), park("b")
    other = connect()
    other.pipeline([["MULTI"], ["SET", "a", "1"], ["CACHE.SET", "b", "2", "TOKEN", token]])
    assert cache.counts()["lease_waiters"] == 2
    assert other.call("EXEC") == ["OK", "OK"]
    assert (of_a.answer().value, of_b.answer().value) == (b"1", b"2")


# Many


def test_a_thousand_who_wait_are_answered_in_order_and_once(cache, connect, many_files):
    token = cache.lease("k")
    readers = [Reader(connect(protocol=cache.protocol), cache, "k", "LEASE", LONG) for _ in range(1000)]
    assert cache.counts()["lease_waiters"] == 1000
    by_socket = {reader.connection.socket.fileno(): n for n, reader in enumerate(readers)}
    poll = select.epoll()
    for descriptor in by_socket:
        poll.register(descriptor, select.EPOLLIN)
    # A hundred loads fail: each hands on to the one who has waited longest, and to nobody else.
    for n in range(100):
        assert cache.release("k", token) == 1
        ready = poll.poll(30)
        assert [by_socket[descriptor] for descriptor, _ in ready] == [n]
        found = readers[n].answer()
        assert found.status == "miss" and found.token > token
        token = found.token
    assert cache.fill("k", "v", token)
    for reader in readers[100:]:
        assert reader.answer()[:2] == ("hit", b"v")
    # Once: the next reply of each is to the next command.
    for reader in readers:
        reader.connection.send_command("PING")
    assert all(reader.connection.read() == "PONG" for reader in readers)
    assert cache.counts()["lease_waiters"] == 0


def test_who_waits_costs_no_cpu(start, many_files):
    """A parked client costs no thread and no polling

    `scripts/bench herd` measures that many; a server that polled for the waiters in any way would show with these, and be
    far above the bound, which leaves room for what an idle server under a sanitizer does.
    """
    server = start("--maxclients", "5000")
    with server.connect() as admin:
        cache = Cache(admin)
        token = cache.lease("k", "LEASE", LONG)
        readers = [server.connect() for _ in range(4000)]
        for reader in readers:
            reader.send_command("CACHE.GET", "k", "WAIT", LONG)
        eventually(lambda: cache.counts()["lease_waiters"] == len(readers))
        before, begun = server.cpu_seconds(), time.monotonic()
        time.sleep(2)
        assert server.cpu_seconds() - before < 0.1 * (time.monotonic() - begun)
        assert cache.fill("k", "v", token)
        assert all(answer(reader.read())[:2] == ("hit", b"v") for reader in readers)


def test_one_load_for_many_who_come_at_once(cache, connect, many_files):
    """At most one lease of a key is alive."""
    readers = [connect(protocol=cache.protocol) for _ in range(500)]
    for reader in readers:
        reader.send_command("CACHE.GET", "hot", "WAIT", LONG, "LEASE", LONG)
    first = select.select([reader.socket for reader in readers], [], [], 30)[0]
    loader = next(reader for reader in readers if reader.socket in first)
    found = answer(loader.read())
    assert found.status == "miss" and found.token > 0
    eventually(lambda: cache.waiters("hot") == 499)
    assert cache.fill("hot", "loaded", found.token)
    others = [answer(reader.read()) for reader in readers if reader is not loader]
    assert [other[:3] for other in others] == [("hit", b"loaded", 0)] * 499


def test_without_the_password_there_is_no_cache(start):
    """CACHE.* is for those who gave the password, as all commands are."""
    with start("--requirepass", "secret").connect() as connection:
        for command in (["CACHE.GET", "k", "WAIT", "10"], ["CACHE.SET", "k", "v"], ["CACHE.PURGE", "PREFIX", ""], ["CACHE.POLICY", "LIST"]):
            assert connection.call(*command) == resp.ErrorReply("NOAUTH Authentication required.")
