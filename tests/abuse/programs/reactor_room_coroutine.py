"""A chat room of ours, of coroutines: after ``!join`` one hears what others ``!say``."""

import signal

from reactor import AsyncStreamRequestHandler, ReactorTCPServer
from tests.abuse.lines import reply
from tests.abuse.settings import set_up


class Member(AsyncStreamRequestHandler):
    members = set()

    async def handle(self):
        async for line in self.rfile:
            if line.startswith(b"!join"):
                self.members.add(self)
            elif line.startswith(b"!say"):
                for member in self.members - {self}:
                    member.wfile.write(line)
            self.wfile.write(reply(line))
            await self.wfile.drain()

    def finish(self):
        self.members.discard(self)


if __name__ == "__main__":
    with set_up(ReactorTCPServer)(("127.0.0.1", 0), Member) as server:
        server.drain_on(signal.SIGTERM)
        print(server.server_address[1], flush=True)
        server.serve_forever()
