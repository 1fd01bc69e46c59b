"""Random requests for every row of the command table, over random data: what the budget of a lock is checked with.

Each row has a function that returns one request as a list of arguments; they are picked to be as hard on the server as a request of that
kind can be: large values, long names, many watches, tags and leases.
"""

import hashlib
import itertools

LONG_MS = 600_000
REQUESTS = {}

# What adds elements to a collection of each kind: the command, and its arguments for the element with this number.
KINDS = {
    "hash": ("HSET", lambda i: (b"e%d" % i, b"value-%d" % i)),
    "list": ("RPUSH", lambda i: (b"e%d" % i,)),
    "set": ("SADD", lambda i: (b"e%d" % i,)),
    "numbers": ("SADD", lambda i: (i * 3,)),
    "zset": ("ZADD", lambda i: (i % 1000, b"e%d" % i)),
}
ELEMENTS = (5, 60, 3000, 60_000)  # packed, packed, large, very large


def row(*names):
    """Registers what makes requests of these rows: a function of (world, rng, words of the name)."""

    def register(function):
        for name in names:
            assert name not in REQUESTS, name
            REQUESTS[name] = function
        return function

    return register


class World:
    """The names of what is in the server, and how it got there."""

    def __init__(self, rng):
        self.rng = rng
        self.small = [b"s%d" % i for i in range(500)]
        self.long = [b"n%d:" % i + b"x" * rng.choice((300, 2000, 2100, 20_000, 65_000)) for i in range(60)]
        self.middle = [b"m%d" % i for i in range(60)]  # kept inside an entry, as large as that can be
        self.blobs = [b"b%d" % i for i in range(30)]
        self.huge = [b"h%d" % i for i in range(3)]
        self.absent = [b"a%d" % i for i in range(50)]
        self.missing = [b"missing%d" % i for i in range(50)]
        self.tags = [b"t%d" % i for i in range(200)]
        # By kind, from small to very large.
        self.collections = {kind: [b"%s:%d" % (kind.encode(), i) for i in range(8)] for kind in KINDS}
        self.token = itertools.count(1)

    def value(self, least=0, most=100):
        return self.rng.randbytes(self.rng.randint(least, most))

    def fill(self):
        """The requests that make it."""
        rng = self.rng
        for key in self.small:
            yield ["SET", key, rng.choice((b"%d" % rng.randint(-99, 99), self.value()))]
        for key in self.long:
            yield ["SET", key, self.value(0, 20_000), *(["PX", LONG_MS] if rng.random() < 0.5 else [])]
        for key in self.middle:
            yield ["CACHE.SET", key, self.value(10_000, 15_000), "PX", LONG_MS, "STALE", LONG_MS, "TAGS", 2, rng.choice(self.tags), rng.choice(self.tags)]
        for key in self.blobs:
            yield ["SET", key, self.value(17_000, 400_000)]
        for key in self.huge:
            yield ["SET", key, bytes(rng.randint(8 << 20, 12 << 20))]
        for key in self.absent:
            yield ["CACHE.ABSENT", key, "PX", LONG_MS]
        for kind in KINDS:
            for i, key in enumerate(self.collections[kind]):
                yield ["DEL", key]
                yield from fill_collection(kind, key, ELEMENTS[i // 2])
            yield ["EXPIRE", self.collections[kind][0], 600]
        yield ["GEOADD", b"places", *(part for i in range(500) for part in (i % 180, i % 85, b"e%d" % i))]
        for i in range(3):
            yield ["PFADD", b"visitors:%d" % i, *(b"e%d" % n for n in range((10, 3000, 30_000)[i]))]

    def collection(self, *kinds):
        """A key that has one of these kinds, or seldom anything else."""
        if self.rng.random() < 0.03:
            return self.key()
        return self.rng.choice(self.collections[self.rng.choice(kinds or tuple(KINDS))])

    def element(self):
        return b"e%d" % self.rng.choice((0, 1, 2, 3, self.rng.randint(0, 100), self.rng.randint(0, 60_000), 10**9))

    def elements(self, most=60):
        """Short ones that are there or not, and long new ones. Seldom so many that their key should not be locked meanwhile."""
        if self.rng.random() < 0.04:
            return [self.element() for _ in range(self.rng.choice((1500, 9000)))]
        return [self.rng.choice((self.element, self.element, lambda: self.value(0, self.rng.choice((100, 2000)))))() for _ in range(self.rng.randint(1, most))]

    def key(self):
        if self.rng.random() < 0.2:
            return self.rng.choice(self.collections[self.rng.choice(tuple(KINDS))])
        kinds = (self.small, self.small, self.long, self.middle, self.blobs, self.huge, self.absent, self.missing)
        return self.rng.choice(self.rng.choice(kinds))

    def keys(self, most=40):
        return [self.key() for _ in range(self.rng.randint(1, most))]

    def written(self):
        """One that may be overwritten: the huge ones stay."""
        return self.rng.choice(self.rng.choice((self.small, self.long, self.middle, self.blobs, self.missing)))

    def big(self):
        return self.rng.choice(self.rng.choice((self.blobs, self.huge)))

    def content(self):
        return self.value(0, self.rng.choice((10, 1000, 16_000, 16_500, 300_000)))

    def deadline(self):
        return self.rng.choice(([], ["PX", LONG_MS], ["EX", 600], ["PX", self.rng.randint(1, 50)]))


def fill_collection(kind, key, count, at_once=500):
    command, arguments = KINDS[kind]
    for start in range(0, count, at_once):
        yield [command, key, *(part for i in range(start, min(start + at_once, count)) for part in arguments(i))]


# --- strings ---


@row("get", "strlen", "getdel", "incr", "decr", "persist", "ttl", "pttl", "type", "digest", "expiretime", "pexpiretime", "cache.inspect")
def one_key(world, rng, words):
    return [*words, world.written() if words[0] in ("getdel", "incr", "decr") else world.key()]


@row("set", "setnx", "getset", "append")
def key_and_value(world, rng, words):
    options = world.deadline() + rng.choice(([], ["GET"], ["XX"], ["IFNE", world.content()], ["IFEQ", world.content()])) if words[0] == "set" else []
    key = world.big() if words[0] == "append" and rng.random() < 0.3 else world.written()
    return [*words, key, world.content(), *options]


@row("setex", "psetex")
def with_deadline(world, rng, words):
    return [*words, world.written(), LONG_MS, world.content()]


@row("getex")
def getex(world, rng, words):
    return [*words, world.key(), *rng.choice(([], ["PX", LONG_MS], ["PERSIST"]))]


@row("getrange", "substr")
def ranges(world, rng, words):
    return [*words, world.key(), rng.choice((0, 1, 1000)), rng.choice((-1, -2, 500, 100_000))]


@row("setrange")
def setrange(world, rng, words):
    return [*words, world.big() if rng.random() < 0.5 else world.written(), rng.choice((0, 10, 20_000, 3_000_000)), world.content()]


@row("incrby", "decrby", "incrbyfloat")
def increments(world, rng, words):
    key = world.written() if rng.random() < 0.8 else b"counter%d" % rng.randint(0, 9)  # most hold no number
    return [*words, key, rng.randint(-9, 9)]


@row("mget", "exists", "touch", "del", "unlink")
def many_keys(world, rng, words):
    if words[0] in ("del", "unlink"):
        return [*words, *(world.written() for _ in range(rng.randint(1, 40)))]
    return [*words, *world.keys()]


@row("mset", "msetnx")
def mset(world, rng, words):
    return [*words, *(part for _ in range(rng.randint(1, 40)) for part in (world.written(), world.value(0, 3000)))]


@row("msetex")
def msetex(world, rng, words):
    pairs = [part for _ in range(rng.randint(1, 40)) for part in (world.written(), world.value(0, 3000))]
    return [*words, len(pairs) // 2, *pairs, "PX", LONG_MS]


@row("lcs")
def lcs(world, rng, words):
    return [*words, rng.choice(world.middle), rng.choice(world.middle), *rng.choice(([], ["LEN"], ["IDX"]))]


@row("delex")
def delex(world, rng, words):
    return [*words, world.big() if rng.random() < 0.5 else world.written(), rng.choice(("IFEQ", "IFDEQ")), b"0123456789abcdef"]


@row("delifeq")
def delifeq(world, rng, words):
    return [*words, world.written(), world.content()]


# --- bits ---


@row("setbit", "getbit")
def one_bit(world, rng, words):
    key = world.key() if words[0] == "getbit" or rng.random() < 0.2 else world.written()
    return [*words, key, rng.choice((0, 100, 500_000, 30_000_000)), *([1] if words[0] == "setbit" else [])]


@row("bitcount", "bitpos")
def bit_ranges(world, rng, words):
    return [*words, world.key(), *([1] if words[0] == "bitpos" else []), *rng.choice(([0, -1], [1, -2], [0, 1000]))]


@row("bitop")
def bitop(world, rng, words):
    operation = rng.choice(("AND", "OR", "XOR", "NOT"))
    sources = [world.key() for _ in range(1 if operation == "NOT" else rng.randint(1, 4))]
    return [*words, operation, world.written(), *sources]


@row("bitfield", "bitfield_ro")
def bitfield(world, rng, words):
    fields = [part for _ in range(rng.randint(1, 200)) for part in ("GET", "u8", rng.randint(0, 10_000))]
    return [*words, world.key(), *fields]


# --- keys ---


@row("expire", "pexpire", "expireat", "pexpireat")
def expire(world, rng, words):
    time = {"expire": 600, "pexpire": LONG_MS, "expireat": 4_000_000_000, "pexpireat": 4_000_000_000_000}[words[0]]
    return [*words, world.written(), rng.choice((time, time, time, 1))]


@row("rename", "renamenx")
def rename(world, rng, words):
    return [*words, world.written(), world.written()]


@row("copy")
def copy(world, rng, words):
    return [*words, world.key(), world.written(), *rng.choice(([], ["REPLACE"], ["DB", 3, "REPLACE"]))]


@row("move")
def move(world, rng, words):
    return [*words, world.written(), 3]


@row("keys")
def keys(world, rng, words):
    return [*words, rng.choice((b"*", b"s*", b"n1*x*x*x", b"[ab]*", b"nothing*"))]


@row("scan")
def scan(world, rng, words):
    return [*words, 0, *rng.choice(([], ["MATCH", b"*x*x*"], ["TYPE", "string"])), "COUNT", rng.choice((1, 10, 1000, 100_000))]


@row("randomkey", "dbsize", "echo", "ping", "time", "lastsave", "lolwut", "role", "flushdb", "flushall", "swapdb", "select")
def plain(world, rng, words):
    return [*words, *{"echo": [world.content()], "ping": [world.content()], "select": [0], "swapdb": [5, 6]}.get(words[0], [])]


@row("object|encoding", "object|freq", "object|idletime", "object|refcount", "memory|usage")
def about_a_key(world, rng, words):
    return [*words, world.key()]


# --- CACHE.* ---


@row("cache.get")
def cache_get(world, rng, words):
    return [*words, world.key(), *rng.choice(([], ["LEASE", 50], ["LEASE", LONG_MS], ["WAIT", 1], ["BETA", 1000]))]


@row("cache.mget")
def cache_mget(world, rng, words):
    names = world.keys()
    return [*words, len(names), *names, *rng.choice(([], ["LEASE", 50]))]


@row("cache.set")
def cache_set(world, rng, words):
    tags = [rng.choice(world.tags) for _ in range(rng.randint(0, 16))]
    return [*words, world.written(), world.content(), *world.deadline(), *(["TAGS", len(tags), *tags] if tags else []), *dependencies(world, rng)]


def dependencies(world, rng):
    names = [world.key() for _ in range(rng.choice((0, 0, 1, 3, 40, 200)))]
    names = [name for name in names if len(name) <= 250]
    return ["DEPENDS", len(names), *names] if names else []


@row("cache.absent")
def cache_absent(world, rng, words):
    return [*words, rng.choice(world.absent), *rng.choice(([], ["PX", LONG_MS])), *dependencies(world, rng)]


@row("cache.release", "cache.renew")
def with_token(world, rng, words):
    return [*words, world.key(), rng.randint(1, 2**50), *([LONG_MS] if words[0] == "cache.renew" else [])]


@row("cache.invalidate")
def cache_invalidate(world, rng, words):
    names = [world.written() for _ in range(rng.randint(1, 40))]
    return [*words, len(names), *names, *rng.choice(([], ["SOFT"], ["VERSION", 7], ["CASCADE"], ["CASCADE", "SOFT"]))]


@row("cache.purge")
def cache_purge(world, rng, words):
    tags = rng.sample(world.tags, rng.randint(1, 20))
    return [*words, *rng.choice((["TAGS", len(tags), *tags], ["PREFIX", b"missing"])), *rng.choice(([], ["SOFT"]))]


@row("cache.policy", "client", "config", "memory", "object", "command")
def container(world, rng, words):
    return [*words, *([] if words[0] == "command" else ["NOSUCH"])]


@row("cache.policy|del", "cache.policy|show")
def policy_by_name(world, rng, words):
    return [*words, b"p%d" % rng.randint(0, 20)]


@row("cache.policy|match")
def policy_match(world, rng, words):
    return [*words, world.key()]


@row("cache.policy|set")
def policy_set(world, rng, words):
    n = rng.randint(0, 20)
    return [*words, b"p%d" % n, "match", rng.choice((b"p%d:*" % n, b"*%sy%d*" % (b"x" * 50, n), b"n*%sy%d*" % (b"x" * 50, n)))]


@row("cl.throttle")
def throttle(world, rng, words):
    return [*words, rng.choice(world.missing) + b":throttle", 5, 10, 60]


@row("pinfold.advise")
def advise(world, rng, words):
    return [*words, *rng.choice(([], [b"HITRATIO", b"0.9"]))]


# --- the rest ---


@row(
    "cache.policy|list", "cache.policy|help", "client|getname", "client|getredir", "client|trackinginfo", "client|help", "client|id", "client|info", "client|list",
    "command|count", "command|help", "command|list", "config|help", "config|rewrite", "config|resetstat", "memory|doctor", "memory|malloc-stats", "memory|help", "memory|purge",
    "memory|stats", "object|help", "unwatch", "multi", "discard", "exec", "client|unpause", "reset", "quit", "hello", "command|docs", "command|info",
    "pinfold.diagnose",
)  # fmt: skip
def without_arguments(world, rng, words):
    return list(words)


@row("hotkeys")
def hotkeys(world, rng, words):
    return [*words, *rng.choice(([], ["COUNT", rng.randint(1, 100)]))]


@row("info")
def info(world, rng, words):
    return [*words, rng.choice(("everything", "stats", "keyspace", "commandstats", "keys"))]


@row("auth", "client|setname", "client|unblock", "client|kill", "client|pause", "client|reply", "client|setinfo", "client|no-evict", "client|no-touch", "client|traceparent", "client|caching")
def client_settings(world, rng, words):
    return [*words, *{
        "auth": ["wrong"], "setname": ["name"], "unblock": [10**9], "kill": ["ID", 10**9], "pause": [1, "WRITE"], "reply": ["ON"],
        "setinfo": ["LIB-NAME", "budget"], "no-evict": ["OFF"], "no-touch": ["OFF"], "caching": ["YES"],
        "traceparent": ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "STICKY"],
    }[words[-1]]]  # fmt: skip


# Those that track stay on for a while, so that the requests of the others note and tell.
@row("client|tracking")
def tracking(world, rng, words):
    return [*words, *rng.choice((["OFF"], ["ON"], ["ON", "NOLOOP"], ["ON", "OPTIN"], ["ON", "BCAST"], ["ON", "BCAST", "PREFIX", "k", "PREFIX", "m"]))]


@row("command|getkeys", "command|getkeysandflags")
def getkeys(world, rng, words):
    return [*words, "mget", *world.keys()]


@row("config|get")
def config_get(world, rng, words):
    return [*words, rng.choice(("*", "max*", "lock-accounting"))]


@row("config|set")
def config_set(world, rng, words):
    return [*words, "lfu-decay-time", rng.randint(0, 5)]


@row("debug")
def debug(world, rng, words):
    more = ["POPULATE", rng.choice((5, 2000)), "populated", rng.choice((0, 100, 15_000))], ["POPULATE", 2, "populated", 600_000]
    return [*words, *rng.choice((["OBJECT", world.key()], ["SLEEP", 0], ["HELP"], ["PROTOCOL", "map"], ["ERROR", "CODE"], *more))]


@row("shutdown")
def shutdown(world, rng, words):
    return [*words, "ABORT"]  # refused: there is none under way


@row("wait")
def wait(world, rng, words):
    return [*words, 0, 0]


@row("watch")
def watch(world, rng, words):
    return [*words, *world.keys()]


# --- what was slow ---


@row("slowlog", "commandlog", "latency")
def logs_container(world, rng, words):
    return [*words, "NOSUCH"]


@row("slowlog|get", "slowlog|len", "slowlog|reset", "slowlog|help")
def slowlog(world, rng, words):
    return [*words, *{"get": rng.choice(([], [-1]))}.get(words[1], [])]


@row("commandlog|get", "commandlog|len", "commandlog|reset", "commandlog|help")
def commandlog(world, rng, words):
    kind = rng.choice(("slow", "large-request", "large-reply"))
    return [*words, *{"get": [-1, kind], "help": []}.get(words[1], [kind])]


@row("latency|doctor", "latency|graph", "latency|help", "latency|histogram", "latency|history", "latency|latest", "latency|reset")
def latency(world, rng, words):
    event = rng.choice(("command", "fast-command", "lock-wait", "nosuch"))
    return [*words, *{"graph": [event], "histogram": rng.choice(([], ["get", "set"])), "history": [event], "reset": rng.choice(([], [event]))}.get(words[1], [])]


@row("monitor")
def monitor(world, rng, words):
    return [*words, "refused"]  # or the connection would be sent more than its replies


# --- publish/subscribe ---


@row("publish", "spublish")
def publish(world, rng, words):
    return [*words, rng.choice((world.key(), b"channel")), world.content()]


@row("subscribe", "psubscribe", "ssubscribe")
def subscribe(world, rng, words):
    return [*words, world.key()]  # one, because each is answered of its own


@row("unsubscribe", "punsubscribe", "sunsubscribe")
def unsubscribe(world, rng, words):
    return [*words, *rng.choice(([], [world.key()]))]


@row("pubsub")
def pubsub_container(world, rng, words):
    return [*words, "NOSUCH"]


@row("pubsub|channels", "pubsub|help", "pubsub|numpat", "pubsub|numsub", "pubsub|shardchannels", "pubsub|shardnumsub")
def pubsub(world, rng, words):
    if words[1].endswith("channels"):
        return [*words, *rng.choice(([], ["*a*"], ["[a-z]*"]))]
    return [*words, *(world.keys() if words[1].endswith("numsub") else [])]


# --- scripts ---

SCRIPTS = (
    b"return redis.call('GET', KEYS[1])",
    b"local v = redis.call('GET', KEYS[1]) if v then return #v end redis.call('SET', KEYS[1], ARGV[1], 'PX', 1000) return 0",
    b"return redis.pcall('INCR', KEYS[1])",
    b"if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
    b"return {redis.call('DBSIZE'), redis.pcall('EXISTS', 's1', 's2', 's3'), redis.call('SCAN', '0', 'COUNT', '10')}",
)
# Of its own keys, so that what it names is what it does.
SHA_OF_FIRST = b"d3c21d0c2b9ca22f82737626a27bcaf5d288f99f"
LIBRARY = (
    b"#!lua name=budget\nredis.register_function('budget_set', function(k, a) return redis.call('SET', k[1], a[1]) end)\n"
    b"redis.register_function{function_name='budget_get', callback=function(k) return redis.pcall('GET', k[1]) end, flags={'no-writes'}}"
)
# What FUNCTION DUMP says without libraries.
NO_LIBRARIES = b"PFLIB001" + hashlib.sha256(b"PFLIB001").digest()


@row("eval", "eval_ro")
def evaluate(world, rng, words):
    key = world.key() if words[0] == "eval_ro" else rng.choice(world.small)
    return [*words, SCRIPTS[0] if words[0] == "eval_ro" else rng.choice(SCRIPTS), 1, key, world.value()]


@row("evalsha", "evalsha_ro")
def evaluate_by_digest(world, rng, words):
    return [*words, SHA_OF_FIRST, 1, world.key()]


@row("script", "function")
def scripts_container(world, rng, words):
    return [*words, "NOSUCH"]


@row("script|debug", "script|exists", "script|flush", "script|help", "script|kill", "script|load")
def script(world, rng, words):
    return [*words, *{"debug": ["NO"], "exists": [SHA_OF_FIRST, b"x"], "load": [rng.choice(SCRIPTS)]}.get(words[1], [])]


@row("fcall", "fcall_ro")
def call_function(world, rng, words):
    return [*words, "budget_get" if words[0] == "fcall_ro" else "budget_set", 1, rng.choice(world.small), world.value()]


@row("function|delete", "function|dump", "function|flush", "function|help", "function|kill", "function|list", "function|load", "function|restore", "function|stats")
def function(world, rng, words):
    return [*words, *{
        "delete": [rng.choice((b"budget", b"nosuch"))], "load": ["REPLACE", LIBRARY], "restore": [NO_LIBRARIES], "list": ["WITHCODE"],
    }.get(words[1], [])]  # fmt: skip


# --- users ---


@row("acl")
def acl_container(world, rng, words):
    return [*words, "NOSUCH"]


@row("acl|cat", "acl|help", "acl|list", "acl|load", "acl|log", "acl|save", "acl|users", "acl|whoami", "acl|genpass")
def acl_plain(world, rng, words):
    return [*words, *{"cat": rng.choice(([], ["read"])), "log": rng.choice(([], [1000], ["RESET"])), "genpass": [4096]}.get(words[1], [])]


@row("acl|setuser")
def acl_setuser(world, rng, words):
    patterns = [b"~" + rng.choice((b"*", b"")) + b"%d*x*" % rng.randint(0, 999) for _ in range(rng.randint(0, 300))]
    return [*words, b"u%d" % rng.randint(0, 20), "reset", *patterns, rng.choice(("+@all", "-@all", "(+get ~*a*b*)"))]


@row("acl|deluser", "acl|getuser")
def acl_by_name(world, rng, words):
    return [*words, b"u%d" % rng.randint(0, 20)]


@row("acl|dryrun")
def acl_dryrun(world, rng, words):
    return [*words, rng.choice((b"default", b"u%d" % rng.randint(0, 20))), "mget", *world.keys()]


# --- hashes ---


@row("hget", "hexists", "hstrlen")
def hash_field(world, rng, words):
    return [*words, world.collection("hash"), world.element()]


@row("hgetall", "hkeys", "hvals", "hlen")
def whole_hash(world, rng, words):
    return [*words, world.collection("hash")]


@row("hset", "hmset", "hsetnx", "hincrby", "hincrbyfloat")
def hash_writes(world, rng, words):
    key = world.collection("hash") if rng.random() < 0.8 else rng.choice(world.missing) + b":hash"
    if words[0].startswith("hincr"):
        return [*words, key, b"number%d" % rng.randint(0, 99), rng.randint(-9, 9)]
    pairs = [part for name in world.elements() for part in (name, world.value(0, rng.choice((20, 3000))))]
    return [*words, key, *(pairs[:2] if words[0] == "hsetnx" else pairs)]


@row("hmget", "hdel")
def hash_fields(world, rng, words):
    return [*words, world.collection("hash"), *world.elements()]


@row("hgetdel")
def hgetdel(world, rng, words):
    names = world.elements()
    return [*words, world.collection("hash"), "FIELDS", len(names), *names]


@row("hrandfield", "zrandmember", "srandmember")
def random_elements(world, rng, words):
    kinds = {"h": ("hash",), "z": ("zset",), "s": ("set", "numbers")}[words[0][0]]
    count = rng.choice(([], [1], [-5], [100], [-1000], [5000], [100_000]))
    more = {"h": ["WITHVALUES"], "z": ["WITHSCORES"], "s": []}[words[0][0]] if count and rng.random() < 0.5 else []
    return [*words, world.collection(*kinds), *count, *more]


@row("hscan", "sscan", "zscan")
def scan_elements(world, rng, words):
    kinds = {"h": ("hash",), "z": ("zset",), "s": ("set", "numbers")}[words[0][0]]
    return [*words, world.collection(*kinds), 0, *rng.choice(([], ["MATCH", b"*e*1*"], ["COUNT", 1000], ["MATCH", b"none*", "COUNT", 100_000]))]


# --- lists ---


@row("lpush", "rpush", "lpushx", "rpushx")
def pushes(world, rng, words):
    return [*words, world.collection("list"), *world.elements()]


@row("lpop", "rpop")
def pops(world, rng, words):
    return [*words, world.collection("list"), *rng.choice(([], [1], [100], [20_000]))]


@row("llen")
def llen(world, rng, words):
    return [*words, world.collection("list")]


@row("lindex", "lset")
def by_index(world, rng, words):
    at = rng.choice((0, -1, 50, 1500, 30_000))
    return [*words, world.collection("list"), at, *([world.value(0, rng.choice((20, 3000)))] if words[0] == "lset" else [])]


@row("lrange", "ltrim")
def list_ranges(world, rng, words):
    return [*words, world.collection("list"), *rng.choice(((0, -1), (10, 20), (1000, -1000), (-100, -1), (5, 50_000)))]


@row("lrem")
def lrem(world, rng, words):
    return [*words, world.collection("list"), rng.choice((0, 1, -1)), world.element()]


@row("linsert")
def linsert(world, rng, words):
    return [*words, world.collection("list"), rng.choice(("BEFORE", "AFTER")), world.element(), world.value()]


@row("lpos")
def lpos(world, rng, words):
    return [*words, world.collection("list"), world.element(), *rng.choice(([], ["RANK", -1], ["COUNT", 0], ["COUNT", 0, "MAXLEN", 5000]))]


@row("lmove", "rpoplpush", "blmove", "brpoplpush")
def list_moves(world, rng, words):
    sides = [rng.choice(("LEFT", "RIGHT")) for _ in range(2)] if words[0].endswith("move") else []
    return [*words, world.collection("list"), world.collection("list"), *sides, *([0.001] if words[0][0] == "b" else [])]


@row("blpop", "brpop", "bzpopmin", "bzpopmax")
def blocking_pops(world, rng, words):
    kind = "zset" if words[0][1] == "z" else "list"
    return [*words, *(world.collection(kind) for _ in range(rng.randint(1, 8))), 0.001]


@row("lmpop", "blmpop", "zmpop", "bzmpop")
def pops_of_several(world, rng, words):
    kind, ends = ("zset", ("MIN", "MAX")) if "z" in words[0] else ("list", ("LEFT", "RIGHT"))
    names = [world.collection(kind) for _ in range(rng.randint(1, 8))]
    wait = [0.001] if words[0][0] == "b" else []
    return [*words, *wait, len(names), *names, rng.choice(ends), *rng.choice(([], ["COUNT", 10], ["COUNT", 20_000]))]


# --- sets ---


@row("sadd", "srem", "smismember")
def set_members(world, rng, words):
    kind = rng.choice(("set", "numbers"))
    members = [rng.randint(-(2**40), 2**40) for _ in range(50)] if kind == "numbers" and rng.random() < 0.8 else world.elements()
    return [*words, world.collection(kind), *members]


@row("sismember")
def sismember(world, rng, words):
    return [*words, world.collection("set", "numbers"), world.element()]


@row("scard", "smembers")
def whole_set(world, rng, words):
    return [*words, world.collection("set", "numbers")]


@row("spop")
def spop(world, rng, words):
    return [*words, world.collection("set", "numbers"), *rng.choice(([], [1], [100], [20_000]))]


@row("smove")
def smove(world, rng, words):
    return [*words, world.collection("set"), world.collection("set", "numbers"), world.element()]


@row("sinter", "sunion", "sdiff")
def set_algebra(world, rng, words):
    return [*words, *(world.collection("set", "numbers") for _ in range(rng.randint(1, 5)))]


@row("sinterstore", "sunionstore", "sdiffstore")
def stored_set_algebra(world, rng, words):
    return [*words, rng.choice((b"set:0", b"set:result")), *(world.collection("set", "numbers") for _ in range(rng.randint(1, 5)))]


@row("sintercard", "zintercard")
def counted_algebra(world, rng, words):
    names = [world.collection(*(("zset", "set") if words[0][0] == "z" else ("set", "numbers"))) for _ in range(rng.randint(1, 5))]
    return [*words, len(names), *names, *rng.choice(([], ["LIMIT", 10]))]


# --- sorted sets ---


@row("zadd")
def zadd(world, rng, words):
    options = rng.choice(([], [], ["CH"], ["GT"], ["NX"]))
    return [*words, world.collection("zset"), *options, *(part for name in world.elements() for part in (rng.randint(-5, 2000), name))]


@row("zincrby")
def zincrby(world, rng, words):
    return [*words, world.collection("zset"), rng.choice((1, -3, 0.5, 10**6)), world.element()]


@row("zrem", "zmscore")
def sorted_members(world, rng, words):
    return [*words, world.collection("zset"), *world.elements()]


@row("zscore", "zrank", "zrevrank")
def sorted_member(world, rng, words):
    return [*words, world.collection("zset"), world.element()]


@row("zcard")
def zcard(world, rng, words):
    return [*words, world.collection("zset")]


@row("zpopmin", "zpopmax")
def sorted_pops(world, rng, words):
    return [*words, world.collection("zset"), *rng.choice(([], [1], [100], [20_000]))]


RANKS = ((0, -1), (10, 20), (1000, -1000), (-100, -1))
SCORES = (("-inf", "+inf"), (5, 6), ("(10", 900), (500, 500))
NAMES = (("-", "+"), ("[e1", "(e2"), ("[e5", "+"))


@row("zrange", "zrangestore")
def sorted_ranges(world, rng, words):
    store = [rng.choice((b"zset:0", b"zset:result"))] if words[0] == "zrangestore" else []
    (first, last), how = rng.choice(((rng.choice(RANKS), []), (rng.choice(SCORES), ["BYSCORE"]), (rng.choice(NAMES), ["BYLEX"])))
    reverse = rng.random() < 0.3
    limit = ["LIMIT", rng.choice((0, 30_000)), 100] if how and rng.random() < 0.3 else []
    scores = ["WITHSCORES"] if not store and how != ["BYLEX"] and rng.random() < 0.5 else []
    return [*words, *store, world.collection("zset"), *((last, first) if reverse and how else (first, last)), *how, *(["REV"] if reverse else []), *limit, *scores]


@row("zrevrange", "zremrangebyrank")
def by_rank(world, rng, words):
    return [*words, world.collection("zset"), *rng.choice(RANKS)]


@row("zrangebyscore", "zremrangebyscore", "zcount")
def by_score(world, rng, words):
    return [*words, world.collection("zset"), *rng.choice(SCORES)]


@row("zrevrangebyscore")
def by_score_reversed(world, rng, words):
    return [*words, world.collection("zset"), *rng.choice(SCORES)[::-1]]


@row("zrangebylex", "zremrangebylex", "zlexcount")
def by_name(world, rng, words):
    return [*words, world.collection("zset"), *rng.choice(NAMES)]


@row("zrevrangebylex")
def by_name_reversed(world, rng, words):
    return [*words, world.collection("zset"), *rng.choice(NAMES)[::-1]]


@row("zunion", "zinter", "zdiff", "zunionstore", "zinterstore", "zdiffstore")
def sorted_algebra(world, rng, words):
    names = [world.collection("zset", "set", "numbers") for _ in range(rng.choice((1, 2, 3, 4, 50)))]
    store = [rng.choice((b"zset:0", b"zset:result"))] if words[0].endswith("store") else []
    weights = ["WEIGHTS", *(2 for _ in names), "AGGREGATE", "MAX"] if "diff" not in words[0] and rng.random() < 0.3 else []
    return [*words, *store, len(names), *names, *weights]


# --- places ---


@row("geoadd")
def geoadd(world, rng, words):
    return [*words, rng.choice((b"places", b"places:new")), *(part for name in world.elements() for part in (rng.uniform(-180, 180), rng.uniform(-85, 85), name))]


@row("geodist")
def geodist(world, rng, words):
    return [*words, b"places", world.element(), world.element()]


@row("geohash", "geopos")
def geo_members(world, rng, words):
    return [*words, b"places", *world.elements()]


def ordered(rng):
    return rng.choice(([], ["ASC"], ["COUNT", 10], ["COUNT", 10, "ANY"]))


@row("geosearch", "geosearchstore")
def geosearch(world, rng, words):
    store = [b"places:result"] if words[0] == "geosearchstore" else []
    centre = rng.choice((["FROMMEMBER", b"e1"], ["FROMLONLAT", 10, 20]))
    return [*words, *store, b"places", *centre, *rng.choice((["BYRADIUS", 3000, "KM"], ["BYBOX", 20_000, 20_000, "KM"])), *ordered(rng)]


@row("georadius", "georadius_ro", "georadiusbymember", "georadiusbymember_ro")
def georadius(world, rng, words):
    centre = [b"e1"] if "member" in words[0] else [10, 20]
    store = ["STORE", b"places:result"] if not words[0].endswith("_ro") and rng.random() < 0.3 else []
    return [*words, b"places", *centre, rng.choice((100, 20_000)), "km", *ordered(rng), *store]


# --- HyperLogLogs ---


def visitors(rng):
    return b"visitors:%d" % rng.randint(0, 3)


@row("pfadd")
def pfadd(world, rng, words):
    return [*words, visitors(rng), *world.elements(rng.choice((3, 60, 1000)))]


@row("pfcount", "pfmerge")
def pfcount(world, rng, words):
    return [*words, *(visitors(rng) for _ in range(rng.randint(1, 40)))]


@row("pfdebug")
def pfdebug(world, rng, words):
    return [*words, rng.choice(("ENCODING", "GETREG", "TODENSE")), visitors(rng)]


# --- of several types ---


@row("sort", "sort_ro")
def sort(world, rng, words):
    options = rng.choice(([], ["ALPHA"], ["ALPHA", "DESC", "LIMIT", 0, 100], ["BY", "nosort"], ["ALPHA", "GET", "#", "GET", b"s*"], ["BY", b"s*", "ALPHA"]))
    store = ["STORE", b"list:0"] if words[0] == "sort" and rng.random() < 0.3 else []
    return [*words, world.collection(), *options, *store]
