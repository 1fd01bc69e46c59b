"""docs/cache-commands.md is the contract and tests/server/test_cache_*.py quote it: neither says what the other does not.

Quotes are the docstrings and comments that begin with `|`, as rows of tables do, or with a backtick or a quotation mark. "..." leaves something out.
"""

import ast
import io
import pathlib
import re
import tokenize

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cache-commands.md"
TESTS = [*sorted((ROOT / "tests" / "server").glob("test_cache_*.py")), ROOT / "tests" / "server" / "test_switches.py"]


RULE = re.compile(r"\|[|\s:-]+")


def normalised(text):
    return " ".join(text.replace("`", "").split())


def readable(page):
    """The page without the rules between the headings of tables and their rows."""
    return normalised("\n".join(line for line in page.splitlines() if not RULE.fullmatch(line)))


def rows(page):
    """What the tables say, without their headings."""
    lines = page.splitlines()
    rules = {n for n, line in enumerate(lines) if RULE.fullmatch(line)}
    return [line for n, line in enumerate(lines) if line.startswith("|") and n not in rules and n + 1 not in rules]


def remarks(source):
    """Docstrings, and comments of one or more lines: (line, text)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.Module)) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text
    first, last, text = 0, -1, []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, said = token.start[0], token.string[1:].strip()
        if line != last + 1 or not said:
            yield first, "\n".join(text)
            first, text = line, []
        text.append(said)
        last = line
    yield first, "\n".join(text)


def quotes(source):
    """What of them is said to be in the page, up to an empty line."""
    for line, text in remarks(source):
        text = text.strip().split("\n\n")[0]
        if text.startswith(("|", "`", '"')):
            yield line, text.strip('"')


REMARKS = normalised(" \n ".join(text for file in TESTS for _, text in remarks(file.read_text())))


def test_the_page_has_the_tables_that_are_compared():
    found = rows(PAGE.read_text())
    assert sum("CACHE." in row.split("|")[1] for row in found) == 10 and len(found) >= 17


@pytest.mark.parametrize("row", rows(PAGE.read_text()), ids=lambda row: normalised(row).strip("| ")[:40])
def test_a_test_quotes_each_row(row):
    assert normalised(row) in REMARKS, f"no tests/server/test_cache_*.py quotes {row}"


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_what_the_tests_quote_is_there(file):
    page = readable(PAGE.read_text())
    wrong = [
        f"{file.name}:{line}: {part.strip()}"
        for line, quote in quotes(file.read_text())
        for part in normalised(quote).split("...")
        if part.strip() and part.strip() not in page
    ]
    assert not wrong, "not in the page:\n" + "\n".join(wrong)


def test_a_changed_word_would_be_noticed():
    source = '# | `a` |\n# b |\n\n\ndef test():\n    """`c` ... d\n\n    not quoted\n    """\n    # "e"\n    # of our own\n    f()\n'
    assert [text for _, text in quotes(source)] == ["`c` ... d", "| `a` |\nb |", 'e"\nof our own']
