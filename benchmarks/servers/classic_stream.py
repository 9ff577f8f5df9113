"""A classic stream server: `python classic_stream.py MODULE SERVER HANDLER`.

MODULE is the standard `socketserver` or ours, SERVER a class in it, HANDLER a class below.
"""

import sys
from importlib import import_module

module, server_class, handler_class = sys.argv[1:]
socketserver = import_module(module)


class Lines(socketserver.StreamRequestHandler):
    """Answers each line with the line in upper case."""

    disable_nagle_algorithm = True  # or else the second of two replies waits for the first one's ACK

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


class Line(socketserver.StreamRequestHandler):
    """Answers one line; then the connection is over."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


class Server(getattr(socketserver, server_class)):
    """As it is, but for the number of children: that many connections are kept open."""

    max_children = 1000


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), {"Lines": Lines, "Line": Line}[handler_class]) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
