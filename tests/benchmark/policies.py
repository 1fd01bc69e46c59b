"""Hit ratio of Pinfold's default policy at equal numbers of entries, replayed in process: no server, no sizes.

The S3-FIFO figures are the table in the README beside the traces, made with a reference implementation; OPT is
Belady's, computed here. A trace that is not there is a failure, because then there is no figure.
"""

import os
import subprocess

import traces
from report import Report, Table

POLICY = "allkeys-lfu"
TOLERANCE = 0.0020  # below the reference by no more than this
SEEDS = (1, 2, 3)   # of the hash and of the policy's own chances; the mean is what counts

# (trace, entries, hit ratio of S3-FIFO by ../shared/traces/README.md)
REFERENCE = [
    ("web07", 500, 0.5003), ("web07", 2000, 0.5797),
    ("orm-busy", 1000, 0.7857), ("orm-busy", 4000, 0.8645),
    ("scarab-recs", 10000, 0.5347), ("scarab-recs", 50000, 0.6976),
    ("cloudphysics-w106", 2000, 0.8339), ("cloudphysics-w106", 8000, 0.8838),
    ("oltp", 1000, 0.4084), ("oltp", 10000, 0.6264),
    ("multi3", 1000, 0.4537), ("multi3", 2000, 0.5523),
]


def _replay(binary, path, entries, policies, seed):
    """{policy: hit ratio}"""
    done = subprocess.run([binary, path, f"entries={entries}", f"policy={','.join(policies)}", f"seed={seed}"],
                          capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip() or f"pinfold-replay ended with {done.returncode}")
    return {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}


def _measure(binary, path, entries):
    found = _replay(binary, path, entries, [POLICY, "opt"], SEEDS[0])
    ratios = [found[POLICY]] + [_replay(binary, path, entries, [POLICY], seed)[POLICY] for seed in SEEDS[1:]]
    return sum(ratios) / len(ratios), max(ratios) - min(ratios), found["opt"]


def run(context, directory=None, binary=None):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    directory = directory or os.path.join(root, "..", "shared", "traces")
    binary = binary or os.path.join(os.path.dirname(context.pinfold_binary), "pinfold-replay")
    table = Table(["trace", "entries", "S3-FIFO", "OPT", "Pinfold", "difference", "spread", "target"],
                  left=("trace", "target"))
    data, failures = [], []
    paths = {traces.trace_of(path).name: path for path in traces.find(directory)}
    for trace, entries, reference in REFERENCE:
        context.say(f"policies: {trace}, {entries} entries")
        try:
            ratio, spread, optimum = _measure(binary, paths[trace], entries)
        except KeyError:
            failures.append(f"{trace}: not in {directory}")
            continue
        except (OSError, ValueError, subprocess.TimeoutExpired) as failure:
            failures.append(f"{trace}: {failure}")
            continue
        met = ratio >= reference - TOLERANCE
        data.append({"trace": trace, "entries": entries, "policy": POLICY, "reference": reference, "opt": optimum,
                     "hit_ratio": ratio, "difference": ratio - reference, "spread": spread, "met": met})
        table.add(trace, f"{entries:,}", f"{reference:.4f}", f"{optimum:.4f}", f"{ratio:.4f}",
                  f"{ratio - reference:+.4f}", f"{spread:.4f}", "met" if met else "missed")
    notes = [f"In process, every entry counts one; {POLICY}, mean of {len(SEEDS)} seeds, and the spread between them. "
             f"S3-FIFO: the reference implementation's figure in the README beside the traces; the target is at most "
             f"{TOLERANCE:.4f} below it."]
    if data:
        mean = sum(found["difference"] for found in data) / len(data)
        notes.append(f"Mean difference from S3-FIFO: {mean:+.4f}.")
    return Report("policies", "Hit ratio at equal entries", table, data, notes, failures)
