"""The benchmark of scrapes: that it makes what it says, and that its table judges right."""

import contextlib
import json

import pytest
import scrape
from context import Context
from herd import Client
from load import InvalidRun
from servers import Pinfold, Setup, free_port
from support import PINFOLD, FakeServer, run_bench


def test_bench_scrape_tells_of_every_policy_user_and_command(tmp_path):
    done = run_bench("scrape", "--scale", 0.02, "--rounds", 1, "--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["scrape"]["results"]
    one = rows[0]
    assert one["policies"] == 5 and one["users"] == 5  # the default user is one of them
    assert one["commands"] > 140 and one["samples"] > 25 * one["commands"] and len(one["ms"]) == 5
    assert [row["per_second"] for row in rows[1:]] == [1, 10, 0]  # in turns
    assert all(row["scraped"] == 0 if row["per_second"] == 0 else row["scraped"] >= row["per_second"] for row in rows[1:])
    assert "p99.9 against none, ratio" in (tmp_path / "out.md").read_text()


def test_as_many_policies_and_users_as_are_wanted_are_there_and_have_been_used():
    admin_port = free_port()
    with Pinfold(Setup(memory_mb=256, pinfold_options=("--admin-port", str(admin_port))), PINFOLD) as server:
        with contextlib.ExitStack() as running:
            scrape._policies_and_users(server, 7, 4, running)
            with Client(server) as client, scrape.Scraper(admin_port) as scraper:
                assert len(client.call("CACHE.POLICY", "LIST")) == 7
                text = scraper.scrape()[1].decode()
        for n in range(7):
            assert f'pinfold_policy_hits_total{{policy="policy-{n}"}} 5' in text
            assert f'pinfold_policy_misses_total{{policy="policy-{n}"}} 5' in text
        for n in range(4):
            assert f'pinfold_user_clients{{user="user-{n}"}} 1' in text


def test_no_admin_port_is_no_figure():
    with FakeServer(None) as server, scrape.Scraper(server.port) as scraper, pytest.raises(InvalidRun):
        scraper.scrape()


def traffic(per_second, number, p999):
    return {"figure": "traffic", "per_second": per_second, "round": number, "p99.9_us": p999, "p50_us": 50, "longest_us": 9000, "late_us": 20, "scraped": 1}


def verdicts(data):
    found = scrape.report(Context(["pinfold"], "", ""), data, [])
    return {(row[0], row[1]): row[3] for row in found.table.rows}


def test_the_table_compares_within_rounds():
    data = [traffic(0, 1, 100), traffic(1, 1, 105), traffic(10, 1, 300), traffic(0, 2, 200), traffic(1, 2, 214), traffic(10, 2, 500)]
    found = verdicts(data)
    assert found["20,000 GETs a second, 1 scrape a second", "p99.9 against none, ratio"] == "<= 1.1 met"
    assert found["20,000 GETs a second, 10 scrapes a second", "p99.9 against none, ratio"] == ""
    data[1]["p99.9_us"], data[4]["p99.9_us"] = 115, 225
    assert verdicts(data)["20,000 GETs a second, 1 scrape a second", "p99.9 against none, ratio"] == "<= 1.1 missed"


def test_a_scrape_that_takes_too_long_is_a_miss():
    def row(ms):
        return {"figure": "scrape", "ms": ms, "bytes": 1, "samples": 1, "cpu_ms": 1, "policies": 250, "users": 64, "commands": 150}

    what = "250 policies, 64 users shown, 150 commands"
    assert verdicts([row([10, 11, 70])])[what, "time of a scrape, median, ms"] == "<= 50 met"
    assert verdicts([row([10, 11, 70])])[what, "p99, ms"] == "<= 50 missed"
    assert verdicts([row([51, 52])])[what, "time of a scrape, median, ms"] == "<= 50 missed"
