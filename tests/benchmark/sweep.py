"""Hit ratio against memory: every trace at several memory settings, for a curve per server and policy."""

import os
import tempfile
from dataclasses import replace

import plot
import traces
from hits import POLICIES, replay
from load import InvalidRun
from report import Report, Table
from servers import CannotStart

FACTORS = [0.5, 1.0, 2.0]  # of a trace's memory in traces.py

# Requests in flight. A trace without sizes has only small values, and a cache holds so many of them that it makes no
# difference to the hit ratio if a SET comes a few requests later; but the replay takes a fraction of the time. One
# with sizes is replayed request by request. So is every trace under Redis' LRU, whose clock ticks once a second: the
# faster a replay, the less it can tell old from new.
PIPELINE = 16


def pipeline_of(policy, sized):
    return 1 if sized or policy == "allkeys-lru" else PIPELINE


def _settings(trace, factors):
    return sorted({max(1, round(trace.memory_mb * factor)) for factor in factors})


def run(context, selected, factors):
    """`selected` is a list of traces.Trace, `factors` of their memory."""
    data, failures = [], []
    with tempfile.TemporaryDirectory(prefix="pinfold-bench-") as directory:
        for trace in selected:
            file = os.path.join(directory, "trace")
            try:
                unpacked = traces.unpack(trace.path, file)
            except (OSError, EOFError) as failure:
                failures.append(f"{trace.name}: cannot be read: {failure}")
                continue
            for memory_mb in _settings(trace, factors):
                data += _at(context, replace(trace, memory_mb=memory_mb), file, unpacked, failures)
    return report(context, data, failures)


def _at(context, trace, file, unpacked, failures):
    requests, sized, longest = unpacked
    found = []
    for kind, policy in [(kind, policy) for kind in context.kinds for policy in POLICIES[kind]]:
        context.say(f"hits: {trace.name} at {trace.memory_mb} MB, {kind} {policy}")
        try:
            found.append(replay(context, kind, policy, trace, file, context.scaled(requests, 1000), sized, longest,
                                pipeline=pipeline_of(policy, sized)))
        except (CannotStart, InvalidRun) as failure:
            failures.append(f"{trace.name} at {trace.memory_mb} MB: {failure}")
    return found


def _name(found):
    return f"{found['server']} {found['policy']}".strip()


def report(context, data, failures):
    names = list(dict.fromkeys(map(_name, data)))
    table = Table(["trace", "value B", "MB", *names], left=("trace",))
    settings = dict.fromkeys((found["trace"], found["value_bytes"], found["sized"], found["memory_mb"])
                             for found in data)
    for trace, value, sized, memory_mb in settings:
        ratios = {_name(found): found["hit_ratio"] for found in data
                  if (found["trace"], found["memory_mb"]) == (trace, memory_mb)}
        table.add(trace, "own" if sized else value, memory_mb,
                  *(f"{ratios[name]:.4f}" if name in ratios else "failed" for name in names))
    notes = [f"Traces without sizes of their own are replayed with up to {PIPELINE} requests in flight, except under "
             "Redis' LRU."]
    if context.scale < 1:
        notes.append(f"Only the first {context.scale:g} of each trace was replayed.")
    found = Report("sweep", "Hit ratio against memory", table, data, notes, failures)
    if data:
        panels = [_panel(data, names, trace) for trace in dict.fromkeys(found["trace"] for found in data)]
        found.plots["hit-ratio.svg"] = plot.svg(panels, columns=2)
    return found


def _panel(data, names, trace):
    lines = [plot.Line(name, [(found["memory_mb"], found["hit_ratio"]) for found in data
                              if found["trace"] == trace and _name(found) == name], marks=True) for name in names]
    return plot.Panel(trace, "memory MB", "hit ratio", [line for line in lines if line.points], from_zero=False,
                      logarithmic=True)
