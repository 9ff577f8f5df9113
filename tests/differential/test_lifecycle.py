"""From the constructor to `server_close`."""

import socket
import threading
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.differential.modules import OURS, same, servers
from tests.differential.stage import stage
from tests.differential.test_requests import DRIVERS, style_of
from tests.support.servers import FOREVER, PATIENCE, SHORT, Thread

# Making one


def by_steps(module: ModuleType, name: str, steps: tuple[str, ...]) -> list[Any]:
    """``bind_and_activate=False``, then by hand."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)), None, False)
        play.listen(server)
        play.transcript.note(server.server_address, server.fileno() >= 0)
        for step in steps:
            play.transcript.returns(step, getattr(server, step))
        if "server_bind" in steps and "server_activate" in steps:
            play.client(server)
            play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize(
    "steps",
    [(), ("server_bind",), ("server_bind", "server_activate"), ("server_activate",)],
    ids=str,
)
@pytest.mark.parametrize("name", servers(kinds=("", "Threading")))
def test_bind_and_activate_by_hand(name: str, steps: tuple[str, ...]) -> None:
    same(by_steps, name, steps)


@pytest.mark.parametrize("name", servers("TCP", "UDP", kinds=("",)))
def test_bound_twice(name: str) -> None:
    same(by_steps, name, ("server_bind", "server_bind"))


def flags(module: ModuleType, name: str, how: str, value: Any) -> list[Any]:
    """The third argument, by position and by name; what counts as true."""
    with stage(module) as play:
        cls = play.server_class(name)
        args, options = ((value,), {}) if how == "position" else ((), {"bind_and_activate": value})
        server = play.transcript.returns("made", cls, play.address(name), play.handler(), *args, **options)
        play.listen(server)
        return play.finish(server)


@pytest.mark.parametrize("value", [True, False, None, 1, []], ids=repr)
@pytest.mark.parametrize("how", ["position", "name"])
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingUDPServer", "ForkingTCPServer"])
def test_the_third_argument(name: str, how: str, value: Any) -> None:
    same(flags, name, how, value)


def options(module: ModuleType, name: str, attributes: dict[str, Any]) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(), attributes)
        note = play.transcript.note
        for option in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_BROADCAST", "SO_KEEPALIVE", "SO_ACCEPTCONN"):
            note(option, server.socket.getsockopt(socket.SOL_SOCKET, getattr(socket, option)))
        return play.finish(server)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"allow_reuse_address": True},
        {"allow_reuse_address": 1},
        {"allow_reuse_port": True},
        {"allow_reuse_address": True, "allow_reuse_port": True},
        {"request_queue_size": 0},
        {"request_queue_size": 17},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", servers("TCP", "UDP", kinds=("", "Threading")))
def test_options_of_the_listener(name: str, attributes: dict[str, Any]) -> None:
    same(options, name, attributes)


def of_a_family(module: ModuleType, name: str, address: Any, attributes: dict[str, Any]) -> list[Any]:
    with stage(module) as play:
        cls = play.server_class(name, attributes)
        play.transcript.returns("made", cls, address, play.handler())
        (server,) = play.servers
        if server.fileno() >= 0:
            shown = [server.server_address[0], len(server.server_address)]
            play.transcript.note(server.address_family, server.socket.family, server.socket.type, *shown)
        else:
            play.transcript.note("closed")
        return play.lines()


@pytest.mark.parametrize(
    ("name", "address", "attributes"),
    [
        ("TCPServer", ("", 0), {}),
        ("TCPServer", ("localhost", 0), {}),
        ("TCPServer", ("0.0.0.0", 0), {}),
        ("TCPServer", ("::1", 0), {"address_family": socket.AF_INET6}),
        ("UDPServer", ("::1", 0), {"address_family": socket.AF_INET6}),
        ("TCPServer", ("::1", 0, 0, 0), {"address_family": socket.AF_INET6}),
        ("UDPServer", ("127.0.0.1", 0), {"socket_type": socket.SOCK_DGRAM | socket.SOCK_NONBLOCK}),
        ("TCPServer", ("127.0.0.1", 70000), {}),
        ("TCPServer", ("127.0.0.1", -1), {}),
        ("TCPServer", ("192.0.2.1", 0), {}),
        ("UnixStreamServer", "/nowhere/at/all", {}),
        ("UnixStreamServer", b"\0reactor-differential", {}),
        ("UnixDatagramServer", "x" * 200, {}),
    ],
    ids=str,
)
def test_addresses(name: str, address: Any, attributes: dict[str, Any]) -> None:
    same(of_a_family, name, address, attributes)


def taken(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:
        first = play.server(name, play.handler())
        cls = play.server_class(name)
        play.transcript.returns("second", cls, first.server_address, play.handler())
        second = play.servers[-1]
        play.transcript.note("second", second is first, second.socket.fileno())
        return play.finish(first)


@pytest.mark.parametrize("name", servers(kinds=("", "Threading")))
def test_an_address_that_is_taken(name: str) -> None:
    same(taken, name)


# Ending


def closed(module: ModuleType, name: str, then: str) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        play.client(server)
        play.drive(server, "handle_request")
        play.settle()
        play.transcript.returns("close", server.server_close)
        if then in ("handle_request", "serve_forever"):
            play.drive(server, then)
        elif then == "fileno":
            play.transcript.returns(then, server.fileno)
        else:
            play.transcript.returns(then, getattr(server, then))
        return play.finish(server)


@pytest.mark.parametrize(
    "then", ["server_close", "handle_request", "serve_forever", "fileno", "get_request", "service_actions"]
)
@pytest.mark.parametrize("name", [*servers(kinds=("", "Threading")), "ForkingTCPServer"])
def test_after_server_close(name: str, then: str) -> None:
    same(closed, name, then)


def in_context(module: ModuleType, name: str, how: str) -> list[Any]:
    with stage(module) as play:
        transcript = play.transcript
        overrides: dict[str, Any] = {}
        if how == "close raises":
            overrides["server_close"] = mock.Mock(side_effect=OSError(5, "no"))
        server = play.server(name, play.handler(style_of(name)), overrides)
        play.client(server)

        def body() -> str:
            with server as entered:
                transcript.note("entered", entered)
                if how == "raises":
                    raise ValueError("no")
                if how == "served":
                    play.drive(server, "handle_request")
                    play.settle()
                return "left"

        transcript.returns("with", body)
        return play.finish(server)


@pytest.mark.parametrize("how", ["left", "raises", "served", "close raises"])
@pytest.mark.parametrize("name", [*servers(kinds=("", "Threading")), "ForkingTCPServer"])
def test_as_a_context_manager(name: str, how: str) -> None:
    same(in_context, name, how)


def closed_by_a_handler(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:

        def handle(self: Any) -> None:
            self.request.sendall(b"closing")
            self.server.server_close()

        server = play.server(name, play.handler(handle=handle))
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", servers("TCP", "UnixStream", kinds=("", "Forking")))
def test_a_handler_that_closes_its_server(name: str) -> None:
    same(closed_by_a_handler, name)


def backlog(module: ModuleType, name: str) -> list[Any]:
    """Who was waiting when the listener is closed is told so."""
    with stage(module) as play:
        server = play.server(name, play.handler())
        play.client(server)
        play.client(server, b"")
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", servers("TCP", "UnixStream"))
def test_who_was_not_served(name: str) -> None:
    same(backlog, name)


# Serving


def stopped(module: ModuleType, name: str, times: int, clients: int) -> list[Any]:
    """`shutdown` from another thread, when some requests have been handled; then again, then once more."""
    with stage(module) as play:
        served = threading.Semaphore(0)

        def shutdown_request(self: Any, request: Any) -> None:
            getattr(module, name).shutdown_request(self, request)
            served.release()

        def service_actions(self: Any) -> None:
            pass

        cls = play.server_class(name, {"shutdown_request": shutdown_request})
        cls.service_actions = service_actions
        server = cls(play.address(name), play.handler(style_of(name)))
        for _ in range(times):
            # Ours has to be woken; the standard module's looks now and then.
            thread = Thread(server.serve_forever, FOREVER if module is OURS else SHORT)
            for _ in range(clients):
                play.client(server)
                assert served.acquire(timeout=PATIENCE)
            play.transcript.note("shutdown", server.shutdown(), thread.finish())
        play.transcript.note("still open", server.fileno() >= 0)
        # With nobody serving, the next one returns at once.
        play.transcript.returns("shutdown", server.shutdown)
        play.transcript.returns("serve_forever", server.serve_forever, PATIENCE)
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("name", servers(kinds=("", "Threading")))
def test_shutdown_from_another_thread(name: str, clients: int) -> None:
    same(stopped, name, 2, clients)


def ended_by(module: ModuleType, name: str) -> list[Any]:
    """What ends `serve_forever` by an exception leaves a server that can serve again."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        for number in range(3):
            play.client(server, b"number %d\n" % number)
            play.drive(server, "serve_forever")
            play.transcript.note("open", server.fileno() >= 0)
        return play.finish(server)


@pytest.mark.parametrize("name", [*servers(kinds=("", "Threading")), "ForkingTCPServer"])
def test_serving_again(name: str) -> None:
    same(ended_by, name)


def one_at_a_time(module: ModuleType, name: str) -> list[Any]:
    """`service_actions` follows each request, and each wait in which none came."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        for number in range(2):
            play.client(server, b"number %d\n" % number)
        server.rounds_left = 4
        play.transcript.returns("serve_forever", server.serve_forever, 0.001)
        return play.finish(server)


@pytest.mark.parametrize("name", [*servers(kinds=("", "Threading")), "ForkingTCPServer"])
def test_service_actions(name: str) -> None:
    same(one_at_a_time, name)


def poll_interval(module: ModuleType, args: tuple[Any, ...], options: dict[str, Any]) -> list[Any]:
    with stage(module) as play:
        server = play.server("TCPServer", play.handler())
        play.client(server)
        play.transcript.returns("serve_forever", server.serve_forever, *args, **options)
        return play.finish(server)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {}),
        ((0.1,), {}),
        ((), {"poll_interval": 0.1}),
        ((None,), {}),
        ((0,), {}),
        ((-1,), {}),
        (("x",), {}),
    ],
    ids=str,
)
def test_the_poll_interval(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    same(poll_interval, args, options)


def stopped_by_a_hook(module: ModuleType, name: str, hook: str) -> list[Any]:
    """Once `shutdown` has been asked for, nothing more is taken, but what was taken is finished."""
    with stage(module) as play:
        asked = threading.Event()
        asking: list[Thread] = []

        def method(self: Any, *args: Any) -> Any:
            if not asked.is_set():
                asked.set()
                asking.append(Thread(self.shutdown))
                while not self._BaseServer__shutdown_request:
                    asking[0].join(0.001)
            return getattr(getattr(module, name), hook)(self, *args)

        server = play.server(name, play.handler(style_of(name)), {hook: method})
        server.rounds_left = 5
        for number in range(2):
            play.client(server, b"number %d\n" % number)
        play.transcript.returns("serve_forever", server.serve_forever, PATIENCE)
        asking[0].finish()
        return play.finish(server)


@pytest.mark.parametrize("hook", ["get_request", "verify_request", "finish_request", "service_actions"])
@pytest.mark.parametrize("name", servers("TCP", "UDP", kinds=("",)))
def test_shutdown_while_a_hook_runs(name: str, hook: str) -> None:
    same(stopped_by_a_hook, name, hook)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer"])
def test_closed_twice_is_closed(name: str, driver: str) -> None:
    def twice(module: ModuleType) -> list[Any]:
        with stage(module) as play:
            server = play.server(name, play.handler(style_of(name)))
            play.client(server)
            play.drive(server, driver)
            play.settle()
            for _ in range(2):
                play.transcript.returns("close", server.server_close)
                play.transcript.note(server.socket.fileno())
            return play.finish(server)

    same(twice)
