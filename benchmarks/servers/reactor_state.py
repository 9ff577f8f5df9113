"""Ours, as an explicit state machine: `python reactor_state.py [unlimited]`, the cheapest way to write it."""

import sys
from dataclasses import fields

from reactor import Limits, Line, ReactorTCPServer, StateRequestHandler


class Upper(StateRequestHandler):
    """Answers each line with the line in upper case."""

    def start(self) -> None:
        self.expect(Line(limit=131072), self.shout)  # room for the long lines

    def shout(self, line: bytes) -> None:
        self.write(line.upper())


class Unlimited(ReactorTCPServer):
    """What a server would cost that protects itself from nobody."""

    limits = Limits(**{each.name: None for each in fields(Limits)})


if __name__ == "__main__":
    server_class = Unlimited if sys.argv[1:] == ["unlimited"] else ReactorTCPServer
    with server_class(("127.0.0.1", 0), Upper) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
