"""`ReactorMixIn`: a server whose requests are rows of a table, all in one thread.

The hooks are socketserver's and are called where a subclass expects them. A request is taken
by an `Acceptor`: `get_request`, `verify_request`, `process_request`, `finish_request`, which
makes the handler; its constructor comes back here, to `drive_handler`, which adopts it. The
handler opens in the loop once its constructor has returned; when it has ended it comes back to
`handler_ended`, which calls `shutdown_request`.
"""

import inspect
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from reactor.acceptor import SERVICE_INTERVAL, Acceptor, is_stream
from reactor.base import BaseServer
from reactor.connection import class_made_by
from reactor.handlers import ConnectionRequestHandler
from reactor.limits import UNLIMITED, Limits
from reactor.loop import Reactor
from reactor.net import host_of

#: Requests taken in one turn, so that a rush of newcomers can't hold up those who are there.
REQUESTS_PER_TURN = 64

if TYPE_CHECKING:
    _Base = BaseServer
else:
    _Base = object


class ReactorMixIn(_Base):
    """All requests in one thread: a selector and a table of partially completed requests.

    For stream servers the handlers are `StateRequestHandler` or `AsyncStreamRequestHandler`, for
    datagrams any whose ``handle`` does not wait (`TypeError` otherwise). `limits` are enforced;
    without, as with the classic servers, there is only back-pressure. Serve alone, with
    `serve_forever`, or beside others, with ``reactor.register(server)``.
    """

    limits: Limits | None = Limits()
    request_queue_size = 1024

    _reactor: Reactor | None = None
    _owns_reactor = False
    #: Reactors that it was registered with before, and that may still hold connections of its own.
    _former: tuple[Reactor, ...] = ()
    _adopted: ConnectionRequestHandler | None = None
    #: While `handle_request` runs: the connections accepted in it.
    _accepted: "set[ConnectionRequestHandler] | None" = None
    _failing: ConnectionRequestHandler | None = None
    _request_ended = False
    _close_when_stopped = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook, mixin in (
            ("process_request_thread", "ThreadingMixIn"),
            ("collect_children", "ForkingMixIn"),
        ):
            if hasattr(cls, hook):
                raise TypeError(
                    f"{cls.__qualname__}: ReactorMixIn runs all handlers in one thread, {mixin} gives "
                    "each one of its own; choose one (a handler's slow work goes to self.offload)"
                )

    @property
    def reactor(self) -> Reactor:
        """The reactor that this server is registered with, or one of its own, made on first use."""
        if self._reactor is None:
            self._reactor = Reactor()
            self._owns_reactor = True
        return self._reactor

    # Serving

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle requests until `shutdown`, or until draining is complete (see `drain_on`).

        `service_actions` is called every *poll_interval* seconds; nothing else depends on it.
        Raises ``SystemExit(1)`` when draining was cut short, `RuntimeError` for a server that is
        registered with a reactor of somebody else's.
        """
        self._lifecycle.begin()
        try:
            reactor = self._own_reactor(poll_interval)
            self._lifecycle.wake_with(reactor.stop)
            if self._lifecycle.stop_requested:
                reactor.stop()
            reactor.run()
        finally:
            self._lifecycle.end()
            if self._close_when_stopped:
                self._close_reactor()

    def handle_request(self) -> None:
        """Serve until a connection accepted in this call has ended, or a datagram was handled.

        After `timeout` seconds it calls `handle_timeout` and returns; what is under way goes on
        with the next call. Connections accepted earlier are served meanwhile.
        """
        reactor = self._own_reactor(SERVICE_INTERVAL)
        deadline = None if self.timeout is None else reactor.clock() + self.timeout
        self._accepted = set()
        self._request_ended = False
        try:
            dismissed = self._hosted.dismissed if self._hosted is not None else 0
            while not self._request_ended and not self._close_when_stopped:
                left = None if deadline is None else deadline - reactor.clock()
                if left is not None and left <= 0:
                    self.handle_timeout()
                    return
                reactor.handle_events(left)
                if self._hosted is not None and self._hosted.dismissed != dismissed:
                    return
        finally:
            self._accepted = None
            if self._close_when_stopped:
                self._close_reactor()

    def drain_on(self, *signums: int) -> None:
        """Drain when one of these signals (`signal.SIGTERM`) comes: stop accepting, close what is
        idle, finish what is partial within ``drain_timeout``, then have `serve_forever` return. A
        second signal ends at once. Drains all of this server's `reactor`. Main thread only.
        """
        self.reactor.drain_on(*signums)

    def _own_reactor(self, poll_interval: float) -> Reactor:
        """This server's own reactor, with this server in it."""
        active = self._hosted is not None and self._hosted.active
        if active and not self._owns_reactor:
            raise RuntimeError("this server is registered with a reactor: run() that instead")
        if not self._owns_reactor and self._reactor is not None:
            self._former += (self._reactor,)
            self._reactor = None
        reactor = self.reactor
        if not active:
            reactor.register(self)
        if self._hosted is not None:
            self._hosted.service_every(poll_interval)
        return reactor

    def event_handler(self, reactor: Reactor) -> Acceptor:
        """What a reactor registers for this server: many requests in a turn."""
        if self._reactor is None:
            self._reactor = reactor
        elif self._reactor is not reactor:
            raise ValueError(f"{self!r} has a reactor already")
        stream = is_stream(self)  # the limits of connections are not for datagrams
        refusal = self._refusal if stream else None
        self._hosted = Acceptor(self, reactor, per_turn=REQUESTS_PER_TURN, refusal=refusal)
        if not stream:
            self._hosted.send_datagrams((self.limits or UNLIMITED).send_buffer_limit)
        return self._hosted

    def shutdown(self) -> None:
        """Stop `serve_forever` at once, from any thread, a handler or a signal handler.

        Waits for it only when called from another thread. Touches no connection, and
        `serve_forever` may go on with them. While nobody serves, the next `serve_forever` returns
        at once. Registered with somebody else's reactor, this server is unregistered there.
        """
        if self._owns_reactor or self._reactor is None:
            self._lifecycle.stop()
        else:
            super().shutdown()

    def server_close(self) -> None:
        """Abort what is left of this server's connections and release everything it holds.

        Called from another thread than the one that serves, it waits for that to be done there.
        """
        reactor = self._reactor
        if reactor is None:
            self._close_here()
            return
        if self._owns_reactor and reactor.thread not in (None, threading.get_ident()):
            self._lifecycle.stop()
        reactor.call_in_loop(self._close_here)

    @property
    def _closing(self) -> "threading.RLock":
        """Held by the one thread that closes: another may leave the server's `with` just then."""
        lock: threading.RLock = vars(self).setdefault("_closing_lock", threading.RLock())
        return lock

    def _close_here(self) -> None:
        with self._closing:
            self._close_in_turn()

    def _close_in_turn(self) -> None:
        reactor = self._reactor
        for each in self._former if reactor is None else (*self._former, reactor):
            each.call_in_loop(partial(self._abort_rows, each))
        super().server_close()
        if self._owns_reactor and reactor is not None:
            if reactor.thread is None:
                self._close_reactor()
            else:
                self._close_when_stopped = True

    def _abort_rows(self, reactor: Reactor) -> None:
        for row in reactor.requests:
            if getattr(row, "server", None) is self:
                row.abort()

    def _close_reactor(self) -> None:
        with self._closing:
            reactor, self._reactor = self._reactor, None
            self._owns_reactor = self._close_when_stopped = False
            if reactor is not None:
                reactor.close()

    # Requests

    def process_request(self, request: Any, client_address: Any) -> None:
        """Have `finish_request` make the handler; it lives on in the table."""
        self._adopted = None
        try:
            self.finish_request(request, client_address)
        except BaseException:
            self._dismiss(request)
            raise
        if self._adopted is None:  # a datagram, which is complete
            self.shutdown_request(request)
            self._request_ended = True
        elif self._accepted is not None:
            self._accepted.add(self._adopted)

    def _dismiss(self, request: Any) -> None:
        """Forget the handler that was made for *request*, if there is one: something failed since."""
        adopted, self._adopted = self._adopted, None
        if adopted is not None and adopted.request is request and adopted._disown():
            self._leave(adopted)
            if self._accepted is not None:
                self._accepted.discard(adopted)

    def drive_handler(self, handler: Any) -> None:
        """Called by the constructor of every request handler made for this server."""
        hosted = self._hosted
        if hosted is not None and hosted.datagrams is not None:
            handler.request = handler.request[0], hosted.datagrams
            handler.drive_blocking()
        elif isinstance(handler, ConnectionRequestHandler):
            admissions = self._admissions
            handler.request.setblocking(False)
            handler._adopt(handler.request, handler.client_address, self.reactor, self.limits or UNLIMITED)
            self._adopted = handler
            admissions.enter(host_of(handler.client_address))
            handler.reactor.call_soon(handler._open)
        else:
            handler.drive_blocking()

    def handler_failed(self, handler: ConnectionRequestHandler) -> None:
        """Called inside the ``except`` for what an adopted handler raised."""
        self._failing = handler
        try:
            self.handle_error(handler.request, handler.client_address)
        finally:
            self._failing = None

    def _request_named(self, client_address: Any) -> str:
        """For the log: the row, if it is one."""
        return super()._request_named(client_address) if self._failing is None else repr(self._failing)

    def handler_ended(self, handler: ConnectionRequestHandler) -> None:
        """Called once for each adopted handler, after its closing call."""
        if self._adopted is handler:
            self._adopted = None
        self._leave(handler)
        if self._accepted is not None and handler in self._accepted:
            self._request_ended = True
        self.shutdown_request(handler.request)

    def _leave(self, handler: ConnectionRequestHandler) -> None:
        assert self._admission is not None  # which it has entered
        self._admission.leave(host_of(handler.client_address))

    def _check_handler_class(self, handler_class: Any) -> None:
        check_handler_class(handler_class, stream=is_stream(self))


def check_handler_class(handler_class: Any, *, stream: bool) -> None:
    """Raise `TypeError`, saying what to write, unless handlers of this class can share one thread."""
    made = class_made_by(handler_class)
    if made is None:
        raise TypeError(
            "a reactor server has to see the class of its handlers: pass the class, or functools.partial "
            f"of it, not {handler_class!r}"
        )
    is_connection = issubclass(made, ConnectionRequestHandler)
    if stream and not is_connection:
        raise TypeError(
            f"{made.__qualname__} waits for its peer in handle(), and would hold up every other connection "
            "of a reactor server: derive from AsyncStreamRequestHandler (async def handle) or "
            "StateRequestHandler, or use ThreadingMixIn or ForkingMixIn"
        )
    if not stream and is_connection:
        raise TypeError(
            f"{made.__qualname__} handles streams: derive from DatagramRequestHandler for datagrams"
        )
    if stream and inspect.isabstract(made):
        raise TypeError(f"{made.__qualname__} does not say what requests begin with: define start(self)")
