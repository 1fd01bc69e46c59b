"""Pushers, clients that wait for elements, and kills race; no element is lost, taken twice, or out of order.

PINFOLD_RACES_SECONDS says how long, 10 by default; pops.py takes any length and seed.
"""

import os

from tests.races.pops import race
from tests.races.test_races import seed
from tests.support import servers

SECONDS = float(os.environ.get("PINFOLD_RACES_SECONDS") or 10)


def test_every_element_is_taken_once():
    with servers.pinfold("--threads", "2") as server:
        arena = race(server, seed(), SECONDS)
    print(arena.counts)
    assert all(arena.counts[what] for what in ("pushed", "taken", "moved", "killed", "closed", "unblocked"))
