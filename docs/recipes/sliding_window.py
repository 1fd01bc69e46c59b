"""A limiter that counts the requests of the last minute in a sorted set, on redis-py: sliding_window.py [port]"""

import sys
import time

import redis

LIMIT, WINDOW = 10, 60_000_000  # requests, microseconds
cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=1)

# Looks and adds in one step, on the server's clock. What is refused is not logged.
ALLOW = cache.register_script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local count = redis.call('ZCARD', KEYS[1])
if count >= limit then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, 0, math.ceil((oldest[2] + window - now) / 1000000)}
end
-- Two requests in one microsecond are two members.
local sequence = redis.call('INCR', KEYS[2])
redis.call('ZADD', KEYS[1], now, now .. '-' .. sequence)
redis.call('PEXPIRE', KEYS[1], window / 1000)
redis.call('PEXPIRE', KEYS[2], window / 1000)
return {1, limit - count - 1, 0}
""")


def allow(client, limit=LIMIT, window=WINDOW):
    """Whether the request may pass, how many more may, and the seconds until a retry makes sense."""
    allowed, left, retry = ALLOW(keys=[f"window:{{{client}}}", f"window:{{{client}}}:sequence"], args=[limit, window])
    return bool(allowed), left, retry


if __name__ == "__main__":
    cache.delete("window:{ada}", "window:{ada}:sequence", "window:{grace}", "window:{grace}:sequence")
    answers = [allow("ada") for _ in range(30)]
    passed, kept = sum(passed for passed, _, _ in answers), cache.zcard("window:{ada}")
    print(f"{passed} of 30 passed, {kept} are kept, retry in a minute: {58 <= answers[-1][2] <= 60}")
    print("a short window:", [allow("grace", 2, 200_000)[0] for _ in range(3)], end=" ")
    time.sleep(0.25)
    print("then:", allow("grace", 2, 200_000)[0])
