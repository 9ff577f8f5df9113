"""A classic datagram server: `python classic_datagram.py MODULE SERVER`.

MODULE is the standard `socketserver` or ours, SERVER a class in it.
"""

import sys
from importlib import import_module

module, server_class = sys.argv[1:]
socketserver = import_module(module)


class Upper(socketserver.DatagramRequestHandler):
    """Answers a datagram with the datagram in upper case."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


if __name__ == "__main__":
    with getattr(socketserver, server_class)(("127.0.0.1", 0), Upper) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
