"""Ours, a thread for each connection, with `limits = Limits()`."""

import signal

from reactor import Limits, StreamRequestHandler, ThreadingTCPServer
from tests.abuse.lines import reply
from tests.abuse.settings import set_up


class Lines(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(reply(line))


class Server(ThreadingTCPServer):
    limits = Limits()


if __name__ == "__main__":
    with set_up(Server)(("127.0.0.1", 0), Lines) as server:
        server.drain_on(signal.SIGTERM)
        print(server.server_address[1], flush=True)
        server.serve_forever()
