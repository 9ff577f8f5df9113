"""The standard library's `UDPServer`, as its documentation writes it."""

import socketserver

from tests.abuse.lines import reply


class Lines(socketserver.DatagramRequestHandler):
    def handle(self):
        self.wfile.write(reply(self.rfile.read()))


class Server(socketserver.UDPServer):
    max_packet_size = 65_535


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Lines) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
