"""A metastable failure: a short spike, and clients that retry keep the origin saturated after it has ended.

Every query that comes too late is thrown away by its service and asked again by its client, so the origin works at full
speed on queries that nobody waits for any more. A gate that answers 503 at once breaks the loop.
"""

import random
from dataclasses import dataclass, field

from plot import Line, Panel, svg
from report import Report, Table

from .fleet import INSTANCES, Fleet
from .load import ANSWERED, Retry, merged, poisson, run
from .origin import ARRIVED, ENDED, STARTED

STEP_SECONDS = 0.1
OLD_SECONDS = 1.0  # a request that is unanswered for longer is not served well


@dataclass(frozen=True)
class Plan:
    """Capacity of the origin: 50 queries a second; 10 in normal times, 90 in the spike."""

    normal_seconds: float = 3.0
    spike_seconds: float = 3.0
    after_seconds: float = 7.0
    quiet_seconds: float = 4.0  # no new requests, only retries
    query_ms: int = 100
    slots: int = 5
    warm_size: int = 50
    warm_rate: int = 90
    cold_rate: int = 10
    spike_rate: int = 80
    timeout_ms: int = 400  # of the service, for the origin
    back_off_seconds: float = 0.1
    loads: int = 8  # at once, in the whole fleet, where there is a gate
    seed: int = 3

    @property
    def spike_end(self):
        return self.normal_seconds + self.spike_seconds

    @property
    def load_end(self):
        return self.spike_end + self.after_seconds

    @property
    def end(self):
        return self.load_end + self.quiet_seconds

    def requests(self):
        rng = random.Random(self.seed)
        cold = iter(range(1_000_000))
        return merged(
            poisson(rng, lambda: f"warm{rng.randrange(self.warm_size)}", self.warm_rate, 0, self.load_end),
            poisson(rng, lambda: f"cold{next(cold)}", self.cold_rate, 0, self.load_end),
            poisson(rng, lambda: f"spike{next(cold)}", self.spike_rate, self.normal_seconds, self.spike_end))


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    cache: str
    reader: str
    settings: dict = field(default_factory=dict)
    policy: tuple = ()


def variants(plan):
    return [
        Variant("open", "no gate", "redis", "SingleFlight"),
        Variant("gate", "503 when busy, in each instance", "redis", "SingleFlight", {"gate": plan.loads // INSTANCES}),
        Variant("max-leases", "max-leases of a policy", "pinfold", "Leases", {"wait_ms": 0}, ("max-leases", str(plan.loads))),
    ]


async def measure(context, variant, plan):
    settings = {"reader": variant.reader, "ttl_ms": 60_000, "origin_timeout_ms": plan.timeout_ms, **variant.settings}
    with Fleet(context, variant.cache, settings, plan.query_ms, plan.slots, variant.policy) as fleet:
        await _warm(fleet, plan)
        warmed = len(await fleet.log())
        start, samples = await run(fleet.instances, plan.requests(), Retry(plan.back_off_seconds, plan.end))
        log = [[moment and moment - start for moment in query[ARRIVED:]] for query in (await fleet.log())[warmed:]]
    return _summary(plan, variant, samples, log)


async def _warm(fleet, plan):
    """A few at a time: the origin is small, and the gate is shut above what it can do."""
    names = [f"warm{n}" for n in range(plan.warm_size)]
    for first in range(0, len(names), plan.loads):
        await fleet.warm(names[first:first + plan.loads])


def _summary(plan, variant, samples, log):
    steps = [n * STEP_SECONDS for n in range(round(plan.end / STEP_SECONDS))]
    arrived, started, ended = ARRIVED - 1, STARTED - 1, ENDED - 1
    answered = [sample.due + sample.seconds for sample in samples
                if sample.status in ANSWERED and not sample.name.startswith("warm")]
    waiting = [sum(query[arrived] <= at and (query[started] is None or query[started] > at) for query in log) for at in steps]
    old = [sum(sample.due + OLD_SECONDS < at and (sample.status not in ANSWERED or sample.due + sample.seconds > at)
               for sample in samples) for at in steps]
    bad = [at for at, line, late in zip(steps, waiting, old) if line > plan.slots or late]
    recovered = None
    if not bad or bad[-1] < steps[-1]:
        recovered = max(0.0, (bad[-1] if bad else 0.0) + STEP_SECONDS - plan.spike_end)
    last = plan.end - 2.0  # the origin's work in the last two seconds, when nobody has asked anything new for some time
    busy = sum(max(0.0, min(query[ended] or plan.end, plan.end) - max(query[started], last))
               for query in log if query[started] is not None) / (2.0 * plan.slots)
    return {
        "variant": variant.name,
        "cache": variant.cache,
        "requests": len(samples),
        "attempts": sum(sample.attempts for sample in samples),
        "queries": len(log),
        "unanswered": sum(sample.status not in ANSWERED for sample in samples),
        "answered_after": sum(plan.spike_end <= at < plan.load_end for at in answered) / plan.after_seconds,
        "recovered_seconds": recovered,
        "busy_last": busy,
        "steps": steps,
        "waiting": waiting,
        "goodput": [sum(at - 0.5 < moment <= at for moment in answered) * 2 for at in steps],
    }


def report(plan, data, failures):
    titles = {variant.name: variant.title for variant in variants(plan)}
    table = Table(["gate", "cache", "requests", "attempts", "origin: queries", "misses answered/s after the spike",
                   "recovered after", "origin busy in the last 2 s", "never answered"], left=("gate", "cache"))
    for found in data:
        recovered = found["recovered_seconds"]
        table.add(titles[found["variant"]], found["cache"], found["requests"], f"{found['attempts']:,}", f"{found['queries']:,}",
                  f"{found['answered_after']:.0f}", "not at all" if recovered is None else f"{recovered:.1f} s",
                  f"{found['busy_last'] * 100:.0f} %", found["unanswered"])
    notes = [f"The origin can do {plan.slots * 1000 // plan.query_ms} queries a second. Normally {plan.cold_rate} of "
             f"{plan.cold_rate + plan.warm_rate} requests a second miss; in the spike of {plan.spike_seconds:g} s, {plan.spike_rate} "
             f"more do. {plan.after_seconds:g} s after it all requests stop, and only retries go on for {plan.quiet_seconds:g} s. The "
             f"service gives the origin {plan.timeout_ms} ms; the client asks again {plan.back_off_seconds * 1000:g} ms after a failure.",
             f"Recovered: from then on no request was unanswered for over {OLD_SECONDS:g} s and no more than {plan.slots} queries "
             "waited for a slot of the origin; counted from the end of the spike."]
    return Report("lab-metastable", "A metastable failure and its gate", table, data, notes, failures,
                  {"lab-metastable.svg": _plot(plan, data, titles)} if data else {})


def _plot(plan, data, titles):
    spans = [(0, plan.normal_seconds, "normal"), (plan.normal_seconds, plan.spike_end, "spike"),
             (plan.spike_end, plan.load_end, "normal"), (plan.load_end, plan.end, "no new requests")]
    panels = []
    for title, label, series in (("Queries waiting at the origin", "queries", "waiting"), ("Misses answered", "answers/s", "goodput")):
        lines = [Line(titles[found["variant"]], list(zip(found["steps"], found[series]))) for found in data]
        panels.append(Panel(title, f"{plan.end:g} s", label, lines, spans=spans))
    return svg(panels, columns=1, panel_width=760)
