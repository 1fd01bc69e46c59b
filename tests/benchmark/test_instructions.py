"""That no request costs more instructions than is recorded, and that the count would notice."""

import os

import instructions
import pytest
from load import InvalidRun
from support import PINFOLD, ROOT, FakeServer

PAGE = os.path.join(ROOT, "docs", "benchmarks.md")


def test_no_load_takes_more_than_five_percent_above_what_is_recorded():
    recorded = instructions.recorded(PAGE)
    assert set(recorded) == set(instructions.LOADS)
    found = instructions.measure(PINFOLD)
    above = {name: f"{count:,.0f}, recorded {recorded[name]:,.0f}" for name, count in found.items()
             if count > recorded[name] * instructions.ALLOWED}
    assert not above, f"instructions per request: {above}"
    for load in ("GET 16 deep", "SET 16 deep"):
        assert found[load] <= instructions.METRICS_ALLOWED * found[load + ", metrics no"], found
    assert found["GET, ten patterns"] <= 1.05 * found["GET"], found


def test_a_request_that_does_more_is_counted_with_more():
    found = instructions.measure(PINFOLD, rounds=1, requests=1024)
    # Another answer, another count; and what is sent together shares its system calls and its round.
    assert found["GET 16 deep"] < found["GET"] < found["CACHE.GET hit"]
    assert found["GET 16 deep"] < found["SET 16 deep"]


def test_figures_are_read_from_the_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("| GET | 1 | 9 | |\n<!-- begin instructions -->\n| load | before | instructions |\n| --- | ---: | ---: |\n"
                    "| GET | 3,111 | 3,100 | x |\n| SET 16 deep |  | 12,345 |  |\n<!-- end instructions -->\n")
    assert instructions.recorded(page) == {"GET": 3100, "SET 16 deep": 12345}


def test_a_wrong_answer_is_no_figure():
    with FakeServer(b"-ERR\r\n") as server:
        replay = instructions.Replay(server)
        with pytest.raises(InvalidRun):
            replay.run(*instructions.LOADS["SET"][:3], 1)
        replay.close()
