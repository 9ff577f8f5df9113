"""Proves how short the way of a byte is: the library's calls for a request are counted, system calls too."""

import os
import sys
import threading
from collections import Counter

import pytest

import reactor
from reactor import AsyncStreamRequestHandler, Line, StateRequestHandler
from tests.support.pairs import House

LIBRARY = os.path.dirname(reactor.__file__) + os.sep


@pytest.fixture
def house():
    with House() as house:
        yield house


class Echo(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line)


class CoEcho(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line)
            await self.wfile.drain()


def library_calls(function):
    """The library's functions that *function* enters, and how often."""
    calls = Counter()

    def note(frame, event, arg):
        if event == "call" and frame.f_code.co_filename.startswith(LIBRARY):
            calls[frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def steady(house, handler_class, pipelined):
    """A connection that has served for a while, and what makes one turn of it."""
    handler, peer = house.connect(handler_class, spied=True)
    handle_events, request = house.reactor.handle_events, b"hello\n" * pipelined

    def turn():
        peer.send(request)
        house.reactor.thread = threading.get_ident()  # as under run()
        try:
            calls = library_calls(lambda: handle_events(0))
        finally:
            house.reactor.thread = None
        assert peer.read() == request
        return calls

    for _ in range(3):
        turn()
    return handler, turn


# A ratchet: the present numbers. A number that falls is lowered here, and none is raised without a
# reason. The design's four are handle_events, handle_read, feed and write; the fifth looks for the
# next timer. A coroutine adds its step (two calls), async for (two) and drain for each message.
RATCHET = [
    (Echo, 1, 5),
    (Echo, 16, 4 + 16),
    (CoEcho, 1, 4 + 6),
    (CoEcho, 16, 4 + 16 * 6),
]


@pytest.mark.parametrize(("handler_class", "pipelined", "most"), RATCHET)
def test_a_request_costs_no_more_calls_of_the_library_than_it_did(house, handler_class, pipelined, most):
    handler, turn = steady(house, handler_class, pipelined)
    calls = turn()
    assert calls.total() <= most, calls
    assert turn() == calls  # steady
    assert handler.socket.received[-1] == 6 * pipelined


@pytest.mark.parametrize("handler_class", [Echo, CoEcho])
@pytest.mark.parametrize("pipelined", [1, 16])
def test_a_turn_makes_one_recv_one_send_and_no_call_to_change_the_selector(house, handler_class, pipelined):
    handler, turn = steady(house, handler_class, pipelined)
    changes = len(house.selector.calls)
    received, sent = len(handler.socket.received), len(handler.socket.sent)
    for _ in range(10):
        turn()
    assert len(handler.socket.received) - received == 10
    assert len(handler.socket.sent) - sent == 10
    assert len(house.selector.calls) == changes


@pytest.mark.parametrize("handler_class", [Echo, CoEcho])
def test_a_request_split_over_turns_changes_no_registration_either(house, handler_class):
    _, peer = house.connect(handler_class)
    house.ask(peer, b"warm\n")
    changes = len(house.selector.calls)
    for byte in b"hello":
        assert house.ask(peer, bytes([byte])) == b""
    assert house.ask(peer, b"\n") == b"hello\n"
    assert len(house.selector.calls) == changes


@pytest.mark.parametrize("handler_class", [Echo, CoEcho])
def test_a_turn_reads_the_clock_no_more_for_a_hundred_connections_than_for_one(house, handler_class):
    readings = []
    clock = house.clock
    house.reactor.clock = lambda: readings.append(1) or clock()

    def turn(peers):
        for peer in peers:
            peer.send(b"x\n")
        readings.clear()
        house.turn()
        assert all(peer.read() == b"x\n" for peer in peers)
        return len(readings)

    peers = [house.connect(handler_class)[1] for _ in range(100)]
    turn(peers)
    assert turn(peers) == turn(peers[:1]) <= 2


@pytest.mark.parametrize("handler_class", [Echo, CoEcho])
def test_activity_sets_no_timer(house, handler_class):
    _, turn = steady(house, handler_class, 1)
    timers = len(house.reactor._timers)
    for _ in range(10):
        turn()
    assert len(house.reactor._timers) == timers
