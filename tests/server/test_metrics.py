"""What the metrics say: each moves by exactly what was done, and nothing else does."""

import contextlib
import http.client
import re
import socket
import threading

import pytest

from tests.support import clock, servers
from tests.support.servers import eventually

from .conftest import only_pinfold

pytestmark = only_pinfold

# Counters that move without anybody's doing, or by what depends on the machine.
RESTLESS = {
    "cpu_seconds_total", "event_loop_cycles_total", "event_loop_busy_seconds_total", "net_input_bytes_total", "net_output_bytes_total",
    "socket_reads_total", "socket_writes_total", "admin_requests_total", "command_duration_seconds_bucket", "command_duration_seconds_sum",
    "load_duration_seconds_sum", "lease_wait_duration_seconds_sum", "stale_age_seconds_sum", "load_duration_seconds_bucket",
    "lease_wait_duration_seconds_bucket", "stale_age_seconds_bucket", "policy_load_seconds_total", "shard_lock_waits_total",
    "shard_lock_waits_slept_total", "shard_lock_wait_seconds_total", "room_wait_seconds_total", "eviction_age_seconds_bucket",
    "eviction_age_seconds_sum", "log_lines_total", "written_ttl_seconds_sum", "hot_keys_sampled_total", "working_set_dropped_samples_total",
    # At most a second old: test_what_a_user_does_is_counted looks at these.
    "user_requests_total", "user_hits_total", "user_misses_total", "user_requests_refused_total", "user_clients_closed_total",
}


class Scrape(dict):
    """{'name{label="value"}': value} of /metrics, without the prefix."""

    def __init__(self, port):
        super().__init__()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            text = response.read().decode()
            assert response.status == 200, text
        finally:
            connection.close()
        self.types = dict(re.findall(r"^# TYPE pinfold_(\w+) (\w+)$", text, re.MULTILINE))
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                assert name not in self, name
                self[name.removeprefix("pinfold_")] = float(value)

    def is_counter(self, name):
        base = name.split("{")[0]
        histogram = re.sub(r"_(bucket|count|sum)$", "", base)
        return self.types.get(base) == "counter" or self.types.get(histogram) == "histogram"


def moved_counters(before, after):
    moved = {}
    for name, value in after.items():
        if after.is_counter(name) and name.split("{")[0] not in RESTLESS and value != before.get(name, 0):
            moved[name] = value - before.get(name, 0)
    return moved


def calls(**counts):
    """What the execution of commands moves beside what they do; get=2 is two GETs. An underscore is the point or bar of a name."""
    moves = {"commands_processed_total": sum(counts.values())}
    for name, count in counts.items():
        command = name.replace("__", "|").replace("_", ".")
        moves[f'command_calls_total{{command="{command}"}}'] = count
        moves[f'command_duration_seconds_count{{command="{command}"}}'] = count
    return moves


class Watched:
    """A server with an admin port, and a client that has connected before anything is counted."""

    def __init__(self, start, connect, *settings, env=None):
        self.port = servers.free_port()
        self.server = start("--admin-port", self.port, "--enable-debug-command", "yes", *settings, env=env)
        self._stack = connect
        self.client = connect.enter_context(self.server.connect())
        self.client.call("PING")

    def scrape(self):
        return Scrape(self.port)

    def another(self):
        client = self._stack.enter_context(self.server.connect())
        client.call("PING")
        return client

    def moves(self, *steps):
        """What the steps move."""
        before = self.scrape()
        for step in steps:
            step() if callable(step) else self.client.call(*step)
        return moved_counters(before, self.scrape())


@pytest.fixture
def watched(start):
    with contextlib.ExitStack() as stack:
        yield Watched(start, stack)


def test_nothing_moves_while_nothing_is_done(watched):
    assert watched.moves() == {}


def test_hits_and_misses(watched):
    moved = watched.moves(("SET", "a", "1"), ("GET", "a"), ("GET", "b"), ("GET", "b"), ("MGET", "a", "b"))
    assert moved == {**calls(set=1, get=3, mget=1), "keyspace_hits_total": 2, "keyspace_misses_total": 3}


def test_errors_and_refusals(watched):
    moved = watched.moves(("SET", "a", "x"), ("INCR", "a"), ("INCR", "a", "b"), ("NOSUCH",))
    assert moved == {**calls(set=1, incr=1), 'command_calls_failed_total{command="incr"}': 1, 'command_calls_rejected_total{command="incr"}': 1,
                     'errors_total{code="ERR"}': 3, "error_replies_total": 3}


def test_scripts(watched):
    script = "return redis.call('STRLEN', KEYS[1])"
    moved = watched.moves(("EVAL", script, 1, "k"))
    assert moved == {**calls(eval=1, strlen=1), "keyspace_misses_total": 1, "scripts_executed_total": 1, 'script_runs_total{locked="all"}': 1}
    for _ in range(20):
        watched.client.call("EVAL", script, 1, "k")
    moved = watched.moves(("EVAL", script, 1, "k"))
    assert moved['script_runs_total{locked="declared"}'] == 1 and 'script_runs_total{locked="all"}' not in moved
    reaching = "if ARGV[1] then redis.pcall('GET', ARGV[1]) end"
    for _ in range(20):
        watched.client.call("EVAL", reaching, 1, "k")
    assert watched.moves(("EVAL", reaching, 1, "k", "other"))["script_locks_added_total"] == 1
    watched.client.call("CONFIG", "SET", "undeclared-keys", "error", "script-time-limit", 1)
    moved = watched.moves(("EVAL", reaching, 1, "k", "other"), ("EVAL", "while true do end", 0))
    assert moved["script_undeclared_refused_total"] == moved["scripts_out_of_time_total"] == 1
    assert watched.scrape()["script_longest_seconds"] > 0
    for i in range(600):
        watched.client.call("EVAL", f"return {i}", 0)
    assert watched.scrape()["cached_scripts_evicted_total"] > 0
    assert watched.scrape()['memory_bytes{part="scripts"}'] > 0


def test_deadlines(watched):
    moved = watched.moves(("SET", "a", "1", "EX", "100"), ("EXPIRE", "a", "1000"), ("SET", "b", "1"))
    buckets = {f'written_ttl_seconds_bucket{{le="{2 ** power}"}}': (power >= 7) + (power >= 10) for power in range(7, 24)}
    assert moved == {**calls(set=2, expire=1), **buckets, 'written_ttl_seconds_bucket{le="+Inf"}': 2, "written_ttl_seconds_count": 2}
    watched.client.call("SET", "c", "1", "PX", "1")
    moved = watched.moves(lambda: eventually(lambda: watched.client.call("EXISTS", "c") == 0))
    assert moved["expired_keys_total"] == 1


def test_a_lease_that_is_filled(watched):
    found = {}
    moved = watched.moves(lambda: found.update(token=watched.client.call("CACHE.GET", "c", "LEASE", "10000")[2]))
    assert moved == {**calls(cache_get=1), "keyspace_misses_total": 1, "leases_granted_total": 1}
    assert watched.scrape()["leases"] == 1
    moved = watched.moves(("CACHE.SET", "c", "v", "TOKEN", found["token"]))
    assert moved == {**calls(cache_set=1), 'leases_ended_total{reason="filled"}': 1, "load_duration_seconds_count": 1}
    moved = watched.moves(("CACHE.SET", "c", "v", "TOKEN", found["token"]))
    assert moved == {**calls(cache_set=1), 'leases_refused_total{request="fill",cause="token"}': 1}
    assert watched.scrape()["leases"] == 0


def test_leases_that_end_otherwise(watched):
    def take(key):
        return watched.client.call("CACHE.GET", key, "LEASE", "60000")[2]

    take("void")
    token = take("released")
    watched.client.call("CACHE.GET", "late", "LEASE", "1")
    assert watched.moves(("SET", "void", "1")) == {**calls(set=1), 'leases_ended_total{reason="voided"}': 1}
    assert watched.moves(("CACHE.RELEASE", "released", token)) == {**calls(cache_release=1), 'leases_ended_total{reason="released"}': 1}
    eventually(lambda: watched.scrape()['leases_ended_total{reason="expired"}'] == 1)
    assert watched.client.call("CONFIG", "SET", "max-leases", "0") == "OK"
    assert watched.moves(("CACHE.GET", "d", "LEASE", "1000")) == {**calls(cache_get=1), "keyspace_misses_total": 1,
                                                                    'leases_refused_total{request="lease",cause="server"}': 1}


def test_a_client_that_waits_for_a_lease(watched):
    token = watched.client.call("CACHE.GET", "c", "LEASE", "60000")[2]
    reader = watched.another()

    def wait_and_fill():
        reader.send_command("CACHE.GET", "c", "WAIT", "60000")
        eventually(lambda: watched.scrape()["lease_waiters"] == 1)
        watched.client.call("CACHE.SET", "c", "v", "TOKEN", token)
        assert reader.read()[1] == b"v"

    moved = watched.moves(wait_and_fill)
    assert moved.pop("lease_wait_duration_seconds_count") == 1
    assert moved.pop('leases_ended_total{reason="filled"}') == 1
    assert moved.pop("load_duration_seconds_count") == 1
    assert moved == {**calls(cache_get=1, cache_set=1), "keyspace_misses_total": 1}


def test_how_stale_is_told_to_hours(start, tmp_path):
    wall = clock.Clock(tmp_path)
    with contextlib.ExitStack() as stack:
        watched = Watched(start, stack, env=wall.environment())
        watched.client.call("CACHE.SET", "s", "v", "EX", 60, "STALE", 10 * 3_600_000)
        wall.step(3600)
        eventually(lambda: watched.client.call("CACHE.GET", "s", "LEASE", "0")[0] == b"stale")
        scrape = watched.scrape()
        # Between 34 minutes and 70: it was to last a minute of this hour.
        assert scrape['stale_age_seconds_bucket{le="2097.152"}'] == 0
        assert scrape['stale_age_seconds_bucket{le="4194.304"}'] == 1
        assert 3530 < scrape["stale_age_seconds_sum"] < 3600


def test_stale_and_negative_hits(watched):
    watched.client.call("CACHE.SET", "s", "v", "PX", "1", "STALE", "60000")
    eventually(lambda: watched.client.call("CACHE.INSPECT", "s")[1] != b"fresh")
    moved = watched.moves(("CACHE.GET", "s", "LEASE", "0"))
    assert moved == {**calls(cache_get=1), "keyspace_misses_total": 1, "stale_hits_total": 1, "stale_age_seconds_count": 1}
    moved = watched.moves(("CACHE.ABSENT", "n"), ("CACHE.GET", "n"), ("GET", "n"))
    assert moved.pop("negative_hits_total") == 2
    assert moved["command_calls_total{command=\"cache.absent\"}"] == 1
    assert watched.scrape()["negative_entries"] == 1


def test_reads_by_policy(watched):
    watched.client.call("CACHE.POLICY", "SET", "rows", "match", "row:*", "stale", "60s", "coalesce", "10s")
    watched.client.call("SET", "row:1", "v")
    reader = watched.another()
    moved = watched.moves(("GET", "row:1"), ("GET", "row:2"), lambda: reader.call("SET", "row:2", "v"), ("CACHE.GET", "row:2"), ("GET", "other"))
    policy = '{policy="rows"}'
    assert moved.pop("policy_hits_total" + policy) == 2
    assert moved.pop("policy_misses_total" + policy) == 1
    assert moved.pop("policy_leases_granted_total" + policy) == 1
    assert moved == {**calls(get=3, set=1, cache_get=1), "keyspace_hits_total": 2, "keyspace_misses_total": 2, "leases_granted_total": 1,
                     'leases_ended_total{reason="voided"}': 1}
    scrape = watched.scrape()
    assert scrape["policy_memory_bytes" + policy] > 0 and scrape["policy_leases" + policy] == 0
    token = watched.client.call("CACHE.GET", "row:3", "LEASE", "10000")[2]
    moved = watched.moves(("CACHE.SET", "row:3", "v", "TOKEN", token))
    assert moved["policy_loads_total" + policy] == moved["load_duration_seconds_count"] == 1
    # Another policy of the same name's place begins anew.
    watched.client.call("CACHE.POLICY", "DEL", "rows")
    watched.client.call("FLUSHALL")
    watched.client.call("CACHE.POLICY", "SET", "lines", "match", "row:*")
    scrape = watched.scrape()
    assert scrape['policy_hits_total{policy="lines"}'] == 0 and "policy_hits_total" + policy not in scrape


def test_purges(watched):
    watched.client.call("CACHE.SET", "a", "v", "TAGS", "1", "t")
    moved = watched.moves(("CACHE.PURGE", "TAGS", "1", "t", "SYNC"), ("CACHE.PURGE", "PREFIX", "x", "SYNC"))
    assert moved == {**calls(cache_purge=2), 'purges_total{by="tags"}': 1, 'purges_total{by="prefix"}': 1}


def test_dependencies(watched):
    token = watched.client.call("CACHE.GET", "page", "LEASE", "10000")[2]
    watched.client.call("CACHE.SET", "part", "v", "DEPENDS", "1", "row")

    def swept():
        eventually(lambda: watched.scrape()["purges_pending"] == 0)

    moved = watched.moves(("CACHE.INVALIDATE", "1", "row", "CASCADE"), swept)
    assert moved == {**calls(cache_invalidate=1), 'purges_total{by="dependency"}': 1, "cascade_entries_total": 1}
    moved = watched.moves(("CACHE.SET", "page", "v", "TOKEN", token, "DEPENDS", "1", "row"))
    assert moved == {**calls(cache_set=1), 'leases_refused_total{request="fill",cause="dependency"}': 1, 'leases_ended_total{reason="released"}': 1}


def test_messages_and_keyspace_events(watched):
    subscriber = watched.another()
    subscriber.raw("SUBSCRIBE", "a", "__keyevent@0__:set")
    subscriber.read()
    moved = watched.moves(("PUBLISH", "a", "x"), ("SPUBLISH", "a", "x"), lambda: subscriber.read())
    assert moved == {**calls(publish=1, spublish=1), "pubsub_messages_published_total": 2, "pubsub_messages_delivered_total": 1}
    watched.client.call("CONFIG", "SET", "notify-keyspace-events", "EA")
    moved = watched.moves(("SET", "k", "1"), lambda: subscriber.read())
    assert moved == {**calls(set=1), "pubsub_messages_published_total": 1, "pubsub_messages_delivered_total": 1, 'keyspace_events_total{result="told"}': 1}
    scrape = watched.scrape()
    assert scrape["pubsub_clients"] == 1 and scrape['pubsub_channels{kind="channel"}'] == 2


def test_who_may_not_is_counted(watched):
    watched.client.call("ACL", "SETUSER", "u", "on", ">p", "~mine:*", "+get", "+select", "db=0")
    client = watched.another()
    moved = watched.moves(lambda: client.call("AUTH", "u", "wrong"))
    assert moved['acl_access_denied_total{reason="auth"}'] == moved["auth_failures_total"] == 1
    client.call("AUTH", "u", "p")
    moved = watched.moves(lambda: client.call("GET", "other"), lambda: client.call("SET", "mine:1", "v"), lambda: client.call("SELECT", "1"))
    assert {reason: moved.pop(f'acl_access_denied_total{{reason="{reason}"}}') for reason in ("key", "command", "db")} == {"key": 1, "command": 1, "db": 1}
    assert moved['errors_total{code="NOPERM"}'] == 3


def test_what_a_user_does_is_counted(watched):
    watched.client.call("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all")
    client = watched.another()
    client.call("AUTH", "u", "p")
    client.call("SET", "a", "1")
    for key in ("a", "a", "b"):
        client.call("GET", key)

    def counted():
        scrape = watched.scrape()
        return [scrape.get(f'user_{what}_total{{user="u"}}') for what in ("requests", "hits", "misses")] == [4, 2, 1]

    eventually(counted)
    client.close()
    assert counted()


def test_connections_by_what_becomes_of_them(watched):
    def refused():
        with watched.server.connect() as one:
            one.raw("NOT THE PROTOCOL" * 10)

    def garbage():
        with socket.create_connection(("127.0.0.1", watched.server.port), 20) as wire:
            wire.sendall(b"*1\r\n$x\r\n")
            while wire.recv(1000):
                pass

    moved = watched.moves(garbage)
    assert moved["protocol_errors_total"] == moved["connections_received_total"] == 1
    watched.client.call("CONFIG", "SET", "maxclients", "1")

    def one_too_many():
        with socket.create_connection(("127.0.0.1", watched.server.port), 20) as wire:
            while wire.recv(1000):
                pass

    moved = watched.moves(one_too_many)
    assert moved['rejected_connections_total{reason="maxclients"}'] == 1
    assert watched.scrape()["max_clients"] == 1


def test_evictions_by_their_cause(start):
    with contextlib.ExitStack() as stack:
        watched = Watched(start, stack, "--maxmemory", "20mb", "--threads", "1")
        watched.client.call("CACHE.POLICY", "SET", "small", "match", "small:*", "max-memory", "1mb")
        watched.client.call("CACHE.POLICY", "SET", "out", "match", "out:*", "priority", "first-out")

        def fill(prefix, count):
            for start_at in range(0, count, 500):
                watched.client.pipeline([("SET", f"{prefix}:{i}", "v" * 1000) for i in range(start_at, start_at + 500)])

        fill("plain", 30_000)
        scrape = watched.scrape()
        assert scrape['evicted_keys_total{cause="memory"}'] > 10_000
        assert [scrape[f'evicted_keys_total{{cause="{cause}"}}'] for cause in ("max-memory", "first-out", "negative")] == [0, 0, 0]
        fill("small", 10_000)
        fill("out", 10_000)
        fill("plain", 10_000)
        scrape = watched.scrape()
        assert scrape['evicted_keys_total{cause="max-memory"}'] > 1000
        assert scrape['evicted_keys_total{cause="first-out"}'] > 1000
        assert scrape['policy_evicted_keys_total{policy="small"}'] >= scrape['evicted_keys_total{cause="max-memory"}']
        assert scrape["room_waits_total"] > 100
        causes = sum(value for name, value in scrape.items() if name.startswith("evicted_keys_total"))
        assert causes == scrape["eviction_age_seconds_count"] == int(info(watched.client)["evicted_keys"])
        assert scrape["shard_imbalance_ratio"] >= 1


def info(client, section="stats"):
    text = client.call("INFO", section).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def test_durations_of_commands_are_what_info_says(watched):
    for _ in range(100):
        watched.client.call("GET", "a")
    scrape = watched.scrape()
    get = '{command="get"'
    bounds = {name: value for name, value in scrape.items() if name.startswith("command_duration_seconds_bucket" + get)}
    values = list(bounds.values())
    assert values == sorted(values) and values[-1] == 100
    assert 'command_duration_seconds_bucket{command="get",le="0.00512"}' in bounds
    stats = info(watched.client, "commandstats")["cmdstat_get"]
    usec = int(re.search(r"usec=(\d+)", stats).group(1))
    assert int(scrape["command_duration_seconds_sum" + get + "}"] * 1e6 + 1e-6) == usec  # which INFO says in whole microseconds
    latency = info(watched.client, "latencystats")["latency_percentiles_usec_get"]
    assert re.fullmatch(r"p50=[\d.]+,p99=[\d.]+,p99.9=[\d.]+", latency)


def test_metrics_no_stops_what_costs_something(watched):
    assert watched.client.call("CONFIG", "SET", "metrics", "no") == "OK"
    watched.client.call("PING")
    before = watched.scrape()
    for _ in range(10):
        watched.client.call("GET", "a")
    after = watched.scrape()
    name = 'command_duration_seconds_count{command="get"}'
    assert after.get(name, 0) == before.get(name, 0)
    assert after['command_calls_total{command="get"}'] == 10


# CONFIG RESETSTAT is counted itself, and may be slow on a busy machine.
BY_THE_RESET = {"command_calls_total", "command_duration_seconds_count", "commands_processed_total", "slow_commands_total"}


def test_resetstat_begins_anew(watched):
    watched.client.call("SET", "a", "1", "EX", "100")
    watched.client.call("GET", "a")
    watched.client.call("CONFIG", "RESETSTAT")
    scrape = watched.scrape()
    left = {name: value for name, value in scrape.items() if scrape.is_counter(name) and value and name.split("{")[0] not in RESTLESS}
    assert {name.split("{")[0] for name in left} <= BY_THE_RESET
    assert 'command_calls_total{command="get"}' not in left


def test_many_policies_and_users_fit_in_a_scrape(watched):
    for i in range(0, 250, 50):
        watched.client.pipeline([("CACHE.POLICY", "SET", f"p{n}", "match", f"p{n}:*") for n in range(i, i + 50)])
    for i in range(200):
        watched.client.call("ACL", "SETUSER", f"user{i}", "on", "nopass", "~*", "+@all")
    scrape = watched.scrape()
    assert sum(name.startswith("policy_hits_total") for name in scrape) == 250
    assert sum(name.startswith("user_requests_total") for name in scrape) == 201


def test_each_user_has_a_label_of_its_own_that_prometheus_takes(watched):
    names = [b"x" * 127 + "é".encode(), b"x" * 128 + b"1", b"x" * 128 + b"2", b"\xff", b"\\xff", b'"\x01\\', "\u202e".encode(), b"plain"]
    for name in names:
        assert watched.client.call("ACL", "SETUSER", name, "on", "nopass", "~*", "+@all") == "OK"
    scrape = watched.scrape()  # which is decoded, and whose names differ
    labels = [name for name in scrape if name.startswith("user_requests_total")]
    assert len(labels) == len(names) + 1 and 'user_requests_total{user="plain"}' in labels
    assert 'user_requests_total{user="\\\\xff"}' in labels and any(re.search(r'user="\\\\xff~[0-9a-f]{8}"', label) for label in labels)


def test_errors_that_rules_look_at_are_there_before_the_first(watched):
    scrape = watched.scrape()
    assert {scrape[f'errors_total{{code="{code}"}}'] for code in ("ERR", "NOAUTH", "NOPERM", "OOM", "WRONGPASS")} == {0}
    watched.client.call("NOSUCH")
    assert watched.scrape()['errors_total{code="ERR"}'] == 1


def test_refusals_are_told_by_their_causes(watched):
    call = watched.client.call
    call("CACHE.POLICY", "SET", "none", "match", "n:*", "max-leases", "none")
    refused = lambda request, cause: f'leases_refused_total{{request="{request}",cause="{cause}"}}'
    assert watched.moves(("CACHE.GET", "n:1", "LEASE", "1000"))[refused("lease", "policy")] == 1
    call("CONFIG", "SET", "max-leases", "0")
    assert watched.moves(("CACHE.GET", "a", "LEASE", "1000"))[refused("lease", "server")] == 1
    call("CONFIG", "SET", "max-leases", "100")
    moved = watched.moves(("CACHE.SET", "a", "v", "TOKEN", "12345"), ("CACHE.SET", "a", "v", "VERSION", "5"), ("CACHE.SET", "a", "v", "VERSION", "5"))
    assert moved[refused("fill", "token")] == 1 and moved[refused("fill", "version")] == 1
    token = call("CACHE.GET", "t", "LEASE", "10000")[2]
    call("CACHE.PURGE", "TAGS", "1", "red")
    assert watched.moves(("CACHE.SET", "t", "v", "TOKEN", token, "TAGS", "1", "red"))[refused("fill", "tag")] == 1
    call("CACHE.GET", "w", "LEASE", "10000")
    call("CONFIG", "SET", "max-lease-waiters", "0")
    assert watched.moves(("CACHE.GET", "w", "LEASE", "1000", "WAIT", "1000"))[refused("wait", "server")] == 1


def test_how_long_evicted_keys_were_idle(start, tmp_path):
    wall = clock.Clock(tmp_path)
    with contextlib.ExitStack() as stack:
        watched = Watched(start, stack, "--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru", env=wall.environment())
        watched.client.call("SET", "old", "v" * 100)
        watched.client.pipeline([("SET", f"k{i}", "v" * 1000) for i in range(1000)])
        wall.step(7200)
        watched.client.pipeline([("SET", f"l{i}", "v" * 1000) for i in range(8000)])
        scrape = watched.scrape()
        assert scrape["eviction_idle_seconds_count"] > 1000
        assert scrape["eviction_idle_seconds_count"] - scrape['eviction_idle_seconds_bucket{le="4096"}'] > 100


def test_the_change_of_a_setting_is_told(watched):
    before = watched.scrape()
    assert before["config_last_change_timestamp_seconds"] == before["start_time_seconds"]
    watched.client.call("CONFIG", "SET", "hz", "20")
    now = float(watched.client.call("TIME")[0])
    assert now - 60 < watched.scrape()["config_last_change_timestamp_seconds"] <= now


def test_a_scrape_holds_locks_within_their_budget(start):
    port = servers.free_port()
    server = start("--admin-port", port, "--lock-accounting", "yes", "--threads", 1)
    with server.connect() as client:
        for first in range(0, 20_000, 500):
            client.call("MSET", *(word for n in range(first, first + 500) for word in (f"key:{n}", "v" * 100)))
        for n in range(250):
            client.call("CACHE.POLICY", "SET", f"policy-{n}", "match", f"of-policy-{n}:*")
        client.call("CONFIG", "RESETSTAT")
        for _ in range(3):
            Scrape(port)
        locks = client.call("INFO", "locks").decode()
    holds = {name: {field: int(number) for field, number in re.findall(r"(\w+)=(\d+)", fields)} for name, fields in re.findall(r"lock_work_([^:]+):(\S+)", locks)}
    assert holds["other"]["holds"] > 3  # what the scrapes have locked
    assert all(one["over_budget"] == 0 for one in holds.values()), locks


def test_scrapes_while_others_work(watched):
    done = threading.Event()

    def work():
        with watched.server.connect() as client:
            while not done.is_set():
                client.call("SET", "k", "v")
                client.call("FLUSHALL")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        counts = [watched.scrape()["commands_processed_total"] for _ in range(20)]
    finally:
        done.set()
        thread.join()
    assert counts == sorted(counts)


def test_info_in_a_transaction_waits_for_nobody_who_waits_for_it(watched):
    """EXEC has all shards locked for INFO, and a change of policies waits for shards."""
    watched.client.call("CACHE.POLICY", "SET", "p", "match", "p:*")
    done = threading.Event()

    def change():
        with watched.server.connect() as client:
            while not done.is_set():
                assert client.call("CACHE.POLICY", "SET", "p", "ttl", "5m") == "OK"

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            watched.client.call("MULTI")
            watched.client.call("SET", "k", "v")
            watched.client.call("INFO", "policies")
            assert b"policy0:name=p," in watched.client.call("EXEC")[1]
    finally:
        done.set()
        thread.join()
