"""Sessions that end after half an hour without a request, and log-out everywhere, on redis-py: sessions.py [port]"""

import json
import secrets
import sys
import time

import redis

IDLE, LONGEST = 30 * 60, 24 * 60 * 60  # seconds
cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5)


def log_in(user, role):
    token = secrets.token_urlsafe(32)
    session = json.dumps({"user": user, "role": role, "until": time.time() + LONGEST})
    cache.execute_command("CACHE.SET", f"session:{token}", session, "EX", IDLE, "TAGS", 1, f"sessions-of:{user}")
    return token


def authenticate(token):
    """The session, or None: then the user has to log in. An error of the cache is no session either."""
    found = cache.getex(f"session:{token}", ex=IDLE)  # reads and prolongs in one step
    if found is None:
        return None
    session = json.loads(found)
    return session if time.time() < session["until"] else None


def log_out(token):
    cache.delete(f"session:{token}")


def log_out_everywhere(user):
    """When this returns, no session from before is valid. One that begins now is not touched."""
    cache.execute_command("CACHE.PURGE", "TAGS", 1, f"sessions-of:{user}")


if __name__ == "__main__":
    phone, laptop, other = log_in("ada", "admin"), log_in("ada", "admin"), log_in("grace", "reader")
    cache.expire(f"session:{phone}", 5)
    print(f"{authenticate(phone)['user']} has {cache.ttl(f'session:{phone}') > 5 and 'half an hour'} again")
    log_out(phone)
    print("after log-out:", authenticate(phone), authenticate(laptop)["user"])
    log_out_everywhere("ada")
    fresh = log_in("ada", "reader")
    print("after log-out everywhere:", authenticate(laptop), authenticate(fresh)["role"], authenticate(other)["user"])
