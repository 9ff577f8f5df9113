"""asyncio's streams on uvloop: the same coroutine, another loop beneath it."""

from __future__ import annotations

import asyncio

import uvloop

#: Bytes of a line: room for the long ones.
LIMIT = 131072


async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line with the line in upper case."""
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def main() -> None:
    """Serve on a port of the system's choice, which is the first line printed."""
    server = await asyncio.start_server(upper, "127.0.0.1", 0, limit=LIMIT)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
