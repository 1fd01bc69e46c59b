"""The lab itself: that its counts are right, and a short run of it over real sockets."""

import asyncio
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from support import PINFOLD

from . import __main__ as lab_program
from . import alerts, fencing, levels, load, metastable

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name, old", [("lock", 3), ("leases", 0)])
def test_a_late_write_gets_past_a_lock_and_not_past_a_lease(context, name, old):
    variant = next(variant for variant in fencing.VARIANTS if variant.name == name)
    found = asyncio.run(fencing.measure(context, variant, fencing.Plan(keys=3)))
    assert (found["slower_old"], found["deleted_old"]) == (old, old)


def test_a_short_run_counts_one_load_per_expiry_with_leases_and_more_without(tmp_path):
    command = [sys.executable, "-m", "tests.lab", "levels", "--levels", "none,leases", "--quick", "--quiet", "--pinfold", PINFOLD,
               "--json", str(tmp_path / "out.json"), "--plots", str(tmp_path / "plots")]
    done = subprocess.run(command, cwd=lab_program.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "out.json").read_text())
    nothing, leases = results["lab-levels"]["results"]
    assert (nothing["level"], leases["level"]) == ("none", "leases")
    assert nothing["requests"] == leases["requests"] > 100
    assert nothing["failed"] == leases["failed"] == 0
    assert leases["hot_loads"] and set(leases["hot_loads"]) == {1}
    assert max(nothing["hot_loads"]) > 1
    assert [found["level"] for found in results["lab-alerts"]["results"]] == ["none", "leases"]
    origin = ElementTree.parse(tmp_path / "plots" / "lab-origin.svg")
    assert len(list(origin.iter(SVG + "polyline"))) == 2 * len(levels.HERDS)
    assert (tmp_path / "plots" / "lab-dashboard.svg").exists()
    assert "leases" in done.stdout


def test_every_level_meets_the_identical_load():
    plan = levels.Plan()
    assert plan.requests() == plan.requests()
    rates = [sum(levels.herd_of(request.name) == herd for request in plan.requests()) / plan.seconds for herd in levels.HERDS]
    assert rates == pytest.approx([plan.hot_rate, plan.group_rate, plan.absent_rate], rel=0.2)
    dues = [request.due for request in plan.requests()]
    assert dues == sorted(dues) and 0 <= dues[0] and dues[-1] < plan.seconds


def test_loads_belong_to_the_same_expiry_until_the_first_of_them_could_be_stored():
    first = [(1.0, 1.2), (1.1, 2.5), (1.25, 2.6)]
    assert levels.expiries([*first, (1.5, 1.7), (4.0, None), (9.0, 9.1)], 2000) == [first, [(1.5, 1.7)], [(4.0, None), (9.0, 9.1)]]
    assert levels.expiries([], 2000) == []


def test_what_overlaps_is_counted():
    assert load.most_at_once([(0, 2), (1, 3), (1, None), (2, 4), (5, 6)]) == 3
    assert load.most_at_once([]) == 0


def test_percentiles_are_values_that_were_measured():
    values = list(range(1, 201))
    random.Random(1).shuffle(values)
    assert (load.percentile(values, 0.5), load.percentile(values, 0.99), load.percentile(values, 1)) == (100, 198, 200)
    assert load.percentile([7], 0.99) == 7 and load.percentile([], 0.5) is None


def sample(due, source, waited_ms=0.0):
    return load.Sample(due, "hot", 0.1, 200, source, waited_ms, 1, 0.0)


def judged(samples, queries, load_p99_ms):
    plan = replace(levels.Plan(), seconds=1.0)
    found = {"windows": alerts.windows(plan, samples, queries), "load_p99_ms": load_p99_ms}
    return [alert.fires for alert in alerts.judge(plan, found)]


def test_alerts_fire_on_what_they_watch_and_on_nothing_else():
    # 120 queries a second are 30 in a window of 250 ms.
    hits = [sample(n / 100, "hit") for n in range(100)]
    assert judged(hits, [0.1] * 30 + [0.6] * 30, 200) == [False, False, False]
    assert judged(hits + [sample(0.3, "miss")] * 7, [], 200) == [True, False, False]
    assert judged(hits, [0.1] * 31 + [0.6] * 31, 200) == [False, True, False]
    assert judged(hits, [0.1] * 31 + [0.3] * 31, 200) == [False, False, False]  # one peak, two windows long
    assert judged(hits + [sample(0.3, "wait", 201.0)], [], 200) == [False, False, True]
    assert judged(hits + [sample(0.3, "wait", 199.0)], [], 200) == [False, False, False]


def metastable_summary(samples, log):
    plan = metastable.Plan(normal_seconds=1, spike_seconds=1, after_seconds=6, quiet_seconds=2)
    return metastable._summary(plan, metastable.variants(plan)[0], samples, log)


def answered(due, seconds):
    return load.Sample(due, "cold1", seconds, 200, "miss", 0.0, 3, 0.0)


def test_recovery_is_counted_from_the_end_of_the_spike_to_the_last_sign_of_overload():
    late = metastable_summary([answered(1.5, 0.1), answered(2.5, 3.0)], [[1.5, 1.5, 1.6]])
    assert late["recovered_seconds"] == pytest.approx(3.5) and late["unanswered"] == 0 and late["busy_last"] == 0
    assert metastable_summary([answered(1.5, 0.1)], [[1.5, 1.5, 1.6]])["recovered_seconds"] == 0
    # Six queries wait from 3 s on for a slot that they get at 5 s.
    queue = metastable_summary([answered(1.5, 0.1)], [[3.0, 5.0, 5.1]] * 6)
    assert queue["recovered_seconds"] == pytest.approx(3.0)


def test_what_never_ends_has_not_recovered():
    never = metastable_summary([load.Sample(2.0, "cold1", 8.0, 504, "", 0.0, 20, 0.0)], [[0.0, 0.0, None]] * 5)
    assert never["recovered_seconds"] is None and never["unanswered"] == 1
    assert never["busy_last"] == pytest.approx(1.0)


def test_the_page_has_a_place_for_every_table_and_shows_every_plot():
    with open(lab_program.DOCS) as page:
        text = page.read()
    for name in ("levels", "alerts", "xfetch", "fencing", "metastable", "cutover"):
        assert text.count(f"<!-- begin lab-{name} -->") == text.count(f"<!-- end lab-{name} -->") == 1
    for name in ("origin", "dashboard", "xfetch", "metastable"):
        assert f"](plots/lab-{name}.svg)" in text
        assert os.path.exists(os.path.join(lab_program.PLOTS, f"lab-{name}.svg"))
