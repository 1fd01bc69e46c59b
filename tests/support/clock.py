"""Steps a server's wall clock, as an administrator or NTP may do (tests/support/clock.cpp). Its monotonic clock goes on."""

import mmap
import pathlib
import struct

from . import servers

_SHIFT = struct.Struct("<q")


def library():
    return pathlib.Path(servers.pinfold_binary()).resolve().parent / "pinfold-clock.so"


class Clock:
    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "clock"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": str(library()), "CLOCK_FILE": str(self.path)}

    def step(self, seconds):
        """Forward, or back if negative."""
        _SHIFT.pack_into(self.page, 0, _SHIFT.unpack_from(self.page, 0)[0] + seconds)
