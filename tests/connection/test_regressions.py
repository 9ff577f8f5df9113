"""Proves that what once went wrong on a connection stays right; each test failed before its mending."""

import os
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    EventHandler,
    Exactly,
    FramingError,
    Limits,
    Line,
    RequestState,
    StateRequestHandler,
)
from tests.support.pairs import House
from tests.support.servers import FORKS


@pytest.fixture
def house():
    with House() as house:
        yield house


class Upper(StateRequestHandler):
    """Lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


class AsyncUpper(AsyncStreamRequestHandler):
    """The same as a coroutine."""

    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())


every_style = pytest.mark.parametrize("style", [Upper, AsyncUpper])


def script(body, **attributes):
    """A handler class whose `handle` is *body*; the handler keeps a list `heard`."""

    class Handler(AsyncStreamRequestHandler):
        def __init__(self, *args):
            self.heard = []
            super().__init__(*args)

        async def handle(self):
            await body(self)

    for name, value in attributes.items():
        setattr(Handler, name, value)
    return Handler


# What has ended is let go


@every_style
@pytest.mark.parametrize("how", ["served", "aborted"])
def test_an_ended_connection_is_kept_alive_by_nobody(house, style, how):
    handler, peer = house.connect(style)
    assert house.ask(peer, b"hello\n") == b"HELLO\n"
    if how == "served":
        peer.end()
    else:
        handler.abort()
    house.settle()
    assert handler.state is RequestState.CLOSED
    (server,) = house.servers
    server.handlers.clear()
    ended = weakref.ref(handler)
    del handler
    assert ended() is None


@every_style
def test_closing_the_reactor_closes_no_connection_that_has_ended(house, style):
    closed = []

    class Handler(style):
        def close(self):
            closed.append(self)
            super().close()

    _, peer = house.connect(Handler)
    assert house.ask(peer, b"hello\n") == b"HELLO\n"
    peer.end()
    house.settle()
    before = len(closed)
    assert before
    house.reactor.close()
    assert len(closed) == before


def test_a_handler_of_ones_own_that_unregistered_is_not_closed_again(house):
    closed = []

    class Own(EventHandler):
        def __init__(self, sock):
            self.socket = sock

        def fileno(self):
            return self.socket.fileno()

        def close(self):
            closed.append(self)
            house.reactor.unregister(self)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        handler = Own(ours)
        house.reactor.register(handler)
        handler.close()
        house.reactor.close()
        assert closed == [handler]


# After a timeout that the coroutine caught


def test_after_a_timeout_the_next_wait_has_its_own_framing(house):
    async def body(self):
        await self.rfile.readline()
        try:
            await self.rfile.readexactly(10)
        except TimeoutError:
            self.wfile.write(b"late\n")
        self.heard.append(await self.rfile.readline())

    handler, peer = house.connect(script(body, timeout=5.0))
    assert house.ask(peer, b"a\n") == b""
    house.advance(5.0)
    assert peer.read() == b"late\n"
    assert house.ask(peer, b"b\n0123456789") == b""
    assert handler.heard == [b"b\n"]


def test_after_a_timeout_what_had_come_already_is_given_at_once(house):
    async def body(self):
        try:
            await self.rfile.readline()
        except TimeoutError:
            self.heard.append(await self.rfile.read(10))

    handler, peer = house.connect(script(body, timeout=5.0))
    assert house.ask(peer, b"abc") == b""
    house.advance(5.0)
    assert handler.heard == [b"abc"]


# The end of the output


@pytest.mark.parametrize("where", ["in a delivery", "outside"])
def test_a_write_after_write_eof_fails_where_it_is_made_and_harms_nothing(house, where):
    class Handler(StateRequestHandler):
        def start(self):
            self.heard = []
            self.expect(Line(), self.line)

        def line(self, line):
            self.heard.append(line)
            if line == b"end\n":
                self.write(b"last\n")
                end(self)

    def end(handler):
        handler.write_eof()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="write_eof"):
                handler.write(b"too late\n")

    handler, peer = house.connect(Handler)
    if where == "outside":
        end(handler)
        assert house.ask(peer, b"hello\n") == b""
    else:
        assert house.ask(peer, b"end\n") == b"last\n"
    assert peer.eof
    assert handler.owed == 0
    handler.hold()
    assert handler.state is RequestState.HANDLING
    handler.release()
    house.settle()
    assert handler.state is RequestState.IDLE
    assert house.ask(peer, b"more\n") == b""
    assert handler.heard[-1] == b"more\n"


# Limits


def test_a_close_that_raises_does_not_end_the_deadlines_of_the_others(house):
    class Faulty(Upper):
        def close(self):
            super().close()
            raise ValueError("an overridden close")

    limits = Limits(idle_timeout=5.0)
    house.connect(Faulty, limits=limits)
    _, second = house.connect(Upper, limits=limits)
    house.advance(3.0)
    _, third = house.connect(Upper, limits=limits)
    house.advance(3.0)
    assert second.read() == b"" and second.eof
    assert third.read() == b"" and not third.eof
    house.advance(3.0)
    assert third.read() == b"" and third.eof
    assert len(house.take_errors() + house.take_error_lines()) == 1


def test_the_time_of_one_request_is_not_charged_to_the_next_when_the_reply_had_to_wait(house):
    class Four(StateRequestHandler):
        def start(self):
            self.expect(Exactly(4), self.four)

        def four(self, data):
            self.write(data * 25)

    limits = Limits(request_timeout=10.0, send_timeout=None)
    handler, peer = house.connect(Four, limits=limits, spied=True)
    assert house.ask(peer, b"ab") == b""
    house.advance(9.0)
    handler.socket.room = 10
    peer.send(b"cdef")
    house.turn(2)
    assert handler.state is RequestState.WRITING
    handler.socket.room = None
    house.settle()
    assert peer.read() == b"abcd" * 25
    assert handler.state is RequestState.READING
    house.advance(9.0)
    assert house.ask(peer, b"gh") == b"efgh" * 25 and not peer.eof


class Deaf(StateRequestHandler):
    """Says nothing of its errors and goes on."""

    def start(self):
        self.heard = []
        self.expect(Line(limit=10), self.heard.append)

    def handle_exception(self, exc):
        self.heard.append(exc)


def test_after_a_message_that_is_refused_nothing_more_is_kept(house):
    handler, peer = house.connect(Deaf)
    for _ in range(50):
        peer.send(b"x" * 10_000)
        house.turn(2)
        assert len(handler._inbox) == 0
    assert [type(exc) for exc in handler.heard] == [FramingError]


# What completes a request


@pytest.mark.parametrize("then", ["returns", "sleeps", "reads on"])
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_the_end_of_the_input_is_no_request(house, lines, then):
    async def body(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())
        if then == "sleeps":
            await self.sleep(1.0)
        if then == "reads on":
            self.heard.append(await self.rfile.readline())

    handler, peer = house.connect(script(body))
    for _ in range(lines):
        assert house.ask(peer, b"hello\n") == b"HELLO\n"
    peer.end()
    house.settle()
    house.advance(1.0)
    assert handler.state is RequestState.CLOSED
    assert handler.completed == lines
    assert house.reactor.requests.counters.completed == lines


def test_what_others_write_does_not_complete_a_coroutines_request(house):
    async def body(self):
        for _ in range(3):
            await self.rfile.readline()
        self.heard.append(self.completed)
        self.wfile.write(b"done\n")
        await self.rfile.readline()

    handler, peer = house.connect(script(body))
    assert house.ask(peer, b"a\n") == b""
    handler.write(b"push\n")
    assert house.ask(peer, b"b\n") == b"push\n"
    assert house.ask(peer, b"c\n") == b"done\n"
    assert handler.heard == [0]
    assert handler.completed == 1


# Work elsewhere


def test_an_executor_that_is_shut_down_raises_where_it_is_awaited(house):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()

    async def body(self):
        try:
            await self.offload(len, "abc", executor=executor)
        except RuntimeError as exc:
            self.heard.append(type(exc))
        self.wfile.write(await self.rfile.readline())

    handler, peer = house.connect(script(body))
    assert handler.heard == [RuntimeError]
    assert house.ask(peer, b"goes on\n") == b"goes on\n"


# Draining


@every_style
def test_draining_is_complete_when_only_peers_that_are_slow_to_go_are_left(style):
    with House(Limits(drain_timeout=5.0, linger_timeout=100.0)) as house:
        handler, peer = house.connect(style)
        assert house.ask(peer, b"hello\n") == b"HELLO\n"
        house.reactor.drain()
        house.turn(2)
        assert handler.state is RequestState.CLOSING
        house.advance(5.0)
        house.reactor.run()  # returns, and does not raise SystemExit
        assert handler.state is RequestState.CLOSED
        assert not house.lines()


# A forked child


@FORKS
@pytest.mark.parametrize("call", ["write", "write_eof", "hold", "pause_reading", "close", "abort"])
def test_a_forked_child_cannot_touch_the_connection_and_the_parents_goes_on(house, call):
    class Forks(Upper):
        def line(self, line):
            child = os.fork()
            if not child:
                try:
                    getattr(self, call)(*([b"from the child\n"] if call == "write" else []))
                except RuntimeError:
                    os._exit(7)
                finally:
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 7
            super().line(line)

    handler, peer = house.connect(Forks)
    assert house.ask(peer, b"first\n") == b"FIRST\n"
    assert house.ask(peer, b"second\n") == b"SECOND\n"
    assert not peer.eof and handler.state is RequestState.IDLE


# Interrupts


@every_style
@pytest.mark.parametrize("when", ["before", "in"])
def test_an_interrupt_at_the_closing_call_loses_nothing_and_makes_none_twice(style, when, monkeypatch):
    closings = []

    class Handler(style):
        def finish(self):
            closings.append(self)
            if when == "in":
                raise KeyboardInterrupt

    def interrupted(callback, args):
        if when == "before" and getattr(callback, "__name__", "") == "_ended":
            monkeypatch.undo()
            raise KeyboardInterrupt
        call(callback, args)

    with House() as house:
        handler, peer = house.connect(Handler)
        house.ask(peer, b"hello\n")
        call = house.reactor._call
        monkeypatch.setattr(house.reactor, "_call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            handler.abort()
            house.reactor.handle_events(0)
        house.reactor.close()
        assert closings == [handler]
        assert handler.server.ended == [handler.request] and handler.request.fileno() == -1
