"""A client that pipelines heavy requests leaves its neighbours their share of a thread.

What is counted is how many of them the thread has executed before a neighbour's request. A sleep stands for a heavy request, because on
every machine it lasts at least as long as it says. (tests/unit/net/fair_share_test.cpp counts keys and bytes, with the clock held still.)
"""

import pytest

from tests.server.conftest import info
from tests.support import resp
from tests.support.servers import is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Redis executes a pipeline as far as it has been received")
HEAVY = resp.encode(["DEBUG", "SLEEP", "0.05"])


def executed(connection):
    """How many heavy requests the thread has begun, as a neighbour sees it whose request has its turn now."""
    text = info(connection, "commandstats").get("cmdstat_debug", "calls=0")
    return int(text.partition("calls=")[2].partition(",")[0])


@pytest.fixture
def one_thread(start):
    return start("--threads", "1", "--enable-debug-command", "yes")


def test_few_of_a_pipeline_of_heavy_requests_run_before_a_neighbour(one_thread):
    with one_thread.connect() as heavy, one_thread.connect() as light:
        light.call("PING")
        heavy.send(HEAVY * 32)
        seen = [executed(light) for _ in range(8)]
        # The time is looked at between two requests, as of the beginning of the one before. So a turn has two of them, and a round two turns.
        steps = [after - before for before, after in zip(seen, seen[1:])]
        assert max(steps) <= 4, seen
        assert heavy.read() == "OK"


def test_several_clients_with_heavy_pipelines_share_the_thread(one_thread):
    with one_thread.connect() as first, one_thread.connect() as second, one_thread.connect() as light:
        light.call("PING")
        first.send(HEAVY * 32)
        second.send(HEAVY * 32)
        seen = [executed(light) for _ in range(5)]
        steps = [after - before for before, after in zip(seen, seen[1:])]
        assert max(steps) <= 8, seen
        assert first.read() == "OK" and second.read() == "OK"


def test_a_pipeline_is_answered_in_order_although_it_is_interrupted(one_thread):
    with one_thread.connect() as heavy, one_thread.connect() as light:
        heavy.send(b"".join(resp.encode(["DEBUG", "SLEEP", "0.01"]) + resp.encode(["INCR", "n"]) for _ in range(20)))
        for i in range(1, 21):
            assert heavy.read() == "OK"
            assert heavy.read() == i
        assert light.call("PING") == "PONG"
