"""Records of TLS 1.3 that a good client sends rarely, and a bad one sends on purpose."""

import random
import struct

import pytest

from tests.support import resp, tls
from tests.support.servers import bound, eventually, is_redis
from tests.support.tls_records import ALERT, CHANGE_CIPHER_SPEC, CONTENT, DATA, HANDSHAKE, KEY_UPDATE, SEALED, SUITES, Records

PING, PONG = resp.encode(["PING"]), b"+PONG\r\n"
EVIL = resp.encode(["SET", "evil", "1"])
# The descriptions of alerts.
CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, ILLEGAL_PARAMETER, DECODE_ERROR = 0, 10, 20, 22, 47, 50


@pytest.fixture(scope="module")
def server(request, authority):
    """Speaks one suite: the first, but for tests of every_suite."""
    suite = getattr(request, "param", next(iter(SUITES)))
    with tls.pinfold("--tls-ciphersuites", suite, "--tls-protocols", "TLSv1.3", authority=authority) as running:
        yield running


# For what depends on the cipher: sizes, padding, keys.
every_suite = pytest.mark.parametrize("server", SUITES, indirect=True)


@pytest.fixture
def watcher(server):
    with server.connect_plain() as made:
        eventually(lambda: len(made.call("CLIENT", "LIST").splitlines()) == 1)
        made.call("FLUSHALL")
        yield made


@pytest.fixture
def records(server, watcher):
    """A connection; when the test is over, it must be gone, and have done nothing that it may not."""
    with Records(server.tls_port) as made:
        yield made
    eventually(lambda: len(watcher.call("CLIENT", "LIST").splitlines()) == 1)
    assert watcher.call("EXISTS", "evil") == 0 and watcher.call("PING") == "PONG"


@every_suite
def test_a_record_of_each_size_is_understood(records):
    value = random.Random(1).randbytes(CONTENT)
    for size in (1, 2, 100, CONTENT - 40, CONTENT - 30):
        request = resp.encode(["ECHO", value[:size]])
        records.send(request)
        reply = b"$%d\r\n%b\r\n" % (size, value[:size])
        assert records.read(len(reply)) == reply
    # Exactly as much as a record may carry.
    request = resp.encode(["ECHO", value]) + PING
    records.send(request[:CONTENT])
    records.send(request[CONTENT:])
    reply = b"$%d\r\n%b\r\n" % (CONTENT, value) + PONG
    assert records.read(len(reply)) == reply


@every_suite
@pytest.mark.parametrize("padding", [1, 100, 16_000])
def test_padding_is_taken_away(records, padding):
    for _ in range(3):
        records.send(PING, padding=padding)
        assert records.read(len(PONG)) == PONG


def test_a_request_may_lie_in_many_records(records):
    for byte in PING * 3:
        records.send(bytes([byte]), padding=byte % 7)
    assert records.read(3 * len(PONG)) == 3 * PONG


def test_many_records_may_come_at_once_and_in_pieces(records):
    data = b"".join(records.record(PING) for _ in range(500))
    rng = random.Random(2)
    while data:
        size = rng.choice((1, 4, 5, 6, 21, 22, 300, 5000))
        records.socket.sendall(data[:size])
        data = data[size:]
    assert records.read(500 * len(PONG)) == 500 * PONG


def test_records_without_content_do_nothing(records):
    records.send(b"")
    records.send(PING)
    assert records.read(len(PONG)) == PONG


def test_a_flood_of_records_without_content_ends_the_connection(records, watcher):
    """What they cost is not paid for with requests. Nobody else notices."""
    said = read_while_sending(records, b"".join(records.record(b"") for _ in range(10_000)) + records.record(PING))
    assert DATA not in [kind for kind, _ in said]
    assert watcher.call("PING") == "PONG"


# --- keys ---


@every_suite
@pytest.mark.parametrize("wants_answer", [0, 1])
def test_a_client_may_change_its_keys(records, wants_answer):
    for _ in range(10):
        records.socket.sendall(records.key_update(wants_answer) + records.record(PING))
        if wants_answer:
            kind, content = records.receive()
            assert kind == HANDSHAKE and content == bytes([KEY_UPDATE, 0, 0, 1, 0])
        assert records.receive() == (DATA, PONG)


@every_suite
def test_keys_change_in_the_middle_of_a_request_and_of_a_large_value(records):
    value = random.Random(3).randbytes(300_000)
    request = resp.encode(["SET", "k", value])
    for at in range(0, len(request), 16_000):
        records.send(request[at : at + 16_000])
        records.socket.sendall(records.key_update(1 if at % 3 == 0 else 0))
    assert records.read(5) == b"+OK\r\n"
    reply = b"$300000\r\n" + value + b"\r\n"
    # While the reply is on its way.
    records.send(resp.encode(["GET", "k"]) * 20)
    for _ in range(5):
        records.socket.sendall(records.key_update(1) + records.record(PING))
    assert records.read(20 * len(reply) + 5 * len(PONG)) == 20 * reply + 5 * PONG


@pytest.mark.parametrize("wants_answer", [0, 1])
def test_a_flood_of_changed_keys_is_ended(records, wants_answer):
    """Whether its answers are read or not: the server works for nobody who sends nothing."""
    updates = b"".join(records.key_update(wants_answer) for _ in range(1000))
    assert DATA not in [kind for kind, _ in read_while_sending(records, updates)]


def test_a_flood_of_changed_keys_is_bounded(server, watcher):
    """With data between them. Each wants an answer, and none is read."""
    before = server.rss()
    with Records(server.tls_port, receive_buffer=4096, timeout=2) as records:
        try:
            for _ in range(200):
                records.socket.sendall(b"".join(records.key_update(1) + records.record(PING) for _ in range(100)))
        except OSError:  # it is not read any more, or closed
            pass
        assert watcher.call("PING") == "PONG"
        assert server.rss() - before < bound(4 << 20)
        records.wire.reset()
    eventually(lambda: len(watcher.call("CLIENT", "LIST").splitlines()) == 1)


def test_a_change_of_keys_in_two_records_is_not_waited_for(records):
    records.socket.sendall(records.record(PING) + records.record(bytes([KEY_UPDATE, 0, 0, 1]), kind=HANDSHAKE))
    said = records.until_closed()
    assert [found for found in said if found[0] == DATA] in ([], [(DATA, PONG)])


# --- what is refused ---


def read_while_sending(records, data):
    """All records until the connection ends, which may be before all of `data` has been sent."""
    try:
        records.socket.sendall(data)
    except ConnectionError:
        pass
    return records.until_closed()


def refused(records, data, *descriptions):
    """It is answered with an alert (one of `descriptions`, if there are any) and a close, and what follows is not executed."""
    try:
        records.socket.sendall(data + records.record(EVIL))
    except ConnectionError:
        pass
    said = records.until_closed()
    assert DATA not in [kind for kind, _ in said], said
    alerts = [content[1] for kind, content in said if kind == ALERT]
    if descriptions and alerts:
        assert alerts[0] in descriptions, alerts
    return alerts


@every_suite
def test_a_changed_byte_is_refused_wherever_it_is(server, watcher):
    for at in (5, 6, 20, -17, -16, -1):
        with Records(server.tls_port) as records:
            data = bytearray(records.record(PING))
            data[at] ^= 1
            assert refused(records, bytes(data), BAD_RECORD_MAC) == [BAD_RECORD_MAC]


@pytest.mark.parametrize("outer_type", [0, CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, 24, 255])
def test_a_changed_type_outside_is_refused(records, outer_type):
    refused(records, bytes([outer_type]) + records.record(PING)[1:])


def test_a_record_that_comes_twice_is_refused(records):
    data = records.record(PING)
    records.socket.sendall(data)
    assert records.read(len(PONG)) == PONG
    assert refused(records, data, BAD_RECORD_MAC) == [BAD_RECORD_MAC]


def test_a_record_that_is_left_out_is_noticed(records):
    records.record(PING)
    assert refused(records, records.record(PING), BAD_RECORD_MAC) == [BAD_RECORD_MAC]


@pytest.mark.parametrize("size", [SEALED + 1, 0xFFFF])
def test_a_record_that_is_too_long_is_refused_by_its_head(records, size):
    refused(records, struct.pack("!BHH", DATA, 0x0303, size), RECORD_OVERFLOW, BAD_RECORD_MAC)


def test_a_record_that_carries_too_much_is_refused(records):
    refused(records, records.record(EVIL * (CONTENT // len(EVIL) + 1)), RECORD_OVERFLOW)


@pytest.mark.parametrize("size", [0, 1, 15, 16])
def test_a_record_that_is_too_short_is_refused(records, size):
    refused(records, struct.pack("!BHH", DATA, 0x0303, size) + bytes(size), BAD_RECORD_MAC, DECODE_ERROR, UNEXPECTED_MESSAGE, RECORD_OVERFLOW)


@pytest.mark.parametrize("zeros", [1, 1000])
def test_a_record_of_zeros_has_no_type_and_is_refused(records, zeros):
    assert refused(records, records.ours.seal(bytes(zeros)), UNEXPECTED_MESSAGE) == [UNEXPECTED_MESSAGE]


@pytest.mark.parametrize("kind", [1, CHANGE_CIPHER_SPEC, 25, 99, 255])
def test_a_type_inside_that_does_not_exist_is_refused(records, kind):
    refused(records, records.record(EVIL, kind=kind), UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("content", [b"", b"\x02", b"\x02\x28\x00"], ids=["empty", "half", "too long"])
def test_an_alert_that_is_none_is_refused(records, content):
    refused(records, records.record(content, kind=ALERT))


def test_a_fatal_alert_ends_the_connection(records):
    refused(records, records.record(b"\x02\x28", kind=ALERT))


def test_close_notify_is_answered_and_nothing_after_it_executed(records):
    assert refused(records, records.record(b"\x01\x00", kind=ALERT), CLOSE_NOTIFY) == ([] if is_redis() else [CLOSE_NOTIFY])


def test_a_change_of_keys_must_end_its_record(records):
    """What follows in it would be under the old keys."""
    message = bytes([KEY_UPDATE, 0, 0, 1, 0])
    refused(records, records.record(message * 2, kind=HANDSHAKE), UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("message", [bytes([KEY_UPDATE, 0, 0, 1, 2]), bytes([KEY_UPDATE, 0, 0, 0]), bytes([KEY_UPDATE, 0, 0, 2, 0, 0])],
                         ids=["another value", "no value", "two values"])  # fmt: skip
def test_a_change_of_keys_that_is_none_is_refused(records, message):
    refused(records, records.record(message, kind=HANDSHAKE), ILLEGAL_PARAMETER, DECODE_ERROR, UNEXPECTED_MESSAGE)


@pytest.mark.parametrize("kind", [0, 1, 2, 4, 5, 8, 11, 13, 15, 20, 254])
def test_other_messages_of_handshakes_are_refused(records, kind):
    refused(records, records.record(bytes([kind, 0, 0, 4]) + b"abcd", kind=HANDSHAKE))


def test_a_message_that_never_ends_is_not_collected(records, server, watcher):
    """It announces 16 MB."""
    before = server.rss()
    try:
        records.send(bytes([KEY_UPDATE, 0xFF, 0xFF, 0xFF]), kind=HANDSHAKE)
        for _ in range(800):
            records.send(bytes(CONTENT), kind=HANDSHAKE)
    except ConnectionError:
        pass
    said = records.until_closed()
    assert DATA not in [kind for kind, _ in said]
    assert server.rss() - before < bound(4 << 20) and watcher.call("PING") == "PONG"


def test_data_between_the_parts_of_a_message_is_refused(records):
    refused(records, records.record(bytes([KEY_UPDATE, 0]), kind=HANDSHAKE) + records.record(EVIL), UNEXPECTED_MESSAGE)


def test_plain_bytes_after_the_handshake_are_refused(records):
    refused(records, PING, UNEXPECTED_MESSAGE, RECORD_OVERFLOW, BAD_RECORD_MAC, 70)


def test_a_record_that_ends_with_the_connection_is_not_executed(records):
    data = records.record(EVIL)
    records.socket.sendall(data[:-1])
    records.wire.reset()


def test_random_records_never_stop_the_server(server, watcher):
    rng = random.Random(5)
    for _ in range(60):
        with Records(server.tls_port) as records:
            try:
                for _ in range(rng.randint(1, 6)):
                    kind = rng.choice((DATA, DATA, HANDSHAKE, ALERT, rng.getrandbits(8)))
                    content = rng.choice((PING, rng.randbytes(rng.randint(0, 40)), bytes([rng.choice((1, 4, KEY_UPDATE)), 0, 0, rng.randint(0, 3)]) + rng.randbytes(2)))
                    records.send(content, kind=kind, padding=rng.choice((0, 0, 5)))
                    if rng.random() < 0.2:
                        records.socket.sendall(records.key_update(rng.randint(0, 1)))
            except OSError:
                pass
    eventually(lambda: len(watcher.call("CLIENT", "LIST").splitlines()) == 1)
    assert watcher.call("PING") == "PONG"
