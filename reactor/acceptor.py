"""`Acceptor`: takes new requests from a listening (or datagram) socket and hands them to a server.

One class for every kind of server, for they all have socketserver's hooks: `get_request`,
`verify_request`, `process_request` and the rest are called where a subclass expects them. What
differs is how many requests are taken in one turn: a server that runs its handlers at once
takes one, so that nobody else waits for more than one of them.

Accepting survives what accept(2) can say. A connection that is gone already is passed over.
When the listener can't go on (see `backoff`) or its server has as many requests as it may, it
leaves the selector, for it would stay readable and spin, and comes back later.
"""

import socket
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from reactor.backoff import FIRST_PAUSE, LONGEST_PAUSE, Backoff, is_of_one_request
from reactor.datagram import DatagramSocket
from reactor.events import EVENT_READ, EVENT_WRITE, EventHandler
from reactor.log import logger
from reactor.loop import Reactor
from reactor.timers import Timer

SERVICE_INTERVAL = 0.5

#: Seconds between looks whether a server that had no room has some; it may say so before.
ROOM_INTERVAL = 0.02


class Server(Protocol):
    """The part of `socketserver.BaseServer` that taking requests needs."""

    socket: Any

    def fileno(self) -> int: ...
    def get_request(self) -> Any: ...
    def verify_request(self, request: Any, client_address: Any) -> bool: ...
    def process_request(self, request: Any, client_address: Any) -> None: ...
    def handle_error(self, request: Any, client_address: Any) -> None: ...
    def shutdown_request(self, request: Any) -> None: ...
    def service_actions(self) -> None: ...
    def server_close(self) -> None: ...


class Accepting(Enum):
    """What an acceptor is doing."""

    ACCEPTING = "accepting"
    PAUSED = "paused"  #: out of resources or room; a timer brings it back
    STOPPED = "stopped"


_ACCEPTING = Accepting.ACCEPTING  # asked for each request, and Python 3.11 is slow to find it in its class


class Acceptor(EventHandler):
    """Registered in place of its *server* in *reactor*, whose thread it belongs to.

    *per_turn*: requests taken in one turn. *refusal*: why the server's limits turn a client away.
    The listener is made non-blocking until `stop`. Closing it closes the server.
    """

    def __init__(
        self,
        server: Server,
        reactor: Reactor,
        *,
        per_turn: int = 1,
        may_block: bool = False,
        refusal: Callable[[Any], str | None] | None = None,
    ) -> None:
        self.server = server
        self.reactor = reactor
        self.may_block = may_block  # type: ignore[misc]
        self._per_turn = per_turn
        self._refusal = refusal
        #: Requests that were turned away or failed before they were under way.
        self.dismissed = 0
        self._state = Accepting.STOPPED
        self._backoff: Backoff | None = None  # while requests can't be taken
        self._has_room: Callable[[], bool] = getattr(server, "_has_room", lambda: True)
        self._dismiss: Callable[[Any], None] = getattr(server, "_dismiss", lambda request: None)
        self._flush_log: Callable[[], None] = getattr(server, "_flush_log", lambda: None)
        self._timeout: float | None = None
        self._service: Timer | None = None
        self._retry: Timer | None = None  # while peers have no room for datagrams
        #: What a datagram server's handlers send with.
        self.datagrams: DatagramSocket | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.server!r}, {self._state.value}>"

    def fileno(self) -> int:
        return self.server.fileno()

    def handle_registered(self) -> None:
        self._state = Accepting.ACCEPTING
        self._timeout = self.server.socket.gettimeout()
        self.server.socket.setblocking(False)
        self.service_every(SERVICE_INTERVAL)

    def handle_unregistered(self) -> None:
        if self._state is not Accepting.STOPPED:  # and leaving of our own accord
            self.stop()

    @property
    def active(self) -> bool:
        """Whether it takes requests, or will when a pause is over."""
        return self._state is not Accepting.STOPPED

    def service_every(self, interval: float) -> None:
        """Call the server's `service_actions` every *interval* seconds from now on."""
        if self._service is not None:
            self._service.cancel()
        self._service = self.reactor.call_every(interval, self._service_actions)

    def handle_read(self) -> None:
        for _ in range(self._per_turn):
            if not self._has_room():
                self._rest(ROOM_INTERVAL)
                return
            try:
                request, client_address = self.server.get_request()
            except OSError as exc:
                if self._go_on_after(exc):
                    continue
                return
            except Exception as exc:
                self._log_raised(exc, "get_request() of %r raised %s")
                self._rest(FIRST_PAUSE)  # it may have left the request where it was
                return
            self._backoff = None
            self._serve(request, client_address)
            if self._state is not _ACCEPTING:
                return  # a hook stopped or closed the server

    def handle_write(self) -> None:
        if self.datagrams is None or self.datagrams.flush():
            self._watch(EVENT_READ)

    def send_datagrams(self, limit: int | None) -> None:
        """Give a datagram server's handlers a socket that keeps at most *limit* bytes for the kernel."""
        self.datagrams = DatagramSocket(self.server.socket, limit, self._wait_to_send, self._warn)

    def _wait_to_send(self) -> None:
        assert self.datagrams is not None
        if self.datagrams.retry:
            self._retry = self.reactor.call_later(self.datagrams.retry, self._send_again)
        elif self._state is Accepting.ACCEPTING:
            self._watch(EVENT_READ | EVENT_WRITE)

    def _send_again(self) -> None:
        if self.datagrams is not None and not self.datagrams.flush():
            self._wait_to_send()

    def _warn(self, cause: str, text: str) -> None:
        self.reactor.requests.warn(self.reactor.now, cause, text)

    def handle_exception(self, exc: BaseException) -> None:
        """Log it and go on: one bad request must not end the server."""
        self._log_raised(exc, "%r raised %s")

    def _log_raised(self, exc: BaseException, text: str) -> None:
        reactor = self.reactor
        reactor.requests.throttle.raised(reactor.now, exc, text, self.server, type(exc).__name__)

    def stop_accepting(self) -> None:
        """Leave the selector and close the listener, so that newcomers are refused at once and
        not left waiting in its queue."""
        if self.datagrams is not None:
            self.datagrams.flush()
        self._leave()
        if is_stream(self.server):  # a datagram's reply may still be under way
            self.server.socket.close()

    def stop(self) -> None:
        """Leave the selector and give the listener back as it was. It may be registered again."""
        if self._state is not Accepting.STOPPED:
            self._leave()
            if self.fileno() >= 0:
                self.server.socket.settimeout(self._timeout)
        if self._retry is not None:
            self._retry.cancel()
        self.reactor.withdraw(self)

    def _leave(self) -> None:
        self._state = Accepting.STOPPED
        if self._service is not None:
            self._service.cancel()
        if self.reactor.registered(self.server):
            self.reactor.unregister(self.server)

    def close(self) -> None:
        self.stop()
        self.server.server_close()

    def _serve(self, request: Any, client_address: Any) -> None:
        server, requests = self.server, self.reactor.requests
        taken = False
        try:
            refusal = None if self._refusal is None else self._refusal(client_address)
            if refusal is not None:
                requests.refuse(self.reactor.now, refusal, client_address)
            elif server.verify_request(request, client_address):
                server.process_request(request, client_address)
                taken = True
            else:
                requests.turn_away()
        except Exception:
            server.handle_error(request, client_address)
        finally:
            if not taken:
                self.dismissed += 1
                self._dismiss(request)
                server.shutdown_request(request)

    def _go_on_after(self, exc: OSError) -> bool:
        """Whether to try the next one at once after `get_request` failed."""
        if isinstance(exc, BlockingIOError):
            return False
        if self.fileno() < 0:
            self.stop()
            return False
        if is_of_one_request(exc):
            logger.debug("%r: a request was gone before it was taken: %s", self.server, exc)
        else:
            self._warn(type(exc).__name__, cannot_take(self.server, exc))
        self._backoff = self._backoff or Backoff()
        pause = self._backoff.failed(exc)
        if pause:
            self._rest(pause)
        return not pause

    def _rest(self, seconds: float) -> None:
        """Leave the selector for a while."""
        self._state = Accepting.PAUSED
        self.reactor.suspend(self.server)
        self.reactor.call_later(seconds, self.come_back)

    def come_back(self) -> None:
        """End a rest before its time: the server has room again."""
        if self._state is Accepting.PAUSED:
            datagrams = self.datagrams
            owing = datagrams is not None and datagrams.owed and not datagrams.retry
            self._resume(EVENT_READ | EVENT_WRITE if owing else EVENT_READ)

    def _watch(self, events: int) -> None:
        self.reactor.suspend(self.server)
        self._resume(events)

    def _resume(self, events: int) -> None:
        try:
            self.reactor.resume(self.server, events)
            self._state = Accepting.ACCEPTING
        except OSError as exc:  # no memory, or no watches left (epoll_ctl(2))
            self._warn("resume", f"{self.server!r} cannot be watched: {exc!r}")
            self._state = Accepting.PAUSED
            self.reactor.call_later(LONGEST_PAUSE, self.come_back)

    def _service_actions(self) -> None:
        self.server.service_actions()
        self._flush_log()
        self.reactor.throttle.flush(self.reactor.now)  # with no rows nobody sweeps


def cannot_take(server: Any, exc: OSError) -> str:
    """The log's line for a `get_request` that failed."""
    return f"{server!r} cannot take a request: {exc!r}"


def runs_in_loop(server: Any) -> bool:
    """Whether a classic server runs its handlers where its requests are taken, and they may wait."""
    # The standard library's forking mix-in waits when there are `max_children`; ours on ours rests.
    forks = hasattr(server, "_can_rest") and hasattr(server, "event_handler")
    elsewhere = forks or hasattr(server, "process_request_thread")
    return not elsewhere and hasattr(server, "request_queue_size") and is_stream(server)


def is_stream(server: Any) -> bool:
    """Whether a server's requests are connections and not datagrams."""
    return bool(getattr(server, "socket_type", socket.SOCK_STREAM) == socket.SOCK_STREAM)
