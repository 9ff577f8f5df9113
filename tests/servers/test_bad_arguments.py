"""Proves that a wrong argument raises at once, where it was passed, in words that say what to do."""

import os
import pathlib
import socket

import pytest

from reactor import (
    EVENT_READ,
    AsyncStreamRequestHandler,
    Available,
    BaseServer,
    DatagramRequestHandler,
    Exactly,
    LengthPrefixed,
    Limits,
    Line,
    Netstring,
    Reactor,
    ReactorTCPServer,
    ReactorUDPServer,
    StateRequestHandler,
    TCPServer,
    ThreadingTCPServer,
    ToEOF,
    UDPServer,
    Until,
    connect,
)
from tests.support.servers import connected, hosts, nothing_left, serving


class Quiet(StateRequestHandler):
    """Expects lines, answers none."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        pass


# Servers


@pytest.mark.parametrize("handler", ["Handler", 5, ("a", "b"), object()])
@pytest.mark.parametrize(
    "cls", [TCPServer, UDPServer, ThreadingTCPServer, ReactorTCPServer, ReactorUDPServer]
)
def test_a_handler_class_that_is_none(cls, handler):
    with nothing_left(), pytest.raises(TypeError, match=r"(?i)class.*handler.*not ") as caught:
        cls(("127.0.0.1", 0), handler)
    assert repr(handler) in str(caught.value)


def test_a_class_that_is_no_request_handler_on_a_reactor_server():
    with nothing_left(), pytest.raises(TypeError, match=r"dict.*StateRequestHandler"):
        ReactorTCPServer(("127.0.0.1", 0), dict)


@pytest.mark.parametrize(
    "address",
    [
        "/tmp/a.socket",
        "127.0.0.1",
        b"",
        None,
        5639,
        ("127.0.0.1",),
        ("127.0.0.1", 0, 0),
        ("a", "5639"),
        (None, 0),
    ],
)
@pytest.mark.parametrize("cls", hosts("TCP", "UDP", kinds=("", "Threading", "Reactor")))
def test_an_address_of_another_shape_than_host_and_port(cls, address):
    handler = Quiet if cls.socket_type == socket.SOCK_STREAM else DatagramRequestHandler
    with nothing_left(), pytest.raises(TypeError, match=r"AF_INET.*\(host, port\)") as caught:
        cls(address, handler)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", [("127.0.0.1", 0), 5639, None, ["a"]])
@pytest.mark.parametrize("cls", hosts("UnixStream", kinds=("", "Reactor")))
def test_an_address_that_is_no_path(cls, address):
    with nothing_left(), pytest.raises(TypeError, match=r"AF_UNIX.*path") as caught:
        cls(address, Quiet)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("cls", hosts("UnixStream", kinds=("", "Reactor")))
def test_a_pathlib_path_is_a_path(cls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with nothing_left(), cls(pathlib.Path("a.socket"), Quiet):
        assert os.path.exists("a.socket")
    assert not os.path.exists("a.socket")


def test_an_ipv6_address_may_have_four_parts_but_not_five():
    class Six(TCPServer):
        address_family = socket.AF_INET6

    with nothing_left(), pytest.raises(TypeError, match=r"AF_INET6.*\(host, port\)"):
        Six(("::1", 0, 0, 0, 0), Quiet)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (("127.0.0.1", 70000), OverflowError),  # what the standard module lets through keeps its type
        (("127.0.0.1", -1), OverflowError),
        (("192.0.2.1", 0), OSError),
        (("name.invalid", 0), socket.gaierror),
    ],
)
@pytest.mark.parametrize("cls", [TCPServer, ReactorTCPServer])
def test_an_address_that_the_system_refuses_leaves_nothing_open(cls, address, error):
    with nothing_left(), pytest.raises(error):
        cls(address, Quiet)


def test_a_base_server_with_a_handler_class_that_is_none():
    with pytest.raises(TypeError, match="handler"):
        BaseServer("anywhere", 5)


# Limits and framings

TIMEOUTS = ["request", "idle", "send", "handshake", "connect", "drain", "linger"]
SIZES = ["max_connections", "max_connections_per_peer", "max_request_size", "send_buffer_limit"]


@pytest.mark.parametrize("value", [-1, 0, -0.5, float("nan")])
@pytest.mark.parametrize("name", [f"{each}_timeout" for each in TIMEOUTS])
def test_a_timeout_that_is_not_above_0(name, value):
    with pytest.raises(ValueError, match=rf"{name}=.*above 0.*None turns it off"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [-1, 0])
@pytest.mark.parametrize("name", SIZES)
def test_a_size_that_is_not_above_0(name, value):
    with pytest.raises(ValueError, match=rf"{name}=.*above 0.*None turns it off"):
        Limits(**{name: value})


@pytest.mark.parametrize("value", ["10", True, [], b"1"])
@pytest.mark.parametrize("name", [*SIZES, "request_timeout"])
def test_a_limit_that_is_no_number(name, value):
    with pytest.raises(TypeError, match=rf"{name}=.*number"):
        Limits(**{name: value})


def test_a_size_that_is_no_whole_number():
    with pytest.raises(TypeError, match=r"max_request_size=.*whole number"):
        Limits(max_request_size=1.5)


def test_a_limit_that_does_not_exist():
    with pytest.raises(TypeError, match="idle"):
        Limits(idle=5)


@pytest.mark.parametrize(
    "framing", [Line, Available, LengthPrefixed, Netstring, ToEOF, lambda limit: Until(b"x", limit)]
)
@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (1.0, TypeError)]
)
def test_a_framing_without_room_for_a_message(framing, limit, error):
    with pytest.raises(error, match=r"limit="):
        framing(limit=limit)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Exactly(-1), ValueError, r"Exactly\(size.*0 or more"),
        (lambda: Exactly("5"), TypeError, r"Exactly\(size=.*whole number"),
        (lambda: Until(b""), TypeError, r"Until\(end\).*at least one byte"),
        (lambda: Until("\n"), TypeError, r"Until\(end\).*bytes"),
        (lambda: LengthPrefixed(3), ValueError, r"LengthPrefixed\(size.*1, 2, 4 or 8"),
        (lambda: LengthPrefixed(byteorder="middle"), ValueError, "byteorder.*'big' or 'little'"),
    ],
)
def test_a_framing_that_makes_no_sense(make, error, words):
    with pytest.raises(error, match=words):
        make()


# Reactors


@pytest.fixture
def reactor():
    with Reactor() as reactor:
        yield reactor


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    with a, b:
        yield a, b


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda reactor, sock: reactor.register(sock), TypeError, r"register\(fileobj, events, handler\)"),
        (lambda reactor, sock: reactor.register(sock, EVENT_READ, 5), TypeError, "handler.*callable.*not 5"),
        (lambda reactor, sock: reactor.register(sock, 0, print), ValueError, "(?i)event"),
        (lambda reactor, sock: reactor.register(sock, 8, print), ValueError, "(?i)event"),
        (lambda reactor, sock: reactor.register(-1, EVENT_READ, print), ValueError, "descriptor"),
        (lambda reactor, sock: reactor.register("x", EVENT_READ, print), (ValueError, TypeError), "'x'"),
        (lambda reactor, sock: reactor.modify(sock, EVENT_READ), KeyError, "registered"),
        (lambda reactor, sock: reactor.unregister(sock), KeyError, "registered"),
        (lambda reactor, sock: reactor.call_later(-1, print), ValueError, "delay.*-1"),
        (lambda reactor, sock: reactor.call_later(float("nan"), print), ValueError, "delay.*nan"),
        (lambda reactor, sock: reactor.call_every(0, print), ValueError, "interval.*above 0"),
        (lambda reactor, sock: reactor.call_every(-1, print), ValueError, "interval.*above 0"),
        (lambda reactor, sock: reactor.call_at(float("nan"), print), ValueError, "when"),
        (lambda reactor, sock: reactor.call_soon(5), TypeError, "callback.*5"),
        (lambda reactor, sock: reactor.call_later(1, None), TypeError, "callback.*None"),
        (lambda reactor, sock: reactor.call_soon_threadsafe("x"), TypeError, "callback.*'x'"),
        (lambda reactor, sock: reactor.offload(5, then=print), TypeError, "offload.*5"),
        (lambda reactor, sock: reactor.drain_on(), TypeError, "drain_on.*signal"),
        (lambda reactor, sock: reactor.on_signal(0, print), ValueError, "signal"),
        (lambda reactor, sock: Reactor(5), TypeError, "selector.*not 5"),
        (lambda reactor, sock: Reactor(clock=5), TypeError, "clock.*not 5"),
        (lambda reactor, sock: Reactor(executor=5), TypeError, "executor.*not 5"),
    ],
)
def test_what_a_reactor_cannot_do(reactor, pair, call, error, words):
    with nothing_left(), pytest.raises(error, match=words):
        call(reactor, pair[0])


def test_a_closed_descriptor_is_not_registered(reactor, pair):
    closed = pair[0]
    closed.close()
    for fileobj in (closed, closed.fileno()):
        with pytest.raises(ValueError, match=r"(?i)descriptor|closed"):
            reactor.register(fileobj, EVENT_READ, print)


def test_a_closed_server_is_not_registered(reactor):
    server = ReactorTCPServer(("127.0.0.1", 0), Quiet)
    server.server_close()
    with pytest.raises(ValueError, match=r"(?i)descriptor|closed"):
        reactor.register(server)


def test_a_descriptor_is_registered_once(reactor, pair):
    reactor.register(pair[0], EVENT_READ, print)
    for again in (pair[0], pair[0].fileno()):
        with pytest.raises(KeyError, match=r"already.*modify"):
            reactor.register(again, EVENT_READ, print)


def test_a_server_drains_on_some_signal():
    with (
        ReactorTCPServer(("127.0.0.1", 0), Quiet) as server,
        pytest.raises(TypeError, match=r"drain_on.*signal"),
    ):
        server.drain_on()


@pytest.mark.parametrize(
    "call",
    [
        lambda reactor: reactor.call_soon(print),
        lambda reactor: reactor.call_later(1, print),
        lambda reactor: reactor.call_soon_threadsafe(print),
        lambda reactor: reactor.register(0, EVENT_READ, print),
        lambda reactor: reactor.handle_events(0),
        lambda reactor: reactor.run(),
        lambda reactor: reactor.offload(print, then=print),
    ],
)
def test_a_closed_reactor_says_that_it_is_closed(call):
    reactor = Reactor()
    reactor.close()
    with pytest.raises(RuntimeError, match="closed reactor"):
        call(reactor)


# connect


@pytest.mark.parametrize(
    "address", [None, 5639, ["127.0.0.1", 1], ("127.0.0.1",), ("127.0.0.1", "1"), (1, 2), ("::1", 1, 0, 0, 0)]
)
def test_connect_to_what_is_no_address(reactor, address):
    with nothing_left(), pytest.raises(TypeError, match=r"address.*\(host, port\)") as caught:
        connect(reactor, address, Quiet)
    assert repr(address) in str(caught.value)
    assert not reactor.requests


@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_connect_to_what_is_no_port(reactor, port):
    with nothing_left(), pytest.raises(OverflowError, match=f"port.*{port}"):
        connect(reactor, ("127.0.0.1", port), Quiet)
    assert not reactor.requests


@pytest.mark.parametrize("handler", [None, 5, dict, lambda *args: None])
def test_connect_with_what_is_no_handler(reactor, handler):
    with nothing_left(), pytest.raises(TypeError, match="handler"):
        connect(reactor, ("127.0.0.1", 1), handler)
    assert not reactor.requests


def test_connect_without_a_reactor():
    with pytest.raises(TypeError, match="takes a Reactor"):
        connect(("127.0.0.1", 1), Quiet, Quiet)


def test_connect_with_limits_that_are_none(reactor):
    with pytest.raises(TypeError, match="limits"):
        connect(reactor, ("127.0.0.1", 1), Quiet, limits=5)


# What handlers call: the error is the handler's, and says the same


def error_of(style, call):
    """What *call* raises in a handler of *style* on a reactor server."""
    caught = []

    class Handler(style):
        def start(self):
            self.expect(Line(), self.line)

        def line(self, line):
            try:
                call(self)
            except Exception as exc:
                caught.append(exc)

        async def handle(self):
            await self.rfile.readline()
            try:
                awaitable = call(self)
                if awaitable is not None:
                    await awaitable
            except Exception as exc:
                caught.append(exc)

    with serving(ReactorTCPServer, Handler) as server, connected(server) as peer:
        peer.send(b"go\n")
        peer.half_close()
        assert peer.rest() == b""
    [error] = caught
    return error


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda handler: handler.write("text"), TypeError, "write.*bytes.*str.*encode"),
        (lambda handler: handler.write(5), TypeError, "write.*bytes.*int"),
        (lambda handler: handler.write(None), TypeError, "write.*bytes.*NoneType"),
        (lambda handler: handler.expect(Line, print), TypeError, r"framing such as Line\(\)"),
        (lambda handler: handler.expect(b"\n", print), TypeError, r"framing such as Line\(\)"),
        (lambda handler: handler.expect(Line(), "state"), TypeError, "state.*'state'"),
        (lambda handler: handler.begin_with(5, print), TypeError, "framing"),
        (lambda handler: handler.release(), RuntimeError, r"release\(\) without hold\(\)"),
        (lambda handler: handler.offload("work"), TypeError, "offload.*'work'"),
        (lambda handler: handler.offload(print, then="reply"), TypeError, "then=.*'reply'"),
        (lambda handler: handler.offload(print, executor=5), TypeError, "executor.*5"),
    ],
)
def test_what_a_state_machine_cannot_do(call, error, words):
    caught = error_of(StateRequestHandler, call)
    assert type(caught) is error
    with pytest.raises(error, match=words):
        raise caught


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda handler: handler.wfile.write("text"), TypeError, "write.*bytes.*str.*encode"),
        (lambda handler: handler.sleep(-1), ValueError, "sleep.*0 or more.*-1"),
        (lambda handler: handler.offload("work"), TypeError, "offload.*'work'"),
        (lambda handler: handler.offload(print, executor=5), TypeError, "executor.*5"),
        (lambda handler: handler.rfile.read_message(Line), TypeError, r"framing such as Netstring\(\)"),
        (lambda handler: handler.rfile.readexactly(-1), ValueError, "Exactly.*0 or more"),
        (lambda handler: handler.rfile.readuntil(b""), TypeError, "at least one byte"),
        (lambda handler: handler.rfile.read("5"), TypeError, "'5'"),
    ],
)
def test_what_a_coroutine_cannot_do(call, error, words):
    caught = error_of(AsyncStreamRequestHandler, call)
    assert type(caught) is error
    with pytest.raises(error, match=words):
        raise caught
