"""The limits of a handler that reads and writes files: what is beneath its `rfile` and `wfile`.

A blocking handler has no row and nobody sweeps it. So the raw streams below its files see to its
limits: each operation gets as its socket's timeout what is left of the limit that ends this wait.

A request begins with its first byte. Where the next one begins a file can't know, so the rule is
a coroutine's: the request is complete when the handler has written and then reads again, or when
a ``for`` loop over `rfile` takes its next turn. What was read ahead by then belongs to the next.
Only time spent waiting for the rest of a request counts, never the handler's own.
"""

import contextlib
import io
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any, NoReturn

from reactor.limits import LimitExceeded, Limits, TimeLimitExceeded
from reactor.log import Throttle


class RequestMeter:
    """One connection's books, for both its streams: how much of the present request has come, how
    long it was waited for. *peer*: for the log. Belongs to the handler's thread or threads."""

    def __init__(self, sock: Any, limits: Limits, throttle: Throttle, peer: Any) -> None:
        self._socket = sock
        self._limits = limits
        self._throttle = throttle
        self._peer = peer
        self._size = 0  # bytes of this request
        self._waited = 0.0  # seconds for the rest of this request
        self._said = False
        self.received = self.sent = 0
        self.read_ahead: Callable[[], int] = int  # bytes that came and that the handler has not read

    def next_request(self) -> None:
        """The present request is complete."""
        self._size = self.read_ahead()
        self._waited = 0.0

    def receive(self, receive_into: Callable[[Any], int | None], buffer: Any) -> int | None:
        """Read into *buffer*, within the limits."""
        most = self._limits.max_request_size
        if most is not None:  # what comes after it may be the next request: leave that where it is
            buffer = memoryview(buffer)[: max(1, most - self._size)]
        if self._size:
            name, waiting_for = "request_timeout", "the rest of a request"
        else:
            name, waiting_for = "idle_timeout", "a request"
        started = monotonic()
        count = self._within(name, self._waited, waiting_for, receive_into, buffer)
        if self._size:
            self._waited += monotonic() - started
        self.received += count or 0
        self._size += count or 0
        if most is not None and self._size > most:
            self._passed(LimitExceeded, "max_request_size", f"more than {most} bytes")
        return count

    def send(self, send: Callable[[Any], int | None], data: Any) -> int | None:
        """Write some of *data*, within ``send_timeout``."""
        self.next_request()
        count = self._within("send_timeout", 0.0, f"the peer to take {len(data)} bytes", send, data)
        self.sent += count or 0
        return count

    def sendall(self, data: Any) -> None:
        """Write *data* whole, as `socket.socket.sendall`, but with a limit for each step forward."""
        with memoryview(data) as view, view.cast("B") as left:
            while left:
                left = left[self.send(self._socket.send, left) or 0 :]

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def _within(
        self, name: str, spent: float, waiting_for: str, operation: Callable[[Any], int | None], data: Any
    ) -> int | None:
        """Call ``operation(data)`` with what is left of a limit; a shorter timeout of the socket holds."""
        limit: float | None = getattr(self._limits, name)
        sock = self._socket
        before: float | None = sock.gettimeout()
        own = None if before == self._limits.shortest_wait() else before  # see `bound`
        left = None if limit is None else limit - spent
        if own is not None and (left is None or own <= left):
            return operation(data)
        try:
            if left is not None and left <= 0:
                raise TimeoutError
            sock.settimeout(left)
            return operation(data)
        except TimeoutError:
            figures = f"({self.received} bytes received, {self.sent} sent)"
            text = f"{limit:g} s passed waiting for {waiting_for} {figures}"
            self._passed(TimeLimitExceeded, name, text)
        finally:
            with contextlib.suppress(OSError):  # closed in another thread
                sock.settimeout(before)

    def _passed(self, error: type[LimitExceeded], name: str, figures: str) -> NoReturn:
        if not self._said:
            self._said = True
            self._throttle.warning(monotonic(), name, f"closing {self._peer!r}: {name}: {figures}")
        raise error(f"{name}: {figures}")


class _RawReader(io.RawIOBase):
    def __init__(self, raw: Any, meter: RequestMeter) -> None:
        self._raw = raw
        self.meter = meter

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self.meter.receive(self._raw.readinto, buffer)

    def tell(self) -> int:
        return self.meter.received

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


class _RawWriter(io.RawIOBase):
    def __init__(self, raw: Any, meter: RequestMeter) -> None:
        self._raw = raw
        self._meter = meter

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        return self._meter.send(self._raw.write, data)

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


class _BufferedReader(io.BufferedReader):
    """An `rfile` whose ``for`` loop takes a request with each turn."""

    def __init__(self, raw: _RawReader, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self._meter = raw.meter
        raw.meter.read_ahead = self._read_ahead

    def _read_ahead(self) -> int:
        return 0 if self.closed else self._meter.received - self.tell()

    def __next__(self) -> bytes:
        self._meter.next_request()
        return super().__next__()


def limited_reader(sock: Any, meter: RequestMeter, buffering: int) -> Any:
    """`socket.makefile` for reading, within the limits."""
    raw = _RawReader(sock.makefile("rb", 0), meter)
    if buffering == 0:
        return raw
    return _BufferedReader(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)


def limited_writer(sock: Any, meter: RequestMeter, buffering: int) -> Any:
    """`socket.makefile` for writing, within the limits; *buffering* is not 0."""
    raw = _RawWriter(sock.makefile("wb", 0), meter)
    return io.BufferedWriter(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)


def bound(request: Any, limits: Limits) -> None:
    """Give a connection the shortest of the limits as its timeout: all that can be done for a handler
    that uses the socket itself. A datagram's request is left alone."""
    if isinstance(request, socket.socket) or hasattr(request, "settimeout"):
        shortest = limits.shortest_wait()
        timeout = request.gettimeout()
        if shortest is not None and (timeout is None or shortest < timeout):
            request.settimeout(shortest)
