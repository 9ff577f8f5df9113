"""`Connection`: one live peer. A `StateMachine` with a socket and an outbox; a row of the table.

The only place that calls `recv` and `send` on a stream. One object for each peer: the request
handlers derive from it, so a handler is its own connection, machine, row and event handler.

A delivery. `handle_read` makes one `recv` and feeds it to the machine, which enters the user's
states. What is written meanwhile gathers in ``_batch``, and is joined and sent once when the
delivery ends, however it ends. Whatever else runs user code on behalf of this connection
(`_deliver`: the opening, a resumed inbox, offloaded results) is a delivery too. A `write` from
anywhere else is sent at once. Only what the kernel refuses stays in the outbox, and only then
is ``EVENT_WRITE`` asked for.

What keeps messages back is told by ``blocked`` (see `machine`); what the row waits for, and how
it ends, by `row`.
"""

from collections.abc import Callable
from functools import partial
from threading import current_thread, get_ident
from typing import Any

from reactor.events import EVENT_READ
from reactor.framing import FramingError
from reactor.limits import Limits
from reactor.log import logger
from reactor.loop import Reactor
from reactor.machine import CLOSED, FULL, HELD, NEXT_TURN, PAUSED, Input
from reactor.net import PEER_GONE
from reactor.row import LINGER_BYTES, ConnectionRow
from reactor.table import RequestState

#: Bytes of one `recv`. Making room for more costs more than it saves on small messages.
RECEIVE_SIZE = 65536
#: ... and more for as long as a peer fills that and goes on with no less than a quarter of it. From 128 KiB
#: on, malloc(3) asks the system each time.
LARGER_SIZES = {RECEIVE_SIZE: 122880, 122880: 262144}
#: Bytes that gather in one delivery before they are sent.
JOIN_SIZE = 65536

_IDLE = RequestState.IDLE
_READING = RequestState.READING
_OPEN = Input.OPEN

Data = bytes | bytearray | memoryview


class Connection(ConnectionRow):
    """One live peer. Adopted by an acceptor or a connector; belongs to its reactor's thread."""

    __slots__ = ("_eof_owed", "_receive_size")

    #: How many times ``send_buffer_limit`` its own writes may pile up to; `None`: back-pressure is enough.
    own_backlog: int | None = None

    def _adopt(self, sock: Any, peer: Any, reactor: Reactor, limits: Limits) -> None:
        self._eof_owed = False
        self._receive_size = RECEIVE_SIZE
        super()._adopt(sock, peer, reactor, limits)

    def _open(self) -> None:
        """Run the user's opening code, then be watched."""
        if not self.blocked & CLOSED:
            self.reactor.requests.move(self, _IDLE)
            self._deliver(self._go_on, self.handle_open)
            if self._eof_owed and self._outbox is None and not self.blocked & CLOSED:
                self._shut_down()

    def _connected(self, sock: Any) -> None:
        """A connector has got the connection."""
        self.socket = sock
        self.since = self.reactor.now

    # Upcalls

    def handle_open(self) -> None:
        """Called once, when the connection is there: expect something, write a greeting."""

    def handle_drained(self) -> None:
        """Called when the peer has taken all it is owed, after it had once refused some."""

    def handle_exception(self, exc: BaseException) -> None:
        """Called inside the ``except`` with what any code of this connection raised. Reports it, then
        closes; what was written before is sent. A refused message is one line, not a traceback."""
        self.reactor.requests.failed()
        if isinstance(exc, FramingError):
            self.reactor.requests.limit_passed(self.reactor.now, type(exc).__name__, self, str(exc))
        else:
            self.report(exc)
        self.close()

    def report(self, exc: BaseException) -> None:
        """Log an error with the row it belongs to."""
        throttle = self.reactor.requests.throttle
        throttle.raised(self.reactor.now, exc, "%r raised %s", self, type(exc).__name__)

    # What a handler may call

    def write(self, data: Data) -> None:
        """Send *data*, or what the kernel does not take of it as soon as it does.

        Never blocks and never calls user code. What a handler writes while its own message is
        being delivered is joined and sent once. To a closing connection it is dropped, with a
        debug line. A connection that is owed more than ``send_buffer_limit`` by writes from
        elsewhere, its own timers included, is closed.

        Raises `TypeError` for anything but bytes, `RuntimeError` after `write_eof` and in any
        thread but the reactor's: use ``reactor.call_soon_threadsafe(handler.write, data)`` there.
        """
        if type(data) is not bytes:
            data = _as_bytes(data)
        if self.reactor.thread != get_ident():
            self._check_thread()
        batch = self._batch
        if batch is None:
            self._write_at_once(data)
            return
        batch.append(data)
        self.written += len(data)
        if self.written - self.sent >= JOIN_SIZE:
            self._flush()

    def hold(self) -> None:
        """Deliver no message until `release`: this request waits on something else than its peer.

        There is one hold for each connection: `offload` holds too, and releases when it is done.
        """
        self.reactor.check("hold")
        self.blocked |= HELD
        if self._batch is None:
            self._settle()

    def release(self) -> None:
        """End `hold`. Messages that came meanwhile are delivered in this turn or the next.

        Raises `RuntimeError` if nothing is held. Does nothing once the connection is closing.
        """
        if not self.blocked & CLOSED:
            self.reactor.check("release")
            super().release()
            self._go_on_soon()

    def pause_reading(self) -> None:
        """Take nothing from this peer for now: somebody else can't keep up with it. One buffer more
        may still be read, and none of it is delivered before `resume_reading`."""
        self.reactor.check("pause_reading")
        self.blocked |= PAUSED
        if self._batch is None:
            self._settle()

    def resume_reading(self) -> None:
        """End `pause_reading`. Does nothing if reading is not paused."""
        if self.blocked & PAUSED:
            self.reactor.check("resume_reading")
            self.blocked &= ~PAUSED
            self._go_on_soon()

    def _go_on_soon(self) -> None:
        """See to it that the inbox is looked at again, and that nothing more is read before that."""
        if self._batch is not None:
            self.reactor.call_soon(self._resume)
        elif not self.blocked & NEXT_TURN:
            self.blocked |= NEXT_TURN
            self.reactor.call_soon(self._next_turn)

    def write_eof(self) -> None:
        """Tell the peer, once it has all that was written, that no more comes; go on reading.

        Writing after it is a `RuntimeError`. Does nothing once the connection is closing, which
        ends the output anyway.
        """
        if self.blocked & CLOSED or self._eof_owed:
            return
        self.reactor.check("write_eof")
        if self._batch and self._row_state is _IDLE:
            self.since = self.reactor.now  # something is on its way: `close` is not to think otherwise
        self._flush()
        self._batch = None  # from here on, writing is an error, which `_write_at_once` raises
        self._eof_owed = True
        if self._outbox is None and self._row_state is not RequestState.HANDSHAKE:
            self._shut_down()

    # Events

    def handle_read(self) -> None:
        if self.blocked & NEXT_TURN:
            return  # the next delivery is under way without us
        try:
            data = self.socket.recv(self._receive_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._lost(exc)
            return
        if self.blocked or not data:
            self._receive_aside(data)
            return
        received = len(data)
        self.received += received
        if received >= RECEIVE_SIZE:
            self._receive_size = LARGER_SIZES.get(received, self._receive_size)
        elif self._receive_size != RECEIVE_SIZE and received < RECEIVE_SIZE // 4:
            self._receive_size = RECEIVE_SIZE
        completed = self.completed
        self._batch = None if self._eof_owed else []
        try:
            self.feed(data)
        finally:
            batch = self._batch  # `close` and `abort` take it away
            # The usual send stands here and not in `_flush`, which every reply would pay for.
            if batch and self._outbox is None:
                data = b"".join(batch)
                try:
                    sent = self.socket.send(data)
                except OSError as exc:
                    sent = self._send_failed(exc)
                self.sent += sent
                if sent != len(data):
                    self._keep_owed(data, sent)
            elif batch:
                self._flush()
            self._batch = None
            if self.blocked or self._inbox or self._expected or self._outbox or self._row_state is not _IDLE:
                self._delivered(completed)
            elif self.completed != completed:
                self.since = self.reactor.now

    def handle_write(self) -> None:
        if self._outbox is None:
            return
        self._flush(writable=True)
        if self._outbox is not None or self._row_state is RequestState.CLOSED:
            return
        self.blocked &= ~FULL
        if self.blocked & CLOSED:
            self._linger()
            return
        if self._eof_owed:
            self._shut_down()
        self._deliver(self._go_on, self.handle_drained)

    # Deliveries

    def _deliver(self, call: Callable[..., object], *args: Any) -> None:
        """Run code of this connection: what it writes is joined and sent once, and the row is settled."""
        if self.blocked & CLOSED:
            return
        completed = self.completed
        self._batch = None if self._eof_owed else []
        try:
            call(*args)
        finally:
            if self._batch:
                self._flush()
            self._batch = None
            self._delivered(completed)

    def _delivered(self, completed: int) -> None:
        """A delivery is over, before which so many requests were *completed*."""
        if self.completed != completed:
            self._reading_time = 0.0
            if self._outbox is None or self._row_state is _READING:
                self.since = self.reactor.now
        self._settle()

    def _resume(self) -> None:
        """Go on with the inbox, if nothing else holds it back."""
        self._deliver(self.feed)

    def _go_on(self, then: Callable[..., object], *args: Any) -> None:
        then(*args)
        if self._inbox or self._expected is not None or self._request_size or self.input is not _OPEN:
            self.feed()

    # Sending

    def _flush(self, writable: bool = False) -> None:
        """Send what was written. While the outbox holds what the kernel refused before, only
        *writable* (it says that there is room) tries again."""
        batch = self._batch
        outbox = self._outbox
        if outbox is None:
            if batch:
                data = b"".join(batch)
                batch.clear()
                sent = self._send(data)
                if sent != len(data):
                    self._keep_owed(data, sent)
            return
        if batch:
            before = len(outbox)
            outbox += b"".join(batch)
            batch.clear()
            self._check_backlog(before)
        if writable:
            sent = self._send(outbox)
            if sent:
                self.since = self.reactor.now
            if sent == len(outbox):
                self._outbox = None
            else:
                del outbox[:sent]

    def _send(self, data: bytes | bytearray) -> int:
        """How much of *data* the kernel took."""
        try:
            sent: int = self.socket.send(data)
        except OSError as exc:
            sent = self._send_failed(exc)
        self.sent += sent
        return sent

    def _send_failed(self, exc: OSError) -> int:
        """Nothing was sent: the kernel has no room, or the peer is gone."""
        if not isinstance(exc, BlockingIOError | InterruptedError):
            self._lost(exc)
        return 0

    def _keep_owed(self, data: bytes, sent: int) -> None:
        """Keep what the kernel refused."""
        if not self.blocked & CLOSED:
            self._outbox = bytearray(memoryview(data)[sent:])
            self._check_backlog(0)

    def _check_backlog(self, before: int) -> None:
        """Stop reading from a peer that owes us room; end one that its own handler buries, who writes on
        while so much is owed *before*. A single reply may be as large as its handler likes."""
        limit = self.limits.send_buffer_limit
        if limit is not None and self.owed > limit:
            self.blocked |= FULL
            if self.own_backlog is not None and before >= self.own_backlog * limit:
                self._backlog_passed(f"{self.own_backlog} times over by its own handler")

    def _write_at_once(self, data: bytes) -> None:
        """A write from outside this connection's own deliveries."""
        if self.blocked & CLOSED:
            logger.debug("%r is closing; %d bytes written to it are dropped", self, len(data))
            return
        if self._eof_owed:
            raise RuntimeError("write() after write_eof()")
        self.written += len(data)
        if self._row_state is RequestState.HANDSHAKE:
            if data:
                self._outbox = (self._outbox or bytearray()) + data
        else:
            self._batch = [data]
            self._flush()
            self._batch = None
        if self._outbox is None:
            if self._row_state is _IDLE:
                self.since = self.reactor.now
            return
        limit = self.limits.send_buffer_limit
        if limit is not None and self.written - self.sent > limit:
            self._backlog_passed("by what was written to it from elsewhere")
        elif self._row_state is not RequestState.HANDSHAKE:
            self._settle()

    def _backlog_passed(self, how: str) -> None:
        limit = self.limits.send_buffer_limit
        self.reactor.requests.failed()
        self.reactor.requests.limit_passed(
            self.reactor.now,
            "send_buffer_limit",
            self,
            f"{limit} bytes passed {how} ({self.owed} bytes owed)",
        )
        self.abort()

    # Receiving, aside from the usual way

    def _receive_aside(self, data: bytes) -> None:
        """EOF, or bytes that can't be delivered now."""
        if self.blocked & CLOSED:
            self._discarded += len(data)
            if not data or self._discarded >= LINGER_BYTES:
                self._end()
        elif not data:
            self._deliver(self.end_input)
        else:
            self.received += len(data)
            self._keep(data)
            self._set_mask(self._mask & ~EVENT_READ)

    def _lost(self, exc: OSError) -> None:
        """The peer is gone: no traceback, for it is not our fault."""
        if exc.errno in PEER_GONE:
            logger.debug("%r is gone: %s", self.peer, exc)
        else:
            self.reactor.requests.warn(self.reactor.now, "lost", f"lost {self.peer!r}: {exc}")
        if self.begun or self.owed or self.held:
            self.reactor.requests.failed()
        self.abort()

    def _check_thread(self) -> None:
        thread = self.reactor.thread
        if thread is not None and thread != get_ident():
            raise RuntimeError(
                f"write() called from {current_thread().name}, not from the thread that runs this "
                "connection's reactor: use handler.reactor.call_soon_threadsafe(handler.write, data)"
            )


def class_made_by(factory: Any) -> type | None:
    """The class of the handlers that *factory* makes: itself, or what `functools.partial` was given;
    `None` if that can't be seen."""
    while isinstance(factory, partial):
        factory = factory.func
    return factory if isinstance(factory, type) else None


def _as_bytes(data: Data) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(
        f"write(data) takes bytes, not {type(data).__name__}"
        + (": encode() it" if isinstance(data, str) else "")
    )
