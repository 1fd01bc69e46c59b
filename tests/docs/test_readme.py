"""What the README says of measurements is what docs/benchmarks.md says, and its examples say what they need."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def measured_stalls():
    """{"met": [row, ...], "missed": [...]} of Pinfold, in the order of the table."""
    text = (ROOT / "docs/benchmarks.md").read_text()
    table = text[text.index("<!-- begin stalls -->") : text.index("<!-- end stalls -->")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    found = {"met": [], "missed": []}
    for row in (dict(zip(head, cells)) for cells in rows):
        if row["server"] == "pinfold":
            (verdict,) = re.findall(r"\b(met|missed)\b", row["target"])
            found[verdict].append(row["while"])
    return found


def test_the_readme_says_which_rows_about_stalls_are_met():
    readme = " ".join((ROOT / "README.md").read_text().split())
    rows = measured_stalls()
    assert rows["met"] and rows["missed"]
    assert f"is met in these rows: {', '.join(rows['met'])}; and missed in these: {', '.join(rows['missed'])}." in readme


def test_the_stampede_example_says_that_it_needs_two_terminals():
    """In one, the second CACHE.GET would be answered only when its own lease has run out."""
    before, example = (ROOT / "README.md").read_text().split("first terminal", 1)
    assert "second terminal" in example.splitlines()[0]
    assert "in two terminals" in before.splitlines()[-3]
