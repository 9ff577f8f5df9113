"""The classic handler of echo_blocking.py, with a thread for each connection: only the server differs."""

from common import serve
from echo_blocking import EchoHandler

from reactor import ThreadingTCPServer


class EchoServer(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True  # Ctrl-C does not wait for clients who say nothing


if __name__ == "__main__":
    serve(EchoServer, EchoHandler)
