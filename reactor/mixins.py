"""The mix-ins, and the ready-made combinations: a thread, a process or a table row for each request."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from threading import current_thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from reactor import servers
from reactor.acceptor import is_stream
from reactor.lifecycle import SIGNAL_POLL
from reactor.net import close_quietly, host_of
from reactor.servers import BaseServer, TCPServer, UDPServer
from reactor.serving import ReactorMixIn
from reactor.signals import set_wakeup_fd
from reactor.underway import UnderWay

__all__ = [
    "ReactorMixIn",
    "ReactorTCPServer",
    "ReactorUDPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
]

if TYPE_CHECKING:
    _Base = BaseServer
else:
    _Base = object  # may be mixed with the standard library's servers too

#: Seconds between looks at children that are waited for.
CHILD_POLL = 0.02


def _has_settings(server: BaseServer) -> bool:
    """Whether the mix-in is on a server of ours: the standard library's know nothing of limits."""
    return isinstance(server, BaseServer)


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
    _under_way: UnderWay | None = None

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
        counted = _has_settings(self) and (
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


if hasattr(os, "fork"):

    class ForkingMixIn(_Base):
        """A new process for each request, as `socketserver.ForkingMixIn`.

        `max_children`: while so many run the server takes no other request. `block_on_close`:
        `server_close` waits for all. `timeout`: seconds after which `handle_request` collects.
        """

        timeout = 300
        active_children: "set[int] | None" = None
        max_children = 40
        block_on_close = True
        #: Of the children's clients, where they count as connections.
        _child_hosts: "dict[int, str | None] | None" = None
        _under_way: UnderWay | None = None

        def collect_children(self, *, blocking: bool = False) -> None:
            """Wait for children that have ended; with *blocking*, for all. At `max_children` it waits
            for one to end, unless the server waits for that without it."""
            if not self.active_children:
                return
            if not blocking and not self._can_rest():
                while not self._has_room():
                    sleep(CHILD_POLL)  # waitpid(2) waits for one child or for any, also somebody else's
            for child in self.active_children.copy():
                self._collect(child, 0 if blocking else os.WNOHANG)

        def handle_timeout(self) -> None:
            """Collect children after a timeout of `handle_request`."""
            self.collect_children()

        def service_actions(self) -> None:
            """Collect children while serving."""
            self.collect_children()

        def _has_room(self) -> bool:
            """Whether there may be one more child now. Waits for none."""
            if len(self.active_children or ()) >= self.max_children or self._is_alone():
                self._reap()
            return len(self.active_children or ()) < self.max_children

        def _can_rest(self) -> bool:
            """Whether the server rests while it has `max_children`, so that nothing need wait here."""
            hosted = getattr(self, "_hosted", None)
            lifecycle = getattr(self, "_lifecycle", None)
            return (hosted is not None and hosted.active) or (
                lifecycle is not None and lifecycle.serves_here()
            )

        def _is_alone(self) -> bool:
            """Whether nobody else collects: `handle_request` calls no `service_actions`."""
            return not self._can_rest() and type(self).collect_children is ForkingMixIn.collect_children

        def _reap(self) -> None:
            for child in tuple(self.active_children or ()):
                self._collect(child, os.WNOHANG)

        def _collect(self, child: int, options: int) -> None:
            try:
                pid, _ = os.waitpid(child, options)
            except ChildProcessError:
                pid = child  # somebody else has waited for it
            except OSError:
                return
            if pid:
                self._discard(child)

        def _discard(self, child: int) -> None:
            assert self.active_children is not None
            self.active_children.discard(child)
            if self._child_hosts is not None and child in self._child_hosts:
                self._admissions.leave(self._child_hosts.pop(child))

        def _fork(self) -> int:
            """Fork, and keep the child's number."""
            drains = self._under_way is not None
            with self._lifecycle.signals_deferred() if drains else contextlib.nullcontext():
                pid = os.fork()
                if pid:
                    if self.active_children is None:
                        self.active_children = set()
                    self.active_children.add(pid)
                elif drains:
                    self._lifecycle.become_child()
            return pid

        def process_request(self, request: Any, client_address: Any) -> None:
            """Fork a child for the request."""
            pid = self._fork()
            if pid:
                if _has_settings(self) and self.limits is not None:
                    self._child_hosts = self._child_hosts or {}
                    host = self._child_hosts[pid] = host_of(client_address)
                    self._admissions.enter(host)
                self.close_request(request)
                return
            # In the child, which must not return whatever happens.
            status = 1
            try:
                set_wakeup_fd(-1)  # its signals are none of the parent's business
                if self._under_way is None:
                    self.finish_request(request, client_address)
                else:
                    if is_stream(self):
                        close_quietly(self.socket)  # or newcomers would wait for a parent that has ended
                    with self._under_way.here(request):
                        self.finish_request(request, client_address)
                status = 0
            except Exception:
                self.handle_error(request, client_address)
            finally:
                try:
                    self.shutdown_request(request)
                finally:
                    os._exit(status)

        def _refusal(self, client_address: Any) -> str | None:
            if super()._refusal(client_address) is None:
                return None
            self._reap()  # a child counts until it is collected
            return super()._refusal(client_address)

        def _finish_requests(self) -> None:
            """Draining: the children drain as well. Wait for them, but not for ever."""
            lifecycle = self._lifecycle
            self._reap()
            while self.active_children and monotonic() < lifecycle.drain_until:
                self._signal_children(lifecycle.drained_by)  # again: one just before a wait is lost
                sleep(CHILD_POLL)
                self._reap()
            if self.active_children:
                lifecycle.time_up(self)

        def _signal_children(self, signum: int) -> list[int]:
            """Send a signal to each child, and say which got it. `_reap` first: a number may be another's."""
            reached = []
            for child in tuple(self.active_children or ()):
                with contextlib.suppress(OSError):  # it may have other rights than we
                    os.kill(child, signum)
                    reached.append(child)
            return reached

        def _abandon_requests(self) -> int:
            """No child outlives its server, and `server_close` has none to wait for."""
            self._reap()
            killed = self._signal_children(signal.SIGKILL)
            for child in killed:
                self._collect(child, 0)
            self.active_children = None
            return super()._abandon_requests() + len(killed)

        def server_close(self) -> None:
            """Close the server, then wait for its children."""
            super().server_close()
            self.collect_children(blocking=self.block_on_close)


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """A thread for each connection."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """A thread for each datagram."""


class ReactorTCPServer(ReactorMixIn, TCPServer):
    """Ten thousand connections in one thread."""


class ReactorUDPServer(ReactorMixIn, UDPServer):
    """Datagrams, in a thread that does other things too."""


if hasattr(os, "fork"):

    class ForkingTCPServer(ForkingMixIn, TCPServer):
        """A process for each connection."""

    class ForkingUDPServer(ForkingMixIn, UDPServer):
        """A process for each datagram."""

    __all__ += ["ForkingMixIn", "ForkingTCPServer", "ForkingUDPServer"]


if hasattr(socket, "AF_UNIX"):

    class ThreadingUnixStreamServer(ThreadingMixIn, servers.UnixStreamServer):
        """A thread for each connection."""

    class ThreadingUnixDatagramServer(ThreadingMixIn, servers.UnixDatagramServer):
        """A thread for each datagram."""

    class ReactorUnixStreamServer(ReactorMixIn, servers.UnixStreamServer):
        """Ten thousand connections in one thread."""

    class ReactorUnixDatagramServer(ReactorMixIn, servers.UnixDatagramServer):
        """Datagrams, in a thread that does other things too."""

    __all__ += [
        "ReactorUnixDatagramServer",
        "ReactorUnixStreamServer",
        "ThreadingUnixDatagramServer",
        "ThreadingUnixStreamServer",
    ]

    if hasattr(os, "fork"):

        class ForkingUnixStreamServer(ForkingMixIn, servers.UnixStreamServer):
            """A process for each connection."""

        class ForkingUnixDatagramServer(ForkingMixIn, servers.UnixDatagramServer):
            """A process for each datagram."""

        __all__ += ["ForkingUnixDatagramServer", "ForkingUnixStreamServer"]
