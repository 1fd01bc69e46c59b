"""Moves a server's clocks (tests/support/clock.cpp): steps its wall clock, as an administrator or NTP may do, or lets time pass on both."""

import mmap
import os
import pathlib
import struct

import pytest

from . import servers

_SHIFT = struct.Struct("<q")


def library():
    return pathlib.Path(servers.pinfold_binary()).resolve().parent / "pinfold-clock.so"


class Clock:
    """For one test, which is skipped under a sanitizer: that has to be loaded first."""

    def __init__(self, directory):
        if "PINFOLD_SANITIZED" in os.environ:
            pytest.skip("a sanitizer has to be loaded first")
        self.path = pathlib.Path(directory) / "clock"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": str(library()), "CLOCK_FILE": str(self.path)}

    def _add(self, offset, seconds):
        _SHIFT.pack_into(self.page, offset, _SHIFT.unpack_from(self.page, offset)[0] + seconds)

    def step(self, seconds):
        """Steps the wall clock forward, or back if negative. The monotonic clock goes on."""
        self._add(0, seconds)

    def let_pass(self, seconds):
        """Lets time pass on both clocks. What sleeps until a time in between is not woken by it."""
        self._add(8, seconds)
