"""Requests on the wire: every split of the input, inline commands, and hostile framing, refused in Redis' words."""

import random
import re
import time

import pytest

from tests.support import resp
from tests.support.servers import bound, eventually, is_redis

PIPELINE = (
    resp.encode([b"SET", b"k\r\n", b"v\x00\r\n*1\r\n"])
    + b"PING\r\n"
    + resp.encode([b"GET", b"k\r\n"])
    + b"*0\r\n\r\n*-1\r\n"
    + b'ECHO "a \\x42\\n"\r\n'
    + resp.encode([b"ECHO", b""])
    + resp.encode([b"nosuch", b"x"])
    + b"  echo  'it\\'s'  \n"
    + resp.encode([b"MGET", b"k\r\n", b"none"])
    + resp.encode([b"ECHO", b"end"])
)
REPLIES = (
    b"+OK\r\n+PONG\r\n$8\r\nv\x00\r\n*1\r\n\r\n$4\r\na B\n\r\n$0\r\n\r\n"
    b"-ERR unknown command 'nosuch', with args beginning with: 'x' \r\n$4\r\nit's\r\n"
    b"*2\r\n$8\r\nv\x00\r\n*1\r\n\r\n$-1\r\n$3\r\nend\r\n"
)


def read_exactly(connection, size):
    while len(connection.buffer) < size:
        connection._receive()
    data = bytes(connection.buffer)
    connection.buffer.clear()
    return data


def test_a_pipeline_is_answered_whatever_the_split(client, connect):
    other = connect()
    for at in range(len(PIPELINE) + 1):
        client.send(PIPELINE[:at])
        other.raw("PING")  # a round trip on another connection gives the first part time to arrive alone
        client.send(PIPELINE[at:])
        assert read_exactly(client, len(REPLIES)) == REPLIES, f"split at {at}"


def test_a_pipeline_is_answered_when_sent_byte_by_byte(client):
    for byte in PIPELINE:
        client.send(bytes([byte]))
        time.sleep(0.0005)
    assert read_exactly(client, len(REPLIES)) == REPLIES


def test_a_pipeline_is_answered_in_random_pieces(client):
    rng = random.Random(1)
    data = PIPELINE * 50
    pieces = []
    while data:
        size = rng.choice((1, 2, 3, 7, 50, 500, 5000))
        pieces.append(data[:size])
        data = data[size:]
    for piece in pieces:
        client.send(piece)
    assert read_exactly(client, 50 * len(REPLIES)) == REPLIES * 50


def test_a_deep_pipeline_is_answered_in_order(client):
    replies = client.pipeline([("ECHO", str(i)) for i in range(20_000)])
    assert replies == [str(i).encode() for i in range(20_000)]


@pytest.mark.parametrize("size", [0, 1, 100, 16383, 16384, 16385, 65535, 65536, 1 << 20, 20 << 20])
def test_values_of_every_size_come_back_whole(client, size):
    value = random.Random(size).randbytes(size)
    assert client.call("SET", "big", value) == "OK"
    assert client.call("GET", "big") == value
    assert client.call("STRLEN", "big") == size
    assert client.pipeline([("GET", "big"), ("PING",), ("GET", "big")]) == [value, "PONG", value]


INLINE = [
    (b"PING\r\n", b"+PONG\r\n"),
    (b"ping\n", b"+PONG\r\n"),
    (b"PING\r\r\n", b"+PONG\r\n"),
    (b"\t PING \t\r\n", b"+PONG\r\n"),
    (b"ECHO a\r\n", b"$1\r\na\r\n"),
    (b'ECHO ""\r\n', b"$0\r\n\r\n"),
    (b"ECHO ''\r\n", b"$0\r\n\r\n"),
    (b'ECHO "a b"\r\n', b"$3\r\na b\r\n"),
    (b'ECHO "\\n\\r\\t\\b\\a\\\\\\""\r\n', b'$7\r\n\n\r\t\x08\x07\\"\r\n'),
    (b'ECHO "\\x00\\xfF\\x4"\r\n', b"$4\r\n\x00\xffx4\r\n"),
    (b'ECHO "\\q"\r\n', b"$1\r\nq\r\n"),
    (b"ECHO 'a\\'b\\n\\x41'\r\n", b"$9\r\na'b\\n\\x41\r\n"),
    (b"ECHO a\"b c\"\r\n", b"$4\r\nab c\r\n"),
    (b"ECHO \xff\xfe\r\n", b"$2\r\n\xff\xfe\r\n"),
    (b"PING a b c\r\n", b"-ERR wrong number of arguments for 'ping' command\r\n"),
    (b"\"\" x\r\n", b"-ERR unknown command '', with args beginning with: 'x' \r\n"),
]  # fmt: skip


@pytest.mark.parametrize("line, reply", INLINE)
def test_an_inline_command_is_split_as_redis_splits_it(client, line, reply):
    client.send(line)
    assert client.read_raw() == reply
    assert client.call("ECHO", "still here") == b"still here"


@pytest.mark.parametrize("nothing", [b"\r\n", b"\n", b"   \r\n", b"\t\n", b"*0\r\n", b"*-1\r\n", b"*-2147483648\r\n", b"\r\n" * 5000, b"*0\r\n" * 5000])
def test_an_empty_request_is_ignored(client, nothing):
    client.send(nothing)
    assert client.call("PING") == "PONG"


HOSTILE = [
    (b"*1\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n$-10\r\n", "invalid bulk length"),
    (b"*1\r\n$abc\r\n", "invalid bulk length"),
    (b"*1\r\n$\r\n", "invalid bulk length"),
    (b"*1\r\n$ 4\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    (b"*1\r\n$18446744073709551616\r\n", "invalid bulk length"),
    (b"*1\r\n$18446744073709551620\r\n", "invalid bulk length"),
    (b"*\r\n", "invalid multibulk length"),
    (b"*abc\r\n", "invalid multibulk length"),
    (b"* 1\r\n", "invalid multibulk length"),
    (b"*+1\r\n", "invalid multibulk length"),
    (b"*01\r\n", "invalid multibulk length"),
    (b"*1.5\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*9223372036854775808\r\n", "invalid multibulk length"),
    (b"*18446744073709551617\r\n", "invalid multibulk length"),
    (b"*1\r\n:1\r\n", "expected '$', got ':'"),
    (b"*2\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
    (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    (b"*2\r\n$4\r\nECHO\r\n+x\r\n", "expected '$', got '+'"),
    (b"*1\r\n\r\n", "expected '$', got '\r'"),
    (b"*1\r$4\r\nPING\r\n", "expected '$', got '4'"),
    (b'"PING\r\n', "unbalanced quotes in request"),
    (b"'PING\r\n", "unbalanced quotes in request"),
    (b'ECHO "a"b\r\n', "unbalanced quotes in request"),
    (b"ECHO 'a'b\r\n", "unbalanced quotes in request"),
    (b'ECHO "a\\"\r\n', "unbalanced quotes in request"),
    (b'ECHO "\\x4\r\n', "unbalanced quotes in request"),
    (b"x" * 70_000, "too big inline request"),
    (b"*" + b"1" * 70_000, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
]


@pytest.mark.parametrize("data, message", HOSTILE, ids=[repr(data[:30]) for data, _ in HOSTILE])
def test_hostile_framing_gets_the_error_of_redis_and_a_close(client, connect, data, message):
    bad = connect()
    message = message.replace("\r", " ")  # an error reply is one line
    # What comes before is still answered, what comes after is not looked at.
    bad.send(resp.encode(["ECHO", "before"]) + data)
    expected = b"$6\r\nbefore\r\n-ERR Protocol error: %b\r\n" % message.encode()
    assert bad.read_until_closed() == expected
    assert client.call("PING") == "PONG"


def test_a_bulk_may_have_anything_for_its_line_end(client):
    """Redis skips two bytes without looking at them."""
    client.send(b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n")
    assert [client.read(), client.read()] == ["PONG", "PONG"]


def test_the_largest_announced_array_is_not_allocated_ahead(server, connect):
    before = server.rss()
    idle = [connect() for _ in range(50)]
    for connection in idle:
        connection.send(b"*1048576\r\n$5\r\n")
    assert connect().call("PING") == "PONG"
    assert server.rss() - before < bound(64 << 20)


@pytest.mark.parametrize(
    "request_lines",
    [
        b"POST /set HTTP/1.1\r\nContent-Type: text/plain\r\n\r\nSET evil 1\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET evil 1\r\n",
        b"post x\r\nSET evil 1\r\n",
        b"host: x\r\nSET evil 1\r\n",
        resp.encode(["POST", "/"]) + b"SET evil 1\r\n",
        resp.encode(["Host:", "x"]) + b"SET evil 1\r\n",
    ],
)
def test_a_browser_cannot_send_commands(server, client, connect, request_lines):
    told = lines_about_http(server)
    browser = connect()
    browser.send(request_lines)
    browser.read_until_closed()
    assert client.call("EXISTS", "evil") == 0
    if not is_redis():  # which says it in other words
        eventually(lambda: lines_about_http(server) == told + 1)


def lines_about_http(server):
    """How many the log has, with those of which it says that they were left out, because there were many in a second."""
    log = server.log()
    left_out = re.findall(r"which sends HTTP.* \((\d+) such lines before|(\d+) lines? about clients that send HTTP", log)
    return log.count("which sends HTTP") + sum(int(before or after) for before, after in left_out)


def test_quit_answers_and_drops_what_follows(client, connect):
    leaving = connect()
    leaving.send(resp.encode(["SET", "a", "1"]) + resp.encode(["QUIT"]) + resp.encode(["SET", "a", "2"]))
    assert leaving.read_until_closed() == b"+OK\r\n+OK\r\n"
    assert client.call("GET", "a") == b"1"


def test_a_client_that_half_closes_gets_its_replies_or_a_close(client, connect):
    import socket

    half = connect()
    half.send(resp.encode(["SET", "half", "1"]))
    assert half.read() == "OK"
    half.socket.shutdown(socket.SHUT_WR)
    assert half.read_until_closed() == b""
    assert client.call("GET", "half") == b"1"


def test_a_connection_that_goes_in_the_middle_of_a_command_leaves_nothing(client, server):
    for _ in range(50):
        with server.connect() as broken:
            broken.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\npartial")
    assert client.call("EXISTS", "a") == 0
    eventually(lambda: len(client.call("CLIENT", "LIST").splitlines()) == 1)


def test_random_bytes_never_stop_the_server(client, connect):
    rng = random.Random(7)
    alphabet = [b"*", b"$", b"\r\n", b"\n", b"1", b"3", b"-1", b"PING", b"SET", b"GET", b"k", b'"', b"'", b"\\x", b"\x00", b"\xff", b"*3\r\n$3\r\n", b" ", b":", b"9" * 20]
    for _ in range(300):
        fuzz = connect()
        try:
            for _ in range(rng.randint(1, 4)):
                fuzz.send(b"".join(rng.choice(alphabet) for _ in range(rng.randint(1, 60))))
        except OSError:
            pass
        fuzz.close()
    assert client.call("PING") == "PONG"


def test_user_bytes_cannot_split_a_reply(client):
    for name in (b"a\r\n+OK", b"x\n-ERR y", b"\r\n"):
        reply = client.raw(name, b"b\r\n:1")
        assert reply.startswith(b"-ERR unknown command '") and reply.count(b"\r\n") == 1 and reply.endswith(b"\r\n")
        reply = client.raw(b"CLIENT", name)
        assert reply.startswith(b"-ERR") and reply.count(b"\r\n") == 1
    assert client.call("PING") == "PONG"
