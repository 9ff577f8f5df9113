"""The request handlers, and how each style is driven.

One handler, any server. `BaseRequestHandler.__init__`, which every handler goes through, asks
the *type* of its server how handlers are driven (`drive_handler`). A server that does not say,
the standard library's or a mock or `None`, means: here and now, blocking (`drive_blocking`).

- a plain ``handle``: `setup`, `handle`, `finish`, to the letter of the standard library;
- a state machine or a coroutine, which is a `Connection`: a private `Reactor` with that one
  connection in it, run until it has ended. There is one engine, not two.

A server or connector with a reactor adopts a connection instead: nothing of the user's runs
until the constructor has returned; then it opens, in the loop.
"""

import io
import selectors
import socket
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, BinaryIO

from reactor.connection import Connection
from reactor.limited import RequestMeter, limited_reader, limited_writer
from reactor.limits import UNLIMITED, Limits
from reactor.log import Throttle, logger
from reactor.loop import Reactor
from reactor.machine import CLOSED, HELD
from reactor.net import end_quietly, no_delay
from reactor.underway import RowUnderWay, handled_by


class BaseRequestHandler:
    """A handler of one request: `setup`, `handle`, then `finish`.

    As `socketserver.BaseRequestHandler`: made by the server as ``Handler(request,
    client_address, server)``; `request` is a socket, or for datagrams a pair of bytes and
    socket. What raises in `setup` means no `finish`.
    """

    request: Any
    client_address: Any
    server: Any

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        self.request = request
        self.client_address = client_address
        self.server = server
        drive = getattr(type(server), "drive_handler", None)
        if drive is None:
            self.drive_blocking()
        else:
            drive(server, self)

    def setup(self) -> None:
        """Called first."""

    def handle(self) -> Any:
        """Called to do the work; the request is over when it returns."""

    def finish(self) -> None:
        """Called last, whatever `handle` raised."""

    def drive_blocking(self) -> None:
        """Do it all here and now."""
        self.setup()
        try:
            self.handle()
        finally:
            self.finish()


def throttle_of(server: Any) -> Throttle:
    """What logs for all handlers of one server."""
    throttle = getattr(server, "_log_throttle", None)
    return throttle if isinstance(throttle, Throttle) else Throttle()


class StreamRequestHandler(BaseRequestHandler):
    """Reads `rfile` and writes `wfile`, blocking. As `socketserver.StreamRequestHandler`.

    `rbufsize`, `wbufsize`: bytes, as for `socket.makefile`; by default reading is buffered and
    writing is not. `timeout`: seconds for each operation. `disable_nagle_algorithm`: sets
    ``TCP_NODELAY``. Where the server has `limits`, both files keep them: passing one raises
    `LimitExceeded`, which for a time is a `TimeoutError`.
    """

    rbufsize = -1
    wbufsize = 0
    timeout: float | None = None
    disable_nagle_algorithm = False

    rfile: Any
    wfile: Any

    def setup(self) -> None:
        self.connection = self.request
        if self.timeout is not None:
            self.connection.settimeout(self.timeout)
        if self.disable_nagle_algorithm:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        limits = getattr(self.server, "limits", None)
        if isinstance(limits, Limits):
            self._open_limited(limits)
            return
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        if self.wbufsize == 0:
            self.wfile = _SocketWriter(self.connection)
        else:
            self.wfile = self.connection.makefile("wb", self.wbufsize)

    def _open_limited(self, limits: Limits) -> None:
        throttle = throttle_of(self.server)
        meter = RequestMeter(self.connection, limits, self.timeout, throttle, self.client_address)
        handled_by(self.server, meter)
        self.rfile = limited_reader(self.connection, meter, self.rbufsize)
        if self.wbufsize == 0:
            self.wfile = _SocketWriter(meter)
        else:
            self.wfile = limited_writer(self.connection, meter, self.wbufsize)

    def finish(self) -> None:
        if not self.wfile.closed:
            try:
                self.wfile.flush()
            except OSError:
                pass  # the peer may be gone
        self.wfile.close()
        self.rfile.close()


class _SocketWriter(io.BufferedIOBase):
    """An unbuffered `wfile`: each write is a `sendall`."""

    def __init__(self, sock: "socket.socket | RequestMeter") -> None:
        self._sock = sock

    def writable(self) -> bool:
        return True

    def write(self, b: Any) -> int:
        self._sock.sendall(b)
        with memoryview(b) as view:
            return view.nbytes

    def fileno(self) -> int:
        return self._sock.fileno()


class DatagramRequestHandler(BaseRequestHandler):
    """Reads one datagram from `rfile`; what was written to `wfile` is sent back as one. As
    `socketserver.DatagramRequestHandler`."""

    rfile: BinaryIO
    wfile: Any

    def setup(self) -> None:
        self.packet, self.socket = self.request
        self.rfile = io.BytesIO(self.packet)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        self.socket.sendto(self.wfile.getvalue(), self.client_address)


class PrivateReactor(Reactor):
    """The reactor of one connection on a blocking server; remembers what the handler raised."""

    failure: BaseException | None = None


class ConnectionRequestHandler(Connection, BaseRequestHandler):
    """What the state-machine and the coroutine handlers share: one object is the handler, the
    connection, its row and its event handler. Derive from one of those two."""

    __slots__ = ("_future", "_set_up", "client_address", "request", "server")

    disable_nagle_algorithm = True  # replies are joined already: there is nothing to wait for

    def __init__(self, request: Any, client_address: Any, server: Any) -> None:
        self._set_up = False
        self._future: Future[Any] | None = None  # of offloaded work
        BaseRequestHandler.__init__(self, request, client_address, server)

    def drive_blocking(self) -> None:
        """Run a private reactor with this one connection in it; what the handler raised is raised."""
        timeout = self.request.gettimeout()
        limits = getattr(self.server, "limits", None)
        selector = selectors.PollSelector() if hasattr(selectors, "PollSelector") else None
        try:
            self.request.setblocking(False)
            reactor = PrivateReactor(selector)
            with reactor:
                if isinstance(limits, Limits):
                    reactor.requests.throttle = throttle_of(self.server)
                else:
                    limits = UNLIMITED
                self._adopt(self.request, self.client_address, reactor, limits)
                reactor.call_soon(self._open)
                handled_by(self.server, RowUnderWay(self))
                reactor.run()
        finally:
            if self.request.fileno() >= 0:
                self.request.settimeout(timeout)
        failure, reactor.failure = reactor.failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure, reactor  # or its traceback would hold all that this frame holds

    def setup(self) -> None:
        """Called first, once the connection is there. What raises here means no `finish`."""
        if self.disable_nagle_algorithm:
            no_delay(self.request)

    def finish(self) -> None:
        """Called once, when the connection has ended, if `setup` succeeded."""

    def report(self, exc: BaseException) -> None:
        """Have the server's `handle_error` deal with it; a blocking server does so by itself."""
        if isinstance(self.reactor, PrivateReactor):
            if self.reactor.failure is None:
                self.reactor.failure = exc
            else:
                super().report(exc)  # there is but one that can be raised
        else:
            self.server.handler_failed(self)

    def handle_open(self) -> None:
        self.setup()
        self._set_up = True
        if not self.blocked & CLOSED:  # by `setup`
            self._begin()

    def _begin(self) -> None:
        raise NotImplementedError

    def handle_close(self) -> None:
        """The closing call: `finish`, if `setup` succeeded."""
        if self._set_up:
            self.finish()

    def _offload(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        then: Callable[["Future[Any]"], object],
        executor: Executor | None,
    ) -> None:
        """Hold, call ``function(*args)`` in the pool, then release and deliver ``then(future)``."""
        if self._future is not None:
            raise RuntimeError("offload() while an earlier offload() of this connection is under way")
        self._future = self.reactor.offload(
            function, *args, then=partial(self._offloaded, then), executor=executor
        )
        self.hold()

    def _offloaded(self, then: Callable[["Future[Any]"], object], future: "Future[Any]") -> None:
        if self.blocked & CLOSED:
            if not future.cancelled() and future.exception() is not None:
                logger.debug("%r is gone; its offloaded call raised %r", self, future.exception())
            return
        self._future = None
        self.blocked &= ~HELD
        self._deliver(self._go_on, then, future)

    def _disown(self) -> bool:
        if self._future is not None:
            self._future.cancel()
        return super()._disown()

    def _end(self) -> None:
        if self._future is not None:
            self._future.cancel()  # if it has not started
        super()._end()

    def _connected(self, sock: Any) -> None:
        self.request = sock
        super()._connected(sock)

    def _release(self) -> None:
        if isinstance(self.reactor, PrivateReactor):
            if self.reactor.failure is None:  # else the server's `handle_error` comes first
                self._shut_down()
            self.reactor.stop()  # the blocking server goes on with the socket
        else:
            try:
                self.server.handler_ended(self)
            except BaseException:
                end_quietly(self.request)  # a hook of the server's has failed before it did that
                raise


class StateRequestHandler(ConnectionRequestHandler):
    """An explicit state machine: derive, and expect something in `start`.

    ``self.expect(framing, state)`` has the method *state* called with the next message. A state
    that expects nothing more, and holds nothing, has completed the request; the next one begins
    with what `start` expected. At the end of input a partial request is dropped.
    """

    __slots__ = ()

    @abstractmethod
    def start(self) -> None:
        """Called once for each connection, after `setup`: say what requests begin with; greet."""

    def _begin(self) -> None:
        self.start()

    def offload(
        self,
        function: Callable[..., Any],
        *args: Any,
        then: Callable[[Any], object] | None = None,
        executor: Executor | None = None,
    ) -> None:
        """Call ``function(*args)`` in the reactor's pool (or in *executor*), then the state *then* with
        its result. The request is held meanwhile. What *function* raises is this handler's error.

        One at a time (`RuntimeError`). If the peer goes first, a call not yet started is
        cancelled, and the result of a running one is dropped.
        """
        if then is not None and not callable(then):
            raise TypeError(
                f"offload(then=...) takes a state to enter, a method of one argument, not {then!r}"
            )
        self._offload(function, args, partial(_enter_with_result, then), executor)


def _enter_with_result(then: Callable[[Any], object] | None, future: "Future[Any]") -> None:
    result = future.result()
    if then is not None:
        then(result)
