"""What leases, stale windows, policies and tags do to a herd of readers, and what they cost.

Pinfold alone: the others have none of it.
"""

import resource
import socket
import time
from contextlib import contextmanager
from statistics import median

from load import PARKED_KEY, InvalidRun
from proc import Disturbance, cpu_seconds, resident
from report import Report, Table
from servers import CannotStart, Setup

CONNECTIONS = 5000
ORIGIN_MS = 200
LAST_ANSWER_MS = 100

PARKED = 100_000
PARKED_SECONDS = 10  # of watching
PARKED_CPU = 1.0     # ms per second, beyond what the server takes with the same connections idle

EXPIRIES = 20
FRESH_MS = 200
REBUILD_MS = 50

KEYS = 1_000_000
VALUE_BYTES = 100
POLICIES = 100
CACHE_GET_RATIO = 1.15
POLICIES_RATIO = 1.03
PIPELINES = {1: 300_000, 16: 2_500_000}  # requests of a round
LEAST_REQUESTS = {1: 30_000, 16: 150_000}  # at any scale: of less than some ms of another process the clock may tell nothing
# Of policies that no key (key:000000000000 and so on) falls under: they begin otherwise, or as the keys do, or have to be told
# from them by how they end.
PATTERNS = {"unlike": "unrelated-{}:*", "alike": "key:{}x*", "by their ends": "key:*:{}"}
TURNS = 6  # in which each side of a comparison makes its requests of a round

PURGE_ANSWER_MS = 1.0
PURGE_SECONDS = 5
PURGE_PATIENCE = 60  # seconds; bytes that are not back by then are shown as if they came then
OPEN_SEGMENTS = 2**20  # what shards may have begun to fill meanwhile


class Client:
    """A connection that speaks as much RESP as is needed here."""

    def __init__(self, server):
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._file.close()
        self._socket.close()

    def call(self, *words):
        return self.pipeline([words])[0]

    def pipeline(self, commands):
        self._socket.sendall(b"".join(self._encode(words) for words in commands))
        return [self._reply() for unused in commands]

    @staticmethod
    def _encode(words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    def _reply(self):
        line = self._file.readline().rstrip(b"\r\n")
        if line[:1] == b"*":
            return [self._reply() for unused in range(int(line[1:]))]
        if line[:1] == b":":
            return int(line[1:])
        if line[:1] != b"$":
            return line
        length = int(line[1:])
        return None if length < 0 else self._file.read(length + 2)[:-2]


def _policy(server, name, *fields):
    with Client(server) as client:
        reply = client.call("CACHE.POLICY", "SET", name, *fields)
    if reply != b"+OK":
        raise InvalidRun(f"CACHE.POLICY SET {name} was answered {reply!r}")


def _row(what, figure, shown, value, target, met):
    """`target` is how it is shown; `met` a function of the value, None where there is no target."""
    verdict = "" if met is None else f"{target} {'met' if met(value) else 'missed'}"
    return {"what": what, "figure": figure, "value": value, "shown": shown, "verdict": verdict}


def _spread(values, digits=1):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


# --- one missing key ---


def _one_missing_key(context, leases):
    connections = context.scaled(CONNECTIONS, 50)
    load = context.load(context.cores()[1])
    setup = Setup(core=context.cores()[0], connections=connections + 100)
    runs = []
    with context.server("pinfold", setup) as server:
        context.remember_version(server)
        if not leases:
            _policy(server, "herd", "match", "key:*", "coalesce", "30s")
        for number in range(context.rounds):
            runs.append(load.run("herd", server, protocol="resp-cache" if leases else "resp", connections=connections,
                                 first=number, value=VALUE_BYTES, origin_ms=ORIGIN_MS))
    what = f"{connections:,} connections, {'CACHE.GET WAIT' if leases else 'GET under `coalesce`'}, one missing key"
    loads = max(run["loads_before_fill"] for run in runs)
    # Who was told to load asks again after the fill; so everybody can have the value.
    value = min(run["hits"] for run in runs)
    last = [run["fill_to_last_ms"] for run in runs]
    return [
        _row(what, "tokens" if leases else "answers of nil before the fill", f"{loads:,}", loads, "1",
             lambda n: n == 1),
        _row(what, "answered `hit`" if leases else "answered with the value", f"{value:,}", value, f"{connections:,}",
             lambda n: n == connections),
        _row(what, "last answer after the fill, ms", _spread(last), median(last), f"<= {LAST_ANSWER_MS}",
             (lambda ms: ms <= LAST_ANSWER_MS) if leases else None),
    ], runs


# --- parked for long ---


def _cpu_ms_per_second(context, server):
    before, begun = cpu_seconds(server.pid), time.monotonic()
    time.sleep(context.settle(PARKED_SECONDS))
    return (cpu_seconds(server.pid) - before) * 1000 / (time.monotonic() - begun)


def _until(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise InvalidRun(f"not after {seconds} s: {what}")
        time.sleep(0.05)


def _parked_once(context, server, client, load, connections):
    with load.open_idle(server, connections, protocol="resp-cache", value=VALUE_BYTES) as held:
        time.sleep(context.settle(2))
        idle, rss = _cpu_ms_per_second(context, server), resident(server.pid)
        token = client.call("CACHE.GET", PARKED_KEY, "LEASE", 600_000)[2]
        held.park()
        _until(f"{connections} are waiting", lambda: _number(client, "cache", "lease_waiters") == connections)
        time.sleep(context.settle(2))
        parked, parked_rss = _cpu_ms_per_second(context, server), resident(server.pid)
        begun = time.perf_counter()
        if client.call("CACHE.SET", PARKED_KEY, "x" * VALUE_BYTES, "TOKEN", token) != b"+OK":
            raise InvalidRun("the fill was refused")
        held.receive_answers()
        answered = (time.perf_counter() - begun) * 1000
    client.call("DEL", PARKED_KEY)
    _until("the connections are gone", lambda: _number(client, "clients", "connected_clients") == 1)
    return {"connections": connections, "idle_cpu": idle, "parked_cpu": parked, "answered_ms": answered,
            "bytes_per_waiter": (parked_rss - rss) / connections}


def _most_connections(wanted):
    """So many, or what a process may open here: the server and the generator inherit it."""
    spare = 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + spare:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted + spare))
        except (ValueError, OSError):
            return hard - spare
    return wanted


def _parked(context):
    connections = _most_connections(context.scaled(PARKED, 200))
    server_core, load_core = context.cores()
    setup = Setup(core=server_core, connections=connections + 100)
    with context.server("pinfold", setup) as server, Client(server) as client:
        runs = [_parked_once(context, server, client, context.load(load_core), connections)
                for unused in range(context.rounds)]
    limited = "" if connections >= context.scaled(PARKED, 200) else " (as many as a process may open here)"
    what = f"{connections:,} clients parked on one key{limited}"
    idle, parked = ([run[name] for run in runs] for name in ("idle_cpu", "parked_cpu"))
    more = median(run["parked_cpu"] - run["idle_cpu"] for run in runs)
    return [
        _row(what, f"CPU, ms per second (the same connections idle: {_spread(idle, 2)})", _spread(parked, 2), more,
             f"<= {PARKED_CPU:g} more than idle", lambda ms: ms <= PARKED_CPU),
        _row(what, "all have the value after, ms", _spread([run["answered_ms"] for run in runs]), None, "", None),
        _row(what, "memory of a waiter, B of RSS", _spread([run["bytes_per_waiter"] for run in runs], 0), None, "", None),
    ], runs


# --- a key that expires ---


def _expiring_key(context):
    expiries = context.scaled(EXPIRIES, 3)
    load = context.load(context.cores()[1])
    runs = []
    with context.server("pinfold", Setup(core=context.cores()[0])) as server:
        _policy(server, "herd", "match", "key:*", "stale", "10s", "lease", "10s")
        load.run("fill", server, keys=1, first=1, value=VALUE_BYTES)
        for unused in range(context.rounds):
            # How long a reader waits for a key that does not expire: what the machine does.
            quiet = load.run("get", server, keys=1, first=1, value=VALUE_BYTES, requests=context.scaled(500_000, 2000))
            runs.append(load.run("expiring", server, value=VALUE_BYTES, expiries=expiries, fresh_ms=FRESH_MS,
                                 origin_ms=REBUILD_MS, label="herd: expiries"))
            runs[-1]["quiet_latency_us"] = quiet["latency_us"]
    what = f"key with `stale` read at full speed over {expiries} expiries"
    rebuilds = max(run["loads"] for run in runs)
    early = sum(run["loads_too_early"] for run in runs)
    slow = median(run["slow"] for run in runs)
    longest, usual = ([run[name]["max"] / 1000 for run in runs] for name in ("latency_us", "quiet_latency_us"))
    return [
        _row(what, "rebuilds", f"{rebuilds}", rebuilds, f"{expiries}", lambda n: n == expiries and not early),
        _row(what, f"GETs that took as long as a rebuild, {REBUILD_MS} ms", f"{slow:g}", slow, "0", lambda n: n == 0),
        _row(what, "longest GET, ms", _spread(longest), median(longest), "", None),
        _row(what, "longest GET of a key that does not expire, ms", _spread(usual), median(usual), "", None),
    ], runs


# --- CPU ---


@contextmanager
def _policies(server, pattern):
    """Policies that no key falls under, for as long as the block runs. `pattern` is a format; without one there are none."""
    names = [f"unrelated-{number}" for number in range(POLICIES if pattern else 0)]
    for number, name in enumerate(names):
        _policy(server, name, "match", pattern.format(number), "ttl", "1h", "coalesce", "50ms")
    yield
    with Client(server) as client:
        if client.pipeline([("CACHE.POLICY", "DEL", name) for name in names]) != [1] * len(names):
            raise InvalidRun("the policies could not be removed")


def _cpu_round(context, number, results):
    """Every load against the same server, one right after the other: so that memory lies alike for all of them."""
    server_core, load_core = context.cores()
    load = context.load(load_core)
    keys = context.scaled(KEYS, 1000)
    sides = [("GET", "resp", ""), ("CACHE.GET", "resp-cache", "")] + \
        [(name, "resp", pattern) for name, pattern in PATTERNS.items()]
    with context.server("pinfold", Setup(core=server_core)) as server:
        load.run("fill", server, keys=keys, value=VALUE_BYTES, pipeline=16, label="herd: fill")
        for pipeline, full in PIPELINES.items():
            requests = context.scaled(full, LEAST_REQUESTS[pipeline]) // TURNS
            for turn in range(TURNS):
                at = turn % len(sides)
                for name, protocol, pattern in sides[at:] + sides[:at]:
                    with _policies(server, pattern):
                        result = load.run("get", server, keys=keys, value=VALUE_BYTES, pipeline=pipeline,
                                          requests=requests, warmup=requests // 10, seed=turn, pid=server.pid,
                                          protocol=protocol, label=f"herd: {name} p{pipeline}")
                    results.setdefault((number, name, pipeline), []).append(result["server_cpu_us_per_request"])


def _cpu(context):
    results = {}
    for number in range(1, context.rounds + 1):
        context.say(f"herd: CPU, round {number} of {context.rounds}")
        _cpu_round(context, number, results)
    rows, data = [], []
    comparisons = [("CACHE.GET", "CACHE.GET hit against GET", CACHE_GET_RATIO)] + \
        [(name, f"GET with {POLICIES} policies `{pattern.format('N')}`, none matching, against none", POLICIES_RATIO)
         for name, pattern in PATTERNS.items()]
    for other, what, target in comparisons:
        for pipeline in PIPELINES:
            # Of each turn with the same turn, so that what disturbs for a while disturbs both.
            pairs = [list(zip(results[number, other, pipeline], results[number, "GET", pipeline]))
                     for number in range(1, context.rounds + 1)]
            if any(base == 0 for turns in pairs for _, base in turns):
                raise InvalidRun("the server's CPU time was too short to be measured")
            ratios = [median(one / base for one, base in turns) for turns in pairs]
            ratio = median(ratios)
            cost, base = (median(side) for side in zip(*(pair for turns in pairs for pair in turns)))
            rows.append(_row(what, f"CPU ratio, pipeline {pipeline} ({cost:.3f} us against {base:.3f})",
                             _spread(ratios, 3), ratio, f"<= {target}",
                             lambda value, target=target: value <= target))
            data.append({"what": what, "pipeline": pipeline, "cpu_us_pairs": pairs, "ratio": ratio})
    return rows, data


# --- purge ---


def _used(client):
    """Bytes by what they are for: all, those of entries, those that remember purges."""
    return {name: _number(client, "memory", field) for name, field in
            (("all", "used_memory"), ("entries", "used_memory_dataset"), ("herd", "used_memory_herd"))}


def _number(client, section, name):
    for line in client.call("INFO", section).decode().splitlines():
        if line.startswith(name + ":"):
            return int(line.split(":")[1])
    raise InvalidRun(f"INFO {section} has no {name}")


def _purge_once(context, load, server, client, number):
    half = context.scaled(KEYS, 1000)
    before = _used(client)
    tag = f"tag-{number}"
    load.run("fill", server, keys=half, first=half, value=VALUE_BYTES, pipeline=16, protocol="resp-cache", tag=tag,
             label="herd: fill with a tag")
    full = _used(client)
    begun = time.perf_counter()
    reply = client.call("CACHE.PURGE", "TAGS", 1, tag)
    answered = time.perf_counter()
    if reply != b"+OK":
        raise InvalidRun(f"CACHE.PURGE was answered {reply!r}")
    # At once, on the same connection; then from others, while the bytes come back.
    seen = sum(value is not None for value in
               client.pipeline([("GET", f"key:{half + n * 997 % half:012}") for n in range(1000)]))
    back = None
    while back is None and time.perf_counter() - answered < PURGE_PATIENCE:
        if _used(client)["entries"] - before["entries"] <= OPEN_SEGMENTS:
            back = time.perf_counter() - answered
        time.sleep(0.01)
    readers = load.run("get", server, keys=half, first=half, value=VALUE_BYTES, requests=context.scaled(500_000, 2000),
                       pipeline=16, may_miss=True, label="herd: read what was purged")
    kept = load.run("get", server, keys=half, value=VALUE_BYTES, requests=context.scaled(200_000, 2000), pipeline=16,
                    label="herd: read the rest")
    return {"entries": half, "answer_ms": (answered - begun) * 1000, "seen": seen + readers["hits"],
            "kept_hits": kept["hits"], "used_before": before, "used_full": full, "used_after": _used(client),
            "seconds_until_back": back, "purges_pending": _number(client, "cache", "purges_pending")}


def _purge(context):
    load = context.load(context.cores()[1])
    runs = []
    with context.server("pinfold", Setup(core=context.cores()[0])) as server, Client(server) as client:
        load.run("fill", server, keys=context.scaled(KEYS, 1000), value=VALUE_BYTES, pipeline=16, label="herd: fill")
        for number in range(1, context.rounds + 1):
            context.say(f"herd: purge, round {number} of {context.rounds}")
            runs.append(_purge_once(context, load, server, client, number))
    what = f"purge of a tag on {runs[0]['entries']:,} of {2 * runs[0]['entries']:,} entries"
    answers = [run["answer_ms"] for run in runs]
    seen = sum(run["seen"] for run in runs)
    back = [PURGE_PATIENCE if run["seconds_until_back"] is None else run["seconds_until_back"] for run in runs]
    kept = {name: max(run["used_after"][name] - run["used_before"][name] for run in runs) for name in ("all", "herd")}
    pending = max(run["purges_pending"] for run in runs)
    rows = [
        _row(what, "answered after, ms", _spread(answers, 2), median(answers), f"< {PURGE_ANSWER_MS:g}",
             lambda ms: ms < PURGE_ANSWER_MS),
        _row(what, "seen by a reader after that", f"{seen:,}", seen, "0", lambda n: n == 0),
        _row(what, "bytes back after, s", _spread(back, 2), median(back), f"<= {PURGE_SECONDS}",
             lambda seconds: seconds <= PURGE_SECONDS),
        _row(what, "purges, and bytes to remember them, after that", f"{pending}, {kept['herd']:,}",
             pending + max(kept["herd"], 0), "0", lambda n: n == 0),
        _row(what, "used_memory after less before: the index keeps its room, MB", f"{kept['all'] / 1e6:.1f}",
             kept["all"], "", None),
    ]
    return rows, runs


def run(context):
    parts = {
        "leases": lambda: _one_missing_key(context, leases=True),
        "coalesce": lambda: _one_missing_key(context, leases=False),
        "parked": lambda: _parked(context),
        "stale": lambda: _expiring_key(context),
        "cpu": lambda: _cpu(context),
        "purge": lambda: _purge(context),
    }
    rows, details, failures = [], {}, []
    with Disturbance() as disturbance:
        for name, part in parts.items():
            context.say(f"herd: {name}")
            try:
                found, details[name] = part()
                rows += found
            except (CannotStart, InvalidRun) as failure:
                failures.append(f"{name}: {failure}")
    found = report(context, rows, details, failures)
    found.notes.append(disturbance.sentence())
    return found


def report(context, rows, details, failures):
    table = Table(["what", "figure", "pinfold", "target"], left=("what", "figure"))
    for row in rows:
        table.add(row["what"], row["figure"], row["shown"], row["verdict"])
    notes = [f"The origin takes {ORIGIN_MS} ms. Who loads asks again after its fill, so that everybody can have the "
             f"value. A rebuild of the expiring key takes {REBUILD_MS} ms, and the key lives {FRESH_MS} ms after each.",
             f"{context.rounds} rounds: counts are the worst of them, times and ratios the median, with the least and "
             "the most. For CPU ratios each round has a fresh server, with "
             f"{context.scaled(KEYS, 1000):,} keys of 16 B and values of {VALUE_BYTES} B. The bytes of a purge are back "
             f"when used_memory_dataset is within {OPEN_SEGMENTS / 2**20:.0f} MB of what it was before the tagged "
             "entries came."]
    return Report("herd", "A herd of readers", table, {"rows": rows, **details}, notes, failures)
