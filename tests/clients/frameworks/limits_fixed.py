"""Hits a limit of Python's limits (which Flask-Limiter is made of), as other workers do: limits_fixed.py <port> <points> <calls>"""

import sys
import time

from limits import RateLimitItemPerHour, RateLimitItemPerSecond
from limits.storage import storage_from_string
from limits.strategies import FixedWindowElasticExpiryRateLimiter, FixedWindowRateLimiter, MovingWindowRateLimiter


def main():
    port, points, calls = map(int, sys.argv[1:])
    storage = storage_from_string(f"redis://127.0.0.1:{port}")
    assert storage.check()
    limiter = FixedWindowRateLimiter(storage)
    shared = RateLimitItemPerHour(points)
    accepted = sum(limiter.hit(shared, "shared") for _ in range(calls))

    own, small = str(time.monotonic_ns()), RateLimitItemPerHour(2)
    assert limiter.test(small, own) and limiter.hit(small, own) and limiter.hit(small, own) and not limiter.hit(small, own) and not limiter.test(small, own)
    reset, remaining = limiter.get_window_stats(small, own)
    assert remaining == 0 and 0 < reset - time.time() <= 3601
    limiter.clear(small, own)
    assert limiter.hit(small, own)
    brief = RateLimitItemPerSecond(1, 2)
    elastic = FixedWindowElasticExpiryRateLimiter(storage)
    assert elastic.hit(brief, own) and not elastic.hit(brief, own)
    # A moving window is a list of the times of hits, in a script.
    moving, window = MovingWindowRateLimiter(storage), RateLimitItemPerSecond(3, 2)
    assert [moving.hit(window, "moving", own) for _ in range(4)] == [True] * 3 + [False] and not moving.test(window, "moving", own)
    assert moving.get_window_stats(window, "moving", own)[1] == 0
    time.sleep(2.1)
    assert moving.hit(window, "moving", own)
    assert elastic.hit(brief, own)
    print(f"accepted: {accepted}")


main()
