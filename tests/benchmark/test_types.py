"""The benchmark of collections: that it makes what it says, and that its table judges right."""

import json

import pytest
import typed
from context import Context
from herd import Client
from load import InvalidRun
from servers import Redis, Setup
from support import FakeServer, run_bench
from tls import Measured


def test_bench_types_measures_every_figure(tmp_path):
    done = run_bench("types", "--part", "requests,memory,ranges", "--servers", "redis", "--scale", 0.01, "--rounds", 1, "--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["types"]["results"]
    figures = {row["figure"]: row for row in rows if row["server"] == "redis-server"}
    assert {f"{work.name} p{pipeline}" for work in typed.WORKLOADS for pipeline in (1, 16)} <= set(figures)
    assert {case.name for case in typed.CASES} | {"ZRANK of 1 M p16", "ZRANGE of all"} <= set(figures)
    assert all(row["value"] > 0 for name, row in figures.items() if name not in {case.name for case in typed.CASES})
    assert "ZRANGE(10) p16, CPU us" in (tmp_path / "out.md").read_text()


def test_bench_types_has_a_part_for_stalls(tmp_path):
    done = run_bench("types", "--part", "stalls", "--servers", "redis", "--scale", 0.002, "--rounds", 1, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["types-stalls"]["results"]
    assert {row["scenario"] for row in rows} == {scenario.name for scenario in typed.SCENARIOS}


def test_bench_types_refuses_a_part_that_there_is_not():
    assert run_bench("types", "--part", "requests,nosuch").returncode == 2
    assert run_bench("cpu", "--part", "memory").returncode == 2


@pytest.fixture(scope="module")
def server():
    with Redis(Setup(memory_mb=256)) as running:
        typed._send_all(running, typed._dataset())
        yield running


@pytest.mark.parametrize("workload", typed.WORKLOADS, ids=lambda workload: workload.name)
def test_each_request_is_answered_in_as_many_lines(server, workload):
    with typed.Crowd(server, 3) as crowd:
        typed._call(crowd, workload, 0, 480, 16)
        typed._call(crowd, workload, 480, 3, 1)


def test_the_dataset_is_what_the_notes_say(server):
    with Client(server) as client:
        assert client.call("HLEN", "hash:999") == 10
        assert all(client.call(command, key) >= typed.MEMBERS - 20 for command, key in (("SCARD", "set:99"), ("ZCARD", "zset:99"), ("LLEN", "list:99")))
        ranks = {typed._present(n) for n in range(0, typed.MEMBERS * typed.COLLECTIONS)}
        assert ranks == set(map(typed._member, range(typed.MEMBERS)))


@pytest.mark.parametrize("case", typed.CASES, ids=lambda case: case.name)
def test_a_case_has_as_many_elements(case):
    counted = 0
    for command, _, *arguments in case.requests(5000):
        counted += len(arguments) // (2 if command in (b"HSET", b"ZADD") else 1)
    assert counted == 5000


def test_a_range_is_read_whole(server):
    typed._send_all(server, typed._batches(b"ZADD", b"zset", 2500, lambda n: (n, typed._member(n))))
    typed._iterate(server, 2500, 2)
    with pytest.raises(InvalidRun):
        typed._iterate(server, 2499, 2)


def test_an_error_is_no_figure(server):
    with pytest.raises(InvalidRun, match="WRONGTYPE"):
        typed._send_all(server, [(b"SADD", b"list:0", b"x")])
    with FakeServer(None) as fake:
        failures = []
        typed._try(failures, lambda: typed._send_all(fake, [(b"SADD", b"k", b"x")]))
        assert len(failures) == 1 and typed.report(Context(["pinfold"], "", ""), Measured(), failures).failures == failures


def test_figures_are_judged_against_redis_within_each_round():
    measured = Measured()
    for figure, ours, theirs in (
        ("HSET p16", [60, 10, 70], [100, 100, 100]), ("HSET p1", [91], [100]), ("ZRANGE of all", [15], [100]), ("ZRANK of 1 M p16", [41], [100]),
        ("set of 1 M, 16 B", [75], [100]), ("1 M keys, each a hash of 5 fields of 10 + 20 B", [61], [100]),
    ):  # fmt: skip
        for server, values in ((typed.OURS, ours), (typed.THEIRS, theirs)):
            for number, value in enumerate(values):
                measured.add(figure, server, number, value)
    found = {row[0]: row[-1] for row in typed.report(Context(["pinfold", "redis"], "", ""), measured, []).table.rows}
    assert found == {
        "HSET p16, CPU us": "<= 0.65 met", "HSET p1, CPU us": "<= 0.9 missed", "sorted set of 1 M: ZRANGE of all, CPU ns per element": "<= 0.15 met",
        "sorted set of 1 M: ZRANK p16, CPU us": "<= 0.4 missed", "set of 1 M, 16 B, B per element": "<= 0.75 met",
        "1 M keys, each a hash of 5 fields of 10 + 20 B, B per element": "<= 0.6 missed",
    }  # fmt: skip
