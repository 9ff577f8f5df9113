"""Blocking handlers, as for socketserver, on every kind of server that runs them."""

from typing import Any

from reactor import (
    BaseRequestHandler,
    ForkingTCPServer,
    StreamRequestHandler,
    TCPServer,
    ThreadingMixIn,
    ThreadingTCPServer,
    UnixStreamServer,
    socketserver,
)


class Upper(StreamRequestHandler):
    timeout = 5.0
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.lines = 0

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())
            self.lines += 1

    def finish(self) -> None:
        super().finish()
        print(self.client_address, self.lines)


class Bare(BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(self.request.recv(1024))


class WithArguments(StreamRequestHandler):
    def __init__(self, request: Any, client_address: Any, server: Any, *, greeting: bytes = b"") -> None:
        self.greeting = greeting
        super().__init__(request, client_address, server)

    def handle(self) -> None:
        self.wfile.write(self.greeting)


class Threaded(ThreadingMixIn, TCPServer):
    daemon_threads = True
    allow_reuse_address = True


class DropIn(socketserver.ThreadingMixIn, socketserver.TCPServer):
    pass


class DropInHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


def main() -> None:
    with TCPServer(("localhost", 0), Upper) as server:
        server.handle_request()
    with Threaded(("localhost", 0), Bare) as threaded:
        threaded.serve_forever(poll_interval=0.1)
    with DropIn(("localhost", 0), DropInHandler) as drop_in:
        drop_in.shutdown()
    ThreadingTCPServer(("localhost", 0), Upper, bind_and_activate=False).server_close()
    ForkingTCPServer(("localhost", 0), lambda *args: WithArguments(*args, greeting=b"hello")).server_close()
    UnixStreamServer("/tmp/upper.sock", Upper).server_close()
