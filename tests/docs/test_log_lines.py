"""docs/operations.md has every line of the log: the beginning of each text in the code stands in its table, and the other way round."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
# Calls that write a line at once, or note one for the background worker. The first text in each says what the line is.
WRITES = re.compile(r'(?:spdlog::(?:info|warn)\(|events\.note\((?:EventLog::)?Kind::\w+,[^{]*\{\s*(?:std::string line = |return |))"([^"]{8,})"', re.DOTALL)


def rows():
    text = PAGE.read_text()
    return [line for line in text.splitlines() if re.match(r"\| (warning|notice|verbose|debug) \| `", line)]


def texts():
    found = set()
    for file in ROOT.glob("src/**/*.cpp"):
        for match in WRITES.finditer(file.read_text()):
            found.add(re.sub(r"\{\}", "<>", match[1]))
    return found


def test_there_are_lines_in_the_code():
    assert len(texts()) > 20, texts()


def test_each_line_of_the_code_is_in_the_table():
    told = re.sub(r"<[^>]*>", "<>", "\n".join(rows()))
    missing = [text for text in texts() if text.strip() not in told]
    assert not missing, missing


def test_each_row_says_its_level_and_what_it_means():
    for row in rows():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 3, row
        assert cells[2] or cells[0] in ("verbose", "debug"), row
