"""Proves that whatever the kernel reports, nothing raises out of the loop and nobody is called wrongly."""

from __future__ import annotations

import errno
import os
import selectors
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor import (
    DatagramRequestHandler,
    EventHandler,
    Line,
    Reactor,
    ReactorTCPServer,
    ReactorUDPServer,
    StateRequestHandler,
    connect,
)
from reactor.events import EVENT_READ, EVENT_WRITE
from reactor.log import logger
from tests.properties import examples
from tests.support.clock import ManualClock

FDS = range(100_001, 100_005)
UNKNOWN = (0, 5, 999_999)


class Liar:
    """Stands in for the kernel's object beneath a selector: reports what stands in `reports`."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, int]] = []

    def register(self, fd, mask):
        pass

    modify = register

    def unregister(self, fd):
        pass

    def poll(self, timeout=None, most=None):
        return self.reports

    def close(self):
        pass


def _lying_select(liar):
    def select(readers, writers, _others, timeout):
        reading = [fd for fd, mask in liar.reports if mask & 1]
        writing = [fd for fd, mask in liar.reports if mask & 4]
        return reading, writing, []

    return select


def lying(kind: str) -> tuple[selectors.BaseSelector, Liar]:
    """A selector of the system's on a kernel that lies."""
    selector, liar = getattr(selectors, kind)(), Liar()
    if kind == "SelectSelector":
        selector._select = _lying_select(liar)
    else:
        if kind == "EpollSelector":
            selector._selector.close()
        selector._selector = liar
    return selector, liar


KINDS = [kind for kind in ("SelectSelector", "PollSelector", "EpollSelector") if hasattr(selectors, kind)]

#: All bits that poll and epoll know, and some that they don't.
masks = st.one_of(st.sampled_from([0, 1, 4, 5, 8, 16, 24, 29, 32, 0x2000]), st.integers(0, 0x3FFF))
reports = st.lists(st.tuples(st.sampled_from([*FDS, *FDS, *UNKNOWN]), masks), max_size=8)


class Wary(EventHandler):
    """Knows whether it may be called; does something to the loop's books with each call."""

    def __init__(self, fd, reactor, handlers, deeds):
        self.fd, self.reactor, self.handlers, self.deeds = fd, reactor, handlers, deeds
        self.registered_since: int | None = None
        self.wrong: list[str] = []

    def fileno(self):
        return self.fd

    def join(self, turn):
        try:
            self.reactor.register(self, EVENT_READ | EVENT_WRITE)
        except KeyError:
            return  # another one has its number
        self.registered_since = turn

    def leave(self):
        if self.registered_since is not None:
            self.registered_since = None
            self.reactor.unregister(self)

    close = leave

    def handle_read(self):
        self._called("read")

    def handle_write(self):
        self._called("write")

    def handle_exception(self, exc):
        self._called("exception")
        self.leave()

    def _called(self, what):
        if self.registered_since is None:
            self.wrong.append(f"{what} while not registered")
        elif self.registered_since == self.turn:
            self.wrong.append(f"{what} that was its predecessor's")
        if self.deeds and what != "exception":
            deed, whom = self.deeds.pop()
            if deed == "fail":
                raise ValueError
            whom = self.handlers[whom % len(self.handlers)]
            if deed == "leave":
                whom.leave()
            elif deed == "join":
                whom.join(self.turn)
            elif whom.registered_since is not None:
                self.reactor.modify(whom, EVENT_WRITE)

    turn = 0


deeds = st.lists(
    st.tuples(st.sampled_from(["leave", "join", "modify", "fail"]), st.integers(0, 7)), max_size=10
)


@pytest.mark.parametrize("kind", KINDS)
def test_only_who_is_registered_is_called_whatever_the_kernel_says(kind):
    @examples(60)
    @given(st.lists(reports, max_size=5), deeds, st.integers(0, 255))
    def run(turns, deeds, registered):
        selector, liar = lying(kind)
        with Reactor(selector, clock=ManualClock()) as reactor:
            handlers: list[Wary] = []
            # Two for each number: a closed descriptor's number is the next one's.
            handlers += [Wary(fd, reactor, handlers, deeds) for fd in (*FDS, *FDS)]
            for number, handler in enumerate(handlers):
                if registered >> number & 1:
                    handler.join(turn=0)
            for turn, said in enumerate(turns, 1):
                Wary.turn = turn
                liar.reports = said
                assert reactor.handle_events(0) <= len(said)
                assert [handler.wrong for handler in handlers if handler.wrong] == []
                watched = {key.data for key in selector.get_map().values()} - {reactor._waker}
                assert watched == {each for each in handlers if each.registered_since is not None}

    run()


# Those who are called all the same: readiness that is not


class Upper(StateRequestHandler):
    opened = 0

    def start(self):
        Upper.opened += 1
        self.expect(Line(), lambda line: self.write(line.upper()))


class UpperDatagram(DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read().upper())


class Client(StateRequestHandler):
    def start(self):
        self.server_said = []
        self.expect(Line(), self.server_said.append)


class Exaggerating(selectors.DefaultSelector):
    """Reports `lies` too: by place in the map, with events that nobody asked for."""

    lies: tuple[tuple[int, int], ...] = ()

    def select(self, timeout=None):
        lies, self.lies = self.lies, ()
        keys = list(self.get_map().values())
        found = [(keys[place % len(keys)], events) for place, events in lies]
        return found + super().select(0)


lies = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 2, 3])), max_size=8).map(tuple)


class Street:
    """One loop with everything in it that waits for a descriptor."""

    def __init__(self):
        self.selector = Exaggerating()
        self.reactor = Reactor(self.selector, clock=ManualClock())
        self.tcp = ReactorTCPServer(("127.0.0.1", 0), Upper)
        self.udp = ReactorUDPServer(("127.0.0.1", 0), UpperDatagram)
        for server in (self.tcp, self.udp):
            self.reactor.register(server)
        self.client = connect(self.reactor, self.tcp.server_address, Client)
        self.end, self.other_end = os.pipe()
        self.events = []
        self.reactor.register(self.end, EVENT_READ, self.events.append)
        self.socket = socket.create_connection(self.tcp.server_address)
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        for each in (self.socket, self.datagrams):
            each.setblocking(False)
        self.turns(12)

    def turns(self, count, told=()):
        for number in range(count):
            self.selector.lies = told[number] if number < len(told) else ()
            self.reactor.handle_events(0)

    def close(self):
        self.reactor.close()
        for each in (self.socket, self.datagrams):
            each.close()
        os.close(self.end)
        os.close(self.other_end)


@pytest.fixture
def street(caplog):
    street = Street()
    yield street
    street.close()
    assert [record.getMessage() for record in caplog.records if record.name == logger.name] == []


def test_readiness_that_is_not_changes_nothing_for_anybody(street):
    @examples(60)
    @given(st.lists(lies, max_size=4))
    def run(told):
        before = list(street.reactor.requests)
        assert len(before) == 3 and all(row.state.name == "IDLE" for row in before)
        watched = {key.fd: key.events for key in street.selector.get_map().values()}
        street.turns(len(told) + 1, told)
        assert list(street.reactor.requests) == before
        assert all(row.state.name == "IDLE" for row in before)
        assert {key.fd: key.events for key in street.selector.get_map().values()} == watched
        street.socket.send(b"line\n")
        street.client.write(b"client\n")
        street.datagrams.sendto(b"datagram", street.udp.server_address)
        street.turns(6, told)
        assert street.socket.recv(100) == b"LINE\n"
        assert street.datagrams.recv(100) == b"DATAGRAM"
        assert street.client.server_said.pop() == b"CLIENT\n"

    run()


def test_a_connection_that_is_said_to_be_there_and_is_not_is_waited_for():
    """The listener's queue is full, so that the system does not complete the next connection."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    with Reactor(Exaggerating(), clock=ManualClock()) as reactor:
        try:
            for each in waiting:
                each.setblocking(False)
                assert each.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
            client = connect(reactor, listener.getsockname(), Client)
            for _ in range(3):
                reactor.handle_events(0)
            assert client.socket is None, "the queue was not full"
            place = len(reactor._selector.get_map()) - 1
            reactor._selector.lies = ((place, EVENT_WRITE),)
            reactor.handle_events(0)
            assert client.socket is None, "told of a connection that is not there"
            assert client.state.name == "HANDSHAKE"
        finally:
            for each in (*waiting, listener):
                each.close()
