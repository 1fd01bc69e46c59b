"""INFO, COMMAND, and what monitoring and clients read of a server."""

import re

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info


def test_info_says_which_redis_it_is_compatible_with(client):
    fields = info(client)
    if not is_redis():
        assert fields["redis_version"] == "7.2.4"
        assert re.fullmatch(r"\d+\.\d+\.\d+", fields["pinfold_version"])
    assert fields["redis_mode"] == "standalone" and fields["role"] == "master"


@pytest.mark.parametrize(
    "section, names",
    [
        ("server", ["redis_version", "redis_mode", "os", "arch_bits", "process_id", "run_id", "tcp_port", "uptime_in_seconds", "uptime_in_days", "config_file"]),
        ("clients", ["connected_clients", "maxclients", "blocked_clients", "client_recent_max_input_buffer"]),
        ("memory", ["used_memory", "used_memory_human", "used_memory_rss", "used_memory_peak", "maxmemory", "maxmemory_human", "maxmemory_policy", "mem_fragmentation_ratio", "mem_allocator"]),
        ("persistence", ["loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress", "rdb_last_save_time", "aof_enabled"]),
        ("stats", ["total_connections_received", "total_commands_processed", "instantaneous_ops_per_sec", "total_net_input_bytes", "total_net_output_bytes", "rejected_connections", "expired_keys", "evicted_keys", "keyspace_hits", "keyspace_misses", "total_error_replies"]),
        ("replication", ["role", "connected_slaves", "master_replid", "master_repl_offset"]),
        ("cpu", ["used_cpu_sys", "used_cpu_user"]),
        ("cluster", ["cluster_enabled"]),
    ],
)  # fmt: skip
def test_info_has_the_fields_that_exporters_read(client, section, names):
    fields = info(client, section)
    missing = [name for name in names if name not in fields]
    assert not missing
    text = client.call("INFO", section).decode()
    assert text.startswith(f"# {'CPU' if section == 'cpu' else section.capitalize()}\r\n"), text[:40]
    assert len(re.findall(r"^# ", text, re.M)) == 1


def test_info_takes_several_sections_and_ignores_unknown_ones(client):
    text = client.call("INFO", "server", "CLIENTS", "nosuch").decode()
    assert re.findall(r"^# (\w+)", text, re.M) == ["Server", "Clients"]
    assert client.call("INFO", "nosuch") == b""
    assert len(client.call("INFO", "everything")) >= len(client.call("INFO")) - 200


def test_info_counts_commands_and_errors(client):
    client.call("CONFIG", "RESETSTAT")
    for _ in range(7):
        client.call("GET", "none")
    client.call("GET")
    client.call("SET", "k", "v", "BOGUS")
    stats = info(client, "commandstats")
    assert stats["cmdstat_get"].startswith("calls=7,") and "rejected_calls=1" in stats["cmdstat_get"]
    assert "failed_calls=1" in stats["cmdstat_set"]
    errors = info(client, "errorstats")
    assert errors["errorstat_ERR"] == "count=2"


def test_info_keyspace_counts_keys_and_expiries(client):
    client.pipeline([("SET", f"k{i}", "1") for i in range(10)] + [("EXPIRE", f"k{i}", "1000") for i in range(4)])
    assert info(client, "keyspace")["db0"].startswith("keys=10,expires=4,avg_ttl=")


def test_hits_and_misses_are_counted_for_reads_only(client):
    client.call("SET", "k", "v")
    client.call("CONFIG", "RESETSTAT")
    client.call("GET", "k")
    client.call("GET", "none")
    client.call("MGET", "k", "none", "none2")
    client.call("EXISTS", "k")
    fields = info(client, "stats")
    assert (fields["keyspace_hits"], fields["keyspace_misses"]) == ("3", "3")


def test_command_count_list_and_info_agree(client):
    everything = client.call("COMMAND")
    # Redis 7.0 lists subcommands too.
    names = [name for name in client.call("COMMAND", "LIST") if b"|" not in name]
    assert client.call("COMMAND", "COUNT") == len(everything) == len(names)
    assert sorted(entry[0] for entry in everything) == sorted(names)
    entry = client.call("COMMAND", "INFO", "get", "nosuch")
    assert entry[0][0] == b"get" and entry[0][1] == 2 and entry[1] is None


def test_command_docs_describe_every_command(connect):
    client = connect(protocol=3)
    docs = client.call("COMMAND", "DOCS")
    names = {name.decode() for name in client.call("COMMAND", "LIST") if b"|" not in name}
    assert {name.decode() for name in docs} == names
    for name, fields in docs.items():
        assert {b"summary", b"since", b"group", b"complexity"} <= fields.keys() or is_redis(), name
        assert fields[b"summary"], name


def test_every_command_refuses_wrong_arity_and_survives_odd_arguments(connect):
    """Each command and subcommand in the table, with too few and with garbage arguments."""
    client = connect()
    skip = {b"shutdown", b"quit", b"monitor", b"subscribe", b"psubscribe", b"ssubscribe", b"sync", b"psync", b"debug", b"failover", b"replicaof", b"slaveof", b"unsubscribe", b"punsubscribe", b"sunsubscribe"}
    skip |= {b"client|reply", b"client|kill", b"client|pause", b"config|set", b"reset", b"auth", b"cluster|reset", b"wait", b"replconf"}
    odd = [[], [b""], [b"\x00"], [b"-1"], [b"9223372036854775807"], [b"*"], [b"a", b""], [b"a", b"-9223372036854775808"], [b"a", b"b", b"c"], [b"1"] * 5, [b"a"] * 20]
    for entry in client.call("COMMAND"):
        rows = [[entry[0]]] if not entry[9] else [sub[0].split(b"|") for sub in entry[9]]
        for row in rows:
            if b"|".join(row) in skip or row[0] in skip or (is_redis() and b"@blocking" in entry[6]):
                continue
            for args in odd:
                client.send_command(*row, *args)
                client.read_raw()
                client.send_command("COMMAND", "GETKEYS", *row, *args)
                client.read_raw()
            if row[0] == b"multi":
                client.call("DISCARD")
    client.call("DISCARD")
    assert client.call("PING") == "PONG"


def test_small_talk(client):
    now = client.call("TIME")
    assert len(now) == 2 and int(now[0]) > 1_700_000_000 and 0 <= int(now[1]) < 1_000_000
    assert client.call("ROLE") == [b"master", 0, []]
    assert client.call("WAIT", "0", "0") == 0
    assert client.call("LASTSAVE") > 1_700_000_000
    assert isinstance(client.call("LOLWUT"), bytes)


def test_wait_for_replicas_that_do_not_exist_ends(client):
    assert client.call("WAIT", "1", "10") == 0


def test_object_describes_a_key(client):
    client.call("SET", "int", "123")
    client.call("SET", "embstr", "short")
    client.call("SET", "raw", "x" * 100)
    assert [client.call("OBJECT", "ENCODING", k) for k in ("int", "embstr", "raw", "none")] == [b"int", b"embstr", b"raw", None]
    assert client.call("OBJECT", "REFCOUNT", "raw") == 1
    assert client.call("OBJECT", "NOSUCH", "raw") == "ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP."


def test_object_freq_grows_with_use(client):
    client.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
    client.call("SET", "hot", "v")
    client.call("SET", "cold", "v")
    client.pipeline([("GET", "hot")] * 1000)
    hot, cold = client.call("OBJECT", "FREQ", "hot"), client.call("OBJECT", "FREQ", "cold")
    assert hot >= cold and isinstance(hot, int)
    assert client.call("OBJECT", "FREQ", "none") is None


def test_debug_object_and_its_errors(client):
    client.call("SET", "k", "v")
    assert "encoding:embstr" in client.call("DEBUG", "OBJECT", "k")
    assert client.call("DEBUG", "OBJECT", "none") == "ERR no such key"
    assert isinstance(client.call("DEBUG", "NOSUCH"), resp.ErrorReply)


def test_resp3_types_of_replies(connect):
    client = connect(protocol=3)
    client.call("FLUSHALL")
    client.call("SET", "a", "ohmytext")
    client.call("SET", "b", "mynewtext")
    assert client.raw("LCS", "a", "b", "IDX")[:1] == b"%"
    assert client.raw("MGET", "a", "none") == b"*2\r\n$8\r\nohmytext\r\n_\r\n"
    assert client.raw("MEMORY", "STATS")[:1] == b"%"
    assert client.raw("COMMAND", "INFO", "get")[:1] == b"*"
    assert client.raw("COMMAND", "DOCS", "get")[:1] == b"%"
    assert client.raw("CLIENT", "LIST")[:5].startswith(b"=")
    assert client.raw("INCRBYFLOAT", "f", "1.5") == b"$3\r\n1.5\r\n"
    assert client.pipeline([("MULTI",), ("GET", "none"), ("EXEC",)])[-1] == [None]
    client.call("WATCH", "w")
    client.call("SET", "w", "1")
    client.call("MULTI")
    assert client.raw("EXEC") == b"_\r\n"


def test_what_looks_at_all_shards_does_not_wait_for_itself_in_a_transaction(client):
    """EXEC holds the shards of its keys while INFO and the like sum over all of them."""
    client.call("CONFIG", "SET", "timeout", "0")
    client.call("MULTI")
    for command in (["SET", "k", "v"], ["INFO"], ["MEMORY", "STATS"], ["MEMORY", "DOCTOR"], ["DEBUG", "OBJECT", "k"], ["MEMORY", "USAGE", "k"], ["DBSIZE"]):
        assert client.call(*command) == "QUEUED"
    replies = client.call("EXEC")
    assert len(replies) == 7 and replies[0] == "OK" and b"db0:keys=1," in replies[1]
    assert "encoding:embstr" in replies[4] and replies[5] > 0 and replies[6] == 1


def test_instantaneous_rates_follow_the_load(client):
    def rate():
        client.pipeline([("PING",)] * 1000)
        return int(info(client, "stats")["instantaneous_ops_per_sec"]) > 100

    eventually(rate)


@pytest.mark.skipif(is_redis(), reason="as in Redis 7.2, the one for comparison is 7.0")
@pytest.mark.parametrize("line, error", [
    (["ping"], "ERR The command has no key arguments"), (["nosuch"], "ERR Invalid command specified"),
    (["get"], "ERR Invalid number of arguments specified for command"),
])
def test_getkeys_of_a_command_without_arguments(client, line, error):
    for subcommand in ("GETKEYS", "GETKEYSANDFLAGS"):
        assert client.call("COMMAND", subcommand, *line) == error


def test_object_counts_hits_and_misses(client):
    client.call("SET", "k", "v")
    before = {name: int(info(client, "stats")[name]) for name in ("keyspace_hits", "keyspace_misses")}
    assert client.call("OBJECT", "ENCODING", "k") == b"embstr"
    assert client.call("OBJECT", "REFCOUNT", "none") is None
    after = {name: int(info(client, "stats")[name]) for name in before}
    assert after == {"keyspace_hits": before["keyspace_hits"] + 1, "keyspace_misses": before["keyspace_misses"] + 1}


def test_the_allocator_has_no_statistics(client):
    if not is_redis():
        assert client.call("MEMORY", "MALLOC-STATS") == b"Stats not supported for the current allocator"


def test_info_counts_reads_writes_and_rounds(client):
    names = ("total_reads_processed", "total_writes_processed") + (() if is_redis() else ("eventloop_cycles",))
    before = [int(info(client, "stats")[name]) for name in names]
    for _ in range(5):
        client.call("PING")
    after = [int(info(client, "stats")[name]) for name in names]
    assert all(b - a >= 5 for a, b in zip(before, after))
    assert 0 <= int(info(client, "server")["lru_clock"]) < 1 << 24
    assert info(client, "clients")["clients_in_timeout_table"] == "0"


def test_a_password_can_be_any_bytes(start):
    server = start()
    password = bytes(range(256))
    with server.connect() as admin:
        assert admin.call("CONFIG", "SET", "requirepass", password) == "OK"
        with server.connect() as unauthenticated:
            assert unauthenticated.call("PING").startswith("NOAUTH")
            assert unauthenticated.call("AUTH", password[:-1]).startswith("WRONGPASS")
            assert unauthenticated.call("AUTH", password) == "OK"
