"""A blocking client connection over a raw socket."""

import os
import select
import socket
import ssl

from . import resp


class Closed(Exception):
    """The server closed the connection; `rest` holds the bytes that came before."""

    def __init__(self, rest=b""):
        super().__init__(f"connection closed by the server after {bytes(rest[-200:])!r}")
        self.rest = bytes(rest)


# How long an answer is waited for. Under a sanitizer what maps and copies tens of megabytes takes as many seconds.
PATIENCE = 120.0 if os.environ.get("PINFOLD_SANITIZED") else 20.0


def is_closed(connection, within=0.01):
    """Whether the server closes a socket in so many seconds; what it still sends is read and dropped."""
    connection.settimeout(within)
    try:
        while connection.recv(1 << 16):
            pass
        return True
    except TimeoutError:
        return False
    except OSError:
        return True


class Connection:
    def __init__(self, port=None, host="127.0.0.1", path=None, timeout=PATIENCE):
        if path is not None:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout)
            self.socket.connect(path)
        else:
            self.socket = socket.create_connection((host, port), timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_command(self, *args):
        self.send(resp.encode(args))

    def _receive(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def read_raw(self):
        """The exact bytes of the next reply."""
        while True:
            end = resp.reply_end(self.buffer)
            if end >= 0:
                raw = bytes(self.buffer[:end])
                del self.buffer[:end]
                return raw
            try:
                self._receive()
            except ConnectionResetError:
                raise Closed(self.buffer) from None

    def read(self):
        return resp.decode(self.read_raw())

    def raw(self, *args):
        self.send_command(*args)
        return self.read_raw()

    def call(self, *args):
        return resp.decode(self.raw(*args))

    def pipeline(self, commands):
        """Decoded replies of many commands sent at once."""
        raws = self.exchange(b"".join(map(resp.encode, commands)), len(commands))
        return [resp.decode(raw) for raw in raws]

    def exchange(self, payload, expected):
        """Sends payload while reading, so that neither side can block the other, until `expected` replies came.

        Returns fewer when the server closes or stays silent for the timeout: the caller compares counts.
        """
        replies = []
        view = memoryview(payload)
        buf, pos = self.buffer, 0
        self.socket.setblocking(False)
        try:
            while len(replies) < expected or view:
                readable, writable, _ = select.select([self.socket], [self.socket] if view else [], [], self.timeout)
                if not readable and not writable:
                    break
                try:
                    if writable:
                        view = view[self.socket.send(view) :]
                    data = self.socket.recv(1 << 18) if readable else None
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):  # over TLS: not a whole record yet
                    continue
                except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
                    break
                if data is None:
                    continue
                if not data:
                    break
                buf += data
                while len(replies) < expected:
                    end = resp.reply_end(buf, pos)
                    if end < 0:
                        break
                    replies.append(bytes(buf[pos:end]))
                    pos = end
                if pos > 1 << 20:
                    del buf[:pos]
                    pos = 0
        finally:
            self.socket.settimeout(self.timeout)
        del buf[:pos]
        return replies

    def read_until_closed(self):
        """Everything the server still sends before it closes."""
        try:
            while True:
                self._receive()
        except (Closed, ConnectionResetError):
            data = bytes(self.buffer)
            self.buffer.clear()
            return data
