"""Signals as callbacks of the loop, and what becomes of them in a forked child."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

#: The signals at which programs raise something, wherever they are: `KeyboardInterrupt`, `SystemExit`.
_INTERRUPTS = frozenset(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


@contextmanager
def signals_blocked(*signums: int) -> Iterator[None]:
    """The calling thread gets neither interrupts nor *signums* before the end of this."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS.union(signums))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


class _Handler:
    """A signal handler of ours: what it calls, and what was there before it."""

    __slots__ = ("_call", "_shared", "_signum", "over", "previous")

    def __init__(self, signum: int, call: Callable[[], object], previous: Any, shared: bool) -> None:
        self._signum = signum
        self._call = call
        self._shared = shared
        self.previous = previous
        self.over = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        if self.over and self._is_installed():  # ended where it could not be put back
            self.uninstall()
            signal.raise_signal(signum)
            return
        try:
            if not self.over:
                self._call()
        finally:
            if self._shared and isinstance(self.previous, _Handler):
                self.previous(signum, frame)

    def _is_installed(self) -> bool:
        present: object = signal.getsignal(self._signum)
        return present is self

    def uninstall(self) -> None:
        """Put back what was there before, unless somebody has put another handler in this one's place.
        Outside the main thread that is done when the next signal comes."""
        self.over = True
        if threading.current_thread() is threading.main_thread() and self._is_installed():
            previous = self.previous
            while isinstance(previous, _Handler) and previous.over:
                previous = previous.previous
            signal.signal(self._signum, signal.SIG_DFL if previous is None else previous)


class SignalWatch:
    """The signal handlers that one reactor has installed, and the wake-up descriptor while it runs.

    A handler does no more than hand its callback on (to `Reactor.call_soon_threadsafe`).
    Main thread only, as `signal.signal` has it; elsewhere `start` and `stop` do nothing.
    """

    def __init__(self, wakeup_fd: int = -1) -> None:
        self._wakeup_fd = wakeup_fd
        self._handlers: dict[int, _Handler] = {}
        self._previous_fd: int | None = None

    def watch(
        self,
        signum: int,
        deliver: Callable[..., object],
        callback: Callable[..., object],
        args: tuple[Any, ...],
        *,
        shared: bool = False,
    ) -> None:
        """Call ``deliver(callback, *args)`` each time *signum* comes, in place of what was done before,
        but for what is *shared* with another of these objects.

        Raises `ValueError` outside the main thread or for a number that is no signal.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("on_signal() and drain_on() work in the main thread only (see signal.signal)")
        former = self._handlers.get(signum)
        previous = signal.getsignal(signum) if former is None else former.previous
        handler = _Handler(signum, partial(deliver, callback, *args), previous, shared)
        signal.signal(signum, handler)
        self._handlers[signum] = handler

    def start(self) -> None:
        """Have signals wake the loop, from now until `stop`."""
        self._previous_fd = set_wakeup_fd(self._wakeup_fd)

    def stop(self) -> None:
        """Give the wake-up descriptor back to whoever had it."""
        restore_wakeup_fd(self._previous_fd)
        self._previous_fd = None

    def restore(self) -> None:
        """Put back the handlers that were there before; from another thread, when the next signal comes."""
        for handler in self._handlers.values():
            handler.uninstall()
        self._handlers.clear()

    def forget_in_child(self) -> None:
        """In a forked child: whatever the parent's loop had asked for is undone."""
        if self._previous_fd is not None:
            signal.set_wakeup_fd(-1)
            self._previous_fd = None
        self.restore()
