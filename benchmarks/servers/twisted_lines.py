"""Twisted: its receiver of lines, on its epoll reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.protocol import Factory  # noqa: E402
from twisted.protocols.basic import LineReceiver  # noqa: E402


class Upper(LineReceiver):
    """Answers each line with the line in upper case."""

    delimiter = b"\n"
    MAX_LENGTH = 131072

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())


if __name__ == "__main__":
    loop: Any = reactor
    port = loop.listenTCP(0, Factory.forProtocol(Upper), backlog=512, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    loop.run()
