"""Ours, a raw echo: whatever has come is a message."""

from reactor import Available, ReactorTCPServer, StateRequestHandler


class Echo(StateRequestHandler):
    """Sends back what comes."""

    def start(self) -> None:
        self.expect(Available(), self.write)


if __name__ == "__main__":
    with ReactorTCPServer(("127.0.0.1", 0), Echo) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
