"""Proves that a forking server keeps no child it has done with, and never has more than it may."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest

from reactor import BaseRequestHandler, ForkingTCPServer, ForkingUDPServer, StreamRequestHandler
from tests.support.servers import (
    FOREVER,
    FORKS,
    PATIENCE,
    Channel,
    Peer,
    Thread,
    children,
    connected,
    datagram_peer,
    ended,
    hosts,
    made,
    nothing_left,
    program,
    running,
)

pytestmark = FORKS


class Upper(StreamRequestHandler):
    """A line in capitals."""

    def handle(self):
        self.wfile.write(self.rfile.readline().upper())


class UpperDatagram(BaseRequestHandler):
    """The same."""

    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


class Waits(StreamRequestHandler):
    """Says that it is there, then the same."""

    def handle(self):
        self.wfile.write(b"ready\n")
        self.wfile.write(self.rfile.readline().upper())


# Many requests, one after the other: in a small process of its own, which forks fast.

MANY = """
import pathlib, resource, sys
from reactor import *

class Upper(StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline().upper())

class UpperDatagram(BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)

def children():
    tasks = pathlib.Path("/proc/self/task").iterdir()
    return sum(len((task / "children").read_text().split()) for task in tasks)

def memory():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

class Server(globals()[sys.argv[1]]):
    max_children = 4
    requests = most_active = most_children = 0
    early = None

    def get_request(self):
        request = super().get_request()
        self.requests += 1
        if self.requests == many // 2:
            Server.early = memory()
        if self.requests == many:
            self.shutdown()
        return request

    def process_request(self, request, client_address):
        super().process_request(request, client_address)
        self.most_active = max(self.most_active, len(self.active_children))
        self.most_children = max(self.most_children, children())

many = int(sys.argv[2])
with Server(("127.0.0.1", 0), Upper if "TCP" in sys.argv[1] else UpperDatagram) as server:
    print(server.server_address[1], flush=True)
    if len(sys.argv) == 3:
        server.serve_forever(60)
    else:
        for _ in range(many):
            server.handle_request()
    late = memory()
print(server.requests, server.most_active, server.most_children, len(server.active_children), children(),
    late - Server.early < 1 << 20)
"""


@pytest.mark.parametrize(
    ("name", "many", "way"),
    [
        ("ForkingTCPServer", 400, []),
        ("ForkingUDPServer", 400, []),
        ("ForkingTCPServer", 200, ["handle_request"]),
        ("ForkingUDPServer", 200, ["handle_request"]),
    ],
)
def test_hundreds_of_requests_leave_neither_children_nor_memory(name, many, way):
    with program(MANY, name, str(many), *way) as process:
        address = ("127.0.0.1", int(process.stdout.readline()))
        if name == "ForkingTCPServer":
            for _ in range(many):
                with Peer(address) as peer:
                    assert peer.ask(b"a word\n") == b"A WORD\n"
        else:
            with made(ForkingUDPServer, UpperDatagram) as nobody, datagram_peer(nobody) as sock:
                sock.connect(address)
                for _ in range(many):
                    sock.send(b"a word")
                    assert sock.recv(100) == b"A WORD"
        status, out, err = ended(process)
        assert (status, err) == (0, "")
        requests, active, alive, active_at_the_end, alive_at_the_end, flat = out.split()
        assert int(requests) == many
        assert 1 <= int(active) <= 4 and int(alive) <= 4
        assert (active_at_the_end, alive_at_the_end, flat) == ("0", "0", "True")


# A crowd


@pytest.mark.parametrize("way", ["serve_forever", "handle_request"])
def test_there_are_never_more_children_than_that_and_the_others_wait_in_turn(way):
    def service_actions(self):
        super(type(self), self).service_actions()
        looked.say("looked")

    attributes = {"max_children": 3, "request_queue_size": 64, "service_actions": service_actions}
    with nothing_left(), Channel() as looked, made(ForkingTCPServer, Waits, **attributes) as server:
        before = len(children())
        with ExitStack() as stack:
            if way == "serve_forever":
                stack.enter_context(running(server, FOREVER))
            else:

                def loop():
                    for _ in range(10):
                        server.handle_request()

                thread = Thread(loop)
                stack.callback(thread.finish)
            peers = [stack.enter_context(connected(server)) for _ in range(10)]
            assert [peer.line() for peer in peers[:3]] == [b"ready\n"] * 3
            for number, peer in enumerate(peers):
                assert len(server.active_children) <= 3 and len(children()) - before <= 3
                assert peer.ask(b"a word\n") == b"A WORD\n"
                if number + 3 < len(peers):
                    assert peers[number + 3].line() == b"ready\n"
            if way == "handle_request":
                thread.finish()
    assert not server.active_children


def test_handle_request_of_a_full_server_times_out():
    timeouts = []

    def handle_timeout(self):
        timeouts.append(len(self.active_children))

    attributes = {"max_children": 1, "handle_timeout": handle_timeout, "timeout": PATIENCE}
    with (
        nothing_left(),
        made(ForkingTCPServer, Waits, **attributes) as server,
        connected(server) as peer,
        connected(server) as waiting,
    ):
        server.handle_request()
        assert peer.line() == b"ready\n"
        server.timeout = 0.05
        server.handle_request()
        assert timeouts == [1]
        server.timeout = PATIENCE
        assert peer.ask(b"one\n") == b"ONE\n"
        server.handle_request()
        assert waiting.line() == b"ready\n"
        assert timeouts == [1] and len(server.active_children) == 1


def test_handle_request_collects_a_child_that_has_ended_before_there_are_too_many():
    with nothing_left(), made(ForkingTCPServer, Upper, timeout=PATIENCE) as server:
        for _ in range(3):
            with connected(server) as peer:
                server.handle_request()
                assert peer.ask(b"a word\n") == b"A WORD\n"
            (child,) = server.active_children
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # ended, and not yet collected


# How a child ends


class Ends(StreamRequestHandler):
    """As it is told to."""

    def handle(self):
        word = self.rfile.readline()
        if word == b"raise\n":
            raise LookupError("as it was told")
        if word == b"exit\n":
            raise SystemExit(0)
        if word == b"kill\n":
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("word", "status"),
    [(b"return\n", 0), (b"raise\n", 1), (b"exit\n", 1), (b"kill\n", -signal.SIGKILL)],
    ids=["return", "raise", "exit", "kill"],
)
def test_the_status_of_a_child_says_how_its_handler_ended(word, status):
    """Somebody else has waited for the child, too, which is no trouble."""
    quiet = {"handle_error": lambda self, request, client_address: None}
    with nothing_left(), made(ForkingTCPServer, Ends, **quiet) as server:
        with connected(server) as peer:
            peer.send(word)
            server.handle_request()
            assert peer.rest() == b""
        (child,) = server.active_children
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
        server.service_actions()
        assert server.active_children == set()


@pytest.mark.parametrize("fails", ["handle_error", "shutdown_request"])
def test_a_child_never_returns_whatever_fails_in_it(fails):
    def failing(self, *args):
        if os.getpid() != parent:
            raise LookupError("in the child")

    parent = os.getpid()
    with nothing_left(), made(ForkingTCPServer, Ends, **{fails: failing}) as server:
        with connected(server) as peer:
            peer.send(b"raise\n" if fails == "handle_error" else b"return\n")
            server.handle_request()
            assert os.getpid() == parent
            assert peer.rest() == b""
            server.collect_children(blocking=True)
        assert server.active_children == set()


@pytest.mark.parametrize("way", ["serve_forever", "handle_request"])
def test_children_that_the_system_collects_are_forgotten(way):
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with nothing_left(), made(ForkingTCPServer, Waits, max_children=2, timeout=PATIENCE) as server:
            thread = Thread(server.serve_forever, FOREVER) if way == "serve_forever" else None
            for _ in range(6):
                with connected(server) as peer:
                    if thread is None:
                        server.handle_request()
                    assert peer.line() == b"ready\n"
                    assert peer.ask(b"a word\n") == b"A WORD\n"
                    assert len(server.active_children) <= 2
            if thread is not None:
                server.shutdown()
                thread.finish()
        assert server.active_children == set()
    finally:
        signal.signal(signal.SIGCHLD, previous)


def test_children_that_somebody_else_collected_make_room():
    """The server has as many as it may, and none of them is there any more."""
    with nothing_left(), made(ForkingTCPServer, Upper, max_children=2, timeout=PATIENCE) as server:
        for _ in range(2):
            with connected(server) as peer:
                server.handle_request()
                assert peer.ask(b"a word\n") == b"A WORD\n"
        for child in server.active_children:
            os.waitpid(child, 0)
        server.collect_children()  # at the limit it waits for one, outside of serving
        assert server.active_children == set()


def test_outside_of_serving_collecting_waits_at_the_limit_for_one_child_as_in_socketserver():
    with nothing_left(), made(ForkingTCPServer, Waits, max_children=1, timeout=PATIENCE) as server:
        with connected(server) as peer:
            server.handle_request()
            assert peer.line() == b"ready\n"
            thread = Thread(server.collect_children)
            thread.join(0.05)
            assert thread.is_alive()
            assert peer.ask(b"a word\n") == b"A WORD\n"
            thread.finish()
        assert server.active_children == set()


# Closing


@pytest.mark.parametrize("cls", hosts("TCP", "UnixStream", kinds=("Forking",)))
def test_closing_waits_for_the_children(cls):
    with nothing_left(), made(cls, Waits, timeout=PATIENCE) as server:
        with connected(server) as peer:
            server.handle_request()
            assert peer.line() == b"ready\n"
            thread = Thread(server.server_close)
            thread.join(0.05)
            assert thread.is_alive()
            assert peer.ask(b"a word\n") == b"A WORD\n"
            thread.finish()
        assert not server.active_children


def test_closing_without_block_on_close_leaves_a_child_to_its_work():
    with nothing_left(), made(ForkingTCPServer, Waits, block_on_close=False, timeout=PATIENCE) as server:
        with connected(server) as peer:
            server.handle_request()
            assert peer.line() == b"ready\n"
            (child,) = server.active_children
            Thread(server.server_close).finish()
            assert peer.ask(b"a word\n") == b"A WORD\n"
        assert os.waitpid(child, 0)[0] == child
        server.server_close()
        assert server.active_children == set()
