"""Proves that a server can be closed, or told to end, at any moment and in any state, and leaves nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import threading
import time

import pytest

import reactor
from reactor import (
    AsyncStreamRequestHandler,
    Limits,
    Line,
    ReactorTCPServer,
    ReactorUnixStreamServer,
    RequestState,
    StateRequestHandler,
    StreamRequestHandler,
)
from tests.support.pairs import House
from tests.support.servers import PATIENCE, Peer, connected, ended, in_loop, nothing_left, program, serving

S = RequestState


class States(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        self.write(line.upper())
        if line == b"hold\n":
            self.hold()
        elif line == b"offload\n":
            self.offload(self.server.work)
        elif line == b"big\n":
            self.write(b"x" * 3_000_000)
        elif line == b"bye\n":
            self.write(b"x" * 3_000_000)
            self.close()
        elif line == b"close\n":
            self.close()

    def finish(self):
        self.server.finished.append(self)


class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            self.wfile.write(line.upper())
            if line == b"hold\n":
                await self.sleep(3600)
            elif line == b"offload\n":
                await self.offload(self.server.work)
            elif line == b"big\n":
                self.wfile.write(b"x" * 3_000_000)
                await self.wfile.drain()
            elif line == b"bye\n":
                self.wfile.write(b"x" * 3_000_000)
                return
            elif line == b"close\n":
                return

    def finish(self):
        self.server.finished.append(self)


class Plain(StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"x" * 3_000_000)


#: What brings a row to each state, and that state.
ROWS = {
    "idle": (b"one\n", S.IDLE),
    "reading": (b"one\nhalf", S.READING),
    "held": (b"hold\n", S.HANDLING),
    "offloaded": (b"offload\n", S.HANDLING),
    "writing": (b"big\n", S.WRITING),
    "closing with much owed": (b"bye\n", S.CLOSING),
    "lingering": (b"close\n", S.CLOSING),
}


@contextlib.contextmanager
def full_house(handler, cls=ReactorTCPServer, **attributes):
    """A server with a row in every state, and the peers."""
    begun, may_end = threading.Event(), threading.Event()

    def work(self=None):
        begun.set()
        assert may_end.wait(PATIENCE)

    attributes = {"work": staticmethod(work), "finished": []} | attributes
    with contextlib.ExitStack() as stack:
        stack.callback(may_end.set)
        with serving(cls, handler, **attributes) as server:
            peers = [stack.enter_context(connected(server, 4096)) for _ in ROWS]
            for peer, (data, _) in zip(peers, ROWS.values(), strict=True):
                peer.send(data)
                assert peer.exactly(2) == data[:2].upper()
            assert begun.wait(PATIENCE)
            expected = sorted(state.name for _, state in ROWS.values())
            deadline = time.monotonic() + PATIENCE
            while in_loop(server.reactor, states_of, server) != expected:
                assert time.monotonic() < deadline, in_loop(server.reactor, states_of, server)
            server.may_end = may_end
            yield server


def states_of(server):
    return sorted(row.state.name for row in server.reactor.requests)


@pytest.mark.parametrize("cls", [ReactorTCPServer, ReactorUnixStreamServer])
@pytest.mark.parametrize("handler", [States, Coroutine])
@pytest.mark.parametrize("draining", [False, True], ids=["serving", "draining"])
def test_closing_with_a_row_in_every_state_leaves_nothing(handler, cls, draining):
    with nothing_left(), full_house(handler, cls) as server:
        finished = server.finished
        if draining:
            in_loop(server.reactor, server.reactor.drain)
            in_loop(server.reactor, int)  # a turn more, and it has begun
        reactor, path = server.reactor, server.server_address
        server.may_end.set()
        server.server_close()
        assert not reactor.requests
        assert len(finished) == len(set(finished)) == len(ROWS)
        if isinstance(path, str):
            assert not os.path.exists(path)


# In a process of its own

PROGRAM = """
import os, signal, sys, threading, time
from reactor import *

class States(StateRequestHandler):
    def start(self):
        self.expect(Line(), self.answer)

    def answer(self, line):
        if line == b"offload\\n":
            self.write(b"BEGUN\\n")
            self.offload(time.sleep, 3600)
        else:
            self.write(line.upper())

class Coroutine(AsyncStreamRequestHandler):
    async def handle(self):
        async for line in self.rfile:
            if line == b"offload\\n":
                self.wfile.write(b"BEGUN\\n")
                await self.wfile.drain()
                await self.offload(time.sleep, 3600)
            self.wfile.write(line.upper())

class Files(StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

cls, handler = globals()[sys.argv[1]], globals()[sys.argv[2]]
"""

SERVING = """
class Server(cls):
    limits = Limits(drain_timeout=float(sys.argv[3]))
    daemon_threads = sys.argv[4:] == ["daemon"]

with Server(("127.0.0.1", 0), handler) as server:
    server.drain_on(signal.SIGTERM)
    print(server.server_address[1], flush=True)
    server.serve_forever()
    print("returned", flush=True)
"""

styles = pytest.mark.parametrize("style", ["States", "Coroutine"])


@styles
@pytest.mark.parametrize("cause", ["drain_timeout", "a second signal"])
def test_work_that_never_ends_does_not_keep_a_process_alive_that_was_told_to_end(style, cause):
    seconds = "0.2" if cause == "drain_timeout" else "100"
    with program(PROGRAM + SERVING, "ReactorTCPServer", style, seconds) as process:
        with Peer(("127.0.0.1", int(process.stdout.readline()))) as peer:
            assert peer.ask(b"offload\n") == b"BEGUN\n"
            process.send_signal(signal.SIGTERM)
            if cause == "a second signal":
                with pytest.raises(OSError):
                    while True:  # until newcomers are refused: it drains
                        Peer(("127.0.0.1", peer.socket.getpeername()[1])).__exit__()
                process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 1
        _, out, err = ended(process)
        assert out == "" and f"draining cut short by {cause}" in err
        assert "1 partial requests lost" in err and "Traceback" not in err


@pytest.mark.parametrize("daemon", ["daemon", "no daemon"])
@pytest.mark.parametrize("handler", ["Files", "States", "Coroutine"])
def test_a_threading_server_finishes_its_requests_whatever_its_threads_are(handler, daemon):
    with program(PROGRAM + SERVING, "ThreadingTCPServer", handler, "100", daemon) as process:
        with Peer(("127.0.0.1", int(process.stdout.readline()))) as peer:
            assert peer.ask(b"one\nhalf ") == b"ONE\n"
            process.send_signal(signal.SIGTERM)
            with pytest.raises(TimeoutError):
                process_ends(process, 0.3)
            assert peer.ask(b"done\n") == b"HALF DONE\n"
            peer.half_close()
            assert peer.rest() == b""
        assert ended(process) == (0, "returned\n", "")


@pytest.mark.parametrize("cls", ["TCPServer", "ThreadingTCPServer", "ForkingTCPServer"])
@pytest.mark.parametrize("handler", ["Files", "States"])
@pytest.mark.parametrize("request_", [b"one\n", b"one\nhalf"], ids=["idle", "partial"])
def test_no_client_can_keep_a_classic_server_alive_beyond_drain_timeout(cls, handler, request_):
    with program(PROGRAM + SERVING, cls, handler, "0.2") as process:
        with Peer(("127.0.0.1", int(process.stdout.readline()))) as peer:
            assert peer.ask(request_) == b"ONE\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == (1 if request_ == b"one\nhalf" else process.returncode)
            if cls != "ForkingTCPServer":  # whose child goes on
                assert peer.rest() == b""
        assert "Traceback" not in ended(process)[2]


def process_ends(process, within):
    """Wait for it: only to see that it does not."""
    deadline = time.monotonic() + within
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


AT_ONCE = """
with cls(("127.0.0.1", 0), handler) as server:
    server.drain_on(signal.SIGTERM)
    threading.Timer(float(sys.argv[3]), os.kill, (os.getpid(), signal.SIGTERM)).start()
    server.serve_forever()
    print("returned", flush=True)
"""


@pytest.mark.parametrize("delay", ["0", "0.001"])
@pytest.mark.parametrize("cls", ["ReactorTCPServer", "ThreadingTCPServer", "ForkingTCPServer", "TCPServer"])
def test_a_signal_in_the_first_moments_is_not_lost(cls, delay):
    with program(PROGRAM + AT_ONCE, cls, "States", delay) as process:
        assert ended(process) == (0, "returned\n", "")


TWO = """
one, another = (cls(("127.0.0.1", 0), handler) for _ in range(2))
for server in (one, another):
    server.drain_on(signal.SIGTERM)
if sys.argv[3] == "serving":
    threads = [threading.Thread(target=server.serve_forever) for server in (one, another)]
    for thread in threads:
        thread.start()
    os.kill(os.getpid(), signal.SIGTERM)
    for thread in threads:
        thread.join(4)
    print([thread.is_alive() for thread in threads], flush=True)
    os._exit(0)
one.server_close()
if sys.argv[3] == "one closed":
    os.kill(os.getpid(), signal.SIGTERM)
    another.serve_forever()
    print("drained", flush=True)
another.server_close()
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


@pytest.mark.parametrize("cls", ["ReactorTCPServer", "ThreadingTCPServer"])
@pytest.mark.parametrize(
    ("when", "out"),
    [("serving", "[False, False]\n"), ("one closed", "drained\nTrue\n"), ("both closed", "True\n")],
)
def test_two_servers_that_drain_on_one_signal_are_not_in_each_others_way(cls, when, out):
    with program(PROGRAM + TWO, cls, "States", when) as process:
        assert ended(process) == (0, out, "")


ELSEWHERE = """
server = cls(("127.0.0.1", 0), handler)
server.drain_on(signal.SIGTERM)
threading.Timer(0.05, server.server_close).start()
server.serve_forever()
while threading.active_count() > 1:
    time.sleep(0.01)
print("closed", flush=True)
sys.stdin.readline()
print("alive", flush=True)
"""


@pytest.mark.parametrize("cls", ["ReactorTCPServer", "ThreadingTCPServer", "TCPServer"])
def test_once_a_server_was_closed_elsewhere_a_signal_does_what_it_did_before(cls):
    with program(PROGRAM + ELSEWHERE, cls, "States") as process:
        assert process.stdout.readline() == "closed\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
        assert ended(process)[1:] == ("", "")


@pytest.mark.parametrize("handler", [States, Coroutine])
def test_a_reply_that_is_cut_off_is_counted_though_its_handler_has_closed(handler):
    with House(Limits(drain_timeout=10)) as house:
        connection, peer = house.join(handler, spied=True)
        connection.server.finished = []
        connection.socket.room = 10
        peer.send(b"bye\n")
        house.turn(3)
        assert connection.state is S.CLOSING and connection.owed
        house.reactor.drain()
        house.turn()
        house.clock.advance(10)
        with pytest.raises(SystemExit):
            house.reactor.run()
        (line,) = [line for line in house.lines() if "draining" in line]
        assert "1 partial requests lost" in line


GIVEN_UP = [
    ("ReactorTCPServer", States),
    ("ReactorTCPServer", Coroutine),
    ("ThreadingTCPServer", Plain),
    ("ThreadingTCPServer", States),
    ("ForkingTCPServer", Plain),
]


@pytest.mark.parametrize(("name", "handler"), GIVEN_UP)
def test_a_peer_that_takes_nothing_and_is_given_up_is_reset(name, handler):
    """The system would keep for minutes what it has not sent yet, and the end would come after that."""
    attributes = {"limits": Limits(send_timeout=0.2), "finished": []}
    server_class = getattr(reactor, name)
    with serving(server_class, handler, **attributes) as server, connected(server, 4096) as peer:
        peer.send(b"big\n")
        end = select.poll()
        end.register(peer.socket, 0)  # it reads nothing, so it hears of nothing else
        assert end.poll(PATIENCE * 1000)
        assert peer.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
