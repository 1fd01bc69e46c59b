"""HTTP/1.1 as far as the lab needs it: GET over connections that stay open."""

import asyncio
import traceback
import urllib.parse
from typing import NamedTuple


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: dict = {}


def _encode(reply):
    lines = [f"HTTP/1.1 {reply.status} -", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body


async def serve(handle):
    """Answers every GET with what `handle(path)` returns, on a free port of this machine; returns the port.

    A request is worked on to its end even if the client has gone: neither a database nor most services notice that.
    """

    async def connection(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = urllib.parse.unquote(head.split(b" ", 2)[1].decode())
                try:
                    reply = await handle(path)
                except Exception:
                    traceback.print_exc()  # a fault of the lab, or a wrong answer from the cache: worth seeing
                    reply = Reply(500)
                writer.write(_encode(reply))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=4096)
    return server.sockets[0].getsockname()[1]


class Client:
    """Connections to one port, as many as there are requests in flight."""

    def __init__(self, port):
        self._port = port
        self._idle = []

    async def get(self, path, timeout=None):
        """Raises TimeoutError after so many seconds."""
        # Not asyncio.timeout: redis-py leaves tasks marked as cancelled, and it would take that for somebody's wish.
        return await asyncio.wait_for(self._get(path), timeout)

    async def _get(self, path):
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(f"GET {urllib.parse.quote(path)} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
            reply = await self._read(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return reply

    @staticmethod
    async def _read(reader):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["Content-Length"]))
        return Reply(int(first.split(" ", 2)[1]), body, headers)

    def close(self):
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
