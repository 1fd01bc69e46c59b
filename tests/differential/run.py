#!/usr/bin/python3
"""Compares Pinfold with redis-server on random command sequences.

    python3 tests/differential/run.py --seeds 1000 --start 5000 --commands 300

Starts both servers unless ports are given. Prints each difference with a shrunk sequence; exits 1 if there was one.
"""

import argparse
import contextlib
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from tests.differential.checker import COMMON_SETTINGS, OWN_SETTINGS, Checker
from tests.support import servers


class Port:
    """A server that somebody else runs."""

    def __init__(self, port):
        self.port = port


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many sequences")
    parser.add_argument("--start", type=int, default=1, help="the first seed")
    parser.add_argument("--commands", type=int, default=300, help="steps of a sequence")
    parser.add_argument("--failures", type=int, default=3, help="stop after so many differences")
    parser.add_argument("--port-a", type=int, help="a running reference server")
    parser.add_argument("--port-b", type=int, help="a running server under test")
    options = parser.parse_args()

    with contextlib.ExitStack() as stack:
        a = Port(options.port_a) if options.port_a else stack.enter_context(servers.redis(*COMMON_SETTINGS))
        b = Port(options.port_b) if options.port_b else stack.enter_context(servers.pinfold(*COMMON_SETTINGS, *OWN_SETTINGS))
        checker = Checker([a, b])
        failures, began = 0, time.monotonic()
        for seed in range(options.start, options.start + options.seeds):
            report = checker.check(seed, options.commands)
            if report:
                failures += 1
                print(report, "\n", flush=True)
                if failures >= options.failures:
                    break
        took = time.monotonic() - began
        print(f"{seed - options.start + 1} sequences, {checker.replies} replies compared in {took:.1f} s, {failures} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
