"""The pages of docs/ that are made from the code say what the code says."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_generated_pages_are_not_stale():
    result = subprocess.run([ROOT / "scripts" / "docs", "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
