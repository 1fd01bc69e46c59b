"""Runs each fuzz target (docs/fuzzing.md) over its seeds and its corpus, and some seconds beyond. scripts/test builds them.

PINFOLD_FUZZ_PRESET says which: those of the preset fuzz, or asan for those without libFuzzer.
"""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_IN_TREE = 300_000  # bytes of all corpora together
SECONDS = int(os.environ.get("PINFOLD_FUZZ_SECONDS") or 10)
PLAIN = ["--plain"] if os.environ.get("PINFOLD_FUZZ_PRESET") == "asan" else []


def targets():
    """Those that CMake knows."""
    return re.findall(r"^pinfold_fuzz\((\w+) ", (ROOT / "tests" / "fuzz" / "CMakeLists.txt").read_text(), re.MULTILINE)


def fuzz(*arguments):
    done = subprocess.run([ROOT / "scripts" / "fuzz", "--no-build", *PLAIN, *arguments], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    return done


@pytest.mark.parametrize("target", targets())
def test_the_target_finds_nothing(target):
    done = fuzz("--short", target, str(SECONDS))
    assert done.returncode == 0
    executions = int(re.search(r"(\d+) executions", done.stdout)[1])
    assert executions > len(list((ROOT / "tests" / "fuzz" / "corpus" / target).glob("*"))), "more than the corpus"


def test_the_corpora_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "tests" / "fuzz" / "corpus").rglob("*")) < MOST_IN_TREE
