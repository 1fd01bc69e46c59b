"""Adds up the results of a test run, JUnit files and those of Catch: total.py <folder of scripts/test>. Exits 1 if anything failed.

A run that left no readable file, or ended badly without naming a failed test, counts as one failure; so does each
report of a sanitizer.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count(file):
    """(passed, names of the failed, skipped) of one file."""
    root = ElementTree.parse(file).getroot()
    return count_catch(root) if root.tag == "Catch" else count_junit(root)


def count_catch(root):
    passed = 0
    failed = []
    for case in root.iter("TestCase"):
        result = case.find("OverallResult")
        if result is not None and result.get("success") == "true":
            passed += 1
        else:
            failed.append(f"{case.get('name')} ({case.get('filename')}:{case.get('line')})" + "".join(map(described, case.iter("Expression"))))
    return passed, failed, 0


def described(expression):
    """A failed assertion of Catch, shortened."""
    most = 500
    original, expanded = (" ".join((expression.findtext(tag) or "").split())[:most] for tag in ("Original", "Expanded"))
    return f"\n    line {expression.get('line')}: {original}: {expanded}"


def count_junit(root):
    passed = skipped = 0
    failed = []
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{case.get('classname')}: {case.get('name')}")
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    results = pathlib.Path(sys.argv[1])
    runs = results / "runs"
    passed, skipped, failures = 0, 0, []
    for line in runs.read_text().splitlines() if runs.exists() else []:
        name, status = line.split("\t")
        try:
            good, bad, left_out = count(results / f"{name}.xml")
        except (OSError, ElementTree.ParseError):
            failures.append(f"{name}: no results, exit status {status}")
            continue
        passed += good
        skipped += left_out
        failures += [f"{name}: {test}" for test in bad]
        if status != "0" and not bad:
            failures.append(f"{name}: exit status {status} though no test failed")
    for report in sorted(results.glob("*-reports/*")):
        failures.append(f"sanitizer report {report}")
        print(report.read_text(errors="replace")[:6000])
    if not passed and not failures:
        failures.append("nothing was run")
    for failure in failures:
        print(f"FAILED {failure}")
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
