"""The slow origin, a database as the lab needs it: python3 -m tests.lab.origin '{"query_ms": 200, "slots": 20}'

A query takes its time in one of a few slots, and those that find no slot wait in line. A query whose client has gone is
still executed. Every query is logged, and times are on the monotonic clock, which all processes of a machine share.

    /row/<key>        the row, 404 for keys with "none" in them
    /write/<key>      commits a new version of the row
    /hold/<key>       queries of the row that start from now on read it, and then do not end before /release/<key>
    /pass/<key>       queries that start from now on are no longer held
    /release/<key>    held queries end
    /log              [[key, arrived, started, ended], ...]; null for what has not happened yet
"""

import asyncio
import collections
import json
import sys
import time

from . import web

KEY, ARRIVED, STARTED, ENDED = range(4)


class Origin:
    def __init__(self, query_ms, slots):
        self._seconds = query_ms / 1000
        self._slots = asyncio.Semaphore(slots)
        self._versions = collections.defaultdict(lambda: 1)
        self._holding = {}  # by key: the event that new queries wait for
        self._held = {}  # by key: the event that ends those that were held
        self._log = []

    async def handle(self, path):
        verb, _, key = path[1:].partition("/")
        if verb == "row":
            return await self._query(key)
        if verb == "write":
            self._versions[key] += 1
        elif verb == "hold":
            self._holding[key] = self._held[key] = asyncio.Event()
        elif verb == "pass":
            self._holding.pop(key)
        elif verb == "release":
            self._holding.pop(key, None)
            self._held.pop(key).set()
        elif verb == "log":
            return web.Reply(200, json.dumps(self._log).encode())
        else:
            return web.Reply(400)
        return web.Reply(200)

    async def _query(self, key):
        entry = [key, time.monotonic(), None, None]
        self._log.append(entry)
        async with self._slots:
            entry[STARTED] = time.monotonic()
            version = self._versions[key]  # a query sees what was committed when it began
            held = self._holding.get(key)
            await asyncio.sleep(self._seconds)
            if held:
                await held.wait()
            entry[ENDED] = time.monotonic()
        if "none" in key:
            return web.Reply(404)
        return web.Reply(200, json.dumps({"key": key, "version": version, "made": entry[ENDED]}).encode())


async def main():
    origin = Origin(**json.loads(sys.argv[1]))
    print(await web.serve(origin.handle), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
