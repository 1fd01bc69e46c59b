"""The benchmark of scripts, publish/subscribe and tracking: that it makes what it says, and that its table judges right."""

import json

import live
import pytest
from context import Context
from herd import Client
from load import InvalidRun
from servers import Redis, Setup
from support import FakeServer, run_bench
from tls import Measured


def test_bench_live_measures_every_figure(tmp_path):
    done = run_bench("live", "--servers", "redis", "--scale", 0.02, "--rounds", 1, "--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["live"]["results"]
    figures = {row["figure"]: row for row in rows if row["server"] == "redis-server"}
    assert {work.name() for work in live.PUBLISHING} | {"invalidation", "tracking entry"} <= set(figures)
    for which in live.PASSES:
        assert f"GET p1 {which}" in figures and f"GET p16 {which}" in figures
    for script in live.SCRIPTS:
        assert {f"{script.name} p1", f"{script.name} p16", f"{script.name}, one thread", f"{script.name}, two servers"} <= set(figures)
    assert all(row["value"] > 0 for name, row in figures.items() if "RSS" not in name and "user" not in name)
    assert figures["PUBLISH to 10,000"]["subscribers"] == 200 and figures["tracking entry"]["entries"] == 320 * 5
    assert "EVALSHA sliding window p16, CPU us" in (tmp_path / "out.md").read_text()


@pytest.fixture(scope="module")
def server():
    with Redis(Setup(memory_mb=64)) as running:
        yield running


def test_every_key_is_tracked_for_every_client_by_one_pass(server):
    keys, clients = 320, 7
    with Client(server) as client, live.Crowd(server, clients) as crowd:
        for n in range(keys):
            client.call("SET", live._key(n), live.VALUE)
        crowd.all_send(live.encode(("CLIENT", "TRACKING", "ON", "REDIRECT", client.call("CLIENT", "ID"))))
        crowd.expect(b"+OK\r\n")
        live._read(crowd, keys, 0, 64, 1)
        live._read(crowd, keys, 64, keys, 16)
        assert server.statistic("tracking_total_keys") == keys and server.statistic("tracking_total_items") == keys * clients


def test_scripts_do_what_they_are_for(server):
    deletes, fixed, sliding = live.SCRIPTS
    with Client(server) as client:
        client.pipeline([deletes.before(b"lock")])
        assert client.call("EVAL", deletes.text, 1, "lock", "other") == 0
        assert client.call("EVAL", deletes.text, 1, "lock", "token") == 1
        assert client.call("EXISTS", "lock") == 0
        assert [client.call("EVAL", fixed.text, 1, "calls", 60_000) for unused in range(3)] == [1, 2, 3]
        assert 0 < client.call("PTTL", "calls") <= 60_000
        answers = [client.call("EVAL", sliding.text, 1, "log", moment, 100, 2) for moment in (1000, 1050, 1060, 1099, 1101, 1102, 1151)]
        assert answers == [[1, 1], [1, 0], [0, 0], [0, 0], [1, 0], [0, 0], [1, 0]]


def test_a_crowd_notices_wrong_replies(server):
    with live.Crowd(server, 2) as crowd:
        crowd.all_send(b"PING\r\n")
        with pytest.raises(InvalidRun, match="PONG"):
            crowd.expect(b"+PANG\r\n")
        crowd.all_send(b"NOSUCH\r\n")
    with live.Crowd(server, 1) as crowd:
        crowd.all_send(b"NOSUCH\r\n")
        with pytest.raises(InvalidRun):
            crowd.collect(b"\r\n", 1, refuse=b"-")


def test_a_server_without_scripts_is_no_figure():
    with FakeServer(None) as server, pytest.raises((InvalidRun, ConnectionError)):
        live._load_script(server, live.SCRIPTS[0])
    measured, failures = Measured(), []
    live._try(failures, lambda: live._expect(server, b"-ERR unknown command", b"sha"))
    assert len(failures) == 1 and live.report(Context(["pinfold"], "", ""), measured, failures).failures == failures


def verdicts(**figures):
    """The last column of each row, from figures of both servers for several rounds."""
    measured = Measured()
    for figure, servers in figures.items():
        for server, values in zip((live.OURS, live.THEIRS), servers):
            for number, value in enumerate(values):
                measured.add(figure, server, number, value)
    return {row[0]: row[-1] for row in live.report(Context(["pinfold", "redis"], "", ""), measured, []).table.rows}


def test_messages_and_scripts_are_judged_against_redis_within_each_round():
    found = verdicts(**{"PUBLISH to 100": ([60, 10, 70], [100, 100, 100]), "invalidation": ([71], [100]), "fixed window p16": ([90], [100])})
    assert found["PUBLISH to 100, CPU us/delivered message"] == "<= 0.6 met"
    assert found["invalidation, CPU us/message"] == "<= 0.7 missed"
    assert found["EVALSHA fixed window p16, CPU us"] == "<= 0.9 met"


def test_tracked_reads_and_threads_are_judged_by_themselves():
    plain, first, again = (f"GET p1 {which}" for which in live.PASSES)
    found = verdicts(**{
        plain: ([100, 200], [100, 100]), first: ([111, 222], [100, 100]), again: ([109, 219], [900, 900]), "tracking entry": ([24], [40]),
        "fixed window, one thread": ([100, 200], [100, 100]), "fixed window, two threads": ([160, 320], []),
        "sliding window, one thread": ([100], [100]), "sliding window, two threads": ([159], []),
    })  # fmt: skip
    assert found[f"{first} / without"] == "<= 1.1 missed" and found[f"{again} / without"] == "<= 1.1 met"
    assert found["tracking table, B per key and client"] == "<= 24 met"
    assert found["EVALSHA fixed window, two threads / one"] == ">= 1.6 met"
    assert found["EVALSHA sliding window, two threads / one"] == ">= 1.6 missed"
