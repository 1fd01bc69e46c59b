"""Addresses of this machine, and those that are not loopback: who connects to one comes from it, and so from outside for a server."""

import fcntl
import pathlib
import socket
import struct

from tests.support.connection import Connection


def address():
    """An IPv4 address of this machine other than loopback, or None."""
    get_address = 0x8915  # SIOCGIFADDR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asked, get_address, struct.pack("256s", name.encode()))
            except OSError:  # it has no address
                continue
            found = socket.inet_ntoa(answer[20:24])
            if not found.startswith("127."):
                return found
    return None


def has_ipv6():
    """Whether this machine has any address of IPv6."""
    table = pathlib.Path("/proc/net/if_inet6")
    return table.exists() and table.read_text().strip() != ""


def connect(server, source=None, **options):
    """A connection from `source`, one of this machine's addresses; by default the one that the server's host is."""
    if source is None:
        return Connection(server.port, host=address(), **options)
    connection = Connection.__new__(Connection)
    connection.timeout = options.get("timeout", 20.0)
    connection.socket = socket.create_connection((server.host, server.port), connection.timeout, source_address=(source, 0))
    connection.buffer = bytearray()
    return connection
