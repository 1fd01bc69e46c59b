"""DEPENDS and CASCADE, rule by rule of docs/cache-commands.md."""

import random

import pytest

from tests.support.cache import LONG, Cache, is_error, setting
from tests.support.servers import eventually, is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="Pinfold's own commands")


def built(cache, key, *dependencies, options=()):
    assert cache.set(key, "v", *options, "DEPENDS", len(dependencies), *dependencies)


def cascade(cache, *keys, options=()):
    reply = cache.invalidate(keys, "CASCADE", *options)
    assert type(reply) is int, reply
    return reply


def there(cache, *keys):
    return [key for key in keys if cache.look(key).status == "hit"]


def depends(cache, key):
    return cache.inspect(key)["depends"]


def refusals(cache):
    return cache.counts()["fill_refused_dependency"]


# --- `CACHE.INVALIDATE ... CASCADE` invalidates the keys, and every entry that was built from them, whatever the depth. ---


def test_all_that_was_built_from_a_key_goes_with_it(cache, client):
    client.call("SET", "user:123", "v")
    built(cache, "user:123:posts", "user:123")
    built(cache, "user:9:posts", "user:9")
    built(cache, "page:front", "user:123:posts", "user:9:posts")
    built(cache, "page:about", "user:9:posts")
    client.call("SET", "other", "v")
    assert cascade(cache, "user:123") == 1
    assert there(cache, "user:123", "user:123:posts", "page:front", "user:9:posts", "page:about", "other") == ["user:9:posts", "page:about", "other"]
    assert client.call("MGET", "user:123:posts", "page:front", "page:about") == [None, None, b"v"]


@pytest.mark.parametrize("depth", [2, 40])
def test_whatever_the_depth(cache, depth):
    cache.set("0", "v")
    for level in range(1, depth):
        built(cache, str(level), str(level - 1))
    assert cascade(cache, "1") == 1
    assert there(cache, *map(str, range(depth))) == ["0"]


def test_a_diamond(cache):
    built(cache, "left", "top")
    built(cache, "right", "top")
    built(cache, "bottom", "left", "right")
    assert depends(cache, "bottom") == [b"left", b"right", b"top"]
    assert cascade(cache, "top") == 0
    assert there(cache, "left", "right", "bottom") == []


def test_cycles_need_no_care(cache):
    built(cache, "a", "b")
    built(cache, "b", "a")
    built(cache, "a", "b")
    built(cache, "self", "self")
    built(cache, "c", "b")
    assert cascade(cache, "a") == 1
    assert there(cache, "a", "b", "c", "self") == ["self"]
    assert cascade(cache, "self") == 1
    assert there(cache, "self") == []


def test_without_cascade_nothing_else_goes(cache):
    for key in ("p", "c"):
        built(cache, key, "root" if key == "p" else "p")
    assert cache.invalidate(["p"]) == 1
    assert there(cache, "c") == ["c"]
    assert cache.invalidate(["root"], "SOFT") == 0
    assert there(cache, "c") == ["c"]


def test_several_keys_at_once_and_what_is_counted(cache):
    cache.set("a", "v")
    built(cache, "b", "a")
    built(cache, "c", "b")
    built(cache, "d", "other")
    assert cascade(cache, "a", "b", "nothing") == 2  # keys that depend on each other count by themselves, what depends on them does not
    assert there(cache, "a", "b", "c", "d") == ["d"]


def test_soft_makes_stale(cache):
    """With SOFT, live entries become stale as CACHE.PURGE SOFT makes them"""
    cache.set("p", "v")
    built(cache, "c", "p")
    built(cache, "g", "c", options=("PX", LONG, "STALE", LONG))
    cache.absent("n", "PX", LONG, "DEPENDS", 1, "c")
    assert cascade(cache, "p", options=["SOFT"]) == 1
    assert [cache.look(key)[:2] for key in ("p", "c", "g")] == [("stale", b"v")] * 3
    assert cache.look("n").status == "miss"


def test_the_order_of_options_is_free(cache):
    for options in (["SOFT", "CASCADE"], ["CASCADE", "SOFT"], ["cascade", "SOFT", "VERSION", 5], ["VERSION", 5, "CASCADE", "SOFT"]):
        built(cache, "c", "p")
        assert cache.invalidate(["p"], *options) == 0
        assert cache.look("c").status == "stale"
        cache.invalidate(["c"])


def test_leases_of_what_was_built_are_void(cache, client):
    built(cache, "c", "p", options=("PX", LONG, "STALE", LONG))
    cache.invalidate(["c"], "SOFT")
    token = cache.get("c").token
    assert token and cache.holds("c", token)
    cascade(cache, "p")
    assert not cache.holds("c", token)


def test_waiting_readers_get_the_next_lease(cache, park):
    token = cache.lease("c")
    reader = park("c", "LEASE", LONG)
    cascade(cache, "c")
    assert reader.answer().token > token


def test_in_a_transaction(cache, client):
    built(cache, "c", "p")
    assert client.call("MULTI") == "OK"
    assert client.call("CACHE.SET", "d", "v", "DEPENDS", "1", "c") == "QUEUED"
    assert client.call("CACHE.INVALIDATE", "1", "p", "CASCADE") == "QUEUED"
    assert client.call("MGET", "c", "d") == "QUEUED"
    assert client.call("CACHE.SET", "d", "v", "DEPENDS", "1", "c") == "QUEUED"
    assert client.call("EXEC") == ["OK", 0, [None, None], "OK"]
    assert there(cache, "c", "d") == ["d"]
    assert depends(cache, "d") == [b"c"]


def test_transactions_of_many_do_not_wait_for_each_other(connect):
    """CASCADE locks every shard, and so EXEC does."""
    clients = [connect() for _ in range(8)]
    for round_ in range(20):
        for number, client in enumerate(clients):
            client.send_command("MULTI")
            client.send_command("SET", f"k{number}", "v")
            client.send_command("CACHE.INVALIDATE", "1", f"k{(number + round_) % 8}", "CASCADE")
            client.send_command("EXEC")
        for client in clients:
            assert [client.read() for _ in range(3)] == ["OK", "QUEUED", "QUEUED"]
            assert client.read()[0] == "OK"


# --- An entry inherits, when it is written, the dependencies of the entries that it depends on. ---


def test_a_key_that_holds_no_entry_adds_only_itself(cache):
    built(cache, "c", "row:users:123")
    assert depends(cache, "c") == [b"row:users:123"]
    assert cascade(cache, "row:users:123") == 0
    assert there(cache, "c") == []


def test_an_invalidated_key_adds_only_itself(cache):
    built(cache, "p", "root")
    cascade(cache, "root")
    built(cache, "c", "p")
    assert depends(cache, "c") == [b"p"]
    cascade(cache, "root")
    assert there(cache, "c") == ["c"]


@pytest.mark.parametrize(
    "change", [["SET", "p", "w"], ["DEL", "p"], ["PEXPIRE", "p", 1], ["APPEND", "p", "x"], ["RENAME", "p", "q"], ["CACHE.INVALIDATE", 1, "p"]], ids=lambda change: change[0]
)
def test_changes_of_the_key_leave_what_depends_on_it(cache, client, change):
    """A plain write, DEL, expiry or eviction of a key leaves entries that depend on it as they are. Only CASCADE invalidates them, also when their key has been
    written again since."""
    cache.set("p", "v")
    built(cache, "c", "p")
    assert not is_error(client.call(*change))
    if change[0] == "PEXPIRE":
        eventually(lambda: client.call("EXISTS", "p") == 0)
    assert there(cache, "c") == ["c"]
    cascade(cache, "p")
    assert there(cache, "c") == []


def test_what_was_built_before_keeps_what_it_inherited(cache):
    built(cache, "p", "a")
    built(cache, "old", "p")
    built(cache, "p", "b")
    built(cache, "new", "p")
    assert (depends(cache, "old"), depends(cache, "new")) == ([b"a", b"p"], [b"b", b"p"])
    cascade(cache, "a")
    assert there(cache, "p", "old", "new") == ["p", "new"]


@pytest.mark.parametrize("write", [["SET", "c", "w"], ["CACHE.SET", "c", "w"], ["GETSET", "c", "w"], ["MSET", "c", "w"]], ids=lambda write: write[0])
def test_writes_that_leave_an_entry_without_dependencies(cache, client, write):
    built(cache, "c", "p")
    assert not is_error(client.call(*write))
    assert depends(cache, "c") == []
    cascade(cache, "p")
    assert there(cache, "c") == ["c"]


@pytest.mark.parametrize(
    "write",
    [["APPEND", "c", "1"], ["INCR", "c"], ["SETRANGE", "c", 0, "22"], ["SET", "c", "2", "KEEPTTL"], ["SETBIT", "c", 1, 1], ["PEXPIRE", "c", LONG], ["GETEX", "c", "EX", 100]],
    ids=lambda write: write[0],
)
def test_writes_that_keep_dependencies(cache, client, write):
    assert cache.set("c", "1", "DEPENDS", 1, "p")
    assert not is_error(client.call(*write))
    assert depends(cache, "c") == [b"p"]
    cascade(cache, "p")
    assert there(cache, "c") == []


def test_copy_and_rename_take_them_along(cache, client):
    built(cache, "c", "p", options=("TAGS", 1, "t"))
    assert client.call("COPY", "c", "copy") == 1
    assert client.call("RENAME", "c", "renamed") == "OK"
    assert (depends(cache, "copy"), cache.inspect("renamed")["tags"]) == ([b"p"], [b"t"])
    cascade(cache, "c")
    assert there(cache, "copy", "renamed") == ["copy", "renamed"]
    cascade(cache, "p")
    assert there(cache, "copy", "renamed") == []


def test_dependencies_are_no_tags(cache, client):
    """Dependencies are no tags: CACHE.PURGE TAGS with a key's name does not hit them, and CACHE.INSPECT shows them by themselves"""
    for key in ("p", "\0kp", "\0tp", "kp", "\0", ""):
        client.call("FLUSHALL")
        built(cache, "c", key)
        assert cache.set("t", "v", *(("TAGS", 1, key) if key else ()))
        assert (cache.inspect("c")["tags"], depends(cache, "c")) == ([], [key.encode()])
        assert (cache.inspect("t")["tags"], depends(cache, "t")) == ([key.encode()] if key else [], [])
        if key:
            cache.purge_tags([key])
            assert there(cache, "c", "t") == ["c"]
            assert cache.set("t", "v", "TAGS", 1, key)
        cascade(cache, key)
        assert there(cache, "c", "t") == ["t"]


def test_tags_and_dependencies_together(cache):
    built(cache, "p", "root", options=("TAGS", 2, "z", "a"))
    built(cache, "c", "p", options=("TAGS", 1, "mine"))
    found = cache.inspect("c")
    assert (found["tags"], found["depends"]) == ([b"mine"], [b"p", b"root"])  # tags are not inherited
    assert cache.inspect("p")["tags"] == [b"z", b"a"]
    cache.purge_tags(["a"])
    assert there(cache, "p", "c") == ["c"]
    cascade(cache, "root")
    assert there(cache, "c") == []


def test_they_belong_to_the_database(cache, client, connect):
    """They are keys of the selected database, and belong to the values: SWAPDB takes them along."""
    built(cache, "c", "p")
    other = Cache(connect())
    assert other.call("SELECT", 1) == "OK"
    cascade(other, "p")
    assert there(cache, "c") == ["c"]
    assert client.call("SWAPDB", 0, 1) == "OK"
    assert there(other, "c") == ["c"]
    cascade(cache, "p")
    assert there(other, "c") == ["c"]
    cascade(other, "p")
    assert there(other, "c") == []


def test_cascade_with_a_version(cache):
    """`CASCADE` with `VERSION n`: named keys with a higher version stay. What was built from any version of them goes."""
    p = f"p{cache.protocol}"  # invalidated versions are remembered
    assert cache.set(p, "v", "VERSION", 7)
    built(cache, "c", p)
    assert cascade(cache, p, options=["VERSION", 6]) == 0
    assert there(cache, p, "c") == [p]
    built(cache, "c", p)
    assert cascade(cache, p, options=["VERSION", 7]) == 1
    assert there(cache, p, "c") == []
    assert not cache.set(p, "v", "VERSION", 7)


def test_rights(cache, client, connect):
    """A client that names a key in DEPENDS must be allowed to read it. A client that may remove a key may invalidate what depends on it, whatever
    the keys of that."""
    for user, rules in (("reader", ["%R~p", "~c"]), ("writer", ["%W~p", "~c"]), ("none", ["~c"])):
        assert client.call("ACL", "SETUSER", user, "on", "nopass", "+@all", *rules) == "OK"

    def act(user, *words):
        connection = connect()
        assert connection.call("AUTH", user, "x") == "OK"
        return connection.call(*words)

    for user in ("reader", "writer", "none"):
        reply = act(user, "CACHE.SET", "c", "v", "DEPENDS", 1, "p")
        assert reply == "OK" if user == "reader" else is_error(reply) and "NOPERM" in str(reply), user
        assert is_error(act(user, "CACHE.SET", "c", "v", "DEPENDS", 2, "c", "q"))
        assert is_error(act(user, "CACHE.ABSENT", "c", "DEPENDS", 2, "c", "q"))
        assert act(user, "CACHE.SET", "c2", "v") and client.call("EXISTS", "c2") == 0
    built(cache, "elsewhere", "p")
    assert is_error(act("reader", "CACHE.INVALIDATE", 1, "p", "CASCADE"))
    assert there(cache, "elsewhere") == ["elsewhere"]
    assert act("writer", "CACHE.INVALIDATE", 1, "p", "CASCADE") == 0
    assert there(cache, "elsewhere", "c") == []
    assert client.call("ACL", "DELUSER", "reader", "writer", "none") == 3


def test_dependencies_that_may_not_be_read_are_not_shown(cache, client):
    """They may be inherited, so whoever may inspect an entry need not know their names."""
    built(cache, "open:1", "secret:1", "written:1", "open:0")
    built(cache, "open:2", "open:1")
    rules = ["%R~open:*", "%W~written:*"]
    assert client.call("ACL", "SETUSER", "limited", "reset", "on", "nopass", "+@all", *rules) == "OK"
    everything = [b"open:0", b"open:1", b"secret:1", b"written:1"]
    assert sorted(depends(cache, "open:2")) == everything
    assert cache.call("AUTH", "limited", "x") == "OK"
    assert sorted(depends(cache, "open:2")) == [b"open:0", b"open:1"]
    assert cache.call("MULTI") == "OK"
    cache.call("CACHE.INSPECT", "open:2")
    assert sorted(cache.mapping(cache.call("EXEC")[0])["depends"]) == [b"open:0", b"open:1"]
    assert client.call("ACL", "SETUSER", "limited", "resetkeys", "%R~*") == "OK"
    assert sorted(depends(cache, "open:2")) == everything
    assert client.call("ACL", "SETUSER", "limited", "resetkeys", "%W~*") == "OK"
    assert depends(cache, "open:2") == []
    assert client.call("ACL", "DELUSER", "limited") == 1


def test_where_the_keys_are(client):
    def keys(*words):
        reply = client.call("COMMAND", "GETKEYS", *words)
        return reply if is_error(reply) else [key.decode() for key in reply]

    assert keys("CACHE.SET", "k", "v", "EX", 1, "DEPENDS", 2, "a", "b") == ["k", "a", "b"]
    assert keys("CACHE.SET", "k", "v", "TAGS", 2, "DEPENDS", "1", "DEPENDS", 1, "a", "KEEPTTL") == ["k", "a"]
    assert keys("CACHE.SET", "k", "DEPENDS", "TAGS", 1, "DEPENDS") == ["k"]
    assert keys("CACHE.SET", "k", "v", "TOKEN", "DEPENDS", "DEPENDS", 1, "a") == ["k", "a"]
    assert keys("CACHE.ABSENT", "k", "PX", 5, "DEPENDS", 1, "a") == ["k", "a"]
    assert keys("CACHE.SET", "k", "v", "NONSENSE", "DEPENDS", 1, "a") == ["k"]
    for wrong in ([2, "a"], ["x", "a"], [0], [-1, "a"], [1]):
        assert is_error(keys("CACHE.SET", "k", "v", "DEPENDS", *wrong)), wrong


# --- A fill with a token is refused if something that it depends on was invalidated with CASCADE since its lease was granted ---


@pytest.fixture
def lease(cache):
    def take(key):
        token = cache.get(key, "LEASE", LONG).token
        assert token
        return token

    return take


def fill(cache, key, token, *dependencies, options=()):
    """Whether it was stored."""
    return cache.fill(key, "v", token, *options, "DEPENDS", len(dependencies), *dependencies)


def test_a_fill_is_refused_if_its_dependency_was_invalidated(cache, lease):
    before = refusals(cache)
    token = lease("c")
    cascade(cache, "p")
    assert not fill(cache, "c", token, "p")
    assert refusals(cache) == before + 1
    assert not cache.holds("c", token)  # a refused fill by the holder of a lease ends the lease
    assert fill(cache, "c", lease("c"), "p")


def test_also_one_that_it_would_inherit(cache, lease):
    built(cache, "g", "root")
    token = lease("c")
    cascade(cache, "root")
    built(cache, "g", "root")  # somebody has built it anew
    assert not fill(cache, "c", token, "g")
    assert fill(cache, "c", lease("c"), "g")
    assert depends(cache, "c") == [b"g", b"root"]


def test_also_a_negative_entry(cache, lease):
    token = lease("c")
    cascade(cache, "p")
    assert not cache.absent("c", "TOKEN", token, "DEPENDS", 1, "p")
    assert cache.absent("c", "TOKEN", lease("c"), "DEPENDS", 1, "p")
    assert cache.look("c").status == "absent"
    cascade(cache, "p")
    assert cache.look("c").status == "miss"


def test_other_invalidations_refuse_nothing(cache, client, lease):
    cache.set("p", "v")
    token = lease("c")
    for change in (["SET", "p", "w"], ["DEL", "p"], ["CACHE.INVALIDATE", 1, "p"], ["CACHE.INVALIDATE", 1, "q", "CASCADE"], ["CACHE.PURGE", "TAGS", 1, "p"]):
        assert not is_error(client.call(*change))
    assert fill(cache, "c", token, "p")


GONE = {
    "deleted": [["DEL", "p"]],
    "invalidated": [["CACHE.INVALIDATE", 1, "p"]],
    "purged": [["CACHE.PURGE", "TAGS", 1, "t"]],
    "purged by prefix": [["CACHE.PURGE", "PREFIX", "p"]],
    "with its source": [["CACHE.INVALIDATE", 1, "root", "CASCADE"]],
    "overwritten": [["SET", "p", "w"]],
    "renamed": [["RENAME", "p", "q"]],
    "renamed onto": [["SET", "q", "w"], ["RENAME", "q", "p"]],
    "copied onto": [["SET", "q", "w"], ["COPY", "q", "p", "REPLACE"]],
    "moved": [["MOVE", "p", 1]],
    "taken": [["GETDEL", "p"]],
    "expired at once": [["PEXPIREAT", "p", 1]],
    "written with other dependencies": [["CACHE.SET", "p", "w", "DEPENDS", 1, "x"]],
    "negative": [["CACHE.ABSENT", "p", "PX", LONG]],
}


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("again", [False, True], ids=["gone", "written again"])
def test_a_fill_is_refused_if_what_it_may_be_built_from_has_gone(cache, client, lease, how, again):
    """An entry under a key that DEPENDS names, with dependencies of its own, has gone since the lease was granted"""
    built(cache, "p", "root", options=("TAGS", 1, "t"))
    token = lease("c")
    for change in GONE[how]:
        assert not is_error(client.call(*change)), change
    if again:
        built(cache, "p", "y")
    before = refusals(cache)
    assert not fill(cache, "c", token, "p")
    assert refusals(cache) == before + 1
    assert fill(cache, "c", lease("c"), "p")


def test_what_has_expired(cache, client, lease):
    assert cache.set("p", "v", "PX", 300, "DEPENDS", 1, "root")
    token = lease("c")
    eventually(lambda: client.call("EXISTS", "p") == 0)
    assert not fill(cache, "c", token, "p")


def outlive(cache, client, key):
    """Stores an entry that is served after its time."""
    assert cache.set(key, "v", "PX", 1, "DEPENDS", 1, "root")
    assert client.call("DEBUG", "SLEEP", 0.02) == "OK"
    assert client.call("GET", key) == b"v"


@pytest.mark.parametrize("switched_off", [False, True])
def test_what_was_served_after_its_time_may_be_a_source(cache, client, lease, policy, switched_off):
    """By serve-stale of a policy: then what has gone may have been read until it went, or until the switch was off."""
    policy("p", "match", "p:*", "serve-stale", "yes")
    outlive(cache, client, "p:1")
    token = lease("c")
    assert client.call("GET", "p:1") == b"v"
    if switched_off:
        policy("p", "serve-stale", "no")
        assert client.call("EXISTS", "p:1") == 0
    else:
        client.call("DEL", "p:1")
    assert not fill(cache, "c", token, "p:1")


def test_what_the_setting_has_served_after_its_time_may_be_a_source(cache, client, lease):
    with setting(client, "serve-stale", "yes"):
        outlive(cache, client, "p")
        token = lease("c")
        assert client.call("GET", "p") == b"v"
    assert client.call("EXISTS", "p") == 0
    assert not fill(cache, "c", token, "p")


def test_what_only_waiting_readers_got_is_a_source(cache, lease, policy, park):
    """A value that is not stored, because of `admit`, answers those who wait for it."""
    policy("p", "match", "p:*", "admit", "0%")
    inner, token = lease("p:1"), lease("c")
    reader = park("p:1")
    assert fill(cache, "p:1", inner, "root")
    assert reader.answer().status == "hit" and cache.look("p:1").status == "miss"
    assert not fill(cache, "c", token, "p:1")
    # If nobody waits, only the client that has built it has it, and knows from what.
    inner, token = lease("p:1"), lease("c")
    assert fill(cache, "p:1", inner, "root")
    assert fill(cache, "c", token, "p:1", "root")


def test_what_is_bypassed_may_have_been_read_before(cache, client, lease, policy):
    built(cache, "p:1", "root")
    token = lease("c")
    assert client.call("GET", "p:1") == b"v"
    policy("p", "match", "p:*", "bypass", "yes")
    assert fill(cache, "c", token, "p:1")
    assert depends(cache, "c") == [b"p:1", b"root"]
    cascade(cache, "root")
    assert there(cache, "c") == []


def test_what_had_expired_before_the_lease_is_nobodys_source(cache, client, lease):
    """Else everybody who builds a page of parts that have run out would load it in vain."""
    assert client.call("DEBUG", "SET-ACTIVE-EXPIRE", 0) == "OK"
    assert cache.set("p", "v", "PX", 1, "DEPENDS", 1, "root")
    assert client.call("DEBUG", "SLEEP", 0.02) == "OK"  # nobody looks at the key before its time is up
    token = lease("c")
    assert cache.look("p").status == "miss"
    built(cache, "p", "root")
    assert fill(cache, "c", token, "p")
    assert client.call("DEBUG", "SET-ACTIVE-EXPIRE", 1) == "OK"


def test_what_was_invalidated_before_the_lease_is_nobodys_source(cache, lease):
    for _ in range(50):  # in the same millisecond, mostly
        built(cache, "p", "root")
        cascade(cache, "root")
        token, inner = lease("c"), lease("p")
        assert fill(cache, "p", inner, "root")
        assert fill(cache, "c", token, "p")
        cascade(cache, "p")


def test_what_is_built_anew_from_the_same_refuses_nothing(cache, lease):
    built(cache, "p", "root")
    token = lease("c")
    built(cache, "p", "root", "more")
    assert fill(cache, "c", token, "p")
    assert depends(cache, "c") == [b"more", b"p", b"root"]


def test_what_is_stale_refuses(cache, client, lease):
    """The entry under a key that DEPENDS names is stale. What is built from it would be taken for fresh."""
    cache.set("p", "v")
    cascade(cache, "p", options=["SOFT"])
    token = lease("c")
    assert cache.look("p").status == "stale"
    assert not fill(cache, "c", token, "p")
    # Somebody replaces it meanwhile.
    token = lease("c")
    cache.set("p", "w")
    assert not fill(cache, "c", token, "p")
    assert fill(cache, "c", lease("c"), "p")


def test_a_write_without_a_token_always_stores(cache):
    cache.set("p", "v")
    cascade(cache, "p", options=["SOFT"])
    built(cache, "c", "p")
    assert there(cache, "c") == ["c"]


# --- Limits ---


def error_of(reply):
    assert is_error(reply), reply
    return str(reply)


def test_limits_of_depends(cache, lease):
    keys = [f"p{i}" for i in range(600)]
    built(cache, "c", *keys)
    assert len(depends(cache, "c")) == 600
    cascade(cache, "p599")
    assert there(cache, "c") == []
    assert "at most 253 bytes" in error_of(cache.call("CACHE.SET", "c", "v", "DEPENDS", 1, "x" * 254))
    assert "at most 1024 keys" in error_of(cache.call("CACHE.SET", "c", "v", "DEPENDS", 1025, *["p"] * 1025))
    built(cache, "c", "x" * 253)
    token = lease("d")
    too_much = error_of(cache.call("CACHE.SET", "d", "v", "TOKEN", token, "DEPENDS", 20, *[f"{i:0240}" for i in range(20)]))
    assert "too many dependencies" in too_much and "4096 bytes" in too_much
    assert not cache.holds("d", token)


def test_limits_count_what_is_inherited(cache, client):
    for parent in range(4):
        built(cache, f"parent{parent}", *[f"{parent}:{i:0200}" for i in range(15)])
    built(cache, "c", "parent0")
    assert "too many dependencies" in error_of(cache.call("CACHE.SET", "d", "v", "DEPENDS", 2, "parent0", "parent1"))
    # The same ones over and over are the same.
    for twin in range(200):
        built(cache, f"twin{twin}", *[f"0:{i:0200}" for i in range(15)])
    built(cache, "e", *[f"twin{twin}" for twin in range(50)])
    for odd in range(200):
        built(cache, f"odd{odd}", *[f"{i % (odd + 1)}" for i in range(20)])
    assert client.call("EXISTS", "d") == 0


def test_too_many_repeated_ones_are_named_as_such(cache):
    for part in range(60):
        built(cache, f"part{part}", *[f"n{(part + i) % 100}" for i in range(40)])
    assert "at most 2048 keys" in error_of(cache.call("CACHE.SET", "c", "v", "DEPENDS", 60, *[f"part{part}" for part in range(60)]))
    built(cache, "c", *[f"part{part}" for part in range(45)])
    assert len(depends(cache, "c")) == 45 + 84


def test_errors_say_what_is_wrong(cache):
    def error(*options):
        return error_of(cache.call("CACHE.SET", "k", "v", *options))

    assert error("DEPENDS", "x", "p") == "ERR DEPENDS takes the number of keys, 1 or more, and then the keys, not 'x'"
    assert error("DEPENDS", 0, "p") == "ERR DEPENDS takes the number of keys, 1 or more, and then the keys, not '0'"
    assert error("DEPENDS", 3, "p") == "ERR DEPENDS 3 must be followed by as many keys, not 1"
    assert error("DEPENDS", 1) == "ERR DEPENDS 1 must be followed by as many keys, not 0"
    assert error("DEPENDS", 1, "p", "DEPENDS", 1, "q") == "ERR DEPENDS can be named only once"
    assert "DEPENDS" in error("DEPENDZ", 1, "p")
    assert error("TAGS", 1, b"\0" + b"x" * 253) == "ERR a tag that begins with a zero byte must have 1 to 253 bytes"
    assert error_of(cache.call("CACHE.INVALIDATE", 16385, *["k"] * 16385, "CASCADE")) == "ERR CASCADE takes at most 16384 keys"
    assert cache.invalidate(["k" * 300], "CASCADE") == 0
    key = f"k{cache.protocol}"  # what is refused does nothing, so older versions are not refused either
    assert is_error(cache.call("CACHE.INVALIDATE", 16385, *[key] * 16385, "CASCADE", "VERSION", 5))
    assert cache.set(key, "v", "VERSION", 3)


def test_long_keys_are_invalidated_too(cache):
    cache.set("k" * 300, "v")
    assert cascade(cache, "k" * 300) == 1
    cache.set("k" * 300, "v")
    built(cache, "c", "p")
    assert cascade(cache, "k" * 300, "p", "k" * 254) == 1
    assert there(cache, "k" * 300, "c") == []


def test_too_many_wait_to_be_swept(start):
    """If that is too many, it is refused with the same error as CACHE.PURGE, and does nothing"""
    with start("--threads", 1).connect() as connection:
        cache = Cache(connection)
        cache.set("k", "v")
        refused = 0
        for number in range(12):
            keys = [f"{number}:{i}" for i in range(4000)]
            connection.send_command("CACHE.INVALIDATE", 4001, *keys, "k", "CASCADE")
            connection.send_command("CACHE.SET", "k", "v")
        for _ in range(12):
            reply = connection.read()
            assert reply in (0, 1) or "too many purges" in str(reply), reply
            refused += is_error(reply)
            assert connection.read() == "OK"
        eventually(lambda: cache.counts()["purges_pending"] == 0)
        assert cascade(cache, "k") == 1


# --- figures ---


def test_figures(cache):
    before = cache.counts()
    for i in range(30):
        built(cache, f"c{i}", "p")
    cache.set("p", "v")
    cascade(cache, "p")
    eventually(lambda: cache.counts()["purges_pending"] == 0)
    after = cache.counts()
    assert after["purges_cascade"] == before["purges_cascade"] + 1
    assert after["purges_cascade_entries"] == before["purges_cascade_entries"] + 30
    assert after["purges_tags"] == before["purges_tags"]


def test_monitor_and_slowlog_hide_names_from_who_may_not_see_them(client, connect):
    """A dependency is a key: only who may read it is shown it."""
    assert client.call("ACL", "SETUSER", "limited", "on", "nopass", "+@all", "%R~open*", "%W~open*") == "OK"
    assert client.call("CONFIG", "SET", "slowlog-log-slower-than", 0) == "OK"
    client.call("SLOWLOG", "RESET")
    client.call("CACHE.SET", "open", "v", "TAGS", 1, "tag", "DEPENDS", 1, "open2")
    client.call("CACHE.SET", "open", "v", "DEPENDS", 1, "secret")
    client.call("CONFIG", "SET", "slowlog-log-slower-than", 10000)
    limited = connect()
    assert limited.call("AUTH", "limited", "x") == "OK"
    shown = [entry[3] for entry in limited.call("SLOWLOG", "GET", 10) if entry[3][0].lower() == b"cache.set"]
    assert shown[0] == [b"CACHE.SET", b"(redacted)"], shown
    assert shown[1][:3] == [b"CACHE.SET", b"open", b"v"] and shown[1][-1] == b"open2" and b"tag" not in shown[1], shown
    assert client.call("ACL", "DELUSER", "limited") == 1


# --- random histories against a model ---


@pytest.mark.parametrize("round_", range(3))
def test_random_histories(cache, client, round_):
    """Entries with what they inherited, and what CASCADE makes of them."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    names = [f"k{i}" for i in range(25)]
    model = {}
    for _ in range(600):
        key = draw.choice(names)
        act = draw.random()
        if act < 0.55:
            parents = draw.sample(names, draw.randint(0, 3))
            inherited = set(parents).union(*(model.get(parent, ()) for parent in parents))
            assert cache.set(key, "v", *(("DEPENDS", len(parents), *parents) if parents else ()))
            model[key] = inherited
        elif act < 0.65:
            client.call("DEL", key)
            model.pop(key, None)
        elif act < 0.75:
            other = draw.choice(names)
            if client.call("COPY", key, other, "REPLACE") == 1:
                model[other] = set(model[key])
        else:
            gone = draw.sample(names, draw.randint(1, 2))
            assert cascade(cache, *gone) == sum(key in model for key in gone)
            model = {key: inherited for key, inherited in model.items() if key not in gone and not inherited & set(gone)}
        if draw.random() < 0.2:
            assert set(there(cache, *names)) == set(model)
            for key, inherited in model.items():
                assert depends(cache, key) == sorted(name.encode() for name in inherited)
    assert set(there(cache, *names)) == set(model)
