"""`ThreadingMixIn`: a thread for each request."""

import threading
from collections.abc import Iterator
from threading import current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from reactor.base import BaseServer
from reactor.lifecycle import SIGNAL_POLL
from reactor.net import host_of

__all__ = ["ThreadingMixIn"]

if TYPE_CHECKING:
    _Base = BaseServer
else:
    _Base = object  # may be mixed with the standard library's servers too


class _Threads(list[threading.Thread]):
    """The threads that `server_close` waits for: those that are no daemons and still run."""

    def append(self, thread: threading.Thread) -> None:
        self.reap()
        if not thread.daemon:
            super().append(thread)

    def reap(self) -> None:
        """Forget those that have ended, or never started."""
        self[:] = [thread for thread in self if thread.is_alive()]

    def pop_all(self) -> list[threading.Thread]:
        """Empty the list and return what was in it."""
        threads, self[:] = self[:], []
        return threads

    def join(self) -> None:
        """Wait for all; never for the calling one."""
        current = current_thread()
        for thread in self.pop_all():
            if thread is current:
                super().append(thread)
            elif thread.is_alive():
                thread.join()


class _NoThreads:
    """In place of `_Threads` where none are waited for."""

    def append(self, thread: threading.Thread) -> None:
        pass

    def join(self) -> None:
        pass

    def __iter__(self) -> Iterator[threading.Thread]:
        return iter(())


class ThreadingMixIn(_Base):
    """A new thread for each request, as `socketserver.ThreadingMixIn`.

    `daemon_threads`: threads don't keep the process alive, and are not waited for.
    `block_on_close`: `server_close` waits for those that are not daemons. `max_threads`: while so
    many requests are under way the server takes no other; newcomers wait in the listener's queue.
    `None` for no limit.
    """

    daemon_threads = False
    block_on_close = True
    max_threads: int | None = None
    _threads: "_Threads | _NoThreads" = _NoThreads()
    #: Where their number is limited; of the clients, while they count as connections.
    _running: "set[threading.Thread] | None" = None
    _thread_hosts: "dict[threading.Thread, str | None] | None" = None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        try:
            self.finish_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
        finally:
            if self._thread_hosts is not None:
                self._uncount_connection(current_thread())  # before the client sees the end and comes again
            self.shutdown_request(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the request."""
        if self.block_on_close and "_threads" not in vars(self):
            self._threads = _Threads()
        counted = isinstance(self, BaseServer) and (
            self.max_threads is not None or self.limits is not None or self._under_way is not None
        )
        target = self._process_counted if counted else self.process_request_thread
        thread = threading.Thread(target=target, args=(request, client_address))
        thread.daemon = self.daemon_threads
        self._threads.append(thread)
        if counted:
            self._count(thread, request, client_address)
        try:
            thread.start()
        except BaseException:
            if counted:
                self._uncount(thread)
            raise

    def _has_room(self) -> bool:
        """Whether there may be one more thread now."""
        return self.max_threads is None or len(self._running or ()) < self.max_threads

    def _check_settings(self) -> None:
        super()._check_settings()
        most = self.max_threads
        if most is not None and (isinstance(most, bool) or not isinstance(most, int)):
            raise TypeError(f"max_threads must be a whole number or None, not {most!r}")
        if most is not None and most < 1:
            raise ValueError(f"max_threads must be at least 1 (None for no limit), not {most}")

    def _process_counted(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._uncount(current_thread())

    def _count(self, thread: threading.Thread, request: Any, client_address: Any) -> None:
        if self._running is None or self._thread_hosts is None:
            self._running, self._thread_hosts = set(), {}
        self._running.add(thread)
        host = self._thread_hosts[thread] = host_of(client_address)
        self._admissions.enter(host)
        if self._under_way is not None:
            self._under_way.enter(thread, request)

    def _uncount(self, thread: threading.Thread) -> None:
        self._uncount_connection(thread)
        if self._under_way is not None:
            self._under_way.leave(thread)
        if self._running is not None:
            self._running.discard(thread)
        if self.max_threads is not None:
            self._room_made()

    def _uncount_connection(self, thread: threading.Thread) -> None:
        if self._thread_hosts is not None and thread in self._thread_hosts:
            self._admissions.leave(self._thread_hosts.pop(thread))
            if self._under_way is not None:
                self._under_way.handled(thread)

    def _working(self) -> list[threading.Thread]:
        """The threads that still handle requests, as far as that is known."""
        known = {*self._threads, *(self._running or ())}
        return [thread for thread in known if thread.is_alive()]

    def _requests_under_way(self) -> int:
        return len(self._working())

    def _finish_requests(self) -> None:
        """Draining: wait for the threads, daemons too, but not for ever."""
        lifecycle = self._lifecycle
        while working := self._working():
            left = lifecycle.drain_until - monotonic()
            if left <= 0:
                lifecycle.time_up(self)
                return
            working[0].join(min(left, SIGNAL_POLL))

    def _abandon_requests(self) -> int:
        """And `server_close` has nothing to wait for; the interpreter may, for threads that are no
        daemons and wait for something else than their peer."""
        vars(self).pop("_threads", None)
        return super()._abandon_requests()

    def server_close(self) -> None:
        """Close the server, then wait for its threads; never for the calling one."""
        super().server_close()
        self._threads.join()
