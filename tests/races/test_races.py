"""Readers and writers race for the same keys on a server that evicts, expires and loses connections; no rule is broken.

PINFOLD_RACES_SECONDS says how long, 20 by default; run.py takes any length and seed.
"""

import os
import random

import pytest

from tests.races import writes
from tests.races.checker import SETTINGS, race
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


def all_writes():
    return [write for tables in (writes.PLAIN, writes.TAGGED, writes.WATCHED) for table in tables for write in table]


# Beside the rows of writes.py: whole databases and groups, deadlines that void nothing, what only a lease's holder may do, counters that
# are nobody's cache entries, and what is off unless enable-debug-command says otherwise.
OTHERS = {"flushall", "flushdb", "swapdb", "persist", "cache.release", "cache.renew", "cl.throttle", "pfdebug"}


def test_every_command_that_writes_takes_part():
    with servers.pinfold() as server, server.connect() as connection:
        commands = {name.decode() for name, _, flags, *_ in connection.call("COMMAND") if "write" in flags}
    target = writes.Target(name=b"k", value=b"v", record=b"r", old=b"o", spare=b"s", tag=b"t", ttl=1)
    raced = {command[0].lower() for write in all_writes() for command in write.commands(target)}
    assert len(commands) > 40 and not commands - raced - OTHERS


# What must have happened for a race to be one.
TOOK_PART = [
    "values seen", "absent seen", "tokens seen", "fill accepted", "fill refused", "release accepted", "fills under WATCH accepted",
    "fills under WATCH refused", "connections lost", "SWAPDB 0 1", "bypass turned on", "admit turned on",
]  # fmt: skip


def missing(arena):
    """Which of that has not."""
    in_store = [field for field in ("evicted_keys", "expired_keys") if int(arena.info[field]) == 0]
    return in_store + [what for what in TOOK_PART if arena.model.counts[what] == 0]


def test_nobody_sees_what_was_invalidated_before_it_asked():
    with servers.pinfold(*SETTINGS) as server:
        arena = race(server, seed(), SECONDS, until=lambda arena: not missing(arena))
    print(arena.model.counts, arena.applied, sep="\n")
    assert not missing(arena)
    if SECONDS >= 20 and not os.environ.get("PINFOLD_SANITIZED"):
        assert not [write.what for write in all_writes() if not arena.applied[write.what]], "writes that never took effect"


@pytest.fixture
def broken():
    """It differs from the server in one void that was taken out when it was built."""
    binary = os.path.join(os.path.dirname(servers.pinfold_binary()), "pinfold-server-break-void")
    with servers.Server(binary, "--threads", "2", *SETTINGS) as server:
        yield server


def test_a_server_that_does_not_void_a_lease_is_found_out(broken):
    with pytest.raises(Violation, match="^rule [1-6]"):
        race(broken, seed(), 60)


def test_its_readers_see_what_was_invalidated_before_they_asked(broken):
    """What the void is for, found without a look at tokens."""
    with pytest.raises(Violation, match="^rule [13]"):
        race(broken, seed(), 60, ignored=(4, 5, 6, 7))
