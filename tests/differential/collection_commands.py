"""Random requests of the commands on hashes, lists, sets, sorted sets, HyperLogLogs and places, for the differential checker.

Each type has keys of its own, which its commands use most of the time, so that collections get large enough to pass thresholds, and small
again. The other keys have values of any type.
"""

from .generator import INTEGERS, ODD_NUMBERS, POOLS, command

# Fields, members and elements. Those of numbers make sets of integers, and the long ones pass the thresholds of bytes.
WORDS = [b"m%d" % i for i in range(16)]
LONG = [b"y" * size for size in (63, 64, 65, 66, 200)]
SCORES = [b"0", b"1", b"-1", b"2", b"2.5", b"-2.5", b"0.1", b"3", b"10", b"1e3", b"1e300", b"-1e300", b"inf", b"-inf", b"+inf", b"-0", b"17179869184", b"0.30000000000000004"]
PLACES = [(b"13.361389", b"38.115556"), (b"15.087269", b"37.502669"), (b"-122.4", b"37.77"), (b"0", b"0"), (b"2.35", b"48.85"), (b"179.9", b"-80"), (b"-179.9", b"80"), (b"2.36", b"48.86")]
SIZES = (20, 130, 200, 520, 600)  # beyond the thresholds, for commands that fill
# What a blocking command may wait: nobody comes while it does.
TIMEOUTS = (b"0.01", b"0.001", b"0.01", b"-1", b"abc", b"", b"nan", b"1 ", b"0x", b"-0.01")


def member(g):
    roll = g.rng.random()
    if roll < 0.5:
        return g.pick(WORDS)
    if roll < 0.75:
        return b"%d" % g.rng.randint(-5, 40)
    if roll < 0.82:
        return b"%d" % g.pick(INTEGERS)
    if roll < 0.9:
        return g.pick(LONG)
    if roll < 0.95:
        return g.pick(ODD_NUMBERS)
    return g.value()[:700]


def members(g, most=5):
    """Some, or as many as pass a threshold."""
    if g.chance(0.03):
        form = g.pick((b"%d", b"%d", b"m%d", b"member-%d"))
        return [form % i for i in range(g.pick(SIZES))]
    return [member(g) for _ in range(g.rng.randint(1, most))]


def score(g):
    return g.pick(SCORES) if g.chance(0.7) else b"%d" % g.rng.randint(-20, 20) if g.chance(0.8) else g.pick(ODD_NUMBERS)


def count(g):
    """How many: of commands that repeat elements for a negative one, so it is never far below zero."""
    return b"%d" % g.pick((0, 1, 2, 3, 5, 10, 100, 1000, -1, -2, -5, -20)) if g.chance(0.93) else g.pick(ODD_NUMBERS)


def one_key(pool):
    return lambda g: [g.of(pool)]


def key_and_member(pool):
    return lambda g: [g.of(pool), member(g)]


def key_and_members(pool):
    return lambda g: [g.of(pool), *members(g)]


def scan(pool):
    def arguments(g):
        args = [g.of(pool), b"0" if g.chance(0.9) else g.integer()]
        for _ in range(g.rng.choice((0, 0, 1, 2))):
            args += g.pick(([b"MATCH", g.pick((b"*", b"m*", b"m1?", b"[0-9]*", b"nosuch"))], [b"COUNT", g.pick((b"1", b"10", b"1000", b"0", b"-1", b"x"))], [b"count", b"100000"], [b"BOGUS"], [b"MATCH"]))
        return args

    return arguments


def key_list(g, pool, most=3):
    return [g.of(pool) for _ in range(g.rng.randint(1, most))]


def counted_keys(g, pool, most=3):
    names = key_list(g, pool, most)
    number = b"%d" % len(names) if g.chance(0.93) else g.pick((b"0", b"-1", b"x", b"100", b"%d" % (len(names) + 1)))
    return [number, *names]


def limit(g):
    return [b"LIMIT", g.pick((b"0", b"1", b"2", b"100", b"-1", b"x"))] if g.chance(0.4) else []


# --- hashes ---


def pairs(g):
    if g.chance(0.03):
        return [part for i in range(g.pick(SIZES)) for part in (b"f%d" % i, b"v%d" % i)]
    found = [part for _ in range(g.rng.randint(1, 4)) for part in (member(g), member(g))]
    return found[:-1] if g.chance(0.04) else found


command(b"HSET", 8)(lambda g: [g.of("hash"), *pairs(g)])
command(b"HMSET", 2)(lambda g: [g.of("hash"), *pairs(g)])
command(b"HSETNX", 2)(lambda g: [g.of("hash"), member(g), member(g)])
command(b"HGET", 3)(key_and_member("hash"))
command(b"HMGET", 2)(key_and_members("hash"))
command(b"HDEL", 3)(key_and_members("hash"))
command(b"HEXISTS", 2)(key_and_member("hash"))
command(b"HSTRLEN", 2)(key_and_member("hash"))
for _name in (b"HGETALL", b"HKEYS", b"HVALS", b"HLEN"):
    command(_name, 2)(one_key("hash"))
command(b"HINCRBY", 3)(lambda g: [g.of("hash"), member(g), g.integer()])
command(b"HINCRBYFLOAT", 3)(lambda g: [g.of("hash"), member(g), g.number()])
command(b"HSCAN", 2)(scan("hash"))


@command(b"HRANDFIELD", 2)
def _(g):
    return [g.of("hash"), *([] if g.chance(0.3) else [count(g), *g.pick(([], [], [b"WITHVALUES"], [b"BOGUS"]))])]


# --- lists ---


command(b"LPUSH", 5)(key_and_members("list"))
command(b"RPUSH", 5)(key_and_members("list"))
command(b"LPUSHX", 1)(key_and_members("list"))
command(b"RPUSHX", 1)(key_and_members("list"))
command(b"LLEN", 2)(one_key("list"))
command(b"LRANGE", 4)(lambda g: [g.of("list"), g.integer(), g.integer()])
command(b"LINDEX", 3)(lambda g: [g.of("list"), g.integer()])
command(b"LSET", 3)(lambda g: [g.of("list"), g.integer(), member(g)])
command(b"LREM", 3)(lambda g: [g.of("list"), g.integer(), member(g)])
command(b"LTRIM", 2)(lambda g: [g.of("list"), g.integer() if g.chance(0.5) else b"0", g.integer() if g.chance(0.5) else b"-1"])
command(b"LINSERT", 3)(lambda g: [g.of("list"), g.case(g.pick((b"BEFORE", b"AFTER", b"AFTER", b"BEFORE", b"BESIDE"))), member(g), member(g)])
command(b"RPOPLPUSH", 2)(lambda g: [g.of("list"), g.of("list")])


def sides(g):
    return [g.case(g.pick((b"LEFT", b"RIGHT", b"LEFT", b"RIGHT", b"LEFT", b"RIGHT", b"UP"))) for _ in range(2)]


command(b"LMOVE", 2)(lambda g: [g.of("list"), g.of("list"), *sides(g)])
command(b"BLMOVE", 0.6, mutate=False)(lambda g: [g.of("list"), g.of("list"), *sides(g), g.pick(TIMEOUTS)])
command(b"BRPOPLPUSH", 0.6, mutate=False)(lambda g: [g.of("list"), g.of("list"), g.pick(TIMEOUTS)])
command(b"BLPOP", 0.8, mutate=False)(lambda g: [*key_list(g, "list"), g.pick(TIMEOUTS)])
command(b"BRPOP", 0.8, mutate=False)(lambda g: [*key_list(g, "list"), g.pick(TIMEOUTS)])


def pop(pool):
    return lambda g: [g.of(pool), *([] if g.chance(0.6) else [g.pick((b"0", b"1", b"2", b"5", b"100", b"-1", b"x", b"1.5"))])]


command(b"LPOP", 3)(pop("list"))
command(b"RPOP", 3)(pop("list"))


def several_pops(pool, ends):
    def arguments(g):
        end = g.case(g.pick((*ends, *ends, b"MIDDLE" if g.chance(0.2) else ends[0])))
        return [*counted_keys(g, pool), end, *([b"COUNT", g.pick((b"1", b"2", b"10", b"0", b"-1", b"x"))] if g.chance(0.5) else [])]

    return arguments


command(b"LMPOP", 2)(several_pops("list", (b"LEFT", b"RIGHT")))
command(b"BLMPOP", 0.6, mutate=False)(lambda g: [g.pick(TIMEOUTS), *several_pops("list", (b"LEFT", b"RIGHT"))(g)])


@command(b"LPOS", 3)
def _(g):
    args = [g.of("list"), member(g)]
    for word in (b"RANK", b"COUNT", b"MAXLEN"):
        if g.chance(0.4):
            args += [g.case(word), g.pick((b"0", b"1", b"2", b"-1", b"-2", b"100", b"x"))]
    return args


# --- sets ---


command(b"SADD", 8)(key_and_members("set"))
command(b"SREM", 3)(key_and_members("set"))
command(b"SISMEMBER", 2)(key_and_member("set"))
command(b"SMISMEMBER", 2)(key_and_members("set"))
command(b"SCARD", 2)(one_key("set"))
command(b"SMEMBERS", 2)(one_key("set"))
command(b"SMOVE", 2)(lambda g: [g.of("set"), g.of("set"), member(g)])
command(b"SSCAN", 2)(scan("set"))
command(b"SRANDMEMBER", 2)(lambda g: [g.of("set"), *([] if g.chance(0.3) else [count(g)])])
# Which members it takes is random, unless it takes all of them: the step `spop` of the runner has the rest.
command(b"SPOP", 0.5, mutate=False)(lambda g: [g.of("set"), g.pick((b"100000", b"0", b"-1", b"x", b"1000000"))])
for _name in (b"SINTER", b"SUNION", b"SDIFF"):
    command(_name, 2)(lambda g: key_list(g, "set"))
    command(_name + b"STORE", 2)(lambda g: [g.of("set"), *key_list(g, "set")])
command(b"SINTERCARD", 2)(lambda g: [*counted_keys(g, "set"), *limit(g)])


# --- sorted sets ---


@command(b"ZADD", 9)
def _(g):
    if g.chance(0.2):
        return [lex_key(g), *(part for name in members(g) for part in (b"0", name[:80]))]
    args = [g.of("zset")]
    for _ in range(g.rng.choice((0, 0, 0, 1, 1, 2))):
        args.append(g.case(g.pick((b"NX", b"XX", b"GT", b"LT", b"CH", b"CH", b"INCR"))))
    if g.chance(0.03):
        form = g.pick((b"%d", b"member-%d"))
        return [*args, *(part for i in range(g.pick(SIZES)) for part in (b"%d" % (i % 50), form % i))]
    found = [part for _ in range(1 if b"INCR" in args and g.chance(0.9) else g.rng.randint(1, 4)) for part in (score(g), member(g))]
    return [*args, *(found[:-1] if g.chance(0.04) else found)]


command(b"ZINCRBY", 3)(lambda g: [g.of("zset"), score(g), member(g)])
command(b"ZREM", 3)(key_and_members("zset"))
command(b"ZCARD", 2)(one_key("zset"))
command(b"ZSCORE", 2)(key_and_member("zset"))
command(b"ZMSCORE", 2)(key_and_members("zset"))
command(b"ZRANK", 2)(key_and_member("zset"))
command(b"ZREVRANK", 2)(key_and_member("zset"))
command(b"ZSCAN", 2)(scan("zset"))
command(b"ZPOPMIN", 1.5)(pop("zset"))
command(b"ZPOPMAX", 1.5)(pop("zset"))
command(b"ZMPOP", 1.5)(several_pops("zset", (b"MIN", b"MAX")))
command(b"BZPOPMIN", 0.6, mutate=False)(lambda g: [*key_list(g, "zset"), g.pick(TIMEOUTS)])
command(b"BZPOPMAX", 0.6, mutate=False)(lambda g: [*key_list(g, "zset"), g.pick(TIMEOUTS)])
command(b"BZMPOP", 0.6, mutate=False)(lambda g: [g.pick(TIMEOUTS), *several_pops("zset", (b"MIN", b"MAX"))(g)])


@command(b"ZRANDMEMBER", 1.5)
def _(g):
    return [g.of("zset"), *([] if g.chance(0.3) else [count(g), *g.pick(([], [], [b"WITHSCORES"], [b"BOGUS"]))])]


def by_score(g):
    bound = g.pick((b"", b"", b"(")) + (score(g) if g.chance(0.85) else g.pick((b"-inf", b"+inf", b"x", b"")))
    return bound


def by_lex(g):
    return g.pick((b"-", b"+", b"[", b"(", b"[m", b"(m", b"x")) if g.chance(0.4) else g.pick((b"[", b"(")) + member(g)[:80]


def in_order(g, pair, least, most):
    """Both ends, mostly so that there is something between them."""
    return [least, most] if g.chance(0.35) else [pair(g), pair(g)]


def score_range(g, reverse=False):
    found = in_order(g, by_score, b"-inf", b"+inf")
    return found[::-1] if reverse else found


def lex_range(g, reverse=False):
    found = in_order(g, by_lex, b"-", b"+")
    return found[::-1] if reverse else found


def rank_range(g):
    return [b"0", b"-1"] if g.chance(0.35) else [g.integer(), g.integer()]


def part_of(g):
    return [g.case(b"LIMIT"), g.pick((b"0", b"1", b"2", b"-1", b"x")), g.pick((b"0", b"1", b"5", b"-1", b"100"))] if g.chance(0.3) else []


def with_scores(g):
    return [g.case(b"WITHSCORES")] if g.chance(0.5) else []


def lex_key(g):
    """Only here all scores are equal. What BYLEX answers otherwise depends on how a sorted set lies in memory."""
    return g.pick(POOLS["lex"])


command(b"ZCOUNT", 2)(lambda g: [g.of("zset"), *score_range(g)])
command(b"ZLEXCOUNT", 2)(lambda g: [lex_key(g), *lex_range(g)])
command(b"ZREVRANGE", 2)(lambda g: [g.of("zset"), *rank_range(g), *with_scores(g)])
command(b"ZRANGEBYSCORE", 2)(lambda g: [g.of("zset"), *score_range(g), *with_scores(g), *part_of(g)])
command(b"ZREVRANGEBYSCORE", 2)(lambda g: [g.of("zset"), *score_range(g, True), *with_scores(g), *part_of(g)])
command(b"ZRANGEBYLEX", 2)(lambda g: [lex_key(g), *lex_range(g), *part_of(g)])
command(b"ZREVRANGEBYLEX", 2)(lambda g: [lex_key(g), *lex_range(g, True), *part_of(g)])
command(b"ZREMRANGEBYRANK", 1)(lambda g: [g.of("zset"), g.integer(), g.integer()])
command(b"ZREMRANGEBYSCORE", 1)(lambda g: [g.of("zset"), by_score(g), by_score(g)])
command(b"ZREMRANGEBYLEX", 1)(lambda g: [lex_key(g), by_lex(g), by_lex(g)])


def any_range(g):
    """The key, and the range."""
    reverse = g.chance(0.3)
    kind = g.rng.randrange(3)
    ends = (rank_range(g), score_range(g, reverse), lex_range(g, reverse))[kind]
    words = ([], [g.case(b"BYSCORE")], [g.case(b"BYLEX")])[kind] + ([g.case(b"REV")] if reverse else []) + (part_of(g) if kind or g.chance(0.1) else [])
    return [lex_key(g) if kind == 2 else g.of("zset"), *ends, *words]


command(b"ZRANGE", 6)(lambda g: [*any_range(g), *with_scores(g)])
command(b"ZRANGESTORE", 2)(lambda g: [g.of("zset"), *any_range(g)])


def aggregated(g, names):
    args = []
    if g.chance(0.3):
        args += [g.case(b"WEIGHTS"), *(score(g) for _ in range(names if g.chance(0.93) else names + 1))]
    if g.chance(0.3):
        args += [g.case(b"AGGREGATE"), g.case(g.pick((b"SUM", b"MIN", b"MAX", b"MEAN")))]
    return args


def sources(g):
    """Sorted sets, and sets, whose members have the score 1."""
    names = [g.of("zset" if g.chance(0.8) else "set") for _ in range(g.rng.randint(1, 3))]
    return [b"%d" % len(names) if g.chance(0.93) else g.pick((b"0", b"-1", b"x", b"100")), *names], len(names)


def combined(store, weighs, scores):
    def arguments(g):
        named, names = sources(g)
        return [*([g.of("zset")] if store else []), *named, *(aggregated(g, names) if weighs else []), *(with_scores(g) if scores else [])]

    return arguments


for _name in (b"ZUNION", b"ZINTER", b"ZDIFF"):
    command(_name, 2)(combined(False, _name != b"ZDIFF", True))
    command(_name + b"STORE", 2)(combined(True, _name != b"ZDIFF", False))
command(b"ZINTERCARD", 2)(lambda g: [*sources(g)[0], *limit(g)])


# --- places ---


def place(g):
    longitude, latitude = g.pick(PLACES)
    if g.chance(0.1):
        longitude = g.pick((b"181", b"-181", b"x", b"", b"180", b"-180"))
    if g.chance(0.1):
        latitude = g.pick((b"86", b"-86", b"x", b"85.05112878"))
    return [longitude, latitude]


def centre(g):
    """Of a search. At the northmost latitude and the eastmost longitude Redis looks for places somewhere else."""
    return [b"85" if part == b"85.05112878" else b"179.5" if part == b"180" else part for part in place(g)]


def unit(g):
    return g.case(g.pick((b"M", b"KM", b"FT", b"MI", b"KM", b"LY")))


def radius(g):
    return g.pick((b"1", b"100", b"200", b"1000", b"30000", b"0", b"-1", b"x", b"1e10"))


def named_place(g):
    """Those from which a search would go wrong (see centre) have a name that no search begins with."""
    where = place(g)
    return [*where, b"edge" if b"180" in where or b"85.05112878" in where else g.pick(WORDS)]


@command(b"GEOADD", 3)
def _(g):
    args = [g.of("geo"), *g.pick(([], [], [], [b"NX"], [b"XX"], [b"CH"], [b"NX", b"XX"]))]
    return [*args, *(part for _ in range(g.rng.randint(1, 3)) for part in named_place(g))]


command(b"GEODIST", 1.5)(lambda g: [g.of("geo"), g.pick(WORDS), g.pick(WORDS), *([unit(g)] if g.chance(0.7) else [])])
command(b"GEOHASH", 1)(lambda g: [g.of("geo"), *(g.pick(WORDS) for _ in range(g.rng.randint(0, 3)))])
command(b"GEOPOS", 1)(lambda g: [g.of("geo"), *(g.pick(WORDS) for _ in range(g.rng.randint(0, 3)))])


def in_sorted_order(g):
    """COUNT without an order takes the nearest as well; of those that are as far as each other it may take any."""
    return [g.case(g.pick((b"ASC", b"DESC")))] + ([b"COUNT", g.pick((b"1", b"2", b"10", b"0", b"-1", b"x"))] if g.chance(0.4) else []) if g.chance(0.7) else []


def shown(g):
    return [g.case(word) for word in (b"WITHCOORD", b"WITHDIST", b"WITHHASH") if g.chance(0.3)]


def search(g):
    args = [b"FROMMEMBER", g.pick(WORDS)] if g.chance(0.4) else [b"FROMLONLAT", *centre(g)]
    args += [b"BYRADIUS", radius(g), unit(g)] if g.chance(0.6) else [b"BYBOX", radius(g), radius(g), unit(g)]
    return args + in_sorted_order(g)


command(b"GEOSEARCH", 3)(lambda g: [g.of("geo"), *search(g), *shown(g)])
command(b"GEOSEARCHSTORE", 1.5)(lambda g: [g.of("geo"), g.of("geo"), *search(g), *g.pick(([], [b"STOREDIST"]))])
command(b"GEORADIUS", 1)(lambda g: [g.of("geo"), *centre(g), radius(g), unit(g), *in_sorted_order(g), *(shown(g) if g.chance(0.7) else [g.pick((b"STORE", b"STOREDIST")), g.of("geo")])])
command(b"GEORADIUS_RO", 1)(lambda g: [g.of("geo"), *centre(g), radius(g), unit(g), *in_sorted_order(g), *shown(g)])
command(b"GEORADIUSBYMEMBER", 1)(lambda g: [g.of("geo"), g.pick(WORDS), radius(g), unit(g), *in_sorted_order(g), *shown(g)])
command(b"GEORADIUSBYMEMBER_RO", 1)(lambda g: [g.of("geo"), g.pick(WORDS), radius(g), unit(g), *in_sorted_order(g), *shown(g)])


# --- HyperLogLogs ---


command(b"PFADD", 3)(lambda g: [g.of("pf"), *(members(g) if g.chance(0.9) else [])])
command(b"PFCOUNT", 2)(lambda g: [g.of("pf") for _ in range(g.rng.randint(1, 3))])
command(b"PFMERGE", 1, mutate=False)(lambda g: [g.pick(POOLS["pf"]), *(g.of("pf") for _ in range(g.rng.randint(0, 3)))])


# --- of several types ---


def sort(g, store):
    args = [g.of(g.pick(("list", "list", "set", "zset")))]
    if g.chance(0.3):
        args += [g.case(b"BY"), g.pick((b"k*", b"h0->*", b"nosuch*", b"user:*", b"*"))]
    if g.chance(0.3):
        args += [b"LIMIT", g.pick((b"0", b"1", b"-1", b"x")), g.pick((b"1", b"5", b"-1", b"100"))]
    for _ in range(g.rng.choice((0, 0, 1, 2))):
        args += [g.case(b"GET"), g.pick((b"#", b"k*", b"h0->*", b"*->m1", b"nosuch"))]
    args += [g.case(g.pick((b"ASC", b"DESC")))] if g.chance(0.4) else []
    args += [g.case(b"ALPHA")] if g.chance(0.7) else []
    return args + ([b"STORE", g.of("list")] if store and g.chance(0.3) else [])


command(b"SORT", 2)(lambda g: sort(g, True))
command(b"SORT_RO", 1)(lambda g: sort(g, False))

# The smaller of two values each, so that collections pass the thresholds with few elements. The settings that Redis 7.0 has.
SMALL_THRESHOLDS = (
    (b"hash-max-listpack-entries", b"4"), (b"hash-max-listpack-value", b"10"), (b"list-max-listpack-size", b"3"), (b"set-max-intset-entries", b"5"),
    (b"zset-max-listpack-entries", b"4"), (b"zset-max-listpack-value", b"10"), (b"hll-sparse-max-bytes", b"40"),
)  # fmt: skip
THRESHOLDS = (
    (b"hash-max-listpack-entries", b"128"), (b"hash-max-listpack-value", b"64"), (b"list-max-listpack-size", b"-2"), (b"set-max-intset-entries", b"512"),
    (b"zset-max-listpack-entries", b"128"), (b"zset-max-listpack-value", b"64"), (b"hll-sparse-max-bytes", b"3000"),
)  # fmt: skip
