"""The libraries of scripts (cjson, cmsgpack, struct, bit, and Lua's own) with random values, beside redis-server: the same results and the same errors."""

import json
import os
import random

import pytest

from tests.differential import generator
from tests.differential.checker import COMMON_SETTINGS, OWN_SETTINGS, show
from tests.differential.scripts import quoted
from tests.support import resp, servers

SEEDS = int(os.environ.get("PINFOLD_DIFFERENTIAL_LIBRARY_SEEDS", "60"))
FIRST = int(os.environ.get("PINFOLD_DIFFERENTIAL_SCRIPT_FIRST", "1"))
CALLS = 100

# What a table has depends on the order in which it was filled, so a result is written with its keys in order.
PRELUDE = b"""
local function dump(value, depth)
  depth = depth or 0
  if depth > 40 then return '...' end
  local kind = type(value)
  if kind == 'number' then return string.format('%.17g', value) end
  if kind == 'string' then return string.format('%q', value) end
  if kind ~= 'table' then return kind == 'userdata' and tostring(value):gsub('0x%x+', '') or kind == 'function' and kind or tostring(value) end
  local parts = {}
  for key, item in pairs(value) do parts[#parts + 1] = dump(key, depth + 1) .. '=' .. dump(item, depth + 1) end
  table.sort(parts)
  return '{' .. table.concat(parts, ',') .. '}'
end
local function results(...)
  local parts = {}
  for i = 1, select('#', ...) do parts[i] = dump((select(i, ...))) end
  return table.concat(parts, ' ')
end
local function hex(text) return (text:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end
"""


class Values:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def number(self):
        roll = self.rng.random()
        if roll < 0.4:
            return b"%d" % self.rng.randint(-300, 300)
        if roll < 0.6:
            return b"%d" % self.pick(generator.INTEGERS)
        if roll < 0.85:
            return b"%.17g" % (self.rng.uniform(-1, 1) * 10.0 ** self.rng.randint(-20, 20))
        return self.pick((b"0.1", b"-0.0", b"1e308", b"5e-324", b"(1/0)", b"(-1/0)", b"1.5", b"2.5", b"-0.5", b"0xff", b"1e15", b"123456789012345.6"))

    def raw(self):
        roll = self.rng.random()
        if roll < 0.5:
            return bytes(self.rng.choice(b"abcxyz %1.,-AZ09_") for _ in range(self.rng.randint(0, 12)))
        if roll < 0.75:
            return self.rng.randbytes(self.rng.randint(0, 12))
        if roll < 0.95:
            return self.pick((b"", b"a", b"hello world", b"%d", b"\x00", b"a\x00b", "ünïcødé €".encode(), b'"quoted\\"', b"/slash\n\t\r\b\f", b"12", b"0x1F", b"1e5", b" 7 ", b"nan", b"key=value, a=b"))
        return b"x" * self.pick((31, 32, 255, 256, 300))

    def string(self):
        return quoted(self.raw())

    def value(self, depth=0):
        roll = self.rng.random()
        if roll < 0.25:
            return self.number()
        if roll < 0.5:
            return self.string()
        if roll < 0.62 or depth > 3:
            return self.pick((b"true", b"false", b"nil", b"cjson.null", b"{}"))
        if roll < 0.85:
            return b"{%b}" % b", ".join(self.value(depth + 1) for _ in range(self.rng.randint(0, 5)))
        # With one key, because the order of more is the table's own.
        return b"{[%b]=%b}" % (self.pick((self.string, self.number, lambda: b"true", lambda: b"3", lambda: b"'k'"))(), self.value(depth + 1))

    def integer(self):
        return b"%d" % self.rng.randint(-40, 40) if self.chance(0.6) else self.number()

    # --- cjson ---

    def json_text(self):
        def make(depth):
            roll = self.rng.random()
            if roll < 0.3:
                return self.pick((0, 1, -1, 1.5, 1e20, -0.0, 2**53, 2**63, 1e-9, 123456789012345))
            if roll < 0.5:
                return self.raw().decode("latin-1")
            if roll < 0.6 or depth > 4:
                return self.pick((None, True, False))
            if roll < 0.8:
                return [make(depth + 1) for _ in range(self.rng.randint(0, 4))]
            return {self.raw().decode("latin-1"): make(depth + 1) for _ in range(self.rng.randint(0, 4))}

        text = json.dumps(make(0), ensure_ascii=self.chance(0.5), indent=self.pick((None, None, 1))).encode()
        if self.chance(0.4):
            at = self.rng.randint(0, len(text))
            text = text[:at] + self.pick((b"", b",", b"}", b"]", b"\\", b'"', b"nul", b"01", b"-", b"+1", b".5", b"1.", b"0x1", b"inf", b"NaN", b"\\u12", b"\\ud800", b"\\udc00\\ud800", b"\x00", b"\xff", b"/**/", b"'", b"e")) + text[at + self.pick((0, 1)):]
        return text

    def cjson(self):
        roll = self.rng.random()
        if roll < 0.4:
            return b"cjson.encode(%b)" % self.value()
        if roll < 0.8:
            return b"cjson.decode(%b)" % quoted(self.json_text())
        if roll < 0.85:
            return b"cjson.encode(cjson.decode(%b))" % quoted(json.dumps([1, [2.5, "x"], None, True]).encode())
        if roll < 0.9:
            return b"cjson.decode(string.rep('[', %d) .. string.rep(']', %d))" % ((self.rng.choice((10, 999, 1000, 1001, 2000)),) * 2)
        return self.pick((
            b"cjson.encode()", b"cjson.decode()", b"cjson.encode(1, 2)", b"cjson.encode(print)", b"cjson.encode(function() end)", b"cjson.encode({[1.5]=1})", b"cjson.encode({1, 2, nil, 4})",
            b"cjson.encode({[1]=1, [100]=1})", b"cjson.encode({[3]=1})", b"cjson.encode({[-1]=1})", b"cjson.encode({[0]=1})", b"cjson.encode(0/0)", b"cjson.encode(1/0)", b"cjson.decode('')",
            b"cjson.decode(7)", b"cjson.decode({})", b"cjson.encode(cjson.null)", b"cjson.null == nil, type(cjson.null)", b"cjson.new", b"cjson._NAME, cjson._VERSION", b"cjson.encode_max_depth",
            b"(function() local t = {} t[1] = t return cjson.encode(t) end)()", b"cjson.encode({[true]=1})", b"cjson.encode({[{}]=1})", b"cjson.encode_keep_buffer(%b)" % self.value(3),
            b"cjson.encode_number_precision(%b), cjson.encode(0.1), cjson.encode_number_precision(14)" % self.pick((b"3", b"14", b"16", b"0", b"99", b"'x'")),
            b"cjson.encode_invalid_numbers(%b), pcall(cjson.encode, 1/0)" % self.pick((b"true", b"false", b"'null'", b"'x'")),
            b"cjson.decode_invalid_numbers(%b), pcall(cjson.decode, '[NaN, -inf, 0x10]'), cjson.decode_invalid_numbers(true)" % self.pick((b"true", b"false", b"'x'")),
            b"cjson.encode_sparse_array(%b), pcall(cjson.encode, {[1]=1, [30]=2}), cjson.encode_sparse_array(false, 2, 10)" % self.pick((b"true", b"false", b"true, 0, 0", b"true, 1, 3", b"1")),
            b"cjson.encode_max_depth(%b), pcall(cjson.encode, {{{{}}}}), cjson.encode_max_depth(1000)" % self.pick((b"2", b"3", b"5", b"0", b"'x'")),
            b"cjson.decode_max_depth(%b), pcall(cjson.decode, '[[[[]]]]'), cjson.decode_max_depth(1000)" % self.pick((b"2", b"3", b"5", b"0")),
        ))  # fmt: skip

    # --- cmsgpack ---

    def cmsgpack(self):
        roll = self.rng.random()
        values = b", ".join(self.value() for _ in range(self.pick((1, 1, 1, 2, 3))))
        if roll < 0.35:
            return b"hex(cmsgpack.pack(%b))" % values
        if roll < 0.6:
            return b"cmsgpack.unpack(cmsgpack.pack(%b))" % values
        if roll < 0.75:
            body = self.rng.randbytes(self.rng.randint(0, 12))
            head = bytes([self.pick((0x80, 0x81, 0x92, 0xA3, 0xC0, 0xC1, 0xC2, 0xC4, 0xC7, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0x7F))])
            return b"cmsgpack.unpack(%b)" % quoted(head + body)
        if roll < 0.85:
            return b"cmsgpack.%b(cmsgpack.pack(%b)%b)" % (self.pick((b"unpack_one", b"unpack_limit")), values, self.pick((b"", b", 0", b", 1", b", 2", b", 1, 0", b", 2, 1", b", 0, 99", b", -1", b", 1, -1")))
        return self.pick((
            b"cmsgpack.pack()", b"cmsgpack.unpack()", b"cmsgpack.unpack('')", b"cmsgpack.unpack(7)", b"cmsgpack.unpack({})", b"hex(cmsgpack.pack(nil, nil))", b"hex(cmsgpack.pack({1, 2, nil, 4}))",
            b"cmsgpack._NAME, cmsgpack._VERSION", b"hex(cmsgpack.pack(print))", b"hex(cmsgpack.pack({[0]=1}))", b"hex(cmsgpack.pack({[2]=1}))", b"hex(cmsgpack.pack(0/0))",
            b"(function() local t = {} for i = 1, %d do t = {t} end return #cmsgpack.pack(t) end)()" % self.pick((5, 15, 16, 17, 100)), b"hex(cmsgpack.pack(string.rep('x', %d))):sub(1, 20)" % self.pick((31, 32, 255, 256, 65535, 65536)),
            b"hex(cmsgpack.pack({%b}))" % b", ".join([b"1"] * self.pick((15, 16, 17))), b"cmsgpack.unpack(string.rep('\\145', %d))" % self.pick((5, 20, 100, 1000)),
        ))  # fmt: skip

    # --- struct and bit ---

    def layout(self):
        parts = []
        for _ in range(self.rng.randint(0, 5)):
            parts.append(self.pick((b">", b"<", b"=", b"!", b"!4", b"b", b"B", b"h", b"H", b"l", b"L", b"T", b"i", b"I", b"i1", b"i2", b"I3", b"i4", b"I8", b"i16", b"i33", b"f", b"d", b"s", b"c0", b"c1", b"c4", b"x", b"X", b" ", b"n", b"?", b"i0", b"c", b"I99")))
        return b"".join(parts)

    def struct(self):
        layout = quoted(self.layout())
        roll = self.rng.random()
        if roll < 0.4:
            return b"hex(struct.pack(%b))" % b", ".join([layout, *(self.pick((self.number, self.number, self.string))() for _ in range(self.rng.randint(0, 5)))])
        if roll < 0.8:
            data = quoted(self.rng.randbytes(self.rng.randint(0, 24)))
            position = self.pick((b"", b"", b", 1", b", 2", b", 5", b", 0", b", -1", b", 100"))
            return b"struct.unpack(%b, %b%b)" % (layout, data, position)
        if roll < 0.95:
            return b"struct.size(%b)" % layout
        return self.pick((b"struct.pack()", b"struct.unpack('b')", b"struct.unpack()", b"struct.size()", b"struct.pack('I33', 1)", b"struct.unpack('c0', 'abc')", b"struct.unpack('bc0', '\\3abcd')",
                          b"struct.unpack('i4', 'abcd', 2147483647)", b"struct.unpack('c1', 'a', 2)", b"struct.size('!33i')", b"hex(struct.pack('>I2s', 7, 'a\\0b'))", b"struct.size('c2147483647')",
                          b"struct.unpack('c2147483647', 'x')", b"struct.pack('c2147483647', 'x')", b"struct.size('c99999999999')"))  # fmt: skip

    def bit(self):
        name = self.pick((b"tobit", b"tohex", b"bnot", b"band", b"bor", b"bxor", b"lshift", b"rshift", b"arshift", b"rol", b"ror", b"bswap"))
        count = self.pick((1, 1, 2, 2, 2, 3)) if name in (b"band", b"bor", b"bxor", b"tohex") else self.pick((1, 2, 2)) if name.endswith(b"shift") or name in (b"rol", b"ror") else 1
        arguments = [self.pick((self.number, self.integer, self.integer))() for _ in range(count)]
        if self.chance(0.06):
            arguments = arguments[1:] + [self.pick((b"'12'", b"'x'", b"nil", b"{}", b"'0x10'"))]
        return b"bit.%b(%b)" % (name, b", ".join(argument for argument in arguments if b"1/0" not in argument))

    # --- Lua's own ---

    def pattern(self):
        parts = []
        for _ in range(self.rng.randint(0, 4)):
            parts.append(self.pick((b"a", b".", b"%a", b"%d", b"%s", b"%w", b"%x", b"%p", b"%c", b"%u", b"%l", b"%D", b"[abc]", b"[^a]", b"[a-z]", b"[%d.]", b"%%", b"%.", b"(a)", b"(.)", b"()", b"%1", b"%bxy", b"%f[%w]", b"^", b"$", b"[", b"%", b"(", b")", b"[]]", b"\\0", b"%z", b"-", b"x")))
            parts.append(self.pick((b"", b"", b"", b"*", b"+", b"-", b"?")))
        return b"'" + b"".join(parts).replace(b"'", b"") + b"'"

    def formatted(self):
        parts, arguments = [], []
        for _ in range(self.rng.randint(1, 3)):
            flags = b"".join(self.pick((b"", b"", b"-", b"+", b" ", b"#", b"0")) for _ in range(2))
            size = self.pick((b"", b"", b"5", b"10", b".3", b"8.2", b".0", b"99", b"100", b".100", b"99.99"))
            kind = self.pick((b"d", b"i", b"u", b"c", b"x", b"X", b"o", b"e", b"E", b"f", b"g", b"G", b"q", b"s", b"%", b"y", b""))
            parts.append(b"%" + flags + size + kind)
            if kind not in (b"%", b""):
                arguments.append(self.string() if kind in (b"q", b"s") else b"%d" % self.rng.randint(0, 255) if kind == b"c" else self.number() if self.chance(0.6) else self.integer())
        if self.chance(0.08) and arguments:
            arguments.pop()
        return b"string.format(%b)" % b", ".join([b"'" + b" ".join(parts) + b"'", *arguments])

    def lua(self):
        roll = self.rng.random()
        string, number, integer, value = self.string, self.number, self.integer, self.value
        if roll < 0.2:
            return self.formatted()
        if roll < 0.4:
            return self.pick((
                lambda: b"string.find(%b, %b)" % (string(), self.pattern()), lambda: b"string.match(%b, %b)" % (string(), self.pattern()), lambda: b"string.gsub(%b, %b, %b)" % (string(), self.pattern(), self.pick((b"'<%0>'", b"'%1'", b"'%%'", b"'%2'", b"'%'", b"'x', 1", b"{a='b'}", b"string.upper", b"function() return false end", b"function() return {} end", b"7"))),
                lambda: b"string.find(%b, %b, %b, true)" % (string(), string(), integer()), lambda: b"(function() local t = {} for a, b in string.gmatch(%b, %b) do t[#t + 1] = {a, b} if #t > 20 then break end end return t end)()" % (string(), self.pattern()),
                lambda: b"string.find(%b, %b, %b)" % (string(), self.pattern(), integer()),
            ))()  # fmt: skip
        return self.pick((
            lambda: b"string.byte(%b, %b, %b)" % (string(), integer(), integer()), lambda: b"string.char(%b)" % b", ".join(b"%d" % self.rng.randint(-5, 260) for _ in range(self.rng.randint(0, 4))),
            lambda: b"string.sub(%b, %b, %b)" % (string(), integer(), integer()), lambda: b"#string.rep(%b, %b)" % (string(), self.pick((b"0", b"3", b"-1", b"100"))),
            lambda: b"string.reverse(%b), string.upper(%b), string.lower(%b), string.len(%b)" % (string(), string(), string(), string()),
            lambda: b"tostring(%b), tonumber(%b)" % (number(), string()), lambda: b"tonumber(%b, %b)" % (string(), self.pick((b"2", b"8", b"10", b"16", b"36", b"1", b"37", b"'x'"))),
            lambda: b"%b %b %b" % (number(), self.pick((b"+", b"-", b"*", b"/", b"%", b"^", b"..", b"<", b"<=", b"==")), number()), lambda: b"%b %b %b" % (string(), self.pick((b"+", b"..", b"<", b">=", b"==", b"*")), self.pick((string, number))()),
            lambda: b"math.%b(%b)" % (self.pick((b"abs", b"ceil", b"floor", b"sqrt", b"exp", b"log", b"log10", b"frexp", b"modf", b"deg", b"rad")), number()),
            lambda: b"math.%b(%b, %b)" % (self.pick((b"fmod", b"max", b"min", b"pow", b"ldexp")), number(), self.pick((b"2", b"3", b"-1", b"10"))),
            lambda: b"table.concat({%b}, %b)" % (b", ".join(self.pick((string, number))() for _ in range(3)), string()), lambda: b"table.concat({1, {}, 3})", lambda: b"table.concat({1, 2, 3}, ',', %b, %b)" % (self.pick((b"1", b"2", b"5")), self.pick((b"1", b"3", b"4"))),
            lambda: b"(function() local t = {%b} table.sort(t) return t end)()" % b", ".join((string if self.chance(0.5) else number)() for _ in range(self.rng.randint(0, 6))),
            lambda: b"(function() local t = {3, 1, 2} table.sort(t, %b) return t end)()" % self.pick((b"function(a, b) return a > b end", b"function() return true end", b"7", b"nil")),
            lambda: b"(function() local t = {1, 2, 3} table.insert(t, %b) return t, table.remove(t, %b) end)()" % (self.pick((b"4", b"1, 'x'", b"9, 'y'", b"1, 2, 3")), self.pick((b"1", b"3", b"9", b"0"))),
            lambda: b"unpack({%b}, %b)" % (value(3), self.pick((b"1", b"0", b"1, 3", b"2, 1", b"-1, 1"))), lambda: b"select(%b, 'a', 'b')" % self.pick((b"'#'", b"1", b"2", b"3", b"-1", b"-3", b"0", b"'x'")),
            lambda: b"type(%b), #%b" % (value(2), string()), lambda: b"next({%b})" % value(3), lambda: b"rawequal(%b, %b), rawget({a=1}, 'a')" % (value(3), value(3)), lambda: b"redis.sha1hex(%b)" % string(),
            lambda: b"loadstring(%b)" % self.pick((b"'return 1'", b"'syntax error'", b"'\\27Lua'", b"string.dump(function() end)", b"''")), lambda: b"(loadstring('return ' .. %b))()" % self.pick((string(), b"'1 + 1'")),
            lambda: b"pcall(error, %b)" % value(2), lambda: b"(function(...) return select('#', ...), arg end)(%b, %b)" % (value(3), value(3)), lambda: b"string.%b" % self.pick((b"dump", b"nosuch", b"gfind", b"len(nil)", b"rep()", b"format()", b"format('%s')")),
            lambda: b"xpcall(function() error(%b) end, function(e) return 'caught ' .. tostring(e) end)" % string(), lambda: b"redis.error_reply(%b), redis.status_reply(%b)" % (string(), string()),
            lambda: b"redis.error_reply(%b)" % self.pick((b"'My Err'", b"'-My Err'", b"'NOSPACE'", b"''", b"{}", b"1, 2", b"nil")),
            lambda: b"getmetatable(%b)" % self.pick((b"_G", b"''", b"redis", b"{}")), lambda: b"setmetatable(%b, {__index = {x = 1}}).x" % self.pick((b"{}", b"redis", b"math", b"_G", b"''")),
        ))()  # fmt: skip

    def call(self):
        return self.pick((self.cjson, self.cmsgpack, self.struct, self.bit, self.lua, self.lua))()


def script_of(expression):
    """The results, or the error as a script that catches it sees it."""
    return PRELUDE + b"return results(pcall(function() return %b end))" % expression


@pytest.fixture(scope="module")
def pair():
    with servers.redis(*COMMON_SETTINGS) as reference, servers.pinfold(*COMMON_SETTINGS, *OWN_SETTINGS) as subject, reference.connect() as one, subject.connect() as other:
        yield one, other


def differing(pair, expressions):
    commands = [(b"EVAL", script_of(expression), b"0") for expression in expressions]
    commands += [(b"EVAL", b"return " + expression, b"0") for expression in expressions]  # uncaught
    replies = [connection.exchange(b"".join(map(resp.encode, commands)), len(commands)) for connection in pair]
    assert len(replies[0]) == len(commands), f"redis-server has ended after {commands[len(replies[0])]}"
    assert len(replies[1]) == len(commands), f"no reply to {commands[len(replies[1])]}"
    return [f"{expression.decode('latin-1')}\n  redis:   {left[:600]!r}\n  pinfold: {right[:600]!r}" for expression, left, right in zip(expressions * 2, *replies) if left != right]


@pytest.mark.parametrize("start", range(FIRST, FIRST + SEEDS, 10))
def test_libraries_give_what_they_give_in_redis(pair, start):
    reports = []
    for seed in range(start, min(start + 10, FIRST + SEEDS)):
        values = Values(seed)
        reports += [f"seed {seed}: {report}" for report in differing(pair, [values.call() for _ in range(CALLS)])]
    assert not reports, f"{len(reports)} differ\n\n" + "\n\n".join(reports[:12])


def test_most_calls_have_results(pair):
    failed = total = 0
    for seed in range(1, 20):
        values = Values(seed)
        for _ in range(50):
            reply = pair[0].call("EVAL", script_of(values.call()), 0)
            total, failed = total + 1, failed + (not isinstance(reply, bytes) or reply.startswith(b"false"))
    assert failed < total / 2, f"{failed} of {total} are errors"


# What scripts of redis-server reach that Pinfold's need not.
LEFT_OUT = {b"redis.breakpoint", b"redis.debug", b"__redis__err__handler", b"__redis__compare_helper"}


def test_scripts_see_the_same_names(pair):
    """Globals and members of libraries, with their types."""
    script = b"""
    local names = {}
    for name, value in pairs(_G) do
      names[#names + 1] = name .. ' ' .. type(value)
      if type(value) == 'table' and name ~= '_G' then
        for member, inner in pairs(value) do names[#names + 1] = name .. '.' .. tostring(member) .. ' ' .. type(inner) end
      end
    end
    table.sort(names)
    return names
    """
    seen = [{name for name in connection.call("EVAL", script, 0) if name.split()[0] not in LEFT_OUT and name.split()[0].split(b".")[0] != b"server"} for connection in pair]
    assert len(seen[0]) > 100 and seen[0] == seen[1], f"only in redis {sorted(seen[0] - seen[1])}, only in Pinfold {sorted(seen[1] - seen[0])}"


@pytest.mark.parametrize("name", ["redis", "cjson", "cmsgpack", "struct", "bit", "string", "table", "math", "os", "coroutine", "debug"])
def test_libraries_cannot_be_changed(pair, name):
    for statement in (f"{name}.x = 1", f"{name}.x = nil", f"{name} = nil", f"setmetatable({name}, {{}})", f"rawset({name}, 'x', 1)", f"return type({name})", f"return type(getmetatable({name}))"):
        left, right = (connection.raw("EVAL", statement, 0) for connection in pair)
        assert left == right, f"{show(('own', (b'EVAL', statement.encode(), b'0')))}\n  redis:   {left!r}\n  pinfold: {right!r}"
