"""What every benchmark is given: which servers, how much work, where the programs are."""

import sys
from dataclasses import dataclass, field

from load import Load
from proc import choose_cores
from servers import KINDS


@dataclass
class Context:
    kinds: list
    load_binary: str
    pinfold_binary: str
    rounds: int = 3
    scale: float = 1.0  # share of the full work; below 1 the figures only show that the harness runs
    quiet: bool = False
    versions: dict = field(default_factory=dict)

    def server(self, kind, setup):
        return KINDS[kind](setup, self.pinfold_binary if kind == "pinfold" else None)

    def load(self, core=None):
        return Load(self.load_binary, core, self.quiet)

    def cores(self):
        return choose_cores()

    def remember_version(self, server):
        self.versions.setdefault(server.name, server.version())

    def scaled(self, count, least=1):
        return max(least, int(count * self.scale))

    def settle(self, seconds):
        return seconds * min(1.0, max(self.scale, 0.1))

    def say(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)
