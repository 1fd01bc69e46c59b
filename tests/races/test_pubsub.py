"""Publishers, subscribers and kills race; no message is lost, heard twice, out of order, or where it does not belong.

PINFOLD_RACES_SECONDS says how long, 10 by default; pubsub.py takes any length and seed.
"""

import os

from tests.races.pubsub import race
from tests.races.test_races import seed
from tests.support import servers

SECONDS = float(os.environ.get("PINFOLD_RACES_SECONDS") or 10)


def test_every_subscriber_hears_what_it_was_promised():
    with servers.pinfold("--threads", "2") as server:
        arena = race(server, seed(), SECONDS)
    print(arena.counts)
    assert all(arena.counts[what] for what in ("published", "heard", "checked", "killed", "subscribers lost"))
