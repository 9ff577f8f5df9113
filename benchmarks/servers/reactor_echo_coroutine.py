"""Ours, a raw echo as a coroutine."""

from reactor import AsyncStreamRequestHandler, ReactorTCPServer

READ = 65536


class Echo(AsyncStreamRequestHandler):
    """Sends back what comes."""

    async def handle(self) -> None:
        while data := await self.rfile.read(READ):
            self.wfile.write(data)
            await self.wfile.drain()


if __name__ == "__main__":
    with ReactorTCPServer(("127.0.0.1", 0), Echo) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
