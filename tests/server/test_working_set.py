"""The hit ratio that other amounts of memory would give, against a server that has that memory, and PINFOLD.ADVISE.

The servers get the same requests in the same order, and what is compared are counts of hits: no time is measured. How many keys are sampled
depends on how busy the machine is, and the server says how exact the estimate is then (1, 3 or 5 points, docs/working-set.md). The server with
half the memory is a real one, whose memory does not shrink in every part by half (segments that are being filled, tables of the index): that
is one point more.
"""

import bisect
import itertools
import random
import re

import pytest

from tests.support import servers
from tests.support.servers import eventually

from .conftest import info, only_pinfold

pytestmark = only_pinfold

VALUE = b"v" * 1000


def zipf(keys, alpha, count, seed):
    """Key numbers, of which number k comes with a chance in proportion to 1 / k ** alpha."""
    sums = list(itertools.accumulate(1 / (k + 1) ** alpha for k in range(keys)))
    draw = random.Random(seed)
    return [bisect.bisect_left(sums, draw.random() * sums[-1]) for _ in range(count)]


def replay(connection, requests, value=VALUE, at_once=64):
    """A cache-aside client. Returns its hits."""
    hits = 0
    for start in range(0, len(requests), at_once):
        batch = [f"key:{number}" for number in requests[start:start + at_once]]
        replies = connection.pipeline([("GET", key) for key in batch])
        missed = [key for key, reply in zip(batch, replies) if reply is None]
        hits += len(batch) - len(missed)
        if missed:
            connection.pipeline([("SET", key, value) for key in missed])
    return hits


def working_set(connection):
    return info(connection, "workingset")


def known(connection, reads):
    """INFO workingset once all reads of sampled keys have been simulated."""
    def is_known():
        fields = working_set(connection)
        return fields["workingset_state"] == "known" and int(fields["workingset_sampled_reads"]) >= reads
    eventually(is_known)
    return working_set(connection)


def percent(fields, factor):
    return float(fields[f"hit_ratio_at_memory_{factor}"].rstrip("%"))


def test_the_hit_ratio_with_half_and_twice_the_memory_is_what_such_servers_have():
    requests = zipf(60000, 0.8, 240000, seed=11)
    measured = {}
    for factor, memory in ((0.5, "24mb"), (1, "48mb"), (2, "96mb")):
        with servers.pinfold("--maxmemory", memory, "--threads", "2") as server, server.connect() as connection:
            measured[factor] = 100 * replay(connection, requests, VALUE * 2) / len(requests)
            if factor == 1:
                fields = known(connection, 1000)
                eventually(lambda: abs(percent(working_set(connection), 1) - measured[1]) < 0.5)
                fields = working_set(connection)
    tolerance = percent(fields, "uncertainty") + 1
    assert measured[0.5] + 7 < measured[1] < measured[2] - 7  # or the test shows nothing
    assert abs(percent(fields, "0.5") - measured[0.5]) < tolerance, (fields, measured)
    assert abs(percent(fields, "2") - measured[2]) < tolerance, (fields, measured)


def test_a_server_that_is_not_full_says_that_more_memory_changes_nothing():
    with servers.pinfold("--maxmemory", "64mb") as server, server.connect() as connection:
        replay(connection, zipf(1000, 0.8, 60000, seed=1))
        fields = known(connection, 1000)
        assert percent(fields, "1") == percent(fields, "2") == percent(fields, "4") > 50


def test_metrics_off_frees_the_memory_and_notes_nothing():
    with servers.pinfold("--maxmemory", "64mb", "--metrics", "no") as server, server.connect() as connection:
        assert int(info(connection, "memory")["used_memory_sampling"]) == 0
        assert connection.call("CONFIG", "SET", "metrics", "yes") == "OK"
        eventually(lambda: int(info(connection, "memory")["used_memory_sampling"]) > 0)
        assert connection.call("CONFIG", "SET", "metrics", "no") == "OK"
        eventually(lambda: int(info(connection, "memory")["used_memory_sampling"]) == 0)
        replay(connection, list(range(1000)) * 3)
        fields = working_set(connection)
        assert fields["workingset_state"] == "off"
        assert fields["workingset_sampled_reads"] == "0"
        assert percent(fields, "1") == 0


def test_metrics_switched_on_counts_nothing_until_the_simulated_cache_holds_what_the_server_holds():
    with servers.pinfold("--maxmemory", "64mb", "--metrics", "no") as server, server.connect() as connection:
        replay(connection, list(range(2000)))
        assert connection.call("CONFIG", "SET", "metrics", "yes") == "OK"
        eventually(lambda: working_set(connection)["workingset_state"] == "warming")
        connection.pipeline([("GET", f"key:{number}") for number in range(1999)])
        # It holds nearly all of the keys now, and counts from the next second on.
        def counts():
            connection.pipeline([("GET", f"key:{number}") for number in range(1999)])
            return working_set(connection)["workingset_state"] == "known"
        eventually(counts, step=0.3)
        assert percent(working_set(connection), "1") == 100


def test_advice_names_what_it_rests_on():
    with servers.pinfold("--maxmemory", "64mb") as server, server.connect() as connection:
        assert any("Not enough traffic yet" in line.decode() for line in connection.call("PINFOLD.ADVISE"))
        unread = [("SET", f"unread:{number}", VALUE, "EX", 3600) for number in range(8000)]
        hits, reads = 0, 0

        def is_known():
            """How often that has to be done depends on how many keys are sampled."""
            nonlocal hits, reads
            connection.pipeline(unread)
            hits += replay(connection, list(range(4000)))
            reads += 4000
            fields = working_set(connection)
            return fields["workingset_state"] == "known" and int(fields["workingset_changes"]) >= 100

        def advise():
            return "\n".join(line.decode() for line in connection.call("PINFOLD.ADVISE", "HITRATIO", "0.5"))

        eventually(is_known)
        now = f"The hit ratio of the recent past is {100 * hits / reads:.2f} % with 64.00 MiB of memory (certain: all reads are counted)."
        eventually(lambda: now in advise())
        advice = advise()
        assert re.search(r"^A hit ratio of 50\.00 % needs .* from \d+ reads of 1 key in \d+, \d+ keys simulated", advice, re.M), advice
        assert "never read" not in advice  # they were written a moment ago
        assert re.search(r"^Values change long before their TTLs: .*from \d+ changes", advice, re.M), advice
        assert "33.33 % of the keys (4000 of 12000) have no TTL" in advice


def test_only_administrators_may_ask():
    with servers.pinfold() as server, server.connect() as connection:
        assert connection.call("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-@admin") == "OK"
        assert connection.call("AUTH", "reader", "x") == "OK"
        assert connection.raw("PINFOLD.ADVISE").startswith(b"-NOPERM")


@pytest.mark.parametrize("arguments", [("HITRATIO",), ("HITRATIO", "2"), ("HITRATIO", "nan"), ("HITRATIO", ""), ("MEMORY", "1"), ("x" * 5000,)])
def test_bad_arguments_are_refused(client, arguments):
    assert client.raw("PINFOLD.ADVISE", *arguments).startswith(b"-ERR")


def test_what_is_taken_is_named(client):
    usage = "; usage: PINFOLD.ADVISE [HITRATIO ratio]"
    assert client.call("PINFOLD.ADVISE", "HITRATIO") == "ERR HITRATIO needs a value" + usage
    assert client.call("PINFOLD.ADVISE", "HITRATE", "0.9") == "ERR unknown option 'HITRATE' (did you mean 'HITRATIO'?)" + usage
    assert client.call("PINFOLD.ADVISE", "HITRATIO", "90%") == "ERR HITRATIO takes a number between 0 and 1, such as 0.9, not '90%'"
