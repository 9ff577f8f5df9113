"""The mix-ins, and the ready-made combinations: a thread, a process or a table row for each request."""

import math
import os
import socket
import threading
import time
from typing import Any

from reactor import servers
from reactor.log import logger
from reactor.servers import TCPServer, UDPServer
from reactor.serving import ReactorMixIn
from reactor.signals import set_wakeup_fd

__all__ = [
    "ReactorMixIn",
    "ReactorTCPServer",
    "ReactorUDPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
]


#: Seconds between looks at children while draining.
CHILD_POLL = 0.02


def cut_short(lost: int) -> None:
    """Raise ``SystemExit(1)`` if draining leaves requests unfinished; the log counts them."""
    if lost:
        logger.warning("draining cut short by drain_timeout: %d requests lost", lost)
        raise SystemExit(1)


class ThreadingMixIn:
    """A new thread for each request, as `socketserver.ThreadingMixIn`.

    `daemon_threads`: threads don't keep the process alive, and are not waited for.
    `block_on_close`: `server_close` waits for those that are not daemons.
    """

    daemon_threads = False
    block_on_close = True
    _threads: "list[threading.Thread] | None" = None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        server: Any = self
        try:
            server.finish_request(request, client_address)
        except Exception:
            server.handle_error(request, client_address)
        finally:
            server.shutdown_request(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the request."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address))
        thread.daemon = self.daemon_threads
        if self.block_on_close and not thread.daemon:
            threads = self._threads = [each for each in self._threads or () if each.is_alive()]
            threads.append(thread)
        try:
            thread.start()
        except BaseException:
            if self._threads and self._threads[-1] is thread:
                self._threads.pop()  # there is nothing to wait for
            raise

    def _finish_requests(self) -> None:
        """Draining: wait for the threads that `server_close` would wait for, but not for ever."""
        deadline = self._drain_deadline()  # type: ignore[attr-defined]
        for thread in self._threads or ():
            left = deadline - time.monotonic()
            thread.join(None if left == math.inf else max(0.0, left))
        left_over = sum(thread.is_alive() for thread in self._threads or ())
        self._abandon_requests()
        cut_short(left_over)

    def _abandon_requests(self) -> None:
        """`server_close` has nothing to wait for; the interpreter may, for threads that are no daemons."""
        self._threads = None

    def server_close(self) -> None:
        """Close the server, then wait for its threads; never for the calling one."""
        super().server_close()  # type: ignore[misc]
        current = threading.current_thread()
        threads = self._threads or []
        self._threads = [thread for thread in threads if thread is current] or None
        for thread in threads:
            if thread is not current:
                thread.join()


if hasattr(os, "fork"):

    class ForkingMixIn:
        """A new process for each request, as `socketserver.ForkingMixIn`.

        `max_children`: beyond it, `process_request` waits for one to end. `block_on_close`:
        `server_close` waits for all. `timeout`: seconds after which `handle_request` collects.
        """

        timeout: float | None = 300
        active_children: "set[int] | None" = None
        max_children = 40
        block_on_close = True

        def collect_children(self, *, blocking: bool = False) -> None:
            """Wait for children that have ended; with *blocking*, for all."""
            if not self.active_children:
                return
            while len(self.active_children) >= self.max_children:
                try:
                    pid, _ = os.waitpid(-1, 0)
                    self.active_children.discard(pid)
                except ChildProcessError:
                    self.active_children.clear()  # somebody else has waited for them
            for child in self.active_children.copy():
                self._collect(child, 0 if blocking else os.WNOHANG)

        def handle_timeout(self) -> None:
            """Collect children after a timeout of `handle_request`."""
            self.collect_children()

        def service_actions(self) -> None:
            """Collect children while serving; in a reactor without waiting for any."""
            if self._hosted is not None and self._hosted.active:  # type: ignore[attr-defined]
                self.has_room()
            else:
                self.collect_children()

        def has_room(self) -> bool:
            """Whether there may be one more child. Collects those that have ended; waits for none."""
            for child in tuple(self.active_children or ()):
                self._collect(child, os.WNOHANG)
            return len(self.active_children or ()) < self.max_children

        def _collect(self, child: int, options: int) -> None:
            assert self.active_children is not None
            try:
                pid, _ = os.waitpid(child, options)
            except ChildProcessError:
                pid = child  # somebody else has waited for it
            if pid:
                self.active_children.discard(child)

        def process_request(self, request: Any, client_address: Any) -> None:
            """Fork a child for the request."""
            server: Any = self
            pid = os.fork()
            if pid:
                if self.active_children is None:
                    self.active_children = set()
                self.active_children.add(pid)
                server.close_request(request)
                return
            # In the child, which must not return whatever happens.
            status = 1
            try:
                set_wakeup_fd(-1)  # its signals are none of the parent's business
                server.finish_request(request, client_address)
                status = 0
            except Exception:
                server.handle_error(request, client_address)
            finally:
                try:
                    server.shutdown_request(request)
                finally:
                    os._exit(status)

        def _finish_requests(self) -> None:
            """Draining: wait for the children, but not for ever."""
            deadline = self._drain_deadline()  # type: ignore[attr-defined]
            self.collect_children()
            while self.active_children and time.monotonic() < deadline:
                time.sleep(CHILD_POLL)  # there is no waiting for one of several with a limit
                self.collect_children()
            left_over = len(self.active_children or ())
            self._abandon_requests()
            cut_short(left_over)

        def _abandon_requests(self) -> None:
            """`server_close` has nothing to wait for: the children finish on their own."""
            self.active_children = None

        def server_close(self) -> None:
            """Close the server, then wait for its children."""
            super().server_close()  # type: ignore[misc]
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
