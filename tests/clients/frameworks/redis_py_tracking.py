"""A cache within a program on redis-py, as articles about CLIENT TRACKING show it: a connection of a pub/sub is told what changed. redis_py_tracking.py <port>"""

import random
import sys
import threading
import time

import redis

PORT = int(sys.argv[1])


class LocalCache:
    """Its invalidations come over a second connection (REDIRECT), so a reply may arrive behind the invalidation of its key: such a value is not kept."""

    def __init__(self):
        self._listener = redis.Redis(port=PORT).pubsub(ignore_subscribe_messages=True)
        connection = self._listener.connection_pool.get_connection("CLIENT")
        connection.send_command("CLIENT", "ID")
        own = connection.read_response()
        self._listener.connection = connection
        self._listener.subscribe("__redis__:invalidate")
        self._connection = redis.Redis(port=PORT, single_connection_client=True)
        assert self._connection.execute_command("CLIENT", "TRACKING", "ON", "REDIRECT", own) in (True, b"OK")
        assert self._connection.execute_command("CLIENT", "GETREDIR") == own
        self.values, self._asked, self.hits = {}, set(), 0
        self._lock = threading.Lock()
        self.stopping = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while not self.stopping:
            message = self._listener.get_message(timeout=0.05)
            if message is None:
                continue
            with self._lock:
                if message["data"] is None:
                    self.values.clear()
                    self._asked.clear()
                for key in message["data"] or ():
                    self.values.pop(key, None)
                    self._asked.discard(key)

    def get(self, key):
        with self._lock:
            if key in self.values:
                self.hits += 1
                return self.values[key]
            self._asked.add(key)
        value = self._connection.get(key)
        with self._lock:
            if key in self._asked:
                self.values[key] = value
                self._asked.discard(key)
        return value

    def close(self):
        self.stopping = True
        self._thread.join()


def eventually(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not within 30 s")


def ten_from_memory(cache):
    before = cache.hits
    assert [cache.get(b"k") for _ in range(10)] == [b"1"] * 10
    return cache.hits == before + 10


def write(keys, rounds, seed):
    rng, client = random.Random(seed), redis.Redis(port=PORT)
    for _ in range(rounds):
        client.incr(rng.choice(keys))


def main():
    writer, cache = redis.Redis(port=PORT), LocalCache()
    writer.flushall()
    writer.set("k", "1")
    eventually(lambda: cache.get(b"k") == b"1")
    eventually(lambda: ten_from_memory(cache))  # the message of FLUSHALL may come between
    writer.set("k", "2")
    eventually(lambda: cache.get(b"k") == b"2")
    writer.set("k", "3", px=60)
    eventually(lambda: cache.get(b"k") == b"3" or cache.get(b"k") is None)
    eventually(lambda: cache.get(b"k") is None)
    cache.get(b"flushed")
    writer.set("flushed", "x")
    eventually(lambda: cache.get(b"flushed") == b"x")
    writer.flushall()
    eventually(lambda: cache.get(b"flushed") is None)

    keys = [b"counter:%d" % n for n in range(20)]
    writers = [threading.Thread(target=write, args=(keys, 500, seed)) for seed in (1, 2)]
    for thread in writers:
        thread.start()
    seen = {}
    while any(thread.is_alive() for thread in writers):
        for key in keys:
            value = int(cache.get(key) or 0)
            assert value >= seen.get(key, 0), f"{key} was {seen[key]}, and is {value}"
            seen[key] = value
    eventually(lambda: all(cache.get(key) == writer.get(key) for key in keys))
    assert sum(map(int, writer.mget(keys))) == 1000
    hits = cache.hits
    assert all(cache.get(key) == writer.get(key) for key in keys) and cache.hits == hits + len(keys)
    cache.close()
    print("tracking ok")


main()
