"""`ForkingMixIn`: a process for each request, where the system has `os.fork`."""

import contextlib
import os
import signal
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from reactor.acceptor import is_stream
from reactor.base import BaseServer
from reactor.hosted import servers_of
from reactor.loop import Reactor
from reactor.net import close_quietly, host_of
from reactor.signals import set_wakeup_fd, signals_blocked
from reactor.underway import UnderWay

__all__: list[str] = []

if TYPE_CHECKING:
    _Base = BaseServer
else:
    _Base = object  # may be mixed with the standard library's servers too

#: Seconds between looks at children that are waited for.
CHILD_POLL = 0.02


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
            pid = os.fork()
            if pid:
                if self.active_children is None:
                    self.active_children = set()
                self.active_children.add(pid)
            return pid

        def process_request(self, request: Any, client_address: Any) -> None:
            """Fork a child for the request."""
            # An interrupt in the midst of this would lose the child, and end its connection from here.
            with contextlib.ExitStack() as deferred:
                drains_on = self._defer_signals(deferred)
                pid = self._fork()
                if pid:
                    if isinstance(self, BaseServer) and self.limits is not None:
                        self._child_hosts = self._child_hosts or {}
                        host = self._child_hosts[pid] = host_of(client_address)
                        self._admissions.enter(host)
                    self.close_request(request)
                    return
                # In the child, which must not return whatever happens.
                status = 1
                try:
                    set_wakeup_fd(-1)  # its signals are none of the parent's business
                    if self._under_way is not None:
                        self._lifecycle.become_child(self, drains_on)
                    deferred.close()
                    if self._under_way is None:
                        self.finish_request(request, client_address)
                    else:
                        self._close_listeners()
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

        def _defer_signals(self, deferred: contextlib.ExitStack) -> tuple[int, ...]:
            """Have signals heeded once *deferred* is closed. Returns those at which a reactor drains that
            this server is registered with, if it drains as well."""
            if not isinstance(self, BaseServer):
                deferred.enter_context(signals_blocked())
                return ()
            host = None if self._under_way is None else self._host()
            drains_on = () if host is None else host.drains_on
            deferred.enter_context(self._lifecycle.signals_deferred(drains_on))
            return drains_on

        def _host(self) -> Reactor | None:
            """The reactor that it is registered with."""
            return self._hosted.reactor if self._hosted is not None and self._hosted.active else None

        def _close_listeners(self) -> None:
            """In a child: or newcomers would wait for a parent that takes none, or has ended."""
            host = self._host()
            for server in [self] if host is None else servers_of(host):
                if is_stream(server):
                    close_quietly(server.socket)

        def _refusal(self, client_address: Any) -> str | None:
            if super()._refusal(client_address) is None:
                return None
            self._reap()  # a child counts until it is collected
            return super()._refusal(client_address)

        def _requests_under_way(self) -> int:
            self._reap()
            return len(self.active_children or ())

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

    __all__ += ["ForkingMixIn"]
