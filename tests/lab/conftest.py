"""What the lab's tests share."""

import asyncio

import pytest

from context import Context
from support import PINFOLD

from . import fleet

DEADLINE_SECONDS = 30


@pytest.fixture
def context():
    return Context([], "", PINFOLD, quiet=True)


@pytest.fixture
def lab(context):
    """Runs a test's coroutine with a fleet: lab(story, cache, settings of the service, policy=...)."""

    def run(story, cache, *, policy=(), query_ms=10, slots=1000, **service):
        async def with_fleet():
            with fleet.Fleet(context, cache, service, query_ms, slots, policy) as running:
                return await story(running)

        return asyncio.run(with_fleet())

    return run


async def eventually(condition):
    """Polls until `await condition()` is true; fails after the deadline, never because of a short wait."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.01)
