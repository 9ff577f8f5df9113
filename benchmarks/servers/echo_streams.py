"""A raw echo with streams: `python echo_streams.py asyncio` or `uvloop`."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

READ = 65536


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    while data := await reader.read(READ):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import_module(sys.argv[1]).run(main())
