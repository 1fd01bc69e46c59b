"""MULTI, EXEC and WATCH: atomic, isolated, and void when a watched key changed."""

import random
import threading

import pytest

from tests.server.conftest import info
from tests.support import resp
from tests.support.servers import eventually, is_redis


def test_concurrent_transfers_keep_the_sum(server, client):
    """MULTI/EXEC of two keys in different shards while others read all of them with MGET and EXEC."""
    accounts = [f"account:{i}" for i in range(20)]
    client.call("MSET", *[part for account in accounts for part in (account, 1000)])
    stop = threading.Event()
    wrong = []

    def transfer(seed):
        rng = random.Random(seed)
        with server.connect() as connection:
            for _ in range(60):
                commands = []
                for _ in range(10):
                    a, b = rng.sample(accounts, 2)
                    amount = rng.randint(1, 50)
                    commands += [("MULTI",), ("DECRBY", a, amount), ("INCRBY", b, amount), ("EXEC",)]
                connection.pipeline(commands)

    def audit(command):
        with server.connect() as connection:
            while not stop.is_set():
                if command == "MGET":
                    values = connection.call("MGET", *accounts)
                else:
                    values = connection.pipeline([("MULTI",), *[("GET", a) for a in accounts], ("EXEC",)])[-1]
                total = sum(map(int, values))
                if total != 20_000:
                    wrong.append((command, total))

    writers = [threading.Thread(target=transfer, args=(i,)) for i in range(3)]
    auditors = [threading.Thread(target=audit, args=(command,)) for command in ("MGET", "EXEC")]
    for thread in writers + auditors:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in auditors:
        thread.join()
    assert not wrong, wrong[:5]
    assert sum(map(int, client.call("MGET", *accounts))) == 20_000


def test_mset_is_never_seen_half_done(server, client):
    keys = [f"m:{i}" for i in range(10)]
    client.call("MSET", *[part for key in keys for part in (key, "0")])
    stop, wrong = threading.Event(), []

    def write(base):
        with server.connect() as connection:
            for n in range(1500):
                connection.call("MSET", *[part for key in (keys if base else keys[::-1]) for part in (key, f"{base}.{n}")])

    def read():
        with server.connect() as connection:
            while not stop.is_set():
                values = set(connection.call("MGET", *keys))
                if len(values) != 1:
                    wrong.append(values)

    threads = [threading.Thread(target=write, args=(base,)) for base in (0, 1)]
    reader = threading.Thread(target=read)
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert not wrong, wrong[:3]


def test_increments_under_watch_lose_nothing(server, client):
    """The compare-and-set loop of the documentation, from several connections at once."""

    def work():
        with server.connect() as connection:
            for _ in range(40):
                while True:
                    connection.call("WATCH", "counter")
                    value = int(connection.call("GET", "counter") or 0)
                    if connection.pipeline([("MULTI",), ("SET", "counter", value + 1), ("EXEC",)])[-1] is not None:
                        break

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.call("GET", "counter") == b"160"


CHANGES = [
    ["SET", "w", "other"], ["SET", "w", "v"], ["DEL", "w"], ["UNLINK", "w"], ["APPEND", "w", "x"], ["SETRANGE", "w", "0", "x"], ["SETBIT", "w", "0", "1"],
    ["EXPIRE", "w", "1000"], ["PEXPIREAT", "w", "1"], ["GETDEL", "w"], ["GETSET", "w", "x"], ["GETEX", "w", "EX", "100"], ["RENAME", "w", "w2"], ["RENAME", "x", "w"],
    ["COPY", "x", "w", "REPLACE"], ["MOVE", "w", "1"], ["MSET", "x", "1", "w", "2"], ["BITOP", "NOT", "w", "x"], ["BITFIELD", "w", "SET", "u8", "0", "1"],
    ["FLUSHDB"], ["FLUSHALL"], ["SWAPDB", "0", "1"], ["SWAPDB", "1", "0"],
]  # fmt: skip
HARMLESS = [
    ["GET", "w"], ["SET", "x", "1"], ["SET", "w", "y", "NX"], ["SETNX", "w", "y"], ["DEL", "none"], ["EXPIRE", "none", "10"], ["PERSIST", "w"], ["TOUCH", "w"],
    ["BITFIELD", "w", "GET", "u8", "0"], ["GETEX", "w"], ["STRLEN", "w"], ["APPEND", "x", "y"], ["SWAPDB", "2", "3"], ["RENAMENX", "x", "w"], ["MSETNX", "w", "1", "y", "2"],
    ["EXPIRE", "w", "100", "XX"], ["COPY", "x", "w"],
]  # fmt: skip


def watched(client, other, change):
    client.call("SET", "w", "v")
    client.call("SET", "x", "5")
    assert client.call("WATCH", "w") == "OK"
    reply = other.call(*change)
    assert not isinstance(reply, resp.ErrorReply), reply
    return client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1]


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_a_change_of_a_watched_key_voids_the_transaction(client, connect, change):
    assert watched(client, connect(), change) is None


@pytest.mark.parametrize("change", HARMLESS, ids=" ".join)
def test_what_does_not_change_a_watched_key_does_not_void_it(client, connect, change):
    assert watched(client, connect(), change) == ["PONG"]


def test_a_change_by_the_watcher_itself_voids_too(client):
    client.call("WATCH", "w")
    client.call("SET", "w", "mine")
    assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None


def test_the_creation_of_a_watched_missing_key_voids(client, connect):
    client.call("WATCH", "none")
    connect().call("SET", "none", "1")
    assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None


def test_a_watched_key_that_runs_out_voids(client):
    client.call("SET", "w", "v", "PX", "30")
    client.call("WATCH", "w")
    eventually(lambda: client.call("EXISTS", "w") == 0)
    assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None


def test_a_watched_key_that_runs_out_untouched_voids(client, connect):
    other = connect()
    client.call("SET", "w", "v", "PX", "30")
    client.call("SET", "twin", "v", "PX", "60")
    client.call("WATCH", "w")
    eventually(lambda: other.call("EXISTS", "twin") == 0)
    assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None


def test_a_key_that_was_gone_when_watched_may_be_swept(client, connect):
    other = connect()
    other.call("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    try:
        client.call("SET", "w", "v", "PX", "20")
        client.call("SET", "twin", "v", "PX", "40")
        eventually(lambda: other.call("EXISTS", "twin") == 0)
        client.call("WATCH", "w")
        other.call("EXISTS", "w")
        assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"]
    finally:
        other.call("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def test_watch_is_per_database(client, connect):
    other = connect()
    client.call("WATCH", "w")
    other.pipeline([("SELECT", 1), ("SET", "w", "1")])
    assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"]


def test_unwatch_discard_and_exec_forget_the_watch(client, connect):
    other = connect()
    for forget in ([("UNWATCH",)], [("MULTI",), ("DISCARD",)], [("MULTI",), ("EXEC",)]):
        client.call("WATCH", "w")
        client.pipeline(forget)
        other.call("SET", "w", "1")
        assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"]


def test_a_watcher_that_leaves_is_forgotten(client, server):
    for _ in range(20):
        with server.connect() as watcher:
            watcher.call("WATCH", "w", "w2")
    assert client.call("SET", "w", "1") == "OK"


def test_an_error_while_queueing_aborts_everything(client):
    replies = client.pipeline([("MULTI",), ("SET", "a", "1"), ("nosuch",), ("GET",), ("EXEC",)])
    assert replies[1] == "QUEUED"
    assert replies[2].startswith("ERR unknown command") and replies[3] == "ERR wrong number of arguments for 'get' command"
    assert replies[4] == "EXECABORT Transaction discarded because of previous errors."
    assert client.call("EXISTS", "a") == 0


def test_an_error_while_executing_does_not_undo_the_rest(client):
    replies = client.pipeline([("MULTI",), ("SET", "a", "x"), ("INCR", "a"), ("SET", "b", "2"), ("EXEC",)])
    assert replies[-1] == ["OK", resp.ErrorReply("ERR value is not an integer or out of range"), "OK"]
    assert client.call("GET", "b") == b"2"


def test_commands_of_the_state_machine_that_are_out_of_place(client):
    assert client.call("EXEC") == "ERR EXEC without MULTI"
    assert client.call("DISCARD") == "ERR DISCARD without MULTI"
    client.call("MULTI")
    assert client.call("MULTI") == "ERR MULTI calls can not be nested"
    assert client.call("WATCH", "k") == "ERR WATCH inside MULTI is not allowed"
    assert client.call("DISCARD") == "OK"


def test_a_transaction_of_all_databases(client):
    commands = [("MULTI",)]
    for db in range(16):
        commands += [("SELECT", db), ("SET", "k", db)]
    client.pipeline(commands + [("EXEC",)])
    for db in range(16):
        assert client.pipeline([("SELECT", db), ("GET", "k")])[-1] == str(db).encode()


def test_a_connection_that_goes_with_a_queue_runs_nothing(client, server):
    with server.connect() as gone:
        gone.pipeline([("MULTI",), ("SET", "ghost", "1")])
    assert client.call("EXISTS", "ghost") == 0


def test_a_large_transaction(client):
    commands = [("MULTI",)] + [("SET", f"t{i}", "x" * 100) for i in range(20_000)] + [("EXEC",)]
    assert client.pipeline(commands)[-1] == ["OK"] * 20_000
    assert client.call("DBSIZE") == 20_000


@pytest.mark.parametrize("met", [False, True], ids=["", "met"])
@pytest.mark.parametrize("here, there, aborts", [
    ("", "", False), ("", "stale", False), ("stale", "", False), ("stale", "stale", False),
    ("live", "", True), ("", "live", True), ("stale", "live", True), ("live", "stale", True), ("live", "live", True),
])
def test_swapdb_changes_a_watched_key_only_if_it_can_be_read_in_either_database(client, connect, here, there, aborts, met):
    """What has expired is not there, although nobody has removed it yet; that somebody does changes nothing."""
    other = connect()
    client.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        for database, state in ((1, here), (2, there)):
            other.call("SELECT", database)
            other.call("FLUSHDB")
            if state:
                other.call("SET", "k", state, *(("PX", 1) if state == "stale" else ()))
        client.call("SET", "passes", "v", "PX", 1)
        eventually(lambda: client.call("EXISTS", "passes") == 0)
        client.call("SELECT", 1)
        client.call("WATCH", "k")
        other.call("SWAPDB", 1, 2)
        if met:
            other.pipeline([("SELECT", 1), ("EXISTS", "k")])
        replies = client.pipeline([("MULTI",), ("PING",), ("EXEC",)])
        assert (replies[-1] is None) == aborts
    finally:
        client.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
        client.call("SELECT", 0)


@pytest.mark.parametrize("keys, aborts", [(("live",), True), (("none",), False), (("over",), False), (("live", "none"), True)])
@pytest.mark.parametrize("flush", ["FLUSHDB", "FLUSHALL"])
def test_a_flush_changes_a_watched_key_only_if_it_existed(client, connect, flush, keys, aborts):
    other = connect()
    client.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        client.pipeline([("FLUSHALL",), ("SET", "live", "v"), ("SET", "over", "v", "PX", 1), ("SET", "passes", "v", "PX", 1)])
        eventually(lambda: client.call("EXISTS", "passes") == 0)
        client.call("WATCH", *keys)
        other.call(flush)
        assert (client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] is None) == aborts
    finally:
        client.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_a_key_that_was_gone_when_watched_during_a_pause_may_be_removed(client, connect):
    """While clients are paused nothing is removed for its age."""
    other = connect()
    client.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    client.call("SET", "w", "v", "PX", 1)
    try:
        other.call("CLIENT", "PAUSE", 60_000, "WRITE")
        eventually(lambda: client.call("EXISTS", "w") == 0)
        client.call("WATCH", "w")
    finally:
        other.call("CLIENT", "UNPAUSE")
        other.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)
    assert other.call("EXISTS", "w") == 0
    assert client.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"]


@pytest.mark.skipif(is_redis(), reason="Redis forgets them in one go")
@pytest.mark.parametrize("end", [("UNWATCH",), ("RESET",), ("DISCARD",), ("EXEC",), ("EXEC", "x"), None], ids=lambda end: "-".join(end) if end else "close")
def test_many_watched_keys_are_forgotten_while_others_are_served(start, end):
    """The only thread goes through many rounds meanwhile, and in each of them serves whoever asks."""
    server = start("--threads", "1")
    with server.connect(timeout=60) as watcher, server.connect(timeout=60) as client:
        for first in range(0, 100_000, 1000):
            assert watcher.call("WATCH", *(f"key:{i}" for i in range(first, first + 1000))) == "OK"
        if end in (("DISCARD",), ("EXEC",)):
            assert watcher.call("MULTI") == "OK"
        if end == ("EXEC",):
            watcher.call("NOSUCH")

        def cycles():
            return int(info(client, "stats")["eventloop_cycles"])

        def watched():
            return int(info(client, "memory")["used_memory_clients"]) > 10 << 20

        before = cycles()
        watcher.close() if end is None else watcher.send_command(*end)
        eventually(lambda: not watched())
        rounds = cycles() - before
        assert rounds > 10
        if end is not None:
            assert str(watcher.read()).split()[0] in ("OK", "RESET", "EXECABORT")
            assert watcher.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1] == ["PONG"]
