"""The tree passes scripts/lint."""

import pathlib
import subprocess

import pytest

LINT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lint"


@pytest.mark.parametrize("check", ["format", "includes", "names", "tidy"])
def test_the_tree_passes(check):
    done = subprocess.run([LINT, check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
