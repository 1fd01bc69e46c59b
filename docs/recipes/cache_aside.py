"""Cache-aside with leases, on redis-py: cache_aside.py [port]"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import redis

WAIT_MS, FRESH_MS, STALE_MS = 2_000, 60_000, 600_000  # WAIT has to end before the client gives up reading
cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5)
refreshers = ThreadPoolExecutor(4)


def read_through(key, load):
    """The value of the key, or None where load() finds none. load() runs once, however many ask."""
    status, value, token, ms = cache.execute_command("CACHE.GET", key, "WAIT", WAIT_MS)
    if status == b"miss":
        if not token:
            raise TimeoutError(f"retry within {ms} ms")  # answer 503, do not go to the database
        return fill(key, load, token)
    if token:  # stale, or soon to be: nobody waits for the refresh
        refreshers.submit(fill, key, load, token)
    return None if status == b"absent" else json.loads(value)


def fill(key, load, token):
    try:
        value = load()
    except Exception:
        cache.execute_command("CACHE.RELEASE", key, token, "RETRY", 1_000)
        raise
    if value is None:
        cache.execute_command("CACHE.ABSENT", key, "TOKEN", token, "PX", 30_000)
    else:  # nil if somebody wrote meanwhile: then this value is for this caller only
        cache.execute_command("CACHE.SET", key, json.dumps(value), "TOKEN", token, "PX", FRESH_MS, "STALE", STALE_MS)
    return value


if __name__ == "__main__":
    database, loads = {"user:1": "Ada", "user:2": ""}, []

    def load(key):
        row = database.get(key)
        loads.append(key)
        time.sleep(0.2)
        return row

    cache.delete("user:1", "user:2", "user:3")
    found = list(ThreadPoolExecutor(50).map(lambda _: read_through("user:1", lambda: load("user:1")), range(50)))
    print(f"{len(found)} readers, {len(loads)} load, {found.count('Ada')} answers")
    cache.delete("user:1")
    reader = refreshers.submit(read_through, "user:1", lambda: load("user:1"))
    while len(loads) < 2:  # until the reader has the old row in its hands
        time.sleep(0.001)
    database["user:1"] = "Grace"  # commit first,
    cache.delete("user:1")  # then invalidate: this voids the reader's token
    print(f"the reader got {reader.result()}, the next one {read_through('user:1', lambda: load('user:1'))}")
    print(f"nobody: {read_through('user:3', lambda: load('user:3'))}, empty: {read_through('user:2', lambda: load('user:2'))!r}")
