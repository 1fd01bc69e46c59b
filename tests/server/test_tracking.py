"""Client-side caching: what clients with CLIENT TRACKING are told, of which changes, and in which order."""

import threading

import pytest

from tests.support import servers
from tests.support.connection import Connection
from tests.support.resp import Push
from tests.support.servers import eventually

from .conftest import info, only_pinfold

CHANNEL = b"__redis__:invalidate"


class Tracker:
    """A client with RESP3 that keeps pushes apart from replies."""

    def __init__(self, connection, *options):
        self.connection = connection
        self.told = []
        if connection.raw("HELLO", 3)[:1] != b"%":
            raise AssertionError("no RESP3")
        if options:
            assert self.call("CLIENT", "TRACKING", *options) == "OK"

    def reply(self):
        while True:
            answer = self.connection.read()
            if not isinstance(answer, Push):
                return answer
            self.told.append(list(answer))

    def call(self, *args):
        self.connection.send_command(*args)
        return self.reply()

    def next(self):
        """The next push, which must come."""
        if self.told:
            return self.told.pop(0)
        answer = self.connection.read()
        assert isinstance(answer, Push), answer
        return list(answer)

    def names(self):
        """The names in the next invalidation; None: all."""
        kind, names = self.next()
        assert kind == b"invalidate"
        return names

    def hears_only(self, name, writer):
        """The key is the next that this client is told of: it has been told of nothing before."""
        self.call("GET", name)
        writer.call("SET", name, "changed")
        assert self.names() == [name.encode()]


@pytest.fixture
def track(client, connect):
    """Clients that track. What others have changed before is behind them: the flush that the test began with may still be on its way."""
    before = Tracker(connect(), "ON")
    before.call("GET", "before")
    client.call("SET", "before", "1")
    while before.names() != [b"before"]:
        pass
    client.call("DEL", "before")
    before.call("CLIENT", "TRACKING", "OFF")
    return lambda *options: Tracker(connect(), *(options or ("ON",)))


def state(connection):
    """CLIENT TRACKINGINFO as a dictionary."""
    reply = connection.call("CLIENT", "TRACKINGINFO")
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))


def field(connection, name):
    return dict(item.split("=", 1) for item in connection.call("CLIENT", "INFO").decode().split())[name]


# Changes of the key `k`, which has the value 1: what is sent for each.
CHANGES = [
    [("SET", "k", "2")], [("DEL", "k")], [("UNLINK", "k")], [("APPEND", "k", "2")], [("SETRANGE", "k", "3", "x")], [("INCR", "k")],
    [("SETBIT", "k", "0", "1")], [("BITFIELD", "k", "SET", "u8", "0", "7")], [("GETSET", "k", "2")], [("GETDEL", "k")],
    [("MSET", "j", "1", "k", "2")], [("EXPIRE", "k", "100")], [("PERSIST", "k")], [("GETEX", "k", "EX", "100")], [("RENAME", "k", "j")],
    [("SET", "j", "1"), ("RENAME", "j", "k")], [("SET", "j", "1"), ("COPY", "j", "k", "REPLACE")], [("MOVE", "k", "5")],
    [("MULTI",), ("SET", "k", "2"), ("EXEC",)], [("PEXPIRE", "k", "1")], [("EXPIREAT", "k", "1")], [("BITOP", "NOT", "k", "k")],
]  # fmt: skip


@pytest.mark.parametrize("commands", CHANGES, ids=lambda commands: " ".join(commands[-1]))
def test_a_key_that_was_read_is_told_once_when_it_changes(client, track, commands):
    tracker = track()
    client.call("SET", "k", "1", "EX", "1000")
    client.call("SELECT", 5), client.call("DEL", "k"), client.call("SELECT", 0)
    assert tracker.call("GET", "k") == b"1"
    for command in commands:
        client.call(*command)
    assert tracker.names() == [b"k"]
    client.call("SET", "k", "3")
    tracker.hears_only("end", client)


# Those that make a key change by Pinfold's own means.
@only_pinfold
@pytest.mark.parametrize(
    "command",
    [
        ("CACHE.SET", "k", "2"), ("CACHE.ABSENT", "k"), ("CACHE.INVALIDATE", "1", "k"), ("CACHE.INVALIDATE", "1", "k", "SOFT"),
        ("CACHE.PURGE", "TAGS", "1", "t"), ("CACHE.PURGE", "TAGS", "1", "t", "SOFT"), ("CACHE.PURGE", "PREFIX", "k"),
        ("CACHE.PURGE", "PREFIX", "k", "SYNC"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_key_that_was_read_is_told_when_the_cache_gives_it_up(client, track, command):
    tracker = track()
    client.call("CACHE.SET", "k", "1", "EX", "1000", "STALE", "60000", "TAGS", "1", "t")
    client.call("SET", "other", "1")
    assert tracker.call("CACHE.GET", "k")[1] == b"1"
    assert tracker.call("GET", "other") == b"1"
    client.call(*command)
    assert tracker.names() == [b"k"]
    tracker.hears_only("other", client)


@only_pinfold
def test_a_key_is_told_when_its_value_becomes_stale_and_when_it_expires(client, track):
    tracker = track()
    client.call("CACHE.SET", "stale", "1", "PX", "300", "STALE", "60000")
    client.call("SET", "gone", "1", "PX", "300")
    client.call("SET", "stays", "1", "PX", "100000")
    for name in ("stale", "gone", "stays"):
        assert tracker.call("GET", name) == b"1"
    assert {tracker.names()[0], tracker.names()[0]} == {b"stale", b"gone"}
    assert int(info(client, "stats")["tracking_total_keys"]) == 1
    assert tracker.call("CACHE.GET", "stale")[0] in (b"stale", "stale")
    assert tracker.names() == [b"stale"]  # nobody keeps a stale value


def test_a_key_that_expires_is_told(client, track):
    tracker = track()
    client.call("SET", "k", "1", "PX", "50")
    assert tracker.call("GET", "k") == b"1"
    assert tracker.names() == [b"k"]


def test_a_missing_key_is_told_when_it_is_created_and_names_do_not_know_databases(client, track):
    tracker = track()
    assert tracker.call("MGET", "a", "b") == [None, None]
    client.call("SELECT", 9)
    client.call("SET", "b", "1")
    client.call("DEL", "b")
    client.call("SELECT", 0)
    assert tracker.names() == [b"b"]
    client.call("SET", "a", "1")
    assert tracker.names() == [b"a"]


@pytest.mark.parametrize("command", [("FLUSHALL",), ("FLUSHDB",), ("FLUSHALL", "ASYNC")], ids=" ".join)
def test_a_flush_tells_everybody_to_forget_everything(client, track, command):
    tracker, prefixed = track(), track("ON", "BCAST", "PREFIX", "p:")
    for i in range(100):
        tracker.call("GET", f"k{i}")
    client.call(*command)
    assert tracker.names() is None
    assert prefixed.names() is None
    client.call("SET", "k1", "1")
    tracker.hears_only("end", client)
    eventually(lambda: int(info(client, "stats")["tracking_total_keys"]) == 0)


@only_pinfold
def test_what_reads_find_as_a_whole_changes_for_everybody(client, track):
    tracker = track()
    tracker.call("GET", "k")
    client.call("SWAPDB", 0, 1)
    assert tracker.names() is None
    tracker.call("GET", "k")
    client.call("CONFIG", "SET", "bypass", "yes")
    assert tracker.names() is None
    client.call("CONFIG", "SET", "bypass", "no")
    assert tracker.names() is None


def test_prefixes_are_told_together_and_of_all_writes(client, track):
    tracker = track("ON", "BCAST", "PREFIX", "user:", "PREFIX", "item:")
    client.call("MSET", "user:1", "a", "item:1", "b", "other", "c", "user:2", "d")
    told = [sorted(tracker.names()), sorted(tracker.names())]
    assert sorted(told) == [[b"item:1"], [b"user:1", b"user:2"]]
    client.call("DEL", "user:1", "missing")
    assert tracker.names() == [b"user:1"]
    everything = track("ON", "BCAST")
    client.call("SET", "any", "1")
    assert everything.names() == [b"any"]
    assert tracker.call("CLIENT", "TRACKING", "OFF") == "OK"
    client.call("SET", "user:3", "1")
    assert everything.names() == [b"user:3"]
    assert tracker.call("PING") == "PONG" and not tracker.told


def test_a_client_hears_of_its_own_writes_unless_it_says_noloop(client, track):
    tracker, quiet, quiet_prefix = track(), track("ON", "NOLOOP"), track("ON", "BCAST", "NOLOOP")
    assert tracker.call("GET", "k") is None
    assert tracker.call("SET", "k", "1") == "OK"
    assert tracker.names() == [b"k"]
    assert quiet_prefix.names() == [b"k"]
    for commands in ([("SET", "k", "2")], [("MULTI",), ("SET", "k", "2"), ("EXEC",)], [("DEL", "k")]):
        quiet.call("GET", "k")
        for command in commands:
            quiet.call(*command)
        assert quiet_prefix.names() == [b"k"]
    quiet.hears_only("k", client)
    assert quiet_prefix.names() == [b"k"]
    quiet_prefix.call("SET", "own", "1")
    client.call("SET", "foreign", "1")
    assert quiet_prefix.names() == [b"foreign"]


def test_optin_notes_the_next_command_only_if_it_is_told_to(client, track):
    tracker = track("ON", "OPTIN")
    tracker.call("GET", "a")
    assert tracker.call("CLIENT", "CACHING", "YES") == "OK"
    tracker.call("GET", "b")
    tracker.call("GET", "c")
    assert tracker.call("CLIENT", "CACHING", "YES") == "OK"
    tracker.call("MULTI"), tracker.call("GET", "d"), tracker.call("GET", "e"), tracker.call("EXEC")
    tracker.call("GET", "f")
    client.call("MSET", *(word for name in "abcdef" for word in (name, "1")))
    assert {tracker.names()[0] for _ in range(3)} == {b"b", b"d", b"e"}
    tracker.call("CLIENT", "CACHING", "YES")
    tracker.hears_only("end", client)


def test_optout_notes_all_but_what_it_is_told_not_to(client, track):
    tracker = track("ON", "OPTOUT")
    tracker.call("GET", "a")
    assert tracker.call("CLIENT", "CACHING", "NO") == "OK"
    tracker.call("GET", "b")
    tracker.call("GET", "c")
    client.call("MSET", "a", "1", "b", "1", "c", "1")
    assert {tracker.names()[0] for _ in range(2)} == {b"a", b"c"}
    tracker.hears_only("end", client)


def test_reads_of_transactions_are_noted_behind_the_writes_before_them(client, track):
    tracker = track()
    client.call("SET", "k", "1")
    tracker.call("MULTI"), tracker.call("GET", "k"), tracker.call("SET", "k", "2"), tracker.call("GET", "k")
    assert tracker.call("EXEC") == [b"1", "OK", b"2"]
    assert tracker.names() == [b"k"]
    client.call("SET", "k", "3")
    assert tracker.names() == [b"k"]


@pytest.mark.parametrize("protocol", [2, 3])
def test_invalidations_are_redirected(client, connect, protocol):
    target, tracker = connect(protocol=protocol), connect()
    number = target.call("CLIENT", "ID")
    if protocol == 2:
        assert target.call("SUBSCRIBE", CHANNEL) == [b"subscribe", CHANNEL, 1]
    assert tracker.call("CLIENT", "TRACKING", "ON", "REDIRECT", number) == "OK"
    assert tracker.call("CLIENT", "GETREDIR") == number
    assert (field(tracker, "flags"), field(tracker, "redir")) == ("t", str(number))
    begin = [b"message", CHANNEL] if protocol == 2 else [b"invalidate"]
    tracker.call("GET", "k")
    client.call("SET", "k", "1")
    assert list(target.read()) == [*begin, [b"k"]]
    tracker.call("MGET", "a", "b")
    client.call("MSET", "a", "1", "b", "1")
    assert sorted([list(target.read()), list(target.read())]) == [[*begin, [b"a"]], [*begin, [b"b"]]]
    client.call("FLUSHALL")
    assert list(target.read()) == [*begin, None]
    assert tracker.call("PING") == "PONG"


def test_a_redirection_whose_target_has_gone_is_told_and_forgotten(client, connect, track):
    target, old = connect(), connect()
    number = target.call("CLIENT", "ID")
    tracker = track("ON", "REDIRECT", number)
    assert old.call("CLIENT", "TRACKING", "ON", "REDIRECT", number) == "OK"
    for connection in (tracker, old):
        connection.call("GET", "k")
    target.close()
    eventually(lambda: str(number) not in [line.split()[0][3:].decode() for line in client.call("CLIENT", "LIST").splitlines()])
    client.call("SET", "k", "1")
    assert tracker.next() == [b"tracking-redir-broken", number]
    eventually(lambda: b"broken_redirect" in state(old)[b"flags"])
    assert b"broken_redirect" in state(tracker)[b"flags"]
    assert field(old, "flags") == "tR"
    eventually(lambda: int(info(client, "stats")["tracking_total_items"]) == 0)
    assert tracker.call("CLIENT", "TRACKING", "ON") == "OK"
    assert state(tracker)[b"flags"] == [b"on"]
    tracker.hears_only("again", client)


@only_pinfold
def test_a_target_with_resp2_that_has_left_the_channel_gets_no_bytes_that_are_no_reply(client, connect):
    target, tracker = connect(), connect()
    number = target.call("CLIENT", "ID")
    target.call("SUBSCRIBE", CHANNEL)
    tracker.call("CLIENT", "TRACKING", "ON", "REDIRECT", number)
    tracker.call("GET", "k")
    target.call("UNSUBSCRIBE", CHANNEL)
    client.call("SET", "k", "1")
    assert target.call("PING") == "PONG"
    tracker.call("GET", "k")
    target.call("SUBSCRIBE", "other")
    client.call("SET", "k", "1")
    client.call("PUBLISH", "other", "x")
    assert target.read() == [b"message", b"other", b"x"]


def test_reset_and_off_end_it(client, track):
    for end in ("RESET", "OFF"):
        tracker = track()
        tracker.call("GET", "k")
        if end == "RESET":
            assert tracker.call("RESET") == "RESET"
            tracker.connection.raw("HELLO", 3)
        else:
            assert tracker.call("CLIENT", "TRACKING", "OFF") == "OK"
        assert state(tracker) == {b"flags": [b"off"], b"redirect": -1, b"prefixes": []}
        client.call("SET", "k", "1")
        assert tracker.call("PING") == "PONG" and not tracker.told
    assert field(client, "redir") == "-1"


@only_pinfold
def test_a_key_that_leaves_the_table_is_told(start):
    server = start("--tracking-table-max-keys", "100")
    with server.connect() as client, server.connect() as connection:
        tracker = Tracker(connection, "ON")
        cached = set()
        for i in range(2000):
            tracker.call("GET", f"k{i}")
            cached.add(b"k%d" % i)
        limit = 100 + 64

        def forgotten():
            tracker.call("PING")
            cached.difference_update(name for _, names in tracker.told for name in names)
            tracker.told.clear()
            return len(cached) <= limit

        eventually(forgotten)
        assert int(info(client, "stats")["tracking_total_keys"]) == len(cached)
        assert int(info(client, "stats")["tracking_keys_evicted"]) == 2000 - len(cached)
        client.call("CONFIG", "SET", "tracking-table-max-keys", "10")
        limit = 10
        eventually(forgotten)
        client.call("MSET", *(word for name in cached for word in (name, "1")))
        limit = 0
        eventually(forgotten)


@only_pinfold
def test_evicted_keys_are_told(start):
    server = start("--maxmemory", "4mb")
    with server.connect() as client:
        names = [b"k%d" % i for i in range(500)]
        client.call("MSET", *(word for name in names for word in (name, "x" * 500)))
        tracker = Tracker(server.connect(), "ON")
        assert all(tracker.call("MGET", *names))
        for i in range(20_000):
            client.call("SET", f"filler:{i}", "x" * 500)

        def gone():
            tracker.call("PING")
            return sorted(name for _, told in tracker.told for name in told)

        missing = sorted(name for name, value in zip(names, client.call("MGET", *names)) if value is None)
        assert missing
        eventually(lambda: gone() == missing)


@only_pinfold
def test_figures_and_memory_come_back_to_nothing(client, track):
    tracker, prefixed = track(), track("ON", "BCAST", "PREFIX", "p:", "PREFIX", "q:")
    for i in range(500):
        tracker.call("GET", f"k{i}")
    figures = info(client)
    assert int(figures["tracking_clients"]) == 2
    assert int(figures["tracking_total_keys"]) == int(figures["tracking_total_items"]) == 500
    assert int(figures["tracking_total_prefixes"]) == 2
    assert int(figures["used_memory_tracking"]) > 500 * 32
    assert dict(zip(*[iter(client.call("MEMORY", "STATS"))] * 2))[b"tracking.bytes"] > 500 * 32
    tracker.connection.close(), prefixed.connection.close()

    def nothing():
        now = info(client)
        return [int(now[name]) for name in ("tracking_clients", "tracking_total_keys", "tracking_total_prefixes", "used_memory_tracking")]

    eventually(lambda: nothing() == [0, 0, 0, 0])


@only_pinfold
def test_names_are_told_to_those_only_who_may_read_them(client, connect):
    client.call("ACL", "SETUSER", "reader", "on", "nopass", "+@all", "%R~mine:*", "~both:*", "%W~written:*")
    try:
        connection = connect()
        connection.call("AUTH", "reader", "x")
        tracker = Tracker(connection, "ON", "BCAST")
        client.call("MSET", "mine:1", "1", "secret:1", "1", "both:1", "1", "written:1", "1")
        assert sorted(tracker.names()) == [b"both:1", b"mine:1"]
        connection = connect()
        connection.call("AUTH", "reader", "x")
        tracker = Tracker(connection, "ON")
        tracker.call("GET", "mine:1")
        client.call("ACL", "SETUSER", "reader", "resetkeys", "~both:*")
        client.call("SET", "mine:1", "2")
        assert tracker.names() is None  # that something has changed, but not what
    finally:
        client.call("ACL", "DELUSER", "reader")


@only_pinfold
def test_prefixes_are_told_in_databases_only_that_the_user_may_use(client, connect, track):
    client.call("ACL", "SETUSER", "reader", "on", "nopass", "+@all", "~a*", "db=0", "(+@all ~b* db=1)")

    def limited(*options):
        connection = connect()
        connection.call("AUTH", "reader", "x")
        return Tracker(connection, *options)

    def change(db, *command):
        assert client.call("SELECT", db) == "OK"
        assert client.call(*command) == "OK"

    try:
        tracker, everything = limited("ON", "BCAST"), track("ON", "BCAST")
        change(1, "MSET", "a:1", "1", "b:1", "1")
        assert tracker.names() == [b"b:1"]
        change(0, "MSET", "a:2", "1", "b:2", "1")
        assert tracker.names() == [b"a:2"]
        change(1, "SET", "a:3", "1")
        change(2, "SET", "b:3", "1")
        # Changes of one name in several databases may be one message.
        client.call("SELECT", 1)
        client.pipeline([("MULTI",), ("SET", "a:4", "1"), ("SELECT", 0), ("SET", "a:4", "1"), ("EXEC",)])
        assert tracker.names() == [b"a:4"]
        # The other way round, with a client that has read the key.
        reader = limited("ON")
        reader.call("GET", "a:5")
        client.call("SELECT", 0)
        client.pipeline([("MULTI",), ("SET", "a:5", "1"), ("SELECT", 1), ("SET", "a:5", "1"), ("SELECT", 0), ("EXEC",)])
        assert tracker.names() == [b"a:5"]
        assert reader.names() == [b"a:5"]
        # A client that has read a key of that name is told whatever the database.
        reader.call("GET", "a:6")
        change(1, "SET", "a:6", "1")
        assert reader.names() == [b"a:6"]
        change(0, "SET", "a:7", "1")
        assert tracker.names() == [b"a:7"]
        heard = set()
        while b"a:7" not in heard:
            heard.update(everything.names())
        assert heard >= {b"a:1", b"a:2", b"a:3", b"a:4", b"a:5", b"a:6", b"a:7", b"b:1", b"b:2", b"b:3"}
    finally:
        client.call("SELECT", 0)
        client.call("ACL", "DELUSER", "reader")


@only_pinfold
def test_a_read_that_waited_for_a_lease_is_not_kept(client, connect, track):
    """Its reply comes later than the read was executed, so the client is told behind it not to keep it."""
    tracker = track()
    token = client.call("CACHE.GET", "k", "LEASE", "10000")[2]
    tracker.connection.send_command("CACHE.GET", "k", "WAIT", "20000")
    eventually(lambda: int(info(client, "cache")["lease_waiters"]) == 1)
    client.call("CACHE.SET", "k", "v", "TOKEN", token)
    assert tracker.reply()[1] == b"v"
    assert tracker.names() == [b"k"]
    tracker.hears_only("k", client)


@only_pinfold
def test_replies_and_invalidations_are_in_order_on_each_connection():
    """Behind an invalidation comes no value that is older than the change, whatever threads do: versions only grow."""
    with servers.pinfold("--threads", "2") as server:
        stop = threading.Event()

        def write():
            with Connection(server.port) as writer:
                version = 0
                while not stop.is_set():
                    version += 1
                    writer.call("SET", "k", version)
                writer.call("SET", "k", "last")

        threads = [threading.Thread(target=write)]
        for thread in threads:
            thread.start()
        try:
            trackers = [Tracker(server.connect(), "ON") for _ in range(4)]
            cached = [None] * len(trackers)
            newest = [0] * len(trackers)
            for _ in range(1500):
                for i, tracker in enumerate(trackers):
                    if cached[i] is not None and not tracker.told:
                        tracker.connection.send_command("PING")
                        tracker.reply()
                    else:
                        tracker.connection.send(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * 3)
                        for _ in range(3):
                            value = int(tracker.reply() or 0)
                            assert value >= newest[i]
                            newest[i] = value
                        cached[i] = value
                    if tracker.told:
                        tracker.told.clear()
                        cached[i] = None
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for tracker in trackers:
            tracker.connection.close()


@only_pinfold
def test_a_client_has_few_prefixes(connect):
    tracker = Tracker(connect())
    prefixes = [word for i in range(513) for word in ("PREFIX", f"p{i:03}")]
    assert "A client can track 512 prefixes at most" in str(tracker.call("CLIENT", "TRACKING", "ON", "BCAST", *prefixes))
    assert tracker.call("CLIENT", "TRACKING", "ON", "BCAST", *prefixes[:-2]) == "OK"
    assert "A client can track 512 prefixes at most" in str(tracker.call("CLIENT", "TRACKING", "ON", "BCAST", *prefixes[-2:]))
    tracker.call("MULTI"), tracker.call("CLIENT", "TRACKINGINFO"), tracker.call("CLIENT", "TRACKING", "OFF")
    assert len(tracker.call("EXEC")) == 2
