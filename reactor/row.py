"""`ConnectionRow`: a connection as the table and the selector see it, from its adoption to its end.

The base of `Connection`, which adds the bytes. Here are the books: who the peer is, what its row
waits for, since when and until when, how much is owed.

The row's state is derived, never remembered: `_settle` works it out after each delivery, from
what is owed, held and begun, has the table make the change, and asks the selector for what the
new state needs. The usual delivery begins and ends idle and changes nothing. Reading is given
up lazily: a blocked connection reads one more buffer, if one comes, and only then leaves the
selector; only one that is owed too much (FULL) is not read from at all.

The end. `close` sends what is owed, then shuts down the sending side, then reads and discards
until EOF, for `linger_timeout` and at most `LINGER_BYTES`. `abort` skips all that. Both come to
`_end`: out of the selector, and one closing upcall at the end of the turn.
"""

import contextlib
import socket
from typing import Any

from reactor.events import EVENT_READ, EVENT_WRITE, DescriptorLost, EventHandler
from reactor.limits import Limits
from reactor.log import logger
from reactor.loop import Reactor
from reactor.machine import BUDGET, CLOSED, FULL, HELD, NEXT_TURN, PAUSED, Input, StateMachine
from reactor.net import reset_when_closed
from reactor.table import TIMEOUTS, RequestState

#: Bytes read and thrown away at most after the last reply.
LINGER_BYTES = 1 << 20

#: In place of a mask, once the closing call is being made.
_ENDED = -1

# Once: before Python 3.12 to ask an `Enum` for a member takes ten times as long as a global.
_HANDSHAKE = RequestState.HANDSHAKE
_IDLE = RequestState.IDLE
_READING = RequestState.READING
_OPEN = Input.OPEN
_OVER = Input.OVER
_DROPPED = Input.DROPPED


class ConnectionRow(StateMachine, EventHandler):
    """A row of the table, and the state machine that fills it.

    `socket`: non-blocking; its owner closes it. `peer`: its address. `reactor`, `limits`: its
    loop, its server's limits. `since`: see `age`. `received`, `written`, `sent`: bytes so far;
    `completed`: requests. Belongs to its reactor's thread.
    """

    __slots__ = (
        "_batch",
        "_discarded",
        "_mask",
        "_outbox",
        "_reading_time",
        "_row_state",
        "limits",
        "peer",
        "reactor",
        "received",
        "sent",
        "since",
        "socket",
        "written",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in ("__eq__", "__hash__"):
            if name in cls.__dict__:
                raise TypeError(
                    f"{cls.__qualname__}.{name}: a connection is a row of a table, equal to no other"
                )
        for name in _RESERVED.intersection(cls.__dict__):
            if not name.startswith("_") and cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
                raise TypeError(
                    f"{cls.__qualname__}.{name}: every connection keeps a value of that name; choose another"
                )

    def _adopt(self, sock: Any, peer: Any, reactor: Reactor, limits: Limits) -> None:
        """Become a row of *reactor*, not open yet. Runs no user code."""
        StateMachine.__init__(self, limits.max_request_size)
        self.socket = sock
        self.peer = peer
        self.reactor = reactor
        self.limits = limits
        self.since = reactor.now
        self.received = self.written = self.sent = 0
        self._row_state = _HANDSHAKE
        self._reading_time = 0.0
        self._batch: list[bytes] | None = None  # what this delivery has written
        self._outbox: bytearray | None = None  # what the kernel has refused
        self._discarded = self._mask = 0
        reactor.add_row(self)

    def _disown(self) -> bool:
        """Undo `_adopt`: the handler's own constructor failed, so there is nothing to close. Returns
        whether that was so; one that has ended already goes the usual way."""
        if self._row_state is RequestState.CLOSED:
            return False
        self.blocked |= CLOSED
        self._set_mask(0)
        self.reactor.requests.move(self, RequestState.CLOSED)
        self.reactor.requests.remove(self)
        return True

    def fileno(self) -> int:
        return -1 if self.socket is None else int(self.socket.fileno())

    def __repr__(self) -> str:
        if not hasattr(self, "_row_state"):
            return f"<{type(self).__name__}, not connected>"
        return f"<{type(self).__name__} {self.peer!r} {self._row_state.value}>"

    @property
    def state(self) -> RequestState:
        """What this row waits for. Changed by the table alone."""
        return self._row_state

    def _enter(self, state: RequestState) -> None:
        """Take over a new state and keep its books: since when, and the time spent reading."""
        now = self.reactor.now
        if state is _IDLE:
            self._reading_time = 0.0
        elif self._row_state is _READING:
            self._reading_time += now - self.since
        self._row_state = state
        self.since = now

    def _complete(self) -> None:
        super()._complete()
        self._reading_time = 0.0

    @property
    def owed(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self.written - self.sent

    @property
    def age(self) -> float:
        """Seconds in the present state; while idle, since the last activity."""
        return self.reactor.now - self.since

    @property
    def timeout_name(self) -> str | None:
        """The limit that ends the present wait. While a client connects, its connector sees to that."""
        if self.socket is None:
            return None
        return TIMEOUTS.get(self._row_state) if self._outbox is None else "send_timeout"

    @property
    def deadline(self) -> float | None:
        """When the present wait is over, in seconds of the reactor's clock; `None` if it has no limit."""
        name = self.timeout_name
        limit: float | None = None if name is None else getattr(self.limits, name)
        if limit is None:
            return None
        return self.since + limit - (self._reading_time if self._row_state is _READING else 0.0)

    @property
    def waiting_for(self) -> str:
        """What would take this row on, in words."""
        if self._outbox is not None:
            return f"the peer to take {self.owed} bytes"
        if self._row_state is RequestState.HANDLING:
            return "its handler"
        if self._row_state is RequestState.CLOSING:
            return "the peer to close"
        return str(self.expecting) if self.expecting is not None else "nothing"

    # What it waits for

    def _settle(self) -> None:
        """Work out what this row now waits for, and what to watch its socket for."""
        blocked = self.blocked
        if blocked & CLOSED or self._row_state is _HANDSHAKE:
            return
        owing = self._outbox is not None
        if self.input is _OVER and not owing and not blocked & (HELD | BUDGET | NEXT_TURN):
            self._answered()
            return
        if blocked & BUDGET:
            self.blocked = blocked = blocked & ~BUDGET | NEXT_TURN
            self.reactor.call_next_turn(self._next_turn)
        if owing:
            state = RequestState.WRITING
        elif blocked & (HELD | PAUSED):
            state = RequestState.HANDLING
        elif self.begun:
            state = _READING
        else:
            state = _IDLE
        if state is not self._row_state:
            self.reactor.requests.move(self, state)
            if self.blocked & CLOSED:
                return  # idle while draining
        if self.input is not _OPEN or blocked & FULL:
            reading = 0
        elif blocked:
            reading = self._mask & EVENT_READ
        else:
            reading = EVENT_READ
        self._set_mask(reading | EVENT_WRITE if owing else reading)

    def _next_turn(self) -> None:
        self.blocked &= ~NEXT_TURN
        self._resume()

    def _set_mask(self, mask: int) -> None:
        before = self._mask
        if mask == before:
            return
        self._mask = 0  # and that it is, if the next step fails
        if not mask:
            try:
                self.reactor.unregister(self)
            except KeyError:
                pass
            return
        try:
            if before:
                self.reactor.modify(self, mask)
            else:
                self.reactor.register(self, mask, self)
        except (OSError, ValueError) as exc:
            if not self.blocked & CLOSED:
                raise
            logger.debug("%r can't wait for its peer: %s", self, exc)
            self._end()
        else:
            self._mask = mask

    # The end

    def close(self) -> None:
        """Send what is owed, then end: the peer sees EOF and, within `linger_timeout`, no reset.

        Nothing more is delivered and later writes are dropped. A client that is not connected yet
        gives up. Calling it again does nothing.
        """
        if self.blocked & CLOSED:
            return
        self.reactor.check("close")
        writing = self._batch is not None or self._outbox is not None  # or about to: this is a delivery
        if self._batch:
            self._flush()
        self._batch = None
        if self.blocked & CLOSED:
            return  # sending found the peer gone
        self.blocked |= CLOSED
        if (
            self.socket is None
            or not self.written
            or (self._outbox is None and self._peer_has_ended)
            or (not writing and self._row_state is _IDLE and self._is_past_linger())
        ):
            self._end()  # there is no reply on its way that a reset could overtake
            return
        self.reactor.requests.move(self, RequestState.CLOSING)
        if self._outbox is None:
            self._linger()
        else:
            self._set_mask(EVENT_WRITE)

    def abort(self) -> None:
        """End at once: what is owed is dropped, which the peer learns by a reset. Calling it again does
        nothing."""
        if self._row_state is not RequestState.CLOSED:
            self.reactor.check("abort")
            if self._outbox is not None and self.socket is not None:
                reset_when_closed(self.socket)
            self._end()

    def handle_lost(self, exc: DescriptorLost) -> None:
        self._mask = 0
        with contextlib.suppress(AttributeError):
            self.socket.detach()  # or whoever closes it closes somebody else's descriptor
        self.abort()
        self.handle_exception(exc)

    def forget_in_child(self) -> None:
        """In a forked child: what was written is the parent's to send."""
        self._batch = self._outbox = None

    def handle_close(self) -> None:
        """The closing call: once, at the end of the turn, when the connection has ended."""

    def _answered(self) -> None:
        """Input has ended and nothing is owed."""
        if self.begun:
            self.reactor.requests.failed()
            logger.debug(
                "%r ended its input in the middle of a request (%d bytes dropped)",
                self.peer,
                len(self._inbox),
            )
        self.close()

    def _is_past_linger(self) -> bool:
        """Whether all we sent has been with the peer for longer than lingering would wait."""
        timeout = self.limits.linger_timeout
        return timeout is not None and self.reactor.now - self.since >= timeout

    @property
    def _peer_has_ended(self) -> bool:
        """Whether EOF was seen: there is nothing to linger for, and `_release` shuts down soon enough."""
        return self.input is not _OPEN and self.input is not _DROPPED

    def _linger(self) -> None:
        """All is sent: tell the peer, then read until it has seen so."""
        if self._peer_has_ended:
            self._end()
        else:
            self._shut_down()
            self.since = self.reactor.now
            self._set_mask(EVENT_READ)

    def _shut_down(self) -> None:
        """Let the peer see the end of our output, even while a child still holds the descriptor."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _end(self) -> None:
        """Leave the selector; the closing call comes at the end of the turn."""
        self.blocked |= CLOSED
        self._batch = self._outbox = None
        self._drop_input()
        if self._mask:
            self._set_mask(0)
        self.reactor.requests.move(self, RequestState.CLOSED)
        self.reactor.call_at_end(self._ended)

    def _ended(self) -> None:
        try:
            if self._mask != _ENDED:  # or an interrupt came in the middle of it
                self._mask = _ENDED
                self.handle_close()
        finally:
            self._first = self._expected = None  # states are bound methods: break the circle
            if self in self.reactor.requests:
                self.reactor.requests.remove(self)
                self._release()

    def _release(self) -> None:
        """Give the socket back to whoever made it."""
        if self.socket is not None:
            self._shut_down()
            self.socket.close()

    def _flush(self, writable: bool = False) -> None:
        """Send what was written; see `Connection`."""
        raise NotImplementedError

    def _resume(self) -> None:
        """Go on with the inbox; see `Connection`."""
        raise NotImplementedError


#: Names that a handler class must not give to something else.
_RESERVED = frozenset(StateMachine.__slots__) | frozenset(ConnectionRow.__slots__) | {"state"}
