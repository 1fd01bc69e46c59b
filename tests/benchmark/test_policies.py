"""The in-process replay counts right, and its table says what was measured."""

import gzip
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

import policies  # noqa: E402
from context import Context  # noqa: E402

REPLAY = os.environ.get("PINFOLD_REPLAY", os.path.join(ROOT, "build", "release", "pinfold-replay"))
pytestmark = pytest.mark.skipif(not os.path.exists(REPLAY), reason="pinfold-replay is not built")


def replay(*arguments):
    done = subprocess.run([REPLAY, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, [line.split() for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("opener", [open, gzip.open], ids=["plain", "gzip"])
def test_a_cache_that_holds_everything_misses_each_key_once(tmp_path, opener):
    with opener(tmp_path / "it's a trace", "wt") as out:
        out.write("".join(f"{key}\n" for key in ["a", "b", "c", "a", "b", "x", "a"] * 10))
    status, lines, _ = replay(tmp_path / "it's a trace", "entries=4", "policy=allkeys-lfu,allkeys-lru,noeviction,opt")
    assert status == 0
    assert [line[:4] for line in lines] == [[name, "0.9429", "66", "70"]
                                            for name in ("allkeys-lfu", "allkeys-lru", "noeviction", "opt")]


def test_no_policy_beats_the_optimum_of_a_loop(tmp_path):
    trace = tmp_path / "loop"
    trace.write_text("".join(f"{n % 100}\n" for n in range(10_000)))
    _, lines, _ = replay(trace, "entries=50", "policy=opt,allkeys-lfu,allkeys-lru,allkeys-random")
    ratio = {line[0]: float(line[1]) for line in lines}
    # Of a loop of n keys a cache of m keeps m - 1 at best and lets the others pass through the last place.
    assert ratio["opt"] == pytest.approx(0.99 * 49 / 99, abs=0.01)
    assert ratio["opt"] >= max(ratio.values()) and ratio["allkeys-lru"] == 0


def test_bytes_are_the_values_the_keys_and_the_overhead(tmp_path):
    trace = tmp_path / "sized"
    trace.write_text("1 100\n2 200\n" * 10)
    assert replay(trace, "bytes=322", "overhead=10")[1][0][2] == "18"
    assert replay(trace, "bytes=321", "overhead=10")[1][0][2] != "18"


@pytest.mark.parametrize("arguments, reason", [
    (["entries=1"], "No such file"), (["entries=0"], "either entries=N or bytes=N"), (["entries=x"], "no number"),
    (["entries=1", "policy=best"], "unknown policy"), (["speed=1"], "unknown option"),
])
def test_what_cannot_be_replayed_is_named(tmp_path, arguments, reason):
    status, lines, error = replay(tmp_path / "missing", *arguments)
    if reason == "unknown policy":
        (tmp_path / "missing").write_text("1\n")
        status, lines, error = replay(tmp_path / "missing", *arguments)
    assert status == 1 and not lines and reason in error


def test_the_table_fails_where_a_trace_is_missing_and_judges_where_it_is_not(tmp_path):
    with gzip.open(tmp_path / "multi3.trace.gz", "wt") as out:
        out.write("".join(f"{n % 900}\n" for n in range(30_000)))
    context = Context([], "", os.path.join(os.path.dirname(REPLAY), "pinfold-server"), quiet=True)
    report = policies.run(context, str(tmp_path))
    assert [(found["trace"], found["entries"], found["met"]) for found in report.data] == \
        [("multi3", 1000, True), ("multi3", 2000, True)]
    assert len(report.failures) == 10 and all("not in" in failure for failure in report.failures)
