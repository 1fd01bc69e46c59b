"""What scripts, publish/subscribe and client-side caching cost: CPU time of the server, beside redis-server.

The server has one I/O thread and one core, the load the other. The load makes its requests, and reads what the server has pushed only
when the server has nothing more to do: so no message wakes a reader while the server still sends others, which would cost more than they do.
Only how much more two threads do than one is measured by the clock; there the load sends thousands of requests at once, and costs next to nothing.
"""

import hashlib
import os
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from herd import Client
from load import InvalidRun
from proc import Disturbance, cpu_seconds, resident
from report import Report, Table
from servers import CannotStart, Setup
from tls import OURS, THEIRS, Measured

KINDS = ("pinfold", "redis")
MESSAGE_BYTES = 64
VALUE = b"v" * 100
MOST_PUBLISH, MOST_INVALIDATION, MOST_SCRIPT = 0.6, 0.7, 0.9  # of redis-server's CPU time
MOST_TRACKED_GET = 1.10  # of a GET's without tracking
MOST_ENTRY_BYTES = 24
LEAST_TWO_THREADS = 1.6


@dataclass
class Publishing:
    subscribers: int
    pipeline: int
    messages: int
    batch: int  # messages that wait in the subscribers' sockets at most

    def name(self):
        return f"PUBLISH to {self.subscribers:,}" + (f", {self.pipeline} in a batch" if self.pipeline > 1 else "")


PUBLISHING = [
    Publishing(1, 1, 20_000, 100),
    Publishing(1, 16, 64_000, 160),
    Publishing(100, 1, 2_000, 50),
    Publishing(10_000, 1, 40, 5),
]

TRACKED_KEYS = 10_000
TRACKING_CLIENTS = 100
UNPIPELINED_KEYS = 2_000  # of these; the others are read 16 in a batch
PASSES = ("without tracking", "tracked for the first time", "tracked again")


@dataclass
class Script:
    name: str
    text: str
    keys: int  # that it is called with
    lines: int  # of a reply
    arguments: object  # of the n-th call, behind the key
    before: object = None  # a request for a key, which each call needs


# What lock libraries release their locks with.
COMPARE_AND_DELETE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end
"""
FIXED_WINDOW = """
local calls = redis.call('INCR', KEYS[1])
if calls == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return calls
"""
# A log of the moments of the last calls, in a string: sorted sets are not what a cache of strings has.
SLIDING_WINDOW = """
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local packed = redis.call('GET', KEYS[1])
local kept = {}
if packed then
  for _, moment in ipairs(cmsgpack.unpack(packed)) do
    if moment > now - window then kept[#kept + 1] = moment end
  end
end
local allowed = 0
if #kept < limit then
  kept[#kept + 1] = now
  allowed = 1
  redis.call('SET', KEYS[1], cmsgpack.pack(kept), 'PX', window)
end
return {allowed, limit - #kept}
"""

SCRIPTS = [
    Script("compare-and-delete", COMPARE_AND_DELETE, 0, 1, lambda n: (b"token",), lambda key: (b"SET", key, b"token", b"PX", b"600000")),
    Script("fixed window", FIXED_WINDOW, 1000, 1, lambda n: (b"600000",)),
    Script("sliding window", SLIDING_WINDOW, 1000, 3, lambda n: (1_700_000_000_000 + n, 600_000, 20)),
]
CALLS = {1: 100_000, 16: 320_000}  # by pipeline
CONNECTIONS = 50

BLOCK = 2_000  # calls that are sent at once, by one of
SENDERS = 8
WINDOW_SECONDS = 1.5

encode = Client._encode


class Crowd:
    """Connections that take turns; nothing reads for them but who asks for it."""

    def __init__(self, server, count):
        self._server = server
        self._sockets = []
        try:
            for unused in range(count):
                connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(connection)
        except OSError as failure:
            self.__exit__()
            raise InvalidRun(f"{server.name}: of {count} connections {len(self._sockets)} could be made: {failure}") from None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for connection in self._sockets:
            connection.close()

    def __len__(self):
        return len(self._sockets)

    def _receive(self, connection, done):
        """Bytes, until done(bytes) says that these are all."""
        try:
            data = connection.recv(1 << 16)
            while data and not done(data):
                more = connection.recv(1 << 16)
                data = data + more if more else b""
        except OSError as failure:
            raise InvalidRun(f"{self._server.name}: {failure}") from None
        if not data:
            raise InvalidRun(f"{self._server.name}: closed a connection")
        return data

    def send(self, requests):
        """One for each connection."""
        try:
            for connection, request in zip(self._sockets, requests):
                connection.sendall(request)
        except OSError as failure:
            raise InvalidRun(f"{self._server.name}: {failure}") from None

    def expect(self, replies):
        """Each connection receives exactly these bytes."""
        for connection in self._sockets:
            data = self._receive(connection, lambda data: len(data) >= len(replies))
            if data != replies:
                raise InvalidRun(f"{self._server.name}: {replies[:80]!r} was expected, and received was {data[:80]!r}")

    def collect(self, mark, count, refuse=None):
        """Each receives bytes with so many marks."""
        for connection in self._sockets:
            data = self._receive(connection, lambda data: data.count(mark) >= count)
            if data.count(mark) != count or (refuse and refuse in data):
                raise InvalidRun(f"{self._server.name}: {count} times {mark!r} was expected, and received was {data[:80]!r}")

    def all_send(self, request):
        self.send([request] * len(self._sockets))

    def settle(self):
        """Returns when the server has sent what is to be sent; it answers one PING for each connection."""
        self.all_send(b"PING\r\n")
        self.expect(b"+PONG\r\n")
        time.sleep(0.002)


def _idle(server):
    """Has the server do what is left to do: its counts of CPU time are exact only while it sleeps."""
    with Client(server) as client:
        client.call("PING")
    time.sleep(0.01)


def _cpu_of(server, work):
    """Seconds of CPU time that the server needs for what work() has it do."""
    _idle(server)
    before = cpu_seconds(server.pid)
    work()
    _idle(server)
    return cpu_seconds(server.pid) - before


def _user_seconds(server):
    """What the server has run for outside of the kernel, in ticks of a hundredth."""
    with open(f"/proc/{server.pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[11]) / os.sysconf("SC_CLK_TCK")


def _expect(server, reply, wanted):
    if reply != wanted:
        raise InvalidRun(f"{server.name}: {wanted!r} was expected, and answered was {reply!r}")


# --- publish/subscribe ---


def _publish(server, subscribers, workload, messages):
    message = encode(("PUBLISH", "news", "m" * MESSAGE_BYTES))
    pushed = encode(("message", "news", "m" * MESSAGE_BYTES))
    answer = b":%d\r\n" % len(subscribers)
    with Crowd(server, 1) as publisher:
        for first in range(0, messages, workload.batch):
            batch = min(workload.batch, messages - first)
            for at in range(0, batch, workload.pipeline):
                together = min(workload.pipeline, batch - at)
                publisher.all_send(message * together)
                publisher.expect(answer * together)
            publisher.settle()
            subscribers.expect(pushed * batch)


def _publishing(context, measured, number, server):
    """Messages from a publisher that waits for each reply, or for the replies to a batch."""
    for workload in PUBLISHING:
        count = workload.subscribers if workload.subscribers <= 100 else min(workload.subscribers, context.scaled(workload.subscribers))
        messages = context.scaled(workload.messages, 2 * workload.batch)
        with Crowd(server, count) as subscribers:
            subscribers.all_send(encode(("SUBSCRIBE", "news")))
            subscribers.expect(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
            _publish(server, subscribers, workload, workload.batch)
            user = _user_seconds(server)
            cpu = _cpu_of(server, lambda: _publish(server, subscribers, workload, messages))
            measured.add(workload.name(), server.name, number, cpu / (messages * count) * 1e6, subscribers=count, messages=messages)
            measured.add(f"{workload.name()}, user", server.name, number, (_user_seconds(server) - user) / (messages * count) * 1e6)


# --- client-side caching ---


def _key(n):
    return b"key:%012d" % n


def _read(clients, keys, first, last, pipeline):
    """Each client reads keys first to last, in an order of its own; together they read another key each."""
    reply = (b"$%d\r\n%s\r\n" % (len(VALUE), VALUE)) * pipeline
    requests = [encode(("GET", _key(n))) for n in range(keys)]
    span = last - first
    for at in range(0, span - pipeline + 1, pipeline):
        blocks = []
        for client in range(len(clients)):
            start = (at + client * pipeline * 7) % span
            blocks.append(b"".join(requests[first + (start + n) % span] for n in range(pipeline)))
        clients.send(blocks)
        clients.expect(reply)


def _invalidate(server, clients, keys, batch=20):
    with Crowd(server, 1) as writer:
        for first in range(0, keys, batch):
            together = min(batch, keys - first)
            for n in range(first, first + together):
                writer.all_send(encode(("SET", _key(n), VALUE)))
                writer.expect(b"+OK\r\n")
            writer.settle()
            clients.collect(b"key:", together)


def _tracking(context, measured, number, server):
    """GETs of the same clients without tracking and with it, and then writes of all keys."""
    keys, clients = context.scaled(TRACKED_KEYS, 320), min(TRACKING_CLIENTS, context.scaled(TRACKING_CLIENTS, 5))
    alone = max(64, keys * UNPIPELINED_KEYS // TRACKED_KEYS)
    alone -= alone % 16
    keys -= keys % 16
    with Client(server) as client, Crowd(server, clients) as crowd:
        for n in range(keys):
            _expect(server, client.call("SET", _key(n), VALUE), b"+OK")
        crowd.all_send(encode(("HELLO", "3")) + b"PING\r\n")
        crowd.collect(b"+PONG\r\n", 1)
        _read(crowd, keys, alone, keys, 16)
        for which in PASSES:
            if which == PASSES[1]:
                crowd.all_send(encode(("CLIENT", "TRACKING", "ON")))
                crowd.expect(b"+OK\r\n")
                _idle(server)
                used, rss = server.used_memory(), resident(server.pid)
            for pipeline, first, last in ((1, 0, alone), (16, alone, keys)):
                cpu = _cpu_of(server, lambda: _read(crowd, keys, first, last, pipeline))
                measured.add(f"GET p{pipeline} {which}", server.name, number, cpu / ((last - first) * clients) * 1e6)
            if which == PASSES[1]:
                entries = keys * clients
                measured.add("tracking entry", server.name, number, (server.used_memory() - used) / entries, entries=entries)
                measured.add("tracking entry, RSS", server.name, number, (resident(server.pid) - rss) / entries)
        cpu = _cpu_of(server, lambda: _invalidate(server, crowd, keys))
        measured.add("invalidation", server.name, number, cpu / (keys * clients) * 1e6)


# --- scripts ---


def _load_script(server, script):
    with Client(server) as client:
        sha = client.call("SCRIPT", "LOAD", script.text.strip())
    _expect(server, sha, hashlib.sha1(script.text.strip().encode()).hexdigest().encode())
    return sha


def _script_key(script, n):
    return b"%s:%d" % (script.name.split("-")[0].split()[0].encode(), n * 7919 % script.keys if script.keys else n)


def _call(script, sha, n):
    return encode(("EVALSHA", sha, 1, _script_key(script, n), *script.arguments(n)))


def _prepare(server, script, first, calls):
    """What the calls need, for each."""
    if script.before:
        with Client(server) as client:
            for at in range(first, first + calls, 1000):
                client.pipeline([script.before(_script_key(script, n)) for n in range(at, min(at + 1000, first + calls))])


def _call_scripts(crowd, script, sha, first, calls, pipeline):
    each = len(crowd) * pipeline
    for at in range(first, first + calls, each):
        crowd.send([b"".join(_call(script, sha, n) for n in range(start, start + pipeline)) for start in range(at, at + each, pipeline)])
        crowd.collect(b"\r\n", pipeline * script.lines, refuse=b"-")


def _scripts(context, measured, number, server):
    for script in SCRIPTS:
        sha = _load_script(server, script)
        with Crowd(server, CONNECTIONS) as crowd:
            first = 0
            for pipeline, full in CALLS.items():
                each = len(crowd) * pipeline
                for calls, warm in ((each, True), (context.scaled(full, each) // each * each, False)):
                    _prepare(server, script, first, calls)
                    cpu = _cpu_of(server, lambda: _call_scripts(crowd, script, sha, first, calls, pipeline))
                    first += calls
                    if not warm:
                        measured.add(f"{script.name} p{pipeline}", server.name, number, cpu / calls * 1e6, calls=calls)


class Sender:
    """A connection on which a block of calls is always waiting for the server."""

    def __init__(self, server, block, lines):
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._server, self._block, self._lines = server, block, lines
        self.received = self._sent = 0
        for unused in range(2):
            self._send()

    def _send(self):
        self._socket.sendall(self._block)
        self._sent += self._lines

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()

    def receive(self):
        """How many lines have come."""
        data = self._socket.recv(1 << 20)
        if not data or b"-" in data:
            raise InvalidRun(f"{self._server.name}: a script was answered {data[:80]!r}")
        lines = data.count(b"\n")
        self.received += lines
        while self._sent - self.received <= self._lines:
            self._send()
        return lines


def _per_second(servers, script, seconds):
    """(calls a second, CPU us per call) of all these servers together, with many calls always waiting."""
    senders = []
    lines = script.lines + (1 if script.before else 0)
    shas = [_load_script(server, script) for server in servers]

    def cpu_of_all():
        return sum(cpu_seconds(server.pid) for server in servers)

    try:
        for sender in range(SENDERS):
            which = sender % len(servers)
            calls = range(sender * BLOCK, (sender + 1) * BLOCK)
            block = b"".join((encode(script.before(_script_key(script, n))) if script.before else b"") + _call(script, shas[which], n) for n in calls)
            senders.append(Sender(servers[which], block, BLOCK * lines))
        poll = select.poll()
        for sender in senders:
            poll.register(sender, select.POLLIN)
        by_descriptor = {sender.fileno(): sender for sender in senders}
        begun, cpu, received = time.monotonic() + seconds / 5, None, 0
        while (now := time.monotonic()) < begun + seconds:
            if cpu is None and now >= begun:
                begun, cpu, received = now, cpu_of_all(), 0
            for descriptor, unused in poll.poll(1000):
                received += by_descriptor[descriptor].receive()
        took, calls = time.monotonic() - begun, received / lines
        return calls / took, (cpu_of_all() - cpu) / max(calls, 1) * 1e6
    except OSError as failure:
        raise InvalidRun(f"{servers[0].name}: {failure}") from None
    finally:
        for sender in senders:
            sender.close()


# How many servers, and with how many threads. Two servers share nothing: what they do more than one is what the machine has to give.
CAPACITIES = {"one thread": (1, 1), "two threads": (1, 2), "two servers": (2, 1)}


def _threads(context, measured, number, failures):
    """Calls of scripts with one thread, with two, and with two servers of one thread, on all cores."""
    seconds = max(0.1, WINDOW_SECONDS * min(1.0, context.scale))
    for script in SCRIPTS:
        for name in CAPACITIES if number % 2 else reversed(CAPACITIES):
            for kind in [kind for kind in context.kinds if kind == "pinfold" or (kind == "redis" and CAPACITIES[name][1] == 1)]:
                _try(failures, lambda: _one_capacity(context, measured, number, kind, script, name, seconds))


def _one_capacity(context, measured, number, kind, script, name, seconds):
    count, threads = CAPACITIES[name]
    with ExitStack() as stack:
        servers = [stack.enter_context(context.server(kind, Setup(threads=threads, memory_mb=4096))) for unused in range(count)]
        context.remember_version(servers[0])
        rate, cpu = _per_second(servers, script, seconds)
        measured.add(f"{script.name}, {name}", servers[0].name, number, rate)
        measured.add(f"{script.name}, {name}, CPU us", servers[0].name, number, cpu)


# --- all of them ---


def _try(failures, measure):
    try:
        measure()
    except (CannotStart, InvalidRun, OSError) as failure:
        failures.append(str(failure))


def _fresh(context, kind, part, measured, number):
    # Memory enough for all connections: Pinfold gives clients a twentieth of it.
    wanted = Setup(core=context.cores()[0], connections=max(work.subscribers for work in PUBLISHING) + 200, memory_mb=4096)
    with context.server(kind, wanted) as server:
        context.remember_version(server)
        part(context, measured, number, server)


def run(context):
    measured, failures = Measured(), []
    load_core = context.cores()[1]
    with Disturbance() as disturbance, ExitStack() as unpinned:
        for number in range(1, context.rounds + 1):
            context.say(f"live: round {number} of {context.rounds}")
            kinds = [kind for kind in context.kinds if kind in KINDS]
            before = os.sched_getaffinity(0)
            if load_core is not None:
                os.sched_setaffinity(0, {load_core})
            unpinned.callback(os.sched_setaffinity, 0, before)
            for part in (_publishing, _tracking, _scripts):
                # The one that begins changes from round to round.
                for kind in kinds[number % 2:] + kinds[:number % 2]:
                    _try(failures, lambda: _fresh(context, kind, part, measured, number))
            os.sched_setaffinity(0, before)
            _threads(context, measured, number, failures)
    found = report(context, measured, failures)
    found.notes.append(disturbance.sentence())
    return found


def _shown(value, form):
    return "" if value is None else form.format(value)


def _verdict(value, most=None, least=None):
    if value is None or (most is None and least is None):
        return ""
    if most is not None:
        return f"<= {most:g} {'met' if value <= most else 'missed'}"
    return f">= {least:g} {'met' if value >= least else 'missed'}"


def _within(measured, server, figure, other):
    """The ratios of two figures of one server, taken within each round."""
    ones, others = (measured.runs.get(name, {}).get(server, {}) for name in (figure, other))
    return [ones[number] / others[number] for number in ones if others.get(number)]


def report(context, measured, failures):
    table = Table(["figure", "pinfold", "redis-server", "ratio", "least-most", "target"], left=("figure",))

    def compared(label, figure, form="{:.2f}", most=None):
        values = [measured.value(figure, server) for server in (OURS, THEIRS)]
        ratio, ratios = measured.ratio(figure, OURS, THEIRS)
        if any(value is not None for value in values):
            table.add(label, *(_shown(value, form) for value in values), _shown(ratio, "{:.2f}"), _range(ratios), _verdict(ratio, most))

    def own(label, ratios, most=None, least=None):
        """A figure of each server that is judged by itself: a list of ratios for each."""
        middle = [median(found) if found else None for found in ratios]
        if any(value is not None for value in middle):
            table.add(label, *(_shown(value, "{:.2f}") for value in middle), "", _range(ratios[0]), _verdict(middle[0], most, least))

    def _range(ratios):
        return f"{min(ratios):.2f}-{max(ratios):.2f}" if len(ratios) > 1 else ""

    for workload in PUBLISHING:
        compared(f"{workload.name()}, CPU us/delivered message", workload.name(), most=MOST_PUBLISH)
        compared("of it outside of the kernel", f"{workload.name()}, user")
    for pipeline in (1, 16):
        for which in PASSES:
            compared(f"GET p{pipeline} {which}, CPU us", f"GET p{pipeline} {which}")
        for which in PASSES[1:]:
            own(f"GET p{pipeline} {which} / without", [_within(measured, server, f"GET p{pipeline} {which}", f"GET p{pipeline} {PASSES[0]}")
                                                         for server in (OURS, THEIRS)], most=MOST_TRACKED_GET if pipeline == 1 else None)
    compared("invalidation, CPU us/message", "invalidation", most=MOST_INVALIDATION)
    entry = measured.value("tracking entry", OURS)
    if entry is not None or measured.value("tracking entry", THEIRS) is not None:
        table.add("tracking table, B per key and client", *(_shown(measured.value("tracking entry", server), "{:.1f}") for server in (OURS, THEIRS)),
                  "", "", _verdict(entry, MOST_ENTRY_BYTES))
    compared("the same by RSS", "tracking entry, RSS", "{:.1f}")
    for script in SCRIPTS:
        for pipeline in CALLS:
            compared(f"EVALSHA {script.name} p{pipeline}, CPU us", f"{script.name} p{pipeline}", most=MOST_SCRIPT)
    for script in SCRIPTS:
        what = f"SET and EVALSHA {script.name}" if script.before else f"EVALSHA {script.name}"
        for name in CAPACITIES:
            compared(f"{what}, calls/s, {name}", f"{script.name}, {name}", "{:,.0f}")
        for name in list(CAPACITIES)[1:]:
            both = [_within(measured, server, f"{script.name}, {name}", f"{script.name}, one thread") for server in (OURS, THEIRS)]
            own(f"{what}, {name} / one", both, least=LEAST_TWO_THREADS if name == "two threads" else None)
        cpu = _within(measured, OURS, f"{script.name}, two threads, CPU us", f"{script.name}, two servers, CPU us")
        own(f"{what}, CPU of two threads / of two servers", [cpu, []])
    notes = [
        f"Messages of {MESSAGE_BYTES} B; {context.scaled(TRACKED_KEYS, 320):,} keys of 16 B with values of {len(VALUE)} B, {TRACKING_CLIENTS} clients that track in RESP3; "
        f"scripts on {CONNECTIONS} connections. p16: 16 requests in a batch. Medians of {context.rounds} rounds. The ratio is the median of the rounds' ratios.",
        "The kernel's part of a message is mostly one `send` for each subscriber, over loopback with what the receiving side does; it is told in ticks of 10 ms.",
        "Two servers share nothing, so what they do more than one is what the two cores can give beside the load, which needs a little of both.",
    ]
    return Report("live", "Scripts, publish/subscribe and client-side caching", table, measured.results, notes, failures)
