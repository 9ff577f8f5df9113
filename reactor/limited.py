"""The limits of a handler that reads and writes files: what is beneath its `rfile` and `wfile`.

A blocking handler has no row and nobody sweeps it. So the raw streams below its files see to its
limits: before each operation they wait until the socket is ready, for as long as what is left of
the limit that ends this wait. The socket's own timeout is never touched, for a handler may read
in one thread and write in another; where the handler has set one that is shorter, that holds.

A request begins with its first byte. Where the next one begins a file can't know, so the rule is
a coroutine's: the request is complete when the handler has written and then reads again, or when
a ``for`` loop over `rfile` takes its next turn. What was read ahead by then belongs to the next.
Only time spent waiting for the rest of a request counts, never the handler's own.

So it is known here who is idle: one that waits for the first byte of a request. While its server
drains, that wait is over at once, and the handler reads the end of input (see `underway`).
"""

import io
import socket
import weakref
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, NoReturn

from reactor.limits import LimitExceeded, Limits, TimeLimitExceeded
from reactor.log import Throttle
from reactor.net import LONGEST_WAIT, is_ready, reset_when_closed, shut_down
from reactor.table import RequestState

#: Bytes that TLS is given at once, for it takes all or nothing, and each step has `send_timeout`.
TLS_STEP = 1 << 14

#: A send after a wait must not block for the rest, whatever the socket's own timeout is.
_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


class RequestMeter:
    """One connection's books, for both its streams: how much of the present request has come, how
    long it was waited for. *timeout*: the handler's own, or `None`. *peer*: for the log.
    `state`: IDLE while the next request is waited for, else HANDLING."""

    state = RequestState.HANDLING
    _draining = False

    def __init__(
        self, sock: Any, limits: Limits, timeout: float | None, throttle: Throttle, peer: Any
    ) -> None:
        self._socket = sock
        self._limits = limits
        self._found = sock.gettimeout()
        self._timeout = self._found if timeout is None and not is_bound(sock, limits) else timeout
        self._throttle = throttle
        self._peer = peer
        self._is_tls = hasattr(sock, "pending")
        self._size = 0  # bytes of this request
        self._waited = 0.0  # seconds for the rest of this request
        self._timed_out = False
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

    def receive_into(self, buffer: Any) -> int | None:
        """Read into *buffer*, within the limits; `None` if a non-blocking socket has nothing."""
        if self._timed_out:
            raise OSError("cannot read from timed out object")  # as `socket.SocketIO`
        most = self._limits.max_request_size
        if most is not None:  # what comes after it may be the next request: leave that where it is
            buffer = memoryview(buffer).cast("B")[: max(1, most - self._size)]
        begins = not self._size
        if begins:
            name, waiting_for = "idle_timeout", "a request"
            self.state = RequestState.IDLE
            if self._draining:
                return 0
        else:
            name, waiting_for = "request_timeout", "the rest of a request"
        started = monotonic()
        try:
            receive = partial(self._socket.recv_into, buffer)
            count = self._within(name, self._waited, waiting_for, self._own_timeout(), receive)
        except BlockingIOError:
            return None
        except LimitExceeded:
            raise
        except TimeoutError:
            self._timed_out = True
            raise
        finally:
            self.state = RequestState.HANDLING
        if begins and self._draining:  # what has come is too late
            self.state = RequestState.IDLE
            return 0
        if not begins:
            self._waited += monotonic() - started
        self.received += count
        self._size += count
        if most is not None and self._size > most:
            self._pass(LimitExceeded, "max_request_size", f"more than {most} bytes")
        return count

    def send(self, data: Any, spent: float = 0.0) -> int:
        """Write some of *data*, within ``send_timeout``; *spent* of the handler's own timeout is over."""
        self.next_request()
        own = self._own_timeout()
        if own:
            own -= spent
            if own <= 0:
                raise TimeoutError("timed out")
        waiting_for = f"the peer to take {len(data)} bytes"
        with memoryview(data) as view, view[:TLS_STEP] if self._is_tls else view[:] as step:
            flags = 0 if self._is_tls else _DONTWAIT
            send = partial(self._socket.send, step, flags)
            count = self._within("send_timeout", 0.0, waiting_for, own, send, writing=True)
        self.sent += count
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
                    with octets[sent:] as rest:
                        sent += self.send(rest, monotonic() - started)

    def fileno(self) -> int:
        return int(self._socket.fileno())

    def drain(self) -> None:
        """No other request is read. Called by any thread, or in the midst of the handler's own."""
        self._draining = True
        if self.state is RequestState.IDLE:
            shut_down(self._socket, socket.SHUT_RD)

    def abort(self) -> None:
        """End whatever the handler waits for. Called like `drain`."""
        shut_down(self._socket, socket.SHUT_RDWR)

    def _own_timeout(self) -> float | None:
        """The handler's own timeout: what it has set meanwhile, or had set before."""
        now: float | None = self._socket.gettimeout()
        return self._timeout if now == self._found else now

    def _within(
        self,
        name: str,
        spent: float,
        waiting_for: str,
        own: float | None,
        operation: Callable[[], int],
        *,
        writing: bool = False,
    ) -> int:
        """Wait until the socket is ready, within what is left of a limit and of the handler's *own*
        timeout; then do it. TLS may be ready with less than it needs, and wait again."""
        if name in self._passed:
            raise self._passed[name]()
        limit: float | None = getattr(self._limits, name)
        started = monotonic()
        while True:
            waited = monotonic() - started
            left = None if limit is None else limit - spent - waited
            if own is not None and (left is None or own - waited <= left):
                if own and not self._is_ready(own - waited, writing):
                    raise TimeoutError("timed out")
            elif left is not None and not self._is_ready(left, writing):
                self._pass_time(name, waiting_for)
            try:
                return operation()
            except BlockingIOError:
                if own == 0:
                    raise
            except TimeoutError as exc:
                if exc.errno is not None:  # the network's, not the socket's
                    raise

    def _is_ready(self, seconds: float, writing: bool) -> bool:
        return seconds > 0 and is_ready(self._socket, seconds, writing=writing)

    def _pass_time(self, name: str, waiting_for: str) -> NoReturn:
        figures = f"{self.received} bytes received, {self.sent} sent"
        text = f"{getattr(self._limits, name):g} s passed waiting for {waiting_for} ({figures})"
        self._pass(TimeLimitExceeded, name, text)

    def _pass(self, error: type[LimitExceeded], name: str, figures: str) -> NoReturn:
        if name not in self._passed:
            if name == "send_timeout":
                reset_when_closed(self._socket)
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

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")


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
        self._check_open()
        return self.meter.receive_into(buffer)


class _CountingReader(_RawReader):
    """Beneath a buffer, which works out from this how much of it was read."""

    def tell(self) -> int:
        return self.meter.received


class _RawWriter(_Raw):
    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        self._check_open()
        try:
            return self.meter.send(data)
        except BlockingIOError:
            return None


class _BufferedReader(_Lines, io.BufferedReader):
    def __init__(self, raw: _CountingReader, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self.meter = raw.meter
        raw.meter.reads_with(self)

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")  # as what `socket.makefile` makes

    def read_ahead(self) -> int:
        """Bytes that came and that the handler has not read."""
        try:
            return self.meter.received - io.BufferedReader.tell(self)
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
    socket_file = sock.makefile("rb", 0)
    if buffering == 0:
        return _RawReader(socket_file, meter)
    raw = _CountingReader(socket_file, meter)
    return _BufferedReader(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)


def limited_writer(sock: Any, meter: RequestMeter, buffering: int) -> Any:
    """`socket.makefile` for writing, within the limits; *buffering* is not 0."""
    raw = _RawWriter(sock.makefile("wb", 0), meter)
    return _BufferedWriter(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering)


def bound(request: Any, limits: Limits) -> None:
    """Give a connection the shortest of the limits as its timeout, in place of a longer one or none:
    all that can be done for a handler that uses the socket itself. A datagram is left alone."""
    if hasattr(request, "settimeout"):
        shortest = limits.shortest_wait()
        timeout = request.gettimeout()
        if shortest is not None and (timeout is None or shortest < timeout):
            request.settimeout(min(shortest, LONGEST_WAIT))


def is_bound(request: Any, limits: Limits) -> bool:
    """Whether the connection's timeout is what `bound` has set; the system rounds it."""
    shortest, timeout = limits.shortest_wait(), request.gettimeout()
    return shortest is not None and timeout is not None and abs(timeout - min(shortest, LONGEST_WAIT)) < 1e-6
