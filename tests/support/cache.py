"""CACHE.* as tests speak it: replies checked for their shape, leases and parked readers on demand."""

import contextlib
import select
import time
import typing

from . import resp
from .servers import eventually

STATUSES = ("hit", "stale", "absent", "miss")
# All integers stay exact in JavaScript.
LARGEST = 2**53 - 1
# Long enough to outlast any test; whatever ends sooner ended for another reason.
LONG = 600_000
# As much early refresh as there is, and a fresh time and a load time at which about one reader in three is chosen by it.
EAGER, FRESH, LOAD_MS = 1000, 30_000, 30


class Answer(typing.NamedTuple):
    """What CACHE.GET and each element of CACHE.MGET are: [status, value, token, ms]."""

    status: str
    value: bytes | None
    token: int
    ms: int


def text(reply):
    """A reply that says a word, whether as a simple or a bulk string."""
    return reply.decode() if isinstance(reply, bytes) else reply


def answer(reply):
    """The reply as an Answer, which it must be in every respect that holds for all of them."""
    assert type(reply) is list and len(reply) == 4, reply
    found = Answer(text(reply[0]), *reply[1:])
    assert found.status in STATUSES, reply
    assert type(found.token) is int and 0 <= found.token <= LARGEST, reply
    assert type(found.ms) is int and -1 <= found.ms <= LARGEST, reply
    assert isinstance(found.value, bytes) == (found.status in ("hit", "stale")), reply
    return found


def is_error(reply):
    return isinstance(reply, resp.ErrorReply)


def mapping(reply, protocol=2):
    """A map, as it has to be in RESP3, or a flat array of pairs, as in RESP2. No name comes twice."""
    if protocol == 3:
        assert type(reply) is dict, reply
        pairs = list(reply.items())
    else:
        assert type(reply) is list and len(reply) % 2 == 0, reply
        pairs = list(zip(reply[::2], reply[1::2]))
    found = {text(name): value for name, value in pairs}
    assert len(found) == len(pairs), reply
    return found


@contextlib.contextmanager
def setting(connection, name, value):
    """Runs the block with a setting changed."""
    before = connection.call("CONFIG", "GET", name)
    before = before[name.encode()] if isinstance(before, dict) else before[1]
    assert connection.call("CONFIG", "SET", name, value) == "OK"
    try:
        yield
    finally:
        assert connection.call("CONFIG", "SET", name, before) == "OK"


class Cache:
    """Commands of CACHE.* on one connection."""

    def __init__(self, connection, protocol=2):
        self.connection = connection
        self.protocol = protocol
        self.call = connection.call

    def get(self, key, *options):
        return answer(self.call("CACHE.GET", key, *options))

    def look(self, key):
        """What is there, without taking a lease."""
        return self.get(key, "LEASE", 0)

    def mget(self, keys, *options):
        reply = self.call("CACHE.MGET", len(keys), *keys, *options)
        assert type(reply) is list and len(reply) == len(keys), reply
        return [answer(element) for element in reply]

    def _stored(self, reply):
        assert reply in ("OK", None), reply
        return reply == "OK"

    def set(self, key, value, *options):
        return self._stored(self.call("CACHE.SET", key, value, *options))

    def absent(self, key, *options):
        return self._stored(self.call("CACHE.ABSENT", key, *options))

    def fill(self, key, value, token, *options):
        return self.set(key, value, "TOKEN", token, *options)

    def release(self, key, token, *options):
        return self.call("CACHE.RELEASE", key, token, *options)

    def renew(self, key, token, ms=LONG):
        return self.call("CACHE.RENEW", key, token, ms)

    def holds(self, key, token):
        """Whether the lease is alive; what is left of it becomes long."""
        reply = self.renew(key, token)
        assert reply in (0, 1), reply
        return reply == 1

    def invalidate(self, keys, *options):
        return self.call("CACHE.INVALIDATE", len(keys), *keys, *options)

    def purge_tags(self, tags, *options):
        return self.call("CACHE.PURGE", "TAGS", len(tags), *tags, *options)

    def purge_prefix(self, prefix, *options):
        return self.call("CACHE.PURGE", "PREFIX", prefix, *options)

    def inspect(self, key):
        return self.mapping(self.call("CACHE.INSPECT", key))

    def mapping(self, reply):
        return mapping(reply, self.protocol)

    def policy(self, *args):
        return self.call("CACHE.POLICY", *args)

    def waiters(self, key):
        return self.inspect(key)["waiters"]

    def counts(self):
        """INFO's section on leases and the like, as numbers where they are."""
        lines = self.call("INFO", "cache").decode().splitlines()
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        return {name: int(value) if value.isdigit() else value for name, value in pairs}

    # States that tests start from.

    def lease(self, key, *options):
        """The token of a lease on a key that is missing."""
        found = self.get(key, *(options or ("LEASE", LONG)))
        assert found.status == "miss" and found.token > 0, found
        return found.token

    def stale(self, key, value="old", *options):
        """Leaves a stale entry that nobody refreshes."""
        assert self.set(key, value, "PX", 1, "STALE", LONG, *options)
        eventually(lambda: self.look(key).status == "stale", step=0.001)

    def stale_lease(self, key, value="old", *options):
        """The token of a lease on a stale entry."""
        self.stale(key, value, *options)
        found = self.get(key, "LEASE", LONG)
        assert found.status == "stale" and found.token > 0, found
        return found.token

    def loaded(self, key, value="v", *options):
        """Fills the key with a load time that was measured, which is what early refresh goes by."""
        token = self.lease(key)
        time.sleep(LOAD_MS / 1000)
        assert self.fill(key, value, token, *(options or ("PX", FRESH)))

    def early(self, key):
        """The token of an early refresh, which one of many readers gets by chance."""

        def chosen():
            found = self.get(key, "LEASE", LONG, "BETA", EAGER)
            assert found.status in ("hit", "absent"), found
            return found.token

        return eventually(chosen, step=0.001)

    def early_lease(self, key, value="v"):
        """The token of a lease on an entry that is still fresh."""
        self.loaded(key, value)
        return self.early(key)


class Reader:
    """A connection with a CACHE.GET that waits. Made one after the other, they wait in that order."""

    def __init__(self, connection, observer, key, *options, wait=LONG):
        """Returns once the server has parked it, as `observer` sees. A wait that was over before that is tried again with twice the time."""
        self.connection = connection
        self.identity = connection.call("CLIENT", "ID")

        def is_parked():
            return b" flags=b " in observer.call("CLIENT", "LIST", "ID", self.identity)

        while True:
            connection.send_command("CACHE.GET", key, "WAIT", wait, *options)
            eventually(lambda: is_parked() or self.has_answer())
            if is_parked():
                return
            missed = self.answer()
            wait *= 2
            assert wait < LONG, missed

    def answer(self):
        return answer(self.connection.read())

    def has_answer(self):
        """Whether one is here now."""
        return bool(self.connection.buffer) or bool(select.select([self.connection.socket], [], [], 0)[0])
