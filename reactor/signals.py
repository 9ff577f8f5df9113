"""Signals as callbacks of the loop, and what becomes of them in a forked child."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


def set_wakeup_fd(fd: int) -> int | None:
    """Have signals written to *fd*, and say where they went before, for `restore_wakeup_fd`.

    It closes the gap between the last bytecode and a selector's wait, in which a signal would
    otherwise stay unnoticed until the next event. Outside the main thread it does nothing.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "set_wakeup_fd"):
        return signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    return None


def restore_wakeup_fd(previous: int | None) -> None:
    """Undo `set_wakeup_fd`, with what it returned."""
    if previous is not None:
        signal.set_wakeup_fd(previous)


class SignalWatch:
    """The signal handlers that one reactor has installed, and the wake-up descriptor while it runs.

    A handler does no more than hand its callback on (to `Reactor.call_soon_threadsafe`).
    Main thread only, as `signal.signal` has it; elsewhere `start` and `stop` do nothing.
    """

    def __init__(self, wakeup_fd: int = -1) -> None:
        self._wakeup_fd = wakeup_fd
        self._previous: dict[int, Any] = {}
        self._previous_fd: int | None = None
        self._over = False  # `restore` was called, perhaps where it could not put anything back

    def watch(
        self,
        signum: int,
        deliver: Callable[..., object],
        callback: Callable[..., object],
        args: tuple[Any, ...],
    ) -> None:
        """Call ``deliver(callback, *args)`` each time *signum* comes, in place of what was done before.

        Raises `ValueError` outside the main thread or for a number that is no signal.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("on_signal() and drain_on() work in the main thread only (see signal.signal)")

        def caught(signum: int, frame: FrameType | None) -> None:
            if self._over:
                self.restore()
                signal.raise_signal(signum)
            else:
                deliver(callback, *args)

        self._over = False
        previous = signal.signal(signum, caught)
        self._previous.setdefault(signum, previous)

    def start(self) -> None:
        """Have signals wake the loop, from now until `stop`."""
        self._previous_fd = set_wakeup_fd(self._wakeup_fd)

    def stop(self) -> None:
        """Give the wake-up descriptor back to whoever had it."""
        restore_wakeup_fd(self._previous_fd)
        self._previous_fd = None

    def restore(self) -> None:
        """Put back the handlers that were there before; from another thread, when the next signal comes."""
        self._over = True
        if threading.current_thread() is threading.main_thread():
            for signum, previous in self._previous.items():
                signal.signal(signum, signal.SIG_DFL if previous is None else previous)
            self._previous.clear()

    def forget_in_child(self) -> None:
        """In a forked child: whatever the parent's loop had asked for is undone."""
        if self._previous_fd is not None:
            signal.set_wakeup_fd(-1)
            self._previous_fd = None
        self.restore()
