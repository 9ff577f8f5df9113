"""Datagrams in upper case as a Protocol: `python datagram_protocol.py asyncio` or `uvloop`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import Any, cast


class Upper(asyncio.DatagramProtocol):
    """Answers a datagram with the datagram in upper case."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data.upper(), address)


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Upper, ("127.0.0.1", 0))
    print(transport.get_extra_info("sockname")[1], flush=True)
    await loop.create_future()


if __name__ == "__main__":
    import_module(sys.argv[1]).run(main())
