"""Proves what an `AsyncStreamRequestHandler` is promised: what it may await, what it gets, how it ends."""

import asyncio
import socket
import threading

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    Exactly,
    FramingError,
    IncompleteReadError,
    LengthPrefixed,
    Limits,
    Line,
    Netstring,
    RequestState,
    StateRequestHandler,
    ToEOF,
)
from tests.support.pairs import House, ManualExecutor


@pytest.fixture
def house():
    with House() as house:
        yield house


class Upper(AsyncStreamRequestHandler):
    """The design's example."""

    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())
            await self.wfile.drain()


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


def test_upper_answers_line_after_line(house):
    _, peer = house.connect(Upper)
    assert house.ask(peer, b"hello\n") == b"HELLO\n"
    assert house.ask(peer, b"and\nagain\nhalf") == b"AND\nAGAIN\n"
    assert house.ask(peer, b" a line\n") == b"HALF A LINE\n"
    peer.end()
    house.settle()
    assert peer.read() == b"" and peer.eof


def test_the_same_handler_class_runs_without_a_reactor_server():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"hello\nrest")
        theirs.shutdown(socket.SHUT_WR)
        Upper(ours, "peer", None)
        ours.close()
        assert theirs.makefile("rb").read() == b"HELLO\nREST"


def test_nothing_of_the_users_runs_before_the_constructor_has_returned(house):
    class Handler(AsyncStreamRequestHandler):
        def __init__(self, *args):
            super().__init__(*args)
            self.greeting = b"hello\n"

        async def handle(self):
            self.wfile.write(self.greeting)
            await self.rfile.readline()

    _, peer = house.join(Handler)
    assert peer.read() == b""
    house.turn()
    assert peer.read() == b"hello\n"


def test_ten_thousand_are_not_needed_to_see_that_nobody_waits_for_anybody(house):
    peers = [house.connect(Upper)[1] for _ in range(20)]
    for number, peer in enumerate(peers):
        peer.send(b"half %d" % number)
    house.settle()
    for peer in reversed(peers):
        peer.send(b"\n")
    house.settle()
    assert [peer.read() for peer in peers] == [b"HALF %d\n" % number for number in range(20)]


# What it may await


READS = {
    "readline": (lambda r: r.readline(), b"line\nmore", b"line\n"),
    "readexactly": (lambda r: r.readexactly(3), b"abcd", b"abc"),
    "readexactly of none": (lambda r: r.readexactly(0), b"", b""),
    "readuntil": (lambda r: r.readuntil(b"\r\n\r\n"), b"head\r\n\r\nbody", b"head\r\n\r\n"),
    "readuntil by default": (lambda r: r.readuntil(), b"line\nmore", b"line\n"),
    "read some": (lambda r: r.read(100), b"some", b"some"),
    "read some at most": (lambda r: r.read(3), b"some", b"som"),
    "read none": (lambda r: r.read(0), b"", b""),
    "read_message": (lambda r: r.read_message(Netstring()), b"5:hello,", b"hello"),
    "read_message, empty": (lambda r: r.read_message(LengthPrefixed(2)), b"\0\0", b""),
    "read_message, long line": (
        lambda r: r.read_message(Line(limit=70_000)),
        b"x" * 69_000 + b"\n",
        b"x" * 69_000 + b"\n",
    ),
}


#: What there is depends on the pieces that it came in; and 69,000 pieces are too many.
WHOLE_ONLY = {"read some", "read some at most", "read_message, long line"}


@pytest.mark.parametrize(
    ("name", "piecewise"),
    [(name, False) for name in READS] + [(name, True) for name in READS if name not in WHOLE_ONLY],
)
def test_a_read_gives_its_message_as_soon_as_it_is_there(house, name, piecewise):
    read, data, message = READS[name]

    async def body(self):
        self.heard.append(await read(self.rfile))
        await self.rfile.read()

    handler, peer = house.connect(script(body))
    for piece in [data[at : at + 1] for at in range(len(data))] if piecewise else [data]:
        peer.send(piece)
        house.settle()
    house.settle()
    assert handler.heard == [message]


AT_EOF = {
    "readline": (lambda r: r.readline(), b"rest"),
    "read some": (lambda r: r.read(100), b"rest"),
    "read all": (lambda r: r.read(), b"rest"),
    "read_message ToEOF": (lambda r: r.read_message(ToEOF()), b"rest"),
    "readexactly": (lambda r: r.readexactly(5), IncompleteReadError),
    "readuntil": (lambda r: r.readuntil(b"\r\n"), IncompleteReadError),
    "read_message": (lambda r: r.read_message(Exactly(5)), IncompleteReadError),
    "read_message Line": (lambda r: r.read_message(Line()), IncompleteReadError),
}


@pytest.mark.parametrize("name", AT_EOF)
@pytest.mark.parametrize("rest", [b"rest", b""], ids=["with a rest", "with nothing"])
def test_the_end_of_input_gives_the_rest_or_says_what_is_missing(house, name, rest):
    read, expected = AT_EOF[name]

    async def body(self):
        try:
            self.heard.append(await read(self.rfile))
        except EOFError as exc:
            self.heard.append((type(exc), exc.partial))
        self.heard.append(await self.rfile.readline())  # and again: nothing more
        self.wfile.write(b"goodbye")

    handler, peer = house.connect(script(body))
    if rest:
        peer.send(rest)
        house.settle()
    peer.end()
    house.settle()
    first = rest if expected == b"rest" else (expected, rest)
    assert handler.heard == [first, b""]
    assert peer.read() == b"goodbye" and peer.eof
    assert house.reactor.requests.counters.failed == 0


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\n", [b"a\n", b"b\n"]),
        (b"a\nrest", [b"a\n", b"rest"]),
        (b"", []),
        (b"\n", [b"\n"]),
    ],
)
def test_async_for_gives_every_line_and_the_unterminated_rest(house, data, lines):
    async def body(self):
        async for line in self.rfile:
            self.heard.append(line)
        self.wfile.write(b"goodbye")

    handler, peer = house.connect(script(body))
    peer.send(data)
    peer.end()
    house.settle()
    assert handler.heard == lines
    assert peer.read() == b"goodbye" and peer.eof


@pytest.mark.parametrize("lines", [254, 255, 256, 257])
def test_the_end_of_input_is_told_even_where_it_ends_a_delivery_of_256(house, lines):
    """The rest and the EOF are found in a delivery that begins with everything in the inbox."""

    async def body(self):
        await self.sleep(1)
        async for line in self.rfile:
            self.heard.append(line)
        self.wfile.write(b"goodbye")

    handler, peer = house.connect(script(body))
    peer.send(b"x\n" * lines + b"rest")
    house.turn()
    peer.end()
    house.turn()
    house.advance(1)
    house.settle()
    assert (len(handler.heard), handler.heard[-1]) == (lines + 1, b"rest")
    assert peer.read() == b"goodbye" and peer.eof


@pytest.mark.parametrize("calls", [255, 256, 257])
def test_input_that_ended_goes_on_ending_until_the_handler_returns(house, calls):
    async def body(self):
        for _ in range(calls):
            self.heard.append(await self.rfile.readline())
        self.wfile.write(b"goodbye")

    handler, peer = house.connect(script(body))
    peer.end()
    house.settle()
    assert handler.heard == [b""] * calls
    assert peer.read() == b"goodbye" and peer.eof


def test_reads_of_all_kinds_may_be_mixed(house):
    async def body(self):
        size = int(await self.rfile.readline())
        self.heard.append(await self.rfile.readexactly(size))
        self.heard.append(await self.rfile.readuntil(b";"))
        self.heard.append(await self.rfile.read_message(Netstring()))
        async for line in self.rfile:
            self.heard.append(line)
            break
        self.heard.append(await self.rfile.read())

    handler, peer = house.connect(script(body))
    peer.send(b"3\nabcde;1:f,g\nh")
    peer.end()
    house.settle()
    assert handler.heard == [b"abc", b"de;", b"f", b"g\n", b"h"]


def test_sleep_takes_its_time_and_holds_up_nobody_else(house):
    async def body(self):
        await self.rfile.readline()
        await self.sleep(5)
        self.wfile.write(b"rested\n")
        await self.rfile.readline()

    handler, peer = house.connect(script(body))
    _, other = house.connect(Upper)
    house.ask(peer, b"go\nmore\n")
    assert handler.state is RequestState.HANDLING
    house.advance(4.9)
    assert peer.read() == b""
    assert house.ask(other, b"on\n") == b"ON\n"
    house.advance(0.1)
    house.settle()
    assert peer.read() == b"rested\n"
    assert handler.state is RequestState.CLOSING


def test_sleep_of_nothing_comes_back_in_a_later_turn_and_loses_no_input(house):
    async def body(self):
        async for line in self.rfile:
            await self.sleep(0)
            self.wfile.write(line)

    _, peer = house.connect(script(body))
    peer.send(b"a\nb\nc\n")
    house.turn(10)
    assert peer.read() == b"a\nb\nc\n"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_sleep_refuses_what_is_no_time(house, seconds):
    async def body(self):
        try:
            await self.sleep(seconds)
        except ValueError:
            self.heard.append("refused")

    handler, _ = house.connect(script(body))
    assert handler.heard == ["refused"]


def test_offload_gives_the_result_or_raises_the_error_and_comes_again(house):
    async def body(self):
        async for line in self.rfile:
            try:
                self.wfile.write(b"%d\n" % await self.offload(int, line))
            except ValueError:
                self.wfile.write(b"no number\n")

    handler, peer = house.connect(script(body))
    house.ask(peer, b"7\nseven\n8\n")
    for answer in (b"7\n", b"no number\n", b"8\n"):
        assert handler.state is RequestState.HANDLING
        assert len(house.executor.jobs) == 1
        house.executor.run_next()
        house.settle()
        assert peer.read() == answer
    assert (handler.completed, handler.state) == (3, RequestState.IDLE)


def test_offload_runs_in_a_pool_thread_and_the_handler_goes_on_in_its_own():
    threads = []

    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            threads.append(threading.current_thread())
            threads.append(await self.offload(threading.current_thread))
            threads.append(threading.current_thread())

    ours, theirs = socket.socketpair()
    with ours, theirs:
        Handler(ours, "peer", None)
    main = threading.main_thread()
    assert threads[0] is main and threads[2] is main and threads[1] is not main


def test_offload_takes_another_executor(house):
    executor = ManualExecutor()

    async def body(self):
        self.heard.append(await self.offload(len, b"abc", executor=executor))

    handler, _ = house.connect(script(body))
    assert not house.executor.jobs
    executor.run_next()
    house.settle()
    assert handler.heard == [3]


def test_offloaded_work_whose_peer_is_gone_ends_the_handler_and_is_cancelled(house):
    async def body(self):
        try:
            await self.rfile.readline()
            await self.offload(len, b"abc")
        except GeneratorExit:
            self.heard.append("closed")
            raise

    handler, peer = house.connect(script(body), tcp=True)
    peer.send(b"go\n")
    house.wait()
    ((future, _, _),) = house.executor.jobs
    peer.crash()
    house.wait()
    house.settle()
    assert future.cancelled() and handler.heard == ["closed"]


@pytest.mark.parametrize("wrong", [5, None, "text"])
def test_offload_of_what_cannot_be_called_is_a_type_error(house, wrong):
    async def body(self):
        try:
            await self.offload(wrong)
        except TypeError as exc:
            self.heard.append(str(exc))

    handler, _ = house.connect(script(body))
    assert "something to call" in handler.heard[0]


def test_drain_waits_until_the_peer_has_taken_everything(house):
    async def body(self):
        await self.rfile.readline()
        self.wfile.write(bytes(100_000))
        await self.wfile.drain()
        self.heard.append(self.owed)
        await self.rfile.readline()

    handler, peer = house.connect(script(body), spied=True)
    handler.socket.room = 1000
    peer.send(b"go\n")
    house.turn(3)
    assert handler.state is RequestState.WRITING and handler.heard == []
    handler.socket.room = 98_999
    house.turn()
    assert handler.owed == 1 and handler.heard == []
    assert len(peer.read()) == 99_999
    handler.socket.room = None
    house.turn()
    assert handler.heard == [0]


def test_drain_is_no_wait_where_the_peer_keeps_up(house):
    async def body(self):
        for _ in range(1000):
            self.wfile.write(b"x")
            await self.wfile.drain()
        self.heard.append("done")
        await self.rfile.readline()

    handler, _ = house.connect(script(body))
    assert handler.heard == ["done"]


def test_a_drain_that_is_awaited_later_does_not_wait_for_what_is_over(house):
    async def body(self):
        await self.rfile.readline()
        self.wfile.write(bytes(100_000))
        draining = self.wfile.drain()
        await self.sleep(1)
        await draining
        self.heard.append("drained")
        await self.rfile.readline()

    handler, peer = house.connect(script(body), spied=True)
    handler.socket.room = 1000
    peer.send(b"go\n")
    house.turn()
    handler.socket.room = None
    house.turn(2)
    assert handler.owed == 0
    house.advance(1)
    house.settle()
    assert handler.heard == ["drained"]


def test_writelines_writes_each(house):
    async def body(self):
        self.wfile.writelines([b"a", bytearray(b"b"), memoryview(b"c")])

    _, peer = house.connect(script(body))
    assert peer.read() == b"abc"


def test_write_of_text_is_a_type_error_in_the_handler(house):
    async def body(self):
        try:
            self.wfile.write("text")
        except TypeError as exc:
            self.wfile.write(str(exc).encode())

    _, peer = house.connect(script(body))
    assert b"encode() it" in peer.read()


@pytest.mark.parametrize("wrong", [Netstring, b"\n", None])
def test_read_message_of_no_framing_is_a_type_error(house, wrong):
    async def body(self):
        try:
            await self.rfile.read_message(wrong)
        except TypeError as exc:
            self.heard.append(str(exc))

    handler, _ = house.connect(script(body))
    assert "framing such as" in handler.heard[0]


# asyncio's


async def asyncio_sleep_0():
    await asyncio.sleep(0)


async def asyncio_sleep_1():
    await asyncio.sleep(1)


async def asyncio_future():
    loop = asyncio.new_event_loop()
    try:
        await asyncio.Future(loop=loop)
    finally:
        loop.close()


FOREIGN = [asyncio_sleep_0, asyncio_sleep_1, asyncio_future]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_awaiting_what_is_asyncios_is_a_type_error_that_says_so(house, foreign):
    async def body(self):
        self.wfile.write(b"so far")
        await foreign()

    _, peer = house.connect(script(body))
    house.settle()
    (exc,) = house.take_errors()
    assert type(exc) is TypeError
    assert "asyncio" in str(exc) and "self.sleep(seconds)" in str(exc)
    assert peer.read() == b"so far" and peer.eof


@pytest.mark.parametrize("foreign", [asyncio_sleep_0, asyncio_future])
def test_a_handler_that_catches_that_type_error_goes_on(house, foreign):
    async def body(self):
        try:
            await foreign()
        except TypeError:
            self.wfile.write(b"caught")
        self.wfile.write(await self.rfile.readline())

    _, peer = house.connect(script(body))
    assert peer.read() == b"caught"
    assert house.ask(peer, b"on\n") == b"on\n"


def test_a_runtime_error_of_the_handlers_own_stays_one(house):
    async def body(self):
        raise RuntimeError("mine")

    house.connect(script(body))
    (exc,) = house.take_errors()
    assert type(exc) is RuntimeError and str(exc) == "mine"


def test_a_handle_that_is_no_coroutine_is_a_type_error_that_says_what_to_write(house):
    class Handler(AsyncStreamRequestHandler):
        def handle(self):
            return None

    try:
        house.connect(Handler)
    except TypeError as exc:
        errors = [exc]
    else:
        errors = house.take_errors()
    (exc,) = errors
    assert type(exc) is TypeError and "async def handle(self)" in str(exc)


# The timeout of the class


async def patient(self):
    """Reads lines; says when a wait took too long, and reads on."""
    while True:
        try:
            line = await self.rfile.readline()
        except TimeoutError as exc:
            self.heard.append(str(exc))
            continue
        if not line:
            return
        self.heard.append(line)


UNLIMITED = Limits(request_timeout=None, idle_timeout=None, send_timeout=None)


def test_timeout_ends_a_single_wait_with_timeout_error_in_the_handler(house):
    handler, peer = house.connect(script(patient, timeout=5), limits=UNLIMITED)
    house.advance(4.9)
    assert handler.heard == []
    house.advance(0.1)
    (text,) = handler.heard
    assert "5 s" in text and "Line" in text
    house.advance(4.9)
    assert len(handler.heard) == 1
    house.advance(0.1)
    assert len(handler.heard) == 2
    house.ask(peer, b"still there\n")
    assert handler.heard[2] == b"still there\n"


def test_timeout_begins_anew_with_each_wait(house):
    handler, peer = house.connect(script(patient, timeout=5), limits=UNLIMITED)
    for _ in range(10):
        house.advance(4)
        house.ask(peer, b"line\n")
    assert handler.heard == [b"line\n"] * 10


def test_timeout_is_not_put_off_by_trickling(house):
    handler, peer = house.connect(script(patient, timeout=5), limits=UNLIMITED)
    for _ in range(4):
        house.advance(1.25)
        house.ask(peer, b"x")
    assert len(handler.heard) == 1
    house.ask(peer, b"\n")
    assert handler.heard[1] == b"xxxx\n"


def test_timeout_bounds_no_sleep_and_no_offloaded_work(house):
    async def body(self):
        await self.sleep(20)
        self.heard.append("slept")
        self.heard.append(await self.offload(len, b"abc"))
        await patient(self)

    handler, peer = house.connect(script(body, timeout=5), limits=UNLIMITED)
    for _ in range(5):
        house.advance(4)
    assert handler.heard == ["slept"]
    for _ in range(5):
        house.advance(4)
    house.executor.run_next()
    house.settle()
    assert handler.heard == ["slept", 3]
    house.advance(4.9)
    house.ask(peer, b"line\n")
    assert handler.heard == ["slept", 3, b"line\n"]


def test_time_in_the_pool_does_not_count_though_a_wait_came_before_it(house):
    async def body(self):
        await self.rfile.readline()
        self.heard.append(await self.offload(len, b"abc"))

    handler, peer = house.connect(script(body, timeout=5), limits=UNLIMITED)
    house.ask(peer, b"go\n")
    for _ in range(5):
        house.advance(4)
    house.executor.run_next()
    house.settle()
    assert handler.heard == [3]


def test_timeout_bounds_drain(house):
    async def body(self):
        await self.rfile.readline()
        self.wfile.write(bytes(100_000))
        try:
            await self.wfile.drain()
        except TimeoutError:
            self.heard.append("timed out")
        await self.wfile.drain()
        self.heard.append("drained")

    handler, peer = house.connect(script(body, timeout=5), spied=True, limits=UNLIMITED)
    handler.socket.room = 1000
    peer.send(b"go\n")
    house.turn()
    house.advance(5)
    assert handler.heard == ["timed out"]
    handler.socket.room = None
    house.turn()
    assert handler.heard == ["timed out", "drained"]


def test_a_timeout_that_is_not_caught_is_the_handlers_error(house):
    async def body(self):
        await self.rfile.readline()

    handler, _ = house.connect(script(body, timeout=5))
    house.advance(5)
    assert [type(exc) for exc in house.take_errors()] == [TimeoutError]
    assert handler.state is RequestState.CLOSED


def test_timeout_none_bounds_nothing(house):
    handler, _ = house.connect(script(patient), limits=UNLIMITED)
    for _ in range(10):
        house.advance(1000)
    assert handler.heard == [] and handler.state is RequestState.IDLE


# When a request is complete


def completed_after(house, body, *pieces):
    """How many requests are complete after each of *pieces*."""
    handler, peer = house.connect(script(body))
    counts = [handler.completed]
    for piece in pieces:
        house.ask(peer, piece)
        counts.append(handler.completed)
    return counts


def test_each_turn_of_async_for_begins_a_request(house):
    async def body(self):
        async for line in self.rfile:
            if line == b"more\n":
                await self.rfile.readexactly(2)

    assert completed_after(house, body, b"a\n", b"more\n", b"x", b"y", b"b\nc\n") == [0, 1, 1, 1, 2, 4]


def test_otherwise_a_request_is_complete_when_the_coroutine_has_written_and_reads_again(house):
    async def body(self):
        while size := await self.rfile.readline():
            await self.rfile.readexactly(int(size))
            self.wfile.write(b"ok")

    assert completed_after(house, body, b"2\n", b"ab", b"1\n", b"c2\nab") == [0, 0, 1, 1, 3]


def test_a_greeting_is_no_request(house):
    async def body(self):
        self.wfile.write(b"hello\n")
        while await self.rfile.readline():
            self.wfile.write(b"ok\n")

    assert completed_after(house, body, b"a", b"\n", b"b\n") == [0, 0, 1, 2]


def test_a_request_held_in_between_is_one_request(house):
    async def body(self):
        async for _ in self.rfile:
            self.wfile.write(b"begun")
            await self.sleep(1)
            self.wfile.write(b"done")

    handler, peer = house.connect(script(body))
    assert house.ask(peer, b"a\n") == b"begun"
    assert (handler.completed, handler.state) == (0, RequestState.HANDLING)
    house.advance(1)
    assert (handler.completed, handler.state) == (1, RequestState.IDLE)


def test_the_row_says_what_a_coroutine_waits_for(house):
    async def body(self):
        async for line in self.rfile:
            await self.rfile.readexactly(int(line))

    handler, peer = house.connect(script(body))
    assert (handler.state, handler.waiting_for) == (RequestState.IDLE, str(Line()))
    house.ask(peer, b"3\na")
    assert (handler.state, handler.waiting_for) == (RequestState.READING, str(Exactly(3)))


# Errors and ends


def test_what_the_peer_sends_amiss_is_raised_where_it_was_awaited(house):
    async def body(self):
        try:
            await self.rfile.read_message(Netstring())
        except FramingError as exc:
            self.wfile.write(b"bad request: " + type(exc).__name__.encode())

    _, peer = house.connect(script(body))
    assert house.ask(peer, b"nonsense") == b"bad request: FramingError"
    assert peer.eof


def test_a_refused_message_that_is_not_caught_is_one_line_and_no_traceback(house):
    async def body(self):
        await self.rfile.read_message(Netstring())

    _, peer = house.connect(script(body))
    assert house.ask(peer, b"nonsense") == b"" and peer.eof
    (line,) = house.lines()
    assert "Netstring" in line
    assert house.take_errors() == []


def test_the_connection_is_closed_when_handle_returns(house):
    async def body(self):
        self.wfile.write(await self.rfile.readline())

    handler, peer = house.connect(script(body))
    assert house.ask(peer, b"only\nthis\n") == b"only\n"
    assert peer.eof
    peer.close()
    house.settle()
    assert handler.state is RequestState.CLOSED


def test_the_coroutine_is_closed_before_finish_is_called(house):
    async def body(self):
        try:
            await self.rfile.readline()
        finally:
            self.heard.append("finally")

    handler, _ = house.connect(script(body, finish=lambda self: self.heard.append("finish")))
    handler.abort()
    house.settle()
    assert handler.heard == ["finally", "finish"]


@pytest.mark.parametrize("where", ["before it read", "after a read", "after a sleep", "after offloaded work"])
def test_an_error_anywhere_in_handle_sends_what_is_owed_and_is_heard_once(house, where):
    async def body(self):
        self.wfile.write(b"owed")
        if where != "before it read":
            await self.rfile.readline()
        if where == "after a sleep":
            await self.sleep(1)
        if where == "after offloaded work":
            await self.offload(int)
        raise ZeroDivisionError

    handler, peer = house.connect(script(body))
    _, other = house.connect(Upper)
    peer.send(b"line\n")
    house.settle()
    house.advance(1)
    if house.executor.jobs:
        house.executor.run_next()
    house.settle()
    assert [type(exc) for exc in house.take_errors()] == [ZeroDivisionError]
    assert peer.read() == b"owed" and peer.eof
    assert handler.state in (RequestState.CLOSING, RequestState.CLOSED)
    assert house.ask(other, b"on\n") == b"ON\n"


def test_both_styles_live_in_one_reactor(house):
    class Lower(StateRequestHandler):
        def start(self):
            self.expect(Line(), lambda line: self.write(line.lower()))

    _, one = house.connect(Upper)
    _, two = house.connect(Lower)
    one.send(b"Hello\n")
    two.send(b"Hello\n")
    house.settle()
    assert (one.read(), two.read()) == (b"HELLO\n", b"hello\n")
