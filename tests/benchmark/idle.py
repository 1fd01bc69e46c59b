"""What a server costs that does nothing: its RSS, and what each idle connection adds."""

import time

from load import InvalidRun
from proc import resident
from report import Report, Table, mb
from servers import CannotStart, Setup

CONNECTIONS = 10_000
TARGET_IDLE_MB = 12
TARGET_CONNECTION_BYTES = 2048
SETTLE_SECONDS = 5  # Redis takes idle buffers back in its housekeeping, over some seconds


def _measure(context, kind):
    connections = context.scaled(CONNECTIONS, 100)
    with context.server(kind, Setup(threads=2, connections=connections + 500)) as server:
        context.remember_version(server)
        time.sleep(context.settle(SETTLE_SECONDS))
        idle = resident(server.pid)
        with context.load().open_idle(server, connections) as held:
            time.sleep(context.settle(SETTLE_SECONDS))
            opened = resident(server.pid)
            held.ask_each()
            time.sleep(context.settle(SETTLE_SECONDS))
            asked = resident(server.pid)
        return {"server": server.name, "idle_bytes": idle, "connections": connections,
                "bytes_per_connection": (opened - idle) / connections,
                "bytes_per_connection_after_get": (asked - idle) / connections}


def _verdict(name, value, target, text):
    if name != "pinfold":
        return text
    return f"{text} ({'met' if value <= target else 'missed'})"


def run(context):
    table = Table(["server", "idle RSS MB", "connections", "B per connection", "B per connection after a GET"],
                  left=("server",))
    data, failures = [], []
    for kind in context.kinds:
        context.say(f"idle: {kind}")
        try:
            found = _measure(context, kind)
        except (CannotStart, InvalidRun) as failure:
            failures.append(str(failure))
            continue
        data.append(found)
        name = found["server"]
        per = [found["bytes_per_connection"], found["bytes_per_connection_after_get"]]
        table.add(name, _verdict(name, found["idle_bytes"], TARGET_IDLE_MB * 2**20, mb(found["idle_bytes"])),
                  f"{found['connections']:,}",
                  *(_verdict(name, value, TARGET_CONNECTION_BYTES, f"{value:,.0f}") for value in per))
    notes = [f"Pinfold and memcached with 2 threads, redis-server with its one. Targets for Pinfold: idle RSS at most "
             f"{TARGET_IDLE_MB} MB, at most {TARGET_CONNECTION_BYTES} B of RSS per idle connection."]
    return Report("idle", "Idle memory and idle connections", table, data, notes, failures)
