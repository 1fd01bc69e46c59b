"""Requests that are made to hurt others, and large ones that are not: what both must leave alone.

Each scenario is a server's settings, data, and an attack. `tests/bounds/test_hostile.py` asserts what can be counted (memory, work
under locks, replies); `scripts/bench hostile` prints the longest that another connection waited meanwhile.
"""

import contextlib
import random
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Callable

from tests.support import resp
from tests.support.connection import Closed

MB = 1 << 20


@dataclass
class Scenario:
    name: str
    attack: Callable  # (server): to its end
    prepare: Callable = lambda server: None
    memory_mb: int = 100
    options: tuple = ()
    well_behaved: bool = False  # a request that must succeed: the attack asserts its replies


def pipeline(server, commands, timeout=300.0):
    """Decoded replies of commands that are sent while replies are read."""
    with server.connect(timeout=timeout) as connection:
        replies = connection.pipeline(commands)
        assert len(replies) == len(commands), f"{len(replies)} replies of {len(commands)}"
        return replies


def attempt(server, *command, timeout=300.0):
    """The reply, or None if the server closed the connection instead: an attacker takes what comes."""
    try:
        with server.connect(timeout=timeout) as connection:
            return connection.call(*command)
    except (Closed, ConnectionError):
        return None


def set_many(server, names, value=b"x", *more):
    with server.connect(timeout=300.0) as connection:
        names = list(names)
        for first in range(0, len(names), 5000):
            part = names[first : first + 5000]
            connection.exchange(b"".join(resp.encode(["SET", name, value, *more]) for name in part), len(part))


def together(count, work):
    """Runs `work(number)` in so many threads."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except Exception as failure:  # told below, in the thread that can fail the test
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# --- users with many patterns ---


def prepare_user_with_patterns(server):
    set_many(server, ("a" * 60 + f":{n}" for n in range(20_000)))
    set_many(server, ("a" * 20_000 + f":{n}" for n in range(50)))
    with server.connect(timeout=300.0) as connection:
        patterns = [f"~*a*a?a*{n}b*" for n in range(1000)] + [f"!~*a*a?{n}c*" for n in range(20)]  # none matches, and none is ruled out by its head
        assert connection.call("ACL", "SETUSER", "hog", "on", "nopass", "+@all", *patterns, "~*:1*") == "OK"


TOO_COSTLY = "NOPERM the keys used as arguments are too many or too long to be compared with the patterns of this user"


def attack_patterns_of_a_user(server):
    """Lists that match every key with every pattern, and requests of many keys."""
    with server.connect(timeout=300.0) as connection:
        assert connection.call("AUTH", "hog", "x") == "OK"
        found, cursor = 0, b"0"
        while True:
            cursor, keys = connection.call("SCAN", cursor, "COUNT", "10000")
            found += len(keys)
            if cursor == b"0":
                break
        assert found == 11_111  # the keys of 20 KB would take 40 million comparisons each
        assert len(connection.call("KEYS", "*")) == found
        connection.call("RANDOMKEY")
        allowed = ["a" * 60 + ":1" + "0" * (n % 4) for n in range(2000)]
        assert len(connection.call("MGET", *allowed[:25])) == 25
        assert connection.call("MGET", *allowed) == TOO_COSTLY
        assert str(connection.call("MGET", *["a" * 60 + f":{n}" for n in range(2000)])).startswith("NOPERM ")
        assert connection.call("MULTI") == "OK"
        queued = connection.pipeline([("GET", key) for key in allowed[:500]])
        assert queued[:25] == ["QUEUED"] * 25 and queued[100:] == [TOO_COSTLY] * 400
        assert str(connection.call("EXEC")).startswith("EXECABORT ")
        assert connection.call("MULTI") == "OK"
        connection.pipeline([("GET", key) for key in allowed[:25]] + [("SCAN", "0", "COUNT", "512"), ("RANDOMKEY",)])
        assert len(connection.call("EXEC")) == 27
        assert str(connection.call("CACHE.PURGE", "PREFIX", "a")).startswith("NOPERM ")


def prepare_long_keys_of_a_user(server):
    with server.connect(timeout=300.0) as connection:
        patterns = [f"~*a?{n}*y" for n in range(1000)]  # which the first bytes of a key do not rule out
        assert connection.call("ACL", "SETUSER", "hog", "on", "nopass", "+@all", *patterns) == "OK"
        assert connection.call("ACL", "SETUSER", "one", "on", "nopass", "+@all", "~*:t1:*") == "OK"


def attack_long_keys_of_a_user(server):
    """Requests that the user may not make, but that would take minutes to find that out."""
    for size in (400_000, 10_000):
        with server.connect(timeout=300.0) as connection:
            assert connection.call("AUTH", "hog", "x") == "OK"
            key = b"y" * size
            for command in (("GET", key), ("SET", key, "x"), ("MGET", key, key), ("CACHE.GET", key, "WAIT", "1"), ("EXISTS", key)):
                assert connection.call(*command) == TOO_COSTLY
            assert connection.call("MULTI") == "OK"
            assert connection.call("GET", key) == TOO_COSTLY
            assert str(connection.call("EXEC")).startswith("EXECABORT ")
    for user in ("hog", "one"):
        with server.connect(timeout=300.0) as connection:
            assert connection.call("AUTH", user, "x") == "OK"
            for command in ("GET", "EXISTS"):  # such a name is not kept
                assert str(connection.call(command, b"y" * (16 * MB))).startswith(("NOPERM ", "OOM "))
    with server.connect(timeout=300.0) as connection:
        assert connection.call("AUTH", "one", "x") == "OK"
        assert connection.call("MGET", *[b":t1" * 130_000] * 12) == TOO_COSTLY
        assert connection.call("MGET", *["a:t1:b"] * 10_000) == [None] * 10_000


# --- patterns ---

LONG_KEY = "a" * 80_000
BACKTRACKING = "*" + "a" * 40_000 + "b"


def prepare_long_key(server):
    set_many(server, [LONG_KEY])


def attack_scan_pattern(server):
    with server.connect(timeout=300.0) as connection:
        cursor = b"0"
        while True:
            cursor, found = connection.call("SCAN", cursor, "MATCH", BACKTRACKING, "COUNT", "100000")
            assert found == []
            if cursor == b"0":
                return


def attack_keys_pattern(server):
    assert attempt(server, "KEYS", BACKTRACKING) == []


def attack_class_pattern(server):
    attempt(server, "KEYS", "[" + "a" * MB + "]*")
    attempt(server, "CONFIG", "GET", "[" + "b" * MB + "]" * 100)
    attempt(server, "CONFIG", "GET", *["*" + "a*" * 200 + "q"] * 2000)


def prepare_policies(server):
    with server.connect() as connection:
        for n in range(250):
            assert connection.call("CACHE.POLICY", "SET", f"p{n}", "match", "*" + "a" * 900 + f"[b]{n}", "ttl", "1h") == "OK"


def attack_policies(server):
    with server.connect(timeout=300.0) as connection:
        for _ in range(20):
            connection.call("CACHE.GET", "a" * 2000)
            connection.call("SET", "a" * 2000, "x")


def largest_pattern(n):
    """With as many tables as a policy's pattern may have, and a beginning and an end that no other has."""
    ends = f"{n}".rjust(32, "e")
    return ends[::-1] + "*" + "?ab*" * 4 + "c*" * 50 + "a" * 800 + ends


def attack_policy_memory(server):
    with server.connect(timeout=300.0) as connection:
        for n in range(250):
            refused = connection.call("CACHE.POLICY", "SET", f"p{n}", "match", "*" + "?ab*" * 250)
            assert "16 KB" in str(refused), refused
        for n in range(250):
            assert connection.call("CACHE.POLICY", "SET", f"p{n}", "match", largest_pattern(n), "ttl", "1h") == "OK"
        for n in range(250):
            pattern = f"{n}".rjust(1024, "e") if n % 2 else f"{n}".ljust(1024, "e")
            assert connection.call("CACHE.POLICY", "SET", f"p{n}", "match", pattern) == "OK"
        for n in range(250):
            assert connection.call("CACHE.POLICY", "SET", f"p{n}", "match", largest_pattern(n)) == "OK"
        for length in (500, 2000):
            connection.call("SET", largest_pattern(0)[:32] + "a" * length, "x")
            connection.call("CACHE.GET", largest_pattern(0)[:32] + "a" * length)


def attack_pattern_memory(server):
    """KEYS of 300 clients at once, whose patterns are short and long when they are compiled."""
    def ask(_):
        attempt(server, "KEYS", "*" + "?ab*" * 250)

    together(300, ask)


# --- settings and descriptions ---


def attack_settings(server):
    long = b"w" * (60 * MB)
    assert "longer than 4096 bytes" in attempt(server, "CONFIG", "SET", "requirepass", long)
    attempt(server, "CONFIG", "SET", "requirepass", long[: 30 * MB], "save", long[: 30 * MB])


def fine_descriptions(server):
    """A few bytes of a name for kilobytes of a description, again and again."""
    times = 20_000

    def ask(number):
        with server.connect(timeout=300.0) as connection:
            what = ("INFO", "DOCS")[number % 2]
            one = connection.raw("COMMAND", what, "client")
            head = len(b"*1\r\n")
            left = len(b"*%d\r\n" % (int(one[1:2]) * times)) + times * (len(one) - head)
            connection.send_command("COMMAND", what, *["client"] * times)
            while left > 0:
                data = connection.socket.recv(min(MB, left))
                assert data
                left -= len(data)
            assert connection.call("PING") == "PONG"

    together(4, ask)


# --- replies ---


def prepare_value(size, name="big"):
    def prepare(server):
        assert attempt(server, "SET", name, b"v" * size) == "OK"

    return prepare


def attack_mget_of_one_value(server):
    """20 KB a hundred thousand times: 2 GB of reply from one block."""
    with server.connect(timeout=300.0) as connection:
        connection.send_command("MGET", *["big"] * 100_000)
        left = None
        received = 0
        try:
            while left is None or left > 0:
                data = connection.socket.recv(MB)
                if not data:
                    return
                if left is None:
                    if data.startswith(b"-"):
                        return
                    left = len(b"*100000\r\n") + 100_000 * (len(b"$20480\r\n") + 20_480 + 2)
                received += len(data)
                left -= len(data)
        except ConnectionError:
            return


def attack_keys(server):
    """Four clients at once ask a full cache for all its names."""
    together(4, lambda _: attempt(server, "KEYS", "*"))


def prepare_full_of_small_keys(server):
    """Small keys until it evicts."""
    command = ["redis-benchmark", "-p", str(server.port), "-c", "1", "-P", "500", "-n", "500000", "-r", "1000000000", "-q", "SET", "key:__rand_int__", "x"]
    with server.connect(timeout=300.0) as connection:
        evicted = 0
        while evicted < 10_000:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
            evicted = int(connection.call("INFO", "stats").decode().split("evicted_keys:")[1].split()[0])


def prepare_long_names(server):
    set_many(server, (f"{n:06}" + "k" * 8000 for n in range(8000)))


def attack_scan_of_everything(server):
    together(2, lambda _: attempt(server, "SCAN", "0", "COUNT", "1000000000"))


def prepare_lcs(server):
    make = random.Random(1)
    for name in ("lcs:a", "lcs:b"):
        attempt(server, "SET", name, bytes(make.choice(b"ab") for _ in range(4000)))


def attack_lcs(server):
    together(4, lambda _: attempt(server, "LCS", "lcs:a", "lcs:b", "IDX"))


def attack_echo(server):
    attempt(server, "ECHO", b"e" * (60 * MB))
    together(3, lambda _: attempt(server, "PING", b"p" * (30 * MB)))


def attack_getrange(server):
    together(3, lambda _: attempt(server, "GETRANGE", "big", "1", "-2"))


def attack_errors(server):
    """Errors that repeat what the client sent."""
    long = b"w" * (8 * MB)
    for command in (["CONFIG", "SET", long, "1"], ["CONFIG", "SET", "timeout", long], [long], ["CLIENT", long], ["OBJECT", long, "k"],
                    ["CACHE.GET", "k", long], ["CACHE.POLICY", "SET", "p", long, "x"], ["SET", "k", "v", long], ["SELECT", long],
                    ["CLIENT", "KILL", "ID", long], ["COMMAND", "GETKEYS", long], ["CACHE.POLICY", "SHOW", long],
                    ["HELLO", "3", "AUTH", "u", long], ["CLIENT", "NO-EVICT", long], ["BITFIELD", "k", "GET", long, "0"]):
        attempt(server, *command)


def attack_digest(server):
    with contextlib.suppress(Closed, ConnectionError), server.connect(timeout=300.0) as connection:
        connection.exchange(resp.encode(["DIGEST", "big"]) * 32, 32)


def attack_bits(server):
    with contextlib.suppress(Closed, ConnectionError), server.connect(timeout=300.0) as connection:
        connection.exchange(resp.encode(["BITCOUNT", "big"]) * 16 + resp.encode(["BITPOS", "big", "1"]) * 16 +
                            resp.encode(["BITOP", "NOT", "other", "big"]) * 8, 40)


def attack_client_list_of_one(server):
    with server.connect(timeout=300.0) as connection:
        number = connection.call("CLIENT", "ID")
    attempt(server, "CLIENT", "LIST", "ID", *[number] * 300_000)


def attack_client_list(server):
    with contextlib.ExitStack() as stack:
        for _ in range(800):
            stack.enter_context(server.connect())
        with contextlib.suppress(Closed, ConnectionError), server.connect(timeout=300.0) as connection:
            connection.exchange(resp.encode(["CLIENT", "LIST"]) * 50, 50)


def attack_names(server):
    for _ in range(3):
        attempt(server, "CLIENT", "SETNAME", b"n" * (30 * MB))
        attempt(server, "CLIENT", "SETINFO", "LIB-NAME", b"n" * (30 * MB))
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            connection = stack.enter_context(server.connect(timeout=300.0))
            with contextlib.suppress(Closed, ConnectionError):
                connection.call("CLIENT", "SETNAME", b"n" * (10 * MB))


def attack_watched_names(server):
    """Each name that is watched is kept twice."""
    for sizes in ([80 * MB], [30 * MB, 30 * MB], [2 * MB] * 20):
        attempt(server, "WATCH", *(b"%d" % n + b"n" * size for n, size in enumerate(sizes)))
    with contextlib.ExitStack() as stack:
        for number in range(20):
            connection = stack.enter_context(server.connect(timeout=300.0))
            with contextlib.suppress(Closed, ConnectionError):
                for n in range(10):
                    connection.call("WATCH", b"%d:%d" % (number, n) + b"n" * MB)


def attack_reader_that_stops(server):
    """Asks for much and reads nothing, from several connections."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(server.connect(timeout=5.0)) for _ in range(8)]
        for reader in readers:
            reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(ConnectionError, OSError):
                for _ in range(20):
                    reader.send(resp.encode(["LRANGE-NONE", "x" * 100]) * 20_000)
        attempt(server, "PING")


def attack_fill_and_drop(server):
    """Much is stored and dropped, faster than its pages go back: small values, then ones that have blocks of their own."""
    for size, count in ((850, 90_000), (850, 90_000), (9000, 9000), (850, 90_000), (100_000, 850), (850, 90_000)):
        names = [f"k{n}" for n in range(count)]
        set_many(server, names, b"v" * size)
        attempt(server, "DEL", *names[: count // 2])
        attempt(server, "DEL", *names[count // 2 :])


def attack_many_arguments(server):
    for n in (50_000, 300_000, 1_000_000):
        attempt(server, "EXISTS", *[b""] * n)


def attack_inline_while_blocked(server):
    """What comes while a client waits is received, and parsed when the wait is over."""
    with server.connect(timeout=300.0) as holder:
        holder.call("CACHE.GET", "m", "LEASE", "60000")
        with contextlib.suppress(Closed, ConnectionError), server.connect(timeout=300.0) as connection:
            connection.send(resp.encode(["CACHE.GET", "m", "WAIT", "1000"]))
            connection.send(b"exists" + b" a" * 1_200_000 + b"\r\n")
            connection.read()
            connection.read()


def attack_scans_at_once(server):
    """Hundreds of clients whose every request takes as long as one may."""
    scan = resp.encode(["SCAN", "0", "COUNT", "10000"])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(timeout=300.0)) for _ in range(400)]
        for client in clients:
            client.send(scan * 4)
        for client in clients:
            with contextlib.suppress(Closed, ConnectionError):
                for _ in range(4):
                    client.read_raw()


# --- transactions, whose commands add up ---


def execute(server, commands):
    """The replies of a transaction, or None."""
    with contextlib.suppress(Closed, ConnectionError), server.connect(timeout=300.0) as connection:
        connection.exchange(b"".join([resp.encode(["MULTI"]), *map(resp.encode, commands)]), 1 + len(commands))
        return connection.call("EXEC")
    return None


def attack_flushes_in_exec(server):
    """Each SET needs a segment, which each FLUSHALL puts by to be freed."""
    execute(server, [["SET", "a", "b"], ["FLUSHALL"]] * 15_000)
    assert attempt(server, "SET", "x", "y") == "OK"


def attack_long_commands_in_exec(server):
    """Each is short enough for one hold of a lock."""
    attempt(server, "SET", "q", b"q" * 250_000)
    attempt(server, "SET", "a", b"ab" * 300)
    attempt(server, "SET", "b", b"ba" * 300)
    execute(server, [["LCS", "a", "b", "LEN"]] * 25_000)
    execute(server, [["SET", "q", "x", "IFDEQ", "0" * 16]] * 20_000)
    execute(server, [["SETRANGE", "z", "1000000", "x"], ["DEL", "z"]] * 10_000)


def attack_many_keys_in_exec(server):
    execute(server, [["EXISTS", *[b""] * 10_000]] * 90)


# --- room for much ---


def attack_growth(server):
    """Room for one value means that most of the small entries go."""
    with contextlib.suppress(Closed, ConnectionError), server.connect(timeout=300.0) as connection:
        assert connection.call("SETRANGE", "large", str(40 * MB), "x") == 40 * MB + 1
        connection.call("BITOP", "NOT", "other", "large")
        connection.call("SETRANGE", "large", str(60 * MB), "x")


# --- the herd ---


def prepare_tagged(server):
    """20 000 leased entries, most with many tags."""
    with server.connect(timeout=300.0) as connection:
        tags = [f"t{n}" for n in range(500)]
        for first in range(0, 20_000, 500):
            for n in range(first, first + 500):
                connection.send_command("CACHE.SET", f"e:{n}", "v", "PX", "3600000", "STALE", "3600000", "TAGS", "2", tags[n % 500], tags[n * 7 % 500])
            for _ in range(500):
                connection.read()
            connection.exchange(b"".join(resp.encode(["CACHE.GET", f"missing:{n}", "LEASE", "600000"]) for n in range(first, first + 500)), 500)


def attack_purge(server):
    with server.connect(timeout=300.0) as connection:
        connection.call("CACHE.PURGE", "TAGS", "16000", *[f"t{n}" for n in range(16_000)])
        for _ in range(20):
            connection.call("CACHE.PURGE", "TAGS", "1", "t1")
            connection.call("CACHE.PURGE", "PREFIX", "missing:1")


def attack_flush(server):
    pipeline(server, [["FLUSHALL"], ["PING"]])


# --- requests that must succeed ---

BIG = 20 * MB


def fine_getrange(server):
    with server.connect(timeout=300.0) as connection:
        assert len(connection.call("GETRANGE", "big", "1", "-1")) == BIG - 1


def fine_echo(server):
    with server.connect(timeout=300.0) as connection:
        assert connection.call("ECHO", b"e" * (10 * MB)) == b"e" * (10 * MB)


def wait_until_idle(server):
    """Until the server has stopped executing, because it is done or because somebody has to read first."""
    with server.connect(timeout=300.0) as control:
        before, same = -1, 0
        while same < 5:
            done = int(control.call("INFO", "stats").decode().split("total_commands_processed:")[1].split()[0])
            same = same + 1 if done - before <= 100 else 0  # neighbours ask too
            before = done
            time.sleep(0.05)


def fine_pipeline(server):
    """All of it is sent, and the server left to itself, before a single reply is read: as redis-py's pipeline does, but slower."""
    attempt(server, "SET", "k", b"v" * 1024)
    with server.connect(timeout=300.0) as connection:
        connection.send(resp.encode(["GET", "k"]) * 100_000)
        wait_until_idle(server)
        for n in range(100_000):
            assert connection.read_raw()[:6] == b"$1024\r", n


def fine_transaction(server):
    key = "user:1001"
    attempt(server, "SET", key, b"v" * 16)
    with server.connect(timeout=300.0) as connection:
        connection.send(resp.encode(["MULTI"]) + resp.encode(["GET", key]) * 100_000 + resp.encode(["EXEC"]))
        wait_until_idle(server)
        assert connection.read() == "OK"
        for _ in range(100_000):
            assert connection.read_raw() == b"+QUEUED\r\n"
        assert connection.read() == [b"v" * 16] * 100_000


def prepare_hundred_values(server):
    set_many(server, (f"v:{n}" for n in range(100)), b"v" * MB)


def fine_mget(server):
    with server.connect(timeout=300.0) as connection:
        found = connection.call("MGET", *[f"v:{n}" for n in range(100)])
        assert [len(value) for value in found] == [MB] * 100


def fine_many_clients(server):
    """Each sends now and then a request that is a little larger than the buffer of an idle client."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(timeout=300.0)) for _ in range(800)]
        for _ in range(3):
            for n, client in enumerate(clients):
                client.send(resp.encode(["SET", f"k{n}", b"v" * 1000]))
            for client in clients:
                assert client.read() == "OK"


# --- unauthenticated clients ---


def wait_until_idle_with_password(server):
    """Some rounds of the threads, in each of which a client might be closed."""
    with server.connect(timeout=300.0) as control:
        assert control.call("AUTH", "pw") == "OK"
        for _ in range(50):
            control.call("PING")
            time.sleep(0.01)


def fine_users_among_unauthenticated(server):
    """Unauthenticated clients send requests that they never finish; users are served."""
    users, unauthenticated = [], []
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            user = stack.enter_context(server.connect(timeout=60.0))
            assert user.call("AUTH", "pw") == "OK"
            user.send(b"*21\r\n$6\r\nEXISTS\r\n" + b"$15000\r\n" + (b"u" * 15_000 + b"\r\n$15000\r\n") * 18)
            users.append(user)
        for _ in range(60):
            with contextlib.suppress(OSError):
                client = stack.enter_context(server.connect(timeout=60.0))
                client.send(b"*10\r\n" + b"".join(b"$16000\r\n" + b"s" * 16_000 + b"\r\n" for _ in range(6)))
                unauthenticated.append(client)
        wait_until_idle_with_password(server)
        for user in users:
            user.send(b"u" * 15_000 + b"\r\n$15000\r\n" + b"u" * 15_000 + b"\r\n")
            assert user.read() == 0


def attack_old_versions(server):
    """HGETALL by clients that do not read, of a hash of 20 MB that is written anew after each."""
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(server.connect(timeout=300.0))
        for version in range(12):
            value = f"{version}".ljust(350, "x")
            replies = writer.pipeline([("HSET", "versions", *(word for field in range(first, first + 500) for word in (field, value)))
                                       for first in range(0, 60_000, 500)])
            assert len(replies) == 120
            reader = stack.enter_context(server.connect(timeout=300.0))
            reader.send_command("HGETALL", "versions")
        until = time.monotonic() + 30
        while int(writer.call("INFO", "memory").split(b"used_memory_pinned:")[1].split()[0]) > 64 * MB:
            assert time.monotonic() < until
            time.sleep(0.1)


ALL = [
    Scenario("SCAN with a pattern that backtracks", attack_scan_pattern, prepare_long_key),
    Scenario("KEYS with a pattern that backtracks", attack_keys_pattern, prepare_long_key),
    Scenario("classes of a megabyte", attack_class_pattern, lambda server: set_many(server, (f"{n}" for n in range(1000)))),
    Scenario("250 policies that backtrack", attack_policies, prepare_policies),
    Scenario("250 policies that take much when they are compiled", attack_policy_memory, prepare_full_of_small_keys),
    Scenario("patterns that take much when compiled", attack_pattern_memory, lambda server: set_many(server, (f"{n}" for n in range(50_000)))),
    Scenario("settings of 60 MB", attack_settings),
    Scenario("descriptions of one command 20 000 times", fine_descriptions, well_behaved=True),
    Scenario("MGET of one value 100 000 times", attack_mget_of_one_value, prepare_value(20_480)),
    Scenario("KEYS of a full cache", attack_keys, prepare_full_of_small_keys),
    Scenario("KEYS of long names", attack_keys, prepare_long_names),
    Scenario("SCAN of everything at once", attack_scan_of_everything, prepare_full_of_small_keys),
    Scenario("LCS IDX", attack_lcs, prepare_lcs, memory_mb=64),
    Scenario("ECHO and PING of much", attack_echo),
    Scenario("GETRANGE of much", attack_getrange, prepare_value(70 * MB)),
    Scenario("errors that repeat much", attack_errors),
    Scenario("DIGEST of much", attack_digest, prepare_value(60 * MB)),
    Scenario("bit commands on much", attack_bits, prepare_value(30 * MB)),
    Scenario("CLIENT LIST ID of oneself 300 000 times", attack_client_list_of_one),
    Scenario("CLIENT LIST of 800, 50 times", attack_client_list),
    Scenario("a user with the most patterns", attack_patterns_of_a_user, prepare_user_with_patterns),
    Scenario("keys too long for the patterns of a user", attack_long_keys_of_a_user, prepare_long_keys_of_a_user),
    Scenario("names of 30 MB", attack_names),
    Scenario("names of 80 MB that are watched", attack_watched_names, prepare_full_of_small_keys),
    Scenario("readers that stop", attack_reader_that_stops),
    Scenario("readers that stop in old versions of a hash", attack_old_versions, memory_mb=128),
    Scenario("much stored and dropped", attack_fill_and_drop),
    Scenario("1 000 000 arguments", attack_many_arguments, prepare_full_of_small_keys),
    Scenario("a line of 2.4 MB to a client that waits", attack_inline_while_blocked),
    Scenario("SCANs of 400 clients", attack_scans_at_once, prepare_full_of_small_keys),
    Scenario("FLUSHALL 15 000 times in a transaction", attack_flushes_in_exec, prepare_full_of_small_keys),
    Scenario("LCS, digests and growth thousands of times in a transaction", attack_long_commands_in_exec),
    Scenario("900 000 keys in a transaction", attack_many_keys_in_exec, prepare_full_of_small_keys),
    Scenario("40 MB for one value of a full cache", attack_growth, prepare_full_of_small_keys),
    Scenario("PURGE of 16 000 tags", attack_purge, prepare_tagged),
    Scenario("FLUSHALL of a full cache", attack_flush, prepare_full_of_small_keys),
    Scenario("GETRANGE of 20 MB", fine_getrange, prepare_value(BIG), memory_mb=256, well_behaved=True),
    Scenario("ECHO of 10 MB", fine_echo, memory_mb=256, well_behaved=True),
    Scenario("a pipeline of 100 000 GETs", fine_pipeline, memory_mb=256, well_behaved=True),
    Scenario("a transaction of 100 000 GETs", fine_transaction, memory_mb=256, well_behaved=True),
    Scenario("MGET of 100 MB", fine_mget, prepare_hundred_values, memory_mb=256, well_behaved=True),
    Scenario("800 clients with requests of 1 KB", fine_many_clients, well_behaved=True),
    Scenario("users among unauthenticated clients", fine_users_among_unauthenticated, memory_mb=20,
             options=("--requirepass", "pw", "--maxmemory-clients", "2mb"), well_behaved=True),
]


class Neighbours:
    """A client on each I/O thread that asks for a small value all the time, and how long it waited at most."""

    def __init__(self, server, clock, password=None, count=2):
        self._clock = clock
        self._stop = threading.Event()
        self.longest = [0.0] * count
        self.answered = [0] * count
        self.failures = []
        self._connections = [server.connect(timeout=300.0) for _ in range(count)]  # the least loaded thread takes each
        for connection in self._connections:
            if password:
                assert connection.call("AUTH", password) == "OK"
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(count)]

    def _ask(self, number):
        request = resp.encode(["GET", "neighbour"])
        try:
            while not self._stop.is_set():
                start = self._clock()
                self._connections[number].send(request)
                self._connections[number].read_raw()
                self.longest[number] = max(self.longest[number], self._clock() - start)
                self.answered[number] += 1
                self._stop.wait(0.001)
        except (Closed, OSError) as failure:
            self.failures.append(failure)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.close()
