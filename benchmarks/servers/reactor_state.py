"""Ours, as an explicit state machine: the cheapest way to write it here."""

from reactor import Line, ReactorTCPServer, StateRequestHandler


class Upper(StateRequestHandler):
    """Answers each line with the line in upper case."""

    def start(self) -> None:
        self.expect(Line(limit=65536), self.shout)

    def shout(self, line: bytes) -> None:
        self.write(line.upper())


if __name__ == "__main__":
    with ReactorTCPServer(("127.0.0.1", 0), Upper) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
