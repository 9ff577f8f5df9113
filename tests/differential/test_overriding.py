"""Subclasses: each hook overridden, with and without the one that it hides, and in unusual ways."""

import gc
import socket
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import HOOKS, stage
from tests.differential.test_requests import DRIVERS, style_of

WITHOUT = {
    "server_bind": None,
    "server_activate": None,
    "verify_request": True,
    "process_request": None,
    "process_request_thread": None,
    "finish_request": None,
    "shutdown_request": None,
    "close_request": None,
    "handle_error": None,
    "handle_timeout": None,
    "service_actions": None,
    "collect_children": None,
    "server_close": None,
}


def hidden(module: ModuleType, name: str, driver: str, hook: str) -> list[Any]:
    """An override that does nothing, and does not call what it hides."""
    with stage(module) as play:
        if not hasattr(getattr(module, name), hook):
            return ["no such hook"]

        def override(self: Any, *args: Any, **options: Any) -> Any:
            return WITHOUT[hook]

        server = play.server(name, play.handler(style_of(name)), {hook: override})
        if hook not in ("server_bind", "server_activate"):
            play.client(server)
            play.drive(server, driver)
        lines = play.finish(server)
        if hook == "server_close":
            getattr(module, name).server_close(server)
        return lines


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("hook", sorted(WITHOUT))
@pytest.mark.parametrize("name", [*servers("TCP"), "UDPServer", "ThreadingUDPServer"])
def test_a_hook_that_does_nothing(name: str, hook: str, driver: str) -> None:
    same(hidden, name, driver, hook)


def only_the_socket_closed(module: ModuleType, name: str, driver: str) -> list[Any]:
    """Many programs close a server's socket, and never call `server_close`."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        play.client(server)
        play.drive(server, driver)
        play.settle()
        server.socket.close()
        lines = play.lines()
        play.forget()
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            del server
            gc.collect()
        return [*lines, [warning.category.__name__ for warning in left_open]]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingUDPServer"])
def test_a_server_whose_socket_alone_is_closed(name: str, driver: str) -> None:
    same(only_the_socket_closed, name, driver)


def on_the_instance(module: ModuleType, name: str, hook: str) -> list[Any]:
    """A hook replaced on one server: it is looked up there."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        found = getattr(server, hook, None)
        if found is None:
            return ["no such hook"]

        def replacement(*args: Any, **options: Any) -> Any:
            play.transcript.note("instance's", hook, *args)
            return found(*args, **options)

        setattr(server, hook, replacement)
        play.client(server)
        play.drive(server, "handle_request")
        server.timeout = 0
        play.drive(server, "handle_request")
        play.client(server)
        play.drive(server, "serve_forever")
        return play.finish(server)


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in ("server_bind", "server_activate")])
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
def test_a_hook_on_the_instance(name: str, hook: str) -> None:
    same(on_the_instance, name, hook)


def extended(module: ModuleType, name: str) -> list[Any]:
    """A constructor with more of its own, before and after; a handler's too."""
    with stage(module) as play:
        note = play.transcript.note
        base = getattr(module, name)

        def __init__(self: Any, address: Any, handler: Any, *, extra: int = 1) -> None:
            self.extra = extra
            base.__init__(self, address, handler, bind_and_activate=False)
            note("made", self.server_address, self.extra)
            try:
                self.server_bind()
                self.server_activate()
            except BaseException:
                self.server_close()
                raise

        style = style_of(name)
        parent = play.handler(style)

        class Handler(parent):  # type: ignore[misc, valid-type]
            def __init__(self, request: Any, client_address: Any, server: Any) -> None:
                self.before = server.extra
                super().__init__(request, client_address, server)
                note("handled", self.before)

        cls = play.server_class(name, {"__init__": __init__})
        server = cls(play.address(name), Handler, extra=5)
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", servers())
def test_constructors_extended(name: str) -> None:
    same(extended, name)


def properties(module: ModuleType, name: str) -> list[Any]:
    """Attributes that are computed: each is looked up when it is needed, on the server."""
    with stage(module) as play:
        asked: list[str] = []
        values: dict[str, Any] = {
            "request_queue_size": 3,
            "allow_reuse_address": True,
            "allow_reuse_port": False,
            "timeout": 0,
            "max_packet_size": 4,
            "daemon_threads": True,
            "block_on_close": True,
            "max_children": 40,
        }

        def computed(attribute: str) -> property:
            def get(self: Any) -> Any:
                if attribute not in asked:
                    asked.append(attribute)
                return values[attribute]

            return property(get)

        base = getattr(module, name)
        made = {attribute: computed(attribute) for attribute in values if hasattr(base, attribute)}
        server = play.server(name, play.handler(style_of(name)), made)
        play.client(server)
        play.drive(server, "handle_request")
        play.drive(server, "handle_request")
        lines = play.finish(server)
        return [*lines, sorted(asked)]


@pytest.mark.parametrize("name", servers("TCP", "UDP"))
def test_attributes_that_are_properties(name: str) -> None:
    same(properties, name)


def slotted(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:
        base = play.server_class(name, {"__slots__": ("extra",)})
        server = base(play.address(name), play.handler(style_of(name)))
        server.extra = 5
        play.client(server)
        play.drive(server, "handle_request")
        play.transcript.note(server.extra)
        return play.finish(server)


@pytest.mark.parametrize("name", ["TCPServer", "ThreadingUDPServer", "ForkingTCPServer"])
def test_slots(name: str) -> None:
    same(slotted, name)


def without_init(module: ModuleType, how: str) -> list[Any]:
    """`BaseServer.__init__` alone, and a socket that comes from elsewhere."""
    with stage(module) as play:
        listener = socket.create_server(("127.0.0.1", 0))

        def __init__(self: Any, address: Any, handler: Any) -> None:
            if how == "base":
                module.BaseServer.__init__(self, address, handler)
                self.socket = listener
            else:
                module.TCPServer.__init__(self, address, handler, bind_and_activate=False)
                self.socket.close()
                self.socket = listener

        cls = play.server_class("TCPServer", {"__init__": __init__})
        server = cls(listener.getsockname(), play.handler())
        play.listen(server)
        play.client(server)
        play.drive(server, "handle_request")
        play.client(server)
        play.drive(server, "serve_forever")
        return play.finish(server)


@pytest.mark.parametrize("how", ["base", "swapped"])
def test_a_socket_from_elsewhere(how: str) -> None:
    same(without_init, how)


def other_fileno(module: ModuleType, driver: str, ready: bool) -> list[Any]:
    """`fileno` decides what is waited for."""
    with stage(module) as play:
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def fileno(self: Any) -> int:
                return ours.fileno()

            def get_request(self: Any) -> Any:
                play.transcript.note("bytes", ours.recv(10))
                return (b"data", "sock"), "somebody"

            def handle(self: Any) -> None:
                play.transcript.note("request", self.request)

            overrides = {"fileno": fileno, "get_request": get_request, "timeout": 0}
            server = play.server("UDPServer", play.handler(handle=handle), overrides)
            if ready:
                theirs.send(b"x")
            else:
                play.client(server)  # nobody asks its socket
            if driver == "handle_request":
                play.drive(server, driver)
            else:
                server.rounds_left = 2
                play.transcript.returns(driver, server.serve_forever, 0.001)
            if not ready:
                server.socket.recv(10)
            return play.finish(server)


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
def test_fileno_overridden(driver: str, ready: bool) -> None:
    same(other_fileno, driver, ready)


def of_the_base(module: ModuleType, driver: str, allowed: bool) -> list[Any]:
    """A server made of `BaseServer` alone, whose requests are words."""
    with stage(module) as play:
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def handle(self: Any) -> None:
                play.transcript.note("handling", self.request, self.client_address)

            overrides = {
                "socket": ours,
                "fileno": lambda self: ours.fileno(),
                "get_request": lambda self: (ours.recv(5), "somebody"),
                "verify_request": lambda self, *args: allowed,
            }
            server = play.server_class("BaseServer", overrides)("an address", play.handler(handle=handle))
            theirs.send(b"word1word2")
            play.drive(server, driver, 2)
            play.transcript.note(server.server_address)
            play.transcript.returns("server_close", server.server_close)
            play.transcript.note("closed", ours.fileno() < 0)
            return play.lines()


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("driver", DRIVERS)
def test_the_base_server_alone(driver: str, allowed: bool) -> None:
    same(of_the_base, driver, allowed)


def other_request(module: ModuleType, name: str) -> list[Any]:
    """A request may be anything that `get_request` gives; so may its address."""
    with stage(module) as play:
        note = play.transcript.note

        class Wrapped:
            def __init__(self, sock: Any) -> None:
                self.sock = sock

            def sendall(self, data: bytes) -> None:
                note("sendall", data)
                self.sock.sendall(data)

            def shutdown(self, how: int) -> None:
                note("shutdown", how)
                raise OSError(107, "not connected")

            def close(self) -> None:
                note("close")
                self.sock.close()

        def get_request(self: Any) -> Any:
            sock, _ = self.socket.accept()
            return Wrapped(sock), None

        def handle(self: Any) -> None:
            note("handling", self.request, self.client_address)
            self.request.sendall(b"wrapped")

        server = play.server(name, play.handler(handle=handle), {"get_request": get_request})
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server, wait=True)


@pytest.mark.parametrize("name", servers("TCP", "UnixStream", kinds=("", "Threading")))
def test_a_request_of_ones_own(name: str) -> None:
    same(other_request, name)


def odd_requests(module: ModuleType, given: Any) -> list[Any]:
    """`get_request` gives what is no pair."""
    with stage(module) as play:
        server = play.server("TCPServer", play.handler())
        play.client(server)
        server.get_request = lambda: given
        play.drive(server, "handle_request")
        return play.finish(server, wait=False)


@pytest.mark.parametrize("given", [None, (1,), (1, 2, 3), "ab"], ids=str)
def test_what_get_request_gives(given: Any) -> None:
    same(odd_requests, given)


def factories(module: ModuleType, make: Callable[[Any], Any]) -> list[Any]:
    """The handler class may be anything that can be called."""
    with stage(module) as play:
        handler = play.handler()
        server = play.server("TCPServer", make(handler))
        play.client(server)
        play.drive(server, "handle_request")
        server.RequestHandlerClass = handler
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize(
    "make",
    [
        lambda handler: lambda *args: handler(*args),
        lambda handler: lambda request, client_address, server: None,
        lambda handler: lambda: handler,
        lambda handler: None,
    ],
    ids=["function", "nothing", "wrong", "None"],
)
def test_a_factory_of_handlers(make: Callable[[Any], Any]) -> None:
    same(factories, make)


def mixed(module: ModuleType, kinds: tuple[str, ...]) -> list[Any]:
    """Mix-ins in a class of the user's own."""
    with stage(module) as play:
        note = play.transcript.note

        class Mixed:
            def process_request(self, request: Any, client_address: Any) -> None:
                note("mixed in")
                super().process_request(request, client_address)  # type: ignore[misc]

            def server_close(self) -> None:
                note("mixed in")
                super().server_close()  # type: ignore[misc]

        bases = tuple(Mixed if kind == "own" else getattr(module, kind) for kind in kinds)
        module_like = type(module)("like")
        module_like.Server = type("Server", bases, {})  # type: ignore[attr-defined]
        play.module = module_like
        cls = play.server_class("Server")
        play.module = module
        server = cls(("127.0.0.1", 0), play.handler())
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize(
    "kinds",
    [
        ("own", "TCPServer"),
        ("own", "ThreadingMixIn", "TCPServer"),
        ("ThreadingMixIn", "own", "TCPServer"),
        ("ForkingMixIn", "own", "TCPServer"),
        ("own", "ThreadingTCPServer"),
    ],
    ids=str,
)
def test_mix_ins_mixed(kinds: tuple[str, ...]) -> None:
    same(mixed, kinds)
