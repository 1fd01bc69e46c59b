"""Takes a lock many times, as other workers do: locks.py <library> <port> <folder> <rounds>. The checks that one process can make are in checks.py."""

import contextlib
import sys

from inside import Inside


def redis_py(port):
    import redis

    client = redis.Redis(port=port)
    return lambda: client.lock("lock:redis-py", timeout=30, sleep=0.002)


def django(port):
    import django_cache

    cache = django_cache.connect(port)
    return lambda: cache.lock("lock", timeout=30, sleep=0.002)


def dogpile(port):
    """The lock that a region holds while it makes a value."""
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.redis", arguments={
        "host": "127.0.0.1", "port": port, "distributed_lock": True, "thread_local_lock": False, "lock_timeout": 30, "lock_sleep": 0.002})  # fmt: skip

    @contextlib.contextmanager
    def held():
        mutex = region.backend.get_mutex("value")
        mutex.acquire()
        try:
            yield
        finally:
            mutex.release()

    return held


def nobody(port):
    """No lock at all, which the checker must notice."""
    return contextlib.nullcontext


LIBRARIES = {"redis-py": redis_py, "django-redis": django, "dogpile.cache": dogpile, "none": nobody}


def main():
    library, port, folder, rounds = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    inside, lock = Inside(folder), LIBRARIES[library](port)
    for _ in range(rounds):
        with lock():
            inside.once()
    print(f"overlaps: {inside.overlaps}")


main()
