"""Chaos on the wire, plain and TLS: nothing leaks, no value is wrong, nobody else is disturbed.

PINFOLD_CHAOS_SECONDS says how long, 30 by default; run.py takes any length and seed.
"""

import os
import random

from tests.support.servers import is_redis

from . import chaos
from .worker import Worker

SECONDS = float(os.environ.get("PINFOLD_CHAOS_SECONDS") or 30)


def test_chaos_on_the_wire_leaks_nothing_and_changes_no_value():
    seed = int(os.environ.get("PINFOLD_SEED") or random.randrange(1 << 32))
    print(f"repeat with PINFOLD_SEED={seed}")
    counts = chaos.run(SECONDS, seed)
    print(counts)
    # All of it happened, so that a sanitizer has seen it.
    happened = {way.__name__ for way in (*Worker.WAYS, *chaos.Operator.WAYS)} | {"written", "read", "handshakes", "killed", "changed records refused"}
    if not is_redis():
        happened |= {"answers to close_notify"}
    assert not [what for what in sorted(happened) if not counts[what]]
