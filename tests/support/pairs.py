"""Connections on socket pairs, adopted as by a reactor server: no listener, no thread, no real time."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from reactor import Limits, Reactor, ReactorMixIn
from reactor.base import BaseServer
from tests.support.clock import ManualClock
from tests.support.selecting import RecordingSelector


class PairServer(ReactorMixIn, BaseServer):
    """A reactor server without a listener. Remembers what its hooks were told.

    `errors`: what `handle_error` found raised. `ended`: requests given to `shutdown_request`.
    """

    socket_type = socket.SOCK_STREAM

    def __init__(self, handler_class: Any, reactor: Reactor, limits: Limits | None) -> None:
        super().__init__(("socketpair", 0), handler_class)
        self._reactor = reactor  # what registering a server with it does
        self.limits = limits
        self.handlers: list[Any] = []
        self.errors: list[BaseException] = []
        self.ended: list[socket.socket] = []

    def drive_handler(self, handler: Any) -> None:
        self.handlers.append(handler)
        super().drive_handler(handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        exc = sys.exception()
        assert exc is not None, "handle_error() outside the except"
        self.errors.append(exc)

    def shutdown_request(self, request: Any) -> None:
        self.ended.append(request)
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        request.close()


class Peer:
    """The other end of a connection. Never waits."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.setblocking(False)
        self.eof = False
        self.reset = False

    def send(self, data: bytes) -> int:
        """Send what the kernel takes of *data* and say how much that was."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0

    def read(self, most: int = sys.maxsize) -> bytes:
        """All that has come (at most *most* bytes). Sets `eof`, `reset`."""
        parts = []
        while most > 0 and not (self.eof or self.reset):
            try:
                data = self.socket.recv(min(most, 65536))
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.reset = True
                break
            self.eof = not data
            parts.append(data)
            most -= len(data)
        return b"".join(parts)

    def end(self) -> None:
        """Send EOF."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()

    def crash(self) -> None:
        """Close with a reset. Needs a TCP connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class SpySocket:
    """A connection's socket. `sent`: the bytes of every successful `send`. `received`: the sizes of
    every `recv`. `room`: how many bytes the "kernel" still takes; `None` for any number."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.sent: list[bytes] = []
        self.received: list[int] = []
        self.room: int | None = None
        self.refused = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send(self, data: bytes) -> int:
        if self.room is not None:
            if not self.room:
                self.refused += 1
                raise BlockingIOError
            data = data[: self.room]
            self.room -= len(data)
        count = self._socket.send(data)
        self.sent.append(bytes(data[:count]))
        return count

    def recv(self, size: int) -> bytes:
        data = self._socket.recv(size)
        self.received.append(len(data))
        return data


class ManualExecutor(Executor):
    """Runs what it was given when told to, here and now."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:  # type: ignore[override]
        future: Future[Any] = Future()
        self.jobs.append((future, function, args))
        return future

    def start_next(self) -> Callable[[], None]:
        """Begin the oldest job, so that it can't be cancelled; call what this returns to finish it."""
        future, function, args = self.jobs.pop(0)
        running = future.set_running_or_notify_cancel()

        def finish() -> None:
            if not running:
                return
            try:
                future.set_result(function(*args))
            except Exception as exc:
                future.set_exception(exc)

        return finish

    def run_next(self) -> None:
        """Do the oldest job."""
        self.start_next()()


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class House:
    """A reactor with a manual clock and a manual pool, and handlers on socket pairs in it.

    As a context manager it closes everything, and fails if a handler's error was never taken
    by `take_errors`, or an error line never by `take_error_lines`.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = Limits() if limits is None else limits
        self.clock = ManualClock()
        self.executor = ManualExecutor()
        self.selector = RecordingSelector()
        self.reactor = Reactor(self.selector, clock=self.clock, executor=self.executor)
        self.servers: list[PairServer] = []
        self.peers: list[Peer] = []
        self._lines = _Lines()
        self._logger = logging.getLogger("reactor")
        self._level = self._logger.level

    def __enter__(self) -> House:
        self._logger.addHandler(self._lines)
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, kind: Any, exc: Any, trace: Any) -> None:
        try:
            self.reactor.close()
        finally:
            for peer in self.peers:
                peer.close()
            self._logger.removeHandler(self._lines)
            self._logger.setLevel(self._level)
        if kind is None:
            assert not self.take_errors(), "a handler raised"
            assert not self.take_error_lines(), "an error was logged"

    # Connections

    def join(
        self,
        handler_class: Any,
        *,
        limits: Limits | None = None,
        tcp: bool = False,
        spied: bool = False,
    ) -> tuple[Any, Peer]:
        """A new connection that has not opened yet: its handler and its peer."""
        ours, theirs = tcp_pair() if tcp else socket.socketpair()
        peer = Peer(theirs)
        self.peers.append(peer)
        try:
            server = PairServer(handler_class, self.reactor, limits or self.limits)
            self.servers.append(server)
            server.process_request(ours, ("peer", len(self.servers)))
        except BaseException:
            ours.close()
            raise
        (handler,) = server.handlers
        if spied:
            handler.socket = SpySocket(ours)
        return handler, peer

    def connect(self, handler_class: Any, **options: Any) -> tuple[Any, Peer]:
        """A new connection that has opened: its handler and its peer."""
        handler, peer = self.join(handler_class, **options)
        self.turn()
        return handler, peer

    # Driving

    def turn(self, times: int = 1) -> None:
        """Take so many turns, waiting for nothing."""
        for _ in range(times):
            self.reactor.handle_events(0)

    def settle(self) -> None:
        """Take turns until nothing is ready any more."""
        quiet = 0
        for _ in range(1000):
            quiet = 0 if self.reactor.handle_events(0) else quiet + 1
            if quiet == 3:
                return
        raise AssertionError("the loop never comes to rest")

    def wait(self) -> None:
        """Take one turn that waits for the kernel to announce something."""
        assert self.reactor.handle_events(10), "nothing came"

    def advance(self, seconds: float) -> None:
        """Let time pass, then have the loop notice."""
        self.clock.advance(seconds)
        self.turn(2)

    def ask(self, peer: Peer, data: bytes) -> bytes:
        """Send *data*, let the loop settle, and give what came back."""
        assert peer.send(data) == len(data)
        self.settle()
        return peer.read()

    # What happened

    def watched(self, handler: Any) -> int:
        """The events that a handler's descriptor is watched for."""
        return self.selector.events_of(handler)

    def take_errors(self) -> list[BaseException]:
        """What was given to `handle_error`, and forget it."""
        errors = [exc for server in self.servers for exc in server.errors]
        for server in self.servers:
            server.errors.clear()
        return errors

    def lines(self, level: int = logging.WARNING) -> list[str]:
        """The lines logged at *level*."""
        return [record.getMessage() for record in self._lines.records if record.levelno == level]

    def take_error_lines(self) -> list[str]:
        """The lines logged as errors, and forget them."""
        lines = self.lines(logging.ERROR)
        self._lines.records = [record for record in self._lines.records if record.levelno < logging.ERROR]
        return lines


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection, for what Unix sockets don't do: resets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    return ours, theirs
