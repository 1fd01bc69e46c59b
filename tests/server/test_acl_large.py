"""Large arguments of users with rights: only what may become data of theirs drives out the data of others."""

import pytest

from tests.support import resp
from tests.support.audit import Audited
from tests.support.servers import eventually, is_redis

from .conftest import info

pytestmark = pytest.mark.skipif(is_redis(), reason="Redis never counts what it receives as data")
KEYS = 20_000
LARGE = 40 << 20  # of 64 MB


@pytest.fixture
def server(start):
    server = start("--maxmemory", "64mb", "--maxmemory-clients", "16mb")
    with server.connect() as admin:
        admin.pipeline([("SET", f"k{i}", "x" * 1000) for i in range(KEYS)])
    yield server
    with server.connect() as admin:
        assert admin.call("DBSIZE") >= KEYS
        assert info(admin, "stats")["evicted_keys"] == "0"


@pytest.fixture
def login(server):
    def log_in(*rules):
        with server.connect() as admin:
            assert admin.call("ACL", "SETUSER", "ada", "reset", "on", ">secret", *rules) == "OK"
        connection = server.connect()
        assert connection.call("AUTH", "ada", "secret") == "OK"
        return connection

    return log_in


def received(admin):
    return int(info(admin, "stats")["total_net_input_bytes"])


def begin(*words, size=LARGE):
    """The words of a request whose last argument has so many bytes, without that one."""
    return b"*%d\r\n" % (len(words) + 1) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words) + b"$%d\r\n" % size


@pytest.mark.parametrize(
    "rules, words",
    [
        (("+ping",), (b"PING",)),
        (("+ping", "rate=1"), (b"PING",)),
        (("%R~product:*", "+get"), (b"GET",)),
        (("%R~product:*", "+get"), (b"SET", b"product:1")),
        (("%R~product:*", "+@all"), (b"SET", b"product:1")),
        (("~product:*", "+@all"), (b"SET", b"k1")),
        (("~product:*", "+@all"), (b"SET",)),
        (("~product:*", "+@all"), (b"MSET", b"product:1", b"x", b"k1")),
        (("~product:*", "+@all"), (b"MSET", b"product:1", b"x", b"product:2", b"x")),
        (("~product:*", "+@all"), (b"DEL", b"product:1")),
        (("~product:*", "+@all", "db=1"), (b"SET", b"product:1")),
        (("~product:*", "!~product:secret", "+@all"), (b"SET", b"product:secret")),
        (("~product:*", "+@all"), (b"NOSUCH", b"product:1")),
        (("~product:*", "+@all"), ()),
        (("~product:*", "-@all", "(+set ~k1)", "+ping"), (b"SET", b"product:1")),
    ],
)  # fmt: skip
def test_what_cannot_become_data_evicts_nothing(login, rules, words):
    with login(*rules) as connection:
        connection.send(begin(*words) + b"x" * LARGE + b"\r\n")
        reply = connection.read()
        assert isinstance(reply, resp.ErrorReply), reply


@pytest.mark.parametrize("words", [(b"PING",), (b"ECHO",), (b"SET", b"k1")])
def test_requests_that_stay_unfinished_evict_nothing(server, login, words):
    connections = [login("~product:*", "+@all") for _ in range(4)]
    with server.connect() as admin:
        before = received(admin)
        for connection in connections:
            connection.send(begin(*words, size=16 << 20) + b"x" * (12 << 20))
        eventually(lambda: received(admin) >= before + 4 * (12 << 20))
        assert int(info(admin, "memory")["used_memory_clients"]) < 4 << 20
    for connection in connections:
        connection.close()


def test_what_may_become_data_is_stored(login, server):
    value = b"v" * 300_000
    with login("~product:*", "+@all", "~s:*") as connection:
        assert connection.call("SET", "product:1", value) == "OK"
        assert connection.call("GET", "product:1") == value
        assert connection.call("MSET", "product:2", value, "s:3", value, "product:4", "small") == "OK"
        assert connection.call("MGET", "product:2", "s:3", "product:4") == [value, value, b"small"]
        assert connection.call("APPEND", "s:3", value) == 600_000
        assert connection.call("CACHE.SET", "product:5", value, "PX", "60000") == "OK"
        assert connection.pipeline([("MULTI",), ("SET", "product:6", value), ("GET", "product:6"), ("EXEC",)])[-1] == ["OK", value]
        assert connection.call("SET", "product:7", b"w" * (8 << 20)) == "OK"


@pytest.mark.parametrize("size", [16 * 1024, 100_000, 500_000])
def test_what_cannot_become_data_is_answered_as_small_arguments_are(login, size):
    word = b"e" * size
    with login("~product:*", "+@all", "-set") as connection:
        assert connection.call("ECHO", word) == word
        assert connection.call("GET", b"product:" + word) is None
        assert connection.call("GET", word).startswith("NOPERM")
        assert connection.call("SET", "product:1", word).startswith("NOPERM")
        assert connection.call("MSET", "product:1", word, "product:2", word, b"product:" + word, "x", "product:3", word) == "OK"
        assert connection.call("MGET", "product:1", "product:2", b"product:" + word, "product:3") == [word, word, b"x", word]
        assert connection.call("MSET", "product:1", "new", "k1", word).startswith("NOPERM")
        assert connection.call("GET", "product:1") == word
        assert connection.call("AUTH", "ada", word).startswith("WRONGPASS")
        replies = connection.pipeline([("ECHO", word), ("PING",), ("MSET", "product:1", word, "k1", word), ("ECHO", word)])
        assert replies[:2] == [word, "PONG"] and replies[2].startswith("NOPERM") and replies[3] == word


@pytest.mark.parametrize("words", [("GET",), ("SET", "k1"), ("MSET", "product:1", "x", "product:2", "x"), ("PING",)])
def test_what_is_too_large_to_be_kept_is_denied_and_told_of_as_such(start, tmp_path, words):
    log = Audited(start, tmp_path / "audit.log")
    with log.server.connect() as admin, log.server.connect() as connection:
        assert admin.call("ACL", "SETUSER", "ada", "on", ">secret", "~product:*", "+@all") == "OK"
        assert connection.call("AUTH", "ada", "secret") == "OK"
        last = b"product:" + b"e" * 600_000 if words[0] != "SET" else b"e" * 600_000
        request = (*words, last, "x") if words[0] == "MSET" else (*words, last)
        assert connection.call(*request).startswith("NOPERM ")
        assert log.wait("denied", command=words[0].lower())["user"] == "ada"
        assert connection.pipeline([("MULTI",), request, ("EXEC",)])[2].startswith("EXECABORT")
        entries = admin.call("ACL", "LOG")
        assert sum(dict(zip(entry[::2], entry[1::2]))[b"count"] for entry in entries) == 2
        assert connection.call("SET", "product:1", last) == "OK"
    assert "for want of memory" not in log.server.log()


def test_rights_that_come_between_parts_of_a_request_change_nothing_about_its_arguments(login, server):
    """The connection parses the whole request once more when the pause ends."""
    word = b"e" * 100_000
    with login("~product:*", "+@all") as connection, server.connect() as admin:
        assert admin.call("CLIENT", "PAUSE", "600000", "WRITE") == "OK"
        request = resp.encode(("MSET", b"product:" + word, word, "product:1", word, "product:2", b"x"))
        before = received(admin)
        connection.send(request)
        eventually(lambda: received(admin) >= before + len(request))
        assert admin.call("ACL", "SETUSER", "ada", "allkeys") == "OK"
        assert admin.call("CLIENT", "UNPAUSE") == "OK"
        assert connection.read() == "OK"
        assert connection.call("MGET", b"product:" + word, "product:1", "product:2") == [word, word, b"x"]


def test_large_arguments_whose_keys_are_costly_to_check_are_stored_as_small_ones_are(login):
    """To find out what all of them may become would take more comparisons than a request may make while it is parsed."""
    with login("+@all", *[f"~*:p{n}:*" for n in range(10)]) as connection:
        keys = [b"a" * 300 + b":p9:%d" % n for n in range(200)]
        values = [b"%d" % n * 10_000 for n in range(200)]
        assert connection.call("MSET", *[word for pair in zip(keys, values) for word in pair]) == "OK"
        assert connection.call("MGET", *keys) == values
        large = b"v" * 600_000
        assert connection.call("SET", keys[0], large) == "OK"
        assert connection.call("MSET", keys[1], large, "other", b"x" * 20_000).startswith("NOPERM")
