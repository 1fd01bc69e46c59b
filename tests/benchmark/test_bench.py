"""The benchmarks' own test: figures are only worth something if the generator counts right and notices a wrong server."""

import json
import os
import signal
import subprocess
import time

import proc
import pytest
import report
import traces
from servers import Memcached, Redis, Setup
from support import BENCH, LOAD, FakeServer, load, run_bench, write_trace

# Repeats, a loop, a key that is a word, and a size that changes while the key is cached.
SIZED = [("1", 10), ("2", 0), ("1", 10), ("word", 5000), ("3", 1), ("2", 0), ("word", 7), ("1", 99), ("4", 100_000),
         ("4", 100_000), ("3", 1)] * 3


def expected(trace, default=0):
    """What a cache that forgets nothing gives: computed the plain way, to compare with the generator."""
    cached, hits, bytes_hit, bytes_miss = {}, 0, 0, 0
    for key, size in trace:
        if key in cached:
            hits += 1
            bytes_hit += cached[key]
        else:
            cached[key] = default if size is None else size
            bytes_miss += cached[key]
    return hits, bytes_hit, bytes_miss


def test_a_replay_counts_the_hits_and_bytes_of_a_trace_with_sizes(server, tmp_path):
    status, result = load("replay", server, trace=write_trace(tmp_path / "t", SIZED), pid=server.pid)
    hits, bytes_hit, bytes_miss = expected(SIZED)
    assert status == 0 and result["valid"]
    assert (result["requests"], result["hits"]) == (len(SIZED), hits)
    assert (result["bytes_hit"], result["bytes_miss"]) == (bytes_hit, bytes_miss)
    assert result["misses"] == result["stored"] == len(SIZED) - hits
    assert result["server_cpu_seconds"] >= 0


def test_a_replay_gives_a_line_without_size_the_default_and_stops_at_the_bound(redis, tmp_path):
    trace = [(str(n % 7), None) for n in range(100)]
    status, result = load("replay", redis, trace=write_trace(tmp_path / "t", trace), value=33, requests=50)
    hits, bytes_hit, bytes_miss = expected(trace[:50], 33)
    assert status == 0
    assert (result["requests"], result["hits"], result["bytes_hit"], result["bytes_miss"]) == \
        (50, hits, bytes_hit, bytes_miss)
    assert redis.ask(b"STRLEN key:6\r\n") == b":33\r\n"


def test_a_replay_reads_standard_input(redis):
    done = subprocess.run([LOAD, "replay", "--quiet", "--port", str(redis.port)], input=b"a 5\nb 5\r\n\na 5",
                          stdout=subprocess.PIPE, timeout=30)
    result = json.loads(done.stdout)
    assert (result["requests"], result["hits"]) == (3, 1)


@pytest.mark.parametrize("line", ["1 x", "1 -4", " 5", "1 2 3", "1 99999999999"])
def test_a_line_that_is_no_request_is_named(redis, line):
    done = subprocess.run([LOAD, "replay", "--port", str(redis.port)], input=f"1 1\n{line}\n".encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and b"line 2" in done.stderr and not done.stdout


def test_refused_values_are_counted_and_do_not_invalidate_a_replay(tmp_path):
    trace = write_trace(tmp_path / "t", [("1", 10), ("big", 2_000_000), ("1", 10), ("big", 2_000_000)])
    with Memcached(Setup(memory_mb=64)) as server:
        status, result = load("replay", server, trace=trace)
    assert status == 0 and result["refused"] == 2 and "too large" in result["refusal"]
    assert (result["hits"], result["misses"]) == (1, 3)


def test_fill_writes_every_key_once_and_get_finds_all(server):
    status, filled = load("fill", server, keys=3000, value=100, pipeline=7, connections=5)
    assert status == 0 and filled["requests"] == filled["stored"] == 3000
    for protocol in {server.protocol, server.pipelined_get_protocol}:
        status, got = load("get", server, keys=3000, value=100, pipeline=16, requests=5000, warmup=100, protocol=protocol,
                           pid=server.pid)
        assert status == 0 and got["hits"] == got["requests"] == 5000
        assert got["bytes_hit"] == 500_000 and got["requests_per_second"] > 0
        assert 0 < got["latency_us"]["p50"] <= got["latency_us"]["p99"] <= got["latency_us"]["p99.9"] \
            <= got["latency_us"]["max"]
        assert 0 < got["server_cpu_us_per_request"] < 1000


def test_fill_counts_are_the_servers(redis):
    load("fill", redis, keys=1234, value=8, ttl=1000)
    assert redis.ask(b"DBSIZE\r\n") == b":1234\r\n"
    assert 990 <= int(redis.ask(b"TTL key:000000000000\r\n")[1:]) <= 1000
    assert redis.ask(b"STRLEN key:000000001233\r\n") == b":8\r\n"


def test_values_larger_than_socket_buffers_pass_both_ways(server):
    assert load("fill", server, keys=20, value=900_000, connections=3, pipeline=4)[0] == 0
    status, got = load("get", server, keys=20, value=900_000, connections=3, pipeline=4, requests=60)
    assert status == 0 and got["hits"] == 60


def test_a_missing_key_makes_a_get_run_invalid(server):
    load("fill", server, keys=100, value=10)
    status, got = load("get", server, keys=200, value=10, requests=1000)
    assert status == 2 and not got["valid"]
    assert got["hits"] + got["misses"] == 1000 and 300 < got["misses"] < 700


@pytest.mark.parametrize("value", [99, 101])
def test_a_value_of_another_length_makes_a_run_invalid(server, value):
    load("fill", server, keys=100, value=100)
    status, got = load("get", server, keys=100, value=value, requests=100)
    assert status == 2 and got["wrong"] == 100 and "length" in got["problem"]


def test_a_value_of_another_content_makes_a_run_invalid(redis):
    load("fill", redis, keys=10, value=5)
    redis.ask(b"SET key:000000000003 wrong\r\n")
    status, got = load("get", redis, keys=10, value=5, requests=1000)
    assert status == 2 and 0 < got["wrong"] < 1000 and "content" in got["problem"]


def test_running_out_of_memory_makes_a_fill_invalid():
    with Redis(Setup(memory_mb=3, policy="noeviction")) as server:
        status, got = load("fill", server, keys=20_000, value=1000)
    assert status == 2 and got["refused"] > 0 and got["refusal"].startswith("-OOM")


BAD_GETS = {
    "an error": (b"-ERR no\r\n", "errors"),
    "a status": (b"+OK\r\n", "errors"),
    "a number": (b":1\r\n", "errors"),
    "a short value": (b"$4\r\nabcd\r\n", "wrong"),
    "other bytes": (b"$5\r\nabcde\r\n", "wrong"),
    "a lie about the length": (b"$4\r\nabcde\r\n", "wrong"),
    "no length": (b"$x\r\n", "wrong"),
    "no protocol": (b"hello\r\n", "wrong"),
    "a reply too many": (b"$5\r\nabcde\r\n" * 2, "wrong"),
    "nothing but the end": (None, None),
    "silence": (b"", None),
    "half a reply": (b"$5\r\nab", None),
}


@pytest.mark.parametrize("mode", ["get", "replay"])
@pytest.mark.parametrize("case", BAD_GETS)
def test_a_bad_reply_to_a_get_makes_a_run_invalid(case, mode, tmp_path):
    reply, counter = BAD_GETS[case]
    trace = write_trace(tmp_path / "t", [("1", 5)] * 3)
    options = {"trace": trace} if mode == "replay" else {"keys": 9, "connections": 2, "pipeline": 2, "requests": 8}
    with FakeServer(reply) as server:
        status, result = load(mode, server, value=5, max_seconds=1, **options)
    assert status == 2 and not result["valid"]
    assert result["problem"]
    if counter:
        assert result[counter] > 0


@pytest.mark.parametrize("reply", [b"-ERR no\r\n", b"+QUEUED\r\n", b"$-1\r\n", b"$2\r\nOK\r\n", b":1\r\n", b"_\r\n"])
def test_a_bad_reply_to_a_set_makes_a_run_invalid(reply):
    with FakeServer(reply) as server:
        status, result = load("set", server, requests=10, value=5)
    assert status == 2 and result["errors"] == 10 and result["stored"] == 0


@pytest.mark.parametrize("reply", [b"ERROR\r\n", b"SERVER_ERROR busy\r\n", b"VALUE other 0 5\r\nabcde\r\nEND\r\n",
                                   b"VALUE key:000000000000 0 4\r\nabcd\r\nEND\r\n", b"STORED\r\n",
                                   b"VALUE key:000000000000 0 5\r\nabcde\r\nMORE\r\n"])
def test_a_bad_reply_of_memcached_makes_a_run_invalid(reply):
    with FakeServer(reply) as server:
        status, result = load("get", server, protocol="memcached", keys=1, requests=10, value=5)
    assert status == 2 and result["errors"] + result["wrong"] > 0


def test_what_a_server_says_is_quoted_as_valid_json():
    with FakeServer(b'-ERR "\\\x01\xff\x7f\r\n') as server:
        _, result = load("get", server, requests=1)
    assert result["problem"] == '-ERR "\\\x01\u00ff\x7f'


def test_no_server_is_an_error_not_a_result():
    done = subprocess.run([LOAD, "get", "--port", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and not done.stdout and b"refused" in done.stderr


def idle(server, connections):
    return subprocess.Popen([LOAD, "idle", "--port", str(server.port), "--connections", str(connections), "--protocol",
                             server.protocol], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_idle_holds_its_connections_until_standard_input_ends(redis):
    holder = idle(redis, 300)
    opened = json.loads(holder.stdout.readline())
    assert opened["valid"] and opened["open"] == 300
    assert redis.ask(b"INFO clients\r\n").count(b"connected_clients:301") == 1
    holder.stdin.write("ask\n")
    holder.stdin.flush()
    asked = json.loads(holder.stdout.readline())
    assert asked["valid"] and asked["requests"] == 300
    holder.communicate(timeout=20)
    assert holder.returncode == 0
    assert b"connected_clients:1\r" in redis.ask(b"INFO clients\r\n")


def test_idle_notices_a_server_that_hangs_up():
    with FakeServer(None) as server:
        holder = idle(server, 5)
        time.sleep(0.3)
        holder.stdout.readline()
        out, _ = holder.communicate("ask\n", timeout=20)
    assert holder.returncode == 2 and not json.loads(out)["valid"]


def test_bench_hits_reports_hits_and_memory_of_each_server(tmp_path):
    trace = write_trace(tmp_path / "tiny.trace.gz", SIZED)
    done = run_bench("hits", trace, "--servers", "redis,memcached", "--mb", 16, "--json", tmp_path / "out.json",
                     "--markdown", tmp_path / "out.md")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    rows = found["hits"]["results"]
    assert [(row["server"], row["policy"]) for row in rows] == \
        [("redis-server", "allkeys-lfu"), ("redis-server", "allkeys-lru"), ("memcached", "")]
    for row in rows:
        assert row["hits"] == expected(SIZED)[0] and row["requests"] == len(SIZED)
        assert row["trace"] == "tiny" and row["sized"] and row["memory_mb"] == 16
        assert row["peak_bytes"] >= row["idle_bytes"] > 1_000_000 and row["samples"] >= 1
    markdown = (tmp_path / "out.md").read_text()
    assert "| tiny | own | 16 | redis-server allkeys-lfu |" in markdown
    assert "redis-server" in found["machine"]["versions"]


def test_bench_reports_a_server_that_cannot_be_started_beside_the_others(tmp_path):
    trace = write_trace(tmp_path / "tiny.trace", SIZED)
    done = run_bench("hits", trace, "--servers", "pinfold,memcached", "--pinfold", "/bin/false")
    assert done.returncode == 1
    assert "FAILED: tiny: pinfold did not start" in done.stdout
    assert "memcached" in done.stdout


@pytest.mark.parametrize("what", ["cpu", "idle", "memory"])
def test_bench_measures_every_server(what, tmp_path):
    done = run_bench(what, "--servers", "redis,memcached", "--scale", 0.005, "--rounds", 1, "--json",
                     tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())[what]["results"]
    assert {row["server"] for row in rows} == {"redis-server", "memcached"}
    assert len(rows) == {"cpu": 8, "idle": 2, "memory": 6}[what]
    if what == "cpu":
        assert all(row["ratio"] == 1 for row in rows if row["server"] == "redis-server")


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_bench_leaves_no_server_behind(sent, tmp_path):
    bench = subprocess.Popen([*BENCH, "memory", "--servers", "redis"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 20
    while len(children := children_of(bench.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(children) == 2, "a server and a load"
    bench.send_signal(sent)
    assert bench.wait(timeout=20) != 0
    deadline = time.monotonic() + 5
    while any(map(running, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(running, children))
    if sent != signal.SIGKILL:
        assert not os.listdir(tmp_path)


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_sampler_sees_a_peak_that_is_gone_at_the_end():
    before = proc.resident(os.getpid())
    with proc.ResidentSampler(os.getpid()) as sampler:
        block = bytearray(os.urandom(1)) * (40 << 20)
        time.sleep(0.15)
        del block
    assert sampler.peak - before > 30 << 20
    assert len(sampler.samples) >= 2


def test_generated_parts_of_the_docs_are_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin cpu -->\nold \\1\n<!-- end cpu -->\nb\n<!-- begin idle -->\n<!-- end idle -->\n")
    report.update_docs(page, "cpu", "new \\1\n")
    report.update_docs(page, "idle", "x\n")
    assert page.read_text() == \
        "a\n<!-- begin cpu -->\nnew \\1\n<!-- end cpu -->\nb\n<!-- begin idle -->\nx\n<!-- end idle -->\n"
    with pytest.raises(ValueError):
        report.update_docs(page, "absent", "x")


def test_published_comparisons_keep_their_settings():
    assert {name: traces.trace_of(f"/x/{name}.trace.gz").memory_mb for name in traces.KNOWN}["oltp"] == 16
    trace = traces.trace_of("web07.trace.gz")
    assert (trace.name, trace.value_bytes, trace.memory_mb) == ("web07", 4000, 16)
    assert traces.trace_of("web07.trace.gz", 0, 32).value_bytes == 0
    assert traces.trace_of("own.trace", None, 32) == traces.Trace("own.trace", 1000, 32)
