"""The lab: a stampede on a slow origin, and what each layer of protection makes of it; see docs/lab.md."""

import pathlib
import sys

# Tables, plots and servers are those of the benchmarks.
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "benchmark"))
