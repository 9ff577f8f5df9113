"""`Waker`: ends a selector's wait from another thread or from a signal.

A socket pair and not a pipe or an eventfd: `select` takes it on every system, and
`signal.set_wakeup_fd` may write its single bytes to it.
"""

import contextlib
import socket

from reactor.events import EventHandler
from reactor.net import close_quietly

#: How often a wake-up is tried: none may be lost, and nobody can be told.
ATTEMPTS = 3


class Waker(EventHandler):
    """The readable end, to be registered, and the writing end, which any thread may write to."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def wake(self) -> None:
        """End the wait now, or the next one at once. May be called from any thread, at any time."""
        for _ in range(ATTEMPTS):
            try:
                self._writer.send(b"\0")
                return
            except BlockingIOError:
                return  # a full pipe wakes just as well
            except OSError:
                pass  # out of memory for a moment; or closed, for the loop is over

    def fileno(self) -> int:
        return self._reader.fileno()

    @property
    def wakeup_fd(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`."""
        return self._writer.fileno()

    def handle_read(self) -> None:
        # Whatever is left over ends the next wait at once, so no loop is needed.
        with contextlib.suppress(OSError):
            self._reader.recv(4096)

    def close(self) -> None:
        close_quietly(self._reader)
        close_quietly(self._writer)
