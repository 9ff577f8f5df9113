"""`Waker`: ends a selector's wait from another thread or from a signal.

A socket pair and not a pipe or an eventfd: `select` takes it on every system, and
`signal.set_wakeup_fd` may write its single bytes to it.
"""

import contextlib
import socket

from reactor.events import EventHandler


class Waker(EventHandler):
    """The readable end, to be registered, and the writing end, which any thread may write to."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def wake(self) -> None:
        """End the wait now, or the next one at once. May be called from any thread, at any time."""
        # A full pipe wakes just as well; a closed one belongs to a loop that is over.
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def fileno(self) -> int:
        return self._reader.fileno()

    @property
    def wakeup_fd(self) -> int:
        """The descriptor for `signal.set_wakeup_fd`."""
        return self._writer.fileno()

    def handle_read(self) -> None:
        # Whatever is left over ends the next wait at once, so no loop is needed.
        with contextlib.suppress(BlockingIOError, InterruptedError):
            self._reader.recv(4096)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()
