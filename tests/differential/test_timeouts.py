"""How long `handle_request` waits, and what it does then.

Nothing is measured. Where a wait has to end by itself and does not, a client comes after a while,
and the server's answer to it is what differs.
"""

import threading
from types import ModuleType
from typing import Any

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import stage
from tests.differential.test_requests import style_of

LONG = 60.0
RESCUE = 3.0


def waiting(
    module: ModuleType, name: str, on_socket: Any, on_class: Any, on_instance: Any, client: bool
) -> list[Any]:
    with stage(module) as play:
        overrides = {} if on_class == "default" else {"timeout": on_class}
        server = play.server(name, play.handler(style_of(name)), overrides)
        if on_instance != "default":
            server.timeout = on_instance
        server.socket.settimeout(on_socket)
        if client:
            play.client(server)
            play.transcript.returns("handle_request", server.handle_request)
        else:
            rescue = threading.Timer(RESCUE, play.client, (server,))
            rescue.start()
            try:
                play.transcript.returns("handle_request", server.handle_request)
            finally:
                rescue.cancel()
                rescue.join()
        play.transcript.note("timeouts", server.timeout, server.socket.gettimeout())
        return play.finish(server)


@pytest.mark.parametrize(
    ("on_socket", "on_class", "on_instance"),
    [
        (None, 0.01, "default"),
        (None, 0, "default"),
        (None, -1, "default"),
        (None, LONG, 0.01),
        (0.01, "default", "default"),
        (0.01, None, "default"),
        (0.01, LONG, "default"),
        (0.01, LONG, None),
        (LONG, 0.01, "default"),
        (LONG, LONG, 0),
        (0, LONG, "default"),
        (0, None, "default"),
        (0.01, 0.02, "default"),
    ],
)
@pytest.mark.parametrize("name", ["TCPServer", "UDPServer", "UnixStreamServer", "ThreadingTCPServer"])
def test_nobody_comes(name: str, on_socket: Any, on_class: Any, on_instance: Any) -> None:
    same(waiting, name, on_socket, on_class, on_instance, client=False)


@pytest.mark.parametrize("name", servers(kinds=("Forking",)))
def test_nobody_comes_to_a_forking_server(name: str) -> None:
    same(waiting, name, None, 0.01, "default", client=False)


@pytest.mark.parametrize("on_class", ["default", None, 0, -1, LONG])
@pytest.mark.parametrize("on_socket", [None, LONG])
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingUnixDatagramServer", "ForkingUDPServer"])
def test_somebody_has_come(name: str, on_socket: Any, on_class: Any) -> None:
    same(waiting, name, on_socket, on_class, "default", client=True)


def answers(module: ModuleType, what: str) -> list[Any]:
    """`handle_request` returns what the last hook of a wait returns, and lets through what it raises."""
    with stage(module) as play:

        def handle_timeout(self: Any) -> Any:
            if what == "raises":
                raise ValueError("no")
            if what == "exits":
                raise SystemExit(3)
            return "a word"

        server = play.server("TCPServer", play.handler(), {"handle_timeout": handle_timeout, "timeout": 0})
        play.transcript.returns("handle_request", server.handle_request)
        return play.finish(server)


@pytest.mark.parametrize("what", ["returns", "raises", "exits"])
def test_what_handle_timeout_does(what: str) -> None:
    same(answers, what)


def ignored(module: ModuleType, name: str) -> list[Any]:
    """`serve_forever` has nothing to do with `timeout`."""
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)), {"timeout": 0})
        server.rounds_left = 3
        play.transcript.returns("serve_forever", server.serve_forever, 0.001)
        return play.finish(server)


@pytest.mark.parametrize("name", servers())
def test_serve_forever_ignores_timeout(name: str) -> None:
    same(ignored, name)
