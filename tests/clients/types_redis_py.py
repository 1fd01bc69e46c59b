"""A program for each type on redis-py: types_redis_py.py <port> <protocol>"""

import sys
import threading
import time

import redis

PORT = int(sys.argv[1])


def connect(**more):
    return redis.Redis(port=PORT, decode_responses=True, **more)


client = connect()


def hashes():
    assert client.hset("h", mapping={"name": "Ada", "visits": 1, "note": ""}) == 3 and client.hset("h", "name", "Ada L.") == 0
    assert client.hget("h", "name") == "Ada L." and client.hget("h", "none") is None and client.hmget("h", "visits", "none", "note") == ["1", None, ""]
    assert client.hincrby("h", "visits", 41) == 42 and client.hincrbyfloat("h", "part", 0.5) == 0.5 and not client.hsetnx("h", "name", "x")
    assert client.hgetall("h") == {"name": "Ada L.", "visits": "42", "note": "", "part": "0.5"} and client.hlen("h") == 4
    assert client.hkeys("h") == ["name", "visits", "note", "part"] and client.hvals("h") == ["Ada L.", "42", "", "0.5"]
    assert client.hexists("h", "note") and client.hstrlen("h", "name") == 6 and client.hdel("h", "note", "none") == 1
    assert client.hrandfield("h", 10) == ["name", "visits", "part"] and len(client.hrandfield("h", -10, withvalues=True)) == 20
    client.hset("large", mapping={f"field:{n}": n for n in range(5000)})
    assert dict(client.hscan_iter("large", count=100)) == {f"field:{n}": str(n) for n in range(5000)} == client.hgetall("large")
    assert len(dict(client.hscan_iter("large", match="field:1?"))) == 10
    assert client.hdel("large", *(f"field:{n}" for n in range(5000))) == 5000 and not client.exists("large")


def lists():
    assert client.rpush("l", *range(10)) == 10 and client.lpush("l", "first") == 11 and client.lpushx("none", 1) == 0
    assert client.lrange("l", 0, 2) == ["first", "0", "1"] and client.lindex("l", -1) == "9" and client.llen("l") == 11
    assert client.linsert("l", "before", "5", "4.5") == 12 and client.lset("l", 0, "1st") and client.lrem("l", 1, "9") == 1
    assert client.lpos("l", "4.5") == 6 and client.lpos("l", "none") is None and client.lpos("l", "1", count=0) == [2]
    assert client.lpop("l") == "1st" and client.rpop("l", 2) == ["8", "7"] and client.ltrim("l", 0, 4) and client.lrange("l", 0, -1) == list("01234")
    assert client.lmove("l", "m", "LEFT", "RIGHT") == "0" and client.rpoplpush("l", "m") == "4" and client.lrange("m", 0, -1) == ["4", "0"]
    assert client.execute_command("LMPOP", 2, "none", "m", "LEFT", "COUNT", 5) == ["m", ["4", "0"]] and not client.exists("m")
    client.rpush("large", *(f"element {n}" for n in range(5000)))
    assert client.lrange("large", 0, -1) == [f"element {n}" for n in range(5000)] and client.lindex("large", 2500) == "element 2500"


def sets():
    assert client.sadd("s", "a", "b", "c", "a") == 3 and client.sadd("t", "b", "c", "d") == 3 and client.scard("s") == 3
    assert client.smembers("s") == {"a", "b", "c"} and client.sismember("s", "a") and client.smismember("s", ["a", "x"]) == [1, 0]
    assert client.sinter("s", "t") == {"b", "c"} and client.sunion("s", "t") == set("abcd") and client.sdiff("s", "t") == {"a"}
    assert client.sinterstore("u", "s", "t") == 2 and client.sunionstore("u", "s", "t") == 4 and client.sdiffstore("u", "s", "t") == 1
    assert client.sintercard(2, ["s", "t"], 1) == 1 and client.smove("s", "t", "a") and client.srem("s", "b", "x") == 1
    assert client.srandmember("t") in "abcd" and len(client.srandmember("t", -9)) == 9 and client.spop("s") == "c" and client.spop("s") is None
    client.sadd("large", *range(20_000))
    assert {int(n) for n in client.sscan_iter("large", count=500)} == set(range(20_000)) and len(client.spop("large", 5000)) == 5000
    assert client.scard("large") == 15_000


def sorted_sets():
    assert client.zadd("z", {"ada": 3, "grace": 1, "linus": 2}) == 3 and client.zadd("z", {"ada": 5}, xx=True, gt=True, ch=True) == 1
    assert client.zadd("z", {"ada": 1}, incr=True) == 6.0 and client.zadd("z", {"ada": 1}, nx=True, incr=True) is None
    assert client.zrange("z", 0, -1, withscores=True) == [("grace", 1.0), ("linus", 2.0), ("ada", 6.0)] and client.zrevrange("z", 0, 0) == ["ada"]
    assert client.zrank("z", "ada") == 2 and client.zrevrank("z", "ada") == 0 and client.zrank("z", "none") is None and client.zscore("z", "ada") == 6.0
    assert client.zmscore("z", ["ada", "none"]) == [6.0, None] and client.zcount("z", "(1", "+inf") == 2 and client.zincrby("z", 0.5, "grace") == 1.5
    assert client.zrangebyscore("z", "-inf", 2, start=1, num=1) == ["linus"] and client.zrange("z", "+inf", 2, byscore=True, desc=True) == ["ada", "linus"]
    assert client.zrangestore("y", "z", 0, 1) == 2 and client.zunion(["y", "z"], aggregate="MAX") == ["grace", "linus", "ada"]
    assert client.zinterstore("x", {"y": 2, "z": 1}) == 2 and client.zscore("x", "linus") == 6.0 and client.zdiff(["z", "y"]) == ["ada"]
    assert client.zpopmin("z") == [("grace", 1.5)] and client.zpopmax("z", 5) == [("ada", 6.0), ("linus", 2.0)] and client.zpopmin("z") == []
    client.zadd("words", dict.fromkeys(["a", "b", "c", "d"], 0))
    assert client.zrangebylex("words", "[b", "(d") == ["b", "c"] and client.zlexcount("words", "-", "+") == 4 and client.zremrangebylex("words", "-", "[a") == 1
    client.zadd("large", {f"member {n}": n / 2 for n in range(5000)})
    assert dict(client.zscan_iter("large")) == {f"member {n}": n / 2 for n in range(5000)} == dict(client.zrange("large", 0, -1, withscores=True))
    assert client.zremrangebyrank("large", 0, 999) == 1000 and client.zremrangebyscore("large", "-inf", 1000) == 1001 and client.zcard("large") == 2999


def hyperloglog():
    assert client.pfadd("p", *range(1000)) == 1 and client.pfadd("p", 1) == 0 and abs(client.pfcount("p") - 1000) < 40
    assert client.pfadd("q", *range(500, 1500)) == 1 and client.pfmerge("r", "p", "q") and abs(client.pfcount("r") - 1500) < 60 > abs(client.pfcount("p", "q") - 1500)


def geo():
    assert client.geoadd("g", [13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"]) == 2
    assert client.geodist("g", "Palermo", "Catania", unit="km") == 166.2742 and client.geohash("g", "Palermo", "none") == ["sqc8b49rny0", None]
    assert client.geopos("g", "none", "Catania") == [None, (15.08726745843887329, 37.50266842333162032)]
    assert client.geosearch("g", longitude=15, latitude=37, radius=100, unit="km") == ["Catania"] and client.georadius("g", 15, 37, 200, unit="km", sort="ASC") == ["Catania", "Palermo"]
    assert client.geosearchstore("near", "g", member="Palermo", width=500, height=500, unit="km", storedist=True) == 2 and client.zscore("near", "Palermo") == 0.0


def blocking_pops():
    """Several clients wait; each element goes to one of them, and the first to wait is served first."""
    taken, order, waiting = [], [], []

    def worker(name):
        with connect() as mine:
            while (got := mine.blpop(["urgent", "jobs"], timeout=30))[1] != "stop":
                taken.append(got[1])
            order.append(name)

    for name in range(4):
        waiting.append(threading.Thread(target=worker, args=(name,)))
        waiting[-1].start()
        while int(client.info("clients")["blocked_clients"]) <= name:
            time.sleep(0.005)
    with client.pipeline(transaction=False) as pipeline:
        for n in range(200):
            pipeline.rpush("jobs", n)
        pipeline.execute()
    while client.exists("jobs"):
        time.sleep(0.005)
    client.rpush("urgent", *["stop"] * 4)
    for thread in waiting:
        thread.join(30)
    assert sorted(taken, key=int) == [str(n) for n in range(200)] and sorted(order) == [0, 1, 2, 3]
    assert client.blpop("none", timeout=1) is None and client.bzpopmin("none", timeout=1) is None
    client.zadd("z2", {"a": 1, "b": 2})
    client.rpush("l2", 1)
    assert client.bzpopmin("z2") == ("z2", "a", 1.0) and client.bzpopmax(["none", "z2"]) == ("z2", "b", 2.0)
    assert client.blmove("l2", "m2", 1) == "1" and client.brpoplpush("m2", "l2") == "1" and client.brpop("l2") == ("l2", "1")


def pipelines():
    with client.pipeline() as transaction:
        transaction.hset("h2", "a", 1).rpush("l3", "x").sadd("s3", "m").zadd("z3", {"m": 1}).hgetall("h2").lrange("l3", 0, -1).smembers("s3").zrange("z3", 0, -1)
        assert transaction.execute() == [1, 1, 1, 1, {"a": "1"}, ["x"], {"m"}, ["m"]]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.lpush("h2", "x").hget("h2", "a")
        wrong, right = pipeline.execute(raise_on_error=False)
    assert str(wrong).startswith("WRONGTYPE") and right == "1"
    assert client.type("z3") == "zset" and set(client.scan_iter(_type="hash")) == {"h", "h2"} and client.sort("l3", alpha=True) == ["x"]


client.flushall()
for part in (hashes, lists, sets, sorted_sets, hyperloglog, geo):
    part()
    assert part is hashes or client.delete("large") in (0, 1)
blocking_pops()
pipelines()
print("types ok")
