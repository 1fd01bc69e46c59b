"""Caches of frameworks, without locks and scripts: caches.py <library> <port>"""

import subprocess
import sys
import time

import redis

LIBRARY, PORT = sys.argv[1], int(sys.argv[2])


def want(get, load):
    """Gets a value that nobody has stored, or makes it."""
    value = get("rare")
    if value is not None:
        print("found", value)
        return
    time.sleep(0.3)
    load("rare", "made")
    print("made")


def expect_one_load():
    """Several processes want it. The policy of the test lets them wait for the one that came first, which is told that there is nothing."""
    command = [sys.executable, "-B", __file__, LIBRARY, str(PORT), "want"]
    wanting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = sorted(process.communicate(timeout=60)[0] for process in wanting)
    assert said == ["found made\n"] * 3 + ["made\n"], said


def cachelib(client, only_want):
    from cachelib.redis import RedisCache

    cache = RedisCache("127.0.0.1", PORT, default_timeout=60, key_prefix="cachelib:")
    if only_want:
        return want(cache.get, cache.set)
    values = {"text": "é", "number": 7, "bytes": b"\x00\xff", "list": [1, {"a": None}]}
    assert sorted(cache.set_many(values)) == sorted(values)
    assert cache.get_many(*values, "nosuch") == [*values.values(), None] and cache.get_dict("text", "nosuch") == {"text": "é", "nosuch": None}
    assert 0 < client.ttl("cachelib:text") <= 60
    assert cache.set("lasting", 1, timeout=0) and client.ttl("cachelib:lasting") == -1
    assert cache.add("once", 1, timeout=5) and not cache.add("once", 2) and cache.get("once") == 1 and 0 < client.ttl("cachelib:once") <= 5
    assert cache.inc("count") == 1 and cache.inc("count", 4) == 5 and cache.dec("count", 2) == 3
    assert cache.has("text") and cache.delete("text") and not cache.has("text") and not cache.delete("text")
    cache.delete_many("number", "list")
    assert cache.get_many("number", "list") == [None, None]
    client.set("other", "kept")
    assert cache.clear() and not cache.has("lasting") and client.get("other") == b"kept"
    expect_one_load()


def flask_caching(client, only_want):
    from flask import Flask
    from flask_caching import Cache

    app = Flask("shop")
    cache = Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_PORT": PORT, "CACHE_REDIS_HOST": "127.0.0.1", "CACHE_KEY_PREFIX": "shop:", "CACHE_DEFAULT_TIMEOUT": 60})
    if only_want:
        with app.app_context():
            return want(cache.get, cache.set)
    made = []

    @app.route("/page")
    @cache.cached(timeout=50, query_string=True)
    def page():
        made.append("page")
        return f"made {len(made)}"

    @cache.memoize(timeout=40)
    def price(product, currency="EUR"):
        made.append(product)
        return {"product": product, "currency": currency}

    with app.test_client() as browser:
        assert [browser.get("/page?a=1&b=2").data, browser.get("/page?b=2&a=1").data, browser.get("/page?a=2").data] == [b"made 1", b"made 1", b"made 2"]
    with app.app_context():
        made.clear()
        assert price(1) == price(1) == {"product": 1, "currency": "EUR"} and price(2, "CHF")["currency"] == "CHF" and made == [1, 2]
        assert all(0 < client.ttl(key) <= 60 for key in client.keys("shop:*"))
        cache.delete_memoized(price, 1)
        price(1), price(2, "CHF")
        assert made == [1, 2, 1]
        cache.delete_memoized(price)
        price(1), price(2, "CHF")
        assert made == [1, 2, 1, 1, 2]
        assert cache.set("a", 1) and cache.add("b", 2) and not cache.add("a", 3) and cache.get_many("a", "b", "c") == [1, 2, None]
        assert cache.unlink("a", "b") == 2 and cache.get("a") is None
        assert cache.clear() and client.keys("shop:*") == []
    expect_one_load()


def django_redis(client, only_want):
    import django
    from django.conf import settings

    where = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{PORT}/0", "KEY_PREFIX": "site"}
    settings.configure(CACHES={"default": where})
    django.setup()
    from django.core.cache import cache

    if only_want:
        return want(cache.get, cache.set)
    cache.set("a", {"n": 1}, timeout=100)
    assert cache.get("a") == {"n": 1} and 0 < cache.ttl("a") <= 100 and cache.pttl("a") > 0
    assert cache.get_or_set("b", lambda: "made", timeout=100) == cache.get_or_set("b", lambda: "again") == "made"
    assert cache.touch("a", 500) and cache.ttl("a") > 400 and not cache.touch("nosuch")
    assert cache.set("nx", 1, nx=True) and not cache.set("nx", 2, nx=True) and cache.get("nx") == 1
    cache.set("lasting", 1, timeout=None)
    assert cache.ttl("lasting") is None and cache.ttl("nosuch") == 0
    cache.set_many({f"many:{n}": n for n in range(300)}, timeout=60)
    assert cache.get_many(["many:1", "many:299", "many:300"]) == {"many:1": 1, "many:299": 299}
    assert len(list(cache.iter_keys("many:*"))) == 300 and cache.delete_pattern("many:*", itersize=50) == 300
    assert cache.delete_many(["a", "b"]) == 2 and cache.get("a", "default") == "default"
    expect_one_load()
    cache.clear()
    assert client.keys("*") == []


def dogpile(client, only_want):
    from dogpile.cache import make_region
    from dogpile.cache.api import NO_VALUE

    region = make_region().configure("dogpile.cache.redis", expiration_time=60, arguments={"host": "127.0.0.1", "port": PORT, "redis_expiration_time": 90})
    if only_want:
        return want(lambda key: region.get(key) or None, region.set)
    made = []

    @region.cache_on_arguments()
    def load(n):
        made.append(n)
        return {"n": n}

    assert load(1) == load(1) == {"n": 1} and load(2) == {"n": 2} and made == [1, 2]
    load.invalidate(1)
    assert load(1) == {"n": 1} and made == [1, 2, 1] and load.refresh(2) == {"n": 2} and made == [1, 2, 1, 2]
    assert all(0 < client.ttl(key) <= 90 for key in client.keys("*"))
    region.set_multi({"a": 1, "b": 2})
    assert region.get_multi(["a", "b", "c"]) == [1, 2, NO_VALUE]
    region.delete_multi(["a", "b"])
    assert region.get("a") is NO_VALUE
    region.invalidate(hard=False)
    assert load(1) == {"n": 1}
    expect_one_load()


def main():
    only_want = len(sys.argv) > 3
    run = {"cachelib": cachelib, "Flask-Caching": flask_caching, "django-redis": django_redis, "dogpile.cache": dogpile}[LIBRARY]
    with redis.Redis(port=PORT) as client:
        if only_want:
            return run(client, True)
        client.flushall()
        run(client, False)
    print("caches ok")


main()
