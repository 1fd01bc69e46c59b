"""What may stall a server: each scenario is a window of load in which one such thing happens."""

import math
import threading
import time
from dataclasses import dataclass

from load import InvalidRun

KEYS = 5_000_000
EXPIRING_KEYS = 1_000_000
VALUE_BYTES, VALUE_MOST = 32, 100
LARGE_VALUE = 512 << 20
LONGEST_GROWTH_SECONDS = 30
EVENT_SECONDS = 1.0  # from the start of a window to what happens in it

# Half of the server's capacity is asked for: with GETs alone, or with fewer GETs and writes beside them.
READS_SHARE = 0.5
MIXED_READS_SHARE = 0.1
MIXED_WRITES_SHARE = 0.4


@dataclass
class Rates:
    """What the server can do: unpipelined GETs a second, and SETs in batches of 16."""

    gets: float
    sets: float


class Rig:
    """A running server with a dataset, and the load that is made on it."""

    def __init__(self, context, server, rates=None):
        self.context = context
        self.server = server
        self.rates = rates
        # With fewer, what a server needs for itself would be more than the dataset that its limit is made from.
        self.keys = context.scaled(KEYS, 100_000)
        self.any_length = False  # values no longer have the length that their keys gave them
        self._load = context.load(context.cores()[1])

    def fill(self, first, keys, **options):
        return self._load.run("fill", self.server, first=first, keys=keys, value=VALUE_BYTES, value_most=VALUE_MOST,
                              pipeline=16, label=f"{self.server.name} fill", **options)

    def measure_rates(self):
        """Fills the server, and notes how fast it can be written and read."""
        sets = self.fill(0, self.keys)["requests_per_second"]
        gets = self._load.run(
            "get", self.server, keys=self.keys, value=VALUE_BYTES, value_most=VALUE_MOST,
            requests=self.context.scaled(300_000, 2000), label=f"{self.server.name} capacity")
        self.rates = Rates(gets["requests_per_second"], sets)

    def seconds(self, full):
        return max(0.4, full * min(1.0, self.context.scale))

    def event_seconds(self):
        return EVENT_SECONDS * min(1.0, max(self.context.scale, 0.1))

    def window(self, label, seconds, writes="none", keys=None, first_write=0, event=None):
        """Load for so long; `event` is called from another thread a little after the start."""
        mixed = writes != "none"
        options = {}
        if mixed:
            options = {"writes": writes, "write_rate": MIXED_WRITES_SHARE * self.rates.sets, "pipeline": 16}
        share = MIXED_READS_SHARE if mixed else READS_SHARE
        happening = _Event(event, self.event_seconds())
        with happening:
            result = self._load.run(
                "paced", self.server, keys=keys or self.keys, value=VALUE_BYTES, value_most=VALUE_MOST,
                rate=share * self.rates.gets, duration_ms=math.ceil(seconds * 1000), first_write=first_write,
                may_miss=True, any_length=self.any_length, pid=self.server.pid, max_seconds=math.ceil(seconds) + 60,
                label=f"{self.server.name} {label}", **options)
        happening.check()
        return {**result, "load": "mixed" if mixed else "reads", "seconds": seconds, "elapsed": result["seconds"]}


class _Event:
    """Calls something in a while, and keeps what went wrong."""

    def __init__(self, call, delay):
        self._failure = None
        self._thread = threading.Thread(target=self._run, args=(call, delay)) if call else None

    def _run(self, call, delay):
        try:
            time.sleep(delay)
            call()
        except (OSError, InvalidRun) as failure:
            self._failure = failure

    def __enter__(self):
        if self._thread:
            self._thread.start()

    def __exit__(self, *unused):
        if self._thread:
            self._thread.join()

    def check(self):
        if self._failure:
            raise InvalidRun(str(self._failure))


def _write_all_seconds(rig, keys):
    return min(LONGEST_GROWTH_SECONDS, max(0.02, keys / (MIXED_WRITES_SHARE * rig.rates.sets)))


def growth(rig, ready):
    ready()
    found = rig.window("growth", _write_all_seconds(rig, rig.keys), "insert")
    # A slow machine writes fewer in the longest window allowed; but the index must have grown a lot.
    missing = rig.keys - found["stored"]
    if missing > rig.keys * 7 / 8:
        raise InvalidRun(f"{rig.server.name}: only {found['stored']} of {rig.keys} keys were written")
    if missing > 0:
        rig.fill(found["stored"], missing)
    return found


def compaction(rig, ready):
    ready()
    rig.any_length = True
    return rig.window("compaction", rig.seconds(6), "resize")


def expiry(rig, ready):
    keys = rig.context.scaled(EXPIRING_KEYS, 400)
    moment = math.ceil(time.time() + 2 + 2 * keys / rig.rates.sets)
    rig.fill(rig.keys, keys, expire_at=moment)
    time.sleep(max(0.0, moment - time.time() - rig.event_seconds()))
    ready()
    found = rig.window("expiry", rig.seconds(5) + rig.event_seconds(), keys=rig.keys + keys)
    # Of the keys asked for, these are a sixth, and they are missing for most of the window.
    if found["misses"] < 0.2 * found["requests"] * keys / (rig.keys + keys):
        raise InvalidRun(f"{rig.server.name}: the keys did not expire")
    return found


def large_delete(rig, ready):
    rig.server.store("large", rig.context.scaled(LARGE_VALUE, 100_000))
    ready()
    return rig.window("delete", rig.seconds(3), event=lambda: rig.server.delete("large"))


def flush(rig, ready):
    ready()
    return rig.window("flush", rig.seconds(4), event=rig.server.flush)


def halve(rig, ready):
    half = rig.server.used_memory() // 2
    ready()
    found = rig.window("halve", rig.seconds(5), event=lambda: rig.server.limit_memory(half))
    return {**found, "limit_bytes": half, "used_after_bytes": rig.server.used_memory()}


def churn(rig, ready):
    ready()
    before = rig.server.evictions()
    found = rig.window("churn", rig.seconds(6), "insert", first_write=2 * rig.keys)
    found["evicted"] = rig.server.evictions() - before
    if found["evicted"] < found["stored"] / 2:
        raise InvalidRun(f"{rig.server.name}: {found['evicted']} evictions for {found['stored']} SETs at the limit")
    return found


def quiet_reads(rig, ready):
    ready()
    return rig.window("quiet", rig.seconds(3))


def quiet_mixed(rig, ready):
    ready()
    return rig.window("quiet, writes", rig.seconds(3), "overwrite")


@dataclass
class Scenario:
    name: str
    run: object  # called with a rig and a function to be called right before the load starts
    kinds: tuple = ("pinfold", "redis", "memcached")
    control: bool = False  # nothing happens: what the others are compared with


QUIET = [Scenario("quiet", quiet_reads, control=True), Scenario("quiet, with writes", quiet_mixed, control=True)]

# What happens to a server that was filled, and to one that starts empty, in this order: the control with writes
# needs values of the lengths that compaction changes, and FLUSHALL leaves nothing to ask for.
ON_FILLED = [
    *QUIET,
    Scenario("maxmemory to half", halve),
    Scenario("eviction at the limit", churn),
]
ON_EMPTY = [
    Scenario("index growth", growth),
    QUIET[1],
    Scenario("compaction", compaction),
    Scenario("1 M keys expire", expiry),
    Scenario("DEL of 512 MB", large_delete, ("pinfold", "redis")),
    QUIET[0],
    Scenario("FLUSHALL", flush),
]
