"""`RequestTable`: every connection is a row; what it waits for, since when, until when.

The table knows a row only as the protocol `Row`. It keeps the rows, enforces which state may
follow which (`move`, from the one table `TRANSITIONS`), sweeps out rows whose deadline has
passed, counts, and answers questions. A row's deadline is never a timer: a row stores the time
of its last activity, and the sweep works the rest out, so activity costs one store.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, Protocol

from reactor.limits import Limits
from reactor.log import Throttle, logger
from reactor.net import host_of


class RequestState(Enum):
    """What a connection is waiting for."""

    HANDSHAKE = "handshake"  #: not open yet
    IDLE = "idle"  #: nothing begun, nothing owed
    READING = "reading"  #: a request has begun and is not all there
    HANDLING = "handling"  #: held: offloaded work, a sleep, `hold`
    WRITING = "writing"  #: the peer has not taken all it is owed
    CLOSING = "closing"  #: sending what is owed, then lingering
    CLOSED = "closed"

    # Members are singletons; the hash of `Enum` is a Python call, which each row of a sweep would pay.
    __hash__ = object.__hash__


_S = RequestState

#: The partially completed requests.
PARTIAL = frozenset({_S.READING, _S.HANDLING, _S.WRITING})

_IDLE = _S.IDLE
_OPEN = frozenset({_S.IDLE, _S.READING, _S.HANDLING, _S.WRITING})
_ENDING = frozenset({_S.CLOSING, _S.CLOSED})

#: Which state may follow which. An open connection may turn from anything to anything, for one
#: turn can bring the end of one request and the half of the next; it never opens twice, and
#: nothing comes back once it is closing.
TRANSITIONS: dict[RequestState, frozenset[RequestState]] = {
    _S.HANDSHAKE: _OPEN | _ENDING,
    _S.IDLE: _OPEN - {_S.IDLE} | _ENDING,
    _S.READING: _OPEN - {_S.READING} | _ENDING,
    _S.HANDLING: _OPEN - {_S.HANDLING} | _ENDING,
    _S.WRITING: _OPEN - {_S.WRITING} | _ENDING,
    _S.CLOSING: frozenset({_S.CLOSED}),
    _S.CLOSED: frozenset(),
}

#: Which limit ends which wait. HANDLING has none: that time is the handler's own.
TIMEOUTS: dict[RequestState, str] = {
    _S.HANDSHAKE: "handshake_timeout",
    _S.IDLE: "idle_timeout",
    _S.READING: "request_timeout",
    _S.WRITING: "send_timeout",
    _S.CLOSING: "linger_timeout",
}


class Row(Protocol):
    """What the table knows of a connection. Times are the loop's clock's, in seconds."""

    since: float  #: when it entered its state; while idle, its last activity
    received: int  #: bytes
    sent: int  #: bytes
    completed: int  #: requests

    @property
    def state(self) -> RequestState: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def peer(self) -> Any: ...
    @property
    def timeout_name(self) -> str | None: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def waiting_for(self) -> str: ...

    def close(self) -> None: ...
    def abort(self) -> None: ...
    def _enter(self, state: RequestState) -> None: ...
    def _ended(self) -> None: ...
    def forget_in_child(self) -> None: ...


@dataclass(slots=True)
class Counters:
    """What the table has seen since it was made. Bytes and requests of live rows are included."""

    accepted: int = 0  #: connections that became rows
    completed: int = 0  #: requests
    failed: int = 0  #: connections ended by an error, a refused message or a reset
    timed_out: int = 0  #: connections ended by a deadline
    refused: int = 0  #: connections turned away
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """A row as plain values, for display; safe to keep and to hand to another thread."""

    peer: Any
    state: str
    waiting_for: str
    age: float  #: seconds in this state (while idle: since the last activity)
    remaining: float | None  #: seconds until its deadline
    received: int  #: bytes
    sent: int  #: bytes
    completed: int  #: requests


#: Makes a call, returns what that returns, and keeps what it raises to itself.
Guard = Callable[[Callable[..., Any], tuple[Any, ...]], Any]


def _unguarded(call: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return call(*args)


class RequestTable:
    """The rows of one reactor. Belongs to the loop's thread; iterate it to see every row, oldest
    connection first. `snapshot` gives plain values that may go anywhere."""

    #: Rows looked at in one slice of a sweep; the next slice comes with the next turn.
    SLICE = 2000

    def __init__(self) -> None:
        self._rows: dict[Row, None] = {}
        self._counters = Counters()
        self._sweeping: Iterator[Row] | None = None
        #: What it logs with; a blocking server's connections, a table each, share their server's.
        self.throttle = Throttle()
        self._swept_limits: Limits | None = None
        #: Seconds between sweeps: a quarter of the smallest limit, at most one sweep a second.
        self.sweep_interval = 60.0
        #: Rows that become idle are closed.
        self.draining = False

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(list(self._rows))

    def __contains__(self, row: object) -> bool:
        return row in self._rows

    # Rows come and go

    def add(self, row: Row) -> None:
        """Take a new row in."""
        self._rows[row] = None
        self._counters.accepted += 1
        if row.limits is not self._swept_limits:  # the same object for all rows of a server
            self._swept_limits = row.limits
            self.sweep_interval = max(1.0, min(self.sweep_interval, row.limits.shortest_timeout() / 4))

    def remove(self, row: Row) -> None:
        """Forget a row and keep its figures."""
        del self._rows[row]
        self._counters.completed += row.completed
        self._counters.bytes_in += row.received
        self._counters.bytes_out += row.sent

    def move(self, row: Row, state: RequestState) -> None:
        """Change a row's state: the one place where that is done.

        Raises `RuntimeError` for a change that `TRANSITIONS` does not allow, which is a bug in
        this package. A row that becomes idle while draining is closed.
        """
        if state not in TRANSITIONS[row.state]:
            raise RuntimeError(f"{row!r} cannot go from {row.state.name} to {state.name}")
        row._enter(state)
        if state is _IDLE and self.draining:
            row.close()

    def refuse(self, now: float, reason: str, peer: Any) -> None:
        """Count a connection that was turned away, and say why, at most once a second for each reason."""
        self._counters.refused += 1
        self.throttle.warning(now, f"refused: {reason}", f"refused {peer!r}: {reason}")

    def turn_away(self) -> None:
        """Count a connection that ``verify_request`` turned away."""
        self._counters.refused += 1

    def failed(self) -> None:
        """Count a connection that an error ended."""
        self._counters.failed += 1

    def warn(self, now: float, cause: str, text: str) -> None:
        """Log *text*, at most once a second for each *cause*, with a count of those held back."""
        self.throttle.warning(now, cause, text)

    def limit_passed(self, now: float, name: str, row: Row, figures: str) -> None:
        """Say that a row is closed for passing a limit: one line a second for each limit."""
        self.throttle.warning(now, name, f"closing {row.peer!r}: {name}: {figures}")

    # Deadlines

    def sweep(self, now: float, guard: Guard = _unguarded) -> bool:
        """End the rows whose deadline has passed; look at `SLICE` rows and say whether there are more.

        *guard* makes the calls that may run a handler's own code.
        """
        if self._sweeping is None:
            self._sweeping = iter(list(self._rows))
            self.throttle.flush(now)
        rows = list(islice(self._sweeping, self.SLICE))
        for row in rows:
            deadline = row.deadline
            if deadline is not None and deadline <= now:
                guard(self._expire, (row, now))
        if len(rows) == self.SLICE:
            return True
        self._sweeping = None
        return False

    def _expire(self, row: Row, now: float) -> None:
        name = row.timeout_name
        if row.state is RequestState.CLOSED or name is None:
            return
        waited = now - row.since
        if name == "linger_timeout":
            logger.debug("%r lingered %.1f s", row.peer, waited)
        else:
            self._counters.timed_out += 1
            figures = f"{row.received} bytes received, {row.sent} sent"
            text = f"{getattr(row.limits, name):g} s passed waiting for {row.waiting_for} ({figures})"
            self.limit_passed(now, name, row, text)
        if row.state is RequestState.IDLE:
            row.close()
        else:
            row.abort()

    # Questions

    @property
    def counters(self) -> Counters:
        """The figures up to now, those of live rows included."""
        totals = self._counters
        return Counters(
            accepted=totals.accepted,
            completed=totals.completed + sum(row.completed for row in self._rows),
            failed=totals.failed,
            timed_out=totals.timed_out,
            refused=totals.refused,
            bytes_in=totals.bytes_in + sum(row.received for row in self._rows),
            bytes_out=totals.bytes_out + sum(row.sent for row in self._rows),
        )

    def partial(self) -> list[Row]:
        """The partially completed requests."""
        return [row for row in self._rows if row.state in PARTIAL]

    def by_state(self, state: RequestState) -> list[Row]:
        """The rows in *state*."""
        return [row for row in self._rows if row.state is state]

    def by_peer(self, host: str) -> list[Row]:
        """The rows whose peer is on *host*."""
        return [row for row in self._rows if host_of(row.peer) == host]

    def oldest(self) -> Row | None:
        """The partial request that has been in its state longest, or `None`."""
        return min(self.partial(), key=lambda row: row.since, default=None)

    def states(self) -> Counter[RequestState]:
        """How many rows are in each state."""
        return Counter(row.state for row in self._rows)

    def snapshot(self, now: float) -> list[RowSnapshot]:
        """Every row as plain values at the time *now*, oldest connection first."""
        return [
            RowSnapshot(
                peer=row.peer,
                state=row.state.value,
                waiting_for=row.waiting_for,
                age=now - row.since,
                remaining=None if row.deadline is None else row.deadline - now,
                received=row.received,
                sent=row.sent,
                completed=row.completed,
            )
            for row in self._rows
        ]
