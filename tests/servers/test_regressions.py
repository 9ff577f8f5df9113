"""Proves that what once went wrong with servers and clients stays right: each test failed before its cause
was mended."""

import errno
import os
import selectors
import socket
import socketserver
import sys
import threading
from contextlib import ExitStack

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    DatagramRequestHandler,
    ForkingTCPServer,
    Limits,
    Line,
    Reactor,
    ReactorTCPServer,
    ReactorUDPServer,
    StateRequestHandler,
    StreamRequestHandler,
    ThreadingUDPServer,
    connect,
)
from tests.support.clock import ManualClock
from tests.support.servers import (
    FORKS,
    PATIENCE,
    Thread,
    connected,
    datagram_peer,
    in_loop,
    looping,
    made,
    nothing_left,
)


class Upper(StateRequestHandler):
    """Lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


def turns(reactor, times=10):
    """Take so many turns, waiting for nothing; how many descriptors were ready in all of them."""
    return sum(reactor.handle_events(0) for _ in range(times))


# Clients


class Client(StateRequestHandler):
    """Tells what happens to it, in order."""

    def __init__(self, *args):
        self.said = []
        super().__init__(*args)

    def start(self):
        self.said.append("start")
        self.expect(Line(), self.said.append)

    def handle_exception(self, exc):
        self.said.append(type(exc))
        super().handle_exception(exc)

    def handle_close(self):
        super().handle_close()
        self.said.append("closed")


@pytest.fixture
def listener(tmp_path):
    """A path where somebody listens: connecting to it takes no time."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.listen()
        yield sock


def to_the_end(reactor, client):
    """Turn the loop until the client has ended; what it said."""
    late = []
    timer = reactor.call_later(PATIENCE, late.append, True)
    while "closed" not in client.said:
        reactor.handle_events()
        assert not late, "nothing came of it"
    timer.cancel()
    turns(reactor)
    return client.said


def after(reactor, steps, function):
    """Call *function* so many calls later."""
    if steps:
        reactor.call_soon(after, reactor, steps - 1, function)
    else:
        function()


def test_a_client_that_is_closed_at_any_step_of_connecting_leaves_no_descriptor(listener):
    kept = []
    with nothing_left(), Reactor() as reactor:
        for steps in range(6):
            client = connect(reactor, listener.getsockname(), Client)
            kept.append(client)  # so that the collector closes nothing
            after(reactor, steps, client.close)
            assert to_the_end(reactor, client) in (["closed"], ["start", "closed"])
            assert client.socket is None or client.socket.fileno() == -1
        assert not reactor.requests
    assert kept[0].said == ["closed"] and kept[-1].said == ["start", "closed"]


def test_a_client_that_is_made_and_closed_in_one_call_gets_its_closing_call_only(listener):
    clients = []

    def make_and_close():
        clients.append(connect(reactor, listener.getsockname(), Client))
        clients[0].close()

    with nothing_left(), Reactor() as reactor:
        reactor.call_soon(make_and_close)
        turns(reactor)
        assert clients[0].said == ["closed"]
        assert not reactor.requests


def test_a_name_that_cannot_be_one_arrives_at_the_handler_then_one_closing_call():
    with nothing_left(), Reactor() as reactor:
        client = connect(reactor, ("a..b", 1), Client)
        assert client.said == []
        error, closed = to_the_end(reactor, client)
        assert issubclass(error, UnicodeError) and closed == "closed"
        assert not reactor.requests


def test_a_refusal_is_one_line_without_a_traceback(caplog):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with Reactor() as reactor:
        assert to_the_end(reactor, connect(reactor, address, Client)) == [ConnectionRefusedError, "closed"]
    (record,) = caplog.records
    assert not record.exc_info and "\n" not in record.getMessage()


@pytest.mark.parametrize("disable", [False, True])
def test_a_client_decides_about_the_nagle_algorithm(disable):
    class Asking(Client):
        disable_nagle_algorithm = disable

        def start(self):
            self.said.append(self.request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
            self.close()

    with socket.create_server(("127.0.0.1", 0)) as sock, Reactor() as reactor:
        assert to_the_end(reactor, connect(reactor, sock.getsockname(), Asking)) == [disable, "closed"]


# Forking in a reactor


class Waits(StreamRequestHandler):
    """A blocking handler: one line there and one back."""

    def handle(self):
        self.wfile.write(b"ready\n")
        self.wfile.write(self.rfile.readline().upper())


@FORKS
def test_a_forking_server_with_all_its_children_busy_holds_nobody_up_and_goes_on():
    with (
        nothing_left(),
        Reactor() as reactor,
        made(ForkingTCPServer, Waits, max_children=2) as forking,
        made(ReactorTCPServer, Upper) as other,
    ):
        reactor.register(forking)
        reactor.register(other)
        with looping(reactor), ExitStack() as peers:
            first, second = (peers.enter_context(connected(forking)) for _ in range(2))
            assert first.line() == second.line() == b"ready\n"
            in_loop(reactor, forking.service_actions)  # as the loop itself does twice a second
            third = peers.enter_context(connected(forking))
            for _ in range(3):
                with connected(other) as peer:
                    assert peer.ask(b"a word\n") == b"A WORD\n"
            in_loop(reactor, forking.service_actions)
            assert first.ask(b"one\n") == b"ONE\n"
            assert third.line() == b"ready\n"
            assert third.ask(b"three\n") == b"THREE\n"
            assert second.ask(b"two\n") == b"TWO\n"


def test_the_standard_forking_server_may_wait_for_its_children_and_has_to_be_agreed_to():
    with Reactor() as reactor, made(socketserver.ForkingTCPServer, Waits) as server:
        with pytest.raises(ValueError, match="may_block"):
            reactor.register(server)
        reactor.register(server, may_block=True)
        assert reactor.registered(server)


# A handler closes its server


class StateCloser(StateRequestHandler):
    """Closes its server at the word."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        if line == b"close\n":
            self.server.server_close()
        else:
            self.close()


class CoroutineCloser(AsyncStreamRequestHandler):
    """The same as a coroutine."""

    async def handle(self):
        async for line in self.rfile:
            if line != b"close\n":
                return
            self.server.server_close()


@pytest.mark.parametrize("closer", [StateCloser, CoroutineCloser])
@pytest.mark.parametrize("when", ["accepted in this call", "accepted earlier"])
def test_a_handler_may_close_its_server_in_handle_request(closer, when):
    errors = []

    def handle_error(self, request, client_address):
        errors.append(request)

    with nothing_left(), made(ReactorTCPServer, closer, handle_error=handle_error) as server:
        with connected(server) as peer:
            if when == "accepted earlier":
                with connected(server) as another:
                    another.send(b"go\n")
                    another.half_close()
                    Thread(server.handle_request).finish()
            peer.send(b"close\n")
            Thread(server.handle_request).finish()
            assert peer.rest() == b""
        assert server.fileno() == -1
    assert not errors


# Handlers whose constructor fails


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_constructor_that_ends_its_connection_and_raises_leaves_nothing(how):
    failures = 3
    errors = []

    class Handler(Upper):
        def __init__(self, *args):
            nonlocal failures
            super().__init__(*args)
            if failures:
                failures -= 1
                self.write(b"busy\n")
                getattr(self, how)()
                raise ValueError("a constructor")

    def handle_error(self, request, client_address):
        errors.append(str(sys.exception()))

    selector = selectors.DefaultSelector()
    attributes = {"limits": Limits(max_connections=1), "handle_error": handle_error}
    with Reactor(selector) as reactor, made(ReactorTCPServer, Handler, **attributes) as server:
        reactor.register(server)
        watched = len(selector.get_map())
        for number in (1, 2, 3):
            with connected(server):
                turns(reactor)
                assert errors == ["a constructor"] * number
                assert not reactor.requests
                assert len(selector.get_map()) == watched
        with connected(server) as first:
            first.send(b"a word\n")
            turns(reactor)
            assert first.line() == b"A WORD\n"
            with connected(server) as second:  # one too many, as it should be
                turns(reactor)
                assert len(reactor.requests) == 1
                assert second.rest() == b""


# Listeners


def test_a_listener_that_is_closed_under_its_reactor_does_not_spin():
    with Reactor(selectors.PollSelector()) as reactor, made(ReactorTCPServer, Upper) as server:
        reactor.register(server)
        server.socket.close()
        assert turns(reactor, 50) <= 3


@pytest.fixture
def paused():
    """A reactor, its clock, and a server in it that is out of descriptors, with somebody waiting."""

    def get_request(self):
        self.tries = getattr(self, "tries", 0) + 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    clock = ManualClock()
    with Reactor(clock=clock) as reactor, made(ReactorTCPServer, Upper, get_request=get_request) as server:
        reactor.register(server)
        with connected(server):
            turns(reactor, 3)
            assert server.tries == 1
            yield reactor, clock, server


def test_a_server_whose_accepting_is_paused_is_registered_still(paused):
    reactor, clock, server = paused
    with pytest.raises(KeyError):
        reactor.register(server)
    clock.advance(1.0)
    turns(reactor, 3)
    assert server.tries == 2


def test_a_server_whose_accepting_is_paused_can_be_unregistered_and_stays_away(paused):
    reactor, clock, server = paused
    reactor.unregister(server)
    assert not reactor.registered(server)
    for _ in range(5):
        clock.advance(1.0)
        turns(reactor, 3)
    assert server.tries == 1
    reactor.register(server)  # until it is wanted again
    turns(reactor, 3)
    assert server.tries == 2


# Datagrams


def test_a_datagrams_reply_that_is_under_way_when_draining_begins_is_sent():
    begun, go_on = threading.Event(), threading.Event()

    class Late(DatagramRequestHandler):
        def handle(self):
            begun.set()
            assert go_on.wait(PATIENCE)
            self.wfile.write(b"late")

    with Reactor() as reactor, made(ThreadingUDPServer, Late) as server, datagram_peer(server) as peer:
        reactor.register(server)
        thread = Thread(reactor.run)
        try:
            peer.send(b"a word")
            assert begun.wait(PATIENCE)
            reactor.drain()
            in_loop(reactor, bool)  # by then it has begun
        finally:
            go_on.set()
        thread.finish()
        assert peer.recv(100) == b"late"


def test_sendto_without_an_address_is_the_callers_error():
    raised = []

    class NoAddress(DatagramRequestHandler):
        def handle(self):
            try:
                self.socket.sendto(b"x")
            except Exception as exc:
                raised.append(type(exc))
            self.wfile.write(b"goes on")

    with Reactor() as reactor, made(ReactorUDPServer, NoAddress) as server, datagram_peer(server) as peer:
        reactor.register(server)
        peer.send(b"a word")
        turns(reactor, 3)
        assert raised == [TypeError]
        assert peer.recv(100) == b"goes on"


def test_shutdown_of_a_registered_standard_server_returns_and_unregisters_it():
    """It waits for an event that only its own serve_forever would set."""
    clock = ManualClock()
    with Reactor(clock=clock) as reactor, socketserver.ThreadingTCPServer(("127.0.0.1", 0), None) as server:
        reactor.register(server)
        server.shutdown()
        clock.advance(0.5)
        reactor.handle_events(0)
        assert not reactor.registered(server)
