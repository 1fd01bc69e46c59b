"""Which traces are replayed, with which values and how much memory."""

import gzip
import os
import shutil
from dataclasses import dataclass, replace


@dataclass
class Trace:
    path: str
    value_bytes: int  # 0: the trace has sizes of its own
    memory_mb: int

    @property
    def name(self):
        base = os.path.basename(self.path)
        for ending in (".gz", ".trace"):
            base = base.removesuffix(ending)
        return base


# name: (value bytes, MB, why). The first five are the published comparison, so they are not ours to choose.
KNOWN = {
    "web07": (4000, 16, "shop pages; holds a fifth of the 20 484 keys"),
    "orm-busy": (4000, 16, "objects with their relations; holds a tenth of 44 178 keys"),
    "scarab-recs": (500, 24, "lists of ids; holds a seventh of 258 368 keys"),
    "oltp": (500, 16, "rows; holds a sixth of 186 880 keys"),
    "cloudphysics-w106": (4000, 24, "disk blocks; holds a seventh of 42 479 keys"),
    "multi3": (8000, 16, "database pages; holds some 2 000 of 7 454, where loops and scans tell policies apart"),
    "cdn-adaptsize": (0, 64, "a quarter of the 266 MB of distinct objects; values up to 4 MB need some room"),
    "cloudphysics-small": (0, 256, "an eighth of the 1.9 GB of distinct blocks; with less, only scans are left and "
                                   "every policy gets the same"),
}
UNKNOWN = (1000, 64)  # any other file, unless --value and --mb say otherwise


def trace_of(path, value_bytes=None, memory_mb=None):
    trace = Trace(path, 0, 0)
    known_value, known_mb = KNOWN.get(trace.name, UNKNOWN)[:2]
    return replace(trace, value_bytes=known_value if value_bytes is None else value_bytes,
                   memory_mb=memory_mb or known_mb)


def find(directory):
    """The traces in a directory, known ones first and in the order of the table."""
    order = list(KNOWN)
    found = [os.path.join(directory, name) for name in sorted(os.listdir(directory))
             if name.endswith((".trace", ".trace.gz"))]
    return sorted(found, key=lambda path: (order + [trace_of(path).name]).index(trace_of(path).name))


def unpack(path, target):
    """Writes the trace as plain text; returns (requests, whether lines have sizes, longest value)."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)
    requests = longest = 0
    sized = False
    with open(target, "rb") as lines:
        for line in lines:
            fields = line.split()
            if not fields:
                continue
            requests += 1
            if len(fields) > 1 and fields[1].isdigit():
                sized = True
                longest = max(longest, int(fields[1]))
    return requests, sized, longest
