"""Runs a sequence on two servers, compares every reply and the keyspace left behind, and shrinks what differs."""

import dataclasses
import time

from tests.support import resp, servers as support
from tests.support.connection import Closed, Connection

from . import collection_commands, differences, generator

NO_REPLY = b"(no reply: closed or silent)"


@dataclasses.dataclass
class Divergence:
    step: object  # the step, or a description of what was compared afterwards
    expected: bytes
    actual: bytes

    def __str__(self):
        return f"{show(self.step)}\n  redis:   {self.expected[:400]!r}\n  pinfold: {self.actual[:400]!r}"


def is_blocking(args):
    """Whether the command might wait for a long time if its arguments were cut."""
    return args[0].upper() in (b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP")


def quote(arg):
    """As redis-cli takes it."""
    if arg and all(33 <= c < 127 and c not in b"\"'\\" for c in arg):
        return arg.decode()
    text = "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\x{c:02x}" for c in arg)
    return f'"{text}"'


def show(step):
    if isinstance(step, str):
        return step
    who, args = step
    lines = (" ".join(quote(a) if isinstance(a, bytes) else str(a) for a in line) for line in settled(args))
    return f"{who}> " + f"\n  {who}> ".join(lines)


def settled(args):
    """The command, and a touch of the key when it was stored already expired.

    Redis counts such a key in DBSIZE until something touches it or its sweeper finds it, which is a matter of time.
    """
    if args[:1] and isinstance(args[0], bytes) and args[0].upper() == b"SET":
        for word, time_arg in zip(args[3:], args[4:]):
            limit = {b"EXAT": 10**9, b"PXAT": 10**12}.get(word.upper())
            if limit and time_arg.isdigit() and int(time_arg) < limit:
                return [args, (b"EXISTS", args[1])]
    return [args]


class Run:
    """One sequence on fresh connections to two servers (reference first)."""

    def __init__(self, servers, relative, timeout=20.0):
        self.servers = servers
        self.relative = relative
        self.timeout = timeout
        self.connections = {}
        self.queues = {0: None, 1: None, "own": None}  # the commands that MULTI has queued
        self.replies = 0
        self.has_sorted = False

    def pair(self, who):
        if who not in self.connections:
            self.connections[who] = [Connection(server.port, timeout=self.timeout) for server in self.servers]
            self.queues[who] = None
        return self.connections[who]

    def drop(self, who):
        for connection in self.connections.pop(who, ()):
            connection.close()

    def close(self):
        for who in list(self.connections):
            self.drop(who)

    def reset(self):
        """The state every sequence starts from. CONFIG SET is part of it because sequences use it."""
        start = [
            (b"ACL", b"LOG", b"RESET"), (b"FLUSHALL",), (b"CONFIG", b"SET", b"timeout", b"0"), (b"CONFIG", b"SET", b"maxmemory", b"1gb"), (b"CLIENT", b"UNPAUSE"),
            (b"DEBUG", b"SET-ACTIVE-EXPIRE", b"1"), (b"SCRIPT", b"FLUSH"), (b"FUNCTION", b"FLUSH"),
            (b"CONFIG", b"SET", *(word for pair in collection_commands.THRESHOLDS for word in pair)),
        ]  # fmt: skip
        for connection in self.pair("own"):
            for reply in connection.pipeline(start):
                if reply != "OK":
                    raise AssertionError(f"port {connection.socket.getpeername()[1]} is not ready for a sequence: {reply}")
            connection.call(b"ACL", b"DELUSER", *generator.NEW_USERS)

    def both(self, who, commands):
        payload = b"".join(map(resp.encode, commands))
        pair = self.pair(who)
        # The reference gets its bytes first but is not waited for: both work at the same time.
        if len(payload) <= 16384:
            try:
                pair[0].send(payload)
                pair[1].send(payload)
            except OSError:
                pass
            return [c.exchange(b"", len(commands)) for c in pair]
        return [c.exchange(payload, len(commands)) for c in pair]

    def batch(self, who, commands):
        """The first divergence of a pipelined batch, or None."""
        expected, actual = self.both(who, commands)
        self.replies += len(commands)
        if expected == actual and len(expected) == len(commands):
            for args, reply in zip(commands, expected):
                self.track(who, args, reply)
            return None
        for i, args in enumerate(commands):
            left = expected[i] if i < len(expected) else NO_REPLY
            right = actual[i] if i < len(actual) else NO_REPLY
            queued = self.track(who, args, left)
            if left != right and not self.accept(args, left, right, queued):
                return Divergence((who, args), left, right)
            if left is NO_REPLY:
                return Divergence((who, args), left, right)
        return None

    def track(self, who, args, reply):
        """Follows MULTI on a connection; returns the queued commands when this reply is their EXEC's."""
        queue = self.queues[who]
        self.has_sorted |= args[0].upper() in (b"SORT", b"SORT_RO")
        if queue is None:
            if reply == b"+OK\r\n" and args[0].upper() == b"MULTI":
                self.queues[who] = []
            return None
        if reply == b"+QUEUED\r\n":
            queue.append(args)
            return None
        if args[0].upper() in (b"EXEC", b"DISCARD", b"RESET", b"QUIT") and (reply[:1] != b"-" or reply.startswith(b"-EXECABORT")):
            self.queues[who] = None
            return queue
        return None

    def accept(self, args, expected, actual, queued):
        if queued is not None and args[0].upper() == b"EXEC":
            left, right = resp.elements(expected), resp.elements(actual)
            if left is None or right is None or not len(left) == len(right) == len(queued):
                return False
            return all(a == b or differences.acceptable(q, a, b, self) for q, a, b in zip(queued, left, right))
        return differences.acceptable(args, expected, actual, self) is not None

    def execute(self, steps):
        """The first divergence of a whole sequence, or None."""
        self.reset()
        i = 0
        while i < len(steps):
            who = steps[i][0]
            if who in (0, 1, "own"):
                j = i
                while j < len(steps) and steps[j][0] == who:
                    j += 1
                    if steps[j - 1][1][:1] and steps[j - 1][1][0].upper() == b"QUIT":
                        break
                commands = [command for _, args in steps[i:j] for command in settled(args)]
                divergence = self.batch(who, commands)
                if commands[-1][0].upper() == b"QUIT":
                    self.drop(who)
                i = j
            else:
                divergence = getattr(self, who)(steps[i])
                i += 1
            if divergence:
                return divergence
        return self.compare_keyspaces()

    # --- steps of the runner's own ---

    def sleep(self, step):
        time.sleep(step[1][0] / 1000)

    def scan(self, step):
        db, *options = step[1]
        seen = []
        for connection in self.pair("own"):
            connection.call(b"SELECT", db)
            cursor, keys = b"0", set()
            for _ in range(100_000):
                reply = connection.call(b"SCAN", cursor, *options)
                if isinstance(reply, resp.ErrorReply):
                    keys = reply
                    break
                cursor = reply[0]
                keys.update(reply[1])
                if cursor == b"0":
                    break
            else:
                keys = "(the iteration does not end)"
            seen.append(keys)
        if seen[0] != seen[1]:
            return Divergence(step, *(repr(sorted(k) if isinstance(k, set) else k).encode() for k in seen))
        return None

    def randomkey(self, step):
        seen = []
        for connection in self.pair("own"):
            connection.call(b"SELECT", step[1][0])
            key = connection.call(b"RANDOMKEY")
            seen.append(b"nil" if key is None else b"exists: %r" % connection.call(b"EXISTS", key))
        return Divergence(step, *seen) if seen[0] != seen[1] else None

    def scan_elements(self, step):
        db, name, key = step[1]
        seen = []
        for connection in self.pair("own"):
            connection.call(b"SELECT", db)
            cursor, found = b"0", set()
            while True:
                reply = connection.call(name, key, cursor, b"COUNT", b"7")
                if isinstance(reply, resp.ErrorReply):
                    found = reply
                    break
                cursor, items = reply
                found.update(items if name == b"SSCAN" else zip(items[::2], items[1::2]))
                if cursor == b"0":
                    break
            seen.append(found)
        if seen[0] == seen[1]:
            return None
        raw = [repr(sorted(k) if isinstance(k, set) else k).encode() for k in seen]
        same = name == b"ZSCAN" and all(isinstance(k, set) for k in seen) and {(m, float(s)) for m, s in seen[0]} == {(m, float(s)) for m, s in seen[1]}
        return None if same else Divergence(step, *raw)

    def spop(self, step):
        db, key, count = step[1]
        seen = []
        for connection in self.pair("own"):
            connection.call(b"SELECT", db)
            before = connection.call(b"SMEMBERS", key)
            popped = connection.call(b"SPOP", key, *([count] if count else []))
            if isinstance(before, resp.ErrorReply):
                seen.append(repr(popped).encode())
                continue
            popped = [] if popped is None else [popped] if isinstance(popped, bytes) else list(popped)
            left = connection.call(b"SMEMBERS", key)
            fits = len(set(popped)) == len(popped) and set(before) == set(popped) | set(left) and not set(popped) & set(left)
            seen.append(b"%d popped of %d, which fit: %r" % (len(popped), len(before), fits))
            connection.call(b"DEL", key)
        return Divergence(step, *seen) if seen[0] != seen[1] or b"False" in seen[0] else None

    # How the whole value of a type is read.
    READS = {
        b"string": lambda key: (b"GET", key), b"list": lambda key: (b"LRANGE", key, b"0", b"-1"), b"set": lambda key: (b"SMEMBERS", key),
        b"zset": lambda key: (b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"), b"hash": lambda key: (b"HGETALL", key),
    }  # fmt: skip

    def values(self, db, keys):
        """The questions about these keys; their types are asked for first, of the reference."""
        types = self.pair("own")[0].pipeline([(b"SELECT", b"%d" % db), *((b"TYPE", key) for key in keys)])[1:]
        for key, kind in zip(keys, types):
            read = self.READS.get(str(kind).encode())
            yield from ((b"TYPE", key), *([read(key)] if read else []), (b"PEXPIRETIME", key), (b"OBJECT", b"ENCODING", key))

    def compare_keyspaces(self):
        """Every key of all databases: type, value, expiry and encoding."""
        listing = []
        for db in range(16):
            listing += [(b"SELECT", b"%d" % db), (b"KEYS", b"*"), (b"DBSIZE",)]
        pair = self.both("own", listing)
        if any(len(replies) != len(listing) for replies in pair):
            return Divergence("the keyspace afterwards", *(b"%d of %d replies" % (len(r), len(listing)) for r in pair))
        questions = []
        for db in range(16):
            left, right = (replies[3 * db + 1] for replies in pair)
            keys = [sorted(resp.decode(raw)) for raw in (left, right)]
            if keys[0] != keys[1]:
                return Divergence(f"KEYS * of db {db} afterwards", *(repr(k).encode() for k in keys))
            if pair[0][3 * db + 2] != pair[1][3 * db + 2]:
                # A key that was stored already expired, by a user that may not touch it (see settled), is counted until it is swept.
                for _ in range(30):
                    time.sleep(0.1)
                    sizes = [replies[1] for replies in self.both("own", [(b"SELECT", b"%d" % db), (b"DBSIZE",)])]
                    if sizes[0] == sizes[1]:
                        break
                else:
                    return Divergence(f"DBSIZE of db {db} afterwards", *sizes)
            if keys[0]:
                questions.append((b"SELECT", b"%d" % db))
                questions += self.values(db, keys[0])
        return self.batch("own", questions) if questions else None


class Checker:
    """Compares two servers; `servers` have a port, and may be restarted by `revive` when they died."""

    def __init__(self, servers, timeout=20.0):
        self.servers = servers
        self.timeout = timeout
        self.replies = 0

    def revive(self):
        for server in self.servers:
            if hasattr(server, "alive") and not server.alive():
                server.start()

    run_class = Run

    def run(self, steps, relative, timeout=None):
        self.revive()
        run = self.run_class(self.servers, relative, timeout or self.timeout)
        try:
            return run.execute(steps)
        except (Closed, OSError) as error:
            return Divergence(f"the connection failed: {error!r}", b"", b"")
        finally:
            self.replies += run.replies
            run.close()

    def check(self, seed, length):
        """None, or a report with the shrunk sequence."""
        g = generator.Generator(seed, length)
        return self.check_steps(seed, g.sequence(), g.relative)

    def check_steps(self, seed, steps, relative):
        """The same for steps that the caller has made."""
        divergence = self.run(steps, relative)
        if divergence is None:
            return None
        shrunk, last = self.shrink(steps, relative, divergence)
        lines = [
            f"seed {seed}, {len(steps)} steps: {len(shrunk)} are left after shrinking",
            *(f"  {show(step)}" for step in shrunk),
            "differs at " + str(last),
            f"relative = {relative}",
            f"steps = {shrunk!r}",
        ]
        if divergence is not last and str(divergence) != str(last):
            lines.append("first seen as " + str(divergence))
        return "\n".join(lines)

    def shrink(self, steps, relative, divergence):
        """Delta debugging: drops chunks of steps, then arguments, as long as the servers still differ."""
        best = divergence

        def fails(candidate):
            nonlocal best
            found = self.run(candidate, relative, timeout=3.0)
            if found is not None:
                best = found
            return found is not None

        # What comes after the step that differed is not needed, if it was a step.
        if divergence.step in steps:
            head = steps[: len(steps) - steps[::-1].index(divergence.step)]
            if len(head) < len(steps) and fails(head):
                steps = head
        chunk = max(1, len(steps) // 2)
        while True:
            at, removed = 0, False
            while at < len(steps):
                candidate = steps[:at] + steps[at + chunk :]
                if candidate and fails(candidate):
                    steps, removed = candidate, True
                else:
                    at += chunk
            if chunk == 1 and not removed:
                break
            chunk = max(1, chunk // 2)
        steps = self.shrink_arguments(steps, fails)
        self.run(steps, relative)
        return steps, best

    @staticmethod
    def shrink_arguments(steps, fails):
        for i in range(len(steps)):
            who, args = steps[i]
            if who not in (0, 1, "own"):
                continue
            at = len(args) - 1
            while at >= 1 and len(args) > 1:
                options = [args[:at] + args[at + 1 :]]
                if len(args[at]) > 20:
                    options.append(args[:at] + (args[at][: len(args[at]) // 2],) + args[at + 1 :])
                for shorter in options:
                    candidate = steps[:i] + [(who, shorter)] + steps[i + 1 :]
                    g = generator.Generator(0, 0)
                    g.relative = True
                    if not is_blocking(shorter) and g.admissible(list(shorter)) and fails(candidate):
                        args, steps = shorter, candidate
                        break
                else:
                    at -= 1
                    continue
                at = min(at, len(args) - 1)
        return steps


# Sequences give wrong passwords as often as they like. Redis 7.0 has no sets that it calls listpack.
OWN_SETTINGS = [] if support.is_redis() else ["--auth-failures-per-minute", "0", "--set-max-listpack-entries", "0"]
COMMON_SETTINGS = ["--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lfu", "--enable-debug-command", "yes", "--proto-max-bulk-len", "1mb"]
