"""How much more two threads do than one, in process: through parser, dispatch and store, without a network."""

import json
import os
import subprocess
from statistics import median

from report import Report, Table

TARGET = 1.5
TARGETED = ("uniform", "zipf 0.99")
KEYS = 1_000_000
ROUNDS = 5
MS = 200


def _runs(context):
    """Every run of pinfold-scale, as it prints them."""
    cores = context.cores()
    if None in cores:
        return [], "there is but one core"
    binary = os.path.join(os.path.dirname(context.load_binary), "pinfold-scale")
    command = [binary, "--cores", ",".join(map(str, cores)), "--keys", context.scaled(KEYS, 1000),
               "--rounds", max(context.rounds, ROUNDS if context.scale >= 1 else 1), "--ms", context.scaled(MS, 5)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        return [], f"pinfold-scale: {done.stderr.strip()}"
    return [json.loads(line) for line in done.stdout.splitlines()], None


def _compared(runs):
    """A row for each load: medians over the rounds, ratios taken within each."""
    rows = []
    loads = dict.fromkeys((run["keys"], run["writes"], run["batch"]) for run in runs)
    for keys, writes, batch in loads:
        here = [run for run in runs if (run["keys"], run["writes"], run["batch"]) == (keys, writes, batch)]
        one = {run["round"]: run for run in here if run["threads"] == 1}
        two = {run["round"]: run for run in here if run["threads"] == 2}
        # By the clock it is what a user gets. By CPU time it is what is left when the threads have their cores to themselves.
        rows.append({"keys": keys, "writes": writes, "batch": batch,
                     "one_per_second": median(run["per_second"] for run in one.values()),
                     "two_per_second": median(run["per_second"] for run in two.values()),
                     "ratio": median(two[n]["per_second"] / one[n]["per_second"] for n in one),
                     "cpu_ratio": median(2 * one[n]["cpu_ns"] / two[n]["cpu_ns"] for n in one),
                     "one_cpu_ns": median(run["cpu_ns"] for run in one.values()),
                     "two_cpu_ns": median(run["cpu_ns"] for run in two.values()),
                     "sleeps_per_million": median(run["sleeps"] / run["requests"] * 1e6 for run in two.values())})
    return rows


def run(context):
    context.say("scale: pinfold without a network")
    runs, failure = _runs(context)
    return report(runs, [failure] if failure else [])


def report(runs, failures):
    table = Table(["keys", "writes", "batch", "1 thread/s", "2 threads/s", "2 / 1", "2 / 1 by CPU time", "CPU ns/request, 1",
                   "CPU ns/request, 2", "sleeps per 1 M", "target"], left=("keys",))
    rows = _compared(runs)
    for row in rows:
        target = f">= {TARGET} {'met' if row['ratio'] >= TARGET else 'missed'}" if row["keys"] in TARGETED else ""
        table.add(row["keys"], f"{row['writes']} %", row["batch"], f"{row['one_per_second']:,.0f}",
                  f"{row['two_per_second']:,.0f}", f"{row['ratio']:.2f}", f"{row['cpu_ratio']:.2f}",
                  f"{row['one_cpu_ns']:.0f}", f"{row['two_cpu_ns']:.0f}", f"{row['sleeps_per_million']:.1f}", target)
    notes = ["\"independent\" is a loop of hashing, which shares nothing: what the two cores give at most. A sleep is counted when a "
             "thread gives up its core by itself, as one does that waits long for a lock."]
    return Report("scale", "Two threads beside one, without a network", table, rows, notes, failures)
