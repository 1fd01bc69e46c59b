"""Hit ratio and memory of real request traces, replayed through the wire as a cache-aside client."""

import os
import tempfile
import time

import traces
from load import InvalidRun
from proc import ResidentSampler, resident
from report import Report, Table, mb
from servers import CannotStart, Setup

# Which policies a server is asked for; the names in the table are "server policy".
POLICIES = {"pinfold": ["allkeys-lfu"], "redis": ["allkeys-lfu", "allkeys-lru"], "memcached": [""]}
SLOWEST = 1500  # requests/s below which a replay is given up


def replay(context, kind, policy, trace, file, requests, sized, longest, pipeline=1):
    setup = Setup(threads=2 if kind == "pinfold" else 1, memory_mb=trace.memory_mb, policy=policy,
                  longest_value=max(longest, trace.value_bytes))
    with context.server(kind, setup) as server:
        context.remember_version(server)
        time.sleep(context.settle(1))
        idle = resident(server.pid)
        label = f"{trace.name} {server.name} {policy}".strip()
        with ResidentSampler(server.pid) as sampler:
            result = context.load().run(
                "replay", server, protocol=server.protocol if pipeline == 1 else server.pipelined_get_protocol,
                pipeline=pipeline, trace=file, value=trace.value_bytes, requests=requests, pid=server.pid, label=label,
                max_seconds=60 + requests // SLOWEST)
        if not server.alive():
            raise InvalidRun(f"{server.name}: ended during the replay")
        limit = trace.memory_mb * 2**20
        total = result["bytes_hit"] + result["bytes_miss"]
        return {
            "trace": trace.name, "server": server.name, "policy": policy, "value_bytes": trace.value_bytes,
            "sized": sized, "memory_mb": trace.memory_mb, "requests": result["requests"], "hits": result["hits"],
            "hit_ratio": result["hit_ratio"], "byte_hit_ratio": result["bytes_hit"] / total if total else 0.0,
            "refused": result["refused"], "refusal": result["refusal"], "seconds": result["seconds"],
            "cpu_seconds": result.get("server_cpu_seconds"), "idle_bytes": idle, "peak_bytes": sampler.peak,
            "growth_bytes": sampler.peak - idle, "samples": len(sampler.samples),
            "samples_over": sum(sample - idle > limit for sample in sampler.samples),
            "growth_within_limit": sampler.peak - idle <= limit, "rss_within_limit": sampler.peak <= limit,
        }


def _row(found):
    within = "yes" if found["growth_within_limit"] else \
        f"no ({found['samples_over']}/{found['samples']} samples over)"
    return (found["trace"], "own" if found["sized"] else found["value_bytes"], found["memory_mb"],
            f"{found['server']} {found['policy']}".strip(), f"{found['hit_ratio']:.4f}",
            f"{found['byte_hit_ratio']:.4f}" if found["sized"] else "", mb(found["idle_bytes"]),
            mb(found["peak_bytes"]), mb(found["growth_bytes"]), within, f"{found['seconds']:.1f}",
            found["refused"] or "")


def run(context, selected):
    """`selected` is a list of traces.Trace."""
    table = Table(["trace", "value B", "MB", "server", "hit ratio", "byte hit ratio", "idle RSS MB", "peak RSS MB",
                   "growth MB", "growth within limit", "seconds", "SETs refused"], left=("trace", "server"))
    data, failures = [], []
    with tempfile.TemporaryDirectory(prefix="pinfold-bench-") as directory:
        for trace in selected:
            file = os.path.join(directory, "trace")
            try:
                requests, sized, longest = traces.unpack(trace.path, file)
            except (OSError, EOFError) as failure:
                failures.append(f"{trace.name}: cannot be read: {failure}")
                continue
            requests = context.scaled(requests, 1000)
            for kind, policy in [(kind, policy) for kind in context.kinds for policy in POLICIES[kind]]:
                context.say(f"hits: {trace.name}, {kind} {policy}")
                try:
                    data.append(replay(context, kind, policy, trace, file, requests, sized, longest))
                    table.add(*_row(data[-1]))
                except (CannotStart, InvalidRun) as failure:
                    # It stays in the table: a server that cannot serve the trace is a finding too.
                    failures.append(f"{trace.name}: {failure}")
                    empty = [""] * (len(table.columns) - 5)
                    table.add(trace.name, "own" if sized else trace.value_bytes, trace.memory_mb,
                              f"{kind} {policy}".strip(), "failed", *empty)
    notes = ["One connection, no pipelining, GET and on a miss SET. MB is what the server was told (maxmemory, -m); "
             "RSS was sampled every 50 ms, the peak includes the kernel's high-water mark, and the growth is the "
             "peak over the idle server."]
    refusals = {f"{found['server']} refused SETs with: {found['refusal']}" for found in data if found["refused"]}
    notes += sorted(refusals)
    if context.scale < 1:
        notes.append(f"Only the first {context.scale:g} of each trace was replayed.")
    return Report("hits", "Hit ratio and memory of replayed traces", table, data, notes, failures)
