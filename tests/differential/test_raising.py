"""What is raised, where, and who hears of it."""

import errno
import os
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import Stage, stage
from tests.differential.test_requests import DRIVERS, style_of

IN_HANDLER = ("setup", "handle", "finish")
IN_SERVER = (
    "get_request",
    "verify_request",
    "process_request",
    "finish_request",
    "shutdown_request",
    "close_request",
    "service_actions",
)

RAISED = {
    "ValueError": lambda: ValueError("no"),
    "OSError": lambda: OSError(errno.EIO, "no"),
    "BrokenPipeError": lambda: BrokenPipeError(errno.EPIPE, "no"),
    "StopIteration": lambda: StopIteration(),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
    "GeneratorExit": lambda: GeneratorExit(),
}
#: Each child costs a fork.
FEW = ("ValueError", "BrokenPipeError", "KeyboardInterrupt")


def raising(play: Stage, base: Any, hook: str, what: str, late: bool = False) -> Callable[..., Any]:
    """An override of *hook* that raises; if *late*, when the overridden method has done its work.
    Not before threads and children have finished, for the server's answer is to shut down what they use."""

    def method(self: Any, *args: Any, **options: Any) -> Any:
        if late:
            getattr(base, hook)(self, *args, **options)
        play.settle()
        raise RAISED[what]()

    return method


def failing(
    module: ModuleType, name: str, driver: str, hooks: tuple[str, ...], what: str, late: bool = False
) -> list[Any]:
    with stage(module) as play:
        style = style_of(name)
        bases = dict.fromkeys(IN_HANDLER, getattr(module, style))
        made = {
            hook: raising(
                play, bases.get(hook, getattr(module, name)), hook, what, late and hook != "get_request"
            )
            for hook in hooks
        }
        handler = play.handler(style, **{hook: made[hook] for hook in hooks if hook in IN_HANDLER})
        server = play.server(name, handler, {hook: made[hook] for hook in hooks if hook not in IN_HANDLER})
        play.client(server)
        play.drive(server, driver)
        play.transcript.note("alive", server.fileno() >= 0)
        return play.finish(server)


@pytest.mark.parametrize("what", RAISED)
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("hook", IN_HANDLER + IN_SERVER)
@pytest.mark.parametrize("name", servers("TCP", kinds=("", "Threading")))
def test_raised_in(name: str, hook: str, driver: str, what: str) -> None:
    same(failing, name, driver, (hook,), what)


@pytest.mark.parametrize("what", [*FEW, "SystemExit"])
@pytest.mark.parametrize("hook", IN_HANDLER + IN_SERVER)
def test_raised_in_a_forking_server(hook: str, what: str) -> None:
    same(failing, "ForkingTCPServer", "serve_forever", (hook,), what)


@pytest.mark.parametrize("what", FEW)
@pytest.mark.parametrize("hook", IN_HANDLER + IN_SERVER)
@pytest.mark.parametrize(
    "name", [*servers("UDP"), *servers("UnixStream", "UnixDatagram", kinds=("", "Threading"))]
)
def test_raised_in_the_other_servers(name: str, hook: str, what: str) -> None:
    same(failing, name, "handle_request", (hook,), what)


@pytest.mark.parametrize("what", FEW)
@pytest.mark.parametrize("hook", IN_HANDLER + IN_SERVER)
@pytest.mark.parametrize("name", servers("TCP"))
def test_raised_after_the_work_of(name: str, hook: str, what: str) -> None:
    same(failing, name, "serve_forever", (hook,), what, late=True)


@pytest.mark.parametrize("what", FEW)
@pytest.mark.parametrize(
    "hooks",
    [
        ("handle", "finish"),
        ("handle", "handle_error"),
        ("handle", "shutdown_request"),
        ("handle", "close_request"),
        ("handle", "handle_error", "shutdown_request"),
        ("setup", "handle_error", "close_request"),
        ("process_request", "handle_error"),
        ("process_request", "shutdown_request"),
        ("process_request", "handle_error", "shutdown_request"),
        ("verify_request", "shutdown_request"),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("name", servers("TCP"))
def test_raised_in_several(name: str, hooks: tuple[str, ...], what: str) -> None:
    same(failing, name, "handle_request", hooks, what)


def not_made(module: ModuleType, name: str, hook: str, what: str, close_too: bool) -> list[Any]:
    """The constructor fails: the socket is closed by `server_close`."""
    with stage(module) as play:
        overrides = {hook: raising(play, getattr(module, name), hook, what)}
        if close_too:
            overrides["server_close"] = raising(
                play, getattr(module, name), "server_close", "KeyboardInterrupt", True
            )
        play.transcript.returns("made", play.server, name, play.handler(), overrides)
        (server,) = play.servers
        play.transcript.note("fileno", server.socket.fileno(), server.RequestHandlerClass)
        return play.lines()


@pytest.mark.parametrize("close_too", [False, True])
@pytest.mark.parametrize("what", RAISED)
@pytest.mark.parametrize("hook", ["server_bind", "server_activate"])
@pytest.mark.parametrize("name", servers(kinds=("", "Threading")))
def test_raised_in_the_constructor(name: str, hook: str, what: str, close_too: bool) -> None:
    same(not_made, name, hook, what, close_too)


def nested(module: ModuleType, name: str) -> list[Any]:
    """In `handle_error` the exception is the one being handled, and it is not chained to another."""
    with stage(module) as play:

        def handle(self: Any) -> None:
            raise ValueError("in handle")

        def handle_error(self: Any, request: Any, client_address: Any) -> None:
            exc = sys.exception()
            assert exc is not None
            play.transcript.note("handling", exc, str(exc), exc.__context__, exc.__cause__)

        server = play.server(name, play.handler(handle=handle), {"handle_error": handle_error})
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", servers("TCP", "UnixDatagram"))
def test_what_handle_error_can_see(name: str) -> None:
    same(nested, name)


def default_handle_error(module: ModuleType, name: str) -> list[Any]:
    """The default returns None and swallows nothing else; it works outside an ``except`` too."""
    with stage(module) as play:
        server = play.server(name, play.handler())
        play.transcript.returns("outside", server.handle_error, None, ("peer", 1))
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            play.transcript.returns("inside", server.handle_error, None, ("peer", 1))
        return play.finish(server)


@pytest.mark.parametrize("name", servers("TCP", "UDP", kinds=("",)))
def test_handle_error_by_itself(name: str) -> None:
    same(default_handle_error, name)


def thread_that_does_not_start(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler())
        play.client(server)
        with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
            play.drive(server, "handle_request")
        lines = play.transcript.lines()
        socket_states = [request.fileno() < 0 for request in play.requests]
        return [*lines, socket_states]


@pytest.mark.parametrize("name", servers(kinds=("Threading",)))
def test_a_thread_that_does_not_start(name: str) -> None:
    same(thread_that_does_not_start, name)


def fork_that_fails(module: ModuleType, name: str) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler())
        play.client(server)
        with mock.patch.object(os, "fork", side_effect=BlockingIOError(errno.EAGAIN, "no more processes")):
            play.drive(server, "handle_request")
        play.transcript.note("children", server.active_children)
        return play.finish(server)


@pytest.mark.parametrize("name", servers(kinds=("Forking",)))
def test_a_fork_that_fails(name: str) -> None:
    same(fork_that_fails, name)
