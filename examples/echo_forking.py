"""The classic handler of echo_blocking.py, with a process for each connection: only the server differs."""

from common import serve
from echo_blocking import EchoHandler

from reactor import ForkingTCPServer


class EchoServer(ForkingTCPServer):
    allow_reuse_address = True
    block_on_close = False  # Ctrl-C does not wait for clients who say nothing


if __name__ == "__main__":
    serve(EchoServer, EchoHandler)
