"""Thousands of connections in one thread; the handler is a coroutine."""

from common import say, serve, shown

from reactor import AsyncStreamRequestHandler, ReactorTCPServer


class EchoHandler(AsyncStreamRequestHandler):
    async def handle(self) -> None:
        async for line in self.rfile:
            say(f"{self.client_address} write: {shown(line.strip())}")
            self.wfile.write(line.upper())
            await self.wfile.drain()


class EchoServer(ReactorTCPServer):
    allow_reuse_address = True


if __name__ == "__main__":
    serve(EchoServer, EchoHandler)
