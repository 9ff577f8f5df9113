"""Proves how much is sent, read and kept: joined replies, bounded deliveries, held and paused rows."""

import pytest

from reactor import (
    EVENT_READ,
    EVENT_WRITE,
    AsyncStreamRequestHandler,
    Available,
    Limits,
    Line,
    RequestState,
    StateRequestHandler,
)
from tests.support.pairs import House

KIB = 1024
BUFFER = 65536  # of one recv, and of one joined send
LARGEST = 262144  # of one recv, of a peer that fills it


@pytest.fixture
def house():
    with House() as house:
        yield house


class Sizes(StateRequestHandler):
    """Answers the line ``n`` with n bytes. `lines` counts."""

    def __init__(self, *args):
        self.lines = 0
        super().__init__(*args)

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.lines += 1
        self.write(bytes(int(line)))


class CoSizes(AsyncStreamRequestHandler):
    """The same as a coroutine that drains."""

    def __init__(self, *args):
        self.lines = 0
        super().__init__(*args)

    async def handle(self):
        async for line in self.rfile:
            self.lines += 1
            self.wfile.write(bytes(int(line)))
            await self.wfile.drain()


class CoSizesUndrained(CoSizes):
    """And as one that never does."""

    async def handle(self):
        async for line in self.rfile:
            self.lines += 1
            self.wfile.write(bytes(int(line)))


every = pytest.mark.parametrize("Handler", [Sizes, CoSizes, CoSizesUndrained])


def sends(handler):
    return [len(data) for data in handler.socket.sent]


# Joining


@every
def test_ten_pipelined_replies_cost_one_send(house, Handler):
    handler, peer = house.connect(Handler, spied=True)
    assert len(house.ask(peer, b"5\n" * 10)) == 50
    assert sends(handler) == [50]


def test_several_writes_in_one_state_and_a_greeting_cost_one_send_each_time(house):
    class Handler(StateRequestHandler):
        def start(self):
            self.write(b"hello ")
            self.write(b"there\n")
            self.expect(Line(), self.line)

        def line(self, line):
            for part in (b"a", b"b", line):
                self.write(part)

    handler, peer = house.join(Handler, spied=True)
    house.settle()
    house.ask(peer, b"c\n")
    assert handler.socket.sent == [b"hello there\n", b"abc\n"]


def test_a_write_from_elsewhere_is_sent_at_once(house):
    handler, peer = house.connect(Sizes, spied=True)
    for count in range(1, 4):
        handler.write(b"x")
        assert peer.read() == b"x" and len(sends(handler)) == count
    _, other = house.connect(type("Pusher", (Sizes,), {"line": lambda self, line: handler.write(line)}))
    house.ask(other, b"a\nb\n")
    assert handler.socket.sent[3:] == [b"a\n", b"b\n"]
    assert house.watched(handler) == EVENT_READ


def test_what_offloaded_work_and_timers_write_is_joined_or_sent_like_anything_else(house):
    class Handler(Sizes):
        def line(self, line):
            self.offload(len, b"", then=self.reply)

        def reply(self, result):
            self.write(b"a")
            self.write(b"b")

    handler, peer = house.connect(Handler, spied=True)
    house.ask(peer, b"\n")
    house.executor.run_next()
    house.settle()
    house.reactor.call_later(1, handler.write, b"c")
    house.advance(1)
    assert handler.socket.sent == [b"ab", b"c"]


def test_a_delivery_that_writes_much_sends_every_64_kib(house):
    handler, peer = house.connect(Sizes, spied=True)
    peer.send(b"1000\n" * 200)
    house.turn()
    while len(sends(handler)) < 4 and peer.read():
        house.turn()
    assert all(size <= BUFFER + 1000 for size in sends(handler))
    assert len([size for size in sends(handler) if size >= BUFFER]) == 3


# What the kernel refuses


def test_write_readiness_is_asked_for_only_while_something_is_refused(house):
    handler, peer = house.connect(Sizes, spied=True)
    assert len(house.ask(peer, b"100\n" * 10)) == 1000
    calls = len(house.selector.calls)
    assert house.watched(handler) == EVENT_READ
    handler.socket.room = 60
    peer.send(b"100\n")
    house.turn()
    assert house.watched(handler) == EVENT_READ | EVENT_WRITE
    assert handler.owed == 40
    handler.socket.room = None
    house.turn()
    assert house.watched(handler) == EVENT_READ
    assert house.selector.calls[calls:] == ["unregister", "register"] * 2  # not modify: see `Registry`
    assert len(peer.read()) == 100


@every
@pytest.mark.parametrize("room", [1, 7, 100])
def test_what_is_refused_is_sent_later_in_order_and_whole(house, Handler, room):
    class Counting(Handler):
        def __init__(self, *args):
            self.number = 0
            super().__init__(*args)

        def write(self, data):
            start = self.number
            self.number += len(data)
            super().write(bytes(i % 251 for i in range(start, self.number)))

    handler, peer = house.connect(Counting, spied=True)
    handler.socket.room = 0
    peer.send(b"10\n" * 30)
    reply = b""
    for _ in range(1000):
        house.turn()
        handler.socket.room = room
        reply += peer.read()
        if len(reply) == 300:
            break
    handler.socket.room = None
    assert reply == bytes(i % 251 for i in range(300))
    assert handler.owed == 0 and handler.state is RequestState.IDLE


def test_a_refusal_that_was_no_refusal_is_borne(house):
    """A spurious event: writable, it said, and then it was not."""
    handler, peer = house.connect(Sizes, spied=True)
    handler.socket.room = 0
    peer.send(b"10\n")
    house.turn(5)
    assert handler.socket.refused >= 2
    assert handler.state is RequestState.WRITING and handler.owed == 10
    handler.socket.room = None
    house.turn()
    assert len(peer.read()) == 10


# Bounded deliveries


@every
def test_a_delivery_stops_after_256_messages_and_is_resumed_without_a_new_event(house, Handler):
    handler, peer = house.connect(Handler)
    peer.send(b"1\n" * 1000)
    counts = []
    for _ in range(5):
        house.turn()
        counts.append(handler.lines)
    assert counts == [256, 512, 768, 1000, 1000]
    assert len(peer.read()) == 1000


@every
def test_nothing_is_read_while_a_delivery_is_unfinished(house, Handler):
    handler, peer = house.connect(Handler, spied=True)
    peer.send(b"1\n" * 1000)
    house.turn()
    peer.send(b"1\n" * 1000)
    house.turn(2)
    assert handler.socket.received == [2000]
    house.settle()
    assert handler.lines == 2000


def test_a_peer_that_pipelines_does_not_hold_up_the_others(house):
    _, greedy = house.connect(Sizes)
    _, modest = house.connect(Sizes)
    greedy.send(b"1\n" * 10_000)
    modest.send(b"3\n")
    house.turn()
    assert len(modest.read()) == 3
    assert len(greedy.read()) <= 256


def test_settling_again_and_again_does_not_multiply_the_deliveries_of_a_turn(house):
    """Whatever others do to the row meanwhile, it goes on once a turn."""
    handler, peer = house.connect(Sizes)
    peer.send(b"1\n" * 5000)
    house.turn()
    for _ in range(3):
        handler.pause_reading()
        handler.resume_reading()
    counts = []
    for _ in range(4):
        house.turn()
        counts.append(handler.lines)
    assert counts == [512, 768, 1024, 1280]


def test_one_buffer_is_read_from_a_connection_in_a_turn(house):
    class Sink(StateRequestHandler):
        def start(self):
            self.expect(Available(), lambda data: None)

    handler, peer = house.connect(Sink, spied=True)
    assert peer.send(bytes(150_000)) == 150_000
    for turns in range(1, 3):
        house.turn()
        assert len(handler.socket.received) == turns
    assert handler.received == 150_000


def test_a_buffer_grows_while_a_peer_fills_it_and_is_small_again_for_small_messages(house):
    class Sink(StateRequestHandler):
        def start(self):
            self.expect(Available(), lambda data: None)

    handler, peer = house.connect(Sink, spied=True)
    received = handler.socket.received
    for size in (150_000, 100_000, 1, 150_000):
        assert peer.send(bytes(size)) == size
        house.turn(3)
    assert received == [BUFFER, 150_000 - BUFFER, 100_000, 1, BUFFER, 150_000 - BUFFER]


# Over the send buffer limit


LIMITED = Limits(send_buffer_limit=64 * KIB)


@every
def test_a_peer_that_takes_nothing_is_not_read_from_until_it_has_taken_all(house, Handler):
    handler, peer = house.connect(Handler, spied=True, limits=LIMITED)
    handler.socket.room = 0
    peer.send(b"10000\n" * 100)
    house.turn(3)
    delivered = handler.lines
    assert delivered <= 14  # 64 KiB, and at most one joined send more
    assert not house.watched(handler) & EVENT_READ or Handler is CoSizes  # that one is held by its drain()
    peer.send(b"10000\n" * 100)
    house.turn(5)
    assert handler.lines == delivered
    assert len(handler.socket.received) <= 2
    assert handler.owed <= 3 * 64 * KIB
    handler.socket.room = None
    taken = 0
    for _ in range(1000):
        house.turn()
        taken += len(peer.read())
        if taken == 2_000_000:
            break
    assert (taken, handler.lines, handler.owed) == (2_000_000, 200, 0)
    assert house.watched(handler) == EVENT_READ
    assert handler.state is RequestState.IDLE and house.lines() == []


def test_draining_resumes_what_was_left_in_the_inbox_without_a_new_event(house):
    handler, peer = house.connect(Sizes, spied=True, limits=LIMITED)
    handler.socket.room = 0
    peer.send(b"40000\n" * 3)
    house.turn()
    assert handler.lines == 2
    handler.socket.room = None
    house.turn()
    assert handler.lines == 3


def test_one_reply_over_the_limit_is_back_pressure_and_no_offence(house):
    handler, peer = house.connect(Sizes, limits=LIMITED)
    peer.send(b"5000000\n")
    taken = 0
    while taken < 5_000_000:
        house.turn()
        data = peer.read()
        assert data or handler.state is RequestState.WRITING
        taken += len(data)
    house.settle()
    assert handler.state is RequestState.IDLE and house.lines() == []


@pytest.mark.parametrize("size", [1000, 64 * KIB, 200 * KIB])
def test_a_connection_that_others_push_over_the_limit_is_closed_with_one_line(house, size):
    handler, peer = house.connect(Sizes, spied=True, limits=LIMITED)
    handler.socket.room = 5
    pushed = 0
    while handler.state is not RequestState.CLOSED and pushed < 1 << 20:
        handler.write(bytes(size))
        pushed += size
        assert handler.owed <= 64 * KIB or handler.state is RequestState.CLOSED
    assert 64 * KIB < pushed <= 64 * KIB + size + 5
    handler.write(bytes(size))
    house.settle()
    (line,) = house.lines()
    assert "send_buffer_limit" in line and repr(handler.peer) in line and str(64 * KIB) in line
    assert house.reactor.requests.counters.failed == 1
    assert peer.socket.fileno() >= 0 and house.take_errors() == []


@pytest.mark.parametrize(("times", "lives"), [(15, True), (17, False)])
def test_a_coroutine_that_never_drains_is_closed_at_16_times_the_limit(house, times, lives):
    reached = []

    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            await self.rfile.readline()
            for _ in range(times):
                self.wfile.write(bytes(64 * KIB))
                reached.append(self.owed)
            await self.rfile.readline()

    handler, peer = house.connect(Handler, spied=True, limits=LIMITED)
    handler.socket.room = 0
    peer.send(b"go\n")
    house.turn(2)
    assert (handler.state is not RequestState.CLOSED) == lives
    assert max(reached) <= 17 * 64 * KIB
    assert [("send_buffer_limit" in line) for line in house.lines()] == ([] if lives else [True])
    handler.socket.room = None


def test_a_coroutine_that_drains_may_send_a_reply_of_any_size(house):
    size = 40 * 64 * KIB

    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            await self.rfile.readline()
            self.wfile.write(bytes(size))
            await self.wfile.drain()
            self.wfile.write(b"drained\n")

    handler, peer = house.connect(Handler, spied=True, limits=LIMITED)
    handler.socket.room = 0
    peer.send(b"go\n")
    house.turn(2)
    assert handler.state is RequestState.WRITING and handler.owed == size
    handler.socket.room = None
    replies = bytearray()
    for _ in range(1000):
        if len(replies) == size + len(b"drained\n"):
            break
        house.turn()
        replies += peer.read()
    assert replies == bytes(size) + b"drained\n"
    assert house.lines() == []


# Held and paused


class Holding(StateRequestHandler):
    def __init__(self, *args):
        self.lines = []
        super().__init__(*args)

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.lines.append(line)
        self.hold()


def test_at_most_one_buffer_is_read_for_a_held_row(house):
    handler, peer = house.connect(Holding, spied=True)
    house.ask(peer, b"first\n")
    total = 0
    line = b"x" * 99 + b"\n"
    while sent := peer.send(line * 100):
        total += sent
        house.turn(2)
    assert len(handler.socket.received) <= 2 and sum(handler.socket.received[1:]) <= BUFFER
    assert house.watched(handler) == 0
    assert handler.lines == [b"first\n"]
    handler.socket.room = 0
    handler.write(b"news")  # from elsewhere, and refused
    assert house.watched(handler) == EVENT_WRITE
    handler.socket.room = None
    house.turn(3)
    assert house.watched(handler) == 0
    for _ in range(total // 100 + 1):
        handler.release()
        house.turn(3)
        if not handler.held:
            break
    assert handler.lines == [b"first\n"] + [line] * (total // 100)


def test_a_coroutine_that_sleeps_reads_at_most_one_buffer(house):
    class Handler(AsyncStreamRequestHandler):
        async def handle(self):
            await self.sleep(10)
            await self.rfile.read(1)

    handler, peer = house.connect(Handler, spied=True)
    while peer.send(bytes(100_000)):
        house.turn(2)
    assert sum(handler.socket.received) <= BUFFER and len(handler.socket.received) <= 1
    assert house.watched(handler) == 0


@pytest.mark.parametrize("from_inside", [True, False])
def test_a_paused_row_gets_nothing_until_it_is_resumed_and_loses_nothing(house, from_inside):
    class Handler(Sizes):
        def line(self, line):
            super().line(line)
            if from_inside and self.lines == 1:
                self.pause_reading()

    handler, peer = house.connect(Handler, spied=True)
    if not from_inside:
        assert house.ask(peer, b"1\n") == b"\0"
        handler.pause_reading()
    peer.send(b"1\n" * 5)
    house.turn(3)
    while peer.send(b"2\n" * 1000):
        house.turn()
    assert handler.lines == 1
    assert sum(handler.socket.received) <= BUFFER + 100
    received = len(handler.socket.received)
    house.turn(3)
    assert len(handler.socket.received) == received
    handler.resume_reading()
    handler.resume_reading()  # does nothing
    house.turn()
    assert handler.lines > 1
    house.settle()
    assert house.watched(handler) & EVENT_READ


def test_resume_without_pause_does_nothing(house):
    handler, peer = house.connect(Sizes)
    handler.resume_reading()
    assert len(house.ask(peer, b"3\n")) == 3


def test_a_forwarder_passes_back_pressure_on(house):
    """What comes in on one side goes out on the other, and never piles up in between."""

    class Outside(StateRequestHandler):
        inside = None

        def start(self):
            self.expect(Available(), lambda data: None)

        def handle_drained(self):
            Outside.inside.resume_reading()

    outside, far = house.connect(Outside)

    class Inside(StateRequestHandler):
        def start(self):
            self.expect(Available(), self.forward)

        def forward(self, data):
            outside.write(data)
            if outside.owed:
                self.pause_reading()

    Outside.inside, near = house.connect(Inside)
    sent = taken = most = 0
    total = 3_000_000
    for _ in range(10_000):
        if sent < total:
            sent += near.send(bytes(min(100_000, total - sent)))
        house.turn()
        most = max(most, outside.owed)
        if near.send(b"") == 0 and sent and outside.owed:
            taken += len(far.read(50_000))
        elif sent == total:
            taken += len(far.read())
        if taken == total:
            break
    assert (sent, taken) == (total, total)
    assert most <= 2 * LARGEST
    assert house.lines() == []
