"""Proves what `handle_error` says: one record with the traceback, and whose request it was."""

from __future__ import annotations

import logging
import socket

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    BaseRequestHandler,
    Line,
    Reactor,
    ReactorTCPServer,
    StateRequestHandler,
    StreamRequestHandler,
    TCPServer,
)
from tests.support.clock import ManualClock
from tests.support.servers import (
    PATIENCE,
    Peer,
    connected,
    datagram_peer,
    ended,
    hosts,
    made,
    program,
    serving,
)


class Raises(StreamRequestHandler):
    def handle(self):
        raise LookupError(self.rfile.readline().decode())


class DatagramRaises(BaseRequestHandler):
    def handle(self):
        raise LookupError(self.request[0].decode())


class StateRaises(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        raise LookupError(line.decode())


class CoroutineRaises(AsyncStreamRequestHandler):
    async def handle(self):
        raise LookupError((await self.rfile.readline()).decode())


def the_record(caplog):
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("reactor", logging.ERROR)
    assert record.exc_info[0] is LookupError and str(record.exc_info[1]) == "a word\n"
    assert record.exc_info[2] is not None
    return record.getMessage()


@pytest.mark.parametrize("handler", [Raises, StateRaises, CoroutineRaises])
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading")))
def test_a_classic_server_names_the_peer(cls, handler, caplog, capfd):
    with serving(cls, handler) as server, connected(server) as peer:
        peer.send(b"a word\n")
        assert peer.rest() == b""
        name = peer.socket.getsockname()
    assert repr(name) in the_record(caplog)
    assert capfd.readouterr() == ("", "")  # nothing is printed where logging is set up


@pytest.mark.parametrize("cls", hosts("UDP", kinds=("", "Threading", "Reactor")))
def test_a_datagrams_sender_is_named(cls, caplog):
    with made(cls, DatagramRaises, timeout=PATIENCE) as server:
        with datagram_peer(server) as peer:
            peer.send(b"a word\n")
            server.handle_request()
            name = peer.getsockname()
        server.server_close()  # waits for the thread
    assert repr(name) in the_record(caplog)


@pytest.mark.parametrize("handler", [StateRaises, CoroutineRaises])
def test_a_reactor_server_names_the_row(handler, caplog):
    class Handler(handler):
        pass

    with serving(ReactorTCPServer, Handler) as server, connected(server) as peer:
        peer.send(b"a word\n")
        assert peer.rest() == b""
        name = peer.socket.getsockname()
    assert the_record(caplog).startswith(f"error in <Handler {name!r} ")


FORKED = """
import sys
from reactor import *

class Raises(StreamRequestHandler):
    def handle(self):
        raise LookupError(self.rfile.readline().decode())

with ForkingTCPServer(("127.0.0.1", 0), Raises) as server:
    print(server.server_address[1], flush=True)
    server.handle_request()
"""


def test_a_child_tells_of_its_own_error_on_stderr_if_no_logging_is_set_up():
    with program(FORKED) as process:
        address = ("127.0.0.1", int(process.stdout.readline()))
        with socket.create_connection(address, PATIENCE) as peer:
            peer.sendall(b"a word\n")
            assert peer.recv(100) == b""
            name = peer.getsockname()
        status, out, err = ended(process)
    assert (status, out) == (0, "")
    assert err.startswith(f"error in the request from {name!r}\nTraceback")
    assert err.count("Traceback") == 1 and err.count("LookupError: a word") == 1


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading")))
def test_a_peer_that_went_away_is_a_debug_line(cls, caplog):
    class Talks(StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            while True:
                self.wfile.write(bytes(1 << 16))

    caplog.set_level(logging.DEBUG, "reactor")
    with made(cls, Talks, timeout=PATIENCE) as server:
        with connected(server) as peer:
            peer.send(b"go\n")
        server.handle_request()
        server.server_close()
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG and "is gone" in record.getMessage() and not record.exc_info


@pytest.mark.parametrize("data", [b"", b"half a mess"])
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading", "Reactor")))
def test_a_peer_that_went_away_in_the_middle_of_a_message_is_a_debug_line_too(cls, data, caplog):
    class Reads(AsyncStreamRequestHandler):
        async def handle(self):
            await self.rfile.readexactly(20)

    caplog.set_level(logging.DEBUG, "reactor")
    with made(cls, Reads, timeout=PATIENCE) as server:
        with connected(server) as peer:
            peer.send(data)
        server.handle_request()
        server.server_close()
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG and "is gone" in record.getMessage() and not record.exc_info


def test_the_same_error_of_our_own_making_is_an_error(caplog):
    """The handler's own broken pipe says nothing of its peer, who is still there."""

    class Fails(StreamRequestHandler):
        def handle(self):
            raise BrokenPipeError(32, "to some helper of its own")

    with made(TCPServer, Fails, timeout=PATIENCE) as server, connected(server) as peer:
        server.handle_request()
        assert peer.rest() == b""
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info[0] is BrokenPipeError


@pytest.mark.parametrize("handler", [Raises, StateRaises, CoroutineRaises])
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading")))
def test_what_comes_from_the_same_place_again_and_again_is_counted(cls, handler, caplog, monkeypatch):
    """A peer that has found out how cannot fill the disk."""
    clock = ManualClock()
    monkeypatch.setattr("reactor.base.monotonic", clock)

    def fail(word):
        with connected(server) as peer:
            peer.send(word)
            assert peer.rest() == b""

    with serving(cls, handler) as server:
        for _ in range(5):
            fail(b"a word\n")
        the_record(caplog)
        clock.advance(2)
        server._flush_log()
        clock.advance(2)
        fail(b"another\n")
    _, count, another = caplog.records
    assert count.levelno == logging.WARNING and ": 4 more in the last second" in count.getMessage()
    assert str(another.exc_info[1]) == "another\n"


def test_errors_from_two_places_are_two_lines(caplog):
    class Raises(StreamRequestHandler):
        def handle(self):
            if self.rfile.readline() == b"one\n":
                raise LookupError
            raise LookupError

    with serving(TCPServer, Raises) as server:
        for word in (b"one\n", b"two\n") * 3:
            with connected(server) as peer:
                peer.send(word)
                assert peer.rest() == b""
    assert len(caplog.records) == 2


def fails(*args):
    raise LookupError("in a hook")


def takes_and_fails(server):
    ReactorTCPServer.get_request(server)[0].close()
    raise LookupError("a header that makes no sense")


@pytest.mark.parametrize(
    "hooks",
    [
        {"get_request": takes_and_fails},
        {"handle_error": fails},
        {"verify_request": fails, "handle_error": fails},
        {"shutdown_request": fails, "handle_error": fails},
    ],
    ids=" and ".join,
)
def test_hooks_that_fail_for_each_peer_are_a_few_lines_and_end_nobody_else(hooks, caplog):
    clock = ManualClock()
    with Reactor(clock=clock) as reactor, made(ReactorTCPServer, StateRaises, **hooks) as server:
        reactor.register(server)
        for _ in range(20):
            with Peer(server.server_address) as peer:
                peer.send(b"a word\n")
                clock.advance(0.01)  # a rest, perhaps
                for _ in range(4):
                    reactor.handle_events(0)
        assert {record.levelname for record in caplog.records} == {"ERROR"}
        assert len(caplog.records) <= 2  # for there are two places
        assert reactor.registered(server) and not reactor.requests


def test_no_count_is_lost_though_nobody_is_connected_any_more(caplog):
    clock = ManualClock()
    with (
        Reactor(clock=clock) as reactor,
        made(ReactorTCPServer, StateRaises, get_request=takes_and_fails) as server,
    ):
        reactor.register(server)
        for _ in range(5):
            with Peer(server.server_address):
                clock.advance(0.01)
                for _ in range(3):
                    reactor.handle_events(0)
        clock.advance(2)
        reactor.handle_events(0)
    assert ": 4 more in the last second" in caplog.records[-1].getMessage() and len(caplog.records) == 2


def test_a_handler_that_cannot_say_who_it_is_ends_no_loop(caplog, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Nameless(StateRaises):
        __repr__ = fails

    with Reactor() as reactor, made(ReactorTCPServer, Nameless) as server:
        reactor.register(server)
        with connected(server) as peer:
            peer.send(b"a word\n")
            for _ in range(4):
                reactor.handle_events(0)
            assert peer.rest() == b""
        assert not reactor.requests
