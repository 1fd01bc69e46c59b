"""A cache-aside program on redis-py: cache_aside.py <port> <protocol>, over TLS with the files in PINFOLD_TLS_CA, _CERT and _KEY."""

import json
import os
import sys

import redis

port = int(sys.argv[1])
authority, certificate, key = (os.environ.get(f"PINFOLD_TLS_{what}") for what in ("CA", "CERT", "KEY"))
tls = {"ssl": True, "ssl_ca_certs": authority, "ssl_certfile": certificate, "ssl_keyfile": key, "ssl_check_hostname": True} if authority else {}


def connect(**options):
    return redis.Redis(port=port, **tls, **options)


client = connect()
client.flushall()
loads = []


def user(number):
    cached = client.get(f"user:{number}")
    if cached is not None:
        return cached
    loads.append(number)
    loaded = json.dumps({"id": number, "name": f"user {number}"}).encode()
    client.set(f"user:{number}", loaded, ex=60)
    return loaded


assert client.get("user:1") is None
assert user(1) == user(1) and loads == [1]
assert 0 < client.ttl("user:1") <= 60
assert client.delete("user:1") == 1
user(1)
assert loads == [1, 1]

# Pipelines are transactions unless told otherwise.
assert client.pipeline().set("m", 1).incr("m").get("m").execute() == [True, 2, b"2"]
assert client.pipeline(transaction=False).set("p", "x").append("p", "y").get("p").execute() == [True, 2, b"xy"]
assert client.mset({"a": "1", "b": "2"})
assert client.mget("a", "none", "b") == [b"1", None, b"2"]

for i in range(250):
    client.set(f"scan:{i}", i)
assert set(client.scan_iter("scan:*", count=20)) == {b"scan:%d" % i for i in range(250)}

assert client.incrby("n", 40) == 40 and client.decr("n") == 39
assert client.incrbyfloat("f", 1.5) == 1.5
binary = bytes(range(256))
client.set(binary, binary)
assert client.get(binary) == binary
large = b"x" * (1 << 20)
client.set("large", large)
assert client.get("large") == large

assert client.set("lock", "1", nx=True) is True
assert client.set("lock", "2", nx=True) is None
assert client.getdel("lock") == b"1"

client.set("text", "abc")
try:
    client.incr("text")
    raise SystemExit("INCR of a text succeeded")
except redis.ResponseError as error:
    assert "value is not an integer or out of range" in str(error)
try:
    client.execute_command("NOSUCH")
    raise SystemExit("an unknown command succeeded")
except redis.ResponseError as error:
    assert "unknown command" in str(error)

with client.pipeline() as pipe:
    pipe.watch("w")
    connect().set("w", 1)
    pipe.multi()
    pipe.get("w")
    try:
        pipe.execute()
        raise SystemExit("a void transaction succeeded")
    except redis.WatchError:
        pass


def increment(pipe):
    value = int(pipe.get("counter") or 0)
    pipe.multi()
    pipe.set("counter", value + 1)


for _ in range(5):
    client.transaction(increment, "counter")
assert client.get("counter") == b"5"

assert client.config_get("timeout") == {"timeout": "0"}
assert client.info()["redis_version"] and client.client_list() and client.info("keyspace")["db0"]["keys"] == client.dbsize()
assert client.memory_usage("large") >= 1 << 20
assert client.object("encoding", "n") in (b"int", "int")
decoded = connect(decode_responses=True)
assert decoded.get("text") == "abc" and decoded.ping()
print("cache-aside ok")
