"""One instance of the cache-aside service: python3 -m tests.lab.service '{"origin": 8001, "cache": 6379, ...}'

    /product/<id>     200 with the row, 404, 503 if there is nothing to answer with now, 504 if the origin was too slow;
                      X-Source says where the answer came from, X-Waited-Ms how long it took where that was a wait
    /loads            what this instance asked the origin for
    /busy             how many requests and background rebuilds are under way
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass

import redis.asyncio

from . import readers, web

WAITED_MS = 10  # a value made since the request came was waited for, unless it came at once


@dataclass
class Settings:
    origin: int = 0
    cache: int = 0
    reader: str = "CacheAside"
    ttl_ms: int = 2000
    stale_ms: int = 0
    negative_ms: int = 2000
    jitter: float = 0.2  # a lifetime is shortened by up to so much
    beta: float = 0.0  # of XFetch; 0: never early
    lock_ms: int = 5000  # how long a lock or a lease lasts
    wait_ms: int = 5000  # how long a reader waits for another's load
    gate: int = 0  # loads at once, above which a request is refused; 0: no gate
    origin_timeout_ms: int = 10_000


class Service:
    def __init__(self, settings):
        cache = redis.asyncio.Redis(port=settings.cache)
        self._reader = readers.READERS[settings.reader](cache, web.Client(settings.origin), settings)
        self._requests = 0

    async def handle(self, path):
        verb, _, name = path[1:].partition("/")
        if verb == "product":
            return await self._product("product:" + name)
        if verb == "loads":
            return web.Reply(200, json.dumps(self._reader.loads).encode())
        if verb == "busy":
            return web.Reply(200, b"%d" % (self._requests + len(self._reader.background)))
        return web.Reply(400)

    async def _product(self, key):
        came = time.monotonic()
        self._requests += 1
        try:
            answer = await self._reader.read(key)
        except readers.Busy:
            return web.Reply(503)
        except readers.OriginFailed:
            return web.Reply(504)
        finally:
            self._requests -= 1
        took_ms = (time.monotonic() - came) * 1000
        source = answer.source
        # A server that lets readers wait answers them like any other: the value tells.
        if source == "hit" and took_ms > WAITED_MS and json.loads(answer.row)["made"] > came:
            source = "wait"
        headers = {"X-Source": source}
        if source == "wait":
            headers["X-Waited-Ms"] = f"{took_ms:.1f}"
        return web.Reply(404 if answer.row is None else 200, answer.row or b"", headers)


async def main():
    service = Service(Settings(**json.loads(sys.argv[1])))
    print(await web.serve(service.handle), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
