"""Pinfold answers random command sequences as redis-server does. The seeds are fixed; run.py takes any number of others."""

import os

import pytest

from tests.differential.checker import COMMON_SETTINGS, OWN_SETTINGS, Checker
from tests.support import servers

# A shorter run, for builds that are slow by design.
SEEDS = int(os.environ.get("PINFOLD_DIFFERENTIAL_SEEDS", "600"))
BLOCK = 50


@pytest.fixture(scope="module")
def checker():
    with servers.redis(*COMMON_SETTINGS) as reference, servers.pinfold(*COMMON_SETTINGS, *OWN_SETTINGS) as subject:
        yield Checker([reference, subject])


@pytest.mark.parametrize("start", range(1, SEEDS + 1, BLOCK))
def test_replies_and_keyspace_equal_those_of_redis(checker, start):
    reports = []
    for seed in range(start, start + min(BLOCK, SEEDS + 1 - start)):
        report = checker.check(seed, 300)
        if report:
            reports.append(report)
        if len(reports) == 3:
            break
    assert not reports, "\n\n".join(reports)


def test_long_sequences_equal_those_of_redis(checker):
    for seed in (1_000_001, 1_000_002, 1_000_003):
        report = checker.check(seed, 4000)
        assert not report, report
