"""The request handlers: what they do with a request, and in which order."""

import array
import io
import os
import socket
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.differential.modules import same, servers
from tests.differential.stage import stage, stage_of
from tests.differential.test_requests import style_of
from tests.differential.transcript import Transcript

# Made by hand, with a request that notes what is done with it


class Request:
    """Stands in for a socket. `broken`: the calls that raise."""

    def __init__(self, transcript: Transcript, broken: tuple[str, ...] = ()) -> None:
        self.transcript, self.broken = transcript, broken

    def _told(self, what: str, *args: Any) -> None:
        self.transcript.note(what, *args)
        if what in self.broken:
            raise OSError(32, what)

    def settimeout(self, *args: Any) -> None:
        self._told("settimeout", *args)

    def setsockopt(self, *args: Any) -> None:
        self._told("setsockopt", *args)

    def sendall(self, *args: Any) -> None:
        self._told("sendall", *args)

    def fileno(self) -> int:
        self._told("fileno")
        return 42

    def makefile(self, mode: str, size: Any) -> "File":
        self._told(f"makefile {mode}", size)
        return File(self, mode)

    def sendto(self, *args: Any) -> None:
        self._told("sendto", *args)


class File:
    def __init__(self, request: Request, mode: str) -> None:
        self.request, self.mode, self.is_closed = request, mode, False

    @property
    def closed(self) -> bool:
        self.request._told(f"closed {self.mode}")
        return self.is_closed

    def flush(self) -> None:
        self.request._told(f"flush {self.mode}")

    def close(self) -> None:
        self.is_closed = True
        self.request._told(f"close {self.mode}")


def by_hand(
    module: ModuleType,
    style: str,
    attributes: dict[str, Any],
    broken: tuple[str, ...] = (),
    handle: Callable[..., Any] | None = None,
    server: Any = None,
) -> list[Any]:
    """A handler made without a server."""
    with stage(module) as play:
        transcript = play.transcript
        request = Request(transcript, broken)
        transcript.name(request, "the request")
        pair = (b"packet", request) if style == "DatagramRequestHandler" else request
        made = []

        def default(self: Any) -> None:
            made.append(self)
            transcript.note("attributes", {key: self.__dict__[key] for key in sorted(self.__dict__)})

        cls = play.handler(style, handle=handle or default, **attributes)
        handler = transcript.returns("made", cls, pair, ("peer", 7), server)
        for each in [handler] if handler is not None else made:
            transcript.note("left", {key: each.__dict__[key] for key in sorted(each.__dict__)})
        return play.lines()


STYLES = ("BaseRequestHandler", "StreamRequestHandler", "DatagramRequestHandler")


@pytest.mark.parametrize(
    "server", [None, "a string", object(), mock.Mock()], ids=["None", "str", "object", "mock"]
)
@pytest.mark.parametrize("style", STYLES)
def test_made_by_hand(style: str, server: Any) -> None:
    same(by_hand, style, {}, server=server)


@pytest.mark.parametrize("rbufsize", [-1, 0, 1, 4096])
@pytest.mark.parametrize("wbufsize", [-1, 0, 1, 4096])
@pytest.mark.parametrize("timeout", [None, 0, 5.5])
@pytest.mark.parametrize("nagle", [False, True, 1])
def test_attributes_of_a_stream_handler(rbufsize: int, wbufsize: int, timeout: Any, nagle: Any) -> None:
    attributes = {
        "rbufsize": rbufsize,
        "wbufsize": wbufsize,
        "timeout": timeout,
        "disable_nagle_algorithm": nagle,
    }
    same(by_hand, "StreamRequestHandler", attributes)


@pytest.mark.parametrize("wbufsize", [0, 1])
@pytest.mark.parametrize(
    "broken",
    [
        "settimeout",
        "setsockopt",
        "makefile rb",
        "makefile wb",
        "flush wb",
        "close wb",
        "close rb",
        "closed wb",
    ],
)
def test_a_request_that_fails(broken: str, wbufsize: int) -> None:
    attributes = {"timeout": 3, "disable_nagle_algorithm": True, "wbufsize": wbufsize}
    same(by_hand, "StreamRequestHandler", attributes, (broken,))


def test_a_reply_that_is_not_sent() -> None:
    same(by_hand, "DatagramRequestHandler", {}, ("sendto",))


def close_both(self: Any) -> None:
    self.wfile.close()
    self.rfile.close()


def replace_files(self: Any) -> None:
    self.wfile = File(self.connection, "another wb")
    self.rfile = File(self.connection, "another rb")


def another_request(self: Any) -> None:
    self.request = "another"
    self.client_address = ("another", 1)


def write_all(self: Any) -> None:
    for data in (b"", b"one", bytearray(b"two"), memoryview(b"three"), array.array("i", [1, 2, 3])):
        result = self.wfile.write(data)
        self.connection.transcript.note("wrote", result, type(result))


def write_wrong(self: Any) -> None:
    self.wfile.write("text")


def look_at_writer(self: Any) -> None:
    wfile, note = self.wfile, self.connection.transcript.note
    note(wfile.writable(), wfile.readable(), wfile.seekable(), wfile.closed, wfile.fileno())
    note(isinstance(wfile, io.BufferedIOBase), type(wfile).__name__, type(wfile).__mro__[1].__name__)
    note(wfile._sock is self.connection)
    for name, args in (
        ("read", ()),
        ("read1", ()),
        ("seek", (0,)),
        ("tell", ()),
        ("detach", ()),
        ("flush", ()),
    ):
        self.connection.transcript.returns(name, getattr(wfile, name), *args)
    wfile.writelines([b"a", b"b"])
    self.connection.transcript.returns("isatty", wfile.isatty)
    wfile.close()
    note("closed", wfile.closed)
    self.connection.transcript.returns("write when closed", wfile.write, b"late")
    self.connection.transcript.returns("flush when closed", wfile.flush)


@pytest.mark.parametrize("wbufsize", [0, 1])
@pytest.mark.parametrize("handle", [close_both, replace_files, another_request])
def test_what_handle_leaves_behind(handle: Callable[..., Any], wbufsize: int) -> None:
    same(by_hand, "StreamRequestHandler", {"wbufsize": wbufsize}, handle=handle)


@pytest.mark.parametrize("broken", [(), ("sendall",), ("fileno",)], ids=["whole", "sendall", "fileno"])
@pytest.mark.parametrize("handle", [write_all, write_wrong, look_at_writer])
def test_the_unbuffered_writer(handle: Callable[..., Any], broken: tuple[str, ...]) -> None:
    same(by_hand, "StreamRequestHandler", {}, broken, handle)


def datagram_files(self: Any) -> None:
    note = self.socket.transcript.note
    note(type(self.rfile).__name__, type(self.wfile).__name__, self.packet, self.socket, self.request)
    note(self.rfile.read(3), self.rfile.read(), self.wfile.write(b"reply"), self.wfile.getvalue())


def datagram_reply_replaced(self: Any) -> None:
    self.wfile = io.BytesIO(b"another")
    self.client_address = ("another", 1)
    self.packet = b"another"


def datagram_wfile_closed(self: Any) -> None:
    self.wfile.close()


@pytest.mark.parametrize("handle", [datagram_files, datagram_reply_replaced, datagram_wfile_closed])
def test_the_files_of_a_datagram(handle: Callable[..., Any]) -> None:
    same(by_hand, "DatagramRequestHandler", {}, handle=handle)


def arguments(module: ModuleType, style: str, count: int) -> list[Any]:
    with stage(module) as play:
        play.transcript.returns("made", lambda: getattr(module, style)(*range(count)))
        return play.lines()


@pytest.mark.parametrize("count", [0, 2, 3, 4])
@pytest.mark.parametrize("style", STYLES)
def test_arguments_of_a_handler(style: str, count: int) -> None:
    same(arguments, style, count)


# On a server


def with_handle(
    module: ModuleType, name: str, style: str, handle: Any, data: bytes, attributes: dict[str, Any]
) -> list[Any]:
    with stage(module) as play:
        server = play.server(name, play.handler(style, handle=handle, **attributes))
        play.client(server, data)
        play.drive(server, "handle_request")
        return play.finish(server)


def closes(self: Any) -> None:
    self.request.sendall(b"bye")
    self.request.close()


def shuts_down_writing(self: Any) -> None:
    self.request.sendall(b"bye")
    self.request.shutdown(socket.SHUT_WR)


def shuts_down(self: Any) -> None:
    self.request.shutdown(socket.SHUT_RDWR)


def leaves_unread(self: Any) -> None:
    self.request.sendall(b"bye" + self.request.recv(3))


def answers_nothing(self: Any) -> None:
    self.request.recv(1000)


def changes_the_socket(self: Any) -> None:
    self.request.setblocking(False)
    self.request.settimeout(3)
    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def reads_twice(self: Any) -> None:
    stage_of(self).note("first", self.request.recv(5))
    stage_of(self).note("then", self.request.recv(1000))


HANDLES = (
    closes,
    shuts_down_writing,
    shuts_down,
    leaves_unread,
    answers_nothing,
    changes_the_socket,
    reads_twice,
)


@pytest.mark.parametrize("style", ["BaseRequestHandler", "StreamRequestHandler"])
@pytest.mark.parametrize("handle", HANDLES)
@pytest.mark.parametrize("name", [*servers("TCP"), "UnixStreamServer", "ThreadingUnixStreamServer"])
def test_what_handle_does_to_its_socket(name: str, handle: Any, style: str) -> None:
    same(with_handle, name, style, handle, b"some words\n", {})


def writes_late(self: Any) -> None:
    self.wfile.write(b"first,")
    self.wfile.flush()
    self.wfile.write(b"last")
    stage_of(self).note("read", self.rfile.read(4), self.rfile.readline())


def writes_after_shutdown(self: Any) -> None:
    self.wfile.write(b"x" * 10)
    self.request.shutdown(socket.SHUT_WR)


def closes_the_files(self: Any) -> None:
    self.wfile.write(b"said")
    self.wfile.close()
    self.rfile.close()


def closes_the_connection(self: Any) -> None:
    self.wfile.write(b"said")
    self.connection.close()


def keeps_the_file(self: Any) -> None:
    self.server.kept = self.rfile, self.wfile
    self.wfile.write(b"kept")


FILE_HANDLES = (writes_late, writes_after_shutdown, closes_the_files, closes_the_connection, keeps_the_file)


@pytest.mark.parametrize("sizes", [(-1, 0), (0, 0), (-1, -1), (0, 1), (7, 7), (1, 100)], ids=str)
@pytest.mark.parametrize("handle", FILE_HANDLES)
@pytest.mark.parametrize("name", ["TCPServer", "UnixStreamServer", "ThreadingTCPServer"])
def test_files_on_a_connection(name: str, handle: Any, sizes: tuple[int, int]) -> None:
    attributes = {"rbufsize": sizes[0], "wbufsize": sizes[1]}
    same(with_handle, name, "StreamRequestHandler", handle, b"some words\n", attributes)


@pytest.mark.parametrize("nagle", [False, True])
@pytest.mark.parametrize("timeout", [None, 0, 9.5])
@pytest.mark.parametrize("name", ["TCPServer", "ForkingTCPServer", "ThreadingUnixStreamServer"])
def test_options_on_a_connection(name: str, timeout: Any, nagle: bool) -> None:
    attributes = {"timeout": timeout, "disable_nagle_algorithm": nagle}

    def handle(self: Any) -> None:
        stage_of(self).note(self.request.gettimeout(), self.request.getblocking())
        self.wfile.write(b"done")

    same(with_handle, name, "StreamRequestHandler", handle, b"some words\n", attributes)


def waits_in_vain(self: Any) -> None:
    stage_of(self).note("read", self.rfile.readline())
    stage_of(self).returns("waiting", self.rfile.readline)
    stage_of(self).returns("again", self.rfile.readline)


@pytest.mark.parametrize("timeout", [0, 0.01])
@pytest.mark.parametrize("name", ["TCPServer", "ThreadingUnixStreamServer", "ForkingTCPServer"])
def test_a_peer_that_says_no_more(name: str, timeout: float) -> None:
    same(with_handle, name, "StreamRequestHandler", waits_in_vain, b"a line\n", {"timeout": timeout})


def sends_nothing(self: Any) -> None:
    pass


def sends_itself(self: Any) -> None:
    self.socket.sendto(b"early", self.client_address)
    self.wfile.write(b"late")


def raises(self: Any) -> None:
    self.wfile.write(b"half")
    raise ValueError("no")


def changes_the_address(self: Any) -> None:
    self.client_address = ("nowhere", -1)


@pytest.mark.parametrize("handle", [sends_nothing, sends_itself, raises, changes_the_address])
@pytest.mark.parametrize("name", servers("UDP", "UnixDatagram"))
def test_what_is_sent_back(name: str, handle: Any) -> None:
    same(with_handle, name, "DatagramRequestHandler", handle, b"packet", {})


def nameless(module: ModuleType, name: str) -> list[Any]:
    """A Unix peer that has no address can't be answered."""
    with stage(module) as play:
        server = play.server(name, play.handler("DatagramRequestHandler"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"packet", server.server_address)
            play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", servers("UnixDatagram"))
def test_a_peer_without_an_address(name: str) -> None:
    same(nameless, name)


# Peers


def crashed(module: ModuleType, name: str, when: str, wbufsize: int) -> list[Any]:
    """The peer resets the connection: before it is accepted, or while it is handled."""
    with stage(module) as play:

        def reset() -> None:
            client = play.clients.pop()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()

        def handle(self: Any) -> None:
            if when == "handled":
                reset()
            stage_of(self).returns("read", self.rfile.readline)
            stage_of(self).returns("write", self.wfile.write, b"x")
            self.wfile.write(b"y" * 10)

        handler = play.handler("StreamRequestHandler", handle=handle, wbufsize=wbufsize)
        server = play.server(name, handler)
        play.client(server, b"")
        if when == "accepted":
            reset()
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("wbufsize", [0, 100])
@pytest.mark.parametrize("when", ["accepted", "handled"])
@pytest.mark.parametrize("name", servers("TCP", kinds=("", "Threading")))
def test_a_peer_that_resets(name: str, when: str, wbufsize: int) -> None:
    same(crashed, name, when, wbufsize)


def stored(module: ModuleType, name: str, how: str) -> list[Any]:
    """A handler gives its connection to somebody else."""
    with stage(module) as play:
        kept: list[socket.socket] = []

        def handle(self: Any) -> None:
            if how == "detach":
                kept.append(socket.socket(fileno=self.request.detach()))
            elif how == "dup":
                kept.append(socket.socket(fileno=os.dup(self.request.fileno())))
            else:
                kept.append(self.request)

        overrides: dict[str, Any] = {}
        if how == "not shut down":
            overrides["shutdown_request"] = lambda self, request: None
        server = play.server(name, play.handler(handle=handle), overrides)
        client = play.client(server)
        play.drive(server, "handle_request")
        play.settle()
        for each in kept:
            play.transcript.note("kept", each.fileno() >= 0)
            if each.fileno() >= 0:
                play.transcript.returns("send", each.send, b"later")
        if how == "dup":
            client.socket.shutdown(socket.SHUT_WR)
        for each in kept:
            socket.socket.close(each)
        return play.finish(server, wait=True)


@pytest.mark.parametrize("how", ["detach", "dup", "closed", "not shut down"])
@pytest.mark.parametrize("name", servers("TCP", "UnixStream", kinds=("", "Threading")))
def test_a_connection_that_is_kept(name: str, how: str) -> None:
    same(stored, name, how)


def half_closed(module: ModuleType, name: str) -> list[Any]:
    """The peer has said all; the reply still arrives, whole."""
    with stage(module) as play:

        def handle(self: Any) -> None:
            self.wfile.write(self.rfile.read().upper() * 100)

        server = play.server(name, play.handler(style_of(name), handle=handle))
        client = play.client(server, b"all of it" * 10)
        client.socket.shutdown(socket.SHUT_WR)
        play.drive(server, "handle_request")
        return play.finish(server)


@pytest.mark.parametrize("name", servers("TCP", "UnixStream"))
def test_a_peer_that_has_said_all(name: str) -> None:
    same(half_closed, name)
