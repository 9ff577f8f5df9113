"""Coroutine handlers: all that can be awaited."""

from typing import assert_type

from reactor import (
    AsyncStreamRequestHandler,
    FramingError,
    IncompleteReadError,
    Netstring,
    ReactorTCPServer,
    TCPServer,
)


class Upper(AsyncStreamRequestHandler):
    timeout = 60.0

    async def handle(self) -> None:
        async for line in self.rfile:
            assert_type(line, bytes)
            self.wfile.write(line.upper())
            await self.wfile.drain()


def render(page: str, *, width: int = 80) -> bytes:
    return page.encode()[:width]


class Everything(AsyncStreamRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.pages = {"index": "hello"}

    async def handle(self) -> None:
        try:
            assert_type(await self.rfile.readline(), bytes)
            assert_type(await self.rfile.readexactly(5), bytes)
            assert_type(await self.rfile.readuntil(b"\r\n"), bytes)
            assert_type(await self.rfile.read(), bytes)
            assert_type(await self.rfile.read(100), bytes)
            assert_type(await self.rfile.read_message(Netstring(limit=100)), bytes)
        except IncompleteReadError as incomplete:
            assert_type(incomplete.partial, bytes)
        except (FramingError, TimeoutError) as exc:
            self.wfile.write(str(exc).encode())
        page: bytes = await self.offload(render, self.pages["index"])
        self.wfile.writelines([page, bytearray(b"\n"), memoryview(page)])
        await self.wfile.drain()
        await self.sleep(0.5)
        await self.reply(page)

    async def reply(self, page: bytes) -> None:
        self.write(page)
        await self.wfile.drain()

    def finish(self) -> None:
        print(self.client_address, self.completed)


class Wrong(AsyncStreamRequestHandler):
    """What the types refuse."""

    async def handle(self) -> None:
        self.wfile.write("text")  # type: ignore[arg-type]
        await self.rfile.read_message(Netstring)  # type: ignore[arg-type]
        await self.sleep("long")  # type: ignore[arg-type]


def main() -> None:
    with ReactorTCPServer(("localhost", 0), Upper) as server:
        server.serve_forever()
    with TCPServer(("localhost", 0), Everything) as classic:
        classic.serve_forever()
