"""A leaderboard, unique visitors, drivers nearby and timelines, on redis-py: beside_the_cache.py [port]"""

import sys

import redis

KEPT, WEEK = 800, 7 * 24 * 60 * 60  # posts of a timeline, seconds
cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5, decode_responses=True)


def won(week, player, points):
    with cache.pipeline() as both:
        both.zincrby(f"leaderboard:{week}", points, player)
        both.expire(f"leaderboard:{week}", 2 * WEEK)
        return both.execute()[0]


def place(week, player):
    rank = cache.zrevrank(f"leaderboard:{week}", player)
    return None if rank is None else rank + 1


def nearby(longitude, latitude, kilometres):
    found = cache.geosearch("drivers", longitude=longitude, latitude=latitude, radius=kilometres, unit="km", sort="ASC", count=10, withdist=True)
    return [(driver, round(distance, 1)) for driver, distance in found]


def publish(post, time, author, followers):
    with cache.pipeline() as all_of_them:
        all_of_them.zadd(f"posts:{author}", {post: time})
        for follower in followers:
            all_of_them.lpush(f"timeline:{follower}", post)
            all_of_them.ltrim(f"timeline:{follower}", 0, KEPT - 1)
            all_of_them.expire(f"timeline:{follower}", WEEK)
        all_of_them.execute()


if __name__ == "__main__":
    cache.delete("leaderboard:9", "visitors:1", "visitors:2", "drivers", "timeline:grace", "posts:ada")
    for player, points in [("ada", 50), ("grace", 40), ("linus", 70), ("ada", 30)]:
        won(9, player, points)
    print("the best:", cache.zrevrange("leaderboard:9", 0, 1, withscores=True), "grace is", place(9, "grace"), "nobody:", place(9, "nobody"))

    for day, visitors in [(1, range(0, 10_000)), (2, range(5_000, 15_000))]:
        cache.pfadd(f"visitors:{day}", *(f"visitor {n}" for n in visitors))
    near = [abs(cache.pfcount(*keys) - count) < count * 0.03 for keys, count in [(["visitors:1"], 10_000), (["visitors:1", "visitors:2"], 15_000)]]
    print("visitors are counted well:", near, "in", cache.strlen("visitors:1") <= 12_304 and "12 KB")

    cache.geoadd("drivers", [13.41, 52.52, "near", 13.38, 52.51, "nearer", 13.06, 52.40, "in Potsdam"])
    print("within 5 km:", nearby(13.3777, 52.5163, 5))

    for n in range(1, 1001):
        publish(f"post {n}", n, "ada", ["grace"])
    print("grace reads:", cache.lrange("timeline:grace", 0, 2), "of", cache.llen("timeline:grace"))
    print("before post 500:", cache.zrange("posts:ada", "(500", "-inf", byscore=True, desc=True, offset=0, num=2))
