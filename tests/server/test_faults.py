"""Memory that the system refuses, call by call: whoever needed it gets an error or loses the connection, nothing else is lost."""

import os
import random
import re
import resource
import ssl
import threading

import pytest

from tests.support import faults, resp
from tests.support.connection import Closed
from tests.support.resp import ErrorReply
from tests.support.servers import eventually, is_redis

from .conftest import info

MB = 1 << 20
MISSING = None
pytestmark = [
    pytest.mark.skipif(is_redis(), reason="Redis ends when memory is refused"),
    pytest.mark.skipif("PINFOLD_SANITIZED" in os.environ, reason="sanitizers have an allocator of their own, which cannot be replaced"),
]


class Writer:
    """One client with keys of its own, who knows which values each may have: the last acknowledged one, or one that was
    sent when the connection broke. `evicts`: any may be missing."""

    def __init__(self, server, name, seed, evicts):
        self.server, self.name, self.evicts = server, name, evicts
        self.database = int(name[1:]) + 1
        self.rng = random.Random(f"{seed}:{name}")
        self.connection = None
        self.may_be = {}  # by key: possible values
        self.acknowledged = self.refused = self.broken = 0
        self.error = None

    def key(self):
        number = self.rng.randrange(120)
        return f"{self.name}:{number}" + ("k" * 3000 if number % 29 == 0 else "")

    def value(self):
        size = self.rng.choice((5, 5, 60, 60, 200, 2000, 12_000, 20_000, 90_000, self.rng.randrange(1_200_000) if self.rng.random() < 0.3 else 1))
        return self.rng.randbytes(min(size, 1000)) * max(1, size // 1000)

    def states(self, key):
        return self.may_be.get(key, {MISSING})

    def connect(self):
        if self.connection is not None:
            return True
        try:
            self.connection = self.server.connect(timeout=0.3)
            if self.connection.call("SELECT", self.database) != "OK":
                raise Closed
            self.connection.timeout = 60.0
            self.connection.socket.settimeout(60.0)
            return True
        except (OSError, Closed):
            self.drop()
            return False

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def call(self, *commands):
        """The replies; None if the connection broke."""
        if not self.connect():
            return None
        try:
            self.connection.send(b"".join(map(resp.encode, commands)))
            return [self.connection.read() for _ in commands]
        except (Closed, ConnectionError, ssl.SSLError):
            self.broken += 1
            self.drop()
            return None

    def write(self, key, command, change):
        """A command that turns a state into change(state), and does nothing when it is refused."""
        before = self.states(key)
        after = {change(state) for state in before} | ({change(MISSING)} if self.evicts else set())
        reply = self.call(command)
        if reply is None:
            self.may_be[key] = before | after
        elif isinstance(reply[0], ErrorReply):
            assert reply[0].startswith("OOM"), (command[0], reply[0])
            self.refused += 1
        else:
            self.acknowledged += 1
            self.may_be[key] = after

    def write_several(self, keys, commands, value):
        """Keys that are set together. What is refused may have been done in part."""
        reply = self.call(*commands)
        whole = reply is not None and reply[-1] is not None and not isinstance(reply[-1], ErrorReply)
        whole = whole and not (isinstance(reply[-1], list) and any(isinstance(r, ErrorReply) for r in reply[-1]))
        for key in keys:
            self.may_be[key] = {value} if whole else self.states(key) | {value}

    def write_many(self):
        """New keys, so that the index grows."""
        first, count = self.rng.randrange(3000), 100
        keys = [f"{self.name}:many:{number}" for number in range(first, first + count)]
        replies = self.call(*[("SET", key, key) for key in keys])
        for key, reply in zip(keys, replies or [None] * count):
            if reply is None:
                self.may_be[key] = self.states(key) | {key.encode()}
            elif reply == "OK":
                self.may_be[key] = {key.encode()}

    def flush(self):
        reply = self.call(("FLUSHDB",))
        for key, states in self.may_be.items():
            self.may_be[key] = {MISSING} if reply == ["OK"] else states | {MISSING}

    def check(self, key, found):
        allowed = self.states(key) | ({MISSING} if self.evicts else set())
        assert found in allowed, f"{key[:40]}: {brief(found)} is none of {[brief(v) for v in allowed]}"
        self.may_be[key] = {found}

    def step(self):
        key, rng = self.key(), self.rng
        kind = rng.randrange(16)
        if kind < 4:
            value = self.value()
            self.write(key, rng.choice((("SET", key, value), ("SETEX", key, "1000000", value), ("SET", key, value, "KEEPTTL"))), lambda _: value)
        elif kind == 4:
            tail = rng.randbytes(rng.choice((3, 300, 20_000)))
            self.write(key, ("APPEND", key, tail), lambda old: (old or b"") + tail)
        elif kind == 5:
            self.write(key, ("DEL", key), lambda _: MISSING)
        elif kind == 6:
            at = rng.choice((0, 100, 18_000, 200_000))
            self.write(key, ("SETRANGE", key, at, b"range"), lambda old: (old or b"")[:at].ljust(at, b"\0") + b"range" + (old or b"")[at + 5 :])
        elif kind == 7:
            self.write(key, rng.choice((("EXPIRE", key, "100000"), ("PERSIST", key))), lambda old: old)
        elif kind == 8:
            value, other = self.value(), self.key()
            self.write_several((key, other), [("MSET", key, value, other, value)], value)
        elif kind == 9:
            value, other = self.value(), self.key()
            self.write_several((key, other), [("MULTI",), ("SET", key, value), ("SET", other, value), ("EXEC",)], value)
        elif kind == 10:
            value = self.value()
            if self.call(("WATCH", key)) is not None:
                self.write_several((key,), [("MULTI",), ("SET", key, value), ("EXEC",)], value)
        elif kind == 11:
            self.call(rng.choice((("SCAN", "0", "COUNT", "100"), ("INFO",), ("CLIENT", "LIST"), ("MEMORY", "STATS"), ("RANDOMKEY",), ("COMMAND", "DOCS", "get"))))
        elif kind == 12:
            if rng.random() < 0.2:
                self.flush()
            else:
                self.write_many()
        else:
            reply = self.call(("GET", key))
            if reply is not None:
                self.check(key, reply[0])

    def steps(self, count):
        try:
            for _ in range(count):
                self.step()
        except BaseException as error:
            self.error = error

    def check_all(self):
        for key in list(self.may_be):
            reply = self.call(("GET", key))
            assert reply is not None
            self.check(key, reply[0])


def brief(value):
    return value if value is None else f"{len(value)} bytes {value[:8].hex()}.."


def run(writers, count):
    threads = [threading.Thread(target=writer.steps, args=(count,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        if writer.error is not None:
            raise writer.error


def store_figures(connection):
    fields = info(connection, "memory")
    return {name: int(fields[f"used_memory_{name}"]) for name in ("segments", "blobs", "index", "ghosts")}


def is_empty_after_flush(server):
    """All that was stored is given back, and all that clients used who are gone: what is left is what CLIENT LIST says of this one."""
    with server.connect() as admin:
        assert admin.call("FLUSHALL") == "OK"
        eventually(lambda: set(store_figures(admin).values()) == {0})
        eventually(lambda: len(admin.call("CLIENT", "LIST").splitlines()) == 1)

        def own():
            return int(re.search(rb" tot-mem=(\d+) ", admin.call("CLIENT", "LIST"))[1])

        eventually(lambda: int(info(admin, "memory")["used_memory_clients"]) == own())


SCHEDULES = [
    {"chance": 0.0003},
    {"chance": 0.003, "kinds": faults.HEAP},
    {"chance": 0.03},
    {"chance": 0.3},
    {"chance": 0.5, "kinds": faults.MAPPING},
    {"chance": 1.0, "kinds": faults.MAPPING},
    {"chance": 0.3, "least": 4096},
    {"chance": 0.05, "least": 600},
    {"chance": 0.5, "least": 600},
    {"chance": 1.0, "least": 60_000},
    {"chance": 1.0},
    {"chance": 0.01},
]


@pytest.mark.parametrize("settings", [("--maxmemory", "0"), ("--maxmemory", "12mb", "--maxmemory-policy", "allkeys-lfu"), ("--maxmemory", "12mb", "--maxmemory-policy", "volatile-ttl")], ids=lambda s: s[-1])
def test_refused_memory_loses_nothing_that_was_acknowledged(start, tmp_path, settings):
    seed = faults.seed()
    print(f"repeat with PINFOLD_SEED={seed}")
    injected = faults.Faults(tmp_path, seed)
    server = start(*settings, env=injected.environment())
    writers = [Writer(server, f"w{n}", seed, settings[1] != "0") for n in range(3)]
    run(writers, 100)
    for schedule in SCHEDULES:
        injected.fail(**schedule)
        run(writers, 100)
        assert server.alive(), server.log()
    injected.off()
    assert injected.failed() > 100
    assert sum(writer.refused + writer.broken for writer in writers) > 10
    for writer in writers:
        writer.check_all()
    broken, refused = [sum(getattr(writer, what) for writer in writers) for what in ("broken", "refused")]
    run(writers, 100)
    assert sum(writer.broken for writer in writers) == broken, "no connection breaks once there is memory"
    if settings[1] == "0":
        assert sum(writer.refused for writer in writers) == refused, "nothing is refused once there is memory"
    for writer in writers:
        writer.check_all()
        writer.drop()
    is_empty_after_flush(server)


def test_refused_memory_breaks_only_the_tls_connections_that_needed_it(start_tls, tmp_path):
    """OpenSSL allocates for each handshake and each record. Writers connect again and again, because connections break."""
    seed = faults.seed()
    print(f"repeat with PINFOLD_SEED={seed}")
    injected = faults.Faults(tmp_path, seed)
    server = start_tls("--maxmemory", "0", env=injected.environment())
    writers = [Writer(server, f"w{n}", seed, False) for n in range(3)]
    for chance in (0.0001, 0.001, 0.001, 0.001, 0.01, 1.0):
        injected.fail(chance, faults.HEAP)
        run(writers, 150)
        assert server.alive(), server.log()
    injected.off()
    assert injected.failed() > 100
    broken = sum(writer.broken for writer in writers)
    assert broken > 5
    run(writers, 100)
    assert sum(writer.broken for writer in writers) == broken, "no connection breaks once there is memory"
    for writer in writers:
        writer.check_all()
        writer.drop()
    is_empty_after_flush(server)
    with server.connect_plain() as admin:
        counts = ("tls_connected_clients", "tls_handshakes_under_way", "tls_handshakes_waiting")
        eventually(lambda: {info(admin, "tls")[count] for count in counts} == {"0"})


def test_an_address_space_that_ends_is_survived(start):
    """RLIMIT_AS in place of injected failures: the kernel itself says no."""
    seed = faults.seed()
    print(f"repeat with PINFOLD_SEED={seed}")
    server = start("--maxmemory", "0")
    pid = server.process.pid
    unlimited = resource.prlimit(pid, resource.RLIMIT_AS)
    writers = [Writer(server, f"w{n}", seed, False) for n in range(2)]
    run(writers, 30)
    for spare in (80 * MB, 20 * MB, 2 * MB, 0):
        with open(f"/proc/{pid}/statm") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        resource.prlimit(pid, resource.RLIMIT_AS, (now + spare, unlimited[1]))
        with server.connect() as large:
            # Large values of one's own are the surest way to the end of it.
            replies = [large.call("SET", f"large:{n}", b"x" * (4 * MB)) for n in range(25)]
        assert any(str(reply).startswith("OOM") for reply in replies)
        run(writers, 40)
        assert server.alive(), server.log()
    resource.prlimit(pid, resource.RLIMIT_AS, unlimited)
    for writer in writers:
        writer.check_all()
    with server.connect() as again:
        assert again.call("SET", "large:new", b"x" * (4 * MB)) == "OK"
        assert again.call("STRLEN", "large:0") == 4 * MB
    for writer in writers:
        writer.drop()
    is_empty_after_flush(server)


def read_and_fill(server, seed, rounds, wrong):
    """Takes leases, fills, purges, and often leaves before its answer comes. What it may never see: another key's value."""
    rng = random.Random(seed)
    for number in range(rounds):
        key = f"k{rng.randrange(7)}"
        try:
            with server.connect(timeout=0.3) as connection:
                if rng.random() < 0.05:
                    connection.call("CACHE.PURGE", "PREFIX", key) if rng.random() < 0.5 else connection.call("CACHE.PURGE", "TAGS", 1, key)
                connection.send_command("CACHE.GET", key, "WAIT", 50, "LEASE", 40)
                if rng.random() < 0.3:
                    continue
                reply = connection.read()
                if isinstance(reply, ErrorReply):
                    continue
                if reply[1] not in (None, key.encode()):
                    wrong.append((key, reply))
                if reply[0] == b"miss" and reply[2] > 0:
                    connection.call("CACHE.SET", key, key, "TOKEN", reply[2], "PX", rng.randrange(1, 20), "STALE", 20, "TAGS", 1, key)
        except (Closed, OSError):
            continue


def test_leases_and_those_who_wait_outlast_refused_memory(start, tmp_path):
    seed = faults.seed()
    print(f"repeat with PINFOLD_SEED={seed}")
    injected = faults.Faults(tmp_path, seed)
    server = start("--maxmemory", "64mb", env=injected.environment())
    wrong = []
    for chance in (0.01, 0.2, 1.0):
        injected.fail(chance, faults.HEAP)
        readers = [threading.Thread(target=read_and_fill, args=(server, f"{seed}:{chance}:{n}", 150, wrong)) for n in range(6)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert server.alive(), server.log()
    injected.off()
    assert injected.failed() > 100
    assert not wrong
    with server.connect() as connection:
        connection.call("FLUSHALL")
        eventually(lambda: info(connection, "cache")["lease_waiters"] == "0" and info(connection, "cache")["purges_pending"] == "0")
        token = eventually(lambda: connection.call("CACHE.GET", "k1", "LEASE", 10_000)[2])
        assert connection.call("CACHE.SET", "k1", "v", "TOKEN", token) == "OK"
        connection.call("FLUSHALL")
        eventually(lambda: info(connection, "cache")["leases"] == "0")
        eventually(lambda: int(info(connection, "memory")["used_memory_herd"]) == 0)
