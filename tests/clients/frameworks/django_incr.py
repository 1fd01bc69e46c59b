"""Counts with the cache of Django, as other workers do: django_incr.py <port> <calls>"""

import sys

import django_cache

cache = django_cache.connect(int(sys.argv[1]))
cache.add("plain", 0, timeout=None)
cache.add("lasting", 0, timeout=600)
for _ in range(int(sys.argv[2])):
    cache.incr("plain")
    cache.incr("lasting", 2)
    cache.decr("lasting")
    cache.incr("fresh", ignore_key_check=True)
assert 0 < cache.ttl("lasting") <= 600 and cache.ttl("plain") is None
print("counted")
