"""Records of TLS 1.3 (RFC 8446) made and opened by hand, so that a test can send any."""

import hmac
import struct
import tempfile

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from .connection import Closed
from .tls import Wire, client_context

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
KEY_UPDATE = 24
SUITES = {
    "TLS_AES_128_GCM_SHA256": (AESGCM, 16, "sha256"),
    "TLS_AES_256_GCM_SHA384": (AESGCM, 32, "sha384"),
    "TLS_CHACHA20_POLY1305_SHA256": (ChaCha20Poly1305, 32, "sha256"),
}
CONTENT = 1 << 14  # bytes that a record may carry at most
SEALED = CONTENT + 256  # and that it may have when it is encrypted


class Direction:
    """The keys with which one side sends, and the number of its next record."""

    def __init__(self, suite, secret):
        self._cipher, self._size, self._hash = SUITES[suite]
        self._secret = secret
        self._derive()

    def _expand(self, label, size):
        label = b"tls13 " + label
        info = struct.pack("!HB", size, len(label)) + label + b"\0"
        return hmac.digest(self._secret, info + b"\x01", self._hash)[:size]

    def _derive(self):
        self._aead, self._iv, self.number = self._cipher(self._expand(b"key", self._size)), self._expand(b"iv", 12), 0

    def update(self):
        self._secret = self._expand(b"traffic upd", len(self._secret))
        self._derive()

    def _nonce(self):
        nonce = bytes(a ^ b for a, b in zip(self._iv, self.number.to_bytes(12, "big")))
        self.number += 1
        return nonce

    def seal(self, inner, outer_type=DATA):
        head = struct.pack("!BHH", outer_type, 0x0303, len(inner) + 16)
        return head + self._aead.encrypt(self._nonce(), inner, head)

    def open(self, head, body):
        inner = self._aead.decrypt(self._nonce(), body, head).rstrip(b"\0")
        return inner[-1], inner[:-1]


class Records:
    """A connection whose handshake OpenSSL has made, and whose records are made here."""

    def __init__(self, port, **options):
        context = client_context()
        with tempfile.NamedTemporaryFile() as log:
            context.keylog_filename = log.name
            self.wire = Wire(port, context=context, **options)
            self.wire.handshake()
            secrets = dict((line.split()[0], bytes.fromhex(line.split()[2])) for line in open(log.name) if not line.startswith("#"))
        name, version, _ = self.wire.tls.cipher()
        assert version == "TLSv1.3"
        self.ours, self.theirs = (Direction(name, secrets[f"{side}_TRAFFIC_SECRET_0"]) for side in ("CLIENT", "SERVER"))
        self.socket = self.wire.socket
        self._buffer = bytearray()
        self.tickets = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def record(self, content, kind=DATA, padding=0):
        return self.ours.seal(content + bytes([kind]) + bytes(padding))

    def send(self, content, **how):
        self.socket.sendall(self.record(content, **how))

    def key_update(self, wants_answer=0, **how):
        """The message; the keys change after it."""
        record = self.record(bytes([KEY_UPDATE, 0, 0, 1, wants_answer]), kind=HANDSHAKE, **how)
        self.ours.update()
        return record

    def _take(self, size):
        while len(self._buffer) < size:
            data = self.socket.recv(1 << 16)
            if not data:
                raise Closed(self._buffer)
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def receive(self):
        """(type, content) of the server's next record but tickets; its updates of keys are followed."""
        while True:
            head = self._take(5)
            outer, _, size = struct.unpack("!BHH", head)
            body = self._take(size)
            if outer != DATA:
                return outer, body
            try:
                kind, content = self.theirs.open(head, body)
            except InvalidTag:
                raise AssertionError(f"record {self.theirs.number - 1} of the server cannot be opened") from None
            if kind == HANDSHAKE and content[0] == 4:
                self.tickets += 1
                continue
            if kind == HANDSHAKE and content[0] == KEY_UPDATE:
                self.theirs.update()
            return kind, content

    def read(self, size):
        """So many bytes of replies."""
        data = b""
        while len(data) < size:
            kind, content = self.receive()
            if kind == DATA:
                data += content
            else:
                assert kind == HANDSHAKE and content[0] == KEY_UPDATE, (kind, content)
        return data

    def until_closed(self):
        """All records until the connection ends."""
        found = []
        try:
            while True:
                found.append(self.receive())
        except (Closed, ConnectionError):
            return found
