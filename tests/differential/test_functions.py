"""Random libraries of functions: FUNCTION LOAD, LIST, DELETE, FLUSH, STATS, and FCALL of what is in them, beside redis-server."""

import os
import re

import pytest

from tests.differential import scripts
from tests.differential.checker import COMMON_SETTINGS, OWN_SETTINGS
from tests.differential.scripts import FLAGS, ScriptChecker, ScriptGenerator, names_and_arguments, rng_of
from tests.support import servers

SEEDS = int(os.environ.get("PINFOLD_DIFFERENTIAL_SCRIPT_SEEDS", "200"))
FIRST = int(os.environ.get("PINFOLD_DIFFERENTIAL_SCRIPT_FIRST", "1"))
BLOCK = 50
STEPS = 50
LIBRARIES = [b"lib1", b"lib2", b"Lib1", b"l_3"]
FUNCTIONS = [b"f1", b"f2", b"f3", b"g"]
ODD_HEADS = [b"#!LUA name=", b"#!js name=", b"#!lua nosuch=1 name=", b"#!lua name=x name=", b"#!lua ", b"#!", b"", b"#!lua name"]
ODD_LIBRARIES = [b"", b"a b", b"a-b", b"a.b", b"x" * 300, b"\xff"]
ODD_FUNCTIONS = [b"''", b"'a b'", b"'a-b'", b"1", b"nil", b"{}", b"'f\\0'"]


@pytest.fixture(scope="module")
def checker():
    with servers.redis(*COMMON_SETTINGS) as reference, servers.pinfold(*COMMON_SETTINGS, *OWN_SETTINGS) as subject:
        yield ScriptChecker([reference, subject])


def function_text(rng):
    """One registration; its body is on one line, so that it is left whole or not at all when a library is shrunk."""
    g = ScriptGenerator(rng, keys=b"keys", arguments=b"args", writes=rng.random() < 0.6)
    body = b" ".join(b"do %b end" % line if line.startswith(b"return") else line for line in g.body(rng.choice((0, 1, 2, 4))) if b"\n" not in line)
    name = b"'%b'" % rng.choice(FUNCTIONS) if rng.random() < 0.95 else rng.choice(ODD_FUNCTIONS)
    callback = b"function(keys, args) %b end" % body
    roll = rng.random()
    if roll < 0.5:
        return b"redis.register_function(%b, %b)" % (name, callback)
    if roll < 0.93:
        fields = [b"function_name=%b" % name, b"callback=%b" % callback]
        if rng.random() < 0.6:
            flags = rng.sample(FLAGS, rng.randint(0, 2)) + ([rng.choice((b"nosuch", b"", b"NO-WRITES"))] if rng.random() < 0.08 else [])
            fields.append(b"flags={%b}" % b", ".join(b"'%b'" % flag for flag in flags))
        if rng.random() < 0.4:
            fields.append(b"description=%b" % rng.choice((b"'what it does'", b"''", b"'a\\0b'", b"7", b"{}")))
        if rng.random() < 0.05:
            fields.append(rng.choice((b"nosuch=1", b"flags=1", b"flags={1}", b"callback=1", b"[1]=2")))
        if rng.random() < 0.05:
            del fields[rng.randrange(len(fields))]
        return b"redis.register_function{%b}" % b", ".join(fields)
    return rng.choice((
        b"redis.register_function()", b"redis.register_function('f1')", b"redis.register_function('f1', 1)", b"redis.register_function('f1', function() end, 1)",
        b"redis.register_function(1, function() return 1 end)", b"redis.call('PING')", b"x = 1", b"local x = y", b"redis.log(redis.LOG_DEBUG, 'x')", b"local t = {}", b"error('no')",
        b"redis.setresp(3)", b"error({err='no'})", b"return 1", b"local function one() return 1 end redis.register_function('f1', one)", b"redis.register_function({})", b"redis.pcall('GET', 'k')",
        b"local n = 0 redis.register_function('f2', function() n = n + 1 return n end)", b"return", b"syntax error", b"math.random()", b"local s = redis.sha1hex('x')", b"KEYS[1] = 1",
        b"redis.register_function('g', function(keys, args) return {#keys, #args, keys, args} end)", b"redis.acl_check_cmd('get', 'x')", b"redis.error_reply('x')",
        b"redis.register_function('f3', function() redis.register_function('f4', function() end) end)", b"redis.breakpoint()",
    ))  # fmt: skip


def library_text(rng):
    name = rng.choice(LIBRARIES) if rng.random() < 0.95 else rng.choice(ODD_LIBRARIES)
    head = (b"#!lua name=" if rng.random() < 0.9 else rng.choice(ODD_HEADS)) + name
    # In one library f1 and F1 are not both: Redis takes them, calls now this and now that, and may end when they are replaced.
    text = b"\n".join([head, *(function_text(rng) for _ in range(rng.choice((0, 1, 1, 2, 2, 3))))])
    return re.sub(rb"'f[1-4]'", lambda found: found[0].upper(), text) if rng.random() < 0.1 else text


def steps_of(seed, length=STEPS):
    rng = rng_of(seed)
    steps = [(1, (b"HELLO", b"3"))]
    inside = {0: False, 1: False}
    while len(steps) < length:
        who = rng.choice((0, 1))
        g = ScriptGenerator(rng)
        roll = rng.random()
        if roll < 0.3:
            steps.append((who, (b"FUNCTION", b"LOAD", *rng.choice(((), (b"REPLACE",), (b"replace",), (b"REPLACE",))), library_text(rng))))
        elif roll < 0.65:
            name = rng.choice(FUNCTIONS) if rng.random() < 0.95 else rng.choice((b"nosuch", b"", b"f4", b"F1", b"F2"))
            steps.append((who, (rng.choice((b"FCALL", b"FCALL", b"FCALL_RO")), name, *names_and_arguments(g, rng))))
        elif roll < 0.78:
            steps.append((who, (b"FUNCTION", b"LIST", *rng.choice(((), (b"WITHCODE",), (b"LIBRARYNAME", b"lib*"), (b"LIBRARYNAME", b"*1", b"WITHCODE"), (b"LIBRARYNAME",), (b"NOSUCH",),
                                                               (b"withcode", b"withcode"), (b"LIBRARYNAME", b"a", b"LIBRARYNAME", b"b"))))))  # fmt: skip
        elif roll < 0.82:
            steps.append((who, (b"FUNCTION", b"DELETE", rng.choice((*LIBRARIES, b"nosuch", b"")))))
        elif roll < 0.84:
            steps.append((who, (b"FUNCTION", b"FLUSH", *rng.choice(((), (b"SYNC",), (b"ASYNC",), (b"NOSUCH",), (b"SYNC", b"x"))))))
        elif roll < 0.88:
            steps.append((who, rng.choice((
                (b"FUNCTION", b"STATS"), (b"FUNCTION", b"KILL"), (b"FUNCTION",), (b"FUNCTION", b"NOSUCH"), (b"FUNCTION", b"LOAD"), (b"FUNCTION", b"LOAD", b"NOSUCH", b"x"), (b"FCALL",), (b"FCALL", b"f1"),
                (b"FUNCTION", b"DELETE"), (b"FUNCTION", b"RESTORE", b"nonsense"), (b"FUNCTION", b"LOAD", b"REPLACE"), (b"FUNCTION", b"LOAD", b""),
            ))))  # fmt: skip
        elif roll < 0.91:
            steps.append((who, (b"EXEC",) if inside[who] else (b"MULTI",)))
            inside[who] = not inside[who]
        elif roll < 0.95:
            steps.append((who, (b"EVAL", g.script(), *names_and_arguments(g, rng))))
        else:
            scripts.ordinary(rng, g, steps, who)
    steps += [(who, (b"EXEC",)) for who in (0, 1) if inside[who]]
    return [*steps, (0, (b"FUNCTION", b"LIST", b"WITHCODE")), (1, (b"FUNCTION", b"LIST"))]


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, BLOCK))
def test_libraries_and_their_functions_are_those_of_redis(checker, start):
    reports = []
    for seed in range(start, min(start + BLOCK, FIRST + SEEDS)):
        report = checker.check_steps(seed, steps_of(seed), relative=False)
        if report:
            reports.append(report)
        if len(reports) == 3:
            break
    assert not reports, "\n\n".join(reports)


def test_most_libraries_are_loaded_and_functions_called(checker):
    loads, loaded, calls, answered = 0, 0, 0, 0
    for seed in range(1, 30):
        with checker.servers[0].connect() as one, checker.servers[0].connect() as other:
            one.call("FUNCTION", "FLUSH")
            for who, args in steps_of(seed):
                if args[0] in (b"FUNCTION", b"FCALL"):
                    reply = (one, other)[who].raw(*args)
                    if args[:2] == (b"FUNCTION", b"LOAD"):
                        loads, loaded = loads + 1, loaded + (reply[:1] != b"-")
                    elif args[0] == b"FCALL":
                        calls, answered = calls + 1, answered + (reply[:1] != b"-")
    assert loaded > loads * 0.2 and answered > calls * 0.2, (loads, loaded, calls, answered)


def test_what_is_dumped_can_be_restored(checker):
    """The bytes are the server's own, so only that they come back is compared."""
    for server in checker.servers:
        with server.connect() as connection:
            connection.call("FUNCTION", "FLUSH")
            code = b"#!lua name=dumped\nredis.register_function('dumped', function(keys, args) return args end)"
            assert connection.call("FUNCTION", "LOAD", code) == b"dumped"
            payload = connection.call("FUNCTION", "DUMP")
            assert connection.call("FUNCTION", "RESTORE", payload).startswith("ERR Library dumped already exists")
            assert connection.call("FUNCTION", "FLUSH") == connection.call("FUNCTION", "RESTORE", payload) == "OK"
            assert connection.call("FUNCTION", "RESTORE", payload, "REPLACE") == connection.call("FUNCTION", "RESTORE", payload, "FLUSH") == "OK"
            assert connection.call("FCALL", "dumped", 0, "a", "b") == [b"a", b"b"]
            damaged = payload[:-1] + bytes([payload[-1] ^ 1])
            assert connection.call("FUNCTION", "RESTORE", damaged, "REPLACE") == "ERR DUMP payload version or checksum are wrong"
            connection.call("FUNCTION", "FLUSH")
