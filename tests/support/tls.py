"""TLS for the tests: an authority that issues whatever certificate a test wants, servers with a TLS port, and clients."""

import datetime
import ipaddress
import os
import pathlib
import socket
import ssl
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from . import servers
from .connection import PATIENCE, Closed, Connection

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


class Certificate:
    """Files with a certificate, the chain behind it if there is one, and its key."""

    def __init__(self, cert, key, parsed):
        self.cert, self.key, self.parsed = str(cert), str(key), parsed

    def replace(self, other):
        """Another one under the same names, as whoever renews certificates does it: written aside and renamed."""
        for theirs, ours in ((other.key, self.key), (other.cert, self.cert)):
            aside = ours + ".new"
            pathlib.Path(aside).write_bytes(pathlib.Path(theirs).read_bytes())
            os.rename(aside, ours)
        self.parsed = other.parsed

    @property
    def serial(self):
        return self.parsed.serial_number


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder, name="authority", above=None):
        """A root, or below another authority."""
        self.folder = pathlib.Path(folder)
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._subject, self._private.public_key(), -DAY, 365 * DAY, issuer=above and above._subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.cert = str(self.folder / f"{name}.crt")
        signed = builder.sign((above or self)._private, hashes.SHA256())
        pathlib.Path(self.cert).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self._issued = 0

    def _builder(self, subject, key, begins, ends, issuer=None):
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or self._subject).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now() + begins).not_valid_after(now() + ends)
        )  # fmt: skip

    def issue(self, *common_names, dns=(), addresses=(), uris=(), emails=(), key="p256", begins=-DAY, ends=90 * DAY, password=None, usage=None, self_signed=False):
        """A certificate for these common names and alternative names, valid from `begins` to `ends`, both counted from now."""
        self._issued += 1
        private = rsa.generate_private_key(65537, 2048) if key == "rsa" else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])
        builder = self._builder(subject, private.public_key(), begins, ends, issuer=subject if self_signed else None)
        alternatives = [*map(x509.DNSName, dns), *map(x509.UniformResourceIdentifier, uris), *map(x509.RFC822Name, emails)]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=not common_names)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        signed = builder.sign(private if self_signed else self._private, hashes.SHA256())
        stem = self.folder / f"{pathlib.Path(self.cert).stem}-{self._issued}"
        cert, key_file = stem.with_suffix(".crt"), stem.with_suffix(".key")
        cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        key_file.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        key_file.chmod(0o600)
        return Certificate(cert, key_file, signed)

    def server(self, **how):
        """One for this machine."""
        return self.issue("localhost", dns=["localhost"], addresses=["127.0.0.1", "::1"], usage=ExtendedKeyUsageOID.SERVER_AUTH, **how)

    def client(self, *common_names, **how):
        return self.issue(*common_names, usage=ExtendedKeyUsageOID.CLIENT_AUTH, **how)


def client_context(authority=None, certificate=None, versions=None, ciphers=None):
    """What a client needs to know: which authority it trusts (None: it looks at nothing), who it is, and what it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(authority.cert)
    if certificate is not None:
        context.load_cert_chain(certificate.cert, certificate.key)
    if versions is not None:
        context.minimum_version, context.maximum_version = versions if isinstance(versions, tuple) else (versions, versions)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


class TlsConnection(Connection):
    """As Connection, over TLS. `session` resumes one of before, `where` may say another port or host."""

    def __init__(self, port, context, host="127.0.0.1", timeout=PATIENCE, session=None):
        super().__init__(port, host, timeout=timeout)
        try:
            self.socket = context.wrap_socket(self.socket, server_hostname=host, session=session)
        except ConnectionResetError:
            raise Closed from None

    def _receive(self):
        try:
            super()._receive()
        except ssl.SSLEOFError:
            raise Closed(self.buffer) from None

    @property
    def session(self):
        """To be resumed. With TLS 1.3 it comes with what the server sends after the handshake, so something must have been read."""
        return self.socket.session


class Wire:
    """TLS over a socket on which the caller decides which bytes go when: `step` is called with each piece of what is to be sent.

    Nothing is verified.
    """

    def __init__(self, port, context=None, host="127.0.0.1", timeout=PATIENCE, send=None, receive_buffer=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.settimeout(timeout)
        if receive_buffer is not None:  # of the kernel; before the connection, or it has no effect on the window
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or client_context()).wrap_bio(self._in, self._out, server_hostname=host)
        self._send = send or self.socket.sendall

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def pending_out(self):
        """The bytes that are to be sent, which the caller sends."""
        return self._out.read()

    def _flush(self):
        if data := self.pending_out():
            self._send(data)

    def _feed(self):
        data = self.socket.recv(1 << 16)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()

    def _until_done(self, call, *args):
        while True:
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            else:
                self._flush()
                return result

    def handshake(self):
        self._until_done(self.tls.do_handshake)

    def hello(self):
        """The first bytes of a handshake; the caller sends them, and may go on with handshake()."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self.pending_out()
        raise AssertionError("a handshake needs an answer")

    def encrypt(self, data):
        """Records with these bytes, to be sent by the caller."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
        return self.pending_out()

    def send(self, data):
        self._send(self.encrypt(data))

    def read(self, size):
        """Exactly so many bytes."""
        parts, left = [], size
        while left:
            part = self._until_done(self.tls.read, left)
            if not part:
                raise Closed(b"".join(parts))
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def receive(self):
        """What has come, at least a byte; none at the end that the server has announced."""
        return self._until_done(self.tls.read, 1 << 16)

    def close_notify(self):
        """Says that it sends no more, and returns whether the server says so too, before it closes."""
        try:
            self._until_done(self.tls.unwrap)
            return True
        except (ssl.SSLError, ConnectionError):
            return False

    def reset(self):
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class TlsServer(servers.Server):
    """A server with a TLS port, and with the plain one unless `plain` is false.

    connect() goes to the TLS port, without a certificate; connect_plain() to the other. `ask` is tls-auth-clients; None leaves it out.
    """

    def __init__(self, binary, *args, authority, certificate=None, plain=True, ask="no", **options):
        self.authority = authority
        self.certificate = certificate or authority.server()
        self.tls_port = servers.free_port()
        self.context = client_context(authority)
        self.plain = plain
        # A certificate with which the server is asked whether it is ready, where it lets in nobody without one.
        self.own = None if plain or ask == "no" else authority.client("ready")
        tls = ["--tls-port", self.tls_port, "--tls-cert-file", self.certificate.cert, "--tls-key-file", self.certificate.key]
        tls += ["--tls-ca-cert-file", authority.cert, *(["--tls-auth-clients", ask] if ask else [])]
        super().__init__(binary, *([] if plain else ["--port", "0"]), *tls, *args, port=None if plain else 0, **options)

    def connect(self, certificate=None, context=None, timeout=PATIENCE, session=None, host=None):
        if context is None:
            context = client_context(self.authority, certificate) if certificate else self.context
        return TlsConnection(self.tls_port, context, host=host or self.host, timeout=timeout, session=session)

    def connect_plain(self, **options):
        return super().connect(**options)

    def wire(self, **options):
        return Wire(self.tls_port, **options)

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"{self.args} exited {self.process.returncode}: {self.log()}"
            try:
                with (self.connect_plain(timeout=5) if self.plain else self.connect(self.own, timeout=5)) as connection:
                    return connection.raw("PING")
            except (OSError, Closed):
                return None

        servers.eventually(ready, servers.START_DEADLINE, 0.02)


def pinfold(*args, **options):
    """The server under test, with TLS."""
    return servers.pinfold(*args, kind=TlsServer, **options)


def serial_of(port, host="127.0.0.1"):
    """The number of the certificate that a server shows."""
    with TlsConnection(port, client_context(), host=host) as connection:
        return x509.load_der_x509_certificate(connection.socket.getpeercert(binary_form=True)).serial_number
