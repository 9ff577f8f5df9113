"""A chat room on asyncio's streams: after ``!join`` one hears what others ``!say``."""

import asyncio

from tests.abuse.lines import reply

members = set()


async def member(reader, writer):
    try:
        while line := await reader.readline():
            if line.startswith(b"!join"):
                members.add(writer)
            elif line.startswith(b"!say"):
                for each in members - {writer}:
                    each.write(line)
            writer.write(reply(line))
            await writer.drain()
    finally:
        members.discard(writer)
        writer.close()


async def main():
    server = await asyncio.start_server(member, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
