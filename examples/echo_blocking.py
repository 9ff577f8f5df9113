"""The classic: one request at a time, blocking. `socketserver` programs look like this.

python examples/echo_blocking.py, then elsewhere python examples/echo_client.py hello SocketServer
"""

from common import say, serve, shown

from reactor import StreamRequestHandler, TCPServer


class EchoHandler(StreamRequestHandler):
    def handle(self) -> None:
        data = self.rfile.readline().strip()
        say(f"{self.client_address} write: {shown(data)}")
        self.wfile.write(data.upper())


class EchoServer(TCPServer):
    allow_reuse_address = True


if __name__ == "__main__":
    serve(EchoServer, EchoHandler)
