"""Symfony's caches: RedisAdapter works with every eviction policy, and RedisTagAwareAdapter says which one it wants (docs/frameworks.md)."""

import pytest

from tests.clients.test_framework_locks import FRAMEWORKS, run_together
from tests.support import servers


def test_redis_adapter_works_and_the_one_with_tags_says_what_it_needs():
    with servers.pinfold("--maxmemory-policy", "allkeys-lfu") as server:
        (said,) = run_together([["php", FRAMEWORKS / "symfony_cache.php", server.port]])
    assert said == ('Redis maxmemory-policy setting "allkeys-lfu" is *not* supported by RedisTagAwareAdapter, '
                    'use "noeviction" or "volatile-*" eviction policies.\n')  # fmt: skip


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
def test_the_adapter_with_tags_works_where_its_sets_are_not_evicted(policy):
    with servers.pinfold("--maxmemory-policy", policy) as server:
        assert run_together([["php", FRAMEWORKS / "symfony_cache.php", server.port]]) == ["tags ok\n"]
