"""A lock whose holder cannot do harm when it is late, on redis-py: fencing.py [port]"""

import sqlite3
import sys

import redis

cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=10)
database = sqlite3.connect(":memory:", isolation_level=None)
database.execute("CREATE TABLE report (day TEXT PRIMARY KEY, body TEXT, fence INTEGER)")


def acquire(name, lasts_ms, wait_ms=0):
    """A fencing token, or None if somebody else has the lock. Those who wait get it in their order."""
    status, _, token, _ = cache.execute_command("CACHE.GET", f"lock:{name}", "LEASE", lasts_ms, "WAIT", wait_ms)
    return token or None


def renew(name, token, ms):
    """False: it is lost, stop working."""
    return cache.execute_command("CACHE.RENEW", f"lock:{name}", token, ms) == 1


def release(name, token):
    """False: it was lost before. Somebody else's lock is never released."""
    return cache.execute_command("CACHE.RELEASE", f"lock:{name}", token) == 1


def write(day, body, token):
    """One statement checks and writes: whoever has an older token than the last writer is refused."""
    return database.execute(
        "INSERT INTO report VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body, fence = excluded.fence "
        "WHERE excluded.fence >= report.fence", (day, body, token),
    ).rowcount == 1  # fmt: skip


if __name__ == "__main__":
    slow = acquire("report", 60_000)
    print("second worker at once:", acquire("report", 60_000))
    renew("report", slow, 50)  # the first one stalls from here on, and its time runs out
    fast = acquire("report", 60_000, wait_ms=5_000)
    print("tokens grow:", fast > slow, "- the first still has it:", renew("report", slow, 1_000))
    print("fast writes:", write("monday", "by the fast one", fast), "- late:", write("monday", "by the late one", slow))
    print("late releases:", release("report", slow), "- fast:", release("report", fast))
    print("in the database:", database.execute("SELECT body FROM report").fetchone()[0])
