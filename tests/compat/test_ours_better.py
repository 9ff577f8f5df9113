"""What was wrong in asyncore and is right here. Each of these fails on the frozen copies."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.compat import asynchat, asyncore

PATIENCE = 5.0
TURNS = 60


@pytest.fixture
def channels() -> Iterator[dict[int, Any]]:
    """A map, emptied at the end."""
    those: dict[int, Any] = {}
    yield those
    asyncore.close_all(those, ignore_all=True)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection: our end, and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    with ours, peer:
        yield ours, peer


def turns(channels: dict[int, Any], until: Callable[[], object], use_poll: bool = False) -> None:
    """Take turns until that is so."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, "nothing came of it"
        asyncore.loop(0.01, use_poll, channels, count=1)


class Counter(asyncore.dispatcher):
    """Counts what happens to it, reads, and never closes of its own accord."""

    def __init__(self, sock: socket.socket, map: Any) -> None:
        super().__init__(sock, map)
        self.reads = self.closes = self.urgent = 0
        self.got: list[bytes] = []

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        self.reads += 1
        self.got.append(self.recv(1000))

    def handle_close(self) -> None:
        self.closes += 1

    def handle_expt(self) -> None:
        self.urgent += 1


both = pytest.mark.parametrize("use_poll", [False, True])


@both
def test_more_than_1024_descriptors(channels: dict[int, Any], use_poll: bool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("this system lets us have no more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    ours, peer = socket.socketpair()
    try:
        with contextlib.ExitStack() as stack:
            fds = [os.dup(ours.fileno()) for _ in range(1030)]
            stack.callback(lambda: [os.close(fd) for fd in fds])
            high = Counter(socket.socket(fileno=os.dup(fds[-1])), channels)
            assert high._fileno > 1024
            peer.send(b"up here")
            turns(channels, lambda: high.got, use_poll)
            assert high.got == [b"up here"]
            high.close()
    finally:
        ours.close()
        peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@both
def test_a_descriptor_used_again_within_a_turn(channels: dict[int, Any], use_poll: bool) -> None:
    """Whoever of two is called first puts a newcomer in the other's place."""
    newcomers: list[Counter] = []
    pairs = [socket.socketpair() for _ in range(3)]

    class Usurper(Counter):
        def handle_read(self) -> None:
            super().handle_read()
            if newcomers:
                return
            other = first if self is second else second
            number = other._fileno
            other.close()
            assert os.dup(pairs[2][0].fileno()) == number
            newcomers.append(Counter(socket.socket(fileno=number), channels))

    first = Usurper(pairs[0][0], channels)
    second = Usurper(pairs[1][0], channels)
    try:
        for _, peer in pairs[:2]:
            peer.send(b"for those who were there")
        asyncore.loop(1, use_poll, channels, count=1)
        assert [newcomer.reads for newcomer in newcomers] == [0]
        pairs[2][1].send(b"for the newcomer")
        turns(channels, lambda: newcomers[0].got, use_poll)
        assert newcomers[0].got == [b"for the newcomer"]
    finally:
        for pair in pairs:
            for sock in pair:
                sock.close()


@both
def test_a_socket_replaced_within_a_turn(channels: dict[int, Any], use_poll: bool) -> None:
    """The same object, with a new socket of the same number."""
    pairs = [socket.socketpair() for _ in range(3)]

    class Replacing(Counter):
        def handle_read(self) -> None:
            super().handle_read()
            for other in (first, second):
                if self is not other and not other.reads and not self.replaced:
                    self.replaced = True
                    number = other._fileno
                    other.close()
                    assert os.dup(pairs[2][0].fileno()) == number
                    again = socket.socket(fileno=number)
                    again.setblocking(False)
                    other.set_socket(again)

        replaced = False

    first = Replacing(pairs[0][0], channels)
    second = Replacing(pairs[1][0], channels)
    try:
        pairs[0][1].send(b"1")
        pairs[1][1].send(b"2")
        asyncore.loop(1, use_poll, channels, count=1)
        assert first.reads + second.reads == 1
    finally:
        for pair in pairs:
            for sock in pair:
                sock.close()


@both
def test_a_socket_assigned_within_a_turn(channels: dict[int, Any], use_poll: bool) -> None:
    """The number stays as it was, and nobody says more than ``self.socket = …``."""
    pairs = [socket.socketpair() for _ in range(3)]

    class Replacing(Counter):
        def handle_read(self) -> None:
            super().handle_read()
            other = first if self is second else second
            if first.reads + second.reads == 1:
                number = other._fileno
                os.dup2(pairs[2][0].fileno(), number)
                other.socket.detach()
                other.socket = socket.socket(fileno=number)
                other.socket.setblocking(False)

    first = Replacing(pairs[0][0], channels)
    second = Replacing(pairs[1][0], channels)
    try:
        pairs[0][1].send(b"1")
        pairs[1][1].send(b"2")
        asyncore.loop(1, use_poll, channels, count=1)
        assert first.reads + second.reads == 1
        pairs[2][1].send(b"3")
        turns(channels, lambda: first.got + second.got in ([b"1", b"3"], [b"3", b"2"]), use_poll)
    finally:
        for pair in pairs:
            for sock in pair:
                sock.close()


@both
def test_an_accept_that_fails(channels: dict[int, Any], use_poll: bool) -> None:
    attempts = []
    accepted = []

    class Listener(asyncore.dispatcher):
        def handle_accept(self) -> None:
            attempts.append(time.monotonic())
            super().handle_accept()

        def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
            accepted.append(addr)
            sock.close()

    listener = Listener(map=channels)
    listener.create_socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(5)
    asyncore.loop(0, use_poll, channels, count=1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(listener.socket.getsockname()) as peer:
        filler = [os.dup(peer.fileno())]
        resource.setrlimit(resource.RLIMIT_NOFILE, (filler[0] + 1, limits[1]))  # no number above that one
        try:
            with contextlib.suppress(OSError):
                while True:
                    filler.append(os.dup(peer.fileno()))
            asyncore.loop(0.002, use_poll, channels, count=TURNS)
        finally:
            for fd in filler:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not accepted
        assert listener in channels.values()
        assert 1 <= len(attempts) < TURNS / 2
        turns(channels, lambda: accepted, use_poll)


@both
def test_a_half_closed_peer(channels: dict[int, Any], pair: Any, use_poll: bool) -> None:
    ours, peer = pair
    channel = Counter(ours, channels)
    peer.send(b"the last words")
    peer.shutdown(socket.SHUT_WR)
    turns(channels, lambda: channel.closes, use_poll)
    asyncore.loop(0.002, use_poll, channels, count=TURNS)
    assert channel.got[0] == b"the last words"
    assert channel.closes < TURNS / 2


@both
def test_a_connection_that_is_over_both_ways(channels: dict[int, Any], pair: Any, use_poll: bool) -> None:
    ours, peer = pair
    channel = Counter(ours, channels)
    ours.shutdown(socket.SHUT_WR)
    peer.close()
    turns(channels, lambda: channel.closes, use_poll)
    asyncore.loop(0.002, use_poll, channels, count=TURNS)
    assert channel.closes < TURNS


@both
def test_all_that_a_half_closed_peer_has_sent_comes_at_once(
    channels: dict[int, Any], pair: Any, use_poll: bool
) -> None:
    """Only the end is no news; what stands before it is read without a rest."""
    ours, peer = pair
    channel = Counter(ours, channels)
    peer.sendall(b"x" * 50_000)
    peer.shutdown(socket.SHUT_WR)
    turns(channels, lambda: channel.closes, use_poll)
    assert b"".join(channel.got) == b"x" * 50_000
    assert channel.closes <= 2


@both
def test_a_byte_of_urgent_data(channels: dict[int, Any], pair: Any, use_poll: bool) -> None:
    ours, peer = pair
    channel = Counter(ours, channels)
    peer.send(b"!", socket.MSG_OOB)
    turns(channels, lambda: channel.urgent, use_poll)
    asyncore.loop(0.002, use_poll, channels, count=TURNS)
    assert channel.urgent < TURNS / 2
    assert ours.recv(1, socket.MSG_OOB) == b"!"
    before = channel.urgent
    peer.send(b"?", socket.MSG_OOB)
    turns(channels, lambda: channel.urgent > before, use_poll)


@both
def test_a_byte_of_urgent_data_that_nobody_asked_for(
    channels: dict[int, Any], pair: Any, use_poll: bool
) -> None:
    ours, peer = pair
    said = []

    class Plain(asynchat.async_chat):
        def log_info(self, message: str, type: str = "info") -> None:
            said.append(message)

    Plain(ours, channels)
    peer.send(b"!", socket.MSG_OOB)
    turns(channels, lambda: said, use_poll)
    asyncore.loop(0.001, use_poll, channels, count=TURNS)
    assert said == ["unhandled incoming priority event"]


def test_a_plain_dispatcher_that_has_nothing_to_write(channels: dict[int, Any], pair: Any) -> None:
    said = []

    class Plain(asyncore.dispatcher):
        def log_info(self, message: str, type: str = "info") -> None:
            said.append(message)

    Plain(pair[0], channels)
    asyncore.loop(0.001, False, channels, count=TURNS)
    assert said == ["unhandled write event"]


class Datagrams(asyncore.dispatcher):
    """Understands numbers only."""

    def __init__(self, map: Any) -> None:
        super().__init__(map=map)
        self.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind(("127.0.0.1", 0))
        self.numbers: list[int] = []
        self.trouble: list[str] = []

    def writable(self) -> bool:
        return False

    def handle_read(self) -> None:
        self.numbers.append(int(self.recv(1000)))

    def log_info(self, message: str, type: str = "info") -> None:
        self.trouble.append(message)


@both
@pytest.mark.parametrize("bad", [b"", b"what?"])
def test_a_bad_datagram(channels: dict[int, Any], use_poll: bool, bad: bytes) -> None:
    server = Datagrams(channels)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect(server.socket.getsockname())
        for data in [bad] * 40 + [b"7"]:
            peer.send(data)
        turns(channels, lambda: server.numbers, use_poll)
    assert server.numbers == [7]
    assert len(server.trouble) == 40


@both
def test_a_datagram_to_a_peer_that_is_gone(channels: dict[int, Any], use_poll: bool) -> None:
    server = Datagrams(channels)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        address = peer.getsockname()
    server.socket.connect(address)
    server.socket.send(b"are you there?")
    turns(channels, lambda: server.trouble, use_poll)
    assert "Connection refused" in server.trouble[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(address)
        peer.connect(server.socket.getsockname())
        peer.send(b"3")
        turns(channels, lambda: server.numbers, use_poll)


@both
def test_a_connect_that_fails(channels: dict[int, Any], use_poll: bool) -> None:
    """The error arrives with its cause, once, and nobody is told of a connection."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    told: list[Any] = []

    class Client(asyncore.dispatcher):
        def handle_connect(self) -> None:
            told.append("connected")

        def handle_write(self) -> None:
            pass

        def handle_read(self) -> None:
            pass

        def handle_error(self) -> None:
            told.append(sys.exc_info()[0])

        def handle_close(self) -> None:
            pass

    client = Client(map=channels)
    client.create_socket()
    client.connect(address)
    asyncore.loop(0.001, use_poll, channels, count=20)
    assert told == [ConnectionRefusedError]
    assert not client.connected


def test_timers_and_wake_ups(channels: dict[int, Any], pair: Any) -> None:
    Counter(pair[0], channels)
    happened = []
    with asyncore.reactor(channels) as reactor:
        reactor.call_later(0.01, happened.append, "timer")

        def elsewhere() -> None:
            reactor.call_soon_threadsafe(happened.append, "another thread")
            reactor.call_later(0.02, asyncore.close_all, channels)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        asyncore.loop(PATIENCE * 10, map=channels)  # and neither of them waits for that
        thread.join()
    assert sorted(happened) == ["another thread", "timer"]


def calls_in(turn: Callable[[], object]) -> int:
    """How many Python functions are entered during *turn*."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        turn()
    finally:
        sys.setprofile(None)
    return calls


@both
def test_an_idle_channel_costs_no_call(channels: dict[int, Any], use_poll: bool) -> None:
    pairs = [socket.socketpair() for _ in range(60)]
    costs = []
    try:
        for ours, _ in pairs:
            asynchat.async_chat(ours, channels)
            asyncore.loop(0, use_poll, channels, count=2)
            costs.append(calls_in(lambda: asyncore.loop(0, use_poll, channels, count=1)))
    finally:
        for _, peer in pairs:
            peer.close()
    assert costs[-1] == costs[5]
