"""`UnderWay`: the requests under way on a blocking server, so that draining can reach them.

Kept from `drain_on` on, by the thread that each is handled in. How far a request is, a server
that hands its handler a socket can't know; who does know says so with `handled_by`: the books of
a limited handler's files, or the row of a state machine or coroutine in its private reactor.

All this is called by any thread, and by a signal handler in the midst of the very handler it is
about. So nothing here waits for a handler. An entry is made before it is known whether draining
has begun, and draining is marked before the entries are looked at: one of the two sees the other.
"""

import contextlib
import socket
from collections.abc import Iterator
from threading import RLock, Thread, current_thread
from typing import Any, Protocol

from reactor.net import shut_down
from reactor.row import ConnectionRow
from reactor.table import PARTIAL, RequestState


class Handling(Protocol):
    """What draining asks of the way a request is handled."""

    @property
    def state(self) -> RequestState: ...

    def drain(self) -> None:
        """End now if idle, else as soon as that is so."""

    def abort(self) -> None:
        """End whatever waits for the peer."""


class ConnectionUnderWay:
    """A handler that has a socket and says no more: it may always be in the middle of a request."""

    state = RequestState.HANDLING

    def __init__(self, request: Any) -> None:
        self._request = request

    def drain(self) -> None:
        """Nothing is known: it goes on."""

    def abort(self) -> None:
        if hasattr(self._request, "shutdown"):  # a datagram has a socket that is everybody's
            shut_down(self._request, socket.SHUT_RDWR)


class RowUnderWay:
    """A handler that is the one *row* of a reactor, which runs in the handler's thread."""

    def __init__(self, row: ConnectionRow) -> None:
        self._row = row

    @property
    def state(self) -> RequestState:
        row = self._row
        if row._batch is not None:  # in the midst of a delivery: its state comes after it
            return RequestState.HANDLING
        return RequestState.WRITING if row.timeout_name == "send_timeout" else row.state

    def drain(self) -> None:
        self._call(self._close_idle)

    def abort(self) -> None:
        self._call(self._row.abort)

    def _call(self, callback: Any) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed: the row has ended
            self._row.reactor.call_soon_threadsafe(callback)

    def _close_idle(self) -> None:
        self._row.reactor.requests.draining = True
        if self._row.state is RequestState.IDLE:
            self._row.close()


class _Ended:
    """In place of a request that was handled, until its thread has ended."""

    state = RequestState.CLOSED

    def drain(self) -> None:
        pass

    abort = drain


_ENDED = _Ended()


class UnderWay:
    """The requests under way on one server, each by the thread of its handler."""

    def __init__(self) -> None:
        self._handled: dict[Thread, Handling] = {}
        self._draining = False
        # Whoever ends a connection leaves first: no descriptor is shut down that is somebody else's
        # by then. Reentrant, for a signal may come while the main thread has it.
        self._lock = RLock()

    def enter(self, thread: Thread, request: Any) -> None:
        """*thread* handles *request*, or will."""
        self._handled[thread] = ConnectionUnderWay(request)

    def handled_by(self, handling: Handling) -> None:
        """Said by the handler of the calling thread's request, which *handling* knows more of."""
        thread = current_thread()
        with self._lock:
            if thread in self._handled:
                self._handled[thread] = handling
        if self._draining:
            handling.drain()

    def handled(self, thread: Thread) -> None:
        """The request is complete, and its connection not closed yet."""
        with self._lock:
            if thread in self._handled:
                self._handled[thread] = _ENDED

    def leave(self, thread: Thread) -> None:
        """The connection is closed as well."""
        with self._lock:
            self._handled.pop(thread, None)

    @contextlib.contextmanager
    def here(self, request: Any) -> Iterator[None]:
        """Around handling *request* in the calling thread."""
        thread = current_thread()
        self.enter(thread, request)
        try:
            yield
        finally:
            self.leave(thread)

    def drain(self) -> None:
        """End those that are idle, and the others as soon as they are."""
        self._draining = True
        with self._lock:
            for handling in list(self._handled.values()):
                handling.drain()

    def abort(self) -> int:
        """End all; the number of those that are lost by that."""
        with self._lock:
            handled = list(self._handled.values())
            lost = sum(handling.state in PARTIAL for handling in handled)
            for handling in handled:
                handling.abort()
        return lost

    def lingers(self) -> bool:
        """Whether all is sent, and the peers are only slow to go."""
        handled = list(self._handled.values())
        return bool(handled) and all(handling.state in _LINGERING for handling in handled)


_LINGERING = frozenset({RequestState.CLOSING, RequestState.CLOSED})


def handled_by(server: Any, handling: Handling) -> None:
    """Tell *server*, whatever it is, how the calling thread's request is handled, if it drains one day."""
    under_way = getattr(server, "_under_way", None)
    if isinstance(under_way, UnderWay):
        under_way.handled_by(handling)
