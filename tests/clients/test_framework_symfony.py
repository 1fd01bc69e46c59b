"""Symfony's caches: RedisAdapter works, and RedisTagAwareAdapter says which policy it wants, which a cache does not have (docs/frameworks.md)."""

from tests.clients.test_framework_locks import FRAMEWORKS, run_together
from tests.support import servers


def test_redis_adapter_works_and_the_one_with_tags_says_what_it_needs():
    with servers.pinfold("--maxmemory-policy", "allkeys-lfu") as server:
        (said,) = run_together([["php", FRAMEWORKS / "symfony_cache.php", server.port]])
    assert said == ('Redis maxmemory-policy setting "allkeys-lfu" is *not* supported by RedisTagAwareAdapter, '
                    'use "noeviction" or "volatile-*" eviction policies.\n')  # fmt: skip
