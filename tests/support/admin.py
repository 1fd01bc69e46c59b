"""Servers with an admin port, and requests to it."""

import http.client
import socket
import ssl

from . import exposition, servers


class Admin:
    """A server with an admin port. `context` is for TLS."""

    def __init__(self, start, *settings, context=None, **options):
        self.port = servers.free_port()
        self.context = context
        self.server = start("--admin-port", self.port, *settings, **options)

    def connection(self, context=None, timeout=20):
        context = context or self.context
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def ask(self, path, method="GET", context=None, **headers):
        """The status, the text and the headers of the answer."""
        connection = self.connection(context)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def status(self, path, **how):
        """Its status alone; None if there is no answer."""
        try:
            return self.ask(path, **how)[0]
        except (OSError, http.client.HTTPException):
            return None

    def metrics(self, **headers):
        """{(name, labels as a frozenset of pairs): value}"""
        status, text, _ = self.ask("/metrics", **headers)
        assert status == 200, text
        return exposition.samples(text)

    def wire(self, context=None, read_buffer=None):
        """A plain socket, for what is no request."""
        wire = socket.socket()
        wire.settimeout(20)
        if read_buffer:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        wire.connect(("127.0.0.1", self.port))
        return context.wrap_socket(wire, server_hostname="127.0.0.1") if context else wire

    def exchange(self, bytes_):
        """All that is answered to these bytes, until the end of the connection."""
        with self.wire() as wire:
            wire.sendall(bytes_)
            return rest_of(wire)


def rest_of(wire):
    answer = b""
    try:
        while part := wire.recv(1 << 16):
            answer += part
    except (ConnectionResetError, ssl.SSLEOFError):
        pass
    return answer


def at(metrics, name, **labels):
    """The value of a metric, named without its prefix."""
    return metrics["pinfold_" + name, frozenset(labels.items())]


def status_of(port, path):
    """The status of an answer on a port of this machine; None if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
