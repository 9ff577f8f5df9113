"""The standard library's `ThreadingTCPServer`, as its documentation writes it."""

import socketserver

from tests.abuse.lines import reply


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(reply(line))


if __name__ == "__main__":
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lines) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
