"""Commands that look at large values: what they answer, that it is of one moment, and that others do not wait for them."""

import random
import socket
import threading

import pytest

from tests.support import resp
from tests.support.servers import eventually, is_redis

MB = 1 << 20


def bits_of(data, first, last):
    """The bits from `first` to `last`, both included."""
    whole = int.from_bytes(data, "big")
    size = len(data) * 8
    return whole >> (size - 1 - last) & ((1 << (last - first + 1)) - 1)


@pytest.fixture(scope="module")
def sparse():
    """Mostly zeros, so that BITPOS has far to go."""
    make = random.Random(7)
    data = bytearray(3 * MB + 5)
    for _ in range(1000):
        data[make.randrange(MB, len(data))] = make.randrange(256)
    return bytes(data)


def test_bitcount_of_a_large_value(client, sparse):
    client.call("SET", "k", sparse)
    size = len(sparse)
    assert client.call("BITCOUNT", "k") == int.from_bytes(sparse, "big").bit_count()
    assert client.call("BITCOUNT", "k", "0", "-1") == int.from_bytes(sparse, "big").bit_count()
    for first, last in ((5, size - 3), (MB + 1, 2 * MB + 7), (0, 300_000)):
        assert client.call("BITCOUNT", "k", first, last) == int.from_bytes(sparse[first : last + 1], "big").bit_count()
    for first, last in ((3, size * 8 - 2), (8 * MB + 1, 20 * MB + 6)):
        assert client.call("BITCOUNT", "k", first, last, "BIT") == bits_of(sparse, first, last).bit_count()


def test_bitpos_in_a_large_value(client, sparse):
    client.call("SET", "k", sparse)
    first_set = len(sparse) * 8 - int.from_bytes(sparse, "big").bit_length()
    assert client.call("BITPOS", "k", 1) == first_set
    assert client.call("BITPOS", "k", 1, 2 * MB) == 2 * MB * 8 + (len(sparse) - 2 * MB) * 8 - int.from_bytes(sparse[2 * MB :], "big").bit_length()
    assert client.call("BITPOS", "k", 1, 0, MB - 1) == -1
    assert client.call("BITPOS", "k", 1, 3, MB * 8 - 1, "BIT") == -1
    client.call("SET", "ones", b"\xff" * MB)
    assert client.call("BITPOS", "ones", 0) == MB * 8
    assert client.call("BITPOS", "ones", 0, 0, -1) == -1
    client.call("SETRANGE", "ones", MB - 1, b"\xfd")
    assert client.call("BITPOS", "ones", 0) == MB * 8 - 2


def test_digest_of_a_large_value_is_what_conditions_compare(client, sparse):
    if is_redis():
        pytest.skip("Redis 7 has no DIGEST")
    client.call("SET", "k", sparse)
    digest = client.call("DIGEST", "k")
    client.call("COPY", "k", "other")
    assert client.call("DIGEST", "other") == digest and len(digest) == 16
    client.call("SETRANGE", "other", len(sparse) - 1, b"\x01" if sparse[-1:] != b"\x01" else b"\x02")
    assert client.call("DIGEST", "other") != digest
    assert client.call("DELEX", "k", "IFDEQ", digest) == 1


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(c in rest for c in part)


def test_lcs_of_long_values(client):
    make = random.Random(3)
    a, b = (bytes(make.choice(b"abcd") for _ in range(5000)) for _ in range(2))
    client.call("MSET", "a", a, "b", b)
    found = client.call("LCS", "a", "b")
    assert is_subsequence(found, a) and is_subsequence(found, b)
    assert client.call("LCS", "a", "b", "LEN") == client.call("LCS", "b", "a", "LEN") == len(found)
    listed = client.call("LCS", "a", "b", "IDX", "WITHMATCHLEN")
    assert sum(size for _, _, size in listed[1]) == listed[3] == len(found)


@pytest.mark.parametrize("operation, combine", [("AND", lambda x, y: x & y), ("OR", lambda x, y: x | y), ("XOR", lambda x, y: x ^ y)])
def test_bitop_of_large_values(client, operation, combine):
    make = random.Random(11)
    a, b = make.randbytes(MB + 3), make.randbytes(700_000)
    client.call("MSET", "a", a, "b", b, "small", b"xyz")
    for names, values in ((["a", "b"], [a, b]), (["b", "a", "none"], [b, a, b""]), (["a", "small"], [a, b"xyz"]), (["a", "a"], [a, a])):
        size = max(map(len, values))
        result = int.from_bytes(values[0].ljust(size, b"\0"), "big")
        for value in values[1:]:
            result = combine(result, int.from_bytes(value.ljust(size, b"\0"), "big"))
        assert client.call("BITOP", operation, "to", *names) == size
        assert client.call("GET", "to") == result.to_bytes(size, "big")


def test_bitop_not_of_a_large_value_onto_itself(client):
    data = random.Random(5).randbytes(MB)
    client.call("SET", "k", data)
    assert client.call("BITOP", "NOT", "k", "k") == MB
    assert client.call("GET", "k") == bytes(255 - byte for byte in data)


def test_bitop_answers_of_one_moment(connect):
    """Two values that are always written together are equal at every moment: XOR of them is nothing but zeros."""
    size = 400_000
    states = [bytes([n]) * size for n in (0, 255, 170)]
    writer, reader = connect(), connect()
    writer.call("MSET", "x", states[0], "y", states[0])
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            n += 1
            writer.call("MSET", "x", states[n % 3], "y", states[n % 3])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        done = 0
        while done < 100:
            reply = reader.call("BITOP", "XOR", "to", "x", "y")
            if isinstance(reply, resp.ErrorReply):  # the writer was too quick for it
                assert str(reply).startswith("ERR the sources of BITOP kept changing")
                continue
            done += 1
            assert reply == size
            assert reader.call("GET", "to") == bytes(size)
    finally:
        stop.set()
        thread.join()


def test_what_waits_behind_a_long_command_comes_after_it(client, sparse):
    client.call("SET", "k", sparse)
    count = client.call("BITCOUNT", "k")
    replies = client.pipeline([["BITOP", "NOT", "to", "k"], ["BITCOUNT", "to"], ["SET", "k", "x"], ["BITCOUNT", "k"], ["STRLEN", "to"]])
    assert replies == [len(sparse), len(sparse) * 8 - count, "OK", 4, len(sparse)]


@pytest.mark.skipif(is_redis(), reason="how Pinfold does it")
@pytest.mark.parametrize("command", [["BITCOUNT", "k"], ["BITPOS", "k", "1"], ["DIGEST", "k"], ["BITOP", "NOT", "to", "k"]])
def test_inside_exec_large_values_are_refused(client, command):
    client.call("SET", "k", bytes(256 * 1024 + 1))
    client.call("MULTI")
    client.call(*command)
    client.call("INCR", "n")
    refusal, one = client.call("EXEC")
    assert refusal == f"ERR {command[0]} inside MULTI looks at values of 256 KB at most" and one == 1
    # BITOP writes as much as it reads.
    client.call("SET", "k", bytes(128 * 1024 if command[0] == "BITOP" else 256 * 1024))
    client.call("MULTI")
    client.call(*command)
    (reply,) = client.call("EXEC")
    assert not isinstance(reply, resp.ErrorReply)


@pytest.mark.skipif(is_redis(), reason="Redis serves one client after the other")
@pytest.mark.parametrize("command", [["BITCOUNT", "big"], ["BITPOS", "big", "1"], ["DIGEST", "big"]])
def test_a_neighbour_is_answered_between_long_commands(start, command):
    """On one thread: whoever asks for little behind fifty long commands is answered before the last of them."""
    server = start("--threads", "1", "--maxmemory", "200mb")
    with server.connect(timeout=120) as large, server.connect(timeout=120) as neighbour:
        neighbour.call("SET", "big", bytes(40 * MB))
        many = 50
        large.send(resp.encode(command) * many)
        assert large.read_raw()  # it has begun
        for _ in range(3):
            assert neighbour.call("PING") == "PONG"
        large.socket.setblocking(False)
        try:
            while True:
                large._receive()
        except BlockingIOError:
            pass
        answered = large.buffer.count(b"\r\n") // (2 if command[0] == "DIGEST" else 1)
        large.socket.settimeout(120)
        assert answered < many - 1
        for _ in range(many - 1):
            large.read_raw()


def test_who_closes_its_sending_side_still_gets_the_reply_of_a_long_command(start):
    server = start("--threads", "1")
    with server.connect(timeout=120) as filler:
        filler.exchange(b"".join(b"SET key:%d x\r\n" % n for n in range(150_000)), 150_000)
    with server.connect(timeout=120) as client:
        client.send(resp.encode(["KEYS", "zzz*"]))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_until_closed() == b"*0\r\n"


def test_a_long_command_behind_unread_replies_ends_and_keeps_nothing(start):
    """The value that it looks at is given back although its client does not read."""
    server = start("--threads", "1", "--maxmemory", "300mb")
    with server.connect(timeout=60) as control, server.connect(timeout=60) as lazy:
        control.call("SET", "v", b"v" * 100_000)
        control.call("SET", "big", bytes(60 * MB))
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        number = lazy.call("CLIENT", "ID")

        def unread():
            line = control.call("CLIENT", "LIST", "ID", number).decode()
            return int(line.split(" omem=")[1].split()[0])

        while unread() == 0:
            lazy.send_command("GET", "v")
        lazy.send_command("BITCOUNT", "big")
        before = used_blobs(control)
        assert before > 60 * MB
        control.call("DEL", "big")
        eventually(lambda: used_blobs(control) < 10 * MB)


def used_blobs(connection):
    text = connection.call("INFO", "memory").decode()
    return int(text.split("used_memory_blobs:")[1].split()[0])
