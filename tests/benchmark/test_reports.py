"""Churn, eviction and sweep: that they happen, and that their tables judge right."""

import json
from xml.etree import ElementTree

import churn
import evict
import pytest
import report
import sweep
from context import Context
from support import run_bench, write_trace

CONTEXT = Context(["pinfold"], "", "")


def phase(server, name, samples, peak=None, refused=0):
    peak = peak or max(samples)
    return {"server": server, "phase": name, "begun": 0.0, "ended": 1.0, "peak_bytes": peak, "refused": refused,
            "refusal": "no", "samples": [(at / len(samples), size) for at, size in enumerate(samples)],
            "samples_over": sum(size > churn.LIMIT_BYTES for size in samples),
            "within_limit": peak <= churn.LIMIT_BYTES}


def test_the_limit_of_the_churn_is_that_of_the_promise():
    assert churn.LIMIT_BYTES == 128 * 1024 * 1024 * 105 // 100 + 12 * 1024 * 1024


def test_one_sample_or_the_kernels_mark_over_the_limit_is_a_miss():
    most = churn.LIMIT_BYTES
    data = [phase("pinfold", "50 B", [1, most]), phase("pinfold", "20 KB", [1, most + 1, most]),
            phase("pinfold", "300 B", [1, 2], peak=most + 1), phase("redis-server", "50 B", [3 * most], refused=7)]
    found = churn.report(CONTEXT, data, [])
    verdicts = {row[0]: row[-1] for row in found.table.rows}
    assert verdicts["50 B"].endswith(" met")
    assert verdicts["20 KB"].endswith(" missed (1/3 samples over)")
    assert verdicts["300 B"].endswith(" missed (0/2 samples over)")
    assert any("redis-server refused 7 SETs" in note for note in found.notes)


def test_every_phase_of_the_churn_writes_the_memory_several_times_over():
    for phase_ in churn.PHASES:
        values = phase_.value_bytes if phase_.value_bytes == phase_.value_most else 95_000  # the logarithmic mean
        # With 16 B for the key, and as many beyond it.
        assert phase_.requests * (values + 32) > 3 * churn.MEMORY_MB * 2**20, phase_.name


def test_thinning_keeps_every_peak():
    points = [(n, 0) for n in range(1000)]
    points[617] = (617, 9)
    thinned = churn._thinned(points, 100)
    assert len(thinned) == 100 and (617, 9) in thinned
    assert churn._thinned(points[:50], 100) == points[:50]


def test_bench_memory_samples_every_phase_and_plots_them(tmp_path):
    done = run_bench("memory", "--servers", "redis,memcached", "--scale", 0.003, "--json", tmp_path / "out.json",
                     "--plots", tmp_path / "plots", "--markdown", tmp_path / "out.md")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["churn"]["results"]
    assert [(row["server"], row["phase"]) for row in rows] == \
        [(server, phase_.name) for server in ("redis-server", "memcached") for phase_ in churn.PHASES]
    for row in rows:
        assert row["samples"] and row["peak_bytes"] >= max(size for _, size in row["samples"]) > 1_000_000
        assert row["begun"] <= row["samples"][0][0] <= row["ended"]
    root = ElementTree.parse(tmp_path / "plots" / "memory-churn.svg")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    assert "](plots/memory-churn.svg)" in (tmp_path / "out.md").read_text()


def run_of(number, at_limit, cpu, server="pinfold", evicted=0, workload=None):
    return {"round": number, "server": server, "policy": "p", "workload": workload or evict.WORKLOADS[0].name,
            "at_limit": at_limit, "evicted": evicted, "requests": 100, "server_cpu_us_per_request": cpu}


def test_the_ratio_of_eviction_is_taken_within_each_round():
    overwrite = evict.WORKLOADS[0].name + " overwrite"
    data = [run_of(n, False, room) for n, room in ((1, 1.0), (2, 2.0), (3, 4.0))]
    data += [run_of(n, True, limit, evicted=90) for n, limit in ((1, 1.25), (2, 2.7), (3, 4.0))]
    data += [run_of(n, False, 0.5, workload=overwrite) for n in (1, 2, 3)]
    found = evict.report(CONTEXT, data, [])
    (row,) = found.data
    assert row["ratio_rounds"] == [1.25, pytest.approx(1.35), 1.0] and row["ratio"] == 1.25
    assert row["evictions_per_set"] == 0.9 and row["overwrite_cpu_us"] == 0.5
    assert found.table.rows[0][-2] == "<= 1.3 met"
    assert evict.report(CONTEXT, [run for run in data if run["round"] == 2], []).table.rows[0][-2] == "<= 1.3 missed"


def test_bench_cpu_evicts_at_the_limit_and_only_there(tmp_path):
    done = run_bench("cpu", "--servers", "redis", "--scale", 0.005, "--rounds", 1, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["evict"]["results"]
    assert [(row["policy"], row["workload"]) for row in rows] == \
        [(policy, workload.name) for workload in evict.WORKLOADS for policy in ("allkeys-lfu", "allkeys-lru")]
    for row in rows:
        # Evictions with room would have failed the run.
        assert 0.8 < row["evictions_per_set"] < 1.25 and row["ratio"] > 0 and row["overwrite_cpu_us"] > 0


def test_a_sweep_replays_every_setting_and_more_memory_gives_more_hits(tmp_path):
    # A loop over 15 MB: nothing of it lasts in 8 MB under LRU, and all of it in 32.
    trace = write_trace(tmp_path / "loop.trace", [(str(n), 50_000) for n in range(300)] * 4)
    unsized = write_trace(tmp_path / "unsized.trace", [(str(n % 40), None) for n in range(2000)])
    done = run_bench("hits", trace, unsized, "--servers", "redis", "--mb", 32, "--sweep", "1,.25", "--json",
                     tmp_path / "out.json", "--plots", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["sweep"]["results"]
    ratios = {(row["trace"], row["memory_mb"], row["policy"]): row["hit_ratio"] for row in rows}
    assert list(ratios) == [(name, mb, policy) for name in ("loop", "unsized") for mb in (8, 32)
                            for policy in ("allkeys-lfu", "allkeys-lru")]
    assert ratios["loop", 8, "allkeys-lru"] < 0.3
    assert ratios["loop", 32, "allkeys-lru"] == 0.75
    assert all(ratios["unsized", mb, "allkeys-lru"] == 0.98 for mb in (8, 32))
    root = ElementTree.parse(tmp_path / "hit-ratio.svg")
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 4


def test_only_replays_that_bear_it_go_in_batches():
    assert sweep.pipeline_of("allkeys-lfu", False) == sweep.pipeline_of("", False) == sweep.PIPELINE > 1
    assert sweep.pipeline_of("allkeys-lfu", True) == sweep.pipeline_of("allkeys-lru", False) == 1


def test_plots_stand_in_the_markdown_under_their_table(tmp_path):
    table = report.Table(["a"])
    found = report.Report("name", "Title", table, [], ["note"], plots={"one.svg": "<svg/>\n"})
    assert found.markdown("m").endswith("note\n\n![Title](plots/one.svg)\n")
    report.write_plots(tmp_path / "new", [found])
    assert (tmp_path / "new" / "one.svg").read_text() == "<svg/>\n"
