"""Starts what the lab measures: an origin, a cache, and instances of the service between them, each a process of its own."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import ExitStack

import redis
from load import InvalidRun
from servers import Setup

from . import web

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSTANCES = 4
SETTLE_SECONDS = 30  # when something hangs, not how long it takes
WARM_ATTEMPTS = 10  # the second finds everything unless the machine stood still for a TTL
POLICY = "lab"


class Process:
    """A module of this package with its settings, which says on which port it answers."""

    def __init__(self, module, settings):
        self.module = module
        # setpriv: nothing must outlive a lab that was killed.
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", f"tests.lab.{module}", json.dumps(settings)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def port(self):
        line = self._process.stdout.readline()
        if not line:
            raise InvalidRun(f"the lab's {self.module} did not start")
        return int(line)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._process.kill()  # it keeps nothing
        self._process.wait()
        self._process.stdout.close()


class Fleet:
    """Use it in a `with` block. `service` are settings of service.Settings, `policy` fields of a CACHE.POLICY."""

    def __init__(self, context, cache, service, query_ms, slots, policy=()):
        self._context = context
        self._cache = cache
        self._service = service
        self._origin = {"query_ms": query_ms, "slots": slots}
        self._policy = policy
        self._running = ExitStack()

    def __enter__(self):
        with ExitStack() as running:
            origin = running.enter_context(Process("origin", self._origin))
            server = running.enter_context(self._context.server(self._cache, Setup(memory_mb=256, connections=4000)))
            self._context.remember_version(server)
            self.cache = running.enter_context(redis.Redis(port=server.port))
            if self._policy:
                self.cache.execute_command("CACHE.POLICY", "SET", POLICY, "match", "product:*", *self._policy)
            origin_port = origin.port()
            settings = {**self._service, "origin": origin_port, "cache": server.port}
            instances = [running.enter_context(Process("service", settings)) for _ in range(INSTANCES)]
            self.instances = [web.Client(instance.port()) for instance in instances]
            self._origin_client = web.Client(origin_port)
            for client in (self._origin_client, *self.instances):
                running.callback(client.close)
            self._running = running.pop_all()
        return self

    def __exit__(self, *unused):
        self._running.close()

    async def origin(self, verb, key=""):
        return await self._origin_client.get(f"/{verb}/{key}")

    async def log(self):
        """Every query of the origin; see origin.py."""
        return json.loads((await self.origin("log")).body)

    async def loads(self):
        """What the instances asked the origin for; see readers.py."""
        replies = [await instance.get("/loads") for instance in self.instances]
        return sorted(load for reply in replies for load in json.loads(reply.body))

    async def busy(self):
        """Requests and background rebuilds under way."""
        return sum([int((await instance.get("/busy")).body) for instance in self.instances])

    async def settle(self):
        """Waits for the rebuilds that no request waits for."""
        async with asyncio.timeout(SETTLE_SECONDS):
            while await self.busy():
                await asyncio.sleep(0.01)

    async def read(self, name, instance=0):
        return await self.instances[instance % INSTANCES].get("/product/" + name)

    async def warm(self, names):
        """The gate before a cutover: load what will be asked for, and go on only when all of it was found."""
        missing = list(names)
        for attempt in range(WARM_ATTEMPTS):
            replies = await asyncio.gather(*(self.read(name, n + attempt) for n, name in enumerate(missing)))
            if wrong := {reply.status for reply in replies} - {200}:
                raise InvalidRun(f"requests to warm the cache were answered {wrong}")
            missing = [name for name, reply in zip(missing, replies) if reply.headers["X-Source"] in ("miss", "wait")]
            if not missing:
                return
        raise InvalidRun(f"not in the cache after warming: {missing}")
