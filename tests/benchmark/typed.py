"""Hashes, lists, sets, sorted sets and HyperLogLogs beside redis-server: CPU time per request, memory per element, long ranges, and stalls.

The parts are measured one by one (--part). As in live.py, the server has one I/O thread and one core, the load the other. (This module cannot be
called `types`: Python has one of that name.)
"""

import os
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass

import stalls
from herd import Client
from live import Crowd, _cpu_of, _idle, _shown, _try, _verdict
from load import InvalidRun
from proc import Disturbance, resident
from report import Report, Table
from scenarios import Rig, Scenario
from servers import CannotStart, Setup
from tls import OURS, THEIRS, Measured

KINDS = ("pinfold", "redis")
PARTS = ("requests", "memory", "ranges", "stalls")
encode = Client._encode

# --- CPU time per request ---

CONNECTIONS = 50
CALLS = {1: 50_000, 16: 320_000}  # by pipeline
MOST_CPU = {1: 0.90, 16: 0.65}  # of redis-server's
HASHES, COLLECTIONS, MEMBERS = 1000, 100, 1000  # hashes of ten fields; sets, sorted sets and lists, and the elements of each
FIELDS = [b"field:%04d" % n for n in range(10)]


def _member(n):
    return b"m%015d" % n


def _spread(n, of):
    """A number below `of`, which does not follow from that of the request before."""
    return n * 7919 % of


def _hash(n):
    return b"hash:%d" % _spread(n, HASHES)


def _of(kind, n):
    return b"%s:%d" % (kind, _spread(n, COLLECTIONS))


def _present(n):
    """A member of each set and sorted set."""
    return _member(_spread(n // COLLECTIONS, MEMBERS))


def _value(n):
    return b"%020d" % (n * 2654435761 % 10**20)


@dataclass
class Workload:
    name: str
    request: object  # the words of the n-th
    lines: int  # of a reply


WORKLOADS = [
    Workload("HSET", lambda n: (b"HSET", _hash(n), FIELDS[n % 10], _value(n)), 1),
    Workload("HGET", lambda n: (b"HGET", _hash(n), FIELDS[n % 10]), 2),
    Workload("HGETALL(10)", lambda n: (b"HGETALL", _hash(n)), 41),
    Workload("SADD", lambda n: (b"SADD", _of(b"set", n), _member(10**6 + n)), 1),
    Workload("SISMEMBER", lambda n: (b"SISMEMBER", _of(b"set", n), _present(n)), 1),
    Workload("ZADD", lambda n: (b"ZADD", _of(b"zset", n), _spread(n, 10**6), _member(10**6 + n)), 1),
    Workload("ZRANGE(10)", lambda n: (b"ZRANGE", _of(b"zset", n), _spread(n, MEMBERS - 10), _spread(n, MEMBERS - 10) + 9), 21),
    Workload("ZRANK", lambda n: (b"ZRANK", _of(b"zset", n), _present(n)), 1),
    Workload("LPUSH", lambda n: (b"LPUSH", _of(b"list", n), _member(n)), 1),
    Workload("LPOP", lambda n: (b"LPOP", _of(b"list", n)), 2),
    Workload("LRANGE(10)", lambda n: (b"LRANGE", _of(b"list", n), _spread(n, MEMBERS - 10), _spread(n, MEMBERS - 10) + 9), 21),
    Workload("PFADD", lambda n: (b"PFADD", _of(b"visitors", n), _member(n)), 1),
]


def _send_all(server, requests, at_once=200):
    """Requests, each of which is answered with a number or OK."""
    with Client(server) as client:
        batch = []
        for request in requests:
            batch.append(request)
            if len(batch) == at_once:
                _check(server, client.pipeline(batch))
                batch = []
        _check(server, client.pipeline(batch))


def _check(server, replies):
    for reply in replies:
        if not isinstance(reply, int) and reply != b"+OK":
            raise InvalidRun(f"{server.name}: filling it was answered {reply!r}")


def _dataset():
    for n in range(HASHES):
        yield (b"HSET", b"hash:%d" % n, *(part for i, field in enumerate(FIELDS) for part in (field, _value(n + i))))
    for n in range(COLLECTIONS):
        yield (b"SADD", b"set:%d" % n, *map(_member, range(MEMBERS)))
        yield (b"ZADD", b"zset:%d" % n, *(part for i in range(MEMBERS) for part in (_spread(i, 10**6), _member(i))))
        yield (b"RPUSH", b"list:%d" % n, *map(_member, range(MEMBERS)))


def _call(crowd, workload, first, calls, pipeline):
    each = len(crowd) * pipeline
    for at in range(first, first + calls, each):
        crowd.send([b"".join(encode(workload.request(n)) for n in range(start, start + pipeline)) for start in range(at, at + each, pipeline)])
        crowd.collect(b"\r\n", pipeline * workload.lines, refuse=b"-")


def _requests(context, measured, number, server):
    _send_all(server, _dataset())
    with Crowd(server, CONNECTIONS) as crowd:
        numbers = dict.fromkeys((workload.name for workload in WORKLOADS), 0)
        for pipeline, full in CALLS.items():
            each = len(crowd) * pipeline
            for workload in WORKLOADS:
                for calls, warm in ((each, True), (max(each, context.scaled(full) // each * each), False)):
                    first = numbers[workload.name]
                    numbers[workload.name] += calls
                    cpu = _cpu_of(server, lambda: _call(crowd, workload, first, calls, pipeline))
                    if not warm:
                        measured.add(f"{workload.name} p{pipeline}", server.name, number, cpu / calls * 1e6, calls=calls)


# --- memory per element ---

SETTLE_SECONDS = 3


def _batches(command, key, count, arguments, at_once=1000):
    """One collection, some elements in each request."""
    for first in range(0, count, at_once):
        yield (command, key, *(part for n in range(first, min(first + at_once, count)) for part in arguments(n)))


def _hashes(fields):
    return lambda count: ((b"HSET", b"hash:%d" % n, *(part for i in range(fields) for part in (FIELDS[i], _value(n + i)))) for n in range(count // fields))


@dataclass
class Case:
    name: str
    requests: object  # for so many elements
    elements: int = 1_000_000
    most: float = 0.75  # of redis-server's bytes


CASES = [
    Case("hash of 10 fields of 10 + 20 B", _hashes(10)),
    Case("hash of 1 M fields of 10 + 20 B", lambda count: _batches(b"HSET", b"hash", count, lambda n: (b"f%09d" % n, _value(n)))),
    Case("set of 1 M, 16 B", lambda count: _batches(b"SADD", b"set", count, lambda n: (_member(n),))),
    Case("set of 1 M integers", lambda count: _batches(b"SADD", b"set", count, lambda n: (n * 2654435761 % 10**9,))),
    Case("sorted set of 1 M, 16 B", lambda count: _batches(b"ZADD", b"zset", count, lambda n: (_spread(n, 10**6), _member(n)))),
    Case("list of 1 M, 16 B", lambda count: _batches(b"RPUSH", b"list", count, lambda n: (_member(n),))),
    Case("1 M keys, each a hash of 5 fields of 10 + 20 B", _hashes(5), elements=5_000_000, most=0.6),
]


def _memory(context, measured, number, kind):
    for case in CASES:
        context.say(f"types: memory, {case.name}, {kind}")
        with context.server(kind, Setup(core=context.cores()[0], memory_mb=8192)) as server:
            context.remember_version(server)
            time.sleep(context.settle(1))
            before = resident(server.pid)
            elements = context.scaled(case.elements, 1000)
            _send_all(server, case.requests(elements), 20)
            time.sleep(context.settle(SETTLE_SECONDS))
            measured.add(case.name, server.name, number, (resident(server.pid) - before) / elements, elements=elements)


# --- a large sorted set ---

LARGE = 1_000_000
MOST_RANK, MOST_ITERATION = 0.4, 0.15
RANK_CALLS, ITERATIONS = 160_000, 5


def _read_bytes(connection, count):
    while count > 0:
        received = len(connection.recv(1 << 18))
        if received == 0:
            raise InvalidRun("the connection was closed while a range was read")
        count -= received
    if count < 0:
        raise InvalidRun("a range was longer than it is")


def _iterate(server, elements, times):
    size = len(b"*%d\r\n" % elements) + elements * len(b"$16\r\n%s\r\n" % _member(0))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for unused in range(times):
            connection.sendall(encode((b"ZRANGE", b"zset", 0, -1)))
            _read_bytes(connection, size)


def _ranges(context, measured, number, server):
    elements = context.scaled(LARGE, 2000)
    _send_all(server, _batches(b"ZADD", b"zset", elements, lambda n: (_spread(n, 10**6), _member(n))), 20)
    ranks = Workload("ZRANK", lambda n: (b"ZRANK", b"zset", _member(n * 7919 % elements)), 1)
    with Crowd(server, CONNECTIONS) as crowd:
        each = len(crowd) * 16
        calls = max(each, context.scaled(RANK_CALLS) // each * each)
        _call(crowd, ranks, 0, each, 16)
        cpu = _cpu_of(server, lambda: _call(crowd, ranks, each, calls, 16))
        measured.add("ZRANK of 1 M p16", server.name, number, cpu / calls * 1e6, calls=calls)
    _iterate(server, elements, 1)
    cpu = _cpu_of(server, lambda: _iterate(server, elements, ITERATIONS))
    measured.add("ZRANGE of all", server.name, number, cpu / (elements * ITERATIONS) * 1e9, elements=elements)


# --- stalls ---

HUGE = 10_000_000
PLAIN_KEYS = 200_000
BUILD_SECONDS = 10


class Huge:
    """Makes very large collections, a request of a thousand elements after the other."""

    def __init__(self, rig):
        self.rig = rig
        self.elements = rig.context.scaled(HUGE, 20_000)

    def build(self, kind, key, elements=None):
        command = {"set": b"SADD", "zset": b"ZADD"}[kind]
        each = (lambda n: (_member(n),)) if kind == "set" else (lambda n: (_spread(n, 10**6), _member(n)))
        _send_all(self.rig.server, _batches(command, key, elements or self.elements, each), 4)

    def do(self, *words):
        """One request, however long it takes."""
        with Client(self.rig.server) as client:
            reply = client.call(*words)
        if isinstance(reply, bytes) and reply[:1] == b"-":
            raise InvalidRun(f"{self.rig.server.name}: {words[0]} was answered {reply!r}")


def _window(name, event, before=None, seconds=4):
    """A scenario in which `event(huge)` happens while others read, after `before(huge)`."""

    def run(rig, ready):
        huge = Huge(rig)
        if before:
            before(huge)
        ready()
        return rig.window(name, rig.seconds(seconds), event=lambda: event(huge))

    return Scenario(name, run, KINDS)


def _quiet(rig, ready):
    ready()
    return rig.window("quiet", rig.seconds(3))


def _halve(huge):
    huge.rig.server.limit_memory(huge.rig.server.used_memory() // 2)


QUIET = Scenario("quiet", _quiet, KINDS, control=True)
# One after the other, on one server.
SCENARIOS = [
    QUIET,
    _window("build of 10 M", lambda huge: huge.build("zset", b"huge"), seconds=BUILD_SECONDS),
    _window("RENAME of 10 M", lambda huge: huge.do("RENAME", "huge", "renamed")),
    _window("COPY of 10 M, and a write to it", lambda huge: (huge.do("COPY", "renamed", "copied"), huge.do("ZADD", "copied", 1, "more"))),
    _window("DEL of 10 M", lambda huge: huge.do("DEL", "renamed")),
    _window("10 M expire", lambda huge: huge.do("PEXPIRE", "copied", 1)),
    QUIET,
    _window("SINTERSTORE of two of 10 M", lambda huge: huge.do("SINTERSTORE", "c", "a", "b"), before=lambda huge: (huge.build("set", b"a"), huge.build("set", b"b")), seconds=10),
    _window("eviction of 10 M", _halve, seconds=6),
    _window("FLUSHALL of 10 M", lambda huge: huge.do("FLUSHALL"), before=lambda huge: (huge.rig.server.limit_memory(8 << 30), huge.build("set", b"a"))),
]


def _stalls_of(context, kind, number, rates, data, failures):
    """One window for each scenario. Returns how fast the server can go."""
    setup = Setup(memory_mb=8192, policy="allkeys-lfu", core=context.cores()[0], pinfold_options=("--max-collection-memory", "0"))
    with context.server(kind, setup) as server:
        context.remember_version(server)
        rig = Rig(context, server, rates)
        rig.keys = context.scaled(PLAIN_KEYS, 2000)
        if rates is None:
            rig.measure_rates()
        else:
            rig.fill(0, rig.keys)
        for scenario in SCENARIOS:
            context.say(f"types: {kind}, {scenario.name}")
            try:
                found = scenario.run(rig, lambda: None)
            except InvalidRun as failure:
                failures.append(f"{scenario.name}: {failure}")
                continue
            data.append({"scenario": scenario.name, "control": scenario.control, "server": server.name, "round": number,
                         "gets_capacity": rig.rates.gets, "sets_capacity": rig.rates.sets, **found})
        return rig.rates


def _stalls(context):
    """A report of its own, in the form of the benchmark `stalls`."""
    data, failures, rates = [], [], {}
    with Disturbance() as disturbance:
        for kind in [kind for kind in context.kinds if kind in KINDS]:
            for number in range(context.rounds if kind == "pinfold" else 1):
                try:
                    rates[kind] = _stalls_of(context, kind, number, rates.get(kind), data, failures)
                except (CannotStart, InvalidRun) as failure:
                    failures.append(str(failure))
    found = stalls.report(context, data, failures)
    found.name, found.title = "types-stalls", "Latency of GETs while something happens to a collection of 10 M elements"
    found.notes = [f"GETs of {context.scaled(PLAIN_KEYS, 2000):,} other keys, at half of what the server can do; collections of {context.scaled(HUGE, 20_000):,} elements of 16 B. The "
                   f"columns are those of [stalls](#stalls). Pinfold: {context.rounds} rounds, redis-server once.", disturbance.sentence()]
    return found


# --- all of them ---


def _on_fresh(context, kind, part, measured, number):
    with context.server(kind, Setup(core=context.cores()[0], memory_mb=8192)) as server:
        context.remember_version(server)
        _idle(server)
        part(context, measured, number, server)


def run(context, parts=PARTS):
    """The reports of these parts."""
    found = []
    if set(parts) - {"stalls"}:
        measured, failures = Measured(), []
        with Disturbance() as disturbance, ExitStack() as unpinned:
            before, load_core = os.sched_getaffinity(0), context.cores()[1]
            if load_core is not None:
                os.sched_setaffinity(0, {load_core})
                unpinned.callback(os.sched_setaffinity, 0, before)
            _rounds(context, measured, failures, parts)
        found.append(report(context, measured, failures))
        found[0].notes.append(disturbance.sentence())
    if "stalls" in parts:
        found.append(_stalls(context))
    return found


def _rounds(context, measured, failures, parts):
    kinds = [kind for kind in context.kinds if kind in KINDS]
    for number in range(1, context.rounds + 1):
        context.say(f"types: round {number} of {context.rounds}")
        # The one that begins changes from round to round.
        turns = kinds[number % 2:] + kinds[:number % 2]
        for name, part in (("requests", _requests), ("ranges", _ranges)):
            for kind in turns if name in parts else []:
                _try(failures, lambda: _on_fresh(context, kind, part, measured, number))
        # What memory an element takes is the same in each round.
        for kind in turns if "memory" in parts and number == 1 else []:
            _try(failures, lambda: _memory(context, measured, number, kind))


def report(context, measured, failures):
    table = Table(["figure", "pinfold", "redis-server", "ratio", "least-most", "target"], left=("figure",))

    def compared(label, figure, form, most):
        values = [measured.value(figure, server) for server in (OURS, THEIRS)]
        ratio, ratios = measured.ratio(figure, OURS, THEIRS)
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else ""
        if any(value is not None for value in values):
            table.add(label, *(_shown(value, form) for value in values), _shown(ratio, "{:.2f}"), spread, _verdict(ratio, most))

    for pipeline, most in MOST_CPU.items():
        for workload in WORKLOADS:
            compared(f"{workload.name} p{pipeline}, CPU us", f"{workload.name} p{pipeline}", "{:.2f}", most)
    for case in CASES:
        compared(f"{case.name}, B per element", case.name, "{:.1f}", case.most)
    compared("sorted set of 1 M: ZRANK p16, CPU us", "ZRANK of 1 M p16", "{:.2f}", MOST_RANK)
    compared("sorted set of 1 M: ZRANGE of all, CPU ns per element", "ZRANGE of all", "{:.1f}", MOST_ITERATION)
    notes = [
        f"{CONNECTIONS} connections; p16: 16 requests in a batch. {HASHES:,} hashes of ten fields of 10 + 20 B; {COLLECTIONS} sets, sorted sets and lists that begin with {MEMBERS:,} elements "
        f"of 16 B, and {COLLECTIONS} HyperLogLogs. Medians of {context.rounds} rounds. The ratio is the median of the rounds' ratios.",
        "Bytes per element: growth of RSS over the empty server, keys included, divided by the number of elements.",
    ]
    return Report("types", "Hashes, lists, sets, sorted sets and HyperLogLogs", table, measured.results, notes, failures)
