"""Names, values, signatures and relations of the classes."""

import inspect
import io
import pickle
import threading
from types import ModuleType
from typing import Any

import pytest

from tests.differential.differences import ADDED, DIFFERENCES, MOVED
from tests.differential.modules import OURS, STANDARD, same, servers
from tests.differential.stage import stage

CLASSES = [
    name for name, value in vars(STANDARD).items() if isinstance(value, type) and name in STANDARD.__all__
]
PRIVATE = ["_SocketWriter", "_Threads", "_NoThreads"]
#: What programs and tests of programs look up, or replace, in the standard module.
GLOBALS = [name for name in vars(STANDARD) if not name.startswith("__") and name not in STANDARD.__all__]


def public(cls: Any) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def family(cls: Any) -> list[Any]:
    """The classes that *cls* inherits from which a user can name."""
    return [each for each in cls.__mro__ if not each.__name__.startswith("_")]


def definer(cls: Any, name: str) -> str:
    """The class that has *name*, as a patch has to name it."""
    owner = cls
    for each in cls.__mro__:
        if not each.__name__.startswith("_"):
            owner = each
        if name in vars(each):
            return str(owner.__name__)
    return "nobody"


def signature(function: Any) -> list[Any]:
    found = []
    for parameter in inspect.signature(function).parameters.values():
        default = "none" if parameter.default is parameter.empty else parameter.default
        found.append((parameter.name, parameter.kind.name, default))
    return found


# The module


def all_names(module: Any) -> list[Any]:
    return [sorted(module.__all__), len(module.__all__)]


def test_all() -> None:
    same(all_names)


def starred(module: Any) -> list[Any]:
    names: dict[str, Any] = {}
    for name in module.__all__:
        names[name] = getattr(module, name)
    return sorted((name, value.__name__, isinstance(value, type)) for name, value in names.items())


def test_what_a_star_imports() -> None:
    same(starred)


@pytest.mark.parametrize("name", GLOBALS)
def test_a_global_of_the_module(name: str) -> None:
    same(lambda module: [name, hasattr(module, name), type(getattr(module, name, None)).__name__])


def test_no_other_public_names() -> None:
    ours = {name for name in vars(OURS) if not name.startswith("_")}
    assert ours <= set(vars(STANDARD)), "the drop-in has the standard module's names and no others"


# The classes


def relations(module: ModuleType, name: str) -> list[Any]:
    cls = getattr(module, name)
    kin = [other for other in CLASSES if issubclass(cls, getattr(module, other))]
    return [[each.__name__ for each in family(cls)], kin, cls.__name__, cls.__qualname__, type(cls).__name__]


@pytest.mark.parametrize("name", CLASSES)
def test_relations(name: str) -> None:
    same(relations, name)


def values(module: ModuleType, name: str) -> list[Any]:
    cls = getattr(module, name)
    names = sorted(public(getattr(STANDARD, name)))
    found = [(each, getattr(cls, each, "missing")) for each in names]
    plain = [(each, value) for each, value in found if not callable(value)]
    return [names, [(each, value, type(value).__name__) for each, value in plain]]


@pytest.mark.parametrize("name", CLASSES)
def test_values_of_attributes(name: str) -> None:
    same(values, name)


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_added_is_listed(name: str) -> None:
    added = public(getattr(OURS, name)) - public(getattr(STANDARD, name))
    assert added <= ADDED


def signatures(module: ModuleType, name: str) -> list[Any]:
    cls = getattr(module, name)
    standard = getattr(STANDARD, name)
    names = [*public(standard), "__init__", "__enter__", "__exit__", "_handle_request_noblock"]
    return [
        (each, signature(getattr(cls, each)))
        for each in sorted(names)
        if inspect.isfunction(getattr(standard, each, None))
    ] or [name]


@pytest.mark.parametrize("name", [*CLASSES, *PRIVATE])
def test_signatures(name: str) -> None:
    same(signatures, name)


def definers(module: ModuleType, name: str) -> list[Any]:
    return [
        (each, definer(getattr(module, name), each))
        for each in sorted(public(getattr(STANDARD, name)))
        if f"{name.replace('Threading', '').replace('Forking', '')}.{each}" not in MOVED
    ]


@pytest.mark.parametrize("name", CLASSES)
def test_who_defines_what(name: str) -> None:
    """A program that sets ``TCPServer.allow_reuse_address`` does not mean the UDP servers."""
    same(definers, name)


def test_every_difference_has_a_reason() -> None:
    for difference in DIFFERENCES:
        assert all((difference.what, difference.standard, difference.ours, difference.why))
    assert len({difference.what for difference in DIFFERENCES}) == len(DIFFERENCES)
    for moved in MOVED:
        cls, name = moved.split(".")
        assert hasattr(getattr(OURS, cls), name), moved
    assert not any(hasattr(getattr(STANDARD, cls), name) for cls in CLASSES for name in ADDED)


# What an instance has


def made(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:
        handler = play.handler()
        server = play.server(name, handler)
        server.extra = 5
        transcript = play.transcript
        transcript.note(
            server.server_address, server.RequestHandlerClass is handler, server.socket, server.extra
        )
        transcript.note("fileno", server.fileno() == server.socket.fileno(), type(server.fileno()))
        transcript.note(sorted(key for key in vars(server) if not key.startswith("_")))
        transcript.note(server.socket.family, server.socket.type, server.socket.gettimeout())
        transcript.note(server.socket.get_inheritable(), bool(server), hash(server) == hash(server))
        transcript.note(server == server, server != server, isinstance(server, module.BaseServer))
        transcript.returns("pickled", pickle.dumps, server)
        return play.finish(server)


@pytest.mark.parametrize("name", servers())
def test_a_new_server(name: str) -> None:
    same(made, name)


def poked(module: ModuleType, how: str) -> list[Any]:
    """Programs reach for the two names that the class has mangled."""
    with stage(module) as play:
        transcript = play.transcript

        def handle(self: Any) -> None:
            self.server._BaseServer__shutdown_request = True

        server = play.server("TCPServer", play.handler(handle=handle))
        if how == "flag in a handler":
            play.client(server)
            play.drive(server, "serve_forever", 3)
        elif how == "flag before":
            server._BaseServer__shutdown_request = True
            play.drive(server, "serve_forever", 3)
            play.client(server)
            play.drive(server, "serve_forever", 1)
        elif how == "event":
            event = server._BaseServer__is_shut_down
            transcript.note("event", isinstance(event, threading.Event), event.is_set())
            play.client(server)
            server._BaseServer__shutdown_request = False
            play.drive(server, "serve_forever", 1)
            transcript.note("event", event.is_set(), event is server._BaseServer__is_shut_down)
            transcript.note("flag", server._BaseServer__shutdown_request)
        return play.finish(server)


@pytest.mark.parametrize("how", ["flag in a handler", "flag before", "event"])
def test_poking_at_shutdown(how: str) -> None:
    same(poked, how)


def base_only(module: ModuleType, part: str) -> list[Any]:
    """`BaseServer` by itself: what it does and what it leaves to others."""
    with stage(module) as play:
        server = module.BaseServer("anything", play.handler())
        transcript = play.transcript
        transcript.note(server.server_address, server.timeout, hasattr(server, "socket"))
        calls: dict[str, Any] = {
            "server_activate": (),
            "service_actions": (),
            "handle_timeout": (),
            "verify_request": (1, 2),
            "shutdown_request": (object(),),
            "close_request": (object(),),
            "fileno": (),
            "get_request": (),
            "handle_request": (),
            "serve_forever": (),
            "server_close": (),
            "__enter__": (),
            "__exit__": (),
        }
        transcript.name(server, "the server")
        transcript.returns(part, lambda: getattr(server, part)(*calls[part]))
        return play.lines()


@pytest.mark.parametrize(
    "part",
    [
        "server_activate",
        "service_actions",
        "handle_timeout",
        "verify_request",
        "shutdown_request",
        "close_request",
        "fileno",
        "get_request",
        "handle_request",
        "serve_forever",
        "server_close",
        "__enter__",
        "__exit__",
    ],
)
def test_the_base_server(part: str) -> None:
    same(base_only, part)


def writer(module: ModuleType) -> list[Any]:
    cls: Any = vars(module)["_SocketWriter"]
    return [issubclass(cls, io.BufferedIOBase), [each.__name__ for each in cls.__mro__], sorted(public(cls))]


def test_the_socket_writer() -> None:
    same(writer)
