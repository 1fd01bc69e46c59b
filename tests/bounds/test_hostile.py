"""Whatever one client asks for, memory stays within what was promised, others are answered, and nobody holds a lock for long."""

import pathlib
import re
import time

import pytest

from tests.bounds import scenarios
from tests.support import servers
from tests.support.servers import bound, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="what Pinfold promises")

MB = 1 << 20
PROMISED_BESIDE = 12 * MB  # beside maxmemory and 5 % of it
OVER_BUDGET = re.compile(r"lock_work_([^:]+):holds=(\d+),over_budget=(\d+),(.*)")


def status(server, field):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024


def holds_over_budget(connection):
    """{cause: figures} of the holds of locks that did more than the budget and what their request named."""
    found = {}
    for line in connection.call("INFO", "locks").decode().splitlines():
        match = OVER_BUDGET.fullmatch(line)
        if match and int(match[3]) > 0:
            found[match[1]] = match[4]
    return found


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_others_are_left_alone(scenario):
    password = "pw" if "pw" in scenario.options else None
    with servers.pinfold("--maxmemory", f"{scenario.memory_mb}mb", "--lock-accounting", "yes", *scenario.options) as server:
        with server.connect(timeout=300.0) as control, scenarios.Neighbours(server, time.monotonic, password) as neighbours:
            if password:
                assert control.call("AUTH", password) == "OK"
            scenario.prepare(server)
            assert control.call("CONFIG", "RESETSTAT") == "OK"
            answered = sum(neighbours.answered)
            scenario.attack(server)
            assert control.call("PING") == "PONG"
            over = holds_over_budget(control)
        assert not neighbours.failures
        assert sum(neighbours.answered) > answered
        most = scenario.memory_mb * MB
        assert status(server, "VmHWM") <= bound(most + most // 20 + PROMISED_BESIDE)
        assert over == {}
