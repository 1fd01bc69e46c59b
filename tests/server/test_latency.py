"""LATENCY: what took longer than latency-monitor-threshold."""

import re
import time

import pytest

from tests.support.servers import eventually, is_redis

from .conftest import only_pinfold


@pytest.fixture
def latency(client):
    client.call("CONFIG", "SET", "latency-monitor-threshold", 10)
    client.call("LATENCY", "RESET")
    yield client
    client.call("CONFIG", "SET", "latency-monitor-threshold", 0)
    client.call("LATENCY", "RESET")


def latest(client):
    return {name: (at, last, most) for name, at, last, most, *_ in client.call("LATENCY", "LATEST")}


def test_a_long_command_is_recorded(latency):
    latency.call("DEBUG", "SLEEP", "0.03")
    at, last, most = latest(latency)[b"command"]
    assert abs(at - time.time()) < 5 and 30 <= last == most < 1000
    [[second, ms]] = latency.call("LATENCY", "HISTORY", "command")
    assert (second, ms) == (at, last)


def test_what_is_shorter_is_not_recorded(latency):
    latency.call("CONFIG", "SET", "latency-monitor-threshold", 30_000)
    latency.call("DEBUG", "SLEEP", "0.03")
    assert latest(latency) == {} and latency.call("LATENCY", "HISTORY", "command") == []


def test_nothing_is_recorded_while_it_is_off(latency):
    latency.call("CONFIG", "SET", "latency-monitor-threshold", 0)
    latency.call("DEBUG", "SLEEP", "0.03")
    assert latency.call("LATENCY", "LATEST") == []


def test_a_second_has_one_sample_the_longest(latency):
    def in_one_second():
        latency.call("LATENCY", "RESET")
        began = int(time.time())
        latency.call("DEBUG", "SLEEP", "0.05")
        latency.call("DEBUG", "SLEEP", "0.02")
        return int(time.time()) == began

    eventually(in_one_second)
    [[_, ms]] = latency.call("LATENCY", "HISTORY", "command")
    assert ms >= 50 and latest(latency)[b"command"][2] == ms


def test_reset_forgets_the_events_that_are_named(latency):
    latency.call("DEBUG", "SLEEP", "0.02")
    assert latency.call("LATENCY", "RESET", "fast-command", "nosuch") == 0
    assert b"command" in latest(latency)
    assert latency.call("LATENCY", "RESET", "command", "command") == 1
    assert b"command" not in latest(latency)
    latency.call("DEBUG", "SLEEP", "0.02")
    assert latency.call("LATENCY", "RESET") >= 1
    assert latency.call("LATENCY", "LATEST") == []


def test_an_event_that_there_is_not_has_no_history(latency):
    assert latency.call("LATENCY", "HISTORY", "nosuch") == []
    assert latency.call("LATENCY", "GRAPH", "nosuch") == "ERR No samples available for event 'nosuch'"
    assert latency.call("LATENCY", "HISTORY") == "ERR wrong number of arguments for 'latency|history' command"


def test_the_graph_has_a_column_for_each_second(latency):
    for ms in (20, 60, 40):
        latency.call("DEBUG", "SLEEP", str(ms / 1000))
        time.sleep(1.05)
    text = latency.call("LATENCY", "GRAPH", "command").decode()
    head, rule, *rows = text.split("\n")
    match = re.fullmatch(r"command - high (\d+) ms, low (\d+) ms \(all time high (\d+) ms\)", head)
    high, low, most = map(int, match.groups())
    assert high == most >= 60 and 20 <= low < high
    assert rule == "-" * 80
    columns = ["".join(row[i : i + 1] for row in rows[:4]) for i in range(3)]
    assert columns[0].strip() == "_" and columns[1][0] == "#" and set(columns[1][1:]) == {"|"}
    assert rows[4].strip() == "" and re.fullmatch(r"\d\d\d", rows[5]) and rows[6] == "sss"


def test_the_doctor_says_that_it_is_off(client):
    if not is_redis():
        assert b"latency-monitor-threshold is 0" in client.call("LATENCY", "DOCTOR")


@only_pinfold
def test_the_doctor_tells_what_was_long_and_what_to_do(latency, connect):
    assert b"Nothing has taken 10 ms" in latency.call("LATENCY", "DOCTOR")
    latency.call("DEBUG", "SLEEP", "0.03")
    eventually(lambda: b"event-loop" in latest(latency))
    text = latency.call("LATENCY", "DOCTOR").decode()
    assert re.search(r"^command: in 1 second, up to \d+ ms, on average \d+ ms", text, re.MULTILINE)
    assert "SLOWLOG GET" in text and re.search("^event-loop: ", text, re.MULTILINE)
    verbatim = connect(protocol=3)
    assert verbatim.raw("LATENCY", "DOCTOR")[:1] == b"="


@only_pinfold
def test_fast_commands_have_an_event_of_their_own(latency, connect):
    """A command that is fast as a rule takes long for a value that has to be copied: one of 30 MB."""
    latency.call("CONFIG", "SET", "latency-monitor-threshold", 1)
    size = 30 << 20
    latency.call("SETRANGE", "k", size, "x")

    def took_long():
        latency.call("COPY", "k", "shared", "REPLACE")
        latency.call("APPEND", "k", "y")
        return b"fast-command" in latest(latency)

    eventually(took_long)
    latency.call("FLUSHALL")


@only_pinfold
def test_a_transaction_counts_as_a_whole_and_its_commands_too(latency):
    latency.pipeline([["MULTI"], ["DEBUG", "SLEEP", "0.02"], ["DEBUG", "SLEEP", "0.02"], ["EXEC"]])
    assert latest(latency)[b"command"][2] >= 40


@only_pinfold
@pytest.mark.parametrize("command", [("LATENCY", "HISTOGRAM"), ("LATENCY", "RESET"), ("INFO",)])
def test_a_request_has_a_limited_number_of_names(client, command):
    what = {"HISTOGRAM": "commands", "RESET": "events"}.get(command[-1], "sections")
    assert not str(client.call(*command, *["get"] * 1024)).startswith("ERR")
    assert client.call(*command, *["get"] * 1025) == f"ERR {' '.join(command)} takes 1024 {what} at most"
    assert not str(client.call("MULTI")).startswith("ERR") and client.call("DISCARD") == "OK"


@only_pinfold
def test_the_histogram_is_that_of_the_commands_that_are_named(client):
    client.call("GET", "k")
    client.call("CLIENT", "ID")
    names = lambda *named: set(client.call("LATENCY", "HISTOGRAM", *named)[::2])
    assert names("GET", "nosuch") == {b"get"}
    assert b"client|id" in names("client") and names("CLIENT|ID") == {b"client|id"}
    assert {b"get", b"client|id"} <= names()
