"""Proves that servers of every kind share one Reactor: served, shut down one by one, closed together."""

import errno
import os
import socket
import socketserver
import threading
from contextlib import ExitStack
from itertools import pairwise

import pytest

import reactor as package
from reactor import (
    BaseRequestHandler,
    Limits,
    Line,
    Reactor,
    ReactorMixIn,
    ReactorTCPServer,
    ReactorUDPServer,
    StateRequestHandler,
    StreamRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    UDPServer,
)
from tests.support.clock import ManualClock
from tests.support.servers import (
    FORKS,
    PATIENCE,
    Peer,
    Thread,
    await_threads,
    connected,
    datagram_peer,
    ended,
    hosts,
    in_loop,
    looping,
    made,
    nothing_left,
    program,
    running,
)


class Upper(StateRequestHandler):
    """Lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


class PlainUpper(StreamRequestHandler):
    """The same, one line, blocking."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


class UpperDatagram(BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


def handler_for(cls):
    return Upper if cls.socket_type == socket.SOCK_STREAM else UpperDatagram


def is_served(server):
    if server.socket_type == socket.SOCK_STREAM:
        with connected(server) as peer:
            answer = peer.ask(b"a word\n")
            peer.half_close()
            return answer == b"A WORD\n" and peer.rest() == b""
    with datagram_peer(server) as peer:
        peer.send(b"a word")
        return peer.recv(100) == b"A WORD"


OURS = hosts("TCP", "UDP", "UnixStream", "UnixDatagram")
IN_PROCESS = hosts("TCP", "UDP", kinds=("", "Threading", "Reactor"))
ALL = hosts("TCP", "UDP", "UnixStream", "UnixDatagram", standard=True)


@FORKS
def test_servers_of_every_kind_are_served_side_by_side_and_closed_together():
    with nothing_left(), ExitStack() as stack:
        servers = []
        reactor = stack.enter_context(Reactor())
        for parameter in ALL:
            cls = parameter.values[0]
            server = stack.enter_context(made(cls, handler_for(cls)))
            reactor.register(server, may_block=True)
            servers.append(server)
        with looping(reactor):
            for server in servers + servers[::-1]:
                assert is_served(server)
        reactor.close()
        assert [server.fileno() for server in servers] == [-1] * len(servers)


@pytest.mark.parametrize("module", [package, socketserver], ids=["ours", "socketserver's"])
def test_a_server_that_can_hold_up_everyone_has_to_be_agreed_to(module):
    with made(module.TCPServer, PlainUpper) as server, Reactor() as reactor:
        with pytest.raises(ValueError, match=r"may_block=True") as caught:
            reactor.register(server)
        assert "ThreadingMixIn" in str(caught.value)
        assert not reactor.registered(server)
        reactor.register(server, may_block=True)
        with looping(reactor):
            assert is_served(server)


def test_a_server_that_was_refused_serves_alone_as_if_nothing_had_been():
    with nothing_left(), made(TCPServer, PlainUpper) as server, Reactor() as reactor:
        with pytest.raises(ValueError, match="may_block"):
            reactor.register(server)
        with stopping_whatever_happens(server), running(server):
            assert is_served(server)


class stopping_whatever_happens:
    """So that a `shutdown` that goes astray fails a test and does not hang it."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.timer = threading.Timer(2.0, self.stop)
        self.timer.start()
        self.astray = False

    def stop(self):
        self.astray = True
        self.server._lifecycle.stop()

    def __exit__(self, *exc_info):
        self.timer.cancel()
        self.timer.join()
        assert not self.astray, "shutdown() did not reach serve_forever()"


@pytest.mark.parametrize("cls", IN_PROCESS)
def test_service_actions_is_called_twice_a_second(cls):
    calls = []

    def service_actions(self):
        calls.append(clock.now - 1000.0)

    clock = ManualClock(1000.0)
    with (
        Reactor(clock=clock) as reactor,
        made(cls, handler_for(cls), service_actions=service_actions) as server,
    ):
        reactor.register(server, may_block=True)
        for _ in range(8):
            clock.advance(0.25)
            reactor.handle_events(0)
    assert calls == [0.5, 1.0, 1.5, 2.0]


@FORKS
def test_a_registered_forking_server_collects_its_children():
    class Collects(package.ForkingTCPServer):
        def service_actions(self):
            super().service_actions()
            if had_children and not self.active_children:
                collected.set()

        def process_request(self, request, client_address):
            super().process_request(request, client_address)
            had_children.append(True)

    had_children, collected = [], threading.Event()
    with Reactor() as reactor, made(Collects, Upper) as server:
        reactor.register(server)
        with looping(reactor):
            assert is_served(server)
            assert collected.wait(PATIENCE)


# One of several


@pytest.mark.parametrize("cls", OURS)
def test_shutdown_of_one_server_unregisters_that_one_only_and_it_may_serve_alone(cls):
    with nothing_left(), ExitStack() as stack:
        reactor = stack.enter_context(Reactor())
        server = stack.enter_context(made(cls, handler_for(cls)))
        other = stack.enter_context(made(ReactorUDPServer, UpperDatagram))
        reactor.register(server, may_block=True)
        reactor.register(other)
        with looping(reactor):
            assert is_served(server)
            server.shutdown()
            assert not in_loop(reactor, reactor.registered, server)
            assert server.socket.gettimeout() is None  # given back as it was
            assert is_served(other)
        if not isinstance(server, ReactorMixIn):  # those stay with their reactor
            with stopping_whatever_happens(server), running(server):
                assert is_served(server)


@pytest.mark.parametrize("cls", OURS)
def test_a_server_that_was_shut_down_may_be_registered_again(cls):
    with Reactor() as reactor, made(cls, handler_for(cls)) as server:
        reactor.register(server, may_block=True)
        with looping(reactor):
            for _ in range(2):
                assert is_served(server)
                server.shutdown()
                in_loop(reactor, lambda: reactor.register(server, may_block=True))
            assert is_served(server)


@pytest.mark.parametrize("cls", IN_PROCESS)
def test_registering_a_server_twice_is_refused_and_changes_nothing(cls):
    with Reactor() as reactor, made(cls, handler_for(cls)) as server:
        reactor.register(server, may_block=True)
        with pytest.raises(KeyError, match="registered already"):
            reactor.register(server, may_block=True)
        with looping(reactor):
            assert is_served(server)
            server.shutdown()
            assert not in_loop(reactor, reactor.registered, server)


@pytest.mark.parametrize("cls", IN_PROCESS)
def test_unregister_is_enough_to_stop_serving_a_server(cls):
    with Reactor() as reactor, made(cls, handler_for(cls)) as server:
        reactor.register(server, may_block=True)
        reactor.unregister(server)
        with looping(reactor):
            assert not in_loop(reactor, reactor.registered, server)
        if not isinstance(server, ReactorMixIn):
            with stopping_whatever_happens(server), running(server):
                assert is_served(server)


def test_connections_outlive_the_shutdown_of_their_registered_server():
    with nothing_left(), Reactor() as reactor, made(ReactorTCPServer, Upper) as server:
        reactor.register(server)
        with looping(reactor), connected(server) as peer:
            assert peer.ask(b"first\nhalf a ") == b"FIRST\n"
            server.shutdown()
            assert peer.ask(b"request\n") == b"HALF A REQUEST\n"
            peer.half_close()
            assert peer.rest() == b""


@pytest.mark.parametrize("cls", IN_PROCESS)
def test_another_thread_may_close_one_server_and_the_rest_goes_on(cls):
    with nothing_left(), ExitStack() as stack:
        reactor = stack.enter_context(Reactor(debug=True))
        server = stack.enter_context(made(cls, handler_for(cls)))
        other = stack.enter_context(made(ReactorTCPServer, Upper))
        reactor.register(server, may_block=True)
        reactor.register(other)
        with looping(reactor), connected(other) as peer:
            assert peer.ask(b"first\n") == b"FIRST\n"
            assert is_served(server)
            server.server_close()
            assert server.fileno() == -1
            assert peer.ask(b"second\n") == b"SECOND\n"
            peer.half_close()
            assert peer.rest() == b""


def test_a_registered_reactor_server_cannot_serve_alone():
    with Reactor() as reactor, made(ReactorTCPServer, Upper) as server:
        reactor.register(server)
        with pytest.raises(RuntimeError, match=r"run\(\) that instead"):
            server.serve_forever()
        with pytest.raises(RuntimeError, match=r"run\(\) that instead"):
            server.handle_request()
        with looping(reactor):
            assert is_served(server)


def test_leaving_the_with_aborts_the_connections_of_a_reactor_server():
    with nothing_left(), made(ReactorTCPServer, Upper) as server:
        with Reactor() as reactor:
            reactor.register(server)
            with looping(reactor):
                peer = connected(server)
                assert peer.ask(b"first\nhalf a") == b"FIRST\n"
        with peer:
            assert peer.rest() == b""
        assert server.fileno() == -1


def test_each_server_keeps_its_own_limits():
    class One(ReactorTCPServer):
        limits = Limits(max_connections=1)

    with Reactor() as reactor, made(One, Upper) as one, made(ReactorTCPServer, Upper) as many:
        reactor.register(one)
        reactor.register(many)
        with looping(reactor), connected(one) as first, connected(many) as a, connected(many) as b:
            for peer in (first, a, b):
                assert peer.ask(b"x\n") == b"X\n"
            with connected(one) as refused:
                assert refused.rest() == b""


@pytest.mark.parametrize("registered", [True, False])
@pytest.mark.parametrize("max_threads", [None, 9])
def test_limits_that_a_server_is_given_while_it_serves_hold_from_then_on(registered, max_threads):
    with Reactor() as reactor, made(ThreadingTCPServer, Upper, max_threads=max_threads) as server:
        if registered:
            reactor.register(server)
        with looping(reactor) if registered else running(server):
            threads = set(threading.enumerate())
            assert is_served(server)
            await_threads(threads)  # a connection counts until then
            server.limits = Limits(max_connections=1)
            with connected(server) as first:
                assert first.ask(b"x\n") == b"X\n"
                with connected(server) as refused:
                    assert refused.rest() == b""


# What accept can say


def failing(times, error):
    """A `get_request` that raises *error* so many times before it works; counts its calls."""

    def get_request(self):
        get_request.calls += 1
        if get_request.calls <= times:
            raise error
        return super(type(self), self).get_request()

    get_request.calls = 0
    return get_request


TAKERS = hosts("TCP", kinds=("", "Threading", "Reactor"), standard=True)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EINVAL])
@pytest.mark.parametrize("cls", TAKERS)
def test_accepting_pauses_without_spinning_longer_each_time_and_resumes(cls, code, caplog):
    clock = ManualClock()
    get_request = failing(7, OSError(code, os.strerror(code)))
    with Reactor(clock=clock) as reactor, made(cls, plain_or_state(cls), get_request=get_request) as server:
        reactor.register(server, may_block=True)
        with connected(server) as peer:
            peer.send(b"a word\n")
            tries = []
            for milliseconds in range(800):
                for _ in range(3):
                    before = get_request.calls
                    reactor.handle_events(0)
                    if get_request.calls != before and before < 7:
                        tries.append(milliseconds)
                if get_request.calls > 7:
                    break
                clock.advance(0.001)
            # Each pause is twice the one before, from 5 to 100 ms (a turn later by rounding at most).
            pauses = [later - earlier for earlier, later in pairwise(tries)]
            assert pauses == pytest.approx([5, 10, 20, 40, 80, 100], abs=1)
            reactor.handle_events(0)
            assert peer.line() == b"A WORD\n"
            assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


def plain_or_state(cls):
    """The handler that waits least: a plain one, where that is allowed."""
    return Upper if issubclass(cls, ReactorMixIn) else PlainUpper


@pytest.mark.parametrize("error", [ConnectionAbortedError(errno.ECONNABORTED, "aborted"), InterruptedError()])
@pytest.mark.parametrize("cls", TAKERS)
def test_a_connection_that_is_gone_before_it_is_accepted_is_passed_over(cls, error, caplog):
    with Reactor() as reactor, made(cls, plain_or_state(cls), get_request=failing(2, error)) as server:
        reactor.register(server, may_block=True)
        with looping(reactor), connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
    assert not caplog.records


@pytest.fixture
def paused():
    """A reactor and a server of each kind in it that is out of descriptors, and its clock."""
    with ExitStack() as stack:
        clock = ManualClock()
        reactor = stack.enter_context(Reactor(clock=clock))

        def make(cls):
            get_request = failing(1, OSError(errno.EMFILE, "too many"))
            server = stack.enter_context(made(cls, plain_or_state(cls), get_request=get_request))
            reactor.register(server, may_block=True)
            peer = stack.enter_context(connected(server))
            peer.send(b"a word\n")
            reactor.handle_events(0)
            assert get_request.calls == 1
            assert server.fileno() not in reactor._selector.get_map()  # though it counts as registered
            return reactor, clock, server, get_request

        yield make


@pytest.mark.parametrize("cls", TAKERS)
def test_a_server_whose_accepting_is_paused_is_closed_with_the_reactor(cls, paused):
    reactor, _, server, _ = paused(cls)
    reactor.close()
    assert server.fileno() == -1


@pytest.mark.parametrize("cls", TAKERS)
def test_a_server_whose_accepting_is_paused_does_not_come_back_while_draining(cls, paused):
    reactor, clock, server, get_request = paused(cls)
    reactor.drain()
    reactor.handle_events(0)
    clock.advance(1.0)
    reactor.handle_events(0)
    reactor.handle_events(0)
    assert get_request.calls == 1
    assert not reactor.requests
    assert server.fileno() == -1  # newcomers are refused, not kept waiting


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading", "Reactor")))
def test_a_server_whose_accepting_is_paused_stays_away_after_shutdown(cls, paused):
    reactor, clock, server, get_request = paused(cls)
    server.shutdown()
    reactor.handle_events(0)
    clock.advance(1.0)
    reactor.handle_events(0)
    reactor.handle_events(0)
    assert get_request.calls == 1 and not reactor.registered(server)


OUT_OF_DESCRIPTORS = """
import resource
from reactor import *

class Upper(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        if line == b"stop\\n":
            self.server.shutdown()
        self.write(line.upper())

class Server(ReactorTCPServer):
    limits = None

resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with Server(("127.0.0.1", 0), Upper) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_utime < 5)
"""


def test_a_process_out_of_descriptors_serves_the_rest_when_it_has_some_again():
    with program(OUT_OF_DESCRIPTORS) as process, ExitStack() as stack:
        address = ("127.0.0.1", int(process.stdout.readline()))
        peers = [stack.enter_context(Peer(address)) for _ in range(60)]
        assert peers[0].ask(b"first\n") == b"FIRST\n"
        peers[-1].send(b"last\n")
        for peer in peers[1:40]:
            peer.half_close()
            assert peer.rest() == b""
        assert peers[-1].line() == b"LAST\n"
        assert peers[0].ask(b"stop\n") == b"STOP\n"
        status, out, err = ended(process)
        assert (status, out) == (0, "True\n")
        assert "cannot take a request" in err and "Traceback" not in err


def test_datagram_errors_are_passed_over_too():
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "an earlier answer came to nobody")
    for cls in (UDPServer, ReactorUDPServer, socketserver.UDPServer):
        with Reactor() as reactor, made(cls, UpperDatagram, get_request=failing(2, refused)) as server:
            reactor.register(server)
            with looping(reactor):
                assert is_served(server)


def test_a_hook_that_closes_its_server_ends_its_accepting_only():
    class Closes(ThreadingTCPServer):
        def verify_request(self, request, client_address):
            self.server_close()
            return False

    with (
        nothing_left(),
        Reactor() as reactor,
        made(Closes, PlainUpper) as server,
        made(ReactorTCPServer, Upper) as other,
    ):
        reactor.register(server)
        reactor.register(other)
        with looping(reactor):
            with connected(server) as peer:
                assert peer.rest() == b""
            assert server.fileno() == -1
            assert Thread(is_served, other).finish()
