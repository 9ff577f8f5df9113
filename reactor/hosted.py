"""Acceptors of servers whose requests go on elsewhere: in threads or processes, and not in the reactor.

Of those requests the reactor sees nothing. So while it drains, the server is asked about them: it is
told to drain, looked at now and then, and abandons what is left when draining is cut short.
"""

import socketserver
from typing import Any

from reactor.acceptor import Acceptor, runs_in_loop
from reactor.events import ConcurrentHandler, EventHandler, event_handler_of
from reactor.limits import Limits
from reactor.loop import Reactor

#: Seconds between looks at what is left: nothing wakes the loop when a thread or a child has ended.
DRAIN_INTERVAL = 0.05


class ConcurrentAcceptor(Acceptor, ConcurrentHandler):
    """Stands for a server with a thread or a process for each request."""

    server: Any

    @property
    def drain_timeout(self) -> float | None:
        limits = getattr(self.server, "limits", None)
        return (limits if isinstance(limits, Limits) else Limits()).drain_timeout

    def stop_accepting(self) -> None:
        super().stop_accepting()
        self._drain_requests()
        self._look()

    def under_way(self) -> int:
        return int(self.server._requests_under_way())

    def lingers(self) -> bool:
        return not self.under_way() or bool(self.server._requests_linger())

    def abandon(self) -> int:
        return int(self.server._abandon_requests())

    def _drain_requests(self) -> None:
        self.server._drain_requests()

    def _look(self) -> None:
        if self.under_way():
            self._signal_children()
            self.reactor.call_later(DRAIN_INTERVAL, self._look)

    def _signal_children(self) -> None:
        """They drain at the same signals; once more each time, for one just before a wait is lost."""
        if self.reactor.drains_on and hasattr(self.server, "_signal_children"):
            self.server._signal_children(self.reactor.drains_on[0])


class StandardAcceptor(ConcurrentAcceptor):
    """Stands for a server of the standard library, whose `shutdown` knows nothing of reactors.

    That method sets a flag and waits for an event that `serve_forever` would set. So the event is
    set from the start, and the flag is looked at with each `service_actions`.

    Of its requests those are known whose threads its `server_close` would wait for; daemons' are not.
    """

    def handle_registered(self) -> None:
        super().handle_registered()
        ended = getattr(self.server, "_BaseServer__is_shut_down", None)
        if ended is not None:
            ended.set()

    def under_way(self) -> int:
        threads = getattr(self.server, "_threads", None)
        return sum(thread.is_alive() for thread in threads) if isinstance(threads, list) else 0

    def lingers(self) -> bool:
        return not self.under_way()

    def abandon(self) -> int:
        lost = self.under_way()
        vars(self.server).pop("_threads", None)  # or `server_close` would wait for them
        return lost

    def _drain_requests(self) -> None:
        pass

    def _service_actions(self) -> None:
        if getattr(self.server, "_BaseServer__shutdown_request", False):
            self.stop()
        else:
            super()._service_actions()


def servers_of(reactor: Reactor) -> list[Any]:
    """The servers that are registered."""
    return [handler.server for handler in reactor._handlers() if isinstance(handler, Acceptor)]


def _standard_acceptor(server: Any, reactor: Reactor) -> EventHandler:
    """The standard library's servers, one request at a time."""
    return StandardAcceptor(server, reactor, may_block=runs_in_loop(server))


if hasattr(socketserver, "BaseServer"):  # not while our face is being loaded in that module's place
    event_handler_of.register(socketserver.BaseServer, _standard_acceptor)
