"""Whether anything makes a server stall: the latency of GETs while it happens, and the longest a lock is held."""

from statistics import mean

from load import InvalidRun
from proc import Disturbance
from report import Report, Table
from scenarios import KEYS, ON_EMPTY, ON_FILLED, Rig
from servers import CannotStart, Setup

MEMORY_MB = 4096
TARGET_RATIO = 2.0
TARGET_LOCK_US = 1000
LATE_US = 500  # a generator that was later than this, at p99.9, measured the machine rather than the server
LOCK_FIELDS = ("shard_lock_longest_us", "shard_lock_longest_cpu_us")


def _start(context, kind, **more):
    policy = "" if kind == "memcached" else "allkeys-lfu"
    return context.server(kind, Setup(memory_mb=MEMORY_MB, policy=policy, core=context.cores()[0], **more))


def _latencies(context, kind, data, failures):
    """One window for each scenario; returns how fast the server can go."""
    rates = None
    for scenarios in (ON_FILLED, ON_EMPTY):
        with _start(context, kind) as server:
            context.remember_version(server)
            rig = Rig(context, server, rates)
            if scenarios is ON_FILLED:
                rig.measure_rates()
                rates = rig.rates
            for scenario in scenarios:
                if kind not in scenario.kinds:
                    continue
                context.say(f"stalls: {kind}, {scenario.name}")
                try:
                    found = scenario.run(rig, lambda: None)
                except InvalidRun as failure:
                    failures.append(f"{scenario.name}: {failure}")
                    continue
                data.append({"scenario": scenario.name, "control": scenario.control, "server": server.name,
                             "gets_capacity": rates.gets, "sets_capacity": rates.sets, **found})
    return rates


def _locks(context, rates, data, failures):
    """The same scenarios on a Pinfold that times its locks, which costs: so not in the run that is timed outside."""
    with _start(context, "pinfold") as server:
        if b"lock-timing" not in server.ask(b"CONFIG GET lock-timing\r\n"):
            data += [{"scenario": scenario.name, "wall_us": None, "cpu_us": None}
                     for scenario in ON_FILLED + ON_EMPTY if not scenario.control]
            return
    for scenarios in (ON_FILLED, ON_EMPTY):
        with _start(context, "pinfold", pinfold_options=("--lock-timing", "yes")) as server:
            rig = Rig(context, server, rates)
            if scenarios is ON_FILLED:
                rig.fill(0, rig.keys)
            for scenario in scenarios:
                if scenario.control:
                    continue
                context.say(f"stalls: locks, {scenario.name}")
                try:
                    scenario.run(rig, server.reset_statistics)
                except InvalidRun as failure:
                    failures.append(f"locks, {scenario.name}: {failure}")
                    continue
                wall, cpu = map(server.statistic, LOCK_FIELDS)
                data.append({"scenario": scenario.name, "wall_us": wall, "cpu_us": cpu})


def run(context):
    """Two reports: latencies, and locks."""
    latencies, locks, failures, lock_failures = [], [], [], []
    rates = {}
    with Disturbance() as disturbance:
        for kind in context.kinds:
            try:
                rates[kind] = _latencies(context, kind, latencies, failures)
            except (CannotStart, InvalidRun) as failure:
                failures.append(str(failure))
        if rates.get("pinfold"):
            try:
                _locks(context, rates["pinfold"], locks, lock_failures)
            except (CannotStart, InvalidRun) as failure:
                lock_failures.append(str(failure))
    found = report(context, latencies, failures)
    found.notes.append(disturbance.sentence())
    return [found, lock_report(locks, lock_failures)]


def _verdict(value, target):
    return f"<= {target:,} {'met' if value <= target else 'missed'}"


def _compared(run, data):
    """The window with what it is compared with: those of the same server and load in which nothing happened."""
    quiet = [other for other in data if other["control"] and
             (other["server"], other["load"]) == (run["server"], run["load"])]
    p999 = [window["latency_us"]["p99.9"] for window in quiet]
    return {**run, "quiet_p999_us": p999, "ratio": run["latency_us"]["p99.9"] / mean(p999) if quiet else None,
            "late_p999_us": max(window["late_us"]["p99.9"] for window in [run, *quiet])}


def _cells(found):
    writes = (found["stored"] + found["deleted"] + found["refused"]) / found["seconds"]
    ratio, target = found["ratio"], ""
    if ratio is not None and found["server"] == "pinfold":
        target = _verdict(ratio, TARGET_RATIO) + (", noisy" if found["late_p999_us"] > LATE_US else "")
    return (found["scenario"], found["server"], f"{found['requests'] / found['seconds']:,.0f}",
            f"{writes:,.0f}" if writes else "", f"{found['latency_us']['p99.9']:,.0f}",
            f"{found['latency_us']['max'] / 1000:,.1f}",
            " and ".join(f"{value:,.0f}" for value in found["quiet_p999_us"]),
            "" if ratio is None else f"{ratio:.1f}", target, f"{found['late_p999_us']:,.0f}")


def report(context, data, failures):
    table = Table(["while", "server", "GETs/s", "writes/s", "p99.9 us", "longest ms", "p99.9 quiet us",
                   "p99.9 vs quiet", "target", "sent late us"], left=("while", "server"))
    windows = [_compared(run, data) for run in data if not run["control"]]
    for name in dict.fromkeys(found["scenario"] for found in windows):
        for found in windows:
            if found["scenario"] == name:
                table.add(*_cells(found))
    notes = [f"{context.scaled(KEYS, 100_000):,} keys of 16 B, values of 32 to 100 B; half of what each server can do, "
             "measured first. Latency counts from the moment a GET was due. Quiet: the same load with nothing "
             "happening, measured twice; their mean is compared with. What differs between the two is noise.",
             "Sent late: how much later than it was due the generator sent a GET, p99.9, in this window or in those it "
             f"is compared with, whichever was worse. Above {LATE_US} us the machine was too busy to judge a server."]
    return Report("stalls", "Latency of GETs while something happens", table,
                  windows + [run for run in data if run["control"]], notes, failures)


def lock_report(data, failures):
    table = Table(["while", "longest held us", "of it CPU us", "target"], left=("while",))
    for found in data:
        cells = ["n/a" if found[field] is None else f"{found[field]:,}" for field in ("wall_us", "cpu_us")]
        target = f"<= {TARGET_LOCK_US:,}" if found["wall_us"] is None else _verdict(found["wall_us"], TARGET_LOCK_US)
        table.add(found["scenario"], *cells, target)
    notes = ["The longest time that any shard's lock was held, and the CPU time that its holder used meanwhile: where "
             "the first is longer, the kernel gave the core to another thread."]
    if any(found["wall_us"] is None for found in data):
        notes.append("n/a: this Pinfold has no setting `lock-timing`.")
    return Report("locks", "The longest time a lock is held", table, data, notes, failures)
