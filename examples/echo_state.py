"""Thousands of connections in one thread; the handler is an explicit state machine."""

from common import say, serve, shown

from reactor import Line, ReactorTCPServer, StateRequestHandler


class EchoHandler(StateRequestHandler):
    def start(self) -> None:
        """Once for each connection: every request begins with a line, which goes to `shout`."""
        self.expect(Line(partial=True), self.shout)

    def shout(self, line: bytes) -> None:
        """A state. It expects nothing more, so the request is complete."""
        say(f"{self.client_address} write: {shown(line.strip())}")
        self.write(line.upper())


class EchoServer(ReactorTCPServer):
    allow_reuse_address = True


if __name__ == "__main__":
    serve(EchoServer, EchoHandler)
