"""Proves what datagram servers promise: every size, a bounded turn, and no datagram that ends the server."""

import contextlib
import logging
import os
import pathlib
import select
import socket

import pytest

from reactor import (
    BaseRequestHandler,
    DatagramRequestHandler,
    Line,
    Reactor,
    ReactorTCPServer,
    ReactorUDPServer,
    ReactorUnixDatagramServer,
    StateRequestHandler,
)
from reactor.datagram import DatagramSocket
from tests.support.clock import ManualClock
from tests.support.servers import (
    Channel,
    datagram_peer,
    hosts,
    looping,
    made,
    nothing_left,
    serving,
    telling_errors,
)

EVERY = hosts("UDP", "UnixDatagram", standard=True)
IN_PROCESS = hosts("UDP", "UnixDatagram", kinds=("", "Threading", "Reactor"))
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets")
#: Where the queues of Unix peers are longer, one of them takes all that the server's socket may send.
QUEUE_LENGTH = pathlib.Path("/proc/sys/net/unix/max_dgram_qlen")
short_queues = pytest.mark.skipif(
    not QUEUE_LENGTH.exists() or int(QUEUE_LENGTH.read_text()) > 50, reason="one peer's queue is all there is"
)
LARGEST = 65507  # bytes of an IPv4 datagram


class Echo(DatagramRequestHandler):
    """Sends a datagram back."""

    def handle(self):
        self.wfile.write(self.rfile.read())


class Sized(BaseRequestHandler):
    """How long it was, by hand; what says "fail" raises."""

    def handle(self):
        data, sock = self.request
        if data == b"fail":
            raise LookupError("this datagram")
        sock.sendto(b"%d" % len(data), self.client_address)


@pytest.mark.parametrize("cls", EVERY)
def test_an_empty_datagram_is_a_request_and_an_empty_answer_an_answer(cls):
    with serving(cls, Echo) as server, datagram_peer(server) as peer:
        peer.send(b"")
        assert peer.recv(100) == b""
    with serving(cls, Sized) as server, datagram_peer(server) as peer:
        peer.send(b"")
        assert peer.recv(100) == b"0"


@pytest.mark.parametrize("cls", EVERY)
def test_the_largest_datagram_goes_both_ways(cls):
    with serving(cls, Echo, max_packet_size=65536) as server, datagram_peer(server) as peer:
        peer.send(b"x" * LARGEST)
        assert peer.recv(65536) == b"x" * LARGEST


@pytest.mark.parametrize("cls", EVERY)
def test_a_datagram_over_max_packet_size_is_cut_and_the_next_is_whole(cls):
    with serving(cls, Echo) as server, datagram_peer(server) as peer:
        assert server.max_packet_size == 8192
        peer.send(b"x" * 8193)
        peer.send(b"whole")
        assert sorted((peer.recv(65536), peer.recv(65536))) == [b"whole", b"x" * 8192]


@pytest.mark.parametrize("cls", EVERY)
def test_an_error_in_a_handler_costs_its_datagram_only(cls):
    with (
        Channel() as errors,
        serving(cls, Sized, handle_error=telling_errors(errors)) as server,
        datagram_peer(server) as peer,
    ):
        for _ in range(2):
            peer.send(b"fail")
            assert errors.hear() == "LookupError: this datagram"
            peer.send(b"four")
            assert peer.recv(100) == b"4"


@pytest.mark.parametrize("cls", hosts("UnixDatagram", kinds=("", "Threading", "Reactor")))
def test_a_sender_that_is_gone_does_not_stop_the_server(cls, caplog):
    with made(cls, Sized) as server:
        for _ in range(3):
            with datagram_peer(server) as gone:
                gone.send(b"hello")
        with datagram_peer(server) as named, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as nameless:
            nameless.sendto(b"no address to answer to", server.server_address)
            named.send(b"four")
            with Reactor() as reactor:
                reactor.register(server)
                with looping(reactor):
                    assert named.recv(100) == b"4"


@pytest.mark.parametrize("cls", hosts("UDP", kinds=("", "Reactor"), standard=True))
def test_an_answer_that_came_to_nobody_does_not_stop_the_server(cls):
    """On a connected socket the system reports it with the next call (ECONNREFUSED)."""
    with made(cls, Sized) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.bind(("127.0.0.1", 0))
        address = first.getsockname()
        server.socket.connect(address)
        server.socket.send(b"hello?")
        first.close()
        server.socket.send(b"still there?")  # refused: the error waits at the server's socket
        with Reactor() as reactor, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.settimeout(10)
            again.sendto(b"four", server.server_address)
            reactor.register(server)
            with looping(reactor):
                assert again.recv(100) == b"4"


@pytest.mark.parametrize("cls", hosts("UDP", "UnixDatagram", kinds=("", "Threading", "Reactor")))
def test_a_turn_takes_a_bounded_number_of_datagrams_and_loses_none(cls):
    taken = []

    class Count(BaseRequestHandler):
        def handle(self):
            taken.append(self.request[0])

    with Reactor() as reactor, made(cls, Count) as server:
        reactor.register(server)
        sent = 0
        with datagram_peer(server) as peer:
            peer.setblocking(False)
            try:
                for sent in range(150):
                    peer.send(b"%d" % sent)
                sent = 150
            except BlockingIOError:
                pass  # a Unix socket's queue is short
        turns = []
        for _ in range(sent):
            before = len(taken)
            reactor.handle_events(0)
            for thread in getattr(server, "_threads", None) or ():
                thread.join()
            turns.append(len(taken) - before)
            if len(taken) == sent:
                break
        assert sorted(taken, key=int) == [b"%d" % number for number in range(sent)]
        assert max(turns) <= (64 if issubclass(cls, (ReactorUDPServer, ReactorUnixDatagramServer)) else 1)


class Upper(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())


def test_datagrams_and_connections_on_one_port_in_one_loop():
    with (
        nothing_left(),
        Reactor() as reactor,
        made(ReactorTCPServer, Upper) as streams,
        ReactorUDPServer(streams.server_address, Sized) as datagrams,
    ):
        reactor.register(datagrams)
        reactor.register(streams)
        with (
            looping(reactor),
            datagram_peer(datagrams) as peer,
            socket.create_connection(streams.server_address, 10) as stream,
        ):
            stream.sendall(b"a line\n")
            peer.send(b"four")
            assert peer.recv(100) == b"4"
            assert stream.recv(100) == b"A LINE\n"


@short_queues
def test_a_unix_peer_that_takes_no_answers_costs_nobody_else_theirs_and_no_time():
    clock = ManualClock()
    with (
        Reactor(clock=clock) as reactor,
        made(ReactorUnixDatagramServer, Sized) as server,
        datagram_peer(server) as other,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,  # connected to nobody: its queue has an end
    ):
        deaf.bind(server.server_address + ".deaf")
        reactor.register(server)
        sent = 0
        while not server._hosted.datagrams.owed:
            deaf.sendto(b"x" * sent, server.server_address)
            sent += 1
            reactor.handle_events(0)
            assert sent < 2000
        for _ in range(3):
            reactor.handle_events(0)  # the timer, if there is one
            reactor.handle_events(0)
            assert reactor.handle_events(0) == 0, "it spins"
            clock.advance(1)
        other.send(b"four")
        reactor.handle_events(0)
        assert other.recv(100) == b"4"
        answers = []
        deaf.setblocking(False)
        while len(answers) < sent:
            with contextlib.suppress(BlockingIOError):
                while True:
                    answers.append(deaf.recv(100))
            clock.advance(1)
            reactor.handle_events(0)
            reactor.handle_events(0)
        assert answers == [b"%d" % number for number in range(sent)]
        assert server._hosted.datagrams.owed == 0
        assert reactor.handle_events(0) == 0


@short_queues
def test_what_waits_for_a_unix_peer_is_sent_though_the_socket_is_never_said_to_have_room():
    """It is not while a quarter of its buffer lies with peers, who may leave it there."""
    clock = ManualClock()
    with (
        Reactor(clock=clock) as reactor,
        made(ReactorUnixDatagramServer, Sized) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as slow,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
    ):
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        reactor.register(server)
        for name, peer in (("deaf", deaf), ("slow", slow)):
            peer.bind(f"{server.server_address}.{name}")
            waiting = server._hosted.datagrams._waiting
            while server._hosted.datagrams._waiting == waiting:
                peer.sendto(b"four", server.server_address)
                reactor.handle_events(0)
        assert not select.select([], [server.socket], [], 0)[1]
        slow.setblocking(False)
        while True:
            try:
                assert slow.recv(100) == b"4"
            except BlockingIOError:
                break
        clock.advance(1)
        reactor.handle_events(0)
        assert slow.recv(100) == b"4"


@needs_unix
@pytest.mark.parametrize("named", [True, False])
def test_a_unix_peer_that_left_nothing_to_answer_to_is_no_error(named, caplog):
    with made(ReactorUnixDatagramServer, Sized) as server, Reactor() as reactor:
        reactor.register(server)
        with datagram_peer(server) if named else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"hello", server.server_address)
            if named:
                os.unlink(peer.getsockname())
            with caplog.at_level(logging.DEBUG, "reactor"):
                assert reactor.handle_events(0) == 1
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "is gone" in caplog.text


class FullSocket:
    """Has no room while it is `full`."""

    family = socket.AF_INET
    full = True

    def __init__(self):
        self.sent = []

    def sendto(self, data, flags, address=None):
        if self.full:
            raise BlockingIOError
        if address == "nowhere":
            raise TypeError("an address is a tuple")
        self.sent.append(data)
        return len(data)


def test_what_waits_with_an_address_that_is_none_is_lost_alone():
    sock, warned = FullSocket(), []
    datagrams = DatagramSocket(sock, 1000, lambda: None, lambda cause, text: warned.append(cause))
    for data, address in ((b"first", ("h", 1)), (b"lost", "nowhere"), (b"last", ("h", 1))):
        assert datagrams.sendto(data, address) == len(data)
    sock.full = False
    assert datagrams.flush()
    assert sock.sent == [b"first", b"last"]
    assert (warned, datagrams.owed) == (["sendto: TypeError"], 0)


def test_while_others_wait_sendto_still_wants_an_address():
    datagrams = DatagramSocket(FullSocket(), 1000, lambda: None, lambda cause, text: None)
    datagrams.sendto(b"first", ("h", 1))
    with pytest.raises(TypeError):
        datagrams.sendto(b"no address")
    assert datagrams.owed == len(b"first")


def test_empty_datagrams_that_wait_are_bounded_too():
    sock, warned = FullSocket(), []
    datagrams = DatagramSocket(sock, 10_000, lambda: None, lambda cause, text: warned.append(cause))
    for number in range(1000):
        datagrams.sendto(b"", ("h", number % 3))
    assert set(warned) == {"send_buffer_limit"}
    sock.full = False
    assert datagrams.flush()
    assert 10 < len(sock.sent) < 100
    warned.clear()
    sock.full = True
    datagrams.sendto(b"", ("h", 1))  # and what was sent takes no room any more
    assert not warned
