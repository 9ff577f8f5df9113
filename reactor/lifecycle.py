"""`Lifecycle`: when one server serves, and how it is told to stop.

A request to stop is a flag and a wake-up, so it takes effect at once and may come from any
thread, a handler or a signal handler. The flag is cleared at the end of serving alone: one that
comes too early ends the next `serve_forever`, and none is ever lost.

Draining begins in the signal handler, for the serving thread may be in the midst of a request.
For the same reason it is a signal that ends it: a timer sends it once ``drain_timeout`` has passed.
"""

import contextlib
import math
import os
import signal
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from threading import TIMEOUT_MAX, Event, Lock, get_ident
from time import monotonic
from typing import Any, NoReturn, Protocol

from reactor.limits import Limits
from reactor.log import logger
from reactor.signals import SignalWatch, signals_blocked

#: Seconds after which a wait looks again: a signal that comes just before it does not end it.
SIGNAL_POLL = 0.1


class _ShutDown(Event):
    """Remembers that it was cleared: a program with a `serve_forever` of its own does that, and sets it."""

    cleared = False

    def clear(self) -> None:
        self.cleared = True
        super().clear()

    def set(self) -> None:
        self.cleared = False
        super().set()


class Drainable(Protocol):
    """What draining asks of a server, some of it in a signal handler."""

    @property
    def limits(self) -> Limits | None: ...
    def _drain_requests(self) -> None: ...
    def _requests_linger(self) -> bool: ...
    def _abandon_requests(self) -> int: ...


class Lifecycle:
    """`stop_requested`: whether serving is to end. `draining`: whether a signal asked for that;
    `drained_by`: which, `drain_until`: how long. `shut_down`: an event, set when serving has ended,
    cleared when it begins. Any thread may use all this, but for `begin` and `end`."""

    __slots__ = (
        "_deferred",
        "_done",
        "_ended",
        "_is_child",
        "_over",
        "_process",
        "_signals",
        "_signums",
        "_thread",
        "_time_is_up",
        "_wake",
        "drain_until",
        "drained_by",
        "draining",
        "shut_down",
        "stop_requested",
    )

    def __init__(self) -> None:
        self.stop_requested = False
        self.draining = False
        self.drained_by = 0
        self.drain_until = math.inf
        self.shut_down: Event = _ShutDown()
        self._ended = Event()  # of this serving, and no later one
        self._thread: int | None = None
        self._wake: Callable[[], None] | None = None
        self._signals: SignalWatch | None = None
        self._signums: frozenset[int] = frozenset()
        self._deferred: list[tuple[Drainable, int]] | None = None
        self._process = 0
        self._is_child = False
        self._done: Lock | None = None  # while draining and serving; released at the end of that
        self._over = Lock()  # around the end of that, and around telling it that its time is up
        self._time_is_up = False

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
        self._process = os.getpid()
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
        with self._over:
            done, self._done = self._done, None
        if done is not None:
            done.release()

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
        # Read before it is asked for: the serving that ends may be followed by another at once. And the
        # thread first: then the event belongs to it, or to a later one.
        thread = self._thread
        ended = self._ended
        self.request_stop()
        if thread is None and getattr(self.shut_down, "cleared", False):
            self.shut_down.wait()
        elif thread not in (None, get_ident()):
            ended.wait()

    # Draining

    def drain_on(self, signums: tuple[int, ...], server: Drainable) -> None:
        """Have *server* drain when one of these signals comes; at the second, or when
        ``drain_timeout`` has passed, have it abandon what is left and raise ``SystemExit(1)``."""
        if not signums:
            raise TypeError("drain_on() takes at least one signal, such as signal.SIGTERM")
        if self._signals is None:
            self._signals = SignalWatch()
        self._process = os.getpid()
        for signum in signums:
            self._signals.watch(signum, _call_at_once, self._signalled, (server, signum), shared=True)
        self._signums |= {*signums}

    def _signalled(self, server: Drainable, signum: int) -> None:
        if os.getpid() != self._process:  # the child of somebody who knows nothing of this server
            self.restore_signals()
            signal.raise_signal(signum)
        elif self._deferred is not None:
            self._deferred.append((server, signum))
        elif not self.draining:
            self._drain(server, signum)
        elif self._time_is_up:
            self._time_is_up = False
            if self._done is not None:  # or serving has ended just now
                self.time_up(server)
        elif not self._is_child:  # a child's time is its parent's business
            _cut(server, "a second signal")

    def _drain(self, server: Drainable, signum: int) -> None:
        limits = server.limits
        timeout = (limits if isinstance(limits, Limits) else Limits()).drain_timeout
        self.drain_until = math.inf if timeout is None else monotonic() + timeout
        self.drained_by = signum
        self.draining = True
        server._drain_requests()
        if self._is_child:
            return
        self.request_stop()
        if timeout is not None and self.serving:
            self._done = Lock()
            self._done.acquire()
            # Not a `threading.Timer`, whose start waits: the next signal may come at any moment.
            with contextlib.suppress(RuntimeError):  # no room for a thread: a second signal will have to do
                start_new_thread(self._interrupt_in, (timeout, self._done, get_ident(), signum))

    def _interrupt_in(self, seconds: float, done: Lock, thread: int, signum: int) -> None:
        """End whatever the main *thread* waits for by then: only a signal does."""
        if done.acquire(timeout=min(seconds, TIMEOUT_MAX)):
            return
        self._time_is_up = True
        while self._time_is_up:
            with self._over:  # afterwards that signal may be another's again, and deadly
                if self._done is not done:
                    self._time_is_up = False
                    return
                signal.pthread_kill(thread, signum)
            if done.acquire(timeout=SIGNAL_POLL):
                return

    def time_up(self, server: Drainable) -> None:
        """``drain_timeout`` has passed: cut, unless all is sent and the peers are only slow to go."""
        if server._requests_linger():
            server._abandon_requests()
        else:
            _cut(server, "drain_timeout")

    def restore_signals(self) -> None:
        """Undo `drain_on`."""
        if self._signals is not None:
            self._signals.restore()

    # Forking

    @contextlib.contextmanager
    def signals_deferred(self, signums: tuple[int, ...]) -> Iterator[None]:
        """Around a fork and what belongs to it. Nothing that is sent to the child at once is lost, be it one
        of *signums*, of ours or an interrupt, and in the parent, where another thread may get a signal,
        no draining is begun or ended in a hook of the fork."""
        self._deferred = []
        try:
            with signals_blocked(*self._signums, *signums):
                yield
        finally:
            deferred, self._deferred = self._deferred, None
            for server, signum in deferred or ():
                self._signalled(server, signum)

    def become_child(self, server: Drainable, signums: tuple[int, ...]) -> None:
        """This process has one request only. A signal drains that, also one of *signums*, at which its
        parent's reactor drains; all others are ignored."""
        self._process = os.getpid()
        self._is_child = True
        if signums:
            self.drain_on(signums, server)


def _cut(server: Drainable, why: str) -> NoReturn:
    lost = server._abandon_requests()
    logger.warning("draining cut short by %s: %d requests lost", why, lost)
    raise SystemExit(1)


def _call_at_once(callback: Callable[..., object], *args: Any) -> None:
    callback(*args)
