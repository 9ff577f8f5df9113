"""`Listening`: what a blocking server waits with: its listener, which may rest, and a waker.

The listener is in the selector only while the server takes requests: not while it rests after a
failure (see `backoff`), nor while it has as many requests under way as it may. So nothing spins
on a request that can't be taken, and `shutdown` and signals are heard all the while.
"""

import selectors
from time import monotonic
from typing import Any, Protocol

from reactor.acceptor import ROOM_INTERVAL
from reactor.backoff import LONGEST_PAUSE, Backoff
from reactor.waker import Waker


class Server(Protocol):
    """What is asked here of a server."""

    def fileno(self) -> int: ...
    def has_room(self) -> bool: ...


class Listening:
    """One selector with the listener of *server* in it, and *waker*, if there is one.

    `backoff`: what the listener has failed at, `None` once a request was taken. `fd`: of the listener.
    """

    def __init__(self, server: Server, selector: selectors.BaseSelector, waker: Waker | None = None) -> None:
        self._server = server
        self._selector = selector
        self._waker = waker
        self._listens = False
        self._rest_until = 0.0
        self.backoff: Backoff | None = None
        self.fd = server.fileno()
        if waker is not None:
            selector.register(waker, selectors.EVENT_READ)

    def wait(self, timeout: float | None) -> bool:
        """Whether a request is there, which may take *timeout* seconds. False also when it was woken,
        or rests and should be asked again."""
        rest = self._rest()
        if rest and (timeout is None or rest < timeout):
            timeout = rest
        if self._listens is bool(rest):
            self._listen(not rest)
        ready = False
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._waker:
                self._waker.handle_read()
            else:
                ready = True
        return ready

    def _rest(self) -> float:
        """Seconds for which to leave the listener alone; 0 is not to."""
        if self._rest_until:
            left = self._rest_until - monotonic()
            if left > 0:
                return left
            self._rest_until = 0.0
            if self._server.fileno() < 0:  # closed while it serves
                return LONGEST_PAUSE
        return 0.0 if self._server.has_room() else ROOM_INTERVAL

    def rest_after(self, exc: OSError) -> None:
        """`get_request` raised *exc*: leave the listener alone for a while, if it would again."""
        self.backoff = self.backoff or Backoff()
        pause = self.backoff.failed(exc)
        if pause:
            self._rest_until = monotonic() + pause

    def _listen(self, listens: bool) -> None:
        self._listens = listens
        if listens:
            self._selector.register(self._server, selectors.EVENT_READ)
        else:
            self._selector.unregister(self._server)

    def close(self) -> None:
        self._selector.close()

    def made_with(self, selector_class: Any) -> bool:
        """Whether the selector is one of this class."""
        return type(self._selector) is selector_class
