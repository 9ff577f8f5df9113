"""`ForkingMixIn`: who forks, who collects, and how a child ends.

Much of it is played with stand-ins for the system's calls, so that both sides of a fork can be looked
at in one process.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import Stage, stage
from tests.differential.test_requests import style_of

FORKING = servers(kinds=("Forking",))


class Exited(BaseException):
    """What `os._exit` does here."""


@contextmanager
def system(play: Stage, pids: list[Any], answers: dict[int, list[Any]] | None = None) -> Iterator[None]:
    """`os.fork` gives *pids* in turn; `os.waitpid` of each pid gives its *answers* in turn, then that it
    has ended (of any: that there is none). An exception is raised."""
    answers = {pid: list(given) for pid, given in (answers or {}).items()}
    left = list(pids)

    def fork() -> int:
        result = left.pop(0)
        play.transcript.note("fork", result)
        if isinstance(result, BaseException):
            raise result
        return int(result)

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        none: Any = ChildProcessError(10, "none") if pid < 0 else pid
        result = answers[pid].pop(0) if answers.get(pid) else none
        play.transcript.note("waitpid", pid, options, result)
        if isinstance(result, BaseException):
            raise result
        return result, 0

    def leave(status: int) -> None:
        play.transcript.note("_exit", status)
        raise Exited

    with (
        mock.patch.object(os, "fork", fork),
        mock.patch.object(os, "waitpid", waitpid),
        mock.patch.object(os, "_exit", leave),
    ):
        yield


def in_the_parent(module: ModuleType, name: str, requests: int) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(style_of(name)))
        play.transcript.note("children", server.active_children)
        with system(play, [101, 102, 103]):
            for _ in range(requests):
                play.client(server)
                play.drive(server, "handle_request")
                play.transcript.note("children", server.active_children, type(server.active_children))
            play.transcript.returns("closed", server.server_close)
        play.transcript.note("children", server.active_children)
        return play.finish(server)


@pytest.mark.parametrize("requests", [0, 1, 3])
@pytest.mark.parametrize("name", FORKING)
def test_in_the_parent(name: str, requests: int) -> None:
    same(in_the_parent, name, requests)


def in_the_child(module: ModuleType, name: str, driver: str, where: str, what: Any) -> list[Any]:
    with stage(module) as play:

        def fail(*args: Any) -> Any:
            raise what("no")

        fails = dict.fromkeys(where.split(), fail)
        handler = play.handler(style_of(name), **{"handle": fail} if "handle" in fails else {})
        overrides = {each: fails[each] for each in fails if each != "handle"}
        server = play.server(name, handler, overrides)
        play.client(server)
        with system(play, [0]):
            play.drive(server, driver)
            play.transcript.note("children", server.active_children)
        return play.finish(server)


@pytest.mark.parametrize("what", [ValueError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize(
    "where",
    [
        "",
        "handle",
        "finish_request",
        "shutdown_request",
        "close_request",
        "handle handle_error",
        "handle shutdown_request",
        "handle handle_error shutdown_request",
    ],
)
@pytest.mark.parametrize("name", ["ForkingTCPServer", "ForkingUnixDatagramServer"])
def test_in_the_child(name: str, where: str, what: Any) -> None:
    same(in_the_child, name, "handle_request", where, what)


def collected(
    module: ModuleType, active: Any, answers: dict[int, list[Any]], attributes: dict[str, Any], call: str
) -> list[Any]:
    with stage(module) as play:
        note = play.transcript.note
        server = play.server("ForkingTCPServer", play.handler(), attributes)
        server.active_children = active if active is None else set(active)
        before = server.active_children
        server.rounds_left = 100
        with system(play, [], answers):
            if call == "blocking":
                play.transcript.returns(call, server.collect_children, blocking=True)
            elif call == "not blocking":
                play.transcript.returns(call, server.collect_children, blocking=False)
            elif call == "positional":
                play.transcript.returns(call, server.collect_children, True)
            else:
                play.transcript.returns(call, getattr(server, call))
        note("left", server.active_children, before is server.active_children)
        server.active_children = None
        return play.finish(server)


NOT_YET: list[Any] = [0]
GONE: list[Any] = [ChildProcessError(10, "none")]
REFUSED: list[Any] = [OSError(22, "no")]
CALLS = (
    "collect_children",
    "blocking",
    "not blocking",
    "positional",
    "handle_timeout",
    "service_actions",
    "server_close",
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "active",
    [None, [], [7]],
    ids=str,
)
@pytest.mark.parametrize("answer", [[], NOT_YET, GONE, REFUSED], ids=str)
def test_collecting_one(call: str, active: Any, answer: list[Any]) -> None:
    same(collected, active, {7: answer}, {}, call)


@pytest.mark.parametrize("block", [True, False, None])
@pytest.mark.parametrize("answers", [{}, {7: NOT_YET, 8: NOT_YET}, {7: GONE, 8: REFUSED}], ids=str)
def test_block_on_close(block: Any, answers: dict[int, list[Any]]) -> None:
    same(collected, [7, 8], answers, {"block_on_close": block}, "server_close")


def really(module: ModuleType, name: str, what: str) -> list[Any]:
    """Real children: their exit status, and what the parent has of the request meanwhile."""
    with stage(module) as play:

        def handle(self: Any) -> None:
            if what == "raises":
                raise ValueError("no")
            if what == "exits":
                raise SystemExit(7)
            if what == "leaves":
                os._exit(5)
            if what == "children":
                play.transcript.note("in the child", self.server.active_children)
            play.transcript.note("server", self.server.fileno() >= 0)

        server = play.server(name, play.handler(handle=handle))
        for _ in range(2):
            play.client(server)
            play.drive(server, "handle_request")
            play.settle()
            play.transcript.note("children", len(server.active_children))
            play.transcript.returns("service_actions", getattr(module, name).service_actions, server)
            play.transcript.note("children", len(server.active_children))
        return play.finish(server)


@pytest.mark.parametrize("what", ["works", "raises", "exits", "leaves", "children"])
@pytest.mark.parametrize("name", ["ForkingTCPServer", "ForkingUDPServer"])
def test_how_a_child_ends(name: str, what: str) -> None:
    same(really, name, what)


def by_the_mix_in_alone(module: ModuleType, child: bool) -> list[Any]:
    """The mix-in on a base that is no server of the module's."""
    with stage(module) as play:
        note = play.transcript.note

        class Base:
            def finish_request(self, *args: Any) -> None:
                note("finish_request", *args)

            def shutdown_request(self, *args: Any) -> None:
                note("shutdown_request", *args)

            def close_request(self, *args: Any) -> None:
                note("close_request", *args)

            def server_close(self) -> None:
                note("server_close")

        server = type("Server", (module.ForkingMixIn, Base), {})()
        with system(play, [0 if child else 55]):
            play.transcript.returns("process", server.process_request, "request", "address")
            play.transcript.returns("service_actions", server.service_actions)
            play.transcript.returns("handle_timeout", server.handle_timeout)
            play.transcript.returns("close", server.server_close)
        return play.lines()


@pytest.mark.parametrize("child", [False, True])
def test_the_mix_in_by_itself(child: bool) -> None:
    same(by_the_mix_in_alone, child)


def replaced(module: ModuleType) -> list[Any]:
    """A program may keep children of its own in `active_children`, and collect in its own way."""
    with stage(module) as play:
        calls: list[Any] = []

        def collect_children(self: Any, *, blocking: bool = False) -> None:
            calls.append(blocking)

        server = play.server(
            "ForkingTCPServer", play.handler(), {"collect_children": collect_children, "timeout": 0}
        )
        server.active_children = own = {3}
        with system(play, [101]):
            play.client(server)
            play.drive(server, "serve_forever")
            play.transcript.returns("handle_timeout", server.handle_timeout)
        play.transcript.note("children", server.active_children, server.active_children is own)
        lines = play.finish(server)
        return [*lines, calls]


def test_collecting_in_ones_own_way() -> None:
    same(replaced)
