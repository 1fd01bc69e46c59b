"""CPU time per request: the server on one core, the load on another."""

from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from load import InvalidRun
from proc import Disturbance
from report import Report, Table
from servers import CannotStart, Setup

KEYS = 1_000_000
VALUE_BYTES = 100


@dataclass
class Workload:
    name: str
    mode: str
    pipeline: int
    requests: int  # enough for about two seconds of CPU
    target: float  # of redis-server's CPU per request


WORKLOADS = [
    Workload("GET p1", "get", 1, 300_000, 0.89),
    Workload("SET p1", "set", 1, 300_000, 0.89),
    Workload("GET p16", "get", 16, 2_500_000, 0.40),
    Workload("SET p16", "set", 16, 2_500_000, 0.55),
]


def _measure(context, load, server, workload, seed):
    requests = context.scaled(workload.requests, 1000)
    pipelined_get = workload.mode == "get" and workload.pipeline > 1
    result = load.run(
        workload.mode, server, keys=context.scaled(KEYS, 1000), value=VALUE_BYTES, pipeline=workload.pipeline,
        requests=requests, warmup=requests // 20, seed=seed, pid=server.pid, label=f"{server.name} {workload.name}",
        protocol=server.pipelined_get_protocol if pipelined_get else server.protocol)
    return {"round": seed, "server": server.name, "workload": workload.name, **result}


def _round(context, number, failures):
    """Fresh servers, filled; then every workload against one after the other.

    Servers wait their turn on the same core, where they cost next to nothing. So the runs that are compared lie
    seconds apart, and a neighbour that slows the machine down slows all of them.
    """
    server_core, load_core = context.cores()
    load = context.load(load_core)
    results = []
    # Each round starts with another server, so that the order favours none.
    first = (number - 1) % len(context.kinds)
    with ExitStack() as running:
        servers = []
        for kind in context.kinds[first:] + context.kinds[:first]:
            try:
                server = running.enter_context(context.server(kind, Setup(core=server_core)))
                context.remember_version(server)
                load.run("fill", server, keys=context.scaled(KEYS, 1000), value=VALUE_BYTES, pipeline=16,
                         label=f"{server.name} fill")
                servers.append(server)
            except (CannotStart, InvalidRun) as failure:
                failures.append(f"round {number}: {failure}")
        for workload in WORKLOADS:
            for server in servers:
                try:
                    results.append(_measure(context, load, server, workload, number))
                except InvalidRun as failure:
                    failures.append(f"round {number}: {workload.name}: {failure}")
    return results


def run(context):
    results, failures = [], []
    with Disturbance() as disturbance:
        for number in range(1, context.rounds + 1):
            context.say(f"cpu: round {number} of {context.rounds}")
            results += _round(context, number, failures)
    found = report(context, results, failures)
    found.notes.append(disturbance.sentence())
    return found


def report(context, results, failures):
    table = Table(["load", "server", "CPU us/request", "least-most", "requests/s", "p50 us", "p99 us",
                   "CPU vs redis-server", "target"], left=("load", "server"))
    data = []
    for workload in WORKLOADS:
        runs = {}
        for result in results:
            if result["workload"] == workload.name and "server_cpu_us_per_request" in result:
                runs.setdefault(result["server"], []).append(result)
        base = {run["round"]: run["server_cpu_us_per_request"] for run in runs.get("redis-server", [])}
        for name in sorted(runs, key=["pinfold", "redis-server", "memcached"].index):
            data.append(_summary(workload, name, runs[name], base))
            table.add(*_cells(data[-1]))
    server_core, _ = context.cores()
    notes = [f"{context.scaled(KEYS, 1000):,} keys of 16 B, values of {VALUE_BYTES} B, 50 connections; medians of "
             f"{context.rounds} rounds, each with fresh servers. The ratio is the median of the rounds' ratios."]
    if server_core is None:
        notes.append("Only one core: server and load shared it, so requests/s mean little.")
    if any(run.get("cpu_clock") == "ticks" for run in results):
        notes.append("CPU times were read in ticks of 10 ms.")
    return Report("cpu", "Server CPU time per request", table, data, notes, failures)


def _summary(workload, name, runs, base):
    cpu = [run["server_cpu_us_per_request"] for run in runs]
    ratios = [run["server_cpu_us_per_request"] / base[run["round"]] for run in runs if run["round"] in base]
    return {
        "workload": workload.name,
        "server": name,
        "rounds": len(runs),
        "cpu_us": median(cpu),
        "cpu_us_rounds": cpu,
        "requests_per_second": median(run["requests_per_second"] for run in runs),
        "p50_us": median(run["latency_us"]["p50"] for run in runs),
        "p99_us": median(run["latency_us"]["p99"] for run in runs),
        "ratio": median(ratios) if ratios else None,
        "ratio_rounds": ratios,
        "target": workload.target if name == "pinfold" else None,
    }


def _cells(found):
    ratio, target = found["ratio"], found["target"]
    verdict = "" if target is None else f"<= {target}"
    if target is not None and ratio is not None:
        verdict += " met" if ratio <= target else " missed"
    return (found["workload"], found["server"], f"{found['cpu_us']:.3f}",
            f"{min(found['cpu_us_rounds']):.3f}-{max(found['cpu_us_rounds']):.3f}",
            f"{found['requests_per_second']:,.0f}", f"{found['p50_us']:.0f}", f"{found['p99_us']:.0f}",
            "" if ratio is None else f"{ratio:.3f}", verdict)
