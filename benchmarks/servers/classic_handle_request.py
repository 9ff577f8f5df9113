"""A program with a loop of its own: `python classic_handle_request.py MODULE`.

MODULE is the standard `socketserver` or ours.
"""

import sys
from importlib import import_module

socketserver = import_module(sys.argv[1])


class Line(socketserver.StreamRequestHandler):
    """Answers one line; then the connection is over."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.readline().upper())


if __name__ == "__main__":
    with socketserver.TCPServer(("127.0.0.1", 0), Line) as server:
        print(server.server_address[1], flush=True)
        while True:
            server.handle_request()
