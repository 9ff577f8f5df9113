"""`Lifecycle`: when one server serves, and how it is told to stop.

A request to stop is a flag and a wake-up, so it takes effect at once and may come from any
thread, a handler or a signal handler. The flag is cleared at the end of serving alone: one that
comes too early ends the next `serve_forever`, and none is ever lost.
"""

import math
from collections.abc import Callable
from threading import Event, get_ident
from time import monotonic
from typing import Any

from reactor.limits import Limits
from reactor.log import logger
from reactor.signals import SignalWatch


class _ShutDown(Event):
    """Remembers that it was cleared: a program with a `serve_forever` of its own does that, and sets it."""

    cleared = False

    def clear(self) -> None:
        self.cleared = True
        super().clear()

    def set(self) -> None:
        self.cleared = False
        super().set()


class Lifecycle:
    """`stop_requested`: whether serving is to end. `draining`: whether a signal asked for that.
    `shut_down`: an event, set when serving has ended, cleared when it begins. Any thread may use
    all this, but for `begin` and `end`."""

    __slots__ = ("_ended", "_signals", "_thread", "_wake", "draining", "shut_down", "stop_requested")

    def __init__(self) -> None:
        self.stop_requested = False
        self.draining = False
        self.shut_down: Event = _ShutDown()
        self._ended = Event()  # of this serving, and no later one
        self._thread: int | None = None
        self._wake: Callable[[], None] | None = None
        self._signals: SignalWatch | None = None

    @property
    def serving(self) -> bool:
        """Whether the server serves, in any thread."""
        return self._thread is not None

    def serves_here(self) -> bool:
        """Whether it serves in the calling thread."""
        return self._thread == get_ident()

    def begin(self) -> None:
        """The calling thread serves from now on. Raises `RuntimeError` while one does already."""
        if self._thread is not None:
            raise RuntimeError("serve_forever() is running already")
        self.shut_down.clear()
        self._ended = Event()
        self._thread = get_ident()

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Call *wake* to have a request to stop noticed. Look at `stop_requested` after this."""
        self._wake = wake

    def end(self) -> None:
        """Serving is over."""
        self._wake = None
        self.stop_requested = False
        self._thread = None
        self._ended.set()
        self.shut_down.set()

    def wake(self) -> None:
        """Have the serving thread look around; does nothing while nobody serves."""
        wake = self._wake
        if wake is not None:
            wake()

    def request_stop(self) -> None:
        """Have serving end, and do not wait for that."""
        self.stop_requested = True
        self.wake()

    def stop(self) -> None:
        """Have serving end, and wait until it has, unless this is the thread that serves."""
        self.request_stop()
        thread = self._thread
        ended = self._ended  # read after the thread: then it belongs to it, or to a later one
        if thread is None and getattr(self.shut_down, "cleared", False):
            self.shut_down.wait()
        elif thread not in (None, get_ident()):
            ended.wait()

    # Draining

    def drain_on(self, signums: tuple[int, ...], abandon: Callable[[], None]) -> None:
        """Ask for draining when one of these signals comes; at the second, call *abandon* and raise
        ``SystemExit(1)``."""
        if not signums:
            raise TypeError("drain_on() takes at least one signal, such as signal.SIGTERM")
        if self._signals is None:
            self._signals = SignalWatch()
        for signum in signums:
            self._signals.watch(signum, _call_at_once, self._signalled, (abandon,))

    def _signalled(self, abandon: Callable[[], None]) -> None:
        if self.draining:
            abandon()
            logger.warning("draining cut short by a second signal")
            raise SystemExit(1)
        self.draining = True
        self.request_stop()

    def restore_signals(self) -> None:
        """Undo `drain_on`."""
        if self._signals is not None:
            self._signals.restore()


def drain_deadline(limits: Limits | None) -> float:
    """Until when draining may wait, on the monotonic clock; for ever if ``drain_timeout`` is off."""
    timeout = (limits or Limits()).drain_timeout
    return math.inf if timeout is None else monotonic() + timeout


def cut_short(lost: int) -> None:
    """Raise ``SystemExit(1)`` if draining leaves requests unfinished; the log counts them."""
    if lost:
        logger.warning("draining cut short by drain_timeout: %d requests lost", lost)
        raise SystemExit(1)


def _call_at_once(callback: Callable[..., object], *args: Any) -> None:
    callback(*args)
