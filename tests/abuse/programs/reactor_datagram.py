"""Ours, for datagrams. Nothing is set but `drain_on`."""

import signal

from reactor import DatagramRequestHandler, ReactorUDPServer
from tests.abuse.lines import reply
from tests.abuse.settings import set_up


class Lines(DatagramRequestHandler):
    def handle(self):
        self.wfile.write(reply(self.rfile.read()))


if __name__ == "__main__":
    with set_up(ReactorUDPServer)(("127.0.0.1", 0), Lines) as server:
        server.drain_on(signal.SIGTERM)
        print(server.server_address[1], flush=True)
        server.serve_forever()
