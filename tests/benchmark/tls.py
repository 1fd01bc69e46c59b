"""What TLS costs: CPU time per request, per handshake and per byte, memory per connection, and what a storm of handshakes does.

The server has one I/O thread and one core, the load the other. The figures are of Pinfold beside redis-server in the same run,
over the same certificates, with the same OpenSSL.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from load import InvalidRun, may_be_urgent
from proc import Disturbance, resident
from report import Report, Table
from servers import CannotStart, Setup

KEYS = 100_000
VALUE_BYTES = 100
MOST_RATIO = 0.85  # of redis-server's CPU time per request
LARGE_VALUES, LARGE_BYTES = 20, 1 << 20
MOST_LARGE_RATIO = 0.8
LEAST_RESUMED = 2.0  # times as many as full handshakes
STORM = 5000
PROBES_PER_SECOND = 1000
PROBE_SECONDS = 10
MOST_STORM_RATIO = 3.0
IDLE_CONNECTIONS = 5000
MOST_IDLE_BYTES = 12 * 1024
KINDS = ("pinfold", "redis")


@dataclass
class Workload:
    name: str
    mode: str
    pipeline: int
    requests: int


WORKLOADS = [
    Workload("GET p1", "get", 1, 100_000),
    Workload("SET p1", "set", 1, 100_000),
    Workload("GET p16", "get", 16, 800_000),
    Workload("SET p16", "set", 16, 800_000),
]


@dataclass
class Handshakes:
    key: str
    version: str
    full: int
    resumed: int


HANDSHAKES = [
    Handshakes("P-256", "1.3", 4000, 8000),
    Handshakes("P-256", "1.2", 4000, 8000),
    Handshakes("RSA", "1.3", 2000, 8000),
    Handshakes("RSA", "1.2", 2000, 8000),
]


class Measured:
    """Figures by name and server, one for each round."""

    def __init__(self):
        self.runs = {}
        self.results = []

    def add(self, figure, server, number, value, **details):
        self.runs.setdefault(figure, {}).setdefault(server, {})[number] = value
        self.results.append({"figure": figure, "server": server, "round": number, "value": value, **details})

    def value(self, figure, server):
        runs = self.runs.get(figure, {}).get(server)
        return median(runs.values()) if runs else None

    def ratio(self, figure, one, other):
        """The median of the rounds' ratios, and all of them."""
        ones, others = (self.runs.get(figure, {}).get(server, {}) for server in (one, other))
        ratios = [ones[number] / others[number] for number in ones if others.get(number)]
        return (median(ratios), ratios) if ratios else (None, [])


def _servers(context, running, failures, where, **setup):
    """Those that could be started, the one that begins changing from round to round."""
    kinds = [kind for kind in context.kinds if kind in KINDS]
    found = []
    for kind in kinds:
        try:
            # Memory enough for all connections: Pinfold gives clients a twentieth of it.
            wanted = Setup(core=context.cores()[0], connections=2 * STORM + 100, memory_mb=4096, **setup)
            server = running.enter_context(context.server(kind, wanted))
            context.remember_version(server)
            found.append(server)
        except CannotStart as failure:
            failures.append(f"{where}: {failure}")
    return found


def _turns(servers, number):
    first = number % len(servers) if servers else 0
    return servers[first:] + servers[:first]


def _requests(context, measured, number, failures):
    load = context.load(context.cores()[1])
    with ExitStack() as running:
        servers = _servers(context, running, failures, "requests", tls="P-256")
        keys = context.scaled(KEYS, 1000)
        for server in list(servers):
            try:
                load.run("fill", server, keys=keys, value=VALUE_BYTES, pipeline=16, label=f"{server.name} fill")
                load.run("fill", server, keys=LARGE_VALUES, first=10**9, value=LARGE_BYTES, connections=4, label=f"{server.name} fill")
            except InvalidRun as failure:
                failures.append(str(failure))
                servers.remove(server)
        for workload in WORKLOADS:
            requests = context.scaled(workload.requests, 1000)
            for tls in (True, False):
                for server in _turns(servers, number):
                    name = f"{workload.name}{'' if tls else ' without TLS'}"
                    _try(failures, lambda: measured.add(name, server.name, number, load.run(
                        workload.mode, server, tls=tls, keys=keys, value=VALUE_BYTES, pipeline=workload.pipeline, requests=requests,
                        warmup=requests // 20, seed=number, pid=server.pid, label=f"{server.name} {name}")["server_cpu_us_per_request"]))
        requests = context.scaled(3000, 40)
        for tls in (True, False):
            for server in _turns(servers, number):
                name = f"GET of 1 MB{'' if tls else ' without TLS'}"
                _try(failures, lambda: measured.add(name, server.name, number, load.run(
                    "get", server, tls=tls, keys=LARGE_VALUES, first=10**9, value=LARGE_BYTES, connections=4, requests=requests,
                    warmup=LARGE_VALUES, seed=number, pid=server.pid,
                    label=f"{server.name} {name}")["server_cpu_us_per_request"] * 1000 / LARGE_BYTES))


def _try(failures, measure):
    try:
        return measure()
    except InvalidRun as failure:
        failures.append(str(failure))


def _handshakes(context, measured, number, failures):
    load = context.load(context.cores()[1])
    for key in dict.fromkeys(kind.key for kind in HANDSHAKES):
        with ExitStack() as running:
            servers = _servers(context, running, failures, "handshakes", tls=key)
            for kind in (kind for kind in HANDSHAKES if kind.key == key):
                for resume, count in ((False, kind.full), (True, kind.resumed)):
                    name = f"{kind.key}, TLS {kind.version}, {'resumed' if resume else 'full'}"
                    for server in _turns(servers, number):
                        _try(failures, lambda: _count_handshakes(context, load, measured, name, server, number, kind, resume, count))


def _count_handshakes(context, load, measured, name, server, number, kind, resume, count):
    found = load.run("handshakes", server, tls=True, tls_version=kind.version, resume=resume, connections=16,
                     requests=context.scaled(count, 100), warmup=64, pid=server.pid, label=f"{server.name} {name}")
    expected = found["answered"] if resume else 0
    if found["resumed"] < expected * 0.95 or found["resumed"] > expected or not found["answered"]:
        raise InvalidRun(f"{server.name}: {name}: {found['resumed']} of {found['answered']} were resumed")
    measured.add(name, server.name, number, found["per_cpu_second"], resumed=found["resumed"], answered=found["answered"])


def _probe(context, load, server, seconds, number, meanwhile=None):
    """The latency of GETs of connected clients, while something happens."""
    with load.begin("paced", server, tls=True, urgent=True, sleep=True, keys=1000, value=VALUE_BYTES, rate=PROBES_PER_SECOND, seed=number,
                    duration_ms=int(seconds * 1000), label=f"{server.name} probes") as probe:
        happened = []
        while meanwhile and not probe.ended():
            happened.append(meanwhile())
        return probe.result(), happened


def _storm(context, measured, number, failures):
    load = context.load(context.cores()[1])
    storm = context.scaled(STORM, 100)
    seconds = max(1.0, PROBE_SECONDS * min(1.0, context.scale))
    with ExitStack() as running:
        for server in _turns(_servers(context, running, failures, "storm", tls="P-256"), number):
            try:
                load.run("fill", server, keys=1000, value=VALUE_BYTES, label=f"{server.name} fill")
                quiet, _ = _probe(context, load, server, seconds, number)
                loud, storms = _probe(context, load, server, seconds, number, meanwhile=lambda: load.run(
                    "handshakes", server, tls=True, connections=storm, requests=storm, label=f"{server.name} storm"))
            except InvalidRun as failure:
                failures.append(f"storm: {failure}")
                continue
            for name, found in (("quiet", quiet), ("storm", loud)):
                measured.add(f"{name} p99.9", server.name, number, found["latency_us"]["p99.9"], p50=found["latency_us"]["p50"],
                             largest=found["latency_us"]["max"], late=found["late_us"]["p99.9"])
            measured.add("storm answered", server.name, number, sum(found["answered"] for found in storms))
            measured.add("storm refused", server.name, number, sum(found["refused"] for found in storms))
            measured.add("storm seconds", server.name, number, median(found["seconds"] for found in storms))


def _idle(context, measured, number, failures):
    """Each on a fresh server: what others have left behind would be used again, and not be seen."""
    connections, first = context.scaled(IDLE_CONNECTIONS, 200), 20
    for tls in (False, True):
        name = f"idle connection{'' if tls else ' without TLS'}"
        with ExitStack() as running:
            for server in _servers(context, running, failures, "idle", tls="P-256"):
                try:
                    # What the first connections take and the server keeps is not what a connection takes.
                    with context.load().open_idle(server, connections=first, tls=tls) as held:
                        held.ask_each()
                    time.sleep(context.settle(5))
                    before = resident(server.pid)
                    with context.load().open_idle(server, connections=connections, tls=tls) as held:
                        held.ask_each()
                        time.sleep(context.settle(5))
                        measured.add(name, server.name, number, (resident(server.pid) - before) / (connections - first), connections=connections)
                except InvalidRun as failure:
                    failures.append(f"idle: {failure}")


def run(context):
    measured, failures = Measured(), []
    with Disturbance() as disturbance:
        for number in range(1, context.rounds + 1):
            context.say(f"tls: round {number} of {context.rounds}")
            _requests(context, measured, number, failures)
            _handshakes(context, measured, number, failures)
            _storm(context, measured, number, failures)
        context.say("tls: idle connections")
        _idle(context, measured, 1, failures)
    found = report(context, measured, failures)
    found.notes.append(disturbance.sentence())
    return found


OURS, THEIRS = "pinfold", "redis-server"


def _verdict(text, met):
    return f"{text} {'met' if met else 'missed'}"


def _shown(value, form):
    return "" if value is None else form.format(value)


def report(context, measured, failures):
    table = Table(["figure", "pinfold", "redis-server", "ratio", "least-most", "target"], left=("figure",))

    def compared(label, figure, form, target=None):
        ratio, ratios = measured.ratio(figure, OURS, THEIRS)
        wanted = "" if ratio is None or target is None else _verdict(target[0], target[1](ratio))
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else ""
        if any(measured.value(figure, server) is not None for server in (OURS, THEIRS)):
            table.add(label, *(_shown(measured.value(figure, server), form) for server in (OURS, THEIRS)), _shown(ratio, "{:.2f}"), spread, wanted)

    at_most = lambda most: (f"<= {most}", lambda ratio: ratio <= most)  # noqa: E731
    for workload in WORKLOADS:
        compared(f"{workload.name}, CPU us/request", workload.name, "{:.2f}", at_most(MOST_RATIO))
        compared(f"{workload.name} without TLS, CPU us/request", f"{workload.name} without TLS", "{:.2f}")
    compared("GET of 1 MB, CPU ns/byte", "GET of 1 MB", "{:.3f}", at_most(MOST_LARGE_RATIO))
    compared("GET of 1 MB without TLS, CPU ns/byte", "GET of 1 MB without TLS", "{:.3f}")
    for kind in HANDSHAKES:
        full, resumed = (f"{kind.key}, TLS {kind.version}, {how}" for how in ("full", "resumed"))
        compared(f"handshakes per CPU second: {full}", full, "{:,.0f}", (">= 1", lambda ratio: ratio >= 1))
        compared(f"handshakes per CPU second: {resumed}", resumed, "{:,.0f}")
        times = {}
        for server in (OURS, THEIRS):
            both = [measured.runs.get(figure, {}).get(server, {}) for figure in (resumed, full)]
            ratios = [both[0][number] / both[1][number] for number in both[0] if both[1].get(number)]
            times[server] = median(ratios) if ratios else None
        if any(value is not None for value in times.values()):
            wanted = "" if times[OURS] is None else _verdict(f">= {LEAST_RESUMED:g}", times[OURS] >= LEAST_RESUMED)
            table.add(f"resumed / full: {kind.key}, TLS {kind.version}", *(_shown(times[server], "{:.2f}") for server in (OURS, THEIRS)), "", "", wanted)
    storm = context.scaled(STORM, 100)
    compared("GET of connected clients, quiet, p99.9 us", "quiet p99.9", "{:,.0f}")
    compared(f"the same in storms of {storm:,} handshakes", "storm p99.9", "{:,.0f}")
    slower = {server: _slower(measured, server) for server in (OURS, THEIRS)}
    if any(value is not None for value in slower.values()):
        wanted = "" if slower[OURS] is None else _verdict(f"<= {MOST_STORM_RATIO:g}", slower[OURS] <= MOST_STORM_RATIO)
        table.add("storm / quiet, p99.9", *(_shown(slower[server], "{:.2f}") for server in (OURS, THEIRS)), "", "", wanted)
    for label, figure, form in (("storms: connections answered", "storm answered", "{:,.0f}"), ("storms: connections refused clearly", "storm refused", "{:,.0f}"),
                                ("storms: seconds each", "storm seconds", "{:.1f}")):  # fmt: skip
        compared(label, figure, form)
    idle = measured.value("idle connection", OURS)
    wanted = "" if idle is None else _verdict(f"<= {MOST_IDLE_BYTES:,} B", idle <= MOST_IDLE_BYTES)
    if idle is not None or measured.value("idle connection", THEIRS) is not None:
        table.add("idle TLS connection, B", *(_shown(measured.value("idle connection", server), "{:,.0f}") for server in (OURS, THEIRS)), "", "", wanted)
    compared("idle plain connection, B", "idle connection without TLS", "{:,.0f}")
    notes = [
        f"{context.scaled(KEYS, 1000):,} keys of 16 B, values of {VALUE_BYTES} B, 50 connections; medians of {context.rounds} rounds, idle "
        "connections of one. One I/O thread each. The ratio is the median of the rounds' ratios.",
    ]
    if not may_be_urgent():
        notes.append("The probes of connected clients could not run before the storm on their core, so their latency has its work in it.")
    return Report("tls", "What TLS costs", table, measured.results, notes, failures)


def _slower(measured, server):
    quiet, storm = (measured.runs.get(figure, {}).get(server, {}) for figure in ("quiet p99.9", "storm p99.9"))
    ratios = [storm[number] / quiet[number] for number in storm if quiet.get(number)]
    return median(ratios) if ratios else None
