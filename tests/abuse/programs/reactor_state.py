"""Ours, as a state machine. Nothing is set but `drain_on`."""

import signal

from reactor import Line, ReactorTCPServer, StateRequestHandler
from tests.abuse.lines import reply
from tests.abuse.settings import set_up


class Lines(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        self.write(reply(line))


if __name__ == "__main__":
    with set_up(ReactorTCPServer)(("127.0.0.1", 0), Lines) as server:
        server.drain_on(signal.SIGTERM)
        print(server.server_address[1], flush=True)
        server.serve_forever()
