"""The module's globals, replaced from outside as programs and their tests do: they are used where they
stand, and as the standard module uses them."""

import errno
import os
import selectors
import socket
import threading
import time
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import Stage, stage
from tests.differential.test_requests import DRIVERS, style_of


class Selector:
    """Says that the server is ready, or, for the first *vain* times, that nothing is. A waker beside
    the server, and when the selector is closed, are our own affair."""

    def __init__(self, play: Stage, vain: int = 0) -> None:
        self.play, self.note, self.vain = play, play.transcript.note, vain
        self.keys: list[Any] = []
        self.open = 0

    def __call__(self) -> "Selector":
        self.note("selector")
        self.open += 1
        return self

    def __enter__(self) -> "Selector":
        return self

    def __exit__(self, *args: Any) -> None:
        self.close()

    def close(self) -> None:
        self.open -= 1

    def register(self, fileobj: Any, events: Any, data: Any = None) -> Any:
        key = selectors.SelectorKey(fileobj, fileobj.fileno(), events, data)
        if fileobj in self.play.servers:
            self.note("register", fileobj, events)
            self.keys.append(key)
        return key

    def select(self, timeout: Any = None) -> list[Any]:
        assert self.open, "waits with a closed selector"
        self.note("select", timeout if timeout is None or timeout >= 0 else "negative")
        self.vain -= 1
        if self.vain >= 0:
            return []
        return [(key, key.events) for key in self.keys]


def with_selector(module: ModuleType, name: str, driver: str, vain: int, timeout: Any) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)), {"timeout": timeout})
        play.client(server)
        selector = Selector(play, vain)
        with mock.patch.object(module, "_ServerSelector", selector):
            if driver == "handle_request":
                clock = iter(range(1000, 2000))
                with mock.patch.object(module, "time", partial(next, clock)):
                    play.drive(server, driver)
            else:
                server.rounds_left = vain + 1
                play.transcript.returns(driver, server.serve_forever, 0.25)
        return [*play.finish(server), "selectors left open", selector.open]


@pytest.mark.parametrize("timeout", [None, 0, 1, 10])
@pytest.mark.parametrize("vain", [0, 3])
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", ["TCPServer", "UDPServer", "ThreadingTCPServer"])
def test_the_selector(name: str, driver: str, vain: int, timeout: Any) -> None:
    same(with_selector, name, driver, vain, timeout)


def one_way_then_the_other(module: ModuleType) -> list[Any]:
    """`serve_forever` and `handle_request` in turn, with what each waits with."""
    with stage(module) as play:
        server = play.server("TCPServer", play.handler())
        selector = Selector(play)
        with mock.patch.object(module, "_ServerSelector", selector):
            for driver in ("serve_forever", "handle_request", "serve_forever"):
                play.client(server)
                play.drive(server, driver)
        return [*play.finish(server), "selectors left open", selector.open]


def test_serving_in_both_ways() -> None:
    same(one_way_then_the_other)


def shut_down_in_vain(module: ModuleType) -> list[Any]:
    """What has come while `shutdown` was called is not taken any more."""
    with stage(module) as play:
        server = play.server("TCPServer", play.handler())
        play.client(server)
        selector = Selector(play)
        ready = selector.select

        def select(timeout: Any = None) -> list[Any]:
            server._BaseServer__shutdown_request = True
            return ready(timeout)

        with (
            mock.patch.object(module, "_ServerSelector", selector),
            mock.patch.object(selector, "select", select),
        ):
            play.drive(server, "serve_forever")
        return play.finish(server)


def test_shutdown_during_the_wait() -> None:
    same(shut_down_in_vain)


def clock(module: ModuleType, times: list[float], vain: int, timeout: Any) -> list[Any]:
    """`time` is the monotonic clock that `handle_request` counts by."""
    with stage(module) as play:
        left = iter(times)
        server = play.server("TCPServer", play.handler(), {"timeout": timeout})
        client = play.client(server)
        with (
            mock.patch.object(module, "_ServerSelector", Selector(play, vain)),
            mock.patch.object(module, "time", partial(next, left)),
        ):
            play.drive(server, "handle_request")
        play.transcript.note("asked", len(times) - len(list(left)))
        client.look(False)
        return play.lines()


@pytest.mark.parametrize(
    ("times", "vain"),
    [
        ([100.0, 104.0, 104.9, 105.1], 9),
        ([100.0, 105.0, 105.1], 9),
        ([100.0, 102.0, 103.0], 2),
        ([100.0, 106.0], 9),
        ([100.0], 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("timeout", [5])
def test_the_clock(times: list[float], vain: int, timeout: Any) -> None:
    same(clock, times, vain, timeout)


def without_a_timeout(module: ModuleType) -> list[Any]:
    """Nobody asks for the time where there is no timeout."""
    with stage(module) as play:
        server = play.server("TCPServer", play.handler())
        play.client(server)
        with (
            mock.patch.object(module, "_ServerSelector", Selector(play, 3)),
            mock.patch.object(module, "time", mock.Mock(side_effect=AssertionError("asked"))),
        ):
            play.drive(server, "handle_request")
        return play.finish(server)


def test_no_clock_without_a_timeout() -> None:
    same(without_a_timeout)


class Stand(SimpleNamespace):
    """Stands in for a module: what it was asked for, once each, stands in `asked`."""

    def __init__(self, real: ModuleType, **changed: Any) -> None:
        super().__init__()
        vars(self).update(_real=real, asked=set(), changed=changed)

    def __getattr__(self, name: str) -> Any:
        vars(self)["asked"].add(name)
        changed = vars(self)["changed"]
        return changed[name] if name in changed else getattr(vars(self)["_real"], name)


def with_os(module: ModuleType, what: str) -> list[Any]:
    with stage(module) as play:
        transcript = play.transcript

        class Exited(BaseException):
            pass

        def fork() -> int:
            transcript.note("fork")
            if what == "fails":
                raise OSError(errno.EAGAIN, "no")
            return 0 if what == "child" else 4444

        def waitpid(pid: int, options: int) -> tuple[int, int]:
            transcript.note("waitpid", pid, options)
            return pid, 0

        def leave(status: int) -> None:
            transcript.note("_exit", status)
            raise Exited

        stand = Stand(os, fork=fork, waitpid=waitpid, _exit=leave)
        server = play.server("ForkingTCPServer", play.handler())
        with mock.patch.object(module, "os", stand):
            play.client(server)
            play.drive(server, "handle_request")
            transcript.note("children", server.active_children)
            lines = play.finish(server)
        return [*lines, sorted({"fork", "waitpid", "_exit"} & stand.asked)]


@pytest.mark.parametrize("what", ["parent", "child", "fails"])
def test_os(what: str) -> None:
    same(with_os, what)


def with_threading(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:

        class Thread(threading.Thread):
            def start(self) -> None:
                play.transcript.note("started", self.daemon)
                self.run()

            def is_alive(self) -> bool:
                return True

            def join(self, timeout: Any = None) -> None:
                play.transcript.note("joined", timeout)

        stand = Stand(threading, Thread=Thread)
        with mock.patch.object(module, "threading", stand):
            server = play.server(name, play.handler(style_of(name)))
            for _ in range(2):
                play.client(server)
                play.drive(server, "handle_request")
            lines = play.finish(server)
        return [*lines, "Thread" in stand.asked]


@pytest.mark.parametrize("name", servers(kinds=("Threading",)))
def test_threading(name: str) -> None:
    same(with_threading, name)


def with_socket(module: ModuleType, name: str, lacking: tuple[str, ...]) -> list[Any]:
    """Sockets are made, and constants found, in the module's `socket`."""
    with stage(module) as play:
        note = play.transcript.note

        class Socket(socket.socket):
            def __init__(self, *args: Any, **options: Any) -> None:
                if args:
                    note("socket", *args)
                super().__init__(*args, **options)

        class Lacking(Stand):
            def __getattr__(self, attribute: str) -> Any:
                if attribute in lacking:
                    raise AttributeError(attribute)
                return super().__getattr__(attribute)

        stand = Lacking(socket, socket=Socket, SHUT_WR=socket.SHUT_RDWR)
        attributes = {"allow_reuse_address": True}
        if "Unix" not in name:
            attributes["allow_reuse_port"] = True
        with mock.patch.object(module, "socket", stand):
            handler = play.handler(style_of(name))
            handler.disable_nagle_algorithm = "TCP" in name
            server = play.server(name, handler, attributes)
            play.client(server)
            play.drive(server, "handle_request")
            return play.finish(server)


@pytest.mark.parametrize("lacking", [(), ("SO_REUSEADDR",), ("SO_REUSEPORT",)], ids=str)
@pytest.mark.parametrize("name", servers(kinds=("", "Threading")))
def test_socket(name: str, lacking: tuple[str, ...]) -> None:
    same(with_socket, name, lacking)


def with_selectors(module: ModuleType, driver: str) -> list[Any]:
    """Which events are asked for stands in the module's `selectors`."""
    with stage(module) as play:
        stand = Stand(selectors, EVENT_READ=selectors.EVENT_READ | 0)
        server = play.server("TCPServer", play.handler())
        play.client(server)
        with (
            mock.patch.object(module, "selectors", stand),
            mock.patch.object(module, "_ServerSelector", Selector(play)),
        ):
            play.drive(server, driver)
        lines = play.finish(server)
        return [*lines, "EVENT_READ" in stand.asked]


@pytest.mark.parametrize("driver", DRIVERS)
def test_selectors(driver: str) -> None:
    same(with_selectors, driver)


def with_a_class(module: ModuleType, name: str, patched: str, hook: str) -> list[Any]:
    """A hook patched on one of the module's classes reaches those that inherit it, and no others."""
    with stage(module) as play:
        cls = getattr(module, patched)
        before = cls.__dict__.get(hook)
        original = getattr(cls, hook)

        def replacement(self: Any, *args: Any, **options: Any) -> Any:
            play.transcript.note("patched", hook)
            return original(self, *args, **options)

        if before is None:
            return ["not defined there"]
        with mock.patch.object(cls, hook, replacement):
            server = play.server(name, play.handler(style_of(name)))
            play.client(server)
            play.drive(server, "handle_request")
            return play.finish(server)


@pytest.mark.parametrize(
    ("patched", "hook"),
    [
        ("BaseServer", "process_request"),
        ("BaseServer", "finish_request"),
        ("BaseServer", "verify_request"),
        ("BaseServer", "handle_request"),
        ("BaseServer", "_handle_request_noblock"),
        ("TCPServer", "get_request"),
        ("TCPServer", "shutdown_request"),
        ("TCPServer", "close_request"),
        ("TCPServer", "server_bind"),
        ("TCPServer", "server_activate"),
        ("TCPServer", "server_close"),
        ("UDPServer", "get_request"),
        ("UDPServer", "shutdown_request"),
        ("ThreadingMixIn", "process_request"),
        ("ForkingMixIn", "collect_children"),
    ],
)
@pytest.mark.parametrize("name", [*servers("TCP"), "UDPServer", "UnixStreamServer", "ThreadingUDPServer"])
def test_a_patched_class(name: str, patched: str, hook: str) -> None:
    same(with_a_class, name, patched, hook)


def with_an_attribute(module: ModuleType, name: str, patched: str, attribute: str, value: Any) -> list[Any]:
    """A setting changed on a class: whom it reaches."""
    with mock.patch.object(getattr(module, patched), attribute, value):
        return [getattr(getattr(module, name), attribute, "none")]


@pytest.mark.parametrize("name", servers())
@pytest.mark.parametrize(
    ("patched", "attribute", "value"),
    [
        ("BaseServer", "timeout", 77),
        ("TCPServer", "allow_reuse_address", True),
        ("TCPServer", "allow_reuse_port", True),
        ("TCPServer", "request_queue_size", 77),
        ("TCPServer", "address_family", 77),
        ("TCPServer", "socket_type", 77),
        ("UDPServer", "max_packet_size", 77),
        ("UDPServer", "allow_reuse_address", True),
        ("ThreadingMixIn", "daemon_threads", True),
        ("ThreadingMixIn", "block_on_close", False),
        ("ForkingMixIn", "max_children", 77),
        ("ForkingMixIn", "timeout", 77),
    ],
)
def test_a_patched_setting(name: str, patched: str, attribute: str, value: Any) -> None:
    same(with_an_attribute, name, patched, attribute, value)


def writer_replaced(module: ModuleType) -> list[Any]:
    """`_SocketWriter` is looked up when a handler is set up."""
    with stage(module) as play:

        class Writer(vars(module)["_SocketWriter"]):  # type: ignore[misc]
            def write(self, data: Any) -> int:
                play.transcript.note("writes", data)
                return int(super().write(data))

        server = play.server("TCPServer", play.handler("StreamRequestHandler"))
        play.client(server)
        with mock.patch.object(module, "_SocketWriter", Writer):
            play.drive(server, "handle_request")
        return play.finish(server)


def test_the_socket_writer_replaced() -> None:
    same(writer_replaced)


def system_wide(module: ModuleType, what: str) -> list[Any]:
    """What is patched in `threading`, `time` or `os` itself reaches the module as well."""
    with stage(module) as play:
        if what == "monotonic":
            server = play.server("TCPServer", play.handler(), {"timeout": 0})
            with mock.patch.object(time, "monotonic", mock.Mock(side_effect=range(100, 200))):
                play.drive(server, "handle_request")
            return play.finish(server)
        server = play.server("ForkingTCPServer", play.handler())
        play.client(server)
        with mock.patch.object(os, "fork", mock.Mock(side_effect=OSError(errno.ENOMEM, "no"))):
            play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("what", ["monotonic", "fork"])
def test_patched_for_all(what: str) -> None:
    same(system_wide, what)
