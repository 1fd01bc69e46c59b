"""A page that is built from parts which are cached themselves, on redis-py: dependencies.py [port]"""

import sys

import redis

cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5, decode_responses=True)


def cached(key, make, *parts):
    """The text under key. If it is missing, make() runs once, and builds it from the entries under the keys of the parts."""
    status, text, token, ms = cache.execute_command("CACHE.GET", key, "WAIT", 2_000)
    if not token:
        if status == "miss":
            raise TimeoutError(f"retry within {ms} ms")
        return text
    text = make()  # the parts are read after the lease was granted
    depends = ["DEPENDS", len(parts), *parts] if parts else []
    # nil if a part was invalidated since the lease was granted: then this text is for this caller only.
    cache.execute_command("CACHE.SET", key, text, "TOKEN", token, "EX", 3_600, *depends)
    return text


def changed(key):
    """After the commit: invalidates the key and all that was built from it, whatever that is."""
    cache.execute_command("CACHE.INVALIDATE", 1, key, "CASCADE")


if __name__ == "__main__":
    names, posts, made = {"ada": "Ada", "grace": "Grace"}, {"ada": 2, "grace": 1}, []

    def user(who):
        return cached(f"user:{who}", lambda: made.append(f"user:{who}") or names[who])

    def posts_of(who):
        key = f"user:{who}:posts"
        return cached(key, lambda: made.append(key) or f"{user(who)}: {posts[who]} posts", f"user:{who}")

    def front(then=lambda: None):
        def make():
            texts = [posts_of(who) for who in names]
            then()
            return made.append("page:front") or ", ".join(texts)

        del made[:]
        return cached("page:front", make, *(f"user:{who}:posts" for who in names))

    for who in names:
        changed(f"user:{who}")
    print(front(), "- made:", len(made), "- again:", front() and len(made))
    names["ada"] = "Countess Ada"
    changed("user:ada")
    print(front(), "- made:", made)
    changed("user:ada:posts")  # a part: what it was built from stays
    posts["grace"] = 7
    print(front(lambda: changed("user:grace")), "- made:", made)
    print(front(), "- made:", made)
