"""docs/info.md has every field of INFO that Redis has not, in its section, and no others; and it names all that are left out."""

import fnmatch
import pathlib
import re

import pytest

from tests.support import servers

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "info.md"
# One for each command, error, database, user, policy and thread that there is.
NAMED_BY_USE = re.compile(r"cmdstat_|errorstat_|latency_percentiles_usec_|lock_work_|(db|user|policy|thread)\d+$")


def fields(server):
    """The fields of INFO with their sections."""
    with server.connect() as connection:
        connection.call("SET", "k", "v")
        connection.call("NOSUCHCOMMAND")
        found, section = {}, None
        for line in connection.call("INFO", "everything").decode().splitlines():
            if line.startswith("# "):
                section = line[2:].lower()
            elif ":" in line:
                found[line.split(":", 1)[0]] = section
    return {name: section for name, section in found.items() if not NAMED_BY_USE.match(name)}


@pytest.fixture(scope="module")
def both():
    with servers.redis() as reference, servers.pinfold() as subject:
        return fields(reference), fields(subject)


@pytest.fixture(scope="module")
def own(both):
    theirs, ours = both
    return {name: section for name, section in ours.items() if name not in theirs}


@pytest.fixture(scope="module")
def rows():
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 and all(row) for row in cells), cells
    return cells


def test_each_field_is_described_once_in_the_order_of_info(own, rows):
    assert [(row[0].strip("`"), row[1]) for row in rows] == list(own.items())


def test_what_redis_has_beside_them_is_named_with_the_reason(both):
    theirs, ours = both
    left_out = PAGE.read_text().split("## What Redis 7.2 has", 1)[1]
    patterns = re.findall(r"`([a-z0-9_*]+)`", left_out)
    missing = [name for name in theirs if name not in ours and not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    assert not missing, missing


def test_each_says_whether_it_is_the_state_or_a_total(rows):
    assert all(re.search(r"(, now|, total|, the most|^text)$", row[2]) for row in rows)


def test_totals_are_what_resetstat_sets_back(rows):
    """... and nothing else: the state is what it is."""
    with servers.pinfold() as server, server.connect() as connection:
        connection.call("CONFIG", "SET", "lock-timing", "yes")

        def numbers():
            lines = connection.call("INFO", "everything").decode().splitlines()
            return dict(line.split(":", 1) for line in lines if ":" in line)

        for command in (
            ["CACHE.GET", "left"], ["CACHE.GET", "void"], ["DEL", "void"], ["CACHE.ABSENT", "absent"], ["CACHE.GET", "absent"], ["CACHE.PURGE", "PREFIX", "none"],
            ["CACHE.PURGE", "TAGS", "1", "none"], ["CACHE.SET", "k", "v", "TOKEN", "1"], ["CACHE.GET", "brief"], ["CACHE.SET", "stale", "v", "PX", "1", "STALE", "600000"],
        ):  # fmt: skip
            connection.call(*command)
        token = connection.call("CACHE.GET", "filled")[2]
        assert connection.call("CACHE.SET", "filled", "v", "TOKEN", token) == "OK"
        token = connection.call("CACHE.GET", "released")[2]
        assert connection.call("CACHE.RELEASE", "released", token) == 1
        servers.eventually(lambda: connection.call("CACHE.GET", "stale", "LEASE", 0)[0] == b"stale")
        before = numbers()
        moved = [row[0].strip("`") for row in rows if before[row[0].strip("`")] not in ("0", "") and row[2].endswith((", total", ", the most"))]
        assert {"lease_granted", "lease_filled", "lease_voided", "lease_released", "fill_refused", "stale_hits", "negative_hits", "purges_tags", "purges_prefix"} <= set(moved)
        # Each lock is one more: INFO's own is, before it says so. So is each round.
        moved = [name for name in moved if not name.startswith("shard_lock") and name != "eventloop_cycles"]
        connection.call("CONFIG", "SET", "lock-timing", "no")
        assert connection.call("CONFIG", "RESETSTAT") == "OK"
        after = numbers()
        assert {name: after[name] for name in moved} == dict.fromkeys(moved, "0")
        assert after["leases"] == before["leases"] != "0" and after["negative_entries"] == before["negative_entries"] != "0"
