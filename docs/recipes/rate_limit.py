"""A limit of requests per client for all servers together, on redis-py: rate_limit.py [port]"""

import sys
import time

import redis

BURST, COUNT, PERIOD = 19, 100, 3_600  # 100 requests an hour, 20 of them at once
SERVERS = 4  # that share the limit
cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=1)
local = {}


def check(client):
    """Status and headers for a request of this client."""
    try:
        limited, limit, remaining, retry, reset = cache.execute_command("CL.THROTTLE", f"limit:{client}", BURST, COUNT, PERIOD)
    except redis.RedisError:
        limited, limit, remaining, retry, reset = check_alone(client)
    headers = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset}
    return (429, headers | {"Retry-After": retry}) if limited else (200, headers)


def check_alone(client):
    """While the cache is away: this server's share of the limit, by the same rule in its own memory."""
    interval, burst = PERIOD / COUNT * SERVERS, max(1, (BURST + 1) // SERVERS)
    now = time.monotonic()
    arrival = max(local.get(client, now), now)  # in production: bounded, and forgotten once it has passed
    wait = arrival + interval - burst * interval - now
    if wait > 0:
        return 1, burst, 0, int(wait) + 1, int(arrival - now) + 1
    local[client] = arrival + interval
    return 0, burst, int(-wait / interval), -1, int(arrival + interval - now) + 1


if __name__ == "__main__":
    cache.delete("limit:ada", "limit:grace", "limit:import")
    answers = [check("ada") for _ in range(30)]
    passed = [headers for status, headers in answers if status == 200]
    refused = [headers for status, headers in answers if status == 429]
    print(f"{len(passed)} of 30 passed, then {sorted(refused[0])}")
    print("another client:", check("grace")[0])
    print(f"a request that counts as 5: {cache.execute_command('CL.THROTTLE', 'limit:import', 9, 10, 600, 5)}")
    cache.connection_pool.connection_kwargs["port"] = 1  # the cache is away
    cache.connection_pool.disconnect()
    cache.connection_pool.reset()
    print(f"alone: {[check('linus')[0] for _ in range(10)].count(200)} of 10 passed")
