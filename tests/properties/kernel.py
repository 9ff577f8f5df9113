"""A kernel with no surprises but those it is told to have: sockets, and their selector."""

from __future__ import annotations

import errno
import selectors
import socket
from itertools import count

from reactor.events import EVENT_READ, EVENT_WRITE
from tests.support.clock import ManualClock

_numbers = count(100_000)


class FakeSocket:
    """One end of a connection. The other end is its attributes.

    `incoming`: what the peer sent and nobody has read. `ended`: the peer's EOF. `gone`: the errno of
    every call from now on. `room`: bytes that are taken before the buffer is full. `stutters`: how
    many calls fail first, as spurious events and signals make them.
    """

    family = socket.AF_UNIX

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.incoming = bytearray()
        self.ended = False
        self.gone = 0
        self.room = 1 << 30
        self.stutters: list[type[OSError]] = []
        self.taken = bytearray()
        self.shut = 0
        self.closed = 0

    def fileno(self) -> int:
        return -1 if self.closed else self.number

    def readiness(self) -> int:
        """What a selector says of it."""
        if self.gone:
            return EVENT_READ | EVENT_WRITE
        reading = EVENT_READ if self.incoming or self.ended else 0
        return reading | EVENT_WRITE if self.room > 0 else reading

    def recv(self, size: int) -> bytes:
        self._check("recv")
        if self.incoming:
            data = bytes(self.incoming[:size])
            del self.incoming[:size]
            return data
        if self.ended:
            return b""
        raise BlockingIOError(errno.EAGAIN, "nothing to read")

    def send(self, data: bytes | bytearray) -> int:
        self._check("send")
        assert not self.shut, "send() after shutdown()"
        if self.room <= 0:
            raise BlockingIOError(errno.EAGAIN, "no room")
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.taken += taken
        return len(taken)

    def shutdown(self, how: int) -> None:
        self._check("shutdown")
        self.shut += 1

    def close(self) -> None:
        self.closed += 1

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def setsockopt(self, *option: int) -> None:
        pass

    def _check(self, call: str) -> None:
        assert not self.closed, f"{call}() of a closed socket"
        if self.stutters and call != "shutdown":
            raise self.stutters.pop()(errno.EINTR, "try again")
        if self.gone:
            raise OSError(self.gone, "the peer is gone")


class FakeKernel(selectors.SelectSelector):
    """Reports the readiness of `sockets`, and of those in `lies` whatever stands there."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock
        self.sockets: list[FakeSocket] = []
        self.lies: dict[int, int] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for sock in self.sockets:
            key = self.get_map().get(sock.number)
            events = sock.readiness() | self.lies.pop(sock.number, 0)
            if key is not None and events & key.events:
                found.append((key, events & key.events))
        return found

    def mask(self, sock: FakeSocket) -> int:
        """What a socket is watched for."""
        key = self.get_map().get(sock.number)
        return 0 if key is None else key.events
