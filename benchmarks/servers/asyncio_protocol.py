"""asyncio at its leanest: a Protocol that splits lines itself and writes each reply."""

from __future__ import annotations

import asyncio
from typing import cast


class Upper(asyncio.Protocol):
    """Answers each line with the line in upper case."""

    def __init__(self) -> None:
        self.inbox = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        inbox = self.inbox
        inbox += data
        start = 0
        while (end := inbox.find(b"\n", start) + 1) > 0:
            self.transport.write(bytes(inbox[start:end]).upper())
            start = end
        del inbox[:start]


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    server = await asyncio.get_running_loop().create_server(Upper, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
