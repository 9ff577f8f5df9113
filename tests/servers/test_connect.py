"""Proves that a client is a handler too: connect() succeeds, fails and is given up with one closing call."""

import contextlib
import os
import socket
import threading

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    Limits,
    Line,
    Reactor,
    ReactorTCPServer,
    ReactorUnixStreamServer,
    StateRequestHandler,
    StreamRequestHandler,
    ToEOF,
    connect,
)
from tests.support.clock import ManualClock
from tests.support.servers import PATIENCE, hosts, made, nothing_left, serving


class Upper(StateRequestHandler):
    """The server: lines in capitals."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


class Telling:
    """What happens to a client, in order. It says hello, and goes when it has had an answer."""

    __slots__ = ()

    def __init__(self, *args):
        self.said = []
        super().__init__(*args)

    def setup(self):
        super().setup()
        self.said.append("setup")

    def handle_exception(self, exc):
        self.said.append(exc)
        super().handle_exception(exc)

    def finish(self):
        self.said.append("finish")
        super().finish()

    def handle_close(self):
        super().handle_close()
        self.said.append("closed")


class StateClient(Telling, StateRequestHandler):
    def start(self):
        self.write(b"hello\n")
        self.expect(Line(), self.answered)

    def answered(self, line):
        self.said.append(line)
        self.close()


class CoroutineClient(Telling, AsyncStreamRequestHandler):
    async def handle(self):
        self.wfile.write(b"hello\n")
        self.said.append(await self.rfile.readline())


CLIENTS = [StateClient, CoroutineClient]
every_style = pytest.mark.parametrize("client", CLIENTS)


def until(reactor, condition):
    """Turn the loop until *condition* holds."""
    late = []
    timer = reactor.call_later(PATIENCE, late.append, True)
    while not condition():
        reactor.handle_events()
        assert not late, "nothing came of it"
    timer.cancel()


def to_the_end(reactor, handler):
    """Turn the loop until the client has ended; what it said."""
    until(reactor, lambda: "closed" in handler.said)
    reactor.handle_events(0)
    return handler.said


SUCCESS = ["setup", b"HELLO\n", "finish", "closed"]


# Success


@every_style
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Reactor",)))
def test_a_client_talks_to_a_server(cls, client):
    with nothing_left(), serving(cls, Upper) as server, Reactor() as reactor:
        handler = connect(reactor, server.server_address, client)
        assert type(handler) is client and handler.said == []
        assert to_the_end(reactor, handler) == SUCCESS
        assert not reactor.requests


@every_style
def test_a_client_connects_by_name(client):
    with nothing_left(), serving(ReactorTCPServer, Upper) as server, Reactor() as reactor:
        handler = connect(reactor, ("localhost", server.server_address[1]), client)
        assert to_the_end(reactor, handler) == SUCCESS


@every_style
def test_every_address_of_a_name_is_tried_in_turn(client, monkeypatch, unheard):
    with nothing_left(), serving(ReactorTCPServer, Upper) as server, Reactor() as reactor:
        real = socket.getaddrinfo

        def getaddrinfo(host, port, *args, **options):
            if host != "two.test":
                return real(host, port, *args, **options)
            if options.get("flags", 0) & socket.AI_NUMERICHOST or args[4:5] == (socket.AI_NUMERICHOST,):
                raise socket.gaierror(socket.EAI_NONAME, "not a number")
            kind = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
            never = "255.255.255.255", 1  # refused by this system, at once
            return [(*kind, address) for address in (never, unheard, unheard, never, server.server_address)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        handler = connect(reactor, ("two.test", 5639), client)
        assert to_the_end(reactor, handler) == SUCCESS


@every_style
def test_a_client_connects_by_ipv6(client):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")

    class Server(ReactorTCPServer):
        address_family = socket.AF_INET6

    with nothing_left(), Server(("::1", 0), Upper) as server, Reactor() as reactor:
        reactor.register(server)
        for address in (server.server_address, ("::1", server.server_address[1])):
            assert to_the_end(reactor, connect(reactor, address, client)) == SUCCESS


@every_style
def test_what_is_written_before_the_connection_is_there_is_delivered_first(client):
    class Early(client):
        def answered(self, line):
            self.said.append(line)
            if line == b"HELLO\n":
                self.close()
            else:
                self.expect(Line(), self.answered)

        async def handle(self):
            self.wfile.write(b"hello\n")
            for _ in range(2):
                self.said.append(await self.rfile.readline())

    with nothing_left(), serving(ReactorTCPServer, Upper) as server, Reactor() as reactor:
        handler = connect(reactor, server.server_address, Early)
        handler.write(b"ear")
        handler.write(b"ly\n")
        assert to_the_end(reactor, handler) == ["setup", b"EARLY\n", b"HELLO\n", "finish", "closed"]


def test_clients_and_servers_live_in_one_loop():
    with nothing_left(), made(ReactorTCPServer, Upper) as server, Reactor() as reactor:
        reactor.register(server)
        handlers = [connect(reactor, server.server_address, CLIENTS[n % 2]) for n in range(100)]
        for handler in handlers:
            assert to_the_end(reactor, handler) == SUCCESS
        until(reactor, lambda: not reactor.requests)


# Failure


@pytest.fixture
def unheard():
    """An address that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def silent():
    """An address that does not answer at all: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


@every_style
def test_a_refusal_arrives_at_the_handler_then_one_closing_call(client, unheard):
    with nothing_left(), Reactor() as reactor:
        handler = connect(reactor, unheard, client)
        handler.write(b"dropped")
        error, closed = to_the_end(reactor, handler)
        assert isinstance(error, ConnectionRefusedError) and closed == "closed"
        assert not reactor.requests


@every_style
def test_a_missing_path_arrives_at_the_handler_then_one_closing_call(client, tmp_path):
    with nothing_left(), Reactor() as reactor:
        error, closed = to_the_end(reactor, connect(reactor, str(tmp_path / "nobody"), client))
        assert isinstance(error, FileNotFoundError) and closed == "closed"


@every_style
def test_a_name_that_does_not_resolve_arrives_at_the_handler_then_one_closing_call(client):
    with nothing_left(), Reactor() as reactor:
        error, closed = to_the_end(reactor, connect(reactor, ("name.invalid", 5639), client))
        assert isinstance(error, socket.gaierror) and closed == "closed"


@every_style
def test_connect_timeout_ends_a_connection_that_nobody_answers(client, silent):
    clock = ManualClock()
    with nothing_left(), Reactor(clock=clock) as reactor:
        handler = connect(reactor, silent, client, limits=Limits(connect_timeout=30))
        for _ in range(5):
            reactor.handle_events(0)
        clock.advance(29.9)
        reactor.handle_events(0)
        assert handler.said == []
        clock.advance(0.2)
        reactor.handle_events(0)
        error, closed = handler.said
        assert isinstance(error, TimeoutError) and "connect_timeout" in str(error) and closed == "closed"


@every_style
def test_connect_timeout_counts_the_look_up_of_the_name_too(client, monkeypatch):
    looked_up = threading.Event()

    def getaddrinfo(host, port, *args, **options):
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        assert looked_up.wait(PATIENCE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    clock = ManualClock()
    with nothing_left(), Reactor(clock=clock) as reactor:
        handler = connect(reactor, ("slow.test", 5639), client, limits=Limits(connect_timeout=5))
        reactor.handle_events(0)
        clock.advance(5.1)
        reactor.handle_events(0)
        assert [type(word) for word in handler.said] == [TimeoutError, str]
        looked_up.set()
        reactor.handle_events(0)
    assert len(handler.said) == 2  # the look-up's end comes to nobody


@every_style
def test_a_failure_is_counted_and_is_one_line_for_each_connection(client, unheard, caplog):
    with Reactor() as reactor:
        to_the_end(reactor, connect(reactor, unheard, client))
        assert reactor.requests.counters.failed == 1
    assert len(caplog.records) == 1


@every_style
def test_a_server_that_is_never_there_is_a_line_a_second(client, unheard, caplog):
    """A program may connect to it for each peer of its own."""
    clock = ManualClock()
    with Reactor(clock=clock) as reactor:
        for _ in range(5):
            to_the_end(reactor, connect(reactor, unheard, client))
        assert reactor.requests.counters.failed == 5
        assert len(caplog.records) == 1
        clock.advance(1)
        to_the_end(reactor, connect(reactor, unheard, client))
    assert "4 more" in caplog.records[-1].getMessage() and len(caplog.records) == 2


# Given up


@every_style
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("when", ["at once", "in the middle"])
def test_giving_up_while_connecting_is_one_closing_call_and_no_error(client, how, when, silent):
    with nothing_left(), Reactor() as reactor:
        handler = connect(reactor, silent, client)
        if when == "in the middle":
            for _ in range(3):
                reactor.handle_events(0)
        handler.write(b"dropped")
        getattr(handler, how)()
        getattr(handler, how)()
        for _ in range(3):
            reactor.handle_events(0)
        assert handler.said == ["closed"]
        assert not reactor.requests


@every_style
@pytest.mark.parametrize("how", ["close", "abort"])
def test_giving_up_while_the_name_is_looked_up_is_one_closing_call(client, how, monkeypatch):
    looked_up = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **options):
        if options.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        assert looked_up.wait(PATIENCE)
        return real("127.0.0.1", port, *args, **options)

    with nothing_left(), made(ReactorTCPServer, Upper) as server, Reactor() as reactor:
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        handler = connect(reactor, ("slow.test", server.server_address[1]), client)
        reactor.handle_events(0)
        getattr(handler, how)()
        reactor.handle_events(0)
        looked_up.set()
        for _ in range(3):
            reactor.handle_events(0)
        assert handler.said == ["closed"]


@every_style
def test_closing_the_reactor_gives_up_what_is_connecting(client, silent):
    with nothing_left():
        with Reactor() as reactor:
            handlers = [connect(reactor, silent, client) for _ in range(3)]
            reactor.handle_events(0)
        assert [handler.said for handler in handlers] == [["closed"]] * 3


# Errors of the handler's own


@every_style
@pytest.mark.parametrize("where", ["setup", "start"])
def test_an_error_while_opening_is_the_handlers_and_one_closing_call_follows(client, where, caplog):
    class Fails(client):
        def setup(self):
            super().setup()
            if where == "setup":
                raise LookupError("a bug")

        def start(self):
            raise LookupError("a bug")

        async def handle(self):
            raise LookupError("a bug")

    with nothing_left(), serving(ReactorTCPServer, Upper) as server, Reactor() as reactor:
        handler = connect(reactor, server.server_address, Fails)
        said = to_the_end(reactor, handler)
    assert [type(word) for word in said if isinstance(word, Exception)] == [LookupError]
    assert said.count("closed") == 1
    assert ("finish" in said) == (where == "start")
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


@every_style
def test_what_was_written_before_an_error_while_opening_is_sent_whole(client):
    received = []

    class Collect(StateRequestHandler):
        def start(self):
            self.expect(ToEOF(limit=10_000_000), lambda data: received.append(len(data)))

    class Fails(client):
        def start(self):
            self.write(b"x" * 5_000_000)
            raise LookupError("a bug")

        async def handle(self):
            self.wfile.write(b"x" * 4_000_000)
            raise LookupError("a bug")

    with nothing_left(), serving(ReactorTCPServer, Collect, limits=None) as server, Reactor() as reactor:
        handler = connect(reactor, server.server_address, Fails, limits=Limits(linger_timeout=None))
        to_the_end(reactor, handler)
    assert received == [5_000_000 if client is StateClient else 4_000_000]


@every_style
def test_a_server_that_goes_away_is_the_end_of_the_client(client):
    class Rude(StateRequestHandler):
        def start(self):
            self.expect(Line(), lambda line: self.abort())

    with nothing_left(), serving(ReactorTCPServer, Rude) as server, Reactor() as reactor:
        said = to_the_end(reactor, connect(reactor, server.server_address, client))
    assert [word for word in said if word != b""] == ["setup", "finish", "closed"]


def test_a_handler_for_servers_that_wait_is_refused(unheard):
    with nothing_left(), Reactor() as reactor:
        with pytest.raises(TypeError, match="StateRequestHandler"):
            connect(reactor, unheard, StreamRequestHandler)
        assert not reactor.requests


def test_a_reactor_that_cannot_be_used_from_here_gets_no_row(unheard):
    def attempt():
        try:
            connect(reactor, unheard, StateClient)
        except RuntimeError as exc:
            errors.append(str(exc))
        reactor.stop()

    errors = []
    with Reactor(debug=True) as reactor:
        thread = threading.Thread(target=attempt, name="stranger")
        reactor.call_soon(thread.start)
        reactor.run()
        thread.join()
        assert not reactor.requests
    (text,) = errors
    assert text.startswith("connect() called from stranger")
    with pytest.raises(RuntimeError, match="closed reactor"):
        connect(reactor, unheard, StateClient)
    assert not reactor.requests


def test_a_handler_whose_constructor_fails_leaves_nothing(unheard):
    class Fails(StateClient):
        def __init__(self, *args):
            super().__init__(*args)
            raise LookupError("a bug")

    with nothing_left(), Reactor() as reactor:
        with pytest.raises(LookupError):
            connect(reactor, unheard, Fails)
        assert not reactor.requests


def test_a_path_is_an_address_here_as_it_is_for_servers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ReactorUnixStreamServer("a.socket", Upper) as server, Reactor() as reactor:
        reactor.register(server)
        for address in ("a.socket", os.fsencode("a.socket")):
            assert to_the_end(reactor, connect(reactor, address, StateClient)) == SUCCESS
