"""Ours, as a coroutine. Nothing is set but `drain_on`."""

import signal

from reactor import AsyncStreamRequestHandler, ReactorTCPServer
from tests.abuse.lines import reply
from tests.abuse.settings import set_up


class Lines(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(reply(line))
            await self.wfile.drain()


if __name__ == "__main__":
    with set_up(ReactorTCPServer)(("127.0.0.1", 0), Lines) as server:
        server.drain_on(signal.SIGTERM)
        print(server.server_address[1], flush=True)
        server.serve_forever()
