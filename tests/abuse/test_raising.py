"""Proves that a handler or a hook that raises, whatever and wherever it is, costs its own connection and
no other: what was written before arrives, the error is told once, the rest are served as ever.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import contextmanager

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    ForkingTCPServer,
    Limits,
    Line,
    ReactorTCPServer,
    StateRequestHandler,
    StreamRequestHandler,
    ThreadingTCPServer,
)
from tests.support.servers import FORKS, Channel, connected, nothing_left, serving, telling_errors


class Odd(BaseException):
    """No `Exception`, and nobody's but the handler's own."""


#: Types and arguments, for an exception that is kept keeps what it passed through.
ORDINARY = (
    (LookupError, "a bug"),
    (StopAsyncIteration, "a bug"),
    (MemoryError, "a bug"),
    (RecursionError, "a bug"),
    (EOFError, "a bug"),
    # These are what a socket says, but here it is another one than the connection's.
    (BlockingIOError, errno.EAGAIN, "not ready"),
    (InterruptedError, errno.EINTR, "interrupted"),
    (OSError, errno.EBADF, "a closed file"),
    (ConnectionResetError, errno.ECONNRESET, "another connection"),
    (BrokenPipeError, errno.EPIPE, "another connection"),
)
ODD = ((Odd, "a bug"), (GeneratorExit, "a bug"), (asyncio.CancelledError, "a bug"))


class Buggy:
    """A connection has the bug that its server has in stock when it is made: where it raises what."""

    def setup(self):
        super().setup()
        self.bug, self.server.bug = self.server.bug, (None, None)
        self.reach("setup")

    def reach(self, where):
        if self.bug[0] == where:
            kind, *args = self.bug[1]
            raise kind(*args)

    def finish(self):
        super().finish()
        self.reach("finish")


class States(Buggy, StateRequestHandler):
    def start(self):
        self.reach("beginning")
        self.expect(Line(), self.answer)

    def answer(self, line):
        self.write(line.upper())
        if line == b"bad\n":
            self.reach("message")


class Coroutine(Buggy, AsyncStreamRequestHandler):
    async def handle(self):
        self.reach("beginning")
        async for line in self.rfile:
            self.wfile.write(line.upper())
            if line == b"bad\n":
                self.reach("message")


class Files(Buggy, StreamRequestHandler):
    def handle(self):
        self.reach("beginning")
        for line in self.rfile:
            self.wfile.write(line.upper())
            if line == b"bad\n":
                self.reach("message")


#: Where it raises, and what has been answered by then.
WHERE = {
    "setup": b"",
    "beginning": b"",
    "message": b"ONE\nBAD\n",
    "finish": b"ONE\nBAD\nTHREE\n",
}

SERVERS = [
    pytest.param(ReactorTCPServer, States, id="reactor-states"),
    pytest.param(ReactorTCPServer, Coroutine, id="reactor-coroutine"),
    *(
        pytest.param(cls, handler, id=f"{name}-{handler.__name__.lower()}", marks=marks)
        for cls, name, marks in (
            (ThreadingTCPServer, "threading", []),
            (ForkingTCPServer, "forking", [FORKS]),
        )
        for handler in (States, Coroutine, Files)
    ),
]


@contextmanager
def bystander(server):
    """Somebody who was there before, and is served afterwards as well; so are those who come later."""
    with connected(server) as peer:
        assert peer.ask(b"before\n") == b"BEFORE\n"
        yield
        assert peer.ask(b"after\n") == b"AFTER\n"
        with connected(server) as newcomer:
            assert newcomer.ask(b"new\n") == b"NEW\n"


def as_told(bug, handler, where):
    """What `handle_error` finds raised."""
    kind, *args = bug
    inside = where in ("beginning", "message") and issubclass(handler, AsyncStreamRequestHandler)
    if kind is StopIteration and inside:
        return "RuntimeError: coroutine raised StopIteration"  # Python sees to that
    return f"{kind.__name__}: {kind(*args)}"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("cls", "handler"), SERVERS)
def test_whatever_a_handler_raises_costs_its_own_connection(cls, handler, where):
    bugs = (*ORDINARY, (StopIteration, "a bug"), *ODD) if cls is ReactorTCPServer else ORDINARY
    with Channel() as errors:
        attributes = {"limits": Limits(), "bug": (None, None), "handle_error": telling_errors(errors)}
        with nothing_left(), serving(cls, handler, **attributes) as server, bystander(server):
            for bug in bugs:
                server.bug = where, bug
                with connected(server) as peer:
                    if WHERE[where]:
                        peer.send(b"one\nbad\nthree\n")
                        peer.half_close()
                    assert peer.rest() == WHERE[where], bug
                assert errors.hear() == as_told(bug, handler, where)
                server.bug = None, None  # a child has taken its own copy of it
        assert errors.silent()


def failing(hook, kind, *, having_done_its_work):
    """A hook that raises *kind* at its next call, if its server says so."""

    def hooked(self, *args):
        due, self.fails = self.fails, False
        if due and not having_done_its_work:
            raise kind("a bug")
        result = getattr(super(type(self), self), hook)(*args)
        if due:
            raise kind("a bug")
        return result

    return hooked


@pytest.mark.parametrize("late", [False, True], ids=["at-once", "having-done-its-work"])
@pytest.mark.parametrize("kind", [LookupError, BlockingIOError, Odd])
@pytest.mark.parametrize(
    "hook", ["verify_request", "process_request", "finish_request", "shutdown_request", "close_request"]
)
def test_whatever_a_hook_of_a_reactor_server_raises_costs_one_connection(hook, kind, late, caplog):
    kept = []  # so that no garbage collector can close what a hook has not

    class Kept(States):
        def __init__(self, *args):
            super().__init__(*args)
            kept.append(self)

    attributes = {"bug": (None, None), "fails": False, hook: failing(hook, kind, having_done_its_work=late)}
    with nothing_left(), serving(ReactorTCPServer, Kept, **attributes) as server, bystander(server):
        server.fails = True
        with connected(server) as peer:
            peer.half_close()
            assert peer.rest() == b""
    assert [record.exc_info[0] for record in caplog.records] == [kind]


# The end of a coroutine


class Resisting(AsyncStreamRequestHandler):
    """Its coroutine has other plans for its end than to end."""

    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())
            if line != b"resist\n":
                continue
            try:
                await self.sleep(3600)
            finally:
                await self.resist()

    async def resist(self):
        raise NotImplementedError


RESISTING = {}


def resisting(resist):
    name = resist.__name__
    RESISTING[name] = type(name, (Resisting,), {"resist": resist})


@resisting
async def raises(self):
    raise LookupError("a bug")


@resisting
async def raises_what_is_no_exception(self):
    raise Odd("a bug")


@resisting
async def sleeps(self):
    await self.sleep(3600)


@resisting
async def reads_and_offloads(self):
    try:
        await self.rfile.readline()
    finally:
        await self.offload(int)


@resisting
async def writes_and_closes(self):
    self.wfile.write(b"a last word\n")
    await self.wfile.drain()
    self.close()
    self.abort()
    raise LookupError("a bug")


@resisting
async def never_gives_up(self):
    while True:
        try:
            await self.sleep(3600)
        except GeneratorExit:
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of one that never gives up
@pytest.mark.parametrize("handler", RESISTING.values(), ids=RESISTING)
def test_a_coroutine_that_resists_its_end_ends_alone_and_leaves_nothing(handler):
    with Channel() as errors:
        attributes = {"handle_error": telling_errors(errors)}
        with nothing_left(), serving(ReactorTCPServer, handler, **attributes) as server, bystander(server):
            with connected(server) as peer:
                assert peer.ask(b"resist\n") == b"RESIST\n"
                server.reactor.call_soon_threadsafe(end_the_held, server)
                assert peer.rest() == b""
            assert errors.hear().partition(":")[0] in ("LookupError", "Odd", "RuntimeError")
        assert errors.silent()


def end_the_held(server):
    for row in server.reactor.requests:
        if row.held:
            row.abort()


# In the middle of a batch


class ClosingState(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        self.write(line.upper())
        if line == b"bad\n":
            self.close()


class Returning(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())
            if line == b"bad\n":
                return


@pytest.mark.parametrize(
    "cls", [ReactorTCPServer, ThreadingTCPServer, pytest.param(ForkingTCPServer, marks=FORKS)]
)
@pytest.mark.parametrize("handler", [ClosingState, Returning])
def test_what_was_answered_before_closing_in_the_middle_of_a_batch_arrives(cls, handler):
    with (
        nothing_left(),
        serving(cls, handler, limits=Limits()) as server,
        bystander(server),
        connected(server) as peer,
    ):
        peer.send(b"one\n" * 2000 + b"bad\n" + b"three\n" * 20_000)
        assert peer.rest() == b"ONE\n" * 2000 + b"BAD\n"


# What a handler class may not get wrong unnoticed


@pytest.mark.parametrize("cls", [ReactorTCPServer, ThreadingTCPServer])
def test_an_error_after_an_error_is_told_as_well(cls, caplog):
    class Handler(ClosingState):
        def answer(self, line):
            raise LookupError("the first")

        def finish(self):
            raise ArithmeticError("the second")

    with nothing_left(), serving(cls, Handler) as server, connected(server) as peer:
        peer.send(b"a line\n")
        peer.half_close()
        assert peer.rest() == b""
    told = "".join(record.getMessage() + str(record.exc_info[1].__context__) for record in caplog.records)
    told += "".join(str(record.exc_info[1]) for record in caplog.records)
    assert "the first" in told and "the second" in told


def test_handlers_that_call_themselves_equal_are_refused_or_stay_apart():
    try:

        class User(ClosingState):
            def __eq__(self, other):
                return isinstance(other, User)

            def __hash__(self):
                return 1

    except TypeError:
        return
    with (
        nothing_left(),
        serving(ReactorTCPServer, User) as server,
        connected(server) as one,
        connected(server) as another,
    ):
        assert one.ask(b"a line\n") == another.ask(b"a line\n") == b"A LINE\n"
        assert len(server.reactor.requests) == 2
