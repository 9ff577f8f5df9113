# ruff: noqa: SIM117 -- nested, as the things are
"""Proves that a classic server with `limits` ends what passes one, says so in one line, and goes on."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import importlib
import logging
import select
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

import reactor.base
import reactor.limited
import reactor.socketserver
from reactor import (
    AsyncStreamRequestHandler,
    BaseRequestHandler,
    DatagramRequestHandler,
    ForkingMixIn,
    ForkingTCPServer,
    Limits,
    Line,
    Reactor,
    StateRequestHandler,
    StreamRequestHandler,
    ThreadingMixIn,
    ThreadingTCPServer,
)
from reactor.limits import LimitExceeded
from reactor.log import Throttle
from tests.support.clock import ManualClock
from tests.support.servers import (
    FORKS,
    PATIENCE,
    Channel,
    Peer,
    connected,
    datagram_peer,
    ended,
    hosts,
    looping,
    made,
    nothing_left,
    program,
    running,
    serving,
)

CLASSIC = ("", "Threading", "Forking")
BIG = 8 << 20
#: Real seconds of a limit that has to pass.
WHILE = 0.2


class Lines(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(bytes(BIG) if line == b"big\n" else line.upper())


class Buffered(Lines):
    wbufsize = -1

    def handle(self):
        for line in self.rfile:
            self.wfile.write(bytes(BIG) if line == b"big\n" else line.upper())
            self.wfile.flush()


class States(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(bytes(BIG) if line == b"big\n" else line.upper())


class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            for piece in [bytes(65536)] * (BIG >> 16) if line == b"big\n" else [line.upper()]:
                self.wfile.write(piece)
                await self.wfile.drain()


every_handler = pytest.mark.parametrize("handler", [Lines, Buffered, States, Coroutine])
concurrent = pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Threading", "Forking")))


class Log(logging.Handler):
    """What is logged in any thread or child."""

    def __init__(self, channel):
        super().__init__(logging.WARNING)
        self._channel = channel

    def emit(self, record):
        self._channel.say(f"{record.levelname}{' TRACEBACK' * bool(record.exc_info)}: {record.getMessage()}")


@pytest.fixture
def log():
    logger = logging.getLogger("reactor")
    with Channel() as channel:
        handler = Log(channel)
        logger.addHandler(handler)
        channel.handler = handler
        level, propagate = logger.level, logger.propagate
        try:
            yield channel
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


@pytest.fixture
def debug_log(log):
    log.handler.setLevel(logging.DEBUG)
    logging.getLogger("reactor").setLevel(logging.DEBUG)
    return log


def name_of(peer):
    """What a server calls it."""
    return repr(peer.socket.getsockname())


def end_of(peer):
    """Wait until the connection is over; how many bytes came before that."""
    count = 0
    try:
        while data := peer.socket.recv(65536):
            count += len(data)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return count


def is_served(server):
    """Whether somebody new is served. A machine that stands still for as long as the limit is no news."""
    for _ in range(20):
        with connected(server) as peer:
            try:
                if peer.ask(b"hello\n") == b"HELLO\n":
                    return True
            except ConnectionError:
                pass
    return False


def reset(peer):
    """Close with a reset."""
    peer.file.close()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


# What an offender does


def says_nothing(peer):
    pass


def trickles(peer):
    deadline = time.monotonic() + PATIENCE
    try:
        while not select.select([peer.socket], [], [], WHILE / 10)[0]:
            assert time.monotonic() < deadline
            peer.send(b"x")
    except (BrokenPipeError, ConnectionResetError):
        pass


def never_reads(peer):
    peer.send(b"big\n")


def says_too_much(peer):
    peer.send(b"x" * 101)


OFFENCES = {
    "idle_timeout": (WHILE, says_nothing),
    "request_timeout": (WHILE, trickles),
    "send_timeout": (WHILE, never_reads),
    "max_request_size": (100, says_too_much),
}
each_offence = pytest.mark.parametrize("name", list(OFFENCES))


@contextmanager
def offending(server, name):
    """A peer that passes a limit."""
    with connected(server, 4096) as peer:
        OFFENCES[name][1](peer)
        yield peer


def limits_of(name, **others):
    return Limits(**{name: OFFENCES[name][0]}, **others)


def cases(*rows):
    """Parameters cls, handler, name: rows of a server, a handler and the limits it is to pass, or all.
    The state machines and coroutines wait for a sweep, so there are few of those."""
    found = []
    for server, handler, *names in rows:
        marks = [FORKS] if server.startswith("Forking") else []
        for name in names or OFFENCES:
            found.append(
                pytest.param(
                    getattr(reactor, server),
                    handler,
                    name,
                    id=f"{server}-{handler.__name__}-{name}",
                    marks=marks,
                )
            )
    return pytest.mark.parametrize(("cls", "handler", "name"), found)


@cases(
    ("TCPServer", Lines, "idle_timeout", "max_request_size"),
    ("ThreadingTCPServer", Lines),
    ("ForkingTCPServer", Lines, "request_timeout", "send_timeout", "max_request_size"),
    ("ThreadingUnixStreamServer", Lines, "send_timeout"),
    ("ThreadingTCPServer", Buffered, "send_timeout", "max_request_size"),
    ("TCPServer", States, "max_request_size"),
    ("ThreadingTCPServer", States, "request_timeout"),
    ("ForkingTCPServer", Coroutine, "max_request_size"),
)
def test_passing_a_limit_costs_one_connection_and_one_line(cls, handler, name, log):
    with serving(cls, handler, limits=limits_of(name)) as server, offending(server, name) as peer:
        line = log.hear()
        assert name in line and name_of(peer) in line and line.startswith("WARNING: closing ")
        assert f"{OFFENCES[name][0]:g}" in line
        assert end_of(peer) < BIG
        assert is_served(server)
    assert [line for line in log.everything() if name_of(peer) in line] == []


@pytest.mark.parametrize(
    ("cls", "handler"),
    [
        (ThreadingTCPServer, Lines),
        pytest.param(ForkingTCPServer, Lines, marks=FORKS),
    ],
)
def test_others_are_served_while_one_trickles(cls, handler, log):
    with serving(cls, handler, limits=Limits(request_timeout=WHILE)) as server:
        with connected(server) as slow, connected(server) as other:
            slow.send(b"x")
            for _ in range(20):
                assert other.ask(b"hello\n") == b"HELLO\n"
            trickles(slow)
            end_of(slow)
            assert other.ask(b"hello\n") == b"HELLO\n"
            line = log.hear()
            assert "request_timeout" in line and name_of(slow) in line


@cases(
    ("TCPServer", Lines, "idle_timeout", "max_request_size"),
    ("ThreadingTCPServer", Lines, "request_timeout", "max_request_size"),
    ("ThreadingTCPServer", Buffered, "send_timeout"),
    ("ForkingTCPServer", Lines, "max_request_size"),
)
def test_handle_error_is_called_and_there_is_no_traceback(cls, handler, name, log):
    with Channel() as errors:

        def handle_error(self, request, client_address):
            exc = sys.exception()
            errors.say(f"{isinstance(exc, LimitExceeded)} {isinstance(exc, TimeoutError)} {client_address!r}")
            cls.handle_error(self, request, client_address)

        with serving(cls, handler, limits=limits_of(name), handle_error=handle_error) as server:
            with offending(server, name) as peer:
                assert errors.hear() == f"True {name.endswith('timeout')} {name_of(peer)}"
                end_of(peer)
        (line,) = log.everything()
        assert name in line and "TRACEBACK" not in line


class Bare(BaseRequestHandler):
    """Uses the socket itself."""

    def handle(self):
        self.request.sendall(f"{self.request.gettimeout():g}\n".encode())
        while data := self.request.recv(100):
            self.request.sendall(data.upper())


@pytest.mark.parametrize("cls", hosts("TCP", kinds=CLASSIC))
def test_a_handler_without_files_is_ended_by_the_shortest_limit_with_one_line(cls, log):
    with serving(cls, Bare, limits=Limits(idle_timeout=WHILE)) as server, connected(server) as peer:
        assert peer.line() == f"{WHILE:g}\n".encode()
        assert peer.ask(b"hello\n") == b"HELLO\n"
        assert end_of(peer) == 0
        assert log.hear().startswith(f"WARNING TRACEBACK: timed out in the request from {name_of(peer)}")
    assert log.silent()


def test_many_handlers_without_files_that_are_timed_out_are_one_line(log, monkeypatch):
    monkeypatch.setattr(Throttle, "INTERVAL", 3600)
    with serving(ThreadingTCPServer, Bare, limits=Limits(idle_timeout=WHILE)) as server:
        with connected(server) as one, connected(server) as two, connected(server) as three:
            for peer in (one, two, three):
                end_of(peer)
    assert len(log.everything()) == 1


def test_without_limits_a_timeout_is_the_handlers_own_error(log):
    class Handler(Lines):
        timeout = WHILE

    with serving(ThreadingTCPServer, Handler) as server, connected(server) as peer:
        end_of(peer)
        assert log.hear().startswith(f"ERROR TRACEBACK: error in the request from {name_of(peer)}")


class Waiting(StreamRequestHandler):
    """Has its limits kept by its files, and waits for somebody else besides."""

    def handle(self):
        self.rfile.readline()
        raise TimeoutError("the backend did not answer")


def test_a_timeout_of_somebody_elses_connection_is_told_with_its_place(log):
    with serving(ThreadingTCPServer, Waiting, limits=Limits()) as server, connected(server) as peer:
        peer.send(b"go\n")
        assert log.hear().startswith(f"WARNING TRACEBACK: timed out in the request from {name_of(peer)}")


@pytest.mark.parametrize("handler", [Lines, Coroutine])
def test_who_may_be_idle_for_ever_is_served_after_the_shortest_limit(handler, log):
    limits = Limits(idle_timeout=None, request_timeout=WHILE, send_timeout=WHILE)
    with serving(ThreadingTCPServer, handler, limits=limits) as server, connected(server) as peer:
        assert not select.select([peer.socket], [], [], 2 * WHILE)[0]
        assert peer.ask(b"hello\n") == b"HELLO\n"
    assert log.silent()


class Endless(Buffered):
    """Takes away what the server has set."""

    def setup(self):
        super().setup()
        self.connection.settimeout(None)


def test_a_handler_that_takes_the_sockets_timeout_away_takes_no_limit_away(log):
    with serving(ThreadingTCPServer, Endless, limits=Limits(send_timeout=WHILE)) as server:
        with offending(server, "send_timeout"):
            assert select.select([log._reader], [], [], 3 * WHILE)[0]


class Refusing(StreamRequestHandler):
    """Answers whatever limit was passed, and says so itself."""

    def handle(self):
        try:
            self.rfile.readline()
        except TimeoutError:
            self.wfile.write(b"too slow\n")
        except LimitExceeded:
            self.wfile.write(b"too much\n")


@pytest.mark.parametrize(
    ("name", "sent", "answer"),
    [
        ("idle_timeout", b"", b"too slow\n"),
        ("request_timeout", b"x", b"too slow\n"),
        ("max_request_size", b"x" * 101, b"too much\n"),
    ],
)
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading")))
def test_a_handler_may_answer_a_limit(cls, name, sent, answer, log):
    with serving(cls, Refusing, limits=limits_of(name)) as server, connected(server) as peer:
        peer.send(sent)
        assert peer.line() == answer
        assert end_of(peer) == 0
    (line,) = log.everything()
    assert name in line and "TRACEBACK" not in line


# Many offenders


@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
def test_many_offenders_are_one_line_and_later_a_count(hosted, log, monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(reactor.limited, "monotonic", clock)
    monkeypatch.setattr(reactor.base, "monotonic", clock)
    with made(ThreadingTCPServer, Lines, limits=Limits(max_request_size=100)) as server:
        with serve_somehow(server, hosted, 0.05):
            for _ in range(5):
                with offending(server, "max_request_size") as peer:
                    end_of(peer)
            assert "more than 100 bytes" in log.hear()
            assert log.silent()
            clock.advance(1.01)
            assert log.hear() == "WARNING: max_request_size: 4 more in the last second or so"


@every_handler
@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
def test_the_handlers_of_one_server_share_the_line(handler, hosted, log, monkeypatch):
    monkeypatch.setattr(Throttle, "INTERVAL", 3600)
    with made(ThreadingTCPServer, handler, limits=Limits(max_request_size=100)) as server:
        with serve_somehow(server, hosted):
            for _ in range(5):
                with offending(server, "max_request_size") as peer:
                    end_of(peer)
    (line,) = log.everything()
    assert "max_request_size" in line


# Connections


@contextmanager
def full(server, count):
    """So many connections, each being served."""
    peers = [connected(server) for _ in range(count)]
    try:
        for peer in peers:
            assert peer.ask(b"hello\n") == b"HELLO\n"
        yield peers
    finally:
        for peer in peers:
            peer.__exit__()


def serve_somehow(server, hosted, poll_interval=None):
    return registered(server) if hosted else running(server, poll_interval)


@contextmanager
def registered(server):
    with Reactor() as loop:
        loop.register(server)
        with looping(loop):
            yield


def await_room(server):
    """Wait until somebody is let in: a child has to be collected first."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with connected(server) as peer:
            try:
                if peer.ask(b"hello\n") == b"HELLO\n":
                    return
            except ConnectionError:
                pass
        assert time.monotonic() < deadline, "nobody is let in"


@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
@pytest.mark.parametrize("handler", [Lines, Coroutine])
@concurrent
def test_more_than_max_connections_are_refused_until_one_leaves(cls, handler, hosted, log):
    with made(cls, handler, limits=Limits(max_connections=2)) as server, serve_somehow(server, hosted):
        with full(server, 2) as peers:
            with connected(server) as third:
                assert end_of(third) == 0
                line = log.hear()
                assert line == f"WARNING: refused {name_of(third)}: max_connections: 2 of 2"
            for peer in peers:
                assert peer.ask(b"still\n") == b"STILL\n"
            peers[0].half_close()
            end_of(peers[0])
            await_room(server)
            assert peers[1].ask(b"still\n") == b"STILL\n"
    assert server._admissions.connections == 0


def from_host(server, host):
    """A client on another loopback address."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        sock.settimeout(PATIENCE)
        sock.connect(server.server_address)
        sock.sendall(b"hello\n")
        reply = sock.recv(100)
        sock.shutdown(socket.SHUT_RDWR)  # a child holds a copy
        return reply


@pytest.mark.skipif(sys.platform != "linux", reason="one loopback address")
@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading", "Forking")))
def test_more_than_max_connections_per_peer_are_refused_and_other_hosts_are_not(cls, hosted, log):
    limits = Limits(max_connections_per_peer=2)
    with made(cls, Lines, limits=limits) as server, serve_somehow(server, hosted):
        with full(server, 2) as peers:
            with connected(server) as third:
                assert end_of(third) == 0
                assert log.hear() == f"WARNING: refused {name_of(third)}: max_connections_per_peer: 2 of 2"
            assert from_host(server, "127.0.0.2") == b"HELLO\n"
            peers[0].half_close()
            end_of(peers[0])
            await_room(server)
    assert (server._admissions.connections, server._admissions._per_host) == (0, {})


@pytest.mark.parametrize("cls", hosts("UnixStream", kinds=("Threading", "Forking")))
def test_unix_peers_are_no_host(cls, log):
    with serving(cls, Lines, limits=Limits(max_connections_per_peer=1)) as server, full(server, 3):
        assert log.silent()


def test_a_refused_connection_is_not_verified_and_gets_the_hooks_of_one_that_is_not_taken(log):
    calls = []

    class Server(ThreadingTCPServer):
        limits = Limits(max_connections=1)

        def verify_request(self, request, client_address):
            calls.append("verify_request")
            return True

        def shutdown_request(self, request):
            calls.append("shutdown_request")
            super().shutdown_request(request)

    with serving(Server, Lines) as server, full(server, 1), connected(server) as peer:
        end_of(peer)
    assert calls == ["verify_request", "shutdown_request", "shutdown_request"]


class Sighted(StreamRequestHandler):
    """One line, then the end that the client sees."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
@pytest.mark.parametrize("handler", [Sighted, Lines])
def test_whoever_has_seen_the_end_of_a_threads_connection_may_come_again(handler, hosted, log):
    limits = Limits(max_connections=1, max_connections_per_peer=1)
    with made(ThreadingTCPServer, handler, limits=limits) as server, serve_somehow(server, hosted):
        for _ in range(30):
            with connected(server) as peer:
                assert peer.ask(b"hello\n") == b"HELLO\n"
                peer.half_close()
                assert peer.rest() == b""
    assert log.silent()


# However a connection ends, it counts no longer


class Bad(Exception):
    pass


class Ending(StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        if line == b"raise\n":
            raise Bad
        if line == b"exit\n":
            raise SystemExit(3)
        if line == b"wait\n":
            self.rfile.read(1)
        self.wfile.write(line.upper())


def asks(line):
    def ending(peer):
        try:
            peer.send(line)
        except BrokenPipeError:
            pass  # it was turned away before
        end_of(peer)

    return ending


def leaves(peer):
    peer.send(b"wait\n")
    reset(peer)


def overridden(self, request, client_address):
    """A subclass's own `process_request_thread`."""
    try:
        self.finish_request(request, client_address)
    except Exception:
        pass
    finally:
        self.shutdown_request(request)


def by_hand(self, request, client_address):
    """A subclass's own `process_request`, which leaves it to the next class in the end."""
    ThreadingMixIn.process_request(self, request, client_address)


def refuses(self, request, client_address):
    return False


def raises(self, request, client_address):
    raise Bad


def quiet(self, request, client_address):
    pass


ENDS = {
    "normally": (asks(b"hello\n"), {}),
    "with an error": (asks(b"raise\n"), {}),
    "with SystemExit": (asks(b"exit\n"), {}),
    "with a reset": (leaves, {}),
    "at a limit": (says_too_much, {}),
    "turned away": (end_of, {"verify_request": refuses}),
    "with an error in verify_request": (end_of, {"verify_request": raises}),
    "with an error in finish_request": (end_of, {"finish_request": raises}),
    "with an error in handle_error": (asks(b"raise\n"), {"handle_error": raises}),
    "in its own thread function": (asks(b"raise\n"), {"process_request_thread": overridden}),
    "in its own process_request": (asks(b"raise\n"), {"process_request": by_hand}),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize("cls", hosts("TCP", kinds=("Threading", "Forking")))
def test_counts_are_back_at_zero_however_a_connection_ends(cls, end, hosted, log, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    act, attributes = ENDS[end]
    if cls is ForkingTCPServer and (end.startswith("in its own") or end == "with a reset"):
        pytest.skip("a matter of threads, or not to be had while a child holds a copy")
    if end == "with an error in verify_request" and not hosted:
        pytest.skip("it ends the server, as the standard module's")
    limits = Limits(max_connections=50, max_connections_per_peer=50, max_request_size=100)
    with nothing_left():
        with made(cls, Ending, limits=limits, **attributes) as server, serve_somehow(server, hosted):
            for _ in range(3):
                with connected(server) as peer:
                    act(peer)
            with connected(server) as last:  # those before it have been taken
                asks(b"hello\n")(last)
        assert (server._admissions.connections, server._admissions._per_host) == (0, {})


@pytest.mark.parametrize("hosted", [False, True], ids=["alone", "registered"])
def test_a_thread_that_can_not_start_counts_no_longer_and_is_reported(hosted, log, monkeypatch):
    start = threading.Thread.start
    failing = []

    def start_or_fail(thread):
        if failing and "process" in thread.name:
            failing.pop()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_fail)
    with nothing_left():
        with made(ThreadingTCPServer, Lines, limits=Limits(max_connections=1)) as server:
            with serve_somehow(server, hosted):
                for _ in range(3):
                    failing.append(True)
                    with connected(server) as peer:
                        assert end_of(peer) == 0
                assert is_served(server)
        assert server._admissions.connections == 0
    assert log.hear().startswith("ERROR TRACEBACK: error in the request from")
    assert log.silent()


# Other servers and handlers


@pytest.mark.parametrize("cls", hosts("UDP", "UnixDatagram", kinds=CLASSIC))
def test_datagrams_are_answered_under_limits(cls, log):
    class Handler(DatagramRequestHandler):
        def handle(self):
            assert self.socket.gettimeout() is None
            self.wfile.write(self.rfile.read().upper())

    limits = Limits(idle_timeout=WHILE, max_connections=1000, max_connections_per_peer=1000)
    with serving(cls, Handler, limits=limits) as server, datagram_peer(server) as peer:
        for _ in range(10):
            peer.send(b"hello")
            assert peer.recv(100) == b"HELLO"
    assert server._admissions.connections == 0
    assert log.silent()


@cases(
    ("ThreadingTCPServer", Lines, "request_timeout", "send_timeout"),
    ("ThreadingTCPServer", States, "max_request_size"),
    ("ForkingTCPServer", Lines, "idle_timeout", "max_request_size"),
)
def test_a_registered_server_keeps_its_limits_too(cls, handler, name, log):
    with made(cls, handler, limits=limits_of(name)) as server, registered(server):
        with offending(server, name) as peer:
            line = log.hear()
            assert name in line and name_of(peer) in line
            assert end_of(peer) < BIG
            assert is_served(server)


@pytest.fixture
def http_server(monkeypatch):
    """`http.server` as it is where our module stands under the standard one's name."""
    monkeypatch.setitem(sys.modules, "socketserver", reactor.socketserver)
    monkeypatch.delitem(sys.modules, "http.server")
    monkeypatch.setattr(sys.modules["http"], "server", http.server)
    return importlib.import_module("http.server")


def pages(module, **attributes):
    class Handler(module.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *args):
            pass

    return type("Handler", (Handler,), attributes)


@pytest.mark.parametrize("wbufsize", [0, -1])
def test_http_server_keeps_its_connections_under_limits(http_server, wbufsize, log):
    handler = pages(http_server, wbufsize=wbufsize)
    with serving(http_server.ThreadingHTTPServer, handler, limits=Limits(max_request_size=3000)) as server:
        client = http.client.HTTPConnection(*server.server_address[:2], timeout=PATIENCE)
        for _ in range(10):
            client.request("POST", "/", b"x" * 2000)
            assert client.getresponse().read() == b"x" * 2000
        client.close()
    assert log.silent()


@each_offence
def test_http_server_in_good_order_at_each_limit(http_server, name, log):
    """It catches the times, and closes; a size goes to `handle_error`."""
    errors = []
    handler = pages(http_server, log_error=lambda self, *args: errors.append(args))
    limits = Limits(**{"max_request_size": 3000, name: 3000 if name == "max_request_size" else WHILE})
    begin = {
        "idle_timeout": b"",
        "request_timeout": b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nx",
        "send_timeout": b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n",
        "max_request_size": b"POST / HTTP/1.1\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000,
    }[name]
    if name == "send_timeout":
        limits = Limits(max_request_size=None, send_timeout=WHILE)
    with serving(http_server.ThreadingHTTPServer, handler, limits=limits) as server:
        with connected(server, 4096) as peer:
            peer.send(begin)
            if name == "send_timeout":
                peer.send(bytes(8_000_000))
            line = log.hear()
            assert name in line and name_of(peer) in line and "TRACEBACK" not in line
            end_of(peer)
    assert log.silent()
    assert len(errors) == (0 if name == "max_request_size" else 1)


def test_the_standard_modules_own_handlers_are_bounded_at_least(log):
    """Its handlers are not ours, the server is."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(f"{self.connection.gettimeout():g}\n".encode())
            self.rfile.readline()

    limits = Limits(idle_timeout=WHILE)
    with serving(ThreadingTCPServer, Handler, limits=limits) as server, connected(server) as peer:
        assert peer.line() == f"{WHILE:g}\n".encode()
        assert end_of(peer) == 0
        line = log.hear()
        assert line.startswith(f"WARNING TRACEBACK: timed out in the request from {name_of(peer)}")
    assert log.silent()


@pytest.mark.parametrize(
    ("mixin", "attributes"),
    [
        pytest.param(ThreadingMixIn, {"limits": Limits(max_connections=1)}, id="threads-limits"),
        pytest.param(ThreadingMixIn, {"max_threads": 1}, id="threads-max_threads"),
        pytest.param(ForkingMixIn, {"limits": Limits(max_connections=1)}, id="forks-limits", marks=FORKS),
        pytest.param(ForkingMixIn, {"max_children": 3}, id="forks-max_children", marks=FORKS),
    ],
)
def test_our_mix_ins_on_the_standard_modules_servers_know_nothing_of_limits(mixin, attributes, log, capfd):
    class Server(mixin, http.server.HTTPServer):
        pass

    request = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    with serving(Server, pages(http.server), **attributes) as server:
        with connected(server) as one, connected(server) as two:
            for peer in (one, two, one):  # both at once, and still
                peer.send(request)
                while peer.line() != b"\r\n":
                    pass
                assert peer.exactly(3) == b"abc"
    assert capfd.readouterr().err == ""
    assert log.silent()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run(
        [*command, "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return cert, key


@pytest.fixture
def secured(certificate):
    """A server class that speaks TLS, with the handshake where the first read or write is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    def of(cls):
        class Server(cls):
            def get_request(self):
                request, client_address = super().get_request()
                wrapped = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
                return wrapped, client_address

        return Server

    return of


@contextmanager
def tls_client(server, receive_buffer=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    peer = Peer(server.server_address, receive_buffer)
    peer.file.close()
    peer.socket = context.wrap_socket(peer.socket)
    peer.file = peer.socket.makefile("rb")
    with peer:
        yield peer


@pytest.mark.parametrize("handler", [Lines, Buffered])
@pytest.mark.parametrize("cls", hosts("TCP", kinds=CLASSIC))
def test_tls_beneath_the_limits(cls, handler, secured, log):
    with serving(secured(cls), handler, limits=Limits()) as server, tls_client(server) as peer:
        for _ in range(3):
            assert peer.ask(b"hello\n") == b"HELLO\n"
        peer.send(b"big\n")
        assert peer.exactly(BIG) == bytes(BIG)
        assert peer.ask(b"hello\n") == b"HELLO\n"
    assert log.silent()


@each_offence
def test_each_limit_holds_for_tls(name, secured, log):
    server_class = secured(ThreadingTCPServer)
    with serving(server_class, Lines, limits=limits_of(name)) as server, tls_client(server, 4096) as peer:
        if name == "idle_timeout":
            peer.send(b"hello\n")  # the handshake is part of the first read
            peer.line()
        if name == "request_timeout":
            peer.send(b"x")
        else:
            OFFENCES[name][1](peer)
        line = log.hear()
        assert name in line and "TRACEBACK" not in line


def test_a_client_that_begins_no_handshake_is_idle(secured, log):
    with serving(secured(ThreadingTCPServer), Lines, limits=Limits(idle_timeout=WHILE)) as server:
        with connected(server) as peer:
            assert end_of(peer) == 0
            line = log.hear()
            assert "idle_timeout" in line and name_of(peer) in line


@pytest.mark.parametrize("handler", [Lines, Buffered])
def test_a_tls_client_that_reads_slowly_but_steadily_is_not_cut(handler, secured, log):
    """send_timeout is counted since the last byte taken, not for all that is written at once."""
    with serving(secured(ThreadingTCPServer), handler, limits=Limits(send_timeout=2 * WHILE)) as server:
        # Ready is a socket with a third of its buffer free, and a window opens by a whole segment: so
        # the one has to be small and the other not too small, or bytes are taken in leaps.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        with tls_client(server, 1 << 17) as peer:
            peer.send(b"big\n")
            left = BIG
            start = time.monotonic()
            while time.monotonic() - start < 4 * WHILE:
                left -= len(peer.exactly(min(left, 65536)))
                select.select([], [], [], WHILE / 10)
            assert left, "too quick to tell"
            assert len(peer.exactly(left)) == left
    assert log.silent()


def test_a_tls_client_that_does_not_end_its_handshake_is_closed_with_true_figures(secured, log):
    limits = Limits(idle_timeout=2 * WHILE, request_timeout=WHILE)
    with serving(secured(ThreadingTCPServer), Lines, limits=limits) as server, connected(server) as peer:
        peer.send(b"\x16")
        assert end_of(peer) == 0
        assert f"idle_timeout: {2 * WHILE:g} s passed" in log.hear()


# Who is gone


class Reading(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"ready\n")
        self.rfile.read(100)


class Writing(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"ready\n")
        self.rfile.readline()
        while True:
            self.wfile.write(bytes(65536))


with_and_without = pytest.mark.parametrize("limits", [None, Limits()], ids=["unlimited", "limited"])


@with_and_without
@pytest.mark.parametrize("handler", [Reading, Writing])
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("", "Threading")))
def test_a_peer_that_is_gone_in_mid_request_is_a_debug_line(cls, handler, limits, debug_log):
    with serving(cls, handler, limits=limits) as server:
        peer = connected(server)
        unread = cls.address_family == socket.AF_UNIX and handler is Reading
        if not unread:  # closing a Unix socket with something unread is what makes a reset of it
            assert peer.line() == b"ready\n"
        else:
            select.select([peer.socket], [], [], PATIENCE)
        name = name_of(peer)
        peer.send(b"GET /\n"[: 3 if handler is Reading else None])
        reset(peer)
        line = debug_log.hear()
        assert line.startswith(f"DEBUG: {name} is gone: ")
    assert debug_log.silent()


class Backend(StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        raise ConnectionResetError(104, "the backend hung up")


@with_and_without
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=CLASSIC))
def test_a_connection_error_of_somebody_elses_connection_is_an_error(cls, limits, debug_log):
    with serving(cls, Backend, limits=limits) as server, connected(server) as peer:
        peer.send(b"go\n")
        line = debug_log.hear()
        assert line.startswith("ERROR TRACEBACK: error in the request from") and name_of(peer) in line


@pytest.mark.parametrize("cls", hosts("TCP", kinds=CLASSIC))
def test_a_peer_that_has_only_ended_its_input_is_not_gone(cls, debug_log):
    with serving(cls, Backend) as server, connected(server) as peer:
        peer.half_close()
        assert debug_log.hear().startswith("ERROR TRACEBACK: ")


GONE = """
import socket, struct, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as peer:
    assert peer.recv(100) == b"ready\\n"
    print(peer.getsockname())
    peer.sendall(b"GET")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


@FORKS
@with_and_without
def test_a_childs_peer_that_is_gone_is_a_debug_line(limits, debug_log):
    with serving(ForkingTCPServer, Reading, limits=limits) as server:
        with program(GONE, str(server.server_address[1])) as process:  # a child would hold a copy of ours
            status, out, err = ended(process)
        assert (status, err) == (0, "")
        assert debug_log.hear().startswith(f"DEBUG: {out.strip()} is gone: ")


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading")))
def test_a_peer_that_is_gone_is_a_debug_line_though_the_handler_has_closed_its_socket(cls, debug_log):
    class Tidy(StreamRequestHandler):
        def handle(self):
            with self.request:
                self.wfile.write(b"ready\n")
                self.rfile.read(100)

    with serving(cls, Tidy) as server:
        peer = connected(server)
        assert peer.line() == b"ready\n"
        reset(peer)
        assert debug_log.hear().startswith("DEBUG")


# A Unix peer that takes no answers


class Echo(DatagramRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read())


def fill(path):
    """Leave no room in the queue of the datagram socket at *path*, whoever has some to send."""
    count = 1
    while count:
        count = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler, contextlib.suppress(BlockingIOError):
            filler.setblocking(False)
            while True:
                filler.sendto(b"", path)
                count += 1


def requests_end(server):
    for thread in list(getattr(server, "_threads", None) or ()):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    deadline = time.monotonic() + PATIENCE
    while getattr(server, "active_children", None) and time.monotonic() < deadline:
        server.collect_children()
    assert not server._abandon_requests(), "killed, or closing would wait for them"


@pytest.mark.parametrize("cls", hosts("UnixDatagram", kinds=("", "Threading", "Forking")))
def test_no_peer_holds_a_datagram_server_or_its_threads_and_children_for_ever(cls, caplog):
    with serving(cls, Echo, limits=Limits(send_timeout=0.05)) as server, datagram_peer(server) as other:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
            deaf.bind(server.server_address + ".deaf")
            fill(deaf.getsockname())
            for _ in range(3):
                deaf.sendto(b"x", server.server_address)
            other.send(b"a word")
            assert other.recv(100) == b"a word"
            requests_end(server)
    if "Forking" not in cls.__name__:  # children log for themselves
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "send_timeout" in caplog.text and ".deaf" in caplog.text
