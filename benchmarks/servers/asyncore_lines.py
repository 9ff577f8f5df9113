"""asyncore, from the standard library or from PyPI, with `poll`: lines split by hand.

It accepts all that wait at once, which asyncore's own programs do not: ten thousand connections
would take minutes to open, a turn around all of them for each.
"""

from __future__ import annotations

import socket
import warnings
from typing import Any

warnings.simplefilter("ignore", DeprecationWarning)  # "removed in Python 3.12"

import asyncore  # noqa: E402


class Upper(asyncore.dispatcher_with_send):
    """Answers each line with the line in upper case."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        # Or else the second of two replies waits for the first one's ACK.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox = b""

    def handle_read(self) -> None:
        *lines, self.inbox = (self.inbox + self.recv(65536)).split(b"\n")
        for line in lines:
            self.send(line.upper() + b"\n")


class Listener(asyncore.dispatcher):
    """Makes a channel of each connection."""

    def __init__(self) -> None:
        super().__init__()
        self.create_socket()
        self.bind(("127.0.0.1", 0))
        self.listen(512)

    def handle_accept(self) -> None:
        while (pair := self.accept()) is not None:
            Upper(pair[0])


if __name__ == "__main__":
    print(Listener().socket.getsockname()[1], flush=True)
    asyncore.loop(use_poll=True)
