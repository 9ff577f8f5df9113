"""`Stage`: servers, handlers and clients that tell a transcript what is done with them.

Everything is played in the test's own thread where that is possible: clients speak first, what they
said waits in the kernel, the server is driven, then the clients look at what they got. A play that
does not end is ended by an alarm.
"""

import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType, ModuleType
from typing import Any
from unittest import mock

from tests.differential.transcript import Transcript
from tests.support.servers import PATIENCE, children

#: What a subclass may override, and what the mix-ins add; `fileno` has scenarios of its own.
HOOKS = (
    "server_bind",
    "server_activate",
    "get_request",
    "verify_request",
    "process_request",
    "process_request_thread",
    "finish_request",
    "shutdown_request",
    "close_request",
    "handle_error",
    "handle_timeout",
    "service_actions",
    "collect_children",
    "server_close",
)

#: What is told of each kind of socket.
_TOLD = {
    "listener": ("bind", "listen", "setsockopt", "settimeout", "setblocking", "recvfrom", "sendto", "close"),
    "request": (
        "setsockopt",
        "settimeout",
        "setblocking",
        "makefile",
        "send",
        "sendall",
        "shutdown",
        "close",
    ),
}


class Curtain(BaseException):
    """Ends `serve_forever`, from `service_actions`."""


class Stuck(BaseException):
    """A play that does not end."""


class Spy(socket.socket):
    """A socket that tells what is done with it."""

    transcript: Transcript
    label: str
    shut = False


def _telling(method: str) -> Callable[..., Any]:
    original = getattr(socket.socket, method)

    def call(self: Spy, *args: Any, **options: Any) -> Any:
        told = method in _TOLD[self.label]
        if told and method not in ("send", "sendto"):
            self.transcript.note(f"{self.label}.{method}", *args, *options.items())
        result = original(self, *args, **options)
        if told and method in ("send", "sendto"):
            self.transcript.note(f"{self.label}.{method}", *args)
        if method == "shutdown":
            self.shut = True
        return result

    return call


for _method in {name for names in _TOLD.values() for name in names}:
    setattr(Spy, _method, _telling(_method))


def spied(sock: socket.socket, label: str, transcript: Transcript) -> Spy:
    """*sock* as a `Spy`; *sock* itself is detached."""
    timeout = sock.gettimeout()
    spy = Spy(fileno=sock.detach())
    socket.socket.settimeout(spy, timeout)
    spy.label, spy.transcript = label, transcript
    return spy


class Client:
    """A peer that speaks first. Its socket is there for whatever else it does."""

    def __init__(self, stage: "Stage", server: Any, data: bytes) -> None:
        self.stage, self.server = stage, server
        self.number = len(stage.clients)
        self.stream = server.socket_type == socket.SOCK_STREAM
        self.socket = socket.socket(server.address_family, server.socket_type)
        self.socket.settimeout(PATIENCE)
        stage.clients.append(self)
        if not self.stream:
            unix = server.address_family == socket.AF_UNIX
            self.socket.bind(stage.path(f"client {self.number}") if unix else ("127.0.0.1", 0))
        self.name = f"client {self.number}"
        with stage.transcript.naming:
            self.socket.connect(server.server_address)
            stage.transcript.name(self.socket.getsockname(), self.name)
        if data or not self.stream:
            self.socket.sendall(data)

    def look(self, wait: bool | None = None) -> None:
        """Write what has come. Waits for the end of a stream if the server has ended it (or *wait*s)."""
        if self.stream:
            self.stage.transcript.note(
                self.name, "sees", *self._stream(self._ended() if wait is None else wait)
            )
        else:
            self.stage.transcript.note(self.name, "sees", self._datagrams())

    def _ended(self) -> bool:
        if self.number < len(self.stage.requests):
            request = self.stage.requests[self.number]
            return request.fileno() < 0 or request.shut
        return bool(self.server.socket.fileno() < 0)

    def _stream(self, wait: bool) -> tuple[bytes, str]:
        data = b""
        self.socket.settimeout(PATIENCE if wait else 0)
        while True:
            try:
                more = self.socket.recv(1 << 16)
            except (BlockingIOError, TimeoutError):
                return data, "nothing more"
            except ConnectionError as exc:
                return data, type(exc).__name__
            if not more:
                return data, "EOF"
            data += more

    def _datagrams(self) -> list[bytes]:
        found = []
        sent = self.stage.transcript.count("listener.sendto", self.name)
        while True:
            self.socket.settimeout(PATIENCE if len(found) < sent else 0)
            try:
                found.append(self.socket.recv(1 << 16))
            except (BlockingIOError, TimeoutError):
                return found


class Stage:
    """One play: the module under test, its transcript, and all that is to be cleared away."""

    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        self.transcript = Transcript()
        self.clients: list[Client] = []
        self.requests: list[Spy] = []
        self.servers: list[Any] = []
        self.ended: list[int] = []
        self._exits = ExitStack()
        self._folder: str | None = None
        self._before = set(children())
        self._threads = set(threading.enumerate())
        # A test's log would keep tracebacks, and by them the files of a socket, alive.
        self._exits.enter_context(mock.patch.object(logging.getLogger("reactor"), "propagate", False))
        self._exits.enter_context(mock.patch.object(threading, "excepthook", self._thread_died))
        self._exits.enter_context(mock.patch.object(os, "waitpid", self._waitpid(os.waitpid)))

    def _thread_died(self, args: Any) -> None:
        self.transcript.note("the thread died of", args.exc_type)

    def _waitpid(self, real: Callable[[int, int], tuple[int, int]]) -> Callable[[int, int], tuple[int, int]]:
        def waitpid(pid: int, options: int) -> tuple[int, int]:
            found, status = real(pid, options)
            if found:
                self.ended.append(os.waitstatus_to_exitcode(status))
            return found, status

        return waitpid

    # What plays

    def path(self, name: str = "socket") -> str:
        """A path for a Unix socket."""
        if self._folder is None:
            self._folder = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="reactor-"))
        path = os.path.join(self._folder, name)
        self.transcript.name(path, f"path {name}")
        return path

    def address(self, name: str) -> Any:
        """An address for a server of the class called *name*."""
        return self.path() if "Unix" in name else ("127.0.0.1", 0)

    def server_class(self, name: str, overrides: dict[str, Any] | None = None, told: bool = True) -> Any:
        """A subclass of the module's class *name* with *overrides*, whose hooks are all *told*."""
        base = getattr(self.module, name)
        if overrides:
            base = type(base)(name, (base,), dict(overrides))
        return self._told_server(base) if told else base

    def server(self, name: str, handler: Any, overrides: dict[str, Any] | None = None, *args: Any) -> Any:
        """A server of such a class, at a fresh address."""
        cls = self.server_class(name, overrides)
        return cls(self.address(name), handler, *args)

    def handler(self, base: str = "BaseRequestHandler", **overrides: Any) -> Any:
        """A subclass of the module's handler class *base* that answers in capitals, with *overrides*,
        whose three methods are told."""
        parent = getattr(self.module, base)
        body = {"handle": _ANSWERS[base], **overrides}
        cls = type(base, (parent,), body)
        told = {name: self._told(cls, name) for name in ("setup", "handle", "finish")}
        return type(base, (cls,), told)

    def client(self, server: Any, data: bytes = b"words\n") -> Client:
        return Client(self, server, data)

    def drive(self, server: Any, how: str, rounds: int = 1) -> None:
        """Have *server* handle so many requests: ``handle_request`` or ``serve_forever``."""
        if how == "handle_request":
            for _ in range(rounds):
                self.transcript.returns(how, server.handle_request)
        else:
            server.rounds_left = rounds
            self.transcript.returns(how, server.serve_forever, PATIENCE)

    def threads(self) -> list[threading.Thread]:
        """The threads that were started in this play and run."""
        return [thread for thread in threading.enumerate() if thread not in self._threads]

    def settle(self) -> None:
        """Wait for the play's other threads and its children to end. The children are not collected.
        Called in one of those it does nothing."""
        if not self.transcript.at_home:
            return
        for thread in self.threads():
            thread.join(PATIENCE)
        for pid in set(children()) - self._before:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def finish(self, server: Any, wait: bool | None = None) -> list[Any]:
        """Close *server*, let the clients look, note how all was left, and return the transcript."""
        self.settle()
        self.transcript.returns("server_close", server.server_close)
        for client in self.clients:
            client.look(wait)
        for request in self.requests:
            self.transcript.note("request", "closed" if request.fileno() < 0 else "open")
        self.transcript.note("listener", "closed" if server.fileno() < 0 else "open")
        return self.lines()

    def lines(self) -> list[Any]:
        lines = self.transcript.lines()
        return [*lines, ["statuses", *sorted(self.ended)]] if self.ended else lines

    def forget(self) -> None:
        """Let go of the servers, and of all that is named after them."""
        self.servers.clear()
        self.transcript.forget()
        for client in self.clients:
            client.server = None

    # How it is told

    def _told_server(self, base: Any) -> Any:
        stage = self

        def __init__(self: Any, *args: Any, **options: Any) -> None:
            stage.servers.append(self)
            stage.transcript.name(self, "the server")
            base.__init__(self, *args, **options)

        body = {name: self._told(base, name) for name in HOOKS if hasattr(base, name)}
        tell = dict(body)

        def server_bind(self: Any) -> None:
            stage.listen(self)
            tell["server_bind"](self)
            stage.transcript.name(self.server_address, "the address")

        def get_request(self: Any) -> Any:
            found = tell["get_request"](self)
            request, client_address = found
            if isinstance(request, socket.socket):
                request = spied(request, "request", stage.transcript)
                stage.transcript.name(request, f"request {len(stage.requests)}")
                stage.requests.append(request)
            return request, client_address

        def service_actions(self: Any) -> None:
            tell["service_actions"](self)
            self.rounds_left -= 1
            if self.rounds_left <= 0:
                raise Curtain

        def process_request(self: Any, request: Any, client_address: Any) -> None:
            try:
                tell["process_request"](self, request, client_address)
            finally:
                if stage.transcript.in_child:
                    stage.transcript.note("the child came back")
                    os._exit(99)

        body |= {
            "rounds_left": 1,
            "__init__": __init__,
            "server_bind": server_bind,
            "get_request": get_request,
            "service_actions": service_actions,
            "process_request": process_request,
        }
        return type(base)(
            base.__name__, (base,), {k: v for k, v in body.items() if k == "rounds_left" or hasattr(base, k)}
        )

    def _told(self, base: Any, name: str) -> Callable[..., Any]:
        transcript = self.transcript
        overridden = getattr(base, name)

        def told(self: Any, *args: Any, **options: Any) -> Any:
            with transcript.calling(name, *args, *sorted(options.items())):
                result = overridden(self, *args, **options)
            transcript.note(name, "returned", result)
            return result

        return told

    def listen(self, server: Any) -> None:
        """Have *server*'s own socket told of; its hook `server_bind` does so by itself."""
        if not isinstance(server.socket, Spy):
            server.socket = spied(server.socket, "listener", self.transcript)
            self.transcript.name(server.socket, "the listener")

    # The end

    def clear(self) -> None:
        for pid in set(children()) - self._before:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        for server in self.servers:
            sock = vars(server).get("socket")
            if sock is not None:
                socket.socket.close(sock)
        for request in self.requests:
            socket.socket.close(request)
        for client in self.clients:
            client.socket.close()
        self._exits.close()
        self.transcript.close()


def _answer(self: Any) -> None:
    stage_of(self).note("request is", *state_of(self.request))
    if isinstance(self.request, tuple):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)
    else:
        self.request.sendall(self.request.recv(1000).upper())


def _answer_files(self: Any) -> None:
    stage_of(self).note("request is", *state_of(self.request))
    stage_of(self).note("files", self.rfile, self.wfile, self.connection is self.request)
    self.wfile.write(self.rfile.readline().upper())


def _answer_datagram(self: Any) -> None:
    stage_of(self).note("request is", *state_of(self.request))
    stage_of(self).note("files", self.rfile, self.wfile, self.packet, self.socket)
    self.wfile.write(self.rfile.read().upper())


_ANSWERS = {
    "BaseRequestHandler": _answer,
    "StreamRequestHandler": _answer_files,
    "DatagramRequestHandler": _answer_datagram,
}


def stage_of(handler: Any) -> Transcript:
    """The transcript of the play that *handler* is in."""
    transcript = handler.server.socket.transcript
    assert isinstance(transcript, Transcript)
    return transcript


def state_of(request: Any) -> list[Any]:
    """What can be seen of a request: of a socket, how it is set."""
    thread = threading.current_thread()
    where = ["main" if thread is threading.main_thread() else "thread", thread.daemon]
    if not isinstance(request, socket.socket):
        return [*where, request]
    options = [request.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    if request.family == socket.AF_INET:
        options.append(request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    state = [request.family, request.type, request.gettimeout(), request.get_inheritable()]
    return [*where, request, *state, *options]


@contextmanager
def stage(module: ModuleType) -> Iterator[Stage]:
    """A stage for one play, which an alarm ends if it has not ended by itself."""

    def stuck(signum: int, frame: FrameType | None) -> None:
        raise Stuck("the play does not end")

    found = Stage(module)
    before = signal.signal(signal.SIGALRM, stuck)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE / 2)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        found.clear()
