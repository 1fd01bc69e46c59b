"""Scripts and functions as redis-py sends them: redis_py_scripts.py <port> <protocol>"""

import sys

import redis

client = redis.Redis(port=int(sys.argv[1]))
client.flushall()
client.script_flush()
release = client.register_script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
client.set("lock", "token")
assert release(keys=["lock"], args=["other"]) == 0 and release(keys=["lock"], args=["token"]) == 1
client.script_flush()
with client.pipeline(transaction=True) as pipeline:
    pipeline.set("lock", "t")
    release(keys=["lock"], args=["t"], client=pipeline)
    pipeline.exists("lock")
    assert pipeline.execute() == [True, 1, 0]
sha = client.script_load("return {ARGV[1], 3.9, {false, true}, {ok='FINE'}}")
assert client.script_exists(sha, "a" * 40) == [True, False]
assert client.evalsha(sha, 0, b"\x00\xff\r\n") == [b"\x00\xff\r\n", 3, [None, 1], b"FINE"]
for call, kind, text in (
    (lambda: client.evalsha("a" * 40, 0), redis.exceptions.NoScriptError, ""),
    (lambda: client.eval("return redis.call('INCR', KEYS[1])", 1, "text"), redis.exceptions.ResponseError, "not an integer"),
    (lambda: client.eval_ro("return redis.call('SET', KEYS[1], 1)", 1, "k"), redis.exceptions.ResponseError, "read-only script"),
    (lambda: client.eval("error('mine')", 0), redis.exceptions.ResponseError, "mine"),
):
    client.set("text", "abc")
    try:
        call()
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError("no error")
code = "#!lua name=lib\nredis.register_function{function_name='f', callback=function(keys, args) return {keys, args} end, flags={'no-writes'}}"
client.function_flush()
assert client.function_load(code) == b"lib" and client.function_load(code, replace=True) == b"lib"
assert client.fcall("f", 1, "k", "a") == [[b"k"], [b"a"]] == client.fcall_ro("f", 1, "k", "a")
assert client.function_list(withcode=True)[0][-1] == code.encode()
dumped = client.function_dump()
assert client.function_delete("lib") and client.function_restore(dumped, "FLUSH") and client.fcall("f", 0) == [[], []]
assert client.function_stats()
client.function_flush()
print("scripts ok")
