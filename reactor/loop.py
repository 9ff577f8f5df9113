"""`Reactor`: the loop. A selector, timers, a waker; it knows nothing of what sockets carry.

One turn (`handle_events`):

1. make the calls asked for by `call_before_wait`, then wait in the selector, until an event, the
   next timer, or another thread or signal wakes it;
2. read the clock into ``now``, which is the time for everything in this turn;
3. call the handler of each event. Every event carries its handler, so no look-up is needed;
   a handler unregistered during the turn is remembered in ``_gone`` and skipped, so nobody gets
   an event that was meant for the descriptor's last owner;
4. timers that are due, then what `call_soon` left, as much as was there when that began;
5. closing upcalls, so that a ``write`` in the steps before never called user code.

One guard stands around all upcalls: whatever one raises goes to `handle_exception` of the
handler it belongs to, and costs that handler only. ``KeyboardInterrupt`` and ``SystemExit``
pass through and leave the reactor fit to go on. `run` takes turns until it is told to stop;
a program with a loop of its own calls `handle_events` itself.

Threads: a reactor belongs to the thread that runs it. `call_soon_threadsafe`, `stop` and
`drain` may be called from any other; in debug mode anything else from elsewhere is refused.
A forked child must not use its parent's reactor: there every call is a `RuntimeError`, and
the selector, which the parent may share with it, is never touched.
"""

import contextlib
import errno
import os
import selectors
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from enum import Enum
from types import TracebackType
from typing import Any

from reactor.backoff import LONGEST_PAUSE
from reactor.drain import Drain, Outcome
from reactor.events import EVENT_READ, EVENT_WRITE
from reactor.offload import OffloadPool, check_executor
from reactor.registry import Registry
from reactor.schedule import Callback, no_callback
from reactor.signals import SignalWatch
from reactor.table import RequestTable, Row
from reactor.timers import Timer
from reactor.waker import Waker

#: Seconds of the longest wait. Selectors overflow at about 24 days; waking once a day costs nothing.
LONGEST_WAIT = 86400.0


class ReactorState(Enum):
    """Whether a reactor can be used. Whether it runs is told by its `thread`."""

    OPEN = "open"
    CLOSING = "closing"  #: the last calls are being made
    CLOSED = "closed"
    FORKED = "forked"  #: this is a forked child's copy


class Reactor(Registry):
    """Dispatches ready descriptors, timers and calls, in one thread.

    *selector*: a `selectors.BaseSelector`, by default a new `selectors.DefaultSelector`; it is
    closed with the reactor. *clock*: called for the time in seconds; must be monotonic.
    *executor*: where `offload` runs, by default a thread pool of its own, made on first use.
    *debug*: name callbacks that take over 100 ms, and refuse calls from a foreign thread.

    A context manager: leaving it calls `close`.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        executor: Executor | None = None,
        debug: bool = False,
    ) -> None:
        if executor is not None:
            check_executor(executor)
        super().__init__(selector, clock, debug)
        self._state = ReactorState.OPEN
        self._stop_requested = False  # set by whoever, cleared by `run` alone, so none is ever lost
        self._offload = OffloadPool(self.call_soon_threadsafe, executor)
        self._drain: Drain | None = None
        #: The signals at which it drains.
        self.drains_on: tuple[int, ...] = ()
        self._sweep: Timer | None = None
        #: Every connection of this reactor, a row each.
        self.requests = RequestTable()
        self.requests.throttle = self.throttle
        self._waker = Waker()
        try:
            self._selector.register(self._waker, EVENT_READ, self._waker)
        except BaseException:
            self._waker.close()
            self._selector.close()
            raise
        self._signals = SignalWatch(self._waker.wakeup_fd)
        _reactors.add(self)

    def __repr__(self) -> str:
        state = self._state.value if self.thread is None else "running"
        return f"<{type(self).__name__} {state}, {len(self.requests)} connections>"

    def __enter__(self) -> "Reactor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Rows

    def add_row(self, row: Row) -> None:
        """Take a connection into the table and see to it that its deadlines are enforced."""
        self.requests.add(row)
        sweep = self._sweep
        if sweep is None or sweep.when > self.now + self.requests.sweep_interval:
            if sweep is not None:
                sweep.cancel()  # this row is less patient than those before it
            self._sweep = self.call_later(self.requests.sweep_interval, self._sweep_rows)

    def _sweep_rows(self) -> None:
        if self.requests.sweep(self.now, self._call):
            self.call_soon(self._sweep_rows)
        elif self.requests:
            self._sweep = self.call_later(self.requests.sweep_interval, self._sweep_rows)
        else:
            self._sweep = None

    # Calls from elsewhere, and to elsewhere

    def call_soon_threadsafe(self, callback: Callback, *args: Any) -> None:
        """`call_soon` from any thread or signal handler: it wakes the loop. Raises `RuntimeError`
        once the reactor is closed."""
        if self._state in _DEAD:
            self._check("call_soon_threadsafe")
        if not callable(callback):
            raise no_callback("call_soon_threadsafe", callback)
        self._soon.append((callback, args))
        self._waker.wake()

    def call_in_loop(self, callback: Callable[[], object]) -> None:
        """Have *callback* called in the thread that runs this reactor, and wait for it; here and now
        if that is this thread or nobody runs it. Any thread may call it."""
        if self.thread in (None, threading.get_ident()):
            callback()
            return
        done = threading.Event()
        self.call_soon_threadsafe(_call_and_tell, callback, done)
        while not done.wait(0.1):
            if self.thread is None:  # it stopped before it came to that
                callback()
                return

    def offload(
        self,
        function: Callable[..., Any],
        *args: Any,
        then: Callable[["Future[Any]"], object],
        executor: Executor | None = None,
    ) -> "Future[Any]":
        """Call ``function(*args)`` in the pool (or in *executor*), then ``then(future)`` in the loop."""
        if self._picky:
            self._check("offload")
        return self._offload.submit(function, args, then, executor)

    def on_signal(self, signum: int, callback: Callback, *args: Any) -> None:
        """Call ``callback(*args)`` in the loop each time the process gets *signum*, in place of what
        was done before, which `close` puts back. Main thread only (`ValueError` elsewhere)."""
        if self._picky:
            self._check("on_signal")
        if not callable(callback):
            raise no_callback("on_signal", callback)
        self._signals.watch(signum, self._signalled, callback, args)

    def _signalled(self, callback: Callback, *args: Any) -> None:
        if self._state not in _DEAD:  # or it is being closed, by another thread
            self.call_soon_threadsafe(callback, *args)

    # The end

    def drain_on(self, *signums: int) -> None:
        """Drain when one of these signals comes; at the second one end at once, losing what is left.
        Everybody who has asked for that drains. Call it before requests come: children that were
        forked before would die of the signal."""
        if self._picky:
            self._check("drain_on")
        if not signums:
            raise TypeError("drain_on() takes at least one signal, such as signal.SIGTERM")
        for signum in signums:
            self._signals.watch(signum, self._signalled, self._drain_signalled, (), shared=True)
            self.drains_on += (signum,)

    def drain(self) -> None:
        """Stop accepting, finish what is partial, then have `run` return. Any thread may call it.

        Idle connections are closed at once, those of registered threading and forking servers too, as
        far as they are known. What is not finished within ``drain_timeout`` is lost, and `run` raises
        ``SystemExit(1)``. Calling it again changes nothing.
        """
        self.call_soon_threadsafe(self._start_drain)

    def _drain_signalled(self) -> None:
        if self._drain is None:
            self._start_drain()
        else:
            self._drain.cut("a second signal")

    def _start_drain(self) -> None:
        if self._drain is None:
            self._drain = drain = Drain(self.requests, self._call, self.stop)
            seconds = drain.start(self._handlers() - {self._waker})
            if seconds is not None:
                self.call_later(seconds, drain.time_up, seconds)

    def stop(self) -> None:
        """Have `run` return at the end of its turn, or the next `run` at once. Any thread may call it."""
        if self._state in _DEAD:
            self._check("stop")
        self._stop_requested = True
        self._waker.wake()

    def run(self) -> None:
        """Take turns until `stop` is called or draining is complete. May be called again after.

        Raises ``SystemExit(1)`` if draining was cut short, `RuntimeError` if it is running already.
        """
        if self._picky:
            self._check("run")
        if self.thread is not None:
            raise RuntimeError("this reactor is running already")
        self.thread = threading.get_ident()
        try:
            self._signals.start()
            while not self._stop_requested:
                self.handle_events()
        finally:
            if self._state in _DEAD:
                self._check("run")
            self.thread = None
            self._stop_requested = False
            self._signals.stop()
        if self._drain is not None and self._drain.outcome is Outcome.CUT:
            raise SystemExit(1)

    def close(self) -> None:
        """Abort every connection, close what is registered, and release all descriptors and threads.

        Calling it again does nothing. Raises `RuntimeError` while the reactor runs: `stop` it first.
        """
        if self._state is not ReactorState.OPEN:
            return
        if self.thread is not None:
            raise RuntimeError("close() of a running reactor: stop() it first")
        self._state = ReactorState.CLOSING
        try:
            self._close()
        finally:
            if self._state is ReactorState.CLOSING:  # cut off by an interrupt: to be called again
                self._state = ReactorState.OPEN

    def _close(self) -> None:
        for row in self.requests:
            self._call(row.abort, ())
        self._run_ended()
        for row in self.requests:  # an interrupt came between the end of these and their closing call
            self._call(row._ended, ())
        for handler in self._handlers() - {self._waker}:
            self._call(handler.close, ())
        self._run_ended()
        self._signals.restore()
        # A draining that was cut short has lost what runs there.
        self._offload.close(wait=self._drain is None or self._drain.outcome is not Outcome.CUT)
        self._waker.close()
        with contextlib.suppress(OSError):
            self._selector.close()
        self._gone.clear()
        self._state = ReactorState.CLOSED
        self._picky = True

    # The turn

    def handle_events(self, timeout: float | None = None) -> int:
        """Take one turn: wait at most *timeout* seconds (`None`: as long as it takes), then call
        whatever is due. Returns how many descriptors were ready."""
        if self._picky:
            self._check("handle_events")
        driven = self.thread is None  # by a program's own loop, not by `run`
        if driven:
            self.thread = threading.get_ident()
        try:
            gone = self._gone
            gone.clear()
            for callback in self._before_wait:
                self._call(callback, ())
            wait = LONGEST_WAIT if timeout is None else timeout
            due = self._timers.next_time()
            if self._soon or self._ended:
                wait = 0.0
            elif due is not None:
                # The clock, not ``now``: the last turn may have taken long.
                wait = min(wait, max(0.0, due - self.clock()))
            try:
                ready = self._selector.select(wait)
            except (OSError, ValueError) as exc:
                ready = self._cannot_select(exc, wait)
            self.now = now = self.clock()
            debug = self.debug
            for key, events in ready:
                handler = key.data
                if gone and handler in gone:
                    continue
                started = self.clock() if debug else now
                try:
                    if events & EVENT_READ:
                        handler.handle_read()
                    if events & EVENT_WRITE and not (gone and handler in gone):
                        handler.handle_write()
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as exc:
                    self._failed(handler, handler.handle_read, exc)
                if debug:
                    self._name_if_slow(handler, started)
            if due is not None and due <= now:
                self._run_due(now)
            if self._soon:
                self._run_soon()
            if self._ended:
                self._run_ended()
            if self._drain is not None:
                self._drain.check()
            return len(ready)
        finally:
            if driven and self.thread != -1:
                self.thread = None

    def _cannot_select(self, exc: Exception, wait: float) -> list[tuple[selectors.SelectorKey, int]]:
        """Out of memory, or a descriptor that is none (select(2)): rest, so as not to spin, and go on."""
        self.requests.warn(self.clock(), "select", f"{self!r} cannot wait for events: {exc!r}")
        if getattr(exc, "errno", errno.EBADF) == errno.EBADF:
            self._evict_closed()
        time.sleep(min(wait, LONGEST_PAUSE))
        return []

    # What makes it unusable

    def _check(self, call: str) -> None:
        if self._state is ReactorState.CLOSED:
            raise RuntimeError(f"{call}() of a closed reactor")
        if self._state is ReactorState.FORKED:
            raise RuntimeError(
                f"{call}() of the parent's reactor in a forked child: make a Reactor of its own there"
            )
        super()._check(call)

    def _die_in_child(self) -> None:
        """Become unusable after a fork: what it holds belongs to the parent."""
        self._signals.forget_in_child()
        self._state = ReactorState.FORKED
        self._picky = True
        self.thread = -1  # nobody's
        # If the fork happened in an upcall, the turn under way ends with it.
        self._gone.update(key.data for key in self._selector.get_map().values())
        self._timers = type(self._timers)()
        self._before_wait = ()
        self._soon.clear()
        self._ended.clear()
        for row in self.requests:
            row.forget_in_child()


def _call_and_tell(callback: Callable[[], object], done: threading.Event) -> None:
    try:
        callback()
    finally:
        done.set()


_DEAD = frozenset({ReactorState.CLOSED, ReactorState.FORKED})

# Not a table of loops: only what a fork has to reach, and nothing is kept alive by it.
_reactors: "weakref.WeakSet[Reactor]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for reactor in list(_reactors):
        if reactor._state is not ReactorState.CLOSED:
            reactor._die_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
