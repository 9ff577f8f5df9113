"""Proves what a classic server says of a request that it can't take, and what it does then."""

import errno
import logging
import selectors
import socket

import pytest

from reactor import StateRequestHandler, TCPServer, base
from tests.support.clock import ManualClock
from tests.support.selecting import ScriptedSelector
from tests.support.servers import PATIENCE, Thread, connected, hosts, made, nothing_left, running

CLASSIC = hosts("TCP", kinds=("", "Threading"))


class Silent(StateRequestHandler):
    """Ends a connection at once."""

    def start(self):
        self.close()


def failing_once(*errors):
    """A `get_request` that raises these in turn, leaving the request where it is, then works."""
    left = list(errors)

    def get_request(self):
        if left:
            raise left.pop(0)
        return super(type(self), self).get_request()

    return get_request


@pytest.mark.parametrize("cls", CLASSIC)
@pytest.mark.parametrize(
    ("error", "level", "words"),
    [
        (OSError(errno.EMFILE, "too many open"), logging.WARNING, "cannot take a request"),
        (OSError(errno.EIO, "broken"), logging.WARNING, "cannot take a request"),
        (
            ConnectionAbortedError(errno.ECONNABORTED, "aborted"),
            logging.DEBUG,
            "was gone before it was taken",
        ),
        (BlockingIOError(errno.EAGAIN, "again"), None, ""),
    ],
)
def test_the_log_says_why_in_one_line_and_the_next_is_served(cls, error, level, words, caplog):
    caplog.set_level(logging.DEBUG, "reactor")
    with nothing_left(), made(cls, Silent, get_request=failing_once(error)) as server:
        with running(server), connected(server) as peer:
            assert peer.rest() == b""
        assert [(record.levelno, words in record.getMessage()) for record in caplog.records] == (
            [] if level is None else [(level, True)]
        )


def test_what_was_held_back_is_counted_when_it_has_been_quiet_for_a_second(caplog, monkeypatch):
    clock = ManualClock()
    for module in ("base", "listening"):
        monkeypatch.setattr(f"reactor.{module}.monotonic", clock)
    turns = []

    def service_actions(self):
        turns.append(clock())
        clock.advance(0.2)
        if "more" in caplog.text or len(turns) == 20:
            self.shutdown()

    broken = [OSError(errno.EIO, "broken") for _ in range(3)]
    attributes = {"get_request": failing_once(*broken), "service_actions": service_actions}
    with made(TCPServer, Silent, **attributes) as server, connected(server) as peer:
        server.serve_forever(0.01)
        assert peer.rest() == b""
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "cannot take a request" in lines[0]
    assert lines[1] == "OSError: 2 more in the last second or so"


@pytest.mark.parametrize("cls", CLASSIC)
def test_a_request_that_is_taken_forgets_the_failures_before_it(cls, monkeypatch):
    clock, waits = ManualClock(), []

    class Selector(ScriptedSelector):
        def __init__(self):
            super().__init__(clock)
            self.ready[server.fileno()] = selectors.EVENT_READ
            self.waits = waits

    def get_request(self):
        if failing.pop(0):
            raise OSError(errno.EMFILE, "too many open")
        return None, None

    def process_request(self, request, client_address):
        """There is none."""

    for module in ("base", "listening"):
        monkeypatch.setattr(f"reactor.{module}.monotonic", clock)
    monkeypatch.setattr(base, "_ServerSelector", Selector)
    failing = [True, True, True, False, True, False]
    hooks = {"get_request": get_request, "process_request": process_request}
    with made(cls, Silent, **hooks) as server:
        while failing:
            server.handle_request()
    rests = [wait for wait in waits if wait is not None]
    assert rests == pytest.approx([0.005, 0.01, 0.02, 0.005])


@pytest.mark.parametrize("cls", CLASSIC)
def test_a_request_that_came_together_with_shutdown_is_left_in_the_queue(cls):
    def _has_room(self):
        if stopping:
            stopping.pop()
            self.shutdown()
        return True

    stopping = [True]
    with nothing_left(), made(cls, Silent, _has_room=_has_room) as server, connected(server) as peer:
        server.serve_forever()
        peer.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.socket.recv(1)
        peer.socket.settimeout(PATIENCE)
        with running(server):
            assert peer.rest() == b""


@pytest.mark.parametrize("cls", CLASSIC)
def test_a_selector_with_a_descriptor_is_closed_when_another_is_needed_and_at_the_end(cls, monkeypatch):
    epoll = getattr(selectors, "EpollSelector", selectors.DefaultSelector)
    monkeypatch.setattr(base, "_ServerSelector", epoll)
    with nothing_left(), made(cls, Silent, timeout=PATIENCE) as server:
        for _ in range(2):
            thread = Thread(server.handle_request)
            with connected(server) as peer:
                assert peer.rest() == b""
            thread.finish()
            with running(server), connected(server) as peer:
                assert peer.rest() == b""
            with server.socket:  # for the next one to have another number
                server.socket = socket.create_server(("127.0.0.1", 0))
            server.server_address = server.socket.getsockname()
            thread = Thread(server.handle_request)
            with connected(server) as peer:
                assert peer.rest() == b""
            thread.finish()


@pytest.mark.parametrize("cls", CLASSIC)
def test_a_selector_that_a_program_puts_in_place_is_taken_at_the_next_request(cls, monkeypatch):
    made_ones = []

    class Counted(selectors.SelectSelector):
        def __init__(self):
            super().__init__()
            made_ones.append(self)

    with nothing_left(), made(cls, Silent, timeout=PATIENCE) as server:
        for selector, expected in (
            (selectors.SelectSelector, 0),
            (Counted, 1),
            (Counted, 1),
        ):
            monkeypatch.setattr(base, "_ServerSelector", selector)
            thread = Thread(server.handle_request)
            with connected(server) as peer:
                assert peer.rest() == b""
            thread.finish()
            assert len(made_ones) == expected
