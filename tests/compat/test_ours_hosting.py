"""Channels in a `Reactor`, beside its own handlers."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import Line, Reactor, ReactorTCPServer, StateRequestHandler
from reactor.compat import asynchat, asyncore
from reactor.compat.polling import existing_poller

PATIENCE = 5.0


class Chat(asynchat.async_chat):
    """Upper-cases lines."""

    def __init__(self, sock: Any, map: Any) -> None:
        super().__init__(sock, map)
        self.set_terminator(b"\n")

    def collect_incoming_data(self, data: bytes) -> None:
        self._collect_incoming_data(data)

    def found_terminator(self) -> None:
        self.push(self._get_data().upper() + b"\n")


class Listener(asyncore.dispatcher):
    """Accepts chats into its own map."""

    def __init__(self, map: Any, chat_class: Any = Chat) -> None:
        super().__init__(map=map)
        self.chat_class = chat_class
        self.create_socket()
        self.bind(("127.0.0.1", 0))
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
        self.chat_class(sock, self._map)

    def connect_to(self) -> socket.socket:
        peer = socket.create_connection(self.socket.getsockname())
        peer.settimeout(PATIENCE)
        return peer


class Upper(StateRequestHandler):
    def start(self) -> None:
        self.expect(Line(), self.shout)

    def shout(self, line: bytes) -> None:
        self.write(line.upper())


class Peers:
    """Clients in a thread of their own; when they are done the reactor stops."""

    def __init__(self, reactor: Reactor, *calls: Any) -> None:
        self.results: list[Any] = []
        self.thread = threading.Thread(target=self.run, args=(reactor, calls))
        self.thread.start()

    def run(self, reactor: Reactor, calls: Any) -> None:
        try:
            for call in calls:
                self.results.append(call())
        finally:
            reactor.stop()

    def join(self) -> list[Any]:
        self.thread.join(PATIENCE)
        return self.results


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with Reactor() as made:
        made.call_later(PATIENCE * 2, made.stop)
        yield made


def ask(address: Any, line: bytes) -> bytes:
    with socket.create_connection(address, timeout=PATIENCE) as peer:
        peer.sendall(line)
        return peer.makefile("rb").readline()


def test_a_listener_beside_a_server(reactor: Reactor) -> None:
    channels: dict[int, Any] = {}
    listener = Listener(channels)
    reactor.register(listener)
    with ReactorTCPServer(("127.0.0.1", 0), Upper) as server:
        reactor.register(server)
        peers = Peers(
            reactor,
            lambda: ask(listener.socket.getsockname(), b"old\n"),
            lambda: ask(server.server_address, b"new\n"),
            lambda: len(ask(listener.socket.getsockname(), b"x" * 3_000_000 + b"\n")),
        )
        reactor.run()
        assert peers.join() == [b"OLD\n", b"NEW\n", 3_000_001]
    assert reactor.registered(listener)


def test_what_is_registered_is_closed_with_the_reactor() -> None:
    channels: dict[int, Any] = {}
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with Reactor() as reactor:
        listener = Listener(channels)
        reactor.register(listener)
        peer = listener.connect_to()
        reactor.handle_events(PATIENCE)
        assert len(channels) == 2
    assert channels == {}
    assert peer.recv(1) == b""
    peer.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_unregistered(reactor: Reactor) -> None:
    ours, peer = socket.socketpair()
    with peer:
        chat = Chat(ours, {})
        reactor.register(chat)
        assert reactor.registered(chat)
        reactor.unregister(chat)
        assert not reactor.registered(chat)
        assert chat._map == {}
        peer.send(b"nobody listens\n")
        reactor.handle_events(0)
        reactor.register(chat)
        reactor.handle_events(PATIENCE)
        assert peer.recv(100) == b"NOBODY LISTENS\n"
        chat.close()
        assert not reactor.registered(chat)


def test_one_map_one_reactor(reactor: Reactor) -> None:
    channels: dict[int, Any] = {}
    pairs = [socket.socketpair() for _ in range(2)]
    first, second = (Chat(ours, channels) for ours, _ in pairs)
    reactor.register(first)
    assert asyncore.reactor(channels) is reactor
    with Reactor() as other, pytest.raises(ValueError, match="a map of its own"):
        other.register(second)
    for _, peer in pairs:
        peer.close()


def test_the_loop_drives_the_reactor_as_well(reactor: Reactor) -> None:
    channels: dict[int, Any] = {}
    ours, peer = socket.socketpair()
    with peer:
        peer.settimeout(PATIENCE)
        reactor.register(Chat(ours, channels))
        peer.send(b"a\n")
        reactor.call_soon(peer.send, b"b\n")
        asyncore.loop(0, map=channels, count=5)
        assert peer.recv(100) == b"A\nB\n"


class Loose:
    """No dispatcher, but what the loop needs of one."""

    accepting = False

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.got: list[bytes] = []

    def readable(self) -> bool:
        return not self.got

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        self.got.append(os.read(self.fd, 100))

    def close(self) -> None:
        os.close(self.fd)


@pytest.mark.parametrize("drive", ["run", "loop"])
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_loose_ones(drive: str, kind: str, tmp_path: Any) -> None:
    channels: dict[int, Any] = {}
    with asyncore.reactor(channels) as reactor, contextlib.ExitStack() as stack:
        if kind == "pipe":
            fd, other = os.pipe()
            stack.callback(os.close, other)
            reactor.call_later(0.01, os.write, other, b"data")
        else:
            (tmp_path / "file").write_bytes(b"data")
            fd = os.open(tmp_path / "file", os.O_RDONLY)
        loose = channels[fd] = Loose(fd)
        guard = reactor.call_later(PATIENCE, reactor.stop)
        while guard.active and not loose.got:
            if drive == "run":
                reactor.handle_events(PATIENCE)
            else:
                asyncore.loop(PATIENCE, map=channels, count=1)
        assert loose.got == [b"data"]


def test_a_rest_ends_in_a_reactor_too(reactor: Reactor) -> None:
    closes = []

    class Stubborn(Chat):
        def handle_close(self) -> None:
            closes.append(len(closes))
            if len(closes) == 3:
                reactor.stop()

    ours, peer = socket.socketpair()
    reactor.register(Stubborn(ours, {}))
    peer.close()
    reactor.run()
    assert len(closes) == 3


def test_exit_now(reactor: Reactor) -> None:
    class Leaver(Chat):
        def found_terminator(self) -> None:
            raise asyncore.ExitNow("enough")

    ours, peer = socket.socketpair()
    with peer:
        chat = Leaver(ours, {})
        reactor.register(chat)
        peer.send(b"a\n")
        reactor.run()
        peer.send(b"a\n")
        with pytest.raises(asyncore.ExitNow):
            asyncore.loop(PATIENCE, map=chat._map)


def test_a_predicate_that_raises_costs_a_line(reactor: Reactor, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Chat):
        def readable(self) -> bool:
            raise ZeroDivisionError("on purpose")

    ours, peer = socket.socketpair()
    with peer:
        reactor.register(Broken(ours, {}))
        for _ in range(3):
            reactor.handle_events(0)
    assert ["on purpose" in record.getMessage() for record in caplog.records] == [True]


def test_draining_closes_listeners(reactor: Reactor) -> None:
    channels: dict[int, Any] = {}
    listener = Listener(channels)
    reactor.register(listener)
    peer = listener.connect_to()
    reactor.handle_events(PATIENCE)
    reactor.drain()
    reactor.run()
    assert [type(channel) for channel in channels.values()] == [Chat]
    peer.close()


def test_the_reactor_of_the_common_map() -> None:
    before = asyncore.socket_map
    asyncore.socket_map = {}
    try:
        with asyncore.reactor() as reactor:
            assert asyncore.reactor() is reactor
            poller = existing_poller(asyncore.socket_map)
            assert poller is not None
            assert poller.host is not None
        with asyncore.reactor() as another:
            assert another is not reactor
    finally:
        asyncore.socket_map = before
