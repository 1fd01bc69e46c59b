"""Makes a server's allocations fail by a schedule that a test can change at any time (tests/support/faults.cpp)."""

import mmap
import os
import pathlib
import struct

from . import servers

HEAP, MAPPING = 1, 2
_CHANCE, _SEED, _COUNTS = struct.Struct("<II"), struct.Struct("<QQ"), struct.Struct("<QQ")


def library():
    return pathlib.Path(servers.pinfold_binary()).resolve().parent / "pinfold-faults.so"


class Faults:
    def __init__(self, directory, seed):
        self.path = pathlib.Path(directory) / "faults"
        self.path.write_bytes(bytes(4096))
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)
        self.seed = seed

    def environment(self):
        return {"LD_PRELOAD": str(library()), "FAULTS_FILE": str(self.path)}

    def fail(self, chance, kinds=HEAP | MAPPING, least=0):
        """From now on, calls of these kinds and at least this size fail with this chance (1: all of them)."""
        self.off()
        _SEED.pack_into(self.page, 8, self.seed, least)
        self.seed += 1 << 32
        _CHANCE.pack_into(self.page, 0, min(int(chance * 2**32), 2**32 - 1), kinds)

    def off(self):
        _CHANCE.pack_into(self.page, 0, 0, 0)

    def failed(self):
        """How many calls have failed since the server was started."""
        return _COUNTS.unpack_from(self.page, 24)[1]


def seed():
    """Another one in each run, or PINFOLD_SEED's."""
    return int(os.environ.get("PINFOLD_SEED") or int.from_bytes(os.urandom(4), "little"))
