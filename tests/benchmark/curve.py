"""How well the hit ratio with other amounts of memory is estimated from a sample: against replays of whole traces, in process.

A server that holds `entries` or `bytes` replays the trace. What it would note of sampled keys goes to a MissRatioCurve, with as many entries
as the server simulates (src/command/working_set.cpp). `pinfold-replay ... sample=N` prints the same for one seed.
"""

import os
import subprocess
import sys

import traces
from report import Report, Table

SEEDS = range(1, 9)  # of the sample, of hashes and of the policy's own chances
SAMPLES = (4096, 1024, 512)  # with a maxmemory of 96 MB or more, 32 MB, 16 MB
FACTORS = ("0.25", "0.50", "2.00", "4.00")  # with the present memory it is exact
TARGET = 1.0  # points

CASES = [
    ("web07", "entries=2000"), ("orm-busy", "entries=4000"), ("scarab-recs", "entries=10000"), ("cloudphysics-w106", "entries=4000"),
    ("oltp", "entries=10000"), ("multi3", "entries=1000"), ("cdn-adaptsize", "bytes=67108864"), ("cloudphysics-small", "bytes=268435456"),
]


def _differences(binary, path, memory, sample, seed):
    """({factor: points between the estimate and the replay}, the sample's part of all keys)"""
    done = subprocess.run([binary, path, memory, f"sample={sample}", f"seed={seed}"], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip() or f"pinfold-replay ended with {done.returncode}")
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[1]: abs(float(line[4])) for line in lines}, lines[0][6]


def run(context, directory=None, binary=None):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    directory = directory or os.path.join(root, "..", "shared", "traces")
    binary = binary or os.path.join(os.path.dirname(context.pinfold_binary), "pinfold-replay")
    table = Table(["trace", "memory", "simulated", "keys", *(f"x {factor}" for factor in FACTORS), "most", "target"],
                  left=("trace", "memory", "target"))
    data, failures = [], []
    paths = {traces.trace_of(path).name: path for path in traces.find(directory)}
    for sample in SAMPLES:
        for trace, memory in CASES:
            context.say(f"curve: {trace}, {memory}, {sample} entries simulated")
            try:
                found = [_differences(binary, paths[trace], memory, sample, seed) for seed in SEEDS]
            except KeyError:
                failures.append(f"{trace}: not in {directory}")
                continue
            except (OSError, ValueError, subprocess.TimeoutExpired) as failure:
                failures.append(f"{trace}: {failure}")
                continue
            means = {factor: sum(points[factor] for points, _ in found) / len(found) for factor in FACTORS}
            most = max(points[factor] for points, _ in found for factor in FACTORS)
            part = max((part for _, part in found), key=lambda text: int(text.split("/")[1]))
            met = max(means.values()) <= TARGET
            data.append({"trace": trace, "memory": memory, "sample": sample, "part": part, "means": means, "most": most, "met": met})
            table.add(trace, memory, f"{sample:,}", part, *(f"{means[factor]:.2f}" for factor in FACTORS), f"{most:.2f}",
                      "met" if met else "missed")
    notes = [f"Points of .01 between the estimated hit ratio and that of a replay of the whole trace: the mean of {len(SEEDS)} seeds for each "
             f"multiple of the memory, and the most of all. Keys: the smallest part of all keys that was sampled in the end. The target is a "
             f"mean of at most {TARGET:g} for each multiple."]
    return Report("curve", "Hit ratio with other amounts of memory, estimated from a sample", table, data, notes, failures)


if __name__ == "__main__":
    from context import Context
    server = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "build/release/pinfold-server"
    print(run(Context(["pinfold"], "", server, 1, 1, False)).text())
