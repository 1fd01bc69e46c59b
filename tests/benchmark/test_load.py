"""The generator's paced load, values of many lengths, writes and replay in batches."""

import subprocess
import time

import pytest
from servers import Memcached, Redis, Setup
from support import LOAD, FakeServer, load, write_trace


def number(server, command):
    return int(server.ask(f"{command}\r\n".encode())[1:])


def test_paced_sends_what_the_rate_asks_for_and_no_more(server):
    load("fill", server, keys=100, value=10)
    status, got = load("paced", server, keys=100, value=10, rate=2000, duration_ms=500, connections=7, pid=server.pid)
    assert status == 0 and got["requests"] == got["hits"] == 1000
    assert got["stored"] == got["deleted"] == 0
    assert got["server_cpu_seconds"] >= 0 and got["late_us"]["max"] >= got["late_us"]["p50"]


def test_paced_charges_a_stall_to_every_request_that_was_due_meanwhile():
    with FakeServer(b"$5\r\nabcde\r\n", pause=0.5) as server:
        _, got = load("paced", server, value=5, rate=1000, duration_ms=1000)
    # The schedule went on: nothing was left out, and half of the requests fell into the pause.
    assert got["requests"] == 1000
    assert got["latency_us"]["max"] >= 490_000
    assert got["latency_us"]["p99"] >= 450_000


def test_a_miss_invalidates_a_paced_run_unless_it_may_happen(server):
    load("fill", server, keys=50, value=10)
    options = {"keys": 100, "value": 10, "rate": 1000, "duration_ms": 300}
    status, got = load("paced", server, **options)
    assert status == 2 and got["hits"] + got["misses"] == 300 and 0 < got["misses"] < 300
    assert load("paced", server, may_miss=True, **options)[0] == 0


def test_paced_notices_wrong_values_and_a_closed_connection():
    for reply in (b"$4\r\nabcd\r\n", b"$5\r\nabcde\r\n", b"-ERR no\r\n", None):
        with FakeServer(reply) as server:
            status, got = load("paced", server, value=5, rate=100, duration_ms=100, may_miss=True)
        assert status == 2 and not got["valid"]


def test_inserts_write_new_keys_at_their_own_rate(redis):
    load("fill", redis, keys=100, value=20, value_most=40)
    status, got = load("paced", redis, keys=100, value=20, value_most=40, rate=100, duration_ms=500, writes="insert",
                       write_rate=8000, first_write=1000, pipeline=16)
    assert status == 0 and got["stored"] == 4000 and got["requests"] == 50
    assert number(redis, "DBSIZE") == 4100
    assert number(redis, "EXISTS key:000000001000") == number(redis, "EXISTS key:000000004999") == 1
    # What was inserted is what a fill would have written.
    assert load("get", redis, first=1000, keys=4000, value=20, value_most=40, requests=3000)[0] == 0


def test_overwrites_leave_every_value_as_it_was(server):
    sizes = {"keys": 200, "value": 20, "value_most": 40}
    load("fill", server, **sizes)
    status, got = load("paced", server, rate=100, duration_ms=300, writes="overwrite", write_rate=10_000, pipeline=8,
                       **sizes)
    assert status == 0 and got["stored"] == 3000
    assert load("get", server, requests=2000, **sizes)[0] == 0


def test_resizing_changes_lengths_and_deletes_and_stays_within_the_bounds(server):
    sizes = {"keys": 200, "value": 20, "value_most": 40}
    load("fill", server, **sizes)
    status, got = load("paced", server, rate=1000, duration_ms=400, writes="resize", write_rate=10_000, pipeline=8,
                       may_miss=True, **sizes)
    assert status == 0 and got["stored"] + got["deleted"] == 4000
    assert 700 < got["deleted"] < 1300
    status, got = load("get", server, requests=2000, may_miss=True, **sizes)
    assert status == 2 and got["wrong"] > 1000 and "length" in got["problem"]
    assert load("get", server, requests=2000, may_miss=True, any_length=True, **sizes)[0] == 0
    assert load("get", server, requests=2000, may_miss=True, any_length=True, keys=200, value=20, value_most=25)[0] == 2


def test_lengths_vary_by_key_between_both_bounds_and_small_ones_are_as_frequent_as_large_ones(redis):
    load("fill", redis, keys=1000, value=10, value_most=1000)
    lengths = [number(redis, f"STRLEN key:{n:012d}") for n in range(1000)]
    assert 10 <= min(lengths) < 15 and 900 < max(lengths) <= 1000
    # Halfway on a logarithmic scale is 100.
    assert 400 < sum(length < 100 for length in lengths) < 600
    assert load("get", redis, keys=1000, value=10, value_most=1000, requests=3000)[0] == 0
    assert load("get", redis, keys=1000, value=11, value_most=1000, requests=3000)[0] == 2


def test_keys_expire_at_the_moment_given(redis):
    moment = int(time.time()) + 1000
    load("fill", redis, first=500, keys=10, value=5, expire_at=moment)
    assert number(redis, "EXPIRETIME key:000000000509") == moment
    assert number(redis, "EXISTS key:000000000499") == 0


def test_keys_of_memcached_expire_at_the_moment_given():
    with Memcached(Setup(memory_mb=64)) as server:
        load("fill", server, keys=10, value=5, expire_at=int(time.time()) - 10)
        load("fill", server, first=10, keys=10, value=5, expire_at=int(time.time()) + 1000)
        _, got = load("get", server, keys=20, value=5, requests=500, may_miss=True)
        assert 0 < got["hits"] < 500
        assert load("get", server, first=10, keys=10, value=5, requests=100)[0] == 0


def test_refused_sets_are_allowed_where_they_may_happen():
    with Redis(Setup(memory_mb=3, policy="noeviction")) as server:
        status, got = load("set", server, keys=20_000, value=1000, requests=20_000, may_refuse=True)
    assert status == 0 and got["refused"] > 0 and got["stored"] > 0


@pytest.mark.parametrize("arguments", [("paced",), ("get", "--value", "9", "--value-most", "8"),
                                       ("paced", "--rate", "9", "--writes", "insert"),
                                       ("paced", "--rate", "9", "--writes", "some", "--write-rate", "9"),
                                       ("fill", "--value", "0", "--value-most", "8"), ("fill", "--expire-at", "5")])
def test_options_without_sense_are_refused(arguments):
    done = subprocess.run([LOAD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and not done.stdout and done.stderr.startswith(b"pinfold-load: ")


@pytest.mark.parametrize("pipeline", [2, 16, 1000])
def test_a_replay_in_batches_counts_like_one_request_by_request(server, tmp_path, pipeline):
    lines = [(str(n * n % 97), 50 + n * n % 97) for n in range(2000)]
    trace = write_trace(tmp_path / "t", lines)
    status, one = load("replay", server, trace=trace)
    assert status == 0
    for n in range(97):
        server.ask((f"DEL key:{n}" if server.protocol == "resp" else f"delete key:{n}").encode() + b"\r\n")
    status, many = load("replay", server, trace=trace, pipeline=pipeline, protocol=server.pipelined_get_protocol)
    assert status == 0
    for counter in ("requests", "hits", "misses", "stored", "bytes_hit", "bytes_miss"):
        assert many[counter] == one[counter], counter
    assert 0 < one["misses"] < 97


def test_a_replay_in_batches_notices_a_reply_too_many(tmp_path):
    trace = write_trace(tmp_path / "t", [(str(n), 5) for n in range(8)])
    with FakeServer(b"$-1\r\n+OK\r\n") as server:
        status, got = load("replay", server, trace=trace, pipeline=4)
    assert status == 2 and not got["valid"]
