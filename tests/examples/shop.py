"""The key-value store in this thread, a turn at a time, with clients on socket pairs and a manual clock."""

import socket
from types import ModuleType
from typing import Any

from reactor import Reactor
from tests.support.clock import ManualClock
from tests.support.pairs import Peer

OK = b"+OK\r\n"
NIL = b"$-1\r\n"


def command(*arguments: bytes) -> bytes:
    """A command as clients send it."""
    return b"*%d\r\n" % len(arguments) + b"".join(map(bulk, arguments))


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


class Shop:
    def __init__(self, kv: ModuleType) -> None:
        self.clock = ManualClock()
        self.reactor = Reactor(clock=self.clock)
        self.server = kv.KeyValueServer(("127.0.0.1", 0), kv.KeyValueHandler)
        self.reactor.register(self.server)
        self.peers: list[Peer] = []

    def __enter__(self) -> "Shop":
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.close()
        self.reactor.close()

    @property
    def store(self) -> Any:
        return self.server.store

    def connect(self) -> Peer:
        ours, theirs = socket.socketpair()
        self.peers.append(Peer(theirs))
        self.server.process_request(ours, ("peer", len(self.peers)))
        self.settle()
        return self.peers[-1]

    def settle(self) -> None:
        """Take turns until nothing is ready any more."""
        quiet = 0
        while quiet < 3:
            quiet = 0 if self.reactor.handle_events(0) else quiet + 1

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.settle()

    def ask(self, peer: Peer, *pieces: bytes) -> bytes:
        """Send *pieces*, one after the other is read; all that comes back."""
        heard = b""
        for piece in pieces:
            while piece:
                piece = piece[peer.send(piece) :]
                heard += self.hear(peer)
        return heard

    def hear(self, peer: Peer) -> bytes:
        """All that comes to *peer* until there is nothing to do."""
        heard = b""
        self.settle()
        while come := peer.read():
            heard += come
            self.settle()
        return heard

    def says(self, line: str) -> bytes:
        """The answer to a command on a connection of its own, given as words."""
        peer = self.connect()
        return self.ask(peer, command(*line.encode().split()))
