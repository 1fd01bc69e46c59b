"""RSS while the sizes of values shift: what fits one size of value does not fit the next, and memory creeps."""

import time
from dataclasses import dataclass

import plot
from load import InvalidRun
from proc import ResidentSampler, resident
from report import Report, Table, mb
from servers import CannotStart, Setup

MEMORY_MB = 128
KEYS = 50_000_000  # so many names that most SETs are of new keys, and a few change the size of an old one
CONNECTIONS = 8
LIMIT_BYTES = int(MEMORY_MB * 2**20 * 1.05) + 12 * 2**20


@dataclass
class Phase:
    name: str
    value_bytes: int
    value_most: int
    requests: int
    pipeline: int


# Each writes the limit several times over.
PHASES = [
    Phase("50 B", 50, 50, 6_000_000, 16),
    Phase("20 KB", 20_000, 20_000, 30_000, 4),
    Phase("300 B", 300, 300, 1_800_000, 16),
    Phase("mixed", 50, 1_000_000, 6_000, 4),
    Phase("1 MB", 1_000_000, 1_000_000, 600, 1),
    Phase("50 B again", 50, 50, 6_000_000, 16),
]


def _run_phase(context, server, phase, seed, started):
    begun = time.monotonic() - started
    with ResidentSampler(server.pid) as sampler:
        result = context.load().run(
            "set", server, keys=KEYS, value=phase.value_bytes, value_most=phase.value_most,
            requests=context.scaled(phase.requests, 100), connections=CONNECTIONS, pipeline=phase.pipeline, seed=seed,
            may_refuse=True, label=f"{server.name} {phase.name}")
        ended = time.monotonic() - started
    if not server.alive():
        raise InvalidRun(f"{server.name}: ended in phase {phase.name}")
    return {
        "server": server.name, "phase": phase.name, "requests": result["requests"], "refused": result["refused"],
        "refusal": result["refusal"], "begun": begun, "ended": ended, "peak_bytes": sampler.peak,
        "samples": [(at - started, bytes_) for at, bytes_ in zip(sampler.times, sampler.samples)],
        "samples_over": sum(sample > LIMIT_BYTES for sample in sampler.samples),
        "within_limit": sampler.peak <= LIMIT_BYTES,
    }


def _measure(context, kind):
    setup = Setup(threads=2 if kind == "pinfold" else 1, memory_mb=MEMORY_MB, longest_value=1_000_000,
                  policy="" if kind == "memcached" else "allkeys-lfu")
    with context.server(kind, setup) as server:
        context.remember_version(server)
        time.sleep(context.settle(1))
        idle, started = resident(server.pid), time.monotonic()
        found = []
        for seed, phase in enumerate(PHASES, 1):
            found.append({"idle_bytes": idle, **_run_phase(context, server, phase, seed, started)})
        return found


def run(context):
    data, failures = [], []
    for kind in context.kinds:
        context.say(f"memory: churn, {kind}")
        try:
            data += _measure(context, kind)
        except (CannotStart, InvalidRun) as failure:
            failures.append(f"churn: {failure}")
    return report(context, data, failures)


def report(context, data, failures):
    names = list(dict.fromkeys(found["server"] for found in data))
    table = Table(["phase", *(f"{name} peak MB" for name in names), "target for pinfold"], left=("phase",))
    for phase in PHASES:
        peaks = {found["server"]: found for found in data if found["phase"] == phase.name}
        own = peaks.get("pinfold")
        verdict = f"<= {mb(LIMIT_BYTES)}"
        if own:
            samples = len(own["samples"])
            verdict += " met" if own["within_limit"] else f" missed ({own['samples_over']}/{samples} samples over)"
        table.add(phase.name, *(mb(peaks[name]["peak_bytes"]) if name in peaks else "" for name in names), verdict)
    notes = [f"Every server is told {MEMORY_MB} MB. Target for Pinfold, at every sample: that, 5 % and 12 MB."]
    for name in names:
        refused = [found for found in data if found["server"] == name and found["refused"]]
        if refused:
            notes.append(f"{name} refused {sum(found['refused'] for found in refused):,} SETs, as in phase "
                         f"{refused[0]['phase']}: {refused[0]['refusal']}")
    if context.scale < 1:
        notes.append(f"Only {context.scale:g} of the SETs were sent.")
    found = Report("churn", "Peak RSS while the sizes of values shift", table, data, notes, failures)
    if data:
        found.plots["memory-churn.svg"] = plot.svg([_panel(data, names)], panel_width=860)
    return found


def _thinned(points, most=100):
    """As many points as a plot can show; of each stretch the highest, because peaks are what counts."""
    size = max(1, -(-len(points) // most))
    return [max(points[at:at + size], key=lambda point: point[1]) for at in range(0, len(points), size)]


def _points(data, server):
    """Every phase gets the same width, however long it took the server: so servers can be compared in one panel."""
    points = []
    for number, phase in enumerate(PHASES):
        for found in data:
            if found["server"] == server and found["phase"] == phase.name:
                length = found["ended"] - found["begun"]
                points += _thinned([(number + min(1.0, (at - found["begun"]) / length), size / 2**20)
                                    for at, size in found["samples"]])
    return points


def _panel(data, servers):
    return plot.Panel(
        f"RSS at maxmemory {MEMORY_MB} MB while the sizes of values shift", "phase, from its first SET to its last",
        "RSS MB", [plot.Line(server, _points(data, server)) for server in servers], limit=LIMIT_BYTES / 2**20,
        limit_name="limit for pinfold", spans=[(n, n + 1, phase.name) for n, phase in enumerate(PHASES)])
