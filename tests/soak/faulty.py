"""A server that does everything wrong, a little of it at a time, to see whether the soak notices."""

import os
import signal
import sys
import time

from reactor import Line, ReactorTCPServer, StateRequestHandler
from tests.abuse.lines import reply


class Faulty(StateRequestHandler):
    kept = 0

    def setup(self):
        if Faulty.kept < 10:
            Faulty.kept += 1
            os.dup(self.request.fileno())

    def start(self):
        self.expect(Line(limit=1 << 20), self.answer)

    def answer(self, line):
        if line.endswith(b"7\n"):
            self.write(reply(line).replace(b"7", b"8"))
        elif line.endswith(b"8\n"):
            self.close()
        else:
            self.write(reply(line))


class Server(ReactorTCPServer):
    limits = None

    def service_actions(self):
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass


def end(*args):
    os._exit(3)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    with Server(("127.0.0.1", 0), Faulty) as server:
        print(server.server_address[1], flush=True)
        print("something strange", file=sys.stderr, flush=True)
        server.serve_forever(poll_interval=0.01)
