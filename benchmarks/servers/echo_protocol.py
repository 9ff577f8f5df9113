"""A raw echo as a Protocol: `python echo_protocol.py asyncio` or `uvloop`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import cast


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import_module(sys.argv[1]).run(main())
