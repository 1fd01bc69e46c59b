"""The scenarios of stalls make happen what they say, and the tables judge right."""

import copy
import json

import pytest
import scenarios
import stalls
from context import Context
from load import InvalidRun
from scenarios import Rates, Rig, Scenario
from servers import Redis, Setup
from support import LOAD, run_bench


@pytest.fixture
def rig():
    context = Context(["redis"], LOAD, "", scale=0.0004, quiet=True)
    with Redis(Setup(memory_mb=256, policy="allkeys-lru")) as server:
        found = Rig(context, server, Rates(gets=10_000, sets=20_000))
        found.keys = 2000
        yield found


def nothing():
    pass


def count(server):
    return int(server.ask(b"DBSIZE\r\n")[1:])


def test_rates_are_measured_on_a_full_server(rig):
    rig.measure_rates()
    assert count(rig.server) == rig.keys == 2000
    assert rig.rates.gets > 0 and rig.rates.sets > 0


def test_a_window_asks_for_half_of_what_the_server_can_do(rig):
    rig.fill(0, rig.keys)
    reads, mixed = rig.window("reads", 1), rig.window("mixed", 1, "overwrite")
    assert (reads["load"], reads["requests"], reads["stored"]) == ("reads", 5000, 0)
    assert (mixed["load"], mixed["requests"], mixed["stored"]) == ("mixed", 1000, 8000)


def test_growth_fills_an_empty_server(rig):
    found = scenarios.growth(rig, nothing)
    assert found["stored"] == count(rig.server) and found["stored"] == pytest.approx(rig.keys, abs=16)


def test_growth_that_takes_too_long_is_cut_and_the_dataset_completed(rig, monkeypatch):
    monkeypatch.setattr(scenarios, "LONGEST_GROWTH_SECONDS", 0.1)
    found = scenarios.growth(rig, nothing)
    assert found["stored"] == 800 and count(rig.server) == rig.keys
    monkeypatch.setattr(scenarios, "LONGEST_GROWTH_SECONDS", 0.01)
    with pytest.raises(InvalidRun, match="only"):
        scenarios.growth(rig, nothing)


def test_compaction_deletes_and_resizes_and_later_windows_know(rig):
    rig.fill(0, rig.keys)
    found = scenarios.compaction(rig, nothing)
    assert found["deleted"] > 0 and found["stored"] > found["deleted"]
    assert rig.any_length and scenarios.quiet_reads(rig, nothing)["hits"] > 0


def test_keys_expire_while_they_are_asked_for(rig):
    rig.fill(0, rig.keys)
    before = []
    found = scenarios.expiry(rig, lambda: before.append(count(rig.server)))
    assert before == [rig.keys + 400]
    assert 0 < found["misses"] < found["requests"] / 2


def test_keys_that_do_not_expire_are_noticed(rig, monkeypatch):
    rig.fill(0, rig.keys)
    monkeypatch.setattr(rig, "fill", lambda first, keys, expire_at: Rig.fill(rig, first, keys))
    with pytest.raises(InvalidRun, match="did not expire"):
        scenarios.expiry(rig, nothing)


def test_a_large_value_is_there_before_and_gone_after(rig):
    rig.fill(0, rig.keys)
    length = []
    scenarios.large_delete(rig, lambda: length.append(rig.server.ask(b"STRLEN large\r\n")))
    assert length == [b":214748\r\n"]
    assert rig.server.ask(b"EXISTS large\r\n") == b":0\r\n"


def test_a_flush_empties_the_server_within_the_window(rig):
    rig.fill(0, rig.keys)
    found = scenarios.flush(rig, nothing)
    assert count(rig.server) == 0 and found["hits"] > 0 and found["misses"] > 0


def test_halving_the_memory_limits_it_and_then_inserts_evict(rig):
    rig.keys = 50_000
    rig.fill(0, rig.keys)
    found = scenarios.halve(rig, nothing)
    assert found["used_after_bytes"] < 1.2 * found["limit_bytes"]
    assert count(rig.server) < rig.keys * 0.8
    rig.rates = Rates(10_000, 100_000)
    found = scenarios.churn(rig, nothing)
    assert found["evicted"] > found["stored"] / 2 > 0


def test_churn_without_evictions_is_no_churn(rig):
    rig.fill(0, rig.keys)
    with pytest.raises(InvalidRun, match="0 evictions"):
        scenarios.churn(rig, nothing)


def test_an_event_that_the_server_refuses_makes_the_window_invalid(rig):
    rig.fill(0, rig.keys)
    with pytest.raises(InvalidRun, match="NOCOMMAND"):
        rig.window("w", 0.4, event=lambda: rig.server.order(b"NOCOMMAND\r\n"))


def window(scenario, server, p999, control=False, load="reads", late=10, number=0):
    times = {"p50": 1, "p99": 2, "p99.9": p999, "max": p999 + 1}
    return {"scenario": scenario, "server": server, "control": control, "load": load, "round": number, "seconds": 2, "requests": 100,
            "stored": 0, "deleted": 0, "refused": 0, "latency_us": times, "late_us": {**times, "p99.9": late}}


CONTEXT = Context(["pinfold"], "", "")


def test_the_least_of_several_rounds_is_compared_with_the_least_quiet_window():
    data = [window("quiet", "pinfold", 100, True), window("FLUSHALL", "pinfold", 390),
            window("quiet", "pinfold", 300, True, number=1), window("FLUSHALL", "pinfold", 250, number=1),
            window("FLUSHALL", "redis-server", 5)]
    cells = {row[1]: row[9] for row in stalls.report(CONTEXT, data, []).table.rows}
    assert cells == {"pinfold": "2.5 (250 / 100)", "redis-server": ""}


def test_a_window_is_compared_with_the_quiet_ones_of_the_same_server_and_load():
    data = [window("quiet", "pinfold", 100, True), window("quiet", "pinfold", 300, True),
            window("quiet, with writes", "pinfold", 10_000, True, "mixed"), window("quiet", "redis-server", 9, True),
            window("FLUSHALL", "pinfold", 390), window("FLUSHALL", "redis-server", 900),
            window("index growth", "pinfold", 20_100, load="mixed")]
    found = stalls.report(CONTEXT, copy.deepcopy(data), [])
    ratios = {(run["scenario"], run["server"]): run["ratio"] for run in found.data if not run["control"]}
    assert ratios == {("FLUSHALL", "pinfold"): 1.95, ("FLUSHALL", "redis-server"): 100,
                      ("index growth", "pinfold"): 2.01}
    verdicts = {(row[0], row[1]): row[8] for row in found.table.rows}
    assert verdicts == {("FLUSHALL", "pinfold"): "<= 2.0 met", ("FLUSHALL", "redis-server"): "",
                        ("index growth", "pinfold"): "<= 2.0 missed"}
    assert [row[6] for row in found.table.rows if row[1] == "pinfold"] == ["100 - 300", "10,000 - 10,000"]
    data[1]["late_us"]["p99.9"] = 5000
    assert stalls.report(CONTEXT, data, []).table.rows[0][8] == "<= 2.0 met, noisy"


def test_rounds_are_compared_with_their_own_quiet_windows_and_the_median_counts():
    data = []
    for number, (quiet, busy) in enumerate([(100, 150), (1000, 9000), (10, 30)]):
        data += [window("quiet", "pinfold", quiet, True, number=number), window("FLUSHALL", "pinfold", busy, number=number)]
    row = stalls.report(CONTEXT, data, []).table.rows[0]
    assert (row[4], row[6], row[7], row[8]) == ("150", "10 - 1,000", "3.0", "<= 2.0 missed")


def test_locks_are_judged_by_the_clock_and_unknown_ones_not_at_all():
    def hold(scenario, wall, cpu, control=False):
        return {"scenario": scenario, "control": control, "wall_us": wall, "cpu_us": cpu, "holds": wall and 50, "long_holds": wall and 2,
                "wait_us": wall and 12, "waits": wall and 6, "slept": wall and 1}

    found = stalls.lock_report([hold("a", 1000, 900), hold("a", 7000, 10), hold("a", 900, 20), hold("b", 1001, 4),
                                hold("quiet", 5000, 40, True), hold("c", None, None)], [])
    assert [row[1:] for row in found.table.rows] == \
        [["1,000", "20", "10", "6 of 150", "12", "3 of 18", "<= 1,000 met"],
         ["1,001", "4", "4", "2 of 50", "12", "1 of 6", "<= 1,000 missed"],
         ["5,000", "40", "40", "2 of 50", "12", "1 of 6", ""], ["n/a"] * 6 + ["<= 1,000"]]


class TimedRedis(Redis):
    """Redis with the statistics of a Pinfold that times its locks."""

    name = "pinfold"

    def ask(self, request, timeout=2):
        if b"lock-timing" in request:
            return b"*2\r\n$11\r\nlock-timing\r\n$3\r\nyes\r\n"
        return super().ask(request, timeout)

    def statistic(self, name):
        ours = {"shard_lock_longest_us": 70, "shard_lock_longest_cpu_us": 50, "shard_lock_holds": 9, "shard_lock_holds_over_1ms": 1,
                "shard_lock_longest_wait_us": 30, "shard_lock_waits": 5, "shard_lock_waits_slept": 2}
        return ours.get(name) or super().statistic(name)


def test_lock_times_are_read_for_every_scenario_on_servers_told_to_take_them(monkeypatch):
    started = []

    def start(context, kind, **more):
        started.append(more.get("pinfold_options"))
        return TimedRedis(Setup(memory_mb=256, policy="allkeys-lru"), "redis-server")

    monkeypatch.setattr(stalls, "_start", start)
    monkeypatch.setattr(stalls, "ON_FILLED", [Scenario("quiet", scenarios.quiet_reads, control=True)])
    monkeypatch.setattr(stalls, "ON_EMPTY", [Scenario("growth", scenarios.growth), Scenario("flush", scenarios.flush)])
    context, data, failures = Context(["pinfold"], LOAD, "", scale=0.0004, quiet=True), [], []
    stalls._locks(context, Rates(10_000, 500_000), data, failures)
    assert not failures and started == [None] + [("--lock-timing", "yes")] * 2
    assert data == [{"scenario": name, "control": name == "quiet", "wall_us": 70, "cpu_us": 50, "holds": 9, "long_holds": 1,
                     "wait_us": 30, "waits": 5, "slept": 2} for name in ("quiet", "growth", "flush")]


def test_bench_stalls_measures_every_scenario_of_each_server(tmp_path):
    done = run_bench("stalls", "--scale", 0.001, "--rounds", 2, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    names = {server: [row["scenario"] for row in found["stalls"]["results"] if row["server"] == server and row["round"] == 0]
             for server in ("pinfold", "redis-server", "memcached")}
    assert sorted(names["pinfold"]) == sorted(names["redis-server"]) and len(names["pinfold"]) == 11
    assert set(names["pinfold"]) - set(names["memcached"]) == {"DEL of 512 MB"}
    assert sum(row["round"] == 1 for row in found["stalls"]["results"]) == 11
    assert len(found["locks"]["results"]) == 22
