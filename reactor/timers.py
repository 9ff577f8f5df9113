"""`TimerQueue`: what is to be called, and when. A heap of times, and what is due at each; the clock is
the caller's.

The heap holds bare numbers, which C compares fastest and the garbage collector passes over; the
timers are found by their time in a dictionary. Cancelling takes a timer out of that at once, and
leaves the time in the heap, which is made anew once half of it is times of nothing: inserting and
cancelling are both cheap, and a program that cancels all it inserts does not grow.
"""

import heapq
from collections.abc import Callable
from typing import Any

#: So many times of nothing are never worth a new heap.
SMALL = 64


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
        self._queue: TimerQueue | None = queue  # None while it is out of it, being called
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
                self._queue._remove(self)


class TimerQueue:
    """The timers of one loop. Knows no clock: times come in as arguments, in seconds."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._heap: list[float] = []
        #: What is due at each time: a timer, or where there are several a dictionary, in their order.
        self._at: dict[float, Timer | dict[Timer, None]] = {}

    def __len__(self) -> int:
        """How many calls are still to be made."""
        return sum(1 if isinstance(due, Timer) else len(due) for due in self._at.values())

    def add(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...] = (),
        interval: float | None = None,
    ) -> Timer:
        """Call ``callback(*args)`` once the clock reads *when*; if given, every *interval* seconds after."""
        timer = Timer(self, when, callback, args, interval)
        if when in self._at:
            self._join(timer)
        else:
            heapq.heappush(self._heap, when)  # first: an interrupt may come between, and harms nothing
            self._at[when] = timer
        return timer

    def next_time(self) -> float | None:
        """When the earliest timer is due, or `None` if there is none."""
        heap = self._heap
        while heap:
            if heap[0] in self._at:
                return heap[0]
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> list[Timer]:
        """Take out the timers due at *now*, earliest first; the caller calls those still `active`.

        A whole list, so that a timer which inserts another due at once cannot hold up the turn.
        """
        heap = self._heap
        due: list[Timer] = []
        while heap and heap[0] <= now:
            found = self._at.pop(heapq.heappop(heap), None)
            if isinstance(found, Timer):
                found._queue = None
                due.append(found)
            elif found is not None:
                for timer in found:
                    timer._queue = None
                due.extend(found)
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
        if timer.when in self._at:
            self._join(timer)
        else:
            heapq.heappush(self._heap, timer.when)
            self._at[timer.when] = timer

    def _join(self, timer: Timer) -> None:
        """Put *timer* behind what is due at the same time."""
        others = self._at[timer.when]
        if isinstance(others, Timer):
            self._at[timer.when] = {others: None, timer: None}
        else:
            others[timer] = None

    def _remove(self, timer: Timer) -> None:
        """*timer* is cancelled."""
        at = self._at
        found = at[timer.when]
        if isinstance(found, dict):
            del found[timer]
        if found is timer or not found:
            del at[timer.when]
        if len(self._heap) > 2 * len(at) + SMALL:
            self._heap = list(at)
            heapq.heapify(self._heap)
