"""Proves that serving stops at once: full servers too, on Ctrl-C, and however a program asks for it."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack

import pytest

from reactor import BaseRequestHandler, ForkingTCPServer, Line, ReactorMixIn, StateRequestHandler
from reactor import StreamRequestHandler as Plain
from tests.support.servers import (
    FOREVER,
    FORKS,
    PATIENCE,
    Peer,
    Thread,
    connected,
    datagram_peer,
    ended,
    hosts,
    made,
    nothing_left,
    program,
    running,
)


class Waits(Plain):
    """Says that it is there; one line there and one back."""

    def handle(self):
        self.wfile.write(b"ready\n")
        self.wfile.write(self.rfile.readline().upper())


class Told(StateRequestHandler):
    """Does what `told` of its server does, for each line."""

    def start(self):
        self.expect(Line(), self.line)

    def line(self, line):
        self.server.told()
        self.write(line.upper())


class PlainTold(Plain):
    """The same."""

    def handle(self):
        for line in self.rfile:
            self.server.told()
            self.wfile.write(line.upper())


class DatagramTold(BaseRequestHandler):
    """The same, for each datagram."""

    def handle(self):
        data, sock = self.request
        self.server.told()
        sock.sendto(data.upper(), self.client_address)


IN_PROCESS = ("", "Threading", "Reactor")


# Full


@FORKS
@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Forking",)))
def test_shutdown_does_not_wait_for_a_child_even_if_there_may_be_no_other(cls):
    with nothing_left(), made(cls, Waits, max_children=2) as server, ExitStack() as stack:
        with running(server, FOREVER) as thread:
            busy = [stack.enter_context(connected(server)) for _ in range(2)]
            assert [peer.line() for peer in busy] == [b"ready\n"] * 2
            waiting = stack.enter_context(connected(server))
        assert not thread.is_alive() and len(server.active_children) == 2
        with running(server, FOREVER):
            assert busy[0].ask(b"one\n") == b"ONE\n"
            assert waiting.line() == b"ready\n"
        for peer in (busy[1], waiting):
            assert peer.ask(b"two\n") == b"TWO\n"


@FORKS
def test_service_actions_goes_on_while_there_may_be_no_other_child():
    """The standard library's, which collects children, waits for one to end."""
    called = threading.Semaphore(0)

    def service_actions(self):
        super(type(self), self).service_actions()
        called.release()

    attributes = {"max_children": 1, "service_actions": service_actions}
    with (
        made(ForkingTCPServer, Waits, **attributes) as server,
        running(server, FOREVER),
        connected(server) as peer,
        connected(server) as waiting,
    ):
        assert peer.line() == b"ready\n"
        while called.acquire(blocking=False):
            pass
        for _ in range(5):
            assert called.acquire(timeout=PATIENCE)
        assert peer.ask(b"one\n") == b"ONE\n"
        assert waiting.line() == b"ready\n"
        assert waiting.ask(b"two\n") == b"TWO\n"


# Ctrl-C

INTERRUPTED = """
import sys
from reactor import *

class Waits(StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"ready\\n")
        self.wfile.write(self.rfile.readline().upper())

class State(StateRequestHandler):
    def start(self):
        self.write(b"ready\\n")
        self.expect(Line(), self.line)

    def line(self, line):
        self.write(line.upper())
        self.close()

class Server(globals()[sys.argv[1]]):
    max_threads = max_children = 1
    daemon_threads = True

handler = State if "Reactor" in sys.argv[1] else Waits
with Server(("127.0.0.1", 0), handler) as server:
    try:
        print(server.server_address[1], flush=True)
        server.serve_forever(60)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("name", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer", "ReactorTCPServer"])
def test_ctrl_c_ends_an_idle_server_at_once(name):
    with program(INTERRUPTED, name) as process, ExitStack() as stack:
        address = ("127.0.0.1", int(process.stdout.readline()))
        with Peer(address) as peer:
            assert peer.line() == b"ready\n"
            assert peer.ask(b"one\n") == b"ONE\n" and peer.rest() == b""
        if name == "ReactorTCPServer":  # and it has done with that one when it greets another
            assert stack.enter_context(Peer(address)).line() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert ended(process) == (0, "interrupted\n", "")


@pytest.mark.parametrize("name", ["ThreadingTCPServer", "ForkingTCPServer"])
def test_ctrl_c_ends_a_full_server_at_once(name):
    with program(INTERRUPTED, name) as process:
        address = ("127.0.0.1", int(process.stdout.readline()))
        with Peer(address) as peer, Peer(address):
            assert peer.line() == b"ready\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted\n"
            if name == "ForkingTCPServer":  # which waits for its child, as it has been asked to
                assert peer.ask(b"one\n") == b"ONE\n"
            assert ended(process) == (0, "", "")


IN_THE_MIDST = """
import os, reactor, signal, socketserver, sys

def interrupted(fork=os.fork):
    pid = fork()
    if bool(pid) == (sys.argv[1] == "parent"):
        signal.raise_signal(signal.SIGINT)
    return pid

os.fork = interrupted
"""


@FORKS
@pytest.mark.parametrize("module", ["reactor", "socketserver"])
@pytest.mark.parametrize("whose", ["parent", "child"])
def test_ctrl_c_in_the_midst_of_a_fork_is_heeded_after_it(whose, module):
    """Raised there, it would have a parent lose its child and end the connection, and a child go on as
    a second parent."""
    source = IN_THE_MIDST + INTERRUPTED.replace("globals()[sys.argv[1]]", f"ForkingMixIn, {module}.TCPServer")
    with program(source, whose) as process:
        address = ("127.0.0.1", int(process.stdout.readline()))
        with Peer(address) as peer:
            if whose == "parent":
                assert process.stdout.readline() == "interrupted\n"
                assert peer.line() == b"ready\n" and peer.ask(b"one\n") == b"ONE\n"
            else:
                assert peer.rest() == b""
                process.send_signal(signal.SIGINT)
                assert process.stdout.readline() == "interrupted\n"
            assert ended(process)[:2] == (0, "")


@FORKS
@pytest.mark.parametrize("cls", hosts("TCP"))
def test_whoever_had_the_signals_written_to_a_descriptor_has_them_again_and_a_child_never_has(cls):
    def destination():
        if threading.current_thread() is not threading.main_thread():
            return b"none of this thread's\n"
        wakeup_fd = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wakeup_fd)
        return b"%d\n" % wakeup_fd

    class PlainTells(Plain):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(destination())

    class Tells(StateRequestHandler):
        def start(self):
            self.expect(Line(), self.line)

        def line(self, line):
            self.write(destination())
            self.close()

    def ask():
        try:
            with connected(server) as peer:
                return peer.ask(b"where to?\n")
        finally:
            server.shutdown()

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    previous = signal.set_wakeup_fd(theirs.fileno())
    try:
        with ours, theirs, made(cls, Tells if issubclass(cls, ReactorMixIn) else PlainTells) as server:
            thread = Thread(ask)
            server.serve_forever(FOREVER)
            answer = thread.finish()
            assert signal.set_wakeup_fd(-1) == theirs.fileno()
        if "Forking" in cls.__name__:
            assert answer == b"-1\n"
        elif "Threading" not in cls.__name__:  # there it is the server's, to be woken
            assert int(answer) not in (-1, theirs.fileno())
    finally:
        signal.set_wakeup_fd(previous)


# What programs reach for


def poke(server):
    server._BaseServer__shutdown_request = True


@pytest.mark.parametrize("way", ["a handler", "another thread", "service_actions"])
@pytest.mark.parametrize("cls", hosts("TCP", "UDP", "UnixStream", "UnixDatagram", kinds=IN_PROCESS))
def test_the_flag_of_the_standard_module_ends_serving_at_once_and_once_only(cls, way):
    stream = "Stream" in cls.__name__ or "TCP" in cls.__name__
    handler = DatagramTold
    if stream:
        handler = Told if issubclass(cls, ReactorMixIn) else PlainTold

    def service_actions(self):
        super(type(self), self).service_actions()
        if way == "service_actions" and served.is_set():
            poke(self)

    def told(self):
        served.set()
        if way == "a handler":
            poke(self)

    served = threading.Event()
    attributes = {"told": told, "service_actions": service_actions}
    with nothing_left(), made(cls, handler, **attributes) as server:
        for _ in range(2):
            served.clear()
            assert server._BaseServer__shutdown_request is False
            interval = 0.01 if way == "service_actions" else FOREVER
            thread = Thread(server.serve_forever, interval)
            with connected(server) if stream else datagram_peer(server) as peer:
                peer.send(b"a word\n")
                assert (peer.line() if stream else peer.recv(100)) == b"A WORD\n"
            if way == "another thread":
                poke(server)
            thread.finish()
            assert server._BaseServer__shutdown_request is False


@pytest.mark.parametrize("cls", hosts("TCP", kinds=IN_PROCESS))
def test_the_flag_set_early_ends_the_next_serve_forever(cls):
    with made(cls, Told) as server:
        poke(server)
        assert server._BaseServer__shutdown_request is True
        Thread(server.serve_forever, FOREVER).finish()
        assert server._BaseServer__shutdown_request is False


@pytest.mark.parametrize("cls", hosts("TCP", kinds=IN_PROCESS))
def test_the_event_of_the_standard_module_is_set_when_nobody_serves_any_more(cls):
    with made(cls, Told, told=lambda self: None) as server:
        for _ in range(2):
            with running(server, FOREVER):
                with connected(server) as peer:
                    assert peer.ask(b"a word\n") == b"A WORD\n"
                event = server._BaseServer__is_shut_down
                assert not event.is_set()
                waiter = Thread(event.wait, PATIENCE)
            assert waiter.finish() is True
            assert server._BaseServer__is_shut_down.is_set()


def test_the_event_is_not_set_before_anybody_has_served():
    with made(ForkingTCPServer, Waits) as server:
        assert not server._BaseServer__is_shut_down.is_set()


# A handler


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("", "Threading")))
def test_a_plain_handler_may_shut_its_server_down_and_still_answer(cls):
    with nothing_left(), made(cls, PlainTold, told=lambda self: self.shutdown()) as server:
        thread = Thread(server.serve_forever, FOREVER)
        with connected(server) as peer:
            assert peer.ask(b"a word\n") == b"A WORD\n"
            if cls.__name__.startswith("Threading"):  # and it waited for the thread that serves
                assert server._BaseServer__is_shut_down.is_set()
        thread.finish()


@FORKS
def test_what_a_child_asks_of_its_copy_of_the_server_is_no_matter_of_its_parents():
    def told(self):
        self.shutdown()
        poke(self)

    with nothing_left(), made(ForkingTCPServer, PlainTold, told=told) as server, running(server, FOREVER):
        for _ in range(3):
            with connected(server) as peer:
                assert peer.ask(b"a word\n") == b"A WORD\n"
        assert server._BaseServer__shutdown_request is False
