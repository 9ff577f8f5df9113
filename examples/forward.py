"""A TCP forwarder: python examples/forward.py LISTEN_PORT HOST:PORT

A handler that is a client as well. Each connection is two handlers, which know each other: the
`Downstream` that came to us, and the `Upstream` that we made for it. What one receives the other writes.

Three things make it a good forwarder. Back-pressure: while a side still owes its peer something,
nothing is taken from the other side, so a slow reader slows the sender down and nothing piles up.
Half-close: the end of one direction is passed on and the other direction goes on. And when either
connection is lost, so is the other.
"""

import argparse

from common import HOST, listen, say, until_interrupted

from reactor import Available, ReactorTCPServer, StateRequestHandler, connect


class Side(StateRequestHandler):
    """Either of the two."""

    other: "Side"
    ended = False

    def start(self) -> None:
        self.expect(Available(), self.pass_on)

    def pass_on(self, data: bytes) -> None:
        self.other.write(data)
        if self.other.owed:
            self.pause_reading()

    def handle_drained(self) -> None:
        """Our peer has taken all it is owed: more, please."""
        self.other.resume_reading()

    def handle_eof(self) -> None:
        """Our peer sends no more, and all that it sent has been passed on."""
        self.ended = True
        if self.other.ended:
            self.close()  # which closes the other; both first send what they owe
        else:
            self.hold()  # stay: our peer still listens
            self.other.write_eof()


class Downstream(Side):
    server: "Forwarder"

    def start(self) -> None:
        super().start()
        self.pause_reading()  # until there is somewhere to send it
        self.other = connect(self.reactor, self.server.target, Upstream, limits=self.limits)
        self.other.other = self

    def finish(self) -> None:
        self.other.close()


class Upstream(Side):
    def start(self) -> None:
        super().start()
        self.other.resume_reading()

    def handle_exception(self, exc: BaseException) -> None:
        if self.socket is None:
            say(f"{self.other.peer}: no connection to {self.peer[0]} port {self.peer[1]}: {exc}")
        else:
            super().handle_exception(exc)

    def handle_close(self) -> None:
        """Unlike `finish`, also called if there never was a connection."""
        super().handle_close()
        self.other.close()


class Forwarder(ReactorTCPServer):
    allow_reuse_address = True
    target: tuple[str, int]


def host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host.strip("[]"), int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forward TCP connections.")
    parser.add_argument(
        "listen_port", type=int, metavar="LISTEN_PORT", help="on localhost; 0 takes a free one"
    )
    parser.add_argument("target", type=host_and_port, metavar="HOST:PORT", help="where to")
    args = parser.parse_args()
    with until_interrupted(), listen(Forwarder, (HOST, args.listen_port), Downstream) as server:
        server.target = args.target
        say(f"forwarding {HOST} port {server.server_address[1]} to {args.target[0]} port {args.target[1]}")
        server.serve_forever()


if __name__ == "__main__":
    main()
