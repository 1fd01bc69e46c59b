"""Whether anything makes a server stall: the latency of GETs while it happens, and the longest a lock is held."""

import time
from statistics import mean, median

from load import InvalidRun
from proc import Disturbance
from report import Report, Table
from scenarios import KEYS, ON_EMPTY, ON_FILLED, Rig
from servers import CannotStart, Setup

MEMORY_MB = 4096
TARGET_RATIO = 2.0
TARGET_LOCK_US = 1000
LATE_US = 500  # a generator that was later than this, at p99.9, measured the machine rather than the server
GAP_US = 200  # a loop that does nothing was away from its core for so long
LOCK_FIELDS = {"wall_us": "shard_lock_longest_us", "cpu_us": "shard_lock_longest_cpu_us", "holds": "shard_lock_holds",
               "long_holds": "shard_lock_holds_over_1ms", "wait_us": "shard_lock_longest_wait_us", "waits": "shard_lock_waits",
               "slept": "shard_lock_waits_slept"}


def _start(context, kind, **more):
    policy = "" if kind == "memcached" else "allkeys-lfu"
    return context.server(kind, Setup(memory_mb=MEMORY_MB, policy=policy, core=context.cores()[0], **more))


def _rounds(context, kind):
    """A peer is there for orientation: once."""
    return context.rounds if kind == "pinfold" else 1


def _latencies(context, kind, data, failures, number=0, rates=None):
    """One window for each scenario; returns how fast the server can go."""
    for scenarios in (ON_FILLED, ON_EMPTY):
        with _start(context, kind) as server:
            context.remember_version(server)
            rig = Rig(context, server, rates)
            if scenarios is ON_FILLED and rates is None:
                rig.measure_rates()
                rates = rig.rates
            elif scenarios is ON_FILLED:
                rig.fill(0, rig.keys)
            for scenario in scenarios:
                if kind not in scenario.kinds:
                    continue
                context.say(f"stalls: {kind}, {scenario.name}")
                try:
                    found = scenario.run(rig, lambda: None)
                except InvalidRun as failure:
                    failures.append(f"{scenario.name}: {failure}")
                    continue
                data.append({"scenario": scenario.name, "control": scenario.control, "server": server.name, "round": number,
                             "gets_capacity": rates.gets, "sets_capacity": rates.sets, **found})
    return rates


def _locks(context, rates, data, failures):
    """The same scenarios on a Pinfold that times its locks, which costs: so not in the run that is timed outside."""
    with _start(context, "pinfold") as server:
        if b"lock-timing" not in server.ask(b"CONFIG GET lock-timing\r\n"):
            data += [{"scenario": scenario.name, "control": scenario.control, **dict.fromkeys(LOCK_FIELDS)}
                     for scenario in ON_FILLED + ON_EMPTY]
            return
    for scenarios in (ON_FILLED, ON_EMPTY):
        with _start(context, "pinfold", pinfold_options=("--lock-timing", "yes")) as server:
            rig = Rig(context, server, rates)
            if scenarios is ON_FILLED:
                rig.fill(0, rig.keys)
            for scenario in scenarios:
                context.say(f"stalls: locks, {scenario.name}")
                try:
                    scenario.run(rig, server.reset_statistics)
                except InvalidRun as failure:
                    failures.append(f"locks, {scenario.name}: {failure}")
                    continue
                data.append({"scenario": scenario.name, "control": scenario.control,
                             **{name: server.statistic(field) for name, field in LOCK_FIELDS.items()}})


def run(context):
    """Two reports: latencies, and locks."""
    latencies, locks, failures, lock_failures = [], [], [], []
    rates = {}
    with Disturbance() as disturbance:
        for kind in context.kinds:
            try:
                for number in range(_rounds(context, kind)):
                    rates[kind] = _latencies(context, kind, latencies, failures, number, rates.get(kind))
            except (CannotStart, InvalidRun) as failure:
                failures.append(str(failure))
        if rates.get("pinfold"):
            try:
                for _ in range(context.rounds):
                    _locks(context, rates["pinfold"], locks, lock_failures)
            except (CannotStart, InvalidRun) as failure:
                lock_failures.append(str(failure))
    found = report(context, latencies, failures)
    found.notes += [disturbance.sentence(), _interruptions(context)]
    return [found, lock_report(locks, lock_failures)]


def _verdict(value, target):
    return f"<= {target:,} {'met' if value <= target else 'missed'}"


def _compared(run, data):
    """The window with what it is compared with: those of the same server, round and load in which nothing happened."""
    same = ("server", "round", "load")
    quiet = [other for other in data if other["control"] and all(other[field] == run[field] for field in same)]
    p999 = [window["latency_us"]["p99.9"] for window in quiet]
    return {**run, "quiet_p999_us": p999, "ratio": run["latency_us"]["p99.9"] / mean(p999) if quiet else None,
            "late_p999_us": max(window["late_us"]["p99.9"] for window in [run, *quiet])}


def _cells(rounds):
    def middle(pick):
        return median(pick(found) for found in rounds)

    writes = middle(lambda found: (found["stored"] + found["deleted"] + found["refused"]) / found["seconds"])
    ratios = [found["ratio"] for found in rounds if found["ratio"] is not None]
    quiet = [value for found in rounds for value in found["quiet_p999_us"]]
    late = middle(lambda found: found["late_p999_us"])
    target = ""
    if ratios and rounds[0]["server"] == "pinfold":
        target = _verdict(median(ratios), TARGET_RATIO) + (", noisy" if late > LATE_US else "")
    return (rounds[0]["scenario"], rounds[0]["server"], f"{middle(lambda found: found['requests'] / found['seconds']):,.0f}",
            f"{writes:,.0f}" if writes else "", f"{middle(lambda found: found['latency_us']['p99.9']):,.0f}",
            f"{middle(lambda found: found['latency_us']['max']) / 1000:,.1f}",
            f"{min(quiet):,.0f} - {max(quiet):,.0f}" if quiet else "",
            f"{median(ratios):.1f}" if ratios else "", target, _least_ratio(rounds), f"{late:,.0f}")


def _least_ratio(rounds):
    """What a server does it does in every round, and the machine only adds: so the least says most."""
    quiet = [value for found in rounds for value in found["quiet_p999_us"]]
    if len(rounds) < 2 or not quiet:
        return ""
    least = min(found["latency_us"]["p99.9"] for found in rounds)
    return f"{least / min(quiet):.1f} ({least:,.0f} / {min(quiet):,.0f})"


def _interruptions(context):
    """What the machine does to a program that only looks at the clock."""
    seconds = context.settle(3)
    gaps = []
    last = start = time.perf_counter_ns()
    while last - start < seconds * 1e9:
        now = time.perf_counter_ns()
        if now - last > GAP_US * 1000:
            gaps.append((now - last) / 1000)
        last = now
    return f"On the idle machine a loop that only reads the clock was interrupted for more than {GAP_US} us " \
           f"{len(gaps) / seconds:.0f} times a second, {sum(gaps) / seconds / 1e4:.2f}% of the time, at most for " \
           f"{max(gaps, default=0):,.0f} us. What is above 0.1% sets every p99.9 here, and such a pause counts as CPU time."


def report(context, data, failures):
    table = Table(["while", "server", "GETs/s", "writes/s", "p99.9 us", "longest ms", "p99.9 quiet us",
                   "p99.9 vs quiet", "target", "least vs least quiet", "sent late us"], left=("while", "server"))
    windows = [_compared(run, data) for run in data if not run["control"]]
    for name in dict.fromkeys(found["scenario"] for found in windows):
        here = [found for found in windows if found["scenario"] == name]
        for server in dict.fromkeys(found["server"] for found in here):
            table.add(*_cells([found for found in here if found["server"] == server]))
    notes = [f"{context.scaled(KEYS, 100_000):,} keys of 16 B, values of 32 to 100 B; half of what each server can do, "
             "measured first. Latency counts from the moment a GET was due. Quiet: the same load with nothing "
             "happening, twice in each round; a window is compared with their mean. Pinfold: medians of "
             f"{context.rounds} rounds; and the least p99.9 of them against the least of the quiet windows, because the machine "
             "only adds.",
             "Sent late: how much later than it was due the generator sent a GET, p99.9, in this window or in those it "
             f"is compared with, whichever was worse. Above {LATE_US} us the machine was too busy to judge a server."]
    return Report("stalls", "Latency of GETs while something happens", table,
                  windows + [run for run in data if run["control"]], notes, failures)


def lock_report(data, failures):
    table = Table(["while", "longest held us", "of it CPU us", "least of the rounds: CPU us", "over 1 ms of CPU", "longest waited us",
                   "waits that slept", "target"], left=("while",))
    for name in dict.fromkeys(found["scenario"] for found in data):
        rounds = [found for found in data if found["scenario"] == name]
        control = rounds[0]["control"]
        if any(found["wall_us"] is None for found in rounds):
            table.add(name, *["n/a"] * 6, "" if control else f"<= {TARGET_LOCK_US:,}")
            continue
        wall, cpu, wait = (median(found[field] for found in rounds) for field in ("wall_us", "cpu_us", "wait_us"))
        least = min(found["cpu_us"] for found in rounds)
        long_holds, holds, slept, waits = (sum(found[field] for found in rounds)
                                           for field in ("long_holds", "holds", "slept", "waits"))
        table.add(name, f"{wall:,.0f}", f"{cpu:,.0f}", f"{least:,.0f}", f"{long_holds:,} of {holds:,}", f"{wait:,.0f}",
                  f"{slept:,} of {waits:,}", "" if control else _verdict(wall, TARGET_LOCK_US))
    notes = ["The longest time that any shard's lock was held, and the longest CPU time of a holder meanwhile; medians of the rounds. By the clock "
             "there is what the kernel gave the core to other threads for; in both there is what the host did (see above). What "
             "the server does with a lock it does in every round and not when nothing happens: so the least of the rounds "
             "bounds it, and the rows in which nothing happens show what is the machine's. Longest waited: by the clock, for a lock that "
             "another thread held."]
    if any(found["wall_us"] is None for found in data):
        notes.append("n/a: this Pinfold has no setting `lock-timing`.")
    return Report("locks", "The longest time a lock is held", table, data, notes, failures)
