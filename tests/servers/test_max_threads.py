"""Proves `max_threads`: so many handlers at once and no more, and nobody waits anywhere but in the queue."""

from __future__ import annotations

import os
import queue
import signal
import threading
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import pytest

import reactor.socketserver as face
from reactor import (
    BaseRequestHandler,
    Reactor,
    StreamRequestHandler,
    ThreadingTCPServer,
    ThreadingUDPServer,
    acceptor,
    listening,
)
from tests.support.servers import (
    FOREVER,
    PATIENCE,
    Thread,
    connected,
    datagram_peer,
    hosts,
    in_loop,
    looping,
    made,
    nothing_left,
    running,
)


class Room:
    """Where handlers stay until they are let out, in any order they like."""

    def __init__(self):
        self._lock = threading.Lock()
        self._way_out = threading.Semaphore(0)
        self._arrivals = queue.Queue()
        self.inside = self.most = 0

    def stay(self, name):
        """Called by a handler."""
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self._arrivals.put(name)
        assert self._way_out.acquire(timeout=PATIENCE)
        with self._lock:
            self.inside -= 1

    def arrival(self):
        """The next one to come in."""
        return self._arrivals.get(timeout=PATIENCE)

    @property
    def quiet(self):
        """Whether nobody came in of whom the test does not know."""
        return self._arrivals.empty()

    def let_out(self, how_many=1):
        self._way_out.release(how_many)

    def handler(self):
        """A class of handlers that come here, say their line and stay."""
        room = self

        class Stays(StreamRequestHandler):
            def handle(self):
                line = self.rfile.readline()
                room.stay(line)
                self.wfile.write(line.upper())

        return Stays

    def datagram_handler(self):
        room = self

        class Stays(BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                room.stay(data)
                sock.sendto(data.upper(), self.client_address)

        return Stays


@pytest.fixture
def room():
    """One that is empty again, whatever happens in the test."""
    room = Room()
    yield room
    room.let_out(1000)


def hook(function):
    """Attributes for `made`: while it serves alone the server says so, again and again."""

    def service_actions(self):
        function()

    return {"service_actions": service_actions, "handle_timeout": service_actions, "request_queue_size": 64}


@contextmanager
def driven(how, cls, handler, **attributes):
    """A server at work, and a function that returns when it has looked around a few times more."""
    looked = threading.Semaphore(0)

    def look():
        while looked.acquire(blocking=False):
            pass
        for _ in range(3):
            assert looked.acquire(timeout=PATIENCE), "the server is stuck"

    with made(cls, handler, **(hook(looked.release) | attributes)) as server, ExitStack() as stack:
        if how == "serve_forever":
            stack.enter_context(running(server, FOREVER))
        elif how == "handle_request":
            server.timeout = 0.005
            over = threading.Event()

            def loop():
                while not over.is_set():
                    server.handle_request()

            thread = Thread(loop)
            stack.callback(thread.finish)
            stack.callback(over.set)
        else:
            reactor = stack.enter_context(Reactor())
            reactor.register(server)
            stack.enter_context(looping(reactor))

            def look():
                for _ in range(3):
                    in_loop(reactor, lambda: None)

        yield server, look


EVERY_WAY = pytest.mark.parametrize("how", ["serve_forever", "handle_request", "reactor"])


@EVERY_WAY
@pytest.mark.parametrize("daemons", [False, True], ids=["threads", "daemons"])
@pytest.mark.parametrize("most", [1, 3])
def test_so_many_handlers_at_once_and_the_others_in_turn(how, daemons, most, room):
    attributes = {"max_threads": most, "daemon_threads": daemons}
    with nothing_left():
        with (
            driven(how, ThreadingTCPServer, room.handler(), **attributes) as (server, look),
            ExitStack() as stack,
        ):
            peers = [stack.enter_context(connected(server)) for _ in range(10)]
            for number, peer in enumerate(peers):
                peer.send(b"peer %d\n" % number)
            names = [b"peer %d\n" % number for number in range(10)]
            assert {room.arrival() for _ in range(most)} == set(names[:most])
            for name in names[most:]:
                look()
                assert room.quiet and room.inside == most
                room.let_out()
                assert room.arrival() == name
            room.let_out(most)
            assert [peer.line() for peer in peers] == [name.upper() for name in names]
            for peer in peers:
                assert peer.rest() == b""
        for thread in threading.enumerate():
            if thread.daemon and "process_" in thread.name:
                thread.join(PATIENCE)
    assert room.most == most


@EVERY_WAY
def test_datagrams_wait_in_the_sockets_buffer(how, room):
    handler = room.datagram_handler()
    with (
        driven(how, ThreadingUDPServer, handler, max_threads=2) as (server, look),
        datagram_peer(server) as peer,
    ):
        for number in range(6):
            peer.send(b"word %d" % number)
        assert {room.arrival(), room.arrival()} == {b"word 0", b"word 1"}
        for number in range(2, 6):
            look()
            assert room.quiet and room.inside == 2
            room.let_out()
            assert room.arrival() == b"word %d" % number
        room.let_out(2)
        assert {peer.recv(100) for _ in range(6)} == {b"WORD %d" % number for number in range(6)}
    assert room.most == 2


@EVERY_WAY
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Threading",)))
def test_a_crowd_in_no_order_is_served_by_so_many_threads(how, cls):
    lock, inside, most = threading.Lock(), [], []

    class Counts(StreamRequestHandler):
        def handle(self):
            with lock:
                inside.append(self)
                most.append(len(inside))
            self.wfile.write(self.rfile.readline().upper())
            with lock:
                inside.remove(self)

    with driven(how, cls, Counts, max_threads=4) as (server, _):

        def visit():
            for _ in range(20):
                with connected(server) as peer:
                    assert peer.ask(b"a word\n") == b"A WORD\n"

        visitors = [Thread(visit) for _ in range(8)]
        for visitor in visitors:
            visitor.finish()
    assert len(most) == 160 and max(most) <= 4


@pytest.mark.parametrize("how", ["serve_forever", "reactor"])
def test_a_full_server_is_told_that_a_thread_has_ended(how, room, monkeypatch):
    """Without that it would look at its next interval."""

    def _has_room(self):
        has_room = super(type(self), self)._has_room()
        if not has_room:
            full.set()
        return has_room

    full = threading.Event()
    monkeypatch.setattr(acceptor, "ROOM_INTERVAL", FOREVER)
    monkeypatch.setattr(listening, "ROOM_INTERVAL", FOREVER)
    attributes = {"max_threads": 1, "_has_room": _has_room}
    with (
        driven(how, ThreadingTCPServer, room.handler(), **attributes) as (server, _),
        connected(server) as peer,
        connected(server) as waiting,
    ):
        peer.send(b"one\n")
        waiting.send(b"two\n")
        assert room.arrival() == b"one\n"
        assert full.wait(PATIENCE)
        room.let_out()
        assert room.arrival() == b"two\n"
        room.let_out()
        assert waiting.line() == b"TWO\n"


# A full server listens to everyone but newcomers


def test_shutdown_of_a_full_server_returns_though_no_thread_does(room):
    with (
        made(ThreadingTCPServer, room.handler(), max_threads=1) as server,
        connected(server) as peer,
        connected(server) as waiting,
    ):
        with running(server, FOREVER):
            peer.send(b"one\n")
            waiting.send(b"two\n")
            assert room.arrival() == b"one\n"
        assert room.inside == 1 and room.quiet
        room.let_out(2)
        assert peer.line() == b"ONE\n"
        with running(server, FOREVER):  # and later it goes on where it was
            assert waiting.line() == b"TWO\n"


def test_shutdown_of_a_full_server_in_a_reactor_unregisters_it_and_it_stays_away(room):
    with Reactor() as reactor, made(ThreadingTCPServer, room.handler(), max_threads=1) as server:
        reactor.register(server)
        with looping(reactor), connected(server) as peer, connected(server) as waiting:
            peer.send(b"one\n")
            waiting.send(b"two\n")
            assert room.arrival() == b"one\n"
            for _ in range(3):
                in_loop(reactor, lambda: None)
            server.shutdown()
            assert not in_loop(reactor, reactor.registered, server)
            room.let_out()
            assert peer.line() == b"ONE\n" and peer.rest() == b""
            for _ in range(3):
                in_loop(reactor, lambda: None)
            assert room.quiet
            in_loop(reactor, reactor.register, server)
            assert room.arrival() == b"two\n"
            room.let_out()
            assert waiting.line() == b"TWO\n"


def test_a_signal_is_heard_by_a_full_server(room):
    def fill_and_signal(server):
        with connected(server) as peer, connected(server):
            peer.send(b"one\n")
            room.arrival()
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stopped.wait(PATIENCE)
            room.let_out(2)
            assert peer.line() == b"ONE\n"

    stopped = threading.Event()
    with made(ThreadingTCPServer, room.handler(), max_threads=1) as server:
        previous = signal.signal(signal.SIGUSR1, lambda signum, frame: server.shutdown())
        try:
            thread = Thread(fill_and_signal, server)
            server.serve_forever(FOREVER)
            stopped.set()
            thread.finish()
        finally:
            signal.signal(signal.SIGUSR1, previous)


def test_handle_request_of_a_full_server_times_out_and_takes_the_request_later(room):
    timeouts = []
    with made(ThreadingTCPServer, room.handler(), max_threads=1) as server:
        server.handle_timeout = lambda: timeouts.append(room.inside)
        with connected(server) as peer, connected(server) as waiting:
            peer.send(b"one\n")
            waiting.send(b"two\n")
            server.timeout = PATIENCE
            server.handle_request()
            assert room.arrival() == b"one\n"
            server.timeout = 0.01
            server.handle_request()
            assert timeouts == [1] and room.quiet
            room.let_out()
            assert peer.line() == b"ONE\n"
            server.timeout = PATIENCE
            server.handle_request()
            assert timeouts == [1] and room.arrival() == b"two\n"
            room.let_out()
            assert waiting.line() == b"TWO\n"


def test_process_request_waits_for_nobody(room):
    """A subclass may call it when it likes, so it is the listener that has to wait."""
    with made(ThreadingTCPServer, room.handler(), max_threads=1) as server, ExitStack() as stack:
        peers = [stack.enter_context(connected(server)) for _ in range(2)]
        for peer in peers:
            peer.send(b"a word\n")
            Thread(server.process_request, *server.get_request()).finish()
        room.arrival()
        room.arrival()
        room.let_out(2)
        assert [peer.line() for peer in peers] == [b"A WORD\n"] * 2


@pytest.mark.parametrize("number", [2, 3])
def test_servers_in_one_reactor_are_full_each_for_itself(number):
    rooms = [Room() for _ in range(number)]
    with Reactor() as reactor, ExitStack() as stack:
        stack.callback(lambda: [room.let_out(1000) for room in rooms])
        servers = [
            stack.enter_context(made(ThreadingTCPServer, room.handler(), max_threads=1)) for room in rooms
        ]
        for server in servers:
            reactor.register(server)
        with looping(reactor):
            for server, room in zip(servers, rooms, strict=True):  # the ones before are full already
                first, second = (stack.enter_context(connected(server)) for _ in range(2))
                first.send(b"one\n")
                second.send(b"two\n")
                assert room.arrival() == b"one\n"
            for room in reversed(rooms):
                assert room.quiet
                room.let_out()
                assert room.arrival() == b"two\n"
                room.let_out()
    assert [room.most for room in rooms] == [1] * number


# Threads that end in other ways


class Refusing(threading.Thread):
    """A thread of which the first three do not start."""

    made = 0

    def start(self):
        Refusing.made += 1
        if Refusing.made <= 3:
            raise RuntimeError("can't start new thread")
        super().start()


@EVERY_WAY
def test_a_thread_that_does_not_start_takes_up_no_room(how, room):
    errors = queue.Queue()

    def handle_error(self, request, client_address):
        errors.put(client_address)

    Refusing.made = 0
    attributes = {"max_threads": 1, "handle_error": handle_error}
    with (
        patch.object(face, "threading", SimpleNamespace(Thread=Refusing)),
        driven(how, ThreadingTCPServer, room.handler(), **attributes) as (server, _),
    ):
        for _ in range(3):
            with connected(server) as peer:
                assert peer.rest() == b""
                assert errors.get(timeout=PATIENCE) == peer.socket.getsockname()
        room.let_out()
        with connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
    assert errors.empty() and room.most == 1


@EVERY_WAY
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_a_subclass_with_a_thread_function_of_its_own_gives_its_room_back(how, fails, room):
    def process_request_thread(self, request, client_address):
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)

    class Handler(room.handler()):
        def finish(self):
            super().finish()
            if fails:
                raise SystemExit  # of this thread, past every `except Exception`

    attributes = {"max_threads": 1, "process_request_thread": process_request_thread}
    with (
        driven(how, ThreadingTCPServer, Handler, **attributes) as (server, _),
        ExitStack() as stack,
    ):
        peers = [stack.enter_context(connected(server)) for _ in range(3)]
        for number, peer in enumerate(peers):
            peer.send(b"peer %d\n" % number)
        for number, peer in enumerate(peers):
            assert room.arrival() == b"peer %d\n" % number
            room.let_out()
            assert peer.line() == b"PEER %d\n" % number
    assert room.most == 1


@EVERY_WAY
def test_a_handler_that_raises_gives_its_room_back(how, caplog):
    class Raises(StreamRequestHandler):
        def handle(self):
            raise LookupError("this one")

    with driven(how, ThreadingTCPServer, Raises, max_threads=1) as (server, _):
        for _ in range(3):
            with connected(server) as peer:
                assert peer.rest() == b""
    assert {record.levelname for record in caplog.records} == {"ERROR"}


@EVERY_WAY
def test_a_request_that_is_turned_away_takes_up_no_room(how, room):
    turned_away = threading.Event()

    def verify_request(self, request, client_address):
        verdict = turned_away.is_set()
        turned_away.set()
        return verdict

    attributes = {"max_threads": 1, "verify_request": verify_request}
    with driven(how, ThreadingTCPServer, room.handler(), **attributes) as (server, _):
        with connected(server) as peer:
            assert peer.rest() == b""
        room.let_out()
        with connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"


def test_without_it_there_is_no_limit(room):
    with (
        driven("serve_forever", ThreadingTCPServer, room.handler()) as (server, _),
        ExitStack() as stack,
    ):
        assert ThreadingTCPServer.max_threads is None
        for _ in range(20):
            stack.enter_context(connected(server)).send(b"a word\n")
        for _ in range(20):
            room.arrival()
        assert room.inside == 20
        room.let_out(20)
