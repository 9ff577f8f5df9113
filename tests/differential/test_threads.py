"""`ThreadingMixIn`: which threads there are, which are kept, and which are waited for."""

import threading
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import stage
from tests.differential.test_requests import style_of
from tests.support.servers import PATIENCE

THREADING = servers(kinds=("Threading",))


class Doors:
    """Requests that wait, each behind a door of its own."""

    def __init__(self, count: int) -> None:
        self.inside = threading.Semaphore(0)
        self.open = [threading.Event() for _ in range(count)]
        self.next = iter(range(count))

    def handle(self, handler: Any) -> None:
        number = next(self.next)
        self.inside.release()
        assert self.open[number].wait(PATIENCE)


def kept(module: ModuleType, name: str, attributes: dict[str, Any]) -> list[Any]:
    """What `_threads` looks like while requests come and go."""
    with stage(module) as play:
        doors = Doors(3)

        def handle(self: Any) -> None:
            doors.handle(self)

        server = play.server(name, play.handler(handle=handle), attributes)
        note = play.transcript.note

        def look(when: str) -> None:
            threads = server._threads
            note(when, isinstance(threads, list), "_threads" in vars(server))
            if isinstance(threads, list):
                note(len(threads), [each.is_alive() for each in threads], [each.daemon for each in threads])

        try:
            look("at first")
            for number in range(3):
                play.client(server)
                play.drive(server, "handle_request")
                assert doors.inside.acquire(timeout=PATIENCE)
                look(f"{number} inside")
                if number == 0:
                    (first,) = play.threads()
                if number == 1:
                    doors.open[0].set()
                    first.join(PATIENCE)
                    look("one has gone")
        finally:
            for door in doors.open:
                door.set()
        play.settle()
        look("all gone")
        play.transcript.returns("closed", server.server_close)
        look("closed")
        return play.finish(server)


ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"daemon_threads": True},
    {"block_on_close": False},
    {"daemon_threads": True, "block_on_close": False},
]


@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=str)
@pytest.mark.parametrize("name", THREADING)
def test_threads_that_are_kept(name: str, attributes: dict[str, Any]) -> None:
    same(kept, name, attributes)


def closing(module: ModuleType, name: str, attributes: dict[str, Any]) -> list[Any]:
    """`server_close` waits for those that are no daemons, after the listener is closed."""
    with stage(module) as play:
        doors = Doors(2)
        transcript = play.transcript

        def handle(self: Any) -> None:
            doors.handle(self)

        server = play.server(name, play.handler(handle=handle), attributes)
        real = threading.Thread.join
        mine = set(play.threads())

        def join(thread: threading.Thread, timeout: Any = None) -> None:
            if thread in set(play.threads()) - mine and not opened:
                transcript.note("waits", timeout, "listener closed", server.socket.fileno() < 0)
                opened.append(True)
                for door in doors.open:
                    door.set()
            real(thread, timeout)

        opened: list[bool] = []
        try:
            for _ in range(2):
                play.client(server)
                play.drive(server, "handle_request")
                assert doors.inside.acquire(timeout=PATIENCE)
            with mock.patch.object(threading.Thread, "join", join):
                transcript.returns("closed", server.server_close)
            transcript.note("waited", bool(opened))
            if opened:
                transcript.note("alive", [each.is_alive() for each in play.threads()])
        finally:
            for door in doors.open:
                door.set()
        play.settle()
        transcript.returns("closed again", server.server_close)
        return play.lines()


@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=str)
@pytest.mark.parametrize("name", servers("TCP", "UnixStream", kinds=("Threading",)))
def test_what_server_close_waits_for(name: str, attributes: dict[str, Any]) -> None:
    same(closing, name, attributes)


def changed(module: ModuleType, first: bool, then: bool) -> list[Any]:
    """`daemon_threads` and `block_on_close` are read for each request."""
    with stage(module) as play:
        doors = Doors(2)

        def handle(self: Any) -> None:
            doors.handle(self)

        server = play.server("ThreadingTCPServer", play.handler(handle=handle))
        server.block_on_close = first
        try:
            for _ in range(2):
                play.client(server)
                play.drive(server, "handle_request")
                assert doors.inside.acquire(timeout=PATIENCE)
                play.transcript.note(isinstance(server._threads, list))
                if isinstance(server._threads, list):
                    play.transcript.note(len(server._threads))
                server.block_on_close = then
        finally:
            for door in doors.open:
                door.set()
        return play.finish(server)


@pytest.mark.parametrize("then", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_block_on_close_that_changes(first: bool, then: bool) -> None:
    same(changed, first, then)


def lists(module: ModuleType, part: str) -> list[Any]:
    """`_threads` as programs use it: something to append to and to join."""
    with stage(module) as play:
        transcript = play.transcript
        server = play.server("ThreadingTCPServer", play.handler())
        if part != "before":
            play.client(server)
            play.drive(server, "handle_request")
            play.settle()
        threads = server._threads
        idle = threading.Thread(target=transcript.note, args=("ran",))
        daemon = threading.Thread(target=transcript.note, args=("ran",), daemon=True)
        if part in ("before", "append"):
            for thread in (idle, daemon):
                thread.start()
                thread.join()
                transcript.returns("append", threads.append, thread)
                transcript.note("holds", thread in list(threads) if isinstance(threads, list) else None)
        if part == "join":
            transcript.returns("join", threads.join)
        if part == "reap":
            for thread in list(threads):
                thread.join(PATIENCE)  # one that `threading` knows no more may live for a moment yet
            transcript.returns("reap", threads.reap)
            transcript.note(len(threads))
        if part == "pop_all":
            transcript.note(len(transcript.returns("pop_all", threads.pop_all)), len(threads))
        transcript.returns("join", threads.join)
        return play.finish(server)


@pytest.mark.parametrize("part", ["before", "append", "join", "reap", "pop_all"])
def test_the_list_of_threads(part: str) -> None:
    same(lists, part)


def replaced(module: ModuleType) -> list[Any]:
    """A program may put its own collection in place of `_threads`."""
    with stage(module) as play:
        note = play.transcript.note

        class Own:
            def append(self, thread: threading.Thread) -> None:
                note("append", thread.daemon, thread.is_alive(), thread.ident is None)

            def join(self) -> None:
                note("join")

        server = play.server(
            "ThreadingTCPServer", play.handler(), {"_threads": Own(), "block_on_close": False}
        )
        play.client(server)
        play.drive(server, "handle_request")
        play.settle()
        return play.finish(server)


def test_a_collection_of_ones_own() -> None:
    same(replaced)


def thread_made(module: ModuleType, attributes: dict[str, Any]) -> list[Any]:
    """How the thread is made: the arguments, and what is set on it before it starts."""
    with stage(module) as play:
        transcript = play.transcript

        class Made:
            daemon = "not set"

            def __init__(self, *args: Any, **options: Any) -> None:
                self.target = options.get("target")
                transcript.note("Thread", args, sorted(options), options.get("args"))
                transcript.note("target", getattr(self.target, "__name__", None))

            def start(self) -> None:
                transcript.note("start", self.daemon)

            def is_alive(self) -> bool:
                return True

            def join(self) -> None:
                transcript.note("join")

        server = play.server("ThreadingTCPServer", play.handler(), attributes)
        for _ in range(2):
            play.client(server)
            with mock.patch.object(threading, "Thread", Made):
                play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize(
    "attributes", [*ATTRIBUTES, {"daemon_threads": 1}, {"daemon_threads": None}], ids=str
)
def test_how_a_thread_is_made(attributes: dict[str, Any]) -> None:
    same(thread_made, attributes)


def by_the_mix_in_alone(module: ModuleType, hook: str) -> list[Any]:
    """The mix-in on a base that is no server of the module's."""
    with stage(module) as play:
        note = play.transcript.note

        class Base:
            def finish_request(self, *args: Any) -> None:
                note("finish_request", *args)
                if hook == "raises":
                    raise ValueError("no")
                if hook == "exits":
                    raise SystemExit(3)

            def handle_error(self, *args: Any) -> None:
                note("handle_error", *args)

            def shutdown_request(self, *args: Any) -> None:
                note("shutdown_request", *args)

            def server_close(self) -> None:
                note("server_close")

        server = type("Server", (module.ThreadingMixIn, Base), {})()
        if hook != "closes":
            play.transcript.returns("thread", server.process_request_thread, "request", "address")
            play.transcript.returns("process", server.process_request, "request", "address")
            play.settle()
        play.transcript.returns("close", server.server_close)
        return play.lines()


@pytest.mark.parametrize("hook", ["works", "raises", "exits", "closes"])
def test_the_mix_in_by_itself(hook: str) -> None:
    same(by_the_mix_in_alone, hook)


def overridden(module: ModuleType, name: str) -> list[Any]:
    """`process_request_thread` is the hook that a thread runs."""
    with stage(module) as play:

        def process_request_thread(self: Any, request: Any, client_address: Any) -> None:
            play.transcript.note("own", threading.current_thread().daemon)
            getattr(module, name).process_request_thread(self, request, client_address)

        overrides = {"process_request_thread": process_request_thread, "daemon_threads": True}
        server = play.server(name, play.handler(style_of(name)), overrides)
        play.client(server)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", THREADING)
def test_process_request_thread_overridden(name: str) -> None:
    same(overridden, name)
