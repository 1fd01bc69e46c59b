"""Connections that keep many requests in flight and may end at any moment."""

import asyncio
import collections
import socket
import struct
import time

from tests.support import resp

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST instead of FIN
_LOST = object()


class Lost(Exception):
    """The connection ended before the reply came: nobody knows whether the request was executed."""

    def __init__(self, client_id=0):
        super().__init__(f"lost connection {client_id}")
        self.client_id = client_id


class Connection(asyncio.Protocol):
    """Replies come in the order of requests, so the oldest future is the next to be answered."""

    def __init__(self):
        self.transport = None
        self.buffer = bytearray()
        self.waiting = collections.deque()  # (future, when it was sent, the command)
        self.lost = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        at = 0
        while self.waiting and at < len(self.buffer):
            end = resp.reply_end(self.buffer, at)
            if end < 0:
                break
            future, _, _ = self.waiting.popleft()
            if not future.done():
                future.set_result(resp.decode(bytes(self.buffer[at:end])))
            at = end
        del self.buffer[:at]

    def connection_lost(self, _):
        self.lost = True
        for future, _, _ in self.waiting:
            if not future.done():
                future.set_result(_LOST)
        self.waiting.clear()

    def send(self, commands):
        """Sends all commands in one write; a future for each reply."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        futures = [loop.create_future() for _ in commands]
        if self.lost or self.transport.is_closing():
            for future in futures:
                future.set_result(_LOST)
            return futures
        self.waiting.extend((future, now, command) for future, command in zip(futures, commands))
        self.transport.write(b"".join(map(resp.encode, commands)))
        return futures

    def drop(self, reset):
        """Ends the connection without a word: requests may be on their way, replies are not read."""
        if reset:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


class Session:
    """What an actor talks through: opens a new connection when the last one was lost.

    `living` is the set of sessions with an open connection, which others may kill.
    """

    def __init__(self, port, living=None, protocol=2):
        self.port = port
        self.protocol = protocol
        self.living = set() if living is None else living
        self.connection = None
        self.client_id = 0

    async def connect(self):
        if self.connection is not None and self.connection.transport.is_closing():
            self.close()
        while self.connection is None:
            _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port)
            *_, client_id = [await future for future in connection.send([("HELLO", self.protocol), ("CLIENT", "ID")])]
            if client_id is not _LOST:
                self.connection, self.client_id = connection, client_id
                self.living.add(self)

    async def ask(self, commands, watching=None):
        """The replies of commands that are sent at once. Raises Lost; also if `watching` is another connection's id."""
        await self.connect()
        if watching not in (None, self.client_id):
            raise Lost
        connection, client_id = self.connection, self.client_id
        replies = [await future for future in connection.send(commands)]
        if replies[-1] is _LOST:
            if self.connection is connection:
                self.close()
            raise Lost(client_id)
        return replies

    async def call(self, *command):
        return (await self.ask([command]))[0]

    async def transaction(self, commands, watching=None):
        """EXEC's reply: a list, None if a watched key changed, or an error."""
        return (await self.ask([("MULTI",), *commands, ("EXEC",)], watching))[-1]

    def drop(self, reset):
        if self.connection is not None and not self.connection.transport.is_closing():
            self.connection.drop(reset)

    def close(self):
        if self.connection is not None:
            self.connection.transport.abort()
            self.connection = None
        self.living.discard(self)
