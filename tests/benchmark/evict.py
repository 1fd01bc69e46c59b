"""CPU time of a SET of a new key: where there is room, and at the limit, where each evicts another."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from load import InvalidRun
from proc import Disturbance
from report import Report, Table
from servers import CannotStart, Setup

VALUE_BYTES = 100
MEMORY_MB = 2048
TARGET = 1.3
POLICIES = {"pinfold": ["allkeys-lfu"], "redis": ["allkeys-lfu", "allkeys-lru"]}

# Where there is room, the number of keys grows from START over the measured SETs; at the limit it stays at LIMITED,
# which is the middle. So both touch as much memory, and Redis' table, which doubles at powers of two, does not grow
# under either.
START = 1_200_000
LIMITED = 1_600_000
TURNOVER = 400_000  # new keys written at the limit before the measurement, until evictions are steady


@dataclass
class Workload:
    name: str
    pipeline: int
    requests: int


WORKLOADS = [
    Workload("SET of a new key p1", 1, 150_000),
    Workload("SET of a new key p16", 16, 550_000),
]


class _Side:
    """A filled server, with room or at its limit, that gets new keys and no others."""

    def __init__(self, context, load, server, policy, at_limit):
        self.server, self.policy, self.at_limit = server, policy, at_limit
        self._context, self._load = context, load
        self._next = 0
        # Fewer keys than this, and the buffers of the connections would be what memory is needed for.
        self.insert(context.scaled(LIMITED, 60_000) if at_limit else context.scaled(START, 45_000))
        if at_limit:
            # Redis' buffers for this very load are counted in its memory too, and would be gone when it is limited.
            server.limit_memory(server.used_memory())
            self.insert(context.scaled(TURNOVER, 20_000))

    def insert(self, count, pipeline=16, **options):
        first, self._next = self._next, self._next + count
        return self._load.run("fill", self.server, first=first, keys=count, value=VALUE_BYTES, pipeline=pipeline,
                              label=f"{self.server.name} new keys", **options)

    def measure(self, workload, number):
        before = self.server.evictions()
        result = self.insert(self._context.scaled(workload.requests), workload.pipeline, pid=self.server.pid)
        evicted = self.server.evictions() - before
        # Memory comes free in pieces, so evictions go by steps; but all in all each SET must have its eviction.
        if self.at_limit and self._context.scale >= 1 and not 0.8 < evicted / result["requests"] < 1.25:
            raise InvalidRun(f"{self.server.name}: {evicted} evictions for {result['requests']} SETs at the limit")
        if not self.at_limit and evicted:
            raise InvalidRun(f"{self.server.name}: {evicted} evictions although there is room")
        return self._result(workload.name, number, evicted, result)

    def overwrite(self, workload, number):
        """The same for keys that exist, which neither needs memory nor a place in the index: for orientation."""
        result = self._load.run("set", self.server, keys=self._next, value=VALUE_BYTES, pipeline=workload.pipeline,
                                requests=self._context.scaled(workload.requests), pid=self.server.pid, seed=number)
        return self._result(f"{workload.name} overwrite", number, 0, result)

    def _result(self, workload, number, evicted, result):
        return {"round": number, "server": self.server.name, "policy": self.policy, "workload": workload,
                "at_limit": self.at_limit, "evicted": evicted, **result}


def _round(context, number, kind, policy, results):
    server_core, load_core = context.cores()
    load = context.load(load_core)
    with ExitStack() as running:
        sides = []
        for at_limit in (False, True):
            setup = Setup(memory_mb=MEMORY_MB, policy=policy, core=server_core)
            server = running.enter_context(context.server(kind, setup))
            context.remember_version(server)
            sides.append(_Side(context, load, server, policy, at_limit))
        time.sleep(context.settle(1))
        # Side by side, so that what disturbs the one disturbs the other.
        for workload in WORKLOADS:
            results += [side.measure(workload, number) for side in sides]
            results.append(sides[0].overwrite(workload, number))


def run(context):
    results, failures = [], []
    with Disturbance() as disturbance:
        for number in range(1, context.rounds + 1):
            for kind in context.kinds:
                for policy in POLICIES.get(kind, ()):
                    context.say(f"cpu: eviction, {kind} {policy}, round {number} of {context.rounds}")
                    try:
                        _round(context, number, kind, policy, results)
                    except (CannotStart, InvalidRun) as failure:
                        failures.append(f"eviction, round {number}: {failure}")
    found = report(context, results, failures)
    found.notes.append(disturbance.sentence())
    return found


def _cpu(results, **wanted):
    """CPU per request by round."""
    return {result["round"]: result["server_cpu_us_per_request"] for result in results
            if all(result[name] == value for name, value in wanted.items())}


def _evictions_per_set(results, workload, server, policy):
    found = [result for result in results if result["at_limit"] and
             (result["workload"], result["server"], result["policy"]) == (workload, server, policy)]
    return sum(result["evicted"] for result in found) / sum(result["requests"] for result in found)


def report(context, results, failures):
    table = Table(["load", "server", "with room CPU us", "at the limit CPU us", "ratio", "least-most", "target",
                   "existing key CPU us"],
                  left=("load", "server"))
    data = []
    for workload in WORKLOADS:
        for server, policy in dict.fromkeys((result["server"], result["policy"]) for result in results):
            room, limit = (_cpu(results, workload=workload.name, server=server, policy=policy, at_limit=at_limit)
                           for at_limit in (False, True))
            ratios = [limit[number] / room[number] for number in limit if number in room]
            if not ratios:
                continue
            found = {"workload": workload.name, "server": server, "policy": policy, "ratio": median(ratios),
                     "evictions_per_set": _evictions_per_set(results, workload.name, server, policy),
                     "ratio_rounds": ratios, "room_cpu_us": median(room.values()),
                     "limit_cpu_us": median(limit.values()),
                     "overwrite_cpu_us": median(_cpu(results, workload=f"{workload.name} overwrite", server=server,
                                                     policy=policy).values()),
                     "target": TARGET if server == "pinfold" else None}
            data.append(found)
            target = found["target"]
            verdict = "" if target is None else f"<= {target} {'met' if found['ratio'] <= target else 'missed'}"
            table.add(workload.name, f"{server} {policy}", f"{found['room_cpu_us']:.3f}",
                      f"{found['limit_cpu_us']:.3f}", f"{found['ratio']:.2f}",
                      f"{min(ratios):.2f}-{max(ratios):.2f}", verdict, f"{found['overwrite_cpu_us']:.3f}")
    notes = [f"16 B key, {VALUE_BYTES} B value, 50 connections, about {context.scaled(LIMITED, 60_000):,} keys; the "
             f"median of {context.rounds} rounds with fresh servers, the two sides of a ratio measured right after "
             "each other. With room, the cost of a growing index and of memory touched for the first time is in the "
             "figure; overwriting an existing key has neither."]
    title = "CPU time per SET of a new key, with room and at the limit"
    return Report("evict", title, table, data, notes, failures)
