"""SLOWLOG and COMMANDLOG: what they note, what they show of it, and what they leave out."""

import threading
import time

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

from .conftest import info, only_pinfold

KB, MB = 1 << 10, 1 << 20
NEVER = 10**12

pinfold_logs = only_pinfold


@pytest.fixture
def log(client):
    """A client of a server that notes nothing yet."""
    settings = {"slowlog-log-slower-than": -1, "slowlog-max-len": 128}
    if not is_redis():
        settings |= {"commandlog-request-larger-than": -1, "commandlog-large-request-max-len": 128}
        settings |= {"commandlog-reply-larger-than": -1, "commandlog-large-reply-max-len": 128, "latency-monitor-threshold": 0}
    configure(client, settings)
    client.call("SLOWLOG", "RESET")
    for kind in () if is_redis() else ("large-request", "large-reply"):
        client.call("COMMANDLOG", "RESET", kind)
    yield client
    configure(client, settings)


def configure(client, settings):
    for name, value in settings.items():
        assert client.call("CONFIG", "SET", name, value) == "OK"


def note_all(client):
    """From the next request of this client on; other threads follow in their next round."""
    configure(client, {"slowlog-log-slower-than": 0})


def commands(entries):
    return [b" ".join(entry[3]) for entry in entries]


def test_a_slow_command_is_noted_with_its_time_and_its_client(log):
    configure(log, {"slowlog-log-slower-than": 10_000})
    log.call("CLIENT", "SETNAME", "sleeper")
    before = time.time()
    log.call("DEBUG", "SLEEP", "0.02")
    log.call("GET", "fast")
    [entry] = log.call("SLOWLOG", "GET")
    identity, at, us, args, address, name = entry
    assert args == [b"DEBUG", b"SLEEP", b"0.02"] and us >= 20_000
    assert before - 1 <= at <= time.time() + 1
    assert address == dict(field.split(b"=", 1) for field in log.call("CLIENT", "INFO").split())[b"addr"] and name == b"sleeper"
    assert log.call("SLOWLOG", "LEN") == 1
    log.call("DEBUG", "SLEEP", "0.02")
    assert log.call("SLOWLOG", "GET", 1)[0][0] == identity + 1


def test_newest_entries_come_first_and_the_count_is_obeyed(log):
    note_all(log)
    for i in range(12):
        log.call("GET", f"k{i}")
    configure(log, {"slowlog-log-slower-than": -1})
    every = log.call("SLOWLOG", "GET", -1)
    gets = [command for command in commands(every) if command.startswith(b"GET")]
    assert gets == [b"GET k%d" % i for i in reversed(range(12))]
    assert len(log.call("SLOWLOG", "GET")) == 10 and log.call("SLOWLOG", "GET", 0) == []
    assert log.call("SLOWLOG", "GET", 3) == every[:3]
    assert log.call("SLOWLOG", "GET", 1000) == every
    assert log.call("SLOWLOG", "RESET") == "OK" and log.call("SLOWLOG", "LEN") == 0
    note_all(log)
    log.call("PING")
    assert log.call("SLOWLOG", "GET", -1)[-1][0] > every[0][0]  # ids go on


@pytest.mark.parametrize("count", ["-2", "x", "", "1.5", str(1 << 64)])
def test_a_wrong_count_is_refused(log, count):
    assert log.call("SLOWLOG", "GET", count) == "ERR count should be greater than or equal to -1"


def test_requests_that_are_wrong_are_refused(log):
    assert log.call("SLOWLOG", "GET", 1, 2) == "ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP."
    assert log.call("SLOWLOG", "NOSUCH") == "ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP."
    assert log.call("SLOWLOG", "LEN", "x") == "ERR wrong number of arguments for 'slowlog|len' command"


def test_a_long_request_is_shortened(log):
    note_all(log)
    log.call("MGET", *[b"k%d" % i for i in range(40)])
    log.call("SET", "long", b"v" * 200)
    shown = {args[0]: args for _, _, _, args, _, _ in log.call("SLOWLOG", "GET", 2)}
    assert shown[b"MGET"] == [b"MGET", *[b"k%d" % i for i in range(30)], b"... (10 more arguments)"]
    assert shown[b"SET"] == [b"SET", b"long", b"v" * 128 + b"... (72 more bytes)"]


@pytest.mark.parametrize("size", [17 * KB, 700 * KB])
def test_an_argument_that_the_store_has_taken_over_is_shown_as_it_was_sent(log, size):
    note_all(log)
    value = bytes(range(32, 127)) * (size // 95 + 1)
    log.pipeline([["SET", "k", value], ["SETRANGE", "k", 0, "changed"], ["APPEND", "k", "more"], ["SETRANGE", "k", 0, value]])
    noted = {(args[0], args[1]): args for _, _, _, args, _, _ in log.call("SLOWLOG", "GET", -1)}
    assert noted[b"SET", b"k"][2].startswith(value[:128] + b"... (")
    assert noted[b"SETRANGE", b"k"] in ([b"SETRANGE", b"k", b"0", value[:128] + b"... (%d more bytes)" % (len(value) - 128)], [b"SETRANGE", b"k", b"0", b"changed"])


def test_the_log_keeps_as_many_as_it_may(log):
    configure(log, {"slowlog-max-len": 3})
    note_all(log)
    for i in range(10):
        log.call("GET", f"k{i}")
    assert log.call("SLOWLOG", "LEN") == 3
    configure(log, {"slowlog-max-len": 0})
    log.call("PING")
    assert log.call("SLOWLOG", "LEN") == 0


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_protocol_does_not_matter(log, connect, protocol):
    note_all(log)
    log.call("GET", "a")
    configure(log, {"slowlog-log-slower-than": -1})
    other = connect(protocol=protocol)
    assert other.call("SLOWLOG", "GET", -1) == log.call("SLOWLOG", "GET", -1)


def test_passwords_are_never_shown(log, connect):
    note_all(log)
    other = connect()
    other.call("AUTH", "someone", "secret-1")
    other.call("HELLO", 2, "AUTH", "default", "secret-2")
    log.call("ACL", "SETUSER", "ada", "on", ">secret-3", "~*", "+get")
    log.call("ACL", "DELUSER", "ada")
    log.call("CONFIG", "SET", "requirepass", "")
    entries = log.call("SLOWLOG", "GET", -1)
    assert b"secret" not in repr(entries).encode()
    auth = next(args for _, _, _, args, _, _ in entries if args[0] == b"AUTH")
    assert auth[1:] == [b"(redacted)"] * 2


def test_commands_of_a_transaction_are_noted_and_exec_is_not(log):
    note_all(log)
    assert log.pipeline([["MULTI"], ["SET", "a", 1], ["GET", "a"], ["EXEC"]])[-1] == ["OK", b"1"]
    noted = commands(log.call("SLOWLOG", "GET", -1))
    assert b"EXEC" not in noted and noted.index(b"GET a") < noted.index(b"SET a 1")
    assert noted.count(b"SET a 1") == 1  # not when it was queued


@pinfold_logs
def test_one_transaction_fills_a_bounded_part_of_the_log(log):
    configure(log, {"slowlog-max-len": 10_000})
    note_all(log)
    log.pipeline([["MULTI"], *[["GET", f"k{i}"] for i in range(500)], ["EXEC"]])
    assert sum(command.startswith(b"GET") for command in commands(log.call("SLOWLOG", "GET", -1))) == 128


@pinfold_logs
def test_what_was_refused_is_not_noted(log):
    note_all(log)
    log.call("GET")
    log.call("NOSUCH")
    assert not any(command.startswith((b"GET", b"NOSUCH")) for command in commands(log.call("SLOWLOG", "GET", -1)))


@pinfold_logs
def test_a_long_command_counts_as_a_whole(log):
    for start in range(0, 200_000, 10_000):
        log.pipeline([["SET", f"key:{i}", ""] for i in range(start, start + 10_000)])
    note_all(log)
    names = log.call("KEYS", "*")
    configure(log, {"slowlog-log-slower-than": -1})
    [entry] = [entry for entry in log.call("SLOWLOG", "GET", -1) if entry[3][0] == b"KEYS"]
    assert entry[3] == [b"KEYS", b"*"] and len(names) == 200_000
    # Steps take a millisecond each: one of them would be much less than the whole.
    totals = dict(field.split("=") for field in info(log, "commandstats")["cmdstat_keys"].split(","))
    assert entry[2] >= 2000 and entry[2] <= int(totals["usec"])
    log.call("FLUSHALL")


@pinfold_logs
def test_waiting_for_a_lock_is_told_apart_from_execution(log, connect):
    """DEBUG SLEEP inside EXEC holds the lock of the key that the transaction names."""
    for _ in range(10):
        configure(log, {"slowlog-log-slower-than": 0, "latency-monitor-threshold": 5})
        log.call("COMMANDLOG", "RESET", "slow")
        holder = connect()
        thread = threading.Thread(target=lambda: holder.pipeline([["MULTI"], ["SET", "held", 1], ["DEBUG", "SLEEP", "0.3"], ["EXEC"]]))
        thread.start()
        others = [connect() for _ in range(8)]  # on both threads
        time.sleep(0.1)
        readers = [threading.Thread(target=other.call, args=("GET", "held")) for other in others]
        for reader in readers:
            reader.start()
        for reader in [*readers, thread]:
            reader.join()
        gets = [entry for entry in log.call("COMMANDLOG", "GET", -1, "slow") if entry[3] == [b"GET", b"held"]]
        waited = [entry for entry in gets if entry[6] > 50_000]
        if waited:
            assert all(entry[2] < entry[6] and entry[7] == 0 for entry in waited)
            assert any(event[0] == b"lock-wait" and event[3] >= 50 for event in log.call("LATENCY", "LATEST"))
            assert all(len(entry) == 6 for entry in log.call("SLOWLOG", "GET", -1))
            return
    pytest.fail("no reader has waited for the lock")


@pinfold_logs
def test_a_command_that_waits_for_a_lease_is_not_slow(log, connect):
    configure(log, {"slowlog-log-slower-than": 50_000})
    holder, waiter = connect(), connect()
    holder.call("CACHE.GET", "k", "LEASE", 60_000)
    waiter.call("CACHE.GET", "k", "WAIT", 200)
    assert log.call("SLOWLOG", "LEN") == 0
    log.call("FLUSHALL")


@pinfold_logs
def test_waiting_for_room_is_told_apart_from_execution(start):
    with start("--maxmemory", "24mb", "--slowlog-log-slower-than", "-1", "--threads", "1").connect() as client:
        for first in range(0, 60_000, 5000):
            client.pipeline([["SET", f"k{i}", b"v" * 400] for i in range(first, first + 5000)])
        configure(client, {"slowlog-max-len": 5000, "slowlog-log-slower-than": 0})
        for i in range(20):
            assert client.call("MSET", *[part for k in range(60) for part in (f"large{k}", b"%d" % i * 10_000)]) == "OK"
        client.call("GET", "k")
        entries = client.call("COMMANDLOG", "GET", -1, "slow")
        rooms = [entry[7] for entry in entries if entry[3][0] == b"MSET"]
        assert len(rooms) == 20 and max(rooms) > 0
        assert [entry[7] for entry in entries if entry[3][0] == b"GET"] == [0]
        waited = int(info(client, "stats")["room_wait_us"])
        assert sum(rooms) <= waited + 1000


# --- large requests and replies ---


@pinfold_logs
def test_large_requests_are_noted_with_their_size(log):
    configure(log, {"commandlog-request-larger-than": MB})
    log.call("SET", "a", b"v" * (MB + 5))
    log.call("SET", "b", b"v" * (MB // 2))
    log.call("MSET", *[part for i in range(600) for part in (f"k{i}", b"v" * 2000)])
    log.pipeline([["SET", f"k{i}", b"v" * 2000] for i in range(600)])
    entries = log.call("COMMANDLOG", "GET", -1, "large-request")
    assert [args[0] for _, _, _, args, _, _ in entries] == [b"MSET", b"SET"]
    sizes = [entry[2] for entry in entries]
    assert sizes[1] == len(resp.encode(["SET", "a", b"v" * (MB + 5)]))
    assert sizes[0] == len(resp.encode(["MSET", *[part for i in range(600) for part in (f"k{i}", b"v" * 2000)]]))
    assert entries[1][3] == [b"SET", b"a", b"v" * 128 + b"... (%d more bytes)" % (MB + 5 - 128)]
    assert log.call("COMMANDLOG", "LEN", "large-request") == 2 and log.call("COMMANDLOG", "LEN", "large-reply") == 0
    assert log.call("COMMANDLOG", "RESET", "large-request") == "OK" and log.call("COMMANDLOG", "LEN", "large-request") == 0
    log.call("FLUSHALL")


@pinfold_logs
def test_a_low_limit_notes_small_requests_too(log):
    configure(log, {"commandlog-request-larger-than": 40})
    eventually(lambda: log.call("GET", "x" * 40) is None and log.call("COMMANDLOG", "LEN", "large-request") > 0)
    log.call("COMMANDLOG", "RESET", "large-request")
    log.pipeline([["GET", "a"], ["GET", "b" * 30], ["GET", "c"], ["GET", "d" * 30]])
    assert [command for command in commands(log.call("COMMANDLOG", "GET", -1, "large-request")) if b"GET " in command] == [b"GET " + b"d" * 30, b"GET " + b"b" * 30]


@pinfold_logs
@pytest.mark.parametrize("size", [2 * KB, 20 * KB, 2 * MB])
def test_large_replies_are_noted_with_their_size(log, size):
    log.call("SET", "large", b"v" * size)
    configure(log, {"commandlog-reply-larger-than": size})
    eventually(lambda: log.call("GET", "large") and log.call("COMMANDLOG", "LEN", "large-reply") > 0)
    log.call("COMMANDLOG", "RESET", "large-reply")
    sizes = [len(log.raw("GET", "large")) for _ in range(3)]
    log.pipeline([["GET", "none"], ["GET", "large"], ["PING"]])
    log.pipeline([["MULTI"], ["GET", "large"], ["GET", "none"], ["EXEC"]])
    entries = log.call("COMMANDLOG", "GET", -1, "large-reply")
    assert [entry[2] for entry in entries] == [*sizes, sizes[0], sizes[0]]
    assert commands(entries) == [b"GET large"] * 5


@pinfold_logs
def test_the_reply_of_a_long_command_counts_as_a_whole(log):
    log.pipeline([["SET", f"key:{i:06}", ""] for i in range(30_000)])
    configure(log, {"commandlog-reply-larger-than": 256 * KB})
    eventually(lambda: log.call("KEYS", "*") and log.call("COMMANDLOG", "LEN", "large-reply") > 0)
    size = len(log.raw("KEYS", "*"))
    entry = log.call("COMMANDLOG", "GET", 1, "large-reply")[0]
    assert entry[2] == size and entry[3] == [b"KEYS", b"*"]
    log.call("FLUSHALL")


@pinfold_logs
@pytest.mark.parametrize("request_", [("GET", 1, "x"), ("LEN", "x"), ("RESET", ""), ("GET", 1, "slower")])
def test_a_wrong_type_is_refused(log, request_):
    assert log.call("COMMANDLOG", *request_) == "ERR type should be one of the following: slow, large-request, large-reply"


@pinfold_logs
def test_commandlog_checks_its_other_arguments(log):
    assert log.call("COMMANDLOG", "GET", -2, "slow") == "ERR count should be greater than or equal to -1"
    assert log.call("COMMANDLOG", "GET", 1) == "ERR wrong number of arguments for 'commandlog|get' command"
    assert log.call("COMMANDLOG", "LEN", "SLOW") == 0
    assert any(b"large-request" in line or b"type" in line for line in map(str.encode, map(str, log.call("COMMANDLOG", "HELP"))))


@pinfold_logs
def test_the_settings_have_the_names_of_valkey_too(log):
    configure(log, {"commandlog-execution-slower-than": 777, "commandlog-slow-execution-max-len": 77})
    assert log.call("CONFIG", "GET", "slowlog-log-slower-than", "slowlog-max-len") == [b"slowlog-log-slower-than", b"777", b"slowlog-max-len", b"77"]
    assert log.call("CONFIG", "GET", "commandlog-execution-slower-than") == [b"commandlog-execution-slower-than", b"777"]


@pinfold_logs
def test_what_the_logs_keep_is_bounded_whatever_their_length_is(log):
    configure(log, {"slowlog-max-len": 10_000, "slowlog-log-slower-than": 0})
    request = ["MGET", *[b"k" * 128] * 31]
    for _ in range(10):
        log.pipeline([request] * 200)
    kept = log.call("SLOWLOG", "LEN")
    size = 32 * 128
    assert 300 < kept < (2 * MB) // size + 50
    assert log.call("SLOWLOG", "GET", 2)[1][3] == [b"MGET", *[b"k" * 128] * 31]


@pinfold_logs
def test_the_logs_are_counted(log):
    log.call("CONFIG", "RESETSTAT")
    configure(log, {"slowlog-log-slower-than": 5000})
    for _ in range(3):
        log.call("DEBUG", "SLEEP", "0.01")
    configure(log, {"slowlog-log-slower-than": -1, "commandlog-request-larger-than": 200_000, "commandlog-reply-larger-than": 200_000})
    time.sleep(0.01)
    log.call("SET", "k", b"v" * 200_000)
    log.call("GET", "k")
    stats = info(log, "stats")
    assert (stats["slow_commands"], stats["large_requests"], stats["large_replies"]) == ("3", "1", "1")
    log.call("CONFIG", "RESETSTAT")
    assert info(log, "stats")["slow_commands"] == "0"


SECRET_REQUESTS = [
    ("COMMAND", "GETKEYS", "AUTH", "pl4nted"),
    ("COMMAND", "GETKEYS", "HELLO", "3", "AUTH", "u", "pl4nted"),
    ("COMMAND", "GETKEYSANDFLAGS", "CONFIG", "SET", "requirepass", "pl4nted"),
    ("COMMAND", "GETKEYS", "ACL", "SETUSER", "x", ">pl4nted"),
    ("COMMAND", "DOCS", "AUTH", "pl4nted"),
    ("COMMAND", "INFO", "AUTH", "pl4nted"),
    ("LATENCY", "HISTOGRAM", "AUTH", "pl4nted"),
    ("ACL", "SETUSR", "x", ">pl4nted"),
    ("CONFIG", "SETT", "requirepass", "pl4nted"),
    ("COMMAND", "GETKEYZ", "AUTH", "pl4nted"),
    ("AUHT", "default", "pl4nted"),
]


@pinfold_logs
def test_passwords_in_requests_that_are_asked_about_or_mistyped_are_shown_nowhere(log, connect):
    monitor = connect()
    assert monitor.call("MONITOR") == "OK"
    configure(log, {"commandlog-request-larger-than": 0, "commandlog-reply-larger-than": 0})
    note_all(log)
    for words in SECRET_REQUESTS:
        log.call(*words)
    log.pipeline([["MULTI"], *SECRET_REQUESTS[:4], ["EXEC"]])
    log.call("PING", "end")
    seen = b""
    while not seen.endswith(b'"end"\r\n'):
        seen += monitor.read_raw()
    assert b"GETKEYS" in seen and b"pl4nted" not in seen
    for kind in ("slow", "large-request", "large-reply"):
        entries = log.call("COMMANDLOG", "GET", -1, kind)
        assert b"GETKEYS" in repr(entries).encode() and b"pl4nted" not in repr(entries).encode(), kind
        assert not any(args[1:2] in ([b"SETUSR"], [b"SETT"], [b"GETKEYZ"]) for _, _, _, args, *_ in entries)


@pinfold_logs
def test_a_user_is_shown_the_requests_whose_keys_it_may_read_and_of_others_the_command(log, connect):
    log.call("ACL", "SETUSER", "operator", "on", "nopass", "%R~seen:*", "%W~*", "+commandlog", "+slowlog")
    configure(log, {"commandlog-request-larger-than": 1000, "commandlog-reply-larger-than": 1000})
    log.call("SET", "seen:1", b"v" * 1000)
    log.call("SET", "hidden:1", b"v" * 1000)
    log.call("GET", "hidden:1")
    log.call("ECHO", b"text" * 1000)
    log.call("GET", b"seen:" + b"k" * 1000)
    configure(log, {"commandlog-request-larger-than": -1, "commandlog-reply-larger-than": -1})
    other = connect()
    other.call("AUTH", "operator", "")
    requests, replies = (commands(other.call("COMMANDLOG", "GET", -1, kind)) for kind in ("large-request", "large-reply"))
    cut = b"v" * 128 + b"... (872 more bytes)"
    assert requests == [b"GET (redacted)", b"ECHO (redacted)", b"SET (redacted)", b"SET seen:1 " + cut]
    assert b"GET (redacted)" in replies and b"ECHO (redacted)" in replies
    assert not any(b"hidden" in command for command in requests + replies)
    log.call("ACL", "SETUSER", "operator", "%R~*")
    assert b"SET hidden:1 " + cut in commands(other.call("COMMANDLOG", "GET", -1, "large-request"))
    log.call("ACL", "DELUSER", "operator")
