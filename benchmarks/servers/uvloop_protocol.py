"""uvloop at its fastest: a Protocol that splits lines and joins its writes by hand."""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop


class Upper(asyncio.Protocol):
    """Answers each line with the line in upper case, all lines of one delivery at once."""

    def __init__(self) -> None:
        self.inbox = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        lines = (self.inbox + data).split(b"\n")
        self.inbox = lines.pop()
        if lines:
            self.transport.write(b"".join([line.upper() + b"\n" for line in lines]))


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    server = await asyncio.get_running_loop().create_server(Upper, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
