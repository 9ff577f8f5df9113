"""`BaseServer`: what every server does, whatever kind of socket it has.

`BaseServer.__init__` stores the address and the handler class and does nothing else, and it
alone is enough for `finish_request`: whatever a server needs besides is made on first use.

Hooks a subclass may override: `server_bind`, `server_activate`, `get_request`, `verify_request`,
`process_request`, `finish_request`, `shutdown_request`, `close_request`, `service_actions`,
`handle_timeout`, `handle_error`, `server_close`. They are called on every kind of server.
"""

import contextlib
import selectors
import sys
import threading
from collections.abc import Callable
from time import monotonic
from time import monotonic as time  # the name that programs patch
from typing import TYPE_CHECKING, Any, Self

from reactor.acceptor import Acceptor, cannot_take, is_stream, runs_in_loop
from reactor.backoff import Backoff, is_of_one_request
from reactor.hosted import ConcurrentAcceptor
from reactor.lifecycle import Lifecycle
from reactor.limited import bound
from reactor.limits import UNLIMITED, Admission, LimitExceeded, Limits
from reactor.listening import Listening
from reactor.log import Throttle, logger
from reactor.loop import Reactor
from reactor.net import (
    PEER_GONE,
    close_quietly,
    host_of,
    peer_is_gone,
)
from reactor.signals import restore_wakeup_fd, set_wakeup_fd
from reactor.streams import IncompleteReadError
from reactor.underway import UnderWay
from reactor.waker import Waker

__all__ = ["BaseServer"]

#: One descriptor needs no epoll; poll has no limit on its number.
_ServerSelector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class BaseServer:
    """A server, as `socketserver.BaseServer`. *RequestHandlerClass* is called as
    ``RequestHandlerClass(request, client_address, server)`` for each request.

    `timeout`: seconds that `handle_request` waits, `None` for ever. `limits`: a `Limits`, or
    `None` as in socketserver. Raises `TypeError` for a handler class that can't be called.
    """

    timeout: float | None = None
    limits: Limits | None = None
    #: How a mix-in drives the handlers made for it; `None` means here and now, blocking.
    drive_handler: Any = None
    socket: Any

    def __init__(self, server_address: Any, RequestHandlerClass: Callable[[Any, Any, Any], Any]) -> None:
        self._check_handler_class(RequestHandlerClass)
        self._check_settings()
        self.server_address = server_address
        self.RequestHandlerClass = RequestHandlerClass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.server_close()

    def _check_settings(self) -> None:
        """Raise `TypeError` or `ValueError` for a class attribute that can't be meant."""
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise TypeError(f"{type(self).__qualname__}.limits must be a Limits or None, not {self.limits!r}")

    def _check_handler_class(self, handler_class: Any) -> None:
        """Raise `TypeError` for what can't be called; mix-ins ask for more."""
        if handler_class is not None and not callable(handler_class):
            raise TypeError(f"RequestHandlerClass must be a class of request handlers, not {handler_class!r}")

    # State made on first use, for subclasses that never call __init__ whole

    _hosted: Acceptor | None = None  # what stands for it in a reactor that it is registered with
    _listening: Listening | None = None  # what `handle_request` waits with
    _backoff: Backoff | None = None  # while requests can't be taken
    _admission: Admission | None = None
    _throttle: Throttle | None = None
    _under_way: UnderWay | None = None  # from `drain_on` on, or while it is in a reactor that may drain

    @property
    def _lifecycle(self) -> Lifecycle:
        # Two threads may come here first at once, one to serve and one to stop that.
        mine: Lifecycle | None = vars(self).get("_lifecycle")
        return mine if mine is not None else vars(self).setdefault("_lifecycle", Lifecycle())

    # Serving

    def server_activate(self) -> None:
        """Called by the constructor to activate the server."""

    if TYPE_CHECKING:  # a server's own kind of socket decides; see `TCPServer`

        def fileno(self) -> int: ...
        def get_request(self) -> Any: ...

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Handle requests until `shutdown`, calling `service_actions` every *poll_interval* seconds.

        `shutdown` and signals take effect at once, whatever *poll_interval* is. Called in any
        thread, one at a time.
        """
        lifecycle = self._lifecycle
        lifecycle.begin()
        waker = previous = None
        try:
            waker = Waker()
            lifecycle.wake_with(waker.wake)
            previous = set_wakeup_fd(waker.wakeup_fd)
            with _ServerSelector() as selector:
                listening = Listening(self, selector, waker)
                while not lifecycle.stop_requested:
                    ready = listening.wait(poll_interval)
                    if lifecycle.stop_requested:
                        break
                    if ready:
                        self._handle_request_noblock()
                    self.service_actions()
                    if self._throttle is not None:
                        self._flush_log()
        finally:
            try:
                restore_wakeup_fd(previous)
                if waker is not None:
                    waker.close()
            finally:  # a second signal may have come
                lifecycle.end()
        if lifecycle.draining:
            if is_stream(self):
                close_quietly(self.socket)  # newcomers are refused, and do not wait in its queue
            self._finish_requests()

    def shutdown(self) -> None:
        """Stop `serve_forever` at once, from any thread, a handler or a signal handler.

        Waits until it has stopped, unless called from the thread that serves. While nobody
        serves, the next `serve_forever` returns at once. A server that is registered with a
        reactor is unregistered there, and the reactor goes on.
        """
        acceptor = self._hosted
        if acceptor is not None and acceptor.active:
            acceptor.reactor.call_in_loop(acceptor.stop)
        else:
            self._lifecycle.stop()

    def drain_on(self, *signums: int) -> None:
        """Drain when one of these signals (`signal.SIGTERM`) comes: take no new request, finish those
        under way, within `limits`' ``drain_timeout``, then have `serve_forever` return.

        Idle connections end at once, where that can be known: with a state machine, a coroutine, or
        `limits`. Cut short by that time or by a second signal, `serve_forever` raises
        ``SystemExit(1)``, and what is under way is ended. Main thread only (`ValueError` elsewhere),
        which has to be the one that serves. Call it before requests come.
        """
        if self._under_way is None:
            self._under_way = UnderWay()
        self._lifecycle.drain_on(signums, self)

    def _drain_requests(self) -> None:
        """A signal asks for draining, whatever is under way at this moment."""
        if self._under_way is not None:
            self._under_way.drain()

    def _finish_requests(self) -> None:
        """Draining: wait for requests that are under way elsewhere; here there are none."""

    def _requests_linger(self) -> bool:
        """Whether the requests under way are complete and have only their peers' end to wait for."""
        return self._under_way is not None and self._under_way.lingers()

    def _abandon_requests(self) -> int:
        """End what is under way, so that nobody waits for it; the number of requests that are lost."""
        return 0 if self._under_way is None else self._under_way.abort()

    def service_actions(self) -> None:
        """Called by `serve_forever` each time round; for a subclass or mix-in to tidy up."""

    def handle_request(self) -> None:
        """Handle one request, waiting at most `timeout` seconds (the socket's, if that is less), then
        calling `handle_timeout`."""
        timeout = self.socket.gettimeout()
        if timeout is None:
            timeout = self.timeout
        elif self.timeout is not None:
            timeout = min(timeout, self.timeout)
        deadline = None if timeout is None else time() + timeout
        listening = self._take_listening()
        try:
            while not listening.wait(timeout):
                if deadline is not None:
                    timeout = deadline - time()
                    if timeout < 0:
                        return self.handle_timeout()
        finally:
            self._keep_listening(listening)
        return self._handle_request_noblock()

    def _take_listening(self) -> Listening:
        """What an earlier `handle_request` waited with, or a new one. Another thread makes its own."""
        listening, self._listening = self._listening, None
        if listening is None:
            return Listening(self, _ServerSelector())
        if listening.fd == self.fileno() and listening.made_with(_ServerSelector):
            return listening
        listening.close()
        return Listening(self, _ServerSelector())

    def _keep_listening(self, listening: Listening | None) -> None:
        former, self._listening = self._listening, listening
        if former is not None:
            former.close()

    def _handle_request_noblock(self) -> None:
        """Take the request that the selector has announced, and handle it."""
        try:
            request, client_address = self.get_request()
        except OSError as exc:
            self._could_not_take(exc)
            return
        self._backoff = None
        if self.limits is not None and self._refuse(request, client_address):
            return
        if not self.verify_request(request, client_address):
            self.shutdown_request(request)
            return
        try:
            self.process_request(request, client_address)
        except Exception:
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:
            self.shutdown_request(request)
            raise

    def _could_not_take(self, exc: OSError) -> None:
        """`get_request` failed."""
        if isinstance(exc, BlockingIOError):
            return  # somebody else has taken it
        if is_of_one_request(exc):
            logger.debug("%r: a request was gone before it was taken: %s", self, exc)
            return
        self._log_throttle.warning(monotonic(), type(exc).__name__, cannot_take(self, exc))
        self._backoff = backoff = self._backoff or Backoff()
        backoff.until = monotonic() + backoff.failed(exc)

    def _cannot_wait(self, exc: OSError) -> None:
        """The selector failed."""
        self._log_throttle.warning(monotonic(), "select", f"{self!r} cannot wait for requests: {exc!r}")

    def _refuse(self, request: Any, client_address: Any) -> bool:
        """Whether the limits turn this request away; done, if so."""
        reason = self._refusal(client_address)
        if reason is None:
            return False
        self._log_throttle.warning(monotonic(), f"refused: {reason}", f"refused {client_address!r}: {reason}")
        self.shutdown_request(request)
        return True

    def _refusal(self, client_address: Any) -> str | None:
        """Why the limits turn a client away; `None` lets it in."""
        limits = self.limits
        if not isinstance(limits, Limits):  # a program's own attribute of that name
            return None
        host = None if limits.max_connections_per_peer is None else host_of(client_address)
        return self._admissions.refusal(host)

    @property
    def _admissions(self) -> Admission:
        """What counts this server's connections, made on first use; with the limits of this moment."""
        limits = self.limits if isinstance(self.limits, Limits) else UNLIMITED
        if self._admission is None:
            self._admission = Admission(limits)
        self._admission.limits = limits
        return self._admission

    @property
    def _log_throttle(self) -> Throttle:
        """What logs for this server, one line a second for each cause; made on first use."""
        if self._throttle is None:
            self._throttle = Throttle()
        return self._throttle

    def _flush_log(self) -> None:
        """Say what was held back and has been quiet since."""
        if self._throttle is not None:
            self._throttle.flush(monotonic())

    def _has_room(self) -> bool:
        """Whether one more request may be taken now; while not, the listener rests."""
        return True

    def _room_made(self) -> None:
        """A request has ended, in any thread, and another may be taken."""
        acceptor = self._hosted
        if acceptor is not None and acceptor.active:
            with contextlib.suppress(RuntimeError):  # that reactor has just been closed
                acceptor.reactor.call_soon_threadsafe(acceptor.come_back)
        else:
            self._lifecycle.wake()

    def event_handler(self, reactor: Reactor) -> Acceptor:
        """What a reactor registers for this server: one request at a time."""
        acceptor = Acceptor
        if hasattr(self, "_requests_under_way"):  # in threads or children, which drain with the reactor
            acceptor = ConcurrentAcceptor
            self._under_way = self._under_way or UnderWay()
        self._hosted = acceptor(self, reactor, may_block=runs_in_loop(self), refusal=self._refusal)
        return self._hosted

    # Programs reach for the standard module's two private flags; here they are.

    @property
    def __shutdown_request(self) -> bool:
        return self._lifecycle.stop_requested

    @__shutdown_request.setter
    def __shutdown_request(self, value: bool) -> None:
        if value and self._hosted is not None and self._hosted.active:
            self.shutdown()
        else:
            self._lifecycle.stop_requested = value
            self._lifecycle.wake()

    @property
    def __is_shut_down(self) -> threading.Event:
        return self._lifecycle.shut_down

    @__is_shut_down.setter
    def __is_shut_down(self, event: threading.Event) -> None:
        self._lifecycle.shut_down = event

    # Hooks

    def handle_timeout(self) -> None:
        """Called when `handle_request` has waited in vain."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to process this request."""
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Call `finish_request`; mix-ins make it another thread's or process's work."""
        if self._under_way is None:
            self.finish_request(request, client_address)
        else:
            with self._under_way.here(request):
                self.finish_request(request, client_address)
        self.shutdown_request(request)

    def server_close(self) -> None:
        """Release what the server holds, ending `serve_forever` first. Calling it again does nothing."""
        if self._lifecycle.serving:
            self._lifecycle.stop()
        acceptor, self._hosted = self._hosted, None
        if acceptor is not None:
            acceptor.reactor.call_in_loop(acceptor.stop)
        self._lifecycle.restore_signals()
        self._keep_listening(None)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Make a handler, which does the work."""
        if self.drive_handler is None and isinstance(self.limits, Limits):
            bound(request, self.limits)
        self.RequestHandlerClass(request, client_address, self)

    def shutdown_request(self, request: Any) -> None:
        """End a request: tell the peer, then `close_request`."""
        self.close_request(request)

    def close_request(self, request: Any) -> None:
        """Release a request."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called inside the ``except`` for what a handler raised. Logs it; the server goes on.

        A peer that has gone away, or was cut off at a limit, is not worth a traceback. What comes from
        the same place more than once a second is counted, for a peer may know how to bring it about.
        """
        exc = sys.exc_info()[1]
        if isinstance(exc, LimitExceeded):
            return  # said where it was passed
        if isinstance(exc, TimeoutError) and exc.errno is None and isinstance(self.limits, Limits):
            # A peer's doing, if the handler uses the socket itself (see `bound`), or a fault elsewhere.
            text = f"timed out in {self._request_named(client_address)}"
            self._log_throttle.warning(monotonic(), "timed out", text, exc_info=True)
        elif isinstance(exc, BlockingIOError) and isinstance(self.limits, Limits) and not is_stream(self):
            text = f"dropping the answer to {client_address!r}: send_timeout: there is no room for it"
            self._log_throttle.warning(monotonic(), "send_timeout", text)
        elif isinstance(exc, OSError) and exc.errno in PEER_GONE and peer_is_gone(request):
            logger.debug("%r is gone: %s", client_address, exc)
        elif isinstance(exc, IncompleteReadError):  # a coroutine's; a state machine is not even told
            logger.debug("%r is gone in the middle of a message: %s", client_address, exc)
        else:
            text = f"error in {self._request_named(client_address)}"
            self._log_throttle.raised(monotonic(), exc, text)

    def _request_named(self, client_address: Any) -> str:
        return f"the request from {client_address!r}"
