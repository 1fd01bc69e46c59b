"""Remembering what does not exist, on redis-py: negative_caching.py [port]"""

import json
import sys

import redis

cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5)
ABSENT_MS, FRESH_MS = 30_000, 300_000


def find(key, query):
    """The row, or None. query() may find none; that is remembered too, for a shorter time."""
    status, value, token, ms = cache.execute_command("CACHE.GET", key, "WAIT", 2_000)
    if token:
        return load(key, query, token)
    if status == b"miss":
        raise TimeoutError(f"retry within {ms} ms")
    return None if status == b"absent" else json.loads(value)  # an empty value is a value


def load(key, query, token):
    row = query()
    if row is None:
        cache.execute_command("CACHE.ABSENT", key, "TOKEN", token, "PX", ABSENT_MS)
    else:
        cache.execute_command("CACHE.SET", key, json.dumps(row), "TOKEN", token, "PX", FRESH_MS)
    return row


def create(table, key, row):
    table[key] = row  # commit first,
    cache.delete(key)  # then invalidate, although nothing seems to be there


if __name__ == "__main__":
    table, queries = {}, []

    def query():
        queries.append(1)
        return table.get("sku:9")

    cache.delete("sku:9", "sku:10")
    found = [find("sku:9", query) for _ in range(1_000)]
    print(f"{len(found)} look-ups, {len(queries)} query, {found.count(None)} times nothing")
    create(table, "sku:9", "pen")
    print("after it was created:", find("sku:9", query))

    def slow_query():
        row = table.get("sku:10")
        create(table, "sku:10", "ink")  # by another client, before this reader gets to say that there is nothing
        return row

    print("the slow reader:", find("sku:10", slow_query), "- the next one:", find("sku:10", lambda: table["sku:10"]))
