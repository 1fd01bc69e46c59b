"""Sessions in hashes, with a set of each user's, on redis-py: session_hashes.py [port]"""

import secrets
import sys
import time

import redis

IDLE, LONGEST = 30 * 60, 24 * 60 * 60  # seconds
cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5, decode_responses=True)

# Reads a session and prolongs it in one step: EXPIRE alone would prolong one that was not read.
READ = cache.register_script("""
local session = redis.call('HGETALL', KEYS[1])
if #session == 0 then return session end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return session
""")
# All of a user's sessions end at once: nobody logs in between the look and the removal.
END_ALL = cache.register_script("""
local ended = 0
for _, token in ipairs(redis.call('SMEMBERS', KEYS[1])) do ended = ended + redis.call('DEL', 'session:' .. token) end
redis.call('DEL', KEYS[1])
return ended
""")


def log_in(user, **more):
    token = secrets.token_urlsafe(32)
    with cache.pipeline() as both:  # MULTI and EXEC: no session that its user's set does not know
        both.hset(f"session:{token}", mapping={"user": user, "until": time.time() + LONGEST, **more})
        both.expire(f"session:{token}", IDLE)
        both.sadd(f"sessions-of:{user}", token)
        both.expire(f"sessions-of:{user}", LONGEST)
        both.execute()
    return token


def authenticate(token):
    session = READ(keys=[f"session:{token}"], args=[IDLE])
    session = dict(zip(session[::2], session[1::2]))
    return session if session and time.time() < float(session["until"]) else None


def log_out(token, user):
    cache.delete(f"session:{token}")
    cache.srem(f"sessions-of:{user}", token)


if __name__ == "__main__":
    cache.delete("sessions-of:ada", "sessions-of:grace")
    phone, laptop, other = log_in("ada", role="admin"), log_in("ada", role="admin", cart=3), log_in("grace", role="reader")
    print("one field:", cache.hincrby(f"session:{laptop}", "cart", 1), "all:", authenticate(laptop)["role"], authenticate(laptop)["cart"])
    log_out(phone, "ada")
    print("after log-out:", authenticate(phone), "left:", cache.scard("sessions-of:ada"))
    print("ended:", END_ALL(keys=["sessions-of:ada"]), "then:", authenticate(laptop), authenticate(other)["user"])
