"""A chat room of ours, of state machines: after ``!join`` one hears what others ``!say``."""

import signal

from reactor import Line, ReactorTCPServer, StateRequestHandler
from tests.abuse.lines import reply
from tests.abuse.settings import set_up


class Member(StateRequestHandler):
    members = set()

    def start(self):
        self.expect(Line(), self.listen)

    def listen(self, line):
        if line.startswith(b"!join"):
            self.members.add(self)
        elif line.startswith(b"!say"):
            for member in self.members - {self}:
                member.write(line)
        self.write(reply(line))

    def finish(self):
        self.members.discard(self)


if __name__ == "__main__":
    with set_up(ReactorTCPServer)(("127.0.0.1", 0), Member) as server:
        server.drain_on(signal.SIGTERM)
        print(server.server_address[1], flush=True)
        server.serve_forever()
