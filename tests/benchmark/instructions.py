"""Instructions per request, counted by callgrind on a fixed replay: what the clock of a busy machine cannot say, to a part in a thousand.

The server runs under valgrind with one I/O thread. Counted is that thread alone, in user mode; the background worker's
share depends on how long the replay takes, which says nothing. The figure of a load is the least of its rounds, because
what else happens (once a millisecond, once a second) only adds.

valgrind makes the server some thirty times slower, and what the server does once a millisecond, or so many times a second, would weigh
thirty times as much. So the replay holds the server's clocks (tests/support/clock.cpp) and lets time pass with each request.
"""

import mmap
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

from load import InvalidRun
from report import Report, Table
from servers import CannotStart, Pinfold, Setup

KEYS = 4096
VALUE = b"v" * 100
REQUESTS = 8192  # of each load and round
ROUNDS = 3
ALLOWED = 1.05  # of the recorded figure
# As many as a thread serves when they come one at a time (`scripts/bench cpu`). With 16 in one write it serves several times as many, and a
# request has less of what happens so many times a second.
PER_SECOND = 200_000

# What a request cost before the work under a shard's lock was bounded.
BEFORE = {"GET": 3111, "SET": 3675, "GET 16 deep": 2280, "SET 16 deep": 2845, "CACHE.GET hit": 3455, "GET, ten patterns": 3111,
          "GET 16 deep, metrics no": 2280, "SET 16 deep, metrics no": 2845}


def _request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _key(number):
    return b"key:%012d" % number


GET_REPLY = b"$%d\r\n%s\r\n" % (len(VALUE), VALUE)


def _get(key):
    return _request(b"GET", key)


def _set(key):
    return _request(b"SET", key, VALUE)


def _cache_get(key):
    return _request(b"CACHE.GET", key)


# The user of a load with ten patterns, of which the last allows it.
TEN_PATTERNS = [b"+@all"] + [b"~%s:*" % name for name in
                             (b"product", b"session", b"user", b"cart", b"price", b"stock", b"page", b"rate", b"lock", b"key")]

# Name: the request, the reply (None: what the first of them is answered), how many are sent at once, the rules of the user that
# sends them (None: the default user), and the setting metrics.
LOADS = {
    "GET": (_get, GET_REPLY, 1, None, b"yes"),
    "SET": (_set, b"+OK\r\n", 1, None, b"yes"),
    "GET 16 deep": (_get, GET_REPLY, 16, None, b"yes"),
    "SET 16 deep": (_set, b"+OK\r\n", 16, None, b"yes"),
    "GET 16 deep, metrics no": (_get, GET_REPLY, 16, None, b"no"),
    "SET 16 deep, metrics no": (_set, b"+OK\r\n", 16, None, b"no"),
    "CACHE.GET hit": (_cache_get, None, 1, None, b"yes"),
    "GET, ten patterns": (_get, GET_REPLY, 1, TEN_PATTERNS, b"yes"),
}
BUSY_ONE_IN = 32  # WorkingSet::halvings_when_busy
METRICS_ALLOWED = 1.03  # of the same load with `metrics no`


_HELD, _HELD_AT = struct.Struct("<q"), 16  # in the file of tests/support/clock.cpp


class Counted(Pinfold):
    """Pinfold under callgrind, which starts slowly."""

    _START_SECONDS = 60

    def __init__(self, setup, binary=None):
        super().__init__(setup, binary)
        self._held = None

    def _environment(self):
        path = os.path.join(self._directory, "clock")
        with open(path, "w+b") as file:
            file.write(bytes(4096))
            file.flush()
            self._held = mmap.mmap(file.fileno(), 4096)
        library = os.path.join(os.path.dirname(os.path.abspath(self.binary)), "pinfold-clock.so")
        if not os.path.exists(library):
            raise CannotStart(f"no {os.path.basename(library)} beside the server")
        return {"LD_PRELOAD": library, "CLOCK_FILE": path}

    def hold_clocks(self):
        """From now on time passes with let_pass() only."""
        _HELD.pack_into(self._held, _HELD_AT, time.monotonic_ns())

    def let_pass(self, nanoseconds):
        _HELD.pack_into(self._held, _HELD_AT, _HELD.unpack_from(self._held, _HELD_AT)[0] + nanoseconds)

    def command(self):
        return ["valgrind", "--tool=callgrind", "--separate-threads=yes", f"--vgdb-prefix={self._prefix()}",
                f"--callgrind-out-file={self._profile()}", *super().command()]

    def _prefix(self):
        return os.path.join(self._directory, "vgdb")

    def _profile(self):
        return os.path.join(self._directory, "callgrind.out")

    def _control(self, order):
        done = subprocess.run(["vgdb", f"--pid={self.pid}", f"--vgdb-prefix={self._prefix()}", order],
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise InvalidRun(f"callgrind did not {order}: {done.stderr.strip()}")

    def count(self, work):
        """The instructions of the busiest thread while `work` is done."""
        self._control("zero")
        work()
        self._control("dump")
        totals = []
        for name in os.listdir(self._directory):
            if name.startswith("callgrind.out"):
                path = os.path.join(self._directory, name)
                with open(path) as profile:
                    totals += [int(total) for total in re.findall(r"^totals: (\d+)", profile.read(), re.MULTILINE)]
                os.remove(path)
        if not totals:
            raise InvalidRun("callgrind left no profile")
        return max(totals)


class Replay:
    """`let_pass` is told for how many nanoseconds the next requests are to be spread."""

    def __init__(self, server, let_pass=lambda nanoseconds: None):
        self._let_pass = let_pass
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self._socket.close()

    def ask(self, requests, expected):
        """Sends them in one write, and reads the replies."""
        self._socket.sendall(requests)
        got = b""
        while len(got) < len(expected):
            more = self._socket.recv(len(expected) - len(got))
            if not more:
                break
            got += more
        if got != expected:
            raise InvalidRun(f"{requests[:40]!r} was answered {got[:80]!r}")

    def answer(self, request):
        self._socket.sendall(request)
        return self._socket.recv(65536)

    def log_in(self, rules):
        """As the default user, or as one that has these rules."""
        if rules is not None:
            self.ask(_request(b"ACL", b"SETUSER", b"limited", b"reset", b"on", b"nopass", *rules), b"+OK\r\n")
        self.ask(_request(b"AUTH", b"limited" if rules is not None else b"default", b"any"), b"+OK\r\n")

    def run(self, request, reply, depth, count):
        for start in range(0, count, depth):
            self._let_pass(depth * 1_000_000_000 // PER_SECOND)
            # Every key once before any comes again, in an order without neighbours.
            self.ask(b"".join(request(_key(at * 1597 % KEYS)) for at in range(start, start + depth)), reply * depth)


def _settle(replay, metrics):
    """Goes on until sampling has found its rate, which takes a second. Then there are samples as under a steady load."""
    if metrics == b"no":
        return replay.run(_get, GET_REPLY, 16, KEYS)
    for unused in range(500):  # the background worker looks at the rate, and may be late on a busy machine
        replay.run(_get, GET_REPLY, 16, PER_SECOND // 10 // 16 * 16)
        found = dict(line.split(":", 1) for line in replay.answer(_request(b"INFO", b"workingset")).decode().splitlines() if ":" in line)
        if int(found["workingset_one_key_in"]) >= BUSY_ONE_IN:
            return
    raise InvalidRun(f"sampling has not settled: {found}")


def measure(binary, rounds=ROUNDS, requests=REQUESTS, started=lambda server: None):
    """Instructions per request of each load. `started` is told the server."""
    if shutil.which("valgrind") is None:
        raise CannotStart("no program valgrind; scripts/setup installs it")
    found = {name: [] for name in LOADS}
    for wanted in (b"yes", b"no"):
        with Counted(Setup(memory_mb=128, threads=1, pinfold_options=("--metrics", wanted.decode())), binary) as server:
            started(server)
            server.hold_clocks()
            replay = Replay(server, server.let_pass)
            try:
                replay.run(_set, b"+OK\r\n", 16, KEYS)
                _settle(replay, wanted)
                for number in range(rounds):
                    for name, (request, reply, depth, rules, metrics) in LOADS.items():
                        if metrics != wanted:
                            continue
                        replay.log_in(rules)
                        reply = reply or replay.answer(request(_key(0)))
                        count = server.count(lambda: replay.run(request, reply, depth, requests))
                        found[name].append(count / requests)
                        replay.log_in(None)
            finally:
                replay.close()
    return {name: min(counts) for name, counts in found.items()}


def recorded(page):
    """The figures that docs/benchmarks.md has."""
    with open(page) as text:
        block = re.search("<!-- begin instructions -->(.*?)<!-- end instructions -->", text.read(), re.DOTALL)
    figures = {}
    for line in block[1].splitlines() if block else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in LOADS:
            figures[cells[0]] = float(cells[2].replace(",", ""))
    return figures


def run(context):
    table = Table(["load", "before", "instructions", "vs before"], left=("load",))
    requests = context.scaled(REQUESTS, 512) // 16 * 16
    try:
        found = measure(context.pinfold_binary, requests=requests, started=context.remember_version)
    except (CannotStart, InvalidRun) as failure:
        return Report("instructions", "Instructions per request", table, [], [], [str(failure)])
    data = []
    for name, count in found.items():
        data.append({"load": name, "instructions": count, "before": BEFORE[name]})
        table.add(name, f"{BEFORE[name]:,.0f}", f"{count:,.0f}", f"{count / BEFORE[name] - 1:+.1%}")
    return Report("instructions", "Instructions per request", table, data)


if __name__ == "__main__":
    for load, figure in measure(sys.argv[1]).items():
        print(f"{load:16}{figure:10.1f}")
