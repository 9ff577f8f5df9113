"""`connect`: a client is a handler too. `Connector` gets it its connection.

To its handler a connector is what a server is to the handlers of accepted connections: it says
how it is driven, hears of its errors, and closes its socket.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from reactor.connection import Connection, class_made_by
from reactor.events import EVENT_WRITE, EventHandler
from reactor.limits import Limits
from reactor.loop import Reactor
from reactor.net import close_quietly, end_quietly, families_of, is_connected, show_progress
from reactor.table import RequestState
from reactor.timers import Timer

C = TypeVar("C", bound=Connection)

#: family, type, protocol, canonical name, address: as `socket.getaddrinfo` gives them
Candidate = tuple[int, int, int, str, Any]


def connect(
    reactor: Reactor, address: Any, handler_class: Callable[..., C], *, limits: Limits | None = None
) -> C:
    """Connect to *address* and let a new handler talk to whoever is there.

    *address*: ``(host, port)``, or a path for a Unix socket. *handler_class*: a
    `StateRequestHandler` or `AsyncStreamRequestHandler` (or a factory of them), called as
    ``handler_class(None, address, connector)``. *limits*: by default ``Limits()``.

    Returns the handler at once; what is written to it before it is connected is sent then. Its
    ``setup`` and ``start`` run once the connection is there. A failure (a name that does not
    resolve, a refusal, `TimeoutError` after ``connect_timeout``) arrives at its
    `handle_exception`, and one closing call follows. Names are resolved in the reactor's pool,
    and every address that a name has is tried in turn. Raises `TypeError` for an address or a
    handler class of the wrong kind. To be called in the reactor's thread.
    """
    if not isinstance(reactor, Reactor):
        raise TypeError(f"connect(reactor, address, handler_class) takes a Reactor, not {reactor!r}")
    made = class_made_by(handler_class)
    if made is None or not issubclass(made, Connection):
        raise TypeError(
            "connect(reactor, address, handler_class) takes a subclass of StateRequestHandler or "
            f"AsyncStreamRequestHandler, or functools.partial of one, not {handler_class!r}"
        )
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"connect(limits=...) takes a Limits, not {limits!r}")
    reactor.check("connect")
    connector = Connector(reactor, address, Limits() if limits is None else limits)
    try:
        handler = handler_class(None, address, connector)
    except BaseException:
        if connector.handler is not None:
            connector.handler._disown()
        raise
    reactor.call_soon(connector.start)  # whose errors, too, arrive at the handler
    return handler


class Connector(EventHandler):
    """Makes one outgoing connection; its handler's ``server``. Belongs to the reactor's thread."""

    def __init__(self, reactor: Reactor, address: Any, limits: Limits) -> None:
        self.reactor = reactor
        self.address = address
        self.limits = limits
        self.handler: Connection | None = None
        self._family = families_of(address)
        self._socket: socket.socket | None = None
        self._candidates: list[Candidate] = []
        self._error: BaseException = OSError(f"no address for {address!r}")
        self._future: Future[Any] | None = None
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.address!r}>"

    # What a handler asks of its server

    def drive_handler(self, handler: Any) -> None:
        """Adopt *handler*, whose constructor calls this."""
        if isinstance(handler, Connection):
            handler._adopt(None, self.address, self.reactor, self.limits)
            self.handler = handler

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is being handled; a failure of the network is one line. What fails again and again is
        counted: a program may connect whenever a peer of its own wants something."""
        exc = sys.exc_info()[1]
        throttle, now = self.reactor.requests.throttle, self.reactor.now
        if isinstance(exc, OSError):
            text = f"the connection to {self.address!r} failed: {exc}"
            throttle.error(now, f"connection: {type(exc).__name__} {exc.errno}", text, exc_info=False)
        elif exc is not None:
            throttle.raised(now, exc, f"error in the connection to {self.address!r}")

    def handler_failed(self, handler: Connection) -> None:
        """Called inside the ``except`` for what *handler* raised."""
        self.handle_error(handler.socket, self.address)

    def handler_ended(self, handler: Connection) -> None:
        """Called once, after the handler's closing call."""
        self.shutdown_request(handler.socket)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended, at whatever stage it was."""
        self._finish()
        if request is not None:
            end_quietly(request)

    # Connecting

    def start(self) -> None:
        """Resolve and connect."""
        if self.handler is None or self.handler.state is RequestState.CLOSED:
            return
        if self.limits.connect_timeout is not None:
            self._timer = self.reactor.call_later(self.limits.connect_timeout, self._time_out)
        if self._family != socket.AF_UNSPEC:
            self._candidates = [(self._family, socket.SOCK_STREAM, 0, "", os.fspath(self.address))]
            self.reactor.call_soon(self._try_next)
            return
        host, port = self.address[:2]
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            kind = socket.SOCK_STREAM
            self._future = self.reactor.offload(socket.getaddrinfo, host, port, 0, kind, then=self._resolved)
        else:
            self._candidates = list(reversed(found))
            self.reactor.call_soon(self._try_next)

    def _resolved(self, future: "Future[list[Candidate]]") -> None:
        if self._future is not None and not future.cancelled():
            self._future = None
            self._candidates = list(reversed(future.result()))
            self._try_next()

    def _try_next(self) -> None:
        if self.handler is None or self.handler.state is RequestState.CLOSED:
            return
        while self._candidates:
            family, kind, protocol, _, address = self._candidates.pop()
            try:
                self._socket = socket.socket(family, kind, protocol)
                self._socket.setblocking(False)
                show_progress(self._socket)
                self._socket.connect(address)
            except OSError as exc:
                if exc.errno in (errno.EINPROGRESS, errno.EALREADY):
                    self.reactor.register(self, EVENT_WRITE)
                    return
                self._error = exc
                self._drop_socket()
            else:
                self._connected()
                return
        raise self._error

    def handle_write(self) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error and not is_connected(self._socket):
            return  # the event was spurious
        self.reactor.unregister(self)
        if error:
            self._error = OSError(error, os.strerror(error))
            self._drop_socket()
            self._try_next()
        else:
            self._connected()

    def _connected(self) -> None:
        sock, self._socket = self._socket, None
        self._finish()
        assert sock is not None and self.handler is not None
        self.handler._connected(sock)
        self.reactor.call_soon(self.handler._open)  # whose errors are the handler's

    def _time_out(self) -> None:
        raise TimeoutError(
            f"no connection to {self.address!r} within {self.limits.connect_timeout:g} s (connect_timeout)"
        )

    def handle_exception(self, exc: BaseException) -> None:
        """Connecting failed: tell the handler, and end it."""
        self._finish()
        if self.handler is not None:
            try:
                self.handler.handle_exception(exc)
            finally:
                self.handler.abort()

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        if self.handler is not None:
            self.handler.abort()

    def _finish(self) -> None:
        """Leave nothing of the attempt behind."""
        if self._timer is not None:
            self._timer.cancel()
        if self._future is not None:
            self._future.cancel()
            self._future = None
        self._candidates.clear()
        if self._socket is not None:
            if self.reactor.registered(self):
                self.reactor.unregister(self)
            self._drop_socket()

    def _drop_socket(self) -> None:
        if self._socket is not None:
            close_quietly(self._socket)
            self._socket = None
