"""Ours, as a coroutine: the way most people will write it."""

from reactor import AsyncStreamRequestHandler, ReactorTCPServer


class Upper(AsyncStreamRequestHandler):
    """Answers each line with the line in upper case."""

    async def handle(self) -> None:
        async for line in self.rfile:
            self.wfile.write(line.upper())
            await self.wfile.drain()


if __name__ == "__main__":
    with ReactorTCPServer(("127.0.0.1", 0), Upper) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
