"""Proves when `Listening` has the listener in its selector, how long it waits, and what ends the wait."""

from __future__ import annotations

import errno
import selectors
import socket

import pytest

from reactor.acceptor import ROOM_INTERVAL
from reactor.backoff import Backoff
from reactor.listening import Listening
from reactor.waker import Waker
from tests.support.clock import ManualClock
from tests.support.selecting import RecordingSelector, ScriptedSelector

EMFILE = OSError(errno.EMFILE, "too many")
FD = 1000


class Server:
    """As much of one as is asked for."""

    def __init__(self, fd=FD):
        self.fd = fd
        self.room = True
        self._backoff = None

    def fileno(self):
        return self.fd

    def _has_room(self):
        return self.room


@pytest.fixture
def clock(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr("reactor.listening.monotonic", clock)
    return clock


@pytest.fixture
def selector(clock):
    return ScriptedSelector(clock)


@pytest.fixture
def listening(selector):
    return Listening(Server(), selector)


def fails(listening, clock, exc):
    """What a server does when `get_request` has raised."""
    server = listening._server
    server._backoff = server._backoff or Backoff()
    server._backoff.until = clock() + server._backoff.failed(exc)


def listens(selector):
    return FD in selector.get_map()


@pytest.mark.parametrize("timeout", [None, 0, 0.5])
def test_a_request_ends_the_wait(listening, selector, timeout):
    selector.ready[FD] = selectors.EVENT_READ
    assert listening.wait(timeout) is True
    assert selector.waits == [timeout]


@pytest.mark.parametrize("timeout", [0, 0.5])
def test_a_wait_in_vain_ends_in_time(listening, selector, timeout):
    assert listening.wait(timeout) is False
    assert selector.waits == [timeout] and listens(selector)


def test_the_selector_is_asked_for_nothing_new_while_nothing_changes():
    selector = RecordingSelector()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listening = Listening(Server(sock.fileno()), selector)
        for _ in range(5):
            listening.wait(0)
        assert selector.calls == ["register"]
        listening._server.room = False
        for _ in range(5):
            listening.wait(0)
        assert selector.calls == ["register", "unregister"]
        listening.close()
        assert selector.closed


# No room


def test_a_full_server_leaves_the_selector_and_is_asked_again_soon(listening, selector):
    selector.ready[FD] = selectors.EVENT_READ
    listening._server.room = False
    assert [listening.wait(timeout) for timeout in (None, 60.0, 0.001, 0)] == [False] * 4
    assert selector.waits == [ROOM_INTERVAL, ROOM_INTERVAL, 0.001, 0]
    assert not listens(selector)
    listening._server.room = True
    assert listening.wait(None) is True
    assert selector.waits[-1] is None


# Failures


def test_a_failure_of_the_listener_has_it_leave_the_selector_for_longer_and_longer(
    listening, selector, clock
):
    selector.ready[FD] = selectors.EVENT_READ
    pauses = []
    for _ in range(7):
        assert listening.wait(60.0) is True
        fails(listening, clock, EMFILE)
        begin = clock.now
        assert listening.wait(60.0) is False
        assert not listens(selector)
        pauses.append(clock.now - begin)
    assert pauses == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.1])


def test_a_rest_goes_on_over_several_waits(listening, selector, clock):
    selector.ready[FD] = selectors.EVENT_READ
    fails(listening, clock, EMFILE)
    assert listening.wait(0.002) is False
    assert listening.wait(0.002) is False
    assert listening.wait(None) is False
    assert selector.waits == pytest.approx([0.002, 0.002, 0.001])
    assert listening.wait(None) is True


def test_an_error_of_one_request_is_no_reason_to_rest(listening, selector, clock):
    selector.ready[FD] = selectors.EVENT_READ
    for number in (errno.ECONNABORTED, errno.EPERM):
        fails(listening, clock, OSError(number, "as the system says"))
        assert listening.wait(None) is True
    assert selector.waits == [None] * 2


def test_the_pauses_are_short_again_when_the_owner_forgets_the_failures(listening, selector, clock):
    for _ in range(3):
        fails(listening, clock, EMFILE)
    listening._server._backoff = None
    fails(listening, clock, EMFILE)
    listening.wait(None)
    assert selector.waits == pytest.approx([0.005])


def test_a_server_that_is_full_when_its_rest_is_over_rests_on(listening, selector, clock):
    listening._server.room = False
    fails(listening, clock, EMFILE)
    assert listening.wait(None) is False
    assert listening.wait(None) is False
    assert selector.waits == pytest.approx([0.005, ROOM_INTERVAL]) and not listens(selector)


def test_a_listener_that_was_closed_while_it_rests_is_not_registered(listening, selector, clock):
    listening.wait(0)
    fails(listening, clock, OSError(errno.EBADF, "closed"))
    listening.wait(60.0)
    listening._server.fd = -1
    del selector.waits[:]
    assert listening.wait(60.0) is False
    assert 0 < selector.waits[0] <= 0.1 and not listens(selector)


# The waker


@pytest.mark.parametrize("room", [True, False], ids=["listening", "full"])
def test_waking_ends_one_wait_and_is_no_request(room):
    waker = Waker()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server = Server(sock.fileno())
        server.room = room
        selector = RecordingSelector()
        listening = Listening(server, selector, waker)
        for _ in range(3):
            waker.wake()
        assert listening.wait(None) is False
        with pytest.raises(BlockingIOError):
            waker._reader.recv(1)  # nothing is left of it
        listening.close()
    waker.close()


def test_a_request_is_seen_even_if_it_comes_with_a_wake_up(clock, selector):
    waker = Waker()
    listening = Listening(Server(), selector, waker)
    waker.wake()
    selector.ready |= {waker.fileno(): selectors.EVENT_READ, FD: selectors.EVENT_READ}
    assert listening.wait(None) is True
    waker.close()


# What handle_request asks before it uses one again


def test_it_knows_its_listener_and_the_class_of_its_selector(listening, selector):
    listening.wait(0)
    assert listening.fd == FD
    assert listening.made_with(ScriptedSelector)
    assert not listening.made_with(selectors.SelectSelector)
    listening.close()
    assert selector.get_map() is None
