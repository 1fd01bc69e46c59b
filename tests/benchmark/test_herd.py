"""The herd's generators count what a server without leases does to its origin; the benchmark shows what Pinfold does."""

import json
import threading

import herd
from context import Context
from support import FakeServer, load, run_bench


def test_a_herd_counts_everybody_whom_a_plain_server_lets_load(redis):
    status, got = load("herd", redis, connections=30, origin_ms=100, value=10)
    assert status == 0 and got["loads"] == got["loads_before_fill"] == 30
    assert got["hits"] == 1  # who filled, asking again
    assert got["fill_to_last_ms"] > 0
    assert redis.ask(b"STRLEN key:000000000000\r\n") == b":10\r\n"


def test_a_herd_that_finds_the_key_loads_nothing(redis):
    load("fill", redis, keys=1, value=10)
    status, got = load("herd", redis, connections=30, value=10)
    assert status == 0 and got["loads"] == 0 and got["hits"] == 30


def test_a_herd_notices_wrong_values_and_a_closed_connection():
    for reply in (b"$4\r\nabcd\r\n", b"-ERR no\r\n", None):
        with FakeServer(reply) as server:
            status, got = load("herd", server, connections=2, value=5)
        assert status == 2 and not got["valid"]


def answer(status, value, token):
    return b"*4\r\n$%d\r\n%s\r\n%s:%d\r\n:-1\r\n" % (len(status), status, value, token)


def test_answers_of_cache_get_are_read_as_what_they_are():
    for reply, good, hits, loads in ((answer(b"miss", b"$-1\r\n", 0), True, 0, 0),
                                     (answer(b"stale", b"$1\r\nx\r\n", 0), False, 0, 0),
                                     (b"*3\r\n:1\r\n:2\r\n:3\r\n", False, 0, 0), (b"-ERR no\r\n", False, 0, 0)):
        with FakeServer(reply) as server:
            server.protocol = "resp-cache"
            status, got = load("herd", server, connections=2, value=1)
        assert (status == 0) == good, got
        assert (got["hits"], got["loads"]) == (hits, loads)


def test_an_expiring_key_is_loaded_by_everybody_where_nothing_protects_it(redis):
    status, got = load("expiring", redis, connections=10, fresh_ms=50, origin_ms=20, expiries=3, value=10)
    assert status == 0 and got["expiries"] == 3
    assert got["loads"] > got["expiries"] and got["loads_beside_another"] == got["loads"] - got["expiries"]
    assert got["loads_too_early"] == 0
    assert got["hits"] + got["misses"] == got["requests"]



def test_loads_before_the_key_can_have_expired_are_counted(redis):
    removal = threading.Timer(0.3, redis.ask, [b"DEL key:000000000000\r\n"])
    removal.start()
    status, got = load("expiring", redis, connections=2, fresh_ms=3_600_000, origin_ms=0, expiries=1, value=10)
    removal.join()
    assert status == 0 and got["loads_too_early"] >= 1


def test_gets_that_wait_as_long_as_a_load_are_counted(redis):
    pause = threading.Timer(0.2, redis.ask, [b"CLIENT PAUSE 200 ALL\r\n"])
    pause.start()
    status, got = load("expiring", redis, connections=5, fresh_ms=500, origin_ms=100, expiries=1, value=10)
    pause.join()
    assert status == 0 and got["slow"] >= 1 and got["latency_us"]["max"] >= 100_000


def test_a_row_says_whether_its_target_was_met():
    assert herd._row("a", "b", "1", 1, "1", lambda n: n == 1)["verdict"] == "1 met"
    assert herd._row("a", "b", "2", 2, "1", lambda n: n == 1)["verdict"] == "1 missed"
    assert herd._row("a", "b", "2", 2, "", None)["verdict"] == ""


def test_a_part_that_fails_is_named_and_the_others_are_shown():
    found = herd.report(Context(["pinfold"], "", ""), [herd._row("a", "b", "1", 1, "1", lambda n: True)], {}, ["purge: no"])
    assert len(found.table.rows) == 1 and found.failures == ["purge: no"]


def test_bench_herd_measures_every_row(tmp_path):
    done = run_bench("herd", "--scale", 0.01, "--rounds", 1, "--json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "out.json").read_text())["herd"]["results"]["rows"]
    values = {(row["what"], row["figure"]): row["value"] for row in rows}
    by_figure = {figure: value for (_, figure), value in values.items()}
    assert by_figure["tokens"] == by_figure["answers of nil before the fill"] == 1
    assert by_figure["answered `hit`"] == by_figure["answered with the value"] == 50
    assert by_figure["rebuilds"] == 3
    assert by_figure["seen by a reader after that"] == 0
    assert by_figure["purges, and bytes to remember them, after that"] == 0
    assert sum("CPU ratio" in figure for _, figure in values) == 8
    assert [what for what, figure in values if figure == "memory of a waiter, B of RSS"] == ["1,000 clients parked on one key"]
