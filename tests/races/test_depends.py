"""Clients build values from each other's values while the rows below change; nobody sees what was built from an older row.

PINFOLD_RACES_SECONDS says how long, 20 by default.
"""

import os
import random

import pytest

from tests.races import depends
from tests.races.model import Violation
from tests.support import servers
from tests.support.servers import is_redis

SECONDS = float(os.environ.get("PINFOLD_RACES_SECONDS") or 20)
pytestmark = pytest.mark.skipif(is_redis(), reason="Redis has no leases")


def seed():
    """Another one in each run, or PINFOLD_SEED's."""
    value = int(os.environ.get("PINFOLD_SEED") or random.randrange(1 << 32))
    print(f"repeat with PINFOLD_SEED={value}")
    return value


def missing(arena):
    """What must have happened for a race to be one, and has not."""
    fields = ("evicted_keys", "expired_keys", "fill_refused_dependency", "fill_refused_token", "purges_cascade_entries", "lease_voided")
    of_levels = [f"fills of level {level} accepted" for level in range(depends.LEVELS)] + [f"values of level{level}" for level in range(1, depends.LEVELS)]
    counted = [what for what in [*of_levels, "stale values", "invalidations", "soft invalidations"] if arena.counts[what] == 0]
    return [field for field in fields if int(arena.info[field]) == 0] + counted


def test_nobody_sees_what_was_built_from_an_older_row():
    with servers.pinfold(*depends.SETTINGS) as server:
        arena = depends.race(server, seed(), SECONDS, until=lambda arena: not missing(arena))
    print(sorted(arena.counts.items()))
    assert not missing(arena)


def test_a_server_that_forgets_what_a_departed_entry_was_built_from_is_found_out():
    """It differs from the server in one check that was taken out when it was built."""
    binary = os.path.join(os.path.dirname(servers.pinfold_binary()), "pinfold-server-break-depends")
    with servers.Server(binary, "--threads", "2", *depends.SETTINGS) as server, pytest.raises(Violation, match="^rule [14]"):
        depends.race(server, seed(), 60)
