"""Handlers of datagrams, blocking and not: a datagram is a complete request."""

from reactor import DatagramRequestHandler, Reactor, ReactorUDPServer, ThreadingUDPServer, UDPServer


class Upper(DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.read().upper())


class Counting(DatagramRequestHandler):
    seen = 0

    def handle(self) -> None:
        type(self).seen += len(self.packet)
        self.socket.sendto(b"seen", self.client_address)


class Large(UDPServer):
    max_packet_size = 65536


def main() -> None:
    with Large(("localhost", 0), Upper) as server:
        server.handle_request()
    with ThreadingUDPServer(("localhost", 0), Upper) as threaded:
        threaded.serve_forever()
    with Reactor() as reactor:
        reactor.register(ReactorUDPServer(("localhost", 0), Counting))
        reactor.run()
