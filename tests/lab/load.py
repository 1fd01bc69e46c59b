"""The clients: requests that are sent when they are due, whether or not earlier ones were answered.

The same seed gives the same requests at the same moments, so every level of protection meets the identical load.
"""

import asyncio
import heapq
import math
import time
from dataclasses import dataclass
from typing import NamedTuple

ANSWERED = (200, 404)
GIVE_UP_SECONDS = 30  # no request of the lab takes so long; one that does is a failure


class Request(NamedTuple):
    due: float  # seconds from the start
    name: str


class Sample(NamedTuple):
    due: float
    name: str
    seconds: float  # from when it was due to the answer
    status: int  # of the last attempt; 0 if there was no answer
    source: str
    waited_ms: float
    attempts: int
    late: float  # how much later than due it was sent: what the lab itself had to wait for


@dataclass
class Retry:
    """A client that does not give up: it asks again after a fixed pause, until `until` seconds from the start."""

    back_off: float
    until: float


def poisson(rng, names, rate, begin, end):
    """Requests at random moments, `rate` a second on average; `names` is called for the name of each."""
    due = begin + rng.expovariate(rate)
    while due < end:
        yield Request(due, names())
        due += rng.expovariate(rate)


def merged(*streams):
    return list(heapq.merge(*streams))


async def _attempt(instance, name):
    """(status, source, waited_ms)"""
    try:
        reply = await instance.get("/product/" + name, GIVE_UP_SECONDS)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return 0, "", 0.0
    if reply.status == 200 and f'"product:{name}"' not in reply.body.decode():
        return 0, "wrong", 0.0
    return reply.status, reply.headers.get("X-Source", ""), float(reply.headers.get("X-Waited-Ms", 0))


async def run(instances, requests, retry=None):
    """(moment of the start on the monotonic clock, samples in the order in which they were answered)"""
    samples = []
    start = time.monotonic()

    async def client(number, request):
        attempts = 0
        late = time.monotonic() - start - request.due
        while True:
            # Behind a load balancer the next attempt meets another instance.
            status, source, waited = await _attempt(instances[(number + attempts) % len(instances)], request.name)
            attempts += 1
            now = time.monotonic() - start
            if status in ANSWERED or not retry or now + retry.back_off >= retry.until:
                break
            await asyncio.sleep(retry.back_off)
        samples.append(Sample(request.due, request.name, now - request.due, status, source, waited, attempts,
                              late))

    async with asyncio.TaskGroup() as clients:
        for number, request in enumerate(requests):
            await asyncio.sleep(max(0.0, start + request.due - time.monotonic()))
            clients.create_task(client(number, request))
    return start, samples


def percentile(values, share):
    """The smallest value that so many of them do not exceed; None if there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def most_at_once(spans):
    """The largest number of (begin, end) that overlap; an end of None is still to come."""
    edges = [(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans if end is not None]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most
