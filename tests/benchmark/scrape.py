"""What a scrape of the admin port's metrics takes where there is much to tell, and whether clients notice it.

Pinfold alone. The server, with the thread of its admin port, has one core; the load and what scrapes have the other.
"""

import http.client
import os
import random
import socket
import sys
import time
from contextlib import ExitStack
from statistics import median, quantiles

from herd import Client
from load import InvalidRun, may_be_urgent
from proc import Disturbance, cpu_seconds
from report import Report, Table
from servers import CannotStart, Setup, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)
from tests.bounds.workload import REQUESTS, World  # noqa: E402

POLICIES = 250  # as many as there can be
USERS = 200
KEYS = 1_000_000
VALUE_BYTES = 100
SCRAPES = 50
PAUSE_SECONDS = 0.1  # between two of them
MOST_MS = 50

RATE = 20_000  # GETs a second
CONNECTIONS = 50
SECONDS = 10
PER_SECOND = (0, 1, 10)  # scrapes beside them
MOST_RATIO = 1.1  # of the p99.9 without scrapes

# They would undo what others have done, or end the connection that makes the requests.
LEFT_OUT = {"config|resetstat", "flushall", "flushdb", "quit", "slowlog|reset", "commandlog|reset", "latency|reset", "swapdb", "shutdown"}


class Scraper:
    """As Prometheus does it: over one connection."""

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._connection.close()

    def scrape(self):
        """(milliseconds, the text)"""
        begun = time.monotonic()
        try:
            self._connection.request("GET", "/metrics")
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as failure:
            raise InvalidRun(f"pinfold: a scrape failed: {failure!r}") from None
        if answer.status != 200:
            raise InvalidRun(f"pinfold: a scrape was answered {answer.status}")
        return (time.monotonic() - begun) * 1000, text


def _call_everything(server):
    """Every command, as far as it can be; many of the calls fail."""
    rng = random.Random(11)
    world = World(rng)
    with Client(server) as client:
        for words in world.fill():
            client.call(*words)
        for name, make in REQUESTS.items():
            if name in LEFT_OUT:
                continue
            for unused in range(3):
                client.call(*make(world, rng, name.split("|")))
            client.call("RESET")  # what came behind MULTI would only be queued, and behind a subscription refused
        client.call("UNWATCH")


def _expect(reply, wanted=b"+OK"):
    if reply != wanted:
        raise InvalidRun(f"pinfold: {wanted!r} was expected, and answered was {reply!r}")


def _policies_and_users(server, policies, users, running):
    """These and no others, each with reads that hit and reads that miss. The users stay connected."""
    with Client(server) as client:
        for fields in client.call("CACHE.POLICY", "LIST"):
            _expect(client.call("CACHE.POLICY", "DEL", fields[1]), 1)
        for name in client.call("ACL", "USERS"):
            if name != b"default":
                _expect(client.call("ACL", "DELUSER", name), 1)
        for n in range(policies):
            _expect(client.call("CACHE.POLICY", "SET", f"policy-{n}", "match", f"of-policy-{n}:*", "ttl", "1h"))
        for n in range(users):
            _expect(client.call("ACL", "SETUSER", f"user-{n}", "reset", "on", "nopass", "+@all", "~*"))
    for n in range(max(policies, users)):
        client = Client(server)
        if n < users:
            running.enter_context(client)
            _expect(client.call("AUTH", f"user-{n}", "any"))
        prefix = f"of-policy-{n % policies}:"
        _expect(client.call("SET", prefix + "here", "x" * VALUE_BYTES))
        client.pipeline([("GET", prefix + at) for at in ("here", "there")] * 5)
        if n >= users:
            client.__exit__()


def _whole(context):
    return min(context.scale, 1.0)


def _fill(context, server, load, running):
    load.run("fill", server, keys=context.scaled(KEYS, 1000), value=VALUE_BYTES, pipeline=16, label="pinfold fill")
    _call_everything(server)
    _policies_and_users(server, max(2, int(POLICIES * _whole(context))), max(2, int(USERS * _whole(context))), running)


def _scrapes(context, server, admin_port):
    """The times of single scrapes, and what they cost the server beyond what it does otherwise."""
    times, count, pause = [], context.scaled(SCRAPES, 5), PAUSE_SECONDS
    with Scraper(admin_port) as scraper:
        scraper.scrape()
        idle, begun = cpu_seconds(server.pid), time.monotonic()
        time.sleep(context.settle(count * pause))
        idle = (cpu_seconds(server.pid) - idle) / (time.monotonic() - begun)
        used, begun = cpu_seconds(server.pid), time.monotonic()
        for unused in range(count):
            took, text = scraper.scrape()
            times.append(took)
            time.sleep(pause)
        used = cpu_seconds(server.pid) - used - idle * (time.monotonic() - begun)
    samples = [line for line in text.splitlines() if not line.startswith(b"#")]
    named = {kind: len({line.split(b'"')[1] for line in samples if line.startswith(b"pinfold_" + metric + b"{")})
             for kind, metric in (("policies", b"policy_misses_total"), ("users", b"user_requests_total"), ("commands", b"command_calls_total"))}
    return {"figure": "scrape", "ms": times, "bytes": len(text), "samples": len(samples), "cpu_ms": used * 1000 / count, **named}


def _beside(context, load, server, admin_port, per_second, number):
    """The latency of GETs while somebody scrapes so often."""
    seconds = max(1.0, SECONDS * _whole(context))
    scraped = 0
    with Scraper(admin_port) as scraper, load.begin(
            "paced", server, urgent=True, sleep=True, connections=CONNECTIONS, keys=context.scaled(KEYS, 1000), value=VALUE_BYTES, rate=RATE,
            seed=number, duration_ms=int(seconds * 1000), label=f"pinfold, {per_second} scrapes a second") as probe:
        due = time.monotonic()
        while not probe.ended():
            if per_second and time.monotonic() >= due:
                scraper.scrape()
                scraped += 1
                due += 1 / per_second
            time.sleep(0.005)
        found = probe.result()
    return {"figure": "traffic", "per_second": per_second, "round": number, "p99.9_us": found["latency_us"]["p99.9"],
            "p50_us": found["latency_us"]["p50"], "longest_us": found["latency_us"]["max"], "late_us": found["late_us"]["p99.9"], "scraped": scraped}


def run(context):
    data, failures = [], []
    core, other = context.cores()
    admin_port = free_port()
    setup = Setup(core=core, connections=2000, memory_mb=2048, pinfold_options=("--admin-port", str(admin_port)))
    allowed = os.sched_getaffinity(0)
    with Disturbance() as disturbance:
        try:
            with ExitStack() as running, context.server("pinfold", setup) as server:
                context.remember_version(server)
                if other is not None:
                    os.sched_setaffinity(0, {other})
                load = context.load(other)
                _fill(context, server, load, running)
                data.append(_scrapes(context, server, admin_port))
                for number in range(1, context.rounds + 1):
                    context.say(f"scrape: round {number} of {context.rounds}")
                    turn = number % len(PER_SECOND)
                    for per_second in PER_SECOND[turn:] + PER_SECOND[:turn]:
                        data.append(_beside(context, load, server, admin_port, per_second, number))
        except (CannotStart, InvalidRun) as failure:
            failures.append(str(failure))
        finally:
            os.sched_setaffinity(0, allowed)
    found = report(context, data, failures)
    found.notes.append(disturbance.sentence())
    return found


def _verdict(text, met):
    return f"{text} {'met' if met else 'missed'}"


def _spread(values, form):
    return f"{form.format(median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def report(context, data, failures):
    table = Table(["what", "figure", "pinfold", "target"], left=("what", "figure", "target"))
    for one in (one for one in data if one["figure"] == "scrape"):
        what = f"{one['policies']} policies, {one['users']} users shown, {one['commands']} commands"
        table.add(what, "time of a scrape, median, ms", f"{median(one['ms']):.1f}", _verdict(f"<= {MOST_MS}", median(one["ms"]) <= MOST_MS))
        worst = quantiles(one["ms"], n=100, method="inclusive")[98]
        table.add(what, "p99, ms", f"{worst:.1f}", _verdict(f"<= {MOST_MS}", worst <= MOST_MS))
        table.add(what, "CPU time of the server, ms", f"{one['cpu_ms']:.1f}", "")
        table.add(what, "answer, bytes", f"{one['bytes']:,}", "")
        table.add(what, "samples in it", f"{one['samples']:,}", "")
    windows = {per_second: {one["round"]: one for one in data if one["figure"] == "traffic" and one["per_second"] == per_second}
               for per_second in PER_SECOND}
    for per_second, rounds in windows.items():
        if not rounds:
            continue
        what = f"{RATE:,} GETs a second, {per_second or 'no'} scrape{'' if per_second == 1 else 's'} a second"
        table.add(what, "p99.9, us", _spread([one["p99.9_us"] for one in rounds.values()], "{:,.0f}"), "")
        ratios = [one["p99.9_us"] / windows[0][number]["p99.9_us"] for number, one in rounds.items() if number in windows[0]]
        if per_second and ratios:
            target = _verdict(f"<= {MOST_RATIO}", median(ratios) <= MOST_RATIO) if per_second == 1 else ""
            table.add(what, "p99.9 against none, ratio", _spread(ratios, "{:.2f}"), target)
    late = [one["late_us"] for one in data if one["figure"] == "traffic"]
    notes = [f"{context.scaled(KEYS, 1000):,} keys; medians of {context.rounds} rounds, with the least and the most. The ratio is taken within each round."]
    if late:
        notes.append(f"At p99.9 the load itself was late by {median(late):,.0f} us, in the worst window by {max(late):,.0f}."
                     + ("" if may_be_urgent() else " It had no priority over what scrapes on its core."))
    return Report("scrape", "Scrapes of the metrics", table, data, notes, failures)
