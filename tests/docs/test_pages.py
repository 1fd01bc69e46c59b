"""The pages of docs/ that are made from the code say what the code says."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_generated_pages_are_not_stale():
    result = subprocess.run([ROOT / "scripts" / "docs", "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_example_policy_says_whom_coalesce_does_not_help():
    """Whoever uncomments it without that would wait for nothing, or not at all."""
    before = (ROOT / "config/pinfold.yaml").read_text().split("\n#    coalesce: ")[0].splitlines()
    warning = " ".join(" ".join(line.strip("# ") for line in before[-2:]).split())
    assert "clients that share one connection" in warning and "of a row that does not exist, readers wait in vain" in warning
