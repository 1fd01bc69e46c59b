#!/usr/bin/python3
"""Races many clients of a fresh server against each other and checks what each of them sees.

    python3 tests/races/run.py --seconds 600 --seed 7

Prints the seed, and what happened; exits 1 with the story of a key if a rule was broken. The decisions of every client
follow from the seed; the order in which they meet does not, so a fault may take several runs to come back.
"""

import argparse
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.races.checker import SETTINGS, race
from tests.races.model import Violation
from tests.support import servers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="how long (default: 20)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of every decision (default: another each time)")
    parser.add_argument("--threads", type=int, default=2, help="of the server (default: 2)")
    options = parser.parse_args()
    print(f"--seed {options.seed}", flush=True)
    began = time.monotonic()
    with servers.pinfold(*SETTINGS, "--threads", options.threads) as server:
        try:
            arena = race(server, options.seed, options.seconds)
        except Violation as violation:
            print(f"after {time.monotonic() - began:.1f} s: {violation}")
            return 1
        for name, count in sorted(arena.model.counts.items()):
            print(f"{count:9} {name}")
        print("changes that took effect:")
        for name, count in sorted(arena.applied.items()):
            print(f"{count:9} {name}")
        print(f"{arena.info['evicted_keys']} evicted, {arena.info['expired_keys']} expired; no rule was broken in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
