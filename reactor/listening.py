"""`Listening`: what a blocking server waits with: its listener, which may rest, and a waker.

The listener is in the selector only while the server takes requests: not while it rests after a
failure (see `backoff`), nor while it has as many requests under way as it may. So nothing spins
on a request that can't be taken, and `shutdown` and signals are heard all the while.
"""

import selectors
from time import monotonic, sleep
from typing import Any, Protocol

from reactor.acceptor import ROOM_INTERVAL
from reactor.backoff import LONGEST_PAUSE, Backoff
from reactor.waker import Waker


class Server(Protocol):
    """What is asked here of a server."""

    _backoff: Backoff | None

    def fileno(self) -> int: ...
    def _has_room(self) -> bool: ...
    def _cannot_wait(self, exc: OSError) -> None: ...


class Listening:
    """One selector with the listener of *server* in it, and *waker*, if there is one. `fd`: of the
    listener, when it was last watched.
    """

    def __init__(self, server: Server, selector: selectors.BaseSelector, waker: Waker | None = None) -> None:
        self._server = server
        self._has_room = server._has_room
        self._selector = selector
        self._waker = waker
        self._listens = False
        self.fd = -1
        if waker is not None:
            selector.register(waker, selectors.EVENT_READ)

    def wait(self, timeout: float | None) -> bool:
        """Whether a request is there, which may take *timeout* seconds. False also when it was woken,
        or rests and should be asked again."""
        backoff = self._server._backoff
        rest = 0.0 if backoff is None else self._rest(backoff)
        if not rest and not self._has_room():
            rest = ROOM_INTERVAL
        if rest and (timeout is None or rest < timeout):
            timeout = rest
        if self._listens is bool(rest):
            self._listen(not rest)
        ready = False
        try:
            events = self._selector.select(timeout)
        except OSError as exc:  # out of memory, see poll(2)
            self._server._cannot_wait(exc)
            sleep(LONGEST_PAUSE if timeout is None else min(timeout, LONGEST_PAUSE))
            return False
        for key, _ in events:
            if key.fileobj is self._waker:
                self._waker.handle_read()
            else:
                ready = True
        return ready

    def _rest(self, backoff: Backoff) -> float:
        """Seconds for which to leave the listener alone; 0 is not to."""
        left = backoff.until - monotonic()
        if left > 0:
            return left
        return LONGEST_PAUSE if self._server.fileno() < 0 else 0.0  # closed while it serves

    def _listen(self, listens: bool) -> None:
        self._listens = listens
        if listens:
            self.fd = self._selector.register(self._server, selectors.EVENT_READ).fd
        else:
            self._selector.unregister(self._server)

    def close(self) -> None:
        self._selector.close()

    def made_with(self, selector_class: Any) -> bool:
        """Whether the selector is one of this class."""
        return type(self._selector) is selector_class
