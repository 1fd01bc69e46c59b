"""What the lab is doing and how long it will still take, on standard error."""

import sys
import threading
import time

WIDTH = 30


class Progress:
    """A bar that moves with the clock, because the lab takes as long as it was told to; without a terminal, a line a step."""

    def __init__(self, steps, seconds, quiet=False):
        self._steps = steps
        self._seconds = seconds
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._step = 0
        self._label = ""
        self._begun = time.monotonic()
        self._done = threading.Event()

    def __enter__(self):
        if self._terminal and not self._quiet:
            threading.Thread(target=self._redraw, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self._done.set()
        if self._terminal and not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def step(self, label):
        self._step += 1
        self._label = label
        if not self._quiet and not self._terminal:
            print(self._line(), file=sys.stderr, flush=True)

    def _line(self):
        spent = time.monotonic() - self._begun
        share = min(1.0, spent / self._seconds)
        left = max(0, round(self._seconds - spent))
        bar = ("#" * int(share * WIDTH)).ljust(WIDTH, ".")
        return f"lab [{bar}] {self._step}/{self._steps}, about {left // 60}:{left % 60:02} left: {self._label}"

    def _redraw(self):
        while not self._done.wait(0.2):
            print("\r\x1b[K" + self._line(), end="", file=sys.stderr, flush=True)
