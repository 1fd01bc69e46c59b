"""Lets the suites import tests.support from wherever pytest is started."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


def pytest_configure(config):
    config.addinivalue_line("markers", "on_demand: takes long; left out unless its suite is asked for by name, or with all (scripts/test)")
