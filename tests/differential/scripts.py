"""Seeded random Lua scripts over the commands that Pinfold and Redis 7.0 share, and the runner that compares what they do.

A script has one statement a line, so that a difference can be shrunk line by line. What a server decides by itself (orders of hash tables, times, random
numbers, addresses) is left out. So is what takes long, which Pinfold refuses where keys are locked (docs/differences.md).
"""

import hashlib
import random
import re

from tests.support import resp

from . import generator
from .checker import Checker, Run, settled

# Of generator.COMMANDS. TTL and PTTL tell the time; LCS may need a large table.
DATA = [name.encode() for name in """
APPEND DECR DECRBY GET GETDEL GETEX GETRANGE GETSET INCR INCRBY INCRBYFLOAT MGET MSET MSETNX PSETEX SET SETEX SETNX SETRANGE STRLEN SUBSTR GETBIT SETBIT
BITCOUNT BITPOS BITOP BITFIELD BITFIELD_RO COPY DEL EXISTS EXPIRE EXPIREAT EXPIRETIME PEXPIRE PEXPIREAT PEXPIRETIME PERSIST MOVE RENAME RENAMENX TOUCH TYPE
UNLINK DBSIZE PING ECHO
""".split()]  # fmt: skip
# Once in a while: what changes a whole database, what scripts may not do, and what is not a command.
RARE = [(b"FLUSHDB",), (b"FLUSHALL",), (b"SWAPDB", b"0", b"1"), (b"SELECT", b"1"), (b"SELECT", b"0"), (b"SELECT", b"99"), (b"MULTI",), (b"EXEC",), (b"WATCH", b"k1"),
        (b"SUBSCRIBE", b"news"), (b"HELLO", b"3"), (b"AUTH", b"pw"), (b"RESET",), (b"QUIT",), (b"NOSUCH",), (b"",), (b"CLIENT", b"REPLY", b"OFF"), (b"EVAL", b"return 1", b"0"),
        (b"EVALSHA", b"a" * 40, b"0"), (b"SCRIPT", b"FLUSH"), (b"CONFIG", b"SET", b"timeout", b"0"), (b"ACL", b"WHOAMI"), (b"PUBLISH", b"news", b"x"), (b"SPUBLISH", b"news", b"x"),
        (b"DEBUG", b"SLEEP", b"0"), (b"FCALL", b"f", b"0"), (b"FUNCTION", b"LIST"), (b"SHUTDOWN",), (b"MONITOR",), (b"GET",), (b"SET", b"k1"), (b"OBJECT", b"ENCODING", b"k1"),
        (b"CLIENT", b"NOSUCH"), (b"get", b"k1", b"k2")]  # fmt: skip
# Their numbers are left as they are: others would run out within a sequence.
WITH_TIMES = (b"EXPIRE", b"EXPIREAT", b"PEXPIRE", b"PEXPIREAT", b"SETEX", b"PSETEX", b"SET", b"GETEX")
LONGEST = 1000  # bytes of an argument: a script is compiled and kept with all of them
FLAGS = [b"no-writes", b"allow-oom", b"allow-stale", b"no-cluster", b"allow-cross-slot-keys"]
SHEBANGS = [b"#!lua", b"#!lua flags=no-writes", b"#!lua flags=allow-oom,allow-stale", b"#!lua flags=", b"#!lua flags=nosuch", b"#!lua nosuch=1", b"#!lua name=x", b"#!js", b"#!",
            b"#!lua flags=no-writes,", b"#! lua", b"#!lua  flags=no-writes", b"#!LUA", b"#!lua flags=no-writes flags=allow-oom", b"#!lua flags", b"#!lua flags=NO-WRITES"]  # fmt: skip


def quoted(value):
    """A Lua string with any bytes."""
    return b'"' + b"".join(bytes([c]) if 32 <= c < 127 and c not in b'"\\' else b"\\%03d" % c for c in value) + b'"'


class ScriptGenerator:
    """Statements are right most of the time: a script that ends with its first error shows little."""

    def __init__(self, rng, keys=b"KEYS", arguments=b"ARGV", writes=True):
        self.rng = rng
        self.commands = generator.Generator(rng.randrange(1 << 30), 0)
        self.commands.relative = False  # with times that are far away
        self.keys, self.arguments, self.writes = keys, arguments, writes
        self.variables = {"number": [], "string": [], "table": [], "any": []}
        self.names = 0
        self.effort = 4  # how deep blocks may be

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    # --- expressions ---

    def number(self, depth=0):
        roll = self.rng.random()
        if roll < 0.3 and self.variables["number"]:
            return self.pick(self.variables["number"])
        if roll < 0.55 or depth > 2:
            return self.pick((b"0", b"1", b"-1", b"2", b"3", b"10", b"3.7", b"-2.5", b"1e15", b"2^53", b"1e100", b"0.1", b"255", b"0x10", b"#" + self.keys, b"#" + self.arguments))
        if roll < 0.8:
            return b"(%b %b %b)" % (self.number(depth + 1), self.pick((b"+", b"-", b"*", b"%", b"/")), self.pick((b"1", b"2", b"3", b"7")))
        if roll < 0.9:
            return b"(tonumber(%b) or %b)" % (self.string(depth + 1), self.number(depth + 1))
        return b"#%b" % self.string(depth + 1) if self.chance(0.5) else b"math.floor(%b)" % self.number(depth + 1)

    def literal(self):
        while True:
            value = self.commands.value()
            if len(value) <= 128:
                return quoted(value)

    def string(self, depth=0):
        roll = self.rng.random()
        if roll < 0.25 and self.variables["string"]:
            return self.pick(self.variables["string"])
        if roll < 0.35:
            return b"(%b[%d] or 'none')" % (self.arguments, self.rng.randint(1, 3))
        if roll < 0.45:
            return self.key()
        if roll < 0.7 or depth > 2:
            return self.literal()
        if roll < 0.8:
            return b"(%b .. %b)" % (self.string(depth + 1), self.string(depth + 1))
        if roll < 0.87:
            return b"tostring(%b)" % self.number(depth + 1)
        if roll < 0.93:
            return b"string.%b(%b)" % (self.pick((b"upper", b"lower", b"reverse")), self.string(depth + 1))
        if roll < 0.97:
            return b"string.sub(%b, %b, %b)" % (self.string(depth + 1), self.pick((b"1", b"2", b"-3")), self.pick((b"1", b"3", b"-1")))
        return b"redis.sha1hex(%b)" % self.string(depth + 1)

    def key(self):
        """Declared, or built within the script."""
        roll = self.rng.random()
        if roll < 0.5:
            return b"(%b[%d] or 'k1')" % (self.keys, self.rng.randint(1, 3))
        if roll < 0.8:
            return quoted(self.pick(generator.KEYS))
        return b"('k' .. %b)" % self.pick((b"#" + self.keys, b"1", b"2", b"(%b[1] or '')" % self.arguments))

    def anything(self, depth=0):
        """What a script may return, or keep."""
        roll = self.rng.random()
        if roll < 0.2:
            return self.number(depth)
        if roll < 0.4:
            return self.string(depth)
        if roll < 0.6:
            names = [name for kind in self.variables.values() for name in kind]
            if names:
                return self.pick(names)
        if roll < 0.66:
            return self.pick((b"nil", b"true", b"false", b"{}"))
        if roll < 0.8 and depth < 3:
            return b"{%b}" % b", ".join(self.anything(depth + 1) for _ in range(self.rng.randint(0, 4)))
        if roll < 0.95 and depth < 3:
            return self.pick((
                lambda: b"{ok=%b}" % self.string(3), lambda: b"{err=%b}" % self.string(3), lambda: b"{double=%b}" % self.pick((b"0", b"3", b"-2.5", b"0.125", b"#" + self.keys, b"2^53", b"-1/8")),
                lambda: b"{map={[%b]=%b}}" % (self.string(3), self.anything(depth + 1)), lambda: b"{set={[%b]=true}}" % self.string(3), lambda: b"{map={}}",
                lambda: b"{big_number='%d'}" % self.rng.getrandbits(90), lambda: b"{verbatim_string={format='txt', string=%b}}" % self.string(3),
                lambda: b"redis.error_reply(%b)" % self.string(3), lambda: b"redis.status_reply(%b)" % self.string(3), lambda: b"{1, 2, nil, 4}", lambda: b"{[2]=1}",
                lambda: b"{ok=1}", lambda: b"{err={}}", lambda: b"{double='x'}", lambda: b"{big_number=7}", lambda: b"{map=1}",
            ))()  # fmt: skip
        if depth < 2:
            return self.call()
        return self.number(3)

    def condition(self):
        roll = self.rng.random()
        if roll < 0.4:
            return b"%b %b %b" % (self.number(1), self.pick((b"<", b">", b"<=", b">=", b"==", b"~=")), self.number(1))
        if roll < 0.7:
            return b"%b %b %b" % (self.call(), self.pick((b"==", b"~=")), self.anything(2))
        if roll < 0.85:
            return b"type(%b) == '%b'" % (self.anything(2), self.pick((b"string", b"number", b"table", b"boolean", b"nil")))
        return self.anything(2)

    # --- commands ---

    def command(self):
        """The words of a command, without its mistakes that would need much memory or depend on the clock."""
        while True:
            if self.chance(0.04):
                return list(self.pick(RARE))
            name = self.pick(DATA)
            function, _, mutate = generator.COMMANDS[name]
            words = name.split() + function(self.commands)
            if mutate and self.chance(0.05):
                self.commands.mutate(words, 1)
            # A key that is stored already expired is counted until something touches it.
            if not self.commands.admissible(words) or len(settled(tuple(words))) > 1 or any(len(word) > LONGEST for word in words):
                continue
            if name in (b"SETRANGE", b"SETBIT", b"BITFIELD") and any(len(word.lstrip(b"#-")) > 4 and word.lstrip(b"#-").isdigit() for word in words):
                continue  # a value of some megabytes
            if not self.writes and self.chance(0.8) and name not in (b"GET", b"MGET", b"EXISTS", b"STRLEN", b"GETRANGE", b"GETBIT", b"TYPE", b"BITCOUNT", b"ECHO"):
                continue
            return words

    def call(self):
        words = self.command()
        parts = []
        for at, word in enumerate(words):
            roll = self.rng.random()
            if at > 1 and words[0].upper() in WITH_TIMES:
                roll = 1.0
            if at and word in generator.KEYS and roll < 0.4:
                parts.append(self.key())
            elif at and roll < 0.06:
                parts.append(self.pick((self.number, self.string))(1))
            elif at and roll < 0.065:
                parts.append(self.pick((b"nil", b"true", b"{}", b"{1}")))
            elif at and len(word) < 6 and word.isdigit() and roll < 0.5:
                parts.append(str(int(word)).encode())
            else:
                parts.append(quoted(word))
        return b"redis.%b(%b)" % (self.pick((b"call", b"pcall", b"pcall")), b", ".join(parts))

    # --- statements ---

    def fresh(self, kind):
        self.names += 1
        name = b"v%d" % self.names
        self.variables[kind].append(name)
        return name

    # error({}) is left out: it ends redis-server 7.0.
    def statement(self, depth=0):
        roll = self.rng.random()
        if roll < 0.3:
            return self.call()
        if roll < 0.45 and depth == 0:
            value = self.call()
            return b"local %b = %b" % (self.fresh("any"), value)
        if roll < 0.53 and depth == 0:
            value = self.number()
            return b"local %b = %b" % (self.fresh("number"), value)
        if roll < 0.62 and depth == 0:
            value = self.string()
            return b"local %b = %b" % (self.fresh("string"), value)
        if roll < 0.7 and depth < 2:
            return b"if %b then %b else %b end" % (self.condition(), self.statement(depth + 1), self.statement(depth + 1))
        if roll < 0.78 and depth < 2:
            return b"for i = 1, %d do %b end" % (self.rng.randint(0, 4), self.statement(depth + 1))
        if roll < 0.83 and depth == 0:
            elements = b", ".join(self.anything(2) for _ in range(self.rng.randint(0, 4)))
            return b"local %b = {%b}" % (self.fresh("table"), elements)
        if roll < 0.87 and self.variables["table"]:
            return b"table.insert(%b, %b)" % (self.pick(self.variables["table"]), self.pick((self.number, self.string))(1))
        if roll < 0.89 and self.variables["table"]:
            table = self.pick(self.variables["table"])
            return b"for _, x in ipairs(%b) do redis.pcall('APPEND', %b, tostring(type(x) == 'table' and #x or x)) end" % (table, self.key())
        if roll < 0.91:
            return b"redis.setresp(%b)" % self.pick((b"2", b"3", b"3", b"4", b"'3'", b""))
        if roll < 0.93:
            return b"if redis.acl_check_cmd(%b) then %b end" % (self.pick((b"'get', 'k1'", b"'GET'", b"'nosuch'", b"", b"'set', 'k1', 'x'", b"{}")), self.statement(2))
        if roll < 0.95:
            return self.pick((b"redis.replicate_commands()", b"redis.set_repl(redis.REPL_ALL)", b"redis.set_repl(redis.REPL_NONE)", b"redis.set_repl(99)", b"redis.log(redis.LOG_DEBUG, 'x')",
                              b"redis.log(9, 'x')", b"redis.log('x')", b"redis.set_repl()", b"redis.breakpoint()", b"redis.debug('x')"))  # fmt: skip
        if roll < 0.965:
            return self.pick((b"error(%b)" % self.string(1), b"error({err=%b})" % self.string(1), b"error()", b"x = 1", b"return y", b"local z = nil + 1", b"redis = nil", b"redis.call = nil",
                              b"_G.x = 1", b"setmetatable(_G, nil)", b"print('x')", b"rawset(_G, 'x', 1)", b"KEYS = {}", b"string.x = 1", b"getmetatable('').__index = nil", 
                              b"assert(false, 'no')", b"assert(nil)", b"error('a\\nb')", b"error({err='a b', x=1})", b"local q = ('x').y.z", b"undefined()", b"table.insert(nil, 1)"))  # fmt: skip
        if roll < 0.98:
            value = self.anything(1)
            return b"local ok%d, e%d = pcall(function() return %b end)" % (self.names, self.names, value)
        return b"do %b end" % self.statement(2)

    def body(self, lines):
        statements = [self.statement() for _ in range(lines)]
        if self.chance(0.9):
            statements.append(b"return %b" % self.anything())
        return statements

    def script(self):
        lines = self.body(self.rng.choice((0, 1, 2, 3, 5, 8)))
        if self.chance(0.12):
            lines.insert(0, self.pick(SHEBANGS) if self.chance(0.5) else b"#!lua flags=" + b",".join(self.rng.sample(FLAGS, self.rng.randint(1, 2))))
        if self.chance(0.02):
            lines.append(self.pick((b"return (", b"end", b"x =", b"'", b"return 1 return 2", b"\x1bLua", b"--[[", b"goto x", b"\x00")))
        return b"\n".join(lines)


def names_and_arguments(g, rng):
    """What follows a script: how many keys, keys and arguments."""
    keys = [g.pick(generator.KEYS) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    arguments = [value for value in (g.commands.value() for _ in range(rng.randint(0, 3))) if len(value) <= LONGEST]
    count = b"%d" % len(keys)
    if rng.random() < 0.02:
        count = rng.choice((b"-1", b"x", b"99", b"", b"1.5", b"0"))
    return [count, *keys, *arguments]


def sha_of(script):
    return hashlib.sha1(script).hexdigest().encode()


class ScriptRun(Run):
    """Begins without scripts and functions, and compares replies that have no order as sets."""

    def reset(self):
        super().reset()
        for connection in self.pair("own"):
            for reply in connection.pipeline([(b"SCRIPT", b"FLUSH"), (b"FUNCTION", b"FLUSH")]):
                if reply != "OK":
                    raise AssertionError(f"port {connection.socket.getpeername()[1]} cannot begin without scripts: {reply}")

    def accept(self, args, expected, actual, queued):
        if queued is None or args[0].upper() != b"EXEC":
            return differs_in_order(args, expected, actual) or super().accept(args, expected, actual, None)
        left, right = resp.elements(expected), resp.elements(actual)
        if left is None or right is None or not len(left) == len(right) == len(queued):
            return False
        return all(a == b or self.accept(command, a, b, None) for command, a, b in zip(queued, left, right))


def _sorted(reply):
    """A reply with every array that has no order sorted."""
    if isinstance(reply, dict):
        return sorted((repr(key), _sorted(value)) for key, value in reply.items())
    if isinstance(reply, list):
        return sorted((_sorted(item) for item in reply), key=repr)
    return reply


ALREADY_THERE = re.compile(rb"-ERR Function \S* already exists\r\n")


def differs_in_order(args, expected, actual):
    """Libraries, functions and their flags are in the order of a hash table, and so are functions when they are checked."""
    words = [word.upper() for word in args[:2]]
    if words == [b"FUNCTION", b"LOAD"]:
        return bool(ALREADY_THERE.fullmatch(expected) and ALREADY_THERE.fullmatch(actual))
    if words in ([b"FUNCTION", b"LIST"], [b"FUNCTION", b"STATS"]) and expected[:1] == actual[:1] and expected[:1] in (b"*", b"%"):
        return _sorted(resp.decode(expected)) == _sorted(resp.decode(actual))
    return False


class ScriptChecker(Checker):
    """Shrinks scripts line by line."""

    run_class = ScriptRun

    # Where a script is among the words of a request.
    @staticmethod
    def script_at(args):
        name = args[0].upper() if args else b""
        if name in (b"EVAL", b"EVAL_RO") and len(args) > 1:
            return 1
        if name == b"FUNCTION" and len(args) > 2 and args[1].upper() == b"LOAD":
            return len(args) - 1
        return None

    def shrink_arguments(self, steps, fails):
        for i, (who, args) in enumerate(steps):
            at = self.script_at(args)
            if who not in (0, 1, "own") or at is None:
                continue
            lines = args[at].split(b"\n")
            position = len(lines) - 1
            while position >= 0:
                fewer = lines[:position] + lines[position + 1 :]
                candidate = (*args[:at], b"\n".join(fewer), *args[at + 1 :])
                if fails(steps[:i] + [(who, candidate)] + steps[i + 1 :]):
                    lines, args = fewer, candidate
                    steps = steps[:i] + [(who, args)] + steps[i + 1 :]
                position -= 1
        return steps


def ordinary(rng, g, steps, who):
    """A command outside of scripts, which changes what they find."""
    words = g.command()
    if words[0].upper() not in (b"QUIT", b"SHUTDOWN", b"MONITOR", b"SUBSCRIBE", b"CLIENT", b"DEBUG", b"HELLO", b"ACL", b"CONFIG", b"RESET", b"SELECT", b"MULTI", b"EXEC"):
        steps.append((who, tuple(words)))


def rng_of(seed):
    return random.Random(seed)
