"""RSS per key beyond key and value."""

import time
from dataclasses import dataclass

from load import InvalidRun
from proc import resident
from report import Report, Table
from servers import CannotStart, Setup

KEYS = 1_000_000
KEY_BYTES = 16
SETTLE_SECONDS = 3


@dataclass
class Case:
    name: str
    value_bytes: int
    ttl: int
    target: int


CASES = [
    Case("16 B key, 32 B value", 32, 0, 16),
    Case("16 B key, 32 B value, TTL", 32, 86_400, 22),
    Case("16 B key, 100 B value", 100, 0, 16),
]


def _measure(context, kind, case, keys):
    load = context.load()
    with context.server(kind, Setup()) as server:
        context.remember_version(server)
        time.sleep(context.settle(1))
        before = resident(server.pid)
        # Few connections: their buffers are no cost of the keys.
        load.run("fill", server, keys=keys, value=case.value_bytes, ttl=case.ttl, connections=4, pipeline=16,
                 label=f"{server.name} {case.name}")
        time.sleep(context.settle(SETTLE_SECONDS))
        after = resident(server.pid)
        # A server that dropped keys would look thrifty.
        load.run("get", server, keys=keys, value=case.value_bytes, requests=min(keys, 200_000), connections=4,
                 pipeline=16, protocol=server.pipelined_get_protocol)
        return {"server": server.name, "case": case.name, "keys": keys, "growth_bytes": after - before,
                "overhead_bytes": (after - before) / keys - KEY_BYTES - case.value_bytes,
                "target": case.target if kind == "pinfold" else None}


def run(context, keys=KEYS):
    table = Table(["entries", "server", "B per key beyond key and value", "target"], left=("entries", "server"))
    keys = context.scaled(keys, 1000)
    data, failures = [], []
    for case in CASES:
        for kind in context.kinds:
            context.say(f"memory: {case.name}, {kind}")
            try:
                found = _measure(context, kind, case, keys)
            except (CannotStart, InvalidRun) as failure:
                failures.append(str(failure))
                continue
            data.append(found)
            target = found["target"]
            verdict = "" if target is None else \
                f"<= {target} {'met' if found['overhead_bytes'] <= target else 'missed'}"
            table.add(case.name, found["server"], f"{found['overhead_bytes']:.1f}", verdict)
    notes = [f"{keys:,} keys, random binary values; growth of RSS over the empty server. Hash tables that double are "
             f"judged kindly or harshly by the number of keys; --keys takes another."]
    return Report("memory", "Memory per key", table, data, notes, failures)
