"""`ConnectionRow`: a connection as the request table sees it. The books, and no I/O.

Who the peer is, what its row waits for, since when and until when, how many bytes went either
way, and what is still owed to it. `Connection` derives from it and adds the socket's events.
"""

from typing import Any

from reactor.limits import Limits
from reactor.loop import Reactor
from reactor.machine import StateMachine
from reactor.table import TIMEOUTS, RequestState

_IDLE = RequestState.IDLE
_READING = RequestState.READING


class ConnectionRow(StateMachine):
    """A row of the table, and the state machine that fills it.

    `socket`: non-blocking; its owner closes it. `peer`: its address. `reactor`, `limits`: its
    loop, its server's limits. `since`: see `age`. `received`, `written`, `sent`: bytes so far;
    `completed`: requests. Belongs to its reactor's thread.
    """

    __slots__ = (
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
        self._row_state = RequestState.HANDSHAKE
        self._reading_time = 0.0
        self._outbox: bytearray | None = None

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


#: Names that a handler class must not give to something else.
_RESERVED = frozenset(StateMachine.__slots__) | frozenset(ConnectionRow.__slots__) | {"state"}
