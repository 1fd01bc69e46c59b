"""Random Lua scripts from a small grammar over commands, for the differential checker.

A script calls commands that the generator of sequences has made, looks at what they reply, and returns some of it. Both servers run the
same text, so what differs is how they execute it: keys, replies and their conversions, errors and where they stand.
"""

# Commands whose replies are the same on both servers, whatever time it is and whatever they were asked before.
SAFE = (
    b"GET", b"SET", b"SETNX", b"GETSET", b"GETDEL", b"STRLEN", b"APPEND", b"INCR", b"DECR", b"INCRBY", b"DECRBY", b"INCRBYFLOAT", b"GETRANGE", b"SUBSTR",
    b"SETRANGE", b"MGET", b"MSET", b"MSETNX", b"EXISTS", b"DEL", b"UNLINK", b"TYPE", b"RENAME", b"RENAMENX", b"GETBIT", b"SETBIT", b"BITCOUNT", b"BITPOS",
    b"HSET", b"HGET", b"HMGET", b"HDEL", b"HEXISTS", b"HLEN", b"HINCRBY", b"LPUSH", b"RPUSH", b"LPOP", b"RPOP", b"LLEN", b"LRANGE", b"LINDEX", b"LSET", b"LREM",
    b"SADD", b"SREM", b"SISMEMBER", b"SCARD", b"SINTERCARD", b"ZADD", b"ZREM", b"ZCARD", b"ZRANK", b"ZCOUNT", b"ZRANGEBYLEX", b"PFADD", b"PFCOUNT",
    b"BITOP", b"BITFIELD_RO", b"PERSIST", b"TTL", b"EXPIRETIME", b"ECHO", b"PING", b"SELECT", b"TOUCH", b"LCS", b"",
)  # fmt: skip
# Redis 7.0 crashes at an error that is a table without a text.
ERRORS = ("'text'", "'MY text'", "{err='MY bad'}", "redis.error_reply('no code')", "redis.error_reply('CODE text')", "7", "{err='line\\nbreak'}")
TIMED = {b"EX", b"PX", b"EXAT", b"PXAT"}


def literal(value):
    """A Lua string with these bytes."""
    return '"' + "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\{c:03d}" for c in value) + '"'


def command(generator):
    """The arguments of a command that a script may call."""
    while True:
        args = generator.next_command(SAFE)
        if args and not {arg.upper() for arg in args} & TIMED and generator.admissible(args) and sum(map(len, args)) < 20_000:
            return args


class Script:
    def __init__(self, generator):
        self.g = generator
        self.names = 0
        self.keys, self.arguments = [], []

    def operand(self, value):
        """A literal, or one that the caller passes."""
        roll = self.g.rng.random()
        if roll < 0.6:
            return literal(value)
        values, name = (self.keys, "KEYS") if roll < 0.8 else (self.arguments, "ARGV")
        values.append(value)
        return f"{name}[{len(values)}]"

    def call(self):
        function = self.g.pick(("redis.call", "redis.pcall", "redis.pcall"))
        return f"{function}({', '.join(self.operand(arg) for arg in command(self.g))})"

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def expression(self, names):
        options = [
            lambda: self.g.pick(("1", "0", "-3", "3.99", "2^40", "true", "false", "nil", "'text'", "{}", "{1, 'two', {3}}", "{ok='fine'}", "{err='MY bad'}", "#KEYS", "{1, nil, 3}")),
            lambda: self.call(),
            lambda: self.g.pick(names) if names else "nil",
            lambda: f"type({self.expression(names)})",
            lambda: f"tostring({self.expression(names)}):sub(1, 20)" if not names else f"type({self.g.pick(names)})",
            lambda: f"{{{self.expression(names)}, {self.expression(names)}}}",
            lambda: f"tonumber({literal(self.g.number())})",
            lambda: f"redis.sha1hex({literal(self.g.value()[:100])})",
            lambda: f"string.format('%s-%d', {literal(self.g.value()[:10])}, {self.g.rng.randint(-9, 9)})",
        ]
        weights = (4, 6, 5, 2, 0, 2, 1, 1, 1)
        return self.g.rng.choices(options, weights)[0]()

    def statements(self, names, depth=0):
        lines = []
        names = list(names)
        for _ in range(self.g.rng.randint(1, 4)):
            roll = self.g.rng.random()
            if roll < 0.45:
                name = self.name()
                lines.append(f"local {name} = {self.expression(names)}")
                names.append(name)
            elif roll < 0.7 or depth == 2:
                lines.append(self.call())
            elif roll < 0.85:
                lines.append(f"if {self.expression(names)} then\n{self.statements(names, depth + 1)}\nelse\n{self.statements(names, depth + 1)}\nend")
            elif roll < 0.97:
                lines.append(f"for i = 1, {self.g.rng.randint(0, 4)} do\n{self.statements(names, depth + 1)}\nend")
            else:
                lines.append("redis.setresp(3)" if self.g.chance(0.5) else f"error({self.g.pick(ERRORS)})")
        if depth == 0 or self.g.chance(0.1):
            lines.append(f"return {self.expression(names)}" if depth == 0 else f"do return {self.expression(names)} end")
        return "\n".join(lines)


def script(generator):
    """A script with the keys and arguments that it expects: text, keys, arguments."""
    made = Script(generator)
    text = made.statements([])
    if generator.chance(0.1):
        text = generator.pick(("#!lua flags=no-writes\n", "#!lua\n", "#!lua flags=allow-oom\n", "#!lua flags=nosuch\n")) + text
    return text.encode(), made.keys, made.arguments
