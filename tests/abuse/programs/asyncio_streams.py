"""asyncio's streams, as their documentation writes them."""

import asyncio

from tests.abuse.lines import reply


async def lines(reader, writer):
    while line := await reader.readline():
        writer.write(reply(line))
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main():
    server = await asyncio.start_server(lines, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
