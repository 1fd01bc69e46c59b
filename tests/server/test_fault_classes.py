"""Classes of faults that other servers have had, each tried on every command of the table (docs/security.md has the list).

The requests are those of tests/bounds/workload.py, which has some for every row, so a new command is tried from its first day.
"""

import os
import pathlib
import random

import pytest

from tests.bounds import workload
from tests.support import resp
from tests.support.servers import is_redis

pytestmark = pytest.mark.skipif(is_redis(), reason="about the commands of Pinfold")
SEED = int(os.environ.get("PINFOLD_SEED") or random.randrange(1 << 32))

NUMBERS = [
    sign + number
    for sign in (b"", b"-")
    for number in (
        b"1", b"2147483647", b"2147483648", b"2147483649", b"4294967295", b"4294967296", b"4294967297", b"9007199254740992", b"9007199254740993",
        b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616", b"1" * 400,
    )
]  # fmt: skip
REALS = [b"nan", b"-nan", b"inf", b"-inf", b"infinity", b"1e308", b"1e400", b"-1e400", b"4.9e-324", b"1e-400", b"0x1p1023", b"." + b"9" * 400, b"1.", b".", b"1e", b"-0"]
# Their negative counts say how many elements are replied, repeated ones too: -2147483648 asks for a reply of gigabytes, and gets it.
REPLY_AS_MANY = {"hrandfield", "srandmember", "zrandmember"}
# What ends the connection or the server, stops all clients, or waits as long as it is told to.
NOT_TRIED = {"shutdown", "quit", "client|pause", "client|reply", "debug", "reset", "hello", "auth", "config|set"}


@pytest.fixture
def server(start):
    print(f"PINFOLD_SEED={SEED}")
    # Some requests write thousands of fields: none is refused for its size.
    return start("--maxmemory", "64mb", "--maxmemory-clients", "32mb", "--proto-max-bulk-len", "1mb", "--threads", "1")


def world(rng):
    """Names of little: what there is of large values would only make this slow."""
    made = workload.World(rng)
    made.long = made.middle = made.blobs = made.huge = made.small
    return made


def requests(rows, count):
    rng = random.Random(SEED)
    of = world(rng)
    for name in sorted(rows):
        for _ in range(count):
            yield name, [encoded(word) for word in workload.REQUESTS[name](of, rng, name.split("|"))]


def encoded(word):
    return word if isinstance(word, bytes) else str(word).encode()


def waiting_commands(connection):
    """Those that wait as long as an argument says, in whatever place."""
    return {entry[0].decode() for entry in connection.call("COMMAND") if "blocking" in entry[2] and not entry[0].startswith(b"cache.")}


def without_waiting(name, waiting, lists):
    """The requests, within transactions if they would wait outside of one."""
    if name not in waiting:
        return lists
    return [request for words in lists for request in ([b"MULTI"], words, [b"EXEC"])]


def send_all(connection, lists):
    """Each request gets exactly one reply, and the server goes on."""
    replies = connection.exchange(b"".join(map(resp.encode, lists)), len(lists))
    assert len(replies) == len(lists), (lists[len(replies)] if len(replies) < len(lists) else None, SEED)
    return replies


def with_each_argument_replaced(words, first, values):
    for at in range(first, len(words)):
        if words[at - 1].upper() == b"WAIT":
            continue
        for value in values:
            yield words[:at] + [value] + words[at + 1 :]


@pytest.mark.parametrize("values", [NUMBERS, REALS], ids=["integers", "reals"])
def test_every_argument_of_every_command_can_be_every_extreme_number(server, values):
    """Overflows of lengths and offsets (CVE-2021-32761, CVE-2022-35977 and their class); NaN (CVE-2023-28856 and its class)."""
    with server.connect() as connection:
        for key in world(random.Random(SEED)).small[:100]:
            connection.call("SET", key, "17")
        waiting = waiting_commands(connection)
        tried = 0
        for name, words in requests(workload.REQUESTS.keys() - NOT_TRIED, 2):
            words = words[:12]
            tried_values = [value for value in values if name not in REPLY_AS_MANY or not value.startswith(b"-")]
            lists = without_waiting(name, waiting, list(with_each_argument_replaced(words, len(name.split("|")), tried_values)))
            # What begins a transaction or a subscription ends here.
            lists.append([b"RESET"])
            send_all(connection, lists)
            tried += len(lists)
        assert tried > 3000
        assert connection.call("PING") == "PONG"
        assert connection.call("INFO", "memory")


def test_numbers_never_become_nan_or_infinite(server):
    with server.connect() as connection:
        for start in (b"1e308", b"-1e308", b"1", b"1.7976931348623157e308"):
            for step in REALS:
                connection.call("SET", "n", start)
                connection.call("INCRBYFLOAT", "n", step)
                value = connection.call("GET", "n").lower()
                assert b"nan" not in value and b"inf" not in value, (start, step, value)


def repeated(words, key):
    """The request with one name in place of each key, tag and count's name."""
    names = set()
    for word in words[1:]:
        if word[:1] in b"smnbhat" and word[1:2].isdigit() or word.startswith(b"missing"):
            names.add(word)
    return [key if word in names else word for word in words]


def test_the_same_name_may_stand_everywhere_in_a_request(server):
    """MSETNX that stores twice (CVE-2023-28425) and its class, for keys and tags."""
    with server.connect() as connection:
        waiting = waiting_commands(connection)
        several = 0
        # Subscriptions have channels, not keys, and several replies.
        subscriptions = {name for name in workload.REQUESTS if name.endswith("subscribe")}
        for name, words in requests(workload.REQUESTS.keys() - NOT_TRIED - subscriptions - {"multi", "monitor"}, 12):
            request = repeated(words, b"same")
            several += request.count(b"same") > 1
            send_all(connection, [*without_waiting(name, waiting, [request]), [b"GET", b"same"], [b"TYPE", b"same"]])
        assert several > 100
        assert connection.call("FLUSHALL") == "OK"
        for request, reply in (
            (["CACHE.SET", "k", "v", "TAGS", "3", "t", "t", "t"], "OK"),
            (["CACHE.MGET", "2", "k", "k"], None),
            (["CACHE.INVALIDATE", "2", "other", "other"], None),
            (["CACHE.PURGE", "TAGS", "3", "t", "t", "t", "SYNC"], None),
            (["EXISTS", "k"], 0),
            (["WATCH", "w", "w"], "OK"),
            (["MSETNX", "d", "1", "d", "2"], 1),
            (["GET", "d"], b"2"),
            (["MSETEX", "2", "e", "1", "e", "2"], 1),
            (["GET", "e"], b"2"),
            (["DEL", "d", "d", "e"], 2),
            (["DBSIZE"], 0),
        ):
            said = connection.call(*request)
            assert not isinstance(said, resp.ErrorReply) and (reply is None or said == reply), (request, said)


def test_names_of_keys_are_found_in_every_request_however_short_it_is_cut(server):
    """COMMAND GETKEYS read beyond the arguments (CVE-2023-36824)."""
    with server.connect() as connection:
        for name, words in requests(workload.REQUESTS.keys() - NOT_TRIED, 4):
            lists = [[b"COMMAND", kind, *words[:size]] for kind in (b"GETKEYS", b"GETKEYSANDFLAGS") for size in range(1, min(len(words), 12) + 1)]
            send_all(connection, lists)
        assert connection.call("PING") == "PONG"


def test_the_server_has_no_udp_socket(start):
    """memcached's amplification (CVE-2018-1000115)."""
    server = start("--bind", "127.0.0.1 -::1")
    opened = {os.readlink(link) for link in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()}
    tcp, udp = set(), set()
    for found, names in ((tcp, ("tcp", "tcp6")), (udp, ("udp", "udp6", "raw", "raw6"))):
        for name in names:
            lines = pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:] if pathlib.Path(f"/proc/net/{name}").exists() else []
            found |= {f"socket:[{line.split()[9]}]" for line in lines}
    assert opened & tcp and not opened & udp


def test_the_server_listens_where_the_settings_say_and_nowhere_else(start_tls, tmp_path):
    """The bus of a cluster is a second port (CVE-2017-15047)."""
    path = str(tmp_path / "pinfold.sock")
    server = start_tls("--bind", "127.0.0.1", "--unixsocket", path)
    opened = {os.readlink(link) for link in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()}
    listening = set()
    for name in ("tcp", "tcp6"):
        table = pathlib.Path(f"/proc/net/{name}")
        for fields in map(str.split, table.read_text().splitlines()[1:] if table.exists() else []):
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in opened:
                listening.add((name, int(fields[1].rpartition(":")[2], 16)))
    assert listening == {("tcp", server.port), ("tcp", server.tls_port)}
    accepting = 0x10000  # __SO_ACCEPTCON
    rows = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]]
    assert [row[7:] for row in rows if int(row[3], 16) & accepting and f"socket:[{row[6]}]" in opened] == [[path]]


def test_the_seed_of_the_hash_is_told_nowhere_and_differs_from_start_to_start(start):
    """With it, anybody can choose keys that collide. SCAN goes in the order of the hashes, so equal orders would mean equal seeds."""
    orders = set()
    for _ in range(3):
        with start().connect() as connection:
            connection.pipeline([("SET", f"k{i}", "v") for i in range(200)])
            orders.add(tuple(connection.call("SCAN", "0", "COUNT", "1000")[1]))
    assert len(orders) == 3
