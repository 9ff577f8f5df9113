"""Servers in threads, clients with deadlines, and counts of what a test leaves behind.

Whatever waits here waits for an event, with `PATIENCE` as the bound that only a broken program
reaches. Clients are shut down before they are closed, for a forked child holds copies of them.
"""

from __future__ import annotations

import os
import pathlib
import select
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import reactor as package
from reactor import Reactor

PATIENCE = 20.0
#: Asked of our servers, whose `shutdown` does not depend on it.
FOREVER = 60.0
#: Asked of the standard library's, whose `shutdown` takes that long.
SHORT = 0.01

ROOT = pathlib.Path(package.__file__).parent.parent

#: The tests' own process has threads, which a newer Python warns about when it forks.
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

_KINDS = ("", "Threading", "Forking", "Reactor")


def hosts(*transports: str, kinds: tuple[str, ...] = _KINDS, standard: bool = False) -> list[Any]:
    """Parameters: the server classes of these transports (``TCP``, ``UnixStream``...), named after
    themselves; with *standard*, those of the standard library too."""
    found = []
    for transport in transports:
        for kind in kinds:
            name = f"{kind}{transport}Server"
            marks = [FORKS] if kind == "Forking" else []
            found.append(pytest.param(getattr(package, name), id=name, marks=marks))
            if standard and hasattr(socketserver, name):
                found.append(
                    pytest.param(getattr(socketserver, name), id=f"socketserver.{name}", marks=marks)
                )
    return found


# Servers


class Thread(threading.Thread):
    """A thread that is joined with a deadline and hands on what it raised."""

    def __init__(self, target: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = target, args
        self.raised: BaseException | None = None
        self.result: Any = None
        self.start()

    def run(self) -> None:
        function, args = self._call
        try:
            self.result = function(*args)
        except BaseException as exc:
            self.raised = exc

    def finish(self) -> Any:
        """Join it; return what the function returned."""
        self.join(PATIENCE)
        assert not self.is_alive(), f"{self._call[0]!r} did not return"
        if self.raised is not None:
            raise self.raised
        return self.result


@contextmanager
def made(cls: Any, handler: Any, **attributes: Any) -> Iterator[Any]:
    """A server of (a subclass of) *cls*, with *attributes* set on the subclass, closed at the end."""
    with tempfile.TemporaryDirectory(prefix="reactor-") as folder:
        unix = cls.address_family == getattr(socket, "AF_UNIX", None)
        address = os.path.join(folder, "socket") if unix else ("127.0.0.1", 0)
        subclass = type(cls.__name__, (cls,), attributes) if attributes else cls
        with subclass(address, handler) as server:
            yield server


@contextmanager
def running(server: Any, poll_interval: float | None = None) -> Iterator[Any]:
    """`serve_forever` in a thread; shut down and joined at the end."""
    if poll_interval is None:
        ours = isinstance(server, package.BaseServer)
        poll_interval = FOREVER if ours else SHORT
    thread = Thread(server.serve_forever, poll_interval)
    try:
        yield thread
    finally:
        server.shutdown()
        thread.finish()


@contextmanager
def serving(cls: Any, handler: Any, **attributes: Any) -> Iterator[Any]:
    """`made` and `running` together."""
    with made(cls, handler, **attributes) as server, running(server):
        yield server


@contextmanager
def looping(reactor: Reactor) -> Iterator[Thread]:
    """A reactor that runs in a thread; stopped and joined at the end."""
    thread = Thread(reactor.run)
    try:
        yield thread
    finally:
        reactor.stop()
        thread.finish()


def in_loop(reactor: Reactor, function: Callable[..., Any], *args: Any) -> Any:
    """Call *function* in the thread of a running reactor, and return its result."""
    done = threading.Event()
    result: list[Any] = []

    def call() -> None:
        try:
            result.append(function(*args))
        finally:
            done.set()

    reactor.call_soon_threadsafe(call)
    assert done.wait(PATIENCE), "the loop does not turn"
    assert result, f"{function!r} raised; see the log"
    return result[0]


# Peers


class Peer:
    """A stream client; every wait has a deadline."""

    def __init__(self, address: Any, receive_buffer: int | None = None) -> None:
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        if isinstance(address, tuple) and ":" in address[0]:
            family = socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.file.close()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def line(self) -> bytes:
        return self.file.readline()

    def exactly(self, n: int) -> bytes:
        return self.file.read(n)

    def rest(self) -> bytes:
        return self.file.read()

    def ask(self, line: bytes) -> bytes:
        """Send a line; return the line that comes back."""
        self.send(line)
        return self.line()


def connected(server: Any, receive_buffer: int | None = None) -> Peer:
    """A client of a stream server."""
    return Peer(server.server_address, receive_buffer)


@contextmanager
def datagram_peer(server: Any) -> Iterator[socket.socket]:
    """A client of a datagram server, with an address to answer to."""
    with tempfile.TemporaryDirectory(prefix="reactor-") as folder:
        family = server.address_family
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE)
            sock.bind(("127.0.0.1", 0) if family == socket.AF_INET else os.path.join(folder, "peer"))
            sock.connect(server.server_address)
            yield sock


# What is heard from elsewhere


class Channel:
    """Words from handlers and hooks in any thread or forked process, in the order they were said."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reader.settimeout(PATIENCE)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reader.close()
        self._writer.close()

    def say(self, word: str) -> None:
        self._writer.send(word.encode())

    def hear(self) -> str:
        """The next word."""
        return self._reader.recv(65536).decode()

    def silent(self) -> bool:
        """Whether nothing was said that was not heard."""
        return not select.select([self._reader], [], [], 0)[0]

    def everything(self) -> list[str]:
        """All that was said up to now and not heard."""
        words = []
        while not self.silent():
            words.append(self.hear())
        return words


def telling_errors(channel: Channel) -> Callable[[Any, Any, Any], None]:
    """A `handle_error` that says on *channel* what it finds in `sys.exc_info`."""

    def handle_error(self: Any, request: Any, client_address: Any) -> None:
        exc = sys.exc_info()[1]
        channel.say(f"{type(exc).__name__}: {exc}")

    return handle_error


# What is left behind


def open_descriptors() -> dict[str, str]:
    """The process's descriptors and what they are."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass  # the one that lists them
    return found


def children() -> list[int]:
    """The process's children, the unreaped ones too."""
    found = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            found += [int(pid) for pid in (task / "children").read_text().split()]
        except OSError:
            pass  # a thread that has just ended
    return found


def await_threads(but: set[threading.Thread]) -> None:
    """Wait until no threads run *but* these. Not by `join`: where a signal's exception has interrupted
    one before, it takes the thread for ended."""
    deadline = time.monotonic() + PATIENCE
    while not set(threading.enumerate()) <= but:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.001)


@contextmanager
def nothing_left() -> Iterator[None]:
    """What is opened inside has to be gone at the end: descriptors, threads, children."""
    before = open_descriptors(), set(threading.enumerate()), children()
    yield
    after = open_descriptors(), set(threading.enumerate()), children()
    assert after == before


# Programs


@contextmanager
def program(source: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python that runs *source*; killed at the end if it still runs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONWARNINGS", None)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", source, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a program's end: its status, the rest of its output, its errors."""
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err
