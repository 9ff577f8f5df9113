"""The limits of a handler that reads and writes files: what is beneath its `rfile` and `wfile`.

A blocking handler has no row and nobody sweeps it. So the raw streams below its files see to its
limits: before each operation they wait until the socket is ready, for as long as what is left of
the limit that ends this wait. The socket's own timeout is never touched, for a handler may read
in one thread and write in another; where the handler has set one that is shorter, that holds.

A request begins with its first byte. Where the next one begins a file can't know, so the rule is
a coroutine's: the request is complete when the handler has written and then reads again, or when
a ``for`` loop over `rfile` takes its next turn. What was read ahead by then belongs to the next.
Only time spent waiting for the rest of a request counts, never the handler's own.
"""

import io
import weakref
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, NoReturn

from reactor.limits import LimitExceeded, Limits, TimeLimitExceeded
from reactor.log import Throttle
from reactor.net import LONGEST_WAIT, is_ready

#: Bytes sent in one step, of which each has `send_timeout`: TLS takes all of a step or nothing.
STEP = 1 << 14


class RequestMeter:
    """One connection's books, for both its streams: how much of the present request has come, how
    long it was waited for. *timeout*: the handler's own, or `None`. *peer*: for the log."""

    def __init__(
        self, sock: Any, limits: Limits, timeout: float | None, throttle: Throttle, peer: Any
    ) -> None:
        self._socket = sock
        self._limits = limits
        self._found = sock.gettimeout()
        found_is_own = self._found != limits.shortest_wait()  # see `bound`
        self._timeout = timeout if timeout is not None else self._found if found_is_own else None
        self._throttle = throttle
        self._peer = peer
        self._size = 0  # bytes of this request
        self._waited = 0.0  # seconds for the rest of this request
        self._passed: dict[str, Callable[[], LimitExceeded]] = {}  # makes what to raise again
        self._reader: Callable[[], _BufferedReader | None] = _no_reader
        self.received = self.sent = 0

    def reads_with(self, reader: "_BufferedReader") -> None:
        """Ask *reader* what was read ahead, as long as it lives."""
        self._reader = weakref.ref(reader)

    def next_request(self) -> None:
        """The present request is complete."""
        reader = self._reader()
        self._size = 0 if reader is None else reader.read_ahead()
        self._waited = 0.0

    def receive(self, receive_into: Callable[[Any], int | None], buffer: Any) -> int | None:
        """Read into *buffer*, within the limits."""
        most = self._limits.max_request_size
        if most is not None:  # what comes after it may be the next request: leave that where it is
            buffer = memoryview(buffer).cast("B")[: max(1, most - self._size)]
        if self._size:
            name, waiting_for = "request_timeout", "the rest of a request"
        else:
            name, waiting_for = "idle_timeout", "a request"
        started = monotonic()
        self._wait(name, self._waited, waiting_for, self._own_timeout(), writing=False)
        count = self._do(name, waiting_for, receive_into, buffer)
        if self._size:
            self._waited += monotonic() - started
        self.received += count or 0
        self._size += count or 0
        if most is not None and self._size > most:
            self._pass(LimitExceeded, "max_request_size", f"more than {most} bytes")
        return count

    def send(self, send: Callable[[Any], int | None], data: Any, spent: float = 0.0) -> int | None:
        """Write some of *data*, within ``send_timeout``; *spent* of the handler's own timeout is over."""
        self.next_request()
        own = self._own_timeout()
        waiting_for = f"the peer to take {len(data)} bytes"
        self._wait(
            "send_timeout", 0.0, waiting_for, None if own is None else max(0.0, own - spent), writing=True
        )
        count = self._do("send_timeout", waiting_for, send, data)
        self.sent += count or 0
        return count

    def sendall(self, data: Any) -> None:
        """Write *data* whole, as `socket.socket.sendall`, but with a limit for each step forward."""
        started = monotonic()
        with memoryview(data) as view:
            if not view.c_contiguous:
                raise BufferError("the data to send has to be contiguous")
            with view.cast("B") as octets:
                sent = 0
                while sent < len(octets):
                    with octets[sent : sent + STEP] as step:
                        sent += self.send(self._socket.send, step, monotonic() - started) or 0

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def _own_timeout(self) -> float | None:
        """The handler's own timeout: what it has set meanwhile, or had set before."""
        now: float | None = self._socket.gettimeout()
        return self._timeout if now == self._found else now

    def _wait(self, name: str, spent: float, waiting_for: str, own: float | None, *, writing: bool) -> None:
        """Wait until the socket is ready, within what is left of a limit and of the handler's timeout."""
        if name in self._passed:
            raise self._passed[name]()
        limit: float | None = getattr(self._limits, name)
        left = None if limit is None else limit - spent
        if own is not None and (left is None or own <= left):
            if own and not is_ready(self._socket, own, writing=writing):
                raise TimeoutError("timed out")
        elif left is not None and (left <= 0 or not is_ready(self._socket, left, writing=writing)):
            self._pass_time(name, waiting_for)

    def _do(
        self, name: str, waiting_for: str, operation: Callable[[Any], int | None], data: Any
    ) -> int | None:
        try:
            return operation(data)
        except TimeoutError as exc:  # ready, but not with the whole of what TLS needs
            if exc.errno is not None or self._own_timeout() is not None:
                raise
            self._pass_time(name, waiting_for)

    def _pass_time(self, name: str, waiting_for: str) -> NoReturn:
        figures = f"{self.received} bytes received, {self.sent} sent"
        text = f"{getattr(self._limits, name):g} s passed waiting for {waiting_for} ({figures})"
        self._pass(TimeLimitExceeded, name, text)

    def _pass(self, error: type[LimitExceeded], name: str, figures: str) -> NoReturn:
        if name not in self._passed:
            self._passed[name] = partial(error, f"{name}: {figures}")
            self._throttle.warning(monotonic(), name, f"closing {self._peer!r}: {name}: {figures}")
        raise self._passed[name]()


def _no_reader() -> None:
    return None


class _Raw(io.RawIOBase):
    """Wraps what `socket.makefile` makes, which keeps the socket open until it is closed."""

    def __init__(self, raw: Any, meter: RequestMeter) -> None:
        self._raw = raw
        self.meter = meter
        self.name = raw.name
        self.mode = raw.mode

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()


class _Lines(io.IOBase):
    """A file whose ``for`` loop takes a request with each turn."""

    meter: RequestMeter

    def __next__(self) -> bytes:
        self.meter.next_request()
        return super().__next__()

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """All lines at once are one request."""
        lines, size = [], 0
        while line := self.readline():
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint < size:
                break
        return lines


class _RawReader(_Lines, _Raw):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self.meter.receive(self._raw.readinto, buffer)

    def tell(self) -> int:
        return self.meter.received


class _RawWriter(_Raw):
    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        return self.meter.send(self._raw.write, data)


class _BufferedReader(_Lines, io.BufferedReader):
    def __init__(self, raw: _RawReader, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self.meter = raw.meter
        raw.meter.reads_with(self)

    def read_ahead(self) -> int:
        """Bytes that came and that the handler has not read."""
        try:
            return self.meter.received - self.tell()
        except ValueError:  # closed, or detached
            return 0


class _BufferedWriter(io.BufferedWriter):
    def __init__(self, raw: _RawWriter, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self._meter = raw.meter

    def write(self, data: Any, /) -> int:
        self._meter.next_request()
        return super().write(data)


def limited_reader(sock: Any, meter: RequestMeter, buffering: int) -> Any:
    """`socket.makefile` for reading, within the limits."""
    raw = _RawReader(sock.makefile("rb", 0), meter)
    if buffering == 0:
        return raw
    return _BufferedReader(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)


def limited_writer(sock: Any, meter: RequestMeter, buffering: int) -> Any:
    """`socket.makefile` for writing, within the limits; *buffering* is not 0."""
    raw = _RawWriter(sock.makefile("wb", 0), meter)
    return _BufferedWriter(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)


def bound(request: Any, limits: Limits) -> None:
    """Give a connection the shortest of the limits as its timeout: all that can be done for a handler
    that uses the socket itself. A datagram's request is left alone."""
    if hasattr(request, "settimeout"):
        shortest = limits.shortest_wait()
        timeout = request.gettimeout()
        if shortest is not None and (timeout is None or shortest < timeout):
            request.settimeout(min(shortest, LONGEST_WAIT))
