#!/usr/bin/python3
"""Chaos on the wire for as long as is wanted, against a fresh server.

    python3 tests/chaos/run.py --seconds 600 --seed 7

Prints the seed, and what happened; exits 1 with what went wrong.
"""

import argparse
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.chaos import chaos


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of every decision (default: another each time)")
    options = parser.parse_args()
    print(f"--seed {options.seed}", flush=True)
    for what, count in sorted(chaos.run(options.seconds, options.seed).items()):
        print(f"{count:9} {what}")


if __name__ == "__main__":
    main()
