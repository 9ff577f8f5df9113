"""`Peer`: one connection, for scripts to use with ``yield from``. Never blocks."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Generator
from time import monotonic
from typing import Any, NamedTuple, Self, TypeVar

from tests.soak.loop import EVENT_READ, EVENT_WRITE, Client, Impatient, Loop, Wait

T = TypeVar("T")

Steps = Generator[Wait, int, T]

#: Seconds that a client waits at any one point: far more than a server that is well takes, even on a
#: machine that does other things as well, and less than somebody would wait before he says it is down.
PATIENCE = 10.0

#: Bytes that are read at once.
RECEIVE_SIZE = 1 << 16

#: A local port is chosen when the other end is known, so that one may serve for many.
_IP_BIND_ADDRESS_NO_PORT = 24

#: The first byte of what TCP_INFO tells.
_ESTABLISHED = b"\x01"


class Lost(Exception):
    """A reply that was owed did not come."""


class Wrong(Exception):
    """Other bytes came than those that were owed."""


class Sip(NamedTuple):
    """How one reads who is in no hurry."""

    size: int
    pause: float


def pause(seconds: float) -> Steps[None]:
    """Let time pass."""
    yield Wait(None, 0, seconds)


class Peer:
    """A client's socket. With ``with``, which closes it whatever it was in the middle of.

    *waited*: told how long each wait for the server took. *receive_buffer*: a small one has the server's
    replies pile up on its side.
    """

    def __init__(
        self,
        loop: Loop,
        rng: random.Random,
        *,
        receive_buffer: int | None = None,
        waited: Callable[[float], object] | None = None,
    ) -> None:
        self._loop = loop
        self._waited = waited
        self.watched = 0
        self.client: Client | None = None
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # From many addresses: one has no more than 28,000 ports, and each is taken for a minute.
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind((f"127.0.{rng.randrange(1, 9)}.{rng.randrange(1, 255)}", 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    # Ending

    def close(self) -> None:
        """Gone; with a reset if there is something that was not read."""
        self._loop.forget(self)
        self.socket.close()

    def reset(self) -> None:
        """Gone with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def end_output(self) -> None:
        """Send EOF."""
        self.socket.shutdown(socket.SHUT_WR)

    # Waiting

    def ready(self, events: int, patience: float = PATIENCE) -> Steps[int]:
        """Until one of *events* is there; `Impatient` if none comes."""
        began = monotonic()
        found = yield Wait(self, events, patience)
        if self._waited is not None:
            self._waited(monotonic() - began)
        return found

    def poll(self, events: int, seconds: float) -> Steps[int]:
        """Which of *events* came; 0 if none did."""
        try:
            return (yield from self.ready(events, seconds))
        except Impatient:
            return 0

    @property
    def established(self) -> bool:
        """Whether both ends are still there, as far as the kernel has heard; asked without reading."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == _ESTABLISHED

    def connect(self, address: tuple[str, int], patience: float = PATIENCE) -> Steps[None]:
        error = self.socket.connect_ex(address)
        if error:
            yield from self.ready(EVENT_WRITE, patience)
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "cannot connect")

    def send(self, data: Any, patience: float = PATIENCE) -> Steps[None]:
        """Send all of *data*."""
        left = memoryview(data)
        while left:
            try:
                left = left[self.socket.send(left) :]
            except BlockingIOError:
                yield from self.ready(EVENT_WRITE, patience)

    def send_urgent(self, byte: bytes) -> None:
        """Send one out of band."""
        self.socket.send(byte, socket.MSG_OOB)

    def receive(self, most: int = RECEIVE_SIZE, patience: float = PATIENCE) -> Steps[bytes]:
        """The next bytes, at least one; none are EOF."""
        while True:
            try:
                return self.socket.recv(most)
            except BlockingIOError:
                yield from self.ready(EVENT_READ, patience)

    def exchange(self, request: bytes, expected: bytes, sip: Sip | None = None) -> Steps[None]:
        """Send *request*, and meanwhile read and compare the reply; `Lost`, `Wrong`."""
        left = memoryview(request)
        came = 0
        while left or came < len(expected):
            if left:
                try:
                    left = left[self.socket.send(left) :]
                except BlockingIOError:
                    pass
            ready = yield from self.ready(EVENT_READ | EVENT_WRITE if left else EVENT_READ)
            if ready & EVENT_READ:
                came += self._compare(expected, came, RECEIVE_SIZE if sip is None else sip.size)
                if sip is not None and not left:
                    yield from pause(sip.pause)

    def expect(self, expected: bytes) -> Steps[None]:
        """Read and compare what was asked for before."""
        yield from self.exchange(b"", expected)

    def expect_end(self, patience: float = PATIENCE) -> Steps[None]:
        """EOF, and not one byte more, and no reset."""
        data = yield from self.receive(patience=patience)
        if data:
            raise Wrong(f"{len(data)} bytes more than were asked for: {data[:40]!r}")

    def discard(self, patience: float) -> Steps[None]:
        """Read until the server ends the connection, one way or another."""
        try:
            while (yield from self.receive(patience=patience)):
                pass
        except ConnectionError:
            pass

    def _compare(self, expected: bytes, came: int, most: int) -> int:
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return 0
        if not data:
            raise Lost(f"EOF after {came} of {len(expected)} bytes")
        end = came + len(data)
        if data != expected[came:end]:
            at = next((i for i, (a, b) in enumerate(zip(data, expected[came:], strict=False)) if a != b), 0)
            raise Wrong(f"at {came + at} of {len(expected)} bytes: {data[at : at + 40]!r}")
        return len(data)
