"""Write-through that cannot leave the older of two values, on redis-py: write_through.py [port]"""

import json
import sqlite3
import sys

import redis

cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5)
database = sqlite3.connect(":memory:", isolation_level=None)
database.execute("CREATE TABLE stock (item TEXT PRIMARY KEY, count INTEGER, version INTEGER)")


def write(item, count):
    """Commits, and returns the version that the database gave to the row."""
    return database.execute(
        "INSERT INTO stock VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = excluded.count, version = version + 1 RETURNING version",
        (item, count),
    ).fetchone()[0]


def put(item, count, version):
    """After the commit. False if the cache has this version or a newer one already."""
    try:
        return cache.execute_command("CACHE.SET", item, json.dumps(count), "VERSION", version, "EX", 600) is not None
    except redis.RedisError:
        # Committed, and perhaps not in the cache: say at least that what is there is old. Repeat that until it is heard.
        cache.execute_command("CACHE.INVALIDATE", 1, item, "VERSION", version - 1)
        raise


def read(item):
    status, value, token, ms = cache.execute_command("CACHE.GET", item, "WAIT", 2_000)
    if not token:
        if status == b"miss":
            raise TimeoutError(f"retry within {ms} ms")
        return json.loads(value)
    count, version = database.execute("SELECT count, version FROM stock WHERE item = ?", (item,)).fetchone()
    cache.execute_command("CACHE.SET", item, json.dumps(count), "TOKEN", token, "VERSION", version, "EX", 600)
    return count


if __name__ == "__main__":
    pen = f"pen:{cache.incr('runs')}"  # the versions of an earlier run are remembered
    first, second = write(pen, 10), write(pen, 9)  # two writers commit in this order,
    print("second:", put(pen, 9, second), "first:", put(pen, 10, first))  # and reach the cache in the other
    print("read:", read(pen))
    third = write(pen, 8)
    cache.execute_command("CACHE.INVALIDATE", 1, pen, "VERSION", second)  # an invalidation by another service
    print("late:", put(pen, 9, second), "read:", read(pen), "same version again:", put(pen, 8, third))
