"""The benchmark of TLS: that the generator speaks it and counts handshakes, and that the table judges right."""

import json

import pytest
import tls
from context import Context
from servers import Redis, Setup
from support import load, run_bench


@pytest.fixture(scope="module")
def server():
    with Redis(Setup(memory_mb=64, connections=200, tls="P-256")) as running:
        running.port = running.tls_port
        yield running


def test_what_is_written_over_tls_is_what_is_read(server):
    for value, pipeline in ((100, 16), (1, 1), (900_000, 2)):
        assert load("fill", server, tls=True, keys=50, value=value, pipeline=pipeline, connections=4)[0] == 0
        status, found = load("get", server, tls=True, keys=50, value=value, pipeline=pipeline, connections=4, requests=100, pid=server.pid)
        assert status == 0 and found["hits"] == 100 and found["server_cpu_us_per_request"] > 0
        # Another content would be noticed.
        status, found = load("get", server, tls=True, keys=50, value=value + 1, requests=100)
        assert status == 2 and found["wrong"] == 100


def test_without_tls_the_port_does_not_answer(server):
    assert load("get", server, keys=10, value=10, requests=10)[0] != 0


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_handshakes_are_counted_full_and_resumed(server, version):
    for resume in (False, True):
        options = {"resume": True} if resume else {}
        status, found = load("handshakes", server, tls=True, tls_version=version, connections=8, requests=120, warmup=20, pid=server.pid, **options)
        assert status == 0 and found["answered"] == 120 and found["failed"] == found["refused"] == 0
        assert found["resumed"] == (120 if resume else 0) and found["per_cpu_second"] > 0
        assert found["latency_us"]["p50"] > 0


def test_handshakes_that_fail_make_a_run_invalid(server):
    status, found = load("handshakes", server, tls=True, connections=300, requests=300)
    # More than redis-server lets in, which it does not say over TLS.
    assert status == 2 and not found["valid"] and found["failed"] > 0 and found["answered"] + found["failed"] == 300


def test_a_paced_load_that_sleeps_sends_as_much(server):
    load("fill", server, tls=True, keys=50, value=10)
    status, found = load("paced", server, tls=True, sleep=True, keys=50, value=10, rate=500, duration_ms=1000)
    assert status == 0 and found["requests"] == 500


def test_bench_tls_measures_every_figure(tmp_path):
    done = run_bench("tls", "--servers", "redis", "--scale", 0.01, "--rounds", 1, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["tls"]["results"]
    figures = {row["figure"] for row in rows}
    assert {workload.name for workload in tls.WORKLOADS} | {"GET of 1 MB", "storm p99.9", "idle connection"} <= figures
    assert sum("resumed" in figure or "full" in figure for figure in figures) == 2 * len(tls.HANDSHAKES)
    assert all(row["value"] > 0 for row in rows if row["figure"] not in ("storm refused", "idle connection without TLS"))


def verdicts(**figures):
    """The last column of each row, from one figure of each server or, for several rounds, several."""
    measured = tls.Measured()
    for figure, servers in figures.items():
        for server, values in zip((tls.OURS, tls.THEIRS), servers):
            for number, value in enumerate(values):
                measured.add(figure.replace("_", " "), server, number, value)
    return {row[0]: row[-1] for row in tls.report(Context(["pinfold", "redis"], "", ""), measured, []).table.rows}


def test_ratios_are_judged_within_each_round():
    found = verdicts(GET_p1=([85, 100, 170], [100, 200, 200]), SET_p1=([86], [100]), GET_p1_without_TLS=([500], [100]))
    assert found["GET p1, CPU us/request"] == "<= 0.85 met" and found["SET p1, CPU us/request"] == "<= 0.85 missed"
    assert found["GET p1 without TLS, CPU us/request"] == ""


def test_handshakes_storms_and_idle_connections_have_targets():
    full, resumed = "P-256, TLS 1.3, full", "P-256, TLS 1.3, resumed"
    found = verdicts(**{full: ([100], [90]), resumed: ([199], [300]), "quiet p99.9": ([10], [10]), "storm p99.9": ([30], [900]), "idle connection": ([12 * 1024 + 1], [1])})
    assert found["handshakes per CPU second: P-256, TLS 1.3, full"] == ">= 1 met"
    assert found["resumed / full: P-256, TLS 1.3"] == ">= 2 missed"
    assert found["storm / quiet, p99.9"] == "<= 3 met" and found["idle TLS connection, B"] == "<= 12,288 B missed"
