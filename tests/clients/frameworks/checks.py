"""What one process can see of the locks of a library: checks.py <library> <port>."""

import sys
import time

import redis


def expect_error(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


def redis_py(client):
    from redis.exceptions import LockError, LockNotOwnedError

    lock = client.lock("own", timeout=20)
    assert lock.acquire(blocking=False) and lock.locked() and lock.owned()
    other = client.lock("own", timeout=20)
    assert not other.acquire(blocking=False) and not other.owned()
    expect_error(LockError, other.release)
    before = client.pttl("own")
    assert lock.extend(100) and client.pttl("own") > before + 90_000
    assert lock.extend(50, replace_ttl=True) and client.pttl("own") <= 50_000
    assert lock.reacquire() and client.pttl("own") <= 20_000
    client.set("own", "of another")
    expect_error(LockNotOwnedError, lambda: lock.extend(1))
    expect_error(LockNotOwnedError, lock.reacquire)
    expect_error(LockNotOwnedError, lock.release)
    assert client.get("own") == b"of another"
    client.delete("own")
    # One that has run out is somebody else's, and a script that the server has forgotten is sent again.
    lock = client.lock("own", timeout=0.05)
    assert lock.acquire(blocking=False)
    while client.exists("own"):
        time.sleep(0.01)
    expect_error(LockNotOwnedError, lock.release)
    assert lock.acquire(blocking=False)
    client.script_flush()
    try:
        lock.release()
    except LockNotOwnedError:
        assert not client.exists("own")  # it may have run out again
    with client.lock("own", timeout=20, blocking_timeout=1):
        assert client.exists("own")
    assert not client.exists("own")


def django_redis(client):
    import django_cache

    cache = django_cache.connect(int(sys.argv[2]))
    lock = cache.lock("own", timeout=20)
    assert lock.acquire(blocking=False) and not cache.lock("own", timeout=20).acquire(blocking=False)
    lock.release()
    with cache.lock("own", timeout=20):
        assert cache.keys("own") == ["own"]
    assert cache.keys("own") == []
    # What else asks for scripts: incr, which must keep the time to live, and does not make keys.
    cache.set("n", 5, timeout=100)
    assert cache.incr("n", 3) == 8 and cache.decr("n") == 7 and 0 < cache.ttl("n") <= 100
    expect_error(ValueError, lambda: cache.incr("nosuch"))
    assert cache.incr("fresh", 2, ignore_key_check=True) == 2
    cache.set("large", 2**70, timeout=100)
    assert cache.incr("large") == 2**70 + 1
    assert cache.add("once", 1) and not cache.add("once", 2)
    cache.set_many({f"many:{n}": n for n in range(50)}, timeout=60)
    assert len(cache.get_many([f"many:{n}" for n in range(60)])) == 50
    assert cache.delete_pattern("many:*") == 50 and cache.get("many:1") is None
    assert cache.touch("n", 200) and cache.expire("n", 300) and cache.persist("n") and cache.ttl("n") is None
    assert sorted(cache.iter_keys("n*")) == ["n"] and cache.has_key("n")
    cache.incr_version("n")
    assert cache.get("n", version=2) == 7 and cache.get("n") is None


def dogpile_cache(client):
    from dogpile.cache import make_region
    from dogpile.cache.api import NO_VALUE

    region = make_region().configure("dogpile.cache.redis", expiration_time=60, arguments={
        "host": "127.0.0.1", "port": int(sys.argv[2]), "distributed_lock": True, "thread_local_lock": False, "lock_timeout": 20, "redis_expiration_time": 90})  # fmt: skip
    made = []
    assert [region.get_or_create("value", lambda: made.append(1) or "made") for _ in range(3)] == ["made"] * 3 and made == [1]
    assert 0 < client.ttl("value") <= 90 and not client.exists("_lockvalue")
    region.set_multi({"a": 1, "b": 2})
    assert region.get_multi(["a", "b", "c"]) == [1, 2, NO_VALUE]
    region.delete("value")
    mutex = region.backend.get_mutex("value")
    assert mutex.acquire(False) and not region.backend.get_mutex("value").acquire(False) and mutex.locked()
    mutex.release()
    assert not client.exists("_lockvalue")


def main():
    with redis.Redis(port=int(sys.argv[2])) as client:
        {"redis-py": redis_py, "django-redis": django_redis, "dogpile.cache": dogpile_cache}[sys.argv[1]](client)
    print("checks ok")


main()
