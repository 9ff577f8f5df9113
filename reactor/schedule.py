"""`Schedule`: what is to be called, now, later or at the end of the turn, and the one guard around it all.

The part of the loop that knows no descriptors. `Reactor` derives from it.
"""

import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from reactor.events import EventHandler
from reactor.log import Throttle, logger
from reactor.timers import Timer, TimerQueue

#: Seconds that a callback may take before debug mode names it.
SLOW_CALLBACK = 0.1

Callback = Callable[..., object]


class Schedule:
    """Timers and queued calls of one loop. *clock* gives the time in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float], debug: bool) -> None:
        if not callable(clock):
            raise TypeError(f"clock takes a function such as time.monotonic, not {clock!r}")
        self.clock = clock
        self.debug = debug
        #: The time at which this turn began, in seconds of the clock.
        self.now = clock()
        #: The thread that runs this loop (`threading.get_ident`), `None` while nobody does.
        self.thread: int | None = None
        #: What it logs with: what raises at the same place is told once a second, with a count.
        self.throttle = Throttle()
        # Debug mode, or no longer usable: calls are checked before they are made.
        self._picky = debug
        self._timers = TimerQueue()
        self._soon: deque[tuple[Callback, tuple[Any, ...]]] = deque()
        self._ended: deque[Callback] = deque()
        self._before_wait: tuple[Callback, ...] = ()

    # What may be asked for

    def call_soon(self, callback: Callback, *args: Any) -> None:
        """Call ``callback(*args)`` in this turn or, from another such call, in the next one."""
        if self._picky:
            self._check("call_soon")
        if not callable(callback):
            raise no_callback("call_soon", callback)
        self._soon.append((callback, args))

    def call_later(self, delay: float, callback: Callback, *args: Any) -> Timer:
        """Call ``callback(*args)`` once, *delay* seconds from now; never early.

        Raises `ValueError` for a negative delay.
        """
        if self._picky:
            self._check("call_later")
        if not callable(callback):
            raise no_callback("call_later", callback)
        if not delay >= 0:
            raise ValueError(f"call_later(delay) takes 0 or more seconds, not {delay!r}")
        return self._timers.add(self.clock() + delay, callback, args)

    def call_at(self, when: float, callback: Callback, *args: Any) -> Timer:
        """Call ``callback(*args)`` once, when the clock reads *when* (seconds)."""
        if self._picky:
            self._check("call_at")
        if not callable(callback):
            raise no_callback("call_at", callback)
        if math.isnan(when):
            raise ValueError("when must be a time of this loop's clock, not NaN")
        return self._timers.add(when, callback, args)

    def call_every(self, interval: float, callback: Callback, *args: Any) -> Timer:
        """Call ``callback(*args)`` every *interval* seconds until cancelled, first one interval from now.

        A call that comes late shifts none after it; calls that were missed are skipped. Raises
        `ValueError` for an interval that is not above 0.
        """
        if self._picky:
            self._check("call_every")
        if not callable(callback):
            raise no_callback("call_every", callback)
        check_seconds("call_every(interval)", interval, above=True)
        return self._timers.add(self.clock() + interval, callback, args, interval)

    def call_next_turn(self, callback: Callback) -> None:
        """Call *callback* in the next turn, after its events: everybody else has a turn first."""
        self._ended.append(partial(self._soon.append, (callback, ())))

    def call_at_end(self, callback: Callback) -> None:
        """Call *callback* when everything else of this turn is done: closing upcalls."""
        self._ended.append(callback)

    def call_before_wait(self, callback: Callback) -> None:
        """Call *callback* in every turn, before it waits, until `cancel_before_wait`: for what has to be
        asked each time. Not the place for anything slow."""
        self.check("call_before_wait")
        self._before_wait = (*self._before_wait, callback)

    def cancel_before_wait(self, callback: Callback) -> None:
        """End `call_before_wait`."""
        self._before_wait = tuple(other for other in self._before_wait if other != callback)

    # What the turn does with it

    def _run_due(self, now: float) -> None:
        due = iter(self._timers.pop_due(now))
        try:
            for timer in due:
                callback = timer.callback
                if callback is None:
                    continue  # cancelled by one before it
                args = timer.args
                if timer.interval is None:
                    timer.callback = None
                    timer.args = ()
                else:
                    self._timers.rearm(timer, now)
                self._call(callback, args)
        finally:
            for timer in due:  # an interrupt passed through: the rest is still to come
                self._timers.put_back(timer)

    def _run_soon(self) -> None:
        soon = self._soon
        for _ in range(len(soon)):
            callback, args = soon.popleft()
            self._call(callback, args)

    def _run_ended(self) -> None:
        while self._ended:
            self._call(self._ended.popleft(), ())

    # The guard

    def _call(self, callback: Callback, args: tuple[Any, ...]) -> Any:
        """Make a call, guarded; in debug mode, timed. What it returned, `None` if it raised."""
        started = self.clock() if self.debug else 0.0
        result = None
        try:
            result = callback(*args)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            made = callback.func if isinstance(callback, partial) else callback
            owner = getattr(made, "__self__", None)
            self._failed(owner if isinstance(owner, EventHandler) else None, callback, exc)
        if self.debug:
            self._name_if_slow(callback, started)
        return result

    def _failed(self, handler: EventHandler | None, callback: Callback, exc: BaseException) -> None:
        """What every upcall that raised comes to, inside the ``except``."""
        if handler is None:
            self.throttle.raised(self.now, exc, "%r raised %s", callback, type(exc).__name__)
            return
        try:
            handler.handle_exception(exc)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as worse:
            text = "handle_exception() of %r raised %s; closing it"
            self.throttle.raised(self.now, worse, text, handler, type(worse).__name__)
            self._discard(handler)

    def _discard(self, handler: EventHandler) -> None:
        """Close a handler whose own error handling failed."""
        try:
            handler.close()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as worst:
            self.throttle.raised(self.now, worst, "close() of %r raised %s", handler, type(worst).__name__)

    def _name_if_slow(self, callback: Callback, started: float) -> None:
        took = self.clock() - started
        if took > SLOW_CALLBACK:
            logger.warning("%r held up the loop for %.0f ms", callback, took * 1000)

    def check(self, call: str) -> None:
        """Refuse *call* of something that belongs to this loop, if the loop can't be used from here."""
        if self._picky:
            self._check(call)

    def _check(self, call: str) -> None:
        """Refuse a call that this loop can't serve any more or, in debug mode, one from elsewhere."""
        if self.debug and self.thread not in (None, threading.get_ident()):
            raise RuntimeError(
                f"{call}() called from {threading.current_thread().name}, not from the thread that runs this "
                "reactor: use call_soon_threadsafe()"
            )


def no_callback(call: str, callback: object) -> TypeError:
    """The error for a callback that can't be called."""
    return TypeError(f"{call}(callback) takes something to call, not {callback!r}")


def check_seconds(what: str, seconds: float, *, above: bool = False) -> None:
    """Raise `TypeError` or `ValueError` unless *seconds* is a finite number from 0, or *above* it."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{what} takes a number of seconds, not {seconds!r}")
    if not 0 <= seconds < math.inf or (above and not seconds):
        raise ValueError(
            f"{what} takes {'seconds above 0' if above else '0 or more seconds'}, not {seconds!r}"
        )
