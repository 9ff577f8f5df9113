"""`TimerQueue`: what is to be called, and when. A heap; the clock is the caller's.

Cancelling only marks a timer; the heap is rebuilt once half of it is cancelled, so inserting
and cancelling are both cheap and a program that cancels all it inserts does not grow.
The heap holds ``(when, number, timer)`` tuples, which C compares; equal times keep their order.
"""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any


class Timer:
    """A call that will be made; returned by `Reactor.call_later` and its kin.

    `when` is the clock's reading at which it is due, in seconds. Belongs to the loop's thread.
    """

    __slots__ = ("_queue", "args", "callback", "interval", "when")

    def __init__(
        self,
        queue: "TimerQueue",
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        interval: float | None,
    ) -> None:
        self._queue: TimerQueue | None = queue  # None while it is out of the heap, being called
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.interval = interval

    def __repr__(self) -> str:
        what = "done or cancelled" if self.callback is None else repr(self.callback)
        return f"<Timer when={self.when:.3f} {what}>"

    @property
    def active(self) -> bool:
        """Whether the call is still to be made."""
        return self.callback is not None

    def cancel(self) -> None:
        """Never make the call. Does nothing once it was made or cancelled."""
        if self.callback is not None:
            self.callback = None
            self.args = ()
            if self._queue is not None:
                self._queue._cancelled_one()


class TimerQueue:
    """The timers of one loop. Knows no clock: times come in as arguments, in seconds."""

    __slots__ = ("_cancelled", "_heap", "_numbers")

    #: A heap smaller than this is never worth rebuilding.
    SMALL = 64

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._cancelled = 0

    def __len__(self) -> int:
        """How many calls are still to be made."""
        return len(self._heap) - self._cancelled

    def add(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...] = (),
        interval: float | None = None,
    ) -> Timer:
        """Call ``callback(*args)`` once the clock reads *when*; if given, every *interval* seconds after."""
        timer = Timer(self, when, callback, args, interval)
        heapq.heappush(self._heap, (when, next(self._numbers), timer))
        return timer

    def next_time(self) -> float | None:
        """When the earliest timer is due, or `None` if there is none."""
        heap = self._heap
        while heap:
            when, _, timer = heap[0]
            if timer.callback is not None:
                return when
            heapq.heappop(heap)
            self._cancelled -= 1
        return None

    def pop_due(self, now: float) -> list[Timer]:
        """Take out the timers due at *now*, earliest first; the caller calls those still `active`.

        A whole list, so that a timer which inserts another due at once cannot hold up the turn.
        """
        heap = self._heap
        due = []
        while heap and heap[0][0] <= now:
            timer = heapq.heappop(heap)[2]
            if timer.callback is None:
                self._cancelled -= 1
            else:
                timer._queue = None
                due.append(timer)
        return due

    def rearm(self, timer: Timer, now: float) -> None:
        """Put a repeating timer back, on its own grid: late turns shift no call, missed ones are skipped."""
        interval = timer.interval
        assert interval is not None
        when = timer.when + interval * max(1, (now - timer.when) // interval)
        if when <= now:
            when += interval
        timer.when = when if when > now else now + interval  # rounding had left it there
        self.put_back(timer)

    def put_back(self, timer: Timer) -> None:
        """Put in again what `pop_due` took out, unless it was cancelled meanwhile."""
        if timer.callback is None:
            return
        timer._queue = self
        heapq.heappush(self._heap, (timer.when, next(self._numbers), timer))

    def _cancelled_one(self) -> None:
        self._cancelled += 1
        if self._cancelled > self.SMALL and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
