"""Proves that each limit ends what passes it, no sooner and not much later, with one line that says why."""

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    Available,
    Exactly,
    FramingError,
    Limits,
    Line,
    Netstring,
    RequestState,
    StateRequestHandler,
    ToEOF,
)
from tests.support.pairs import House

#: The sweep comes once a second, so a row may outlive its deadline by so much.
SWEEP = 1.0


@pytest.fixture
def house():
    with House() as house:
        yield house


class Talk(StateRequestHandler):
    """A line is answered; ``hold`` is held; ``body`` is followed by ten bytes; ``big`` gives much."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        if line == b"hold\n":
            self.hold()
            self.expect(Exactly(10), self.write)
        elif line == b"body\n":
            self.write(b"continue\n")
            self.expect(Exactly(10), self.write)
        elif line == b"big\n":
            self.write(bytes(100_000))
        else:
            self.write(line)


class CoTalk(AsyncStreamRequestHandler):
    """The same as a coroutine."""

    async def handle(self):
        async for line in self.rfile:
            if line == b"hold\n":
                await self.offload(len, line)
                self.wfile.write(await self.rfile.readexactly(10))
            elif line == b"body\n":
                self.wfile.write(await self.rfile.readexactly(10))
            elif line == b"big\n":
                self.wfile.write(bytes(100_000))
                await self.wfile.drain()
            else:
                self.wfile.write(line)


both = pytest.mark.parametrize("Handler", [Talk, CoTalk])


def alive(handler):
    return handler.state not in (RequestState.CLOSING, RequestState.CLOSED)


def assert_passed(house, handler, name, *figures):
    """That *handler* was ended by limit *name*, with one line."""
    assert not alive(handler)
    (line,) = house.lines()
    for text in (name, repr(handler.peer), *figures):
        assert text in line
    assert house.take_errors() == []


# Times


@both
@pytest.mark.parametrize(
    ("limit", "begin"),
    [("idle_timeout", b""), ("request_timeout", b"half"), ("request_timeout", b"body\n1")],
)
def test_a_wait_ends_at_its_limit_and_the_line_says_which(house, Handler, limit, begin):
    handler, peer = house.connect(Handler)
    if begin:
        peer.send(begin)
        house.settle()
    seconds = getattr(house.limits, limit)
    assert handler.deadline == house.clock() + seconds
    house.advance(seconds - 0.01)
    assert alive(handler)
    house.advance(SWEEP)
    assert_passed(house, handler, limit, f"{seconds:g} s", f"{len(begin)} bytes received")
    assert house.reactor.requests.counters.timed_out == 1
    peer.read()
    assert peer.eof


@both
def test_trickling_does_not_put_off_the_request_timeout(house, Handler):
    handler, peer = house.connect(Handler)
    for _ in range(10):
        house.ask(peer, b"x")
        house.advance(0.99)
    assert alive(handler)
    house.ask(peer, b"x")
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "request_timeout")


@both
def test_all_messages_of_a_request_share_its_time(house, Handler):
    handler, peer = house.connect(Handler)
    house.ask(peer, b"bo")
    house.advance(6)
    house.ask(peer, b"dy\n123")
    house.advance(3.9)
    assert alive(handler)
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "request_timeout")


@both
def test_the_handlers_own_time_does_not_count(house, Handler):
    handler, peer = house.connect(Handler)
    house.ask(peer, b"ho")
    house.advance(6)
    house.ask(peer, b"ld\n")
    for _ in range(100):
        house.advance(10)
    assert handler.state is RequestState.HANDLING
    house.executor.run_next() if house.executor.jobs else handler.release()
    house.settle()
    assert handler.state is RequestState.READING
    house.advance(3.9)
    assert alive(handler)
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "request_timeout")


def test_time_spent_sending_does_not_count_but_what_was_read_before_it_does(house):
    handler, peer = house.connect(Talk, spied=True)
    house.ask(peer, b"bo")
    house.advance(6)
    handler.socket.room = 3
    peer.send(b"dy\n")
    house.turn()
    assert handler.state is RequestState.WRITING
    house.advance(20)
    assert alive(handler)
    handler.socket.room = None
    house.settle()
    assert handler.state is RequestState.READING
    house.advance(3.9)
    assert alive(handler)
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "request_timeout")


@both
def test_a_sender_that_pipelines_without_a_pause_is_not_evicted(house, Handler):
    handler, peer = house.connect(Handler)
    house.ask(peer, b"li")
    for _ in range(100):
        house.advance(1)
        assert house.ask(peer, b"ne\nli") == b"line\n"  # there is always half a request
    assert alive(handler)
    assert handler.completed == 100


@both
def test_the_time_of_a_pipelined_request_begins_with_its_own_first_byte(house, Handler):
    handler, peer = house.connect(Handler)
    house.ask(peer, b"li")
    house.advance(9)
    house.ask(peer, b"ne\nli")
    house.advance(9.9)
    assert alive(handler)
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "request_timeout")


@both
def test_every_request_puts_off_the_idle_timeout_and_half_a_one_is_not_idle(house, Handler):
    handler, peer = house.connect(Handler)
    for _ in range(3):
        house.advance(299)
        assert house.ask(peer, b"line\n") == b"line\n"
    house.advance(299)
    house.ask(peer, b"li")
    house.advance(2)
    assert house.ask(peer, b"ne\n") == b"line\n"
    house.advance(299.9)
    assert alive(handler)
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "idle_timeout")


def test_what_others_write_to_it_puts_off_the_idle_timeout_too(house):
    handler, _ = house.connect(Talk)
    house.advance(299)
    handler.write(b"news")
    house.advance(299)
    assert alive(handler)
    house.advance(1 + SWEEP)
    assert_passed(house, handler, "idle_timeout")


def test_the_send_timeout_counts_from_the_last_byte_taken(house):
    handler, peer = house.connect(Talk, spied=True)
    handler.socket.room = 10
    peer.send(b"big\n")
    house.turn()
    for _ in range(3):
        house.advance(29)
        assert alive(handler)
        handler.socket.room = 1
        house.turn()
    house.advance(29.9)
    assert alive(handler)
    house.advance(0.1 + SWEEP)
    assert_passed(house, handler, "send_timeout", "99987 bytes")
    assert handler.state is RequestState.CLOSED


@both
def test_the_send_timeout_holds_for_a_coroutine_in_drain_too(house, Handler):
    handler, peer = house.connect(Handler, spied=True)
    handler.socket.room = 10
    peer.send(b"big\n")
    house.turn()
    house.advance(30 + SWEEP)
    assert_passed(house, handler, "send_timeout")


def test_the_send_timeout_holds_while_closing(house):
    handler, peer = house.connect(Talk, spied=True)
    handler.socket.room = 10
    peer.send(b"big\n")
    house.turn()
    handler.close()
    house.advance(29)
    assert handler.state is RequestState.CLOSING
    house.advance(1 + SWEEP)
    assert handler.state is RequestState.CLOSED
    assert_passed(house, handler, "send_timeout")


@pytest.mark.parametrize("begin", [b"", b"half"])
def test_a_time_of_none_never_ends_a_wait(begin):
    with House(Limits(idle_timeout=None, request_timeout=None)) as house:
        handler, peer = house.connect(Talk)
        if begin:
            house.ask(peer, begin)
        for _ in range(10):
            house.advance(100_000)
        assert alive(handler) and handler.deadline is None


def test_each_row_has_the_limits_of_its_own_server(house):
    slow, _ = house.connect(Talk, limits=Limits(idle_timeout=100))
    fast, _ = house.connect(Talk, limits=Limits(idle_timeout=5))
    house.advance(5 + SWEEP)
    assert alive(slow) and not alive(fast)


def test_the_limits_of_a_later_server_are_enforced_in_time_too():
    """However rarely the rows that came first have to be looked at."""
    with House() as house:
        unlimited = dict.fromkeys(Limits.__dataclass_fields__)
        patient, _ = house.connect(Talk, limits=Limits(**unlimited))
        handler, _ = house.connect(Talk, limits=Limits(idle_timeout=4))
        house.advance(4)
        house.advance(SWEEP)
        assert alive(patient)
        assert_passed(house, handler, "idle_timeout")


def test_ten_thousand_rows_are_swept_in_slices_that_leave_none_out(house):
    house.reactor.requests.SLICE = 3
    handlers = [house.connect(Talk)[0] for _ in range(10)]
    house.clock.advance(301)
    house.turn()
    assert 0 < sum(not alive(each) for each in handlers) < 10
    house.turn(5)
    assert not any(alive(each) for each in handlers)


def test_the_same_cause_is_logged_once_a_second_with_a_count(house):
    for _ in range(5):
        house.connect(Talk)
    house.advance(301)
    (first,) = house.lines()
    assert "idle_timeout" in first
    house.connect(Talk)
    house.advance(301)
    second = house.lines()[1:]
    assert sum("4 more" in line for line in second) == 1


# Sizes


@pytest.mark.parametrize(
    ("framing", "data"),
    [
        (Line(limit=100), b"x" * 100),
        (Line(limit=100), b"x" * 100 + b"\n"),
        (Netstring(limit=100), b"101:"),
        (ToEOF(limit=100), b"x" * 101),
    ],
    ids=repr,
)
@pytest.mark.parametrize("piece", [1, 1000], ids=["bytewise", "whole"])
def test_a_message_over_its_framings_limit_is_refused_however_it_comes(house, framing, data, piece):
    heard = []

    class Handler(StateRequestHandler):
        def start(self):
            self.write(b"hello")
            self.expect(framing, heard.append)

    handler, peer = house.connect(Handler)
    for at in range(0, len(data), piece):
        if alive(handler):
            peer.send(data[at : at + piece])
            house.turn()
    assert heard == []
    assert_passed(house, handler, type(framing).__name__, "100 bytes")
    assert peer.read() == b"hello" and peer.eof
    assert house.reactor.requests.counters.failed == 1


SMALL = Limits(max_request_size=1000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"body" + b"x" * 997 + b"\n", id="one message, complete"),
        pytest.param(b"x" * 1001, id="one message, incomplete"),
        pytest.param(b"y" * 991 + b"\n0123456789", id="two messages together"),
        pytest.param(b"huge\n", id="a message announced"),
    ],
)
@pytest.mark.parametrize("piece", [7, 2000], ids=["in pieces", "whole"])
def test_a_request_over_max_request_size_is_refused_however_it_comes(house, data, piece):
    bodies = []

    class Handler(StateRequestHandler):
        def start(self):
            self.expect(Line(), self.head)

        def head(self, line):
            self.expect(Exactly(996 if line == b"huge\n" else 10), bodies.append)

    handler, peer = house.connect(Handler, limits=SMALL)
    for at in range(0, len(data), piece):
        if alive(handler):
            peer.send(data[at : at + piece])
            house.turn()
    assert_passed(house, handler, "max_request_size", "1000 bytes")
    assert bodies == []


@both
def test_max_request_size_counts_a_request_and_never_a_conversation(house, Handler):
    handler, peer = house.connect(Handler, limits=SMALL)
    line = b"x" * 900 + b"\n"
    for _ in range(20):
        assert house.ask(peer, line) == line
    assert house.ask(peer, line * 20) == line * 20
    assert alive(handler) and handler.completed == 40


def test_max_request_size_holds_for_a_coroutine_and_comes_as_framing_error(house):
    caught = []

    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            try:
                while True:
                    caught.append(len(await self.rfile.read(100)))
            except FramingError as exc:
                self.wfile.write(b"too much")
                caught.append(str(exc))

    handler, peer = house.connect(Handler, limits=SMALL)
    for _ in range(15):
        if alive(handler):
            peer.send(b"x" * 100)
            house.turn()
    assert sum(caught[:-1]) <= 1000 and "max_request_size of 1000 bytes" in caught[-1]
    assert peer.read() == b"too much" and peer.eof


def test_available_bytes_are_requests_of_their_own_and_may_go_on_for_ever(house):
    class Handler(StateRequestHandler):
        def start(self):
            self.expect(Available(), self.write)

    handler, peer = house.connect(Handler, limits=SMALL)
    for _ in range(50):
        assert house.ask(peer, bytes(500)) == bytes(500)
    assert alive(handler)
