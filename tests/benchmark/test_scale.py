"""The benchmark of two threads: that it runs every load, and that its table judges right."""

import json
import os

import scale
from support import LOAD, run_bench


def run_of(number, threads, per_second, cpu_ns, sleeps=0, keys="uniform"):
    return {"keys": keys, "writes": 0, "batch": 16, "round": number, "threads": threads, "requests": 1_000_000,
            "per_second": per_second, "cpu_ns": cpu_ns, "sleeps": sleeps}


def test_ratios_are_taken_within_each_round():
    runs = [run_of(0, 1, 100, 10), run_of(0, 2, 160, 12), run_of(1, 1, 50, 20), run_of(1, 2, 60, 20, 4),
            run_of(2, 1, 200, 10), run_of(2, 2, 390, 10, 9)]
    (row,) = scale.report(runs, []).data
    assert row["ratio"] == 1.6 and row["cpu_ratio"] == 2.0
    assert row["one_per_second"] == 100 and row["sleeps_per_million"] == 4


def test_uniform_and_zipf_have_a_target_and_others_have_none():
    def verdict(keys, two):
        return scale.report([run_of(0, 1, 100, 10, keys=keys), run_of(0, 2, two, 10, keys=keys)], []).table.rows[0][-1]

    assert verdict("uniform", 150) == ">= 1.5 met" and verdict("zipf 0.99", 149) == ">= 1.5 missed"
    assert verdict("one key", 149) == verdict("independent", 190) == ""


def test_bench_scale_runs_every_load(tmp_path):
    assert os.path.exists(os.path.join(os.path.dirname(LOAD), "pinfold-scale"))
    done = run_bench("scale", "--scale", 0.02, "--rounds", 1, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["scale"]["results"]
    loads = [(row["keys"], row["writes"], row["batch"]) for row in rows]
    assert loads == [("independent", 0, 1)] + [(keys, writes, batch) for keys in ("uniform", "zipf 0.99", "one key")
                                               for writes in (0, 10, 50) for batch in (1, 16)]
    assert all(row["one_per_second"] > 0 and row["two_per_second"] > 0 for row in rows)
