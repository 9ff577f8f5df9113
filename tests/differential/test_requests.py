"""One request, from the listener to the closed connection: every server, every way of serving."""

import socket
from types import ModuleType
from typing import Any

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import stage

DRIVERS = ("handle_request", "serve_forever")


def style_of(server: str, plain: bool = False) -> str:
    """The handler class that fits the server called *server*."""
    if plain:
        return "BaseRequestHandler"
    return "StreamRequestHandler" if "TCP" in server or "Stream" in server else "DatagramRequestHandler"


def one_request(module: ModuleType, name: str, style: str, driver: str, times: int = 1) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(style))
        for number in range(times):
            play.client(server, b"words %d\n" % number)
        play.drive(server, driver, times)
        return play.finish(server)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("plain", [True, False], ids=["base", "files"])
@pytest.mark.parametrize("name", servers())
def test_one_request(name: str, plain: bool, driver: str) -> None:
    same(one_request, name, style_of(name, plain), driver)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", servers(kinds=("", "Threading")))
def test_three_requests(name: str, driver: str) -> None:
    same(one_request, name, style_of(name), driver, 3)


def refused(module: ModuleType, name: str, driver: str, answer: Any) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(), {"verify_request": lambda *args: answer})
        play.client(server)
        play.drive(server, driver)
        return play.finish(server)


@pytest.mark.parametrize("answer", [False, None, "yes"])
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("name", [*servers("TCP", "UDP"), "UnixStreamServer", "ThreadingUnixDatagramServer"])
def test_what_verify_request_says(name: str, driver: str, answer: Any) -> None:
    same(refused, name, driver, answer)


def packet(module: ModuleType, name: str, size: int, most: Any) -> list[Any]:
    with stage(module) as play:
        overrides = {} if most is None else {"max_packet_size": most}
        server = play.server(name, play.handler("DatagramRequestHandler"), overrides)
        play.client(server, b"x" * size)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 8191, 8192, 8193])
@pytest.mark.parametrize("most", [None, 10, 0])
@pytest.mark.parametrize("name", servers("UDP", "UnixDatagram", kinds=("", "Threading")))
def test_size_of_a_packet(name: str, size: int, most: Any) -> None:
    same(packet, name, size, most)


def nobody_there(module: ModuleType, name: str) -> list[Any]:
    """`get_request` finds nothing: what announced it is gone."""
    with stage(module) as play:
        server = play.server(name, play.handler())
        server.socket.setblocking(False)
        play.transcript.returns("noblock", server._handle_request_noblock)
        return play.finish(server)


@pytest.mark.parametrize("name", servers())
def test_a_request_that_is_gone(name: str) -> None:
    same(nobody_there, name)


def by_hand(module: ModuleType, name: str, hook: str) -> list[Any]:
    """Call one of the hooks directly, with a request from `get_request`."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        play.client(server)
        request, client_address = server.get_request()
        args = (request,) if hook in ("shutdown_request", "close_request") else (request, client_address)
        play.transcript.returns(hook, getattr(server, hook), *args)
        play.settle()
        for each in play.requests:
            play.transcript.note("left", "closed" if each.fileno() < 0 else "open")
        return play.finish(server)


@pytest.mark.parametrize(
    "hook",
    [
        "process_request",
        "finish_request",
        "verify_request",
        "shutdown_request",
        "close_request",
        "handle_error",
    ],
)
@pytest.mark.parametrize("name", [*servers("TCP"), *servers("UDP", "UnixStream", kinds=("", "Threading"))])
def test_a_hook_called_by_hand(name: str, hook: str) -> None:
    same(by_hand, name, hook)


@pytest.mark.parametrize("name", servers(kinds=("Threading",)))
def test_process_request_thread_called_by_hand(name: str) -> None:
    same(by_hand, name, "process_request_thread")


def with_timeout_set(module: ModuleType, name: str, default: float | None) -> list[Any]:
    """What a request's socket is like depends on the process's default, and not on the listener's."""
    with stage(module) as play:
        socket.setdefaulttimeout(default)
        try:
            server = play.server(name, play.handler(style_of(name)))
            play.transcript.note("listener has", server.socket.gettimeout())
            server.socket.settimeout(7)
            play.client(server)
            play.drive(server, "handle_request")
            return play.finish(server)
        finally:
            socket.setdefaulttimeout(None)


@pytest.mark.parametrize("default", [None, 11.5])
@pytest.mark.parametrize("name", servers("TCP", "UnixStream", "UDP", kinds=("", "Forking")))
def test_the_default_timeout(name: str, default: float | None) -> None:
    same(with_timeout_set, name, default)
