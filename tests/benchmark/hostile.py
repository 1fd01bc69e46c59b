"""How long others wait, and how much memory it takes, while one client sends what is made to hurt."""

import multiprocessing
import os
import sys
import time

from proc import ResidentSampler
from report import Report, Table, mb

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from tests.bounds import scenarios  # noqa: E402
from tests.support import servers  # noqa: E402

TARGET_MS = 250  # beyond the worst of an idle server
IDLE_SECONDS = 5


def _attack(scenario, server):
    """In a process of its own: a client that decodes much must not keep its neighbours' clients from running."""
    process = multiprocessing.get_context("fork").Process(target=scenario.attack, args=(server,))
    process.start()
    process.join()
    return process.exitcode


def _measure(context, scenario):
    password = "pw" if "pw" in scenario.options else None
    memory = f"{scenario.memory_mb}mb"
    with servers.Server(context.pinfold_binary, "--maxmemory", memory, "--threads", "2", *scenario.options) as server:
        scenario.prepare(server)
        with scenarios.Neighbours(server, time.monotonic, password) as idle:
            time.sleep(context.settle(IDLE_SECONDS))
        with ResidentSampler(server.process.pid) as sampler, scenarios.Neighbours(server, time.monotonic, password) as neighbours:
            start = time.monotonic()
            exit_code = _attack(scenario, server)
            seconds = time.monotonic() - start
        # An attacker may be disconnected; a well-behaved client must get what it asked for.
        succeeded = exit_code == 0 and not neighbours.failures
        return {"scenario": scenario.name, "well_behaved": scenario.well_behaved, "memory_mb": scenario.memory_mb, "seconds": seconds,
                "idle_ms": max(idle.longest) * 1000, "longest_ms": max(neighbours.longest) * 1000, "peak_bytes": sampler.peak,
                "succeeded": succeeded, "promised_bytes": scenario.memory_mb * 2**20 * 1.05 + 12 * 2**20}


def run(context):
    table = Table(["request", "seconds", "others waited ms", "idle ms", "at most 250 ms more", "peak RSS MB", "promised MB", "within"],
                  left=("request",))
    data, failures = [], []
    for scenario in scenarios.ALL:
        context.say(f"hostile: {scenario.name}")
        found = _measure(context, scenario)
        data.append(found)
        if not found["succeeded"]:
            failures.append(scenario.name)
        met = found["longest_ms"] <= found["idle_ms"] + TARGET_MS
        within = found["peak_bytes"] <= found["promised_bytes"]
        table.add(scenario.name, f"{found['seconds']:.1f}", f"{found['longest_ms']:.0f}", f"{found['idle_ms']:.0f}", "yes" if met else "no",
                  mb(found["peak_bytes"]), mb(found["promised_bytes"]), "yes" if within else "no")
    notes = ["`others waited` is the longest that one of two neighbours, one on each I/O thread, waited for a small GET, by the clock: with "
             "what the attacker's own client took of the two cores."]
    return Report("hostile", "Requests that are made to hurt", table, data, notes, failures)
