"""Clients that go wrong on the wire in every way, over plain connections and TLS, and know what each of their keys holds.

Each worker has keys of its own, so it knows which values they may have: the one that was acknowledged last, or one that was
sent and not acknowledged, because its connection was lost. Values describe themselves, as in tests/soak.
"""

import collections
import contextlib
import random
import socket
import ssl
import struct
import time
import traceback

from tests.soak.worker import FILLER, check_value, value_of
from tests.support import resp
from tests.support.connection import PATIENCE, Closed
from tests.support.tls import Wire, client_context

KEYS = 60
LOST = (Closed, OSError, ssl.SSLError)  # what a connection may end with when it was made to end
REFUSED = ("NOAUTH", "NOPERM", "WRONGPASS", "ERR max number of clients")  # by the operator


class PlainWire:
    """What Wire is without TLS."""

    tls = None

    def __init__(self, port, timeout=PATIENCE):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handshake(self):
        pass

    def encrypt(self, data):
        return data

    def receive(self):
        return self.socket.recv(1 << 16)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Deck:
    """Draws each of some things once before any a second time, so that no run of some length leaves one out by chance."""

    def __init__(self, things, rng):
        self.things, self.rng, self.left = things, rng, []

    def draw(self):
        if not self.left:
            self.left = self.rng.sample(self.things, len(self.things))
        return self.left.pop()


class Worker:
    def __init__(self, ports, number, seed, certificates):
        self.plain_port, self.tls_port = ports
        self.number = number
        self.rng = random.Random(f"{seed}:{number}")
        self.contexts = [
            client_context(certificate=certificate, versions=version)
            for certificate in (None, *certificates) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
        ]  # fmt: skip
        self.version = 0
        self.known = {}  # key: (version acknowledged last or None, versions that were not acknowledged)
        self.stalled = collections.deque()  # (when to drop it, connection)
        self.counts = collections.Counter()
        self.ways = Deck(self.WAYS, self.rng)

    # --- what is sent, and what is known of it ---

    def key(self):
        return b"chaos:%d:%d" % (self.number, self.rng.randrange(KEYS))

    def size(self):
        return self.rng.choice((0, 10, 100, 1000, 16_000, 16_400, 70_000, 300_000))

    def requests(self, count, small=False):
        """SETs and GETs, each with what its reply is to be checked with."""
        found = []
        for _ in range(count):
            key = self.key()
            if self.rng.random() < 0.5:
                self.version += 1
                value = value_of(key, self.number, self.version, self.rng.randrange(50) if small else min(self.size(), len(FILLER) - 4096))
                found.append((("SET", key, value), key, self.version))
            else:
                found.append((("GET", key), key, None))
        return found

    def sent(self, requests):
        """Until they are acknowledged, what they write may be there or not."""
        for _, key, version in requests:
            if version is not None:
                self.known.setdefault(key, (None, set()))[1].add(version)

    def check(self, request, reply):
        _, key, version = request
        if isinstance(reply, resp.ErrorReply):
            assert reply.startswith(REFUSED), reply
            self.counts["refused"] += 1
            return
        acknowledged, maybe = self.known.get(key, (None, set()))
        if version is not None:
            assert reply == "OK", reply
            maybe.discard(version)
            self.known[key] = (version, maybe)
            self.counts["written"] += 1
        elif reply is None:
            assert acknowledged is None, f"{key} is gone"
        else:
            writer, found = map(int, check_value(key, reply))
            assert writer == self.number and (found == acknowledged or found in maybe), f"{key} has version {found}, not {acknowledged} or one of {maybe}"
            self.counts["read"] += 1

    # --- connections ---

    def connect(self, handshake=True):
        if self.rng.random() < 0.3:
            return PlainWire(self.plain_port)
        wire = Wire(self.tls_port, context=self.rng.choice(self.contexts))
        if handshake:
            wire.handshake()
            self.counts["handshakes"] += 1
        return wire

    def replies(self, wire, requests):
        """Reads and checks them all; raises when the connection ends before."""
        buffer = bytearray()
        for request in requests:
            while (end := resp.reply_end(buffer)) < 0:
                data = wire.receive()
                if not data:
                    raise Closed(buffer)
                buffer += data
            self.check(request, resp.decode(bytes(buffer[:end])))
            del buffer[:end]
        assert not buffer, buffer[:100]

    def ask(self, wire, *request):
        buffer = bytearray()
        wire.socket.sendall(wire.encrypt(resp.encode(request)))
        while resp.reply_end(buffer) < 0:
            data = wire.receive()
            if not data:
                raise Closed(buffer)
            buffer += data
        return resp.decode(bytes(buffer))

    def transmit(self, wire, data, sizes=None):
        """Sends bytes of the wire (of records, over TLS) in pieces."""
        while data:
            size = self.rng.choice(sizes) if sizes else len(data)
            wire.socket.sendall(data[:size])
            data = data[size:]

    def hold(self, wire):
        """Keeps a connection that does nothing more for a while."""
        self.stalled.append((time.monotonic() + self.rng.random() * 4, wire))

    def drop_stalled(self, all_of_them=False):
        while self.stalled and (all_of_them or len(self.stalled) > 30 or self.stalled[0][0] < time.monotonic()):
            wire = self.stalled.popleft()[1]
            wire.reset() if self.rng.random() < 0.5 else wire.socket.close()

    # --- what goes wrong ---

    def exchange(self, sizes=None, count=None, small=False):
        requests = self.requests(count or self.rng.choice((1, 5, 20)), small)
        payload = b"".join(resp.encode(request) for request, _, _ in requests)
        wire = self.connect()
        try:
            self.sent(requests)
            self.transmit(wire, wire.encrypt(payload), sizes)
            self.replies(wire, requests)
        finally:
            wire.reset() if self.rng.random() < 0.3 else wire.socket.close()

    def nothing_wrong(self):
        self.exchange()

    def random_pieces(self):
        self.exchange(sizes=(1, 2, 7, 100, 1500, 9000))

    def byte_by_byte(self):
        self.exchange(sizes=(1,), count=3, small=True)

    def reset_in_a_request(self):
        requests = self.requests(5)
        with_all = b"".join(resp.encode(request) for request, _, _ in requests)
        wire = self.connect()
        self.sent(requests)
        data = wire.encrypt(with_all)
        self.transmit(wire, data[: self.rng.randrange(len(data))])
        wire.reset()

    def reset_in_a_reply(self):
        requests = [(("GET", key), key, None) for key in (self.key() for _ in range(30))]
        wire = self.connect()
        self.transmit(wire, wire.encrypt(b"".join(resp.encode(request) for request, _, _ in requests)))
        wire.receive()
        wire.reset()

    def stall_in_a_request(self):
        request = resp.encode(("SET", b"chaos:never", b"x" * self.rng.choice((10, 1000, 200_000))))
        wire = self.connect()
        data = wire.encrypt(request)
        self.transmit(wire, data[: self.rng.randrange(1, len(data))])
        self.hold(wire)

    def never_read(self):
        wire = self.connect()
        self.transmit(wire, wire.encrypt(b"".join(resp.encode(("GET", self.key())) for _ in range(50))))
        self.hold(wire)

    def read_slowly(self):
        requests = [(("GET", key), key, None) for key in (self.key() for _ in range(3))]
        wire = self.connect()
        try:
            self.transmit(wire, wire.encrypt(b"".join(resp.encode(request) for request, _, _ in requests)))
            for _ in range(20):
                time.sleep(0.002)
                wire.socket.recv(1, socket.MSG_PEEK)
            self.replies(wire, requests)
        finally:
            wire.socket.close()

    def half_close(self):
        """Plain, all replies come; over TLS without a word of the end, the server may take it for one at once."""
        requests = self.requests(5)
        wire = self.connect()
        try:
            self.sent(requests)
            self.transmit(wire, wire.encrypt(b"".join(resp.encode(request) for request, _, _ in requests)))
            wire.socket.shutdown(socket.SHUT_WR)
            self.replies(wire, requests)
            self.counts["half-closed and answered"] += 1
        finally:
            wire.socket.close()

    def close_notify(self):
        requests = self.requests(3)
        wire = Wire(self.tls_port, context=self.rng.choice(self.contexts))
        try:
            wire.handshake()
            self.sent(requests)
            wire.send(b"".join(resp.encode(request) for request, _, _ in requests))
            self.replies(wire, requests)
            self.counts["answers to close_notify"] += wire.close_notify()
        finally:
            wire.socket.close()

    def handshake_cut(self):
        wire = self.connect(handshake=False)
        if wire.tls is not None:
            hello = wire.hello()
            self.transmit(wire, hello[: self.rng.choice((1, 5, len(hello) // 2, len(hello)))], (1, 50, 1000))
        wire.reset() if self.rng.random() < 0.5 else self.hold(wire)

    def handshake_slowly(self):
        wire = self.connect(handshake=False)
        if wire.tls is None:
            return wire.socket.close()
        wire._send = lambda data: self.transmit(wire, data, (1, 3, 20))
        try:
            wire.handshake()
            requests = self.requests(2, small=True)
            self.sent(requests)
            wire.send(b"".join(resp.encode(request) for request, _, _ in requests))
            self.replies(wire, requests)
        finally:
            wire.socket.close()

    def flipped_bits(self):
        """A record that was changed on its way is no request, and ends the connection."""
        wire = self.connect()
        if wire.tls is None:
            return wire.socket.close()
        try:
            data = bytearray(wire.encrypt(resp.encode(("SET", b"chaos:never", b"x" * 500))))
            data[self.rng.randrange(5, len(data))] ^= 1 << self.rng.randrange(8)
            wire.socket.sendall(data)
            said = wire.receive()
        except LOST:
            self.counts["changed records refused"] += 1
        else:
            assert not said, f"a changed record was answered {said[:100]!r}"
        finally:
            wire.socket.close()

    def nonsense(self):
        """Plain bytes for the TLS port, and a handshake for the plain one."""
        tls_port = self.rng.random() < 0.5
        wire = PlainWire(self.tls_port if tls_port else self.plain_port)
        try:
            wire.socket.sendall(self.rng.randbytes(self.rng.choice((1, 100, 5000))) if tls_port else b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.rng.randbytes(500))
            wire.socket.shutdown(socket.SHUT_WR)
            while wire.receive():
                pass
        finally:
            wire.socket.close()

    def killed_in_a_request(self):
        """What came of the request is forgotten, and what follows goes to nobody."""
        wire = self.connect()
        try:
            number = self.ask(wire, "CLIENT", "ID")
            if isinstance(number, resp.ErrorReply):
                assert number.startswith(REFUSED), number
                return
            data = wire.encrypt(resp.encode(("SET", b"chaos:never", b"x" * self.rng.choice((10, 1000, 200_000)))))
            self.transmit(wire, data[:-1])
            admin = PlainWire(self.plain_port)
            killed = self.ask(admin, "CLIENT", "KILL", "ID", number)
            assert killed in (0, 1), killed  # 0: the operator was faster
            admin.socket.close()
            with contextlib.suppress(*LOST):
                wire.socket.sendall(data[-1:])
                said = wire.receive()
                assert not said, f"a killed client was answered {said[:100]!r}"
        finally:
            wire.socket.close()

    WAYS = (nothing_wrong, random_pieces, byte_by_byte, reset_in_a_request, reset_in_a_reply, stall_in_a_request, never_read, read_slowly,
            killed_in_a_request, half_close, close_notify, handshake_cut, handshake_slowly, flipped_bits, nonsense)  # fmt: skip

    def step(self):
        way = self.ways.draw()
        self.drop_stalled()
        try:
            way(self)
            self.counts[way.__name__] += 1
        except LOST:
            self.counts["lost"] += 1

    def verify(self):
        """Everything that was acknowledged is there, byte by byte, over either transport."""
        self.drop_stalled(all_of_them=True)
        requests = [(("GET", key), key, None) for key in sorted(self.known)]
        for wire in (PlainWire(self.plain_port), Wire(self.tls_port, context=self.contexts[1])):
            wire.handshake()
            refused = self.counts["refused"]
            for at in range(0, len(requests), 10):
                wire.socket.sendall(wire.encrypt(b"".join(resp.encode(request) for request, _, _ in requests[at : at + 10])))
                self.replies(wire, requests[at : at + 10])
            assert self.counts["refused"] == refused
            wire.socket.close()


def work(ports, number, seed, until, results, certificates, calm):
    """A process of a run. `calm` is set when the operator does nothing more."""
    worker = Worker(ports, number, seed, certificates)
    try:
        while time.monotonic() < until:
            worker.step()
        calm.wait(PATIENCE)
        worker.verify()
        results.put((number, worker.counts, None))
    except BaseException:
        results.put((number, worker.counts, traceback.format_exc()))
