"""Proves that one handler runs on any server: every cell of the matrix, and the cells that say no."""

import random
import socket
import socketserver
import time

import pytest

from reactor import (
    AsyncStreamRequestHandler,
    BaseRequestHandler,
    DatagramRequestHandler,
    Exactly,
    Line,
    ReactorTCPServer,
    ReactorUDPServer,
    ReactorUnixDatagramServer,
    ReactorUnixStreamServer,
    StateRequestHandler,
    StreamRequestHandler,
    ToEOF,
)
from tests.support.servers import Channel, connected, datagram_peer, hosts, serving, telling_errors

BIG = random.Random(5639).randbytes(5 << 20)

STREAMS = hosts("TCP", "UnixStream", standard=True)
CONCURRENT_STREAMS = hosts("TCP", "UnixStream", kinds=("Threading", "Forking", "Reactor"), standard=True)
REACTOR_STREAMS = [ReactorTCPServer, ReactorUnixStreamServer]
DATAGRAMS = hosts("UDP", "UnixDatagram", standard=True)


# Conversations, each in every style that can hold it


class PlainSized(StreamRequestHandler):
    """A greeting; then a length on a line and that many bytes, which come back reversed."""

    def handle(self):
        self.wfile.write(b"ready\n")
        while line := self.rfile.readline():
            self.wfile.write(self.rfile.read(int(line))[::-1])


class CoroutineSized(AsyncStreamRequestHandler):
    async def handle(self):
        self.wfile.write(b"ready\n")
        async for line in self.rfile:
            self.wfile.write((await self.rfile.readexactly(int(line)))[::-1])
            await self.wfile.drain()


class StateSized(StateRequestHandler):
    def start(self):
        self.write(b"ready\n")
        self.expect(Line(limit=20), self.length)

    def length(self, line):
        self.expect(Exactly(int(line)), self.body)

    def body(self, data):
        self.write(data[::-1])


class PlainLength(StreamRequestHandler):
    """How much there is, up to the end of input."""

    def handle(self):
        self.wfile.write(b"%d\n" % len(self.rfile.read()))


class CoroutineLength(AsyncStreamRequestHandler):
    async def handle(self):
        self.wfile.write(b"%d\n" % len(await self.rfile.read()))


class StateLength(StateRequestHandler):
    def start(self):
        self.expect(ToEOF(), self.all)

    def all(self, data):
        self.write(b"%d\n" % len(data))


class PlainBig(StreamRequestHandler):
    """5 MiB for each line."""

    def handle(self):
        for _ in self.rfile:
            self.wfile.write(BIG)


class CoroutineBig(AsyncStreamRequestHandler):
    async def handle(self):
        async for _ in self.rfile:
            for start in range(0, len(BIG), 65536):
                self.wfile.write(BIG[start : start + 65536])
                await self.wfile.drain()


class StateBig(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(BIG)


class PlainWaits(StreamRequestHandler):
    """Waits, works elsewhere, answers."""

    def handle(self):
        for line in self.rfile:
            time.sleep(0.001)
            self.wfile.write(line.upper())


class CoroutineWaits(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            await self.sleep(0.001)
            self.wfile.write(await self.offload(line.upper))


class StateWaits(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.hold()
        self.reactor.call_later(0.001, self.rested, line)

    def rested(self, line):
        self.release()
        self.offload(line.upper, then=self.write)


SIZED = [PlainSized, CoroutineSized, StateSized]
LENGTH = [PlainLength, CoroutineLength, StateLength]
BIGS = [PlainBig, CoroutineBig, StateBig]
WAITS = [PlainWaits, CoroutineWaits, StateWaits]


def cells(servers, handlers):
    """Every server with every handler, but for those that say no (see the end)."""
    return pytest.mark.parametrize(
        ("cls", "handler"),
        [
            pytest.param(server.values[0], handler, id=f"{server.id}-{handler.__name__}", marks=server.marks)
            for server in servers
            for handler in handlers
            if not (issubclass(handler, StreamRequestHandler) and hasattr(server.values[0], "reactor"))
        ],
    )


@cells(STREAMS, SIZED)
def test_a_request_of_several_steps_is_one_conversation_on_every_server(cls, handler):
    with serving(cls, handler) as server, connected(server) as peer:
        assert peer.line() == b"ready\n"
        for request in (b"5\nhello", b"0\n"):
            peer.send(request)
        peer.send(b"3\nabc2\nxy1\nz10")  # pipelined, the last one torn apart
        assert peer.exactly(11) == b"olleh" + b"cba" + b"yx" + b"z"
        peer.send(b"\n0123")
        peer.send(b"456789")
        peer.half_close()
        assert peer.rest() == b"9876543210"


@cells(STREAMS, LENGTH)
def test_a_peer_that_half_closes_still_gets_its_answer(cls, handler):
    with serving(cls, handler) as server, connected(server) as peer:
        peer.send(b"x" * 200_000)
        peer.half_close()
        assert peer.rest() == b"200000\n"


@cells(CONCURRENT_STREAMS, BIGS)
def test_a_reader_that_does_not_read_gets_all_of_it_later_and_holds_up_nobody(cls, handler):
    with serving(cls, handler) as server, connected(server, receive_buffer=4096) as slow:
        slow.send(b"big\n")
        assert slow.exactly(1) == BIG[:1]  # the server is in the middle of it
        with connected(server) as other:
            other.send(b"big\n")
            assert other.exactly(len(BIG)) == BIG
        slow.half_close()
        assert slow.rest() == BIG[1:]


@cells(STREAMS, WAITS)
def test_a_handler_may_wait_and_work_elsewhere_on_every_server(cls, handler):
    with serving(cls, handler) as server, connected(server) as peer:
        peer.send(b"one\ntwo\n")
        assert peer.line() == b"ONE\n"
        assert peer.line() == b"TWO\n"
        peer.send(b"three\n")
        peer.half_close()
        assert peer.rest() == b"THREE\n"


class CoroutineOne(AsyncStreamRequestHandler):
    """Answers the first line, and that is all."""

    async def handle(self):
        self.wfile.write((await self.rfile.readline()).upper())


class StateOne(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())
        self.close()


@cells(STREAMS, [CoroutineOne, StateOne])
def test_the_last_reply_is_not_lost_to_a_reset_for_what_was_not_read(cls, handler):
    with serving(cls, handler) as server, connected(server) as peer:
        peer.send(b"one\n" + b"never read" * 20_000)
        assert peer.line() == b"ONE\n"
        peer.half_close()
        assert peer.rest() == b""


# Errors


class PlainFails(StreamRequestHandler):
    """Answers one line, and raises; what was written before still arrives."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())
        raise LookupError("a bug")


class CoroutineFails(AsyncStreamRequestHandler):
    async def handle(self):
        self.wfile.write((await self.rfile.readline()).upper())
        raise LookupError("a bug")


class StateFails(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())
        raise LookupError("a bug")


class CoroutineFailsElsewhere(AsyncStreamRequestHandler):
    """The same error, raised in the pool."""

    async def handle(self):
        self.wfile.write((await self.rfile.readline()).upper())
        await self.offload(_raise)


class StateFailsElsewhere(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())
        self.offload(_raise, then=self.write)


def _raise():
    raise LookupError("a bug")


@cells(STREAMS, [PlainFails, CoroutineFails, StateFails, CoroutineFailsElsewhere, StateFailsElsewhere])
def test_an_error_reaches_the_hosts_handle_error_once_and_costs_one_connection(cls, handler):
    with Channel() as errors, serving(cls, handler, handle_error=telling_errors(errors)) as server:
        for _ in range(2):
            with connected(server) as peer:
                peer.send(b"reply first\n")
                assert peer.rest() == b"REPLY FIRST\n"
            assert errors.hear() == "LookupError: a bug"
        assert errors.silent()


@pytest.mark.parametrize("cls", hosts("TCP", kinds=("", "Threading", "Reactor"), standard=True))
def test_a_refused_message_is_one_line_in_the_log_and_no_error_on_every_server(cls, caplog):
    with Channel() as errors, serving(cls, StateSized, handle_error=telling_errors(errors)) as server:
        with connected(server) as peer:
            peer.send(b"1" * 20)  # a Line of at most 20 bytes has no room left for its end
            assert peer.rest() == b"ready\n"
        with connected(server) as peer:
            assert peer.line() == b"ready\n"
        assert errors.silent()
    [record] = caplog.records
    assert "Line over its limit of 20 bytes" in record.message and record.exc_info is None


# Datagrams


class UpperDatagram(DatagramRequestHandler):
    """Stands for every handler of datagrams: a datagram is a complete request."""

    def handle(self):
        self.wfile.write(self.rfile.read().upper())


class UpperByHand(BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


class StandardUpperDatagram(socketserver.DatagramRequestHandler):
    """Not even made for this package."""

    def handle(self):
        self.wfile.write(self.rfile.read().upper())


@pytest.mark.parametrize("handler", [UpperDatagram, UpperByHand, StandardUpperDatagram])
@pytest.mark.parametrize("cls", DATAGRAMS)
def test_a_datagram_is_answered_by_every_datagram_server(cls, handler):
    with serving(cls, handler) as server, datagram_peer(server) as peer:
        for word in (b"one", b"two"):
            peer.send(word)
            assert peer.recv(100) == word.upper()


# The cells that say no


class Plain(StreamRequestHandler):
    def handle(self):
        raise AssertionError("not to be called")


class StandardPlain(socketserver.StreamRequestHandler):
    """The standard library's own class."""


class NoStart(StateRequestHandler):
    """Forgot its start."""


def _address(cls, tmp_path):
    return ("127.0.0.1", 0) if cls.address_family == socket.AF_INET else str(tmp_path / "socket")


@pytest.mark.parametrize("handler", [Plain, StandardPlain, UpperDatagram, BaseRequestHandler])
@pytest.mark.parametrize("cls", REACTOR_STREAMS)
def test_a_handler_that_waits_is_refused_by_a_reactor_server_with_what_to_write(cls, handler, tmp_path):
    with pytest.raises(TypeError) as caught:
        cls(_address(cls, tmp_path), handler)
    text = str(caught.value)
    assert handler.__name__ in text
    for advice in ("AsyncStreamRequestHandler", "async def handle", "StateRequestHandler", "ThreadingMixIn"):
        assert advice in text
    assert not (tmp_path / "socket").exists()


@pytest.mark.parametrize("handler", [StateSized, CoroutineSized])
@pytest.mark.parametrize("cls", [ReactorUDPServer, ReactorUnixDatagramServer])
def test_a_handler_of_streams_is_refused_by_a_reactor_datagram_server(cls, handler, tmp_path):
    with pytest.raises(TypeError, match=f"{handler.__name__}.*DatagramRequestHandler"):
        cls(_address(cls, tmp_path), handler)


def test_a_state_machine_without_its_start_is_refused_by_name():
    with pytest.raises(TypeError, match=r"NoStart.*start\("):
        ReactorTCPServer(("127.0.0.1", 0), NoStart)


def test_a_handle_that_is_no_coroutine_says_what_to_write():
    class Forgot(AsyncStreamRequestHandler):
        def handle(self):
            return None

    with (
        Channel() as errors,
        serving(ReactorTCPServer, Forgot, handle_error=telling_errors(errors)) as server,
    ):
        with connected(server) as peer:
            assert peer.rest() == b""
        assert "async def handle" in errors.hear()
