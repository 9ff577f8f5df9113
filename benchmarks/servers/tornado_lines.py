"""Tornado: its own streams, on asyncio's loop."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.tcpserver import TCPServer


class Upper(TCPServer):
    """Answers each line with the line in upper case."""

    async def handle_stream(self, stream: IOStream, address: Any) -> None:
        try:
            while True:
                line = await stream.read_until(b"\n")
                await stream.write(line.upper())
        except StreamClosedError:
            pass


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    sockets = bind_sockets(0, "127.0.0.1")
    server = Upper()
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
