"""Invalidating everything that shows a product, on redis-py: tags.py [port]"""

import sys

import redis

cache = redis.Redis(port=int((sys.argv + [6379])[1]), socket_timeout=5)


def render(key, make, *tags):
    """The page under key; make() runs once if it is missing. Tags are what the page was made of."""
    status, page, token, ms = cache.execute_command("CACHE.GET", key, "WAIT", 2_000)
    if not token:
        if status == b"miss":
            raise TimeoutError(f"retry within {ms} ms")
        return page
    page = make()
    # nil if one of its tags was purged since the lease was granted: then the page is already old.
    cache.execute_command("CACHE.SET", key, page, "TOKEN", token, "EX", 3_600, "TAGS", len(tags), *tags)
    return page


def changed(*tags, soft=False):
    """After the commit. Soft: old pages are shown until they are made anew, which one reader each does."""
    cache.execute_command("CACHE.PURGE", "TAGS", len(tags), *tags, *(["SOFT"] if soft else []))


def erase(tag):
    """How many bytes of entries were erased. When this returns they are gone, also from memory that is not in use."""
    return cache.execute_command("CACHE.PURGE", "TAGS", 1, tag, "SYNC")


if __name__ == "__main__":
    made = []

    def page_of(key):
        return lambda: made.append(key) or f"page {len(made)}"

    pages = {
        "product:42": ["product:42", "category:electronics", "brand:acme"],
        "category:electronics:page:1": ["category:electronics"],
        "product:42:reviews": ["product:42"],
    }

    def show_all():
        del made[:]
        for key, tags in pages.items():
            render(key, page_of(key), *tags)
        return made.copy()

    cache.delete(*pages)
    print("first:", len(show_all()), "then:", len(show_all()))
    changed("product:42")  # the category's page is not tagged with it
    print("after a change of product:42:", show_all())
    changed("category:electronics", soft=True)
    print("after a soft one of the category:", show_all())
    print("erased:", erase("product:42") > len("page 1" * 2), "- again:", erase("product:42"))
