"""Clients that cache values themselves never keep what has changed (tracking.py).

PINFOLD_RACES_SECONDS says how long, 15 by default; tracking.py takes any length and seed.
"""

import os
import random

import pytest

from tests.races import tracking
from tests.support import servers
from tests.support.servers import is_redis

SECONDS = float(os.environ.get("PINFOLD_RACES_SECONDS") or 15)
pytestmark = pytest.mark.skipif(is_redis(), reason="what Pinfold promises")

TOOK_PART = ["hits", "invalidations", "invalidations of all", "connections lost", "times of quiet", "values compared", "CONFIG SET", "CACHE.PURGE TAGS"]


def seed():
    """Another one in each run, or PINFOLD_SEED's."""
    value = int(os.environ.get("PINFOLD_SEED") or random.randrange(1 << 32))
    print(f"repeat with PINFOLD_SEED={value}")
    return value


def missing(arena):
    return [what for what in TOOK_PART if arena.counts[what] == 0]


def test_nobody_keeps_what_has_changed():
    with servers.pinfold(*tracking.SETTINGS, "--threads", "2") as server:
        arena = tracking.race(server, seed(), SECONDS, until=lambda arena: not missing(arena))
    print(arena.counts)
    assert not missing(arena)
    assert int(arena.info["tracking_keys_aged"]) > 0 and int(arena.info["tracking_keys_evicted"]) > 0


def test_a_server_that_does_not_tell_of_deletions_is_found_out():
    binary = os.path.join(os.path.dirname(servers.pinfold_binary()), "pinfold-server-break-tracking")
    with servers.Server(binary, "--threads", "2", *tracking.SETTINGS) as server:
        with pytest.raises(tracking.Broken, match="^rule 2"):
            tracking.race(server, seed(), 60)
