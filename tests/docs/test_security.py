"""docs/security.md: the tests that it names exist, and what it says of the settings is so."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
CLASSES = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]


@pytest.fixture(scope="module")
def tests():
    python = {name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    cpp = {name for path in (ROOT / "tests/unit").rglob("*.cpp") for name in re.findall(r'TEST_CASE\("((?:[^"\\]|\\.)*)"', path.read_text())}
    targets = re.findall(r"^pinfold_fuzz\((\w+) ", (ROOT / "tests/fuzz/CMakeLists.txt").read_text(), re.MULTILINE)
    return python | cpp | {f"fuzz-{name}" for name in targets}


def test_there_is_a_row_for_each_of_the_thirty_classes():
    assert [row[0] for row in CLASSES] == [str(number) for number in range(1, 31)]
    assert all(len(row) == 4 and all(row) for row in CLASSES)


@pytest.mark.parametrize("row", CLASSES, ids=lambda row: row[1])
def test_the_tests_of_each_class_exist(row, tests):
    named = re.findall(r"`(test_\w+|fuzz-\w+)`", row[3]) + re.findall(r'"([^"]+)"', row[3])
    assert named or "missing" in row[3]
    assert not set(named) - tests


def test_every_event_of_the_audit_log_is_in_its_table():
    source = (ROOT / "src/base/audit_log.cpp").read_text()
    events = re.findall(r'\{Kind::\w+, "([a-z-]+)"', source)
    assert len(events) > 10
    missing = [event for event in events + ["lost", "left-out"] if not re.search(rf"^\| [^|]*`{event}`", PAGE, re.MULTILINE)]
    assert not missing


def test_the_settings_that_it_names_exist_with_their_defaults():
    table = (ROOT / "docs/configuration.md").read_text()
    for name, default in (("protected-mode", "`yes`"), ("auth-failures-per-minute", "`60`"), ("unixsocketperm", "`700`"), ("audit-log-on-error", "`continue`")):
        section = table.split(f"## {name}\n", 1)[1].split("\n## ")[0]
        assert f"- Default: {default}" in section, name
